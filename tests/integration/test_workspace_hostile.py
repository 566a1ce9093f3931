"""What a program in the sandbox may leave for the snapshot to trip over."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from mcp_servers.git.workspace.names import kept_by_git, kept_from_links
from mcp_servers.git.workspace.results import Snapshot
from mcp_servers.git.workspace.worktree import Worktree
from mcp_servers.storage.clearing import remove
from mcp_servers.storage.threads import Stop
from tests.integration.git_repositories import plain
from tests.integration.workspace_ground import Ground, ground_at, inside, listing, truth, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with ground_at(tmp_path) as ground:
        await ground.pin({"a.txt": "one\n", "d/f": "f\n", "locked/x": "x\n"})
        yield ground


async def restored(ground: Ground, snapshot: Snapshot, name: str = "restored") -> Path:
    """On another worker."""
    other = await ground.repository(f"worker {name}")
    await other.bring([snapshot.packed] if snapshot.packed else [])
    await other.checkout(snapshot.commit, ground.path / name)
    return ground.path / name


def told(snapshot: Snapshot) -> dict[str, str]:
    return {skipped.path: skipped.why for skipped in snapshot.skipped}


async def test_a_git_directory_at_the_top_has_no_say(ground: Ground) -> None:
    tree = await ground.worktree()
    fired = ground.path / "fired"
    plain(tree.directory, "init", "--quiet")
    for key in ("core.fsmonitor", "core.hooksPath", "filter.evil.clean", "filter.evil.smudge", "diff.external"):
        plain(tree.directory, "config", key, f"sh -c 'echo >> {fired}; cat'")
    write(tree.directory, {".gitattributes": "* filter=evil\n", "a.txt": "two\n"})
    (tree.directory / ".git" / "info" / "exclude").write_text("*\n")
    snapshot = await tree.snapshot()
    assert told(snapshot) == {".git": "git keeps this name for itself"}
    assert listing(await restored(ground, snapshot))[b"a.txt"] == ("file", b"two\n")
    assert not fired.exists()
    plain(tree.directory, "add", "--force", "a.txt")
    assert fired.exists(), "the trap would have sprung"


@pytest.mark.parametrize(
    "name", [b".git", b".GIT", b".gIt", b"git~1", b"GIT~1 .", b".git. ", b".git:x", b"a\\.git", b".g\xe2\x80\x8cit"]
)
async def test_git_directories_in_any_spelling(ground: Ground, name: bytes) -> None:
    tree = await ground.worktree()
    place = tree.directory / "d" / os.fsdecode(name)
    place.mkdir()
    (place / "config").write_text("[core]\n")
    write(tree.directory, {"d/f": "changed"})
    snapshot = await tree.snapshot()
    assert list(told(snapshot)) == [f"d/{name.decode()}"]
    assert listing(await restored(ground, snapshot))[b"d/f"] == ("file", b"changed")
    place.joinpath("config").unlink()
    place.rmdir()
    place.write_text("gitdir: /elsewhere\n")
    assert list(told(await tree.snapshot(thorough=True))) == [f"d/{name.decode()}"]


def test_names_are_judged_as_git_does(tmp_path: Path) -> None:
    plain(tmp_path, "init", "--quiet", "--bare", "repository")
    directory = tmp_path / "repository"
    blob = plain(directory, "hash-object", "-w", "--stdin").strip()
    stems = [".git", "git~1", "git~2", ".gitmodules", "gitmod~1", "gitmod~4", "gitmod~5", "gi7eba~1", "gi7eb~10", "x"]
    stems += [".gitignore", ".gitattributes", "gitmodules", ".github", "git", ".gi", "~1", "gi~1", ".git\u200d"]
    ends = ["", ".", " ", ". .", ":x", ": ", "x", "\\x", "/x", "\u200c", "..x", " :", "::$INDEX_ALLOCATION"]
    starts = ["", "\u200c", "d\\", " ", "."]
    names = {f"{a}{b}{c}" for a in starts for b in stems + [s.upper() for s in stems] for c in ends}
    settings = ("-c", "core.protectHFS=true", "-c", "core.protectNTFS=true")
    verdicts = {True: 0, False: 0}
    for mode in ("100644", "120000"):
        # each in a directory of its own, so that none is in another's way
        entries = "".join(f"{mode} {blob} 0\t{number}/{name}\0" for number, name in enumerate(sorted(names)))
        (directory / "index").unlink(missing_ok=True)
        update = ["git", *settings, "update-index", "-z", "--index-info"]
        subprocess.run(update, cwd=directory, input=entries.encode(), check=True, capture_output=True)
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=directory, check=True, capture_output=True).stdout
        allowed = set(listed.decode().split("\0"))
        for number, name in enumerate(sorted(names)):
            path = name.encode()
            ours = any(map(kept_by_git, path.split(b"/"))) or (mode == "120000" and kept_from_links(path))
            verdicts[ours] += 1
            if f"{number}/{name}" not in allowed:
                assert ours, f"git refuses {mode} {name!r}"
            elif ours:
                # stricter is allowed for a link whose name looks like that of one file
                assert mode == "120000", name
                assert "~" in name or ".gitmodules" in name.lower(), name
    assert min(verdicts.values()) > 100


async def test_a_nested_repository_is_files(ground: Ground) -> None:
    tree = await ground.worktree()
    nested = tree.directory / "nested"
    nested.mkdir()
    plain(nested, "init", "--quiet")
    write(nested, {"inner/file": "kept"})
    plain(nested, "add", ".")
    plain(nested, "commit", "--quiet", "-m", "x")
    snapshot = await tree.snapshot()
    assert list(told(snapshot)) == ["nested/.git"]
    assert listing(await restored(ground, snapshot))[b"nested/inner/file"] == ("file", b"kept")


async def test_what_has_no_content_is_reported(ground: Ground) -> None:
    tree = await ground.worktree()
    top = tree.directory
    os.mkfifo(top / "fifo")
    (top / "a.txt").unlink()
    os.mkfifo(top / "a.txt")
    listening = socket.socket(socket.AF_UNIX)
    here = Path.cwd()
    listening.bind(f"/proc/self/fd/{(descriptor := os.open(top, os.O_RDONLY))}/socket")
    expected = {"fifo", "a.txt", "socket"}
    try:
        os.mknod(top / "device", 0o020644, os.makedev(1, 3))
        expected.add("device")
    except PermissionError:
        pass
    try:
        snapshot = await tree.snapshot()
    finally:
        listening.close()
        os.close(descriptor)
    assert here == Path.cwd()
    assert set(told(snapshot)) == expected
    assert set(listing(await restored(ground, snapshot))) == {b"d/f", b"locked/x"}, "a.txt is gone"


async def test_links_are_never_followed(ground: Ground) -> None:
    (ground.path / "outside").mkdir()
    write(ground.path / "outside", {"secret": "secret", "f": "another"})
    tree = await ground.worktree()
    top = tree.directory
    (top / "d" / "f").unlink()
    (top / "d").rmdir()
    (top / "d").symlink_to(ground.path / "outside")
    (top / "a.txt").unlink()
    (top / "a.txt").symlink_to(ground.path / "outside" / "secret")
    (top / "loop").symlink_to("loop")
    (top / ".gitignore").symlink_to(ground.path / "outside" / "secret")
    (top / ".gitattributes").symlink_to("/dev/zero")
    (top / "e" / ".gitmodules").mkdir(parents=True)
    for path in (".gitmodules", "e/.gitmodules/x"):
        (top / path).symlink_to("/etc/passwd")
    snapshot = await tree.snapshot()
    assert set(told(snapshot)) == {".gitmodules", "e/.gitmodules/x"}
    assert (await tree.snapshot(thorough=True)).commit == snapshot.commit
    found = listing(await restored(ground, snapshot))
    assert found[b"d"] == ("link", os.fsencode(ground.path / "outside"))
    assert found[b"a.txt"][0] == found[b"loop"][0] == found[b".gitignore"][0] == "link"
    assert found.keys() == listing(tree.directory).keys() - {b".gitmodules", b"e/.gitmodules/x"}
    await tree.reset(ground.oid)
    await tree.reset(snapshot.commit)
    assert listing(ground.path / "outside") == {b"secret": ("file", b"secret"), b"f": ("file", b"another")}


async def test_attributes_change_nothing(ground: Ground) -> None:
    tree = await ground.worktree()
    content = b"one\r\ntwo\r\n$Id$\r\n$Format:%H$\r\n"
    attributes = "* text eol=crlf ident working-tree-encoding=UTF-16 filter=lfs export-ignore export-subst binary\n"
    write(
        tree.directory, {".gitattributes": attributes, "d/.gitattributes": attributes, "d/f": content, "new": content}
    )
    snapshot = await tree.snapshot()
    found = listing(await restored(ground, snapshot))
    assert found == listing(tree.directory)
    assert found[b"new"] == ("file", content)


async def test_ignored_files_are_stored(ground: Ground) -> None:
    tree = await ground.worktree()
    write(tree.directory, {".gitignore": "*\n", "build/x": "x", "d/.gitignore": "f\n", "d/f": "changed"})
    snapshot = await tree.snapshot()
    assert snapshot.changed == 4
    assert listing(await restored(ground, snapshot)) == listing(tree.directory)


async def test_a_sparse_file_is_skipped_without_being_read(ground: Ground) -> None:
    tree = await ground.worktree()
    with (tree.directory / "huge").open("wb") as file:
        file.truncate(3 << 30)
    write(tree.directory, {"a.txt": "two\n"})
    snapshot = await tree.snapshot()
    assert told(snapshot) == {"huge": "is larger than 64 MB (SNAPSHOT_FILE_BYTES)"}
    assert set(listing(await restored(ground, snapshot))) == {b"a.txt", b"d/f", b"locked/x"}


async def test_directories_deeper_than_a_path_can_be(ground: Ground) -> None:
    tree = await ground.worktree()
    at = os.open(tree.directory, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("deep", dir_fd=at)
        inner = os.open("deep", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)
    write(tree.directory, {"a.txt": "two\n"})
    snapshot = await tree.snapshot()
    [skipped] = snapshot.skipped
    assert skipped.path.startswith("deep/deep/")
    assert "File name too long" in skipped.why
    assert listing(await restored(ground, snapshot))[b"a.txt"] == ("file", b"two\n")
    await tree.reset(ground.oid)
    assert sorted(path.name for path in tree.directory.iterdir()) == ["a.txt", "d", "locked"]


async def test_skipped_paths_are_counted_not_collected(ground: Ground) -> None:
    tree = await ground.worktree()
    for number in range(150):
        os.mkfifo(tree.directory / f"fifo{number}")
    assert len((await tree.snapshot()).skipped) == 100


async def submodule(ground: Ground) -> Worktree:
    """`sub` is one, in what is pinned."""
    entry = f"160000,{'1' * 40},sub"
    plain(ground.source, "update-index", "--add", "--cacheinfo", entry)
    plain(ground.source, "commit", "--quiet", "-m", "with a submodule")
    await ground.pin_again()
    return await ground.worktree()


async def test_submodules_stay_what_they_were(ground: Ground) -> None:
    tree = await submodule(ground)
    repository = await ground.repository()
    assert (tree.directory / "sub").is_dir()
    for thorough in (False, True):
        write(tree.directory, {"a.txt": f"{thorough}", "sub/lost": "lost"})
        snapshot = await tree.snapshot(thorough=thorough)
        assert told(snapshot) == {"sub/": "is a submodule: what is in it is not stored"}
        assert inside(repository, "ls-tree", snapshot.commit, "sub").startswith("160000 commit 1111")
    (tree.directory / "sub" / "lost").unlink()
    (tree.directory / "sub").rmdir()
    gone = await tree.snapshot()
    assert inside(repository, "ls-tree", gone.commit, "sub") == ""
    write(tree.directory, {"sub/now": "plain files"})
    snapshot = await tree.snapshot()
    assert (snapshot.tree, snapshot.skipped) == (truth(tree.directory), ())


async def test_a_submodule_becomes_a_file(ground: Ground) -> None:
    tree = await submodule(ground)
    (tree.directory / "sub").rmdir()
    write(tree.directory, {"sub": "a file"})
    assert (await tree.snapshot()).tree == truth(tree.directory)


async def test_what_can_not_be_read_stays_as_it_was(ground: Ground) -> None:
    tree = await ground.worktree()
    write(tree.directory, {"locked/new": "not seen before", "a.txt": "changed"})
    (tree.directory / "locked").chmod(0)
    (tree.directory / "a.txt").chmod(0)
    for thorough in (False, True):
        write(tree.directory, {"b.txt": f"{thorough}"})
        snapshot = await tree.snapshot(thorough=thorough)
        repository = await ground.repository()
        await repository.checkout(snapshot.commit, ground.path / f"restored{thorough}")
        found = listing(ground.path / f"restored{thorough}")
        if os.geteuid() == 0:
            assert told(snapshot) == {}
            assert found[b"locked/new"] == ("file", b"not seen before")
        else:
            assert set(told(snapshot)) == {"locked/", "a.txt"}
            assert (found[b"locked/x"], found[b"a.txt"]) == (("file", b"x\n"), ("file", b"one\n"))
            assert b"locked/new" not in found
    (tree.directory / "locked").chmod(0o755)
    (tree.directory / "a.txt").chmod(0o644)
    snapshot = await tree.snapshot()
    assert (snapshot.tree, snapshot.skipped) == (truth(tree.directory), ())
    (tree.directory / "locked").chmod(0)
    await tree.reset(ground.oid)
    assert set(listing(tree.directory)) == {b"a.txt", b"d/f", b"locked/x"}


def test_removing_what_is_locked_and_deep(tmp_path: Path) -> None:
    top = tmp_path / "top"
    write(top, {"a/b/c/d": "d"})
    for path in (top / "a" / "b" / "c", top / "a" / "b", top / "a"):
        path.chmod(0)
    remove(top, Stop())
    assert not top.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests above ran without root")
def test_the_same_without_root(tmp_path: Path) -> None:
    prefix = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
    probe = subprocess.run([*prefix, "id", "-u"], capture_output=True, text=True, check=False)
    if probe.stdout.strip() != "65534":
        pytest.skip(f"no user namespaces here: {probe.stderr}")
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", f"--basetemp={tmp_path / 'base'}")
    chosen = ("-k", "can_not_be_read or locked or deeper or no_content", __file__)
    ended = subprocess.run(
        [*prefix, sys.executable, "-m", "pytest", *options, *chosen],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-1000:]
    assert "4 passed" in ended.stdout
