"""Faults: what can go wrong at the API, arranged on purpose.

A fault says which requests it strikes (``match``, ``after``, ``times``, ``probability``, and for
some actions the identifiers a body must carry) and what it does (``action``):

=====================  ========================================================================
``rate_limit``         429; ``form`` json or text; ``retry_after`` adds the header
``status``             answers ``status`` with a body in ``form`` (json, html, text)
``latency``            waits ``seconds``, then goes on
``refuse``             the ``identifiers`` end up in ``bucket`` of failedUpdates, the rest works
``reject_index``       400 for the whole batch that names the index of one of ``identifiers``
``reject_batch_with``  400 for the whole batch, naming nothing, while one of them is in it
``invalid_list``       the list that a body names (``list_id``, or any) is not known yet
``reset_before``       the connection is reset, nothing was applied
``reset_after``        applied, then the connection is reset
``hang_before``        no answer for ``seconds``, then closed; nothing was applied
``hang_after``         applied, then no answer for ``seconds``, then closed
``truncate``           applied; half of the answer, then closed
``bad_json``           applied; 200 with a body that is no JSON
``miscount``           applied; ``success_delta`` and ``fail_delta`` are added to the counts
``extra_keys``         applied; an answer that is a JSON object gets keys that nobody knows
``old_shape``          applied; the answer has the shape recorded in 2017
=====================  ========================================================================

Faults are tried in their order. Each one that strikes counts; the first one that settles the
answer (all but ``latency``, ``refuse``, ``miscount``, ``extra_keys`` and ``old_shape``) ends the
search.
"""

from __future__ import annotations

import random
import threading
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

import orjson

from .state import FAILURE_KEYS
from .wire import HTML, INTERNAL_ERROR, TEXT, Call, Reply, bad_json_body, envelope
from .wire import invalid_list_id as unknown_list

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Action = Literal[
    "rate_limit",
    "status",
    "latency",
    "refuse",
    "reject_index",
    "reject_batch_with",
    "invalid_list",
    "reset_before",
    "reset_after",
    "hang_before",
    "hang_after",
    "truncate",
    "bad_json",
    "miscount",
    "extra_keys",
    "old_shape",
]
Form = Literal["json", "html", "text"]
Wire = Literal["send", "reset", "hang", "truncate"]

MIN_ERROR_STATUS, MAX_ERROR_STATUS, FIRST_SERVER_ERROR = 400, 599, 500

_NEEDS_IDENTIFIERS = frozenset({"refuse", "reject_index", "reject_batch_with"})
_GO_ON = frozenset({"latency", "refuse", "miscount", "extra_keys", "old_shape"})
_NOT_APPLIED = frozenset({"reset_before", "hang_before"})
_CAUSES = frozenset(key.removesuffix("Emails").removesuffix("UserIds") for key in FAILURE_KEYS)

