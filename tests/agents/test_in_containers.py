"""Agents in containers: the same work, with nothing of the host, no network, and another user's files."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from mcp_servers.container.docker import DockerSandbox
from tests.agents.cast import DONE, acts, call, runs, writes
from tests.agents.world import KEY, World, opened, todo
from tests.integration.git_repositories import plain

pytestmark = pytest.mark.docker
IMAGE = "atlas-test/busybox:1"
CANARY = "canary-93be-never-to-be-seen"


@pytest.fixture
async def world(docker_url: str, busybox_image: str, tmp_path: Path) -> AsyncGenerator[World]:
    async with opened(tmp_path / "world") as world:

        async def connect() -> DockerSandbox:
            return DockerSandbox(boot=world.path.name, home=str(world.path), url=docker_url, network="host")

        world.connect = connect
        yield world


def inside(**fields: object) -> dict[str, object]:
    return todo(image=IMAGE, **fields)


async def test_what_tools_write_and_what_commands_write_is_one_tree(world: World) -> None:
    told = await world.play(
        inside(touches=["answer.txt", "d/**"]),
        sandbox="docker",
        cast={
            "hephaestus": acts(
                writes("answer.txt", "nearly\n"),
                runs("sed -i s/nearly/right/ answer.txt && mkdir -p d && echo x > d/new && chmod 700 d"),
                call("workspace_delete", path="d", recursive=True),
                call("check"),
                DONE,
            )
        },
    )
    assert told == "completed", await world.told()
    assert await world.file("answer.txt") == "right\n"
    assert await world.file("d/new") is None


async def test_there_is_nothing_of_the_host_inside(world: World) -> None:
    await world.play(
        inside(),
        sandbox="docker",
        cast={
            "hephaestus": acts(
                runs(f"env; id -u; ls {world.path}; ls -a / /home /root; wget -T 1 -O - http://127.0.0.1:1 2>&1; true"),
                runs("ls -a; cat .git/config"),
                writes(),
                DONE,
            )
        },
    )
    said = "\n".join(heard.text for heard in world.stage.by("hephaestus"))
    assert KEY not in said
    assert "answer.txt" in said
    assert f"ls: {world.path}: No such file" in said
    assert ".git/config: No such file" in said or "can't open '.git/config'" in said
    assert (await world.row()).state == "completed"


async def test_what_a_command_reads_and_sends_stays_inside(world: World) -> None:
    """Files of secrets where people have them, and a remote that it could push to: neither is there."""
    places = [world.path / "home" / name for name in (".ssh/id_ed25519", ".aws/credentials", ".netrc", "token")]
    for place in places:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(CANARY)
    head = plain(world.repository, "rev-parse", "main")
    reads = "; ".join(f"cat {place}" for place in places)
    pushes = f"cd {world.repository} && git push . HEAD:refs/heads/owned; echo x > {world.repository}/owned"
    # what is bound from the host is the workspace alone: `..` of it is the container's
    climbs = "ls -a .. ../..; find / -xdev -name credentials 2>/dev/null; cat /proc/mounts"
    cast = {"hephaestus": acts(runs(reads), runs(pushes), runs(climbs), writes(), DONE)}
    assert await world.play(inside(), sandbox="docker", cast=cast) == "completed", await world.told()
    sent = "".join(asked.raw.decode() for asked in world.server.asked)
    assert "No such file" in sent
    assert CANARY not in sent
    assert all(place.read_text() == CANARY for place in places)
    assert plain(world.repository, "rev-parse", "main") == head
    assert plain(world.repository, "branch", "--list", "owned") == ""
    assert not (world.repository / "owned").exists()


async def test_without_an_engine_a_model_runs_nothing_unless_the_host_is_allowed(world: World) -> None:
    world.connect = None
    assert await world.play(inside(), sandbox="auto") == "blocked"
    (told,) = [each for key, each in (await world.told()).items() if key == "fix"]
    assert told[:2] == ("blocked", "sandbox")
    assert "--sandbox host" in (told[2] or "")
    assert not world.stage.heard
