"""What peers fail at, and we must not: what a person is told, and when (product.md's last section: 11, 13)."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.acceptance.command_line import wait_until
from tests.agents.cast import DONE, Cast, acts, call, writes
from tests.agents.people import MODEL, a_person, silent_at
from tests.agents.world import todo
from tests.services.model_wires import Answer

# --- 11. "A headless approval that deadlocks; a timeout reported as "the user said no"." ------------------------------


def test_a_headless_approval_that_deadlocks(tmp_path: Path) -> None:
    """11: a headless approval that deadlocks. Without a terminal, and with nobody there, a plan that wants approval and
    a role that asks end the command, saying how to answer; the answer is a command, and so is going on."""
    plan = call("submit_plan", plan=json.dumps({"atlas": 1, "todos": [todo()]}))
    asks = acts(call("ask_person", question="Which?", choices=["left", "right"]), [writes(), DONE])
    with a_person(tmp_path, cast={"prometheus": acts(plan), "hephaestus": asks}) as person:
        where = ("--repo", "repository", "--sandbox", "host", "--model", MODEL)
        ended = person.atlas("do", "Make answer.txt say right.", "--approve", "ask", *where, code=3)
        assert "Carry out this plan?" in ended.out
        assert not person.stage.by("hephaestus"), "nothing is carried out before"
        for answer, code in (("approve", 3), ("right", 0)):
            assert person.atlas.run_state() == "awaiting_input"
            found = re.search(r"^ *atlas (answer \w{8}) (\w+)$", ended.out, re.MULTILINE)
            assert found, ended
            person.atlas(*found[1].split(), answer, code=0)
            again = re.search(r"^ *then go on with: atlas (resume \w{8})$", ended.out, re.MULTILINE)
            assert again, ended
            ended = person.atlas(*again[1].split(), code=code)
        assert ": answers: right" not in ended.out
        assert person.stage.by("hephaestus")[-1].last.endswith(" answers: right\n")
        assert set(person.atlas.states().values()) == {"completed"}


def test_a_timeout_reported_as_the_user_said_no(tmp_path: Path) -> None:
    """11: a timeout reported as "the user said no". A gate that expires is neither yes nor no: what waits for either
    waits on, it is told as expired, and a person may still be asked again."""
    gate = {"id": "gate", "ask": "Shall I?", "choices": ["yes", "no"], "expires": "1s"}
    yes, no = (todo(id=f"on-{word}", needs=[{"gate": word}]) for word in ("yes", "no"))
    with a_person(tmp_path) as person:
        person.atlas("run", person.plan(gate, yes, no), code=3)
        over = time.monotonic() + 1.0
        wait_until(lambda: time.monotonic() > over, "it is too late")
        ended = person.atlas("resume", "last", code=3)
        assert "gate blocked (expired): nobody answered in time" in ended.out
        assert not re.search(r"\b(no|rejected|refused|declined|denied|not_applicable)\b", ended.out)
        states = {"gate": "blocked", "on-yes": "pending", "on-no": "pending", "report": "pending"}
        assert person.atlas.states() == states
        (question,) = person.atlas("questions", "--all", "--json", code=0).rows
        assert (question["state"], question["answer"], question["answered_by"]) == ("expired", None, None)
        again = person.atlas("retry", "last", "gate", code=3)
        assert re.search(r"gate +awaiting_input$", again.out, re.MULTILINE), again
        assert len(person.atlas.sql("SELECT id FROM question")) == 2
        assert not person.server.asked


# --- 13. "A child agent that dies in one second, shown as thirty minutes of silence." ---------------------------------

SOON = 60.0
"""Seconds; it takes a few."""
GONE = Answer(status=404, error={"type": "not_found_error", "message": "model: claude-nothing"})
PLAN = call("submit_plan", plan=json.dumps({"atlas": 1, "todos": [todo()]}))
CHILDREN: dict[str, tuple[str, Cast, Sequence[dict[str, object]], dict[str, str]]] = {
    "who is consulted": (
        "oracle", {"hephaestus": acts(call("consult", role="oracle", question="What now?"), [writes(), DONE])},
        [todo()], {},
    ),
    "who reviews": ("oracle", {}, [todo(verify=[{"run": "sh check.sh"}, {"review": "oracle"}])], {}),
    "who diagnoses": ("oracle", {"hephaestus": acts(DONE)}, [todo(retries={"max": 1, "backoff": "0s"})], {}),
    "who reviews a plan": ("metis", {"prometheus": acts(PLAN)}, [], {"goal": "Make answer.txt say right."}),
}  # fmt: skip


@pytest.mark.parametrize("child", CHILDREN)
def test_a_child_agent_that_dies_at_once_shown_as_silence(tmp_path: Path, child: str) -> None:
    """13: a child agent that dies in one second, shown as thirty minutes of silence. A role that another one waits for
    has a model that there is not: it is told at once, with its name and what to do."""
    role, cast, todos, keys = CHILDREN[child]
    with a_person(tmp_path, cast={**cast, role: acts(GONE)}) as person:
        plan = person.plan(*todos, models={"default": [MODEL], role: ["anthropic/claude-nothing"]}, **keys)
        begun = time.monotonic()
        ended = person.atlas("run", plan, code=3)
        assert time.monotonic() - begun < SOON
        key = "plan" if role == "metis" else "fix"
        told = rf"{key} +blocked \(model\).*: anthropic/claude-nothing: .* has no such model"
        assert re.search(told, ended.out, re.MULTILINE), ended
        assert re.search(rf"again: atlas retry \w{{8}} {key}$", ended.out, re.MULTILINE)
        assert "claude-nothing" in person.atlas("logs", "last", key, code=0).out
        assert len(person.stage.by(role)) == 1


def test_a_run_whose_process_dies_at_once_shown_as_silence(tmp_path: Path) -> None:
    """13: the same of the process that has all the agents of a run: whoever looks after that is told, and how to go
    on."""
    with a_person(tmp_path, cast={"hephaestus": silent_at(0, acts(writes(), DONE))}) as person:
        running = person.atlas.start("run", person.plan(todo()))
        person.held()
        running.kill()
        ended = person.atlas("watch", "last", code=3, seconds=SOON)
        assert re.search(r"^plan \w{8}: held, 0/1 settled", ended.out, re.MULTILINE), ended
        assert "atlas resume" in ended.out
        assert person.atlas("runs", "--json", code=0).rows[0]["state"] == "held"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_run_whose_process_dies_while_somebody_watches_shown_as_silence(tmp_path: Path, as_json: bool) -> None:
    """13: the same for who watches already: it is told, and need not be asked again."""
    with a_person(tmp_path, cast={"hephaestus": silent_at(0, acts(writes(), DONE))}) as person:
        running = person.atlas.start("run", person.plan(todo()))
        person.held()
        watching = person.atlas.start("watch", "last", *(["--json"] if as_json else []))
        wait_until(lambda: watching.out, "somebody watches")
        assert as_json or re.fullmatch(r"plan \w{8}: in_progress, 0/1 settled\n", watching.out)
        running.kill()
        ended = watching.ended(SOON)
        assert ended.code == 3
        if as_json:
            states = [row["data"] for row in ended.rows if row["type"] == "run.state"]
            assert (states[-1]["to"], states[-1]["reason"]) == ("held", "the process that ran it is gone")
        else:
            told = (
                r"^plan \w{8}: held, 0/1 settled\n  the process that ran it is gone\n  go on with: atlas resume \w{8}$"
            )
            assert re.search(told, ended.out, re.MULTILINE), ended
        (row,) = [row for row in person.atlas("todos", "last", "--json", code=0).rows if row["key"] == "fix"]
        assert row["state"] == "ready", "nobody works on it"


def test_a_run_whose_process_does_not_answer_shown_as_silence(tmp_path: Path) -> None:
    """13: the same of a process that was stopped: it may go on, so that the run is not held; but it is told."""
    with a_person(tmp_path, cast={"hephaestus": silent_at(0, acts(writes(), DONE), times=2)}) as person:
        running = person.atlas.start("run", person.plan(todo()))
        person.held()
        running.send(signal.SIGSTOP)
        watching = person.atlas.start("watch", "last")
        wait_until(lambda: "does not answer" in watching.err, "it is told", SOON)
        running.send(signal.SIGCONT)
        wait_until(lambda: "answers again" in watching.err, "and again", SOON)
        assert len(watching.err.splitlines()) == 2
        assert "fix                      will be tried again (its worker did not answer)\n" in watching.out
        assert person.atlas.sql("SELECT crash_count FROM todo WHERE key = 'fix'") == [{"crash_count": 0}]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_only_worker_dies_at_once_shown_as_silence(tmp_path: Path, as_json: bool) -> None:
    """13: the same of the only worker that there is: who watches is told, once, that nobody works on it, and told again
    when somebody does. Who looks after that sees the same."""
    flags = ["--json"] if as_json else []
    with a_person(tmp_path, cast={"hephaestus": silent_at(0, acts(writes(), DONE))}) as person:
        person.atlas("run", person.plan(todo()), "--detach", code=0)
        working = person.atlas.start("worker")
        person.held()
        watching, other = (person.atlas.start("watch", "last", *flags) for _ in range(2))
        wait_until(lambda: watching.out and other.out, "two watch")
        working.kill()
        for each in (watching, other):
            wait_until(lambda each=each: "no worker is there" in each.err, "it is told", SOON)
        person.atlas.start("worker")
        for each in (watching, other):
            ended = each.ended(SOON)
            assert ended.code == 0
            assert ended.err.count("no worker is there; start one: atlas worker\n") == 1
            if as_json:
                took = [row["data"] for row in ended.rows if row["type"] == "worker.took_over"]
                assert took == [{"worker": "", "cause": "died", "crash_count": 1}], "it died once, whoever has noticed"
            else:
                told = r"fix +will be tried again \(its worker died\)\n\S+ +fix +in_progress$"
                assert len(re.findall(told, ended.out, re.MULTILINE)) == 1, ended


def test_a_worker_that_dies_again_and_again_shown_as_silence(tmp_path: Path) -> None:
    """13: without anybody who watches, and without another worker: the lists do not say that somebody is at work. Each
    death counts once, however often one looks; the third is the last."""
    with a_person(tmp_path) as person:
        person.atlas("run", person.plan(todo()), "--detach", code=0)
        for deaths in (1, 2, 3):
            person.atlas.start("worker", ATLAS_FAILPOINTS="worker.claimed=kill").ended()
            assert person.atlas.states()["fix"] == "in_progress"
            if deaths < 3:
                watching = person.atlas.start("watch", "last")
                wait_until(lambda watching=watching: "atlas worker" in watching.err, "it is told", SOON)
                assert "fix\tready" in person.atlas("todos", "last", code=0).out
                watching.kill()
            person.atlas("runs", code=0)
            (row,) = person.atlas.sql("SELECT state, reason, crash_count FROM todo WHERE key = 'fix'")
            assert (row["state"], row["crash_count"]) == ("failed" if deaths == 3 else "ready", deaths)
        assert row["reason"] == "poison"


def test_a_run_that_no_worker_takes_shown_as_silence(tmp_path: Path) -> None:
    """13: the same before any worker was there. One that has a run for itself is none."""
    with a_person(tmp_path, cast={"hephaestus": silent_at(0, acts(writes(), DONE))}) as person:
        person.atlas.start("run", person.plan(todo()))
        person.held()
        person.atlas("run", person.plan({"id": "one", "run": "true"}, name="waits"), "--detach", code=0)
        watching = person.atlas.start("watch", "waits")
        wait_until(lambda: watching.err == "no worker is there; start one: atlas worker\n", "it is told", SOON)
        assert re.fullmatch(r"waits \w{8}: in_progress, 0/1 settled\n", watching.out)
        person.atlas.start("worker")
        assert watching.ended(SOON).code == 0


def test_a_todo_that_no_worker_may_take_shown_as_silence(tmp_path: Path) -> None:
    """13: workers are there, and none has the labels that it wants."""
    with a_person(tmp_path) as person:
        worker = person.atlas.start("worker")
        plan = person.plan({"id": "train", "run": "true", "labels": ["gpu"]}, name="waits")
        person.atlas("run", plan, "--detach", code=0)
        watching = person.atlas.start("watch", "waits")
        told = "no worker has the labels of a TODO that is ready (gpu); start one: ATLAS_WORKER_LABELS\n"
        wait_until(lambda: watching.err.endswith(told), f"it is told: {watching.err}", SOON)
        person.atlas.start("worker", ATLAS_WORKER_LABELS="gpu")
        assert watching.ended(SOON).code == 0
        worker.send(signal.SIGTERM)


def test_a_todo_that_asks_for_more_than_any_worker_has_shown_as_silence(tmp_path: Path) -> None:
    """13: workers are there, and all are too small. Who runs a plan alone gives it all there is."""
    with a_person(tmp_path) as person:
        large = {"id": "train", "run": "true", "resources": {"cpus": 1024, "memory": "1024t"}}
        person.atlas("run", person.plan(large, name="here"), code=0)
        worker = person.atlas.start("worker", ATLAS_WORKER_CPUS="1.5", ATLAS_WORKER_MEMORY="1g")
        wait_until(lambda: "4 at a time, 1.5 cores and 1 GiB, from" in worker.err, worker.err)
        plan = person.plan({"id": "train", "run": "true", "resources": {"cpus": 2}}, name="waits")
        person.atlas("run", plan, "--detach", code=0)
        watching = person.atlas.start("watch", "waits")
        told = "no worker has as much as a TODO that is ready asks for (2 cores); start a larger one\n"
        wait_until(lambda: watching.err.endswith(told), f"it is told: {watching.err}", SOON)
        person.atlas.start("worker", ATLAS_WORKER_CPUS="2")
        assert watching.ended(SOON).code == 0
        worker.send(signal.SIGTERM)
