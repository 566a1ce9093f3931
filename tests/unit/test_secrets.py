"""Secrets: who may name them, where they come from, and that no output ever holds one."""

from __future__ import annotations

import os
import re
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.secrets import Redactor, Secrets, SecretUnavailable, redactor
from state.limits import SECRET_BYTES
from state.records import Provenance

VALUE = "correct horse battery"


def secrets(directory: Path | None = None, **environ: str) -> Secrets:
    return Secrets(frozenset({"TOKEN", "OTHER"}), environ, directory)


def test_from_the_environment() -> None:
    assert secrets(TOKEN=VALUE, REST="x").resolve(["TOKEN"], "person") == {"TOKEN": VALUE}
    assert secrets().resolve([], "outside") == {}


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_from_a_directory_which_wins(tmp_path: Path, ending: str) -> None:
    (tmp_path / "TOKEN").write_bytes(f"{VALUE}{ending}".encode())
    found = secrets(tmp_path, TOKEN="from the environment", OTHER="as it was").resolve(["TOKEN", "OTHER"], "person")
    assert found == {"TOKEN": VALUE, "OTHER": "as it was"}


def test_links_are_followed_as_mounted_secrets_are_links(tmp_path: Path) -> None:
    (tmp_path / "data").write_text(f"{VALUE}\n\n")
    (tmp_path / "TOKEN").symlink_to("data")
    assert secrets(tmp_path).resolve(["TOKEN"], "person") == {"TOKEN": f"{VALUE}\n"}


@pytest.mark.parametrize("provenance", ["model", "outside"])
def test_only_a_person_names_secrets(provenance: Provenance) -> None:
    with pytest.raises(SecretUnavailable, match=f"TOKEN may not be named by a {provenance} document"):
        secrets(TOKEN=VALUE).resolve(["TOKEN"], provenance)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PATH", VALUE, "the secret PATH is not one that plans may name here"),
        ("OTHER", VALUE, "the secret OTHER is not set on this worker"),
        ("../TOKEN", VALUE, "'../TOKEN' is not the name of a secret"),
        ("TOKEN\n", VALUE, "is not the name of a secret"),
        ("TOKEN", "abc", "the secret TOKEN has fewer than 4 characters"),
        ("TOKEN", "", "the secret TOKEN has fewer than 4 characters"),
        ("TOKEN", "x" * (SECRET_BYTES + 1), "the secret TOKEN can't be put in a variable"),
    ],
)
def test_what_is_refused_says_which_and_what_to_do(name: str, value: str, message: str) -> None:
    with pytest.raises(SecretUnavailable) as caught:
        secrets(TOKEN=value, PATH="/bin:/usr/bin").resolve([name], "person")
    assert message in caught.value.message
    assert caught.value.hint
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize("kind", ["directory", "fifo", "binary", "large", "loop"])
def test_odd_files_are_refused_at_once(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "TOKEN"
    match kind:
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "binary":
            path.write_bytes(b"\xff" * 20)
        case "large":
            with path.open("wb") as file:
                file.truncate(10 << 30)
        case _:
            path.symlink_to(path)
    with pytest.raises(SecretUnavailable):
        secrets(tmp_path).resolve(["TOKEN"], "person")


def test_no_repr_shows_a_value() -> None:
    assert VALUE not in repr(secrets(TOKEN=VALUE))


# --- redaction --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "text", "wanted"),
    [
        ({"A": "abcd"}, "xabcdx", "x[secret A]x"),
        ({"A": "abcd"}, "abcdabcd", "[secret A][secret A]"),
        ({"A": "abcd", "B": "abcdef"}, "abcdef abcdx", "[secret B] [secret A]x"),
        ({"A": "abcd", "B": "cdef"}, "abcdef cdef", "[secret A] [secret B]"),
        ({"A": "abab"}, "xababababy", "x[secret A]y"),
        ({"A": "abcdef", "B": "bcde"}, "abcdex", "a[secret B]x"),
        ({"B": "same", "A": "same"}, "same", "[secret A]"),
        ({"A": "line\nline"}, "a line\nline", "a [secret A]"),
        ({"A": "secret"}, "my secret", "my [secret A]"),
        ({}, "abcd", "abcd"),
    ],
)
def test_redaction(values: dict[str, str], text: str, wanted: str) -> None:
    assert redactor(values)(text.encode()) == wanted.encode()
    for size in range(1, len(text) + 1):
        assert chunked(values, text.encode(), size) == wanted.encode()


def chunked(values: dict[str, str], data: bytes, size: int) -> bytes:
    stream = Redactor(values)
    parts = [stream.feed(data[at : at + size]) for at in range(0, len(data), size)]
    return b"".join([*parts, stream.flush()])


def reference(values: dict[str, str], data: bytes) -> list[bytes]:
    """What is left around the secrets, by the definition: every byte of every occurrence is hidden."""
    spans = sorted(
        (at, at + len(secret))
        for secret in {text.encode() for text in values.values()}
        for at in range(len(data))
        if data.startswith(secret, at)
    )
    merged: list[list[int]] = []
    for start, end in spans:
        if merged and start < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    edges = [[0, 0], *merged, [len(data), len(data)]]
    return [data[before[1] : after[0]] for before, after in pairwise(edges)]


texts = st.text("abé", min_size=1, max_size=7)


@settings(max_examples=400, deadline=None)
@given(
    values=st.dictionaries(st.sampled_from("ABCD"), texts, min_size=1, max_size=4),
    parts=st.lists(st.text("abéx", max_size=9), max_size=8),
    data=st.data(),
)
@example(values={"A": "abab", "B": "baba"}, parts=["ab", "ab", "ab"], data=None)
def test_no_secret_passes_however_the_stream_is_cut(
    values: dict[str, str], parts: list[str], data: st.DataObject | None
) -> None:
    whole = "".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8))) if data else list(range(len(whole)))
    stream = Redactor(values)
    output = b"".join(stream.feed(whole[a:b]) for a, b in pairwise([0, *cuts, len(whole)])) + stream.flush()
    assert output == redactor(values)(whole)
    kept = re.split(rb"\[secret [A-D]\]", output)
    assert kept == reference(values, whole)
    assert not any(text.encode() in piece for text in values.values() for piece in kept)


def test_little_is_held_back() -> None:
    stream = Redactor({"A": "abcdefgh"})
    assert stream.feed(b"hello abcdefg") == b"hello "
    assert stream.feed(b"x") == b"abcdefgx"
    assert stream.feed(b"plain text") == b"plain text"
    assert stream.flush() == b""


def test_an_empty_secret_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="the secret A is empty"):
        Redactor({"A": ""})


def test_large_streams_are_fast() -> None:
    stream = Redactor({f"S{n}": f"secret-value-{n}-{'x' * 40}" for n in range(20)})
    chunk = (b"2030-01-01 INFO an ordinary line of a build's log, with words\n" * 1100)[: 64 << 10]
    started = time.perf_counter()
    for _ in range(512):  # 32 MB
        stream.feed(chunk)
    assert time.perf_counter() - started < 30


def test_streams_made_of_nothing_but_secrets_are_bounded() -> None:
    stream = Redactor({"A": "aaaa", "B": "aaaaaaab"})
    started = time.perf_counter()
    for _ in range(16):
        stream.feed(b"a" * (64 << 10))
    assert time.perf_counter() - started < 60
    assert stream.flush() == b""
