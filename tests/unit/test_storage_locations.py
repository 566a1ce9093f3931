"""Remote URLs: what is taken, what is refused, and that joining and relating undo each other."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_servers.storage import locations
from state.errors import InputError


@pytest.mark.parametrize(
    "url",
    [
        "file:///a",
        "file:///",
        "file:///a/b/",
        "s3://bucket/",
        "s3://bucket/a b/ü+%2e%2e",
        "s3://buc.ket-1/x?y#z",
        "file:///...",
    ],
)
def test_a_good_url_is_its_own_form(url: str) -> None:
    location = locations.parse(url)
    assert location.url == url
    assert location.directory == url.endswith("/")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not a location"),
        ("/etc/passwd", "not a location"),
        ("http://host/x", "not a location"),
        ("S3://bucket/x", "not a location"),
        ("s3:/bucket/x", "not a location"),
        ("file://relative", "not absolute"),
        ("s3://", "bucket name"),
        ("s3:///key", "bucket name"),
        ("s3://../key", "bucket name"),
        ("s3://user:secret@host/key", "bucket name"),
        ("s3://bücket/key", "bucket name"),
        ("s3://bucket", "no key"),
        ("s3://bucket/a/../b", "'..' segment"),
        ("s3://bucket/..", "'..' segment"),
        ("s3://bucket/./a", "'.' segment"),
        ("s3://bucket//a", "empty segment"),
        ("s3://bucket/a//", "empty segment"),
        ("file:///a/../../etc", "'..' segment"),
        ("file:////a", "empty segment"),
        ("file:///a\0b", "control character"),
        ("s3://bucket/a\nb", "control character"),
        ("s3://bucket/\ud800", "not valid Unicode"),
        ("s3://bucket/" + "x" * 1025, "over 1024 bytes"),
        ("s3://bucket/" + "ü" * 513, "over 1024 bytes"),
    ],
)
def test_a_bad_url_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(InputError, match=why) as refusal:
        locations.parse(url)
    assert refusal.value.message.isprintable()


def test_a_relative_file_is_below_the_document() -> None:
    base = Path("/plans/one")
    assert locations.resolve("file://data/x", base) == "file:///plans/one/data/x"
    assert locations.resolve("file://./data/", base) == "file:///plans/one/data/"
    assert locations.resolve("file:///data/x", base) == "file:///data/x"
    assert locations.resolve("s3://bucket/x", base) == "s3://bucket/x"
    assert locations.resolve("file://x", Path("/")) == "file:///x"


@pytest.mark.parametrize(
    "url", ["file://../x", "file://", "file://./", "file://a/../../x", "file://localhost/etc", "x"]
)
def test_a_bad_relative_file_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        locations.resolve(url, Path("/plans"))


@pytest.mark.parametrize("name", ["/etc/passwd", "../x", "a/../../x", "", "a//b", ".", "a\0b"])
def test_nothing_joins_to_outside(name: str) -> None:
    for root in ("file:///a/", "s3://bucket/a/"):
        with pytest.raises(InputError):
            locations.join(root, name)


def test_only_directories_have_something_below() -> None:
    with pytest.raises(InputError, match="not a directory"):
        locations.join("s3://bucket/a", "b")


@pytest.mark.parametrize(
    "url", ["s3://bucket/ab", "s3://bucket/a/", "s3://other/a/x", "s3://bucket/a/../x", "s3://bucket/a/x/"]
)
def test_what_is_not_below_has_no_relative_path(url: str) -> None:
    with pytest.raises(InputError):
        locations.relative("s3://bucket/a/", url)


@given(
    st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=5), st.sampled_from(["file:///r/", "s3://bucket/"])
)
def test_join_and_relative_undo_each_other(segments: list[str], root: str) -> None:
    name = "/".join(segments)
    try:
        url = locations.join(root, name)
    except InputError:
        return
    if not name.endswith("/"):
        assert locations.relative(root, url) == name
        assert not Path(name).is_absolute()
        assert ".." not in Path(name).parts


def test_a_parent_is_a_directory() -> None:
    assert locations.parent("s3://bucket/a/b") == "s3://bucket/a/"
    assert locations.parent("s3://bucket/a/") == "s3://bucket/a/"
    assert locations.parent("s3://bucket/a") == "s3://bucket/"
    assert locations.parse("s3://bucket/a/b/").name == "b"
