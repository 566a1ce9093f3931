"""Commands that tell what roles did: logs, report, notes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import Json, RunArgument, TodoArgument, with_house

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.cli.transcript import Line
    from orchestrator.transcript import AttemptStory
    from state.tables import Todo

_PIPE_WIDTH = 160
_OUTPUT_LINES = 40


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (logs, report, notes):
        app.command()(command)


def logs(
    run: RunArgument,
    todo: TodoArgument,
    attempt: Annotated[
        int | None,
        typer.Option(help="Its number, as `atlas evidence` shows it; default: the newest of a task, all of a role."),
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Leave nothing out of what roles said and did.")] = False,
) -> None:
    """Print what a TODO's commands printed; of a role, what it said and did. Also while it goes on."""

    async def use(house: House) -> None:
        from orchestrator.telling import WITH_ROLES

        row = await house.telling.find(run, todo)
        if row.kind in WITH_ROLES:
            return await _transcript(house, row, attempt, full)
        if not await _output(house, row, attempt):
            print("(it printed nothing)", file=sys.stderr)
        return None

    with_house(use)


async def _transcript(house: House, row: Todo, attempt: int | None, full: bool) -> None:
    from orchestrator.cli.transcript import Line, Telling

    telling = Telling(shutil.get_terminal_size().columns if sys.stdout.isatty() else _PIPE_WIDTH, full)
    for story in await house.telling.transcript(row, attempt):
        _print(telling.told(story))
        output = await _tail(house, row, story, None if full else _OUTPUT_LINES)
        if output:
            _print([Line("── what its commands printed ──", "bold cyan"), *(Line(line) for line in output)])


async def _tail(house: House, row: Todo, story: AttemptStory, most: int | None) -> list[str]:
    """The last lines that the commands of an attempt printed."""
    data = b"".join(
        [data for fence in story.fences async for data in house.service.log(row.run_id, row.id, fence)]
    )  # fmt: skip
    lines = data.decode("utf-8", "replace").splitlines()
    left = len(lines) - most if most is not None and len(lines) > most else 0
    head = [f"… {left} lines before; all of them: --full"] if left else []
    return [*head, *lines[left:]]


def _print(lines: Iterable[Line]) -> None:
    if not sys.stdout.isatty():
        for line in lines:
            print(line.text)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for line in lines:
        console.print(Text(line.text, style=line.style), soft_wrap=True)


async def _output(house: House, row: Todo, attempt: int | None) -> bool:
    """As it was, to the byte; whether there was any."""
    some = False
    async for data in house.service.log(row.run_id, row.id, attempt):
        some = True
        sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
    return some


def report(run: RunArgument) -> None:
    """Print what came of a run, in Markdown: the Librarian's report, or what the records say."""

    async def use(house: House) -> None:
        text = await house.telling.report(run)
        print(text.rstrip())

    with_house(use)


def notes(run: RunArgument, as_json: Json = False) -> None:
    """List what the roles of a run learned."""

    async def use(house: House) -> None:
        from orchestrator.cli.output import print_json, print_table

        found = await house.telling.notes(run)
        if as_json:
            return print_json(found)
        if not found:
            print("no notes were taken", file=sys.stderr)
        keys = {todo.id: todo.key for todo in await house.service.todos(run)}
        return print_table(
            ("todo", "kind", "note", "by"), [(keys[note.todo], note.kind, note.text, note.author) for note in found]
        )

    with_house(use, as_lines_of_json=as_json)
