"""The real state of the destination against what is believed of it.

    look      what the last committed run left, and whom to ask for
    ask       the destination: the members of a list, or a sample of profiles
    compare   the answers with the base, in the warehouse

An audit alone takes no lease and keeps nothing: it works in temporary tables of one transaction
that is given up in the end. A repair is a run (``Options.repair``): it takes the same steps under
its lease, and plans who was found wrong together with everything else that is due.

People whose state is open anyway (failed records, unconfirmed changes, residue) are not wrong.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from reverse_etl.account import account_of, is_same_account, refuse_changed_account
from reverse_etl.connector import Operation, Target
from reverse_etl.conversation import conversations
from reverse_etl.errors import ConfigError, RunError
from reverse_etl.planning import base_tables
from reverse_etl.ports import Ports
from reverse_etl.report import AuditReport, AuditSample, counted
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.damage import refuse_damage
from reverse_etl.warehouse.statements import audit as statements
from reverse_etl.warehouse.statements import control
from reverse_etl.warehouse.statements.audit import FIRST, SECOND, MemberStatements
from reverse_etl.warehouse.statements.changes import PendingStatements, count_rows
from reverse_etl.warehouse.tables import AUDITED_COLUMNS, PENDING_COLUMNS, RunTables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy import TableClause

    from reverse_etl.config import Config
    from reverse_etl.connector import Drift, MappedField, Prepared
    from reverse_etl.delivery.wire import Wire
    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.shape import Base

SAMPLES = 10
PROFILES = 100

# A destination may show a change only after a while: integrators of Iterable saw 10 minutes.
SETTLING = timedelta(minutes=10)

_WHY_OPEN = {
    "plan": "an earlier run planned a change that is not confirmed yet",
    "failed": "named in failed_records",
    "residue": "left the source, but another identifier of theirs is still in it",
}


@dataclass(frozen=True)
class Question:
    """What to ask the destination.

    Attributes:
        base: The last committed run; None when there is nothing to compare with.
        target: Whose members; its id is empty when nothing was ever delivered.
        people: The rows (identity, alias, primary key) whose profiles are to be read.
        prepared: The same people as a run would send them; None without any.
        unfinished: Runs that were under way, or killed, when it was asked.
    """

    base: Base | None
    target: Target
    people: Sequence[Any] = ()
    prepared: Prepared | None = None
    unfinished: Sequence[int] = ()


@dataclass(frozen=True)
class Reply:
    """What the destination said.

    Attributes:
        question: To what.
        members: The spooled answers, one for each kind of identifier.
        drifts: How each profile differs.
    """

    question: Question
    members: Sequence[Path] = ()
    drifts: Sequence[Drift | None] = ()


@dataclass(frozen=True)
class Finding:
    """What came of an audit.

    Attributes:
        report: For the user.
        wrong: Temporary table of who is to be planned again, or None.
    """

    report: AuditReport
    wrong: TableClause | None


def refuse_unaudited(config: Config, sync_name: str) -> None:
    """Make sure that the destination of a sync can be asked what it holds; it is not contacted.

    Raises:
        ConfigError: There is no such sync, its config cannot be used, or its connector has no
            questions for an audit.
    """
    if config.bind(sync_name).audits is None:
        place, name = f"{config.path}: syncs.{sync_name}", config.sync(sync_name).destination.name
        kind = config.account(name).type
        reason = f"the connector {kind} cannot ask what the destination holds: there is no audit"
        raise ConfigError([f"{place}: {reason}; a run with --full sends everybody again"])


def audit(
    config: Config, sync_name: str, *, sample: int = PROFILES, ports: Ports | None = None
) -> AuditReport:
    """Compare the destination with what is believed of it; change nothing.

    Args:
        config: A loaded config.
        sync_name: The sync.
        sample: How many profiles are read; a list is compared as a whole.
        ports: Time, chance and the wire, for tests.

    Raises:
        ConfigError: There is no such sync, its config cannot be used, or its connector has no
            questions for an audit.
        Busy: The DuckDB file stayed locked.
        RunError: The warehouse or the destination cannot be read.
    """
    refuse_unaudited(config, sync_name)
    auditor = Auditor(config, sync_name, ports or Ports(), sample)
    warehouse = warehouse_of(config, auditor.sync.source.warehouse, auditor.ports.clock)
    # Opened twice: a DuckDB file is not held while the destination is asked.
    with warehouse.looking() as tx:
        refuse_damage(tx, sync_name)
        question = auditor.look(tx)
    with auditor.asking(question) as reply, warehouse.looking() as tx:
        return auditor.compare(tx, reply).report


class Auditor:
    """The steps of one audit, for an audit alone and for a repair.

    Attributes:
        requests_sent: Requests that asking took.
    """

    def __init__(self, config: Config, sync_name: str, ports: Ports, sample: int) -> None:
        """Bind the parts; nothing is contacted yet.

        Raises:
            ConfigError: There is no such sync, or its config cannot be used.
        """
        self.config = config
        self.ports = ports
        self.sync = config.sync(sync_name)
        self.destination = config.bind(sync_name)
        self.sample = sample
        self.requests_sent = 0

    @property
    def deletes(self) -> bool:
        """Whether a run may remove anybody."""
        return self.destination.deletes and self.sync.mode == "mirror"

    # --- look ------------------------------------------------------------------------------

    def look(self, tx: Transaction, own_run: int | None = None) -> Question:
        """Find out what is believed, and so whom to ask for.

        Args:
            tx: To read in.
            own_run: The run that asks, when it is a repair.

        Raises:
            RunError: The config names another account, or other values, than the last run.
        """
        state = tx.state(self.sync.name)
        account = account_of(self.destination, self.sync.destination.object)
        if not is_same_account(account, state, self.destination.target.id):
            refuse_changed_account(self.sync.name, account, state)
        target = Target(state.target_id or "", self.destination.target.name)
        question = Question(
            state.base,
            target,
            unfinished=[run for run in self._unfinished(tx) if run != own_run],
        )
        if state.base is None or self.destination.audits != "profiles":
            return question
        return self._choose_profiles(tx, question, state.base)

    def _unfinished(self, tx: Transaction) -> list[int]:
        """Return the runs that have not ended."""
        if not tx.warehouse.is_prepared(tx):
            return []
        runs = tx.warehouse.tables.runs
        return [row[0] for row in tx.control.rows(control.unfinished_runs(runs, self.sync.name))]

    def _choose_profiles(self, tx: Transaction, question: Question, base: Base) -> Question:
        self._refuse_changed_mapping(base)
        before = self._tables(tx, base)
        left_open = self._collect_open(tx, base, before)
        chosen = statements.choose_profiles(before.snapshot, left_open, self.sample)
        people = {person[0]: person for person in tx.rows(chosen)}
        if not people:
            return question
        names = dict.fromkeys(mapped.column for mapped in base.fields if mapped.column)
        columns = [base.columns[name] for name in names]
        page = tx.warehouse.read_people(before.snapshot, list(people), columns)
        # Bound anew to the fields as the run had them: with the engine's spelling of the columns.
        destination = self.config.bind(self.sync.name, base.fields)
        return replace(
            question,
            people=[people[identity] for identity in page.column("_identity").to_pylist()],
            prepared=destination.prepare(Operation.UPDATE, page),
        )

    def _refuse_changed_mapping(self, base: Base) -> None:
        if _sent(base.fields) != _sent(self.sync.mapping.fields):
            raise RunError(
                f"the fields of sync {self.sync.name} have changed since run {base.run_id}, whose "
                "values are at the destination. Run it first: "
                f"reverse-etl run-sync {self.sync.name} --config {self.config.path}",
                code="mapping_changed",
            )

    # --- ask -------------------------------------------------------------------------------

    @contextmanager
    def asking(self, question: Question) -> Iterator[Reply]:
        """Ask the destination; the files of the reply go when the block ends.

        Raises:
            DestinationError: It cannot be read.
            Interrupted: Told to stop.
        """
        name = self.sync.destination.name
        limits = self.config.connector(name).limits(self.config.account(name))
        with conversations(self.config, name, limits, self.ports) as wire:
            try:
                reply = self._ask(wire, question)
            finally:
                self.requests_sent = wire.requests_sent
            yield reply

    def _ask(self, wire: Wire, question: Question) -> Reply:
        if question.prepared is not None:
            drifts = wire.converse(self.destination.compare_profiles(question.prepared))
            return Reply(question, drifts=drifts)
        if question.base is None or not question.target.id:
            return Reply(question)
        return Reply(question, wire.converse(self.destination.read_members(question.target)))

    # --- compare ---------------------------------------------------------------------------

    def compare(self, tx: Transaction, reply: Reply) -> Finding:
        """Compare what the destination said with the base, in temporary tables."""
        report = AuditReport(self.sync.name, self.destination.audits or "members")
        asked, base = reply.question.base, tx.state(self.sync.name).base
        if base is None:
            report.notes.append("the sync was never run: there is nothing to compare with yet")
            return Finding(report, None)
        report.run_id = base.run_id
        report.notes += self._doubts(tx, reply, base)
        if asked is not None and asked.run_id == base.run_id:
            # What was confirmed since may not have been there yet when the destination was asked.
            base = asked
        tables = self._tables(tx, base)
        left_open = self._collect_open(tx, base, tables)
        if reply.question.prepared is not None:
            wrong = self._compare_profiles(tx, reply, reply.question.prepared, report)
        elif reply.members:
            comparing = _Members(self, tx, base, tables, left_open, report)
            wrong = comparing.compare(reply.members)
        else:
            report.notes.append("nobody is believed to be there: there is nothing to compare")
            wrong = None
        self._report_open(tx, left_open, report)
        return Finding(report, wrong)

    def _doubts(self, tx: Transaction, reply: Reply, base: Base) -> Iterator[str]:
        """Say what may make the answers differ from the base for a while."""
        runs = tx.warehouse.tables.runs
        asked = reply.question.base
        if asked is None or asked.run_id != base.run_id:
            yield f"run {base.run_id} began while the destination was asked: audit once more"
        for run in reply.question.unfinished:
            yield (
                f"run {run} had not ended: it was under way, or it was killed and the next run "
                "settles it first; what it had not confirmed counts as open"
            )
        ended = tx.control.scalar(statements.last_delivery(runs, self.sync.name))
        if ended is not None and tx.now() - ended < SETTLING:
            minutes = SETTLING // timedelta(minutes=1)
            yield (
                f"the last delivery ended less than {minutes} minutes ago: the destination may "
                "not show all of it yet"
            )

    def _tables(self, tx: Transaction, base: Base) -> RunTables:
        return base_tables(self.sync.name, base, tx.warehouse.schema)

    def _collect_open(self, tx: Transaction, base: Base, tables: RunTables) -> TableClause:
        """Gather whose state earlier runs left open, in a temporary table."""
        known = tx.warehouse.tables
        found = PendingStatements(
            self.sync.name,
            tx.reach(known.failed, self.sync.name),
            known.residue,
            base,
            tables.changes,
            tables.outcomes,
            retry=True,
            full=True,
        ).collect()
        left_open = tx.scratch(_temporary_name("left_open", self.sync.name), PENDING_COLUMNS)
        # Where nobody is removed, who left the source stays by design.
        chosen = found if self.deletes else statements.without_residue(found)
        tx.create(left_open, chosen)
        return left_open

    def _report_open(self, tx: Transaction, left_open: TableClause, report: AuditReport) -> None:
        report.counts["open"] = int(tx.scalar(count_rows(left_open)))
        report.samples["open"] = [
            AuditSample(identity, _WHY_OPEN[origin])
            for identity, origin in tx.rows(statements.sample_open(left_open, SAMPLES))
        ]

    def _compare_profiles(
        self, tx: Transaction, reply: Reply, prepared: Prepared, report: AuditReport
    ) -> TableClause:
        people = reply.question.people
        found: dict[str, list[AuditSample]] = {}
        for person, drift, body in zip(people, reply.drifts, prepared.bodies, strict=True):
            word = drift.kind if drift else "in_step" if body else "not_sendable"
            reason = drift.reason if drift else None
            found.setdefault(word, []).append(AuditSample(person[0], reason))
        words = ("in_step", "missing", "different", "not_sendable")
        report.counts |= {"compared": len(people)}
        report.counts |= {word: len(found.get(word, [])) for word in words}
        report.samples |= {word: found.get(word, [])[:SAMPLES] for word in ("missing", "different")}
        report.wrong = report.counts["missing"] + report.counts["different"]
        report.notes.append(
            f"{len(people)} profiles were read, the same ones every time; who is not among them "
            "is neither compared nor repaired"
        )
        drifted = [p for p, drift in zip(people, reply.drifts, strict=True) if drift]
        return _uploaded(tx, self.sync.name, drifted)


def _sent(fields: Sequence[MappedField]) -> list[str]:
    """Return what makes two mappings send the same; an engine may spell columns its own way."""
    plain = [replace(each, column=each.column and each.column.lower()) for each in fields]
    return [json.dumps(asdict(each), default=str) for each in plain]


def _uploaded(tx: Transaction, sync_name: str, people: Sequence[Any]) -> TableClause:
    """Return a temporary table of people who are to be updated."""
    wrong = _wrong_table(tx, sync_name)
    tx.create_empty(wrong)
    if people:
        names = ("_identity", "_alias", "_primary_key", "_operation")
        columns = [*map(pa.array, zip(*people, strict=True)), pa.repeat("update", len(people))]
        tx.upload(wrong, pa.RecordBatch.from_arrays(columns, names))
    return wrong


def _wrong_table(tx: Transaction, sync_name: str) -> TableClause:
    return tx.scratch(_temporary_name("wrong", sync_name), AUDITED_COLUMNS)


def _temporary_name(word: str, sync_name: str) -> str:
    """Return a name that no table of the user's has: engines look for temporary tables first.

    In a repair these tables are there already when the query of the source is evaluated.
    """
    return f"_audit_{word}_{sync_name}"


# --- the members of a list -----------------------------------------------------------------


@dataclass
class _Extras:
    """The people there whom the base does not explain, counted.

    Attributes:
        known: Whose line is known, each once.
        open: Those of them whose state is open.
    """

    known: int = 0
    open: int = 0


@dataclass
class _Members:
    """One comparison of a list with the base, in temporary tables."""

    auditor: Auditor
    tx: Transaction
    base: Base
    tables: RunTables
    left_open: TableClause
    report: AuditReport
    _nameless: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        destination = self.auditor.destination
        names = [identifier.name for identifier in destination.identifiers]
        sync = self.auditor.sync.name

        def temporary(word: str, columns: Any) -> TableClause:  # noqa: ANN401 - Columns
            return self.tx.scratch(_temporary_name(word, sync), columns)

        self.wrong = _wrong_table(self.tx, sync)
        self.statements = MemberStatements(
            sync,
            names,
            destination.prefixed,
            destination.sends_alias,
            self.tables.snapshot,
            self.left_open,
            temporary("members", (*names, *statements.READING_COLUMNS)),
            temporary("lines", statements.LINE_COLUMNS),
            temporary("people", statements.PEOPLE_COLUMNS),
            temporary("extras", statements.EXTRA_COLUMNS),
            temporary("claims", statements.CLAIM_COLUMNS),
        )

    def compare(self, answers: Sequence[Path]) -> TableClause:
        """Fill the report; return the table of who is wrong."""
        made = self.statements
        self._upload(answers)
        for table, chosen in (
            (made.lines, made.each_line),
            (made.people, made.find_people),
            (made.extras, made.find_extras),
        ):
            self.tx.create(table, chosen())
            self.tx.finish(table)
        since = int(self.tx.control.scalar(self._since()) or 0)
        older = self._older_runs(since)
        log = self.tx.warehouse.tables.log
        self.tx.create(made.claims, made.find_claims(log, since, older))
        halves = self._count_people()
        present = frozenset(half for half, count in halves.items() if count)
        self.tx.create(self.wrong, made.find_wrong(halves=present))
        self._count_extras(halves[SECOND])
        self._note_history(since, len(older))
        self._sample()
        return self.wrong

    def _upload(self, answers: Sequence[Path]) -> None:
        """Put the lines of all readings into a table, piece by piece."""
        members, destination = self.statements.members, self.auditor.destination
        self.tx.create_empty(members)
        sizes = []
        for reading, path in enumerate(answers):
            size = nameless = 0
            with path.open("rb") as lines:
                for batch in destination.parse_members(lines):
                    numbers = pa.repeat(reading, batch.num_rows)
                    self.tx.upload(members, batch.append_column("_reading", numbers))
                    size += batch.num_rows
                    nameless += reduce(pc.and_, map(pc.is_null, batch.columns)).true_count
            sizes.append(size)
            # In each reading everyone has one line.
            self._nameless = self._nameless if reading else nameless
        self.report.counts["members"] = sizes[0]
        if len(set(sizes)) > 1:
            self.report.notes.append(
                f"the list changed while it was read ({' and then '.join(map(str, sizes))} "
                "members): the counts may be off by the difference"
            )

    def _since(self) -> Any:  # noqa: ANN401 - a SELECT
        runs = self.tx.warehouse.tables.runs
        return statements.last_full_run(runs, self.auditor.sync.name)

    def _older_runs(self, since: int) -> list[RunTables]:
        """Return the runs before the base that speak of this list, and ended in order."""
        name, runs = self.auditor.sync.name, self.tx.warehouse.tables.runs
        ended = {row[0] for row in self.tx.control.rows(statements.ended_in_order(runs, name))}
        found = self.tx.runs_with_tables(name)
        kept = ended.intersection(found["outcomes"], found["changes"])
        older = [run for run in sorted(kept) if since <= run < self.base.run_id]
        schema = self.tx.warehouse.schema
        return [RunTables(name, run, schema, (), ()) for run in older]

    def _count_people(self) -> Mapping[str, int]:
        """Count the base; return how many people were found by one identifier alone."""
        in_step = missing = 0
        halves = dict.fromkeys((FIRST, SECOND), 0)
        for is_open, found, half, count in self.tx.rows(self.statements.count_people()):
            if half is not None:
                halves[half] += count
            if not is_open:
                in_step += count if found else 0
                missing += 0 if found else count
        self.report.counts |= {"in_step": in_step, "missing": missing}
        return halves

    def _count_extras(self, half: int) -> None:
        """Count who else is there.

        Args:
            half: People of the base who were found by their second identifier alone: as many
                lines of the first reading are theirs.
        """
        report, extras = self.report, _Extras()
        for first, second, is_open, count in self.tx.rows(self.statements.count_extras()):
            extras.known += count if first else 0
            # Who is on two lines is counted by the first, unless only the second is known.
            by_second_alone = second and not first and is_open == 1
            extras.open += count if (first and is_open is not None) or by_second_alone else 0
        repairs = dict(self.tx.rows(statements.count_wrong(self.wrong)))
        ours = repairs.get("delete", 0)
        others = max(extras.known - half - extras.open - ours, 0) + self._nameless
        report.counts |= {"extra_ours": ours, "extra_others": others}
        report.wrong = report.counts["missing"] + (ours if self.auditor.deletes else 0)
        self._note_extras(int(self.tx.scalar(count_rows(self.statements.claims))) - ours, ours)

    def _note_extras(self, doubtful: int, ours: int) -> None:
        notes = self.report.notes
        if doubtful > 0:
            notes.append(
                f"{doubtful} identifiers that this sync once added are on the list, but may be "
                "another identifier of somebody who belongs there: they count as added by others, "
                "and a repair leaves them alone"
            )
        if ours and not self.auditor.deletes:
            notes.append(f"{ours} people left the source and stay: this sync removes nobody")
        if self._nameless:
            notes.append(
                f"{self._nameless} members are shown by nothing that this sync maps as an "
                "identifier; they count as added by others"
            )

    def _note_history(self, since: int, older: int) -> None:
        if not self.report.counts["extra_others"]:
            return
        full = f" since the full run {since}" if since else ""
        plans = f" and the plans of {counted((older, 'older run', ''))}" if older else ""
        self.report.notes.append(
            f"whom this sync once added is known from what is left of sync_log{plans}{full}; "
            "anybody else counts as added by others"
        )

    def _sample(self) -> None:
        wrong = self.wrong
        others = self.statements.sample_others(wrong, SAMPLES)
        samples = {
            "missing": statements.sample_wrong(wrong, "update", SAMPLES),
            "extra_ours": statements.sample_wrong(wrong, "delete", SAMPLES),
            "extra_others": others,
        }
        for word, chosen in samples.items():
            self.report.samples[word] = [AuditSample(row[0]) for row in self.tx.rows(chosen)]
