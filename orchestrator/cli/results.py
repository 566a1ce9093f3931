"""Commands that hand over what a run changed: diff, push."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import RunArgument, with_house

if TYPE_CHECKING:
    from orchestrator.changes import Changes
    from orchestrator.cli.compose import House


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (diff, push):
        app.command()(command)


def diff(run: RunArgument) -> None:
    """Print what the roles of a run changed, as a patch: `atlas diff RUN | git apply`."""

    async def use(house: House) -> None:
        patch = await _changes(house).patch(run)
        sys.stdout.buffer.write(patch.encode("utf-8", "surrogateescape"))
        sys.stdout.buffer.flush()
        if not patch:
            print("(nothing was changed)", file=sys.stderr)

    with_house(use)


def push(
    run: RunArgument,
    remote: Annotated[
        str, typer.Argument(help="One of the repository's remotes, a URL, or '.': the repository itself.")
    ] = ".",
    branch: Annotated[str | None, typer.Option(help="Its name there; default: atlas/ and the run's name.")] = None,
) -> None:
    """Hand over what the roles of a run changed, as a branch. Nothing is forced, and no checkout is touched."""

    async def use(house: House) -> None:
        print(await _changes(house).push(run, remote, branch))

    with_house(use)


def _changes(house: House) -> Changes:
    from orchestrator.changes import Changes
    from orchestrator.cli.compose import private_directory

    return Changes(house.store, house.artifacts, private_directory(house.settings.home / "repositories"))
