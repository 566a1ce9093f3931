"""Commands that change a run: answer, cancel, hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import Json, RunArgument, with_house
from state.records import QUEUE

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.views import RunView


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (answer, cancel, hold):
        app.command()(command)


def answer(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="Id, the end of an id, or the gate's TODO id.")],
    value: Annotated[str, typer.Argument(help="One of the choices, or text where there are none.")],
    as_json: Json = False,
) -> None:
    """Answer a question; what waits for it can go on."""

    async def use(house: House) -> None:
        from orchestrator.cli.compose import whoami
        from orchestrator.cli.output import print_json

        answered = await house.service.answer(question, value, whoami())
        if as_json:
            return print_json([answered])
        run = await house.service.find(answered.run)
        print(f"{answered.text} -> {answered.answer}")
        if run.placement != QUEUE and run.state not in ("completed", "failed", "cancelled"):
            print(f"  if nothing works on {run.name} now, go on with: atlas resume {run.id[-8:]}")
        return None

    with_house(use, as_lines_of_json=as_json)


def cancel(run: RunArgument, as_json: Json = False) -> None:
    """End a run for good; what runs is killed at once."""

    async def use(house: House) -> None:
        from orchestrator.cli.compose import whoami

        _tell(await house.service.cancel(run, whoami()), as_json)

    with_house(use, as_lines_of_json=as_json)


def hold(run: RunArgument, as_json: Json = False) -> None:
    """Start nothing more of a run until `atlas resume`; what runs may finish."""

    async def use(house: House) -> None:
        from orchestrator.cli.compose import whoami

        _tell(await house.service.hold(run, f"held by {whoami()}"), as_json)

    with_house(use, as_lines_of_json=as_json)


def _tell(run: RunView, as_json: bool) -> None:
    from orchestrator.cli.output import print_json

    if as_json:
        return print_json([run])
    print(f"{run.name} {run.id[-8:]}: {run.state}")
    return None
