"""The local stand-in for the Iterable API, over real HTTP."""

from __future__ import annotations

import argparse
import ast
import json
import os
import random
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import httpx
import pytest

import connectors.iterable.sandbox as package
from connectors.iterable.sandbox import Fault, Sandbox
from connectors.iterable.sandbox.faults import Action
from connectors.iterable.sandbox.wire import Call

if TYPE_CHECKING:
    from collections.abc import Iterator


ROOT = Path(__file__).parents[2]
KEY = "sandbox-key"
SUBSCRIBE, UNSUBSCRIBE = "/api/lists/subscribe", "/api/lists/unsubscribe"


class Client:
    """A sandbox and an HTTP client for it."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client) -> None:
        self.sandbox = sandbox
        self.state = sandbox.state
        self.http = http
        self.list_id = sandbox.seed_list("VIP")

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(path, json=body)

    def subscribe(self, *people: Any, **more: Any) -> httpx.Response:
        body = {"listId": self.list_id, "subscribers": [*people], **more}
        return self.post(SUBSCRIBE, body)

    def unsubscribe(self, *people: Any, **more: Any) -> httpx.Response:
        body = {"listId": self.list_id, "subscribers": [*people], **more}
        return self.post(UNSUBSCRIBE, body)

    def members(self) -> set[str]:
        return self.state.members(self.list_id)


def connect(url: str, headers: dict[str, str] | None = None) -> httpx.Client:
    """Return a client, with the key unless other headers are given.

    It loads no certificates: that would take longer than most of these tests.
    """
    headers = {"Api-Key": KEY} if headers is None else headers
    return httpx.Client(base_url=url, headers=headers, timeout=5, verify=False)  # noqa: S501


def get(url: str, headers: dict[str, str] | None = None) -> httpx.Response:
    with connect(url, headers) as http:
        return http.get(url)


@contextmanager
def running(*args: Any, **options: Any) -> Iterator[Client]:
    with Sandbox(*args, **options) as sandbox, connect(sandbox.url) as http:
        yield Client(sandbox, http)


@pytest.fixture
def email() -> Iterator[Client]:
    with running("email") as client:
        yield client


@pytest.fixture
def user_id() -> Iterator[Client]:
    with running("user_id") as client:
        yield client


@pytest.fixture
def hybrid() -> Iterator[Client]:
    with running("hybrid") as client:
        yield client


def counts(response: httpx.Response) -> tuple[int, int]:
    assert response.status_code == 200, response.text
    body = response.json()
    return body["successCount"], body["failCount"]


def failures(response: httpx.Response) -> dict[str, list[str]]:
    """Return the failedUpdates that are not empty, after checking that they add up."""
    assert response.status_code == 200, response.text
    return {key: value for key, value in response.json()["failedUpdates"].items() if value}


def envelope(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    return response.status_code, body["code"], body["msg"]


# --- keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"Api-Key": "wrong"}, {"api_key": "wrong"}])
def test_a_bad_key_gets_the_recorded_401(email: Client, headers: dict[str, str]) -> None:
    response = get(f"{email.sandbox.url}/api/lists", headers)
    assert response.status_code == 401
    assert response.json() == {
        "msg": "Invalid API key",
        "code": "BadApiKey",
        "params": {"ip": "127.0.0.1", "endpoint": "/api/lists"},
    }


def test_a_key_is_taken_where_tools_in_the_wild_put_it(email: Client) -> None:
    lists = f"{email.sandbox.url}/api/lists"
    assert get(lists, {"api_key": KEY}).status_code == 200
    assert get(f"{lists}?api_key={KEY}", {}).status_code == 200
    assert get(f"{lists}?api_key=wrong", {}).status_code == 401
    assert get(f"{lists}?api_key={KEY}", {"Api-Key": "wrong"}).status_code == 401


# --- lists ---------------------------------------------------------------------------------


def test_lists_are_newest_first_and_names_may_repeat(email: Client) -> None:
    ids = [email.post("/api/lists", {"name": "twin"}).json()["listId"] for _ in range(2)]
    listed = email.http.get("/api/lists").json()["lists"]
    assert [each["id"] for each in listed] == [*reversed(ids), email.list_id]
    with pytest.raises(LookupError, match="2 lists are named 'twin'"):
        email.state.list_named("twin")
    assert email.state.list_named("VIP").id == email.list_id


def test_list_details_follow_the_type(email: Client) -> None:
    email.post("/api/lists", {"name": "described", "description": "why"})
    email.sandbox.seed_list("never", list_type="Suppression")
    by_name = {each["name"]: each for each in email.http.get("/api/lists").json()["lists"]}
    assert by_name["described"]["description"] == "why"
    assert "description" not in by_name["VIP"]
    assert by_name["VIP"]["listType"] == "Standard"
    assert by_name["never"]["isGlobalSuppressionEnabled"] is False
    assert "isGlobalSuppressionEnabled" not in by_name["VIP"]


def test_a_deleted_list_is_gone(email: Client) -> None:
    assert email.http.delete(f"/api/lists/{email.list_id}").status_code == 200
    assert email.http.get("/api/lists").json() == {"lists": []}
    assert email.subscribe({"email": "a@x.com"}).status_code == 400


def test_a_list_in_use_stays(email: Client) -> None:
    email.state.lists[email.list_id].in_use = True
    response = email.http.delete(f"/api/lists/{email.list_id}")
    assert envelope(response) == (409, "BadParams", "List is in use")
    assert email.list_id in email.state.lists


@pytest.mark.parametrize("path", [SUBSCRIBE, UNSUBSCRIBE])
def test_unknown_list_is_400_with_code_success(email: Client, path: str) -> None:
    response = email.post(path, {"listId": 999999999, "subscribers": [{"email": "a@x.com"}]})
    assert response.status_code == 400
    assert response.json() == {
        "msg": "error.lists.invalidListId(999999999)",
        "code": "Success",
        "params": {"projectId": 2158, "listId": 999999999},
    }
    assert email.state.profile("a@x.com") is None


@pytest.mark.parametrize(
    "path",
    ["/api/lists/getUsers?listId=7", "/api/lists/getUsers?listId=x", "/api/lists/7/size"],
)
def test_reading_an_unknown_list(email: Client, path: str) -> None:
    assert envelope(email.http.get(path)) == (400, "BadParams", "Invalid email list id")


def test_reading_needs_a_list_id(email: Client) -> None:
    response = email.http.get("/api/lists/getUsers")
    assert envelope(response) == (400, "BadParams", "Missing parameter: listId")


@pytest.mark.parametrize("list_type", ["Dynamic", "Suppression", "Internal"])
def test_any_type_of_list_takes_people(email: Client, list_type: str) -> None:
    email.list_id = email.sandbox.seed_list("other", list_type=list_type)
    assert counts(email.subscribe({"email": "a@x.com"})) == (1, 0)
    assert email.members() == {"a@x.com"}


def test_preview_is_a_repeatable_sample() -> None:
    people = [f"p{n}@x.com" for n in range(50)]
    samples = []
    for seed in (1, 1, 2):
        with running(seed=seed) as client:
            list_id = client.sandbox.seed_list("many", people)
            query = {"listId": str(list_id), "size": "5"}
            samples.append(client.http.get("/api/lists/previewUsers", params=query).text.split())
    assert samples[0] == samples[1] != samples[2]
    assert len(set(samples[0])) == 5
    assert set(samples[0]) <= set(people)


@pytest.mark.parametrize("call", ["getUsers", "previewUsers"])
def test_a_number_with_too_many_digits_is_no_list(email: Client, call: str) -> None:
    response = email.http.get(f"/api/lists/{call}?listId={'9' * 5000}")
    assert (response.status_code, response.json()["msg"]) == (400, "Invalid email list id")


def test_a_preview_of_too_many_digits_is_refused(email: Client) -> None:
    query = f"listId={email.list_id}&size={'9' * 5000}"
    response = email.http.get(f"/api/lists/previewUsers?{query}")
    assert (response.status_code, response.json()["msg"]) == (400, "Invalid size")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH"])
def test_a_method_that_the_api_lacks_gets_the_404_page(email: Client, method: str) -> None:
    response = email.http.request(method, "/api/lists")
    assert response.status_code == 404
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert bool(response.content) is (method != "HEAD")
    # The connection is fit for the next request.
    assert email.http.get("/api/lists").status_code == 200


def test_preview_size_must_be_a_number(email: Client) -> None:
    response = email.http.get(f"/api/lists/previewUsers?listId={email.list_id}&size=-1")
    assert envelope(response) == (400, "BadParams", "Invalid size")


@pytest.mark.parametrize(("prefer", "expected"), [("false", "a@x.com\nu2\n"), ("true", "u1\nu2\n")])
def test_hybrid_lines_follow_prefer_user_id(hybrid: Client, prefer: str, expected: str) -> None:
    hybrid.subscribe({"email": "a@x.com", "userId": "u1"}, {"userId": "u2"})
    query = {"listId": str(hybrid.list_id), "preferUserId": prefer}
    assert hybrid.http.get("/api/lists/getUsers", params=query).text == expected


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/api/list"), ("PUT", "/api/lists"), ("GET", SUBSCRIBE), ("DELETE", "/api/lists/x")],
)
def test_unknown_methods_are_404_even_without_a_key(email: Client, method: str, path: str) -> None:
    with connect(email.sandbox.url, {}) as http:
        response = http.request(method, path)
    assert response.status_code == 404
    assert "Action not found" in response.text


# --- bodies --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "key", "expected"),
    [
        ({"email": 1}, "email", "String value expected"),
        ({"userId": 42}, "userId", "String value expected"),
        ({"email": "a@x.com", "preferUserId": "no"}, "preferUserId", "Boolean value expected"),
        (
            {"email": "a@x.com", "mergeNestedObjects": 1},
            "mergeNestedObjects",
            "Boolean value expected",
        ),
        ({"email": "a@x.com", "dataFields": []}, "dataFields", "Object value expected"),
    ],
)
def test_one_malformed_entry_refuses_the_batch(
    email: Client, entry: dict[str, Any], key: str, expected: str
) -> None:
    response = email.subscribe({"email": "good@x.com"}, entry)
    assert response.status_code == 400
    assert response.json()["code"] == "BadJsonBody"
    assert response.json()["params"] == {f"obj.subscribers[1].{key}": expected}
    assert email.members() == set()


def test_all_faults_of_a_body_are_named_in_the_old_shape() -> None:
    with running(response_shape="old") as client:
        response = client.post(SUBSCRIBE, {"listId": "1", "subscribers": ["x"]})
    assert response.json()["params"] == {
        "obj.listId": [{"msg": "error.expected.jsnumber", "args": []}],
        "obj.subscribers[0]": [{"msg": "error.expected.jsobject", "args": []}],
    }


@pytest.mark.parametrize(
    ("body", "params"),
    [
        ({}, {"obj.listId": "Value is missing", "obj.subscribers": "Value is missing"}),
        ([], {"obj": "Object value expected"}),
        (
            {"listId": True, "subscribers": {}, "updateExistingUsersOnly": 1},
            {
                "obj.listId": "Number value expected",
                "obj.subscribers": "Array value expected",
                "obj.updateExistingUsersOnly": "Boolean value expected",
            },
        ),
    ],
)
def test_malformed_bodies(email: Client, body: Any, params: dict[str, str]) -> None:
    response = email.post(SUBSCRIBE, body)
    assert (response.status_code, response.json()["params"]) == (400, params)


def test_a_body_that_is_no_json(email: Client) -> None:
    response = email.http.post(SUBSCRIBE, content=b'{"listId": ')
    assert response.status_code == 400
    assert response.json()["code"] == "BadJsonBody"
    assert response.json()["params"] is None


def test_bad_json_body_repeats_body_and_key(email: Client) -> None:
    msg = email.post("/api/lists", {"nome": "x"}).json()["msg"]
    assert msg.startswith('[/api/lists] body: {"nome":"x"}, hdrs: List((')
    assert f"(Api-Key,{KEY})" in msg or f"(api-key,{KEY})" in msg


def test_an_entry_without_identifier_refuses_the_batch(email: Client) -> None:
    response = email.subscribe({"email": "a@x.com"}, {"email": None})
    assert envelope(response) == (400, "BadParams", "Either email or userId must be set")
    assert email.members() == set()


def test_nulls_count_as_absent(hybrid: Client) -> None:
    person = {"email": None, "userId": "u1", "dataFields": None, "preferUserId": None}
    assert counts(hybrid.subscribe(person, updateExistingUsersOnly=None)) == (1, 0)
    assert hybrid.members() == {"u1"}


def test_the_size_cap(email: Client) -> None:
    body = json.dumps({"listId": email.list_id, "subscribers": [{"email": "a@x.com"}]})
    fits = email.http.post(SUBSCRIBE, content=body.ljust(4_000_000))
    assert counts(fits) == (1, 0)
    too_big = email.http.post(SUBSCRIBE, content=body.ljust(4_000_001))
    assert (too_big.status_code, too_big.json()["code"]) == (413, "BatchTooLarge")
    assert email.http.get("/api/lists").status_code == 200  # the connection is still good


def test_a_body_without_length_is_refused(email: Client) -> None:
    response = email.http.post(SUBSCRIBE, content=iter([b"{}"]))
    assert response.status_code == 411


# --- people --------------------------------------------------------------------------------


def test_subscribing_is_idempotent_and_folds_case(email: Client) -> None:
    assert counts(email.subscribe({"email": "Ada@X.com"}, {"email": "ada@x.com"})) == (2, 0)
    assert counts(email.subscribe({"email": "ADA@x.com"})) == (1, 0)
    assert email.members() == {"ada@x.com"}
    assert email.state.counters["joined"] == 1
    assert email.state.counters["subscribe_events"] == 3


def test_empty_batches_succeed(email: Client) -> None:
    assert counts(email.subscribe()) == (0, 0)
    assert counts(email.unsubscribe()) == (0, 0)


@pytest.mark.parametrize(
    "bad",
    [
        "", "None", "bad@", "@x.com", "a b@x.com", " a@x.com", "a@x.com ", "a@x", "a@@x.com",
        "a@x.com,b@x.com", "a..b@x.com", "a@-x.com", "a@x.local", "a@x.c", "a@1.2.3.4",
        "x" * 65 + "@x.com", "a@" + "x" * 64 + ".com", "a@" + "x." * 126 + "com", "a\n@x.com",
    ],
)  # fmt: skip
def test_malformed_emails_are_refused_one_by_one(email: Client, bad: str) -> None:
    response = email.subscribe({"email": bad}, {"email": "good@x.com"})
    assert counts(response) == (1, 1)
    assert failures(response) == {"invalidEmails": [bad.lower()]}
    assert response.json()["invalidEmails"] == [bad.lower()]
    assert email.members() == {"good@x.com"}
    assert failures(email.unsubscribe({"email": bad})) == {"invalidEmails": [bad.lower()]}


@pytest.mark.parametrize(
    "good",
    [
        "a+b@x.com",
        "o'brien@x.co.uk",
        "x" * 64 + "@example.museum",
        "ä@müller.de",
        "a@xn--mller-kva.de",
    ],
)
def test_unusual_emails_are_taken(email: Client, good: str) -> None:
    assert counts(email.subscribe({"email": good})) == (1, 0)


@pytest.mark.parametrize("bad", ["", " u", "u ", "ü", "u\t1", "u" * 53])
def test_malformed_user_ids_are_refused_one_by_one(user_id: Client, bad: str) -> None:
    response = user_id.subscribe({"userId": bad}, {"userId": "u" * 52}, {"userId": "a b"})
    assert counts(response) == (2, 1)
    assert failures(response) == {"invalidUserIds": [bad]}
    assert response.json()["invalidUserIds"] == [bad]


def test_both_identifiers_malformed_is_one_failure_with_two_names(hybrid: Client) -> None:
    response = hybrid.subscribe({"email": "bad@", "userId": " "})
    assert counts(response) == (0, 1)
    assert failures(response) == {"invalidEmails": ["bad@"], "invalidUserIds": [" "]}


def test_malformed_identifiers_within_data_fields(hybrid: Client) -> None:
    response = hybrid.subscribe(
        {"userId": "u1", "dataFields": {"email": "bad@"}},
        {"userId": "u2", "dataFields": {"userId": 5}},
    )
    assert failures(response) == {"invalidEmails": ["bad@"], "invalidUserIds": ["5"]}
    assert hybrid.state.profile("u1") is None


def test_the_old_shape_names_every_failure_in_the_deprecated_arrays() -> None:
    with running("hybrid", response_shape="old") as client:
        people = [{"email": "bad@"}, {"email": "new@x.com"}, {"userId": "u1"}]
        response = client.subscribe(*people, updateExistingUsersOnly=True)
    assert response.json() == {
        "successCount": 0,
        "failCount": 3,
        "invalidEmails": ["bad@", "new@x.com"],
        "invalidUserIds": ["u1"],
    }


def test_email_project_always_creates(email: Client) -> None:
    response = email.subscribe({"email": "a@x.com"}, updateExistingUsersOnly=True)
    assert counts(response) == (1, 0)


def test_email_project_finds_by_email_and_overwrites_the_user_id(email: Client) -> None:
    email.subscribe({"email": "a@x.com", "userId": "u1"}, {"email": "b@x.com", "userId": "u1"})
    email.subscribe({"email": "a@x.com", "userId": "u2"})
    assert email.state.profile("a@x.com") == ("a@x.com", "u2", {})
    assert email.state.profile("b@x.com") == ("b@x.com", "u1", {})
    assert counts(email.unsubscribe({"userId": "u1"})) == (1, 0)
    assert email.members() == {"a@x.com"}


def test_email_project_with_only_an_unknown_user_id(email: Client) -> None:
    response = email.subscribe({"userId": "u1"}, {"userId": "User123", "preferUserId": True})
    assert counts(response) == (1, 1)
    assert failures(response) == {"notFoundUserIds": ["u1"]}
    (placeholder,) = email.members()
    assert placeholder.startswith("user123+")
    assert placeholder.endswith("@placeholder.email")
    assert counts(email.subscribe({"userId": "User123"})) == (1, 0)


def test_email_project_unsubscribes_anybody(email: Client) -> None:
    email.sandbox.seed_list("other", ["b@x.com"])
    assert counts(email.unsubscribe({"email": "b@x.com"}, {"email": "nobody@x.com"})) == (2, 0)
    assert email.state.profile("nobody@x.com") is None
    assert failures(email.unsubscribe({"userId": "u1"})) == {"notFoundUserIds": ["u1"]}


def test_user_id_project_shares_emails(user_id: Client) -> None:
    people = [{"email": "a@x.com", "userId": "u1"}, {"email": "a@x.com", "userId": "u2"}]
    assert counts(user_id.subscribe(*people)) == (2, 0)
    assert user_id.members() == {"u1", "u2"}
    assert counts(user_id.subscribe({"email": "c@x.com", "userId": "u1"})) == (1, 0)
    assert user_id.state.profile("u1") == ("c@x.com", "u1", {})


def test_user_id_project_cannot_create_from_an_email(user_id: Client) -> None:
    assert failures(user_id.subscribe({"email": "a@x.com"})) == {"notFoundEmails": ["a@x.com"]}


def test_user_id_is_case_sensitive(user_id: Client) -> None:
    user_id.subscribe({"userId": "U1"}, {"userId": "u1"})
    assert user_id.members() == {"U1", "u1"}


@pytest.mark.parametrize("kind", ["user_id", "hybrid"])
def test_existing_users_only(kind: str) -> None:
    with running(kind) as client:
        client.sandbox.seed_list("other", ["u1"])
        response = client.subscribe(
            {"userId": "u1"}, {"userId": "u2"}, updateExistingUsersOnly=True
        )
        assert counts(response) == (1, 1)
        assert failures(response) == {"notFoundUserIds": ["u2"]}
        assert client.members() == {"u1"}


@pytest.mark.parametrize("kind", ["user_id", "hybrid"])
def test_unsubscribing_the_unknown_and_the_absent(kind: str) -> None:
    with running(kind) as client:
        client.sandbox.seed_list("other", ["u1"])
        response = client.unsubscribe({"userId": "u1"}, {"userId": "u2"})
        assert counts(response) == (1, 1)
        assert failures(response) == {"notFoundUserIds": ["u2"]}


def test_hybrid_conflict_between_two_profiles(hybrid: Client) -> None:
    hybrid.subscribe({"email": "a@x.com", "userId": "u1"}, {"email": "b@x.com", "userId": "u2"})
    response = hybrid.subscribe({"email": "B@x.com", "userId": "u1"})
    assert counts(response) == (0, 1)
    assert failures(response) == {"conflictEmails": ["b@x.com"]}
    response = hybrid.subscribe({"email": "b@x.com", "userId": "u3"})
    assert failures(response) == {"conflictEmails": ["b@x.com"]}
    assert hybrid.state.profile("u3") is None
    assert hybrid.state.profile("u1") == ("a@x.com", "u1", {})


def test_hybrid_user_id_attaches_to_an_email_only_profile(hybrid: Client) -> None:
    hybrid.subscribe({"email": "a@x.com"})
    assert hybrid.members() == {"a@x.com"}
    assert counts(hybrid.subscribe({"email": "a@x.com", "userId": "u1"})) == (1, 0)
    assert hybrid.members() == {"u1"}
    assert hybrid.state.member_profiles(hybrid.list_id) == [("a@x.com", "u1", {})]


def test_hybrid_known_user_id_takes_a_free_email(hybrid: Client) -> None:
    hybrid.subscribe({"email": "old@x.com", "userId": "u1"})
    assert counts(hybrid.subscribe({"email": "new@x.com", "userId": "u1"})) == (1, 0)
    assert hybrid.state.profile("u1") == ("new@x.com", "u1", {})
    assert hybrid.state.profile("old@x.com") is None


def test_hybrid_identity_changes_through_data_fields(hybrid: Client) -> None:
    hybrid.subscribe({"userId": "u1"}, {"email": "b@x.com", "userId": "u2"})
    response = hybrid.subscribe(
        {"userId": "u1", "dataFields": {"email": "A@x.com"}},
        {"userId": "u3", "dataFields": {"email": "b@x.com"}},
        {"userId": "u1", "dataFields": {"userId": "u2"}},
    )
    assert counts(response) == (1, 2)
    assert failures(response) == {"conflictEmails": ["b@x.com"], "conflictUserIds": ["u2"]}
    assert hybrid.state.profile("u1") == ("a@x.com", "u1", {})
    assert hybrid.state.profile("u3") is None


@pytest.mark.parametrize(
    ("kind", "person", "expected"),
    [
        ("email", {"email": "Ada@x.com"}, {"forgottenEmails": ["ada@x.com"]}),
        ("user_id", {"userId": "u1"}, {"forgottenUserIds": ["u1"]}),
        ("hybrid", {"email": "ada@x.com"}, {"forgottenEmails": ["ada@x.com"]}),
        ("hybrid", {"userId": "u1"}, {"forgottenUserIds": ["u1"]}),
    ],
)
def test_forgotten_people(kind: str, person: dict[str, str], expected: dict[str, Any]) -> None:
    with running(kind) as client:
        client.subscribe({"email": "ada@x.com", "userId": "u1"})
        client.sandbox.forget("u1" if kind == "user_id" else "Ada@x.com")
        assert client.members() == set()
        assert failures(client.subscribe(person)) == expected
        assert failures(client.unsubscribe(person)) == expected
        assert client.members() == set()


def test_data_fields_merge_at_the_top_and_null_removes(email: Client) -> None:
    first = {"plan": "gold", "city": "Rome", "settings": {"mobile": True, "deep": {"a": 1}}}
    response = email.subscribe({"email": "a@x.com", "dataFields": first})
    assert response.json()["createdFields"] == [
        "city",
        "plan",
        "settings",
        "settings.deep",
        "settings.deep.a",
        "settings.mobile",
    ]
    second = {"plan": "free", "city": None, "settings": {"email": True}}
    response = email.subscribe({"email": "a@x.com", "dataFields": second})
    assert response.json()["createdFields"] == ["settings.email"]
    profile = email.state.profile("a@x.com")
    assert profile is not None
    assert profile.fields == {"plan": "free", "settings": {"email": True}}


def test_nested_objects_merge_one_level_on_request(email: Client) -> None:
    first = {"settings": {"mobile": True, "deep": {"a": 1}, "gone": 1}}
    second = {"settings": {"email": True, "deep": {"b": 2}, "gone": None}}
    email.subscribe({"email": "a@x.com", "dataFields": first})
    email.subscribe({"email": "a@x.com", "dataFields": second, "mergeNestedObjects": True})
    profile = email.state.profile("a@x.com")
    assert profile is not None
    assert profile.fields == {"settings": {"mobile": True, "deep": {"b": 2}, "email": True}}


def test_global_unsubscribes_show(email: Client) -> None:
    email.subscribe({"email": "a@x.com"}, {"email": "b@x.com"})
    email.unsubscribe({"email": "a@x.com"}, channelUnsubscribe=False)
    assert email.state.global_unsubscribes == set()
    assert email.state.counters["channel_unsubscribe_unstated"] == 0
    email.unsubscribe({"email": "b@x.com"}, channelUnsubscribe=True)
    email.unsubscribe({"email": "b@x.com"})
    assert email.state.global_unsubscribes == {"b@x.com"}
    assert email.state.counters["channel_unsubscribe_unstated"] == 1
    assert email.state.counters["left"] == 2
    assert email.state.counters["unsubscribe_events"] == 3


def test_foreign_members_are_remembered_when_they_are_lost(email: Client) -> None:
    email.sandbox.seed_list("VIP", ["theirs@x.com", "Odd Line"])
    email.subscribe({"email": "ours@x.com"})
    assert email.members() == {"theirs@x.com", "odd line", "ours@x.com"}
    email.unsubscribe({"email": "theirs@x.com"})
    assert email.state.foreign(email.list_id) - email.members() == {"theirs@x.com"}


@pytest.mark.parametrize("kind", ["email", "user_id", "hybrid"])
def test_quick_and_thorough_ways_agree(kind: str) -> None:
    """Entries that are one identifier take a shortcut; it must not change any answer."""
    chance = random.Random(kind)
    values = {
        "email": ["a@x.com", "A@x.com", "b@x.com", "c@x.com", "bad@", "", "forgotten@x.com"],
        "userId": ["u1", "u2", "U2", " bad", "", "u3", "forgotten"],
    }
    with running(kind) as quick, running(kind) as thorough:
        for step in range(60):
            key = chance.choice(["email", "userId"])
            people = [{key: chance.choice(values[key])} for _ in range(chance.randrange(6))]
            slow = [{**person, "dataFields": {}} for person in people]
            more = {"updateExistingUsersOnly": chance.random() < 0.3}
            if step == 40:
                quick.sandbox.forget("forgotten@x.com", "forgotten")
                thorough.sandbox.forget("forgotten@x.com", "forgotten")
            call = "subscribe" if chance.random() < 0.7 else "unsubscribe"
            answers = [
                getattr(client, call)(*entries, **more).json()
                for client, entries in ((quick, people), (thorough, slow))
            ]
            assert answers[0] == answers[1]
            assert quick.members() == thorough.members()
            assert quick.state.counters == thorough.state.counters


# --- faults --------------------------------------------------------------------------------


def struck(client: Client, **fault: Any) -> None:
    client.sandbox.faults = [Fault(**fault)]


@pytest.mark.parametrize(
    ("more", "content_type", "text"),
    [
        ({}, "application/json", '"code":"RateLimitExceeded"'),
        ({"form": "text"}, "text/plain", "Rate limit exceeded. Please try again later."),
    ],
)
def test_rate_limit_fault(
    email: Client, more: dict[str, Any], content_type: str, text: str
) -> None:
    struck(email, action="rate_limit", match=SUBSCRIBE, times=2, **more)
    answers = [email.subscribe({"email": "a@x.com"}) for _ in range(3)]
    assert [each.status_code for each in answers] == [429, 429, 200]
    assert answers[0].headers["Content-Type"].startswith(content_type)
    assert text in answers[0].text
    assert "Retry-After" not in answers[0].headers


def test_rate_limit_fault_with_retry_after(email: Client) -> None:
    struck(email, action="rate_limit", retry_after=1.5)
    assert email.subscribe().headers["Retry-After"] == "1.5"


def test_the_429_has_the_recorded_shape(email: Client) -> None:
    struck(email, action="rate_limit")
    assert email.http.get("/api/lists").json() == {
        "msg": "Exceeded rate limit of 5.0 per second for endpoint: /api/lists, project: 2158 ",
        "code": "RateLimitExceeded",
        "params": {},
    }


@pytest.mark.parametrize(
    ("status", "form", "text"),
    [
        (401, "json", "BadApiKey"),
        (403, "json", "Forbidden"),
        (500, "json", "please contact your CSM"),
        (502, "html", "<h1>502</h1>"),
        (504, "text", "An error occurred"),
        (418, "json", "BadParams"),
    ],
)
def test_status_fault(email: Client, status: int, form: str, text: str) -> None:
    struck(email, action="status", status=status, form=form)
    response = email.subscribe({"email": "a@x.com"})
    assert response.status_code == status
    assert text in response.text
    assert email.members() == set()


def test_latency_fault_and_setting() -> None:
    with running(latency_seconds=0.01) as client:
        struck(client, action="latency", seconds=0.01, match="GET /api/lists")
        assert client.http.get("/api/lists").elapsed.total_seconds() >= 0.02
        assert client.subscribe().elapsed.total_seconds() >= 0.01


@pytest.mark.parametrize(
    ("bucket", "key"),
    [
        ("invalid", "invalidEmails"),
        ("notFound", "notFoundEmails"),
        ("invalidData", "invalidDataEmails"),
        ("conflict", "conflictEmails"),
        ("forgotten", "forgottenEmails"),
        ("noOpEmails", "noOpEmails"),
    ],
)
def test_refuse_fault(email: Client, bucket: str, key: str) -> None:
    struck(email, action="refuse", identifiers=["Bad@X.com"], bucket=bucket)
    response = email.subscribe({"email": "bad@x.com"}, {"email": "good@x.com"})
    assert counts(response) == (1, 1)
    assert failures(response) == {key: ["bad@x.com"]}
    assert email.members() == {"good@x.com"}


def test_refuse_fault_counts_only_batches_that_carry_the_person(user_id: Client) -> None:
    struck(user_id, action="refuse", identifiers=["u9"], bucket="notFound", times=1)
    assert counts(user_id.subscribe({"userId": "u1"})) == (1, 0)
    assert failures(user_id.subscribe({"userId": "u9"})) == {"notFoundUserIds": ["u9"]}
    assert counts(user_id.subscribe({"userId": "u9"})) == (1, 0)


def test_refuse_fault_also_strikes_unsubscribe(email: Client) -> None:
    email.subscribe({"email": "a@x.com"})
    struck(email, action="refuse", identifiers=["a@x.com"], bucket="invalidData")
    assert failures(email.unsubscribe({"email": "a@x.com"})) == {"invalidDataEmails": ["a@x.com"]}
    assert email.members() == {"a@x.com"}


def test_reject_index_fault(email: Client) -> None:
    struck(email, action="reject_index", identifiers=["c@x.com"])
    people = [{"email": f"{letter}@x.com"} for letter in "abcd"]
    response = email.subscribe(*people)
    assert response.status_code == 400
    assert response.json()["code"] == "BadJsonBody"
    assert response.json()["params"] == {"obj.subscribers[2].email": "String value expected"}
    assert email.members() == set()
    assert counts(email.subscribe(*people[:2])) == (2, 0)


def test_reject_batch_fault(email: Client) -> None:
    struck(email, action="reject_batch_with", identifiers=["c@x.com"], code="BadParams", msg="no")
    assert envelope(email.subscribe({"email": "a@x.com"}, {"email": "C@x.com"})) == (
        400,
        "BadParams",
        "no",
    )
    assert email.members() == set()
    assert counts(email.subscribe({"email": "a@x.com"})) == (1, 0)


def test_invalid_list_fault(email: Client) -> None:
    other = email.sandbox.seed_list("other")
    struck(email, action="invalid_list", list_id=email.list_id, times=2)
    assert email.post(SUBSCRIBE, {"listId": other, "subscribers": []}).status_code == 200
    answers = [email.subscribe({"email": "a@x.com"}) for _ in range(3)]
    assert [each.status_code for each in answers] == [400, 400, 200]
    assert envelope(answers[0])[1:] == (
        "Success",
        f"error.lists.invalidListId({email.list_id})",
    )


@pytest.mark.parametrize(("action", "applied"), [("reset_before", False), ("reset_after", True)])
def test_reset_faults(email: Client, action: str, applied: bool) -> None:  # noqa: FBT001
    struck(email, action=action, times=1)
    with pytest.raises(httpx.ReadError, match="reset"):
        email.subscribe({"email": "a@x.com"})
    assert email.members() == ({"a@x.com"} if applied else set())
    assert email.state.requests[-1].status is None
    assert counts(email.subscribe({"email": "a@x.com"})) == (1, 0)


@pytest.mark.parametrize(("action", "applied"), [("hang_before", False), ("hang_after", True)])
def test_hang_faults(email: Client, action: str, applied: bool) -> None:  # noqa: FBT001
    struck(email, action=action, seconds=60, times=1)
    with pytest.raises(httpx.ReadTimeout):
        email.http.post(
            SUBSCRIBE,
            json={"listId": email.list_id, "subscribers": [{"email": "a@x.com"}]},
            timeout=0.05,
        )
    assert email.members() == ({"a@x.com"} if applied else set())
    assert counts(email.subscribe()) == (0, 0)


def test_a_hang_ends_without_an_answer(email: Client) -> None:
    struck(email, action="hang_after", seconds=0.01)
    with pytest.raises(httpx.RemoteProtocolError):
        email.subscribe({"email": "a@x.com"})
    assert email.members() == {"a@x.com"}


def test_truncate_fault(email: Client) -> None:
    struck(email, action="truncate", times=2)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
        email.subscribe({"email": "a@x.com"})
    assert email.members() == {"a@x.com"}
    with pytest.raises(httpx.RemoteProtocolError):
        email.http.get(f"/api/lists/getUsers?listId={email.list_id}")


def test_bad_json_fault(email: Client) -> None:
    struck(email, action="bad_json")
    response = email.subscribe({"email": "a@x.com"})
    assert response.status_code == 200
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(response.text, parse_constant=float)
    assert email.members() == {"a@x.com"}


def test_miscount_fault(email: Client) -> None:
    struck(email, action="miscount", success_delta=-1, fail_delta=2)
    response = email.subscribe({"email": "a@x.com"}, {"email": "b@x.com"})
    assert counts(response) == (1, 2)
    assert failures(response) == {}
    assert email.http.get("/api/lists").json()["lists"][0]["id"] == email.list_id


def test_after_and_times(email: Client) -> None:
    struck(email, action="status", status=503, after=1, times=1)
    assert [email.subscribe().status_code for _ in range(4)] == [200, 503, 200, 200]


def test_probability_repeats_with_the_seed() -> None:
    def statuses(seed: int) -> list[int]:
        fault = Fault("status", probability=0.5)
        with running(seed=seed, faults=[fault]) as client:
            return [client.subscribe().status_code for _ in range(20)]

    first = statuses(1)
    assert Counter(first).keys() == {200, 500}
    assert statuses(1) == first != statuses(2)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("*", [500, 500, 500]),
        ("/api/lists", [500, 200, 200]),
        ("GET /api/lists", [500, 200, 200]),
        ("POST /api/lists", [200, 200, 200]),
        ("/api/lists/{listId}/size", [200, 500, 200]),
        (SUBSCRIBE, [200, 200, 500]),
    ],
)
def test_match(email: Client, match: str, expected: list[int]) -> None:
    struck(email, action="status", match=match)
    answers = [
        email.http.get("/api/lists"),
        email.http.get(f"/api/lists/{email.list_id}/size"),
        email.subscribe(),
    ]
    assert [each.status_code for each in answers] == expected


def test_faults_add_up_until_one_settles_the_answer(email: Client) -> None:
    email.sandbox.faults = [
        Fault("refuse", identifiers=("a@x.com",)),
        Fault("miscount", success_delta=5, fail_delta=0),
        Fault("reset_after", times=1),
        Fault("status", times=1),
    ]
    with pytest.raises(httpx.ReadError):
        email.subscribe({"email": "a@x.com"}, {"email": "b@x.com"})
    assert email.members() == {"b@x.com"}
    assert email.subscribe({"email": "a@x.com"}).status_code == 500
    assert counts(email.subscribe({"email": "a@x.com"})) == (5, 1)
    assert [each.faults for each in email.state.requests] == [
        ("refuse", "miscount", "reset_after"),
        ("refuse", "miscount", "status"),
        ("refuse", "miscount"),
    ]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ([], "a fault is a JSON object"),
        ({"action": "explode"}, "action is one of rate_limit, status"),
        ({"action": "status", "status": 200}, "status is between 400 and 599"),
        ({"action": "status", "form": "xml"}, "form is one of json, html, text"),
        ({"action": "latency", "seconds": -1}, "numbers are not negative"),
        ({"action": "latency", "seconds": "1"}, "a value has the wrong type"),
        ({"action": "status", "probability": 2}, "probability is between 0 and 1"),
        ({"action": "refuse"}, "identifiers are missing"),
        ({"action": "refuse", "identifiers": "a@x.com"}, "identifiers are a list"),
        ({"action": "refuse", "identifiers": ["a"], "bucket": "x"}, "bucket is one of conflict"),
        ({"action": "status", "tmies": 1}, "a fault has no tmies"),
    ],
)
def test_impossible_faults_are_refused(fault: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Fault.from_json(fault)


# --- limits --------------------------------------------------------------------------------


class Ticks:
    """A clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rate_limit_is_a_window_for_each_endpoint() -> None:
    ticks = Ticks()
    with running(rate_limit=2, monotonic=ticks) as client:
        assert [client.subscribe().status_code for _ in range(3)] == [200, 200, 429]
        assert client.unsubscribe().status_code == 200
        ticks.now += 0.9
        assert client.subscribe().status_code == 429
        ticks.now += 0.1
        assert [client.subscribe().status_code for _ in range(3)] == [200, 200, 429]
        assert client.state.requests[-1].received_at == pytest.approx(101)


