"""The git tools that only look."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mcp_servers.git import reading
from mcp_servers.git.desk import Cursor, Desk, Paths, Repo
from mcp_servers.git.results import Blame, Branches, Log, Stashes, Status, Tags, Worktrees
from mcp_servers.manners import Tools
from mcp_servers.paging import Text


class LookingTools:
    """Bodies of the tools; see `manners.Tools.add`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def register(self, tools: Tools) -> None:
        """Offer them."""
        for body, title in (
            (self.git_status, "Status"), (self.git_diff, "Diff"), (self.git_log, "Log"), (self.git_show, "Show"),
            (self.git_blame, "Blame"), (self.git_grep, "Search"), (self.git_list_branches, "Branches"),
            (self.git_list_tags, "Tags"), (self.git_list_worktrees, "Worktrees"), (self.git_list_stashes, "Stashes"),
        ):  # fmt: skip
            tools.add(body, "reads", title, audited=("repo", "revision", "path", "paths"), shared=True)

    async def git_status(
        self,
        repo: Repo,
        untracked: Annotated[bool, Field(description="List untracked files too.")] = True,
        cursor: Cursor = None,
    ) -> Status:
        """What is checked out and what has changed: branch, upstream with commits ahead and behind, unfinished merge or
        rebase, and each changed path with how it differs staged and unstaged. Paged by `cursor`."""
        return await reading.status(await self._desk.read(repo), untracked=untracked, cursor=cursor)

    async def git_diff(
        self,
        repo: Repo,
        compare: Annotated[
            Literal["unstaged", "staged", "all"],
            Field(description="Working tree with index; index with HEAD; or working tree with HEAD."),
        ] = "unstaged",
        revisions: Annotated[
            list[str],
            Field(max_length=2, description="Instead of `compare`: one revision (with the working tree), two, or a..b"),
        ] = [],  # noqa: B006  copied by pydantic
        paths: Paths = [],  # noqa: B006
        context: Annotated[int, Field(ge=0, le=100, description="Lines around each change.")] = 3,
        summary: Annotated[bool, Field(description="Only files and how many lines changed.")] = False,
        cursor: Cursor = None,
    ) -> Text:
        """A unified diff as text, at most 50 KB a page; pass `next_cursor` for the rest. Ask for a `summary` first
        where much may have changed."""
        git = await self._desk.read(repo)
        return await reading.diff(git, compare, revisions, paths, context=context, summary=summary, cursor=cursor)

    async def git_log(
        self,
        repo: Repo,
        revision: Annotated[str, Field(description="Where to start, or a range such as main..topic.")] = "HEAD",
        paths: Paths = [],  # noqa: B006
        max_count: Annotated[int, Field(ge=1, le=200, description="Commits on a page.")] = 20,
        author: Annotated[str | None, Field(description="Only commits whose author matches (regex).")] = None,
        message: Annotated[str | None, Field(description="Only commits whose message matches (regex).")] = None,
        since: Annotated[str | None, Field(description="Only younger ones: a date, or such as '2 weeks ago'.")] = None,
        until: Annotated[str | None, Field(description="Only older ones.")] = None,
        cursor: Cursor = None,
    ) -> Log:
        """Commits reachable from a revision, newest first: id, parents, author, dates, refs, subject, body. A later
        page goes on where the first one was, whatever was committed in between."""
        filters = [
            f"--{name}={value}"
            for name, value in (("author", author), ("grep", message), ("since", since), ("until", until))
            if value is not None
        ]
        git = await self._desk.read(repo)
        return await reading.log(git, revision, paths, filters=filters, limit=max_count, cursor=cursor)

    async def git_show(
        self,
        repo: Repo,
        revision: Annotated[str, Field(description="A commit or tag; or revision:path for a file as it was then.")],
        cursor: Cursor = None,
    ) -> Text:
        """A commit with its message and diff, a tag, a directory listing or a file's content at a revision, as text; at
        most 50 KB a page."""
        return await reading.show(await self._desk.read(repo), revision, cursor=cursor)

    async def git_blame(
        self,
        repo: Repo,
        path: Annotated[str, Field(description="A tracked file, relative to the top of the repository.")],
        revision: Annotated[str | None, Field(description="As of this revision instead of the working tree.")] = None,
        first_line: Annotated[int, Field(ge=1)] = 1,
        last_line: Annotated[int | None, Field(ge=1)] = None,
        cursor: Cursor = None,
    ) -> Blame:
        """For each line of a file: the commit, author and time it is from."""
        git = await self._desk.read(repo)
        return await reading.blame(git, path, revision, first=first_line, last=last_line, cursor=cursor)

    async def git_grep(
        self,
        repo: Repo,
        pattern: Annotated[str, Field(min_length=1, max_length=1_000)],
        revision: Annotated[str | None, Field(description="Search this revision instead of the working tree.")] = None,
        paths: Paths = [],  # noqa: B006
        regex: Annotated[bool, Field(description="Extended regular expression; false: the text as it is.")] = True,
        ignore_case: bool = False,
        cursor: Cursor = None,
    ) -> Text:
        """Lines of tracked text files that match, as path:line:text; empty when none do."""
        git = await self._desk.read(repo)
        return await reading.grep(git, pattern, revision, paths, regex=regex, ignore_case=ignore_case, cursor=cursor)

    async def git_list_branches(
        self,
        repo: Repo,
        remote: Annotated[bool, Field(description="Remote-tracking branches too.")] = False,
        cursor: Cursor = None,
    ) -> Branches:
        """Branches with their commits and upstreams; `current` marks what is checked out."""
        return await reading.branches(await self._desk.read(repo), remote=remote, cursor=cursor)

    async def git_list_tags(self, repo: Repo, cursor: Cursor = None) -> Tags:
        """Tags with the commits they stand for, newest first."""
        return await reading.tags(await self._desk.read(repo), cursor=cursor)

    async def git_list_worktrees(self, repo: Repo) -> Worktrees:
        """All working trees of the repository, the main one first."""
        return await reading.worktrees(await self._desk.read(repo))

    async def git_list_stashes(self, repo: Repo) -> Stashes:
        """Stashed changes, the newest (index 0) first."""
        return await reading.stashes(await self._desk.read(repo))
