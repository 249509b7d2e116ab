"""The plan of a run, without the run: nothing is sent and nothing is kept.

The same planning as a run's, in temporary tables of one transaction that is given up in the end.
No lease is taken, so a preview never stands in the way of a run.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from reverse_etl.account import account_of, is_same_account, refuse_changed_account
from reverse_etl.connector import Operation
from reverse_etl.planning import Plan, base_tables, make_plan, plan_digest
from reverse_etl.ports import Ports
from reverse_etl.report import RunSummary
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.damage import refuse_damage
from reverse_etl.warehouse.shape import field_set
from reverse_etl.warehouse.statements import control, looks
from reverse_etl.warehouse.statements.looks import Mapped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reverse_etl.config import Config, SyncConfig
    from reverse_etl.connector import DestinationObject, MappedField
    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.shape import Base, Shape
    from reverse_etl.warehouse.tables import RunTables

SAMPLES, FEW_SAMPLES = 10, 3


@dataclass(frozen=True)
class Sample:
    """One planned change.

    Attributes:
        identity: Who.
        primary_key: The row, or the row that was.
        values: Destination field to the value that a run would send (None for one that a delete
            clears); for a delete from a list, to the one that was sent last. What JSON has no
            form for is text.
        before: The same as the last committed run had it; None for somebody it did not know.
        operation: What is planned.
        retry: Whether an earlier run left it open.
        renamed: The second identifier that goes along and is another one now: its name, the one
            before, and the new one; else None.
        skips: Fields for which nothing is sent where their value is NULL.
        clears: Whether a delete clears fields.
    """

    identity: str
    primary_key: str | None
    values: Mapping[str, Any]
    before: Mapping[str, Any] | None = None
    operation: Operation = Operation.INSERT
    retry: bool = False
    renamed: tuple[str, str | None, str | None] | None = None
    skips: frozenset[str] = frozenset()
    clears: bool = False

    @property
    def changed(self) -> list[str]:
        """Return the fields that differ from the last committed run.

        A field that is not mapped any more is none of them: it is left as it is.
        """
        was = self.before
        if was is None:
            return []
        return [name for name, now in self.values.items() if name not in was or was[name] != now]

    def document(self) -> dict[str, Any]:
        """Return the sample as JSON values."""
        before = None if self.before is None else dict(self.before)
        who = {"identity": self.identity, "primary_key": self.primary_key}
        return {**who, "values": dict(self.values), "before": before, "retry": self.retry}


@dataclass(frozen=True)
class Refused:
    """Rows of the query that cannot be used as they are, for one reason.

    Attributes:
        error_code: The reason.
        rows: How many.
        new: How many of them no earlier run had seen.
        samples: Identity, primary key and the reason in words, of some of them.
    """

    error_code: str
    rows: int
    new: int
    samples: Sequence[tuple[str, str | None, str]] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON values."""
        names = ("identity", "primary_key", "error_reason")
        samples = [dict(zip(names, sample, strict=True)) for sample in self.samples]
        counts = {"rows": self.rows, "new": self.new}
        return {"error_code": self.error_code, **counts, "samples": samples}


@dataclass(frozen=True)
class Preview:
    """What a run would do now.

    Attributes:
        report: The counts; ``status`` is ``planned`` or ``held``, ``requests`` an estimate.
        samples: Some changes of each operation, in the order of sending.
        refused: Rows that cannot be used, by the reason; those of duplicates among them.
        retried: Changes that earlier runs left open, by the error code of their failed record; ""
            for what was planned and not confirmed.
        new_deletes: People who would newly leave: what the brake looks at.
        people: People the destination is believed to hold, when somebody would newly leave.
        max_delete_percent: Where the brake holds; None where nothing can be removed.
        estimated_seconds: At the destination's rate limit; None when it has none.
        held_reason: Why the brake would hold the run, or None.
        digest: Names the plan: ``run_sync`` with this ``expected_digest`` sends it, or refuses.
        full: Whether it is the plan of a full run.
    """

    report: RunSummary
    samples: dict[Operation, list[Sample]] = field(default_factory=dict)
    refused: Sequence[Refused] = ()
    retried: Mapping[str, int] = field(default_factory=dict)
    new_deletes: int = 0
    people: int = 0
    max_delete_percent: float | None = None
    estimated_seconds: float | None = None
    held_reason: str | None = None
    digest: str = ""
    full: bool = False

    @property
    def held(self) -> bool:
        """Return whether the brake would hold the run."""
        return self.held_reason is not None

    @property
    def has_changes(self) -> bool:
        """Return whether a run would send anything."""
        return any(self.report.planned.values())

    def document(self) -> dict[str, Any]:
        """Return the preview as JSON values."""
        return {
            **self.report.document(),
            "samples": {
                operation.value: [sample.document() for sample in self.samples.get(operation, [])]
                for operation in Operation
            },
            "refused": [each.document() for each in self.refused],
            "retried": dict(self.retried),
            "brake": {
                "max_delete_percent": self.max_delete_percent,
                "new_deletes": self.new_deletes,
                "people": self.people,
            },
            "estimated_seconds": self.estimated_seconds,
            "held": self.held,
            "held_reason": self.held_reason,
            "sync_type": "full" if self.full else "incremental",
            "digest": self.digest,
        }


