"""The calls under ``/api/lists`` (API description, tag ``lists``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .bulk import bulk_reply, read_people, refused_fields
from .wire import TEXT, ApiError, BodyReader, Call, Reply, envelope, invalid_list_id, json_reply

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .settings import Settings
    from .state import MailingList, State
    from .wire import Handler

PREVIEW_DEFAULT = 1000
PREVIEW_MAX = 5000
MAX_DIGITS = 19


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
        shown = [
            each for each in self._state.lists.values() if self._state.recent.shows(each.made_at)
        ]
        newest_first = sorted(shown, key=lambda each: -each.id)
        return json_reply({"lists": [_details(each) for each in newest_first]})

    def create(self, call: Call) -> Reply:
        """Make a static list."""
        body = BodyReader(call)
        name, description = body.string("name"), body.optional_string("description")
        body.done()
        made = self._state.add_list(name, description, made_at=self._settings.monotonic())
        return json_reply({"listId": made.id})

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
        body = BodyReader(call)
        list_id = body.integer("listId")
        people = read_people(body)
        existing_only = body.flag("updateExistingUsersOnly")
        body.done()
        target = self._target(list_id)
        with refused_fields(self._settings.project_id):
            result = self._state.subscribe(
                target, people, existing_only=existing_only, refuse=call.refuse
            )
        return bulk_reply(result, call.shape)

    def unsubscribe(self, call: Call) -> Reply:
        """Take people off a list."""
        body = BodyReader(call)
        list_id = body.integer("listId")
        people = read_people(body)
        everywhere = body.flag("channelUnsubscribe")
        body.done()
        target = self._target(list_id)
        if not body.has("channelUnsubscribe"):
            self._state.counters["channel_unsubscribe_unstated"] += 1
        result = self._state.unsubscribe(target, people, everywhere=everywhere, refuse=call.refuse)
        return bulk_reply(result, call.shape)

    def get_users(self, call: Call) -> Reply:
        """Return all members, one a line, in chunks (recorded 2017)."""
        target = self._queried(call)
        return self._lines(call, self._state.shown_members(target), chunked=True)

    def preview_users(self, call: Call) -> Reply:
        """Return a random sample of members."""
        target = self._queried(call)
        size = _number(call.query.get("size", str(PREVIEW_DEFAULT)))
        if size is None:
            raise ApiError(envelope(400, "BadParams", "Invalid size"))
        return self._lines(call, self._state.sample(target, min(size, PREVIEW_MAX)))

    def size(self, call: Call) -> Reply:
        """Return the number of members as text."""
        target = self._read(call.arguments[0])
        return Reply(200, str(len(self._state.shown_members(target))).encode(), TEXT)

    def _target(self, list_id: int) -> MailingList:
        found, settings = self._state.lists.get(list_id), self._settings
        now = settings.monotonic()
        if found is None or found.made_at + settings.new_list_lag_seconds > now:
            raise ApiError(invalid_list_id(list_id, settings.project_id))
        return found

    def _queried(self, call: Call) -> MailingList:
        if "listId" not in call.query:
            raise ApiError(envelope(400, "BadParams", "Missing parameter: listId"))
        return self._read(call.query["listId"])

    def _read(self, list_id: str) -> MailingList:
        number = _number(list_id)
        found = None if number is None else self._state.lists.get(number)
        if found is None:
            raise ApiError(envelope(400, "BadParams", "Invalid email list id"))
        return found

    def _lines(self, call: Call, members: Sequence[int], *, chunked: bool = False) -> Reply:
        prefer = call.query.get("preferUserId") == "true"
        name = self._state.shown_name
        text = "".join(f"{name(each, prefer_user_id=prefer)}\n" for each in members)
        return Reply(200, text.encode(), TEXT, chunked=chunked)


def _number(text: str) -> int | None:
    """Return a number of the query; None when it is none, or more than 64 bits hold."""
    return int(text) if text.isdecimal() and len(text) <= MAX_DIGITS else None


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
