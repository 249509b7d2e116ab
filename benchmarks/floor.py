"""The floor: the same tables and requests by hand, with nothing checked and nothing proven.

The query goes into a table, a join of that and the table before it into a plan (both with the
columns that ours have), SQL writes the bodies of the requests, a bare client over sockets keeps as
many on the wire as a run of ours, and the plan is copied into a log like ours. No lease, no pacing,
no repeated request, no answer read but for its status, no person's outcome: what remains is what
any way to do this must do::

    python -m benchmarks.floor --url duckdb:///FILE --api http://127.0.0.1:8000 --object list
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

from benchmarks.bare import LOG_COLUMNS, log_line
from benchmarks.database import Database, opened
from benchmarks.people import FIELDS, Engine

IN_FLIGHT = 4
PEOPLE_PER_REQUEST = 1_000
_READ_AT_ONCE = 20
_LIST = '{"listId":1,"subscribers":['

_OBJECT = {
    "duckdb": "to_json(struct_pack({pairs}))",
    "postgresql": "json_build_object({pairs})::text",
}
_PAIR = {"duckdb": '"{name}" := {value}', "postgresql": "'{name}', {value}"}
_MOMENT = {
    "duckdb": "strftime(seen_at, '%Y-%m-%d %H:%M:%S +00:00')",
    "postgresql": "to_char(seen_at, 'YYYY-MM-DD HH24:MI:SS +00:00')",
}


def sync(database: Database, kind: str, api: str) -> int:
    """Bring the API in step with the table; return how many requests that took.

    Args:
        database: With the table ``people``; the schema ``floor`` is made in the first run.
        kind: ``list`` or ``user``.
        api: Its URL.
    """
    fields = FIELDS if kind == "user" else ()
    columns = ", ".join(("id", "email", *fields))
    database.run("CREATE SCHEMA IF NOT EXISTS floor")
    database.run(f"CREATE TABLE IF NOT EXISTS floor.sync_log {LOG_COLUMNS}")
    source = (
        "SELECT email AS _identity, CAST(NULL AS VARCHAR) AS _alias,"  # noqa: S608 - fixed words
        f" CAST(id AS VARCHAR) AS _primary_key, {columns} FROM people"
    )
    database.run(f"CREATE TABLE IF NOT EXISTS floor.snapshot AS {source} LIMIT 0")
    database.run(f"CREATE TABLE floor.next AS {source}")
    database.run(f"CREATE TABLE floor.changes AS {_difference(fields)}")
    requests = asyncio.run(_send_all(api, _bodies(database, kind)))
    line = log_line("_primary_key", "_identity", "_operation")
    database.run(f"INSERT INTO floor.sync_log SELECT {line} FROM floor.changes")  # noqa: S608
    database.run("DROP TABLE floor.changes")
    database.run("DROP TABLE floor.snapshot")
    database.run("ALTER TABLE floor.next RENAME TO snapshot")
    return requests


def _difference(fields: tuple[str, ...]) -> str:
    values = "".join(f", now.{name}" for name in fields)
    differs = [f"now.{name} IS DISTINCT FROM base.{name}" for name in ("_identity", *fields)]
    return f"""
        SELECT row_number() OVER (ORDER BY now._identity IS NULL DESC) - 1 AS _seq,
               CASE WHEN now._identity IS NULL THEN 0 ELSE 1 END AS _phase,
               CASE WHEN now._identity IS NULL THEN 'delete'
                    WHEN base._identity IS NULL THEN 'insert' ELSE 'update' END AS _operation,
               coalesce(now._identity, base._identity) AS _identity,
               coalesce(now._alias, base._alias) AS _alias,
               coalesce(now._primary_key, base._primary_key) AS _primary_key,
               false AS _retry, false AS _carried, CAST(NULL AS VARCHAR) AS _fields,
               now.email{values}
        FROM floor.next now FULL JOIN floor.snapshot base ON now._identity = base._identity
        WHERE {" OR ".join(differs)}
    """  # noqa: S608 - fixed words


def _bodies(database: Database, kind: str) -> Iterator[tuple[str, bytes]]:
    """Yield path and body of each request, as the database writes them; deletes first."""
    for is_delete in (True, False):
        if is_delete and kind == "user":
            continue
        head = _LIST if kind == "list" else '{"users":['
        path = "/api/users/bulkUpdate"
        if kind == "list":
            path = f"/api/lists/{'un' if is_delete else ''}subscribe"
        person = _person(database.engine, () if kind == "list" else FIELDS)
        query = f"""
            SELECT '{head}' || string_agg({person}, ',') || ']}}' FROM floor.changes
            WHERE (_operation = 'delete') = {is_delete} GROUP BY _seq / {PEOPLE_PER_REQUEST}
        """  # noqa: S608 - fixed words
        # In DuckDB / divides into fractions.
        query = query.replace("_seq /", "_seq //") if database.engine == "duckdb" else query
        for rows in database.rows(query, _READ_AT_ONCE):
            for (body,) in rows:
                yield path, body.encode()


def _person(engine: Engine, fields: tuple[str, ...]) -> str:
    values = [(name, _MOMENT[engine] if name == "seen_at" else name) for name in fields]
    pairs = [_PAIR[engine].format(name="email", value="_identity")]
    if values:
        inner = ", ".join(_PAIR[engine].format(name=name, value=value) for name, value in values)
        data = _OBJECT[engine].removesuffix("::text").format(pairs=inner)
        pairs.append(_PAIR[engine].format(name="dataFields", value=data))
    return _OBJECT[engine].format(pairs=", ".join(pairs))


# --- a client that knows nothing ------------------------------------------------------------


async def _send_all(api: str, bodies: Iterator[tuple[str, bytes]]) -> int:
    address = urlsplit(api)
    counts = await asyncio.gather(
        *(_send_some(address.hostname or "", address.port or 80, bodies) for _ in range(IN_FLIGHT))
    )
    return sum(counts)


async def _send_some(host: str, port: int, bodies: Iterator[tuple[str, bytes]]) -> int:
    """Send, over one connection, the requests that nobody else has taken."""
    reader, writer = await asyncio.open_connection(host, port)
    count = 0
    for path, body in bodies:
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.decode())
        size = int(answer.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(size)
        count += 1
    writer.close()
    return count


def main() -> None:
    """Sync once; print the number of requests."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--api", required=True)
    parser.add_argument("--object", choices=("list", "user"), required=True)
    options = parser.parse_args()
    with opened(options.url) as database:
        print(sync(database, options.object, options.api))  # noqa: T201 - a program


if __name__ == "__main__":
    main()
