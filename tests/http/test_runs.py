"""Runs over HTTP, on the real server: what is asked for, and what comes back."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.http.server import PLAN, Server, ended, submitted, watched


def plan(*todos: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {**PLAN, **keys, "todos": list(todos)}


GATE = {"id": "gate", "ask": "Go on?", "choices": ["yes", "no"]}
AFTER = {"id": "after", "run": "echo on", "needs": [{"gate": "yes"}]}


def test_a_plan_is_carried_out_and_all_of_it_can_be_seen(client: httpx.Client) -> None:
    answer = client.post("/api/runs", json={"plan": plan({"id": "a", "run": "echo hello; echo x", "title": "Say"})})
    assert answer.status_code == 201
    body = answer.json()
    run = body["run"]["id"]
    assert answer.headers["location"] == f"/api/runs/{run}"
    assert (body["warnings"], body["repeated"]) == ([], False)
    assert ended(client, run)["state"] == "completed"
    todo = client.get(f"/api/runs/{run}/todos/a").json()
    assert (todo["key"], todo["title"], todo["state"]) == ("a", "Say", "completed")
    assert [(each["fence"], each["outcome"]) for each in todo["attempts"]] == [(1, "completed")]
    assert client.get(f"/api/runs/{run}/todos/a/log").text == "hello\nx\n"
    assert client.get(f"/api/runs/{run}/todos/a/log?offset=6").text == "x\n"
    evidence = client.get(f"/api/runs/{run}/todos/a/evidence").json()
    assert [(each["passed"], each["exit_code"]) for each in evidence["evidence"]] == [(True, 0)]
    assert client.get(f"/api/runs/{run[-8:]}").json()["id"] == run


def test_a_plan_may_be_text(client: httpx.Client) -> None:
    text = "atlas: 1\nname: from text\nsandbox: host\ntodos:\n  - {id: a, run: 'true'}\n"
    run = client.post("/api/runs", json={"plan": text}).json()["run"]
    assert run["name"] == "from text"
    assert ended(client, run["id"])["state"] == "completed"


def test_a_task_document_once(client: httpx.Client) -> None:
    task = {"schema": "atlas.task/1", "source": "test", "id": "1", "command": ["true"]}
    first, second, other = (
        client.post("/api/runs", json={"task": each}) for each in (task, task, {**task, "command": ["false"]})
    )
    assert (first.status_code, second.status_code, other.status_code) == (201, 200, 200)
    assert first.json()["run"]["id"] == second.json()["run"]["id"] == other.json()["run"]["id"]
    assert second.json()["repeated"]
    assert "handed in before with another document" in other.json()["warnings"][0]


def test_a_key_makes_one_run_of_the_same_plan(client: httpx.Client) -> None:
    one, same, none = (submitted(client, PLAN, **{"Idempotency-Key": key}) for key in ("k1", "k1", "k2"))
    assert one == same != none
    answer = client.post("/api/runs", json={"plan": plan(AFTER, GATE)}, headers={"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert one in answer.json()["hint"]


def test_a_question_is_answered_once(client: httpx.Client) -> None:
    run = submitted(client, plan(GATE, AFTER))
    ended(client, run, "awaiting_input")
    (question,) = client.get(f"/api/questions?run={run}").json()["questions"]
    assert (question["text"], question["choices"]) == ("Go on?", ["yes", "no"])
    where = f"/api/questions/{question['id']}/answer"
    wrong = client.post(where, json={"value": "maybe"})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "bad_input")
    assert "yes" in wrong.text
    answered = client.post(where, json={"value": "yes"})
    assert (answered.status_code, answered.json()["answer"]) == (200, "yes")
    assert answered.json()["answered_by"] == "first"
    again = client.post(where, json={"value": "no"})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert ended(client, run)["state"] == "completed"
    assert client.get(f"/api/questions?run={run}").json()["questions"] == []
    assert len(client.get(f"/api/questions?run={run}&state=all").json()["questions"]) == 1


def test_hold_resume_cancel(client: httpx.Client) -> None:
    run = submitted(client, plan({"id": "a", "run": "sleep 60"}))
    assert client.post(f"/api/runs/{run}/hold").json()["state"] == "held"
    assert client.post(f"/api/runs/{run}/resume", json={}).json()["state"] == "in_progress"
    assert client.post(f"/api/runs/{run}/cancel").json()["state"] == "cancelled"
    again = client.post(f"/api/runs/{run}/resume")
    assert (again.status_code, again.json()["code"]) == (409, "conflict")


def test_what_failed_is_tried_again(client: httpx.Client, server: Server) -> None:
    marker = server.atlas.work / "marker"
    run = submitted(client, plan({"id": "a", "run": f"test -e {marker}"}))
    assert ended(client, run)["state"] == "failed"
    marker.touch()
    assert client.post(f"/api/runs/{run}/todos/a/retry").status_code == 200
    assert ended(client, run, "completed")["progress"] == {"settled": 1, "total": 1}
    assert client.post(f"/api/runs/{run}/todos/a/retry").status_code == 409


def test_pages(client: httpx.Client) -> None:
    todos = [{"id": f"t{number}", "run": "true", "needs": ["gate"]} for number in range(5)]
    run = submitted(client, plan({"id": "gate", "ask": "Go?"}, *todos))
    seen: list[str] = []
    after: int | None = -1
    page: dict[str, Any] = {}
    while after is not None:
        page = client.get(f"/api/runs/{run}/todos?limit=4&after={after}").json()
        seen += [todo["key"] for todo in page["todos"]]
        after = page["next"]
    assert seen == ["gate", "t0", "t1", "t2", "t3", "t4"]
    assert page["todos"][-1]["needs"] == ["gate"]
    runs: list[str] = []
    before = ""
    while before is not None:
        found = client.get(f"/api/runs?limit=2{f'&before={before}' if before else ''}").json()
        runs += [each["id"] for each in found["runs"]]
        before = found["next"]
    assert len(runs) == len(set(runs))
    assert runs == sorted(runs, reverse=True)
    assert run in runs
    client.post(f"/api/runs/{run}/cancel")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "exactly one of plan, goal and task"),
    ({"plan": PLAN, "goal": "x"}, "exactly one of plan, goal and task"),
    ({"plan": PLAN, "repo": "/tmp"}, "are for goals"),
    ({"plan": {"atlas": 1, "todos": [{"id": "a", "run": "true", "neds": []}]}}, "todos[0].neds: unknown key"),
    ({"plan": "atlas: 1\ntodos: [\n"}, "plan:3:1: not YAML"),
    ({"plan": 7}, "plan"),
    ({"gaol": "x"}, "gaol"),
    ({"goal": "x", "repo": "/somewhere"}, "/somewhere may not be named from here; allowed: none"),
    ({"task": {"schema": "atlas.task/1"}}, "source"),
    ({"plan": {**PLAN, "todos": [{"id": "a", "run": "true", "inputs": {"file://x": "/in/x"}}]}}, "relative"),
]


@pytest.mark.parametrize(("body", "told"), WRONG)
def test_what_is_wrong_is_told(client: httpx.Client, body: dict[str, Any], told: str) -> None:
    answer = client.post("/api/runs", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 422
    assert told in problem["detail"], problem
    assert problem["hint"] or problem["code"] == "bad_document"


@pytest.mark.parametrize(
    "path",
    ["/api/runs/nowhere", "/api/runs/nowhere/todos", "/api/runs/nowhere/events", "/api/runs/..%2f..%2fetc/todos/x/log",
     "/api/runs/last/todos/%00/log", "/api/runs/%ff", "/api/nothing", "/static/../../app.py", "/static/%2e%2e/app.py"],
)  # fmt: skip
def test_what_is_not_there(client: httpx.Client, path: str) -> None:
    submitted(client)
    answer = client.get(path)
    assert answer.status_code == 404, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert "Traceback" not in answer.text


def test_methods_that_are_not_there(client: httpx.Client) -> None:
    answer = client.put("/api/runs")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_malformed_json(client: httpx.Client) -> None:
    answer = client.post("/api/runs", content=b'{"plan":', headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (422, "bad_input")


def test_events_are_all_there_and_dense(client: httpx.Client) -> None:
    run = submitted(client, plan(*({"id": f"t{n}", "run": "echo $PPID"} for n in range(5))))
    events = watched(client, run)
    assert [event.id for event in events] == list(range(1, len(events) + 1))
    assert events[-1].data["data"]["to"] == "completed" or events[-1].type != "run.state"
    assert all(event.data["seq"] == event.id and event.data["type"] == event.type for event in events)
    later = watched(client, run, after=3)
    assert later == events[3:]


def test_unicode_comes_through(client: httpx.Client) -> None:
    name = "Grüße \U0001f44b <b>&"
    run = submitted(client, plan({"id": "a", "run": "printf 'žluť\\n'", "title": name}, name=name))
    assert ended(client, run)["name"] == name
    assert client.get(f"/api/runs/{run}/todos/a").json()["title"] == name
    assert client.get(f"/api/runs/{run}/todos/a/log").text == "žluť\n"


def test_the_document_says_what_there_is(server: Server) -> None:
    with server.plain() as anybody:
        document = anybody.get("/openapi.json").json()
    assert {"/api/runs", "/api/runs/{run}/events", "/api/questions/{question}/answer"} <= set(document["paths"])
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
