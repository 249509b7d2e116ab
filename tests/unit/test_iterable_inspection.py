"""What `check` and `lists` ask Iterable, and what they make of the answers."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest

from connectors.iterable import IterableConnector
from connectors.iterable.settings import IterableAccount
from reverse_etl.connector import (
    Answer,
    Fatal,
    FieldMapping,
    Finding,
    MappedField,
    NoAnswer,
    Request,
    Response,
    Target,
    TargetInfo,
)

KEY = "0123456789abcdef0123456789abcdef"
HOST = "api.iterable.com"

# Shape and values as in mtchavez/iterable-api-client, spec/cassettes/Iterable_Lists/all.
LISTS = [
    {"id": 58508, "name": "new users", "createdAt": 1505330681211, "listType": "Dynamic"},
    {"id": 56545, "name": "VIP", "createdAt": 1504308852508, "listType": "Standard"},
    {"id": 3, "name": "twice", "createdAt": 1504308852508, "listType": "Standard"},
    {"id": 4, "name": "twice", "createdAt": 1504308852509, "listType": "Standard"},
]
# Types as in Iterable_Users/fields of the same cassettes.
FIELDS = {
    "email": "string",
    "userId": "string",
    "emailListIds": "long",
    "signupDate": "date",
    "city": "string",
    "is_paid": "Boolean",
    "total_favorites": "long",
    "score": "double",
    "last_searched_at": "date",
    "address": "object",
    "address.zip": "string",
    "home_geo_location": "geo_location",
}
MANAGED = 4
"""So many of these fields are Iterable's own."""


def answer(data: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(data).encode())


def refusal(code: str, message: str, status: int) -> Response:
    return answer({"code": code, "msg": message, "params": {}}, status)


BULK_OF_NOBODY = answer({"successCount": 0, "failCount": 0})
NO_USERS = refusal("InvalidEmailAddressError", "Emails invalid: ", 400)
TOO_WEAK = refusal("BadApiKey", "Disabled API key or insufficient privileges", 401)
WRONG_KEY = refusal("BadApiKey", "Invalid API key", 401)


def fields_answer(*more: str, **changed: str) -> Response:
    return answer({"fields": FIELDS | dict.fromkeys(more, "string") | changed})


# --- holding the conversation --------------------------------------------------------------


class Looking:
    """One inspection that is held with answers by path."""

    def __init__(
        self,
        destination: Mapping[str, Any],
        *,
        columns: pa.Schema | None = None,
        fields: Mapping[str, MappedField] | None = None,
        known: Target | None = None,
        **account: Any,
    ) -> None:
        self.account = IterableAccount.model_validate(
            {"type": "iterable", "api_key": KEY, **account}
        )
        connector = IterableConnector()
        settings = connector.objects[destination["object"]].model_validate(
            {"name": "prod", **destination}
        )
        name = "userId" if self.account.project_type == "user_id" else "email"
        mapping = FieldMapping({name: "e"}, tuple((fields or {}).values()))
        bound = connector.bind(self.account, settings, mapping, "mirror")
        self.conversation = bound.inspect(columns or pa.schema([("e", pa.string())]), known)
        self.requests: list[Request] = []

    def hold(self, **answers: Answer) -> list[Finding]:
        """Answer by the last part of the path; return the findings."""
        try:
            request = next(self.conversation)
            while True:
                self.requests.append(request)
                request = self.conversation.send(answers[request.path.rpartition("/")[2]])
        except StopIteration as end:
            found: Sequence[Finding] = end.value
        assert KEY not in repr(found)
        return list(found)


def a_list(**more: Any) -> Looking:
    more.setdefault("choice", {"name": "VIP"})
    return Looking({"object": "list", "list": more.pop("choice")}, **more)


def a_user(settings: Mapping[str, Any] | None = None, **more: Any) -> Looking:
    return Looking({"object": "user", **(settings or {})}, **more)


def about(findings: Sequence[Finding], subject: str) -> list[tuple[str, str]]:
    return [(each.verdict, each.text) for each in findings if each.subject == subject]


