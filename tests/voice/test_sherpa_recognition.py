"""Recognition by sherpa-onnx on the real runtime, with models to which words are tones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from pipecat.frames.frames import (
    InterimTranscriptionFrame,
    TranscriptionFrame,
    VADUserStartedSpeakingFrame,
    VADUserStoppedSpeakingFrame,
)

from state.errors import EngineUnavailable
from tests.services.tone_models import PIECES, sound, transducer, whole_utterances
from tests.voice.alone import Alone, alone, audio
from voice.engines.apart import Apart
from voice.engines.heard import Heard
from voice.engines.parts import Setup
from voice.engines.sherpa_listening import SherpaRecognition
from voice.engines.streaming import LONGEST_SECONDS, StreamingSTT
from voice.frames import WakeFrame, WordsFrame
from voice.phrase_commands import PhraseCommands

RUN_TESTS = ("▁RUN", 0.1, "▁TEST", "S")


def setup(models: Path, model: str) -> Setup:
    return Setup("sherpa-onnx", model, "", models, None, {}, Apart())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models")
    transducer(place / "tones")
    whole_utterances(place / "whole")
    return place


@pytest.fixture
async def streaming(models: Path) -> AsyncGenerator[SherpaRecognition]:
    part = SherpaRecognition(setup(models, "tones"))
    await part.ready()
    yield part
    await part.close()


def listening(part: SherpaRecognition) -> StreamingSTT:
    service = part.service("en", PhraseCommands())
    assert isinstance(service, StreamingSTT)
    return service


def words(room: Alone) -> list[str]:
    return [frame.heard.text for frame in room.of(WordsFrame)]


def told(room: Alone) -> list[str]:
    return [frame.text for frame in room.of(InterimTranscriptionFrame)]


async def test_words_are_told_while_they_are_spoken_and_once_more_at_the_end(streaming: SherpaRecognition) -> None:
    assert streaming.free_speech
    assert streaming.trust_interim
    async with alone(listening(streaming)) as room:
        await room.give(VADUserStartedSpeakingFrame(), *audio(sound(0.2, "▁RUN", 0.2)))
        await room.until(lambda: told(room) == ["run"])
        await room.give(*audio(sound("▁TEST", "S", 0.2)))
        await room.until(lambda: told(room)[-1] == "run tests")
        assert not words(room)
        await room.give(*audio(sound("▁STOP", 0.2)), VADUserStoppedSpeakingFrame())
        await room.until(lambda: room.of(TranscriptionFrame))
        assert words(room) == ["run tests stop"]
        (said,) = room.of(TranscriptionFrame)
        assert (said.text, said.result, said.finalized) == ("run tests stop", Heard("run tests stop"), True)
        assert room.frames.index(room.of(WordsFrame)[0]) < room.frames.index(said)
        assert told(room) == sorted(set(told(room)), key=len), "each of them new, and longer than the last"


async def test_an_utterance_of_nothing_is_told_of_too(streaming: SherpaRecognition) -> None:
    async with alone(listening(streaming)) as room:
        await room.say(sound(0.6))
        await room.say(sound(0.2, "▁STOP", 0.2))
        await room.until(lambda: len(room.of(WordsFrame)) == 2)
        assert words(room) == ["", "stop"]
        assert [frame.text for frame in room.of(TranscriptionFrame)] == ["stop"]


async def test_the_first_word_is_heard_though_the_voice_is_noticed_late(streaming: SherpaRecognition) -> None:
    async with alone(listening(streaming)) as room:
        await room.give(*audio(sound(1.0, "▁RUN")), VADUserStartedSpeakingFrame(), *audio(sound("▁TEST", 0.2)))
        await room.give(VADUserStoppedSpeakingFrame())
        await room.until(lambda: words(room))
        assert words(room) == ["run test"]


async def test_who_goes_on_at_once_is_not_heard_twice(streaming: SherpaRecognition) -> None:
    async with alone(listening(streaming)) as room:
        await room.say(sound("▁RUN", 0.1))
        await room.say(sound(0.1, "▁TEST", 0.1))
        await room.until(lambda: len(words(room)) == 2)
        assert words(room) == ["run", "test"]


async def test_after_the_wake_word_an_utterance_begins_anew(streaming: SherpaRecognition) -> None:
    async with alone(listening(streaming)) as room:
        await room.give(VADUserStartedSpeakingFrame(), *audio(sound("▁RUN", 0.2, "▁TEST", 1.4, "▁STOP")))
        await room.give(WakeFrame(), *audio(sound("▁RUN", 0.2)), VADUserStoppedSpeakingFrame())
        await room.until(lambda: words(room))
        assert words(room) == ["stop run"]


async def test_two_conversations_at_once_do_not_mix(streaming: SherpaRecognition) -> None:
    async with alone(listening(streaming)) as one, alone(listening(streaming)) as other:

        async def talk(room: Alone, *said: str | float) -> None:
            for _ in range(5):
                await room.say(sound(*said))

        await asyncio.gather(talk(one, 0.1, "▁RUN", 0.2), talk(other, 0.1, "▁STOP", "▁TEST", 0.2))
        await one.until(lambda: len(words(one)) == 5)
        await other.until(lambda: len(words(other)) == 5)
        assert words(one) == ["run"] * 5
        assert words(other) == ["stop test"] * 5


async def test_what_is_said_after_a_minute_is_not_kept(streaming: SherpaRecognition) -> None:
    async with alone(listening(streaming)) as room:
        await room.give(VADUserStartedSpeakingFrame(), *audio(sound("▁RUN", LONGEST_SECONDS + 1)))
        await room.give(*audio(sound("▁STOP")), VADUserStoppedSpeakingFrame())
        await room.until(lambda: words(room))
        assert words(room) == ["run"]


async def test_the_loop_does_not_wait_for_recognition(streaming: SherpaRecognition) -> None:
    waits: list[float] = []

    async def others() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            waits.append(time.perf_counter() - began)

    async with alone(listening(streaming)) as room:
        beside = asyncio.create_task(others())
        await room.say(sound(*(RUN_TESTS * 20), 0.3))
        await room.until(lambda: words(room))
        beside.cancel()
    assert sorted(waits)[len(waits) // 2] < 0.05


async def test_closed_while_somebody_speaks(models: Path) -> None:
    part = SherpaRecognition(setup(models, "tones"))
    await part.ready()
    async with alone(listening(part)) as room:
        await room.give(VADUserStartedSpeakingFrame(), *audio(sound("▁RUN", 0.2)))
        await room.until(lambda: room.of(InterimTranscriptionFrame))
        await part.close()
        await room.give(*audio(sound("▁TEST")), VADUserStoppedSpeakingFrame())
        await room.until(lambda: room.of(WordsFrame))
        assert [frame.heard for frame in room.of(WordsFrame)] == [Heard("", 0.0)]


async def test_nobody_is_heard_before_it_is_ready(models: Path) -> None:
    part = SherpaRecognition(setup(models, "tones"))
    async with alone(listening(part)) as room:
        await room.say(sound("▁RUN", 0.2))
        await room.until(lambda: room.of(WordsFrame))
        assert words(room) == [""]
    await part.close()


async def test_a_model_of_whole_utterances(models: Path) -> None:
    part = SherpaRecognition(setup(models, "whole"))
    await part.ready()
    assert part.free_speech
    assert not part.trust_interim
    async with alone(part.service("en", PhraseCommands())) as room:
        await room.say(sound(0.2, *RUN_TESTS, 0.8))
        await room.say(sound(0.8))
        await room.say(sound(0.2, "▁STOP", 0.8))
        await room.until(lambda: len(words(room)) == 3)
        assert words(room) == ["run tests", "", "stop"]
        assert not room.of(InterimTranscriptionFrame)
    await part.close()


async def test_letters_stay_as_they_are_where_the_model_writes_small_ones(tmp_path: Path) -> None:
    transducer(tmp_path / "tones", pieces=[*PIECES, "é"])
    part = SherpaRecognition(setup(tmp_path, "tones"))
    await part.ready()
    async with alone(listening(part)) as room:
        await room.say(sound("▁RUN", 0.2))
        await room.until(lambda: words(room))
        assert words(room) == ["RUN"]
    await part.close()


async def test_a_model_that_would_end_the_process_is_refused(models: Path, tmp_path: Path) -> None:
    transducer(tmp_path / "tones")
    (tmp_path / "tones" / "tokens.txt").write_text("this is no number\n")
    part = SherpaRecognition(setup(tmp_path, "tones"))
    with pytest.raises(EngineUnavailable, match="can't use the model in ") as caught:
        await part.ready()
    assert "atlas voice models" in caught.value.hint
    await part.close()
