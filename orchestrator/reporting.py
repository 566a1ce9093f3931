"""What an executor says while it works, as events under its fence."""

from __future__ import annotations

import json
from collections.abc import Mapping

from orchestrator.dispatch import Dispatch
from state.commands import BeginVerifying, Claimed, Command, Refused, Say
from state.errors import LeaseLost
from state.records import EventType


class StoreReporter:
    """`state.ports.Reporter` for one claim."""

    def __init__(self, dispatch: Dispatch, claim: Claimed) -> None:
        self._dispatch = dispatch
        self._claim = claim

    async def verifying(self) -> None:
        await self._tell(BeginVerifying(self._claim.todo, self._claim.fence))

    async def progress(self, text: str, fraction: float | None = None) -> None:
        await self._say("todo.progress", {"text": text} | ({} if fraction is None else {"fraction": fraction}))

    async def risk(self, text: str) -> None:
        await self._say("todo.risk", {"text": text})

    async def log(self, offset: int, lines: list[str]) -> None:
        await self._say("todo.log", {"fence": self._claim.fence, "offset": offset, "lines": lines})

    async def _say(self, type: EventType, data: Mapping[str, object]) -> None:
        await self._tell(Say(self._claim.todo, self._claim.fence, type, json.dumps(data, ensure_ascii=False)))

    async def _tell(self, command: Command) -> None:
        outcome = await self._dispatch.persistently(command)
        if isinstance(outcome, Refused):
            raise LeaseLost(outcome.message)
