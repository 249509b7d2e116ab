"""What the list and the user object share: changes that are about people.

Both write people as Iterable's ``OptionalApiUser`` (identifiers, ``dataFields``, flags), send them
in one bulk call for each batch, and read the same bulk response.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from connectors.iterable import records
from connectors.iterable.identifiers import (
    BY_NAME,
    People,
    left_out,
    read_mixed_people,
    read_people,
)
from connectors.iterable.json_text import Pieces, joined
from connectors.iterable.limits import limits_of
from connectors.iterable.sending import Call, send
from connectors.iterable.settings import (
    IterableAccount,
    ListSettings,
    UserSettings,
    identifiers_of,
)
from reverse_etl.columns import Records, Values, replaced
from reverse_etl.connector import (
    Answer,
    Batch,
    Delivered,
    DestinationObject,
    FieldMapping,
    Operation,
    Outcome,
    Prepared,
    Request,
)
from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


class PeopleObject(DestinationObject):
    """An object of one project whose changes are about people, bound to a sync.

    Attributes:
        account: The project.
        mapping: Of the sync.
        endpoints: The calls that its runs make, as named in ``limits``.
    """

    endpoints: ClassVar[Sequence[str]]
    whole_seconds = True

    def __init__(
        self,
        account: IterableAccount,
        settings: ListSettings | UserSettings,
        mapping: FieldMapping,
        *,
        merge: bool = False,
        flags: str = "",
    ) -> None:
        """Bind; the settings are taken as checked.

        Args:
            account: The project.
            settings: Of the sync.
            mapping: Of the sync.
            merge: See :class:`records.ProfileFields`.
            flags: See :class:`records.ProfileFields`.

        Raises:
            ConfigError: A constant of the mapping cannot be sent.
        """
        self.account = account
        self.mapping = mapping
        names = identifiers_of(account.project_type, settings.object)
        self.identifiers = tuple(BY_NAME[name] for name in names if name in mapping.identifiers)
        self.prefixed = account.project_type == "hybrid"
        self.sends_alias = self.prefixed and account.hybrid_send == "both"
        self.limits = limits_of(account, self.endpoints)
        self.host = account.host()
        self.kind = account.project_type
        try:
            self._fields = records.ProfileFields(mapping.fields, merge=merge, flags=flags)
        except ValueError as error:
            raise ConfigError([str(error)]) from error

    def prepare(self, operation: Operation, changes: pa.RecordBatch) -> Prepared:
        """Validate identifiers and values; encode one person per change."""
        people = self._people(operation, changes)
        if operation is Operation.DELETE:
            return self._prepare_deletes(people, changes)
        outcomes = {o: Outcome("succeeded", "alias_left_out", r) for o, r in people.remarks.items()}
        fields, faults = self._fields.encode(changes)
        for offset, reason in faults.items():
            outcomes[offset] = Outcome("invalid", "invalid_value", reason)
        for offset, reason in people.faults.items():
            outcomes[offset] = Outcome("invalid", "invalid_identifier", reason)
        return ready(people, fields, changes, outcomes, unsent=faults)

    def _people(self, operation: Operation, changes: pa.RecordBatch) -> People:
        """Read who the changes are about; a delete carries the identity alone."""
        identities = changes.column("_identity")
        if not self.prefixed:
            return read_people(identities, self.identifiers[0].name)
        if operation is Operation.DELETE:
            return read_mixed_people(identities, None)
        aliases = changes.column("_alias") if self.sends_alias else None
        people = read_mixed_people(identities, aliases)
        for offset, reason in left_out(identities, aliases, self._given(changes)).items():
            people.remarks.setdefault(offset, reason)
        return people

    def _given(self, changes: pa.RecordBatch) -> dict[str, pa.Array]:
        """Return the identifiers as the rows hold them, before SQL normalised them."""
        held = {name.casefold(): name for name in changes.schema.names}
        return {
            name: changes.column(held[column.casefold()])
            for name, column in self.mapping.identifiers.items()
            if column.casefold() in held
        }

    @property
    def _identifier(self) -> str | None:
        """The kind of all identities, or None when they are written ``kind:value``."""
        return None if self.prefixed else self.identifiers[0].name

    @abstractmethod
    def _prepare_deletes(self, people: People, changes: pa.RecordBatch) -> Prepared:
        """Encode deletes."""

    def deliver(self, batch: Batch) -> Generator[Request, Answer, Delivered]:
        """Send the people of the batch."""
        return send(batch, self._call(batch))

    @abstractmethod
    def _call(self, batch: Batch) -> Call:
        """Return the endpoint and the JSON around the records."""


def ready(
    people: People,
    fields: Pieces,
    changes: pa.RecordBatch,
    outcomes: Mapping[int, Outcome],
    *,
    unsent: Iterable[int] = (),
) -> Prepared:
    """Return complete records.

    Args:
        people: Who the changes are about.
        fields: What follows the identifiers in each record.
        changes: The changes.
        outcomes: What is known of them already.
        unsent: Offsets of changes that are not sent, beside those without an identifier.
    """
    bodies = joined([people.heads, *fields, "},"])
    bodies = replaced(bodies, dict.fromkeys([*people.faults, *unsent], ""))
    return Prepared(
        Records.of(bodies),
        Values(changes.column("_identity")),
        Values(people.aliases),
        outcomes,
    )


def unsendable(people: People, absent: str) -> dict[int, Outcome]:
    """Return the outcomes of deletes that need no request: such a person was never sent.

    Args:
        people: Of the deletes.
        absent: What follows, e.g. ``so it is on no list``.
    """
    return {
        offset: Outcome("succeeded", reason=f"nothing was sent: {reason}, {absent}")
        for offset, reason in people.faults.items()
    }
