"""The sandbox against what is known of the real API: recorded traffic and its own description."""

from __future__ import annotations

import calendar
import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from connectors.iterable.sandbox import Fault, MailingList, Sandbox
from connectors.iterable.sandbox.limits import DOCUMENTED
from connectors.iterable.sandbox.list_calls import ListCalls
from connectors.iterable.sandbox.user_calls import UserCalls

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = Path(__file__).parents[1] / "data"
RECORDED = json.loads((DATA / "iterable_recorded.json").read_text())
SHAPES = json.loads((DATA / "iterable_api_shapes.json").read_text())
CASES = {case["id"]: case for case in RECORDED["cases"]}
KEY = "sandbox-key"
SAMPLE = "sample-1507173084@example.com"

# Recordings that the sandbox does not repeat, and why. A case that starts to hold fails the test.
NOT_REPEATED = {
    "vcr-001": "exports are not served",
    "vcr-002": "exports are not served",
    "vcr-011": "exports are not served",
    "vcr-012": "exports are not served",
}


class Clock:
    """Seconds since 1970 that a case sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def set(self, text: str) -> None:
        self.now = calendar.timegm(time.strptime(text, "%Y-%m-%d %H:%M:%S +00:00"))


# --- what the recorded project must have held ------------------------------------------------


class World:
    """A sandbox that is set up for one case."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case = case
        self.expected = case["response"]["body"]
        self.asked: dict[str, Any] = {"method": "GET", "query": {}, "body": None, **case["request"]}
        self.clock = Clock()
        self.options: dict[str, Any] = {"project_type": "email"}

    def start(self) -> Sandbox:
        # What was recorded by 2022 has the shape of its time.
        shape = "old" if self.case["cls"] == "recorded-live" else "current"
        options = {"response_shape": shape, "clock": self.clock, **self.options}
        return Sandbox(**options)


def put_list(sandbox: Sandbox, list_id: int, members: list[str]) -> None:
    sandbox.state.lists[list_id] = MailingList(list_id, "list")
    sandbox.seed_list("list", members)


def lists(sandbox: Sandbox, world: World) -> None:
    for each in world.expected["lists"]:
        values = (each["id"], each["name"], None, each["createdAt"], each["listType"])
        sandbox.state.lists[each["id"]] = MailingList(*values)


def fields(sandbox: Sandbox, world: World) -> None:
    sandbox.declare_fields(world.expected["fields"])


def person(sandbox: Sandbox, world: World) -> None:
    recorded = world.expected["user"]
    world.clock.set(recorded["dataFields"]["signupDate"])
    sandbox.add_profile(email=recorded["email"])
    world.clock.set(recorded["dataFields"]["profileUpdatedAt"])
    if "userId" in recorded:
        sandbox.add_profile(email=recorded["email"], user_id=recorded["userId"])


def somebody(sandbox: Sandbox, _world: World) -> None:
    sandbox.add_profile(email=SAMPLE)


def members(sandbox: Sandbox, _world: World, list_id: int, people: list[str]) -> None:
    put_list(sandbox, list_id, people)


def fault(sandbox: Sandbox, world: World, **more: Any) -> None:
    """Make the error itself: the path belongs to another part of the API, or to no part at all."""
    body, recorded = world.expected, world.case["response"]
    wait = recorded.get("headers", {}).get("retry-after")
    known = {"status": recorded["status"], "retry_after": float(wait) if wait else None}
    if "code" in body:
        more = {"code": body["code"], "msg": body["msg"], "params": body.get("params"), **more}
    sandbox.faults = [Fault("status", **{**known, **more})]


def wrong_type(sandbox: Sandbox, world: World) -> None:
    ((field, problem),) = world.expected["params"]["validationErrors"].items()
    sandbox.declare_fields({field: problem["expectedType"]})
    user = {"email": "a@example.com", "dataFields": {field: problem["offendingValue"]}}
    world.asked.update(method="POST", body={"users": [user]})


