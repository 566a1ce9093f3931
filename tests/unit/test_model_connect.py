"""From names to models, and scripts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.agents.models import Models
from roles.models.connect import Provider, connect
from roles.models.port import Message, Meter, Request, Text, ToolResult, Usage
from roles.role import DUTIES
from state.errors import ModelRejected, ModelUnavailable, SettingsError

GOOD = """
- text: I look.
  calls:
    - {name: read_file, arguments: {path: a.py}}
- when: "def a"
  text: Done.
  usage: {input: 10, output: 2}
"""


def script(tmp_path: Path, text: str) -> Path:
    (tmp_path / "script.yaml").write_text(text)
    return tmp_path


def asking(*turns: str | ToolResult, timeout: float = 5.0) -> Request:
    """Turns of the user and the assistant, one after the other."""
    roles = ("user", "assistant")
    blocks = [Text(turn) if isinstance(turn, str) else turn for turn in turns]
    return Request("", [Message(roles[at % 2], [block]) for at, block in enumerate(blocks)], timeout=timeout)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("gpt", '"gpt" is no model', "provider/model"),
        ("/gpt", "is no model", "provider/model"),
        ("openai/", "is no model", "provider/model"),
        ("opanai/x", 'there is no provider "opanai"', 'Did you mean "openai"?'),
        ("zzz/x", 'there is no provider "zzz"', "[providers.zzz]"),
        ("anthropic/x", "ANTHROPIC_API_KEY or ANTHROPIC_AUTH_TOKEN is not set", "Set ANTHROPIC_API_KEY"),
        ("openai/x", "OPENAI_API_KEY is not set", "Set OPENAI_API_KEY"),
        ("groq/x", "GROQ_KEY is not set", "Set GROQ_KEY"),
        ("nowhere/x", "providers.nowhere has no base_url", "[providers.nowhere]"),
    ],
)
def test_what_is_missing_is_named(tmp_path: Path, name: str, message: str, hint: str) -> None:
    providers = {
        "groq": Provider(kind="openai", base_url="https://api.groq.example/v1", key_variable="GROQ_KEY"),
        "nowhere": Provider(kind="openai"),
    }
    with pytest.raises(SettingsError) as caught:
        connect(name, {"GROQ_KEY": " "}, tmp_path, providers)
    assert message in caught.value.message
    assert hint in caught.value.hint


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "schlüssel"])
def test_what_is_no_key_is_not_repeated(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY") as caught:
        connect("openai/x", {"OPENAI_API_KEY": key}, tmp_path)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind", "maker"),
    [
        ("anthropic/a", "AnthropicModel", "anthropic"),
        ("openai/a/b", "ResponsesModel", "openai"),
        ("local/a:7b", "ChatCompletionsModel", "local"),
        ("azure/a", "ResponsesModel", "azure"),
    ],
)
async def test_adapters(tmp_path: Path, name: str, kind: str, maker: str) -> None:
    providers = {
        "local": Provider(kind="openai", base_url="http://127.0.0.1:11434/v1"),
        "azure": Provider(kind="openai", base_url="https://azure.example/v1", style="responses"),
    }
    model = connect(name, {"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, tmp_path, providers)
    assert (type(model).__name__, model.name, model.maker) == (kind, name, maker)
    await model.close()


async def test_another_address_of_openai_is_asked_for_chat(tmp_path: Path) -> None:
    model = connect("openai/x", {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:1/v1"}, tmp_path)
    assert type(model).__name__ == "ChatCompletionsModel"
    await model.close()


def test_sdks_are_loaded_only_when_used() -> None:
    look = """
