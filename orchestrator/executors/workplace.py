"""Where a task's command works: its directory, its inputs and outputs, and where inside and outside meet."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from mcp_servers.storage import beneath
from mcp_servers.storage.cache import Cache, CachedTree
from mcp_servers.storage.cache_files import CachedObject
from mcp_servers.storage.clearing import discard
from mcp_servers.storage.outputs import Declared
from mcp_servers.storage.placement import place
from orchestrator.plan.spec import InputSpec, TaskSpec
from state.ports import Mount
from state.tables import ArtifactRow

WORKDIR = "work"
STDOUT = "(stdout)"
"""What a command's standard output is called among its outputs."""


@dataclass(slots=True)
class Workplace:
    """`scratch` is this attempt's own directory; the command's working directory is ``scratch/work``.

    In containers, inputs and absolute outputs are mounts; on the host, inputs are copies in the working directory.
    """

    scratch: Path
    spec: TaskSpec
    contained: bool
    mounts: list[Mount] = field(default_factory=list[Mount])

    @property
    def directory(self) -> Path:
        """The working directory."""
        return self.scratch / WORKDIR

    @property
    def stdout(self) -> Path:
        """Where its standard output is kept, if it is wanted."""
        return self.scratch / "stdout"

    def copied(self, directory: Path) -> Workplace:
        """The same, over another working directory."""
        return replace(self, scratch=directory)

    async def fetch(self, cache: Cache, made_here: Callable[[str], ArtifactRow | None], leases: AsyncExitStack) -> None:
        """Get the inputs. `made_here` tells what an earlier TODO of this run put at a remote: its staged copy is the
        truth. The leases last as long as `leases`. Errors: those of the stores."""
        for number, wanted in enumerate(self.spec.inputs):
            leased = await self._lease(wanted, cache, made_here(wanted.remote), leases)
            relative = wanted.internal.strip("/") if not self.contained else wanted.internal
            if self.contained:
                source = self.scratch / "inputs" / str(number)
                source.parent.mkdir(exist_ok=True)
                await place(leased, source, within=self.scratch, link=True)
                self.mounts.append(Mount(source, relative.rstrip("/")))
            else:
                await place(leased, self.directory / relative, within=self.directory)

    async def _lease(
        self, wanted: InputSpec, cache: Cache, made: ArtifactRow | None, leases: AsyncExitStack
    ) -> CachedObject | CachedTree:
        if made is None:
            if wanted.tree:
                return await leases.enter_async_context(cache.lease_tree(wanted.remote))
            return await leases.enter_async_context(cache.lease(wanted.remote))
        if made.tree:
            return await leases.enter_async_context(cache.lease_listing(made.staged, made.listing or "[]"))
        return await leases.enter_async_context(cache.lease_digest(made.staged, made.digest, made.size))

    def make_room_for_outputs(self) -> None:
        """Parents of declared files exist; absolute outputs (containers only) are written to a mount of their own."""
        for output in self.spec.outputs:
            if output.internal.startswith("/"):
                self._mount_parent(output.internal, output.tree)
            elif not output.tree:
                self._make_parent(PurePosixPath(output.internal).parent)

    def _make_parent(self, parent: PurePosixPath) -> None:
        """Not through a symbolic link of a repository's: the command may put it right, or the output is refused."""
        try:
            with beneath.directory(self.directory, parent.parts, create=True):
                pass
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOTDIR):
                raise

    def _mount_parent(self, internal: str, tree: bool) -> None:
        target = internal.rstrip("/") if tree else os.path.dirname(internal)  # noqa: PTH120  a path in the container
        if all(mount.target != target for mount in self.mounts):
            source = self.scratch / "outputs" / str(len(self.mounts))
            source.mkdir(parents=True)
            self.mounts.append(Mount(source, target, writable=True))

    def declared(self, *, always: bool = False) -> list[Declared]:
        """The outputs, as `outputs.stage` takes them; with `always`, those that are wanted whatever the exit."""
        found = [
            Declared(output.internal, *self._place_of(output.internal), output.remote)
            for output in self.spec.outputs
            if output.on == "always" or not always
        ]
        stdout = self.spec.stdout
        if stdout and (stdout.on == "always" or not always):
            found.append(Declared(STDOUT, self.stdout.parent, self.stdout.name, stdout.remote))
        return found

    def _place_of(self, internal: str) -> tuple[Path, str]:
        """(directory on this host, path below it) of a path as the command sees it."""
        if not internal.startswith("/"):
            return self.directory, internal.rstrip("/")
        path = internal.rstrip("/")
        for mount in sorted(self.mounts, key=lambda mount: len(mount.target), reverse=True):
            if path == mount.target:
                return mount.source.parent, mount.source.name
            if path.startswith(mount.target + "/"):
                return mount.source, path[len(mount.target) + 1 :]
        return self.directory, path.lstrip("/")

    def find_file(self, internal: str) -> Path | None:
        """The regular file at a path as the command sees it, following no link out of its directory; None if there is
        none or it is empty."""
        root, path = self._place_of(internal)
        found = (root / path).resolve()
        try:
            status = found.lstat()
        except OSError:
            return None
        inside = found.is_relative_to(root.resolve())
        return found if inside and stat.S_ISREG(status.st_mode) and status.st_size else None

    async def remove(self) -> None:
        """Remove everything, whatever the command left there."""
        await asyncio.to_thread(discard, self.scratch)
