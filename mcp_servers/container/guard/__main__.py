"""``python -m mcp_servers.container.guard --listen unix:///… --engine unix:///… --binds DIRECTORY``: runs the guard."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from mcp_servers.container.engine import Engine
from mcp_servers.container.guard.policy import Allowed
from mcp_servers.container.guard.service import Guard
from state.errors import AtlasError
from state.limits import MB


def main() -> int:
    """Until SIGTERM or Ctrl-C."""
    given = _parser().parse_args()
    listen = Path(given.listen.removeprefix("unix://"))
    binds = tuple(Path(os.path.realpath(each)) for each in given.binds)
    allowed = Allowed(
        binds=binds, user=given.user, network=given.network, registries=tuple(given.registry),
        memory=given.memory * MB, cpus=given.cpus, pids=given.pids, containers=given.containers,
    )  # fmt: skip
    guard = Guard(Engine(given.engine), allowed, Path(os.path.realpath(given.own)), str(listen))
    try:
        asyncio.run(_run(guard, listen))
    except (AtlasError, OSError) as error:
        sys.stderr.write(f"guard: {error}\n")
        return 1
    return 0


async def _run(guard: Guard, listen: Path) -> None:
    serving = asyncio.create_task(guard.serve(listen))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    await asyncio.wait([serving])
    if not serving.cancelled():
        serving.result()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mcp_servers.container.guard", description="See docs/deploy.md.")
    add = parser.add_argument
    add("--listen", required=True, help="socket for workers: unix:///path")
    add("--engine", required=True, help="the engine's socket, which no worker may reach: unix:///path")
    add("--binds", action="append", required=True, help="directory of which containers may have parts (again: more)")
    add("--own", required=True, help="directory for the keeper and pins, at this path for the engine too")
    add("--user", default="10001:10001", type=_user, help="who containers are: the workers' uid:gid")
    add("--network", default=None, type=_network, help="engine's network for TODOs with network; none unless given")
    add("--registry", action="append", default=[], help="where images may be pulled from, such as docker.io")
    add("--memory", type=_number, default=4096, help="MB, a container's at most")
    add("--cpus", type=_number, default=os.cpu_count() or 1, help="cores, a container's at most")
    add("--pids", type=_number, default=1024, help="processes, a container's at most")
    add("--containers", type=_number, default=32, help="how many there may be at a time")
    return parser


def _number(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


def _user(text: str) -> str:
    uid, gid = map(int, text.split(":"))
    if uid < 1 or gid < 1:
        raise argparse.ArgumentTypeError("containers are never root")
    return f"{uid}:{gid}"


def _network(text: str) -> str:
    if text == "host" or ":" in text:
        raise argparse.ArgumentTypeError("a network of containers, not of the host or of another container")
    return text


if __name__ == "__main__":
    sys.exit(main())
