"""The user calls of the sandbox, over real HTTP."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connectors.iterable.sandbox import Fault, Sandbox, listener
from connectors.iterable.sandbox.wire import Call, Reply

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sandbox-key"
START = 1_600_000_000.0  # 2020-09-13 12:26:40 UTC
STARTED = "2020-09-13 12:26:40 +00:00"


class Ticks:
    """A clock that a test moves: seconds since 1970, and monotonic ones."""

    now = START

    def __call__(self) -> float:
        return self.now


class Client:
    """A sandbox and an HTTP client for it."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client, ticks: Ticks) -> None:
        self.sandbox, self.http, self.ticks = sandbox, http, ticks
        self.state = sandbox.state

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(f"/api/users/{path}", json=body)

    def bulk(self, *users: dict[str, Any], **more: Any) -> httpx.Response:
        return self.post("bulkUpdate", {"users": users, **more})

    def get(self, path: str, **query: str) -> httpx.Response:
        return self.http.get(f"/api/users/{path}", params=query or None)

    def read(self, path: str, **query: str) -> dict[str, Any]:
        """Return the dataFields of a user."""
        response = self.get(path, **query)
        assert response.status_code == 200, response.text
        fields: dict[str, Any] = response.json()["user"]["dataFields"]
        return fields

    def fields(self, identifier: str) -> dict[str, Any]:
        profile = self.state.profile(identifier)
        assert profile is not None
        return dict(profile.fields)


@contextmanager
def running(kind: Any = "email", **options: Any) -> Iterator[Client]:
    ticks = Ticks()
    with (
        Sandbox(kind, **{"clock": ticks, "monotonic": ticks, **options}) as sandbox,
        httpx.Client(base_url=sandbox.url, headers={"Api-Key": KEY}, verify=False) as http,  # noqa: S501 - loads no certificates
    ):
        yield Client(sandbox, http, ticks)


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
    return {key: value for key, value in response.json()["failedUpdates"].items() if value}


