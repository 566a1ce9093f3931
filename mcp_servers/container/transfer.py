"""Files between allowed directories of this host and a container, by the `tar` of its image."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mcp_servers.container.attendance import Attendance, Inside
from mcp_servers.container.files_inside import check_writable
from mcp_servers.container.local_files import refusals
from mcp_servers.container.packing import Packed, pack, unpack
from mcp_servers.local_roots import LocalRoots, Place
from mcp_servers.storage.threads import in_thread
from state.errors import InputError, LimitExceeded
from state.ports import Stream

_IN = """
directory=$1
if [ "$2" = file ]; then
  directory=${1%/*}/
  if [ -d "$1" ]; then echo "it is a directory"; exit 66; fi
fi
mkdir -p "$directory" && cd "$directory" && tar -xf -
"""
_OUT = """
[ -e "$1" ] || { echo "there is no such file or directory" >&2; exit 65; }
cd "${1%/*}/" && tar -cf - "./${1##*/}"
"""
_NEEDS = "This needs an image with `sh` and `tar`."
_IS_DIRECTORY = 66


class Transfer:
    """Copies at most `limit` bytes at a time."""

    def __init__(self, attendance: Attendance, roots: LocalRoots, limit: int) -> None:
        self._attendance = attendance
        self._roots = roots
        self._limit = limit

    async def copy_in(self, container: str, local: str, path: str) -> tuple[Packed, str]:
        """A file becomes `path`, or comes below it under its own name if that is a directory; what is in a directory
        comes below `path`. Also answers with the path that was written."""
        place = self._roots.place(local)
        packed, code, said = await self._put(container, local, place, path)
        if code == _IS_DIRECTORY:
            path = str(PurePosixPath(path) / place.parts[-1])
            packed, code, said = await self._put(container, local, place, path)
        if code:
            check_writable(path, said)
            needs = _NEEDS if code in (126, 127) else ""
            raise InputError(f"{path} could not be written: {said or f'exit code {code}'}", needs)
        return packed, path

    async def _put(self, container: str, local: str, place: Place, path: str) -> tuple[Packed, int, str]:
        with tempfile.NamedTemporaryFile(prefix="atlas-copy-") as archive:
            with refusals(local):
                name = PurePosixPath(path).name
                packed = await in_thread(lambda stop: pack(place, archive, self._limit, stop, name=name))
            archive.flush()
            arguments = [path, "file" if packed.single else "directory"]
            code, said = await self._attendance.feed(container, ["sh", "-c", _IN, "sh", *arguments], Path(archive.name))
        return packed, code, said

    async def copy_out(self, container: str, path: str, local: str, *, overwrite: bool) -> Packed:
        """The file or directory at `path` becomes `local`."""
        top = PurePosixPath(path).name
        if not top or top == "..":
            raise InputError(f"{path} can't be copied as a whole", "Name something below it.")
        place = self._roots.place(local)
        with tempfile.TemporaryFile(prefix="atlas-copy-") as archive:
            spool = _Spool(archive, 2 * self._limit)
            command = Inside(["sh", "-c", _OUT, "sh", path], "/")
            ended = await self._attendance.run(container, command, spool.write)
            if ended.code:
                complaint = spool.stderr.decode(errors="replace").strip() or f"exit code {ended.code}"
                raise InputError(f"{path}: {complaint}", _NEEDS if ended.code in (126, 127) else "")
            archive.seek(0)
            with refusals(local):
                return await in_thread(lambda stop: unpack(archive, top, place, self._limit, stop, overwrite=overwrite))


@dataclass(slots=True)
class _Spool:
    """Keeps what a container sends on disk; `limit` leaves room for an archive's own bytes."""

    file: IO[bytes]
    limit: int
    size: int = 0
    stderr: bytes = b""

    async def write(self, stream: Stream, data: bytes) -> None:
        if stream == "stderr":
            self.stderr = (self.stderr + data)[-500:]
            return
        self.size += len(data)
        if self.size > self.limit:
            raise LimitExceeded(f"that is more than one copy may hold: {self.limit // 2:,} bytes", "Copy it in parts.")
        self.file.write(data)
