"""What is only one maker's, or one server's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from roles.models.connect import Provider, connect
from roles.models.openai_chat import ChatCompletionsModel
from roles.models.port import Meter, ToolCall, Usage
from state.errors import ModelOverflow
from tests.contract.chat_models import KEY, answered, asking, opened, user
from tests.services.model_wires import Answer, Json, Say, Think, event


async def test_redacted_reasoning_goes_back_too() -> None:
    async with opened("anthropic") as world:
        first = await world.ask(None, Answer(parts=(Think(proof="opaque", redacted=True), Say("Yes."))))
        await world.ask(asking(user("Begin."), answered(first), user("And?")))
        content = world.server.last.body["messages"][1]["content"]
        assert content == [{"type": "redacted_thinking", "data": "opaque"}, {"type": "text", "text": "Yes."}]


async def test_the_end_of_the_context_is_an_overflow() -> None:
    async with opened("anthropic") as world:
        with pytest.raises(ModelOverflow):
            await world.ask(None, Answer(stop="overflow"))
        assert world.meter.usage == Usage(100, 0, 0, 20)


async def test_what_is_cached_is_marked() -> None:
    async with opened("anthropic") as world:
        await world.ask()
        body = world.server.last.body
        assert body["system"][-1]["cache_control"] == body["cache_control"] == {"type": "ephemeral"}
        assert "cache_control" not in json.dumps(body["messages"])


async def test_a_token_instead_of_a_key() -> None:
    async with opened("anthropic") as world:
        provider = Provider(kind="anthropic", base_url=world.server.url, token_variable="TOKEN")
        model = connect("it/m", {"TOKEN": "a-token"}, Path(), {"it": provider})
        await model.reply(asking(), Meter(asking()))
        assert world.server.last.headers["authorization"] == "Bearer a-token"
        await model.close()


async def test_other_servers_are_not_told_of_the_organization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-ours")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-ours")
    async with opened("chat") as world:
        await world.ask()
        assert "ours" not in str(world.server.last.headers)


async def test_openai_itself_is_told_more_in_chat() -> None:
    async with opened("chat") as world:
        model = ChatCompletionsModel("openai", "m", key=KEY, base_url=f"{world.server.url}/v1", openai=True)
        await model.reply(asking(conversation="c" * 100), Meter(asking()))
        body = world.server.last.body
        assert (body["max_completion_tokens"], body["store"], body["prompt_cache_key"]) == (8192, False, "c" * 64)
        assert "max_tokens" not in body
        await model.close()


ODD_CALLS: list[tuple[list[Json], list[tuple[str, Json]]]] = [
    (
        [{"index": 0, "id": "a", "function": {"name": "x", "arguments": "{}"}},
         {"index": 0, "id": "b", "function": {"name": "y", "arguments": {"k": 1}}}],
        [("x", {}), ("y", {"k": 1})],
    ),
    ([{"id": "a", "function": {"name": "x", "arguments": None}}], [("x", {})]),
    (
        [{"index": 0, "id": "", "function": {"name": "x"}}, {"index": 1, "function": {"name": "y", "arguments": ""}}],
        [("x", {}), ("y", {})],
    ),
    (
        [{"index": 0, "id": "a", "function": {"name": "x", "arguments": '{"k"'}},
         {"index": 0, "id": "a", "function": {"name": "x", "arguments": ": 1}"}}],
        [("x", {"k": 1})],
    ),
    (
        [{"id": "a", "function": {"name": "x", "arguments": "{"}}, {"function": {"arguments": "}"}},
         {"id": "b", "function": {"name": "y", "arguments": ""}}, {"function": {"arguments": '{"k": 2}'}}],
        [("x", {}), ("y", {"k": 2})],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("calls", "wanted"), ODD_CALLS)
async def test_servers_that_speak_chat_in_their_own_way(calls: list[Json], wanted: list[tuple[str, Json]]) -> None:
    chunks: list[Json] = [{"choices": [{"delta": {"tool_calls": [call], "content": None}}]} for call in calls]
    used = {"prompt_tokens": 5, "completion_tokens": 2}
    chunks.append({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": used})
    async with opened("chat") as world:
        reply = await world.ask(None, Answer(body=b"".join(event(chunk) for chunk in chunks)))
    assert reply.stop == "tools"
    assert [(call.name, call.arguments) for call in reply.calls] == wanted
    assert all(call.id for call in reply.calls)
    assert reply.usage == Usage(5, output=2)


async def test_a_call_that_comes_in_one_piece() -> None:
    block = {"type": "tool_use", "id": "a", "name": "x", "input": {"k": 1}}
    told: list[Json] = [
        {"type": "message_start", "message": {"model": "m", "usage": None}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "a_new_kind_of_event", "index": "first", "delta": 7, "usage": []},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "a_new_kind_of_block"}},
        {"type": "message_delta", "delta": {"stop_reason": "a_new_reason"}},
    ]
    async with opened("anthropic") as world:
        reply = await world.ask(None, Answer(body=b"".join(event(each, str(each["type"])) for each in told)))
    assert reply.calls == [ToolCall("a", "x", {"k": 1})]
    assert reply.usage.estimated


async def test_phases_of_a_reply_go_back() -> None:
    content = [{"type": "output_text", "text": "I look."}]
    item = {"type": "message", "role": "assistant", "phase": "commentary", "content": content}
    told: list[Json] = [
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.something.new", "delta": {"of": "a new shape"}, "item": 7},
        {"type": "response.completed", "response": {"model": "m"}},
    ]
    async with opened("responses") as world:
        first = await world.ask(None, Answer(body=b"".join(event(each) for each in told)))
        await world.ask(asking(user("Begin."), answered(first), user("And?")))
        sent: list[dict[str, Any]] = world.server.last.body["input"]
    assert sent[1] == {"role": "assistant", "content": "I look.", "phase": "commentary"}
