"""The task document, `atlas.task/1`: how other programs hand in one task (design §3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, cast

from pydantic import Field, ValidationError

from orchestrator.plan import fields as f
from orchestrator.plan.document import Document, ResourceLimits
from orchestrator.plan.locations import is_relative
from orchestrator.plan.problems import Problem
from orchestrator.plan.source import read_bytes, read_source
from orchestrator.plan.spec import When
from orchestrator.plan.todo_checks import no_directory, output_problems, path_problems, placed_output
from orchestrator.plan.wording import worded
from state import limits

_SHOWN = 200


class TaskInput(Document):
    """A remote object or directory that the command finds at an internal path, read-only."""

    remote: f.Remote = Field(description="s3://bucket/key or file:///path; a trailing slash means a directory.")
    internal: f.Internal = Field(description="Where the command sees it.")


class TaskOutput(Document):
    """What the command leaves at an internal path, and where it goes."""

    internal: f.Internal = Field(description="Where the command writes it; a trailing slash means a directory.")
    remote: f.Remote = Field(description="s3://bucket/key or file:///path.")
    on: When = Field(default="success", description="success: after exit 0 only; always: whatever the exit.")


class TaskStdout(Document):
    """Where the command's standard output goes."""

    remote: f.Remote = Field(description="s3://bucket/key or file:///path.")
    on: When = Field(default="always", description="success: after exit 0 only; always: whatever the exit.")


class TaskDocument(Document):
    """One task from another program. (`source`, `id`) is unique: repeating one changes nothing."""

    schema_: Literal["atlas.task/1"] = Field(alias="schema", description="Name and version of this format.")
    source: f.Line = Field(description="The program that hands it in. Proves nothing about who that is.")
    id: f.Line = Field(description="The task's id in that program.")
    name: f.Line | None = Field(default=None, description="What people see; source and id when left out.")
    image: f.Image | None = Field(default=None, description="Container image.")
    command: f.Argv = Field(description="A program and its arguments.")
    env: f.Env = Field(default={}, description="Environment variables.")
    inputs: list[TaskInput] = Field(default=[], max_length=limits.PATHS, description="What it reads.")
    outputs: list[TaskOutput] = Field(default=[], max_length=limits.PATHS, description="What it leaves.")
    stdout: TaskStdout | None = Field(default=None, description="Where its standard output goes.")
    resources: ResourceLimits = Field(default=ResourceLimits(), description="What it may use.")
    timeout: f.Timeout = Field(default=1800.0, description="Time one attempt may take.")
    priority: int = Field(
        default=0, ge=-limits.PRIORITY, le=limits.PRIORITY, description="Among ready TODOs the highest is first."
    )
    traceparent: f.Traceparent | None = Field(default=None, description="W3C trace context of the sender.")

    @property
    def key(self) -> str:
        """What people call it by: source and id."""
        return f"{self.source}/{self.id}"

    @property
    def once(self) -> str:
        """What is the same for the same (source, id), and for no other: a digest."""
        return hashlib.sha256(json.dumps([self.source, self.id]).encode()).hexdigest()

    @property
    def remotes(self) -> list[str]:
        """All that it names, to be read and to be written."""
        named = [*(item.remote for item in self.inputs), *(item.remote for item in self.outputs)]
        return [*named, self.stdout.remote] if self.stdout else named

    @property
    def run_name(self) -> str:
        """The name of its run."""
        return self.name or self.key[: limits.TITLE_CHARACTERS]


def load_task(path: Path) -> TaskDocument:
    """Read the task document in a file. Raises what `read_task` does, and `InputError` when it can't be read."""
    return read_task(path, read_bytes(path))


def read_task(path: Path | None, data: bytes | str, *, json_only: bool = False) -> TaskDocument:
    """Read and check a task document; with `json_only`, YAML is refused whatever the file is called. Raises
    `DocumentError` with one line per problem, or `LimitExceeded`."""
    source = read_source(data, str(path) if path else "task", json_only=json_only)
    try:
        task = TaskDocument.model_validate(source.root)
    except ValidationError as error:
        raise source.error([*source.problems, *worded(error, TaskDocument)]) from None
    if problems := [*source.problems, *_problems(task)]:
        raise source.error(problems)
    return task


def key_of(data: bytes) -> str | None:
    """Source and id of what may not be a task document at all, as far as they can be read."""
    try:
        root: object = json.loads(data) if len(data) <= limits.DOCUMENT_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(root, dict):
        return None
    root = cast("dict[str, object]", root)
    parts = [str(root[name])[:_SHOWN] for name in ("source", "id") if isinstance(root.get(name), str)]
    return "/".join(parts).encode("utf-8", "replace").decode() if len(parts) > 1 else None


def _problems(task: TaskDocument) -> Iterator[Problem]:
    yield from path_problems([item.internal for item in task.inputs], [item.internal for item in task.outputs], ())
    remotes: list[tuple[tuple[str | int, ...], str]] = [
        (("inputs", index, "remote"), item.remote) for index, item in enumerate(task.inputs)
    ]
    remotes += [(("outputs", index, "remote"), item.remote) for index, item in enumerate(task.outputs)]
    if task.stdout is not None:
        remotes.append((("stdout", "remote"), task.stdout.remote))
        if task.stdout.remote.endswith("/"):
            yield Problem(("stdout", "remote"), "names a directory; name an object")
    for path, remote in remotes:
        if is_relative(remote):
            yield Problem(path, no_directory(remote))
    written: set[str] = {task.stdout.remote} if task.stdout else set()
    for index, item in enumerate(task.outputs):
        path = ("outputs", index, "remote")
        yield from output_problems(item.internal, item.remote, path)
        if (target := placed_output(item.internal, item.remote)) in written:
            yield Problem(path, "another output goes to the same location")
        written.add(target)