import sys
from pathlib import Path
from roles.models import prices, port
from roles.models.connect import connect
heavy = {"anthropic", "openai", "httpx2"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
connect("anthropic/x", {"ANTHROPIC_API_KEY": "k"}, Path())
assert "openai" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", look], check=True, cwd=Path(__file__).parents[2])


async def test_a_script_goes_on_where_the_conversation_is(tmp_path: Path) -> None:
    model = connect("scripted/script.yaml", {}, script(tmp_path, GOOD))
    assert (model.name, model.maker) == ("scripted/script.yaml", "scripted")
    first = await model.reply(asking("Begin."), Meter(asking("Begin.")))
    assert (first.text, first.stop, first.calls[0].name) == ("I look.", "tools", "read_file")
    assert first.usage.estimated
    again = connect("scripted/script.yaml", {}, tmp_path)
    request = asking("Begin.", "I look.", ToolResult("call_1_1", "def a(): ..."))
    second = await again.reply(request, meter := Meter(request))
    assert (second.text, second.stop) == ("Done.", "end")
    assert second.usage == meter.usage == Usage(input=10, output=2)


async def test_a_script_says_when_it_does_not_fit(tmp_path: Path) -> None:
    model = connect("scripted/script.yaml", {}, script(tmp_path, GOOD))
    other = asking("Begin.", "I look.", "something else")
    with pytest.raises(ModelRejected, match='reply 2 is for a message with "def a"'):
        await model.reply(other, Meter(other))
    ended = asking("a", "b", "c", "d", "e")
    with pytest.raises(ModelRejected, match="ends after 2 replies, and reply 3 is wanted"):
        await model.reply(ended, Meter(ended))


async def test_a_script_keeps_the_deadline(tmp_path: Path) -> None:
    model = connect("scripted/script.yaml", {}, script(tmp_path, "- {text: late, delay: 60}"))
    request = asking("Begin.", timeout=0.05)
    with pytest.raises(ModelUnavailable, match="delay of 60 s"):
        await model.reply(request, Meter(request))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file: Input should be a valid list"),
        ("[]", "has no replies"),
        ("{text: a}", "conversations: Field required"),
        ("conversations: [{when: x, replies: []}]", "conversations.0.replies"),
        ("- {}", "reply 1: Value error, a reply needs text or calls"),
        ("- {text: a}\n- {txt: b}", "reply 2.txt: Extra inputs"),
        ("- {text: 7}", "reply 1.text: Input should be a valid string"),
        ("- {calls: [{name: ''}]}", "reply 1.calls.0.name"),
        ("- {text: a, delay: -1}", "reply 1.delay"),
        ("- {text: a, usage: {input: -1}}", "reply 1.usage.input"),
        ("- {text: a", "no YAML"),
        ("- !!python/object:os.system {}", "no YAML"),
        ("- text: a\n- {", "no YAML in line 2"),
        ("- &a {text: a}\n- *a", "aliases are not allowed"),
        ("- {calls: [{name: x, arguments: {at: 2026-01-01}}]}", "reply 1.calls.0.arguments.at"),
        ("- {calls: [{name: x, arguments: {1: 2}}]}", "reply 1.calls.0.arguments"),
        ("- {text: '" + "x" * (1 << 20) + "'}", "at most 1 MiB"),
        ("\x00", "no YAML"),
        ("[" * 2000, "no YAML"),
    ],
)
def test_scripts_that_are_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SettingsError, match=r"script\.yaml") as caught:
        connect("scripted/script.yaml", {}, script(tmp_path, text))
    assert message in caught.value.message


def test_a_script_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="No such file"):
        connect("scripted/nowhere.yaml", {}, tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="it is no text"):
        connect("scripted/binary.yaml", {}, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SettingsError, match="no file"):
        connect("scripted/pipe", {}, tmp_path)


@pytest.mark.parametrize("name", ["../secret.yaml", "//etc/passwd", "link.yaml", "a/../../secret.yaml"])
def test_a_script_opens_no_other_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.yaml").write_text("- {text: hush}")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    with pytest.raises(SettingsError, match="outside"):
        connect(f"scripted/{name}", {}, inside)


WATCHED = """
import asyncio, sys, threading
from pathlib import Path
from orchestrator.agents.models import Models
from roles.role import DUTIES

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in ("anthropic", "openai"):
            print(name, threading.current_thread() is threading.main_thread())

async def use():
    models = Models({"ANTHROPIC_API_KEY": "k", "OPENAI_API_KEY": "k"}, {}, ["anthropic/a", "openai/o"])
    await models.load(DUTIES["work"], {})
    models.chain(DUTIES["work"], {}, Path())
    await models.close()

sys.meta_path.insert(0, Watch())
asyncio.run(use())
"""


def test_makers_libraries_are_loaded_beside_the_event_loop() -> None:
    """On a busy machine that takes longer than a lease lasts."""
    told = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, check=True).stdout
    assert sorted(told.splitlines()) == ["anthropic False", "openai False"]


async def test_scripts_of_two_directories_are_two_whatever_their_provider_is_called(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    models = Models({}, {"fake": Provider(kind="scripted")})
    one, other = (
        models.chain(DUTIES["work"], {"default": ["fake/script.yaml"]}, script(tmp_path / name, GOOD))[0]
        for name in ("one", "other")
    )
    assert one is not other
    assert models.chain(DUTIES["work"], {"default": ["fake/script.yaml"]}, tmp_path / "one")[0] is one
    await models.close()
