"""What Atlas says: in both languages, short, and readable aloud whatever others have written."""

from __future__ import annotations

from string import Formatter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from state.records import BlockReason, FailureReason
from tests.unit.voice.speakable import flaw
from voice.intents import LANGUAGES, Language
from voice.saying import LONGEST, Saying, bounded
from voice.wording import news
from voice.wording.facts import RunFacts, Trouble
from voice.wording.receipts import RECEIPTS, Receipt, receipt
from voice.wording.sentences import NUMBERS, REASONS, SENTENCES
from voice.wording.spoken import LONGEST as LONGEST_TEXT
from voice.wording.spoken import LONGEST_NAME, duration, listed, money, named, sentence, spoken
from voice.wording.status import status, status_of_all

BOTH = pytest.mark.parametrize("language", LANGUAGES)
HOSTILE = st.text(max_size=300) | st.lists(
    st.sampled_from(
        ["```", "`", "[a](b)", "](", "https://x.y/z?q#", "://", "/etc/passwd", "../", "-", "--", "_", "%", "$5", "[[",
         "<s>", "0" * 20, "a" * 50, "019ac000-1111-7abc-8def-001122334455", "3f2a9bc7", "。", "，", "修复", " ", "\n",
         "\u202e", "\u200b", "\x00", "🙂", "!", "?", ".", "...", "é", "ﷺ", "{name}", "{0}", "%s"],
    ), max_size=30,
).map("".join)  # fmt: skip


def fields(template: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(template) if name}


# --- both languages say the same -------------------------------------------------------------------------------------


def test_every_receipt_is_there_in_both_languages() -> None:
    english, chinese = RECEIPTS["en"], RECEIPTS["zh"]
    assert english.keys() == chinese.keys() == set(Receipt.__args__)
    assert {which: fields(said) for which, said in english.items()} == {
        which: fields(said) for which, said in chinese.items()
    }


def test_every_sentence_is_there_in_both_languages() -> None:
    english, chinese = SENTENCES["en"], SENTENCES["zh"]
    assert english.keys() == chinese.keys()
    different = {which for which in english if fields(english[which]) != fields(chinese[which])}
    assert not different


@BOTH
def test_every_reason_has_words(language: Language) -> None:
    assert set(FailureReason.__args__) | set(BlockReason.__args__) <= REASONS[language].keys()
    assert len(NUMBERS[language].split()) == 20


@BOTH
@pytest.mark.parametrize("which", Receipt.__args__)
def test_receipts_can_be_heard(language: Language, which: Receipt) -> None:
    said = receipt(
        which,
        language,
        name="fix-parser_tests",
        names=["fix-parser", "文档"],
        text="Push `main`?",
        answer="yes",
        count=3,
    )
    assert said.kind == "receipt"
    assert flaw(said.text) is None
    assert said.text[-1] in ".?!。？！"


# --- what others wrote -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("fix-parser_tests", "fix parser tests"),
        ("fixParserTests", "fix Parser Tests"),
        ("Fix the `parse()` bug", "Fix the parse bug"),
        ("in src/parser/grammar.py and/or /etc/passwd", "in grammar dot py and or passwd"),
        ("**bold** _it_ # x", "bold it x"),
        ("see [the docs](https://a.b/c) now", "see the docs now"),
        ("https://user:secret@github.com/a/b?token=1 failed", "a link to github dot com failed"),
        ("commit 3f2a9bc71d4e broke it", "commit broke it"),
        ("run 019ac000-1111-7abc-8def-001122334455 ended", "run ended"),
        ("```py\nimport os\n```", "some code"),
        ("$5.20, 80% used", "5.20 dollars, 80 percent used"),
        ("<speak>[[x]]</speak> &amp;", "speak x speak amp"),
        ("e = mc^2 | cat > /dev/null; rm -rf ~", "e mc 2 cat null; rm rf"),
        ("x" * 100, ""),
        ("\u202eevil\u200b\x00", "evil"),
        ("你好，世界！\uff21\uff22\uff23", "你好，世界！ABC"),
        ("wait...   what?!", "wait. what?"),
    ],
)
def test_what_others_wrote_is_made_fit_to_be_heard(written: str, said: str) -> None:
    assert spoken(written) == said