def an_email_of_none(_sandbox: Sandbox, world: World) -> None:
    world.asked.update(method="POST", body={"email": "None"})


def text(sandbox: Sandbox, world: World) -> None:
    body = world.expected
    shown = body if isinstance(body, str) else json.dumps(body)
    fault(sandbox, world, form="text", msg=shown)


ARRANGED: dict[str, Callable[[Sandbox, World], None]] = {
    "vcr-007": fault,
    "vcr-008": fault,
    "vcr-009": fault,
    "vcr-010": fault,
    "vcr-013": lists,
    "vcr-021": partial(members, list_id=61933, people=[]),
    "vcr-024": partial(members, list_id=58508, people=[]),
    "vcr-026": partial(members, list_id=58508, people=[]),
    "vcr-027": partial(members, list_id=58508, people=[]),
    "vcr-030": partial(members, list_id=56545, people=CASES["vcr-030"]["response"]["body"].split()),
    "vcr-043": fields,
    "vcr-045": person,
    "vcr-047": person,
    "vcr-054": somebody,
    "vendor-err-01": fault,
    "vendor-err-02": fault,
    "vendor-err-04": fault,
    "vendor-err-05": fault,
    "vendor-err-06": text,
    "vendor-err-07": text,
    "vendor-ok-01": partial(members, list_id=123, people=[]),
    "vendor-ok-03": partial(members, list_id=123, people=[]),
    "vendor-ok-04": partial(
        members, list_id=123, people=["user1@example.com", "user2@example.com"]
    ),
    "vendor-ok-05": partial(
        members, list_id=123, people=[f"u{number}@example.com" for number in range(1500)]
    ),
    "vendor-ok-06": partial(members, list_id=123, people=["userId1", "userId2"]),
    "report-02": fault,
    "report-04": wrong_type,
    "report-06": an_email_of_none,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "vendor-ok-06": {"project_type": "user_id"},
    "report-04": {"project_id": 3549},
}

# Examples that their authors made up: these values are not to be expected of a real project.
SHAPE_ONLY = {"vendor-ok-07"}


def replay(case: dict[str, Any]) -> httpx.Response:
    world = World(case)
    world.options |= OPTIONS.get(case["id"], {})
    with world.start() as sandbox, httpx.Client(base_url=sandbox.url, verify=False) as http:  # noqa: S501 - loads no certificates
        if case["id"] in ARRANGED:
            ARRANGED[case["id"]](sandbox, world)
        asked = world.asked
        return http.request(
            asked["method"],
            asked["path"],
            params=asked["query"] or None,
            json=asked["body"],
            headers={"Api-Key": KEY},
        )


# --- the comparison --------------------------------------------------------------------------


def compare(case: dict[str, Any], response: httpx.Response) -> None:
    """Check an answer against a recorded one: status, kind, keys, types, and settled values."""
    expected = case["response"]
    assert response.status_code == expected["status"], response.text
    recorded = expected["body"]
    if isinstance(recorded, str):
        compare_text(recorded, response)
        return
    body = response.json()
    live = case["cls"] == "recorded-live"
    if case["id"] in SHAPE_ONLY:
        compare_shape(body, recorded, exactly=False)
    elif recorded.get("code") == "BadJsonBody":
        compare_shape(body, recorded, exactly=live)
        # What follows are the headers of the request.
        assert body["msg"].partition(", hdrs: ")[0] == recorded["msg"].partition(", hdrs: ")[0]
        assert (body["code"], body["params"]) == (recorded["code"], recorded["params"])
    elif "..." in recorded.get("msg", ""):
        compare_shape(body, recorded, exactly=False)
        assert body["msg"].startswith(recorded["msg"].partition("...")[0])
        assert (body["code"], body["params"]) == (recorded["code"], recorded["params"])
    elif live:
        assert body == recorded
    else:  # an example shows a part
        assert recorded.items() <= body.items()


