"""What `voice` measures besides speech: how soon a model is let go when somebody says stop, and how soon a client is
shown what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from state.ports import Store

LONG_ANSWER = "It goes well. " + "And more of it comes, as long as nobody stops it. " * 200


async def let_go(trials: int) -> list[float]:
    """From the moment at which it is clear that somebody interrupts, to the end of the model's connection as its
    server sees it; in seconds. Recognition is told what was said: it is not what is measured."""
    from orchestrator.cli.compose import house
    from roles.models.connect import Provider, connect
    from roles.models.port import ChatModel
    from tests.services.model_server import model_server
    from tests.services.model_wires import Answer, Say
    from tests.voice.listening import Prompted
    from tests.voice.room import room
    from voice.choices import Choices
    from voice.sessions import Means

    found: list[float] = []
    prompted = Prompted()
    with model_server() as maker:
        provider = Provider(kind="openai", base_url=f"{maker.url}/v1", style="chat")
        model = connect("local/talker", {}, Path("/"), {"local": provider})

        async def models() -> Sequence[ChatModel]:
            return [model]

        async with house() as opened:
            means = Means(opened.service, opened.store, prompted.engines, Choices(wake="always"), models)
            for _ in range(trials):
                maker.will(Answer((Say(LONG_ANSWER),), delay=0.05))
                prompted.lines.extend(["tell me how it is going with everything please", "stop talking"])
                async with room(means) as there:
                    await there.speak("tell me how it is going with everything please")
                    began = await there.until("speech-started")
                    await there.speak("stop talking")
                    over = await there.until("onset-over", after=began["when"])
                    if over["confirmed"] and await asyncio.to_thread(maker.last.closed.wait, 5):
                        found.append(max(0.0, maker.last.closed_at - over["when"]))
        await model.close()
    return found


async def shown(home: Path, trials: int) -> list[float]:
    """From the moment at which an event is committed to the message of it at a client over a WebSocket; in seconds."""
    from tests.voice.caller import calling
    from tests.voice.in_process import voice_here

    found: list[float] = []
    async with voice_here(home) as here, calling(here) as caller:
        told = _Told(here.store, caller.events)
        while not await told.within(0.5):  # who comes for the first time is told what happens from then on
            await told.happens()
        for _ in range(trials):
            await asyncio.sleep(0.3)
            await told.happens()
            committed = time.monotonic()
            await caller.until(told.is_it, "progress")
            found.append(time.monotonic() - committed)
    return found


class _Told:
    """Whether the client was told of what happened last."""

    def __init__(self, store: Store, events: Sequence[Mapping[str, Any]]) -> None:
        self._store = store
        self._events = events
        self._before = 0
        self._runs = 0

    async def happens(self) -> None:
        from tests.contract.store_world import submission, task

        self._runs += 1
        self._before = len(self._events)
        await self._store.apply([submission(task("a", run=f"r{self._runs}"), run=f"r{self._runs}")])

    def is_it(self) -> bool:
        return any(each["event"] == "progress" for each in self._events[self._before :])

    async def within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self.is_it() and time.monotonic() < end:  # noqa: ASYNC110 - it does not tell
            await asyncio.sleep(0.01)
        return self.is_it()
