"""A working tree that somebody prepared: nothing outside is read or changed, nothing hangs, nothing is forged."""

from __future__ import annotations

import asyncio
import ctypes
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client

from mcp_servers.manners import Policy
from mcp_servers.storage.threads import Stop, Stopped
from mcp_servers.workspace.naming import is_git, shown
from mcp_servers.workspace.server import workspace_server
from mcp_servers.workspace.tree import Tree
from mcp_servers.workspace.walking import Walk
from state.errors import AtlasError, SettingsError
from state.limits import MB
from tests.integration.git_repositories import call, connected, names_in, refusal
from tests.integration.workspace_workshop import running

SECRET = "the secret outside"
DEADLINE = 20.0


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    path = tmp_path / "outside"
    path.mkdir()
    (path / "secret").write_text(SECRET)
    return path


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Path:
    path = tmp_path / "tree"
    (path / "d").mkdir(parents=True)
    (path / "plain").write_text("plain\n")
    return path


@pytest.fixture
async def client(root: Path) -> AsyncGenerator[Client]:
    async with asyncio.timeout(100), connected(workspace_server(root, Policy())) as found:
        yield found


def on(path: str) -> list[tuple[str, dict[str, Any]]]:
    """Every call that reads or changes what has this path."""
    return [
        ("workspace_read", {"path": path}), ("workspace_list", {"path": path}),
        ("workspace_search", {"path": path, "pattern": "."}), ("workspace_write", {"path": path, "content": "x"}),
        ("workspace_edit", {"path": path, "old": "s", "new": "x"}), ("workspace_move", {"path": path, "target": "new"}),
        ("workspace_move", {"path": "plain", "target": path, "overwrite": True}),
    ]  # fmt: skip


@pytest.mark.parametrize("path", ["link/secret", "d/up/secret", "file", "d/loop/x", "dangling/new", "d/../d/up/secret"])
async def test_no_link_is_followed(client: Client, root: Path, outside: Path, path: str) -> None:
    (root / "link").symlink_to(outside)
    (root / "d" / "up").symlink_to("../../outside")
    (root / "d" / "loop").symlink_to("loop")
    (root / "file").symlink_to(outside / "secret")
    (root / "dangling").symlink_to(outside / "not there")
    for tool, arguments in on(path):
        words = await refusal(client, tool, **arguments)
        assert SECRET not in words
        assert path.split("/", maxsplit=1)[0] in words
    assert "symbolic link" in await refusal(client, "workspace_read", path="link/secret")
    assert "symbolic link" in await refusal(client, "workspace_write", path="file", content="x")
    assert names_in(outside) == ["secret"]
    assert (outside / "secret").read_text() == SECRET
    assert (root / "plain").exists()
    assert "new" not in names_in(root)


async def test_links_are_passed_over_and_deleted_as_such(client: Client, root: Path, outside: Path) -> None:
    (root / "d" / "up").symlink_to(outside)
    (root / "file").symlink_to(outside / "secret")
    listed = await call(client, "workspace_list", depth=9)
    assert {each["path"]: each["kind"] for each in listed["entries"]} == {
        "d": "directory", "d/up": "link", "file": "link", "plain": "file",
    }  # fmt: skip
    assert (await call(client, "workspace_search", pattern="secret"))["matches"] == []
    await call(client, "workspace_delete", path="file")
    await call(client, "workspace_delete", path="d", recursive=True)
    assert names_in(root) == ["plain"]
    assert (outside / "secret").read_text() == SECRET


@pytest.mark.parametrize(
    "path",
    ["/etc/passwd", "..", "../outside/secret", "d/../../outside/secret", "d/..", "//etc/passwd", "a\0b", "x" * 256,
     "d/" * 2_100 + "x", ".", "", "./."],
)  # fmt: skip
async def test_paths_that_are_none(client: Client, root: Path, path: str) -> None:
    for tool, arguments in on(path):
        if path not in (".", "", "./.") or tool not in ("workspace_list", "workspace_search"):
            assert await refusal(client, tool, **arguments)
    assert names_in(root) == ["d", "plain"]


