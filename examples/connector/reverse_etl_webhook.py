"""A webhook as a destination of reverse-etl: people are posted, in batches, to an endpoint.

The endpoint takes ``POST /people`` with one of two bodies::

    {"upsert": [{"email": "ada@example.com", "plan": "gold"}]}
    {"remove": [{"email": "ada@example.com"}]}

and says how many it took, and by position whom it refused::

    {"accepted": 0, "refused": [{"index": 0, "reason": "there is no plan gold"}]}

To upsert or to remove somebody twice is the same as once. Nothing heavy is imported here: the whole
config is validated with these models.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from datetime import date
from ipaddress import ip_address
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ValidationError, field_validator

from reverse_etl.connector import (
    SUCCEEDED,
    AccountSettings,
    Answer,
    Batch,
    Connector,
    Delivered,
    DestinationObject,
    DestinationSettings,
    Fatal,
    FieldMapping,
    Identifier,
    Limits,
    MappedField,
    NoAnswer,
    Operation,
    Outcome,
    Prepared,
    Problem,
    Request,
    Response,
    Target,
)
from reverse_etl.error_codes import ErrorCode
from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

ENDPOINT = "people"
REQUESTS_PER_SECOND = 10.0

EMAIL = Identifier(
    name="email",
    pattern=r"^[^@\s]+@[^@\s]+[.][^@\s]+$",
    max_length=254,
    expected="an e-mail address",
    trim=True,
    lower=True,
)

_BASE_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?(/[\w./~%-]*)?",
    re.ASCII,
)
_LONGEST_REASON = 300
_REDIRECT, _TOO_MANY, _SERVER_ERROR = 300, 429, 500
_NOT_ALLOWED = (401, 403)


# --- the config ----------------------------------------------------------------------------


class WebhookAccount(AccountSettings):
    """An endpoint: ``base_url``, which may have a path, and ``api_key``, sent as a bearer token."""

    base_url: str

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, url: str) -> str:
        """Refuse to send a key, and people, in clear text over a network."""
        found = _BASE_URL.fullmatch(url)
        if found is None:
            raise ValueError("must be https://host[:port][/path] and nothing else")
        if found["scheme"] == "http" and not _is_loopback(found["host"].strip("[]")):
            raise ValueError("must be an https URL (plain http is accepted for loopback only)")
        return url.rstrip("/")

    def url(self) -> str:
        """Return the base URL of all requests, without a trailing slash."""
        return self.base_url

    def headers(self) -> Mapping[str, str]:
        """Return the header that carries the key.

        Raises:
            ConfigError: There is no key.
        """
        if self.api_key is None:
            raise ConfigError(["the endpoint has to know who sends: write api_key"])
        return {"Authorization": f"Bearer {self.api_key.get_secret_value()}"}


def _is_loopback(host: str) -> bool:
    """Whether the host is this machine."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class PeopleSettings(DestinationSettings):
    """``destination:`` of a sync; it has no keys of its own."""

    object: Literal["people"]


# --- the object ----------------------------------------------------------------------------


class People(DestinationObject):
    """The people of one endpoint, bound to the mapping of one sync."""

    identifiers = (EMAIL,)
    prefixed = False
    sends_alias = False
    deletes = True
    kind = "webhook"
    target = Target("")

    def __init__(self, account: WebhookAccount, mapping: FieldMapping) -> None:
        """Bind; the settings are taken as checked."""
        # Two paths of one host are two accounts.
        self.host = account.url().partition("://")[2]
        rate = account.requests_per_second
        self.limits = Limits(
            account.records_per_request,
            account.bytes_per_request,
            {ENDPOINT: REQUESTS_PER_SECOND if rate is None else rate},
        )
        self._fields = mapping.fields

    def find_target(self) -> Generator[Request, Answer, Target]:
        """Return the endpoint itself; there is nothing to look up."""
        yield from ()
        return self.target

    def prepare(self, operation: Operation, changes: pa.RecordBatch) -> Prepared:
        """Validate and encode the changes, one after the other."""
        is_delete = operation is Operation.DELETE
        fields = () if is_delete else self._fields
        # Of these columns the text is JSON: nested values, and numbers with all their digits.
        as_json = {each.name for each in changes.schema if (each.metadata or {}).get(b"kind")}
        bodies: list[bytes] = []
        outcomes: dict[int, Outcome] = {}
        for offset, row in enumerate(changes.to_pylist()):
            body, fault = _encoded(row, fields, as_json)
            bodies.append(body)
            if fault is not None:
                # Nobody was ever sent under what cannot be sent, so there is nobody to remove.
                gone = Outcome("succeeded", reason=f"nothing was sent: {fault.reason}")
                outcomes[offset] = gone if is_delete else fault
        identities = changes.column("_identity").to_pylist()
        return Prepared(bodies, identities, [None] * len(identities), outcomes)

    def deliver(self, batch: Batch) -> Generator[Request, Answer, Delivered]:
        """Send the batch in one request.

        Raises:
            Fatal: The endpoint does not take requests of ours.
        """
        word = b"remove" if batch.operation is Operation.DELETE else b"upsert"
        body = b'{"%b":[%b]}' % (word, b",".join(batch.bodies))
        answer = yield Request("POST", "/people", ENDPOINT, body)
        return Delivered(_outcomes(answer, len(batch), self.host))


