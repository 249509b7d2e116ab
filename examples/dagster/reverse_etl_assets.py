"""Syncs as assets of Dagster: ``dagster dev -f reverse_etl_assets.py``.

reverse-etl is called by its Python API, in the process of the step. The code location needs these
variables:

    REVERSE_ETL_CONFIG    path of the config; config.yaml if not set
    ITERABLE_API_KEY ...  what the config names as ${...}, or a file .env beside it

Leave the schedules of these syncs out of the config (or at `type: manual`): Dagster is the clock.
"""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context`.
import os

import dagster as dg

import reverse_etl

SYNCS = ("vip_customers",)

# What becomes of an exit code; the reasons are in docs/orchestrators.md. Those that are not here
# (2 config, 4 held by the brake) wait for a person: trying again would change nothing.
DONE = {0, 3}
TRIED_AGAIN = {1, 5, 130, 143}


def sync_asset(sync: str) -> dg.AssetsDefinition:
    """Return the asset that stands for a sync: the list, or the profiles, at the destination."""

    # What the query reads is upstream: deps=["customers"]. A DuckDB file is held by one run at a
    # time: if your syncs share one, give them a pool= of one slot.
    @dg.asset(
        name=sync,
        group_name="reverse_etl",
        retry_policy=dg.RetryPolicy(max_retries=3, delay=300),
    )
    def run(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        config = os.environ.get("REVERSE_ETL_CONFIG", "config.yaml")
        try:
            summary = reverse_etl.run_sync(config, sync)
        except reverse_etl.ConfigError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        metadata = metadata_of(summary)
        if summary.exit_code not in DONE:
            raise dg.Failure(
                summary.sentence(),  # names nobody; `summary.error` may
                metadata=metadata,
                allow_retries=summary.exit_code in TRIED_AGAIN,
            )
        if summary.exit_code:
            context.log.warning("some records failed; see `reverse-etl failures %s`", sync)
        return dg.MaterializeResult(metadata=metadata)

    return run


def metadata_of(summary: reverse_etl.RunSummary) -> dict[str, str | int]:
    """Return what a run did, flat: Dagster draws a curve for each number."""
    planned = {f"{one.value}s_planned": count for one, count in summary.planned.items()}
    succeeded = {f"{one.value}s_succeeded": count for one, count in summary.succeeded.items()}
    failed = {f"{one.value}s_failed": count for one, count in summary.failed.items()}
    return {
        "status": summary.status,
        "run_id": summary.run_id or 0,
        **planned,
        **succeeded,
        **failed,
        "failed_records_open": summary.failed_records_open,
        "requests": summary.requests,
    }


assets = [sync_asset(sync) for sync in SYNCS]
defs = dg.Definitions(
    assets=assets,
    schedules=[dg.ScheduleDefinition("reverse_etl", cron_schedule="30 * * * *", target=assets)],
)
