"""What the contract promises (design §5 and §6), checked after every run of a history.

A :class:`Witness` watches one history: it knows what the source said, what was sent and what the
destination holds, and reads our tables. It works the truth out by itself, not from the engine.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from reverse_etl.report import RunReport
from reverse_etl.testing.destination import (
    BULK_UPDATE,
    FOREIGN,
    THEIRS,
    Profile,
    Project,
    Sent,
    fault_of,
    is_clearing,
)
from reverse_etl.testing.expected import Expected
from reverse_etl.testing.histories import MAPPINGS, History, Round
from reverse_etl.testing.place import RECORDS_PER_REQUEST, SYNC
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


@dataclass
class PlayedRun:
    """One played round: what was sent in it, and what it reported.

    Attributes:
        number: Of the round.
        round: As it was told to go.
        expected: What its source means.
        run_id: Of the run, when it got one.
        report: None when the process died or raised.
        sent: The requests that were started.
    """

    number: int
    round: Round
    expected: Expected
    run_id: int | None = None
    report: RunReport | None = None
    sent: list[Sent] = field(default_factory=list)


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
        project.members.append(self.foreign)
        self.runs: dict[int, PlayedRun] = {}
        self.ever_wanted: set[str] = set()
        self.written: dict[str, set[str]] = {}
        self._untouched = dict(self.foreign.fields)
        self._open: set[str] = set()
        self._committed = 0

    def check_run(self, run: PlayedRun) -> None:
        """Check what a run sent and reported."""
        self.ever_wanted |= set(run.expected.people)
        if run.run_id is not None:
            self.runs[run.run_id] = run
        if run.report is not None:
            check_report(run, run.report)
        check_requests(run)

    def check_books(self, books: Books) -> None:
        """Check what must hold after every run, also after one that was killed."""
        if books.ready():
            self._note_written(books)
            check_nothing_lost(self, books)
            check_log(self, books)
        demand(self.foreign in self.project.members, "foreign members are untouched")
        demand(self.foreign.fields == self._untouched, "foreign profiles are untouched")
        for profile in self.project.profiles:
            theirs = {name: profile.fields.get(name) for name in THEIRS}
            demand(theirs == THEIRS, "foreign fields are untouched", profile)

    def _note_written(self, books: Books) -> None:
        """Work out which fields of a profile the engine has to know, once a run committed.

        Those of the mapping; and while the changes of a person stay open from run to run, also
        those of the mappings before. Who left while profiles are kept is no longer ours.
        """
        state = books.state()
        if state is None or state.committed_run_id in {None, self._committed}:
            return
        self._committed = state.committed_run_id
        run = self.runs[state.committed_run_id]
        residue = {row.identity for row in books.residue(state.committed_run_id)}
        now_open = books.open_changes(state) | set(books.failed()) | residue
        sent = set(MAPPINGS[run.round.mapping])
        for identity in run.expected.people:
            stayed_open = identity in self._open & now_open
            before = self.written.get(identity, set()) if stayed_open else set()
            self.written[identity] = before | sent
        self._open = now_open
        if (run.round.mode, run.round.on_delete) == ("mirror", "keep"):
            self.written = {
                i: names for i, names in self.written.items() if i in run.expected.people
            }

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
    """Our tables, read."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._tables = tx.warehouse.tables

    def ready(self) -> bool:
        """Return whether there is anything to look at."""
        return self._tx.warehouse.is_prepared(self._tx.connection)

    def failed(self) -> Mapping[str, Any]:
        """Return the failed records by identity."""
        rows = self._tx.rows(self._tables.failed.select())
        demand(len({row.identity for row in rows}) == len(rows), "one failed record each", rows)
        return {row.identity: row for row in rows}

    def runs(self) -> list[Any]:
        """Return the rows of sync_runs."""
        return list(self._tx.rows(self._tables.runs.select()))

    def log(self) -> list[Any]:
        """Return the sync log."""
        return list(self._tx.rows(self._tables.log.select()))

    def residue(self, run_id: int) -> list[Any]:
        """Return who stays as residue of a run."""
        rows = self._tx.rows(self._tables.residue.select())
        return [row for row in rows if row.sync_run_id == run_id]

    def state(self) -> Any:  # noqa: ANN401 - a row
        """Return the row of the sync, or None."""
        rows = self._tx.rows(self._tables.state.select())
        return rows[0] if rows else None

    def open_changes(self, state: Any) -> set[str]:  # noqa: ANN401 - a row
        """Return the identities of the last plan whose change is not confirmed."""
        _, changes, outcomes = self.committed(state.committed_run_id)
        failed = {o.seq for o in outcomes if o.status == "failed"}
        return {c[3] for c in changes if c[0] > state.position or c[0] in failed}

    def committed(self, run_id: int) -> tuple[set[str], list[Any], list[Any]]:
        """Return identities of the snapshot, changes and outcomes of a committed run."""
        tables = RunTables(SYNC, run_id, self._tx.warehouse.schema, (), ())
        snapshot = {row[0] for row in self._tx.rows(tables.snapshot.select())}
        changes = list(self._tx.rows(tables.changes.select()))
        return snapshot, changes, list(self._tx.rows(tables.outcomes.select()))


