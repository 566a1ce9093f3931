"""A role's toolbox: tools of servers in this process, whose calls end in outcomes, or with the cancellation."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp.server import MCPServer
from mcp.shared.exceptions import MCPError
from mcp.types import CallToolResult, ImageContent
from pydantic import BaseModel

from mcp_servers.manners import Body, Policy, Tools
from mcp_servers.serving import mcp_server
from mcp_servers.workspace.server import workspace_server
from roles.toolbox import Outcome, Toolbox, bounded
from state.errors import SettingsError
from state.limits import TOOL_TEXT_BYTES
from tests.integration.workspace_workshop import host, running

DEADLINE = 30.0


class Said(BaseModel):
    text: str
    more: str | None = None


def serving(*bodies: Body) -> MCPServer[Any]:
    """A server whose tools are these functions."""
    tools = Tools(Policy())
    for body in bodies:
        tools.add(body, "writes", body.__name__)
    return mcp_server("test", "Test", "", tools.tools)


async def speak(text: str = "hello", times: int = 1) -> Said:
    """Say it."""
    return Said(text=text * times)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    return path


@asynccontextmanager
async def box_of(root: Path, scratch: Path) -> AsyncGenerator[Toolbox]:
    async with host(root, scratch) as run, Toolbox({"workspace": workspace_server(root, Policy(), run=run)}) as box:
        yield box


async def test_a_model_sees_words_and_programs_see_data(root: Path, tmp_path: Path) -> None:
    async with box_of(root, tmp_path) as box:
        await box.call("workspace_write", {"path": "a", "content": 'say "hi"\n\tyes\n'})
        assert await box.call("workspace_read", {"path": "a", "numbered": False}) == Outcome(
            'a: lines 1 to 2 of 2, 14 bytes\nsay "hi"\n\tyes', False,
            {"path": "a", "text": 'say "hi"\n\tyes', "first": 1, "last": 2, "total": 2, "size": 14},
        )  # fmt: skip
        ran = await box.call("workspace_run", {"command": "cat a; exit 4"})
        assert re.fullmatch(r'exit code 4 after \d+\.\d s\nsay "hi"\n\tyes\n', ran.text)
        assert not ran.failed
        assert ran.data
        assert ran.data["exit_code"] == 4
        refused = await box.call("workspace_read", {"path": "b"})
        assert refused == Outcome("there is no b. See what there is with workspace_list.", failed=True)


async def test_answers_without_words_are_compact() -> None:
    async with Toolbox({"test": serving(speak)}) as box:
        assert await box.call("speak", {"text": "ü\n"}) == Outcome('{"text":"ü\\n"}', False, {"text": "ü\n"})


async def test_answers_that_are_no_text() -> None:
    async def draw() -> CallToolResult:
        """Draw."""
        return CallToolResult(content=[ImageContent(type="image", data="", mime_type="image/png")])

    server: MCPServer[Any] = MCPServer("raw")
    server.add_tool(draw)
    async with Toolbox({"raw": server}) as box:
        assert (await box.call("draw", {})).text == "[image, not shown]"


async def test_what_is_offered(root: Path, tmp_path: Path) -> None:
    async with box_of(root, tmp_path) as box:
        names = [spec.name for spec in box.specs]
        assert names == sorted(names)
        assert len(names) == 8
        assert {name for name in names if box.reads_only(name)} == {
            "workspace_list", "workspace_read", "workspace_search",
        }  # fmt: skip
        assert {name for name in names if not box.repeatable(name)} == {
            "workspace_edit", "workspace_move", "workspace_run",
        }  # fmt: skip
        for spec in box.specs:
            assert re.fullmatch("[A-Za-z0-9_-]{1,64}", spec.name)
            assert spec.description
            told = json.dumps(spec.parameters)
            assert '"title"' not in told
            assert '"anyOf"' not in told
            assert len(told) < 1_000
            assert spec.parameters["additionalProperties"] is False
        assert not box.reads_only("nothing")
        assert not box.repeatable("nothing")
    with pytest.raises(AttributeError):
        box.specs[0].name = "other"  # pyright: ignore[reportAttributeAccessIssue]


SPECS = """
import asyncio, sys
from pathlib import Path
from mcp_servers.manners import Policy
from mcp_servers.workspace.server import workspace_server
from roles.toolbox import Toolbox

