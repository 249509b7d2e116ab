"""A DAG of Airflow 3 with one task for each sync; put it into the folder of your DAGs.

The tasks call the command. So reverse-etl may live in an environment of its own, and the versions
that Airflow's constraints ask for do not matter to it. The workers need these variables:

    REVERSE_ETL_COMMAND   path of the command, if it is not on the PATH
    REVERSE_ETL_CONFIG    path of the config; the command reads it
    ITERABLE_API_KEY ...  what the config names as ${...}, or a file .env beside it

Leave the schedules of these syncs out of the config (or at `type: manual`): Airflow is the clock.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess  # nosec B404
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, get_current_context, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

SYNCS = ("vip_customers",)

# What becomes of an exit code; the reasons are in docs/orchestrators.md. Those that are not here
# (2 config, 4 held by the brake) wait for a person: trying again would change nothing.
DONE = {0, 3}
TRIED_AGAIN = {1, 5, 130, 143}

# Not `error`: the brake names some of those who would leave, and XComs are for many eyes.
COUNTS = (
    "run_id",
    "status",
    "planned",
    "succeeded",
    "failed",
    "retries",
    "invalid",
    "duplicates",
    "failed_records_open",
    "requests",
    "error_code",
)

logger = logging.getLogger(__name__)


@task
def run_sync(sync: str) -> None:
    """Run one sync, push what it did, and tell Airflow what to make of it.

    When Airflow ends a task it signals the command too, which then ends in order; where it does
    not come to that, the next run settles what is left.

    Raises:
        AirflowException: The run failed or found another one active; Airflow tries again.
        AirflowFailException: Somebody has to look; Airflow does not try again.
    """
    command = [os.environ.get("REVERSE_ETL_COMMAND", "reverse-etl"), "run-sync", sync, "--json"]
    # No shell. Standard error, which is the log, goes to the log of the task.
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)  # nosec B603
    report = json.loads(ended.stdout or "{}")  # nothing when it was killed
    counts: dict[str, Any] = {name: report[name] for name in COUNTS if name in report}
    get_current_context()["ti"].xcom_push(key="counts", value=counts)
    reason = counts.get("error_code") or counts.get("status") or "no report"
    told = f"{sync}: exit code {ended.returncode} ({reason})"
    if ended.returncode in TRIED_AGAIN or ended.returncode < 0:
        raise AirflowException(told)
    if ended.returncode not in DONE:
        raise AirflowFailException(f"{told}; another try would end the same, the log says why")
    if ended.returncode:
        logger.warning("%s; see `reverse-etl failures %s`", told, sync)


@dag(
    schedule="30 * * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    # A run sends what changed since the last one, so runs for hours that are gone have no work;
    # nor do two at once: the second would find the sync busy.
    catchup=False,
    max_active_runs=1,
    # A DuckDB file is held by one run at a time. If your syncs share one: max_active_tasks=1
    default_args={"retries": 3, "retry_delay": timedelta(minutes=5)},
    tags=["reverse-etl"],
)
def reverse_etl() -> None:
    """Keep the destinations equal to the warehouse."""
    # Tasks that build the tables go before these: build() >> run_sync.override(...)(...)
    for sync in SYNCS:
        run_sync.override(task_id=sync)(sync)


reverse_etl()
