"""How this installation is set up: defaults, then one atlas.toml, then ATLAS_* variables; the later wins. Each of the
variables may be given as a file instead, by ``_FILE`` after its name (see `secret_files`).

The file is the one `ATLAS_CONFIG` names, else ``atlas.toml`` in `ATLAS_HOME`. There is none in the current directory: a
checkout that someone else wrote must not set up this program. `home` itself comes from the environment only.

Light on purpose: every start of the command line reads this.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from orchestrator.secret_files import SUFFIX, with_files
from state.errors import SettingsError
from state.limits import CONCURRENCY, GB

if TYPE_CHECKING:
    from orchestrator.sinks.webhook import Webhook
    from roles.models.connect import Provider

SandboxPolicy = Literal["auto", "docker", "host"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["human", "json"]

_MINIMUM_CACHE = 1 << 20
_NEAR = 0.9
_MOST_CORES = 1024
_TOKEN = "ATLAS_TOKEN"  # noqa: S105 - a variable's name
_FOREIGN = frozenset(("ATLAS_HOME", "ATLAS_CONFIG", _TOKEN, _TOKEN + SUFFIX, "ATLAS_FAILPOINTS"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `load_settings` found. URLs may carry passwords and are left out of the repr.

    `sandbox` is what a plan's ``auto`` means here; `allow_host` lets commands that no person wrote run on the host;
    `containers_only` lets none, whoever asks.
    `broker_url` None: wake-ups stay in this process. `cache_bytes` bounds the cache of inputs.
    """

    home: Path
    database_url: str = field(repr=False)
    broker_url: str | None = field(default=None, repr=False)
    store_url: str
    sandbox: SandboxPolicy = "auto"
    allow_host: bool = False
    containers_only: bool = False
    secrets_allow: tuple[str, ...] = ()
    secrets_directory: Path | None = None
    worker_concurrency: int = 4
    worker_labels: tuple[str, ...] = ()
    worker_cpus: float | None = None
    worker_memory: int | None = None
    """Cores, and bytes, that this worker's TODOs may ask for together; None: all that this machine has."""
    worker_grace: float = 30.0
    """Seconds that what runs has to end when `atlas worker` is told to stop; then it is given back."""
    worker_health: str | None = None
    worker_intake: bool = True
    """Whether `atlas worker` takes task documents from the broker's intake queue."""
    intake_remotes: tuple[str, ...] = ("s3://",)
    """What those may name: beginnings of URLs."""
    serve_repositories: tuple[str, ...] = ()
    """What callers of `atlas serve` may name as repositories: directories, what is below them, and URLs."""
    serve_remotes: tuple[str, ...] = ("s3://",)
    """What those of them that do not count as persons may name as inputs and outputs."""
    voice_ice_servers: tuple[str, ...] = ()
    """STUN and TURN servers of voice calls; none by default."""
    voice_plans: Mapping[str, Path] = field(default_factory=dict[str, Path])
    """Plan files by the names under which they may be started by voice."""
    cache_bytes: int = 20 * GB
    s3_endpoint: str | None = None
    s3_region: str | None = None
    docker_network: str | None = None
    docker_image: str | None = None
    log_level: LogLevel = "info"
    log_format: LogFormat = "human"
    models: tuple[str, ...] = ()
    """The chain of roles for which a plan names none."""
    providers: Mapping[str, Provider] = field(default_factory=dict[str, "Provider"])
    """Of models, besides those that need no settings."""
    webhooks: Mapping[str, Webhook] = field(default_factory=dict[str, "Webhook"])


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read the settings for this environment. Raises `SettingsError` naming the file or variable and the key."""
    home = _home(environ)
    found: dict[str, object] = {}
    config = environ.get("ATLAS_CONFIG")
    path = Path(config).expanduser() if config else home / "atlas.toml"
    if config or path.exists():
        found.update(_from_file(path, environ))
    found.update(_from_environment(environ))
    defaults = {"database_url": f"sqlite:///{home}/atlas.db", "store_url": f"file://{home}/artifacts"}
    return Settings(**cast(dict[str, Any], {"home": home, **defaults, **found}))


def read_token(environ: Mapping[str, str]) -> str | None:
    """What callers of this installation's servers have to know, if the environment says so."""
    return with_files(environ, (_TOKEN,)).get(_TOKEN) or None


