"""What every sandbox shows a command, and what it keeps from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from state.errors import SandboxUnavailable
from state.limits import MB
from state.ports import Mount, Resources
from tests.contract.sandbox_bench import Bench

# --- what a command sees ----------------------------------------------------------------------------------------------


async def test_the_environment_is_what_was_promised(bench: Bench) -> None:
    _, out, _ = await bench.run("env", environment={"MODE": "full", "EMPTY": "", "LINES": "a\nB=c"})
    seen = dict(line.split("=", 1) for line in out.decode().replace("a\nB=c", "two lines").splitlines())
    assert seen.keys() - {"TMPDIR"} == {"PATH", "HOME", "LANG", "MODE", "EMPTY", "LINES"}
    assert (seen["MODE"], seen["EMPTY"], seen["LINES"], seen["LANG"]) == ("full", "", "two lines", "C.UTF-8")


async def test_home_and_temporary_files_are_scratch(bench: Bench) -> None:
    script = 'cd "$HOME" && mkdir -p a/b && echo x > a/b/c && chmod 000 a && : > "${TMPDIR:-/tmp}/t" && echo "$HOME"'
    ended, out, _ = await bench.shell(script)
    assert ended.code == 0
    if bench.image is None:
        assert Path(out.decode().strip()).is_relative_to(bench.workdir.parent)
        assert os.listdir(bench.workdir.parent) == ["work"]  # noqa: PTH208


async def test_what_the_command_names_wins(bench: Bench) -> None:
    (bench.workdir / "tool").write_text("#!/bin/sh\necho mine $HOME")
    (bench.workdir / "tool").chmod(0o755)
    ended, out, _ = await bench.run("tool", environment={"PATH": "/nowhere:.", "HOME": "/x"})
    assert (ended.code, out) == (0, b"mine /x\n")


async def test_unicode_everywhere(bench: Bench) -> None:
    workdir = bench.workdir / "Grüße 世界 '\" $HOME, :ro"
    workdir.mkdir()
    _, out, _ = await bench.run(
        "sh",
        "-c",
        'printf %s "$1$ÄÖ" > "dätei 😀"; env | grep 🙂; pwd',
        "",
        "größe 😀\n",
        workdir=workdir,
        environment={"V": "🙂 ü"},
    )
    assert (workdir / "dätei 😀").read_text().startswith("größe 😀\n")
    assert "V=🙂 ü" in out.decode()


async def test_files_are_the_workers_to_read_and_remove(bench: Bench) -> None:
    (bench.workdir / "sub").mkdir()
    (bench.workdir / "sub" / "given").write_text("1")
    await bench.shell("echo 2 > sub/given; mkdir new; echo 3 > new/made; chmod 700 new; chmod 600 new/made")
    assert (bench.workdir / "sub" / "given").read_text() == "2\n"
    assert (bench.workdir / "new" / "made").read_text() == "3\n"
    (bench.workdir / "new" / "made").unlink()
    (bench.workdir / "new").rmdir()


# --- mounts and resources ---------------------------------------------------------------------------------------------


async def test_mounts_can_be_read_and_not_changed(bench: Bench, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "file").write_text("original")
    (data / "link").symlink_to("deep/file")
    single = tmp_path / "single"
    single.write_text("alone")
    mounts = (Mount(data, "in/data"), Mount(single, "in/single.txt"))
    _, out, _ = await bench.shell("cat in/data/deep/file in/data/link in/single.txt", mounts=mounts)
    assert out == b"originaloriginalalone"
    ended, _, _ = await bench.shell("echo x > in/data/deep/file || echo x > in/single.txt", mounts=mounts)
    assert ended.code != 0
    assert (data / "deep" / "file").read_text() == "original"
    assert single.read_text() == "alone"


@pytest.mark.parametrize("target", ["../out", "a/../../out", "", ".", "link/out", "file/out", "/proc/x"])
async def test_a_mount_stays_below_the_working_directory(bench: Bench, tmp_path: Path, target: str) -> None:
    source = tmp_path / "source"
    source.write_text("x")
    (bench.workdir / "link").symlink_to(tmp_path)
    (bench.workdir / "file").touch()
    with pytest.raises(SandboxUnavailable):
        await bench.run("true", mounts=(Mount(source, target),))
    assert sorted(os.listdir(tmp_path)) == ["source", "work"]  # noqa: PTH208


async def test_a_mount_whose_source_is_missing_is_refused(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="not there"):
        await bench.run("true", mounts=(Mount(tmp_path / "gone", "x"),))


async def test_without_network_there_is_none(bench: Bench) -> None:
    if bench.kind == "tree":
        with pytest.raises(SandboxUnavailable, match="without network"):
            await bench.run("true", resources=Resources(network=False))
        return
    _, out, _ = await bench.run("cat", "/proc/net/dev", resources=Resources(network=False))
    assert [line.split(":")[0].strip() for line in out.decode().splitlines()[2:]] == ["lo"]


async def test_memory_is_bounded(bench: Bench) -> None:
    hog = f"head -c {256 * MB} /dev/zero | tail -c {200 * MB} | wc -c"
    ended, out, _ = await bench.shell(f"set -e; n=$({hog}); [ $n -eq {200 * MB} ]", resources=Resources(memory=32 * MB))
    assert ended.code != 0
    assert out == b""


async def test_programs_run_with_no_privilege(bench: Bench) -> None:
    _, out, _ = await bench.run("cat", "/proc/self/status")
    fields = dict(line.split(":\t", 1) for line in out.decode().splitlines() if ":\t" in line)
    assert {fields[name] for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")} == {"0" * 16}
    assert fields["NoNewPrivs"] == "1"
