"""What must be true of the database of an installation at any moment, read past the program."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from tests.acceptance.command_line import Atlas

_STATES = (
    "pending", "ready", "in_progress", "verifying", "awaiting_input", "blocked", "completed", "failed", "cancelled",
    "skipped", "not_applicable",
)  # fmt: skip
_OWNED = ("in_progress", "verifying")


def assert_sound(atlas: Atlas) -> None:
    """Counters, events, attempts and evidence of every run agree with its TODOs."""
    todos = atlas.sql("SELECT * FROM todo")
    for run in atlas.sql("SELECT * FROM run"):
        own = [todo for todo in todos if todo["run_id"] == run["id"]]
        counted = Counter(todo["state"] for todo in own)
        assert {state: run[f"n_{state}"] for state in _STATES} == {state: counted[state] for state in _STATES}
        _assert_events(atlas, run)
    attempts = _by_todo(atlas.sql("SELECT * FROM attempt ORDER BY todo_id, fence"))
    evidence = _by_todo(atlas.sql("SELECT * FROM evidence ORDER BY todo_id, fence, number"))
    for todo in todos:
        _assert_attempts(todo, attempts[todo["id"]])
        _assert_evidence(todo, evidence[todo["id"]])


def _by_todo(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        grouped[row["todo_id"]].append(row)
    return grouped


def _assert_events(atlas: Atlas, run: dict[str, Any]) -> None:
    """Dense from 1, and their last word on each TODO is its state."""
    events = atlas.sql(
        "SELECT seq, type, todo_id, json_extract(data, '$.to') AS state FROM event WHERE run_id = ? ORDER BY seq",
        run["id"],
    )
    assert [event["seq"] for event in events] == list(range(1, run["last_event"] + 1))
    told = {event["todo_id"]: event["state"] for event in events if event["type"] == "todo.state"}
    assert told == {row["id"]: row["state"] for row in atlas.sql("SELECT * FROM todo WHERE run_id = ?", run["id"])}


def _assert_attempts(todo: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
    """One attempt for each claim; open only while owned."""
    claimed = [attempt["fence"] for attempt in attempts]
    assert claimed == list(range(1, len(claimed) + 1)), todo
    if todo["kind"] == "task":  # a cancel raises the fence without a claim
        assert todo["fence"] in (len(claimed), len(claimed) + (todo["state"] == "cancelled")), todo
    owned = todo["state"] in _OWNED
    assert (todo["owner"] is not None) == owned, todo
    assert [attempt["ended_at"] is None for attempt in attempts] == [False] * (len(attempts) - owned) + [True] * owned
    completed = [attempt["fence"] for attempt in attempts if attempt["outcome"] == "completed"]
    if todo["kind"] == "task":
        assert completed == ([claimed[-1]] if todo["state"] == "completed" else []), todo


def _assert_evidence(todo: dict[str, Any], evidence: list[dict[str, Any]]) -> None:
    """Completed means evidence: all of it passed, on one subject, by the attempt that won."""
    if todo["state"] == "completed":
        won = todo["fence"] if todo["kind"] == "task" else todo["epoch"]
        last = [item for item in evidence if item["fence"] == won]
        assert last, todo
        assert all(item["passed"] for item in last), todo
        assert len({item["subject"] for item in last}) == 1, todo


def assert_no_rows(atlas: Atlas) -> None:
    """Nothing was submitted."""
    if atlas.has_tables():
        for table in ("run", "todo", "todo_need", "plan", "event", "question", "outbox"):
            assert atlas.sql(f"SELECT count(*) AS n FROM {table}") == [{"n": 0}], table  # noqa: S608  our own names