def test_slow_rate_limit() -> None:
    ticks = Ticks()
    with running(rate_limit=0.5, monotonic=ticks) as client:
        statuses = []
        for _ in range(4):
            statuses.append(client.subscribe().status_code)
            ticks.now += 1
        client.subscribe()
        assert "limit of 0.5 per second for" in client.subscribe().text
    assert statuses == [200, 429, 200, 429]


def test_documented_limits() -> None:
    ticks = Ticks()
    with running(documented_limits=True, monotonic=ticks) as client:
        path = f"/api/lists/getUsers?listId={client.list_id}"
        answers = [client.http.get(path) for _ in range(6)]
        assert [each.status_code for each in answers] == [200] * 5 + [429]
        assert "5.0 per minute for endpoint: /api/lists/getUsers" in answers[5].text
        ticks.now += 60
        assert client.http.get(path).status_code == 200


def test_no_limit_by_default(email: Client) -> None:
    assert {email.subscribe().status_code for _ in range(50)} == {200}


# --- running -------------------------------------------------------------------------------


def test_the_log_of_requests(email: Client) -> None:
    email.subscribe({"email": "a@x.com"}, {"email": "b@x.com"})
    email.http.get("/api/nothing?x=1")
    first, second = email.state.requests
    assert (first.method, first.path, first.status, first.subscribers) == (
        "POST",
        SUBSCRIBE,
        200,
        2,
    )
    assert (second.method, second.path, second.status) == ("GET", "/api/nothing", 404)
    assert second.received_at >= first.received_at


