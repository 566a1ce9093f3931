"""The order of TODOs: needs come first. Iterative and linear, for plans of any shape."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush


def needs_first(needs: Sequence[Sequence[int]]) -> list[int]:
    """All positions, each after those it needs, otherwise as near to the given order as can be.

    Shorter than `needs` when there is a cycle: what is on one, or after one, is left out.
    """
    waiting = [len(items) for items in needs]
    dependents: list[list[int]] = [[] for _ in needs]
    for position, items in enumerate(needs):
        for item in items:
            dependents[item].append(position)
    free = [position for position, count in enumerate(waiting) if count == 0]
    heapify(free)
    order: list[int] = []
    while free:
        order.append(position := heappop(free))
        for dependent in dependents[position]:
            waiting[dependent] -= 1
            if waiting[dependent] == 0:
                heappush(free, dependent)
    return order


def cycles(needs: Sequence[Sequence[int]], order: Sequence[int]) -> list[list[int]]:
    """The cycles that keep positions from being ordered, each once: ``[a, b]`` when a needs b needs a."""
    ordered = set(order)
    seen: set[int] = set()
    found: list[list[int]] = []
    for start in range(len(needs)):
        walk: dict[int, int] = {}
        position: int | None = start
        while position is not None and position not in ordered and position not in seen:
            seen.add(position)
            walk[position] = len(walk)
            # Everything left has a need that is left too: following any of them must close a cycle.
            position = next((item for item in needs[position] if item not in ordered), None)
        if position in walk:
            found.append(list(walk)[walk[position] :])
    return found
