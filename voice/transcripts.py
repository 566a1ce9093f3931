"""A transcript as words that can be compared, each knowing where it stands in what was really said."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from voice.intents import Language

LONGEST = 2000
"""Characters of a transcript that are looked at; a longer one is nobody's command."""

APOSTROPHES = {0x2019: "'", 0x2018: "'", 0x00B4: "'", ord("`"): "'"}


@dataclass(frozen=True, slots=True)
class Word:
    """A word, or one Chinese character. `key` is what is compared, `start` and `end` its place in the tidied text."""

    key: str
    start: int
    end: int


def tidied(text: str) -> str:
    """`text` with full-width letters and compatibility forms made plain. Tidying twice changes nothing more."""
    return unicodedata.normalize("NFKC", text[:LONGEST].translate(APOSTROPHES)).translate(APOSTROPHES)


_CALLS = re.compile(
    r"^\s*(?:(?:hey|hi|hello|ok|okay)\b[\s,.!]*)?atlas(?![A-Za-z0-9_])[\s,.!?:;，。！？：]*|^\s*(?:嘿|嗨|你好)?[，,\s]*阿特拉斯[\s，。！？：,.!?]*",
    re.IGNORECASE,
)
_SENTENCE_ENDS = re.compile(r"\s*[.!?。！？；;]+\s+|[。！？；]")


def uncalled(text: str) -> str:
    """Without the wake word before it."""
    return _CALLS.sub("", text).strip()


def read_back(text: str) -> str:
    """What was said as a part of a sentence of ours: without the wake word before it, and in one piece."""
    meant = uncalled(text).rstrip(".!?。！？；; ")
    return _SENTENCE_ENDS.sub("，" if language_of(meant) == "zh" else ", ", meant)


def is_chinese(character: str) -> bool:
    """Whether this is a Han character of the planes that speech recognisers write."""
    return "\u4e00" <= character <= "\u9fff" or "\u3400" <= character <= "\u4dbf"


def language_of(text: str) -> Language:
    """Chinese when it has a Chinese character, else English."""
    return "zh" if any(map(is_chinese, text[:LONGEST])) else "en"


def words(tidy: str, variants: Mapping[str, str]) -> list[Word]:
    """The words of a tidied text, without case and punctuation; `variants` maps a word to the one it counts as.

    Chinese is taken by the character, since it is written without spaces.
    """
    found: list[Word] = []
    start = -1
    for place, character in enumerate(tidy):
        inside = _within_word(tidy, place)
        if start >= 0 and not inside:
            found.append(_word(tidy, start, place, variants))
            start = -1
        if is_chinese(character):
            found.append(_word(tidy, place, place + 1, variants))
        elif inside and start < 0:
            start = place
    if start >= 0:
        found.append(_word(tidy, start, len(tidy), variants))
    return found


def _within_word(tidy: str, place: int) -> bool:
    """Letters and digits, and an apostrophe between two of them."""
    character = tidy[place]
    if character == "'":
        return 0 < place < len(tidy) - 1 and tidy[place - 1].isalnum() and tidy[place + 1].isalnum()
    return character.isalnum() and not is_chinese(character)


def _word(tidy: str, start: int, end: int, variants: Mapping[str, str]) -> Word:
    key = tidy[start:end].casefold()
    return Word(variants.get(key, key), start, end)