def test_many_at_once_lose_nothing() -> None:
    with running(latency_seconds=0.01) as client:

        def send(batch: int) -> int:
            people = [{"email": f"p{n}@x.com"} for n in range(batch * 20, batch * 20 + 40)]
            return counts(client.subscribe(*people))[0]

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(send, range(24))) == 24 * 40
        assert len(client.members()) == 24 * 20 + 20
        assert len(client.state.people) == 24 * 20 + 20
        assert 2 <= client.state.max_in_flight <= 8


def test_one_connection_serves_many_requests(email: Client) -> None:
    with socket.create_connection(("127.0.0.1", email.sandbox.port), timeout=5) as raw:
        request = f"GET /api/lists HTTP/1.1\r\nHost: x\r\nApi-Key: {KEY}\r\n\r\n".encode()
        for _ in range(3):
            raw.sendall(request)
            answer = b""
            while b'"listType":"Standard"}]}' not in answer:
                answer += raw.recv(4096)
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")


def test_stop_and_start_keep_the_project() -> None:
    sandbox = Sandbox()
    with pytest.raises(RuntimeError, match=r"call start\(\)"):
        _ = sandbox.url
    sandbox.start()
    port, list_id = sandbox.port, sandbox.seed_list("VIP", ["a@x.com"])
    with pytest.raises(RuntimeError, match="running already"):
        sandbox.start()
    sandbox.stop()
    sandbox.stop()
    with pytest.raises(httpx.ConnectError):
        get(f"http://127.0.0.1:{port}/api/lists")
    sandbox.start(port)
    with sandbox:
        response = get(f"{sandbox.url}/api/lists/{list_id}/size")
    assert response.text == "1"


