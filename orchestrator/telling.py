"""What came of a run with roles, for people: conversations, notes, the plan, the report. Reads only."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.references import named
from orchestrator.views import NoteView, note_view
from state import agent_reading, reading
from state.errors import NotFound
from state.ports import ArtifactStore, Store
from state.records import TodoKind

if TYPE_CHECKING:
    from orchestrator.transcript import AttemptStory
    from state.tables import Run, Todo

WITH_ROLES: frozenset[TodoKind] = frozenset(("agent", "plan", "report"))


@dataclass(frozen=True, slots=True)
class FrozenPlan:
    """A run's newest plan: its document, how it was reviewed (rounds; None: nobody reviewed it), and whether the run
    began with a goal only."""

    run: str
    name: str
    document: dict[str, Any]
    rounds: int | None
    of_goal: bool


@dataclass(frozen=True, slots=True)
class Telling:
    """References to runs and TODOs are what `state.reading.find_*` take."""

    store: Store
    artifacts: ArtifactStore

    async def find(self, run: str, todo: str) -> Todo:
        """The row of a TODO."""
        return await self.store.read(
            lambda session: reading.find_todo(session, reading.find_run(session, named(run)).id, named(todo))
        )

    async def transcript(self, todo: Todo, attempt: int | None = None) -> Sequence[AttemptStory]:
        """Of all attempts, or of the one that this fence belongs to. `NotFound`: it was not started, or has none."""
        from orchestrator.transcript import told

        stories = await self.store.read(lambda session: told(session, todo))
        if todo.kind == "ask":
            raise NotFound(f"{todo.key} is a question: nobody works on it", "Its answer is with the TODO.")
        if not stories:
            raise NotFound(f"{todo.key} has not been started", "Its log begins with its first attempt.")
        if attempt is None:
            return stories
        chosen = [story for story in stories if attempt in story.fences]
        if not chosen:
            known = ", ".join(str(fence) for story in stories for fence in story.fences)
            raise NotFound(f"{todo.key} has no attempt {attempt}", f"There are: {known}.")
        return chosen

    async def notes(self, run: str) -> list[NoteView]:
        """Oldest first."""

        def read(session: reading.Session) -> list[NoteView]:
            return [note_view(row) for row in agent_reading.notes(session, reading.find_run(session, named(run)).id)]

        return await self.store.read(read)

    async def report(self, run: str) -> str:
        """Markdown: as it was written, else as the database tells it now."""
        from orchestrator.agents.records import rendered

        def read(session: reading.Session) -> tuple[str | None, str]:
            found = reading.find_run(session, named(run))
            return _report_of(session, found), rendered(session, found.id)

        digest, plain = await self.store.read(read)
        return await self._text(digest) if digest else plain

    async def plan(self, run: str) -> FrozenPlan:
        """`NotFound` for a run whose plan is still being made."""

        def read(session: reading.Session) -> FrozenPlan:
            found = reading.find_run(session, named(run))
            document: dict[str, Any] = json.loads(reading.plan(session, found.id).document)
            if not document.get("todos"):
                hint = f"Look at it with `atlas logs {found.id[-8:]} plan`."
                raise NotFound(f"{found.name} {found.id[-8:]} has no plan yet: it is {found.state}", hint)
            of_goal = not json.loads(reading.first_plan(session, found.id).document).get("todos")
            return FrozenPlan(found.id, found.name, document, _rounds(session, found), of_goal)

        return await self.store.read(read)

    async def _text(self, digest: str) -> str:
        with await asyncio.to_thread(tempfile.TemporaryDirectory) as directory:
            path = Path(directory) / "report.md"
            await self.artifacts.fetch(digest, path)
            return await asyncio.to_thread(path.read_text, "utf-8")


def _report_of(session: reading.Session, run: Run) -> str | None:
    """The digest of the newest report that counts."""
    for todo in reading.todos(session, run.id):
        if todo.kind == "report" and todo.state == "completed":
            digests = [json.loads(row.item).get("report") for row in reading.evidence(session, todo.id)]
            return next((digest for digest in reversed(digests) if digest), None)
    return None


def _rounds(session: reading.Session, run: Run) -> int | None:
    for todo in reversed(reading.todos(session, run.id)):
        if todo.kind == "plan" and todo.state == "completed":
            items = [json.loads(row.item) for row in reading.evidence(session, todo.id)]
            return next((int(item["rounds"]) for item in items if "rounds" in item), None)
    return None
