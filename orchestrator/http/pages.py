"""The dashboard: files, as they are. Scripts are ES modules, and nothing is built."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles

STATIC = Path(__file__).parent / "static"
_FRESH = "no-cache"
"""Asked for again each time, and answered by its ETag: a newer server's scripts belong together."""


def add_pages(app: FastAPI) -> None:
    """At ``/`` and ``/static``."""

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def index() -> Response:
        return FileResponse(STATIC / "index.html", headers={"Cache-Control": _FRESH})

    _ = index
    app.mount("/static", _Files(directory=STATIC))


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: MutableMapping[str, Any]) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = _FRESH
        return response
