"""Reads on threads of their own, each on one consistent snapshot, through SQLAlchemy sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

from sqlalchemy import Engine
from sqlmodel import Session

from state.errors import StoreError, StoreUnavailable

T = TypeVar("T")
READERS = 2
"""Threads, and connections of the engine's pool."""


class Readers:
    """Owns the engine. `failure` puts the database's errors into words; what a query raises itself goes on as it is."""

    def __init__(self, engine: Engine, failure: Callable[[BaseException], StoreError | None]) -> None:
        self._engine = engine
        self._failure = failure
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="atlas-store-reader")
        self._closed = False

    async def read(self, query: Callable[[Session], T]) -> T:
        """See `state.ports.Store.read`. In the caller's context: what is logged there bears its ids."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        loop, run = asyncio.get_running_loop(), copy_context().run
        return await loop.run_in_executor(self._threads, lambda: run(self._read, query))

    def _read(self, query: Callable[[Session], T]) -> T:
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                return query(session)
        except Exception as error:
            if failure := self._failure(error):
                raise failure from error
            raise

    def close(self) -> None:
        """Finish what is being read. Blocks."""
        self._closed = True
        self._threads.shutdown()
        self._engine.dispose()
