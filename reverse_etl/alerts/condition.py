"""How a sync is, as one webhook sees it: pure functions from what happened."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from reverse_etl.config import NotificationConfig
    from reverse_etl.report import RunSummary

Condition: TypeAlias = str | None
"""``failed``, ``held``, ``failures`` or ``stale``; None while there is nothing to tell."""

# Endings of a run that say how the sync is; after any other it is as it was.
NEWS = frozenset({"failed", "held", "completed_with_failures", "succeeded"})


def condition_after(
    report: RunSummary, before: Condition, webhook: NotificationConfig
) -> Condition:
    """Return how a sync is after a run, as one webhook sees it.

    Args:
        report: The run.
        before: How it was, as far as the webhook was told.
        webhook: What it wants to hear of; the rest is no news to it.
    """
    if report.status not in NEWS:
        return before
    found = _condition(report, webhook.failed_percent)
    if found == "failures" and found not in webhook.on:
        return None  # who does not mind failures hears that it runs again
    return found if found is None or found in webhook.on else before


def _condition(report: RunSummary, failed_percent: float) -> Condition:
    if report.status in {"failed", "held"}:
        return report.status
    failed, of = tried(report)
    return "failures" if 100 * failed > failed_percent * of else None


def tried(report: RunSummary) -> tuple[int, int]:
    """Return how many changes of a run failed, of how many that were tried."""
    failed = sum(report.failed.values())
    return failed, failed + sum(report.succeeded.values())


def condition_by_age(
    since: datetime, now: datetime, before: Condition, webhook: NotificationConfig
) -> Condition:
    """Return how a sync is that has not succeeded for a while; one known to be ill stays so.

    Args:
        since: When it last succeeded.
        now: The present.
        before: How it was, as far as the webhook was told.
        webhook: What it wants to hear of.
    """
    return "stale" if before is None and is_stale(since, now, webhook) else before


def is_stale(since: datetime, now: datetime, webhook: NotificationConfig) -> bool:
    """Return whether a webhook wants to hear that a sync has not succeeded for so long."""
    return "stale" in webhook.on and now - since > timedelta(hours=webhook.stale_hours)


def conditions_in(text: str | None) -> dict[str, str]:
    """Return what ``sync_state.alerts`` says: the condition by the webhook's key.

    What cannot be read was not written here, and says nothing.
    """
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def text_of(conditions: dict[str, str]) -> str | None:
    """Return conditions as ``sync_state.alerts`` holds them; NULL where there are none."""
    return json.dumps(conditions, sort_keys=True) if conditions else None