def test_stop_ends_idle_and_hanging_connections() -> None:
    threads = threading.active_count()
    with running() as client:
        struck(client, action="hang_before", seconds=60)
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(client.subscribe)
            while client.state.max_in_flight == 0:
                assert not hanging.done()
            client.sandbox.stop()
            with pytest.raises(httpx.TransportError):
                hanging.result()
    assert threading.active_count() == threads


def test_the_same_calls_give_the_same_answers() -> None:
    def play() -> list[tuple[bytes, str]]:
        with running(seed=7) as client:
            answers = [
                client.subscribe({"email": "b@x.com"}, {"email": "a@x.com"}),
                client.http.get(f"/api/lists/getUsers?listId={client.list_id}"),
                client.http.get("/api/lists"),
            ]
            return [(each.content, each.headers["Iterable-Request-Id"]) for each in answers]

    first = play()
    assert first[1][0] == b"b@x.com\na@x.com\n"
    assert play() == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"project_type": "mail"}, "project_type: 'mail' is not one of email, user_id, hybrid"),
        ({"rate_limit": -1}, "must not be negative"),
    ],
)
def test_impossible_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sandbox(**options)


def test_the_key_is_not_shown() -> None:
    assert "hunter2" not in repr(Sandbox(api_key="hunter2").settings)


