"""A finished turn becomes an intent, the intent acts, the acts sentences; nothing that takes long is waited for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    Frame,
    InterruptionFrame,
    StartFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from state.errors import AtlasError, StoreError
from voice import dialogue
from voice.acts import Act, AnswerQuestion, Asked, AskModel, GoOn, Hush, Run, SayAgain, Start
from voice.desk import Desk
from voice.engines.heard import FAINT
from voice.frames import IntentFrame, TurnFrame
from voice.intents import Backchannel, Intent, Language, Talk
from voice.mouth import Mouth
from voice.saying import Saying
from voice.situation import Memory, Situation
from voice.speech import Speech
from voice.wording.receipts import receipt
from voice.wording.spoken import sentence

log = logging.getLogger(__name__)

_FRESH_SECONDS = 120.0
"""So long after something was asked a "yes" is an answer to it."""
_NAMES = 20
"""Of runs, at most, that recognition is told of, newest first."""


class Understanding(Protocol):
    """What `voice.grammar` does."""

    def understand(self, text: str) -> Intent | None:
        """The intent of a whole command; None: it is none."""
        ...

    def is_backchannel(self, text: str) -> bool:
        """Whether somebody only shows that they listen."""
        ...

    def may_name(self, runs: Collection[str]) -> None:
        """These runs may be meant from now on, by their names."""
        ...


class Talker(Protocol):
    """Answers what is no command, by a model."""

    async def reply(self, text: str, said: Callable[[Saying], None]) -> Start | None:
        """Give each sentence as soon as it is whole. Returns what it proposes to start, which is read back first.
        Cancelling it closes the model's connection."""
        ...


