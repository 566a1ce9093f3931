"""Handing in a task document: `atlas submit`, to the database or, as any other program would, to the intake queue."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.running import Json, prepared, told
from state.errors import BrokerUnavailable, InputError, SettingsError

if TYPE_CHECKING:
    from orchestrator.cli.compose import House
    from orchestrator.plan.task import TaskDocument

_CONNECT_SECONDS = 5.0


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(submit)


def submit(
    task: Annotated[Path, typer.Argument(metavar="TASK", help="A task.json (or .yaml); '-' reads standard input.")],
    wait: Annotated[bool, typer.Option("--wait", help="Follow it to its end, and exit as it does.")] = False,
    amqp: Annotated[
        bool, typer.Option("--amqp", help="Put it into the intake queue of ATLAS_BROKER_URL; no database is needed.")
    ] = False,
    unchecked: Annotated[bool, typer.Option("--unchecked", help="With --amqp: whatever it says.")] = False,
    as_json: Json = False,
) -> None:
    """Hand in one task for `atlas worker`. Its source and id make it one run, however often it is handed in."""
    if amqp:
        told(lambda: _publish(task, unchecked=unchecked, wait=wait, as_json=as_json), as_lines_of_json=as_json)
    prepared(lambda: _handing_in(task, unchecked=unchecked, wait=wait, as_json=as_json), as_lines_of_json=as_json)


def _handing_in(
    path: Path, *, unchecked: bool, wait: bool, as_json: bool
) -> Callable[[House], Awaitable[int]]:  # fmt: skip
    if unchecked:
        raise InputError("--unchecked is for --amqp", "What goes into the database is always checked.")
    document = _read(path, _bytes(path))

    async def use(house: House) -> int:
        from orchestrator.cli.compose import callers_trace

        submitted = await house.service.submit_task(
            document, provenance="person", source="cli", traceparent=callers_trace()
        )
        for warning in submitted.warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if wait:
            from orchestrator.cli.looking import followed

            return await followed(house, submitted.run, as_json=as_json)
        run = await house.service.run(submitted.run)
        if as_json:
            print(json.dumps({**asdict(run), "repeated": submitted.repeated}, ensure_ascii=False))
            return 0
        said = "submitted; a worker carries it out, `atlas watch` shows it"
        if submitted.repeated:
            said = f"was handed in before, and nothing has changed; it is {run.state}"
        print(f"{run.name} {run.id[-8:]}: {said}")
        return 0

    return use


def _publish(path: Path, *, unchecked: bool, wait: bool, as_json: bool) -> int:
    import asyncio

    from orchestrator.asking import may_be_named
    from orchestrator.brokers.intake import message_id
    from orchestrator.cli.compose import callers_trace, settings
    from orchestrator.cli.traces import traced
    from orchestrator.logs import KnownSecrets, configure
    from state import tracing
    from state.records import new_id

    if wait:
        raise InputError("--wait can't be had with --amqp", "Whoever takes it from the queue makes the run, later.")
    found = settings()
    configure("error", found.log_format, KnownSecrets())  # what there is to say is said once, at the end
    url = found.broker_url
    if url is None:
        raise SettingsError(
            "--amqp needs a broker, and none is set", "Set ATLAS_BROKER_URL=amqp://user:password@host:5672/."
        )
    data = _bytes(path)
    if not unchecked:
        for remote in _read(path, data, json_only=True).remotes:
            if not may_be_named(remote, found.intake_remotes):
                print(f"warning: workers with these settings refuse {remote} ([intake] remotes)", file=sys.stderr)
    named = message_id(data) or new_id()
    with traced(os.environ), tracing.span("atlas.hand_in", {}, "producer", callers_trace() or "current"):
        asyncio.run(_send(url, data, named, tracing.traceparent() or callers_trace()))
    if as_json:
        print(json.dumps({"message": named}, ensure_ascii=False))
    else:
        print(f"{named}: in the intake queue; `atlas worker` takes it from there")
    return 0


async def _send(url: str, data: bytes, message_id: str, traceparent: str | None) -> None:
    from orchestrator.brokers.rabbitmq import Rabbit

    rabbit = Rabbit(url)
    try:
        await rabbit.open(_CONNECT_SECONDS)
        await rabbit.submit(data, message_id, traceparent)
    except BrokerUnavailable as error:
        hint = "Is it running, and is ATLAS_BROKER_URL right? It may be handed in again in any case: it is one run."
        raise BrokerUnavailable(error.message, hint) from error
    finally:
        await rabbit.close()


def _read(path: Path, data: bytes, *, json_only: bool = False) -> TaskDocument:
    from orchestrator.plan.task import read_task

    return read_task(None if str(path) == "-" else path, data, json_only=json_only)


def _bytes(path: Path) -> bytes:
    from orchestrator.plan.source import read_bytes
    from state.limits import DOCUMENT_BYTES

    return sys.stdin.buffer.read(DOCUMENT_BYTES + 1) if str(path) == "-" else read_bytes(path)
