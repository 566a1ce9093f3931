"""Logs: ids on every line, one record a line, and no secrets whatever was logged."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Literal

import pytest

from orchestrator.logs import KnownSecrets, configure, log_ids, redacted

logger = logging.getLogger("atlas.test")
SECRET = 'correct "horse" battery'


@pytest.fixture
def secrets() -> KnownSecrets:
    return KnownSecrets()


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def to_stream(form: Literal["human", "json"], secrets: KnownSecrets) -> io.StringIO:
    stream = io.StringIO()
    configure("info", form, secrets, stream)
    return stream


def test_json_lines_with_ids(secrets: KnownSecrets) -> None:
    stream = to_stream("json", secrets)
    with log_ids(run="r1"), log_ids(todo="t1"):
        logger.info("hello %s", "there")
    logger.warning("again", extra={"todo": "t2"})
    logger.debug("not this")
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first.pop("at").endswith("+00:00")
    assert first == {"level": "info", "logger": "atlas.test", "message": "hello there", "run": "r1", "todo": "t1"}
    assert (second["todo"], "run" in second) == ("t2", False)


def test_lines_for_people(secrets: KnownSecrets) -> None:
    stream = to_stream("human", secrets)
    with log_ids(run="r1"):
        logger.error("two\n12:00:00 INFO atlas: forged \x1b[31m")
    line, rest = stream.getvalue().rstrip("\n").split("\n")
    assert line.endswith("ERROR atlas.test: two")
    assert rest == "    12:00:00 INFO atlas: forged \\x1b[31m (run=r1)"


async def test_ids_belong_to_their_task(secrets: KnownSecrets) -> None:
    stream = to_stream("json", secrets)
    barrier = asyncio.Barrier(2)

    async def work(todo: str) -> None:
        with log_ids(todo=todo):
            await barrier.wait()
            logger.info(todo)

    await asyncio.gather(work("a"), work("b"))
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert {(record["message"], record["todo"]) for record in records} == {("a", "a"), ("b", "b")}


@pytest.mark.parametrize("form", ["human", "json"])
def test_known_secrets_are_hidden_everywhere(form: Literal["human", "json"], secrets: KnownSecrets) -> None:
    stream = to_stream(form, secrets)
    with secrets.hiding([SECRET, "x\ny\nz", "abc"]), log_ids(run=SECRET):
        logger.info("message %s and %r and %s", SECRET, SECRET, json.dumps(SECRET))
        try:
            raise ValueError(SECRET, "x\ny\nz")
        except ValueError:
            logger.exception("failed", stack_info=True)
    text = stream.getvalue()
    assert "horse" not in text
    assert "y\\nz" not in text
    assert text.count("[hidden]") >= 6
    if form == "json":
        assert all(json.loads(line) for line in text.splitlines())


def test_a_secret_is_hidden_as_long_as_anyone_uses_it(secrets: KnownSecrets) -> None:
    with secrets.hiding([SECRET]):
        with secrets.hiding([SECRET]):
            pass
        assert secrets.redact(SECRET) == "[hidden]"
    assert secrets.redact(SECRET) == SECRET


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("key sk-ant-api03-abcdefghijklmnop_QRS end", "key [hidden] end"),
        ("sk-proj-abcdefghijklmnopqrst", "[hidden]"),
        ("ghp_abcdefghijklmnopqrstuvwxyz0123456789", "[hidden]"),
        ("gsk_abcdefghijklmnopqrstuvwxyz", "[hidden]"),
        ("AKIAIOSFODNN7EXAMPLE", "[hidden]"),
        ("Authorization: Bearer abc.def-ghi_123", "Authorization: Bearer [hidden]"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic [hidden]"),
        ("postgresql://user:hunter2@db/atlas", "postgresql://user:[hidden]@db/atlas"),
        ("amqp://:hunter2@mq", "amqp://:[hidden]@mq"),
        ("GET /k?X-Amz-Signature=abcdef0123&x=1", "GET /k?X-Amz-Signature=[hidden]&x=1"),
        ('{"api_key": "abcdef"}', '{"api_key": "[hidden]"}'),
        ("x-api-key: abcdef", "x-api-key: [hidden]"),
        ("eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.abcdefgh", "[hidden]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----", "[hidden]"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, wanted: str) -> None:
    assert redacted(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "task-1 took 30s", "http://127.0.0.1:8420/api/runs", "the bearer of news", "s3://bucket/key@v1",
        "plan.yaml:12:5: todos[1].needs: no TODO", "a basic idea", "sha256:" + "a" * 64,
        "desk-with-a-long-name-here-2030",
        "file:///home/me/a:b@c", "0198f0c2-7a31-7c60-9d2b-0a1b2c3d4e5f",
    ],
)  # fmt: skip
def test_ordinary_text_stays(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "piece", ["://a:", "bearer ", "sk-", "eyJ", "eyJa.", "-----BEGIN PRIVATE KEY-----", "api_key=", " "]
)
def test_no_line_takes_long(piece: str) -> None:
    started = time.perf_counter()
    redacted(piece * (200_000 // len(piece)))
    redacted(piece + "a" * 200_000)
    assert time.perf_counter() - started < 20


def test_setting_up_twice_logs_once(secrets: KnownSecrets) -> None:
    to_stream("json", secrets)
    stream = to_stream("json", secrets)
    logger.info("once")
    assert len(stream.getvalue().splitlines()) == 1
