"""Free TCP ports on loopback, and waiting for a server to answer on one."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
import time
from pathlib import Path

_OURS = range(20_000, 30_000)
"""Below what the system gives to who asks for any port: a server that takes seconds to start finds it free still."""
_LOCKS = Path(tempfile.gettempdir()) / f"atlas-test-ports-{os.getuid()}"
_held: list[int] = []


def free_port() -> int:
    """A port that nobody listens on, and that no other process that asks here is given."""
    _LOCKS.mkdir(exist_ok=True)
    for port in random.sample(_OURS, len(_OURS)):
        lock = os.open(_LOCKS / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            os.close(lock)
            continue
        _held.append(lock)  # to the end of this process
        return port
    raise AssertionError("no port is free")


def wait_for_port(port: int, deadline: float = 30.0) -> None:
    """Return when something listens on the port; `TimeoutError` after `deadline` seconds."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        with socket.socket() as probe:
            probe.settimeout(1.0)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nothing answers on 127.0.0.1:{port}")
