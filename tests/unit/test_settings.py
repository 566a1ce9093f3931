"""Settings: what wins over what, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.settings import load_settings
from roles.models.connect import PROVIDERS, Provider, connect
from state.errors import SettingsError


def write(home: Path, text: str) -> dict[str, str]:
    (home / "atlas.toml").write_text(text)
    return {"ATLAS_HOME": str(home)}


def test_defaults(tmp_path: Path) -> None:
    settings = load_settings({"ATLAS_HOME": str(tmp_path)})
    assert settings.home == tmp_path
    assert settings.database_url == f"sqlite:///{tmp_path}/atlas.db"
    assert settings.store_url == f"file://{tmp_path}/artifacts"
    assert (settings.broker_url, settings.sandbox, settings.allow_host) == (None, "auto", False)
    assert (settings.secrets_allow, settings.secrets_directory) == ((), None)
    assert (settings.log_level, settings.log_format) == ("info", "human")


def test_the_home_is_the_platforms_when_none_is_named() -> None:
    settings = load_settings({})
    assert settings.home.is_absolute()
    assert settings.home.name == "atlas"


EVERYTHING = """
database_url = "postgresql://u:hunter2@db/atlas"
broker_url = "amqp://u:hunter2@mq/"
store_url = "s3://bucket/atlas/"
sandbox = "docker"
allow_host = true
[secrets]
allow = ["TOKEN", "OTHER"]
directory = "/run/secrets"
[worker]
concurrency = 16
labels = ["gpu"]
cpus = 1.5
memory = "2g"
grace = "1h30m"
[cache]
bytes = "5g"
[s3]
endpoint = "http://minio:9000"
region = "eu-west-1"
[docker]
network = "atlas"
image = "python:3.12-slim"
[log]
level = "debug"
format = "json"
"""


@pytest.mark.parametrize("home", ["/", "/tmp", "/tmp/../var/tmp", str(Path.home().parent)])
def test_the_home_is_no_place_of_all(home: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings({"ATLAS_HOME": home})
    assert home in str(refused.value)
    assert "of Atlas's own" in str(refused.value)


def test_a_file_with_everything(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, EVERYTHING))
    assert settings.database_url == "postgresql://u:hunter2@db/atlas"
    assert (settings.store_url, settings.sandbox, settings.allow_host) == ("s3://bucket/atlas/", "docker", True)
    assert (settings.secrets_allow, settings.secrets_directory) == (("TOKEN", "OTHER"), Path("/run/secrets"))
    assert (settings.worker_concurrency, settings.worker_labels, settings.cache_bytes) == (16, ("gpu",), 5 << 30)
    assert (settings.worker_cpus, settings.worker_memory, settings.worker_grace) == (1.5, 2 << 30, 5400.0)
    assert (settings.s3_endpoint, settings.s3_region) == ("http://minio:9000", "eu-west-1")
    assert (settings.docker_network, settings.docker_image) == ("atlas", "python:3.12-slim")
    assert (settings.log_level, settings.log_format) == ("debug", "json")
    assert "hunter2" not in repr(settings)


def test_variables_win_over_the_file(tmp_path: Path) -> None:
    environ = write(tmp_path, EVERYTHING) | {
        "ATLAS_DATABASE_URL": "sqlite:////srv/a.db",
        "ATLAS_WORKER_CONCURRENCY": "2",
        "ATLAS_WORKER_CPUS": "0.5",
        "ATLAS_WORKER_MEMORY": "8388608",
        "ATLAS_WORKER_GRACE": "90",
        "ATLAS_ALLOW_HOST": "no",
        "ATLAS_SECRETS_ALLOW": "A, B,",
        "ATLAS_CACHE_BYTES": "1048576",
        "ATLAS_LOG_LEVEL": "",
        "ATLAS_TOKEN": "x",
        "ATLAS_FAILPOINTS": "",
        "ATLAS_PUBLIC_KEY": "of another program",
    }
    settings = load_settings(environ)
    assert settings.database_url == "sqlite:////srv/a.db"
    assert (settings.worker_concurrency, settings.allow_host, settings.cache_bytes) == (2, False, 1 << 20)
    assert (settings.worker_cpus, settings.worker_memory, settings.worker_grace) == (0.5, 8 << 20, 90.0)
    assert (settings.secrets_allow, settings.log_level) == (("A", "B"), "debug")


def test_the_named_file_is_read_instead(tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text('[log]\nlevel = "error"\n')
    environ = write(tmp_path, 'sandbox = "docker"\n') | {"ATLAS_CONFIG": str(other)}
    settings = load_settings(environ)
    assert (settings.sandbox, settings.log_level) == ("auto", "error")
    with pytest.raises(SettingsError, match="does not exist"):
        load_settings({"ATLAS_HOME": str(tmp_path), "ATLAS_CONFIG": str(tmp_path / "no.toml")})


def test_the_current_directory_sets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "atlas.toml").write_text("allow_host = true\n")
    monkeypatch.chdir(tmp_path)
    assert not load_settings({"ATLAS_HOME": str(tmp_path / "home")}).allow_host


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('databse_url = "x"', "databse_url: unknown key", 'Did you mean "database_url"?'),
        ("[secrets]\nalow = []", "secrets.alow: unknown key", 'Did you mean "secrets.allow"?'),
        ("secrets = 5", "secrets: must be a section, as in [secrets]", ""),
        ("[databse]\nurl = 1", "databse: unknown key", ""),
        ("database_url = 5", "database_url: must be text", "Correct"),
        (
            'database_url = "mysql://u:hunter2@h"',
            "database_url: must begin with sqlite:/// or postgresql://",
            "Correct",
        ),
        ('broker_url = "redis://u:hunter2@h"', "broker_url: must begin with amqp:// or amqps://", "Correct"),
        ('sandbox = "no"', "sandbox: must be auto, docker or host", "Correct"),
        ('allow_host = "yes"', "allow_host: must be true or false", "Correct"),
        ("allow_host = 1", "allow_host: must be true or false", "Correct"),
        ('[secrets]\nallow = "A"', "secrets.allow: must be a list of texts", "Correct"),
        ('[secrets]\nallow = ["a"]', 'secrets.allow: "a" is not the name of a secret', "Correct"),
        ("[worker]\nconcurrency = 0", "worker.concurrency: must be a whole number from 1 to 1000", "Correct"),
        ("[worker]\nconcurrency = true", "worker.concurrency: must be a whole number", "Correct"),
        ("[worker]\ncpus = 0", "worker.cpus: must be a number from 0.01 to 1024", "Correct"),
        ("[worker]\ncpus = nan", "worker.cpus: must be a number from 0.01 to 1024", "Correct"),
        ('[worker]\ncpus = "2"', "worker.cpus: must be a number from 0.01 to 1024", "Correct"),
        ("[worker]\nmemory = 5", "worker.memory: memory must be between 6m and 1024t", "Correct"),
        ('[cache]\nbytes = "lots"', "cache.bytes: must be a size such as 512m or 2g", "Correct"),
        ("[cache]\nbytes = 5", "cache.bytes: must be at least 1m", "Correct"),
        ('[log]\nformat = "xml"', "log.format: must be human or json", "Correct"),
        ("a = [", "atlas.toml: Invalid value", "toml.io"),
        ("a = " + "[" * 100_000, "atlas.toml: ", "toml.io"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text))
    assert message in caught.value.message
    assert "atlas.toml" in caught.value.message
    assert hint in caught.value.hint
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("ATLAS_DATABSE_URL", "x", "ATLAS_DATABSE_URL: unknown variable"),
        ("ATLAS_DATABASE_URL", "hunter2", "ATLAS_DATABASE_URL: must begin with sqlite:/// or postgresql://"),
        ("ATLAS_ALLOW_HOST", "maybe", "ATLAS_ALLOW_HOST: must be true or false"),
        ("ATLAS_WORKER_CONCURRENCY", "many", "ATLAS_WORKER_CONCURRENCY: must be a whole number"),
        ("ATLAS_WORKER_CONCURRENCY", "²", "ATLAS_WORKER_CONCURRENCY: must be a whole number"),
        ("ATLAS_WORKER_CPUS", "inf", "ATLAS_WORKER_CPUS: must be a number from 0.01 to 1024"),
        ("ATLAS_WORKER_CPUS", "some", "ATLAS_WORKER_CPUS: must be a number from 0.01 to 1024"),
        ("ATLAS_SANDBOX", "none", "ATLAS_SANDBOX: must be auto, docker or host"),
    ],
)
def test_wrong_variables_are_refused(tmp_path: Path, name: str, value: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"ATLAS_HOME": str(tmp_path), name: value})
    assert message in caught.value.message
    assert caught.value.hint
    assert "hunter2" not in str(caught.value)


def test_reading_settings_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom orchestrator.settings import load_settings\nload_settings({'ATLAS_HOME': '/nowhere'})\n"
        "assert not {'pydantic', 'yaml', 'sqlalchemy', 'orchestrator.plan.document'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_providers_of_models(tmp_path: Path) -> None:
    environ = write(
        tmp_path,
        """
