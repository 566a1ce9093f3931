"""Labelled places where a crash would hurt, for tests that make one happen there.

Off unless `ATLAS_FAILPOINTS` names them: ``label=action[@hit]`` separated by commas. Actions: ``kill`` (SIGKILL to
this process), ``stop`` (SIGSTOP), ``error`` (raises `FailpointReached`), ``sleep:<seconds>``. ``@3``: on the third hit
only.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import cache

from state.errors import SettingsError

LABELS = (
    "submit.before_commit",
    "submit.after_commit",
    "store.before_commit",
    "store.after_commit",
    "intake.received",
    "intake.submitted",
    "broker.sent",
    "broker.buried",
    "relay.published",
    "waking.looked",
    "liveness.locked",
    "worker.claimed",
    "task.inputs_fetched",
    "task.command_ended",
    "task.outputs_staged",
    "task.verified",
    "leftovers.staged",
    "snapshot.object",
    "agent.call_reserved",
    "agent.call_answered",
    "agent.tool_intended",
    "agent.tool_called",
    "agent.shortening",
    "agent.shortened",
    "agent.merged",
    "agent.verified",
    "agent.published",
    "worker.before_settle",
    "worker.after_settle",
    "outputs.before_publish",
    "outputs.half_published",
    "outputs.after_publish",
    "sweeper.released",
)


class FailpointReached(RuntimeError):
    """Raised by the ``error`` action."""


_hits: dict[str, int] = {}
_lock = threading.Lock()


@cache
def _armed() -> dict[str, tuple[str, int]]:
    armed: dict[str, tuple[str, int]] = {}
    for part in filter(None, os.environ.get("ATLAS_FAILPOINTS", "").split(",")):
        label, _, rest = part.partition("=")
        action, _, hit = rest.partition("@")
        if label not in LABELS:
            raise SettingsError(f"ATLAS_FAILPOINTS: unknown label {label!r}", f"There are: {', '.join(LABELS)}.")
        armed[label] = (action or "kill", int(hit or 0))
    return armed


def failpoint(label: str) -> None:
    """Act if this label is armed; else nothing."""
    armed = _armed()
    if label not in armed:
        return
    action, wanted = armed[label]
    with _lock:
        _hits[label] = hit = _hits.get(label, 0) + 1
    if wanted and hit != wanted:
        return
    _act(label, action)


def _act(label: str, action: str) -> None:
    match action.partition(":"):
        case ("kill", _, _):
            os.kill(os.getpid(), signal.SIGKILL)
        case ("stop", _, _):
            os.kill(os.getpid(), signal.SIGSTOP)
        case ("sleep", _, seconds):
            time.sleep(float(seconds))
        case _:
            raise FailpointReached(label)
