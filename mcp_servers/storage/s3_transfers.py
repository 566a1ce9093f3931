"""Local files that become objects, and objects that become local files: below the directories that the operator named,
and never through a symbolic link."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.storage import beneath, failures
from mcp_servers.storage.locations import Location
from mcp_servers.storage.s3 import S3Store
from mcp_servers.storage.s3_answers import Fetched, Written
from mcp_servers.storage.s3_new import Condition
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import InputError, RemoteForbidden, SettingsError
from state.ports import ObjectInfo

_PROGRESS_SECONDS = 0.25
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Say = Callable[[float, float | None], Awaitable[None]]
"""(bytes so far, bytes in all where that is known)."""


class LocalRoots:
    """The directories below which local files may be named."""

    def __init__(self, roots: Sequence[Path]) -> None:
        """`SettingsError`: one is not a directory."""
        self._roots: list[tuple[str, Path]] = []
        for root in roots:
            real = root.resolve()
            if not real.is_dir():
                raise SettingsError(f"{root} is not a directory, so no file below it can be used", "Make it first.")
            self._roots += [(str(name), real) for name in dict.fromkeys((root.absolute(), real))]

    def __bool__(self) -> bool:
        return bool(self._roots)

    def place(self, path: str) -> LocalPlace:
        """Where a caller's path is. `RemoteForbidden`: not below a root."""
        named = [(root, real) for root, real in self._roots if path.startswith(f"{root.rstrip('/')}/")]
        if not named:
            below = ", ".join(dict.fromkeys(str(real) for _, real in self._roots))
            raise RemoteForbidden(
                f"{path[:200]!r} is outside what the operator allows", f"Name an absolute path below: {below}."
            )
        root, real = max(named, key=lambda each: len(each[0]))
        relative = path[len(root.rstrip("/")) + 1 :]
        if _CONTROL.search(relative) or any(part in ("", ".", "..") for part in relative.split("/")):
            raise InputError(
                f"{path[:200]!r} has an empty, '.' or '..' part or a control character, or ends with a slash",
                "Write the plain absolute path of one file.",
            )
        return LocalPlace(real, relative)


@dataclass(frozen=True, slots=True)
class LocalPlace:
    """A file, there or not, below a root."""

    root: Path
    relative: str

    @property
    def shown(self) -> str:
        return str(self.root / self.relative)


class Meter:
    """How far a transfer has come."""

    def __init__(self, total: int | None = None) -> None:
        self.done = 0
        self.total = total

    def more(self, count: int) -> None:
        """Only one thread may count."""
        self.done += count


async def upload(
    store: S3Store, place: LocalPlace, target: Location, kind: str, condition: Condition, say: Say
) -> Written:
    """The file's content becomes the object `target`."""
    with ExitStack() as stack:
        descriptor = await in_thread(lambda stop: _opened(place, stack))
        meter = Meter(os.fstat(descriptor).st_size)
        async with _reported(meter, say):
            info = await store.send(descriptor, target, content_type=kind, condition=condition, told=meter.more)
    return Written(url=info.url, size=info.size, etag=info.etag)


async def download(store: S3Store, source: Location, place: LocalPlace, say: Say) -> Fetched:
    """The object becomes a file that was not there before; of one that fails or is cancelled nothing stays."""
    info = await store.stat(source.url)
    if info is None:
        raise failures.missing(source.url)
    meter = Meter(info.size)

    def fetch(stop: Stop) -> ObjectInfo:
        with failures.told(place.shown, "writing"), _created(place) as descriptor:
            return store.receive(source, descriptor, info.etag, stop, meter.more)

    async with _reported(meter, say):
        await store.calls.run(fetch)
    return Fetched(url=info.url, path=place.shown, size=info.size, etag=info.etag)


def _opened(place: LocalPlace, stack: ExitStack) -> int:
    with failures.told(place.shown, "reading"):
        return stack.enter_context(beneath.file(place.root, place.relative))


@contextmanager
def _created(place: LocalPlace) -> Generator[int]:
    """A descriptor of a new file, to write; the file goes if the block fails."""
    *parts, name = place.relative.split("/")
    with beneath.directory(place.root, parts) as parent:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o666, dir_fd=parent)
        try:
            yield descriptor
        except BaseException:
            with suppress(FileNotFoundError):
                # Another may have put its own there meanwhile.
                if _is(descriptor, name, parent):
                    os.unlink(name, dir_fd=parent)
            raise
        finally:
            os.close(descriptor)


def _is(descriptor: int, name: str, parent: int) -> bool:
    return os.path.samestat(os.fstat(descriptor), os.stat(name, dir_fd=parent, follow_symlinks=False))


@asynccontextmanager
async def _reported(meter: Meter, say: Say) -> AsyncGenerator[None]:
    """Tell how far it has come while the block lasts, and at its good end."""

    async def follow() -> None:
        said = 0
        while True:
            await asyncio.sleep(_PROGRESS_SECONDS)
            if meter.done > said:
                said = meter.done
                await say(said, meter.total)

    following = asyncio.create_task(follow())
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following
    await say(meter.done, meter.total)
