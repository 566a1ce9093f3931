"""What went wrong, as a problem document (RFC 9457): with our code, and what to do next."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from state.errors import (
    Ambiguous,
    AtlasError,
    Conflict,
    DocumentError,
    EngineUnavailable,
    InputError,
    LimitExceeded,
    NotFound,
    RemoteError,
    StoreError,
    StoreFull,
)

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
_RETRY_SECONDS = 1
_STATUS: tuple[tuple[type[AtlasError], HTTPStatus], ...] = (
    (DocumentError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (LimitExceeded, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotFound, HTTPStatus.NOT_FOUND),
    (Ambiguous, HTTPStatus.CONFLICT),
    (Conflict, HTTPStatus.CONFLICT),
    (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (StoreFull, HTTPStatus.INSUFFICIENT_STORAGE),
    (StoreError, HTTPStatus.SERVICE_UNAVAILABLE),
    (RemoteError, HTTPStatus.BAD_GATEWAY),
    (EngineUnavailable, HTTPStatus.NOT_IMPLEMENTED),
)
_CODES = {404: "not_found", 405: "method_not_allowed", 408: "too_slow", 413: "too_large"}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """The document. `code` is for programs, `detail` says what happened and to what, `hint` what to do next."""

    status: int
    title: str
    code: str
    detail: str
    hint: str = ""
    type: str = "about:blank"


def problem(status: int, code: str, detail: str, hint: str = "", headers: dict[str, str] | None = None) -> JSONResponse:
    """As a response."""
    document = Problem(status, HTTPStatus(status).phrase, code, detail, hint)
    return JSONResponse(asdict(document), status, headers, MEDIA_TYPE)


def of_error(error: AtlasError) -> JSONResponse:
    """An error of ours."""
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    headers = {"Retry-After": str(_RETRY_SECONDS)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return problem(status, error.code, error.message, error.hint, headers)


def handle(app: FastAPI) -> None:
    """Have `app` answer so, whatever goes wrong in it."""

    @app.exception_handler(AtlasError)
    async def ours(_: Request, error: AtlasError) -> JSONResponse:
        if not isinstance(error, InputError):
            log.warning("%s", error.message)
        return of_error(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        return problem(422, "bad_input", _told(error), "The document at /openapi.json says what is expected.")

    @app.exception_handler(HTTPException)
    async def other(_: Request, error: HTTPException) -> JSONResponse:
        code = _CODES.get(error.status_code, "error")
        return problem(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> JSONResponse:
        return problem(500, "internal", "the server broke on this request", "Its log says where.")

    _ = ours, invalid, other, broken


def _told(error: RequestValidationError) -> str:
    """Where in the request, and what."""
    found = [cast("dict[str, Any]", each) for each in error.errors()]
    if found and found[0]["type"] == "json_invalid":
        _, place = found[0]["loc"]
        return f"the body is no JSON: {found[0]['ctx']['error']} at character {place}"
    lines = [f"{'.'.join(str(part) for part in each['loc'])}: {each['msg']}" for each in found[:_SHOWN]]
    more = len(found) - len(lines)
    return "; ".join([*lines, f"and {more} more"] if more else lines)
