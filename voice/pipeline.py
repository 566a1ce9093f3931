"""The pipeline of one conversation, put together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from pipecat.audio.turn.smart_turn.base_smart_turn import SmartTurnParams
from pipecat.audio.turn.smart_turn.local_smart_turn_v3 import LocalSmartTurnAnalyzerV3
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.audio.vad.vad_analyzer import VADParams
from pipecat.observers.base_observer import BaseObserver
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.audio.vad_processor import VADProcessor
from pipecat.processors.frame_processor import FrameProcessor
from pipecat.processors.frameworks.rtvi import RTVIProcessor
from pipecat.turns.user_turn_processor import UserTurnProcessor
from pipecat.turns.user_turn_strategies import UserTurnStrategies

from voice.attention import Attention
from voice.chimes import Chimes
from voice.choices import Choices
from voice.conversation import Conversation, Talker, Understanding
from voice.desk import Desk
from voice.microphone import RATE, Microphone
from voice.mouth import Ear, Lips, Mouth, Playing
from voice.outlet import Outlet
from voice.speech import Speech
from voice.turn_begins import TurnBegins
from voice.turn_ends import CommandEndsTurn, SoundEndsTurn, Standing
from voice.wake_gate import Spotter, WakeGate

OUT_RATE = 24_000
"""Hz of what is spoken."""
_CONFIDENCE = 0.6
_STUCK_SECONDS = 5.0


class Commands(Understanding, Protocol):
    """`Understanding`, and when a turn need not be waited for."""

    @property
    def standing(self) -> Standing: ...


@dataclass(frozen=True, slots=True)
class Ends:
    """Where sound comes from and goes to: the processors of a transport whose output is filtered by `outlet`."""

    source: FrameProcessor
    sink: FrameProcessor


@dataclass(frozen=True, slots=True)
class Engines:
    """What hears and speaks. `spotter` None: no wake word. `trust_interim`: what recognition takes for words while they
    are spoken is mostly right. `free_speech`: it understands more than commands. `second`: see `WakeGate`."""

    recognition: FrameProcessor
    speech: FrameProcessor
    spotter: Spotter | None
    trust_interim: bool = True
    free_speech: bool = False
    second: Spotter | None = None


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation that can be run."""

    worker: PipelineWorker
    conversation: Conversation
    speech: Speech
    mouth: Mouth


class Assembly:
    """What the parts of one conversation share, made before the transport, which needs `outlet`, and the desk, which
    needs `speech`."""

    def __init__(self, choices: Choices) -> None:
        self.choices = choices
        self.outlet = Outlet()
        self.speech = Speech()
        self.playing = Playing()
        self.mouth = Mouth(self.speech, self.playing)

    def talk(
        self, ends: Ends, engines: Engines, desk: Desk, commands: Commands, *, talker: Talker | None = None,
        observers: Sequence[BaseObserver] = (), rtvi: RTVIProcessor | None = None,
    ) -> Talk:  # fmt: skip
        """Put together; nothing runs yet. `rtvi`: speaks with a client that has more than ears."""
        choices = self.choices
        attention = Attention(choices.awake, always=choices.wake == "always")
        gate = WakeGate(
            engines.spotter, attention, self.outlet, second=engines.second, over_speech=choices.barge_in == "speech"
        )
        hearing = VADParams(confidence=_CONFIDENCE, start_secs=choices.onset, stop_secs=choices.silence, min_volume=0.0)
        vad = VADProcessor(vad_analyzer=SileroVADAnalyzer(params=hearing))
        begins = TurnBegins(
            self.speech, self.outlet, commands.is_backchannel, confirm_seconds=choices.confirm,
            silence_seconds=choices.silence, trust_interim=engines.trust_interim,
        )  # fmt: skip
        whole = CommandEndsTurn(attention, commands.standing, commands.is_backchannel, time.monotonic)
        smart = LocalSmartTurnAnalyzerV3(params=SmartTurnParams(stop_secs=choices.pause))
        turns = UserTurnProcessor(
            user_turn_strategies=UserTurnStrategies(start=[begins], stop=[whole, SoundEndsTurn(smart)]),
            user_turn_stop_timeout=_STUCK_SECONDS,
        )
        conversation = Conversation(desk, self.speech, self.mouth, commands, choices.language, talker)
        chimes = [Chimes(self.outlet)] if choices.chimes else []
        parts: list[FrameProcessor] = [
            ends.source, Microphone(), gate, vad, engines.recognition, turns, conversation, self.mouth, engines.speech,
            Lips(self.playing, self.outlet), *chimes, ends.sink, Ear(self.speech, self.playing, self.mouth),
        ]  # fmt: skip
        worker = PipelineWorker(
            Pipeline(parts),
            params=PipelineParams(audio_in_sample_rate=RATE, audio_out_sample_rate=OUT_RATE),
            enable_rtvi=rtvi is not None, rtvi_processor=rtvi, observers=list(observers),
            idle_timeout_secs=None, cancel_on_idle_timeout=False,
        )  # fmt: skip
        return Talk(worker, conversation, self.speech, self.mouth)