def _encoded(
    row: Mapping[str, Any], fields: Collection[MappedField], as_json: Collection[str]
) -> tuple[bytes, Outcome | None]:
    """Return a change as JSON, or nothing and why it cannot be sent."""
    identity = row["_identity"]
    if not re.fullmatch(EMAIL.pattern, identity):
        return b"", Outcome("invalid", "invalid_identifier", f"it is not {EMAIL.expected}")
    members = {"email": json.dumps(identity)}
    for field in fields:
        value = row[field.column] if field.column else field.constant
        if value is None and field.null == "skip":
            continue
        try:
            members[field.name] = _json(value, is_json=field.column in as_json)
        except (RecursionError, TypeError, ValueError) as error:
            reason = f"field {field.name!r}: {error}"
            return b"", Outcome("invalid", "invalid_value", reason)
    texts = (f"{json.dumps(name)}:{text}" for name, text in members.items())
    return f"{{{','.join(texts)}}}".encode(), None


def _json(value: Any, *, is_json: bool) -> str:  # noqa: ANN401 - whatever a warehouse holds
    """Return a value as JSON.

    Raises:
        TypeError: It is of a type that JSON has no words for.
        ValueError: It is NaN or infinite, or no JSON although it says so.
    """
    if is_json and value is not None:
        value = json.loads(value)
    return json.dumps(value, default=_time, allow_nan=False)


def _time(value: object) -> str:
    """Return a date or a time as text.

    Raises:
        TypeError: It is neither.
    """
    if isinstance(value, date):  # a datetime is one
        return value.isoformat()
    raise TypeError(f"a value of type {type(value).__name__} cannot be sent; cast it in SQL")


# --- answers -------------------------------------------------------------------------------


class _Refused(BaseModel, strict=True):
    index: int
    reason: str


class _Said(BaseModel, strict=True):
    """What the endpoint says of a batch."""

    accepted: int
    refused: list[_Refused]

    def outcomes(self, count: int) -> list[Outcome] | None:
        """Return one outcome for each change, or None when the answer does not add up."""
        places = {each.index for each in self.refused}
        adds_up = places <= set(range(count)) and len(places) == len(self.refused)
        if not adds_up or self.accepted + len(places) != count:
            return None
        outcomes = [SUCCEEDED] * count
        for each in self.refused:
            outcomes[each.index] = Outcome("rejected", "rejected", _one_line(each.reason))
        return outcomes


def _outcomes(answer: Answer, count: int, host: str) -> list[Outcome]:
    """Return what became of each change of a batch.

    Raises:
        Fatal: The endpoint does not take requests of ours; nobody in the batch is to blame.
    """
    if isinstance(answer, NoAnswer):
        return [_unknown(f"no answer: {answer.reason}")] * count
    if answer.status == _TOO_MANY or answer.status >= _SERVER_ERROR:
        reason = f"the endpoint is not available (HTTP {answer.status})"
        return [Outcome("rejected", "unavailable", reason, retryable=True)] * count
    if answer.status >= _REDIRECT:
        raise _refusal(answer, host)
    try:
        outcomes = _Said.model_validate_json(answer.body).outcomes(count)
    except ValidationError:
        outcomes = None
    return outcomes or [_unknown(f"HTTP {answer.status} without an answer to each change")] * count


def _refusal(answer: Response, host: str) -> Fatal:
    said = f"{host} answered with HTTP {answer.status}: {answer.text() or 'nothing more'}"
    if answer.status in _NOT_ALLOWED:
        return Fatal("unauthorized", f"{said}. Check api_key")
    return Fatal("destination_error", f"{said}. Check base_url, and the limits of a request")


def _unknown(reason: str) -> Outcome:
    return Outcome("unknown", "unknown", reason, retryable=True)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_REASON] or "refused without a reason"


# --- the connector -------------------------------------------------------------------------


class WebhookConnector(Connector):
    """The connector of type ``webhook``."""

    account: ClassVar[type[AccountSettings]] = WebhookAccount
    objects: ClassVar[Mapping[str, type[DestinationSettings]]] = MappingProxyType(
        {"people": PeopleSettings}
    )
    error_codes: ClassVar[Sequence[ErrorCode]] = (
        ErrorCode(
            "unauthorized",
            ("run", "command"),
            "The endpoint refused the key.",
            "Set `api_key` to one that the endpoint knows.",
            "Nobody is marked failed; what is not confirmed stays planned for the next run.",
        ),
    )

    def check(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> list[Problem]:
        """Return what is wrong with the mapping; offline."""
        del account, settings, mode
        return [*_problems(mapping)]

    def bind(
        self,
        account: AccountSettings,
        settings: DestinationSettings,
        mapping: FieldMapping,
        mode: str,
    ) -> DestinationObject:
        """Return the people of the endpoint.

        Raises:
            TypeError: The account was made for another connector.
        """
        del settings, mode
        if not isinstance(account, WebhookAccount):
            raise TypeError(f"expected WebhookAccount, got {type(account).__name__}")
        return People(account, mapping)


def _problems(mapping: FieldMapping) -> Iterator[Problem]:
    """Yield identifiers and fields that the endpoint has no place for."""
    for name in mapping.identifiers:
        if name != EMAIL.name:
            yield Problem(("identifiers", name), "people are found by email: map identifiers.email")
    for field in mapping.fields:
        if field.name == EMAIL.name:
            yield Problem(("fields", field.name), "it finds the person: map it under identifiers")
        if field.type is not None:
            message = "a webhook has no types of its own: cast the column in SQL"
            yield Problem(("fields", field.name, "type"), message)
