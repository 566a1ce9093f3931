"""A limit in money, as a person sets and raises it: real processes, prices from the table, bills by the server."""

from __future__ import annotations

from pathlib import Path

from roles.models.prices import load_prices
from tests.agents.cast import DONE, Answering, Heard, writes
from tests.agents.people import Person, a_person
from tests.agents.world import todo
from tests.services.model_wires import Answer, Billed

MODEL = "anthropic/claude-sonnet-5-5"
LIMIT = 0.5
USED = Billed(input=20_000, cached=1_000, written=500, output=4_000)
"""Of each call: eight cents."""
MANY = 6


def _works(heard: Heard) -> Answering:
    number = heard.first.partition("# Do this: fix-")[2][0]
    return Answer((DONE if heard.replies else writes(f"{number}.txt"),), usage=USED, chunk=200)


def _billed(person: Person) -> float:
    """Dollars, as the maker has it."""
    price = load_prices().of(MODEL)
    assert price
    used = [asked.answer.usage for asked in person.server.asked if asked.whole]
    return sum(
        float(each.input * price.input + each.cached * price.cached + each.written * price.written
         + each.output * price.output) / 1e6
        for each in used if each
    )  # fmt: skip


def test_money_is_a_limit_and_more_of_it_goes_on(tmp_path: Path) -> None:
    todos = [
        todo(id=f"fix-{n}", prompt=f"Make {n}.txt say right.", touches=[f"{n}.txt"],
             verify=[{"run": f"grep -qx right {n}.txt"}])
        for n in range(MANY)
    ]  # fmt: skip
    with a_person(tmp_path, cast={"hephaestus": _works}) as person:
        plan = person.plan(*todos, models={"default": [MODEL]}, budget={"usd": LIMIT})
        stopped = person.atlas("run", plan, code=5)
        assert "atlas resume" in stopped.out + stopped.err
        assert "usd=" in stopped.out + stopped.err
        assert 0 < _billed(person) <= LIMIT
        [run] = person.atlas("runs", "--json", code=0).rows
        assert run["state"] == "budget_exhausted"
        asked = len(person.server.asked)

        person.atlas("resume", "last", "--budget", "usd=100", code=0)
        assert len(person.server.asked) > asked
        [run] = person.atlas("runs", "--json", code=0).rows
        assert run["state"] == "completed"
        assert abs(run["spend"]["usd"] - _billed(person)) < 1e-6
