"""Where an attempt of the Atlas graph is: small plain JSON, checkpointed after every call. What was said is in rows."""

from __future__ import annotations

from typing import Any, Literal, TypedDict, cast

Exit = Literal["", "again", "tools", "enforce", "prometheus", "metis", "hephaestus", "oracle", "librarian", "end"]
"""Where a node wants to go; empty: where it is natural."""
Ended = Literal["claims_done", "gave_in", "unavailable", "overflow", "capped"]


class Frame(TypedDict):
    """A role that waits for the answer of one that it consults."""

    duty: str
    talk: int
    seq: int
    calls: list[int]


class News(TypedDict):
    """Measured since the enforcer decided last; see `orchestrator.enforcer.News`."""

    items: int
    verified: int
    trees: int
    results: int


class Position(TypedDict):
    """The graph's state. `role` speaks, by its `duty`, in conversation `talk` (0: not begun), of which `seq` turns are;
    `calls` are the numbers of the calls of its last reply that are not carried out. `talks` counts conversations,
    `places` remembers where those are that somebody goes back to. `say` is what the house says next. `stop` is why the
    graph ended, for the executor; `quiet` counts calls without news, `reminders` those to roles that only talked."""

    role: str
    duty: str
    talk: int
    seq: int
    calls: list[int]
    callers: list[Frame]
    talks: int
    places: dict[str, list[int]]
    say: str
    exit: Exit
    ended: Ended
    stop: dict[str, Any]
    news: News
    quiet: int
    reminders: int


class Step(TypedDict, total=False):
    """What a node changes of the `Position`."""

    role: str
    duty: str
    talk: int
    seq: int
    calls: list[int]
    callers: list[Frame]
    talks: int
    places: dict[str, list[int]]
    say: str
    exit: Exit
    ended: Ended
    stop: dict[str, Any]
    news: News
    quiet: int
    reminders: int


def after(position: Position, step: Step) -> Position:
    """The position that a step leads to."""
    return cast(Position, {**position, **step})


def no_news() -> News:
    """Nothing yet."""
    return {"items": 0, "verified": 0, "trees": 0, "results": 0}


def begin(duty: str, role: str) -> Position:
    """The first position of an attempt."""
    return {
        "role": role, "duty": duty, "talk": 0, "seq": 0, "calls": [], "callers": [], "talks": 0, "places": {},
        "say": "", "exit": "", "ended": "gave_in", "stop": {}, "news": no_news(), "quiet": 0, "reminders": 0,
    }  # fmt: skip


def turn_to(position: Position, duty: str, role: str, say: str = "") -> Step:
    """An update: `role` goes on with `duty`, in its old conversation if it has one (told `say`), else in a new one."""
    places = {**position["places"], position["duty"]: [position["talk"], position["seq"]]}
    talk, seq = places.get(duty, [0, 0])
    return {
        "role": role,
        "duty": duty,
        "talk": talk,
        "seq": seq,
        "calls": [],
        "places": places,
        "say": say if talk else "",
    }
