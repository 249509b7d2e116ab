"""What Iterable's answers mean: errors, and the bulk response with its lists of names.

A bulk response (``UserBulkUpdateListResponse``) has counts and lists of identifiers, but no status
per row. The names are matched to the rows that were sent; the counts say whether the rows that no
list names can be trusted to have succeeded. The README explains the reading.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any, NoReturn

from connectors.iterable.settings import is_loopback
from reverse_etl.connector import (
    SUCCEEDED,
    Answer,
    Batch,
    Fatal,
    NoAnswer,
    Operation,
    Outcome,
    Response,
)

OK = range(200, 300)
REDIRECTS = range(300, 400)
SERVER_ERRORS = range(500, 600)
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, TIMED_OUT, TOO_LARGE, TOO_MANY = 401, 403, 404, 408, 413, 429

_MESSAGE_LENGTH_MAX = 200
_NAMES_SHOWN_MAX = 10
_COUNT_MAX = 2**31 - 1  # int32 in Iterable's API description
# Iterable has echoed the whole request, headers and key included, behind these words.
_ECHO = re.compile(r"\b(body|hdrs|headers)\s*:|api[-_]?key\s*[,:=]", re.IGNORECASE)
_INDEX = re.compile(r"(?:^|[.])(?:subscribers|users)\[([0-9]{1,9})\]")


# --- errors --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ApiError:
    """The error envelope ``{msg, code, params}`` (``IterableApiResponse``), or what is left of it.

    Attributes:
        status: HTTP status.
        code: Iterable's code, empty when the answer has none.
        message: Iterable's text, cut before anything it echoes.
        params: Details, or empty.
    """

    status: int
    code: str
    message: str
    params: Mapping[str, Any]

    def __str__(self) -> str:
        """Return one line for a log: status, code and text."""
        head = f"HTTP {self.status}" + (f" {self.code}" if self.code else "")
        return f"{head}: {self.message}" if self.message else head

    @property
    def is_unknown_list(self) -> bool:
        """Whether the list does not exist (sent with code ``Success`` or ``BadParams``)."""
        text = self.message.lower()
        return "invalidlistid" in text or "invalid email list id" in text


def read_error(response: Response) -> ApiError:
    """Read an error answer; never fails, never keeps what the API echoes."""
    data = response.json()
    if not isinstance(data, dict):
        return ApiError(response.status, "", "", {})
    code, message, params = data.get("code"), data.get("msg"), data.get("params")
    return ApiError(
        response.status,
        cut(code)[:60] if isinstance(code, str) else "",
        cut(message) if isinstance(message, str) else "",
        params if isinstance(params, dict) else {},
    )


def cut(message: str) -> str:
    """Return the message up to what it echoes, on one line."""
    echo = _ECHO.search(message)
    text = message[: echo.start()] if echo else message
    return " ".join(text.split())[:_MESSAGE_LENGTH_MAX].rstrip(" ,")


def raise_if_fatal(
    error: ApiError, host: str, list_id: str | None = None, destination: str = "DESTINATION"
) -> None:
    """Raise when the run must stop; return when the rows themselves are at fault.

    Args:
        error: The answer.
        host: Who gave it.
        list_id: The list that was written to.
        destination: Its name in the config.

    Raises:
        Fatal: See the codes below.
    """
    status = error.status
    if status in (UNAUTHORIZED, FORBIDDEN):
        _raise_unauthorized(error, host)
    if status in REDIRECTS:
        reason = (
            f"{host} answered with a redirect ({error}); Iterable's API never redirects."
            " Check base_url, and any proxy in between"
        )
        raise Fatal("redirected", reason)
    if status == NOT_FOUND:
        reason = (
            f"{host} does not know this address ({error}): check base_url, and that nothing"
            " rewrites the path in between"
        )
        raise Fatal("not_found_page", reason)
    if error.code == "UniqueFieldsLimitExceeded":
        _raise_field_limit(error)
    if error.is_unknown_list and status not in SERVER_ERRORS:
        reason = (
            f"Iterable knows no list {list_id or ''} in this project ({error}): was it deleted, or"
            " does the key belong to another project? `reverse-etl lists"
            f" {destination}` shows the lists there are. Name another one in the config, or run"
            " once with --full, which looks the list up again"
        )
        raise Fatal("unknown_list", reason)


def read_data(answer: Answer, host: str, what: str, destination: str) -> Mapping[str, Any]:
    """Return the JSON object of a successful answer; empty when it is none.

    Args:
        answer: To a request for something that the project has.
        host: Who was asked.
        what: What was asked for, for messages.
        destination: Its name in the config.

    Raises:
        Fatal: There is no such answer.
    """
    data = successful(answer, host, what, destination).json()
    return data if isinstance(data, dict) else {}


def successful(
    answer: Answer, host: str, what: str, destination: str, list_id: str | None = None
) -> Response:
    """Return a successful answer; the arguments are those of :func:`read_data`.

    Raises:
        Fatal: It is none.
    """
    if isinstance(answer, NoAnswer):
        reason = f"no answer from {host} when asked for {what}: {answer.reason}. Run again when it"
        raise Fatal("destination_unavailable", f"{reason} is back")
    if answer.status not in OK:
        error = read_error(answer)
        raise_if_fatal(error, host, list_id, destination)
        transient = answer.status in SERVER_ERRORS or answer.status in (TOO_MANY, TIMED_OUT)
        code = "destination_unavailable" if transient else "list_refused"
        hint = "Run again later" if transient else "Check base_url, and what Iterable says"
        raise Fatal(code, f"{host} refused to give {what} ({error}). {hint}")
    return answer


def _raise_unauthorized(error: ApiError, host: str) -> NoReturn:
    """Raise for a key that is wrong, or too weak: Iterable answers both with 401."""
    advice = (
        "Check that it was copied whole, that it is a server-side key with write access of this"
        f" very project, and that the data center is right (asked: {host}); a key works in one"
        " data center only"
    )
    if is_loopback(host):
        advice = (
            f"At {host} the stand-in that `reverse-etl sandbox` runs takes one key only, which it"
            " names when it starts"
        )
    raise Fatal("unauthorized", f"Iterable refused the API key ({error}). {advice}")


def _raise_field_limit(error: ApiError) -> NoReturn:
    """Raise for a project that has as many profile fields as it may."""
    new = error.params.get("newFields")
    names = shown(new) if isinstance(new, list) else "?"
    limit = shown([error.params.get("limit")])
    reason = (
        f"the project has no room for new profile fields (limit {limit}; new: {names})."
        " Map fewer fields, or ask Iterable to raise the limit; `reverse-etl check SYNC` counts"
        " them"
    )
    raise Fatal("field_limit", reason)


def named_offsets(error: ApiError, count: int) -> dict[int, str]:
    """Return the positions in the request that the error names, each with its path and reason.

    Args:
        error: E.g. with params ``{"obj.users[1].preferUserId": "Boolean value expected"}``.
        count: Records in the request; positions beyond are not believed.
    """
    named: dict[int, str] = {}
    for path, detail in error.params.items():
        found = _INDEX.search(path)
        if found and int(found[1]) < count:
            named.setdefault(int(found[1]), f"{cut(path)[:100]}: {_detail(detail)}")
    return named


def _detail(detail: Any) -> str:  # noqa: ANN401 - foreign JSON
    """Return the reason within ``params``: a text, or ``[{"msg": "error…", "args": []}]``."""
    while isinstance(detail, list) and detail:
        detail = detail[0]
        if isinstance(detail, dict):
            detail = detail.get("msg")
    return cut(detail)[:100] if isinstance(detail, str) else "refused"


def shown(names: Iterable[object]) -> str:
    """Return a few names for a message."""
    texts = [cut(str(name))[:100] for name in names]
    rest = len(texts) - _NAMES_SHOWN_MAX
    return ", ".join(texts[:_NAMES_SHOWN_MAX]) + (f" and {rest} more" if rest > 0 else "")


# --- outcomes ------------------------------------------------------------------------------

_BUCKETS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        f"{fault}{plural}": (fault, name)
        for fault in ("invalid", "notFound", "invalidData", "conflict", "forgotten")
        for plural, name in (("Emails", "email"), ("UserIds", "userId"))
    }
)
"""``FailedUserUpdates`` of Iterable's API description: key to (fault, kind of identifier)."""

