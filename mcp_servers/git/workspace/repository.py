"""The repository of one run on this worker's disk: bare, a cache, rebuilt from the artifact store whenever something in
it is missing or damaged. Several processes and attempts use it at once."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mcp_servers.git.bare import object_format
from mcp_servers.git.checkouts import check_empty
from mcp_servers.git.program import GitError
from mcp_servers.git.workspace import deliverables, differences, merging
from mcp_servers.git.workspace.cache import Cache, Entry
from mcp_servers.git.workspace.index import Index
from mcp_servers.git.workspace.loose import put_object
from mcp_servers.git.workspace.results import Conflict, Diff, Merged, Packed
from mcp_servers.git.workspace.trees import Trees
from mcp_servers.storage.clearing import clear
from mcp_servers.storage.threads import completed, in_thread
from state.errors import InputError
from state.limits import DIFF_BYTES
from state.ports import ArtifactStore

ATLAS = "Atlas <atlas@localhost>"
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_AUTHOR = re.compile(r"([^<>\0\n]*[^<>\0\n\s.,:;\"'\\][^<>\0\n]*) <([^<>\0\n]*)>")
_PACKING = ("--revs", "--thin", "--stdout", "--quiet", "--delta-base-offset")
_BIG = "core.bigFileThreshold=8m"
"""For larger files no delta is sought."""


class RunRepository:
    """Commits are named by their ids (`InputError` for anything else). `GitError` when git fails; what was damaged or
    missing on disk has been brought again by then, if the artifact store has it."""

    def __init__(self, cache: Cache) -> None:
        """Use `open`."""
        self.cache = cache

    @classmethod
    async def open(cls, directory: Path, oid: str, digest: str, artifacts: ArtifactStore) -> RunRepository:
        """The repository in `directory`, which is the run's own; made if it is not there. It has the pinned commit
        `oid`, whose pack is the artifact `digest`. `RemoteMissing`: that is gone."""
        repository = cls(Cache(directory, Entry(digest, _known(oid), "-"), artifacts))
        await repository.cache.ensure()
        return repository

    async def bring(self, chain: Sequence[Packed]) -> None:
        """Have the commits that these packs lead to, oldest first, with all that is in them; downloads what is not
        here. `RemoteMissing`: an artifact is gone."""
        if not chain:
            return
        entries = [Entry(packed.digest, _known(packed.oid), _known(packed.base)) for packed in chain]

        async def work() -> None:
            await self.cache.bring(entries)
            asked = "".join(f"{entry.oid}\n" for entry in entries).encode("ascii")
            try:
                await self.cache.git.run("rev-list", "--objects", "--no-walk", "--quiet", "--stdin", stdin=asked)
            except GitError as error:
                raise GitError(
                    f"the packs do not bring the commit {entries[-1].oid}: {error.message}", "Begin from the head."
                ) from error

        await self.cache.sound(work)

    async def checkout(self, oid: str, into: Path) -> None:
        """Make `into`, which must be absent or empty, exactly the tree of this commit: no ``.git``, no filter, links as
        links, modes 644 and 755 less the umask. Nothing is left in it after an error."""
        index = await self.check_out(oid, into)
        await in_thread(index.remove)

    async def check_out(self, oid: str, into: Path) -> Index:
        """`checkout`, and the index of it, which is the caller's to remove."""
        _check(oid)
        await in_thread(lambda stop: check_empty(into))

        async def work() -> Index:
            index = Index(self.cache.in_tree(into), self.cache.scratch)
            try:
                await index.check_out(oid)
            except BaseException:
                await completed(in_thread(index.remove))
                await completed(in_thread(lambda stop: clear(into, stop)))
                raise
            return index

        return await self.cache.sound(work)

    async def commit(
        self, tree: str, parents: Sequence[str], message: str, *, author: str = ATLAS, at: float | None = None
    ) -> str:
        """A commit of this tree; its id. `author` is ``Name <address>``, `at` seconds since the epoch (None: now)."""
        text = message.replace("\0", "").encode("utf-8", "replace")
        when = f"{int(time.time() if at is None else at)} +0000"
        if author == ATLAS:
            return await self._own_commit(_known(tree), [_known(parent) for parent in parents], when, text)
        named = _AUTHOR.fullmatch(author)
        if named is None:
            raise InputError(f"{author[:200]!r} is not an author", "Write: Name <address>.")
        environment = {"GIT_AUTHOR_NAME": named[1], "GIT_AUTHOR_EMAIL": named[2]}
        environment |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in environment.items()}
        environment |= {"GIT_AUTHOR_DATE": f"@{when}", "GIT_COMMITTER_DATE": f"@{when}"}
        git = replace(self.cache.git, environment=environment)
        options = [part for parent in parents for part in ("-p", _known(parent))]

        async def work() -> str:
            return (await git.run("commit-tree", _known(tree), *options, "-F", "-", stdin=text)).decode("ascii").strip()

        return await self.cache.sound(work)

    async def _own_commit(self, tree: str, parents: Sequence[str], when: str, text: bytes) -> str:
        """What git would make, without starting it: there is one for every tool call that changes something."""
        named = [*(f"parent {parent}" for parent in dict.fromkeys(parents)), f"author {ATLAS} {when}"]
        head = "\n".join([f"tree {tree}", *named, f"committer {ATLAS} {when}", "", ""]).encode("ascii")
        content, objects = head + text, self.cache.repository / "objects"
        return await in_thread(lambda stop: put_object(objects, object_format(tree), b"commit", content))

    async def merge(self, head: str, commit: str, message: str) -> Merged | Conflict:
        """Merge `commit` onto `head` by the three-way rule; the result is one commit, whose only parent is `head`. Give
        it a deliverable. Nobody has looked at what comes out: verify that very commit."""
        _check(head, commit)

        async def make(tree: str, parent: str) -> str:
            return await self.commit(tree, [parent], message)

        return await self.cache.sound(lambda: merging.merge(self.cache.git, head, commit, make))

    async def diff(self, old: str, new: str, *, limit: int = DIFF_BYTES) -> Diff:
        """What changed from the commit (or tree) `old` to `new`, in at most `limit` bytes of text."""
        _check(old, new)
        return await self.cache.sound(lambda: differences.compare(self.cache.git, old, new, limit))

    async def changed_paths(self, old: str, new: str) -> tuple[list[str], bool]:
        """(every path that differs between two commits, whether even this is not all): for who must see all of them,
        which `diff` does not show."""
        _check(old, new)
        return await self.cache.sound(lambda: differences.changed_paths(self.cache.git, old, new))

    async def diff_delivered(self, commit: str, base: str, *, limit: int = DIFF_BYTES) -> Diff:
        """The same from `base` to what `deliverable` would take of `commit`."""
        _check(commit, base)
        tree = await self.cache.sound(lambda: deliverables.deliverable_tree(self.cache, commit, base))
        return await self.diff(base, tree, limit=limit)

    async def pack(self, oid: str, base: str) -> Packed:
        """Store what `oid` has and `base` has not as an artifact; it is durable when this returns."""
        asked = f"{_known(oid)}\n^{_known(base)}\n".encode("ascii")
        git = replace(self.cache.git, settings=(*self.cache.git.settings, _BIG))

        async def work() -> Packed:
            async with self.cache.temporary() as path:
                await git.run("pack-objects", *_PACKING, stdin=asked, stdout=path)
                artifact = await self.cache.artifacts.put(path)
            entry = Entry(artifact.digest, oid, base)
            await in_thread(lambda stop: self.cache.record(entry))
            return Packed(oid, base, artifact.digest, artifact.size)

        return await self.cache.sound(work)

    async def tree_of(self, oid: str) -> str:
        """The id of a commit's tree."""
        name = f"{_known(oid)}^{{tree}}"
        return await self.cache.sound(lambda: self.cache.git.text("rev-parse", "--verify", "--quiet", name))

    async def trees(self, commit: str) -> Trees:
        """What is in a commit, to be changed."""
        objects = self.cache.repository / "objects"
        async with self.cache.temporary() as path:
            await self.cache.git.run("ls-tree", "-r", "-t", "-z", "--full-tree", _known(commit), stdout=path)
            return await in_thread(lambda stop: Trees(objects, object_format(commit), path.read_bytes()))

    async def deliverable(self, commit: str, base: str, message: str = "Deliverable") -> str:
        """A commit, whose parent is `base`, of the tree of `commit` without what its ``.gitignore`` files ignore; what
        `base` has is kept. This is what `merge` is given."""
        _check(commit, base)
        tree = await self.cache.sound(lambda: deliverables.deliverable_tree(self.cache, commit, base))
        return await self.commit(tree, [base], message)


def _check(*oids: str) -> None:
    for oid in oids:
        _known(oid)


def _known(oid: str) -> str:
    """It, if it is an id, and can be nothing else to git."""
    if not _OID.fullmatch(oid):
        raise InputError(f"{oid[:100]!r} is not the id of a commit", "Use an id that a snapshot or a merge gave.")
    return oid
