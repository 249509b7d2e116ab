"""The clock of the machine."""

from __future__ import annotations

import time

from reverse_etl.clock import SystemClock


def test_the_time_in_which_the_machine_slept_counts() -> None:
    """A machine of the tests does not sleep, but its clocks say which of them would count it."""
    before = time.clock_gettime(time.CLOCK_BOOTTIME)
    found = SystemClock().monotonic()
    assert before <= found <= time.clock_gettime(time.CLOCK_BOOTTIME)
