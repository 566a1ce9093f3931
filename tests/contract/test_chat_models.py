"""The `ChatModel` contract, over every adapter: what is said, called, kept, counted, cancelled."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from roles.models.connect import connect
from roles.models.port import ChatModel, Kept, Message, Meter, Text, ToolCall, ToolResult, ToolSpec, Usage
from state.errors import ModelRejected, ModelUnavailable
from tests.contract.chat_models import (
    KEY,
    WIRES,
    World,
    answered,
    asking,
    conversation,
    opened,
    results,
    scripted,
    user,
)
from tests.services.model_wires import Answer, Billed, Call, Say, Think

LONG = Answer(parts=(Think("Hm. " * 20), Say("word " * 200)))
THOUGHTFUL = Answer(
    parts=(Think("I ought to look."), Say("I look."), Call("read_file", '{"path": "ä.py"}', "call_a"),
           Call("read_file", '{"path": "b.py"}', "call_b")),
)  # fmt: skip


@pytest_asyncio.fixture(params=WIRES)
async def world(request: pytest.FixtureRequest) -> AsyncGenerator[World]:
    async with opened(request.param) as world:
        yield world


async def test_words_come_in_pieces(world: World) -> None:
    reply = await world.ask()
    assert reply.text == "Hello there."
    assert [text for text in world.heard if text] == ["Hell", "o th", "ere."]
    assert (reply.stop, reply.model) == ("end", "some-model")
    assert reply.usage == world.meter.usage == Usage(100, 0, 0, 20)


async def test_calls_of_tools(world: World) -> None:
    reply = await world.ask(None, THOUGHTFUL)
    assert reply.stop == "tools"
    assert reply.calls == [
        ToolCall("call_a", "read_file", {"path": "ä.py"}), ToolCall("call_b", "read_file", {"path": "b.py"}),
    ]  # fmt: skip
    assert "".join(world.heard) == reply.text == "I look."


async def test_a_script_does_the_same(tmp_path: Path) -> None:
    model = scripted(tmp_path, THOUGHTFUL, Answer())
    heard: list[str] = []
    first = await model.reply(asking(), meter := Meter(asking(), heard.append))
    assert (first.text, first.stop, "".join(heard)) == ("I look.", "tools", "I look.")
    assert [call.arguments for call in first.calls] == [{"path": "ä.py"}, {"path": "b.py"}]
    assert first.usage == meter.usage == Usage(100, 0, 0, 20)
    second = await model.reply(asking(*conversation([first])), Meter(asking()))
    assert (second.text, second.stop) == ("Hello there.", "end")
    await model.close()


async def test_what_was_cached_or_written_is_no_other_input(world: World) -> None:
    reply = await world.ask(None, Answer(usage=Billed(input=7, cached=1000, written=50, output=3)))
    assert reply.usage == Usage(input=7, cached=1000, written=50, output=3)


async def test_usage_that_is_not_told_is_estimated(world: World) -> None:
    reply = await world.ask(None, Answer(usage=None))
    assert reply.usage.estimated
    assert reply.usage.input > len("Hello?") // 3
    assert reply.usage.output >= len(reply.text) // 4


async def test_reasoning_goes_back_to_its_maker_as_it_was(world: World) -> None:
    first = await world.ask(None, THOUGHTFUL)
    kept = [block for block in first.blocks if isinstance(block, Kept)]
    foreign = Kept("somebody", {"type": "secret-thought"})
    turns = [user("Begin."), Message("assistant", [foreign, *first.blocks]), user(*results(first))]
    await world.ask(asking(*turns))
    assert b"secret-thought" not in world.server.last.raw
    if world.wire == "chat":
        assert not kept
        return
    body = world.server.last.body
    sent = body["messages"][1]["content"] if world.wire == "anthropic" else body["input"][1:]
    assert [dict(block.data) for block in kept] == sent[:1]


@pytest.mark.parametrize(
    "written", ['{"path": ', "[1]", '"path"', "null", '{"a": NaN}', "x", "[" * 3000, '{"a": ' + "1" * 5000 + "}"]
)
async def test_arguments_that_are_no_object_are_told_and_can_go_back(world: World, written: str) -> None:
    first = await world.ask(None, Answer(parts=(Call("read_file", written),), chunk=1000))
    assert first.stop == "tools"
    assert first.calls[0].unreadable == written
    reply = await world.ask(asking(user("Begin."), answered(first), user(ToolResult("call_1", "what?", failed=True))))
    assert reply.stop == "end"


async def test_a_call_that_was_cut_off_is_not_carried_out(world: World) -> None:
    reply = await world.ask(None, Answer(parts=(Say("I do."), Call("drop", "{}")), stop="length"))
    assert reply.stop == "tools"
    assert reply.calls[0].unreadable == "{}"


async def test_ids_are_unique_over_a_conversation(world: World) -> None:
    same = Answer(
        parts=(Call("read_file", "{}", "same"), Call("read_file", "{}", "same" if world.wire != "chat" else ""))
    )
    first = await world.ask(None, same)
    second = await world.ask(asking(*conversation([first])), same)
    ids = [call.id for reply in (first, second) for call in reply.calls]
    assert len(set(ids)) == 4
    await world.ask(asking(*conversation([first, second])))


@pytest.mark.parametrize(("told", "stop"), [("length", "length"), ("refused", "refused"), ("end", "end")])
async def test_why_it_ended(world: World, told: str, stop: str) -> None:
    reply = await world.ask(None, Answer(stop=told))  # pyright: ignore[reportArgumentType]
    assert (reply.stop, reply.text) == (stop, "Hello there.")


async def test_what_was_refused_calls_nothing(world: World) -> None:
    reply = await world.ask(None, Answer(parts=(Say("No."), Call("drop")), stop="refused"))
    assert (reply.stop, reply.calls) == ("refused", [])


@pytest.mark.parametrize("parts", [(), (Say(""),), (Think(),)])
async def test_an_empty_reply_is_none(world: World, parts: tuple[Think, ...]) -> None:
    with pytest.raises(ModelUnavailable, match="empty"):
        await world.ask(None, Answer(parts=parts))
    assert world.meter.usage == Usage(100, 0, 0, 20)


@pytest.mark.parametrize("effort", [None, "low", "high"])
async def test_effort_is_only_sent_if_given(world: World, effort: str | None) -> None:
    await world.ask(asking(effort=effort))
    body = world.server.last.body
    sent = {
        "anthropic": body.get("output_config", {}).get("effort"),
        "chat": body.get("reasoning_effort"),
        "responses": body.get("reasoning", {}).get("effort"),
    }
    assert sent[world.wire] == effort


async def test_a_longer_conversation_begins_as_the_shorter_did(world: World) -> None:
    unreadable = Answer(parts=(Think(), Call("read_file", '{"path": ', "call_x")))
    replies = [await world.ask(asking(user("Begin."), conversation="c1"), THOUGHTFUL)]
    for answer in (unreadable, Answer(parts=(Think("So."), Say("Done  ☂"))), Answer()):
        replies.append(await world.ask(asking(*conversation(replies), conversation="c1"), answer))
    first, *later = (_prompt(world, asked.body, asked.raw) for asked in world.server.asked)
    for longer in later:
        assert longer.startswith(first)
        first = longer
    marks = [asked.body.get("prompt_cache_key") for asked in world.server.asked]
    assert set(marks) == ({"c1"} if world.wire == "responses" else {None})


def _prompt(world: World, body: dict[str, object], raw: bytes) -> bytes:
    """Tools, system and messages, each as it was sent."""
    fields = {"anthropic": ("tools", "system", "messages"), "chat": ("tools", "messages")}
    found = b""
    for name in fields.get(world.wire, ("tools", "instructions", "input")):
        sent = json.dumps(body[name], ensure_ascii=False, separators=(",", ":")).encode()
        assert sent in raw
        found += sent
    return found.removesuffix(b"]")


@pytest.mark.parametrize("held", [-1, 0, 2, 30, 100])
async def test_cancelling_closes_the_connection_at_once(world: World, held: int) -> None:
    task = world.start(asking(), Answer(parts=LONG.parts, hold_after=held))
    asked = await world.begun(1)
    assert await asyncio.to_thread(asked.holding.wait, 5)
    await world.caught_up(asked)
    before = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(asked.closed.wait, 5)
    print(f"{world.wire}: closed {1000 * (asked.closed_at - before):.1f} ms after the cancel")  # noqa: T201
    assert asked.closed_at - before < 1
    assert world.meter.usage.estimated
    assert world.meter.usage.input > 0
    if world.wire == "anthropic" and held > 0:
        assert world.meter.usage.input == 100  # told at the start
    assert world.meter.usage.output >= asked.billed
    assert (await world.ask()).text == "Hello there."


async def test_what_json_cannot_say_is_refused(world: World) -> None:
    tool = ToolSpec("odd", "Odd.", {"type": "object", "maximum": float("nan")})
    with pytest.raises(ModelRejected, match="can't be written as JSON"):
        await world.ask(asking(tools=[tool]))
    assert not world.server.asked


async def test_cancelling_at_any_moment(world: World) -> None:
    for moment in range(40):
        task = world.start(asking(), Answer(parts=LONG.parts, delay=0.001))
        for _ in range(moment * 3):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        # what never began costs nothing
        assert world.meter.usage.estimated == (moment > 0)
    assert not [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert world.server.asked
    for asked in world.server.asked:
        assert await asyncio.to_thread(asked.closed.wait, 5)


async def test_connections_are_used_again(world: World) -> None:
    for _ in range(3):
        await world.ask()
    assert {asked.connection for asked in world.server.asked} == {1}


async def test_requests_at_once_do_not_mix(world: World) -> None:
    world.server.otherwise = Answer(parts=(Say("x" * 400),), delay=0.001)

    async def one() -> str:
        return (await world.model.reply(asking(), Meter(asking()))).text

    assert set(await asyncio.gather(*(one() for _ in range(8)))) == {"x" * 400}


async def test_how_the_key_is_sent(world: World) -> None:
    await world.ask()
    assert world.server.last.headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(world.model) + repr(vars(world.model))


async def test_a_script_can_be_cancelled(tmp_path: Path) -> None:
    (tmp_path / "slow.json").write_text('[{"text": "late", "delay": 60}]')
    model: ChatModel = connect("scripted/slow.json", {}, tmp_path)
    meter = Meter(asking())
    task = asyncio.create_task(model.reply(asking(timeout=120, idle=120), meter))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert meter.usage.estimated
    assert meter.usage.input > 0


def test_kept_blocks_are_plain_data() -> None:
    kept = Kept("anthropic", {"type": "thinking"})
    assert json.loads(json.dumps(dict(kept.data))) == kept.data
    assert Text("a") != kept
