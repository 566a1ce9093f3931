"""What a round of `queue` or `takeover` has to know of the system it is about: Atlas, or one of its peers."""

from __future__ import annotations

import importlib
import os
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import cast

from sqlalchemy import make_url

DATABASE, BROKER = "BENCH_DATABASE", "BENCH_BROKER"
SLOTS = "BENCH_SLOTS"
"""How many TODOs a worker has in progress at a time, where the system lets one choose."""

Submit = Callable[[Sequence[str]], Awaitable[list[str]]]
"""Hands in TODOs, durably, as quickly as the system's own manual says; returns the names under which `duty` notes
them."""


@dataclass(frozen=True, slots=True)
class System:
    """`worker`: the arguments to Python of one worker process. `client`: opens what is needed to submit. `done`: SQL
    that counts what is completed. For `takeover` also `result`: SQL that gives the result of `%s`, which is the id of
    the process that did it; `restarted`: nobody takes over but the same worker, started again."""

    worker: Sequence[str]
    client: Callable[[], AbstractAsyncContextManager[Submit]]
    done: str
    result: str = ""
    restarted: bool = False


def system(name: str) -> System:
    """Of the module ``benchmarks.queue_<name>``."""
    module = importlib.import_module(f"benchmarks.queue_{name}")
    return cast("Callable[[], System]", module.system)()


def database() -> str:
    """URL of this round's, as SQLAlchemy has it."""
    return os.environ[DATABASE]


def conninfo() -> str:
    """The same, as libpq has it."""
    return make_url(database()).set(drivername="postgresql").render_as_string(hide_password=False)


def broker() -> str:
    """URL of this round's."""
    return os.environ[BROKER]


def slots(default: int) -> int:
    """See `SLOTS`."""
    return int(os.environ.get(SLOTS, default))
