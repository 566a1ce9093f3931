"""How far an attempt of a role may go, and how patient the house is with models."""

from __future__ import annotations

from dataclasses import dataclass, field

from orchestrator.enforcer import BACKOFF_SECONDS, CAPS, Amounts
from roles.models.chain import Patience


@dataclass(frozen=True, slots=True)
class Bounds:
    """`caps` of one attempt stand above everything. `patience` is for one call of a model; after that the TODO waits in
    the database, `backoff` seconds the first time and twice as long each time after."""

    caps: Amounts = CAPS
    patience: Patience = field(default_factory=Patience)
    backoff: float = BACKOFF_SECONDS
