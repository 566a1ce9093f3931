"""A model that says "done" and has not done it is never believed (product.md, what peers fail at: 1, 2, 5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.liars import LIARS, Liar
from tests.agents.world import FILES, opened, todo


@pytest.mark.parametrize("liar", LIARS, ids=lambda liar: liar.name)
async def test_a_liar_is_not_believed(tmp_path: Path, liar: Liar) -> None:
    async with opened(tmp_path, cast=liar.cast, files={**FILES, **liar.files}, bounds=liar.bounds) as world:
        run = await world.play(todo(**liar.todo))
        told = await world.told()
        state, reason, detail = told["fix"]
        assert (state, reason) == (liar.state, liar.reason), told
        assert liar.words in (detail or ""), detail
        assert run == state
        assert (await world.row()).head is None, "something was merged"
        calls = [each for each in world.stage.heard if each.role != "librarian"]
        assert len(calls) <= liar.calls, [each.role for each in calls]
        fix = (await world.todo()).id
        made = [
            row for row in await world.tools() if row.todo_id == fix and "not carried out" not in (row.result or "")
        ]
        assert len(made) <= liar.bounds.caps.tool_calls
