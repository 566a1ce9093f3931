"""Reads that every process makes many times a second. Their statements are put together once: to do it anew costs more
than to carry most of them out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, cast

from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, func, inspect, or_, select
from sqlmodel import Session, SQLModel

from state.limits import PAGE
from state.tables import Cursor, Event, Run, Todo


def table(of: type[SQLModel]) -> Table:
    """Without the mapping to objects, which costs more than to read a row."""
    return cast("Table", inspect(of).local_table)


_TODO, _RUN, _EVENT, _CURSOR = table(Todo).c, table(Run).c, table(Event).c, table(Cursor).c

_FENCES = select(_TODO.id, _TODO.fence).where(_TODO.owner == bindparam("owner"))


def fences(session: Session, owner: str) -> dict[str, int]:
    """The TODOs that this worker owns, and under which fence."""
    return {row[0]: row[1] for row in session.connection().execute(_FENCES, {"owner": owner})}


@dataclass(slots=True)
class News:
    """A run of which a sink has been told up to event number `after`; `last` is its newest."""

    run: str
    after: int
    last: int


def _news(which: ColumnElement[bool]) -> Select[Any, Any, Any]:
    cursor = select(_CURSOR.seq).where(_CURSOR.sink == bindparam("sink"), _CURSOR.run_id == _RUN.id).scalar_subquery()
    after = func.coalesce(cursor, 0)
    query = select(_RUN.id, after, _RUN.last_event).where(which, _RUN.last_event > after)
    return query.order_by(_RUN.updated_at, _RUN.id).limit(bindparam("most"))


_NEWS = _news(_RUN.ended_at.is_(None)), _news(_RUN.ended_at >= bindparam("since"))


def news(session: Session, sink: str, since: float, limit: int) -> list[News]:
    """Runs of which there is something to tell, those that wait longest first: at most `limit` open ones, and as many
    of those that ended at `since` or later."""
    values = {"sink": sink, "since": since, "most": limit}
    return [News(*row) for query in _NEWS for row in session.connection().execute(query, values)]


class Told(NamedTuple):
    """An event; as a row, since thousands of them are read in a second."""

    run_id: str
    seq: int
    at: float
    type: str
    todo_id: str | None
    data: str


@lru_cache(maxsize=256)
def _told(runs: int, *, of_types: bool) -> Select[Any]:
    ranges = (
        and_(_EVENT.run_id == bindparam(f"run{n}"), _EVENT.seq.between(bindparam(f"from{n}"), bindparam(f"to{n}")))
        for n in range(runs)
    )
    query = select(*(_EVENT[name] for name in Told._fields)).where(or_(*ranges))
    if of_types:
        query = query.where(_EVENT.type.in_(bindparam("types", expanding=True)))
    return query.order_by(_EVENT.run_id, _EVENT.seq).limit(bindparam("most"))


def events_of(
    session: Session, news: Sequence[News], limit: int = PAGE, types: Sequence[str] | None = None
) -> list[Told]:  # fmt: skip
    """What there is to tell, run after run (by id), of each in order; at most `limit` events, and of no run more than
    its share. `types`: of no others, of any run as many as there are."""
    if not news:
        return []
    share = max(1, limit // len(news)) if types is None else max(each.last for each in news)  # numbers have no gaps
    values: dict[str, Any] = {"most": limit, "types": types} if types is not None else {"most": limit}
    for n, each in enumerate(news):
        values |= {f"run{n}": each.run, f"from{n}": each.after + 1, f"to{n}": min(each.last, each.after + share)}
    rows = session.connection().execute(_told(len(news), of_types=types is not None), values)
    return [Told(*row) for row in rows]
