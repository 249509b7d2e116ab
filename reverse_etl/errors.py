"""What can go wrong, by what happens next.

    ReverseEtlError
    ├── ConfigError            exit 2   nothing was contacted; every problem is listed
    ├── Busy                   exit 5   another run of this sync is active
    └── RunError               exit 1   the run stops; what it knows is in the tables
        ├── SourceError                 the query cannot be used as it is
        ├── WarehouseError              the warehouse refused or lost a statement
        │   └── RightsError             a right is missing; the message has the GRANTs
        ├── AccountChanged              the sync name belongs to another account or list
        ├── PlanRefused                 ``--plan FILE`` is not what a run would send now
        ├── LeaseLost                   another run took over; this one may write nothing more
        ├── Interrupted                 told to stop; what was on the wire is settled
        └── DestinationError            the destination stopped the run (key, list, limit, outage)

Only the command line turns an error into a line of text and an exit code; the library raises.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ReverseEtlError(Exception):
    """Something the user can act on.

    Attributes:
        code: Stable snake_case name of the error, as written to ``sync_runs.error_code``.
        exit_code: Exit code of the command line (design: 1 failed, 2 config, 5 busy).
    """

    code = "error"
    exit_code = 1


class ConfigError(ReverseEtlError):
    """The config cannot be used; ``problems`` holds one finished line for each fault."""

    code = "config_error"
    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        """Keep the problem lines; the text of the error is all of them."""
        super().__init__("\n".join(problems))
        self.problems = problems


class Busy(ReverseEtlError):
    """Another run of this sync is active, or the DuckDB file is locked by another process."""

    code = "busy"
    exit_code = 5


class RunError(ReverseEtlError):
    """A run that stops. ``code`` and the text go to ``sync_runs``.

    Attributes:
        brief: The text without the names of people, where it has some; else None.
    """

    code = "run_failed"

    def __init__(self, reason: str, *, code: str | None = None, brief: str | None = None) -> None:
        """Say what happened and the next step; ``code`` replaces the class's own."""
        super().__init__(reason)
        self.brief = brief
        if code is not None:
            self.code = code


class SourceError(RunError):
    """The source query fails, lacks a mapped column, or is more than one statement."""

    code = "source_error"


class WarehouseError(RunError):
    """The warehouse refused or lost a statement of ours."""

    code = "warehouse_error"


class RightsError(WarehouseError):
    """A right on the warehouse is missing; the text holds the exact GRANT statements."""

    code = "missing_rights"


class AccountChanged(RunError):
    """The sync name already belongs to another account, object or list."""

    code = "account_changed"


class PlanRefused(RunError):
    """The plan file does not describe what a run would send now."""

    code = "plan_refused"


class LeaseLost(RunError):
    """The lease expired and another run took it: nothing more may be written or sent."""

    code = "lease_lost"


class Interrupted(RunError):
    """The run was told to stop (SIGINT, SIGTERM) and ended in order."""

    code = "interrupted"


class DestinationError(RunError):
    """The destination stopped the run: wrong key, unknown list, field limit, outage."""

    code = "destination_error"


def describe_bug(error: BaseException) -> str:
    """Return what to report of an error that nobody expected: its kind, and where it happened.

    Not what it says: a library may quote a row, or an address with a password in it.
    """
    trace = "".join(_trace(error, set())).rstrip()
    head = f"this is a bug in reverse-etl ({type(error).__name__}); please report it with these"
    return f"{head} lines:\n{trace}"


def _trace(error: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(error))
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None and id(earlier) not in seen:
        yield from _trace(earlier, seen)
        yield "which led to:\n"
    yield from traceback.format_tb(error.__traceback__)
    yield f"{type(error).__name__} (what it says is hidden, as it may quote a row)\n"
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield "among others:\n"
            yield from _trace(each, seen)
