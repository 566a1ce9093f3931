"""The engine's frames and the keeper's last word, however the bytes are cut up."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from mcp_servers.container.frames import Frames, LastWord, Output, order
from state.ports import Stream

NONCE = "\x01nonce"
CUTS = st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=30)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    found: list[bytes] = []
    turn = 0
    while data:
        size = cuts[turn % len(cuts)]
        found.append(data[:size])
        data = data[size:]
        turn += 1
    return found


@given(st.lists(st.tuples(st.sampled_from([0, 1, 2, 7]), st.binary(max_size=50)), max_size=10), CUTS)
def test_frames_come_apart_as_they_were_put_together(frames: list[tuple[int, bytes]], cuts: list[int]) -> None:
    data = b"".join(struct.pack(">BxxxI", kind, len(payload)) + payload for kind, payload in frames)
    reader = Frames()
    got: dict[Stream, bytes] = {"stdout": b"", "stderr": b""}
    for piece in pieces(data, cuts):
        for stream, payload in reader.feed(piece):
            got[stream] += payload
    assert got["stdout"] == b"".join(payload for kind, payload in frames if kind == 1)
    assert got["stderr"] == b"".join(payload for kind, payload in frames if kind == 2)


@given(st.lists(st.sampled_from([b"\x01", b"\x01non", b"\x01\x01nonc", b"text\n", b"e"]), max_size=10), CUTS)
def test_output_that_resembles_the_nonce_is_output(parts: list[bytes], cuts: list[int]) -> None:
    said = b"".join(parts).replace(NONCE.encode(), b"")
    output = Output(NONCE)
    trailer = NONCE.encode() + b"timeout 137 2 1500000\n"
    got = b"".join(output.feed(piece) for piece in pieces(said + trailer, cuts))
    assert got == said
    assert output.last == LastWord(timed_out=True, code=137, oom_kills=2, seconds=1.5)


def test_output_is_not_held_back_without_reason() -> None:
    assert Output(NONCE).feed(b"no newline") == b"no newline"


def test_an_order_says_how_long_its_parts_are() -> None:
    text = order("n", ("a", ""), {"B": "ü"}, 1.5)
    assert text == b"R" + struct.pack("<IIII", 10, 2, 1, 1500) + "n\0a\0\0B=ü\0".encode()
