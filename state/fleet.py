"""How all of Atlas stands, in numbers, for metrics: functions over a session, for `Store.read`. Nothing here writes.

A scrape must not hold up who works: each function looks at a bounded number of rows, along an index, however many there
are. `Fleet.whole` says whether a bound was met: then the counts are of what was looked at, and too low.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from state import reading
from state.records import QUEUE
from state.statements import COUNTERS, LANE_FREE
from state.tables import ANY_RUN, HAS_CLAIMABLE

CALLS = 20_000
"""Model calls that one page of spend adds up."""
SETTLED_SECONDS = 120.0
"""A model call that was begun longer ago, and is settled, is counted for good. Ids sort by time, so that none comes
before it any more; but for one of a worker that could not reach the database for as long, which is then missed."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Rows that are looked at. `runs`: so many that have not ended, and so many, the newest, of all. `rows`: of what is
    counted along an index alone (ready TODOs, the outbox, questions). The oldest claimable TODO is looked for in
    `claimable_runs`, those that were submitted first of all that have some; in each among the `next_todos` that are
    claimed next."""

    runs: int = 10_000
    rows: int = 100_000
    claimable_runs: int = 64
    next_todos: int = 128


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Fleet:
    """`runs` by state: all that have not ended, and the newest that have. `todos` by state: those of the runs in the
    queue that have not ended. `ready`: TODOs that are, of all runs. `oldest_claimable`: seconds that the TODO has been
    claimable that has been so longest; None: nothing is."""

    runs: dict[str, int]
    todos: dict[str, int]
    ready: int
    oldest_claimable: float | None
    outbox: int
    questions: int
    whole: bool


def fleet(session: Session, bounds: Bounds = BOUNDS) -> Fleet:
    """All but the spend."""
    runs, todos, whole = _open_runs(session, bounds.runs)
    runs.update(dict(_rows(session, _ENDED, limit=bounds.runs)))
    ready, outbox, questions = (_count(session, sql, bounds.rows) for sql in (_READY, _OUTBOX, _QUESTIONS))
    whole = whole and max(ready, outbox, questions) < bounds.rows
    oldest = oldest_claimable(session, bounds=bounds)
    return Fleet(dict(runs), dict(todos), ready, oldest, outbox, questions, whole)


# --- runs and TODOs ------------------------------------------------------------------------------------------------

_OPEN = f"""
SELECT state, placement, count(*), {", ".join(f"sum({name})" for name in COUNTERS)}
FROM (SELECT state, placement, {", ".join(COUNTERS)} FROM run WHERE ended_at IS NULL LIMIT :limit) AS few
GROUP BY state, placement
"""  # noqa: S608
"""A run's row counts its TODOs: the table of TODOs need not be looked at."""
_ENDED = """
SELECT state, count(*) FROM (SELECT state, ended_at FROM run ORDER BY id DESC LIMIT :limit) AS few
WHERE ended_at IS NOT NULL GROUP BY state
"""
_READY = f"SELECT count(*) FROM (SELECT 1 FROM todo WHERE state = 'ready' AND {ANY_RUN} LIMIT :limit) AS few"  # noqa: S608
_OUTBOX = "SELECT count(*) FROM (SELECT 1 FROM outbox LIMIT :limit) AS few"
_QUESTIONS = "SELECT count(*) FROM (SELECT 1 FROM question WHERE state = 'pending' LIMIT :limit) AS few"


def _open_runs(session: Session, limit: int) -> tuple[Counter[str], Counter[str], bool]:
    """(runs by state, TODOs of the queue by state, whether that is all)"""
    runs: Counter[str] = Counter()
    todos: Counter[str] = Counter()
    for state, placement, number, *counters in _rows(session, _OPEN, limit=limit):
        runs[state] += number
        if placement == QUEUE:
            for name, sum in zip(COUNTERS, counters, strict=True):
                todos[name.removeprefix("n_")] += int(sum)
    return runs, todos, runs.total() < limit


# --- what waits for a worker ---------------------------------------------------------------------------------------

_CANDIDATES = f"""
SELECT run.id, run.since FROM run
WHERE placement = :placement AND {HAS_CLAIMABLE} ORDER BY id LIMIT :limit
"""  # noqa: S608
_NEXT = f"""
SELECT min(todo.ready_at)
FROM (SELECT id, run_id, priority, lane, not_before, ready_at FROM todo WHERE run_id = :run AND state = 'ready'
      ORDER BY priority DESC, id LIMIT :next) AS todo
WHERE todo.not_before <= :now AND {LANE_FREE}
"""  # noqa: S608


