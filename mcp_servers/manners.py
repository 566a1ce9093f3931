"""The manners that every MCP tool keeps, whatever it does.

A call has a deadline, is stopped for good when it is cancelled (what it started is gone before the cancellation goes
on), answers with bounded, typed results, refuses arguments that it does not know, tells errors in words that say what
to do, and leaves one audit line. A tool declares what it does to the world; the policy decides which tools there are.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
import time
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, cast

import anyio
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field, PrivateAttr, ValidationError

from mcp_servers.schemas import answer_json, answer_schema
from mcp_servers.sharing import Sharing
from state.errors import AtlasError

if TYPE_CHECKING:
    from mcp.server.mcpserver import Context

T = TypeVar("T")
Body = Callable[..., Coroutine[Any, Any, Any]]
Effect = Literal["reads", "writes", "replaces", "destroys"]
"""What a tool does to the world. What ``replaces`` may put something new in the place of what was there, which is what
it is for; what ``destroys`` only takes away, and it can't be had back."""

DESCRIPTION_CHARACTERS = 2_048
"""Clients cut what is longer."""
LONGEST_SECONDS = 600.0
"""The server's own deadline, whatever a call asks for."""
_AUDITED_CHARACTERS = 200
_DEADLINE = "deadline"
_KIND = re.compile(r"(str|int|float|bool|dict|list|tuple)(\[|$)|function-")
"""What pydantic puts into the place of an error in an argument that may be of several kinds."""