# --- the control interface -----------------------------------------------------------------


@pytest.fixture
def control(email: Client) -> Iterator[httpx.Client]:
    with connect(email.sandbox.url, {}) as http:  # no Api-Key
        yield http


def test_faults_over_http(email: Client, control: httpx.Client) -> None:
    assert control.post("/sandbox/faults", json=[{"action": "status", "times": 1}]).is_success
    assert email.subscribe().status_code == 500
    control.post("/sandbox/faults", json={"action": "rate_limit", "match": SUBSCRIBE})
    assert email.subscribe().status_code == 429
    report = control.get("/sandbox/faults").json()
    assert [(each["action"], each["seen"], each["struck"]) for each in report] == [
        ("status", 2, 1),
        ("rate_limit", 1, 1),
    ]
    assert control.post("/sandbox/faults", json=[]).json() == []
    assert email.subscribe().status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"action": "explode"}),
        ("faults", "x"),
        ("lists", {}),
        ("lists", []),
        ("lists", {"name": "x", "members": "a@x.com"}),
        ("forget", {"identifiers": [5]}),
        ("forget", []),
    ],
)
def test_faulty_control_calls_are_refused(control: httpx.Client, path: str, body: Any) -> None:
    response = control.post(f"/sandbox/{path}", json=body)
    assert response.status_code == 400
    assert response.json()["error"]


