"""What an executor is told about a ``push:`` TODO."""

from __future__ import annotations

import json
from dataclasses import dataclass

from state.stored import stored


@dataclass(frozen=True, slots=True)
class PushSpec:
    """Where to; `branch` None: the run's own name."""

    remote: str
    branch: str | None = None
    retries: int = 0
    backoff: float = 5.0

    def to_json(self) -> str:
        """For `NewTodo.document`."""
        tree = {"remote": self.remote, "branch": self.branch, "retries": self.retries, "backoff": self.backoff}
        return json.dumps(tree, ensure_ascii=False)

    @classmethod
    @stored("this TODO")
    def from_json(cls, text: str) -> PushSpec:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))