@given(text=HOSTILE, language=st.sampled_from(LANGUAGES), longest=st.integers(1, 200))
@example(text="a" * 29 + ".b", language="en", longest=160)
def test_nothing_unspeakable_comes_through(text: str, language: Language, longest: int) -> None:
    said = spoken(text, language, longest)
    assert len(said) <= longest
    assert flaw(said) is None
    name = named(text, language)
    assert len(name) <= LONGEST_NAME
    assert not set(name) & set(".?!;:,。？！；：，、")
    one = sentence(text, language)
    assert len(one) <= LONGEST_TEXT + 1
    assert flaw(one) is None
    assert not one or one[-1] in ".?!。？！"


@given(
    name=HOSTILE,
    title=HOSTILE,
    text=HOSTILE,
    choices=st.lists(HOSTILE, max_size=20),
    language=st.sampled_from(LANGUAGES),
)
def test_hostile_text_stays_text(name: str, title: str, text: str, choices: list[str], language: Language) -> None:
    trouble = Trouble(title, "stuck", text)
    facts = RunFacts(name, "blocked", 1, 9, [title] * 9, [trouble] * 3, text, 2, 12.345, 5_000)
    missed = news.Missed(
        {str(number): (name, state, [trouble]) for number, state in enumerate(news.OUTCOMES * 5)},
        {str(number): (name, 1, 5) for number in range(9)}, 3,
    )  # fmt: skip
    for said in (
        news.question(name, text, choices, language),
        news.failure(name, trouble, "again", language),
        news.risk(name, title, f"Oracle: {text}", language),
        news.outcome(name, "blocked", [trouble, trouble], language),
        news.summary(missed, language),
        status(facts, language).text,
        status_of_all([facts] * 9, language, 3).text,
        receipt("which_run", language, names=[name] * 9).text,
        receipt("sure_approve", language, text=text).text,
        receipt("answered", language, answer=text).text,
    ):
        assert flaw(said) is None
        assert len(Saying(said, "answer").text) <= LONGEST


def test_lists_are_short() -> None:
    assert listed(["a"]) == "a"
    assert listed(["a", "b"]) == "a and b"
    assert listed(["a", "b", "c"], "en", "or") == "a, b or c"
    assert listed(["a", "b", "c"], "en", ",") == "a, b, c"
    assert listed(["a", "b"], "zh") == "a 、 b"
    assert listed(list("abcdefg")).endswith("and 3 others")
    assert listed([]) == ""


@pytest.mark.parametrize(
    ("usd", "english", "chinese"),
    [
        (0.001, "less than a cent", "不到 1 美分"),
        (0.01, "1 cent", "1 美分"),
        (1.0, "1 dollar", "1 美元"),
        (3.2, "3 dollars and 20 cents", "3 美元 20 美分"),
    ],
)
def test_money(usd: float, english: str, chinese: str) -> None:
    assert (money(usd), money(usd, "zh")) == (english, chinese)


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (1, "1 second", "1 秒"),
        (59, "59 seconds", "59 秒"),
        (60, "1 minute", "1 分钟"),
        (7500, "2 hours and 5 minutes", "2 小时 5 分钟"),
    ],
)
def test_duration(seconds: float, english: str, chinese: str) -> None:
    assert (duration(seconds), duration(seconds, "zh")) == (english, chinese)


# --- sentences -------------------------------------------------------------------------------------------------------