def test_state_and_requests_over_http(email: Client, control: httpx.Client) -> None:
    made = control.post("/sandbox/lists", json={"name": "VIP", "members": ["t@x.com"]}).json()
    assert made == {"listId": email.list_id}
    email.subscribe({"email": "a@x.com"})
    control.post("/sandbox/forget", json={"identifiers": ["a@x.com"]})
    state = control.get("/sandbox/state").json()
    assert state["lists"] == [
        {
            "id": email.list_id,
            "name": "VIP",
            "listType": "Standard",
            "size": 1,
            "foreign": 1,
            "members": ["t@x.com"],
        }
    ]
    assert "members" not in control.get("/sandbox/state?brief=true").json()["lists"][0]
    assert state["projectType"] == "email"
    assert state["counters"]["joined"] == 1
    assert state["globalUnsubscribes"] == []
    (logged,) = control.get("/sandbox/requests").json()
    assert (logged["path"], logged["status"], logged["subscribers"]) == (SUBSCRIBE, 200, 1)


def test_control_calls_are_never_faulted(email: Client, control: httpx.Client) -> None:
    struck(email, action="status")
    assert control.get("/sandbox/state").status_code == 200
    assert control.get("/sandbox/nothing").status_code == 404


def test_reset_returns_to_the_start() -> None:
    fault = Fault("status", times=1)
    with running(faults=[fault], rate_limit=1, monotonic=Ticks()) as client:
        assert client.subscribe().status_code == 500
        assert client.subscribe().status_code == 200
        client.sandbox.faults = []
        assert client.post("/sandbox/reset", {}).status_code == 200
        assert client.state.lists == {}
        assert client.state.requests == []
        assert client.sandbox.faults == (fault,)
        assert client.http.post("/api/lists", json={"name": "x"}).status_code == 500
        assert client.http.post("/api/lists", json={"name": "x"}).json() == {
            "listId": client.list_id
        }
        assert client.subscribe().status_code == 200  # the rate is forgotten, too