def oldest_claimable(session: Session, placement: str = QUEUE, bounds: Bounds = BOUNDS) -> float | None:
    """Seconds; see `Fleet`. Since the TODO was ready and its run went on. Labels and room are not looked at: a TODO
    that no worker fits is what this is to show."""
    now = reading.now(session)
    oldest: float | None = None
    for run, since in _rows(session, _CANDIDATES, placement=placement, limit=bounds.claimable_runs):
        ((ready,),) = _rows(session, _NEXT, run=run, now=now, next=bounds.next_todos)
        if ready is not None:
            began = max(since or 0.0, ready)
            oldest = began if oldest is None else min(oldest, began)
    return None if oldest is None else max(0.0, now - oldest)


# --- spend ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Spend:
    """Of one model: calls that are settled, tokens of all kinds, nano-dollars."""

    calls: int = 0
    tokens: int = 0
    nano: int = 0

    def add(self, other: Spend) -> None:
        self.calls += other.calls
        self.tokens += other.tokens
        self.nano += other.nano


@dataclass(frozen=True, slots=True)
class SpendPage:
    """Of the calls after some id, as many as one page has: what is `settled` for good, up to the id `upto`, and what is
    `recent`, up to the id `newest`. `last`: there are no more."""

    settled: dict[str, Spend]
    recent: dict[str, Spend]
    upto: str
    newest: str
    last: bool


@dataclass(slots=True)
class Spending:
    """What all model calls used, by model. The ledger only grows: what is settled for good is added up once and
    remembered, and each look (`begin`, then pages until `take` says that it was the last) begins after it."""

    settled: dict[str, Spend] = field(default_factory=dict[str, Spend])
    recent: dict[str, Spend] = field(default_factory=dict[str, Spend])
    upto: str = ""
    after: str = ""
    """Where the next page begins."""

    def begin(self) -> None:
        """Look again."""
        self.recent = {}
        self.after = self.upto

    def take(self, page: SpendPage) -> bool:
        """Add a page that begins `after`. True: that was the last, and `total` is what it should be."""
        if self.after == self.upto:
            _add(self.settled, page.settled)
            self.upto = page.upto
        else:  # something before it is not settled for good: it has to be looked at again
            _add(self.recent, page.settled)
        _add(self.recent, page.recent)
        self.after = page.newest
        return page.last

    def total(self) -> dict[str, Spend]:
        """What was read so far."""
        sums: dict[str, Spend] = {}
        _add(sums, self.settled)
        _add(sums, self.recent)
        return sums


_PAGE = """
(SELECT id, model, state, at, input + cached + written + output AS tokens, nano FROM model_call
 WHERE id > :after ORDER BY id LIMIT :limit) AS page
"""
_EDGES = f"SELECT count(*), max(id), min(CASE WHEN state = 'reserved' OR at > :young THEN id END) FROM {_PAGE}"  # noqa: S608
_SUMS = f"""
SELECT model, CAST(:open AS text) IS NULL OR id < :open, count(*), sum(tokens), sum(nano), max(id) FROM {_PAGE}
WHERE state <> 'reserved' GROUP BY 1, 2
"""  # noqa: S608


def spend_after(session: Session, after: str, limit: int = CALLS) -> SpendPage:
    """One page of the ledger."""
    page = {"after": after, "limit": limit}
    young = reading.now(session) - SETTLED_SECONDS
    ((number, newest, first_open),) = _rows(session, _EDGES, young=young, **page)
    settled: dict[str, Spend] = {}
    recent: dict[str, Spend] = {}
    upto = after
    for model, old, calls, tokens, nano, last in _rows(session, _SUMS, open=first_open, **page) if number else ():
        if old:
            upto = max(upto, last)
        (settled if old else recent)[model] = Spend(int(calls), int(tokens), int(nano))
    return SpendPage(settled, recent, upto, newest or after, last=number < limit)


def _add(sums: dict[str, Spend], more: dict[str, Spend]) -> None:
    for model, spend in more.items():
        sums.setdefault(model, Spend()).add(spend)


def _rows(session: Session, sql: str, **values: object) -> Iterable[Any]:
    return session.connection().execute(text(sql), values).all()


def _count(session: Session, sql: str, limit: int) -> int:
    return int(session.connection().execute(text(sql), {"limit": limit}).scalar_one())
