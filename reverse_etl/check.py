"""Whether a run of a sync would work, found out without running it.

The warehouse and the destination are looked at each for itself, so that one failure does not
hide another. Nothing is changed: what must be tried by writing is rolled back in the warehouse,
and asked with nothing in it at the destination.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from reverse_etl.account import account_of, is_same_account, refuse_changed_account
from reverse_etl.connector import Finding, Target
from reverse_etl.conversation import conversations, patience
from reverse_etl.errors import Busy, DestinationError, ReverseEtlError, RunError
from reverse_etl.planning import placed, shape_of
from reverse_etl.ports import Ports
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.damage import refuse_damage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverse_etl.config import Config, SyncConfig
    from reverse_etl.connector import AccountSettings, Connector, DestinationObject, Limits
    from reverse_etl.delivery.wire import Wire
    from reverse_etl.warehouse.base import Transaction, Warehouse
    from reverse_etl.warehouse.shape import Shape


@dataclass
class Checked:
    """What was found out about one sync.

    Attributes:
        sync: Its name.
        findings: In the order of looking.
        is_busy: Whether the warehouse could not be looked at, because another process holds it.
    """

    sync: str
    findings: list[Finding] = field(default_factory=list)
    is_busy: bool = False

    @property
    def has_failed(self) -> bool:
        """Return whether a run would not work."""
        return any(finding.verdict == "failed" for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """Return the exit code of the command line for this sync."""
        if self.has_failed:
            return RunError.exit_code
        return Busy.exit_code if self.is_busy else 0

    def document(self) -> dict[str, Any]:
        """Return the findings as JSON values."""
        return {
            "sync": self.sync,
            "failed": self.has_failed,
            "findings": [
                {"subject": found.subject, "verdict": found.verdict, "text": found.text}
                for found in self.findings
            ],
        }


def check(config: Config, sync_names: Sequence[str], ports: Ports | None = None) -> list[Checked]:
    """Look whether runs of some syncs would work.

    Args:
        config: A loaded config.
        sync_names: Syncs of it.
        ports: Time, chance and the wire, for tests.

    Returns:
        One for each name, in their order.

    Raises:
        ConfigError: There is no such sync, or its config cannot be used.
        Interrupted: Told to stop.
    """
    at_work = [_Check(config, name) for name in sync_names]
    used = ports or Ports()
    for warehouse_name in dict.fromkeys(each.sync.source.warehouse for each in at_work):
        syncs = [each for each in at_work if each.sync.source.warehouse == warehouse_name]
        _look_at_warehouse(warehouse_of(config, warehouse_name, used.clock), warehouse_name, syncs)
    for destination_name in dict.fromkeys(each.sync.destination.name for each in at_work):
        syncs = [each for each in at_work if each.sync.destination.name == destination_name]
        _look_at_destination(config, destination_name, syncs, used)
    return [each.checked for each in at_work]


class _Check:
    """One sync at work: what is known of it so far."""

    def __init__(self, config: Config, sync_name: str) -> None:
        self.config = config
        self.sync: SyncConfig = config.sync(sync_name)
        self.destination: DestinationObject = config.bind(sync_name)
        self.checked = Checked(sync_name)
        # No columns while the query could not be asked; the destination is looked at all the same.
        self.columns: pa.Schema = pa.schema([])
        self.known: Target | None = None

    def say(self, finding: Finding) -> None:
        """Add a finding."""
        self.checked.findings.append(finding)

    def fail(self, subject: str, error: ReverseEtlError) -> None:
        """Add what an error says: of somebody else's lock that nothing is known."""
        if isinstance(error, Busy):
            self.checked.is_busy = True
            self.say(Finding(subject, "unproven", str(error)))
        elif subject == "account" and error.code in {"older_tables", "newer_tables"}:
            # What a run would make of them is tried with the rights.
            self.say(Finding(subject, "unproven", str(error)))
        else:
            self.say(Finding(subject, "failed", self._told_once(str(error))))

    def _told_once(self, text: str) -> str:
        """Return a text; where its statements were told already, a word for them."""
        first, _, statements = text.partition("\n")
        if statements and any(each.text.endswith(statements) for each in self.checked.findings):
            return f"{first.removesuffix(':')} the same as above"
        return text


