"""From ``provider/model`` to a model. Makers' SDKs are loaded here when one is used, and not before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Literal

from roles.models.port import ChatModel
from state.errors import SettingsError

Kind = Literal["anthropic", "openai", "scripted"]
Style = Literal["chat", "responses"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """Who answers, and how to ask. `kind`: whose language it speaks. `key_variable`: where its key is; None: it needs
    none. `style`, of OpenAI's: Responses for OpenAI itself unless said otherwise, else chat completions. `concurrency`:
    calls that one process makes at a time; None: as many as it has to make."""

    kind: Kind
    base_url: str | None = None
    key_variable: str | None = None
    token_variable: str | None = None
    style: Style | None = None
    concurrency: int | None = None


PROVIDERS: Mapping[str, Provider] = {
    "anthropic": Provider(
        kind="anthropic",
        key_variable="ANTHROPIC_API_KEY",
        token_variable="ANTHROPIC_AUTH_TOKEN",  # noqa: S106 - a variable's name
    ),
    "openai": Provider(kind="openai", key_variable="OPENAI_API_KEY"),
    "scripted": Provider(kind="scripted"),
}
"""Those that need no settings."""


def load(names: Iterable[str], providers: Mapping[str, Provider]) -> None:
    """Import what these models need. Blocks for a second, or on a busy machine for many: not for an event loop."""
    for kind in {found.kind for name in names if (found := providers.get(name.partition("/")[0]))}:
        import_module("roles.models.scripted" if kind == "scripted" else kind)


def connect(
    name: str, environ: Mapping[str, str], directory: Path, providers: Mapping[str, Provider] | None = None
) -> ChatModel:
    """The model of this name. `providers` adds to `PROVIDERS` or replaces some; keys are in `environ`; scripts are
    looked for in `directory`. `SettingsError` says what is missing, and where."""
    known = {**PROVIDERS, **(providers or {})}
    label, slash, model = name.partition("/")
    if not slash or not label or not model.strip():
        raise SettingsError(f'"{name}" is no model', "Models are named provider/model.")
    provider = known.get(label)
    if provider is None:
        near = get_close_matches(label, known, n=1)
        hint = f'Did you mean "{near[0]}"?' if near else f"Add [providers.{label}] to atlas.toml."
        raise SettingsError(f'{name}: there is no provider "{label}"', hint)
    match provider.kind:
        case "scripted":
            from roles.models.scripted import ScriptedModel

            return ScriptedModel(label, model, directory)
        case "anthropic":
            return _anthropic(label, model, provider, environ)
        case "openai":
            return _openai(label, model, provider, environ)


def _anthropic(label: str, model: str, provider: Provider, environ: Mapping[str, str]) -> ChatModel:
    from roles.models.anthropic import AnthropicModel

    key = _key(environ, provider.key_variable)
    token = None if key else _key(environ, provider.token_variable)
    variable = provider.token_variable if token else provider.key_variable
    if not key and not token and (provider.key_variable or provider.token_variable):
        raise _missing(label, model, provider)
    base_url = provider.base_url or (environ.get("ANTHROPIC_BASE_URL") or None if label == "anthropic" else None)
    return AnthropicModel(
        label, model, key=key or (None if token else "none"), token=token, key_variable=variable or "",
        base_url=base_url,
    )  # fmt: skip


def _openai(label: str, model: str, provider: Provider, environ: Mapping[str, str]) -> ChatModel:
    key = _key(environ, provider.key_variable)
    if not key and provider.key_variable:
        raise _missing(label, model, provider)
    base_url = provider.base_url or (environ.get("OPENAI_BASE_URL") or None if label == "openai" else None)
    variable = provider.key_variable or ""
    if base_url is None and label != "openai":
        raise SettingsError(f"providers.{label} has no base_url", f"Give [providers.{label}] a base_url.")
    if (provider.style or ("chat" if base_url else "responses")) == "responses":
        from roles.models.openai_responses import ResponsesModel

        return ResponsesModel(label, model, key=key, key_variable=variable, base_url=base_url)
    from roles.models.openai_chat import ChatCompletionsModel

    return ChatCompletionsModel(
        label, model, key=key, key_variable=variable, base_url=base_url, openai=base_url is None
    )


def _key(environ: Mapping[str, str], variable: str | None) -> str | None:
    key = environ.get(variable, "").strip() if variable else ""
    if not all("!" <= character <= "~" for character in key):
        raise SettingsError(
            f"{variable} holds no key: keys have no spaces or other such characters", f"Set {variable}."
        )
    return key or None


def _missing(label: str, model: str, provider: Provider) -> SettingsError:
    variables = [each for each in (provider.key_variable, provider.token_variable) if each]
    return SettingsError(
        f"{label}/{model} needs a key, and {' or '.join(variables)} is not set",
        f"Set {variables[0]} for the worker, or use a model of another provider.",
    )
