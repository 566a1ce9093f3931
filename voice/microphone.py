"""What comes in, whatever it is, as 16-bit mono of one rate; what can't be that is dropped, and said once."""

from __future__ import annotations

import numpy as np
from pipecat.audio.utils import create_stream_resampler
from pipecat.frames.frames import Frame, InputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

RATE = 16_000
"""Hz; what wake words, voice detection and recognition here work on."""
_RATES = range(8_000, 192_001)
_CHANNELS = range(1, 9)
_LONGEST_SECONDS = 2.0
_PIECE_BYTES = RATE * 2 // 50
"""20 ms: a long frame is heard in pieces, so that others get their turn in between."""


class Microphone(FrameProcessor):
    """The first of the pipeline."""

    def __init__(self) -> None:
        super().__init__(enable_direct_mode=True)
        self._resampler = create_stream_resampler()
        self._from = RATE
        self._refused = 0

    @property
    def refused(self) -> int:
        """How many frames were no audio that can be used."""
        return self._refused

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Audio is put into shape, all else passes."""
        await super().process_frame(frame, direction)
        if not isinstance(frame, InputAudioRawFrame):
            await self.push_frame(frame, direction)
            return
        if problem := unusable(frame.audio, frame.sample_rate, frame.num_channels):
            self._refused += 1
            if self._refused == 1:
                await self.push_error(f"audio that cannot be used: {problem}; it is left out")
            return
        audio = await self._shaped(frame)
        for start in range(0, len(audio), _PIECE_BYTES):
            piece = InputAudioRawFrame(audio=audio[start : start + _PIECE_BYTES], sample_rate=RATE, num_channels=1)
            piece.transport_source = frame.transport_source
            await self.push_frame(piece, direction)

    async def _shaped(self, frame: InputAudioRawFrame) -> bytes:
        audio = frame.audio
        if frame.num_channels > 1:
            samples = np.frombuffer(audio, dtype="<i2").reshape(-1, frame.num_channels)
            audio = samples.mean(axis=1).astype("<i2").tobytes()
        if frame.sample_rate == RATE:
            return audio
        if frame.sample_rate != self._from:
            self._resampler = create_stream_resampler()
            self._from = frame.sample_rate
        return await self._resampler.resample(audio, frame.sample_rate, RATE)


def unusable(audio: bytes, rate: int, channels: int) -> str:
    """Why this can't be heard, or nothing."""
    if rate not in _RATES:
        return f"{rate} Hz (8,000 to 192,000 are known)"
    if channels not in _CHANNELS:
        return f"{channels} channels (1 to 8 are known)"
    whole = 2 * channels
    if len(audio) % whole:
        return f"{len(audio)} bytes are no whole number of 16-bit samples of {channels} channel(s)"
    if len(audio) > _LONGEST_SECONDS * rate * whole:
        return f"{len(audio):,} bytes at once ({_LONGEST_SECONDS:g} s are the most)"
    return ""
