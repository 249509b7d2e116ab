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
from reverse_etl.planning import Plan, make_plan, plan_digest
from reverse_etl.ports import Ports
from reverse_etl.report import RunSummary
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.damage import refuse_damage
from reverse_etl.warehouse.shape import field_set
from reverse_etl.warehouse.statements import control

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from reverse_etl.config import Config, SyncConfig
    from reverse_etl.connector import DestinationObject
    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.shape import Shape

SAMPLES = 10


@dataclass(frozen=True)
class Sample:
    """One planned change.

    Attributes:
        identity: Who.
        primary_key: The row, or the row that was.
        values: Destination field to the value that a run would send (None for one that a delete
            clears); for a delete from a list, to the one that was sent last. What JSON has no
            form for is text.
    """

    identity: str
    primary_key: str | None
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Preview:
    """What a run would do now.

    Attributes:
        report: The counts; ``status`` is ``planned`` or ``held``, ``requests`` an estimate.
        samples: Some changes of each operation, in the order of sending.
        new_deletes: People who would newly leave: what the brake looks at.
        people: People the destination is believed to hold, when somebody would newly leave.
        estimated_seconds: At the destination's rate limit; None when it has none.
        held_reason: Why the brake would hold the run, or None.
        digest: Names the plan: ``run_sync`` with this ``expected_digest`` sends it, or refuses.
        full: Whether it is the plan of a full run.
    """

    report: RunSummary
    samples: dict[Operation, list[Sample]] = field(default_factory=dict)
    new_deletes: int = 0
    people: int = 0
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
                operation.value: [
                    {"identity": s.identity, "primary_key": s.primary_key, "values": dict(s.values)}
                    for s in self.samples.get(operation, [])
                ]
                for operation in Operation
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
        return _Previewing(tx, sync, destination, full=full).preview()


class _Previewing:
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
        account = account_of(self.destination, self.sync.destination.object)
        same = is_same_account(account, self.state, self.destination.target.id)
        if not (same or self.full):
            refuse_changed_account(self.sync.name, account, self.state)
        plan = self._plan(same=same)
        return self._describe(plan, same=same)

    def _plan(self, *, same: bool) -> Plan:
        base = self.state.base if same else None
        return make_plan(
            self.tx,
            self.sync,
            self.destination,
            base,
            # The number only names temporary tables here.
            run_id=base.run_id + 1 if base else 1,
            full=self.full,
            # Before the first run there are no tables of ours to look into.
            fresh=not (same and self.known),
            temporary=True,
        )

    def _describe(self, plan: Plan, *, same: bool) -> Preview:
        requests = self._requests(plan, same=same)
        reason = plan.held_reason(self.sync.max_delete_percent)
        return Preview(
            report=self._report(plan, requests, held=reason is not None),
            samples={operation: self._samples(plan, operation) for operation in Operation},
            new_deletes=plan.new_deletes,
            people=plan.base_identities,
            estimated_seconds=_seconds(self.destination, requests),
            held_reason=reason,
            digest=plan_digest(self.tx, plan),
            full=self.full,
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

    def _requests(self, plan: Plan, *, same: bool) -> int:
        """Estimate the requests: full batches, and one to find the target."""
        if plan.size == 0:
            return 0
        records = self.destination.limits.records_per_request
        batches = sum(math.ceil(part.size / records) for part in plan.parts)
        target = self.destination.target
        is_known = same and bool(self.state.target_id)
        looks_up = bool(target.id or target.name) and not is_known
        return batches + (1 if looks_up else 0)

    def _samples(self, plan: Plan, operation: Operation) -> list[Sample]:
        if not plan.planned[operation]:
            return []
        columns = {name: plan.shape.columns[name].kind for name in plan.shape.plan_columns}
        chosen = control.sample_plan(plan.tables.changes, operation.value, columns, SAMPLES)
        shape, clears = plan.shape, plan.shape.clears_fields and operation is Operation.DELETE
        return [
            Sample(
                identity,
                primary_key,
                _cleared(shape, fields) if clears else _values(shape, columns, values),
            )
            for identity, primary_key, fields, *values in self.tx.rows(chosen)
        ]


def _values(shape: Shape, columns: Iterable[str], values: Iterable[Any]) -> dict[str, Any]:
    row = dict(zip(columns, values, strict=True))
    return {
        mapped.name: _plain(row[mapped.column]) if mapped.column else mapped.constant
        for mapped in shape.fields
    }


def _cleared(shape: Shape, fields: str | None) -> dict[str, Any]:
    """Return the fields that a delete clears, each with the null that is sent for it."""
    sets = (fields or field_set(shape.fields)).splitlines()
    return dict.fromkeys(sorted({name for line in sets for name in json.loads(line)}))


def _plain(value: Any) -> Any:  # noqa: ANN401 - as the driver says
    """Return a value that JSON has a form for; it has none for NaN and infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return str(value) if isinstance(value, Decimal) else value


def _seconds(destination: DestinationObject, requests: int) -> float | None:
    """Return how long the requests take at least, if all of them go to the slowest endpoint."""
    rates = [rate for rate in destination.limits.requests_per_second.values() if rate > 0]
    return round(requests / min(rates), 1) if rates else None
