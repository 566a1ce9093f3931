"""Merging without a working tree, in a bare repository: no ``.gitattributes`` has a say there."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from mcp_servers.git.program import Git, GitError
from mcp_servers.git.workspace.differences import patch
from mcp_servers.git.workspace.results import Conflict, Merged, listed
from mcp_servers.git.workspace.together import both
from state.limits import DIFF_BYTES

MakeCommit = Callable[[str, str], Awaitable[str]]
"""(tree, parent) to the commit"""
_OID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
_CLEAN, _CONFLICT = 0, 1
_ARGUMENTS = 200
"""Conflicting paths that are shown as patches."""


async def merge(git: Git, head: str, commit: str, make: MakeCommit) -> Merged | Conflict:
    """The three-way merge of `commit` onto `head`, as one commit with no other parent, which `make` makes."""
    # git says no more of an id that it does not know than of a conflict
    tree = await _tree(git, head, commit)
    options = ("--write-tree", "-z", "--name-only", "--no-messages")
    said = await git.answer("merge-tree", *options, head, commit, codes=(_CLEAN, _CONFLICT))
    merged, *paths = said.out.split(b"\0")
    if not _OID.fullmatch(merged):
        raise said.error("merge-tree")
    if said.code == _CONFLICT:
        return await _conflict(git, head, commit, [path for path in paths if path])
    if merged.decode("ascii") == tree:
        return Merged(head, tree, unchanged=True)
    return Merged(await make(merged.decode("ascii"), head), merged.decode("ascii"))


async def _tree(git: Git, head: str, commit: str) -> str:
    asked = "".join(f"{name}\n" for name in (f"{head}^{{tree}}", f"{head}^{{commit}}", f"{commit}^{{commit}}"))
    said = (await git.run("cat-file", "--batch-check", stdin=asked.encode())).decode().splitlines()
    for name, answer in zip((head, head, commit), said, strict=True):
        if answer.endswith("missing"):
            raise GitError(f"the commit {name} is not here", "Bring its packs first.")
    return said[0].split(" ")[0]


async def _conflict(git: Git, head: str, commit: str, paths: list[bytes]) -> Conflict:
    base = await git.text("merge-base", head, commit)
    some = paths[:_ARGUMENTS]
    (ours, _), (theirs, _) = await both(
        patch(git, base, head, DIFF_BYTES, some), patch(git, base, commit, DIFF_BYTES, some)
    )
    return Conflict(listed(paths), ours, theirs)
