"""``--if-dbt-succeeded``: which syncs are left out because of how dbt ended."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    from reverse_etl.cli.session import Session
    from reverse_etl.config import Config
    from reverse_etl.report import RunSummary

DbtOption = Annotated[
    Path | None,
    typer.Option(
        "--if-dbt-succeeded",
        metavar="FILE",
        help="Skip syncs whose dbt model was not built, or failed a test, by this "
        "run_results.json.",
        show_default=False,
    ),
]


def skipped_by_dbt(
    session: Session, config: Config, names: Sequence[str], path: Path | None
) -> dict[str, RunSummary]:
    """Return a report for each sync that must not run; say what else is worth knowing.

    Args:
        session: Where to say it.
        config: The config.
        names: Syncs to run.
        path: The ``run_results.json``; None skips nothing.

    Raises:
        ConfigError: The file cannot be used.
    """
    if path is None:
        return {}
    from reverse_etl.config.dbt.results import read_run_results  # noqa: PLC0415 - loads pydantic
    from reverse_etl.report import RunSummary  # noqa: PLC0415 - loads pydantic

    try:
        results = read_run_results(path)
    except ValueError as error:
        raise ConfigError([f"--if-dbt-succeeded: {error}"]) from None
    told: set[Path] = set()
    skipped = {}
    for name in names:
        source = config.sync(name).source
        if source.dbt_node is None:
            session.output.note(f"{name} reads no dbt model: it runs, however dbt ended")
            continue
        if not results.is_of(source.dbt_node) and source.dbt_manifest not in told:
            told.add(source.dbt_manifest)
            session.output.note(
                f"warning: {path} and {source.dbt_manifest} are of two calls of dbt"
            )
        trouble = results.trouble(source.dbt_node)
        if trouble is not None:
            text = f"{trouble}; nothing was sent, run this again after a `dbt build` that succeeds"
            skipped[name] = RunSummary(
                name, status="skipped", error_code="dbt_not_succeeded", error=text
            )
    return skipped
