"""Images on the engine: found, or pulled once they are asked for."""

from __future__ import annotations

import asyncio
import json
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Protocol, cast
from urllib.parse import quote

from mcp_servers.container.engine import Engine
from state.errors import ImageMissing, SandboxUnavailable

NAME = re.compile(r"[A-Za-z0-9]+([._/:@-]+[A-Za-z0-9_]+)*")
TAGGED = re.compile(r"(:[\w.-]+|@[\w:.+-]+)$")


@dataclass(frozen=True, slots=True)
class Image:
    """`id` is its digest on this engine; `environment` the variables it sets, as ``NAME=value``; `volumes` the places
    where it wants volumes; `triggers` the steps that a build from it begins with."""

    id: str
    environment: list[str]
    volumes: list[str]
    triggers: list[str]


class Images:
    """The images of one engine. A pull takes at most `pull_seconds`."""

    def __init__(self, engine: Engine, pull_seconds: float) -> None:
        self._engine = engine
        self._pull_seconds = pull_seconds

    async def find(self, name: str) -> Image:
        """The image of this name, pulled if the engine does not have it. `ImageMissing` if that fails."""
        check(name)
        image = await self._inspect(name)
        if image is None:
            await self._pull(name)
            image = await self._inspect(name)
        if image is None:
            raise missing(name, "the engine does not know it")
        return image

    async def has(self, name: str) -> bool:
        """Whether the engine has an image of this name."""
        return await self._inspect(name) is not None

    async def _inspect(self, name: str) -> Image | None:
        reply = await self._engine.request("GET", f"/images/{quote(name, safe='')}/json")
        if reply.status == 200:
            fields = reply.fields()
            config = cast("dict[str, list[str] | dict[str, object] | None]", fields.get("Config") or {})
            listed = [list(config.get(name) or []) for name in ("Env", "Volumes", "OnBuild")]
            return Image(str(fields["Id"]), *listed)
        if reply.status in (400, 404):
            return None
        raise SandboxUnavailable(f"The engine can't look up the image {name}: {reply.message}")

    async def _pull(self, name: str) -> None:
        query, headers = await pull_request(name)
        try:
            reply = await self._engine.request(
                "POST", "/images/create", query, headers=headers, timeout=self._pull_seconds
            )
        except SandboxUnavailable as error:
            if isinstance(error.__cause__, TimeoutError):
                raise missing(name, f"pulling it took more than {self._pull_seconds:g} s") from error
            raise
        if reply.status != 200:
            raise missing(name, reply.message)
        progress = reply.body.splitlines() if isinstance(reply.body, str) else []
        if progress and "error" in (last := _line(progress[-1])):
            raise missing(name, str(last["error"]))


def check(name: str) -> None:
    """`ImageMissing` unless it could be the name of an image: it becomes part of a URL's path."""
    if not NAME.fullmatch(name) or "//" in name or ".." in name:
        raise missing(name, "that is not the name of an image")


async def pull_request(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Query and headers of the request that pulls it."""
    reference = name if TAGGED.search(name) else f"{name}:latest"  # without a tag the engine would pull them all
    credentials = await asyncio.to_thread(_credentials, name)
    return {"fromImage": reference}, {"X-Registry-Auth": credentials} if credentials else {}


def missing(name: str, why: str) -> ImageMissing:
    """The error for an image that is not to be had."""
    return ImageMissing(
        f"The image {name} is not on the engine, and could not be pulled: {why}", f"`docker pull {name}` may tell more."
    )


def not_renewed(name: str, why: str) -> ImageMissing:
    """The error for an image that is there, but of which no newer version is to be had."""
    return ImageMissing(
        f"The image {name} could not be pulled: {why}", "The one on the engine stays as it was, and can be used."
    )


def _line(text: str) -> dict[str, object]:
    try:
        return cast("dict[str, object]", json.loads(text))
    except ValueError:
        return {}


def _credentials(name: str) -> str | None:
    """This user's login for the image's registry, encoded for the engine. The SDK knows the credential helpers."""
    from docker import auth, errors

    try:
        registry, _ = auth.resolve_repository_name(name)
        logins = cast("_Logins", auth.load_config())  # pyright: ignore[reportUnknownMemberType]
        login = logins.resolve_authconfig(registry)
    except (errors.DockerException, OSError, ValueError):
        return None
    return urlsafe_b64encode(json.dumps(login).encode()).decode() if login else None


class _Logins(Protocol):
    """What we use of the SDK's untyped `AuthConfig`."""

    def resolve_authconfig(self, registry: str) -> dict[str, str] | None: ...
