"""What the contract promises (design §5 and §6), checked after every run of a history.

A :class:`Witness` watches one history: it knows what the source said, what was sent and what the
destination holds, and reads our tables. It works the truth out by itself, not from the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from reverse_etl.connector import NoAnswer, Response
from reverse_etl.report import RunSummary
from reverse_etl.testing.destination import (
    BULK_UPDATE,
    FOREIGN,
    THEIRS,
    Profile,
    Project,
    Sent,
    Wire,
    fault_of,
    is_clearing,
)
from reverse_etl.testing.expected import Expected
from reverse_etl.testing.histories import FATAL_FAULTS, MAPPINGS, History, Round
from reverse_etl.testing.place import MAX_IN_FLIGHT, RECORDS_PER_REQUEST, SYNC, WINDOW
from reverse_etl.warehouse.base import Transaction
from reverse_etl.warehouse.tables import RunTables

_FINISHED = ("succeeded", "completed_with_failures")
_SETTLED = (*_FINISHED, "failed", "interrupted")


class BrokenPromiseError(AssertionError):
    """A promise of the contract that was not kept."""


def demand(kept: object, promise: str, *facts: object) -> None:
    """Raise :class:`BrokenPromiseError` with the facts, unless the promise was kept."""
    if not kept:
        raise BrokenPromiseError(": ".join([promise, *map(str, facts)]))


@dataclass(frozen=True)
class Believed:
    """What our tables say before a run.

    Attributes:
        people: Whom the destination is believed to hold: identity to the e-mails they may have.
        carried: Whose delete an earlier run has planned.
        held_until: When the lease that somebody holds ends, or None.
    """

    people: Mapping[str, set[str | None]] = field(default_factory=dict)
    carried: frozenset[str] = frozenset()
    held_until: datetime | None = None


@dataclass
class PlayedRun:
    """One played round: what was sent in it, and what it reported.

    Attributes:
        number: Of the round.
        round: As it was told to go.
        expected: What its source means.
        run_id: Of the run, when it got one.
        report: None when the process died or raised.
        raised: Code of the error that it raised, or None.
        wires: What it sent over.
        before: What was believed before it.
        list_before: The list that the sync wrote to before it, or None.
        there_before: Members of its list before it, when that was not the list so far.
        found_leased: Whether somebody had the lease when it began.
        is_rival: Whether it ran beside another one.
        disturbed: Whether another run was played beside it.
        frozen: Our tables when it lost its lease, and how many requests it had started.
    """

    number: int
    round: Round
    expected: Expected
    run_id: int | None = None
    report: RunSummary | None = None
    raised: str | None = None
    wires: list[Wire] = field(default_factory=list)
    before: Believed = field(default_factory=Believed)
    list_before: int | None = None
    there_before: list[Profile] = field(default_factory=list)
    found_leased: bool = False
    is_rival: bool = False
    disturbed: bool = False
    frozen: tuple[Any, int] | None = None

    @property
    def sent(self) -> list[Sent]:
        """The requests that were started."""
        return [sent for wire in self.wires for sent in wire.sent]

    @property
    def died(self) -> bool:
        """Whether the process was killed."""
        return self.report is None and self.raised is None

    def answered(self) -> list[tuple[Sent, Response]]:
        """Return the requests that were answered with success, for all that the engine heard."""
        return [
            (sent, answer)
            for wire in self.wires
            for sent in wire.sent
            if isinstance(answer := wire.heard.get(sent.number), Response) and answer.status == 200
        ]


class Witness:
    """Watches one history, and says when a promise was not kept.

    Attributes:
        history: What is played.
        project: What the destination holds.
        foreign: A member whom others added, before anything.
        runs: What is known of each run that got a number.
        ever_wanted: Identities that any source state held.
        written: Fields that a profile may hold from us, by identity.
    """

    def __init__(self, history: History, project: Project) -> None:
        """Put a foreign member into the project."""
        self.history = history
        self.project = project
        user_id = "foreign" if history.project_type != "email" else None
        self.foreign = Profile(FOREIGN, user_id, {**THEIRS, "plan": 9, "tier": "x", "level": 9})
        project.profiles.append(self.foreign)
        project.founders.append(self.foreign)
        self.runs: dict[int, PlayedRun] = {}
        self.ever_wanted: set[str] = set()
        self.written: dict[str, set[str]] = {}
        self.list_id: int | None = None
        self.strangers: list[Profile] = []
        self.left_lists: dict[int, list[Profile]] = {}
        self._untouched = dict(self.foreign.fields)
        self._open: set[str] = set()
        self._before = self.written, self._open
        self._committed = 0
        self._killed: PlayedRun | None = None

    @property
    def members(self) -> list[Profile]:
        """Who is on the list that the sync writes to."""
        if self.history.by_name:
            return self.project.members
        return self.project.members_of(self.list_id or self.history.rounds[0].list_id)

    def meet(self, run: PlayedRun) -> None:
        """Know of a run, whatever becomes of it."""
        self.ever_wanted |= set(run.expected.people)
        if run.run_id is not None:
            self.runs[run.run_id] = run

    def check_run(self, run: PlayedRun) -> None:
        """Check what a run sent and reported."""
        self.meet(run)
        if run.report is not None:
            check_report(run, run.report)
        check_requests(run)
        self._check_account(run)
        self._check_window(run)

    def _check_account(self, run: PlayedRun) -> None:
        """Another list is refused without ``--full``."""
        of_list = self.history.object == "list" and not self.history.by_name
        if not of_list or self.list_id is None or run.disturbed or run.raised:
            return
        elsewhere = run.round.list_id != self.list_id
        if elsewhere and not run.round.full:
            demand(not run.sent, "another list is refused", run.sent)
        if run.report is not None and run.round.is_steady:
            refused = run.report.error_code == "account_changed"
            demand(refused == (elsewhere and not run.round.full), "another list", run.report)

    def _check_window(self, run: PlayedRun) -> None:
        """After a kill, at most one window of people is sent again without a reason."""
        killed, now = self._killed, run.round
        if run.died:
            self._killed = run
        elif run.run_id is not None:
            self._killed = None
        if killed is None or killed.run_id != self._committed or run.disturbed or now.full:
            return
        then = killed.round
        for name in ("mapping", "plan_type", "mode", "on_delete", "list_id"):
            if getattr(now, name) != getattr(then, name):
                return
        again = changes_of(self, run.sent)
        before = changes_of(self, [sent for sent, answer in killed.answered() if _all_well(answer)])
        same = {
            (identity, is_delete)
            for identity, is_delete in again & before
            if run.expected.people.get(identity) == killed.expected.people.get(identity)
        }
        demand(len(same) <= WINDOW, "at most one window is sent again", same)

    def check_books(self, books: Books) -> None:
        """Check what must hold after every run, also after one that was killed."""
        if books.ready():
            self._note_committed(books)
            check_nothing_lost(self, books)
            check_log(self, books)
        for list_id in self.project.lists:
            there = self.foreign in self.project.members_of(list_id)
            demand(there, "foreign members are untouched", list_id)
        for list_id, left in self.left_lists.items():
            now = self.project.members_of(list_id)
            demand(now == left, "the list before stays as it is", list_id, now, left)
        demand(self.foreign.fields == self._untouched, "foreign profiles are untouched")
        for profile in self.project.profiles:
            theirs = {name: profile.fields.get(name) for name in THEIRS}
            demand(theirs == THEIRS, "foreign fields are untouched", profile)

    def _note_committed(self, books: Books) -> None:
        """Work out what follows from a run's being the last committed one."""
        state = books.state()
        if state is None or state.committed_run_id is None:
            return
        run = self.runs[state.committed_run_id]
        if state.committed_run_id != self._committed:
            self._committed = state.committed_run_id
            self._note_list(run)
            self._before = self.written, self._open
        # Again at every look: while the run goes on, more of it is settled.
        self._note_written(books, state, run)

    def _note_list(self, run: PlayedRun) -> None:
        """From now on this is the sync's list; whoever was on it is not ours."""
        list_id = run.round.list_id
        if self.history.object != "list" or self.history.by_name or list_id == self.list_id:
            return
        if self.list_id is not None:
            self.left_lists[self.list_id] = list(self.project.members_of(self.list_id))
            self.strangers = run.there_before
        self.left_lists.pop(list_id, None)
        self.list_id = list_id

    def _note_written(self, books: Books, state: Any, run: PlayedRun) -> None:  # noqa: ANN401 - a row
        """Work out which fields of a profile the engine has to know.

        Those of the mapping; and while the changes of a person stay open from run to run, also
        those of the mappings before. Who left while profiles are kept is no longer ours.
        """
        residue = {row.identity for row in books.residue(state.committed_run_id)}
        now_open = books.open_changes(state) | set(books.failed()) | residue
        sent = set(MAPPINGS[run.round.mapping])
        written, was_open = self._before
        self.written = dict(written)
        for identity in run.expected.people:
            stayed_open = identity in was_open & now_open
            before = written.get(identity, set()) if stayed_open else set()
            self.written[identity] = before | sent
        self._open = now_open
        if (run.round.mode, run.round.on_delete) == ("mirror", "keep"):
            self.written = {
                i: names for i, names in self.written.items() if i in run.expected.people
            }

    def check_brake(self, run: PlayedRun, state: Any) -> None:  # noqa: ANN401 - a row or None
        """A run is held when, and only when, more would newly leave than may."""
        if run.run_id is None or run.disturbed or run.is_rival:
            return
        reason = too_many_leave(self, run)
        if run.report is not None and run.report.status == "held":
            demand(reason, "the brake holds only when too many would leave", run.report.error)
        if state is not None and state.committed_run_id == run.run_id:
            passed = not reason or run.round.allow_deletes
            demand(passed, "the brake is never passed unasked", run.run_id, reason)

    def check_lost_lease(self, run: PlayedRun, books: Books) -> None:
        """Whoever lost the lease starts no request and writes nothing."""
        if run.frozen is None:
            return
        tables, requests = run.frozen
        demand(len(run.sent) == requests, "no request after the lease was lost", run.sent)
        now = books.everything()
        changed = [name for name in tables if tables[name] != now[name]]
        demand(not changed, "nothing is written after the lease was lost", changed)

    def check_converged(self, books: Books, calm: Round, run: PlayedRun) -> None:
        """Check that one clean run made the destination equal to the query."""
        report = run.report
        demand(report is not None, "a clean run ends in order")
        assert report is not None
        demand(report.status in _FINISHED, "a clean run finishes", report.status, report.error)
        failed = books.failed()
        check_equal(self, calm, run, set(failed), _kept(books, run))
        _check_failed_records(calm, run, failed)

    def check_quiet(self, books: Books, run: PlayedRun) -> None:
        """Check that the run after a clean one sends nothing."""
        again = [f for f in books.failed().values() if f.retryable and run.round.retry]
        if not again:
            demand(not run.sent, "the second clean run sends nothing", run.sent)
            report = run.report
            demand(report and not any(report.planned.values()), "it plans nothing", report)


