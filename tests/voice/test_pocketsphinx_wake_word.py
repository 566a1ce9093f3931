"""The wake word in speech made by espeak-ng: how often it is heard, and how often something else is taken for it."""

from __future__ import annotations

import pytest

from tests.services.speech import RATE, VOICES, spoken
from tests.voice.corpus import NEIGHBOURS, OTHER, WAKES
from voice.engines.wake_word import KeyphraseSpotter, WakeWordJudge


class Ear:
    """Spots and judges, as a conversation does."""

    def __init__(self) -> None:
        self._spotter = KeyphraseSpotter()
        self._judge = WakeWordJudge()

    def heard(self, pcm: bytes) -> list[float]:
        """Seconds at which the wake word was noticed."""
        self._spotter.reset()
        found = ((at, self._spotter.feed(pcm[at : at + 640])) for at in range(0, len(pcm), 640))
        return [at / 2 / RATE for at, spotted in found if spotted is not None and self._judge.is_it(spotted)]


@pytest.fixture(scope="module")
def ear() -> Ear:
    return Ear()


def test_who_says_it_is_heard_soon(ear: Ear) -> None:
    missed: list[tuple[str, str]] = []
    for number, (voice, text) in enumerate((voice, text) for voice in VOICES for text in WAKES[:5]):
        pcm = spoken(text, voice=voice, snr=20 if number % 2 else None, noise="pink")
        found = ear.heard(pcm)
        if not found:
            missed.append((voice, text))
        assert all(at < 2.0 for at in found)
    assert len(missed) <= 5, missed


def test_ten_minutes_of_something_else(ear: Ear) -> None:
    alarms: list[tuple[str, str]] = []
    seconds = 0.0
    for voice, text in ((voice, text) for voice in VOICES for text in OTHER):
        pcm = spoken(text, voice=voice, rate=150)
        alarms += [(voice, text)] * len(ear.heard(pcm))
        seconds += len(pcm) / 2 / RATE
        if seconds >= 600:
            break
    assert seconds >= 600
    assert len(alarms) <= 1, alarms


def test_what_is_made_to_sound_like_it_is_mostly_told_apart(ear: Ear) -> None:
    alarms = [(voice, text) for voice in VOICES for text in NEIGHBOURS[::2] if ear.heard(spoken(text, voice=voice))]
    assert len(alarms) <= 8, alarms


def test_silence_is_no_wake_word(ear: Ear) -> None:
    assert ear.heard(bytes(RATE * 2 * 40)) == []
    (at,) = ear.heard(bytes(RATE * 2 * 40) + spoken("hey atlas stop"))
    assert 40 < at < 42
