"""What webhooks are told, when, and how often: without a warehouse and without a network."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from reverse_etl.alerts import Alerts
from reverse_etl.alerts.condition import (
    Condition,
    condition_after,
    condition_by_age,
    conditions_in,
    text_of,
)
from reverse_etl.alerts.message import LONGEST_TEXT, Message, escaped
from reverse_etl.alerts.webhook import PAUSES_S, TIMEOUT_S, Webhook
from reverse_etl.config import NotificationConfig
from reverse_etl.connector import Answer, NoAnswer, Operation, Request, Response
from reverse_etl.errors import Busy, WarehouseError
from reverse_etl.ports import Ports
from reverse_etl.report import RunSummary
from reverse_etl.testing.patience import PatientClock

ROOT = Path(__file__).parents[2]
SYNC = "vip"
CANARY = "canary-b5a1"
URL = f"https://hooks.example.com/services/{CANARY}"
EVERY = ("failed", "held", "failures", "stale", "recovered")
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
NAIVE = NOW.replace(tzinfo=None)


def entry(*events: str, **keys: Any) -> NotificationConfig:
    return NotificationConfig(url=SecretStr(URL), on=cast("Any", events or EVERY), **keys)


def summary(status: str, failed: int = 0, succeeded: int = 0, **more: Any) -> RunSummary:
    report = RunSummary(SYNC, run_id=12, status=status, **more)
    report.planned[Operation.INSERT] = failed + succeeded
    report.failed[Operation.INSERT], report.succeeded[Operation.INSERT] = failed, succeeded
    return report


# --- how a sync is -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("report", "after"),
    [
        (summary("failed"), "failed"),
        (summary("held"), "held"),
        (summary("succeeded", 0, 10), None),
        (summary("succeeded"), None),
        (summary("completed_with_failures", 5, 95), None),
        (summary("completed_with_failures", 6, 94), "failures"),
        # Rows that are newly invalid were not tried.
        (summary("completed_with_failures", invalid=7), None),
    ],
)
@pytest.mark.parametrize("before", [None, "failed", "held", "failures", "stale"])
def test_the_ending_of_a_run_says_how_the_sync_is(
    report: RunSummary, after: Condition, before: Condition
) -> None:
    assert condition_after(report, before, entry()) == after


@pytest.mark.parametrize("status", ["interrupted", "busy", "skipped", "planned"])
@pytest.mark.parametrize("before", [None, "failed", "stale"])
def test_some_endings_are_no_news(status: str, before: Condition) -> None:
    assert condition_after(summary(status, 9, 1), before, entry()) == before


@pytest.mark.parametrize("before", [None, "held"])
def test_what_a_webhook_does_not_want_to_hear_is_no_news(before: Condition) -> None:
    wants = entry("held", "recovered")
    assert condition_after(summary("failed"), before, wants) == before
    assert condition_after(summary("completed_with_failures", 9, 1), before, wants) is None, (
        "it runs again, and who does not mind failures has nothing to complain about"
    )
    assert condition_after(summary("succeeded"), before, wants) is None


def test_the_share_that_may_fail_is_the_webhooks_own() -> None:
    one_of_a_thousand = summary("completed_with_failures", 1, 999)
    assert condition_after(one_of_a_thousand, None, entry(failed_percent=0)) == "failures"
    assert condition_after(one_of_a_thousand, None, entry(failed_percent=0.1)) is None
    all_of_them = summary("completed_with_failures", 4, 0)
    assert condition_after(all_of_them, None, entry(failed_percent=99)) == "failures"
    assert condition_after(all_of_them, None, entry(failed_percent=100)) is None


def test_a_sync_is_stale_after_so_long_unless_it_is_known_to_be_ill() -> None:
    wants, hour = entry(stale_hours=1), timedelta(hours=1)
    late = hour + timedelta(microseconds=1)
    assert condition_by_age(NAIVE - late, NAIVE, None, wants) == "stale"
    assert condition_by_age(NAIVE - hour, NAIVE, None, wants) is None
    assert condition_by_age(NAIVE - late, NAIVE, "failed", wants) == "failed"
    assert condition_by_age(NAIVE - hour, NAIVE, "stale", wants) == "stale"
    assert condition_by_age(NAIVE - late, NAIVE, None, entry("failed")) is None


@pytest.mark.parametrize("text", [None, "", "{", "[]", "7", '{"a": 1}', '{"a": null}', '"a"'])
def test_what_cannot_be_read_says_nothing(text: str | None) -> None:
    assert conditions_in(text) == {}


@given(st.dictionaries(st.text(), st.sampled_from(EVERY)))
def test_what_is_kept_is_read_as_it_was(conditions: dict[str, str]) -> None:
    text = text_of(conditions)
    assert conditions_in(text) == conditions
    assert (text is None) == (not conditions)


# --- what is said --------------------------------------------------------------------------


def test_the_document_of_a_run() -> None:
    report = summary(
        "held",
        error_code="held",
        error="6 of 10 would go, among them ada@example.com",
        error_brief="6 of 10\nwould go",
        failed_records_open=3,
    )
    assert Message("held", NOW, SYNC, report).document() == {
        "format_version": "1.0",
        "event": "held",
        "sync": SYNC,
        "at": "2030-01-02T03:04:05Z",
        "run_id": 12,
        "status": "held",
        "error_code": "held",
        "error": "6 of 10\nwould go",
        "planned": {"insert": 0, "update": 0, "delete": 0},
        "succeeded": {"insert": 0, "update": 0, "delete": 0},
        "failed": {"insert": 0, "update": 0, "delete": 0},
        "failed_records_open": 3,
        "text": "vip was held by the brake (run 12): 6 of 10 would go",
    }


def test_the_document_about_no_run() -> None:
    message = Message("stale", NOW, SYNC, last_success=NAIVE - timedelta(days=2))
    document = message.document()
    assert document["last_success"] == "2029-12-31T03:04:05Z"
    assert document["text"] == "vip has had no run that succeeded since 2029-12-31T03:04:05Z"
    assert (document["run_id"], document["planned"], document["status"]) == (None, None, None)
    run = Message("failed", NOW, SYNC, summary("failed")).document()
    assert set(document) == set(run) | {"last_success"}
    assert Message("test", NOW).document().keys() == run.keys()


def test_the_examples_of_the_page_are_what_is_sent() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text(encoding="utf-8")
    report = summary("completed_with_failures", 6, 94, failed_records_open=6)
    report.sync = "vip_customers"
    message = Message("failures", NOW, report.sync, report)
    (example,) = re.findall(r"```json\n(.+?)```", page, re.DOTALL)
    assert list(json.loads(example).items()) == list(message.document().items())
    assert f"```\n{message.slack()}\n```" in page


@pytest.mark.parametrize(
    ("event", "report", "said"),
    [
        (
            "failed",
            summary("failed", error="no table <people> & no view"),
            (
                "vip failed (run 12): no table &lt;people&gt; &amp; no view\n"
                "See how it stands with: reverse-etl status"
            ),
        ),
        (
            "failed",
            RunSummary(SYNC, status="failed", error="the warehouse is away"),
            (
                "vip failed (no run): the warehouse is away\n"
                "See how it stands with: reverse-etl status"
            ),
        ),
        (
            "failures",
            summary("completed_with_failures", 6, 94),
            (
                "vip completed with 6 of 100 changes failed (run 12)\n"
                "See why with: reverse-etl failures vip"
            ),
        ),
        (
            "held",
            summary("held", error_brief="too many would go"),
            (
                "vip was held by the brake (run 12): too many would go\n"
                "See what it would send with: reverse-etl plan vip"
            ),
        ),
        ("recovered", summary("succeeded"), "vip recovered (run 12)"),
        (
            "recovered",
            summary("completed_with_failures", 1, 99),
            "vip recovered (run 12) with 1 of 100 changes failed",
        ),
    ],
)
def test_what_slack_is_told(event: str, report: RunSummary, said: str) -> None:
    body = Message(event, NOW, SYNC, report).body("slack")
    assert json.loads(body) == {"text": said}


@pytest.mark.parametrize("reason", ["<&>" * 4_000, "x" * 40_000, "\ud800" * 4_000])
def test_a_long_reason_is_cut_and_the_next_step_stays(reason: str) -> None:
    message = Message("failed", NOW, SYNC, summary("failed", error=reason))
    text = json.loads(message.body("slack"))["text"]
    assert len(text) <= LONGEST_TEXT
    assert text.startswith("vip failed (run 12): ")
    if reason[0] != "<":  # what is escaped takes so much place that the rest has none
        assert text.endswith("…\nSee how it stands with: reverse-etl status")
    document = json.loads(message.body("json"))
    assert len(document["error"]) == LONGEST_TEXT
    assert len(document["text"]) <= LONGEST_TEXT


@given(st.text(alphabet=st.sampled_from("a&<>;"), max_size=60), st.integers(1, 60))
def test_a_text_is_never_cut_within_an_escape(text: str, most: int) -> None:
    found = escaped(text, most)
    assert len(found) <= most
    plain = found.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert plain == text or (plain.endswith("…") and text.startswith(plain[:-1]))


# --- how it gets there ---------------------------------------------------------------------


@dataclass
class Script:
    """Transports that give these answers, the last one for ever, and note what was sent."""

    answers: Sequence[Answer | Exception | None]

    def __post_init__(self) -> None:
        self.sent: list[Request] = []
        self.bases: list[str] = []
        self.closed = 0
        self._open: list[int] = []

    def transport(self, base_url: str) -> Script:
        self.bases.append(base_url)
        return self

    def start(self, ticket: int, request: Request, timeout_s: float) -> None:
        assert timeout_s == TIMEOUT_S
        self.sent.append(request)
        self._open.append(ticket)

    def wait(self, timeout_s: float) -> list[tuple[int, Answer]]:
        assert timeout_s <= TIMEOUT_S
        answer = self.answers[min(len(self.sent), len(self.answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return [] if answer is None else [(self._open[-1], answer)]

    def close(self) -> None:
        self.closed += 1


def webhook(script: Script, ports: Ports, url: str = URL) -> Webhook:
    settings = NotificationConfig(url=SecretStr(url), on=cast("Any", EVERY))
    return Webhook(3, settings, ports, script.transport)


def patient(stop: bool = False) -> Ports:  # noqa: FBT001, FBT002 - the test says which
    return Ports(PatientClock(), random.Random(7), stop=lambda: stop)


TEST = Message("test", NOW)


@pytest.mark.parametrize(
    ("answers", "tries", "problem"),
    [
        ([Response(200)], 1, None),
        ([Response(204)], 1, None),
        ([Response(503), Response(429), Response(200)], 3, None),
        ([NoAnswer("the connection broke"), Response(200)], 2, None),
        ([Response(500), Response(502), Response(503)], 3, "it answered 503"),
        ([NoAnswer("no answer within 10 s")], 3, "no answer within 10 s"),
        # What is refused for good is not tried again.
        ([Response(404, URL.encode())], 1, "it answered 404"),
        ([Response(302)], 1, "it answered 302; redirects are not followed"),
        # A transport that never answers ends too.
        ([None], 3, "no answer within 15 s"),
    ],
)
def test_a_message_is_tried_three_times_at_most(
    answers: Sequence[Answer], tries: int, problem: str | None
) -> None:
    script, ports = Script(answers), patient()
    assert webhook(script, ports).send(TEST) == problem
    assert (len(script.sent), script.closed) == (tries, 1)
    skipped = cast("PatientClock", ports.clock).skipped
    assert sum(PAUSES_S[: tries - 1]) / 2 <= skipped <= sum(PAUSES_S[: tries - 1])


def test_a_process_that_is_to_stop_tries_once() -> None:
    script = Script([Response(503)])
    assert webhook(script, patient(stop=True)).send(TEST) == "it answered 503"
    assert len(script.sent) == 1


@pytest.mark.parametrize("kind", [OSError, ValueError, RuntimeError])
def test_an_error_of_the_network_is_a_problem_without_its_words(kind: type[Exception]) -> None:
    script = Script([kind(URL)])
    assert webhook(script, patient()).send(TEST) == f"nothing could be sent ({kind.__name__})"
    assert script.closed == 1


def test_the_url_is_sent_as_it_is_written_and_shown_without_its_secret() -> None:
    script = Script([Response(200)])
    url = f"https://hooks.example.com:8443/a%2Fb//c?sig=%2B{CANARY}&sig=2&empty"
    made = webhook(script, patient(), url)
    assert made.send(TEST) is None
    assert script.bases == ["https://hooks.example.com:8443"]
    assert script.sent[0].path == f"/a%2Fb//c?sig=%2B{CANARY}&sig=2&empty"
    assert str(made) == "notifications[3] (https://hooks.example.com)"
    assert len(made.key) == 16
    assert CANARY not in f"{made} {made.key} {vars(made)}"


def test_a_url_without_a_path_has_the_shortest() -> None:
    script = Script([Response(200)])
    webhook(script, patient(), "https://hooks.example.com").send(TEST)
    assert script.sent[0].path == "/"


# --- over many runs ------------------------------------------------------------------------


class Kept(Alerts):
    """Alerts whose warehouse is a dict, and is away when the test says so."""

    def __init__(self, webhooks: Sequence[NotificationConfig], script: Script) -> None:
        config = SimpleNamespace(notifications=tuple(webhooks), syncs={SYNC: None})
        super().__init__(cast("Any", config), patient(), script.transport)
        self.table: dict[str, str] = {}
        self.is_away = False
        self.looks = 0

    def _read(self, sync_name: str) -> dict[str, str]:
        assert sync_name == SYNC
        self.looks += 1
        if self.is_away:
            raise WarehouseError("it is away")
        return dict(self.table)

    def _write(self, sync_name: str, changes: dict[str, Condition]) -> None:
        assert sync_name == SYNC
        if self.is_away:
            raise Busy("it is held")
        merged = {**self.table, **changes}
        self.table = {key: condition for key, condition in merged.items() if condition}


ENDINGS = {
    "failed": summary("failed", error="x"),
    "held": summary("held", error="x"),
    "failures": summary("completed_with_failures", 50, 50),
    "few failures": summary("completed_with_failures", 1, 99),
    "succeeded": summary("succeeded", 0, 3),
    "interrupted": summary("interrupted"),
    "busy": summary("busy"),
    "skipped": summary("skipped"),
}
# What each says of the sync; None is all well, and the others say nothing.
SAYS = {
    "failed": "failed",
    "held": "held",
    "failures": "failures",
    "few failures": None,
    "succeeded": None,
    "stale": "stale",
}
steps = st.tuples(st.sampled_from([*ENDINGS, "stale"]), st.booleans(), st.booleans())
wanted = st.sets(st.sampled_from(EVERY[:4]), min_size=1)


def play(alerts: Kept, step: str) -> None:
    if step == "stale":
        alerts.check_stale(SYNC, NAIVE - timedelta(days=9), NAIVE)
    else:
        alerts.after_run(ENDINGS[step])


def heard(script: Script) -> list[str]:
    return [json.loads(request.body or b"")["event"] for request in script.sent]


@given(st.lists(steps, max_size=30), wanted, st.booleans())
def test_a_webhook_hears_of_each_change_and_of_nothing_else(
    history: Sequence[tuple[str, bool, bool]],
    wants: set[str],
    recovered: bool,  # noqa: FBT001 - drawn
) -> None:
    """Also while the warehouse comes and goes, as long as the process lives."""
    script = Script([Response(200)])
    on = {*wants, *(["recovered"] if recovered else [])}
    alerts = Kept([entry(*sorted(on))], script)
    told: Condition = None
    expected: list[str] = []
    for step, is_away, _ in history:
        alerts.is_away = is_away
        play(alerts, step)
        says = SAYS.get(step, told)
        if says == "stale" and told is not None:
            says = told
        if says is not None and says not in wants:
            says = None if says == "failures" else told
        if says != told:
            expected += [event for event in (says or "recovered",) if event in on]
        told = says
    assert heard(script) == expected
    if recovered:
        assert all(one != other for one, other in pairwise(expected))
    alerts.is_away = False
    play(alerts, "succeeded")
    assert alerts.table == {}


@given(st.lists(steps, max_size=30))
def test_each_run_by_a_new_process_tells_the_same(
    history: Sequence[tuple[str, bool, bool]],
) -> None:
    """What is remembered in the warehouse is enough."""
    one, many = Script([Response(200)]), Script([Response(200)])
    living = Kept([entry()], one)
    table: dict[str, str] = {}
    for step, _, _ in history:
        play(living, step)
        passing = Kept([entry()], many)
        passing.table = table
        play(passing, step)
        table = passing.table
    assert heard(many) == heard(one)
    assert table == living.table


@given(st.lists(steps, max_size=30))
def test_what_was_not_delivered_is_told_after_the_next_run(
    history: Sequence[tuple[str, bool, bool]],
) -> None:
    """Two webhooks: one always answers, one refuses for good whenever the test says so."""
    good, bad = Script([Response(200)]), Script([])
    alerts = Kept([entry(), entry()], good)
    broken = alerts._webhooks[1]
    broken.key, broken._transport = "another", bad.transport
    told: Condition = None
    accepted: list[str] = []
    for step, _, refuses in history:
        bad.answers = [Response(404 if refuses else 200)]
        before = len(bad.sent)
        play(alerts, step)
        says = SAYS.get(step, told)
        if says == "stale" and told is not None:
            says = told
        assert len(bad.sent) - before == (says != told)
        if says != told and not refuses:
            accepted.append(says or "recovered")
            told = says
    assert all(first != second for first, second in pairwise(accepted))
    alone = Kept([entry()], other := Script([Response(200)]))
    for step, _, _ in history:
        play(alone, step)
    assert heard(good) == heard(other)
    kept = {broken.key: told} if told else {}
    assert {key: value for key, value in alerts.table.items() if key == broken.key} == kept


def test_without_webhooks_or_news_no_warehouse_is_asked() -> None:
    silent = Kept([], Script([]))
    for step in (*ENDINGS, "stale"):
        play(silent, step)
    assert silent.looks == 0
    alerts = Kept([entry()], Script([]))
    for step in ("interrupted", "busy", "skipped"):
        play(alerts, step)
    alerts.check_stale(SYNC, NAIVE - timedelta(hours=24), NAIVE)
    assert alerts.looks == 0
    alerts.after_run(RunSummary("a_sync_of_another_config", status="failed"))
    assert alerts.looks == 0


def test_a_config_that_is_read_again_does_not_make_it_forget() -> None:
    """Also what the warehouse could not be told yet."""
    script = Script([Response(200)])
    alerts = Kept([entry()], script)
    alerts.is_away = True
    play(alerts, "failed")
    after = alerts.with_config(alerts._config)
    after._read, after._write = alerts._read, alerts._write  # type: ignore[method-assign]
    after.after_run(ENDINGS["failed"])
    assert heard(script) == ["failed"]
    alerts.is_away = False
    after.after_run(ENDINGS["succeeded"])
    assert heard(script) == ["failed", "recovered"]
    assert alerts.table == {}


def test_what_another_process_has_told_counts() -> None:
    """Also where this one was the last to tell, and has forgotten nothing."""
    mine, theirs = Script([Response(200)]), Script([Response(200)])
    here, there = Kept([entry()], mine), Kept([entry()], theirs)
    play(here, "failed")
    there.table = here.table
    play(there, "succeeded")
    assert heard(theirs) == ["recovered"]
    here.table = there.table
    play(here, "failed")
    assert heard(mine) == ["failed", "failed"]