# --- our tables ----------------------------------------------------------------------------


class Books:
    """Our tables, each read once."""

    def __init__(self, tx: Transaction) -> None:
        """Read within a transaction."""
        self._tx = tx
        self._tables = tx.warehouse.tables

    def ready(self) -> bool:
        """Return whether there is anything to look at."""
        return self._is_ready

    @cached_property
    def _is_ready(self) -> bool:
        return self._tx.warehouse.is_prepared(self._tx)

    @cached_property
    def _failed(self) -> list[Any]:
        return list(self._tx.control.rows(self._tables.failed.select()))

    @cached_property
    def _runs(self) -> list[Any]:
        return list(self._tx.control.rows(self._tables.runs.select()))

    @cached_property
    def _log(self) -> list[Any]:
        return list(self._tx.rows(self._tables.log.select()))

    @cached_property
    def _residue(self) -> list[Any]:
        return list(self._tx.rows(self._tables.residue.select()))

    @cached_property
    def _former(self) -> list[Any]:
        return list(self._tx.rows(self._tables.former.select()))

    @cached_property
    def _state(self) -> list[Any]:
        return list(self._tx.control.rows(self._tables.state.select()))

    @cached_property
    def _committed(self) -> dict[int, tuple[list[Any], list[Any], list[Any]]]:
        return {}

    def everything(self) -> dict[str, list[Any]]:
        """Return all that our control tables hold."""
        kept = ("_failed", "_runs", "_log", "_residue", "_former", "_state")
        if not self.ready():
            return {name: [] for name in kept}
        return {name: sorted(map(repr, getattr(self, name))) for name in kept}

    def failed(self) -> Mapping[str, Any]:
        """Return the failed records by identity."""
        rows = self._failed
        demand(len({row.identity for row in rows}) == len(rows), "one failed record each", rows)
        return {row.identity: row for row in rows}

    def runs(self) -> list[Any]:
        """Return the rows of sync_runs."""
        return self._runs

    def log(self) -> list[Any]:
        """Return the sync log.

        Beside a control database it is written before the run counts as settled; until then its
        lines say nothing yet.
        """
        if self._tx.control is self._tx:
            return self._log
        unsettled = {r.sync_run_id for r in self._runs if r.status in {"planning", "delivering"}}
        return [line for line in self._log if line.sync_run_id not in unsettled]

    def residue(self, run_id: int) -> list[Any]:
        """Return who stays as residue of a run."""
        return [row for row in self._residue if row.sync_run_id == run_id]

    def former(self, run_id: int) -> list[Any]:
        """Return the former e-mails that a run kept."""
        return [row for row in self._former if row.sync_run_id == run_id]

    def state(self) -> Any:  # noqa: ANN401 - a row
        """Return the row of the sync, or None."""
        return self._state[0] if self._state else None

    def open_changes(self, state: Any) -> set[str]:  # noqa: ANN401 - a row
        """Return the identities of the last plan whose change is not confirmed."""
        _, changes, outcomes = self.committed(state.committed_run_id)
        confirmed = {o.seq: o.status == "succeeded" for o in outcomes}
        return {c[3] for c in changes if not confirmed.get(c[0], c[0] <= state.position)}

    def committed(self, run_id: int) -> tuple[set[str], list[Any], list[Any]]:
        """Return identities of the snapshot, changes and outcomes of a committed run."""
        snapshot, changes, outcomes = self._of_run(run_id)
        return {row[0] for row in snapshot}, changes, outcomes

    def _of_run(self, run_id: int) -> tuple[list[Any], list[Any], list[Any]]:
        if run_id not in self._committed:
            tables = RunTables(SYNC, run_id, self._tx.warehouse.schema, (), ())
            read = [
                list(self._tx.rows(table.select()))
                for table in (tables.snapshot, tables.changes, tables.outcomes)
            ]
            self._committed[run_id] = (read[0], read[1], read[2])
        return self._committed[run_id]

    def believed(self) -> Believed:
        """Return what the tables say of the destination and of the lease."""
        state = self.state() if self.ready() else None
        if state is None:
            return Believed()
        held_until = state.lease_expires_at if state.lease_owner else None
        run_id = state.committed_run_id
        if run_id is None:
            return Believed(held_until=held_until)
        people = {row[0]: {row[1]} for row in self._of_run(run_id)[0]}
        people |= {row.identity: {row.alias} for row in self.residue(run_id)}
        for row in self.former(run_id):
            people.get(row.identity, set()).add(row.alias)
        return Believed(people, self._carried(state), held_until)

    def _carried(self, state: Any) -> frozenset[str]:  # noqa: ANN401 - a row
        """Return whose delete stays planned: unconfirmed, else failed (§6.3, 3)."""
        _, changes, outcomes = self.committed(state.committed_run_id)
        became = {o.seq: o.status for o in outcomes}
        operations = {i: f.operation for i, f in self.failed().items()}
        (run,) = [r for r in self.runs() if r.sync_run_id == state.committed_run_id]
        for seq, _, operation, identity, *_ in changes:
            tried = seq <= max(state.position, state.send_limit) or seq in became
            doubtful = seq > state.position and seq not in became
            if run.status == "delivering" and tried:  # the next run settles it first
                operations.pop(identity, None)
                if doubtful or became.get(seq) == "failed":
                    operations[identity] = operation
            if seq > state.position and became.get(seq) != "succeeded":
                operations[identity] = operation
        return frozenset(i for i, operation in operations.items() if operation == "delete")


