"""What another version of Atlas has written is told from what is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from orchestrator.plan.agent_spec import AgentSpec
from orchestrator.plan.push_spec import PushSpec
from orchestrator.plan.spec import TaskSpec
from orchestrator.run_spec import RunSpec
from roles.checklist import Item, Items
from roles.rulings import Ruling
from state.errors import NewerDocument

STORED: dict[str, tuple[str, Callable[[str], object]]] = {
    "run": (RunSpec(directory="/here").to_json(), RunSpec.from_json),
    "task": (TaskSpec(("true",)).to_json(), TaskSpec.from_json),
    "agent": (AgentSpec("p", (), ()).to_json(), AgentSpec.from_json),
    "push": (PushSpec("origin").to_json(), PushSpec.from_json),
    "ruling": (Ruling("no").to_json(), Ruling.from_json),
    "checklist": (Items((Item("one"),)).to_json(), Items.from_json),
}


@pytest.mark.parametrize("kind", STORED)
def test_a_key_that_this_version_does_not_know(kind: str) -> None:
    text, read = STORED[kind]
    assert read(text)
    tree: Any = json.loads(text)
    (tree[0] if isinstance(tree, list) else tree)["of_tomorrow"] = 1
    with pytest.raises(NewerDocument, match="written by another version of Atlas"):
        read(json.dumps(tree))


def test_a_key_that_is_not_there() -> None:
    with pytest.raises(NewerDocument, match="run"):
        TaskSpec.from_json("{}")
