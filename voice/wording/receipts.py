"""What Atlas says at once of what was just asked of it: one or two short sentences each, the same in both languages.

`{name}` is a run, `{names}` several, `{text}` what somebody wrote, `{answer}` an answer, `{count}` a number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from voice.intents import Language
from voice.saying import Saying
from voice.wording.spoken import ENDS, aloud, listed, spoken, tidy

LONGEST_TEXT = 200
"""Characters of what is read back before somebody says yes to it."""

Receipt = Literal[
    "started", "started_plan", "starting", "stopped", "stopped_all", "cancelled", "paused", "resumed", "retrying",
    "answered", "more_detail", "less_detail", "nothing_changed", "left_waiting",
    "nothing_to_stop", "nothing_to_pause", "nothing_to_resume", "nothing_to_retry", "nothing_to_repeat",
    "nothing_running", "nothing_asked", "already_answered", "already_over", "no_such_run", "no_such_choice",
    "no_such_plan",
    "which_run", "which_question", "sure_cancel", "sure_cancel_all", "sure_approve", "sure_reject", "sure_answer",
    "sure_start", "wake_word_first", "not_allowed",
    "not_understood", "not_sure", "help", "commands_only", "no_model", "unavailable", "listening", "deaf",
    "refused",
    "told_elsewhere", "welcome",
]  # fmt: skip

RECEIPTS: Mapping[Language, Mapping[Receipt, str]] = {
    "en": {
        "started": "Started {name}.",
        "started_plan": "Started the plan {name}.",
        "starting": "Starting {name}.",
        "stopped": "Stopped {names}.",
        "stopped_all": "Everything is stopped. That was {names}.",
        "cancelled": "Cancelled {names}.",
        "paused": "Paused {names}. Say resume to go on.",
        "resumed": "Going on with {names}.",
        "retrying": "Trying {names} again.",
        "answered": "Noted: {answer}.",
        "more_detail": "I will tell you more.",
        "less_detail": "I will tell you less.",
        "nothing_changed": "All right, I changed nothing.",
        "left_waiting": "All right, the question waits.",
        "nothing_to_stop": "There is nothing to stop.",
        "nothing_to_pause": "There is nothing to pause.",
        "nothing_to_resume": "Nothing is paused.",
        "nothing_to_retry": "Nothing has failed.",
        "nothing_to_repeat": "I have not said anything yet.",
        "nothing_running": "Nothing is running.",
        "nothing_asked": "No question is waiting.",
        "already_answered": "That was answered already.",
        "already_over": "{name} is over already.",
        "no_such_run": "I know no run called {name}.",
        "no_such_choice": "There is no such choice. There are {count}.",
        "no_such_plan": "I know no plan called {name}.",
        "which_run": "Which one: {names}, or everything?",
        "which_question": "Several questions wait. For which run: {names}?",
        "sure_cancel": "Cancel {names} for good, are you sure?",
        "sure_cancel_all": "Cancel everything for good: {names}. Are you sure?",
        "sure_approve": "Approve: {text}. Are you sure?",
        "sure_reject": "Say no to: {text}. Are you sure?",
        "sure_answer": "Your answer is: {answer}. Is that right?",
        "sure_start": "Start this: {text}. Is that right?",
        "wake_word_first": "For that, say Atlas first.",
        "not_allowed": "You are not allowed to do that.",
        "not_understood": "I did not understand. Say help to hear what you can say.",
        "not_sure": "Did you mean: {text}?",
        "help": (
            "You can say: fix, and then what. Status. Stop. Cancel. Pause. Resume. Retry. Questions. Approve. Reject."
            " Choose, and a number. Repeat. More detail. Less detail."
        ),
        "commands_only": "I only understand commands with this speech engine. Say help to hear them.",
        "no_model": "I can't answer that without a language model. I can still take commands.",
        "unavailable": "I can't reach the database right now. Please try again.",
        "listening": "Yes?",
        "deaf": "I can't understand you right now. {text}.",
        "refused": "That did not work. {text}.",
        "told_elsewhere": "Progress is told in your other conversation. You can still ask me.",
        "welcome": "Atlas is listening.",
    },
    "zh": {
        "started": "{name}已开始。",
        "started_plan": "计划{name}已开始。",
        "starting": "正在启动{name}。",
        "stopped": "已停止{names}。",
        "stopped_all": "全部已停止，包括{names}。",
        "cancelled": "已取消{names}。",
        "paused": "已暂停{names}。说继续就可以恢复。",
        "resumed": "{names}继续进行。",
        "retrying": "正在重试{names}。",
        "answered": "已记下：{answer}。",
        "more_detail": "我会说得更详细。",
        "less_detail": "我会说得简短些。",
        "nothing_changed": "好的，什么都没有改变。",
        "left_waiting": "好的，问题先留着。",
        "nothing_to_stop": "没有可以停止的任务。",
        "nothing_to_pause": "没有可以暂停的任务。",
        "nothing_to_resume": "没有暂停的任务。",
        "nothing_to_retry": "没有失败的任务。",
        "nothing_to_repeat": "我还没有说过话。",
        "nothing_running": "没有正在运行的任务。",
        "nothing_asked": "没有等待回答的问题。",
        "already_answered": "这个问题已经回答过了。",
        "already_over": "{name}已经结束了。",
        "no_such_run": "没有叫{name}的任务。",
        "no_such_choice": "没有这个选项，一共有 {count} 个。",
        "no_such_plan": "没有叫{name}的计划。",
        "which_run": "是哪一个：{names}，还是全部？",
        "which_question": "有几个问题在等待。是哪个任务：{names}？",
        "sure_cancel": "彻底取消{names}，确定吗？",
        "sure_cancel_all": "彻底取消全部任务：{names}。确定吗？",
        "sure_approve": "批准：{text}。确定吗？",
        "sure_reject": "拒绝：{text}。确定吗？",
        "sure_answer": "您的回答是：{answer}。对吗？",
        "sure_start": "开始这个任务：{text}。对吗？",
        "wake_word_first": "做这件事请先说唤醒词。",
        "not_allowed": "您没有权限这样做。",
        "not_understood": "我没有听懂。说帮助，可以听有哪些命令。",
        "not_sure": "您是说：{text}，对吗？",
        "help": (
            "您可以说：修复，加上内容。状态。停止。取消。暂停。继续。重试。问题。批准。拒绝。"
            "选第几个。重复。详细一点。简短一点。"
        ),
        "commands_only": "这个语音引擎只能听懂命令。说帮助，可以听有哪些命令。",
        "no_model": "没有语言模型，我无法回答。命令仍然可以用。",
        "unavailable": "现在连不上数据库，请再试一次。",
        "listening": "请讲。",
        "deaf": "现在听不懂您说的话。{text}。",
        "refused": "没有成功。{text}。",
        "told_elsewhere": "进度在您的另一个对话里播报。您仍然可以问我。",
        "welcome": "Atlas 在听。",
    },
}  # fmt: skip


def receipt(
    which: Receipt,
    language: Language = "en",
    *,
    name: str = "",
    names: Sequence[str] = (),
    text: str = "",
    answer: str = "",
    count: int = 0,
) -> Saying:
    """`name` and `names` are of runs, `text` and `answer` what somebody wrote: as they are."""
    said = RECEIPTS[language][which].format(
        name=aloud(name, language),
        names=listed(names, language, "," if which == "which_run" else "and"),
        text=spoken(text, language, LONGEST_TEXT).rstrip(ENDS),
        answer=spoken(answer, language).rstrip(ENDS),
        count=count,
    )
    return Saying(tidy(said), "receipt")
