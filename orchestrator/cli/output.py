"""Lines for pipes and files, NDJSON for programs, and which of the views a command gets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from orchestrator.cli.picture import Picture
from orchestrator.views import EventView, View, as_json


class Watch(Protocol):
    """Shows a run while it goes on."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def show(self, events: Sequence[EventView]) -> None: ...
    def note(self, text: str) -> None: ...


class _Lines:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """For the person, not for the program that reads."""
        print(text, file=sys.stderr, flush=True)


_QUIET = frozenset(("pending", "ready", "verifying"))


class PlainView(_Lines):
    """A line for each step of a TODO."""

    def __init__(self, picture: Picture) -> None:
        self._picture = picture

    def show(self, events: Sequence[EventView]) -> None:
        """Print what changed."""
        from orchestrator.cli.rendering import duration

        for event in events:
            todo = self._picture.apply(event)
            again = todo is not None and todo.state == "ready" and todo.reason is not None
            if todo is None or event.type != "todo.state" or (todo.state in _QUIET and not again):
                continue
            took = f" in {duration(todo.seconds)}" if todo.seconds is not None else ""
            reason = f" ({todo.reason})" if todo.reason else ""
            why = f": {' '.join(todo.detail.splitlines())}" if todo.detail else ""
            state = "will be tried again" if again else todo.state
            print(f"{(event.at or '')[11:19]}  {todo.key:<24} {state}{reason}{took}{why}", flush=True)


class JsonView(_Lines):
    """Every event, one object a line."""

    def show(self, events: Sequence[EventView]) -> None:
        """Print them."""
        for event in events:
            print(as_json(event))
        sys.stdout.flush()


def watch(picture: Picture, *, as_lines_of_json: bool) -> Watch:
    """The live tree on a terminal, else lines."""
    if as_lines_of_json:
        return JsonView()
    if sys.stdout.isatty():
        from rich.console import Console

        from orchestrator.cli.rendering import TreeView

        return TreeView(Console(), picture)
    return PlainView(picture)


def print_json(views: Sequence[View]) -> None:
    """NDJSON."""
    for view in views:
        print(as_json(view))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal, tab-separated lines in a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
