"""From a plan or a task document to the TODOs that the store is given."""

from __future__ import annotations

import json
from pathlib import Path

from orchestrator.plan.document import Plan, ResourceLimits, SandboxChoice, Todo
from orchestrator.plan.graph import needs_first
from orchestrator.plan.locations import absolute_remote
from orchestrator.plan.problems import document_error, shown_path
from orchestrator.plan.spec import InputSpec, OutputSpec, StdoutSpec, TaskSpec, VerifySpec, argv_of
from orchestrator.plan.task import TaskDocument
from orchestrator.plan.todo_checks import absolute_problems, placed_input, placed_output
from state.commands import NewTodo
from state.limits import DOCUMENT_PROBLEMS
from state.ports import Resources
from state.records import new_id

TASK_KEY = "task"
"""The key of the one TODO of a task document's run."""


def new_todos(plan: Plan, directory: Path | None, sandbox: SandboxChoice | None = None) -> list[NewTodo]:
    """The TODOs of a plan that `read_plan` returned, with fresh ids, each after those it needs, else in its order.

    `directory` is the plan file's; `sandbox` overrides what the plan says. Raises `DocumentError` when the plan is not
    one for that sandbox.
    """
    if sandbox == "host" and plan.sandbox != "host":
        _refuse_absolute(plan)
    positions = {todo.id: position for position, todo in enumerate(plan.todos)}
    order = needs_first([[positions[need.todo] for need in todo.needs] for todo in plan.todos])
    ids = {plan.todos[position].id: new_id() for position in order}
    return [_new_todo(plan, plan.todos[position], ids, directory, sandbox or plan.sandbox) for position in order]


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
    )


def _refuse_absolute(plan: Plan) -> None:
    lines: list[str] = []
    for position, todo in enumerate(plan.todos):
        for problem in absolute_problems(todo, ("todos", position)):
            lines.append(f"{shown_path(problem.path)}: {problem.text}")
    if lines:
        raise document_error(lines[:DOCUMENT_PROBLEMS], len(lines))


def _new_todo(plan: Plan, todo: Todo, ids: dict[str, str], directory: Path | None, sandbox: SandboxChoice) -> NewTodo:
    timeout = todo.timeout or plan.defaults.timeout
    ask: str | None = None
    document = "{}"
    if todo.ask is not None:
        gate = {"text": todo.ask, "choices": todo.choices or [], "expires": todo.expires}
        ask = json.dumps(gate, ensure_ascii=False, separators=(",", ":"))
    elif todo.run is not None:
        document = task_spec(plan, todo, directory, sandbox).to_json()
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
    )


def task_spec(plan: Plan, todo: Todo, directory: Path | None, sandbox: SandboxChoice) -> TaskSpec:
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
        verify=tuple(VerifySpec(argv_of(item.run) if item.run else (), item.file) for item in todo.verify),
        timeout=todo.timeout or plan.defaults.timeout,
        retries=retries.max,
        backoff=retries.backoff,
    )


def _input(remote: str, internal: str, directory: Path | None) -> InputSpec:
    return InputSpec(absolute_remote(remote, directory), placed_input(remote, internal), remote.endswith("/"))


def _resources(limits: ResourceLimits) -> Resources:
    return Resources(cpus=limits.cpus, memory=limits.memory, pids=limits.pids, network=limits.network)