def envelope(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    return response.status_code, body["code"], body["msg"]


SUCCESS = (200, "Success", "")


# --- bulkUpdate ----------------------------------------------------------------------------


def test_bulk_update_makes_and_changes_profiles(email: Client) -> None:
    response = email.bulk(
        {"email": "Ada@X.com", "dataFields": {"plan": "gold", "city": "Rome"}},
        {"email": "bo@x.com", "userId": "u2"},
    )
    assert counts(response) == (2, 0)
    assert response.json()["createdFields"] == ["city", "plan"]
    assert counts(email.bulk({"email": "ada@x.com", "dataFields": {"plan": "free"}})) == (1, 0)
    assert email.state.profile("ada@x.com") == ("ada@x.com", None, {"plan": "free", "city": "Rome"})
    assert email.state.profile("u2") == ("bo@x.com", "u2", {})
    assert email.state.counters["updates"] == 3
    assert email.state.counters["subscribe_events"] == 0


def test_one_bad_user_does_not_stop_the_others(email: Client) -> None:
    response = email.bulk({"email": "bad@"}, {"email": "a@x.com"}, {"userId": "u " * 30})
    assert counts(response) == (1, 2)
    assert failures(response) == {"invalidEmails": ["bad@"], "invalidUserIds": ["u " * 30]}


def test_nobody_at_all_is_an_error(email: Client) -> None:
    assert envelope(email.bulk()) == (400, "InvalidEmailAddressError", "Emails invalid: ")


@pytest.mark.parametrize(
    ("body", "params"),
    [
        ({}, {"obj.users": "Value is missing"}),
        ({"users": {}}, {"obj.users": "Array value expected"}),
        ({"users": [1]}, {"obj.users[0]": "Object value expected"}),
        (
            {"users": [{"email": "a@x.com"}, {"email": "a@x.com", "preferUserId": "yes"}]},
            {"obj.users[1].preferUserId": "Boolean value expected"},
        ),
        (
            {"users": [{"email": "a@x.com"}], "createNewFields": "no"},
            {"obj.createNewFields": "Boolean value expected"},
        ),
    ],
)
def test_a_malformed_body_fails_as_a_whole(email: Client, body: Any, params: Any) -> None:
    response = email.post("bulkUpdate", body)
    assert response.status_code == 400
    assert (response.json()["code"], response.json()["params"]) == ("BadJsonBody", params)
    assert len(email.state.people) == 0


def test_a_user_without_identifier_fails_the_batch(email: Client) -> None:
    response = email.bulk({"email": "a@x.com"}, {"dataFields": {"a": 1}})
    assert envelope(response) == (400, "BadParams", "Either email or userId must be set")


def test_email_project_overwrites_the_user_id(email: Client) -> None:
    email.bulk({"email": "a@x.com", "userId": "u1"}, {"email": "b@x.com", "userId": "u1"})
    email.bulk({"email": "a@x.com", "userId": "u2"})
    assert email.state.profile("a@x.com") == ("a@x.com", "u2", {})
    assert email.state.profile("b@x.com") == ("b@x.com", "u1", {})


def test_email_project_makes_a_placeholder_on_request(email: Client) -> None:
    assert counts(email.bulk({"userId": "User9", "preferUserId": True})) == (1, 0)
    profile = email.state.profile("User9")
    assert profile is not None
    assert profile.email is not None
    assert profile.email.startswith("user9+")
    assert profile.email.endswith("@placeholder.email")
    assert counts(email.bulk({"userId": "User9", "dataFields": {"a": 1}})) == (1, 0)
    assert email.fields("User9") == {"a": 1}


def test_email_project_refuses_an_unknown_user_id_alone(email: Client) -> None:
    response = email.bulk({"userId": "u1"}, {"email": "a@x.com"})
    assert counts(response) == (1, 1)
    assert failures(response) == {"invalidUserIds": ["u1"]}
    assert envelope(email.post("update", {"userId": "u1"})) == (
        400,
        "UnknownUserIdError",
        "No user with userId u1",
    )


def test_user_id_project_keeps_emails_as_they_come(user_id: Client) -> None:
    people = [{"userId": "u1", "email": "a@x.com"}, {"userId": "u2", "email": "a@x.com"}]
    assert counts(user_id.bulk(*people)) == (2, 0)
    assert counts(user_id.bulk({"userId": "u1", "email": "b@x.com"})) == (1, 0)
    assert user_id.state.profile("u1") == ("b@x.com", "u1", {})
    assert failures(user_id.bulk({"email": "new@x.com"})) == {"invalidEmails": ["new@x.com"]}


def test_hybrid_project_names_the_identifier_in_the_way(hybrid: Client) -> None:
    hybrid.bulk({"email": "a@x.com", "userId": "u1"}, {"email": "b@x.com", "userId": "u2"})
    response = hybrid.bulk({"email": "b@x.com", "userId": "u1"}, {"userId": "u3"})
    assert counts(response) == (1, 1)
    assert failures(response) == {"conflictEmails": ["b@x.com"]}
    response = hybrid.bulk({"userId": "u1", "dataFields": {"userId": "u2"}})
    assert failures(response) == {"conflictUserIds": ["u2"]}
    assert envelope(hybrid.post("update", {"email": "b@x.com", "userId": "u1"})) == (
        409,
        "EmailAlreadyExists",
        "Email already exists: b@x.com",
    )


@pytest.mark.parametrize("kind", ["email", "user_id", "hybrid"])
def test_update_only_skips_and_names_unknown_people(kind: str) -> None:
    with running(kind) as client:
        client.sandbox.add_profile(email="a@x.com", user_id="u1")
        key = "email" if kind == "email" else "userId"
        known, unknown = ("a@x.com", "n@x.com") if key == "email" else ("u1", "u9")
        response = client.bulk(
            {key: known, "dataFields": {"a": 1}}, {key: unknown}, {"email": "bad@"}, updateOnly=True
        )
        assert counts(response) == (1, 1)
        skipped: dict[str, list[str]] = {"noOpEmails": [], "noOpUserIds": []}
        skipped["noOpEmails" if key == "email" else "noOpUserIds"] = [unknown]
        assert {name: response.json()[name] for name in skipped} == skipped
        assert client.state.profile(unknown) is None
        assert client.fields(known) == {"a": 1}
        assert "noOpEmails" not in client.bulk({key: known}).json()


def test_create_new_fields_false_drops_them(email: Client) -> None:
    email.sandbox.declare_fields({"plan": "string"})
    person = {"email": "a@x.com", "dataFields": {"plan": "gold", "new": 1}}
    response = email.bulk(person, createNewFields=False)
    assert counts(response) == (1, 0)
    assert response.json()["filteredOutFields"] == ["new"]
    assert response.json()["createdFields"] == []
    assert email.fields("a@x.com") == {"plan": "gold"}
    assert email.bulk(person, createNewFields=True).json()["createdFields"] == ["new"]
    assert email.fields("a@x.com") == {"plan": "gold", "new": 1}


def test_a_project_may_drop_what_it_does_not_know() -> None:
    with running(add_unrecognized_fields=False) as client:
        person = {"email": "a@x.com", "dataFields": {"new": 1}}
        assert client.bulk(person).json()["filteredOutFields"] == ["new"]
        assert client.bulk(person, createNewFields=True).json()["createdFields"] == ["new"]
        list_id = client.sandbox.seed_list("VIP")
        body = {"listId": list_id, "subscribers": [{"email": "a@x.com", "dataFields": {"x": 1}}]}
        answer = client.http.post("/api/lists/subscribe", json=body).json()
        assert answer["filteredOutFields"] == ["x"]
        assert client.fields("a@x.com") == {"new": 1}


def test_a_wrong_type_fails_the_batch_and_names_the_field(email: Client) -> None:
    email.sandbox.declare_fields({"since": "date", "n": "long"})
    response = email.bulk(
        {"email": "a@x.com", "dataFields": {"since": "2020-04-13", "new": 1}},
        {"email": "b@x.com", "dataFields": {"since": "soon"}},
        {"email": "c@x.com", "dataFields": {"since": "later", "n": 1.5}},
    )
    assert response.status_code == 400
    assert response.json() == {
        "msg": (
            "Project 2158: The request does not have the same data types as the data previously "
            "submitted. Field 'since' already exists for type 'user' and has a data type of 'date' "
            "but possible types 'string, keyword' in the request. Field 'n' already exists for "
            "type 'user' and has a data type of 'long' but possible types 'double' in the request."
        ),
        "code": "RequestFieldsTypesMismatched",
        "params": {
            "validationErrors": {
                "since": {
                    "incomingTypes": ["string", "keyword"],
                    "expectedType": "date",
                    "category": "user",
                    "offendingValue": "soon",
                    "_type": "UnexpectedType",
                },
                "n": {
                    "incomingTypes": ["double"],
                    "expectedType": "long",
                    "category": "user",
                    "offendingValue": 1.5,
                    "_type": "UnexpectedType",
                },
            }
        },
    }
    assert len(email.state.people) == 0
    assert "new" not in email.state.fields.types


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("email", {"invalidDataEmails": ["ada@x.com"]}),
        ("user_id", {"invalidDataUserIds": ["u1"]}),
        ("hybrid", {"invalidDataUserIds": ["u1"]}),
    ],
)
def test_a_wrong_type_may_fail_its_user_only(kind: str, expected: dict[str, Any]) -> None:
    with running(kind, type_mismatch="user") as client:
        client.sandbox.declare_fields({"n": "long"})
        bad = {"email": "Ada@x.com", "userId": "u1", "dataFields": {"n": "x", "new": 1}}
        good = {"email": "b@x.com", "userId": "u2", "dataFields": {"n": 1}}
        response = client.bulk(bad, good)
        assert counts(response) == (1, 1)
        assert failures(response) == expected
        assert response.json()["createdFields"] == []
        assert client.fields("u2") == {"n": 1}
        assert client.post("update", bad).json()["code"] == "RequestFieldsTypesMismatched"


def test_fields_of_subscribe_follow_the_same_rules(email: Client) -> None:
    email.sandbox.declare_fields({"n": "long"}, limit=2)
    list_id = email.sandbox.seed_list("VIP")

    def subscribe(fields: dict[str, Any]) -> httpx.Response:
        people = [{"email": "b@x.com"}, {"email": "a@x.com", "dataFields": fields}]
        body = {"listId": list_id, "subscribers": people}
        return email.http.post("/api/lists/subscribe", json=body)

    assert subscribe({"n": "x"}).json()["code"] == "RequestFieldsTypesMismatched"
    assert subscribe({"x": 1, "y": 1}).json()["code"] == "UniqueFieldsLimitExceeded"
    assert email.state.members(list_id) == set()
    assert counts(subscribe({"x": "2020-01-01"})) == (2, 0)
    assert email.fields("a@x.com") == {"x": "2020-01-01 00:00:00 +00:00"}


