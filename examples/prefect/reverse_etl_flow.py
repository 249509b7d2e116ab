"""Syncs as a flow of Prefect 3: ``python reverse_etl_flow.py`` runs it once.

reverse-etl is called by its Python API, in the process of the flow, which needs these variables:

    REVERSE_ETL_CONFIG    path of the config; config.yaml if not set
    ITERABLE_API_KEY ...  what the config names as ${...}, or a file .env beside it

Leave the schedules of these syncs out of the config (or at `type: manual`): Prefect is the clock.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, task

import reverse_etl

if TYPE_CHECKING:
    from prefect import State, Task
    from prefect.client.schemas.objects import TaskRun

SYNCS = ("vip_customers",)

# What becomes of an exit code; the reasons are in docs/orchestrators.md. Those that are not here
# (2 config, 4 held by the brake) wait for a person: trying again would change nothing.
DONE = {0, 3}
TRIED_AGAIN = {1, 5, 130, 143}


class SyncNotDoneError(Exception):
    """A run that did not deliver what it had planned.

    Attributes:
        exit_code: What the command would have ended with.
    """

    def __init__(self, reason: str, exit_code: int) -> None:
        """Keep both."""
        super().__init__(reason)
        self.exit_code = exit_code


async def is_tried_again(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether another try may help."""
    error = await state.aresult(raise_on_failure=False)
    return isinstance(error, SyncNotDoneError) and error.exit_code in TRIED_AGAIN


@task(
    task_run_name="{sync}",
    retries=3,
    retry_delay_seconds=[60, 300, 900],
    retry_condition_fn=is_tried_again,
)
def run_sync(sync: str) -> dict[str, Any]:
    """Run one sync.

    Returns:
        What it did, as JSON values.

    Raises:
        SyncNotDoneError: It failed, was held, or found another run active.
        ConfigError: The config cannot be used.
    """
    summary = reverse_etl.run_sync(os.environ.get("REVERSE_ETL_CONFIG", "config.yaml"), sync)
    if summary.exit_code not in DONE:
        raise SyncNotDoneError(summary.sentence(), summary.exit_code)
    logger = get_run_logger()
    logger.info(summary.sentence())
    if summary.exit_code:
        logger.warning("some records failed; see `reverse-etl failures %s`", sync)
    return summary.document()


@flow(name="reverse-etl")
def run_syncs(syncs: tuple[str, ...] = SYNCS) -> list[State[Any]]:
    """Run syncs one after the other; one that is not done costs the others nothing.

    Returns:
        How each ended; the flow has failed when one has.
    """
    return [run_sync(sync, return_state=True) for sync in syncs]


if __name__ == "__main__":
    # Every hour, for as long as this goes on: run_syncs.serve(cron="30 * * * *", limit=1)
    sys.exit(not all(state.is_completed() for state in run_syncs()))
