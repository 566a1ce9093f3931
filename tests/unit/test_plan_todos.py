"""From plans and task documents to what the store and the executors get."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.plan.graph import cycles, needs_first
from orchestrator.plan.reading import read_plan
from orchestrator.plan.spec import InputSpec, OutputSpec, StdoutSpec, TaskSpec, VerifySpec
from orchestrator.plan.task import load_task, read_task
from orchestrator.plan.todos import new_todos, task_todo
from state.errors import DocumentError, InputError
from state.ports import Resources

PLAN = Path("/srv/plans/plan.yaml")
TASK = {
    "schema": "atlas.task/1",
    "source": "billing",
    "id": "2030-01/7",
    "image": "python:3.12-slim",
    "command": ["python", "run.py"],
    "env": {"A": "b"},
    "inputs": [{"remote": "s3://buck/k", "internal": "/data/k"}],
    "outputs": [{"internal": "/out/", "remote": "s3://buck/out/", "on": "success"}],
    "stdout": {"remote": "s3://buck/log.txt", "on": "always"},
    "resources": {"cpus": 1, "memory": "512m", "pids": 256, "network": False},
    "timeout": 1800,
    "priority": 3,
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
}


def test_needs_come_first_and_the_order_is_kept() -> None:
    plan = read_plan(
        PLAN,
        "atlas: 1\ntodos: [{id: d, run: x, needs: [c, a]}, {id: a, run: x},"
        " {id: b, run: x}, {id: c, run: x, needs: [b]}]",
    )
    todos = new_todos(plan, PLAN.parent)
    assert [todo.key for todo in todos] == ["a", "b", "c", "d"]
    ids = {todo.key: todo.id for todo in todos}
    assert todos[3].needs == [(ids["c"], None), (ids["a"], None)]
    assert len(set(ids.values())) == 4


def test_an_ask_is_json_for_the_store() -> None:
    plan = read_plan(
        PLAN,
        "atlas: 1\ntodos: [{id: a, ask: 'Ship?', choices: [yes, no], expires: 1h}, {id: b, ask: Why},"
        " {id: c, run: x, needs: [{a: yes}], title: Go}]",
    )
    gate, free, task = new_todos(plan, None)
    assert json.loads(gate.ask or "") == {"text": "Ship?", "choices": ["yes", "no"], "expires": 3600.0}
    assert json.loads(free.ask or "") == {"text": "Why", "choices": [], "expires": None}
    assert (gate.kind, gate.title, gate.document) == ("ask", "a", "{}")
    assert (task.kind, task.title, task.ask, task.needs) == ("task", "Go", None, [(gate.id, "yes")])


def test_the_executor_is_told_everything() -> None:
    plan = read_plan(
        PLAN,
        """
