"""NDJSON for programs, tables for people, and which of the views a command gets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self, TextIO

from orchestrator.cli.picture import Picture
from orchestrator.views import EventView, View, as_json


class Watch(Protocol):
    """Shows a run while it goes on. `picture` is what it shows; None: it passes on events as they are."""

    @property
    def picture(self) -> Picture | None: ...

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def begin(self) -> None:
        """Somebody came to watch a run that goes on: how it stands, if that is not to be seen anyway."""
        ...

    def show(self, events: Sequence[EventView]) -> None: ...
    def note(self, text: str) -> None: ...


class JsonView:
    """Every event, one object a line."""

    picture: Picture | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()

    def begin(self) -> None:
        """The events will tell."""

    def note(self, text: str) -> None:
        """For the person, not for the program that reads."""
        print(text, file=sys.stderr, flush=True)

    def show(self, events: Sequence[EventView]) -> None:
        """Print them."""
        for event in events:
            print(as_json(event))
        sys.stdout.flush()


def watch(picture: Picture, *, as_lines_of_json: bool, out: TextIO | None = None) -> Watch:
    """The live tree on a terminal, else lines; on `out`, which is standard output if not said otherwise."""
    if as_lines_of_json:
        return JsonView()
    if (out or sys.stdout).isatty():
        from rich.console import Console

        from orchestrator.cli.rendering import TreeView

        return TreeView(Console(file=out), picture)
    from orchestrator.cli.plain import PlainView

    return PlainView(picture, out)


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
