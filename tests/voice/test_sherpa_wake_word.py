"""The wake word by sherpa-onnx on the real runtime, with a model to which words are tones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from state.errors import EngineUnavailable
from tests.services.tone_models import PIECES, sound, transducer
from voice.engines.apart import Apart
from voice.engines.parts import Setup
from voice.engines.sherpa_wake import SherpaWakeWords
from voice.wake_gate import Spotter

ATLAS = ("▁AT", "LA", "S")
_PIECE = 640


def setup(models: Path, model: str = "tones") -> Setup:
    return Setup("sherpa-onnx", model, "", models, None, {}, Apart())


@pytest.fixture
async def wake(tmp_path: Path) -> AsyncGenerator[SherpaWakeWords]:
    transducer(tmp_path / "tones")
    part = SherpaWakeWords(setup(tmp_path))
    await part.ready()
    yield part
    await part.close()


async def found(wake: SherpaWakeWords, spotter: Spotter, *said: str | float) -> int:
    """How often the wake word was in that, as a conversation hears it: in pieces, each heard before the next."""
    heard = sound(*said, 0.6)
    times = 0
    for at in range(0, len(heard), _PIECE):
        spotted = spotter.feed(heard[at : at + _PIECE])
        await wake.held.run(lambda: None)  # in the one thread that listens, so after that piece
        if spotted is not None:
            assert await spotter.is_it(spotted)
            times += 1
    return times


async def test_it_is_found_wherever_it_is_said(wake: SherpaWakeWords) -> None:
    assert await found(wake, wake.spotter(), 0.3, *ATLAS) == 1
    assert await found(wake, wake.spotter(), 0.3, "▁RUN", *ATLAS, 0.5, "▁STOP", *ATLAS) == 2
    assert await found(wake, wake.spotter(), 3.0, *ATLAS, 3.0) == 1


async def test_other_words_are_not_it(wake: SherpaWakeWords) -> None:
    assert await found(wake, wake.spotter(), 0.3, "▁AT", "S", 0.5, "LA", "S", 0.5, "▁RUN", "LA", "S", "▁STOP") == 0
    assert await found(wake, wake.spotter(), 5.0) == 0


async def test_what_was_said_before_a_reset_is_forgotten(wake: SherpaWakeWords) -> None:
    spotter = wake.spotter()
    for _ in range(5):
        assert await found(wake, spotter, 0.3, "▁AT") == 0
        spotter.reset()
        assert await found(wake, spotter, "LA", "S") == 0
        assert await found(wake, spotter, *ATLAS) == 1
    spotter.feed(sound(0.3, *ATLAS, 0.3))
    spotter.reset()
    assert await found(wake, spotter, 0.5) == 0


async def test_two_conversations_do_not_mix(wake: SherpaWakeWords) -> None:
    one, other = wake.spotter(), wake.spotter()
    assert await asyncio.gather(found(wake, one, 0.3, "▁AT", 0.2), found(wake, other, 0.3, "LA", "S")) == [0, 0]
    assert await asyncio.gather(found(wake, one, "LA", "S"), found(wake, other, *ATLAS)) == [1, 1]


async def test_the_keywords_of_the_directory_are_used(tmp_path: Path) -> None:
    (transducer(tmp_path / "tones") / "keywords.txt").write_text("▁RUN LA #0.3 @run_la\n▁STOP S @stops\n")
    part = SherpaWakeWords(setup(tmp_path))
    await part.ready()
    assert await found(part, part.spotter(), 0.3, *ATLAS, 0.5, "▁RUN", "LA", 0.5, "▁STOP", "S") == 2
    await part.close()


async def test_a_model_that_does_not_spell_it_needs_keywords(tmp_path: Path) -> None:
    transducer(tmp_path / "tones", pieces=[piece.replace("▁AT", "AE1") for piece in PIECES])
    with pytest.raises(EngineUnavailable, match=r"no keywords\.txt") as caught:
        SherpaWakeWords(setup(tmp_path))
    assert "keywords.txt" in caught.value.hint


async def test_keywords_that_the_model_does_not_have(tmp_path: Path) -> None:
    (transducer(tmp_path / "tones") / "keywords.txt").write_text("▁NO PE @nope\n")
    part = SherpaWakeWords(setup(tmp_path))
    with pytest.raises(EngineUnavailable, match="Cannot find ID for token ▁NO"):
        await part.ready()
    await part.close()


@pytest.mark.parametrize("broken", [b"", b"no model at all", b"\x08\x09\x3a\xff\xff\xff\x7f"])
async def test_a_broken_file_is_told_of_and_nobody_dies(tmp_path: Path, broken: bytes) -> None:
    (transducer(tmp_path / "tones") / "encoder.onnx").write_bytes(broken)
    part = SherpaWakeWords(setup(tmp_path))
    with pytest.raises(EngineUnavailable, match="can't use the model in "):
        await part.ready()
    await part.close()


async def test_a_file_that_crashes_the_runtime_is_told_of_and_nobody_dies(tmp_path: Path) -> None:
    place = transducer(tmp_path / "tones")
    (place / "encoder.onnx").write_bytes((place / "joiner.onnx").read_bytes())
    part = SherpaWakeWords(setup(tmp_path))
    with pytest.raises(EngineUnavailable, match="No model_type in the metadata"):
        await part.ready()
    await part.close()


async def test_a_problem_while_listening_is_told_once(wake: SherpaWakeWords) -> None:
    spotter = wake.spotter()
    await wake.close()
    spotted = spotter.feed(sound(0.2))
    while spotted is None:
        await asyncio.sleep(0)
        spotted = spotter.feed(sound(0.2))
    with pytest.raises(EngineUnavailable, match="closed"):
        await spotter.is_it(spotted)
    assert [spotter.feed(sound(0.2)) for _ in range(5)] == [None] * 5
