"""What must hold after every run of the rules (design §6.1), judged by the destination."""

from __future__ import annotations

from collections.abc import Mapping

from reverse_etl.testing.destination import FOREIGN, THEIRS, Profile, Project
from reverse_etl.testing.rules.history import UNSENDABLE_PLAN, History, Round
from reverse_etl.testing.rules.planning import FEW_DELETES, Planned
from reverse_etl.testing.rules.settling import committed, recover
from reverse_etl.testing.rules.source import usable_email, usable_user_id
from reverse_etl.testing.rules.tables import NOBODY, Base, Change, Settings, State

WINDOW = 3

_FINISHED = ("succeeded", "completed_with_failures")
_SETTLED = (*_FINISHED, "failed", "interrupted")
_LIST = 1


class Broken(AssertionError):  # noqa: N818 - a promise is what is broken
    """A promise of the contract that was not kept."""


def demand(kept: object, promise: str, *facts: object) -> None:
    """Raise :class:`Broken` with the facts, unless the promise was kept."""
    if not kept:
        raise Broken(": ".join([promise, *map(str, facts)]))


class Witness:
    """Watches one history.

    Attributes:
        project: What the destination holds; another account is another one.
    """

    def __init__(self, history: History) -> None:
        """Know nothing yet."""
        self._history = history
        self._accounts: dict[str, Project] = {}
        self._settings = history.settings(Round())
        self._kind = history.kind
        self._forget("")

    def _forget(self, account: str) -> None:
        """Another account starts from nothing."""
        self._account = account
        self._ever_wanted: set[str] = set()
        self._written: dict[str, frozenset[str]] = {}
        self._open = NOBODY
        self._leaving: set[str] = set()
        self._linked: set[str] = set()
        self._tried: dict[int, set[tuple[str, bool]]] = {}
        self._held: frozenset[str] = NOBODY
        self._requests = self._committed = 0

    @property
    def project(self) -> Project:
        """Return the project of the account that the round writes to."""
        project = self._accounts.get(self._settings.account)
        if project is None:
            project = self._accounts[self._settings.account] = Project(self._kind, {_LIST: "list"})
            user_id = None if self._kind == "email" else "foreign"
            foreign = Profile(FOREIGN, user_id, {**THEIRS, "plan": 9})
            project.profiles.append(foreign)
            project.members.append(foreign)
        return project

    def begin(self, played: Round, settings: Settings) -> None:
        """Watch another round."""
        self._round, self._settings = played, settings
        self._requests, self._upserted = 0, False

    # --- while it runs ---------------------------------------------------------------------

    def see_plan(self, state: State, planned: Planned, played: Round) -> None:
        """Check the brake: who newly leaves was never to leave in an earlier plan."""
        base = None if planned.fresh else state.base
        leaving = {c.identity for c in planned.changes if c.operation == "delete"}
        newly = leaving - self._leaving
        believed = len(base.snapshot.people) + len(base.residue) if base else 0
        many = len(newly) >= FEW_DELETES or (newly and not planned.snapshot.people)
        passed = played.allow_deletes or len(newly) * 100 <= played.percent * believed
        demand(passed or not many or not believed, "the brake was never passed unasked", newly)
        if planned.fresh or state.account is None:
            self._forget(self._settings.account)
        staying = {c.identity for c in planned.changes} - leaving
        self._leaving = (self._leaving | leaving) - staying

    def see_commit(self, state: State) -> None:
        """Remember whom the query wanted at the commit point."""
        base = committed(state)
        self._ever_wanted |= base.snapshot.people.keys()
        self._held = _names_of_rows(self._round)
        self._tried[base.run_id] = set()

    def see_request(self, state: State, batch: tuple[Change, ...]) -> None:
        """Check what is sent, and in which order."""
        base = committed(state)
        self._requests += 1
        demand(batch[-1].seq <= base.position + WINDOW, "no more than a window is sent again")
        is_delete = batch[0].operation == "delete"
        demand(not (is_delete and self._upserted), "deletes go before upserts", batch)
        demand(not is_delete or self._settings.deletes, "nobody is removed unasked", batch)
        self._upserted = not is_delete
        self._tried[base.run_id].update((change.identity, is_delete) for change in batch)

    def see_untried(self, batch: tuple[Change, ...]) -> None:
        """A request that ended the run counts as not tried."""
        run_id = max(self._tried)
        self._tried[run_id].difference_update((c.identity, c.operation == "delete") for c in batch)

    # --- after it --------------------------------------------------------------------------

    def check(self, state: State) -> None:
        """Check what must hold after every run, also after one that was killed."""
        foreign = self.project.profiles[0]
        demand(foreign.fields == {**THEIRS, "plan": 9}, "foreign profiles are untouched", foreign)
        demand(self.project.members[:1] == [foreign], "foreign members are untouched")
        self._check_log(state)
        base = state.base
        if base is None or state.account != self._settings.account:
            return
        excused = open_changes(base) | state.failed.keys() | base.residue.keys()
        if base.run_id != self._committed:
            # What the next run will know: a record of somebody confirmed since is stale.
            failed = recover(state).failed.keys()
            self._note_written(base, open_changes(base) | failed | base.residue.keys())
        if self._settings.sends_alias:
            self._note_links(base, excused)
        for identity in self._ever_wanted - excused - self._linked:
            self._check_in_step(identity, base, excused)

    def _note_links(self, base: Base, now_open: frozenset[str]) -> None:
        """Find the links that only the destination knows: an audit's business (design §6.2).

        Somebody lost an e-mail and got none instead: their profile keeps it.
        """
        for profile in self.project.profiles:
            person = base.snapshot.people.get(f"userId:{profile.user_id}")
            if person is None or person.identity in now_open:
                continue
            if profile.email not in {None, person.alias}:
                self._linked |= {person.identity, f"email:{profile.email}"}

    def _note_written(self, base: Base, now_open: frozenset[str]) -> None:
        """Work out which fields of a profile have to be known, once a run committed.

        Those of the mapping; and while the changes of a person stay open from run to run, also
        those of the mappings before, unless nothing was planned for them: a field that is no
        longer mapped is left as it is. Who left while profiles are kept is no longer ours.
        """
        self._committed = base.run_id
        planned = {change.identity for change in base.plan}
        # What we refuse ourselves does not leave us.
        unsent = {
            c.identity
            for c in base.plan
            if c.seq in base.outcomes and not base.outcomes[c.seq].sent
        }
        sent = frozenset(base.fields)
        people = base.snapshot.people
        for identity in people:
            stayed = identity in self._open and identity in now_open and identity in planned
            before = self._written.get(identity, NOBODY) if stayed else NOBODY
            self._written[identity] = before | (NOBODY if identity in unsent else sent)
        self._open = now_open
        if self._settings.mirror and self._settings.keeps:
            self._written = {i: names for i, names in self._written.items() if i in people}

    def _check_log(self, state: State) -> None:
        """Every tried change has its line, and the counters add up."""
        for run_id in [run for run in self._tried if state.runs[run].status in _SETTLED]:
            run = state.runs[run_id]
            lines = [line for line in state.log[run_id] if not line.identity.startswith("row:")]
            logged = {
                (line.identity, line.operation == "delete")
                for line in lines
                if line.code != "duplicate_identity"
            }
            missing = self._tried.pop(run_id) - logged
            demand(not missing, "every tried change has a line", run_id, missing)
            done = sum(run.succeeded) + sum(run.failed)
            demand(len(logged) == done, "counters equal the log", run, lines)
            planned = run.counts.inserts + run.counts.updates + run.counts.deletes
            finished = run.status in _FINISHED
            demand(not finished or planned == done, "planned = succeeded + failed", run)

    def _check_in_step(self, identity: str, base: Base, excused: frozenset[str]) -> None:
        wanted = base.snapshot.people.get(identity)
        found = self._profile(identity)
        if wanted is not None:
            demand(
                self._is_there(identity, found, wanted=True), "nobody is lost: missing", identity
            )
            if not self._settings.sends_alias:
                self._check_values(found, wanted.values)
        elif self._is_there(identity, found, wanted=False):
            justified = (
                found is not None and self._kind == "hybrid" and self._excuses(found, excused)
            )
            demand(justified, "nobody is lost: still there", identity)

    def _check_values(self, found: Profile | None, values: Mapping[str, object]) -> None:
        for name, value in values.items():
            if value is not None:
                there = found.fields.get(name) if found else None
                demand(there == value and value != UNSENDABLE_PLAN, "values", name, value, found)

    def check_converged(self, state: State, calm: Round) -> None:
        """Check that one clean run made the destination equal to the query."""
        run_id = max(state.runs)
        demand(state.runs[run_id].status in _FINISHED, "a clean run finishes", state.runs[run_id])
        base = committed(state)
        for record in state.failed.values():
            waits = record.code != "unknown" and not (record.retryable and calm.retry)
            waits = waits and not record.asked
            fresh = record.last_run == run_id
            demand(fresh or waits or record.unidentified, "what was due was tried", record)
            gone = record.identity not in base.snapshot.people and not self._settings.deletes
            demand(not gone or record.unidentified, "who cannot leave is no failure", record)
        people = base.snapshot.people
        for identity in people.keys() - state.failed.keys() - self._linked:
            self._check_in_step(identity, base, NOBODY)
        if not calm.mirror:
            return
        excused = frozenset(state.failed) | self._kept(base) | self._linked
        foreign = self.project.profiles[0]
        for profile in self._ours(people):
            justified = profile is foreign or self._excuses(profile, excused)
            demand(justified, "converged: extra", profile)

    def check_quiet(self, before: State, state: State, calm: Round) -> None:
        """Check that the run after a clean one sends nothing, unless it may try again."""
        again = [f for f in before.failed.values() if f.retryable and calm.retry]
        counts = state.runs[max(state.runs)].counts
        planned = counts.inserts + counts.updates + counts.deletes
        demand(again or not planned, "the second clean run plans nothing", counts)
        demand(again or not self._requests, "the second clean run sends nothing")

    # --- who is there ----------------------------------------------------------------------

    def _profile(self, identity: str) -> Profile | None:
        kind, _, value = identity.rpartition(":")
        if kind == "userId" or self._kind == "user_id":
            return self.project.find(user_id=value)
        return self.project.find(email=value)

    def _is_there(self, identity: str, found: Profile | None, *, wanted: bool) -> bool:
        if not self._settings.clears:
            return found in self.project.members
        if found is None or wanted:
            return found is not None
        return bool(found.fields.keys() & self._written.get(identity, NOBODY))

    def _ours(self, people: Mapping[str, object]) -> list[Profile]:
        if not self._settings.clears:
            return self.project.members
        named = [(i, self._profile(i)) for i in self._written if i not in people]
        return [p for i, p in named if p and self._is_there(i, p, wanted=False)]

    def _excuses(self, profile: Profile, excused: frozenset[str]) -> bool:
        """Whether a current row, or somebody not in step, holds a name of the profile."""
        if self._kind == "hybrid":
            names = {f"email:{profile.email}", f"userId:{profile.user_id}"}
            return bool(names & (self._held | excused))
        name = profile.email if self._kind == "email" else profile.user_id
        held = f"{'email' if self._kind == 'email' else 'userId'}:{name}" in self._held
        return name in excused or (held and not self._settings.clears)

    def _kept(self, base: Base) -> frozenset[str]:
        """Return the residue that a current row gives reason for."""
        kept = {
            left.identity
            for left in base.residue.values()
            if {left.identity, f"email:{left.alias}"} & self._held
        }
        kept |= {identity for identity, alias in base.former if f"email:{alias}" in self._held}
        return frozenset(kept)


def open_changes(base: Base) -> frozenset[str]:
    """Return the identities of the plan whose change is not confirmed."""
    outcomes = base.outcomes
    return frozenset(
        change.identity
        for change in base.plan
        if not (
            outcomes[change.seq].succeeded
            if change.seq in outcomes
            else change.seq <= base.position
        )
    )


def _names_of_rows(played: Round) -> frozenset[str]:
    """Return every identifier that any row holds, as in hybrid projects."""
    held = set()
    for row in played.rows:
        email, user_id = usable_email(row.email), usable_user_id(row.user_id)
        held |= {f"email:{email}"} if email else set()
        held |= {f"userId:{user_id}"} if user_id else set()
    return frozenset(held)
