"""Profile fields: which names may be written, and which types may be asked for; cheap to import."""

from __future__ import annotations

from collections.abc import Iterator

from reverse_etl.connector import FieldMapping, MappedField, Problem

FIELD_TYPES = ("string", "long", "double", "boolean", "date", "geo_location", "object")
"""Types a mapping may ask for. Source: support article 208183076 (profile field types)."""

GEO_SUFFIX = "_geo_location"
"""How the name of a field that holds a place must end. Source: ``data_types`` of iterable-go."""

IDENTIFIER_FIELDS = frozenset({"email", "userId"})

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


def wanted_type(field: MappedField) -> str | None:
    """Return the type that the values of a field must have, or None to follow its column."""
    if field.type is None and field.name.endswith(GEO_SUFFIX):
        return "geo_location"
    return field.type


def is_managed(name: str) -> bool:
    """Whether Iterable has the field in every project, or writes it itself."""
    return name.partition(".")[0] in MANAGED_FIELDS | IDENTIFIER_FIELDS


def is_nested(name: str) -> bool:
    """Whether the name is a path into an object."""
    return "." in name


def field_problems(mapping: FieldMapping) -> Iterator[Problem]:
    """Yield faults of field names and types."""
    names = {field.name for field in mapping.fields}
    for field in mapping.fields:
        fault = (
            _fault_of_name(field.name) or _fault_of_type(field) or _fault_of_nesting(field, names)
        )
        if fault:
            yield Problem(("fields", field.name), fault)


def _fault_of_name(name: str) -> str | None:
    """Return why a field of this name cannot be written, or None."""
    segments = name.split(".")
    if not all(segments):
        return "the field name, and each part between dots, must not be empty"
    if segments[0] in IDENTIFIER_FIELDS:
        return (
            f"{segments[0]} identifies the person: map it under identifiers. As a field it would"
            " rename the profile"
        )
    if segments[0] in MANAGED_FIELDS:
        return f"{segments[0]} is managed by Iterable and must not be written; use another name"
    return None


def _fault_of_type(field: MappedField) -> str | None:
    """Return why the field cannot have the type that is asked for, or None."""
    if field.type is not None and field.type not in FIELD_TYPES:
        return f"unknown type {field.type!r}; valid: {', '.join(FIELD_TYPES)}"
    is_place = wanted_type(field) == "geo_location"
    if field.name.endswith(GEO_SUFFIX) and not is_place:
        return (
            f"a name that ends in {GEO_SUFFIX} is a place for Iterable, so type: {field.type} does"
            " not fit; remove the type, or use another name"
        )
    if is_place and not field.name.endswith(GEO_SUFFIX):
        return (
            "type: geo_location is for fields whose names end in"
            f" {GEO_SUFFIX}; for Iterable everything else is an object: write type: object, or"
            f" name it {field.name}{GEO_SUFFIX}"
        )
    return None


def _fault_of_nesting(field: MappedField, names: set[str]) -> str | None:
    """Return which mapped field this one would overwrite, or None."""
    segments = field.name.split(".")
    for length in range(1, len(segments)):
        outer = ".".join(segments[:length])
        if outer in names:
            return f"{outer} is mapped as well and cannot be a value and an object at once"
    return None
