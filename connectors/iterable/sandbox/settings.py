"""How a sandbox is set up."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from .people import PROJECT_TYPES, ProjectType

if TYPE_CHECKING:
    from collections.abc import Callable

    from .wire import Shape

MAX_BODY_BYTES = 4_000_000


class Options(TypedDict, total=False):
    """The settings that a sandbox takes by keyword; see :class:`Settings`."""

    response_shape: Shape
    rate_limit: float
    documented_limits: bool
    latency_seconds: float
    max_body_bytes: int
    project_id: int
    monotonic: Callable[[], float]


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
        monotonic: Seconds that never go back: measures rates and stamps requests.
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
    monotonic: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ValueError: A setting is out of its range.
        """
        if self.project_type not in PROJECT_TYPES:
            message = (
                f"project_type: {self.project_type!r} is not one of {', '.join(PROJECT_TYPES)}"
            )
            raise ValueError(message)
        if min(self.rate_limit, self.latency_seconds) < 0:
            message = "rate_limit and latency_seconds must not be negative"
            raise ValueError(message)
