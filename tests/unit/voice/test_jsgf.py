"""The phrases as a grammar that pocketsphinx compiles, and `understand` knows all of it."""

from __future__ import annotations

import pytest

from voice.engines.sphinx_decoder import new_decoder
from voice.grammar import understand
from voice.intents import Approve, Cancel, Status, Stop
from voice.jsgf import factored, jsgf, spoken_grammar

RUNS = ["nightly", "parser-tests", "xqzzy"]
PLANS = ["nightly", "phase 2"]


def test_pocketsphinx_compiles_it() -> None:
    decoder = new_decoder()
    for runs, plans in ((RUNS, PLANS), ([], [])):
        grammar = jsgf(runs=runs, plans=plans, known=lambda word: decoder.lookup_word(word) is not None)
        assert "xqzzy" not in grammar
        decoder.add_jsgf_string("commands", grammar)
        decoder.activate_search("commands")
    with pytest.raises(ValueError, match="JSGF"):
        decoder.add_jsgf_string("broken", "#JSGF V1.0;\ngrammar atlas;\npublic <command> = xqzzy;\n")


def test_all_that_can_be_heard_is_understood() -> None:
    grammar = spoken_grammar(runs=RUNS, plans=PLANS, known=lambda word: word != "xqzzy")
    heard = {understand(" ".join(words), "en", runs=RUNS, plans=PLANS) for words in grammar.sentences()}
    assert None not in heard
    assert {Stop(), Stop("everything"), Cancel(), Cancel("parser-tests"), Approve(), Status("nightly")} <= heard
    assert len(grammar.sentences()) > 100


def test_a_beginning_is_no_command() -> None:
    grammar = spoken_grammar(runs=["nightly"], known=lambda _: True)
    assert grammar.holds(("cancel", "the", "nightly", "run"))
    assert grammar.holds(("hey", "atlas", "cancel", "the", "run"))
    for words in (("cancel", "the", "nightly"), ("hey", "cancel"), ("atlas",), ("hey", "atlas"), ()):
        assert not grammar.holds(words)


def test_what_phrases_have_in_common_is_said_once() -> None:
    assert factored([("stop",), ("stop", "it"), ("stop", "now"), ("go",)]) == "(stop [(it | now)] | go)"
    assert factored([("more", "detail"), ("less", "detail")]) == "(more | less) detail"


def test_a_word_that_is_not_known_takes_its_phrases_with_it() -> None:
    assert "approve" in jsgf(known=lambda _: True)
    assert "approve" not in jsgf(known=lambda word: not word.startswith("approve"))
    assert "<run>" not in jsgf(known=lambda _: True)
