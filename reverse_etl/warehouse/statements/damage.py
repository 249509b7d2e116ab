"""What tells tables that were changed by hand, and what mends them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Insert,
    String,
    Update,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import FromClause, Table

    from reverse_etl.warehouse.sql import Chosen

# In ``sync_state.snapshot_rows``: the base is not to be trusted before a full run has committed.
DISTRUSTED = -1

# A run of one of these states has committed; the others may have.
_COMMITTED = ("delivering", "succeeded", "completed_with_failures")


def known_runs(runs: Table, sync_name: str) -> Chosen:
    """The newest run, and the newest one that is certain to have committed; NULL for none."""
    run = runs.c.sync_run_id
    committed = func.max(case((runs.c.status.in_(_COMMITTED), run)))
    return select(func.max(run), committed).where(runs.c.sync_name == sync_name)


def which_are_known(runs: Table, sync_name: str, run_ids: Collection[int]) -> Chosen:
    """Those of some runs that have a row."""
    row = runs.c
    return select(row.sync_run_id).where(
        row.sync_name == sync_name, row.sync_run_id.in_(list(run_ids))
    )


def has_finished(runs: Table, sync_name: str, run_id: int) -> Chosen:
    """Whether a run ended in order: how many rows say so."""
    row = runs.c
    return (
        select(func.count())
        .select_from(runs)
        .where(
            row.sync_name == sync_name,
            row.sync_run_id == run_id,
            row.status.in_(["succeeded", "completed_with_failures"]),
        )
    )


def count_rows_of(*tables: FromClause) -> Chosen:
    """Count the rows of several tables, each in a column of its own."""
    counts = [select(func.count()).select_from(table).scalar_subquery() for table in tables]
    return select(*counts)


def distrust(state: Table) -> Update:
    """Trust the base of no sync any more: what was left open in a lost table is not known."""
    return (
        update(state).where(state.c.committed_run_id.is_not(None)).values(snapshot_rows=DISTRUSTED)
    )


def mend_state(state: Table, sync_name: str, token: int, values: Mapping[str, Any]) -> Update:
    """Change the sync's row under the token of its lease."""
    mine = [state.c.sync_name == sync_name, state.c.lease_token == token]
    return update(state).where(*mine).values(**values, snapshot_rows=DISTRUSTED)


def keep_logged(  # noqa: PLR0913 - the tables, and of which run
    residue: Table, log: Table, failed: FromClause, *, sync_name: str, run_id: int, since: int
) -> Insert:
    """Keep as residue who was sent with success and not taken away since, as the log says.

    Args:
        residue: Where they are kept: the next planning removes those who left the source.
        log: ``sync_log``.
        failed: ``failed_records``: who is named there is due anyway.
        sync_name: The sync.
        run_id: The run as whose residue they are kept.
        since: The first run whose lines speak of the present list or project for certain.
    """
    row = log.c
    sent = func.max(case((row.operation.in_(["insert", "update"]), row.sync_run_id)))
    taken = func.max(case((row.operation == "delete", row.sync_run_id)))
    known = select(residue.c.identity).where(
        residue.c.sync_name == sync_name, residue.c.sync_run_id == run_id
    )
    open_anyway = select(failed.c.identity).where(
        failed.c.sync_name == sync_name, failed.c.identity.is_not(None)
    )
    chosen = (
        select(
            literal(sync_name),
            literal(run_id),
            row.identity,
            cast(null(), String),
            func.max(row.primary_key),
        )
        .where(
            row.sync_name == sync_name,
            row.sync_run_id >= since,
            row.status == "succeeded",
            row.identity.not_in(known),
            row.identity.not_in(open_anyway),
        )
        .group_by(row.identity)
        .having(sent > func.coalesce(taken, 0))
    )
    names = ["sync_name", "sync_run_id", "identity", "alias", "primary_key"]
    return insert(residue).from_select(names, chosen)