def compare_text(recorded: str, response: httpx.Response) -> None:
    if recorded.startswith("<"):
        assert response.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "<title>Action not found</title>" in response.text
        return
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert sorted(response.text.split()) == sorted(recorded.split())


def compare_shape(value: Any, recorded: Any, *, exactly: bool) -> None:
    assert type(value) is type(recorded)
    if isinstance(recorded, dict):
        assert value.keys() == recorded.keys() if exactly else value.keys() >= recorded.keys()
        for key, each in recorded.items():
            compare_shape(value[key], each, exactly=exactly)
    elif isinstance(recorded, list) and recorded and value:
        compare_shape(value[0], recorded[0], exactly=exactly)


@pytest.mark.parametrize("name", sorted(CASES.keys() - NOT_REPEATED.keys()))
def test_repeats_the_recording(name: str) -> None:
    compare(CASES[name], replay(CASES[name]))


@pytest.mark.parametrize("name", sorted(NOT_REPEATED))
def test_what_is_listed_as_not_repeated_is_not(name: str) -> None:
    with pytest.raises(AssertionError):
        compare(CASES[name], replay(CASES[name]))


def test_every_exception_names_a_case() -> None:
    for named in (NOT_REPEATED, ARRANGED, OPTIONS, SHAPE_ONLY):
        assert set(named) <= CASES.keys()


def test_a_recording_with_another_value_is_noticed() -> None:
    case = json.loads(json.dumps(CASES["vcr-035"]))
    case["response"]["body"]["failCount"] = 2
    with pytest.raises(AssertionError):
        compare(case, replay(case))


def test_the_content_type_is_the_recorded_one() -> None:
    live = [case for case in CASES.values() if case["cls"] == "recorded-live"]
    for case in live:
        if case["id"] in ARRANGED or case["response"]["status"] == 200:
            continue
        kind = replay(case).headers["Content-Type"].partition(";")[0]
        assert kind == case["response"]["headers"]["Content-Type"].partition(";")[0]


def test_get_users_travels_in_chunks_as_recorded() -> None:
    headers = replay(CASES["vcr-030"]).headers
    assert headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in headers


# --- the official description ----------------------------------------------------------------

TYPES: dict[str, Any] = {
    "integer": int,
    "number": (int, float),
    "string": str,
    "boolean": bool,
    "array": list,
    "object": dict,
}

# Seen in answers, or expected by a client in use, but not described.
UNDESCRIBED = {"noOpEmails", "noOpUserIds"}


def conform(value: Any, schema: dict[str, Any], where: str = "$") -> None:
    """Check a value against a shape; null stands for an optional value that is absent."""
    if "$ref" in schema:
        conform(value, SHAPES["definitions"][schema["$ref"].rpartition("/")[2]], where)
        return
    assert isinstance(value, TYPES[schema["type"]]), f"{where}: {value!r}"
    assert schema["type"] == "boolean" or not isinstance(value, bool), f"{where}: {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], f"{where}: {value!r}"
    if schema["type"] == "array":
        assert not schema.get("uniqueItems") or len(value) == len({json.dumps(e) for e in value})
        for index, each in enumerate(value):
            conform(each, schema["items"], f"{where}[{index}]")
    properties = schema.get("properties")
    if schema["type"] == "object" and properties is not None:
        missing = set(schema.get("required", ())) - set(value)
        assert not missing, f"{where}: {missing}"
        unknown = set(value) - set(properties) - UNDESCRIBED
        assert not unknown, f"{where}: {unknown}"
        for key, each in value.items():
            if each is not None and key in properties:
                conform(each, properties[key], f"{where}.{key}")


ENVELOPE = {"$ref": "#/definitions/IterableApiResponse"}
BULK = {"$ref": "#/definitions/UserBulkUpdateListResponse"}
RECORDED_ONLY = {"response": ENVELOPE, "errors": [400, 401]}


