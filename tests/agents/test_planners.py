"""Plans that models make: made in the end or not at all, refused when they prove nothing or ask for what is not theirs
to ask for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.plan.reading import canonical, canonical_hash, read_plan
from state import reading
from tests.agents.cast import APPROVED, Cast, Heard, acts, call
from tests.agents.world import SMALL, opened, todo
from tests.services.model_wires import Part, Say, Wire

TURNS = SMALL.caps.turns
FEW = replace(SMALL, caps=replace(SMALL.caps, turns=3))
GOAL = "Make answer.txt say right."
GAP = {"where": "fix", "what": "It could be better.", "remedy": "Make it better."}
OBJECTS = call("verdict", approve=False, findings=[GAP])


def submits(*todos: object, **keys: object) -> Part:
    return call("submit_plan", plan=json.dumps({"atlas": 1, "todos": list(todos), **keys}))


def agent(**fields: object) -> dict[str, object]:
    """As a model would write it; None leaves a key out."""
    return {key: value for key, value in {**todo(), **fields}.items() if value is not None}


GOOD = submits(agent())


@pytest.mark.parametrize("wire", ["anthropic", "chat"])
async def test_a_plan_is_drafted_reviewed_revised_and_carried_out(tmp_path: Path, wire: Wire) -> None:
    cast = {"prometheus": acts(call("workspace_list"), GOOD), "metis": acts(OBJECTS, APPROVED)}
    async with opened(tmp_path, wire, cast=cast) as world:
        assert await world.play(goal=GOAL) == "completed", await world.told()
        assert await world.file("answer.txt") == "right\n"
        assert "It could be better." in world.stage.by("prometheus")[-1].last
        assert len(world.stage.by("metis")) == 2
        evidence, _ = await world.service.evidence(world.run, "plan")
        assert evidence[1].item["rounds"] == 2


async def test_the_reviewer_sees_every_plan(tmp_path: Path) -> None:
    drafts = [submits(agent(title=title)) for title in ("The first draft", "The second draft")]
    cast = {"prometheus": acts(*drafts), "metis": acts(OBJECTS, APPROVED)}
    async with opened(tmp_path, cast=cast) as world:
        assert await world.play(goal=GOAL) == "completed", await world.told()
        first, second = (heard.last for heard in world.stage.by("metis"))
        assert "The first draft" in first
        assert "The second draft" in second


async def test_the_verdict_is_on_the_plan_that_is_carried_out(tmp_path: Path) -> None:
    """By its hash, that anybody can compute: the approval is of the second draft, and of nothing else."""
    titles = ("The first draft", "The second draft")
    cast = {
        "prometheus": acts(*(submits(agent(title=title)) for title in titles)), "metis": acts(OBJECTS, APPROVED),
    }  # fmt: skip
    async with opened(tmp_path, cast=cast) as world:
        assert await world.play(goal=GOAL) == "completed", await world.told()
        drafts = [json.dumps({"atlas": 1, "todos": [agent(title=title)]}) for title in titles]
        first, second = (canonical_hash(canonical(read_plan(None, draft))) for draft in drafts)
        evidence, _ = await world.service.evidence(world.run, "plan")
        assert [each.item["plan"] for each in evidence] == [second, second]
        assert {each.subject for each in evidence} == {f"sha256:{second}"}
        assert first[:12] in world.stage.by("prometheus")[1].last
        assert (await world.todo()).title == titles[1]


REFUSED: dict[str, tuple[Any, str]] = {
    "without verification": (submits(agent(verify=None)), "verify"),
    "verified by a reviewer alone": (submits(agent(verify=[{"review": "oracle"}])), "verify"),
    "without touches": (submits(agent(touches=None)), "touches"),
    "with secrets": (submits({"id": "a", "run": "env", "secrets": ["TOKEN"]}), "secrets"),
    "with an output elsewhere": (submits({"id": "a", "run": "env", "outputs": {"a": "file:///tmp/a"}}), "outputs"),
    "with an input from elsewhere": (submits({"id": "a", "run": "env", "inputs": {"file:///etc/": "etc"}}), "inputs"),
    "with a network": (submits(agent(resources={"network": True})), "network"),
    "with a network for a command": (submits({"id": "a", "run": "env", "resources": {"network": True}}), "network"),
    "with a key of the house's": (submits(agent(id="report")), "report"),
    "with another key of the house's": (submits(agent(id="approve-plan")), "approve-plan"),
    "with the key of the planning itself": (submits(agent(id="plan")), "another id"),
    "with a key of the house's for a command": (submits({"id": "report", "run": "true"}), "report"),
    "with a review of a command": (
        submits({"id": "a", "run": "true", "verify": [{"run": "true"}, {"review": "metis"}]}),
        "reviewed",
    ),
    "with a TODO for weeks": (submits(agent(timeout="20d")), "over a day"),
    "with a TODO for ever": (submits({"id": "a", "run": "false", "retries": {"max": 20}}), "retries"),
    "that pushes": (submits({"id": "a", "push": "origin"}), "push"),
    "with another repository": (submits(agent(), repo="/etc"), "repo"),
    "with another branch": (submits(agent(), base="other"), "base"),
    "with a budget of its own": (submits(agent(), budget={"tokens": 10**9}), "budget"),
    "with models of its own": (submits(agent(), models={"default": ["openai/gpt-6-astra"]}), "models"),
    "with a sandbox of its own": (submits(agent(), sandbox="host"), "sandbox"),
    "with defaults of its own": (submits(agent(), defaults={"timeout": "20d"}), "defaults"),
    "in a circle": (submits(agent(needs=["fix"])), "fix"),
    "with nothing in it": (submits(), "todos"),
    "that is no plan": (call("submit_plan", plan="I shall think of something."), "plan"),
    "that leaves the workspace": (submits(agent(touches=["../**"])), ".."),
}


@pytest.mark.parametrize("kind", REFUSED)
async def test_a_plan_is_refused(tmp_path: Path, kind: str) -> None:
    plan, word = REFUSED[kind]
    async with opened(tmp_path, cast={"prometheus": acts(plan)}, bounds=FEW) as world:
        assert await world.play(goal=GOAL) == "failed"
        state, reason, detail = (await world.told())["plan"]
        assert (state, reason) == ("failed", "cap"), detail
        told = world.stage.by("prometheus")[1].last
        assert "not a plan yet" in told
        assert word in told
        assert len(world.server.asked) == FEW.caps.turns
        assert not world.stage.by("metis")
        assert set(await world.told()) == {"plan"}


async def test_a_person_may_accept_what_the_reviewer_does_not(tmp_path: Path) -> None:
    cast = {"prometheus": acts(GOOD), "metis": acts(OBJECTS)}
    async with opened(tmp_path, cast=cast) as world:
        assert await world.play(goal=GOAL) == "awaiting_input"
        await world.answer("accept")
        await world.until(lambda run: run.state == "completed")
        evidence, _ = await world.service.evidence(world.run, "plan")
        assert evidence[1].verifier == "role metis, accepted by me"


async def test_a_planner_cannot_widen_how_much_is_done_at_once(tmp_path: Path) -> None:
    plan = submits(agent(), concurrency=100)
    async with opened(tmp_path, cast={"prometheus": acts(plan)}) as world:
        assert await world.play(goal=GOAL, concurrency=2) == "completed"
        assert (await world.row()).concurrency == 2
        frozen = await world.store.read(lambda session: reading.plan(session, world.run).document)
        assert json.loads(frozen)["concurrency"] == 2


def _never_says(heard: Heard) -> Part:
    return call("verdict", approve=False)


STUCK: dict[str, tuple[Cast, str, str, int]] = {
    "a planner who only talks": ({}, "rejected", "did not call submit_plan", 3),
    "a planner who only looks": ({"prometheus": acts(call("workspace_list"))}, "cap", "used up", TURNS),
    "a reviewer who only talks": (
        {"prometheus": acts(GOOD), "metis": acts(Say("Hm."))}, "rejected", "metis did not call verdict", 4,
    ),
    "a reviewer who objects to nothing": ({"prometheus": acts(GOOD), "metis": _never_says}, "cap", "used up", TURNS),
}  # fmt: skip


@pytest.mark.parametrize("who", STUCK)
async def test_planning_ends(tmp_path: Path, who: str) -> None:
    cast, reason, words, calls = STUCK[who]
    async with opened(tmp_path, cast=cast) as world:
        assert await world.play(goal=GOAL) == "failed"
        told = (await world.told())["plan"]
        assert told[1] == reason
        assert words in (told[2] or "")
        assert len(world.server.asked) <= calls
