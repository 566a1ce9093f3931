"""The files of one attempt: the run's repository on this worker, brought up to date from the artifact store, and a
working tree without git metadata that is exactly what the attempt's records say (design §5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session, select

from mcp_servers.git.workspace.chains import chain_to
from mcp_servers.git.workspace.repository import RunRepository
from mcp_servers.git.workspace.results import Packed
from mcp_servers.git.workspace.worktree import Worktree
from mcp_servers.workspace.changes import Changes
from orchestrator.run_spec import PinnedRepository
from roles.desk import Taken
from state.agent_commands import CommitPack
from state.agent_tables import CommitRow
from state.ports import ArtifactStore, Store
from state.tables import Run

_SKIPPED_SHOWN = 20


@dataclass(slots=True)
class Repository:
    """A run's repository here. `pinned` is where the run began."""

    run: str
    store: Store
    here: RunRepository
    pinned: str

    @classmethod
    async def open(
        cls, run: str, repository: PinnedRepository, store: Store, artifacts: ArtifactStore, directory: Path
    ) -> Repository:
        """Made, or mended, from the artifact store."""
        here = await RunRepository.open(directory / run, repository.oid, repository.artifact, artifacts)
        return cls(run, store, here, repository.oid)

    async def head(self) -> tuple[str | None, str]:
        """(as it is in the database, the commit): the newest of the run's branch, here by now."""
        row = await self.store.read(lambda session: session.get(Run, self.run))
        head = row.head if row else None
        await self.bring(head or self.pinned)
        return head, head or self.pinned

    async def bring(self, oid: str) -> None:
        """Make sure that a commit of this run is here."""
        if oid == self.pinned:
            return
        rows = await self.store.read(self._packs)
        await self.here.bring(chain_to(oid, rows, {self.pinned}))

    def _packs(self, session: Session) -> list[Packed]:
        rows = session.exec(select(CommitRow).where(CommitRow.run_id == self.run))
        return [Packed(row.oid, row.base, row.digest, row.size) for row in rows]

    async def publish(self, oid: str, base: str) -> CommitPack:
        """In the artifact store; the row that says so is the caller's to write."""
        return pack_row(await self.here.pack(oid, base))


@dataclass(slots=True)
class Workspace:
    """The working tree of one attempt. `base` is the head that it began from, `changes` what its tools may have changed
    since the newest snapshot: nothing else runs in it."""

    repository: Repository
    tree: Worktree
    base: str
    changes: Changes = field(default_factory=Changes)

    @classmethod
    async def open(cls, repository: Repository, base: str, commit: str, directory: Path) -> Workspace:
        """At `commit`, which is `base` or has it behind it."""
        await repository.bring(base)
        await repository.bring(commit)
        tree = await Worktree.create(repository.here, commit, directory, origin=base)
        return cls(repository, tree, base)

    async def snapshot(self, *, thorough: bool = False) -> Taken:
        """Durable when it returns."""
        try:
            taken = await self.tree.snapshot(self.changes.take(), thorough=thorough)
        except BaseException:
            self.changes.anywhere()
            raise
        packs = (pack_row(taken.packed),) if taken.packed else ()
        words = ""
        if taken.skipped:
            shown = "; ".join(f"{each.path}: {each.why}" for each in taken.skipped[:_SKIPPED_SHOWN])
            words = f"(not kept when you are done or interrupted: {shown})"
        return Taken(taken.commit, taken.tree, packs, words)

    async def start_over(self, base: str) -> None:
        """From a clean checkout of `base`."""
        self.changes.anywhere()
        await self.tree.reset(base)
        self.base = base


def pack_row(packed: Packed) -> CommitPack:
    """For the store."""
    return CommitPack(packed.oid, packed.base, packed.digest, packed.size)