# The description has the envelope for every error; the recording of 2017 goes before it.
RECORDED_AS_TEXT = "No user with that id exists!"


class Checking:
    """A client whose every answer is checked; it remembers which endpoints were answered."""

    def __init__(self, sandbox: Sandbox, http: httpx.Client) -> None:
        self.sandbox, self.http = sandbox, http
        self.answered: set[str] = set()

    def __call__(self, endpoint: str, body: Any = None, /, status: int = 200, **names: Any) -> Any:
        """Make a call; names that the template lacks become the query."""
        method, _, template = endpoint.partition(" ")
        path = template.format(**names)
        query = {key: value for key, value in names.items() if f"{{{key}}}" not in template}
        response = self.http.request(method, path, params=query or None, json=body)
        assert response.status_code == status, response.text
        described = SHAPES["endpoints"].get(endpoint, RECORDED_ONLY)
        if status != 200:
            assert status in described["errors"]
            if response.text == RECORDED_AS_TEXT:
                assert "byUserId" in endpoint
                return response.text
            conform(response.json(), ENVELOPE)
            return response.json()
        self.answered.add(endpoint)
        if described["response"] == {"type": "string"}:
            assert response.headers["Content-Type"].startswith("text/plain")
            return response.text
        conform(response.json(), described["response"])
        return response.json()


ADA: dict[str, Any] = {
    "email": "ada@example.com",
    "userId": "u1",
    "dataFields": {"plan": "gold", "at": {"x": 1}},
}
BAD = {"email": "bad@", "userId": " "}


def use_lists(call: Checking, _kind: str) -> None:
    list_id = call("POST /api/lists", {"name": "a", "description": "b"})["listId"]
    call.sandbox.seed_list("stop", list_type="Suppression")
    call.sandbox.seed_list("all", list_type="Dynamic")
    call("GET /api/lists")
    people = {"listId": list_id, "subscribers": [ADA, BAD]}
    call("POST /api/lists/subscribe", people)
    call("GET /api/lists/getUsers", listId=list_id)
    call("GET /api/lists/previewUsers", listId=list_id)
    call("GET /api/lists/{listId}/size", listId=list_id)
    call("POST /api/lists/unsubscribe", people)
    call("POST /api/lists/subscribe", {**people, "listId": 7}, status=400)
    call("POST /api/lists/subscribe", {}, status=400)
    call("DELETE /api/lists/{listId}", listId=list_id)
    call("DELETE /api/lists/{listId}", listId=list_id, status=400)


def write_people(call: Checking, kind: str) -> None:
    key = "userId" if kind == "user_id" else "email"
    call("POST /api/users/bulkUpdate", {"users": [ADA, BAD, {"userId": "u2"}]})
    call("POST /api/users/bulkUpdate", {"users": [ADA], "createNewFields": False})
    call("POST /api/users/bulkUpdate", {"users": [{key: "no@x.com"}], "updateOnly": True})
    wrong = {"users": [{**ADA, "dataFields": {"plan": 5}}]}
    call("POST /api/users/bulkUpdate", wrong, status=400)
    call.sandbox.declare_fields({}, limit=2)
    new = {"users": [{**ADA, "dataFields": {"new": 5}}]}
    call("POST /api/users/bulkUpdate", new, status=400)
    call("POST /api/users/bulkUpdate", {"users": []}, status=400)
    call("POST /api/users/update", ADA)
    call("POST /api/users/update", BAD, status=400)
    requests = [{key: ADA[key], "emailListIds": [7]}, BAD]
    call("POST /api/users/bulkUpdateSubscriptions", {"updateSubscriptionsRequests": requests})
    call("POST /api/users/updateSubscriptions", {key: ADA[key]})


