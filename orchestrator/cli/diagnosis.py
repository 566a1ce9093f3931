"""What `atlas doctor` looks at."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import sys
from collections.abc import Awaitable, Callable

from orchestrator.cli.compose import connect_docker, private_directory, settings
from orchestrator.cli.findings import Finding
from orchestrator.cli.model_findings import examine_models
from orchestrator.cli.voice_findings import examine_voice
from orchestrator.settings import Settings
from state.errors import AtlasError
from state.limits import GB

_ENGINE_SECONDS = 10.0
_LOW_DISK = 1 * GB


async def examine() -> list[Finding]:
    """Look at everything; no finding keeps another from being made."""
    try:
        found = settings()
    except AtlasError as error:
        return [Finding("settings", "broken", error.message, error.hint)]
    findings = [_python(), _git(), _home(found)]
    checks: list[Callable[[Settings], Awaitable[Finding]]] = [_database, _broker, _artifacts, _host, _docker]
    for check in checks:
        try:
            findings.append(await check(found))
        except AtlasError as error:
            findings.append(Finding(check.__name__.lstrip("_"), "broken", error.message, error.hint))
    return [*findings, *await examine_models(found, os.environ), examine_voice(found, os.environ)]


def _python() -> Finding:
    return Finding("python", "good", f"{sys.version.split()[0]}, SQLite {sqlite3.sqlite_version}")


def _git() -> Finding:
    git = shutil.which("git")
    if git:
        return Finding("git", "good", git)
    return Finding("git", "limited", "no git program: plans with `repo:` can't run", "Install git.")


def _home(found: Settings) -> Finding:
    home = private_directory(found.home)
    free = shutil.disk_usage(home).free
    if not os.access(home, os.W_OK):
        return Finding("home", "broken", f"{home} is not writable", "Point ATLAS_HOME at a directory of yours.")
    if free < _LOW_DISK:
        return Finding("home", "limited", f"{home}: only {free / GB:.1f} GB free", "Free some space.")
    return Finding("home", "good", f"{home}, {free / GB:.0f} GB free")


async def _database(found: Settings) -> Finding:
    from orchestrator.cli.persistence import opened

    kept = await asyncio.to_thread(opened, found.database_url)
    await kept.store.close()
    return Finding("database", "good", kept.name)


async def _broker(found: Settings) -> Finding:
    if not found.broker_url:
        return Finding("broker", "good", "none: workers ask the database")
    from orchestrator.brokers.rabbitmq import Rabbit

    place, trouble = await Rabbit(found.broker_url).examined()
    if trouble is None:
        return Finding("broker", "good", f"RabbitMQ at {place}")
    return Finding(
        "broker", "limited", f"RabbitMQ at {place}: {trouble}; workers ask the database meanwhile",
        "Check that it runs, and ATLAS_BROKER_URL.",
    )  # fmt: skip


async def _artifacts(found: Settings) -> Finding:
    from mcp_servers.storage.s3_calls import S3Settings
    from mcp_servers.storage.stores import ObjectStores

    stores = ObjectStores(S3Settings(endpoint=found.s3_endpoint, region=found.s3_region, attempts=1))
    try:
        await stores.stat(found.store_url.rstrip("/") + "/atlas-doctor")
    finally:
        await stores.close()
    return Finding("artifacts", "good", found.store_url)


async def _host(_found: Settings) -> Finding:
    from mcp_servers.container.host import HostSandbox

    sandbox = HostSandbox()
    try:
        found = await sandbox.probe()
    finally:
        await sandbox.close()
    return Finding("host", "good" if found.available else "limited", found.detail)


async def _docker(found: Settings) -> Finding:
    try:
        async with asyncio.timeout(_ENGINE_SECONDS):
            sandbox = await connect_docker(found, "doctor")
    except (AtlasError, TimeoutError) as error:
        said = error.message if isinstance(error, AtlasError) else "the engine does not answer"
        hint = error.hint if isinstance(error, AtlasError) else "Start Docker, or install it."
        return Finding("docker", "limited", f"{said}; commands of yours run on the host", hint)
    engine = await sandbox.probe()
    await sandbox.close()
    return Finding("docker", "good", engine.detail)