def preview(
    config: Config, sync_name: str, *, full: bool = False, ports: Ports | None = None
) -> Preview:
    """Plan a run of a sync without running it.

    Args:
        config: A loaded config.
        sync_name: The sync.
        full: Plan a full run.
        ports: Time, for tests.

    Raises:
        ConfigError: There is no such sync, or its config cannot be used.
        Busy: The DuckDB file stayed locked.
        RunError: A run would fail as well: the warehouse, the query, another account.
    """
    sync = config.sync(sync_name)
    destination = config.bind(sync_name)
    warehouse = warehouse_of(config, sync.source.warehouse, (ports or Ports()).clock)
    with warehouse.looking() as tx:
        return Previewing(tx, sync, destination, full=full).preview()


class Previewing:
    """One preview, inside its transaction."""

    def __init__(
        self, tx: Transaction, sync: SyncConfig, destination: DestinationObject, *, full: bool
    ) -> None:
        self.tx, self.sync, self.destination, self.full = tx, sync, destination, full
        refuse_damage(tx, sync.name)
        self.state = tx.state(sync.name)
        self.known = tx.warehouse.is_prepared(tx)

    def preview(self) -> Preview:
        """Plan, count, look at some."""
        plan = self.plan()
        requests = self._requests(plan)
        reason = plan.held_reason(self.sync.max_delete_percent)
        return Preview(
            report=self._report(plan, requests, held=reason is not None),
            samples={operation: self._samples(plan, operation) for operation in Operation},
            refused=list(self._refused(plan)),
            retried=self._retried(plan),
            new_deletes=plan.new_deletes,
            people=plan.base_identities,
            max_delete_percent=self.sync.max_delete_percent if plan.shape.deletes else None,
            estimated_seconds=_seconds(self.destination, requests),
            held_reason=reason,
            digest=plan_digest(self.tx, plan),
            full=self.full,
        )

    def plan(self) -> Plan:
        """Plan what a run would send now."""
        account = account_of(self.destination, self.sync.destination.object)
        self.same = is_same_account(account, self.state, self.destination.target.id)
        if not (self.same or self.full):
            refuse_changed_account(self.sync.name, account, self.state)
        base = self.state.base if self.same else None
        return make_plan(
            self.tx,
            self.sync,
            self.destination,
            base,
            # The number only names temporary tables here.
            run_id=base.run_id + 1 if base else 1,
            full=self.full,
            # Before the first run there are no tables of ours to look into.
            fresh=not (self.same and self.known),
            temporary=True,
        )

    def _report(self, plan: Plan, requests: int, *, held: bool) -> RunSummary:
        return RunSummary(
            self.sync.name,
            status="held" if held else "planned",
            planned=plan.planned,
            retries=plan.retries,
            invalid=plan.rows_invalid,
            duplicates=plan.rows_duplicate,
            failed_records_open=self._open_failures(),
            requests=requests,
            warnings=self._warnings(),
        )

    def _open_failures(self) -> int:
        if not self.known:
            return 0
        failed = self.tx.warehouse.tables.failed
        return int(self.tx.control.scalar(control.count_open(failed, self.sync.name)))

    def _warnings(self) -> list[str]:
        """Say what makes a run's plan differ from this one."""
        if not self.known:
            return []
        runs = self.tx.warehouse.tables.runs
        return [
            f"run {row.sync_run_id} has not ended: it is under way, or it was killed and the next "
            "run settles it first. What is planned then may differ from this"
            for row in self.tx.control.rows(control.unfinished_runs(runs, self.sync.name))
        ]

    def _requests(self, plan: Plan) -> int:
        """Estimate the requests: full batches, and one to find the target."""
        if plan.size == 0:
            return 0
        records = self.destination.limits.records_per_request
        batches = sum(math.ceil(part.size / records) for part in plan.parts)
        target = self.destination.target
        is_known = self.same and bool(self.state.target_id)
        looks_up = bool(target.id or target.name) and not is_known
        return batches + (1 if looks_up else 0)

    def _refused(self, plan: Plan) -> Iterator[Refused]:
        if not plan.rows_invalid + plan.rows_duplicate:
            return
        samples: dict[str, list[tuple[str, str | None, str]]] = {}
        refused = plan.tables.refused
        for code, *sample in self.tx.rows(looks.sample_refused(refused, FEW_SAMPLES)):
            samples.setdefault(code, []).append((sample[0], sample[1], sample[2]))
        for _, code, rows, new in self.tx.rows(looks.refused_by_reason(refused)):
            yield Refused(code, rows, new, samples[code])

    def _retried(self, plan: Plan) -> dict[str, int]:
        if not plan.retries:
            return {}
        failed = self.tx.reach(self.tx.warehouse.tables.failed, self.sync.name)
        counted = looks.retries_by_reason(plan.tables.changes, failed, self.sync.name)
        return {code or "": count for code, count in self.tx.rows(counted)}

    def _samples(self, plan: Plan, operation: Operation) -> list[Sample]:
        if not plan.planned[operation]:
            return []
        seen = Seen(plan, self.tx.warehouse.schema)
        chosen = looks.sample_plan(seen.plan, seen.before, operation.value, SAMPLES)
        return [seen.sample(row) for row in self.tx.rows(chosen)]


