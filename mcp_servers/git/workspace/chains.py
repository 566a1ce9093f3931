"""Which packs bring a commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

from mcp_servers.git.workspace.results import Packed
from state.errors import NotFound


def chain_to(oid: str, rows: Sequence[Packed], roots: Collection[str]) -> list[Packed]:
    """The fewest of `rows` (the smallest of these, if there is a choice) that lead from one of the commits `roots` to
    `oid`, oldest first: what `RunRepository.bring` takes. Empty if `oid` is a root. `NotFound` if none do."""
    by_oid: defaultdict[str, list[Packed]] = defaultdict(list)
    for row in rows:
        by_oid[row.oid].append(row)
    ways: dict[str, tuple[int, list[Packed]]] = {oid: (0, [])}
    level = [oid]
    while level:
        if arrived := [each for each in level if each in roots]:
            return min((ways[each] for each in arrived), key=lambda way: way[0])[1]
        level = _further(level, by_oid, ways)
    raise NotFound(f"no packs lead to the commit {oid}", "Begin again from the head of the run.")


def _further(
    level: Sequence[str], by_oid: dict[str, list[Packed]], ways: dict[str, tuple[int, list[Packed]]]
) -> list[str]:
    """One pack further from the goal: the commits that are not in `ways` yet, which get the smallest way of that
    length."""
    found: dict[str, tuple[int, list[Packed]]] = {}
    for oid in level:
        size, way = ways[oid]
        for row in by_oid.get(oid, ()):
            known = found.get(row.base)
            if row.base not in ways and (known is None or size + row.size < known[0]):
                found[row.base] = (size + row.size, [row, *way])
    ways |= found
    return list(found)