STUCK = Trouble("Fix it", "stuck", "Oracle: the grammar is `left recursive`. Rewrite it.")
CHECKS = Trouble("Tests", "verification", "pytest: 3 failed")
TWO_ENDS = news.Missed({"1": ("parser", "completed", ()), "2": ("docs", "failed", [CHECKS])}, {}, 1)
TWO_DONE = news.Missed({"1": ("a", "completed", ()), "2": ("b", "completed", ())}, {"3": ("c", 1, 2)})


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (news.started("fix-parser", 5, planning=False, language="en"), "fix parser has started, with 5 steps."),
        (news.started("fix-parser", 1, planning=True, language="zh"), "fix parser 已开始，正在制定计划。"),
        (news.milestone(None, 50, 4, 8, "en"), "It is halfway: 4 of 8 steps."),
        (news.milestone("docs", 75, 6, 8, "zh"), "docs 已到四分之三：共 8 项，已结束 6 项。"),
        (
            news.failure("docs", CHECKS, "again", "en"),
            "The checks of Tests did not pass in docs. It will be tried again.",
        ),
        (news.failure(None, CHECKS, "failed", "en"), "Tests failed: its checks did not pass."),
        (news.failure("docs", CHECKS, "failed", "zh"), "docs 里，Tests 失败了，没有通过检查。"),
        (news.outcome("docs", "completed", [], "en"), "docs is done."),
        (
            news.outcome("docs", "failed", [CHECKS, STUCK], "en"),
            "docs failed: Tests, its checks did not pass, and 1 more.",
        ),
        (news.outcome("docs", "blocked", [STUCK], "en"), "docs is blocked: Fix it, the grammar is left recursive."),
        (news.outcome(None, "blocked", [Trouble("", "expired")], "zh"), "任务受阻：其中一项，没有人及时回答。"),
        (
            news.question("docs", "Push the branch", ["push", "hold"], "en"),
            "docs asks: Push the branch? One: push. Two: hold.",
        ),
        (
            news.question(None, "推送分支吗？", ["推送", "等等"], "zh"),
            "有一个问题：推送分支吗？第一：推送。第二：等等。",
        ),
        (news.question(None, "", [], "en"), "A question: what now?"),
        (
            news.summary(TWO_ENDS, "en"),
            "While you were away: parser is done; docs failed: Tests, its checks did not pass; one question waits.",
        ),
        (news.summary(TWO_DONE, "zh"), "您不在的时候：a、b已完成；c 共 2 项，已结束 1 项。"),
        (news.summary(news.Missed(questions=2), "en"), ""),
    ],
)
def test_what_is_said(said: str, expected: str) -> None:
    assert said == expected


def test_status_tells_what_matters() -> None:
    run = RunFacts("fix-parser", "in_progress", 3, 8, ["Write tests"], [CHECKS], None, 1, 0.12)
    assert status(run).text == (
        "fix parser is running: 3 of 8 steps. Working on Write tests. Not done: Tests, its checks did not pass."
        " One question waits. So far it cost 12 cents."
    )
    assert status(run).kind == "answer"
    assert status_of_all([]).text == "There are no runs."
    assert status_of_all([run] * 6).text.endswith("And 2 more.")
    over = RunFacts("docs", "completed", 2, 2)
    assert status_of_all([over, over]).text == "docs is done."


# --- sayings ---------------------------------------------------------------------------------------------------------


@given(text=st.text(alphabet="ab .!。 ", max_size=200), longest=st.integers(5, 50))
def test_bounded_keeps_whole_sentences(text: str, longest: int) -> None:
    said = bounded(text, longest)
    assert len(said) <= longest
    words = " ".join(text.split())
    assert said == words or words.startswith(said.rstrip("."))


def test_a_saying_is_bounded() -> None:
    assert Saying("One. Two is longer. " + "x" * LONGEST, "answer").text == "One. Two is longer."


def test_priorities() -> None:
    kinds = ("receipt", "away", "question", "outcome", "risk", "milestone")
    assert [Saying("a", kind).priority for kind in kinds] == sorted(Saying("a", kind).priority for kind in kinds)
    assert Saying("a", "question", "r", "q").merges == "question:q"
    assert Saying("a", "outcome", "r").merges == "outcome:r"
    assert Saying("a", "receipt", "r").merges is None
