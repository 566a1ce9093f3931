"""A repository on this host, which is only read, and whose configuration is not trusted."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.git.program import Git, GitError
from mcp_servers.git.remote import short_name
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import InputError

_STATUS_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Local:
    """`git` works in the repository itself: ask it for names only. `checkout` is None for a bare one."""

    path: Path
    git: Git
    objects: Path
    index: Path
    excludes: Path
    checkout: Path | None

    async def resolve(self, ref: str | None) -> tuple[str, str]:
        """The commit that `ref` (None: HEAD) means, and the short name of the branch or tag. `ref` is no option."""
        try:
            oid = await self.git.text("rev-parse", "--verify", "--quiet", f"{ref or 'HEAD'}^{{commit}}")
        except GitError as error:
            raise await self._unknown(ref) from error
        return oid, short_name(await self.git.text("rev-parse", "--symbolic-full-name", ref or "HEAD"))

    async def _unknown(self, ref: str | None) -> InputError:
        if not await self.git.text("for-each-ref", "--count=1"):
            return InputError(f"{self.path} has no commits yet", "Commit something first.")
        if ref is None:
            return InputError(f"what is checked out in {self.path} has no commits yet", "Commit, or name a base.")
        return InputError(f"{self.path} has no commit {ref}", "Name a branch, a tag or a commit: git branch -a.")


async def find(path: Path) -> Local:
    """The repository that `path` is or is in. `InputError` if there is none."""
    path = await in_thread(lambda stop: path.absolute())
    if not await in_thread(lambda stop: path.is_dir()):
        raise InputError(f"{path} is not a directory", "Name a directory in a git repository, or its URL.")
    here = Git(cwd=path)
    try:
        directory = Path(await here.text("rev-parse", "--absolute-git-dir"))
    except GitError as error:
        if "not a git repository" in error.message:
            raise InputError(f"{path} is not in a git repository", "Run git init there and commit.") from error
        raise
    git = Git(directory)

    async def place(name: str) -> Path:
        return Path(await git.text("rev-parse", "--path-format=absolute", "--git-path", name))

    checkout = await _checkout(here, directory)
    return Local(path, git, await place("objects"), await place("index"), await place("info/exclude"), checkout)


async def _checkout(here: Git, directory: Path) -> Path | None:
    """The directory that is checked out into; not what a configuration claims it to be (`core.worktree`)."""
    try:
        top = Path(await here.text("rev-parse", "--show-toplevel"))
        if Path(await Git(cwd=top).text("rev-parse", "--absolute-git-dir")) == directory:
            return top
    except GitError:
        pass  # bare, or inside .git
    return None


async def count_changes(local: Local, borrowing: Git) -> int:
    """Changed, staged and untracked paths (an untracked directory counts once); 0 for a bare repository.

    Judged in `borrowing`, our own repository with the same objects, on a copy of the index: there no filter, hook or
    monitor is configured, and submodules, which have configurations of their own, are not entered.
    """
    if local.checkout is None or borrowing.directory is None:
        return 0
    try:
        head, _ = await local.resolve(None)
    except InputError:
        return 0
    directory = borrowing.directory
    await in_thread(lambda stop: _lend(local, directory, head))
    status = directory / "status"
    judging = Git(directory, local.checkout, directory / "index", cwd=local.checkout, timeout=_STATUS_SECONDS)
    options = ("--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=all")
    await judging.run("-c", "core.bare=false", "status", *options, stdout=status)
    return await in_thread(lambda stop: _count(status, stop))


def _lend(local: Local, directory: Path, head: str) -> None:
    (directory / "HEAD").write_text(f"{head}\n", "ascii")
    try:
        if local.index.exists():
            shutil.copy2(local.index, directory / "index")
        for shared in local.index.parent.glob("sharedindex.*"):
            shutil.copy2(shared, directory / shared.name)
        if local.excludes.is_file():
            shutil.copyfile(local.excludes, directory / "info" / "exclude")
    except OSError as error:
        raise GitError(f"the index of {local.path} can't be read: {error}", "Does git status work there?") from error


def _count(status: Path, stop: Stop) -> int:
    count = 0
    with status.open("rb") as entries:
        while block := entries.read(1 << 20):
            stop.check()
            count += block.count(b"\0")
    return count
