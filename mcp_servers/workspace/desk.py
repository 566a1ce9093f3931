"""What the workspace tools work with: the tree, what of it may be changed, and one thing at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

from pydantic import Field

from mcp_servers.storage.threads import Stop, in_thread
from mcp_servers.workspace.changes import Changes
from mcp_servers.workspace.naming import joined, shown
from mcp_servers.workspace.tree import Parts, Tree
from state.errors import InputError, SettingsError
from state.ports import Exit, WriteOutput
from state.touches import matches, problem

T = TypeVar("T")
Place = Annotated[
    str, Field(min_length=1, max_length=4_000, description="Relative to the top of the working tree, such as src/a.py.")
]
Anywhere = Annotated[
    str, Field(max_length=4_000, description="Relative to the top of the working tree; left out: the top itself.")
]
Cursor = Annotated[str | None, Field(max_length=20, description="next_cursor of the page before.")]


class Run(Protocol):
    """Runs a command in the sandbox, in the working tree. When it returns or raises, nothing of the command runs."""

    def __call__(self, argv: Sequence[str], timeout: float, write: WriteOutput) -> Awaitable[Exit]: ...


class Desk:
    """One working tree. `touches`: patterns of what may be changed; None: all of it. `SettingsError`: one is wrong.
    `changes` is told what is changed."""

    def __init__(self, root: Path, touches: Sequence[str] | None, changes: Changes | None = None) -> None:
        for pattern in touches or ():
            if why := problem(pattern):
                raise SettingsError(f"the pattern {shown(pattern)} of `touches` {why}", "Write one such as src/**.")
        self.tree = Tree(root.absolute())
        self.changes = changes or Changes()
        self._touches = touches
        self.alone = asyncio.Lock()
        """Held by whoever works in the tree: no command runs while files are read or changed."""

    async def work(self, work: Callable[[Stop], T]) -> T:
        """In a thread, alone."""
        async with self.alone:
            return await in_thread(work)

    def check(self, *paths: Parts) -> None:
        """`InputError` if one of them is not to be changed."""
        if self._touches is None:
            return
        for parts in paths:
            if not matches(self._touches, "/".join(parts)):
                raise InputError(
                    f"{shown(joined(parts))} is not yours to change: it is outside what this TODO touches "
                    f"({', '.join(map(shown, self._touches)) or 'nothing'})",
                    "Do what is asked within these; if that can't be done, say so.",
                )
