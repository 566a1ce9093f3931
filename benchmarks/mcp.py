"""Git tools over MCP: round trips and calls a second, beside the reference server in the same round.

Client and server share the machine's cores, as they do at a person's desk. The machine's noise falls on both.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from mcp import Client, StdioServerParameters

from benchmarks.machine import until_quiet, yardstick
from benchmarks.measuring import RoundFailed, percentile, scratch
from benchmarks.reporting import Figure, Goal
from mcp_servers.git.server import git_server
from mcp_servers.manners import Policy

CALLS = 200
WARM_UP = 10
IN_FLIGHT = 16
COMMITS, FILES = 20, 5
_BIN = Path(sys.executable).parent

GOALS = [
    Goal("atlas / reference", "status over stdio, 1 in flight: p50", at_most=1.0),
    Goal("atlas / reference", "status over stdio, 16 in flight: calls/s", at_least=2.0),
    Goal("atlas", "tools/list in memory: p50", at_most=0.3),
]


@dataclass(slots=True)
class Round:
    """Of one server and tool: milliseconds of single calls, and calls a second with 16 in flight."""

    milliseconds: list[float] = field(default_factory=list[float])
    per_second: list[float] = field(default_factory=list[float])


TOOLS: dict[str, tuple[tuple[str, dict[str, object]], tuple[str, dict[str, object]]]] = {
    "status": (("git_status", {}), ("git_status", {})),
    "log": (("git_log", {"max_count": 10}), ("git_log", {"max_count": 10})),
    "diff": (("git_diff", {}), ("git_diff_unstaged", {})),
}
"""name -> (our tool and arguments, the reference's)"""


def measure(rounds: int) -> list[Figure]:
    """The servers in turn, each over stdio; then what the protocol itself costs in memory."""
    with scratch() as directory:
        repo = _repository(directory / "repo")
        return asyncio.run(_measure(rounds, repo))


async def _measure(rounds: int, repo: Path) -> list[Figure]:
    found = {(system, name): Round() for name in TOOLS for system in ("atlas", "reference")}
    listing: list[float] = []
    for _ in range(rounds):
        until_quiet()
        for system in ("atlas", "reference"):
            async with Client(_server(system, repo)) as client:
                for name, calls in TOOLS.items():
                    tool, arguments = calls[system == "reference"]
                    key = "repo_path" if system == "reference" else "repo"
                    await _play(client, tool, {key: str(repo), **arguments}, found[system, name])
        async with Client(git_server([repo], Policy())) as client:
            listing += await _one_by_one(client.list_tools)
    figures = [Figure("atlas", "tools/list in memory: p50", percentile(listing, 0.5), "ms")]
    for name in TOOLS:
        ours, theirs = _figures(found["atlas", name]), _figures(found["reference", name])
        for metric, unit in (("1 in flight: p50", "ms"), ("1 in flight: p99", "ms"), ("16 in flight: calls/s", "1/s")):
            label = f"{name} over stdio, {metric}"
            figures.append(Figure("atlas", label, ours[metric], unit))
            figures.append(Figure("reference", label, theirs[metric], unit))
            figures.append(Figure("atlas / reference", label, ours[metric] / theirs[metric], "times"))
    return [*figures, *yardstick()]


def _figures(found: Round) -> dict[str, float]:
    return {
        "1 in flight: p50": percentile(found.milliseconds, 0.5),
        "1 in flight: p99": percentile(found.milliseconds, 0.99),
        "16 in flight: calls/s": max(found.per_second),
    }


def _server(system: str, repo: Path) -> StdioServerParameters:
    if system == "atlas":
        return StdioServerParameters(command=str(_BIN / "atlas"), args=["mcp", "git", "--root", str(repo)])
    return StdioServerParameters(command=str(_BIN / "mcp-server-git"), args=["--repository", str(repo)])


async def _play(client: Client, tool: str, arguments: dict[str, object], found: Round) -> None:
    async def once() -> None:
        if (result := await client.call_tool(tool, arguments)).is_error:
            raise RoundFailed(f"{tool} {arguments}: {result.content}")

    for _ in range(WARM_UP):
        await once()
    found.milliseconds += await _one_by_one(once)
    left = iter(range(CALLS))

    async def caller() -> None:
        for _ in left:
            await once()

    start = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(IN_FLIGHT)))
    found.per_second.append(CALLS / (time.perf_counter() - start))


async def _one_by_one(call: Callable[[], Awaitable[object]]) -> list[float]:
    times: list[float] = []
    for _ in range(CALLS):
        start = time.perf_counter()
        await call()
        times.append(1000 * (time.perf_counter() - start))
    return times


def _repository(repo: Path) -> Path:
    """A few files, some commits, one change that is not committed."""
    repo.mkdir()
    git = ["git", "-c", "user.name=B", "-c", "user.email=b@example.org", "-c", "init.defaultBranch=main"]

    def run(*arguments: str) -> None:
        subprocess.run([*git, *arguments], cwd=repo, check=True, capture_output=True)

    run("init", "--quiet")
    for commit in range(COMMITS):
        (repo / f"file {commit % FILES}").write_text(f"{commit}\n" * 50)
        run("add", ".")
        run("commit", "--quiet", "-m", f"commit {commit}")
    (repo / "file 0").write_text("changed\n" * 50)
    return repo
