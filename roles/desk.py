"""What the roles of one attempt are given by the house: ports that the orchestrator fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from roles.models.port import ChatModel
from roles.role import Duty
from roles.toolbox import Toolbox
from state.agent_commands import CommitPack
from state.errors import LeaseLost, SandboxError


@dataclass(frozen=True, slots=True)
class Taken:
    """A snapshot of the working tree, durable. `packs` make it known to others; `words` are for the role: what is not
    in it, if anything."""

    commit: str
    tree: str
    packs: Sequence[CommitPack] = ()
    words: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """How the verification stands on the files as they are: `text` tells, `passing` are the items that hold."""

    text: str
    passing: frozenset[str]


@dataclass(frozen=True, slots=True)
class Judged:
    """A plan that was submitted: its `problems`, or the canonical text and its hash."""

    problems: str = ""
    plan: str = ""
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a person answered, and who."""

    answer: str
    by: str


class Desk(Protocol):
    """See the module. One for an attempt on a worker."""

    async def brief(self, duty: str) -> str:
        """The first message of a conversation; what others wrote in it is framed."""
        ...

    async def essentials(self) -> str:
        """What must not be lost when a conversation is shortened: the diff so far, for one."""
        ...

    async def toolbox(self, duty: Duty) -> Toolbox:
        """The tools of this duty."""
        ...

    def trouble(self) -> SandboxError | LeaseLost | OSError | None:
        """What kept a command that a tool was to run from being run: nothing that a role could do something about."""
        ...

    async def models(self, duty: Duty) -> Sequence[ChatModel]:
        """In the order in which they are asked."""
        ...

    async def snapshot(self) -> Taken:
        """Of the working tree, after a call that may have changed it."""
        ...

    async def check(self) -> Checked:
        """Run the verification. `SandboxError`, `LeaseLost`."""
        ...

    async def judge_plan(self, text: str) -> Judged:
        """Whether it is a plan."""
        ...

    async def answered(self, key: str) -> Answered | None:
        """The answer to the question with this key; None: it was not asked, or is not answered."""
        ...
