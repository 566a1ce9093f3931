"""What the git tools answer with."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from mcp_servers.paging import Page

State = Literal["", "modified", "added", "deleted", "renamed", "copied", "type changed", "unmerged", "untracked"]


class Change(BaseModel):
    """One path that is not as it was committed."""

    path: str
    staged: State = Field(description="How the index differs from HEAD; empty if it does not.")
    unstaged: State = Field(description="How the working tree differs from the index; empty if it does not.")
    renamed_from: str | None = None


class Status(Page):
    """The working tree, its branch, and what is going on."""

    branch: str | None = Field(description="Absent when HEAD is detached.")
    commit: str | None = Field(description="Absent before the first commit.")
    upstream: str | None
    ahead: int | None
    behind: int | None
    in_progress: list[str] = Field(description="Unfinished operations, such as merge or rebase.")
    clean: bool
    changes: list[Change]


class Commit(BaseModel):
    """One commit."""

    id: str
    parents: list[str]
    author: str
    email: str
    authored: str = Field(description="ISO 8601.")
    committed: str = Field(description="ISO 8601.")
    refs: list[str]
    subject: str
    body: str


class Log(Page):
    """Commits, newest first."""

    commits: list[Commit]


class BlamedLine(BaseModel):
    """One line and the commit it is from."""

    line: int
    commit: str
    author: str
    authored: str
    text: str


class Blame(Page):
    """Lines of a file with their origins."""

    lines: list[BlamedLine]


class Branch(BaseModel):
    """A local or remote-tracking branch."""

    name: str
    commit: str
    subject: str
    upstream: str | None
    current: bool
    remote: bool


class Branches(Page):
    """Branches by name."""

    branches: list[Branch]


class Tag(BaseModel):
    """A tag and the commit it stands for."""

    name: str
    commit: str
    annotated: bool
    subject: str


class Tags(Page):
    """Tags, newest first."""

    tags: list[Tag]


class Worktree(BaseModel):
    """A working tree of a repository."""

    path: str
    commit: str | None
    branch: str | None
    locked: bool


class Worktrees(BaseModel):
    """All working trees that share one repository."""

    worktrees: list[Worktree]


class Stash(BaseModel):
    """A stashed change; `index` 0 is the newest."""

    index: int
    commit: str
    made: str
    message: str


class Stashes(BaseModel):
    """What is stashed."""

    stashes: list[Stash]
