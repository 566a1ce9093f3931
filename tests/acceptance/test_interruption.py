"""Ctrl-C, SIGTERM, a closed terminal, `atlas cancel`, `atlas hold`: what runs is gone; who can go on, and who not."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from tests.acceptance.command_line import COMMAND, PATIENCE, Atlas, Ended, Running, wait_until
from tests.acceptance.effects import Effects
from tests.acceptance.invariants import assert_sound
from tests.acceptance.processes import assert_gone, assert_nothing_left, processes_of

_STUBBORN = """
trap '' TERM INT HUP
setsid sh -c 'trap "" TERM INT HUP; echo daemon >>"$LOG"; while :; do sleep 1; done' &
(sh -c '(sleep 600 & echo orphan >>"$LOG") &' &)
sleep 600 &
wait
"""


def stubborn_plan(effects: Effects) -> str:
    """Three TODOs, two of which leave the session, orphan children and ignore every signal that can be ignored."""
    log = {"LOG": str(effects.atlas.directory / "effects")}
    todos = [
        effects.todo("first", []),
        {"id": "stubborn", "needs": ["first"], "run": f"echo start stubborn >>$LOG\n{_STUBBORN}", "env": log},
        {"id": "again", "needs": ["first"], "run": f"echo start again >>$LOG\n{_STUBBORN}", "env": log},
        effects.todo("last", ["stubborn"]),
    ]
    return effects.atlas.plan(todos)


def start_stubborn(effects: Effects) -> Running:
    """`atlas run` of it, when everything is going."""
    running = effects.atlas.start("run", stubborn_plan(effects))

    def everything_goes() -> bool:
        return effects.lines().count("daemon") == effects.lines().count("orphan") == 2

    wait_until(everything_goes, "everything goes")
    assert len(processes_of(effects.atlas, running)) >= 8
    return running


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_interrupted_run_is_held(atlas: Atlas, effects: Effects, number: signal.Signals, code: int) -> None:
    running = start_stubborn(effects)
    interrupted = time.monotonic()
    running.send(number)
    assert_gone(atlas, interrupted, running)
    ended = running.ended()
    assert ended.code == code, ended
    assert "held" in ended.out
    assert "atlas resume " in ended.out
    assert atlas.run_state() == "held"
    assert atlas.states() == {"first": "completed", "stubborn": "ready", "again": "ready", "last": "pending"}
    assert {row["crash_count"] for row in atlas.sql("SELECT crash_count FROM todo")} == {0}
    assert_sound(atlas)
    assert_nothing_left(atlas)


def test_two_interrupts_end_it_on_the_spot(atlas: Atlas, effects: Effects) -> None:
    running = start_stubborn(effects)
    running.send(signal.SIGINT)
    interrupted = time.monotonic()
    running.send(signal.SIGINT)
    assert running.ended().code in (130, -signal.SIGINT)
    assert_gone(atlas, interrupted)


def test_held_run_is_left_alone_by_workers_and_goes_on_with_resume(atlas: Atlas, effects: Effects) -> None:
    worker = atlas.start("worker")
    running = atlas.start("run", atlas.plan([effects.todo("a", [], 10.0), effects.todo("b", ["a"])]))
    wait_until(lambda: effects.starts()["a"] == 1, "it works")
    running.send(signal.SIGINT)
    assert running.ended().code == 130
    atlas("run", atlas.plan([effects.todo("queued", [])], "queued"), "--detach", code=0)
    wait_until(lambda: effects.ends()["queued"] == 1, "the worker does work")
    assert effects.starts() == {"a": 1, "queued": 1}
    resumed = atlas.start("resume", "plan")
    wait_until(lambda: effects.starts()["a"] == 2, "it works again")
    second = atlas("resume", "plan", code=2)
    assert "is being worked on by another" in second.err
    assert resumed.ended().code == 0
    assert effects.starts() == {"a": 2, "b": 1, "queued": 1}
    assert atlas("resume", "plan", code=0).out.startswith("plan ")
    assert effects.starts() == {"a": 2, "b": 1, "queued": 1}
    worker.send(signal.SIGINT)
    worker.ended()
    assert_sound(atlas)
    assert_nothing_left(atlas)


def test_cancel_from_another_terminal_is_final(atlas: Atlas, effects: Effects) -> None:
    running = start_stubborn(effects)
    cancelling = atlas.start("cancel", "last")
    wait_until(lambda: atlas.run_state() == "cancelled", "cancelled")
    assert_gone(atlas, time.monotonic(), running, cancelling)
    assert cancelling.ended().code == 0
    ended = running.ended()
    assert ended.code == 4, ended
    assert "cancelled" in ended.out
    assert atlas.states() == {"first": "completed", "stubborn": "cancelled", "again": "cancelled", "last": "cancelled"}
    for refused in (("resume", "last"), ("retry", "last", "stubborn"), ("cancel", "last"), ("hold", "last")):
        ended = atlas(*refused, code=2)
        assert "cancelled" in ended.err, ended
    assert effects.starts() == {"first": 1, "stubborn": 1, "again": 1}
    assert_sound(atlas)
    assert_nothing_left(atlas)


def test_hold_from_another_terminal_lets_finish_what_runs(atlas: Atlas, effects: Effects) -> None:
    running = atlas.start("run", atlas.plan([effects.todo("a", [], 6.0), effects.todo("b", ["a"])]))
    wait_until(lambda: effects.starts()["a"] == 1, "it works")
    assert "held" in atlas("hold", "last", code=0).out
    ended = running.ended()
    assert ended.code == 3, ended
    assert "atlas resume" in ended.out
    assert atlas.states() == {"a": "completed", "b": "ready"}
    atlas("resume", "last", code=0)
    assert effects.starts() == {"a": 1, "b": 1}
    assert_sound(atlas)


def test_ctrl_c_at_a_real_terminal(atlas: Atlas, effects: Effects) -> None:
    primary, terminal = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", *COMMAND, "run", atlas.plan([effects.todo("t", [], PATIENCE)])],
        stdin=terminal, stdout=terminal, stderr=terminal, cwd=atlas.work,
        env=atlas.environment({"TERM": "xterm", "COLUMNS": "100", "LINES": "30"}),
    )  # fmt: skip
    os.close(terminal)
    shown = b""
    try:
        os.set_blocking(primary, False)
        pressed = 0.0
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None:
            assert time.monotonic() < deadline, shown
            shown += _available(primary)
            if not pressed and effects.starts()["t"] and "in_progress" in shown.decode():
                pressed = time.monotonic()
                os.write(primary, b"\x03")
        shown += _available(primary)
    finally:
        process.kill()
        process.wait()
        os.close(primary)
    ended = Ended(process.returncode, shown.decode(), "")
    assert ended.code == 130, ended
    assert "atlas resume" in ended.out
    assert "Traceback" not in ended.out
    assert_gone(atlas, pressed, within=5)
    assert_nothing_left(atlas)


def _available(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nothing now, or the other side is closed
        return b""
