"""The example with a goal, `kill -9` at random moments, and another worker that has nothing of the first but database
and artifact store: the same files in the end, nothing paid for twice that was answered, no effect done twice unawares.

The models are a scripted server, over the makers' own wires; the script is the example's.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.acceptance.command_line import COMMAND, wait_until
from tests.agents.cast import Heard, understood
from tests.chaos.fleet.aftermath import query
from tests.integration.git_repositories import plain
from tests.services.model_server import Asked, ModelServer, model_server
from tests.services.model_wires import Answer, Call, Part, Say

EXAMPLE = Path(__file__).parents[2] / "examples" / "fix-a-bug"
KILLS_OF_A_RUN = 2
"""A third death of its worker would be held against a TODO."""
SECONDS = 120.0
UNKNOWN = "Its outcome is unknown"
Row = dict[str, Any]


class Script:
    """The example's replies, by conversation; commands leave a mark, so that it can be counted how often they ran."""

    def __init__(self, marks: Path, chance: random.Random) -> None:
        tree = yaml.safe_load((EXAMPLE / "script.yaml").read_text())
        self._conversations: list[Row] = tree["conversations"]
        self._marks = marks
        self._chance = chance
        self._number = 0

    def answer(self, asked: Asked) -> Answer:
        heard = understood(asked)
        replies = next(each["replies"] for each in self._conversations if each["when"] in heard.first)
        interrupted = [turn for turn in heard.turns if any(UNKNOWN in result for result in turn.results)]
        if interrupted and interrupted[-1] is heard.turns[-1]:
            return self._again(heard)
        reply = replies[min(heard.replies - len(interrupted), len(replies) - 1)]
        parts: list[Part] = [Say(reply["text"])] if reply.get("text") else []
        parts += [self._call(heard, each) for each in reply.get("calls", ())]
        return Answer(parts, chunk=40, delay=self._chance.choice((0.0, 0.0, 0.002, 0.02)))

    def _again(self, heard: Heard) -> Answer:
        """What was interrupted is done again, as the files are as they were before it."""
        last, asked = heard.turns[-1], heard.turns[-2]
        again = [call for call, result in zip(asked.calls, last.results, strict=True) if UNKNOWN in result]
        plain_again = [
            (name, given | {"command": _unmarked(given["command"])} if "command" in given else given)
            for name, given in again
        ]
        return Answer([self._call(heard, {"name": name, "arguments": given}) for name, given in plain_again], chunk=40)

    def _call(self, heard: Heard, wanted: Row) -> Call:
        arguments: Row = dict(wanted["arguments"])
        if "command" in arguments:
            mark = f"{heard.replies}-{len(heard.first)}"
            arguments["command"] = f"echo {mark} >> {self._marks}; {arguments['command']}"
        self._number += 1
        return Call(wanted["name"], json.dumps(arguments), f"call_{self._number}")


def _unmarked(command: str) -> str:
    return command.partition("; ")[2]


