"""Whole runs in Snowflake's SQL, executed by an emulator over HTTP, with the real driver.

The emulator (fakesnow) translates each statement for DuckDB. So this shows that the driver, the
dialect and the order of the statements fit together and that their SQL can be parsed as
Snowflake's; what they *mean* here is what DuckDB means by them. The service itself was never asked.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from connectors.iterable.sandbox import Fault, Sandbox
from reverse_etl.config import load_config
from reverse_etl.connector import AccountSettings, Operation
from reverse_etl.delivery.transport import Transport
from reverse_etl.ports import Ports, http_transport
from reverse_etl.report import RunSummary
from reverse_etl.run import Options, run_sync
from reverse_etl.testing.patience import PatientClock, PatientTransport

fakesnow = pytest.importorskip("fakesnow", reason="no emulator of Snowflake here: fakesnow")
pytest.importorskip("snowflake.sqlalchemy", reason="no driver of Snowflake here")

KEY = "sandbox-key"
LIST = "VIP customers"

pytestmark = pytest.mark.filterwarnings("default")  # the emulator's and the driver's own


@dataclass
class Shop:
    """A table in the emulator, a sandbox, and a config that leads from one to the other."""

    url: str
    sandbox: Sandbox
    folder: Path
    query: str = "select id, email, plan, score from people where plan <> '5%:x'"

    def execute(self, *statements: str) -> list[Any]:
        url = sa.make_url(self.url).difference_update_query(["protocol"])
        engine = sa.create_engine(url, connect_args={"protocol": "http"})
        rows: list[Any] = []
        with engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement)
                rows = list(result.all()) if result.returns_rows else []
            connection.commit()
        engine.dispose()
        return rows

    def run(self, **options: Any) -> RunSummary:
        document = {
            "warehouses": {
                "shop": {"url": self.url, "schema": "reverse_etl", "control": "kept"},
                "kept": {"url": f"duckdb:///{self.folder / 'kept.duckdb'}"},
            },
            "destinations": {
                "iterable": {
                    "type": "iterable",
                    "api_key": KEY,
                    "base_url": self.sandbox.url,
                    "project_type": "email",
                    "requests_per_second": 0,
                },
            },
            "syncs": {
                "vip": {
                    "source": {
                        "warehouse": "shop",
                        "query": self.query,
                        "primary_key": "id",
                    },
                    "destination": {"name": "iterable", "object": "list", "list": {"name": LIST}},
                    "identifiers": {"email": "email"},
                    "fields": {"plan": "plan", "score": "score"},
                    "mode": "mirror",
                    "max_delete_percent": 100,
                },
            },
        }
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        clock = PatientClock()
        ports = Ports(
            clock,
            random.Random(7),
            transport=lambda account: _patient(account, clock),
            stop=lambda: False,
        )
        return run_sync(load_config(path, {}), "vip", Options(**options), ports)

    def members(self) -> set[str]:
        state = self.sandbox.state
        return state.members(state.list_named(LIST).id)


def _patient(account: AccountSettings, clock: PatientClock) -> Transport:
    return PatientTransport(http_transport(account), clock)


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, Any]]:
    with fakesnow.server() as started:
        yield started


@pytest.fixture
def url(server: dict[str, Any], request: pytest.FixtureRequest) -> str:
    parts = sa.URL.create(
        "snowflake",
        server["user"],
        server["password"],
        server["host"],
        server["port"],
        f"{request.node.name[:40]}/public",
    )
    query = {"account": server["account"], "protocol": "http"}
    return parts.update_query_dict(query).render_as_string(hide_password=False)


@pytest.fixture
def shop(url: str, tmp_path: Path) -> Iterator[Shop]:
    with Sandbox(api_key=KEY) as sandbox:
        found = Shop(url, sandbox, tmp_path)
        found.execute("create table people (id integer, email varchar, plan varchar, score double)")
        yield found


def test_a_list_follows_the_query_through_its_life(shop: Shop) -> None:
    shop.execute(
        "insert into people values (1, 'Ann@x.org', 'gold', 1.5), (2, ' bo@x.org ', null, 2),"
        " (3, 'cy@x.org', '50% off''s \\\\ best', null), (4, 'nobody', 'gold', 1)"
    )
    first = shop.run()
    # One row has no address, which is a failed record; one has no plan and is not in the query.
    assert (first.status, first.planned[Operation.INSERT]) == ("completed_with_failures", 2)
    assert shop.members() == {"ann@x.org", "cy@x.org"}

    assert shop.run().requests == 0

    shop.execute("update people set plan = 'gold' where id = 2", "delete from people where id = 3")
    second = shop.run()
    assert second.status == "succeeded"
    assert shop.members() == {"ann@x.org", "bo@x.org"}

    lines = shop.execute(
        'select "operation", "identity", "status" from "reverse_etl"."sync_log" order by 1, 2'
    )
    assert [tuple(line) for line in lines if line[2] == "succeeded"] == [
        ("delete", "cy@x.org", "succeeded"),
        ("insert", "ann@x.org", "succeeded"),
        ("insert", "bo@x.org", "succeeded"),
        ("insert", "cy@x.org", "succeeded"),
    ]


def test_who_was_refused_is_kept_with_the_reason_and_sent_again(shop: Shop) -> None:
    shop.execute(
        r"insert into people values (1, 'ann@x.org', '50%% \\ it''s', 1), (2, 'bo@x.org', 'b', 2)"
    )
    shop.sandbox.faults = (
        Fault("refuse", match="/api/lists/subscribe", identifiers=("bo@x.org",), bucket="notFound"),
    )
    first = shop.run()
    assert (first.status, first.failed_records_open) == ("completed_with_failures", 1)
    assert shop.members() == {"ann@x.org"}

    shop.sandbox.faults = ()
    second = shop.run()
    assert (second.status, second.planned[Operation.INSERT]) == ("succeeded", 1)
    assert shop.members() == {"ann@x.org", "bo@x.org"}
    profile = shop.sandbox.state.profile("ann@x.org")
    assert profile is not None
    assert profile.fields["plan"] == r"50%% \ it's"


def test_a_query_that_fails_is_blamed(shop: Shop) -> None:
    shop.query = "select id, email, plan, score from nowhere"
    report = shop.run()
    assert (report.status, report.error_code) == ("failed", "source_error")
    assert "NOWHERE" in str(report.error).upper()
