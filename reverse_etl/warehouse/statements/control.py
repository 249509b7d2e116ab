"""The lease, the pointer to the last committed run, and the rows of ``sync_runs``.

Whoever changes ``sync_state`` names its fencing token; a statement that finds another token
changes nothing, and the caller stops. Only ``alerts`` and the first ``due_after`` need none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Delete,
    Insert,
    Update,
    and_,
    case,
    delete,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Table

    from reverse_etl.warehouse.sql import Chosen, Expression


def choose_failures(
    failed: Table,
    sync_name: str,
    *,
    error_code: str | None = None,
    primary_key: str | None = None,
    identity: str | None = None,
) -> list[Expression]:
    """Return the conditions of some failed records of a sync; all of them where none is given."""
    row = failed.c
    wanted = ((row.error_code, error_code), (row.primary_key, primary_key))
    named = [*wanted, (row.identity, identity)]
    return [row.sync_name == sync_name, *(c == value for c, value in named if value is not None)]


def touch(table: Table) -> tuple[Insert, Update, Delete]:
    """Return statements that need every right on a table and change none of its rows."""
    column = next(iter(table.c))
    return (
        insert(table).from_select(list(table.c), select(table).where(false())),
        update(table).where(false()).values({column: column}),
        delete(table).where(false()),
    )


def read_version(version: Table) -> Chosen:
    """Read the version of our tables; no row where somebody took it away."""
    return select(func.max(version.c.version))


def change_version(version: Table, before: int, after: int) -> Update:
    """Claim a migration: of two at once, only the first changes a row."""
    return update(version).where(version.c.version == before).values(version=after)


def held_leases(state: Table, now: Expression) -> Chosen:
    """Find the leases that are held and have not expired, in tables of any version."""
    row = state.c
    chosen = select(row.sync_name, row.lease_owner, row.lease_expires_at)
    return chosen.where(row.lease_expires_at > now).order_by(row.sync_name)


def committed_runs(state: Table) -> Chosen:
    """Find each sync's last committed run, in tables of any version."""
    row = state.c
    chosen = select(row.sync_name, row.committed_run_id)
    return chosen.where(row.committed_run_id.is_not(None)).order_by(row.sync_name)


def know_sync(state: Table, sync_name: str) -> Insert:
    """Make the sync's row when there is none."""
    there = select(state.c.sync_name).where(state.c.sync_name == sync_name).exists()
    row = select(literal(sync_name), literal(0), literal(0)).where(~there)
    return insert(state).from_select(["sync_name", "lease_token", "last_run_id"], row)


def take_lease(  # noqa: PLR0913 - the row, the new holder, and the two times it is about
    state: Table, sync_name: str, owner: str, now: Expression, until: Expression, *, force: bool
) -> Update:
    """Take the lease when it is free or expired (or ``force``, where a lock proves it dead)."""
    row = state.c
    statement = (
        update(state)
        .where(row.sync_name == sync_name)
        .values(lease_owner=owner, lease_token=row.lease_token + 1, lease_expires_at=until)
    )
    if force:
        return statement
    return statement.where(or_(row.lease_expires_at.is_(None), row.lease_expires_at < now))


def renew_lease(state: Table, sync_name: str, token: int, until: Expression) -> Update:
    """Keep the lease for a while longer."""
    return _mine(state, sync_name, token).values(lease_expires_at=until)


def give_lease_back(state: Table, sync_name: str, token: int) -> Update:
    """Let the next run in at once."""
    return _mine(state, sync_name, token).values(lease_owner=None, lease_expires_at=None)


def number_run(state: Table, sync_name: str, token: int) -> Update:
    """Use up the next run number."""
    return _mine(state, sync_name, token).values(last_run_id=state.c.last_run_id + 1)


def read_state(state: Table, sync_name: str) -> Chosen:
    """Read the sync's row."""
    return select(state).where(state.c.sync_name == sync_name)