[providers.local]
kind = "openai"
base_url = "http://127.0.0.1:11434/v1"
[providers.openai]
concurrency = 3
[providers.groq]
kind = "openai"
base_url = "https://api.example/v1"
key_variable = "GROQ_API_KEY"
style = "chat"
""",
    )
    providers = load_settings(environ).providers
    assert providers["openai"] == replace(PROVIDERS["openai"], concurrency=3)
    assert providers["local"] == Provider(kind="openai", base_url="http://127.0.0.1:11434/v1")
    assert providers["groq"].key_variable == "GROQ_API_KEY"
    assert connect("local/some-model", {}, tmp_path, providers).name == "local/some-model"
    with pytest.raises(SettingsError, match="GROQ_API_KEY"):
        connect("groq/some-model", {}, tmp_path, providers)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("providers = 1", "providers: must be a section"),
        ("[providers.local]\nconcurrency = 2", "providers.local.kind: is missing"),
        ("[providers.openai]\nconcurrency = 0", "providers.openai.concurrency: must be a whole number from 1 to 1000"),
        ("[providers.openai]\nconcurrency = true", "providers.openai.concurrency: must be a whole number"),
        ("[providers]\nlocal = 1", "providers.local: must be a section"),
        ("[providers.local]\nbase_url = 'x'", "providers.local.kind: is missing"),
        ("[providers.local]\nkind = 'llama'", "providers.local.kind: must be one of anthropic, openai"),
        ("[providers.local]\nkind = 'openai'\nbase = 'x'", 'Did you mean "base_url"'),
        ("[providers.local]\nkind = 'openai'\nbase_url = 1", "providers.local.base_url: must be text"),
        ("[providers.'Ä b']\nkind = 'openai'", "is no name"),
    ],
)
def test_a_wrong_provider_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(write(tmp_path, text))
    assert words in str(caught.value)
    assert "atlas.toml" in str(caught.value)
