"""Speech by espeak-ng: a small program of the system, no download, two languages here."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator

from pipecat.frames.frames import ErrorFrame, Frame
from pipecat.services.settings import TTSSettings
from pipecat.services.tts_service import TTSService

from state.errors import EngineUnavailable
from voice.engines.parts import Setup
from voice.intents import Language

PROGRAM = "espeak-ng"
_VOICES: dict[Language, str] = {"en": "en-us", "zh": "cmn"}
_WORDS_A_MINUTE = 165
_CHUNK_BYTES = 4_096
_END_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0
"""For the next piece on a busy machine; see `voice.engines.piper_speech`."""


def installed() -> bool:
    """Whether the program is there."""
    return shutil.which(PROGRAM) is not None


class EspeakSpeaking:
    """See `Speaking`."""

    def __init__(self, setup: Setup) -> None:
        if setup.model:
            raise EngineUnavailable(f"{setup.engine}/{setup.model}: {PROGRAM} has no models", f'Write "{PROGRAM}".')
        _needed()
        self._voice = setup.voice or None
        if self._voice is not None and not _knows(self._voice):
            raise EngineUnavailable(
                f"{PROGRAM} has no voice {self._voice!r}", f"Choose one of `{PROGRAM} --voices`, or leave it out."
            )

    def service(self, language: Language) -> EspeakTTS:
        """For one conversation."""
        return EspeakTTS(language, self._voice)

    async def ready(self) -> None:
        """See `Part`."""

    async def close(self) -> None:
        """See `Part`."""


class EspeakTTS(TTSService):
    """`voice` is one of ``espeak-ng --voices``."""

    def __init__(self, language: Language = "en", voice: str | None = None, rate: int = _WORDS_A_MINUTE) -> None:
        _needed()
        self._voice = voice or _VOICES[language]
        self._rate = rate
        super().__init__(
            push_start_frame=True, push_stop_frames=True, stop_frame_timeout_s=_PATIENCE_SECONDS,
            max_consecutive_zero_audio_contexts=0,
            settings=TTSSettings(model=None, voice=self._voice, language=None),
        )  # fmt: skip

    def can_generate_metrics(self) -> bool:
        """See `FrameProcessor`."""
        return True

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame | None, None]:
        """See `TTSService`. The program ends with this generator, however that ends."""
        program = await asyncio.create_subprocess_exec(
            PROGRAM, "-v", self._voice, "-s", str(self._rate), "--stdin", "--stdout",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            given, made = pipes(program)
            given.write(text.encode())
            given.close()
            chunks = _chunks(made)
            async for frame in self._stream_audio_frames_from_iterator(
                chunks, strip_wav_header=True, context_id=context_id
            ):
                yield frame
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(program.wait(), _END_SECONDS)
        finally:
            if program.returncode is None:
                # not `program.kill`: it looks for the end itself, and takes it from whoever waits for it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(program.pid, signal.SIGKILL)
            returned = await program.wait()
        if returned > 0:
            problem = EngineUnavailable(f"{PROGRAM} ended with {returned}", "Try it in a terminal.")
            yield ErrorFrame(f"{problem.message}. {problem.hint}", exception=problem)


def _knows(voice: str) -> bool:
    asked = [PROGRAM, "-q", "-v", voice, "--", "a"]
    return subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10).returncode == 0


def _needed() -> None:
    if not installed():
        raise EngineUnavailable(f"{PROGRAM} is not installed", "Install it (Debian: apt install espeak-ng).")


def pipes(program: asyncio.subprocess.Process) -> tuple[asyncio.StreamWriter, asyncio.StreamReader]:
    """Of a program that was started with both."""
    if program.stdin is None or program.stdout is None:
        raise RuntimeError("started without pipes")
    return program.stdin, program.stdout


async def _chunks(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while chunk := await stream.read(_CHUNK_BYTES):
        yield chunk
