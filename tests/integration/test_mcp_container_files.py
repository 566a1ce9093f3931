"""Files inside containers, and copies between them and the directories of this host that are allowed."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import tarfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from mcp_servers.container.packing import unpack
from mcp_servers.local_roots import LocalRoots
from mcp_servers.storage.threads import Stop
from state.errors import InputError, LimitExceeded
from state.limits import MB
from tests.integration.container_workshop import Workshop, alive, running, stuck, within, workshop

pytestmark = pytest.mark.docker
ODD = "ünï 'quo\"te $(x);\n-n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
async def shop(docker_url: str, busybox_image: str, tmp_path: Path, root: Path) -> AsyncIterator[Workshop]:
    async with workshop(docker_url, tmp_path, roots=[root], copy_bytes=4 * MB) as found:
        yield found


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


async def test_what_is_written_is_read(shop: Workshop) -> None:
    box = await shop.create()
    for path, content in ((ODD, "a\nünï\n"), ("deep/er/" + ODD, ""), ("/tmp/-x", "no newline"), ("crlf", "a\r\nb\0c")):
        written = await shop.call("container_write_file", container=box, path=path, content=content)
        read = await shop.call("container_read_file", container=box, path=path, encoding="text")
        assert (read["content"], read["size"], read["path"]) == (content, written["size"], written["path"])
    data = bytes(range(256)) * 400
    encoded = base64.b64encode(data).decode()
    await shop.call("container_write_file", container=box, path="b", content=encoded, encoding="base64")
    got, cursor, pages = b"", None, 0
    while pages == 0 or cursor:
        page = await shop.call("container_read_file", container=box, path="b", encoding="base64", cursor=cursor)
        got, cursor, pages = got + base64.b64decode(page["content"]), page["next_cursor"], pages + 1
    assert got == data
    assert pages == 3
    read = await shop.call("container_read_file", container=box, path="b")
    assert (read["encoding"], base64.b64decode(read["content"])) == ("base64", data[:37_500])
    read = await shop.call("container_read_file", container=box, path="b", encoding="text")
    assert (read["encoding"], "are not UTF-8" in read["note"]) == ("text", True)
    read = await shop.call("container_read_file", container=box, path=ODD)
    assert (read["encoding"], read["content"], read["note"]) == ("text", "a\nünï\n", None)
    await shop.call("container_write_file", container=box, path="run", content="#!/bin/sh\necho ran", executable=True)
    await shop.call("container_edit_file", container=box, path="run", old="ran", new="changed")
    assert (await shop.sh(box, "./run; ls -a | grep -c atlas"))["stdout"] == "changed\n0\n"


async def test_what_can_not_be_read_or_written_says_why(shop: Workshop) -> None:
    box = await shop.create()
    await shop.sh(box, "mkfifo fifo; mkdir d; echo x > closed; chmod 0 closed; ln -s d/target link; touch d/target")
    for path, why in {
        "none": "no such file", "d": "directory", "fifo": "neither", "closed": "may not read", "a\0b": "not a path",
    }.items():  # fmt: skip
        assert why in await shop.refusal("container_read_file", container=box, path=path)
    for path, why in {"d": "directory", "/etc/x": "below /work or /tmp", "closed/x": "x", "/proc/x": "x"}.items():
        assert why in await shop.refusal("container_write_file", container=box, path=path, content="x")
    await shop.call("container_write_file", container=box, path="link", content="through")
    assert (await shop.sh(box, "cat d/target; [ -L link ] && echo link"))["stdout"] == "throughlink\n"
    said = await shop.refusal("container_write_file", container=box, path="x", content="%%%", encoding="base64")
    assert "not base64" in said
    assert "more than one call" in await shop.refusal(
        "container_write_file", container=box, path="x", content="x" * (2 * MB + 1)
    )
    small = await shop.create(memory_mb=8)
    await shop.sh(small, "dd if=/dev/zero of=full bs=1M 2>/dev/null")
    assert "No space" in await shop.refusal("container_write_file", container=small, path="x", content="xyz" * 5_000)
    assert (await shop.sh(small, "ls"))["stdout"] == "full\n"


async def test_an_edit_must_match_once(shop: Workshop) -> None:
    box = await shop.create()
    await shop.call("container_write_file", container=box, path="f", content="one\ntwo ünï\none\n")
    edit = {"container": box, "path": "f"}
    assert "not in" in await shop.refusal("container_edit_file", **edit, old="three", new="x")
    assert "2 times" in await shop.refusal("container_edit_file", **edit, old="one", new="x")
    assert (await shop.call("container_read_file", **edit))["content"] == "one\ntwo ünï\none\n"
    assert (await shop.call("container_edit_file", **edit, old="two ünï", new="zwei\\1&"))["replaced"] == 1
    assert (await shop.call("container_edit_file", **edit, old="one", new="", all=True))["replaced"] == 2
    assert (await shop.call("container_read_file", **edit))["content"] == "\nzwei\\1&\n\n"
    await shop.call("container_write_file", container=box, path="f", content="".join(f"<{n}>" for n in range(10)))
    edits = (shop.call("container_edit_file", **edit, old=f"<{n}>", new=f"[{n}]") for n in range(10))
    await asyncio.gather(*edits)
    assert (await shop.call("container_read_file", **edit))["content"] == "".join(f"[{n}]" for n in range(10))


async def test_listing(shop: Workshop) -> None:
    box = await shop.create()
    await shop.sh(box, "mkdir -p d/e; echo hello > d/f; ln -s /etc l; mkfifo p; i=0; mkdir many; cd many; "
                  "while [ $i -lt 900 ]; do : > some-quite-long-name-of-a-file-$i; i=$((i+1)); done")  # fmt: skip
    await shop.call("container_write_file", container=box, path=ODD, content="x")
    listed = (await shop.call("container_list_files", container=box))["entries"]
    kinds = {each["path"]: each["kind"] for each in listed}
    assert kinds == {
        "/work/d": "directory", "/work/l": "link", "/work/p": "other", "/work/many": "directory", f"/work/{ODD}": "file"
    }  # fmt: skip
    deep = (await shop.call("container_list_files", container=box, path="d", depth=3))["entries"]
    assert [(each["path"], each["size"]) for each in deep if each["kind"] == "file"] == [("/work/d/f", 6)]
    names: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        page = await shop.call("container_list_files", container=box, path="many", cursor=cursor)
        names += [each["path"] for each in page["entries"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert len(set(names)) == len(names) == 900
    assert pages > 1
    assert "no such directory" in await shop.refusal("container_list_files", container=box, path="none")


async def test_searching(shop: Workshop) -> None:
    box = await shop.create()
    text = "first\nsecond (ünï)\n" + "long " * 200 + "\n"
    for path in ("a.py", "d/b.py", "d/c.txt"):
        await shop.call("container_write_file", container=box, path=path, content=text)

    async def search(pattern: str, **more: object) -> list[tuple[str, int]]:
        found = await shop.call("container_search_files", container=box, pattern=pattern, **more)
        return sorted((each["path"], each["line"]) for each in found["matches"])

    assert await search("^sec.*ünï", names="*.py") == [("/work/a.py", 2), ("/work/d/b.py", 2)]
    assert await search("(ÜNÏ)|FIRST", path="d/c.txt", ignore_case=True) != []
    assert await search("(ünï)", path="d", literal=True) == [("/work/d/b.py", 2), ("/work/d/c.txt", 2)]
    assert await search("nowhere") == []
    assert await search("-e", literal=True) == []
    long = await shop.call("container_search_files", container=box, pattern="^long", path="a.py")
    assert len(long["matches"][0]["text"]) == 301
    assert "not a regular" in await shop.refusal("container_search_files", container=box, pattern="a(")
    await shop.sh(box, "i=0; while [ $i -lt 2000 ]; do echo a line to be found in a file; i=$((i+1)); done > many")
    page = await shop.call("container_search_files", container=box, pattern="found")
    rest = await shop.call("container_search_files", container=box, pattern="found", cursor=page["next_cursor"])
    assert rest["matches"][0]["line"] == page["matches"][-1]["line"] + 1


async def test_copies_in_and_out(shop: Workshop, root: Path) -> None:
    box = await shop.create()
    (root / "tree" / "sub").mkdir(parents=True)
    (root / "tree" / "sub" / ODD).write_text("ünï")
    (root / "tree" / "run").write_text("#!/bin/sh\necho ran")
    (root / "tree" / "run").chmod(0o755)
    copied = await shop.call("container_copy_in", container=box, local=str(root / "tree"), path="t")
    assert copied["files"] == 2
    assert (await shop.sh(box, "t/run; ln -s /etc/passwd t/link; mkfifo t/fifo"))["stdout"] == "ran\n"
    await shop.call("container_copy_in", container=box, local="tree/run", path="/tmp/other name")
    assert (await shop.sh(box, "'/tmp/other name'"))["stdout"] == "ran\n"
    copied = await shop.call("container_copy_in", container=box, local="tree/run", path="/tmp/")
    assert copied["target"] == "/tmp/run"
    assert (await shop.sh(box, "/tmp/run"))["stdout"] == "ran\n"
    await shop.sh(box, "mkdir -p /tmp/d/run")
    said = await shop.refusal("container_copy_in", container=box, local="tree/run", path="/tmp/d")
    assert said == "/tmp/d/run could not be written: it is a directory"
    said = await shop.refusal("container_copy_in", container=box, local="tree/run", path="/etc/run")
    assert "below /work or /tmp" in said
    copied = await shop.call("container_copy_out", container=box, path="t", local="back/deep")
    assert sorted(copied["left_out"]) == ["fifo", "link"]
    assert (root / "back" / "deep" / "sub" / ODD).read_text() == "ünï"
    assert os.access(root / "back" / "deep" / "run", os.X_OK)
    assert "exists already" in await shop.refusal("container_copy_out", container=box, path="t/run", local="tree/run")
    await shop.call("container_copy_out", container=box, path=f"t/sub/{ODD}", local="tree/run", overwrite=True)
    assert (root / "tree" / "run").read_text() == "ünï"
    (root / "big").write_bytes(bytes(5 * MB))
    assert "more than one copy" in await shop.refusal("container_copy_in", container=box, local="big", path="b")
    await shop.sh(box, "dd if=/dev/zero of=big bs=1M count=5 2>/dev/null")
    assert "more than one copy" in await shop.refusal("container_copy_out", container=box, path="big", local="big2")
    assert "no such file" in await shop.refusal("container_copy_out", container=box, path="none", local="x")
    assert names(root) == ["back", "big", "tree"], "nothing half-made is left"


async def test_local_paths_stay_inside_the_roots(shop: Workshop, root: Path, tmp_path: Path) -> None:
    box = await shop.create()
    (tmp_path / "secret").write_text("secret")
    (root / "link").symlink_to("/etc/passwd")
    (root / "out").symlink_to(tmp_path)
    (root / "tree").mkdir()
    (root / "tree" / "link").symlink_to(tmp_path / "secret")
    for local in (
        "link",
        "out/secret",
        "tree",
        "../secret",
        str(tmp_path / "secret"),
        "/etc/passwd",
        f"{root}/../secret",
    ):
        said = await shop.refusal("container_copy_in", container=box, local=local, path="x")
        assert "symbolic link" in said or "allowed directory" in said or "allowed directories" in said, said
    await shop.sh(box, "echo evil > f; mkdir d; echo evil > d/passwd")
    for local in ("out/new", "../new", str(tmp_path / "new"), "link/x", "/tmp/new", "."):
        await shop.refusal("container_copy_out", container=box, path="f", local=local, overwrite=True)
    assert not (tmp_path / "new").exists()
    assert (tmp_path / "secret").read_text() == "secret"
    await shop.call("container_copy_out", container=box, path="f", local="link", overwrite=True)
    assert (root / "link").read_text() == "evil\n"
    assert not (root / "link").is_symlink(), "the link is replaced, not followed"
    assert (await shop.sh(box, "ls"))["stdout"] == "d\nf\n", "nothing was copied in"


async def test_without_roots_nothing_is_copied(docker_url: str, busybox_image: str, tmp_path: Path) -> None:
    async with workshop(docker_url, tmp_path) as shop:
        box = await shop.create()
        for tool in ("container_copy_in", "container_copy_out"):
            assert "no directory" in await shop.refusal(tool, container=box, local="/etc/passwd", path="x")


def archive(*members: tuple[str, bytes, str]) -> io.BytesIO:
    """Name, type, and content or link target, of each member."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, kind, value in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "" if kind == tarfile.REGTYPE else value
            member.size = len(value) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(value.encode()))
    content.seek(0)
    return content


