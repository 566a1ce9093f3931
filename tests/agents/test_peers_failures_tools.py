"""What peers fail at, and we must not: tools (product.md's last section: 15)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from state.limits import TOOL_RESULT_BYTES
from tests.agents.cast import DONE, acts, call, runs, writes
from tests.agents.people import a_person
from tests.agents.test_cancelling import SOON, become, cancelled, running, unique
from tests.agents.world import FILES, opened, todo
from tests.integration.git_repositories import plain
from tests.services.model_wires import Call

# --- 15. "An MCP tool that keeps running after its client cancelled; results of 18 MB returned whole; repo config that
# executes commands." --------------------------------------------------------------------------------------------------


async def test_a_tool_that_keeps_running_after_its_client_cancelled(tmp_path: Path) -> None:
    """15: an MCP tool that keeps running after its client cancelled. Nor does what it has left in the background."""
    mark = unique()
    async with opened(tmp_path, cast={"hephaestus": acts([runs(f"sleep {mark} & sleep {mark}"), writes()])}) as world:
        await world.submit(todo())
        await world.hire()
        await become(lambda: running(mark), "the command")
        await cancelled(world)
        await become(lambda: not running(mark), "its processes are gone", SOON)
        assert len(world.server.asked) == 1
        assert "intent" in {row.state for row in await world.tools()}


LINES = [f"{number:08d} right or wrong\n" for number in range(750_000)]
WHOLE = {"large.txt": "".join(LINES)}
PARTS = {f"part-{number:02d}.txt": "".join(LINES[number::20]) for number in range(20)}
LARGE: dict[str, Call] = {
    "what a command prints": runs("cat large.txt; cat large.txt >&2"),
    "a line without an end": runs("tr -d '\\n' < large.txt"),
    "a file": call("workspace_read", path="large.txt"),
    "matches": call("workspace_search", pattern="right"),
    "a verification": call("check"),
}


@pytest.mark.parametrize("what", LARGE)
async def test_results_of_18_mb_returned_whole(tmp_path: Path, what: str) -> None:
    """15: results of 18 MB returned whole. The model gets a part, and is told that it is one."""
    files = {**FILES, **(PARTS if what == "matches" else WHOLE)}
    verify = [{"run": "cat *.txt; sh check.sh"}]
    async with opened(tmp_path, files=files, cast={"hephaestus": acts([LARGE[what]], [writes(), DONE])}) as world:
        assert await world.play(todo(verify=verify)) == "completed", await world.told()
        first, second = world.stage.by("hephaestus")
        (result,) = second.turns[-1].results
        assert 1_000 < len(result.encode()) < 2 * TOOL_RESULT_BYTES
        assert "00000000 right" in result or "00749999 right" in result
        assert len(second.asked.raw) - len(first.asked.raw) < 3 * TOOL_RESULT_BYTES
        rows = [row for row in await world.tools() if row.name == LARGE[what].name]
        assert all(len(row.result or "") < 3 * TOOL_RESULT_BYTES for row in rows)


def _arm(repository: Path, marker: Path) -> None:
    """Everything of a repository's that git would execute for whoever works in it."""
    evil = repository / ".git" / "evil"
    evil.write_text(f'#!/bin/sh\necho "$0 $*" >> {marker}\ncat\n')
    evil.chmod(0o755)
    for key in (
        "core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "diff.external", "diff.x.command",
        "diff.x.textconv", "filter.x.smudge", "filter.x.clean", "filter.x.process", "merge.x.driver", "gpg.program",
        "credential.helper", "uploadpack.packObjectsHook", "alias.status",
    ):  # fmt: skip
        plain(repository, "config", key, f"!{evil}" if key.startswith("alias") else str(evil))
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in (
        "post-checkout", "pre-commit", "post-commit", "post-merge", "reference-transaction", "pre-push",
        "post-index-change", "update", "pre-receive", "post-receive", "post-update", "push-to-checkout",
        "fsmonitor-watchman",
    ):  # fmt: skip
        os.link(evil, hooks / name)


def test_repo_config_that_executes_commands(tmp_path: Path) -> None:
    """15: repo config that executes commands: of the repository that a person names, from the pin to the push."""
    marker = tmp_path / "executed"
    files = {**FILES, ".gitattributes": "* filter=x diff=x merge=x\n"}
    with a_person(tmp_path, files=files) as person:
        _arm(person.repository, marker)
        person.atlas("run", person.plan(todo()), code=0)
        person.atlas("diff", "last", code=0)
        person.atlas("push", "last", code=0)
        assert not marker.exists(), marker.read_text()
        plain(person.repository, "checkout", "--quiet", "-b", "other", check=False)
        assert marker.exists(), "git itself would have executed it"


async def test_repo_config_of_a_role_that_executes_commands(tmp_path: Path) -> None:
    """15: repo config that executes commands: of a repository that a role makes where it works. It is not git to the
    house: a hook, a monitor, a filter are never run, and never merged."""
    owned = tmp_path / "owned"
    touch = f"touch {owned}"
    config = f'[core]\\n\\tfsmonitor = {touch}\\n[filter "x"]\\n\\tsmudge = {touch}\\n\\tclean = {touch}\\n'
    evil = (
        f"mkdir -p .git/hooks && printf '#!/bin/sh\\n{touch}\\n' > .git/hooks/post-checkout && "
        f"chmod +x .git/hooks/post-checkout && printf '{config}' > .git/config && "
        "echo '* filter=x' > .git/info-attributes && ls -la .git"
    )
    async with opened(tmp_path, cast={"hephaestus": acts(runs(evil), writes(), DONE)}) as world:
        assert await world.play(todo()) == "completed", await world.told()
        assert [row.state for row in await world.tools() if row.name == "workspace_run"] == ["done"]
        assert not owned.exists()
        assert await world.file(".git/config") is None
