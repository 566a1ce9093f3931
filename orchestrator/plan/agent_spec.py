"""What an executor is told about a TODO of a role. Like `plan.spec`: plain dataclasses and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from orchestrator.plan.spec import VerifySpec
from state.ports import Resources
from state.stored import stored


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """A TODO of Hephaestus. `timeout` and `backoff` in seconds; `retries` are attempts after the first."""

    prompt: str
    touches: tuple[str, ...]
    verify: tuple[VerifySpec, ...]
    sandbox: Literal["auto", "docker", "host"] = "auto"
    image: str | None = None
    env: dict[str, str] = field(default_factory=dict[str, str])
    resources: Resources = field(default_factory=Resources)
    timeout: float = 7200.0
    retries: int = 2
    backoff: float = 1.0

    def to_json(self) -> str:
        """For `NewTodo.document`."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    @stored("this TODO")
    def from_json(cls, text: str) -> AgentSpec:
        """Read what `to_json` wrote."""
        tree: dict[str, Any] = json.loads(text)
        read: dict[str, Any] = {
            "touches": tuple(tree["touches"]),
            "verify": tuple(VerifySpec(tuple(each["run"]), each["file"], each["review"]) for each in tree["verify"]),
            "resources": Resources(**tree["resources"]),
        }
        return cls(**{**tree, **read})