# --- the promises --------------------------------------------------------------------------


def check_report(run: PlayedRun, report: RunSummary) -> None:
    """A run says what it did, and does nothing when nothing is planned or the brake holds it."""
    if not any(report.planned.values()):
        demand(not run.sent, "a run with nothing planned makes no request", run.number)
    if report.error_code in {"warehouse_error", "source_error"}:
        told = not run.round.is_steady or run.disturbed or run.is_rival
        demand(told, "the warehouse fails only when told", report.error)
    if report.error_code == "lease_lost":
        demand(run.frozen, "the lease is lost only to somebody else", report.error)
    if report.status == "held":
        demand(not run.sent, "a held run sends nothing", run.number)


def changes_of(witness: Witness, requests: Collection[Sent]) -> set[tuple[str, bool]]:
    """Return whom requests were about, and whether they took them away."""
    return {(named(witness, person), sent.is_delete) for sent in requests for person in sent.people}


def _all_well(answer: Response) -> bool:
    data = answer.json()
    return isinstance(data, dict) and data.get("failCount") == 0


def too_many_leave(witness: Witness, run: PlayedRun) -> str | None:
    """Return how many people would newly leave, when that is more than the brake lets pass."""
    played, before, wanted = run.round, run.before.people, run.expected
    possible = played.mode == "mirror" and (
        witness.history.object == "list" or played.on_delete == "clear_fields"
    )
    # Not as the witness knows it now: a run that has committed has changed its list already.
    elsewhere = run.list_before not in {None, played.list_id} and not witness.history.by_name
    if not possible or not before or elsewhere:
        return None
    leaving = {
        identity
        for identity, emails in before.items()
        if identity not in wanted.people
        and not _names(witness.history, identity, emails) & wanted.held
    } - run.before.carried
    if not leaving or (len(leaving) < 5 and wanted.people):
        return None
    share = 100 * len(leaving) / len(before)
    return f"{len(leaving)} of {len(before)}" if share > played.max_delete_percent else None


