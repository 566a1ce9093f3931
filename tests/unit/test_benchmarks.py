"""The benchmarks' own reckoning, and that each kind of round comes to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import agent, queue, takeover
from benchmarks.__main__ import BENCHMARKS, main
from benchmarks.agent_ground import WARM, Talk, grow, per_step
from benchmarks.agent_server import serving
from benchmarks.duty import Note, Notes
from benchmarks.embedded import GOALS as EMBEDDED_GOALS
from benchmarks.machine import idle_share, yardstick
from benchmarks.measuring import Round, RoundFailed, best, disk, filesystem, middle, one_round, percentile, scratch
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


@pytest.mark.parametrize("goals", [EMBEDDED_GOALS, queue.GOALS, takeover.GOALS])
def test_goals_name_figures_once(goals: list[Goal]) -> None:
    names = [(goal.system, goal.metric) for goal in goals]
    assert len(set(names)) == len(names)


def test_trials_are_for_takeovers(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["plan", "--trials", "3"])
    assert "--trials is for takeover" in capsys.readouterr().err


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


def test_a_step_is_the_time_between_two_turns() -> None:
    asked = [[0.002 * (turn + 3 * talk) for turn in range(WARM + 5)] for talk in range(2)]
    found = per_step([Talk(times) for times in asked], 2, WARM + 4)
    assert found == pytest.approx({"median": 2.0, "mean": 2.0, "share": 1.0})


@pytest.mark.parametrize(
    "talks",
    [
        [Talk([0.0] * (WARM + 3))],
        [Talk([0.0] * (WARM + 2))] * 2,
        [Talk([0.0] * (WARM + 3)), Talk([0.0] * (WARM + 3), failed=True)],
    ],
    ids=["an agent is missing", "a step is missing", "a tool failed"],
)
def test_steps_that_were_none_are_not_counted(talks: list[Talk]) -> None:
    with pytest.raises(RuntimeError, match="not 2 conversations"):
        per_step(talks, 2, WARM + 2)


def test_overhead_is_the_middle_of_the_differences_in_each_round() -> None:
    names = ["median", "mean", "share", "p50", "p95", "known", "first"]
    rounds: list[Round] = [dict.fromkeys(names, value) for value in (1.0, 5.0, 2.0)]
    atlas: list[Round] = [
        {name: value + more for name, value in each.items()} for each, more in zip(rounds, (4, 2, 3), strict=True)
    ]
    places = [(agent.ONE, agent.HTTP), (agent.EIGHT, agent.HTTP), (agent.SDK_ONE, agent.HTTP)]
    places += [(agent.SDK_EIGHT, agent.HTTP), *((name, agent.PROCESS) for name in (agent.ONE, agent.EIGHT))]
    places += [(name, agent.PROCESS) for name in (agent.BARE, agent.PREBUILT, agent.WRITING)]
    found = {place: atlas if place[0] in (agent.ONE, agent.EIGHT) else rounds for place in places}
    figures = agent.figures({**found, (agent.SNAPSHOT, ""): rounds})
    overheads = [figure.value for figure in figures if figure.metric.startswith(agent.OVERHEAD)]
    assert overheads == [3.0] * 3
    assert {(goal.system, goal.metric) for goal in agent.GOALS} < {(each.system, each.metric) for each in figures}


def test_queues_are_told_from_their_rounds() -> None:
    rounds = {case.system: list[Round]() for case in queue.CASES}
    for at, case in enumerate(queue.CASES):
        burst: Round = {"per_second": 100.0 * at, "cpu": 5.0, "twice": 0}
        alone: Round = {"start_p50": 1.0, "start_p99": 2.0, "twice": 0}
        claims: Round = {"p50": 2.0, "p99": 3.0}
        kinds = {"queue_claims": claims, "queue_round": alone if "alone" in case.options else burst}
        rounds[case.system].append(kinds[case.module])
    figures = {(figure.system, figure.metric): figure.value for figure in queue.figures(rounds)}
    assert {(goal.system, goal.metric) for goal in queue.GOALS} < set(figures)
    assert figures["10,000 queued / 10", "claim p50"] == 1


def test_takeovers_are_told_over_all_rounds() -> None:
    rounds: list[Round] = [
        {"took 0": 0.1, "took 1": 0.2, "stale": 0, "late": 1, "doubles": 1},
        {"took 0": 9.0, "stale": 1, "late": 1, "doubles": 1},
    ]
    figures = {figure.metric: (figure.value, figure.unit) for figure in takeover.figures("x", "freeze", rounds)}
    assert figures["freeze to takeover p50"] == (200, "ms")
    assert figures["freeze to takeover p99"] == (9000, "ms")
    assert figures["freeze: carried out twice to the end"] == (2, "of 3")
    assert figures["late results that were taken"] == (1, "of 2")
    assert [takeover.share(10, 4, number) for number in range(4)] == [3, 3, 2, 2]


def test_notes_are_read_as_they_come(tmp_path: Path) -> None:
    notes = Notes(tmp_path / "notes")
    assert notes.look() == []
    notes.path.write_text("began a 1 0.5\nbegan b 2 ")
    assert notes.look() == [Note("began", "a", 1, 0.5)]
    with notes.path.open("a") as file:
        file.write("0.75\nended a 1 1.0\n")
    assert notes.of("a", "ended") == [Note("ended", "a", 1, 1.0)]
    assert len(notes.all) == 3


def test_trees_are_always_the_same(tmp_path: Path) -> None:
    for name in ("one", "other"):
        grow(tmp_path / name, 300)
    one, other = (
        {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}
        for root in (tmp_path / "one", tmp_path / "other")
    )
    assert one == other
    assert len(one) == 300
    assert max(len(path.parts) for path in one) > 3


def test_rounds_of_agents_over_http() -> None:
    """Atlas and the bare loop, each asking the same server: all their steps are seen there, and none of another."""
    with serving() as server:
        for module in ("agent_sdk", "agent_atlas"):
            found = one_round(module, agents=2, steps=WARM + 5, files=110, writes=0, server=server)
            assert min(found[name] for name in ("median", "mean", "share")) > 0, module


def test_a_round_of_agents_without_a_server() -> None:
    found = one_round("agent_atlas", agents=1, steps=WARM + 5, files=110, writes=1)
    assert min(found[name] for name in ("median", "mean", "share")) > 0


def test_rounds_over_http() -> None:
    asked = one_round("http_round", what="requests", stored=250, requests=20)
    assert min(asked.values()) > 0
    watched = one_round("http_round", what="watchers", watchers=3, events=4)
    assert 0 < watched["p50"] <= watched["p99"]


def test_a_round_of_snapshots() -> None:
    found = one_round("agent_snapshot", snapshots=5, files=150)
    assert 0 < found["p50"] <= found["p95"]
    assert found["known"] > 0


def test_a_round_that_fails_says_why() -> None:
    with pytest.raises(RoundFailed, match="KeyError"):
        one_round("embedded_atlas", todos=1)
