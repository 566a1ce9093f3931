"""Fetching one commit from a URL, into a repository of our own. https and ssh only: no helpers, no plain http."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from mcp_servers.git.bare import make_bare, object_format
from mcp_servers.git.program import Git, GitError
from state.errors import InputError

_SCHEMES = ("https", "ssh")
_SCP_LIKE = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9][A-Za-z0-9.-]*:(?!//).+")
_HELPER = re.compile(r"[A-Za-z0-9+.-]+::")
_OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"[^~^:?*\\[\\\\\s+][^~^:?*\\[\\\\\s]*")
_TARGET = "refs/atlas/pinned"
_SECONDS = 1800.0
INHERITED = (
    *("SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"),
)
"""Of the worker's environment: how to reach and trust a server, and an agent's keys. Nothing that names a program."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A repository that is reached over the network."""

    url: str
    scheme: str


def remote_of(repo: str) -> Remote | None:
    """None for a local repository: a path, or a ``file://`` URL. `InputError` for what is never fetched from."""
    if repo.startswith("/") and "\0" not in repo:
        return None
    if not repo or repo.startswith("-") or not repo.isprintable():
        raise InputError(f"{repo[:100]!r} is not a repository", "Write a path or a URL.")
    scheme, separator, _ = repo.partition("://")
    if _HELPER.match(repo) or (separator and scheme not in ("file", *_SCHEMES)):
        raise InputError(f"{repo}: repositories are fetched over https and ssh only", "Or clone it, and name the path.")
    if separator:
        return None if scheme == "file" else Remote(repo, scheme)
    return Remote(repo, "ssh") if _SCP_LIKE.fullmatch(repo) else None


async def fetch(remote: Remote, ref: str | None, into: Path) -> tuple[Git, str, str]:
    """A new bare repository with the commit and nothing before it; its id; the short name of the branch or tag."""
    if ref is not None and not _REF.fullmatch(ref):
        raise InputError(f"{ref} can't be fetched", "Name a branch, a tag, or a commit by its full id.")
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    # Without a terminal there is nobody to ask; saying so makes ssh fail at once.
    reach = {"GIT_ALLOW_PROTOCOL": remote.scheme, "GIT_SSH_COMMAND": "ssh -o BatchMode=yes"}
    # In a repository of its own: one that happens to be above the current directory could redirect the URL.
    nowhere = into.with_name(f"{into.name}.asking")
    await make_bare(nowhere)
    asking = Git(nowhere, environment=inherited | reach, timeout=_SECONDS)
    name, oid = await _find(asking, remote, ref)
    git = await make_bare(into, object_format=object_format(oid))
    await _reach(
        Git(into, environment=asking.environment, timeout=_SECONDS),
        remote,
        *("fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"),
        *("--", remote.url, f"{name}:{_TARGET}"),
    )
    try:
        commit = await git.text("rev-parse", "--verify", "--quiet", f"{_TARGET}^{{commit}}")
    except GitError as error:
        raise InputError(f"{name} of {remote.url} is not a commit", "Name a branch, a tag or a commit.") from error
    return git, commit, short_name(name)


def short_name(ref: str) -> str:
    """Of a branch or tag; empty for anything else."""
    for prefix in ("refs/heads/", "refs/tags/", "refs/remotes/"):
        if ref.startswith(prefix):
            return ref.removeprefix(prefix)
    return ""


async def _find(asking: Git, remote: Remote, ref: str | None) -> tuple[str, str]:
    """The full name and the object of what `ref` means there."""
    if ref is not None and _OID.fullmatch(ref):
        return ref, ref
    answer = await _reach(asking, remote, "ls-remote", "--quiet", "--symref", "--", remote.url, ref or "HEAD")
    oids: dict[str, str] = {}
    names: dict[str, str] = {}
    for line in answer.decode("utf-8", "replace").splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: "):
            names[name] = value.removeprefix("ref: ")
        else:
            oids[name] = value
    if ref is None:
        if "HEAD" not in oids:
            raise InputError(f"{remote.url} has no default branch with a commit", "Name a branch, or push one first.")
        return names.get("HEAD", "HEAD"), oids["HEAD"]
    for name in (ref, f"refs/{ref}", f"refs/tags/{ref}", f"refs/heads/{ref}"):
        if name in oids:
            return name, oids[name]
    raise InputError(f"{remote.url} has no branch or tag {ref}", "Name a branch, a tag, or a commit by its full id.")


async def _reach(git: Git, remote: Remote, *arguments: str) -> bytes:
    try:
        return await git.run(*arguments)
    except GitError as error:
        error.hint = error.hint or (
            f"Can this user read {remote.url}? Keys come from the ssh agent or ~/.ssh; for https with a password, "
            "clone it and name the clone's path."
        )
        raise
