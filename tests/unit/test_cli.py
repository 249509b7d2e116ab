"""The command line without processes: arguments, output, errors."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from reverse_etl.cli import checking
from reverse_etl.cli.app import run
from reverse_etl.cli.output import Output, aligned, moment, visible
from reverse_etl.cli.signals import Stop
from reverse_etl.clock import SystemClock
from reverse_etl.report import EXIT_CODES, RunSummary, counted, worst
from tests import documents

KEY = "canary-5c31"
CONFIG = """\
warehouses:
  local: {url: "duckdb:///w.duckdb"}
destinations:
  iterable: {type: iterable, api_key: "${API_KEY}"}
syncs:
  people:
    source: {warehouse: local, table: people, primary_key: id}
    destination: {name: iterable, object: list, list: {name: People}}
    identifiers: {email: email}
  other:
    source: {warehouse: local, table: people, primary_key: id}
    destination: {name: iterable, object: list, list: {name: Others}}
    identifiers: {email: email}
"""
HEAVY = frozenset(
    ("sqlalchemy", "duckdb", "pyarrow", "httpcore", "pydantic", "sqlglot", "rich", "croniter")
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("API_KEY", KEY)
    monkeypatch.delenv("REVERSE_ETL_CONFIG", raising=False)
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


# --- starting ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "unwanted"),
    [
        (["--help"], HEAVY),
        # With a command, typer itself loads pydantic to read the options.
        (["run-sync", "-h"], HEAVY - {"pydantic"}),
        (["plan", "--help"], HEAVY - {"pydantic"}),
        (["init", "--help"], HEAVY - {"pydantic"}),
    ],
)
def test_help_loads_nothing_heavy(words: list[str], unwanted: frozenset[str]) -> None:
    code = (
        "import sys\nfrom reverse_etl.cli.app import run\n"
        f"code = run({words!r})\n"
        f"print(code, sorted({set(unwanted)!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    assert "Usage: reverse-etl" in done.stdout


def test_help_lists_every_command_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    listed = shown.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split()[0] for line in listed] == [
        *("init", "demo", "validate", "check", "plan", "run-sync", "run-due", "serve", "audit"),
        "status",
        *("runs", "explain", "failures", "retry", "explain-error", "retain", "lists", "move"),
        "test-notifications",
        *("sandbox", "schema"),
    ]
    assert "130, 143  interrupted" in shown


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    text = capsys.readouterr().out
    assert run(["--json", "--version"]) == 0
    document = documents.read(["--version"], capsys.readouterr().out)
    assert text == f"reverse-etl {document['version']}\n"


# --- wrong calls ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Usage"),
        (["--json"], "name a command"),
        (["run-sync"], "name at least one sync, or say --all"),
        (["run-sync", "people", "--all"], "not both"),
        (["run-sync", "peeple"], "did you mean people?"),
        (["run-sync", "--all", "--plan", "plan.json"], "name just that one"),
        (["run-sync", "people", "other", "--plan", "plan.json"], "name just that one"),
        (["run-sync", "people", "--plan", "missing.json"], "missing.json: cannot be read"),
        (["run-sync", "people", "--plan", "missing.json"], "plan people --out missing.json"),
        (["run-sync", "people", "--plan", "config.yaml"], "is no plan file"),
        (["run-sync", "people", "--plan", "config.yaml"], "plan people --out plan.json"),
        (["run-sync", "people", "--plan", "list.json"], "is no plan file"),
        (["run-sync", "people", "--plan", "old.json"], "has format 0.9"),
        (["run-sync", "other", "--plan", "plan.json"], "is a plan of sync people, not of other"),
        (["plan", "peeple"], "did you mean people?"),
        (["runs", "people", "--limit", "0"], "--limit"),
        (["no-such-command"], "No such command"),
        (["sandbox", "--connector", "brevo"], "there is no connector brevo"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_wrong_call_contacts_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str], words: Sequence[str], said: str
) -> None:
    plan = {"format_version": "1.0", "sync": "people", "digest": "0"}
    (folder / "plan.json").write_text(json.dumps(plan))
    (folder / "old.json").write_text(json.dumps({**plan, "format_version": "0.9"}))
    (folder / "list.json").write_text("[]")
    assert run(words) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    if words:
        assert run([*words, "--json"]) == 2
        document = documents.read(words, capsys.readouterr().out)
        assert said in "\n".join(document["problems"])
    assert not (folder / "w.duckdb").exists()


def test_a_plan_that_cannot_be_written_is_told_before_it_is_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_people(folder)
    assert run(["plan", "people", "--out", "no/such/folder/plan.json"]) == 2
    captured = capsys.readouterr()
    assert "no/such/folder/plan.json: cannot be written" in captured.err
    assert captured.out == ""


def make_people(folder: Path, rows: str = "(1, 'p1@example.com')") -> None:
    """Make the table that the syncs read."""
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        connection.execute("create table people (id integer, email varchar)")
        connection.execute(f"insert into people values {rows}")  # noqa: S608 - of the tests


# --- the config ----------------------------------------------------------------------------


def test_the_config_can_be_named_before_and_after_the_command(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = folder / "other place.yaml"
    (folder / "config.yaml").rename(other)
    assert run(["validate"]) == 2
    assert "config.yaml: cannot be read" in capsys.readouterr().err
    assert run(["validate", "--config", str(other)]) == 0
    assert capsys.readouterr().out == "config ok: 2 syncs\n"
    assert run(["--config", str(other), "validate"]) == 0
    monkeypatch.setenv("REVERSE_ETL_CONFIG", str(other))
    assert run(["validate"]) == 0


def test_a_key_in_the_config_is_warned_of_and_not_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.yaml").write_text(CONFIG.replace("${API_KEY}", KEY))
    (folder / "config.yaml").chmod(0o600)
    assert run(["validate", "--json"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("warning: config.yaml:4:")
    assert len(documents.read(["validate"], captured.out)["warnings"]) == 1
    assert KEY not in captured.out + captured.err


def test_what_a_run_would_refuse_is_refused_by_validate_too(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An engine without a dialect cannot be found out by the config's own models."""
    url = "oracle://somebody:secret-word@example.com/db"
    (folder / "config.yaml").write_text(CONFIG.replace("duckdb:///w.duckdb", url))
    for words in (["validate"], ["run-sync", "--all"], ["plan", "people"]):
        assert run(words) == 2
        captured = capsys.readouterr()
        assert "config.yaml:7:25: syncs.people: no warehouse dialect for oracle" in captured.err
        assert "secret-word" not in captured.err


