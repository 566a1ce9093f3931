"""What commands really did, written down outside of Atlas: one appended line for each thing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

WHO = "w=${PWD%/*}; w=${w##*/}"
"""A shell's way to know its TODO and fence: the directory in which it works is named after them."""

INSIDE = "inside-"
"""Keys of TODOs that write nothing down begin so: they are in containers."""


@dataclass(frozen=True, slots=True)
class Effect:
    """`what` happened (``start``, ``end``, ``read``, ``tool``) under this claim; `more` is what was read."""

    what: str
    todo: str
    fence: int
    more: str = ""


def says(log: Path, what: str, more: str = "") -> str:
    """A command that writes a line down. Short and appended: lines of different processes do not mix."""
    return f"""echo "{what} $w{more and " "}{more}" >>'{log}'"""


def read_effects(lines: Iterable[str]) -> list[Effect]:
    """In the order in which it happened."""
    found: list[Effect] = []
    for line in lines:
        what, who, more = (*line.split(" "), "")[:3]
        todo, _, fence = who.rpartition("-")
        found.append(Effect(what, todo, int(fence), more))
    return found