class Conversation(FrameProcessor):
    """Behind the turn processor. `talker` None: there is no model."""

    def __init__(
        self, desk: Desk, speech: Speech, mouth: Mouth, understanding: Understanding, language: Language,
        talker: Talker | None = None, *, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        super().__init__()
        self._desk = desk
        self._speech = speech
        self._mouth = mouth
        self._understanding = understanding
        self._language: Language = language
        self._talker = talker
        self._memory = Memory()
        self._clock = clock
        self._asked_at = float("-inf")
        self._proposed: tuple[Saying, Start] | None = None
        """By the model, and how it is read back: a yes means it once that has begun."""
        self._turns: asyncio.Queue[TurnFrame] = asyncio.Queue()
        self._listening = False
        self._taking = False
        self._acting: asyncio.Task[None] | None = None
        self._talking: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether somebody is speaking, or waits for an answer."""
        said = self._speech.taken or self._speech.waits
        return self._listening or self._taking or said or not self._turns.empty()

    @property
    def desk(self) -> Desk:
        """Where things are done."""
        return self._desk

    @property
    def memory(self) -> Memory:
        """What it is about."""
        return self._memory

    def begun(self, saying: Saying) -> None:
        """This is being said: what comes next may be an answer to it, or about it. Of news it is not known yet whether
        they were heard: what is said now may be about them, or about what was before. Nor can a question be answered
        before it was heard: a "yes" that comes as it begins was for something else."""
        memory, answers = self._memory, saying.kind in ("receipt", "answer")
        if self._proposed is not None and saying is self._proposed[0]:
            memory = replace(memory, asked=Asked(yes=(self._proposed[1],)))
            self._proposed = None
        if saying.question is not None:
            again = memory.question == saying.question
            memory = replace(memory, question=saying.question if again else None, asked=None)
        elif not answers:
            memory = replace(memory, question=None)
        if saying.run is not None:
            if answers:
                memory = replace(memory, focus=Run(saying.run))
            elif memory.focus != Run(saying.run):
                memory = replace(memory, focus=None)
            self._learn_names()  # it may be a new one
        self._remember(memory)

    def noticed(self, saying: Saying) -> None:
        """A sentence of it was heard: it is what the conversation is about."""
        memory = self._memory
        if saying.run is not None:
            memory = replace(memory, focus=Run(saying.run))
        if saying.question is not None:
            memory = replace(memory, question=saying.question)
            if not self._speech.untold(saying):
                self._desk.put(saying.question)
        self._remember(memory)

    def _remember(self, memory: Memory) -> None:
        if (memory.question, memory.asked) != (self._memory.question, self._memory.asked):
            self._asked_at = self._clock()
        self._memory = memory

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Takes turns; passes all else on."""
        await super().process_frame(frame, direction)
        match frame:
            case TurnFrame():
                self._speech.hold()
                self._turns.put_nowait(frame)
                if self._acting is None:
                    self._acting = self.create_task(self._act(), name=f"{self}::act")
                return
            case StartFrame():
                await self.push_frame(frame, direction)
                self._learn_names()
                return
            case UserStartedSpeakingFrame():
                self._listening = True
                await self._stop_talking()
                self._learn_names()
            case UserStoppedSpeakingFrame():
                self._listening = False
            case InterruptionFrame():
                await self._stop_talking()
            case EndFrame() | CancelFrame():
                await self._end()
            case _:
                pass
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        """Ends with what it has begun."""
        await super().cleanup()
        await self._end()
        await self._desk.close()

    async def _end(self) -> None:
        tasks = (self._acting, self._looking)
        self._acting = self._looking = None
        await self._stop_talking()
        for task in filter(None, tasks):
            await self.cancel_task(task)

    def _learn_names(self) -> None:
        """While somebody begins to speak: whoever recognises it may have to know what runs are called."""
        if self._looking is None or self._looking.done():
            self._looking = self.create_task(self._look(), name=f"{self}::look")

    async def _look(self) -> None:
        try:
            situation = await self._desk.situation()
        except StoreError as error:
            log.warning("%s", error)
            return
        self._understanding.may_name(tuple(dict.fromkeys(run.name for run in situation.runs))[:_NAMES])

    async def _stop_talking(self) -> None:
        talking, self._talking = self._talking, None
        if talking is not None:
            await self.cancel_task(talking)

    async def _act(self) -> None:
        while True:
            turn = await self._turns.get()
            self._taking = True
            try:
                await self._take(turn)
            except StoreError as error:
                log.warning("%s", error)
                self._speech.drop()
                self._say(receipt("unavailable", self._language))
            except Exception:
                log.exception("a turn could not be taken")
                self._speech.drop()
                self._say(receipt("refused", self._language))
            finally:
                self._taking = False
                self._speech.release()
                self._mouth.wake()

    async def _take(self, turn: TurnFrame) -> None:
        intent = self._intent(turn)
        if intent is None:
            self._speech.drop()
            self._say(receipt("listening", self._language))
            return
        await self.push_frame(IntentFrame(intent=intent, text=turn.text))
        situation = await self._desk.situation()
        heard = dialogue.Heard(intent, turn.text, woken=turn.woken, confidence=turn.confidence)
        if self._clock() - self._asked_at > _FRESH_SECONDS:
            self._memory = Memory(self._memory.focus)
        memory, acts = dialogue.decide(heard, situation, self._memory)
        self._remember(memory)
        if not any(isinstance(act, GoOn) for act in acts):
            self._proposed = None
        if not any(isinstance(act, GoOn | Hush | SayAgain) for act in acts):
            self._speech.drop()
        for act in acts:
            match act:
                case GoOn():
                    self._speech.resume()
                    self._mouth.wake()
                case Hush():
                    self._speech.hush()
                case SayAgain():
                    self._say_again()
                case AskModel(text=text):
                    await self._talk(text)
                case _:
                    await self._carry_out(act, situation)

    async def _carry_out(self, act: Act, situation: Situation) -> None:
        """The receipt is said before whatever comes of it."""
        with self._speech.making():
            done = await self._desk.carry_out(act, situation, self._memory)
        if isinstance(act, AnswerQuestion):
            self._speech.forget(act.question)
        self._remember(done.memory)
        self._say(*done.sayings)

    def _say_again(self) -> None:
        if self._speech.restart():
            self._mouth.wake()
            return
        last = self._speech.last
        self._speech.drop()
        again = replace(last, kind="answer", tells=()) if last else None
        self._say(again or receipt("nothing_to_repeat", self._language))

    def _intent(self, turn: TurnFrame) -> Intent | None:
        """None: somebody said the wake word, and nothing more so far."""
        text = turn.text.strip()
        known = self._understanding.understand(text) if turn.confidence >= FAINT else None
        intent = (known or Talk(text)) if text else Backchannel()
        return None if turn.called and isinstance(intent, Backchannel) else intent

    async def _talk(self, text: str) -> None:
        await self._stop_talking()
        if self._talker is None:
            self._say(receipt("no_model", self._language))
            return
        self._talking = self.create_task(self._answer(self._talker, text), name=f"{self}::talk")

    async def _answer(self, talker: Talker, text: str) -> None:
        try:
            with self._speech.making():
                proposed = await talker.reply(text, self._say)
                if proposed is not None:
                    saying = receipt("sure_start", self._language, text=proposed.goal)
                    self._proposed = saying, proposed
                    self._say(saying)
        except AtlasError as error:
            log.warning("%s", error)
            self._say(receipt("refused", self._language, text=sentence(error.message, self._language)))
        finally:
            self._mouth.wake()

    def _say(self, *sayings: Saying) -> None:
        self._speech.say(*sayings)
        self._mouth.wake()
