"""What must hold outside of the rows: of what commands did, of files, of bills, of what is left running."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from roles.models.port import Usage
from roles.models.prices import load_prices
from tests.chaos.fleet.aftermath import Aftermath, Row, grouped
from tests.chaos.fleet.effects import INSIDE
from tests.chaos.fleet.invariants import STATE, Invariant

_NANO = 1_000_000_000


def worked_by_claims(world: Aftermath) -> Iterator[str]:
    """Nothing was done but under a claim, once for each; and what is completed was done from beginning to end."""
    claims = {(row["todo_id"], row["fence"]): row for row in world.attempts}
    steps: dict[tuple[str, int], set[str]] = defaultdict(set)
    for effect in world.effects:
        steps[effect.todo, effect.fence].add(effect.what)
    for effect, times in Counter(effect for effect in world.effects if effect.what != "tool").items():
        what, todo, fence = effect.what, effect.todo, effect.fence
        if (todo, fence) not in claims:
            yield f"{world.name(todo)}: {what} under fence {fence}, which nobody has claimed"
        if times > 1:
            yield f"{world.name(todo)}: {what} {times} times under fence {fence}"
    for row in world.todos:
        won = world.winner(row["id"])
        tells = row["kind"] == "task" and not row["key"].startswith(INSIDE)
        if tells and won is not None and {"start", "end"} - steps[row["id"], won]:
            yield f"{world.name(row['id'])} is completed, and was not carried out under its fence {won}"


def winners_published(world: Aftermath) -> Iterator[str]:
    """Where people look lies what the winner made, and nothing of anybody else; who read it has read the same."""
    wanted: dict[str, str] = {}
    for row in world.artifacts:
        won = world.winner(row["todo_id"])
        ended = any(a["fence"] == row["fence"] and a["outcome"] == "failed" for a in world.attempts_of[row["todo_id"]])
        if row["fence"] != won and not (won is None and ended):
            yield f"{world.name(row['todo_id'])}: {row['remote']} is of fence {row['fence']}, and {won} won"
        if row["published_at"] is None:
            yield f"{world.name(row['todo_id'])}: {row['remote']} is not published"
        wanted[row["remote"]] = f"{row['todo_id']}-{row['fence']}"
    for url, content in world.published.items():
        if url not in wanted:
            yield f"{url} is published by nobody; in it is {content.strip()!r}"
        elif content.strip() != wanted[url]:
            yield f"{url} is of {content.strip()!r}, and {wanted[url]!r} won"
    yield from (f"{url} is missing" for url in wanted.keys() - world.published.keys())
    made = set(wanted.values())
    for effect in world.effects:
        if effect.what == "read" and effect.more not in made:
            yield f"{world.name(effect.todo)} has read what {effect.more} made, which did not win"


def answers_booked(world: Aftermath) -> Iterator[str]:
    """Each answer in the ledger is one that the model server has sent to its end, with the same tokens and the right
    price; no answer is booked twice."""
    sent = Counter((each.input, each.cached, each.written, each.output) for each in world.billed if each.whole)
    prices = load_prices()
    for row in world.calls:
        if row["state"] != "answered":
            continue
        tokens = (row["input"], row["cached"], row["written"], row["output"])
        if not sent[tokens]:
            yield f"call {row['id']} of {world.name(row['todo_id'])}: {tokens} were booked, and no such answer was sent"
        sent[tokens] -= 1
        price = prices.of(row["model"])
        if price and row["nano"] != price.cost(Usage(*tokens)) * _NANO:
            yield f"call {row['id']}: {row['nano']} were booked for {tokens}"


def nothing_unbooked(world: Aftermath) -> Iterator[str]:
    """No request without a reservation; what the server has counted is booked or withheld; nothing is in flight."""
    if len(world.billed) > len(world.calls):
        yield f"{len(world.billed)} requests were answered, {len(world.calls)} were reserved"
    yield from (f"call {row['id']} is reserved still" for row in world.calls if row["state"] == "reserved")
    counted = sum(each.tokens for each in world.billed)
    covered = sum(row["tokens"] + row["tokens_withheld"] for row in world.budgets)
    if counted > covered:
        yield f"{counted} tokens were used, {covered} are booked or withheld"
    if all(row["state"] == "answered" for row in world.calls):
        booked = sum(row["tokens"] for row in world.budgets)
        if booked != counted:
            yield f"no call was lost; {counted} tokens were used, and {booked} are booked"
    again = sum(times - 1 for times in Counter(each.raw for each in world.billed).values())
    if again > (lost := sum(row["state"] != "answered" for row in world.calls)):
        yield f"{again} requests were sent again, and {lost} were lost"


def budgets_add_up(world: Aftermath) -> Iterator[str]:
    """A run's budget is the sum of its calls."""
    calls = grouped(world.calls, "run_id")
    for row in world.budgets:
        own = calls[row["run_id"]]
        guessed = [each for each in own if each["estimated"]]
        wanted = {
            "tokens": sum(_tokens(each) for each in own), "cached": sum(each["cached"] for each in own),
            "nano": sum(each["nano"] for each in own), "calls": len(own), "tokens_held": 0, "nano_held": 0,
            "tokens_withheld": sum(max(0, each["reserved_tokens"] - _tokens(each)) for each in guessed),
            "nano_withheld": sum(max(0, each["reserved_nano"] - each["nano"]) for each in guessed),
        }  # fmt: skip
        wrong = {name: (row[name], value) for name, value in wanted.items() if row[name] != value}
        if wrong:
            yield f"budget of {world.run[row['run_id']]['name']}: (is, should be) {wrong}"


def replies_kept(world: Aftermath) -> Iterator[str]:
    """A reply in a conversation is of an answered call, each call's once; what a completed TODO's calls were answered
    is in its conversations."""
    answered = {row["id"]: row for row in world.calls if row["state"] == "answered"}
    kept = Counter(row["call_id"] for row in world.messages)
    yield from (f"call {id}: its reply is there {times} times" for id, times in kept.items() if times > 1)
    yield from (f"call {id}: a reply, and it was not answered" for id in kept if id not in answered)
    for id, row in answered.items():
        if not kept[id] and row["fence"] == world.winner(row["todo_id"]):
            yield f"call {id} of {world.name(row['todo_id'])} was answered, and its reply is gone"


def nothing_left(world: Aftermath) -> Iterator[str]:
    """No process, no container, no scratch directory."""
    yield from (f"left over: {what}" for what in world.left)


def nobody_broke(world: Aftermath) -> Iterator[str]:
    """No worker met anything that it did not expect."""
    yield from world.broken


def late_starts(world: Aftermath) -> int:
    """Commands that were started after another claim's had been: wasted work, which a fence makes harmless to Atlas."""
    newest: dict[str, int] = {}
    late = 0
    for effect in world.effects:
        if effect.what == "start":
            late += effect.fence < newest.get(effect.todo, 0)
            newest[effect.todo] = max(effect.fence, newest.get(effect.todo, 0))
    return late


def _tokens(row: Row) -> int:
    return row["input"] + row["cached"] + row["written"] + row["output"]


ALL: tuple[Invariant, ...] = (
    *STATE, worked_by_claims, winners_published, answers_booked, nothing_unbooked, budgets_add_up,
    replies_kept, nothing_left, nobody_broke,
)  # fmt: skip


def violations(world: Aftermath) -> list[str]:
    """Of all invariants; each begins with its name."""
    return [f"{invariant.__name__}: {what}" for invariant in ALL for what in invariant(world)]