_LEGACY: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"invalidEmails": ("failed", "email"), "invalidUserIds": ("failed", "userId")}
)
"""Deprecated top-level arrays: users that failed to update, whatever the reason was."""

_NO_OP: Mapping[str, tuple[str, str]] = MappingProxyType(
    {"noOpEmails": ("noOp", "email"), "noOpUserIds": ("noOp", "userId")}
)
"""Undocumented arrays, seen by RudderStack: people that ``updateOnly`` left alone."""

_UPSERT_FAULTS: Mapping[str, Outcome] = MappingProxyType(
    {
        "forgotten": Outcome("rejected", "forgotten", "forgotten at Iterable (GDPR)"),
        "invalid": Outcome("rejected", "invalid_identifier", "Iterable calls it malformed"),
        "invalidData": Outcome("rejected", "rejected", "Iterable refused a value of its fields"),
        "conflict": Outcome("rejected", "conflict", "its identifiers belong to other profiles"),
        "notFound": Outcome(
            "rejected", "not_found", "Iterable does not know this person", retryable=True
        ),
        "noOp": Outcome(
            "rejected",
            "not_found",
            "Iterable does not know this person, and was asked to create nobody (update_only,"
            " update_existing_users_only)",
            retryable=True,
        ),
        # Alone it was the answer to malformed addresses (recorded 2017).
        "failed": Outcome("rejected", "invalid_identifier", "Iterable calls it invalid"),
    }
)
"""In order of precedence, for a row that several buckets name: permanent before retryable, and
last the one that gives no reason."""