FILE, LINK, HARD, DIRECTORY = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE


@pytest.mark.parametrize(
    "hostile",
    [
        archive(("t/../../x", FILE, "evil")),
        archive(("../x", FILE, "evil")),
        archive(("/x", FILE, "evil")),
        archive(("other", FILE, "evil")),
        archive(("t", FILE, "a"), ("t", FILE, "b")),
        archive(("t", FILE, "a"), ("t/x", FILE, "b")),
        archive(("t", LINK, "/etc"), ("t/x", LINK, "/etc")),
        archive(("t", HARD, "/etc/passwd")),
        archive(("t", tarfile.CHRTYPE, "")),
        io.BytesIO(b"x" * 2048),
        io.BytesIO(archive(("t", FILE, "x" * 5000)).getvalue()[:2000]),
    ],
    ids=lambda _: "archive",
)
def test_a_hostile_archive_writes_nothing(hostile: io.BytesIO, root: Path) -> None:
    (root.parent / "x").write_text("mine")
    place = LocalRoots([root]).place("target")
    with pytest.raises((InputError, OSError)):
        unpack(hostile, "t", place, MB, Stop(), overwrite=True)
    assert list(root.iterdir()) == []
    assert (root.parent / "x").read_text() == "mine"


SPARSE = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n"


