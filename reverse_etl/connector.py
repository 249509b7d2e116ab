"""The connector contract: what code for one kind of destination must offer.

A connector does no I/O. Whatever needs the network is a *conversation*: a generator that
yields :class:`Request` values, is sent an :class:`Answer` for each, and returns a result.
The engine owns sockets, time, pacing, retries and logs. It repeats a request that got no
answer or a transient one (:meth:`DestinationObject.is_transient`) for ``retry_seconds`` and
hands the conversation the last answer. So a connector is tested with values in and values
out, and the same code runs under the simulator.

A conversation ends the whole run by raising :class:`Fatal`.

Connectors are found through the entry-point group ``reverse_etl.connectors``; the name of the
entry point is the ``type:`` of a destination in the config, its value a :class:`Connector`
class. Importing the class must stay cheap (no pyarrow): the config is validated with it.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

if TYPE_CHECKING:
    from types import ModuleType

    import pyarrow as pa

    from reverse_etl.error_codes import ErrorCode


class Operation(StrEnum):
    """What a change does to one identity at the destination."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"


# --- what travels over the wire ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, relative to the account's base URL.

    Attributes:
        method: HTTP method, upper case.
        path: Absolute path, already percent-encoded, without a query.
        endpoint: Name of the rate-limit bucket, a key of :attr:`Limits.requests_per_second`.
        body: JSON as bytes, or None.
        query: Query parameters.
        changes: Offsets within the batch of the changes that the request carries; None means
            all of them. Read for the ``attempts`` of the sync log.
        repeatable: Whether sending it twice is the same as once. The engine repeats such a
            request by itself; after any other it hands the conversation the doubtful answer.
        spool: Whether the body of a successful answer goes to a file instead of memory: for
            answers that grow with what the destination holds, such as the members of a list.
    """

    method: str
    path: str
    endpoint: str
    body: bytes | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    changes: Sequence[int] | None = None
    repeatable: bool = True
    spool: bool = False


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP response, whole, with its size capped and secrets redacted by the engine.

    Attributes:
        status: HTTP status code.
        body: The body; text or JSON is the reader's to find out.
        headers: Header names in lower case.
        spooled: The file that holds the body instead, after a 2xx answer to a request with
            ``spool``. It lives until the transport is closed.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    spooled: Path | None = None

    def json(self) -> Any:  # noqa: ANN401 - the shape of a foreign answer is unknown
        """Return the decoded body, or None when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:  # covers UnicodeDecodeError and JSONDecodeError
            return None
        except RecursionError:
            return None

    def text(self, limit: int = 300) -> str:
        """Return at most ``limit`` characters of the body, on one line, for a message."""
        return " ".join(self.body[: limit * 4].decode("utf-8", "replace").split())[:limit]


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The request got no response that can be trusted.

    Attributes:
        reason: What happened, one line without secrets: ``timed out after 30 s``.
        maybe_applied: False only when the request certainly never left (refused connection).
    """

    reason: str
    maybe_applied: bool = True


Answer = Response | NoAnswer


class Fatal(Exception):  # noqa: N818 - named for what happens next
    """The run must stop: the account, the target or a project limit is wrong.

    Attributes:
        code: Stable snake_case name, e.g. ``unauthorized``, ``unknown_list``.
    """

    def __init__(self, code: str, reason: str) -> None:
        """Say what is wrong and the next step; never with a secret."""
        super().__init__(reason)
        self.code = code


# --- what became of a change ---------------------------------------------------------------

OutcomeStatus = Literal["succeeded", "invalid", "rejected", "unknown"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one change.

    Attributes:
        status: ``succeeded``; ``invalid`` (we refused it, nothing was sent); ``rejected`` (the
            API refused it); ``unknown`` (sent, no trustworthy answer).
        code: Stable snake_case name; None for a plain success.
        reason: One line for a person; may hold identifiers, never a secret.
        retryable: Whether the same change may succeed later. ``unknown`` is always tried again.
    """

    status: OutcomeStatus
    code: str | None = None
    reason: str | None = None
    retryable: bool = False


SUCCEEDED = Outcome("succeeded")


@dataclass(frozen=True, slots=True)
class Delivered:
    """The result of a delivery: one outcome per change, in batch order."""

    outcomes: Sequence[Outcome]
    warnings: Sequence[str] = ()


