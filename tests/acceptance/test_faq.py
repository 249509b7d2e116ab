"""What docs/faq.md answers, where no other test shows it.

``SHOWN`` says for each question of the page which tests show its answer: those of this file by
their name, others with the file they are in.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
import yaml

from connectors.iterable.sandbox import Fault, Sandbox
from reverse_etl.audit import audit
from reverse_etl.cli import app
from reverse_etl.config import load_config
from reverse_etl.config.watch import WatchedConfig
from reverse_etl.ports import Ports
from reverse_etl.preview import preview
from reverse_etl.run import Options, run_sync
from reverse_etl.scheduler import Scheduler
from reverse_etl.scheduler.metrics import Metrics
from tests.world import KEY, LIST, SYNC, address, at_work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reverse_etl.config import Config
    from reverse_etl.report import AuditReport, RunSummary
    from tests.world import World

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"
PAGE = (DOCS / "faq.md").read_text(encoding="utf-8")

SHOWN: dict[str, Sequence[str]] = {
    # Before the first run
    "How do I test without an account?": (
        "acceptance/test_commands.py::test_the_sandbox_command_is_a_destination",
        "acceptance/test_demo.py::test_it_tells_the_story_with_commands_that_were_really_run",
        "acceptance/test_getting_started.py::test_each_command_says_what_the_page_shows",
    ),
    "Can I see what would be sent, without sending it?": (
        "acceptance/test_commands.py::test_a_plan_file_is_sent_as_it_was_or_not_at_all",
        "test_a_plan_is_made_while_a_run_is_at_work",
        "unit/test_cli.py::test_a_preview_before_the_first_run_leaves_no_trace",
    ),
    "What rights does it need?": (
        "acceptance/test_check.py::test_missing_rights_come_with_the_statements_that_help",
        "acceptance/test_check.py::test_rights_that_were_given_are_proven_and_enough_for_a_run",
        "acceptance/test_check.py::test_a_key_that_may_only_read",
        "acceptance/test_read_only_sources.py::test_nothing_is_written_and_the_source_is_read_once",
    ),
    "How big can it get?": ("test_how_big_it_was_measured_to_be",),
    # Nobody has tried either: there is an image to be shown, and nothing else.
    "Does it run on Windows, or on a Mac?": (
        "unit/test_service_files.py::test_the_image_is_made_of_pinned_wheels_and_holds_byte_code",
    ),
    "Does it send telemetry?": ("test_no_command_talks_to_anybody_but_the_destination",),
    # Lists and profiles
    "What happens if somebody edits the list by hand?": (
        "acceptance/test_audit.py::test_people_who_were_taken_off_by_others_are_put_back",
        "test_whom_others_put_on_leaves_if_the_query_found_them_too",
        "test_whom_others_took_off_stays_off_until_a_value_changes",
        "acceptance/test_promises_life.py::test_members_of_others_are_not_touched",
    ),
    "Can two syncs write to one list, or to one field?": (
        "test_of_two_mirrors_of_one_list_each_takes_off_its_own",
        "test_two_upserts_of_one_list_do_no_harm",
        "test_of_two_writers_of_one_field_each_undoes_the_other",
        "unit/test_config.py::test_two_syncs_that_mirror_one_list_are_told",
    ),
    "Can I rename a list, or delete it?": (
        "test_a_full_run_looks_for_the_name_of_a_list_again",
        "test_a_list_that_is_called_by_its_id_may_get_any_name",
        "test_a_deleted_list_is_noticed_when_there_is_something_to_send",
        "acceptance/test_promises_config.py::test_a_name_is_looked_up_once",
        "acceptance/test_promises_config.py::test_another_list_is_refused",
        "acceptance/test_promises_config.py::test_full_starts_from_an_empty_base",
    ),
    "How do I remove everybody?": (
        "test_everybody_of_ours_is_removed_and_nobody_else",
        "test_everybody_loses_the_fields_that_were_sent_and_nothing_else",
    ),
    "What happens to people who leave a sync of profiles?": (
        "test_everybody_loses_the_fields_that_were_sent_and_nothing_else",
        "acceptance/test_promises_profiles.py::test_who_leaves_loses_what_was_sent",
        "acceptance/test_promises_profiles.py::test_who_is_kept_is_left_alone",
    ),
    "Does it unsubscribe anybody from e-mails?": (
        "test_everybody_of_ours_is_removed_and_nobody_else",
        "unit/test_iterable_delivery.py::test_unsubscribe_never_leaves_the_channel",
    ),
    'Why "rows without identifier", and "duplicate rows"?': (
        "acceptance/test_promises_people.py::test_rows_without_identifier_are_reported",
        "acceptance/test_promises_people.py::test_the_smallest_primary_key_wins",
    ),
    "Why did this person get that mail?": (
        "acceptance/test_explain.py::test_a_life_in_order",
        "acceptance/test_questions.py::test_the_answers",
    ),
    "How do I try people again who were refused?": (
        "acceptance/test_retry.py::test_who_is_asked_for_is_planned_by_the_next_run",
        "acceptance/test_promises_failures.py::test_permanent_failures_wait",
        "unit/test_error_codes.py::test_a_code_is_explained",
    ),
    "Does it send the same person twice?": (
        "test_the_window_is_as_large_as_the_pages_say",
        "test_after_a_kill_at_most_a_window_is_sent_again",
        "acceptance/test_promises_failures.py::test_no_trustworthy_answer",
    ),
    "Why was the run held?": (
        "acceptance/test_promises_brake.py::test_just_above_the_limit",
        "acceptance/test_promises_brake.py::test_allow_deletes_passes_once",
        "acceptance/test_promises_brake.py::test_nothing_is_written",
    ),
    # The life of a sync
    "Can I rename a sync?": ("test_a_renamed_sync_is_a_new_one",),
    "How do I pause a sync?": (
        "test_a_paused_sync_goes_on_where_it_was",
        "test_a_sync_that_was_out_of_the_config_goes_on_where_it_was",
    ),
    "How do I change the query, or the fields?": (
        "acceptance/test_promises_config.py::test_another_query",
        "acceptance/test_promises_config.py::test_a_new_field",
        "acceptance/test_promises_config.py::test_a_field_no_longer_mapped",
    ),
    "How do I send everybody again?": (
        "acceptance/test_promises_life.py::test_full_sends_everybody",
    ),
    "How do I move to another warehouse?": (
        "acceptance/test_moves.py::test_nothing_is_sent_again",
        "acceptance/test_moves.py::test_the_command_says_what_it_moved_and_what_to_do_next",
    ),
    "How do I go from one tool to this one?": (
        "acceptance/test_coming_from.py::test_people_who_were_left_behind_are_adopted_and_leave",
    ),
    # Operating it
    "Where is its state?": ("test_nothing_is_kept_on_the_machine",),
    "How do I back it up?": ("test_what_a_backup_that_is_put_back_does_not_know",),
    "How do I rotate the API key?": (
        "test_a_new_key_is_put_where_the_old_one_was",
        "test_a_scheduler_has_a_new_key_within_15_seconds",
        "acceptance/test_promises_config.py::test_another_key",
        "unit/test_config_watch.py::test_the_env_file_counts",
    ),
    "Two machines run it at the same time. Is that bad?": (
        "acceptance/test_commands.py::test_two_runs_of_one_sync_at_once",
        "acceptance/test_commands.py::test_of_two_run_due_at_the_same_moment_one_serves_the_tick",
        "reliability/test_lease.py::test_of_two_machines_the_second_learns_who_is_running",
    ),
    "What if it is killed?": (
        "reliability/test_kills.py::test_killed_again_and_again_the_next_run_repairs",
        "acceptance/test_commands.py::test_a_killed_run_is_settled_by_the_next_one",
    ),
    "What about people who must be forgotten?": (
        "test_who_is_forgotten_at_iterable_waits_until_their_row_changes",
        "test_somebody_is_erased_from_our_tables",
        "test_somebody_is_erased_where_nobody_is_taken_off",
        "acceptance/test_alerts.py::test_a_held_run_names_nobody",
        "acceptance/test_promises_tables.py::test_old_lines_go",
        "acceptance/test_retry.py::test_a_key_chooses_and_so_does_an_identity",
        "reliability/test_own_tables.py::test_damage_is_refused_and_a_full_run_is_the_way_out",
        "security/test_canaries.py::test_nothing_secret_and_nobody_turns_up",
    ),
    "Can it run in CI?": (
        "acceptance/test_commands.py::test_a_plan_file_is_sent_as_it_was_or_not_at_all",
        "test_commands_that_only_look_need_no_network",
        "test_every_command_has_json",
        "acceptance/test_getting_started.py::test_each_command_says_what_the_page_shows",
    ),
    "Can it run after dbt?": (
        "unit/test_config_dbt.py::test_a_name_stands_for_the_table_that_dbt_built",
        "unit/test_dbt_results.py::test_a_model_that_must_not_be_sent_is_told_with_the_reason",
        "unit/test_dbt_results.py::test_a_skipped_sync_touches_nothing_and_is_no_failure",
    ),
    "How do I get rid of it?": ("test_without_our_schema_lists_stay_as_they_are",),
}

duckdb_only = pytest.mark.parametrize("database", ["duckdb"], indirect=True)
postgresql_only = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
# With statements of the page, which are written for these two.
both = pytest.mark.parametrize("database", ["duckdb", "postgresql"], indirect=True)

ADA, BOB, CY, DAN, EVE = (address(name) for name in ("ada", "bob", "cy", "dan", "eve"))
ADA_OF_THE_PAGE = "ada@example.com"
MOST_SECONDS = 60.0


# --- the page, and worlds with more than one sync ----------------------------------------------


def answer_to(question: str) -> str:
    """Return the text below a heading of the page."""
    _, _, rest = PAGE.partition(f"\n### {question}\n")
    assert rest, question
    return re.split(r"\n##", rest, maxsplit=1)[0]


def statements_of(question: str, whom: str) -> list[str]:
    """Return the SQL of an answer, said of somebody."""
    (block,) = re.findall(r"```sql\n(.+?)```", answer_to(question), re.DOTALL)
    return [
        each.strip().replace(ADA_OF_THE_PAGE, whom) for each in block.split(";") if each.strip()
    ]


def config_of(world: World, syncs: dict[str, dict[str, Any]]) -> Config:
    """Write the config of the world with these syncs in the place of its own, and load it."""
    world.config()
    path = world.folder / "config.yaml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(document | {"syncs": syncs}), encoding="utf-8")
    return load_config(path, {"ITERABLE_API_KEY": world.key, "WAREHOUSE_URL": world.database.url})


def ports_of(world: World) -> Ports:
    """Return time, chance and the wire of the world; let go of its warehouse."""
    world.database.release()
    world.sent.clear()
    return Ports(world.clock, random.Random(7), transport=world._transport)


def run_of(world: World, config: Config, name: str, **options: Any) -> RunSummary:
    """Run one sync of a config."""
    report = run_sync(config, name, Options(**options), ports_of(world))
    assert report.status == "succeeded"
    return report


def audit_of(world: World, config: Config, name: str = SYNC) -> AuditReport:
    """Audit one sync of a config."""
    return audit(config, name, ports=ports_of(world))


def asking(world: World, condition: str, **changes: Any) -> dict[str, Any]:
    """Return the sync of the world with a query of its own, and other changes."""
    query = f"select * from people where {condition}"  # noqa: S608 - a test's own
    return {**world.sync, "source": {**world.sync["source"], "query": query}, **changes}


def named_in(world: World, whom: str) -> set[str]:
    """Return the tables of ours that name somebody in any column."""
    return {name for name, rows in all_tables(world).items() if any(whom in row for row in rows)}


def all_tables(world: World) -> dict[str, list[str]]:
    """Return the rows of every table of ours, as text."""
    queries = {name: f'SELECT * FROM reverse_etl."{name}"' for name in world.tables()}  # noqa: S608
    return {name: [str(row) for row in world.sql(query)] for name, query in queries.items()}


# --- before the first run ----------------------------------------------------------------------


@postgresql_only
def test_a_plan_is_made_while_a_run_is_at_work(world: World) -> None:
    """It takes no lease."""
    world.put_emails("ada")
    world.run()
    world.put_emails("ada", "bob")
    with at_work(world, SYNC):
        before = all_tables(world)
        shown = preview(world.config(), SYNC, ports=ports_of(world))
        assert all_tables(world) == before
    assert shown.report.planned == world.changes(insert=1)


@duckdb_only
def test_how_big_it_was_measured_to_be(world: World) -> None:
    """The figures are those of performance.md; the pace is that of the settings nobody changed."""
    page = (DOCS / "performance.md").read_text(encoding="utf-8")

    def measured(engine: str, unit: str) -> float:
        start = f"| first run list | {engine} | 10,000,000 | {unit} | "
        found = re.findall(rf"^{re.escape(start)}([\d,.]+) \|", page, re.MULTILINE)
        return float(found[0].replace(",", ""))

    said = " ".join(answer_to("How big can it get?").split())
    assert f"{measured('duckdb', 'seconds'):.0f} s for a first list from DuckDB" in said
    assert f"{measured('postgresql', 'seconds'):.0f} s from PostgreSQL" in said
    assert f"{measured('postgresql', 'MB at most'):.0f} MB of memory beside PostgreSQL" in said
    assert f"about {measured('duckdb', 'MB at most') / 1000:.0f} GB with DuckDB" in said
    world.destination["requests_per_second"] = None
    limits = world.config().bind(SYNC).limits
    rate = limits.requests_per_second["lists/subscribe"]
    assert f"at {rate} requests a second (our default)" in said
    assert f"with {limits.records_per_request:,} people each" in said
    assert f"a million people take {1_000_000 / limits.records_per_request / rate:.0f} s" in said


# --- whom it talks to, and what it leaves ------------------------------------------------------

# A process that writes down whom it looks up and connects to, and then does what commands do. What
# libraries in C do by themselves (libpq, DuckDB) is not heard.
_HEARD = """\
import json, sys

