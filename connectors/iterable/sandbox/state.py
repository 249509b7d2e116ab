"""What the sandbox remembers: people, lists, and what was asked of it."""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .fields import FieldLimitError, FieldRegistry, MismatchError, NestingError
from .journal import Journal
from .people import Bare, People, Person, Profile, Refusal, refusal_of
from .visibility import Recent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .fields import Draft
    from .journal import RequestRecord
    from .people import Stored
    from .settings import Settings

FIRST_LIST_ID = 61_931
FIRST_CREATED_AT_MS = 1_505_330_681_211
LONG_AGO = float("-inf")

# Keys of `failedUpdates` (API description: FailedUserUpdates).
FAILURE_KEYS = tuple(
    f"{cause}{kind}"
    for cause in ("invalid", "notFound", "invalidData", "conflict", "forgotten")
    for kind in ("Emails", "UserIds")
)


@dataclass(slots=True)
class MailingList:
    """One list.

    Attributes:
        id: The list's id.
        name: Not unique, as in the real API.
        description: Free text, or None.
        created_at: Milliseconds since 1970.
        list_type: ``Standard`` (static on the web pages), ``Dynamic``, ``Suppression``,
            ``Internal``; others may exist (article 204780549), so any text is taken.
        members: Profile ids.
        foreign: Profile ids that were put there by somebody else than the client under test;
            an entry stays when the member is removed, so that a test can see the loss.
        in_use: Whether deleting it is refused.
        made_at: Monotonic seconds at which a call made it; long ago for one that was arranged.
    """

    id: int
    name: str
    description: str | None = None
    created_at: int = 0
    list_type: str = "Standard"
    members: set[int] = field(default_factory=set)
    foreign: set[int] = field(default_factory=set)
    in_use: bool = False
    made_at: float = LONG_AGO


@dataclass(slots=True)
class BulkResult:
    """What became of the people of one bulk call.

    Attributes:
        success: How many were taken.
        fail: How many were refused.
        failures: Key of ``failedUpdates`` to the identifiers under it.
        created_fields: Fields that the call made.
        dropped_fields: Fields that the project does not take.
        skipped: Key (``noOpEmails``, ``noOpUserIds``) to unknown people of an ``updateOnly``
            call; None for other calls.
    """

    success: int = 0
    fail: int = 0
    failures: dict[str, list[str]] = field(default_factory=dict)
    created_fields: Iterable[str] = ()
    dropped_fields: Iterable[str] = ()
    skipped: dict[str, list[str]] | None = None

    def refuse(self, refusal: Refusal) -> None:
        """Count one person that was not taken, under every identifier that is to blame."""
        self.fail += 1
        for key, identifier in refusal.failures:
            self.failures.setdefault(key, []).append(identifier)

    def refuse_update(self, refusal: Refusal) -> None:
        """Count one person of a call that writes profiles.

        ``notFound...`` is documented for subscribe and unsubscribe only. So an unknown person is
        skipped where nobody is to be made, and else (a userId alone in an e-mail project) named
        as ``invalid...`` (chosen).
        """
        unknown = refusal.failures[0][0].startswith("notFound")
        if not unknown:
            self.refuse(refusal)
        elif self.skipped is None:
            self.refuse(
                Refusal(*((k.replace("notFound", "invalid"), v) for k, v in refusal.failures))
            )
        else:
            for key, identifier in refusal.failures:
                self.skipped.setdefault(key.replace("notFound", "noOp"), []).append(identifier)


