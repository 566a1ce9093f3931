"""What peers fail at, and we must not: a first run that fails (product.md's last section: 14)."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from orchestrator.cli.main import app
from orchestrator.plan.reading import read_plan
from orchestrator.settings import load_settings
from tests.acceptance.command_line import PATIENCE, Atlas, installation, wait_until
from tests.agents.cast import DONE, Answering, Heard, acts, call, runs, writes
from tests.agents.people import MODEL, a_person
from tests.agents.world import KEY, todo
from tests.services.docker_engine import image_under_name, without_image
from tests.services.engine_line import engine_line
from tests.services.model_wires import Call

# --- 14. "A first run that fails: sandbox image not found, key missing, copied docs wrong." ---------------------------

GOAL = ("do", "Make answer.txt say right.", "--repo", "repository", "--sandbox", "host")
PLAN = call("submit_plan", plan=json.dumps({"atlas": 1, "todos": [todo()]}))
NONE = ("no model is named", "ANTHROPIC_API_KEY or OPENAI_API_KEY")


@pytest.mark.parametrize(
    ("arguments", "words", "key"),
    [
        (GOAL, NONE, "ANTHROPIC_API_KEY"),
        ((*GOAL, "--model", "openai/some"), ("OPENAI_API_KEY is not set",), "OPENAI_API_KEY"),
        (("run", "plan.yaml"), NONE, "ANTHROPIC_API_KEY"),
        (("run", "plan.yaml", "--model", MODEL), ("ANTHROPIC_API_KEY", "is not set"), "ANTHROPIC_API_KEY"),
    ],
    ids=["a goal", "a goal and a model", "a plan", "a plan and a model"],
)
def test_a_first_run_without_a_key(tmp_path: Path, arguments: Sequence[str], words: Sequence[str], key: str) -> None:
    """14: a first run that fails, key missing. That is told before anything is begun, with the name of what is missing;
    and with that the same command works."""
    with a_person(tmp_path, cast={"prometheus": acts(PLAN)}) as person:
        person.atlas.variables |= {"ANTHROPIC_API_KEY": "", "OPENAI_BASE_URL": f"{person.server.url}/v1"}
        person.plan(todo(), models={})
        ended = person.atlas(*arguments, code=2)
        assert all(word in ended.err for word in words), ended
        assert not person.atlas.has_tables() or person.atlas.sql("SELECT id FROM run") == []
        assert not person.server.asked
        person.atlas.variables[key] = KEY
        person.atlas(*arguments, code=0)
        assert person.atlas.states()["fix"] == "completed"


@pytest.mark.docker
def test_a_first_run_whose_sandbox_image_is_not_found(tmp_path: Path, docker_url: str, busybox_image: str) -> None:
    """14: a first run that fails, sandbox image not found. That is told before a model is asked, with the image's name
    and how to get it; when it is there, `retry` as it was told completes the run."""
    image = f"atlas-test/none-{uuid.uuid4().hex}:1"
    with a_person(tmp_path, cast={"hephaestus": acts(runs("ls"), writes(), DONE)}) as person:
        person.atlas.variables |= {"DOCKER_HOST": docker_url, "ATLAS_DOCKER_NETWORK": "host"}
        ended = person.atlas("run", person.plan(todo(image=image), sandbox="docker"), code=3)
        assert re.search(rf"^  fix blocked \(image\): The image {image} is not on the engine", ended.out, re.MULTILINE)
        assert f"`docker pull {image}`" in ended.out
        assert not person.server.asked
        image_under_name(docker_url, busybox_image, image)
        told = re.search(r"^  again: atlas (retry \w{8} fix)$", ended.out, re.MULTILINE)
        assert told, ended
        person.atlas(*told[1].split(), code=0)
        assert person.atlas.states()["fix"] == "completed"


@pytest.mark.docker
@pytest.mark.parametrize("tool", [runs("ls"), call("check")], ids=["a command", "the verification"])
def test_a_sandbox_image_that_is_not_found_any_more(
    tmp_path: Path, docker_url: str, busybox_image: str, tool: Call
) -> None:
    """14: a first run that fails, sandbox image not found: gone while the role is at work. The first command that meets
    it ends the attempt; no model is told."""
    image = f"atlas-test/gone-{uuid.uuid4().hex}:1"
    image_under_name(docker_url, busybox_image, image)
    plays = acts(tool, [tool, tool], writes(), DONE)

    def hephaestus(heard: Heard) -> Answering:
        if len(person.stage.by("hephaestus")) == 2:
            without_image(docker_url, image)
        return plays(heard)

    with a_person(tmp_path, cast={"hephaestus": hephaestus}) as person:
        person.atlas.variables |= {"DOCKER_HOST": docker_url, "ATLAS_DOCKER_NETWORK": "host"}
        ended = person.atlas("run", person.plan(todo(image=image), sandbox="docker"), code=3)
        assert re.search(rf"^  fix blocked \(image\): The image {image} is not on the engine", ended.out, re.MULTILINE)
        assert len(person.stage.by("hephaestus")) == 2
        image_under_name(docker_url, busybox_image, image)
        person.atlas("retry", "last", "fix", code=0)
        assert person.atlas.states()["fix"] == "completed"


@pytest.mark.docker
@pytest.mark.parametrize("during", [False, True], ids=["between commands", "during a command"])
def test_a_sandbox_engine_that_ends_during_a_first_run(
    tmp_path: Path, docker_url: str, busybox_image: str, during: bool
) -> None:
    """14: a first run that fails, its engine gone while the role is at work. That is told at once, and not to a model;
    when it is back, `retry` completes the run."""
    plays = acts(runs("ls"), runs("touch on; exec sleep 60" if during else "ls"), writes(), DONE)

    def hephaestus(heard: Heard) -> Answering:
        if len(person.stage.by("hephaestus")) == 2:
            if during:
                threading.Thread(target=cut_once_it_runs).start()
            else:
                line.cut()
        return plays(heard)

    def cut_once_it_runs() -> None:
        wait_until(lambda: [*person.atlas.directory.rglob("work/on")], "the command runs", PATIENCE)
        line.cut()

    with engine_line(tmp_path, docker_url) as line, a_person(tmp_path, cast={"hephaestus": hephaestus}) as person:
        person.atlas.variables |= {"DOCKER_HOST": line.url, "ATLAS_DOCKER_NETWORK": "host"}
        ended = person.atlas("run", person.plan(todo(image=busybox_image), sandbox="docker"), code=3)
        told = r"^  fix blocked \(sandbox\): (No engine answers at|The connection to the engine broke off)"
        assert re.search(told, ended.out, re.MULTILINE), ended.out
        assert len(person.stage.by("hephaestus")) == 2
        person.stage.cast["hephaestus"] = acts(writes(), runs("ls"), DONE)
        line.mend()
        person.atlas("retry", "last", "fix", code=0)
        assert person.atlas.states()["fix"] == "completed"


HOUSE = Path(__file__).resolve().parents[2]
PAGES = sorted(
    [HOUSE / "README.md", HOUSE / "docs/roles.md", HOUSE / "docs/mcp.md", *HOUSE.glob("examples/*/README.md")],
)
_BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_ENDS = frozenset(("&&", "||", "|", ";", "--"))


def _blocks(page: Path, language: str) -> list[str]:
    found = _BLOCK.finditer(page.read_text("utf-8"))
    return [textwrap.dedent(each[3]) for each in found if each[2] == language]


def _commands(page: Path) -> list[list[str]]:
    """Arguments of every `atlas` that there is to copy, from blocks and from the text."""
    lines = [line for block in _blocks(page, "sh") for line in block.splitlines()]
    lines += re.findall(r"`(atlas [^`…]+)`", _BLOCK.sub("", page.read_text("utf-8")))
    found: list[list[str]] = []
    for line in lines:
        words = shlex.split(line.replace(" SERVER ", " git "), comments=True)
        ends = [-1, *(place for place, word in enumerate(words) if word in _ENDS), len(words)]
        parts = [words[one + 1 : other] for one, other in itertools.pairwise(ends)]
        found += [part[1:] for part in parts if part and Path(part[0]).name == "atlas"]
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOUSE)))
def test_a_first_run_with_copied_docs_that_are_wrong(tmp_path: Path, page: Path) -> None:
    """14: a first run that fails, copied docs wrong. Commands, plans and settings of every page are what this version
    takes."""
    for words in _commands(page):
        ended = CliRunner().invoke(app, [*words, "--help"])
        assert ended.exit_code == 0, f"atlas {shlex.join(words)}: {ended.output}"
    for text in _blocks(page, "yaml"):
        whole = f"todos:\n{text}" if text.startswith("- ") else text
        for key, rest in (("atlas", "1"), ("repo", "."), ("todos", "[{id: a, run: 'true'}]")):
            if not re.search(rf"^{key}:", whole, re.MULTILINE):
                whole = f"{key}: {rest}\n{whole}"
        read_plan(tmp_path / "plan.yaml", whole)
    for number, text in enumerate(_blocks(page, "toml")):
        (tmp_path / f"{number}.toml").write_text(text)
        load_settings({"ATLAS_HOME": str(tmp_path), "ATLAS_CONFIG": f"{tmp_path}/{number}.toml"})
    targets = set(re.findall(r"^([a-z-]+):", (HOUSE / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)(?=`|\s+#|\n)", page.read_text("utf-8"))) <= targets


def test_a_first_run_of_the_example_as_it_is_copied(tmp_path: Path) -> None:
    """14: a first run that fails, copied docs wrong. The first block of the example, into a shell."""
    example = HOUSE / "examples" / "fix-a-bug"
    with installation(tmp_path / "installation", ANTHROPIC_API_KEY="", OPENAI_API_KEY="") as atlas:
        copy = shutil.copytree(example, atlas.work / "example", ignore=shutil.ignore_patterns("repository"))
        ended = subprocess.run(
            ["sh", "-eu"], input=_blocks(example / "README.md", "sh")[0], cwd=copy, env=_with_atlas(atlas),
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert ended.returncode == 0, ended
        assert "completed, 2/2 settled" in ended.stdout
        assert "# fix-a-bug" in ended.stdout
        assert ended.stderr == "warning: the replies are scripted: no model is asked\n"


def _with_atlas(atlas: Atlas) -> dict[str, str]:
    environment = atlas.environment()
    return {**environment, "PATH": f"{Path(sys.executable).parent}:{environment['PATH']}"}
