"""The checklist of an attempt: set in its first turns, then frozen. Pure.

What counts is an item that was there when it was frozen and came true: items that are split or dropped are not
progress, and neither are their parts.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Literal

from roles.house_tools import ITEMS, Checklist
from state.stored import stored

FREEZES_AFTER = 3
"""Turns of the model after which a list that was set is frozen."""


@dataclass(frozen=True, slots=True)
class Item:
    """`part`: it came from a split."""

    text: str
    state: Literal["open", "done", "dropped", "split"] = "open"
    reason: str = ""
    part: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A checklist as it stands."""

    items: tuple[Item, ...] = field(default=())

    @classmethod
    @stored("the checklist of this attempt")
    def from_json(cls, text: str | None) -> Items:
        """What `to_json` wrote; none if there is nothing."""
        return cls(tuple(Item(**each) for each in json.loads(text))) if text else cls()

    def to_json(self) -> str:
        """ASCII."""
        return json.dumps([asdict(item) for item in self.items])

    @property
    def open(self) -> tuple[str, ...]:
        """What is left."""
        return tuple(item.text for item in self.items if item.state == "open")

    def shown(self) -> str:
        """For a model or a person, with the numbers that it is called by."""
        if not self.items:
            return "The checklist is empty."
        marks = {"open": " ", "done": "x", "dropped": "-", "split": "/"}
        lines = (f"{number}. [{marks[item.state]}] {item.text}" for number, item in enumerate(self.items, start=1))
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Change:
    """What a call did; `progress`: a frozen item came true. `failed`: nothing was changed, and `said` is why."""

    items: Items
    said: str
    progress: bool = False
    failed: bool = False


def change(items: Items, call: Checklist, turn: int) -> Change:
    """Carry out a call made in this turn (from 1)."""
    if call.action == "set":
        return _set(items, call, turn)
    number = call.item or 0
    if not 1 <= number <= len(items.items):
        return Change(items, f"there is no item {call.item}\n{items.shown()}", failed=True)
    item = items.items[number - 1]
    if item.state != "open":
        return Change(items, f"item {number} is {item.state} already\n{items.shown()}", failed=True)
    match call.action:
        case "complete":
            now = _with(items, number, replace(item, state="done"))
            return Change(now, now.shown(), progress=not item.part)
        case "drop":
            if not call.reason:
                return Change(items, "dropping an item needs a reason", failed=True)
            now = _with(items, number, replace(item, state="dropped", reason=call.reason))
            return Change(now, now.shown())
        case "split":
            return _split(items, number, item, call)


def _set(items: Items, call: Checklist, turn: int) -> Change:
    if (turn > FREEZES_AFTER and items.items) or any(item.state != "open" for item in items.items):
        return Change(items, f"the checklist is frozen; complete, split or drop items\n{items.shown()}", failed=True)
    if not call.items:
        return Change(items, "items: at least one", failed=True)
    now = Items(tuple(Item(text) for text in dict.fromkeys(call.items)))
    return Change(now, now.shown())


def _split(items: Items, number: int, item: Item, call: Checklist) -> Change:
    if len(call.items) < 2:
        return Change(items, "splitting an item needs two or more items", failed=True)
    if len(items.items) + len(call.items) > 2 * ITEMS:
        return Change(items, f"a checklist has at most {2 * ITEMS} items", failed=True)
    now = _with(items, number, replace(item, state="split"))
    now = Items((*now.items, *(Item(text, part=True) for text in call.items)))
    return Change(now, now.shown())


def _with(items: Items, number: int, item: Item) -> Items:
    return Items((*items.items[: number - 1], item, *items.items[number:]))
