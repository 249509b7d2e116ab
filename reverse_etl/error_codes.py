"""Every error code: what it means, what to do next, and what happens by itself.

Codes are promises to people's scripts and dashboards: add, never rename. A connector declares the
codes that are its own (:attr:`reverse_etl.connector.Connector.error_codes`); the outcomes of people
that are here are words of the contract, the same with every connector.

``docs/errors.md`` is made of this module, and ``reverse-etl explain-error`` shows it.
``tests/unit/test_error_codes.py`` compares it with the codes that the source writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Place = Literal["record", "run", "command"]


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """One code, explained. The texts are whole sentences; commands stand in backticks.

    Attributes:
        code: Stable snake_case name.
        places: ``record``: of one person, in ``sync_log`` and ``failed_records``. ``run``: in
            ``sync_runs``, and in the JSON of the command. ``command``: in the JSON of a command
            that began no run, and in the ``code`` of an exception for programs.
        meaning: One or two sentences; the first one, short, stands in lists.
        action: What to do next.
        by_itself: What happens when nobody does anything.
        exit_codes: Of the command that met it; several where a signal decides, none where no
            command of ours lived to tell.
        retryable: As in ``failed_records``; None where it depends, or where there is no record.
    """

    code: str
    places: tuple[Place, ...]
    meaning: str
    action: str
    by_itself: str
    exit_codes: tuple[int, ...] = (1,)
    retryable: bool | None = None

    @property
    def summary(self) -> str:
        """Return the first sentence of the meaning."""
        first, _, _ = self.meaning.partition(". ")
        return f"{first.removesuffix('.')}."


_TRIED_AGAIN = (
    "The next run tries it again with the values that it finds, unless the sync says"
    " `retry_failed_records: false`."
)
_WAITS = "Waits until the values of the row change, or for `reverse-etl retry SYNC`."
_ELSE_WAITS = (
    "then the next run tries again, unless the sync says `retry_failed_records: false`. Else it"
    " waits until the values of the row change, or for `reverse-etl retry SYNC`."
)
_REFUSED_AGAIN = "Nothing changes: each further run is refused in the same way."
_RUN_AGAIN = (
    "Nothing is lost. The next run tries again; a scheduler starts one after 1, 2, 4 … 60 minutes."
)
_STAYS_PLANNED = (
    "What is not confirmed stays planned. The next run sends it; a scheduler starts one after"
    " 1, 2, 4 … 60 minutes."
)

# --- one person ----------------------------------------------------------------------------

_OF_RECORDS = (
    ErrorCode(
        "missing_identifier",
        ("record",),
        "The row has no identifier. Its columns for e-mail or user id are NULL or empty, so nobody"
        " can be found with it.",
        "Fill the column in the source, or leave such rows out of the query.",
        "The run that first sees it ends with exit code 3, later ones only count it in"
        " `rows_invalid`. It is sent as soon as it has an identifier.",
        exit_codes=(3,),
        retryable=False,
    ),
    ErrorCode(
        "invalid_identifier",
        ("record",),
        "The identifier is malformed. Either we refused it, and nothing was sent, or the"
        " destination did.",
        "`reverse-etl failures SYNC` names the row, the column and what is expected; correct it in"
        " the source.",
        "Waits until the values of the row change; what the destination refused also for"
        " `reverse-etl retry SYNC`.",
        exit_codes=(3,),
        retryable=False,
    ),
    ErrorCode(
        "duplicate_identity",
        ("record",),
        "Another row with the same identity goes first. This one has other values, and they were"
        " not sent.",
        "Let the query have one row for each person; the reason names the primary key that goes"
        " first, which is the smallest.",
        "A line in `sync_log` in the first run that sees it, and nothing else: it is no failed"
        " record, and the run counts as succeeded.",
        exit_codes=(0,),
    ),
    ErrorCode(
        "invalid_value",
        ("record",),
        "A value of the row cannot be sent. It has no form in JSON, or the record is too large for"
        " a request; nothing was sent for this person.",
        "`reverse-etl failures SYNC` names the field; cast or shorten it in the query, or map it"
        " differently.",
        _WAITS,
        exit_codes=(3,),
        retryable=False,
    ),
    ErrorCode(
        "rejected",
        ("record",),
        "The destination refused this person's data. Mostly a value is of another type than its"
        " field has there.",
        "`reverse-etl failures SYNC` shows what the destination said; `reverse-etl check SYNC`"
        " compares the types of all fields. Cast in the query or write `type:` at the field. After"
        " a change at the destination: `reverse-etl retry SYNC --reason rejected`.",
        "`retryable` is true for who was refused without a reason, or only ever together with"
        f" others: {_ELSE_WAITS}",
        exit_codes=(3,),
    ),
    ErrorCode(
        "conflict",
        ("record",),
        "The identifiers of this person belong to other profiles at the destination.",
        "Find the profiles that share them at the destination and merge or correct them, or correct"
        " the row; then `reverse-etl retry SYNC --reason conflict`.",
        "`retryable` is true in projects where people have both e-mail and user id, since the"
        f" change of the other person may dissolve it: {_ELSE_WAITS}",
        exit_codes=(3,),
    ),
    ErrorCode(
        "not_found",
        ("record",),
        "The destination does not know this person. Either it was asked to create nobody, or it"
        " creates nobody by itself.",
        "Nothing, where another system creates people there. Else switch off the setting of the"
        " sync that lets it touch existing people only.",
        _TRIED_AGAIN,
        exit_codes=(3,),
        retryable=True,
    ),
    ErrorCode(
        "forgotten",
        ("record",),
        "The destination was told to forget this person for good. It takes nothing about them any"
        " more (GDPR).",
        "Leave them out of the query. If it was a mistake, take it back at the destination, then"
        " `reverse-etl retry SYNC --reason forgotten`.",
        _WAITS,
        exit_codes=(3,),
        retryable=False,
    ),
    ErrorCode(
        "unavailable",
        ("record",),
        "The destination could not take this change now. It answered with 429 or 5xx until"
        " `retry_seconds` were over, or the run ended before its turn.",
        "Nothing. If it comes back in each run, lower `requests_per_second` of the destination, or"
        " raise `retry_seconds`.",
        _TRIED_AGAIN,
        exit_codes=(3,),
        retryable=True,
    ),
    ErrorCode(
        "unknown",
        ("record",),
        "The change was sent, and no answer that can be trusted came. It may be at the destination"
        " or not: a time-out, a cut connection, a killed run, counts that do not add up.",
        "Nothing. If it comes back in each run, `reverse-etl failures SYNC` says what the answers"
        " lacked.",
        "The next run always tries it again, whatever `retry_failed_records` says. Sending it"
        " twice ends in the same state.",
        exit_codes=(3,),
        retryable=True,
    ),
)

# --- runs ----------------------------------------------------------------------------------

_OF_RUNS = (
    ErrorCode(
        "held",
        ("run",),
        "The brake held the run, and nothing was sent. More people than `max_delete_percent` allows"
        " would have left.",
        "`reverse-etl plan SYNC` shows who would leave. If that is right, let it pass once:"
        " `reverse-etl run-sync SYNC --allow-deletes`. If not, correct the query.",
        "Its tick is served. The next run plans anew, and is held again while as many would leave.",
        exit_codes=(4,),
    ),
    ErrorCode(
        "interrupted",
        ("run", "command"),
        "The run was told to stop, by SIGINT or SIGTERM. What was on the wire was answered and"
        " settled.",
        "Run it again when you like: `reverse-etl run-sync SYNC`.",
        "The state is safe. The next run sends the rest; a scheduler starts it at once.",
        exit_codes=(130, 143),
    ),
    ErrorCode(
        "killed",
        ("run",),
        "The run ended without writing down how. Its process was killed, or it lost its lease or"
        " its warehouse while it was sending.",
        "Nothing. If it comes back, look at the memory and the time-out of what starts the runs.",
        "Written by the next run, which has settled what was known, logged what was on the wire as"
        " `unknown`, and sends the rest: at most one window of changes twice.",
        exit_codes=(),
    ),
    ErrorCode(
        "source_error",
        ("run", "command"),
        "The query cannot be used. It fails, it lacks a column of the mapping, or it is more than"
        " one statement.",
        "Correct it by what the message says; `reverse-etl check SYNC` tries it and changes"
        " nothing.",
        _RUN_AGAIN,
    ),
    ErrorCode(
        "warehouse_error",
        ("run", "command"),
        "The warehouse refused or lost a statement, cannot be reached, or lacks its driver.",
        "`reverse-etl check SYNC` tells whether it answers now; the message has the driver's"
        " reason, or what to install.",
        f"{_RUN_AGAIN} A run that lost its warehouse while it was sending becomes `killed` then.",
    ),
    ErrorCode(
        "missing_rights",
        ("run", "command"),
        "A right on the warehouse is missing.",
        "Have the owner execute the GRANT statements of the message; `reverse-etl check SYNC` tries"
        " every right and takes it back.",
        _RUN_AGAIN,
    ),
    ErrorCode(
        "account_changed",
        ("run", "command"),
        "The config names another account, project type, object or list than this sync has written"
        " to. Nothing was sent.",
        "Give the sync another name: the new account then has a sync of its own. Or start over"
        " there: `reverse-etl run-sync SYNC --full`; what the old account holds stays as it is.",
        _REFUSED_AGAIN,
    ),
    ErrorCode(
        "plan_refused",
        ("run",),
        "The plan file is not what a run would send now. The source, the config or the state has"
        " changed since it was written; nothing was sent.",
        "Look again: `reverse-etl plan SYNC --out FILE`, then"
        " `reverse-etl run-sync SYNC --plan FILE`.",
        "A run without `--plan` sends what is right now.",
    ),
    ErrorCode(
        "mapping_changed",
        ("run", "command"),
        "The fields of the sync have changed since its last run. So an audit of profiles would"
        " compare with values that were never sent.",
        "`reverse-etl run-sync SYNC`, then `reverse-etl audit SYNC`.",
        "The next run without `--repair` sends the new fields; audits work from then on.",
    ),
    ErrorCode(
        "destination_unavailable",
        ("run", "command"),
        "The destination gives no usable answer. Three batches in a row, or the request for the"
        " target, met silence or errors to the end.",
        "`reverse-etl check SYNC` tells whether it answers; look at proxies and firewalls in"
        " between, and at the status page of the destination.",
        _STAYS_PLANNED,
    ),
    ErrorCode(
        "destination_error",
        ("run", "command"),
        "The destination stopped the run, and no finer code says why. The message has the reason.",
        "Do what the message says; `reverse-etl check SYNC` asks the destination without changing"
        " anything.",
        _STAYS_PLANNED,
    ),
    ErrorCode(
        "run_failed",
        ("run", "command"),
        "The run failed, and no finer code says why. The message has the reason.",
        "Do what the message says, then `reverse-etl run-sync SYNC`.",
        _RUN_AGAIN,
    ),
)

# --- commands ------------------------------------------------------------------------------

_OF_COMMANDS = (
    ErrorCode(
        "config_error",
        ("command",),
        "The config, or a file that the command was given, cannot be used. Nothing was contacted;"
        " every problem is named with its line.",
        "Correct what is named; `reverse-etl validate` looks again.",
        "Nothing. `serve` goes on with the config that it has until the new one is valid.",
        exit_codes=(2,),
    ),
    ErrorCode(
        "usage_error",
        ("command",),
        "The command line is wrong. An option or a name is unknown, missing or too much; nothing"
        " was contacted.",
        "The message names the option; `--help` after the command shows them all.",
        "Nothing.",
        exit_codes=(2,),
    ),
    ErrorCode(
        "busy",
        ("command",),
        "Somebody else is at work. Another run of this sync is active, or a DuckDB file stayed"
        " locked for 5 seconds; nothing was written.",
        "The message names who. Try again when they are done.",
        "`serve` looks again within half a minute, `run-due` when it is called next. The lease of"
        " a run that was killed expires by itself.",
        exit_codes=(5,),
    ),
    ErrorCode(
        "completed_with_failures",
        ("command",),
        "The run is done, and some people failed. It is the `code` of the exception that"
        " `raise_for_status()` raises for such a run.",
        "`reverse-etl failures SYNC` has the reasons.",
        "What may succeed later is tried again by the next run.",
        exit_codes=(3,),
    ),
    ErrorCode(
        "served",
        ("command",),
        "Another scheduler has served this tick meanwhile. The run was skipped.",
        "Nothing.",
        "The sync is due again at its next tick.",
        exit_codes=(0,),
    ),
    ErrorCode(
        "dbt_not_succeeded",
        ("command",),
        "By `--if-dbt-succeeded` the run was skipped. dbt did not build the model of the sync, or a"
        " test of it failed.",
        "Run it again after a `dbt build` that succeeds.",
        "The next run sends what this one would have.",
        exit_codes=(0,),
    ),
    ErrorCode(
        "lease_lost",
        ("command",),
        "Another run has taken the lease, because this one did not renew it in time. It stopped"
        " without writing anything more.",
        "Nothing. If it comes back, look for a machine that sleeps or a slow way to the warehouse,"
        " or raise `engine.lease_seconds`.",
        "The other run settles what this one left, which is `killed` in `sync_runs` then.",
    ),
    ErrorCode(
        "damaged_tables",
        ("command",),
        "Our tables in the warehouse do not fit together any more. Something is gone or was changed"
        " by hand; nothing was sent or changed.",
        "Put back a backup, or start over: `reverse-etl run-sync SYNC --full`, then"
        " `reverse-etl audit SYNC`. `docs/tables.md` says what cannot be known after that.",
        _REFUSED_AGAIN,
    ),
    ErrorCode(
        "newer_tables",
        ("command",),
        "A newer reverse-etl has made the tables, and this one cannot go back. Nothing was"
        " changed.",
        "Install the version that made them or a later one, or name another `schema`.",
        _REFUSED_AGAIN,
    ),
    ErrorCode(
        "older_tables",
        ("command",),
        "An older reverse-etl has made the tables, and a command that only looks does not change"
        " them.",
        "`reverse-etl run-sync SYNC`: the run brings them forward and loses nothing.",
        "The next run, or the next look of a scheduler, brings them forward.",
    ),
    ErrorCode(
        "moved",
        ("command",),
        "The tables of this sync are in another warehouse now. Nothing was sent from here.",
        "Let `source.warehouse` name the warehouse that the message names. A move that broke off is"
        " finished by the same command once more: `reverse-etl move SYNC --to WAREHOUSE`.",
        _REFUSED_AGAIN,
    ),
    ErrorCode(
        "unfinished",
        ("command",),
        "The sync cannot move yet. Its last run has not confirmed its whole plan, or had another"
        " mapping; nothing was copied.",
        "`reverse-etl run-sync SYNC` where it is, then `reverse-etl move SYNC --to WAREHOUSE`.",
        "A run that goes well ends it.",
    ),
    ErrorCode(
        "has_runs",
        ("command",),
        "The sync has run by itself where it is to move. Two histories cannot become one; nothing"
        " was copied.",
        "Name another `schema` there, or drop its tables there, then"
        " `reverse-etl move SYNC --to WAREHOUSE`.",
        _REFUSED_AGAIN,
    ),
    ErrorCode(
        "cannot_listen",
        ("command",),
        "The address for `/healthz` and `/metrics` cannot be used. It is taken, or there is none"
        " like it; no sync was run.",
        "End what uses it, or name another one: `reverse-etl serve --port PORT`.",
        "Nothing.",
    ),
    ErrorCode(
        "demo_failed",
        ("command",),
        "The demo or an example did not go as told.",
        "Run it again: `reverse-etl demo`. If it fails again, report it with what it showed.",
        "Nothing. Only the folder of the demo was written.",
    ),
    ErrorCode(
        "sample_warehouse",
        ("command",),
        "The sample data cannot be built or changed where that was asked for.",
        "The message names the file, schema or server to correct.",
        "Nothing. Tables that are there already are not overwritten.",
    ),
    ErrorCode(
        "bug",
        ("command",),
        "reverse-etl met an error that nobody expected: a bug.",
        "Report it with the lines on standard error: they hold no row and no secret.",
        "The next run settles what this one left, as after a kill. Other syncs of the same command"
        " go on.",
    ),
    ErrorCode(
        "error",
        ("command",),
        "The command failed, and no finer code says why. The message has the reason.",
        "Do what the message says.",
        "Nothing.",
    ),
)

ERROR_CODES: Mapping[str, ErrorCode] = MappingProxyType(
    {each.code: each for each in (*_OF_RECORDS, *_OF_RUNS, *_OF_COMMANDS)}
)
"""The codes of the engine and of the contract, by name."""
