"""Merges without a working tree, deliverables, and diffs."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import pytest

from mcp_servers.git.program import GitError
from mcp_servers.git.workspace.repository import RunRepository
from mcp_servers.git.workspace.results import ChangedFile, Conflict, Merged
from mcp_servers.git.workspace.worktree import Worktree
from state.errors import InputError
from tests.integration.git_repositories import plain
from tests.integration.workspace_ground import Ground, ground_at, inside, listing, write

LINES = "".join(f"line {number}\n" for number in range(20))


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncGenerator[Ground]:
    async with ground_at(tmp_path) as ground:
        await ground.pin({"a.txt": LINES, "b.txt": "b\n", "d/c.txt": "c\n", "bin": b"\0\1\2"})
        yield ground


@pytest.fixture
async def repository(ground: Ground) -> RunRepository:
    return await ground.repository()


async def change(
    ground: Ground, repository: RunRepository, files: Mapping[str, str | bytes | None], at: str = ""
) -> str:
    """A commit on `at` (the pinned one) with these changes; None removes."""
    number = len(list(ground.path.iterdir()))
    tree = await Worktree.create(repository, at or ground.oid, ground.path / f"tree{number}")
    write(tree.directory, {name: content for name, content in files.items() if content is not None})
    for name, content in files.items():
        if content is None:
            (tree.directory / name).unlink()
    return (await tree.snapshot()).commit


async def contents(ground: Ground, repository: RunRepository, commit: str) -> dict[str, str]:
    into = ground.path / f"checkout{len(list(ground.path.iterdir()))}"
    await repository.checkout(commit, into)
    return {path.decode(): content.decode() for path, (_, content) in listing(into).items() if path != b"bin"}


async def test_two_changes_become_one_commit_on_the_head(ground: Ground, repository: RunRepository) -> None:
    head = await change(ground, repository, {"a.txt": LINES.replace("line 2\n", "line two\n"), "new": "n\n"})
    middle = await change(ground, repository, {"b.txt": None})
    theirs = await change(ground, repository, {"a.txt": LINES.replace("line 17\n", "line seventeen\n")}, middle)
    merged = await repository.merge(head, theirs, "A TODO: done\n\nwith words")
    assert isinstance(merged, Merged)
    assert not merged.unchanged
    assert merged.tree == await repository.tree_of(merged.oid)
    assert inside(repository, "rev-parse", f"{merged.oid}^@") == head
    assert inside(repository, "show", "-s", "--format=%an <%ae>%n%B", merged.oid).splitlines() == [
        "Atlas <atlas@localhost>",
        "A TODO: done",
        "",
        "with words",
    ]
    expected = LINES.replace("line 2\n", "line two\n").replace("line 17\n", "line seventeen\n")
    assert await contents(ground, repository, merged.oid) == {"a.txt": expected, "new": "n\n", "d/c.txt": "c\n"}


async def test_nothing_to_merge(ground: Ground, repository: RunRepository) -> None:
    head = await change(ground, repository, {"new": "n\n"})
    same = await change(ground, repository, {"new": "n\n"})
    for commit in (ground.oid, head, same):
        merged = await repository.merge(head, commit, "m")
        assert merged == Merged(head, await repository.tree_of(head), unchanged=True)
    again = await repository.merge(ground.oid, head, "m")
    assert isinstance(again, Merged)
    assert (again.tree, again.unchanged) == (await repository.tree_of(head), False)


async def test_the_next_merge_goes_on_from_the_last(ground: Ground, repository: RunRepository) -> None:
    """The branch has one commit per TODO, and attempts that began earlier still merge."""
    changes = [await change(ground, repository, {f"todo{number}": f"{number}"}) for number in range(4)]
    head = ground.oid
    for commit in changes:
        merged = await repository.merge(head, commit, "m")
        assert isinstance(merged, Merged)
        assert inside(repository, "rev-parse", f"{merged.oid}^@") == head
        head = merged.oid
    assert {f"todo{number}" for number in range(4)} < (await contents(ground, repository, head)).keys()


async def test_a_conflict_has_both_sides(ground: Ground, repository: RunRepository) -> None:
    head = await change(ground, repository, {"a.txt": LINES.replace("line 5\n", "ours\n"), "b.txt": "clean\n"})
    theirs = await change(ground, repository, {"a.txt": LINES.replace("line 5\n", "theirs\n"), "d/c.txt": "clean\n"})
    conflict = await repository.merge(head, theirs, "m")
    assert isinstance(conflict, Conflict)
    assert conflict.paths == ("a.txt",)
    assert "-line 5\n+ours\n" in conflict.ours
    assert "-line 5\n+theirs\n" in conflict.theirs
    assert "b.txt" not in conflict.ours
    assert "d/c.txt" not in conflict.theirs


async def test_conflicts_of_all_kinds(ground: Ground, repository: RunRepository) -> None:
    for ours, theirs, path in (
        ({"a.txt": "ours\n"}, {"a.txt": None}, "a.txt"),
        ({"new\nname": "ours\n"}, {"new\nname": "theirs\n"}, "new\nname"),
        ({"bin": b"\0ours"}, {"bin": b"\0theirs"}, "bin"),
        ({"d/c.txt": "ours\n"}, {"d/c.txt": "theirs\n"}, "d/c.txt"),
    ):
        conflict = await repository.merge(
            await change(ground, repository, ours), await change(ground, repository, theirs), "m"
        )
        assert isinstance(conflict, Conflict)
        assert conflict.paths == (path,)
        assert conflict.ours
        assert conflict.theirs


async def test_a_conflict_is_told_within_bounds(ground: Ground, repository: RunRepository) -> None:
    names = [f"n{number:03}" for number in range(300)]
    conflict = await repository.merge(
        await change(ground, repository, dict.fromkeys(names, "ours\n" * 100)),
        await change(ground, repository, dict.fromkeys(names, "theirs\n" * 100)),
        "m",
    )
    assert isinstance(conflict, Conflict)
    assert list(conflict.paths) == names
    assert 40_000 < len(conflict.ours) <= 50_000
    assert 40_000 < len(conflict.theirs) <= 50_000


async def test_attributes_resolve_no_conflict(ground: Ground, repository: RunRepository) -> None:
    write(ground.source, {".gitattributes": "* merge=union\n*.txt merge=ours -diff conflict-marker-size=1\n"})
    plain(ground.source, "add", ".")
    plain(ground.source, "commit", "--quiet", "-m", "union")
    await ground.pin_again()
    repository = await ground.repository("with attributes")
    head = await change(ground, repository, {"a.txt": "ours\n"})
    conflict = await repository.merge(head, await change(ground, repository, {"a.txt": "theirs\n"}), "m")
    assert isinstance(conflict, Conflict)
    assert "+ours" in conflict.ours, "as text, whatever -diff says"


async def test_what_only_means_something_else_merges(ground: Ground, repository: RunRepository) -> None:
    """No text conflict: only verification of the merged commit tells."""
    base = await change(ground, repository, {"lib.py": "def f(): return 1\n", "use.py": "import lib\n"})
    head = await change(ground, repository, {"lib.py": "def g(): return 1\n"}, base)
    theirs = await change(ground, repository, {"use.py": "import lib\nassert lib.f() == 1\n"}, base)
    merged = await repository.merge(head, theirs, "m")
    assert isinstance(merged, Merged)
    found = await contents(ground, repository, merged.oid)
    assert (found["lib.py"], found["use.py"]) == ("def g(): return 1\n", "import lib\nassert lib.f() == 1\n")


async def test_a_renamed_file_takes_the_change_along(ground: Ground, repository: RunRepository) -> None:
    head = await change(ground, repository, {"a.txt": None, "renamed.txt": LINES})
    theirs = await change(ground, repository, {"a.txt": LINES + "more\n"})
    merged = await repository.merge(head, theirs, "m")
    assert isinstance(merged, Merged)
    assert (await contents(ground, repository, merged.oid))["renamed.txt"] == LINES + "more\n"


async def test_what_can_not_be_merged(ground: Ground, repository: RunRepository) -> None:
    unknown = "1" * 40
    for head, commit in ((unknown, ground.oid), (ground.oid, unknown)):
        with pytest.raises(GitError, match=f"the commit {unknown} is not here"):
            await repository.merge(head, commit, "m")
    with pytest.raises(GitError, match="is not here"):
        await repository.merge(ground.oid, await repository.tree_of(ground.oid), "m")
    for oid in ("HEAD", "--help", ""):
        with pytest.raises(InputError, match="not the id of a commit"):
            await repository.merge(oid, ground.oid, "m")


@pytest.mark.parametrize("parents", [0, 1, 2, 3])
@pytest.mark.parametrize("message", ["", "m", "m\n", "\n\n m \n\n", "# ünï\r\n\nbody\nSigned-off-by: x", "a\0b"])
async def test_a_commit_of_atlass_own_is_what_git_makes(ground: Ground, message: str, parents: int) -> None:
    repository = await ground.repository()
    tree = plain(ground.source, "rev-parse", f"{ground.oid}^{{tree}}").strip()
    other = await repository.commit(tree, [], "other")
    above = [ground.oid, other, ground.oid][:parents]
    commit = await repository.commit(tree, above, message, at=1_000_000_000.9)
    date = "@1000000000 +0000"
    who = {"NAME": "Atlas", "EMAIL": "atlas@localhost", "DATE": date}
    environment = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in who.items()}
    asked = ["git", "commit-tree", tree, *(part for each in above for part in ("-p", each)), "-F", "-"]
    made = await asyncio.to_thread(
        subprocess.run,
        asked, cwd=repository.cache.repository, input=message.replace("\0", "").encode(),
        env=os.environ | environment,
        capture_output=True, check=True,
    )  # fmt: skip
    assert commit == made.stdout.decode().strip()
    plain(repository.cache.repository, "fsck", "--strict")
    (loose,) = repository.cache.repository.glob(f"objects/{commit[:2]}/{commit[2:]}")
    assert loose.stat().st_mode & 0o777 == 0o444
    assert not list(repository.cache.repository.glob("objects/tmp_*"))


async def test_a_commit_has_the_author_and_the_time(ground: Ground, repository: RunRepository) -> None:
    tree = await repository.tree_of(ground.oid)
    commit = await repository.commit(tree, [ground.oid], "-m ünï\n", author="Ünï Code <u@x>", at=1_000_000_000.9)
    said = inside(repository, "show", "-s", "--format=%an|%ae|%cn|%at|%ct|%P|%T|%s", commit)
    assert said == f"Ünï Code|u@x|Ünï Code|1000000000|1000000000|{ground.oid}|{tree}|-m ünï"
    for author in ("nobody", " <x@x>", "a\nb <x>", "<x@x>", "a <b> <c>"):
        with pytest.raises(InputError, match="not an author"):
            await repository.commit(tree, [], "m", author=author)


async def test_a_diff_is_plain_text(ground: Ground, repository: RunRepository) -> None:
    new = await change(
        ground,
        repository,
        {
            ".gitattributes": "* -diff diff=evil binary\n",
            "a.txt": LINES.replace("line 3\n", "three\nand more\n"),
            "moved/b.txt": "b\n",
            "b.txt": None,
            "bin": b"\0other",
            "new\nname": "n\n",
            "d/c.txt*": "c\n",
        },
    )
    diff = await repository.diff(ground.oid, new)
    assert not diff.truncated
    assert set(diff.files) == {
        ChangedFile(".gitattributes", "A", 1, 0),
        ChangedFile("a.txt", "M", 2, 1),
        ChangedFile("moved/b.txt", "A", 1, 0),
        ChangedFile("b.txt", "D", 0, 1),
        ChangedFile("bin", "M", None, None),
        ChangedFile("new\nname", "A", 1, 0),
        ChangedFile("d/c.txt", "M", 0, 0),
    }
    assert "-line 3\n+three\n+and more\n" in diff.text
    assert "Binary files a/bin and b/bin differ" in diff.text
    assert "rename" not in diff.text
    assert "old mode 100644\nnew mode 100755" in diff.text
    assert (await repository.diff(new, new)).files == ()


async def test_a_diff_is_bounded(ground: Ground, repository: RunRepository) -> None:
    new = await change(ground, repository, {f"n{number:04}": "ü" * 100 for number in range(2500)})
    diff = await repository.diff(ground.oid, new, limit=1001)
    assert (diff.truncated, len(diff.files)) == (True, 2000)
    assert 990 <= len(diff.text.encode()) <= 1001
    small = await repository.diff(ground.oid, new, limit=10_000_000)
    assert small.truncated, "not all files are listed"
    assert small.text.count("diff --git") == 2500


async def test_the_deliverable_is_without_what_is_ignored(ground: Ground, repository: RunRepository) -> None:
    write(ground.source, {"build/kept": "in the base\n", "x.log": "in the base\n"})
    plain(ground.source, "add", ".")
    plain(ground.source, "commit", "--quiet", "-m", "tracked although ignored later")
    await ground.pin_again()
    repository = await ground.repository("again")
    tree = await ground.worktree(repository)
    write(
        tree.directory,
        {
            ".gitignore": "build/\n*.log\n!keep.log\n/top\nnode_modules\n",
            "build/kept": "changed\n",
            "build/product": "no\n",
            "x.log": "changed\n",
            "y.log": "no\n",
            "keep.log": "yes\n",
            "top": "no\n",
            "d/top": "yes\n",
            "d/.gitignore": "*.tmp\n!z.tmp\n",
            "d/x.tmp": "no\n",
            "d/z.tmp": "yes\n",
            "node_modules/m/index.js": "no\n",
            "node_modules/m/.gitignore": "!*\n",
            "src/new\nname.py": "yes\n",
            "__pycache__/.gitignore": "*\n",
            "__pycache__/x.pyc": "no\n",
        },
    )
    snapshot = await tree.snapshot()
    (tree.directory / ".gitignore").write_text("*\n")  # after the snapshot: has no say
    commit = await tree.deliverable(ground.oid)
    assert inside(repository, "rev-parse", f"{commit}^@") == ground.oid
    found = await contents(ground, repository, commit)
    assert found.keys() == {
        *("a.txt", "b.txt", "d/c.txt", ".gitignore", "build/kept", "x.log", "keep.log", "d/top", "d/.gitignore"),
        *("d/z.tmp", "src/new\nname.py"),
    }
    assert found["build/kept"] == found["x.log"] == "changed\n"
    assert snapshot.commit == tree.commit, "the snapshot is what it was"
    assert "y.log" in await contents(ground, repository, snapshot.commit)


async def test_a_deliverable_of_everything(ground: Ground, repository: RunRepository) -> None:
    tree = await ground.worktree(repository)
    write(tree.directory, {"new": "n\n"})
    snapshot = await tree.snapshot()
    assert await repository.tree_of(await tree.deliverable(ground.oid)) == snapshot.tree
    (tree.directory / ".gitignore").symlink_to("a.txt")
    write(tree.directory, {"a.txt": "*\n"})
    snapshot = await tree.snapshot()
    assert await repository.tree_of(await tree.deliverable(ground.oid)) == snapshot.tree, "a link has no rules"


async def test_what_the_host_ignores_has_no_say(
    ground: Ground, repository: RunRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    (ground.path / "home" / "git").mkdir(parents=True)
    (ground.path / "home" / "git" / "ignore").write_text("new\n")
    (ground.path / ".gitignore").write_text("new\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(ground.path / "home"))
    monkeypatch.chdir(ground.path)
    (repository.cache.repository / "info" / "exclude").write_text("new\n")
    tree = await ground.worktree(repository)
    write(tree.directory, {"new": "n\n", ".gitignore": "other\n"})
    snapshot = await tree.snapshot()
    assert await repository.tree_of(await tree.deliverable(ground.oid)) == snapshot.tree
