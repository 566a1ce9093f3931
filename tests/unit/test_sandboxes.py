"""Which sandbox a command gets: every combination that matters."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from mcp_servers.container.host import HostSandbox
from orchestrator.sandboxes import Choice, Containers, Policy, Request, Sandboxes, choose
from state.errors import ImageMissing, SandboxUnavailable
from state.records import Provenance

NONE = "nobody answered"
IMAGE = "python:3.12-slim"


@pytest.mark.parametrize(
    ("asked", "auto", "engine", "provenance", "owner", "operator", "expected"),
    [
        ("auto", "auto", None, "person", False, False, "docker"),
        ("auto", "auto", NONE, "person", False, False, "host"),
        ("auto", "auto", NONE, "model", True, False, "host"),
        ("auto", "auto", NONE, "outside", False, True, "host"),
        ("auto", "host", None, "person", False, False, "host"),
        ("auto", "host", None, "outside", False, False, "docker"),
        ("docker", "host", None, "person", False, False, "docker"),
        ("host", "docker", None, "person", False, False, "host"),
        ("host", "auto", None, "model", False, False, "docker"),
        ("host", "auto", NONE, "model", True, False, "host"),
    ],
)
def test_choice_with_an_image(
    asked: Choice, auto: Choice, engine: str | None, provenance: Provenance, owner: bool, operator: bool, expected: str
) -> None:
    request, policy = Request(asked, IMAGE, provenance, owner), Policy(auto=auto, allow_host=operator)
    assert choose(request, policy, engine) == expected


@pytest.mark.parametrize(
    ("asked", "auto", "provenance", "allowed"),
    [
        ("auto", "auto", "model", False),
        ("auto", "auto", "outside", False),
        ("auto", "docker", "person", True),
        ("docker", "auto", "person", True),
        ("docker", "host", "person", True),
        ("host", "auto", "model", False),
    ],
)
def test_refusal_without_an_engine(asked: Choice, auto: Choice, provenance: Provenance, allowed: bool) -> None:
    request, policy = Request(asked, IMAGE, provenance, allowed), Policy(auto=auto, allow_host=allowed)
    with pytest.raises(SandboxUnavailable, match=NONE) as caught:
        choose(request, policy, NONE)
    assert caught.value.hint


def test_without_an_image() -> None:
    assert choose(Request("auto", None, "person"), Policy(), None) == "host"
    assert choose(Request("auto", None, "model"), Policy(image=IMAGE), None) == "docker"
    for request in (Request("docker", None, "person"), Request("auto", None, "model")):
        with pytest.raises(ImageMissing):
            choose(request, Policy(), None)


@pytest.mark.parametrize("asked", ["auto", "docker", "host"])
@pytest.mark.parametrize("auto", ["auto", "docker", "host"])
@pytest.mark.parametrize("provenance", ["person", "model"])
def test_where_only_containers_are_allowed_nobody_gets_the_host(
    asked: Choice, auto: Choice, provenance: Provenance
) -> None:
    policy = Policy(auto=auto, allow_host=True, containers_only=True)
    assert choose(Request(asked, IMAGE, provenance, True), policy, None) == "docker"
    with pytest.raises(ImageMissing):
        choose(Request(asked, None, provenance, True), policy, None)
    for image in (IMAGE, None):
        with pytest.raises(SandboxUnavailable, match=NONE) as caught:
            choose(Request(asked, image, provenance, True), policy, NONE)
        assert "sandbox: host" not in caught.value.hint


async def test_the_engine_is_connected_once_however_many_ask() -> None:
    """Only that one is told that the worker lives: what another runs would be ended after three seconds."""
    connected: list[object] = []

    async def connect() -> Containers:
        await asyncio.sleep(0)
        connected.append(found := cast("Containers", HostSandbox()))
        return found

    sandboxes = Sandboxes(HostSandbox(), connect, Policy())
    found = await asyncio.gather(*(sandboxes.sandbox(Request("docker", IMAGE, "person")) for _ in range(4)))
    assert len(connected) == 1
    assert {id(sandbox) for sandbox, _ in found} == {id(connected[0])}
