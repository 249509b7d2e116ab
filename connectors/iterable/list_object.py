"""The list object: the members of one static list, by subscribe and unsubscribe."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from connectors.iterable import answers, records
from connectors.iterable.identifiers import BY_NAME, People, read_mixed_people, read_people
from connectors.iterable.sending import Call, send
from connectors.iterable.settings import IDENTIFIERS, IterableAccount, ListSettings
from reverse_etl.connector import (
    Answer,
    Batch,
    Delivered,
    DestinationObject,
    Fatal,
    FieldMapping,
    Limits,
    NoAnswer,
    Operation,
    Outcome,
    Prepared,
    Request,
    Response,
    Target,
)
from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

DEFAULT_RATES: Mapping[str, float] = {
    "lists": 100,
    "lists/subscribe": 5,
    "lists/unsubscribe": 5,
}
"""Requests per second. ``lists``: Iterable API description, ``getLists``. The other two have no
documented limit; 5 is the documented one of ``users/bulkUpdate``, taken as a careful guess."""


class ListObject(DestinationObject):
    """One static list of one project, bound to a sync.

    Attributes:
        account: The project.
        settings: Of the sync.
    """

    def __init__(
        self, account: IterableAccount, settings: ListSettings, mapping: FieldMapping
    ) -> None:
        """Bind; the settings are taken as checked.

        Raises:
            ConfigError: A constant of the mapping cannot be sent.
        """
        self.account = account
        self.settings = settings
        names = IDENTIFIERS[account.project_type]
        self.identifiers = tuple(BY_NAME[name] for name in names if name in mapping.identifiers)
        self.prefixed = account.project_type == "hybrid"
        self.sends_alias = self.prefixed and account.hybrid_send == "both"
        self.deletes = True
        self.limits = _limits(account)
        self.host = account.host()
        self.kind = account.project_type
        self.target = Target(str(settings.list.id or ""), settings.list.name)
        try:
            self._fields = records.ProfileFields(mapping.fields)
        except ValueError as error:
            raise ConfigError([str(error)]) from error

    # --- finding the list ------------------------------------------------------------------

    def find_target(self) -> Generator[Request, Answer, Target]:
        """Find the list by id or name; create it when a name is not found.

        Raises:
            Fatal: ``unknown_list``, ``ambiguous_list``, or the account cannot be used.
        """
        lists = yield from self._all_lists()
        choice = self.settings.list
        if choice.id is not None:
            return self._target([entry for entry in lists if entry["id"] == choice.id])
        found = [entry for entry in lists if entry.get("name") == choice.name]
        if found:
            return self._target(found)
        return (yield from self._create())

    def _all_lists(self) -> Generator[Request, Answer, list[dict[str, Any]]]:
        """Return the lists of the project (``GetListsResponse``); it has no pages."""
        answer = yield Request("GET", "/api/lists", "lists")
        data = self._data(answer, "the lists of the project")
        lists = data.get("lists")
        if not isinstance(lists, list):
            reason = f"{self.host} answered GET /api/lists without lists: is base_url right?"
            raise Fatal("unreadable_answer", reason)
        return [entry for entry in lists if isinstance(entry, dict) and _is_id(entry.get("id"))]

    def _target(self, found: list[dict[str, Any]]) -> Target:
        """Return the one list that was found, if it can be written to."""
        choice = self.settings.list
        if not found:
            reason = (
                f"this project has no list {choice.id}. Look its number up in Iterable (it is"
                " in the address of the list's page), or does the key belong to another project?"
            )
            raise Fatal("unknown_list", reason)
        if len(found) > 1:
            ids = [entry["id"] for entry in found]
            reason = (
                f"{len(ids)} lists are named {choice.name!r} (ids {answers.shown(ids)}):"
                f" say which one with list: {{id: {ids[0]}}}, or rename the others in Iterable"
            )
            raise Fatal("ambiguous_list", reason)
        entry = found[0]
        if entry.get("listType") == "Dynamic":
            reason = (
                f"list {entry['id']} ({entry.get('name')!r}) is dynamic: its own segmentation"
                " decides who is on it and would undo every change. Use a static list, or another"
                " name to have one created"
            )
            raise Fatal("unknown_list", reason)
        name = entry.get("name")
        return Target(str(entry["id"]), name if isinstance(name, str) else choice.name)

    def _create(self) -> Generator[Request, Answer, Target]:
        """Create the list; after a doubtful answer look whether it is there."""
        choice = self.settings.list
        wanted = {"name": choice.name}
        if choice.description:
            wanted["description"] = choice.description
        body = orjson.dumps(wanted)
        answer = yield Request("POST", "/api/lists", "lists", body=body, repeatable=False)
        if isinstance(answer, NoAnswer) or answer.status in answers.SERVER_ERRORS:
            # Names are not unique: creating once more could leave two lists of this name.
            return (yield from self._created_after_all(answer))
        list_id = self._data(answer, f"a new list {choice.name!r}").get("listId")
        if not _is_id(list_id):
            reason = f"{self.host} answered POST /api/lists without a listId: is base_url right?"
            raise Fatal("unreadable_answer", reason)
        return Target(str(list_id), choice.name, just_created=True)

    def _created_after_all(self, doubtful: Answer) -> Generator[Request, Answer, Target]:
        """Return the list that a create without a clear answer left behind.

        Raises:
            Fatal: There is none (yet).
        """
        lists = yield from self._all_lists()
        found = [entry for entry in lists if entry.get("name") == self.settings.list.name]
        if not found:
            self._data(doubtful, f"a new list {self.settings.list.name!r}")
        target = self._target(found)
        return Target(target.id, target.name, just_created=True)

    def _data(self, answer: Answer, what: str) -> Mapping[str, Any]:
        """Return the JSON object of a successful answer.

        Raises:
            Fatal: There is none.
        """
        if isinstance(answer, NoAnswer):
            reason = f"no answer from {self.host} when asked for {what}: {answer.reason}"
            raise Fatal("destination_unavailable", reason)
        if answer.status not in answers.OK:
            error = answers.read_error(answer)
            answers.raise_if_fatal(error, self.host)
            transient = answer.status in answers.SERVER_ERRORS or answer.status in (
                answers.TOO_MANY,
                answers.TIMED_OUT,
            )
            code = "destination_unavailable" if transient else "list_refused"
            raise Fatal(code, f"{self.host} refused to give {what} ({error})")
        data = answer.json()
        return data if isinstance(data, dict) else {}

    # --- changes ---------------------------------------------------------------------------

    def prepare(self, operation: Operation, changes: pa.RecordBatch) -> Prepared:
        """Validate identifiers and values; encode one subscriber object per change."""
        people = self._people(operation, changes)
        identities = changes.column("_identity").to_pylist()
        if operation is Operation.DELETE:
            return Prepared(people.heads, identities, people.aliases, _unsendable(people))
        outcomes = {o: Outcome("succeeded", "alias_left_out", r) for o, r in people.remarks.items()}
        bodies = people.heads
        if self._fields:
            fields, faults = self._fields.encode(changes)
            bodies = records.join(people.heads, fields)
            for offset, reason in faults.items():
                bodies[offset] = b""
                outcomes[offset] = Outcome("invalid", "invalid_value", reason)
        for offset, reason in people.faults.items():
            outcomes[offset] = Outcome("invalid", "invalid_identifier", reason)
        return Prepared(bodies, identities, people.aliases, outcomes)

    def _people(self, operation: Operation, changes: pa.RecordBatch) -> People:
        """Read who the changes are about; a delete carries the identity alone."""
        identities = changes.column("_identity")
        if not self.prefixed:
            return read_people(identities, self.identifiers[0].name)
        with_alias = self.sends_alias and operation is not Operation.DELETE
        return read_mixed_people(identities, changes.column("_alias") if with_alias else None)

    def deliver(self, batch: Batch) -> Generator[Request, Answer, Delivered]:
        """Subscribe or unsubscribe the people of the batch."""
        return send(batch, self._call(batch))

    def _call(self, batch: Batch) -> Call:
        """Return the endpoint and the JSON around the records."""
        if batch.operation is Operation.DELETE:
            # Iterable's description calls channelUnsubscribe "essentially a global unsubscribe".
            path, tail = "/api/lists/unsubscribe", b'],"channelUnsubscribe":false}'
        else:
            only = orjson.dumps(self.settings.update_existing_users_only)
            path, tail = "/api/lists/subscribe", b'],"updateExistingUsersOnly":%b}' % only
        head = b'{"listId":%d,"subscribers":[' % int(batch.target.id)
        identifier = None if self.prefixed else self.identifiers[0].name
        return Call(path, head, tail, self.host, identifier)

    def is_transient(self, batch: Batch | None, response: Response) -> bool:
        """Also a list that was just created and is not known everywhere yet."""
        if super().is_transient(batch, response):
            return True
        if batch is None or not batch.target.just_created or response.status in answers.OK:
            return False
        return answers.read_error(response).is_unknown_list


def _limits(account: IterableAccount) -> Limits:
    """Return the limits of the account's settings and the default rates."""
    rate = account.requests_per_second
    rates = DEFAULT_RATES if rate is None else dict.fromkeys(DEFAULT_RATES, rate)
    return Limits(
        records_per_request=account.records_per_request,
        bytes_per_request=account.bytes_per_request,
        requests_per_second=rates,
    )


def _is_id(value: object) -> bool:
    """Whether a value of an answer is the id of a list."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _unsendable(people: People) -> dict[int, Outcome]:
    """Return the outcomes of deletes that need no request: such a person was never subscribed."""
    return {
        offset: Outcome("succeeded", reason=f"nothing was sent: {reason}, so it is on no list")
        for offset, reason in people.faults.items()
    }
