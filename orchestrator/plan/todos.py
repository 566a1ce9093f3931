"""From a plan or a task document to the TODOs that the store is given."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

from orchestrator.plan.agent_spec import AgentSpec
from orchestrator.plan.document import Plan, ResourceLimits, SandboxChoice, Todo
from orchestrator.plan.graph import needs_first
from orchestrator.plan.locations import absolute_remote
from orchestrator.plan.problems import document_error, shown_path
from orchestrator.plan.push_spec import PushSpec
from orchestrator.plan.spec import Author, InputSpec, OutputSpec, StdoutSpec, TaskSpec, VerifySpec, argv_of
from orchestrator.plan.task import TaskDocument
from orchestrator.plan.todo_checks import absolute_problems, placed_input, placed_output
from state.commands import NewTodo
from state.limits import DOCUMENT_PROBLEMS
from state.ports import Resources
from state.records import ANY_END, new_id
from state.touches import overlap

TASK_KEY = "task"
"""The key of the one TODO of a task document's run."""
PLAN_KEY, REPORT_KEY = "plan", "report"
"""Keys of TODOs that the house adds to runs with roles; a plan can't use them for its own."""
APPROVE, REJECT = "approve", "reject"
PLAN_SECONDS, REPORT_SECONDS = 3600.0, 1800.0


def new_todos(
    plan: Plan,
    directory: Path | None,
    sandbox: SandboxChoice | None = None,
    author: Author = "caller",
    around: Mapping[str, str] | None = None,
) -> list[NewTodo]:
    """The TODOs of a plan that `read_plan` returned, with fresh ids, each after those it needs, else in its order.

    `directory` is the plan file's; `sandbox` overrides what the plan says; `author` is who wrote its commands; `around`
    are ids of TODOs that are not the plan's own, by key. Raises `DocumentError` when the plan is not one for that
    sandbox.
    """
    if sandbox == "host" and plan.sandbox != "host":
        _refuse_absolute(plan)
    positions = {todo.id: position for position, todo in enumerate(plan.todos)}
    own = [[need.todo for need in todo.needs if need.todo in positions] for todo in plan.todos]
    order = needs_first([[positions[key] for key in keys] for keys in own])
    ids = dict(around or {}) | {plan.todos[position].id: new_id() for position in order}
    lane = lanes(plan.todos)
    todos = [plan.todos[position] for position in order]
    return [_new_todo(plan, todo, ids, directory, sandbox or plan.sandbox, author, lane.get(todo.id)) for todo in todos]


def planning_todo(goal: str) -> NewTodo:
    """The one TODO that a run of a goal begins with."""
    return NewTodo(
        id=new_id(), key=PLAN_KEY, title="Make a plan", kind="plan", document=_compact({"goal": goal}),
        timeout=PLAN_SECONDS,
    )  # fmt: skip


def replanning_todo(key: str, goal: str | None, why: str, by: str) -> NewTodo:
    """The TODO that makes another plan for what is left of a run."""
    document = {"goal": goal or "", "why": why, "by": by}
    return NewTodo(
        id=new_id(), key=key, title="Make another plan", kind="plan", document=_compact(document), timeout=PLAN_SECONDS,
    )  # fmt: skip


def report_todo(others: Sequence[NewTodo], before: Sequence[str] = ()) -> NewTodo:
    """The last TODO of a run with roles: it tells what came of the others, whatever that was."""
    needs = [(id, ANY_END) for id in (*before, *(other.id for other in others))]
    return NewTodo(
        id=new_id(), key=REPORT_KEY, title="Write the report", kind="report", document="{}", needs=needs,
        timeout=REPORT_SECONDS,
    )  # fmt: skip


APPROVALS = re.compile(r"approve-plan(-[0-9]+)?")
"""Keys of gates before plans."""


def approval_key(plan: str) -> str:
    """The key of the gate before what the TODO `plan` planned."""
    return f"approve-{plan}"


def gated(todos: Sequence[NewTodo], text: str, plan: str = PLAN_KEY) -> list[NewTodo]:
    """These TODOs of `plan` behind a person's approval."""
    ask = _compact({"text": text, "choices": [APPROVE, REJECT], "expires": None})
    gate = NewTodo(id=new_id(), key=approval_key(plan), title="Approve the plan", kind="ask", document="{}", ask=ask)
    own = {todo.id for todo in todos}
    for todo in todos:
        if not own.intersection(need for need, _ in todo.needs):
            todo.needs = [*todo.needs, (gate.id, APPROVE)]
    return [gate, *todos]


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def task_todo(task: TaskDocument) -> NewTodo:
    """The one TODO of a task document's run."""
    inputs = [_input(item.remote, item.internal, None) for item in task.inputs]
    outputs: list[OutputSpec] = []
    for item in task.outputs:
        remote = absolute_remote(placed_output(item.internal, item.remote), None)
        outputs.append(OutputSpec(item.internal, remote, item.internal.endswith("/"), item.on))
    spec = TaskSpec(
        run=tuple(task.command),
        image=task.image,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        stdout=StdoutSpec(absolute_remote(task.stdout.remote, None), task.stdout.on) if task.stdout else None,
        env=task.env,
        resources=_resources(task.resources),
        timeout=task.timeout,
        traceparent=task.traceparent,
    )
    return NewTodo(
        id=new_id(),
        key=TASK_KEY,
        title=task.run_name,
        kind="task",
        document=spec.to_json(),
        priority=task.priority,
        timeout=task.timeout,
        cpus=task.resources.cpus,
        memory=task.resources.memory,
    )


