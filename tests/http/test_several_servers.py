"""Several servers on one database are equal: what one is asked, the others show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.acceptance.command_line import wait_until
from tests.http.server import PLAN, ended, served, submitted, watched


def test_servers_on_one_database_are_equal(tmp_path: Path, postgres_empty: str) -> None:
    """The one only answers; the other is a worker, too."""
    shared: dict[str, Any] = {"ATLAS_DATABASE_URL": postgres_empty, "ATLAS_STORE_URL": f"file://{tmp_path}/store"}
    todos = [
        {"id": "greet", "run": "echo hello"},
        {"id": "sure", "ask": "Sure?", "choices": ["yes", "no"], "needs": ["greet"]},
        {"id": "after", "run": "echo after", "needs": [{"sure": "yes"}]},
    ]
    with (
        served(tmp_path / "one", "--no-worker", **shared) as one,
        served(tmp_path / "other", "--worker", **shared) as other,
    ):
        assert "the first token" in one.said
        assert "the first token" not in other.said, "there was one"
        with one.client() as here, other.client(one.token) as there:
            run = submitted(here, {**PLAN, "todos": todos})
            assert there.get("/api/runs/last").json()["id"] == run
            ended(here, run, "awaiting_input")
            assert here.get(f"/api/runs/{run}/todos/greet/log").text == "hello\n"
            assert there.post("/api/questions/sure/answer", json={"value": "yes"}).status_code == 200
            assert here.post("/api/questions/sure/answer", json={"value": "no"}).status_code == 409
            events = watched(here, run)
            assert [event.id for event in events] == list(range(1, len(events) + 1))
            assert watched(there, run) == events
            assert ended(there, run)["state"] == "completed"
            secret = here.post("/api/tokens", json={"name": "guest", "scope": "read"}).json()["secret"]
            with other.client(secret) as guest:
                assert guest.get("/api/runs").status_code == 200
                assert here.delete("/api/tokens/guest").status_code == 204
                wait_until(lambda: guest.get("/api/runs").status_code == 401, "it is revoked there, too")