def test_the_field_limit_fails_the_batch() -> None:
    with running(field_limit=2) as client:
        response = client.bulk(
            {"email": "a@x.com", "dataFields": {"a": 1}},
            {"email": "b@x.com", "dataFields": {"b": {"c": 1}}},
        )
        assert response.status_code == 400
        assert response.json()["code"] == "UniqueFieldsLimitExceeded"
        assert response.json()["params"] == {
            "limit": 2,
            "requestedTotal": 3,
            "newFields": ["a", "b", "b.c"],
        }
        assert len(client.state.people) == 0
        client.state.fields.limit = 3
        assert counts(client.bulk({"email": "b@x.com", "dataFields": {"b": {"c": 1}}})) == (1, 0)


def test_null_removes_a_field_at_the_top_and_within_objects(email: Client) -> None:
    fields = {"plan": "gold", "s": {"a": 1, "b": {"c": 1, "d": 2}, "e": [1]}}
    email.bulk({"email": "a@x.com", "dataFields": fields})
    change = {"plan": None, "never": None, "s": {"a": None, "b": {"c": 3}, "f": True}}
    email.bulk({"email": "a@x.com", "dataFields": change, "mergeNestedObjects": True})
    assert email.fields("a@x.com") == {"s": {"b": {"c": 3}, "e": [1], "f": True}}
    email.bulk({"email": "a@x.com", "dataFields": {"s": {"x": 1, "y": None}}})
    assert email.fields("a@x.com") == {"s": {"x": 1}}
    assert "never" not in email.state.fields.types


def test_dates_come_back_without_their_milliseconds(email: Client) -> None:
    email.bulk({"email": "a@x.com", "dataFields": {"at": "2020-08-19T20:50:04.000Z"}})
    assert email.read("a@x.com")["at"] == "2020-08-19 20:50:04 +00:00"


def test_writing_the_list_field_changes_memberships_without_events(email: Client) -> None:
    first, second = (email.sandbox.seed_list(name) for name in ("one", "two"))
    email.bulk({"email": "a@x.com", "dataFields": {"emailListIds": [first, second, 99]}})
    assert email.read("a@x.com")["emailListIds"] == [first, second]
    email.bulk({"email": "a@x.com", "dataFields": {"emailListIds": [second]}})
    assert email.state.members(first) == set()
    assert email.state.members(second) == {"a@x.com"}
    assert email.state.counters["subscribe_events"] == 0


# --- update --------------------------------------------------------------------------------


def test_update_writes_one_profile(email: Client) -> None:
    body = {"email": "a@x.com", "dataFields": {"plan": "gold", "new": 1}, "createNewFields": False}
    email.sandbox.declare_fields({"plan": "string"})
    assert envelope(email.post("update", body)) == SUCCESS
    assert email.fields("a@x.com") == {"plan": "gold"}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"email": "None"}, (400, "InvalidEmailAddressError", "Invalid email: none")),
        ({"email": ""}, (400, "InvalidEmailAddressError", "Invalid email: ")),
        ({"userId": " "}, (400, "InvalidUserIdError", "Invalid userId:  ")),
        ({}, (400, "BadParams", "Either email or userId must be set")),
        ({"email": None}, (400, "BadParams", "Either email or userId must be set")),
    ],
)
def test_update_refuses_what_finds_nobody(email: Client, body: Any, expected: Any) -> None:
    assert envelope(email.post("update", body)) == expected


def test_update_with_a_wrong_type_of_value(email: Client) -> None:
    assert email.post("update", {"email": 5}).json()["params"] == {
        "obj.email": "String value expected"
    }
    email.sandbox.declare_fields({"n": "long"}, limit=1)
    body = {"email": "a@x.com", "dataFields": {"n": "x"}}
    assert email.post("update", body).json()["code"] == "RequestFieldsTypesMismatched"
    body = {"email": "a@x.com", "dataFields": {"m": 1}}
    assert email.post("update", body).json()["code"] == "UniqueFieldsLimitExceeded"
    assert email.state.profile("a@x.com") is None


def test_a_refuse_fault_strikes_single_calls_too(email: Client) -> None:
    email.sandbox.faults = [Fault("refuse", identifiers=("a@x.com",), bucket="forgotten", times=1)]
    assert envelope(email.post("update", {"email": "A@x.com"}))[:2] == (409, "ForgottenUserError")
    assert envelope(email.post("update", {"email": "A@x.com"})) == SUCCESS
    email.sandbox.faults = [Fault("refuse", identifiers=("a@x.com",), bucket="invalidData")]
    assert failures(email.bulk({"email": "a@x.com"})) == {"invalidDataEmails": ["a@x.com"]}
    assert envelope(email.post("update", {"email": "a@x.com"}))[:2] == (400, "BadParams")


# --- reading -------------------------------------------------------------------------------


def test_a_read_shows_what_the_project_adds(email: Client) -> None:
    email.bulk({"email": "a@x.com", "userId": "u1", "dataFields": {"plan": "gold"}})
    list_id = email.sandbox.seed_list("VIP", ["a@x.com"])
    email.ticks.now += 60
    email.bulk({"email": "a@x.com", "dataFields": {"plan": "free"}})
    assert email.get("a@x.com").json() == {
        "user": {
            "email": "a@x.com",
            "userId": "u1",
            "dataFields": {
                "email": "a@x.com",
                "userId": "u1",
                "plan": "free",
                "signupSource": "API",
                "signupDate": STARTED,
                "profileUpdatedAt": "2020-09-13 12:27:40 +00:00",
                "emailListIds": [list_id],
                "itblInternal": {"documentUpdatedAt": "2020-09-13 12:27:40 +00:00"},
            },
        }
    }


@pytest.mark.parametrize("kind", ["user_id", "hybrid"])
def test_other_projects_show_another_list_field(kind: str) -> None:
    with running(kind) as client:
        list_id = client.sandbox.seed_list("VIP", ["u1"])
        user = client.get("byUserId/u1").json()["user"]
        assert user["dataFields"]["userListIds"] == [list_id]
        assert user["email"] == ""  # required by the description, and there is none


