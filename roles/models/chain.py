"""One model after another until one answers: quick retries of what is unavailable for a moment, then the next in line.

Every call is paid for where a ledger says so: reserved before it is sent, settled when it is over, however it ends.
Long waits are not made here, in memory: the error says how long, and whoever keeps the TODO waits in SQL.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from mcp_servers.storage.threads import completed
from roles.models.port import ChatModel, Meter, Reply, Request, Usage
from roles.models.spans import answered, model_call, usage
from state.errors import ModelError, ModelOverflow, ModelRejected, ModelUnavailable

Outcome = Literal["answered", "failed", "stopped"]
"""How a call ended: with a reply, with an error, or cancelled."""


class Call(Protocol):
    """One call that was reserved."""

    async def settle(self, usage: Usage, outcome: Outcome, reply: Reply | None) -> None:
        """What it used in the end. Never cancelled."""
        ...


class Ledger(Protocol):
    """Keeps the budget, and what was asked and answered."""

    async def reserve(self, model: str, request: Request) -> Call:
        """Before a call is sent; raises when the budget does not allow for its worst case."""
        ...


@dataclass(frozen=True, slots=True)
class Patience:
    """`tries` of each model, with pauses (seconds) that double from `first`, by chance a half more or less. What would
    take more than `longest` is somebody else's turn."""

    tries: int = 3
    first: float = 0.5
    longest: float = 10.0

    def pause(self, failures: int, after: float | None) -> float | None:
        """Before the next try, or None if there is none."""
        if failures >= self.tries or (after or 0.0) > self.longest:
            return None
        drawn = self.first * 2 ** (failures - 1) * random.uniform(0.5, 1.5)  # noqa: S311  not for secrets
        return max(after or 0.0, min(drawn, self.longest))


class Chain:
    """Models in the order in which they are asked. `name` is that of the first."""

    def __init__(
        self,
        models: Sequence[ChatModel],
        ledger: Ledger,
        patience: Patience = Patience(),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._models = list(models)
        self._ledger = ledger
        self._patience = patience
        self._sleep = sleep

    async def reply(self, request: Request, say: Callable[[str], None] | None = None) -> Reply:
        """The first answer. `ModelOverflow` at once, as no other try would help; `ModelRejected` when every model says
        that for good; else `ModelUnavailable`, with the shortest wait that was asked for."""
        errors: list[ModelError] = []
        for model in self._models:
            failures = 0
            while True:
                try:
                    return await self._once(model, request, say)
                except ModelOverflow:
                    raise
                except ModelRejected as error:
                    errors.append(error)
                    break
                except ModelUnavailable as error:
                    failures += 1
                    pause = self._patience.pause(failures, error.after)
                    if pause is None:
                        errors.append(error)
                        break
                    await self._sleep(pause)
        raise _summed_up(errors)

    async def _once(self, model: ChatModel, request: Request, say: Callable[[str], None] | None) -> Reply:
        call = await self._ledger.reserve(model.name, request)
        meter = Meter(request, say)
        with model_call(model.name, request) as here:
            try:
                reply = await model.reply(request, meter)
            except BaseException as error:
                outcome: Outcome = "failed" if isinstance(error, Exception) else "stopped"
                unbilled = isinstance(error, ModelError) and not error.billed
                here.say(usage(used := Usage() if unbilled else meter.usage))
                await completed(call.settle(used, outcome, None))
                raise
            here.say(answered(reply))
            await completed(call.settle(reply.usage, "answered", reply))
        return reply


def _summed_up(errors: Sequence[ModelError]) -> ModelError:
    words = "; ".join(dict.fromkeys(error.message for error in errors)) or "no model is named"
    hint = next((error.hint for error in errors if error.hint), "Name one: models: {default: [provider/name]}.")
    waits = [error.after or 0.0 for error in errors if isinstance(error, ModelUnavailable)]
    return ModelUnavailable(words, hint, min(waits)) if waits else ModelRejected(words, hint)
