"""SIGINT and SIGTERM: the first asks a run to end in order, the second ends the process."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_FIRST_SIGNAL_CODE = 128
_SHOW_CURSOR = b"\x1b[?25h"


class Stop:
    """Whether to stop: false until a signal comes, within the ``with`` block.

    After the first signal the requests on the wire are awaited and settled, which takes as long
    as the destination takes to answer, but not longer than the grace. A second signal, or the
    end of the grace, ends the process at once: as after a crash, the next run repairs.
    """

    def __init__(
        self, grace_seconds: float, line: Callable[[str], str] = lambda text: text
    ) -> None:
        """Prepare; nothing changes before the block.

        Args:
            grace_seconds: Longest time from the first signal to the end of the process.
            line: Makes the lines on standard error of what there is to say.
        """
        self._grace_seconds = grace_seconds
        self._line = line
        self._number: int | None = None
        self._before: dict[int, object] = {}
        self._timer: threading.Timer | None = None

    def __call__(self) -> bool:
        """Return whether to stop."""
        return self._number is not None

    @property
    def exit_code(self) -> int:
        """Return the exit code of a run that was interrupted: 130 or 143."""
        return _FIRST_SIGNAL_CODE + (self._number or signal.SIGINT)

    def __enter__(self) -> Self:
        """Listen."""
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        if self._timer is not None:
            self._timer.cancel()
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # as signal() returned it

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._number is not None:
            self._restore()
            self._leave(number, "stopped at once")
        self._number = number
        self._say(
            # A query, or requests on the wire: no matter which to who waits.
            f"stopping: what is under way has {self._grace_seconds:g} s to end; the same signal "
            "again leaves at once",
        )
        reason = f"what was under way took longer than {self._grace_seconds:g} s"
        self._timer = threading.Timer(self._grace_seconds, self._leave, [number, reason])
        self._timer.daemon = True
        self._timer.start()

    def _leave(self, number: int, reason: str) -> None:
        if os.isatty(2):
            os.write(2, _SHOW_CURSOR)  # a progress bar hides it
        self._say(f"{reason}: the next run settles what this one leaves behind")
        os._exit(_FIRST_SIGNAL_CODE + number)

    def _say(self, text: str) -> None:
        # Not sys.stderr: the signal may have come in the middle of a write to it.
        os.write(2, f"{self._line(text)}\n".encode())
