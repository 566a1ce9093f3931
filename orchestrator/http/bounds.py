"""How large a request may be, and how long it may take to arrive: outside of everything else."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from state.limits import DOCUMENT_BYTES, KB

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES = 64 * KB
PLAN_BODY_BYTES = 2 * DOCUMENT_BYTES
"""A document as the text in JSON: escaped, it is longer than it is."""
BODY_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bodies of at most `BODY_BYTES`, those of requests to one of `large` of `PLAN_BODY_BYTES`, which have `seconds` to
    arrive."""

    app: ASGIApp
    large: frozenset[str]
    seconds: float = BODY_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI has it. What is over a bound is an `HTTPException` for whoever reads it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        limit = PLAN_BODY_BYTES if scope["path"] in self.large else BODY_BYTES
        declared = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        end = asyncio.get_running_loop().time() + self.seconds
        got, whole = 0, False

        async def bounded() -> Message:
            nonlocal got, whole
            if whole:
                return await receive()
            if declared.isdigit() and int(declared) > limit:
                raise _too_large(limit)
            try:
                async with asyncio.timeout_at(end):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(
                    408, f"the body did not arrive within {self.seconds:g} s", {"Connection": "close"}
                ) from None
            got += len(message.get("body", b""))
            whole = not message.get("more_body", False)
            if got > limit:
                raise _too_large(limit)
            return message

        await self.app(scope, bounded, send)


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"the body is over {limit:,} bytes", {"Connection": "close"})
