"""What one attempt has said and done, in rows: read once when a worker takes it up, then written through.

Everything is keyed by (TODO, epoch, attempt). Who takes an attempt over finds every reply that was paid for and every
call that was begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypedDict, Unpack, cast

from sqlmodel import Session, col, select

from roles.conversation import decode_blocks, encode_blocks
from roles.models.port import ENVELOPE, Block, Message, Request, prefix_bytes
from state.agent_commands import CommitPack, Noted, Remember, Said, SettleCall, Standing, ToolRow, ToolState
from state.agent_tables import AgentRow, MessageRow, ToolCallRow
from state.commands import Claimed, Command, Outcome, Refused
from state.errors import AtlasError, LeaseLost
from state.ports import Store

Write = Callable[[Sequence[Command]], Awaitable[list[Outcome]]]
"""Carries out commands in one transaction, and does not give up while the database is away."""
Place = tuple[int, int, int]
"""Of a tool call: (talk, seq of the message that wants it, number in it)."""


class Told(TypedDict, total=False):
    """What can be remembered; see `Remember`."""

    said: Sequence[Said]
    tools: Sequence[ToolRow]
    standing: Standing | None
    packs: Sequence[CommitPack]
    notes: Sequence[Noted]
    events: Sequence[tuple[str, str]]


@dataclass(slots=True)
class Record:
    """See the module. `fence` is this worker's."""

    claim: Claimed
    write: Write
    talks: dict[int, list[Said]] = field(default_factory=dict[int, list[Said]])
    read: dict[int, list[Message]] = field(default_factory=dict[int, list[Message]])
    """The turns of `talks` as far as somebody asked for them: reading them costs more than all else of a turn."""
    prefixes: dict[str, int] = field(default_factory=dict[str, int])
    sizes: dict[int, list[int]] = field(default_factory=dict[int, list[int]])
    """By talk: how many bytes its first turns have together, for one turn, two, ..."""
    tools: dict[Place, ToolRow] = field(default_factory=dict[Place, ToolRow])
    standing: Standing = field(default_factory=Standing)
    pending: list[Command] = field(default_factory=list[Command])
    """Known here, and durable with whatever is written next."""
    writing: asyncio.Task[None] | None = None
    """Some of it on its way; whatever is written next comes after it."""

    @classmethod
    async def load(cls, store: Store, claim: Claimed, write: Write) -> Record:
        """What is there of this attempt."""
        record = cls(claim, write)
        await store.read(record._read)
        return record

    def _read(self, session: Session) -> None:
        claim = self.claim
        key = (claim.todo, claim.epoch, claim.attempt)
        messages = select(MessageRow).where(
            MessageRow.todo_id == key[0], MessageRow.epoch == key[1], MessageRow.attempt == key[2]
        )
        for row in session.exec(messages.order_by(col(MessageRow.talk), col(MessageRow.seq))):
            said = Said(row.talk, row.seq, row.role, row.speaker, row.blocks, row.stop, row.call_id)
            self.talks.setdefault(row.talk, []).append(said)
        calls = select(ToolCallRow).where(
            ToolCallRow.todo_id == key[0], ToolCallRow.epoch == key[1], ToolCallRow.attempt == key[2]
        )
        for row in session.exec(calls):
            self.tools[row.talk, row.seq, row.number] = ToolRow(
                row.talk, row.seq, row.number, row.call, row.name, row.arguments, cast(ToolState, row.state),
                row.result, row.digest, row.snapshot,
            )  # fmt: skip
        if agent := session.get(AgentRow, key):
            names = (name for name in Standing.__slots__)
            self.standing = Standing(**{name: getattr(agent, name) for name in names})

    def messages(self, talk: int, upto: int) -> list[Message]:
        """The first `upto` turns of a conversation."""
        read = self.read.setdefault(talk, [])
        for each in self.talks.get(talk, ())[len(read) : upto]:
            read.append(Message("user" if each.role == "user" else "assistant", self.blocks(each)))
        return read[:upto]

    def input_bytes(self, speaker: str, talk: int, request: Request) -> int:
        """No fewer than `Request.input_bytes`, at no cost: what was said is kept as JSON, which only adds to it, and
        what comes before is the same in all requests of a speaker."""
        if speaker not in self.prefixes:
            self.prefixes[speaker] = prefix_bytes(request.system, request.tools)
        said, sizes = self.talks.get(talk, ()), self.sizes.setdefault(talk, [0])
        for each in said[len(sizes) - 1 : len(request.messages)]:
            sizes.append(sizes[-1] + len(each.blocks) + ENVELOPE)
        return self.prefixes[speaker] + sizes[min(len(said), len(request.messages))]

    def turn(self, talk: int, seq: int) -> Message:
        """One that is there."""
        read = self.read.setdefault(talk, [])
        if len(read) < seq:
            self.messages(talk, seq)
        return read[seq - 1]

    def said(self, talk: int, seq: int) -> Said | None:
        """A turn, if it is there."""
        turns = self.talks.get(talk, ())
        return turns[seq - 1] if 0 < seq <= len(turns) else None

    @staticmethod
    def blocks(said: Said) -> list[Block]:
        """What was said."""
        return decode_blocks(said.blocks)

    def user(self, talk: int, seq: int, speaker: str, blocks: Sequence[Block]) -> Said:
        """A turn of the house's."""
        return Said(talk, seq, "user", speaker, encode_blocks(blocks))

    async def remember(self, *, first: Sequence[Command] = (), **told: Unpack[Told]) -> None:
        """Durable when it returns. `first` are commands of the same transaction. `LeaseLost` when the TODO is not this
        worker's any more; then nothing of it was written."""
        self.later(first=first, **told)
        await self.flush()

    def later(self, *, first: Sequence[Command] = (), **told: Unpack[Told]) -> None:
        """Like `remember`, but durable with what is written next under this fence, in one transaction: for what comes
        right before the checkpoint that says so."""
        mine = Remember(self.claim.todo, self.claim.fence, **told)
        self.pending += [*first, mine]
        self.keep(mine.said, mine.tools, mine.standing)

    def take(self) -> list[Command]:
        """What is pending, for who writes it."""
        taken, self.pending = self.pending, []
        return taken

    def keep_checkpoint(self, command: Command) -> None:
        """A checkpoint that speaks of what is pending. It needs to be durable before the next thing leaves the process,
        and that is written through here: so nobody waits for it. What was paid for, or did something, is on its way at
        once; that somebody has looked at something can wait for the next reservation."""
        self.pending.append(command)
        idle = self.writing is None or (self.writing.done() and not self.writing.exception())
        if idle and any(map(_costly, self.pending)):
            self.writing = asyncio.create_task(self._write_pending())

    async def flush(self) -> None:
        """Write what is pending. `LeaseLost`."""
        await self._arrived()
        await self._write_pending()

    async def _write_pending(self) -> None:
        if taken := self.take():
            for outcome in await self._written(taken, taken):
                check(outcome)

    async def _written(self, taken: list[Command], commands: Sequence[Command]) -> list[Outcome]:
        """The outcomes of the commands, among which is what was `taken`: it is pending again if that is cut off. What
        arrived all the same may be told twice."""
        try:
            return await self.write(commands)
        except BaseException:
            self.pending[:0] = taken
            raise

    async def _arrived(self) -> None:
        while (task := self.writing) is not None:
            await asyncio.wait([task])  # who is cancelled here leaves it for who flushes at the end
            self.writing = None
            task.result()

    async def commit(self, commands: Sequence[Command]) -> list[Outcome]:
        """Carry these out, after what is pending; their outcomes. `LeaseLost` for what was pending."""
        await self._arrived()
        taken = self.take()
        outcomes = await self._written(taken, [*taken, *commands])
        for outcome in outcomes[: len(taken)]:
            check(outcome)
        return outcomes[len(taken) :]

    def keep(self, said: Sequence[Said] = (), tools: Sequence[ToolRow] = (), standing: Standing | None = None) -> None:
        """It has been written."""
        for each in said:
            turns = self.talks.setdefault(each.talk, [])
            if each.seq == len(turns) + 1:
                turns.append(each)
        for tool in tools:
            self.tools[tool.talk, tool.seq, tool.number] = tool
        if standing:
            self.standing = standing

    def stands(self, **changes: object) -> Standing:
        """The standing, changed; not written yet."""
        return replace(self.standing, **changes)  # pyright: ignore[reportArgumentType]


def _costly(command: Command) -> bool:
    """What nobody wants to do again: a call of a model, or of a tool that changed something."""
    return isinstance(command, SettleCall) or (
        isinstance(command, Remember) and any(tool.snapshot for tool in command.tools)
    )


def check(outcome: Outcome) -> None:
    """`LeaseLost` if it was refused for that, else an error in Atlas."""
    if isinstance(outcome, Refused):
        if outcome.code == "lease_lost":
            raise LeaseLost(outcome.message)
        raise AtlasError(f"could not be remembered: {outcome.message}")
