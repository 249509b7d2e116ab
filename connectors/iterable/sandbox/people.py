"""The profiles of a project and the rules that find them.

Sources: Iterable support articles 9216719179796 (project types) and 29156459027348 (creating
and identifying users), and the API description of the subscribe call. What those leave open is
decided here and marked "chosen".
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from .identifiers import Forgotten, hashed, is_email, is_user_id, placeholder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .visibility import Recent

ProjectType = Literal["email", "user_id", "hybrid"]
PROJECT_TYPES: tuple[str, ...] = get_args(ProjectType)

# Fields that are no custom ones: identifiers are columns, lists keep their members, and the
# time of the last change is the project's to set.
_NOT_KEPT = frozenset({"email", "userId", "emailListIds", "userListIds", "profileUpdatedAt"})
_SET_BY_PROJECT = frozenset({"signupDate", "signupSource"})


class Person(NamedTuple):
    """One entry of a request, types checked, values not.

    Attributes:
        email: As sent, or None.
        user_id: As sent, or None.
        fields: ``dataFields``, or None.
        prefer_user_id: Make a placeholder profile for an unknown userId (e-mail projects).
        merge_nested: Merge objects within ``dataFields`` instead of replacing them.
    """

    email: str | None
    user_id: str | None
    fields: Mapping[str, Any] | None = None
    prefer_user_id: bool = False
    merge_nested: bool = False


class Bare(NamedTuple):
    """Entries of a request that are one identifier and nothing else.

    Attributes:
        key: ``email`` or ``userId``.
        values: As sent.
    """

    key: Literal["email", "userId"]
    values: list[str]

    def people(self) -> list[Person]:
        """Return the same entries one by one."""
        if self.key == "email":
            return [Person(value, None) for value in self.values]
        return [Person(None, value) for value in self.values]


class Profile(NamedTuple):
    """A copy of one stored profile, without what the project itself adds to it."""

    email: str | None
    user_id: str | None
    fields: Mapping[str, Any]


class Stored(NamedTuple):
    """One profile as it is kept.

    Attributes:
        email: In lower case, or None.
        user_id: Or None.
        fields: Custom fields; a managed one that was set, or removed (None), stands here too.
        made: Seconds since 1970.
        changed: Seconds since 1970.
    """

    email: str | None
    user_id: str | None
    fields: Mapping[str, Any]
    made: int
    changed: int


class Refusal(Exception):  # noqa: N818 - a normal answer of the API, no fault of the program
    """A person is not taken; carries (key of ``failedUpdates``, identifier) pairs."""

    def __init__(self, *failures: tuple[str, str]) -> None:
        """Keep the pairs."""
        super().__init__(failures)
        self.failures = failures


class Index:
    """Identifier to profile ids; cheap while, as usual, one profile holds an identifier."""

    def __init__(self) -> None:
        """Start empty."""
        self._first: dict[str, int] = {}
        self._others: dict[str, list[int]] = {}
        self.get = self._first.get

    def __len__(self) -> int:
        """Return the number of identifiers."""
        return len(self._first)

    def __contains__(self, value: str) -> bool:
        """Whether any profile holds the identifier."""
        return value in self._first

    def add(self, value: str, profile_id: int) -> None:
        """Note that a profile holds the identifier."""
        if self._first.setdefault(value, profile_id) != profile_id:
            self._others.setdefault(value, []).append(profile_id)

    def all(self, value: str) -> list[int]:
        """Return the profiles that hold the identifier, in the order of their coming."""
        first = self._first.get(value)
        return [] if first is None else [first, *self._others.get(value, ())]

    def remove(self, value: str, profile_id: int) -> None:
        """Note that a profile no longer holds the identifier."""
        others = self._others.get(value, [])
        if profile_id in others:
            others.remove(profile_id)
        elif others:
            self._first[value] = others.pop(0)
        else:
            del self._first[value]


class People:
    """All profiles of one project.

    A profile is a small number; its columns are kept in parallel lists, so that a million
    people fit into a few hundred megabytes. Not thread-safe: the state's lock guards it.

    Attributes:
        project_type: How the project identifies people.
        forgotten: Those who must not come back.
    """

    def __init__(self, project_type: ProjectType, recent: Recent) -> None:
        """Start without profiles.

        Args:
            project_type: How the project identifies people.
            recent: Learns of every change.
        """
        self.project_type: ProjectType = project_type
        self.forgotten = Forgotten()
        self._recent = recent
        self._emails: list[str | None] = []
        self._user_ids: list[str | None] = []
        # When profiles were made: (number of the first one, time), as few come at each time.
        self._made: list[tuple[int, int]] = [(0, 0)]
        self._changed: dict[int, int] = {}
        self._fields: dict[int, dict[str, Any]] = {}
        self._gone = 0
        self._now = 0
        self._by_email = Index()
        self._by_user_id = Index()
        self._locate = {
            "email": self._locate_by_email,
            "user_id": self._locate_by_user_id,
            "hybrid": self._locate_hybrid,
        }[project_type]

    def __len__(self) -> int:
        """Return how many profiles there are."""
        return len(self._emails) - self._gone

    @property
    def made(self) -> int:
        """How many profiles were ever made; their numbers are below this one."""
        return len(self._emails)

    def stamp(self, now: int) -> None:
        """Take the time, in seconds since 1970, of what is about to be written."""
        if now != self._now:
            self._now = now
            self._made.append((len(self._emails), now))

    # --- reading ---------------------------------------------------------------------------

    def profile(self, profile_id: int) -> Profile:
        """Return a copy of a profile."""
        fields = self._fields.get(profile_id, {}).items()
        return Profile(
            self._emails[profile_id],
            self._user_ids[profile_id],
            {key: value for key, value in fields if value is not None},
        )

    def stored(self, profile_id: int) -> Stored | None:
        """Return a profile as it is kept, None when it is gone."""
        email, user_id = self._emails[profile_id], self._user_ids[profile_id]
        if email is None and user_id is None:
            return None
        fields = dict(self._fields.get(profile_id, {}))
        at = bisect_right(self._made, profile_id, key=itemgetter(0)) - 1
        made = self._made[at][1]
        return Stored(email, user_id, fields, made, self._changed.get(profile_id, made))

    def holders(self, email: str | None, user_id: str | None) -> list[int]:
        """Return the profiles of an e-mail in lower case, or else of a userId."""
        if user_id is None:
            return self._by_email.all(email or "")
        return self._by_user_id.all(user_id)

    def find(self, identifier: str) -> int | None:
        """Return the profile of a bare identifier, whichever kind it is, or None."""
        found = self._by_user_id.get(identifier)
        if self.project_type == "email" or found is None:
            by_email = self._by_email.get(identifier.lower())
            found = found if by_email is None else by_email
        return found

    def name(self, profile_id: int, *, prefer_user_id: bool | None = None) -> str:
        """Return the identifier by which a member of a list is shown.

        Args:
            profile_id: The profile.
            prefer_user_id: For a hybrid profile with both: whether to show the userId. None
                means the project's own first choice, which is the userId.
        """
        email, user_id = self._emails[profile_id], self._user_ids[profile_id]
        return self.choose(email, user_id, prefer_user_id=prefer_user_id)

    def choose(
        self, email: str | None, user_id: str | None, *, prefer_user_id: bool | None = None
    ) -> str:
        """Return the identifier by which a member with these two is shown; see :meth:`name`."""
        if self.project_type == "email":
            return email or ""
        if self.project_type == "user_id" or prefer_user_id is not False:
            return user_id or email or ""
        return email or user_id or ""

    # --- calls -----------------------------------------------------------------------------

    def seed(self, identifier: str) -> int:
        """Return the profile of an identifier, made without any check if need be.

        In a hybrid project a value with an at sign is an e-mail address.
        """
        found = self.find(identifier)
        if found is not None:
            return found
        if self.project_type == "email" or (self.project_type == "hybrid" and "@" in identifier):
            return self._add(identifier.lower(), None)
        return self._add(None, identifier)

    def forget(self, identifier: str) -> int | None:
        """Erase a person for good; return the profile that was emptied, or None.

        What is remembered are the identifiers that the project finds people by. Of an
        identifier that nobody has, an at sign says its kind in a hybrid project.
        """
        found = self.find(identifier)
        email = identifier if "@" in identifier or self.project_type == "email" else None
        user_id = None if email else identifier
        if found is not None:
            email, user_id = self._emails[found], self._user_ids[found]
            self.remove(found)
        elif self.project_type == "user_id":
            user_id = identifier
        if email is not None and self.project_type != "user_id":
            self.forgotten.emails.add(hashed(email))
        if user_id is not None and self.project_type != "email":
            self.forgotten.user_ids.add(hashed(user_id))
        return found

    def unforget(self, identifier: str) -> None:
        """Let the person of an identifier come back; the other identifier stays forgotten."""
        self.forgotten.emails.discard(hashed(identifier))
        self.forgotten.user_ids.discard(hashed(identifier))

    def remove(self, profile_id: int) -> None:
        """Delete a profile; its person may come back."""
        self._note(profile_id)
        self._identify(profile_id, None, None)
        self._fields.pop(profile_id, None)
        self._gone += 1

    def rename(
        self, profile_id: int, *, email: str | None = None, user_id: str | None = None
    ) -> None:
        """Give a profile another e-mail address or userId; None keeps the one it has."""
        self._note(profile_id)
        old = (self._emails[profile_id], self._user_ids[profile_id])
        self._identify(profile_id, email.lower() if email else old[0], user_id or old[1])
        self._changed[profile_id] = self._now

    def absorb(self, profile_id: int, gone: int) -> None:
        """Give a profile what another one has and it lacks, and delete the other one."""
        email, user_id = self._emails[gone], self._user_ids[gone]
        fields = {**self._fields.get(gone, {}), **self._fields.get(profile_id, {})}
        self.remove(gone)
        self.rename(
            profile_id,
            email=self._emails[profile_id] or email,
            user_id=self._user_ids[profile_id] or user_id,
        )
        self._fields[profile_id] = fields

    def upsert(self, person: Person, *, existing_only: bool = False, strictly: bool = False) -> int:
        """Find or make the profile of a person and write its fields.

        Args:
            person: Its fields as they are to be stored.
            existing_only: Make no profiles (ignored in e-mail projects, as documented for
                ``updateExistingUsersOnly``).
            strictly: Make no profiles in any project.

        Returns:
            The profile.

        Raises:
            Refusal: The person is not taken; nothing was changed.
        """
        person = self._checked(person)
        found = self._locate(person)
        if found is None:
            if strictly:
                raise refusal_of("notFound", person, self.project_type)
            person = self._to_create(person, existing_only=existing_only)
        email, user_id = self._wanted(person, found)
        self._refuse_conflicts(found, email, user_id)
        if found is None:
            found = self._add(email, user_id)
        else:
            self._note(found)
            self._identify(found, email, user_id)
            self._changed[found] = self._now
        if person.fields:
            self._write(found, person)
        return found

    def known(self, bare: Bare) -> list[int | None]:
        """Return the profile of each identifier that stands alone, None where there is none.

        The quick way: most entries of most requests are such, and change no profile.
        """
        if bare.key == "email":
            return [*map(self._by_email.get, map(str.lower, bare.values))]
        return [*map(self._by_user_id.get, bare.values)]

    def enlist(self, bare: Bare, *, existing_only: bool) -> list[int | None]:
        """Do as :meth:`known`, but make profiles where an e-mail address is enough to."""
        found = self.known(bare)
        if bare.key == "userId" or self.project_type == "user_id":
            return found
        if existing_only and self.project_type == "hybrid":
            return found
        for at, each in enumerate(found):
            if each is None and is_email(email := bare.values[at].lower()):
                again = self._by_email.get(email)  # the request names it twice
                found[at] = self._add(email, None) if again is None else again
        return found

    def lookup(self, person: Person) -> int | None:
        """Find the profile of a person without making one.

        Returns:
            None where the person is unknown and the project type calls that a success.

        Raises:
            Refusal: The person is malformed, forgotten or (not for an e-mail address in an
                e-mail project, recorded 2021) unknown.
        """
        person = self._checked(person)
        found = self._locate(person)
        if found is None and (self.project_type != "email" or person.email is None):
            raise refusal_of("notFound", person, self.project_type)
        return found

    def find_known(self, person: Person) -> int | None:
        """Return the profile of a person, None where there is none.

        Raises:
            Refusal: The person is malformed or forgotten.
        """
        return self._locate(self._checked(person))

    def get(self, person: Person) -> int:
        """Return the profile of a person.

        Raises:
            Refusal: The person is malformed, forgotten or unknown, in any project.
        """
        found = self.find_known(person)
        if found is None:
            raise refusal_of("notFound", person, self.project_type)
        return found

    def check(self, person: Person, *, forgotten: bool = False) -> None:
        """Check the identifiers of a person.

        Args:
            person: The person.
            forgotten: Whether the forgotten are welcome.

        Raises:
            Refusal: They are malformed, or forgotten.
        """
        self._refuse_unfit(person, forgotten=forgotten)

    # --- the rules -------------------------------------------------------------------------

    def _checked(self, person: Person) -> Person:
        """Return the person with its e-mail in lower case; refuse malformed and forgotten."""
        email, user_id = person.email, person.user_id
        if email is not None:
            email = email.lower()
        good = (email is None or self._good_email(email)) and (
            user_id is None or self._good_user_id(user_id)
        )
        fields = person.fields
        if not good or self.forgotten or (fields and ("email" in fields or "userId" in fields)):
            self._refuse_unfit(person)
        return person if email == person.email else person._replace(email=email)

    def _refuse_unfit(self, person: Person, *, forgotten: bool = False) -> None:
        """Refuse a person for every identifier that is malformed, else for those forgotten."""
        emails, failures = _strings(person, "email", person.email)
        user_ids, odd = _strings(person, "userId", person.user_id)
        emails = [value.lower() for value in emails]
        failures += odd
        failures += [("invalidEmails", v) for v in emails if not self._good_email(v)]
        failures += [("invalidUserIds", v) for v in user_ids if not self._good_user_id(v)]
        if not failures and not forgotten:
            failures += self.forgotten.failures(emails, user_ids)
        if failures:
            raise Refusal(*failures)

    def _good_email(self, value: str) -> bool:
        return value in self._by_email or is_email(value)

    def _good_user_id(self, value: str) -> bool:
        return value in self._by_user_id or is_user_id(value)

    def _locate_by_email(self, person: Person) -> int | None:
        if person.email is not None:
            return self._by_email.get(person.email)
        return self._by_user_id.get(person.user_id or "")

    def _locate_by_user_id(self, person: Person) -> int | None:
        if person.user_id is not None:
            return self._by_user_id.get(person.user_id)
        return self._by_email.get(person.email or "")

    def _locate_hybrid(self, person: Person) -> int | None:
        """The userId decides; an e-mail finds a profile that has no other userId."""
        found = None if person.user_id is None else self._by_user_id.get(person.user_id)
        if found is None and person.email is not None:
            holder = self._by_email.get(person.email)
            if holder is not None and None in (person.user_id, self._user_ids[holder]):
                found = holder
        return found

    def _to_create(self, person: Person, *, existing_only: bool) -> Person:
        """Return the person to make a profile for, or refuse to make one."""
        if self.project_type == "email":
            if person.email is not None:
                return person
            if person.prefer_user_id and person.user_id is not None:
                return person._replace(email=placeholder(person.user_id))
            raise refusal_of("notFound", person, self.project_type)
        no_key = self.project_type == "user_id" and person.user_id is None
        if existing_only or no_key:
            raise refusal_of("notFound", person, self.project_type)
        return person

    def _wanted(self, person: Person, found: int | None) -> tuple[str | None, str | None]:
        """Return the identifiers the profile is to have afterwards."""
        fields = person.fields or {}
        old = (None, None) if found is None else (self._emails[found], self._user_ids[found])
        user_id = fields.get("userId") or person.user_id or old[1]
        if self.project_type == "email":  # an address changes through updateEmail only
            return old[0] or person.email, user_id
        email = fields.get("email") or person.email
        return (email.lower() if email else old[0]), user_id

    def _refuse_conflicts(self, found: int | None, email: str | None, user_id: str | None) -> None:
        """Refuse an identifier that must be unique and belongs to another profile."""
        if (
            self.project_type != "user_id"
            and email is not None
            and self._by_email.get(email, found) != found
        ):
            raise Refusal(("conflictEmails", email))
        if (
            self.project_type != "email"
            and user_id is not None
            and self._by_user_id.get(user_id, found) != found
        ):
            raise Refusal(("conflictUserIds", user_id))

    # --- writing ---------------------------------------------------------------------------

    def _add(self, email: str | None, user_id: str | None) -> int:
        profile_id = len(self._emails)
        if self._recent.seconds:
            self._recent.note_profile(profile_id, None)
        self._emails.append(email)
        self._user_ids.append(user_id)
        if email is not None:
            self._by_email.add(email, profile_id)
        if user_id is not None:
            self._by_user_id.add(user_id, profile_id)
        return profile_id

    def _note(self, profile_id: int) -> None:
        """Keep what a profile is before it changes, for reads that lag behind."""
        if self._recent.seconds:
            self._recent.note_profile(profile_id, self.stored(profile_id))

    def _identify(self, profile_id: int, email: str | None, user_id: str | None) -> None:
        _change(self._emails, self._by_email, profile_id, email)
        _change(self._user_ids, self._by_user_id, profile_id, user_id)

    def _write(self, profile_id: int, person: Person) -> None:
        """Put fields into a profile; null removes a field, at the top and within objects."""
        incoming, stored = person.fields or {}, self._fields.get(profile_id)
        if stored is None:
            stored = self._fields[profile_id] = {}
        for key, value in incoming.items():
            if key in _NOT_KEPT:
                continue
            if value is None:
                _clear(stored, key)
            elif type(value) is dict:
                old = stored.get(key)
                # One level only: deeper objects and arrays are replaced (article 360035402611).
                merges = person.merge_nested and type(old) is dict
                stored[key] = _without_nulls({**old, **value} if merges and old else value)
            else:
                stored[key] = value


def _clear(stored: dict[str, Any], key: str) -> None:
    if key in _SET_BY_PROJECT:
        stored[key] = None  # or the project's own value would show again
    else:
        stored.pop(key, None)


def _without_nulls(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object without its nulls, at any depth (chosen below the first)."""
    return {
        key: _without_nulls(each) if isinstance(each, dict) else each
        for key, each in value.items()
        if each is not None
    }