class State:
    """The project at the API: thread-safe, each public method is atomic.

    Attributes:
        lock: Held while a call is applied; take it to look at several things at once.
        people: The profiles.
        fields: The profile fields; a test may set ``fields.limit``.
        lists: Lists by id.
        recent: The changes that reads do not show yet.
        global_unsubscribes: Identifiers that a call unsubscribed from everything.
        counters: ``joined``, ``left`` (real changes of membership), ``subscribe_events``,
            ``unsubscribe_events`` (people in successful calls: what journeys react to),
            ``channel_unsubscribe_unstated`` (unsubscribe calls that leave it to a default),
            ``updates`` (people in successful calls that write profiles).
        journal: What was asked.
    """

    def __init__(self, settings: Settings) -> None:
        """Start with an empty project."""
        self.lock = threading.RLock()
        self.journal = Journal()
        self._settings = settings
        self._fill()

    def _fill(self) -> None:
        settings = self._settings
        self.recent = Recent(settings.visibility_lag_seconds, settings.monotonic)
        self.people = People(settings.project_type, self.recent)
        self.fields = FieldRegistry(
            settings.field_limit,
            adds_unrecognized=settings.add_unrecognized_fields,
            list_field=self.list_field,
        )
        self.lists: dict[int, MailingList] = {}
        self.global_unsubscribes: set[str] = set()
        self.counters: Counter[str] = Counter()
        self._next_list = 0
        self._random = random.Random(settings.seed)  # noqa: S311 - a sample, not a secret

    def clear(self) -> None:
        """Return to an empty project."""
        with self.lock:
            self._fill()
        self.journal.clear()

    # --- looking ---------------------------------------------------------------------------

    @property
    def requests(self) -> list[RequestRecord]:
        """The last requests, oldest first."""
        return self.journal.requests()

    @property
    def max_in_flight(self) -> int:
        """The most requests that were handled at one time."""
        return self.journal.max_in_flight

    @property
    def list_field(self) -> str:
        """The profile field with the lists of a profile (Airbyte's schemas of the exports)."""
        return "emailListIds" if self._settings.project_type == "email" else "userListIds"

    def list_named(self, name: str) -> MailingList:
        """Return the only list of a name.

        Raises:
            LookupError: There is none, or more than one.
        """
        with self.lock:
            found = [each for each in self.lists.values() if each.name == name]
        if len(found) != 1:
            message = f"{len(found)} lists are named {name!r}"
            raise LookupError(message)
        return found[0]

    def members(self, list_id: int) -> set[str]:
        """Return the members: e-mails, userIds, or in a hybrid project userId before e-mail."""
        with self.lock:
            return {self.people.name(each) for each in self.lists[list_id].members}

    def foreign(self, list_id: int) -> set[str]:
        """Return those who were put on the list by somebody else, members or not."""
        with self.lock:
            return {self.people.name(each) for each in self.lists[list_id].foreign}

    def member_profiles(self, list_id: int) -> list[Profile]:
        """Return the members' profiles in the order of their making."""
        with self.lock:
            return [self.people.profile(each) for each in sorted(self.lists[list_id].members)]

    def profile(self, identifier: str) -> Profile | None:
        """Return the profile of an e-mail or userId, or None."""
        with self.lock:
            found = self.people.find(identifier)
            return None if found is None else self.people.profile(found)

    # --- looking as the API does: behind by the visibility lag -----------------------------

    def shown(
        self, *, email: str | None = None, user_id: str | None = None
    ) -> tuple[int, Stored] | None:
        """Return the profile that reads show for an e-mail (in lower case) or a userId."""
        with self.lock:
            holders = self.people.holders(email, user_id)
            for each in (*holders, *self.recent.held(email, user_id)):
                view = self.recent.profile(each, self.people.stored(each))
                if view and (view.email if user_id is None else view.user_id) == (email or user_id):
                    return each, view
        return None

    def shown_members(self, target: MailingList) -> list[int]:
        """Return the members that reads show, in the order of their profiles' making."""
        with self.lock:
            return sorted(self.recent.members(target.id, target.members))

    def shown_name(self, profile_id: int, *, prefer_user_id: bool) -> str:
        """Return the identifier by which reads show a member."""
        with self.lock:
            view = self.recent.profile(profile_id, None)
            if view is None:
                return self.people.name(profile_id, prefer_user_id=prefer_user_id)
            return self.people.choose(view.email, view.user_id, prefer_user_id=prefer_user_id)

    def list_ids(self, profile_id: int) -> list[int]:
        """Return the lists that reads show on a profile."""
        with self.lock:
            return [
                each.id
                for each in self.lists.values()
                if self.recent.is_member(each.id, profile_id, now=profile_id in each.members)
            ]

    def sample(self, target: MailingList, size: int) -> list[int]:
        """Return some members' profile ids, drawn with the seeded generator."""
        with self.lock:
            members = self.shown_members(target)
            return self._random.sample(members, min(size, len(members)))

    # --- arranging -------------------------------------------------------------------------

    def add_list(
        self,
        name: str,
        description: str | None = None,
        list_type: str = "Standard",
        *,
        made_at: float = LONG_AGO,
    ) -> MailingList:
        """Make a list; names may repeat."""
        with self.lock:
            made = MailingList(
                FIRST_LIST_ID + self._next_list,
                name,
                description,
                FIRST_CREATED_AT_MS + 1000 * self._next_list,
                list_type,
                made_at=made_at,
            )
            self._next_list += 1
            self.lists[made.id] = made
            return made

    def seed_list(self, name: str, members: Iterable[str] = (), list_type: str = "Standard") -> int:
        """Put foreign members on the list of that name, made if need be; return its id."""
        with self.lock:
            self._stamp()
            known = any(each.name == name for each in self.lists.values())
            target = self.list_named(name) if known else self.add_list(name, list_type=list_type)
            seeded = {self.people.seed(identifier) for identifier in members}
            target.members |= seeded
            target.foreign |= seeded
            return target.id

    def add_profile(
        self,
        *,
        email: str | None = None,
        user_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> Profile:
        """Find or make a profile as a call would, and write its fields.

        Raises:
            ValueError: The project does not take the identifiers or the fields.
        """
        person = Person(email, user_id, fields, prefer_user_id=True)
        try:
            with self.lock:
                return self.people.profile(self.update_one(person))
        except (Refusal, MismatchError, FieldLimitError, NestingError) as error:
            message = f"no profile {person}: {error}"
            raise ValueError(message) from error

    def forget(self, *identifiers: str) -> None:
        """Erase people for good (GDPR): they leave every list and are refused from now on."""
        with self.lock:
            for identifier in identifiers:
                gone = self.people.find(identifier)
                if gone is not None:
                    self._leave_lists(gone)
                self.people.forget(identifier)

    def unforget(self, *identifiers: str) -> None:
        """Let people come back; what was erased is gone."""
        with self.lock:
            for identifier in identifiers:
                self.people.unforget(identifier)

    # --- calls: lists ----------------------------------------------------------------------

    def subscribe(
        self,
        target: MailingList,
        people: Sequence[Person] | Bare,
        *,
        existing_only: bool = False,
        refuse: Mapping[str, str] | None = None,
    ) -> BulkResult:
        """Put people on a list, making their profiles where the project type allows it.

        Args:
            target: The list.
            people: Types checked, values not.
            existing_only: Make no profiles (ignored in e-mail projects).
            refuse: Identifier to ``failedUpdates`` key, for people refused by a fault.

        Raises:
            MismatchError: As in :meth:`update`.
            FieldLimitError: As in :meth:`update`.
        """
        result = BulkResult()
        with self.lock:
            self._stamp()
            joined, others = self._split(
                people,
                lambda bare: self.people.enlist(bare, existing_only=existing_only),
                plain=not refuse,
            )
            for person in self._read_fields(others, self.fields.draft(), result):
                try:
                    if refuse:
                        _refuse(person, refuse)
                    joined.append(self.people.upsert(person, existing_only=existing_only))
                except Refusal as refusal:
                    result.refuse(refusal)
            if self.recent.seconds:
                self.recent.note_members(target.id, set(joined) - target.members, set())
            before = len(target.members)
            target.members.update(joined)
            self.counters["joined"] += len(target.members) - before
            self.counters["subscribe_events"] += len(joined)
        result.success = len(joined)
        return result

    def unsubscribe(
        self,
        target: MailingList,
        people: Sequence[Person] | Bare,
        *,
        everywhere: bool = False,
        refuse: Mapping[str, str] | None = None,
    ) -> BulkResult:
        """Take people off a list.

        Args:
            target: The list.
            people: Types checked, values not.
            everywhere: ``channelUnsubscribe``: also unsubscribe them globally.
            refuse: As in :meth:`subscribe`.
        """
        result = BulkResult()
        with self.lock:
            plain = not refuse and not everywhere
            left, others = self._split(people, self.people.known, plain=plain)
            result.success = len(left)
            for person in others:
                try:
                    if refuse:
                        _refuse(person, refuse)
                    found = self.people.lookup(person)
                except Refusal as refusal:
                    result.refuse(refusal)
                    continue
                result.success += 1
                if found is not None:
                    left.append(found)
                if everywhere:
                    self.global_unsubscribes.add(person.user_id or person.email or "")
            if self.recent.seconds:
                self.recent.note_members(target.id, set(), target.members & set(left))
            before = len(target.members)
            target.members.difference_update(left)
            self.counters["left"] += before - len(target.members)
            self.counters["unsubscribe_events"] += result.success
        return result

    def _split(
        self,
        people: Sequence[Person] | Bare,
        quickly: Callable[[Bare], list[int | None]],
        *,
        plain: bool,
    ) -> tuple[list[int], Sequence[Person]]:
        """Return the profiles found the quick way, and the people to look at one by one.

        Args:
            people: Those of the request.
            quickly: The quick way.
            plain: Whether nothing but finding the profile is to be done.
        """
        if not isinstance(people, Bare):
            return [], people
        if not plain or self.people.forgotten:
            return [], people.people()
        found = quickly(people)
        unknown = [value for value, each in zip(people.values, found, strict=True) if each is None]
        return [each for each in found if each is not None], Bare(people.key, unknown).people()

    # --- calls: profiles -------------------------------------------------------------------

    def update(
        self,
        people: Sequence[Person],
        *,
        create_fields: bool | None = None,
        update_only: bool = False,
        refuse: Mapping[str, str] | None = None,
    ) -> BulkResult:
        """Write many profiles, making those that the project type allows to make.

        Args:
            people: Types checked, values not.
            create_fields: ``createNewFields``; None leaves it to the project.
            update_only: Make no profiles; unknown people are skipped.
            refuse: As in :meth:`subscribe`.

        Raises:
            MismatchError: A value does not fit its field, and that refuses the whole batch.
            FieldLimitError: There is no room for the new fields.
        """
        result = BulkResult(skipped={} if update_only else None)
        with self.lock:
            self._stamp()
            for person in self._read_fields(
                people, self.fields.draft(create=create_fields), result
            ):
                try:
                    if refuse:
                        _refuse(person, refuse)
                    self._update(person, strictly=update_only)
                    result.success += 1
                except Refusal as refusal:
                    result.refuse_update(refusal)
            self.counters["updates"] += result.success
        return result

    def update_one(
        self,
        person: Person,
        *,
        create_fields: bool | None = None,
        refuse: Mapping[str, str] | None = None,
    ) -> int:
        """Write one profile; return it.

        Args:
            person: Types checked, values not.
            create_fields: As in :meth:`update`.
            refuse: As in :meth:`subscribe`.

        Raises:
            Refusal: The person is not taken.
            MismatchError: A value does not fit its field.
            FieldLimitError: There is no room for the new fields.
        """
        with self.lock:
            self._stamp()
            _refuse(person, refuse or {})
            draft = self.fields.draft(create=create_fields)
            stored = draft.read(person.fields or {})
            if stored is None:
                raise MismatchError(draft.mismatches)
            draft.keep()
            found = self._update(person._replace(fields=stored))
            self.counters["updates"] += 1
            return found

    def delete(self, *, email: str | None = None, user_id: str | None = None) -> int:
        """Delete the profiles of an e-mail in lower case, or of a userId; return how many."""
        with self.lock:
            gone = self.people.holders(email, user_id)
            for each in gone:
                self._leave_lists(each)
                self.people.remove(each)
            return len(gone)

    def rename(self, profile_id: int, email: str) -> None:
        """Give a profile another e-mail address."""
        with self.lock:
            self._stamp()
            self.people.rename(profile_id, email=email)

    def merge(self, source: Person, destination: Person) -> None:
        """Merge a profile into another one, or rename it where the other one is unknown.

        Fields, lists and userId of the source are kept where the destination has none.

        Raises:
            Refusal: The source is unknown, or one of the two is malformed or forgotten.
        """
        with self.lock:
            self._stamp()
            old, new = self.people.get(source), self.people.find_known(destination)
            if new is None:
                self.people.rename(old, email=destination.email, user_id=destination.user_id)
            elif new != old:
                lists = {each.id for each in self.lists.values() if {old, new} & each.members}
                self._leave_lists(old)
                self._set_lists(new, lists)
                self.people.absorb(new, old)

    def _update(self, person: Person, *, strictly: bool = False) -> int:
        found = self.people.upsert(person, strictly=strictly)
        wanted = (person.fields or {}).get(self.list_field)
        if wanted is not None:
            self._set_lists(found, _numbers(wanted))
        return found

    def _set_lists(self, profile_id: int, wanted: set[int]) -> None:
        """Put a profile on these lists only; documented to make no events."""
        for each in self.lists.values():
            if each.id in wanted:
                if profile_id not in each.members:
                    self.recent.note_members(each.id, {profile_id}, set())
                    each.members.add(profile_id)
            else:
                self._leave(each, profile_id)

    def _leave_lists(self, profile_id: int) -> None:
        for each in self.lists.values():
            self._leave(each, profile_id)

    def _leave(self, target: MailingList, profile_id: int) -> None:
        if profile_id in target.members:
            self.recent.note_members(target.id, set(), {profile_id})
            target.members.discard(profile_id)

    def _read_fields(
        self, people: Sequence[Person], draft: Draft, result: BulkResult
    ) -> Sequence[Person]:
        """Return the people with their fields as they are stored, and make the new fields."""
        taken = []
        for person in people:
            fields = person.fields
            if fields:
                stored = draft.read(fields)
                if stored is None:
                    result.refuse(refusal_of("invalidData", person, self._settings.project_type))
                    continue
                if stored is not fields:
                    person = person._replace(fields=stored)  # noqa: PLW2901 - the same person
            taken.append(person)
        if draft.mismatches and self._settings.type_mismatch == "batch":
            raise MismatchError(draft.mismatches)
        draft.keep()
        result.created_fields, result.dropped_fields = draft.created, draft.dropped
        return taken

    def _stamp(self) -> None:
        """Take the time of what is about to be written."""
        self.people.stamp(int(self._settings.clock()))


def _numbers(value: object) -> set[int]:
    """Return the numbers in a value that may be one, or an array of them at any depth."""
    if isinstance(value, list):
        return {number for each in value for number in _numbers(each)}
    return {value} if isinstance(value, int) else set()


def _refuse(person: Person, refuse: Mapping[str, str]) -> None:
    """Refuse a person whom a fault names."""
    for identifier in (person.email and person.email.lower(), person.user_id):
        if identifier and identifier in refuse:
            raise Refusal((refuse[identifier], identifier))
