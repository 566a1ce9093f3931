"""What the rounds of `agent` stand on: a repository, an installation as the command line composes it, and models that
answer at once."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from orchestrator.agents.models import Models
from orchestrator.cli import compose
from orchestrator.cli.compose import House, Workshop
from orchestrator.plan.reading import read_plan
from roles.models.port import ChatModel, Meter, Reply, Request, ToolCall, Usage
from roles.role import Duty
from state.records import QUEUE

WARM = 10
"""Steps of each agent that are not counted."""
_LOOK_SECONDS = 0.05
_WORKED = frozenset(("completed", "failed", "blocked"))


@dataclass
class InstantModel:
    """Asks for `steps` calls of a tool, one a turn, then says that it is done. `asked`: when, by conversation."""

    steps: int
    writes: bool
    name: str = "instant/model"
    maker: str = "instant"
    asked: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    async def reply(self, request: Request, meter: Meter) -> Reply:
        self.asked.setdefault(request.conversation or "", []).append(time.perf_counter())
        turn = sum(message.role == "assistant" for message in request.messages)
        return Reply((self.call(turn),), "tools", Usage(100, 0, 0, 10), self.name)

    def call(self, turn: int) -> ToolCall:
        """Of one turn."""
        if turn >= self.steps:
            return ToolCall(f"c{turn}", "done", {"summary": "done"})
        if self.writes:
            return ToolCall(f"c{turn}", "workspace_write", {"path": "f/0.txt", "content": f"{turn}\n"})
        return ToolCall(f"c{turn}", "workspace_read", {"path": "f/0.txt", "count": turn + 1})

    async def close(self) -> None:
        """Nothing is open."""

    def per_step(self) -> tuple[float, float]:
        """(median milliseconds between two turns of an agent, milliseconds per step of all agents together)"""
        counted = [times[WARM:] for times in self.asked.values() if len(times) > WARM + 1]
        gaps = sorted(after - before for times in counted for before, after in pairwise(times))
        wall = max(times[-1] for times in counted) - min(times[0] for times in counted)
        return 1000 * gaps[len(gaps) // 2], 1000 * wall / len(gaps)


class InstantModels(Models):
    """One model for everybody."""

    def __init__(self, model: ChatModel) -> None:
        super().__init__({}, {})
        self._model = model

    def chain(self, duty: Duty, named: Mapping[str, Sequence[str]], directory: Path) -> list[ChatModel]:
        return [self._model]


def repository(directory: Path, files: int) -> Path:
    """One with so many small files, in directories of a hundred."""
    path = directory / "repository"
    for number in range(files):
        file = path / ("f" if number < 100 else f"d{number // 100}") / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}\n" * 20)
    for command in ("init --quiet --initial-branch=main", "add .", "commit --quiet -m files"):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *command.split()], cwd=path, check=True, timeout=300
        )
    return path


@asynccontextmanager
async def installation(directory: Path) -> AsyncGenerator[tuple[House, Workshop]]:
    """In `directory`, with nothing in it."""
    os.environ |= {"ATLAS_HOME": str(directory / "home"), "ATLAS_LOG_LEVEL": "error"}
    async with compose.house() as house, compose.workshop(house) as shop:
        yield house, shop


async def submitted(house: House, repository: Path, agents: int) -> str:
    """A run of so many agents, none in the way of another."""
    todos = [
        {
            "id": f"t{number}", "role": "hephaestus", "prompt": "Go on.", "verify": [{"run": "true"}],
            "touches": [f"f/{number}.txt"],
        }
        for number in range(agents)
    ]  # fmt: skip
    tree = {"atlas": 1, "repo": str(repository), "sandbox": "host", "concurrency": agents, "todos": todos}
    plan = read_plan(None, json.dumps(tree).encode())
    return (await house.service.submit(plan, repository.parent, placement=QUEUE)).run


async def until_worked(house: House, run: str) -> None:
    """Until no agent is at work."""
    number = 0
    while not all(todo.state in _WORKED for todo in await house.service.todos(run) if todo.kind == "agent"):
        number = await house.store.changed(number, 1.0)
        await asyncio.sleep(_LOOK_SECONDS)
