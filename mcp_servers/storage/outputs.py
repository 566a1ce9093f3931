"""What a TODO leaves behind: staged where only its attempt writes, then published where people look.

`stage` puts each declared output below ``<remote directory>/.atlas/<todo>/<fence>/``. The rows it returns are the
manifest; once they are committed, dependents read what they name. The canonical remote is a copy made afterwards by
`publish`, as often as need be: it overwrites what the manifest lists, and never deletes anything, since what else lies
in a remote directory may be somebody else's. (So files that an earlier run published and this one did not make remain.)
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mcp_servers.storage import beneath, listings, locations
from mcp_servers.storage.copying import digest_content, version
from mcp_servers.storage.listings import Entry
from mcp_servers.storage.threads import Stop, in_thread, spread
from state.errors import FULL, SHORT, AtlasError, InputError
from state.failpoints import failpoint
from state.limits import REMOTE_OBJECT_BYTES
from state.ports import ObjectStore
from state.records import Output

_WIDTH = 8
_REGULAR = "Outputs are regular files, and directories of them: copy what a link points to."
_STILL_WRITING = "Something still writes to it: let the command wait for what it starts."


class OutputError(AtlasError):
    """A declared output can't be taken; the attempt failed."""

    code = "output"


class OutputMissing(OutputError):
    """Declared and not there."""

    code = "output_missing"


class OutputRefused(OutputError):
    """There, and not something that can be an output: a symbolic link, a FIFO, a device, the wrong kind."""

    code = "output_refused"


@dataclass(frozen=True, slots=True)
class Declared:
    """One declared output. `internal` is its path as the plan has it (a slash at its end: a directory); on this host it
    is `path` below the directory `root`. Nothing below `root` is trusted."""

    internal: str
    root: Path
    path: str
    remote: str

    @property
    def tree(self) -> bool:
        return self.internal.endswith("/")

    @property
    def target(self) -> str:
        """The canonical URL."""
        if self.tree:
            return self.remote if self.remote.endswith("/") else self.remote + "/"
        return locations.join(self.remote, Path(self.path).name) if self.remote.endswith("/") else self.remote


@dataclass(frozen=True, slots=True)
class _File:
    """One file of an output: where it is below the declared root, and its path in the output."""

    declared: Declared
    path: str
    relative: str
    staged: str


async def stage(declared: Sequence[Declared], todo: str, fence: int, stores: ObjectStore) -> list[Output]:
    """Upload all declared outputs; one manifest row each, in their order.

    Nothing is uploaded unless all are there and all may be taken. Errors: `OutputMissing` and `OutputRefused`,
    naming what it is about; `InputError` for a remote; those of the stores.
    """
    files = await in_thread(lambda stop: [_files(one, _staged(one, todo, fence), stop) for one in _present(declared)])
    everything = [file for of_one in files for file in of_one]
    _check_apart(everything)
    stored = await spread(everything, lambda file: _store(file, stores), _WIDTH)
    entries = iter(stored)
    return [
        _output(one, _staged(one, todo, fence), list(islice(entries, len(of_one))))
        for one, of_one in zip(declared, files, strict=True)
    ]


async def present(declared: Sequence[Declared]) -> list[Declared]:
    """Those that are there. `OutputRefused`: the way to one of them leads astray."""
    return await in_thread(lambda stop: [one for one in declared if _there(one)])


async def publish(output: Output, stores: ObjectStore) -> None:
    """Copy a staged output to its canonical remote. May be repeated at any time, also after a crash half way."""
    failpoint("outputs.before_publish")
    if output.tree:
        paths = [entry.path for entry in listings.parse(output.listing or "[]")]
        pairs = [(locations.join(output.staged, path), locations.join(output.remote, path)) for path in paths]
    else:
        pairs = [(output.staged, output.remote)]

    async def copy(pair: tuple[str, str]) -> None:
        await stores.copy(*pair)

    await spread(pairs[:1], copy, 1)
    failpoint("outputs.half_published")
    await spread(pairs[1:], copy, _WIDTH)
    failpoint("outputs.after_publish")


def _staged(declared: Declared, todo: str, fence: int) -> str:
    target = declared.target
    directory = locations.join(locations.parent(target), f"{locations.STAGING}/{todo}/{fence}/")
    return directory if declared.tree else locations.join(directory, locations.parse(target).name)


