"""The last that speech passes before it leaves: how loud it is, and whether it leaves at all.

A transport hands each chunk to it just before writing it, so what is told here counts from the next chunk on, whatever
waits in queues before it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
from pipecat.frames.frames import FilterControlFrame

DUCKED = 0.2
"""How loud speech is, in amplitude, while somebody may be speaking over it: 14 dB less."""
_RAMP_SECONDS = 0.01
"""Over which loudness changes, so that it does not click."""


class Outlet(BaseAudioFilter):
    """Of one conversation. 16-bit mono in, as long out."""

    def __init__(self, ducked: float = DUCKED) -> None:
        self._ducked = ducked
        self._wanted = 1.0
        self._now = 1.0
        self._ramp = 1
        self._over = np.zeros(0, dtype=np.int16)

    @property
    def gain(self) -> float:
        """How loud the next chunk will be at its end: 1 as it came, 0 silent."""
        return self._wanted

    def duck(self) -> None:
        """More quietly, unless it is silent."""
        if self._wanted > 0:
            self._wanted = self._ducked

    def release(self) -> None:
        """As loud as ever, unless it is silent."""
        if self._wanted > 0:
            self._wanted = 1.0

    def mute(self) -> None:
        """Nothing more is heard until `open`."""
        self._wanted = 0.0

    def open(self) -> None:
        """What comes now is heard; as quietly as what was before it, if somebody may be speaking."""
        if self._wanted == 0.0:
            self._wanted = 1.0

    def lay_over(self, sound: NDArray[np.int16]) -> None:
        """This is heard besides whatever leaves next, in place of what was laid over before."""
        self._over = sound

    async def start(self, sample_rate: int) -> None:
        """See `BaseAudioFilter`; `sample_rate` in Hz."""
        self._ramp = max(1, int(sample_rate * _RAMP_SECONDS))

    async def stop(self) -> None:
        """See `BaseAudioFilter`."""

    async def process_frame(self, frame: FilterControlFrame) -> None:
        """Others' control frames are not for us: what is queued would come too late."""

    async def filter(self, audio: bytes) -> bytes:
        """The chunk at the loudness of now."""
        audio = self._as_loud(audio)
        if not len(self._over):
            return audio
        samples = np.frombuffer(audio, dtype="<i2").astype(np.int32)
        part, self._over = self._over[: len(samples)], self._over[len(samples) :]
        samples[: len(part)] += part
        return np.clip(samples, -32_768, 32_767).astype("<i2").tobytes()

    def _as_loud(self, audio: bytes) -> bytes:
        before, after = self._now, self._wanted
        self._now = after
        if before == after == 1.0:
            return audio
        if before == after == 0.0:
            return bytes(len(audio))
        samples = np.frombuffer(audio, dtype="<i2").astype(np.float32)
        gains = np.full(len(samples), after, dtype=np.float32)
        ramp = min(self._ramp, len(samples))
        gains[:ramp] = np.linspace(before, after, ramp, dtype=np.float32)
        return (samples * gains).astype("<i2").tobytes()
