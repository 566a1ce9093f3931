"""What the routes are made with, and what a request knows of who asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from fastapi import Request
from fastapi.responses import Response
from pydantic import TypeAdapter

from orchestrator.asking import Reach
from orchestrator.changes import Changes
from orchestrator.feeds import Feeds
from orchestrator.hints import Hints
from orchestrator.http.access import Failures
from orchestrator.http.streams import Streams
from orchestrator.looking import Looking
from orchestrator.service import Service
from orchestrator.telling import Telling
from orchestrator.tokens import Caller, Tokens


@dataclass(frozen=True, slots=True)
class Parts:
    """Of one server."""

    service: Service
    looking: Looking
    telling: Telling
    changes: Changes
    feeds: Feeds
    hints: Hints
    tokens: Tokens
    reach: Reach
    streams: Streams
    failures: Failures


def caller_of(request: Request) -> Caller:
    """Who asks; `Access` has seen to it that there is somebody."""
    return cast(Caller, request.state.caller)


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:  # noqa: ANN401
    return TypeAdapter(kind)


def answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:  # noqa: ANN401  any dataclass
    """A dataclass as JSON, as its type says; not looked through again. With a line's end, for terminals."""
    body = _adapter(cast(Any, type(document))).dump_json(document) + b"\n"
    return Response(body, status, headers, "application/json")
