"""`atlas voice`: talk to it, by a microphone or from a file. `atlas voice models`: what its engines may be given."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from orchestrator.cli.running import Json, prepared, told
from state.errors import InputError

if TYPE_CHECKING:
    from orchestrator.cli.compose import House


def register(app: typer.Typer) -> None:
    """Add the commands."""
    talking = typer.Typer(invoke_without_command=True)
    talking.callback(invoke_without_command=True)(voice)
    talking.command("models")(models)
    app.add_typer(talking, name="voice")


def voice(
    context: typer.Context,
    spoken: Annotated[
        list[Path],
        typer.Option(
            "--in",
            metavar="WAV",
            help="What somebody says: 16-bit PCM; repeatable, with time for an answer in between;"
            " default: the microphone.",
        ),
    ] = [],  # noqa: B006  as Typer takes it
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
    if context.invoked_subcommand:
        _only_talking(context)
        return

    def prepare() -> Callable[[House], Awaitable[int]]:
        if language not in ("en", "zh"):
            raise InputError(f"--language {language} is not known", "There are en and zh.")
        if answer and not spoken:
            raise InputError("--out is for what is said to a recording", "Name the recording with --in.")
        from voice.logs import to_logging

        to_logging()
        from orchestrator.cli.headless_talk import Wanted, talk

        async def use(house: House) -> int:
            works = worker if worker is not None else not house.kept.shared
            spoken_in = "zh" if language == "zh" else "en"
            if spoken_in == "zh" and house.settings.voice_recognition == "pocketsphinx":
                print("warning: pocketsphinx understands English only (other engines: docs/voice.md)", file=sys.stderr)
            return await talk(house, Wanted(spoken, answer, spoken_in, repo, linger, works, as_json))

        return use

    prepared(prepare, as_lines_of_json=as_json)


def _only_talking(context: typer.Context) -> None:
    """Options of talking say nothing to what else there is."""
    sources = (context.get_parameter_source(name) for name in context.params)
    if any(source is not None and source.name == "COMMANDLINE" for source in sources):

        def refuse() -> None:
            what = f"atlas voice {context.invoked_subcommand}"
            raise InputError(f"{what}: options before it are for talking", f"Write its own as in {what} --json.")

        told(refuse)


def models(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Only this one, with the commands that fetch it.")
    ] = None,
    language: Annotated[Literal["en", "zh"] | None, typer.Option(help="Only those for this language.")] = None,
    as_json: Json = False,
) -> None:
    """What can be downloaded for engines of this machine, and what of it is here, checked. Downloads nothing.

    Exit 1 if something that is here is damaged.
    """

    def show() -> int:
        from orchestrator.cli.voice_means import models_directory
        from orchestrator.cli.voice_models import show_models
        from orchestrator.settings import load_settings

        return show_models(models_directory(load_settings(os.environ)), name, language, as_lines_of_json=as_json)

    told(show, as_lines_of_json=as_json)
