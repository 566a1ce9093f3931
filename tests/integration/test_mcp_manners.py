"""What every MCP tool promises, whatever it does: in memory and over HTTP, in both protocol eras."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import Annotated, Any, Literal

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from pydantic import BaseModel, Field

from mcp_servers.manners import DESCRIPTION_CHARACTERS, Effect, Policy, Tools
from mcp_servers.serving import Address, mcp_server, serve_http
from state.errors import InputError
from tests.integration.git_repositories import call, refusal
from tests.integration.mcp_serving import over_http

Mode = Literal["auto", "legacy"]
MODES: list[Mode] = ["auto", "legacy"]
TOKEN = "a long secret token"


class Slept(BaseModel):
    """What a nap answers."""

    seconds: float


class Bodies:
    """Tools that do what a test wants."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cleaned = asyncio.Event()

    async def x_nap(
        self,
        seconds: Annotated[float, Field(description="How long.")],
        ctx: Context,
        names: list[str] = [],  # noqa: B006
    ) -> Slept:
        """Sleeps, and takes a moment to clean up."""
        self.started.set()
        try:
            await ctx.report_progress(1, 2, "half")
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            self.cleaned.set()
            raise
        return Slept(seconds=seconds)

    async def x_fail(self, how: Literal["told", "defect"], password: str = "") -> Slept:
        """Fails."""
        if how == "told":
            raise InputError("no such thing", "Name another.")
        raise RuntimeError("a secret of ours")


@pytest.fixture
def bodies() -> Bodies:
    return Bodies()


def served(bodies: Bodies, token: str | None = None) -> MCPServer[Any]:
    tools = Tools(Policy(seconds=20))
    tools.add(bodies.x_nap, "reads", "Nap", seconds=10, audited=("seconds",))
    tools.add(bodies.x_fail, "writes", "Fail", audited=("how",))
    return mcp_server("x", "X", "A test.", tools.tools, token)


@pytest.mark.parametrize("mode", MODES)
async def test_arguments_are_checked_in_words(bodies: Bodies, mode: Mode) -> None:
    async with Client(served(bodies), mode=mode) as client:
        assert await call(client, "x_nap", seconds=0) == {"seconds": 0.0}
        assert await refusal(client, "x_nap", seconds=0, name=[]) == (
            "x_nap: there is no argument `name`; did you mean `names`?"
        )
        assert await refusal(client, "x_nap", seconds=0, zzz=1) == (
            "x_nap: there is no argument `zzz` (seconds, names, timeout)"
        )
        assert await refusal(client, "x_nap") == "x_nap: `seconds` is missing"
        assert "should be a valid number" in await refusal(client, "x_nap", seconds="soon")
        assert "less than or equal to 20" in await refusal(client, "x_nap", seconds=0, timeout=21)
        assert "greater than 0" in await refusal(client, "x_nap", seconds=0, timeout=0)


@pytest.mark.parametrize("mode", MODES)
async def test_errors_say_what_to_do_and_defects_say_nothing(
    bodies: Bodies, mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    async with Client(served(bodies), mode=mode) as client:
        assert await refusal(client, "x_fail", how="told") == "no such thing. Name another."
        assert await refusal(client, "x_fail", how="defect") == "x_fail broke; the server's log says where"
    assert "a secret of ours" in caplog.text


@pytest.mark.parametrize("mode", MODES)
async def test_a_deadline_and_a_cancellation_wait_for_the_cleaning_up(bodies: Bodies, mode: Mode) -> None:
    async with Client(served(bodies), mode=mode) as client:
        assert "was stopped after 0.1 s" in await refusal(client, "x_nap", seconds=60, timeout=0.1)
        assert bodies.cleaned.is_set()
        bodies.cleaned.clear()
        bodies.started.clear()
        napping = asyncio.create_task(client.call_tool("x_nap", {"seconds": 60}))
        await bodies.started.wait()
        napping.cancel()
        await asyncio.gather(napping, return_exceptions=True)
        async with asyncio.timeout(20):
            await bodies.cleaned.wait()
        assert await call(client, "x_nap", seconds=0)


async def test_one_audit_line_without_content(bodies: Bodies, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "atlas.audit")
    async with Client(served(bodies)) as client:
        await call(client, "x_nap", seconds=0, names=["private"])
        await refusal(client, "x_fail", how="told", password="hunter2")
    lines = [record.getMessage() for record in caplog.records if record.name == "atlas.audit"]
    assert len(lines) == 2
    assert lines[0].startswith("x_nap done in ")
    assert lines[0].endswith(" seconds=0")
    assert lines[1].startswith("x_fail failed (bad_input) in ")
    assert "hunter2" not in caplog.text
    assert "private" not in caplog.text


@pytest.mark.parametrize(
    ("policy", "offered"),
    [
        (Policy(read_only=True, allow_destructive=True), ["reads"]),
        (Policy(), ["reads", "writes", "replaces"]),
        (Policy(allow_destructive=True), ["reads", "writes", "replaces", "destroys"]),
    ],
)
def test_a_policy_decides_which_tools_there_are(bodies: Bodies, policy: Policy, offered: list[Effect]) -> None:
    effects: tuple[Effect, ...] = ("reads", "writes", "replaces", "destroys")
    assert [effect for effect in effects if policy.allows(effect)] == offered
    tools = Tools(policy)
    for effect in effects:
        tools.add(bodies.x_nap, effect, effect)
    assert [tool.title for tool in tools.tools] == offered


async def test_annotations(bodies: Bodies) -> None:
    tools = Tools(Policy(allow_destructive=True))
    tools.add(bodies.x_fail, "destroys", "Fail", open_world=True)
    async with Client(mcp_server("x", "X", "", tools.tools)) as client:
        (tool,) = (await client.list_tools()).tools
    assert tool.annotations
    assert tool.annotations.model_dump() == {
        "title": "Fail", "read_only_hint": False, "destructive_hint": True, "idempotent_hint": False,
        "open_world_hint": True,
    }  # fmt: skip
    assert tool.input_schema["additionalProperties"] is False
    assert tool.output_schema


def test_a_description_must_fit(bodies: Bodies) -> None:
    async def x_long() -> Slept:
        raise NotImplementedError

    for text in ("", "x" * (DESCRIPTION_CHARACTERS + 1)):
        x_long.__doc__ = text
        with pytest.raises(ValueError, match="needs a docstring"):
            Tools(Policy()).add(x_long, "reads", "Long")


@pytest.mark.parametrize("mode", MODES)
async def test_over_http_with_a_token(bodies: Bodies, mode: Mode) -> None:
    async with over_http(served(bodies, TOKEN), Address(port=0, token=TOKEN, origins=["https://pages.example"])) as url:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            httpx2.AsyncClient(headers=headers) as http,
            Client(streamable_http_client(url, http_client=http), mode=mode) as client,
        ):
            assert await call(client, "x_nap", seconds=0) == {"seconds": 0.0}
            assert "was stopped" in await refusal(client, "x_nap", seconds=60, timeout=0.1)


