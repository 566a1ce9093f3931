"""The container tools that run things, and tell what runs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, cast

from mcp.server.mcpserver import Context
from pydantic import Field

from mcp_servers.container import arguments as given
from mcp_servers.container.attendance import Inside
from mcp_servers.container.capture import Captured, telling
from mcp_servers.container.containers import Containers
from mcp_servers.container.logs import Which, exit_code, read_logs
from mcp_servers.container.profile import COMMAND_LABEL, IMAGE_LABEL, WORK
from mcp_servers.container.results import ContainerPage, Ended, Handle, Listed, Logs, Stats
from mcp_servers.manners import Tools
from mcp_servers.paging import fitting, position
from state.errors import Conflict, InputError, SandboxUnavailable
from state.ports import Exit

_RUN_SECONDS = 120.0
_TELLING_SECONDS = 0.5
"""From the end of a command that takes too long to that of its call: enough to kill it, and to tell what it said."""


class WorkingTools:
    """Bodies of the tools; see `manners.Tools.add`."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers

    def register(self, tools: Tools) -> None:
        """Offer them. The network that a container may have, and the pull of its image, reach beyond this host."""
        run = ("image", "network", "container")
        tools.add(self.container_run, "writes", "Run", seconds=_RUN_SECONDS, open_world=True, audited=run)
        tools.add(self.container_create, "writes", "Create", seconds=_RUN_SECONDS, open_world=True, audited=run)
        tools.add(self.container_exec, "replaces", "Execute", seconds=_RUN_SECONDS, open_world=True, audited=run)
        tools.add(self.container_logs, "reads", "Logs", audited=("container",))
        tools.add(self.container_stats, "reads", "Statistics", audited=("container",))
        tools.add(self.container_list, "reads", "List")
        tools.add(self.container_stop, "writes", "Stop", idempotent=True, audited=("container",))
        tools.add(self.container_remove, "destroys", "Remove", idempotent=True, audited=("container",))

    async def container_run(
        self,
        image: given.Image,
        argv: given.Argv,
        ctx: Context,
        deadline: float,
        environment: given.Environment = {},  # noqa: B006  copied by pydantic
        workdir: given.Workdir = WORK,
        network: given.Network = False,
        cpus: given.Cpus = None,
        memory_mb: given.Memory = None,
        pids: given.Pids = None,
        label: given.Label = "",
    ) -> Ended:
        """Run one command in a fresh container and remove it. Output comes as progress while it runs; the answer has
        the exit code and the beginning and end of stdout and stderr (47 KB in all). To keep files between commands use
        container_create and container_exec.

        The container is hardened: not root, no capabilities, a read-only image, empty writable /work (where it starts)
        and /tmp in memory, no network unless asked for, bounded memory, cores and processes. The image's own
        ENTRYPOINT, CMD, USER and VOLUME have no effect. Stopped or timed out, it is killed with all it started; timed
        out, the answer has what it said until then."""
        until = _until(deadline)
        async with telling(ctx) as say:
            said = Captured(say)
            asked = given.resources(cpus, memory_mb, pids, network=network)
            inside = Inside(argv, workdir, environment)
            ended = await self._containers.run(image, inside, asked, label, said.write, until)
        return _ended(ended, said, deadline)

    async def container_create(
        self,
        image: given.Image,
        command: Annotated[
            list[str] | None,
            Field(min_length=1, max_length=1_000, description="A service to run in it, as argv; see container_logs."),
        ] = None,
        environment: given.Environment = {},  # noqa: B006
        workdir: given.Workdir = WORK,
        network: given.Network = False,
        cpus: given.Cpus = None,
        memory_mb: given.Memory = None,
        pids: given.Pids = None,
        label: given.Label = "",
    ) -> Handle:
        """Make a container to work in and return its id for the other tools. It waits for container_exec; with a
        `command` it also runs that, whose output container_logs shows.

        Hardened as in container_run: not root, no capabilities, read-only image, /work and /tmp in memory (its files
        are gone when it stops). `environment` and `workdir` are the command's. When `command` ends, all that runs in
        the container is killed; the container goes on waiting. It ends with this server at the latest."""
        inside = Inside(command, workdir, environment) if command else None
        asked = given.resources(cpus, memory_mb, pids, network=network)
        identity = await self._containers.create(image, inside, asked, label)
        return Handle(container=identity[:12], state="running")

    async def container_exec(
        self,
        container: given.Container,
        argv: given.Argv,
        ctx: Context,
        deadline: float,
        environment: given.Environment = {},  # noqa: B006
        workdir: given.Workdir = WORK,
    ) -> Ended:
        """Run a command in a container made by container_create. Its stdin is empty. Output comes as progress; the
        answer has the exit code and the beginning and end of stdout and stderr (47 KB in all): send what is longer to a
        file and page through it with container_read_file.

        When the command ends, is stopped or times out, all that it started is killed too, in the background or not. A
        service that is to stay belongs into container_create's `command`."""
        until = _until(deadline)
        found = await self._containers.registry.find(container)
        inside = Inside(argv, workdir, environment, found.environment)
        async with telling(ctx) as say:
            said = Captured(say)
            ended = await self._containers.attendance.run(found.id, inside, said.write, until)
        return _ended(ended, said, deadline)

    async def container_logs(
        self,
        container: given.Container,
        stream: Annotated[Which, Field(description="Which output.")] = "both",
        since: Annotated[
            str | None, Field(max_length=40, description="Only what was said since: ISO 8601 time, or seconds ago.")
        ] = None,
        tail: Annotated[
            int | None, Field(ge=1, le=100_000, description="Only the last lines; not with cursor.")
        ] = None,
        cursor: given.Cursor = None,
    ) -> Logs:
        """What the `command` of a container has said, also after it ended: at most 50 KB a page, oldest first; pass
        next_cursor for the rest. To follow a log pass `position` as cursor later, with the same `stream` and `since`
        as a time. The engine keeps the last 16 MB. What container_exec ran is in its own answers, not here."""
        found = await self._containers.registry.find(container, to_look=True)
        if tail is not None and cursor is not None:
            raise InputError("`tail` and `cursor` exclude each other")
        start = position(cursor) if cursor else None
        return await read_logs(self._containers.engine, found.id, stream, _time(since), start, tail)

    async def container_stats(self, container: given.Container) -> Stats:
        """What a running container uses now: cores, memory, processes, network. Takes about two seconds."""
        found = await self._containers.registry.find(container, to_look=True)
        if found.part("State").get("Running") is not True:
            raise Conflict("this container does not run, so it uses nothing", "See container_list.")
        path = f"/containers/{found.id}/stats"
        reply = await self._containers.engine.request("GET", path, {"stream": "false"})
        if reply.status != 200:
            raise SandboxUnavailable(f"The engine has no statistics: {reply.message}")
        return _stats(found.id, reply.fields())

    async def container_list(self, cursor: given.Cursor = None) -> ContainerPage:
        """The containers made by container_create, running or stopped, newest first; those of other programs are not
        shown, unless the server's operator lets them be looked at. Paged by cursor."""
        registry = self._containers.registry
        listed = await registry.list()
        ours = [registry.owns(each) for each in listed]
        codes = await asyncio.gather(*map(self._exit_code, listed, ours))
        rows = [_listed(each, code, ours=own) for each, code, own in zip(listed, codes, ours, strict=True)]
        start = position(cursor)
        count = fitting(rows[start:])
        more = str(start + count) if start + count < len(rows) else None
        return ContainerPage(containers=rows[start : start + count], next_cursor=more)

    async def _exit_code(self, entry: dict[str, object], ours: bool) -> int | None:
        if not ours or entry["State"] != "running":
            return None
        with suppress(Conflict):  # it is being removed
            return await exit_code(self._containers.engine, str(entry["Id"]))
        return None

    async def container_stop(self, container: given.Container) -> Handle:
        """Kill all that runs in a container, which ends it; its log stays. Its files, which were in memory, are gone,
        and it can't be started again. (This writes rather than destroys: it ends what this server itself made and would
        end anyway.)"""
        found = await self._containers.registry.find(container)
        await self._containers.stop(found)
        return Handle(container=found.id[:12], state="exited")

    async def container_remove(self, container: given.Container) -> Handle:
        """Remove a container with all that is in it, its log too, running or not. (This destroys: the log can't be had
        back. Where it is not offered, container_stop frees the place, and the server removes the rest at its end.)"""
        found = await self._containers.registry.find(container)
        await self._containers.remove(found)
        return Handle(container=found.id[:12], state="removed")


