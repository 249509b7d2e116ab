"""What the destination really holds: the members of a list, and single profiles.

The members come as text, one identifier on a line (``GET /api/lists/getUsers``, recorded 2017).
Each person is on one line. ``preferUserId`` says which identifier is shown of somebody who has
two, so a hybrid project is asked once for each.

A profile is compared with the record that a run would send, under what Iterable does to values:
times come back as ``yyyy-MM-dd HH:mm:ss +00:00`` (recorded 2021), null removes a field, objects
are merged one level deep (support article 360035402611).
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from connectors.iterable import answers
from reverse_etl.connector import (
    Answer,
    Drift,
    Fatal,
    Identifier,
    Prepared,
    Request,
    Response,
)

MEMBERS = "lists/getUsers"

_LINES_PER_BATCH = 50_000
_UNREADABLE = ("text/html", "application/json")
_READ_BY: Mapping[str, tuple[str, str]] = {
    "userId": ("/api/users/byUserId", "users/byUserId"),
    "email": ("/api/users/getByEmail", "users/getByEmail"),
}
# How an id that nobody has is answered: "No user with that id exists!" (recorded 2017),
# ``error.users.noUserWithIdExists`` (block/iterable-go).
_REFUSED = (400, 404)
_NOBODY = re.compile(r"no ?user ?with", re.IGNORECASE)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?")
_FIELDS_SHOWN_MAX = 3
_SHOWN_MAX = 40


# --- members -------------------------------------------------------------------------------


def read_members(
    list_id: str, identifiers: Sequence[Identifier], host: str, destination: str
) -> Generator[Request, Answer, list[Path]]:
    """Ask who is on a list, once for each identifier; return the spooled answers.

    Args:
        list_id: The list.
        identifiers: As mapped.
        host: Who is asked.
        destination: Its name in the config, for messages.

    Raises:
        Fatal: The list or the account cannot be read.
    """
    paths = []
    for identifier in identifiers:
        prefer = "true" if identifier.name == "userId" else "false"
        query = {"listId": list_id, "preferUserId": prefer}
        path = f"/api/{MEMBERS}"
        answer = yield Request("GET", path, MEMBERS, query=query, spool=True)
        what = f"the members of list {list_id}"
        response = answers.successful(answer, host, what, destination, list_id)
        paths.append(_spooled(response, host))
    return paths


def _spooled(response: Response, host: str) -> Path:
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.spooled is None or kind in _UNREADABLE:
        reason = (
            f"{host} answered GET /api/{MEMBERS} with {kind or 'nothing'} instead of lines of"
            " text: is base_url right?"
        )
        raise Fatal("unreadable_answer", reason)
    return response.spooled


def parse_members(
    lines: Iterator[bytes], identifiers: Sequence[Identifier]
) -> Iterator[pa.RecordBatch]:
    """Yield what each line is as each identifier; see :meth:`DestinationObject.parse_members`."""
    while block := list(islice(lines, _LINES_PER_BATCH)):
        values = pc.utf8_rtrim(_texts(block), characters="\r\n")
        columns = [_as_identifier(values, identifier) for identifier in identifiers]
        yield pa.record_batch(columns, [identifier.name for identifier in identifiers])


def _texts(block: Sequence[bytes]) -> pa.Array:
    try:
        return pa.array(block, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:  # what is no UTF-8 is nobody of ours, but it is somebody
        return pa.array([line.decode("utf-8", "replace") for line in block], pa.string())


def _as_identifier(values: pa.Array, identifier: Identifier) -> pa.Array:
    if identifier.name == "email":
        values = pc.ascii_lower(pc.utf8_trim_whitespace(values))
        usable = pc.match_substring_regex(values, identifier.pattern)
    else:
        usable = pc.not_equal(values, "")
    # PostgreSQL cannot hold a NUL.
    usable = pc.and_not(usable, pc.match_substring(values, "\0"))
    return pc.if_else(usable, values, pa.scalar(None, pa.string()))


# --- profiles ------------------------------------------------------------------------------


def compare_profiles(
    prepared: Prepared, host: str, destination: str
) -> Generator[Request, Answer, list[Drift | None]]:
    """Read the profile of each record; return how it differs, None where it does not.

    Args:
        prepared: Records as a run would send them.
        host: Who is asked.
        destination: Its name in the config, for messages.

    Raises:
        Fatal: A profile cannot be read.
    """
    drifts: list[Drift | None] = [None] * len(prepared.bodies)
    for offset, body in enumerate(prepared.bodies):
        if body:
            record = orjson.loads(body)
            profile = _profile((yield _request(record)), host, destination)
            drifts[offset] = _drift(record, profile)
    return drifts


def _request(record: Mapping[str, Any]) -> Request:
    name = "userId" if "userId" in record else "email"
    path, endpoint = _READ_BY[name]
    return Request("GET", path, endpoint, query={name: record[name]})


def _drift(record: Mapping[str, Any], profile: Mapping[str, Any] | None) -> Drift | None:
    if profile is None:
        return Drift("missing", "there is no such profile")
    found = list(_differences(record, profile))
    if not found:
        return None
    more = f"; and {len(found) - _FIELDS_SHOWN_MAX} more" if len(found) > _FIELDS_SHOWN_MAX else ""
    return Drift("different", "; ".join(found[:_FIELDS_SHOWN_MAX]) + more)


def _profile(answer: Answer, host: str, destination: str) -> Mapping[str, Any] | None:
    """Return the profile of an answer, or None when nobody has the identifier.

    An unknown e-mail address is answered with 200 and ``{}`` (recorded 2021).
    """
    if isinstance(answer, Response) and answer.status in _REFUSED:
        text = f"{answers.read_error(answer)} {answer.text()}"
        if _NOBODY.search(text):
            return None
    data = answers.successful(answer, host, "a profile", destination).json()
    if not isinstance(data, dict):
        raise Fatal("unreadable_answer", f"{host} answered with no profile: is base_url right?")
    user = data.get("user")
    return user if isinstance(user, dict) and user else None


def _differences(record: Mapping[str, Any], profile: Mapping[str, Any]) -> Iterator[str]:
    """Yield a text for each identifier and field that is not as it was sent."""
    email, held = record.get("email"), profile.get("email")
    if "userId" in record and email and str(held).lower() != email.lower():
        yield _difference("email", email, held)
    fields = profile.get("dataFields")
    theirs = fields if isinstance(fields, dict) else {}
    merges = bool(record.get("mergeNestedObjects"))
    for name, ours in record.get("dataFields", {}).items():
        if merges and isinstance(ours, dict) and isinstance(theirs.get(name), dict):
            # Only one level is merged: below it, all that is there is ours.
            for inner, value in ours.items():
                if not _same(value, theirs[name].get(inner)):
                    yield _difference(f"{name}.{inner}", value, theirs[name].get(inner))
        elif not _same(ours, theirs.get(name)):
            yield _difference(name, ours, theirs.get(name))


def _difference(name: str, ours: object, theirs: object) -> str:
    return f"{name} is {_shown(theirs)}, not {_shown(ours)}"


def _shown(value: object) -> str:
    text = "absent" if value is None else orjson.dumps(value).decode()
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"


def _same(ours: object, theirs: object) -> bool:
    """Whether Iterable would show ``theirs`` after it was sent ``ours``."""
    ours, theirs = _without_nulls(ours), _without_nulls(theirs)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(_same(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    if ours == theirs and isinstance(ours, bool) == isinstance(theirs, bool):  # 1 == True
        return True
    if isinstance(ours, str) and isinstance(theirs, str):
        moment = _moment(ours)
        return moment is not None and moment == _moment(theirs)
    return _number(ours) is not None and _number(ours) == _number(theirs)


def _without_nulls(value: object) -> object:
    """Return an object without null members; what holds nothing is as good as absent."""
    if isinstance(value, dict):
        value = {k: v for k, v in value.items() if _without_nulls(v) is not None}
    return None if value in ({}, []) else value


def _moment(text: str) -> datetime | None:
    """Return the second that a text names; a date is its midnight, no zone means UTC."""
    if not _DATE.fullmatch(text):
        return None
    try:
        moment = datetime.fromisoformat(text.replace(" +", "+").replace(" -", "-"))
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.replace(microsecond=0)


def _number(value: object) -> Decimal | None:
    """Return a number, or a text that is one: integers beyond 2^53 are sent as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None
