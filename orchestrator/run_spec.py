"""What executors need to know of a run besides a TODO's own document; stored as `run.spec`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

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
    """`host_allowed`: a person asked for the host sandbox for this very run."""

    repository: PinnedRepository | None = None
    host_allowed: bool = False

    def to_json(self) -> str:
        repository = asdict(self.repository) if self.repository else None
        return encode({"repository": repository, "host_allowed": self.host_allowed})

    @classmethod
    def from_json(cls, text: str) -> RunSpec:
        tree = json.loads(text)
        repository = tree.get("repository")
        return cls(PinnedRepository(**repository) if repository else None, bool(tree.get("host_allowed")))
