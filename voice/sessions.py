"""Conversations: each is a pipeline of its own, with what it shares with others of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from pipecat.frames.frames import CancelFrame
from pipecat.observers.base_observer import BaseObserver
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.workers.runner import WorkerRunner

from orchestrator.service import Service
from orchestrator.tasks import ended
from roles.models.chain import Chain, Patience
from roles.models.port import ChatModel
from state.ports import Store
from state.records import new_id
from voice.choices import Choices
from voice.desk import Desk, Speaker
from voice.following import Following
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
    free_speech: bool = False


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
        self._assembly = Assembly(chosen)
        progress = Progress(chosen.language)
        self.following = Following(
            means.store, progress, speaker.name, conversation or new_id(), shown=shown, turned=self._turned
        )  # fmt: skip
        speech = self._assembly.speech
        desk = Desk(
            means.service, speaker, chosen.language, progress, self.say, model=means.models is not None,
            free_speech=means.free_speech,
        )  # fmt: skip
        commands = PhraseCommands(plans=list(speaker.plans))
        self.talk: Talk = self._assembly.talk(
            make_ends(self._assembly.outlet), means.engines(chosen, commands), desk, commands,
            talker=_talker(means, desk, speech), observers=observers, rtvi=rtvi,
        )  # fmt: skip
        speech.unasked = self.following
        speech.begun = self.talk.conversation.begun
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
        aside = [asyncio.create_task(self.following.run()), asyncio.create_task(self._news())]
        try:
            await runner.run()
        except asyncio.CancelledError:
            await self.talk.worker.queue_frame(CancelFrame())
            raise
        finally:
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

    def _turned(self, ours: bool) -> None:
        if not ours and not self._told_before:
            self._told_before = True
            self.say(receipt("told_elsewhere", self._language))


def _talker(means: Means, desk: Desk, speech: Speech) -> ModelTalker | None:
    models, spending = means.models, Spending()
    if models is None:
        return None

    async def asks() -> Chain:
        return Chain(await models(), spending, Patience(tries=2))

    return ModelTalker(asks, desk, lambda: speech.heard, new_id())