def _names(history: History, identity: str, emails: Collection[str | None]) -> set[str]:
    """Return by what a current row may hold a person: their e-mails only if those were sent."""
    if history.project_type != "hybrid" or history.hybrid_send == "identity":
        return {identity}
    return {identity, *(f"email:{email}" for email in emails)}


def check_requests(run: PlayedRun) -> None:
    """Each request keeps within the limits, and says what it may say."""
    upserted = False
    for wire in run.wires:
        demand(wire.most_in_flight <= MAX_IN_FLIGHT, "no more requests in flight than allowed")
    for sent in run.sent:
        if sent.path.startswith("/api/lists") and not sent.people:
            continue
        demand(0 < len(sent.people) <= RECORDS_PER_REQUEST, "requests within limits", sent)
        names = [(p.get("email"), p.get("userId")) for p in sent.people]
        demand(len(set(names)) == len(names), "an identity once per request", sent)
        if sent.is_delete:
            clears = sent.path == BULK_UPDATE
            key, value = ("createNewFields" if clears else "channelUnsubscribe"), False
            demand(sent.body.get(key) is value, f"{key} is false", sent)
            demand(not upserted, "deletes go before upserts", run.number)
            demand(run.round.mode == "mirror", "upsert removes nobody", run.number, sent)
            kept = clears and run.round.on_delete == "keep"
            demand(not kept, "on_delete: keep clears nothing", run.number, sent)
            alone = all(len(person.keys() & {"email", "userId"}) == 1 for person in sent.people)
            demand(alone, "a delete carries the identity alone", sent)
            demand(not clears or all(map(is_clearing, sent.people)), "one kind per batch", sent)
        else:
            upserted = True