def only(findings: Sequence[Finding], subject: str) -> tuple[str, str]:
    (found,) = about(findings, subject)
    return found


def look_at_list(**more: Any) -> list[Finding]:
    given: dict[str, Answer] = {"lists": answer({"lists": LISTS}), "subscribe": BULK_OF_NOBODY}
    given["getFields"] = more.pop("existing", fields_answer())
    return a_list(**more).hold(**given)


def look_at_user(settings: Mapping[str, Any] | None = None, **more: Any) -> list[Finding]:
    given: dict[str, Answer] = {"lists": answer({"lists": LISTS}), "bulkUpdate": NO_USERS}
    given["getFields"] = more.pop("existing", fields_answer())
    return a_user(settings, **more).hold(**given)


def mapped(*names: str, **more: Any) -> dict[str, MappedField]:
    """Map fields to columns of the same name."""
    return {name: MappedField(name, name, **more) for name in names}


# --- what is asked -------------------------------------------------------------------------


def test_a_list_is_asked_for_its_project_an_empty_subscribe_and_the_fields() -> None:
    looking = a_list()
    looking.hold(
        lists=answer({"lists": LISTS}), subscribe=BULK_OF_NOBODY, getFields=fields_answer()
    )

    said = [(request.method, request.path, request.endpoint) for request in looking.requests]
    assert said == [
        ("GET", "/api/lists", "lists"),
        ("POST", "/api/lists/subscribe", "lists/subscribe"),
        ("GET", "/api/users/getFields", "users/getFields"),
    ]
    assert json.loads(looking.requests[1].body or b"") == {"listId": 56545, "subscribers": []}


def test_a_user_sync_is_asked_for_an_empty_update() -> None:
    looking = a_user()
    looking.hold(lists=answer({"lists": []}), bulkUpdate=NO_USERS, getFields=fields_answer())

    written = looking.requests[1]
    assert (written.path, json.loads(written.body or b"")) == (
        "/api/users/bulkUpdate",
        {"users": []},
    )


@pytest.mark.parametrize("looking", [a_list(), a_user()])
def test_every_request_has_a_documented_rate(looking: Looking) -> None:
    looking.hold(
        lists=answer({"lists": LISTS}),
        subscribe=BULK_OF_NOBODY,
        bulkUpdate=NO_USERS,
        getFields=fields_answer(),
    )

    rates = IterableConnector().limits(looking.account).requests_per_second
    asked = {request.endpoint: rates[request.endpoint] for request in looking.requests}
    assert asked["users/getFields"] == 3
    assert asked["lists"] == 100


# --- the key -------------------------------------------------------------------------------


def test_a_key_that_works() -> None:
    verdict, text = only(look_at_list(), "api key")
    assert (verdict, text) == ("ok", f"opens a project with 4 lists at {HOST}")


@pytest.mark.parametrize("looking", [a_list(), a_user()])
def test_a_wrong_key_ends_the_looking_with_what_to_do(looking: Looking) -> None:
    (found,) = looking.hold(lists=WRONG_KEY)

    assert (found.subject, found.verdict) == ("api key", "failed")
    assert "refused the API key" in found.text
    assert "write access" in found.text


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (NoAnswer("no connection within 30 s", maybe_applied=False), "no connection within 30 s"),
        (answer("<html>", 502), "HTTP 502"),
        (refusal("RateLimitExceeded", "slower", 429), "RateLimitExceeded"),
        (answer([1]), "without lists"),
    ],
)
def test_a_destination_that_cannot_be_asked(given: Answer, why: str) -> None:
    (found,) = a_user().hold(lists=given)

    assert (found.subject, found.verdict) == ("destination", "failed")
    assert why in found.text


@pytest.mark.parametrize("given", [BULK_OF_NOBODY, NO_USERS])
def test_a_key_that_may_write(given: Answer) -> None:
    looking = a_user()
    found = looking.hold(lists=answer({"lists": []}), bulkUpdate=given, getFields=fields_answer())
    assert only(found, "write access")[0] == "ok"


