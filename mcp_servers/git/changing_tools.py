"""The git tools that change a repository, or send and fetch."""

from __future__ import annotations

from typing import Annotated, Any

from mcp.server.mcpserver import Context
from pydantic import BaseModel, Field

from mcp_servers.git import writing
from mcp_servers.git.desk import CALL_SECONDS, Desk, Paths, Remote, Repo, Revision
from mcp_servers.git.program import GitError
from mcp_servers.git.reading import stashes, status, worktrees
from mcp_servers.git.results import Stashes, Status, Worktrees
from mcp_servers.git.transfers import Fetched, Pushed
from mcp_servers.git.writing import Joined, Moved, ResetMode, Strategy
from mcp_servers.manners import Tools
from mcp_servers.storage.threads import in_thread
from state.errors import InputError

BranchName = Annotated[str, Field(description="Name of a local branch.")]
Directory = Annotated[str, Field(description="A new directory inside the allowed roots. Absolute, or below the root.")]
_AUDITED = ("repo", "path", "paths", "name", "branch", "remote", "revision", "into", "mode")
"""Not URLs, which may hold passwords."""


class Unstashed(BaseModel):
    """What became of bringing a stash back."""

    conflicts: list[str] = Field(description="Paths in conflict: nothing was changed, and it is still stashed.")
    left: Stashes


class Cloned(BaseModel):
    """Where the clone is, and what is checked out."""

    repo: str
    head: Moved


