"""Webhooks that tell people how syncs are doing: once for each change, never once per run.

How a sync is, as one webhook sees it, is its *condition*: ``failed``, ``held``, ``failures`` or
``stale``, or None while there is nothing to tell. A run changes it, or a scheduler that has seen no
success for long. A change is one message, and what was told is remembered:

    in sync_state.alerts   so that the next command knows, and any other scheduler
    here                   so that a scheduler knows while the warehouse is away

Only what a webhook has accepted is remembered, and for each webhook by itself: what could not be
delivered is told after the next run, and a broken webhook lets no other hear anything twice.
Nothing here fails a run, and nothing is open while a webhook takes its time.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import urlsplit

from reverse_etl.connector import NoAnswer, Request, Response
from reverse_etl.delivery.http import HttpTransport
from reverse_etl.errors import ReverseEtlError
from reverse_etl.report import FORMAT_VERSION, RunSummary
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.statements import control as statements

if TYPE_CHECKING:
    from reverse_etl.config import Config, NotificationConfig
    from reverse_etl.connector import Answer
    from reverse_etl.delivery.transport import Transport
    from reverse_etl.ports import Ports
    from reverse_etl.warehouse.base import Warehouse

_logger = logging.getLogger("reverse_etl")

Condition: TypeAlias = str | None
_Log: TypeAlias = "logging.LoggerAdapter[logging.Logger]"

TIMEOUT_S = 10.0
"""How long a webhook may take for one answer."""

PAUSES_S = (0.5, 2.0)
"""How long to wait at most before a second and a third try; there is no fourth."""

# How often a transport is asked for the answer, and how many times: it is bound to give one after
# the time-out, so this only bounds one that does not.
_LOOK_S = 1.0
_LOOKS = 15

# What is left of a long text: Slack takes 40,000 characters, a person reads less.
LONGEST_TEXT = 3_000
_LONGEST_REASON = 2_000

_TOO_MANY_REQUESTS = 429
_REDIRECTS = range(300, 400)
_SERVER_ERRORS = 500

# Endings of a run that say how the sync is; after any other it is as it was.
_NEWS = frozenset({"failed", "held", "completed_with_failures", "succeeded"})


# --- how a sync is -------------------------------------------------------------------------


def condition_after(
    report: RunSummary, before: Condition, webhook: NotificationConfig
) -> Condition:
    """Return how a sync is after a run, as one webhook sees it.

    Args:
        report: The run.
        before: How it was, as far as the webhook was told.
        webhook: What it wants to hear of; the rest is no news to it.
    """
    if report.status not in _NEWS:
        return before
    found = _condition(report, webhook.failed_percent)
    if found == "failures" and found not in webhook.on:
        return None  # who does not mind failures hears that it runs again
    return found if found is None or found in webhook.on else before


def _condition(report: RunSummary, failed_percent: float) -> Condition:
    if report.status in {"failed", "held"}:
        return report.status
    failed, tried = _tried(report)
    return "failures" if 100 * failed > failed_percent * tried else None


def _tried(report: RunSummary) -> tuple[int, int]:
    """Return how many changes of a run failed, of how many that were tried."""
    failed = sum(report.failed.values())
    return failed, failed + sum(report.succeeded.values())


def condition_by_age(
    since: datetime, now: datetime, before: Condition, webhook: NotificationConfig
) -> Condition:
    """Return how a sync is that has not succeeded for a while; one known to be ill stays so.

    Args:
        since: When it last succeeded.
        now: The present.
        before: How it was, as far as the webhook was told.
        webhook: What it wants to hear of.
    """
    return "stale" if before is None and is_stale(since, now, webhook) else before


def is_stale(since: datetime, now: datetime, webhook: NotificationConfig) -> bool:
    """Return whether a webhook wants to hear that a sync has not succeeded for so long."""
    return "stale" in webhook.on and now - since > timedelta(hours=webhook.stale_hours)


def conditions_in(text: str | None) -> dict[str, str]:
    """Return what ``sync_state.alerts`` says: the condition by the webhook's key.

    What cannot be read was not written here, and says nothing.
    """
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return {}
    pairs = found.items() if isinstance(found, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def text_of(conditions: dict[str, str]) -> str | None:
    """Return conditions as ``sync_state.alerts`` holds them; NULL where there are none."""
    return json.dumps(conditions, sort_keys=True) if conditions else None


# --- what is said --------------------------------------------------------------------------


@dataclass(frozen=True)
class Message:
    """What a webhook is told; it names nobody.

    Attributes:
        event: As in ``on`` of the config; ``test`` for a message that says nothing.
        at: When, in UTC.
        sync: The sync; None in a test.
        report: The run that it is about; None where it is about none.
        last_success: Since when no run has succeeded, in UTC; only where the event is ``stale``.
    """

    event: str
    at: datetime
    sync: str | None = None
    report: RunSummary | None = None
    last_success: datetime | None = None

    def body(self, form: str) -> bytes:
        """Return the body of the request: ``slack``, or ``json`` for all the facts."""
        return json.dumps({"text": self.slack()} if form == "slack" else self.document()).encode()

    def document(self) -> dict[str, Any]:
        """Return the facts as JSON values."""
        stale = {"last_success": _iso(self.last_success)} if self.last_success else {}
        return {
            "format_version": FORMAT_VERSION,
            "event": self.event,
            "sync": self.sync,
            "at": _iso(self.at),
            **(_facts(self.report) if self.report else dict.fromkeys(_FACTS)),
            **stale,
            "text": " ".join(self.sentence().split()),
        }

    def slack(self) -> str:
        """Return the text for Slack: what happened, and what to do next."""
        return escaped("\n".join(filter(None, (self.sentence(), self._next_step()))))

    def sentence(self) -> str:
        """Return what happened, in one sentence."""
        report = self.report or RunSummary("")
        run = f"run {report.run_id}" if report.run_id is not None else "no run"
        reason = _cut(_reason(report), _LONGEST_REASON) or report.error_code or "no reason is known"
        failed, tried = _tried(report)
        ended = f" with {failed} of {tried} changes failed" if failed else ""
        texts = {
            "failed": f"{self.sync} failed ({run}): {reason}",
            "held": f"{self.sync} was held by the brake ({run}): {reason}",
            "failures": f"{self.sync} completed{ended} ({run})",
            "stale": f"{self.sync} has had no run that succeeded since {_iso(self.last_success)}",
            "recovered": f"{self.sync} recovered ({run}){ended}",
            "test": "This is a test of reverse-etl: nothing has happened, and messages arrive here",
        }
        return texts[self.event]

    def _next_step(self) -> str | None:
        steps = {
            "failed": "See how it stands with: reverse-etl status",
            "held": f"See what it would send with: reverse-etl plan {self.sync}",
            "failures": f"See why with: reverse-etl failures {self.sync}",
            "stale": "See how it stands with: reverse-etl status",
        }
        return steps.get(self.event)


_FACTS = (
    *("run_id", "status", "error_code", "error", "planned", "succeeded", "failed"),
    "failed_records_open",
)


def _facts(report: RunSummary) -> dict[str, Any]:
    """Return what of a run a webhook is told, by the names of the contract."""
    whole = report.document() | {"error": _cut(_reason(report), LONGEST_TEXT) or None}
    return {name: whole[name] for name in _FACTS}


def _reason(report: RunSummary) -> str:
    """Return why a run ended as it did, without the names of people."""
    return report.error_brief or report.error or ""


def _iso(moment: datetime | None) -> str | None:
    """Return a moment in UTC, with or without its time zone, in ISO 8601."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='seconds')}Z" if moment else None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def escaped(text: str, most: int = LONGEST_TEXT) -> str:
    """Return a text as Slack takes it literally, cut to so many characters, never within one."""
    whole = "".join(_ESCAPED.get(letter, letter) for letter in text)
    if len(whole) <= most:
        return whole
    kept, length = [], 0
    for letter in text:
        piece = _ESCAPED.get(letter, letter)
        length += len(piece)
        if length >= most:
            break
        kept.append(piece)
    return "".join(kept) + "…"


