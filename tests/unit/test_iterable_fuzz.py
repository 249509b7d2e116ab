"""Answers nobody wrote down: whatever comes back, no change is lost and no success is made up.

Two kinds of servers. One says anything at all: valid bodies with values changed, random JSON,
random bytes. The other one is truthful and has many ways to say what it did, which is where a
wrong reading would show: somebody counted as delivered who was not.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from connectors.iterable import IterableConnector
from connectors.iterable.sending import REQUESTS_PER_BATCH_MAX
from connectors.iterable.settings import IterableAccount, ListSettings, UserSettings
from reverse_etl.connector import (
    Answer,
    Batch,
    Delivered,
    DestinationObject,
    Fatal,
    FieldMapping,
    MappedField,
    NoAnswer,
    Operation,
    Request,
    Response,
    Target,
)
from reverse_etl.testing.connector_suite import (
    check_fatal,
    check_outcomes,
    documents,
    hold,
    in_turn,
    mutations,
)

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Object = Literal["list", "user"]
IDENTIFIERS = {"email": ["email"], "user_id": ["userId"], "hybrid": ["userId", "email"]}
FAULTS = ("invalid", "notFound", "invalidData", "conflict", "forgotten")
HARMLESS_FOR_DELETES = {"invalid", "notFound", "forgotten"}
FATAL_CODES = {
    "unauthorized",
    "unknown_list",
    "field_limit",
    "not_found_page",
    "redirected",
    "destination_unavailable",
}


def an_object(kind: Object, project_type: str) -> DestinationObject:
    account = IterableAccount.model_validate(
        {"type": "iterable", "api_key": "k" * 32, "project_type": project_type}
    )
    names = {name: name for name in IDENTIFIERS[project_type]}
    mapping = FieldMapping(names, [MappedField("plan", "plan")])
    if kind == "list":
        chosen = {"name": "prod", "object": "list", "list": {"id": 7}}
        return IterableConnector().bind(
            account, ListSettings.model_validate(chosen), mapping, "mirror"
        )
    wanted = {"name": "prod", "object": "user", "on_delete": "clear_fields"}
    return IterableConnector().bind(account, UserSettings.model_validate(wanted), mapping, "mirror")


def email_of(person: int) -> str:
    return f"p{person}@example.com"


def identity_of(project_type: str, person: int) -> str:
    if project_type == "email":
        return email_of(person)
    if project_type == "user_id":
        return f"u{person}"
    return f"email:{email_of(person)}" if person % 3 == 2 else f"userId:u{person}"


def a_batch(
    made: DestinationObject, operation: Operation, count: int, bad: Sequence[int] = ()
) -> Batch:
    hybrid = made.kind == "hybrid"
    people = range(count)
    columns = {
        "_identity": [identity_of(made.kind, person) for person in people],
        "_alias": [email_of(p) if hybrid and p % 3 == 0 else None for p in people],
        "plan": ["bad" if person in bad else "gold" for person in people],
        "_fields": ['["plan"]' for _ in people],
    }
    rows = pa.record_batch({k: pa.array(v, pa.string()) for k, v in columns.items()})
    prepared = made.prepare(operation, rows)
    assert all(prepared.bodies)
    target = Target("7" if made.target.id else "")
    return Batch(operation, target, prepared.bodies, prepared.identities, prepared.aliases)


def people_in(request: Request) -> list[int]:
    """Return the numbers of the people in a request."""
    body = json.loads(request.body or b"")
    people = body.get("subscribers") or body.get("users")
    return [int((each.get("userId") or each["email"]).strip("pu").split("@")[0]) for each in people]


def answer(data: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(data).encode())


# --- a server that says anything -------------------------------------------------------------

PEOPLE = 6
ENTRIES: SearchStrategy[Any] = st.sampled_from(
    [
        *(email_of(person) for person in range(PEOPLE)),
        *(email_of(person).upper() for person in range(PEOPLE)),
        *(f" {email_of(person)} " for person in range(2)),
        *(f"u{person}" for person in range(PEOPLE)),
        *("U0", "stranger@example.com", "u99", "", None, 0, 3, True, [], {}),
    ]
)
KEYS = st.sampled_from(
    [
        *(f"{fault}{plural}" for fault in FAULTS for plural in ("Emails", "UserIds")),
        *("lockedEmails", "noOpEmails", "noOpUserIds", "x"),
    ]
)
BUCKETS = st.dictionaries(KEYS, st.lists(ENTRIES, max_size=5), max_size=4)
COUNTS = st.integers(0, PEOPLE + 2)
BULK = st.fixed_dictionaries(
    {"successCount": COUNTS, "failCount": COUNTS},
    optional={
        "failedUpdates": BUCKETS,
        "invalidEmails": st.lists(ENTRIES, max_size=3),
        "invalidUserIds": st.lists(ENTRIES, max_size=3),
        "noOpEmails": st.lists(ENTRIES, max_size=2),
        "createdFields": st.lists(st.text(max_size=5), max_size=3),
        "filteredOutFields": st.lists(st.text(max_size=5), max_size=3),
        "code": st.sampled_from(["Success", "GenericError"]),
    },
)
SAMPLES = [
    {
        "successCount": 3,
        "failCount": 3,
        "createdFields": ["a"],
        "filteredOutFields": ["b"],
        "invalidEmails": [email_of(0)],
        "failedUpdates": {
            "invalidEmails": [email_of(0)],
            "notFoundUserIds": ["u1"],
            "conflictEmails": ["stranger@example.com"],
        },
    },
    {"code": "Success", "msg": "error.lists.invalidListId(7)", "params": {"listId": 7}},
    {
        "code": "BadJsonBody",
        "msg": "[/api/lists/subscribe] body: {}, hdrs: List()",
        "params": {"obj.subscribers[3].email": [{"msg": ["error.path.missing"], "args": []}]},
    },
    {
        "code": "RequestFieldsTypesMismatched",
        "msg": "Project 1: not the same data types",
        "params": {
            "validationErrors": {
                "plan": {
                    "incomingTypes": ["string", "keyword"],
                    "expectedType": "date",
                    "category": "user",
                    "offendingValue": "gold",
                    "_type": "UnexpectedType",
                }
            }
        },
    },
    {
        "code": "UniqueFieldsLimitExceeded",
        "msg": "",
        "params": {"limit": 1000, "requestedTotal": 1002, "newFields": ["a", "b"]},
    },
    {"code": "BatchTooLarge", "msg": "Request body is larger than 4000000 bytes", "params": None},
]
MUTATED = st.one_of(*(mutations(json.dumps(sample).encode()) for sample in SAMPLES))
BODIES = (
    BULK.map(lambda data: json.dumps(data).encode())
    | MUTATED
    | documents().map(lambda data: json.dumps(data).encode())
    | st.binary(max_size=40)
)
STATUSES = st.sampled_from(
    [*[200] * 4, *[400] * 4, 201, 202, 204, 302, 401, 403, 404, 408, 409, 413, 418, 429, 500, 503]
)
ANSWERS = st.builds(Response, STATUSES, BODIES) | st.builds(
    NoAnswer, st.sampled_from(["no answer within 30 s", "reset"]), st.booleans()
)
SETUPS = st.tuples(
    st.sampled_from(["list", "user"]), st.sampled_from([*IDENTIFIERS]), st.sampled_from(Operation)
)


@settings(max_examples=300)
@given(SETUPS, st.integers(1, PEOPLE), st.lists(ANSWERS, min_size=1, max_size=6))
def test_any_answers_end_with_one_outcome_per_change(
    setup: tuple[Object, str, Operation], count: int, answers: list[Answer]
) -> None:
    kind, project_type, operation = setup
    batch = a_batch(an_object(kind, project_type), operation, count)
    try:
        delivered, requests = hold(
            an_object(kind, project_type).deliver(batch), in_turn(answers), REQUESTS_PER_BATCH_MAX
        )
    except Fatal as fatal:
        check_end(fatal)
        return
    check_outcomes(delivered, count)
    carried = {o for r in requests for o in (range(count) if r.changes is None else r.changes)}
    assert (
        carried == set(range(count)) or len(requests) == REQUESTS_PER_BATCH_MAX or _outage(answers)
    )


def check_end(fatal: Fatal) -> None:
    check_fatal(fatal)
    assert fatal.code in FATAL_CODES


def _outage(answers: Sequence[Answer]) -> bool:
    return any(isinstance(each, NoAnswer) or each.status >= 429 for each in answers)


# --- one answer, and what it allows ----------------------------------------------------------


@dataclass(frozen=True)
class Claims:
    """What an answer says, read by the test's own rules.

    Attributes:
        faults: Person to the faults that name it; ``failed`` stands for the deprecated arrays.
        entries: Names in all arrays together.
    """

    faults: dict[int, set[str]]
    entries: int


def claims(data: dict[str, Any], batch: Batch, project_type: str) -> Claims:
    beside = {key: data.get(key) for key in ("invalidEmails", "invalidUserIds")}
    listed = [(fault_of(key), key, values) for key, values in data.get("failedUpdates", {}).items()]
    listed += [("failed", key, values or []) for key, values in beside.items()]
    faults: dict[int, set[str]] = {}
    for fault, key, values in listed:
        for person in range(len(batch)):
            names = names_of(batch, project_type, person)[key.endswith("UserIds")]
            if fault and any(folded(value) in names for value in values if value):
                faults.setdefault(person, set()).add(fault)
    return Claims(faults, sum(len(values) for _, _, values in listed))


def fault_of(key: str) -> str | None:
    return next((f for f in FAULTS if key in {f"{f}Emails", f"{f}UserIds"}), None)


def folded(value: Any) -> str:
    text = str(value)
    return text.strip().lower() if "@" in text else text


def names_of(batch: Batch, project_type: str, person: int) -> tuple[set[str], set[str]]:
    """Return the e-mail addresses and the user ids by which a person was sent."""
    alias = batch.aliases[person]
    identity = batch.identities[person]
    bare = identity.removeprefix("userId:").removeprefix("email:")
    by_email = project_type == "email" or identity.startswith("email:")
    emails = {bare} if by_email else set()
    return emails | ({alias} if alias else set()), set() if by_email else {bare}


@settings(max_examples=400)
@given(SETUPS, st.integers(1, PEOPLE), BULK)
def test_success_needs_counts_that_cover_it_and_no_name_among_the_failures(
    setup: tuple[Object, str, Operation], count: int, data: dict[str, Any]
) -> None:
    kind, project_type, operation = setup
    made = an_object(kind, project_type)
    batch = a_batch(made, operation, count)
    delivered, _ = hold(made.deliver(batch), in_turn([answer(data)]), 1)
    said = claims(data, batch, project_type)
    succeeded = {n for n, each in enumerate(delivered.outcomes) if each.status == "succeeded"}
    for person in succeeded & said.faults.keys():
        assert operation is Operation.DELETE
        assert said.faults[person] <= {*HARMLESS_FOR_DELETES, "failed"}
        assert said.faults[person] != {"failed"}
    unnamed = succeeded - said.faults.keys()
    event(f"somebody succeeded: {bool(unnamed)}")
    if unnamed:
        assert len(unnamed) <= data["successCount"] <= count
        assert data["failCount"] <= said.entries


# --- a server that is truthful, in its own way -----------------------------------------------

Fate = Literal[
    "taken", "invalid", "notFound", "invalidData", "conflict", "forgotten", "ignored", "malformed"
]


@dataclass
class Truthful:
    """A server that decides about each person, does it, and says so.

    Attributes:
        batch: What the conversation is about.
        project_type: Of the project.
        fates: What it does with each person; ``malformed`` ones refuse the whole request, and
            ``ignored`` ones are neither taken nor named nor counted.
        shape: Where failures are listed.
        counts_not_found: Whether notFound counts as a failure, a success, or not at all.
        shouts: Whether e-mail addresses come back in upper case.
        repeats: Whether entries are listed twice.
        indexes: Whether a malformed request is refused with positions.
        names_values: Whether it is refused with a field and its offending value.
        most: People it takes in one request.
        too_many: How it refuses more.
        outages: Requests, by number, that are done and get no answer.
        applied: People it has taken, the number of times.
    """

    batch: Batch
    project_type: str
    fates: Sequence[Fate]
    shape: Literal["new", "old", "both"]
    counts_not_found: Literal["fail", "success", "nothing"]
    shouts: bool
    repeats: bool
    indexes: bool
    names_values: bool
    most: int
    too_many: Response
    outages: frozenset[int]
    applied: dict[int, int] = field(default_factory=dict)
    asked: int = 0

    def __call__(self, request: Request) -> Answer:
        people = people_in(request)
        self.asked += 1
        reply = self._reply(request, people)
        if self.asked in self.outages:
            return NoAnswer("no answer within 30 s")
        return reply

    def _reply(self, request: Request, people: list[int]) -> Response:
        if len(people) > self.most:
            return self.too_many
        malformed = [at for at, person in enumerate(people) if self.fates[person] == "malformed"]
        if malformed:
            return self._refusal("users" if "users" in request.path else "subscribers", malformed)
        for person in people:
            if self.fates[person] == "taken":
                self.applied[person] = self.applied.get(person, 0) + 1
        return answer(self._bulk(people))

    def _refusal(self, root: str, malformed: list[int]) -> Response:
        if self.names_values:
            fault = {"expectedType": "long", "incomingTypes": ["string"], "offendingValue": "bad"}
            params: Any = {"validationErrors": {"plan": fault}}
            return answer({"code": "RequestFieldsTypesMismatched", "params": params}, 400)
        params = {f"obj.{root}[{at}].email": "String value expected" for at in malformed}
        body = {"code": "BadJsonBody", "msg": "no", "params": params if self.indexes else None}
        return answer(body, 400)

    def _bulk(self, people: list[int]) -> dict[str, Any]:
        failed: dict[str, list[str]] = {}
        for person in people:
            fate = self.fates[person]
            if fate in FAULTS:
                key, value = self._entry(fate, person)
                failed.setdefault(key, []).extend([value] * (1 + self.repeats))
        fates = [self.fates[person] for person in people]
        not_found = fates.count("notFound")
        fails = sum(fate in FAULTS for fate in fates) - not_found
        data: dict[str, Any] = {
            "successCount": fates.count("taken") + not_found * (self.counts_not_found == "success"),
            "failCount": fails + not_found * (self.counts_not_found == "fail"),
        }
        if self.shape != "old":
            data["failedUpdates"] = failed
        if self.shape != "new":
            everybody = [(key, value) for key, values in failed.items() for value in values]
            for plural in ("Emails", "UserIds"):
                data[f"invalid{plural}"] = [v for k, v in everybody if k.endswith(plural)]
        return data

    def _entry(self, fate: str, person: int) -> tuple[str, str]:
        identity = identity_of(self.project_type, person)
        bare = identity.removeprefix("userId:").removeprefix("email:")
        if "@" in bare:
            return f"{fate}Emails", bare.upper() if self.shouts else bare
        return f"{fate}UserIds", bare


SERVERS = st.fixed_dictionaries(
    {
        "shape": st.sampled_from(["new", "old", "both"]),
        "counts_not_found": st.sampled_from(["fail", "success", "nothing"]),
        "shouts": st.booleans(),
        "repeats": st.booleans(),
        "indexes": st.booleans(),
        "names_values": st.booleans(),
        "most": st.sampled_from([1, 3, 1000]),
        "too_many": st.sampled_from(
            [Response(413, b"<html>"), Response(408), answer({"code": "BatchTooLarge"}, 400)]
        ),
        "outages": st.frozensets(st.integers(1, 12), max_size=1),
    }
)
FATES = st.lists(
    st.sampled_from(["taken", "taken", "taken", *FAULTS, "ignored", "malformed"]),
    min_size=1,
    max_size=9,
)
CODES = {
    "invalid": "invalid_identifier",
    "notFound": "not_found",
    "invalidData": "rejected",
    "conflict": "conflict",
    "forgotten": "forgotten",
    "malformed": "rejected",
}


def deliver_to(
    setup: tuple[Object, str, Operation], fates: Sequence[Fate], how: dict[str, Any]
) -> tuple[Delivered, Truthful]:
    kind, project_type, operation = setup
    made = an_object(kind, project_type)
    bad = [person for person, fate in enumerate(fates) if fate == "malformed"]
    batch = a_batch(made, operation, len(fates), bad)
    if operation is Operation.DELETE:
        how = {**how, "names_values": False}  # a delete carries no values
    server = Truthful(batch, project_type, fates, **how)
    delivered, _ = hold(made.deliver(batch), server, REQUESTS_PER_BATCH_MAX)
    check_outcomes(delivered, len(fates))
    return delivered, server


@settings(max_examples=500)
@given(SETUPS, FATES, SERVERS)
def test_a_truthful_server_is_never_misread(
    setup: tuple[Object, str, Operation], fates: list[Fate], how: dict[str, Any]
) -> None:
    if how["counts_not_found"] == "success" and "ignored" in fates:
        # Its counts then claim a success for somebody; nobody could tell for whom.
        how = {**how, "counts_not_found": "fail"}
    delivered, server = deliver_to(setup, fates, how)
    is_delete = setup[2] is Operation.DELETE
    for person, (fate, outcome) in enumerate(zip(fates, delivered.outcomes, strict=True)):
        if outcome.status == "succeeded":
            nothing_to_do = is_delete and fate in HARMLESS_FOR_DELETES
            assert person in server.applied or nothing_to_do, (person, fate, outcome)
        if outcome.status == "rejected" and not outcome.retryable:
            assert fate not in {"taken", "ignored"}, (person, fate, outcome)


@settings(max_examples=300)
@given(SETUPS, FATES, SERVERS)
def test_a_truthful_server_is_understood_to_the_last_person(
    setup: tuple[Object, str, Operation], fates: list[Fate], how: dict[str, Any]
) -> None:
    fates = ["taken" if fate == "ignored" else fate for fate in fates]
    how = {**how, "shape": "both" if how["shape"] == "old" else how["shape"], "outages": set()}
    if how["repeats"]:
        how["counts_not_found"] = "fail"
    delivered, server = deliver_to(setup, fates, how)
    is_delete = setup[2] is Operation.DELETE
    for person, (fate, outcome) in enumerate(zip(fates, delivered.outcomes, strict=True)):
        if fate == "taken":
            assert (outcome.status, person in server.applied) == ("succeeded", True)
        elif is_delete and fate in HARMLESS_FOR_DELETES:
            assert outcome.status == "succeeded"
        elif not (how["shape"] == "both" and fate == "invalid"):
            assert outcome.code in {CODES[fate], "invalid_identifier"}


# --- bodies made to hurt ---------------------------------------------------------------------


def nested(depth: int) -> str:
    return "[" * depth + "1" + "]" * depth


HURTFUL: dict[str, Callable[[str], str]] = {
    "created": '{{"successCount":2,"failCount":0,"createdFields":[{}]}}'.format,
    "dropped": '{{"successCount":2,"failCount":0,"filteredOutFields":[{}]}}'.format,
    "named": '{{"successCount":1,"failCount":1,"failedUpdates":{{"invalidEmails":[{}]}}}}'.format,
    "unknown key": '{{"successCount":1,"failCount":1,"failedUpdates":{{"xEmails":[{}]}}}}'.format,
    "legacy": '{{"successCount":1,"failCount":1,"invalidEmails":[{}]}}'.format,
    "counts": '{{"successCount":{},"failCount":0}}'.format,
    "params": '{{"code":"X","params":{{"obj.subscribers[0].x":{}}}}}'.format,
    "limit": (
        '{{"code":"UniqueFieldsLimitExceeded","params":{{"limit":{0},"newFields":[{0}]}}}}'
    ).format,
    "value": (
        '{{"code":"RequestFieldsTypesMismatched","params":{{"validationErrors":{{"plan":'
        '{{"expectedType":{0},"incomingTypes":[{0}],"offendingValue":{0}}}}}}}}}'
    ).format,
    "names": '{{"code":"X","msg":{0},"params":{0}}}'.format,
}
VALUES = {
    "nested nearly too deep": [nested(depth) for depth in range(700, 1000, 3)],
    "a number of many digits": ["9" * 4_299, "-1", "1e999", "-0.0"],
    "lines": [json.dumps("one\ntwo\r\x85three\u2028four"), json.dumps("\x00\x1b[31m")],
    "half a surrogate": ['"\\ud800"', '{"\\udfff": "\\ud800"}'],
    "long": [json.dumps("x" * 100_000), "[" + ",".join(["1"] * 30_000) + "]"],
}


@pytest.mark.parametrize("what", VALUES)
@pytest.mark.parametrize("where", HURTFUL)
def test_bodies_made_to_hurt(where: str, what: str) -> None:
    made = an_object("list", "email")
    batch = a_batch(made, Operation.INSERT, 2)
    for value in VALUES[what]:
        body = HURTFUL[where](value).encode()
        for status in (200, 400):
            try:
                delivered, _ = hold(made.deliver(batch), in_turn([Response(status, body)]), 60)
            except Fatal as fatal:
                check_end(fatal)
            else:
                check_outcomes(delivered, 2)
