"""From a request to its answer: routes, key, limits, calls. Knows no sockets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .faults import Effects, FaultPlan, rate_limit_reply
from .limits import DOCUMENTED, RateLimits
from .list_calls import ListCalls
from .user_calls import UserCalls
from .wire import ApiError, Call, Reply, action_not_found, envelope

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import Settings
    from .state import State
    from .wire import Handler


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint with its handler."""

    endpoint: str
    handler: Handler


class Router:
    """Finds the handler of a method and a path."""

    def __init__(self, routes: Mapping[str, Handler]) -> None:
        """Take endpoint (``METHOD /template``) to handler."""
        self._fixed = {name: Route(name, each) for name, each in routes.items() if "{" not in name}
        self._patterns = [
            (re.compile(_pattern(name)), Route(name, each))
            for name, each in routes.items()
            if "{" in name
        ]

    def find(self, method: str, path: str) -> tuple[Route | None, tuple[str, ...]]:
        """Return the route and the values of its placeholders; None when there is none."""
        wanted = f"{method} {path}"
        if wanted in self._fixed:
            return self._fixed[wanted], ()
        for pattern, route in self._patterns:
            found = pattern.fullmatch(wanted)
            if found:
                return route, found.groups()
        return None, ()


def _pattern(endpoint: str) -> str:
    """Return the expression of a template; a ``listId`` is a number, the rest anything."""
    numbered = re.escape(endpoint).replace(re.escape("{listId}"), r"(\d{1,18})")
    return re.sub(r"\\\{\w+\\\}", "([^/]+)", numbered)


class Api:
    """The API of one project."""

    def __init__(self, state: State, settings: Settings, faults: FaultPlan) -> None:
        """Wire the calls together."""
        self._state = state
        self._settings = settings
        self._faults = faults
        calls = (ListCalls(state, settings), UserCalls(state, settings))
        self._router = Router({name: each for one in calls for name, each in one.routes().items()})
        documented = DOCUMENTED if settings.documented_limits else {}
        self.limits = RateLimits(settings.rate_limit, documented, settings.monotonic)

    def strike(self, call: Call) -> Effects:
        """Name the call's endpoint and return what the faults do to it."""
        route, call.arguments = self._router.find(call.method, call.path)
        call.shape = self._settings.response_shape
        call.endpoint = route.endpoint if route else f"{call.method} {call.path}"
        return self._faults.strike(call)

    def answer(self, call: Call, effects: Effects) -> Reply | None:
        """Return the answer, or None when the call does not reach the API."""
        if not effects.applies:
            return None
        call.refuse = effects.refuse
        reply = effects.reply or self._ask(call)
        for edit in effects.edits:
            reply = edit(reply)
        return reply

    def _ask(self, call: Call) -> Reply:
        route, _ = self._router.find(call.method, call.path)
        if route is None:
            return action_not_found()
        try:
            self._admit(call)
            with self._state.lock:
                return route.handler(call)
        except ApiError as error:
            return error.reply

    def _admit(self, call: Call) -> None:
        """Check key, rate and size, in this order.

        Raises:
            ApiError: The call is not admitted.
        """
        if _key(call) != self._settings.api_key:
            where = {"ip": "127.0.0.1", "endpoint": call.path}
            raise ApiError(envelope(401, "BadApiKey", "Invalid API key", where))
        broken = self.limits.exceeded(call.endpoint)
        if broken:
            project = self._settings.project_id
            raise ApiError(rate_limit_reply(call, broken.requests, broken.seconds, project))
        if len(call.body) > self._settings.max_body_bytes:
            msg = f"Request body is larger than {self._settings.max_body_bytes} bytes"
            raise ApiError(envelope(413, "BatchTooLarge", msg))


def _key(call: Call) -> str | None:
    """Return the key of a call.

    ``Api-Key`` is documented; tools in the wild also send the header ``api_key`` (tap-iterable,
    RudderStack) and older ones the query parameter of that name.
    """
    return call.header("Api-Key") or call.header("api_key") or call.query.get("api_key")
