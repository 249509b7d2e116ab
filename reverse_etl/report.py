"""What a run tells whoever asked for it: a value, a JSON document, a few lines of text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reverse_etl.connector import Operation
from reverse_etl.errors import Busy, RunError

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT_VERSION = "1.0"

EXIT_CODES = {
    "planned": 0,
    "succeeded": 0,
    "skipped": 0,
    "failed": 1,
    "completed_with_failures": 3,
    "held": 4,
    "busy": 5,
    "interrupted": 130,
}

# Several syncs: the worst exit code, in this order (design §4).
WORST_FIRST = (2, 143, 130, 1, 4, 5, 3, 0)


def by_operation() -> dict[Operation, int]:
    """Return a zero for each operation."""
    return dict.fromkeys(Operation, 0)


@dataclass(frozen=True)
class AuditSample:
    """One person that an audit shows.

    Attributes:
        identity: Who; of people whom others added, as the destination names them.
        reason: What is known beside the count they are in, or None.
    """

    identity: str
    reason: str | None = None


@dataclass
class AuditReport:
    """How the destination compares with what is believed of it.

    Attributes:
        sync: Name of the sync.
        audits: ``members`` or ``profiles``.
        run_id: The committed run that was compared with; None when there is none.
        counts: People by what was found, see ``docs/audit.md``.
        samples: Some of them, by the same words.
        wrong: How many of them a repair would put right.
        notes: What the counts cannot say.
    """

    sync: str
    audits: str
    run_id: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[AuditSample]] = field(default_factory=dict)
    wrong: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """Return the exit code of the command line for this audit."""
        return 1 if self.wrong else 0

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "sync": self.sync,
            "audits": self.audits,
            "base_run_id": self.run_id,
            "in_step": self.wrong == 0,
            "wrong": self.wrong,
            "counts": self.counts,
            "samples": {
                word: [{"identity": one.identity, "reason": one.reason} for one in some]
                for word, some in self.samples.items()
            },
            "notes": self.notes,
        }


@dataclass
class RunSummary:
    """One run of one sync.

    Attributes:
        sync: Name of the sync.
        run_id: Its number, or None when no run was started (busy, skipped).
        status: As in ``sync_runs``; also ``busy``, ``skipped`` when dbt did not build what the sync
            reads, and ``planned`` for a preview.
        planned: Changes planned, by operation.
        succeeded: Changes confirmed.
        failed: Changes tried and not confirmed.
        retries: Planned changes that an earlier run had left open.
        invalid: Rows without a usable identifier.
        duplicates: Rows that lost their identity to another row.
        failed_records_open: Failed records of the sync after the run.
        requests: Requests sent.
        error_code: Stable name of what stopped the run, or kept it from starting, else None.
        error: One line for a person, else None.
        error_brief: The same without the names of people, for logs and channels; None where
            ``error`` has none.
        seconds: How long each phase took: ``prepare``, ``plan``, ``deliver``, ``settle``.
        aftermath: What a run left that ended before its plan was sent, and what the next run will
            do; else None.
        answers: Requests of the delivery by the HTTP status of their answer; 0 for no answer.
        warnings: Remarks that stopped nothing.
        audit: What was found wrong before the plan was made, when the run was a repair.
    """

    sync: str
    run_id: int | None = None
    status: str = "planning"
    planned: dict[Operation, int] = field(default_factory=by_operation)
    succeeded: dict[Operation, int] = field(default_factory=by_operation)
    failed: dict[Operation, int] = field(default_factory=by_operation)
    retries: int = 0
    invalid: int = 0
    duplicates: int = 0
    failed_records_open: int = 0
    requests: int = 0
    error_code: str | None = None
    error: str | None = None
    error_brief: str | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    aftermath: str | None = None
    answers: dict[int, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    audit: AuditReport | None = None

    @property
    def exit_code(self) -> int:
        """Return the exit code of the command line for this run."""
        # One that has not ended yet (planning): nobody may take it for done.
        return EXIT_CODES.get(self.status, 1)

    @property
    def delivered(self) -> bool:
        """Whether the run sent all that it had planned; some of it may have been refused."""
        return self.status in {"succeeded", "completed_with_failures"}

    def raise_for_status(self) -> None:
        """Do nothing when the run delivered all it had planned; else raise why it did not.

        Raises:
            Busy: Another run of the sync is active.
            RunError: The run failed, was held or interrupted, or some records failed.
        """
        if self.exit_code == 0:
            return
        kind = Busy if self.status == "busy" else RunError
        error = kind(self.sentence())
        error.code = self.error_code or self.status
        raise error

    def document(self) -> dict[str, Any]:
        """Return the report as JSON values, by the names of the contract."""
        return {
            "sync": self.sync,
            "run_id": self.run_id,
            "status": self.status,
            "planned": self.named(self.planned),
            "succeeded": self.named(self.succeeded),
            "failed": self.named(self.failed),
            "retries": self.retries,
            "invalid": self.invalid,
            "duplicates": self.duplicates,
            "failed_records_open": self.failed_records_open,
            "requests": self.requests,
            "error_code": self.error_code,
            "error": self.error,
            "warnings": self.warnings,
            "seconds": {phase: round(spent, 3) for phase, spent in self.seconds.items()},
            **({"audit": self.audit.document()} if self.audit else {}),
        }

    def lines(self) -> list[str]:
        """Return the report as text for a terminal."""
        run = f" run {self.run_id}" if self.run_id is not None else ""
        lines = [f"{self.sync}{run}: {self.status.replace('_', ' ')}"]
        if any(self.planned.values()):
            lines += [self._counts(operation) for operation in Operation if self.planned[operation]]
        elif self.status == "succeeded":
            lines.append("  nothing to send")
        facts = counted(
            (self.requests, "request", ""),
            (self.retries, "change", "left open by an earlier run"),
            (self.invalid, "row", "without identifier"),
            (self.duplicates, "duplicate row", ""),
            (self.failed_records_open, "failed record", "open"),
        )
        if facts:
            lines.append(f"  {facts}")
        if self.seconds:
            phases = (f"{phase} {spent:.1f}" for phase, spent in self.seconds.items())
            lines.append(f"  {sum(self.seconds.values()):.1f} s: {', '.join(phases)}")
        lines += [f"  warning: {warning}" for warning in self.warnings]
        if self.error:
            lines += [f"  {line}" for line in self.error.splitlines()]
        if self.aftermath:
            lines.append(f"  {self.aftermath}")
        return lines

    def sentence(self) -> str:
        """Return the run in one sentence that names nobody."""
        run = f"run {self.run_id} " if self.run_id is not None else ""
        facts = [
            f"{operation.value} {self.succeeded[operation]} of {planned}"
            for operation, planned in self.planned.items()
            if planned
        ]
        if sum(self.failed.values()):
            facts.append(f"{sum(self.failed.values())} failed")
        counts = f" ({', '.join(facts)})" if facts else ""
        text = f"{self.sync}: {run}{self.status.replace('_', ' ')}{counts}"
        reason = self.error_brief or self.error
        return f"{text}: {reason}" if reason else text

    @staticmethod
    def named(counts: dict[Operation, int]) -> dict[str, int]:
        """Return counts by the names of the operations."""
        return {operation.value: count for operation, count in counts.items()}

    def _counts(self, operation: Operation) -> str:
        failed = self.failed[operation]
        text = f"  {operation.value}: {self.succeeded[operation]} of {self.planned[operation]}"
        return f"{text}, {failed} failed" if failed else text


NOTHING_SENT = (
    "Nothing was sent, and what earlier runs left is as it was: the next run starts where this one "
    "did"
)


def rest_of(planned: int, tried: int) -> str | None:
    """Return what becomes of the changes of a plan that were not tried; None where all were."""
    if planned <= tried:
        return None
    left = counted((planned - tried, "change", "of the plan"))
    are = "is" if planned - tried == 1 else "are"
    return f"{left} {are} not sent and not lost: the next run sends what is still right of it"


def counted(*facts: tuple[int, str, str]) -> str:
    """Return the counts that are not zero in words; each is a count, its noun, and the rest."""
    return ", ".join(
        f"{count} {noun}{'' if count == 1 else 's'} {rest}".rstrip()
        for count, noun, rest in facts
        if count
    )


def worst(codes: Iterable[int]) -> int:
    """Return the exit code that stands for several."""
    found = set(codes)
    return next((code for code in WORST_FIRST if code in found), 0)
