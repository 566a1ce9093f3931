"""What no engine could store is refused at the door, so that both engines refuse the same things.

PostgreSQL has no NUL in text and no integer beyond its column; SQLite has neither lone surrogates nor NaN. Left to
them, one such value would undo a whole batch, and on one engine only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from state.commands import (
    Answer,
    BeginVerifying,
    Block,
    Cancel,
    Claim,
    ClaimNext,
    Command,
    Complete,
    Delivered,
    Expire,
    Fail,
    Hold,
    Published,
    Release,
    Resume,
    Retry,
    Say,
    SubmitRun,
    WorkerEnded,
    WorkerStarted,
)
from state.limits import KEY_BYTES

INTEGER = (1 << 31) - 1
BIG_INTEGER = (1 << 63) - 1
Texts = Iterable[str | None]


def unstorable(command: Command) -> str | None:
    """Why no database could hold this command's data, in a few words; None when it could."""
    kind = type(command)
    text = "".join(filter(None, _TEXTS[kind](command)))
    if bad := unstorable_text(text):
        return bad
    if len(text) > KEY_BYTES // 4 and kind in _KEYS:
        for key in _KEYS[kind](command):
            if len(key.encode()) > KEY_BYTES:
                return f"{key[:40]!r}… is longer than {KEY_BYTES:,} bytes"
    return _NUMBERS[kind](command) if kind in _NUMBERS else None


def unstorable_text(text: str) -> str | None:
    """As `unstorable`, for one text."""
    if "\0" in text:
        return "text with a NUL character in it can't be stored"
    if not text.isascii() and _lone_surrogate(text):
        return "text with half a character (a lone surrogate) in it can't be stored"
    return None


def _lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _of_submission(command: SubmitRun) -> Texts:
    texts: list[str | None] = [
        command.run, command.name, command.goal, command.placement, command.provenance, command.source, command.spec,
        command.plan, command.plan_hash,
    ]  # fmt: skip
    for todo in command.todos:
        texts += (todo.id, todo.key, todo.title, todo.kind, todo.document, todo.ask, *todo.labels)
        for need in todo.needs:
            texts += need
    return texts


def _of_attempt(command: Complete | Fail) -> Texts:
    texts: list[str | None] = [command.todo]
    for item in command.evidence:
        texts += (item.subject, item.item, item.item_hash, item.command, item.output_tail, item.digest, item.verifier)
    if isinstance(command, Fail):
        texts += (command.reason, command.detail)
    else:
        for output in command.outputs:
            texts += (output.internal, output.remote, output.staged, output.digest, output.listing)
    return texts


_TEXTS: dict[type[Any], Callable[[Any], Texts]] = {
    SubmitRun: _of_submission,
    Claim: lambda c: (c.todo, c.worker, c.placement, *c.labels),
    ClaimNext: lambda c: (c.worker, c.placement, c.run, *c.labels),
    BeginVerifying: lambda c: (c.todo,),
    Complete: _of_attempt,
    Fail: _of_attempt,
    Block: lambda c: (c.todo, c.reason, c.detail),
    Release: lambda c: (c.todo, c.cause, c.by),
    Say: lambda c: (c.todo, c.type, c.data),
    Answer: lambda c: (c.question, c.value, c.by),
    Expire: lambda c: (c.question,),
    Cancel: lambda c: (c.run, c.by),
    Hold: lambda c: (c.run, c.reason),
    Resume: lambda c: (c.run, c.placement, c.expected),
    Retry: lambda c: (c.todo, c.by),
    Delivered: lambda c: c.todos,
    Published: lambda c: (c.todo, *c.internals),
    WorkerStarted: lambda c: (c.worker, c.host, *c.labels),
    WorkerEnded: lambda c: (c.worker,),
}


def _keys_of_submission(command: SubmitRun) -> Iterable[str]:
    yield from (command.run, command.name, command.placement)
    for todo in command.todos:
        yield from (todo.id, todo.key)


def _keys_of_outputs(command: Complete) -> Iterable[str]:
    for output in command.outputs:
        yield from (output.internal, output.remote)


_KEYS: dict[type[Any], Callable[[Any], Iterable[str]]] = {
    SubmitRun: _keys_of_submission,
    Claim: lambda c: (c.worker,),
    ClaimNext: lambda c: (c.worker,),
    Complete: _keys_of_outputs,
    Resume: lambda c: (c.placement,),
    WorkerStarted: lambda c: (c.worker,),
}


def _out_of_range(name: str, value: float | None, bound: int = INTEGER) -> str | None:
    if value is None or -bound <= value <= bound:  # which not-a-number is not
        return None
    return f"{name} is out of range: {value}"


def _in_submission(command: SubmitRun) -> str | None:
    for todo in command.todos:
        if not -INTEGER <= todo.priority <= INTEGER or not -INTEGER <= todo.timeout <= INTEGER:
            return f"{todo.key}: priority {todo.priority} or timeout {todo.timeout} is out of range"
    return _out_of_range("concurrency", command.concurrency)


def _in_attempt(command: Complete | Fail) -> str | None:
    for item in command.evidence:
        if bad := _out_of_range("exit code", item.exit_code) or _out_of_range("seconds", item.seconds):
            return bad
    if isinstance(command, Fail):
        return _out_of_range("retry_after", command.retry_after)
    sizes = (_out_of_range("size", output.size, BIG_INTEGER) for output in command.outputs)
    return next(filter(None, sizes), None)


_NUMBERS: dict[type[Any], Callable[[Any], str | None]] = {
    SubmitRun: _in_submission,
    ClaimNext: lambda c: _out_of_range("limit", c.limit),
    Complete: _in_attempt,
    Fail: _in_attempt,
    WorkerStarted: lambda c: _out_of_range("pid", c.pid),
}
