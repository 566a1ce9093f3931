"""Roles as a person meets them: real `atlas` processes on a real repository. Only what the models say is made up."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tests.acceptance.command_line import PATIENCE, Atlas, installation, wait_until
from tests.agents.cast import Answering, Cast, Heard, Player, Stage
from tests.agents.world import FILES, KEY, make_repository
from tests.services.model_server import Asked, ModelServer, model_server
from tests.services.model_wires import Answer, Part

MODEL = "anthropic/some-model"


@dataclass(frozen=True)
class Person:
    """Somebody with an installation, a key and a repository."""

    atlas: Atlas
    server: ModelServer
    stage: Stage

    @property
    def repository(self) -> Path:
        """With one commit."""
        return self.atlas.work / "repository"

    def plan(self, *todos: Mapping[str, object], name: str = "plan", **keys: object) -> str:
        """Write a plan for it; returns its path."""
        return self.atlas.plan(todos, name, **{"repo": "repository", "models": {"default": [MODEL]}, **keys})

    def held(self, number: int = 1) -> Asked:
        """The request of this number that is answered with silence, once it is."""

        def found() -> Asked | None:
            silent = [asked for asked in self.server.asked if asked.holding.is_set()]
            return silent[number - 1] if len(silent) >= number else None

        asked = wait_until(found, f"silence {number}", PATIENCE)
        assert asked
        return asked


@contextmanager
def a_person(path: Path, *, cast: Cast | None = None, files: Mapping[str, str] = FILES) -> Generator[Person]:
    """In an empty directory. Whatever they started is gone afterwards."""
    with model_server() as server, installation(path / "installation") as atlas:
        atlas.variables |= {
            "ANTHROPIC_API_KEY": KEY, "ANTHROPIC_BASE_URL": server.url, "ANTHROPIC_AUTH_TOKEN": "",
            "OPENAI_API_KEY": "",
        }  # fmt: skip
        stage = Stage()
        stage.cast.update(cast or {})
        server.chosen = stage.answer
        person = Person(atlas, server, stage)
        make_repository(person.repository, files)
        yield person
        refused = [asked.refused for asked in server.asked if asked.refused]
        assert not refused, f"requests that makers refuse: {refused}"


def silent_at(number: int, then: Player, times: int = 1) -> Player:
    """Falls silent so many times after so many replies, in the middle of one; else plays on."""
    left = itertools.count(times, -1)

    def play(heard: Heard) -> Answering:
        given = then(heard)
        if heard.replies != number or next(left) <= 0:
            return given
        if not isinstance(given, Answer):
            given = Answer([given] if isinstance(given, Part) else given)
        return replace(given, hold_after=2)

    return play