def _home(environ: Mapping[str, str]) -> Path:
    if named := environ.get("ATLAS_HOME"):
        if any(not character.isprintable() for character in named):
            raise SettingsError("ATLAS_HOME has control characters in it", "Name a directory.")
        return Path(named).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_data_dir("atlas", appauthor=False)).absolute()


def _from_file(path: Path, environ: Mapping[str, str]) -> dict[str, object]:
    import tomllib

    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path} does not exist", "ATLAS_CONFIG must name an existing file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} cannot be read: {error}", "Check the file and its permissions.") from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"{path}: {error}", "See https://toml.io for how to write it.") from None
    found: dict[str, object] = {}
    for key, value in tree.items():
        if key == "providers":
            from orchestrator.provider_settings import read_providers

            found["providers"] = read_providers(str(path), value)
        elif key == "webhooks":
            from orchestrator.webhook_settings import read_webhooks

            found["webhooks"] = read_webhooks(str(path), value, environ)
        elif key in _SECTIONS and isinstance(value, dict):
            for inner, item in cast(dict[str, object], value).items():
                found |= _checked(str(path), f"{key}.{inner}", item)
        else:
            found |= _checked(str(path), key, value)
    return found


def _checked(where: str, key: str, value: object) -> dict[str, object]:
    if key not in _KEYS:
        known = get_close_matches(key, [*_KEYS, *_SECTIONS], n=1)
        expected = "must be a section, as in [" + key + "]" if key in _SECTIONS else "unknown key"
        raise SettingsError(f"{where}: {key}: {expected}", f'Did you mean "{known[0]}"?' if known else "")
    name, check = _KEYS[key]
    try:
        return {name: check(value)}
    except ValueError as error:
        raise SettingsError(f"{where}: {key}: {error}", f"Correct {key} in {where}.") from None


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    found: dict[str, object] = {}
    variables = {"ATLAS_" + key.replace(".", "_").upper(): key for key in _KEYS}
    files = {variable + SUFFIX for variable in variables}
    for variable, value in with_files(environ, variables).items():
        if variable in variables:
            if value == "":
                continue  # how shells and compose files say "not set"
            name, check = _KEYS[variables[variable]]
            try:
                found[name] = check(_spelled(value, check))
            except ValueError as error:
                raise SettingsError(f"{variable}: {error}", f"Correct or unset {variable}.") from None
        elif variable.startswith("ATLAS_") and variable not in _FOREIGN | files:
            _refuse_near_miss(variable, {*variables, *files})
    return found


def _refuse_near_miss(variable: str, known: Collection[str]) -> None:
    """Other programs have variables of this prefix; only what is nearly one of ours is a mistake for certain."""
    if near := get_close_matches(variable, known, n=1, cutoff=_NEAR):
        raise SettingsError(f"{variable}: unknown variable", f"Did you mean {near[0]}?")


def _spelled(value: str, check: Callable[[object], object]) -> object:
    """The value of a variable as the file would spell it."""
    if check in (_names, _labels, _models, _prefixes, _places, _ice_servers):
        return [item.strip() for item in value.split(",") if item.strip()]
    if check is _flag:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(value.lower(), value)
    if check in (_cores, _duration):
        with suppress(ValueError):
            return float(value)
    if check in (_concurrency, _size, _memory) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be text")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _concurrency(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= CONCURRENCY:
        raise ValueError(f"must be a whole number from 1 to {CONCURRENCY}")
    return value


def _size(value: object) -> int:
    from orchestrator.plan.values import byte_size

    if (size := byte_size(value)) < _MINIMUM_CACHE:
        raise ValueError("must be at least 1m")
    return size


