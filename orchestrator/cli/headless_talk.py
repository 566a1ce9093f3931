"""A conversation by files: what `atlas voice --in` does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voice.intents import Language

if TYPE_CHECKING:
    from orchestrator.cli.compose import House

_QUIET_SECONDS = 1.5
"""Nothing more comes after so long."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for."""

    spoken: Path
    answer: Path | None
    language: Language
    repository: str | None
    linger: float
    as_json: bool


async def talk(house: House, wanted: Wanted) -> int:
    """Until the recording has been played and nothing more is said."""
    from voice.logs import to_logging

    to_logging()
    from pipecat.frames.frames import EndFrame
    from pipecat.workers.runner import WorkerRunner

    from orchestrator.cli.compose import whoami
    from voice.choices import Choices
    from voice.chronicle import Chronicle
    from voice.desk import Desk, Speaker
    from voice.engines.commands import CommandSTT
    from voice.engines.espeak import EspeakTTS
    from voice.engines.pocketsphinx import CommandRecognizer, KeywordSpotter
    from voice.headless import FileLoudspeaker, FileMicrophone, Recording, quiet
    from voice.phrase_commands import PhraseCommands
    from voice.pipeline import Assembly, Ends, Engines

    recording = Recording(wanted.spoken)
    choices = Choices(language=wanted.language)
    assembly = Assembly(choices)
    microphone, loudspeaker = FileMicrophone(recording), FileLoudspeaker(wanted.answer, assembly.outlet)
    engines = Engines(CommandSTT(CommandRecognizer()), EspeakTTS(wanted.language), KeywordSpotter())

    class _Detail:
        def change(self, *, more: bool) -> None:
            del more

    desk = Desk(
        house.service, Speaker(whoami(), repository=wanted.repository), wanted.language, _Detail(),
        assembly.speech.say,
    )  # fmt: skip

    def told(happening: dict[str, Any]) -> None:
        if wanted.as_json:
            print(json.dumps(happening, ensure_ascii=False), flush=True)
        elif happening["event"] in ("heard", "saying"):
            who = "you:  " if happening["event"] == "heard" else "atlas:"
            print(who, happening["text"], flush=True)

    made = assembly.talk(
        Ends(microphone, loudspeaker), engines, desk, PhraseCommands(), observers=[Chronicle(told)], rtvi=False
    )
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(made.worker)

    async def over() -> None:
        await microphone.over.wait()
        await quiet(lambda: made.conversation.busy, _QUIET_SECONDS, wanted.linger)
        await made.worker.queue_frame(EndFrame())

    await asyncio.gather(runner.run(), over())
    return 0
