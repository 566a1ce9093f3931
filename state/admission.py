"""What no engine could store is refused at the door, so that both engines refuse the same things.

PostgreSQL has no NUL in text and no integer beyond its column; SQLite has neither lone surrogates nor NaN. Left to
them, one such value would undo a whole batch, and on one engine only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
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
from state.records import Evidence, Output

INTEGER = (1 << 31) - 1
BIG_INTEGER = (1 << 63) - 1
Texts = Iterable[str | None]


def unstorable(command: Command) -> str | None:
    """Why no database could hold this command's data, in a few words; None when it could."""
    if bad := unstorable_text("".join(filter(None, _TEXTS[type(command)](command)))):
        return bad
    if keys := _KEYS.get(type(command)):
        for key in keys(command):
            if len(key) > KEY_BYTES // 4 and len(key.encode()) > KEY_BYTES:
                return f"{key[:40]!r}… is longer than {KEY_BYTES:,} bytes"
    numbers = _NUMBERS.get(type(command))
    return numbers(command) if numbers else None


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
    yield from (command.run, command.name, command.goal, command.placement, command.provenance, command.source)
    yield from (command.spec, command.plan, command.plan_hash)
    for todo in command.todos:
        yield from (todo.id, todo.key, todo.title, todo.kind, todo.document, todo.ask, *todo.labels)
        for need, answer in todo.needs:
            yield need
            yield answer


def _of_evidence(evidence: Iterable[Evidence]) -> Texts:
    for item in evidence:
        yield from (item.subject, item.item, item.item_hash, item.command, item.output_tail, item.digest, item.verifier)


def _of_outputs(outputs: Iterable[Output]) -> Texts:
    for output in outputs:
        yield from (output.internal, output.remote, output.staged, output.digest, output.listing)


_TEXTS: dict[type[Any], Callable[[Any], Texts]] = {
    SubmitRun: _of_submission,
    Claim: lambda c: (c.todo, c.worker, c.placement, *c.labels),
    ClaimNext: lambda c: (c.worker, c.placement, c.run, *c.labels),
    BeginVerifying: lambda c: (c.todo,),
    Complete: lambda c: (c.todo, *_of_evidence(c.evidence), *_of_outputs(c.outputs)),
    Fail: lambda c: (c.todo, c.reason, c.detail, *_of_evidence(c.evidence)),
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


def _number(name: str, value: float | None, bound: int = INTEGER) -> str | None:
    if value is None or (isfinite(value) and -bound <= value <= bound):
        return None
    return f"{name} is out of range: {value}"


def _in_evidence(evidence: Iterable[Evidence]) -> str | None:
    for item in evidence:
        if bad := _number("exit code", item.exit_code) or _number("seconds", item.seconds):
            return bad
    return None


def _in_submission(command: SubmitRun) -> str | None:
    for todo in command.todos:
        if bad := _number("priority", todo.priority) or _number("timeout", todo.timeout):
            return f"{todo.key}: {bad}"
    return _number("concurrency", command.concurrency)


def _in_completion(command: Complete) -> str | None:
    sizes = (_number("size", output.size, BIG_INTEGER) for output in command.outputs)
    return next(filter(None, sizes), None) or _in_evidence(command.evidence)


_NUMBERS: dict[type[Any], Callable[[Any], str | None]] = {
    SubmitRun: _in_submission,
    ClaimNext: lambda c: _number("limit", c.limit),
    Complete: _in_completion,
    Fail: lambda c: _number("retry_after", c.retry_after) or _in_evidence(c.evidence),
    WorkerStarted: lambda c: _number("pid", c.pid),
}
