"""The live TODO tree for a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.cli.picture import ACTIVE, Picture, TodoPicture
from orchestrator.cli.plain import checklist_line
from orchestrator.cli.wording import duration, one_line, spent
from orchestrator.views import EventView

MARKS = {
    "pending": ("·", "dim"), "ready": ("○", "dim"), "in_progress": ("●", "cyan"), "verifying": ("◐", "cyan"),
    "awaiting_input": ("?", "magenta"), "blocked": ("■", "yellow"), "completed": ("✓", "green"),
    "failed": ("✗", "red"), "cancelled": ("⊘", "red"), "skipped": ("-", "dim"), "not_applicable": ("-", "dim"),
}  # fmt: skip
_TOOL_MARKS = {"running": "▸", "done": "✓", "failed": "✗", "unknown": "?"}
_LINE = 300
_FIRST = ("in_progress", "verifying", "awaiting_input", "failed", "blocked")


class TreeView:
    """Redrawn four times a second while the run is watched; shows what fits, what moves first."""

    def __init__(self, console: Console, picture: Picture) -> None:
        self._console = console
        self.picture = picture
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def begin(self) -> None:
        """The tree shows it."""

    def show(self, events: Sequence[EventView]) -> None:
        """Take in what happened."""
        for event in events:
            self.picture.apply(event)

    def note(self, text: str) -> None:
        """A line above the tree."""
        self._live.console.print(Text(text, style="yellow"))

    def _render(self) -> Group:
        todos = list(self.picture.todos.values())
        width, height = self._console.size
        room = max(4, height - 4 - sum(_lists(todo) for todo in todos))
        shown = todos if len(todos) <= room else _most_interesting(todos, room - 1)
        table = Table.grid(padding=(0, 1), expand=True)
        for column in ("mark", "key", "state", "time"):
            table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=32 if column == "key" else None)
        table.add_column("line", no_wrap=True, overflow="ellipsis", ratio=1)  # gives way to the others
        for todo in shown:
            table.add_row(*_row(todo))
            if _lists(todo):
                table.add_row("", "", "", "", Text(checklist_line(todo.checklist), style="dim"))
        parts: list[Table | Text] = [headline(self.picture, width), table]
        if len(shown) < len(todos):
            parts.append(Text(f"  … {len(todos) - len(shown)} more: {summary(self.picture)}", style="dim"))
        return Group(*parts)


def headline(picture: Picture, width: int) -> Text:
    """Name, state, progress and spend, in one line: a long name or reason gives way."""
    percent = 100 * picture.settled // picture.total if picture.total else 100
    state = f"{picture.state}  {picture.settled}/{picture.total}  {percent}%"
    rest = f" {picture.run[-8:]}  {state}" + (f"  {spent(picture.spend)}" if picture.spend.tokens else "")
    name = one_line(picture.name, max(8, width - len(rest)))
    room = width - len(name) - len(rest) - 4
    reason = f"  ({one_line(picture.reason, room)})" if picture.reason and room >= 8 else ""
    return Text.assemble((name, "bold"), rest, (reason, "dim"), no_wrap=True, overflow="ellipsis")


def summary(picture: Picture) -> str:
    """``12 completed, 3 pending``"""
    return ", ".join(f"{count} {state}" for state, count in sorted(picture.counts().items(), key=lambda item: -item[1]))


def _most_interesting(todos: list[TodoPicture], room: int) -> list[TodoPicture]:
    """What moves or needs somebody, then what ended last, in the plan's order."""
    rank = {state: number for number, state in enumerate(_FIRST)}
    chosen = sorted(todos, key=lambda todo: (rank.get(todo.state, len(rank)), -(todo.since or 0.0)))[:room]
    keep = {todo.id for todo in chosen}
    return [todo for todo in todos if todo.id in keep]


def _row(todo: TodoPicture) -> tuple[Text, Text, Text, Text, Text]:
    mark, style = MARKS[todo.state]
    return (
        Text(mark, style=style), Text(todo.key, style="bold" if todo.state in ACTIVE else ""),
        Text(todo.state + (f": {todo.reason}" if todo.reason else ""), style=style), Text(elapsed(todo), style="dim"),
        _said(todo),
    )  # fmt: skip


def _said(todo: TodoPicture) -> Text:
    """Who is at work and with what; else the last that was heard, or why it is as it is, or what it is."""
    if todo.state == "in_progress" and todo.role and (todo.doing or todo.line):
        mark = f"{_TOOL_MARKS[todo.doing_state]} " if todo.doing else ""
        said = one_line(todo.doing or todo.line, _LINE)
        return Text.assemble(
            (todo.role, "cyan"), "  ", (f"{mark}{said}", "" if todo.doing_state == "running" else "dim")
        )
    said = todo.line or todo.detail or (todo.title if todo.title != todo.key else "")
    return Text(one_line(said.splitlines()[0], _LINE) if said else "", style="dim")


def _lists(todo: TodoPicture) -> bool:
    """Whether its checklist is shown, in a line of its own."""
    return todo.state == "in_progress" and bool(todo.checklist)


def elapsed(todo: TodoPicture) -> str:
    """How long it took, or has taken so far."""
    if todo.seconds is not None:
        return duration(todo.seconds)
    if todo.state in ACTIVE and todo.since is not None:
        return duration(max(0.0, time.time() - todo.since))
    return ""
