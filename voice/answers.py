"""Answers to questions that runs ask: which question is meant, and which of its choices. Part of `voice.dialogue`."""

from __future__ import annotations

from dataclasses import replace

from orchestrator.views import QuestionView
from voice.acts import AnswerQuestion, Asked, ReadQuestions, Run, Tell
from voice.naming import affirmative, negative
from voice.situation import Decision, Memory, Situation


def yes_or_no(yes: bool, situation: Situation, memory: Memory, *, plain: bool) -> Decision:
    """Of a question that was just read aloud it is taken at its word; any other is read back first. So is what is no
    `plain` yes or no where recognition takes everything for a command."""
    question = _meant(situation, memory)
    if not isinstance(question, QuestionView):
        return memory, [question]
    value = affirmative(question.choices) if yes else negative(question.choices)
    if value is None:
        return memory, [Tell("no_such_choice", count=len(question.choices))]
    act = AnswerQuestion(question.id, value)
    if memory.question == question.id and (plain or situation.free_speech):
        return memory, [act]
    asked = Asked(yes=(act,))
    return replace(memory, asked=asked), [Tell("sure_approve" if yes else "sure_reject", text=question.text)]


def choice(number: int, situation: Situation, memory: Memory) -> Decision:
    """By its number, from 1, as they were read aloud; read back when they were not."""
    question = _meant(situation, memory)
    if not isinstance(question, QuestionView):
        return memory, [question]
    if not 0 < number <= len(question.choices):
        return memory, [Tell("no_such_choice", count=len(question.choices))]
    value = question.choices[number - 1]
    act = AnswerQuestion(question.id, value)
    if memory.question == question.id:
        return memory, [act]
    return replace(memory, asked=Asked(yes=(act,))), [Tell("sure_answer", answer=value)]


def words(text: str, situation: Situation, memory: Memory) -> Decision:
    """In one's own words, which may have been heard wrongly: read back, unless they are one of the choices."""
    question = _meant(situation, memory)
    if not isinstance(question, QuestionView):
        return memory, [question]
    if question.choices:
        value = next((each for each in question.choices if each.casefold() == text.strip().casefold()), None)
        if value is None:
            return memory, [Tell("no_such_choice", count=len(question.choices))]
        if memory.question == question.id:
            return memory, [AnswerQuestion(question.id, value)]
        text = value
    act = AnswerQuestion(question.id, text)
    return replace(memory, asked=Asked(yes=(act,))), [Tell("sure_answer", answer=text)]


def _meant(situation: Situation, memory: Memory) -> QuestionView | Tell | ReadQuestions:
    questions = situation.questions
    if not questions:
        return Tell("nothing_asked")
    for question in questions:
        if question.id == memory.question:
            return question
    if len(questions) == 1:
        return questions[0]
    asking = asking_runs(situation)
    if len(asking) == 1:
        return ReadQuestions()
    return Tell("which_question", names=tuple(run.name for run in asking))


def asking_runs(situation: Situation) -> tuple[Run, ...]:
    """Those whose questions wait."""
    names = {run.id: run.name for run in situation.runs}
    return tuple(Run(each, names.get(each, "")) for each in dict.fromkeys(each.run for each in situation.questions))
