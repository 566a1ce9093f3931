"""A model that says "done" and has not done it is never believed (product.md, what peers fail at: 1, 2, 5)."""

from __future__ import annotations

from pathlib import Path

import pytest

from state.limits import DIFF_FILES
from tests.agents.cast import DONE, runs
from tests.agents.liars import LIARS, Liar, works
from tests.agents.world import FILES, opened, todo


async def test_a_change_behind_thousands_of_others_is_seen(tmp_path: Path) -> None:
    """A listing of changes has a bound (`limits.DIFF_FILES`); what may be changed has none."""
    many = f"mkdir a && cd a && seq {DIFF_FILES + 10} | xargs touch && cd .. && echo 'exit 0' > check.sh"
    cast = works(runs(many), DONE)
    async with opened(tmp_path, cast=cast) as world:
        assert await world.play(todo(touches=["a/**"])) == "failed"
        state, reason, detail = (await world.told())["fix"]
        assert (state, reason) == ("failed", "verification")
        assert "changed outside of touches: check.sh" in (detail or "")


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
