"""A round of `agent`: Atlas itself. Its model answers at once: in the process, or at the `server` that a round is
given, asked by the product's adapter for Anthropic's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from benchmarks.agent_ground import (
    InstantModel,
    InstantModels,
    installation,
    per_step,
    repository,
    submitted,
    until_worked,
)
from benchmarks.agent_server import model_of, talks
from benchmarks.measuring import Stopwatch, in_round, report
from orchestrator.cli.compose import Workshop
from orchestrator.executors.roles import WithRoles


async def _round(directory: Path, options: Mapping[str, str | float]) -> dict[str, float]:
    agents, steps, files = (int(options[name]) for name in ("agents", "steps", "files"))
    server = str(options.get("server", ""))
    source = repository(directory, files)
    model = InstantModel(steps, bool(options["writes"]))
    if server:
        os.environ |= {
            "ANTHROPIC_API_KEY": "none", "ANTHROPIC_BASE_URL": server, "ATLAS_MODELS": f"anthropic/{model_of(steps)}",
        }  # fmt: skip
    async with installation(directory) as (house, shop):
        if not server:
            _give(shop, model)
        run = await submitted(house, source, agents)
        worker = shop.worker(house, placement="queue", slots=agents)
        watch = Stopwatch()
        working = asyncio.create_task(worker.run())
        await until_worked(house, run)
        cpu = watch.read()[1]
        await worker.drain(0)
        await working
    found = per_step(talks(server), agents, steps) if server else model.per_step(agents)
    return found | {"cpu": 1000 * cpu / (agents * steps)}


def _give(shop: Workshop, model: InstantModel) -> None:
    for executor in shop.executors.values():
        with_roles = getattr(executor, "house", None)
        if isinstance(with_roles, WithRoles):
            with_roles.models = InstantModels(model)


def main() -> None:
    """Its side of `measuring.one_round`."""
    directory, options = in_round()
    report(asyncio.run(_round(directory, options)))


if __name__ == "__main__":
    main()
