"""The wake word in the pieces of words that a model knows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

WORD = "atlas"
_BEGINS = "▁"
"""Stands before a word in models whose pieces were found by SentencePiece."""
_WAYS = 4
_PIECE_COST = 2.0


def keyword_lines(tokens: Path, word: str = WORD) -> list[str]:
    """Lines for the file of keywords of sherpa-onnx, the likeliest first; none when the pieces of `tokens` (a line has
    a piece and its number) are phones, syllables or others that do not spell it.

    A model writes a word in the pieces that it was trained with, which its tokens alone do not tell: pieces that are
    frequent, which have low numbers, and few of them, are likely. The likeliest ways to write it are all listened for.
    """
    pieces: dict[str, int] = {}
    for line in tokens.read_text(encoding="utf-8", errors="replace").splitlines():
        piece, _, number = line.strip().rpartition(" ")
        if piece and number.isdigit():
            pieces[piece] = int(number)
    spelt = [_BEGINS + each for each in (word.upper(), word.lower(), word.capitalize())]
    ways = [way for each in spelt for way in _ways(each, pieces)]
    ways.sort(key=lambda way: sum(math.log(pieces[piece] + 1) + _PIECE_COST for piece in way))
    return [f"{' '.join(way)} @{word.upper()}" for way in ways[:_WAYS]]


def _ways(text: str, pieces: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
    """All in which the pieces make the text."""
    if not text:
        yield ()
    for end in range(1, len(text) + 1):
        if text[:end] in pieces:
            for rest in _ways(text[end:], pieces):
                yield (text[:end], *rest)