# --- the command ---------------------------------------------------------------------------


@contextmanager
def command(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the command; yields the process and the line it printed when it was ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "connectors.iterable.sandbox", "--port", "0", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline()
    finally:
        process.kill()
        process.communicate()


def end(process: subprocess.Popen[str], number: signal.Signals) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=10)
    return process.returncode, out, err


def url_of(line: str) -> str:
    return next(word for word in line.split() if word.startswith("http://"))


def test_command_serves_and_stops_on_sigterm() -> None:
    fault = json.dumps({"action": "status", "status": 503, "match": "GET /api/lists", "times": 1})
    options = ["--project-type", "hybrid", "--latency-ms", "1", "--seed", "3", "--fault", fault]
    with command(*options) as (process, line):
        url = url_of(line)
        assert line == (
            f"Iterable sandbox ready at {url} - in the config's destination set "
            f"base_url: {url} and api_key: sandbox-key\n"
        )
        statuses = [get(f"{url}/api/lists").status_code for _ in range(2)]
        assert statuses == [503, 200]
        assert get(f"{url}/sandbox/state").json()["projectType"] == "hybrid"
        assert end(process, signal.SIGTERM) == (0, "", "")


def test_command_takes_every_setting() -> None:
    options = (
        "--field-limit 7 --unrecognized-fields drop --type-mismatch user --visibility-lag 1.5"
        " --new-list-lag 2 --documented-limits --response-shape old --rate-limit 9"
    )
    with command(*options.split()) as (_, line):
        settings = get(f"{url_of(line)}/sandbox/state").json()["settings"]
    assert settings == {
        "project_type": "email",
        "seed": 0,
        "response_shape": "old",
        "rate_limit": 9.0,
        "documented_limits": True,
        "latency_seconds": 0.0,
        "max_body_bytes": 4_000_000,
        "project_id": 2158,
        "field_limit": 7,
        "add_unrecognized_fields": False,
        "type_mismatch": "user",
        "visibility_lag_seconds": 1.5,
        "new_list_lag_seconds": 2.0,
    }


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        package.serve(["--help"])
    text = capsys.readouterr().out
    for option in ("field-limit", "type-mismatch", "visibility-lag", "new-list-lag", "fault"):
        assert f"--{option}" in text


