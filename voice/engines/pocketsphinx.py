"""Wake word and commands by PocketSphinx: a package with its models inside, nothing to download. English only."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

import numpy as np

from state.errors import EngineUnavailable
from voice import grammar
from voice.engines.heard import Heard

_DITHER = 8
"""Noise that is added: pure silence misleads the spotter."""


def _decoder(options: dict[str, object]) -> Any:  # noqa: ANN401 (the package tells no types)
    try:
        from pocketsphinx import Decoder, get_model_path
    except ImportError:
        raise EngineUnavailable(
            "the package pocketsphinx is not installed", "Install Atlas with its extra: atlas-orchestrator[voice]."
        ) from None
    model = Path(str(cast(Any, get_model_path)("en-us")))
    return cast(Any, Decoder)(
        hmm=str(model / "en-us"), dict=str(model / "cmudict-en-us.dict"), lm=None, loglevel="FATAL", bestpath=False,
        **options,
    )  # fmt: skip


class CommandRecognizer:
    """`voice.engines.commands.Recogniser` of the phrases of `voice.grammar` and these names."""

    def __init__(self, runs: Collection[str] = (), plans: Collection[str] = ()) -> None:
        self._decoder = _decoder({})
        words = self._decoder.lookup_word
        phrases = grammar.jsgf(runs=runs, plans=plans, known=lambda word: words(word) is not None)
        self._decoder.add_jsgf_string("commands", phrases)
        self._decoder.activate_search("commands")

    def begin(self) -> None:
        """An utterance."""
        self._decoder.start_utt()

    def feed(self, audio: bytes) -> str:
        """16-bit mono of 16 kHz."""
        self._decoder.process_raw(audio, False, False)
        return self._words()

    def end(self) -> Heard:
        """Of the utterance."""
        self._decoder.end_utt()
        return Heard(self._words())

    def _words(self) -> str:
        found = self._decoder.hyp()
        return found.hypstr if found else ""


class KeywordSpotter:
    """`voice.wake_gate.Spotter`. The lower `threshold`, the more it takes for the phrase."""

    def __init__(self, phrase: str = "atlas", threshold: float = 1e-30) -> None:
        self._decoder = _decoder({"keyphrase": phrase, "kws_threshold": threshold})
        self._noise = np.random.default_rng(1)
        self._decoder.start_utt()

    def feed(self, audio: bytes) -> bool:
        """See `Spotter`."""
        samples = np.frombuffer(audio, dtype="<i2").astype(np.int32)
        samples += self._noise.integers(-_DITHER, _DITHER + 1, len(samples))
        self._decoder.process_raw(samples.clip(-32_768, 32_767).astype("<i2").tobytes(), False, False)
        return self._decoder.hyp() is not None

    def reset(self) -> None:
        """See `Spotter`."""
        self._decoder.end_utt()
        self._decoder.start_utt()
