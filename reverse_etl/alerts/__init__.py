"""Webhooks that tell people how syncs are doing: once for each change, never once per run.

How a sync is, as one webhook sees it, is its *condition*: ``failed``, ``held``, ``failures`` or
``stale``, or None while there is nothing to tell. A run changes it, or a scheduler that has seen no
success for long. A change is one message, and what was told is remembered:

    in sync_state.alerts   so that the next command knows, and any other scheduler
    here                   so that a scheduler knows while the warehouse is away

Only what a webhook has accepted is remembered, and for each webhook by itself: what could not be
delivered is told after the next run, and a broken webhook lets no other hear anything twice.
Nothing here fails a run, and nothing is open while a webhook takes its time.

    condition   how a sync is, as one webhook sees it
    message     what is said of it
    webhook     how that gets there
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

from reverse_etl.alerts.condition import (
    NEWS,
    Condition,
    condition_after,
    condition_by_age,
    conditions_in,
    is_stale,
    text_of,
)
from reverse_etl.alerts.message import Message
from reverse_etl.alerts.webhook import Webhook, webhook_transport
from reverse_etl.errors import ReverseEtlError
from reverse_etl.warehouse import warehouse_of
from reverse_etl.warehouse.statements import control as statements

if TYPE_CHECKING:
    from reverse_etl.config import Config, NotificationConfig
    from reverse_etl.delivery.transport import Transport
    from reverse_etl.ports import Ports
    from reverse_etl.report import RunSummary
    from reverse_etl.warehouse.base import Warehouse

_logger = logging.getLogger("reverse_etl")

_Log: TypeAlias = "logging.LoggerAdapter[logging.Logger]"


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
        if not self._webhooks or report.status not in NEWS:
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