@pytest.mark.parametrize("looking", [a_list(), a_user()])
def test_a_key_that_may_only_read_is_found_and_the_fields_are_looked_at_all_the_same(
    looking: Looking,
) -> None:
    found = looking.hold(
        lists=answer({"lists": LISTS}),
        subscribe=TOO_WEAK,
        bulkUpdate=TOO_WEAK,
        getFields=fields_answer(),
    )

    verdict, text = only(found, "write access")
    assert verdict == "failed"
    assert "write access" in text
    assert only(found, "project type")[0] == "ok"


@pytest.mark.parametrize(
    "given", [NoAnswer("timed out"), answer("", 503), refusal("GenericError", "what?", 400)]
)
def test_an_unclear_answer_proves_nothing_about_writing(given: Answer) -> None:
    found = a_user().hold(lists=answer({"lists": []}), bulkUpdate=given, getFields=fields_answer())
    assert only(found, "write access")[0] == "unproven"


# --- the list ------------------------------------------------------------------------------


@pytest.mark.parametrize("choice", [{"name": "VIP"}, {"id": 56545}])
def test_a_list_that_exists(choice: dict[str, Any]) -> None:
    assert only(look_at_list(choice=choice), "list") == ("ok", "'VIP' is list 56545")


def test_a_list_that_is_to_be_created_is_not_created() -> None:
    looking = a_list(choice={"name": "Gold", "description": "d"})
    found = looking.hold(lists=answer({"lists": LISTS}), getFields=fields_answer())

    assert only(found, "list")[0] == "ok"
    assert "'Gold'" in only(found, "list")[1]
    assert only(found, "write access")[0] == "unproven"
    assert {request.method for request in looking.requests} == {"GET"}


@pytest.mark.parametrize(
    ("choice", "why"),
    [({"name": "twice"}, "ids 3, 4"), ({"name": "new users"}, "dynamic"), ({"id": 9}, "no list 9")],
)
def test_a_list_that_no_run_could_keep(choice: dict[str, Any], why: str) -> None:
    looking = a_list(choice=choice)
    found = looking.hold(lists=answer({"lists": LISTS}), getFields=fields_answer())

    verdict, text = only(found, "list")
    assert verdict == "failed"
    assert why in text
    assert about(found, "write access") == []


def test_the_list_of_earlier_runs_counts_and_not_its_name() -> None:
    found = look_at_list(choice={"name": "Gold"}, known=Target("56545", "Gold"))
    assert only(found, "list") == ("ok", "'VIP' is list 56545; the config calls it 'Gold'")


def test_the_list_of_earlier_runs_is_gone() -> None:
    looking = a_list(known=Target("77", "VIP"))
    found = looking.hold(lists=answer({"lists": LISTS}), getFields=fields_answer())

    verdict, text = only(found, "list")
    assert verdict == "failed"
    assert "list 77" in text
    assert "--full" in text


# --- the project type ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "telling", "verdict"),
    [
        ("email", {"emailListIds"}, "ok"),
        ("email", {"userListIds"}, "warning"),
        ("user_id", {"userListIds"}, "ok"),
        ("user_id", {"emailListIds"}, "warning"),
        ("hybrid", {"userListIds"}, "ok"),
        ("hybrid", {"emailListIds"}, "warning"),
        ("email", set(), "unproven"),
        ("hybrid", {"emailListIds", "userListIds"}, "unproven"),
    ],
)
def test_the_project_type_is_judged_by_the_field_of_the_lists(
    configured: str, telling: set[str], verdict: str
) -> None:
    existing = answer({"fields": {"email": "string"} | dict.fromkeys(telling, "long")})
    found = look_at_user(existing=existing, project_type=configured)
    assert only(found, "project type")[0] == verdict


def test_the_other_project_type_is_named() -> None:
    existing = answer({"fields": {"userListIds": "long"}})
    _, text = only(look_at_user(existing=existing), "project type")
    assert "project_type: user_id or hybrid, not email" in text


# --- room for fields -----------------------------------------------------------------------


def columns(**types: pa.DataType) -> pa.Schema:
    return pa.schema([("e", pa.string()), *types.items()])


