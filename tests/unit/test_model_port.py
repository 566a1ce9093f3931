"""What every model's conversation and account come to, without any model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roles.models import turns as turns_module
from roles.models.calls import CallReader, safe_id, safe_name, sent_arguments
from roles.models.failures import Complaint, Source, refusal, retry_after
from roles.models.port import Block, Kept, Message, Meter, Reply, Request, Text, ToolCall, ToolResult, ToolSpec, Usage
from roles.models.replies import finished
from roles.models.turns import turns
from state.errors import ModelOverflow, ModelRejected, ModelUnavailable

HELLO = Message("user", [Text("Hello?")])
REQUEST = Request("Be brief.", [HELLO])
SOURCE = Source("maker", "model", "maker.example", "MAKER_KEY", "sk-secret")


def test_a_meter_costs_nothing_before_it_was_sent() -> None:
    assert Meter(REQUEST).usage == Usage(), "which is no estimate: nothing is withheld for it"


def test_a_meter_estimates_until_it_is_told() -> None:
    said: list[str] = []
    meter = Meter(REQUEST, said.append)
    meter.sent()
    assert 0 < meter.usage.input <= REQUEST.input_bytes()
    meter.heard("0123456789")
    meter.heard("silent", aloud=False)
    assert said == ["0123456789"]
    assert meter.usage.output == 6
    assert meter.usage.estimated
    meter.told(Usage(input=7, cached=8, written=9, output=1), final=False)
    assert meter.usage == Usage(7, 8, 9, 6, estimated=True)
    meter.told(Usage(input=7, cached=8, written=9, output=30), final=True)
    assert meter.usage == Usage(7, 8, 9, 30)


def test_a_request_is_no_larger_than_it_says() -> None:
    tool = ToolSpec("look", "Looks ä.", {"type": "object"})
    call = ToolCall("call_1", "look", {"at": "☂"})
    kept = Kept("maker", {"signature": "x" * 100})
    result = ToolResult("call_1", "\ud800 half")
    request = Request("S", [HELLO, Message("assistant", [Text("a"), kept, call]), Message("user", [result])], [tool])
    assert request.input_bytes() > len(json.dumps([tool.description, dict(kept.data), dict(call.arguments)]))
    assert Request("S", []).input_bytes() < REQUEST.input_bytes() < request.input_bytes()


def test_the_parts_of_a_reply() -> None:
    call = ToolCall("1", "look")
    reply = Reply([Text("a"), call, Text("b")], "tools", Usage(), "m")
    assert (reply.text, reply.calls) == ("ab", [call])


@pytest.mark.parametrize(
    ("messages", "wanted"),
    [
        ([HELLO], [("user", [Text("Hello?")])]),
        ([HELLO, HELLO], [("user", [Text("Hello?"), Text("Hello?")])]),
        ([Message("user", [Text(" \n")])], [("user", [Text("(nothing)")])]),
        ([HELLO, Message("assistant", [Text("")]), HELLO], [("user", [Text("Hello?"), Text("Hello?")])]),
        (
            [Message("assistant", [Text("Yes")]), HELLO],
            [("user", [Text("(nothing)")]), ("assistant", [Text("Yes")]), ("user", [Text("Hello?")])],
        ),
        ([Message("user", [Text("a"), ToolResult("1", "b")])], [("user", [ToolResult("1", "b"), Text("a")])]),
        ([Message("user", [Text("half \ud83d")])], [("user", [Text("half ?")])]),
        ([HELLO, Message("assistant", [Kept("maker", {})]), HELLO], [("user", [Text("Hello?"), Text("Hello?")])]),
        (
            [HELLO, Message("assistant", [Kept("other", {}), Kept("maker", {"a": 1}), Text("Yes")]), HELLO],
            [("user", [Text("Hello?")]), ("assistant", [Kept("maker", {"a": 1}), Text("Yes")]),
             ("user", [Text("Hello?")])],
        ),
    ],
)  # fmt: skip
def test_turns(messages: list[Message], wanted: list[tuple[str, list[Block]]]) -> None:
    assert [(turn.role, list(turn.blocks)) for turn in turns(messages, "maker")] == wanted


@pytest.mark.parametrize("messages", [[], [HELLO, Message("assistant", [Text("Yes")])], [Message("assistant", [])]])
def test_it_must_be_the_models_turn(messages: list[Message]) -> None:
    with pytest.raises(ModelRejected, match="does not end with the user"):
        turns(messages, "maker")


@given(st.text())
def test_ids_and_names_that_all_makers_take(text: str) -> None:
    for safe in (safe_id(text), safe_name(text)):
        assert safe.isascii()
        assert safe.replace("-", "_").replace("_", "a").isalnum()
    assert safe_id(safe_id(text)) == safe_id(text)
    assert len(safe_id(text)) <= 40
    assert len(safe_name(text)) <= 64


def test_different_ids_stay_different() -> None:
    ids = ["a.b", "a:b", "a/b", "", " ", "ä", "x" * 41, "x" * 42]
    assert len({safe_id(id) for id in ids}) == len(ids)


def reader(*ids: str) -> CallReader:
    fresh = iter(("fresh_1", "fresh_2"))
    return CallReader([Message("assistant", [ToolCall(id, "x") for id in ids])], lambda: next(fresh))


@pytest.mark.parametrize(
    ("written", "arguments"),
    [("", {}), ("{}", {}), (' {"a": [1, {"b": null}]} ', {"a": [1, {"b": None}]}), ({"a": 1}, {"a": 1})],
)
def test_arguments_that_can_be_read(written: str | dict[str, Any], arguments: dict[str, Any]) -> None:
    call = reader().read("1", "x", written)
    assert (call.arguments, call.unreadable) == (arguments, None)
    assert sent_arguments(call) == arguments


@pytest.mark.parametrize("written", ["[", "[]", "1", '"a"', "null", "{'a': 1}", '{"a": Infinity}', "[" * 100_000])
def test_arguments_that_cannot(written: str) -> None:
    call = reader().read("1", "x", written)
    assert (call.arguments, call.unreadable) == ({}, written)
    assert sent_arguments(call) == {"unreadable": written}


def test_halves_of_surrogate_pairs_are_not_sent() -> None:
    call = reader().read("1", "x", '{"a": "\\ud83d"}')
    assert sent_arguments(call) == {"a": "?"}
    assert sent_arguments(ToolCall("1", "x", unreadable="\ud83d")) == {"unreadable": "?"}


def test_ids_are_given_once() -> None:
    calls = reader("old")
    assert [calls.read(id, "x", "").id for id in ("new", "old", "new", "other")] == [
        "new",
        "fresh_1",
        "fresh_2",
        "other",
    ]
    assert reader().read("", "x", "").id == "fresh_1"


def test_finished_replies() -> None:
    meter, call, kept = Meter(REQUEST), ToolCall("1", "x"), Kept("maker", {})
    assert finished(SOURCE, [call], "end", meter, "m").stop == "tools"
    assert finished(SOURCE, [call], "length", meter, "m").stop == "tools"
    assert finished(SOURCE, [Text("a")], "tools", meter, "m").stop == "end"
    assert finished(SOURCE, [call], "refused", meter, "m").blocks == ()
    assert finished(SOURCE, [kept], "length", meter, "m").blocks == (kept,)
    for blocks in ([], [kept]):
        with pytest.raises(ModelUnavailable, match="maker/model: its reply is empty"):
            finished(SOURCE, blocks, "end", meter, "m")


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_complaint_is_understood(body: Any) -> None:
    complaint = Complaint.of(body)
    for status in (None, 400, 429, 500):
        error = refusal(SOURCE, REQUEST, complaint, status)
        assert error.message.startswith("maker/model: ")
        assert error.message.isprintable()
        assert len(error.message) < 400


@pytest.mark.parametrize("text", ["a context of maximum length was not asked for", "rate limit reached, try again"])
def test_what_is_not_too_long(text: str) -> None:
    assert not isinstance(refusal(SOURCE, REQUEST, Complaint(text), 400), ModelOverflow)


def test_a_rate_limit_is_no_overflow() -> None:
    complaint = Complaint("Please reduce the length of the messages: tokens per minute")
    assert isinstance(refusal(SOURCE, REQUEST, complaint, 429), ModelUnavailable)


def test_reasoning_of_another_conversation_is_explained() -> None:
    complaint = Complaint("messages.1: the block is bound to a different conversation", frozenset())
    assert "leave it out" in refusal(SOURCE, REQUEST, complaint, 400).hint


def test_no_wait_is_asked_for() -> None:
    assert retry_after({}) is None
    assert retry_after({"retry-after": ""}) is None
    assert retry_after({"retry-after": "Wed, 99 Foo 2015"}) is None


def test_the_secret_of_a_source_is_not_shown() -> None:
    assert "sk-secret" not in repr(SOURCE)
    assert "sk-secret" not in refusal(SOURCE, REQUEST, Complaint("bad key sk-secret"), 500).message


def test_no_code_names_a_model() -> None:
    for path in Path(turns_module.__file__).parent.glob("*.py"):
        assert not re.search(r"claude|gpt-|\bo\d-|sonnet|haiku|llama-\d", path.read_text(), re.IGNORECASE), path
