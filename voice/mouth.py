"""Says what `Speech` has to say, a sentence at a time, and knows what of it was heard.

Three processors around the speech engine: `Mouth` before it hands sentences over when nobody else speaks; `Lips` behind
it ends what an interruption cut short; `Ear` behind the transport's output counts what really went out.
"""

from __future__ import annotations

import asyncio

from pipecat.frames.frames import (
    CancelFrame,
    EndFrame,
    ErrorFrame,
    Frame,
    InterruptionFrame,
    OutputAudioRawFrame,
    StartFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    TTSStartedFrame,
    TTSStoppedFrame,
    UserStartedSpeakingFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from state.errors import EngineUnavailable
from voice.frames import OnsetFrame, OnsetOverFrame, SaidFrame
from voice.later import Later
from voice.outlet import Outlet
from voice.speech import Sentence, Speech

_SILENT_SECONDS = 12.0
"""An engine that has said nothing of a sentence by then will not. Longer than the engines wait themselves."""


_AGAIN_SECONDS = 2.0
"""After what did not leave."""
_ANSWER_SECONDS = 4.0
"""So long after something was asked nothing is begun that could be answered, too."""


class Playing:
    """What is between `Mouth` and `Ear`: sentences in the order they were handed over. Of one conversation."""

    def __init__(self) -> None:
        self.sentences: list[Sentence] = []
        self.contexts: dict[str | None, Sentence] = {}
        self.made: dict[str | None, float] = {}
        """Seconds of sound, by context."""
        self.seconds = 0.0
        """How much went out of the sentence that is being heard."""

    def next_made(self) -> Sentence | None:
        """Of which no sound has come; else the last."""
        begun = [each.number for each in self.contexts.values()]
        return next((each for each in self.sentences if each.number not in begun), (self.sentences or [None])[-1])

    def forget(self, sentence: Sentence) -> None:
        """Nothing comes of it any more."""
        self.sentences = [each for each in self.sentences if each.number != sentence.number]
        for context in [name for name, each in self.contexts.items() if each.number == sentence.number]:
            del self.contexts[context]
            self.made.pop(context, None)
        if not self.sentences:
            self.seconds = 0.0

    def cut(self) -> float:
        """Forget all of it; how much was heard of the first."""
        seconds, self.seconds = self.seconds, 0.0
        self.sentences.clear()
        self.contexts.clear()
        self.made.clear()
        return seconds


class Mouth(FrameProcessor):
    """Before the engine."""

    def __init__(self, speech: Speech, playing: Playing) -> None:
        super().__init__()
        self._speech = speech
        self._playing = playing
        self._more = asyncio.Event()
        self._loop: asyncio.Task[None] | None = None
        self._others: set[str] = set()
        """Why nothing is begun now."""
        self._again = Later(self)
        self._listened = Later(self)

    def wake(self) -> None:
        """There may be something to say."""
        self._more.set()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Sees who speaks; passes everything on."""
        await super().process_frame(frame, direction)
        match frame:
            case StartFrame():
                await self.push_frame(frame, direction)
                self._loop = self.create_task(self._speak(), name=f"{self}::speak")
                return
            case EndFrame() | CancelFrame():
                await self._end()
            case UserStartedSpeakingFrame():
                self._others.add("turn")
                await self._listened.stop()
                self._speech.attentive = False
            case UserStoppedSpeakingFrame():
                self._others.discard("turn")
            case OnsetFrame():
                self._others.add("onset")
            case OnsetOverFrame():
                self._others.discard("onset")
            case InterruptionFrame():
                self._speech.cut(self._playing.cut())
            case ErrorFrame() if direction == FrameDirection.UPSTREAM and frame.processor is self.next:
                if not isinstance(frame.exception, EngineUnavailable):  # who knows why ends the sentence as any other
                    self._unsayable(self._playing.next_made())
            case _:
                await self.push_frame(frame, direction)
                return
        self._more.set()
        await self.push_frame(frame, direction)

    async def unheard(self) -> None:
        """What was being said did not leave: nobody is there to hear it. It waits, and is tried again."""
        self._speech.cut(self._playing.cut())
        self._others.add("away")
        await self._again.start(_AGAIN_SECONDS, self._try_again)

    async def asked(self) -> None:
        """Something was asked, and heard to its end."""
        self._speech.attentive = True
        await self._listened.start(_ANSWER_SECONDS, self._listen_no_more)

    async def _listen_no_more(self) -> None:
        self._speech.attentive = False
        self._more.set()

    async def _try_again(self) -> None:
        self._others.discard("away")
        if not self._others:
            self._speech.resume()
        self._more.set()

    async def cleanup(self) -> None:
        """Says no more."""
        await super().cleanup()
        await self._again.stop()
        await self._listened.stop()
        await self._end()

    async def _end(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None:
            await self.cancel_task(loop)

    async def _speak(self) -> None:
        while True:
            self._more.clear()
            while not self._others and (sentence := self._speech.next()) is not None:
                self._playing.sentences.append(sentence)
                await self.push_frame(SaidFrame(text=sentence.text, kind=sentence.saying.kind))
                await self.push_frame(TTSSpeakFrame(text=sentence.text, append_to_context=False))
            try:
                await asyncio.wait_for(self._more.wait(), _SILENT_SECONDS)
            except TimeoutError:
                if self._playing.sentences and not self._playing.seconds:
                    self._unsayable(*self._playing.sentences)

    def _unsayable(self, *sentences: Sentence | None) -> None:
        for sentence in filter(None, sentences):
            self._speech.unsayable(sentence.number)
            self._playing.forget(sentence)
        self._more.set()


class Lips(FrameProcessor):
    """Behind the engine: nothing of what was cut comes through, and whoever waits for its end is told of it."""

    def __init__(self, playing: Playing, outlet: Outlet) -> None:
        super().__init__(enable_direct_mode=True)
        self._playing = playing
        self._outlet = outlet
        self._skip = 0.0
        self._context: str | None = None

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Audio of sentences that are still wanted passes, and all that is no speech."""
        await super().process_frame(frame, direction)
        match frame:
            case TTSStartedFrame():
                if not await self._begun(frame.context_id):
                    return
            case TTSAudioRawFrame():
                if frame.context_id not in self._playing.contexts:
                    return
                if (audio := self._unheard(frame)) is None:
                    return
                frame = audio
                seconds = frame.num_frames / frame.sample_rate
                self._playing.made[frame.context_id] = self._playing.made.get(frame.context_id, 0.0) + seconds
            case TTSStoppedFrame():
                if frame.context_id not in self._playing.contexts:
                    return
                self._context = None
            case InterruptionFrame():
                await self.push_frame(frame, direction)
                if self._context is not None:
                    await self.push_frame(TTSStoppedFrame(context_id=self._context))
                    self._context = None
                return
            case _:
                pass
        await self.push_frame(frame, direction)

    async def _begun(self, context: str | None) -> bool:
        known = set(map(id, self._playing.contexts.values()))
        sentence = next((each for each in self._playing.sentences if id(each) not in known), None)
        if sentence is None:
            return False
        if not known:
            self._playing.seconds = 0.0  # a chunk of what was cut may have been counted since
        self._playing.contexts[context] = sentence
        self._context, self._skip = context, sentence.skip
        self._outlet.open()
        return True

    def _unheard(self, frame: TTSAudioRawFrame) -> TTSAudioRawFrame | None:
        if self._skip <= 0:
            return frame
        seconds = frame.num_frames / frame.sample_rate
        if seconds <= self._skip:
            self._skip -= seconds
            return None
        start = int(self._skip * frame.sample_rate) * 2 * frame.num_channels
        self._skip = 0.0
        return TTSAudioRawFrame(frame.audio[start:], frame.sample_rate, frame.num_channels, frame.context_id)


class Ear(FrameProcessor):
    """Behind the transport's output, which passes on what it has written."""

    def __init__(self, speech: Speech, playing: Playing, mouth: Mouth) -> None:
        super().__init__(enable_direct_mode=True)
        self._speech = speech
        self._playing = playing
        self._mouth = mouth

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Counts, and passes everything on."""
        await super().process_frame(frame, direction)
        if isinstance(frame, OutputAudioRawFrame):
            self._playing.seconds += frame.num_frames / frame.sample_rate
        elif isinstance(frame, TTSStoppedFrame) and frame.context_id in self._playing.contexts:
            made = self._playing.made.pop(frame.context_id, 0.0)
            if self._playing.seconds < made / 2:
                await self._mouth.unheard()
                await self.push_frame(frame, direction)
                return
            sentence = self._playing.contexts.pop(frame.context_id)
            self._playing.sentences = [each for each in self._playing.sentences if each.number > sentence.number]
            self._playing.seconds = 0.0
            over = self._speech.done(sentence.number)
            if over is not None and over.asks:
                await self._mouth.asked()
            self._mouth.wake()
        await self.push_frame(frame, direction)
