"""Reading what Iterable holds: members as lines, profiles as documents; values in, values out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.iterable import IterableConnector
from connectors.iterable.auditing import parse_members
from connectors.iterable.identifiers import EMAIL, USER_ID
from connectors.iterable.settings import IterableAccount, ListSettings, UserSettings
from reverse_etl.connector import (
    Answer,
    DestinationObject,
    Drift,
    Fatal,
    FieldMapping,
    NoAnswer,
    Prepared,
    Request,
    Response,
    Target,
)

KEY = "0123456789abcdef0123456789abcdef"
SPOOLED = Response(200, headers={"content-type": "text/plain"}, spooled=Path("answer-1"))


def an_object(kind: str, project_type: str, *identifiers: str, **account: Any) -> DestinationObject:
    made = IterableAccount.model_validate(
        {"type": "iterable", "api_key": KEY, "project_type": project_type, **account}
    )
    settings: ListSettings | UserSettings = (
        ListSettings.model_validate({"name": "prod", "object": "list", "list": {"id": 7}})
        if kind == "list"
        else UserSettings.model_validate({"name": "prod", "object": "user"})
    )
    mapping = FieldMapping({name: name.lower() for name in identifiers})
    return IterableConnector().bind(made, settings, mapping, "mirror")


# --- the members of a list -----------------------------------------------------------------


def members(destination: DestinationObject, *given: Answer) -> tuple[Sequence[Path], list[Request]]:
    conversation = destination.read_members(Target("7"))
    requests = [next(conversation)]
    for answer in given:
        try:
            requests.append(conversation.send(answer))
        except StopIteration as end:
            assert len(requests) == len(given)
            return end.value, requests
    msg = "the conversation wants more answers"
    raise AssertionError(msg)


@pytest.mark.parametrize(
    ("project_type", "identifiers", "preferences"),
    [
        ("email", ["email"], ["false"]),
        ("user_id", ["userId"], ["true"]),
        ("hybrid", ["userId", "email"], ["true", "false"]),
        ("hybrid", ["email"], ["false"]),
        ("hybrid", ["userId"], ["true"]),
    ],
)
def test_a_list_is_read_once_for_each_identifier(
    project_type: str, identifiers: list[str], preferences: list[str]
) -> None:
    answers = [SPOOLED] * len(preferences)
    paths, requests = members(an_object("list", project_type, *identifiers), *answers)
    assert list(paths) == [SPOOLED.spooled] * len(preferences)
    for request, preference in zip(requests, preferences, strict=True):
        assert (request.method, request.path) == ("GET", "/api/lists/getUsers")
        assert request.query == {"listId": "7", "preferUserId": preference}
        assert (request.spool, request.body) == (True, None)


def test_every_endpoint_of_an_audit_has_its_documented_rate() -> None:
    account = IterableAccount.model_validate({"type": "iterable", "api_key": KEY})
    rates = IterableConnector().limits(account).requests_per_second
    assert rates["lists/getUsers"] == pytest.approx(5 / 60)
    assert rates["users/getByEmail"] == rates["users/byUserId"] == 100


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (NoAnswer("no answer within 20 s"), "destination_unavailable"),
        (Response(503, b"Request timeout. Try again later."), "destination_unavailable"),
        (Response(401, b'{"code":"BadApiKey","msg":"Invalid API key"}'), "unauthorized"),
        (Response(400, b'{"code":"BadParams","msg":"Invalid email list id"}'), "unknown_list"),
        (Response(404, b"<html>"), "not_found_page"),
        (Response(400, b"{}"), "list_refused"),
        (
            Response(200, headers={"content-type": "text/html"}, spooled=Path("x")),
            "unreadable_answer",
        ),
        (Response(200, b"ada@x.com"), "unreadable_answer"),
    ],
)
def test_a_list_that_cannot_be_read_ends_the_conversation(answer: Answer, code: str) -> None:
    with pytest.raises(Fatal) as caught:
        members(an_object("list", "email", "email"), answer)
    assert caught.value.code == code
    assert KEY not in str(caught.value)


def parsed(*lines: bytes) -> tuple[list[str | None], list[str | None]]:
    batches = list(parse_members(iter(lines), [USER_ID, EMAIL]))
    assert all(batch.schema.names == ["userId", "email"] for batch in batches)
    return (
        [value for batch in batches for value in batch.column("userId").to_pylist()],
        [value for batch in batches for value in batch.column("email").to_pylist()],
    )


def test_a_line_is_what_it_may_be_as_each_identifier() -> None:
    assert parsed(b"ada@x.com\n", b" Bob@X.com \r\n", b"u1\n", b"\n", b"cy@x.com") == (
        ["ada@x.com", " Bob@X.com ", "u1", None, "cy@x.com"],
        ["ada@x.com", "bob@x.com", None, None, "cy@x.com"],
    )


@pytest.mark.parametrize(
    ("line", "user_id", "address"),
    [
        (b"no address\n", "no address", None),
        (b"a@b\n", "a@b", None),
        (b"a@b@c.com\n", "a@b@c.com", None),
        (b"\xff\xfe@x.com\n", "\ufffd\ufffd@x.com", "\ufffd\ufffd@x.com"),
        (b"a\0b@x.com\n", None, None),
        ("käse@x.com\n".encode(), "käse@x.com", "käse@x.com"),
        (b"x" * 300 + b"\n", "x" * 300, None),
    ],
)
def test_malformed_lines_are_kept_where_they_can_be(
    line: bytes, user_id: str | None, address: str | None
) -> None:
    assert parsed(b"ada@x.com\n", line) == (["ada@x.com", user_id], ["ada@x.com", address])


def test_a_long_list_comes_in_pieces() -> None:
    lines = (b"p%d@x.com\n" % n for n in range(120_000))
    batches = parse_members(lines, [EMAIL])
    assert next(batches).num_rows == 50_000
    # Only what was asked for is read.
    assert next(lines) == b"p50000@x.com\n"
    assert [batch.num_rows for batch in batches] == [50_000, 19_999]


def test_an_empty_list_has_no_pieces() -> None:
    assert list(parse_members(iter([]), [EMAIL])) == []


# --- profiles ------------------------------------------------------------------------------


def a_profile(fields: Mapping[str, Any], **identifiers: str) -> Response:
    user = {"email": "ada@x.com", **identifiers, "dataFields": fields}
    return Response(200, json.dumps({"user": user}).encode())


def drifts(
    records: Sequence[Mapping[str, Any] | None],
    *given: Answer,
) -> tuple[Sequence[Drift | None], list[Request]]:
    bodies = [json.dumps(record).encode() if record else b"" for record in records]
    blank = [""] * len(bodies)
    prepared = Prepared(bodies, blank, [None] * len(bodies), {})
    conversation = an_object("user", "email", "email").compare_profiles(prepared)
    requests = []
    try:
        requests.append(next(conversation))
        for answer in given:
            requests.append(conversation.send(answer))  # noqa: PERF401 - it may end the conversation
    except StopIteration as end:
        return end.value, requests
    msg = "the conversation wants more answers"
    raise AssertionError(msg)


def drift(ours: Mapping[str, Any], theirs: Mapping[str, Any], *, merge: bool = False) -> str | None:
    record = {"email": "ada@x.com", "dataFields": ours, "mergeNestedObjects": merge}
    (found,), _ = drifts([record], a_profile(theirs))
    assert found is None or found.kind == "different"
    return found.reason if found else None


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ({}, {"other": 1}),
        ({"plan": "gold"}, {"plan": "gold", "other": 1}),
        ({"n": 3}, {"n": 3.0}),
        ({"n": 1.5}, {"n": 1.5}),
        ({"n": "9007199254740993"}, {"n": 9007199254740993}),
        ({"n": None}, {}),
        ({"n": None}, {"n": None}),
        ({"day": "2026-11-22"}, {"day": "2026-11-22 00:00:00 +00:00"}),
        ({"at": "2026-11-22 10:00:00 +00:00"}, {"at": "2026-11-22 10:00:00 +00:00"}),
        ({"at": "2026-11-22 10:00:00 +00:00"}, {"at": "2026-11-22T12:00:00.250+02:00"}),
        ({"yes": True}, {"yes": True}),
        ({"tags": ["a", "b"]}, {"tags": ["a", "b"]}),
        ({"days": ["2026-11-22"]}, {"days": ["2026-11-22 00:00:00 +00:00"]}),
        ({"tags": []}, {}),
        ({"home": {"city": "Bern", "zip": None}}, {"home": {"city": "Bern"}}),
        ({"home": {"zip": None}}, {}),
        (
            {"home_geo_location": {"lat": 47, "lon": 8.5}},
            {"home_geo_location": {"lat": 47.0, "lon": 8.5}},
        ),
    ],
)
def test_values_that_iterable_shows_in_its_own_form_are_the_same(
    ours: dict[str, Any], theirs: dict[str, Any]
) -> None:
    assert drift(ours, theirs) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        ({"plan": "gold"}, {"plan": "basic"}, 'plan is "basic", not "gold"'),
        ({"plan": "gold"}, {}, 'plan is absent, not "gold"'),
        ({"plan": "gold"}, {"Plan": "gold"}, 'plan is absent, not "gold"'),
        ({"plan": None}, {"plan": "gold"}, 'plan is "gold", not absent'),
        ({"yes": True}, {"yes": 1}, "yes is 1, not true"),
        ({"yes": False}, {}, "yes is absent, not false"),
        ({"all": [True]}, {"all": [1]}, "all is [1], not [true]"),
        ({"n": 0}, {}, "n is absent, not 0"),
        ({"plan": ""}, {}, 'plan is absent, not ""'),
        ({"n": 1.5}, {"n": 1}, "n is 1, not 1.5"),
        (
            {"at": "2026-11-22 10:00:00 +00:00"},
            {"at": "2026-11-22 10:00:01 +00:00"},
            'at is "2026-11-22 10:00:01 +00:00", not "2026-11-22 10:00:00 +00:00"',
        ),
        ({"code": "20261122"}, {"code": "2026-11-22"}, 'code is "2026-11-22", not "20261122"'),
        ({"tags": ["a"]}, {"tags": ["a", "b"]}, 'tags is ["a","b"], not ["a"]'),
        (
            {"home": {"city": "Bern"}},
            {"home": {"city": "Bern", "zip": "3000"}},
            'home is {"city":"Bern","zip":"3000"}, not {"city":"Bern"}',
        ),
    ],
)
def test_values_that_others_changed_are_named(
    ours: dict[str, Any], theirs: dict[str, Any], reason: str
) -> None:
    assert drift(ours, theirs) == reason


def test_of_a_merged_object_only_our_members_are_compared() -> None:
    theirs = {"home": {"city": "Bern", "zip": "3000", "door": {"code": 1, "bell": 2}}}
    assert drift({"home": {"city": "Bern"}}, theirs, merge=True) is None
    assert drift({"home": {"city": "Aarau"}}, theirs, merge=True) == (
        'home.city is "Bern", not "Aarau"'
    )
    assert drift({"home": {"zip": None}}, theirs, merge=True) == 'home.zip is "3000", not absent'


def test_only_one_level_is_merged() -> None:
    theirs = {"home": {"door": {"code": 1, "bell": 2}}}
    assert drift({"home": {"door": {"code": 1}}}, theirs, merge=True) == (
        'home.door is {"code":1,"bell":2}, not {"code":1}'
    )


def test_many_and_long_differences_are_cut_short() -> None:
    ours = {f"f{n}": "x" * 100 for n in range(5)}
    reason = drift(ours, {})
    assert reason is not None
    assert reason.endswith("; and 2 more")
    assert len(reason) < 300


def test_a_profile_is_read_by_the_identifier_that_finds_it() -> None:
    records = [
        {"email": "a+b@x.com"},
        {"userId": "u 1"},
        {"userId": "u2", "email": "ada@x.com"},
    ]
    found, requests = drifts(records, a_profile({}), a_profile({}), a_profile({}))
    assert found == [None, None, None]
    assert [(r.path, r.endpoint, dict(r.query)) for r in requests] == [
        ("/api/users/getByEmail", "users/getByEmail", {"email": "a+b@x.com"}),
        ("/api/users/byUserId", "users/byUserId", {"userId": "u 1"}),
        ("/api/users/byUserId", "users/byUserId", {"userId": "u2"}),
    ]


def test_another_address_under_the_same_user_id_is_a_difference() -> None:
    found, _ = drifts([{"userId": "u2", "email": "ada@x.com"}], a_profile({}, email="Eve@x.com"))
    assert found == [Drift("different", 'email is "Eve@x.com", not "ada@x.com"')]


@pytest.mark.parametrize(
    "answer",
    [
        Response(200, b"{}"),
        Response(200, b'{"user":null}'),
        Response(400, b"No user with that id exists!"),
        Response(400, b'{"code":"error.users.noUserWithIdExists","msg":"","params":null}'),
    ],
)
def test_a_profile_that_is_not_there(answer: Answer) -> None:
    found, _ = drifts([{"userId": "u1"}], answer)
    assert found == [Drift("missing", "there is no such profile")]


def test_records_that_are_not_sent_are_not_read() -> None:
    found, requests = drifts([None, {"email": "ada@x.com"}, None], a_profile({}))
    assert (found, len(requests)) == ([None, None, None], 1)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (NoAnswer("refused"), "destination_unavailable"),
        (Response(401, b'{"code":"BadApiKey","msg":"Invalid API key"}'), "unauthorized"),
        (Response(404, b"<h2>Oh no- that url doesn't exist.</h2>"), "not_found_page"),
        (Response(200, b"<html>"), "unreadable_answer"),
        (Response(200, b"[]"), "unreadable_answer"),
    ],
)
def test_a_profile_that_cannot_be_read_ends_the_conversation(answer: Answer, code: str) -> None:
    with pytest.raises(Fatal) as caught:
        drifts([{"email": "ada@x.com"}], answer)
    assert caught.value.code == code
