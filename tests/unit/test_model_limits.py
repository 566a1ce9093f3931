"""No more calls of one provider at a time than its settings say, whichever of its models they go to."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.agents.models import Models
from roles.models.connect import PROVIDERS, Provider
from roles.models.limited import LimitedModel
from roles.models.port import ChatModel, Message, Meter, Reply, Request, Text
from roles.role import DUTIES
from state.errors import ModelUnavailable

REQUEST = Request("Be short.", [Message("user", [Text("Hello?")])])
MANY = 7


@dataclass
class Slow:
    name: str = "local/model"
    maker: str = "test"
    now: int = 0
    most: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def reply(self, request: Request, meter: Meter) -> Reply:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.open.wait()
        finally:
            self.now -= 1
        raise ModelUnavailable("busy", "", 1.0)

    async def close(self) -> None:
        return None


async def test_calls_wait_for_their_turn_whatever_becomes_of_those_before() -> None:
    slow, turns = Slow(), asyncio.Semaphore(2)
    models: list[ChatModel] = [LimitedModel(slow, turns), LimitedModel(slow, turns)]
    calls = [asyncio.create_task(models[n % 2].reply(REQUEST, Meter(REQUEST))) for n in range(MANY)]
    await asyncio.sleep(0)
    assert (slow.now, models[0].name, models[0].maker) == (2, "local/model", "test")
    for stopped in (calls[0], calls[-1]):  # one that was sent, one that waits
        stopped.cancel()
    await asyncio.wait([calls[0], calls[-1]])
    slow.open.set()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in ended[1:-1]] == [ModelUnavailable] * (MANY - 2)
    assert slow.most == 2


@pytest.mark.parametrize(("concurrency", "limited"), [(2, True), (None, False)])
async def test_the_settings_say_how_many(tmp_path: Path, concurrency: int | None, limited: bool) -> None:
    (tmp_path / "a.yaml").write_text("conversations: [{replies: [{text: hi}]}]")
    models = Models({}, {"scripted": Provider(kind=PROVIDERS["scripted"].kind, concurrency=concurrency)})
    (found,) = models.chain(DUTIES["work"], {"default": ["scripted/a.yaml"]}, tmp_path)
    assert isinstance(found, LimitedModel) is limited
    assert found.name == "scripted/a.yaml"
    await models.close()
