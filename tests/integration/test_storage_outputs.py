"""Outputs: staged whole or refused, published as often as need be, also after a kill half way."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from dataclasses import asdict
from pathlib import Path

import pytest

from mcp_servers.storage import locations
from mcp_servers.storage.outputs import Declared, OutputMissing, OutputRefused, publish, stage
from mcp_servers.storage.s3_calls import S3Settings
from mcp_servers.storage.stores import ObjectStores
from state.errors import InputError, RemoteMissing
from state.records import Output
from tests.services.s3 import Bucket

TODO = "0199f0b0-0000-7000-8000-000000000000"


@pytest.fixture
async def stores() -> AsyncGenerator[ObjectStores]:
    opened = ObjectStores()
    yield opened
    await opened.close()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work" / "out" / "deep").mkdir(parents=True)
    (tmp_path / "work" / "out" / "x.json").write_bytes(b"{}")
    (tmp_path / "work" / "out" / "deep" / "y z+%").write_bytes(b"why")
    return tmp_path / "work"


def remote(tmp_path: Path, name: str = "") -> str:
    root = locations.from_path(tmp_path / "remote", directory=True)
    return locations.join(root, name) if name else root


def declared(work: Path, internal: str, target: str) -> Declared:
    return Declared(internal, work, internal.rstrip("/"), target)


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def below(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


async def test_a_file(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    [output] = await stage([declared(work, "out/x.json", remote(tmp_path, "samples/"))], TODO, 3, stores)
    assert output == Output(
        internal="out/x.json",
        remote=remote(tmp_path, "samples/x.json"),
        staged=remote(tmp_path, f"samples/.atlas/{TODO}/3/x.json"),
        digest=digest(b"{}"),
        size=2,
        tree=False,
        listing=None,
    )
    assert not (tmp_path / "remote" / "samples" / "x.json").exists()
    for _ in range(2):
        await publish(output, stores)
        assert (tmp_path / "remote" / "samples" / "x.json").read_bytes() == b"{}"


async def test_a_file_under_another_name(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    [output] = await stage([declared(work, "out/x.json", remote(tmp_path, "y.json"))], TODO, 1, stores)
    assert output.staged == remote(tmp_path, f".atlas/{TODO}/1/y.json")
    assert output.remote == remote(tmp_path, "y.json")


async def test_a_tree(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    (tmp_path / "remote" / "d").mkdir(parents=True)
    (tmp_path / "remote" / "d" / "older").write_bytes(b"somebody's")
    [output] = await stage([declared(work, "out/", remote(tmp_path, "d"))], TODO, 1, stores)
    assert (output.remote, output.size, output.tree) == (remote(tmp_path, "d/"), 5, True)
    assert output.listing is not None
    assert output.digest == digest(output.listing.encode())
    assert json.loads(output.listing) == [
        {"path": "deep/y z+%", "digest": digest(b"why"), "size": 3},
        {"path": "x.json", "digest": digest(b"{}"), "size": 2},
    ]
    await publish(output, stores)
    published = {name: content for name, content in below(tmp_path / "remote" / "d").items() if ".atlas" not in name}
    assert published == {"older": b"somebody's", "x.json": b"{}", "deep/y z+%": b"why"}


async def test_an_empty_directory(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    (work / "none").mkdir()
    [output] = await stage([declared(work, "none/", remote(tmp_path, "d/"))], TODO, 1, stores)
    assert (output.listing, output.size) == ("[]", 0)
    await publish(output, stores)


@pytest.mark.s3
async def test_to_s3(work: Path, s3_bucket: Bucket) -> None:
    service = s3_bucket.service
    stores = ObjectStores(S3Settings(service.endpoint, service.region, service.access_key, service.secret_key))
    root = f"s3://{s3_bucket.name}/"
    outputs = await stage([declared(work, "out/x.json", root), declared(work, "out/", f"{root}all/")], TODO, 12, stores)
    for output in outputs:
        await publish(output, stores)
    found = [info.url.removeprefix(root) async for info in stores.list(root)]
    assert found == [
        f".atlas/{TODO}/12/x.json",
        f"all/.atlas/{TODO}/12/deep/y z+%",
        f"all/.atlas/{TODO}/12/x.json",
        "all/deep/y z+%",
        "all/x.json",
        "x.json",
    ]
    await stores.close()


async def test_what_is_missing_is_named_and_nothing_is_uploaded(
    tmp_path: Path, work: Path, stores: ObjectStores
) -> None:
    wanted = ["out/x.json", "out/no.json", "nowhere/x", "none/"]
    with pytest.raises(OutputMissing, match=r"out/no\.json, nowhere/x, none/"):
        await stage([declared(work, name, remote(tmp_path)) for name in wanted], TODO, 1, stores)
    assert not (tmp_path / "remote").exists()


async def test_links_and_special_files_are_refused(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    (work / "link").symlink_to("/etc/passwd")
    (work / "dangling").symlink_to("nowhere")
    (work / "linked").symlink_to("out")
    (work / "etc").symlink_to("/etc")
    os.mkfifo(work / "fifo")
    for internal in ("link", "dangling", "linked/", "linked/x.json", "etc/passwd"):
        with pytest.raises(OutputRefused, match=r"is a symbolic link[\s\S]*copy what a link"):
            await stage([declared(work, internal, remote(tmp_path, "d/"))], TODO, 1, stores)
    with pytest.raises(OutputRefused, match="neither a file nor a directory"):
        await stage([declared(work, "fifo", remote(tmp_path, "d/"))], TODO, 1, stores)
    for name in ("link", "fifo"):
        (work / "tree" / "deep").mkdir(parents=True, exist_ok=True)
        (work / name).rename(work / "tree" / "deep" / name)
        with pytest.raises(OutputRefused, match=f"tree/deep/{name}"):
            await stage([declared(work, "tree/", remote(tmp_path, "d/"))], TODO, 1, stores)
        (work / "tree" / "deep" / name).unlink()
    assert not (tmp_path / "remote").exists()


async def test_the_wrong_kind_is_refused(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    with pytest.raises(OutputRefused, match="Declare out/ to take the whole directory"):
        await stage([declared(work, "out", remote(tmp_path))], TODO, 1, stores)
    with pytest.raises(OutputRefused, match="taken as a file"):
        await stage([declared(work, "out/x.json/", remote(tmp_path))], TODO, 1, stores)


async def test_names_that_no_url_has_are_refused(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    (work / "out" / "a\nb").write_bytes(b"x")
    with pytest.raises(OutputRefused, match="control character"):
        await stage([declared(work, "out/", remote(tmp_path))], TODO, 1, stores)


async def test_two_outputs_do_not_share_a_place(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    both = [declared(work, "out/x.json", remote(tmp_path, "d/")), declared(work, "out/", remote(tmp_path, "d/"))]
    with pytest.raises(OutputRefused, match=r"out/x\.json and out/ have the same remote"):
        await stage(both, TODO, 1, stores)


async def test_a_bad_remote_is_the_plans_fault(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    with pytest.raises(InputError):
        await stage([declared(work, "out/x.json", "http://host/")], TODO, 1, stores)
    with pytest.raises(InputError):
        await stage([declared(work, "out/x.json", remote(tmp_path))], "../../etc", 1, stores)


async def test_what_was_staged_and_is_gone(tmp_path: Path, work: Path, stores: ObjectStores) -> None:
    [output] = await stage([declared(work, "out/x.json", remote(tmp_path))], TODO, 1, stores)
    await stores.delete(output.staged)
    with pytest.raises(RemoteMissing, match=r"\.atlas"):
        await publish(output, stores)


@pytest.mark.parametrize("label", ["before_publish", "half_published", "after_publish"])
async def test_a_killed_publication_is_repaired(tmp_path: Path, work: Path, stores: ObjectStores, label: str) -> None:
    [output] = await stage([declared(work, "out/", remote(tmp_path))], TODO, 1, stores)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", __name__),
        stdin=subprocess.PIPE,
        env={**os.environ, "ATLAS_FAILPOINTS": f"outputs.{label}=kill"},
    )
    await process.communicate(json.dumps(asdict(output)).encode())
    assert process.returncode == -signal.SIGKILL
    there = [name for name in below(tmp_path / "remote") if ".atlas" not in name]
    assert len(there) == {"before_publish": 0, "half_published": 1, "after_publish": 2}[label]
    await publish(output, stores)
    assert len([name for name in below(tmp_path / "remote") if ".atlas" not in name]) == 2


if __name__ == "__main__":
    asyncio.run(publish(Output(**json.load(sys.stdin)), ObjectStores()))
