"""The lists of a project, asked for and read; cheap to import."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeGuard

from connectors.iterable import answers
from reverse_etl.connector import Answer, Fatal, Request, TargetInfo

Entry = Mapping[str, Any]
"""One list of ``GetListsResponse``; ``id`` is a number, nothing else is sure."""

DYNAMIC = "Dynamic"
"""``listType`` of a list that its own segmentation keeps. Source: Iterable API description."""


def all_lists(
    host: str, destination: str = "DESTINATION"
) -> Generator[Request, Answer, list[Entry]]:
    """Return the lists of the project as they come, the newest first; there are no pages.

    Args:
        host: Who is asked.
        destination: Its name in the config, for messages.

    Raises:
        Fatal: The account cannot be used.
    """
    answer = yield Request("GET", "/api/lists", "lists")
    data = answers.read_data(answer, host, "the lists of the project", destination)
    found = data.get("lists")
    if not isinstance(found, list):
        reason = f"{host} answered GET /api/lists without lists: is base_url right?"
        raise Fatal("unreadable_answer", reason)
    return [entry for entry in found if isinstance(entry, dict) and is_id(entry.get("id"))]


def is_id(value: object) -> TypeGuard[int]:
    """Whether a value of an answer is the id of a list."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def is_dynamic(entry: Entry) -> bool:
    """Whether Iterable itself decides who is on the list."""
    return bool(entry.get("listType") == DYNAMIC)


def described(lists: Sequence[Entry]) -> list[TargetInfo]:
    """Return the lists for a person, the newest first."""
    infos = [_info(entry) for entry in lists]
    return sorted(infos, key=lambda i: (i.created_at or datetime.min, int(i.id)), reverse=True)  # noqa: DTZ901 - naive, as they are


def _info(entry: Entry) -> TargetInfo:
    """Return one list for a person."""
    return TargetInfo(
        id=str(entry["id"]),
        name=_text(entry.get("name")) or "",
        kind=_text(entry.get("listType")) or "",
        description=_text(entry.get("description")),
        created_at=_moment(entry.get("createdAt")),
        writable=not is_dynamic(entry),
    )


def _text(value: object) -> str | None:
    """Return a text that is not empty."""
    return value if isinstance(value, str) and value else None


def _moment(value: object) -> datetime | None:
    """Return the time of milliseconds since 1970, in UTC without time zone."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        return datetime.fromtimestamp(value / 1000, UTC).replace(tzinfo=None)
    except (ValueError, OverflowError, OSError):  # beyond what a date can be
        return None