def read_people(call: Checking, kind: str) -> None:
    call("GET /api/users/getFields")
    call("GET /api/users/getByEmail", email="ada@example.com")
    call("GET /api/users/getByEmail", email="nobody@example.com")
    call("GET /api/users/{email}", email="ada%40example.com")
    call("GET /api/users/byUserId", userId="u1")
    call("GET /api/users/byUserId/{userId}", userId="u1")
    call("GET /api/users/byUserId/{userId}", userId="nobody", status=400)
    call.sandbox.seed_list("bare", ["u8"])
    call("GET /api/users/byUserId", userId="u8", status=400 if kind == "email" else 200)


def move_people(call: Checking, kind: str) -> None:
    change = {"currentEmail": "ada@example.com", "newEmail": "eve@example.com"}
    call("POST /api/users/updateEmail", change, status=200 if kind == "email" else 400)
    call.sandbox.add_profile(email="bo@example.com", user_id="u3")
    if kind == "user_id":
        pair = {"sourceUserId": "u3", "destinationUserId": "u9"}
    else:
        pair = {"sourceEmail": "bo@example.com", "destinationEmail": "cy@example.com"}
    call("POST /api/users/merge", pair)


def forget_people(call: Checking, kind: str) -> None:
    key = "userId" if kind == "user_id" else "email"
    gone = {key: "gone@example.com"}
    call("POST /api/users/forget", gone)
    call("GET /api/users/forgotten", status=400 if kind == "user_id" else 200)
    call("GET /api/users/forgottenUserIds", status=400 if kind == "email" else 200)
    call("POST /api/users/update", gone, status=409)
    call("POST /api/users/unforget", gone)
    call("DELETE /api/users/byUserId/{userId}", userId="u1")
    call("DELETE /api/users/byUserId/{userId}", userId="u1", status=400)
    email = "x@example.com"
    call("DELETE /api/users/{email}", email=email, status=400 if kind == "user_id" else 200)


# Endpoints that a type of project does not have.
REFUSED = {
    "email": {"GET /api/users/forgottenUserIds"},
    "user_id": {
        "GET /api/users/forgotten",
        "POST /api/users/updateEmail",
        "DELETE /api/users/{email}",
    },
    "hybrid": {"POST /api/users/updateEmail"},
}


@pytest.mark.parametrize("kind", ["email", "user_id", "hybrid"])
def test_every_answer_conforms_to_the_description(kind: Any) -> None:
    with Sandbox(kind) as sandbox, httpx.Client(base_url=sandbox.url, verify=False) as http:  # noqa: S501 - as above
        http.headers["Api-Key"] = KEY
        call = Checking(sandbox, http)
        for use in (use_lists, write_people, read_people, move_people, forget_people):
            use(call, kind)
    described = SHAPES["endpoints"].keys() - REFUSED[kind]
    assert call.answered - {"POST /api/users/updateSubscriptions"} == described


def test_every_described_endpoint_is_served() -> None:
    sandbox = Sandbox()
    served = {
        endpoint
        for calls in (ListCalls, UserCalls)
        for endpoint in calls(sandbox.state, sandbox.settings).routes()
    }
    recorded_only = {"POST /api/users/updateSubscriptions"}
    assert served == SHAPES["endpoints"].keys() | recorded_only
    assert DOCUMENTED.keys() <= served


@pytest.mark.parametrize(
    "broken",
    [
        {"successCount": 1},
        {"successCount": 1, "failCount": "0"},
        {"successCount": True, "failCount": 0},
        {"successCount": 1, "failCount": 0, "unheardOf": 1},
        {"successCount": 1, "failCount": 0, "createdFields": ["a", "a"]},
        {"successCount": 1, "failCount": 0, "failedUpdates": {"invalidEmails": [1]}},
        {"msg": "", "code": "Sucess"},
    ],
)
def test_the_check_of_shapes_can_fail(broken: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        conform(broken, ENVELOPE if "code" in broken else BULK)
