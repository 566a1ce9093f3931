"""Lines for pipes and files: one for each thing that happened."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self, TextIO

from orchestrator.cli.picture import Picture, TodoPicture
from orchestrator.cli.wording import duration, money, one_line, standing
from orchestrator.views import EventView

_QUIET = frozenset(("pending", "ready", "verifying"))
_WIDTH = 140


class PlainView:
    """A line for each step of a TODO, each turn of a role that says something, each tool that came back."""

    def __init__(self, picture: Picture, out: TextIO | None = None) -> None:
        """`out`: standard output, if not said otherwise."""
        self.picture = picture
        self._out = out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        (self._out or sys.stdout).flush()

    def begin(self) -> None:
        """Say how it stands: it may be long until something happens."""
        told = self.picture
        says = standing(told.name, told.run, told.state, told.settled, told.total, told.spend)
        print(says, file=self._out or sys.stdout, flush=True)

    def note(self, text: str) -> None:
        """For the person, not for the program that reads."""
        print(text, file=sys.stderr, flush=True)

    def show(self, events: Sequence[EventView]) -> None:
        """Print what changed."""
        for event in events:
            todo = self.picture.apply(event)
            said = _step(todo) if todo and event.type == "todo.state" else heard(self.picture, todo, event)
            if said:
                key = todo.key if todo else ""
                print(f"{(event.at or '')[11:19]}  {key:<24} {said}", file=self._out or sys.stdout, flush=True)


_OF_THE_HOUSE = ("plan", "report")


def _step(todo: TodoPicture) -> str | None:
    again = todo.state == "ready" and todo.reason is not None
    if todo.state in _QUIET and not again:
        return None
    took = f" in {duration(todo.seconds)}" if todo.seconds is not None else ""
    reason = f" ({todo.reason})" if todo.reason else ""
    why = f": {' '.join(todo.detail.splitlines())}" if todo.detail else ""
    return f"{'will be tried again' if again else todo.state}{reason}{took}{why}"


def heard(picture: Picture, todo: TodoPicture | None, event: EventView) -> str | None:
    """What is worth a line of what is no step of a TODO; None: nothing."""
    data = event.data
    match event.type:
        case "run.planned":
            new = picture.learned or picture.todos.keys()
            keys = [each.key for each in picture.todos.values() if each.id in new and each.kind not in _OF_THE_HOUSE]
            return one_line(f"planned: {', '.join(keys)}", _WIDTH) if keys else None
        case "run.budget":
            how = "used up" if data["exhausted"] else "nearly used up"
            return f"the budget is {how} ({data['tokens']:,} tokens{money(data['usd'], ', ')})"
        case "role.turn" if data["text"]:
            return one_line(f'{data["role"]}: "{data["text"]}"', _WIDTH)
        case "role.tool" if data["state"] != "running":
            ended = "" if data["state"] == "done" else f": {data['state']}"
            return one_line(f"{data['role']}: {data['tool']} {data['about']}".rstrip(), _WIDTH - len(ended)) + ended
        case "role.checklist":
            return one_line(f"checklist {checklist_line(data['items'])}", _WIDTH)
        case "role.note":
            return one_line(f"note ({data['kind']}): {data['text']}", _WIDTH)
        case "todo.risk" if todo and data["text"].startswith("Oracle: "):  # a failed verification is told by its step
            return one_line(f"oracle: {data['text'].removeprefix('Oracle: ')}", _WIDTH)
        case "todo.progress" if todo and todo.role:
            return one_line(data["text"], _WIDTH)
        case _:
            return None


def checklist_line(items: Sequence[Sequence[str]]) -> str:
    """``1/2, open: units come in order``"""
    counted = [text for state, text in items if state in ("open", "done")]
    left = [text for state, text in items if state == "open"]
    return f"{len(counted) - len(left)}/{len(counted)}" + (f", open: {left[0]}" if left else "")