def test_all_ways_of_reading_agree(email: Client) -> None:
    email.bulk({"email": "a+b/c@x.com", "userId": "u/1 +"})
    ways = [
        email.get("a+b%2Fc@x.com"),
        email.get("A%2Bb%2Fc%40X.com"),
        email.get("getByEmail", email="a+b/c@x.com"),
        email.get("byUserId/u%2F1%20+"),
        email.get("byUserId", userId="u/1 +"),
    ]
    assert {each.json()["user"]["email"] for each in ways} == {"a+b/c@x.com"}


def test_reading_nobody(email: Client) -> None:
    assert email.get("nobody@x.com").json() == {}
    assert email.get("getByEmail", email="nobody@x.com").json() == {}
    for unknown in (email.get("byUserId/u1"), email.get("byUserId", userId="u1")):
        assert (unknown.status_code, unknown.text) == (400, "No user with that id exists!")
        assert unknown.headers["Content-Type"].startswith("text/plain")
    assert envelope(email.get("foo@")) == (400, "InvalidEmailAddressError", "Invalid email: foo@")
    assert envelope(email.get("getByEmail")) == (400, "BadParams", "Missing parameter: email")
    assert envelope(email.get("byUserId")) == (400, "BadParams", "Missing parameter: userId")


def test_deleting_nobody_in_2017() -> None:
    with running(response_shape="old") as client:
        deleted = client.http.delete("/api/users/byUserId/42")
        assert envelope(deleted) == (400, "BadParams", "No users with userId 42 exist")


def test_signup_fields_can_be_set_and_removed(email: Client) -> None:
    fields = {"signupDate": "2019-01-01", "signupSource": "import"}
    email.bulk({"email": "a@x.com", "dataFields": fields})
    assert email.read("a@x.com")["signupDate"] == "2019-01-01 00:00:00 +00:00"
    email.bulk({"email": "a@x.com", "dataFields": {"signupDate": None}})
    assert "signupDate" not in email.read("a@x.com")
    assert email.read("a@x.com")["signupSource"] == "import"
    assert email.fields("a@x.com") == {"signupSource": "import"}


def test_get_fields_shows_managed_and_custom_fields(email: Client) -> None:
    email.bulk({"email": "a@x.com", "dataFields": {"Number of Purchases": 1, "s": {"tags": ["x"]}}})
    types = email.get("getFields").json()["fields"]
    assert types["emailListIds"] == "long"
    assert types["signupDate"] == "date"
    assert {key: types[key] for key in ("Number of Purchases", "s", "s.tags")} == {
        "Number of Purchases": "long",
        "s": "object",
        "s.tags": "string",
    }


# --- leaving -------------------------------------------------------------------------------


def test_deleted_people_may_come_back(email: Client) -> None:
    list_id = email.sandbox.seed_list("VIP", ["a@x.com"])
    email.bulk({"email": "a@x.com", "dataFields": {"plan": "gold"}})
    assert envelope(email.http.delete("/api/users/A%40x.com")) == SUCCESS
    assert email.get("a@x.com").json() == {}
    assert email.state.members(list_id) == set()
    assert len(email.state.people) == 0
    assert counts(email.bulk({"email": "a@x.com"})) == (1, 0)
    assert email.fields("a@x.com") == {}


def test_deleting_nobody(email: Client) -> None:
    assert envelope(email.http.delete("/api/users/nobody@x.com")) == SUCCESS
    assert envelope(email.http.delete("/api/users/byUserId/x")) == (
        400,
        "BadParams",
        "User does not exist. Email:  UserId: x",
    )
    assert email.http.delete("/api/users/").status_code == 404
    assert email.http.delete("/api/users/byUserId/").status_code == 404


def test_all_who_share_a_user_id_are_deleted(email: Client) -> None:
    email.bulk(*({"email": f"{letter}@x.com", "userId": "u1"} for letter in "abc"))
    email.bulk({"email": "d@x.com", "userId": "u2"})
    assert envelope(email.http.delete("/api/users/byUserId/u1")) == SUCCESS
    assert len(email.state.people) == 1
    assert email.state.profile("u1") is None


def test_user_id_project_does_not_delete_by_email(user_id: Client) -> None:
    user_id.bulk({"userId": "u1", "email": "a@x.com"})
    assert user_id.http.delete("/api/users/a@x.com").status_code == 400
    assert user_id.state.profile("u1") is not None


@pytest.mark.parametrize(
    ("kind", "body", "hidden", "path", "key"),
    [
        ("email", {"email": "Ada@X.com"}, "ada@x.com", "forgotten", "hashedEmails"),
        ("user_id", {"userId": "U1"}, "u1", "forgottenUserIds", "hashedUserIds"),
        ("hybrid", {"email": "ada@x.com"}, "ada@x.com", "forgotten", "hashedEmails"),
        ("hybrid", {"userId": "U1"}, "u1", "forgottenUserIds", "hashedUserIds"),
    ],
)
def test_forgetting_and_unforgetting(
    kind: str, body: dict[str, str], hidden: str, path: str, key: str
) -> None:
    with running(kind) as client:
        client.bulk({"email": "ada@x.com", "userId": "U1"})
        list_id = client.sandbox.seed_list("VIP", [*body.values()])
        assert envelope(client.post("forget", body)) == SUCCESS
        assert client.get(path).json() == {key: [hashlib.sha256(hidden.encode()).hexdigest()]}
        assert client.state.members(list_id) == set()
        (kind_of, value) = next(iter(body.items()))
        bucket = {"email": "forgottenEmails", "userId": "forgottenUserIds"}[kind_of]
        value = value.lower() if kind_of == "email" else value
        assert failures(client.bulk(body)) == {bucket: [value]}
        assert envelope(client.post("update", body)) == (
            409,
            "ForgottenUserError",
            f"User has been forgotten: {value}",
        )
        assert envelope(client.post("unforget", body)) == SUCCESS
        assert client.get(path).json() == {key: []}
        assert counts(client.bulk(body)) == (1, 0)


def test_hybrid_forgets_both_identifiers(hybrid: Client) -> None:
    hybrid.bulk({"email": "ada@x.com", "userId": "u1"})
    hybrid.post("forget", {"email": "ada@x.com"})
    assert failures(hybrid.bulk({"userId": "u1"})) == {"forgottenUserIds": ["u1"]}


