"""The process dies in the middle of a role's conversation, where it hurts: around a call of a tool, around a call of a
model, while a conversation is shortened, and again and again while many share a budget."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.agents.cast import DONE, Answering, Heard, call, lists, runs, writes
from tests.agents.people import Person, a_person
from tests.agents.test_budget import BUDGET, MANY, costly, many
from tests.agents.test_model_trouble import LONG
from tests.agents.world import todo
from tests.services.model_wires import Say

UNKNOWN = "Its outcome is unknown"


def dies(person: Person, *arguments: str, at: str) -> None:
    """The process kills itself there."""
    ended = person.atlas(*arguments, ATLAS_FAILPOINTS=at)
    assert ended.code == -signal.SIGKILL, ended


def sent_again(person: Person) -> int:
    """Requests to models that had been sent before, byte by byte."""
    return sum(count - 1 for count in Counter(asked.raw for asked in person.server.asked).values())


def calls(person: Person) -> list[dict[str, Any]]:
    return person.atlas.sql("SELECT * FROM model_call ORDER BY id")


@pytest.mark.parametrize(("label", "times"), [("agent.tool_intended", 0), ("agent.tool_called", 1)])
def test_an_effect_is_not_repeated_and_the_role_is_told_that_it_is_unknown(
    tmp_path: Path, label: str, times: int
) -> None:
    mark = tmp_path / "mark"

    def hephaestus(heard: Heard) -> Answering:
        if heard.replies == 0:
            return runs(f"echo ran >> {mark}; echo half > half.txt")
        if heard.replies == 1:
            return runs("test ! -e half.txt && echo as it was before")
        return [writes(), DONE] if heard.replies == 2 else DONE

    with a_person(tmp_path, cast={"hephaestus": hephaestus}) as person:
        dies(person, "run", person.plan(todo()), at=f"{label}=kill@1")
        assert [row["state"] for row in person.atlas.sql("SELECT state FROM tool_call")] == ["intent"]
        person.atlas("resume", "last", code=0)
        first, second, third, *_ = person.stage.by("hephaestus")
        assert UNKNOWN not in first.text
        assert UNKNOWN in second.last
        assert "as it was before" in third.last, "the working tree is as it was before the call"
        assert (mark.read_text().split() if mark.exists() else []) == ["ran"] * times
        states = Counter(row["state"] for row in person.atlas.sql("SELECT state FROM tool_call"))
        assert states["unknown"] == 1
        assert states["intent"] == 0
        assert sent_again(person) == 0


def test_what_does_no_harm_is_repeated_without_a_word(tmp_path: Path) -> None:
    def hephaestus(heard: Heard) -> Answering:
        return call("workspace_read", path="answer.txt") if heard.replies == 0 else [writes(), DONE]

    with a_person(tmp_path, cast={"hephaestus": hephaestus}) as person:
        dies(person, "run", person.plan(todo()), at="agent.tool_called=kill@1")
        person.atlas("resume", "last", code=0)
        assert not any(UNKNOWN in heard.text for heard in person.stage.heard)
        assert sent_again(person) <= 1, "only the reply that was not recorded yet"
        lost = [row for row in calls(person) if row["state"] == "lost"]
        assert sent_again(person) == len(lost)


@pytest.mark.parametrize("hit", [1, pytest.param(2, marks=pytest.mark.chaos), 3])
@pytest.mark.parametrize("label", ["agent.call_reserved", "agent.call_answered"])
def test_a_reply_that_is_recorded_is_not_asked_for_again(tmp_path: Path, label: str, hit: int) -> None:
    def hephaestus(heard: Heard) -> Answering:
        return (runs("true"), runs("echo 1"), [writes(), DONE])[min(heard.replies, 2)]

    with a_person(tmp_path, cast={"hephaestus": hephaestus}) as person:
        dies(person, "run", person.plan(todo()), at=f"{label}=kill@{hit}")
        person.atlas("resume", "last", code=0)
        lost = [row for row in calls(person) if row["state"] == "lost"]
        assert len(lost) == 1, "the one that was made in that moment"
        assert all(row["estimated"] for row in lost)
        was_sent = label == "agent.call_answered"
        assert sent_again(person) == was_sent
        answered = [row for row in calls(person) if row["state"] == "answered"]
        assert len(person.server.asked) == len(answered) + was_sent


@pytest.mark.parametrize("label", ["agent.shortening", "agent.shortened"])
def test_a_conversation_that_is_being_shortened_is_shortened_once(tmp_path: Path, label: str) -> None:
    def hephaestus(heard: Heard) -> Answering:
        if "Where this conversation was" in heard.first:
            return DONE
        if heard.replies == 0:
            return [lists("the answer is right"), writes(), call("checklist", action="complete", item=1)]
        return LONG if heard.replies == 6 else runs(f"seq {heard.replies} 2000")

    with a_person(tmp_path, cast={"hephaestus": hephaestus}) as person:
        dies(person, "run", person.plan(todo()), at=f"{label}=kill@1")
        before = len(person.stage.by("hephaestus"))
        person.atlas("resume", "last", code=0)
        after = person.stage.by("hephaestus")[before:]
        assert [heard.replies for heard in after] == [6, 0], "too long once more, which costs nothing; then in short"
        for kept in ("# Do this: fix", "1. [x] the answer is right", "seq 5 2000"):
            assert kept in after[1].first
        talks = person.atlas.sql(
            "SELECT todo_id, talk, count(*) AS n FROM message WHERE seq = 1 GROUP BY todo_id, talk"
        )
        assert all(row["n"] == 1 for row in talks)


@pytest.mark.parametrize(
    "labels",
    [
        ("agent.call_answered=kill@4", "agent.call_reserved=kill@2"),
        pytest.param(("agent.call_reserved=kill@9", "agent.call_answered=kill@2"), marks=pytest.mark.chaos),
        pytest.param(("agent.tool_called=kill@3", "agent.tool_intended=kill@4"), marks=pytest.mark.chaos),
    ],
)
def test_many_at_once_that_die_twice_stay_within_the_budget(tmp_path: Path, labels: tuple[str, str]) -> None:
    """By what the server of models counted, calls included whose replies died with the process."""

    def hephaestus(heard: Heard) -> Answering:
        number = heard.first.partition("# Do this: fix-")[2][0]
        return costly(DONE) if f"wrote {number}" in heard.text or heard.replies > 1 else costly(
            Say("I shall."), writes(f"{number}.txt"), runs(f"echo wrote {number}")
        )  # fmt: skip

    with a_person(tmp_path, cast={"hephaestus": hephaestus}) as person:
        plan = person.plan(*many(), concurrency=MANY, budget={"tokens": BUDGET})
        dies(person, "run", plan, at=labels[0])
        dies(person, "resume", "last", at=labels[1])
        person.atlas("resume", "last")
        charged = sum(asked.charged for asked in person.server.asked)
        assert BUDGET / 8 < charged <= BUDGET, charged  # what died unanswered is withheld by its bound
        [state] = [row["state"] for row in person.atlas.sql("SELECT state FROM run")]
        assert state in ("budget_exhausted", "completed")
        [budget] = person.atlas.sql("SELECT * FROM budget")
        assert charged <= budget["tokens"] + budget["tokens_withheld"] <= BUDGET
        assert budget["tokens_held"] == 0
        person.atlas("resume", "last", "--budget", f"tokens={40 * BUDGET}", code=0)
        [budget] = person.atlas.sql("SELECT * FROM budget")
        assert sum(asked.charged for asked in person.server.asked) <= budget["tokens"] + budget["tokens_withheld"]
        rows = [row for row in calls(person) if row["state"] == "answered"]
        assert all(not row["estimated"] for row in rows)
        assert budget["tokens"] == sum(
            row["input"] + row["cached"] + row["written"] + row["output"] for row in calls(person)
        )
