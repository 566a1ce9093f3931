"""Each attack once, on our servers and on naive ones: the naive ones fall, which proves the attack; ours do not."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
from mcp import Client

from mcp_servers.git.server import git_server
from mcp_servers.manners import Policy
from tests.integration import attacks_on_containers, attacks_on_git, attacks_on_s3
from tests.integration.attack_ground import SECRET, Attack, Ground
from tests.integration.container_workshop import workshop
from tests.services.naive_servers import engine_at, naive_containers, naive_git, naive_s3
from tests.services.s3 import Bucket
from tests.services.s3_tools import talking

Server = Literal["ours", "naive"]


@dataclass(frozen=True, slots=True)
class Hole:
    """`attack` is made here, on ours and on a naive server. `open_in` is the test that shows it open elsewhere,
    `closed` the one that goes deeper into how ours is closed; both ``module.test``, below ``tests.integration``."""

    name: str
    attack: Attack | None = None
    open_in: str = ""
    closed: str = ""


_git, _s3, _container = attacks_on_git, attacks_on_s3, attacks_on_containers
_OPEN, _HOSTILE, _ESCAPES = "test_mcp_git_reference.test_", "test_mcp_git_hostile.test_", "test_mcp_git_escapes.test_"
_BUCKETS, _FILES = "test_mcp_s3.test_", "test_mcp_s3_files.test_"
_CONFINED, _COPIES = "test_mcp_container_confinement.test_", "test_mcp_container_files.test_"
_ROOTS, _INJECTED = f"{_HOSTILE}only_repositories_below_the_roots", f"{_HOSTILE}no_argument_becomes_an_option"
_CONFIGURED, _RUNS_NOTHING = f"{_OPEN}the_configuration_runs_commands", f"{_HOSTILE}a_repository_runs_nothing"
_PREFIX, _BELOW = f"{_BUCKETS}nothing_outside_the_prefix", f"{_FILES}only_below_the_roots"
_ASKED = f"{_CONFINED}an_argument_asks_for_no_more"

HOLES = (
    Hole("any repository", None, f"{_OPEN}any_repository_can_be_read", _ROOTS),
    Hole(
        "a .git file that leads out", None, f"{_OPEN}a_git_file_leads_out", f"{_HOSTILE}a_git_file_that_points_outside"
    ),
    Hole("fsmonitor, diff.external, hooks, filters", None, _CONFIGURED, _RUNS_NOTHING),
    Hole("a huge diff", None, f"{_OPEN}a_huge_diff_comes_whole", f"{_HOSTILE}a_huge_diff_comes_in_pages"),
    Hole("a slow call", None, f"{_OPEN}a_slow_call_delays_the_others", f"{_HOSTILE}a_slow_call_delays_no_other"),
    Hole("a repository beside the root", _git.a_repository_beside_the_root, "", _ROOTS),
    Hole("a revision as option", _git.an_option_for_a_revision, "", _INJECTED),
    Hole("a path as option", _git.an_option_for_a_path, "", _INJECTED),
    Hole("a remote as option", _git.an_option_for_a_remote, "", _INJECTED),
    Hole("a URL as option", _git.an_option_for_a_url, "", _INJECTED),
    Hole("a URL as program", _git.a_program_for_a_url, "", f"{_HOSTILE}urls_that_are_never_fetched_from"),
    Hole("traversal in add", _git.a_path_to_add_that_leads_out, "", f"{_HOSTILE}paths_stay_inside"),
    Hole("read through a link", _git.a_link_in_the_working_tree, "", f"{_ESCAPES}a_directory_that_became_a_link"),
    Hole(
        "written through a link",
        _git.a_link_in_the_git_directory,
        "",
        f"{_ESCAPES}no_part_of_a_git_directory_leads_out",
    ),
    Hole("any two files", _git.a_diff_of_any_two_files, "", f"{_ESCAPES}a_diff_of_two_files_that_are_not_in_it"),
    Hole("a push's other end", _git.hooks_where_it_is_pushed_to, "", f"{_ESCAPES}the_other_end_of_a_push_runs_nothing"),
    Hole("a presigned URL for anything", _s3.a_presigned_url_for_anything, "", _PREFIX),
    Hole("a prefix that begins alike", _s3.a_prefix_that_begins_alike, "", _PREFIX),
    Hole("a key that leads up", _s3.a_key_that_leads_up, "", _PREFIX),
    Hole("a local path that leads up", _s3.a_local_path_that_leads_up, "", _BELOW),
    Hole("a link sent", _s3.a_link_that_is_sent, "", f"{_FILES}a_link_that_is_swapped_in"),
    Hole("a link written through", _s3.a_link_that_is_written_through, "", _BELOW),
    Hole("a mount asked for", _container.a_mount_that_is_asked_for, "", _ASKED),
    Hole("a mount by label", _container.a_mount_that_an_image_asks_for, "", f"{_CONFINED}an_image_widens_nothing"),
    Hole("capabilities asked for", _container.capabilities_that_are_asked_for, "", _ASKED),
    Hole("a link copied in", _container.a_link_that_is_copied_in, "", f"{_COPIES}local_paths_stay_inside_the_roots"),
    Hole(
        "a link copied out",
        _container.a_link_that_is_copied_out,
        "",
        f"{_COPIES}links_in_an_archive_are_never_followed",
    ),
)


def made_here(module: object) -> list[object]:
    """Those of an area, as parameters."""
    area = getattr(module, "__name__", "")
    return [pytest.param(hole.attack, id=hole.name) for hole in HOLES if hole.attack and hole.attack.__module__ == area]


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    """What is allowed, and what is not."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (outside / "secret").write_text(SECRET)
    return root, outside


