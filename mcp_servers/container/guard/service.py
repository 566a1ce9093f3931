"""The few requests that workers have reason for, each made anew; everything else is refused with 403."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

from mcp_servers.container.engine import CHUNK, Engine, Reply
from mcp_servers.container.facts import learn
from mcp_servers.container.guard import wire
from mcp_servers.container.guard.pins import Pins
from mcp_servers.container.guard.policy import Allowed, Refused, remade
from mcp_servers.container.images import NAME
from mcp_servers.container.oneshot import END_SECONDS
from mcp_servers.container.profile import KEEPER
from state.errors import SandboxUnavailable

GUARD_LABEL = "atlas.guard"
PULL_SECONDS = 600.0
_ASKING_SECONDS = 30.0
_CONNECTIONS = 512
_CONTAINER = re.compile(r"atlas-[0-9a-f]{16}")
_LOGIN = re.compile(r"[A-Za-z0-9_=-]*")
_REMOVAL = {"force": "1", "v": "1"}


@dataclass(slots=True)
class Guard:
    """`own` is a directory that nobody else writes to, at the same path for the engine; `name` tells this guard's
    containers from those of others on the engine."""

    engine: Engine
    allowed: Allowed
    own: Path
    name: str
    _pins: Pins = field(init=False)
    _keeper: Path = field(init=False)
    _made: dict[str, str] = field(init=False, default_factory=dict[str, str])
    _busy: int = field(init=False, default=0)

    async def serve(self, listen: Path) -> None:
        """Until cancelled. What an earlier guard left is removed first: its lifelines went with it."""
        self._settle_in((await learn(self.engine, writing=True)).keeper)
        await self._remove_left()
        server = await asyncio.start_unix_server(self._connected, sock=_socket(listen), limit=wire.LARGEST_HEAD)
        async with server:
            sys.stderr.write(f"listening on unix://{listen}\n")
            await server.serve_forever()

    def _settle_in(self, keeper: Path) -> None:
        self.own.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._pins = Pins(self.own / "pins")
        self._keeper = self.own / keeper.name
        self._keeper.unlink(missing_ok=True)
        shutil.copy(keeper, self._keeper)
        self._keeper.chmod(0o555)

    async def _remove_left(self) -> None:
        filters = json.dumps({"label": [f"{GUARD_LABEL}={self.name}"]})
        reply = await self.engine.request("GET", "/containers/json", {"all": "1", "filters": filters})
        for each in cast("list[dict[str, object]]", reply.body if reply.status == 200 else []):
            if each.get("Command") == KEEPER:  # labels may come from an image, too
                await self.engine.request("DELETE", f"/containers/{each['Id']}", _REMOVAL)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._busy += 1
        try:
            if self._busy > _CONNECTIONS:
                raise Refused("too many requests at a time", 503)
            async with asyncio.timeout(_ASKING_SECONDS):
                request = await wire.read(reader)
            match request.method, request.steps:
                case "POST", ("containers", handle, "attach"):
                    await self._attach(self._known(handle), reader, writer)
                    return
                case _:
                    reply = await self._reply(request)
            writer.write(wire.answer(reply.status, reply.body))
        except (Refused, SandboxUnavailable, TimeoutError) as error:
            status = error.status if isinstance(error, Refused) else 502
            writer.write(wire.answer(status, {"message": f"the guard before the engine: {error}"}))
        except ConnectionError:
            pass
        finally:
            self._busy -= 1
            with suppress(OSError):
                writer.close()
                await writer.wait_closed()

    async def _reply(self, request: wire.Request) -> Reply:
        match request.method, request.steps:
            case "GET", ("info",):
                return await self._info()
            case "GET", ("images", name, "json"):
                return await self._image(name)
            case "POST", ("images", "create"):
                return await self._pull(request)
            case "POST", ("containers", "create"):
                return await self._create(request)
            case "POST", ("containers", handle, "start"):
                name = self._known(handle)
                reply = await self.engine.request("POST", f"/containers/{self._made[name]}/start")
                self._pins.release(name)
                return Reply(reply.status, None if reply.status == 204 else reply.body)
            case "GET", ("containers", "json"):
                return await self._list()
            case "DELETE", ("containers", handle):
                return await self._remove(self._known(handle))
            case _:
                raise Refused(f"{request.method} /{'/'.join(request.steps)[:200]} is not for workers")

    def _known(self, handle: str) -> str:
        name = next((name for name, identity in self._made.items() if identity and handle in (name, identity)), None)
        if name is None:
            raise Refused("no such container", 404)
        return name

    async def _info(self) -> Reply:
        reply = await self.engine.request("GET", "/info")
        fields = reply.fields()
        told: dict[str, object] = {name: fields.get(name) for name in ("OSType", "ServerVersion", "Architecture")}
        cores = min(self.allowed.cpus, int(cast("int", fields.get("NCPU") or 1)))
        return Reply(reply.status, told | {"NCPU": cores})

    async def _image(self, name: str) -> Reply:
        if not NAME.fullmatch(name) or ".." in name:
            raise Refused("that is not the name of an image", 404)
        reply = await self.engine.request("GET", f"/images/{quote(name, safe='')}/json")
        config = cast("dict[str, object]", reply.fields().get("Config") or {})
        told: dict[str, object] = {key: config.get(key) for key in ("Env", "Volumes", "OnBuild")}
        return reply if reply.status != 200 else Reply(200, {"Id": reply.fields()["Id"], "Config": told})

    async def _pull(self, request: wire.Request) -> Reply:
        name, login = request.query.get("fromImage", ""), request.fields.get("x-registry-auth", "")
        if set(request.query) != {"fromImage"} or not NAME.fullmatch(name) or not _LOGIN.fullmatch(login):
            raise Refused("images are pulled by name here, and in no other way")
        if not self.allowed.pulls(name):
            raise Refused("no images are pulled from there; ask the operator to put it on the engine")
        headers = {"X-Registry-Auth": login} if login else None
        query = {"fromImage": name}
        return await self.engine.request("POST", "/images/create", query, headers=headers, timeout=PULL_SECONDS)

    async def _create(self, request: wire.Request) -> Reply:
        name = request.query.get("name", "")
        if set(request.query) != {"name"} or not _CONTAINER.fullmatch(name) or name in self._made:
            raise Refused("this is no name for a container of a worker")
        if len(self._made) >= self.allowed.containers:
            raise Refused(f"{len(self._made)} containers run already, and no more are allowed", 503)
        made, sources = remade(request.body, self.allowed, self._keeper)
        made["Labels"] |= {GUARD_LABEL: self.name}
        self._made[name] = ""  # nobody else's, and not there yet
        try:
            for number, source in enumerate(sources[1:], 1):
                pinned = self._pins.pin(name, number, self.allowed.place(source))
                made["HostConfig"]["Mounts"][number]["Source"] = str(pinned)
            reply = await self.engine.request("POST", "/containers/create", {"name": name}, body=made)
            if reply.status != 201:
                raise Refused(reply.message, reply.status)
        except BaseException:  # a container of that name would be somebody else's
            del self._made[name]
            self._pins.release(name)
            raise
        self._made[name] = str(reply.fields()["Id"])
        return reply

    async def _list(self) -> Reply:
        filters = json.dumps({"label": [f"{GUARD_LABEL}={self.name}"]})
        reply = await self.engine.request("GET", "/containers/json", {"all": "1", "filters": filters})
        rows = cast("list[dict[str, Any]]", reply.body if reply.status == 200 else [])
        ours = {*self._made.values()}
        told = [{key: row[key] for key in ("Id", "Labels", "Command")} for row in rows if row["Id"] in ours]
        return Reply(reply.status, told)

    async def _remove(self, name: str) -> Reply:
        self._pins.release(name)
        if name not in self._made:
            return Reply(404, {"message": "no such container"})
        reply = await self.engine.request("DELETE", f"/containers/{self._made[name]}", _REMOVAL)
        if reply.status in (204, 404, 409):  # gone, or going
            self._made.pop(name, None)
        return Reply(reply.status, None if reply.status == 204 else reply.body)

    async def _attach(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """The worker's line to its keeper. Its end is the container's, started or not, whatever runs as PID 1."""
        streams = {"stream": "1", "stdin": "1", "stdout": "1", "stderr": "1"}
        try:
            connection, early = await self.engine.attach(f"/containers/{self._made[name]}/attach", streams)
            with connection:
                writer.write(wire.UPGRADED + early)
                await _join(reader, writer, connection)
        finally:
            with suppress(SandboxUnavailable):
                await asyncio.shield(self._remove(name))


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, engine: socket.socket) -> None:
    """Both ways, until the container has ended, or its worker has gone and it has had its time to follow."""
    loop = asyncio.get_running_loop()

    async def there() -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await loop.sock_sendall(engine, data)
        with suppress(OSError):
            engine.shutdown(socket.SHUT_WR)

    async def back() -> None:
        with suppress(OSError):
            while data := await loop.sock_recv(engine, CHUNK):
                writer.write(data)
                await writer.drain()

    ways = [asyncio.create_task(there()), asyncio.create_task(back())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(ways[1:], timeout=END_SECONDS)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.wait(ways)


def _socket(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    opened = socket.socket(socket.AF_UNIX)
    opened.bind(str(path))
    path.chmod(0o660)  # nobody listens yet
    return opened
