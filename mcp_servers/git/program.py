"""The git program, with nothing of the host's or the repository's configuration that could run something or change what
is stored.

Each call is a process of its own session, with an environment made from scratch, a deadline, and bounded output. A
cancelled call has killed its process group before the cancellation goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
import shutil
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from mcp_servers.git.running import Running, bounded
from mcp_servers.storage.threads import completed
from state.errors import AtlasError, InputError
from state.limits import MB

if TYPE_CHECKING:
    from hashlib import _Hash as Hash  # pyright: ignore[reportPrivateUsage]  typeshed's name for it

OUTPUT_BYTES = 16 * MB
"""What a call may print; more is an error. Large results go to a file."""
_ERROR_BYTES = 64 << 10
_PROGRESS = re.compile(r"(?m)^(remote: )?[A-Z][A-Za-z ]+: +\d+%? .*[\r\n]+|^Cloning into .*\n")
"""What is no reason for a failure."""
_NOBODY = re.compile(rb"(Author|Committer) identity unknown|empty ident name|no email was given")

ATTRIBUTES = (
    "* -text !eol -ident -filter !working-tree-encoding !merge !diff !export-ignore !export-subst "
    "!conflict-marker-size\n"
)
"""For a repository's ``info/attributes``, which outranks every ``.gitattributes``: content is stored and checked out as
it is."""

SAFE: tuple[str, ...] = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    "core.pager=cat",
    "core.editor=false",
    "core.askPass=",
    "core.sshCommand=ssh -o BatchMode=yes",
    "core.alternateRefsCommand=true",
    "core.quotePath=false",
    "sequence.editor=false",
    "diff.external=",
    "diff.orderFile=/dev/null",
    "blame.ignoreRevsFile=",
    "gpg.program=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "tag.forceSignAnnotated=false",
    "push.gpgSign=false",
    "log.showSignature=false",
    "merge.verifySignatures=false",
    "mailmap.file=/dev/null",
    "advice.graftFileDeprecated=false",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "push.recurseSubmodules=no",
    "color.ui=false",
    "column.ui=never",
    "gc.auto=0",
    "maintenance.auto=false",
    "rerere.enabled=false",
    "protocol.allow=never",
    "safe.directory=*",
    "credential.helper=",
)
"""Nothing that the repository's configuration says under these names can run a program or read a file elsewhere.
`safe.directory`: with all of the above, another user's repository can't either."""

AS_IT_IS: tuple[str, ...] = (
    *SAFE,
    "core.untrackedCache=false",
    "core.trustctime=true",
    "core.checkStat=default",
    "core.fileMode=true",
    "core.symlinks=true",
    "core.ignoreCase=false",
    "core.autocrlf=false",
    "core.fsync=loose-object,reference",
)
"""And content is stored and checked out as it is."""


class GitError(AtlasError):
    """git refused, failed, or is not there."""

    code = "git"


@dataclass(frozen=True, slots=True)
class Git:
    """How to call git. `directory` is the ``--git-dir`` (None: discovered from `cwd`), `environment` adds to the
    neutral one. Paths are absolute. `timeout` in seconds; `settings` outrank the repository's configuration. A call
    that is stopped gets `patience` seconds to take its lock files along, before it is killed. `heard` is given what it
    says on its standard error, as it comes."""

    directory: Path | None = None
    work_tree: Path | None = None
    index: Path | None = None
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    timeout: float = 600.0
    settings: Sequence[str] = AS_IT_IS
    patience: float = 0.0
    heard: Callable[[bytes], None] | None = None

    async def run(self, *arguments: str, stdin: bytes | Path = b"", stdout: Path | None = None) -> bytes:
        """Its standard output (or empty, with that in the new file `stdout`). `GitError` unless it exits with 0."""
        with contextlib.ExitStack() as files:
            given = files.enter_context(stdin.open("rb")) if isinstance(stdin, Path) else None
            taken = files.enter_context(stdout.open("xb")) if stdout else None
            said = await self._call(arguments, given, taken, stdin if isinstance(stdin, bytes) else b"")
        if said.code:
            raise said.error(arguments[0])
        return said.out

    async def answer(self, *arguments: str, stdin: bytes = b"", codes: Sequence[int] = (0,)) -> Said:
        """What it said and its exit code, which is one of `codes`."""
        said = await self._call(arguments, None, None, stdin)
        if said.code not in codes:
            raise said.error(arguments[0])
        return said

    async def page(self, *arguments: str, start: int, size: int, codes: Sequence[int] = (0,)) -> Stretch:
        """`size` bytes of its output from byte `start`; git is stopped when there are more."""
        window = _Window(start, size)
        said = await self._call(arguments, None, None, b"", window)
        if said.code not in codes and not window.full:
            raise said.error(arguments[0])
        return Stretch(bytes(window.kept), window.full, window.before)

    async def text(self, *arguments: str) -> str:
        """Its standard output without the newline at its end."""
        return (await self.run(*arguments)).decode("utf-8", "surrogateescape").removesuffix("\n")

    def _argv(self, arguments: Sequence[str]) -> list[str]:
        program = _program(os.environ.get("PATH", os.defpath))
        place = ("-C", str(self.cwd)) if self.cwd else ()
        settings = (part for setting in self.settings for part in ("-c", setting))
        return [program, *place, "--no-pager", *settings, *arguments]

    async def _call(
        self,
        arguments: Sequence[str],
        given: IO[bytes] | None,
        taken: IO[bytes] | None,
        data: bytes,
        out: _Output | None = None,
    ) -> Said:
        out = out or _Whole()
        err = bytearray()
        argv = self._argv(arguments)
        with contextlib.ExitStack() as files, _startable():
            running = Running(
                argv,
                environment=self._environment(),
                stdin=given.fileno() if given else files.enter_context(_input(data)),
                stdout=taken.fileno() if taken else None,
                out=out.feed,
                err=bounded(err, _ERROR_BYTES, self.heard),
            )
        try:
            async with asyncio.timeout(self.timeout):
                code = await running.finished()
        except BaseException as error:
            # Its children too, which may hold the pipes open after it ended by itself.
            await completed(running.stop(0.0 if isinstance(error, _Enough) else self.patience))
            if isinstance(error, TimeoutError):
                raise GitError(f"git {arguments[0]} took more than {self.timeout:.0f} s", "Try again.") from None
            if not isinstance(error, _Enough):
                raise
            code = 0
        return Said(code, bytes(out.kept), bytes(err))

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


@contextlib.contextmanager
def _startable() -> Generator[None]:
    """Why git could not be started. The next call looks for it again when it is not where it was."""
    try:
        yield
    except FileNotFoundError as error:
        _program.cache_clear()
        raise GitError("git is no longer where it was", "Try again, or install it.") from error
    except ValueError as error:  # UnicodeEncodeError among them
        raise InputError(
            "a name has a character that no file can have in its name", "Leave NUL and the like out."
        ) from error
    except OSError as error:
        if error.errno != errno.E2BIG:
            raise
        raise InputError("these are more arguments than a program can take", "Name fewer paths at a time.") from error


@lru_cache(maxsize=1)
def _program(path: str) -> str:
    program = shutil.which("git", path=path)
    if program is None:
        raise GitError("git is not installed, or not on PATH", "Install git 2.39 or newer.")
    return program


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of what git printed: whether there is `more`, and the SHA-256 of all `before`."""

    data: bytes
    more: bool
    before: Hash


