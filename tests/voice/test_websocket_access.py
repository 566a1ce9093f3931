"""Who may talk: the same rules as for all of the server."""

from __future__ import annotations

import json
from collections.abc import Generator

import pytest
from websockets.exceptions import InvalidStatus

from tests.http.server import Server, served, submitted
from tests.voice.caller import calling, plugged

SDP = {"sdp": "v=0\r\n", "type": "offer"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Generator[Server]:
    with served(tmp_path_factory.mktemp("served")) as found:
        yield found


async def refused(server: Server, headers: dict[str, str], query: str = "") -> tuple[int, str]:
    """Status, and the code of the problem."""
    with pytest.raises(InvalidStatus) as raised:
        async with plugged(server, headers=headers, query=query):
            pass
    answer = raised.value.response
    body = bytes(answer.body or b"")
    return answer.status_code, json.loads(body)["code"] if body.startswith(b"{") else body.decode()


async def test_without_a_token_nobody_is_heard(server: Server) -> None:
    assert await refused(server, {}) == (401, "unauthorized")
    assert await refused(server, {"Authorization": "Bearer atl_wrong"}) == (401, "unauthorized")
    with server.plain() as client:
        assert client.post("/voice/api/offer", json=SDP).status_code == 401
        assert client.get("/voice").status_code == 200


def session(server: Server) -> str:
    with server.plain() as client:
        client.post("/api/session", json={"token": server.token})
        return f"atlas_session={client.cookies['atlas_session']}"


async def test_a_browser_is_heard_from_pages_of_this_server_only(server: Server) -> None:
    cookie = session(server)
    assert await refused(server, {"Cookie": cookie}) == (403, "forbidden")
    assert await refused(server, {"Cookie": cookie, "Origin": "http://127.0.0.1:1"}) == (403, "forbidden")
    status, words = await refused(server, {"Cookie": cookie, "Origin": "https://evil.example"})
    assert (status, "Origin" in words) == (403, True)
    async with plugged(server, headers={"Cookie": cookie, "Origin": server.url}):
        pass
    with server.plain(headers={"Cookie": cookie}) as client:
        assert client.post("/voice/api/offer", json=SDP).status_code == 403
        assert client.post("/voice/api/offer", json=SDP, headers={"Origin": "https://evil.example"}).status_code == 403
        assert client.post("/voice/api/offer", json=SDP, headers={"Origin": server.url}).status_code == 422


async def test_under_another_name_nobody_is_heard(server: Server) -> None:
    with server.client() as client:
        assert client.get("/voice", headers={"Host": "rebound.example"}).status_code == 421
    with pytest.raises(InvalidStatus) as raised:
        async with plugged(server, name="rebound.example"):
            pass
    assert raised.value.response.status_code == 421


async def test_who_may_look_may_listen_and_changes_nothing(server: Server) -> None:
    token = server.new_token("looker", "read")
    with server.client() as client:
        run = submitted(
            client, {"atlas": 1, "name": "release", "sandbox": "host", "todos": [{"id": "gate", "ask": "Go?"}]}
        )
        async with calling(server, token) as caller:
            assert (await caller.event("hello"))["changes"] is False
            await caller.asks("atlas, stop everything", "Stop")
            await caller.until(
                lambda: any("not allowed" in each["text"] for each in caller.events if each["event"] == "saying"),
                "it is not allowed",
            )
        assert client.get(f"/api/runs/{run}").json()["state"] == "awaiting_input"
        client.post(f"/api/runs/{run}/cancel")


async def test_a_token_that_counts_no_more_ends_its_conversations(server: Server) -> None:
    token = server.new_token("leaver", "operate")
    async with calling(server, token) as caller:
        server.atlas("token", "revoke", "leaver", code=0)
        assert await caller.closed() == (1008, "this token counts no more")


async def test_there_are_only_so_many_conversations(server: Server) -> None:
    token = server.new_token("crowd", "read")
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        plugged(server, token), plugged(server, token), plugged(server, token), plugged(server, token),
    ):  # fmt: skip
        assert await refused(server, headers) == (429, "too_many_conversations")
        async with plugged(server):  # others are heard
            pass
    assert await refused(server, headers, "?language=tlh") == (422, "bad_input")
    assert await refused(server, headers, "?conversation=../../x") == (422, "bad_input")


def test_the_page_may_use_the_microphone_and_no_other(server: Server) -> None:
    with server.plain() as client:
        page, dashboard = client.get("/voice"), client.get("/")
        assert "microphone=(self)" in page.headers["permissions-policy"]
        assert "microphone=()" in dashboard.headers["permissions-policy"]
        for each in (page, dashboard):
            assert "unsafe" not in each.headers["content-security-policy"]
            assert "script-src 'self'" in each.headers["content-security-policy"]
        script_file = client.get("/voice/static/page.js")
        assert script_file.status_code == 200
        assert "javascript" in script_file.headers["content-type"]
        for none in ("..%2fserving.py", "x" * 300, "index.html%00"):
            assert client.get(f"/voice/static/{none}").status_code == 404
        assert client.get("/voice/ws").status_code == 401
