"""What a worker has for its TODOs besides places: CPU cores and memory."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from state.limits import ROOM_SECONDS

if TYPE_CHECKING:
    from state.commands import ClaimNext
    from state.work import TodoState


@dataclass(frozen=True, slots=True)
class Room:
    """`cpus` in cores, `memory` in bytes."""

    cpus: float = 0.0
    memory: float = 0

    def __bool__(self) -> bool:
        return self.cpus > 0 or self.memory > 0

    def __add__(self, other: Room) -> Room:
        return Room(self.cpus + other.cpus, self.memory + other.memory)

    def __sub__(self, other: Room) -> Room:
        return Room(self.cpus - other.cpus, self.memory - other.memory)

    def __le__(self, other: Room) -> bool:
        return self.cpus <= other.cpus + _ROUNDING and self.memory <= other.memory

    def __str__(self) -> str:
        cores = f"{self.cpus:g} core{'' if self.cpus == 1 else 's'}" if self.cpus else ""
        memory = _size(self.memory) if self.memory else ""
        return " and ".join(filter(None, (cores, memory))) or "nothing"

    def within(self, other: Room) -> Room:
        """No more than `other` has."""
        return Room(min(self.cpus, other.cpus), min(self.memory, other.memory))


_ROUNDING = 1e-6


def _size(bytes: float) -> str:
    gib = bytes / (1 << 30)
    return f"{gib:.3g} GiB" if gib >= 1 else f"{bytes / (1 << 20):.3g} MiB"


NOTHING = Room()
BOUNDLESS = Room(inf, inf)


def asked(todo: TodoState) -> Room:
    """What it asks for."""
    return NOTHING if todo.cpus is None and todo.memory is None else Room(todo.cpus or 0.0, todo.memory or 0)


def bounds(command: ClaimNext) -> dict[str, float]:
    """Values for `statements.ROOM_FITS`."""
    most = command.room or BOUNDLESS
    free = most if command.free is None else command.free
    if command.alone:
        free, most = (BOUNDLESS if most <= free else free), BOUNDLESS
    return {
        "cpus": free.cpus + _ROUNDING, "memory": free.memory, "all_cpus": most.cpus + _ROUNDING,
        "all_memory": most.memory,
    }  # fmt: skip


class Taking:
    """Of one `ClaimNext`: what it takes and passes over, asked for in the order of the claims."""

    def __init__(self, command: ClaimNext, now: float) -> None:
        self._all = command.room or BOUNDLESS
        self._free = self._all if command.free is None else command.free
        self._alone = command.alone
        self._now = now
        self._kept = False
        self.passed_over = False

    def has_room(self, todo: TodoState) -> bool:
        """If not, it is passed over; and if it has waited long, all behind it that asks for something is, too."""
        if not (asks := self.of(todo)):
            return True
        if asks <= self._free and not self._kept:
            return True
        self.passed_over = True
        if asks <= self._all and todo.ready_at is not None and self._now - todo.ready_at >= ROOM_SECONDS:
            self._kept = True
        return False

    def take(self, todo: TodoState) -> None:
        """It is claimed."""
        self._free -= self.of(todo)

    def of(self, todo: TodoState) -> Room:
        """What it gets: no more than there is."""
        return asked(todo).within(self._all) if self._alone else asked(todo)
