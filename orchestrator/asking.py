"""What a program or a browser elsewhere asks to be done, as the documents that the service takes; and what it may name.

Commands run with the rights of workers, and data is moved with theirs: what a caller names as a repository or a remote
is therefore the operator's to allow.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.plan.document import Plan
from orchestrator.plan.locations import is_relative
from orchestrator.plan.reading import read_plan
from orchestrator.plan.task import TaskDocument, read_task
from state.errors import InputError

_NAME_CHARACTERS = 60
_BRANCH_OR_NAME = "A remote's name, such as origin, may be given."


@dataclass(frozen=True, slots=True)
class Reach:
    """What callers may name. `repositories`: directories, what is below them, and URLs that begin like this.
    `remotes`: beginnings of locations, which end with a slash; callers who count as persons may name any."""

    repositories: Sequence[str] = ()
    remotes: Sequence[str] = ("s3://",)

    def check_plan(self, plan: Plan, *, trusted: bool) -> None:
        """`InputError`: it names what it may not."""
        if plan.repo is not None:
            self._check_repository(plan.repo, "")
        for todo in plan.todos:
            if todo.push is not None and _is_place(todo.push.remote):
                self._check_repository(todo.push.remote, _BRANCH_OR_NAME)
        self._check_remotes(_remotes(plan), trusted=trusted)

    def check_task(self, task: TaskDocument, *, trusted: bool) -> None:
        """The same."""
        self._check_remotes(task.remotes, trusted=trusted)

    def _check_repository(self, named: str, hint: str) -> None:
        if not any(_below(named, allowed) for allowed in self.repositories):
            allowed = ", ".join(self.repositories) or "none"
            raise InputError(
                f"the repository {named} may not be named from here; allowed: {allowed}",
                hint or "The server's operator says so: repositories under [serve] of its settings.",
            )

    def _check_remotes(self, named: Iterator[str] | Sequence[str], *, trusted: bool) -> None:
        for remote in named:
            if is_relative(remote):
                raise InputError(f"{remote} is relative to a plan file, and there is none", "Write an absolute path.")
            if not trusted and not may_be_named(remote, self.remotes):
                allowed = ", ".join(self.remotes) or "none"
                raise InputError(
                    f"{remote} may not be named from here; allowed: {allowed}",
                    "The server's operator says so: remotes under [serve] of its settings, or a trusted token.",
                )


def may_be_named(remote: str, allowed: Sequence[str]) -> bool:
    """Whether a location begins with one of these, and stays there."""
    return remote.startswith(tuple(allowed)) and "/../" not in f"{remote}/"


def plan_of(document: Mapping[str, Any] | str) -> Plan:
    """A plan document as it was sent: YAML or JSON text, or what JSON text says. Errors as of a plan file."""
    return read_plan(None, document if isinstance(document, str) else json.dumps(document))


def task_of(document: Mapping[str, Any] | str) -> TaskDocument:
    """The same of a task document."""
    return read_task(None, document if isinstance(document, str) else json.dumps(document), json_only=True)


def goal_plan(goal: str, repo: str | None = None, base: str | None = None, **more: object) -> Plan:
    """The plan document of a goal; `more` of its keys. Errors as of a plan file."""
    name = " ".join(goal.split())[:_NAME_CHARACTERS] or "goal"
    keys = {"repo": repo, "base": base, **more}
    return plan_of({"atlas": 1, "name": name, "goal": goal, **{key: value for key, value in keys.items() if value}})


def once(face: str, caller: str, key: str | None) -> str | None:
    """What is the same for the same caller of the same face with the same key, and for no other."""
    return hashlib.sha256(f"{face}\0{caller}\0{key}".encode()).hexdigest() if key else None


def _remotes(plan: Plan) -> Iterator[str]:
    for todo in plan.todos:
        yield from todo.inputs
        yield from todo.outputs.values()


def _is_place(remote: str) -> bool:
    """Whether it is a path or a URL, and not the name of a remote."""
    return "/" in remote or ":" in remote or remote in (".", "..")


def _below(named: str, allowed: str) -> bool:
    if "://" in allowed or "://" in named or not allowed.startswith("/"):
        return (named == allowed or named.startswith(allowed.rstrip("/") + "/")) and "/../" not in f"{named}/"
    if not named.startswith("/"):
        return False
    try:
        return Path(named).resolve().is_relative_to(Path(allowed).resolve())
    except (OSError, RuntimeError):
        return False
