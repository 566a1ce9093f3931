"""A round of `agent`: snapshots alone, of a working tree of which one file was changed since the one before: by a
command, so that any could be, or by a tool, so that it is known which. Durable as
for an agent: commits and packs are in the run's repository and in the artifact store when a snapshot is taken."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Collection
from pathlib import Path

from benchmarks.agent_ground import WARM, installation, repository
from benchmarks.measuring import in_round, percentile, report
from mcp_servers.git.workspace.repository import RunRepository
from mcp_servers.git.workspace.worktree import Worktree
from orchestrator.cli.compose import pin_repository

_AT_REST = 3.0
"""Seconds: what changed shortly before is looked at more closely."""


async def _timed(tree: Worktree, changed: int, only: Collection[bytes] | None = None) -> float:
    start = time.perf_counter()
    taken = await tree.snapshot(only)
    took = 1000 * (time.perf_counter() - start)
    assert (taken.changed, bool(taken.packed)) == (changed, bool(changed)), taken
    return took


async def _round(directory: Path, snapshots: int, files: int) -> dict[str, float]:
    source = repository(directory, files)
    async with installation(directory) as (house, _):
        pinned, _ = await pin_repository(house.artifacts, directory, str(source), None, None)
        here = await RunRepository.open(
            directory / "repositories" / "run", pinned.oid, pinned.artifact, house.artifacts
        )
        tree = await Worktree.create(here, pinned.oid, directory / "tree")
        paths = sorted(path for path in tree.directory.rglob("*") if path.is_file())
        assert len(paths) == files, len(paths)
        await asyncio.sleep(_AT_REST)
        first = await _timed(tree, 0)
        chosen, took, known = random.Random(1), list[float](), list[float]()
        for number in range(WARM + snapshots):
            for times in (took, known):
                path = chosen.choice(paths)
                with path.open("a") as file:
                    file.write(f"{number}\n")
                only = {os.fsencode(path.relative_to(tree.directory))} if times is known else None
                times.append(await _timed(tree, 1, only))
    return {
        "p50": percentile(took[WARM:], 0.5),
        "p95": percentile(took[WARM:], 0.95),
        "known": percentile(known[WARM:], 0.5),
        "first": first,
    }


def main() -> None:
    """Its side of `measuring.one_round`."""
    directory, options = in_round()
    report(asyncio.run(_round(directory, int(options["snapshots"]), int(options["files"]))))


if __name__ == "__main__":
    main()