def kinded(name: str, kind: str) -> pa.Schema:
    return pa.schema([pa.field(name, pa.string(), metadata={"kind": kind})])


def test_no_field_is_mapped() -> None:
    assert only(look_at_user(), "fields") == (
        "ok",
        f"none is mapped; {len(FIELDS)} of 1000 profile fields are in use",
    )


def test_all_fields_exist() -> None:
    found = look_at_user(fields=mapped("city"), columns=columns(city=pa.string()))
    assert only(found, "fields")[0] == "ok"
    assert "all that are mapped exist" in only(found, "fields")[1]
    assert only(found, "field types")[0] == "ok"


def test_new_fields_are_named_with_how_many_there_are() -> None:
    found = look_at_user(
        {"create_new_fields": True},
        fields=mapped("plan", "city"),
        columns=columns(plan=pa.string(), city=pa.string()),
    )
    text = f"{len(FIELDS)} of 1000 profile fields are in use, and 1 new one would be created: plan"
    assert only(found, "fields") == ("ok", text)


@pytest.mark.parametrize(
    ("room", "verdict"),
    [(2, "ok"), (1, "warning"), (2 - MANAGED, "warning"), (1 - MANAGED, "failed")],
)
def test_there_must_be_room_for_every_new_field(room: int, verdict: str) -> None:
    found = look_at_user(
        {"create_new_fields": True},
        fields=mapped("plan", "tier"),
        columns=columns(plan=pa.string(), tier=pa.string()),
        custom_field_limit=len(FIELDS) + room,
    )
    assert only(found, "fields")[0] == verdict


def test_what_to_do_without_room() -> None:
    found = look_at_user(
        fields=mapped("plan"), columns=columns(plan=pa.string()), custom_field_limit=5
    )
    verdict, text = only(found, "fields")
    assert verdict == "failed"
    assert f"1 new one would be created: plan. That is {len(FIELDS) - 4} too many. Map" in text
    assert "custom_field_limit" in text


def test_fields_that_exist_need_no_room() -> None:
    found = look_at_user(
        fields=mapped("city"), columns=columns(city=pa.string()), custom_field_limit=1
    )
    assert only(found, "fields")[0] == "ok"


def test_new_fields_are_dropped_when_the_config_forbids_them() -> None:
    found = look_at_user(
        {"create_new_fields": False},
        fields=mapped("plan"),
        columns=columns(plan=pa.string()),
        custom_field_limit=1,
    )
    verdict, text = only(found, "fields")
    assert verdict == "warning"
    assert "drops the values of plan" in text
    assert "create_new_fields: true" in text


@pytest.mark.parametrize("look", [look_at_list, look_at_user])
def test_the_projects_own_setting_may_drop_new_fields(look: Any) -> None:
    found = look(fields=mapped("plan"), columns=columns(plan=pa.string()))
    verdict, text = only(found, "fields")
    assert verdict == "warning"
    assert "lacks plan" in text
    assert "drops their values if not" in text


@pytest.mark.parametrize(
    ("field", "kind", "new"),
    [
        (MappedField("a.b.c", "x"), pa.string(), "a, a.b, a.b.c"),
        (MappedField("address.city", "x"), pa.string(), "address.city"),
        (
            MappedField("shop", "x"),
            pa.struct([("name", pa.string()), ("at", pa.struct([("lat", pa.float64())]))]),
            "shop, shop.name, shop.at, shop.at.lat",
        ),
        (MappedField("tags", "x"), pa.list_(pa.string()), "tags"),
        (
            MappedField("orders", "x"),
            pa.list_(pa.struct([("id", pa.int64())])),
            "orders, orders.id",
        ),
        (
            MappedField("tier", None, constant={"a": 1, "b": {"c": 2}}),
            None,
            "tier, tier.a, tier.b, tier.b.c",
        ),
        (MappedField("kind", "x"), pa.dictionary(pa.int8(), pa.string()), "kind"),
    ],
)
def test_objects_count_with_their_members(
    field: MappedField, kind: pa.DataType | None, new: str
) -> None:
    found = look_at_user(
        {"create_new_fields": True},
        fields={"x": field},
        columns=columns(x=kind) if kind else None,
    )
    verdict, text = only(found, "fields")
    assert verdict == "ok"
    assert text.endswith(f"would be created: {new}")