def _refuse_absolute(plan: Plan) -> None:
    lines: list[str] = []
    for position, todo in enumerate(plan.todos):
        for problem in absolute_problems(todo, ("todos", position)):
            lines.append(f"{shown_path(problem.path)}: {problem.text}")
    if lines:
        raise document_error(lines[:DOCUMENT_PROBLEMS], len(lines))


def _new_todo(
    plan: Plan, todo: Todo, ids: dict[str, str], directory: Path | None, sandbox: SandboxChoice, author: Author,
    lane: str | None,
) -> NewTodo:  # fmt: skip
    timeout = todo.timeout or plan.defaults.timeout
    ask: str | None = None
    document = "{}"
    if todo.ask is not None:
        gate = {"text": todo.ask, "choices": todo.choices or [], "expires": todo.expires}
        ask = _compact(gate)
    elif todo.run is not None:
        document = task_spec(plan, todo, directory, sandbox, author).to_json()
    elif todo.role is not None:
        spec = agent_spec(plan, todo, sandbox)
        document, timeout = spec.to_json(), spec.timeout
    elif todo.push is not None:
        retries = todo.retries or plan.defaults.retries
        document = PushSpec(todo.push.remote, todo.push.branch, retries.max, retries.backoff).to_json()
    return NewTodo(
        id=ids[todo.id],
        key=todo.id,
        title=todo.title or todo.id,
        kind=todo.kind,
        document=document,
        needs=[(ids[need.todo], need.answer) for need in todo.needs],
        priority=todo.priority,
        labels=todo.labels,
        timeout=timeout,
        ask=ask,
        lane=lane,
        cpus=todo.resources.cpus,
        memory=todo.resources.memory,
    )


def lanes(todos: Sequence[Todo]) -> dict[str, str]:
    """By TODO, for those whose changes may meet: those that overlap, also by way of others, share a lane. Which one of
    them is worked on first is the scheduler's choice; that no two are at once, the store's promise."""
    agents = [todo for todo in todos if todo.role is not None]
    lane = {todo.id: todo.id for todo in agents}
    for one, other in combinations(agents, 2):
        if lane[one.id] != lane[other.id] and overlap(one.touches, other.touches):
            old, new = lane[other.id], lane[one.id]
            lane = {id: new if found == old else found for id, found in lane.items()}
    shared = Counter(lane.values())
    return {id: found for id, found in lane.items() if shared[found] > 1}


def agent_spec(plan: Plan, todo: Todo, sandbox: SandboxChoice) -> AgentSpec:
    """What the executor of this `role:` TODO is told, the plan's defaults applied where they are given."""
    defaults = plan.defaults
    given = defaults.retries if "retries" in defaults.model_fields_set else None
    retries = todo.retries or given
    usual = AgentSpec("", (), ())
    timeout = todo.timeout or (defaults.timeout if "timeout" in defaults.model_fields_set else usual.timeout)
    return AgentSpec(
        prompt=todo.prompt or "",
        touches=tuple(todo.touches),
        verify=_verify(todo),
        sandbox=sandbox,
        image=todo.image or defaults.image,
        env=todo.env,
        resources=_resources(todo.resources),
        timeout=timeout,
        retries=retries.max if retries else usual.retries,
        backoff=retries.backoff if retries else usual.backoff,
    )


def _verify(todo: Todo) -> tuple[VerifySpec, ...]:
    return tuple(VerifySpec(argv_of(item.run) if item.run else (), item.file, item.review) for item in todo.verify)


def task_spec(
    plan: Plan, todo: Todo, directory: Path | None, sandbox: SandboxChoice, author: Author = "caller"
) -> TaskSpec:
    """What the executor of this `run:` TODO is told, the plan's defaults applied."""
    retries = todo.retries or plan.defaults.retries
    outputs: list[OutputSpec] = []
    for internal, remote in todo.outputs.items():
        target = absolute_remote(placed_output(internal, remote), directory)
        outputs.append(OutputSpec(internal, target, internal.endswith("/")))
    return TaskSpec(
        run=argv_of(todo.run or []),
        sandbox=sandbox,
        image=todo.image or plan.defaults.image,
        inputs=tuple(_input(remote, internal, directory) for remote, internal in todo.inputs.items()),
        outputs=tuple(outputs),
        env=todo.env,
        secrets=tuple(todo.secrets),
        resources=_resources(todo.resources),
        verify=_verify(todo),
        timeout=todo.timeout or plan.defaults.timeout,
        retries=retries.max,
        backoff=retries.backoff,
        author=author,
    )


def _input(remote: str, internal: str, directory: Path | None) -> InputSpec:
    return InputSpec(absolute_remote(remote, directory), placed_input(remote, internal), remote.endswith("/"))


def _resources(limits: ResourceLimits) -> Resources:
    return Resources(cpus=limits.cpus, memory=limits.memory, pids=limits.pids, network=limits.network)