async def main():
    async with Toolbox({"workspace": workspace_server(Path(sys.argv[1]), Policy())}) as box:
        print(repr(box.specs))

asyncio.run(main())
"""


async def test_specs_are_the_same_in_every_process(root: Path) -> None:
    def told(seed: str) -> bytes:
        environment = os.environ | {"PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", SPECS, str(root)]
        return subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60).stdout

    first, second = await asyncio.gather(asyncio.to_thread(told, "1"), asyncio.to_thread(told, "2"))
    assert first == second
    assert b"workspace_read" in first


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [
        (["workspace_read", "speak"], ["speak", "workspace_read"]),
        (["workspace_*"], ["workspace_list", "workspace_read", "workspace_search"]),
        (["workspace_l*", "spea"], ["workspace_list"]),
        ([], []),
        (["*"], ["speak", "workspace_list", "workspace_read", "workspace_search"]),
        (None, ["speak", "workspace_list", "workspace_read", "workspace_search"]),
    ],
)  # fmt: skip
async def test_what_is_not_allowed_does_not_exist(root: Path, allowed: list[str] | None, expected: list[str]) -> None:
    servers = {"workspace": workspace_server(root, Policy(read_only=True)), "test": serving(speak)}
    async with Toolbox(servers, allowed) as box:
        assert [spec.name for spec in box.specs] == expected
        if "speak" not in expected:
            refused = await box.call("speak", {})
            assert refused.failed
            assert "there is no tool 'speak'" in refused.text


async def test_unknown_tools_and_bad_arguments(root: Path, tmp_path: Path) -> None:
    async with box_of(root, tmp_path) as box:
        for name, arguments, words in (
            ("workspace_reed", {}, "did you mean: workspace_read"),
            ("nothing like it at all", {}, "there are: workspace_delete, workspace_edit"),
            ("x" * 10_000, {}, "there is no tool"),
            ("workspace_read", {}, "`path` is missing"),
            ("workspace_read", {"path": "a", "lines": 3}, "no argument `lines`"),
            ("workspace_read", {"path": "a", "start": 0}, "`start`"),
            ("workspace_read", {"path": ["a"]}, "`path`"),
            ("workspace_read", {"path": "a", "start": {"b": None}}, "`start`"),
            ("workspace_run", {"command": "true", "timeout": 10_000}, "`timeout`"),
            ("workspace_write", {"path": "a", "content": "\ud800"}, ""),
            ("workspace_read", {"path": "\ud800"}, ""),
            ("workspace_read", {1: 2}, ""),
        ):  # fmt: skip
            outcome = await box.call(name, arguments)  # pyright: ignore[reportArgumentType]
            assert outcome.failed, name
            assert words in outcome.text
            assert len(outcome.text) < 2_000
            outcome.text.encode()


async def test_what_is_told_is_bounded() -> None:
    async with Toolbox({"test": serving(speak)}) as box:
        told = (await box.call("speak", {"text": "ü", "times": 100_000})).text
        assert len(told.encode()) < TOOL_TEXT_BYTES + 100
        assert told.startswith('{"text":"ü')
        assert told.endswith('ü"}')
        assert re.search(r"\n\[… 140,\d\d\d bytes left out …\]\n", told)
        assert "\0" not in bounded("a\0b")
    assert bounded("x" * TOOL_TEXT_BYTES) == "x" * TOOL_TEXT_BYTES
    assert bounded("\ud800") == "?"


async def test_two_tools_of_one_name() -> None:
    with pytest.raises(SettingsError, match="both one and two"):
        async with Toolbox({"one": serving(speak), "two": serving(speak)}):
            raise AssertionError


async def test_a_name_that_models_cannot_use() -> None:
    server: MCPServer[Any] = MCPServer("raw")
    server.add_tool(speak, name="speak.now")
    with pytest.raises(SettingsError, match="models can't use"):
        async with Toolbox({"raw": server}):
            raise AssertionError
    async with Toolbox({"raw": server}, ["other"]) as box:
        assert box.specs == ()


async def test_a_server_that_cannot_start(root: Path) -> None:
    @asynccontextmanager
    async def broken(_: MCPServer[Any]) -> AsyncGenerator[None]:
        raise OSError("no power")
        yield

    with pytest.raises(OSError, match="no power"):
        async with Toolbox({"good": workspace_server(root, Policy()), "bad": MCPServer("bad", lifespan=broken)}):
            raise AssertionError


async def test_what_breaks_is_an_outcome() -> None:
    async def defect() -> Said:
        """Break."""
        raise ZeroDivisionError("a secret of ours")

    async def vanish() -> Said:
        """End as if the server were shut down."""
        raise asyncio.CancelledError

    async def protest() -> Said:
        """Fail on the protocol's level."""
        raise MCPError(-32_000, "not today")

    async with Toolbox({"test": serving(defect, vanish, protest, speak)}) as box:
        outcome = await box.call("defect", {})
        assert outcome.failed
        assert "secret" not in outcome.text
        assert await box.call("vanish", {}) == Outcome("vanish broke off: its server (test) has ended.", failed=True)
        assert await box.call("protest", {}) == Outcome("protest could not be called: not today", failed=True)
        assert not (await box.call("speak", {})).failed
    assert (await box.call("speak", {})).failed


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancelled_command_has_ended(root: Path, tmp_path: Path, times: int) -> None:
    marker = f"2718281{times}"
    async with asyncio.timeout(DEADLINE), box_of(root, tmp_path) as box:
        command = f"trap '' TERM INT; sleep {marker} & setsid sleep {marker} & touch begun; wait"
        calling = asyncio.create_task(box.call("workspace_run", {"command": command}))
        while not (root / "begun").exists() or len(running(f"sleep {marker}")) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        for _ in range(times):
            calling.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert running(marker) == []
        assert not (await box.call("workspace_list", {})).failed