def _present(declared: Sequence[Declared]) -> Sequence[Declared]:
    """All of them; `OutputMissing` names those that are not there."""
    absent = [one.internal for one in declared if not _there(one)]
    if absent:
        raise OutputMissing(
            f"declared but not there when the command ended: {', '.join(absent)}",
            "Write it there, relative to the working directory, or correct the plan's outputs.",
        )
    return declared


def _there(declared: Declared) -> bool:
    *above, name = declared.path.rstrip("/").split("/")
    try:
        with beneath.directory(declared.root, above) as parent:
            os.stat(name, dir_fd=parent, follow_symlinks=False)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            return False
        raise _refused(declared, error) from error
    return True


def _files(declared: Declared, staged: str, stop: Stop) -> list[_File]:
    """The regular files of one output; `OutputRefused` if it is or holds anything else."""
    path = declared.path.rstrip("/")
    try:
        if not declared.tree:
            with beneath.file(declared.root, path):
                return [_File(declared, path, path, staged)]
        found: list[_File] = []
        for below in beneath.walk(declared.root, path):
            stop.check()
            relative = below[len(path) + 1 :]
            found.append(_File(declared, below, relative, locations.join(staged, relative)))
            listings.check_count(len(found), "the directory")
        return sorted(found, key=lambda file: file.staged)
    except OSError as error:
        raise _refused(declared, error) from error
    except InputError as error:
        # A name that no URL can have, or too many of them: what the command did, not what the plan says.
        raise _refusal(declared, error.message, error.hint) from error


def _check_apart(files: Iterable[_File]) -> None:
    """Two outputs must not be staged over each other."""
    taken: dict[str, _File] = {}
    for file in files:
        other = taken.setdefault(file.staged, file)
        if other is not file:
            raise OutputRefused(
                f"outputs {other.declared.internal} and {file.declared.internal} have the same remote: {file.staged}",
                "Give each a remote of its own.",
            )


async def _store(file: _File, stores: ObjectStore) -> Entry:
    """Upload one file; what it is, by its path in the output."""
    with _opened(file) as descriptor:
        before = os.fstat(descriptor)
        if before.st_size > REMOTE_OBJECT_BYTES:
            raise _refusal(file.declared, f"{file.path} is over {REMOTE_OBJECT_BYTES:,} bytes (REMOTE_OBJECT_BYTES)")
        digest, size = await in_thread(lambda stop: digest_content(descriptor, stop))
        # By its descriptor: under its name, another file could lie by now.
        info = await stores.upload(Path(f"/dev/fd/{descriptor}"), file.staged)
        if info.size != size or version(os.fstat(descriptor)) != version(before):
            raise _refusal(file.declared, f"{file.path} changed while it was uploaded", _STILL_WRITING)
    return Entry(file.relative, digest, size)


@contextmanager
def _opened(file: _File) -> Generator[int]:
    with ExitStack() as stack:
        try:
            descriptor = stack.enter_context(beneath.file(file.declared.root, file.path))
        except OSError as error:
            raise _refused(file.declared, error) from error
        yield descriptor


def _output(declared: Declared, staged: str, entries: Sequence[Entry]) -> Output:
    size = sum(entry.size for entry in entries)
    if declared.tree:
        listing = listings.render(entries)
        return Output(declared.internal, declared.target, staged, listings.digest(listing), size, True, listing)
    return Output(declared.internal, declared.target, staged, entries[0].digest, size, False, None)


def _refusal(declared: Declared, what: str, hint: str = _REGULAR) -> OutputRefused:
    return OutputRefused(f"output {declared.internal}: {what}", hint)


def _refused(declared: Declared, error: OSError) -> OutputRefused:
    if error.errno in SHORT | FULL:  # says nothing of the output
        raise error
    hint = _REGULAR
    if isinstance(error, IsADirectoryError):
        hint = f"Declare {declared.internal}/ to take the whole directory."
    elif isinstance(error, NotADirectoryError):
        hint = "Without the slash at its end it is taken as a file."
    elif isinstance(error, PermissionError):
        hint = "Make it readable for the user who runs the worker."
    return _refusal(declared, f"{error.filename}: {error.strerror}", hint)
