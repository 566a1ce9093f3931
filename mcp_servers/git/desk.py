"""What all git tools share: the roots, the neutral program, turns, transfers; and how arguments are described."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mcp_servers.git.confinement import Repository, Roots
from mcp_servers.git.neutral import Neutral, Stamps
from mcp_servers.git.program import Git
from mcp_servers.git.submodules import entered
from mcp_servers.git.transfers import Transfers
from mcp_servers.git.writing import Turns
from mcp_servers.storage.threads import in_thread

_THREADS = 32
"""Look at directories at a time; one on a file system that does not answer keeps its thread."""
CALL_SECONDS = 1_200.0
"""A bound on any single git program; the deadline of the call is shorter."""

Repo = Annotated[str, Field(description="Directory of the repository (or one inside it). Absolute, or below the root.")]
Revision = Annotated[str, Field(description="Branch, tag, commit, or expression such as HEAD~2.")]
Paths = Annotated[
    list[str], Field(description="Only these paths, relative to the top of the repository; literal, no wildcards.")
]
Cursor = Annotated[str | None, Field(description="next_cursor of the page before.")]
Remote = Annotated[str, Field(description="Name of a configured remote.")]


@dataclass(frozen=True, slots=True)
class Desk:
    """`user` is who commits when a repository names nobody (``user.name``, ``user.email``), as environment."""

    roots: Roots
    transfers: Transfers
    user: Mapping[str, str] = field(default_factory=dict[str, str])
    neutral: Neutral = field(default_factory=Neutral)
    turns: Turns = field(default_factory=Turns)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "atlas-git"))

    async def find(self, repo: str) -> Repository:
        """The repository, judged. `InputError` when it is not one, or not inside the roots."""
        return await in_thread(lambda stop: self.roots.repository(repo), self.threads)

    async def read(self, repo: str) -> Git:
        """To look at a repository."""

        def look() -> tuple[Repository, Stamps]:
            found = self.roots.repository(repo)
            return found, Stamps.of(found)

        found, stamps = await in_thread(lambda stop: look(), self.threads)
        return await self.neutral.git(found, timeout=CALL_SECONDS, stamps=stamps)

    @asynccontextmanager
    async def write(self, repo: str, *, also: Path | None = None) -> AsyncGenerator[Git]:
        """To change a repository, in its turn. `also`: a working tree that git will enter, as it does submodules."""
        found = await self.find(repo)
        async with self.turns.of(found.common):
            entering = await entered(found, self.roots, self.neutral)
            if also:
                entering.append(await self.find(str(also)))
            yield self._by(await self.neutral.git(found, timeout=CALL_SECONDS, entering=entering))

    @asynccontextmanager
    async def transfer(self, repo: str) -> AsyncGenerator[Git]:
        """As `write`, when nothing in the configuration sends transfers elsewhere."""
        found = await self.find(repo)
        await self.neutral.refuse_rewrites(found)
        async with self.turns.of(found.common):
            entering = await entered(found, self.roots, self.neutral)
            yield self._by(await self.neutral.git(found, timeout=CALL_SECONDS, entering=entering))

    async def judged(self, path: str) -> Path:
        """A path that is to be made, inside the roots."""
        return await in_thread(lambda stop: self.roots.real(path), self.threads)

    def _by(self, git: Git) -> Git:
        return replace(git, environment={**git.environment, **self.user})