# --- how it gets there ---------------------------------------------------------------------


def webhook_transport(base_url: str) -> Transport:
    """Return a transport to the host of a webhook."""
    return HttpTransport(base_url, {}, 1, [])


class Webhook:
    """One entry of ``notifications:``.

    Attributes:
        settings: The entry.
        number: Its place in the list, from 0.
        key: What stands for its URL, which is a secret, in our tables.
        place: Scheme and host, which are none.
    """

    def __init__(
        self,
        number: int,
        settings: NotificationConfig,
        ports: Ports,
        transport: Callable[[str], Transport],
    ) -> None:
        """Bind the parts; nothing is contacted yet."""
        self.number, self.settings = number, settings
        self._ports, self._transport = ports, transport
        url = settings.url.get_secret_value()
        parts = urlsplit(url)
        self.key = sha256(url.encode()).hexdigest()[:16]
        self.place = f"{parts.scheme}://{parts.hostname}"

    def __str__(self) -> str:
        """Return how messages of ours name it."""
        return f"notifications[{self.number}] ({self.place})"

    def send(self, message: Message) -> str | None:
        """Send a message, three times at most; bounded in time.

        Returns:
            What went wrong, without the URL; None when the message was accepted.
        """
        parts = urlsplit(self.settings.url.get_secret_value())
        # As it is written: many a URL has its secret in the query, signed letter by letter.
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        request = Request("POST", path, "webhook", message.body(self.settings.format))
        try:
            with closing(self._transport(f"{parts.scheme}://{parts.netloc}")) as wire:
                return self._try(wire, request)
        # No name that can be resolved, no certificates, no thread; what they say may quote the URL.
        except (OSError, RuntimeError, ValueError) as error:
            return f"nothing could be sent ({type(error).__name__})"

    def _try(self, wire: Transport, request: Request) -> str | None:
        ports = self._ports
        for ticket, pause in enumerate((*PAUSES_S, None)):
            problem, may_pass = _judged(_answer(wire, ticket, request))
            if problem is None or not may_pass or pause is None or ports.stop():
                break
            ports.clock.sleep(pause * ports.rng.uniform(0.5, 1))
        return problem


