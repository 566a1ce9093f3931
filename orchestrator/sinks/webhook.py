"""Events by HTTP, one a request, signed as Standard Webhooks says (https://www.standardwebhooks.com):
``webhook-id`` is ``<run>/<number>`` and stays the same when it is sent again, ``webhook-timestamp`` is seconds since
the epoch, ``webhook-signature`` is ``v1,`` and the base64 of an HMAC-SHA256 over ``id.timestamp.body``.

Whatever is not a 2xx is tried again, later and later, and holds up what comes after it: events of a run come in order.
It is given up after `GIVE_UP_SECONDS`, so that one bad event does not hold up all others for ever; 410 ends the wait at
once. Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from orchestrator.views import EventView, as_json
from state.errors import SinkAway

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

GIVE_UP_SECONDS = 15 * 60.0
"""How long one event is sent again and again."""
ANSWER_SECONDS = 10.0
_REST_BYTES, _REST_SECONDS = 64 * 1024, 1.0
_GONE = 410
_PREFIX = "whsec_"
_HINT = "Is its URL right, and does it answer with 2xx?"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to. `events` are patterns of types, such as ``run.*``. `secret`: base64 after ``whsec_``, or any text."""

    name: str
    url: str
    secret: str | None = field(default=None, repr=False)
    events: tuple[str, ...] = ("run.*", "question.*", "todo.state", "todo.risk")

    def wants(self, type: str) -> bool:
        """Whether it is told events of this type."""
        return any(fnmatchcase(type, pattern) for pattern in self.events)

    def wants_any(self, types: Iterable[str]) -> bool:
        """Whether it is told anything at all."""
        return any(map(self.wants, types))


class WebhookSink:
    """`orchestrator.sinks.cursor.Sink` over HTTP."""

    batch = 1

    def __init__(self, webhook: Webhook, client: httpx2.AsyncClient, give_up: float = GIVE_UP_SECONDS) -> None:
        """The client is its owner's to close; `give_up` in seconds."""
        self._webhook = webhook
        self._client = client
        self._give_up = give_up
        self._since: tuple[str, float] | None = None
        """The event that was not taken yet, and when it was sent first, on the monotonic clock."""

    @property
    def name(self) -> str:
        return f"webhook:{self._webhook.name}"

    async def tell(self, events: Sequence[EventView]) -> None:
        """See the port."""
        for event in events:
            if self._webhook.wants(event.type):
                await self._send(event)

    async def _send(self, event: EventView) -> None:
        import httpx2

        id, body = f"{event.run}/{event.seq}", as_json(event).encode()
        try:
            answer = await self._answer(id, body)
        except (httpx2.HTTPError, TimeoutError) as error:
            self._not_taken(id, f"{type(error).__name__}: {error}" if str(error) else type(error).__name__, None)
            return
        if not answer.is_success:
            retry = answer.headers.get("retry-after", "")
            self._not_taken(id, f"status {answer.status_code}", float(retry) if retry.isdigit() else None)
        self._since = None

    async def _answer(self, id: str, body: bytes) -> httpx2.Response:
        """Its head is what counts; of what follows no more is read than leaves the connection to the next one."""
        import httpx2

        async with AsyncExitStack() as stack:
            async with asyncio.timeout(ANSWER_SECONDS):
                answer = await stack.enter_async_context(
                    self._client.stream(
                        "POST", self._webhook.url, content=body, headers=self._headers(id, body),
                        timeout=ANSWER_SECONDS, follow_redirects=False,
                    )
                )  # fmt: skip
            left = _REST_BYTES
            with suppress(TimeoutError, httpx2.HTTPError):
                async with asyncio.timeout(_REST_SECONDS):
                    async for piece in answer.aiter_raw():
                        if (left := left - len(piece)) < 0:
                            break
            return answer

    def _not_taken(self, id: str, why: str, after: float | None) -> None:
        now = time.monotonic()
        first = self._since[1] if self._since and self._since[0] == id else now
        self._since = (id, first)
        if now - first >= self._give_up or why == f"status {_GONE}":
            log.error("%s did not take the event %s (%s): it is given up", self.name, id, why)
            return
        raise SinkAway(f"{self.name} did not take the event {id}: {why}", _HINT, after)

    def _headers(self, id: str, body: bytes) -> dict[str, str]:
        headers = {"content-type": "application/json", "user-agent": "atlas", "webhook-id": id}
        moment = str(int(time.time()))
        headers["webhook-timestamp"] = moment
        if secret := self._webhook.secret:
            headers["webhook-signature"] = f"v1,{signature(secret, id, moment, body)}"
        return headers


def signature(secret: str, id: str, moment: str, body: bytes) -> str:
    """Of one request, in base64."""
    key = base64.b64decode(secret.removeprefix(_PREFIX)) if secret.startswith(_PREFIX) else secret.encode()
    signed = b"%b.%b.%b" % (id.encode(), moment.encode(), body)
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
