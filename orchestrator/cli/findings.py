"""One thing that `atlas doctor` has found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

Health = Literal["good", "limited", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``limited``: Atlas works without it, with less."""

    name: str
    state: Health
    said: str
    remedy: str = ""

    @property
    def mark(self) -> str:
        return {"good": "✓", "limited": "-", "broken": "✗"}[self.state]

    def as_dict(self) -> dict[str, str]:
        return asdict(self)
