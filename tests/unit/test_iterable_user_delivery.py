"""bulkUpdate: requests out, answers in, one outcome per change."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import httpx
import pyarrow as pa
import pytest

from connectors.iterable import IterableConnector
from connectors.iterable.sandbox import Sandbox
from connectors.iterable.sending import REQUESTS_PER_BATCH_MAX
from connectors.iterable.settings import IterableAccount, UserSettings
from reverse_etl.connector import (
    SUCCEEDED,
    Answer,
    Batch,
    Delivered,
    DestinationObject,
    Fatal,
    FieldMapping,
    MappedField,
    NoAnswer,
    Operation,
    Outcome,
    Request,
    Response,
)

KEY = "0123456789abcdef0123456789abcdef"
IDENTIFIERS = {"email": ["email"], "user_id": ["userId"], "hybrid": ["userId", "email"]}


def an_object(
    project_type: str = "email", identifiers: list[str] | None = None, **settings: Any
) -> DestinationObject:
    account = IterableAccount.model_validate(
        {"type": "iterable", "api_key": KEY, "project_type": project_type}
    )
    chosen = UserSettings.model_validate(
        {"name": "prod", "object": "user", "on_delete": "clear_fields", **settings}
    )
    names = identifiers or IDENTIFIERS[project_type]
    fields = [MappedField("v", "v"), MappedField("o.w", "w")]
    mapping = FieldMapping({name: name for name in names}, fields)
    return IterableConnector().bind(account, chosen, mapping, "mirror")


def a_batch(
    made: DestinationObject,
    operation: Operation,
    identities: Sequence[str],
    values: pa.Array | None = None,
    nested: pa.Array | None = None,
) -> Batch:
    nothing = pa.array([None] * len(identities), pa.string())
    rows = pa.record_batch(
        {
            "_identity": pa.array(identities, pa.string()),
            "_alias": nothing,
            "_fields": nothing,
            "v": nothing if values is None else values,
            "w": nothing if nested is None else nested,
        }
    )
    prepared = made.prepare(operation, rows)
    assert all(prepared.bodies)
    return Batch(operation, made.target, prepared.bodies, prepared.identities, prepared.aliases)


def people(count: int) -> list[str]:
    return [f"p{number}@example.com" for number in range(count)]


def answer(data: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(data).encode())


def counts(success: int, fail: int = 0, **more: Any) -> Response:
    return answer({"successCount": success, "failCount": fail, **more})


def talk(
    made: DestinationObject, batch: Batch, server: Callable[[list[Any]], Answer]
) -> tuple[Delivered, list[Request]]:
    """Hold the whole conversation with a server that sees the users of each request."""
    conversation = made.deliver(batch)
    requests: list[Request] = []
    try:
        request = next(conversation)
        while True:
            requests.append(request)
            request = conversation.send(server(json.loads(request.body or b"")["users"]))
    except StopIteration as stop:
        delivered: Delivered = stop.value
    assert len(delivered.outcomes) == len(batch)
    return delivered, requests


def deliver(
    reply: Answer,
    operation: Operation = Operation.INSERT,
    identities: Sequence[str] = ("p0@example.com", "p1@example.com", "p2@example.com"),
    made: DestinationObject | None = None,
) -> Delivered:
    """Deliver a batch that needs one request."""
    made = made or an_object()
    delivered, requests = talk(made, a_batch(made, operation, identities), lambda _: reply)
    assert len(requests) == 1
    return delivered


def codes(delivered: Delivered) -> list[str | None]:
    return [outcome.code for outcome in delivered.outcomes]


# --- requests ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "upsert", "delete"),
    [
        ({}, {}, {"createNewFields": False}),
        ({"create_new_fields": True}, {"createNewFields": True}, {"createNewFields": False}),
        ({"create_new_fields": False}, {"createNewFields": False}, {"createNewFields": False}),
        (
            {"update_only": True},
            {"updateOnly": True},
            {"createNewFields": False, "updateOnly": True},
        ),
        (
            {"update_only": True, "create_new_fields": True},
            {"createNewFields": True, "updateOnly": True},
            {"createNewFields": False, "updateOnly": True},
        ),
    ],
)
@pytest.mark.parametrize("operation", list(Operation))
def test_the_options_of_a_request(
    settings: dict[str, Any], upsert: dict[str, Any], delete: dict[str, Any], operation: Operation
) -> None:
    made = an_object(**settings)
    batch = a_batch(made, operation, people(2))
    _, (request,) = talk(made, batch, lambda _: counts(2))
    assert (request.method, request.path) == ("POST", "/api/users/bulkUpdate")
    assert (request.endpoint, request.changes, request.repeatable) == (
        "users/bulkUpdate",
        None,
        True,
    )
    body = json.loads(request.body or b"")
    assert body.pop("users") == [json.loads(record) for record in batch.bodies]
    assert body == (delete if operation is Operation.DELETE else upsert)


# --- answers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bucket", "upsert", "delete"),
    [
        ("forgottenEmails", ("rejected", "forgotten", False), ("succeeded", None, False)),
        ("invalidEmails", ("rejected", "invalid_identifier", False), ("succeeded", None, False)),
        ("notFoundEmails", ("rejected", "not_found", True), ("succeeded", None, False)),
        ("invalidDataEmails", ("rejected", "rejected", False), ("rejected", "rejected", False)),
        ("conflictEmails", ("rejected", "conflict", False), ("rejected", "conflict", False)),
    ],
)
@pytest.mark.parametrize("operation", list(Operation))
def test_every_bucket(
    bucket: str,
    upsert: tuple[str, str | None, bool],
    delete: tuple[str, str | None, bool],
    operation: Operation,
) -> None:
    reply = counts(2, 1, failedUpdates={bucket: ["P1@example.com"]})
    first, named, last = deliver(reply, operation).outcomes
    expected = delete if operation is Operation.DELETE else upsert
    assert (named.status, named.code, named.retryable) == expected
    assert (first, last) == (SUCCEEDED, SUCCEEDED)
    if named.status == "succeeded":
        assert (named.reason or "").endswith("so there is nothing to clear")


def test_the_recorded_answers() -> None:
    # mtchavez/iterable-api-client, Iterable_Users/bulk_update; Iterable/api-client, users.test.ts.
    recorded = counts(1, 1, invalidEmails=["p1@example.com"])
    assert codes(deliver(recorded, identities=people(2))) == [None, "invalid_identifier"]
    tested = counts(
        1,
        1,
        createdFields=["newField"],
        filteredOutFields=["droppedField"],
        failedUpdates={"invalidEmails": ["p1@example.com"]},
    )
    delivered = deliver(tested, identities=people(2))
    assert codes(delivered) == [None, "invalid_identifier"]
    assert len(delivered.warnings) == 2
    assert "create_new_fields: true" in delivered.warnings[0]


def test_a_field_that_the_project_does_not_have_needs_no_clearing() -> None:
    delivered = deliver(counts(3, filteredOutFields=["v"]), Operation.DELETE)
    assert not delivered.warnings
    assert codes(delivered) == [None] * 3


@pytest.mark.parametrize(
    ("success", "fail"),
    [(2, 0), (2, 1), (3, 0)],  # how such people are counted is not known
)
@pytest.mark.parametrize("inside", [True, False])
def test_people_that_update_only_left_alone_are_not_found(
    success: int, fail: int, *, inside: bool
) -> None:
    arrays = {"noOpEmails": ["p1@example.com"], "noOpUserIds": []}
    more = {"failedUpdates": arrays} if inside else arrays
    made = an_object(update_only=True)
    delivered = deliver(counts(success, fail, **more), made=made)
    assert codes(delivered) == [None, "not_found", None]
    outcome = delivered.outcomes[1]
    assert (outcome.status, outcome.retryable) == ("rejected", True)
    assert "update_only" in (outcome.reason or "")

    cleared = deliver(counts(success, fail, **more), Operation.DELETE, made=made)
    assert {outcome.status for outcome in cleared.outcomes} == {"succeeded"}


def test_update_only_reads_user_ids_as_well() -> None:
    made = an_object("hybrid", update_only=True)
    reply = counts(1, 0, noOpUserIds=["42"])
    delivered = deliver(reply, identities=["userId:42", "email:a@example.com"], made=made)
    assert codes(delivered) == ["not_found", None]


def test_without_update_only_such_arrays_say_nothing() -> None:
    reply = counts(3, noOpEmails=["p1@example.com"], noOpUserIds=["x"])
    assert codes(deliver(reply)) == [None] * 3


@pytest.mark.parametrize(
    ("code", "upsert", "delete"),
    [
        ("UnknownUserIdError", ("not_found", True), "succeeded"),
        ("UnknownEmailError", ("not_found", True), "succeeded"),
        ("ForgottenUserError", ("forgotten", False), "succeeded"),
        ("BadParams", ("rejected", False), "rejected"),
    ],
)
def test_an_error_about_one_person_means_what_a_bucket_would(
    code: str, upsert: tuple[str, bool], delete: str
) -> None:
    made = an_object("email", identifiers=["userId"])

    def serve(users: list[Any]) -> Answer:
        known = all(user["userId"] != "1" for user in users)
        return counts(len(users)) if known else answer({"code": code, "msg": "no"}, 400)

    delivered, _ = talk(made, a_batch(made, Operation.INSERT, ["0", "1", "2"]), serve)
    first, named, last = delivered.outcomes
    assert (named.code, named.retryable) == upsert
    assert (first, last) == (SUCCEEDED, SUCCEEDED)
    delivered, _ = talk(made, a_batch(made, Operation.DELETE, ["0", "1", "2"]), serve)
    assert [outcome.status for outcome in delivered.outcomes] == ["succeeded", delete, "succeeded"]


@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refused_batch_is_narrowed_by_halving(status: int) -> None:
    made = an_object()

    def serve(users: list[Any]) -> Answer:
        if any(user["email"] == "p5@example.com" for user in users):
            return answer({"code": "GenericError", "msg": "no"}, status)
        return counts(len(users))

    delivered, _ = talk(made, a_batch(made, Operation.UPDATE, people(8)), serve)
    assert codes(delivered) == [*[None] * 5, "rejected", None, None]


@pytest.mark.parametrize(
    ("reply", "code", "words"),
    [
        (answer({"code": "BadApiKey", "msg": "no"}, 401), "unauthorized", "server-side key"),
        (
            answer({"code": "UniqueFieldsLimitExceeded", "params": {"limit": 1000}}, 400),
            "field_limit",
            "reverse-etl check SYNC",
        ),
        (Response(404, b"<html>"), "not_found_page", "base_url"),
    ],
)
def test_answers_that_end_the_run(reply: Response, code: str, words: str) -> None:
    with pytest.raises(Fatal) as caught:
        deliver(reply)
    assert caught.value.code == code
    assert words in str(caught.value)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "code"), [(NoAnswer("reset"), "unknown"), (Response(503), "unavailable")]
)
def test_outages(reply: Answer, code: str) -> None:
    assert codes(deliver(reply)) == [code] * 3


# --- values of the wrong type --------------------------------------------------------------


def mismatched(field: str, value: Any, expected: str = "date", *incoming: str) -> Response:
    """Return the answer as block/iterable-go recorded it."""
    fault = {
        "incomingTypes": list(incoming or ("string", "keyword")),
        "expectedType": expected,
        "category": "user",
        "offendingValue": value,
        "_type": "UnexpectedType",
    }
    data = {
        "msg": "Project 1: The request does not have the same data types...",
        "code": "RequestFieldsTypesMismatched",
        "params": {"validationErrors": {field: fault}},
    }
    return answer(data, 400)


def strict(field: str, is_good: Callable[[Any], bool], expected: str) -> Callable[[Any], Answer]:
    """Return a server that names the first value that is not good."""

    def serve(users: list[Any]) -> Answer:
        for user in users:
            held: Any = user.get("dataFields", {})
            for segment in field.split("."):
                held = held.get(segment) if isinstance(held, dict) else None
            if held is not None and not is_good(held):
                return mismatched(field, held, expected)
        return counts(len(users))

    return serve


def isolate(
    values: pa.Array, is_good: Callable[[Any], bool], expected: str, field: str = "v"
) -> tuple[Delivered, list[Request]]:
    made = an_object()
    nested = values if field == "o.w" else None
    flat = None if nested is not None else values
    batch = a_batch(made, Operation.UPDATE, people(len(values)), flat, nested=nested)
    return talk(made, batch, strict(field, is_good, expected))


def refused(delivered: Delivered) -> list[int]:
    return [i for i, outcome in enumerate(delivered.outcomes) if outcome != SUCCEEDED]


DATE = "2020-04-13 14:04:09 +00:00"


@pytest.mark.parametrize("field", ["v", "o.w"])
def test_one_value_of_the_wrong_type_is_found_in_two_requests(field: str) -> None:
    values = pa.array([DATE] * 617 + ["soon"] + [DATE] * 382)
    delivered, requests = isolate(values, lambda value: value == DATE, "date", field)
    assert refused(delivered) == [617]
    outcome = delivered.outcomes[617]
    assert (outcome.code, outcome.retryable) == ("rejected", False)
    assert "RequestFieldsTypesMismatched" in (outcome.reason or "")
    assert (
        f"field '{field}' has type date in this project, not string/keyword"
        " (refused value: 'soon')" in (outcome.reason or "")
    )
    assert [len(request.changes or values) for request in requests] == [1000, 999]


def test_all_rows_that_hold_the_same_wrong_value_are_found_at_once() -> None:
    values = pa.array([DATE, "n/a"] * 500)
    delivered, requests = isolate(values, lambda value: value == DATE, "date")
    assert refused(delivered) == list(range(1, 1000, 2))
    assert len(requests) == 2


def test_a_whole_column_of_the_wrong_form_costs_three_requests() -> None:
    wrong = [f"2020-04-13 14:04:{second:02}.{n:03}" for second in range(10) for n in range(50)]
    values = pa.array([text for bad in wrong for text in (bad, DATE)])
    delivered, requests = isolate(values, lambda value: value == DATE, "date")
    assert refused(delivered) == list(range(0, 1000, 2))
    assert [len(request.changes or values) for request in requests] == [1000, 500, 499]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([f"name {'x' * number}" for number in range(500)]),
        pa.array([number + 0.5 for number in range(500)]),
        pa.array(list(range(1, 501))),
        pa.array([{"a": number} for number in range(500)]),
        pa.array([[number] for number in range(1, 501)]),
    ],
)
def test_a_column_of_the_wrong_type_is_refused_in_two_requests(values: pa.Array) -> None:
    delivered, requests = isolate(values, lambda _: False, "boolean")
    assert len(refused(delivered)) == 500
    assert len(requests) == 2


def test_values_that_look_alike_are_not_blamed_when_they_are_taken() -> None:
    values = pa.array(["2020-13-40", *[f"2020-01-{day:02}" for day in range(1, 29)]])
    delivered, requests = isolate(values, lambda value: value != "2020-13-40", "date")
    assert refused(delivered) == [0]
    assert len(requests) == 2


@pytest.mark.parametrize(
    "bad",
    [
        ["2020-13-40", "2020-02-30", "2021-00-01"],
        ["2020-1-5", "2020-2-3"],
        ["2020-01-01 25:00:00", "2020-01-01 24:61:00", "2020-01-02"],
        ["2020-01-01T00:00:00.5Z", "2020-01-01T00:00:00.7Z"],
    ],
)
def test_a_good_date_is_not_blamed_for_several_bad_ones_of_its_form(bad: list[str]) -> None:
    days = range(1, 29)
    good = [
        *(f"2020-01-{day:02}" for day in days if f"2020-01-{day:02}" not in bad),
        *(f"2020-01-{day:02} 10:00:00" for day in days),
        *(f"2020-01-{day:02}T10:00:00.123Z" for day in days),
    ]
    values = pa.array([*bad, *good])
    delivered, _ = isolate(values, lambda value: value not in bad, "date")
    assert refused(delivered) == list(range(len(bad)))


def test_several_wrong_values_of_different_forms_are_all_found() -> None:
    bad = ["a1", "b22", "3c", "n/a", "x-y 7", "true"]
    values = pa.array([DATE] * 200 + bad + [DATE] * 200)
    delivered, requests = isolate(values, lambda value: value == DATE, "date")
    assert refused(delivered) == list(range(200, 206))
    assert len(requests) <= 2 * len(bad) + 1


def test_two_fields_named_at_once_are_both_set_aside() -> None:
    made = an_object()
    values = pa.array(["ok", "bad", "ok", "ok"])
    nested = pa.array(["ok", "ok", "worse", "ok"])
    batch = a_batch(made, Operation.INSERT, people(4), values, nested=nested)
    both = json.loads(mismatched("v", "bad").body)
    both["params"]["validationErrors"] |= json.loads(mismatched("o.w", "worse").body)["params"][
        "validationErrors"
    ]

    def serve(users: list[Any]) -> Answer:
        texts = json.dumps(users)
        return answer(both, 400) if "bad" in texts or "worse" in texts else counts(len(users))

    delivered, _ = talk(made, batch, serve)
    assert refused(delivered) == [1, 2]
    assert "'v'" in (delivered.outcomes[1].reason or "")
    assert "'o.w'" in (delivered.outcomes[2].reason or "")


@pytest.mark.parametrize(
    ("field", "value"),
    [("elsewhere", "soon"), ("v", "another"), ("v", None), ("v", {"deep": [1]}), ("", "soon")],
)
def test_a_mismatch_that_fits_no_row_is_narrowed_by_halving(field: str, value: Any) -> None:
    made = an_object()
    values = pa.array([*["fine1"] * 5, "soon2", *["fine1"] * 2])

    def serve(users: list[Any]) -> Answer:
        is_bad = any(user["dataFields"]["v"] == "soon2" for user in users)
        return mismatched(field, value) if is_bad else counts(len(users))

    delivered, _ = talk(made, a_batch(made, Operation.INSERT, people(8), values), serve)
    assert refused(delivered) == [5]


@pytest.mark.parametrize("faults", [[], "x", {"v": "x"}, {"v": {}}, {"v": {"offendingValue": []}}])
def test_a_mismatch_in_an_unknown_form_is_narrowed_by_halving(faults: Any) -> None:
    made = an_object()
    values = pa.array([1, 2, 3, 4])
    data = {"code": "RequestFieldsTypesMismatched", "params": {"validationErrors": faults}}

    def serve(users: list[Any]) -> Answer:
        is_bad = any(user["dataFields"]["v"] == 3 for user in users)
        return answer(data, 400) if is_bad else counts(len(users))

    delivered, _ = talk(made, a_batch(made, Operation.INSERT, people(4), values), serve)
    assert refused(delivered) == [2]


def test_a_server_that_only_ever_names_values_comes_to_an_end() -> None:
    made = an_object()
    values = pa.array([f"{'x' * number}{number}" for number in range(200)])
    batch = a_batch(made, Operation.INSERT, people(200), values)
    delivered, requests = talk(
        made, batch, lambda users: mismatched("v", users[0]["dataFields"]["v"])
    )
    assert len(requests) == REQUESTS_PER_BATCH_MAX
    assert set(codes(delivered)) == {"rejected"}


def test_an_offending_value_that_comes_back_as_text_is_recognised() -> None:
    made = an_object()
    batch = a_batch(made, Operation.INSERT, people(3), pa.array([1.5, 2.5, 3.5]))
    replies = iter([mismatched("v", "2.5", "long", "double"), counts(2)])
    delivered, _ = talk(made, batch, lambda _: next(replies))
    assert refused(delivered) == [1]


# --- the sandbox, over HTTP ----------------------------------------------------------------


def send_to(
    sandbox: Sandbox, made: DestinationObject, batch: Batch
) -> tuple[Delivered, list[Request]]:
    conversation = made.deliver(batch)
    requests: list[Request] = []
    with httpx.Client(base_url=sandbox.url, headers={"Api-Key": KEY}) as client:
        try:
            request = next(conversation)
            while True:
                requests.append(request)
                reply = client.request(request.method, request.path, content=request.body)
                request = conversation.send(Response(reply.status_code, reply.content))
        except StopIteration as stop:
            delivered: Delivered = stop.value
    return delivered, requests


def fields_of(sandbox: Sandbox, identifier: str) -> dict[str, Any]:
    profile = sandbox.state.profile(identifier)
    assert profile is not None
    return {name: value for name, value in profile.fields.items() if name in {"v", "o"}}


@pytest.mark.parametrize(
    ("project_type", "identifiers", "identity", "name"),
    [
        ("email", ["email"], "ada@example.com", "ada@example.com"),
        ("email", ["userId"], "42", "42"),
        ("user_id", ["userId"], "42", "42"),
        ("hybrid", None, "userId:42", "42"),
        ("hybrid", None, "email:ada@example.com", "ada@example.com"),
    ],
)
def test_a_profile_is_made_changed_and_cleared(
    project_type: Any, identifiers: list[str] | None, identity: str, name: str
) -> None:
    made = an_object(project_type, identifiers)
    with Sandbox(project_type=project_type, api_key=KEY) as sandbox:

        def send(operation: Operation, value: Any = None, nested: Any = None) -> Outcome:
            columns = pa.array([value]), pa.array([nested])
            batch = a_batch(made, operation, [identity], columns[0], nested=columns[1])
            (outcome,) = send_to(sandbox, made, batch)[0].outcomes
            return outcome

        assert send(Operation.INSERT, "gold", 1) == SUCCEEDED
        assert fields_of(sandbox, name) == {"v": "gold", "o": {"w": 1}}
        assert send(Operation.UPDATE, "silver") == SUCCEEDED
        assert fields_of(sandbox, name) == {"v": "silver", "o": {"w": 1}}
        assert send(Operation.DELETE) == SUCCEEDED
        assert fields_of(sandbox, name) in ({}, {"o": {}})
        assert send(Operation.DELETE) == SUCCEEDED


def test_clearing_somebody_unknown_makes_no_placeholder() -> None:
    made = an_object("email", ["userId"])
    with Sandbox(api_key=KEY) as sandbox:
        delivered, _ = send_to(sandbox, made, a_batch(made, Operation.DELETE, ["42", "43"]))
        assert [outcome.status for outcome in delivered.outcomes] == ["succeeded"] * 2
        assert sandbox.state.profile("42") is None


def test_wrong_types_are_isolated_in_the_sandbox() -> None:
    made = an_object()
    with Sandbox(api_key=KEY) as sandbox:
        first = a_batch(made, Operation.INSERT, ["a@example.com"], pa.array([DATE]))
        assert codes(send_to(sandbox, made, first)[0]) == [None]
        values = pa.array([DATE] * 400 + ["soon", "later", "2020-04-13 14:04:09.000"])
        batch = a_batch(made, Operation.INSERT, people(403), values)
        delivered, requests = send_to(sandbox, made, batch)
        assert refused(delivered) == [400, 401, 402]
        assert len(requests) <= 6
        assert sandbox.state.profile("p0@example.com") is not None
        assert sandbox.state.profile("p400@example.com") is None


def test_update_only_creates_nobody_in_the_sandbox() -> None:
    made = an_object(update_only=True)
    with Sandbox(api_key=KEY) as sandbox:
        plain = an_object()
        send_to(sandbox, plain, a_batch(plain, Operation.INSERT, ["p0@example.com"]))
        batch = a_batch(made, Operation.INSERT, people(2), pa.array(["x", "y"]))
        delivered, _ = send_to(sandbox, made, batch)
        assert codes(delivered) == [None, "not_found"]
        assert fields_of(sandbox, "p0@example.com") == {"v": "x"}
        assert sandbox.state.profile("p1@example.com") is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("soon, hdrs: (Api-Key," + KEY + ")", "(refused value: 'soon')"),
        ({"deep": [KEY]}, "(refused value: an object)"),
        ([KEY], "(refused value: a list)"),
        (None, "(refused value: None)"),
        ("x" * 500, "xxx)"),
    ],
)
def test_a_reason_repeats_no_more_of_an_answer_than_a_person_needs(value: Any, words: str) -> None:
    made = an_object()
    batch = a_batch(made, Operation.INSERT, people(1), pa.array(["soon"]))
    delivered, _ = talk(made, batch, lambda _: mismatched("v", value, "date"))
    reason = delivered.outcomes[0].reason or ""
    assert words in reason
    assert KEY not in reason
    assert len(reason) < 400
