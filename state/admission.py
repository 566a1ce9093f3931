"""What no engine could store is refused at the door, so that both engines refuse the same things.

PostgreSQL has no NUL in text and no integer beyond its column; SQLite has neither lone surrogates nor NaN. Left to
them, one such value would undo a whole batch, and on one engine only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from state.access_commands import Audited, IssueToken, RevokeToken
from state.agent_commands import AskPerson, ForgetThreads, Remember, ReserveCall, SettleCall
from state.commands import (
    AdvanceSink,
    Answer,
    BeginVerifying,
    Block,
    Cancel,
    Claim,
    ClaimNext,
    Command,
    Complete,
    Delivered,
    ExhaustTime,
    Expire,
    ExtendRun,
    Fail,
    Hold,
    NewTodo,
    Published,
    Release,
    Replan,
    Resume,
    Retry,
    Say,
    SubmitRun,
    TakeSink,
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
    if isinstance(command, Audited):
        return unstorable(command.command)
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
        command.plan, command.plan_hash, command.once,
    ]  # fmt: skip
    return texts + _of_todos(command.todos)


def _of_todos(todos: Iterable[NewTodo]) -> list[str | None]:
    texts: list[str | None] = []
    for todo in todos:
        texts += (todo.id, todo.key, todo.title, todo.kind, todo.document, todo.ask, todo.lane, *todo.labels)
        for need in todo.needs:
            texts += need
    return texts


def _of_attempt(command: Complete | Fail | ExtendRun) -> Texts:
    texts: list[str | None] = [command.todo]
    for item in command.evidence:
        texts += (item.subject, item.item, item.item_hash, item.command, item.output_tail, item.digest, item.verifier)
    if isinstance(command, ExtendRun):
        return [*texts, command.plan, command.plan_hash, *_of_todos(command.todos)]
    texts += (command.reason, command.detail) if isinstance(command, Fail) else command.head or ()
    for output in command.outputs:
        texts += (output.internal, output.remote, output.staged, output.digest, output.listing)
    return texts


def _of_replanning(command: Replan) -> Texts:
    return [command.run, command.why, command.by, *command.replaced, *command.others, *_of_todos([command.todo])]


def _of_memory(command: Remember) -> Texts:
    texts: list[str | None] = [command.todo]
    for said in command.said:
        texts += (said.role, said.speaker, said.blocks, said.stop, said.call)
    for tool in command.tools:
        texts += (tool.call, tool.name, tool.arguments, tool.result, tool.digest, tool.snapshot)
    if now := command.standing:
        texts += (now.checklist, now.base, now.snapshot, now.outcome)
    for pack in command.packs:
        texts += (pack.oid, pack.base, pack.digest)
    for note in command.notes:
        texts += (note.text, note.author)
    for saved in command.checkpoints:
        texts += (saved.thread, saved.ns, saved.id, saved.parent, saved.type, saved.body, saved.meta)
    for write in command.writes:
        texts += (write.thread, write.ns, write.id, write.task, write.path, write.channel, write.type, write.value)
    for event in command.events:
        texts += event
    return texts


_TEXTS: dict[type[Any], Callable[[Any], Texts]] = {
    SubmitRun: _of_submission,
    ExtendRun: _of_attempt,
    Replan: _of_replanning,
    ReserveCall: lambda c: (c.call, c.todo, c.role, c.model),
    SettleCall: lambda c: (c.call,),
    Remember: _of_memory,
    ForgetThreads: lambda c: c.threads,
    AskPerson: lambda c: (c.todo, c.key, c.text, *c.choices),
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
    ExhaustTime: lambda c: (c.run,),
    Resume: lambda c: (c.run, c.placement, c.expected),
    Retry: lambda c: (c.todo, c.by),
    Delivered: lambda c: c.todos,
    Published: lambda c: (c.todo, *c.internals),
    TakeSink: lambda c: (c.sink, c.worker),
    AdvanceSink: lambda c: (c.sink, c.worker, *(run for run, _ in c.told)),
    WorkerStarted: lambda c: (c.worker, c.host, *c.labels),
    WorkerEnded: lambda c: (c.worker,),
    IssueToken: lambda c: (c.name, c.digest, c.scope, c.by, c.parent),
    RevokeToken: lambda c: (c.name, c.by),
    Audited: lambda c: (c.who, c.act, c.subject, c.detail),
}


def _keys_of_submission(command: SubmitRun) -> Iterable[str]:
    yield from (command.run, command.name, command.placement)
    yield from _keys_of_todos(command)


def _keys_of_todos(command: SubmitRun | ExtendRun) -> Iterable[str]:
    for todo in command.todos:
        yield from (todo.id, todo.key, todo.lane or "")


def _keys_of_memory(command: Remember) -> Iterable[str]:
    for saved in command.checkpoints:
        yield from (saved.thread, saved.ns, saved.id)
    for write in command.writes:
        yield from (write.thread, write.ns, write.id, write.task)
    for pack in command.packs:
        yield from (pack.oid, pack.base)


def _keys_of_outputs(command: Complete | Fail) -> Iterable[str]:
    for output in command.outputs:
        yield from (output.internal, output.remote)


_KEYS: dict[type[Any], Callable[[Any], Iterable[str]]] = {
    SubmitRun: _keys_of_submission,
    ExtendRun: _keys_of_todos,
    Replan: lambda c: (c.todo.id, c.todo.key, c.todo.lane or ""),
    ReserveCall: lambda c: (c.call, c.model),
    Remember: _keys_of_memory,
    ForgetThreads: lambda c: c.threads,
    AskPerson: lambda c: (c.key,),
    Claim: lambda c: (c.worker,),
    ClaimNext: lambda c: (c.worker,),
    Complete: _keys_of_outputs,
    Fail: _keys_of_outputs,
    Resume: lambda c: (c.placement,),
    IssueToken: lambda c: (c.name, c.parent or ""),
    RevokeToken: lambda c: (c.name,),
    TakeSink: lambda c: (c.sink, c.worker),
    AdvanceSink: lambda c: (c.sink, c.worker, *(run for run, _ in c.told)),
    WorkerStarted: lambda c: (c.worker,),
}


def _out_of_range(name: str, value: float | None, bound: int = INTEGER) -> str | None:
    if value is None or -bound <= value <= bound:  # which not-a-number is not
        return None
    return f"{name} is out of range: {value}"


def _in_submission(command: SubmitRun) -> str | None:
    return _in_limits(command) or _in_todos(command.todos) or _out_of_range("concurrency", command.concurrency)


def _in_limits(command: SubmitRun | Resume) -> str | None:
    limits = (command.tokens, command.nano)
    return next(filter(None, (_amount("a budget", limit, BIG_INTEGER) for limit in limits if limit is not None)), None)


def _in_todos(todos: Iterable[NewTodo]) -> str | None:
    for todo in todos:
        if not -INTEGER <= todo.priority <= INTEGER or not -INTEGER <= todo.timeout <= INTEGER:
            return f"{todo.key}: priority {todo.priority} or timeout {todo.timeout} is out of range"
    return None


def _in_attempt(command: Complete | Fail | ExtendRun) -> str | None:
    for item in command.evidence:
        if bad := _out_of_range("exit code", item.exit_code) or _out_of_range("seconds", item.seconds):
            return bad
    if isinstance(command, ExtendRun):
        return _in_todos(command.todos)
    if isinstance(command, Fail) and (bad := _out_of_range("retry_after", command.retry_after)):
        return bad
    sizes = (_out_of_range("size", output.size, BIG_INTEGER) for output in command.outputs)
    return next(filter(None, sizes), None)


def _in_call(command: SettleCall) -> str | None:
    amounts = (command.input, command.cached, command.written, command.output, command.nano)
    return next(filter(None, (_amount("usage", amount) for amount in amounts)), None)


_AMOUNT = 1 << 53
"""Of tokens or nano-dollars in one call: sums of some stay in range."""


def _amount(name: str, value: int, bound: int = _AMOUNT) -> str | None:
    return f"{name} is less than nothing: {value}" if value < 0 else _out_of_range(name, value, bound)


def _in_memory(command: Remember) -> str | None:
    counts: list[int] = [number for said in command.said for number in (said.talk, said.seq)]
    counts += [number for tool in command.tools for number in (tool.talk, tool.seq, tool.number)]
    counts += [write.idx for write in command.writes]
    if bad := next(filter(None, (_amount("size", pack.size, BIG_INTEGER) for pack in command.packs)), None):
        return bad
    if now := command.standing:
        counts += (now.continuations, now.fruitless, now.credit, now.consultations, now.errors, now.turns)
        counts.append(now.tool_calls)
        if bad := _amount("tokens", now.tokens) or _out_of_range("seconds", now.seconds):
            return bad
    return next(filter(None, (_out_of_range("a number", number) for number in counts)), None)


_NUMBERS: dict[type[Any], Callable[[Any], str | None]] = {
    SubmitRun: _in_submission,
    ClaimNext: lambda c: _out_of_range("limit", c.limit),
    Complete: _in_attempt,
    Fail: _in_attempt,
    AdvanceSink: lambda c: next((bad for _, seq in c.told if (bad := _out_of_range("seq", seq))), None),
    WorkerStarted: lambda c: _out_of_range("pid", c.pid),
    ExtendRun: _in_attempt,
    Replan: lambda c: _in_todos([c.todo]),
    Resume: _in_limits,
    ReserveCall: lambda c: _amount("tokens", c.tokens) or _amount("nano", c.nano or 0),
    SettleCall: _in_call,
    Remember: _in_memory,
    AskPerson: lambda c: _out_of_range("expires", c.expires),
    Release: lambda c: _out_of_range("after", c.after),
    IssueToken: lambda c: _out_of_range("seconds", c.seconds),
}