def test_email_project_forgets_emails_only(email: Client) -> None:
    email.bulk({"email": "a@x.com", "userId": "u1"}, {"email": "b@x.com", "userId": "u1"})
    email.post("forget", {"email": "a@x.com"})
    assert counts(email.bulk({"email": "b@x.com", "userId": "u1"})) == (1, 0)


def test_people_unknown_can_be_forgotten(email: Client) -> None:
    assert envelope(email.post("forget", {"email": "never@x.com"})) == SUCCESS
    assert failures(email.bulk({"email": "never@x.com"})) == {"forgottenEmails": ["never@x.com"]}
    assert envelope(email.post("unforget", {"email": "other@x.com"})) == SUCCESS


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("email", {"userId": "u1"}, (400, "BadParams", "This project forgets people by email")),
        (
            "user_id",
            {"email": "a@x.com"},
            (400, "BadParams", "This project forgets people by userId"),
        ),
        ("hybrid", {}, (400, "BadParams", "Either email or userId must be set")),
        ("email", {"email": "foo@"}, (400, "InvalidEmailAddressError", "Invalid email: foo@")),
    ],
)
def test_forgetting_needs_the_projects_identifier(kind: str, body: Any, expected: Any) -> None:
    with running(kind) as client:
        assert envelope(client.post("forget", body)) == expected
        assert envelope(client.post("unforget", body)) == expected


# --- other identifiers ---------------------------------------------------------------------


def test_update_email_moves_the_profile(email: Client) -> None:
    list_id = email.sandbox.seed_list("VIP", ["a@x.com"])
    email.bulk({"email": "a@x.com", "userId": "u1", "dataFields": {"plan": "gold"}})
    change = {"currentEmail": "A@x.com", "currentUserId": "ignored", "newEmail": "B@x.com"}
    assert envelope(email.post("updateEmail", change)) == SUCCESS
    assert email.state.profile("a@x.com") is None
    assert email.state.profile("u1") == ("b@x.com", "u1", {"plan": "gold"})
    assert email.state.members(list_id) == {"b@x.com"}
    change = {"currentUserId": "u1", "newEmail": "c@x.com"}
    assert envelope(email.post("updateEmail", change)) == SUCCESS
    assert envelope(email.post("updateEmail", {**change, "newEmail": "c@x.com"})) == SUCCESS


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"currentEmail": "foo@"}, (400, "InvalidEmailAddressError", "Invalid email: foo@")),
        (
            {"currentEmail": "a@x.com", "newEmail": "foo@"},
            (400, "InvalidEmailAddressError", "Invalid email: foo@"),
        ),
        (
            {"currentEmail": "no@x.com"},
            (400, "UnknownEmailError", "No user with email no@x.com"),
        ),
        ({"currentUserId": "no"}, (400, "UnknownUserIdError", "No user with userId no")),
        (
            {"currentEmail": "a@x.com", "newEmail": "b@x.com"},
            (409, "EmailAlreadyExists", "Email already exists: b@x.com"),
        ),
        (
            {"currentEmail": "a@x.com", "newEmail": "gone@x.com"},
            (409, "ForgottenUserError", "User has been forgotten: gone@x.com"),
        ),
        ({}, (400, "BadParams", "Either email or userId must be set")),
    ],
)
def test_update_email_refuses(email: Client, change: Any, expected: Any) -> None:
    email.bulk({"email": "a@x.com"}, {"email": "b@x.com"})
    email.sandbox.forget("gone@x.com")
    assert envelope(email.post("updateEmail", {"newEmail": "new@x.com", **change})) == expected
    assert email.state.profile("a@x.com") is not None


def test_update_email_belongs_to_email_projects(hybrid: Client) -> None:
    hybrid.bulk({"email": "a@x.com"})
    change = {"currentEmail": "a@x.com", "newEmail": "b@x.com"}
    assert hybrid.post("updateEmail", change).status_code == 400
    assert hybrid.state.profile("b@x.com") is None


def test_merge_keeps_what_either_has(hybrid: Client) -> None:
    first, second = (hybrid.sandbox.seed_list(name) for name in ("one", "two"))
    hybrid.bulk(
        {"email": "a@x.com", "dataFields": {"a": 1, "both": "source", "userListIds": [first]}},
        {"userId": "u1", "dataFields": {"b": 2, "both": "destination", "userListIds": [second]}},
    )
    merge = {"sourceEmail": "a@x.com", "destinationUserId": "u1"}
    assert envelope(hybrid.post("merge", merge)) == SUCCESS
    fields = {"a": 1, "b": 2, "both": "destination"}
    assert hybrid.state.profile("u1") == ("a@x.com", "u1", fields)
    assert hybrid.state.members(first) == hybrid.state.members(second) == {"u1"}
    assert len(hybrid.state.people) == 1


def test_merge_into_nobody_renames_and_from_nobody_fails(email: Client) -> None:
    email.bulk({"email": "a@x.com", "dataFields": {"a": 1}})
    assert (
        envelope(email.post("merge", {"sourceEmail": "a@x.com", "destinationEmail": "b@x.com"}))
        == SUCCESS
    )
    assert email.state.profile("b@x.com") == ("b@x.com", None, {"a": 1})
    again = email.post("merge", {"sourceEmail": "a@x.com", "destinationEmail": "b@x.com"})
    assert envelope(again)[:2] == (400, "UnknownEmailError")
    both = {"sourceEmail": "b@x.com", "sourceUserId": "u1", "destinationEmail": "c@x.com"}
    assert envelope(email.post("merge", both))[:2] == (400, "BadParams")
    email.sandbox.forget("gone@x.com")
    merge = {"sourceEmail": "b@x.com", "destinationEmail": "gone@x.com"}
    assert envelope(email.post("merge", merge))[:2] == (409, "ForgottenUserError")
    assert email.state.profile("b@x.com") is not None


