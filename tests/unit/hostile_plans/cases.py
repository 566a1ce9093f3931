"""Plans that must be refused, each with the lines that say why (without the file's name).

Most are in ``refused.txt``: ``==== name``, the document, ``=> line``. What can't stand in a text file is made here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Case(NamedTuple):
    """A document, and the lines that it is refused with."""

    name: str
    document: str
    lines: list[str]


def _written() -> Iterator[Case]:
    text = Path(__file__).with_name("refused.txt").read_text(encoding="utf-8")
    for part in text.split("==== ")[1:]:
        name, _, body = part.partition("\n")
        document, *lines = body.split("=> ")
        yield Case(name, document, [line.rstrip("\n") for line in lines])


def _todo(run: str) -> str:
    return f"atlas: 1\ntodos:\n  - id: a\n    run: {run}\n"


_TOO_LONG = "4:5: todos[0].run: may have at most 100,000 characters and 131,071 bytes"
_SURROGATE = "1:10: goal: half of a surrogate pair (\\ud800 to \\udfff) is not a character"
_TWICE = '{"atlas": 1,\n "goal": "x",\n\t"goal": "y"}'

_MADE = [
    Case("empty", "", ["1:1: the document is empty; it must consist of keys and values"]),
    Case("json list", "[1]", ["1:1: the document is a list; it must consist of keys and values"]),
    Case("duplicate json key", _TWICE, ["3:2: goal: this key is given twice, first in line 2"]),
    Case("nul", "atlas: 1\ngoal: a\0b\n", ["2:8: a NUL character (U+0000) is not allowed"]),
    Case("json nul", '{"goal": "\\u0000"}', ["1:10: goal: the text contains a NUL character (\\0)"]),
    Case("escape character", "atlas: 1\ngoal: \x1b[31m\n", ["2:7: the control character U+001B is not allowed"]),
    Case("half surrogate", "atlas: 1\ngoal: \ud800\n", ["2:7: the control character U+D800 is not allowed"]),
    Case("json half surrogate", '{"goal": "\\ud800"}', [_SURROGATE]),
    Case("huge int", f"atlas: 1\nconcurrency: {'9' * 5000}\n", ["2:14: concurrency: a number of 5000 digits"]),
    Case("json huge int", f'{{"atlas": {"9" * 5000}}}', ["1:11: atlas: a number of 5000 digits"]),
    Case("name too long", f"atlas: 1\nname: {'n' * 501}\ngoal: x", ["2:1: name: may have at most 500 characters"]),
    Case("goal too long", f"atlas: 1\ngoal: {'x' * 100_001}", ["2:1: goal: may have at most 100,000 characters"]),
    Case(
        "json nan", '{"atlas": 1, "goal": "x", "budget": {"usd": NaN}}', ["1:38: budget.usd: must be a finite number"]
    ),
    Case("run too long", _todo("x" * 100_001), [_TOO_LONG]),
    Case("run of too many bytes", _todo("字" * 50_000), [_TOO_LONG]),
]

CASES = [*_written(), *_MADE]
