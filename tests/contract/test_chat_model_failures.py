"""The `ChatModel` contract when things go wrong, over every adapter that asks a server: one family of errors, one
request for each reply, an account of what it cost, and neither keys nor requests in what is told."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from roles.models.connect import connect
from roles.models.port import Meter
from state.errors import ModelError, ModelOverflow, ModelRejected, ModelUnavailable
from tests.contract.chat_models import KEY, SYSTEM, WIRES, World, asking, opened, providers, user
from tests.services.model_wires import Answer, Call, Say, Think, pieces
from tests.services.ports import free_port

MANY = Answer(parts=(Think("Hm. " * 5), Say("word " * 20), Call("read_file", '{"path": "a.py"}')))


@pytest_asyncio.fixture(params=WIRES)
async def world(request: pytest.FixtureRequest) -> AsyncGenerator[World]:
    async with opened(request.param) as world:
        yield world


@pytest.mark.parametrize(
    ("status", "error"),
    [(status, ModelUnavailable) for status in (408, 409, 429, 500, 502, 503, 504, 520, 529)]
    + [(status, ModelRejected) for status in (400, 401, 402, 403, 404, 405, 422)]
    + [(413, ModelOverflow)],
)
async def test_statuses(world: World, status: int, error: type[ModelError]) -> None:
    with pytest.raises(error) as caught:
        await world.ask(
            None, Answer(status=status, error={"type": "some_error", "message": "Something\nis \x1b[31mup"})
        )
    assert type(caught.value) is error
    assert caught.value.message.startswith(f"{world.wire}/some-model: ")
    assert caught.value.message.isprintable()
    assert caught.value.hint
    assert len(world.server.asked) == 1
    assert caught.value.billed == (status in (502, 504, 520)), "an answer may have been made before these"


@pytest.mark.parametrize(
    ("headers", "low", "high"),
    [
        ({"retry-after": "7"}, 7, 7),
        ({"retry-after": "0.5"}, 0.5, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5, 1.5),
        ({"retry-after": format_datetime(datetime.now(UTC) + timedelta(days=2), usegmt=True)}, 86_400, 172_800),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
        ({"retry-after": "-3"}, 0, 0),
    ],
)
async def test_how_long_the_maker_asks_to_wait(world: World, headers: dict[str, str], low: float, high: float) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await world.ask(None, Answer(status=429, headers=headers))
    assert caught.value.after is not None
    assert low <= caught.value.after <= high


@pytest.mark.parametrize("headers", [{}, {"retry-after": "soon"}, {"retry-after": "nan"}, {"retry-after": "inf"}])
async def test_a_wait_that_is_none(world: World, headers: dict[str, str]) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        await world.ask(None, Answer(status=529, headers=headers))
    assert caught.value.after is None


TOO_LONG: list[tuple[int, dict[str, Any]]] = [
    (400, {"type": "invalid_request_error", "message": "prompt is too long: 208310 tokens > 200000 maximum"}),
    (
        400,
        {"type": "invalid_request_error", "message": "input length and `max_tokens` exceed context limit: 1 + 2 > 2"},
    ),
    (400, {"type": "invalid_request_error", "code": "context_length_exceeded", "message": "Too much."}),
    (400, {"type": "BadRequestError", "code": 400, "message": "This model's maximum context length is 4096 tokens."}),
    (400, {"message": "The decoder prompt (length 9000) is longer than the maximum model length of 4096."}),
    (400, {"type": "exceed_context_size_error", "message": "the request exceeds the available context size"}),
    (500, {"message": "the request exceeds the available context size. try increasing the context size"}),
    (400, {"message": "prompt too long; exceeded max context length by 12 tokens"}),
    (400, {"message": "Please reduce the length of the messages or completion."}),
    (400, {"message": "Your input exceeds the context window of this model."}),
    (413, {"type": "request_too_large", "message": "Request exceeds the maximum size"}),
]


@pytest.mark.parametrize(("status", "error"), TOO_LONG)
async def test_too_long(world: World, status: int, error: dict[str, Any]) -> None:
    with pytest.raises(ModelOverflow, match="too long for it"):
        await world.ask(None, Answer(status=status, error=error))


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, ModelUnavailable),
        ({"type": "api_error", "message": "Internal server error"}, ModelUnavailable),
        ({"type": "server_error", "message": "Sorry"}, ModelUnavailable),
        ({"type": "rate_limit_exceeded", "message": "Slow down"}, ModelUnavailable),
        ({"type": "InternalServerError", "code": 500, "message": "engine died"}, ModelUnavailable),
        ({}, ModelUnavailable),
        ({"type": "invalid_request_error", "message": "No."}, ModelRejected),
        ({"type": "insufficient_quota", "message": "You exceeded your current quota"}, ModelRejected),
        ({"type": "invalid_request_error", "message": "prompt is too long: 3 tokens > 2"}, ModelOverflow),
    ],
)
async def test_errors_within_a_reply(world: World, error: dict[str, Any], wanted: type[ModelError]) -> None:
    with pytest.raises(wanted) as caught:
        await world.ask(None, Answer(parts=MANY.parts, error_after=9, error=error))
    assert type(caught.value) is wanted
    assert world.meter.usage.estimated
    assert world.meter.usage.output >= world.server.billed > 0
    assert len(world.server.asked) == 1


async def test_errors_of_other_shapes() -> None:
    async with opened("chat") as world:
        for error in ('{"error": "no slot"}', '{"error": {"message": null}}', '{"object": "error"}', '{"error": []}'):
            with pytest.raises(ModelUnavailable):
                await world.ask(None, Answer(body=f"data: {error}\n\n".encode()))
            with pytest.raises(ModelUnavailable):
                await world.ask(None, Answer(status=500, body=error.encode(), content_type="application/json"))


async def test_a_reply_that_failed() -> None:
    async with opened("responses") as world:
        for code, wanted in (("server_error", ModelUnavailable), ("invalid_prompt", ModelRejected)):
            failed = {
                "type": "response.failed",
                "response": {"status": "failed", "error": {"code": code, "message": "-"}},
            }
            with pytest.raises(wanted):
                await world.ask(None, Answer(body=f"data: {json.dumps(failed)}\n\n".encode()))


async def test_cut_anywhere(world: World) -> None:
    size = sum(len(piece.data) for piece in pieces(world.wire, "some-model", MANY))
    whole = 0
    for at in [*range(1, size, 97), *range(size - 40, size + 1, 4)]:
        number = len(world.server.asked)
        try:
            reply = await world.ask(None, Answer(parts=MANY.parts, cut_at=at))
        except ModelUnavailable:
            assert world.meter.usage.estimated
            assert world.meter.usage.input > 0
        else:
            whole += 1
            assert [call.arguments for call in reply.calls] == [{"path": "a.py"}]
            assert reply.text == "word " * 20
        assert len(world.server.asked) == number + 1
    assert whole > 0


@pytest.mark.parametrize("held", [-1, 0, 3])
async def test_silence(world: World, held: int) -> None:
    before = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"silent for 0\.2 s"):
        await world.ask(asking(idle=0.2), Answer(parts=MANY.parts, hold_after=held))
    assert time.monotonic() - before < 2
    assert await asyncio.to_thread(world.server.last.closed.wait, 5)


async def test_a_server_that_thinks_long_but_is_there(world: World) -> None:
    reply = await world.ask(asking(idle=0.2), Answer(parts=(Say("slow"),), delay=0.08, pings=True))
    assert reply.text == "slow"


async def test_the_deadline(world: World) -> None:
    before = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"no whole reply within 1\.5 s"):
        await world.ask(asking(timeout=1.5), Answer(parts=(Say("x" * 4000),), delay=0.01))
    assert time.monotonic() - before < 15
    assert await asyncio.to_thread(world.server.last.closed.wait, 5)
    assert world.meter.usage.output >= world.server.last.billed > 0


async def test_a_server_that_does_not_end_a_whole_reply(world: World) -> None:
    last = len(pieces(world.wire, "some-model", MANY))
    reply = await world.ask(None, Answer(parts=MANY.parts, hold_after=last))
    assert reply.calls
    assert not reply.usage.estimated


SENSELESS = [
    b"", b"\n\n\n", b"data: [DONE]\n\n", b"<html><body>Bad gateway</body></html>", b"\xff\xfe\x00\n\n",
    b"data: \xff\xfe\n\n", b"data: {\n\n", b"data: null\n\n", b"data: []\n\n", b'data: "text"\n\n', b"data: 7\n\n",
    b"event: message_start\ndata: {}\n\n", b'event: message_start\ndata: {"type": "message_start", "message": 7}\n\n',
    b'event: content_block_delta\ndata: {"type": "content_block_delta", "index": 9, "delta": {"text": "x"}}\n\n',
    b'data: {"choices": 7}\n\n', b'data: {"choices": [7]}\n\n', b'data: {"choices": [{"delta": 7}]}\n\n',
    b'data: {"choices": [{"delta": {"tool_calls": [{"function": {"arguments": 7}}]}}]}\n\n',
    b'data: {"type": "response.output_item.done", "item": 7}\n\n', b'data: {"type": 7}\n\n',
    b"event: message_start\ndata: " + b"[" * 100_000 + b"\n\n",
    b'{"id": "1", "choices": [{"message": {"role": "assistant", "content": "hi"}}]}',
    b'{"type": "message", "content": [{"type": "text", "text": "hi"}]}',
]  # fmt: skip


@pytest.mark.parametrize("body", SENSELESS, ids=range(len(SENSELESS)))
async def test_answers_that_make_no_sense(world: World, body: bytes) -> None:
    for kind in ("text/event-stream", "application/json"):
        with pytest.raises(ModelUnavailable):
            await world.ask(None, Answer(body=body, content_type=kind))


async def test_an_encoding_that_is_a_lie(world: World) -> None:
    with pytest.raises(ModelUnavailable):
        await world.ask(None, Answer(body=b"no gzip", headers={"content-encoding": "gzip"}))


@pytest.mark.parametrize("wire", WIRES)
async def test_nobody_listens(wire: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    model = connect(f"{wire}/m", {"THE_KEY": KEY}, Path(), providers(url))
    with pytest.raises(ModelUnavailable, match="can't be reached") as caught:
        await model.reply(asking(), Meter(asking()))
    assert url.removeprefix("http://") in caught.value.message
    await model.close()
    assert not caught.value.billed


@pytest.mark.parametrize("status", [400, 401, 422, 429, 500])
async def test_neither_keys_nor_requests_are_told(world: World, status: int) -> None:
    private = "the launch code is 0000-1111-2222"
    for said in (f"Incorrect API key provided: {KEY}", f"cannot parse: {SYSTEM}", f"in your message: '{private}'"):
        with pytest.raises(ModelError) as caught:
            await world.ask(asking(user(private)), Answer(status=status, error={"message": said}))
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        for secret in (KEY, SYSTEM, private):
            assert secret not in told


async def test_a_refused_key_names_its_variable(world: World) -> None:
    with pytest.raises(ModelRejected, match="THE_KEY"):
        await world.ask(None, Answer(status=401, error={"type": "authentication_error", "message": "invalid"}))
