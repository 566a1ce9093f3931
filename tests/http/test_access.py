"""Who may come in, how much they may bring, and what they may not make others do."""

from __future__ import annotations

import contextlib
import socket
import stat
import time
from collections.abc import Generator
from pathlib import Path

import httpx
import pytest

from tests.http.server import PLAN, Server, served, submitted

WAYS = [
    ("GET", "/api/runs"), ("POST", "/api/runs"), ("GET", "/api/runs/last"), ("GET", "/api/runs/last/events"),
    ("GET", "/api/runs/last/todos/greet/log"), ("GET", "/api/events"), ("GET", "/api/questions"),
    ("POST", "/api/questions/x/answer"), ("POST", "/api/runs/last/cancel"), ("GET", "/api/tokens"),
    ("GET", "/api/audit"), ("POST", "/api/tokens"), ("GET", "//api/runs"), ("GET", "/API/runs"), ("GET", "/docs"),
]  # fmt: skip
EVERYWHERE = "0.0.0.0"  # noqa: S104


@pytest.fixture
def anybody(server: Server) -> Generator[httpx.Client]:
    with server.plain() as found:
        yield found


@pytest.mark.parametrize(("method", "path"), WAYS)
def test_without_a_token_nothing(server: Server, anybody: httpx.Client, method: str, path: str) -> None:
    answer = anybody.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert (answer.headers["content-type"], answer.json()["code"]) == ("application/problem+json", "unauthorized")


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/openapi.json", "/static/app.js"])
def test_what_is_open(anybody: httpx.Client, path: str) -> None:
    answer = anybody.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("header", ["Bearer", "Bearer wrong", "Basic eDp5", "bearer atl_x", "Bearer \xff\xfe"])
def test_a_wrong_token_is_none(anybody: httpx.Client, header: str) -> None:
    answer = anybody.get("/api/runs", headers=[(b"Authorization", header.encode("latin-1"))])
    assert answer.status_code == 401


def test_scopes(server: Server) -> None:
    reading, operating = server.new_token("reader", "read"), server.new_token("operator", "operate")
    with server.client() as admin:
        submitted(admin)
    with server.client(reading) as reader:
        assert reader.get("/api/runs").status_code == 200
        for path in (
            "/api/runs",
            "/api/runs/last/cancel",
            "/api/runs/last/todos/greet/retry",
            "/api/questions/x/answer",
        ):
            answer = reader.post(path, json={"plan": PLAN})
            assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), path
        assert reader.get("/api/tokens").status_code == 403
        assert reader.get("/api/audit").status_code == 403
    with server.client(operating) as operator:
        assert operator.post("/api/runs", json={"plan": {**PLAN, "sandbox": "auto"}}).status_code == 201
        assert operator.get("/api/tokens").status_code == 403
        assert operator.post("/api/tokens", json={"name": "mine", "scope": "admin"}).status_code == 403


def test_tokens_are_made_and_revoked(server: Server) -> None:
    with server.client() as admin:
        made = admin.post("/api/tokens", json={"name": "ci", "scope": "operate"})
        assert made.status_code == 201
        secret = made.json()["secret"]
        again = admin.post("/api/tokens", json={"name": "ci", "scope": "admin"})
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
        listed = admin.get("/api/tokens")
        assert secret not in listed.text
        assert {"first", "ci"} <= {each["name"] for each in listed.json()["tokens"]}
        with server.client(secret) as ci:
            assert ci.get("/api/session").json() == {"name": "ci", "scope": "operate", "session": False}
            assert admin.delete("/api/tokens/ci").status_code == 204
            assert ci.get("/api/runs").status_code == 401
        assert admin.delete("/api/tokens/nobody").status_code == 404


def test_a_token_revoked_elsewhere_ends_within_moments(server: Server) -> None:
    secret = server.new_token("elsewhere", "read")
    with server.client(secret) as bearer:
        assert bearer.get("/api/runs").status_code == 200
        server.atlas("token", "revoke", "elsewhere", code=0)
        deadline = time.monotonic() + 10
        while bearer.get("/api/runs").status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_first_token_is_told_once_and_is_this_users(server: Server) -> None:
    path = server.atlas.home / "token"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert server.said.count(server.token) == 2, "as such, and in the link"
    database = b"".join(each.read_bytes() for each in server.atlas.home.glob("atlas.db*") if each.is_file())
    assert server.token.encode() not in database


def test_who_did_what(server: Server) -> None:
    secret = server.new_token("auditee", "operate", "--trusted")
    with server.client(secret) as somebody:
        run = submitted(somebody, {**PLAN, "todos": [{"id": "a", "run": "sleep 60"}]})
        somebody.post(f"/api/runs/{run}/cancel")
    with server.client() as admin:
        found = [each for each in admin.get("/api/audit").json()["audits"] if each["subject"] == run]
        assert [(each["who"], each["act"]) for each in found] == [("auditee", "cancel"), ("auditee", "submit")]
        page = admin.get("/api/audit?limit=1").json()
        assert page["next"] == page["audits"][0]["id"]


# --- browsers ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(server: Server) -> Generator[httpx.Client]:
    """Logged in; what it sends is what a page of this server makes a browser send."""
    with server.plain(headers={"Origin": server.url}) as found:
        answer = found.post("/api/session", json={"token": server.token})
        assert answer.status_code == 200
        yield found