class Seen:
    """A plan, and the snapshot it was compared with, as somebody looks at them.

    Attributes:
        plan: The changes.
        before: The snapshot of the last committed run; None on a first run.
    """

    def __init__(self, plan: Plan, schema: str) -> None:
        """Take a plan whose tables are still there, and the schema of the run before."""
        self._shape, self._base = plan.shape, plan.base
        columns = {name: plan.shape.columns[name].kind for name in plan.shape.plan_columns}
        self.plan = Mapped(plan.tables.changes, columns)
        self.before: Mapped | None = None
        if plan.base is not None:
            tables = base_tables(plan.shape.sync_name, plan.base, schema)
            self.before = mapped_of(plan.base, tables)

    def sample(self, row: Sequence[Any]) -> Sample:
        """Return a row that was asked for with these columns."""
        identity, alias, primary_key, operation, retry, fields, known, was_alias, *values = row
        now = dict(zip(self.plan.columns, values, strict=False))
        shape = self._shape
        is_delete = operation == Operation.DELETE
        before, renamed = None, None
        if known and self.before is not None and self._base is not None:
            was = dict(zip(self.before.columns, values[len(now) :], strict=True))
            before = field_values(self._base.fields, was)
            if shape.sends_alias and shape.alias_name and alias != was_alias and not is_delete:
                renamed = (shape.alias_name, was_alias, alias)
        sent = field_values(shape.fields, now)
        if is_delete and shape.clears_fields:
            sent = _cleared(shape, fields)
        return Sample(
            identity,
            primary_key,
            sent,
            before,
            Operation(operation),
            retry=bool(retry),
            renamed=renamed,
            skips=frozenset(field.name for field in shape.fields if field.null == "skip"),
            clears=is_delete and shape.clears_fields,
        )


def mapped_of(base: Base, tables: RunTables) -> Mapped:
    """Return the snapshot of a committed run with the columns that it sent."""
    sent = dict.fromkeys(field.column for field in base.fields if field.column)
    return Mapped(tables.snapshot, {name: base.columns[name].kind for name in sent})


def field_values(fields: Iterable[MappedField], row: Mapping[str, Any]) -> dict[str, Any]:
    """Return destination fields with the values that a row gives them."""
    return {
        mapped.name: plain(row[mapped.column]) if mapped.column else mapped.constant
        for mapped in fields
    }


def _cleared(shape: Shape, fields: str | None) -> dict[str, Any]:
    """Return the fields that a delete clears, each with the null that is sent for it."""
    sets = (fields or field_set(shape.fields)).splitlines()
    return dict.fromkeys(sorted({name for line in sets for name in json.loads(line)}))


def plain(value: Any) -> Any:  # noqa: ANN401 - as the driver says
    """Return a value that JSON has a form for; it has none for NaN and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Decimal) else value


def _seconds(destination: DestinationObject, requests: int) -> float | None:
    """Return how long the requests take at least, if all of them go to the slowest endpoint."""
    rates = [rate for rate in destination.limits.requests_per_second.values() if rate > 0]
    return round(requests / min(rates), 1) if rates else None
