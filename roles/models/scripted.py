"""A model that answers from a file, for demonstrations without a key and for tests. It costs nothing and asks nobody.

The file is YAML or JSON, a list of replies:

    - text: I shall look at the tests first.
      calls:
        - {name: read_file, arguments: {path: tests/test_a.py}}
    - when: "def test_a"          # must be in the last message of the user, or in a result of its tools
      text: Done.
      delay: 0.5                  # seconds before it begins; none if left out
      usage: {input: 1200, output: 40, cached: 0, written: 0}      # estimated if left out

A file for several conversations says which of them each is; the first that fits is taken:

    conversations:
      - when: Make a plan           # must be in its first message
        replies: [...]              # a list as above

Which reply comes next is told by the conversation alone, by the turns of the assistant in it: a script goes on where it
was after a restart, and several conversations may use one at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, cast

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError, model_validator

from roles.models.failures import Source, unavailable
from roles.models.port import Block, Meter, Reply, Request, Text, ToolCall, ToolResult, Usage
from roles.models.replies import finished
from state.errors import ModelRejected, SettingsError

_LARGEST = 1 << 20
_LONGEST_DELAY = 3600.0


class ScriptedCall(BaseModel):
    """A tool to call."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: Annotated[str, Field(min_length=1)]
    arguments: dict[str, JsonValue] = {}


class ScriptedUsage(BaseModel):
    """What the reply is said to have used, in tokens."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: Annotated[int, Field(ge=0)] = 0
    cached: Annotated[int, Field(ge=0)] = 0
    written: Annotated[int, Field(ge=0)] = 0
    output: Annotated[int, Field(ge=0)] = 0


class ScriptedReply(BaseModel):
    """One reply; it says or calls something."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str = ""
    calls: list[ScriptedCall] = []
    usage: ScriptedUsage | None = None
    when: str = ""
    delay: Annotated[float, Field(ge=0, le=_LONGEST_DELAY)] = 0.0

    @model_validator(mode="after")
    def _says_something(self) -> ScriptedReply:
        if not self.text.strip() and not self.calls:
            raise ValueError("a reply needs text or calls")
        return self


class ScriptedConversation(BaseModel):
    """The replies of one conversation."""

    model_config = ConfigDict(extra="forbid", strict=True)

    when: str = ""
    replies: Annotated[list[ScriptedReply], Field(min_length=1)]


class ScriptedConversations(BaseModel):
    """A whole file."""

    model_config = ConfigDict(extra="forbid", strict=True)

    conversations: Annotated[list[ScriptedConversation], Field(min_length=1)]


class ScriptedModel:
    """A script as a model."""

    maker = "scripted"

    def __init__(self, provider: str, path: str, directory: Path) -> None:
        """`SettingsError` naming the file, the reply and what is wrong with it."""
        self._source = Source(provider, path)
        self._conversations = _read(_inside(directory, path))

    @property
    def name(self) -> str:
        """``provider/path``."""
        return self._source.name

    async def reply(self, request: Request, meter: Meter) -> Reply:
        """The next one of the script; `ModelRejected` if there is none, or what it is for was not said."""
        index = sum(message.role == "assistant" for message in request.messages)
        replies = self._of(request)
        if index >= len(replies):
            raise ModelRejected(
                f"{self.name}: the script ends after {len(replies)} replies, and reply {index + 1} is wanted",
                "Add replies to the script, or give it an end that calls no tool.",
            )
        reply = replies[index]
        if reply.when and not any(reply.when in text for text in _last_said(request)):
            raise ModelRejected(
                f'{self.name}: reply {index + 1} is for a message with "{reply.when}", which the last one has not',
                "Correct `when` in the script, or see why the conversation went another way.",
            )
        await self._say(reply, request, meter)
        return self._finished(reply, index, meter)

    def _of(self, request: Request) -> list[ScriptedReply]:
        first = "".join(block.text for block in request.messages[0].blocks if isinstance(block, Text))
        for conversation in self._conversations:
            if conversation.when in first:
                return conversation.replies
        raise ModelRejected(
            f"{self.name}: no conversation of the script is for one that begins: {first[:80]!r}",
            "Add one to `conversations`, with a `when` that is in this message.",
        )

    async def _say(self, reply: ScriptedReply, request: Request, meter: Meter) -> None:
        meter.sent()
        try:
            async with asyncio.timeout(min(request.timeout, request.idle)):
                await asyncio.sleep(reply.delay)
        except TimeoutError:
            raise unavailable(self._source, f"its delay of {reply.delay:g} s is longer than the limit") from None
        for line in reply.text.splitlines(keepends=True):
            meter.heard(line)
            await asyncio.sleep(0)

    def _finished(self, reply: ScriptedReply, index: int, meter: Meter) -> Reply:
        blocks: list[Block] = [Text(reply.text)] if reply.text else []
        for number, call in enumerate(reply.calls):
            blocks.append(ToolCall(f"call_{index + 1}_{number + 1}", call.name, call.arguments))
        if reply.usage:
            meter.told(Usage(**reply.usage.model_dump()), final=True)
        return finished(self._source, blocks, "end", meter, self._source.model)

    async def close(self) -> None:
        """Nothing is open."""


def _last_said(request: Request) -> Iterator[str]:
    for message in reversed(request.messages):
        if message.role == "user":
            yield from (block.text for block in message.blocks if isinstance(block, (Text, ToolResult)))
            return


def _inside(directory: Path, path: str) -> Path:
    """Names of models come with plans: they open no other files."""
    found = (directory / path).resolve()
    if not found.is_relative_to(directory.resolve()):
        raise SettingsError(f"scripted/{path}: the script is outside {directory}", "Name one inside.")
    return found


def _read(path: Path) -> list[ScriptedConversation]:
    try:
        if path.exists() and not path.is_file():
            raise SettingsError(f"{path}: no file", "Name a file with a script.")
        with path.open(encoding="utf-8") as file:
            text = file.read(_LARGEST + 1)
        if len(text) > _LARGEST:
            raise SettingsError(f"{path}: a script has at most {_LARGEST >> 20} MiB", "Shorten it.")
        tree = _parsed(path, text)
        if isinstance(tree, dict):
            return ScriptedConversations.model_validate(tree).conversations
        replies = TypeAdapter(list[ScriptedReply]).validate_python(tree)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise SettingsError(f"{path}: the script can't be read: {reason}", "Name an existing file.") from None
    except ValidationError as error:
        raise SettingsError(f"{path}: {_first(error)}", _FORMAT) from None
    if not replies:
        raise SettingsError(f"{path}: the script has no replies", _FORMAT)
    return [ScriptedConversation(replies=replies)]


def _parsed(path: Path, text: str) -> object:
    import yaml

    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise SettingsError(f"{path}: aliases are not allowed in a script", "Write out what they stand for.")
        return cast(object, yaml.safe_load(text))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark: object = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if isinstance(mark, yaml.Mark) else ""
        raise SettingsError(f"{path}: no YAML{line}", _FORMAT) from None


_FORMAT = "A script is a list of replies with text or calls, and when, delay and usage if wanted."


def _first(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    number, *rest = first["loc"] or ("",)
    if isinstance(number, str) and number:
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    where = f"reply {number + 1}" + "".join(f".{each}" for each in rest) if isinstance(number, int) else "the file"
    return f"{where}: {first['msg']}"