# --- the warehouse -------------------------------------------------------------------------


def _look_at_warehouse(warehouse: Warehouse, name: str, syncs: Sequence[_Check]) -> None:
    try:
        # Reading first: opened for writing, a mistyped file would be made.
        with warehouse.opened_to_look():
            _look_at_sources(warehouse, name, syncs)
    except ReverseEtlError as error:
        for each in syncs:
            each.fail("warehouse", error)
        return
    _prove_rights(warehouse, syncs)


def _look_at_sources(warehouse: Warehouse, name: str, syncs: Sequence[_Check]) -> None:
    with warehouse.transaction() as tx:
        tx.now()  # the first word with a server: it may not answer
        tx.abandon()
    for each in syncs:
        each.say(Finding("warehouse", "ok", f"{name} answers"))
        for subject, look_at in (("account", _look_at_state), ("query", _look_at_source)):
            try:
                with warehouse.transaction() as tx:
                    look_at(tx, each)
                    tx.abandon()
            except ReverseEtlError as error:
                each.fail(subject, error)


def _look_at_state(tx: Transaction, each: _Check) -> None:
    """Look whether the sync still writes to where it wrote before."""
    refuse_damage(tx, each.sync.name)
    state = tx.state(each.sync.name)
    now = account_of(each.destination, each.sync.destination.object)
    target = each.destination.target
    if not is_same_account(now, state, target.id):
        refuse_changed_account(each.sync.name, now, state)
    each.known = Target(state.target_id, target.name) if state.target_id else None


def _look_at_source(tx: Transaction, each: _Check) -> None:
    source = tx.warehouse.source
    with placed(each.sync):
        if source is tx.warehouse:
            _ask(tx, each)
            return
        with source.looking() as there:
            _ask(there, each)


def _ask(tx: Transaction, each: _Check) -> None:
    shape = shape_of(tx, each.sync, each.destination)
    each.destination = each.config.bind(each.sync.name, shape.fields)
    each.columns = tx.warehouse.read_columns(shape)
    each.say(_query_finding(shape, has_rows=tx.has_rows(shape)))


def _query_finding(shape: Shape, *, has_rows: bool) -> Finding:
    if has_rows:
        used = ", ".join(shape.columns)
        return Finding("query", "ok", f"runs as far as its first row, with the columns {used}")
    text = "runs, but gives no row now"
    if shape.deletes:
        fate = "clear the fields of" if shape.clears_fields else "remove"
        text += f": a run would {fate} everybody, if the brake lets it"
    return Finding("query", "warning", text)


def _prove_rights(warehouse: Warehouse, syncs: Sequence[_Check]) -> None:
    try:
        with warehouse:
            warehouse.prove_rights()
    except ReverseEtlError as error:
        for each in syncs:
            each.fail("rights", error)
        return
    text = f"tables can be made and written in schema {warehouse.schema}; tried and rolled back"
    for each in syncs:
        each.say(Finding("rights", "ok", text))


# --- the destination -----------------------------------------------------------------------


def _look_at_destination(config: Config, name: str, syncs: Sequence[_Check], ports: Ports) -> None:
    account = config.account(name)
    limits = _limits(config.connector(name), account, syncs[0].destination)
    with conversations(config, name, limits, ports, retry_seconds=patience(account)) as wire:
        for each in syncs:
            _inspect(wire, each)


def _limits(
    connector: Connector, account: AccountSettings, destination: DestinationObject
) -> Limits:
    try:
        return connector.limits(account)
    except NotImplementedError:
        return destination.limits


def _inspect(wire: Wire, each: _Check) -> None:
    conversation = each.destination.inspect(each.columns, each.known)
    try:
        findings = wire.converse(conversation, unheard=True)
    except DestinationError as error:
        each.fail("destination", error)
        return
    nothing = Finding("destination", "unproven", "its connector has no questions for a check")
    each.checked.findings += findings or [nothing]