def _change(column: list[str | None], index: Index, profile_id: int, value: str | None) -> None:
    old = column[profile_id]
    if old == value:
        return
    if old is not None:
        index.remove(old, profile_id)
    column[profile_id] = value
    if value is not None:
        index.add(value, profile_id)


def _strings(
    person: Person, key: Literal["email", "userId"], outer: str | None
) -> tuple[list[str], list[tuple[str, str]]]:
    """Return the values of an identifier in a person, and the failures of those of a wrong type."""
    inner = None if person.fields is None else person.fields.get(key)
    values = [value for value in (outer, inner) if isinstance(value, str)]
    if inner is None or isinstance(inner, str):
        return values, []
    return values, [("invalidEmails" if key == "email" else "invalidUserIds", str(inner))]


def refusal_of(cause: str, person: Person, project_type: ProjectType) -> Refusal:
    """Refuse a person under the identifier that the project looks at first.

    Args:
        cause: Key of ``failedUpdates`` without its ending, such as ``notFound``.
        person: The person.
        project_type: How the project identifies people.
    """
    email_first = project_type == "email"
    if person.email is not None and (email_first or person.user_id is None):
        return Refusal((f"{cause}Emails", person.email.lower()))
    return Refusal((f"{cause}UserIds", person.user_id or ""))