class ChangingTools:
    """Bodies of the tools; see `manners.Tools.add`. `allow_force`: pushes may rewrite what is there."""

    def __init__(self, desk: Desk, *, allow_force: bool) -> None:
        self._desk = desk
        self._allow_force = allow_force

    def register(self, tools: Tools) -> None:
        """Offer them, as far as the policy goes."""
        for body, title in (
            (self.git_add, "Stage"), (self.git_unstage, "Unstage"), (self.git_create_branch, "Create branch"),
            (self.git_switch, "Switch"), (self.git_create_tag, "Create tag"), (self.git_add_worktree, "Add worktree"),
        ):  # fmt: skip
            tools.add(body, "writes", title, audited=_AUDITED, idempotent=body in (self.git_add, self.git_unstage))
        for body, title in (
            (self.git_commit, "Commit"), (self.git_merge, "Merge"), (self.git_rebase, "Rebase"),
            (self.git_stash, "Stash"), (self.git_unstash, "Unstash"), (self.git_reset, "Reset"),
        ):  # fmt: skip
            tools.add(body, "writes", title, audited=_AUDITED, seconds=120)
        for body, title in (
            (self.git_restore, "Restore"), (self.git_reset_hard, "Reset, losing changes"),
            (self.git_delete_branch, "Delete branch"), (self.git_delete_tag, "Delete tag"),
            (self.git_drop_stash, "Drop stash"), (self.git_remove_worktree, "Remove worktree"),
        ):  # fmt: skip
            tools.add(body, "destroys", title, audited=_AUDITED)
        for body, title in (
            (self.git_clone, "Clone"), (self.git_fetch, "Fetch"), (self.git_pull, "Pull"), (self.git_push, "Push"),
        ):  # fmt: skip
            tools.add(body, "writes", title, audited=_AUDITED, seconds=300, open_world=True)

    # --- index and commits -------------------------------------------------------------------------------------------

    async def git_add(
        self,
        repo: Repo,
        paths: Paths = [],  # noqa: B006  copied by pydantic
        everything: Annotated[bool, Field(description="Stage all changes, instead of `paths`.")] = False,
    ) -> Status:
        """Stage changes, deletions among them; what comes back is the status afterwards. Paths outside the repository,
        or behind a symbolic link, are refused."""
        async with self._desk.write(repo) as git:
            await writing.add(git, paths, everything=everything)
            return await status(git)

    async def git_unstage(self, repo: Repo, paths: Paths) -> Status:
        """Take paths out of the index again; the working tree stays as it is. Comes back with the status."""
        async with self._desk.write(repo) as git:
            await writing.restore(git, paths, staged=True)
            return await status(git)

    async def git_commit(
        self,
        repo: Repo,
        message: Annotated[str, Field(min_length=1, max_length=100_000)],
        author: Annotated[str | None, Field(description="Name <mail>, if not the configured user.")] = None,
        allow_empty: bool = False,
    ) -> Moved:
        """Commit what is staged. Hooks do not run, nothing is signed. Comes back with the new commit."""
        async with self._desk.write(repo) as git:
            return await writing.commit(git, message, author=author, allow_empty=allow_empty)

    async def git_reset(
        self,
        repo: Repo,
        revision: Revision = "HEAD",
        mode: Annotated[ResetMode, Field(description="soft keeps index and files; mixed keeps files.")] = "mixed",
    ) -> Moved:
        """Move the current branch to a commit, keeping the files. (To throw changes away: git_reset_hard.)"""
        if mode == "hard":
            raise InputError("hard throws changes away", "Call git_reset_hard, if this server offers it.")
        async with self._desk.write(repo) as git:
            return await writing.reset(git, revision, mode)

    async def git_reset_hard(self, repo: Repo, revision: Revision = "HEAD") -> Moved:
        """Move the current branch to a commit and make index and files like it. Uncommitted changes are lost."""
        async with self._desk.write(repo) as git:
            return await writing.reset(git, revision, "hard")

    async def git_restore(
        self,
        repo: Repo,
        paths: Paths,
        source: Annotated[str | None, Field(description="From this revision instead of the index.")] = None,
    ) -> Status:
        """Bring files back from the index or a revision. Their uncommitted changes are lost. Comes back with the
        status."""
        async with self._desk.write(repo) as git:
            await writing.restore(git, paths, staged=False, source=source)
            return await status(git)

    # --- branches ----------------------------------------------------------------------------------------------------

    async def git_create_branch(self, repo: Repo, name: BranchName, revision: Revision = "HEAD") -> Moved:
        """Make a branch at a revision, without checking it out. Comes back with what is checked out."""
        async with self._desk.write(repo) as git:
            await writing.branch(git, name, revision)
            return await writing.head(git)

    async def git_switch(
        self,
        repo: Repo,
        name: Annotated[str, Field(description="Branch; with `detach`, any revision.")],
        create: Annotated[bool, Field(description="Make the branch first.")] = False,
        revision: Annotated[str | None, Field(description="Where a new branch starts; default HEAD.")] = None,
        detach: Annotated[bool, Field(description="Check out a revision without a branch.")] = False,
    ) -> Moved:
        """Check out a branch. Refused when it would overwrite uncommitted changes."""
        async with self._desk.write(repo) as git:
            return await writing.switch(git, name, create=create, start=revision, detach=detach)

    async def git_delete_branch(
        self,
        repo: Repo,
        name: BranchName,
        force: Annotated[bool, Field(description="Even if its commits are on no other branch.")] = False,
    ) -> Moved:
        """Delete a local branch. Comes back with what is checked out."""
        async with self._desk.write(repo) as git:
            await writing.delete_branch(git, name, force=force)
            return await writing.head(git)

    async def git_merge(
        self,
        repo: Repo,
        revision: Revision,
        strategy: Annotated[
            Strategy,
            Field(description="ff-only: no merge commit; merge: one if needed; squash: stage it, uncommitted."),
        ] = "ff-only",
        message: Annotated[str | None, Field(description="Of the merge commit.")] = None,
    ) -> Joined:
        """Merge a revision into the current branch. With conflicts nothing changes: the merge is aborted and the
        conflicting paths come back."""
        async with self._desk.write(repo) as git:
            return await writing.merge(git, revision, strategy, message)

    async def git_rebase(self, repo: Repo, onto: Revision) -> Joined:
        """Replay the current branch's commits onto a revision. With conflicts nothing changes: the rebase is aborted
        and the conflicting paths come back. Uncommitted changes stop it."""
        async with self._desk.write(repo) as git:
            return await writing.rebase(git, onto)

    async def git_create_tag(
        self,
        repo: Repo,
        name: Annotated[str, Field(description="Name of the tag.")],
        revision: Revision = "HEAD",
        message: Annotated[str | None, Field(description="Makes it an annotated tag.")] = None,
    ) -> Moved:
        """Tag a revision. Comes back with what is checked out."""
        async with self._desk.write(repo) as git:
            await writing.tag(git, name, revision, message)
            return await writing.head(git)

    async def git_delete_tag(self, repo: Repo, name: Annotated[str, Field(description="Name of the tag.")]) -> Moved:
        """Delete a local tag. Comes back with what is checked out."""
        async with self._desk.write(repo) as git:
            await writing.delete_tag(git, name)
            return await writing.head(git)

    # --- stash and worktrees -----------------------------------------------------------------------------------------

    async def git_stash(
        self,
        repo: Repo,
        message: Annotated[str | None, Field(max_length=1_000)] = None,
        untracked: Annotated[bool, Field(description="Untracked files too.")] = False,
    ) -> Stashes:
        """Put uncommitted changes aside. Comes back with all that is stashed."""
        async with self._desk.write(repo) as git:
            if not await writing.stash(git, message, untracked=untracked):
                raise GitError("there are no changes to stash", "git_status shows what there is.")
            return await stashes(git)

    async def git_unstash(
        self,
        repo: Repo,
        index: Annotated[int, Field(ge=0, description="Which one; 0 is the newest.")] = 0,
        keep: Annotated[bool, Field(description="Leave it stashed too.")] = False,
    ) -> Unstashed:
        """Bring a stashed change back into a clean working tree. With conflicts nothing changes, and they come back."""
        async with self._desk.write(repo) as git:
            conflicts = await writing.unstash(git, index, drop=not keep)
            return Unstashed(conflicts=conflicts, left=await stashes(git))

    async def git_drop_stash(self, repo: Repo, index: Annotated[int, Field(ge=0)] = 0) -> Stashes:
        """Throw a stashed change away. Comes back with what is left."""
        async with self._desk.write(repo) as git:
            await writing.drop_stash(git, index)
            return await stashes(git)

    async def git_add_worktree(
        self,
        repo: Repo,
        path: Directory,
        revision: Revision,
        new_branch: Annotated[str | None, Field(description="Make this branch for it.")] = None,
    ) -> Worktrees:
        """Check a revision out into another directory, sharing the repository. Comes back with all working trees."""
        target = await self._desk.judged(path)
        async with self._desk.write(repo) as git:
            await writing.add_worktree(git, target, revision, new_branch=new_branch)
            return await worktrees(git)

    async def git_remove_worktree(
        self,
        repo: Repo,
        path: Annotated[str, Field(description="As git_list_worktrees shows it.")],
        force: Annotated[bool, Field(description="Even with uncommitted changes, which are lost.")] = False,
    ) -> Worktrees:
        """Remove a working tree and its directory. Comes back with those that are left."""
        target = await self._desk.judged(path)
        there = target if await in_thread(lambda stop: target.is_dir()) else None
        async with self._desk.write(repo, also=there) as git:
            await writing.remove_worktree(git, target, force=force)
            return await worktrees(git)

    # --- transfers ---------------------------------------------------------------------------------------------------

    async def git_clone(
        self,
        url: Annotated[str, Field(description="https://…, ssh://…, user@host:path, or a path inside the roots.")],
        into: Directory,
        ctx: Context[Any, Any],
        branch: Annotated[str | None, Field(description="Check this branch or tag out.")] = None,
        depth: Annotated[int | None, Field(ge=1, description="Only so many commits.")] = None,
    ) -> Cloned:
        """Clone a repository. Cancelled or failed, nothing of it is left."""
        target = await self._desk.judged(into)
        await self._desk.transfers.clone(url, target, branch=branch, depth=depth, timeout=CALL_SECONDS, progress=ctx)
        return Cloned(repo=str(target), head=await writing.head(await self._desk.read(str(target))))

    async def git_fetch(
        self,
        repo: Repo,
        ctx: Context[Any, Any],
        remote: Remote = "origin",
        tags: Annotated[bool, Field(description="All tags too.")] = False,
        prune: Annotated[bool, Field(description="Forget branches that are gone there.")] = False,
    ) -> Fetched:
        """Bring the remote-tracking branches up to date; nothing is merged."""
        async with self._desk.transfer(repo) as git:
            return await self._desk.transfers.fetch(git, remote, ctx, tags=tags, prune=prune)

    async def git_pull(
        self,
        repo: Repo,
        ctx: Context[Any, Any],
        remote: Remote = "origin",
        branch: Annotated[
            str | None, Field(description="The remote's branch; default: the current one's name.")
        ] = None,
        strategy: Annotated[Strategy, Field(description="As for git_merge.")] = "ff-only",
    ) -> Joined:
        """Fetch, then merge the remote's branch into the current one. With conflicts nothing is merged."""
        async with self._desk.transfer(repo) as git:
            name = branch or (await writing.head(git)).branch
            if name is None:
                raise InputError("HEAD is detached, so there is no branch to pull", "Name a branch, or switch to one.")
            await self._desk.transfers.fetch(git, remote, ctx)
            return await writing.merge(git, f"refs/remotes/{remote}/{name}", strategy)

    async def git_push(
        self,
        repo: Repo,
        branch: BranchName,
        ctx: Context[Any, Any],
        remote: Remote = "origin",
        set_upstream: Annotated[bool, Field(description="Make it the branch's upstream.")] = False,
        force: Annotated[
            bool, Field(description="Replace what is there, if it is still what the last fetch saw. Often not allowed.")
        ] = False,
    ) -> Pushed:
        """Send a branch to a remote, under its own name."""
        if force and not self._allow_force:
            raise InputError("force pushes are not allowed on this server", "Merge or rebase, and push without force.")
        async with self._desk.transfer(repo) as git:
            return await self._desk.transfers.push(git, remote, branch, ctx, force=force, set_upstream=set_upstream)