_ABSENT: Mapping[str, str] = MappingProxyType(
    {
        "forgotten": "forgotten at Iterable (GDPR)",
        "invalid": "malformed for Iterable",
        "notFound": "not known at Iterable",
        "noOp": "not known at Iterable",
    }
)
"""Why a delete has nothing left to do."""

_DELETE_FAULTS = ("invalidData", "conflict", *_ABSENT, "failed")
"""In order of precedence: what may still be there before what cannot be, and last the one that
gives no reason."""

_FAILED_DELETE = Outcome(
    "rejected", "rejected", "Iterable lists it as failed and gives no reason", retryable=True
)
"""A delete that only a deprecated array names: it may still be there."""

_FAULT_OF_CODE: Mapping[str, str] = MappingProxyType(
    {
        "UnknownEmailError": "notFound",
        "UnknownUserIdError": "notFound",
        "ForgottenUserError": "forgotten",
    }
)
"""Error codes that say of one person what a bucket says. Source: Iterable API description."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How the answers to the requests of one batch are read.

    Attributes:
        operation: Of the batch.
        hybrid: Whether the project is hybrid.
        absent: What follows when a person is not at the destination, for the reason of a delete
            that is done: ``so not on the list``.
        existing_only: Whether Iterable was asked to create nobody, so that people named in
            ``noOp…`` were left alone because it does not know them.
    """

    operation: Operation
    hybrid: bool
    absent: str
    existing_only: bool = False

    def outcome(self, faults: Container[str]) -> Outcome:
        """Return what became of a row that one or more buckets name."""
        is_delete = self.operation is Operation.DELETE
        fault = next(f for f in (_DELETE_FAULTS if is_delete else _UPSERT_FAULTS) if f in faults)
        if is_delete and fault in _ABSENT:
            return Outcome("succeeded", reason=f"{_ABSENT[fault]}, {self.absent}")
        if is_delete and fault == "failed":
            return _FAILED_DELETE
        outcome = _UPSERT_FAULTS[fault]
        if fault == "conflict" and self.hybrid:
            # Sent with both identifiers, they dissolve once the other person's change is through.
            return Outcome(outcome.status, outcome.code, outcome.reason, retryable=True)
        return outcome

    def refused(self, error: ApiError, detail: str = "") -> Outcome:
        """Return what became of a row that was refused alone, or named by the refusal."""
        fault = _FAULT_OF_CODE.get(error.code)
        return self.outcome((fault,)) if fault else rejected(f"{error} {detail}".rstrip())


def unknown(reason: str) -> Outcome:
    """Return the outcome of a change that was sent and not credibly answered."""
    return Outcome("unknown", "unknown", reason, retryable=True)


def unavailable(reason: str) -> Outcome:
    """Return the outcome of a change that the API could not take now."""
    return Outcome("rejected", "unavailable", reason, retryable=True)


def rejected(reason: str, *, retryable: bool = False) -> Outcome:
    """Return the outcome of a change that the API refused."""
    return Outcome("rejected", "rejected", reason, retryable)


