"""The benchmarks' own reckoning, and that each kind of round comes to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.embedded import GOALS as EMBEDDED_GOALS
from benchmarks.machine import idle_share, yardstick
from benchmarks.measuring import RoundFailed, best, disk, filesystem, middle, one_round, percentile, scratch
from benchmarks.plans import plan_of, plan_text
from benchmarks.reporting import Figure, Goal, as_json, as_table
from orchestrator.plan.reading import read_plan


def test_without_a_name_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in BENCHMARKS)


def test_json_is_a_list_of_figures() -> None:
    figures = [Figure("atlas", "throughput", 8000.5, "TODOs/s")]
    assert json.loads(as_json(figures)) == [
        {"system": "atlas", "metric": "throughput", "value": 8000.5, "unit": "TODOs/s"}
    ]


@pytest.mark.parametrize(("value", "said"), [(8000.0, "≥ 8,000 met"), (7999.0, "≥ 8,000 MISSED")])
def test_goals_stand_beside_the_values(value: float, said: str) -> None:
    table = as_table([Figure("atlas", "throughput", value, "TODOs/s")], [Goal("atlas", "throughput", at_least=8000)])
    assert said in table


def test_a_bound_from_above() -> None:
    goal = Goal("atlas", "CPU", at_most=100)
    assert goal.met(100)
    assert not goal.met(100.1)


def test_goals_name_figures_once() -> None:
    names = [(goal.system, goal.metric) for goal in EMBEDDED_GOALS]
    assert len(set(names)) == len(names)


def test_best_and_middle() -> None:
    rounds = [{"x": 3.0}, {"x": 1.0}, {"x": 2.0}, {}]
    assert best(rounds, "x", "higher") == 3
    assert best(rounds, "x", "lower") == 1
    assert middle(rounds, "x") == 2


def test_percentile() -> None:
    values = [float(value) for value in range(100, 0, -1)]
    assert percentile(values, 0.5) == 51
    assert percentile(values, 0.99) == 100
    assert percentile([7.0], 0.99) == 7


def test_scratch_is_on_the_disk_and_goes() -> None:
    with scratch() as directory:
        assert directory.is_dir()
        assert directory.parent == disk()
        assert filesystem(directory)
    assert not directory.exists()


def test_the_machine_is_measured() -> None:
    assert 0 <= idle_share(0.02) <= 1
    assert all(figure.value > 0 for figure in yardstick())


def test_plans_are_plans(tmp_path: Path) -> None:
    assert len(plan_of(30).todos) == 30
    layers = read_plan(None, plan_text(30, width=10, image="busybox", sandbox="docker"))
    assert [need.todo for need in layers.todos[29].needs] == ["t19"]
    assert not layers.todos[9].needs


@pytest.mark.parametrize("shape", ["runs", "fan"])
def test_a_round_of_atlas(shape: str) -> None:
    found = one_round("embedded_atlas", shape=shape, todos=20, flight=4)
    assert found["per_second"] > 0
    assert found["start_p50"] <= found["start_p99"]


def test_a_round_of_plans() -> None:
    found = one_round("plan_round", shape="layers", todos=100)
    assert found["all"] >= found["read"] + found["submit"]


def test_a_round_that_fails_says_why() -> None:
    with pytest.raises(RoundFailed, match="KeyError"):
        one_round("embedded_atlas", todos=1)
