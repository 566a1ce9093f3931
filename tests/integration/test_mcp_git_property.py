"""Random sequences of git tools do to a repository what plain git does to its twin."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from mcp import Client

from mcp_servers.git.server import git_server
from mcp_servers.manners import Policy
from tests.integration.git_repositories import ENVIRONMENT, plain, repository, said
from tests.services.answers import answer

FILES = ("a.txt", "b.txt", "dir/c.txt", "ünï code.txt", "-dash")
NAMES = ("main", "topic", "other/branch", "missing")
Step = tuple[str, dict[str, object], list[list[str]]]
"""(tool, its arguments, what a person types for the same)"""


@dataclass
class Twins:
    """Two repositories that begin alike."""

    ours: Path
    theirs: Path

    def both(self, change: Callable[[Path], object]) -> None:
        """Do something to both working trees."""
        for tree in (self.ours, self.theirs):
            change(tree)

    def compare(self, told: object) -> None:
        """What a person would look at is the same. (Sorted: commits of one second have no order.)"""
        for question in (
            ["status", "--porcelain=v2", "--untracked-files=all"],
            ["log", "--branches", "--tags", "--format=%s %T"],
            ["symbolic-ref", "--quiet", "HEAD"],
            ["for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags"],
            ["stash", "list", "--format=%gs"],
            ["diff", "HEAD"],
        ):
            ours, theirs = (
                sorted(plain(tree, *question, check=False).split("\n")) for tree in (self.ours, self.theirs)
            )
            assert ours == theirs, (told, question)


def step(random: Random, number: int) -> Step:
    """Something to do; not all of it can be done."""
    file, other = random.choice(FILES), random.choice(FILES)
    name = random.choice(NAMES)
    literal = f":(literal){file}"
    message = f"commit {number}"
    choices: list[Step] = [
        ("git_add", {"paths": [file]}, [["add", "--all", "--", literal]]),
        ("git_add", {"everything": True}, [["add", "--all"]]),
        ("git_unstage", {"paths": [file]}, [["restore", "--staged", "--", literal]]),
        ("git_restore", {"paths": [file]}, [["restore", "--", literal]]),
        ("git_restore", {"paths": [file, other], "source": "HEAD~1"},
         [["restore", "--source=HEAD~1", "--", literal, f":(literal){other}"]]),
        ("git_commit", {"message": message}, [["commit", "--quiet", "-m", message]]),
        ("git_commit", {"message": message}, [["commit", "--quiet", "-m", message]]),
        ("git_create_branch", {"name": name}, [["branch", name]]),
        ("git_switch", {"name": name}, [["switch", "--no-guess", name]]),
        ("git_switch", {"name": f"new-{number}", "create": True}, [["switch", "-c", f"new-{number}"]]),
        ("git_delete_branch", {"name": name, "force": True}, [["branch", "-D", name]]),
        ("git_merge", {"revision": name}, [["merge", "--ff-only", name]]),
        ("git_merge", {"revision": name, "strategy": "merge", "message": message},
         [["merge", "-m", message, name], ["merge", "--abort"]]),
        ("git_rebase", {"onto": name}, [["rebase", name], ["rebase", "--abort"]]),
        ("git_reset", {"revision": "HEAD~1", "mode": "soft"}, [["reset", "--soft", "HEAD~1"]]),
        ("git_reset", {"revision": name}, [["reset", "--quiet", name, "--"]]),
        ("git_reset_hard", {}, [["reset", "--hard"]]),
        ("git_stash", {"message": message}, [["stash", "push", "-m", message]]),
        ("git_drop_stash", {}, [["stash", "drop"]]),
        ("git_create_tag", {"name": f"t{number}", "message": "a tag"}, [["tag", "-a", "-m", "a tag", f"t{number}"]]),
    ]  # fmt: skip
    return random.choice(choices)


def edit(random: Random, number: int) -> Callable[[Path], object]:
    """A change of the working tree."""
    file, text = random.choice(FILES), f"{random.randint(0, 3)}\n{number}\n"

    def write(tree: Path) -> None:
        (tree / file).parent.mkdir(exist_ok=True)
        (tree / file).write_text(text)

    def remove(tree: Path) -> None:
        (tree / file).unlink(missing_ok=True)

    return random.choice((write, write, remove))


async def play(client: Client, twins: Twins, random: Random, steps: int) -> None:
    for number in range(steps):
        for _ in range(random.randint(0, 2)):
            twins.both(edit(random, number))
        tool, arguments, typed = step(random, number)
        result = await client.call_tool(tool, {"repo": str(twins.ours), **arguments})
        for commands in typed:
            plain(twins.theirs, *commands, check=False)
        told: dict[str, Any] = answer(result.structured_content or {})
        twins.compare((tool, arguments, said(result), told))


@given(seed=st.integers(0, 1 << 40), steps=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
async def test_tools_do_what_git_does(seed: int, steps: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        twins = Twins(repository(root / "ours"), repository(root / "theirs"))
        user = {name: value for name, value in ENVIRONMENT.items() if name.startswith(("GIT_AUTHOR", "GIT_COMMITTER"))}
        async with Client(git_server([root], Policy(allow_destructive=True), user=user)) as client:
            await play(client, twins, Random(seed), steps)
