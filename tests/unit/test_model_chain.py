"""Which model is asked when, how long between, and that every call is paid for once, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from roles.models.chain import Chain, Outcome, Patience
from roles.models.port import Message, Meter, Reply, Request, Text, Usage
from state.errors import ModelError, ModelOverflow, ModelRejected, ModelUnavailable

REQUEST = Request("Be short.", [Message("user", [Text("Hello?")])])
USED = Usage(input=10, output=2)


@dataclass
class Answering:
    """A model that does what it is told, one after another: an error to raise, or None to answer."""

    name: str
    script: list[ModelError | None]
    maker: str = "test"
    hang: asyncio.Event | None = None

    async def reply(self, request: Request, meter: Meter) -> Reply:
        meter.sent()
        meter.heard("Hel")
        if self.hang:
            self.hang.set()
            await asyncio.Event().wait()
        if error := self.script.pop(0):
            raise error
        return Reply([Text("Hello.")], "end", USED, self.name)

    async def close(self) -> None:
        return None


@dataclass
class Books:
    """What was reserved and settled; the settlement takes a while."""

    reserved: list[str] = field(default_factory=list[str])
    settled: list[tuple[str, Usage, Outcome, bool]] = field(default_factory=list[tuple[str, Usage, Outcome, bool]])
    full: bool = False

    async def reserve(self, model: str, request: Request) -> Entry:
        if self.full:
            raise ModelRejected("the budget is exhausted")
        self.reserved.append(model)
        return Entry(self, model)


@dataclass
class Entry:
    books: Books
    model: str

    async def settle(self, usage: Usage, outcome: Outcome, reply: Reply | None) -> None:
        await asyncio.sleep(0.001)
        self.books.settled.append((self.model, usage, outcome, reply is not None))


@dataclass
class Asked:
    """A chain over some models, with its books and the pauses it made."""

    chain: Chain
    books: Books
    pauses: list[float]


def asked(*models: Answering) -> Asked:
    books, pauses = Books(), list[float]()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    return Asked(Chain(models, books, Patience(), sleep), books, pauses)


def busy(after: float | None = None) -> ModelUnavailable:
    return ModelUnavailable("busy", after=after)


async def test_the_first_that_answers() -> None:
    it = asked(Answering("a", [None]), Answering("b", [None]))
    said: list[str] = []
    assert (await it.chain.reply(REQUEST, said.append)).text == "Hello."
    assert (it.books.reserved, it.pauses, said) == (["a"], [], ["Hel"])
    assert it.books.settled == [("a", USED, "answered", True)]


async def test_what_is_busy_is_tried_again_then_the_next() -> None:
    it = asked(Answering("a", [busy(), busy(), busy()]), Answering("b", [busy(), None]))
    assert (await it.chain.reply(REQUEST)).model == "b"
    assert it.books.reserved == ["a", "a", "a", "b", "b"]
    assert [outcome for _, _, outcome, _ in it.books.settled] == ["failed"] * 4 + ["answered"]
    assert all(usage.estimated and usage.output for _, usage, outcome, _ in it.books.settled if outcome == "failed")
    first, second, third = it.pauses
    assert 0.25 <= first <= 0.75
    assert 0.5 <= second <= 1.5
    assert 0.25 <= third <= 0.75


async def test_a_short_wait_that_was_asked_for_is_kept_and_a_long_one_is_not_waited_for() -> None:
    it = asked(Answering("a", [busy(4.0), busy(60.0)]), Answering("b", [None]))
    assert (await it.chain.reply(REQUEST)).model == "b"
    assert it.pauses == [4.0]


async def test_what_is_rejected_is_not_tried_again() -> None:
    it = asked(Answering("a", [ModelRejected("no key", "Set A_KEY.")]), Answering("b", [None]))
    assert (await it.chain.reply(REQUEST)).model == "b"
    assert it.books.reserved == ["a", "b"]


@pytest.mark.parametrize(
    ("first", "second", "expected", "after"),
    [
        ([ModelRejected("no key", "Set A_KEY.")], [ModelRejected("no such model")], ModelRejected, None),
        ([ModelRejected("no key", "Set A_KEY.")], [busy(60.0)], ModelUnavailable, 60.0),
        ([busy(90.0)], [busy(60.0)], ModelUnavailable, 60.0),
    ],
)
async def test_nobody_answers(
    first: list[ModelError | None], second: list[ModelError | None], expected: type[ModelError], after: float | None
) -> None:
    words = [error.message for error in (*first, *second) if error]
    it = asked(Answering("a", first), Answering("b", second))
    with pytest.raises(expected) as caught:
        await it.chain.reply(REQUEST)
    assert all(word in caught.value.message for word in words)
    assert getattr(caught.value, "after", None) == after
    assert it.pauses == []


async def test_too_long_is_told_at_once() -> None:
    it = asked(Answering("a", [ModelOverflow("too long")]), Answering("b", [None]))
    with pytest.raises(ModelOverflow):
        await it.chain.reply(REQUEST)
    assert it.books.reserved == ["a"]


async def test_without_a_budget_nothing_is_sent() -> None:
    it = asked(Answering("a", [None]))
    it.books.full = True
    with pytest.raises(ModelRejected, match="budget"):
        await it.chain.reply(REQUEST)
    assert it.books.settled == []


@pytest.mark.parametrize("times", [1, 2])
async def test_a_cancelled_call_is_paid_for(times: int) -> None:
    model = Answering("a", [None], hang=asyncio.Event())
    it = asked(model)
    waiting = asyncio.create_task(it.chain.reply(REQUEST))
    assert model.hang
    await model.hang.wait()
    for _ in range(times):
        waiting.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    [(name, usage, outcome, replied)] = it.books.settled
    assert (name, outcome, replied) == ("a", "stopped", False)
    assert usage.estimated
    assert usage.input > 0


async def test_a_call_that_costs_nothing_is_not_charged() -> None:
    free = ModelUnavailable("nobody is there")
    free.billed = False
    books = Books()
    chain = Chain([Answering("a", [free, None])], books, Patience(first=0.0))
    await chain.reply(REQUEST)
    assert [(usage, outcome) for _, usage, outcome, _ in books.settled] == [(Usage(), "failed"), (USED, "answered")]


def test_no_models() -> None:
    models: Sequence[Answering] = ()
    with pytest.raises(ModelRejected, match="no model"):
        asyncio.run(asked(*models).chain.reply(REQUEST))
