"""What the sandbox remembers: people, lists, and what was asked of it."""

from __future__ import annotations

import random
import threading
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .people import Bare, People, Person, Profile, ProjectType, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

FIRST_LIST_ID = 61_931
FIRST_CREATED_AT_MS = 1_505_330_681_211
REQUESTS_KEPT = 100_000

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
    """

    id: int
    name: str
    description: str | None = None
    created_at: int = 0
    list_type: str = "Standard"
    members: set[int] = field(default_factory=set)
    foreign: set[int] = field(default_factory=set)
    in_use: bool = False


@dataclass(slots=True)
class BulkResult:
    """What became of the people of one subscribe or unsubscribe."""

    success: int = 0
    fail: int = 0
    failures: dict[str, list[str]] = field(default_factory=dict)
    created_fields: set[str] = field(default_factory=set)

    def refuse(self, refusal: Refusal) -> None:
        """Count one person that was not taken, under every identifier that is to blame."""
        self.fail += 1
        for key, identifier in refusal.failures:
            self.failures.setdefault(key, []).append(identifier)


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """One request as the sandbox saw it.

    Attributes:
        method: HTTP method.
        path: Path without the query.
        status: HTTP status that was answered, None when there was no answer.
        subscribers: People named in the body.
        received_at: Monotonic seconds at which the whole request was there.
        faults: Actions of the faults that struck it.
    """

    method: str
    path: str
    status: int | None
    subscribers: int
    received_at: float
    faults: tuple[str, ...] = ()


class Journal:
    """The requests that were made, and how many at a time. Has its own lock."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._requests: deque[RequestRecord] = deque(maxlen=REQUESTS_KEPT)
        self._in_flight = 0
        self.max_in_flight = 0

    def begin(self) -> None:
        """Note that a request is there."""
        with self._lock:
            self._in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self._in_flight)

    def end(self, record: RequestRecord) -> None:
        """Note that the request is done with.

        Comes before its answer leaves, so that a client with the answer finds the request here.
        """
        with self._lock:
            self._in_flight -= 1
            self._requests.append(record)

    def requests(self) -> list[RequestRecord]:
        """Return the last requests, oldest first."""
        with self._lock:
            return list(self._requests)

    def clear(self) -> None:
        """Forget the requests; those in flight still count."""
        with self._lock:
            self._requests.clear()
            self.max_in_flight = self._in_flight


class State:
    """The project at the API: thread-safe, each public method is atomic.

    Attributes:
        lock: Held while a call is applied; take it to look at several things at once.
        people: The profiles.
        lists: Lists by id.
        global_unsubscribes: Identifiers that a call unsubscribed from everything.
        counters: ``joined``, ``left`` (real changes of membership), ``subscribe_events``,
            ``unsubscribe_events`` (people in successful calls: what journeys react to),
            ``channel_unsubscribe_unstated`` (unsubscribe calls that leave it to a default).
        journal: What was asked.
    """

    def __init__(self, project_type: ProjectType = "email", seed: int = 0) -> None:
        """Start with an empty project."""
        self.lock = threading.RLock()
        self.journal = Journal()
        self._project_type: ProjectType = project_type
        self._seed = seed
        self._fill()

    def _fill(self) -> None:
        self.people = People(self._project_type)
        self.lists: dict[int, MailingList] = {}
        self.global_unsubscribes: set[str] = set()
        self.counters: Counter[str] = Counter()
        self._next_list = 0
        self._random = random.Random(self._seed)  # noqa: S311 - a sample, not a secret

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

    # --- arranging -------------------------------------------------------------------------

    def add_list(
        self, name: str, description: str | None = None, list_type: str = "Standard"
    ) -> MailingList:
        """Make a list; names may repeat."""
        with self.lock:
            made = MailingList(
                FIRST_LIST_ID + self._next_list,
                name,
                description,
                FIRST_CREATED_AT_MS + 1000 * self._next_list,
                list_type,
            )
            self._next_list += 1
            self.lists[made.id] = made
            return made

    def seed_list(self, name: str, members: Iterable[str] = (), list_type: str = "Standard") -> int:
        """Put foreign members on the list of that name, made if need be; return its id."""
        with self.lock:
            known = any(each.name == name for each in self.lists.values())
            target = self.list_named(name) if known else self.add_list(name, list_type=list_type)
            seeded = {self.people.seed(identifier) for identifier in members}
            target.members |= seeded
            target.foreign |= seeded
            return target.id

    def forget(self, *identifiers: str) -> None:
        """Erase people for good (GDPR): they leave every list and are refused from now on."""
        with self.lock:
            for identifier in identifiers:
                gone = self.people.forget(identifier)
                for each in self.lists.values():
                    each.members.discard(-1 if gone is None else gone)

    # --- calls -----------------------------------------------------------------------------

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
        """
        result = BulkResult()
        with self.lock:
            joined, others = self._split(
                people,
                lambda bare: self.people.enlist(bare, existing_only=existing_only),
                plain=not refuse,
            )
            for person in others:
                try:
                    if refuse:
                        _refuse(person, refuse)
                    taken, created = self.people.upsert(person, existing_only=existing_only)
                except Refusal as refusal:
                    result.refuse(refusal)
                    continue
                joined.append(taken)
                result.created_fields.update(created)
            before = len(target.members)
            target.members.update(joined)
            self.counters["joined"] += len(target.members) - before
            self.counters["subscribe_events"] += len(joined)
        result.success = len(joined)
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
            before = len(target.members)
            target.members.difference_update(left)
            self.counters["left"] += before - len(target.members)
            self.counters["unsubscribe_events"] += result.success
        return result

    def sample(self, target: MailingList, size: int) -> list[int]:
        """Return some members' profile ids, drawn with the seeded generator."""
        with self.lock:
            return self._random.sample(sorted(target.members), min(size, len(target.members)))


def _refuse(person: Person, refuse: Mapping[str, str]) -> None:
    """Refuse a person whom a fault names."""
    for identifier in (person.email and person.email.lower(), person.user_id):
        if identifier and identifier in refuse:
            raise Refusal((refuse[identifier], identifier))
