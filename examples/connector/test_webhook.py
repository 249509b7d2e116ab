"""The webhook held against the suite for connectors, and in real runs, with a real endpoint."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from reverse_etl_webhook import PeopleSettings, WebhookAccount, WebhookConnector

from reverse_etl.connector import (
    AccountSettings,
    DestinationObject,
    FieldMapping,
    MappedField,
    Operation,
)
from reverse_etl.testing.connector_suite import SECRET, ConnectorSuite, StandIn

CONFIG = Path(__file__).with_name("config.yaml")

UNAUTHORIZED, NOT_FOUND = 401, 404


# --- the endpoint --------------------------------------------------------------------------


class Endpoint(ThreadingHTTPServer):
    """An endpoint on the loopback, as the module under test describes it.

    Attributes:
        people: E-mail address to the record that was posted last.
        plans: The plans that there are; None for any.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.people: dict[str, dict[str, Any]] = {}
        self.plans: set[str] | None = None
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()

    def take(self, asked: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
        """Change the people; say what was accepted."""
        for record in asked.get("remove", []):
            self.people.pop(record["email"], None)
        refused = []
        for index, record in enumerate(asked.get("upsert", [])):
            if self.plans is not None and record["plan"] not in self.plans:
                refused.append({"index": index, "reason": f"there is no plan {record['plan']}"})
            else:
                self.people[record["email"]] = record
        count = sum(map(len, asked.values()))
        return {"accepted": count - len(refused), "refused": refused}


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Endpoint

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Authorization"] != f"Bearer {SECRET}":
            self.answer(UNAUTHORIZED, {"error": "who are you?"})
        elif self.path != "/people":
            self.answer(NOT_FOUND, {"error": "there is nothing here"})
        else:
            self.answer(200, self.server.take(json.loads(body)))

    def answer(self, status: int, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
        """Keep quiet."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    running = Endpoint()
    yield running
    running.close()


# --- the suite -----------------------------------------------------------------------------


def address(person: int) -> str:
    return f"p{person}@example.com"


class Webhook(StandIn):
    """The endpoint, and what the suite has to know of it."""

    connector = WebhookConnector()

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.url = endpoint.url

    def account(self, url: str, **keys: Any) -> AccountSettings:
        known = {"type": "webhook", "api_key": SECRET, "base_url": url}
        return WebhookAccount.model_validate(known | keys)

    def bind(self, account: AccountSettings) -> DestinationObject:
        settings = PeopleSettings(name="crm", object="people")
        fields = [MappedField("plan", "plan"), MappedField("score", "score", null="clear")]
        mapping = FieldMapping({"email": "email"}, fields)
        return self.connector.bind(account, settings, mapping, "mirror")

    def changes(self, operation: Operation, people: Sequence[int]) -> pa.RecordBatch:
        del operation
        return rows([address(person) for person in people], [0.5] * len(people))

    def unsendable(self, operation: Operation) -> pa.RecordBatch:
        if operation is Operation.DELETE:
            return rows(["nobody", "a b@example.com"], [0.5, 0.5])
        return rows(["nobody", address(0), address(1)], [0.5, math.nan, math.inf])

    def named_in(self, body: bytes) -> list[int]:
        records = [each for part in json.loads(body).values() for each in part]
        return [number_in(record["email"]) for record in records]

    def put(self, people: Sequence[int]) -> None:
        for person in people:
            self.endpoint.people[address(person)] = {"email": address(person)}

    def present(self) -> set[int]:
        return {number_in(email) for email in self.endpoint.people}

    def state(self) -> object:
        return dict(self.endpoint.people)


def rows(identities: Sequence[str], scores: Sequence[float]) -> pa.RecordBatch:
    """Return changes as the engine hands them over."""
    count = len(identities)
    return pa.record_batch(
        {
            "_identity": pa.array(identities, pa.string()),
            "_alias": pa.nulls(count, pa.string()),
            "plan": pa.array(["gold"] * count, pa.string()),
            "score": pa.array(scores, pa.float64()),
        }
    )


def number_in(email: str) -> int:
    return int(re.findall(r"^p(\d+)@", email)[0])


class TestWebhook(ConnectorSuite):
    @pytest.fixture
    def stand_in(self, endpoint: Endpoint) -> StandIn:
        return Webhook(endpoint)


# --- real runs -----------------------------------------------------------------------------


class Shop:
    """A folder with the config of this example and a table of customers."""

    def __init__(self, folder: Path, endpoint: Endpoint) -> None:
        self.folder = folder
        self.variables = {"WEBHOOK_URL": endpoint.url, "WEBHOOK_KEY": SECRET}
        shutil.copy(CONFIG, folder)
        self.sql("create table customers (id integer, email text, plan text)")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.folder / "shop.duckdb")) as connection:
            return connection.execute(statement).fetchall()

    def run(self, *words: str) -> dict[str, Any]:
        """Run a command as a process of its own; return its JSON document."""
        done = subprocess.run(
            [sys.executable, "-m", "reverse_etl", *words, "--json"],
            cwd=self.folder,
            env=os.environ | self.variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert SECRET not in done.stdout + done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        return {**said, "exit_code": done.returncode}


@pytest.fixture
def shop(tmp_path: Path, endpoint: Endpoint) -> Shop:
    return Shop(tmp_path, endpoint)


def test_a_run_keeps_the_endpoint_equal_to_the_table(shop: Shop, endpoint: Endpoint) -> None:
    shop.sql("insert into customers values (1, 'Ada@example.com', 'x'), (2, 'bo@example.com', 'x')")
    assert shop.run("run-sync", "customers")["exit_code"] == 0
    shop.sql("update customers set plan = 'gold' where id = 1")
    shop.sql("delete from customers where id = 2")
    shop.sql("insert into customers values (3, 'cy@example.com', null)")
    run = shop.run("run-sync", "customers")
    assert run["succeeded"] == {"insert": 1, "update": 1, "delete": 1}
    assert endpoint.people == {
        "ada@example.com": {"email": "ada@example.com", "plan": "gold"},
        "cy@example.com": {"email": "cy@example.com"},
    }


def test_who_is_refused_is_named_and_costs_nobody_else(shop: Shop, endpoint: Endpoint) -> None:
    endpoint.plans = {"free"}
    shop.sql("insert into customers values (1, 'a@example.com', 'free'), (2, 'b@example.com', 'x')")
    assert shop.run("run-sync", "customers")["exit_code"] == 3
    assert set(endpoint.people) == {"a@example.com"}
    reasons = shop.sql("select identity, error_reason from reverse_etl.failed_records")
    assert reasons == [("b@example.com", "there is no plan x")]


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("{email: email}", "{id: id}", "map identifiers.email"),
        ("{plan: plan}", "{email: email}", "map it under identifiers"),
        ("{plan: plan}", "{plan: {column: plan, type: string}}", "cast the column in SQL"),
        ("${WEBHOOK_URL}", "http://crm.example.com", "must be an https URL"),
        ("${WEBHOOK_URL}", "https://crm.example.com/?key=1", "and nothing else"),
        ("api_key: ${WEBHOOK_KEY}", "# without", "an API key is required"),
    ],
)
def test_what_the_config_may_not_say(shop: Shop, right: str, wrong: str, said: str) -> None:
    path = shop.folder / "config.yaml"
    path.write_text(path.read_text().replace(right, wrong, 1))
    told = shop.run("validate")
    assert told["exit_code"] == 2
    (problem,) = told["problems"]
    assert said in problem


@pytest.mark.parametrize(
    ("command", "exit_code", "said"),
    [
        ("check", 0, "its connector has no questions for a check"),
        ("lists crm", 2, "type webhook has no lists"),
        ("audit customers", 2, "the connector webhook cannot ask what the destination holds"),
        ("audit customers --repair", 2, "the connector webhook cannot ask"),
        ("sandbox --connector webhook", 2, "the connector webhook has no sandbox"),
    ],
)
def test_what_it_leaves_out_is_said(shop: Shop, command: str, exit_code: int, said: str) -> None:
    told = shop.run(*command.split())
    assert told["exit_code"] == exit_code
    assert said in str(told)
