"""Which run, plan or choice somebody means who says its name, or a part of it, as speech recognition writes it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeVar

from voice.acts import Run

_Thing = TypeVar("_Thing")
_WORDS = re.compile(r"[^\W_]+", re.UNICODE)
_YES = frozenset(
    ("yes", "y", "approve", "approved", "ok", "okay", "accept", "allow", "true", "confirm",
     "是", "好", "批准", "同意", "确认", "可以", "允许", "接受")
)  # fmt: skip
_NO = frozenset(
    ("no", "n", "reject", "rejected", "deny", "denied", "refuse", "decline", "false",
     "否", "不", "别", "拒绝", "驳回")
)  # fmt: skip
_ON = frozenset(("go", "continue", "proceed", "继续"))
_OFF = frozenset(("abort", "stop", "cancel", "取消", "停止", "中止"))
"""Beside a plain yes or no these mean the other of the two; of each other they don't: "abort, or continue?" """
_FEWEST = 3
"""Letters that a part of a word has, at least, to name something by it."""


def is_called(said: str, name: str) -> bool:
    """Whether this is the name, and not a part of it."""
    return _joined(said) == _joined(name) != ""


def names_words(said: str, name: str) -> bool:
    """Whether these are whole words of the name."""
    wanted = _words(said)
    return bool(wanted) and set(wanted) <= set(_words(name))


def runs_called(said: str, runs: Sequence[Run]) -> list[Run]:
    """Those whose name it is; else those whose name has all of these words, or one that begins so; of several of one
    name, the first."""
    return _called(said, runs, [run.name for run in runs])


def plans_called(said: str, names: Sequence[str]) -> list[str]:
    """As `runs_called`."""
    return _called(said, names, names)


def affirmative(choices: Sequence[str]) -> str | None:
    """The choice that says yes; None: none does, or more than one. A question without choices takes a plain yes."""
    return _polar(choices, _YES, _NO, _ON) if choices else "yes"


def negative(choices: Sequence[str]) -> str | None:
    """The choice that says no, as `affirmative`."""
    return _polar(choices, _NO, _YES, _OFF) if choices else "no"


def _polar(choices: Sequence[str], mine: frozenset[str], others: frozenset[str], lesser: frozenset[str]) -> str | None:
    found = _beginning(choices, mine)
    if not found and _beginning(choices, others):
        found = _beginning(choices, lesser)
    return found[0] if len(found) == 1 else None


def _beginning(choices: Sequence[str], words: frozenset[str]) -> list[str]:
    return [each for each in choices if (said := _words(each)) and _begins(said[0], words)]


def _begins(word: str, words: frozenset[str]) -> bool:
    """Chinese is written without spaces: 不同意 is a no."""
    return word in words or any(word.startswith(each) for each in words if not each.isascii())


def _called(said: str, things: Sequence[_Thing], names: Sequence[str]) -> list[_Thing]:
    wanted = _words(said)
    if not wanted:
        return []
    exact = [thing for thing, name in zip(things, names, strict=True) if is_called(said, name)]
    if exact:
        return exact[:1]
    found: dict[str, _Thing] = {}
    for thing, name in zip(things, names, strict=True):
        if names_words(said, name) or _has(name, "".join(wanted)):
            found.setdefault(name, thing)
    return list(found.values())


def _has(name: str, joined: str) -> bool:
    if not joined.isascii():
        return joined in _joined(name)
    words = _words(name)
    return len(joined) >= _FEWEST and any("".join(words[at:]).startswith(joined) for at in range(len(words)))


def _joined(text: str) -> str:
    return "".join(_words(text))


def _words(text: str) -> list[str]:
    return [word.casefold() for word in _WORDS.findall(text)]
