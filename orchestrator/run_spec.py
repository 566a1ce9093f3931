"""What executors need to know of a run besides a TODO's own document; stored as `run.spec`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from state import tracing
from state.errors import AtlasError
from state.ports import Store
from state.stored import stored
from state.tables import Run
from state.work import encode


@dataclass(frozen=True, slots=True)
class PinnedRepository:
    """The commit that every checkout of the run starts from. `artifact` is the digest of its pack."""

    source: str
    ref: str
    oid: str
    artifact: str


@dataclass(frozen=True, slots=True)
class RunSpec:
    """`host_allowed`: a person asked for the host sandbox for this very run. `directory` is
    the plan file's, `models` are the chains that the plan names, by role, and `approve` says whether a person is asked
    before a plan is carried out. `plan_only`: nothing of it is. `traceparent`: the trace that it is part of."""

    repository: PinnedRepository | None = None
    host_allowed: bool = False
    directory: str | None = None
    models: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    approve: Literal["auto", "ask"] = "auto"
    plan_only: bool = False
    traceparent: str | None = None

    def to_json(self) -> str:
        """Compact; what is at its default is left out."""
        tree: dict[str, Any] = {
            "repository": asdict(self.repository) if self.repository else None, "host_allowed": self.host_allowed,
        }  # fmt: skip
        if self.directory or self.models:
            tree |= {"directory": self.directory, "models": self.models, "approve": self.approve}
        if self.plan_only:
            tree["plan_only"] = True
        if self.traceparent:
            tree["traceparent"] = self.traceparent
        return encode(tree)

    @classmethod
    @stored("this run")
    def from_json(cls, text: str) -> RunSpec:
        """Read what `to_json` wrote."""
        tree: dict[str, Any] = json.loads(text)
        repository = tree.pop("repository", None)
        return cls(PinnedRepository(**repository) if repository else None, **tree)


_KEPT = 1_000


class Traces:
    """The traces that runs are part of, for a worker that is traced: read once, and no reason not to work."""

    def __init__(self, store: Store) -> None:
        self._read = store.read
        self._known: dict[str, str | None] = {}

    async def of(self, run: str) -> str | None:
        """Its traceparent."""
        if run not in self._known:
            try:
                row = await self._read(lambda session: session.get(Run, run))
                found = tracing.valid(RunSpec.from_json(row.spec).traceparent) if row else None
            except (AtlasError, ValueError):
                return None
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[run] = found
        return self._known[run]
