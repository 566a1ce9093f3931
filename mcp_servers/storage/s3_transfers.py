"""Local files that become objects, and objects that become local files: below the directories that the operator named,
and never through a symbolic link."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress

from mcp_servers.local_roots import Place
from mcp_servers.storage import beneath, failures
from mcp_servers.storage.locations import Location
from mcp_servers.storage.s3 import S3Store
from mcp_servers.storage.s3_answers import Fetched, Written
from mcp_servers.storage.s3_new import Condition
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import AtlasError, InputError
from state.ports import ObjectInfo

_PROGRESS_SECONDS = 0.25

Say = Callable[[float, float | None], Awaitable[None]]
"""(bytes so far, bytes in all where that is known)."""


class Meter:
    """How far a transfer has come."""

    def __init__(self, total: int | None = None) -> None:
        self.done = 0
        self.total = total

    def more(self, count: int) -> None:
        """Only one thread may count."""
        self.done += count


async def upload(store: S3Store, place: Place, target: Location, kind: str, condition: Condition, say: Say) -> Written:
    """The file's content becomes the object `target`."""
    with ExitStack() as stack:
        descriptor = await in_thread(lambda stop: _opened(place, stack))
        meter = Meter(os.fstat(descriptor).st_size)
        async with _reported(meter, say):
            info = await store.send(descriptor, target, content_type=kind, condition=condition, told=meter.more)
    return Written(url=info.url, size=info.size, etag=info.etag)


async def download(store: S3Store, source: Location, place: Place, say: Say) -> Fetched:
    """The object becomes a file that was not there before; of one that fails or is cancelled nothing stays."""
    info = await store.stat(source.url)
    if info is None:
        raise failures.missing(source.url)
    meter = Meter(info.size)

    def fetch(stop: Stop) -> ObjectInfo:
        with _told(place, "writing"), _created(place) as descriptor:
            return store.receive(source, descriptor, info.etag, stop, meter.more)

    async with _reported(meter, say):
        await store.calls.run(fetch)
    return Fetched(url=info.url, path=place.shown, size=info.size, etag=info.etag)


def _opened(place: Place, stack: ExitStack) -> int:
    with _told(place, "reading"):
        return stack.enter_context(beneath.file(place.root, place.relative))


@contextmanager
def _told(place: Place, doing: str) -> Generator[None]:
    """As `failures.told`, but of a local path a caller names one file, never all below."""
    try:
        with failures.told(place.shown, doing):
            yield
    except AtlasError as error:
        match getattr(error.__cause__, "errno", None):
            case errno.EISDIR:
                raise InputError(f"{place.shown} is a directory", "Name one file; there is a call for each.") from error
            case errno.ENOENT | errno.ENOTDIR if doing == "writing":
                directory = os.path.dirname(place.shown)  # noqa: PTH120
                raise InputError(f"the directory {directory} does not exist", "Make it first.") from error
            case errno.ENOENT | errno.ENOTDIR:
                raise InputError(f"{place.shown} does not exist", "Check its name.") from error
            case _:
                raise


@contextmanager
def _created(place: Place) -> Generator[int]:
    """A descriptor of a new file, to write; the file goes if the block fails."""
    *parts, name = place.parts or (".",)
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
