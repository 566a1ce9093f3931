"""The tools that a role may call: those of MCP servers in this process. What there is they say over the SDK's memory
transport; a call is given to the server itself, without a message there and one back, which would be most of its cost.

To its user no call fails otherwise than with an outcome, except by being cancelled; then what the call had started has
ended before the cancellation goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from mcp_servers.container.capture import Capture
from mcp_servers.schemas import answer_schema
from mcp_servers.storage.threads import completed
from roles.models.port import ToolSpec
from state.errors import SettingsError
from state.limits import TOOL_TEXT_BYTES

if TYPE_CHECKING:
    from mcp import Client
    from mcp.server import MCPServer
    from mcp.types import CallToolResult, Tool

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NEAREST = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a call: `text` is what the model is told, at most `TOOL_TEXT_BYTES` and a word on what was left out.
    `data` is the answer for programs, where the tool gives one."""

    text: str
    failed: bool = False
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Offered:
    name: str
    """Of the server."""
    server: MCPServer[Any]
    tool: Tool

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(self.tool.name, self.tool.description or "", answer_schema(self.tool.input_schema))


class Toolbox:
    """The tools of `servers` (by a name for each) that are `allowed`: by name, or as a prefix such as ``workspace_*``.
    One that is not allowed does not exist.

    An async context manager, and of no use outside. `SettingsError` on entering: two tools have one name, or a name is
    none that models can use.
    """

    def __init__(self, servers: Mapping[str, MCPServer[Any]], allowed: Collection[str] | None = None) -> None:
        self._servers = servers
        self._allowed = allowed
        self._sessions: list[_Session] = []
        self._offered: dict[str, _Offered] = {}
        self.specs: tuple[ToolSpec, ...] = ()
        """What to tell a model of them: by name, the same in every process."""

    async def __aenter__(self) -> Self:
        try:
            for name, server in self._servers.items():
                session = _Session(server)
                self._sessions.append(session)
                client = await session.opened()
                for tool in await _listed(client):
                    self._add(_Offered(name, server, tool))
        except BaseException:
            await self._close()
            raise
        self.specs = tuple(self._offered[name].spec for name in sorted(self._offered))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    def reads_only(self, name: str) -> bool:
        """Whether a tool changes nothing."""
        annotations = self._offered[name].tool.annotations if name in self._offered else None
        return bool(annotations and annotations.read_only_hint)

    def repeatable(self, name: str) -> bool:
        """Whether a call whose outcome is not known may be made again."""
        annotations = self._offered[name].tool.annotations if name in self._offered else None
        return bool(annotations and (annotations.read_only_hint or annotations.idempotent_hint))

    async def call(self, name: str, arguments: Mapping[str, Any]) -> Outcome:
        """Call a tool. Raises nothing but `CancelledError`, and that when the tool's body has ended."""
        if (offered := self._offered.get(name)) is None:
            return Outcome(self._unknown(name), failed=True)
        calling = asyncio.create_task(_called(offered.server, name, dict(arguments)))
        try:
            await asyncio.wait([calling])
        except asyncio.CancelledError:
            calling.cancel()
            await completed(asyncio.wait([calling]))
            if not calling.cancelled():
                calling.exception()  # seen; that it was cancelled is what counts
            raise
        if calling.cancelled():
            return Outcome(f"{name} broke off: its server ({offered.name}) has ended.", failed=True)
        if error := calling.exception():
            log.warning("%s of %s failed: %r", name, offered.name, error)
            return Outcome(bounded(f"{name} could not be called: {error}"), failed=True)
        return _outcome(calling.result())

    def _add(self, offered: _Offered) -> None:
        name = offered.tool.name
        if not _is_allowed(name, self._allowed):
            return
        if not _NAME.fullmatch(name):
            raise SettingsError(f"the tool {name!r} of {offered.name} has a name that models can't use", "Rename it.")
        if other := self._offered.get(name):
            raise SettingsError(f"both {other.name} and {offered.name} have a tool {name}", "Leave one out.")
        self._offered[name] = offered

    def _unknown(self, name: str) -> str:
        near = get_close_matches(name[:100], self._offered, _NEAREST)
        others = ", ".join(near or sorted(self._offered)) or "none"
        return f"there is no tool {name[:100]!r}; {'did you mean' if near else 'there are'}: {others}"

    async def _close(self) -> None:
        self._offered.clear()
        while self._sessions:
            await completed(self._sessions.pop().closed())


class _Session:
    """A client of one server. It lives in a task of its own: when the server breaks, that ends and nobody else."""

    def __init__(self, server: MCPServer[Any]) -> None:
        self._ready: asyncio.Future[Client] = asyncio.get_running_loop().create_future()
        self._enough = asyncio.Event()
        self._living = asyncio.create_task(self._live(server))

    async def _live(self, server: MCPServer[Any]) -> None:
        from mcp import Client

        async with Client(server) as client:
            self._ready.set_result(client)
            await self._enough.wait()

    async def opened(self) -> Client:
        """The client, once it is connected."""
        await asyncio.wait([self._ready, self._living], return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.done():
            self._living.result()  # raises what it died of
        return self._ready.result()

    async def closed(self) -> None:
        """End it."""
        self._enough.set()
        await asyncio.wait([self._living])
        if not self._living.cancelled() and (error := self._living.exception()):
            log.warning("a server of tools ended badly: %r", error)


def bounded(text: str, limit: int = TOOL_TEXT_BYTES) -> str:
    """The beginning and the end of a text, with a word on what was left out; and without what no database takes."""
    kept = Capture(limit)
    kept.add(text.encode("utf-8", "replace"))
    return kept.text().replace("\0", "\ufffd")


def _outcome(result: CallToolResult) -> Outcome:
    data = cast("Mapping[str, Any] | None", result.structured_content)
    said = [block.text if block.type == "text" else f"[{block.type}, not shown]" for block in result.content]
    if not said and data is not None:
        said = [json.dumps(data, ensure_ascii=False, separators=(",", ":"))]
    return Outcome(bounded("\n".join(said)), bool(result.is_error), None if result.is_error else data)


async def _called(server: MCPServer[Any], name: str, arguments: dict[str, Any]) -> CallToolResult:
    """What the server would send. `MCPError`, as it is."""
    from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
    from mcp.types import CallToolResult, TextContent

    try:
        return cast("CallToolResult", await server.call_tool(name, arguments))
    except ToolError as error:
        if isinstance(error, UnexpectedToolError):
            log.error("%s of a role broke", name, exc_info=error)
        return CallToolResult(content=[TextContent(type="text", text=str(error))], is_error=True)


async def _listed(client: Client) -> list[Tool]:
    tools: list[Tool] = []
    cursor = None
    while True:
        page = await client.list_tools(cursor=cursor)
        tools += page.tools
        if (cursor := page.next_cursor) is None:
            return tools


def _is_allowed(name: str, allowed: Collection[str] | None) -> bool:
    if allowed is None:
        return True
    return any(name.startswith(each[:-1]) if each.endswith("*") else name == each for each in allowed)