# --- what is delivered ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identifier:
    """How a destination identifier is normalised and recognised, as data for SQL and Arrow.

    Attributes:
        name: The name in the config's ``identifiers``, e.g. ``email``.
        pattern: Regular expression of a usable value after normalising, in the common subset
            of RE2, PostgreSQL and Python (anchors, classes, counts; no look-around).
        max_length: Characters.
        expected: What a usable value looks like, for messages: ``an e-mail address``.
        trim: Whether surrounding white space is removed first.
        lower: Whether A-Z is folded to a-z (only these: other letters have traps).
        plain: Regular expression of printable ASCII values that are usable without trimming,
            so that an engine can decide most values by one match. Must imply ``pattern``.
    """

    name: str
    pattern: str
    max_length: int
    expected: str
    trim: bool = False
    lower: bool = False
    plain: str | None = None


@dataclass(frozen=True, slots=True)
class MappedField:
    """A destination field and where its value comes from.

    Attributes:
        name: Destination field.
        column: Warehouse column, or None for a constant.
        constant: The value when ``column`` is None.
        type: Wanted destination type, or None to follow the column.
        null: What a NULL does: ``skip`` leaves the field out, ``clear`` sends null.
    """

    name: str
    column: str | None = None
    constant: Any = None
    type: str | None = None
    null: Literal["skip", "clear"] = "skip"


@dataclass(frozen=True, slots=True)
class FieldMapping:
    """The mapping of a sync as a connector sees it.

    Attributes:
        identifiers: Identifier name to warehouse column.
        fields: Profile fields, in config order.
    """

    identifiers: Mapping[str, str]
    fields: Sequence[MappedField] = ()


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may carry and how often it may be sent.

    Attributes:
        records_per_request: Changes.
        bytes_per_request: Encoded body.
        requests_per_second: Endpoint name to rate; 0 means no limit.
    """

    records_per_request: int
    bytes_per_request: int
    requests_per_second: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Target:
    """What a sync writes to within the account: a list, or the whole project.

    Attributes:
        id: The destination's own id as text; empty where the object needs none.
        name: Its name, when it is known by name.
        just_created: Whether we made it so recently that the API may not know it yet.
    """

    id: str
    name: str | None = None
    just_created: bool = False


@dataclass(frozen=True, slots=True)
class TargetInfo:
    """One target of an account, as ``reverse-etl lists`` shows it.

    Attributes:
        id: The destination's own id as text.
        name: Its name.
        kind: The destination's word for its type, e.g. ``Standard``.
        description: Free text, or None.
        created_at: When it was made, in UTC without time zone, or None.
        writable: Whether a sync could keep it.
    """

    id: str
    name: str
    kind: str
    description: str | None = None
    created_at: datetime | None = None
    writable: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of what ``reverse-etl check`` found out.

    Attributes:
        subject: What was looked at, two or three words: ``api key``, ``list``, ``fields``.
        verdict: ``ok``; ``warning``: works, but look at it; ``failed``: a run would not work;
            ``unproven``: could not be found out without writing.
        text: One sentence, with the next step where there is one; never a secret.
    """

    subject: str
    verdict: Literal["ok", "warning", "failed", "unproven"]
    text: str


@dataclass(frozen=True, slots=True)
class Drift:
    """How one profile at the destination differs from what was delivered.

    Attributes:
        kind: ``missing``: there is no such profile; ``different``: values differ.
        reason: One line for a person: which fields, ours and theirs, cut short.
    """

    kind: Literal["missing", "different"]
    reason: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """Records ready to be put into requests, column by column; all lists are equally long.

    Columns of Arrow need not become lists: see :class:`reverse_etl.columns.Values`, and for the
    bodies :class:`reverse_etl.columns.Records`.

    Attributes:
        bodies: Encoded JSON of each record; ``b""`` where the change needs no request.
        identities: Identity of each change.
        aliases: The second identifier that is sent along, or None.
        outcomes: Offset to outcome for the changes that must not be sent, or (a success with a
            reason) that carry a remark into the log when they succeed.
    """

    bodies: Sequence[bytes]
    identities: Sequence[str]
    aliases: Sequence[str | None]
    outcomes: Mapping[int, Outcome]


