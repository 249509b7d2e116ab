"""The people of a request body, and the answer that says what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from .fields import FieldLimitError, MismatchError, NestingError
from .people import Bare, Person
from .state import FAILURE_KEYS, BulkResult
from .wire import ApiError, BodyReader, Reply, Shape, envelope, json_reply

if TYPE_CHECKING:
    from collections.abc import Iterator

# Seen in answers to calls with the undocumented ``updateOnly`` (tests of RudderStack).
SKIPPED_KEYS = ("noOpEmails", "noOpUserIds")

_PERSON_TYPES: Mapping[str, tuple[type, str]] = {
    "email": (str, "string"),
    "userId": (str, "string"),
    "dataFields": (dict, "object"),
    "preferUserId": (bool, "boolean"),
    "mergeNestedObjects": (bool, "boolean"),
}


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
    return bare or read_each(body, name, entries)


def _bare(entries: list[Any], key: Literal["email", "userId"]) -> Bare | None:
    """Return the entries if each is a string under that key and nothing else."""
    try:
        values = [entry[key] for entry in entries if len(entry) == 1]
        "".join(values)  # the quickest way to learn that all are strings
    except (TypeError, LookupError):
        return None
    return Bare(key, values) if len(values) == len(entries) else None


def read_each(body: BodyReader, name: str, entries: list[Any]) -> list[Person]:
    """Return the people of an array, as :func:`read_people`, but never the short form."""
    people = []
    for index, entry in enumerate(entries):
        if isinstance(entry, dict):
            people.append(read_person(body, f"obj.{name}[{index}]", entry))
        else:
            body.problems[f"obj.{name}[{index}]"] = "object"
    if not body.problems and any(p.email is None and p.user_id is None for p in people):
        raise ApiError(no_identifier())
    return people


def no_identifier() -> Reply:
    """Return the 400 for somebody without e-mail and userId."""
    return envelope(400, "BadParams", "Either email or userId must be set")


def read_person(body: BodyReader, path: str, entry: Mapping[str, Any]) -> Person:
    """Return one person; faulty types become problems of the body, named below the path."""
    for key, value in entry.items():
        expected = _PERSON_TYPES.get(key)
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
    skipped = result.skipped
    return json_reply(
        {
            **counts,
            **({} if skipped is None else {key: skipped.get(key, []) for key in SKIPPED_KEYS}),
            "createdFields": sorted(result.created_fields),
            "filteredOutFields": sorted(result.dropped_fields),
            "invalidEmails": failed["invalidEmails"],
            "invalidUserIds": failed["invalidUserIds"],
            "failedUpdates": {**failed, **result.failures},
        }
    )


def subscriptions_reply(result: BulkResult, shape: Shape) -> Reply:
    """Return the answer of bulkUpdateSubscriptions (BulkUpdateSubscriptionsResponse).

    The old shape is recorded in 2017; it knows no userIds.
    """
    counts = {"successCount": result.success, "failCount": result.fail}
    arrays = {}
    for kind, valid in (("Emails", "validEmailFailures"), ("UserIds", "validUserIdFailures")):
        if kind == "Emails" or shape == "current":
            invalid = result.failures.get(f"invalid{kind}", [])
            arrays[f"invalid{kind}"] = invalid
            arrays[valid] = [v for v in _by_kind(result, f"invalid{kind}") if v not in invalid]
    return json_reply({**counts, **arrays})


def _by_kind(result: BulkResult, deprecated: str) -> list[str]:
    ending = deprecated.removeprefix("invalid")
    keys = [key for key in result.failures if key.endswith(ending)]
    return [identifier for key in keys for identifier in result.failures[key]]


@contextmanager
def refused_fields(project_id: int) -> Iterator[None]:
    """Answer a request whose ``dataFields`` the project does not take.

    Raises:
        ApiError: 400 RequestFieldsTypesMismatched (text and shape recorded in 2021) or 400
            UniqueFieldsLimitExceeded (``params`` as in block/iterable-go, the text is chosen), or
            400 BadJsonBody for values that are nested too deeply (chosen).
    """
    try:
        yield
    except MismatchError as error:
        raise ApiError(_mismatched(error, project_id)) from None
    except NestingError as error:
        raise ApiError(envelope(400, "BadJsonBody", f"The value is {error}")) from None
    except FieldLimitError as error:
        params = {
            "limit": error.limit,
            "requestedTotal": error.requested_total,
            "newFields": error.new_fields,
        }
        msg = f"Project {project_id}: the limit of {error.limit} unique user fields is exceeded."
        raise ApiError(envelope(400, "UniqueFieldsLimitExceeded", msg, params)) from None


def _mismatched(error: MismatchError, project_id: int) -> Reply:
    found = error.mismatches.values()
    texts = [
        f"Field '{each.field}' already exists for type 'user' and has a data type of "
        f"'{each.expected}' but possible types '{', '.join(each.incoming)}' in the request."
        for each in found
    ]
    msg = (
        f"Project {project_id}: The request does not have the same data types as the data "
        f"previously submitted. {' '.join(texts)}"
    )
    errors = {
        each.field: {
            "incomingTypes": each.incoming,
            "expectedType": each.expected,
            "category": "user",
            "offendingValue": each.value,
            "_type": "UnexpectedType",
        }
        for each in found
    }
    return envelope(400, "RequestFieldsTypesMismatched", msg, {"validationErrors": errors})
