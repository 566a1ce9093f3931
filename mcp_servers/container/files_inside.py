"""Files inside a running container, by the programs of its image: a POSIX shell, and what every busybox has.

Not by the engine's archive API: it does not see what is in memory, which is all that may be written here. And so the
container's own user, limits and links hold for every path; none leads out, because nothing of this host is in there.
Paths reach the shell as arguments, never as text of a script.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from mcp_servers.container.attendance import Attendance, Inside
from mcp_servers.container.profile import WORK
from state.errors import InputError
from state.limits import MB
from state.ports import Stream

LISTING_BYTES = 4 * MB
_REFUSED, _BAD_PATTERN = 65, 66
_STAT = re.compile(rb"([0-9a-f]+) (\d+) (\d+) (.*)", re.DOTALL)
_MATCH = re.compile(r"(.+?):(\d+):(.*)")

_READ = """
[ -e "$1" ] || { echo "there is no such file" >&2; exit 65; }
[ -d "$1" ] && { echo "it is a directory" >&2; exit 65; }
[ -f "$1" ] || { echo "it is neither file nor directory" >&2; exit 65; }
[ -r "$1" ] || { echo "the container's user may not read it" >&2; exit 65; }
wc -c < "$1" && tail -c +"$2" "$1" | head -c "$3"
"""
# The new content has a name of its own until it is complete, and takes over the mode of the old. Its size is checked
# since a call that is broken off ends in the middle.
_WRITE = """
umask 022
if [ -L "$1" ]; then set -- "$(readlink -f "$1")" "$2" "$3" "$4"; fi
[ -d "$1" ] && { echo "it is a directory"; exit 65; }
mkdir -p "${1%/*}/" || exit 65
new="$1.atlas-$2"
{ [ ! -f "$1" ] || cp -p "$1" "$new"; } && cat > "$new" && [ "$(wc -c < "$new")" -eq "$3" ] &&
{ [ -z "$4" ] || chmod +x "$new"; } && mv -f "$new" "$1" && exit 0
rm -f "$new"
exit 65
"""
_LIST = """
[ -d "$1" ] || { echo "there is no such directory" >&2; exit 65; }
find -H "$1" -mindepth 1 -maxdepth "$2" -exec stat -c '%f %s %Y %n//' {} + | head -c "$3"
"""
_SEARCH = """
[ -e "$1" ] || { echo "there is no such file or directory" >&2; exit 65; }
echo | grep -q $2 -e "$3"; [ $? -le 1 ] || exit 66
find -H "$1" \\( -path /proc -o -path /sys -o -path /dev \\) -prune -o -type f -name "$4" \
-exec grep -H -n $2 -e "$3" {} + | head -c "$5"
"""


@dataclass(frozen=True, slots=True)
class Described:
    """A name in a directory. `mode` as in ``st_mode``; `modified` in seconds since 1970."""

    path: str
    mode: int
    size: int
    modified: int


@dataclass(slots=True)
class _Said:
    limit: int
    stdout: bytearray
    stderr: bytearray

    async def write(self, stream: Stream, data: bytes) -> None:
        kept = self.stdout if stream == "stdout" else self.stderr
        kept += data[: max(0, self.limit - len(kept))]

    @property
    def complaint(self) -> str:
        return self.stderr.decode(errors="replace").strip()[-500:]


def absolute(path: str) -> str:
    """The path inside that `path` means: relative ones begin at the working directory."""
    if not path or "\0" in path:
        raise InputError(f"{path[:200]!r} is not a path")
    return str(PurePosixPath(WORK) / path)


def check_writable(path: str, said: str) -> None:
    """`InputError` if it is for want of a place to write to that programs `said` what they did."""
    if "Read-only file system" in said:
        raise InputError(
            f"{path} was not written: Read-only file system", f"Write below {WORK} or /tmp: the image can't be changed."
        )


class FilesInside:
    """Each method takes the container's full id first. `InputError`: the path is not what is needed."""

    def __init__(self, attendance: Attendance) -> None:
        self._attendance = attendance

    async def read(self, container: str, path: str, start: int, limit: int) -> tuple[int, bytes]:
        """The file's size, and at most `limit` bytes of it from `start`."""
        said = await self._script(container, path, _READ, [str(start + 1), str(limit)], limit + 100)
        size, _, content = bytes(said.stdout).partition(b"\n")
        return int(size), content

    async def write(self, container: str, path: str, content: bytes, *, executable: bool = False) -> None:
        """Put the content there, all or nothing; missing directories are made."""
        arguments = [path, secrets.token_hex(4), str(len(content)), "x" if executable else ""]
        code, said = await self._attendance.feed(container, ["sh", "-c", _WRITE, "sh", *arguments], content)
        if code:
            check_writable(path, said)
            raise InputError(f"{path} was not written: {said or 'the container ended it'}", _needs(code))

    async def entries(self, container: str, path: str, depth: int) -> tuple[list[Described], bool]:
        """What is below a directory, by path; and whether that is all."""
        said = await self._script(container, path, _LIST, [str(depth), str(LISTING_BYTES)], LISTING_BYTES)
        found = [_STAT.fullmatch(record) for record in bytes(said.stdout).split(b"//\n")]
        entries = [
            Described(each[4].decode(errors="replace"), int(each[1], 16), int(each[2]), int(each[3]))
            for each in found
            if each
        ]
        return sorted(entries, key=lambda each: each.path), len(said.stdout) < LISTING_BYTES and not said.stderr

    async def matches(
        self, container: str, path: str, pattern: str, names: str, *, literal: bool, ignore_case: bool
    ) -> tuple[list[tuple[str, int, str]], bool]:
        """Path, number and text of lines that match, and whether that is all. `pattern`: extended regular."""
        if not pattern or "\n" in pattern:
            raise InputError("a pattern is one line, and not empty")
        option = f"-{'F' if literal else 'E'}{'i' if ignore_case else ''}"
        arguments = [option, pattern, names, str(LISTING_BYTES)]
        said = await self._script(container, path, _SEARCH, arguments, LISTING_BYTES)
        lines = said.stdout.decode(errors="replace").split("\n")
        found = [_MATCH.fullmatch(line) for line in lines]
        hits = [(each[1], int(each[2]), each[3]) for each in found if each]
        return hits, len(said.stdout) < LISTING_BYTES and not said.stderr

    async def _script(self, container: str, path: str, script: str, more: Sequence[str], limit: int) -> _Said:
        said = _Said(limit, bytearray(), bytearray())
        command = Inside(["sh", "-c", script, "sh", path, *more], "/", image=("LC_ALL=C.UTF-8",))
        ended = await self._attendance.run(container, command, said.write)
        if ended.code == _BAD_PATTERN:
            raise InputError(f"the pattern is not a regular expression: {said.complaint}", "Or pass `literal`.")
        if ended.code == _REFUSED:
            raise InputError(f"{path}: {said.complaint}")
        if ended.code and (ended.code in (126, 127) or not said.stdout):
            raise InputError(f"{path}: {said.complaint or f'exit code {ended.code}'}", _needs(ended.code))
        return said


def _needs(code: int) -> str:
    return "This needs an image with `sh` and the usual small programs." if code in (126, 127) else ""
