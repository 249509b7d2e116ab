"""The control interface: arranges a running sandbox over HTTP."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .faults import Fault, parse_faults
from .wire import Call, Reply, action_not_found, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .server import Sandbox

CONTROL_PREFIX = "/sandbox/"


class Control:
    """The control interface under ``/sandbox/``: no key, loopback only, never faulted.

    ==========================  ===============================================================
    ``GET /sandbox/faults``     the faults, with how often each was ``seen`` and ``struck``
    ``POST /sandbox/faults``    an array replaces all faults, an object goes behind the others
    ``GET /sandbox/state``      counts and lists; ``?members=true`` adds the members
    ``GET /sandbox/requests``   the last requests, oldest first
    ``POST /sandbox/lists``     ``{name, members?, listType?}``: puts foreign members on a list
    ``POST /sandbox/forget``    ``{identifiers}``: erases people for good
    ``POST /sandbox/reset``     back to an empty project
    ==========================  ===============================================================
    """

    def __init__(self, sandbox: Sandbox) -> None:
        """Bind to the sandbox."""
        self._sandbox = sandbox
        self._routes: Mapping[str, Callable[[Call], object]] = {
            "GET /sandbox/faults": lambda _call: sandbox.plan.report(),
            "POST /sandbox/faults": self._set_faults,
            "GET /sandbox/state": self._state,
            "GET /sandbox/requests": lambda _call: [asdict(r) for r in sandbox.state.requests],
            "POST /sandbox/lists": self._seed_list,
            "POST /sandbox/forget": self._forget,
            "POST /sandbox/reset": self._reset,
        }

    def answer(self, call: Call) -> Reply:
        """Answer one control call; 400 says what is wrong with it."""
        route = self._routes.get(f"{call.method} {call.path}")
        if route is None:
            return action_not_found()
        try:
            return json_reply(route(call))
        except KeyError as error:
            return json_reply({"error": f"{error} is missing"}, 400)
        except (ValueError, LookupError) as error:
            return json_reply({"error": str(error)}, 400)

    def _set_faults(self, call: Call) -> object:
        document = call.document()
        if isinstance(document, dict):
            self._sandbox.plan.add(Fault.from_json(document))
        else:
            self._sandbox.plan.replace(parse_faults(document))
        return self._sandbox.plan.report()

    def _seed_list(self, call: Call) -> object:
        document = _object(call)
        name, list_type = _text(document["name"]), _text(document.get("listType", "Standard"))
        return {"listId": self._sandbox.seed_list(name, _texts(document, "members"), list_type)}

    def _forget(self, call: Call) -> object:
        self._sandbox.forget(*_texts(_object(call), "identifiers"))
        return {}

    def _reset(self, _call: Call) -> object:
        self._sandbox.reset()
        return {}

    def _state(self, call: Call) -> object:
        state = self._sandbox.state
        with state.lock:
            return {
                "projectType": self._sandbox.settings.project_type,
                "profiles": len(state.people),
                "counters": dict(state.counters),
                "globalUnsubscribes": sorted(state.global_unsubscribes),
                "maxInFlight": state.max_in_flight,
                "requests": len(state.requests),
                "lists": self._lists(with_members=call.query.get("members") == "true"),
            }

    def _lists(self, *, with_members: bool) -> list[dict[str, Any]]:
        state = self._sandbox.state
        lists: list[dict[str, Any]] = [
            {
                "id": each.id,
                "name": each.name,
                "listType": each.list_type,
                "size": len(each.members),
                "foreign": len(each.foreign),
            }
            for each in state.lists.values()
        ]
        for each in lists if with_members else ():
            each["members"] = sorted(state.members(each["id"]))
        return lists


def _object(call: Call) -> dict[str, Any]:
    document = call.document()
    if not isinstance(document, dict):
        message = "the body is a JSON object"
        raise ValueError(message)  # noqa: TRY004 - a fault of the data
    return document


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = f"{value!r} is not a text"
        raise ValueError(message)  # noqa: TRY004 - a fault of the data
    return value


def _texts(document: dict[str, Any], key: str) -> list[str]:
    values = document.get(key, [])
    if not isinstance(values, list):
        message = f"{key} is an array of texts"
        raise ValueError(message)  # noqa: TRY004 - a fault of the data
    return [_text(value) for value in values]
