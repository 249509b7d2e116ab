"""What a run tells: one sentence, an exit code, an exception, a document."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from reverse_etl.connector import Operation
from reverse_etl.errors import Busy, RunError, WarehouseError
from reverse_etl.report import EXIT_CODES, RunSummary
from reverse_etl.runner import log_summary, unbegun

ADA = "ada@example.com"
INSERTED = {Operation.INSERT: 5, Operation.UPDATE: 0, Operation.DELETE: 0}

DONE = RunSummary("vip", 7, "succeeded", planned=INSERTED, succeeded=INSERTED)
PARTLY = RunSummary(
    "vip",
    7,
    "completed_with_failures",
    planned=INSERTED,
    succeeded=INSERTED | {Operation.INSERT: 3},
    failed=INSERTED | {Operation.INSERT: 2},
)
HELD = RunSummary(
    "vip",
    7,
    "held",
    error_code="held",
    error=f"9 of 10 would leave, among them {ADA}",
    error_brief="9 of 10 would leave",
)
BUSY = RunSummary("vip", status="busy", error_code="busy", error="host:1 is running it")
LOST = RunSummary("vip", 7, "failed", error_code="warehouse_error", error="it is away")


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (RunSummary("vip", 7, "succeeded"), "vip: run 7 succeeded"),
        (DONE, "vip: run 7 succeeded (insert 5 of 5)"),
        (PARTLY, "vip: run 7 completed with failures (insert 3 of 5, 2 failed)"),
        (HELD, "vip: run 7 held: 9 of 10 would leave"),
        (BUSY, "vip: busy: host:1 is running it"),
        (RunSummary("vip", status="skipped", error="dbt failed"), "vip: skipped: dbt failed"),
        (LOST, "vip: run 7 failed: it is away"),
    ],
)
def test_the_sentence(report: RunSummary, said: str) -> None:
    assert report.sentence() == said


def test_who_is_named_to_the_user_is_not_named_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert ADA in "\n".join(HELD.lines())
    with caplog.at_level("INFO", logger="reverse_etl"):
        log_summary(HELD)
    (record,) = caplog.records
    assert ADA not in str(record.__dict__)
    assert record.levelno == logging.WARNING
    assert record.__dict__["facts"]["error_code"] == "held"


def test_a_run_that_could_not_begin_keeps_what_may_be_said_aloud() -> None:
    error = RunError(f"{ADA} is too much", brief="somebody is too much")
    assert unbegun("vip", error).sentence() == "vip: failed: somebody is too much"
    assert unbegun("vip", error).error == f"{ADA} is too much"
    assert unbegun("vip", Busy("taken")).status == "busy"
    assert unbegun("vip", WarehouseError("away")).error_code == "warehouse_error"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *(("succeeded", 0), ("skipped", 0), ("planned", 0), ("failed", 1)),
        *(("completed_with_failures", 3), ("held", 4), ("busy", 5), ("interrupted", 130)),
    ],
)
def test_each_status_has_its_exit_code(status: str, code: int) -> None:
    assert RunSummary("vip", status=status).exit_code == code


def test_a_run_that_has_not_ended_is_not_done() -> None:
    found = RunSummary("vip")
    assert found.exit_code == 1
    assert not found.delivered
    with pytest.raises(RunError, match="vip: planning"):
        found.raise_for_status()


def test_the_log_has_a_level_for_every_ending(caplog: pytest.LogCaptureFixture) -> None:
    endings = set(EXIT_CODES) - {"planned"}
    with caplog.at_level("INFO", logger="reverse_etl"):
        for status in sorted(endings):
            log_summary(RunSummary("vip", status=status))
    assert {record.__dict__["facts"]["status"] for record in caplog.records} == endings


@pytest.mark.parametrize("report", [DONE, RunSummary("vip", status="skipped")])
def test_nothing_is_raised_for_what_is_done(report: RunSummary) -> None:
    report.raise_for_status()


@pytest.mark.parametrize(
    ("report", "kind", "code"),
    [
        (BUSY, Busy, "busy"),
        (LOST, RunError, "warehouse_error"),
        (HELD, RunError, "held"),
        (PARTLY, RunError, "completed_with_failures"),
        (RunSummary("vip", 7, "interrupted", error_code="killed"), RunError, "killed"),
    ],
)
def test_what_is_not_done_is_raised_by_its_code(
    report: RunSummary, kind: type[Busy | RunError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        report.raise_for_status()
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert str(caught.value) == report.sentence()
    assert kind.code in {"busy", "run_failed"}, "the class keeps its own"


def test_only_what_was_sent_whole_is_delivered() -> None:
    assert [status for status in EXIT_CODES if RunSummary("vip", status=status).delivered] == [
        "succeeded",
        "completed_with_failures",
    ]


def test_the_document_says_how_long_each_phase_took() -> None:
    timed = replace(DONE, seconds={"prepare": 0.0123456, "plan": 2.0})
    document = timed.document()
    assert document["seconds"] == {"prepare": 0.012, "plan": 2.0}
    assert document["succeeded"] == {"insert": 5, "update": 0, "delete": 0}
    assert "audit" not in document
    assert RunSummary("vip").document()["seconds"] == {}
