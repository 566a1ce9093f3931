"""One attempt's log: redacted, bounded, stored in chunks as it grows, its last lines told as events."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from orchestrator.executors.captured_output import CapturedOutput
from orchestrator.secrets import Redactor
from state.errors import LeaseLost
from state.limits import EVIDENCE_TAIL, LOG_BYTES, LOG_CHUNK, LOG_LINE_CHARACTERS, LOG_TAIL_LINES
from state.ports import ArtifactStore, Reporter, Stream

log = logging.getLogger(__name__)

_FLUSH_SECONDS = 0.5


def readable(data: bytes) -> str:
    """Output as text that every database stores: broken UTF-8 and NUL replaced."""
    return data.decode("utf-8", "replace").replace("\0", "\N{SYMBOL FOR NULL}")


class AttemptLog:
    """Takes the output of an attempt's commands, one after the other, in the order it comes.

    ``async with``: what is buffered is stored every half second and at the end. A log longer than `limits.LOG_BYTES`
    is cut, and says so; the digest covers everything. What can't be stored just now is kept and tried again, until the
    buffer is full or the attempt ends. `name` is the log's in the artifact store, which has `stored` bytes of it.
    """

    def __init__(
        self, name: str, store: ArtifactStore, reporter: Reporter, secrets: Mapping[str, str], stored: int = 0
    ) -> None:
        self._name = name
        self._store = store
        self._reporter = reporter
        self._secrets = secrets
        self._buffer = bytearray()
        self._stored = stored
        self._told = stored
        self._lines: list[str] = []
        self._taken = stored
        self._lock = asyncio.Lock()
        self._flusher: asyncio.Task[None] | None = None
        self._failure: Exception | None = None

    async def __aenter__(self) -> Self:
        self._flusher = asyncio.create_task(self._flush_now_and_then())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._flusher:
            self._flusher.cancel()
            await asyncio.gather(self._flusher, return_exceptions=True)
        if kind is None or issubclass(kind, Exception):
            await self._flush()

    @property
    def stored(self) -> int:
        """Bytes of it that the artifact store has."""
        return self._stored

    def command(self, stdout: CapturedOutput | None = None) -> CommandOutput:
        """The output of the next command goes here; its standard output to `stdout`, too."""
        return CommandOutput(self, self._secrets, stdout)

    async def take(self, data: bytes) -> None:
        """Add redacted output; waits while a full chunk is being stored, which slows the command down in turn."""
        if self._failure:
            raise self._failure
        room = LOG_BYTES - self._taken
        self._taken += len(data)
        if room >= 0:  # at 0 exactly, the next byte is the first that is left out
            self._buffer += data[:room]
            if len(data) > room:
                self._buffer += b"\n[atlas: the log is cut here, at %d bytes]\n" % LOG_BYTES
        if len(self._buffer) >= LOG_CHUNK:
            await self._flush()

    async def _flush_now_and_then(self) -> None:
        troubled = False
        while True:
            await asyncio.sleep(_FLUSH_SECONDS)
            try:
                await self._flush()
                troubled = False
            except LeaseLost as error:  # told to the command's output when it comes, and at the end
                self._failure = error
                return
            except Exception as error:
                if not troubled:
                    log.warning("the log %s can't be stored; it is tried again: %s", self._name, error)
                troubled = True

    async def _flush(self) -> None:
        async with self._lock:
            if self._failure:
                raise self._failure
            data = bytes(self._buffer)
            if data:
                await self._store.append(self._name, self._stored, data)
                # Only now: if this was cancelled, what it was about to store is stored with what came since.
                del self._buffer[: len(data)]
                self._stored += len(data)
                self._lines = _last_lines(data)
            if self._told < self._stored:  # or is still to be told, as that was cut off
                await self._reporter.log(self._stored, self._lines)
                self._told = self._stored


class CommandOutput:
    """One command's output on its way into the log: what to hand to a sandbox, and afterwards its tail and digest."""

    def __init__(self, log: AttemptLog, secrets: Mapping[str, str], stdout: CapturedOutput | None = None) -> None:
        self._log = log
        self._stdout = stdout
        self._redactors: dict[Stream, Redactor] = {"stdout": Redactor(secrets), "stderr": Redactor(secrets)}
        self._digest = hashlib.sha256()
        self._tail = b""

    async def write(self, stream: Stream, data: bytes) -> None:
        """`state.ports.WriteOutput`. `OutputRefused`: more than is taken of it."""
        await self._pass_on(stream, self._redactors[stream].feed(data))

    async def end(self) -> None:
        """The command has ended: what a redactor held back comes now."""
        for stream, redactor in self._redactors.items():
            await self._pass_on(stream, redactor.flush())
        if self._stdout:
            await self._stdout.end()

    @property
    def digest(self) -> str:
        """Of everything, as redacted."""
        return f"sha256:{self._digest.hexdigest()}"

    @property
    def tail(self) -> str:
        """The last `limits.EVIDENCE_TAIL` bytes as text."""
        return readable(self._tail)

    async def _pass_on(self, stream: Stream, data: bytes) -> None:
        if data:
            if self._stdout and stream == "stdout":
                await self._stdout.take(data)
            self._digest.update(data)
            self._tail = (self._tail + data[-EVIDENCE_TAIL:])[-EVIDENCE_TAIL:]
            await self._log.take(data)


def _last_lines(data: bytes) -> list[str]:
    # a chunk can be one line of 256 KB: only its end can be shown
    lines = readable(data[-LOG_TAIL_LINES * LOG_LINE_CHARACTERS * 4 :]).splitlines()
    return [line[:LOG_LINE_CHARACTERS] for line in lines if line.strip()][-LOG_TAIL_LINES:]
