"""A worker that is cut off from the database, and not told so: another has its work in ten seconds, and when it is back
it has changed nothing, and goes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from sqlalchemy import make_url

from tests.acceptance.command_line import Atlas, wait_until
from tests.acceptance.effects import Effects
from tests.services.cut_wire import cut_wire

pytestmark = pytest.mark.postgres

WORK_SECONDS = 25.0
"""More than a lease: who is cut off must not come to its end."""
AT_MOST = 60.0
"""Ten seconds are the aim; other tests run beside."""
Record = Callable[[str, object], None]


def test_who_is_cut_off_loses_its_work_and_comes_back(
    atlas: Atlas, effects: Effects, postgres_database: str, record_property: Record
) -> None:
    url = make_url(postgres_database)
    with cut_wire(url.port or 5432) as wire:
        through = url.set(port=wire.port).render_as_string(hide_password=False)
        atlas.variables["ATLAS_DATABASE_URL"] = postgres_database
        atlas("run", atlas.plan([effects.todo("long", [], WORK_SECONDS)]), "--detach", code=0)
        cut_off = atlas.start("worker", ATLAS_DATABASE_URL=through)
        wait_until(lambda: effects.starts()["long"] == 1, f"it works: {cut_off.err}")
        other = atlas.start("worker")
        wait_until(lambda: "worker " in other.err, "another one is up")
        wire.cut()
        cut = time.monotonic()
        wait_until(lambda: effects.starts()["long"] == 2, "the other has its work", AT_MOST)
        record_property("trial", f"partition: taken over after {time.monotonic() - cut:.1f} s")
        wait_until(lambda: "the lease ran out" in cut_off.err, "it knows that it has nothing any more")
        wire.mend()
        atlas("watch", "last", code=0)
        assert (effects.starts()["long"], effects.ends()["long"]) == (2, 1)
        evidence = [row for row in atlas("evidence", "last", "--json", code=0).rows if "passed" in row]
        assert {row["fence"] for row in evidence} == {2}

        atlas("run", atlas.plan([effects.todo("next", [])], "next"), "--detach", code=0)
        other.send(signal.SIGTERM)
        assert other.ended().code == 0, other.err
        atlas("run", atlas.plan([effects.todo("last", [])], "last"), "--detach", code=0)
        wait_until(lambda: effects.ends()["last"] == 1, f"who was cut off works again: {cut_off.err}", AT_MOST)
        cut_off.send(signal.SIGTERM)
        assert cut_off.ended().code == 0, cut_off.err