def _cores(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0.01 <= value <= _MOST_CORES:
        raise ValueError(f"must be a number from 0.01 to {_MOST_CORES}")
    return float(value)


def _memory(value: object) -> int:
    from orchestrator.plan.values import memory

    return memory(value)


def _duration(value: object) -> float:
    from orchestrator.plan.values import duration

    return duration(value)


def _one_of(*words: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        if value not in words:
            raise ValueError(f"must be {', '.join(words[:-1])} or {words[-1]}")
        return str(value)

    return check


def _url(*schemes: str) -> Callable[[object], str]:
    def check(value: object) -> str:
        # The value may hold a password: it is not repeated.
        if not _text(value).startswith(tuple(f"{scheme}://" for scheme in schemes)):
            raise ValueError(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)}")
        return str(value)

    return check


def _database(value: object) -> str:
    scheme = _text(value).partition("://")[0]
    if "://" not in str(value) or scheme.partition("+")[0] not in ("sqlite", "postgresql", "postgres"):
        raise ValueError("must begin with sqlite:/// or postgresql://")
    return str(value)


def _directory(value: object) -> Path:
    return Path(_text(value)).expanduser().absolute()


def _texts(value: object, check: Callable[[object], str]) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("must be a list of texts")
    return tuple(check(item) for item in cast(list[object], value))


def _names(value: object) -> tuple[str, ...]:
    from orchestrator.plan.values import secret_name

    return _texts(value, secret_name)


def _labels(value: object) -> tuple[str, ...]:
    from orchestrator.plan.values import key

    return _texts(value, key)


def _prefixes(value: object) -> tuple[str, ...]:
    def prefix(item: object) -> str:
        text = _text(item)
        if not text.startswith(("s3://", "file:///")) or not text.endswith("/"):
            raise ValueError(f"{text} must begin with s3:// or file:///, and end with a slash")
        return text

    return _texts(value, prefix)


def _places(value: object) -> tuple[str, ...]:
    def place(item: object) -> str:
        text = _text(item)
        if not text.startswith("/") and "://" not in text and "@" not in text:
            raise ValueError(f"{text} must be an absolute path, or the beginning of a URL")
        return text

    return _texts(value, place)


def _ice_servers(value: object) -> tuple[str, ...]:
    def server(item: object) -> str:
        text = _text(item)
        if not text.startswith(("stun:", "stuns:", "turn:", "turns:")):
            raise ValueError(f"{text} must begin with stun: or turn:")
        return text

    return _texts(value, server)


def _plans(value: object) -> Mapping[str, Path]:
    if not isinstance(value, dict):
        raise ValueError('must be a table of plan files, such as {nightly = "/srv/plans/nightly.yaml"}')
    found = {str(name): Path(_text(path)).expanduser() for name, path in cast(dict[object, object], value).items()}
    for name, path in found.items():
        if not name.strip() or not path.is_absolute():
            raise ValueError(f"{name or 'a plan without a name'}: {path} must be an absolute path")
    return found


def _models(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError('must be a list of models, such as ["anthropic/claude-sonnet-5-5"]')
    names = cast(list[object], value)
    for name in names:
        if not isinstance(name, str) or "/" not in name.strip("/"):
            raise ValueError(f"{name!r} is no model; models are named provider/model")
    return tuple(cast(list[str], names))


_KEYS: dict[str, tuple[str, Callable[[object], object]]] = {
    "database_url": ("database_url", _database),
    "broker_url": ("broker_url", _url("amqp", "amqps")),
    "store_url": ("store_url", _url("file", "s3")),
    "sandbox": ("sandbox", _one_of("auto", "docker", "host")),
    "allow_host": ("allow_host", _flag),
    "containers_only": ("containers_only", _flag),
    "secrets.allow": ("secrets_allow", _names),
    "secrets.directory": ("secrets_directory", _directory),
    "worker.concurrency": ("worker_concurrency", _concurrency),
    "worker.labels": ("worker_labels", _labels),
    "worker.cpus": ("worker_cpus", _cores),
    "worker.memory": ("worker_memory", _memory),
    "worker.grace": ("worker_grace", _duration),
    "worker.health": ("worker_health", _text),
    "worker.intake": ("worker_intake", _flag),
    "intake.remotes": ("intake_remotes", _prefixes),
    "serve.repositories": ("serve_repositories", _places),
    "serve.remotes": ("serve_remotes", _prefixes),
    "voice.ice_servers": ("voice_ice_servers", _ice_servers),
    "voice.plans": ("voice_plans", _plans),
    "cache.bytes": ("cache_bytes", _size),
    "s3.endpoint": ("s3_endpoint", _url("http", "https")),
    "s3.region": ("s3_region", _text),
    "docker.network": ("docker_network", _text),
    "docker.image": ("docker_image", _text),
    "models": ("models", _models),
    "log.level": ("log_level", _one_of("debug", "info", "warning", "error")),
    "log.format": ("log_format", _one_of("human", "json")),
}
"""Key in the file to the field and what checks it; the variable is ATLAS_ and the key in capitals."""
_SECTIONS = frozenset(key.partition(".")[0] for key in _KEYS if "." in key)