def extended(kind: bytes, content: bytes, count: int = 1, after: bytes = b"") -> io.BytesIO:
    """Extended headers before a file, whose content begins with `after`."""
    header = tarfile.TarInfo("t")
    header.type, header.size = kind, len(content)
    one = header.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)
    file = archive(("t", FILE, "x")).getvalue()
    return io.BytesIO(one * count + file[: tarfile.BLOCKSIZE] + after + file[tarfile.BLOCKSIZE :])


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "busying",
    [
        extended(tarfile.XHDTYPE, b"2 " * 200_000 + b"x="),
        extended(tarfile.XGLTYPE, b"2 " * 200_000 + b"x="),
        extended(tarfile.GNUTYPE_LONGNAME, b"x" * 20_000_000),
        extended(tarfile.XHDTYPE, b"9 x=abcd\n", 3_000),
        extended(tarfile.GNUTYPE_SPARSE, b""),
        extended(tarfile.XHDTYPE, SPARSE, after=b"99999999\n" + b"1\n" * 20_000_000),
    ],
    ids=lambda _: "archive",
)
def test_an_archive_does_not_keep_the_server_busy(busying: io.BytesIO, root: Path) -> None:
    """The first would take minutes, and could not be stopped."""
    with pytest.raises(InputError):
        unpack(busying, "t", LocalRoots([root]).place("target"), MB, Stop(), overwrite=True)
    assert list(root.iterdir()) == []


