"""Replacing exact text: pure, on bytes, so that all else in the file stays what it is, line ends included."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from mcp_servers.storage.threads import Stop
from mcp_servers.workspace.naming import shown
from mcp_servers.workspace.results import numbers
from state.errors import Conflict, InputError, NotFound

_NUMBERED = re.compile(r" *[0-9]+\t")
_LINES = 20_000
"""Of a file, that are compared with a text that is not in it."""
_LINE_CHARACTERS = 200
_CANDIDATES = 20
_SHOWN_LINES = 12
_LIKENESS = 0.5


@dataclass(frozen=True, slots=True)
class Edited:
    """The new content, and the numbers of the lines where a replacement begins."""

    data: bytes
    lines: list[int]


def edited(name: str, data: bytes, old: str, new: str, *, everywhere: bool, stop: Stop) -> Edited:
    """`data` with `old` replaced by `new`. In a file whose lines end in CR LF, newlines of both stand for those.

    `NotFound` shows the nearest lines; `Conflict`: it is there more than once, and not meant `everywhere`.
    """
    if old == new:
        raise InputError("`old` and `new` are the same", "Say what is to change.")
    places, find, put = _found(data, old, new)
    if not places:
        raise NotFound(f"`old` is not in {shown(name)}", _nearest(data, old, stop))
    starts = _line_numbers(data, places)
    if len(places) > 1 and not everywhere:
        raise Conflict(
            f"`old` is in {shown(name)} {len(places):,} times, in the lines {numbers(starts)}",
            "Take in more of the text around the one that you mean, or pass everywhere=true.",
        )
    changed = data.replace(find, put)
    grown = len(put) - len(find)
    return Edited(changed, _line_numbers(changed, [place + grown * number for number, place in enumerate(places)]))


def _found(data: bytes, old: str, new: str) -> tuple[list[int], bytes, bytes]:
    """Where it is, what exactly is there, and what takes its place."""
    ends = data.count(b"\r\n")
    pairs = [(old.encode(), new.encode()), (_with_returns(old), _with_returns(new))]
    if ends and ends == data.count(b"\n"):
        pairs.reverse()
    elif not ends:
        pairs.pop()
    for find, put in pairs:
        if places := _places(data, find):
            return places, find, put
    return [], *pairs[0]


def _places(data: bytes, text: bytes) -> list[int]:
    places: list[int] = []
    place = data.find(text)
    while place >= 0:
        places.append(place)
        place = data.find(text, place + len(text))
    return places


def _with_returns(text: str) -> bytes:
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


def _line_numbers(data: bytes, places: Sequence[int]) -> list[int]:
    """Of places in order."""
    lines: list[int] = []
    number, before = 1, 0
    for place in places:
        number += data.count(b"\n", before, place)
        before = place
        lines.append(number)
    return lines


def _nearest(data: bytes, old: str, stop: Stop) -> str:
    """Lines that look most like the text that was not found, with their numbers."""
    sought = [line.strip()[:_LINE_CHARACTERS] for line in old.split("\n")]
    longest = max(range(len(sought)), key=lambda number: len(sought[number]))
    lines = data.decode("utf-8", "replace").split("\n")
    best = _most_like(sought[longest], lines[:_LINES], stop) if sought[longest] else None
    if _NUMBERED.match(old):
        return "Leave out the numbers and tabs that workspace_read puts before lines: they are not in the file."
    if best is None:
        return "Nothing in it is like that. Read the file again: it must be the exact text, whitespace included."
    first = max(0, best - min(longest, _SHOWN_LINES // 2))
    last = min(first + max(len(sought), 2), first + _SHOWN_LINES, len(lines))
    told = [f"{number + 1}\t{lines[number][:_LINE_CHARACTERS]}" for number in range(first, last)]
    return "\n".join(["It must be the exact text, whitespace included. The nearest lines are:", *told])


def _most_like(wanted: str, lines: Sequence[str], stop: Stop) -> int | None:
    matcher = SequenceMatcher(None, b=wanted, autojunk=False)
    likely: list[tuple[float, int]] = []
    for number, line in enumerate(lines):
        text = line.strip()[:_LINE_CHARACTERS]
        if text == wanted:
            return number
        if not number % 64:
            stop.check()
        matcher.set_seq1(text)
        if text and matcher.real_quick_ratio() >= _LIKENESS and (quick := matcher.quick_ratio()) >= _LIKENESS:
            likely.append((-quick, number))
    found: list[tuple[float, int]] = []
    for _, number in sorted(likely)[:_CANDIDATES]:
        stop.check()
        matcher.set_seq1(lines[number].strip()[:_LINE_CHARACTERS])
        found.append((-matcher.ratio(), number))
    best = min(found, default=(0.0, 0))
    return best[1] if -best[0] >= _LIKENESS else None
