"""Short tones that say what words need not: the wake word was heard, speech was interrupted, something went wrong."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pipecat.frames.frames import Frame, InterruptionFrame, OutputAudioRawFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor, FrameProcessorSetup

from voice.frames import TroubleFrame, WakeFrame
from voice.later import Later
from voice.outlet import Outlet

Chime = Literal["woken", "interrupted", "trouble"]
_NOTES: dict[Chime, tuple[tuple[float, float], ...]] = {
    "woken": ((660.0, 0.06), (880.0, 0.08)),
    "interrupted": ((520.0, 0.05),),
    "trouble": ((330.0, 0.12), (220.0, 0.16)),
}
"""Hz and seconds, one after the other."""
_LEVEL: dict[Chime, float] = {"woken": 0.12, "interrupted": 0.05, "trouble": 0.12}
"""Amplitude, of the greatest there is."""
_CLEARED_SECONDS = 0.2
"""After which what was queued at the transport is gone, and a client that falls silent by itself plays again
(`QUICK_MS` in page/page.js)."""


def tone(chime: Chime, rate: int) -> NDArray[np.int16]:
    """16-bit mono at `rate`, rising and falling so that it does not click."""
    notes: list[NDArray[np.float64]] = []
    for hertz, seconds in _NOTES[chime]:
        count = int(seconds * rate)
        notes.append(np.sin(2 * np.pi * hertz * np.arange(count) / rate) * np.hanning(count))
    return (np.concatenate(notes) * _LEVEL[chime] * 32_767).astype(np.int16)


class Chimes(FrameProcessor):
    """Before the transport's output. A chime is laid over whatever leaves next, at any loudness of speech, even if that
    is silenced."""

    def __init__(self, outlet: Outlet) -> None:
        super().__init__(enable_direct_mode=True)
        self._outlet = outlet
        self._rate = 0
        self._woken = False
        self._carrying = Later(self)

    async def setup(self, setup: FrameProcessorSetup) -> None:
        """See `FrameProcessor`."""
        await super().setup(setup)
        self._rate = setup.audio_out_sample_rate

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Passes everything on."""
        await super().process_frame(frame, direction)
        await self.push_frame(frame, direction)
        match frame:
            case WakeFrame():
                self._woken = frame.source == "keyword"
            case InterruptionFrame():
                woken, self._woken = self._woken, False
                await self._sound("woken" if woken else "interrupted")
            case TroubleFrame():
                await self._sound("trouble")
            case _:
                pass

    async def cleanup(self) -> None:
        """Nothing is waited for any more."""
        await super().cleanup()
        await self._carrying.stop()

    async def _sound(self, chime: Chime) -> None:
        samples = tone(chime, self._rate)

        async def carry() -> None:  # something has to leave, for it to be laid over
            self._outlet.lay_over(samples)
            silence = bytes(2 * len(samples))
            await self.push_frame(OutputAudioRawFrame(audio=silence, sample_rate=self._rate, num_channels=1))

        await self._carrying.start(_CLEARED_SECONDS, carry)
