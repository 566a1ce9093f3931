"""What dead workers leave on a host is removed; what others use is not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_servers.container.docker import DockerSandbox
from mcp_servers.container.engine import Engine
from mcp_servers.container.host import HostSandbox
from mcp_servers.container.profile import Profile, create_request
from mcp_servers.storage.cache import Cache
from mcp_servers.storage.s3_calls import S3Settings
from mcp_servers.storage.stores import ObjectStores
from orchestrator.cli import orphans as orphans_module
from orchestrator.cli.belongings import kept, marked, own_scratch
from orchestrator.cli.orphans import Orphans, host_scratch, surviving
from orchestrator.sandboxes import Containers, Policy, Sandboxes
from state.errors import SandboxUnavailable
from state.liveness import FileCensus, FileLiveness
from state.migrations import upgrade
from state.ports import SandboxCommand
from state.postgres import PostgresStore
from state.postgres_liveness import PostgresCensus, PostgresLiveness
from state.records import new_id
from tests.services.postgres import private_server


async def no_docker() -> Containers:
    raise SandboxUnavailable("none here")


@pytest.mark.parametrize("end", ["not yet", "clean"])
async def test_only_directories_of_the_dead_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    work, census = tmp_path / "work", tmp_path / "census"
    own, neighbour = FileLiveness(census), FileLiveness(census)
    dead, elsewhere = new_id(), new_id()
    for boot in (own.boot, neighbour.boot, dead):
        (work / boot / "todo-1").mkdir(parents=True)
    for boot in (own.boot, neighbour.boot, dead, elsewhere):
        (host_scratch(boot) / "atlas-x" / "home").mkdir(parents=True)
    stores = ObjectStores(S3Settings(), scratch=tmp_path)
    sandboxes = Sandboxes(HostSandbox(), no_docker, Policy())
    orphans = Orphans(
        work,
        tmp_path,
        tmp_path / "c",
        own.boot,
        FileCensus(census),
        sandboxes,
        Cache(tmp_path / "cache", stores),
        1 << 30,
    )
    await (orphans.remove() if end == "not yet" else orphans.remove_own())
    gone = {dead} if end == "not yet" else {dead, own.boot}
    assert {each for each in (own.boot, neighbour.boot, dead) if not (work / each).exists()} == gone
    assert {each for each in (own.boot, neighbour.boot, dead, elsewhere) if not host_scratch(each).exists()} == gone
    neighbour.close()  # from now on it is dead, and noticed at once
    await orphans.remove()
    assert not (work / neighbour.boot).exists()
    own.close()
    await stores.close()


async def test_what_is_not_ours_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ATLAS_HOME may be a directory that somebody uses besides, with a `work` of their own."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    theirs = [tmp_path / "work" / name / "thesis" for name in ("my-thesis", "projects", "0b1d", f".{new_id()}")]
    theirs += [tmp_path / "containers" / "mine", tmp_path / "tmp" / "atlas-my-thesis"]
    for each in theirs:
        each.mkdir(parents=True)
    own, stores = FileLiveness(tmp_path / "census"), ObjectStores(S3Settings(), scratch=tmp_path)
    orphans = Orphans(
        tmp_path / "work", tmp_path, tmp_path / "containers", own.boot, FileCensus(tmp_path / "census"),
        Sandboxes(HostSandbox(), no_docker, Policy()), Cache(tmp_path / "cache", stores), 1 << 30,
    )  # fmt: skip
    await orphans.remove()
    await orphans.remove_own()
    assert all(each.is_dir() for each in theirs)
    own.close()
    await stores.close()


async def test_who_is_locked_lives_whatever_a_database_says(tmp_path: Path) -> None:
    """Two databases in one home: neither knows the other's workers."""
    census = FileCensus(tmp_path / "census")
    others, dead, unmarked = new_id(), new_id(), FileLiveness(tmp_path / "census")
    (tmp_path / "containers" / dead).mkdir(parents=True)
    with marked(tmp_path / "containers" / others):
        asked = {others, dead, unmarked.boot, new_id()}
        assert await surviving(census, tmp_path / "containers", asked) == {others, unmarked.boot}
    unmarked.close()


