"""The config of an Iterable account and of its objects, and what the connector says against it."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from connectors.iterable import IterableConnector
from connectors.iterable.settings import (
    IterableAccount,
    ListChoice,
    ListSettings,
    UserSettings,
)
from reverse_etl.connector import FieldMapping, MappedField
from reverse_etl.errors import ConfigError


def account(**keys: Any) -> IterableAccount:
    return IterableAccount.model_validate({"type": "iterable", **keys})


def a_list(**keys: Any) -> ListSettings:
    return ListSettings.model_validate(
        {"name": "iterable", "object": "list", "list": {"name": "VIP"}, **keys}
    )


def a_user(**keys: Any) -> UserSettings:
    return UserSettings.model_validate({"name": "iterable", "object": "user", **keys})


def problems(
    project: IterableAccount,
    settings: ListSettings | UserSettings,
    identifiers: dict[str, str],
    *fields: MappedField,
) -> dict[tuple[str, ...], str]:
    mapping = FieldMapping(identifiers, fields)
    found = IterableConnector().check(project, settings, mapping, "mirror")
    return {problem.path: problem.message for problem in found}


# --- the account ---------------------------------------------------------------------------


def test_defaults() -> None:
    made = account()
    assert (made.data_center, made.project_type, made.hybrid_send) == ("us", "email", "both")
    assert made.custom_field_limit == 1000
    assert made.url() == "https://api.iterable.com"
    assert made.host() == "api.iterable.com"


def test_the_eu_data_center() -> None:
    assert account(data_center="eu").url() == "https://api.eu.iterable.com"


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("https://api.iterable.com/", "https://api.iterable.com"),
        ("https://api.eu.iterable.com", "https://api.eu.iterable.com"),
        ("https://API.iterable.com:443", "https://api.iterable.com:443"),
        ("http://127.0.0.1:8765", "http://127.0.0.1:8765"),
        ("http://127.8.9.1:8765/", "http://127.8.9.1:8765"),
        ("http://localhost:1", "http://localhost:1"),
        ("https://[::1]:8443", "https://[::1]:8443"),
    ],
)
def test_usable_base_urls(url: str, used: str) -> None:
    assert account(base_url=url).url() == used


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://api.iterable.com", "must start with https://"),
        ("https://api.iterable.com:8080", "must not name a port"),
        ("https://api.iterable.com.evil.example", "the API key is sent nowhere else"),
        ("https://example.com", "the API key is sent nowhere else"),
        ("http://128.0.0.1", "the API key is sent nowhere else"),
        ("http://127.1", "the API key is sent nowhere else"),
        ("http://[::ffff:127.0.0.1]", "the API key is sent nowhere else"),
        ("http://localhost.example", "the API key is sent nowhere else"),
        ("http://127.0.0.1@evil.example", "user name or password"),
        ("http://me:pw@127.0.0.1", "user name or password"),
        ("http://127.0.0.1:8765/api", "path"),
        ("http://127.0.0.1?x=1", "path"),
        ("ftp://127.0.0.1", "must start with http"),
        ("http://127.0.0.1:port", "is not a URL"),
        ("http://[", "is not a URL"),
        ("", "the API key is sent nowhere else"),
    ],
)
def test_refused_base_urls(url: str, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        account(base_url=url)
    assert reason in caught.value.errors()[0]["msg"]
    assert "pw" not in str(caught.value)


def test_a_line_break_cannot_smuggle_a_host() -> None:
    with pytest.raises(ValidationError):
        account(base_url="http://127.0.0.1\n.evil.example")


@pytest.mark.parametrize("project_type", ["email", "user_id"])
def test_hybrid_send_is_for_hybrid_projects(project_type: str) -> None:
    with pytest.raises(ValidationError, match="hybrid projects only"):
        account(project_type=project_type, hybrid_send="identity")
    assert account(project_type="hybrid", hybrid_send="identity").hybrid_send == "identity"


def test_headers_carry_the_key_and_nothing_shows_it() -> None:
    made = account(api_key="s3cret")
    assert made.headers() == {"Api-Key": "s3cret"}
    assert "s3cret" not in repr(made)


@pytest.mark.parametrize("key", [None, "", "two words", "ends\n", "käy"])
def test_an_unusable_key_is_an_error_that_does_not_show_it(key: str | None) -> None:
    made = account().model_copy(update={"api_key": None if key is None else SecretStr(key)})
    with pytest.raises(ConfigError) as caught:
        made.headers()
    assert "api_key" in str(caught.value)
    assert not key or key not in str(caught.value)


# --- the objects ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "choice",
    [
        {},
        {"name": "VIP", "id": 1},
        {"id": 1, "description": "x"},
        {"id": True},
        {"id": 0},
        {"id": 2**63},
        {"name": ""},
        {"name": " VIP"},
        {"name": "V\tIP"},
        {"name": "VIP", "description": "x" * 141},
        {"name": "VIP", "descripton": "x"},
    ],
)
def test_refused_lists(choice: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ListChoice.model_validate(choice)


def test_usable_lists() -> None:
    assert ListChoice.model_validate({"id": "12345"}).id == 12345
    named = ListChoice.model_validate({"name": "Kundinnen & Kunden", "description": "x" * 140})
    assert named.name == "Kundinnen & Kunden"


def test_user_settings_have_all_their_keys() -> None:
    written = {
        "name": "iterable",
        "object": "user",
        "merge_nested_objects": True,
        "create_new_fields": True,
        "on_delete": "clear_fields",
        "update_only": True,
    }
    assert UserSettings.model_validate(written).model_dump() == written


# --- check ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("project_type", "identifiers"),
    [
        ("email", ["email"]),
        ("user_id", ["userId"]),
        ("hybrid", ["userId"]),
        ("hybrid", ["email"]),
        ("hybrid", ["email", "userId"]),
    ],
)
def test_identifiers_that_fit(project_type: str, identifiers: list[str]) -> None:
    mapped = dict.fromkeys(identifiers, "column")
    assert problems(account(project_type=project_type), a_list(), mapped) == {}


@pytest.mark.parametrize(
    ("project_type", "identifiers", "path", "words"),
    [
        ("email", ["userId"], ("identifiers",), "map identifiers.email"),
        ("email", ["userId"], ("identifiers", "userId"), "cannot identify people"),
        ("email", ["email", "userId"], ("identifiers", "userId"), "cannot identify people"),
        ("user_id", ["email"], ("identifiers",), "map identifiers.userId"),
        ("user_id", ["userId", "email"], ("identifiers", "email"), "valid here: userId"),
        ("hybrid", [], ("identifiers",), "userId, identifiers.email or both"),
        ("hybrid", ["user_id"], ("identifiers", "user_id"), "valid here: userId, email"),
    ],
)
def test_identifiers_that_do_not_fit(
    project_type: str, identifiers: list[str], path: tuple[str, ...], words: str
) -> None:
    mapped = dict.fromkeys(identifiers, "column")
    assert words in problems(account(project_type=project_type), a_list(), mapped)[path]


@pytest.mark.parametrize(
    ("project_type", "identifiers"),
    [
        ("email", ["email"]),
        ("email", ["userId"]),
        ("user_id", ["userId"]),
        ("hybrid", ["userId"]),
        ("hybrid", ["email"]),
        ("hybrid", ["email", "userId"]),
    ],
)
def test_identifiers_that_fit_profiles(project_type: str, identifiers: list[str]) -> None:
    mapped = dict.fromkeys(identifiers, "column")
    assert problems(account(project_type=project_type), a_user(), mapped) == {}


@pytest.mark.parametrize(
    ("project_type", "identifiers", "path", "words"),
    [
        ("email", ["email", "userId"], ("identifiers",), "would overwrite the one"),
        ("email", [], ("identifiers",), "identifiers.email or identifiers.userId"),
        ("user_id", ["email"], ("identifiers", "email"), "valid here: userId"),
        ("hybrid", [], ("identifiers",), "userId, identifiers.email or both"),
    ],
)
def test_identifiers_that_do_not_fit_profiles(
    project_type: str, identifiers: list[str], path: tuple[str, ...], words: str
) -> None:
    mapped = dict.fromkeys(identifiers, "column")
    assert words in problems(account(project_type=project_type), a_user(), mapped)[path]


def test_objects_cannot_be_replaced_where_only_a_member_is_mapped() -> None:
    fields = [MappedField("x", "a"), MappedField("prefs.color", "b")]
    found = problems(account(), a_user(merge_nested_objects=False), {"email": "e"}, *fields)
    assert list(found) == [("destination", "merge_nested_objects")]
    assert "prefs.color is one member of prefs" in found["destination", "merge_nested_objects"]
    assert problems(account(), a_user(), {"email": "e"}, *fields) == {}
    whole = [MappedField("prefs", "a")]
    assert problems(account(), a_user(merge_nested_objects=False), {"email": "e"}, *whole) == {}


@pytest.mark.parametrize("project_type", ["email", "user_id", "hybrid"])
def test_update_existing_users_only_is_refused_where_iterable_ignores_it(project_type: str) -> None:
    identifier = "email" if project_type == "email" else "userId"
    settings = a_list(update_existing_users_only=True)
    found = problems(account(project_type=project_type), settings, {identifier: "c"})
    path = ("destination", "update_existing_users_only")
    if project_type == "email":
        assert "only in userID-based and hybrid projects" in found[path]
    else:
        assert found == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("email", "map it under identifiers"),
        ("userId", "map it under identifiers"),
        ("email.domain", "map it under identifiers"),
        ("emailListIds", "managed by Iterable"),
        ("itblInternal.documentUpdatedAt", "managed by Iterable"),
        ("phoneNumberDetails.carrier", "managed by Iterable"),
        ("", "must not be empty"),
        ("a..b", "must not be empty"),
    ],
)
def test_refused_field_names(name: str, words: str) -> None:
    found = problems(account(), a_list(), {"email": "e"}, MappedField(name, "c"))
    assert words in found["fields", name]


def test_a_field_cannot_be_a_value_and_an_object() -> None:
    fields = [MappedField("prefs", "a"), MappedField("prefs.color", "b")]
    found = problems(account(), a_list(), {"email": "e"}, *fields)
    assert found == {
        ("fields", "prefs.color"): "prefs is mapped as well and cannot be a value and an object"
        " at once"
    }


def test_field_types_are_known_by_name() -> None:
    found = problems(account(), a_list(), {"email": "e"}, MappedField("a", "c", type="number"))
    assert found["fields", "a"].startswith("unknown type 'number'; valid: string, long")


@pytest.mark.parametrize("kind", ["string", "long", "double", "boolean", "date", "object"])
def test_every_type_can_be_asked_for(kind: str) -> None:
    field = MappedField("a", "c", type=kind)
    assert problems(account(), a_user(), {"email": "e"}, field) == {}


@pytest.mark.parametrize("name", ["home_geo_location", "homes.first_geo_location"])
def test_a_place_by_its_name_can_have_no_other_type(name: str) -> None:
    fitting = [MappedField(name, "c"), MappedField(name, "c", type="geo_location")]
    for field in fitting:
        assert problems(account(), a_user(), {"email": "e"}, field) == {}
    found = problems(account(), a_user(), {"email": "e"}, MappedField(name, "c", type="object"))
    assert "is a place for Iterable" in found["fields", name]


def test_a_place_needs_its_name() -> None:
    field = MappedField("home", "c", type="geo_location")
    found = problems(account(), a_user(), {"email": "e"}, field)
    assert "name it home_geo_location" in found["fields", "home"]


def test_ordinary_fields_pass() -> None:
    names = ["Number of Purchases", "Email", "prefs.color", "prefs.size", "phoneNumber"]
    fields = [MappedField(name, "c") for name in names]
    assert problems(account(), a_list(), {"email": "e"}, *fields) == {}


# --- bind ----------------------------------------------------------------------------------


def test_each_object_is_bound_by_its_settings() -> None:
    mapping = FieldMapping({"email": "e"})
    connector = IterableConnector()
    bound = [
        connector.bind(account(), settings, mapping, "mirror") for settings in (a_list(), a_user())
    ]
    assert [made.clears_fields for made in bound] == [False, True]


def test_a_constant_that_cannot_be_sent_is_a_config_error() -> None:
    mapping = FieldMapping({"email": "e"}, [MappedField("ratio", constant=float("nan"))])
    with pytest.raises(ConfigError, match="field 'ratio': the constant is NaN"):
        IterableConnector().bind(account(), a_list(), mapping, "mirror")


def test_settings_of_another_connector_are_refused() -> None:
    class Other(IterableAccount.__base__):  # type: ignore[name-defined, misc]
        pass

    other = Other(type="other")
    with pytest.raises(TypeError, match="IterableAccount"):
        IterableConnector().check(other, a_list(), FieldMapping({}), "mirror")


def test_importing_the_connector_is_cheap() -> None:
    code = (
        "import sys, connectors.iterable\n"
        "heavy = {'pyarrow', 'orjson', 'email_validator'} & sys.modules.keys()\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