talk, *commands = sys.argv[1:]
file = open(talk, "w", encoding="utf-8")

def hear(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        print(json.dumps(["look up", str(arguments[0])]), file=file, flush=True)
    elif event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        print(json.dumps(["connect", *map(str, arguments[1])]), file=file, flush=True)

sys.addaudithook(hear)

from reverse_etl.cli.app import run

codes = [run(command.split()) for command in commands]
sys.exit(f"{codes}" if any(codes) else 0)
"""


@dataclass
class Machine:
    """A machine on which nothing is but a config and the program."""

    world: World
    root: Path

    def call(self, *commands: str) -> list[list[str]]:
        """Call commands that end well; return whom they looked up and connected to."""
        talk = self.world.folder / "talk"
        self.world.database.release()
        done = subprocess.run(
            [sys.executable, "-B", "-c", _HEARD, str(talk), *commands],
            cwd=self.root / "work",
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.root / "home"),
                "TMPDIR": str(self.root / "tmp"),
                "REVERSE_ETL_CONFIG": str(self.world.folder / "config.yaml"),
                "ITERABLE_API_KEY": self.world.key,
                "WAREHOUSE_URL": self.world.database.url,
            },
            capture_output=True,
            text=True,
            timeout=MOST_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [json.loads(line) for line in talk.read_text(encoding="utf-8").splitlines()]

    def files(self) -> list[str]:
        """Return the files in the home folder, the temporary and the current one."""
        return [str(path) for path in self.root.rglob("*") if not path.is_dir()]


@pytest.fixture
def machine(world: World) -> Machine:
    """Return a machine with a sync that has something to send."""
    world.put_emails("ada", "bob")
    world.config()
    root = world.folder / "machine"
    for name in ("home", "tmp", "work"):
        (root / name).mkdir(parents=True)
    return Machine(world, root)


@duckdb_only
def test_no_command_talks_to_anybody_but_the_destination(machine: Machine) -> None:
    host, port = machine.world.sandbox.url.removeprefix("http://").split(":")
    heard = machine.call("check vip", "lists iterable", "run-sync vip", "audit vip", "run-due")
    assert ["connect", host, port] in heard
    assert {each[1] for each in heard} == {host}
    assert {each[2] for each in heard if each[0] == "connect"} == {port}
    assert machine.world.members() == {ADA, BOB}


@duckdb_only
def test_commands_that_only_look_need_no_network(machine: Machine) -> None:
    machine.call("run-sync vip")
    of_the_sync = ("plan vip", "runs vip", "failures vip", f"explain vip --identity {ADA}")
    assert machine.call("validate", "status", "explain-error held", *of_the_sync) == []


@postgresql_only
def test_nothing_is_kept_on_the_machine(machine: Machine) -> None:
    machine.call("run-sync vip", "audit vip")
    assert machine.files() == []
    assert machine.world.members() == {ADA, BOB}
    assert {"sync_state", "sync_runs", "sync_log", "snapshot_vip"} <= machine.world.tables()


def test_every_command_has_json() -> None:
    commands: Any = typer.main.get_command(app._app())
    without = [
        name
        for name, command in commands.commands.items()
        if "--json" not in {option for each in command.params for option in each.opts}
    ]
    assert without == []


# --- lists and profiles ------------------------------------------------------------------------


@duckdb_only
def test_whom_others_put_on_leaves_if_the_query_found_them_too(world: World) -> None:
    world.put_emails("ada")
    world.run()
    world.sandbox.seed_list(LIST, [BOB, CY])
    world.quiet()
    world.put_emails("ada", "bob")
    assert world.run().planned == world.changes(insert=1)
    world.put_emails("ada")
    world.checks_members = False  # it would take Bob for one of theirs
    assert world.run().planned == world.changes(delete=1)
    assert world.members() == {ADA, CY}


@duckdb_only
def test_whom_others_took_off_stays_off_until_a_value_changes(world: World) -> None:
    ada, bob = {"email": ADA, "plan": "basic"}, {"email": BOB, "plan": "basic"}
    world.checks_members = False
    world.put(ada, bob)
    world.run()
    world.sandbox.state.list_named(LIST).members.clear()
    world.quiet()
    assert world.members() == set()
    world.put(ada | {"plan": "gold"}, bob)
    assert world.run().planned == world.changes(update=1)
    assert world.members() == {ADA}
    world.quiet()
    assert world.run(repair=True).planned == world.changes(update=1)
    assert world.members() == {ADA, BOB}


@pytest.fixture
def three(world: World) -> World:
    """Return a world in which Ada is golden and in Oslo, Bob is golden, and Cy is in Oslo."""
    world.put(
        {"email": ADA, "plan": "gold", "city": "Oslo"},
        {"email": BOB, "plan": "gold", "city": "Bern"},
        {"email": CY, "plan": "basic", "city": "Oslo"},
    )
    return world


def let_ada_leave_the_golden(world: World) -> None:
    """Let Ada be in the audience of Oslo alone."""
    world.sql(f"UPDATE people SET plan = 'basic' WHERE email = '{ADA}'")  # noqa: S608


@duckdb_only
def test_of_two_mirrors_of_one_list_each_takes_off_its_own(three: World) -> None:
    golden, of_oslo = asking(three, "plan = 'gold'"), asking(three, "city = 'Oslo'")
    config = config_of(three, {"golden": golden, "of_oslo": of_oslo | {"fields": {}}})
    (warning,) = config.warnings
    assert "the sync golden writes to the same list" in warning
    run_of(three, config, "golden")
    run_of(three, config, "of_oslo")
    assert three.members() == {ADA, BOB, CY}
    let_ada_leave_the_golden(three)
    assert run_of(three, config, "golden").planned == three.changes(delete=1)
    assert run_of(three, config, "of_oslo").planned == three.changes()
    assert three.members() == {BOB, CY}
    found = audit_of(three, config, "of_oslo")
    assert [one.identity for one in found.samples["missing"]] == [ADA]
    run_of(three, config, "of_oslo", repair=True)
    assert three.members() == {ADA, BOB, CY}


@duckdb_only
def test_two_upserts_of_one_list_do_no_harm(three: World) -> None:
    golden = asking(three, "plan = 'gold'", mode="upsert")
    of_oslo = asking(three, "city = 'Oslo'", mode="upsert")
    config = config_of(three, {"golden": golden, "of_oslo": of_oslo})
    assert config.warnings == []
    run_of(three, config, "golden")
    run_of(three, config, "of_oslo")
    let_ada_leave_the_golden(three)
    run_of(three, config, "golden")
    assert three.members() == {ADA, BOB, CY}


@duckdb_only
def test_of_two_writers_of_one_field_each_undoes_the_other(profiles: World) -> None:
    def put(**values: str) -> None:
        profiles.put({"email": ADA, "plan": "gold", "city": "Oslo"} | values)

    put()
    by_plan = profiles.sync | {"fields": {"tier": "plan"}}
    by_city = profiles.sync | {"fields": {"tier": "city"}}
    config = config_of(profiles, {"by_plan": by_plan, "by_city": by_city})
    assert config.warnings == []
    seen = []
    for name in ("by_plan", "by_city", "by_plan"):
        run_of(profiles, config, name)
        seen.append(profiles.fields(ADA)["tier"])
    assert seen == ["gold", "Oslo", "Oslo"], "what was undone is not noticed"
    put(plan="basic")
    run_of(profiles, config, "by_plan")
    assert profiles.fields(ADA)["tier"] == "basic"
    profiles.put()
    run_of(profiles, config, "by_city", allow_deletes=True)
    assert dict(profiles.fields(ADA)) == {}


@duckdb_only
def test_a_full_run_looks_for_the_name_of_a_list_again(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    world.sandbox.state.list_named(LIST).name = "Renamed"
    world.put_emails("ada")
    world.run()
    assert world.members("Renamed") == {ADA}
    world.run(full=True)
    assert world.members("Renamed") == world.members(LIST) == {ADA}


@duckdb_only
def test_a_list_that_is_called_by_its_id_may_get_any_name(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    made = world.sandbox.state.list_named(LIST)
    made.name = "Renamed"
    world.sync["destination"]["list"] = {"id": made.id}
    world.quiet()
    world.put_emails("ada")
    assert world.run(full=True).planned == world.changes(update=1, delete=1)
    assert len(world.sandbox.state.lists) == 1
    assert world.members("Renamed") == {ADA}


@duckdb_only
@pytest.mark.parametrize("by", ["name", "id"])
def test_a_deleted_list_is_noticed_when_there_is_something_to_send(world: World, by: str) -> None:
    """A full run makes it anew, if the config says how to call it."""
    list_id = world.sandbox.seed_list(LIST)
    world.sync["destination"]["list"] = {"name": LIST} if by == "name" else {"id": list_id}
    world.checks_members = False
    world.put_emails("ada")
    world.run()
    world.sandbox.state.lists.clear()
    world.quiet()
    world.put_emails("ada", "bob")
    assert world.run().error_code == "unknown_list"
    assert world.sandbox.state.lists == {}
    report = world.run(full=True)
    if by == "name":
        assert (report.status, world.members()) == ("succeeded", {ADA, BOB})
    else:
        assert (report.error_code, world.sandbox.state.lists) == ("unknown_list", {})


@duckdb_only
def test_everybody_of_ours_is_removed_and_nobody_else(world: World) -> None:
    """The brake asks first; nobody is unsubscribed from anything but the list."""
    world.sync["max_delete_percent"] = 50
    world.sandbox.seed_list(LIST, [CY])
    world.put_emails("ada", "bob")
    world.run()
    world.sync["source"]["query"] = "select * from people where false"
    assert world.run().status == "held"
    assert world.members() == {ADA, BOB, CY}
    assert world.run(allow_deletes=True).succeeded == world.changes(delete=2)
    assert world.members() == {CY}
    assert world.sandbox.state.global_unsubscribes == set()
    assert all(world.sandbox.state.profile(each) for each in (ADA, BOB))


@duckdb_only
def test_everybody_loses_the_fields_that_were_sent_and_nothing_else(profiles: World) -> None:
    profiles.sync["max_delete_percent"] = 50
    profiles.put({"email": ADA, "plan": "gold", "city": "Oslo"}, {"email": BOB, "plan": "basic"})
    profiles.run()
    profiles.sandbox.add_profile(email=ADA, fields={"shoe": 42})
    profiles.sync["source"]["query"] = "select * from people where false"
    assert profiles.run().status == "held"
    assert profiles.run(allow_deletes=True).succeeded == profiles.changes(delete=2)
    assert (dict(profiles.fields(ADA)), dict(profiles.fields(BOB))) == ({"shoe": 42}, {})


# --- twice -------------------------------------------------------------------------------------


@duckdb_only
def test_the_window_is_as_large_as_the_pages_say(world: World) -> None:
    """What a run may send before it confirms something, with the usual settings."""
    world.put_emails("ada")
    world.die(before=1)
    (window,) = (row["send_limit"] for row in world.sql("SELECT * FROM reverse_etl.sync_state"))
    said = (DOCS / "concepts.md").read_text(encoding="utf-8")
    assert f"At most one window is sent twice: {window:,} people with the usual settings" in said


@duckdb_only
@pytest.mark.parametrize("before", [6, 31, 57])
def test_after_a_kill_at_most_a_window_is_sent_again(world: World, before: int) -> None:
    """Six rounds of the requests in flight; without a kill nobody is sent twice."""
    world.destination |= {"records_per_request": 2, "max_in_flight": 3}
    window = 6 * 3 * 2
    world.put_emails(*(f"p{n}" for n in range(120)))
    world.die(before=before)
    killed = [each["email"] for each in world.subscribed()]
    world.run()
    settled = [each["email"] for each in world.subscribed()]
    assert len(set(killed)) == len(killed)
    assert len(set(settled)) == len(settled)
    again = set(killed) & set(settled)
    assert len(again) <= window
    if before == 6:
        assert again == set(killed) != set(), "nothing is confirmed yet"
    assert len(world.members()) == 120


# --- the life of a sync ------------------------------------------------------------------------


@duckdb_only
def test_a_renamed_sync_is_a_new_one(world: World) -> None:
    world.put_emails("ada", "bob", "cy")
    run_of(world, config_of(world, {"vip": world.sync}), "vip")
    world.put_emails("ada", "bob")
    config = config_of(world, {"renamed": world.sync})
    assert run_of(world, config, "renamed").planned == world.changes(insert=2)
    assert run_of(world, config, "renamed").planned == world.changes()
    assert world.members() == {ADA, BOB, CY}
    found = audit_of(world, config, "renamed")
    assert [one.identity for one in found.samples["extra_others"]] == [CY]


@dataclass
class Service:
    """What `serve` does, on a clock that nobody waits for."""

    world: World

    def __post_init__(self) -> None:
        world = self.world
        world.sync["schedule"] = {"type": "basic", "every": "1 hour"}
        self._until = world.clock.now()
        config = world.config()
        variables = {"ITERABLE_API_KEY": world.key, "WAREHOUSE_URL": world.database.url}
        watched = WatchedConfig(config, lambda: load_config(config.path, variables))
        ports = replace(ports_of(world), stop=lambda: world.clock.now() >= self._until)
        self._scheduler = Scheduler(
            config, ports, reload=watched.changed, watcher=Metrics(), wait=self._rest
        )

    def run(self, **time: float) -> None:
        """Work for a while, from now on."""
        self.world.database.release()
        self._until = self.world.clock.now() + timedelta(**time)
        self._scheduler.run()

    def key(self) -> str:
        """Return the key of the config of the moment."""
        return self._scheduler.config.account("iterable").headers()["Api-Key"]

    def _rest(self, seconds: float) -> None:
        if any(entry.is_running for entry in self._scheduler.agenda.entries.values()):
            self._scheduler.wait_for_end(MOST_SECONDS)
        else:
            self.world.clock.sleep(seconds)


@duckdb_only
def test_a_paused_sync_goes_on_where_it_was(world: World) -> None:
    """Not even what its last run has left is sent in the meantime."""
    world.put_emails("ada", "bob")
    service = Service(world)
    service.run(minutes=61)
    assert world.members() == {ADA, BOB}
    world.put_emails("ada", "bob", "cy")
    world.faults = [Fault("status", match="/api/lists/subscribe", status=401)]
    service.run(minutes=61)
    assert world.last_run()["error_code"] == "unauthorized"

    hourly, world.sync["schedule"] = world.sync["schedule"], {"type": "manual"}
    world.config()
    service.run(seconds=15)
    runs = len(world.runs())
    world.faults = []
    world.put_emails("ada", "dan")
    service.run(hours=3)
    assert (len(world.runs()), world.members()) == (runs, {ADA, BOB})

    world.sync["schedule"] = hourly
    world.config()
    service.run(minutes=61)
    assert world.members() == {ADA, DAN}


@duckdb_only
def test_a_sync_that_was_out_of_the_config_goes_on_where_it_was(three: World) -> None:
    golden = asking(three, "plan = 'gold'")
    other = asking(three, "city = 'Oslo'")
    other["destination"] = {**other["destination"], "list": {"name": "Oslo"}}
    run_of(three, config_of(three, {"golden": golden, "other": other}), "golden")
    let_ada_leave_the_golden(three)
    without = config_of(three, {"other": other})
    for _ in range(4):
        run_of(three, without, "other")
    assert three.members() == {ADA, BOB}
    config = config_of(three, {"golden": golden, "other": other})
    assert run_of(three, config, "golden").planned == three.changes(delete=1)
    assert three.members() == {BOB}


# --- operating it ------------------------------------------------------------------------------


@duckdb_only
def test_what_a_backup_that_is_put_back_does_not_know(world: World) -> None:
    path = Path(world.database.url.removeprefix("duckdb:///"))
    backup = path.with_suffix(".backup")
    world.put_emails("ada", "bob", "cy")
    world.run()
    world.database.release()
    shutil.copy(path, backup)

    world.put_emails("ada", "bob", "dan", "eve")
    world.run()
    world.put_emails("ada", "dan", "eve")
    world.run()
    assert world.members() == {ADA, DAN, EVE}

    world.database.release()
    shutil.copy(backup, path)
    world.checks_members = False
    world.put_emails("ada", "bob", "dan")
    assert world.run().planned == world.changes(insert=1, delete=1), "of Dan and of Cy, again"
    assert world.members() == {ADA, DAN, EVE}
    found = audit_of(world, world.config())
    some = {word: [one.identity for one in found.samples[word]] for word in found.samples}
    assert (some["missing"], some["extra_ours"], some["extra_others"]) == ([BOB], [], [EVE])
    world.run(repair=True)
    assert world.members() == {ADA, BOB, DAN, EVE}


def renew_key(world: World, key: str) -> None:
    """Let the project take another key, and no other one any more."""
    port, members = world.sandbox.port, world.members()
    world.sandbox.stop()
    world.sandbox = Sandbox(api_key=key)
    world.sandbox.start(port)
    world.sandbox.seed_list(LIST, members)


@duckdb_only
@pytest.mark.parametrize("place", ["environment", ".env", "api_key_file"])
def test_a_new_key_is_put_where_the_old_one_was(
    world: World, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another key is no other account: the run sends what has changed, and nothing else does."""
    file = world.folder / (".env" if place == ".env" else "iterable.key")

    def put_key(key: str) -> None:
        if place == "environment":
            monkeypatch.setenv("ITERABLE_API_KEY", key)
        else:
            file.write_text(f"ITERABLE_API_KEY={key}" if place == ".env" else f"{key}\n")

    def run() -> int:
        world.database.release()
        return app.run(["run-sync", SYNC, "--config", str(world.folder / "config.yaml")])

    monkeypatch.delenv("ITERABLE_API_KEY", raising=False)
    monkeypatch.setenv("WAREHOUSE_URL", world.database.url)
    put_key(KEY)
    if place == "api_key_file":
        world.destination |= {"api_key": None, "api_key_file": file.name}
    world.config()
    world.put_emails("ada")
    assert run() == 0
    renew_key(world, "another-key")
    world.put_emails("ada", "bob")
    assert run() == 1
    assert (world.last_run()["error_code"], world.failed()) == ("unauthorized", {})
    put_key("another-key")
    assert run() == 0
    assert (world.last_run()["inserts_planned"], world.last_run()["updates_planned"]) == (1, 0)
    assert world.members() == {ADA, BOB}


@duckdb_only
def test_a_scheduler_has_a_new_key_within_15_seconds(world: World) -> None:
    """It looks every few seconds, and takes what has stayed the same between two looks."""
    file = world.folder / "iterable.key"
    file.write_text(KEY)
    world.destination |= {"api_key": None, "api_key_file": file.name}
    service = Service(world)
    service.run(seconds=20)
    assert service.key() == KEY
    file.write_text("another-key-of-the-project")
    service.run(seconds=15)
    assert service.key() == "another-key-of-the-project"


# --- people who must be forgotten --------------------------------------------------------------

FORGOTTEN = "What about people who must be forgotten?"


@duckdb_only
def test_who_is_forgotten_at_iterable_waits_until_their_row_changes(world: World) -> None:
    world.sandbox.forget(ADA)
    world.put({"email": ADA, "plan": "basic"}, {"email": BOB})
    world.run()
    assert world.failures() == {ADA: ("insert", "forgotten", False)}
    world.quiet()
    world.put({"email": ADA, "plan": "gold"}, {"email": BOB})
    assert world.run().planned == world.changes(insert=1)
    world.put({"id": 2, "email": BOB})
    world.run()
    assert world.failed() == {}


@both
def test_somebody_is_erased_from_our_tables(world: World) -> None:
    """By the statements of the page; snapshots and plans go with the next three runs."""
    world.sync["max_delete_percent"] = 50
    everybody = [f"p{n}" for n in range(9)]
    world.put_emails("ada", *everybody)
    world.run()
    world.put_emails("bob")
    assert world.run().status == "held"
    world.put_emails(*everybody)
    world.run()
    named = named_in(world, ADA)
    assert {"sync_log", "sync_runs", "snapshot_vip_1", "changes_vip_1", "changes_vip_3"} == named
    for statement in statements_of(FORGOTTEN, ADA):
        world.sql(statement)
    assert named_in(world, ADA) == named - {"sync_log", "sync_runs"}
    for _ in range(2):
        world.quiet()
        assert named_in(world, ADA)
    world.quiet()
    assert named_in(world, ADA) == set()

    world.put_emails(*everybody[1:], "bob")
    assert world.run().succeeded == world.changes(insert=1, delete=1)
    assert audit_of(world, world.config()).wrong == 0


@duckdb_only
def test_somebody_is_erased_where_nobody_is_taken_off(world: World) -> None:
    """`residue` is who leaves in a mirror one day; who is erased there is not known any more."""
    world.sync["mode"] = "upsert"
    world.put_emails("ada", "bob", "cy")
    world.run()
    world.put_emails("bob")
    for _ in range(4):
        world.quiet()
    assert named_in(world, ADA) == {"sync_log", "residue"}
    for statement in statements_of(FORGOTTEN, ADA):
        world.sql(statement)
    world.sql(f"DELETE FROM reverse_etl.residue WHERE identity = '{ADA}'")  # noqa: S608
    assert named_in(world, ADA) == set()
    world.quiet()
    world.sync["mode"] = "mirror"
    world.checks_members = False
    assert world.run().planned == world.changes(delete=1)
    assert world.members() == {ADA, BOB}


@both
def test_without_our_schema_lists_stay_as_they_are(world: World) -> None:
    world.put_emails("ada", "bob")
    world.run()
    world.sql("DROP SCHEMA reverse_etl CASCADE")
    assert world.tables() == set()
    assert world.members() == {ADA, BOB}
    assert [row["email"] for row in world.sql("SELECT email FROM people ORDER BY id")] == [ADA, BOB]


# --- the page ----------------------------------------------------------------------------------


def test_each_question_is_shown_by_tests_that_exist() -> None:
    questions = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
    assert questions == list(SHOWN)
    assert [question for question, tests in SHOWN.items() if not tests] == []
    named = {name for tests in SHOWN.values() for name in tests}
    assert [name for name in sorted(named) if not _exists(name)] == []


def _exists(name: str) -> bool:
    path, _, function = f"acceptance/test_faq.py::{name}".rpartition("::")
    file = TESTS / path.rpartition("::")[2]
    return file.is_file() and f"\ndef {function}(" in file.read_text(encoding="utf-8")


def test_each_test_of_this_file_shows_something() -> None:
    here = re.findall(
        r"^def (test_\w+)\(", Path(__file__).read_text(encoding="utf-8"), re.MULTILINE
    )
    shown = {name for tests in SHOWN.values() for name in tests}
    about_the_page = {name for name in here if name.startswith("test_each_")}
    assert set(here) - shown == about_the_page
