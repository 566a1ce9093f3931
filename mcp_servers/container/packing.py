"""Tar archives between this host and a container. What comes out of one was made by a program we do not trust."""

from __future__ import annotations

import io
import os
import shutil
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from secrets import token_hex
from typing import IO, Literal, Self

from mcp_servers.container.local_files import files
from mcp_servers.local_roots import Place
from mcp_servers.storage import beneath
from mcp_servers.storage.threads import Stop
from state.errors import InputError, LimitExceeded
from state.limits import TREE_FILES

_BLOCK = 1 << 20
_SHOWN = 20
_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_EXTENDED_BYTES = 10_000
"""Enough for two of the longest paths. The library takes time that grows with the square of such a header."""


@dataclass(slots=True)
class Packed:
    """What has been copied."""

    files: int = 0
    bytes: int = 0
    left_out: list[str] = field(default_factory=list[str])
    single: bool = False

    def add(self, size: int, limit: int) -> None:
        """One more file; `LimitExceeded` if it is one too many."""
        self.files += 1
        self.bytes += size
        if self.bytes > limit or self.files > TREE_FILES:
            raise LimitExceeded(
                f"that is more than one copy may hold: {limit:,} bytes in {TREE_FILES:,} files", "Copy it in parts."
            )


def pack(place: Place, archive: IO[bytes], limit: int, stop: Stop, *, name: str) -> Packed:
    """A tar of the file at `place`, called `name`, or of all files in that directory, by their paths below it. A
    symbolic link on the way is an `OSError`."""
    packed = Packed()
    with exact_tar(archive) as tar:
        for path in files(place):
            stop.check()
            packed.single = path == place.relative
            with beneath.file(place.root, path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as content:
                status = os.fstat(descriptor)
                packed.add(status.st_size, limit)
                inside = name if packed.single else str(PurePosixPath(path).relative_to(place.relative))
                add(tar, inside, _Stoppable(content, stop), status.st_size, executable=bool(status.st_mode & 0o111))
    return packed


@contextmanager
def exact_tar(archive: IO[bytes], mode: Literal["w", "a"] = "w") -> Generator[tarfile.TarFile]:
    """An archive without padding at its end. The engine would not read that, and not notice then that we leave."""
    with tarfile.open(fileobj=archive, mode=mode, format=tarfile.PAX_FORMAT) as tar:
        yield tar
        end = tar.offset + 2 * tarfile.BLOCKSIZE
    archive.truncate(end)


def unpack(archive: IO[bytes], top: str, place: Place, limit: int, stop: Stop, *, overwrite: bool) -> Packed:
    """Put the one file or directory `top` of an archive at `place`, all or nothing. Only files and directories are
    taken: links and devices are left out, so that none is followed later. A name that is not below `top` refuses it
    all."""
    if not place.parts:
        raise InputError("the target is an allowed directory itself", "Name a file or directory below it.")
    *parts, name = place.parts
    with beneath.directory(place.root, parts, create=True) as parent:
        if _exists(name, parent) and not overwrite:
            raise InputError(f"{place.relative} exists already", "Pass `overwrite`, or another name.")
        stage = f".atlas-partial-{token_hex(8)}"
        os.mkdir(stage, 0o700, dir_fd=parent)
        try:
            packed = _unpack(archive, top, Path(f"/proc/self/fd/{parent}/{stage}"), limit, stop)
            os.rename(f"{stage}/item", name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            shutil.rmtree(f"/proc/self/fd/{parent}/{stage}", ignore_errors=True)
    return packed


def _unpack(archive: IO[bytes], top: str, stage: Path, limit: int, stop: Stop) -> Packed:
    packed = Packed()
    try:
        with tarfile.open(fileobj=_Stoppable(archive, stop), mode="r:", tarinfo=_Modest) as tar:
            for count, (member, parts) in enumerate(_members(tar, top)):
                stop.check()
                if count >= TREE_FILES:
                    raise LimitExceeded(f"that is more than {TREE_FILES:,} files", "Copy it in parts.")
                if member.isdir():
                    with beneath.directory(stage, parts, create=True):
                        continue
                if not member.isreg() or member.issparse():
                    packed.left_out = [*packed.left_out, "/".join(parts[1:]) or top][:_SHOWN]
                    continue
                packed.add(member.size, limit)
                content = tar.extractfile(member)
                assert content is not None  # noqa: S101  it is a regular file
                with beneath.directory(stage, parts[:-1], create=True) as directory:
                    _write(content, parts[-1], directory, member, stop)
    except (tarfile.TarError, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"the container's archive can't be read: {error}") from error
    if not _exists("item", stage):
        raise InputError("there is nothing to copy but links or devices", "Name a file or a directory.")
    return packed


def _members(tar: tarfile.TarFile, top: str) -> Iterator[tuple[tarfile.TarInfo, list[str]]]:
    for member in tar:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or path.parts[:1] != (top,) or "\0" in member.name:
            raise InputError(f"the container's archive has a name that leads elsewhere: {member.name[:200]!r}")
        yield member, ["item", *path.parts[1:]]


def _write(content: IO[bytes], name: str, directory: int, member: tarfile.TarInfo, stop: Stop) -> None:
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    mode = 0o777 if member.mode & 0o100 else 0o666
    with os.fdopen(os.open(name, flags, mode, dir_fd=directory), "wb") as file:
        while block := content.read(_BLOCK):
            stop.check()
            file.write(block)


def _exists(name: str, directory: int | Path) -> bool:
    try:
        if isinstance(directory, Path):
            (directory / name).lstat()
        else:
            os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def add(tar: tarfile.TarFile, name: str, content: IO[bytes], size: int, *, executable: bool = False) -> None:
    """One more file in an archive."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o755 if executable else 0o644
    tar.addfile(member, content)


class _Modest(tarfile.TarInfo):
    """A header that is not made to keep the library busy."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type == tarfile.GNUTYPE_SPARSE or (found.type in _EXTENDED and found.size > _EXTENDED_BYTES):
            raise _elaborate()
        return found

    def _proc_gnusparse_10(self, *_: object) -> None:  # pyright: ignore[reportUnusedFunction]  the library calls it
        """The map of a sparse file, of whatever length, which would be kept in memory."""
        raise _elaborate()


def _elaborate() -> InputError:
    return InputError("the container's archive has a header that no plain copy needs", "Copy files one by one.")


class _Stoppable(io.BytesIO):
    """A file that is read until the copy is to stop."""

    def __init__(self, file: IO[bytes], stop: Stop) -> None:
        super().__init__()
        self._file = file
        self._stop = stop

    def read(self, size: int | None = -1, /) -> bytes:
        self._stop.check()
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
