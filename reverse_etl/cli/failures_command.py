"""``failures``: failed records by their reason."""

from __future__ import annotations

import csv
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reverse_etl.cli.looking import document_of, next_tick_of, reading
from reverse_etl.cli.output import moment, visible
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, SyncArgument, session_of
from reverse_etl.cli.usable import chosen_syncs

if TYPE_CHECKING:
    from datetime import datetime

    from reverse_etl.config import SyncConfig
    from reverse_etl.warehouse.base import Transaction
    from reverse_etl.warehouse.sql import Expression

SAMPLES = 5
MOST_ROWS_OF_JSON = 1000

EXAMPLE = """\b
Examples:
  reverse-etl failures vip_customers
  reverse-etl failures vip_customers --reason rejected --limit 50
  reverse-etl failures vip_customers --csv > failed.csv"""
ReasonOption = Annotated[
    str | None,
    typer.Option(
        "--reason", metavar="CODE", help="Only those with this error code.", show_default=False
    ),
]

# Spreadsheets take a cell that begins so for a formula, and run it
# (https://owasp.org/www-community/attacks/CSV_Injection).
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")

_HIDDEN = ("alias", "fields")


def failures(  # noqa: PLR0913 - the options of the command
    ctx: typer.Context,
    sync: SyncArgument,
    *,
    reason: ReasonOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            help=f"Records of each reason. Default: {SAMPLES}; with --json, of all reasons "
            f"together: {MOST_ROWS_OF_JSON}; with --csv no limit.",
            show_default=False,
        ),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Every record as CSV, safe to open in a spreadsheet.")
    ] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Show failed records by their reason."""
    from reverse_etl.clock import SystemClock  # noqa: PLC0415 - as what reads the warehouse
    from reverse_etl.warehouse.statements import control  # noqa: PLC0415 - loads SQLAlchemy

    session = session_of(ctx, config, as_json=as_json)
    if as_csv and session.output.json:
        raise typer.BadParameter("--csv and --json are two forms of one thing: choose one")
    loaded = session.load()
    chosen_syncs(loaded, [sync], every=False)
    clock = SystemClock()
    configured = loaded.sync(sync)
    with reading(loaded, configured.source.warehouse, clock) as tx:
        failed = tx.warehouse.tables.failed
        chosen = control.choose_failures(failed, sync, error_code=reason)
        found = _Failures(tx, configured, chosen, next_tick_of(configured, clock.now()))
        if as_csv:
            _write_csv(found.each(limit))
            return 0
        by_code = found.by_code(limit or SAMPLES)
        total = sum(each["count"] for each in by_code)
        rows = list(found.each(limit or MOST_ROWS_OF_JSON)) if session.output.json else []
    document = {"sync": sync, "failed_records_open": total, "by_code": by_code, "failures": rows}
    session.output.document(document)
    _show(session, document, reason)
    return 0


class _Failures:
    """Failed records of a sync, as the tables have them now."""

    def __init__(
        self,
        tx: Transaction,
        sync: SyncConfig,
        chosen: Collection[Expression],
        next_tick: datetime | None,
    ) -> None:
        self._tx, self._sync, self._chosen, self._next_tick = tx, sync, chosen, next_tick
        self._is_known = tx.warehouse.is_prepared(tx)
        tx.state(sync.name)  # refuses a sync that has moved

    def by_code(self, samples: int) -> list[dict[str, Any]]:
        """Return the reasons, the most frequent first, each with some records."""
        from reverse_etl.warehouse.statements import control  # noqa: PLC0415 - loads SQLAlchemy

        if not self._is_known:
            return []
        failed, control_tx = self._tx.warehouse.tables.failed, self._tx.control
        sampled = control_tx.rows(control.sample_failures(failed, self._chosen, samples))
        records = list(map(self._record, sampled))
        reasons = []
        for code, retryable, unidentified, count, asked in control_tx.rows(
            control.failures_by_reason(failed, self._chosen)
        ):
            again = is_tried_again(self._sync, code, retryable=retryable) or asked == count
            reason = (code, retryable, unidentified)
            reasons.append(
                {
                    "error_code": code,
                    "retryable": retryable,
                    "unidentified": unidentified,
                    "count": count,
                    "retry_requested": asked,
                    "tried_again": again,
                    "next_step": next_step(again=again, unidentified=unidentified),
                    "samples": [each for each in records if _reason_of(each) == reason],
                },
            )
        return reasons

    def each(self, limit: int | None) -> Iterator[dict[str, Any]]:
        """Yield the records, the newest first."""
        from reverse_etl.warehouse.statements import control  # noqa: PLC0415 - loads SQLAlchemy

        if self._is_known:
            read = control.read_failed(self._tx.warehouse.tables.failed, self._chosen, limit)
            yield from map(self._record, self._tx.control.stream_rows(read))

    def _record(self, row: Any) -> dict[str, Any]:  # noqa: ANN401 - a Row
        record = document_of(row, leave_out=_HIDDEN)
        again = is_tried_again(self._sync, row.error_code, retryable=row.retryable)
        again = again or row.retry_requested_at is not None
        when = moment(self._next_tick) if again else None
        return {**record, "tried_again": again, "next_try_at": when}


def is_tried_again(sync: SyncConfig, code: str, *, retryable: bool) -> bool:
    """Return whether the next run plans it, whatever the source says (design: "due")."""
    return code == "unknown" or (retryable and sync.retry_failed_records)


def _reason_of(record: Mapping[str, Any]) -> tuple[object, ...]:
    return record["error_code"], record["retryable"], record["unidentified"]


def next_step(*, again: bool, unidentified: bool) -> str:
    """Return what becomes of failed records of a reason."""
    if again:
        return "the next run tries it again"
    if unidentified:
        return "waits until its values change in the source"
    return "waits until its values change in the source, for retry, or for run-sync --full"


def _show(session: Session, found: Mapping[str, Any], reason: str | None) -> None:
    output = session.output
    sync, total = found["sync"], found["failed_records_open"]
    with_reason = f" with the reason {reason}" if reason else ""
    if not total:
        output.say(f"{sync}: no failed records{with_reason}", "green")
        return
    records = f"{total} failed record{'' if total == 1 else 's'}{with_reason}"
    output.say(f"{sync}: {records}", "yellow")
    counts = [[_count(each), each["error_code"], each["next_step"]] for each in found["by_code"]]
    output.table(["count", "reason", "what happens next"], counts, "  ")
    for each in found["by_code"]:
        output.say()
        _show_samples(session, each)
    output.say()
    _show_next_commands(session, sync, found["by_code"])


def _count(reason: Mapping[str, Any]) -> str:
    asked = reason["retry_requested"]
    return f"{reason['count']}" + (f" ({asked} asked for)" if asked else "")


def _show_samples(session: Session, reason: Mapping[str, Any]) -> None:
    output, samples = session.output, reason["samples"]
    output.say(f"  {reason['error_code']}", "bold")
    heads = ["primary key", "operation", "runs", "next try (UTC)", "identity: reason"]
    output.table(heads, map(_cells, samples), "    ")
    if reason["count"] > len(samples):
        more = reason["count"] - len(samples)
        output.say(f"    … and {more} more; --limit N shows them, --csv writes all")


def _cells(row: Mapping[str, Any]) -> list[object]:
    when = (row["next_try_at"] or "next run") if row["tried_again"] else "on change"
    what = f"{row['identity']}: {row['error_reason']}"
    return [row["primary_key"], row["operation"], row["attempts"], when, what]


def _show_next_commands(session: Session, sync: str, by_code: Iterable[Mapping[str, Any]]) -> None:
    first, *_ = by_code
    waiting = [e for e in by_code if not (e["tried_again"] or e["unidentified"])]
    sample = first["samples"][0]
    commands = {
        # It knows no config, and takes none.
        "what a reason means": f"reverse-etl explain-error {first['error_code']}",
        "the life of one": session.command("explain", sync, "--identity", sample["identity"]),
    }
    if waiting:
        why = waiting[0]["error_code"]
        retry = session.command("retry", sync, "--reason", why)
        commands["once its cause is put right"] = retry
    width = max(map(len, commands)) + 1
    for what, command in commands.items():
        session.output.say(f"  {what + ':':<{width}} {command}")


def _write_csv(records: Iterable[Mapping[str, Any]]) -> None:
    heads = (
        *("primary_key", "identity", "operation", "error_code", "error_reason", "retryable"),
        *("tried_again", "next_try_at", "attempts", "first_failed_at", "last_failed_at"),
        *("first_failed_run_id", "last_failed_run_id", "retry_requested_at"),
    )
    # Lines end as this machine's do: RFC 4180 says CRLF, but the shell's tools then show it. All is
    # quoted: some spreadsheets part cells at a semicolon, and Python before 3.13 leaves a carriage
    # return bare.
    rows = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL)
    rows.writerow(heads)
    for record in records:
        rows.writerow([_safe(record[name]) for name in heads])


def _safe(value: object) -> object:
    """Return a cell that no spreadsheet takes for a formula, and no terminal for an order."""
    if not isinstance(value, str):
        return value
    text = visible(value) if sys.stdout.isatty() else value
    return f"'{text}" if text.startswith(_FORMULA) else text
