"""Subscribe and unsubscribe: requests out, answers in, one outcome per change."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.iterable import IterableConnector
from connectors.iterable.sending import REQUESTS_PER_BATCH_MAX
from connectors.iterable.settings import IterableAccount, ListSettings
from reverse_etl.connector import (
    SUCCEEDED,
    Answer,
    Batch,
    Delivered,
    DestinationObject,
    Fatal,
    FieldMapping,
    NoAnswer,
    Operation,
    Outcome,
    Request,
    Response,
    Target,
)

KEY = "0123456789abcdef0123456789abcdef"
IDENTIFIERS = {"email": ["email"], "user_id": ["userId"], "hybrid": ["userId", "email"]}
KINDS = ("invalid", "notFound", "invalidData", "conflict", "forgotten")


def an_object(project_type: str = "email", **settings_keys: Any) -> DestinationObject:
    account = IterableAccount.model_validate(
        {"type": "iterable", "api_key": KEY, "project_type": project_type}
    )
    chosen = ListSettings.model_validate(
        {"name": "i", "object": "list", "list": {"id": 7}, **settings_keys}
    )
    mapping = FieldMapping({name: name for name in IDENTIFIERS[project_type]})
    return IterableConnector().bind(account, chosen, mapping, "mirror")


def a_batch(
    made: DestinationObject,
    operation: Operation,
    identities: Sequence[str],
    aliases: Sequence[str | None] | None = None,
    *,
    just_created: bool = False,
) -> Batch:
    rows = pa.record_batch(
        {
            "_identity": pa.array(identities, pa.string()),
            "_alias": pa.array(aliases or [None] * len(identities), pa.string()),
        }
    )
    prepared = made.prepare(operation, rows)
    assert all(prepared.bodies)
    target = Target("7", just_created=just_created)
    return Batch(operation, target, prepared.bodies, prepared.identities, prepared.aliases)


def people(count: int) -> list[str]:
    return [f"p{number}@example.com" for number in range(count)]


def answer(data: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(data).encode())


def counts(success: int, fail: int = 0, **more: Any) -> Response:
    return answer({"successCount": success, "failCount": fail, **more})


def talk(
    made: DestinationObject, batch: Batch, server: Callable[[Request, list[Any]], Answer]
) -> tuple[Delivered, list[Request]]:
    """Hold the whole conversation with a server that sees each request and its subscribers."""
    conversation = made.deliver(batch)
    requests: list[Request] = []
    try:
        request = next(conversation)
        while True:
            requests.append(request)
            offsets = range(len(batch)) if request.changes is None else request.changes
            sent = json.loads(request.body or b"")["subscribers"]
            assert sent == [json.loads(batch.bodies[offset]) for offset in offsets]
            request = conversation.send(server(request, sent))
    except StopIteration as stop:
        delivered: Delivered = stop.value
    assert len(delivered.outcomes) == len(batch)
    return delivered, requests


def deliver(
    project_type: str,
    operation: Operation,
    identities: Sequence[str],
    reply: Answer,
    aliases: Sequence[str | None] | None = None,
) -> Delivered:
    """Deliver a batch that needs one request."""
    made = an_object(project_type)
    batch = a_batch(made, operation, identities, aliases)
    delivered, requests = talk(made, batch, lambda _request, _sent: reply)
    assert len(requests) == 1
    return delivered


def check_fatal(fatal: Fatal) -> None:
    assert fatal.code
    assert KEY not in str(fatal)


def codes(delivered: Delivered) -> list[str | None]:
    return [outcome.code for outcome in delivered.outcomes]


# --- requests ------------------------------------------------------------------------------


@pytest.mark.parametrize("only", [True, False])
@pytest.mark.parametrize("operation", [Operation.INSERT, Operation.UPDATE])
def test_subscribe(operation: Operation, *, only: bool) -> None:
    made = an_object("user_id", update_existing_users_only=only)
    delivered, requests = talk(
        made, a_batch(made, operation, ["a", "b"]), lambda _request, _sent: counts(2)
    )
    assert list(delivered.outcomes) == [SUCCEEDED, SUCCEEDED]
    (request,) = requests
    assert (request.method, request.path) == ("POST", "/api/lists/subscribe")
    assert (request.endpoint, request.changes) == ("lists/subscribe", None)
    assert json.loads(request.body or b"") == {
        "listId": 7,
        "subscribers": [{"userId": "a"}, {"userId": "b"}],
        "updateExistingUsersOnly": only,
    }


@pytest.mark.parametrize("only", [True, False])
def test_people_who_were_left_alone_without_a_word(*, only: bool) -> None:
    made = an_object("user_id", update_existing_users_only=only)
    batch = a_batch(made, Operation.INSERT, ["a", "b"])
    delivered, _ = talk(made, batch, lambda _request, _sent: counts(0))
    assert codes(delivered) == (["not_found"] * 2 if only else ["unknown"] * 2)
    assert all(outcome.retryable for outcome in delivered.outcomes)
    mixed, _ = talk(made, batch, lambda _request, _sent: counts(1))
    assert codes(mixed) == ["unknown", "unknown"]  # one of them, but nobody says which


def test_unsubscribe_never_leaves_the_channel() -> None:
    made = an_object()
    batch = a_batch(made, Operation.DELETE, people(1))
    _, requests = talk(made, batch, lambda _request, _sent: counts(1))
    (request,) = requests
    assert (request.path, request.endpoint) == ("/api/lists/unsubscribe", "lists/unsubscribe")
    assert json.loads(request.body or b"") == {
        "listId": 7,
        "subscribers": [{"email": "p0@example.com"}],
        "channelUnsubscribe": False,
    }


# --- buckets -------------------------------------------------------------------------------

UPSERT_TABLE = {
    "invalid": ("rejected", "invalid_identifier", False),
    "notFound": ("rejected", "not_found", True),
    "invalidData": ("rejected", "rejected", False),
    "conflict": ("rejected", "conflict", False),
    "forgotten": ("rejected", "forgotten", False),
}
DELETE_TABLE = {
    "invalid": ("succeeded", None, False),
    "notFound": ("succeeded", None, False),
    "invalidData": ("rejected", "rejected", False),
    "conflict": ("rejected", "conflict", False),
    "forgotten": ("succeeded", None, False),
}


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("project_type", "bucket", "identities", "name"),
    [
        ("email", "Emails", ["ada@example.com", "b@example.com"], "Ada@Example.com"),
        ("user_id", "UserIds", ["Ada", "ada"], "Ada"),
        ("hybrid", "UserIds", ["userId:Ada", "userId:ada"], "Ada"),
        ("hybrid", "Emails", ["email:ada@example.com", "userId:x"], "ADA@example.com"),
    ],
)
def test_every_bucket(  # noqa: PLR0913, PLR0917 - a table of five columns
    project_type: str,
    bucket: str,
    identities: list[str],
    name: str,
    kind: str,
    operation: Operation,
) -> None:
    reply = counts(1, 1, failedUpdates={f"{kind}{bucket}": [name]})
    delivered = deliver(project_type, operation, identities, reply)
    table = DELETE_TABLE if operation is Operation.DELETE else UPSERT_TABLE
    status, code, retryable = table[kind]
    named, other = delivered.outcomes
    retryable = retryable or (kind == "conflict" and project_type == "hybrid")
    assert (named.status, named.code, named.retryable) == (status, code, retryable)
    assert named.reason
    assert other == SUCCEEDED


@pytest.mark.parametrize("kind", KINDS)
def test_the_alias_finds_the_row_as_well(kind: str) -> None:
    reply = counts(1, 1, failedUpdates={f"{kind}Emails": ["A@example.com"]})
    delivered = deliver(
        "hybrid", Operation.INSERT, ["userId:1", "userId:2"], reply, ["a@example.com", None]
    )
    assert codes(delivered) == [UPSERT_TABLE[kind][1], None]


@pytest.mark.parametrize(
    ("operation", "kinds", "code"),
    [
        (Operation.INSERT, ("notFound", "forgotten"), "forgotten"),
        (Operation.INSERT, ("conflict", "invalid"), "invalid_identifier"),
        (Operation.DELETE, ("notFound", "conflict"), "conflict"),
        (Operation.DELETE, ("notFound", "forgotten"), None),
    ],
)
def test_a_row_in_two_buckets(operation: Operation, kinds: tuple[str, ...], code: str) -> None:
    failed = {f"{kind}Emails": ["p0@example.com"] for kind in kinds}
    delivered = deliver("email", operation, people(2), counts(1, 1, failedUpdates=failed))
    assert codes(delivered) == [code, None]


@pytest.mark.parametrize(
    "more",
    [
        {"invalidEmails": ["p1@example.com"]},  # recorded 2017 and 2021
        {"invalidEmails": ["p1@example.com"], "failedUpdates": {}},
        {"invalidEmails": [], "failedUpdates": {"invalidEmails": ["p1@example.com"]}},
        {
            "invalidEmails": ["p1@example.com"],
            "failedUpdates": {"invalidEmails": ["p1@example.com", "P1@example.com"]},
        },
        {"failedUpdates": {"invalidEmails": ["p1@example.com"]}, "noOpEmails": ["p0@example.com"]},
        {"failedUpdates": {"invalidEmails": ["p1@example.com"], "invalidUserIds": None}},
    ],
)
def test_old_and_new_shapes(more: dict[str, Any]) -> None:
    delivered = deliver("email", Operation.INSERT, people(3), counts(2, 1, **more))
    assert codes(delivered) == [None, "invalid_identifier", None]


@pytest.mark.parametrize(
    ("bucket", "code", "retryable"),
    [
        ("notFoundEmails", "not_found", True),
        ("conflictEmails", "conflict", False),
        ("invalidDataEmails", "rejected", False),
        ("forgottenEmails", "forgotten", False),
    ],
)
def test_a_reason_counts_before_the_array_that_gives_none(
    bucket: str, code: str, *, retryable: bool
) -> None:
    more = {"invalidEmails": ["p1@example.com"], "failedUpdates": {bucket: ["p1@example.com"]}}
    delivered = deliver("email", Operation.INSERT, people(3), counts(2, 1, **more))
    assert codes(delivered) == [None, code, None]
    assert delivered.outcomes[1].retryable == retryable


def test_a_delete_that_failed_without_a_reason_may_not_be_done() -> None:
    """The deprecated arrays name users that failed to update, whatever the reason was."""
    reply = counts(1, 1, invalidEmails=["p1@example.com"])
    gone, failed = deliver("email", Operation.DELETE, people(2), reply).outcomes
    assert gone == SUCCEEDED
    assert (failed.status, failed.code, failed.retryable) == ("rejected", "rejected", True)


def test_user_ids_are_exact_even_in_case() -> None:
    reply = counts(1, 1, failedUpdates={"notFoundUserIds": ["ADA"]})
    delivered = deliver("user_id", Operation.INSERT, ["Ada", "ada"], reply)
    assert codes(delivered) == ["unknown", "unknown"]


# --- counts --------------------------------------------------------------------------------

NOT_FOUND = {"failedUpdates": {"notFoundEmails": ["p0@example.com"]}}
INVALID = {"failedUpdates": {"invalidEmails": ["p0@example.com"]}}
STRAY = {"failedUpdates": {"invalidEmails": ["else@example.com"]}}
BOTH = {"failedUpdates": {"invalidEmails": ["p0@example.com", "else@example.com"]}}


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        # harmless
        (counts(2, 1, **NOT_FOUND), ["not_found", None, None]),
        (counts(2, 0, **NOT_FOUND), ["not_found", None, None]),
        (counts(3, 0, **NOT_FOUND), ["not_found", None, None]),
        (counts(2, 0, **INVALID), ["invalid_identifier", None, None]),
        (counts(3, 0, **STRAY), [None, None, None]),
        (counts(2, 1, **BOTH), ["invalid_identifier", None, None]),
        # not
        (counts(1, 1, **NOT_FOUND), ["not_found", "unknown", "unknown"]),
        (counts(1, 2, **INVALID), ["invalid_identifier", "unknown", "unknown"]),
        (counts(2, 2, **INVALID), ["invalid_identifier", "unknown", "unknown"]),
        (counts(4, 0), ["unknown"] * 3),
        (counts(2, 0), ["unknown"] * 3),
        (counts(2, 1), ["unknown"] * 3),
        (counts(3, 1), ["unknown"] * 3),
        (counts(0, 3), ["unknown"] * 3),
        (counts(2, 1, **STRAY), ["unknown"] * 3),
        (counts(1, 2, **BOTH), ["invalid_identifier", "unknown", "unknown"]),
    ],
)
def test_counts(reply: Response, expected: list[str | None]) -> None:
    delivered = deliver("email", Operation.INSERT, people(3), reply)
    assert codes(delivered) == expected
    assert all(
        o.status == "unknown" and o.retryable for o in delivered.outcomes if o.code == "unknown"
    )


def test_a_stray_name_can_only_mean_the_one_row_that_is_left() -> None:
    reply = counts(0, 1, failedUpdates={"conflictEmails": ["holder@example.com"]})
    (outcome,) = deliver("hybrid", Operation.INSERT, ["userId:1"], reply).outcomes
    assert (outcome.code, outcome.retryable) == ("conflict", True)


@pytest.mark.parametrize("kind", ["notFound", "forgotten", "invalid"])
def test_a_delete_is_not_done_because_somebody_else_is_not_there(kind: str) -> None:
    reply = counts(0, 1, failedUpdates={f"{kind}Emails": ["else@example.com"]})
    assert codes(deliver("email", Operation.DELETE, people(1), reply)) == ["unknown"]


def test_two_kinds_of_strays_say_nothing() -> None:
    failed = {"conflictEmails": ["x@example.com"], "invalidEmails": ["y@example.com"]}
    delivered = deliver("email", Operation.INSERT, people(1), counts(0, 1, failedUpdates=failed))
    assert codes(delivered) == ["unknown"]


def test_a_bucket_of_a_later_api_version_names_its_rows() -> None:
    reply = counts(2, 1, failedUpdates={"lockedEmails": ["p1@example.com"]})
    delivered = deliver("email", Operation.INSERT, people(3), reply)
    assert codes(delivered) == [None, "unknown", None]
    more_failed = counts(2, 2, failedUpdates={"lockedEmails": ["p1@example.com"]})
    assert codes(deliver("email", Operation.INSERT, people(3), more_failed)) == ["unknown"] * 3
    contradicted = counts(3, 0, failedUpdates={"noOpEmails": ["p1@example.com"]})
    assert codes(deliver("email", Operation.INSERT, people(3), contradicted)) == [None] * 3


@pytest.mark.parametrize(
    "reply",
    [
        Response(200, b""),
        Response(200, b"<html>ok</html>"),
        Response(200, b"\xff\xfe"),
        Response(200, b"[" * 100_000),
        answer(None),
        answer([]),
        answer({}),
        answer({"msg": "", "code": "Success", "params": None}),
        answer({"msg": "try later", "code": "GenericError", "params": None}),
        answer({"successCount": 3}),
        answer({"successCount": "3", "failCount": 0}),
        answer({"successCount": True, "failCount": False}),
        answer({"successCount": -1, "failCount": 4}),
        answer({"successCount": 2**31, "failCount": 0}),
        answer({"successCount": 3.0, "failCount": 0.0}),
        Response(200, b'{"successCount": NaN, "failCount": 0}'),
        counts(2, 1, failedUpdates=["p0@example.com"]),
        counts(2, 1, failedUpdates={"invalidEmails": "p0@example.com"}),
        counts(2, 1, failedUpdates={"invalidEmails": [None]}),
        NoAnswer("timed out after 30 s"),
    ],
)
def test_answers_that_cannot_be_read(reply: Answer) -> None:
    delivered = deliver("email", Operation.INSERT, people(3), reply)
    assert codes(delivered) == ["unknown"] * 3
    assert all(outcome.retryable and outcome.reason for outcome in delivered.outcomes)


def test_fields_dropped_or_created_are_warnings() -> None:
    reply = counts(1, 0, filteredOutFields=["b", "a"], createdFields=["c"])
    dropped, created = deliver("email", Operation.INSERT, people(1), reply).warnings
    assert dropped.startswith("Iterable dropped values of profile fields it does not have: a, b.")
    assert created == "Iterable created profile fields: c"


# --- errors that end the run ---------------------------------------------------------------


def error(status: int, code: str, msg: str = "no", params: Any = None) -> Response:
    return answer({"code": code, "msg": msg, "params": params}, status)


UNKNOWN_LIST = error(400, "Success", "error.lists.invalidListId(7)", {"projectId": 1, "listId": 7})


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (error(401, "BadApiKey", "Invalid API key", {"ip": "192.0.2.1"}), "unauthorized", "key"),
        (Response(403, b"<html>"), "unauthorized", "api.iterable.com"),
        (Response(404, b"<!doctype html>"), "not_found_page", "base_url"),
        (Response(301), "redirected", "base_url"),
        (UNKNOWN_LIST, "unknown_list", "7"),
        (error(400, "BadParams", "Invalid email list id"), "unknown_list", "7"),
        (
            error(
                400, "UniqueFieldsLimitExceeded", params={"limit": 1000, "newFields": ["a", "b"]}
            ),
            "field_limit",
            "limit 1000; new: a, b",
        ),
        (error(400, "UniqueFieldsLimitExceeded"), "field_limit", "Map fewer fields"),
    ],
)
def test_fatal_answers(reply: Response, code: str, words: str) -> None:
    with pytest.raises(Fatal) as caught:
        deliver("email", Operation.INSERT, people(3), reply)
    assert caught.value.code == code
    assert words in str(caught.value)


def test_a_list_that_was_just_created_gets_time() -> None:
    made = an_object()
    batch = a_batch(made, Operation.INSERT, people(2), just_created=True)
    assert made.is_transient(batch, UNKNOWN_LIST)
    assert not made.is_transient(a_batch(made, Operation.INSERT, people(2)), UNKNOWN_LIST)
    assert not made.is_transient(None, UNKNOWN_LIST)
    assert not made.is_transient(batch, counts(2))
    assert not made.is_transient(batch, error(400, "BadParams"))
    assert made.is_transient(None, Response(503))
    with pytest.raises(Fatal) as caught:
        talk(made, batch, lambda _request, _sent: UNKNOWN_LIST)
    assert caught.value.code == "destination_unavailable"


# --- errors that are narrowed --------------------------------------------------------------


def refuse_rows(
    bad: set[str], *, status: int = 400, code: str = "RequestFieldsTypesMismatched"
) -> Callable[[Request, list[Any]], Answer]:
    """Return a server that refuses every request with one of these people in it."""

    def serve(_request: Request, sent: list[Any]) -> Answer:
        if any(subscriber["email"] in bad for subscriber in sent):
            return error(status, code, "Project 1: not the same data types")
        return counts(len(sent))

    return serve


def test_one_bad_row_among_a_thousand_is_found_by_halving() -> None:
    made = an_object()
    batch = a_batch(made, Operation.INSERT, people(1000))
    delivered, requests = talk(made, batch, refuse_rows({"p617@example.com"}))
    failed = {i: o for i, o in enumerate(delivered.outcomes) if o != SUCCEEDED}
    assert list(failed) == [617]
    assert (failed[617].code, failed[617].retryable) == ("rejected", False)
    assert "RequestFieldsTypesMismatched" in (failed[617].reason or "")
    assert len(requests) == 21
    assert requests[0].changes is None
    assert all(request.changes is not None for request in requests[1:])


@pytest.mark.parametrize("status", [400, 405, 409, 415, 422])
def test_other_refusals_are_narrowed_too(status: int) -> None:
    made = an_object()
    batch = a_batch(made, Operation.DELETE, people(8))
    server = refuse_rows({"p0@example.com", "p7@example.com"}, status=status, code="BadParams")
    delivered, _ = talk(made, batch, server)
    assert codes(delivered) == ["rejected", *[None] * 6, "rejected"]


def test_the_requests_of_a_batch_are_bounded_and_most_good_rows_pass() -> None:
    made = an_object()
    batch = a_batch(made, Operation.INSERT, people(1000))
    bad = {f"p{number}@example.com" for number in (3, 250, 499, 700, 998)}
    delivered, requests = talk(made, batch, refuse_rows(bad))
    assert len(requests) == REQUESTS_PER_BATCH_MAX
    refused = [o for o in delivered.outcomes if o != SUCCEEDED]
    assert 5 <= len(refused) <= 50
    assert {outcome.code for outcome in refused} == {"rejected"}
    unnarrowed = [o for o in refused if "not looked at singly" in (o.reason or "")]
    assert unnarrowed
    # The innocent among them must not be lost for good because of others.
    assert all(outcome.retryable for outcome in unnarrowed)
    assert not any(outcome.retryable for outcome in refused if outcome not in unnarrowed)


def test_a_batch_in_which_all_is_wrong_ends() -> None:
    made = an_object()
    batch = a_batch(made, Operation.INSERT, people(1000))
    delivered, requests = talk(made, batch, refuse_rows(set(people(1000))))
    assert len(requests) == REQUESTS_PER_BATCH_MAX
    assert set(codes(delivered)) == {"rejected"}


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("obj.subscribers[3].email", "String value expected"),
        ("subscribers[3]", [{"msg": "error.expected.jsobject", "args": []}]),
        ("obj.users[3].preferUserId", [{"msg": ["error.expected.jsboolean"], "args": []}]),
    ],
)
def test_a_row_that_the_api_names_is_set_aside_at_once(path: str, detail: Any) -> None:
    made = an_object()

    def serve(_request: Request, sent: list[Any]) -> Answer:
        if len(sent) == 5:
            return error(400, "BadJsonBody", "[/api/lists/subscribe] body: {}", {path: detail})
        return counts(len(sent))

    delivered, requests = talk(made, a_batch(made, Operation.INSERT, people(5)), serve)
    assert codes(delivered) == [None, None, None, "rejected", None]
    assert path in (delivered.outcomes[3].reason or "")
    assert [request.changes for request in requests] == [None, (0, 1, 2, 4)]


def test_positions_count_within_the_request_that_was_refused() -> None:
    made = an_object()
    bad = {"p1@example.com", "p3@example.com"}

    def serve(_request: Request, sent: list[Any]) -> Answer:
        for position, subscriber in enumerate(sent):
            if subscriber["email"] in bad:
                return error(400, "BadJsonBody", "", {f"obj.subscribers[{position}].x": "bad"})
        return counts(len(sent))

    delivered, requests = talk(made, a_batch(made, Operation.INSERT, people(5)), serve)
    assert codes(delivered) == [None, "rejected", None, "rejected", None]
    assert [request.changes for request in requests] == [None, (0, 2, 3, 4), (0, 2, 4)]


@pytest.mark.parametrize(
    "params", [{"obj.subscribers[99].x": "bad"}, {"obj.listId": "bad"}, {"x[0]": 1}, [1], None]
)
def test_params_that_name_no_row_lead_to_halving(params: Any) -> None:
    made = an_object()

    def serve(_request: Request, sent: list[Any]) -> Answer:
        if any(subscriber["email"] == "p1@example.com" for subscriber in sent):
            return error(400, "BadJsonBody", "", params)
        return counts(len(sent))

    delivered, _ = talk(made, a_batch(made, Operation.INSERT, people(4)), serve)
    assert codes(delivered) == [None, "rejected", None, None]


@pytest.mark.parametrize(
    "reply", [Response(413, b"<html>"), Response(408), error(400, "BatchTooLarge")]
)
def test_too_large_is_halved_without_blame(reply: Response) -> None:
    made = an_object()

    def serve(_request: Request, sent: list[Any]) -> Answer:
        return reply if len(sent) > 250 else counts(len(sent))

    delivered, requests = talk(made, a_batch(made, Operation.INSERT, people(1000)), serve)
    assert delivered.outcomes.count(SUCCEEDED) == 1000
    assert len(requests) == 7


def test_a_single_row_that_is_too_large_is_rejected_for_good() -> None:
    (outcome,) = deliver("email", Operation.INSERT, people(1), Response(413)).outcomes
    assert (outcome.code, outcome.retryable) == ("rejected", False)


def test_rows_cut_off_while_halving_for_size_may_come_again() -> None:
    made = an_object()
    batch = a_batch(made, Operation.INSERT, people(1000))
    delivered, requests = talk(made, batch, lambda _request, _sent: Response(413))
    assert len(requests) == REQUESTS_PER_BATCH_MAX
    assert all(outcome.retryable for outcome in delivered.outcomes)


def test_a_single_row_that_takes_too_long_may_come_again() -> None:
    (outcome,) = deliver("email", Operation.INSERT, people(1), Response(408)).outcomes
    assert (outcome.code, outcome.retryable) == ("unavailable", True)


# --- outages -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        error(429, "RateLimitExceeded"),
        Response(429, b"Rate limit exceeded. Please try again later."),
        error(500, "GenericError"),
        Response(502, b"<html>"),
        Response(503),
        Response(504),
        Response(520, b"cloud"),
    ],
)
def test_unavailable(reply: Response) -> None:
    delivered = deliver("email", Operation.INSERT, people(2), reply)
    assert {(o.status, o.code, o.retryable) for o in delivered.outcomes} == {
        ("rejected", "unavailable", True)
    }
    assert str(reply.status) in (delivered.outcomes[0].reason or "")


@pytest.mark.parametrize(
    ("outage", "code"), [(NoAnswer("reset"), "unknown"), (Response(503), "unavailable")]
)
def test_an_outage_while_narrowing_postpones_the_rest(outage: Answer, code: str) -> None:
    made = an_object()
    replies = iter([error(400, "BadParams"), counts(4), outage])
    batch = a_batch(made, Operation.INSERT, people(8))
    delivered, _ = talk(made, batch, lambda _request, _sent: next(replies))
    assert codes(delivered) == [*[None] * 4, *[code] * 4]

    replies = iter([error(400, "BadParams"), outage])
    delivered, _ = talk(made, batch, lambda _request, _sent: next(replies))
    assert codes(delivered) == [*[code] * 4, *["unavailable"] * 4]


# --- secrets -------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 413, 429, 500])
def test_nothing_that_the_api_echoes_is_repeated(status: int) -> None:
    msg = (
        '[/api/lists/subscribe] body: {"listId":7}, hdrs: List((Host,api.iterable.com),'
        f" (Api-Key,{KEY}), (User-Agent,x))"
    )
    params = {"obj.subscribers[0].email": f"hdrs: (Api-Key,{KEY})", "apiKeyIdentifier": KEY}
    made = an_object()
    batch = a_batch(made, Operation.INSERT, people(2))
    try:
        delivered, _ = talk(
            made, batch, lambda _request, _sent: error(status, "BadJsonBody", msg, params)
        )
    except Fatal as fatal:
        check_fatal(fatal)
        return
    assert all(KEY not in str(outcome) for outcome in delivered.outcomes)
    assert all("BadJsonBody" in (outcome.reason or "") for outcome in delivered.outcomes)
    assert all("hdrs" not in (outcome.reason or "") for outcome in delivered.outcomes)


def test_a_reason_is_one_line_whatever_the_api_says() -> None:
    reply = error(400, "Bad\nParams", "one\r\ntwo\u2028three", {"obj.subscribers[0].a\nb": "c\nd"})
    (outcome,) = deliver("email", Operation.INSERT, people(1), reply).outcomes
    assert outcome.reason == "HTTP 400 Bad Params: one two three obj.subscribers[0].a b: c d"


# --- any answers at all --------------------------------------------------------------------

NAMES = st.sampled_from(
    ["P0@example.com", "p1@example.com", "p9@example.com", "0", "1", "", None, 3]
)
BUCKET_NAMES = st.sampled_from(
    [f"{kind}{plural}" for kind in (*KINDS, "locked") for plural in ("Emails", "UserIds")]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
BULK = st.fixed_dictionaries(
    {"successCount": st.integers(0, 9), "failCount": st.integers(0, 4)},
    optional={
        "failedUpdates": st.dictionaries(
            BUCKET_NAMES, st.lists(NAMES, max_size=4) | JSON, max_size=3
        )
        | JSON,
        "invalidEmails": st.lists(NAMES, max_size=3) | JSON,
        "invalidUserIds": st.lists(NAMES, max_size=3) | JSON,
        "filteredOutFields": JSON,
        "createdFields": JSON,
    },
)
ERRORS = st.fixed_dictionaries(
    {
        "code": st.sampled_from(
            ["Success", "BadJsonBody", "BatchTooLarge", "UniqueFieldsLimitExceeded", "BadParams"]
        )
        | JSON,
        "msg": st.sampled_from(["error.lists.invalidListId(7)", "body: x", f"Api-Key,{KEY}"])
        | JSON,
        "params": st.dictionaries(
            st.builds("obj.subscribers[{}].x".format, st.integers(0, 9)), JSON, max_size=3
        )
        | JSON,
    }
)
STATUSES = st.sampled_from(
    [200] * 3 + [400] * 6 + [201, 204, 302, 401, 403, 404, 408, 409, 413, 418, 429, 500, 502, 503]
)
BODIES = (BULK | ERRORS | JSON).map(lambda data: json.dumps(data).encode()) | st.binary(max_size=20)
ANSWERS = st.builds(Response, STATUSES, BODIES) | st.builds(NoAnswer, st.just("reset"))
CODES = {
    None,
    "invalid_identifier",
    "not_found",
    "rejected",
    "conflict",
    "forgotten",
    "unknown",
    "unavailable",
}


def check_outcome(outcome: Outcome) -> None:
    assert outcome.code in CODES
    assert (outcome.status == "succeeded") == (outcome.code is None)
    assert (outcome.status == "unknown") == (outcome.code == "unknown")
    assert KEY not in str(outcome)
    if outcome.code in {"unknown", "unavailable", "not_found"}:
        assert outcome.retryable


@settings(max_examples=200)
@given(
    st.sampled_from(list(IDENTIFIERS)),
    st.sampled_from(Operation),
    st.integers(1, 8),
    st.lists(ANSWERS, min_size=1, max_size=20),
    st.booleans(),
)
def test_any_answers_give_one_outcome_per_change_or_end_the_run(
    project_type: str,
    operation: Operation,
    count: int,
    replies: list[Answer],
    just_created: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    made = an_object(project_type)
    names = {
        "email": people(count),
        "user_id": [str(number) for number in range(count)],
        "hybrid": [f"userId:{number}" for number in range(count)],
    }[project_type]
    aliases = list(people(count)) if project_type == "hybrid" else None
    batch = a_batch(made, operation, names, aliases, just_created=just_created)
    served = iter(replies)
    try:
        delivered, requests = talk(
            made, batch, lambda _request, _sent: next(served, None) or counts(len(_sent))
        )
    except Fatal as fatal:
        check_fatal(fatal)
        return
    assert len(requests) <= REQUESTS_PER_BATCH_MAX
    for outcome in delivered.outcomes:
        check_outcome(outcome)
    assert all(KEY not in warning for warning in delivered.warnings)


@settings(max_examples=50)
@given(st.integers(1, 40), st.sets(st.integers(0, 39), max_size=4), st.booleans())
def test_bad_rows_never_cost_the_others(
    count: int,
    bad: set[int],
    indexed: bool,  # noqa: FBT001 - drawn by hypothesis
) -> None:
    made = an_object()
    wrong = {f"p{number}@example.com" for number in bad}

    def serve(_request: Request, sent: list[Any]) -> Answer:
        for position, subscriber in enumerate(sent):
            if subscriber["email"] in wrong:
                params = {f"obj.subscribers[{position}].email": "bad"} if indexed else {}
                return error(400, "BadParams", "no", params)
        return counts(len(sent))

    delivered, _ = talk(made, a_batch(made, Operation.INSERT, people(count)), serve)
    expected = ["rejected" if number in bad else None for number in range(count)]
    assert codes(delivered) == expected
