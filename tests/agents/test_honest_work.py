"""A role that does what it says, over every wire: the measure for what liars must not reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.cast import DONE, acts, call, lists, runs, ticks, writes
from tests.agents.world import opened, todo
from tests.services.model_wires import Wire


@pytest.mark.parametrize("wire", ["anthropic", "chat", "responses"])
async def test_work_that_is_done_is_merged_with_its_evidence(tmp_path: Path, wire: Wire) -> None:
    diligent = acts(
        [lists("the answer is right", "the check passes"), runs("sh check.sh")],
        writes(),
        [ticks(1), call("check")],
        [ticks(2), DONE],
    )
    async with opened(tmp_path, wire) as world:
        assert await world.play(todo(), cast={"hephaestus": diligent}) == "completed", await world.told()
        assert await world.file("answer.txt") == "right\n"
        evidence, _ = await world.service.evidence(world.run, "fix")
        assert [item.passed for item in evidence] == [True, True]  # within touches; the check
        assert len(world.stage.by("hephaestus")) == 4
        assert len(world.server.asked) == 5  # and the report
        assert [row.state for row in await world.tools()].count("failed") == 0
