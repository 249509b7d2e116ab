"""A destination for the simulator: Iterable's lists and profiles in memory, and a faulty wire.

Written to the API description (github.com/Iterable/api-client, ``api-docs.json``: getLists,
SubscribeRequest, UnsubscribeRequest, BulkUpdateUsersRequest, UserBulkUpdateListResponse) and to
support article 9216719179796 for what identifies a person in which type of project. It knows
nothing of the engine but the transport it stands behind.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from reverse_etl.connector import Answer, NoAnswer, Request, Response
from reverse_etl.testing.histories import LIST_ID, UPSERT_BUCKETS, Fault, ProjectType

LIST_NAME = "Simulated"
FOREIGN = "foreign@elsewhere.test"
THEIRS = {"theirs": "written by others"}
"""What others write into every profile, and we never may touch."""

SUBSCRIBE, UNSUBSCRIBE = "/api/lists/subscribe", "/api/lists/unsubscribe"
BULK_UPDATE = "/api/users/bulkUpdate"

_EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
_MOST_WAITS = 20_000
_GONE_ANYWAY = frozenset({"invalid", "notFound", "forgotten"})


class VirtualClock:
    """Time that passes only when somebody waits; the clock of one machine may be set wrong."""

    def __init__(self) -> None:
        """Start at a fixed moment."""
        self._seconds = 1_000.0
        self._wrong_by = 0.0

    def now(self) -> datetime:
        """Return the wall clock of the machine."""
        return self.server_now() + timedelta(seconds=self._wrong_by)

    def server_now(self) -> datetime:
        """Return the wall clock of a database server, which nobody sets."""
        return _EPOCH + timedelta(seconds=self._seconds)

    def jump(self, seconds: float) -> None:
        """Set the clock of the machine."""
        self._wrong_by += seconds

    def monotonic(self) -> float:
        """Return the seconds that passed."""
        return self._seconds

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._seconds += max(seconds, 0.0)


# --- people and lists ----------------------------------------------------------------------


@dataclass(eq=False)
class Profile:
    """A person at the destination."""

    email: str | None
    user_id: str | None
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass
class Project:
    """One project with its profiles and static lists.

    Attributes:
        kind: What identifies a person.
        lists: Id to name.
        founders: Whom others add to every list, also to one that is made.
    """

    kind: ProjectType
    lists: dict[int, str]
    profiles: list[Profile] = field(default_factory=list)
    founders: list[Profile] = field(default_factory=list)
    _members: dict[int, list[Profile]] = field(default_factory=dict)

    @property
    def members(self) -> list[Profile]:
        """The members of the first list."""
        return self.members_of(min(self.lists, default=LIST_ID))

    def members_of(self, list_id: int | None) -> list[Profile]:
        """Return the members of a list, or of the first, to be changed in place."""
        if list_id is None:
            return self.members
        return self._members.setdefault(list_id, list(self.founders))

    def find(self, *, email: str | None = None, user_id: str | None = None) -> Profile | None:
        """Return the profile that holds exactly this identifier."""
        return next(
            (
                each
                for each in self.profiles
                if (email is not None and each.email == email)
                or (user_id is not None and each.user_id == user_id)
            ),
            None,
        )

    def located(self, email: str | None, user_id: str | None) -> Profile | None:
        """Return the profile that a subscriber object means."""
        if self.kind == "email":
            return self.find(email=email) if email else None
        found = self.find(user_id=user_id) if user_id else None
        if found is None and email and self.kind == "hybrid":
            holder = self.find(email=email)
            # An address finds a profile that has no other user id.
            if holder is not None and (user_id is None or holder.user_id is None):
                return holder
        return found

    def write(self, person: dict[str, Any]) -> Profile | str:
        """Write a profile, made when it is missing; or return the address that is in the way."""
        email, user_id = _identifiers(person)
        found = self.located(email, user_id)
        holder = self.find(email=email) if email else None
        if self.kind != "user_id" and email and holder is not None and holder is not found:
            return email
        if found is None:
            found = Profile(None, None, dict(THEIRS))
            self.profiles.append(found)
        found.email = email or found.email
        found.user_id = user_id or found.user_id
        for name, value in (person.get("dataFields") or {}).items():
            if value is None:
                found.fields.pop(name, None)
            else:
                found.fields[name] = value
        return found

    def subscribe(self, person: dict[str, Any], list_id: int | None = None) -> str | None:
        """Put a person on a list; return the e-mail address that stands in the way, if any."""
        found = self.write(person)
        if isinstance(found, str):
            return found
        members = self.members_of(list_id)
        if found not in members:
            members.append(found)
        return None

    def update(self, person: dict[str, Any]) -> str | None:
        """Write a profile; return the e-mail address that stands in the way, if any."""
        found = self.write(person)
        return found if isinstance(found, str) else None

    def unsubscribe(self, person: dict[str, Any], list_id: int | None = None) -> bool:
        """Take a person off a list; return False where the answer is "not found"."""
        found = self.located(*_identifiers(person))
        members = self.members_of(list_id)
        if found is not None and found in members:
            members.remove(found)
        return found is not None or self.kind == "email"


def _identifiers(person: dict[str, Any]) -> tuple[str | None, str | None]:
    email = person.get("email")
    return (email.lower() if email else None), person.get("userId")


def names_of(person: dict[str, Any]) -> tuple[str, str]:
    """Return the kind and value of the identifier that a subscriber object is about."""
    if person.get("userId"):
        return "UserIds", person["userId"]
    return "Emails", person["email"]


def is_clearing(person: dict[str, Any]) -> bool:
    """Return whether a user object only removes values."""
    fields = person.get("dataFields") or {}
    return bool(fields) and all(value is None for value in fields.values())


# --- answering -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """A request that was started, for the checks.

    Attributes:
        number: Within its round, from 1.
        path: Of the endpoint.
        people: Its subscriber or user objects.
        body: As decoded.
        size: Bytes.
    """

    number: int
    path: str
    people: tuple[dict[str, Any], ...]
    body: dict[str, Any]
    size: int

    @property
    def is_delete(self) -> bool:
        """Return whether it takes people away: off the list, or all that it writes is null."""
        return self.path == UNSUBSCRIBE or any(map(is_clearing, self.people))


def fault_of(faults: Sequence[Fault], number: int) -> str | None:
    """Return what happens to the request of this number, if anything; the first fault counts."""
    return next((f.kind for f in faults if 0 <= number - f.first < f.count), None)


class Service:
    """Answers requests as Iterable does, or as the faults of a round say."""

    def __init__(
        self,
        project: Project,
        faults: Sequence[Fault],
        poison: Sequence[str],
        seed: str,
        coverage: Counter[str],
    ) -> None:
        """Serve one round."""
        self._project = project
        self._faults = faults
        self._poison = frozenset(poison)
        self._seed = seed
        self._coverage = coverage

    def rng(self, number: int, use: str) -> random.Random:
        """Return the chance of one request, whatever else happened."""
        return random.Random(f"{self._seed}/{number}/{use}")

    def latency(self, number: int, timeout_s: float) -> float:
        """Return the seconds until the answer to a request is there."""
        if str(fault_of(self._faults, number)).startswith("slow"):
            return timeout_s
        return self.rng(number, "latency").choice((0.1, 0.2, 0.3, 1.0))

    def answer(self, number: int, sent: Sent) -> Answer:
        """Apply a request, or not, and answer it."""
        kind = fault_of(self._faults, number)
        if kind is not None:
            self._coverage[f"fault {kind}"] += 1
        refusal = self._refusal(number, sent, kind)
        if refusal is not None:
            return refusal
        if kind == "never_left" or (kind or "").endswith("_before"):
            return _doubtful(kind or "", None)
        honest = self._honest(number, sent, kind)
        if (kind or "").endswith("_after"):
            return _doubtful(kind or "", honest)
        return honest

    def _refusal(self, number: int, sent: Sent, kind: str | None) -> Response | None:
        """Return the answer to a request that is refused as a whole, whatever is in it."""
        if kind in _REFUSALS:
            return _REFUSALS[kind]
        if kind == "field_limit":
            params = {"limit": 1, "newFields": ["plan"]}
            code = "UniqueFieldsLimitExceeded"
            return _json(400, {"code": code, "msg": "Too many fields", "params": params})
        if kind == "named_index" and sent.people:
            n = self.rng(number, "index").randrange(len(sent.people))
            plural = "users" if sent.path == BULK_UPDATE else "subscribers"
            params = {f"obj.{plural}[{n}].email": "String value expected"}
            return _json(400, {"code": "BadJsonBody", "msg": "Bad", "params": params})
        return None

    def _honest(self, number: int, sent: Sent, kind: str | None) -> Response:
        if sent.path == "/api/lists":
            return self._lists(sent)
        if self._poison and any(self._poison & set(_identifiers(p)) for p in sent.people):
            self._coverage["fault poison"] += 1
            return _json(400, {"code": "BadParams", "msg": "Something is wrong", "params": None})
        if sent.path != BULK_UPDATE and sent.body.get("listId") not in self._project.lists:
            return _UNKNOWN_LIST
        return self._bulk(number, sent, kind)

    def _lists(self, sent: Sent) -> Response:
        lists = self._project.lists
        if "name" in sent.body:
            lists[max(lists, default=LIST_ID) + 1] = sent.body["name"]
            return _json(200, {"listId": max(lists)})
        shown = [{"id": i, "name": n, "listType": "Standard"} for i, n in lists.items()]
        return _json(200, {"lists": shown})

    def _bulk(self, number: int, sent: Sent, kind: str | None) -> Response:
        buckets: dict[str, list[str]] = {}
        rng = self.rng(number, "victim")
        chosen = self._victims(rng, len(sent.people), kind)
        unnamed = rng.randrange(len(sent.people)) if kind in {"counts_low", "fail_high"} else None
        for n, person in enumerate(sent.people):
            if n == unnamed and rng.random() < 0.5:
                continue  # not applied, and nobody says so
            fault = self._one(sent, person, chosen.get(n))
            if fault is not None:
                buckets.setdefault(fault[0], []).append(fault[1])
        failed = sum(map(len, buckets.values()))
        success = len(sent.people) - failed
        if kind == "repeated":
            buckets = {name: [*values, *map(str.upper, values)] for name, values in buckets.items()}
            failed *= rng.choice((1, 2))
        if kind == "stranger":
            name = "notFoundUserIds" if self._project.kind == "user_id" else "notFoundEmails"
            buckets.setdefault(name, []).append("nobody@elsewhere.test")
            failed += 1
        if kind in _MISCOUNTS:
            more, fewer = _MISCOUNTS[kind]
            success, failed = max(success + more, 0), failed + fewer
        data = {"successCount": success, "failCount": failed, "failedUpdates": buckets}
        return _json(200, data)

    def _victims(self, rng: random.Random, people: int, kind: str | None) -> dict[int, str]:
        """Choose whom the faults refuse, and into which list of failures they go."""
        if kind in {"several", "repeated"}:
            victims = [n for n in range(people) if rng.random() < 0.7]
            return {n: rng.choice(UPSERT_BUCKETS) for n in victims}
        if kind is not None and kind.startswith("bucket_"):
            return {rng.randrange(people): kind.removeprefix("bucket_")}
        return {}

    def _one(
        self, sent: Sent, person: dict[str, Any], bucket: str | None
    ) -> tuple[str, str] | None:
        """Apply one entry; return the list of failures it goes to and the name it has there."""
        plural, value = names_of(person)
        takes_away = sent.path == UNSUBSCRIBE or is_clearing(person)
        if bucket and not (takes_away and bucket in _GONE_ANYWAY):
            return bucket + plural, value
        fault = None
        project, list_id = self._project, int(sent.body.get("listId") or 0)
        if sent.path == UNSUBSCRIBE:
            found = project.unsubscribe(person, list_id)
            fault = None if found else ("notFound" + plural, value)
        else:
            on_list = sent.path == SUBSCRIBE
            blocking = project.subscribe(person, list_id) if on_list else project.update(person)
            if blocking is not None:
                self._coverage["conflict"] += 1
                fault = "conflictEmails", blocking
        return (bucket + plural, value) if bucket else fault


_MISCOUNTS = {"counts_low": (-1, 0), "counts_high": (1, 0), "fail_high": (0, 1)}
"""What a lie adds to the counts of successes and failures."""


def _doubtful(kind: str, honest: Response | None) -> Answer:
    """Return an answer that says nothing of what happened to a request."""
    what = kind.rpartition("_")[0]
    applied = honest is not None
    if kind == "never_left":
        return NoAnswer("connection refused", maybe_applied=False)
    if what in {"lost", "slow"}:
        return NoAnswer("timed out")
    if what == "cut":
        return Response(200, honest.body[: len(honest.body) // 2] if honest else b"")
    if what == "garbage":
        return Response(200, b"<html>well</html>" if applied else b'{"successCount":')
    status = {
        "error": 503 if applied else 500,
        "gateway": 502,
        "deadline": 504,
        "timed_out": 408,
    }[what]
    return Response(status, b"<html>unwell</html>")


def _json(status: int, data: dict[str, Any], **headers: str) -> Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status, json.dumps(data).encode(), named)


def _error(status: int, code: str, **headers: str) -> Response:
    return _json(status, {"code": code, "msg": f"{code}, it says", "params": None}, **headers)


_UNKNOWN_LIST = _json(400, {"code": "Success", "msg": "error.lists.invalidListId(1)"})

_REFUSALS = {
    "unauthorized": _error(401, "BadApiKey"),
    "forbidden": _error(403, "Forbidden"),
    "page_missing": Response(404, b"<html>no such page</html>"),
    "gone": _error(404, "NotFound"),
    "redirected": Response(302, b"", {"location": "https://elsewhere.test"}),
    "unknown_list": _UNKNOWN_LIST,
    "bad_text": Response(400, b"cannot read this"),
    "bad_json": _error(400, "BadParams"),
    "conflict_status": _error(409, "Conflict"),
    "too_large": _error(413, "TooLarge"),
    "too_many": _error(429, "RateLimitExceeded"),
    "too_many_wait": _error(429, "RateLimitExceeded", retry_after="2"),
    "too_many_absurd": _error(429, "RateLimitExceeded", retry_after="999999999"),
}
"""Answers that apply nothing, whatever was sent."""


# --- the wire ------------------------------------------------------------------------------


@dataclass
class _Flight:
    number: int
    ticket: int
    sent: Sent
    lands: float
    answer: Answer | None = None


def _nothing() -> None:
    """Do nothing."""


class Wire:
    """A transport in virtual time: requests in flight land in an order of their own.

    Attributes:
        sent: Every request of the round that was started.
        heard: Numbers of the requests whose answer was handed on.
        most_in_flight: How many were under way at once, at most.
        beat: Told before each waiting: time will pass.
    """

    def __init__(
        self,
        service: Service,
        clock: VirtualClock,
        step: Callable[[str], None],
        trace: Callable[[str], None],
    ) -> None:
        """Carry requests to the service.

        Args:
            service: Who answers.
            clock: Moved by waiting.
            step: Told before and after each start, and before each waiting; may raise.
            trace: Told what happens.
        """
        self.sent: list[Sent] = []
        self.heard: dict[int, Answer] = {}
        self.most_in_flight = 0
        self.beat: Callable[[], None] = _nothing
        self._service = service
        self._clock = clock
        self._step = step
        self._trace = trace
        self._flying: list[_Flight] = []
        self._waits = 0

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        """Put a request on the wire."""
        self._step("before request")
        number = len(self.sent) + 1
        body = json.loads(request.body) if request.body else {}
        people = tuple(body.get("users") or body.get("subscribers", ()))
        sent = Sent(number, request.path, people, body, len(request.body or b""))
        self.sent.append(sent)
        self._trace(f"request {number} {request.path} {json.dumps(body, sort_keys=True)}")
        latency = self._service.latency(number, timeout_s)
        self._flying.append(_Flight(number, ticket, sent, self._clock.monotonic() + latency))
        self.most_in_flight = max(self.most_in_flight, len(self._flying))
        self._step("after request")

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        """Let time pass until an answer is there, or the time is over."""
        self.beat()
        self._step("wait")
        self._waits += 1
        assert self._waits < _MOST_WAITS, "the engine waits without end"
        now = self._clock.monotonic()
        due = min(self._flying, key=lambda f: (f.lands, f.number), default=None)
        if due is None or due.lands > now + timeout_s:
            self._clock.sleep(timeout_s)
            return []
        self._clock.sleep(due.lands - now)
        self._flying.remove(due)
        answer = due.answer or self._service.answer(due.number, due.sent)
        self._trace(f"answer {due.number} {answer}")
        self.heard[due.number] = answer
        return [(due.ticket, answer)]

    def leave_alone(self) -> None:
        """Nobody waits for a while: each request under way is applied now, or never."""
        for flight in self._flying:
            if flight.answer is not None:
                continue
            draw = self._service.rng(flight.number, "left alone").random()
            self._trace(f"left alone {flight.number}: {draw:.3f}")
            landed = self._service.answer(flight.number, flight.sent) if draw < 0.7 else None
            flight.answer = landed if landed and draw < 0.5 else NoAnswer("timed out")
            flight.lands = self._clock.monotonic()

    def close(self) -> None:
        """Give up: each request under way is applied now, or never."""
        for flight in self._flying:
            applied = self._service.rng(flight.number, "given up").random() < 0.5
            applied = applied and flight.answer is None
            self._trace(f"given up {flight.number} applied={applied}")
            if applied:
                self._service.answer(flight.number, flight.sent)
        self._flying.clear()