def named(witness: Witness, person: Mapping[str, Any]) -> str:
    """Return the identity of a subscriber object as our tables write it."""
    if witness.history.project_type != "hybrid":
        return str(person.get("userId") or person.get("email"))
    if person.get("userId"):
        return f"userId:{person['userId']}"
    return f"email:{person['email']}"


def _profile(witness: Witness, identity: str) -> Profile | None:
    kind = witness.history.project_type
    if kind == "email":
        return witness.project.find(email=identity)
    if kind == "user_id":
        return witness.project.find(user_id=identity)
    name, _, value = identity.partition(":")
    if name == "userId":
        return witness.project.find(user_id=value)
    return witness.project.find(email=value)


def check_nothing_lost(witness: Witness, books: Books) -> None:
    """Each identity is in step, or failed, or planned above the confirmed position."""
    state = books.state()
    if state is None or state.committed_run_id is None:
        return
    snapshot, changes, _ = books.committed(state.committed_run_id)
    run = witness.runs[state.committed_run_id]
    wanted = set(run.expected.people)
    demand(snapshot == wanted, "the snapshot holds the identities of the query", snapshot, wanted)
    demand(len({c[3] for c in changes}) == len(changes), "one change per identity", changes)
    _check_position(witness, run, state, books)
    residue = {row.identity for row in books.residue(state.committed_run_id)}
    excused = books.open_changes(state) | set(books.failed()) | residue
    for identity in witness.ever_wanted - excused:
        found = _profile(witness, identity)
        there = _is_there(witness, identity, found, wanted)
        if identity in wanted:
            demand(there, "nobody is lost silently: not at the destination", identity)
            _check_values(witness, identity, found, run)
        elif found in witness.strangers:
            continue
        elif witness.history.project_type != "hybrid":
            demand(not there, "nobody is lost silently: still at the destination", identity)
        elif there and found is not None:
            demand(_held_or_excused(found, run, excused), "still at the destination", identity)


