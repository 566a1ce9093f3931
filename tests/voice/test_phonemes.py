"""How words are spoken, by espeak-ng."""

from __future__ import annotations

import pytest

from voice.engines.phonemes import phonemes, sentences


def test_sentences_have_their_marks() -> None:
    text = "Run 3.5 is done. Is it?  Yes!\nNo mark here\n\n完成了。好"
    assert sentences(text) == ["Run 3.5 is done.", "Is it?", "Yes!", "No mark here", "完成了。", "好"]
    assert sentences(" \n ") == []


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("Run it.", "ɹˈʌn ɪt."),
        ("Well, shall I?", "wˈɛl, ʃˌæl ˈaɪ?"),
        ("Stop!", "stˈɑːp!"),
        ("stop", "stˈɑːp."),
        ("--help", "hˈɛlp."),
        ("...", ""),
    ],
)
async def test_a_sentence_in_phonemes(sentence: str, said: str) -> None:
    assert await phonemes(sentence, "en-us") == said


async def test_a_letter_and_its_accent_are_two() -> None:
    assert "ç" not in await phonemes("Ich.", "de")
    assert "c\N{COMBINING CEDILLA}" in await phonemes("Ich.", "de")