_CODES: Mapping[int, tuple[str, str]] = {
    401: ("BadApiKey", "Invalid API key"),
    403: ("Forbidden", "Forbidden"),
    404: ("NotFound", "Not found"),
    413: ("BatchTooLarge", "Batch too large"),
    429: ("RateLimitExceeded", "Exceeded rate limit."),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One arranged fault; the module's text says what each action does.

    Attributes:
        action: What happens.
        match: ``*``, a path (``/api/lists/subscribe``), a route (``/api/lists/{listId}/size``),
            or one of the two after a method (``POST /api/lists``).
        times: How often it strikes; None means always.
        probability: Chance to strike, drawn with the sandbox's seed; None means always.
        after: How many matching requests it lets pass first.
        status: For ``status``.
        form: Kind of body for ``status`` and ``rate_limit``.
        code: ``code`` of a JSON body; None means the usual one for the status.
        msg: ``msg`` of a JSON body, or the text; None means the usual one.
        params: ``params`` of a JSON body.
        retry_after: Seconds, for the header; None leaves the header out.
        seconds: For ``latency`` and the hangs.
        identifiers: E-mails (in any case) or userIds.
        bucket: Key of failedUpdates, whole (``noOpEmails``) or without its ending (``notFound``).
        list_id: For ``invalid_list``; None means any list.
        success_delta: For ``miscount``.
        fail_delta: For ``miscount``.
    """

    action: Action
    match: str = "*"
    times: int | None = None
    probability: float | None = None
    after: int = 0
    status: int = 500
    form: Form = "json"
    code: str | None = None
    msg: str | None = None
    params: Any = None
    retry_after: float | None = None
    seconds: float = 0
    identifiers: tuple[str, ...] = ()
    bucket: str = "invalid"
    list_id: int | None = None
    success_delta: int = -1
    fail_delta: int = 1

    def __post_init__(self) -> None:
        """Refuse a fault that could never do what it says.

        Raises:
            ValueError: A value is out of its range; the message names it.
        """
        if isinstance(self.identifiers, str):
            message = f"fault {self.action!r}: identifiers are a list"
            raise ValueError(message)  # noqa: TRY004 - as the other checks
        object.__setattr__(self, "identifiers", tuple(self.identifiers))
        for wrong, text in self._checks():
            if wrong:
                message = f"fault {self.action!r}: {text}"
                raise ValueError(message)

    def _checks(self) -> Iterable[tuple[bool, str]]:
        yield self.action not in get_args(Action), f"action is one of {', '.join(get_args(Action))}"
        yield self.form not in get_args(Form), f"form is one of {', '.join(get_args(Form))}"
        outside = not MIN_ERROR_STATUS <= self.status <= MAX_ERROR_STATUS
        yield outside, "status is between 400 and 599"
        yield min(self.seconds, self.after, self.times or 0) < 0, "numbers are not negative"
        yield not 0 <= (self.probability or 0) <= 1, "probability is between 0 and 1"
        needs = self.action in _NEEDS_IDENTIFIERS and not self.identifiers
        yield needs, "identifiers are missing"
        named = self.bucket in _CAUSES or self.bucket.endswith(("Emails", "UserIds"))
        yield not named, f"bucket is one of {', '.join(sorted(_CAUSES))}, or a whole key"

    @classmethod
    def from_json(cls, document: object) -> Fault:
        """Return the fault that a decoded JSON object describes; the keys are the attributes.

        Raises:
            ValueError: The object is no fault.
        """
        if not isinstance(document, dict) or "action" not in document:
            message = "a fault is a JSON object with at least an action"
            raise ValueError(message)
        unknown = set(document) - {each.name for each in fields(cls)}
        if unknown:
            message = f"a fault has no {', '.join(sorted(unknown))}"
            raise ValueError(message)
        try:
            return cls(**document)
        except TypeError as error:
            message = f"fault {document['action']!r}: a value has the wrong type ({error})"
            raise ValueError(message) from error


@dataclass(slots=True)
class Effects:
    """What the faults that struck one request do to it, all together.

    Attributes:
        actions: Actions of those faults, in order.
        delay: Seconds to wait first.
        reply: Answer given instead of asking the API.
        applies: Whether the request reaches the API at all.
        refuse: Identifier to failedUpdates key.
        edits: Changes to the API's answer.
        wire: How the answer travels.
        hang: Seconds without an answer, when ``wire`` is ``hang``.
    """

    actions: list[str] = field(default_factory=list)
    delay: float = 0
    reply: Reply | None = None
    applies: bool = True
    refuse: dict[str, str] = field(default_factory=dict)
    edits: list[Callable[[Reply], Reply]] = field(default_factory=list)
    wire: Wire = "send"
    hang: float = 0


class _Armed:
    """A fault with its counters."""

    def __init__(self, fault: Fault, seed: str) -> None:
        self.fault = fault
        self.seen = 0
        self.struck = 0
        self._random = random.Random(seed)  # noqa: S311 - repeatable chance, not a secret

    def strikes(self, call: Call) -> bool:
        """Whether the fault strikes this request; counts it if so."""
        fault = self.fault
        if not _matches(fault, call):
            return False
        self.seen += 1
        if self.seen <= fault.after or self.struck == fault.times:
            return False
        if fault.probability is not None and self._random.random() >= fault.probability:
            return False
        self.struck += 1
        return True


def _matches(fault: Fault, call: Call) -> bool:
    method = call.endpoint.partition(" ")[0]
    route = call.endpoint.removeprefix(f"{method} ")
    names = {"*", route, call.path, call.endpoint, f"{method} {call.path}"}
    if fault.match not in names:
        return False
    if fault.action in _NEEDS_IDENTIFIERS:
        return bool(_carried(fault, call))
    return fault.action != "invalid_list" or _list_id(call) in _wanted_lists(fault, call)


def _carried(fault: Fault, call: Call) -> dict[str, tuple[int, str]]:
    """Return those of the fault's identifiers that the body carries: index and key."""
    positions = call.positions()
    named = {
        value: positions.get(value) or positions.get(value.lower()) for value in fault.identifiers
    }
    return {value: where for value, where in named.items() if where is not None}


def _list_id(call: Call) -> int | None:
    try:
        document = call.document()
    except ValueError:
        return None
    found = document.get("listId") if isinstance(document, dict) else None
    return found if isinstance(found, int) else None


def _wanted_lists(fault: Fault, call: Call) -> set[int]:
    """Return the ids a body may name for the fault to strike: its own, or whatever is there."""
    wanted = _list_id(call) if fault.list_id is None else fault.list_id
    return set() if wanted is None else {wanted}


class FaultPlan:
    """The faults of a sandbox, in order. Thread-safe."""

    def __init__(self, seed: int, project_id: int) -> None:
        """Start without faults."""
        self._lock = threading.Lock()
        self._seed = seed
        self._project_id = project_id
        self._armed: list[_Armed] = []

    def replace(self, faults: Iterable[Fault]) -> None:
        """Put these faults in the place of all others; their counters start at zero."""
        armed = [_Armed(each, f"{self._seed}:{at}") for at, each in enumerate(faults)]
        with self._lock:
            self._armed = armed

    def add(self, fault: Fault) -> None:
        """Put a fault behind the others."""
        with self._lock:
            self._armed.append(_Armed(fault, f"{self._seed}:{len(self._armed)}"))

    def faults(self) -> tuple[Fault, ...]:
        """Return the faults, in order."""
        with self._lock:
            return tuple(each.fault for each in self._armed)

    def report(self) -> list[dict[str, Any]]:
        """Return the faults with how many requests each has ``seen`` and ``struck``."""
        with self._lock:
            return [
                {**asdict(each.fault), "seen": each.seen, "struck": each.struck}
                for each in self._armed
            ]

    def strike(self, call: Call) -> Effects:
        """Return what the faults do to this request."""
        effects = Effects()
        if not self._armed:
            return effects
        with self._lock:
            for each in self._armed:
                if not each.strikes(call):
                    continue
                effects.actions.append(each.fault.action)
                self._apply(each.fault, call, effects)
                if each.fault.action not in _GO_ON:
                    break
        return effects

    def _apply(self, fault: Fault, call: Call, effects: Effects) -> None:
        action = fault.action
        if action == "latency":
            effects.delay += fault.seconds
        elif action == "refuse":
            effects.refuse.update(_refused(fault, call))
        elif action == "miscount":
            effects.edits.append(lambda reply: _miscounted(reply, fault))
        elif action == "extra_keys":
            effects.edits.append(_extended)
        elif action == "old_shape":
            call.shape = "old"
        elif action == "bad_json":
            effects.edits.append(_garbled)
        elif action in {
            "rate_limit",
            "status",
            "reject_batch_with",
            "reject_index",
            "invalid_list",
        }:
            effects.reply = self._reply(fault, call)
        else:
            _break_wire(fault, effects)

    def _reply(self, fault: Fault, call: Call) -> Reply:
        if fault.action == "rate_limit":
            return _rate_limited(fault, call, self._project_id)
        if fault.action == "status":
            return _status_reply(fault, fault.status)
        if fault.action == "invalid_list":
            return unknown_list(_list_id(call), self._project_id)
        if fault.action == "reject_batch_with":
            return envelope(
                400, fault.code or "BadParams", fault.msg or "Invalid request", fault.params
            )
        index, key = next(iter(_carried(fault, call).values()))
        root = "subscribers" if "/lists/" in call.path else "users"
        return bad_json_body(call, {f"obj.{root}[{index}].{key}": "string"})


def _break_wire(fault: Fault, effects: Effects) -> None:
    effects.applies = fault.action not in _NOT_APPLIED
    kind = fault.action.partition("_")[0]
    effects.wire = "reset" if kind == "reset" else "hang" if kind == "hang" else "truncate"
    effects.hang = fault.seconds


def _refused(fault: Fault, call: Call) -> dict[str, str]:
    """Return identifier, as the state looks it up, to its whole failedUpdates key."""
    refused = {}
    for value, (_, key) in _carried(fault, call).items():
        ending = "Emails" if key == "email" else "UserIds"
        whole = f"{fault.bucket}{ending}" if fault.bucket in _CAUSES else fault.bucket
        refused[value.lower() if key == "email" else value] = whole
    return refused


def _rate_limited(fault: Fault, call: Call, project_id: int) -> Reply:
    text = "Rate limit exceeded. Please try again later."
    if fault.form == "json":
        reply = rate_limit_reply(call, 5, 1, project_id)
    else:
        reply = Reply(429, (fault.msg or text).encode(), TEXT)
    return _with_retry_after(reply, fault)


def rate_limit_reply(call: Call, requests: float, seconds: float, project_id: int) -> Reply:
    """Return the 429 of the API (recorded 2017 for an export, without any rate-limit header)."""
    units: Mapping[float, str] = {60: "minute", 86_400: "day"}
    rate = requests if seconds in units else requests / seconds
    msg = (
        f"Exceeded rate limit of {float(rate)} per {units.get(seconds, 'second')} for endpoint: "
        f"{call.path}, project: {project_id} "
    )
    return envelope(429, "RateLimitExceeded", msg, {})


def _status_reply(fault: Fault, status: int) -> Reply:
    server_error = status >= FIRST_SERVER_ERROR
    usual = ("GenericError", INTERNAL_ERROR) if server_error else ("BadParams", "Invalid request")
    code, msg = _CODES.get(status, usual)
    if fault.form == "html":
        page = f"<html><body><h1>{status}</h1>{fault.msg or ''}</body></html>"
        reply = Reply(status, page.encode(), HTML)
    elif fault.form == "text":
        reply = Reply(status, (fault.msg or msg).encode(), TEXT)
    else:
        reply = envelope(status, fault.code or code, fault.msg or msg, fault.params)
    return _with_retry_after(reply, fault)


def _with_retry_after(reply: Reply, fault: Fault) -> Reply:
    if fault.retry_after is not None:
        reply.headers = {"Retry-After": f"{fault.retry_after:g}"}
    return reply


def _miscounted(reply: Reply, fault: Fault) -> Reply:
    """Return the answer with counts that lie; an answer without counts stays as it is."""
    try:
        document = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return reply
    if isinstance(document, dict) and "successCount" in document:
        document["successCount"] += fault.success_delta
        document["failCount"] += fault.fail_delta
        reply.body = orjson.dumps(document)
    return reply


def _extended(reply: Reply) -> Reply:
    """Return the answer with unknown keys, at the top and within ``failedUpdates``.

    "Iterable may add fields to API response bodies" (article 204780579).
    """
    try:
        document = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return reply
    if isinstance(document, dict):
        failed = document.get("failedUpdates")
        if isinstance(failed, dict):
            failed["unheardOfEmails"] = []
        document |= {"unheardOf": {"nested": [1, None]}, "anotherCount": 7}
        reply.body = orjson.dumps(document)
    return reply


def _garbled(reply: Reply) -> Reply:
    return Reply(200, b'{"successCount": NaN]', reply.content_type)


def parse_faults(document: object) -> Sequence[Fault]:
    """Return the faults of a JSON array.

    Raises:
        ValueError: It is no array, or an element is no fault.
    """
    if not isinstance(document, list):
        message = "faults are a JSON array"
        raise ValueError(message)  # noqa: TRY004 - a fault of the data, as the others here
    return [Fault.from_json(each) for each in document]
