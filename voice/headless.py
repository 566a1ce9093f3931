"""A conversation with a file instead of a microphone and another instead of a loudspeaker, in real time."""

from __future__ import annotations

import asyncio
import io
import os
import time
import wave
from collections.abc import Callable
from pathlib import Path

from pipecat.frames.frames import EndFrame, InputAudioRawFrame, OutputAudioRawFrame, StartFrame
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams

from state.errors import InputError
from voice.outlet import Outlet
from voice.pipeline import OUT_RATE

_PIECE_SECONDS = 0.02
_WIDTH = 2
_LONGEST_SECONDS = 3_600
_LOWEST_RATE = 8_000
ANSWER_SECONDS = 6.0
"""From the end of a recording to the beginning of the next."""


class Recording:
    """What is spoken into it. `sound`: 16-bit PCM."""

    def __init__(self, path: Path, *more: Path) -> None:
        """`more` is played after it, each when there has been time for an answer."""
        self._read(path)
        for each in more:
            after = Recording(each)
            if (after.rate, after.channels) != (self.rate, self.channels):
                raise InputError(
                    f"{each} has {after.rate} Hz and {after.channels} channels, {path} {self.rate} and {self.channels}",
                    "Convert one of them.",
                )
            pause = bytes(int(self.rate * ANSWER_SECONDS) * self.channels * _WIDTH)
            self.sound += pause + after.sound

    def _read(self, path: Path) -> None:
        try:
            with wave.open(str(path), "rb") as file:
                self.rate, self.channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
                if width != _WIDTH:
                    raise InputError(f"{path} has {8 * width}-bit samples", "16-bit PCM is needed: convert it.")
                if self.rate < _LOWEST_RATE:
                    raise InputError(f"{path} has {self.rate} samples a second", f"{_LOWEST_RATE} is the least.")
                # What was written to a pipe says that it is endless.
                most, frame = _LONGEST_SECONDS * self.rate, self.channels * _WIDTH
                sound = file.readframes(min(file.getnframes(), most + 1))
                if len(sound) > most * frame:
                    raise InputError(f"{path} is longer than {_LONGEST_SECONDS // 60} minutes", "Cut it.")
                self.sound = sound[: len(sound) // frame * frame]
        except OSError as error:
            raise InputError(f"{path} can't be read: {error.strerror}", "Name a WAV file.") from None
        except (wave.Error, EOFError) as error:
            what = str(error) or "it ends too soon"
            raise InputError(f"{path} is no WAV file: {what}", "16-bit PCM in a WAV file is needed.") from None


def writable(path: Path) -> None:
    """`InputError`: no file can be made there."""
    if path.is_dir():
        raise InputError(f"{path} is a directory", "Name a file.")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no directory {path.parent}", "Make it, or name another.")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"{path} can't be written", "Name another file.")


class FileMicrophone(BaseInputTransport):
    """Plays a recording as if somebody spoke, then silence for as long as the conversation lasts."""

    def __init__(self, recording: Recording) -> None:
        super().__init__(TransportParams(audio_in_enabled=True))
        self._recording = recording
        self._playing: asyncio.Task[None] | None = None
        self.over = asyncio.Event()
        """It has been played."""

    async def start(self, frame: StartFrame) -> None:
        """See `BaseInputTransport`."""
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._playing = self.create_task(self._play(), name=f"{self}::play")

    async def cleanup(self) -> None:
        """See `BaseInputTransport`."""
        await super().cleanup()
        playing, self._playing = self._playing, None
        if playing is not None:
            await self.cancel_task(playing)

    async def _play(self) -> None:
        rate, channels, sound = self._recording.rate, self._recording.channels, self._recording.sound
        piece = int(rate * _PIECE_SECONDS) * _WIDTH * channels
        silence = bytes(piece)
        began, at = time.monotonic(), 0
        while True:
            part = sound[at * piece : (at + 1) * piece] or silence
            if (at + 1) * piece >= len(sound):
                self.over.set()
            await self.push_audio_frame(InputAudioRawFrame(audio=part, sample_rate=rate, num_channels=channels))
            at += 1
            await asyncio.sleep(max(0.0, began + at * _PIECE_SECONDS - time.monotonic()))


class FileLoudspeaker(BaseOutputTransport):
    """Keeps what is spoken, in its place in time, and writes it down at the end."""

    def __init__(self, path: Path | None, outlet: Outlet, written: Callable[[float], None] | None = None) -> None:
        params = TransportParams(
            audio_out_enabled=True, audio_out_sample_rate=OUT_RATE, audio_out_10ms_chunks=2, audio_out_filter=outlet,
            audio_out_end_silence_secs=0,
        )  # fmt: skip
        super().__init__(params)
        self._path = path
        self._written = written
        self._began = 0.0
        self._free = 0.0
        self._sound = bytearray()
        self.failed = ""
        """Why it could not be written down. (No error, which would keep all of this alive.)"""

    async def start(self, frame: StartFrame) -> None:
        """See `BaseOutputTransport`."""
        await super().start(frame)
        self._began = time.monotonic()
        await self.set_transport_ready(frame)

    async def stop(self, frame: EndFrame) -> None:
        """See `BaseOutputTransport`."""
        await super().stop(frame)
        if self._path is not None:
            try:
                await asyncio.to_thread(self._write_down)
            except OSError as error:  # the conversation ends all the same
                self.failed = f"{self._path} can't be written: {error.strerror}"

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        """As a sound card takes it: not before there is room."""
        now = time.monotonic()
        self._free = max(self._free, now)
        if self._path is not None:
            start = int((self._free - self._began) * OUT_RATE) * _WIDTH
            self._sound.extend(bytes(max(0, start - len(self._sound))))
            self._sound.extend(frame.audio)
        if self._written is not None:
            self._written(now)
        self._free += frame.num_frames / frame.sample_rate
        await asyncio.sleep(max(0.0, self._free - time.monotonic()))
        return True

    def _write_down(self) -> None:
        made = io.BytesIO()
        with wave.open(made, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(_WIDTH)
            file.setframerate(OUT_RATE)
            file.writeframes(bytes(self._sound))
        if self._path is not None:
            self._path.write_bytes(made.getbuffer())


async def quiet(busy: Callable[[], bool], seconds: float, deadline: float) -> None:
    """Until nothing has been going on for so long, or the event loop's time is past `deadline`."""
    now = asyncio.get_running_loop().time
    since = now()
    while now() < deadline and now() - since < seconds:
        await asyncio.sleep(0.05)
        if busy():
            since = now()
