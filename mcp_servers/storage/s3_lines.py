"""Connections that another thread can end: a request to a silent server stops when its caller does, not at its timeout.

boto3 has no way to end a request. So the connections that it makes tell on whose behalf they are used, and ending that
shuts their socket down.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, cast

from mcp_servers.storage.threads import Stop

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class _Connection(Protocol):
    """urllib3's. `line` is the one that uses it now."""

    sock: socket.socket | None
    line: Line | None


class Line:
    """The connection that one attempt of a request uses."""

    def __init__(self) -> None:
        self._ended = False
        self._connection: _Connection | None = None
        self._connecting: socket.socket | None = None

    def take(self, connection: _Connection) -> None:
        """From now on, `end` ends this one. Raises if it came already."""
        connection.line = self
        self._connection = connection
        self.close()
        self._check()

    def connect(self, connecting: socket.socket) -> None:
        """The same for a socket that is about to connect, and maybe to agree on TLS."""
        self.close()
        # Under TLS the socket becomes another object; a second handle of it stays ours.
        self._connecting = connecting.dup()
        self._check()

    def close(self) -> None:
        """Let go of what connected."""
        if self._connecting:
            self._connecting.close()
            self._connecting = None

    def end(self) -> None:
        """From any thread; does not block."""
        self._ended = True
        connection = self._connection
        # Another may have it by now.
        used = connection.sock if connection and connection.line is self else None
        for each in (self._connecting, used):
            # OSError: it is closed already. The socket's own method: that of TLS would forget the keys.
            with suppress(OSError, TypeError):
                if each:
                    socket.socket.shutdown(each, socket.SHUT_RDWR)

    def _check(self) -> None:
        if self._ended:
            raise ConnectionAbortedError("stopped")


class Lines:
    """Those of one client: each of its threads has at most one."""

    def __init__(self) -> None:
        self._mine = threading.local()

    @contextmanager
    def interruptible(self, stop: Stop) -> Generator[None]:
        """A stop ends the request that this thread makes in the block."""
        line = self._mine.line = Line()
        try:
            with stop.interrupting(line.end):
                yield
        finally:
            self._mine.line = None
            line.close()

    @property
    def mine(self) -> Line | None:
        """This thread's."""
        return getattr(self._mine, "line", None)

    def install(self, client: S3Client) -> None:
        """Make `client` use such connections from now on."""
        from botocore import awsrequest as boto

        lines = self
        plain_connection = cast("type[Any]", boto.AWSHTTPConnection)
        tls_connection = cast("type[Any]", boto.AWSHTTPSConnection)
        plain_pool = cast("type[Any]", boto.AWSHTTPConnectionPool)
        tls_pool = cast("type[Any]", boto.AWSHTTPSConnectionPool)

        class Plain(_Told, plain_connection):
            told = lines

        class Tls(_Told, tls_connection):
            told = lines

        class PlainPool(plain_pool):
            ConnectionCls = Plain

        class TlsPool(tls_pool):
            ConnectionCls = Tls

        # Neither boto3 nor botocore offers a way to choose the connections. Where these names have changed, a call ends
        # with its timeouts only.
        endpoint = getattr(client, "_endpoint", None)
        session = getattr(endpoint, "http_session", None)
        pools: object = getattr(session, "_pool_classes_by_scheme", None)
        if isinstance(pools, dict):
            cast("dict[str, type[Any]]", pools).update(http=PlainPool, https=TlsPool)


class _Told:
    """A connection that tells the thread's line what it does."""

    told: Lines
    line: Line | None = None
    sock: socket.socket | None

    def request(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401  as urllib3 has it
        self._tell()
        return cast("Any", super()).request(*arguments, **named)

    def connect(self) -> None:
        cast("Any", super()).connect()
        self._tell()

    def _new_conn(self) -> socket.socket:
        line = self.told.mine
        if line is None:
            return cast("socket.socket", cast("Any", super())._new_conn())
        return connected(cast("Any", self), line)

    def _tell(self) -> None:
        if line := self.told.mine:
            line.take(self)


def connected(connection: Any, line: Line) -> socket.socket:  # noqa: ANN401  urllib3's HTTPConnection
    """As urllib3's own, with sockets that `line` can end while they connect."""
    from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

    try:
        return _connected(connection, line)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    except TimeoutError as error:
        raise ConnectTimeoutError(connection, f"connection to {connection.host} timed out") from error
    except OSError as error:
        raise NewConnectionError(connection, f"failed to establish a new connection: {error}") from error


def _connected(connection: Any, line: Line) -> socket.socket:  # noqa: ANN401
    failure: OSError = OSError(f"{connection.host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        connection.host.strip("[]"), connection.port, type=socket.SOCK_STREAM
    ):
        connecting = socket.socket(family, kind, protocol)
        try:
            line.connect(connecting)
            for option in connection.socket_options or ():
                connecting.setsockopt(*option)
            connecting.settimeout(connection.timeout)
            connecting.connect(address)
            return connecting
        except OSError as error:
            connecting.close()
            failure = error
    raise failure
