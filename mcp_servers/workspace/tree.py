"""The files of one working tree, whose content is hostile: what is read, and what is changed, one step at a time.

Every step to a file is opened relative to the one before it, and no symbolic link is followed (`storage.beneath`). New
content has a name of its own until it is complete. All of this blocks: call it in a thread. Paths are parts, as
`naming` makes them; errors are `InputError` and name the path and the remedy.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from mcp_servers.storage import beneath
from mcp_servers.storage.threads import Stop
from mcp_servers.workspace.naming import joined, shown
from mcp_servers.workspace.walking import Walk
from state.errors import Conflict, InputError, LimitExceeded
from state.limits import WORKSPACE_ENTRIES, WORKSPACE_FILE_BYTES

Parts = Sequence[str]
_CHUNK = 1 << 20
_WITH_A_COMMAND = "Look into it with a command (workspace_run)."


class Tree:
    """A working tree. `root` itself is trusted, nothing in it is."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def opened(self, parts: Parts) -> Generator[int]:
        """A descriptor of a regular file, to read."""
        with explained(parts), beneath.file(self.root, "/".join(parts)) as descriptor:
            yield descriptor

    def content(self, parts: Parts) -> bytes:
        """All of a file, if it is one that can be edited: at most `WORKSPACE_FILE_BYTES`."""
        with self.opened(parts) as descriptor:
            size = os.fstat(descriptor).st_size
            data = b"" if size > WORKSPACE_FILE_BYTES else _read(descriptor, WORKSPACE_FILE_BYTES + 1)
        if max(size, len(data)) > WORKSPACE_FILE_BYTES:
            raise LimitExceeded(
                f"{shown(joined(parts))} has {max(size, len(data)):,} bytes; files of more than "
                f"{WORKSPACE_FILE_BYTES:,} are not edited here",
                "Change it with a command (workspace_run).",
            )
        return data

    def write(self, parts: Parts, data: bytes, stop: Stop, *, executable: bool | None = None) -> bool:
        """Make `data` the content of a file; directories on the way are made, the mode of what was there is kept (but
        for `executable`). All or nothing. Returns whether it is a new file."""
        *above, name = parts
        with explained(parts), beneath.directory(self.root, above, create=True) as parent:
            old = _status(parent, name)
            if old:
                beneath.check_regular(old.st_mode, "/".join(parts))
            mode = stat.S_IMODE(old.st_mode) & 0o777 if old else 0o644
            if executable is not None:
                mode = mode | (mode & 0o444) >> 2 if executable else mode & ~0o111
            _replace(parent, name, data, mode, stop)
        return old is None

    def kind(self, parts: Parts) -> int:
        """The mode of what has this name, a link itself."""
        with explained(parts):
            if not parts:
                return stat.S_IFDIR
            *above, name = parts
            with beneath.directory(self.root, above) as parent:
                return os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode

    def walk(self, parts: Parts, depth: int | None, *, everything: bool = False) -> Walk:
        """What is below a directory, see there; going through it raises what `explained` words."""
        return Walk(self.root, parts, depth=depth, most=WORKSPACE_ENTRIES, everything=everything)

    def below(self, parts: Parts) -> list[str]:
        """Paths of everything below a directory, the deeper first. `LimitExceeded`: it is too much to tell."""
        walk = self.walk(parts, None, everything=True)
        with explained(parts):
            found = [each.path for each in walk]
        if walk.left_out:
            raise LimitExceeded(
                f"{shown(joined(parts))} holds too much ({WORKSPACE_ENTRIES:,} entries can be dealt with at a time), "
                "or what can't be read",
                "Use a command (workspace_run).",
            )
        return found[::-1]

    def delete(self, parts: Parts, below: Sequence[str], stop: Stop) -> None:
        """Take away what has this name, never what it leads to; of a directory first what is `below`."""
        for path in (*below, "/".join(parts)):
            stop.check()
            *above, name = path.split("/")
            with explained(path.split("/")), beneath.directory(self.root, above) as parent:
                status = os.stat(name, dir_fd=parent, follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    os.rmdir(name, dir_fd=parent)
                else:
                    os.unlink(name, dir_fd=parent)

    def move(self, source: Parts, target: Parts, *, overwrite: bool) -> None:
        """Give a file or directory another name; directories on the way are made."""
        if tuple(target[: len(source)]) == tuple(source):
            raise InputError(f"{shown(joined(target))} is {shown(joined(source))} itself, or in it", "Name another.")
        *above, name = source
        *there, new = target
        with explained(source), beneath.directory(self.root, above) as parent:
            mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
            if not stat.S_ISDIR(mode):
                beneath.check_regular(mode, "/".join(source))
            with explained(target), beneath.directory(self.root, there, create=True) as goal:
                old = _status(goal, new)
                if old and not (overwrite and stat.S_ISREG(old.st_mode) and stat.S_ISREG(mode)):
                    raise Conflict(
                        f"{shown(joined(target))} exists already",
                        "Pass overwrite=true to replace that file."
                        if stat.S_ISREG(old.st_mode) and stat.S_ISREG(mode)
                        else "Delete it first, or choose another name.",
                    )
                os.rename(name, new, src_dir_fd=parent, dst_dir_fd=goal)


def _replace(parent: int, name: str, data: bytes, mode: int, stop: Stop) -> None:
    temporary = f".atlas-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(temporary, flags, 0o600, dir_fd=parent)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            left = memoryview(data)
            while left:
                stop.check()
                left = left[file.write(left[:_CHUNK]) :]
            os.fchmod(descriptor, mode)
        stop.check()
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=parent)
        raise


def _read(descriptor: int, most: int) -> bytes:
    data = bytearray()
    while chunk := os.read(descriptor, min(_CHUNK, most - len(data))):
        data += chunk
    return bytes(data)


def _status(parent: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


_REASONS = {
    errno.ENOENT: ("there is no {path}", "See what there is with workspace_list."),
    errno.ELOOP: (
        "{path} is a symbolic link, and links are not followed",
        "Name the file that it leads to; if that is outside the working tree, it can't be had.",
    ),
    errno.ENOTDIR: ("{path} is not a directory", "See what there is with workspace_list."),
    errno.EISDIR: ("{path} is a directory", "Name a file in it; workspace_list shows what there is."),
    errno.EINVAL: ("{path} is neither a file nor a directory", "Only regular files can be worked on."),
    errno.ENXIO: ("{path} is neither a file nor a directory", "Only regular files can be worked on."),
    errno.ENOTEMPTY: ("{path} is a directory that is not empty", "Pass recursive=true to delete all that is in it."),
    errno.EACCES: ("{path} may not be opened or changed", _WITH_A_COMMAND),
    errno.EPERM: ("{path} may not be opened or changed", _WITH_A_COMMAND),
    errno.ENAMETOOLONG: ("{path} is too long a name", "Choose a shorter one."),
    errno.ENOSPC: ("there is no room left to write {path}", "Delete what is not needed."),
    errno.EDQUOT: ("there is no room left to write {path}", "Delete what is not needed."),
}


@contextmanager
def explained(parts: Parts) -> Generator[None]:
    """What the system says of a path, in words for the caller."""
    try:
        yield
    except OSError as error:
        told = error.filename if isinstance(error.filename, str) and "/".join(parts).startswith(error.filename) else ""
        unusual = f"{{path}} can't be had: {error.strerror}", _WITH_A_COMMAND
        reason, hint = _REASONS.get(error.errno or 0, unusual)
        raise InputError(reason.format(path=shown(told or joined(parts))), hint) from error