def _check_position(witness: Witness, run: PlayedRun, state: Any, books: Books) -> None:  # noqa: ANN401 - a row
    """Whatever the position confirms was answered with success, or has an outcome of its own."""
    _, changes, outcomes = books.committed(state.committed_run_id)
    told = {o.seq for o in outcomes}
    heard = changes_of(witness, [sent for sent, _ in run.answered()])
    for seq, _, operation, identity, *_ in changes:
        if seq <= state.position and seq not in told:
            confirmed = (identity, operation == "delete") in heard
            demand(confirmed, "the position confirms what is settled", seq, identity, operation)


def _is_there(
    witness: Witness, identity: str, profile: Profile | None, wanted: Collection[str]
) -> bool:
    """Whether somebody is on the list; or has a profile, with fields of ours if not wanted."""
    if witness.history.object == "list":
        return profile in witness.members
    if profile is None or identity in wanted:
        return profile is not None
    return bool(profile.fields.keys() & witness.written.get(identity, ()))


def _check_values(witness: Witness, identity: str, profile: Profile | None, run: PlayedRun) -> None:
    """The mapped fields have the values of the source, except the NULLs, which are skipped."""
    history = witness.history
    if profile is None or (history.project_type, history.hybrid_send) == ("hybrid", "both"):
        return
    for name, value in run.expected.people[identity].values.items():
        same = profile.fields.get(name) == value
        demand(same, "values", identity, name, value, profile.fields)


def _held_or_excused(profile: Profile, run: PlayedRun, excused: set[str]) -> bool:
    names = {f"email:{profile.email}", f"userId:{profile.user_id}"}
    return bool(names & (run.expected.held | excused))


def check_log(witness: Witness, books: Books) -> None:
    """Every tried change has its line; counters equal the log."""
    lines: dict[int, list[Any]] = {}
    for line in books.log():
        lines.setdefault(line.sync_run_id, []).append(line)
    for row in books.runs():
        of_run = [
            line
            for line in lines.get(row.sync_run_id, [])
            if not line.identity.startswith("row:") and line.error_code != "duplicate_identity"
        ]
        names = [line.identity for line in of_run]
        demand(len(set(names)) == len(names), "one line per change", row.sync_run_id, names)
        if row.status in _FINISHED:
            _check_sum(row)
        # Who settles a run decides whether it has lines, and may be another round.
        if row.status in _SETTLED and all(played.retain_logs for played in _rounds(witness)):
            _check_counters(row, of_run)
            _check_tried(witness, row.sync_run_id, of_run)
            _check_doubt(witness, row.sync_run_id, of_run)


def _rounds(witness: Witness) -> list[Round]:
    rounds = witness.history.rounds
    rivals = [each.rival for played in rounds for each in played.meanwhile if each.rival]
    return [*rounds, *rivals]


def _check_sum(row: Any) -> None:  # noqa: ANN401 - a row
    for operation in ("insert", "update", "delete"):
        planned = getattr(row, f"{operation}s_planned")
        done = getattr(row, f"{operation}s_succeeded") + getattr(row, f"{operation}s_failed")
        demand(planned == done, "planned = succeeded + failed", row.sync_run_id, operation)


def _check_counters(row: Any, lines: list[Any]) -> None:  # noqa: ANN401 - a row
    for operation in ("insert", "update", "delete"):
        for status in ("succeeded", "failed"):
            said = getattr(row, f"{operation}s_{status}")
            logged = sum(x.operation == operation and x.status == status for x in lines)
            what = f"{operation}s_{status} of run {row.sync_run_id}"
            demand(said == logged, "counters equal the log", what, said, logged)


