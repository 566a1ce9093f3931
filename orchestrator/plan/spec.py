"""What an executor is told about a task: everything from the document, with defaults applied and remotes absolute.

Plain dataclasses and JSON, without pydantic: workers read one per claim, and what they read we wrote ourselves.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from state.ports import Resources
from state.stored import stored

SHELL = ("/bin/sh", "-c")
When = Literal["success", "always"]
Author = Literal["caller", "model"]
"""Who wrote a command: whoever submitted the run, or a model that planned it."""


@dataclass(frozen=True, slots=True)
class InputSpec:
    """`remote` appears at `internal`, read-only. `tree`: a directory; both end with a slash then."""

    remote: str
    internal: str
    tree: bool


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """`internal` is copied to `remote`. `tree`: a directory; both end with a slash then."""

    internal: str
    remote: str
    tree: bool
    on: When = "success"


@dataclass(frozen=True, slots=True)
class StdoutSpec:
    """The command's standard output as an object of its own."""

    remote: str
    on: When


@dataclass(frozen=True, slots=True)
class VerifySpec:
    """One item of `verify`: a command that must exit with 0, a file that must exist and not be empty, or a role that
    must approve."""

    run: tuple[str, ...] = ()
    file: str | None = None
    review: str | None = None

    @property
    def command(self) -> str | None:
        """The command as a person would type it."""
        return shown_command(self.run) if self.run else None

    def item(self) -> str:
        """The JSON that stands for this item in evidence."""
        if self.review is not None:
            return _compact({"review": self.review})
        return _compact({"run": list(self.run)} if self.run else {"file": self.file})


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task TODO. `run` is its argv; `timeout` and `backoff` in seconds; `retries` are attempts after the first."""

    run: tuple[str, ...]
    sandbox: Literal["auto", "docker", "host"] = "auto"
    image: str | None = None
    inputs: tuple[InputSpec, ...] = ()
    outputs: tuple[OutputSpec, ...] = ()
    stdout: StdoutSpec | None = None
    env: dict[str, str] = field(default_factory=dict[str, str])
    secrets: tuple[str, ...] = ()
    resources: Resources = field(default_factory=Resources)
    verify: tuple[VerifySpec, ...] = ()
    timeout: float = 1800.0
    retries: int = 0
    backoff: float = 5.0
    traceparent: str | None = None
    author: Author = "caller"

    @property
    def command(self) -> str:
        """The command as a person would type it."""
        return shown_command(self.run)

    def to_json(self) -> str:
        """Compact JSON for `NewTodo.document`; what is at its default is left out."""
        told = ((name, getattr(self, name)) for name in _NAMES)
        return _compact({name: value for name, value in told if name not in _DEFAULTS or value != _DEFAULTS[name]})

    @classmethod
    @stored("this TODO")
    def from_json(cls, text: str) -> TaskSpec:
        """Read what `to_json` wrote."""
        tree: dict[str, Any] = json.loads(text)
        stdout = tree.get("stdout")
        read: dict[str, Any] = {
            "run": tuple(tree["run"]),
            "inputs": tuple(InputSpec(**item) for item in tree.get("inputs", ())),
            "outputs": tuple(OutputSpec(**item) for item in tree.get("outputs", ())),
            "stdout": StdoutSpec(**stdout) if stdout else None,
            "secrets": tuple(tree.get("secrets", ())),
            "resources": Resources(**tree.get("resources", {})),
            "verify": tuple(
                VerifySpec(tuple(item["run"]), item["file"], item.get("review")) for item in tree.get("verify", ())
            ),
        }
        return cls(**{**tree, **read})


_NAMES = [each.name for each in fields(TaskSpec)]
_DEFAULTS: dict[str, object] = {name: getattr(TaskSpec(()), name) for name in _NAMES if name != "run"}
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=asdict)


def argv_of(command: str | list[str]) -> tuple[str, ...]:
    """The argv of a `run:`; text goes to the shell."""
    return (*SHELL, command) if isinstance(command, str) else tuple(command)


def shown_command(argv: tuple[str, ...]) -> str:
    """What `argv_of` was given, as text."""
    return argv[2] if len(argv) == 3 and argv[:2] == SHELL else shlex.join(argv)


def _compact(value: object) -> str:
    return _ENCODER.encode(value)
