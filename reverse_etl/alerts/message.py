"""What a webhook is told: the facts as JSON, or a text for Slack. It names nobody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reverse_etl.alerts.condition import tried
from reverse_etl.report import FORMAT_VERSION, RunSummary

# What is left of a long text: Slack takes 40,000 characters, a person reads less.
LONGEST_TEXT = 3_000
_LONGEST_REASON = 2_000


@dataclass(frozen=True)
class Message:
    """What a webhook is told; it names nobody.

    Attributes:
        event: As in ``on`` of the config; ``test`` for a message that says nothing.
        at: When, in UTC.
        sync: The sync; None in a test.
        report: The run that it is about; None where it is about none.
        last_success: Since when no run has succeeded, in UTC; only where the event is ``stale``.
    """

    event: str
    at: datetime
    sync: str | None = None
    report: RunSummary | None = None
    last_success: datetime | None = None

    def body(self, form: str) -> bytes:
        """Return the body of the request: ``slack``, or ``json`` for all the facts."""
        return json.dumps({"text": self.slack()} if form == "slack" else self.document()).encode()

    def document(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        stale = {"last_success": _iso(self.last_success)} if self.last_success else {}
        return {
            "format_version": FORMAT_VERSION,
            "event": self.event,
            "sync": self.sync,
            "at": _iso(self.at),
            **(_facts(self.report) if self.report else dict.fromkeys(_FACTS)),
            **stale,
            "text": " ".join(self.sentence().split()),
        }

    def slack(self) -> str:
        """Return the text for Slack: what happened, and what to do next."""
        return escaped("\n".join(filter(None, (self.sentence(), self._next_step()))))

    def sentence(self) -> str:
        """Return what happened, in one sentence."""
        report = self.report or RunSummary("")
        run = f"run {report.run_id}" if report.run_id is not None else "no run"
        reason = _cut(_reason(report), _LONGEST_REASON) or report.error_code or "no reason is known"
        failed, of = tried(report)
        ended = f" with {failed} of {of} changes failed" if failed else ""
        texts = {
            "failed": f"{self.sync} failed ({run}): {reason}",
            "held": f"{self.sync} was held by the brake ({run}): {reason}",
            "failures": f"{self.sync} completed{ended} ({run})",
            "stale": f"{self.sync} has had no run that succeeded since {_iso(self.last_success)}",
            "recovered": f"{self.sync} recovered ({run}){ended}",
            "test": "This is a test of reverse-etl: nothing has happened, and messages arrive here",
        }
        return texts[self.event]

    def _next_step(self) -> str | None:
        steps = {
            "failed": "See how it stands with: reverse-etl status",
            "held": f"See what it would send with: reverse-etl plan {self.sync}",
            "failures": f"See why with: reverse-etl failures {self.sync}",
            "stale": "See how it stands with: reverse-etl status",
        }
        return steps.get(self.event)


_FACTS = (
    *("run_id", "status", "error_code", "error", "planned", "succeeded", "failed"),
    "failed_records_open",
)


def _facts(report: RunSummary) -> dict[str, Any]:
    """Return what of a run a webhook is told, by the names of the contract."""
    whole = report.document() | {"error": _cut(_reason(report), LONGEST_TEXT) or None}
    return {name: whole[name] for name in _FACTS}


def _reason(report: RunSummary) -> str:
    """Return why a run ended as it did, without the names of people."""
    return report.error_brief or report.error or ""


def _iso(moment: datetime | None) -> str | None:
    """Return a moment in UTC, with or without its time zone, in ISO 8601."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z" if moment else None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(text: str, most: int = LONGEST_TEXT) -> str:
    """Return a text as Slack takes it literally, cut to so many characters, never within one."""
    whole = "".join(_ESCAPED.get(letter, letter) for letter in text)
    if len(whole) <= most:
        return whole
    kept, length = [], 0
    for letter in text:
        piece = _ESCAPED.get(letter, letter)
        length += len(piece)
        if length >= most:
            break
        kept.append(piece)
    return "".join(kept) + "…"
