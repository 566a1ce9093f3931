"""What Atlas asks of a model and what it gets, whoever makes it. Adapters: `anthropic`, `openai`, `scripted`.

A conversation is plain data (it is stored in SQL and goes on in other processes, with other models). An adapter sends
one request, once: retries, fallbacks and the ledger are its callers'. Cancelling a call closes its connection.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Stop = Literal["end", "tools", "length", "refused"]
"""Why a reply ended: said all it had to say; wants tools called; met the output limit; would not answer."""
Effort = Literal["low", "medium", "high"]


@dataclass(frozen=True, slots=True)
class Text:
    """Words, of either side."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model wants a tool called. `unreadable`: what it wrote for arguments, when that was no JSON object."""

    id: str
    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    unreadable: str | None = None


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What came of a call."""

    id: str
    text: str
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Kept:
    """Something of a maker's own (reasoning, with its signature) that its models want back as it was. Others are not
    sent it. Makers refuse it after anything before it has changed: whoever rewrites a conversation leaves it out."""

    maker: str
    data: Mapping[str, Any]


Block = Text | ToolCall | ToolResult | Kept


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. Results of tools are the user's."""

    role: Literal["user", "assistant"]
    blocks: Sequence[Block]
    made: dict[object, Any] = field(default_factory=dict[object, Any], init=False, compare=False, repr=False)
    """What adapters made of it: a conversation is sent again with every turn of it. See `roles.models.turns`."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool that may be called; `parameters` is a JSON Schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `system` comes first and stays the same over a conversation, as do the tools: makers keep what they
    computed for it, and adapters mark it so. `conversation`: some name that stays the same over one, to find it again.
    Times in seconds; `idle` bounds the silence before and between pieces."""

    system: str
    messages: Sequence[Message]
    tools: Sequence[ToolSpec] = ()
    output_tokens: int = 8_192
    effort: Effort | None = None
    timeout: float = 600.0
    idle: float = 120.0
    conversation: str | None = None

    def input_bytes(self) -> int:
        """No fewer than the tokens that its input can come to: a token is a byte at least."""
        said = sum(_size(block) for message in self.messages for block in message.blocks)
        return prefix_bytes(self.system, self.tools) + said + ENVELOPE * len(self.messages)


ENVELOPE = 64
"""What a maker may put around a message or tool, in tokens."""


def prefix_bytes(system: str, tools: Sequence[ToolSpec]) -> int:
    """What every request of a conversation begins with, as `Request.input_bytes` counts it."""
    told = sum(len(each.name) + len(each.description.encode()) + len(_dumped(each.parameters)) for each in tools)
    return len(system.encode()) + told + ENVELOPE * (1 + len(tools))


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. The three kinds of input add up; `estimated`: the maker did not tell."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered. `model` is what the maker says it was."""

    blocks: Sequence[Block]
    stop: Stop
    usage: Usage
    model: str

    @property
    def text(self) -> str:
        """Its words."""
        return "".join(block.text for block in self.blocks if isinstance(block, Text))

    @property
    def calls(self) -> list[ToolCall]:
        """The tools it wants called."""
        return [block for block in self.blocks if isinstance(block, ToolCall)]


class Meter:
    """What a call has used so far: right when it ended well, an estimate when it was cut off. One for each call."""

    def __init__(self, request: Request, say: Callable[[str], None] | None = None) -> None:
        """`say` is given words as they come."""
        self._request = request
        self._say = say
        self._told: Usage | None = None
        self._final = False
        self._heard = 0
        self._sent = False

    def sent(self) -> None:
        """From now on the call may cost something."""
        self._sent = True

    def heard(self, text: str, *, aloud: bool = True) -> None:
        """More has come; `aloud` if it is words for people."""
        self._heard += len(text.encode())
        if aloud and self._say:
            self._say(text)

    def told(self, usage: Usage, *, final: bool) -> None:
        """The maker's own numbers; not `final`: so far."""
        self._told, self._final = usage, final

    @property
    def usage(self) -> Usage:
        """Up to now."""
        if self._told and self._final:
            return self._told
        if not self._sent:
            return Usage()
        known = self._told or Usage(input=-(-self._request.input_bytes() // _BYTES_PER_TOKEN))
        output = max(known.output, -(-self._heard // _BYTES_PER_TOKEN))
        return Usage(known.input, known.cached, known.written, output, estimated=True)


_BYTES_PER_TOKEN = 3
"""For estimates, on the high side for prose."""


class ChatModel(Protocol):
    """One model. `name` is ``provider/model``; `maker` is whose conversations it understands (see `Kept`)."""

    @property
    def name(self) -> str: ...

    @property
    def maker(self) -> str: ...

    async def reply(self, request: Request, meter: Meter) -> Reply:
        """Ask once. `state.errors.ModelError` otherwise; `meter` tells the cost in every case."""
        ...

    async def close(self) -> None:
        """Its connections."""
        ...


def _dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, default=str).encode()


def _size(block: Block) -> int:
    match block:
        case Text(text):
            return len(text.encode("utf-8", "replace"))
        case ToolCall():
            return len(block.name) + len(block.id) + len(_dumped(dict(block.arguments))) + len(block.unreadable or "")
        case ToolResult():
            return len(block.id) + len(block.text.encode("utf-8", "replace"))
        case Kept():
            return len(_dumped(dict(block.data)))