@pytest.mark.parametrize(
    ("field", "schema"),
    [
        (MappedField("extra", "x"), kinded("x", "json")),
        (MappedField("extra", "x"), columns(x=pa.map_(pa.string(), pa.int64()))),
        (MappedField("extra", "x", type="object"), columns(x=pa.string())),
    ],
)
def test_members_that_only_the_values_tell_are_said_to_be_unknown(
    field: MappedField, schema: pa.Schema
) -> None:
    found = look_at_user({"create_new_fields": True}, fields={"x": field}, columns=schema)
    assert [verdict for verdict, _ in about(found, "fields")] == ["ok", "unproven"]
    assert "the keys of the objects in extra" in about(found, "fields")[1][1]


def test_of_a_query_that_could_not_be_asked_no_types_are_known() -> None:
    found = look_at_user(fields=mapped("city"), columns=pa.schema([]), existing=fields_answer())
    assert [verdict for verdict, _ in about(found, "fields")] == ["ok"]
    verdict, text = only(found, "field types")
    assert (verdict, "not compared" in text) == ("unproven", True)


@pytest.mark.parametrize("given", [TOO_WEAK, NoAnswer("timed out"), answer({"fields": 1})])
def test_fields_that_cannot_be_asked_for_are_unproven(given: Answer) -> None:
    found = look_at_list(existing=given)
    assert only(found, "fields")[0] == "unproven"
    assert about(found, "project type") == []
    assert only(found, "write access")[0] == "ok"


# --- types ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "verdict"),
    [
        ("city", pa.string(), "ok"),
        ("city", pa.large_string(), "ok"),
        ("city", pa.uuid(), "ok"),
        ("city", pa.time64("us"), "ok"),
        ("city", pa.list_(pa.string()), "ok"),
        ("city", pa.int64(), "warning"),
        ("city", pa.date32(), "warning"),
        ("city", pa.struct([("a", pa.string())]), "failed"),
        ("total_favorites", pa.int32(), "ok"),
        ("total_favorites", pa.decimal128(10, 0), "ok"),
        ("total_favorites", pa.string(), "failed"),
        ("total_favorites", pa.bool_(), "failed"),
        ("total_favorites", pa.timestamp("us"), "failed"),
        ("total_favorites", pa.float64(), "warning"),
        ("score", pa.float32(), "ok"),
        ("score", pa.decimal128(10, 2), "ok"),
        ("score", pa.int64(), "warning"),
        ("is_paid", pa.bool_(), "ok"),
        ("is_paid", pa.int64(), "failed"),
        ("last_searched_at", pa.timestamp("us", "UTC"), "ok"),
        ("last_searched_at", pa.date32(), "ok"),
        ("last_searched_at", pa.string(), "warning"),
        ("last_searched_at", pa.int64(), "failed"),
        ("address", pa.string(), "failed"),
        ("address", pa.struct([("zip", pa.string())]), "ok"),
        ("address", pa.struct([("zip", pa.struct([("a", pa.string())]))]), "failed"),
        ("home_geo_location", pa.struct([("lat", pa.float64()), ("lon", pa.float64())]), "ok"),
        ("city", pa.binary(), "failed"),
        ("city", pa.duration("s"), "failed"),
    ],
)
def test_the_type_of_a_column_is_held_against_that_of_the_field(
    name: str, kind: pa.DataType, verdict: str
) -> None:
    found = look_at_user(fields=mapped(name), columns=columns(**{name: kind}))
    assert {each for each, _ in about(found, "field types")} == {verdict}


@pytest.mark.parametrize(
    ("name", "wanted", "verdict"),
    [("city", "string", "ok"), ("total_favorites", "long", "ok"), ("score", "string", "failed")],
)
def test_a_type_that_the_config_asks_for_counts(name: str, wanted: str, verdict: str) -> None:
    found = look_at_user(fields=mapped(name, type=wanted), columns=columns(**{name: pa.binary()}))
    assert only(found, "field types")[0] == verdict


