"""The sandbox as a server on loopback, in this process."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any, Self, Unpack
from uuid import UUID

from .api import Api
from .control import Control
from .faults import Effects, Fault, FaultPlan
from .journal import RequestRecord
from .listener import HOST, STOP_SECONDS, Listener
from .settings import Options, Settings
from .state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .people import Profile, ProjectType
    from .wire import Call, Reply

POLL_SECONDS = 0.02


class Sandbox:
    """A local stand-in for the Iterable API.

    >>> with Sandbox(project_type="email") as sandbox:  # doctest: +SKIP
    ...     sandbox.url
    'http://127.0.0.1:49152'

    Attributes:
        settings: How it was set up.
        state: What the project holds, and the requests that were made.
    """

    def __init__(
        self,
        project_type: ProjectType = "email",
        api_key: str = "sandbox-key",
        seed: int = 0,
        *,
        faults: Iterable[Fault] = (),
        **options: Unpack[Options],
    ) -> None:
        """Set up a project without people or lists; nothing listens yet.

        Args:
            project_type: ``email``, ``user_id`` or ``hybrid``.
            api_key: The key that calls must carry.
            seed: Decides every random choice.
            faults: Faults to start with; a reset returns to them.
            options: See :class:`Settings`.

        Raises:
            ValueError: A setting is out of its range.
        """
        self.settings = Settings(project_type, api_key, seed, **options)
        self.state = State(self.settings)
        self._first_faults = tuple(faults)
        self._plan = FaultPlan(seed, self.settings.project_id)
        self._plan.replace(self._first_faults)
        self._api = Api(self.state, self.settings, self._plan)
        self._control = Control(self)
        self._ids = random.Random(seed)  # noqa: S311 - repeatable ids, not a secret
        self._server: Listener | None = None
        self._thread: threading.Thread | None = None
        self.stopping = threading.Event()

    # --- life ------------------------------------------------------------------------------

    def start(self, port: int = 0) -> None:
        """Listen on loopback; what the project holds survives a stop and a start.

        Args:
            port: TCP port; 0 picks a free one.

        Raises:
            OSError: The port is taken.
            RuntimeError: It is running already.
        """
        if self._server is not None:
            message = "the sandbox is running already"
            raise RuntimeError(message)
        self.stopping.clear()
        self._server = Listener(port, self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(POLL_SECONDS,), name="sandbox", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Close every connection and wait for its thread; harmless when not running."""
        if self._server is None or self._thread is None:
            return
        self.stopping.set()
        self._server.shutdown()
        self._thread.join(STOP_SECONDS)
        self._server.server_close()
        self._server.close_connections()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        """Start on a free port, unless it is running already."""
        if self._server is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self.stop()

    @property
    def port(self) -> int:
        """The port it listens on.

        Raises:
            RuntimeError: It is not running.
        """
        if self._server is None:
            message = "the sandbox is not running; call start()"
            raise RuntimeError(message)
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The base URL, without a trailing slash."""
        return f"http://{HOST}:{self.port}"

    # --- arranging -------------------------------------------------------------------------

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults, in order. Assigning replaces them all and starts their counters."""
        return self._plan.faults()

    @faults.setter
    def faults(self, faults: Iterable[Fault]) -> None:
        self._plan.replace(faults)

    @property
    def plan(self) -> FaultPlan:
        """The faults with their counters."""
        return self._plan

    def seed_list(self, name: str, members: Iterable[str] = (), list_type: str = "Standard") -> int:
        """Put members that are not ours on a list, made if need be; return its id."""
        return self.state.seed_list(name, members, list_type)

    def add_profile(
        self,
        *,
        email: str | None = None,
        user_id: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> Profile:
        """Find or make a profile as a call would, and write its fields.

        Raises:
            ValueError: The project does not take the identifiers or the fields.
        """
        return self.state.add_profile(email=email, user_id=user_id, fields=fields)

    def declare_fields(self, types: Mapping[str, str], limit: int | None = None) -> None:
        """Fix the types of profile fields, and on request how many there may be.

        Args:
            types: Field (nested ones with dots) to type; see :data:`FIELD_TYPES`.
            limit: Most fields of the project, until a reset; None leaves it.

        Raises:
            ValueError: A type does not exist, or the limit is negative.
        """
        if limit is not None and limit < 0:
            message = "limit must not be negative"
            raise ValueError(message)
        with self.state.lock:
            self.state.fields.declare(types)
            if limit is not None:
                self.state.fields.limit = limit

    def forget(self, *identifiers: str) -> None:
        """Erase people for good, as after a GDPR request."""
        self.state.forget(*identifiers)

    def reset(self) -> None:
        """Return to an empty project with the faults it was made with."""
        self.state.clear()
        self._api.limits.clear()
        self._plan.replace(self._first_faults)

    # --- serving ---------------------------------------------------------------------------

    def control(self, call: Call) -> Reply:
        """Answer a call of the control interface."""
        return self._control.answer(call)

    def handle(self, call: Call) -> tuple[Reply | None, Effects]:
        """Take a call through faults and API; return its answer, if any, and how it travels."""
        received_at = self.settings.monotonic()
        self.state.journal.begin()
        effects, reply = Effects(), None
        try:
            effects = self._api.strike(call)
            self.wait(self.settings.latency_seconds + effects.delay)
            if effects.wire == "hang" and not effects.applies:
                self.wait(effects.hang)
            reply = self._api.answer(call, effects)
            if effects.wire == "hang" and effects.applies:
                self.wait(effects.hang)
        finally:
            self.state.journal.end(_record(call, reply, effects, received_at))
        return reply, effects

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond a stop."""
        if seconds > 0:
            self.stopping.wait(seconds)

    def next_request_id(self) -> str:
        """Return the next ``Iterable-Request-Id``; the same sequence for the same seed."""
        return str(UUID(int=self._ids.getrandbits(128), version=4))


def _record(call: Call, reply: Reply | None, effects: Effects, received_at: float) -> RequestRecord:
    answered = reply is not None and effects.wire in {"send", "truncate"}
    return RequestRecord(
        call.method,
        call.path,
        reply.status if reply is not None and answered else None,
        len(call.people()),
        received_at,
        tuple(effects.actions),
    )
