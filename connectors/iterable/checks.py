"""What is wrong with the settings taken together: project type, identifiers, field names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from connectors.iterable.fields import IDENTIFIER_FIELDS, field_problems, is_nested
from connectors.iterable.settings import (
    IterableAccount,
    ListSettings,
    ObjectName,
    ProjectType,
    UserSettings,
    identifiers_of,
)
from reverse_etl.connector import FieldMapping, Problem

_EITHER = ("email", "userId")
"""The identifiers of the user object in an email project, where only one of them may be mapped."""

_NEEDED: Mapping[tuple[str, ...], str] = MappingProxyType(
    {
        ("email",): "an email project finds people by e-mail address: map identifiers.email",
        _EITHER: "an email project needs identifiers.email or identifiers.userId",
        ("userId",): "a user_id project finds people by user id: map identifiers.userId",
        ("userId", "email"): "a hybrid project needs identifiers.userId, identifiers.email or both",
    }
)


def check(
    account: IterableAccount, settings: ListSettings | UserSettings, mapping: FieldMapping
) -> list[Problem]:
    """Return every problem of one sync with this account; offline and cheap."""
    return [
        *_settings_problems(account, settings, mapping),
        *_identifier_problems(account.project_type, settings.object, mapping.identifiers),
        *field_problems(mapping),
    ]


def _settings_problems(
    account: IterableAccount, settings: ListSettings | UserSettings, mapping: FieldMapping
) -> Iterator[Problem]:
    """Yield the keys that Iterable would ignore, or that contradict the mapping."""
    if isinstance(settings, UserSettings):
        yield from _merging_problems(settings, mapping)
    elif settings.update_existing_users_only and account.project_type == "email":
        # Source: Iterable API description, ``SubscribeRequest``.
        yield Problem(
            ("destination", "update_existing_users_only"),
            "Iterable respects this only in userID-based and hybrid projects; in an email project"
            " it creates unknown people all the same. Remove it, or limit the query to people who"
            " are already in Iterable",
        )


def _merging_problems(settings: UserSettings, mapping: FieldMapping) -> Iterator[Problem]:
    """Yield that objects are to be replaced although only a part of one is mapped."""
    nested = next((field.name for field in mapping.fields if is_nested(field.name)), None)
    if nested is not None and not settings.merge_nested_objects:
        outer = nested.partition(".")[0]
        yield Problem(
            ("destination", "merge_nested_objects"),
            f"false makes Iterable replace whole objects, but the field {nested} is one member of"
            f" {outer}: all others would be lost. Remove it, or map {outer} as a whole from a"
            " struct or JSON column",
        )


def _identifier_problems(
    project_type: ProjectType, object_name: ObjectName, identifiers: Mapping[str, str]
) -> Iterator[Problem]:
    """Yield identifiers that are unknown, unusable or missing."""
    usable = identifiers_of(project_type, object_name)
    for name in identifiers:
        if name not in IDENTIFIER_FIELDS:
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
        yield Problem(("identifiers",), _NEEDED[usable])
    if usable == _EITHER and all(name in identifiers for name in usable):
        # Source: support article 9216719179796.
        yield Problem(
            ("identifiers",),
            "map only one of email and userId: in an email project the e-mail address finds the"
            " profile, and a userId sent along would overwrite the one that the profile has",
        )
