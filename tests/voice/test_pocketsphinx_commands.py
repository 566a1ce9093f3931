"""Commands spoken by espeak-ng and heard by pocketsphinx: how many are right, and none taken for a grave one."""

from __future__ import annotations

import pytest

from tests.services.speech import VOICES, hiss, spoken
from tests.voice.corpus import COMMANDS, OTHER, PLANS, RUNS
from voice.engines.heard import SURE
from voice.engines.pocketsphinx import CommandRecognizer
from voice.grammar import understand
from voice.intents import Approve, Cancel, Intent, StartGoal, StartPlan, Stop

GRAVE = (Cancel, Approve, StartGoal, StartPlan, Stop)


@pytest.fixture(scope="module")
def recognizer() -> CommandRecognizer:
    return CommandRecognizer(runs=RUNS, plans=PLANS, partials=False)


def heard(recognizer: CommandRecognizer, pcm: bytes) -> Intent | None:
    """What may be acted on."""
    recognizer.begin()
    for start in range(0, len(pcm), 640):
        recognizer.feed(pcm[start : start + 640])
    said = recognizer.end()
    return understand(said.text, "en", runs=RUNS, plans=PLANS) if said.confidence >= SURE else None


def check(recognizer: CommandRecognizer, voice: str, least: int, snr: float | None = None) -> None:
    got = {text: heard(recognizer, spoken(text, voice=voice, snr=snr, noise="pink")) for text in COMMANDS}
    right = sum(got[text] == wanted for text, wanted in COMMANDS.items())
    assert right >= least, {text: intent for text, intent in got.items() if intent != COMMANDS[text]}
    wrong = {text: intent for text, intent in got.items() if isinstance(intent, GRAVE) and intent != COMMANDS[text]}
    assert not wrong


@pytest.mark.parametrize("voice", VOICES)
def test_commands_are_heard(recognizer: CommandRecognizer, voice: str) -> None:
    check(recognizer, voice, least=17)


@pytest.mark.parametrize("voice", VOICES[::2])
def test_commands_are_heard_through_noise(recognizer: CommandRecognizer, voice: str) -> None:
    check(recognizer, voice, least=17, snr=20)


@pytest.mark.parametrize("voice", [VOICES[0], pytest.param(VOICES[1], marks=pytest.mark.long)])
def test_other_talk_is_nothing_grave(recognizer: CommandRecognizer, voice: str) -> None:
    got = {text: heard(recognizer, spoken(text, voice=voice)) for text in OTHER}
    assert not {text: intent for text, intent in got.items() if isinstance(intent, GRAVE)}
    assert sum(intent is not None for intent in got.values()) <= 3


def test_noise_is_nothing(recognizer: CommandRecognizer) -> None:
    sounds = [hiss(2, level, noise, seed) for level in (3, 300, 8000) for noise in ("white", "pink") for seed in (1, 2)]
    assert [heard(recognizer, sound) for sound in sounds] == [None] * len(sounds)
