"""Plans that are right: what is read, how they are spelled, and what is not available yet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.plan.fields import Need
from orchestrator.plan.locations import absolute_remote
from orchestrator.plan.reading import canonical, canonical_hash, load_plan, read_plan
from state.errors import DocumentError, InputError, NotAvailableYet

PLAN = Path("plan.yaml")
EVERYTHING = """
atlas: 1
name: sample
goal: Everything a task may have
repo: .
base: main
budget: {tokens: 2000000, usd: 5.00}
concurrency: 8
sandbox: docker
defaults: {image: "python:3.12-slim", timeout: 30m, retries: {max: 2, backoff: 5s}}
models: {default: [anthropic/claude-sonnet-5-5, openai/gpt-6-sol]}
todos:
  - id: data
    title: Prepare the sample
    run: python prepare.py
    inputs: {"s3://bucket/raw/": data/raw, file://local.csv: ./in//local.csv}
    outputs: {out/sample.json: "s3://bucket/samples/"}
    secrets: [SAMPLE_TOKEN]
    env: {MODE: full}
    resources: {cpus: 2, memory: 1g, pids: 256, network: false}
    labels: [gpu]
    priority: 5
    timeout: 1h30m
    verify:
      - run: [test, -s, out/sample.json]
      - file: out/sample.json
  - id: ship
    ask: Push the branch?
    choices: [yes, no]
    needs: [data]
    expires: 12h
  - id: push
    run: echo pushed
    needs: [{ship: yes}]
    retries: {max: 1}
"""


def test_everything_a_task_may_have() -> None:
    plan = read_plan(PLAN, EVERYTHING)
    data, ship, push = plan.todos
    assert plan.budget is not None
    assert (plan.budget.tokens, plan.budget.usd) == (2_000_000, 5.0)
    assert (plan.concurrency, plan.sandbox, plan.defaults.timeout) == (8, "docker", 1800.0)
    assert (plan.defaults.retries.max, plan.defaults.retries.backoff) == (2, 5.0)
    assert data.inputs == {"s3://bucket/raw/": "data/raw", "file://local.csv": "in/local.csv"}
    assert (data.resources.cpus, data.resources.memory, data.resources.network) == (2.0, 1 << 30, False)
    assert (data.kind, data.timeout, data.priority, data.labels) == ("task", 5400.0, 5, ["gpu"])
    assert [item.run for item in data.verify] == [["test", "-s", "out/sample.json"], None]
    assert (ship.kind, ship.choices, ship.expires) == ("ask", ["yes", "no"], 43200.0)
    assert push.needs == [Need("ship", "yes")]


def test_words_of_yaml_1_1_are_text() -> None:
    todo = read_plan(PLAN, "atlas: 1\ntodos: [{id: on, run: no, env: {Y: yes, N: off, D: 2030-01-01, T: 1:30}}]").todos[
        0
    ]
    assert (todo.id, todo.run) == ("on", "no")
    assert todo.env == {"Y": "yes", "N": "off", "D": "2030-01-01", "T": "1:30"}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1h30m", 5400),
        ("1d", 86400),
        ("1.5h", 5400),
        ("45", 45),
        ("0.5", 0.5),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert read_plan(PLAN, f"atlas: 1\ntodos: [{{id: a, run: x, timeout: {text}}}]").todos[0].timeout == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("512m", 512 << 20), ("1g", 1 << 30), ("1.5G", 3 << 29), ("8388608", 8 << 20), ("0x800000", 8 << 20)],
)
def test_sizes(text: str, size: int) -> None:
    plan = read_plan(PLAN, f"atlas: 1\ntodos: [{{id: a, run: x, resources: {{memory: {text}}}}}]")
    assert plan.todos[0].resources.memory == size


@pytest.mark.parametrize(
    "data",
    [b"\xef\xbb\xbfatlas: 1\r\ntodos: [{id: a, run: x}]\r\n", '\ufeff{"atlas":1,"todos":[{"id":"a","run":"x"}]}'],
)
def test_a_byte_order_mark_is_no_matter(data: bytes | str) -> None:
    assert read_plan(PLAN, data).todos[0].run == "x"


def test_json_that_yaml_would_not_read() -> None:
    text = '{\t"atlas": 1, "todos": [{"id": "a", "run": "\\ud83d\\ude00 \\/ \u0085 \u2028"}]}'
    assert read_plan(PLAN, text).todos[0].run == "\U0001f600 / \x85 \u2028"


def test_a_json_file_must_be_json() -> None:
    with pytest.raises(DocumentError, match=r"plan.json:2:1: not JSON: Expecting property name"):
        read_plan(Path("plan.json"), '{"atlas": 1,\n}')


def test_aliases_are_written_out() -> None:
    plan = read_plan(
        PLAN, "atlas: 1\ntodos: [{id: a, run: x, env: &e {A: b}}, {id: b, run: &r y, env: *e}, {id: c, run: *r}]"
    )
    assert (plan.todos[1].env, plan.todos[2].run) == ({"A": "b"}, "y")


def test_a_key_may_be_an_alias_of_text() -> None:
    plan = read_plan(PLAN, "atlas: 1\nname: &n goal\n*n : x\ntodos: [{id: a, run: x}]")
    assert plan.goal == "x"


def test_a_relative_remote_without_a_directory_is_never_guessed() -> None:
    with pytest.raises(InputError, match="relative to a plan file"):
        absolute_remote("file://x", None)


def test_the_name_is_the_files_when_none_is_given(tmp_path: Path) -> None:
    path = tmp_path / "night-build.yaml"
    path.write_text("atlas: 1\ntodos: [{id: a, run: x}]")
    assert load_plan(path).name == "night-build"
    assert read_plan(None, path.read_text()).name == "plan"


def test_a_relative_remote_needs_a_plan_file() -> None:
    text = "atlas: 1\ntodos: [{id: a, run: x, inputs: {file://in.csv: in.csv}}]"
    assert read_plan(PLAN, text)
    with pytest.raises(DocumentError, match=r'plan:2:34: .*"file://in.csv" is relative to a plan file'):
        read_plan(None, text)


AGENT = "{id: a, role: hephaestus, prompt: x, touches: ['src/**'], verify: [{run: x}%s]}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "todos: [{id: a, run: x, verify: [{run: y}, {review: oracle}]}]",
            "plan.yaml:2:45: todos[0].verify[1].review: only agent TODOs can be reviewed",
        ),
    ],
)  # fmt: skip
def test_what_is_right_but_not_available_yet(text: str, line: str) -> None:
    with pytest.raises(NotAvailableYet) as caught:
        read_plan(PLAN, f"atlas: 1\n{text}\n")
    assert line in caught.value.message
    assert "\n" not in caught.value.message


def test_what_is_wrong_comes_before_what_is_not_available() -> None:
    with pytest.raises(DocumentError, match="leaves the workspace"):
        read_plan(PLAN, f"atlas: 1\ntodos: [{AGENT % ', {file: ../x}'}]")


# --- one plan, many spellings ----------------------------------------------------------------------------------------

printable = st.characters(
    codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"], exclude_characters="\ufeff\ufffe\uffff"
)
words = st.text(printable, min_size=1, max_size=12)
lines = words.filter(str.strip)
keys = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,6}", fullmatch=True)
names = st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True)
durations = st.one_of(st.integers(1, 10**6), st.sampled_from(["90s", "30m", "1h30m", "0.5d"]))
commands = st.one_of(lines, st.lists(words, min_size=1, max_size=3))


def optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


tasks = st.fixed_dictionaries(
    {"run": commands},
    optional={
        "title": lines,
        "inputs": st.dictionaries(names.map("s3://bucket/{}".format), names.map("in/{}".format), max_size=1),
        "secrets": st.lists(st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True), unique=True, max_size=3),
        "env": st.dictionaries(st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True), words, max_size=3),
        "resources": optional(
            cpus=st.integers(1, 64) | st.floats(0.5, 64),
            memory=st.sampled_from(["512m", "1g", 1 << 30]),
            network=st.booleans(),
        ),
        "labels": st.lists(keys, unique=True, max_size=2),
        "priority": st.integers(-1000, 1000),
        "timeout": durations,
        "retries": optional(max=st.integers(0, 20), backoff=durations),
        "verify": st.lists(st.fixed_dictionaries({"run": commands}), max_size=2),
    },
)
gates = st.fixed_dictionaries(
    {"ask": lines}, optional={"choices": st.lists(lines, unique=True, min_size=1, max_size=3), "expires": durations}
)


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    todos: list[dict[str, Any]] = []
    for key in draw(st.lists(keys, min_size=1, max_size=5, unique=True)):
        todo: dict[str, Any] = {"id": key, **draw(st.one_of(tasks, gates))}
        if todos:
            earlier = draw(st.lists(st.sampled_from(todos), unique_by=lambda item: str(item["id"]), max_size=3))
            todo["needs"] = [
                {item["id"]: item["choices"][0]} if "choices" in item and draw(st.booleans()) else item["id"]
                for item in earlier
            ]
        todos.append(todo)
    head = optional(name=lines, goal=lines, concurrency=st.integers(1, 1000), sandbox=st.sampled_from(["auto", "host"]))
    return {"atlas": 1, **draw(head), "todos": draw(st.permutations(todos))}


def shuffled(value: Any, draw: st.DrawFn) -> Any:
    if isinstance(value, dict):
        items: list[tuple[str, Any]] = draw(st.permutations(list(value.items())))  # pyright: ignore[reportUnknownArgumentType]
        return {key: shuffled(item, draw) for key, item in items}
    if isinstance(value, list):
        return [shuffled(item, draw) for item in value]  # pyright: ignore[reportUnknownVariableType]
    return value


class Careful(yaml.SafeDumper):
    """Quotes what is a number in YAML 1.2, though not in PyYAML's 1.1 (0E0), as a person must."""


def _text(_: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if text[:1] in set("+-.0123456789") else None
    return yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style)


Careful.add_representer(str, _text)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_hash_is_that_of_the_plan_and_not_of_its_spelling(data: st.DataObject) -> None:
    tree = data.draw(plans())
    other = data.draw(st.composite(lambda draw: shuffled(tree, draw))())
    spellings = [
        json.dumps(tree),
        json.dumps(other, indent=2, ensure_ascii=False),
        yaml.dump(tree, Dumper=Careful, allow_unicode=True),
        yaml.dump(other, Dumper=Careful, allow_unicode=False, sort_keys=False),
    ]
    read = [read_plan(PLAN, text) for text in spellings]
    texts = {canonical(plan) for plan in read}
    assert len(texts) == 1
    text = texts.pop()
    assert read_plan(PLAN, text) == read[0]
    assert canonical(read_plan(None, text)) == text
    assert len(canonical_hash(text)) == 64


def test_equal_durations_and_sizes_have_one_hash() -> None:
    one = "atlas: 1\nname: x\ntodos: [{id: a, run: x, timeout: 30m, resources: {memory: 1g}, needs: []}]"
    two = "name: x\natlas: 1\ntodos:\n- {resources: {memory: 1073741824}, timeout: 1800, run: x, id: a}"
    assert canonical(read_plan(PLAN, one)) == canonical(read_plan(PLAN, two))


@pytest.mark.parametrize("character", ["\x7f", "\x80", "\x9f", "\ufeff", "\ufffe", "\U0010ffff", "\x85", "\u2028"])
def test_what_was_written_as_an_escape_can_be_read_again(character: str) -> None:
    plan = read_plan(PLAN, json.dumps({"atlas": 1, "todos": [{"id": "a", "run": "x", "env": {"X": character}}]}))
    assert plan.todos[0].env == {"X": character}
    assert read_plan(PLAN, canonical(plan)) == plan


def test_a_different_plan_has_a_different_hash() -> None:
    one = canonical(read_plan(PLAN, "atlas: 1\ntodos: [{id: a, run: x}]"))
    two = canonical(read_plan(PLAN, "atlas: 1\ntodos: [{id: a, run: [x]}]"))
    assert canonical_hash(one) != canonical_hash(two)
