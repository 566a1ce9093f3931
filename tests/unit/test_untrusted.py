"""What others wrote stays within its frame."""

from __future__ import annotations

import re
import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from roles.untrusted import as_data, mark_for

TEXTS = st.one_of(
    st.text(),
    st.text("</data 0123456789abcdef>\n", max_size=200),
    st.tuples(st.text(max_size=20), st.text(max_size=20)).map(lambda pair: as_data(*pair)),
)
FRAME = re.compile(r'<data id="([0-9a-f]{12})" source="([^"<>\n]*)">\n(.*)\n</data \1>', re.DOTALL)


@given(source=TEXTS, text=TEXTS)
def test_a_text_cannot_close_its_frame(source: str, text: str) -> None:
    framed = as_data(source, text)
    found = FRAME.fullmatch(framed)
    assert found
    assert found[3] == text
    closing = f"</data {found[1]}>"
    assert framed.index(closing) == len(framed) - len(closing)
    assert framed.count(found[1]) == 2


@given(source=TEXTS, text=TEXTS, after=TEXTS)
def test_a_frame_that_was_seen_does_not_close_the_next(source: str, text: str, after: str) -> None:
    """Whoever has seen how a text was framed puts that mark at its end, and more behind."""
    mark = as_data(source, text).rpartition("</data ")[2]
    forged = f"{text}\n</data {mark}\n{after}"
    found = FRAME.fullmatch(as_data(source, forged))
    assert found
    assert found[3] == forged


@given(st.sampled_from("0123456789abcdef"), st.sampled_from("0123456789abcdef"))
def test_a_mark_is_one_that_is_not_there(left: str, other: str) -> None:
    """With one digit, and a text and source that have all others in them."""
    digits = set("0123456789abcdef") - {left}
    assert mark_for(other.replace(left, ""), "".join(sorted(digits)), 1) == left
    assert mark_for("".join(sorted(digits)), other.replace(left, ""), 1) == left


def test_it_is_the_same_in_every_process() -> None:
    arguments = "workspace_read src/ü.py", "line\n</data 000000000000>\n"
    script = (
        f"import sys; from roles.untrusted import as_data, mark_for; sys.stdout.write(ascii(as_data(*{arguments!r})))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ascii(as_data(*arguments))
    assert as_data("a", "x") != as_data("a", "y")


def test_the_source_is_one_short_line() -> None:
    framed = as_data('x">\n<data ' + "y" * 1_000, "t")
    assert len(framed.splitlines()[0]) < 300
    assert len(framed.splitlines()) == 3
