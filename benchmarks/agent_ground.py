"""What the rounds of `agent` stand on: a repository, an installation as the command line composes it, a model that
answers at once, and what is made of when it was asked."""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
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
from roles.models.port import ChatModel, Meter, Reply, Request, Text, ToolCall, ToolResult, Usage
from roles.role import Duty
from state.records import QUEUE

WARM = 10
"""Steps of each agent that are not counted."""
NEEDED = "workspace_read"
"""Who has this tool is at work; others (who writes the report) are not counted."""
TOUCHED = 100
"""The first files of a repository: ``f/0.txt`` to ``f/99.txt``."""
_LOOK_SECONDS = 0.5
_WORKED = frozenset(("completed", "failed", "blocked"))
_IN_ONE, _DEEPEST = 12, 5
_LOG_MEDIAN, _LARGEST = math.log(2_500), 400_000
"""Bytes of a file."""


@dataclass
class Talk:
    """One conversation: when the model was asked, and whether it was told of a tool that failed."""

    asked: list[float] = field(default_factory=list[float])
    failed: bool = False


def per_step(talks: Sequence[Talk], agents: int, steps: int) -> dict[str, float]:
    """Milliseconds between two turns of an agent (`median`, `mean`), and per step of all agents together (`share`),
    from when the last of them has begun until the first has ended. Nothing is to be told of a round that was not as it
    should be."""
    turns = [len(talk.asked) for talk in talks]
    if turns != [steps + 1] * agents or any(talk.failed for talk in talks):
        raise RuntimeError(f"not {agents} conversations of {steps + 1} turns each: {turns}; or a tool failed")
    counted = [talk.asked[WARM:] for talk in talks]
    gaps = sorted(after - before for times in counted for before, after in pairwise(times))
    since, until = max(times[0] for times in counted), min(times[-1] for times in counted)
    together = sum(since < at <= until for times in counted for at in times)
    if not together:
        raise RuntimeError(f"{agents} agents were never at it together")
    return {
        "median": 1000 * gaps[len(gaps) // 2],
        "mean": 1000 * sum(gaps) / len(gaps),
        "share": 1000 * (until - since) / together,
    }


def call_of(turn: int, steps: int, *, writes: bool) -> ToolCall:
    """What is asked for: `steps` calls of a tool, one a turn, then the end."""
    if turn >= steps:
        return ToolCall(f"c{turn}", "done", {"summary": "done"})
    if writes:
        return ToolCall(f"c{turn}", "workspace_write", {"path": "f/0.txt", "content": f"{turn}\n"})
    return ToolCall(f"c{turn}", NEEDED, {"path": "f/0.txt", "count": turn + 1})


@dataclass
class InstantModel:
    """Answers at once, in the process, as `call_of` says."""

    steps: int
    writes: bool
    name: str = "instant/model"
    maker: str = "instant"
    talks: dict[str, Talk] = field(default_factory=dict[str, Talk])

    async def reply(self, request: Request, meter: Meter) -> Reply:
        if all(tool.name != NEEDED for tool in request.tools):
            return Reply((Text("No."),), "end", Usage(100, 0, 0, 10), self.name)
        talk = self.talks.setdefault(request.conversation or "", Talk())
        talk.asked.append(time.perf_counter())
        results = request.messages[-1].blocks
        talk.failed = talk.failed or any(isinstance(block, ToolResult) and block.failed for block in results)
        turn = sum(message.role == "assistant" for message in request.messages)
        return Reply((call_of(turn, self.steps, writes=self.writes),), "tools", Usage(100, 0, 0, 10), self.name)

    async def close(self) -> None:
        """Nothing is open."""

    def per_step(self, agents: int = 1) -> dict[str, float]:
        """See there."""
        return per_step(list(self.talks.values()), agents, self.steps)


class InstantModels(Models):
    """One model for everybody."""

    def __init__(self, model: ChatModel) -> None:
        super().__init__({}, {})
        self._model = model

    async def load(self, duty: Duty, named: Mapping[str, Sequence[str]]) -> None:
        """There is no library to load."""

    def chain(self, duty: Duty, named: Mapping[str, Sequence[str]], directory: Path) -> list[ChatModel]:
        return [self._model]


def repository(directory: Path, files: int) -> Path:
    """One with so many files: `TOUCHED` small ones, all others as in a tree that people work in."""
    path = directory / "repository"
    for number in range(TOUCHED):
        file = path / "f" / f"{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{number}\n" * 20)
    grow(path / "src", files - TOUCHED)
    for command in ("init --quiet --initial-branch=main", "add .", "commit --quiet -m files"):
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b", *command.split()], cwd=path, check=True, timeout=300
        )
    return path


def grow(root: Path, files: int) -> None:
    """So many files of words, always the same: a dozen in a directory, which are up to six deep; half of the files have
    less than 2.5 kB, the mean is about 5, the largest have some hundred."""
    chance = random.Random(5_000)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz_", k=chance.randint(2, 12))) for _ in range(3_000)]
    text = "".join(chance.choice(words) + chance.choice("      (),.:=\n") for _ in range(200_000))
    places = [root]
    while len(places) <= files // _IN_ONE:
        above = chance.choice(places)
        if len(above.relative_to(root).parts) < _DEEPEST:
            places.append(above / f"{chance.choice(words)}{len(places)}")
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    for number in range(files):
        size = min(int(chance.lognormvariate(_LOG_MEDIAN, 1.2)), _LARGEST)
        start = chance.randrange(len(text) - _LARGEST)
        (chance.choice(places) / f"{chance.choice(words)}{number}.py").write_text(
            f"{number}\n{text[start : start + size]}"
        )


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
