"""Whatever conversation there was, with whatever model: every maker takes it on."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roles.models.port import Block, Kept, Message, Text, ToolCall, ToolResult
from roles.models.turns import turns
from tests.contract.chat_models import WIRES, World, asking, opened
from tests.services.model_rules import broken_rule
from tests.services.model_wires import Json, Wire

WORDS = st.one_of(st.text(max_size=12), st.sampled_from(["", " ", "\n\t", "\ud83d half", "nul \x00", "Ümläut ☂"]))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=4,
)
KEPT: dict[str, dict[str, Any]] = {
    "anthropic": {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
    "responses": {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "c2ln"},
    "somebody": {"thought": "foreign"},
}


@st.composite
def said(draw: st.DrawFn, number: int) -> list[Block]:
    """A turn of some assistant; ids are its own in a conversation, whatever is in them."""
    blocks: list[Block] = []
    for at in range(draw(st.integers(0, 4))):
        match draw(st.sampled_from(["text", "kept", "call", "unreadable"])):
            case "text":
                blocks.append(Text(draw(WORDS)))
            case "kept":
                maker = draw(st.sampled_from(sorted(KEPT)))
                blocks.append(Kept(maker, KEPT[maker]))
            case "call":
                arguments = draw(st.dictionaries(WORDS, JSON, max_size=2))
                blocks.append(ToolCall(draw(WORDS) + f"/{number}.{at}", draw(WORDS), arguments))
            case _:
                blocks.append(ToolCall(f"call_{number}_{at}", "read_file", unreadable=draw(WORDS)))
    return blocks


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """Turns of both, in one message or several, every call answered before anything else is asked."""
    messages: list[Message] = []
    for number in range(draw(st.integers(0, 4))):
        blocks = draw(said(number))
        at = draw(st.integers(0, len(blocks)))
        messages += [Message("user", draw(st.lists(WORDS.map(Text), max_size=2)))] if not number else []
        messages += [Message("assistant", blocks[:at]), Message("assistant", blocks[at:])]
        results = [
            ToolResult(call.id, draw(WORDS), draw(st.booleans())) for call in blocks if isinstance(call, ToolCall)
        ]
        answers: list[Block] = [*results, *draw(st.lists(WORDS.map(Text), max_size=2))]
        answers = draw(st.permutations(answers))
        at = draw(st.integers(0, len(answers)))
        messages += [Message("user", answers[:at]), Message("user", answers[at:])]
    return messages or [Message("user", draw(st.lists(WORDS.map(Text), max_size=2)))]


@pytest_asyncio.fixture(params=WIRES)
async def world(request: pytest.FixtureRequest) -> AsyncGenerator[World]:
    async with opened(request.param) as world:
        yield world


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(messages=conversations(), system=WORDS)
async def test_any_conversation_is_taken(world: World, messages: list[Message], system: str) -> None:
    reply = await world.ask(asking(*messages, system=system))
    assert reply.text == "Hello there."
    assert world.server.last.refused is None


@given(conversations(), st.sampled_from(WIRES))
def test_a_longer_conversation_begins_as_the_shorter(messages: list[Message], maker: str) -> None:
    shorter = turns(messages, maker)
    longer = turns([*messages, Message("assistant", [Text("So.")]), Message("user", [Text("And?")])], maker)
    assert longer[: len(shorter)] == shorter


def asked(*turns: Json, **more: Any) -> Json:
    return {"model": "m", "max_tokens": 1, "messages": list(turns), **more}


USER: Json = {"role": "user", "content": [{"type": "text", "text": "Hello?"}]}
CALL: Json = {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "x", "input": {}}]}
RESULT: Json = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1"}]}
PLAIN: Json = {"role": "user", "content": "Hello?"}
CALLS: Json = {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "x", "arguments": "{}"}}]}
OUTPUT: Json = {"type": "function_call_output", "call_id": "1", "output": ""}


@pytest.mark.parametrize(
    ("wire", "body", "rule"),
    [
        ("anthropic", asked(USER), None),
        ("anthropic", asked(USER, CALL, RESULT), None),
        ("anthropic", asked(), "messages: Field required"),
        ("anthropic", asked(USER, temperature=0), "temperature: Extra inputs"),
        ("anthropic", asked(USER, USER), "roles must alternate"),
        ("anthropic", asked(USER, CALL), "beginning of its reply"),
        ("anthropic", asked(USER, CALL, USER), "tool_use without tool_result"),
        ("anthropic", asked(RESULT), "tool_use without tool_result"),
        ("anthropic", asked({"role": "user", "content": [{"type": "text", "text": " "}]}), "non-whitespace"),
        ("chat", asked(PLAIN), None),
        ("chat", asked(PLAIN, CALLS, {"role": "tool", "tool_call_id": "1", "content": ""}), None),
        ("chat", asked(PLAIN, PLAIN), "must alternate"),
        ("chat", asked(PLAIN, CALLS, PLAIN), "are not answered"),
        ("chat", asked(PLAIN, CALLS), "the last message"),
        ("chat", asked({"role": "user", "content": ""}), "must not be empty"),
        ("responses", {"model": "m", "input": [PLAIN], "store": False}, None),
        ("responses", {"model": "m", "input": [PLAIN]}, "stores nothing"),
        ("responses", {"model": "m", "input": [PLAIN, OUTPUT], "store": False}, "No tool call found"),
        ("responses", {"model": "m", "input": [PLAIN, KEPT["responses"], PLAIN], "store": False}, "following item"),
    ],
)
def test_the_server_has_rules(wire: Wire, body: Json, rule: str | None) -> None:
    broken = broken_rule(wire, body)
    assert (broken is None) if rule is None else (broken is not None and rule in broken)
