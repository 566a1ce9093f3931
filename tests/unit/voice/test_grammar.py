"""Transcripts to intents: what is a command, in both languages, and above all what is none."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voice.grammar import MEANINGS, complete, is_backchannel, standing, understand
from voice.intents import (
    LANGUAGES,
    Answer,
    Approve,
    Backchannel,
    Cancel,
    Choose,
    Detail,
    Help,
    Hold,
    Intent,
    Language,
    Later,
    No,
    Questions,
    Quiet,
    Reject,
    Repeat,
    Resume,
    Retry,
    StartGoal,
    StartPlan,
    Status,
    Stop,
    Yes,
)
from voice.phrasebook import phrasebook
from voice.templates import spellings
from voice.transcripts import read_back

ENGLISH: list[tuple[str, Intent]] = [
    ("Atlas, fix the failing parser tests.", StartGoal("fix the failing parser tests")),
    ("Start the plan nightly.", StartPlan("nightly")),
    ("What is the status?", Status()),
    ("What's the status of the nightly run?", Status("nightly")),
    ("Stop.", Stop()),
    ("Stop everything!", Stop("everything")),
    ("Be quiet.", Quiet()),
    ("Cancel the run.", Cancel()),
    ("Cancel the nightly run.", Cancel("nightly")),
    ("Pause.", Hold()),
    ("Resume the run.", Resume()),
    ("Try again.", Retry()),
    ("Are there any questions?", Questions()),
    ("Approve.", Approve()),
    ("Reject it.", Reject()),
    ("Choose number two.", Choose(2)),
    ("Answer: the blue one.", Answer("the blue one")),
    ("Say that again.", Repeat()),
    ("More detail, please.", Detail(more=True)),
    ("Help.", Help()),
]
CHINESE: list[tuple[str, Intent]] = [
    ("阿特拉斯，修复失败的解析器测试。", StartGoal("修复失败的解析器测试")),
    ("开始计划 nightly", StartPlan("nightly")),
    ("状态怎么样？", Status()),
    ("夜间任务的状态怎么样", Status("夜间")),
    ("停！", Stop()),
    ("停止所有任务", Stop("everything")),
    ("安静", Quiet()),
    ("取消任务", Cancel()),
    ("取消夜间任务", Cancel("夜间")),
    ("暂停一下", Hold()),
    ("继续", Resume()),
    ("再试一次", Retry()),
    ("有什么问题吗？", Questions()),
    ("批准", Approve()),
    ("拒绝", Reject()),
    ("选第二个", Choose(2)),
    ("回答：蓝色的那个", Answer("蓝色的那个")),
    ("请再说一遍", Repeat()),
    ("详细一点", Detail(more=True)),
    ("帮助", Help()),
]


@pytest.mark.parametrize(("text", "intent"), ENGLISH + CHINESE)
def test_the_commands_of_the_issue(text: str, intent: Intent) -> None:
    assert understand(text) == intent


OTHER_WORDS: list[tuple[Intent, str]] = [
    (
        StartGoal(goal="add a test for the lexer"),
        "add a test for the lexer|Please, could you add a test for the lexer?",
    ),
    (StartGoal(goal="Build the docs, um, and publish them"), "uh Build the docs, um, and publish them please"),
    (
        StartGoal(goal="refactor the HTTP client"),
        "I want you to refactor the HTTP client|okay atlas refactor the HTTP client",
    ),
    (StartGoal(goal="the flaky login test"), "start working on the flaky login test|new task: the flaky login test"),
    (StartPlan(name="release"), "run the release plan|launch plan release|please start the plan called release"),
    (Status(), "status|give me a status report|how's it going?|how far are you|any news?|update me|进度呢"),
    (Status(run="parser"), "how is the parser run going|progress of run parser|parser任务的进度"),
    (Stop(), "STOP|stop that|Atlas stop!|hey Atlas, please stop|halt|abort|stop, stop, stop|just stop now"),
    (Stop(), "停下|停下来|阿特拉斯停止|ｓｔｏｐ|快停|no stop|打住"),
    (Stop("everything"), "stop all runs|abort everything|halt all of them|全部停下|停止一切|把所有任务都停掉"),
    (Stop(run="parser"), "stop the parser run|abort the run called parser|停止parser任务"),
    (Quiet(), "enough|that's enough|shut up|stop talking|hush|别说了|閉嘴|够了"),
    (Cancel(), "cancel|cancel it|can you cancel that please|call it off|取消|取消吧|请取消这个任务"),
    (Cancel(run="parser"), "cancel the run parser|abandon the parser run|把parser任务取消掉"),
    (Hold(), "hold on|pause it|put it on hold|wait a moment|暂停|等一下"),
    (Resume(), "continue|go on|carry on with it|unpause|恢复|繼續"),
    (Retry(), "retry|do it again|try that again|have another go|重试|重新来"),
    (Questions(), "questions|any open questions|what do you need from me|有问题吗|还有什么问题"),
    (Approve(), "approved|I approve it|go ahead with it|yes, approve this|我批准|同意"),
    (Reject(), "deny|I reject that|no, refuse it|don't approve it|驳回|不同意|不要批准"),
    (Choose(number=3), "three|3|option three|take the third one|I'll take number 3|三|第三个|選三"),
    (Choose(number=12), "option twelve|number 12|十二|选第十二个|選項十二"),
    (Choose(number=20), "option twenty|二十|选二十号"),
    (Answer(text="use the old one"), "my answer is use the old one|reply with use the old one"),
    (Yes(), "yes|Yeah.|yep|yes please|sure|do it|of course|是的|对|好的|可以|没错"),
    (No(), "no|nope|no thank you|not that|don't|不|不要|不用了|不必"),
    (Repeat(), "repeat that|pardon?|what did you say|once more|再说一次|你刚才说什么|没听清"),
    (Detail(more=True), "tell me more|more details|be more detailed|详细点|更多细节|多说一点"),
    (Detail(more=False), "less detail|be brief|keep it short|简短一点|少说点|说重点"),
    (Help(), "help me|what can I say?|what are the commands|我能说什么|有什么命令"),
    (Backchannel(), "mm|Mhm|uh-huh|ok|Okay.|right|got it|嗯|嗯嗯|哦|知道了|明白"),
]


@pytest.mark.parametrize(
    ("intent", "text"), [(intent, text) for intent, texts in OTHER_WORDS for text in texts.split("|")]
)
def test_other_words_for_the_same(intent: Intent, text: str) -> None:
    assert understand(text) == intent


GRAVE = (StartGoal, StartPlan, Stop, Cancel, Approve)
NEAR_MISSES = (
    "don't stop|do not stop now|please don't stop the run|never stop|I said don't stop|stop the music|"
    "stop and think|when will it stop|it will not stop|the tests stop working|bus stop|non stop|"
    "do not cancel it|don't cancel|never cancel the run|cancel my subscription|cancel nothing|"
    "cancel the run if it fails|cancel the run tomorrow|did you cancel the run|I cancelled the run|"
    "cancel that thought for a second|should I cancel it|why would you cancel the run|"
    "the run was cancelled|cancel or not|never approve this|don't approve it|do not go ahead with it|"
    "not approved|I do not approve|who approved it|I would approve it|approve of her work|"
    "approve everything from now on|should I approve it|approve it tomorrow|approve or reject|start|"
    "start it|fix it|fix that|run away|build failed again yesterday|run is finished already|"
    "the build is broken|update me on the weather|add|build the|fix the bug in the|"
    "did you fix the parser|I will fix the parser tests|don't fix the parser tests|"
    "never start the plan nightly|test coverage is low today|fix the parser tests?|"
    "start over again please|we fixed the parser tests|do not run the plan nightly|what is a plan|不要停|"
    "别停下来|千万不要停止|公交车停在哪里|停电了|不要取消|别取消任务|没有取消|取消了吗|任务取消了|"
    "要不要取消|不批准|不要批准|谁批准的|批准了吗|没批准|能批准吗|不要开始计划nightly|开始|修复|"
    "运行失败了|测试通过了|修复了解析器的问题|别修复解析器测试|不要修复解析器测试|更新的内容是什么|"
    "如果失败就取消任务"
)


@pytest.mark.parametrize("text", NEAR_MISSES.split("|"))
def test_near_misses_are_nothing_grave(text: str) -> None:
    for said in (text, f"Atlas, {text}", f"{text} please", f"阿特拉斯，{text}"):
        assert not isinstance(understand(said, runs=["nightly"], plans=["nightly"]), GRAVE), said


def test_names_that_are_known_need_no_noun_and_come_back_as_written() -> None:
    runs = ["nightly-Build_2", "夜间"]
    assert understand("cancel nightly build two", runs=runs) == Cancel("nightly-Build_2")
    assert understand("cancel nightly build two") is None
    assert understand("取消夜间", runs=runs) == Cancel("夜间")
    assert understand("start the plan Weekly Report", plans=["weekly-report"]) == StartPlan("weekly-report")


def test_a_yeah_is_a_yes_and_a_backchannel() -> None:
    both = ["yeah", "yep", "sure", "对", "好的", "嗯对"]
    assert all(understand(text) == Yes() and is_backchannel(text) for text in both)
    assert all(is_backchannel(text) for text in ("mm", "ok", "right", "嗯", "对", "uh huh", "嗯嗯"))
    assert not any(is_backchannel(text) for text in ("yes", "stop", "no", "ok cancel it", "停", "不", "", "atlas"))


WHOLE = [
    "stop",
    "atlas stop",
    "stop everything",
    "be quiet",
    "approve",
    "reject it",
    "option two",
    "more detail",
    "any questions",
    "say that again",
    "status of everything",
    "停",
    "批准",
    "选第二个",
    "全部停下",
    "再说一遍",
    "状态怎么样",
]
OPEN = [
    "status",
    "what is the status",
    "cancel",
    "cancel the run",
    "pause",
    "yes",
    "no",
    "okay",
    "fix the parser tests",
    "answer the blue one",
    "取消",
    "对",
    "修复失败的解析器测试",
    "选十",
]
NO_GOALS = (
    """