atlas: 1
sandbox: docker
defaults: {image: "alpine:3", timeout: 10m, retries: {max: 2, backoff: 1s}}
todos:
  - id: a
    run: cat in/x
    inputs: {file://x: in/, s3://buck/d/: d, file:///abs/y: y}
    outputs: {o/r.txt: "file://results/", tree/: "s3://buck/tree/"}
    secrets: [TOKEN]
    env: {A: b}
    resources: {memory: 1g}
    labels: [gpu]
    priority: 7
    verify: [{run: [test, -s, o]}, {file: o/r.txt}]
""",
    )
    (todo,) = new_todos(plan, PLAN.parent)
    assert (todo.timeout, todo.priority, list(todo.labels)) == (600.0, 7, ["gpu"])
    spec = TaskSpec.from_json(todo.document)
    assert spec == TaskSpec(
        run=("/bin/sh", "-c", "cat in/x"),
        sandbox="docker",
        image="alpine:3",
        inputs=(
            InputSpec("file:///srv/plans/x", "in/x", tree=False),
            InputSpec("s3://buck/d/", "d/", tree=True),
            InputSpec("file:///abs/y", "y", tree=False),
        ),
        outputs=(
            OutputSpec("o/r.txt", "file:///srv/plans/results/r.txt", tree=False),
            OutputSpec("tree/", "s3://buck/tree/", tree=True),
        ),
        env={"A": "b"},
        secrets=("TOKEN",),
        resources=Resources(memory=1 << 30),
        verify=(VerifySpec(run=("test", "-s", "o")), VerifySpec(file="o/r.txt")),
        timeout=600.0,
        retries=2,
        backoff=1.0,
    )
    assert (spec.command, spec.verify[0].command, spec.verify[1].command) == ("cat in/x", "test -s o", None)
    assert [item.item() for item in spec.verify] == ['{"run":["test","-s","o"]}', '{"file":"o/r.txt"}']


def test_the_command_line_may_choose_the_sandbox() -> None:
    plan = read_plan(PLAN, "atlas: 1\ntodos: [{id: a, run: x}]")
    assert TaskSpec.from_json(new_todos(plan, None)[0].document).sandbox == "auto"
    assert TaskSpec.from_json(new_todos(plan, None, "host")[0].document).sandbox == "host"


def test_a_choice_of_the_host_is_checked_like_the_plans_own() -> None:
    plan = read_plan(PLAN, "atlas: 1\ntodos: [{id: a, run: x, verify: [{file: /x}]}]")
    with pytest.raises(InputError, match=r'"/x" is absolute, which needs a container'):
        new_todos(plan, None, "host")


checks = st.builds(VerifySpec, st.lists(st.text(), max_size=2).map(tuple), st.none() | st.text())
specs = st.builds(
    TaskSpec,
    run=st.lists(st.text(), min_size=1, max_size=3).map(tuple),
    sandbox=st.sampled_from(["auto", "docker", "host"]),
    image=st.none() | st.text(min_size=1),
    inputs=st.lists(st.builds(InputSpec, st.text(), st.text(), st.booleans()), max_size=2).map(tuple),
    outputs=st.lists(st.builds(OutputSpec, st.text(), st.text(), st.booleans()), max_size=2).map(tuple),
    stdout=st.none() | st.builds(StdoutSpec, st.text(), st.sampled_from(["success", "always"])),
    env=st.dictionaries(st.text(), st.text(), max_size=2),
    secrets=st.lists(st.text(), max_size=2).map(tuple),
    resources=st.builds(Resources, st.none() | st.floats(0.1, 4), st.none() | st.integers(), st.none(), st.booleans()),
    verify=st.lists(checks, max_size=2).map(tuple),
    timeout=st.floats(1, 1e6),
    retries=st.integers(0, 20),
    backoff=st.floats(0, 1e6),
    traceparent=st.none() | st.text(),
)  # fmt: skip


@given(specs)
def test_a_spec_survives_its_json(spec: TaskSpec) -> None:
    assert TaskSpec.from_json(spec.to_json()) == spec


# --- task documents ---------------------------------------------------------------------------------------------------


def test_a_task_document_becomes_one_todo(tmp_path: Path) -> None:
    path = tmp_path / "task.json"
    path.write_text(json.dumps(TASK))
    todo = task_todo(load_task(path))
    assert (todo.key, todo.title, todo.kind, todo.timeout, todo.priority) == (
        "task",
        "billing/2030-01/7",
        "task",
        1800.0,
        3,
    )
    spec = TaskSpec.from_json(todo.document)
    assert spec.run == ("python", "run.py")
    assert spec.inputs == (InputSpec("s3://buck/k", "/data/k", tree=False),)
    assert spec.outputs == (OutputSpec("/out/", "s3://buck/out/", tree=True, on="success"),)
    assert spec.stdout == StdoutSpec("s3://buck/log.txt", "always")
    assert spec.resources == Resources(cpus=1.0, memory=512 << 20, pids=256, network=False)
    assert spec.traceparent == TASK["traceparent"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"schema": "atlas.task/2"}, "schema: must be atlas.task/1, not \"atlas.task/2\""),
        ({"schem": 1}, 'schem: unknown key; did you mean "schema"?'),
        ({"command": "ls"}, "command: must be a list of a program and its arguments, not the text \"ls\""),
        ({"command": []}, "command: the command is empty"),
        ({"secrets": ["A"]}, "secrets: unknown key"),
        ({"source": 5}, "source: must be text, not the number 5; put it in quotes"),
        ({"id": ""}, "id: must not be empty"),
        ({"inputs": [{"remote": "file://x", "internal": "x"}]}, '"file://x" is relative to a plan file'),
        ({"inputs": [{"remote": "s3://buck/x", "internal": "../x"}]}, '"../x" leaves the workspace'),
        ({"inputs": [{"remote": "s3://buck/x", "internl": "x"}]}, 'unknown key; did you mean "internal"?'),
        ({"inputs": [{"remote": "s3://buck/x", "internal": "/out/x"}]}, 'the internal path "/out/x" lies in "/out/"'),
        ({"outputs": [{"internal": "o/", "remote": "s3://buck/x"}]}, "its remote must end with a slash too"),
        ({"outputs": [{"internal": "log.txt", "remote": "s3://buck/"}]}, "another output goes to the same location"),
        ({"outputs": [{"internal": "o", "remote": "s3://buck/x", "on": "failure"}]}, "must be success or always"),
        ({"stdout": {"remote": "s3://buck/logs/"}}, "stdout.remote: names a directory; name an object"),
        ({"traceparent": "x"}, 'traceparent: "x" is not a W3C traceparent'),
        ({"timeout": 0}, "timeout: must be longer than 0 seconds"),
        ({"priority": 10**9}, "priority: must be at most 1000"),
    ],
)  # fmt: skip
def test_task_documents_that_are_refused(change: dict[str, object], line: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_task(None, json.dumps({**TASK, **change}))
    assert line in caught.value.message
    assert caught.value.message.startswith("task:1:")


# --- the order of needs -----------------------------------------------------------------------------------------------


@given(
    st.integers(1, 12).flatmap(lambda n: st.lists(st.lists(st.integers(0, n - 1), max_size=3), min_size=n, max_size=n))
)
def test_order_and_cycles_agree(needs: list[list[int]]) -> None:
    order = needs_first(needs)
    place = {position: index for index, position in enumerate(order)}
    assert len(place) == len(order)
    for position in order:
        assert all(place[item] < place[position] for item in needs[position])
    found = cycles(needs, order)
    assert bool(found) == (len(order) < len(needs))
    for cycle in found:
        assert all(after in needs[before] for before, after in zip(cycle, [*cycle[1:], cycle[0]], strict=True))


def test_a_chain_of_any_length_needs_no_stack() -> None:
    needs = [[position + 1] for position in range(100_000)] + [[]]
    assert needs_first(needs) == list(range(100_000, -1, -1))
