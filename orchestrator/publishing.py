"""The canonical copies of outputs: made by the attempt that won, and by any sweeper when that one died on the way."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from mcp_servers.storage import outputs
from orchestrator.dispatch import Dispatch
from state import reading
from state.commands import Claimed, Published
from state.errors import AtlasError
from state.ports import ObjectStore
from state.records import Output
from state.tables import ArtifactRow

log = logging.getLogger(__name__)


class Publisher:
    """Copies what the manifest says from where it was staged to where people look. Repeatable."""

    def __init__(self, dispatch: Dispatch, stores: ObjectStore) -> None:
        self._dispatch = dispatch
        self._stores = stores

    async def of_todo(self, claim: Claimed) -> None:
        """Publish what this TODO has just completed with."""
        await self._publish(await self._dispatch.store.read(lambda session: reading.artifacts(session, claim.todo)))

    async def everything(self, run: str | None = None) -> None:
        """Publish what is known not to be published, of one run or of all."""
        await self._publish(await self._dispatch.store.read(lambda session: reading.unpublished(session, run)))

    async def _publish(self, rows: Sequence[ArtifactRow]) -> None:
        for row in rows:
            if row.published_at is not None:
                continue
            try:
                await outputs.publish(_output(row), self._stores)
            except AtlasError as error:
                whose = {"run": row.run_id, "todo": row.todo_id}
                log.warning("%s could not be published yet: %s", row.remote, error.message, extra=whose)
                continue
            await self._dispatch.persistently(Published(row.todo_id, [row.internal]))


def _output(row: ArtifactRow) -> Output:
    return Output(row.internal, row.remote, row.staged, row.digest, row.size, row.tree, row.listing)
