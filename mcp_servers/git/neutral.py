"""A person's repository, worked in with nothing of its configuration that could run something or reach out.

`program.SAFE` overrides what has a fixed name. What has a name of the repository's own choosing (filters, merge and
diff drivers, rewritten URLs) is looked up and overridden one by one; the look is kept until a configuration file
changes. Attributes stay in force, so that content is stored as its repository wants it, but for filters: with none to
run, files under one (Git LFS) are seen and stored as they lie there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mcp_servers.git.confinement import Repository
from mcp_servers.git.entries import SETTLED_NS, Entries, IndexStamp, index_stamp
from mcp_servers.git.program import SAFE, Git
from mcp_servers.storage.threads import in_thread
from state.errors import InputError

_FAMILIES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"filter\..*\.(clean|smudge|process)", re.DOTALL), ""),
    (re.compile(r"filter\..*\.required", re.DOTALL), "false"),
    # what git does by itself, where an empty command would pass for a merge that went well
    (re.compile(r"merge\..*\.driver", re.DOTALL), "git merge-file --quiet --marker-size=%L %A %O %B"),
    (re.compile(r"diff\..*\.(command|textconv)", re.DOTALL), ""),
    (re.compile(r"remote\..*\.uploadpack", re.DOTALL), "git-upload-pack"),
    (re.compile(r"remote\..*\.receivepack", re.DOTALL), "git-receive-pack"),
    (re.compile(r"remote\..*\.proxy", re.DOTALL), ""),
    (re.compile(r"gpg\..*\.program", re.DOTALL), "false"),
    (re.compile(r"pager\..*", re.DOTALL), "false"),
    (re.compile(r"hook\..*\.command", re.DOTALL), "true"),
    (re.compile(r"branch\..*\.mergeoptions", re.DOTALL), ""),  # -F reads a message from any file
)
_REWRITTEN = re.compile(
    r"url\..*\.(insteadof|pushinsteadof)"
    r"|remote\.(.*\.vcs|.*:.*\.(url|pushurl))"  # a remote may be named like a URL, and then takes its place
    r"|(fetch|transfer)\.bundleuri|fetch\.fsck\.skiplist"  # the latter quotes any file that it can't read
    r"|http\.(.*\.)?(proxy.*|sslverify|sslca.*|sslcert.*|sslkey|cookiefile|savecookies|curloptresolve)",
    re.DOTALL | re.IGNORECASE,
)
_CONDITIONAL = re.compile(r"includeif\..*\.path", re.DOTALL | re.IGNORECASE)
_KEPT = 256
"""Repositories whose look is remembered."""

ConfigurationStamp = tuple[tuple[int, int, int] | None, ...]


@dataclass(frozen=True, slots=True)
class Stamps:
    """They change with what a look at a repository depends on."""

    configuration: ConfigurationStamp
    index: IndexStamp

    @staticmethod
    def of(repository: Repository) -> Stamps:
        """As it is now; blocks."""
        configuration = tuple(_stamp(path) for path in _configuration(repository))
        return Stamps(configuration, index_stamp(repository.directory) if repository.work_tree else ())


@dataclass(frozen=True, slots=True)
class Looked:
    """What a repository's configuration holds that must not count. `rewrites` are settings that would send a transfer
    elsewhere, or have it made by another program; `conditions` are includes that may count later."""

    overrides: dict[str, str] = field(default_factory=dict[str, str])
    rewrites: list[str] = field(default_factory=list[str])
    conditions: list[str] = field(default_factory=list[str])
    work_tree: bool = False
    """Whether it says where the work tree is."""


class Neutral:
    """Makes `Git` for repositories that `confinement` has judged."""

    def __init__(self) -> None:
        self._looks: dict[Path, tuple[ConfigurationStamp, Looked]] = {}
        self._entries = Entries()

    async def git(
        self,
        repository: Repository,
        *,
        timeout: float = 600.0,
        entering: Sequence[Repository] = (),
        stamps: Stamps | None = None,
    ) -> Git:
        """To call git in this repository, from the top of its work tree. `entering`: others that it will work in.
        `stamps`: of the repository, when they are known."""
        overrides = await self._overrides(repository, timeout, stamps)
        for each in entering:
            overrides = {**overrides, **await self._overrides(each, timeout, None)}
        return _git(repository, overrides, timeout)

    async def _overrides(self, repository: Repository, timeout: float, stamps: Stamps | None) -> dict[str, str]:
        seen = stamps or await in_thread(lambda stop: Stamps.of(repository))
        looked = await self._look(repository, seen.configuration)
        _refuse_surprises(repository, looked)
        if repository.work_tree:
            git = _git(repository, looked.overrides, timeout)
            await self._entries.check(git, repository.directory, seen.index)
        return looked.overrides

    async def refuse_rewrites(self, repository: Repository) -> None:
        """Before a transfer: `InputError` when the configuration would have it go elsewhere."""
        seen = await in_thread(lambda stop: Stamps.of(repository))
        if rewrites := (await self._look(repository, seen.configuration)).rewrites:
            raise InputError(
                f"refused: the repository's configuration has {rewrites[0]}, which sends transfers elsewhere",
                "Remove it from .git/config; if it is a URL, name the real one there.",
            )

    async def _look(self, repository: Repository, stamp: ConfigurationStamp) -> Looked:
        """Read the configuration, unless it is as it was."""
        if (kept := self._looks.get(repository.directory)) and kept[0] == stamp:
            return kept[1]
        git = Git(repository.directory, cwd=repository.directory, environment=_places(repository), settings=SAFE)
        listing = await git.run("config", "--list", "-z", "--show-origin", "--includes")
        looked, origins = _looked(listing.decode("utf-8", "surrogateescape"), repository.directory)
        changed = max((each[1] for each in stamp if each), default=0)
        # what it includes could change, or come to be, without our noticing
        alone = origins <= set(_configuration(repository)) and b"\0include.path\n" not in listing
        if alone and time.time_ns() - changed > SETTLED_NS:
            if len(self._looks) >= _KEPT:
                self._looks.clear()
            self._looks[repository.directory] = (stamp, looked)
        return looked


def _configuration(repository: Repository) -> tuple[Path, Path]:
    return repository.common / "config", repository.directory / "config.worktree"


def _git(repository: Repository, overrides: Mapping[str, str], timeout: float) -> Git:
    return Git(
        repository.directory,
        repository.work_tree,
        cwd=repository.work_tree or repository.directory,
        environment=_variables(overrides) | _places(repository),
        timeout=timeout,
        settings=(*SAFE, "core.untrackedCache=false"),  # it lies in the index, and names directories to list
        patience=1.0,
    )


def _refuse_surprises(repository: Repository, looked: Looked) -> None:
    """`InputError` for a configuration that may be another by the time that git obeys it, or leads elsewhere."""
    if looked.conditions:
        raise InputError(
            f"refused: the configuration of {repository.directory} includes files on a condition",
            "Include them without one, or remove the includeIf.",
        )
    if looked.work_tree and repository.work_tree is None:
        raise InputError(
            f"refused: {repository.directory} has a work tree elsewhere (core.worktree)", "Name the work tree instead."
        )


def _looked(listing: str, directory: Path) -> tuple[Looked, set[Path]]:
    """(what must not count, the files that say so)"""
    looked = Looked()
    origins: set[Path] = set()
    fields = listing.split("\0")
    for origin, setting in zip(fields[::2], fields[1::2], strict=False):
        if not origin.startswith("file:"):
            continue
        origins.add(directory / origin.removeprefix("file:"))
        key = setting.partition("\n")[0]
        for family, harmless in _FAMILIES:
            if family.fullmatch(key):
                looked.overrides[key] = harmless
        if _REWRITTEN.fullmatch(key):
            looked.rewrites.append(key)
        if _CONDITIONAL.fullmatch(key):
            looked.conditions.append(key)
    return replace(looked, work_tree="\0core.worktree\n" in listing), origins


def _places(repository: Repository) -> dict[str, str]:
    """Variables that tell git what it would else read from files."""
    places = {"GIT_COMMON_DIR": str(repository.common)} if repository.common != repository.directory else {}
    return places if repository.work_tree else places | {"GIT_IMPLICIT_WORK_TREE": "0"}


def _variables(overrides: Mapping[str, str]) -> dict[str, str]:
    """As variables: ``-c`` would take a name with a ``=`` in it apart at the wrong place."""
    environment = {"GIT_CONFIG_COUNT": str(len(overrides))}
    for number, (key, value) in enumerate(overrides.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = key
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns, status.st_size  # no program can set a ctime
