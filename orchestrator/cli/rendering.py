"""The live TODO tree for a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from orchestrator.cli.picture import ACTIVE, Picture, TodoPicture
from orchestrator.views import EventView

MARKS = {
    "pending": ("·", "dim"), "ready": ("○", "dim"), "in_progress": ("●", "cyan"), "verifying": ("◐", "cyan"),
    "awaiting_input": ("?", "magenta"), "blocked": ("■", "yellow"), "completed": ("✓", "green"),
    "failed": ("✗", "red"), "cancelled": ("⊘", "red"), "skipped": ("-", "dim"), "not_applicable": ("-", "dim"),
}  # fmt: skip
_FIRST = ("in_progress", "verifying", "awaiting_input", "failed", "blocked")


class TreeView:
    """Redrawn four times a second while the run is watched; shows what fits, what moves first."""

    def __init__(self, console: Console, picture: Picture) -> None:
        self._console = console
        self._picture = picture
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def show(self, events: Sequence[EventView]) -> None:
        """Take in what happened."""
        for event in events:
            self._picture.apply(event)

    def note(self, text: str) -> None:
        """A line above the tree."""
        self._live.console.print(Text(text, style="yellow"))

    def _render(self) -> Group:
        room = max(4, self._console.size.height - 4)
        todos = list(self._picture.todos.values())
        shown = todos if len(todos) <= room else _most_interesting(todos, room - 1)
        table = Table.grid(padding=(0, 1))
        for column in ("mark", "key", "state", "time", "line"):
            table.add_column(column, no_wrap=True, overflow="ellipsis", max_width=32 if column == "key" else None)
        for todo in shown:
            table.add_row(*_row(todo))
        parts: list[Table | Text] = [headline(self._picture), table]
        if len(shown) < len(todos):
            parts.append(Text(f"  … {len(todos) - len(shown)} more: {summary(self._picture)}", style="dim"))
        return Group(*parts)


def headline(picture: Picture) -> Text:
    """Name, state and progress."""
    reason = f" ({picture.reason})" if picture.reason else ""
    percent = 100 * picture.settled // picture.total if picture.total else 100
    return Text.from_markup(
        f"[bold]{escape(picture.name)}[/] {picture.run[-8:]}  {escape(picture.state + reason)}  "
        f"{picture.settled}/{picture.total}  {percent}%"
    )


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
    said = todo.line or todo.detail or (todo.title if todo.title != todo.key else "")
    return (
        Text(mark, style=style), Text(todo.key, style="bold" if todo.state in ACTIVE else ""),
        Text(todo.state + (f": {todo.reason}" if todo.reason else ""), style=style), Text(elapsed(todo), style="dim"),
        Text(said.splitlines()[0] if said else "", style="dim"),
    )  # fmt: skip


def elapsed(todo: TodoPicture) -> str:
    """How long it took, or has taken so far."""
    if todo.seconds is not None:
        return duration(todo.seconds)
    if todo.state in ACTIVE and todo.since is not None:
        return duration(max(0.0, time.time() - todo.since))
    return ""


def duration(seconds: float) -> str:
    """``3.2s``, ``2m05s``, ``1h02m``"""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"
