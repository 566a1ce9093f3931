"""A round of `agent`: Atlas itself, with a model that answers at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.agent_ground import InstantModel, InstantModels, installation, repository, submitted, until_worked
from benchmarks.measuring import Stopwatch, in_round, report
from orchestrator.executors.roles import WithRoles


async def _round(directory: Path, agents: int, steps: int, files: int, *, writes: bool) -> dict[str, float]:
    source = repository(directory, files)
    model = InstantModel(steps, writes)
    async with installation(directory) as (house, shop):
        for executor in shop.executors.values():
            with_roles = getattr(executor, "house", None)
            if isinstance(with_roles, WithRoles):
                with_roles.models = InstantModels(model)
        run = await submitted(house, source, agents)
        worker = shop.worker(house, placement="queue", slots=agents)
        watch = Stopwatch()
        working = asyncio.create_task(worker.run())
        await until_worked(house, run)
        cpu = watch.read()[1]
        await worker.drain(0)
        await working
    median, share = model.per_step()
    return {"median": median, "share": share, "cpu": 1000 * cpu / (agents * steps)}


def main() -> None:
    """Its side of `measuring.one_round`."""
    directory, options = in_round()
    agents, steps, files = (int(options[name]) for name in ("agents", "steps", "files"))
    report(asyncio.run(_round(directory, agents, steps, files, writes=bool(options["writes"]))))


if __name__ == "__main__":
    main()
