"""Which repositories are local, which are fetched, and which are refused unseen."""

from __future__ import annotations

import pytest

from mcp_servers.git.remote import Remote, remote_of, short_name
from state.errors import InputError


@pytest.mark.parametrize("repo", [".", "src", "/a/b", "/a\nb", "file:///a/b", "C:/x", "a@b", "/x@y:z", "./x@y:z"])
def test_local(repo: str) -> None:
    assert remote_of(repo) is None


@pytest.mark.parametrize(
    ("repo", "scheme"),
    [("https://host/x", "https"), ("ssh://git@host:22/x", "ssh"), ("git@example.org:team/x.git", "ssh")],
)
def test_fetched(repo: str, scheme: str) -> None:
    assert remote_of(repo) == Remote(repo, scheme)


@pytest.mark.parametrize(
    "repo",
    [
        "",
        "-x",
        "--upload-pack=id",
        "http://host/x",
        "git://host/x",
        "ext::id",
        "ext::ssh://x",
        "a\0b",
        "/a\0b",
        "HTTPS://x",
    ],
)
def test_refused(repo: str) -> None:
    with pytest.raises(InputError):
        remote_of(repo)


def test_short_names() -> None:
    assert short_name("refs/heads/topic/x") == "topic/x"
    assert short_name("refs/tags/v1") == "v1"
    assert short_name("refs/remotes/origin/x") == "origin/x"
    assert short_name("HEAD") == ""
