"""What the keys of one TODO mean to each other (design §3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from orchestrator.plan.document import SandboxChoice, Todo
from orchestrator.plan.locations import is_relative
from orchestrator.plan.problems import Path, Problem, quoted
from state.records import TodoKind
from state.touches import problem

KIND_KEYS: dict[TodoKind, str] = {"task": "run", "agent": "role", "ask": "ask", "push": "push"}
_EVERYWHERE = frozenset(("id", "title", "needs", "priority"))
_WORK = frozenset(("inputs", "env", "resources", "labels", "verify", "timeout", "retries", "image"))
KEYS_BY_KIND: dict[TodoKind, frozenset[str]] = {
    "task": _EVERYWHERE | _WORK | {"run", "outputs", "secrets"},
    "agent": _EVERYWHERE | (_WORK - {"inputs"}) | {"role", "prompt", "touches"},
    "ask": _EVERYWHERE | {"ask", "choices", "expires"},
    "push": _EVERYWHERE | {"push", "timeout", "retries"},
}


def todo_problems(todo: Todo, position: int, sandbox: SandboxChoice, *, has_directory: bool) -> Iterator[Problem]:
    """Everything that is wrong with one TODO by itself."""
    here: Path = ("todos", position)
    # By the keys that are there: one without a value is a problem of its own, found while reading.
    kinds = [key for key in KIND_KEYS.values() if key in todo.model_fields_set]
    if len(kinds) != 1:
        found = f"it has {' and '.join(kinds)}" if kinds else "it has none of them"
        yield Problem(here, f"a TODO has exactly one of run, role, ask and push; {found}")
        return
    for key in todo.model_fields_set - KEYS_BY_KIND[todo.kind]:
        yield Problem((*here, key), f"this key does not go with {kinds[0]}")
    if todo.kind == "agent":
        yield from _agent_problems(todo, here)
    yield from _repeated(todo, here)
    yield from _verify_problems(todo, here)
    yield from path_problems(list(todo.inputs.values()), list(todo.outputs), here)
    yield from remote_problems(todo, here, has_directory=has_directory)
    if sandbox == "host":
        yield from absolute_problems(todo, here)


def _agent_problems(todo: Todo, here: Path) -> Iterator[Problem]:
    wanted = {"prompt": todo.prompt, "touches": todo.touches, "verify": todo.verify}
    for key, value in wanted.items():
        if not value:
            yield Problem((*here, "role"), f"an agent TODO needs {key}")
    for index, pattern in enumerate(todo.touches):
        if why := problem(pattern):
            yield Problem((*here, "touches", index), f"the pattern {why}")
    for index, item in enumerate(todo.verify):
        if item.review not in (None, "oracle"):
            yield Problem((*here, "verify", index, "review"), "oracle reviews changes")


def _repeated(todo: Todo, here: Path) -> Iterator[Problem]:
    lists = {"labels": todo.labels, "secrets": todo.secrets, "choices": todo.choices or []}
    for key, items in lists.items():
        if len(set(items)) < len(items):
            seen: set[str] = set()
            for index, item in enumerate(items):
                if item in seen:
                    yield Problem((*here, key, index), f"{quoted(item)} is given twice")
                seen.add(item)
    for name in todo.env.keys() & set(todo.secrets):
        yield Problem((*here, "env", name), "this is also the name of a secret of this TODO")


def _verify_problems(todo: Todo, here: Path) -> Iterator[Problem]:
    for index, item in enumerate(todo.verify):
        given = [key for key in ("run", "file", "review") if getattr(item, key) is not None]
        if len(given) != 1:
            yield Problem((*here, "verify", index), "must have exactly one of run, file and review")
        if item.file is not None and item.file.endswith("/"):
            yield Problem((*here, "verify", index, "file"), f"{quoted(item.file)} is a directory; name a file")
    if todo.verify and all(item.review is not None for item in todo.verify):
        yield Problem((*here, "verify"), "a review stands beside a run or file, never alone")


def path_problems(inputs: Sequence[str], outputs: Sequence[str], here: Path) -> Iterator[Problem]:
    """Internal paths of one TODO that lie in each other: which of them would win could not be told."""
    both = [(PurePosixPath(path).parts, path) for path in (*inputs, *outputs)]
    both.sort()
    # Sorted by parts, a path comes directly before what lies in it, or before something else that does.
    for (outer, outer_path), (inner, inner_path) in pairwise(both):
        if inner[: len(outer)] == outer:
            how = "is used twice" if inner == outer else f"lies in {quoted(outer_path)}"
            yield Problem(here, f"the internal path {quoted(inner_path)} {how}; give each its own place")


def remote_problems(todo: Todo, here: Path, *, has_directory: bool) -> Iterator[Problem]:
    """Remotes that don't fit their internal path, or that can't be resolved."""
    for internal, remote in todo.outputs.items():
        path = (*here, "outputs", internal)
        yield from output_problems(internal, remote, path)
        if not has_directory and is_relative(remote):
            yield Problem(path, no_directory(remote))
    for remote in todo.inputs:
        if not has_directory and is_relative(remote):
            yield Problem((*here, "inputs", remote), no_directory(remote))


def output_problems(internal: str, remote: str, path: Path) -> Iterator[Problem]:
    """An output that is a directory can't become one object."""
    if internal.endswith("/") and not remote.endswith("/"):
        yield Problem(path, f"{quoted(internal)} is a directory; its remote must end with a slash too")


def placed_output(internal: str, remote: str) -> str:
    """The remote of an output: a file that goes to a directory keeps its name there."""
    return remote + PurePosixPath(internal).name if remote.endswith("/") and not internal.endswith("/") else remote


def placed_input(remote: str, internal: str) -> str:
    """The internal path of an input, ending in a slash exactly when its remote does."""
    if remote.endswith("/"):
        return internal if internal.endswith("/") else internal + "/"
    return internal + remote.rsplit("/", 1)[-1] if internal.endswith("/") else internal


def absolute_problems(todo: Todo, here: Path) -> Iterator[Problem]:
    """Absolute internal paths, which only a container has."""
    places = [(("inputs", remote), internal) for remote, internal in todo.inputs.items()]
    places += [(("outputs", internal), internal) for internal in todo.outputs]
    for tail, internal in places:
        if internal.startswith("/"):
            yield Problem((*here, *tail), _no_container(internal))
    for index, item in enumerate(todo.verify):
        if item.file is not None and item.file.startswith("/"):
            yield Problem((*here, "verify", index, "file"), _no_container(item.file))


def _no_container(path: str) -> str:
    return f"{quoted(path)} is absolute, which needs a container; with sandbox: host write a relative path"


def no_directory(remote: str) -> str:
    """Words for a relative remote of a document that is in no file."""
    return f"{quoted(remote)} is relative to a plan file, and there is none; write an absolute path"
