"""What a speech engine can read out, said a second time in other words than `voice.wording.spoken` does."""

from __future__ import annotations

import re

_MARKS = " .,;:?!'’-%，。；：？！、"
LONGEST_WORD = 40


def flaw(text: str) -> str | None:
    """None: it can be read out."""
    if text != " ".join(text.split()):
        return f"spaces in {text!r}"
    odd = {each for each in text if not (each.isalnum() or each in _MARKS or ord(each) > 0x300)}
    if odd:
        return f"{sorted(odd)} in {text!r}"
    if re.search(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", text):
        return f"an id in {text!r}"
    if long := [each for each in re.findall(r"[!-~]+", text) if len(each) > LONGEST_WORD]:
        return f"{long} in {text!r}"
    return None