GIT = [".git", ".GIT", ".Git", "git~1", "GIT~1", ".git.", ".git ", ".git. . ", "git~1.", ".git::$INDEX_ALLOCATION",
       ".g\u200cit", "\ufeff.git", ".gi\u206ft", ".GIT\u202e", ".git\\hooks", "x\\.git", "x\\GIT~1 ."]  # fmt: skip


@pytest.mark.parametrize("name", GIT)
async def test_nothing_that_git_takes_for_its_own(client: Client, root: Path, name: str) -> None:
    (root / name).mkdir()
    (root / name / "config").write_text("[core] secret")
    for path in (name, f"{name}/config", f"d/{name}/hooks/post-checkout"):
        for tool, arguments in [*on(path), ("workspace_delete", {"path": path, "recursive": True})]:
            assert "git would take" in await refusal(client, tool, **arguments)
    assert (await call(client, "workspace_search", pattern="secret"))["matches"] == []
    listed = await call(client, "workspace_list", depth=9)
    assert [each["skipped"] for each in listed["entries"] if each["path"] == name] == [True]
    assert (root / name / "config").read_text() == "[core] secret"
    assert names_in(root / "d") == []


@pytest.mark.parametrize("name", [".gitignore", ".github", "git", ".git-x", "x.git", "git~2", ".gitmodules", ". git"])
async def test_names_that_are_only_like_it(client: Client, root: Path, name: str) -> None:
    assert not is_git(name)
    await call(client, "workspace_write", path=f"{name}", content="x")
    assert (root / name).read_text() == "x"


