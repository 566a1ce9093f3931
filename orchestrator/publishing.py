"""The canonical copies of outputs: made by the attempt that won, and by any sweeper when that one died on the way."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from sqlmodel import Session

from mcp_servers.storage import outputs
from orchestrator.dispatch import Dispatch
from state import reading, sweeping
from state.commands import Claimed, Published
from state.errors import AtlasError
from state.ports import ObjectStore
from state.records import Output
from state.tables import ArtifactRow

log = logging.getLogger(__name__)

_LATE_SECONDS = 10.0


class Publisher:
    """Copies what the manifest says from where it was staged to where people look. Repeatable."""

    def __init__(self, dispatch: Dispatch, stores: ObjectStore) -> None:
        self._dispatch = dispatch
        self._stores = stores

    async def of_todo(self, claim: Claimed) -> None:
        """Publish what this TODO has just ended with."""
        await self._publish(await self._dispatch.store.read(lambda session: reading.artifacts(session, claim.todo)))

    async def everything(self, run: str | None = None, *, late: float = _LATE_SECONDS) -> None:
        """Publish what is known not to be published: of one run, or of all what its own worker should have published
        `late` seconds ago."""
        seconds = 0.0 if run else late

        def look(session: Session) -> Sequence[ArtifactRow]:
            return reading.unpublished(session, run, seconds) if sweeping.anything_unpublished(session) else ()

        await self._publish(await self._dispatch.store.read(look))

    async def _publish(self, rows: Sequence[ArtifactRow]) -> None:
        for row in rows:
            if row.published_at is None:
                await self._copy(row)

    async def _copy(self, row: ArtifactRow) -> None:
        try:
            await outputs.publish(_output(row), self._stores)
        except AtlasError as error:
            whose = {"run": row.run_id, "todo": row.todo_id}
            log.warning("%s could not be published yet: %s", row.remote, error.message, extra=whose)
            return
        await self._dispatch.persistently(Published(row.todo_id, row.fence, [row.internal]))
        # A failed TODO can be retried while its outputs are copied: the later attempt's must be what stays.
        for later in await self._dispatch.store.read(lambda session: reading.artifacts(session, row.todo_id)):
            if later.fence > row.fence and later.remote == row.remote:
                await self._copy(later)


def _output(row: ArtifactRow) -> Output:
    return Output(row.internal, row.remote, row.staged, row.digest, row.size, row.tree, row.listing)
