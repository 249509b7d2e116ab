"""The script: what a careful data engineer writes in an afternoon, and what a run of ours replaces.

It asks the database for the difference to what it sent last time, sends that a thousand people at
a time over four threads, repeats what fails for a while, collects whom the API refused, and then
remembers what it has sent. It keeps no log; killed in the middle, it starts all over::

    python -m benchmarks.script --url duckdb:///FILE --api http://127.0.0.1:8000 --object list
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

import httpx

from benchmarks.database import Database, opened
from benchmarks.people import FIELDS

THREADS = 4
PEOPLE_PER_REQUEST = 1_000
TRIES = 5


def sync(database: Database, kind: str, client: httpx.Client) -> list[str]:
    """Bring the API in step with the table; return who was refused."""
    fields = FIELDS if kind == "user" else ()
    columns = ", ".join(("email", *fields))
    database.run("CREATE SCHEMA IF NOT EXISTS script")
    database.run(
        f"CREATE TABLE IF NOT EXISTS script.sent AS SELECT {columns} FROM people LIMIT 0"  # noqa: S608
    )
    # From one and the same reading of the source.
    database.run(f"CREATE TABLE script.now AS SELECT {columns} FROM people")  # noqa: S608 - fixed
    refused: list[str] = []
    if kind == "list":
        gone = "SELECT email FROM script.sent EXCEPT SELECT email FROM script.now"
        refused += send(database, gone, "/api/lists/unsubscribe", fields, client)
    differs = " OR ".join(f"now.{name} IS DISTINCT FROM sent.{name}" for name in ("email", *fields))
    changed = (
        f"SELECT now.* FROM script.now now LEFT JOIN script.sent sent ON sent.email = now.email"  # noqa: S608
        f" WHERE {differs}"
    )
    path = "/api/lists/subscribe" if kind == "list" else "/api/users/bulkUpdate"
    refused += send(database, changed, path, fields, client)
    database.run("DROP TABLE script.sent")
    database.run("ALTER TABLE script.now RENAME TO sent")
    return refused


def send(
    database: Database, query: str, path: str, fields: tuple[str, ...], client: httpx.Client
) -> Iterator[str]:
    """Send the rows of a query; yield the addresses that the API refused."""
    waiting: set[Future[list[str]]] = set()
    with ThreadPoolExecutor(THREADS) as threads:
        for rows in database.rows(query, PEOPLE_PER_REQUEST):
            people = [person(row, fields) for row in rows]
            body = {"users": people} if "users" in path else {"listId": 1, "subscribers": people}
            waiting.add(threads.submit(post, client, path, body))
            if len(waiting) >= 2 * THREADS:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                for each in done:
                    yield from each.result()
    for each in waiting:
        yield from each.result()


def person(row: tuple[Any, ...], fields: tuple[str, ...]) -> dict[str, Any]:
    """Return a row as the API wants it."""
    if not fields:
        return {"email": row[0]}
    return {"email": row[0], "dataFields": dict(zip(fields, row[1:], strict=True))}


def post(client: httpx.Client, path: str, body: dict[str, Any]) -> list[str]:
    """Send one request, again if it fails; return the addresses that were refused."""
    text = json.dumps(body, default=lambda moment: f"{moment:%Y-%m-%d %H:%M:%S} +00:00")
    for attempt in range(TRIES):
        try:
            answer = client.post(path, content=text)
        except httpx.TransportError:
            if attempt == TRIES - 1:
                raise
        else:
            if answer.status_code < 429:  # noqa: PLR2004 - 429 and 5xx may pass
                answer.raise_for_status()
                return list(answer.json()["failedUpdates"]["invalidEmails"])
        time.sleep(2**attempt)
    raise RuntimeError(f"{path} gives no answer")


def main() -> None:
    """Sync once; say who was refused."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--api", required=True)
    parser.add_argument("--object", choices=("list", "user"), required=True)
    options = parser.parse_args()
    with opened(options.url) as database, httpx.Client(base_url=options.api, timeout=30) as client:
        refused = sync(database, options.object, client)
    print(f"{len(refused)} refused")  # noqa: T201 - a program


if __name__ == "__main__":
    main()
