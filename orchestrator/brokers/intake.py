"""Task documents that other programs put into the intake queue (design §3). Every worker may take them: what comes
twice is the same run."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence

from mcp_servers.storage.threads import in_thread
from orchestrator.asking import may_be_named
from orchestrator.brokers.rabbitmq import Rabbit
from orchestrator.plan.task import TaskDocument, key_of, read_task
from orchestrator.service import Service
from state import tracing
from state.errors import InputError
from state.failpoints import failpoint

log = logging.getLogger(__name__)

REMOTES = ("s3://",)
"""What a document from outside may name, unless the operator says otherwise: no files of the workers' hosts."""
_ID_BYTES = 255
"""AMQP's bound on a message id."""


class Intake:
    """Makes runs of the messages; whether and when to acknowledge them is `Rabbit`'s to decide. `remotes`: what they
    may name as inputs and outputs begins with one of these, which end with a slash. Workers move data with their own
    rights, wherever the command runs."""

    def __init__(self, service: Service, remotes: Sequence[str] = REMOTES) -> None:
        self._service = service
        self._remotes = tuple(remotes)
        self._reading = asyncio.Lock()

    async def handle(self, body: bytes, headers: Mapping[str, object], message_id: str | None) -> str | None:
        """`rabbitmq.Handle`: None once the task is in the database, or why it never will be. Raises what may be
        different the next time: `StoreError`."""
        failpoint("intake.received")
        try:
            # In a thread, and one at a time: a large document must not keep the worker from its heartbeat.
            async with self._reading:
                task = await in_thread(lambda stop: read_task(None, body, json_only=True))
            self._check(task)
            trace = tracing.valid(headers.get("traceparent"))
            submitted = await self._service.submit_task(
                task, provenance="outside", source="intake", traceparent=trace
            )  # fmt: skip
            failpoint("intake.submitted")
        except InputError as error:
            named = key_of(body) or message_id or "a message without an id"
            log.warning("%s is refused: %s", named, error.message)
            return f"{named}: {error.message}"
        for warning in submitted.warnings:
            log.warning("%s", warning)
        if not submitted.repeated:
            log.info("%s is run %s", task.key, submitted.run[-8:])
        return None

    def _check(self, task: TaskDocument) -> None:
        for remote in task.remotes:
            if not may_be_named(remote, self._remotes):
                allowed = ", ".join(self._remotes) or "none"
                raise InputError(
                    f"{remote} may not be named from outside; allowed: {allowed}",
                    "The workers' operator says so: remotes under [intake] of their settings.",
                )


async def take_in(rabbit: Rabbit, service: Service, remotes: Sequence[str] = REMOTES) -> None:
    """Make runs of what other programs put into the intake queue, until the connection is closed for good. What is no
    task document goes to the dead letters, with the reason."""
    await rabbit.consume_intake(Intake(service, remotes).handle)


def message_id(body: bytes) -> str | None:
    """Source and id, as far as the body has them and an id can hold them."""
    key = key_of(body)
    return key if key and len(key.encode()) <= _ID_BYTES else None
