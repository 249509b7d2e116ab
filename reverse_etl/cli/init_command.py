"""``init``: a folder to begin with, for the sample warehouse or for a table of one's own."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from reverse_etl.cli import starter
from reverse_etl.cli.new_files import new_files, refuse_taken
from reverse_etl.cli.session import JsonOption, Session, session_of
from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    from reverse_etl.cli.own_table import WarehouseUrl

EXAMPLE = """\b
Examples:
  reverse-etl init
  reverse-etl init --from-warehouse 'postgresql://etl:${PGPASSWORD}@localhost/shop' \\
    --table customers

\b
Exit codes: 0 the files are written, 1 the warehouse failed, or the table has nobody in it,
2 usage error, or a file is there already, 5 the DuckDB file stayed locked.
Nothing is written but with 0."""

CONFIG, SCHEMA, PATTERN = "config.yaml", "config.schema.json", ".env.example"
ENV, IGNORED, WAREHOUSE = ".env", ".gitignore", "warehouse.duckdb"
PEOPLE = 2_000

_OWNER_ONLY, _AS_USUAL = 0o600, 0o666
_TABLES_SHOWN = 200

FolderOption = Annotated[
    Path,
    typer.Option(
        "--folder",
        metavar="PATH",
        help="Where to write; made if need be. Default: here.",
        show_default=False,
    ),
]
WarehouseOption = Annotated[
    str | None,
    typer.Option(
        "--from-warehouse",
        metavar="URL",
        help="Propose a sync of a table there. A SQLAlchemy URL, with ${NAME} for its password; "
        "in single quotes, or the shell replaces it.",
        show_default=False,
    ),
]
TableOption = Annotated[
    str | None,
    typer.Option(
        "--table",
        metavar="TABLE",
        help="The table or view: NAME or SCHEMA.NAME. Without it all are listed.",
        show_default=False,
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name",
        metavar="SYNC",
        help="What to call the sync. Default: like the table.",
        show_default=False,
    ),
]


def init(  # noqa: PLR0913 - the options of the command
    ctx: typer.Context,
    *,
    folder: FolderOption = Path(),
    from_warehouse: WarehouseOption = None,
    table: TableOption = None,
    name: NameOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write a config to begin with.

    Asks nothing and replaces no file. With a sample warehouse and a stand-in for the destination,
    so that it can be tried at once; or with --from-warehouse for a table of yours, where every
    guess says that it is one.
    """
    session = session_of(ctx, None, as_json=as_json)
    if from_warehouse is None and (table or name):
        raise typer.BadParameter("--table and --name belong to --from-warehouse URL")
    from reverse_etl.config.load import read_env_file  # noqa: PLC0415 - loads pydantic

    known = {**(read_env_file(folder / ENV) if folder.is_dir() else {}), **os.environ}
    ours = [CONFIG, SCHEMA, PATTERN]
    if from_warehouse is None:
        refuse_taken(folder, [*ours, WAREHOUSE])
        draft = starter.Draft(starter.SAMPLE_SYNC, starter.sample_config(), "email")
        written = _write(folder, draft, known, with_sample=True)
    else:
        from reverse_etl.cli.own_table import WarehouseUrl, propose_for  # noqa: PLC0415 - loads it

        url = WarehouseUrl.read(from_warehouse, folder, known)
        if table is None:
            return _list_tables(session, url)
        refuse_taken(folder, ours)  # before a server is asked for anything
        draft = propose_for(url, table, name)
        written = _write(folder, draft, known, with_sample=False)
    _show(session, folder, draft, written, known)
    return 0


def _list_tables(session: Session, url: WarehouseUrl) -> int:
    """Say which tables there are; return the exit code of a command that lacks an option."""
    from reverse_etl.cli.own_table import tables_of  # noqa: PLC0415 - loads SQLAlchemy

    tables = tables_of(url)
    for table in tables[:_TABLES_SHOWN]:
        session.output.say(table)
    if len(tables) > _TABLES_SHOWN:
        session.output.say(f"… and {len(tables) - _TABLES_SHOWN} more")
    words = ["reverse-etl", "init", "--from-warehouse", url.to_type, "--table", tables[0]]
    problem = f"name one of these tables, as in: {shlex.join(words)}"
    session.output.note(problem, "error")
    error = {"error_code": ConfigError.code, "error": problem, "problems": [problem]}
    session.output.document({**error, "tables": tables})
    return ConfigError.exit_code


# --- the files -----------------------------------------------------------------------------


