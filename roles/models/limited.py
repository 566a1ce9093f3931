"""So many calls at a time of one provider, by all that this process does."""

from __future__ import annotations

import asyncio

from roles.models.port import ChatModel, Meter, Reply, Request


class LimitedModel:
    """`ChatModel` whose calls wait for their turn; they are paid for, and timed, as if they did not. Stopping one that
    waits is stopping one that was not sent."""

    def __init__(self, model: ChatModel, turns: asyncio.Semaphore) -> None:
        self._model = model
        self._turns = turns

    @property
    def name(self) -> str:
        """The model's."""
        return self._model.name

    @property
    def maker(self) -> str:
        """The model's."""
        return self._model.maker

    async def reply(self, request: Request, meter: Meter) -> Reply:
        async with self._turns:
            return await self._model.reply(request, meter)

    async def close(self) -> None:
        await self._model.close()
