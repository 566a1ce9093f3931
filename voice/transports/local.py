"""This machine's microphone and loudspeaker, by PortAudio. No echo is cancelled: what is said is heard, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, cast

from pipecat.frames.frames import InputAudioRawFrame, OutputAudioRawFrame, StartFrame
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams

from state.errors import EngineUnavailable
from voice.microphone import RATE
from voice.outlet import Outlet
from voice.pipeline import OUT_RATE, Ends
from voice.transports.line import sound

_PIECE_SECONDS = 0.02
_WAITING = 100
"""Pieces of 20 ms that nobody has taken; then the oldest is forgotten."""
_ELSEWHERE = "Or talk from a browser: `atlas serve`, and the page /voice."


class Stream(Protocol):
    """Of a sound device, running."""

    def close(self) -> None:
        """It stops."""
        ...


class Playing(Stream, Protocol):
    """One that plays."""

    def write(self, data: bytes) -> object:
        """16-bit mono; blocks until there is room."""
        ...


class Devices(Protocol):
    """Those of this machine. `EngineUnavailable`: there is none, or it can't be used."""

    def microphone(self, rate: int, pieces: int, heard: Callable[[bytes], None]) -> Stream:
        """It is on; `heard` is given 16-bit mono of `rate` Hz, `pieces` samples at a time, in some thread."""
        ...

    def loudspeaker(self, rate: int, pieces: int) -> Playing:
        """It is on."""
        ...


class PortAudio:
    """`Devices`, the system's default ones. `EngineUnavailable`: the library is not there."""

    def __init__(self) -> None:
        try:
            import sounddevice
        except (ImportError, OSError) as error:
            raise EngineUnavailable(
                f"sound devices can't be used: {error}",
                f"Install PortAudio (Debian: apt install libportaudio2). {_ELSEWHERE}",
            ) from None
        self._library: Any = sounddevice

    def microphone(self, rate: int, pieces: int, heard: Callable[[bytes], None]) -> Stream:
        """See `Devices`."""

        def taken(data: Any, *_: object) -> None:  # noqa: ANN401
            heard(bytes(data))

        return self._opened("microphone", self._library.RawInputStream, rate, pieces, callback=taken)

    def loudspeaker(self, rate: int, pieces: int) -> Playing:
        """See `Devices`."""
        return cast(Playing, self._opened("loudspeaker", self._library.RawOutputStream, rate, pieces))

    def _opened(self, what: str, kind: Any, rate: int, pieces: int, **more: Any) -> Stream:  # noqa: ANN401
        try:
            stream = kind(samplerate=rate, blocksize=pieces, channels=1, dtype="int16", latency="low", **more)
            stream.start()
        except (self._library.PortAudioError, ValueError) as error:
            raise EngineUnavailable(f"there is no {what} that can be used: {error}", _ELSEWHERE) from None
        return cast(Stream, stream)


class LocalMicrophone(BaseInputTransport):
    """Hears from when it is made on; what comes before the pipeline runs is forgotten."""

    def __init__(self, devices: Devices) -> None:
        super().__init__(TransportParams(audio_in_enabled=True, audio_in_sample_rate=RATE))
        self._loop = asyncio.get_running_loop()
        self._pieces: asyncio.Queue[bytes] = asyncio.Queue()
        self._stream = devices.microphone(RATE, int(RATE * _PIECE_SECONDS), self._heard)
        self._passing: asyncio.Task[None] | None = None

    async def start(self, frame: StartFrame) -> None:
        """See `BaseInputTransport`."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._passing = self.create_task(self._pass_on(), name=f"{self}::listen")

    async def cleanup(self) -> None:
        """See `BaseInputTransport`."""
        await super().cleanup()
        await asyncio.to_thread(self.close)
        passing, self._passing = self._passing, None
        if passing is not None:
            await self.cancel_task(passing)

    def close(self) -> None:
        """It is off; blocks for a moment."""
        self._stream.close()

    def _heard(self, data: bytes) -> None:
        self._loop.call_soon_threadsafe(self._keep, data)

    def _keep(self, data: bytes) -> None:
        if self._pieces.qsize() >= _WAITING:
            self._pieces.get_nowait()
        self._pieces.put_nowait(data)

    async def _pass_on(self) -> None:
        while True:
            data = await self._pieces.get()
            await self.push_audio_frame(InputAudioRawFrame(audio=data, sample_rate=RATE, num_channels=1))


class LocalLoudspeaker(BaseOutputTransport):
    """Plays as fast as the device takes it."""

    def __init__(self, devices: Devices, outlet: Outlet) -> None:
        super().__init__(TransportParams(**sound(outlet)))
        self._stream = devices.loudspeaker(OUT_RATE, int(OUT_RATE * _PIECE_SECONDS))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="loudspeaker")

    async def start(self, frame: StartFrame) -> None:
        """See `BaseOutputTransport`."""
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def cleanup(self) -> None:
        """See `BaseOutputTransport`."""
        await super().cleanup()
        await asyncio.get_running_loop().run_in_executor(self._thread, self._stream.close)
        self._thread.shutdown(wait=False)

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """See `BaseOutputTransport`."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._stream.write, frame.audio)
        return True


def local_ends(devices: Devices, outlet: Outlet) -> Ends:
    """`EngineUnavailable`: there is no microphone, or no loudspeaker."""
    microphone = LocalMicrophone(devices)
    try:
        return Ends(microphone, LocalLoudspeaker(devices, outlet))
    except EngineUnavailable:
        microphone.close()
        raise