def test_links_in_an_archive_are_never_followed(root: Path, tmp_path: Path) -> None:
    place = LocalRoots([root]).place("target")
    parts = (
        ("t/d", LINK, str(tmp_path)),
        ("t/d/evil", FILE, "evil"),
        ("t/h", HARD, "/etc/passwd"),
        ("t/f", FILE, "ok"),
    )
    packed = unpack(archive(*parts), "t", place, MB, Stop(), overwrite=False)
    assert packed.left_out == ["d", "h"]
    assert (root / "target" / "d" / "evil").read_text() == "evil"
    assert not (tmp_path / "evil").exists()
    with pytest.raises(LimitExceeded):
        unpack(archive(("t", FILE, "x" * 100)), "t", LocalRoots([root]).place("u"), 99, Stop(), overwrite=False)


def test_a_link_that_is_swapped_in_is_not_followed(root: Path, tmp_path: Path) -> None:
    """Between any two steps: what was a directory is a link by the time a file is put into it."""
    outside = tmp_path / "outside"
    outside.mkdir()

    class Swapping(io.BytesIO):
        swap: Callable[[], object] | None = None

        def read(self, size: int | None = -1, /) -> bytes:
            if self.swap and self.tell() > 1000:
                self.swap()
                self.swap = None
            return super().read(size)

    (root / "d").mkdir()
    hostile = Swapping(archive(("t/a", FILE, "x" * 600), ("t/b", FILE, "evil")).getvalue())

    def swap() -> None:
        (root / "d").rename(root / "moved")
        (root / "d").symlink_to(outside)

    hostile.swap = swap
    unpack(hostile, "t", LocalRoots([root]).place("d/target"), MB, Stop(), overwrite=False)
    assert list(outside.iterdir()) == []
    assert (root / "moved" / "target" / "b").read_text() == "evil"


@pytest.mark.parametrize("tool", ["container_write_file", "container_copy_in"])
async def test_a_cancelled_write_ends_alone(shop: Workshop, root: Path, busybox_image: str, tool: str) -> None:
    """Soon, though the program that takes it does not end with its input; what else runs there goes on."""
    mark, other = (f"9{uuid4().int % 10**8:08d}" for _ in range(2))
    image = (await shop.call("container_build", name="stuck", dockerfile=stuck(busybox_image, mark)))["image"]
    box = await shop.create(image)
    (root / "large").write_bytes(bytes(3 * MB))
    arguments = {"local": f"{root}/large"} if tool == "container_copy_in" else {"content": "x"}
    sleeping = ["/bin/busybox", "sleep", other]
    neighbour = asyncio.ensure_future(shop.call("container_exec", container=box, argv=sleeping))
    write = asyncio.ensure_future(shop.call(tool, container=box, path="x", **arguments))
    await running(f"sleep {mark}")
    await running(f"sleep {other}")
    with within(3):
        write.cancel()
        await asyncio.wait([write])
    assert not alive(f"sleep {mark}")
    assert alive(f"sleep {other}")
    neighbour.cancel()
    await asyncio.wait([neighbour])
