"""Hears of other processes' commits: a connection that listens, in a thread of its own."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable

import psycopg

from state.postgres_sql import CHANNEL, QUEUED, Connection, run_sql
from state.postgres_writer import connect

log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


class PostgresListener:
    """Calls `changed` after every commit of a sender other than `sender`, and after every gap in listening; and before
    that `queued`, when there may be more in the queue."""

    def __init__(
        self, conninfo: str, name: str, sender: str, changed: Callable[[], None], queued: Callable[[], None]
    ) -> None:
        self._conninfo = conninfo
        self._name = name
        self._sender = sender
        self._changed = changed
        self._queued = queued
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="atlas-store-listener", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wakes the thread by shutting its connection down under it. Blocks."""
        with self._lock:
            self._closing.set()
            connection = self._connection
            if connection and not connection.closed:
                with socket.socket(fileno=connection.fileno()) as borrowed:
                    try:
                        borrowed.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass  # it has gone by itself, in this moment
                    finally:
                        borrowed.detach()
        self._thread.join()

    def _run(self) -> None:
        warned = False
        while not self._closing.is_set():
            try:
                with connect(self._conninfo) as connection:
                    with self._lock:
                        self._connection = connection
                    warned = False
                    self._listen(connection)
            except (psycopg.Error, OSError) as error:
                if not warned and not self._closing.is_set():
                    log.warning("cannot listen to %s, trying again: %s", self._name, str(error).strip())
                    warned = True
            finally:
                with self._lock:
                    self._connection = None
            self._closing.wait(_RETRY_SECONDS)

    def _listen(self, connection: Connection) -> None:
        run_sql(connection, f"LISTEN {CHANNEL}")
        self._changed()  # whatever came before
        if not self._closing.is_set():
            for notification in connection.notifies():
                sender, _, what = notification.payload.partition(" ")
                if sender != self._sender:
                    if what == QUEUED:
                        self._queued()
                    self._changed()
