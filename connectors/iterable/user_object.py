"""The user object: profile fields, by bulkUpdate."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import orjson
import pyarrow as pa

from connectors.iterable import auditing
from connectors.iterable.answers import Terms
from connectors.iterable.identifiers import People
from connectors.iterable.inspection import Inspection, Questions
from connectors.iterable.json_text import TEXT
from connectors.iterable.people_object import PeopleObject, ready, unsendable
from connectors.iterable.sending import Call
from connectors.iterable.settings import IterableAccount, UserSettings
from reverse_etl.connector import (
    Answer,
    Batch,
    Drift,
    FieldMapping,
    Operation,
    Outcome,
    Prepared,
    Request,
    Target,
)

_PREFER_USER_ID = '"preferUserId":true'


class UserObject(PeopleObject):
    """The profiles of one project, bound to a sync.

    A person without any value to send is sent with identifiers alone, so that the profile exists.
    A delete removes no profile: it sets the fields that were sent to null.

    Attributes:
        settings: Of the sync.
    """

    endpoints = ("users/bulkUpdate",)
    clears_fields = True
    audits = "profiles"

    def __init__(
        self, account: IterableAccount, settings: UserSettings, mapping: FieldMapping
    ) -> None:
        """Bind; the settings are taken as checked.

        Raises:
            ConfigError: A constant of the mapping cannot be sent.
        """
        by_user_id = account.project_type == "email" and "userId" in mapping.identifiers
        super().__init__(
            account,
            settings,
            mapping,
            merge=settings.merge_nested_objects,
            flags=_PREFER_USER_ID if by_user_id else "",
        )
        self.settings = settings
        self.deletes = settings.on_delete == "clear_fields"
        self.target = Target("")
        if by_user_id:
            # An identity is written bare: under the other identifier it is somebody else.
            self.kind = "email/userId"

    def find_target(self) -> Generator[Request, Answer, Target]:
        """Return the project itself; there is nothing to look up."""
        yield from ()
        return self.target

    def inspect(self, columns: pa.Schema, known: Target | None) -> Questions:
        """Look, without changing anything, whether a run would work."""
        del known
        creates = self.settings.create_new_fields
        remedy = ". With create_new_fields: true they are created"
        fields = self.mapping.fields
        return Inspection(
            self.account, self.settings.name, fields, columns, creates=creates, remedy=remedy
        ).of_user()

    def compare_profiles(
        self, prepared: Prepared
    ) -> Generator[Request, Answer, Sequence[Drift | None]]:
        """Read the profiles of prepared upserts; return how each differs, or None."""
        return auditing.compare_profiles(prepared, self.host, self.settings.name)

    def _prepare_deletes(self, people: People, changes: pa.RecordBatch) -> Prepared:
        """Encode one record per person whose fields are to be cleared."""
        sets = changes.column("_fields").to_pylist()
        # Few mappings ever wrote a page's people, so few texts differ.
        cleared = {text: self._fields.encode_clearing(text) for text in set(sets)}
        fields = pa.array([cleared[text] for text in sets], TEXT)
        outcomes = unsendable(people, "so there is no such profile")
        never = [offset for offset, text in enumerate(sets) if not cleared[text]]
        for offset in never:
            reason = "nothing was sent: no field of this person was ever written"
            outcomes.setdefault(offset, Outcome("succeeded", reason=reason))
        return ready(people, [",", fields], changes, outcomes, unsent=never)

    def _call(self, batch: Batch) -> Call:
        """Return the endpoint and the JSON around the records (``BulkUpdateUsersRequest``)."""
        is_delete = batch.operation is Operation.DELETE
        # Clearing creates nothing: a field that the project does not have needs no clearing.
        create = False if is_delete else self.settings.create_new_fields
        options = {"createNewFields": create, "updateOnly": self.settings.update_only or None}
        written = orjson.dumps({k: v for k, v in options.items() if v is not None})[1:]
        return Call(
            "/api/users/bulkUpdate",
            head=b'{"users":[',
            tail=b"]" + (b"," if len(written) > 1 else b"") + written,
            host=self.host,
            destination=self.settings.name,
            identifier=self._identifier,
            terms=Terms(
                batch.operation,
                hybrid=self.prefixed,
                absent="so there is nothing to clear",
                existing_only=self.settings.update_only,
            ),
        )
