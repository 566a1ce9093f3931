"""The allow-list of the S3 server."""

from __future__ import annotations

import pytest

from mcp_servers.storage.s3_reach import Reach
from state.errors import InputError, RemoteForbidden, SettingsError


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("s3://b", ["s3://b/x", "s3://b/team/x"], ["s3://bb/x", "s3://B/x"]),
        ("s3://b/", ["s3://b/x"], ["s3://bb/x"]),
        (
            "s3://b/team",
            ["s3://b/team", "s3://b/team/x", "s3://b/team/a/b", "s3://b/team/%2e%2e/x"],
            ["s3://b/teammate/x", "s3://b/teammate", "s3://b/tea", "s3://b/x", "s3://b/Team/x", "s3://c/team/x"],
        ),
        ("s3://b/team/", ["s3://b/team/x"], ["s3://b/team", "s3://b/teammate/x"]),
    ],
)
def test_objects(entry: str, inside: list[str], outside: list[str]) -> None:
    reach = Reach.of([entry])
    for url in inside:
        assert reach.an_object(url).url == url
    for url in outside:
        with pytest.raises(RemoteForbidden, match=r"outside what the operator allows[\s\S]*s3://b/"):
            reach.an_object(url)


@pytest.mark.parametrize(
    ("entry", "inside", "outside"),
    [
        ("s3://b", ["s3://b/", "s3://b/te"], ["s3://c/"]),
        ("s3://b/team", ["s3://b/team/", "s3://b/team/x"], ["s3://b/team", "s3://b/te", "s3://b/", "s3://b/teammate"]),
        ("s3://b/team/", ["s3://b/team/", "s3://b/team/x/"], ["s3://b/team", "s3://b/te", "s3://b/"]),
    ],
)
def test_prefixes(entry: str, inside: list[str], outside: list[str]) -> None:
    reach = Reach.of([entry])
    for url in inside:
        assert reach.below(url).url == url
    for url in outside:
        with pytest.raises(RemoteForbidden):
            reach.below(url)


@pytest.mark.parametrize(
    "url", ["s3://b/team/../x", "s3://b/team//x", "s3://b/team/./x", "s3://b/team/\n", "file:///etc/passwd", "team", ""]
)
def test_what_is_no_location_is_refused(url: str) -> None:
    reach = Reach.of(["s3://b/team", "s3://b"])
    for look in (reach.an_object, reach.below):
        with pytest.raises(InputError):
            look(url)


def test_a_directory_is_no_object() -> None:
    with pytest.raises(InputError, match="is a directory"):
        Reach.of(["s3://b"]).an_object("s3://b/x/")


@pytest.mark.parametrize(
    "entries", [[], ["b"], ["file:///x"], ["s3://"], ["s3:///x"], ["s3://b/../c"], ["s3://b", ""], ["s3://b/*"]]
)
def test_a_wrong_list_allows_nothing(entries: list[str]) -> None:
    with pytest.raises(SettingsError):
        Reach.of(entries)


def test_buckets_in_order_and_once() -> None:
    reach = Reach.of(["s3://b/x", "s3://a", "s3://b/y/", "s3://b/x"])
    assert reach.buckets == ["b", "a"]
    assert reach.of_bucket("b") == ["s3://b/x", "s3://b/y/"]


def test_many_entries_are_told_in_short() -> None:
    reach = Reach.of([f"s3://bucket/{number}" for number in range(50)])
    assert reach.shown.startswith("s3://bucket/0, s3://bucket/1, ")
    assert reach.shown.endswith("s3://bucket/19, and 30 more")
