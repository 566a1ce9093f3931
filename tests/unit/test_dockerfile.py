"""What a Dockerfile would have the engine fetch is seen before the engine sees it."""

from __future__ import annotations

import pytest

from mcp_servers.container.dockerfile import bases, check_steps, instructions
from state.errors import InputError

URL = "http://127.0.0.1/x"


@pytest.mark.parametrize(
    "text",
    [
        f"FROM x\nADD {URL} /x",
        f"FROM x\n  add\t{URL} /x",
        f"FROM x\nA\\\nDD {URL} /x",
        f"FROM x\nADD\\\n {URL} /x",
        f"FROM x\nA\\\n  DD {URL} /x",
        f"FROM x\nADD \\\n# a comment\n\n  {URL} /x",
        f"FROM x\r\nADD {URL} /x\r\n",
        f"FROM x\nADD --chown=1:1 {URL} /x",
        "FROM x\nADD $URL /x",
        "FROM x\nADD ${URL:-y} /x",
        f'FROM x\nADD ["{URL}", "/x"]',
        'FROM x\nADD ["http:\\u002f\\u002f127.0.0.1/x", "/x"]',
        f"FROM x\nONBUILD ADD {URL} /x",
        f"FROM x\nonbuild \\\n add {URL} /x",
        f"# escape=`\nFROM x\nADD `\n {URL} /x",
        f"# escape = `\nFROM x\nRUN c:\\\nADD {URL} /x",
        f"FROM x\nRUN echo \\\\\nADD {URL} /x",
        f"\ufeffADD {URL} /x",
        "FROM x\nADD git@example.org:x /x",
    ],
)
def test_an_add_that_fetches(text: str) -> None:
    with pytest.raises(InputError, match="ADD may name plain local files only"):
        check_steps(instructions(text), "the Dockerfile")


def test_what_may_be_added_and_what_only_looks_so() -> None:
    text = f"""
    # ADD {URL} /x
    FROM x
    ADD a.tar.gz dir/*.py ./b-1 /x/
    ADD --chown=1:1 --chmod=755 a /x
    COPY address /x
    RUN apk \\
        add curl
    RUN echo "ADD {URL} /x"
    LABEL add={URL}
    ADDRESS {URL}
    """
    steps = instructions(text)
    check_steps(steps, "the Dockerfile")
    assert "RUN apk         add curl" in steps


def test_the_images_it_starts_from() -> None:
    text = """
    ARG TAG=3.12
    ARG BASE=python:$TAG EMPTY
    FROM --platform=linux/amd64 $BASE AS Build
    ARG TAG=later
    FROM scratch
    FROM build
    FROM busybox${EMPTY}:${TAG:-1} as other
    FROM ${OTHER:-debian}
    FROM other
    """
    assert bases(instructions(text), {}) == ["python:3.12", "busybox:3.12", "debian"]
    assert bases(instructions(text), {"BASE": "evil", "TAG": "2"}) == ["evil", "busybox:2", "debian"]
    for name in ("${X:+y}", "$", "${X:-$Y}", '"quoted"', "a\\b"):
        with pytest.raises(InputError, match="can't be told"):
            bases([f"FROM {name}"], {})
