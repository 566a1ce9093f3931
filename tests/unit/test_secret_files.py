"""Secrets in files: where a value may come from, and what is said when it can't."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.agents.models import Models
from orchestrator.secret_files import with_files
from orchestrator.settings import load_settings, read_token
from roles.models.connect import Provider
from roles.role import DUTIES
from state.errors import SettingsError

URL = "postgresql://atlas:hunter2@db/atlas"


def secret(tmp_path: Path, content: str | bytes = f"  {URL}\n") -> str:
    path = tmp_path / "secret"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def test_every_setting_may_be_a_file(tmp_path: Path) -> None:
    home = {"ATLAS_HOME": str(tmp_path)}
    settings = load_settings(home | {"ATLAS_DATABASE_URL_FILE": secret(tmp_path)})
    assert settings.database_url == URL
    settings = load_settings(home | {"ATLAS_BROKER_URL_FILE": secret(tmp_path, "amqp://u:hunter2@mq/\r\n")})
    assert settings.broker_url == "amqp://u:hunter2@mq/"
    settings = load_settings(home | {"ATLAS_WORKER_CONCURRENCY_FILE": secret(tmp_path, "7\n")})
    assert settings.worker_concurrency == 7


def test_a_file_wins_over_atlas_toml_and_an_empty_name_is_none(tmp_path: Path) -> None:
    (tmp_path / "atlas.toml").write_text('broker_url = "amqp://elsewhere/"\n')
    environ = {"ATLAS_HOME": str(tmp_path), "ATLAS_DATABASE_URL_FILE": "", "ATLAS_DATABASE_URL": URL}
    settings = load_settings(environ | {"ATLAS_BROKER_URL_FILE": secret(tmp_path, "amqp://mq/")})
    assert (settings.broker_url, settings.database_url) == ("amqp://mq/", URL)
    settings = load_settings(environ | {"ATLAS_DATABASE_URL": "", "ATLAS_DATABASE_URL_FILE": secret(tmp_path)})
    assert settings.database_url == URL


def test_both_is_a_mistake_that_names_them(tmp_path: Path) -> None:
    environ = {"ATLAS_HOME": str(tmp_path), "ATLAS_DATABASE_URL": URL, "ATLAS_DATABASE_URL_FILE": secret(tmp_path)}
    with pytest.raises(SettingsError, match="ATLAS_DATABASE_URL and ATLAS_DATABASE_URL_FILE are both set") as caught:
        load_settings(environ)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"sqlite:////a\nhunter2", "holds more than one line of text"),
        (b"hunter2" * 10_000, "is too long"),
        (b"hunter2\xff", "it is not text"),
        (b"hunter2", "ATLAS_DATABASE_URL: must begin with sqlite:/// or postgresql://"),
    ],
)
def test_what_a_file_may_not_hold(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"ATLAS_HOME": str(tmp_path), "ATLAS_DATABASE_URL_FILE": secret(tmp_path, content)})
    assert words in caught.value.message
    assert "hunter2" not in str(caught.value)


def test_an_unreadable_file_is_named_with_its_variable(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SettingsError) as caught:
            load_settings({"ATLAS_HOME": str(tmp_path), "ATLAS_BROKER_URL_FILE": str(path)})
        assert f"ATLAS_BROKER_URL_FILE: cannot read {path}: " in caught.value.message
        assert caught.value.hint


def test_a_slip_of_the_pen_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="Did you mean ATLAS_DATABASE_URL_FILE"):
        load_settings({"ATLAS_HOME": str(tmp_path), "ATLAS_DATABSE_URL_FILE": secret(tmp_path)})


def test_the_token(tmp_path: Path) -> None:
    environ = {"ATLAS_HOME": str(tmp_path), "ATLAS_TOKEN_FILE": secret(tmp_path, "hunter2\n")}
    load_settings(environ)
    assert read_token(environ) == "hunter2"
    assert read_token({"ATLAS_TOKEN": "x"}) == "x"
    assert read_token({"ATLAS_TOKEN": ""}) is None
    with pytest.raises(SettingsError, match="ATLAS_TOKEN and ATLAS_TOKEN_FILE"):
        read_token(environ | {"ATLAS_TOKEN": "x"})


def test_keys_of_models(tmp_path: Path) -> None:
    providers = {"own": Provider(kind="openai", base_url="http://127.0.0.1:1/v1", key_variable="OWN_KEY")}
    path = secret(tmp_path, "sk-hunter2\n")
    for variable, name in (("OWN_KEY_FILE", "own/model"), ("ANTHROPIC_API_KEY_FILE", "anthropic/model")):
        with pytest.raises(SettingsError, match="needs a key"):
            Models({}, providers).chain(DUTIES["work"], {"default": [name]}, tmp_path)
        chain = Models({variable: path}, providers).chain(DUTIES["work"], {"default": [name]}, tmp_path)
        assert [model.name for model in chain] == [name]


def test_only_what_is_asked_for_is_read(tmp_path: Path) -> None:
    environ = {"OTHER_FILE": str(tmp_path / "none"), "ONE_FILE": secret(tmp_path, "1")}
    assert with_files(environ, ["ONE", "TWO"]) == environ | {"ONE": "1"}