def commit_run(  # noqa: PLR0913 - the commit point names all that it makes true
    state: Table,
    sync_name: str,
    token: int,
    *,
    run_id: int,
    send_limit: int,
    mapping: str,
    account: dict[str, Any],
    snapshot_rows: int | None = None,
    changes_rows: int | None = None,
    sync_log_retention_days: int | None = None,
    served: datetime | None = None,
) -> Update:
    """Point to this run: from here on it is the base, its plan the last one, its tick served."""
    ticks = {} if served is None else {"due_after": served}
    return _mine(state, sync_name, token).values(
        committed_run_id=run_id,
        position=0,
        send_limit=send_limit,
        requests_sent=0,
        mapping=mapping,
        snapshot_rows=snapshot_rows,
        changes_rows=changes_rows,
        sync_log_retention_days=sync_log_retention_days,
        **account,
        **ticks,
    )


def serve_tick(state: Table, sync_name: str, token: int, tick: datetime) -> Update:
    """Note a tick as served, without a commit: nothing changes but when the sync is due next."""
    return _mine(state, sync_name, token).values(due_after=tick)


def see_sync(state: Table, sync_name: str, now: datetime) -> Update:
    """Note when a scheduler first saw a sync; nothing changes where one has."""
    row = state.c
    return (
        update(state)
        .where(row.sync_name == sync_name, row.due_after.is_(None))
        .values(due_after=now)
    )


def hold_alerts(state: Table, sync_name: str) -> Update:
    """Keep others from changing what the webhooks were told, until the transaction ends."""
    return update(state).where(state.c.sync_name == sync_name).values(alerts=state.c.alerts)


def keep_alerts(state: Table, sync_name: str, alerts: str | None) -> Update:
    """Keep what the webhooks were told; needs no lease, as no run reads it."""
    return update(state).where(state.c.sync_name == sync_name).values(alerts=alerts)


def keep_target(
    state: Table, sync_name: str, token: int, target_id: str, created_at: datetime | None
) -> Update:
    """Keep the id of the list that was found or made."""
    return _mine(state, sync_name, token).values(
        target_id=target_id,
        target_created_at=created_at,
    )


def advance(  # noqa: PLR0913 - the row, and the three facts that become durable
    state: Table, sync_name: str, token: int, *, position: int, send_limit: int, requests_sent: int
) -> Update:
    """Confirm everything up to the position, and allow sending up to the limit."""
    return _mine(state, sync_name, token).values(
        position=position,
        send_limit=send_limit,
        requests_sent=requests_sent,
    )


def still_mine(state: Table, sync_name: str, token: int) -> Update:
    """Touch the row under the token: the guard at the end of a transaction."""
    return _mine(state, sync_name, token).values(lease_token=token)


def _mine(state: Table, sync_name: str, token: int) -> Update:
    return update(state).where(state.c.sync_name == sync_name, state.c.lease_token == token)


# --- sync_runs -----------------------------------------------------------------------------


def start_run(runs: Table, values: dict[str, Any]) -> Insert:
    """Write the row of a run that took the lease."""
    return insert(runs).values(values)


def change_run(runs: Table, sync_name: str, run_id: int, values: dict[str, Any]) -> Update:
    """Change the row of a run."""
    mine = [runs.c.sync_name == sync_name, runs.c.sync_run_id == run_id]
    return update(runs).where(*mine).values(values)


def unfinished_runs(runs: Table, sync_name: str) -> Chosen:
    """Find the runs that were killed."""
    row = runs.c
    return (
        select(row.sync_run_id, row.started_at)
        .where(row.sync_name == sync_name, row.status.in_(["planning", "delivering"]))
        .order_by(row.sync_run_id)
    )