async def test_answers_over_http_are_not_held_back(bodies: Bodies) -> None:
    """Nagle's algorithm would keep each for the 40 ms that the client waits before it acknowledges the part before."""
    async with (
        over_http(served(bodies), Address(port=0)) as url,
        Client(streamable_http_client(url)) as client,
    ):
        await call(client, "x_nap", seconds=0)
        start = time.perf_counter()
        for _ in range(50):
            await call(client, "x_nap", seconds=0)
        assert (time.perf_counter() - start) / 50 < 0.003 * 10


INITIALIZE = {
    "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"},
}  # fmt: skip
BODY: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Bearer \u00fc".encode("latin-1")}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, 421),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, 403),
    ],
)
async def test_who_is_kept_out(bodies: Bodies, headers: dict[str, Any], status: int) -> None:
    accept = {"Accept": "application/json, text/event-stream"}
    async with (
        over_http(served(bodies, TOKEN), Address(port=0, token=TOKEN, origins=["https://pages.example"])) as url,
        httpx2.AsyncClient() as http,
    ):
        answer = await http.post(url, json=BODY, headers={**accept, **headers})
        assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("host", "more", "status"),
    [
        ("192.0.2.7:8420", {}, 200),
        ("[2001:db8::1]:8420", {}, 200),
        ("localhost", {"Origin": "http://127.0.0.1:3000"}, 200),
        ("atlas.example", {}, 200),
        ("evil.example:8420", {}, 421),
        ("192.0.2.7.evil.example", {}, 421),
        ("", {}, 421),
        ("192.0.2.7", {"Origin": "http://evil.example"}, 403),
        ("192.0.2.7", {"Origin": "null"}, 403),
    ],
)
async def test_a_server_on_all_addresses(bodies: Bodies, host: str, more: dict[str, str], status: int) -> None:
    address = Address(port=0, host="0.0.0.0", token=TOKEN, hosts=["atlas.example"])  # noqa: S104
    headers = {"Accept": "application/json, text/event-stream", "Authorization": f"Bearer {TOKEN}", "Host": host}
    async with over_http(served(bodies, TOKEN), address) as url, httpx2.AsyncClient() as http:
        body = BODY | {"method": "initialize", "params": INITIALIZE}
        answer = await http.post(url.replace("0.0.0.0", "127.0.0.1"), json=body, headers=headers | more)  # noqa: S104
        assert answer.status_code == status, answer.text
        assert status == 200 or "--allow-" in answer.text


async def test_other_addresses_need_a_token(bodies: Bodies) -> None:
    with pytest.raises(InputError, match="no token is required"):
        await serve_http(served(bodies), Address(port=0, host="0.0.0.0"), print)  # noqa: S104


async def test_a_port_that_is_taken(bodies: Bodies) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InputError, match="cannot listen"):
        await serve_http(served(bodies), Address(port=taken.getsockname()[1]), print)


async def test_a_call_costs_little(bodies: Bodies) -> None:
    async with Client(served(bodies)) as client:
        await call(client, "x_nap", seconds=0)
        start = time.perf_counter()
        for _ in range(100):
            await call(client, "x_nap", seconds=0)
        assert (time.perf_counter() - start) / 100 < 0.003 * 10
