"""How a sandbox is set up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from .people import PROJECT_TYPES, ProjectType

if TYPE_CHECKING:
    from collections.abc import Callable

    from .wire import Shape

MAX_BODY_BYTES = 4_000_000
MAX_FIELDS = 1000

MismatchScope = Literal["batch", "user"]
MISMATCH_SCOPES: tuple[str, ...] = get_args(MismatchScope)


class Options(TypedDict, total=False):
    """The settings that a sandbox takes by keyword; see :class:`Settings`."""

    response_shape: Shape
    rate_limit: float
    documented_limits: bool
    latency_seconds: float
    max_body_bytes: int
    project_id: int
    field_limit: int
    add_unrecognized_fields: bool
    type_mismatch: MismatchScope
    visibility_lag_seconds: float
    new_list_lag_seconds: float
    monotonic: Callable[[], float]
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one sandbox.

    Attributes:
        project_type: How the project identifies people.
        api_key: The only key that is accepted.
        seed: Decides every random choice.
        response_shape: ``current``, or ``old`` for the bodies recorded in 2017 and 2021.
        rate_limit: Requests a second that each endpoint takes; 0 means no limit.
        documented_limits: Also keep the limits that the API description states, such as five
            ``getUsers`` a minute.
        latency_seconds: Time before each answer.
        max_body_bytes: A longer body is refused with 413 (documented for bulkUpdate: 4 MB).
        project_id: Number of the project in messages.
        field_limit: Most profile fields of the project; nested ones count (documented: 1,000).
        add_unrecognized_fields: Whether fields that are not known yet are made or dropped where
            a request does not say.
        type_mismatch: A value that does not fit its field refuses the whole ``batch`` with 400
            (recorded), or its ``user`` in ``failedUpdates.invalidData...`` (documented).
        visibility_lag_seconds: How long reads do not show a change (recorded: 2 to 12).
        new_list_lag_seconds: How long subscribe and unsubscribe do not know a new list.
        monotonic: Seconds that never go back: measures rates and lags, stamps requests.
        clock: Seconds since 1970: the times on profiles.
    """

    project_type: ProjectType = "email"
    api_key: str = field(default="sandbox-key", repr=False)
    seed: int = 0
    response_shape: Shape = "current"
    rate_limit: float = 0
    documented_limits: bool = False
    latency_seconds: float = 0
    max_body_bytes: int = MAX_BODY_BYTES
    project_id: int = 2158
    field_limit: int = MAX_FIELDS
    add_unrecognized_fields: bool = True
    type_mismatch: MismatchScope = "batch"
    visibility_lag_seconds: float = 0
    new_list_lag_seconds: float = 0
    monotonic: Callable[[], float] = time.monotonic
    clock: Callable[[], float] = time.time

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: A setting is out of its range.
        """
        for name, allowed in (
            ("project_type", PROJECT_TYPES),
            ("type_mismatch", MISMATCH_SCOPES),
        ):
            if getattr(self, name) not in allowed:
                message = f"{name}: {getattr(self, name)!r} is not one of {', '.join(allowed)}"
                raise ValueError(message)
        for name in (
            "rate_limit",
            "latency_seconds",
            "field_limit",
            "visibility_lag_seconds",
            "new_list_lag_seconds",
        ):
            if getattr(self, name) < 0:
                message = f"{name} must not be negative"
                raise ValueError(message)
