"""A conversation in a terminal, by files or by this machine's microphone: what `atlas voice` does."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from voice.headless import FileMicrophone
    from voice.intents import Language
    from voice.outlet import Outlet
    from voice.sessions import Session

_QUIET_SECONDS = 1.5
"""Nothing more comes after so long."""
_FAINT = 0.1
"""See `voice.engines.heard`, which is loaded late."""
_GOING = ("planning", "in_progress")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for. Nothing `spoken`: by the microphone. `works`: carry out TODOs here, too."""

    spoken: Sequence[Path]
    answer: Path | None
    language: Language
    repository: str | None
    linger: float
    works: bool
    as_json: bool


async def talk(house: House, wanted: Wanted) -> int:
    """Until the recording has been played, nothing more is said, and what goes on has ended or taken too long; by the
    microphone, until told to stop."""
    from orchestrator.cli.driving import Interruption
    from orchestrator.cli.orchestrating import work_beside
    from orchestrator.tasks import ended

    interruption = Interruption()
    working = asyncio.create_task(work_beside(house, interruption, works=wanted.works))
    talking = asyncio.create_task(_talk(house, wanted, wanted.spoken) if wanted.spoken else _talk_here(house, wanted))
    try:
        await asyncio.wait([working, talking], return_when=asyncio.FIRST_COMPLETED)
        signal = interruption.number
        interruption.end()
        await working
    finally:
        await ended(working, talking)
    if not talking.cancelled():
        talking.result()
    return 128 + signal if signal and wanted.spoken else 0


async def _talk_here(house: House, wanted: Wanted) -> None:
    """Our own speech comes back by the microphone: only the wake word interrupts it."""
    from orchestrator.cli.compose import whoami
    from orchestrator.cli.voice_means import voice_means
    from voice.choices import Choices
    from voice.chronicle import Chronicle
    from voice.desk import Speaker
    from voice.sessions import Session
    from voice.transports.local import PortAudio, local_ends

    devices = PortAudio()
    choices = Choices(language=wanted.language, barge_in="wake_word", chimes=house.settings.voice_chimes)
    async with voice_means(house, choices) as means:
        session = Session(
            means, Speaker(f"{whoami()} (voice)", repository=wanted.repository),
            lambda outlet: local_ends(devices, outlet),
            observers=[Chronicle(_print_json if wanted.as_json else _print)],
        )  # fmt: skip
        print("It listens: say “Atlas”. Ctrl-C ends it.", file=sys.stderr, flush=True)
        await session.run()


async def _talk(house: House, wanted: Wanted, spoken: Sequence[Path]) -> None:
    from orchestrator.cli.compose import whoami
    from orchestrator.cli.voice_means import voice_means
    from orchestrator.tasks import ended
    from state.errors import InputError
    from voice.choices import Choices
    from voice.chronicle import Chronicle
    from voice.desk import Speaker
    from voice.headless import FileLoudspeaker, FileMicrophone, Recording, writable
    from voice.pipeline import Ends
    from voice.sessions import Session

    if wanted.answer is not None:
        writable(wanted.answer)
    microphone = FileMicrophone(Recording(*spoken))
    loudspeakers: list[FileLoudspeaker] = []

    def ends(outlet: Outlet) -> Ends:
        loudspeakers.append(FileLoudspeaker(wanted.answer, outlet))
        return Ends(microphone, loudspeakers[0])

    choices = Choices(language=wanted.language, chimes=house.settings.voice_chimes)
    async with voice_means(house, choices) as means:
        session = Session(
            means, Speaker(f"{whoami()} (voice)", repository=wanted.repository),
            ends,
            observers=[Chronicle(_print_json if wanted.as_json else _print)],
        )  # fmt: skip
        running = asyncio.create_task(session.run())
        ending = asyncio.create_task(_end(house, session, microphone, wanted.linger))
        try:
            await asyncio.wait([running, ending], return_when=asyncio.FIRST_COMPLETED)
            if ending.done():
                ending.result()
            await running
        finally:
            await ended(running, ending)
    if failed := loudspeakers[0].failed:
        raise InputError(failed, "Name another file.")


async def _end(house: House, session: Session, microphone: FileMicrophone, linger: float) -> None:
    from pipecat.frames.frames import EndFrame

    from voice.headless import quiet

    await microphone.over.wait()
    deadline = asyncio.get_running_loop().time() + linger
    while True:
        await quiet(lambda: session.busy, _QUIET_SECONDS, deadline)
        going = any(run.state in _GOING for run in await house.service.current_runs(0))
        if not going or asyncio.get_running_loop().time() > deadline:
            break
    await session.talk.worker.queue_frame(EndFrame())


def _print_json(happening: dict[str, Any]) -> None:
    print(json.dumps(happening, ensure_ascii=False), flush=True)


def _print(happening: dict[str, Any]) -> None:
    match happening["event"]:
        case "wake":
            print("(wake word)", flush=True)
        case "turn" if happening["text"] and happening["confidence"] < _FAINT:
            print("you:   (not understood)", flush=True)
        case "turn" if happening["text"]:
            print(f"you:   {happening['text']}", flush=True)
        case "saying":
            print(f"atlas: {happening['text']}", flush=True)
        case "error":
            print(f"error: {happening['text']}", flush=True)
        case _:
            pass
