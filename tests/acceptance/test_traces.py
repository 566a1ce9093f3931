"""One trace of what a run is: who submits it, who works on it and what they call are processes of their own, and the
collector is a real one."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Generator
from pathlib import Path

import pytest

from tests.acceptance.command_line import PATIENCE, Atlas, Running, wait_until
from tests.acceptance.test_roles_cli import SCRIPTED, example
from tests.acceptance.test_submit import document, stopped, worker, written
from tests.services.otlp_collector import Collector, Span, collector
from tests.services.ports import free_port

__all__ = ["example"]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
SECRET = "correct-horse-battery-staple"
PROMPT_WORDS = (b"does not add up", b"the tests are right", b"I shall look", b"durations.py")


@pytest.fixture
def traces() -> Generator[Collector]:
    with collector() as found:
        yield found


def one(traces: Collector, name: str) -> Span:
    """The only span with this name; waits for it."""
    return wait_until(lambda: traces.named(name), f"a span {name}: {[span.name for span in traces.spans]}")[0]


def gone(*workers: Running) -> None:
    """Killed, not told."""
    for each in workers:
        wait_until(lambda each=each: not each.alive, "it has died")


@pytest.mark.timeout(600)  # a dozen seconds, on an idle machine
def test_submit_work_models_and_tools_are_one_trace(atlas: Atlas, example: Path, traces: Collector) -> None:
    atlas.variables |= traces.variables
    atlas("run", "plan.yaml", *SCRIPTED, "--detach", cwd=example, code=0, TRACEPARENT=TRACEPARENT)
    submit = one(traces, "atlas.submit")
    assert (submit.parent, submit.kind, submit.service) == (CALLER, "producer", "atlas")
    hand = atlas.start("worker", OTEL_SERVICE_NAME="atlas-worker")
    wait_until(lambda: atlas.run_state() == "completed", "the run is completed", 6 * PATIENCE)
    stopped(hand)
    assert {span.trace for span in traces.spans} == {TRACE}
    todos = {str(span.attributes["atlas.todo.key"]): span for span in traces.named("atlas.todo")}
    said = {key: (span.parent, span.kind, span.service) for key, span in todos.items()}
    assert said == dict.fromkeys(("plan", "fix", "report"), (submit.id, "consumer", "atlas-worker"))
    attempts = [span for span in traces.named("atlas.todo") if span.attributes["atlas.todo.key"] == "fix"]
    assert [(span.attributes["atlas.attempt"], span.attributes["atlas.outcome"]) for span in attempts] == [
        (0, "retried"), (1, "completed"),
    ]  # fmt: skip
    for name, kind in (("chat script.yaml", "client"), ("execute_tool workspace_run", "internal")):
        span = traces.named(name)[0]
        assert (span.kind, traces.above(span)[-2:]) == (kind, ["atlas.todo", "atlas.submit"])
    chat = traces.named("chat script.yaml")[0].attributes
    assert (chat["gen_ai.operation.name"], chat["gen_ai.provider.name"]) == ("chat", "scripted")
    assert chat["gen_ai.usage.input_tokens"] and chat["gen_ai.usage.output_tokens"]  # noqa: PT018
    tool = traces.named("execute_tool workspace_run")[0].attributes
    assert (tool["gen_ai.operation.name"], tool["gen_ai.tool.name"]) == ("execute_tool", "workspace_run")
    run_by_tool = [traces.above(span)[0] for span in traces.named("atlas.sandbox")]
    assert {"execute_tool workspace_run", "atlas.verify"} <= set(run_by_tool)
    assert not [words for words in PROMPT_WORDS if words in traces.text], "what prompts say is nobody's business"


def test_a_command_may_go_on_with_the_trace(atlas: Atlas, traces: Collector) -> None:
    atlas.variables |= traces.variables | {"ATLAS_LOG_FORMAT": "json", "ATLAS_LOG_LEVEL": "debug"}
    atlas.variables |= {"SAMPLE_TOKEN": SECRET, "ATLAS_SECRETS_ALLOW": "SAMPLE_TOKEN"}
    todo = {
        "id": "make", "run": "echo $SAMPLE_TOKEN >/dev/null; echo $TRACEPARENT >out.txt", "secrets": ["SAMPLE_TOKEN"],
        "outputs": {"out.txt": f"file://{atlas.work}/out.txt"}, "verify": [{"run": "test -s out.txt"}],
    }  # fmt: skip
    atlas("run", atlas.plan([todo]), code=0)
    own = (atlas.work / "out.txt").read_text().strip()
    command = next(span for span in traces.named("atlas.sandbox") if traces.above(span)[0] == "atlas.todo")
    assert own.startswith(f"00-{command.trace}-{command.id}-")
    assert command.attributes["process.exit.code"] == 0
    check = next(span for span in traces.named("atlas.sandbox") if span is not command)
    assert traces.above(check) == ["atlas.verify", "atlas.todo", "atlas.submit"]
    for name in ("atlas.stage_outputs", "atlas.publish"):
        assert traces.above(one(traces, name)) == ["atlas.todo", "atlas.submit"]
    assert SECRET.encode() not in traces.text


def test_whoever_takes_it_over_goes_on_with_the_trace(atlas: Atlas, traces: Collector) -> None:
    atlas.variables |= traces.variables
    first = worker(atlas, "task.command_ended=kill")
    atlas("submit", written(atlas, document(atlas, traceparent=TRACEPARENT)), code=0)
    gone(first)
    second = worker(atlas)
    wait_until(lambda: atlas.run_state() == "completed", "the run is completed")
    stopped(second)
    submit, todo = one(traces, "atlas.submit"), one(traces, "atlas.todo")
    assert (submit.trace, submit.parent, todo.parent) == (TRACE, CALLER, submit.id)
    told = {name: todo.attributes[f"atlas.{name}"] for name in ("fence", "crashes", "outcome")}
    assert told == {"fence": 2, "crashes": 1, "outcome": "completed"}


@pytest.mark.rabbitmq
def test_the_trace_goes_through_the_intake_queue(atlas: Atlas, rabbitmq_alone: str, traces: Collector) -> None:
    """In the message's headers, as others' libraries send it; the document knows nothing of it."""
    atlas.variables |= traces.variables | {"ATLAS_BROKER_URL": rabbitmq_alone, "ATLAS_ALLOW_HOST": "true"}
    atlas.variables["ATLAS_INTAKE_REMOTES"] = "file:///"
    hand = worker(atlas)
    atlas("submit", written(atlas, document(atlas)), "--amqp", code=0, TRACEPARENT=TRACEPARENT)
    todo = one(traces, "atlas.todo")
    stopped(hand)
    handed, submit = one(traces, "atlas.hand_in"), one(traces, "atlas.submit")
    assert {span.trace for span in traces.spans} == {TRACE}
    assert (handed.parent, submit.parent, todo.parent) == (CALLER, handed.id, submit.id)
    assert todo.attributes["atlas.outcome"] == "completed"


def test_what_is_no_trace_is_ignored_or_told(atlas: Atlas, traces: Collector) -> None:
    atlas.variables |= traces.variables
    for bad in ("nonsense", f"00-{'0' * 32}-{CALLER}-01", f"ff-{TRACE}-{CALLER}-01"):
        atlas("run", atlas.plan([{"id": "a", "run": "true"}]), code=0, TRACEPARENT=bad)
    submits = traces.named("atlas.submit")
    assert [span.parent for span in submits] == ["", "", ""]
    assert len({span.trace for span in submits}) == 3
    ended = atlas("submit", written(atlas, document(atlas, traceparent="nonsense")), code=2)
    assert "traceparent" in ended.err


def test_without_traces_the_callers_is_kept_for_others(atlas: Atlas, traces: Collector) -> None:
    atlas("run", atlas.plan([{"id": "a", "run": "true"}]), "--detach", code=0, TRACEPARENT=TRACEPARENT)
    assert json.loads(atlas.sql("SELECT spec FROM run")[0]["spec"])["traceparent"] == TRACEPARENT
    assert not traces.spans
    atlas.variables |= traces.variables
    hand = worker(atlas)
    wait_until(lambda: atlas.run_state() == "completed", "the run is completed")
    stopped(hand)
    assert (one(traces, "atlas.todo").trace, one(traces, "atlas.todo").parent) == (TRACE, CALLER)


@pytest.mark.parametrize("how", ["refuses", "is silent", "is disabled"])
def test_a_dead_collector_delays_nothing(atlas: Atlas, how: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        port = silent.getsockname()[1] if how == "is silent" else free_port()
        atlas.variables |= {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_BSP_SCHEDULE_DELAY": "50"}
        if how == "is disabled":
            atlas.variables["OTEL_SDK_DISABLED"] = "true"
        ended = atlas("run", atlas.plan([{"id": str(n), "run": "true"} for n in range(5)]), code=0)
        assert ended.err.count("takes no traces") <= 1
        [seconds] = atlas.sql("SELECT max(ended_at) - min(started_at) AS seconds FROM todo")
        assert seconds["seconds"] < 30, "three tenths of a second, on an idle machine"
        hand = worker(atlas)
        hand.send(signal.SIGTERM)
        assert hand.ended().code == 0
