"""The wake word, heard without a model to download: pocketsphinx looks for a keyphrase and then looks again.

A threshold that hears nearly all who say "Atlas" hears "at last" and "that's less" as well. What it finds is therefore
decoded once more, as the wake word or one of its neighbours, and has to fit about as well as any phones do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from state.errors import EngineUnavailable
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

PHRASE = "atlas"
LIMIT = 1.25
"""Of 80 wake words (four voices of espeak-ng, half with noise) 72 cost less, of 240 sentences of other talk none; of a
hundred that were made to sound like it, eight."""
_SAMPLE_BYTES = 2
_WHILE_SECONDS, _LONG_SECONDS = 3, 30
NEIGHBOURS = (
    "at last", "at least", "alas", "atlantic", "atlanta", "that's", "that lasts", "athletes", "at loss", "a class",
    "a glass", "at lunch", "useless", "outlast", "atmosphere", "mattress", "let us", "battles", "the last", "what else",
    "and less", "hats less",
)  # fmt: skip
"""What is taken for "Atlas" too easily; when one of these fits better, it was not the wake word."""

ANY = "any_"
"""Begins the name of what is no word: one phone, whichever."""

PHONES = (
    "AA", "AE", "AH", "AO", "AW", "AY", "B", "CH", "D", "DH", "EH", "ER", "EY",
    "F", "G", "HH", "IH", "IY", "JH", "K", "L", "M", "N", "NG", "OW", "OY",
    "P", "R", "S", "SH", "T", "TH", "UH", "UW", "V", "W", "Y", "Z", "ZH",
)  # fmt: skip
"""Of the model: what stands around the wake word may be any of them."""

SPEECH = "46,-12,-5,1,-5,-4,-8,-6,0,-2,2,-5,-6"
"""How speech sounds on average, as the decoder measures it (its cepstral means), whatever was heard before."""

SHIFTS = (0, 64, 112)
"""Samples by which frames of 160 begin later."""

BEFORE = int(0.5 * RATE)
"""Samples before what was found that are looked at again; enough to know the voice and the room by."""


class KeyphraseSpotter:
    """Hears a stream of PCM (16 bits, mono, 16 kHz) for what may be the `phrase`, in words of the English dictionary.
    A smaller `threshold` finds more, which is then looked at again (`WakeWordJudge`).

    A fifth of a second to make; `EngineUnavailable` without pocketsphinx, or for a word that it does not know.
    """

    def __init__(self, *, phrase: str = PHRASE, threshold: float = 1e-27) -> None:
        self._spotter = new_decoder()
        words = phrase.lower().split()
        unknown = [word for word in words if self._spotter.lookup_word(word) is None]
        if unknown or not words:
            raise EngineUnavailable(
                f"pocketsphinx can't listen for {phrase!r}: it does not know {', '.join(unknown) or 'nothing'}",
                "Use other words.",
            )
        self._look_for(" ".join(words), threshold)
        self._dither = Dither()
        self._kept = bytearray()
        self._fed = 0
        self._start()

    def _look_for(self, phrase: str, threshold: float) -> None:
        with tempfile.TemporaryDirectory(prefix="atlas-wake-") as place:
            keys = Path(place) / "phrase"
            keys.write_text(f"{phrase} /{threshold:g}/\n", encoding="ascii")
            try:
                self._spotter.add_kws("wake", str(keys))
            except RuntimeError as error:
                raise EngineUnavailable(
                    f"pocketsphinx can't listen for {phrase!r}: {error}", "Use other words."
                ) from error
        self._spotter.activate_search("wake")

    def reset(self) -> None:
        """Forget what was heard."""
        self._spotter.end_utt()
        self._dither.reset()
        self._kept.clear()
        self._fed = 0
        self._start()

    def feed(self, pcm: bytes) -> bytes | None:
        """Some more of the stream, best 20 to 100 ms of it; when the phrase may have ended there, the audio to judge
        by. Half a millisecond for 20 ms."""
        if len(pcm) < _SAMPLE_BYTES:
            return None
        hissing = self._dither(pcm)
        self._kept.extend(hissing)
        del self._kept[: -4 * RATE]  # two seconds
        self._fed += len(hissing) // 2
        self._spotter.process_raw(hissing, False, False)
        if self._spotter.hyp() is None:
            waited = (self._fed - self._begun) / RATE
            if waited > _LONG_SECONDS or (waited > _WHILE_SECONDS and _quiet(hissing)):
                self._again()  # between words; later, it would take the room's silence for how people sound
            return None
        places = [found.start_frame for found in self._spotter.seg() or ()]
        start = self._begun + places[-1] * FRAME
        self._again()
        first = self._fed - len(self._kept) // 2
        begin = max(first, start - BEFORE)
        return bytes(self._kept[(begin - first) * 2 :])

    def _again(self) -> None:
        self._spotter.end_utt()
        self._start()

    def _start(self) -> None:
        self._spotter.set_cmn(SPEECH)
        self._spotter.start_utt()
        self._begun = self._fed


class WakeWordJudge:
    """Says whether what was spotted is the phrase: decoded again, as it or one of its `neighbours`, it has to be it,
    and to fit about as well as any phones do. `limit` is the greatest cost that is let through, in nats a frame.

    Half a second to make; 0.15 s of work for each, while it holds Python's lock: see `apart`.
    """

    def __init__(self, *, phrase: str = PHRASE, limit: float = LIMIT, neighbours: Sequence[str] = NEIGHBOURS) -> None:
        self._words = new_decoder(compallsen=True, beam=1e-20, pbeam=1e-20, wbeam=1e-12)
        self._phones = new_decoder(compallsen=True, lw=2.0, pip=0.3, beam=1e-20, pbeam=1e-20)
        self._phrase = tuple(phrase.lower().split())
        self._limit = limit
        able = [said for said in neighbours if all(self._words.lookup_word(word) for word in said.split())]
        choice = " | ".join([*(said for said in able if tuple(said.split()) != self._phrase), " ".join(self._phrase)])
        for phone in PHONES:
            self._words.add_word(f"{ANY}{phone.lower()}", phone, phone == PHONES[-1])
        around = " | ".join(f"{ANY}{phone.lower()}" for phone in PHONES)
        self._words.add_jsgf_string(
            "again", f"#JSGF V1.0;\ngrammar again;\npublic <heard> = <any>* ({choice}) <any>*;\n<any> = {around};\n"
        )
        self._words.activate_search("again")
        self._phones.add_allphone_file("phones", phone_model())
        self._phones.activate_search("phones")

    def cost(self, pcm: bytes) -> float | None:
        """How much worse the phrase fits than the best phones; None when it is something else."""
        heard = decoded(self._words, pcm)
        heard = [segment for segment in heard if not segment.silent and not segment.word.startswith(ANY)]
        if tuple(segment.word for segment in heard) != self._phrase:
            return None
        return _over(heard, decoded(self._phones, pcm))

    def is_it(self, pcm: bytes) -> bool:
        """What `KeyphraseSpotter.feed` gave. It matters where the decoder's frames begin: some are tried."""
        costs = (self.cost(pcm[2 * samples :]) for samples in SHIFTS)
        return any(cost is not None and cost <= self._limit for cost in costs)


def _over(heard: Sequence[Segment], best: Sequence[Segment]) -> float:
    """What the words cost over the best phones for the same frames, in nats a frame."""
    total, frames = sum(segment.cost for segment in heard), sum(segment.end - segment.start for segment in heard)
    start, end = heard[0].start, heard[-1].end
    for phone in best:
        shared = min(end, phone.end) - max(start, phone.start)
        if shared > 0:
            total -= phone.cost * 1024 * shared / (phone.end - phone.start)
    return total / max(frames, 1)


def _quiet(pcm: bytes) -> bool:
    """Whether nobody seems to speak: hardly louder than the hiss that is added."""
    samples = samples_of(pcm)
    return len(samples) > 0 and float(np.sqrt((samples**2).mean())) < 100
