"""The container server's part of the cancellation matrix."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mcp_servers.container.containers import Containers, Options
from mcp_servers.container.engine import Engine
from mcp_servers.container.server import container_server
from mcp_servers.manners import Policy
from tests.integration.cancellation_calls import Area, Call, environment, served
from tests.integration.container_workshop import alive, stuck
from tests.integration.git_repositories import call
from tests.integration.mcp_caller import client
from tests.services.slow_registry import SlowRegistry, slow_registry

if TYPE_CHECKING:
    from mcp.server import MCPServer

Traces = Callable[[], Awaitable[set[str]]]
_LARGE = 260_000_000
_LITTLE_CPU = 0.01
"""Of a core: what is large takes long to be copied."""


@dataclass(frozen=True, slots=True)
class _Boxes:
    """Containers to work in: a common one, one that has little CPU, one whose shell is stuck and sleeps for `mark`."""

    quick: str
    slow: str
    stuck: str
    mark: str


@contextmanager
def container_area(base: Path, docker_url: str, image: str) -> Generator[Area]:
    """The containers to work in are those of the server over HTTP: all servers of the installation may use them."""
    root, home = base / "root", base / "home"
    root.mkdir()
    with (root / "large").open("wb") as large:
        large.truncate(_LARGE)
    arguments = ["container", "--root", str(root), "--no-network"]
    variables = environment(home, DOCKER_HOST=docker_url)

    @asynccontextmanager
    async def memory() -> AsyncGenerator[MCPServer[Any]]:
        async with Containers(boot="memory", home=str(home), url=docker_url, options=Options(network=None)) as ours:
            yield container_server(ours, Policy(), [root])

    with served(arguments, variables, base / "log") as url:
        boxes = asyncio.run(_boxes(url, image))

        @asynccontextmanager
        async def calls() -> AsyncGenerator[list[Call]]:
            async with slow_registry() as pulled, slow_registry() as needed:
                table = _Table(Engine(docker_url), str(home), boxes)
                yield table.calls(image, str(root / "large"), pulled, needed)

        yield Area(arguments=arguments, environment=variables, url=url, memory=memory, calls=calls, seconds=4.0)


async def _boxes(url: str, image: str) -> _Boxes:
    mark = _mark()
    async with client([url], "auto") as connected:
        built = await call(connected, "container_build", name=f"m{mark}", dockerfile=stuck(image, mark))
        quick, slow, hangs = [
            (await call(connected, "container_create", **arguments))["container"]
            for arguments in ({"image": image}, {"image": image, "cpus": _LITTLE_CPU}, {"image": built["image"]})
        ]
    return _Boxes(quick, slow, hangs, mark)


class _Table:
    def __init__(self, engine: Engine, home: str, boxes: _Boxes) -> None:
        self._engine = engine
        self._home = home
        self._boxes = boxes

    def calls(self, image: str, large: str, pulled: SlowRegistry, needed: SlowRegistry) -> list[Call]:
        """Each with a mark of its own."""
        boxes = self._boxes
        run, execute, build, copy = (_mark() for _ in range(4))
        recipe = f"FROM {image}\nRUN sleep {build} & sleep {build}"
        again = ("container_exec", {"container": boxes.quick, "argv": ["true"]})
        others: tuple[str, dict[str, object]] = ("container_list", {})
        return [
            Call(
                "container_run", {"image": image, "argv": _sleeping(run)}, frozenset({"process", "container"}),
                self._traces(run, containers=self._is_ours), others,
            ),
            Call(
                "container_exec", {"container": boxes.quick, "argv": _sleeping(execute)},
                frozenset({"process", "exec"}), self._traces(execute, box=boxes.quick), again,
            ),
            Call(
                "container_build", {"name": f"m{build}", "dockerfile": recipe}, frozenset({"process", "container"}),
                self._traces(build, containers=lambda each: build in str(each["Command"])), others,
            ),
            Call(
                "container_copy_in", {"container": boxes.slow, "local": large, "path": f"large-{copy}"},
                frozenset({"process", "exec"}), self._traces(copy, box=boxes.slow), others,
            ),
            Call(
                "container_write_file", {"container": boxes.stuck, "path": "x", "content": "x"},
                frozenset({"process", "exec"}), self._traces(f"sleep {boxes.mark}", box=boxes.stuck),
                ("container_exec", {"container": boxes.stuck, "argv": ["/bin/true"]}),
            ),
            Call("container_pull", {"image": pulled.image}, frozenset({"download"}), _download(pulled), others),
            Call("container_create", {"image": needed.image}, frozenset({"download"}), _download(needed), others),
        ]  # fmt: skip

    def _traces(
        self, mark: str, box: str | None = None, containers: Callable[[dict[str, Any]], bool] = lambda each: False
    ) -> Traces:
        async def seen() -> set[str]:
            found = {"process"} if any("mcp_caller" not in line for line in alive(mark)) else set[str]()
            if box and (await self._engine.request("GET", f"/containers/{box}/json")).fields()["ExecIDs"]:
                found.add("exec")
            if any(map(containers, await self._containers())):
                found.add("container")
            return found

        return seen

    def _is_ours(self, container: dict[str, Any]) -> bool:
        boxes = (self._boxes.quick, self._boxes.slow, self._boxes.stuck)
        return container["Labels"].get("atlas.home") == self._home and not container["Id"].startswith(boxes)

    async def _containers(self) -> list[dict[str, Any]]:
        return (await self._engine.request("GET", "/containers/json", {"all": "1"})).body  # pyright: ignore[reportReturnType]


def _mark() -> str:
    """A number of seconds to sleep that nobody else sleeps."""
    return f"9{uuid4().int % 10**8:08d}"


def _sleeping(mark: str) -> list[str]:
    return ["sh", "-c", f"(setsid sleep {mark} &); sleep {mark} & sleep {mark}"]


def _download(registry: SlowRegistry) -> Traces:
    async def seen() -> set[str]:
        return {"download"} if registry.waiting else set()

    return seen