@dataclass
class Ground:
    """A database and an artifact store that workers share; each worker has a home of its own."""

    path: Path
    server: ModelServer
    database: str = ""
    """URL of PostgreSQL's; none: SQLite."""
    homes: int = 0

    def environment(self) -> dict[str, str]:
        """Of a worker with an empty disk."""
        self.homes += 1
        home = self.path / f"home-{self.homes}"
        (home / "tmp").mkdir(parents=True)
        settings = (
            '[providers.one]\nkind = "anthropic"\nbase_url = "{url}"\nkey_variable = "ONE_KEY"\n'
            '[providers.two]\nkind = "openai"\nbase_url = "{url}/v1"\n'
        )
        (home / "atlas.toml").write_text(settings.format(url=self.server.url))
        return {
            "PATH": os.environ["PATH"], "HOME": str(home), "ATLAS_HOME": str(home), "ONE_KEY": "k", "LANG": "C.UTF-8",
            "ATLAS_DATABASE_URL": self.database or f"sqlite:///{self.path}/shared/atlas.db",
            "ATLAS_STORE_URL": f"file://{self.path}/shared/artifacts", "TMPDIR": str(home / "tmp"),
        }  # fmt: skip

    def sql(self, text: str) -> list[Row]:
        if self.database:
            return query(self.database, text)
        with closing(sqlite3.connect(f"file:{self.path}/shared/atlas.db?mode=ro", uri=True, timeout=30)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute(text)]

    def atlas(self, *arguments: str) -> str:
        done = subprocess.run(
            [*COMMAND, *arguments], env=self.environment(), capture_output=True, text=True, check=False, timeout=SECONDS
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def worker(self) -> subprocess.Popen[bytes]:
        environment = self.environment()
        with (self.path / f"worker-{self.homes}.log").open("wb") as out:
            return subprocess.Popen(
                [*COMMAND, "worker"], env=environment, stdout=out, stderr=out, start_new_session=True
            )

    @property
    def state(self) -> str:
        return self.sql("SELECT state FROM run")[0]["state"]

    def logs(self) -> str:
        return "\n".join(f"--- {path.name}\n{path.read_text()[-3000:]}" for path in sorted(self.path.glob("*.log")))


@pytest.fixture
def server() -> Generator[ModelServer]:
    with model_server() as server:
        yield server


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tree that comes of it when nobody is killed."""
    with model_server() as server:
        ground = begun(0, tmp_path_factory.mktemp("undisturbed"), server)
        _kill_and_go_on(ground, server, random.Random(0), kills=KILLS_OF_A_RUN)
        return _tree_of_the_branch(ground, ground.path / "repository")


def begun(seed: int, tmp_path: Path, server: ModelServer, database: str = "") -> Ground:
    """The run is in the queue."""
    ground = Ground(tmp_path, server, database)
    (tmp_path / "shared").mkdir()
    shutil.copytree(EXAMPLE / "files", tmp_path / "repository")
    plain(tmp_path / "repository", "init", "--quiet", "--initial-branch=main")
    plain(tmp_path / "repository", "add", ".")
    plain(tmp_path / "repository", "commit", "--quiet", "-m", "Durations")
    (tmp_path / "plan.yaml").write_text((EXAMPLE / "plan.yaml").read_text())
    server.chosen = Script(tmp_path / "marks", random.Random(seed)).answer
    model = ("one/model", "two/model")[seed % 2]
    ground.atlas("run", str(tmp_path / "plan.yaml"), "--detach", "--model", model)
    return ground


@pytest.mark.parametrize("seed", range(2))
def test_the_example_over_the_wire_of_either_maker(seed: int, tmp_path: Path, server: ModelServer) -> None:
    ground = begun(seed, tmp_path, server)
    assert _kill_and_go_on(ground, server, random.Random(seed), kills=KILLS_OF_A_RUN) == KILLS_OF_A_RUN
    assert ground.state == "completed", ground.logs()
    assert _tree_of_the_branch(ground, tmp_path / "repository")
    assert _assert_nothing_is_paid_twice(ground, server) == (0, 0)
    assert len(ground.sql("SELECT * FROM model_call")) == len(server.asked)


@pytest.mark.chaos
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    ("seed", "engine"),
    [
        *((seed, "sqlite") for seed in range(10)),
        *(pytest.param(seed, "postgres", marks=pytest.mark.postgres) for seed in range(10, 15)),
    ],
)
def test_another_worker_goes_on_in_the_middle_of_a_conversation(
    seed: int, engine: str, tmp_path: Path, server: ModelServer, undisturbed: str, request: pytest.FixtureRequest,
    record_property: Any,
) -> None:  # fmt: skip
    database = str(request.getfixturevalue("postgres_database")) if engine == "postgres" else ""
    ground = begun(seed, tmp_path, server, database)

    kills = _kill_and_go_on(ground, server, random.Random(seed))

    assert ground.state == "completed", ground.logs()
    assert kills == KILLS_OF_A_RUN, "it was killed in its middle"
    assert _tree_of_the_branch(ground, tmp_path / "repository") == undisturbed
    unknown, lost = _assert_nothing_is_paid_twice(ground, server)
    marks = Counter((tmp_path / "marks").read_text().split()) if (tmp_path / "marks").exists() else Counter[str]()
    assert all(count == 1 for count in marks.values()), marks
    record_property(
        "trial", f"takeover {seed:2} on {engine}: {kills} kills, {lost} calls lost, {unknown} outcomes unknown"
    )


def _kill_and_go_on(ground: Ground, server: ModelServer, chance: random.Random, kills: int = 0) -> int:
    """Kill the worker at a random moment after it has begun something, twice; then let one end it."""
    while True:
        asked = len(server.asked)
        worker = ground.worker()
        try:
            if kills < KILLS_OF_A_RUN:
                wait_until(lambda: len(server.asked) > asked or ground.state == "completed", "a call", SECONDS)  # noqa: B023
                time.sleep(chance.uniform(0.0, 1.2))  # the moment is the experiment; the whole takes some seconds
                worker.kill()
                worker.wait()
                kills += ground.state != "completed"
            else:
                wait_until(
                    lambda: ground.state not in ("planning", "in_progress"), "the end: " + ground.logs(), SECONDS
                )
        finally:
            worker.kill()
            worker.wait()
        if ground.state not in ("planning", "in_progress"):
            return kills


def _tree_of_the_branch(ground: Ground, repository: Path) -> str:
    """It has exactly the fix."""
    head = ground.sql("SELECT head FROM run")[0]["head"]
    for bare in ground.path.glob("home-*/repositories/*/repository.git"):
        found = plain(bare, "cat-file", "-t", head, check=False).strip()
        if found == "commit":
            changed = plain(bare, "diff", "--name-only", plain(repository, "rev-parse", "HEAD").strip(), head)
            assert changed.split() == ["durations.py"]
            text = plain(bare, "show", f"{head}:durations.py")
            assert "total += int(number)" in text
            assert "UNITS[character] < last" in text
            return plain(bare, "rev-parse", f"{head}^{{tree}}").strip()
    raise AssertionError("no worker has the branch")


def _assert_nothing_is_paid_twice(ground: Ground, server: ModelServer) -> tuple[int, int]:
    """(outcomes that are unknown, calls that were lost)"""
    calls = ground.sql("SELECT * FROM model_call")
    answered = {row["id"] for row in calls if row["state"] == "answered"}
    recorded = {row["call_id"] for row in ground.sql("SELECT call_id FROM message WHERE call_id IS NOT NULL")}
    assert answered == recorded
    assert not [row for row in calls if row["state"] == "reserved"]
    again = sum(count - 1 for count in Counter(asked.raw for asked in server.asked).values())
    assert again <= len(calls) - len(answered)
    assert len(server.asked) <= len(calls)
    budget = ground.sql("SELECT * FROM budget")[0]
    assert budget["tokens_held"] == 0
    known = sum(row["input"] + row["cached"] + row["written"] + row["output"] for row in calls)
    assert budget["tokens"] == known
    unknown = ground.sql("SELECT count(*) AS n FROM tool_call WHERE state = 'unknown'")[0]["n"]
    return unknown, len(calls) - len(answered)
