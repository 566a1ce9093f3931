"""Attacks on a git server, by what it is told and by what a repository holds."""

from __future__ import annotations

import shutil

from tests.integration.attack_ground import SECRET, Ground
from tests.integration.git_repositories import plain, repository


async def an_option_for_a_revision(ground: Ground) -> bool:
    await ground.call("git_diff", repo=str(ground.repository()), revisions=[f"--output={ground.mark}"])
    return ground.marked()


async def an_option_for_a_path(ground: Ground) -> bool:
    await ground.call("git_log", repo=str(ground.repository()), paths=[f"--output={ground.mark}"])
    return ground.marked()


async def an_option_for_a_remote(ground: Ground) -> bool:
    repo, other = ground.repository(), ground.repository("other")
    plain(repo, "remote", "add", "origin", str(other))
    await ground.call("git_fetch", repo=str(repo), remote=f"--upload-pack={ground.program}")
    return ground.marked()


async def an_option_for_a_url(ground: Ground) -> bool:
    await ground.call("git_clone", url=f"--upload-pack={ground.program}", into=str(ground.repository("deep/repo")))
    return ground.marked()


async def a_program_for_a_url(ground: Ground) -> bool:
    repo = ground.repository()
    plain(repo, "config", "remote.origin.url", f"ext::touch {ground.mark}")
    plain(repo, "config", "protocol.ext.allow", "always")
    await ground.call("git_fetch", repo=str(repo), remote="origin")
    return ground.marked()


async def a_path_to_add_that_leads_out(ground: Ground) -> bool:
    repo = ground.repository()
    await ground.call("git_add", repo=str(repo), paths=["../../outside/secret"])
    content = plain(repo, "hash-object", str(ground.outside / "secret")).strip()
    return plain(repo, "cat-file", "-t", content, check=False) == "blob\n"


async def a_repository_beside_the_root(ground: Ground) -> bool:
    beside = repository(ground.root.with_name(f"{ground.root.name}-2"))
    return "second" in await ground.call("git_log", repo=str(beside))


async def a_link_in_the_working_tree(ground: Ground) -> bool:
    repo = ground.repository()
    (repo / "d").mkdir()
    (repo / "d" / "secret").write_text("tracked\n")
    plain(repo, "add", "d")
    shutil.rmtree(repo / "d")
    (repo / "d").symlink_to(ground.outside)
    return SECRET in await ground.call("git_grep", repo=str(repo), pattern="secret")


async def a_link_in_the_git_directory(ground: Ground) -> bool:
    repo = ground.repository()
    (repo / ".git" / "COMMIT_EDITMSG").unlink()
    (repo / ".git" / "COMMIT_EDITMSG").symlink_to(ground.mark)
    (repo / "b.txt").write_text("changed\n")
    plain(repo, "add", "b.txt")
    await ground.call("git_commit", repo=str(repo), message="what the attacker says")
    return ground.marked()


async def hooks_where_it_is_pushed_to(ground: Ground) -> bool:
    repo, other = ground.repository(), ground.repository("other")
    plain(repo, "remote", "add", "origin", str(other))
    plain(repo, "branch", "topic")
    hook = other / ".git" / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\n{ground.program}\n")
    hook.chmod(0o755)
    await ground.call("git_push", repo=str(repo), branch="topic")
    return ground.marked()


async def a_diff_of_any_two_files(ground: Ground) -> bool:
    repo, large = ground.repository(), ground.outside / "large"
    large.write_text(f"{SECRET}\n" * 10_000)
    for arguments in ({"revisions": ["/dev/null", str(large)]}, {"revisions": [], "paths": ["/dev/null", str(large)]}):
        if SECRET in await ground.call("git_diff", repo=str(repo), **arguments):
            return True
    return False
