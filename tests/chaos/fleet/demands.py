"""What is asked of the fleet: plans and task documents of many kinds, and how each of their TODOs may end."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.chaos.fleet.aftermath import Promise
from tests.chaos.fleet.effects import INSIDE, WHO, says
from tests.services.docker_engine import BUSYBOX_IMAGE

MODEL = "anthropic/claude-sonnet-5-5"
Todo = dict[str, Any]
Kind = Literal["plain", "agent", "intake", "gate", "cancelled", "held", "contained"]
Ends = frozenset[tuple[str, str | None]]
_DONE: Ends = frozenset((("completed", None),))
_SIZE = 20
_EACH: tuple[Kind, ...] = ("plain", "agent", "intake", "gate", "cancelled", "held", "contained")
_KINDS: tuple[tuple[Kind, int], ...] = (
    ("plain", 9),
    ("intake", 12),
    ("gate", 2),
    ("cancelled", 2),
    ("held", 2),
    ("agent", 4),
    ("contained", 3),
)


@dataclass(frozen=True, slots=True)
class Demand:
    """One run that somebody wants. `document` is a plan, or of kind ``intake`` a task."""

    name: str
    kind: Kind
    document: Mapping[str, Any]
    promise: Promise

    @property
    def size(self) -> int:
        """TODOs."""
        return len(self.promise.ends)


@dataclass(slots=True)
class Places:
    """Where things are written."""

    log: Path
    published: Path
    marks: Path
    repository: Path


@dataclass(slots=True)
class Writer:
    """Makes demands by chance."""

    chance: random.Random
    places: Places
    _made: int = 0
    _ends: dict[str, Ends] = field(default_factory=dict[str, Ends])

    def demands(self, todos: int) -> Iterator[Demand]:
        """So many that they have about this many TODOs together."""
        kinds: list[Kind] = [kind for kind, weight in _KINDS for _ in range(weight)]
        first = list(_EACH)  # each at least once
        while todos > 0:
            self._made += 1
            kind = first.pop() if first else self.chance.choice(kinds)
            demand = self.demand(kind)
            todos -= demand.size
            yield demand

    def demand(self, kind: Kind) -> Demand:
        """Of this kind."""
        name = f"{kind}-{self._made:04d}"
        self._ends = {}
        makers: Mapping[Kind, Callable[[str], Mapping[str, Any]]] = {
            "intake": self._task, "agent": self._agent, "contained": self._contained,
        }  # fmt: skip
        document = makers[kind](name) if kind in makers else self._plan(name, kind)
        return Demand(name, kind, document, Promise(dict(self._ends), cancelled=kind == "cancelled"))

    # --- plans of tasks ----------------------------------------------------------------------------------------------

    def _plan(self, name: str, kind: Kind) -> Mapping[str, Any]:
        keys = [f"t{number:02d}" for number in range(self.chance.randint(_SIZE // 2, _SIZE * 3 // 2))]
        todos: list[Todo] = []
        with_output: list[str] = []
        for place, key in enumerate(keys):
            before = keys[max(0, place - 6) : place]
            needs = self.chance.sample(before, min(len(before), self.chance.choice((0, 0, 1, 1, 2, 3))))
            todos.append(self._todo(name, key, needs, [each for each in needs if each in with_output]))
            if "outputs" in todos[-1]:
                with_output.append(key)
        if kind == "gate":
            todos.append({"id": "gate", "ask": "Go on?", "choices": ["yes", "no"], "needs": [keys[0]]})
            self._ends["gate"] = _DONE
            self._todo_after_gate(name, todos)
        return {"atlas": 1, "name": name, "sandbox": "host", "concurrency": self.chance.randint(2, 8), "todos": todos}

    def _todo_after_gate(self, name: str, todos: list[Todo]) -> None:
        todos.append({**self._todo(name, "behind", [], []), "needs": [{"gate": "yes"}]})

    def _todo(self, run: str, key: str, needs: list[str], read: list[str]) -> Todo:
        """One of the sorts of tasks."""
        sort = self.chance.choices(("works", "makes", "flaky", "fails", "hangs"), (10, 6, 3, 0.6, 0.3))[0]
        log = self.places.log
        steps = ["set -e", WHO, says(log, "start")]
        steps += [f"""read -r other <in/{each}/result.txt; {says(log, "read", "$other")}""" for each in read]
        todo: Todo = {
            "id": key,
            "needs": needs,
            "retries": {"max": 2, "backoff": 0.1},
            "priority": self.chance.randint(-2, 2),
        }
        self._ends[key] = _DONE
        if read:
            todo["inputs"] = {self._remote(run, each): f"in/{each}/result.txt" for each in read}
        steps.append(f"sleep {self.chance.choice((0.0, 0.05, 0.2, 0.5, 1.0)):.2f}")
        match sort:
            case "makes":
                steps.append("mkdir -p out; echo $w >out/result.txt")
                todo["outputs"] = {"out/result.txt": self._remote(run, key)}
            case "flaky":  # once
                steps.append(f"mkdir '{self.places.marks}/{run}-{key}' 2>/dev/null && exit 3 || true")
            case "fails":
                todo["retries"] = {"max": 1, "backoff": 0.1}
                steps.append("exit 4")
                self._ends[key] = frozenset((("failed", "exit"),))
            case "hangs":
                todo |= {"timeout": "2s", "retries": {"max": 0}}
                steps.append("sleep 600")
                self._ends[key] = frozenset((("failed", "timeout"),))
            case _:
                if self.chance.random() < 0.2:
                    steps.append("echo seen >seen")
                    todo["verify"] = [{"run": "grep -q seen seen"}]
        todo["run"] = "; ".join([*steps, says(log, "end")])
        return todo

    def _remote(self, run: str, key: str) -> str:
        return f"file://{self.places.published}/{run}/{key}/result.txt"

    # --- others ------------------------------------------------------------------------------------------------------

    def _task(self, name: str) -> Mapping[str, Any]:
        """For the intake queue."""
        log = self.places.log
        fails = self.chance.random() < 0.1
        self._ends["task"] = frozenset((("failed", "exit"),)) if fails else _DONE
        script = (
            f"set -e; {WHO}; {says(log, 'start')}; echo $w; sleep 0.1; {says(log, 'end')}; exit {4 if fails else 0}"
        )
        return {
            "schema": "atlas.task/1", "source": "chaos", "id": name, "name": name, "command": ["sh", "-c", script],
            "stdout": {"remote": self._remote(name, "stdout")},
        }  # fmt: skip

    def _contained(self, name: str) -> Mapping[str, Any]:
        """In containers, which can't write to the log: what they do is seen by its verification."""
        self._ends = {f"{INSIDE}{number}": _DONE for number in range(4)}
        todos: list[Todo] = []
        for key in self._ends:
            steps = f"echo seen >seen; sleep {self.chance.choice((0.1, 1.0, 3.0)):.1f}"
            todos.append({"id": key, "run": steps, "verify": [{"run": "grep -q seen seen"}]})
        if self.chance.random() < 0.3:  # with what does not end by itself
            todos[-1] |= {"run": "(setsid sleep 600 &); sleep 600", "timeout": "3s"}
            self._ends[todos[-1]["id"]] = frozenset((("failed", "timeout"),))
        return {
            "atlas": 1, "name": name, "sandbox": "docker", "concurrency": 2, "todos": todos,
            "defaults": {"image": BUSYBOX_IMAGE, "retries": {"max": 2 if todos[-1].get("timeout") is None else 0}},
        }  # fmt: skip

    def _agent(self, name: str) -> Mapping[str, Any]:
        """Of Hephaestus, with a report; another TODO needs it."""
        self._ends = {"fix": _DONE, "check": _DONE}
        log = self.places.log
        check = f"set -e; {WHO}; {says(log, 'start')}; grep -qx right answer.txt; {says(log, 'end')}"
        prompt = f"Make answer.txt say right. ({name})"
        fix: Todo = {
            "id": "fix", "role": "hephaestus", "prompt": prompt, "touches": ["answer.txt"],
            "verify": [{"run": "sh check.sh"}], "retries": {"max": 3, "backoff": 0.1},
        }  # fmt: skip
        todos = [fix, {"id": "check", "needs": ["fix"], "run": check, "retries": {"max": 2, "backoff": 0.1}}]
        return {
            "atlas": 1, "name": name, "sandbox": "host", "repo": str(self.places.repository), "todos": todos,
            "models": {"default": [MODEL]}, "budget": {"tokens": 20_000_000},
        }  # fmt: skip
