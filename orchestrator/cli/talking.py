"""`atlas voice`: talk to it, by a microphone or from a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import Json, prepared
from state.errors import InputError

if TYPE_CHECKING:
    from orchestrator.cli.compose import House


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("voice")(voice)


def voice(
    spoken: Annotated[
        Path | None,
        typer.Option("--in", metavar="WAV", help="What somebody says: 16-bit PCM; default: the microphone."),
    ] = None,
    answer: Annotated[
        Path | None, typer.Option("--out", metavar="WAV", help="With --in: write what is said to this file.")
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
    """Talk to Atlas: by this machine's microphone and loudspeaker, or by a recording, and hear what it says."""

    def prepare() -> Callable[[House], Awaitable[int]]:
        if answer and not spoken:
            raise InputError("--out is for what is said to a recording", "Name the recording with --in.")
        from voice.logs import to_logging

        to_logging()
        from orchestrator.cli.headless_talk import Wanted, talk

        async def use(house: House) -> int:
            works = worker if worker is not None else not house.kept.shared
            spoken_in = "zh" if language == "zh" else "en"
            return await talk(house, Wanted(spoken, answer, spoken_in, repo, linger, works, as_json))

        return use

    prepared(prepare, as_lines_of_json=as_json)
