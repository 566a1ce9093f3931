"""Which packs bring a commit: the fewest, and of these the smallest."""

from __future__ import annotations

import itertools
import random

import pytest

from mcp_servers.git.workspace.chains import chain_to
from mcp_servers.git.workspace.results import Packed
from state.errors import NotFound


def row(base: str, oid: str, size: int = 1) -> Packed:
    return Packed(oid, base, f"sha256:{base}-{oid}-{size}", size)


def test_a_root_needs_nothing() -> None:
    assert chain_to("a", [], {"a"}) == []
    assert chain_to("b", [row("a", "b")], {"a", "b"}) == []


def test_oldest_first() -> None:
    rows = [row("c", "d"), row("a", "b"), row("b", "c")]
    assert [each.oid for each in chain_to("d", rows, {"a"})] == ["b", "c", "d"]


def test_one_pack_for_all_is_taken() -> None:
    rows = [row("a", "b"), row("b", "c"), row("c", "d"), row("a", "c", 1000), row("d", "e")]
    assert chain_to("e", rows, {"a"}) == [row("a", "c", 1000), row("c", "d"), row("d", "e")]
    assert chain_to("e", rows, {"a", "b"}) == [row("b", "c"), row("c", "d"), row("d", "e")], "the smaller"


def test_the_smaller_of_two() -> None:
    rows = [row("a", "b", 9), row("a", "c", 5), row("b", "d", 1), row("c", "d", 2), row("a", "b", 8)]
    assert chain_to("d", rows, {"a"}) == [row("a", "c", 5), row("c", "d", 2)]


def test_no_way() -> None:
    for rows in ([], [row("b", "c"), row("c", "b")], [row("c", "a")]):
        with pytest.raises(NotFound, match="no packs lead to the commit c"):
            chain_to("c", rows, {"a"})


@pytest.mark.parametrize("seed", range(200))
def test_none_is_better(seed: int) -> None:
    """Against every way there is."""
    chance = random.Random(seed)
    names = "abcdef"
    pairs = [chance.sample(names, 2) for _ in range(chance.randrange(12))]
    rows = [row(base, oid, chance.randrange(1, 9)) for base, oid in pairs]
    ways = [
        (len(way), sum(each.size for each in way))
        for length in range(1, 5)
        for way in itertools.permutations(rows, length)
        if way[0].base == "a" and way[-1].oid == "f" and all(x.oid == y.base for x, y in itertools.pairwise(way))
    ]
    if ways:
        found = chain_to("f", rows, {"a"})
        assert (len(found), sum(each.size for each in found)) == min(ways)
        assert found[0].base == "a"
        assert found[-1].oid == "f"
        assert all(x.oid == y.base for x, y in itertools.pairwise(found))
    else:
        with pytest.raises(NotFound):
            chain_to("f", rows, {"a"})
