"""What of the audio passes when somebody is listened to: what was said with the wake word, and not what was said before
it."""

from __future__ import annotations

from pipecat.frames.frames import (
    BotStartedSpeakingFrame,
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.tests.utils import SleepFrame as Pause
from pipecat.tests.utils import run_test

from voice.attention import Attention
from voice.frames import TalkFrame
from voice.outlet import Outlet
from voice.wake_gate import PRE_ROLL_SECONDS, WakeGate

PIECE = 0.1
BYTES = int(16_000 * PIECE) * 2


class Once:
    """Finds it at the `at`th piece, which ended an utterance of so many pieces."""

    def __init__(self, at: int, pieces: int) -> None:
        self._at = at
        self._pieces = pieces

    def feed(self, audio: bytes) -> bytes | None:
        self._at -= 1
        return bytes(self._pieces * BYTES) if self._at == 0 else None

    async def is_it(self, audio: bytes) -> bool:
        return len(audio) == self._pieces * BYTES

    def reset(self) -> None:
        pass


async def passed(gate: WakeGate, *then: Frame, pieces: int = 70) -> float:
    """Seconds of audio that came through, of seven that were fed before anything else."""
    fed = [InputAudioRawFrame(audio=bytes(BYTES), sample_rate=16_000, num_channels=1) for _ in range(pieces + 1)]
    down, _ = await run_test(gate, frames_to_send=[*fed[:-1], Pause(0.2), *then, fed[-1], Pause(0.1)])
    return sum(frame.num_frames / 16_000 for frame in down if isinstance(frame, InputAudioRawFrame))


def gate(second: Once | None) -> WakeGate:
    return WakeGate(None, Attention(8.0), Outlet(), second=second)


async def test_a_whole_command_passes_with_its_wake_word() -> None:
    assert abs(await passed(gate(Once(70, 30))) - 3.1) < 0.25


async def test_nothing_passes_unless_it_was_the_wake_word() -> None:
    assert await passed(gate(None)) == 0
    assert await passed(gate(Once(99, 30))) == 0


async def test_what_was_said_before_an_answer_or_the_button_does_not_pass() -> None:
    for then in (BotStartedSpeakingFrame(), TalkFrame(pressed=True)):
        assert abs(await passed(gate(Once(99, 30)), then) - PRE_ROLL_SECONDS) < 0.25


class Clock:
    """Seconds that go by when they are told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def piece() -> InputAudioRawFrame:
    return InputAudioRawFrame(audio=bytes(BYTES), sample_rate=16_000, num_channels=1)


async def test_our_own_voice_is_not_listened_to_where_it_may_be_heard() -> None:
    clock = Clock()
    attention = Attention(8.0)
    attention.wake(0.0)
    own = WakeGate(None, attention, Outlet(), over_speech=False, pre_roll=0.0, clock=clock)
    sent = [piece(), Pause(0.05), BotStartedSpeakingFrame(), *(piece() for _ in range(20)), Pause(0.05)]
    down, _ = await run_test(own, frames_to_send=[*sent, TalkFrame(pressed=True), piece(), Pause(0.05)])
    heard = [frame for frame in down if isinstance(frame, InputAudioRawFrame)]
    assert len(heard) <= 3  # before, and with the button


async def test_it_listens_after_an_answer_however_long_that_took() -> None:
    clock = Clock()
    attention = Attention(8.0)
    attention.wake(0.0)
    listening = WakeGate(None, attention, Outlet(), clock=clock)

    async def at(seconds: float, *frames: Frame) -> None:
        clock.now = seconds
        await run_test(listening, frames_to_send=[*frames, Pause(0.05)])

    await at(1.0, VADUserStartedSpeakingFrame(), VADUserStoppedSpeakingFrame())
    await at(12.0, BotStartedSpeakingFrame())
    assert not attention.awake(12.0)
    await at(25.0, BotStoppedSpeakingFrame())
    assert attention.awake(32.0)
    await at(60.0, BotStartedSpeakingFrame())
    await at(65.0, BotStoppedSpeakingFrame())
    assert not attention.awake(65.0), "news are no answer"
