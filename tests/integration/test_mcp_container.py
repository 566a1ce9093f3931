"""The container server runs things in containers, tells what they say, and leaves nothing running."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from mcp_servers.container.reaping import reap
from mcp_servers.manners import Policy
from tests.integration.container_workshop import Workshop, alive, all_but, eventually, running, within, workshop
from tests.services.answers import answer

pytestmark = pytest.mark.docker
# Everything a command can do to outlive the one who started it.
ESCAPES = "sleep {0} & setsid sleep {0} & (setsid sh -c 'sleep {0} & sleep {0}' >/dev/null 2>&1 &); sleep {0}"


@pytest.fixture
async def shop(docker_url: str, busybox_image: str, tmp_path: Path) -> AsyncIterator[Workshop]:
    async with workshop(docker_url, tmp_path) as found:
        yield found


def marker() -> str:
    """A number of seconds to sleep that nobody else sleeps."""
    return f"9{uuid4().int % 10**8:08d}"


async def cancelled(task: asyncio.Task[object]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_run_answers_streams_and_leaves_nothing(shop: Workshop, busybox_image: str) -> None:
    heard: list[str] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message or "")

    script = 'echo "ünï $A"; pwd; echo bad >&2; exit 3'
    arguments = {"image": busybox_image, "argv": ["sh", "-c", script], "environment": {"A": "b c"}, "workdir": "/tmp"}
    result = await shop.client.call_tool("container_run", arguments, progress_callback=hear)
    ended = answer(result.structured_content)
    assert ended is not None
    assert (ended["exit_code"], ended["stdout"], ended["stderr"]) == (3, "ünï b c\n/tmp\n", "bad\n")
    assert "ünï b c" in "".join(heard)
    await eventually(lambda: _nothing(shop))


async def test_output_comes_while_it_runs(shop: Workshop, busybox_image: str) -> None:
    container, said = await shop.create(), asyncio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        if "first" in (message or ""):
            said.set()

    arguments = {"container": container, "argv": ["sh", "-c", "echo first; while [ ! -e go ]; do sleep 0.05; done"]}
    call = asyncio.ensure_future(shop.client.call_tool("container_exec", arguments, progress_callback=hear))
    async with asyncio.timeout(10):
        await said.wait()
    await shop.sh(container, "touch go")
    assert not (await call).is_error


async def test_long_output_is_cut_in_the_middle_and_can_be_paged(shop: Workshop) -> None:
    container = await shop.create()
    lines = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done"
    ended = await shop.sh(container, lines)
    assert ended["stdout"].startswith("line 0\n")
    assert ended["stdout"].endswith("line 19999\n")
    assert "left out" in ended["stdout"]
    assert "container_read_file" in ended["note"]
    assert len(ended["stdout"]) < 50_000
    await shop.sh(container, f"({lines}) > out")
    text, cursor, pages = "", None, 0
    while pages == 0 or cursor:
        page = await shop.call("container_read_file", container=container, path="out", cursor=cursor)
        text, cursor, pages = text + page["content"], page["next_cursor"], pages + 1
    assert text == "".join(f"line {number}\n" for number in range(20_000))
    assert pages == -(-len(text) // 50_000)


async def test_memory_and_processes_are_bounded(shop: Workshop, busybox_image: str) -> None:
    hog = ["sh", "-c", "head -c 100000000 /dev/zero | tail -c 90000000 > /dev/null"]
    assert (await shop.call("container_run", image=busybox_image, argv=hog, memory_mb=24))["out_of_memory"]
    many = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 60 & done; echo all"]
    assert "all" not in (await shop.call("container_run", image=busybox_image, argv=many, pids=5))["stdout"]


async def test_a_cancelled_run_is_gone(shop: Workshop, busybox_image: str) -> None:
    mark = marker()
    argv = ["sh", "-c", ESCAPES.format(mark)]
    call = asyncio.ensure_future(shop.call("container_run", image=busybox_image, argv=argv))
    await running(mark, 5)
    with within(1):
        await cancelled(call)
        await eventually(lambda: _none(mark))
        await eventually(lambda: _nothing(shop))
    with within(1):
        await shop.call("container_list")


async def test_a_cancelled_exec_takes_its_descendants_along_and_nobody_else(shop: Workshop) -> None:
    container, mark, other = await shop.create(), marker(), marker()
    neighbour = asyncio.ensure_future(shop.sh(container, f"sleep {other} & wait"))
    call = asyncio.ensure_future(shop.sh(container, ESCAPES.format(mark)))
    await running(mark, 5)
    await running(other)
    with within(1):
        await cancelled(call)
        await eventually(lambda: _none(mark))
        assert (await shop.sh(container, "echo next"))["stdout"] == "next\n"
    assert alive(other)
    await cancelled(neighbour)
    inspected = await shop.inspect(container)
    assert not inspected["ExecIDs"]
    assert inspected["State"]["Running"]


async def test_an_exec_past_its_deadline_is_gone(shop: Workshop) -> None:
    container, mark = await shop.create(), marker()
    with within(3):
        ended = await shop.sh(container, f"echo first; echo bad >&2; {ESCAPES.format(mark)}", timeout=1)
    assert not alive(mark)
    assert (ended["timed_out"], ended["exit_code"], ended["stdout"], ended["stderr"]) == (True, 137, "first\n", "bad\n")
    assert "stopped after 1 s" in ended["note"]
    assert (await shop.inspect(container))["State"]["Running"]


async def test_a_run_past_its_deadline_is_gone_and_tells_what_it_said(shop: Workshop, busybox_image: str) -> None:
    mark = marker()
    argv = ["sh", "-c", f"echo first; {ESCAPES.format(mark)}"]
    ended = await shop.call("container_run", image=busybox_image, argv=argv, timeout=4)
    assert (ended["timed_out"], ended["stdout"], alive(mark)) == (True, "first\n", [])
    await eventually(lambda: _nothing(shop))
    schemas = {tool.name: tool.input_schema for tool in (await shop.client.list_tools()).tools}
    assert "deadline" not in schemas["container_run"]["properties"]
    assert "no argument `deadline`" in await shop.refusal(
        "container_run", image=busybox_image, argv=["true"], deadline=9
    )


async def test_what_an_exec_leaves_in_the_background_ends_with_it(shop: Workshop) -> None:
    container, mark = await shop.create(), marker()
    ended = await shop.sh(container, f"(setsid sleep {mark} >/dev/null 2>&1 &); sleep {mark} & echo done")
    assert ended["stdout"] == "done\n"
    assert not alive(mark)


async def test_a_command_that_kills_its_attendant_gains_nothing(shop: Workshop) -> None:
    container, mark = await shop.create(), marker()
    ended = await shop.sh(container, f"(setsid sleep {mark} &); kill -9 $PPID; sleep {mark}")
    assert ended["exit_code"] == 137
    assert not alive(mark)
    assert (await shop.sh(container, "echo next"))["stdout"] == "next\n"


async def test_a_fork_bomb_can_be_stopped(shop: Workshop) -> None:
    container, mark = await shop.create(pids=100), marker()
    bomb = "b() { while :; do (b) 2>/dev/null & sleep 0.02; done; }; (b &)"
    call = asyncio.ensure_future(shop.sh(container, f"{bomb}; sleep 60; : {mark}"))
    await running(mark, 20)
    with within(4):
        await cancelled(call)
    assert not alive(mark)
    assert (await shop.sh(container, "echo next"))["stdout"] == "next\n"


async def test_what_can_not_be_started_says_why(shop: Workshop, busybox_image: str) -> None:
    container = await shop.create()
    ended = await shop.call("container_exec", container=container, argv=["no-such-program"])
    assert (ended["exit_code"], ended["stderr"]) == (127, "atlas: no-such-program: not found\n")
    said = await shop.refusal("container_exec", container=container, argv=["pwd"], workdir="/none")
    assert "workdir" in said
    assert "NUL" in await shop.refusal("container_exec", container=container, argv=["a\0b"])
    said = await shop.refusal("container_run", image="127.0.0.1:1/none", argv=["true"])
    assert "could not be pulled" in said


async def test_a_service_its_log_and_its_end(shop: Workshop) -> None:
    script = (
        "i=0; while [ $i -lt 9000 ]; do echo line $i ünï; i=$((i+1)); done; echo bad >&2; touch /work/up; sleep 600"
    )
    container = await shop.create(command=["sh", "-c", script], label="a service")

    async def up() -> bool:
        return (await shop.sh(container, "[ -e /work/up ]"))["exit_code"] == 0

    await eventually(up)
    text, cursor, pages = "", None, 0
    while pages == 0 or cursor:
        page = await shop.call("container_logs", container=container, stream="stdout", cursor=cursor)
        text, cursor, pages = text + page["text"], page["next_cursor"], pages + 1
    assert text == "".join(f"line {number} ünï\n" for number in range(9_000))
    assert pages > 2
    tail = await shop.call("container_logs", container=container, stream="stdout", tail=2)
    assert tail["text"] == "line 8998 ünï\nline 8999 ünï\n"
    assert (await shop.call("container_logs", container=container, stream="stderr"))["text"] == "bad\n"
    assert (await shop.call("container_logs", container=container, since="2099-01-01T00:00:00Z"))["text"] == ""
    assert "not a time" in await shop.refusal("container_logs", container=container, since="yesterday")
    stats = await shop.call("container_stats", container=container)
    assert stats["pids"] >= 2
    assert stats["memory_limit"] > stats["memory_bytes"] > 0
    listed = (await shop.call("container_list"))["containers"]
    assert [(each["container"], each["state"], each["label"]) for each in listed] == [
        (container, "running", "a service")
    ]
    assert (await shop.call("container_stop", container=container))["state"] == "exited"
    assert (await shop.call("container_list"))["containers"][0]["state"] == "exited"
    assert (await shop.call("container_logs", container=container, tail=1, stream="stdout"))["text"] == tail["text"][
        14:
    ]
    assert "does not run" in await shop.refusal("container_exec", container=container, argv=["true"])
    assert "does not run" in await shop.refusal("container_stats", container=container)
    assert (await shop.call("container_stop", container=container))["state"] == "exited"
    await shop.call("container_remove", container=container)
    assert "no such container" in await shop.refusal("container_logs", container=container)
    assert await shop.made() == []


async def test_a_service_that_ends_is_told_in_its_log(shop: Workshop) -> None:
    container = await shop.create(command=["sh", "-c", "echo bye; exit 4"])

    async def told(stream: str) -> bool:
        log = await shop.call("container_logs", container=container, stream=stream)
        return log["text"].endswith("[ended with exit code 4]\n")

    await eventually(lambda: told("stdout"))
    await eventually(lambda: told("stderr"))
    for stream, text in (("stdout", "bye\n"), ("stderr", ""), ("both", "bye\n")):
        log = await shop.call("container_logs", container=container, stream=stream)
        assert log["text"] == f"{text}[ended with exit code 4]\n"
    waiting = await shop.create()
    newest, ended = (await shop.call("container_list"))["containers"]
    assert (newest["container"], newest["state"], newest["exit_code"]) == (waiting, "running", None)
    assert (ended["state"], ended["exit_code"], ended["image"]) == ("running", 4, "atlas-test/busybox:1")


async def test_there_is_a_bound_to_containers(docker_url: str, busybox_image: str, tmp_path: Path) -> None:
    async with workshop(docker_url, tmp_path, containers=1) as shop:
        first = await shop.create()
        assert "container_stop" in await shop.refusal("container_create", image=busybox_image)
        await shop.call("container_stop", container=first)
        await shop.create()
    async with workshop(docker_url, tmp_path) as again:
        assert await again.made() == [], "the end of the server is the end of its containers, stopped ones too"


SERVER = """
import asyncio, sys
from mcp_servers.container.attendance import Inside
from mcp_servers.container.containers import Containers
from state.ports import Resources