def test_subscriptions_overwrite_lists_and_leave_null_alone(email: Client) -> None:
    first, second = (email.sandbox.seed_list(name, ["a@x.com"]) for name in ("one", "two"))
    one = {"email": "a@x.com", "emailListIds": [second], "unsubscribedChannelIds": [7]}
    assert envelope(email.post("updateSubscriptions", one)) == SUCCESS
    assert email.state.members(first) == set()
    assert email.read("a@x.com")["unsubscribedChannelIds"] == [7]
    many = [
        {"email": "a@x.com", "emailListIds": None},
        {"email": "bad@"},
        {"userId": "u9"},
        {"email": "gone@x.com"},
    ]
    email.sandbox.forget("gone@x.com")
    response = email.post("bulkUpdateSubscriptions", {"updateSubscriptionsRequests": many})
    assert response.json() == {
        "successCount": 1,
        "failCount": 3,
        "invalidEmails": ["bad@"],
        "invalidUserIds": ["u9"],
        "validEmailFailures": ["gone@x.com"],
        "validUserIdFailures": [],
    }
    assert email.state.members(second) == {"a@x.com"}


def test_malformed_subscriptions(email: Client) -> None:
    wrong = [{"email": "a@x.com", "emailListIds": ["1"]}, 5]
    response = email.post("bulkUpdateSubscriptions", {"updateSubscriptionsRequests": wrong})
    assert response.json()["params"] == {
        "obj.updateSubscriptionsRequests[0].emailListIds": "Array value expected",
        "obj.updateSubscriptionsRequests[1]": "Object value expected",
    }


# --- time ----------------------------------------------------------------------------------


def test_reads_lag_behind_profiles() -> None:
    with running(visibility_lag_seconds=4) as client:
        client.bulk({"email": "a@x.com", "dataFields": {"n": 1}})
        assert client.get("a@x.com").json() == {}
        client.ticks.now += 2
        client.bulk({"email": "a@x.com", "userId": "u1", "dataFields": {"n": 2}})
        assert client.fields("a@x.com") == {"n": 2}
        client.ticks.now += 2
        assert client.read("a@x.com")["n"] == 1
        assert client.get("byUserId/u1").status_code == 400
        client.ticks.now += 2
        assert client.read("a@x.com")["n"] == 2
        fields = client.read("byUserId/u1")
        assert fields["profileUpdatedAt"] == "2020-09-13 12:26:42 +00:00"
        assert fields["itblInternal"]["documentUpdatedAt"] == "2020-09-13 12:26:46 +00:00"


def test_reads_lag_behind_deletions_and_renames() -> None:
    with running(visibility_lag_seconds=4) as client:
        list_id = client.sandbox.seed_list("VIP", ["a@x.com", "b@x.com"])
        client.ticks.now += 4
        client.http.delete("/api/users/a@x.com")
        client.post("updateEmail", {"currentEmail": "b@x.com", "newEmail": "c@x.com"})
        lines = f"/api/lists/getUsers?listId={list_id}"
        assert client.read("a@x.com")["emailListIds"] == [list_id]
        assert client.get("c@x.com").json() == {}
        assert client.get("b@x.com").json()["user"]["email"] == "b@x.com"
        assert client.http.get(lines).text == "a@x.com\nb@x.com\n"
        client.ticks.now += 4
        assert client.get("a@x.com").json() == client.get("b@x.com").json() == {}
        assert client.http.get(lines).text == "c@x.com\n"


def test_reads_lag_behind_lists() -> None:
    with running(visibility_lag_seconds=4) as client:
        list_id = client.http.post("/api/lists", json={"name": "VIP"}).json()["listId"]
        size = f"/api/lists/{list_id}/size"

        def send(call: str, *people: str) -> None:
            body = {"listId": list_id, "subscribers": [{"email": each} for each in people]}
            assert client.http.post(f"/api/lists/{call}", json=body).status_code == 200

        send("subscribe", "a@x.com", "b@x.com")
        assert client.http.get("/api/lists").json() == {"lists": []}
        assert client.http.get(size).text == "0"
        assert client.state.members(list_id) == {"a@x.com", "b@x.com"}
        client.ticks.now += 2
        send("subscribe", "b@x.com", "c@x.com")
        send("unsubscribe", "a@x.com", "nobody@x.com")
        client.ticks.now += 2
        assert client.http.get(size).text == "2"
        assert client.http.get(f"/api/lists/getUsers?listId={list_id}").text == "a@x.com\nb@x.com\n"
        assert client.read("a@x.com")["emailListIds"] == [list_id]
        client.ticks.now += 2
        assert client.http.get(f"/api/lists/getUsers?listId={list_id}").text == "b@x.com\nc@x.com\n"
        assert "emailListIds" not in client.read("a@x.com")
        assert [each["id"] for each in client.http.get("/api/lists").json()["lists"]] == [list_id]


def test_without_a_lag_reads_show_everything_at_once(email: Client) -> None:
    email.bulk({"email": "a@x.com"})
    assert email.get("a@x.com").json()["user"]["email"] == "a@x.com"


def test_a_new_list_is_unknown_for_a_while() -> None:
    with running(new_list_lag_seconds=10) as client:
        old = client.sandbox.seed_list("arranged")
        new = client.http.post("/api/lists", json={"name": "VIP"}).json()["listId"]

        def subscribe(list_id: int) -> httpx.Response:
            body = {"listId": list_id, "subscribers": [{"email": "a@x.com"}]}
            return client.http.post("/api/lists/subscribe", json=body)

        assert subscribe(old).status_code == 200
        assert envelope(subscribe(new)) == (400, "Success", f"error.lists.invalidListId({new})")
        client.ticks.now += 10
        assert subscribe(new).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed", "text"),
    [
        ("POST", "bulkUpdate", {"users": [{"email": "a@x.com"}]}, 5, "5.0 per second"),
        ("POST", "update", {"email": "a@x.com"}, 500, "500.0 per second"),
        ("GET", "getFields", None, 3, "3.0 per second"),
        ("GET", "a@x.com", None, 100, "100.0 per second"),
        ("POST", "forget", {"email": "a@x.com"}, 3, "3.0 per second"),
        ("GET", "forgotten", None, 3, "3.0 per second"),
    ],
)
def test_documented_limits(method: str, path: str, body: Any, allowed: int, text: str) -> None:
    with running(documented_limits=True) as client:
        for _ in range(allowed):
            assert client.http.request(method, f"/api/users/{path}", json=body).status_code == 200
        refused = client.http.request(method, f"/api/users/{path}", json=body)
        assert envelope(refused)[:2] == (429, "RateLimitExceeded")
        assert text in refused.text
        client.ticks.now += 1
        assert client.http.request(method, f"/api/users/{path}", json=body).status_code == 200


