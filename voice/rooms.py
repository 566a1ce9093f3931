"""Conversations with clients of `atlas serve`: by WebSocket, and by WebRTC."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from orchestrator.http.access import STILL
from orchestrator.http.problems import of_error, problem
from orchestrator.tasks import ended
from orchestrator.tokens import Caller
from state.errors import AtlasError, InputError, NotFound
from voice.pace import Pace
from voice.sessions import Means
from voice.transports.webrtc import Call, CallLine, answered, more_candidates
from voice.transports.websocket import PatientSocket, SocketLine
from voice.visits import Made, Visit, Visits
from voice.wishes import Answer, Bounds, Candidates, Full, Network, Offer, Wish, wish_of

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

log = logging.getLogger(__name__)

_ATTEMPTS, _PER_SECOND = 60, 1.0
_REMEMBERED = 1_000


class Rooms:
    """Of one server."""

    def __init__(self, means: Means, network: Network, bounds: Bounds) -> None:
        self._visits = Visits(means, bounds)
        self._network = network
        self._calls: dict[str, tuple[str, Call]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._paces: dict[str, Pace] = {}

    @property
    def open(self) -> int:
        """How many conversations there are."""
        return self._visits.open

    def close(self) -> None:
        """End them all."""
        self._visits.close()

    async def closed(self) -> None:
        """Return when nothing is left of them."""
        await self._visits.closed()
        await ended(*self._tasks)

    # --- WebSocket ---------------------------------------------------------------------------------------------------

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it, of a WebSocket whose `Caller` is known. What can't be is said before it is accepted."""
        caller: Caller = scope["state"]["caller"]
        socket = PatientSocket(scope, receive, send)
        try:
            wish = wish_of(socket.query_params)
            self._check_pace(caller)
            visit = await self._visits.admit(caller, wish)
        except (AtlasError, ValidationError) as error:
            await refusal(error)(scope, receive, send)
            return
        line = SocketLine(socket)
        try:
            made = await self._visits.made(visit, wish, line)
            await socket.accept()
        except BaseException as error:
            self._visits.leave(visit)
            if not isinstance(error, AtlasError):
                raise
            await refusal(error)(scope, receive, send)
            return
        await self._visits.live(visit, made, line, scope["state"][STILL])

    # --- WebRTC ------------------------------------------------------------------------------------------------------

    async def offer(self, caller: Caller, offer: Offer, still: Callable[[], Awaitable[bool]]) -> Answer:
        """A conversation of its own, which begins when the client has connected. `InputError`: it is no offer of sound;
        `Full`; `EngineUnavailable`."""
        wish = offer.request_data or Wish()
        self._check_pace(caller)
        visit = await self._visits.admit(caller, wish)
        call = Call(self._network)
        line = CallLine(call)
        try:
            answer = await answered(call, offer.sdp)
            made = await self._visits.made(visit, wish, line)
            if visit.farewell:
                raise Full(visit.farewell.why, "Come again in a moment.")
        except BaseException:
            self._visits.leave(visit)
            await line.close()
            raise
        self._calls[answer.pc_id] = caller.name, call
        running = asyncio.create_task(self._on_the_line(answer.pc_id, visit, made, line, still))
        self._tasks.add(running)
        running.add_done_callback(self._tasks.discard)
        return answer

    async def candidates(self, caller: Caller, more: Candidates) -> None:
        """Where else the client of a call may be reached. `NotFound`: there is no such call of theirs."""
        name, call = self._calls.get(more.pc_id, ("", None))
        if call is None or name != caller.name:
            raise NotFound("there is no such call, or it has ended", "Make another offer.")
        await more_candidates(call, more.candidates)

    async def _on_the_line(
        self, id: str, visit: Visit, made: Made, line: CallLine, still: Callable[[], Awaitable[bool]]
    ) -> None:
        try:
            await self._visits.live(visit, made, line, still)
        finally:
            self._calls.pop(id, None)

    def _check_pace(self, caller: Caller) -> None:
        if len(self._paces) > _REMEMBERED:
            self._paces.clear()
        pace = self._paces.setdefault(caller.name, Pace(_ATTEMPTS / _PER_SECOND))
        if pace.early(1 / _PER_SECOND):
            raise Full(f"{caller.name} begins conversations too fast", "Try again in a moment.")


def refusal(error: Exception) -> Response:
    """As an answer."""
    if isinstance(error, Full):
        return problem(429, error.code, error.message, error.hint, {"Retry-After": "1"})
    if isinstance(error, AtlasError):
        return of_error(error)
    return of_error(
        InputError("what this asks for is not known", "conversation (8 to 64 letters and digits), language (en, zh).")
    )