def _answer(wire: Transport, ticket: int, request: Request) -> Answer:
    wire.start(ticket, request, TIMEOUT_S)
    for _ in range(_LOOKS):
        for whose, answer in wire.wait(_LOOK_S):
            if whose == ticket:
                return answer
    return NoAnswer(f"no answer within {_LOOKS * _LOOK_S:g} s")


def _judged(answer: Answer) -> tuple[str | None, bool]:
    """Return what is wrong with an answer, or None, and whether that may pass.

    Its body is not read: what a server writes there may repeat the URL.
    """
    if not isinstance(answer, Response):
        return answer.reason, True
    status = answer.status
    if status // 100 == 2:  # noqa: PLR2004 - every status of success
        return None, False
    hint = "; redirects are not followed" if status in _REDIRECTS else ""
    may_pass = status == _TOO_MANY_REQUESTS or status >= _SERVER_ERRORS
    return f"it answered {status}{hint}", may_pass


# --- who is told what ----------------------------------------------------------------------


@dataclass(frozen=True)
class Tested:
    """What became of a test message.

    Attributes:
        number: Place of the webhook in ``notifications:``, from 0.
        place: Its scheme and host.
        format: ``slack`` or ``json``.
        problem: What went wrong; None when the message was accepted.
    """

    number: int
    place: str
    format: str
    problem: str | None


@dataclass
class _Known:
    """What this process knows of one sync.

    Attributes:
        turn: One thread at a time tells of the sync.
        conditions: What each webhook was told last, by its key; no more than was found out.
        unsaved: Keys of those for which the warehouse may say something else.
    """

    turn: threading.Lock = field(default_factory=threading.Lock)
    conditions: dict[str, Condition] = field(default_factory=dict)
    unsaved: set[str] = field(default_factory=set)


