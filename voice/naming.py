"""Which run, plan or choice somebody means who says its name, or a part of it, as speech recognition writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from voice.acts import Run

_Thing = TypeVar("_Thing")
_WORDS = re.compile(r"[^\W_]+", re.UNICODE)
_YES = frozenset(
    ("yes", "y", "approve", "approved", "ok", "okay", "accept", "allow", "go", "continue", "proceed", "true", "confirm",
     "是", "好", "批准", "同意", "确认", "可以")
)  # fmt: skip
_NO = frozenset(
    ("no", "n", "reject", "rejected", "deny", "denied", "refuse", "decline", "abort", "stop", "false", "cancel",
     "否", "不", "不行", "拒绝", "取消")
)  # fmt: skip


def runs_called(said: str, runs: Sequence[Run]) -> list[Run]:
    """Those whose name it is; else those whose name has all of these words; of several of one name, the first."""
    return _called(said, runs, [run.name for run in runs])


def plans_called(said: str, names: Sequence[str]) -> list[str]:
    """As `runs_called`."""
    return _called(said, names, names)


def affirmative(choices: Sequence[str]) -> str | None:
    """The choice that says yes; None: none does, or more than one. A question without choices takes a plain yes."""
    return _one(choices, _YES) if choices else "yes"


def negative(choices: Sequence[str]) -> str | None:
    """The choice that says no, as `affirmative`."""
    return _one(choices, _NO) if choices else "no"


def _one(choices: Sequence[str], words: frozenset[str]) -> str | None:
    found = [each for each in choices if (said := _words(each)) and said[0] in words]
    return found[0] if len(found) == 1 else None


def _called(said: str, things: Sequence[_Thing], names: Sequence[str]) -> list[_Thing]:
    wanted = _words(said)
    if not wanted:
        return []
    exact = [thing for thing, name in zip(things, names, strict=True) if _words(name) == wanted]
    if exact:
        return exact[:1]
    joined = "".join(wanted)
    found: dict[str, _Thing] = {}
    for thing, name in zip(things, names, strict=True):
        words = _words(name)
        if set(wanted) <= set(words) or joined in "".join(words):
            found.setdefault(name, thing)
    return list(found.values())


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORDS.findall(text)]
