"""What a scheduler counts, told by hand; real runs are in the acceptance tests."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from prometheus_client.parser import text_string_to_metric_families

from reverse_etl.config import Config
from reverse_etl.connector import Operation
from reverse_etl.due import Standing, naive
from reverse_etl.report import RunSummary
from reverse_etl.schedule import Basic, Manual
from reverse_etl.scheduler.agenda import Agenda
from reverse_etl.scheduler.metrics import Metrics

NOW = datetime(2026, 11, 23, 12, 7, tzinfo=UTC)
HOURLY = Basic(timedelta(hours=1))
INSERTED = {Operation.INSERT: 3, Operation.UPDATE: 0, Operation.DELETE: 0}


def config(*scheduled: str, by_hand: tuple[str, ...] = ()) -> Config:
    """Return what the metrics look at in a config."""
    syncs = {
        **{name: SimpleNamespace(schedule=HOURLY) for name in scheduled},
        **{name: SimpleNamespace(schedule=Manual()) for name in by_hand},
    }
    return cast("Config", SimpleNamespace(syncs=syncs))


@pytest.fixture
def metrics() -> Metrics:
    """Return what counts two syncs that have run."""
    found = Metrics()
    found.loaded(config("a", "b"), is_valid=True)
    for name in ("a", "b"):
        found.ended(ended(name), NOW)
        found.saw(name, Standing(naive(NOW), has_committed=True, succeeded_at=naive(NOW)))
    agenda = Agenda()
    agenda.plan({"a": HOURLY, "b": HOURLY}, NOW)
    found.planned(agenda)
    return found


def ended(name: str, status: str = "succeeded", **more: object) -> RunSummary:
    report = RunSummary(
        name, 7, status, planned=INSERTED, succeeded=INSERTED, seconds={"plan": 2.0}
    )
    report.answers, report.failed_records_open = {200: 2, 0: 1}, 4
    for key, value in more.items():
        setattr(report, key, value)
    return report


def samples(metrics: Metrics, **labels: str) -> dict[str, float]:
    """Return the samples with these labels; one name may come with others, which add up."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            if labels.items() <= sample.labels.items():
                name = sample.name.removeprefix("reverse_etl_")
                found[name] = found.get(name, 0) + sample.value
    return found


def test_what_a_run_adds(metrics: Metrics) -> None:
    metrics.ended(ended("a"), NOW + timedelta(minutes=5))
    found = samples(metrics, sync="a")
    assert found["runs_total"] == 2
    assert found["changes_total"] == 6
    assert found["phase_seconds_sum"] == 4
    assert found["failed_records"] == 4
    assert found["last_success_timestamp_seconds"] == (NOW + timedelta(minutes=5)).timestamp()
    assert samples(metrics, sync="a", status="200")["requests_total"] == 4
    assert samples(metrics, sync="a", status="none")["requests_total"] == 2
    assert samples(metrics, sync="b")["runs_total"] == 1


def test_a_sync_that_is_gone_is_not_counted_any_more(metrics: Metrics) -> None:
    metrics.loaded(config("b"), is_valid=True)
    assert samples(metrics, sync="a") == {}
    assert samples(metrics, sync="b") != {}


def test_a_run_that_ends_after_its_sync_is_gone_brings_nothing_back(metrics: Metrics) -> None:
    """Its last success would grow old for ever, and wake somebody each night."""
    metrics.loaded(config("b"), is_valid=True)
    metrics.ended(ended("a"), NOW)
    metrics.saw("a", Standing(naive(NOW), has_committed=True, succeeded_at=naive(NOW)))
    assert 'sync="a"' not in metrics.text().decode()
    metrics.loaded(config("a", "b"), is_valid=True)
    metrics.ended(ended("a"), NOW)
    assert samples(metrics, sync="a")["runs_total"] == 1, "it begins anew"


def test_a_sync_that_runs_by_hand_now_has_no_next_look(metrics: Metrics) -> None:
    metrics.loaded(config("b", by_hand=("a",)), is_valid=True)
    agenda = Agenda()
    agenda.plan({"b": HOURLY}, NOW)
    metrics.planned(agenda)
    assert samples(metrics, sync="a") == {}
    assert "next_look_timestamp_seconds" in samples(metrics, sync="b")


def test_a_config_that_cannot_be_used_drops_nothing(metrics: Metrics) -> None:
    before = samples(metrics, sync="a")
    metrics.loaded(config("a", "b"), is_valid=False)
    assert samples(metrics, sync="a") == before
    assert samples(metrics)["config_is_valid"] == 0


def test_a_run_that_could_not_count_says_nothing_of_the_failed_records(metrics: Metrics) -> None:
    """One that lost its warehouse knows of none, which is not none."""
    lost = ended("a", "failed", failed_records_open=0, error_code="warehouse_error")
    metrics.ended(lost, NOW)
    metrics.ended(ended("a", "busy", run_id=None, failed_records_open=0), NOW)
    assert samples(metrics, sync="a")["failed_records"] == 4
    metrics.ended(ended("a", failed_records_open=0), NOW)
    assert samples(metrics, sync="a")["failed_records"] == 0


def test_no_more_than_the_names_of_syncs_is_told(metrics: Metrics) -> None:
    metrics.ended(ended("a", "held", error="ada@example.com would leave", warnings=["ada"]), NOW)
    assert "ada" not in metrics.text().decode()


def test_it_is_read_while_it_is_written(metrics: Metrics) -> None:
    """Runs end, configs change and Prometheus asks, each in a thread of its own."""
    errors: list[BaseException] = []

    def often(action: object) -> None:
        try:
            for _ in range(300):
                action()  # type: ignore[operator]  # one of the below
        except Exception as error:  # noqa: BLE001 - shown below
            errors.append(error)

    def change() -> None:
        metrics.loaded(config("b"), is_valid=True)
        metrics.loaded(config("a", "b"), is_valid=True)

    actions = [metrics.text, change, lambda: metrics.ended(ended("a"), NOW)]
    threads = [threading.Thread(target=often, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    metrics.loaded(config("b"), is_valid=True)
    assert samples(metrics, sync="a") == {}