def test_a_session_is_a_cookie_that_scripts_cannot_read(server: Server, browser: httpx.Client) -> None:
    with server.plain(headers={"Origin": server.url}) as fresh:
        cookie = fresh.post("/api/session", json={"token": server.token}).headers["set-cookie"]
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(cookie.split("; "))
    assert server.token not in cookie
    assert browser.get("/api/session").json() == {"name": "first", "scope": "admin", "session": True}
    assert browser.post("/api/runs", json={"plan": PLAN}).status_code == 201


def test_logging_out_ends_it_for_good(server: Server, browser: httpx.Client) -> None:
    cookie = browser.cookies["atlas_session"]
    assert browser.delete("/api/session").status_code == 204
    with server.plain(cookies={"atlas_session": cookie}) as stolen:
        assert stolen.get("/api/runs").status_code == 401


def test_sessions_end_with_their_token(server: Server) -> None:
    secret = server.new_token("phone", "read")
    with server.plain(headers={"Origin": server.url}) as browser, server.client() as admin:
        browser.post("/api/session", json={"token": secret})
        assert browser.get("/api/runs").status_code == 200
        admin.delete("/api/tokens/phone")
        assert browser.get("/api/runs").status_code == 401


def test_a_session_is_no_token(server: Server, browser: httpx.Client) -> None:
    answer = browser.post("/api/session", json={"token": browser.cookies["atlas_session"]})
    assert answer.status_code == 401


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "http://localhost:3000", None])
@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/api/runs"), ("POST", "/api/runs/last/cancel"), ("DELETE", "/api/session")]
)
def test_other_pages_change_nothing(
    browser: httpx.Client, origin: str | None, method: str, path: str
) -> None:  # fmt: skip
    before = browser.get("/api/runs").json()
    del browser.headers["Origin"]
    headers = {} if origin is None else {"Origin": origin}
    answer = browser.request(method, path, json={"plan": PLAN}, headers=headers)
    assert answer.status_code == 403
    assert browser.get("/api/runs").json() == before


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8420", "127.0.0.1.evil.example", ""])
def test_names_that_are_not_ours(server: Server, host: str) -> None:
    with server.client() as client:
        answer = client.get("/api/runs", headers={"Host": host})
    assert answer.status_code in (400, 421)
    assert "runs" not in answer.text


def test_pages_of_others_read_nothing(server: Server) -> None:
    with server.client() as client:
        answer = client.get("/api/runs", headers={"Origin": "http://evil.example"})
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in client.get("/api/runs").headers


# --- too much, too slow -----------------------------------------------------------------------------------------------


def test_a_body_that_is_too_large(server: Server) -> None:
    with server.client() as client:
        large = client.post("/api/runs", json={"plan": "x" * (9 << 20)})
        assert (large.status_code, large.json()["code"]) == (413, "too_large")
        answer = client.post("/api/questions/x/answer", json={"value": "x" * 70_000})
        assert answer.status_code == 413

        def endless() -> Generator[bytes]:
            for _ in range(10_000):
                yield b"x" * 10_000

        with contextlib.suppress(httpx.WriteError):  # the connection was closed under it
            assert client.post("/api/runs", content=endless()).status_code == 413
        assert client.get("/api/runs").status_code == 200


def test_a_head_that_does_not_end(server: Server) -> None:
    with (
        socket.create_connection(("127.0.0.1", server.port)) as slow,
        socket.create_connection(("127.0.0.1", server.port)) as silent,
    ):
        slow.sendall(b"GET /api/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: ")
        for connection in (slow, silent):
            connection.settimeout(60)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b"", "it is closed"


def test_many_wrong_tokens_are_not_looked_at(tmp_path: Path) -> None:
    with served(tmp_path) as server, server.plain() as anybody, server.client() as known:
        assert known.get("/api/runs").status_code == 200
        codes = [anybody.get("/api/runs", headers={"Authorization": f"Bearer {n}"}).status_code for n in range(25)]
        assert codes == [401] * 19 + [429] * 6
        answer = anybody.post("/api/session", json={"token": "wrong"})
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_requests")
        assert 0 < int(answer.headers["retry-after"]) <= 61
        assert known.get("/api/runs").status_code == 200, "who is known goes on"


def test_elsewhere_needs_a_name(tmp_path: Path) -> None:
    with served(tmp_path, "--host", EVERYWHERE, "--allow-host", "atlas.example") as server, server.client() as client:
        assert client.get("/api/runs", headers={"Host": "atlas.example"}).status_code == 200
        assert client.get("/api/runs", headers={"Host": "evil.example"}).status_code == 421


def test_a_port_that_is_taken(server: Server) -> None:
    answer = server.atlas("serve", "--port", str(server.port))
    assert answer.code == 2
    assert f"cannot listen on 127.0.0.1 port {server.port}" in answer.err


def test_a_token_that_the_operator_sets(tmp_path: Path) -> None:
    with served(tmp_path, ATLAS_TOKEN="chosen-by-the-operator") as server:
        assert not (server.atlas.home / "token").exists()
        with server.client("chosen-by-the-operator") as operator:
            assert operator.get("/api/tokens").json() == {"tokens": []}
