"""`atlas voice`: talk to it, from a file for now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import Json, prepared

if TYPE_CHECKING:
    from orchestrator.cli.compose import House


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("voice")(voice)


def voice(
    spoken: Annotated[Path, typer.Option("--in", metavar="WAV", help="What somebody says: 16-bit PCM.")],
    answer: Annotated[
        Path | None, typer.Option("--out", metavar="WAV", help="Write what is said to this file.")
    ] = None,
    language: Annotated[str, typer.Option(help="Of what is said: en or zh.")] = "en",
    repo: Annotated[str | None, typer.Option(help="Git repository that goals are about; default: none.")] = None,
    linger: Annotated[
        float, typer.Option(min=0, max=3_600, metavar="SECONDS", help="Stay at most so long after it.")
    ] = 30.0,
    worker: Annotated[
        bool | None,
        typer.Option("--worker/--no-worker", help="Carry out TODOs here too; default: with the embedded database."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Play a recording to Atlas as if somebody spoke, and hear what it says."""

    def prepare() -> Callable[[House], Awaitable[int]]:
        from voice.logs import to_logging

        to_logging()
        from orchestrator.cli.headless_talk import Wanted, talk

        async def use(house: House) -> int:
            works = worker if worker is not None else not house.kept.shared
            spoken_in = "zh" if language == "zh" else "en"
            return await talk(house, Wanted(spoken, answer, spoken_in, repo, linger, works, as_json))

        return use

    prepared(prepare, as_lines_of_json=as_json)
