"""The wake word as the beginning of a whole command: an utterance at a time, heard as `voice.engines.commands` hears
those of a conversation."""

from __future__ import annotations

import numpy as np

from voice.engines.commands import Recogniser
from voice.engines.heard import SURE_CALL

_RATE = 16_000
_BEFORE_BYTES = int(0.3 * _RATE) * 2
_QUIET_SECONDS = 0.45
"""Between a wake word and its command people pause, too."""
_SHORTEST_SECONDS, _LONGEST_SECONDS = 0.5, 6.0
"""Of voice in an utterance that may be such a command."""
_SHIFTS = (0, 64)
"""Samples by which the decoder's frames begin later; it matters."""
_MOST_BYTES = int(12 * _RATE) * 2
"""Kept, however little of it is voice."""
_ABOVE = 3.0
"""Times the background that voice is louder."""
_SOFTEST = 60.0
_RISE = 1.02
"""By which the background is taken to be louder with each piece."""


class CalledCommands:
    """A `voice.wake_gate.Spotter`. `recogniser` hears commands with or without the wake word."""

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._floor = _SOFTEST
        self._audio = bytearray()
        self._voice_seconds = self._quiet_seconds = 0.0

    def reset(self) -> None:
        """Forget what was heard."""
        self._audio.clear()
        self._voice_seconds = self._quiet_seconds = 0.0

    def feed(self, audio: bytes) -> bytes | None:
        """Some more; an utterance, when one has just ended."""
        samples = np.frombuffer(audio[: len(audio) // 2 * 2], dtype="<i2").astype(np.float32)
        if not len(samples):
            return None
        level = float(np.sqrt(np.mean(samples**2)))
        seconds = len(samples) / _RATE
        self._audio.extend(audio)
        del self._audio[:-_MOST_BYTES]
        self._floor = max(1.0, min(level, self._floor * _RISE ** (seconds / 0.02)))
        if level > max(_SOFTEST, _ABOVE * self._floor):
            self._voice_seconds += seconds
            self._quiet_seconds = 0.0
            if self._voice_seconds > _LONGEST_SECONDS:
                self._audio.clear()
            return None
        self._quiet_seconds += seconds
        if not self._voice_seconds:
            del self._audio[:-_BEFORE_BYTES]
            return None
        if self._quiet_seconds < _QUIET_SECONDS:
            return None
        fits = _SHORTEST_SECONDS <= self._voice_seconds <= _LONGEST_SECONDS
        utterance = bytes(self._audio) if fits else None
        self.reset()
        return utterance

    async def is_it(self, audio: bytes) -> bool:
        """Whether it is a command with the wake word before it."""
        for samples in _SHIFTS:
            heard = await self._recogniser.hear(audio[2 * samples :])
            if heard.confidence >= SURE_CALL and "atlas" in heard.text.split()[:2]:
                return True
        return False