def _until(deadline: float) -> float:
    """The loop's time at which a command must end, if its call has so many seconds."""
    return asyncio.get_running_loop().time() + deadline - min(_TELLING_SECONDS, deadline / 4)


def _ended(ended: Exit, said: Captured, deadline: float) -> Ended:
    if ended.cause == "lease":
        raise Conflict("the container ended before its command did", "Was the engine restarted? Try again.")
    late = f"It was stopped after {deadline:g} s, with all that it had started: pass a longer `timeout`."
    notes = [late if ended.cause == "timeout" else None, said.note]
    return Ended(
        exit_code=ended.code,
        out_of_memory=ended.cause == "oom",
        timed_out=ended.cause == "timeout",
        seconds=round(ended.seconds, 3),
        stdout=said.stdout.text(),
        stderr=said.stderr.text(),
        note=" ".join(filter(None, notes)) or None,
    )


def _time(text: str | None) -> float | None:
    if text is None:
        return None
    now = datetime.now(UTC).timestamp()
    try:
        return now - float(text)
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text!r} is not a time", "Such as 2026-11-21T14:00:00Z, or 60 for a minute ago.") from error
    return time.replace(tzinfo=time.tzinfo or UTC).timestamp()


def _listed(entry: dict[str, object], code: int | None, *, ours: bool) -> Listed:
    labels = cast("dict[str, str]", entry["Labels"] or {})
    return Listed(
        container=str(entry["Id"])[:12],
        name=(cast("list[str]", entry["Names"]) or ["/"])[0].removeprefix("/"),
        image=(labels.get(IMAGE_LABEL) if ours else None) or str(entry["Image"]),
        state=str(entry["State"]),
        status=str(entry["Status"]),
        label=labels.get(COMMAND_LABEL, "") if ours else "",
        exit_code=code,
        created=datetime.fromtimestamp(cast("int", entry["Created"]), UTC).isoformat(),
        ours=ours,
    )


def _stats(identity: str, fields: dict[str, object]) -> Stats:
    now, before = _part(fields, "cpu_stats"), _part(fields, "precpu_stats")
    used = _number(_part(now, "cpu_usage"), "total_usage") - _number(_part(before, "cpu_usage"), "total_usage")
    passed = _number(now, "system_cpu_usage") - _number(before, "system_cpu_usage")
    cores = _number(now, "online_cpus") or 1
    memory = _part(fields, "memory_stats")
    networks = [cast("dict[str, object]", each) for each in _part(fields, "networks").values()]
    return Stats(
        container=identity[:12],
        cpu_percent=round(100 * cores * used / passed, 1) if passed > 0 else 0.0,
        memory_bytes=_number(memory, "usage"),
        memory_limit=_number(memory, "limit"),
        pids=_number(_part(fields, "pids_stats"), "current"),
        received_bytes=sum(_number(each, "rx_bytes") for each in networks),
        sent_bytes=sum(_number(each, "tx_bytes") for each in networks),
    )


def _part(fields: dict[str, object], name: str) -> dict[str, object]:
    value = fields.get(name)
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _number(fields: dict[str, object], name: str) -> int:
    value = fields.get(name)
    return int(value) if isinstance(value, int | float) else 0
