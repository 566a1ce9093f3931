"""The worker's side of a `warden`: starting it, streaming what its command says, seeing it to its end."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Literal

from mcp_servers.container import warden
from mcp_servers.container.completion import see_through
from mcp_servers.container.lifelines import Lifeline
from state.errors import SHORT, SandboxUnavailable
from state.limits import PULSE_LIMIT_SECONDS
from state.ports import Exit, SandboxCommand, Stream, WriteOutput

CHUNK = 64 << 10
KILL_SECONDS = 10.0
"""A warden kills in milliseconds; one that has not ended by then is stuck, and is killed itself."""
# The interpreter finds the compiled warden beside its source; as a script it would be compiled again for every command.
BOOT = "import sys; sys.path.append(sys.argv.pop(1)); import warden; warden.main(sys.argv[1:])"


def unshare(*, network: bool) -> list[str]:
    """The command line that puts a program into user and PID namespaces of its own, as PID 1."""
    prefix = ["unshare", "--user", "--map-current-user", "--pid", "--fork", "--kill-child", "--mount-proc"]
    return prefix if network else [*prefix, "--net"]


class Warden:
    """One command under its warden, started on construction. `follow` must be awaited."""

    def __init__(
        self,
        command: SandboxCommand,
        environment: Mapping[str, str],
        scratch: Path,
        line: Lifeline,
        form: Literal["namespace", "tree"],
        limits: list[str],
    ) -> None:
        self._form = form
        self._said = ""
        self._line = line
        self._ours = ExitStack()
        try:
            self._start(command, environment, scratch, line, limits)
        except BaseException:
            self._ours.close()
            raise

    def _start(
        self, command: SandboxCommand, environment: Mapping[str, str], scratch: Path, line: Lifeline, limits: list[str]
    ) -> None:
        form = self._form
        with ExitStack() as theirs:
            out, stdout = self._pipe(theirs)
            err, stderr = self._pipe(theirs)
            self._outputs: list[tuple[Stream, int]] = [("stdout", out), ("stderr", err)]
            self._status, status = self._pipe(theirs)
            life = os.pidfd_open(os.getpid())
            theirs.callback(os.close, life)
            strings = os.memfd_create("atlas-command")
            theirs.callback(os.close, strings)
            with open(strings, "wb", closefd=False) as file:
                for text in (*command.argv, *(f"{name}={value}" for name, value in environment.items())):
                    file.write(text.encode() + b"\0")
            os.lseek(strings, 0, os.SEEK_SET)
            ours, control = socket.socketpair()
            theirs.callback(control.close)
            ours.setblocking(False)
            line.connect(ours)
            passed = (control.fileno(), status, life)
            timeouts = (command.timeout, PULSE_LIMIT_SECONDS)
            prefix = unshare(network=command.resources.network is not False) if form == "namespace" else []
            arguments = (form, *passed, *timeouts, scratch, len(command.argv), *limits)
            interpreter = [sys.executable, "-I", "-S", "-c", BOOT, str(Path(warden.__file__).parent)]
            try:
                self._process = subprocess.Popen(
                    [*prefix, *interpreter, *map(str, arguments)],
                    stdin=strings,
                    stdout=stdout,
                    stderr=stderr,
                    cwd=command.workdir,
                    env={"LANG": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath)},
                    pass_fds=passed,
                    start_new_session=True,
                )
            except OSError as error:
                if error.errno in SHORT:
                    raise
                raise SandboxUnavailable(f"The host sandbox could not start in {command.workdir}: {error}.") from error
        self._end = os.pidfd_open(self._process.pid)
        self._ours.callback(os.close, self._end)

    def _pipe(self, theirs: ExitStack) -> tuple[int, int]:
        reading, writing = os.pipe()
        self._ours.callback(os.close, reading)
        theirs.callback(os.close, writing)
        os.set_blocking(reading, False)
        return reading, writing

    async def follow(self, write: WriteOutput) -> Exit:
        """Stream the output to `write` until the command has ended and nothing of it is alive.

        Cancelled, or with an error from `write`: everything is killed first.
        """
        ended = asyncio.ensure_future(_readable(self._end))
        pumps = [asyncio.ensure_future(_pump(fd, stream, write, ended)) for stream, fd in self._outputs]
        try:
            await asyncio.gather(*pumps)
            await asyncio.shield(ended)
        finally:
            for pump in pumps:
                pump.cancel()
            await see_through(self._finish(ended, pumps))
        return self._verdict()

    async def _finish(self, ended: asyncio.Future[None], pumps: Sequence[asyncio.Future[None]]) -> None:
        self._line.say(b"K")
        self._line.end()
        await asyncio.wait({ended, *pumps}, timeout=KILL_SECONDS)
        if not ended.done() and self._form == "namespace":
            self._process.kill()  # takes PID 1 and with it the namespace along
        await asyncio.wait({ended, *pumps})
        self._process.wait()
        self._said = _drain(self._status).decode()
        self._ours.close()

    def _verdict(self) -> Exit:
        started, _, end = self._said.partition("\n")
        if not started:
            raise SandboxUnavailable(
                f"The host sandbox's supervisor ended with {self._process.returncode} before the command started.",
                "Its last words are in the command's stderr.",
            )
        if not end:  # killed from outside; with it, its command
            return Exit(137, "lease" if self._line.cut else "exit", 0.0)
        cause, code, seconds = end.split()
        return Exit(int(code), _CAUSES[cause], float(seconds))


_CAUSES: dict[str, Literal["exit", "timeout", "lease"]] = {
    "exit": "exit",
    "timeout": "timeout",
    "lease": "lease",
    "cancel": "lease",
}


def _drain(fd: int) -> bytes:
    with suppress(BlockingIOError):
        return os.read(fd, 4096)
    return b""


async def _pump(fd: int, stream: Stream, write: WriteOutput, ended: asyncio.Future[None]) -> None:
    """Until end of file; or, once all is dead, until the pipe is empty: somebody outside may hold its other end."""
    while True:
        over = ended.done()
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            if over:
                return
            await _readable(fd, ended)
            continue
        if not data:
            return
        await write(stream, data)


async def _readable(fd: int, *others: asyncio.Future[None]) -> None:
    """Wait until `fd` can be read, or one of `others` is done."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, lambda: ready.done() or ready.set_result(None))
    try:
        await asyncio.wait({ready, *others}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(fd)
        ready.cancel()
