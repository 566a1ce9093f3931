"""Commands heard without a model to download: pocketsphinx with the phrases of `voice.grammar`, and nothing else.

A grammar alone makes a command of any noise, so that what was heard is compared with what the voice could have been
saying in any phones at all: who says something else pays more for it, leaves voice that is no word, or takes too long.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from voice.engines.heard import Heard
from voice.engines.sphinx_decoder import (
    FRAME,
    RATE,
    Dither,
    Segment,
    decoded,
    new_decoder,
    phone_model,
    samples_of,
)
from voice.jsgf import spoken_grammar

LONGEST = 10.0
"""Seconds of an utterance; a longer one is no command."""

_HASTY = 6.8
"""Frames a phone; people take seven and more."""

PAD = int(0.3 * RATE)
"""Samples around the voice that are listened to: both decoders want to hear a beginning and an end."""


NOTHING = Heard("", 0.0)

OTHER_PLANS = (
    "nightly", "weekly", "daily", "monthly", "release", "build", "test", "deploy", "backup", "cleanup", "report",
)  # fmt: skip
"""Names that plans often have: who says one that there is not shall not be taken to mean one that there is."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How well the words fit the voice. In each, more is worse; over its limit it is more likely to be other talk."""

    cost: float
    """Nats a frame, over those of the best phones, over all of the voice."""
    worst: float
    """The same, of the word that fits worst."""
    pace: float
    """Frames a phone."""
    uncovered: float
    """The share of the voice that is in no word."""

    def confidence(self) -> float:
        """0.5 when the worst of them is at its limit. Who is hasty has to be the more distinct: "hmm" is as short as
        an "approve" could just be."""
        haste = max(0.0, _HASTY - self.pace)
        strain = max(
            (self.cost + 2.2 * haste) / 4.4, (self.worst + 3.0 * haste) / 7.6, self.pace / 13.5, self.uncovered / 0.3,
            0.0,
        )  # fmt: skip
        return 1 / (1 + strain**4)


class CommandRecognizer:
    """Hears one utterance at a time: `begin`, `feed` as it comes, `end`. PCM is 16 bits, mono, 16 kHz.

    `runs` and `plans` are names that may be said. Making it takes half a second; `EngineUnavailable` without
    pocketsphinx. It is not for two threads at once, and holds Python's lock while it works: see `apart`. With
    `partials`, `feed` tells what it has understood so far, for more work.
    """

    def __init__(self, *, runs: Collection[str] = (), plans: Collection[str] = (), partials: bool = False) -> None:
        self._decoder = new_decoder(compallsen=True)
        self._phones = new_decoder(compallsen=True, lw=2.0, pip=0.3, beam=1e-20, pbeam=1e-20)
        self._phones.add_allphone_file("phones", phone_model())
        self._phones.activate_search("phones")
        self._partial = new_decoder() if partials else None  # one of its own: a stream leaves traces in a decoder
        self._dither = Dither()
        self._audio = bytearray()
        self._listening = False
        self.names(runs=runs, plans=plans)

    def names(self, *, runs: Collection[str] = (), plans: Collection[str] = ()) -> None:
        """Other names from the next utterance on; the one under way is dropped. Names with unknown words are out."""
        self._stop()
        known = self._decoder.lookup_word
        plans = [*plans, *(name for name in OTHER_PLANS if name not in plans)] if plans else []
        self._grammar = spoken_grammar(runs=runs, plans=plans, known=lambda word: known(word) is not None)
        for decoder in filter(None, (self._decoder, self._partial)):
            decoder.add_jsgf_string("commands", self._grammar.jsgf())
            decoder.activate_search("commands")

    def begin(self) -> None:
        """Forget what was fed, and listen to another utterance."""
        self._stop()
        self._audio.clear()
        self._dither.reset()
        self._listening = True
        if self._partial is not None:
            self._partial.start_utt()

    def feed(self, pcm: bytes) -> str:
        """Some more of the utterance. What it could be so far, which may change; empty without `partials`."""
        if not self._listening:
            self.begin()
        if len(pcm) < 2:
            return ""
        room = int(LONGEST * RATE) * 2 - len(self._audio)
        if room < len(pcm):
            self._audio.extend(bytes(max(room, 0)))
            return ""
        hissing = self._dither(pcm)
        self._audio.extend(hissing)
        if self._partial is None:
            return ""
        self._partial.process_raw(hissing, False, False)
        heard = self._partial.hyp()
        return heard.hypstr if heard is not None else ""

    def end(self) -> Heard:
        """What was said, heard again as a whole."""
        self._stop()
        if len(self._audio) >= int(LONGEST * RATE) * 2:
            return NOTHING
        voice = _voiced(samples_of(bytes(self._audio)))
        if not voice.any():
            return NOTHING
        first, last = int(np.argmax(voice)), len(voice) - int(np.argmax(voice[::-1]))
        start = max(0, first * FRAME - PAD)
        pcm = bytes(self._audio[start * 2 : (last * FRAME + PAD) * 2])
        return self._heard(pcm, voice[start // FRAME :])

    def _heard(self, pcm: bytes, voice: NDArray[np.bool_]) -> Heard:
        found = decoded(self._decoder, pcm)
        said = [segment for segment in found if not segment.silent]
        text = " ".join(segment.word for segment in said)
        if not self._grammar.holds(tuple(segment.word for segment in said)):
            return NOTHING  # it broke off within a command
        fit = self._fit(found, said, voice, pcm)
        return Heard(text, fit.confidence())

    def _fit(self, found: list[Segment], said: list[Segment], voice: NDArray[np.bool_], pcm: bytes) -> Fit:
        phones = sum(len((self._decoder.lookup_word(segment.word) or "").split()) for segment in said)
        in_words = np.zeros(len(voice), dtype=np.bool_)
        for segment in said:
            in_words[segment.start : segment.end] = True
        pace = float((voice & in_words).sum()) / (phones + 2)
        uncovered = float((voice & ~in_words).sum()) / float(voice.sum())
        if uncovered > 0.5 or pace > 20:
            return Fit(cost=9.9, worst=9.9, pace=pace, uncovered=uncovered)  # no need to look closer
        over = _by_frame(found, len(voice)) - _by_frame(decoded(self._phones, pcm), len(voice), scale=1024.0)
        return Fit(
            cost=float(over[voice].mean()),
            worst=max(float(over[segment.start : segment.end].mean()) for segment in said),
            pace=pace,
            uncovered=uncovered,
        )

    def _stop(self) -> None:
        if self._listening and self._partial is not None:
            self._partial.end_utt()
        self._listening = False


def _voiced(samples: NDArray[np.float64]) -> NDArray[np.bool_]:
    """By frame, whether it is louder than the background and not much softer than the loudest."""
    count = len(samples) // FRAME
    if count == 0:
        return np.zeros(0, dtype=np.bool_)
    level = np.sqrt((samples[: count * FRAME].reshape(count, FRAME) ** 2).mean(axis=1))
    floor = max(float(np.percentile(level, 10)) * 2.5, float(level.max()) * 0.03)
    return level > floor


def _by_frame(found: list[Segment], frames: int, scale: float = 1.0) -> NDArray[np.float64]:
    """What each frame costs, in nats. pocketsphinx counts the phones of a free search in units of 1024 (`scale`)."""
    costs = np.zeros(frames)
    for segment in found:
        if segment.end > segment.start:
            costs[segment.start : segment.end] = segment.cost * scale / (segment.end - segment.start)
    return costs
