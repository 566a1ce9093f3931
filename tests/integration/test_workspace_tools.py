"""The tools of a working tree do what they say: files, lines, searches, edits, commands."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from mcp_servers.manners import Policy
from mcp_servers.workspace.server import workspace_server
from tests.integration.git_repositories import call, connected, names_in, refusal, said
from tests.integration.workspace_workshop import host, running

LOOKING = {"workspace_list", "workspace_read", "workspace_search"}
CHANGING = {"workspace_write", "workspace_edit", "workspace_delete", "workspace_move"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    path = tmp_path / "tree"
    path.mkdir()
    return path


@pytest.fixture
async def client(root: Path, tmp_path: Path) -> AsyncGenerator[Client]:
    async with host(root, tmp_path) as run, connected(workspace_server(root, Policy(), run=run)) as found:
        yield found


def grow(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, newline="")


async def words(client: Client, name: str, /, **arguments: object) -> str:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, said(result)
    return said(result)


async def every_page(client: Client, name: str, key: str, /, **arguments: object) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(100):
        page = await call(client, name, **arguments, **({"cursor": cursor} if cursor else {}))
        items += page[key]
        if not (cursor := page["next_cursor"]):
            return items
    raise AssertionError("the pages never end")


async def test_what_is_listed(client: Client, root: Path) -> None:
    grow(root, {"a.txt": "12345", "src/deep/er/x.py": "", "src/b.py": "b\n", "node_modules/m/i.js": "x"})
    (root / "link").symlink_to("a.txt")
    (root / "empty").mkdir()
    assert await words(client, "workspace_list") == "\n".join(
        [".:", "a.txt  5", "empty/", "link (symbolic link)", "node_modules/ (not listed)", "src/", "src/b.py  2",
         "src/deep/"]
    )  # fmt: skip
    deep = await call(client, "workspace_list", path="src", depth=10)
    assert [(each["path"], each["kind"], each["size"]) for each in deep["entries"]] == [
        ("src/b.py", "file", 2), ("src/deep", "directory", None), ("src/deep/er", "directory", None),
        ("src/deep/er/x.py", "file", 0),
    ]  # fmt: skip
    assert "node_modules/m/i.js  1" in await words(client, "workspace_list", path="node_modules", depth=5)
    assert await words(client, "workspace_list", path="./empty/") == "empty:\n(nothing)"
    assert "no nowhere" in await refusal(client, "workspace_list", path="nowhere")
    assert "a.txt is not a directory" in await refusal(client, "workspace_list", path="a.txt")


async def test_listings_come_in_pages(client: Client, root: Path) -> None:
    names = [f"d{number % 3}/file {number:04}" for number in range(1_300)]
    grow(root, dict.fromkeys(names, ""))
    entries = await every_page(client, "workspace_list", "entries", depth=2)
    assert [each["path"] for each in entries if each["kind"] == "file"] == sorted(names)
    assert "[More: pass cursor=" in await words(client, "workspace_list")


async def test_lines_of_a_file(client: Client, root: Path) -> None:
    grow(root, {"a": "one\n two\t\n\nfour\n", "bare": "x\ny", "empty": "", "ends": "1\r\n2\r\n"})
    assert await words(client, "workspace_read", path="a") == (
        "a: lines 1 to 4 of 4, 16 bytes\n     1\tone\n     2\t two\t\n     3\t\n     4\tfour"
    )
    some = await call(client, "workspace_read", path="a", start=2, count=2, numbered=False)
    assert (some["text"], some["first"], some["last"], some["total"]) == (" two\t\n", 2, 3, 4)
    assert some["note"] == "More follows: pass start=4."
    assert "no newline at its end" in (await call(client, "workspace_read", path="bare"))["note"]
    assert await words(client, "workspace_read", path="empty") == "empty: no lines of 0, 0 bytes\n"
    ends = await call(client, "workspace_read", path="ends", numbered=False)
    assert ends["text"] == "1\n2"
    assert "CR LF" in ends["note"]
    assert "has only 4 lines" in await refusal(client, "workspace_read", path="a", start=5)
    assert "no b" in await refusal(client, "workspace_read", path="b")


async def test_a_long_file_is_read_page_by_page(client: Client, root: Path) -> None:
    lines = [f"line {number} " + "ü" * (number % 300) for number in range(2_500)]
    grow(root, {"long": "\n".join(lines) + "\n"})
    found: list[str] = []
    note = "not read yet"
    while note:
        page = await call(client, "workspace_read", path="long", start=len(found) + 1, count=1_000, numbered=False)
        assert page["total"] == len(lines)
        assert len(page["text"].encode()) <= 40_000
        assert page["last"] >= page["first"] == len(found) + 1
        found += page["text"].split("\n")
        note = page["note"]
    assert found == lines


async def test_long_lines_are_cut_visibly(client: Client, root: Path) -> None:
    grow(root, {"wide": "é" * 100_000 + "\nnext\n"})
    page = await call(client, "workspace_read", path="wide", numbered=False)
    first, second = page["text"].split("\n")
    assert first == "é" * 2_000 + "… [196,001 more bytes in this line]"
    assert second == "next"
    assert "1 long lines are cut" in page["note"]


async def test_searches(client: Client, root: Path) -> None:
    grow(root, {
        "a.py": "import os\ndef Main():\n    pass\n", "src/b.py": "def main(x):\r\n", "src/c.ts": "main()\n",
        "src/d.md": "def main", ".venv/e.py": "def main",
    })  # fmt: skip
    assert (
        await words(client, "workspace_search", pattern=r"def \w+\(") == "a.py:2:def Main():\nsrc/b.py:1:def main(x):"
    )
    both = await words(client, "workspace_search", pattern="^(?:def )?main", names="*.{ts,md}")
    assert both == "src/c.ts:1:main()\nsrc/d.md:1:def main"
    assert await words(client, "workspace_search", pattern="main", names="src/*.py") == "src/b.py:1:def main(x):"
    assert (
        await words(client, "workspace_search", pattern="MAIN", ignore_case=True, path="a.py")
    ) == "a.py:2:def Main():"
    assert await words(client, "workspace_search", pattern="main", path=".venv") == ".venv/e.py:1:def main"
    assert await words(client, "workspace_search", pattern="nowhere") == "(no line matches)"
    assert await words(client, "workspace_search", pattern=r"\)$", path="src/c.ts") == "src/c.ts:1:main()"
    assert "no regular expression" in await refusal(client, "workspace_search", pattern="(")
    assert "pattern of names" in await refusal(client, "workspace_search", pattern="x", names="*.{py")
    assert "no such" in await refusal(client, "workspace_search", pattern="x", path="no such")


async def test_matches_come_in_pages(client: Client, root: Path) -> None:
    for number in range(30):
        grow(root, {f"f{number:02}": "".join(f"match {line} {'x' * 200}\nother\n" for line in range(20))})
    found = await every_page(client, "workspace_search", "matches", pattern="^match")
    assert [(each["path"], each["line"]) for each in found] == [
        (f"f{number:02}", 2 * line + 1) for number in range(30) for line in range(20)
    ]


async def test_a_match_in_a_long_line_is_shown(client: Client, root: Path) -> None:
    grow(root, {"wide": "x" * 50_000 + "needle" + "y" * 50_000})
    found = await call(client, "workspace_search", pattern="ne+dle")
    text = found["matches"][0]["text"]
    assert text.startswith("…")
    assert text.endswith("…")
    assert "needle" in text
    assert len(text) < 400


async def test_writing(client: Client, root: Path) -> None:
    assert await words(client, "workspace_write", path="a/b/c.txt", content="ü\n") == "a/b/c.txt: created (3 bytes now)"
    assert (root / "a/b/c.txt").read_text() == "ü\n"
    assert stat.S_IMODE((root / "a/b/c.txt").stat().st_mode) == 0o644
    (root / "a/b/c.txt").chmod(0o750)
    assert (await call(client, "workspace_write", path="a/b/c.txt", content=""))["done"] == "replaced"
    assert (root / "a/b/c.txt").read_text() == ""
    assert stat.S_IMODE((root / "a/b/c.txt").stat().st_mode) == 0o750
    await call(client, "workspace_write", path="tool", content="#!/bin/sh\n", executable=True)
    assert stat.S_IMODE((root / "tool").stat().st_mode) == 0o755
    await call(client, "workspace_write", path="tool", content="[1, 2]", executable=False)
    assert stat.S_IMODE((root / "tool").stat().st_mode) == 0o644
    assert (root / "tool").read_text() == "[1, 2]"
    assert "a is a directory" in await refusal(client, "workspace_write", path="a", content="")
    assert "is not a directory" in await refusal(client, "workspace_write", path="tool/x", content="")
    assert "name of a directory" in await refusal(client, "workspace_write", path="new/", content="")
    assert "2,097,153 bytes" in await refusal(client, "workspace_write", path="x", content="é" * 1_048_576 + "x")
    assert names_in(root) == ["a", "tool"]
    assert names_in(root / "a" / "b") == ["c.txt"]


async def test_edits(client: Client, root: Path) -> None:
    grow(root, {"a.py": "def f():\n    return 1\n\n\ndef g():\n    return 1\n"})
    (root / "a.py").chmod(0o755)
    once = await call(client, "workspace_edit", path="a.py", old="def g():\n    return 1", new="def g():\n    return 2")
    assert once["lines"] == [5]
    assert (root / "a.py").read_text() == "def f():\n    return 1\n\n\ndef g():\n    return 2\n"
    assert stat.S_IMODE((root / "a.py").stat().st_mode) == 0o755
    several = await refusal(client, "workspace_edit", path="a.py", old="return", new="yield")
    assert "2 times, in the lines 2, 6" in several
    assert "everywhere=true" in several
    both = await call(client, "workspace_edit", path="a.py", old="return", new="x\nyield", everywhere=True)
    assert both["lines"] == [2, 7]
    assert (root / "a.py").read_text() == "def f():\n    x\nyield 1\n\n\ndef g():\n    x\nyield 2\n"
    near = await refusal(client, "workspace_edit", path="a.py", old="    y\nyield  2", new="")
    assert "not in a.py" in near
    assert near.endswith("are:\n7\t    x\n8\tyield 2")
    assert "8\tyield 2" in await refusal(client, "workspace_edit", path="a.py", old="yeild 2", new="")
    assert "Nothing in it is like that" in await refusal(client, "workspace_edit", path="a.py", old="§§§§", new="")
    assert "Leave out the numbers" in await refusal(
        client, "workspace_edit", path="a.py", old="     8\tyield 2", new=""
    )
    assert "are the same" in await refusal(client, "workspace_edit", path="a.py", old="x", new="x")
    await call(client, "workspace_edit", path="a.py", old="def f():\n", new="")
    assert (root / "a.py").read_text().startswith("    x\n")


@pytest.mark.parametrize(
    ("before", "old", "new", "after"),
    [
        (b"a\r\nb\r\nc\r\n", "a\nb", "x\ny\nz", b"x\r\ny\r\nz\r\nc\r\n"),
        (b"a\r\nb\r\n", "b", "b\nc", b"a\r\nb\r\nc\r\n"),
        (b"a\r\nb\r\n", "a\r\nb", "a\r\nc", b"a\r\nc\r\n"),
        (b"a\r\nb\nc\n", "b\nc", "b\nd", b"a\r\nb\nd\n"),
        (b"a\r\nb\nc\n", "a\nb", "x\ny", b"x\r\ny\nc\n"),
        (b"a\nb", "b", "c\n", b"a\nc\n"),
        (b"\xef\xbb\xbfa\n", "a", "b", b"\xef\xbb\xbfb\n"),
        (b"\xff\xfe a\n\x80", "a", "\u00fc", b"\xff\xfe \xc3\xbc\n\x80"),
        (b"aaaa", "aa", "a", b"aa"),
    ],
)
async def test_an_edit_leaves_all_else_as_it_was(
    client: Client, root: Path, before: bytes, old: str, new: str, after: bytes
) -> None:
    (root / "file").write_bytes(before)
    await call(client, "workspace_edit", path="file", old=old, new=new, everywhere=True)
    assert (root / "file").read_bytes() == after


async def test_deleting_and_moving(client: Client, root: Path) -> None:
    grow(root, {"a": "a", "d/e/f": "f", "d/g": "g"})
    (root / "link").symlink_to("d")
    assert (await call(client, "workspace_delete", path="link"))["done"] == "deleted"
    assert (root / "d/g").exists()
    assert "not empty" in await refusal(client, "workspace_delete", path="d")
    assert await words(client, "workspace_move", path="d/e", target="x/y/z") == "d/e: moved to x/y/z"
    assert (root / "x/y/z/f").read_text() == "f"
    assert "exists already" in await refusal(client, "workspace_move", path="a", target="d/g")
    assert (root / "d/g").read_text() == "g"
    await call(client, "workspace_move", path="a", target="d/g", overwrite=True)
    assert (root / "d/g").read_text() == "a"
    assert "exists already" in await refusal(client, "workspace_move", path="d/g", target="x", overwrite=True)
    assert "itself, or in it" in await refusal(client, "workspace_move", path="x", target="x/y/x")
    assert (await call(client, "workspace_delete", path="x", recursive=True))["entries"] == 3
    assert names_in(root) == ["d"]
    assert "no x" in await refusal(client, "workspace_delete", path="x")
    assert "no x" in await refusal(client, "workspace_move", path="x", target="y")
    for path in (".", "./", "a/.."):
        assert await refusal(client, "workspace_delete", path=path, recursive=True)
    assert names_in(root / "d") == ["g"]


async def test_commands(client: Client, root: Path) -> None:
    grow(root, {"here": ""})
    ran = await call(client, "workspace_run", command="ls\necho err >&2; echo out; touch made; exit 3")
    assert (ran["exit_code"], ran["cause"], ran["output"]) == (3, "exit", "here\nerr\nout\n")
    assert (root / "made").exists()
    turns = await call(client, "workspace_run", command="for n in $(seq 500); do echo $n; echo -$n >&2; done")
    assert turns["output"] == "".join(f"{number}\n-{number}\n" for number in range(1, 501))
    assert (await call(client, "workspace_run", command="echo 'unfinished"))["exit_code"]
    assert "exit code 0 after" in await words(client, "workspace_run", command="true")
    assert "(no output)" in await words(client, "workspace_run", command="true")
    late = await call(client, "workspace_run", command="echo begun; sleep 100", timeout=2)
    assert (late["cause"], late["output"]) == ("timeout", "begun\n")
    assert late["seconds"] < 10
    strange = await call(client, "workspace_run", command=r"printf '\033[31mred\033[0m a\0b \377'")
    assert strange["output"] == "red a\ufffdb \ufffd"
    assert (await call(client, "workspace_run", command="cat"))["output"] == ""
    assert "NUL" in await refusal(client, "workspace_run", command="a\0b")


async def test_much_output_keeps_its_beginning_and_end(client: Client) -> None:
    ran = await call(client, "workspace_run", command="seq 100000")
    assert ran["output"].startswith("1\n2\n")
    assert ran["output"].endswith("99999\n100000\n")
    assert f"{ran['left_out']:,} bytes left out" in ran["output"]
    assert ran["left_out"] + len(ran["output"].encode()) > 588_895
    assert len(ran["output"].encode()) < 31_000


async def test_nothing_of_a_command_runs_on(client: Client) -> None:
    marker = "31415926"
    ran = await call(client, "workspace_run", command=f"sleep {marker} & setsid sleep {marker} & echo done")
    assert ran["output"] == "done\n"
    assert running(f"sleep {marker}") == []


async def test_files_wait_for_the_command(root: Path, tmp_path: Path) -> None:
    """No file operation takes place while a command runs."""
    async with host(root, tmp_path) as run, connected(workspace_server(root, Policy(), run=run)) as client:
        command = "touch begun; while [ ! -e go ]; do sleep 0.01; done; echo ready > result"
        slow = asyncio.create_task(call(client, "workspace_run", command=command))
        while not (root / "begun").exists():  # noqa: ASYNC110  nothing else tells of a file
            await asyncio.sleep(0.005)
        reading = asyncio.create_task(call(client, "workspace_read", path="result", numbered=False))
        (root / "go").touch()
        assert (await reading)["text"] == "ready"
        assert (await slow)["exit_code"] == 0


async def test_what_the_policy_offers(root: Path) -> None:
    async def effects(policy: Policy, **more: Any) -> dict[str, tuple[bool | None, ...]]:
        async with Client(workspace_server(root, policy, **more)) as client:
            tools = (await client.list_tools()).tools
            assert all(tool.output_schema and tool.title for tool in tools)
            hints = {tool.name: tool.annotations for tool in tools}
            return {
                name: (each.read_only_hint, each.destructive_hint, each.idempotent_hint, each.open_world_hint)
                for name, each in hints.items()
                if each
            }

    async def run(*_: Any) -> Any:
        raise AssertionError

    assert set(await effects(Policy(read_only=True), run=run)) == LOOKING
    assert set(await effects(Policy())) == LOOKING | CHANGING
    everything = await effects(Policy(), run=run)
    assert everything == dict.fromkeys(LOOKING, (True, False, True, False)) | {
        "workspace_write": (False, True, True, False),
        "workspace_edit": (False, True, False, False),
        "workspace_delete": (False, True, True, False),
        "workspace_move": (False, True, False, False),
        "workspace_run": (False, False, False, False),
    }


async def test_changes_stay_within_what_is_touched(root: Path) -> None:
    grow(root, {"src/a/x.py": "x", "src/b/y.py": "y", "docs/z.md": "z", "src/a/sub/w.py": "w"})
    async with connected(workspace_server(root, Policy(), touches=["src/a/**", "docs/*.md"])) as client:
        for tool, more in (
            ("workspace_write", {"path": "src/b/y.py", "content": ""}),
            ("workspace_write", {"path": "src/a", "content": ""}),
            ("workspace_edit", {"path": "src/b/y.py", "old": "y", "new": ""}),
            ("workspace_delete", {"path": "src/b/y.py"}), ("workspace_delete", {"path": "src", "recursive": True}),
            ("workspace_move", {"path": "src/a/x.py", "target": "src/b/x.py"}),
            ("workspace_move", {"path": "src/b/y.py", "target": "src/a/y.py"}),
            ("workspace_move", {"path": "src/b", "target": "src/a/b"}),
        ):  # fmt: skip
            words = await refusal(client, tool, **more)
            assert "src/a/**, docs/*.md" in words
        assert (root / "src/b/y.py").read_text() == "y"
        await call(client, "workspace_write", path="src/a/new/n.py", content="")
        await call(client, "workspace_edit", path="docs/z.md", old="z", new="zz")
        await call(client, "workspace_move", path="src/a/sub", target="src/a/other")
        await call(client, "workspace_delete", path="src/a/other", recursive=True)
        assert (await call(client, "workspace_read", path="src/b/y.py"))["total"] == 1
        assert names_in(root / "src/a") == ["new", "x.py"]
