"""Sending alone: our delivery of a plan that is in memory, against the same client and one body.

    python -m benchmarks.sending --api URL --object list --people 1000000

prints one JSON document: people per second of both, the best of some tries each, in turns.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator

import orjson
import pyarrow as pa

from benchmarks.people import FIELDS
from connectors.iterable import IterableConnector
from connectors.iterable.settings import IterableAccount, ListSettings, UserSettings
from reverse_etl.clock import SystemClock
from reverse_etl.connector import (
    DestinationObject,
    FieldMapping,
    MappedField,
    Operation,
    Request,
    Target,
)
from reverse_etl.delivery.ahead import one_ahead
from reverse_etl.delivery.limiter import Pacer
from reverse_etl.delivery.retry import RetryPolicy
from reverse_etl.delivery.sender import Page, Sender
from reverse_etl.delivery.transport import Transport
from reverse_etl.delivery.wire import Wire
from reverse_etl.ports import http_transport

IN_FLIGHT = 4
PEOPLE_PER_REQUEST = 1_000
PAGE = 20_000
TRIES = 3
WINDOW = 1_000_000_000


def the_object(kind: str, api: str) -> tuple[DestinationObject, IterableAccount]:
    """Return what is delivered to, and its account."""
    account = IterableAccount.model_validate(
        {"type": "iterable", "api_key": "benchmark-key-0123456789", "base_url": api}
    )
    fields = [MappedField(name, name) for name in FIELDS] if kind == "user" else []
    mapping = FieldMapping({"email": "email"}, fields)
    settings: ListSettings | UserSettings
    if kind == "list":
        settings = ListSettings.model_validate({"name": "x", "object": kind, "list": {"id": 1}})
    else:
        settings = UserSettings.model_validate({"name": "x", "object": kind})
    return IterableConnector().bind(account, settings, mapping, "mirror"), account


def a_page(first: int, count: int) -> pa.RecordBatch:
    """Return planned changes as a run reads them."""
    numbers = range(first, first + count)
    return pa.record_batch(
        {
            "_identity": pa.array([f"person{i}@example.org" for i in numbers]),
            "_alias": pa.nulls(count, pa.string()),
            "first_name": pa.array([f"Name {i % 50021}" for i in numbers]),
            "plan": pa.array([("gold", "silver", "none", "none")[i % 4] for i in numbers]),
            "score": pa.array([i % 1000 / 8 for i in numbers]),
            "visits": pa.array([i % 97 for i in numbers]),
            "seen_at": pa.array([1_700_000_000 + i for i in numbers], pa.timestamp("s")),
        }
    )


def ours(made: DestinationObject, transport: Transport, people: int) -> float:
    """Deliver a plan; return its seconds."""
    pages = [Page(1, Operation.INSERT, n + 1, a_page(n, PAGE)) for n in range(0, people, PAGE)]
    clock = SystemClock()
    pacer = Pacer(0, clock)
    wire = Wire(
        transport,
        lambda _endpoint: pacer,
        clock,
        lambda: RetryPolicy(60, random.Random(1)),  # noqa: S311 - jitter
        30,
        lambda: False,
    )
    started = time.perf_counter()
    sender = Sender(made, Target("1", "bench"), wire, IN_FLIGHT, 5, ahead=one_ahead)
    delivery = sender.deliver(iter(pages), 0, WINDOW, lambda _progress: None)
    spent = time.perf_counter() - started
    if delivery.position != people:
        raise RuntimeError(f"{delivery.position} of {people} people: {delivery.error_reason}")
    return spent


def fixed(body: bytes, path: str, transport: Transport, people: int) -> float:
    """Send one and the same body as often; return the seconds."""
    requests = iter(range(people // PEOPLE_PER_REQUEST))
    started = time.perf_counter()
    open_now = sum(_start(transport, path, body, requests) for _ in range(IN_FLIGHT))
    while open_now:
        for _ in transport.wait(1.0):
            open_now += _start(transport, path, body, requests) - 1
    return time.perf_counter() - started


def _start(transport: Transport, path: str, body: bytes, requests: Iterator[int]) -> int:
    """Start the next request; return how many were started."""
    ticket = next(requests, None)
    if ticket is None:
        return 0
    transport.start(ticket, Request("POST", path, "any", body=body), 30)
    return 1


def main() -> None:
    """Send in turns; print the best of both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", required=True)
    parser.add_argument("--object", choices=("list", "user"), required=True)
    parser.add_argument("--people", type=int, default=1_000_000)
    options = parser.parse_args()
    made, account = the_object(options.object, options.api)
    path = "/api/lists/subscribe" if options.object == "list" else "/api/users/bulkUpdate"
    prepared = made.prepare(Operation.INSERT, a_page(0, PEOPLE_PER_REQUEST))
    name = "subscribers" if options.object == "list" else "users"
    body = orjson.dumps({"listId": 1, name: [orjson.Fragment(each) for each in prepared.bodies]})
    transport = http_transport(account.model_copy(update={"max_in_flight": IN_FLIGHT}))
    seconds: dict[str, list[float]] = {"ours": [], "fixed": []}
    for _ in range(TRIES):
        seconds["fixed"].append(fixed(body, path, transport, options.people))
        seconds["ours"].append(ours(made, transport, options.people))
    transport.close()
    print(json.dumps({who: options.people / min(spent) for who, spent in seconds.items()}))  # noqa: T201


if __name__ == "__main__":
    main()
