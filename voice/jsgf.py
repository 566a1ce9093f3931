"""The phrases of `voice.grammar` for a recogniser of speech that knows nothing but a grammar (JSGF)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from voice.phrasebook import NUMBERS, phrasebook
from voice.templates import spellings

RULES = {"run": "<run>", "known_run": "<run>", "plan": "<plan>", "number": "<number>"}
"""The rule that stands for a slot. The others are free text, which a grammar can't have."""

Phrase = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SpokenGrammar:
    """Commands in a dictionary's words, and the rules that stand in them."""

    commands: tuple[Phrase, ...]
    rules: dict[str, tuple[Phrase, ...]]

    def jsgf(self) -> str:
        """As JSGF, with or without the wake word before a command."""
        wake = "[<wake>] " if "<wake>" in self.rules else ""
        lines = ["#JSGF V1.0;", "grammar atlas;", f"public <command> = {wake}{factored(self.commands)};"]
        lines += [f"{rule} = {factored(phrases)};" for rule, phrases in self.rules.items()]
        return "\n".join(lines) + "\n"

    def sentences(self) -> frozenset[Phrase]:
        """All commands, without the wake word."""
        said = (product(*(self.rules.get(word, ((word,),)) for word in command)) for command in self.commands)
        return frozenset(tuple(word for piece in pieces for word in piece) for found in said for pieces in found)

    def holds(self, words: Phrase) -> bool:
        """Whether these are a command as a whole, and not the beginning of one, with or without the wake word."""
        wakes = (wake for wake in self.rules.get("<wake>", ()) if words[: len(wake)] == wake)
        return words[max(map(len, wakes), default=0) :] in self.sentences()


def spoken_grammar(
    *, runs: Collection[str] = (), plans: Collection[str] = (), known: Callable[[str], bool]
) -> SpokenGrammar:
    """The English phrases that are listened for.

    `known` tells whether the recogniser's dictionary has a word; what has others is left out, be it a phrase or a name
    of `runs` and `plans`. What is recognised is for `voice.grammar.understand`, with the same names.
    """
    book = phrasebook("en")
    written = {value: word for word, value in book.variants.items() if value.isdecimal()}

    def said(phrases: Iterable[Sequence[str]], rules: Collection[str] = ()) -> tuple[Phrase, ...]:
        """The phrases in the dictionary's words, without those that have others; none twice."""
        spelled = (tuple(written.get(key, key) for key in phrase) for phrase in phrases)
        return tuple(dict.fromkeys(p for p in spelled if p and all(word in rules or known(word) for word in p)))

    rules = {
        "<run>": said(map(book.keys, runs)),
        "<plan>": said(map(book.keys, plans)),
        "<number>": said([str(number)] for number in NUMBERS),
        "<wake>": said(book.wakes),
    }
    rules = {rule: phrases for rule, phrases in rules.items() if phrases}
    fill = {slot: [rule] for slot, rule in RULES.items() if rule in rules}
    listened = [template for template, wanted in zip(book.templates, book.listened, strict=True) if wanted]
    commands = said((words.split() for template in listened for words in spellings(template, fill)), rules)
    return SpokenGrammar(commands, rules)


def jsgf(*, runs: Collection[str] = (), plans: Collection[str] = (), known: Callable[[str], bool]) -> str:
    """`spoken_grammar` as JSGF."""
    return spoken_grammar(runs=runs, plans=plans, known=known).jsgf()


def factored(phrases: Iterable[Sequence[str]]) -> str:
    """One expansion of JSGF for the phrases, which must not be empty, with what they begin with in common said once.

    A recogniser's work and its mistakes grow with the places in which a word stands.
    """
    rest: dict[str, list[Sequence[str]]] = {}
    optional = False
    for phrase in phrases:
        if phrase:
            rest.setdefault(phrase[0], []).append(phrase[1:])
        else:
            optional = True
    heads: dict[str, list[str]] = {}
    for word, tails in rest.items():
        heads.setdefault(factored(tails), []).append(word)
    said = [f"{words[0] if len(words) == 1 else _either(words)} {tail}".strip() for tail, words in heads.items()]
    if optional:
        return f"[{' | '.join(said)}]" if said else ""
    return said[0] if len(said) == 1 else _either(said)


def _either(expansions: Iterable[str]) -> str:
    return f"({' | '.join(expansions)})"
