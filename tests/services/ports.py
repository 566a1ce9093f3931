"""Free TCP ports on loopback, and waiting for a server to answer on one."""

from __future__ import annotations

import socket
import time


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
