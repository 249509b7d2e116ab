"""The profiles of a project and the rules that find them.

Sources: Iterable support articles 9216719179796 (project types) and 29156459027348 (creating
and identifying users), 209082806 (e-mail validation), and the API description of the subscribe
call. What those leave open is decided here and marked "chosen".
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ProjectType = Literal["email", "user_id", "hybrid"]
PROJECT_TYPES: tuple[str, ...] = get_args(ProjectType)

MAX_EMAIL_LOCAL = 64
MAX_EMAIL_DOMAIN = 253

# The real service checks the top-level domain against the list of the IANA. This one refuses
# the names that can never be delivered to, and accepts .test and .example, which RFC 2606
# sets aside for data like that of a sandbox.
_DEAD_DOMAINS = (".invalid", ".local", ".localhost", ".onion")

_ATOM = r"[^\s\x00-\x1f\x7f()<>@,;:\\\".\[\]]+"
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_EMAIL = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:{_LABEL}\.)+(?:[^\W\d_]{{2,63}}|xn--[a-z0-9-]+)")
_USER_ID = re.compile(r"[!-~](?:[ -~]{0,50}[!-~])?")


def is_email(value: str) -> bool:
    """Whether the API takes the value, in lower case, as an e-mail address."""
    if _EMAIL.fullmatch(value) is None or value.endswith(_DEAD_DOMAINS):
        return False
    if len(value) <= MAX_EMAIL_LOCAL:  # neither half can be too long
        return True
    local, _, domain = value.rpartition("@")
    return len(local) <= MAX_EMAIL_LOCAL and len(domain) <= MAX_EMAIL_DOMAIN


def is_user_id(value: str) -> bool:
    """Whether the API takes the value as a userId: 1 to 52 printable ASCII, no outer space."""
    return _USER_ID.fullmatch(value) is not None


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
    """A copy of one stored profile."""

    email: str | None
    user_id: str | None
    fields: Mapping[str, Any]


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
    """

    def __init__(self, project_type: ProjectType) -> None:
        """Start without profiles."""
        self.project_type: ProjectType = project_type
        self.known_fields: set[str] = set()
        self.forgotten: set[str] = set()
        self._emails: list[str | None] = []
        self._user_ids: list[str | None] = []
        self._fields: dict[int, dict[str, Any]] = {}
        self._by_email = Index()
        self._by_user_id = Index()
        self._locate = {
            "email": self._locate_by_email,
            "user_id": self._locate_by_user_id,
            "hybrid": self._locate_hybrid,
        }[project_type]

    def __len__(self) -> int:
        """Return how many profiles were ever made; forgotten ones count."""
        return len(self._emails)

    # --- reading ---------------------------------------------------------------------------

    def profile(self, profile_id: int) -> Profile:
        """Return a copy of a profile."""
        fields = dict(self._fields.get(profile_id, {}))
        return Profile(self._emails[profile_id], self._user_ids[profile_id], fields)

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
        """Erase a person for good; return the profile that was emptied, or None."""
        found = self.find(identifier)
        self.forgotten |= {identifier, identifier.lower()} if "@" in identifier else {identifier}
        if found is not None:
            profile = self.profile(found)
            self.forgotten.update(value for value in (profile.email, profile.user_id) if value)
            self._identify(found, None, None)
            self._fields.pop(found, None)
        return found

    def upsert(self, person: Person, *, existing_only: bool = False) -> tuple[int, Iterable[str]]:
        """Find or make the profile of a person and write its fields.

        Returns:
            The profile, and the profile fields that the project did not have before.

        Raises:
            Refusal: The person is not taken; nothing was changed.
        """
        person = self._checked(person)
        found = self._locate(person)
        if found is None:
            person = self._to_create(person, existing_only=existing_only)
        email, user_id = self._wanted(person, found)
        self._refuse_conflicts(found, email, user_id)
        if found is None:
            found = self._add(email, user_id)
        else:
            self._identify(found, email, user_id)
        return found, self._write(found, person) if person.fields else ()

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
            raise Refusal(_not_found(person, self.project_type))
        return found

    # --- the rules -------------------------------------------------------------------------

    def _checked(self, person: Person) -> Person:
        """Return the person with its e-mail in lower case; refuse malformed and forgotten."""
        email, user_id = person.email, person.user_id
        if email is not None:
            email = email.lower()
        good = (email is None or self._good_email(email)) and (
            user_id is None or self._good_user_id(user_id)
        )
        if not good or person.fields or self.forgotten:
            self._refuse_unfit(person)
        return person if email == person.email else person._replace(email=email)

    def _refuse_unfit(self, person: Person) -> None:
        """Refuse a person for every identifier that is malformed, else for those forgotten."""
        emails, failures = _strings(person, "email", person.email)
        user_ids, odd = _strings(person, "userId", person.user_id)
        emails = [value.lower() for value in emails]
        failures += odd
        failures += [("invalidEmails", v) for v in emails if not self._good_email(v)]
        failures += [("invalidUserIds", v) for v in user_ids if not self._good_user_id(v)]
        if not failures:
            failures += [("forgottenEmails", v) for v in emails if v in self.forgotten]
            failures += [("forgottenUserIds", v) for v in user_ids if v in self.forgotten]
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
                return person._replace(email=_placeholder(person.user_id))
            raise Refusal(_not_found(person, self.project_type))
        no_key = self.project_type == "user_id" and person.user_id is None
        if existing_only or no_key:
            raise Refusal(_not_found(person, self.project_type))
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
        self._emails.append(email)
        self._user_ids.append(user_id)
        if email is not None:
            self._by_email.add(email, profile_id)
        if user_id is not None:
            self._by_user_id.add(user_id, profile_id)
        return profile_id

    def _identify(self, profile_id: int, email: str | None, user_id: str | None) -> None:
        _change(self._emails, self._by_email, profile_id, email)
        _change(self._user_ids, self._by_user_id, profile_id, user_id)

    def _write(self, profile_id: int, person: Person) -> list[str]:
        """Merge ``dataFields`` into a profile; null removes a field."""
        stored = self._fields.setdefault(profile_id, {})
        incoming = {k: v for k, v in (person.fields or {}).items() if k not in {"email", "userId"}}
        for key, value in incoming.items():
            old = stored.get(key)
            if value is None:
                stored.pop(key, None)
            elif person.merge_nested and isinstance(old, dict) and isinstance(value, dict):
                # One level only: deeper objects and arrays are replaced (article 360035402611).
                stored[key] = {k: v for k, v in {**old, **value}.items() if v is not None}
            else:
                stored[key] = value
        created = [k for k, v in incoming.items() if v is not None and k not in self.known_fields]
        self.known_fields.update(created)
        return created


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


def _not_found(person: Person, project_type: ProjectType) -> tuple[str, str]:
    """Name an unknown person by the identifier the project looks at first."""
    email_first = project_type == "email"
    if person.email is not None and (email_first or person.user_id is None):
        return ("notFoundEmails", person.email)
    return ("notFoundUserIds", person.user_id or "")


def _placeholder(user_id: str) -> str:
    """Return the address of a profile known by userId only (form: article 29156459027348)."""
    return f"{user_id}+{zlib.crc32(user_id.encode())}@placeholder.email".lower()
