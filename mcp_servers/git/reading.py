"""Looking at a repository: nothing here changes it, nor the index. `Git` comes from `neutral`.

Revisions and paths are never taken for options: what `naming` lets through, and paths come after ``--`` and stand for
themselves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mcp_servers.git.naming import inside, refuse_link, refuse_links, revision
from mcp_servers.git.porcelain import (
    COMMIT,
    ahead_behind,
    parsed_blame,
    parsed_commits,
    parsed_status,
    parsed_worktrees,
)
from mcp_servers.git.program import Git, GitError
from mcp_servers.git.results import (
    Blame,
    Branch,
    Branches,
    Log,
    Stash,
    Stashes,
    Status,
    Tag,
    Tags,
    Worktrees,
)
from mcp_servers.paging import Text, fitting, position, text_page
from state.errors import InputError
from state.limits import TOOL_RESULT_BYTES

Compared = Literal["unstaged", "staged", "all"]

PLAIN_DIFF = (
    "--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty", "--submodule=short",
    "--src-prefix=a/", "--dst-prefix=b/", "--no-relative", "--find-renames",
)  # fmt: skip
_UNFINISHED = {
    "MERGE_HEAD": "merge", "rebase-merge": "rebase", "rebase-apply": "rebase", "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert", "BISECT_LOG": "bisect",
}  # fmt: skip
_BLAMED = 2_000
"""Lines that one page of blame looks at."""
_CURSOR = re.compile(r"([0-9a-f]{40,64}):([0-9]{1,9})")


async def status(git: Git, *, untracked: bool = True, cursor: str | None = None) -> Status:
    """The branch, what is unfinished, and every path that is not as committed."""
    listing = await git.run(
        "status", "--porcelain=v2", "-z", "--branch", "--ignore-submodules=dirty", "--find-renames",
        "--untracked-files=all" if untracked else "--untracked-files=no",
    )  # fmt: skip
    facts, changes = parsed_status(listing.decode("utf-8", "surrogateescape"))
    start = position(cursor)
    rest = changes[start:]
    count = fitting(rest)
    ahead, behind = ahead_behind(facts.get("branch.ab", ""))
    branch, commit = facts.get("branch.head"), facts.get("branch.oid")
    return Status(
        branch=None if branch == "(detached)" else branch,
        commit=None if commit == "(initial)" else commit,
        upstream=facts.get("branch.upstream"),
        ahead=ahead,
        behind=behind,
        in_progress=unfinished(git.directory),
        clean=not changes,
        changes=rest[:count],
        **_rest(start + count, len(changes), "changed paths"),
    )


async def diff(
    git: Git,
    compared: Compared = "unstaged",
    revisions: Sequence[str] = (),
    paths: Sequence[str] = (),
    *,
    context: int = 3,
    summary: bool = False,
    cursor: str | None = None,
) -> Text:
    """A unified diff, or its summary; with `revisions`, between those (one: against the working tree)."""
    chosen = [revision(each) for each in revisions]
    if not chosen:
        chosen = {"unstaged": [], "staged": ["--cached"], "all": ["HEAD"]}[compared]
    shape = ("--stat=120",) if summary else (f"--unified={context}",)
    return await _text(git, cursor, "diff", *PLAIN_DIFF, *shape, *chosen, "--", *inside(git, paths))


async def log(
    git: Git,
    of: str = "HEAD",
    paths: Sequence[str] = (),
    *,
    filters: Sequence[str] = (),
    limit: int = 20,
    cursor: str | None = None,
) -> Log:
    """Commits reachable from `of`. A later page goes on where the first one was, whatever was committed since."""
    skip = 0
    if cursor is not None:
        if (match := _CURSOR.fullmatch(cursor)) is None:
            raise InputError(f"{cursor[:80]!r} is not a cursor of git_log", "Pass the next_cursor of the page before.")
        of, skip = match[1], int(match[2])
    try:
        out = await git.run(
            "log", "-z", f"--format=format:{COMMIT}", "--encoding=UTF-8", "--no-mailmap", "--no-show-signature",
            f"--max-count={limit + 1}", f"--skip={skip}", *filters, revision(of), "--",
            *inside(git, paths),
        )  # fmt: skip
    except GitError:
        if of == "HEAD" and await _unborn(git):
            return Log(commits=[])
        raise
    commits = parsed_commits(out.decode("utf-8", "replace"))
    shown = commits[: min(limit, fitting(commits))]
    if len(shown) == len(commits):
        return Log(commits=shown)
    first = match[1] if cursor is not None and (match := _CURSOR.fullmatch(cursor)) else await _pinned(git, of)
    after = f"{first}:{skip + len(shown)}" if first else None
    return Log(commits=shown, next_cursor=after, note="There are more commits." if after else _NO_CURSOR)


_KNOWN = 16
_ANEW = "Begin anew, without a cursor."
_NO_CURSOR = "There are more commits. For a range, ask for a larger max_count or a narrower range."


async def _pinned(git: Git, of: str) -> str | None:
    """The commit that a page's cursor is bound to; None for a range."""
    said = await git.answer("rev-parse", "--verify", "--quiet", f"{of}^{{commit}}", codes=(0, 1, 128))
    return said.out.decode().strip() if said.code == 0 else None


