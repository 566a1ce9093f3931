"""The git program, with nothing of the host's or the repository's configuration that could run something or change what
is stored.

Each call is a process of its own session, with an environment made from scratch, a deadline, and bounded output. A
cancelled call has killed its process group before the cancellation goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, cast

from mcp_servers.storage.threads import completed
from state.errors import AtlasError
from state.limits import MB

OUTPUT_BYTES = 16 * MB
"""What a call may print; more is an error. Large results go to a file."""
_ERROR_BYTES = 64 << 10

ATTRIBUTES = "* -text !eol -ident -filter !working-tree-encoding !merge !diff !export-ignore !export-subst\n"
"""For a repository's ``info/attributes``, which outranks every ``.gitattributes``: content is stored and checked out as
it is."""

_NEUTRAL: tuple[str, ...] = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.trustctime=true",
    "core.checkStat=default",
    "core.fileMode=true",
    "core.symlinks=true",
    "core.ignoreCase=false",
    "core.autocrlf=false",
    "core.attributesFile=/dev/null",
    "core.fsync=loose-object,reference",
    "core.pager=cat",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "safe.directory=*",
    "credential.helper=",
)
"""`safe.directory`: with all of the above, another user's repository can't make us run anything."""


class GitError(AtlasError):
    """git refused, failed, or is not there."""

    code = "git"


@dataclass(frozen=True, slots=True)
class Git:
    """How to call git. `directory` is the ``--git-dir`` (None: discovered from `cwd`), `environment` adds to the
    neutral one. Paths are absolute. `timeout` in seconds."""

    directory: Path | None = None
    work_tree: Path | None = None
    index: Path | None = None
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout: float = 600.0

    async def run(self, *arguments: str, stdin: bytes | Path = b"", stdout: Path | None = None) -> bytes:
        """Its standard output (or empty, with that in the new file `stdout`). `GitError` unless it exits with 0."""
        program = shutil.which("git")
        if program is None:
            raise GitError("git is not installed, or not on PATH", "Install git 2.39 or newer.")
        configuration = [part for setting in _NEUTRAL for part in ("-c", setting)]
        argv = [program, "--no-pager", *configuration, *arguments]
        with contextlib.ExitStack() as files:
            given = files.enter_context(stdin.open("rb")) if isinstance(stdin, Path) else None
            taken = files.enter_context(stdout.open("xb")) if stdout else None
            code, out, err = await self._call(argv, given, taken, stdin if isinstance(stdin, bytes) else b"")
        if code:
            reason = err.decode("utf-8", "replace").strip() or f"exit code {code}"
            raise GitError(f"git {arguments[0]}: {reason}", "")
        return out

    async def text(self, *arguments: str) -> str:
        """Its standard output without the newline at its end."""
        return (await self.run(*arguments)).decode("utf-8", "surrogateescape").removesuffix("\n")

    async def _call(
        self, argv: Sequence[str], given: IO[bytes] | None, taken: IO[bytes] | None, data: bytes
    ) -> tuple[int, bytes, bytes]:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *argv,
                stdin=given or (asyncio.subprocess.PIPE if data else asyncio.subprocess.DEVNULL),
                stdout=taken or asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment(),
                cwd=self.cwd,
                start_new_session=True,
            )
        )
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # Cancelled in there, asyncio would kill the process and not its children.
            await completed(_end(starting))
            raise
        try:
            async with asyncio.timeout(self.timeout), asyncio.TaskGroup() as group:
                out = group.create_task(_read(process.stdout, OUTPUT_BYTES, fail=True))
                err = group.create_task(_read(process.stderr, _ERROR_BYTES, fail=False))
                group.create_task(_feed(process.stdin, data))
                code = await process.wait()
        except BaseException as error:
            # Its children too, which may hold the pipes open after it ended by itself.
            _kill_group(process.pid)
            await completed(process.wait())
            if isinstance(error, TimeoutError):
                raise GitError(f"git {_verb(argv)} took more than {self.timeout:.0f} s", "Try again.") from None
            if isinstance(error, BaseExceptionGroup):
                raise cast("BaseExceptionGroup[BaseException]", error).exceptions[0] from None
            raise
        return code, out.result(), err.result()

    def _environment(self) -> dict[str, str]:
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": "/nonexistent",
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_GRAFT_FILE": os.devnull,
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_LAZY_FETCH": "1",
            # Outranks protocol.*.allow of the repository: a promisor remote there can't be made to run a helper.
            "GIT_ALLOW_PROTOCOL": "none",
            **self.environment,
        }
        places = {"GIT_DIR": self.directory, "GIT_WORK_TREE": self.work_tree, "GIT_INDEX_FILE": self.index}
        return environment | {name: str(path) for name, path in places.items() if path}


def _verb(argv: Sequence[str]) -> str:
    return argv[2 + 2 * len(_NEUTRAL)]


async def _read(stream: asyncio.StreamReader | None, limit: int, *, fail: bool) -> bytes:
    kept = bytearray()
    while stream and (block := await stream.read(1 << 16)):
        kept += block[: limit - len(kept)]
        if fail and len(kept) >= limit:
            raise GitError(f"git printed more than {limit:,} bytes", "The repository is too large for this.")
    return bytes(kept)


async def _feed(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    # A program that needs no more of its input closes it; its exit code tells whether that was right.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await stream.wait_closed()


async def _end(starting: Awaitable[asyncio.subprocess.Process]) -> None:
    with contextlib.suppress(OSError):
        process = await starting
        _kill_group(process.pid)
        await process.wait()


def _kill_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