def test_a_thousand_are_forgotten_a_day() -> None:
    ticks = Ticks()
    sandbox = Sandbox(documented_limits=True, monotonic=ticks)

    def forget(name: str) -> Reply:
        ticks.now += 1
        body = json.dumps({"email": f"{name}@x.com"}).encode()
        headers = [("Api-Key", KEY)]
        reply, _ = sandbox.handle(Call("POST", "/api/users/forget", headers=headers, body=body))
        assert reply is not None
        return reply

    assert {forget(f"p{number}").status for number in range(1000)} == {200}
    refused = forget("one.more")
    assert b"1000.0 per day for endpoint: /api/users/forget" in refused.body
    ticks.now += 86_400
    assert forget("one.more").status == 200


# --- bodies and faults ---------------------------------------------------------------------


def test_bodies_may_be_compressed(email: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    body = gzip.compress(json.dumps({"users": [{"email": "a@x.com"}]}).encode())
    headers = {"Content-Encoding": "gzip"}
    path = "/api/users/bulkUpdate"
    assert counts(email.http.post(path, content=body, headers=headers)) == (1, 0)
    for broken in (b"no gzip", body[:-12]):
        response = email.http.post(path, content=broken, headers=headers)
        assert envelope(response)[:2] == (400, "BadJsonBody")
    bomb = gzip.compress(b" " * 5_000_000)
    assert email.http.post(path, content=bomb, headers=headers).status_code == 413
    monkeypatch.setattr(listener, "MAX_READ_BYTES", 4_999_999)
    assert email.http.post(path, content=bomb, headers=headers).status_code == 413


def test_extra_keys_fault(email: Client) -> None:
    email.sandbox.faults = [Fault("extra_keys")]
    body = email.bulk({"email": "a@x.com"}).json()
    assert body["successCount"] == 1
    assert body["unheardOf"]
    assert "unheardOfEmails" in body["failedUpdates"]
    assert "unheardOf" in email.get("getFields").json()
    assert email.http.get("/api/nothing").status_code == 404


def test_old_shape_fault(email: Client) -> None:
    email.sandbox.faults = [Fault("old_shape", times=1)]
    assert email.bulk({"email": "a@x.com"}, {"email": "bad@"}).json() == {
        "successCount": 1,
        "failCount": 1,
        "invalidEmails": ["bad@"],
    }
    assert "failedUpdates" in email.bulk({"email": "a@x.com"}).json()


def test_reject_index_fault_names_the_user(email: Client) -> None:
    email.sandbox.faults = [Fault("reject_index", identifiers=("b@x.com",))]
    response = email.bulk({"email": "a@x.com"}, {"email": "b@x.com"})
    assert response.json()["params"] == {"obj.users[1].email": "String value expected"}


def test_a_fault_can_carry_params(email: Client) -> None:
    params = {"apiKeyType": "Mobile", "apiKeyIdentifier": "x"}
    msg = "Disabled API key or insufficient privileges"
    email.sandbox.faults = [Fault("status", status=401, msg=msg, params=params)]
    assert email.bulk({"email": "a@x.com"}).json() == {
        "msg": msg,
        "code": "BadApiKey",
        "params": params,
    }


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "getFields"),
        ("GET", ""),
        ("PUT", "bulkUpdate"),
        ("POST", "nothing"),
        ("DELETE", "a@x.com/more"),
        ("PATCH", "update"),
    ],
)
def test_unknown_paths_get_the_page(email: Client, method: str, path: str) -> None:
    response = email.http.request(method, f"/api/users/{path}")
    assert response.status_code == 404
    assert "<title>Action not found</title>" in response.text


# --- anything at all -----------------------------------------------------------------------

VALUES: list[Any] = [
    None, True, 0, -1, 2**70, 1.5, "", "a@x.com", "A@X.com", "bad@", "u1", " ", "ü", "\u0000",
    "2020-01-01", "9999-12-31T23:59:59-23:59", [], {}, [None], [[1, "x"]], {"a": None},
    {"lat": 1, "lon": 2}, {"": {"": 1}}, [{"a": 1}, {"a": "x"}],
]  # fmt: skip
PERSON_KEYS = ["email", "userId", "dataFields", "preferUserId", "mergeNestedObjects"]
BODY_KEYS = [
    *PERSON_KEYS, "users", "subscribers", "listId", "createNewFields", "updateOnly",
    "updateExistingUsersOnly", "channelUnsubscribe", "updateSubscriptionsRequests", "name",
    "emailListIds", "unsubscribedChannelIds", "currentEmail", "currentUserId", "newEmail",
    "sourceEmail", "sourceUserId", "destinationEmail", "destinationUserId",
]  # fmt: skip
FIELDS = [
    "email",
    "userId",
    "emailListIds",
    "userListIds",
    "signupDate",
    "n",
    "n.a",
    "x_geo_location",
]


def anything(chance: random.Random, list_id: int) -> Any:
    """Return a body that is right by chance only."""

    def value() -> Any:
        return chance.choice(VALUES)

    def person() -> Any:
        made = {key: value() for key in chance.sample(PERSON_KEYS, chance.randrange(4))}
        if chance.random() < 0.7:
            made |= {"email": chance.choice(["a@x.com", "b@x.com"]), "userId": "u1"}
        if chance.random() < 0.6:
            made["dataFields"] = {key: value() for key in chance.sample(FIELDS, 2)}
        return made if chance.random() < 0.9 else value()

    body = {key: value() for key in chance.sample(BODY_KEYS, chance.randrange(6))}
    alone = person()
    body |= alone if isinstance(alone, dict) else {}
    for key in ("users", "subscribers", "updateSubscriptionsRequests"):
        body.setdefault(key, [person() for _ in range(chance.randrange(4))])
    body.setdefault("listId", list_id)
    return body if chance.random() < 0.95 else value()


