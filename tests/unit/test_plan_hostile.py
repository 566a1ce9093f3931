"""Plans that must be refused: each with one clear line, with its place, and at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from orchestrator.plan.reading import load_plan, read_plan
from state.errors import DocumentError, InputError, LimitExceeded
from state.limits import DOCUMENT_BYTES, DOCUMENT_PROBLEMS
from tests.unit.hostile_plans.cases import CASES, Case

PLAN = Path("plan.yaml")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_is_refused_with_one_clear_line(case: Case) -> None:
    with pytest.raises(DocumentError) as caught:
        read_plan(PLAN, case.document)
    assert sorted(caught.value.message.split("\n")) == sorted(f"plan.yaml:{line}" for line in case.lines)


def test_every_case_has_its_own_name() -> None:
    assert len({case.name for case in CASES}) == len(CASES) > 150


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"\xff\xfea\x00", "1:1: this is UTF-16; save the file as UTF-8"),
        (b"atlas: 1\ngoal: caf\xe9\n", "2:10: the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        (b"\xef\xbb\xbfatlas: 1\n\xef\xbb\xbfgoal: x\n", "2:1: the control character U+FEFF is not allowed"),
        (b"atlas: 1\ngoal: a\x00\n", "2:8: a NUL character (U+0000) is not allowed"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, line: str) -> None:
    with pytest.raises(DocumentError) as caught:
        read_plan(PLAN, data)
    assert caught.value.message == f"plan.yaml:{line}"


def test_ten_megabytes_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    with path.open("wb") as file:
        file.truncate(10 << 30)  # sparse: reading it all would take minutes
    started = time.monotonic()
    with pytest.raises(LimitExceeded, match="at most 4,194,304 bytes"):
        load_plan(path)
    assert time.monotonic() - started < 10


def test_text_over_the_bound_is_refused() -> None:
    with pytest.raises(LimitExceeded, match="4,194,304"):
        read_plan(PLAN, "# " + "x" * DOCUMENT_BYTES)


def bomb(levels: int) -> str:
    lines = ["atlas: 1", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (bomb(9), "more than 1,000,000 values, aliases written out"),
        (f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 100)}]", "more than 4,194,304 characters"),
        ("a: " + "[" * 100_000, "nested more than 32 levels deep"),
        ("[" * 100_000 + "]" * 100_000, "nested more than 32 levels deep"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested more than 32 levels deep"),
        ("".join(f"{' ' * n}a:\n" for n in range(2000)), "nested more than 32 levels deep"),
        ("- " * 100_000, "nested more than 32 levels deep"),
        ("a: [" * 40, "nested more than 32 levels deep"),
        ("a: &a [[[[[[[[[[x]]]]]]]]]]\nb: &b [[[[[[[[[[*a]]]]]]]]]]\nc: [[[[[[[[[[[[*b]]]]]]]]]]]]", "32 levels deep"),
    ],
    ids=lambda value: value[:20].strip(),
)
def test_bounds_hold_and_hold_fast(text: str, words: str) -> None:
    started = time.monotonic()
    with pytest.raises(LimitExceeded) as caught:
        read_plan(PLAN, text)
    assert words in caught.value.message
    assert caught.value.message.startswith("plan.yaml:")
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        "? " * 100_000,
        "a: " + "&a " * 50_000,
        "a: &" + "a" * 1_000_000,
        "'" * 1_000_000,
        '"' + "\\" * 1_000_000,
        "a: |" + "\n" * 1_000_000,
        "a: |\n" + " \n" * 500_000,
        "%" * 1_000_000,
        "%TAG ! " + "x" * 1_000_000,
        ": " * 300_000,
        ", " * 300_000,
        "{a: b, " * 100_000,
        "a" * 1_000_000 + ": b",
        "a: !<" + "x" * 1_000_000 + "> b",
        "# x\n" * 500_000,
        "---\n" * 100_000,
        "a: b\n" * 200_000,
        "- a\n" * 300_000,
        '{"a": "' + "\\u0041" * 200_000,
        "\u2028" * 300_000,
        "a: 1" + "0" * 1_000_000,
        "a: 0x" + "f" * 1_000_000,
        "a: 1." + "1" * 1_000_000 + "x",
        "a: 1e999999999999",
    ],
    ids=lambda text: repr(text[:10]),
)
def test_no_text_takes_long_or_breaks_the_reader(text: str) -> None:
    started = time.monotonic()
    with pytest.raises(InputError):
        read_plan(PLAN, text)
    assert time.monotonic() - started < 60  # a tenth of that here; quadratic readers take minutes


def test_no_more_than_the_bound_of_problems_are_told() -> None:
    todos = "".join(f"  - {{id: t{n}, run: x, tite: y}}\n" for n in range(100))
    with pytest.raises(DocumentError) as caught:
        read_plan(PLAN, "atlas: 1\ntodos:\n" + todos)
    lines = caught.value.message.split("\n")
    assert len(lines) == DOCUMENT_PROBLEMS + 1
    assert lines[0] == 'plan.yaml:3:22: todos[0].tite: unknown key; did you mean "title"?'
    assert lines[-1] == "and 80 more"


def test_a_cycle_of_thousands_is_named_in_short() -> None:
    todos = "".join(f"  - {{id: t{n}, run: x, needs: [t{(n + 1) % 5000}]}}\n" for n in range(5000))
    with pytest.raises(DocumentError) as caught:
        read_plan(PLAN, "atlas: 1\ntodos:\n" + todos)
    message = caught.value.message
    assert message.startswith("plan.yaml:3:22: todos[0].needs: these TODOs need each other: t0 -> t1 -> t2 ")
    assert message.endswith("-> ... 4992 more ... -> t0")


def test_too_many_todos() -> None:
    with pytest.raises(DocumentError, match=r"todos: may have at most 20,000 entries"):
        read_plan(PLAN, "atlas: 1\ntodos: [" + "{id: a, run: x}, " * 20_001 + "]")


def test_what_is_shown_of_a_hostile_value_is_short_and_printable() -> None:
    with pytest.raises(DocumentError) as caught:
        read_plan(PLAN, f'atlas: 1\ngoal: x\nsandbox: "\\e[2J\\u202e{"x" * 5000}"\n')
    assert "\x1b" not in caught.value.message
    assert "\u202e" not in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "unreadable", "nul", "long", "inside a file"])
def test_files_that_cannot_be_read(tmp_path: Path, kind: str) -> None:
    import os

    path = tmp_path / "plan.yaml"
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "unreadable":
            if os.geteuid() == 0:
                pytest.skip("root may read everything")
            path.write_text("atlas: 1")
            path.chmod(0)
        case "nul":
            path = Path("a\0b")
        case "long":
            path = tmp_path / ("x" * 1000)
        case "inside a file":
            path.write_text("atlas: 1")
            path = path / "plan.yaml"
        case _:
            pass
    with pytest.raises(InputError) as caught:
        load_plan(path)
    assert caught.value.hint
