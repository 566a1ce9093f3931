"""What of an utterance is meant for us."""

from __future__ import annotations

import pytest

from voice.phrase_commands import PhraseCommands
from voice.turn_ends import from_call

COMMANDS = PhraseCommands(runs=["atlas"], plans=["atlas"])


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("stop", "stop"),
        ("Atlas", "Atlas"),
        ("so I told him. Atlas, stop", "Atlas, stop"),
        ("we spoke of atlas. Atlas, stop", "Atlas, stop"),
        ("we spoke of atlas a lot. Atlas, what is the status?", "Atlas, what is the status?"),
        ("Atlas, fix the failing Atlas tests", "Atlas, fix the failing Atlas tests"),
        ("Atlas, stop the Atlas run", "Atlas, stop the Atlas run"),
        ("well, Atlas, fix the tests of atlas", "Atlas, fix the tests of atlas"),
        ("他说阿特拉斯，停止", "阿特拉斯，停止"),
        ("那个Atlas停止", "Atlas停止"),
        ("At least yes.", "yes."),
        ("At last, stop everything", "stop everything"),
        ("At least it is something that I can live with", "At least it is something that I can live with"),
        ("At least", "At least"),
    ],
)
def test_from_the_wake_word_on(text: str, meant: str) -> None:
    assert from_call(text, COMMANDS.standing) == meant