def test_the_schema_is_the_json_schema_of_the_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    plain = json.loads(capsys.readouterr().out)
    assert plain["required"] == ["warehouses", "destinations", "syncs"]
    assert run(["schema", "--json"]) == 0
    document = documents.read(["schema"], capsys.readouterr().out)
    assert document == {"format_version": "1.0", "schema": plain}


# --- looking -------------------------------------------------------------------------------


def test_a_preview_before_the_first_run_leaves_no_trace(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_people(folder, "(1, ' P1@Example.com'), (2, null), (3, 'p1@example.com')")
    assert run(["plan", "people", "--detailed-exitcode"]) == 10
    shown = capsys.readouterr().out
    assert shown.startswith("people: 1 change in about 2 requests, 0.4 s at least\n  insert 1\n")
    assert "p1@example.com  1" in shown
    assert "1 row of the query not used: missing_identifier" in shown
    assert "1 row of the query not used: duplicate_identity" in shown
    assert "run it with: reverse-etl run-sync people\n" in shown
    with duckdb.connect(str(folder / "w.duckdb")) as connection:
        tables = "select count(*) from information_schema.tables"
        assert connection.execute(tables).fetchall() == [(1,)]


def test_before_the_first_run_there_is_nothing_to_show(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_people(folder)
    assert run(["runs", "people"]) == 0
    assert capsys.readouterr().out == "people never ran; run it with: reverse-etl run-sync people\n"
    assert run(["failures", "people"]) == 0
    assert capsys.readouterr().out == "people: no failed records\n"
    assert run(["status"]) == 0
    assert capsys.readouterr().out.count("never ran") == 2


def test_the_next_command_names_the_config_of_this_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_people(folder)
    other = folder / "it's here.yaml"
    (folder / "config.yaml").rename(other)
    assert run(["plan", "people", "--full", "--config", str(other)]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    typed = shlex.split(last.removeprefix("run it with: "))
    assert typed == ["reverse-etl", "run-sync", "people", "--full", "--config", str(other)]


def test_a_query_that_fails_is_told_by_plan(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_people(folder)
    text = CONFIG.replace("identifiers: {email: email}", "identifiers: {email: e_mail}")
    (folder / "config.yaml").write_text(text)
    assert run(["plan", "people", "--json"]) == 1
    document = documents.read(["plan"], capsys.readouterr().out)
    assert (document["status"], document["error_code"]) == ("failed", "source_error")
    assert "closest: email" in document["error"]


# --- output --------------------------------------------------------------------------------


def test_data_cannot_steer_the_terminal() -> None:
    assert visible("Zoë, 東京\nnext") == "Zoë, 東京\nnext"
    assert visible("a\x1b[2Jb\r\x07") == "a\\x1b[2Jb\\r\\x07"
    assert visible("abc\u202ecba") == "abc\\u202ecba"
    row: list[object] = ["a\nb", None]
    assert aligned([row]) == ["a b  -"]


def test_columns_are_aligned() -> None:
    rows: list[list[object]] = [["name", "count"], ["a", 5], ["longer", 1200]]
    assert aligned(rows) == ["name    count", "a           5", "longer   1200"]


def test_moments_are_utc() -> None:
    aware = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    assert moment(aware) == moment(aware.replace(tzinfo=None)) == "2026-01-02T03:04:05Z"
    assert moment(None) is None


def test_there_is_one_document_at_most(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.json = True
    output.say("for people")
    output.document({"first": "\x1b"})
    output.document({"second": 2})
    captured = capsys.readouterr().out
    assert "\x1b" not in captured
    assert json.loads(captured) == {"format_version": "1.0", "first": "\x1b"}
    fresh = Output()
    fresh.json = True
    with pytest.raises(ValueError, match="Out of range"):
        fresh.document({"nan": float("nan")})


# --- bugs ----------------------------------------------------------------------------------


def test_a_bug_is_called_one_and_shows_neither_locals_nor_secrets(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        local_canary = "a local value"
        message = f"the key is {os.environ['API_KEY']}"
        raise LookupError(message) from KeyError(local_canary[:0])

    assert folder.exists()
    monkeypatch.setattr(checking, "refuse_unusable", broken)
    assert run(["validate", "--json"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("this is a bug in reverse-etl (LookupError)")
    assert "the key is" not in captured.err.replace('message = f"the key is', "")
    assert "in broken" in captured.err
    assert "a local value" not in captured.err.replace('local_canary = "a local value"', "")
    document = documents.read(["validate"], captured.out)
    assert document["error_code"] == "bug"
    assert KEY not in captured.out + captured.err


# --- exit codes ----------------------------------------------------------------------------


def test_the_exit_codes_of_the_contract() -> None:
    assert EXIT_CODES == {
        "planned": 0,
        "succeeded": 0,
        "skipped": 0,
        "failed": 1,
        "completed_with_failures": 3,
        "held": 4,
        "busy": 5,
        "interrupted": 130,
    }
    assert RunSummary("s", status="held").exit_code == 4


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ([], 0),
        ([0, 3], 3),
        ([3, 5], 5),
        ([5, 4], 4),
        ([4, 1], 1),
        ([1, 130], 130),
        ([143, 1], 143),
        ([143, 2, 0], 2),
    ],
)
def test_the_worst_exit_code_counts(codes: list[int], expected: int) -> None:
    assert worst(codes) == worst(reversed(codes)) == expected


def test_counts_in_words() -> None:
    assert (
        counted((1, "row", "left"), (0, "change", ""), (2, "change", "")) == "1 row left, 2 changes"
    )


# --- signals -------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_asks_to_stop(
    number: signal.Signals, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(number)
    with Stop(grace_seconds=60) as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert stop.exit_code == code
    assert signal.getsignal(number) is before
    assert "stopping" in capfd.readouterr().err


_HOLDS_BACK = "import sys; from reverse_etl.cli import _end; sys.stdout.write('held back'); _end(3)"
# -E: a variable may tell Python to hold nothing back.
ENDS = [sys.executable, "-E", "-c", _HOLDS_BACK]


def test_the_end_loses_no_output() -> None:
    """What is written without a line end waits in Python, which is not taken apart."""
    done = subprocess.run(ENDS, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"held back", b"")


def test_at_the_end_nobody_may_be_reading() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "wb") as stdout:
        done = subprocess.run(ENDS, stdout=stdout, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (3, b"")


SCHEDULES = {
    "    schedule: {type: basic, every: 1 week, at: '09:00'}": [
        "2026-11-26T09:00:00Z",
        "2026-12-03T09:00:00Z",
        "2026-12-10T09:00:00Z",
        "2026-12-17T09:00:00Z",
        "2026-12-24T09:00:00Z",
    ],
    "    schedule: {type: cron, expression: '0 0 29 2 *'}": [
        "2028-02-29T00:00:00Z",
        "2032-02-29T00:00:00Z",
        "2036-02-29T00:00:00Z",
        "2040-02-29T00:00:00Z",
        "2044-02-29T00:00:00Z",
    ],
    "": [],
}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_validate_shows_when_each_sync_is_due(
    schedule: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime(2026, 11, 23, 1, 6, tzinfo=UTC))
    (folder / "config.yaml").write_text(f"{CONFIG}{schedule}\n")

    assert run(["validate", "--schedules"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown == [
        "config ok: 2 syncs",
        "  people  by hand",
        f"  other   {', '.join(SCHEDULES[schedule]) or 'by hand'}",
    ]
    assert run(["validate", "--schedules", "--json"]) == 0
    document = documents.read(["validate"], capsys.readouterr().out)
    assert document["schedules"] == {"people": [], "other": SCHEDULES[schedule]}


def test_no_schedule_is_shown_where_there_is_no_sync(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config.yaml").write_text(f"{CONFIG.partition('syncs:')[0]}syncs: {{}}\n")

    assert run(["validate", "--schedules"]) == 0
    assert capsys.readouterr().out == "config ok: 0 syncs\n"


def test_the_example_config_is_valid(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ITERABLE_API_KEY", "k")
    example = Path(__file__).parents[2] / "config.example.yaml"

    assert run(["validate", "--config", str(example)]) == 0

    shown = capsys.readouterr()
    assert "config ok: 2 syncs" in shown.out
    assert shown.err == ""
