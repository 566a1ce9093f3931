"""Images made and fetched. Breaking the connection off is how the engine is told to stop either."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mcp_servers.container.capture import Capture
from mcp_servers.container.containers import Options
from mcp_servers.container.dockerfile import bases, check_steps, instructions
from mcp_servers.container.engine import Engine
from mcp_servers.container.images import Images, check, missing, not_renewed, pull_request
from mcp_servers.container.local_files import refusals
from mcp_servers.container.packing import add, exact_tar, pack
from mcp_servers.local_roots import LocalRoots
from mcp_servers.storage.threads import Stop, in_thread
from state.errors import InputError, SandboxUnavailable
from state.limits import DOCUMENT_BYTES, TOOL_RESULT_BYTES

PREFIX = "atlas-mcp/"
"""How the names of images built here begin: no build can put itself in the place of an image that others trust."""
NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?")
_DOCKERFILE = ".atlas.Dockerfile"
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class Recipe:
    """What to build: `dockerfile` is its text, else the context's own; `context` a local directory, else nothing.
    `network`: for its RUN steps."""

    name: str
    dockerfile: str | None
    context: str | None
    arguments: Mapping[str, str]
    target: str | None
    network: bool


@dataclass(frozen=True, slots=True)
class Made:
    """An image, and the end of what the engine said on the way."""

    name: str
    id: str
    log: str


class Builds:
    """On `engine`, within the operator's `options`. A context holds at most `limit` bytes."""

    def __init__(self, engine: Engine, options: Options, roots: LocalRoots, limit: int) -> None:
        self._engine = engine
        self._images = Images(engine, options.pull_seconds)
        self._options = options
        self._roots = roots
        self._limit = limit

    async def pull(self, name: str, say: Callable[[bytes], None]) -> Made:
        """Fetch an image from its registry. `ImageMissing` if that fails."""
        check(name)
        query, headers = await pull_request(name)
        log = Capture(TOOL_RESULT_BYTES // 4)
        async with self._engine.stream("POST", "/images/create", query, headers=headers) as (status, body):
            async for line in _lines(body):
                if status != 200 or "error" in line:
                    why = str(line.get("error") or line.get("message"))
                    raise (not_renewed if await self._images.has(name) else missing)(name, why)
                _tell(f"{line.get('id', '')} {line.get('status', '')} {line.get('progress', '')}".strip(), log, say)
        return Made(name, await self._identity(name), log.text())

    async def build(self, recipe: Recipe, say: Callable[[bytes], None]) -> Made:
        """`InputError` if a step fails, with the end of the output."""
        if not NAME.fullmatch(recipe.name):
            raise InputError(
                f"{recipe.name[:200]!r} is not a name for an image", "Small letters, digits, `.`, `_`, `-`, and `:tag`."
            )
        if recipe.dockerfile is None and recipe.context is None:
            raise InputError("there is nothing to build", "Pass `dockerfile`, or a `context` that has one.")
        if recipe.network and self._options.network is None:
            raise InputError("this server gives no build a network", "Leave `network` out, or ask its operator.")
        name = PREFIX + recipe.name
        log = Capture(TOOL_RESULT_BYTES // 2)
        with tempfile.NamedTemporaryFile(prefix="atlas-build-") as archive:
            path = Path(archive.name)
            with refusals(recipe.context or "the build context"):
                text = await in_thread(lambda stop: self._pack(recipe, path, stop))
            await self._check(text, recipe)
            async with self._engine.stream("POST", "/build", self._query(name, recipe), content=path) as (
                status,
                body,
            ):
                async for line in _lines(body):
                    _tell(str(line.get("stream") or line.get("status") or "").strip("\n"), log, say)
                    if status != 200 or "error" in line:
                        why = str(line.get("error") or line.get("message"))
                        raise InputError(f"the build failed: {why}\n{log.text()}")
        return Made(name, await self._identity(name), log.text())

    async def _check(self, dockerfile: str, recipe: Recipe) -> None:
        """`InputError` if it, or an image that it starts from, would have the engine fetch something."""
        steps = instructions(dockerfile)
        check_steps(steps, "the Dockerfile")
        for base in bases(steps, recipe.arguments):
            check_steps((await self._images.find(base)).triggers, f"the image {base}")

    def _query(self, name: str, recipe: Recipe) -> dict[str, str]:
        options = self._options
        query = {
            "t": name,
            "rm": "1",
            "forcerm": "1",
            "networkmode": (options.network if recipe.network else None) or "none",
            "memory": str(options.memory),
            "memswap": str(options.memory),
            "buildargs": json.dumps(dict(recipe.arguments)),
        }
        if options.cpus:
            query |= {"cpuperiod": "100000", "cpuquota": str(max(1_000, round(options.cpus * 100_000)))}
        if recipe.dockerfile is not None:
            query["dockerfile"] = _DOCKERFILE
        if recipe.target:
            query["target"] = recipe.target
        return query

    def _pack(self, recipe: Recipe, path: Path, stop: Stop) -> str:
        """The Dockerfile, whose context is in the file `path` now."""
        with path.open("wb") as file:
            if recipe.context is not None:
                packed = pack(self._roots.place(recipe.context), file, self._limit, stop, name="")
                if packed.single:
                    raise InputError(f"{recipe.context} is a file", "A context is a directory.")
        if recipe.dockerfile is None:
            return _dockerfile_in(path)
        text = recipe.dockerfile.encode()
        with path.open("r+b") as file, exact_tar(file, "w" if recipe.context is None else "a") as tar:
            add(tar, _DOCKERFILE, io.BytesIO(text), len(text))
        return recipe.dockerfile

    async def _identity(self, name: str) -> str:
        reply = await self._engine.request("GET", f"/images/{name}/json")
        if reply.status != 200:
            raise SandboxUnavailable(f"The engine does not have {name}: {reply.message}")
        return str(reply.fields()["Id"])


def _dockerfile_in(archive: Path) -> str:
    with tarfile.open(archive, "r:") as tar:
        named = next((each for each in tar if each.name == "Dockerfile"), None)
        if named is None or (content := tar.extractfile(named)) is None:
            raise InputError("the context has no Dockerfile", "Pass `dockerfile`.")
        if named.size > DOCUMENT_BYTES:
            raise InputError(f"the Dockerfile has more than {DOCUMENT_BYTES:,} bytes")
        return content.read().decode("utf-8", "replace")


def _tell(text: str, log: Capture, say: Callable[[bytes], None]) -> None:
    if text:
        log.add(f"{text}\n".encode())
        say(f"{text}\n".encode())


async def _lines(body: AsyncIterator[bytes]) -> AsyncGenerator[dict[str, object]]:
    """The JSON objects of a stream. (Several can come on one line.)"""
    decoder = json.JSONDecoder()
    pending = b""
    async for data in body:
        *lines, pending = (pending + data).split(b"\n")
        if len(pending) > _LONGEST_LINE:
            raise SandboxUnavailable("The engine's answer makes no sense.")
        for line in lines:
            for each in _objects(decoder, line):
                yield each
    for each in _objects(decoder, pending):
        yield each


def _objects(decoder: json.JSONDecoder, line: bytes) -> list[dict[str, object]]:
    text, found = line.decode(errors="replace").strip(), list[dict[str, object]]()
    while text:
        try:
            value, end = decoder.raw_decode(text)
        except ValueError:
            return [*found, {"message": text, "stream": text}]
        found.append(cast("dict[str, object]", value))
        text = text[end:].lstrip()
    return found
