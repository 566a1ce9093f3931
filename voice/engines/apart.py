"""PocketSphinx in a process of its own: it works for a fifth of a second at a time and lets no thread run meanwhile, so
a conversation's audio would wait for it. One process serves all conversations; it ends with the one that started it.

As a program (``python -m voice.engines.apart``) it reads a line of JSON and the audio that it announces, and answers
with a line of JSON, until its input ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Collection
from typing import Any, BinaryIO, TypedDict

from orchestrator.tasks import ended
from state.errors import EngineUnavailable
from voice.engines.heard import Heard

_SECONDS = 20.0
"""After which it has hung, and is ended."""
_LONGEST = 32_000 * 60
"""Bytes of an utterance that are listened to."""


class _Asked(TypedDict):
    what: str
    bytes: int
    runs: list[str]
    plans: list[str]


class Apart:
    """The process, started when it is first asked, and again when it has died."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._exchanges: set[asyncio.Task[dict[str, Any]]] = set()
        self._going_on: asyncio.Task[Any] | None = None

    async def hear(self, audio: bytes, runs: Collection[str] = (), plans: Collection[str] = ()) -> Heard:
        """The command that was said. `EngineUnavailable`: what is missing, or that the process died of it."""
        audio = audio[:_LONGEST]
        answer = await self._ask({"what": "hear", "bytes": len(audio), "runs": [*runs], "plans": [*plans]}, audio)
        return Heard(str(answer["text"]), float(answer["confidence"]))

    async def is_wake_word(self, audio: bytes) -> bool:
        """Whether what was spotted is it."""
        audio = audio[:_LONGEST]
        answer = await self._ask({"what": "judge", "bytes": len(audio), "runs": [], "plans": []}, audio)
        return bool(answer["is_it"])

    async def ready(self) -> None:
        """Have it load what it will need."""
        await self._ask({"what": "ready", "bytes": 0, "runs": [], "plans": []}, b"")

    async def close(self) -> None:
        """End it, and what it is asked."""
        await ended(*self._exchanges)
        await self._end()

    async def _ask(self, asked: _Asked, audio: bytes) -> dict[str, Any]:
        """Who no longer wants the answer leaves the process as it is, which serves others; what has not been asked yet
        is not."""
        exchange = asyncio.create_task(self._exchange(asked, audio))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        try:
            return await asyncio.shield(exchange)
        except asyncio.CancelledError:
            if exchange is not self._going_on:
                exchange.cancel()
            raise

    async def _exchange(self, asked: _Asked, audio: bytes) -> dict[str, Any]:
        async with self._turn:
            self._going_on = asyncio.current_task()
            whole = False
            try:
                process = await self._started()
                answer = await asyncio.wait_for(_asked(process, asked, audio), _SECONDS)
                whole = True
            except (OSError, ValueError, TimeoutError, asyncio.IncompleteReadError):
                raise EngineUnavailable(
                    "the process that recognises speech has died, or hung", "It is started again."
                ) from None
            finally:
                if not whole:  # an answer that nobody read would be taken for the next one's
                    await self._end()
        if problem := answer.get("problem"):
            raise EngineUnavailable(str(problem), str(answer.get("hint", "")))
        return answer

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "voice.engines.apart",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
        return self._process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        await process.wait()


async def _asked(process: asyncio.subprocess.Process, asked: _Asked, audio: bytes) -> dict[str, Any]:
    if process.stdin is None or process.stdout is None:
        raise ValueError("started without pipes")
    process.stdin.write(json.dumps(asked).encode() + b"\n" + audio)
    await process.stdin.drain()
    return json.loads(await process.stdout.readuntil(b"\n"))


class _Worker:
    """In that process: makes what it needs when it needs it."""

    def __init__(self) -> None:
        from voice.engines.pocketsphinx import CommandRecognizer
        from voice.engines.wake_word import WakeWordJudge

        self._names: tuple[list[str], list[str]] = ([], [])
        self._recogniser = CommandRecognizer()
        self._judge = WakeWordJudge()

    def answer(self, asked: _Asked, audio: bytes) -> dict[str, Any]:
        """One request."""
        if asked["what"] == "judge":
            return {"is_it": self._judge.is_it(audio)}
        if asked["what"] == "ready":
            return {}
        if (names := (asked["runs"], asked["plans"])) != self._names:
            self._recogniser.names(runs=names[0], plans=names[1])
            self._names = names
        self._recogniser.begin()
        self._recogniser.feed(audio)
        heard = self._recogniser.end()
        return {"text": heard.text, "confidence": heard.confidence}


def serve(given: BinaryIO, made: BinaryIO) -> None:
    """Until the input ends."""
    worker: _Worker | None = None
    while line := given.readline():
        asked: _Asked = json.loads(line)
        audio = given.read(asked["bytes"])
        try:
            worker = worker or _Worker()
            answer = worker.answer(asked, audio)
        except EngineUnavailable as error:
            answer = {"problem": error.message, "hint": error.hint}
        made.write(json.dumps(answer).encode() + b"\n")
        made.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal; who started it ends it
    serve(sys.stdin.buffer, sys.stdout.buffer)