async def show(git: Git, what: str, *, cursor: str | None = None) -> Text:
    """A commit with its diff, a tag, a tree, or (``revision:path``) a file as it was."""
    shape = ("--format=fuller", "--encoding=UTF-8", "--no-mailmap", "--no-show-signature")
    text = await _text(git, cursor, "show", *PLAIN_DIFF, *shape, revision(what), "--")
    if "\0" in text.text:
        raise GitError(f"{what} is binary", "Ask git_log or git_diff with a summary about it.")
    return text


async def blame(
    git: Git, path: str, of: str | None = None, *, first: int = 1, last: int | None = None, cursor: str | None = None
) -> Blame:
    """Who wrote each line of a file, in which commit."""
    [path] = inside(git, [path])
    if not of:
        refuse_link(git, [path])
    start = position(cursor) or first
    end = min(start + _BLAMED, last + 1) if last else start + _BLAMED
    where = [revision(of)] if of else []
    said = await git.answer(
        "blame", "--line-porcelain", "--no-progress", "--no-textconv", "--no-ignore-revs-file",
        f"-L{start},{end - 1}", *where, "--", path, codes=(0, 128),
    )  # fmt: skip
    if said.code and not (cursor and b"has only" in said.err):
        raise said.error("blame")
    found = parsed_blame(said.out.decode("utf-8", "replace"))
    count = fitting(found)
    more = count < len(found) or (len(found) == end - start and end - 1 != last)
    after = str(start + count) if more else None
    return Blame(lines=found[:count], next_cursor=after, note="There may be more lines." if after else None)


async def grep(
    git: Git,
    pattern: str,
    of: str | None = None,
    paths: Sequence[str] = (),
    *,
    regex: bool = True,
    ignore_case: bool = False,
    cursor: str | None = None,
) -> Text:
    """Lines of tracked files that match: ``path:line:text``. Binary files are left out."""
    flags = ["--extended-regexp" if regex else "--fixed-strings", *(["--ignore-case"] if ignore_case else [])]
    where, paths = [revision(of)] if of else [], inside(git, paths)
    if not where:
        await refuse_links(git, paths)
    return await _text(
        git, cursor, "grep", "-n", "-I", "--no-color", "--full-name", "--no-textconv", "--no-recurse-submodules",
        *flags, "-e", pattern, *where, "--", *paths, codes=(0, 1),
    )  # fmt: skip


