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
from reverse_etl.testing.histories import Fault, ProjectType

LIST_ID = 7
LIST_NAME = "Simulated"
FOREIGN = "foreign@elsewhere.test"
THEIRS = {"theirs": "written by others"}
"""What others write into every profile, and we never may touch."""

SUBSCRIBE, UNSUBSCRIBE = "/api/lists/subscribe", "/api/lists/unsubscribe"
BULK_UPDATE = "/api/users/bulkUpdate"

_EPOCH = datetime(2030, 1, 1, tzinfo=UTC)
_MOST_WAITS = 20_000
_NO_EFFECT = frozenset({"error_before", "lost_before", "never_left", "garbage_before"})
_GONE_ANYWAY = frozenset({"invalid", "notFound", "forgotten"})


class VirtualClock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        """Start at a fixed moment."""
        self._seconds = 1_000.0

    def now(self) -> datetime:
        """Return the wall clock."""
        return _EPOCH + timedelta(seconds=self._seconds)

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
    """One project with its profiles and one static list.

    Attributes:
        kind: What identifies a person.
        lists: Id to name.
        members: Of the list that the sync writes to.
    """

    kind: ProjectType
    lists: dict[int, str]
    profiles: list[Profile] = field(default_factory=list)
    members: list[Profile] = field(default_factory=list)

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

    def subscribe(self, person: dict[str, Any]) -> str | None:
        """Put a person on the list; return the e-mail address that stands in the way, if any."""
        found = self.write(person)
        if isinstance(found, str):
            return found
        if found not in self.members:
            self.members.append(found)
        return None

    def update(self, person: dict[str, Any]) -> str | None:
        """Write a profile; return the e-mail address that stands in the way, if any."""
        found = self.write(person)
        return found if isinstance(found, str) else None

    def unsubscribe(self, person: dict[str, Any]) -> bool:
        """Take a person off the list; return False where the answer is "not found"."""
        found = self.located(*_identifiers(person))
        if found is not None and found in self.members:
            self.members.remove(found)
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

    def answer(self, number: int, sent: Sent) -> Answer:
        """Apply a request, or not, and answer it."""
        kind = fault_of(self._faults, number)
        if kind is not None:
            self._coverage[f"fault {kind}"] += 1
        if kind == "unauthorized":
            return _json(401, {"code": "BadApiKey", "msg": "Invalid API key", "params": None})
        if kind == "too_many":
            return _json(429, {"code": "RateLimitExceeded", "msg": "Exceeded", "params": {}})
        honest = None if kind in _NO_EFFECT else self._honest(number, sent, kind)
        return self._garbled(kind, honest)

    def _garbled(self, kind: str | None, honest: Response | None) -> Answer:
        if kind in {"lost_before", "lost_after"}:
            return NoAnswer("timed out")
        if kind == "never_left":
            return NoAnswer("connection refused", maybe_applied=False)
        if kind in {"error_before", "error_after"}:
            return Response(503 if kind == "error_after" else 500, b"<html>unwell</html>")
        if kind in {"garbage_before", "garbage_after"} or honest is None:
            return Response(200, b'{"successCount":' if kind == "garbage_after" else b"<html>")
        return honest

    def _honest(self, number: int, sent: Sent, kind: str | None) -> Response:
        if sent.path == "/api/lists":
            return self._lists(sent)
        if self._poison and any(self._poison & set(_identifiers(p)) for p in sent.people):
            self._coverage["fault poison"] += 1
            return _json(400, {"code": "BadParams", "msg": "Something is wrong", "params": None})
        if kind == "named_index":
            n = self.rng(number, "index").randrange(len(sent.people))
            plural = "users" if sent.path == BULK_UPDATE else "subscribers"
            params = {f"obj.{plural}[{n}].email": "String value expected"}
            return _json(400, {"code": "BadJsonBody", "msg": "Bad", "params": params})
        if sent.path != BULK_UPDATE and sent.body.get("listId") not in self._project.lists:
            return _json(400, {"code": "Success", "msg": "error.lists.invalidListId(1)"})
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
        bucket = kind.removeprefix("bucket_") if kind and kind.startswith("bucket_") else None
        victim = rng.randrange(len(sent.people)) if bucket else None
        unnamed = rng.randrange(len(sent.people)) if kind == "lying_counts" else None
        for n, person in enumerate(sent.people):
            if n == unnamed and rng.random() < 0.5:
                continue
            fault = self._one(sent.path, person, bucket if n == victim else None)
            if fault is not None:
                buckets.setdefault(fault[0], []).append(fault[1])
        failed = sum(map(len, buckets.values()))
        success = len(sent.people) - failed
        if kind == "lying_counts":
            success = max(success - 1, 0)
        data = {"successCount": success, "failCount": failed, "failedUpdates": buckets}
        return _json(200, data)

    def _one(self, path: str, person: dict[str, Any], bucket: str | None) -> tuple[str, str] | None:
        """Apply one entry; return the list of failures it goes to and the name it has there."""
        plural, value = names_of(person)
        takes_away = path == UNSUBSCRIBE or is_clearing(person)
        if bucket and not (takes_away and bucket in _GONE_ANYWAY):
            return bucket + plural, value
        fault = None
        if path == UNSUBSCRIBE:
            fault = None if self._project.unsubscribe(person) else ("notFound" + plural, value)
        else:
            write = self._project.update if path == BULK_UPDATE else self._project.subscribe
            blocking = write(person)
            if blocking is not None:
                self._coverage["conflict"] += 1
                fault = "conflictEmails", blocking
        return (bucket + plural, value) if bucket else fault


def _json(status: int, data: dict[str, Any]) -> Response:
    return Response(status, json.dumps(data).encode())


# --- the wire ------------------------------------------------------------------------------


@dataclass
class _Flight:
    number: int
    ticket: int
    sent: Sent
    lands: float
    given_up: float


class Wire:
    """A transport in virtual time: requests in flight land in an order of their own.

    Attributes:
        sent: Every request of the round that was started.
        most_in_flight: How many were under way at once, at most.
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
            step: Told before and after each start; may raise.
            trace: Told what happens.
        """
        self.sent: list[Sent] = []
        self.most_in_flight = 0
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
        now = self._clock.monotonic()
        latency = self._service.rng(number, "latency").choice((0.1, 0.2, 0.3, 1.0))
        flight = _Flight(number, ticket, sent, now + latency, now + timeout_s)
        self._flying.append(flight)
        self.most_in_flight = max(self.most_in_flight, len(self._flying))
        self._step("after request")

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        """Let time pass until an answer is there, or the time is over."""
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
        answer = self._service.answer(due.number, due.sent)
        if isinstance(answer, NoAnswer):
            self._clock.sleep(1.0)
        self._trace(f"answer {due.number} {answer}")
        return [(due.ticket, answer)]

    def close(self) -> None:
        """Give up: each request under way is applied now, or never."""
        for flight in self._flying:
            applied = self._service.rng(flight.number, "given up").random() < 0.5
            self._trace(f"given up {flight.number} applied={applied}")
            if applied:
                self._service.answer(flight.number, flight.sent)
        self._flying.clear()
