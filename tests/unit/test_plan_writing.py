"""Plans as files: what is written is read as what it was; and limits that a run may go on with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestrator.budget import new_limits, options_to_go_on
from orchestrator.plan.document import Budget
from orchestrator.plan.reading import canonical, read_plan
from orchestrator.plan.writing import beside, plan_yaml
from state.agent_tables import BudgetRow
from state.errors import InputError

PLAN = """\
atlas: 1
name: 'yes'
goal: |
  First line: with a colon, # and "quotes".

    Indented, ünïcode and a trailing line.
repo: .
todos:
  - id: a
    run: |
      set -e
      echo "{{ braces }}: & *stars"
    timeout: 90s
    retries: {max: 2, backoff: 5s}
    verify: [{run: [test, -f, 'a b']}, {file: out.txt}]
  - id: b
    role: hephaestus
    prompt: "no"
    touches: ["src/**"]
    verify: [{run: 'true'}]
    needs: [a, {c: '1'}]
  - {id: c, ask: Go?, choices: ['1', 'off']}
"""


def test_a_plan_that_is_written_is_the_same_plan() -> None:
    plan = read_plan(None, PLAN)
    text = plan_yaml(json.loads(canonical(plan)), ["A comment"])
    assert text.startswith("# A comment\natlas: 1\nname: 'yes'\ngoal: |\n")
    assert canonical(read_plan(None, text)) == canonical(plan)
    assert "set -e\n      echo" in text, "commands of several lines stay as they are"


@pytest.mark.parametrize(
    ("repo", "directory", "found"),
    [
        ("/a/b", "/a/b", "."),
        ("/a/b", "/a/b/plans", ".."),
        ("/a/b", "/a", "b"),
        ("/a/b", "/c", "/a/b"),
        ("https://example.org/x.git", "/a", "https://example.org/x.git"),
        ("git@example.org:x.git", "/a", "git@example.org:x.git"),
    ],
)
def test_a_repository_is_named_from_where_the_plan_is(repo: str, directory: str, found: str) -> None:
    assert beside(repo, Path(directory)) == found


def test_limits_below_what_is_used_are_refused() -> None:
    used = BudgetRow(run_id="r", tokens=900, tokens_withheld=100, nano=2_000_000_000)
    assert new_limits(Budget(), used) == (None, None)
    assert new_limits(Budget(tokens=1001, usd=2.5), used) == (1001, 2_500_000_000)
    assert new_limits(Budget(tokens=5), None) == (5, None)
    with pytest.raises(InputError, match="1,000 are used") as told:
        new_limits(Budget(tokens=1000), used)
    assert "--budget tokens=2000" in told.value.hint
    with pytest.raises(InputError, match=r"\$2\.0000 are used"):
        new_limits(Budget(usd=2.0), used)


def test_what_a_run_needs_to_go_on() -> None:
    used = BudgetRow(run_id="r", tokens_limit=5_000, nano_limit=1_000_000_000)
    assert options_to_go_on(used, 23_663, 0.4) == ["tokens=29000"]
    assert options_to_go_on(used, 4_000, 1.234) == ["usd=2.3"]
    assert options_to_go_on(BudgetRow(run_id="r"), 10**9, 10.0) == []
