"""What this machine has for its workers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from state.room import Room

if TYPE_CHECKING:
    from orchestrator.settings import Settings


def room_here(settings: Settings) -> Room:
    """What the settings say, else all cores and all memory of the machine: sandboxes are bounded by the engine, not by
    what holds this process."""
    return Room(
        settings.worker_cpus or float(os.cpu_count() or 1),
        settings.worker_memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    )
