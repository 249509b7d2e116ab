"""How long to wait before the same request is sent again; pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from reverse_etl.connector import NoAnswer

if TYPE_CHECKING:
    from random import Random

    from reverse_etl.connector import Answer, Response

FIRST_BACK_OFF_S = 1.0
LONGEST_BACK_OFF_S = 60.0
LONGEST_RETRY_AFTER_S = 300.0
"""A server that asks for more is asked again after this time: the figure may be a mistake."""

_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class RetryPolicy:
    """Exponential back-off with full jitter, within a budget."""

    def __init__(self, retry_seconds: float, rng: Random) -> None:
        """Try one request for ``retry_seconds``; ``rng`` spreads the repeats."""
        self._retry_seconds = retry_seconds
        self._rng = rng

    def next_wait(self, attempt: int, elapsed_s: float, answer: Answer) -> float | None:
        """Return the seconds to wait, or None when the budget is used up.

        The last wait is shortened so that one more sending falls on the end of the budget.

        Args:
            attempt: Sendings of this request so far, 1 or more.
            elapsed_s: Seconds since the first of them started.
            answer: What the last one got.
        """
        left = self._retry_seconds - elapsed_s
        if left <= 0:
            return None
        # The exponent is bounded because 2.0 ** 1024 overflows.
        ceiling = min(LONGEST_BACK_OFF_S, FIRST_BACK_OFF_S * 2.0 ** min(attempt - 1, 16))
        wait = self._rng.uniform(0, ceiling)
        if not isinstance(answer, NoAnswer):
            wait = max(wait, retry_after(answer))
        return min(wait, left)


def retry_after(response: Response) -> float:
    """Return the seconds that the server asks to wait; 0 when it says nothing usable.

    ``Retry-After`` is a number of seconds or an HTTP date (RFC 9110, section 10.2.3). A date is
    compared with the server's own ``Date``, so that clocks that differ do no harm.
    """
    text = response.headers.get("retry-after", "").strip()
    seconds = float(text) if _SECONDS.fullmatch(text) else _seconds_until(text, response)
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _seconds_until(text: str, response: Response) -> float:
    then, now = _http_date(text), _http_date(response.headers.get("date", ""))
    return (then - now).total_seconds() if then and now else 0.0


def _http_date(text: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    # "-0000" gives a naive time, which by the mail rules is UTC.
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
