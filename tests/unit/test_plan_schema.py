"""The published schemas accept what Atlas accepts, and refuse what they can of the rest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from jsonschema import Draft202012Validator

from orchestrator.plan.schema import SchemaName, json_schema
from orchestrator.plan.source import read_source
from state.errors import InputError
from tests.unit.hostile_plans.cases import CASES, Case
from tests.unit.test_plan_reading import EVERYTHING, plans
from tests.unit.test_plan_todos import TASK

PLAN: Any = Draft202012Validator(json_schema("plan"))
TASKS: Any = Draft202012Validator(json_schema("task"))

# Only Atlas can tell: relations between TODOs or paths, spellings of YAML, bytes, Python's idea of a whole number.
BEYOND_A_SCHEMA = {
    "duplicate id", "missing need", "needed twice", "needs itself", "cycle", "answer of a task", "answer to free text",
    "answer not a choice", "overlapping inputs", "output in an input", "same place twice", "same output twice",
    "same output spelled twice", "directory to an object", "two outputs, one remote", "two outputs, one file",
    "secret twice", "secret and variable", "choice twice", "absolute on the host", "absolute output on the host",
    "absolute file on the host", "timeout zero", "timeout endless", "concurrency a float", "name of two lines",
    "run of too many bytes", "choice forging a line", "remote at home", "verify a directory", "id with a newline",
    "version as float", "expires at once", "usd nan", "usd inf", "timeout nan", "json nan",
    "bucket without a key", "remote with a host", "goal with control characters",
}  # fmt: skip


def load(text: str) -> Any:
    return read_source(text, "plan.yaml").root


def expressible(case: Case) -> bool:
    """Whether the document can be read at all, nothing of it is lost by reading, and a schema could object."""
    try:
        source = read_source(case.document, "plan.yaml")
    except InputError:
        return False
    return not source.problems and case.name not in BEYOND_A_SCHEMA


EXPRESSIBLE = [case for case in CASES if expressible(case)]


def test_most_cases_are_expressible() -> None:
    assert len(EXPRESSIBLE) > 90
    assert {case.name for case in CASES} > BEYOND_A_SCHEMA


@pytest.mark.parametrize("case", EXPRESSIBLE, ids=lambda case: case.name.replace(" ", "-"))
def test_hostile_plans_fail_the_schema_too(case: Case) -> None:
    assert not PLAN.is_valid(load(case.document))


@pytest.mark.parametrize("name", ["plan", "task"])
def test_the_schemas_are_schemas(name: SchemaName) -> None:
    schema = json_schema(name)
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert '"null"' not in json.dumps(schema)


@pytest.mark.parametrize("name", ["plan", "task"])
def test_every_key_is_described(name: SchemaName) -> None:
    schema = json_schema(name)
    for model in [schema, *schema["$defs"].values()]:
        for key, value in model.get("properties", {}).items():
            assert value.get("description") or "$ref" in value, key


def test_valid_documents_pass() -> None:
    PLAN.validate(load(EVERYTHING))
    TASKS.validate(TASK)


@pytest.mark.parametrize(
    "text",
    [
        "{atlas: 1, goal: x}",
        "{atlas: 1, todos: [{id: a, push: origin}]}",
        "{atlas: 1, todos: [{id: a, push: {remote: o, branch: b}}]}",
        "{atlas: 1, todos: [{id: a, role: oracle, prompt: x, touches: [a], verify: [{run: x}, {review: metis}]}]}",
        "{atlas: 1, todos: [{id: a, run: x, outputs: {/out/..x/: 'file://..x/'}, inputs: {'s3://buck/': ./a/...}}]}",
    ],
)
def test_plans_that_are_right_but_not_available_pass(text: str) -> None:
    PLAN.validate(yaml.safe_load(text))


@settings(max_examples=60, deadline=None)
@given(plans())
def test_every_plan_that_atlas_reads_passes(tree: dict[str, Any]) -> None:
    PLAN.validate(tree)


@pytest.mark.parametrize("change", [{"schema": "x"}, {"command": "ls"}, {"extra": 1}, {"timeout": -1}, {"inputs": 1}])
def test_wrong_tasks_fail(change: dict[str, Any]) -> None:
    assert not TASKS.is_valid({**TASK, **change})


def test_the_schema_is_the_same_every_time(tmp_path: Path) -> None:
    assert json.dumps(json_schema("plan")) == json.dumps(json_schema("plan"))