@pytest.mark.parametrize("server", ["ours", "naive"])
@pytest.mark.parametrize("attack", made_here(attacks_on_git))
async def test_git(places: tuple[Path, Path], attack: Attack, server: Server) -> None:
    ours = git_server([places[0]], Policy(allow_destructive=True))
    async with Client(ours if server == "ours" else naive_git(places[0])) as client:
        assert await attack(Ground(client, *places)) == (server == "naive")


@pytest.mark.s3
@pytest.mark.parametrize("server", ["ours", "naive"])
@pytest.mark.parametrize("attack", made_here(attacks_on_s3))
async def test_s3(places: tuple[Path, Path], s3_bucket: Bucket, attack: Attack, server: Server) -> None:
    with closing(s3_bucket.service.client()) as s3:
        for key, content in (("secret", SECRET), ("teammate/secret", SECRET), ("team/mine", "evil")):
            s3.put_object(Bucket=s3_bucket.name, Key=key, Body=content.encode())
    async with _s3_client(places[0], s3_bucket, server) as client:
        ground = Ground(client, *places, bucket=f"s3://{s3_bucket.name}/")
        assert await attack(ground) == (server == "naive")


@asynccontextmanager
async def _s3_client(root: Path, bucket: Bucket, server: Server) -> AsyncGenerator[Client]:
    if server == "ours":
        async with talking(bucket.service, f"s3://{bucket.name}/team", roots=[root]) as talk:
            yield talk.client
    else:
        async with Client(naive_s3(bucket.service, bucket.name, "team", root)) as client:
            yield client


@pytest.mark.docker
@pytest.mark.usefixtures("busybox_image")
@pytest.mark.parametrize("server", ["ours", "naive"])
@pytest.mark.parametrize("attack", made_here(attacks_on_containers))
async def test_containers(places: tuple[Path, Path], docker_url: str, attack: Attack, server: Server) -> None:
    async with _container_client(places[0], docker_url, server) as client:
        assert await attack(Ground(client, *places, engine=docker_url)) == (server == "naive")


@asynccontextmanager
async def _container_client(root: Path, url: str, server: Server) -> AsyncGenerator[Client]:
    if server == "ours":
        async with workshop(url, root.parent, roots=[root]) as shop:
            yield shop.client
    else:
        with engine_at(url) as engine:
            async with Client(naive_containers(engine, root)) as client:
                yield client


@pytest.mark.parametrize("hole", HOLES, ids=lambda hole: hole.name)
def test_the_list_names_tests_that_exist(hole: Hole) -> None:
    assert (hole.attack is None) != (not hole.open_in), "shown open here, or in another test"
    for named in filter(None, (hole.open_in, hole.closed)):
        module, _, test = named.partition(".")
        assert callable(getattr(importlib.import_module(f"tests.integration.{module}"), test))