test one two three|start from the beginning|run that by me again|move to the next question|start with the first question
check with me first|check this out|deploy to staging failed|search results look wrong|run number three is stuck
just pick one|choose one for me
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
NO_CHINESE_GOALS = [
    "测试跑完了吗",
    "测试跑完没有",
    "构建通过了吗",
    "更新数据库成功了吗",
    "测试为什么失败",
    "部署什么时候开始",
    "发布日期是哪天",
    "部署有问题",
    "运行正常",
    "我要两个",
]
GOALS = (
    """
fix the tests that failed|find out why the tests failed|clean up the parser|ensure the tests are green
找出测试为什么失败|修复失败的测试|检查为什么构建失败
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
PUT_OFF = (
    """
not now|no, not yet|never mind|forget it|i'm not sure|let me think
算了|不确定|先不要|以后再说|就这样吧|让我想想
""".replace("\n", "|")
    .strip("|")
    .split("|")
)


@pytest.mark.parametrize("text", [*NO_GOALS, *NO_CHINESE_GOALS])
def test_what_people_say_to_each_other_starts_nothing(text: str) -> None:
    assert understand(text) is None


@pytest.mark.parametrize("text", GOALS)
def test_goals_may_have_a_question_in_them(text: str) -> None:
    assert understand(text) == StartGoal(text)


@pytest.mark.parametrize("text", PUT_OFF)
def test_to_put_it_off_is_no_answer(text: str) -> None:
    assert understand(text) == Later()


UNKNOWN = ["status of", "what is", "cancel the", "start the plan", "choose", "", "atlas", "取", "选第"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [(text, name) for name, texts in (("whole", WHOLE), ("open", OPEN), ("unknown", UNKNOWN)) for text in texts],
)
def test_where_a_turn_may_end(text: str, expected: str) -> None:
    assert standing(text) == expected
    assert complete(text) == (expected == "whole")


def test_a_name_that_is_known_is_whole() -> None:
    assert complete("cancel nightly", runs=["nightly"])
    assert not complete("cancel nightly", runs=["nightly", "nightly build"])
    assert complete("start the plan nightly", plans=["nightly", "release"])
    assert not complete("start the plan nightly", plans=["nightly", "nightly release"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_phrase_of_the_lists_is_understood(language: Language) -> None:
    """As its own section, or as one that stands before it; as itself without exception when it is grave."""
    book = phrasebook(language)
    fill = {
        "number": ["3"], "ordinal": ["third"], "run": ["nightly"], "known_run": ["parser"], "plan": ["release"],
        "goal": ["fix the parser tests" if language == "en" else "修复解析器测试"], "task": ["the parser tests"],
        "text": ["the blue one"],
    }  # fmt: skip
    said = {"number": "3", "run": "nightly", "plan": "release", "goal": fill["goal"][0], "task": "the parser tests"}
    seen: set[str] = set()
    for section, template in zip(book.sections, book.templates, strict=True):
        for phrase in spellings(template, fill, most=40):
            got = understand(phrase, language, runs=["nightly", "parser"], plans=["release"])
            assert got is not None, (section, phrase)
            kind = type(MEANINGS[section]({**said, "text": "x"}))
            if kind in GRAVE:
                assert isinstance(got, kind), (section, phrase, got)
            seen.add(section) if isinstance(got, kind) else None
    assert seen == set(MEANINGS)


COMMAND_PIECES = ["stop", "cancel", "the", "run", "fix", "tests", "approve", "please", "status of", "start the plan"]
OTHER_PIECES = ["don't", "not", "一", "十", "取消", "任务", "不", " ", ",", "?", "'"]
PIECES = st.sampled_from([*COMMAND_PIECES, *OTHER_PIECES])


@given(st.one_of(st.text(), st.lists(PIECES, max_size=30).map(" ".join), st.lists(PIECES, max_size=30).map("".join)))
@settings(deadline=None, max_examples=60)
def test_any_text_is_safe(text: str) -> None:
    for language in (None, *LANGUAGES):
        intent = understand(text, language, runs=["run", "", "'"], plans=["?"])
        assert complete(text, language, runs=["run", "", "'"], plans=["?"]) <= (intent is not None)
        is_backchannel(text, language)


@given(st.lists(PIECES, max_size=8).map(" ".join))
@settings(deadline=None, max_examples=60)
def test_negated_is_never_grave(text: str) -> None:
    """Whatever follows: what begins with "don't" starts, stops, cancels and approves nothing."""
    for start in ("don't ", "do not ", "never ", "不要", "别"):
        assert not isinstance(understand(start + text, runs=["run"]), GRAVE)


HOSTILE = [
    "start " * 333,
    "fix " + "a " * 990,
    "stop the " * 222,
    "a" * 2000,
    "修复" * 1000,
    "选" * 2000,
    "取消" * 1000,
]
MORE_HOSTILE = ["的" * 2000, "'" * 2000, "status of the run " * 110, "x" * 10**7]


@pytest.mark.parametrize("text", HOSTILE + MORE_HOSTILE, ids=lambda text: text[:9])
def test_hostile_text_takes_no_time(text: str) -> None:
    for language in LANGUAGES:
        phrasebook(language)  # is read once
    began = time.process_time()
    understand(text, runs=["the run " * 20], plans=["x" * 100])
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("said", "back"),
    [
        ("Atlas. Fix. My failing test.", "Fix, My failing test"),
        ("Hey Atlas, stop!", "stop"),
        ("okay atlas what's up? Tell me.", "what's up, Tell me"),
        ("the atlas is a book", "the atlas is a book"),
        ("嘿，阿特拉斯，修好测试。然后发布。", "修好测试，然后发布"),
        ("version 1.2 of it", "version 1.2 of it"),
        ("Atlas", ""),
    ],
)
def test_what_was_said_is_read_back_in_one_piece(said: str, back: str) -> None:
    assert read_back(said) == back
