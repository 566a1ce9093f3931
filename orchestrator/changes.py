"""What a run changed in its repository, for the person who wants it: as a patch, or as a branch somewhere."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestrator.references import named
from orchestrator.run_spec import PinnedRepository, RunSpec
from state import agent_reading, reading
from state.agent_tables import AgentRow
from state.errors import NotFound
from state.ports import ArtifactStore, Store
from state.tables import Run

PATCH_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Changes:
    """`repositories` is this installation's directory of them."""

    store: Store
    artifacts: ArtifactStore
    repositories: Path

    async def patch(self, run: str) -> str:
        """From where the run began to its head now; empty if nothing was merged yet. `NotFound`: no repository, or more
        than `PATCH_BYTES`."""
        from orchestrator.agents.workspace import Repository

        row, pinned = await self._of(run)
        repository = await Repository.open(row.id, pinned, self.store, self.artifacts, self.repositories)
        _, head = await repository.head()
        found = await repository.here.diff(pinned.oid, head, limit=PATCH_BYTES)
        if found.truncated:
            hint = f"Have it as a branch: atlas push {row.id[-8:]}"
            raise NotFound(f"the changes of {row.name} are too many for a patch", hint)
        return found.text

    async def of_todo(self, run: str, todo: str) -> str:
        """What the newest attempt of a TODO has changed since it began, of what would be merged; empty if that is
        nothing, or it is none of a role's."""
        from orchestrator.agents.workspace import Repository

        row, pinned = await self._of(run)

        def newest(session: reading.Session) -> AgentRow | None:
            return agent_reading.newest_attempt(session, reading.find_todo(session, row.id, named(todo)).id)

        agent = await self.store.read(newest)
        if agent is None or agent.base is None or agent.snapshot is None:
            return ""
        repository = await Repository.open(row.id, pinned, self.store, self.artifacts, self.repositories)
        for oid in (agent.base, agent.snapshot):
            await repository.bring(oid)
        found = await repository.here.diff_delivered(agent.snapshot, agent.base, limit=PATCH_BYTES)
        if found.truncated:
            raise NotFound(f"the changes of {todo} are too many for a patch", "Look at its log for what it did.")
        return found.text

    async def push(self, run: str, remote: str, branch: str | None) -> str:
        """To a remote of the repository that the run began from, or to itself (``.``); never forced. Returns a word on
        what is where now."""
        from mcp_servers.git.workspace.pushing import push
        from orchestrator.agents.workspace import Repository
        from orchestrator.executors.push import branch_of

        row, pinned = await self._of(run)
        repository = await Repository.open(row.id, pinned, self.store, self.artifacts, self.repositories)
        before, head = await repository.head()
        if before is None:
            raise NotFound(f"{row.name} {row.id[-8:]} has changed nothing", "There is nothing to push.")
        with await asyncio.to_thread(tempfile.TemporaryDirectory) as scratch:
            sent = await push(
                repository.here, head, pinned=pinned.oid, source=pinned.source, remote=remote,
                branch=branch or branch_of(row.name, row.id), scratch=Path(scratch),
            )  # fmt: skip
        return f"{sent.to} has {sent.ref.removeprefix('refs/heads/')} at {sent.oid}"

    async def _of(self, run: str) -> tuple[Run, PinnedRepository]:
        row = await self.store.read(lambda session: reading.find_run(session, named(run)))
        pinned = RunSpec.from_json(row.spec).repository
        if pinned is None:
            raise NotFound(f"{row.name} {row.id[-8:]} has no repository", "Give the plan a `repo`.")
        return row, pinned