async def test_neither_pipes_nor_sockets_nor_devices_are_opened(client: Client, root: Path) -> None:
    os.mkfifo(root / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        parent = os.open(root, os.O_PATH)  # a socket's path must be short
        listening.bind(f"/proc/self/fd/{parent}/socket")
        os.close(parent)
        started = time.monotonic()
        for path in ("pipe", "socket"):
            for tool, arguments in on(path):
                words = await refusal(client, tool, **arguments)
                assert path in words
        assert (await call(client, "workspace_search", pattern=".*"))["matches"] == [
            {"path": "plain", "line": 1, "text": "plain"}
        ]
        listed = await call(client, "workspace_list")
        assert {each["kind"] for each in listed["entries"] if each["path"] in ("pipe", "socket")} == {"other"}
        assert time.monotonic() - started < DEADLINE
    await call(client, "workspace_delete", path="pipe")
    assert not (root / "pipe").exists()


async def test_huge_files(client: Client, root: Path) -> None:
    with (root / "sparse").open("wb") as file:
        file.truncate(1 << 40)
    with (root / "text").open("wb") as file:
        file.write(b"line\n" * 2_000)
        file.truncate(1 << 40)
    started = time.monotonic()
    assert "binary" in await refusal(client, "workspace_read", path="sparse")
    page = await call(client, "workspace_read", path="text", count=3)
    assert page["total"] is None
    assert "too many to count" in page["note"]
    assert (await call(client, "workspace_read", path="text", start=2_001))["last"] == 2_000
    assert "1,099,511,627,776 bytes" in await refusal(client, "workspace_edit", path="text", old="line", new="x")
    found = await call(client, "workspace_search", pattern="line")
    assert "2 files were left out" in found["note"]
    assert (await call(client, "workspace_search", pattern="line", path="text"))["note"].startswith("1 files")
    assert time.monotonic() - started < DEADLINE


async def test_binary_files(client: Client, root: Path) -> None:
    (root / "program").write_bytes(b"\x7fELF\0text\n")
    assert "program is binary" in await refusal(client, "workspace_read", path="program")
    assert "program is binary" in await refusal(client, "workspace_edit", path="program", old="text", new="x")
    assert (await call(client, "workspace_search", pattern="text"))["matches"] == []


async def test_what_is_not_utf_8(client: Client, root: Path) -> None:
    (root / "latin").write_bytes(b"caf\xe9\n\xff\xfe\n\xed\xa0\x80\n")
    page = await call(client, "workspace_read", path="latin", numbered=False)
    assert page["text"].split("\n")[:2] == ["caf\ufffd", "\ufffd\ufffd"]
    assert "not UTF-8" in page["note"]
    assert (await call(client, "workspace_search", pattern="caf."))["matches"][0]["text"] == "caf\ufffd"


async def test_odd_names_can_not_forge_lines(client: Client, root: Path) -> None:
    for raw in (b"a\nplain:1:forged", b"\xff\xfe", b"\x1b[31m", b"-rf", b"caf\xc3\xa9 x", b'q"', b"\xe2\x80\xae.txt"):
        (root / os.fsdecode(raw)).write_text("needle\n")
    for tool, arguments in (("workspace_list", {}), ("workspace_search", {"pattern": "needle"})):
        result = await client.call_tool(tool, arguments)
        told = "".join(block.text for block in result.content if block.type == "text")
        lines = told.splitlines()
        assert len([line for line in lines if "forged" in line]) == 1
        assert not [line for line in lines if line.startswith("plain:1:forged")]
        assert "\x1b" not in told
        assert "café x" in told
        assert "-rf" in told
    assert (await call(client, "workspace_read", path="a\nplain:1:forged"))["total"] == 1
    assert (await call(client, "workspace_read", path="-rf"))["total"] == 1


async def test_a_directory_of_odd_names_can_be_deleted(client: Client, root: Path) -> None:
    for raw in (b"\xff\xfe", b"a\nb", b".git", b"-rf", b"x\\.git"):
        (root / "d" / os.fsdecode(raw)).mkdir()
        (root / "d" / os.fsdecode(raw) / "f").write_text("")
    os.mkfifo(root / "d" / "pipe")
    assert (await call(client, "workspace_delete", path="d", recursive=True))["entries"] == 11
    assert names_in(root) == ["plain"]


@given(st.text())
def test_a_name_is_shown_on_one_line(name: str) -> None:
    told = shown(name)
    assert told.isprintable()
    assert told
    if not name.startswith('"') and len(name) < 300 and told == name:
        assert name == name.strip()


async def test_very_long_lines(client: Client, root: Path) -> None:
    with (root / "long").open("w") as file:
        file.write("x" * (30 * MB) + "\nend\n")
    page = await call(client, "workspace_read", path="long", numbered=False)
    assert page["total"] == 2
    assert page["text"].endswith("more bytes in this line]\nend")
    assert len(page["text"]) < 3_000
    (root / "one").write_text("y" * MB)
    found = await call(client, "workspace_search", pattern="y$", path="one")
    assert len(found["matches"][0]["text"]) < 400


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*b\\Z"])
async def test_a_catastrophic_expression_ends_by_its_deadline(client: Client, root: Path, pattern: str) -> None:
    (root / "a").write_text("aaab matches nothing\n" + "a" * 60 + "!\n")
    started = time.monotonic()
    words = await refusal(client, "workspace_search", pattern=pattern, timeout=2)
    assert time.monotonic() - started < 10
    assert "took longer than" in words
    assert running(str(root)) == []


async def test_what_was_found_before_the_deadline_is_told(client: Client, root: Path) -> None:
    (root / "0first").write_text("aX\n")
    (root / "1second").write_text("a" * 60 + "!\n")
    found = await call(client, "workspace_search", pattern="(a+)+X?$", timeout=3)
    assert [each["path"] for each in found["matches"]] == ["0first"]
    assert "stopped after" in found["note"]
    assert running(str(root)) == []


@pytest.mark.parametrize("pattern", ["(" * 500, "a{99999999999}", "(?P<x", "[z-a]", "\\"])
async def test_expressions_that_are_none(client: Client, pattern: str) -> None:
    started = time.monotonic()
    words = await refusal(client, "workspace_search", pattern=pattern, timeout=5)
    assert "pattern" in words
    assert time.monotonic() - started < 15


async def test_a_cancelled_search_has_ended(client: Client, root: Path) -> None:
    (root / "a").write_text("a" * 60 + "!\n")
    searching = asyncio.create_task(client.call_tool("workspace_search", {"pattern": "(a+)+$"}))
    while not running(str(root)):  # noqa: ASYNC110  nothing else tells of a process
        await asyncio.sleep(0.005)
    searching.cancel()
    await asyncio.gather(searching, return_exceptions=True)
    assert searching.cancelled()
    assert running(str(root)) == []


@pytest.mark.parametrize("names", ["{" * 50, "{a,b}" * 20, "{,{,{,", "*a" * 90, "../*", "/etc/*"])
async def test_patterns_of_names_that_are_hostile(client: Client, names: str) -> None:
    started = time.monotonic()
    await client.call_tool("workspace_search", {"pattern": "x", "names": names, "timeout": 5})
    assert time.monotonic() - started < 10
    if "a" not in names or "{" in names:
        assert "pattern of names" in await refusal(client, "workspace_search", pattern="x", names=names)


async def test_a_text_that_is_like_everything_does_not_take_long(client: Client, root: Path) -> None:
    (root / "a").write_text("\n".join("ab" * 95 + f"{number:05}" for number in range(10_000)))
    started = time.monotonic()
    words = await refusal(client, "workspace_edit", path="a", old="ba" * 95 + "99999", new="")
    assert "nearest lines" in words
    assert time.monotonic() - started < DEADLINE


def test_deep_trees_are_bounded(root: Path) -> None:
    deep = root
    for _ in range(150):
        deep /= "n"
    deep.mkdir(parents=True)
    walk = Walk(root, (), depth=None, most=1_000)
    assert len(list(walk)) == 102
    assert walk.left_out
    with pytest.raises(AtlasError, match="too much"):
        Tree(root).below(("n",))


def test_wide_trees_are_bounded(root: Path) -> None:
    for number in range(50):
        (root / "d" / f"{number:03}").touch()
    walk = Walk(root, (), depth=None, most=20)
    assert len(list(walk)) == 20
    assert walk.left_out


def test_nothing_is_written_through_what_is_swapped(root: Path, outside: Path) -> None:
    """Somebody makes a directory a link and back again, all the time, while files are written and deleted in it."""
    tree, enough = Tree(root), threading.Event()
    (root / "link").symlink_to(outside)

    library = ctypes.CDLL(None, use_errno=True)

    def swap() -> None:
        names = -100, bytes(root / "d"), -100, bytes(root / "link")  # AT_FDCWD
        while not enough.is_set():
            assert library.renameat2(*names, 2) == 0  # RENAME_EXCHANGE

    swapping = threading.Thread(target=swap)
    swapping.start()
    written = refused = 0
    try:
        for _ in range(3_000):
            try:
                tree.write(("d", "secret"), b"overwritten", Stop())
                written += 1
                tree.delete(("d", "secret"), (), Stop())
            except AtlasError:
                refused += 1
    finally:
        enough.set()
        swapping.join()
    assert written
    assert refused
    assert names_in(outside) == ["secret"]
    assert (outside / "secret").read_text() == SECRET


async def test_a_pattern_of_touches_that_leads_out_is_refused(root: Path) -> None:
    for pattern in ("../outside/**", "/etc", ""):
        with pytest.raises(SettingsError, match="touches"):
            workspace_server(root, Policy(), touches=[pattern])
    async with connected(workspace_server(root, Policy(), touches=[])) as client:
        assert "nothing" in await refusal(client, "workspace_write", path="plain", content="x")


async def test_a_write_that_is_stopped_leaves_nothing(root: Path) -> None:
    stop = Stop()
    stop.set()
    before = names_in(root)
    with pytest.raises(Stopped):
        Tree(root).write(("plain",), b"x" * 100, stop)
    assert (root / "plain").read_text() == "plain\n"
    assert names_in(root) == before
