"""Synthesis by Piper: pieces short enough to be soon there, each of which can be stopped while it is made."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from piper import PiperConfig, PiperVoice, SynthesisConfig

from voice.engines.piper_files import PiperFiles

_PIECE = 160
"""Phonemes of a piece at most: some eight seconds of speech, half a second of work."""
_CLAUSE = 60
"""From so many on, a piece ends at the end of a clause."""
_ENDS = frozenset(",;:.!?，；：。！？—")
_LOUDNESS = 0.6
"""Of the largest sample, so that resampling cuts nothing off."""


class LoadedVoice:
    """May be used from many threads. `Exception` of all kinds when it is made: its files are no voice."""

    def __init__(self, files: PiperFiles) -> None:
        options: Any = onnxruntime.SessionOptions()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it is not alone on its cores
        session = onnxruntime.InferenceSession(str(files.model), options, providers=["CPUExecutionProvider"])
        self._voice = PiperVoice(session, PiperConfig.from_dict(json.loads(files.description.read_bytes())))
        self._settings = SynthesisConfig(speaker_id=files.speaker, volume=_LOUDNESS)
        for _ in self.utterance("Ready.").pieces():  # the first takes longer, and shows whether it can speak at all
            pass

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self._voice.config.sample_rate

    def utterance(self, text: str) -> Utterance:
        """Of this text."""
        return Utterance(self._voice, text, self._settings)


class Utterance:
    """`pieces` are made by one thread; `stop` may be called from another."""

    def __init__(self, voice: PiperVoice, text: str, settings: SynthesisConfig) -> None:
        self._stopped = threading.Event()
        self._session = _Stoppable(voice.session)
        self._voice = _InPieces(
            cast(onnxruntime.InferenceSession, self._session), voice.config, voice.espeak_data_dir, voice.download_dir
        )
        self._text, self._settings = text, settings

    def pieces(self) -> Iterator[bytes]:
        """16 bits a sample, mono. Ends early when it is stopped."""
        try:
            for chunk in self._voice.synthesize(_plain(self._text), self._settings):
                if self._stopped.is_set():
                    return
                yield chunk.audio_int16_bytes
        except Exception:  # onnxruntime's own, when it was told to stop
            if not self._stopped.is_set():
                raise

    def stop(self) -> None:
        """No more pieces; what is being made ends within milliseconds."""
        self._stopped.set()
        self._session.stop()


class _Stoppable:
    """A session of onnxruntime whose runs end when it is told to."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self._options: Any = onnxruntime.RunOptions()

    def run(self, names: Sequence[str] | None, given: dict[str, NDArray[np.generic]]) -> Sequence[NDArray[np.float32]]:
        """See `InferenceSession`."""
        return cast(Sequence[NDArray[np.float32]], self._session.run(names, given, self._options))

    def stop(self) -> None:
        self._options.terminate = True


class _InPieces(PiperVoice):
    """Makes audio of less than a sentence at a time where sentences are long."""

    def phonemize(self, text: str) -> list[list[str]]:
        """See `PiperVoice`."""
        return [piece for sentence in super().phonemize(text) for piece in in_pieces(sentence)]


def in_pieces(phonemes: Sequence[str]) -> Iterable[list[str]]:
    """Of `_PIECE` phonemes at most each: to the end of a clause where there is one, else of a word."""
    rest = list(phonemes)
    while len(rest) > _PIECE:
        clauses = [at for at in range(_CLAUSE, _PIECE) if rest[at] in _ENDS]
        words = [at for at in range(_CLAUSE, _PIECE) if rest[at] == " "]
        cut = (clauses[:1] or words[-1:] or [_PIECE - 1])[0] + 1
        yield rest[:cut]
        rest = rest[cut:]
    yield rest


def _plain(text: str) -> str:
    """Without what espeak-ng can't take, and what Piper takes for phonemes."""
    printable = "".join(each if each.isprintable() else " " for each in text.replace("[[", "[ ["))
    return printable.encode(errors="replace").decode()