@pytest.mark.parametrize(
    ("constant", "verdict"), [("gold", "failed"), (3, "ok"), (1.5, "warning"), (True, "failed")]
)
def test_a_constant_has_a_type_too(constant: Any, verdict: str) -> None:
    fields = {"f": MappedField("total_favorites", None, constant=constant)}
    assert only(look_at_user(fields=fields), "field types")[0] == verdict


def test_a_number_in_text_may_be_of_two_types() -> None:
    for name, verdict in (
        ("score", "warning"),
        ("is_paid", "failed"),
        ("total_favorites", "warning"),
    ):
        found = look_at_user(fields={"f": MappedField(name, "x")}, columns=kinded("x", "number"))
        assert only(found, "field types")[0] == verdict


def test_a_nested_field_cannot_stand_in_a_text() -> None:
    found = look_at_user(
        fields={"f": MappedField("city.name", "x")}, columns=columns(x=pa.string())
    )
    verdict, text = only(found, "field types")
    assert verdict == "failed"
    assert "city (object into string)" in text


def test_types_that_are_not_known_are_not_judged() -> None:
    for fields, schema, existing in (
        (mapped("city"), kinded("city", "json"), fields_answer()),
        (mapped("city"), columns(city=pa.null()), fields_answer()),
        (mapped("city"), columns(city=pa.int64()), fields_answer(city="hologram")),
        ({"f": MappedField("city", None)}, columns(), fields_answer()),
    ):
        found = look_at_user(fields=fields, columns=schema, existing=existing)
        assert about(found, "field types") == []


def test_every_clash_is_named_with_both_types_and_the_ways_out() -> None:
    found = look_at_user(
        fields=mapped("total_favorites", "is_paid"),
        columns=columns(total_favorites=pa.string(), is_paid=pa.string()),
    )
    _, text = only(found, "field types")
    assert "total_favorites (string into long), is_paid (string into boolean)" in text
    assert "write type:" in text


# --- the lists of an account ---------------------------------------------------------------


def list_all(given: Answer) -> Sequence[TargetInfo]:
    account = IterableAccount.model_validate({"type": "iterable", "api_key": KEY})
    conversation: Generator[Request, Answer, Sequence[TargetInfo]] = (
        IterableConnector().list_targets(account)
    )
    assert next(conversation) == Request("GET", "/api/lists", "lists")
    with pytest.raises(StopIteration) as end:
        conversation.send(given)
    found: Sequence[TargetInfo] = end.value.value
    return found


def test_the_lists_come_the_newest_first() -> None:
    found = list_all(answer({"lists": [*LISTS[::-1], {"id": 1, "description": "d"}]}))
    assert [each.id for each in found] == ["58508", "4", "56545", "3", "1"]


def test_a_list_is_described() -> None:
    entry = {**LISTS[1], "description": "People who pay"}
    created = datetime(2017, 9, 1, 23, 34, 12, 508000, tzinfo=UTC).replace(tzinfo=None)
    assert list_all(answer({"lists": [entry]})) == [
        TargetInfo("56545", "VIP", "Standard", "People who pay", created, writable=True)
    ]


def test_a_dynamic_list_is_marked() -> None:
    assert [each.writable for each in list_all(answer({"lists": LISTS[:2]}))] == [False, True]


@pytest.mark.parametrize("odd", [{}, {"createdAt": "soon"}, {"createdAt": 1e300}, {"name": 7}])
def test_a_list_with_little_or_odd_information(odd: dict[str, Any]) -> None:
    assert list_all(answer({"lists": [{"id": 1, **odd}, "no list", {"id": True}]})) == [
        TargetInfo("1", "", "")
    ]


def test_no_lists_without_a_right_key() -> None:
    conversation = IterableConnector().list_targets(
        IterableAccount.model_validate({"type": "iterable", "api_key": KEY})
    )
    next(conversation)
    with pytest.raises(Fatal) as caught:
        conversation.send(WRONG_KEY)
    assert caught.value.code == "unauthorized"
    assert KEY not in str(caught.value)
