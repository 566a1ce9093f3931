"""Conversations: each is a pipeline of its own, with what it shares with others of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pipecat.frames.frames import ErrorFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.workers.runner import WorkerRunner

from orchestrator.service import Service
from orchestrator.tasks import ended
from roles.models.chain import Chain, Patience
from roles.models.port import ChatModel
from state.errors import EngineUnavailable
from state.ports import Store
from state.records import new_id
from voice.choices import Choices
from voice.desk import Desk, Speaker
from voice.following import Following
from voice.frames import TroubleFrame
from voice.intents import Language
from voice.outlet import Outlet
from voice.phrase_commands import PhraseCommands
from voice.pipeline import Assembly, Ends, Engines, Talk
from voice.progress import Progress
from voice.saying import Saying
from voice.speech import Speech
from voice.spending import Spending
from voice.talking import ModelTalker
from voice.wording.receipts import receipt

_END_SECONDS = 10.0
MakeEnds = Callable[[Outlet], Ends]
MakeEngines = Callable[[Choices, PhraseCommands], Engines]


@dataclass(frozen=True, slots=True)
class Means:
    """What conversations need. `engines` makes those of one conversation; `EngineUnavailable` says what is missing."""

    service: Service
    store: Store
    engines: MakeEngines
    choices: Choices = field(default_factory=Choices)
    models: Callable[[], Awaitable[Sequence[ChatModel]]] | None = None
    """Those that a conversation asks, in this order; None: there is none."""
    plans: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Files, by the names under which they may be started."""
    repository: str | None = None
    """What goals are about when whoever speaks names none: a path or URL."""


class Session:
    """One conversation: made, run, and over when its pipeline has ended. `conversation` is the same for a client that
    comes back, so that it is told what it missed."""

    def __init__(
        self, means: Means, speaker: Speaker, make_ends: MakeEnds, *, conversation: str | None = None,
        choices: Choices | None = None, observers: Sequence[BaseObserver] = (), rtvi: RTVIProcessor | None = None,
        shown: Callable[[Sequence[Saying]], None] | None = None,
    ) -> None:  # fmt: skip
        """`shown` is given what is new in runs at once, for eyes; `rtvi` speaks with a client that has some."""
        chosen = choices or means.choices
        repository = speaker.repository or means.repository
        speaker = replace(speaker, plans={**means.plans, **speaker.plans}, repository=repository)
        self._assembly = Assembly(chosen)
        progress = Progress(chosen.language)
        self.following = Following(
            means.store, progress, speaker.name, conversation or new_id(), shown=shown, turned=self._turned
        )  # fmt: skip
        speech = self._assembly.speech
        commands = PhraseCommands(plans=list(speaker.plans))
        engines = means.engines(chosen, commands)
        desk = Desk(
            means.service, speaker, chosen.language, progress, self.promised, model=means.models is not None,
            free_speech=engines.free_speech,
        )  # fmt: skip
        self.talk: Talk = self._assembly.talk(
            make_ends(self._assembly.outlet), engines, desk, commands,
            talker=_talker(means, desk, speech), observers=observers, rtvi=rtvi,
        )  # fmt: skip
        _tell_troubles(self.talk, engines, lambda text: self.say(receipt("deaf", chosen.language, text=text)))
        speech.unasked = self.following
        speech.begun, speech.noticed = self.talk.conversation.begun, self.talk.conversation.noticed
        self._language: Language = chosen.language
        self._told_before = False

    def hush(self) -> None:
        """Nothing of what waits is said."""
        self._assembly.speech.hush()

    @property
    def busy(self) -> bool:
        """Whether somebody speaks, or has been asked, or there is something to be told."""
        return self.talk.conversation.busy or self.following.progress.waiting > 0

    async def run(self) -> None:
        """Until the transport or `EndFrame` ends it; cancelling it ends it at once."""
        runner = WorkerRunner(handle_sigint=False)
        await runner.add_workers(self.talk.worker)
        started = asyncio.Event()

        @self.talk.worker.event_handler("on_pipeline_started")
        async def begun(*_: object) -> None:
            started.set()

        @self.talk.worker.event_handler("on_pipeline_error")
        async def trouble(*_: object) -> None:
            await self.talk.worker.queue_frame(TroubleFrame())

        _ = begun, trouble
        running = asyncio.create_task(runner.run())
        aside = [asyncio.create_task(self.following.run()), asyncio.create_task(self._news())]
        try:
            left = {running, *aside}
            while running in left:  # what runs beside it does not end, or with an error
                done, left = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    each.result()
        finally:
            await _wound_up(runner, running, started)
            await ended(*aside)

    async def _news(self) -> None:
        while True:
            await self.following.waiting()
            self.talk.mouth.wake()
            await asyncio.sleep(0.05)  # it is taken when nobody speaks

    @property
    def outlet_gain(self) -> float:
        """How loud what is said is being said: 1 as ever, less while somebody may be speaking, 0 not at all."""
        return self._assembly.outlet.gain

    def say(self, saying: Saying) -> None:
        """As soon as nobody else speaks."""
        self._assembly.speech.say(saying)
        self._assembly.mouth.wake()

    def promised(self, saying: Saying) -> None:
        """The end of what was said to be under way: whoever interrupts meanwhile hears it later."""
        self._assembly.speech.promise(saying)
        self._assembly.mouth.wake()

    def _turned(self, ours: bool) -> None:
        if not ours and not self._told_before:
            self._told_before = True
            self.say(receipt("told_elsewhere", self._language))


def _tell_troubles(talk: Talk, engines: Engines, tell: Callable[[str], None]) -> None:
    """Whoever is not understood is told why. Why nothing can be heard of us only eyes are told, by `Chronicle`."""

    @talk.worker.event_handler("on_pipeline_error")
    async def failed(_: object, frame: ErrorFrame) -> None:
        if frame.processor is engines.recognition and isinstance(frame.exception, EngineUnavailable):
            tell(frame.exception.message)

    del failed


async def _wound_up(runner: WorkerRunner, running: asyncio.Task[None], started: asyncio.Event) -> None:
    """A pipeline that is cancelled while it begins leaves its parts running: it has begun before it is told to end.
    Whoever is cancelled again meanwhile waits all the same."""
    end = asyncio.get_running_loop().time() + _END_SECONDS
    begun = asyncio.create_task(started.wait())
    await _waited([running, begun], end)
    await ended(begun)
    await runner.cancel()
    await _waited([running], end)
    await ended(running)


async def _waited(tasks: Sequence[asyncio.Task[Any]], end: float) -> None:
    """Until one of them is done, or that time has come."""
    now = asyncio.get_running_loop().time
    while not any(each.done() for each in tasks) and now() < end:
        with suppress(asyncio.CancelledError):
            await asyncio.wait(tasks, timeout=end - now(), return_when=asyncio.FIRST_COMPLETED)


def _talker(means: Means, desk: Desk, speech: Speech) -> ModelTalker | None:
    models, spending = means.models, Spending()
    if models is None:
        return None

    async def asks() -> Chain:
        return Chain(await models(), spending, Patience(tries=2))

    return ModelTalker(asks, desk, lambda: speech.heard, new_id())
