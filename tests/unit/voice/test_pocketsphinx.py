"""What the engines do at their edges: silence, nonsense, too much of it, no package."""

from __future__ import annotations

import subprocess
import sys

import pytest

from state.errors import EngineUnavailable
from tests.services.speech import RATE, spoken
from voice.engines.heard import SURE
from voice.engines.pocketsphinx import LONGEST, NOTHING, CommandRecognizer, Fit
from voice.engines.wake_word import KeyphraseSpotter


@pytest.fixture(scope="module")
def recognizer() -> CommandRecognizer:
    return CommandRecognizer(runs=["nightly"], partials=True)


@pytest.mark.parametrize("pcm", [b"", b"\x01", bytes(2), bytes(320), bytes(RATE * 2), b"\xff\x7f\x00\x80" * RATE])
def test_what_is_no_speech_is_nothing(recognizer: CommandRecognizer, pcm: bytes) -> None:
    recognizer.begin()
    recognizer.feed(pcm)
    assert recognizer.end().confidence < SURE


def test_it_ends_without_a_beginning_and_twice(recognizer: CommandRecognizer) -> None:
    recognizer.begin()
    assert recognizer.end() == NOTHING
    assert recognizer.end() == NOTHING


def test_an_hour_of_sound_costs_no_memory_and_is_no_command(recognizer: CommandRecognizer) -> None:
    recognizer.begin()
    for _ in range(3600):
        recognizer.feed(bytes(RATE * 2))
    assert len(recognizer._audio) <= (LONGEST + 1) * RATE * 2  # pyright: ignore[reportPrivateUsage]
    assert recognizer.end() == NOTHING


def test_parts_are_told_while_somebody_speaks_and_the_same_is_heard_again(recognizer: CommandRecognizer) -> None:
    pcm = spoken("cancel the nightly run")
    results = {recognizer.end()}
    for _ in range(2):
        recognizer.begin()
        parts = [recognizer.feed(pcm[start : start + 1280]) for start in range(0, len(pcm), 1280)]
        assert any("cancel" in part for part in parts)
        results.add(recognizer.end())
    assert {said.text for said in results - {NOTHING}} == {"cancel the nightly run"}
    assert len(results - {NOTHING}) == 1


def test_a_name_is_heard_once_it_is_known() -> None:
    recognizer = CommandRecognizer(partials=False)
    recognizer.feed(spoken("cancel the parser run"))
    assert "parser" not in recognizer.end().text
    recognizer.names(runs=["parser", "xqzzy"])
    recognizer.feed(spoken("cancel the parser run"))
    assert recognizer.end().text == "cancel the parser run"


def test_confidence_falls_with_whatever_fits_badly() -> None:
    good = Fit(cost=2, worst=3, pace=8, uncovered=0)
    assert good.confidence() > SURE
    for bad in (
        Fit(cost=5, worst=3, pace=8, uncovered=0),
        Fit(cost=2, worst=9, pace=8, uncovered=0),
        Fit(cost=2, worst=3, pace=16, uncovered=0),
        Fit(cost=2, worst=3, pace=8, uncovered=0.4),
    ):
        assert bad.confidence() < SURE < good.confidence() <= 1


@pytest.mark.parametrize("phrase", ["", "xqzzy", "atlas xqzzy", "atlas /1/"])
def test_a_wake_phrase_that_can_t_be_heard_is_refused(phrase: str) -> None:
    with pytest.raises(EngineUnavailable, match="can't listen"):
        KeyphraseSpotter(phrase=phrase)


@pytest.mark.parametrize(
    "made", ["voice.engines.pocketsphinx:CommandRecognizer", "voice.engines.wake_word:KeyphraseSpotter"]
)
def test_without_the_package_it_says_what_to_install(made: str) -> None:
    module, name = made.split(":")
    script = f"""
import sys
sys.modules["pocketsphinx"] = None
from state.errors import EngineUnavailable
from {module} import {name}
try:
    {name}()
except EngineUnavailable as error:
    print(error.code, error.message, error.hint)
"""
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60).stdout
    assert said.startswith("engine_unavailable The voice engine pocketsphinx is not installed. Install it: pip install")