# --- the promises --------------------------------------------------------------------------


def check_report(run: PlayedRun, report: RunReport) -> None:
    """A run says what it did, and does nothing when nothing is planned or the brake holds it."""
    if not any(report.planned.values()):
        demand(not run.sent, "a run with nothing planned makes no request", run.number)
    if report.error_code in {"warehouse_error", "source_error"}:
        demand(run.round.failed_at, "the warehouse fails only when told", report.error)
    if report.status == "held":
        demand(not run.sent, "a held run sends nothing", run.number)


def check_requests(run: PlayedRun) -> None:
    """Each request keeps within the limits, and says what it may say."""
    upserted = False
    for sent in run.sent:
        if sent.path == "/api/lists":
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


def _named(witness: Witness, person: Mapping[str, Any]) -> str:
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
    residue = {row.identity for row in books.residue(state.committed_run_id)}
    excused = books.open_changes(state) | set(books.failed()) | residue
    for identity in witness.ever_wanted - excused:
        found = _profile(witness, identity)
        there = _is_there(witness, identity, found, wanted)
        if identity in wanted:
            demand(there, "nobody is lost silently: not at the destination", identity)
            _check_values(witness, identity, found, run)
        elif witness.history.project_type != "hybrid":
            demand(not there, "nobody is lost silently: still at the destination", identity)
        elif there and found is not None:
            demand(_held_or_excused(found, run, excused), "still at the destination", identity)


def _is_there(
    witness: Witness, identity: str, profile: Profile | None, wanted: Collection[str]
) -> bool:
    """Whether somebody is on the list; or has a profile, with fields of ours if not wanted."""
    if witness.history.object == "list":
        return profile in witness.project.members
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
        if row.status in _SETTLED:
            _check_counters(row, of_run)
            _check_tried(witness, row.sync_run_id, of_run)


def _check_counters(row: Any, lines: list[Any]) -> None:  # noqa: ANN401 - a row
    for operation in ("insert", "update", "delete"):
        for status in ("succeeded", "failed"):
            said = getattr(row, f"{operation}s_{status}")
            logged = sum(x.operation == operation and x.status == status for x in lines)
            what = f"{operation}s_{status} of run {row.sync_run_id}"
            demand(said == logged, "counters equal the log", what, said, logged)
        if row.status in _FINISHED:
            planned = getattr(row, f"{operation}s_planned")
            done = getattr(row, f"{operation}s_succeeded") + getattr(row, f"{operation}s_failed")
            demand(planned == done, "planned = succeeded + failed", row.sync_run_id, operation)


def _check_tried(witness: Witness, run_id: int, lines: list[Any]) -> None:
    run = witness.runs.get(run_id)
    if run is None:
        return
    logged = {(line.identity, line.operation == "delete") for line in lines}
    untried = _untried(witness, run)
    for sent in run.sent:
        for person in sent.people:
            key = (_named(witness, person), sent.is_delete)
            if key not in untried:
                demand(key in logged, "every tried change has a line", run_id, key, logged)


def _untried(witness: Witness, run: PlayedRun) -> set[tuple[str, bool]]:
    """Return the changes of the batches that the API ended with a refused key."""
    refused = [s for s in run.sent if fault_of(run.round.faults, s.number) == "unauthorized"]
    found: set[tuple[str, bool]] = set()
    for sent in refused:
        deleted = sent.is_delete
        found |= {(_named(witness, person), deleted) for person in sent.people}
    for sent in run.sent:  # a batch that was narrowed before
        keys = {(_named(witness, p), sent.is_delete) for p in sent.people}
        found |= keys if keys & found else set()
    return found


def _kept(books: Books, run: PlayedRun) -> set[str]:
    """Return the residue that a current row gives reason for (§6.2 d)."""
    return {
        row.identity
        for row in books.residue(run.run_id or 0)
        if {row.identity, f"email:{row.alias}"} & run.expected.held
    }


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
    ours = [profile for profile in _of_ours(witness, wanted) if profile is not witness.foreign]
    for profile in ours:
        demand(_justified(witness, profile, run, failed | kept), "converged: extra", profile)


def _of_ours(witness: Witness, wanted: Collection[str]) -> list[Profile]:
    """Return who is on the list, or has fields of ours without being wanted."""
    if witness.history.object == "list":
        return witness.project.members
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
        demand(fresh or waits, "a failure that was due was tried", record)