def _write(
    folder: Path, draft: starter.Draft, known: Mapping[str, str], *, with_sample: bool
) -> list[str]:
    """Write the files, all or none; return their names."""
    from reverse_etl.cli.checking import config_schema  # noqa: PLC0415 - with the next ones

    env = starter.env_text(draft.secrets)
    schema = json.dumps(config_schema(), indent=2) + "\n"
    texts = {CONFIG: draft.config, SCHEMA: schema, PATTERN: env}
    # Many a folder has these two already. They stay as they are.
    often_there = {ENV: env, IGNORED: starter.GITIGNORE}
    texts |= {n: text for n, text in often_there.items() if not os.path.lexists(folder / n)}
    names = [*texts, *([WAREHOUSE] if with_sample else [])]
    with new_files(folder, names) as workshop:
        for name, text in texts.items():
            (workshop / name).touch(_OWNER_ONLY if name == ENV else _AS_USUAL)
            (workshop / name).write_text(text, encoding="utf-8")
        if with_sample:
            import sample_warehouse  # noqa: PLC0415 - loads DuckDB

            sample_warehouse.build_duckdb(workshop / WAREHOUSE, PEOPLE)
        _load_once(workshop / CONFIG, {**known, **draft.secrets})
    return names


def _load_once(path: Path, known: Mapping[str, str]) -> None:
    """Load the config as the next command will: what we write must be right."""
    from reverse_etl.cli.usable import refuse_unusable  # noqa: PLC0415 - reads entry points
    from reverse_etl.config import load_config  # noqa: PLC0415 - loads pydantic

    config = load_config(path, {starter.SANDBOX_VARIABLE: starter.SANDBOX_KEY, **known})
    refuse_unusable(config, list(config.syncs))


# --- what to do next -----------------------------------------------------------------------


def _show(
    session: Session,
    folder: Path,
    draft: starter.Draft,
    written: list[str],
    known: Mapping[str, str],
) -> None:
    missing = _missing(draft, written, known)
    plan, sandbox, run = commands = _commands(draft)
    session.output.document(
        {
            "folder": str(folder),
            "files": written,
            "sync": draft.sync,
            "proposal": draft.told,
            "to_set": list(missing),
            "next": commands,
        }
    )
    say = session.output.say
    if draft.rows:
        session.output.table(["", "column", "because"], draft.rows, "")
        say()
    say(f"written{'' if _is_here(folder) else f' in {folder}'}: {', '.join(written)}", "green")
    for hint in _hints(folder, written, missing):
        say(hint, "yellow")
    say("\nSee what a run would send; nothing is sent:")
    say(f"  {plan}", "bold")
    say("In another terminal, start a stand-in for Iterable:")
    say(f"  {sandbox}", "bold")
    say("Then send it there:")
    say(f"  {run}", "bold")
    if not draft.rows:
        say("It ends with exit code 3: some sample people have no usable address, and it says who.")


def _commands(draft: starter.Draft) -> list[str]:
    """Return the next three commands, as they work in the folder."""
    from reverse_etl.config.load import PATH_VARIABLE  # noqa: PLC0415 - loads pydantic

    config = ["--config", CONFIG] if os.environ.get(PATH_VARIABLE) else []
    kind = [] if draft.project_type == "email" else ["--project-type", draft.project_type]
    return [
        shlex.join(["reverse-etl", *words])
        for words in (
            ["plan", draft.sync, *config],
            ["sandbox", *kind],
            ["run-sync", draft.sync, *config],
        )
    ]


def _missing(draft: starter.Draft, written: list[str], known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that the config asks for and nobody sets, each with what to write."""
    wanted = dict.fromkeys(draft.secrets, "… (as in the URL; it was written nowhere)")
    if ENV not in written:
        wanted = {starter.SANDBOX_VARIABLE: starter.SANDBOX_KEY, **wanted}
    return {name: value for name, value in wanted.items() if name not in known}


def _hints(folder: Path, written: list[str], missing: Mapping[str, str]) -> list[str]:
    """Return what is left to the user before the commands work."""
    hints = [] if _is_here(folder) else [f"first: cd {shlex.quote(str(folder))}"]
    hints += [f"first: put into {ENV}: {name}={value}" for name, value in missing.items()]
    if IGNORED not in written and ENV not in _lines(folder / IGNORED):
        hints.append(f"{IGNORED} is yours and does not name {ENV}, which holds secrets: add it")
    return hints


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _is_here(folder: Path) -> bool:
    return folder.resolve() == Path.cwd()