async def branches(git: Git, *, remote: bool = False, cursor: str | None = None) -> Branches:
    """Local branches; with `remote`, remote-tracking ones too."""
    places = ("refs/heads", "refs/remotes") if remote else ("refs/heads",)
    names = ("refname", "objectname", "HEAD", "upstream:short", "contents:subject", "symref")
    rows = await _refs(git, names, places, "refname")
    found = [
        Branch(
            name=name.removeprefix("refs/heads/").removeprefix("refs/remotes/"), commit=commit, subject=subject,
            upstream=upstream or None, current=head == "*", remote=name.startswith("refs/remotes/"),
        )
        for name, commit, head, upstream, subject, symbolic in rows
        if not symbolic
    ]  # fmt: skip
    start = position(cursor)
    count = fitting(found[start:])
    return Branches(branches=found[start : start + count], **_rest(start + count, len(found), "branches"))


async def tags(git: Git, *, cursor: str | None = None) -> Tags:
    """All tags."""
    names = ("refname:lstrip=2", "objectname", "*objectname", "contents:subject")
    rows = await _refs(git, names, ("refs/tags",), "-creatordate")
    found = [
        Tag(name=name, commit=peeled or direct, annotated=bool(peeled), subject=subject)
        for name, direct, peeled, subject in rows
    ]
    start = position(cursor)
    count = fitting(found[start:])
    return Tags(tags=found[start : start + count], **_rest(start + count, len(found), "tags"))


async def worktrees(git: Git) -> Worktrees:
    """The main one first."""
    listing = await git.run("worktree", "list", "--porcelain", "-z")
    return Worktrees(worktrees=parsed_worktrees(listing.decode("utf-8", "replace")))


async def stashes(git: Git) -> Stashes:
    """The newest first."""
    out = await git.text("stash", "list", "-z", "--format=format:%H%x00%cI%x00%gs")
    fields = out.split("\0") if out else []
    rows = [fields[at : at + 3] for at in range(0, len(fields), 3)]
    return Stashes(
        stashes=[Stash(index=n, commit=commit, made=made, message=text) for n, (commit, made, text) in enumerate(rows)]
    )


async def _text(git: Git, cursor: str | None, *arguments: str, codes: Sequence[int] = (0,)) -> Text:
    """A page. Its cursor knows what came before, so that a page of something else is never taken for the next."""
    end, _, known = (cursor or "").partition(".")
    start = position(end or None)
    stretch = await git.page(*arguments, start=start, size=TOOL_RESULT_BYTES, codes=codes)
    if start and stretch.before.hexdigest()[:_KNOWN] != known:
        raise InputError("this is not what the page before was of: it has changed, or was asked for otherwise", _ANEW)
    page = text_page(stretch.data, start, more=stretch.more)
    if page.next_cursor:
        stretch.before.update(stretch.data[: int(page.next_cursor) - start])
        page.next_cursor = f"{page.next_cursor}.{stretch.before.hexdigest()[:_KNOWN]}"
    return page


async def _unborn(git: Git) -> bool:
    """Whether there is no commit yet where the next one will go."""
    symbolic = await git.answer("symbolic-ref", "--quiet", "HEAD", codes=(0, 1))
    if symbolic.code:
        return False
    ref = symbolic.out.decode("utf-8", "surrogateescape").strip()
    return bool((await git.answer("show-ref", "--verify", "--quiet", ref, codes=(0, 1))).code)


async def _refs(git: Git, names: Sequence[str], places: Sequence[str], order: str) -> list[list[str]]:
    pattern = "%00".join(f"%({name})" for name in names)
    out = await git.run("for-each-ref", f"--format={pattern}", f"--sort={order}", *places)
    return [line.split("\0") for line in out.decode("utf-8", "replace").splitlines()]


def _rest(end: int, total: int, things: str) -> dict[str, str | None]:
    if end >= total:
        return {"next_cursor": None, "note": None}
    return {"next_cursor": str(end), "note": f"{end:,} of {total:,} {things}; pass next_cursor for more."}


def unfinished(directory: Path | None) -> list[str]:
    """The operations that stopped half-way in a git directory."""
    if directory is None:
        return []
    there = os.listdir(directory)  # noqa: PTH208  one look for all
    return sorted({name for mark, name in _UNFINISHED.items() if mark in there})