class Roster:
    """Finds the rows of a batch by the identifiers in an answer.

    E-mail addresses are matched without regard to case (Iterable stores them in lower case), user
    ids exactly, and both against identity and alias.
    """

    def __init__(self, batch: Batch, identifier: str | None) -> None:
        """Take the batch; it is indexed when it is first needed.

        Args:
            batch: Identities and aliases.
            identifier: Kind of all identities, or None when they are written ``kind:value``.
        """
        self._batch = batch
        self._identifier = identifier

    @cached_property
    def _offsets(self) -> Mapping[tuple[str, str], Sequence[int]]:
        """Kind and folded value to offsets; made when an answer names somebody, which is rare."""
        offsets: dict[tuple[str, str], list[int]] = {}
        for offset, (identity, alias) in enumerate(
            zip(self._batch.identities, self._batch.aliases, strict=True)
        ):
            kind, value = (self._identifier, identity) if self._identifier else _split(identity)
            offsets.setdefault((kind, _folded(kind, value)), []).append(offset)
            if alias:
                offsets.setdefault(("email", _folded("email", alias)), []).append(offset)
        return offsets

    def find(self, kind: str, value: str) -> Sequence[int]:
        """Return the offsets that an identifier of the answer stands for; none when foreign."""
        return self._offsets.get((kind, _folded(kind, value)), ())


def _split(identity: str) -> tuple[str, str]:
    """Return kind and value of an identity written ``kind:value``."""
    kind, _, value = identity.partition(":")
    return kind, value


def _folded(kind: str, value: str) -> str:
    """Return the form in which two spellings of one identifier are equal."""
    return value.strip().lower() if kind == "email" else value


# --- the bulk response ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reading:
    """What a bulk response says about the rows of one request.

    Attributes:
        outcomes: One for each offset that was sent.
        warnings: For the log of the run.
    """

    outcomes: Mapping[int, Outcome]
    warnings: Sequence[str] = ()


@dataclass(slots=True)
class _Names:
    """The failures of an answer.

    Attributes:
        faults: Offset to the faults that name it.
        entries: Entries that name a row, repeats included.
        strays: Faults of entries that name no row of the request.
        vague: Offsets named under a key that this version does not know.
    """

    faults: dict[int, set[str]]
    entries: int
    strays: list[str]
    vague: set[int]


def read_bulk(response: Response, sent: Sequence[int], roster: Roster, terms: Terms) -> Reading:
    """Read the answer to a subscribe, unsubscribe or bulkUpdate request.

    Args:
        response: With a 2xx status.
        sent: Offsets within the batch that the request carried.
        roster: Of the batch.
        terms: Of the batch.
    """
    data = response.json()
    counts = _counts(data)
    if counts is None:
        error = read_error(response)
        reason = f"Iterable's answer has no counts ({error}), so nothing is known of its effect"
        return Reading(dict.fromkeys(sent, unknown(reason)))
    warnings = _field_warnings(data, terms.operation)
    names = _names(data, sent, roster, existing_only=terms.existing_only)
    if names is None:
        reason = "Iterable's answer lists failures in a form that this version cannot read"
        return Reading(dict.fromkeys(sent, unknown(reason)), warnings)
    outcomes = {offset: terms.outcome(faults) for offset, faults in names.faults.items()}
    unnamed = [offset for offset in sent if offset not in outcomes] if outcomes else sent
    outcomes.update(_unnamed_outcomes(unnamed, names, counts, terms))
    return Reading(outcomes, warnings)


def _counts(data: Any) -> tuple[int, int] | None:  # noqa: ANN401 - foreign JSON
    """Return (successCount, failCount), or None when they are not there."""
    if not isinstance(data, dict):
        return None
    success, fail = _count(data.get("successCount")), _count(data.get("failCount"))
    return None if success is None or fail is None else (success, fail)