async def test_the_body_ends_before_the_cancellation_goes_on() -> None:
    begun, ending, may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()
    ended: list[str] = []

    async def slow() -> Said:
        """Take a long time, to end too."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await may_end.wait()
            ended.append("body")
        raise AssertionError

    async with asyncio.timeout(DEADLINE), Toolbox({"test": serving(slow, speak)}) as box:
        calling = asyncio.create_task(box.call("slow", {}))
        await begun.wait()
        calling.cancel()
        await ending.wait()
        calling.cancel()
        assert not (await box.call("speak", {})).failed
        assert not calling.done()
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert ended == ["body"]


async def test_a_deadline_is_an_outcome() -> None:
    async def wait() -> Said:
        """Wait."""
        await asyncio.Event().wait()
        raise AssertionError

    async with Toolbox({"test": serving(wait)}) as box:
        outcome = await box.call("wait", {"timeout": 0.05})
        assert outcome.failed
        assert "stopped after 0.05 s" in outcome.text


async def test_calls_go_side_by_side() -> None:
    arrived = asyncio.Barrier(8)

    async def meet() -> Said:
        """Wait for the others."""
        await arrived.wait()
        return Said(text="met")

    async with asyncio.timeout(DEADLINE), Toolbox({"test": serving(meet)}) as box:
        outcomes = await asyncio.gather(*(box.call("meet", {}) for _ in range(8)))
        assert {outcome.text for outcome in outcomes} == {'{"text":"met"}'}


async def test_entered_in_one_task_and_left_in_another(root: Path) -> None:
    """As fixtures and graphs do it."""
    box = Toolbox({"workspace": workspace_server(root, Policy())})
    await asyncio.create_task(box.__aenter__())
    assert not (await box.call("workspace_list", {})).failed
    await asyncio.create_task(box.__aexit__(None, None, None))
    assert (await box.call("workspace_list", {})).failed
