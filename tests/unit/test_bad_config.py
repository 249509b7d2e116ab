# ruff: noqa: E501 - the expected lines stand in one piece
"""Bad configs as a user meets them: what is in the file, and what is said of it, word for word.

Through the real command line, in this process. Whatever is wrong: exit code 2, one line on standard
error for each problem and nothing else there, nothing on standard output, nothing contacted.
"""

# Catalogue of bad configs and schedules, and which test has the whole message of each item.
#
#   empty, only comments, not a mapping          test_config_errors.py::test_unreadable_files
#   tab indent, unclosed quote, NUL, not UTF-8,  the same
#     UTF-16, two documents, nested too deeply
#   BOM, CRLF                                    test_config_errors.py::test_windows_files_are_fine
#   duplicate key, two syncs of one name         test_config_errors.py::test_one_problem
#   !!python/object/apply, !x, !!binary          the same; !!python/name and !!python/tuple here
#   unknown key, with the closest one            the same
#   missing key, wrong type, not in range        the same
#   missing variable, ${ that is none            the same
#   references: warehouse, destination, object   the same
#   key of an account: empty, blanks, key files  test_config_secrets.py::test_bad_keys_from_the_environment, ::test_bad_key_files
#   values from variables are named, not shown   test_config_secrets.py::test_messages_name_the_variable_instead
#   a dbt model that is not there, and its kind  test_config_dbt.py
#   connectors that cannot be used               test_config.py::test_an_unusable_connector_is_named
#   no such file                                 test_config_errors.py::test_no_file
#   every problem at once, in file order         here, by whole lines
#   anchor bombs, 10 MB, very long values        here (memory and time: tests/security/test_bombs.py)
#   name with /, 41 and 200 characters, …        here
#   names that no database has                   here (both engines: tests/security/test_names.py)
#   URLs with a password in the wrong place      here
#   engines that nobody knows                    here
#   .env that cannot be read                     here
#   what the Iterable connector asks for         here
#   cron: 4, 6 and 7 fields, 60, */0, 31 2, H,   here (the parser: test_schedule.py)
#     huge numbers, empty, too often; every
#
# Queries, identifiers and CSV: tests/acceptance/test_bad_queries.py; answers of the API:
# tests/acceptance/test_bad_answers.py.

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from reverse_etl import warehouse
from reverse_etl.cli.app import run

KEY = "canary-5c31f0"
SECRET = "canary"

CONFIG = """\
warehouses:
  local: {url: "duckdb:///w.duckdb"}
destinations:
  iterable:
    type: iterable
    api_key: ${API_KEY}
    base_url: ${BASE_URL}
syncs:
  people:
    source:
      warehouse: local
      table: people
      primary_key: id
    destination: {name: iterable, object: list, list: {name: People}}
    identifiers: {email: email}
    fields: {plan: plan}
"""


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Listen where the destination would be."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        yield listening