@pytest.mark.postgres
async def test_who_died_before_the_database_was_restarted_is_an_orphan_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease has run out, which says no more of it than of one that hangs. That one is left alone, and so is one
    that lives, but whose session with the database has been ended, as if it were dead."""
    server = private_server(durable=True)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    try:
        upgrade(server.url)
        store, work = PostgresStore(server.url), tmp_path / "work"
        own, dead, hangs = (PostgresLiveness(server.url, lease=0.05) for _ in range(3))
        for each in (own, dead, hangs):
            (work / each.boot).mkdir(parents=True)
        server.stop()
        server.start()
        stores = ObjectStores(S3Settings(), scratch=tmp_path)
        sandboxes = Sandboxes(HostSandbox(), no_docker, Policy())
        orphans = Orphans(
            work,
            tmp_path,
            tmp_path / "c",
            own.boot,
            PostgresCensus(store),
            sandboxes,
            Cache(tmp_path / "cache", stores),
            1 << 30,
        )
        severed = PostgresLiveness(server.url)
        (work / severed.boot).mkdir()
        severed.close()
        assert (await PostgresCensus(store).verdicts([severed.boot]))[severed.boot] == "dead"
        with kept(work / hangs.boot), kept(work / severed.boot):
            await orphans.remove()
        assert {each.name for each in work.iterdir()} == {own.boot, hangs.boot, severed.boot}
        for each in (own, dead, hangs):
            each.close()
        await stores.close()
        await store.close()
    finally:
        server.remove()


@pytest.mark.docker
async def test_containers_of_the_dead_go_though_nobody_here_uses_any(
    tmp_path: Path, docker_url: str, busybox_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was made and never started: nobody's end ends it. Its maker's lease may seem to be about to be renewed,
    where a database was restarted; and the engine may be about to make another one, so it is asked twice."""
    work, contained, home = tmp_path / "work", tmp_path / "containers", str(tmp_path / "home")
    work.mkdir()
    own, dead, lives = FileLiveness(tmp_path / "census"), FileLiveness(tmp_path / "census"), new_id()
    engine, looked = Engine(docker_url), list[bool]()

    async def leave(boot: str) -> str:
        profile = Profile(boot=boot, home=home, keeper=Path("/bin/true"), user="1:1")
        body = create_request(SandboxCommand(("true",), tmp_path, 9.0), busybox_image, profile)
        return str((await engine.request("POST", "/containers/create", body=body)).fields()["Id"])

    async def there(container: str) -> bool:
        return (await engine.request("GET", f"/containers/{container}/json")).status == 200

    async def connect() -> Containers:
        looked.append(True)
        return DockerSandbox(boot=own.boot, home=home, url=docker_url, network="host")

    stores = ObjectStores(S3Settings(), scratch=tmp_path)
    sandboxes = Sandboxes(HostSandbox(), connect, Policy())
    orphans = Orphans(
        work, tmp_path, contained, own.boot, FileCensus(tmp_path / "census"), sandboxes,
        Cache(tmp_path / "cache", stores), 1 << 30,
    )  # fmt: skip
    await orphans.remove()
    with marked(contained / lives):
        (contained / dead.boot).mkdir()
        monkeypatch.setattr(orphans_module, "_EVERY_SECONDS", 0.2)
        (work / new_id()).mkdir()  # somebody has died
        first = await leave(dead.boot)
        assert not looked
        await orphans.remove()
        assert looked
        assert not await there(first)
        late = await leave(dead.boot)
        await asyncio.sleep(0.3)
        await orphans.remove()
        assert not await there(late)
        assert [path.name for path in contained.iterdir()] == [lives]
    assert not [*contained.iterdir()]
    await sandboxes.close()
    await stores.close()
    own.close()
    dead.close()


def test_scratch_of_the_killed_goes_and_nobody_elses(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from orchestrator.cli.belongings import own_scratch\n"
        "with own_scratch(Path(sys.argv[1])) as path: (path / 'd').mkdir(); print(path, flush=True); sys.stdin.read()"
    )

    def another() -> tuple[subprocess.Popen[str], Path]:
        arguments = [sys.executable, "-c", script, str(tmp_path)]
        process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        return process, Path(process.stdout.readline().strip())

    (foreign := tmp_path / "of-somebody-else").mkdir()
    (making := tmp_path / f".{new_id()}").mkdir()
    (stale := tmp_path / f".{new_id()}").mkdir()
    os.utime(stale, (1, 1))
    (second, others), (first, left) = another(), another()
    first.kill()
    first.communicate()
    assert (left / "d").is_dir(), "nobody was there to remove it"
    with own_scratch(tmp_path) as own:
        assert set(tmp_path.iterdir()) == {foreign, making, others, own}
        second.communicate()
    assert set(tmp_path.iterdir()) == {foreign, making}
