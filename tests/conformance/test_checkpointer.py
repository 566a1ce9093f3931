"""LangGraph's official suite for checkpointers against ours, on both engines."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import Capability

from roles.checkpoints import LEASE, Lease, StoreSaver
from state.ports import Store
from tests.contract.store_world import World, task

TESTS = {"put": 17, "put_writes": 10, "get_tuple": 10, "list": 16, "delete_thread": 5, "prune": 8}
"""What we claim, and at least so many tests of each."""
UNCLAIMED = {"delete_for_runs", "copy_thread"}
"""Nothing of Atlas needs them. If we begin to offer one, it is to be claimed above."""


class LeasedSaver(StoreSaver):
    """The suite knows nothing of leases: it writes under one that is always the same."""

    def __init__(self, store: Store, lease: Lease) -> None:
        super().__init__(store, history=True)
        self._lease = lease

    def _leased(self, config: RunnableConfig) -> RunnableConfig:
        return {**config, "configurable": {**config.get("configurable", {}), LEASE: self._lease}}

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:  # fmt: skip
        return await super().aput(self._leased(config), checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        await super().aput_writes(self._leased(config), writes, task_id, task_path)


async def test_everything_that_we_claim_passes(world: World) -> None:
    await world.submit(task("a", kind="agent"))
    claim = await world.claim("a")

    @checkpointer_test(name="StoreSaver")
    async def checkpointer() -> AsyncGenerator[BaseCheckpointSaver[int]]:
        yield LeasedSaver(world.store, (claim.todo, claim.fence))

    report = await validate(checkpointer)
    assert TESTS.keys() | UNCLAIMED == {capability.value for capability in Capability}
    failures = [line for result in report.results.values() for line in result.failures]
    assert failures == []
    passed = {name: report.results[name].tests_passed for name in TESTS}
    assert {name: passed[name] >= most for name, most in TESTS.items()} == dict.fromkeys(TESTS, True), passed
    assert all(report.results[name].passed for name in TESTS)
    assert not any(report.results[name].detected for name in UNCLAIMED)
    assert not any(result.tests_skipped for name, result in report.results.items() if name in TESTS)
