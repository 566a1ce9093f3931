"""pocketsphinx, which has no types, as the little of it that is used here. Loaded when a decoder is made."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from state.errors import EngineUnavailable

RATE = 16_000
"""Samples a second of what is heard: PCM of 16 bits, little-endian, mono."""

FRAME = 160
"""Samples of a frame of the decoder: 10 ms."""

BRITISH = {"atlas": ("AA T L AH S", "AE T L AH Z", "AA T L AH Z")}
"""How else the wake word is spoken than the dictionary says; without it half of Britain is not understood."""


class _Segment(Protocol):
    word: str
    start_frame: int
    end_frame: int
    ascore: float


class _Hypothesis(Protocol):
    hypstr: str


class Decoder(Protocol):
    """Methods of `pocketsphinx.Decoder`; a search is added under a name and made active."""

    def start_stream(self) -> None: ...
    def set_cmn(self, means: str) -> None: ...
    def start_utt(self) -> None: ...
    def end_utt(self) -> None: ...
    def process_raw(self, data: bytes, no_search: bool, full_utt: bool) -> int: ...
    def hyp(self) -> _Hypothesis | None: ...
    def seg(self) -> Iterable[_Segment] | None: ...
    def lookup_word(self, word: str) -> str | None: ...
    def add_word(self, word: str, phones: str, update: bool) -> int: ...
    def add_jsgf_string(self, name: str, text: str) -> None: ...
    def add_allphone_file(self, name: str, path: str | None) -> None: ...
    def add_kws(self, name: str, path: str) -> None: ...
    def activate_search(self, name: str) -> None: ...
    def remove_search(self, name: str) -> None: ...


class _Package(Protocol):
    def Decoder(self, **settings: object) -> Decoder: ...
    def get_model_path(self, part: str) -> str: ...


@dataclass(frozen=True, slots=True)
class Segment:
    """A word or phone: its frames from `start` up to `end`, and how badly they fit it (`cost`, in nats)."""

    word: str
    start: int
    end: int
    cost: float

    @property
    def silent(self) -> bool:
        """A pause or a noise, no word."""
        return self.word.startswith(("<", "[", "+")) or self.word == "SIL"


def _package() -> _Package:
    try:
        return cast(_Package, importlib.import_module("pocketsphinx"))
    except ImportError as error:
        raise EngineUnavailable(
            "The voice engine pocketsphinx is not installed.", "Install it: pip install 'atlas-orchestrator[voice]'."
        ) from error


def new_decoder(**settings: object) -> Decoder:
    """A decoder of English without a search; 0.2 s. `EngineUnavailable` without the package or its model."""
    package = _package()
    model = Path(package.get_model_path("en-us"))
    try:
        decoder = package.Decoder(
            hmm=str(model / "en-us"), dict=str(model / "cmudict-en-us.dict"), lm=None, loglevel="FATAL", **settings
        )
    except RuntimeError as error:
        raise EngineUnavailable(
            f"pocketsphinx can't read its model in {model}: {error}", "Install the package again."
        ) from error
    for word, spoken in BRITISH.items():
        for number, phones in enumerate(spoken, 2):
            decoder.add_word(f"{word}({number})", phones, False)
    return decoder


def phone_model() -> str:
    """The file that tells which phones follow one another in English."""
    return str(Path(_package().get_model_path("en-us")) / "en-us-phone.lm.bin")


def decoded(decoder: Decoder, pcm: bytes) -> list[Segment]:
    """What a whole utterance is; nothing when nothing of the search fits. What was heard before does not matter."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it is said to be unnecessary, but see why it is not:
        decoder.start_stream()  # forgets the noise of what was heard before, which would be taken away from this
    decoder.start_utt()
    decoder.process_raw(pcm, False, True)
    decoder.end_utt()
    return segments(decoder)


def segments(decoder: Decoder, scale: float = 1.0) -> list[Segment]:
    """The words, or phones, of the utterance that has ended or is under way."""
    if decoder.hyp() is None:
        return []
    return [
        Segment(found.word.partition("(")[0], found.start_frame, found.end_frame + 1, _cost(found.ascore) * scale)
        for found in decoder.seg() or ()
    ]


def _cost(likelihood: float) -> float:
    return -math.log(max(likelihood, 1e-320))


class Dither:
    """Adds a faint hiss, of `level` units of a sample: the model was made from recordings, and takes digital silence
    for speech. The same audio gets the same hiss after each `reset`."""

    def __init__(self, level: float = 30.0) -> None:
        self._level = level
        self.reset()

    def reset(self) -> None:
        self._random = np.random.default_rng(7)

    def __call__(self, pcm: bytes) -> bytes:
        samples = samples_of(pcm)
        hiss = self._random.standard_normal(len(samples)) * self._level
        return np.clip(np.rint(samples + hiss), -32768, 32767).astype("<i2").tobytes()


def samples_of(pcm: bytes) -> NDArray[np.float64]:
    """Samples as numbers; half a sample at the end is dropped."""
    return np.frombuffer(pcm[: len(pcm) // 2 * 2], dtype="<i2").astype(np.float64)
