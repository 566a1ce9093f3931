"""What is to be said, in which order, and what becomes of it when somebody interrupts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voice.saying import Saying
from voice.speech import Sentence, Speech, sentences


class News:
    """`voice.speech.Unasked`, of sayings that wait."""

    def __init__(self, *waiting: Saying) -> None:
        self.waiting = list(waiting)
        self.told: list[Saying] = []

    def take(self) -> Saying | None:
        return self.waiting.pop(0) if self.waiting else None

    def said(self, saying: Saying) -> None:
        self.told.append(saying)

    def unsaid(self, saying: Saying) -> None:
        self.waiting.insert(0, saying)


def texts(speech: Speech) -> list[str]:
    """Said to the end."""
    found: list[str] = []
    while sentence := speech.next():
        found.append(sentence.text)
        speech.done(sentence.number)
    return found


def out(speech: Speech) -> Sentence:
    sentence = speech.next()
    assert sentence is not None
    return sentence


def test_sentence_by_sentence_answers_before_news() -> None:
    speech, news = Speech(), News(Saying("Half of it is done.", "milestone"))
    speech.unasked = news
    speech.say(Saying("First. Second! 第三句。第四句。", "answer"))
    assert texts(speech) == ["First.", "Second!", "第三句。", "第四句。", "Half of it is done."]
    assert [each.text for each in news.told] == ["Half of it is done."]


def test_only_one_sentence_is_out_ahead() -> None:
    speech = Speech()
    speech.say(Saying("One. Two. Three.", "answer"))
    first, second = out(speech), out(speech)
    assert speech.next() is None
    speech.done(first.number)
    assert (second.text, out(speech).text) == ("Two.", "Three.")


def test_what_was_cut_goes_on_where_it_was_when_it_was_nothing() -> None:
    speech = Speech()
    speech.say(Saying("One. Two. Three.", "answer"))
    speech.done(out(speech).number)
    out(speech)
    speech.cut(1.0)
    assert speech.next() is None
    speech.resume()
    again = out(speech)
    assert (again.text, again.skip) == ("Two.", 0.8)
    speech.cut(0.5)
    speech.resume()
    assert out(speech).skip == 1.1
    assert "Two." not in speech.heard


def test_what_was_cut_is_dropped_when_somebody_wants_something_but_news_waits_again() -> None:
    speech, news = Speech(), News(Saying("May I deploy? Say yes or no.", "question", question="q"))
    speech.unasked = news
    speech.say(Saying("A long answer. With an end.", "answer"))
    out(speech)
    speech.cut(0.3)
    speech.drop()
    assert out(speech).text == "May I deploy?"
    speech.cut(0.2)
    speech.drop()
    speech.say(Saying("Noted.", "receipt"))
    assert texts(speech) == ["Noted.", "May I deploy?", "Say yes or no."]


def test_hush_means_it_need_not_be_said_again() -> None:
    speech, news = Speech(), News(Saying("It failed. Because of this. And that.", "outcome"))
    speech.unasked = news
    out(speech)
    speech.cut(0.2)
    speech.hush()
    assert texts(speech) == []
    assert len(news.told) == 1


def test_news_waits_while_an_answer_is_being_made() -> None:
    speech, news = Speech(), News(Saying("Half of it is done.", "milestone"))
    speech.unasked = news
    with speech.making():
        assert speech.next() is None
        with speech.making():
            speech.say(Saying("Here it is.", "answer"))
        assert texts(speech) == ["Here it is."]
    assert texts(speech) == ["Half of it is done."]


@given(st.text(max_size=2_000))
def test_any_text_is_cut_into_what_can_be_said(text: str) -> None:
    found = sentences(text)
    assert all(len(each) <= 300 and any(map(str.isalnum, each)) for each in found)
    assert [each for each in "".join(found) if each.isalnum()] == [each for each in text if each.isalnum()]


def test_marks_alone_are_not_said() -> None:
    assert sentences("That did not work. . ?! …") == ["That did not work."]


def test_nothing_begins_that_would_change_what_was_said() -> None:
    speech, news = Speech(), News(Saying("May I deploy?", "question", question="q"))
    speech.unasked = news
    speech.hold()
    assert speech.next() is None
    speech.say(Saying("Noted.", "receipt"))
    assert texts(speech) == ["Noted."]
    speech.release()
    assert texts(speech) == ["May I deploy?"]


def test_who_was_asked_is_listened_to_before_anything_else_is_asked() -> None:
    speech, news = Speech(), News(Saying("Half of it is done.", "milestone"))
    speech.unasked = news
    speech.attentive = True
    speech.say(Saying("And may I merge?", "answer", question="q"))
    assert speech.next() is None
    speech.say(Saying("Noted.", "receipt"))
    assert texts(speech) == ["Noted."]
    speech.attentive = False
    assert texts(speech) == ["And may I merge?", "Half of it is done."]


def test_answers_that_waited_come_after_what_was_nothing_and_never_after_what_was_wanted() -> None:
    for wanted in (False, True):
        speech = Speech()
        speech.say(Saying("One.", "answer"), Saying("Two.", "answer"))
        out(speech)
        speech.cut(0.1)
        if wanted:
            speech.drop()
        else:
            speech.resume()
        assert texts(speech) == ([] if wanted else ["One.", "Two."])


def test_questions_that_wait_are_asked_after_what_was_wanted_unless_they_are_answered() -> None:
    for answered in (False, True):
        speech = Speech()
        first, second = (Saying(f"May I {what}?", "question", question=what) for what in ("deploy", "merge"))
        speech.say(first, second, Saying("And more.", "answer"))
        out(speech)
        speech.cut(0.1)
        speech.drop()
        if answered:
            speech.forget("merge")
        speech.say(Saying("Noted.", "receipt"))
        assert texts(speech) == ["Noted."] + ["May I merge?"] * (not answered)


def test_what_was_promised_is_said_whoever_interrupts() -> None:
    speech = Speech()
    speech.promise(Saying("That did not work.", "receipt"))
    out(speech)
    speech.cut(0.1)
    speech.drop()
    speech.say(Saying("Half of it is done.", "answer"))
    assert texts(speech) == ["Half of it is done.", "That did not work."]
    assert texts(speech) == []


def test_what_was_cut_is_said_again_from_its_beginning_and_once() -> None:
    speech, news = Speech(), News(Saying("It failed. Because of this.", "outcome"))
    speech.unasked = news
    speech.done(out(speech).number)
    out(speech)
    speech.cut(0.2)
    assert speech.restart()
    assert texts(speech) == ["It failed.", "Because of this."]
    assert len(news.told) == 1
    assert not speech.restart()


def test_a_sentence_that_can_not_be_said_takes_no_other_with_it() -> None:
    speech = Speech()
    speech.say(Saying("One. Two. Three.", "answer"))
    first, second = out(speech), out(speech)
    speech.unsayable(second.number)
    third = out(speech)
    assert third.text == "Three."
    speech.done(first.number)
    assert speech.taken
    assert speech.done(third.number) is not None
    assert list(speech.heard) == ["One.", "Three."]


ACTS = st.lists(
    st.sampled_from(["next", "done", "cut", "resume", "restart", "drop", "hush", "say", "news", "unsayable"]),
    max_size=60,
)


@given(ACTS)
def test_whatever_happens_no_news_is_lost(acts: list[str]) -> None:
    speech, news = Speech(), News()
    speech.unasked = news
    given_: list[Saying] = []
    handed: list[Sentence] = []
    for act in acts:
        match act:
            case "next":
                if sentence := speech.next():
                    handed.append(sentence)
            case "done" if handed:
                speech.done(handed.pop(0).number)
            case "cut":
                speech.cut(0.1)
                handed.clear()
            case "say":
                speech.say(Saying("An answer. It has two.", "answer"))
            case "news":
                given_.append(Saying(f"News {len(given_)}. And more.", "outcome"))
                news.waiting.append(given_[-1])
            case "unsayable" if handed:
                speech.unsayable(handed.pop().number)
            case "resume" | "restart" | "drop" | "hush":
                getattr(speech, act)()
            case _:
                pass
    speech.cut(0.0)
    speech.drop()
    texts(speech)
    assert sorted(each.text for each in news.told) == sorted(each.text for each in given_)


def test_who_listens_is_told_of_what_was_noticed() -> None:
    speech, noticed = Speech(), list[str]()
    speech.noticed = lambda saying: noticed.append(saying.text)
    speech.say(Saying("One. Two.", "answer"), Saying("Three.", "answer"))
    first = out(speech)
    assert noticed == []
    speech.done(first.number)
    texts(speech)
    assert noticed == ["One. Two.", "Three."]
