"""What MCP clients of `atlas serve` may not, and what they are told that is wrong."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from mcp import MCPError

from tests.http.mcp_client import (
    ASK,
    GREET,
    Tasks,
    called,
    connected,
    plan,
    refused,
    waited,
)
from tests.http.server import Server


@pytest.fixture(scope="module")
def stranger(server: Server) -> str:
    """Of one who may do everything, and whose plans are a program's."""
    with server.client() as admin:
        made = admin.post("/api/tokens", json={"name": "stranger", "scope": "admin"})
        return made.json()["secret"]


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("submit_plan", {"plan": {"atlas": 1}}, "neither todos nor a goal"),
        ("submit_plan", {"plan": "{"}, "1:"),
        ("submit_plan", {"plan": 3}, "`plan`: input should be a valid dictionary"),
        ("submit_plan", {"plan": plan(GREET), "kye": "x"}, "did you mean `key`"),
        ("submit_plan", {"plan": {**plan(GREET), "repo": "/etc"}}, "/etc may not be named from here"),
        ("submit_plan", {"plan": plan({"id": "a", "run": "true", "inputs": {"file:///etc/passwd": "a"}})}, "passwd"),
        ("submit_goal", {"goal": ""}, "goal"),
        ("submit_goal", {"goal": "x", "repo": "https://example.com/x.git"}, "may not be named"),
        ("get_run", {"run": "no such"}, "no such"),
        ("get_run", {"run": "\x00\u2028"}, ""),
        ("get_todo", {"run": "last", "todo": "../../etc/passwd"}, "etc/passwd"),
        ("list_todos", {"run": "last", "cursor": "-1"}, "not a cursor"),
        ("list_runs", {"cursor": "bogus"}, "not a cursor"),
        ("get_log", {"run": "last", "todo": "greet", "cursor": "9" * 20}, "not a cursor"),
        ("answer_question", {"question": "none", "value": "yes"}, "none"),
        ("cancel_run", {"run": "none"}, "none"),
        ("retry_todo", {"run": "last", "todo": "greet"}, "greet"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_said(
    server: Server, stranger: str, tool: str, arguments: dict[str, Any], said: str
) -> None:
    async with connected(server) as client:
        await waited(client, (await called(client, "submit_plan", plan=plan(GREET)))["run"]["id"])
    async with connected(server, token=stranger) as client:
        assert said in await refused(client, tool, **arguments)


async def test_what_a_stranger_submits_does_not_run_on_the_host(server: Server, stranger: str) -> None:
    async with connected(server, token=stranger) as client:
        made = await called(client, "submit_plan", plan=plan(GREET))
        run, warnings = made["run"]["id"], made["warnings"]
        assert ["sandbox: host" in warnings[0], "no image for greet" in warnings[1]] == [True, True]
        (attention,) = (await waited(client, run, "blocked"))["attention"]
        assert attention.startswith("greet blocked (")
        assert "may not run on the host" in attention
        todo = await called(client, "get_todo", run=run, todo="greet")
        assert "host" in todo["detail"], todo


async def test_scopes(server: Server) -> None:
    with server.client() as admin:
        made = admin.post("/api/tokens", json={"name": "mcp-reader", "scope": "read"}).json()["secret"]
    async with connected(server) as client:
        run = (await called(client, "submit_plan", plan=plan(ASK)))["run"]["id"]
        await waited(client, run, "awaiting_input")
    async with connected(server, token=made, extensions=[tasks := Tasks()]) as reader:
        assert (await called(reader, "get_run", run=run))["id"] == run
        assert (await tasks.get(reader.session, run)).status == "input_required"
        for tool, arguments in (
            ("submit_plan", {"plan": plan(GREET)}), ("submit_goal", {"goal": "x"}), ("cancel_run", {"run": run}),
            ("retry_todo", {"run": run, "todo": "ship"}), ("answer_question", {"question": "ship", "value": "yes"}),
        ):  # fmt: skip
            assert "this needs a token that may operate" in await refused(reader, tool, **arguments)
        with pytest.raises(MCPError, match="may operate"):
            await tasks.cancel(reader.session, run)
        with pytest.raises(MCPError, match="may operate"):
            await tasks.update(reader.session, run, "ship", "yes")
    async with connected(server) as client:
        assert (await called(client, "get_run", run=run))["state"] == "awaiting_input"
        await called(client, "cancel_run", run=run)


def test_without_a_token_nothing(server: Server) -> None:
    with server.plain() as anybody:
        for method in ("GET", "POST", "DELETE"):
            answer = anybody.request(method, "/mcp")
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer")
        forged = anybody.post("/mcp", headers={"Host": "evil.example"})
        assert forged.status_code == 421


def test_a_session_belongs_to_who_began_it(server: Server) -> None:
    """Of clients before 2026-07-28: its id alone opens nothing."""
    other = server.new_token("another", "admin")
    hello = {
        "jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "0"}},
    }  # fmt: skip
    accept = {"Accept": "application/json, text/event-stream"}
    with server.client() as mine, server.client(other) as theirs:
        session = mine.post("/mcp", json=hello, headers=accept).headers["mcp-session-id"]
        ping = {"jsonrpc": "2.0", "id": 2, "method": "ping"}
        headers = {**accept, "Mcp-Session-Id": session}
        assert theirs.post("/mcp", json=ping, headers=headers).status_code == 404
        assert theirs.delete("/mcp", headers=headers).status_code == 404
        assert mine.post("/mcp", json=ping, headers=headers).status_code == 200


def test_bodies_are_bounded(server: Server) -> None:
    with server.client() as client:
        answer = client.post("/mcp", content=b"x" * 9_000_000, headers={"Content-Type": "application/json"})
        assert answer.status_code == 413


def test_what_a_body_says_is_checked(server: Server) -> None:
    with server.client() as client:
        headers = {"Accept": "application/json, text/event-stream"}
        for body in (b"", b"{", b"[]", b"null", b'{"jsonrpc": "1.0"}', b"\xff\xfe", b"[" * 100_000):
            for version in ({}, {"MCP-Protocol-Version": "2026-07-28"}, {"MCP-Protocol-Version": "1999-01-01"}):
                answer: httpx.Response = client.post("/mcp", content=body, headers=headers | version)
                assert 400 <= answer.status_code < 500, (body, version, answer.status_code, answer.text)
