"""What can be said, as data: one file a language, in the template language of `voice.templates`.

A file has sections. `[status]` begins the phrases of an intent (the names are those of `voice.grammar.MEANINGS`); of
two sections that fit, the earlier one counts. A phrase that begins with `+` is also listened for by a recogniser that
knows nothing but phrases; it is worse the more of them there are. `[@fillers]` begins a list of words.
`name = template` names a part, which later templates use as `<name>`; `#` begins a comment.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

from voice.intents import Language


@dataclass(frozen=True, slots=True)
class Phrase:
    """A template and the section in which it stands. `listened`: a recogniser of speech has it, too."""

    section: str
    template: str
    listened: bool


@dataclass(frozen=True, slots=True)
class PhraseFile:
    """A language's file, read but not understood: parts and phrases are templates still."""

    parts: dict[str, str]
    phrases: tuple[Phrase, ...]  # in the file's order
    lists: dict[str, tuple[str, ...]]


def phrase_file(language: Language) -> PhraseFile:
    """Read the phrases of `language`; a file that can't be read is a defect of the package, hence `ValueError`."""
    text = resources.files(__name__).joinpath(f"{language}.txt").read_text(encoding="utf-8")
    parts: dict[str, str] = {}
    phrases: list[Phrase] = []
    lists: dict[str, list[str]] = {}
    section = ""
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        name, equals, template = line.partition(" = ")
        if equals:
            parts[name] = template
        elif line.startswith("[") and line.endswith("]") and (line[1] == "@" or line[1:-1].replace("-", "").isalpha()):
            section = line[1:-1]
        elif not section:
            raise ValueError(f"{language}.txt:{number}: a phrase before the first section")
        elif section.startswith("@"):
            lists.setdefault(section[1:], []).extend(line.split())
        else:
            phrases.append(Phrase(section, line.removeprefix("+ "), line.startswith("+ ")))
    return PhraseFile(parts, tuple(phrases), {name: tuple(words) for name, words in lists.items()})
