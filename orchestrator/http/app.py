"""The ASGI application: who may come in, how much, what there is, and what is told when it goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from starlette.routing import Route

from mcp_servers.gate import Gate
from orchestrator.health import Health, failures
from orchestrator.http.access import MCP, Access
from orchestrator.http.annex import Annex
from orchestrator.http.bounds import Bounds
from orchestrator.http.pages import add_pages
from orchestrator.http.parts import Parts
from orchestrator.http.people import admin_routes, question_routes, session_routes
from orchestrator.http.problems import MEDIA_TYPE, Problem, handle
from orchestrator.http.runs import act_routes, run_routes, todo_routes
from orchestrator.mcp.mounted import Mounted
from orchestrator.metrics import CONTENT_TYPE
from orchestrator.tasks import ended

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_LARGE = frozenset(("/api/runs", MCP))
_DESCRIPTION = """Takes a goal or a plan and keeps at it until every TODO is completed with evidence.

Everything but `/healthz`, `/readyz` and the dashboard needs `Authorization: Bearer TOKEN`. Errors are problem documents
(RFC 9457) with a `code` and a `hint`.
"""
_SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self';"
        b" connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
]
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "what was asked is wrong", "model": Problem},
    "5XX": {"description": "the server, or what it needs, is in trouble", "model": Problem},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Under which this server is reached: see `mcp_servers.gate.Gate`."""

    hosts: frozenset[str]
    origins: frozenset[str] = frozenset()
    addresses: bool = False


def application(parts: Parts, health: Health, names: Names, mcp: Mounted, annex: Annex | None = None) -> ASGIApp:
    """All of it."""
    inner = Bounds(Access(_api(parts, health, mcp, annex), parts.tokens, parts.failures), _LARGE)
    return _With(Gate(inner, names.hosts, names.origins, names.addresses), _SECURITY_HEADERS)


def _api(parts: Parts, health: Health, mcp: Mounted, annex: Annex | None) -> FastAPI:
    app = FastAPI(
        title="Atlas", version=version("atlas-orchestrator"), description=_DESCRIPTION, docs_url=None, redoc_url=None,
        lifespan=lambda _: _feeding(parts, mcp, annex), responses=PROBLEMS, separate_input_output_schemas=False,
    )  # fmt: skip
    handle(app)
    for routes in (run_routes, act_routes, todo_routes, question_routes, session_routes, admin_routes):
        app.include_router(routes(parts))
    _operations(app, health)
    add_pages(app)
    app.router.routes.append(Route(MCP, mcp, include_in_schema=False))
    if annex:
        app.include_router(annex.router)
    _document(app)
    return app


@asynccontextmanager
async def _feeding(parts: Parts, mcp: Mounted, annex: Annex | None) -> AsyncGenerator[None]:
    """What happens is looked for while the server runs; at its end, who watches is told so."""
    looking = (parts.feeds.run(), parts.hints.run(), mcp.tell(parts.hints))
    running = [asyncio.create_task(each) for each in looking]
    try:
        async with mcp.running(), annex.running() if annex else nullcontext():
            yield
    finally:
        parts.streams.close()
        await ended(*running)


def _operations(app: FastAPI, health: Health) -> None:
    async def judged(checks: Callable[[], Awaitable[dict[str, str]]]) -> Response:
        reasons = await checks()
        return JSONResponse(
            {"status": "failing", "reasons": reasons} if reasons else {"status": "ok"}, 503 if reasons else 200
        )

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> Response:
        return await judged(lambda: failures(health.alive))

    @app.get("/readyz", include_in_schema=False)
    async def readyz() -> Response:
        return await judged(lambda: failures(health.ready))

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(await health.metrics() if health.metrics else b"", media_type=CONTENT_TYPE)

    _ = healthz, readyz, metrics


def _document(app: FastAPI) -> None:
    """The OpenAPI document: how to come in, and what errors look like."""
    plain = app.openapi

    def documented() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            document["components"].setdefault("securitySchemes", {})["token"] = {"type": "http", "scheme": "bearer"}
            document["security"] = [{"token": []}]
            for operations in document["paths"].values():
                for operation in operations.values():
                    for code, response in operation["responses"].items():
                        if code in PROBLEMS and "application/json" in response.get("content", {}):
                            response["content"] = {MEDIA_TYPE: response["content"].pop("application/json")}
                    operation["responses"].pop("422", None)
        return app.openapi_schema or {}

    app.openapi = documented


@dataclass(frozen=True, slots=True)
class _With:
    """`app`, with headers in all of its answers."""

    app: ASGIApp
    headers: list[tuple[bytes, bytes]]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401  as ASGI has it
        async def sending(message: Any) -> None:  # noqa: ANN401
            if message["type"] == "http.response.start":
                named = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in self.headers if each[0] not in named)]
            await send(message)

        await self.app(scope, receive, sending)
