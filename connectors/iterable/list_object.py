"""The list object: the members of one static list, by subscribe and unsubscribe."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from connectors.iterable import answers, auditing, lists
from connectors.iterable.answers import Terms
from connectors.iterable.identifiers import People
from connectors.iterable.inspection import Inspection, Questions
from connectors.iterable.lists import Entry
from connectors.iterable.people_object import PeopleObject, ready, unsendable
from connectors.iterable.sending import Call
from connectors.iterable.settings import IterableAccount, ListSettings
from reverse_etl.connector import (
    Answer,
    Batch,
    Fatal,
    FieldMapping,
    NoAnswer,
    Operation,
    Prepared,
    Request,
    Response,
    Target,
)

if TYPE_CHECKING:
    import pyarrow as pa


class ListObject(PeopleObject):
    """One static list of one project, bound to a sync.

    Attributes:
        settings: Of the sync.
    """

    endpoints = ("lists", "lists/subscribe", "lists/unsubscribe")
    audits = "members"
    deletes = True

    def __init__(
        self, account: IterableAccount, settings: ListSettings, mapping: FieldMapping
    ) -> None:
        """Bind; the settings are taken as checked.

        Raises:
            ConfigError: A constant of the mapping cannot be sent.
        """
        super().__init__(account, settings, mapping)
        self.settings = settings
        self.target = Target(str(settings.list.id or ""), settings.list.name)

    # --- finding the list ------------------------------------------------------------------

    def find_target(self) -> Generator[Request, Answer, Target]:
        """Find the list by id or name; create it when a name is not found.

        Raises:
            Fatal: ``unknown_list``, ``ambiguous_list``, or the account cannot be used.
        """
        found = self._chosen((yield from self._all_lists()))
        return found or (yield from self._create())

    def _all_lists(self) -> Generator[Request, Answer, list[Entry]]:
        """Return the lists of the project."""
        return lists.all_lists(self.host, self.settings.name)

    def _chosen(self, entries: Sequence[Entry]) -> Target | None:
        """Return the list that the config means, None when it is to be created.

        Raises:
            Fatal: ``unknown_list``, ``ambiguous_list``.
        """
        choice = self.settings.list
        if choice.id is not None:
            return self._target([entry for entry in entries if entry["id"] == choice.id])
        found = self._named(entries)
        return self._target(found) if found else None

    def _target(self, found: Sequence[Entry]) -> Target:
        """Return the one list that was found, if it can be written to."""
        choice = self.settings.list
        if not found:
            reason = (
                f"this project has no list {choice.id}. `reverse-etl lists {self.settings.name}`"
                " shows those it has; or does the key belong to another project?"
            )
            raise Fatal("unknown_list", reason)
        if len(found) > 1:
            ids = [entry["id"] for entry in found]
            reason = (
                f"{len(ids)} lists are named {choice.name!r} (ids {answers.shown(ids)}):"
                f" say which one with list: {{id: {ids[0]}}}, or rename the others in Iterable."
                f" `reverse-etl lists {self.settings.name}` shows them all"
            )
            raise Fatal("ambiguous_list", reason)
        entry = found[0]
        if lists.is_dynamic(entry):
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
        if not lists.is_id(list_id):
            reason = f"{self.host} answered POST /api/lists without a listId: is base_url right?"
            raise Fatal("unreadable_answer", reason)
        return (yield from self._agree(list_id))

    def _agree(self, created: int) -> Generator[Request, Answer, Target]:
        """Return the one list that all take who created it at the same time.

        Ids rise, so whoever looks after creating sees the smallest one, and the others go. The
        list may not be shown yet: that is no reason to doubt it.

        Args:
            created: Id of the list that this conversation made.
        """
        try:
            entries = yield from self._all_lists()
        except Fatal:  # the list is there, and the next run might not see it yet: keep its id
            entries = []
        taken = [entry["id"] for entry in self._named(entries) if not lists.is_dynamic(entry)]
        smallest = min(taken, default=created)
        if smallest >= created:
            return Target(str(created), self.settings.list.name, just_created=True)
        # Ours was made a moment ago and is empty. Should it stay, it does no harm to this sync.
        yield Request("DELETE", f"/api/lists/{created}", "lists")
        return Target(str(smallest), self.settings.list.name, just_created=True)

    def _created_after_all(self, doubtful: Answer) -> Generator[Request, Answer, Target]:
        """Return the list that a create without a clear answer left behind.

        There may be several when somebody else created it as well, see :meth:`_agree`; which of
        them is ours is not known, so none is deleted.

        Raises:
            Fatal: There is none (yet).
        """
        found = self._named((yield from self._all_lists()))
        if not found:
            self._data(doubtful, f"a new list {self.settings.list.name!r}")
        target = self._target(sorted(found, key=lambda entry: entry["id"])[:1])
        return Target(target.id, target.name, just_created=True)

    def _named(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the lists of the configured name."""
        return [entry for entry in entries if entry.get("name") == self.settings.list.name]

    def _data(self, answer: Answer, what: str) -> Mapping[str, Any]:
        """Return the JSON object of a successful answer.

        Raises:
            Fatal: There is none.
        """
        return answers.read_data(answer, self.host, what, self.settings.name)

    # --- looking ---------------------------------------------------------------------------

    def inspect(self, columns: pa.Schema, known: Target | None) -> Questions:
        """Look, without changing anything, whether a run would work."""
        look = Inspection(
            self.account,
            self.settings.name,
            self.mapping.fields,
            columns,
            remedy=". A sync of a list cannot ask for them: make them in Iterable, or let a sync"
            " with object: user and create_new_fields: true run first",
        )
        return look.of_list(self.settings.list.name or "", self._chosen, known)

    # --- changes ---------------------------------------------------------------------------

    def _prepare_deletes(self, people: People, changes: pa.RecordBatch) -> Prepared:
        """Encode whom to unsubscribe: the identifiers alone."""
        outcomes = unsendable(people, "so it is on no list")
        return ready(people, [], changes, outcomes)

    def _call(self, batch: Batch) -> Call:
        """Return the endpoint and the JSON around the records."""
        if batch.operation is Operation.DELETE:
            # Iterable's description calls channelUnsubscribe "essentially a global unsubscribe".
            path, tail = "/api/lists/unsubscribe", b'],"channelUnsubscribe":false}'
        else:
            only = orjson.dumps(self.settings.update_existing_users_only)
            path, tail = "/api/lists/subscribe", b'],"updateExistingUsersOnly":%b}' % only
        return Call(
            path,
            head=b'{"listId":%d,"subscribers":[' % int(batch.target.id),
            tail=tail,
            host=self.host,
            destination=self.settings.name,
            identifier=self._identifier,
            terms=Terms(
                batch.operation,
                hybrid=self.prefixed,
                absent="so not on the list",
                existing_only=self.settings.update_existing_users_only,
            ),
        )

    # --- audit -----------------------------------------------------------------------------

    def read_members(self, target: Target) -> Generator[Request, Answer, Sequence[Path]]:
        """Ask who is on the list, once for each identifier."""
        name = self.settings.name
        return auditing.read_members(target.id, self.identifiers, self.host, name)

    def parse_members(self, lines: Iterator[bytes]) -> Iterator[pa.RecordBatch]:
        """Read the lines of such an answer."""
        return auditing.parse_members(lines, self.identifiers)

    def is_transient(self, batch: Batch | None, response: Response) -> bool:
        """Also a list that was just created and is not known everywhere yet."""
        if super().is_transient(batch, response):
            return True
        if batch is None or not batch.target.just_created or response.status in answers.OK:
            return False
        return answers.read_error(response).is_unknown_list
