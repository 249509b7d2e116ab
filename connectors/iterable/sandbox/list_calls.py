"""The calls under ``/api/lists`` (API description, tag ``lists``)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from .people import Bare, Person
from .state import FAILURE_KEYS, BulkResult, MailingList, State
from .wire import (
    TEXT,
    ApiError,
    BodyReader,
    Call,
    Reply,
    Shape,
    envelope,
    invalid_list_id,
    json_reply,
)

if TYPE_CHECKING:
    from .settings import Settings

Handler = Callable[[Call], Reply]

PREVIEW_DEFAULT = 1000
PREVIEW_MAX = 5000

_SUBSCRIBER_TYPES: Mapping[str, tuple[type, str]] = {
    "email": (str, "string"),
    "userId": (str, "string"),
    "dataFields": (dict, "object"),
    "preferUserId": (bool, "boolean"),
    "mergeNestedObjects": (bool, "boolean"),
}


class ListCalls:
    """The list endpoints over one state."""

    def __init__(self, state: State, settings: Settings) -> None:
        """Bind to the state."""
        self._state = state
        self._settings = settings

    def routes(self) -> Mapping[str, Handler]:
        """Return endpoint (``METHOD /template``) to its handler."""
        return {
            "GET /api/lists": self.get_lists,
            "POST /api/lists": self.create,
            "DELETE /api/lists/{listId}": self.delete,
            "POST /api/lists/subscribe": self.subscribe,
            "POST /api/lists/unsubscribe": self.unsubscribe,
            "GET /api/lists/getUsers": self.get_users,
            "GET /api/lists/previewUsers": self.preview_users,
            "GET /api/lists/{listId}/size": self.size,
        }

    def get_lists(self, _call: Call) -> Reply:
        """Return all lists, newest first (recorded 2017)."""
        newest_first = sorted(self._state.lists.values(), key=lambda each: -each.id)
        return json_reply({"lists": [_details(each) for each in newest_first]})

    def create(self, call: Call) -> Reply:
        """Make a static list."""
        body = BodyReader(call, self._settings.response_shape)
        name, description = body.string("name"), body.optional_string("description")
        body.done()
        return json_reply({"listId": self._state.add_list(name, description).id})

    def delete(self, call: Call) -> Reply:
        """Delete a list (texts recorded 2017; that of the 409 is chosen)."""
        list_id, project = int(call.arguments[0]), self._settings.project_id
        found = self._state.lists.get(list_id)
        if found is None:
            msg = f"Unable to delete list {list_id} in Project {project}, which does not exist."
            return envelope(400, "BadParams", msg)
        if found.in_use:
            return envelope(409, "BadParams", "List is in use")
        del self._state.lists[list_id]
        msg = f"List {list_id} in Project {project} was successfully deleted."
        return envelope(200, "Success", msg)

    def subscribe(self, call: Call) -> Reply:
        """Put people on a list; any type of list takes them (recorded 2017)."""
        body = BodyReader(call, self._settings.response_shape)
        list_id = body.integer("listId")
        people = read_people(body)
        existing_only = body.flag("updateExistingUsersOnly")
        body.done()
        target = self._target(list_id)
        result = self._state.subscribe(
            target, people, existing_only=existing_only, refuse=call.refuse
        )
        return bulk_reply(result, self._settings.response_shape)

    def unsubscribe(self, call: Call) -> Reply:
        """Take people off a list."""
        body = BodyReader(call, self._settings.response_shape)
        list_id = body.integer("listId")
        people = read_people(body)
        everywhere = body.flag("channelUnsubscribe")
        body.done()
        target = self._target(list_id)
        if not body.has("channelUnsubscribe"):
            self._state.counters["channel_unsubscribe_unstated"] += 1
        result = self._state.unsubscribe(target, people, everywhere=everywhere, refuse=call.refuse)
        return bulk_reply(result, self._settings.response_shape)

    def get_users(self, call: Call) -> Reply:
        """Return all members, one a line, in chunks (recorded 2017)."""
        target = self._queried(call)
        return self._lines(call, sorted(target.members), chunked=True)

    def preview_users(self, call: Call) -> Reply:
        """Return a random sample of members."""
        target = self._queried(call)
        size = call.query.get("size", str(PREVIEW_DEFAULT))
        if not size.isdecimal():
            raise ApiError(envelope(400, "BadParams", "Invalid size"))
        return self._lines(call, self._state.sample(target, min(int(size), PREVIEW_MAX)))

    def size(self, call: Call) -> Reply:
        """Return the number of members as text."""
        target = self._read(call.arguments[0])
        return Reply(200, str(len(target.members)).encode(), TEXT)

    def _target(self, list_id: int) -> MailingList:
        found = self._state.lists.get(list_id)
        if found is None:
            raise ApiError(invalid_list_id(list_id, self._settings.project_id))
        return found

    def _queried(self, call: Call) -> MailingList:
        if "listId" not in call.query:
            raise ApiError(envelope(400, "BadParams", "Missing parameter: listId"))
        return self._read(call.query["listId"])

    def _read(self, list_id: str) -> MailingList:
        found = self._state.lists.get(int(list_id)) if list_id.isdecimal() else None
        if found is None:
            raise ApiError(envelope(400, "BadParams", "Invalid email list id"))
        return found

    def _lines(self, call: Call, members: Sequence[int], *, chunked: bool = False) -> Reply:
        prefer = call.query.get("preferUserId") == "true"
        name = self._state.people.name
        text = "".join(f"{name(each, prefer_user_id=prefer)}\n" for each in members)
        return Reply(200, text.encode(), TEXT, chunked=chunked)


def _details(each: MailingList) -> dict[str, object]:
    details: dict[str, object] = {
        "id": each.id,
        "name": each.name,
        "createdAt": each.created_at,
        "listType": each.list_type,
    }
    if each.description is not None:
        details["description"] = each.description
    if each.list_type == "Suppression":
        details["isGlobalSuppressionEnabled"] = False
    return details


def read_people(body: BodyReader, name: str = "subscribers") -> list[Person] | Bare:
    """Return the people of a request body; faulty types become problems of the body.

    Args:
        body: The body.
        name: Key of the array.

    Raises:
        ApiError: An entry has neither identifier (400, chosen; recorded for single users).
    """
    entries = body.array(name)
    bare = _bare(entries, "email") or _bare(entries, "userId")
    return bare or _read_each(body, name, entries)


def _bare(entries: list[Any], key: Literal["email", "userId"]) -> Bare | None:
    """Return the entries if each is a string under that key and nothing else."""
    try:
        values = [entry[key] for entry in entries if len(entry) == 1]
        "".join(values)  # the quickest way to learn that all are strings
    except (TypeError, LookupError):
        return None
    return Bare(key, values) if len(values) == len(entries) else None


def _read_each(body: BodyReader, name: str, entries: list[Any]) -> list[Person]:
    people = []
    for index, entry in enumerate(entries):
        if isinstance(entry, dict):
            people.append(_read_person(body, f"obj.{name}[{index}]", entry))
        else:
            body.problems[f"obj.{name}[{index}]"] = "object"
    if not body.problems and any(p.email is None and p.user_id is None for p in people):
        raise ApiError(envelope(400, "BadParams", "Either email or userId must be set"))
    return people


def _read_person(body: BodyReader, path: str, entry: Mapping[str, Any]) -> Person:
    for key, value in entry.items():
        expected = _SUBSCRIBER_TYPES.get(key)
        if expected and value is not None and not isinstance(value, expected[0]):
            body.problems[f"{path}.{key}"] = expected[1]
    return Person(
        entry.get("email"),
        entry.get("userId"),
        entry.get("dataFields"),
        bool(entry.get("preferUserId")),
        bool(entry.get("mergeNestedObjects")),
    )


def bulk_reply(result: BulkResult, shape: Shape) -> Reply:
    """Return the bulk response (API description: UserBulkUpdateListResponse).

    The old shape, recorded in 2017 and 2021, has only the arrays that are deprecated today; it
    names every person there that was not taken.
    """
    counts = {"successCount": result.success, "failCount": result.fail}
    if shape == "old":
        old = {key: _by_kind(result, key) for key in ("invalidEmails", "invalidUserIds")}
        if not old["invalidUserIds"]:
            del old["invalidUserIds"]
        return json_reply({**counts, **old})
    failed = {key: result.failures.get(key, []) for key in FAILURE_KEYS}
    return json_reply(
        {
            **counts,
            "createdFields": sorted(result.created_fields),
            "filteredOutFields": [],
            "invalidEmails": failed["invalidEmails"],
            "invalidUserIds": failed["invalidUserIds"],
            "failedUpdates": {**failed, **result.failures},
        }
    )


def _by_kind(result: BulkResult, deprecated: str) -> list[str]:
    ending = deprecated.removeprefix("invalid")
    keys = [key for key in result.failures if key.endswith(ending)]
    return [identifier for key in keys for identifier in result.failures[key]]
