"""LangGraph's checkpoints in our store: every write carries the fence of the TODO that the graph works on.

The lease travels as ``config["configurable"][LEASE]``, a pair (TODO, fence); names that begin with ``__`` stay out of
the stored metadata and reach subgraphs. Who holds an old fence gets `LeaseLost` and has written nothing. Reading needs
no lease and works from any process.

Of what LangGraph writes it awaits only `aput`. So a write is serialised and handed on before anything is awaited: the
order of the calls is the order of the commits, and a step's writes are durable when its checkpoint is.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NoReturn, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)
from sqlmodel import Session, col, select

from state.agent_commands import ForgetThreads, Remember, SavedCheckpoint, SavedWrite
from state.agent_tables import CheckpointRow, CheckpointWriteRow
from state.commands import Command, Refused
from state.errors import LeaseLost, StoreError
from state.ports import Store

LEASE = "__atlas_lease"
"""Where a config has (TODO, fence)."""
Lease = tuple[str, int]
Place = tuple[str, str, str | None]
"""Thread, namespace, checkpoint."""


class StoreSaver(BaseCheckpointSaver[int]):
    """A checkpointer for `CompiledStateGraph`, async only; use it with ``durability="sync"``.

    Unless `history` is kept, a thread has at most its newest checkpoint and that one's parent: what is older goes in
    the transaction that writes the newest."""

    def __init__(self, store: Store, *, history: bool = False, results: bool = True) -> None:
        """Without `results`, what a task returned is durable with the checkpoint after it, and not before: for a graph
        of one task at a time, whose nodes find what they have done when they are run again."""
        super().__init__()
        self._results = results
        self._store = store
        self._history = history
        self._joined: dict[Lease, Callable[[Command], None]] = {}

    @contextmanager
    def joined(self, lease: Lease, keep: Callable[[Command], None]) -> Generator[None]:
        """While this lasts, `keep` is given each checkpoint and result under this lease instead of the store. It writes
        them in the order in which they come, in one transaction with what they speak of, and before anything that
        follows leaves the process."""
        self._joined[lease] = keep
        try:
            yield
        finally:
            del self._joined[lease]

    # --- writing -----------------------------------------------------------------------------------------------------

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:  # fmt: skip
        """See the module. Raises `LeaseLost`, `StoreError`."""
        thread, ns, parent = _place(config)
        kind, body = self._dump(checkpoint)
        meta = json.dumps(get_checkpoint_metadata(config, metadata), separators=(",", ":"))
        saved = SavedCheckpoint(thread, ns, checkpoint["id"], parent, kind, body, meta, prune=not self._history)
        await self._write(config, checkpoints=[saved])
        return _config(thread, ns, checkpoint["id"])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """See the module. Raises `LeaseLost`, `StoreError`."""
        thread, ns, id = _place(config)
        if id is None:
            raise ValueError(f"thread {thread}: the results of a task belong to a checkpoint, and none is named")
        special = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        if not special and not self._results:
            return
        saved = [
            SavedWrite(
                thread, ns, id, task_id, WRITES_IDX_MAP.get(channel, place), task_path, channel, *self._dump(value),
                replace=special,
            )
            for place, (channel, value) in enumerate(writes)
        ]  # fmt: skip
        await self._write(config, writes=saved)

    async def _write(
        self, config: RunnableConfig, checkpoints: Sequence[SavedCheckpoint] = (), writes: Sequence[SavedWrite] = ()
    ) -> None:
        todo, fence = _lease(config)
        command = Remember(todo, fence, checkpoints=checkpoints, writes=writes)
        if keep := self._joined.get((todo, fence)):
            keep(command)
            return
        (outcome,) = await self._store.apply([command])  # queued at once: nothing may be awaited before this
        if isinstance(outcome, Refused):
            error = LeaseLost if outcome.code in ("lease_lost", "missing") else StoreError
            raise error(f"a checkpoint was not written: {outcome.message}")

    def _dump(self, value: object) -> tuple[str, str]:
        kind, data = self.serde.dumps_typed(value)
        return kind, b64encode(data).decode()

    # --- reading -----------------------------------------------------------------------------------------------------

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that is named, else the newest of the thread's namespace; None if there is none."""
        thread, ns, id = _place(config)
        query = select(CheckpointRow).where(CheckpointRow.thread == thread, CheckpointRow.ns == ns)
        query = query.where(CheckpointRow.id == id) if id else query.order_by(col(CheckpointRow.id).desc()).limit(1)

        def look(session: Session) -> CheckpointTuple | None:
            row = session.exec(query).first()
            return self._tuple(session, row) if row else None

        return await self._store.read(look)

    async def alist(
        self, config: RunnableConfig | None, *, filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None, limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:  # fmt: skip
        """Newest first. A namespace of ``""`` is the root's, none is all of them; `limit` counts what fits `filter`."""
        found = await self._store.read(partial(self._list, config, filter or {}, before, limit))
        for each in found:
            yield each

    def _list(
        self, config: RunnableConfig | None, filter: dict[str, Any], before: RunnableConfig | None, limit: int | None,
        session: Session,
    ) -> list[CheckpointTuple]:  # fmt: skip
        settings: dict[str, Any] = config.get("configurable", {}) if config else {}
        query = select(CheckpointRow).order_by(col(CheckpointRow.id).desc())
        for column, name in (
            (CheckpointRow.thread, "thread_id"),
            (CheckpointRow.ns, "checkpoint_ns"),
            (CheckpointRow.id, "checkpoint_id"),
        ):
            if (wanted := settings.get(name)) is not None:
                query = query.where(column == wanted)
        if before:
            query = query.where(col(CheckpointRow.id) < get_checkpoint_id(before))
        rows: list[CheckpointRow] = []
        for row in session.exec(query):
            if limit is not None and len(rows) >= limit:
                break
            meta = json.loads(row.meta)
            if all(key in meta and meta[key] == value for key, value in filter.items()):
                rows.append(row)
        return [self._tuple(session, row) for row in rows]

    def _tuple(self, session: Session, row: CheckpointRow) -> CheckpointTuple:
        of_checkpoint = select(CheckpointWriteRow).where(
            CheckpointWriteRow.thread == row.thread, CheckpointWriteRow.ns == row.ns, CheckpointWriteRow.id == row.id
        )
        writes = sorted(session.exec(of_checkpoint), key=lambda each: writes_sort_key(each.path, each.task, each.idx))
        return CheckpointTuple(
            _config(row.thread, row.ns, row.id),
            self._load(row.type, row.body),
            json.loads(row.meta),
            _config(row.thread, row.ns, row.parent) if row.parent else None,
            [(each.task, each.channel, self._load(each.type, each.value)) for each in writes],
        )

    def _load(self, kind: str, text: str) -> Any:  # noqa: ANN401  whatever a graph's state holds
        return self.serde.loads_typed((kind, b64decode(text)))

    # --- forgetting: no fence; whoever settles an attempt or sweeps has an authority of his own -----------------------

    async def adelete_thread(self, thread_id: str) -> None:
        """All of its checkpoints and results."""
        await self._forget(ForgetThreads([thread_id]))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """``keep_latest``: the newest checkpoint of each namespace stays, with its results; ``delete``: none does."""
        if strategy not in ("keep_latest", "delete"):
            raise ValueError(f"no strategy {strategy!r}: keep_latest or delete")
        await self._forget(ForgetThreads(list(thread_ids), keep_latest=strategy == "keep_latest"))

    async def _forget(self, command: ForgetThreads) -> None:
        (outcome,) = await self._store.apply([command])
        if isinstance(outcome, Refused):
            raise StoreError(f"checkpoints were not removed: {outcome.message}")

    def _only_async(self, *_: object, **__: object) -> NoReturn:
        """What the synchronous half of LangGraph calls."""
        raise NotImplementedError("the store is asynchronous: run the graph with ainvoke or astream")

    get_tuple = list = put = put_writes = _only_async


def _settings(config: RunnableConfig) -> dict[str, Any]:
    return config.get("configurable", {})


def _lease(config: RunnableConfig) -> Lease:
    lease = _settings(config).get(LEASE)
    if lease is None:
        raise ValueError(
            f'nobody writes a checkpoint without a lease: give the graph config["configurable"]["{LEASE}"]'
        )
    return cast(Lease, lease)


def _place(config: RunnableConfig) -> Place:
    settings = _settings(config)
    return str(settings["thread_id"]), settings.get("checkpoint_ns", ""), settings.get("checkpoint_id")


def _config(thread: str, ns: str, id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id}}
