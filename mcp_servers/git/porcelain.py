"""What git says in its formats for programs, as results."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from mcp_servers.git.results import BlamedLine, Change, Commit, State, Worktree

_STATES: dict[str, State] = {
    ".": "", "M": "modified", "A": "added", "D": "deleted", "R": "renamed", "C": "copied", "T": "type changed",
    "U": "unmerged",
}  # fmt: skip
COMMIT = "%H%x00%P%x00%an%x00%ae%x00%aI%x00%cI%x00%D%x00%s%x00%b"
_FIELDS = COMMIT.count("%x00") + 1
_BODY_CHARACTERS = 4_000


def parsed_status(listing: str) -> tuple[dict[str, str], list[Change]]:
    """(what the branch lines say, the changes) of ``status --porcelain=v2 -z --branch``."""
    facts: dict[str, str] = {}
    changes: list[Change] = []
    entries = iter(listing.split("\0"))
    for entry in entries:
        match entry[:1]:
            case "#":
                name, _, value = entry[2:].partition(" ")
                facts[name] = value
            case "1":
                _, both, *_, path = entry.split(" ", 8)
                changes.append(_change(path, both))
            case "2":
                _, both, *_, path = entry.split(" ", 9)
                changes.append(_change(path, both, next(entries)))
            case "u":
                changes.append(Change(path=_shown(entry.split(" ", 10)[10]), staged="unmerged", unstaged="unmerged"))
            case "?":
                changes.append(Change(path=_shown(entry[2:]), staged="", unstaged="untracked"))
            case _:
                continue
    return facts, changes


def _change(path: str, both: str, before: str | None = None) -> Change:
    old = _shown(before) if before is not None else None
    return Change(path=_shown(path), staged=_STATES[both[0]], unstaged=_STATES[both[1]], renamed_from=old)


def _shown(path: str) -> str:
    """A name that is not UTF-8 can't be told in JSON; it is shown with replacement characters."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def ahead_behind(text: str) -> tuple[int | None, int | None]:
    """Of a ``branch.ab`` line."""
    ahead, _, behind = text.partition(" ")
    return (int(ahead), -int(behind)) if behind and "?" not in text else (None, None)


def parsed_commits(out: str) -> list[Commit]:
    """Of ``log -z`` with `COMMIT` as its format."""
    fields = out.split("\0") if out else []
    return [_commit(fields[at : at + _FIELDS]) for at in range(0, len(fields), _FIELDS)]


def _commit(fields: Sequence[str]) -> Commit:
    id, parents, author, email, authored, committed, refs, subject, body = fields
    if len(body) > _BODY_CHARACTERS:
        body = f"{body[:_BODY_CHARACTERS]}… (git_show {id} has all of it)"
    return Commit(
        id=id.strip(), parents=parents.split(), author=author, email=email, authored=authored, committed=committed,
        refs=[ref for ref in refs.split(", ") if ref], subject=subject, body=body.strip(),
    )  # fmt: skip


def parsed_worktrees(listing: str) -> list[Worktree]:
    """Of ``worktree list --porcelain -z``."""
    found: list[Worktree] = []
    for block in listing.split("\0\0"):
        facts: dict[str, str] = {}
        for line in block.split("\0"):
            name, _, value = line.partition(" ")
            facts[name] = value
        if "worktree" in facts:
            branch = facts.get("branch", "").removeprefix("refs/heads/") or None
            found.append(
                Worktree(path=facts["worktree"], commit=facts.get("HEAD"), branch=branch, locked="locked" in facts)
            )
    return found


def parsed_blame(text: str) -> list[BlamedLine]:
    """Of ``blame --line-porcelain``."""
    found: list[BlamedLine] = []
    facts: dict[str, str] = {}
    commit, number = "", 0
    for line in text.split("\n"):
        if line.startswith("\t"):
            authored = datetime.fromtimestamp(int(facts.get("author-time", 0)), UTC).isoformat()
            found.append(
                BlamedLine(line=number, commit=commit, author=facts.get("author", ""), authored=authored, text=line[1:])
            )
            facts = {}
        elif not facts and (head := line.split(" ")) and len(head) >= 3 and len(head[0]) in (40, 64):
            commit, number = head[0], int(head[2])
            facts["seen"] = ""
        else:
            name, _, value = line.partition(" ")
            facts[name] = value
    return found
