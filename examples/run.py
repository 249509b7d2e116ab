"""Runs an example against the local sandbox: ``python examples/run.py audience``.

No account, no network. The example's config, a sample warehouse and all that becomes of them are
then in the folder reverse-etl-example-NAME.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from reverse_etl.cli.output import Output, take_over_streams
from reverse_etl.cli.stage import Stage, make_folder
from reverse_etl.errors import ReverseEtlError

EXAMPLES = sorted(path.parent.name for path in Path(__file__).parent.glob("*/config.yaml"))
PEOPLE = 5_000

RUNS = """\
select sync_run_id as run, status, inserts_succeeded as inserts, updates_succeeded as updates,
       deletes_succeeded as deletes, failed_records_open as failed_open, requests_sent as requests
from reverse_etl.sync_runs order by sync_run_id"""
CHANGED = """\
select min(identity) from reverse_etl.sync_log
where sync_run_id = 2 and operation = 'update' and status = 'succeeded'"""
LOG = """\
select sync_run_id as run, operation, status, error_code, sync_finished_at
from reverse_etl.sync_log where identity = '{}' order by sync_run_id"""
LEFT = """\
select error_code, count(*) as people, min(error_reason) as example
from reverse_etl.failed_records group by error_code order by error_code"""


def main(arguments: list[str] | None = None) -> int:
    """Run one example.

    Returns:
        0 it went as told, else what the error says, which is on standard error.
    """
    parser = argparse.ArgumentParser(prog="python examples/run.py", description=__doc__)
    parser.add_argument("example", choices=EXAMPLES)
    name = parser.parse_args(arguments).example
    config = Path(__file__).with_name(name) / "config.yaml"
    folder = Path(f"reverse-etl-example-{name}")
    output = Output()
    try:
        make_folder(folder, "an example", config.read_text(encoding="utf-8"))
        tell(Stage(output, folder))
    except ReverseEtlError as error:
        output.note(str(error))
        return error.exit_code
    return 0


def tell(stage: Stage) -> None:
    """Build, check, run, let a day pass, run, run, look.

    Raises:
        StoryError: Something did not go as told.
    """
    stage.build(PEOPLE)
    with stage.sandbox() as (sandbox, _):
        (sync,) = stage.load().syncs
        check(stage, sync)
        run_three_times(stage, sync)
        show_person(stage, sandbox)
    stage.title("What is known is in plain tables in your warehouse")
    stage.show_query(RUNS)
    stage.show_query(LEFT)
    stage.suggest(sync)


def check(stage: Stage, sync: str) -> None:
    """Find out, without changing anything, whether a run would work."""
    stage.title("1. Would a run work? Nothing is sent")
    stage.run("check", sync, expected={0})


def run_three_times(stage: Stage, sync: str) -> None:
    """Load everything, then the difference, then nothing."""
    stage.title("2. First load")
    run = stage.run("run-sync", sync, expected={0, 3})
    stage.check(run["succeeded"]["insert"] > 0, "the first run inserts people")
    stage.title("3. A day later: only the difference is sent")
    stage.let_a_day_pass(1)
    run = stage.run("run-sync", sync, expected={0, 3})
    sent = run["succeeded"]
    stage.check(min(sent["insert"], sent["update"]) > 0, "the second run inserts and updates")
    stage.check(sum(sent.values()) < PEOPLE / 50, "the second run sends the difference only")
    stage.title("4. Nothing changed: no request")
    run = stage.run("run-sync", sync, expected={0})
    stage.check(run["requests"] == 0, "a run without changes makes no request")


def show_person(stage: Stage, sandbox: Any) -> None:  # noqa: ANN401 - the connector's own
    """Show what the destination holds of somebody, and how it came there."""
    _, ((identity,),) = stage.query(CHANGED)
    profile, lists = sandbox.state.profile(identity), sandbox.state.lists.values()
    stage.check(profile is not None, f"the destination knows {identity}")
    held = {
        "email": profile.email,
        "userId": profile.user_id,
        "dataFields": profile.fields,
        "lists": [each.name for each in lists if identity in sandbox.state.members(each.id)],
    }
    stage.title(f"5. What the destination holds of {identity}, and how it came there")
    stage.text(f"{json.dumps(held, indent=2)}\n")
    stage.show_query(LOG.format(identity))


if __name__ == "__main__":
    take_over_streams()  # `| head` ends no run
    sys.exit(main())
