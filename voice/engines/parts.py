"""What the engines of a conversation have in common: how they are named, set up, and asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pipecat.processors.frame_processor import FrameProcessor

from orchestrator.secret_files import SUFFIX, with_files
from state.errors import EngineUnavailable
from voice.engines.apart import Apart
from voice.intents import Language
from voice.phrase_commands import PhraseCommands
from voice.wake_gate import Spotter


@dataclass(frozen=True, slots=True)
class Wanted:
    """The engines of an installation, each named ``engine`` or ``engine/model``. `voice`: of the one that speaks, by
    its name there; `models`: the directory of what was downloaded; `urls`: of servers, by engine, where they are not
    the makers' own; `environ`: has the keys."""

    recognition: str = "pocketsphinx"
    speech: str = "espeak-ng"
    wake_word: str = "pocketsphinx"
    voice: str = ""
    models: Path = Path("models")
    urls: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    environ: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)


@dataclass(frozen=True, slots=True)
class Setup:
    """Of one engine. `model` and `voice` are empty where its own default is meant; `url` None: the maker's;
    `apart`: the process for those that need one, started when it is first asked."""

    engine: str
    model: str
    voice: str
    models: Path
    url: str | None = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    apart: Apart

    def key(self, variable: str) -> str:
        """What the variable holds, or the file that is named by it with ``_FILE``. `EngineUnavailable`: it is not
        set."""
        if found := with_files(self.environ, (variable,)).get(variable):
            return found
        raise EngineUnavailable(
            f"{self.engine} needs a key, and {variable} is not set",
            f"Set {variable} (or {variable}{SUFFIX}), or choose another engine in [voice] of atlas.toml.",
        )


class Part(Protocol):
    """An engine, shared by all conversations of a process. Making it checks all that can be checked without loading
    anything: `EngineUnavailable` says what is missing, and the remedy."""

    async def ready(self) -> None:
        """What takes a moment is loaded. `EngineUnavailable`."""
        ...

    async def close(self) -> None:
        """What it holds is given back."""
        ...


class Recognition(Part, Protocol):
    """`free_speech`: it understands more than commands. `trust_interim`: what it takes for words while they are spoken
    is mostly right."""

    @property
    def free_speech(self) -> bool: ...

    @property
    def trust_interim(self) -> bool: ...

    def service(self, language: Language, commands: PhraseCommands) -> FrameProcessor:
        """For one conversation."""
        ...


class Speaking(Part, Protocol):
    """What makes speech of text."""

    def service(self, language: Language) -> FrameProcessor:
        """For one conversation."""
        ...


class WakeWords(Part, Protocol):
    """What listens for the wake word."""

    def spotter(self) -> Spotter:
        """For one conversation."""
        ...

    def second(self, commands: PhraseCommands) -> Spotter | None:
        """See `WakeGate`; None: it needs none."""
        ...