@pytest.fixture
def folder(tmp_path: Path, listener: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEY", KEY)
    monkeypatch.setenv("BASE_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
    monkeypatch.delenv("REVERSE_ETL_CONFIG", raising=False)
    return tmp_path


@pytest.fixture(autouse=True)
def only_its_own_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget an engine that the tests of another file have made known to this process."""
    monkeypatch.delitem(warehouse.DIALECTS, "loose", raising=False)


def check(
    folder: Path,
    listener: socket.socket,
    capsys: pytest.CaptureFixture[str],
    lines: Sequence[str],
) -> None:
    """Hold what is said of the config in the folder against these lines, and nothing else."""
    assert run(["run-sync", "people"]) == 2
    plain = capsys.readouterr()
    assert plain.err.splitlines() == list(lines)
    assert plain.out == ""
    assert run(["validate", "--json"]) == 2
    found = capsys.readouterr()
    document = json.loads(found.out)
    assert (document["error_code"], document["problems"]) == ("config_error", list(lines))
    assert found.err == plain.err
    assert SECRET not in plain.err + found.out
    assert [path.name for path in folder.iterdir() if "duckdb" in path.name] == []
    with pytest.raises(BlockingIOError):
        listener.accept()


def test_the_starting_point_is_valid(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "config.yaml").write_text(CONFIG)
    assert run(["validate"]) == 0
    assert capsys.readouterr() == ("config ok: 1 sync\n", "")


# --- whole files ---------------------------------------------------------------------------


def bomb(merge: str) -> str:
    lines = ["a0: &a0 {k: 1}"]
    for level in range(1, 30):
        names = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{{merge}[{names}]}}")
    return "\n".join(lines)


MISSING = [
    "config.yaml:1:1: destinations: this key is required",
    "config.yaml:1:1: warehouses: this key is required",
]
TAG = "a YAML tag (!) is not accepted; remove it, or put the value in quotes"
VARIABLE = "write a variable as ${NAME} or ${NAME:-default}, and a literal ${ as $${"

FILES: dict[str, tuple[str, list[str]]] = {
    "a bomb of anchors": (
        bomb("x: "),
        ["config.yaml:1:10: aliases repeat the file to more than 200000 values"],
    ),
    "a bomb of merges": (
        bomb("<<: "),
        ["config.yaml:1:10: aliases repeat the file to more than 200000 values"],
    ),
    "ten megabytes": (
        "# " + "x" * 9_999_998,
        ["config.yaml: the file has 10000000 bytes; a config has at most 1000000"],
    ),
    "deep question marks": (
        "? " * 490_000,
        ["config.yaml:1:103: values are nested more than 50 deep"],
    ),
    "deep indents": (
        "\n".join(f"{' ' * n}a{n}:" for n in range(130)),
        ["config.yaml:51:51: values are nested more than 50 deep"],
    ),
    "a Python name": (
        "syncs: !!python/name:os.system",
        [*MISSING, f"config.yaml:1:8: syncs: {TAG}"],
    ),
    "a Python tuple": (
        "syncs: !!python/tuple [1, 2]",
        [*MISSING, f"config.yaml:1:8: syncs: {TAG}"],
    ),
    "a long key": (
        f"{'k' * 2_000}: 1",
        ["config.yaml:1:2001: a colon is not allowed here; put the value in quotes, or check the indentation and the space after the colon of the key before"],
    ),
    "a long text": (
        f"syncs: '{'x' * 900_000}'",
        [*MISSING, "config.yaml:1:8: syncs: must be a mapping of keys to values"],
    ),
    "many variables": (
        "syncs: " + "${A:-" * 100_000,
        [*MISSING, f"config.yaml:1:8: syncs: {VARIABLE}"],
    ),
    "a long number": (
        f"engine: {{lease_seconds: {'9' * 900_000}}}\n{CONFIG}",
        ["config.yaml:1:25: engine.lease_seconds: must be a finite number, got '…"],
    ),
    "a long exponent": (
        f"engine: {{lease_seconds: 1e999999999}}\n{CONFIG}",
        ["config.yaml:1:25: engine.lease_seconds: must be a finite number, got '1e999999999'"],
    ),
    "a number in base 60": (
        f"engine: {{lease_seconds: {':'.join(['59'] * 30_000)}}}\n{CONFIG}",
        ["config.yaml:1:25: engine.lease_seconds: must be a number, got '59:59:59:59:59:59:59:59:59:59:59:59:59:59:59:59:59:59:59:59…"],
    ),
    "many problems at once": (
        """\
enginee: {}
warehouses:
  local: {url: nonsense, schmea: x}
destinations:
  crm: {type: iterable, data_center: mars, max_in_flight: 0, api_key: "${NOPE}"}
  bad: {type: nothing, api_key: "${NOPE}"}
syncs:
  Vips:
    source: {warehouse: other, table: t, query: q}
    destination: {name: crm, object: list, list: {id: x}, strict: perhaps}
    identifiers: {}
    mode: both
    mode: mirror
  fine:
    source: {warehouse: local, table: t, primary_key: id}
    destination: {name: nobody, object: list}
    identifiers: {email: email}
    schedule: {type: cron, expression: 0 0 31 2 *}
""",
        [
            "config.yaml:1:1: enginee: unknown key; did you mean engine?",
            "config.yaml:3:16: warehouses.local.url: must be a SQLAlchemy URL such as duckdb:///warehouse.duckdb",
            "config.yaml:3:26: warehouses.local.schmea: unknown key; did you mean schema?",
            "config.yaml:5:38: destinations.crm.data_center: must be us or eu, got 'mars'",
            "config.yaml:5:59: destinations.crm.max_in_flight: must be at least 1, got 0",
            "config.yaml:5:71: destinations.crm.api_key: the environment variable NOPE is not set; set it, or write it into a file .env beside the config",
            "config.yaml:6:15: destinations.bad.type: there is no such connector, got 'nothing'; use one of: iterable",
            "config.yaml:6:33: destinations.bad.api_key: the environment variable NOPE is not set; set it, or write it into a file .env beside the config",
            "config.yaml:8:3: syncs.Vips: a sync name starts with a-z and has at most 40 characters out of a-z, 0-9 and _",
            "config.yaml:9:5: syncs.Vips.source.primary_key: this key is required",
            "config.yaml:9:25: syncs.Vips.source.warehouse: there is no such warehouse, got 'other'; use one of: local",
            "config.yaml:10:55: syncs.Vips.destination.list.id: must be a whole number, got 'x'",
            "config.yaml:10:59: syncs.Vips.destination.strict: unknown key; use one of: list, name, object, update_existing_users_only",
            "config.yaml:11:5: syncs.Vips.identifiers: must not be empty",
            "config.yaml:13:5: syncs.Vips.mode: this key is in line 12 already; remove one of the two",
            "config.yaml:16:25: syncs.fine.destination.name: there is no such destination, got 'nobody'; use one of: crm, bad",
            "config.yaml:18:40: syncs.fine.schedule.expression: never fires: no date matches the day of month, month and day of week, got '0 0 31 2 *'",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file(
    folder: Path, listener: socket.socket, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text, lines = FILES[name]
    (folder / "config.yaml").write_text(text)
    check(folder, listener, capsys, lines)


def test_a_folder_in_its_place(
    folder: Path, listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.yaml").mkdir()
    line = "config.yaml: cannot be read (Is a directory); `reverse-etl init` writes one to begin with, or name yours with --config PATH or REVERSE_ETL_CONFIG"
    check(folder, listener, capsys, [line])


# --- one slip ------------------------------------------------------------------------------

NAME = "a sync name starts with a-z and has at most 40 characters out of a-z, 0-9 and _"
URL = "must be a SQLAlchemy URL such as duckdb:///warehouse.duckdb"
SERVER = "must be SCHEME://USER:PASSWORD@HOST:PORT/DATABASE, with special characters of the password percent-encoded: @ is %40, : is %3A, / is %2F"
ENGINES = "this version knows bigquery, chdb, clickhousedb, databricks, duckdb, hive, mariadb, postgresql, redshift, snowflake, trino, and no installed package offers it (entry points reverse_etl.warehouses)"
CONTROL = "must not contain control characters or line breaks"
ONE_LIST = "write either name: (found by name, else created) or id: (of a list)"

SLIPS: list[tuple[str, str, list[str]]] = [
    # --- names of syncs
    *(("  people:", f"  {name}:", [f"config.yaml:9:3: syncs.{shown}: {NAME}"])
      for name, shown in (
          ("a/b", "a/b"), ("a b", "a b"), ("a-b", "a-b"), ("_a", "_a"), ("1a", "1a"), ("ä", "ä"),
          ("People", "People"), ("''", ""), ("a" * 41, "a" * 41), ("a" * 200, "a" * 60),
      )),
    ("  people:", "  people_1:",
     ["config.yaml:9:3: syncs.people_1: a sync name must not end in _ and digits: snapshot_NAME would be mistaken for a snapshot of another sync"]),
    # --- names that no database has
    *(("table: people", f"table: {json.dumps(name)}", [f"config.yaml:12:14: syncs.people.source.table: {said}"])
      for name, said in (
          ("", "must not be empty"),
          ("   ", "must not be empty"),
          ("a\0b", f"{CONTROL}, got 'a\\x00b'"),
          ("a\nb", f"{CONTROL}, got 'a\\nb'"),
          ("a\x7fb", f"{CONTROL}, got 'a\\x7fb'"),
          ("x" * 256, f"must have at most 255 characters, got '{'x' * 59}…"),
          ("a..b", "has an empty part between its dots; write schema.table, got 'a..b'"),
      )),
    *(("table: people", f"query: {json.dumps(query)}", ["config.yaml:12:14: syncs.people.source.query: must not be empty"])
      for query in ("", " \n")),
    # --- long values
    ("    fields", f"    mode: {'x' * 500}\n    fields",
     [f"config.yaml:16:11: syncs.people.mode: must be mirror or upsert, got '{'x' * 59}…"]),
    # --- URLs
    *(('"duckdb:///w.duckdb"', f'"{url}"', [f"config.yaml:2:16: warehouses.local.url: {said}"])
      for url, said in (
          ("", URL),
          ("w.duckdb", URL),
          ("u:canary@127.0.0.1/shop", URL),
          ("postgresql:/u:canary@127.0.0.1/shop", URL),
          ("duckdb://u:canary@127.0.0.1/shop", "a DuckDB path follows three slashes: duckdb:///warehouse.duckdb"),
          ("postgresql://u:canary@127.0.0.1:port/shop", SERVER),
          ("postgresql://u:x@canary@127.0.0.1:1/shop", SERVER),
      )),
    *(('"duckdb:///w.duckdb"', f'"{engine}://u:${{API_KEY}}@127.0.0.1/shop"',
       [f"config.yaml:11:18: syncs.people: no warehouse dialect for {engine}: {ENGINES}"])
      for engine in ("oracle", "mysql", "http")),
    # --- the connector
    ("type: iterable", "type: iterable\n    data_center: ue",
     ["config.yaml:6:18: destinations.iterable.data_center: must be us or eu, got 'ue'"]),
    ("type: iterable", "type: iterable\n    project_type: mail",
     ["config.yaml:6:19: destinations.iterable.project_type: must be email or user_id or hybrid, got 'mail'; did you mean email?"]),
    ("base_url: ${BASE_URL}", "base_url: http://api.example.com",
     ["config.yaml:7:15: destinations.iterable.base_url: must be https://api.iterable.com, https://api.eu.iterable.com, or a loopback address such as http://127.0.0.1:8765 (the sandbox); the API key is sent nowhere else"]),
    ("api_key: ${API_KEY}", "api_key: 12345678",
     ["config.yaml:6:14: destinations.iterable.api_key: must be text; put it in quotes"]),
    ("list: {name: People}", "list: {name: People, id: 4}",
     [f"config.yaml:14:49: syncs.people.destination.list: {ONE_LIST}"]),
    ("list: {name: People}", "list: {}",
     [f"config.yaml:14:49: syncs.people.destination.list: {ONE_LIST}"]),
    ("list: {name: People}", "list: People",
     ["config.yaml:14:55: syncs.people.destination.list: must be a mapping of keys to values, got 'People'"]),
    ("identifiers: {email: email}", "identifiers: {userId: id}",
     ["config.yaml:15:5: syncs.people.identifiers: an email project finds people by e-mail address: map identifiers.email",
      "config.yaml:15:27: syncs.people.identifiers.userId: userId cannot identify people in this project (project_type: email); valid here: email"]),
    ("fields: {plan: plan}", "fields: {email: plan}",
     ["config.yaml:16:21: syncs.people.fields.email: email identifies the person: map it under identifiers. As a field it would rename the profile"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "lines"), SLIPS, ids=[new.strip()[:50] for _, new, _ in SLIPS]
)
def test_a_slip(  # noqa: PLR0913, PLR0917 - a table of three columns
    folder: Path,
    listener: socket.socket,
    capsys: pytest.CaptureFixture[str],
    old: str,
    new: str,
    lines: list[str],
) -> None:
    assert CONFIG.count(old) == 1
    (folder / "config.yaml").write_text(CONFIG.replace(old, new))
    (folder / "config.yaml").chmod(0o600)
    check(folder, listener, capsys, lines)


# --- schedules -----------------------------------------------------------------------------

FIELDS = "must have exactly five fields (minute, hour, day of month, month, day of week), not"
FORM = "is not a number, *, list, range or step"
WORD = "has a word that is no name of it"
OFTEN = "fires more often than every 5 minutes"

CRON = {
    "": f"{FIELDS} 0",
    "daily": f"{FIELDS} 1",
    "* * * *": f"{FIELDS} 4",
    "0 0 1 1 * *": f"{FIELDS} 6",
    "0 0 1 1 * 0 2030": f"{FIELDS} 7",
    "0 24 * * *": "the hour field has a number outside 0 to 23",
    "0 0 0 * *": "the day of month field has a number outside 1 to 31",
    "0 0 1 13 *": "the month field has a number outside 1 to 12",
    "0 0 * * 8": "the day of week field has a number outside 0 to 7",
    "99999999999999999999999 * * * *": "the minute field has a number outside 0 to 59",
    "*/0 * * * *": "the minute field has a step outside 1 to 59",
    "*/60 * * * *": "the minute field has a step outside 1 to 59",
    "*/99999999999999999999 * * * *": "the minute field has a step outside 1 to 59",
    "30-10 * * * *": "the minute field has a range that runs backwards",
    "-5 * * * *": f"the minute field {FORM}",
    "0,,5 * * * *": f"the minute field {FORM}",
    "\u0663 * * * *": f"the minute field {FORM}",
    "0 0 ? * *": f"the day of month field {FORM}",
    "0 0 * * mon#1": f"the day of week field {FORM}",
    "H * * * *": f"the minute field {WORD}",
    "0 0 L * *": f"the day of month field {WORD}",
    "0 0 * mon *": f"the month field {WORD}",
    "0 0 31 2 *": "never fires: no date matches the day of month, month and day of week",
    "* * * * *": OFTEN,
    "*/7 * * * *": OFTEN,
    "@every 5m": "names that begin with @ are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly",
}
UNIT = "must be a number and minutes, hours, days or weeks, such as 30 minutes or 1 day"
EVERY = {
    "": UNIT,
    "1h": UNIT,
    "1 month": UNIT,
    "-5 minutes": UNIT,
    "9999999999999 days": UNIT,
    "0 days": "must be at least 5 minutes",
    "366 days": "must be at most 365 days",
}
AT = dict.fromkeys(("", "7:30", "07:60"), "must be a UTC time of day as HH:MM, from 00:00 to 23:59")


@pytest.mark.parametrize(
    ("keys", "column", "key", "text", "said"),
    [
        *(("type: cron, expression", 40, "expression", *each) for each in CRON.items()),
        *(("type: basic, every", 36, "every", *each) for each in EVERY.items()),
        *(("type: basic, every: 1 day, at", 47, "at", *each) for each in AT.items()),
    ],
)
def test_a_schedule(  # noqa: PLR0913, PLR0917 - a table of five columns
    folder: Path,
    listener: socket.socket,
    capsys: pytest.CaptureFixture[str],
    keys: str,
    column: int,
    key: str,
    text: str,
    said: str,
) -> None:
    schedule = f"    schedule: {{{keys}: {json.dumps(text)}}}\n"
    (folder / "config.yaml").write_text(CONFIG + schedule)
    line = f"config.yaml:17:{column}: syncs.people.schedule.{key}: {said}, got {text!r}"
    check(folder, listener, capsys, [line])


# --- .env ----------------------------------------------------------------------------------

ENV = "must be NAME=VALUE: no space in the name, each quote closed, and after a closing quote nothing but a comment (#)"


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (f"OTHER='{SECRET}\n", [f".env:1: {ENV}"]),
        (f'OTHER="{SECRET}', [f".env:1: {ENV}"]),
        (f"'{SECRET}\n", [f".env:1: {ENV}"]),
        (f"API KEY={SECRET}\n", [f".env:1: {ENV}"]),
        (f"={SECRET}\n", [f".env:1: {ENV}"]),
        (f'A="{SECRET}" {SECRET}\n', [f".env:1: {ENV}"]),
        (f"export A B={SECRET}\n", [f".env:1: {ENV}"]),
        # Empty lines and values of several lines count; each bad line is told, by its number.
        (
            f'A=1\r\n\r\n# one\r\n\r\n\'{SECRET}\r\nB="two\r\nlines" # fine\r\nC D={SECRET}\r\n',
            [f".env:5: {ENV}", f".env:8: {ENV}"],
        ),
        (f"\ufeffA B={SECRET}\n", [f".env:1: {ENV}"]),
        (f"A={SECRET}\udcff\n", [".env: is not UTF-8; save it as UTF-8"]),
    ],
)
def test_a_bad_env_file(
    folder: Path,
    listener: socket.socket,
    capsys: pytest.CaptureFixture[str],
    content: str,
    lines: list[str],
) -> None:
    (folder / "config.yaml").write_text(CONFIG)
    (folder / ".env").write_bytes(content.encode(errors="surrogateescape"))
    check(folder, listener, capsys, lines)
    # The other one who reads it.
    assert run(["init"]) == 2
    assert capsys.readouterr().err.splitlines() == lines


def test_a_folder_called_env(
    folder: Path, listener: socket.socket, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.yaml").write_text(CONFIG)
    (folder / ".env").mkdir()
    line = ".env: cannot be read (Is a directory); make it readable or remove it"
    check(folder, listener, capsys, [line])


def test_a_good_env_file(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comments, quotes, spaces around the value, and names without one are fine."""
    monkeypatch.delenv("API_KEY")
    content = f"# one\n\nEMPTY=\nALONE\n export API_KEY = '{KEY}'  # two\nLONG=\"a\nb\"\nX=a b#c\n"
    (folder / ".env").write_text(content)
    (folder / "config.yaml").write_text(CONFIG)
    assert run(["validate"]) == 0
    assert capsys.readouterr() == ("config ok: 1 sync\n", "")
