"""What somebody at the command line sees and does of roles at work in another process: a cancel, what was spent, and a
report when no model writes one."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.agents.cast import DONE, WORKS, Answering, Heard, writes
from tests.agents.people import a_person, silent_at
from tests.agents.test_budget import USED, costly
from tests.agents.world import todo
from tests.services.model_wires import Answer

SOON = 1.0
"""Seconds after which no model may be asked any more."""


def test_a_cancel_from_elsewhere_stops_the_model_at_once(tmp_path: Path) -> None:
    with a_person(tmp_path, cast={"hephaestus": silent_at(1, WORKS)}) as person:
        worker = person.atlas.start("worker")
        person.atlas("run", person.plan(todo()), "--detach", code=0)
        held = person.held()
        assert not held.closed.is_set()
        person.atlas("cancel", "last", code=0)
        assert held.closed.wait(SOON), "the connection is closed"
        stood = len(person.server.asked)
        time.sleep(SOON)  # nothing comes: that is what is looked at
        assert len(person.server.asked) == stood
        [row] = person.atlas.sql("SELECT state FROM todo WHERE key = 'fix'")
        assert row["state"] == "cancelled"
        states = [row["state"] for row in person.atlas.sql("SELECT state FROM model_call ORDER BY id")]
        assert states == ["answered", "stopped"]
        worker.send(signal.SIGTERM)
        assert worker.ended().code == 0, worker.err


def test_what_was_read_from_the_makers_cache_shows(tmp_path: Path) -> None:
    def hephaestus(heard: Heard) -> Answering:
        return costly(DONE) if heard.replies else costly(writes())

    with a_person(tmp_path, cast={"hephaestus": hephaestus}) as person:
        person.atlas("run", person.plan(todo()), code=0)
        [run] = person.atlas("runs", "--json", code=0).rows
        told = [asked.answer.usage for asked in person.server.asked if asked.answer.usage]
        assert run["spend"]["cached_tokens"] == sum(used.cached for used in told) >= 2 * USED.cached
        [line] = person.atlas("runs", code=0).out.splitlines()
        assert f"{run['spend']['cached_tokens']:,}" in line.split()


def test_a_report_that_no_model_writes_says_so_and_has_the_evidence(tmp_path: Path) -> None:
    refused = Answer(status=400, body=b'{"type":"error","error":{"type":"invalid_request_error","message":"No."}}')
    with a_person(tmp_path, cast={"librarian": lambda heard: refused}) as person:
        person.atlas("run", person.plan(todo()), code=0)
        report = person.atlas("report", "last", code=0).out
        assert "No model wrote this report" in report
        for kept in ("fix", "completed", "sh check.sh"):
            assert kept in report
