"""The calls under ``/api/users`` (API description, tag ``users``)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from .bulk import (
    bulk_reply,
    no_identifier,
    read_each,
    read_person,
    refused_fields,
    subscriptions_reply,
)
from .fields import format_time
from .identifiers import is_email
from .people import Person, Refusal
from .wire import TEXT, ApiError, BodyReader, Call, Reply, envelope, json_reply

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .people import Stored
    from .settings import Settings
    from .state import State
    from .wire import Handler

# What a refused person means in a call for one: (status, code, text before the identifier). The
# text and code of a malformed e-mail are recorded, 409 is documented, the rest is chosen.
_REFUSED: Mapping[str, tuple[int, str, str]] = {
    "invalidEmails": (400, "InvalidEmailAddressError", "Invalid email: "),
    "invalidUserIds": (400, "InvalidUserIdError", "Invalid userId: "),
    "notFoundEmails": (400, "UnknownEmailError", "No user with email "),
    "notFoundUserIds": (400, "UnknownUserIdError", "No user with userId "),
    "conflictEmails": (409, "EmailAlreadyExists", "Email already exists: "),
    "conflictUserIds": (409, "UserIdAlreadyExists", "UserId already exists: "),
    "forgottenEmails": (409, "ForgottenUserError", "User has been forgotten: "),
    "forgottenUserIds": (409, "ForgottenUserError", "User has been forgotten: "),
}
_REFUSED_BY_FAULT = (400, "BadParams", "Invalid user: ")

# Recorded in 2021 on every profile, in 2017 on none: when its document was renewed.
_INTERNAL, _RENEWED_AT = "itblInternal", "documentUpdatedAt"

# What an update of subscriptions sets: numbers under these keys.
_SUBSCRIPTIONS = (
    "emailListIds",
    "subscribedMessageTypeIds",
    "unsubscribedChannelIds",
    "unsubscribedMessageTypeIds",
)


class UserCalls:
    """The user endpoints over one state."""

    def __init__(self, state: State, settings: Settings) -> None:
        """Bind to the state."""
        self._state = state
        self._settings = settings

    def routes(self) -> Mapping[str, Handler]:
        """Return endpoint (``METHOD /template``) to its handler."""
        return {
            "POST /api/users/bulkUpdate": self.bulk_update,
            "POST /api/users/update": self.update,
            "POST /api/users/updateEmail": self.update_email,
            "POST /api/users/merge": self.merge,
            "POST /api/users/updateSubscriptions": self.update_subscriptions,
            "POST /api/users/bulkUpdateSubscriptions": self.bulk_update_subscriptions,
            "POST /api/users/forget": self.forget,
            "POST /api/users/unforget": self.unforget,
            "GET /api/users/forgotten": self.forgotten_emails,
            "GET /api/users/forgottenUserIds": self.forgotten_user_ids,
            "GET /api/users/getFields": self.get_fields,
            "GET /api/users/getByEmail": self.get_by_email,
            "GET /api/users/byUserId": self.get_by_user_id,
            "GET /api/users/byUserId/{userId}": self.get_by_user_id,
            "GET /api/users/{email}": self.get_by_email,
            "DELETE /api/users/byUserId/{userId}": self.delete_by_user_id,
            "DELETE /api/users/{email}": self.delete_by_email,
        }

    # --- writing ---------------------------------------------------------------------------

    def bulk_update(self, call: Call) -> Reply:
        """Write many profiles; nobody at all is an error (recorded 2017)."""
        body = BodyReader(call)
        people = read_each(body, "users", body.array("users"))
        create, update_only = body.optional_flag("createNewFields"), body.flag("updateOnly")
        body.done()
        if not people:
            return envelope(400, "InvalidEmailAddressError", "Emails invalid: ")
        with refused_fields(self._settings.project_id):
            result = self._state.update(
                people, create_fields=create, update_only=update_only, refuse=call.refuse
            )
        return bulk_reply(result, call.shape)

    def update(self, call: Call) -> Reply:
        """Write one profile."""
        body, person = _person(call)
        create = body.optional_flag("createNewFields")
        body.done()
        self._write(call, person, create_fields=create)
        return _success()

    def update_email(self, call: Call) -> Reply:
        """Change the e-mail address of a person of an e-mail project.

        Documented for e-mail projects; that the others refuse it is chosen.
        """
        body = BodyReader(call)
        email, user_id = body.optional_string("currentEmail"), body.optional_string("currentUserId")
        new = body.string("newEmail").lower()
        body.done()
        if self._settings.project_type != "email":
            return envelope(
                400, "BadParams", "Use users/update to change the email of this project"
            )
        if email is None and user_id is None:
            return no_identifier()
        with _refusals():
            found = self._state.people.get(Person(email, user_id if email is None else None))
            self._state.people.check(Person(new, None))
            if self._state.people.holders(new, None) not in ([], [found]):
                raise Refusal(("conflictEmails", new))
            self._state.rename(found, new)
        return _success()

    def merge(self, call: Call) -> Reply:
        """Merge a person into another one, who wins where both have a field (chosen)."""
        body = BodyReader(call)
        source, destination = (
            Person(body.optional_string(f"{end}Email"), body.optional_string(f"{end}UserId"))
            for end in ("source", "destination")
        )
        body.done()
        if any((each.email is None) == (each.user_id is None) for each in (source, destination)):
            return envelope(400, "BadParams", "Give an email or a userId of source and destination")
        with _refusals():
            self._state.merge(source, destination)
        return _success()

    # --- subscriptions ---------------------------------------------------------------------

    def update_subscriptions(self, call: Call) -> Reply:
        """Set the lists, channels and message types of one person (not described any more)."""
        body, person = _person(call)
        fields = self._subscriptions(body, "obj", body.whole())
        body.done()
        self._write(call, person._replace(fields=fields))
        return _success()

    def bulk_update_subscriptions(self, call: Call) -> Reply:
        """Set the lists, channels and message types of people; null leaves them as they are."""
        body, name = BodyReader(call), "updateSubscriptionsRequests"
        entries = body.array(name)
        people = read_each(body, name, entries)
        fields = [
            self._subscriptions(body, f"obj.{name}[{index}]", entry)
            for index, entry in enumerate(entries)
            if isinstance(entry, dict)
        ]
        body.done()
        people = [one._replace(fields=each) for one, each in zip(people, fields, strict=True)]
        with refused_fields(self._settings.project_id):
            result = self._state.update(people, create_fields=True, refuse=call.refuse)
        return subscriptions_reply(result, call.shape)

    def _subscriptions(
        self, body: BodyReader, path: str, entry: Mapping[str, Any]
    ) -> dict[str, list[int]]:
        """Return the profile fields that an update of subscriptions sets."""
        fields = {}
        for key in _SUBSCRIPTIONS:
            value = entry.get(key)
            if value is None:
                continue
            if not isinstance(value, list) or any(type(each) is not int for each in value):
                body.problems[f"{path}.{key}"] = "array"
            fields[self._state.list_field if key == "emailListIds" else key] = value
        return fields

    # --- forgetting ------------------------------------------------------------------------

    def forget(self, call: Call) -> Reply:
        """Forget a person; one that nobody knows is forgotten all the same (chosen)."""
        self._state.forget(self._to_forget(call))
        return _success()

    def unforget(self, call: Call) -> Reply:
        """Let a person come back; one that was never forgotten is a success, too (chosen)."""
        self._state.unforget(self._to_forget(call))
        return _success()

    def forgotten_emails(self, _call: Call) -> Reply:
        """Return the hashes; documented to be an error in a userID project (text chosen)."""
        if self._settings.project_type == "user_id":
            return envelope(400, "BadParams", "A userID-based project forgets by userId")
        return json_reply({"hashedEmails": sorted(self._state.people.forgotten.emails)})

    def forgotten_user_ids(self, _call: Call) -> Reply:
        """Return the hashes; documented to be an error in an e-mail project (text chosen)."""
        if self._settings.project_type == "email":
            return envelope(400, "BadParams", "An email-based project forgets by email")
        return json_reply({"hashedUserIds": sorted(self._state.people.forgotten.user_ids)})

    def _to_forget(self, call: Call) -> str:
        """Return the identifier by which this project forgets people.

        Raises:
            ApiError: It is missing or malformed (text for an e-mail address: recorded).
        """
        body, person = _person(call)
        body.done()
        email, user_id = person.email, person.user_id
        if self._settings.project_type == "email" or (email is not None and user_id is None):
            user_id = None
        if self._settings.project_type == "user_id":
            email = None
        if email is None and user_id is None:
            key = "userId" if self._settings.project_type == "user_id" else "email"
            raise ApiError(envelope(400, "BadParams", f"This project forgets people by {key}"))
        with _refusals():
            self._state.people.check(Person(email, user_id), forgotten=True)
        return user_id or (email or "").lower()

    # --- reading ---------------------------------------------------------------------------

    def get_fields(self, call: Call) -> Reply:
        """Return all fields with their types."""
        types: dict[str, str] = {**self._state.fields.types}
        if call.shape == "current":
            types |= {_INTERNAL: "object", f"{_INTERNAL}.{_RENEWED_AT}": "date"}
        return json_reply({"fields": types})

    def get_by_email(self, call: Call) -> Reply:
        """Return a profile, or an empty object for an unknown address (tested by the vendor)."""
        email = self._asked(call, "email").lower()
        if not is_email(email) and not self._state.people.holders(email, None):
            return _refused(Refusal(("invalidEmails", email)))
        return self._user(call, self._state.shown(email=email), json_reply({}))

    def get_by_user_id(self, call: Call) -> Reply:
        """Return a profile; an unknown userId is refused with a text (recorded 2017).

        block/iterable-go expects the code ``error.users.noUserWithIdExists``, which no recording
        shows: what was recorded goes before what was told.
        """
        user_id = self._asked(call, "userId")
        unknown = Reply(400, b"No user with that id exists!", TEXT)
        return self._user(call, self._state.shown(user_id=user_id), unknown)

    # --- leaving ---------------------------------------------------------------------------

    def delete_by_email(self, call: Call) -> Reply:
        """Delete by e-mail; an unknown one is a success (recorded 2017)."""
        email = unquote(call.arguments[0]).lower()
        if self._settings.project_type == "user_id":
            return envelope(400, "BadParams", "A userID-based project deletes by userId")
        if not is_email(email):
            return _refused(Refusal(("invalidEmails", email)))
        self._state.delete(email=email)
        return _success()

    def delete_by_user_id(self, call: Call) -> Reply:
        """Delete everybody with a userId; an unknown one is an error (recorded 2017, later)."""
        user_id = unquote(call.arguments[0])
        if self._state.delete(user_id=user_id):
            return _success()
        msg = f"User does not exist. Email:  UserId: {user_id}"
        if call.shape == "old":
            msg = f"No users with userId {user_id} exist"
        return envelope(400, "BadParams", msg)

    # --- parts -----------------------------------------------------------------------------

    def _write(self, call: Call, person: Person, *, create_fields: bool | None = None) -> None:
        """Write one profile, or raise the answer that refuses it."""
        with refused_fields(self._settings.project_id), _refusals():
            self._state.update_one(person, create_fields=create_fields, refuse=call.refuse)

    def _asked(self, call: Call, key: str) -> str:
        """Return the identifier of the path or of the query."""
        if call.arguments:
            return unquote(call.arguments[0])
        if key not in call.query:
            raise ApiError(envelope(400, "BadParams", f"Missing parameter: {key}"))
        return call.query[key]

    def _user(self, call: Call, found: tuple[int, Stored] | None, otherwise: Reply) -> Reply:
        if found is None:
            return otherwise
        profile_id, stored = found
        fields = self._data_fields(profile_id, stored)
        if call.shape == "current":
            renewed = stored.changed + self._settings.visibility_lag_seconds
            fields[_INTERNAL] = {_RENEWED_AT: format_time(renewed)}
        # The description requires ``email``; that it is empty without an address is chosen.
        user: dict[str, Any] = {
            "email": stored.email or "",
            "dataFields": fields,
        }
        if stored.user_id is not None:
            user["userId"] = stored.user_id
        return json_reply({"user": user})

    def _data_fields(self, profile_id: int, stored: Stored) -> dict[str, Any]:
        """Return what a read shows: the fields, and those that the project adds."""
        fields = {
            "signupSource": "API",
            "signupDate": format_time(stored.made),
            **stored.fields,
            "profileUpdatedAt": format_time(stored.changed),
            "email": stored.email,
            "userId": stored.user_id,
            self._state.list_field: self._state.list_ids(profile_id) or None,
        }
        return {key: value for key, value in fields.items() if value is not None}


def _success() -> Reply:
    return envelope(200, "Success", "")


def _person(call: Call) -> tuple[BodyReader, Person]:
    """Return the body of a call for one person, and the person."""
    body = BodyReader(call)
    person = read_person(body, "obj", body.whole())
    if not body.problems and person.email is None and person.user_id is None:
        raise ApiError(no_identifier())
    return body, person


@contextmanager
def _refusals() -> Iterator[None]:
    """Answer a call for one person that is not taken."""
    try:
        yield
    except Refusal as refusal:
        raise ApiError(_refused(refusal)) from None


def _refused(refusal: Refusal) -> Reply:
    """Return the answer of a call for one person that is not taken."""
    key, identifier = refusal.failures[0]
    status, code, text = _REFUSED.get(key, _REFUSED_BY_FAULT)
    return envelope(status, code, f"{text}{identifier}")
