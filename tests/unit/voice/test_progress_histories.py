"""Whatever the store can write, each outcome and each question is told once, however it is listened to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.views import EventView
from tests.contract.store_memory import MemoryStore
from tests.contract.store_stories import Story
from tests.contract.store_world import FakeClock
from tests.unit.voice.speakable import flaw
from voice.intents import LANGUAGES
from voice.progress import Progress
from voice.saying import Saying
from voice.wording.news import OUTCOMES


def story(seed: int, length: int) -> list[list[EventView]]:
    """What the store's own decisions write in a random life of several runs: by transaction."""
    random, clock = Random(seed), FakeClock()
    store = MemoryStore(clock)
    tale = Story(random, store)
    told: dict[str, int] = {}
    batches: list[list[EventView]] = []
    for number in range(length):
        if number % 5 == 0:
            tale.begin_batch()
            clock.advance(random.choice((0.0, 5.0, 60.0)))
        store.apply(tale.command())
        rows = [row for row in store.rows("event") if row["seq"] > told.get(row["run_id"], 0)]
        rows.sort(key=lambda row: (row["run_id"], row["seq"]))
        told |= {row["run_id"]: row["seq"] for row in rows}
        batches.append([view(row) for row in rows])
    return batches


def view(row: dict[str, Any]) -> EventView:
    return EventView(row["run_id"], row["seq"], None, row["type"], row["todo_id"], json.loads(row["data"]))


@dataclass
class Listener:
    """Hears, takes, and checks what must always hold."""

    progress: Progress
    events: int = 0
    said: list[Saying] = field(default_factory=list[Saying])
    last: dict[str, int] = field(default_factory=dict[str, int])
    told: dict[str, int] = field(default_factory=dict[str, int])

    def hear(self, events: Iterable[EventView]) -> None:
        batch = list(events)
        shown = self.progress.hear(batch, {}, 0.0)
        self.events += len(batch)
        assert len(shown) <= len(batch)
        assert all(flaw(each.text) is None and each.text for each in shown)
        self.last |= {event.run: max(event.seq, self.last.get(event.run, 0)) for event in batch}
        self.check()

    def say(self) -> None:
        saying = self.progress.take()
        if saying:
            assert flaw(saying.text) is None
            assert saying.text
            self.progress.said(saying)
            self.said.append(saying)
        self.check()

    def check(self) -> None:
        """The cursor only goes forward, and never past what was heard."""
        told = self.progress.told_to()
        assert all(seq >= self.told.get(run, 0) for run, seq in told.items())
        assert all(seq <= self.last[run] for run, seq in told.items())
        self.told = told

    def all(self) -> None:
        while self.progress.waiting:
            self.say()


@given(seed=st.integers(0, 1 << 40), length=st.integers(1, 80), language=st.sampled_from(LANGUAGES))
@settings(max_examples=150, deadline=None)
def test_who_listens_to_everything_hears_each_outcome_and_each_question_once(
    seed: int, length: int, language: Any
) -> None:
    listener = Listener(Progress(language))
    wanted, got = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for batch in story(seed, length):
        for event in batch:
            before = len(listener.said)
            listener.hear([event])
            listener.all()
            new = listener.said[before:]
            data = event.data
            if event.type == "run.state" and data["to"] in OUTCOMES and data["from"] != data["to"]:
                wanted[event.run, data["to"]] += 1
                assert [each.kind for each in new] == ["outcome"]
                got[event.run, data["to"]] += 1
            elif event.type == "question.asked":
                assert [(each.kind, each.question) for each in new] == [("question", data["question"])]
            else:
                assert not {"outcome", "question", "away"} & {each.kind for each in new}
    assert wanted == got
    assert len(listener.said) <= listener.events
    assert listener.told == listener.last


@given(seed=st.integers(0, 1 << 40), length=st.integers(1, 80), detail=st.sampled_from(("less", "normal", "more")))
@example(seed=351594, length=71, detail="less")  # a plan that made place for another, with its questions
@settings(max_examples=150, deadline=None)
def test_however_it_is_listened_to_nothing_is_left_out(seed: int, length: int, detail: Any) -> None:
    """Events come in any portions, some of them again; sayings are taken, given back and said at any time."""
    random, listener = Random(seed), Listener(Progress("en", detail))
    progress, heard = listener.progress, list[EventView]()
    for batch in story(seed, length):
        again = [event for event in heard if random.random() < 0.05]
        listener.hear(again)
        listener.hear(batch)
        heard += batch
        match random.randrange(6):
            case 0 | 1:
                listener.say()
            case 2:
                if saying := progress.take():
                    progress.unsaid(saying)
            case 3 if random.random() < 0.2:
                progress.away()
            case _:
                pass
    listener.all()
    states = {event.run: (event.data["to"], event.seq) for event in heard if event.type == "run.state"}
    for run, (state, seq) in states.items():
        told = [each for each in listener.said if each.run == run and each.kind == "outcome"]
        summed_up = [each for each in listener.said if each.kind == "away" and run in dict(each.tells)]
        if state in OUTCOMES:
            assert told or summed_up
            assert len([each for each in told if dict(each.tells)[run] == seq]) <= 1
    asked = {event.data["question"] for event in heard if event.type == "question.asked"}
    over = {event.data["question"] for event in heard if event.type in ("question.answered", "question.expired")}
    replaced = {(event.run, event.todo) for event in heard if event.data.get("reason") == "replanned"}
    over |= {
        event.data["question"]
        for event in heard
        if event.type == "question.asked" and (event.run, event.todo) in replaced
    }
    ended = {run for run, (state, _) in states.items() if state == "cancelled"}
    of = {event.data["question"]: event.run for event in heard if event.type == "question.asked"}
    put = Counter(each.question for each in listener.said if each.question)
    assert all(put[question] == 1 for question in asked - over if of[question] not in ended)
    assert max(put.values(), default=1) == 1
    assert len(listener.said) <= len(heard)
    assert listener.told == listener.last
    assert progress.all_told
