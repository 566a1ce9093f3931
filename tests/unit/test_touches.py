"""Patterns of paths: what they are for, and when two are for the same."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.touches import matches, overlap, problem

PATTERNS = st.lists(st.sampled_from(["a", "b", "/", "*", "**", "**/", "?", "."]), min_size=1, max_size=7).map("".join)
PATHS = st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


def expression(pattern: str) -> str:
    """The same as a regular expression, in the plainest way."""
    kept = "/".join(part for part in pattern.split("/") if part not in ("", "."))
    kept += "/**" if pattern.endswith("/") and kept else ""
    tokens: list[str] = re.findall(r"(?:(?<=/)|^)\*\*/|\*\*+|.", kept)
    wild = {"*": "[^/]*", "?": "[^/]", "**/": "(?:.*/)?"}
    wild |= {each: ".*" for each in tokens if len(each) > 1 and set(each) == {"*"}}
    return "".join(wild.get(each, re.escape(each)) for each in tokens)


@pytest.mark.parametrize(
    ("pattern", "for_these", "not_for_these"),
    [
        ("src/a/**", ["src/a/a.py", "src/a/a/b"], ["src/a", "src/as/a", "src/b", "SRC/a/a"]),
        ("src/", ["src/a", "src/a/b"], ["src", "srcs/a", "a/src/b"]),
        ("*.py", ["a.py", ".py"], ["a/b.py", "a.pyc", "a.PY"]),
        ("**/*.py", ["a.py", "x/y/a.py"], ["a.pyc"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/bz", "az", "a/z/b"]),
        ("a?c", ["abc"], ["ac", "a/c", "abbc"]),
        ("app/[id].tsx", ["app/[id].tsx"], ["app/i.tsx"]),
        ("./docs//x.md", ["docs/x.md"], ["x.md"]),
        ("**", ["a", "a/b"], []),
        ("a**b", ["ab", "a/x/b"], ["a", "xab"]),
    ],
)  # fmt: skip
def test_what_a_pattern_is_for(pattern: str, for_these: list[str], not_for_these: list[str]) -> None:
    assert [path for path in for_these if not matches([pattern], path)] == []
    assert [path for path in not_for_these if matches([pattern], path)] == []


@given(pattern=PATTERNS, path=PATHS)
@settings(max_examples=1_000, deadline=None)
def test_it_is_what_a_regular_expression_says(pattern: str, path: str) -> None:
    assert matches([pattern], path) == bool(re.fullmatch(expression(pattern), path))


@given(a=st.lists(PATTERNS, max_size=3), b=st.lists(PATTERNS, max_size=3), paths=st.lists(PATHS, max_size=20))
@settings(max_examples=1_000, deadline=None)
def test_a_path_of_both_is_an_overlap(a: list[str], b: list[str], paths: list[str]) -> None:
    assert overlap(a, b) == overlap(b, a)
    if any(matches(a, path) and matches(b, path) for path in paths):
        assert overlap(a, b)


@given(path=PATHS, pattern=PATTERNS)
@settings(max_examples=500, deadline=None)
def test_a_path_overlaps_with_what_matches_it(path: str, pattern: str) -> None:
    if "." not in path.split("/"):
        assert overlap([path], [pattern]) == matches([pattern], path)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("src/a/**", "src/b/**", False), ("src/**", "src/b/c.py", True), ("*.py", "*.md", False),
        ("**/*.py", "tests/", True), ("tests/*.py", "tests/x/*.py", False), ("a/**/z", "a/z", True),
        ("src/", "src", False), ("x*", "*y", True), ("x?", "xyz", False),
    ],
)  # fmt: skip
def test_overlaps(a: str, b: str, expected: bool) -> None:
    assert overlap([a], [b]) is expected


def test_no_patterns_are_for_nothing() -> None:
    assert not matches([], "a")
    assert not overlap([], ["**"])


def test_no_pattern_takes_long() -> None:
    greedy = "*a" * 400
    started = time.monotonic()
    assert not matches([greedy], "a" * 399 + "b")
    assert overlap([greedy + "x"], ["**" + "*a" * 400 + "y"])  # not so, but too much to find out
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("pattern", ["", "/etc/**", "../x", "a/../b", "a\0b", "x" * 1_001])
def test_bad_patterns(pattern: str) -> None:
    assert problem(pattern)


@pytest.mark.parametrize("pattern", ["a", "./a", "a..b/**", "**", "dir/"])
def test_good_patterns(pattern: str) -> None:
    assert problem(pattern) is None