@pytest.mark.parametrize("kind", ["email", "user_id", "hybrid"])
@pytest.mark.parametrize("scope", ["batch", "user"])
def test_no_body_brings_it_down(kind: Any, scope: Any) -> None:
    chance = random.Random(f"{kind} {scope}")
    sandbox = Sandbox(kind, type_mismatch=scope, field_limit=9, visibility_lag_seconds=1)
    list_id = sandbox.seed_list("VIP", ["a@x.com", "u1"])
    endpoints = [
        *(f"POST /api/users/{name}" for name in (
            "bulkUpdate", "update", "updateEmail", "merge", "updateSubscriptions",
            "bulkUpdateSubscriptions", "forget", "unforget",
        )),
        *(f"POST /api/lists/{name}" for name in ("subscribe", "unsubscribe")),
        "GET /api/users/a@x.com", "GET /api/users/byUserId/u1", "GET /api/users/getFields",
        "DELETE /api/users/b@x.com", f"GET /api/lists/{list_id}/size",
    ]  # fmt: skip
    answered: Counter[int] = Counter()
    for _ in range(1500):
        method, _, path = chance.choice(endpoints).partition(" ")
        body = json.dumps(anything(chance, list_id)).encode()
        reply, _ = sandbox.handle(Call(method, path, headers=[("Api-Key", KEY)], body=body))
        assert reply is not None
        answered[reply.status] += 1
        members = sandbox.state.lists[list_id].members
        assert all(sandbox.state.people.stored(each) for each in members)
    assert answered.keys() <= {200, 400, 409}
    assert answered[200] > 300
    assert answered[400] > 100
    control = sandbox.control(Call("GET", "/sandbox/state"))
    assert control.status == 200


# --- arranging -----------------------------------------------------------------------------


def test_profiles_are_arranged_as_calls_would(email: Client) -> None:
    made = email.sandbox.add_profile(email="Ada@x.com", user_id="u1", fields={"at": "2020-01-01"})
    assert made == ("ada@x.com", "u1", {"at": "2020-01-01 00:00:00 +00:00"})
    email.sandbox.add_profile(user_id="u2")
    assert len(email.state.people) == 2
    with pytest.raises(ValueError, match="no profile"):
        email.sandbox.add_profile(email="bad@")
    with pytest.raises(ValueError, match="at"):
        email.sandbox.add_profile(email="ada@x.com", fields={"at": "soon"})
    with pytest.raises(ValueError, match="must not be negative"):
        email.sandbox.declare_fields({}, limit=-1)


def test_everything_is_arranged_and_shown_over_http(email: Client) -> None:
    def control(path: str, body: Any) -> httpx.Response:
        return email.http.post(f"/sandbox/{path}", json=body)

    assert control("fields", {"types": {"n": "long"}, "limit": 5}).json()["fields"]["n"] == "long"
    one = {"email": "a@x.com", "userId": "u1", "dataFields": {"n": 1}}
    assert control("profiles", one).json() == {}
    assert control("profiles", [{"email": "b@x.com"}]).json() == {}
    control("lists", {"name": "VIP", "members": ["a@x.com"]})
    control("forget", {"identifiers": ["c@x.com", "d@x.com"]})
    control("unforget", {"identifiers": ["d@x.com"]})
    control("faults", {"action": "status", "times": 1})
    state = email.http.get("/sandbox/state").json()
    assert state["people"] == [
        {
            "email": "a@x.com",
            "userId": "u1",
            "dataFields": {"n": 1},
            "createdAt": STARTED,
            "updatedAt": STARTED,
        },
        {
            "email": "b@x.com",
            "userId": None,
            "dataFields": {},
            "createdAt": STARTED,
            "updatedAt": STARTED,
        },
    ]
    assert state["profiles"] == 2
    assert state["lists"][0]["members"] == ["a@x.com"]
    assert (state["fields"]["n"], state["fieldLimit"]) == ("long", 5)
    assert state["forgotten"] == {
        "hashedEmails": [hashlib.sha256(b"c@x.com").hexdigest()],
        "hashedUserIds": [],
    }
    assert [(each["action"], each["struck"]) for each in state["faults"]] == [("status", 0)]
    assert state["settings"]["type_mismatch"] == "batch"
    assert KEY not in json.dumps(state)
    assert "people" not in email.http.get("/sandbox/state?brief=true").json()


@pytest.mark.parametrize(
    ("path", "body", "error"),
    [
        ("profiles", {"name": "x"}, "a profile is an object with email"),
        ("profiles", [5], "a profile is an object with email"),
        ("profiles", {"email": 5}, "5 is not a text"),
        ("profiles", {"email": "bad@"}, "no profile"),
        ("profiles", {"email": "a@x.com", "dataFields": [1]}, "dataFields is an object"),
        ("fields", {"types": {"n": "number"}}, "'number' is not one of string"),
        ("fields", {"limit": "many"}, "the body is"),
        ("fields", {"limit": -1}, "must not be negative"),
    ],
)
def test_impossible_arrangements_are_refused(
    email: Client, path: str, body: Any, error: str
) -> None:
    response = email.http.post(f"/sandbox/{path}", json=body)
    assert response.status_code == 400
    assert error in response.json()["error"]


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_values_that_are_nested_too_deeply_are_refused_and_kept_nowhere(
    email: Client, opening: str
) -> None:
    closing = "]" if opening == "[" else "}"

    def send(levels: int) -> httpx.Response:
        value = opening * levels + "1" + closing * levels
        body = f'{{"users": [{{"email": "a@x.com", "dataFields": {{"deep": {value}}}}}]}}'
        return email.http.post("/api/users/bulkUpdate", content=body)

    for levels in (101, 240, 500, 900):
        response = send(levels)
        assert (response.status_code, response.json()["code"]) == (400, "BadJsonBody")
    assert email.state.profile("a@x.com") is None
    assert send(100).json()["successCount"] == 1
    assert email.get("getByEmail", email="a@x.com").status_code == 200
    assert email.http.get("/sandbox/state").status_code == 200


def test_lists_of_a_profile_may_be_arrays_of_arrays(email: Client) -> None:
    lists = [email.sandbox.seed_list(name) for name in ("one", "two")]
    response = email.bulk({"email": "a@x.com", "dataFields": {"emailListIds": [[lists[0]], []]}})
    assert response.json()["successCount"] == 1
    assert [email.state.members(each) for each in lists] == [{"a@x.com"}, set()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"type_mismatch": "row"}, "type_mismatch: 'row' is not one of batch, user"),
        ({"field_limit": -1}, "field_limit must not be negative"),
        ({"visibility_lag_seconds": -1}, "visibility_lag_seconds must not be negative"),
        ({"new_list_lag_seconds": -1}, "new_list_lag_seconds must not be negative"),
    ],
)
def test_impossible_settings(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sandbox(**options)
