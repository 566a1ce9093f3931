"""A store's tables beside its model, and what must hold of them whatever the model says."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any, cast, get_args

import psycopg
from psycopg.rows import dict_row
from sqlmodel import SQLModel

from state.records import TodoStatus
from tests.contract.store_model import ENDED, OWNED, Model, Row, Tables

NAMES = tuple(SQLModel.metadata.tables)


def tables(rows: Callable[[str], Iterable[Any]]) -> Tables:
    """Every row of every table, by name; `rows` has those of one."""
    return {name: sorted((dict(row) for row in rows(name)), key=repr) for name in NAMES}


def sqlite_tables(path: Path) -> Tables:
    """Of a file."""
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        return tables(lambda name: connection.execute(f"SELECT * FROM {name}"))  # noqa: S608


def postgres_tables(connection: psycopg.Connection) -> Tables:
    """Of a database."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        return tables(lambda name: cursor.execute(f"SELECT * FROM {name}".encode()))  # noqa: S608


def know_questions(model: Model, found: Tables) -> None:
    """The store gives questions their ids: who asked when is what they are known by."""
    known = {each["id"] for each in model.questions}
    new = sorted((row for row in found["question"] if row["id"] not in known), key=lambda row: row["id"])
    for row in new:
        asked = [each for each in model.questions if each["todo"] == row["todo_id"] and each["id"] is None]
        assert asked, f"nobody asked {row}"
        asked[0]["id"] = row["id"]
    assert all(each["id"] for each in model.questions), "a question was not asked"


def compare(model: Model, found: Tables) -> None:
    """All that the model knows, as it should be."""
    needs: dict[str, set[Any]] = {id: set() for id in model.todos}
    for row in found["todo_need"]:
        needs[row["todo_id"]].add((row["need_id"], row["answer"]))
    todos = {row["id"]: _todo(row) | {"needs": needs[row["id"]]} for row in found["todo"]}
    same("todo", todos, {id: _expected(todo) for id, todo in model.todos.items()})
    same("run", {row["id"]: _run(row) for row in found["run"]}, {id: _expected_run(model, id) for id in model.runs})
    same("counters", _counters(found), {id: Counter(model.counted(id)) for id in model.runs})
    asked = {row["id"]: (row["todo_id"], row["epoch"], row["state"], row["answer"]) for row in found["question"]}
    expected = {each["id"]: (each["todo"], each["epoch"], each["state"], each["answer"]) for each in model.questions}
    same("question", asked, expected)
    same("outbox", {row["todo_id"] for row in found["outbox"]}, model.outbox)
    published = {
        (row["todo_id"], row["fence"], row["internal"]): row["published_at"] is not None for row in found["artifact"]
    }
    same("artifact", published, model.outputs)
    same("submission", {row["key"]: row["run_id"] for row in found["submission"]}, model.submitted)
    same("sink", {row["name"]: (row["owner"], row["until"], row["since"]) for row in found["sink"]}, model.sinks)
    same("cursor", {(row["sink"], row["run_id"]): row["seq"] for row in found["cursor"]}, model.cursors)
    spent = {
        row["run_id"]: (row["tokens"] + row["tokens_withheld"], row["tokens_held"]) for row in found["budget"]
    }  # fmt: skip
    same("budget", spent, {run: model.spent(run) for run in spent})


def same(what: str, found: Any, expected: Any) -> None:
    """Or say what differs, and nothing else."""
    if found == expected:
        return
    if isinstance(expected, dict):
        wanted = cast("dict[Any, Any]", expected)
        keys: list[Any] = sorted({*found, *wanted}, key=str)
        differ = [key for key in keys if found.get(key) != wanted.get(key)]
        words = "; ".join(f"{key}: the store has {found.get(key)}, the model {wanted.get(key)}" for key in differ)
        raise AssertionError(f"{what}: {words}")
    raise AssertionError(f"{what}: the store has {found}, the model {expected}")


def _todo(row: Row) -> Row:
    names = {"crashes": "crash_count", "due": "not_before"}
    return {name: row[names.get(name, name)] for name in _TOLD}


_TOLD = ("state", "fence", "attempt", "crashes", "epoch", "owner", "due", "answer")


def _expected(todo: Row) -> Row:
    return {name: todo[name] for name in _TOLD} | {"needs": set(todo["needs"])}


def _run(row: Row) -> Row:
    return {
        "state": row["state"], "placement": row["placement"], "head": row["head"], "held": bool(row["held"]),
        "cancelled": bool(row["cancelled"]), "exhausted": bool(row["budget_exhausted"]),
        "worked": row["worked"], "since": row["since"], "ended": row["ended_at"] is not None,
    }  # fmt: skip


def _expected_run(model: Model, id: str) -> Row:
    run, state = model.runs[id], model.run_state(id)
    told = {name: run[name] for name in ("placement", "head", "held", "cancelled", "exhausted", "worked", "since")}
    return told | {"state": state, "ended": state in ("completed", "failed", "cancelled")}


def _counters(found: Tables) -> dict[str, Counter[str]]:
    states: tuple[str, ...] = get_args(TodoStatus)
    return {row["id"]: Counter({state: row[f"n_{state}"] for state in states}) for row in found["run"]}


# --- without the model -----------------------------------------------------------------------------------------------


def check(found: Tables) -> None:
    """The log and the rows tell the same story, and a TODO has one owner or none."""
    told: dict[str, str | None] = {}
    claims: Counter[str] = Counter()
    for run in found["run"]:
        events = sorted((row for row in found["event"] if row["run_id"] == run["id"]), key=lambda row: row["seq"])
        assert [event["seq"] for event in events] == list(range(1, run["last_event"] + 1)), "events have gaps"
        for event in (event for event in events if event["type"] == "todo.state"):
            data, id = json.loads(event["data"]), event["todo_id"]
            assert data["from"] == told.get(id), f"{id} was {told.get(id)}, and left {data['from']}"
            told[id] = data["to"]
            if data["to"] == "in_progress":
                claims[id] += 1
        said = [json.loads(event["data"]) for event in events if event["type"] in ("run.submitted", "run.state")]
        assert said[-1].get("to", said[-1].get("state")) == run["state"]
    for todo in found["todo"]:
        id, state = todo["id"], todo["state"]
        assert told[id] == state, f"{id} is {state}, and the log says {told[id]}"
        attempts = [row for row in found["attempt"] if row["todo_id"] == id]
        live = [row["fence"] for row in attempts if row["ended_at"] is None]
        assert live == ([todo["fence"]] if state in OWNED else []), f"{id} is {state} under {todo['fence']}: {live}"
        assert len(attempts) == claims[id] <= todo["fence"]
        assert (todo["owner"] is not None) == (todo["deadline"] is not None) == (state in OWNED)
        assert (todo["ended_at"] is not None) == (state in ENDED)
        if state == "completed":
            proofs = [row for row in found["evidence"] if row["todo_id"] == id and row["epoch"] == todo["epoch"]]
            assert any(row["passed"] for row in proofs), f"{id} is completed without evidence"


def check_settled(before: Tables, after: Tables) -> None:
    """What has ended stays as it is until somebody begins a new epoch of it: every column but the count of what it
    would wait for then, which grows when something that it waited for is planned."""
    now = {row["id"]: row for row in after["todo"]}
    for row in before["todo"]:
        if row["state"] in ENDED and now[row["id"]]["epoch"] == row["epoch"]:
            same(row["id"], now[row["id"]] | {"unmet_needs": None}, row | {"unmet_needs": None})
