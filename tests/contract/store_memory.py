"""The third engine: dicts. The real driver, decisions and flush over tables that a test can look into at once.

It keeps the promises of `transaction.Engine`, guards included, and is written for clearness: where it looks for work,
it is the definition that the SQL has to match.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from sqlalchemy import Table, inspect

from state.commands import ClaimNext, Command, Outcome
from state.errors import StoreError
from state.flushing import deletes, delivered, inserts, puts, updates
from state.kept import Kept
from state.limits import ROOM_SECONDS
from state.loading import Row
from state.records import TERMINAL
from state.room import bounds
from state.statements import (
    BUDGET_COLUMNS,
    CALL_COLUMNS,
    DELETES,
    INSERTS,
    PUTS,
    QUESTION_COLUMNS,
    RUN_COLUMNS,
    SINK_COLUMNS,
    TODO_COLUMNS,
    UPDATES,
)
from state.tables import Run
from state.transaction import transact
from state.work import Work
from tests.contract.store_world import Dump, FakeClock, counted

Values = dict[str, Any]
Key = tuple[Any, ...]
_TABLES: dict[str, Table] = dict(Run.metadata.tables)
_EMPTY: dict[str, Values] = {name: {column.name: None for column in table.columns} for name, table in _TABLES.items()}
_NAMES = {
    write.model: cast(Table, inspect(write.model).local_table).name
    for write in (*INSERTS.values(), *UPDATES.values(), *PUTS.values(), *DELETES.values())
}
_PRIMARY = {name: tuple(column.name for column in table.primary_key) for name, table in _TABLES.items()}


def _has_room(todo: Values, there: Mapping[str, float], now: float) -> bool:
    cpus, memory = todo["cpus"] or 0.0, todo["memory"] or 0
    fits = cpus <= there["cpus"] and memory <= there["memory"]
    could = cpus <= there["all_cpus"] and memory <= there["all_memory"]
    return fits or (could and todo["ready_at"] <= now - ROOM_SECONDS)


def _less(value: Any, bound: Any) -> bool:
    """As SQL has it: NULL is not."""
    return value is not None and value < bound


class MemoryEngine:
    """`transaction.Engine` and `loading.Rows` in one."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.tables: dict[str, dict[Key, Values]] = {name: {} for name in _TABLES}
        self._behind: dict[str, list[Row]] = defaultdict(list)
        self._before: dict[str, list[Row]] = defaultdict(list)
        self._of_run: dict[str, list[str]] = defaultdict(list)
        self._questions_of_run: dict[str, list[str]] = defaultdict(list)
        self._undo: list[Callable[[], object]] = []
        self.kept = Kept()

    # --- transaction.Engine ------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Generator[None]:
        self.kept.forget()
        with self.part():
            yield
        self._undo.clear()

    @contextmanager
    def part(self) -> Generator[None]:
        start = len(self._undo)
        try:
            yield
        except BaseException:
            self.kept.forget()
            while len(self._undo) > start:
                self._undo.pop()()
            raise

    def rows(self, *, first: bool) -> MemoryEngine:
        return self

    def failure(self, error: BaseException) -> StoreError | None:
        return None

    def flush(self, work: Work) -> None:
        for todo in delivered(work):
            self._replace("outbox", (todo,), None)
        for name, rows in deletes(work):
            for row in rows:
                self._delete(name, row)
        for name, rows in inserts(work):
            insert = INSERTS[name]
            for row in rows:
                self._insert(_NAMES[insert.model], dict(zip(insert.columns, row, strict=True)), insert.ignore)
        for name, rows in puts(work):
            for row in rows:
                values = dict(zip(PUTS[name].columns, row, strict=True))
                self._put(_NAMES[PUTS[name].model], values, PUTS[name].grows)
        for name, rows in updates(work):
            update = UPDATES[name]
            for row in rows:
                values = dict(zip((*update.columns, *update.keys), row, strict=False))
                keys = dict(zip(update.keys, row[len(update.columns) :], strict=True))
                matched = self._update(_NAMES[update.model], keys, dict(zip(update.columns, row, strict=False)))
                assert matched or not update.guard, (name, values)

    # --- loading.Rows ------------------------------------------------------------------------------------------------

    alone = False  # so that what is read again is read the same

    def todos(self, ids: list[str]) -> list[Row]:
        return self._select("todo", ids, TODO_COLUMNS)

    def now(self) -> float:
        return self._clock()

    def runs(self, ids: list[str], todos: list[str]) -> list[Row]:
        return self._select("run", self._and_of(ids, todos), RUN_COLUMNS)

    def questions(self, ids: list[str]) -> list[Row]:
        return self._select("question", ids, QUESTION_COLUMNS)

    def asked_by(self, questions: list[str]) -> list[Row]:
        return self._select("question", questions, ("id", "todo_id"))

    def dependents(self, needs: list[str]) -> list[Row]:
        return [row for need in needs for row in self._behind.get(need, ())]

    def needs(self, todos: list[str]) -> list[Row]:
        return [row for todo in todos for row in self._before.get(todo, ())]

    def descendants(self, roots: list[str]) -> list[Row]:
        seen = set(roots)
        stack = list(roots)
        while stack:
            new = {todo for _, todo, _ in self._behind.get(stack.pop(), ())} - seen
            seen |= new
            stack += new
        return [(id,) for id in seen]

    def unsettled(self, runs: list[str]) -> list[Row]:
        ids = [id for run in runs for id in self._of_run.get(run, ())]
        return [(id,) for id in ids if self.tables["todo"][(id,)]["state"] not in TERMINAL]

    def pending_questions(self, runs: list[str]) -> list[Row]:
        ids = [id for run in runs for id in self._questions_of_run.get(run, ())]
        return [(id,) for id in ids if self.tables["question"][(id,)]["state"] == "pending"]

    def documents(self, todos: list[str]) -> list[Row]:
        found = self._select("todo", todos, ("id", "document", "run_id"))
        return [(id, document, self.tables["run"][(run,)]["provenance"]) for id, document, run in found]

    def budgets(self, runs: list[str], todos: list[str]) -> list[Row]:
        return self._select("budget", self._and_of(runs, todos), BUDGET_COLUMNS)

    def _and_of(self, runs: list[str], todos: list[str]) -> list[str]:
        return [*dict.fromkeys([*runs, *(run for (run,) in self._select("todo", todos, ("run_id",)))])]

    def called_by(self, calls: list[str]) -> list[Row]:
        return self._select("model_call", calls, ("id", "run_id"))

    def calls(self, ids: list[str]) -> list[Row]:
        return self._select("model_call", ids, CALL_COLUMNS)

    def submitted(self, keys: list[str]) -> list[Row]:
        return self._select("submission", keys, ("key", "run_id"))

    def sinks(self, names: list[str]) -> list[Row]:
        return self._select("sink", names, SINK_COLUMNS)

    def busy_lanes(self, runs: list[str]) -> list[Row]:
        rows = self.tables["todo"].values()
        return [(row["run_id"], row["lane"]) for row in rows if row["run_id"] in runs and row["lane"] and row["owner"]]

    def claimable(self, command: ClaimNext) -> list[Row]:
        now = self._clock()
        free: dict[str, int] = {}
        for (id,), run in self.tables["run"].items():
            closed = run["held"] or run["cancelled"] or run["budget_exhausted"]
            if run["placement"] == command.placement and not closed and command.run in (None, id):
                free[id] = run["concurrency"] - run["n_in_progress"] - run["n_verifying"]
        found: list[Row] = []
        ready = (row for row in self.tables["todo"].values() if row["state"] == "ready" and row["not_before"] <= now)
        for row in sorted(ready, key=lambda row: (-row["priority"], row["id"])):
            fits = command.labels.issuperset(json.loads(row["labels"] or "[]"))
            if row["lane"] and (row["run_id"], row["lane"]) in self._busy_lanes():
                continue
            if (
                fits
                and _has_room(row, bounds(command), now)
                and free.get(row["run_id"], 0) > 0
                and len(found) < command.limit
            ):
                free[row["run_id"]] -= 1
                found.append((row["id"], row["run_id"]))
        return found

    def _busy_lanes(self) -> set[Row]:
        return set(self.busy_lanes([id for (id,) in self.tables["run"]]))

    # --- tables ------------------------------------------------------------------------------------------------------

    def _select(self, table: str, ids: Iterable[str], columns: Sequence[str]) -> list[Row]:
        rows = (self.tables[table].get((id,)) for id in ids)
        return [tuple(row[column] for column in columns) for row in rows if row]

    def _replace(self, table: str, key: Key, row: Values | None) -> None:
        rows = self.tables[table]
        old = rows.pop(key, None)
        if row is not None:
            rows[key] = row
        self._undo.append(lambda: rows.pop(key, None) if old is None else rows.__setitem__(key, old))

    def _put(self, table: str, values: Values, grows: str | None) -> None:
        key = tuple(values[column] for column in _PRIMARY[table])
        if grows and (old := self.tables[table].get(key)):
            values[grows] = max(values[grows], old[grows])
        self._replace(table, key, _EMPTY[table] | values)

    def _delete(self, name: str, row: Row) -> None:
        delete = DELETES[name]
        table = _NAMES[delete.model]
        keys = dict(zip(delete.keys, row, strict=False))
        newest: dict[tuple[str, str], str] = {}
        for thread, ns, id in sorted(self.tables[_NAMES[delete.newer]]) if delete.newer else ():
            newest[thread, ns] = id
        for key, found in list(self.tables[table].items()):
            matches = all(found[column] == value for column, value in keys.items())
            if delete.newer and found["id"] >= newest.get(key[:2], ""):
                continue
            if matches and (delete.before is None or _less(found[delete.before], row[-1])):
                self._replace(table, key, None)
                if table == "todo_need":
                    self._unindex(self._behind, found["need_id"], 1, found["todo_id"])
                    self._unindex(self._before, found["todo_id"], 1, found["need_id"])

    def _insert(self, table: str, values: Values, ignore: bool) -> None:
        row: Values = _EMPTY[table] | values
        key = tuple(row[name] for name in _PRIMARY[table])
        if key in self.tables[table]:
            if ignore:
                return
            raise ValueError(f"{table}: there is a row {key}")
        self._replace(table, key, row)
        if table == "todo_need":
            edge = (row["need_id"], row["todo_id"], row["answer"])
            self._index(self._behind[row["need_id"]], edge)
            self._index(self._before[row["todo_id"]], (edge[1], edge[0], edge[2]))
        elif table == "todo":
            self._index(self._of_run[row["run_id"]], row["id"])
        elif table == "question":
            self._index(self._questions_of_run[row["run_id"]], row["id"])

    def _unindex(self, index: dict[str, list[Any]], key: str, place: int, value: str) -> None:
        before = index[key]
        index[key] = [entry for entry in before if entry[place] != value]
        self._undo.append(lambda: index.__setitem__(key, before))

    def _index(self, entries: list[Any], entry: Any) -> None:
        entries.append(entry)
        self._undo.append(entries.pop)

    def _update(self, table: str, keys: Values, values: Values) -> bool:
        """By primary key, as far as `keys` has all of it; other keys (a fence) are guards."""
        rows = self.tables[table]
        primary = _PRIMARY[table]
        if all(name in keys for name in primary):
            key = tuple(keys[name] for name in primary)
            found = [key] if key in rows else []
        else:
            found = list(rows)
        found = [key for key in found if all(rows[key][name] == value for name, value in keys.items())]
        for key in found:
            row = rows[key]
            if table == "todo" and row["ended_at"] is not None:
                assert row["state"] == values["state"] or row["epoch"] < values["epoch"]
            self._replace(table, key, row | values)
        return bool(found)


class MemoryStore:
    """A store without threads, time or disk."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.engine = MemoryEngine(clock)
        self._ids = counted("q1")

    def apply(self, *commands: Command) -> list[Outcome]:
        return transact(self.engine, commands, self._ids)

    def dump(self) -> Dump:
        """As `store_world.dump`."""
        found: Dump = {}
        for name, table in sorted(_TABLES.items()):
            columns = [column.name for column in table.columns]
            rows = self.engine.tables[name].values()
            found[name] = sorted((tuple(row[column] for column in columns) for row in rows), key=repr)
        return found

    def rows(self, table: str) -> list[Values]:
        """Every row of a table, as it is."""
        return list(self.engine.tables[table].values())

    def todo(self, id: str) -> Values:
        return self.engine.tables["todo"][(id,)]

    def run(self, id: str) -> Values:
        return self.engine.tables["run"][(id,)]
