"""Which bytes can be told as text."""

from __future__ import annotations

import codecs
import re

_NOT_IN_TEXT = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")


def is_text(data: bytes, *, more: bool) -> bool:
    """UTF-8 without the control characters that no text has. `more`: the last character may be incomplete."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data, final=not more)
    except UnicodeDecodeError:
        return False
    return not _NOT_IN_TEXT.search(data)