def _check_tried(witness: Witness, run_id: int, lines: list[Any]) -> None:
    run = witness.runs.get(run_id)
    if run is None:
        return
    logged = {(line.identity, line.operation == "delete") for line in lines}
    untried = _untried(witness, run)
    for sent in run.sent:
        for person in sent.people:
            key = (named(witness, person), sent.is_delete)
            if key not in untried:
                demand(key in logged, "every tried change has a line", run_id, key, logged)


def _check_doubt(witness: Witness, run_id: int, lines: list[Any]) -> None:
    """What was once sent without an answer stays unknown, until somebody says that it succeeded."""
    run = witness.runs.get(run_id)
    if run is None:
        return
    unheard = {
        (named(witness, person), sent.is_delete)
        for wire in run.wires
        for sent in wire.sent
        if isinstance(answer := wire.heard.get(sent.number), NoAnswer) and answer.maybe_applied
        for person in sent.people
    }
    for line in lines:
        if line.error_code == "unavailable":
            key = (line.identity, line.operation == "delete")
            demand(key not in unheard, "what got no answer is unknown", run_id, key)


def _untried(witness: Witness, run: PlayedRun) -> set[tuple[str, bool]]:
    """Return the changes of the batches that the API ended together with the run."""
    refused = [s for s in run.sent if fault_of(run.round.faults, s.number) in FATAL_FAULTS]
    found: set[tuple[str, bool]] = set()
    for sent in refused:
        deleted = sent.is_delete
        found |= {(named(witness, person), deleted) for person in sent.people}
    for sent in run.sent:  # a batch that was narrowed before
        keys = {(named(witness, p), sent.is_delete) for p in sent.people}
        found |= keys if keys & found else set()
    return found


def _kept(books: Books, run: PlayedRun) -> set[str]:
    """Return the residue that a current row gives reason for (§6.2 d)."""
    run_id = run.run_id or 0
    names = {row.identity: {row.identity, f"email:{row.alias}"} for row in books.residue(run_id)}
    for row in books.former(run_id):  # they may still have it
        if row.identity in names:
            names[row.identity].add(f"email:{row.alias}")
    return {identity for identity, held in names.items() if held & run.expected.held}


def check_equal(
    witness: Witness, calm: Round, run: PlayedRun, failed: set[str], kept: set[str]
) -> None:
    """The destination is equal to the valid identities of the query."""
    wanted = run.expected.people
    for identity in wanted:
        if identity in failed:
            continue
        found = _profile(witness, identity)
        demand(_is_there(witness, identity, found, wanted), "converged: missing", identity)
        _check_values(witness, identity, found, run)
    if calm.mode == "upsert":
        return
    others = [witness.foreign, *witness.strangers]
    ours = [profile for profile in _of_ours(witness, wanted) if profile not in others]
    for profile in ours:
        demand(_justified(witness, profile, run, failed | kept), "converged: extra", profile)


def _of_ours(witness: Witness, wanted: Collection[str]) -> list[Profile]:
    """Return who is on the list, or has fields of ours without being wanted."""
    if witness.history.object == "list":
        return witness.members
    found = [(identity, _profile(witness, identity)) for identity in witness.written]
    return [p for i, p in found if p and i not in wanted and _is_there(witness, i, p, wanted)]


def _justified(witness: Witness, profile: Profile, run: PlayedRun, excused: set[str]) -> bool:
    kind = witness.history.project_type
    if kind != "hybrid":
        name = profile.email if kind == "email" else profile.user_id
        return name in run.expected.people or name in excused
    names = {f"email:{profile.email}", f"userId:{profile.user_id}"}
    return bool(names & (run.expected.held | excused))


def _check_failed_records(calm: Round, run: PlayedRun, failed: Mapping[str, Any]) -> None:
    """What a clean run leaves in failed_records is permanent, or fresh, or waits for a setting."""
    unidentified = {i for i, f in failed.items() if f.unidentified}
    demand(unidentified == run.expected.invalid, "the rows without identifier", unidentified)
    for record in failed.values():
        fresh = record.last_failed_run_id == run.run_id
        waits = record.error_code != "unknown" and not (record.retryable and calm.retry)
        waits = waits and record.retry_requested_at is None
        demand(fresh or waits, "a failure that was due was tried", record)