@dataclass(frozen=True, slots=True)
class Batch:
    """The changes of one request: all of one operation, never empty."""

    operation: Operation
    target: Target
    bodies: Sequence[bytes]
    identities: Sequence[str]
    aliases: Sequence[str | None]

    def __len__(self) -> int:
        """Return the number of changes."""
        return len(self.bodies)


# --- settings ------------------------------------------------------------------------------


class AccountSettings(BaseModel):
    """Keys that every destination of the config has; a connector subclasses it.

    A ``requests_per_second`` of None means the connector's default for each endpoint.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    type: str = Field(description="The connector.")
    api_key: SecretStr | None = Field(
        default=None,
        description="A secret: from the environment; or write api_key_file instead.",
    )
    api_key_file: Path | None = Field(
        default=None,
        description="A file that holds the key, as Docker and Kubernetes mount them; relative to "
        "this one.",
    )
    base_url: str | None = Field(
        default=None,
        description="Where requests go instead, such as the local sandbox. Plain http is accepted "
        "for loopback only.",
    )
    requests_per_second: float | None = Field(
        default=None,
        ge=0,
        description="0 is no limit. Default: what the API allows, per endpoint.",
    )
    max_in_flight: int = Field(
        default=4, ge=1, le=64, description="Requests on the wire at the same time."
    )
    records_per_request: int = Field(
        default=1000, ge=1, le=10_000, description="Changes in one request."
    )
    bytes_per_request: int = Field(
        default=4_000_000, ge=1_000, le=100_000_000, description="Size of one request."
    )
    request_timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        le=600,
        description="Must be less than engine.lease_seconds. Default: 30, or two thirds of the "
        "lease if that is less.",
    )
    retry_seconds: float = Field(
        default=60, ge=0, le=86_400, description="How long one batch is tried within a run."
    )

    def url(self) -> str:
        """Return the base URL of all requests, without a trailing slash."""
        raise NotImplementedError

    def headers(self) -> Mapping[str, str]:
        """Return the headers that carry the secret."""
        raise NotImplementedError


class DestinationSettings(BaseModel):
    """Keys under ``destination:`` of a sync; a connector subclasses it for each object."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    name: str = Field(description="A destination of this file.")
    object: str = Field(description="What is kept equal to the query.")

    def whole(self) -> tuple[str, str] | None:
        """Return what a sync keeps equal to its query as a whole, to find two that do.

        Returns:
            The key that names it, and its name there; None where several syncs may write to the
            same object without taking away what another one wrote.
        """
        return None


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of the settings that only the connector can see.

    Attributes:
        path: Keys from the sync (``("destination", "list")``) to the faulty value.
        message: What is wrong and what to write instead.
    """

    path: tuple[str, ...]
    message: str


# --- the contract itself -------------------------------------------------------------------

TRANSIENT_STATUSES = frozenset({429, 500, 502, 503, 504})


class DestinationObject(ABC):
    """One object (list, user) of one account, bound to the mapping of one sync.

    Attributes:
        identifiers: In order of precedence: the first one that a row has is its identity.
        prefixed: Whether an identity is written ``name:value`` (more than one identifier kind).
        sends_alias: Whether the second identifier is sent along with the first.
        deletes: Whether a person who left can be removed (or cleared) at all.
        clears_fields: Whether a delete clears the fields that were sent, and removes nobody:
            then the engine remembers which were sent and hands them to :meth:`prepare`.
        whole_seconds: Whether times are sent cut to seconds, so that less is no change.
        audits: What :meth:`read_members` (``members``) or :meth:`compare_profiles`
            (``profiles``) can be asked for; None when the object offers no audit.
        limits: See :class:`Limits`.
        host: Host name of the account, part of what makes it *this* account.
        kind: Project type or the like, part of what makes it *this* account.
        target: The configured target, by id or by name (the other one is empty or None).
    """

    identifiers: tuple[Identifier, ...]
    prefixed: bool
    sends_alias: bool
    deletes: bool
    clears_fields: bool = False
    whole_seconds: bool = False
    audits: Literal["members", "profiles"] | None = None
    limits: Limits
    host: str
    kind: str
    target: Target

    @abstractmethod
    def find_target(self) -> Generator[Request, Answer, Target]:
        """Find the target, or make it where the config says so. Idempotent."""

    @abstractmethod
    def prepare(self, operation: Operation, changes: pa.RecordBatch) -> Prepared:
        """Validate and encode changes, vectorised; pure, and called from a thread of its own.

        Args:
            operation: The kind of all the changes.
            changes: Columns ``_identity`` (text), ``_alias`` (text, may be NULL) and the mapped
                columns, those of identifiers only where there are two. A column's Arrow field
                metadata may hold ``kind``: ``json`` or ``number`` says how its text is to be
                read. With :attr:`clears_fields` also
                ``_fields``: for a delete the destination fields to clear, as one or more JSON
                arrays of names, each on a line of its own; names may repeat.
        """

    @abstractmethod
    def deliver(self, batch: Batch) -> Generator[Request, Answer, Delivered]:
        """Send the batch; return one outcome per change. Re-sending changes nothing."""

    def is_transient(self, batch: Batch | None, response: Response) -> bool:
        """Whether the same request may succeed a little later."""
        del batch
        return response.status in TRANSIENT_STATUSES

    def inspect(
        self, columns: pa.Schema, known: Target | None
    ) -> Generator[Request, Answer, Sequence[Finding]]:
        """Look, without changing anything, whether a run would work.

        The conversation is also told when the destination gives no usable answer. Its endpoints
        are those of :meth:`Connector.limits`.

        Args:
            columns: The mapped columns, with the metadata described at :meth:`prepare`; none
                of them while the query cannot be asked.
            known: The target as an earlier run found it, which a run goes on writing to; None
                when a run would look for it.
        """
        del columns, known
        yield from ()
        return ()

    def read_members(self, target: Target) -> Generator[Request, Answer, Sequence[Path]]:
        """Ask who is in the target; return the spooled answers (``audits`` is ``members``).

        Returns:
            One answer for each of :attr:`identifiers`, in their order. Each shows every member
            once: by that identifier if they have it, else by another one.
        """
        raise NotImplementedError

    def parse_members(self, lines: Iterator[bytes]) -> Iterator[pa.RecordBatch]:
        """Read a spooled answer; pure.

        Args:
            lines: The lines of one answer, in order.

        Returns:
            Record batches with one text column for each of :attr:`identifiers`, named like it:
            what the line is as that identifier, normalised, or NULL when it cannot be one.
        """
        raise NotImplementedError

    def compare_profiles(
        self, prepared: Prepared
    ) -> Generator[Request, Answer, Sequence[Drift | None]]:
        """Read the profiles of prepared upserts; return how each differs, or None.

        ``audits`` is ``profiles``.
        """
        raise NotImplementedError


class Connector(ABC):
    """The code for one kind of destination.

    Attributes:
        api_version: Version of this contract the connector was written for.
        account: Model of a destination in the config.
        objects: Object name to the model of ``destination:`` in a sync.
        error_codes: What its own codes of :class:`Outcome` and :class:`Fatal` mean, for
            ``reverse-etl explain-error``; those of the contract are in ``error_codes.py``.
        sandbox_module: Import path of a local stand-in for the API, or None. The module offers
            ``serve(argv: Sequence[str]) -> int`` and ``Sandbox`` (see the Iterable one).
    """

    api_version: ClassVar[int] = 1
    account: ClassVar[type[AccountSettings]]
    objects: ClassVar[Mapping[str, type[DestinationSettings]]]
    error_codes: ClassVar[Sequence[ErrorCode]] = ()
    sandbox_module: ClassVar[str | None] = None

    @abstractmethod
    def check(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> list[Problem]:
        """Return what is wrong with the settings taken together; offline."""

    @abstractmethod
    def bind(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> DestinationObject:
        """Return the object a sync writes to. May import pyarrow."""

    def limits(self, account: AccountSettings) -> Limits:
        """Return the limits of an account, whatever the object.

        Left out where neither targets are listed nor an object can be audited.
        """
        raise NotImplementedError

    def list_targets(
        self, account: AccountSettings
    ) -> Generator[Request, Answer, Sequence[TargetInfo]]:
        """Ask for everything that a sync of this account could write to, the newest first.

        Left out where there is nothing to choose from.
        """
        raise NotImplementedError

    def sandbox(self) -> ModuleType | None:
        """Import and return the sandbox module, or None."""
        import importlib  # noqa: PLC0415 - only the sandbox and demo commands need it

        return importlib.import_module(self.sandbox_module) if self.sandbox_module else None
