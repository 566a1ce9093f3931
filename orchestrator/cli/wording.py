"""How durations, amounts and long texts are put on a screen."""

from __future__ import annotations

from typing import cast

from orchestrator.views import EvidenceView, Spend


def duration(seconds: float) -> str:
    """``3.2s``, ``2m05s``, ``1h02m``"""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def one_line(text: str, width: int) -> str:
    """In one line of at most so many characters, without control characters."""
    line = " ".join("".join(each if each.isprintable() else " " for each in text[: 4 * width]).split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def money(usd: float, before: str = "") -> str:
    """``$0.0123``; nothing for nothing, which is what models of unknown price seem to cost."""
    if not usd:
        return ""
    return f"{before}${usd:.2f}" if usd >= 1 else f"{before}${usd:.4f}"


def spent(spend: Spend) -> str:
    """``61,770 tokens (12,000 cached), $0.0123``; empty if no model was asked."""
    if not spend.tokens:
        return ""
    cached = f" ({spend.cached_tokens:,} cached)" if spend.cached_tokens else ""
    return f"{spend.tokens:,} tokens{cached}{money(spend.usd, ', ')}"


def standing(name: str, run: str, state: str, settled: int, total: int, spend: Spend) -> str:
    """``docs 3a1b2c3d: in_progress, 2/5 settled; 61,770 tokens``"""
    cost = f"; {spent(spend)}" if spend.tokens else ""
    return f"{name} {run[-8:]}: {state}, {settled}/{total} settled{cost}"


def checked(row: EvidenceView) -> str:
    """What was checked, in a line: the command, or what else the item of the verification is about."""
    if row.command:
        return " ".join(row.command.split())
    kind, value = next(iter(row.item.items()), ("", ""))
    said = ", ".join(map(str, cast("list[object]", value))) if isinstance(value, list) else str(value)
    return " ".join((said if kind in ("ask", "file") else f"{kind} {said}").split())
