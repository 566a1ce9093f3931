"""What views make of events: the tree, the lines, the transcript. No process, no database."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from orchestrator.cli.output import watch
from orchestrator.cli.picture import Picture
from orchestrator.cli.plain import PlainView, checklist_line
from orchestrator.cli.rendering import TreeView, headline
from orchestrator.cli.transcript import Telling
from orchestrator.cli.wording import money, one_line, spent
from orchestrator.transcript import AttemptStory, Call, Entry, Told, Words, unframed
from orchestrator.views import ChecklistItem, EventView, Progress, RunView, Spend, TodoView, done_part
from roles.gist import gist
from roles.untrusted import as_data

RUN = "01a1ffa7-a546-70c2-9ec9-38373404522f"


def run_view(name: str = "fix-a-bug", *, tokens: int = 0, usd: float = 0.0) -> RunView:
    spend = Spend(tokens, 0, usd)
    return RunView(RUN, name, None, "in_progress", None, Progress(0, 1), spend, None, None)


def todo(
    key: str, kind: str = "agent", state: str = "pending", checklist: tuple[tuple[str, str], ...] = ()
) -> TodoView:
    items = [ChecklistItem(text, state) for state, text in checklist]
    return TodoView(key, key, f"Title of {key}", kind, None, state, None, None, [], 0, None, items, None, None)


def event(type: str, todo: str | None = "fix", **data: Any) -> EventView:
    return EventView(RUN, 1, "2026-11-21T19:49:01.000Z", type, todo, data)


def started(attempt: int) -> EventView:
    return event("todo.state", "fix", **{"from": "ready", "to": "in_progress"}, attempt=attempt)


def tool(name: str, about: str, state: str) -> EventView:
    return event("role.tool", role="hephaestus", tool=name, about=about, state=state)


def shown(picture: Picture, columns: int, lines: int = 24) -> list[str]:
    """The tree on a screen of that size."""
    out = io.StringIO()
    console = Console(file=out, width=columns, height=lines, force_terminal=False)
    console.print(TreeView(console, picture)._render())  # pyright: ignore[reportPrivateUsage]
    return [line.rstrip() for line in out.getvalue().splitlines()]


def printed(picture: Picture, *events: EventView) -> list[str]:
    out = io.StringIO()
    PlainView(picture, out).show(events)
    return [line[10:] for line in out.getvalue().splitlines()]


def at_work(*events: EventView) -> Picture:
    picture = Picture.of(run_view(tokens=61_770, usd=0.0123), [todo("fix", state="ready")])
    for each in (started(0), *events):
        picture.apply(each)
    return picture


def test_todos_that_a_plan_adds_come_in_its_order() -> None:
    picture = Picture.of(run_view(), [todo("plan", "plan", "in_progress")])
    assert not picture.knows(event("todo.state"))
    picture.learn([todo("plan", "plan"), todo("fix", state="completed"), todo("report", "report")])
    assert list(picture.todos) == ["plan", "fix", "report"]
    assert picture.todos["plan"].state == "in_progress", "what was known stays as it was"
    assert picture.todos["fix"].state == "pending", "how it stands is for its events to tell"


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_tree_fits_and_the_last_column_gives_way(columns: int) -> None:
    picture = at_work(
        event("role.checklist", items=[("done", "one"), ("open", "two " * 50)]),
        tool("workspace_run", "python3 -m pytest " * 20, "running"),
    )
    lines = shown(picture, columns)
    assert all(len(line) <= columns for line in lines)
    assert "● fix in_progress" in lines[1]
    assert "1/2, open" in lines[2] if columns > 40 else lines[2].strip()


def test_the_tree_tells_tools_words_and_steps() -> None:
    running = tool("workspace_run", "make", "running")
    assert "hephaestus  ▸ workspace_run make" in shown(at_work(running), 100)[1]
    assert (
        "hephaestus  ✗ workspace_run make" in shown(at_work(running, tool("workspace_run", "make", "failed")), 100)[1]
    )
    turn = event("role.turn", role="oracle", text="It is\nthe order.", tokens=1, cached=0, usd=0.0)
    assert "oracle  It is the order." in shown(at_work(running, turn), 100)[1]
    silent = event("role.turn", role="hephaestus", text="", tokens=1, cached=0, usd=0.0)
    assert "▸ workspace_run make" in shown(at_work(running, silent), 100)[1]
    again = event("todo.state", **{"from": "in_progress", "to": "ready", "reason": "verification", "detail": "no\nway"})
    assert shown(at_work(running, again), 100)[1].split()[:3] == ["○", "fix", "ready:"]


def test_a_new_attempt_begins_without_a_checklist_and_a_takeover_keeps_it() -> None:
    listed = event("role.checklist", items=[("open", "one")])

    assert at_work(listed, started(0)).todos["fix"].checklist == [("open", "one")]
    assert at_work(listed, started(1)).todos["fix"].checklist == []


def test_a_screen_that_is_too_small_shows_what_moves() -> None:
    todos = [todo(f"t{number}") for number in range(50)]
    picture = Picture.of(run_view(), [*todos, todo("moves", state="in_progress")])
    lines = shown(picture, 80, 10)
    assert len(lines) <= 9
    assert any("moves" in line for line in lines)
    assert "more: 50 pending, 1 in_progress" in lines[-1]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_long_name_gives_way_in_the_headline(columns: int) -> None:
    picture = Picture.of(run_view("a goal in many words " * 4, tokens=61_770, usd=0.0123), [])
    picture.reason = "something that takes long to tell, and is told again at the end anyway"
    line = headline(picture, columns).plain
    assert len(line) <= max(columns, 75)
    assert "0/1  0%  61,770 tokens, $0.0123" in line


def test_lines_are_sober() -> None:
    picture = at_work()
    picture.learn([todo("fix"), todo("next"), todo("report", "report")])
    fix = "fix".ljust(24)
    assert printed(
        picture,
        event("role.turn", role="oracle", text="a\n\x1b[31mb", tokens=1, cached=0, usd=0.0),
        event("role.turn", role="oracle", text="", tokens=1, cached=0, usd=0.0),
        tool("workspace_run", "make", "running"),
        tool("workspace_run", "make", "done"),
        tool("workspace_edit", "a.py", "failed"),
        event("role.checklist", items=[("done", "one"), ("split", "two"), ("open", "three")]),
        event("role.note", kind="learning", text="so\nso"),
        event("todo.risk", text="fix: make: exit code 1"),
        event("todo.log", fence=1, offset=3, lines=["noise"]),
        event("run.planned", hash="", todos=2),
        event("run.budget", None, exhausted=False, tokens=1_600, usd=0.5),
    ) == [
        f'{fix} oracle: "a [31mb"',
        f"{fix} hephaestus: workspace_run make",
        f"{fix} hephaestus: workspace_edit a.py: failed",
        f"{fix} checklist 1/2, open: three",
        f"{fix} note (learning): so so",
        f"{fix} planned: next",
        f"{'':<24} the budget is nearly used up (1,600 tokens, $0.5000)",
    ]


@pytest.mark.parametrize(("cause", "why"), [("died", "its worker died"), ("lease_lost", "its worker did not answer")])
def test_a_lost_worker_is_told(cause: str, why: str) -> None:
    lost = event("worker.took_over", worker="", cause=cause, crash_count=1)
    back = event("todo.state", **{"from": "in_progress", "to": "ready"})
    fix = "fix".ljust(24)
    assert printed(at_work(), lost, back, started(0), back) == [
        f"{fix} will be tried again ({why})",
        f"{fix} in_progress",
    ]
    assert shown(at_work(lost, back), 100)[1].split(maxsplit=2)[2].startswith(f"ready: {why}")


def test_who_begins_to_watch_is_told_how_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    picture = Picture.of(run_view(tokens=61_770, usd=0.0123), [])
    with watch(picture, as_lines_of_json=True) as view:
        view.begin()
    assert capsys.readouterr().out == ""
    with watch(picture, as_lines_of_json=False) as view:
        view.begin()
    assert capsys.readouterr().out == "fix-a-bug 3404522f: in_progress, 0/1 settled; 61,770 tokens, $0.0123\n"


def test_amounts() -> None:
    assert [money(0.0), money(0.01234), money(12.3456)] == ["", "$0.0123", "$12.35"]
    assert spent(Spend(61_770, 12_000, 0.0123)) == "61,770 tokens (12,000 cached), $0.0123"
    assert spent(Spend()) == ""
    assert one_line("a  b\n c" * 10, 8) == "a b ca…"
    assert checklist_line([("done", "a"), ("dropped", "b")]) == "1/1"
    assert done_part([("done", "a"), ("open", "b"), ("split", "c")]) == 0.5
    assert done_part([]) is None


CALLS: list[tuple[str, dict[str, Any], str]] = [
    ("workspace_run", {"timeout": 5, "command": "make\n  all"}, "make all"),
    ("verdict", {"approve": True}, "approves"),
    ("verdict", {"approve": False, "findings": [{}, {}]}, "objects: 2 findings"),
    ("verdict", {"approve": "true", "findings": "some"}, "objects: 0 findings"),
    ("checklist", {"action": "complete", "item": 2}, "complete 2"),
    ("checklist", {"action": "set", "items": ["a"]}, "set 1 item"),
    ("submit_plan", {"plan": "atlas: 1"}, ""),
    ("check", {}, ""),
    ("done", {"summary": "x" * 500}, "x" * 160),
]


@pytest.mark.parametrize(("name", "arguments", "found"), CALLS)
def test_the_gist_of_a_call(name: str, arguments: dict[str, Any], found: str) -> None:
    assert gist(name, arguments) == found


def test_a_transcript_is_short_and_the_full_one_leaves_nothing_out() -> None:
    words = "\n".join(f"line {number}" for number in range(40))
    entries: list[Entry] = [
        Words(0.0, "atlas", "work", words, opens=True),
        Words(1.0, "hephaestus", "work", words),
        Call(1.0, "hephaestus", "workspace_run", "make", {"command": "make", "lines": "a\nb"}, "done", words),
        Call(1.0, "hephaestus", "workspace_edit", "a.py", {}, "intent", ""),
        Told(2.0, "decision", "made to go on: \x1b]0;title\x07"),
    ]
    story = AttemptStory(2, 0, [3, 4], None, 1.5, "failed", "verification", "make: exit code 2", entries)
    brief = [line.text for line in Telling(60).told(story)]
    assert brief[0] == "── attempt 2 (--attempt 3, 4): failed (verification) in 1.5s"[:59] + "…"
    assert all(len(line) <= 60 for line in brief)
    assert sum("more line" in line for line in brief) == 3
    assert "\x1b" not in "".join(brief)
    assert brief[-2:] == ["failed (verification):", "            make: exit code 2"]
    full = [line.text for line in Telling(60, full=True).told(story)]
    assert sum(line.strip() == "line 39" for line in full) == 3
    assert "              command: make" in full
    assert "              (it runs)" in full


def test_marks_that_are_for_models_are_not_shown() -> None:
    assert unframed(f"before\n{as_data('a file', 'x < y')}\nafter") == "before\nx < y\nafter"
    forged = '<data id="000000000000" source="x">\nnever closed'
    assert unframed(forged) == forged