@dataclass(frozen=True, slots=True)
class Said:
    """How a call ended."""

    code: int
    out: bytes
    err: bytes

    @property
    def reason(self) -> str:
        """Why it failed, in git's own words."""
        return _PROGRESS.sub("", self.err.decode("utf-8", "replace")).strip() or f"exit code {self.code}"

    def error(self, verb: str) -> GitError:
        """The failure of ``git verb``."""
        if _NOBODY.search(self.err):
            return GitError(
                f"git {verb}: nobody is named who does it",
                "Set user.name and user.email in the repository's configuration, or in the operator's git.",
            )
        return GitError(f"git {verb}: {self.reason}", "")


class _Enough(Exception):
    """A page is full."""


class _Output(Protocol):
    kept: bytearray

    def feed(self, data: bytes) -> None: ...


class _Whole:
    """All of a call's output; too much is an error."""

    def __init__(self) -> None:
        self.kept = bytearray()

    def feed(self, data: bytes) -> None:
        self.kept += data
        if len(self.kept) >= OUTPUT_BYTES:
            raise GitError(f"git printed more than {OUTPUT_BYTES:,} bytes", "The repository is too large for this.")


class _Window:
    """A stretch of a call's output; when it is full, the call is stopped."""

    def __init__(self, start: int, size: int) -> None:
        self._left = start
        self._size = size
        self.before = sha256()
        self.kept = bytearray()
        self.full = False

    def feed(self, data: bytes) -> None:
        skipped = min(self._left, len(data))
        self._left -= skipped
        self.before.update(data[:skipped])
        self.kept += data[skipped:]
        if len(self.kept) > self._size:
            del self.kept[self._size :]
            self.full = True
            raise _Enough


@contextlib.contextmanager
def _input(data: bytes) -> Generator[int]:
    """A descriptor to read `data` from: memory, so that nobody has to feed a pipe."""
    descriptor = os.memfd_create("atlas-git-input") if data else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
        if data:
            os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
