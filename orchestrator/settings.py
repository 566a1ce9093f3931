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

from orchestrator import setting_checks as checks
from orchestrator.secret_files import SUFFIX, with_files
from state.errors import SettingsError
from state.limits import GB

if TYPE_CHECKING:
    from orchestrator.sinks.webhook import Webhook
    from roles.models.connect import Provider

SandboxPolicy = Literal["auto", "docker", "host"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["human", "json"]

_NEAR = 0.9
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
    """STUN servers of voice calls; none by default."""
    voice_recognition: str = "pocketsphinx"
    voice_speech: str = "espeak-ng"
    voice_wake_word: str = "pocketsphinx"
    """Engines of conversations, each ``engine`` or ``engine/model`` (docs/voice.md)."""
    voice_voice: str = ""
    """Of the engine that speaks, by its name there."""
    voice_models: Path | None = None
    """Where downloaded models of these engines are; None: ``models`` in `home`."""
    voice_urls: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """Of servers of these engines, by engine, where they are not the makers' own."""
    voice_chimes: bool = True
    """Whether short tones tell of the wake word, of interruptions and of errors."""
    voice_repository: str | None = None
    """What goals are about that are spoken: a path or URL, where whoever speaks can name none."""
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
        return _of_its_own(Path(named).expanduser().absolute())
    import platformdirs

    return Path(platformdirs.user_data_dir("atlas", appauthor=False)).absolute()


def _of_its_own(home: Path) -> Path:
    """Atlas makes directories there, with names that others use too (`work`, `git`, `cache`), and tidies up in them."""
    shared = {Path("/"), Path("/tmp"), Path("/var/tmp"), Path.home().parent}  # noqa: S108
    if home.resolve() in {each.resolve() for each in shared}:
        raise SettingsError(f"ATLAS_HOME is {home}", f"Name a directory of Atlas's own, such as {home / 'atlas'}.")
    return home


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
    if check in (checks.secret_names, checks.labels, checks.models, checks.prefixes, checks.places, checks.ice_servers):
        return [item.strip() for item in value.split(",") if item.strip()]
    if check is checks.flag:
        return {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}.get(value.lower(), value)
    if check in (checks.cores, checks.seconds):
        with suppress(ValueError):
            return float(value)
    if (
        check in (checks.concurrency, checks.size, checks.memory_size)
        and value.isascii()
        and value.isdigit()
        and len(value) < 20
    ):
        return int(value)
    return value


_KEYS: dict[str, tuple[str, Callable[[object], object]]] = {
    "database_url": ("database_url", checks.database),
    "broker_url": ("broker_url", checks.url("amqp", "amqps")),
    "store_url": ("store_url", checks.url("file", "s3")),
    "sandbox": ("sandbox", checks.one_of("auto", "docker", "host")),
    "allow_host": ("allow_host", checks.flag),
    "containers_only": ("containers_only", checks.flag),
    "secrets.allow": ("secrets_allow", checks.secret_names),
    "secrets.directory": ("secrets_directory", checks.directory),
    "worker.concurrency": ("worker_concurrency", checks.concurrency),
    "worker.labels": ("worker_labels", checks.labels),
    "worker.cpus": ("worker_cpus", checks.cores),
    "worker.memory": ("worker_memory", checks.memory_size),
    "worker.grace": ("worker_grace", checks.seconds),
    "worker.health": ("worker_health", checks.text),
    "worker.intake": ("worker_intake", checks.flag),
    "intake.remotes": ("intake_remotes", checks.prefixes),
    "serve.repositories": ("serve_repositories", checks.places),
    "serve.remotes": ("serve_remotes", checks.prefixes),
    "voice.ice_servers": ("voice_ice_servers", checks.ice_servers),
    "voice.recognition": ("voice_recognition", checks.text),
    "voice.speech": ("voice_speech", checks.text),
    "voice.wake_word": ("voice_wake_word", checks.text),
    "voice.voice": ("voice_voice", checks.text),
    "voice.models": ("voice_models", checks.directory),
    "voice.urls": ("voice_urls", checks.urls),
    "voice.chimes": ("voice_chimes", checks.flag),
    "voice.repository": ("voice_repository", checks.text),
    "voice.plans": ("voice_plans", checks.plans),
    "cache.bytes": ("cache_bytes", checks.size),
    "s3.endpoint": ("s3_endpoint", checks.url("http", "https")),
    "s3.region": ("s3_region", checks.text),
    "docker.network": ("docker_network", checks.text),
    "docker.image": ("docker_image", checks.text),
    "models": ("models", checks.models),
    "log.level": ("log_level", checks.one_of("debug", "info", "warning", "error")),
    "log.format": ("log_format", checks.one_of("human", "json")),
}
"""Key in the file to the field and what checks it; the variable is ATLAS_ and the key in capitals."""
_WHOLE = (checks.concurrency, checks.size, checks.memory_size)
_SECTIONS = frozenset(key.partition(".")[0] for key in _KEYS if "." in key)