def test_command_says_nothing_about_clients_that_leave() -> None:
    with command("--api-key", "hunter2") as (process, line):
        assert "hunter2" not in line
        url = url_of(line)
        head = b"POST /api/lists HTTP/1.1\r\nContent-Length: 10\r\n\r\n"
        reset = struct.pack("ii", 1, 0)  # closing does not wait, it resets
        for sent in (b"", b"GET /api", head, head + b"123", head + b"1234567890"):
            for options in ([], [(socket.SOL_SOCKET, socket.SO_LINGER, reset)]):
                with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as raw:
                    raw.sendall(sent)
                    for option in options:
                        raw.setsockopt(*option)
        with connect(url) as http:
            http.post("/sandbox/faults", json={"action": "latency", "seconds": 0.05})
            for _ in range(3):
                with pytest.raises(httpx.ReadTimeout):
                    http.get("/api/lists", timeout=0.01)
            assert len(http.get("/sandbox/state").json()["lists"]) == 0
        assert end(process, signal.SIGINT) == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", '{"action": "explode"}'], "action is one of rate_limit"),
        (["--fault", "{"], "Expecting property name"),
        (["--project-type", "mail"], "invalid choice"),
        (["--rate-limit", "-1"], "is not a number of 0 or more"),
        (["--field-limit", "-1"], "is not a number of 0 or more"),
        (["--field-limit", "x"], "invalid"),
        (["--visibility-lag", "-1"], "is not a number of 0 or more"),
    ],
)
def test_command_refuses_faulty_arguments(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        package.serve(arguments)
    assert exit_.value.code == 2
    assert message in capsys.readouterr().err


def test_command_explains_a_taken_port(email: Client, capsys: pytest.CaptureFixture[str]) -> None:
    port = email.sandbox.port
    before = signal.getsignal(signal.SIGTERM)
    assert package.serve(["--port", str(port)]) == 2
    assert "choose another port with --port" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


# --- the README ----------------------------------------------------------------------------

README = Path(package.__path__[0]) / "README.md"


def curl(line: str, url: str) -> httpx.Response:
    """Make the request of a curl command; knows the options that the README uses."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-s", action="store_true")
    parser.add_argument("-H", action="append", default=[])
    parser.add_argument("-X")
    parser.add_argument("-d")
    asked = parser.parse_args(shlex.split(line)[1:])
    headers = dict(each.split(": ") for each in asked.H)
    with connect("", headers) as http:
        return http.request(
            asked.X or ("GET" if asked.d is None else "POST"),
            asked.url.replace("http://127.0.0.1:8765", url),
            content=asked.d,
        )


def test_the_commands_of_the_readme_work() -> None:
    lines = [line for line in README.read_text().splitlines() if line.startswith("curl ")]
    assert len(lines) > 10
    with running() as client:
        client.sandbox.reset()
        for line in lines:
            response = curl(line, client.sandbox.url)
            assert response.status_code == 200, f"{line}\n{response.text}"
            if "getByEmail" in line:
                assert response.json()["user"]["dataFields"]["plan"] == "gold"


def test_the_faults_of_the_readme_exist() -> None:
    rows = [line for line in README.read_text().splitlines() if '`{"action"' in line]
    texts = [text for row in rows for text in re.findall(r"`({.*?})`", row)]
    actions = {Fault.from_json(json.loads(text)).action for text in texts}
    assert actions == set(get_args(Action))


def test_the_options_of_the_readme_exist(capsys: pytest.CaptureFixture[str]) -> None:
    named = set(re.findall(r"^\| `(--[a-z-]+)", README.read_text(), re.MULTILINE))
    with pytest.raises(SystemExit):
        package.serve(["--help"])
    offered = set(re.findall(r"^  (--[a-z-]+)", capsys.readouterr().out, re.MULTILINE))
    assert named == offered - {"--port", "--api-key"}


# --- independence and cost -----------------------------------------------------------------


def test_it_shares_no_code_with_what_it_stands_in_for() -> None:
    """One misreading of the documentation must not hide in both."""
    foreign = set()
    for path in Path(package.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                foreign |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level < 2, f"{path.name} imports from beyond the sandbox"
                foreign |= {(node.module or "").partition(".")[0]} if node.level == 0 else set()
    assert foreign - set(sys.stdlib_module_names) == {"orjson"}


def test_people_are_cheap_to_keep() -> None:
    """A million must fit into 1 GB; ten thousand are measured."""
    import tracemalloc  # noqa: PLC0415 - only here

    sandbox = Sandbox()
    list_id = sandbox.seed_list("VIP")
    people = [{"email": f"somebody.{n}@example.com"} for n in range(10_000)]
    body = json.dumps({"listId": list_id, "subscribers": people}).encode()
    tracemalloc.start()
    try:
        sandbox.handle(Call("POST", SUBSCRIBE, headers=[("Api-Key", KEY)], body=body))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(sandbox.state.members(list_id)) == 10_000
    assert kept < 10_000 * 1000