audit = logging.getLogger("atlas.audit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which tools there are: nothing that writes when `read_only`, nothing that destroys unless allowed. No call takes
    more than `seconds`. `audit_level`: how loudly each leaves its line."""

    read_only: bool = False
    allow_destructive: bool = False
    seconds: float = LONGEST_SECONDS
    audit_level: int = logging.INFO

    def allows(self, effect: Effect) -> bool:
        """Whether a tool with this effect is offered at all."""
        return effect == "reads" or (not self.read_only and (effect != "destroys" or self.allow_destructive))


_MADE: dict[tuple[Any, ...], MannerlyTool] = {}


class Tools:
    """The tools of one server, collected under a policy."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.tools: list[Tool] = []

    def add(
        self,
        body: Body,
        effect: Effect,
        title: str,
        *,
        seconds: float = 60.0,
        idempotent: bool = False,
        open_world: bool = False,
        audited: tuple[str, ...] = (),
        shared: bool = False,
    ) -> None:
        """Offer `body`, if the policy allows its effect. Its name is the tool's and its docstring the description.

        `seconds` is the deadline of a call that names none; a body with an argument `deadline` is told the seconds of
        each call, and may end a moment before. `idempotent`: done twice, it has no more effect.
        `open_world`: it reaches beyond this host. `audited` are the arguments that the audit line shows: handles, never
        content. `shared`: calls with the same arguments at the same time may share a run; it must only look, and tell
        no progress.
        """
        if not self.policy.allows(effect):
            return
        hints = ToolAnnotations(
            title=title,
            read_only_hint=effect == "reads",
            destructive_hint=effect in ("replaces", "destroys"),
            idempotent_hint=effect == "reads" or idempotent,
            open_world_hint=open_world,
        )
        tool = _described(body, hints, min(seconds, self.policy.seconds), self.policy.seconds)
        tool.behave(effect, audited, Sharing() if shared else None, self.policy.audit_level)
        self.tools.append(tool)


def _described(body: Body, hints: ToolAnnotations, seconds: float, most: float) -> MannerlyTool:
    """The tool of a body. Its schemas take milliseconds to make, and are the same for all that one method is bound to:
    every attempt of a role has a server of its own."""
    key = getattr(body, "__func__", body), hints.model_dump_json(), seconds, most
    made = _MADE.get(key)
    if made is None:
        called, said = _with_timeout(body, seconds, most), _description(body)
        made = cast(
            "MannerlyTool",
            MannerlyTool.from_function(called, title=hints.title, description=said, annotations=hints),
        )
        made.finish(timed=_DEADLINE in inspect.signature(body).parameters)
        if inspect.ismethod(body):
            _MADE[key] = made.model_copy(update={"fn": body.__func__})
    return made.model_copy(update={"fn": body})


class MannerlyTool(Tool):
    """See the module. (The SDK's own would pass over arguments it does not know, and tell errors its own way.)"""

    _audited: tuple[str, ...] = PrivateAttr(default=())
    _effect: Effect = PrivateAttr(default="destroys")
    _sharing: Sharing | None = PrivateAttr(default=None)
    _timed: bool = PrivateAttr(default=False)
    _level: int = PrivateAttr(default=logging.INFO)

    @property
    def effect(self) -> Effect:
        """What it does to the world."""
        return self._effect

    def finish(self, *, timed: bool) -> None:
        """Unknown arguments become errors: a misspelt one must not pass for a default. `timed`: the body is told its
        deadline."""
        self._timed = timed
        model = self.fn_metadata.arg_model
        model.model_config["extra"] = "forbid"
        model.model_rebuild(force=True)
        self.parameters = model.model_json_schema(by_alias=True)
        if answered := self.fn_metadata.output_schema:
            self.fn_metadata.output_schema = answer_schema(answered)

    def behave(self, effect: Effect, audited: tuple[str, ...], sharing: Sharing | None, level: int) -> None:
        """See `Tools.add`; `level` is how loudly a call leaves its line."""
        self._effect, self._audited, self._sharing, self._level = effect, audited, sharing, level

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Any:  # noqa: ANN401  as the SDK declares it
        """One call. Raises `ToolError` with words for the caller; `UnexpectedToolError` hides a defect of ours."""
        started = time.monotonic()
        ended = "broke"
        try:
            given = self._checked(arguments)
            seconds = given.pop("timeout")
            if self._timed:
                given[_DEADLINE] = seconds
            if self.context_kwarg:
                given[self.context_kwarg] = context
            result = await self._within(seconds, self._call(given))
            ended = "done"
            return self._told(result) if convert_result else result
        except asyncio.CancelledError:
            ended = "cancelled"
            raise
        except AtlasError as error:
            ended = f"failed ({error.code})"
            raise ToolError(_sentences(error)) from error
        except ToolError:
            ended = "refused"
            raise
        except MCPError:
            raise
        except Exception as error:
            raise UnexpectedToolError(f"{self.name} broke; the server's log says where") from error
        finally:
            self._leave_a_line(arguments, ended, time.monotonic() - started)

    def _call(self, given: dict[str, Any]) -> Coroutine[Any, Any, Any]:
        if self._sharing is None:
            return self.fn(**given)
        return self._sharing.ask(json.dumps(given, sort_keys=True), lambda: self.fn(**given))

    def _told(self, result: Any) -> Any:  # noqa: ANN401  as the SDK declares it
        """See `schemas`. (The SDK would indent the text, and check our results again.)"""
        if not isinstance(result, BaseModel) or self.fn_metadata.wrap_output or self.output_schema is None:
            return self.fn_metadata.convert_result(result)
        text, data = answer_json(result)
        return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=data)

    def _checked(self, arguments: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.fn_metadata.validate_arguments(arguments)
        except ValidationError as error:
            known = list(self.fn_metadata.arg_model.model_fields)
            raise ToolError("\n".join(f"{self.name}: {_worded(each, known)}" for each in error.errors())) from error

    async def _within(self, seconds: float, call: Coroutine[Any, Any, T]) -> T:
        """The call as a task of its own, cancelled once: the SDK's scopes cancel again and again until one returns, and
        whoever cleans up must be able to wait."""
        task = asyncio.ensure_future(call)
        try:
            done, _ = await asyncio.wait([task], timeout=seconds)
            if done:
                return task.result()
        except asyncio.CancelledError:
            await _ended(task)
            raise
        await _ended(task)
        raise ToolError(
            f"{self.name} was stopped after {seconds:g} s. Ask for less, or pass a longer `timeout` (seconds)."
        )

    def _leave_a_line(self, arguments: Mapping[str, object], ended: str, seconds: float) -> None:
        shown = [f"{name}={_shown(arguments[name])}" for name in self._audited if name in arguments]
        audit.log(
            self._level, "%s %s in %.0f ms%s", self.name, ended, 1000 * seconds, "".join(f" {each}" for each in shown)
        )


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with anyio.CancelScope(shield=True):
        await asyncio.wait([task])
    if not task.cancelled():
        task.exception()


def _with_timeout(body: Body, seconds: float, most: float) -> Body:
    """`body` with one more argument, that the tool takes for itself."""
    signature = inspect.signature(body, eval_str=True)
    described = Field(gt=0, le=most, description="Seconds until the call is stopped.")
    timeout = inspect.Parameter(
        "timeout", inspect.Parameter.KEYWORD_ONLY, default=seconds, annotation=Annotated[float, described]
    )

    @wraps(body)
    async def call(**arguments: Any) -> Any:  # noqa: ANN401  whatever the body takes and gives
        return await body(**arguments)

    parameters = [*(each for each in signature.parameters.values() if each.name != _DEADLINE), timeout]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": signature.return_annotation}
    return call


def _description(body: Body) -> str:
    text = inspect.getdoc(body) or ""
    if not text or len(text) > DESCRIPTION_CHARACTERS:
        raise ValueError(f"{body.__name__} needs a docstring of at most {DESCRIPTION_CHARACTERS} characters")
    return text


def _worded(error: Any, known: list[str]) -> str:  # noqa: ANN401  pydantic's ErrorDetails
    first, *inner = error["loc"]
    place = ".".join(map(str, [first, *(part for part in inner if not _KIND.match(str(part)))]))
    if error["type"] == "extra_forbidden":
        near = get_close_matches(place, known, 1)
        instead = f"; did you mean `{near[0]}`?" if near else f" ({', '.join(known)})"
        return f"there is no argument `{place}`{instead}"
    if error["type"] == "missing":
        return f"`{place}` is missing"
    return f"`{place}`: {error['msg'][0].lower()}{error['msg'][1:]}"


def _sentences(error: AtlasError) -> str:
    end = "" if error.message.endswith((".", "!", "?", ":")) else "."
    return f"{error.message}{end} {error.hint}" if error.hint else error.message


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _AUDITED_CHARACTERS else f"{text[:_AUDITED_CHARACTERS]}…"