def last_successes(runs: Table, sync_names: Collection[str]) -> Chosen:
    """Read when, and by which run, each sync last delivered its plan, and when it first tried."""
    row = runs.c
    delivered = row.status.in_(["succeeded", "completed_with_failures"])
    succeeded_at = func.max(case((delivered, row.finished_at))).label("succeeded_at")
    succeeded_run_id = func.max(case((delivered, row.sync_run_id))).label("succeeded_run_id")
    began_at = func.min(row.started_at).label("began_at")
    chosen = select(row.sync_name, succeeded_at, succeeded_run_id, began_at)
    return chosen.where(row.sync_name.in_(sync_names)).group_by(row.sync_name)


def last_endings(runs: Table, sync_names: Collection[str]) -> Chosen:
    """Read how the newest run of each sync ended that has ended."""
    row = runs.c
    newest = (
        select(row.sync_name, func.max(row.sync_run_id).label("sync_run_id"))
        .where(row.sync_name.in_(sync_names), row.finished_at.is_not(None))
        .group_by(row.sync_name)
        .subquery("newest")
    )
    same = and_(row.sync_name == newest.c.sync_name, row.sync_run_id == newest.c.sync_run_id)
    ending = (row.status, row.finished_at, row.failed_records_open)
    return select(row.sync_name, *ending).join(newest, same)


def last_runs(runs: Table, sync_name: str, limit: int) -> Chosen:
    """Read the newest runs of a sync."""
    rows = select(runs).where(runs.c.sync_name == sync_name)
    return rows.order_by(runs.c.sync_run_id.desc()).limit(limit)


def count_open(failed: Table, sync_name: str) -> Chosen:
    """Count the failed records of a sync."""
    return select(func.count()).select_from(failed).where(failed.c.sync_name == sync_name)


def read_failed(failed: Table, chosen: Collection[Expression], limit: int | None) -> Chosen:
    """Read failed records, the newest first; all of them without a limit."""
    row = failed.c
    rows = select(failed).where(*chosen).order_by(row.last_failed_run_id.desc(), row.identity)
    return rows if limit is None else rows.limit(limit)


def sample_failures(failed: Table, chosen: Collection[Expression], count: int) -> Chosen:
    """Read some failed records of each reason, the newest first."""
    row = failed.c
    newest = (row.last_failed_run_id.desc(), row.identity)
    place = func.row_number().over(partition_by=_reason(row), order_by=newest)
    placed = select(failed, place.label("place")).where(*chosen).subquery("placed")
    columns = [placed.c[column.name] for column in failed.c]
    return select(*columns).where(placed.c.place <= count).order_by(placed.c.place)


def failures_by_reason(failed: Table, chosen: Collection[Expression]) -> Chosen:
    """Count failed records by reason, and how many of them somebody asks for."""
    reason, asked = _reason(failed.c), func.count(failed.c.retry_requested_at)
    counted = select(*reason, func.count(), asked).where(*chosen).group_by(*reason)
    return counted.order_by(func.count().desc(), failed.c.error_code)


def _reason(row: Any) -> list[Expression]:  # noqa: ANN401 - columns
    """Return what tells the reasons of failed records apart: one code may be of two kinds."""
    return [row.error_code, row.retryable, row.unidentified]


def matching_failures(failed: Table, chosen: Collection[Expression]) -> Chosen:
    """Count failed records by error code and by whether they are rows without identifier."""
    by = (failed.c.error_code, failed.c.unidentified)
    return select(*by, func.count()).where(*chosen).group_by(*by).order_by(failed.c.error_code)


def request_retry(failed: Table, chosen: Collection[Expression], now: datetime) -> Update:
    """Let the next run plan failed records again; a row without identifier cannot be planned."""
    return update(failed).where(*chosen, ~failed.c.unidentified).values(retry_requested_at=now)


def forget_failed(failed: Table, sync_name: str) -> Delete:
    """Forget the failed records of a sync that starts anew elsewhere."""
    return delete(failed).where(failed.c.sync_name == sync_name)