class Alerts:
    """Tells the webhooks of a config how its syncs are doing; from any thread."""

    def __init__(
        self,
        config: Config,
        ports: Ports,
        transport: Callable[[str], Transport] = webhook_transport,
    ) -> None:
        """Bind the parts; nothing is contacted yet.

        Args:
            config: A loaded config.
            ports: Time, chance, and when to stop.
            transport: Makes the transport to a URL of scheme and host.
        """
        self._config, self._ports, self._transport = config, ports, transport
        self._webhooks = [
            Webhook(number, settings, ports, transport)
            for number, settings in enumerate(config.notifications)
        ]
        self._lock = threading.Lock()
        self._known: dict[str, _Known] = {}

    def with_config(self, config: Config) -> Alerts:
        """Return the alerts of another config, which know what these have told."""
        other = Alerts(config, self._ports, self._transport)
        other._lock, other._known = self._lock, self._known
        return other

    def after_run(self, report: RunSummary) -> None:
        """Tell what a run changed; raises nothing that a run could fail from.

        Args:
            report: The run, whatever became of it.
        """
        if not self._webhooks or report.status not in _NEWS:
            return

        def decide(webhook: NotificationConfig, before: Condition) -> Condition:
            return condition_after(report, before, webhook)

        def message(event: str) -> Message:
            return Message(event, self._ports.clock.now(), report.sync, report)

        self._tell(report.sync, report.run_id, decide, message)

    def check_stale(self, sync_name: str, since: datetime, now: datetime) -> None:
        """Tell when a sync has not succeeded for long; raises nothing either.

        Args:
            sync_name: A sync with a schedule.
            since: When it last succeeded, or else since when it is known; UTC, without time zone.
            now: The present; UTC, without time zone.
        """
        if not any(is_stale(since, now, webhook.settings) for webhook in self._webhooks):
            return

        def decide(webhook: NotificationConfig, before: Condition) -> Condition:
            return condition_by_age(since, now, before, webhook)

        def message(event: str) -> Message:
            return Message(event, now, sync_name, last_success=since)

        self._tell(sync_name, None, decide, message)

    def test(self) -> list[Tested]:
        """Send a test message to each webhook; nothing is remembered of it."""
        message = Message("test", self._ports.clock.now())
        return [
            Tested(each.number, each.place, each.settings.format, each.send(message))
            for each in self._webhooks
        ]

    def _tell(
        self,
        sync_name: str,
        run_id: int | None,
        decide: Callable[[NotificationConfig, Condition], Condition],
        message: Callable[[str], Message],
    ) -> None:
        """Tell each webhook what has changed for it, and remember what it was told."""
        if sync_name not in self._config.syncs:
            return
        with self._lock:
            known = self._known.setdefault(sync_name, _Known())
        log = logging.LoggerAdapter(_logger, {"sync": sync_name, "run_id": run_id})
        with known.turn:
            self._look(sync_name, known, log)
            for webhook in self._webhooks:
                before = known.conditions.get(webhook.key)
                after = decide(webhook.settings, before)
                if after != before and _told(webhook, message(after or "recovered"), log):
                    known.conditions[webhook.key] = after
                    known.unsaved.add(webhook.key)
            if known.unsaved:
                self._save(sync_name, known, log)

    # --- what was told last --------------------------------------------------------------------

    def _look(self, sync_name: str, known: _Known, log: _Log) -> None:
        """Read what the webhooks were told; without a warehouse, what is known here has to do."""
        try:
            found = self._read(sync_name)
        except ReverseEtlError as error:
            log.warning("what webhooks were told of %s cannot be read: %s", sync_name, error)
            return
        unsaved = {key: known.conditions.get(key) for key in known.unsaved}
        known.conditions = {**found, **unsaved}

    def _save(self, sync_name: str, known: _Known, log: _Log) -> None:
        changes = {key: known.conditions.get(key) for key in known.unsaved}
        try:
            self._write(sync_name, changes)
        except ReverseEtlError as error:
            log.warning("what webhooks were told of %s cannot be kept: %s", sync_name, error)
            return
        known.unsaved.clear()

    @contextmanager
    def _opened(self, sync_name: str) -> Iterator[Warehouse]:
        """Open where the sync's row is.

        For writing also to read: while a DuckDB file is open for reading only, another sync of
        this process could not begin its run.
        """
        source = self._config.sync(sync_name).source.warehouse
        with warehouse_of(self._config, source, self._ports.clock).control as found:
            yield found

    def _read(self, sync_name: str) -> dict[str, str]:
        with self._opened(sync_name) as warehouse, warehouse.transaction() as tx:
            tx.abandon()
            if not warehouse.is_prepared(tx):
                return {}
            rows = tx.rows(statements.read_state(warehouse.tables.state, sync_name))
            return conditions_in(rows[0].alerts) if rows else {}

    def _write(self, sync_name: str, changes: dict[str, Condition]) -> None:
        with self._opened(sync_name) as warehouse:
            # A run that was refused early may have left neither tables nor a row.
            warehouse.prepare_schema()
            state = warehouse.tables.state
            with warehouse.in_turn(), warehouse.transaction() as tx:
                tx.run(statements.know_sync(state, sync_name))
                tx.run(statements.hold_alerts(state, sync_name))
                row = tx.rows(statements.read_state(state, sync_name))[0]
                merged = {**conditions_in(row.alerts), **changes}
                kept = {key: condition for key, condition in merged.items() if condition}
                tx.run(statements.keep_alerts(state, sync_name, text_of(kept)))


def _told(webhook: Webhook, message: Message, log: _Log) -> bool:
    """Send a message, unless the webhook wants no such; return whether it is done with."""
    if message.event not in webhook.settings.on:
        return True
    problem = webhook.send(message)
    if problem is None:
        log.info("%s was told that %s: %s", webhook, message.sync, message.event)
        return True
    log.warning(
        "%s was not told that %s: %s; %s. It is tried again after the next run",
        webhook,
        message.sync,
        message.event,
        problem,
    )
    return False


__all__ = ["Alerts", "Tested"]