url, home, mark = sys.argv[1:]

async def main():
    async def write(stream, data):
        pass
    async with Containers(boot="killed", home=home, url=url) as containers:
        service = Inside(["sleep", mark])
        box = await containers.create("atlas-test/busybox:1", service, Resources(), "")
        await containers.attendance.run(box, Inside(["sh", "-c", f"setsid sleep {mark} & sleep {mark}"]), write)

asyncio.run(main())
"""


async def test_a_killed_server_takes_its_containers_along(docker_url: str, busybox_image: str, tmp_path: Path) -> None:
    mark = marker()
    arguments = ("-c", SERVER, docker_url, str(tmp_path), mark)
    server = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    sleeping = f"sleep {mark}"

    async def ended() -> bool:
        return not alive(sleeping)

    try:
        await running(sleeping, 3)
    finally:
        server.kill()
        await server.wait()
    await eventually(ended)
    async with workshop(docker_url, tmp_path) as shop:

        async def exited() -> bool:
            return [each["State"] for each in await shop.made()] == ["exited"]

        await eventually(exited)
        assert await reap(shop.engine, str(tmp_path), all_but("killed")) == 1
        assert await shop.made() == []


async def test_both_eras(docker_url: str, busybox_image: str, tmp_path: Path) -> None:
    async with workshop(docker_url, tmp_path, mode="legacy") as shop:
        container, mark = await shop.create(), marker()
        assert (await shop.sh(container, "echo ünï"))["stdout"] == "ünï\n"
        call = asyncio.ensure_future(shop.sh(container, ESCAPES.format(mark)))
        await running(mark, 5)
        with within(1):
            await cancelled(call)
            await eventually(lambda: _none(mark))


async def test_a_policy_hides_what_it_forbids(docker_url: str, tmp_path: Path) -> None:
    async def offered(policy: Policy, *, builds: bool = True) -> set[str]:
        async with workshop(docker_url, tmp_path, policy, builds=builds) as shop:
            return {tool.name.removeprefix("container_") for tool in (await shop.client.list_tools()).tools}

    reading = {"images", "list", "list_files", "logs", "read_file", "search_files", "stats"}
    writing = {"build", "copy_in", "copy_out", "create", "edit_file", "exec", "pull", "run", "stop", "write_file"}
    assert await offered(Policy(read_only=True, allow_destructive=True)) == reading
    assert await offered(Policy()) == reading | writing
    assert await offered(Policy(), builds=False) == reading | writing - {"build"}
    assert await offered(Policy(allow_destructive=True)) == reading | writing | {"remove"}


async def test_without_an_engine_it_says_so(tmp_path: Path) -> None:
    async with workshop(f"unix://{tmp_path}/none.sock", tmp_path) as shop:
        for tool, arguments in {
            "container_run": {"image": "x", "argv": ["true"]},
            "container_create": {"image": "x"},
            "container_exec": {"container": "x", "argv": ["true"]},
            "container_list": {},
            "container_images": {},
            "container_pull": {"image": "x"},
            "container_build": {"name": "x", "dockerfile": "FROM scratch"},
        }.items():
            said = await shop.refusal(tool, **arguments)
            assert "No engine answers at unix://" in said, tool
            assert said.endswith(". Start Docker or Podman, or set DOCKER_HOST."), said


async def _none(mark: str) -> bool:
    return not alive(mark)


async def _nothing(shop: Workshop) -> bool:
    return not await shop.made()
