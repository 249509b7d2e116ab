"""What is wrong with the settings taken together: project type, identifiers, field names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from connectors.iterable.settings import (
    IDENTIFIERS,
    IterableAccount,
    ListSettings,
    ProjectType,
    UserSettings,
)
from reverse_etl.connector import FieldMapping, MappedField, Problem

FIELD_TYPES = ("string", "long", "double", "boolean", "date")
"""Types a mapping may ask for. Source: support article 208183076 (scalar profile types)."""

MANAGED_FIELDS = frozenset(
    {
        "emailListIds",
        "userListIds",
        "subscribedMessageTypeIds",
        "unsubscribedChannelIds",
        "unsubscribedMessageTypeIds",
        "profileUpdatedAt",
        "signupDate",
        "signupSource",
        "itblInternal",
        "itblDS",
        "itblUserId",
        "devices",
        "receivedSMSDisclaimer",
        "phoneNumberDetails",
    }
)
"""Fields that Iterable writes itself. Source: support article 217744303, recorded profiles."""

_IDENTIFIER_FIELDS = frozenset({"email", "userId"})

_NEEDED: Mapping[ProjectType, str] = MappingProxyType(
    {
        "email": "an email project finds people by e-mail address: map identifiers.email",
        "user_id": "a user_id project finds people by user id: map identifiers.userId",
        "hybrid": "a hybrid project needs identifiers.userId, identifiers.email or both",
    }
)


def check(
    account: IterableAccount, settings: ListSettings | UserSettings, mapping: FieldMapping
) -> list[Problem]:
    """Return every problem of one sync with this account; offline and cheap."""
    return [
        *_settings_problems(account, settings),
        *_identifier_problems(account.project_type, mapping.identifiers),
        *_field_problems(mapping),
    ]


def _settings_problems(
    account: IterableAccount, settings: ListSettings | UserSettings
) -> Iterator[Problem]:
    """Yield the keys that Iterable would ignore (``SubscribeRequest`` of its API description)."""
    if not isinstance(settings, ListSettings):
        return
    if settings.update_existing_users_only and account.project_type == "email":
        yield Problem(
            ("destination", "update_existing_users_only"),
            "Iterable respects this only in userID-based and hybrid projects; in an email project"
            " it creates unknown people all the same. Remove it, or limit the query to people who"
            " are already in Iterable",
        )


def _identifier_problems(
    project_type: ProjectType, identifiers: Mapping[str, str]
) -> Iterator[Problem]:
    """Yield identifiers that are unknown, unusable or missing."""
    usable = IDENTIFIERS[project_type]
    for name in identifiers:
        if name not in _IDENTIFIER_FIELDS:
            yield Problem(
                ("identifiers", name),
                f"unknown identifier {name!r}; valid here: {', '.join(usable)}",
            )
        elif name not in usable:
            yield Problem(
                ("identifiers", name),
                f"{name} cannot identify people in this project (project_type: {project_type});"
                f" valid here: {', '.join(usable)}",
            )
    if not any(name in usable for name in identifiers):
        yield Problem(("identifiers",), _NEEDED[project_type])


def _field_problems(mapping: FieldMapping) -> Iterator[Problem]:
    """Yield faults of field names and types."""
    names = {field.name for field in mapping.fields}
    for field in mapping.fields:
        fault = _fault_of_field(field) or _fault_of_nesting(field.name, names)
        if fault:
            yield Problem(("fields", field.name), fault)


def _fault_of_field(field: MappedField) -> str | None:
    """Return why this field cannot be written, or None."""
    segments = field.name.split(".")
    if not all(segments):
        return "the field name, and each part between dots, must not be empty"
    if field.name in _IDENTIFIER_FIELDS:
        return (
            f"{field.name} identifies the person: map it under identifiers. As a field it would"
            " rename the profile"
        )
    if segments[0] in MANAGED_FIELDS:
        return f"{segments[0]} is managed by Iterable and must not be written; use another name"
    if field.type is not None and field.type not in FIELD_TYPES:
        return f"unknown type {field.type!r}; valid: {', '.join(FIELD_TYPES)}"
    return None


def _fault_of_nesting(name: str, names: set[str]) -> str | None:
    """Return which mapped field this one would overwrite, or None."""
    segments = name.split(".")
    for length in range(1, len(segments)):
        outer = ".".join(segments[:length])
        if outer in names:
            return f"{outer} is mapped as well and cannot be a value and an object at once"
    return None
