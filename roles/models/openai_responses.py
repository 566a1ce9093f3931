"""OpenAI's Responses, always streamed, with nothing stored there: reasoning comes along encrypted and goes back so."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from roles.models.calls import CallReader, clean, written
from roles.models.exchange import converse, patience, server_of
from roles.models.failures import Complaint, Source, refusal
from roles.models.openai import LONGEST_CACHE_KEY, NO_KEY, Details, open_client, usage_of
from roles.models.port import Block, Kept, Message, Meter, Reply, Request, Stop, Text, ToolCall, ToolResult
from roles.models.reading import Number, Read, Words, kind_of
from roles.models.replies import finished
from roles.models.turns import each_turn

if TYPE_CHECKING:
    from openai import AsyncStream
    from openai.types.responses import ResponseStreamEvent
    from openai.types.responses.response_create_params import ResponseCreateParamsStreaming


class ResponsesModel:
    """One model of OpenAI."""

    def __init__(
        self,
        provider: str,
        model: str,
        *,
        key: str | None = None,
        key_variable: str = "",
        base_url: str | None = None,
    ) -> None:
        self._client = open_client(key or NO_KEY, base_url)
        self._source = Source(provider, model, server_of(self._client.base_url), key_variable, key or "")

    @property
    def name(self) -> str:
        """``provider/model``."""
        return self._source.name

    @property
    def maker(self) -> str:
        """The provider: what one encrypted means nothing to another."""
        return self._source.provider

    async def reply(self, request: Request, meter: Meter) -> Reply:
        """Ask once."""
        asked = _asked(self._source, request)
        hearing = _Hearing(self._source, request, meter)

        async def opening() -> AsyncStream[ResponseStreamEvent]:
            meter.sent()
            return await self._client.responses.create(**asked, timeout=patience(request))

        await converse(self._source, request, opening, hearing.take)
        return hearing.reply()

    async def close(self) -> None:
        """Its connections."""
        await self._client.close()


def _asked(source: Source, request: Request) -> ResponseCreateParamsStreaming:
    asked: dict[str, Any] = {
        "model": source.model,
        "input": [item for turn in each_turn(request.messages, source.provider, _items) for item in turn],
        "max_output_tokens": request.output_tokens,
        "stream": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }
    if request.system.strip():
        asked["instructions"] = clean(request.system)
    if request.tools:
        asked["tools"] = [
            {
                "type": "function", "name": each.name, "description": each.description,
                "parameters": dict(each.parameters), "strict": False,
            }
            for each in request.tools
        ]  # fmt: skip
    if request.effort:
        asked["reasoning"] = {"effort": request.effort}
    if request.conversation:
        asked["prompt_cache_key"] = request.conversation[:LONGEST_CACHE_KEY]
    return cast("ResponseCreateParamsStreaming", asked)


def _items(turn: Message) -> list[dict[str, Any]]:
    return list(_written(turn))


def _written(turn: Message) -> Iterator[dict[str, Any]]:
    phase: dict[str, Any] = {}
    for block in turn.blocks:
        match block:
            case Text(text):
                yield {"role": turn.role, "content": text, **phase}
                phase = {}
            case ToolCall():
                arguments = written(block.arguments)
                yield {"type": "function_call", "call_id": block.id, "name": block.name, "arguments": arguments}
            case ToolResult():
                text = f"Failed: {block.text}" if block.failed else block.text
                yield {"type": "function_call_output", "call_id": block.id, "output": text}
            case Kept(_, {"phase": _} as data):
                phase = dict(data)
            case Kept():
                yield dict(block.data)


class _Content(Read):
    text: Words = ""
    refusal: Words = ""


class _Summary(Read):
    text: Words = ""


class _Item(Read):
    type: Words = ""
    id: Words = ""
    call_id: Words = ""
    name: Words = ""
    arguments: Words = ""
    content: list[_Content] | None = None
    summary: list[_Summary] | None = None
    encrypted_content: Words = ""
    phase: Words = ""


class _Usage(Read):
    input_tokens: Number = 0
    output_tokens: Number = 0
    input_tokens_details: Details | None = None


class _Problem(Read):
    code: Words = ""
    message: Words = ""
    reason: Words = ""


class _Response(Read):
    model: Words = ""
    usage: _Usage | None = None
    error: _Problem | None = None
    incomplete_details: _Problem | None = None


class _Event(_Problem):
    type: Words = ""
    output_index: Number = 0
    delta: str | None = None
    item: _Item | None = None
    response: _Response | None = None


class _Hearing:
    """Puts one reply together, of the items that are done."""

    def __init__(self, source: Source, request: Request, meter: Meter) -> None:
        self._source = source
        self._request = request
        self._meter = meter
        self._items: dict[int, _Item] = {}
        self._response: _Response | None = None

    def take(self, event: object) -> bool:
        """Whether the reply is whole with this."""
        if kind_of(event) in _KNOWN:
            self._take(_Event.of(event))
        return self._response is not None

    def _take(self, read: _Event) -> None:
        if read.type == "error":
            raise self._failed(read)
        if read.type == "response.failed":
            self._told(read.response)
            raise self._failed((read.response and read.response.error) or _Problem())
        if read.type in _SAID:
            self._meter.heard(read.delta or "", aloud=_SAID[read.type])
        elif read.type == "response.output_item.done" and read.item:
            self._items[read.output_index] = read.item
        elif read.type in _ENDS:
            self._response = read.response or _Response()
            self._told(read.response)

    def _told(self, response: _Response | None) -> None:
        if response and (told := response.usage):
            usage = usage_of(told.input_tokens, told.input_tokens_details, told.output_tokens)
            if usage:
                self._meter.told(usage, final=True)

    def _failed(self, problem: _Problem) -> Exception:
        codes = frozenset((problem.code,)) if problem.code else frozenset[str]()
        return refusal(self._source, self._request, Complaint(problem.message, codes))

    def reply(self) -> Reply:
        """When it is whole."""
        response = self._response or _Response()
        reason = response.incomplete_details.reason if response.incomplete_details else ""
        stop = _STOPS.get(reason, "end")
        reader = CallReader(self._request.messages, lambda: f"call_{uuid.uuid4().hex[:24]}")
        blocks: list[Block] = []
        last = max(self._items, default=0)
        for index in sorted(self._items):
            item = self._items[index]
            if any(part.refusal for part in item.content or ()):
                stop = "refused"
            blocks += _blocks(item, reader, self._source.provider, cut=stop == "length" and index == last)
        return finished(self._source, blocks, stop, self._meter, response.model or self._source.model)


_SAID = {
    "response.output_text.delta": True,
    "response.refusal.delta": True,
    "response.function_call_arguments.delta": False,
    "response.reasoning_summary_text.delta": False,
    "response.reasoning_text.delta": False,
}
"""What streams words, and whether aloud."""
_ENDS = frozenset(("response.completed", "response.incomplete"))
_KNOWN = frozenset((*_SAID, *_ENDS, "error", "response.failed", "response.output_item.done"))
_STOPS: dict[str, Stop] = {"max_output_tokens": "length", "content_filter": "refused"}


def _blocks(item: _Item, reader: CallReader, maker: str, *, cut: bool) -> list[Block]:
    match item.type:
        case "message":
            text = "".join(part.text or part.refusal for part in item.content or ())
            phase: list[Block] = [Kept(maker, {"phase": item.phase})] if item.phase else []
            return [*phase, Text(text)] if text else []
        case "function_call":
            return [reader.read(item.call_id, item.name, item.arguments, cut=cut)]
        case "reasoning" if item.encrypted_content:
            summary = [{"type": "summary_text", "text": each.text} for each in item.summary or ()]
            kept = {"type": "reasoning", "summary": summary, "encrypted_content": item.encrypted_content}
            return [Kept(maker, kept | ({"id": item.id} if item.id else {}))]
        case _:
            return []
