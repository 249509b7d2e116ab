"""The control interface: arranges a running sandbox over HTTP."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

import orjson

from .faults import Fault, parse_faults
from .fields import format_time
from .wire import Call, Reply, action_not_found, json_reply

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .server import Sandbox

CONTROL_PREFIX = "/sandbox/"


class Control:
    """The control interface under ``/sandbox/``: no key, loopback only, never faulted.

    ===========================  ==============================================================
    ``GET /sandbox/state``       everything, see below; ``?brief=true`` leaves people out
    ``GET /sandbox/requests``    the last requests, oldest first
    ``GET /sandbox/faults``      the faults, with how often each was ``seen`` and ``struck``
    ``POST /sandbox/faults``     an array replaces all faults, an object goes behind the others
    ``POST /sandbox/lists``      ``{name, members?, listType?}``: puts foreign members on a list
    ``POST /sandbox/profiles``   ``{email?, userId?, dataFields?}`` or an array of them
    ``POST /sandbox/fields``     ``{types?, limit?}``: fixes types of fields, and how many may be
    ``POST /sandbox/forget``     ``{identifiers}``: erases people for good
    ``POST /sandbox/unforget``   ``{identifiers}``: lets them come back
    ``POST /sandbox/reset``      back to an empty project
    ===========================  ==============================================================

    The state is one JSON object: ``projectType``, ``settings``, ``counters``, ``profiles`` (how
    many there are), ``people`` (each with its identifiers, fields and times), ``lists`` (each
    with its ``members``, and how many of them are ``foreign``), ``fields`` (with their types),
    ``fieldLimit``, ``forgotten`` (hashes), ``globalUnsubscribes``, ``faults``, ``requests`` and
    ``maxInFlight``. It is the truth: no visibility lag.
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
            "POST /sandbox/profiles": self._add_profiles,
            "POST /sandbox/fields": self._declare_fields,
            "POST /sandbox/forget": self._forget,
            "POST /sandbox/unforget": self._unforget,
            "POST /sandbox/reset": self._reset,
        }

    def answer(self, call: Call) -> Reply:
        """Answer one control call; 400 says what is wrong with it."""
        route = self._routes.get(f"{call.method} {call.path}")
        if route is None:
            return action_not_found()
        try:
            return Reply(200, orjson.dumps(route(call), option=orjson.OPT_INDENT_2) + b"\n")
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

    def _add_profiles(self, call: Call) -> object:
        document = call.document()
        entries = document if isinstance(document, list) else [document]
        for entry in entries:
            if not isinstance(entry, dict) or entry.keys() - {"email", "userId", "dataFields"}:
                message = "a profile is an object with email, userId and dataFields"
                raise ValueError(message)
            email, user_id = (
                None if entry.get(key) is None else _text(entry[key]) for key in ("email", "userId")
            )
            data = entry.get("dataFields") or {}
            if not isinstance(data, dict):
                message = "dataFields is an object"
                raise ValueError(message)  # noqa: TRY004 - a fault of the data
            self._sandbox.add_profile(email=email, user_id=user_id, fields=data)
        return {}

    def _declare_fields(self, call: Call) -> object:
        document = _object(call)
        types, limit = document.get("types", {}), document.get("limit")
        if not isinstance(types, dict) or type(limit) not in {int, type(None)}:
            message = "the body is {types: {field: type}, limit: number}"
            raise ValueError(message)
        self._sandbox.declare_fields({key: _text(value) for key, value in types.items()}, limit)
        return {"fields": self._sandbox.state.fields.types}

    def _forget(self, call: Call) -> object:
        self._sandbox.forget(*_texts(_object(call), "identifiers"))
        return {}

    def _unforget(self, call: Call) -> object:
        self._sandbox.state.unforget(*_texts(_object(call), "identifiers"))
        return {}

    def _reset(self, _call: Call) -> object:
        self._sandbox.reset()
        return {}

    def _state(self, call: Call) -> object:
        state, brief = self._sandbox.state, call.query.get("brief") == "true"
        with state.lock:
            return {
                "projectType": self._sandbox.settings.project_type,
                "settings": self._settings(),
                "counters": dict(state.counters),
                "profiles": len(state.people),
                "lists": self._lists(brief=brief),
                "fields": state.fields.types,
                "fieldLimit": state.fields.limit,
                "forgotten": {
                    "hashedEmails": sorted(state.people.forgotten.emails),
                    "hashedUserIds": sorted(state.people.forgotten.user_ids),
                },
                "globalUnsubscribes": sorted(state.global_unsubscribes),
                "faults": self._sandbox.plan.report(),
                "requests": len(state.requests),
                "maxInFlight": state.max_in_flight,
                **({} if brief else {"people": self._people()}),
            }

    def _settings(self) -> dict[str, object]:
        """Return the settings that are plain values, without the key."""
        settings = self._sandbox.settings
        values = {each.name: getattr(settings, each.name) for each in fields(settings) if each.repr}
        return {name: value for name, value in values.items() if not callable(value)}

    def _people(self) -> list[dict[str, Any]]:
        state = self._sandbox.state
        everyone = (state.people.stored(each) for each in range(state.people.made))
        return [
            {
                "email": each.email,
                "userId": each.user_id,
                "dataFields": each.fields,
                "createdAt": format_time(each.made),
                "updatedAt": format_time(each.changed),
            }
            for each in everyone
            if each is not None
        ]

    def _lists(self, *, brief: bool) -> list[dict[str, Any]]:
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
        for each in () if brief else lists:
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
