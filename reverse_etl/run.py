"""One sync run, from top to bottom.

    lease      one run per sync at a time
    is due     only in a scheduled run: nobody has served its tick meanwhile
    examine    tables that were changed by hand are refused, or mended by a full run
    recover    settle what a killed run left behind
    audit      only in a repair: what is wrong at the destination is planned as well
    plan       the query once, the difference, in the warehouse; the brake
    commit     the stored plan becomes the last committed run: the commit point
    deliver    the plan streams out in batches; checkpoints confirm a position
    settle     outcomes into the log, the failed records and the counts
    retain     what is old goes

A crash between any two statements leaves a state that *recover* understands.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from reverse_etl.account import account_of, is_same_account, refuse_changed_account
from reverse_etl.audit import PROFILES, Auditor, refuse_unaudited
from reverse_etl.connector import Operation, Target
from reverse_etl.conversation import wire_to
from reverse_etl.delivery.sender import Delivery, Page, Progress, Sender
from reverse_etl.errors import (
    DestinationError,
    Interrupted,
    LeaseLost,
    PlanRefused,
    RunError,
    WarehouseError,
)
from reverse_etl.planning import Plan, base_tables, make_plan, plan_digest
from reverse_etl.ports import Ports
from reverse_etl.report import NOTHING_SENT, RunSummary, rest_of
from reverse_etl.settle import Ending, drop_run, record_outcomes, retain, settle
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.damage import find_damage, mend
from reverse_etl.warehouse.lease import Heartbeat, Lease
from reverse_etl.warehouse.shape import field_set, has_rest
from reverse_etl.warehouse.statements import control
from reverse_etl.warehouse.statements.changes import sample_deletes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from sqlalchemy import TableClause

    from reverse_etl.audit import Reply
    from reverse_etl.config import Config
    from reverse_etl.delivery.transport import Transport
    from reverse_etl.delivery.wire import Wire
    from reverse_etl.schedule import Tick
    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.shape import Base, State

_logger = logging.getLogger("reverse_etl.run")

# How far sending may run ahead of the last checkpoint, in full rounds of requests in flight: a
# crash sends at most this much again. A checkpoint is made when half of it is settled, some
# milliseconds of work for each 12,000 people of 4 requests in flight.
WINDOW_ROUNDS = 6

# Rows read from the plan at a time, at least; memory holds a page or two, whatever the plan's size.
PAGE_ROWS = 20_000

# A list made less than this ago may still be unknown to the API (Iterable's own tests wait 30 s).
JUST_CREATED_SECONDS = 60


@dataclass(frozen=True)
class Options:
    """How one run differs from the usual.

    Attributes:
        full: Send every current row again.
        allow_deletes: Let the brake pass once.
        tick: The tick of the schedule that this run serves; None for a manual run.
        expected_digest: Send exactly the plan with this digest, or refuse.
        repair: Audit the destination first, and plan also what is wrong there.
        profiles_to_audit: How many profiles an audit reads; a list is compared as a whole.
    """

    full: bool = False
    allow_deletes: bool = False
    tick: Tick | None = None
    expected_digest: str | None = None
    repair: bool = False
    profiles_to_audit: int = PROFILES

    @property
    def trigger(self) -> str:
        """Return who asked for the run, as ``sync_runs.trigger`` has it."""
        return "manual" if self.tick is None else "schedule"

    @property
    def scheduled_for(self) -> datetime | None:
        """Return the tick as ``sync_runs.scheduled_for`` has it."""
        return self.tick.at if self.tick else None


def run_sync(
    config: Config, sync_name: str, options: Options | None = None, ports: Ports | None = None
) -> RunSummary:
    """Run a sync now.

    Args:
        config: A loaded config.
        sync_name: The sync.
        options: How this run differs from the usual.
        ports: Time, chance and the wire, for tests.

    Returns:
        What the run did; a run whose source, plan or delivery failed says so there.

    Raises:
        ConfigError: There is no such sync, or its config cannot be used.
        Busy: Another run of the sync is active; nothing was written.
        LeaseLost: Another run took over before this one had planned.
        WarehouseError: The warehouse cannot be opened or was lost before the run had planned,
            or our tables cannot be made.
    """
    return Run(config, sync_name, options or Options(), ports or Ports()).execute()


class Run:
    """One run of one sync."""

    def __init__(self, config: Config, sync_name: str, options: Options, ports: Ports) -> None:
        """Bind the parts; nothing is contacted yet."""
        self.config = config
        self.sync = config.sync(sync_name)
        self.options = options
        self.ports = ports
        self.account = config.account(self.sync.destination.name)
        self.destination = config.bind(sync_name)
        self.timeout_s = config.request_timeout_seconds(self.sync.destination.name)
        self.warehouse = warehouse_of(config, self.sync.source.warehouse, ports.clock)
        self.control = self.warehouse.control
        self.lease = Lease(
            self.control,
            sync_name,
            seconds=config.engine.lease_seconds,
            clock=ports.clock,
        )
        self.window = WINDOW_ROUNDS * self.account.max_in_flight * self.account.records_per_request
        self.page_rows = PAGE_ROWS
        if options.repair:
            refuse_unaudited(config, sync_name)
        self.auditor = Auditor(config, sync_name, ports, options.profiles_to_audit)
        self.report = RunSummary(sync_name)
        self.run_id = self.rows_read = 0
        self.broken_off = False
        self.started_at: Any = None

    # --- the story -------------------------------------------------------------------------

    def execute(self) -> RunSummary:
        """Run the sync; see the module for the steps."""
        with self.warehouse:
            self.warehouse.prepare_schema(mend=self.options.full)
            self.lease.take()
            try:
                with self.heartbeat():
                    if self.is_due():
                        with self.phase("prepare"):
                            self.examine()
                            self.recover()
                            self.begin()
                        self.run()
            finally:
                self.give_lease_back()
        return self.report

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure a part of the run."""
        since = self.ports.clock.monotonic()
        self.ports.progress(name, 0, None)
        try:
            yield
        finally:
            self.report.seconds[name] = self.ports.clock.monotonic() - since

    def heartbeat(self) -> AbstractContextManager[object]:
        """Keep the lease while the run goes on, whatever it waits for."""
        return Heartbeat(self.lease, self.control, self.config.engine.heartbeat)

    def run(self) -> None:
        """Plan, deliver, settle, retain; a run that must stop says why."""
        try:
            with self.phase("plan"), self.audit() as reply:
                plan = self.plan(reply)
        except Interrupted as error:
            self.end_unplanned("interrupted", error)
            return
        except RunError as error:
            self.end_unplanned("failed", error)
            return
        if plan is None:
            return
        try:
            with self.phase("deliver"):
                delivery = self.deliver(plan)
            with self.phase("settle"):
                self.settle(plan, delivery)
                self.retain()
        except (LeaseLost, WarehouseError) as error:
            # Its row stays "delivering": the next run settles what this one left.
            self.report.status, self.report.error_code = "failed", error.code
            self.report.error = f"{error}. What was sent is counted by the next run"
            self.report.requests = self._requests(sum(self.report.answers.values()))

    # --- is due ----------------------------------------------------------------------------

    def is_due(self) -> bool:
        """Return whether the tick is still to be served; always, in a manual run."""
        tick = self.options.tick
        if tick is None:
            return True
        with self.control.transaction() as tx:
            row = tx.rows(control.read_state(self.warehouse.tables.state, self.sync.name))[0]
            tx.abandon()
        if row.due_after == tick.seen and (tick.at is not None or has_rest(row)):
            return True
        self.report.status, self.report.error_code = "skipped", "served"
        what = f"the tick of {tick.at} UTC" if tick.at else "what was left"
        self.report.error = f"another scheduler has served {what} meanwhile"
        return False

    # --- examine ---------------------------------------------------------------------------

    def examine(self) -> None:
        """Refuse tables that somebody changed by hand; a full run mends them."""
        with self.warehouse.transaction() as tx:
            damage = find_damage(tx, self.sync.name)
            if damage is None:
                tx.abandon()
                return
            if not self.options.full:
                damage.refuse()
            has_alias = len(self.sync.identifiers) > 1
            mend(tx, self.lease, damage, from_log=not has_alias)
        self.report.warnings.append(
            f"the tables were damaged ({'; '.join(damage.problems)}): this run starts over. Who "
            "left before is removed only as far as sync_log knows them; an audit shows the others",
        )

    # --- recover ---------------------------------------------------------------------------

    def recover(self) -> None:
        """Settle the runs that were killed, up to what is known of them."""
        runs = self.warehouse.tables.runs
        with self.warehouse.transaction() as tx:
            state = tx.state(self.sync.name)
            unfinished = tx.control.rows(control.unfinished_runs(runs, self.sync.name))
            if unfinished:
                # Whoever took over between the two looks has a run here that is not dead, and its
                # tables are not ours to drop.
                self.lease.confirm(tx)
        for run_id, started_at in unfinished:
            if state.base is not None and run_id == state.base.run_id:
                self._settle_killed(state, started_at)
            else:
                self._end_killed_planning(run_id)

    def _settle_killed(self, state: State, started_at: datetime) -> None:
        base = state.base
        if base is None:
            return
        with self.warehouse.transaction() as tx:
            settle(
                tx,
                self.lease,
                base_tables(self.sync.name, base, self.warehouse.schema),
                started_at=started_at,
                ending=Ending(
                    base.position,
                    base.send_limit,
                    base.requests_sent,
                    status="interrupted",
                    error_code="killed",
                    error_reason="the run was killed; the next run sends the rest",
                ),
                retain_logs=self.sync.observability.retain_sync_logs,
                # Whatever the mode is today: a refused delete is dropped only by a planning, which
                # keeps the person as residue.
                deletes=True,
                field_set=field_set(base.fields) if self.destination.clears_fields else None,
            )

    def _end_killed_planning(self, run_id: int) -> None:
        self.report.warnings += drop_run(self.warehouse, self.sync.name, run_id)
        with self.control.transaction() as tx:
            values = {
                "status": "interrupted",
                "finished_at": tx.now(),
                "error_code": "killed",
                "error_reason": "the run was killed while planning; nothing was planned",
            }
            tx.run(
                control.change_run(self.warehouse.tables.runs, self.sync.name, run_id, values),
            )
            self.lease.confirm(tx)

    # --- begin -----------------------------------------------------------------------------

    def begin(self) -> None:
        """Number the run and write its row."""
        tables = self.warehouse.tables
        with self.control.transaction() as tx:
            numbered = control.number_run(tables.state, self.sync.name, self.lease.token)
            self.lease.guard(tx.run(numbered))
            row = tx.rows(control.read_state(tables.state, self.sync.name))[0]
            self.run_id, self.started_at = row.last_run_id, tx.now()
            values = {
                "sync_name": self.sync.name,
                "sync_run_id": self.run_id,
                "trigger": self.options.trigger,
                "sync_type": "full" if self.options.full else "incremental",
                "status": "planning",
                "started_at": self.started_at,
                **dict.fromkeys(_COUNTERS, 0),
            }
            tx.run(control.start_run(tables.runs, values))
        self.report.run_id = self.run_id
        self._log(f"run {self.run_id} has begun ({self.options.trigger})")

    # --- audit -----------------------------------------------------------------------------

    @contextmanager
    def audit(self) -> Iterator[Reply | None]:
        """Ask the destination what it holds, in a repair; the lease is kept meanwhile."""
        if not self.options.repair:
            yield None
            return
        with self.warehouse.transaction() as tx:
            question = self.auditor.look(tx, self.run_id)
        with self.auditor.asking(question) as reply:
            yield reply

    def _wrong(self, tx: Transaction, reply: Reply | None) -> TableClause | None:
        """Compare what the destination holds; return who is to be planned again, or None."""
        if reply is None:
            return None
        found = self.auditor.compare(tx, reply)
        self.report.audit = found.report
        return found.wrong

    # --- plan and commit -------------------------------------------------------------------

    def plan(self, reply: Reply | None) -> Plan | None:
        """Plan and commit; None when the run ends here, held or told to stop."""
        with self.warehouse.transaction() as tx:
            state = tx.state(self.sync.name)
            account = account_of(self.destination, self.sync.destination.object)
            same = is_same_account(account, state, self.destination.target.id)
            if not (same or self.options.full):
                refuse_changed_account(self.sync.name, account, state)
            wrong = self._wrong(tx, reply)
            self.ports.progress("read", 0, None)
            plan = make_plan(
                tx,
                self.sync,
                self.destination,
                state.base if same else None,
                run_id=self.run_id,
                full=self.options.full,
                fresh=not same,
                audited=wrong,
                when_read=lambda rows: self.ports.progress("plan", rows, None),
            )
            self._report_plan(plan)
            self._refuse_other_plan(tx, plan)
            held = None if self.options.allow_deletes else self._held(tx, plan)
            committed = held is None and not self.ports.stop()
            if committed:
                self._commit(tx, plan, state, same_account=same)
            else:
                tx.abandon()
        if committed:
            counts = ", ".join(f"{count} {o.value}s" for o, count in plan.planned.items())
            self._log(f"{plan.rows_read} rows read, planned {counts}")
            return self._committed(plan, state.base)
        if held is not None:
            self.end_unplanned("held", held)
        else:
            text = "told to stop while planning"
            self.end_unplanned("interrupted", Interrupted(text))
        return None

    def _committed(self, plan: Plan, before: Base | None) -> Plan:
        if not self.warehouse.capabilities.transactional_ddl:
            # Not before: the view would show what perhaps never was.
            with self.warehouse.transaction() as tx:
                self._show(tx, plan, before)
        return plan

    def _report_plan(self, plan: Plan) -> None:
        report = self.report
        report.planned, report.retries = plan.planned, plan.retries
        report.invalid, report.duplicates = plan.rows_invalid, plan.rows_duplicate
        self.rows_read = plan.rows_read

    def _refuse_other_plan(self, tx: Transaction, plan: Plan) -> None:
        expected = self.options.expected_digest
        if expected is not None and plan_digest(tx, plan) != expected:
            raise PlanRefused(
                "the source, the destination's state or the config has changed since the plan "
                f"file was written. Look again with: reverse-etl plan "
                f"{self.sync.name}",
            )

    def _held(self, tx: Transaction, plan: Plan) -> RunError | None:
        """The brake: a message when too many people would newly leave."""
        reason = plan.held_reason(self.sync.max_delete_percent)
        if reason is None:
            return None
        some = [row[0] for row in tx.rows(sample_deletes(plan.tables.changes, 5))]
        name = self.sync.name
        command = f"audit {name} --repair" if self.options.repair else f"run-sync {name}"
        way_out = (
            "Nothing was sent. If this is right, let it pass once with: "
            f"reverse-etl {command} --allow-deletes{self.config.option}"
        )
        return RunError(
            f"{reason}, among them {', '.join(some)}. {way_out}",
            code="held",
            brief=f"{reason}. {way_out}",
        )

    def _commit(self, tx: Transaction, plan: Plan, state: State, *, same_account: bool) -> None:
        """The commit point: from here on this plan is the last one, and is carried out."""
        tables = self.warehouse.tables
        if self.warehouse.capabilities.transactional_ddl:
            self._show(tx, plan, state.base)
        if not same_account:
            tx.control.run(control.forget_failed(tables.failed, self.sync.name))
        values = {
            "status": "delivering",
            "scheduled_for": self.options.scheduled_for,
            **_plan_values(plan),
        }
        tx.control.run(control.change_run(tables.runs, self.sync.name, self.run_id, values))
        account = account_of(self.destination, self.sync.destination.object)
        # A full run looks its list up again: the way out when somebody deleted it and made it anew.
        known = same_account and not self.options.full
        committed = control.commit_run(
            tables.state,
            self.sync.name,
            self.lease.token,
            run_id=self.run_id,
            send_limit=self.window,
            mapping=plan.shape.mapping(),
            snapshot_rows=plan.identities,
            changes_rows=plan.size,
            sync_log_retention_days=self.sync.observability.sync_log_retention_days,
            served=self.options.scheduled_for,
            account={
                "account_host": account.host,
                "account_kind": account.kind,
                "account_object": account.object,
                "target_name": account.target,
                "target_id": state.target_id if known else None,
            },
        )
        self.lease.guard(tx.control.run(committed))

    def _log(self, text: str) -> None:
        """Log a step of the run; who is in it is said nowhere but in the tables."""
        extra = {"sync": self.sync.name, "run_id": self.run_id or None}
        _logger.info("%s: %s", self.sync.name, text, extra=extra)

    def _show(self, tx: Transaction, plan: Plan, before: Base | None) -> None:
        """Let the view of the sync show the new snapshot."""
        view, columns = f"snapshot_{self.sync.name}", before.columns if before else None
        if not tx.point_view(view, plan.tables.snapshot, columns, plan.shape):
            self.report.warnings.append(
                f"a view of yours stands on {view}, whose columns have changed: it still shows an "
                "older snapshot. Drop your view; the next run renews ours.",
            )

    def _is_committed(self) -> bool:
        """Whether this may be the last committed run: a commit may take effect and go unheard.

        Then its tables are the base, and its row stays "delivering" for the next run to settle.
        """
        try:
            with self.control.transaction() as tx:
                # The fence waits for a commit that is still on its way to this row.
                self.lease.confirm(tx)
                base = tx.state(self.sync.name).base
        except LeaseLost:
            return True
        return base is not None and base.run_id == self.run_id

    def end_unplanned(self, status: str, error: RunError) -> None:
        """End a run that committed nothing; its row is all that it leaves."""
        tables, report = self.warehouse.tables, self.report
        report.status, report.error_code, report.error = status, error.code, str(error)
        report.error_brief = error.brief
        if isinstance(error, LeaseLost) or self._is_committed():
            # Whoever has the lease next settles what is there.
            return
        report.warnings += drop_run(self.warehouse, self.sync.name, self.run_id)
        report.requests = self._requests(0)
        # The brake has its own words.
        report.aftermath = None if status == "held" else NOTHING_SENT
        with self.control.transaction() as tx:
            report.failed_records_open = tx.scalar(
                control.count_open(tables.failed, self.sync.name),
            )
            values = {
                "status": status,
                "finished_at": tx.now(),
                "error_code": error.code,
                "error_reason": str(error),
                "failed_records_open": report.failed_records_open,
                "requests_sent": report.requests,
                "rows_read": self.rows_read,
                "rows_invalid": report.invalid,
                "rows_duplicate": report.duplicates,
                "retries_planned": report.retries,
                **{f"{operation}s_planned": count for operation, count in report.planned.items()},
            }
            if status == "held":
                values |= self._serve_tick(tx)
            tx.run(control.change_run(tables.runs, self.sync.name, self.run_id, values))
            self.lease.confirm(tx)

    def _serve_tick(self, tx: Transaction) -> dict[str, Any]:
        """Let the tick of a held run be served; return what its row says of that."""
        tick = self.options.tick
        if tick is None or tick.at is None:
            return {}
        state, name = self.warehouse.tables.state, self.sync.name
        self.lease.guard(tx.run(control.serve_tick(state, name, self.lease.token, tick.at)))
        return {"scheduled_for": tick.at}

    # --- deliver ---------------------------------------------------------------------------

    def deliver(self, plan: Plan) -> Delivery:
        """Send the plan; a run with nothing planned makes no request at all."""
        if plan.size == 0:
            return Delivery("done", None, None, 0, [], 0, [])
        transport = self.ports.transport(self.account)
        self.broken_off = True
        try:
            delivery = self._deliver_over(transport, plan)
        finally:
            transport.close()
        self.broken_off = False
        return delivery

    def _deliver_over(self, transport: Transport, plan: Plan) -> Delivery:
        wire = self._wire(transport)
        try:
            return self._deliver_by(wire, plan)
        finally:
            self.report.answers = dict(wire.answers)

    def _deliver_by(self, wire: Wire, plan: Plan) -> Delivery:
        try:
            target = self._target(wire)
        except DestinationError as error:
            return Delivery.none("fatal", error, wire.requests_sent)
        except Interrupted as error:
            return Delivery.none("interrupted", error, wire.requests_sent)
        seconds = self.config.engine.checkpoint_seconds
        destination = self.config.bind(self.sync.name, plan.shape.fields)
        in_flight, ahead = self.account.max_in_flight, self.ports.ahead
        sender = Sender(destination, target, wire, in_flight, seconds, ahead)
        return sender.deliver(self._pages(plan), 0, self.window, self._checkpoint(plan))

    def _wire(self, transport: Transport) -> Wire:
        name, limits = self.sync.destination.name, self.destination.limits
        wire = wire_to(self.config, name, limits, self.ports, transport)
        wire.before_request = lambda: self.lease.check(self.timeout_s)
        wire.is_transient = self.destination.is_transient
        return wire

    def _target(self, wire: Wire) -> Target:
        """The target as an earlier run found it, else as the destination says now."""
        with self.warehouse.transaction() as tx:
            state, now = tx.state(self.sync.name), tx.now()
        if state.target_id is not None:
            age = now - state.target_created_at if state.target_created_at else None
            recent = age is not None and age < timedelta(seconds=JUST_CREATED_SECONDS)
            return Target(state.target_id, self.destination.target.name, recent)
        found = wire.converse(self.destination.find_target())
        with self.control.transaction() as tx:
            created_at = tx.now() if found.just_created else None
            kept = control.keep_target(
                self.warehouse.tables.state,
                self.sync.name,
                self.lease.token,
                found.id,
                created_at,
            )
            self.lease.guard(tx.run(kept))
        return found

    def _pages(self, plan: Plan) -> Iterator[Page]:
        """The plan in the order of sending, a page at a time."""
        records = self.destination.limits.records_per_request
        rows = -(-self.page_rows // records) * records
        changes = plan.tables.changes
        for part in plan.parts:
            for start in range(part.first, part.last + 1, rows):
                stop = min(start + rows - 1, part.last)
                page = self.warehouse.read_page(plan.shape, changes, start, stop)
                yield Page(part.phase, part.operation, start, page)

    def _checkpoint(self, plan: Plan) -> Callable[[Progress], None]:
        """Return what makes progress durable: the failures first, then the position."""

        def checkpoint(progress: Progress) -> None:
            # Where all went well nothing is written but the position.
            place = self.warehouse if progress.settled else self.control
            with place.transaction() as tx:
                record_outcomes(tx, plan.tables, progress.settled)
                self._advance(tx, progress.position, progress.requests_sent, self.window)
            self.ports.progress("deliver", progress.position, plan.size)

        return checkpoint

    def _requests(self, of_delivery: int) -> int:
        """Return the requests of this run, those of the audit among them."""
        return self.auditor.requests_sent + of_delivery

    def _advance(self, tx: Transaction, position: int, requests_sent: int, window: int) -> None:
        advanced = control.advance(
            self.warehouse.tables.state,
            self.sync.name,
            self.lease.token,
            position=position,
            send_limit=position + window,
            requests_sent=self._requests(requests_sent),
        )
        self.lease.guard(tx.control.run(advanced))

    # --- settle and retain -----------------------------------------------------------------

    def settle(self, plan: Plan, delivery: Delivery) -> None:
        """Write down what became of every change that was tried."""
        with self.warehouse.transaction() as tx:
            record_outcomes(tx, plan.tables, delivery.settled)
            self._advance(tx, delivery.position, delivery.requests_sent, 0)
            status, totals = settle(
                tx,
                self.lease,
                plan.tables,
                started_at=self.started_at,
                ending=Ending(
                    delivery.position,
                    delivery.position,
                    self._requests(delivery.requests_sent),
                    status=_ENDED[delivery.ended],
                    newly_invalid=plan.rows_newly_invalid,
                    error_code=delivery.error_code,
                    error_reason=delivery.error_reason,
                ),
                retain_logs=self.sync.observability.retain_sync_logs,
                deletes=plan.shape.deletes,
                field_set=plan.shape.field_set,
            )
        report = self.report
        report.status, report.requests = status, self._requests(delivery.requests_sent)
        report.succeeded, report.failed = totals.succeeded, totals.failed
        report.failed_records_open = totals.failed_records_open
        report.error_code, report.error = delivery.error_code, delivery.error_reason
        tried = sum(totals.succeeded.values()) + sum(totals.failed.values())
        report.aftermath = rest_of(plan.size, tried)
        report.warnings += delivery.warnings

    def retain(self) -> None:
        """Drop what is older than the config says."""
        rules = self.sync.observability
        try:
            self.report.warnings += retain(
                self.warehouse,
                self.lease,
                self.sync.name,
                self.run_id,
                rules,
            )
        except (LeaseLost, WarehouseError) as error:
            self.report.warnings.append(f"old logs and snapshots stay for now: {error}")

    def give_lease_back(self) -> None:
        """Let the next run in: at once, unless a request may still be on its way.

        A delivery that was broken off by an error left requests that the destination may yet
        apply; the lease outlives them, and then expires.
        """
        if self.broken_off:
            self.lease.let_expire()
            return
        try:
            self.lease.give_back()
        except WarehouseError as error:
            # It expires by itself; what the run did is settled already.
            self.report.warnings.append(f"the lease was not given back: {error}")


_ENDED = {"done": None, "interrupted": "interrupted", "fatal": "failed"}

_COUNTERS = (
    *(f"{o}s_{what}" for o in Operation for what in ("planned", "succeeded", "failed")),
    *("rows_read", "rows_invalid", "rows_duplicate", "retries_planned"),
    *("failed_records_open", "requests_sent"),
)


def _plan_values(plan: Plan) -> dict[str, int]:
    return {
        "rows_read": plan.rows_read,
        "rows_invalid": plan.rows_invalid,
        "rows_duplicate": plan.rows_duplicate,
        "retries_planned": plan.retries,
        **{f"{operation}s_planned": count for operation, count in plan.planned.items()},
    }
