"""A person wants another plan: over the wire, with a real repository, store and worker."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import Session

from state import reading
from state.errors import Conflict, InputError
from tests.agents.cast import APPROVED, DONE, Heard, Player, acts, call, runs, writes
from tests.agents.world import World, opened, todo
from tests.services.model_wires import Say


def planned(*todos: dict[str, Any]) -> Any:
    return call("submit_plan", plan=json.dumps({"atlas": 1, "todos": list(todos)}))


def planner(first: Any, *later: Any) -> Player:
    """`first` for the first plan, `later` one after the other for the next."""

    def answer(heard: Heard) -> Any:
        if "There was a plan" not in heard.first:
            return first
        return later[min(heard.replies, len(later) - 1)]

    return answer


async def document(world: World) -> dict[str, Any]:
    def read(session: Session) -> dict[str, Any]:
        return json.loads(reading.plan(session, world.run).document)

    return await world.store.read(read)


async def test_another_plan_instead_of_the_one_that_was_to_be_approved(tmp_path: Path) -> None:
    again = planned(todo(id="again"))
    cast = {"prometheus": planner(planned(todo(), {"id": "noise", "run": "echo noise", "needs": ["fix"]}), again)}
    async with opened(tmp_path, cast=cast) as world:
        await world.submit(goal="Put the answer right.", approve="ask")
        await world.hire()
        assert await world.at_rest() == "awaiting_input"
        await world.service.replan(world.run, "no noise, please", "lena")
        assert await world.at_rest() == "awaiting_input"
        told = await world.told()
        assert {key: state for key, (state, _, _) in told.items()} == {
            "plan": "completed", "approve-plan": "not_applicable", "fix": "not_applicable", "noise": "not_applicable",
            "report": "pending", "plan-2": "completed", "approve-plan-2": "awaiting_input", "again": "pending",
        }  # fmt: skip
        assert told["fix"][1:] == ("replanned", "by lena: no noise, please")
        assert [question.state for question in await world.questions()] == ["cancelled", "pending"]
        await world.answer("approve")
        assert await world.at_rest() == "completed", await world.told()
        assert await world.file("answer.txt") == "right\n"
        assert [entry["id"] for entry in (await document(world))["todos"]] == ["again"]
        for role in ("prometheus", "metis"):
            (heard,) = [each for each in world.stage.by(role) if "no noise, please" in each.first]
            assert "lena wants another one" in heard.first
            assert "echo noise" in heard.first, "the plan so far"


async def test_a_failed_way_is_replaced_and_what_only_people_write_stays(tmp_path: Path) -> None:
    gate = {"id": "sure", "ask": "Shall it be published?", "choices": ["yes", "no"], "needs": ["fix"]}
    after: dict[str, Any] = {"id": "publish", "run": "sh check.sh", "needs": [{"sure": "yes"}]}
    new = [
        todo(id="mended", prompt="Find another way.", needs=["first"]),
        {"id": "looked", "run": "cat answer.txt", "needs": ["mended"]},
    ]
    liar = acts(call("blocked", because="it can't be done"))

    def hephaestus(heard: Heard) -> Any:
        return acts(writes(), DONE)(heard) if "another way" in heard.first else liar(heard)

    cast: dict[str, Player] = {"prometheus": acts(planned(*new)), "hephaestus": hephaestus}
    async with opened(tmp_path, cast=cast) as world:
        first = {"id": "first", "run": "true"}
        await world.submit(first, todo(needs=["first"]), gate, after)
        await world.hire()
        assert await world.at_rest() == "blocked"
        await world.service.replan(world.run, "Do it in another way.", "lena")
        assert await world.at_rest() == "awaiting_input", await world.told()
        states = {key: state for key, (state, _, _) in (await world.told()).items()}
        assert states == {
            "first": "completed", "fix": "not_applicable", "sure": "awaiting_input", "publish": "pending",
            "report": "pending", "plan-2": "completed", "mended": "completed", "looked": "completed",
        }  # fmt: skip
        entries = {entry["id"]: entry for entry in (await document(world))["todos"]}
        assert list(entries) == ["first", "sure", "publish", "mended", "looked"]
        assert entries["sure"]["needs"] == ["mended", "looked"]
        heard = world.stage.by("prometheus")[0].first
        assert "it can't be done" in heard, "what came of it"
        assert "These stay, and come after all that you plan: publish, sure." in heard
        await world.answer("no")
        assert await world.at_rest() == "completed", await world.told()


@pytest.mark.parametrize(
    ("draft", "told"),
    [
        ([todo()], 'the run has had a TODO "fix"; take another id'),
        ([todo(id="plan-7")], "is a TODO of Atlas's own"),
        ([{"id": "a", "run": "true", "needs": ["sure"]}], 'no TODO "sure" in this plan'),
        ([{"id": "a", "run": "true", "needs": [{"first": "yes"}]}], "whatever the answer"),
        ([{"id": "a", "push": "."}], "push"),
        ([{"id": "a", "run": "true", "secrets": ["A_TOKEN"]}], "for people's plans"),
    ],
    ids=["taken", "reserved", "waits for the plan", "answer", "push", "secrets"],
)
async def test_what_another_plan_may_not_say(tmp_path: Path, draft: list[dict[str, Any]], told: str) -> None:
    good = planned({"id": "a", "run": "true", "needs": ["first"]})
    cast = {"prometheus": acts(planned(*draft), good)}
    async with opened(tmp_path, cast=cast) as world:
        gate = {"id": "sure", "ask": "Sure?", "needs": ["fix"]}
        blocked: dict[str, Player] = {"hephaestus": acts(call("blocked", because="no"))}
        assert await world.play({"id": "first", "run": "true"}, todo(), gate, cast=blocked) == "blocked"
        await world.service.replan(world.run, "because", "lena")
        assert await world.at_rest() == "awaiting_input", await world.told()
        (refused,) = [each for each in world.stage.by("prometheus") if each.replies == 1]
        assert told in refused.last
        assert (await world.todo("a")).state == "completed"


async def test_a_role_at_work_goes_on_and_who_touches_the_same_comes_after(tmp_path: Path) -> None:
    flag = tmp_path / "planned"
    order: list[str] = []

    def hephaestus(heard: Heard) -> Any:
        name = "new" if "afterwards" in heard.first else "old"
        if heard.replies == 0:
            order.append(f"{name} begins")
            return writes(content=f"{name}\n")
        if heard.replies == 1 and name == "old":
            return runs(f"while [ ! -e {flag} ]; do sleep 0.02; done")
        order.append(f"{name} ends")
        return DONE

    check = [{"run": "grep -q . answer.txt"}]
    cast: dict[str, Player] = {
        "prometheus": acts(planned(todo(id="more", prompt="Write it afterwards.", verify=check))),
        "hephaestus": hephaestus,
    }
    async with opened(tmp_path, cast=cast) as world:
        await world.submit(todo(verify=check), {"id": "later", "run": "true", "needs": ["fix"]})
        await world.hire()
        await world.until(lambda _: bool(order))
        await world.service.replan(world.run, "more is wanted", "lena")
        with pytest.raises(Conflict, match="making a plan already"):
            await world.service.replan(world.run, "and more", "lena")
        await world.until(lambda run: run.n_completed == 1)  # the plan
        assert order == ["old begins"]
        flag.touch()
        assert await world.at_rest() == "completed", await world.told()
        assert order == ["old begins", "old ends", "new begins", "new ends"]
        assert await world.file("answer.txt") == "new\n"


async def test_what_can_not_be_planned_again(tmp_path: Path) -> None:
    async with opened(tmp_path, cast={"prometheus": acts(Say("no"), APPROVED)}) as world:
        assert await world.play(todo()) == "completed"
        with pytest.raises(Conflict, match="nothing of it is left"):
            await world.service.replan(world.run, "because", "lena")
        with pytest.raises(InputError, match="say why"):
            await world.service.replan(world.run, " ", "lena")
        with pytest.raises(InputError, match="10,000 are the most"):
            await world.service.replan(world.run, "x" * 10_001, "lena")