def _count(value: Any) -> int | None:  # noqa: ANN401 - foreign JSON
    """Return a count, or None when it is none."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value <= _COUNT_MAX else None


def _names(
    data: Mapping[str, Any], sent: Sequence[int], roster: Roster, *, existing_only: bool
) -> _Names | None:
    """Collect the failures that the answer names; None when they cannot be read."""
    failed = data.get("failedUpdates") or {}
    if not isinstance(failed, dict):
        return None
    names = _Names({}, 0, [], set())
    within = sent if isinstance(sent, range) else frozenset(sent)
    buckets = {**_BUCKETS, **_NO_OP} if existing_only else _BUCKETS
    beside = {**_LEGACY, **_NO_OP} if existing_only else _LEGACY
    listed = [(buckets.get(key), values) for key, values in failed.items()]
    listed += [(bucket, data.get(key)) for key, bucket in beside.items()]
    for bucket, values in listed:
        if not values:
            continue
        if bucket is None:
            names.vague |= _vague(values, within, roster)
            continue
        if not isinstance(values, list):
            return None
        _collect(names, bucket, values, within, roster)
    return names


def _collect(
    names: _Names,
    bucket: tuple[str, str],
    values: Sequence[Any],
    sent: Container[int],
    roster: Roster,
) -> None:
    """Add the entries of one bucket, given as (fault, kind of identifier)."""
    fault, kind = bucket
    for value in values:
        found = [o for o in roster.find(kind, str(value)) if o in sent] if value else []
        for offset in found:
            names.faults.setdefault(offset, set()).add(fault)
        names.entries += bool(found)
        if not found:
            names.strays.append(fault)


def _vague(
    values: Any,  # noqa: ANN401 - foreign JSON
    sent: Container[int],
    roster: Roster,
) -> set[int]:
    """Return the rows named under an unknown key, whichever kind of identifier it holds."""
    texts = (
        [value for value in values if isinstance(value, str)] if isinstance(values, list) else []
    )
    return {
        offset
        for text in texts
        for kind in ("email", "userId")
        for offset in roster.find(kind, text)
        if offset in sent
    }


def _unnamed_outcomes(
    unnamed: Sequence[int], names: _Names, counts: tuple[int, int], terms: Terms
) -> dict[int, Outcome]:
    """Return the outcomes of the rows that no known bucket names."""
    success, fail = counts
    total = len(unnamed) + len(names.faults)
    if _add_up(success, fail, total, len(unnamed), names):
        return dict.fromkeys(unnamed, SUCCEEDED)
    if len(unnamed) == 1 and len(set(names.strays)) == 1 and success == 0:
        # E.g. a conflict, which names the profile that stood in the way: it can only be this row.
        outcome = terms.outcome(names.strays)
        if outcome.status != "succeeded":  # a delete is not done because somebody else is gone
            return {unnamed[0]: outcome}
    vague = names.vague - names.faults.keys()
    nobody = success == fail == 0 and not (names.entries or names.strays or names.vague)
    if nobody and terms.existing_only and terms.operation is not Operation.DELETE:
        return dict.fromkeys(unnamed, terms.outcome(("noOp",)))
    covered = fail <= names.entries + len(names.vague)
    if not names.strays and covered and 0 < len(unnamed) - success == len(vague):
        trusted = dict.fromkeys(unnamed, SUCCEEDED)
        reason = "Iterable lists it as failed, for a reason that this version does not know"
        return trusted | dict.fromkeys(vague, unknown(reason))
    reason = (
        f"Iterable's counts do not add up: {total} sent, {success} succeeded, {fail} failed,"
        f" {len(names.faults)} of them named"
    )
    return dict.fromkeys(unnamed, unknown(reason))


def _add_up(success: int, fail: int, total: int, unnamed: int, names: _Names) -> bool:
    """Whether the counts prove that every row without a name succeeded.

    ``failCount`` may leave out or repeat what the lists name (whether notFound counts is not
    documented), so it must not exceed the entries; ``successCount`` must cover all unnamed rows.
    With an entry that fits no row there is no such leeway.
    """
    if names.strays:
        return success == unnamed and fail == len(names.faults)
    return unnamed <= success <= total and fail <= names.entries


def _field_warnings(data: Mapping[str, Any], operation: Operation) -> list[str]:
    """Return warnings about profile fields that were dropped or created for all rows at once."""
    warnings = []
    dropped, created = data.get("filteredOutFields"), data.get("createdFields")
    # A field that the project does not have needs no clearing.
    if isinstance(dropped, list) and dropped and operation is not Operation.DELETE:
        warnings.append(
            f"Iterable dropped values of profile fields it does not have: {_sorted(dropped)}."
            " Create them there, or let Iterable add unrecognized fields (a setting of the"
            " project; for object: user also create_new_fields: true)"
        )
    if isinstance(created, list) and created:
        warnings.append(f"Iterable created profile fields: {_sorted(created)}")
    return warnings


def _sorted(names: Sequence[Any]) -> str:
    """Return names for a message that is the same whatever order they came in."""
    return shown(sorted(map(str, names)))
