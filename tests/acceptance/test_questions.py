"""The queries of docs/tables.md, asked after runs with failures and removals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from connectors.iterable.sandbox import Fault, Sandbox
from reverse_etl.config import load_config
from reverse_etl.ports import Ports
from reverse_etl.run import Options, run_sync
from reverse_etl.testing.patience import PatientClock

if TYPE_CHECKING:
    from tests.world import Database

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
VIP, NEWSLETTER = "vip_customers", "newsletter"
COLUMNS = ("customer_id", "email", "plan", "lifetime_value")
KEY = "sandbox-key"


BEFORE_THE_FIRST = datetime(2026, 10, 29, 6)  # noqa: DTZ001 - our tables hold UTC without a zone


def ended(run: int) -> datetime:
    """When a run ended: one on each day, the third one on the first of November."""
    return BEFORE_THE_FIRST + timedelta(days=run)


@dataclass
class Story:
    """Two syncs of one table, and what becomes of the people in it."""

    database: Database
    sandbox: Sandbox
    folder: Path
    people: dict[int, tuple[str | None, str, int]] = field(default_factory=dict)

    def run(self, name: str, *refused: tuple[str, str]) -> None:
        """Run a sync while some people are refused, each for a reason."""
        self.sandbox.faults = tuple(
            Fault("refuse", identifiers=(address,), bucket=bucket) for address, bucket in refused
        )
        self.fill()
        self.database.release()
        report = run_sync(self._config(), name, Options(), Ports(PatientClock()))
        assert report.status == "completed_with_failures"  # of Eve, or of a row without address

    def fill(self) -> None:
        """Let the table hold the people as they are now."""
        rows = [(number, *person) for number, person in self.people.items()]
        self.database.replace("customers", COLUMNS, rows)

    def members(self, name: str) -> set[str]:
        """Return who is on the list of a sync."""
        return self.sandbox.state.members(self.sandbox.state.list_named(name).id)

    def _config(self) -> Any:
        account = {"type": "iterable", "api_key": KEY, "base_url": self.sandbox.url}
        conditions = {VIP: "lifetime_value > 1000", NEWSLETTER: "plan = 'gold'"}
        document = {
            "warehouses": self.database.warehouses(),
            "destinations": {"iterable": account},
            "syncs": {name: self._sync(name, condition) for name, condition in conditions.items()},
        }
        path = self.folder / "config.yaml"
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return load_config(path, {"WAREHOUSE_URL": self.database.url})

    @staticmethod
    def _sync(name: str, condition: str) -> dict[str, Any]:
        query = f"select customer_id, email, plan from customers where {condition}"  # noqa: S608
        return {
            "source": {"warehouse": "local", "query": query, "primary_key": "customer_id"},
            "destination": {"name": "iterable", "object": "list", "list": {"name": name}},
            "identifiers": {"email": "email"},
            "fields": {"plan": "plan"},
            "observability": {"snapshots_to_keep": 10},
            "max_delete_percent": 100,
        }

    def spread_over_days(self) -> None:
        """Let each run have ended on a day of its own: the first after ten seconds, and so on."""
        for run in range(1, 8):
            moment = f"timestamp '{ended(run)}'"
            begun = f"{moment} - interval '{10 * run}' second"
            for change in (
                f"sync_log set sync_finished_at = {moment} where sync_run_id",
                f"sync_runs set finished_at = {moment}, started_at = {begun} where sync_run_id",
                f"failed_records set first_failed_at = {moment} where first_failed_run_id",
                f"failed_records set last_failed_at = {moment} where last_failed_run_id",
            ):
                self.database.sql(f"update reverse_etl.{change} = {run}")


@pytest.fixture
def story(database: Database, tmp_path: Path) -> Iterator[Story]:
    """A customer base and an Iterable without lists."""
    database.sql(
        "create table customers"
        " (customer_id integer, email text, plan text, lifetime_value integer)"
    )
    with Sandbox("email") as sandbox:
        yield Story(database, sandbox, tmp_path)
    database.release()


ADA, BOB, CY, DAN, EVE, FAY = (
    f"{name}@example.com" for name in ("ada", "bob", "cy", "dan", "eve", "fay")
)
EVE_IS_UNKNOWN = (EVE, "notFound")


def play(story: Story) -> None:
    """Eve is refused in each run, Bob and Ada leave, Cy leaves and stays on the list."""
    people = story.people
    people |= {1: (ADA, "gold", 5000), 2: (BOB, "free", 2000), 3: (CY, "gold", 2000)}
    people |= {4: (None, "gold", 9000), 5: (EVE, "free", 3000), 6: (f" {BOB}", "gold", 4000)}
    story.run(VIP, EVE_IS_UNKNOWN)
    people[7] = (DAN, "free", 1500)
    story.run(VIP, EVE_IS_UNKNOWN)
    story.run(VIP, EVE_IS_UNKNOWN)
    del people[2], people[6]
    story.run(VIP, EVE_IS_UNKNOWN)
    people[3] = (CY, "gold", 10)
    story.run(VIP, EVE_IS_UNKNOWN, (CY, "invalidData"))
    story.run(VIP, EVE_IS_UNKNOWN)
    people[7], people[8] = (DAN, "gold", 1500), (FAY, "free", 7000)
    del people[1]
    story.run(VIP, EVE_IS_UNKNOWN)
    story.run(NEWSLETTER)
    assert story.members(VIP) == {CY, DAN, FAY}
    people[8] = (FAY, "free", 70)
    story.fill()
    story.spread_over_days()


def asked() -> dict[str, str]:
    """Return the queries of the page by their questions."""
    _, part = PAGE.read_text(encoding="utf-8").split("\n## Questions and their queries\n")
    found = re.findall(r"^([A-Z][^?`]+\?).*?```sql\n(.+?);\n```", part, re.MULTILINE | re.DOTALL)
    assert len(found) == part.count("```sql")
    return dict(found)


def answers(story: Story, query: str) -> list[tuple[Any, ...]]:
    """Return the rows; PostgreSQL has numerics where DuckDB has doubles."""
    rows = (row.values() for row in story.database.sql(query))
    return [tuple(float(x) if isinstance(x, Decimal) else x for x in row) for row in rows]


ANSWERS: dict[str, list[tuple[Any, ...]]] = {
    "Why did this person get that mail, and since when are they on the list?": [
        (1, "insert", "succeeded", None, None, ended(1)),
        (7, "delete", "succeeded", None, None, ended(7)),
    ],
    "Who is in the audience now?": [(EVE, "5"), (DAN, "7"), (FAY, "8")],
    "Who was added by which run, and when?": [
        (FAY, 7, ended(7)),
        (DAN, 2, ended(2)),
        (ADA, 1, ended(1)),
        (BOB, 1, ended(1)),
        (CY, 1, ended(1)),
    ],
    "Who joined and who left in run 7?": [("delete", ADA, "1"), ("insert", FAY, "8")],
    "What did run 7 plan, in the order of sending?": [
        ("delete", ADA, "1", False),
        ("insert", EVE, "5", True),
        ("insert", FAY, "8", False),
        ("update", DAN, "7", False),
    ],
    "What changed between two runs, for people who are in both?": [(DAN, "free", "gold")],
    "Who was on the list at a certain moment?": [(ADA,), (BOB,), (CY,), (DAN,)],
    "Which people are in two syncs at once?": [(DAN,)],
    "Who would leave if a run began now?": [(FAY,)],
    "Who is not where they should be, and why?": [
        ("missing_identifier", False, 1, ended(1)),
        ("not_found", True, 1, ended(1)),
        ("rejected", False, 1, ended(5)),
    ],
    "Who should be on the list, and failed?": [
        (EVE, "insert", "not_found", "Iterable does not know this person")
    ],
    "Who has left the query, and is still on the list because the removal failed?": [
        (CY, "rejected", "Iterable refused a value of its fields", ended(5))
    ],
    "Who fails again and again?": [(EVE, "not_found", 7, ended(1), ended(7))],
    "Which rows of the source cannot be sent?": [
        ("4", "missing_identifier", "no identifier: needs email (an e-mail address)", 1),
        (
            *("6", "duplicate_identity"),
            *("another row with the same identity goes first: primary key 2", 1),
        ),
    ],
    "Which failures are getting more?": [
        (ended(1).date(), "duplicate_identity", 1),
        (ended(1).date(), "missing_identifier", 1),
        *((ended(run).date(), "not_found", 1) for run in (1, 2, 3, 4, 5)),
        (ended(5).date(), "rejected", 1),
        *((ended(run).date(), "not_found", 1) for run in (6, 7)),
    ],
    "What did the last runs do?": [
        (7, "completed_with_failures", 1, 1, 1, None),
        (6, "completed_with_failures", 0, 0, 0, None),
        (5, "completed_with_failures", 0, 0, 0, None),
        (4, "completed_with_failures", 0, 0, 1, None),
        (3, "completed_with_failures", 0, 0, 0, None),
        (2, "completed_with_failures", 1, 0, 0, None),
        (1, "completed_with_failures", 3, 0, 0, None),
    ],
    "When did each sync succeed for the last time?": [(NEWSLETTER, ended(1)), (VIP, ended(7))],
    "How long do runs take?": [(NEWSLETTER, 1, 10.0, 10.0), (VIP, 7, 40.0, 70.0)],
    "How many people were sent per day?": [
        (ended(1).date(), "insert", 3),
        (ended(2).date(), "insert", 1),
        (ended(4).date(), "delete", 1),
        *((ended(7).date(), operation, 1) for operation in ("delete", "insert", "update")),
    ],
    "How did the list grow?": [
        (1, ended(1), 4, 3, 0),
        (2, ended(2), 5, 1, 0),
        (3, ended(3), 5, 0, 0),
        (4, ended(4), 4, 0, 1),
        (5, ended(5), 3, 0, 0),
        (6, ended(6), 3, 0, 0),
        (7, ended(7), 3, 1, 1),
    ],
}


def test_every_question_has_its_answer_here() -> None:
    assert list(asked()) == list(ANSWERS)


@pytest.mark.parametrize("database", ["duckdb", "postgresql"], indirect=True)
def test_the_answers(story: Story) -> None:
    play(story)
    for question, query in asked().items():
        found = answers(story, query)
        if "order by" not in query:
            found.sort(key=ANSWERS[question].index)
        assert found == ANSWERS[question], question
