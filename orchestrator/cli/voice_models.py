"""`atlas voice models`: what can be downloaded for local engines, how, and what of it is here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from state.errors import InputError
from voice.engines.catalogue import CATALOGUE
from voice.engines.model_entry import Download, ModelEntry
from voice.engines.model_shelf import SUMS, Shelf, Standing
from voice.intents import Language

_LANGUAGES = {"en": "English", "zh": "Chinese"}
_PURPOSES = {"wake_word": "wake word", "recognition": "recognition", "speech": "speech"}


def show_models(directory: Path, name: str | None, language: Language | None, *, as_lines_of_json: bool) -> int:
    """Print them; 1 if something in the directory is damaged. `InputError`: there is none of this name, or the
    directory can't be read."""
    entries = [named(name)] if name else [each for each in CATALOGUE if not language or language in each.languages]
    try:
        shelf = Shelf(directory)
        standings = [shelf.standing(entry) for entry in entries]
        others = {} if name or language else shelf.others(CATALOGUE)
    except OSError as error:
        raise InputError(f"{error.filename or directory} can't be read: {error.strerror}", "Check it.") from error
    if as_lines_of_json:
        _print_json(entries, standings, others)
    elif name:
        _print_block(entries[0], standings[0])
        _print_commands(directory, entries[0])
    else:
        _print_all(directory, entries, standings)
        _print_sums(directory, shelf, others)
    damaged = [standing for standing in standings if standing.state == "here, but damaged"]
    return int(bool(damaged) or not all(others.values()))


def named(name: str) -> ModelEntry:
    """By its name, or as it is written in the settings. `InputError`."""
    for entry in CATALOGUE:
        if name == entry.setting:
            return entry
    found = [entry for entry in CATALOGUE if entry.name == name]
    if found:
        return found[0]
    known = [entry.name for entry in CATALOGUE]
    near = get_close_matches(name, known, n=1) or [each for each in known if name.lower() in each.lower()][:1]
    hint = f"Did you mean {near[0]}?" if near else "`atlas voice models` lists what there is."
    raise InputError(f"no model {name!r} is known here", hint)


def _print_all(directory: Path, entries: Sequence[ModelEntry], standings: Sequence[Standing]) -> None:
    print(f"Models are looked for in {directory}")
    print("Nothing is downloaded here: `atlas voice models NAME` prints the commands that do.\n")
    for entry, standing in zip(entries, standings, strict=True):
        _print_block(entry, standing)
        print()


def _print_block(entry: ModelEntry, standing: Standing) -> None:
    print(f'{entry.purpose} = "{entry.setting}"')
    spoken = " and ".join(_LANGUAGES[each] for each in entry.languages)
    print(f"  {_PURPOSES[entry.purpose]} by {entry.engine}, {spoken}, {megabytes(entry.size)}, {entry.licence}")
    print(f"  {entry.downloads[0].url}")
    if others := [each.path.rpartition("/")[2] for each in entry.downloads[1:]]:
        print(f"  and {', '.join(others)} beside it")
    if unknown := [each.path.rpartition("/")[2] for each in entry.downloads if not each.sha256]:
        print(f"  hash not known: {', '.join(unknown)}")
    if entry.note:
        print(f"  {entry.note}")
    said = ", ".join(standing.damaged) or (f"no {', '.join(standing.missing)}" if standing.missing else "")
    print(f"  {standing.state}{f': {said}' if said else ''}")


def _print_commands(directory: Path, entry: ModelEntry) -> None:
    print("\nTo fetch it:\n")
    for command in commands(directory, entry):
        print(f"  {command}")
    print(f'\nThen, in atlas.toml:\n\n  [voice]\n  {entry.purpose} = "{entry.setting}"')


def commands(directory: Path, entry: ModelEntry) -> list[str]:
    """What fetches, checks and unpacks it into the directory, by a shell with curl, sha256sum and tar."""
    first = f"mkdir -p {shlex.quote(str(directory))} && cd {shlex.quote(str(directory))}"
    return [first, *(line for each in entry.downloads for line in _fetching(each))]


def _fetching(file: Download) -> list[str]:
    path = shlex.quote(file.path)
    fetch = f"curl -fL --create-dirs -o {path} {shlex.quote(file.url)}"
    check = f"echo {shlex.quote(f'{file.sha256}  {file.path}')} | sha256sum -c" if file.sha256 else ""
    unpack = f"tar xf {path}" if file.archive else ""
    return [line for line in (fetch, " && ".join(filter(None, (check, unpack)))) if line]


def _print_sums(directory: Path, shelf: Shelf, others: dict[str, bool]) -> None:
    for path, sound in others.items():
        print(f"{path}: {'here, checked' if sound else 'here, but damaged'} (by {SUMS})")
    if shelf.sums.unread:
        lines = ", ".join(map(str, shelf.sums.unread[:10]))
        print(f"{directory / SUMS}: not understood in line {lines}")


def _print_json(entries: Sequence[ModelEntry], standings: Sequence[Standing], others: dict[str, bool]) -> None:
    for entry, standing in zip(entries, standings, strict=True):
        downloads = [
            {"url": each.url, "path": each.path, "bytes": each.size, "sha256": each.sha256} for each in entry.downloads
        ]
        row = {
            "name": entry.name, "engine": entry.engine, "purpose": entry.purpose, "languages": entry.languages,
            "setting": entry.setting, "licence": entry.licence, "bytes": entry.size, "downloads": downloads,
            "note": entry.note, "state": standing.state, "damaged": standing.damaged, "missing": standing.missing,
        }  # fmt: skip
        print(json.dumps(row, ensure_ascii=False))
    for path, sound in others.items():
        print(json.dumps({"file": path, "state": "here, checked" if sound else "here, but damaged"}))


def megabytes(size: int) -> str:
    """``17.6 MB``, of a million bytes each; whole ones from a hundred on."""
    return f"{size / 1e6:.1f} MB" if size < 100e6 else f"{size / 1e6:.0f} MB"
