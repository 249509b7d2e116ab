"""The lease: one run per sync at a time, over processes and machines.

It is a row with an owner, an expiry by the warehouse's clock, and a fencing token that grows
with every owner. Every later change of the sync's state names the token, so a run that was
paused past its expiry finds out before it can write. Where opening the warehouse proves that no
other process has it open (a DuckDB file), a lease found there is dead, unless it is our own.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from typing import TYPE_CHECKING, Any, Self

from reverse_etl.errors import Busy, LeaseLost, WarehouseError
from reverse_etl.warehouse.statements import control

if TYPE_CHECKING:
    from reverse_etl.clock import Clock
    from reverse_etl.warehouse.base import Transaction, Warehouse

# Names this process among all that ever held a lease; process ids come back, this does not.
_PROCESS = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:12]}"

# The leases of this process that are in use. An embedded database has no heartbeat, so there the
# clock says nothing; a lease that nobody here holds any more is as dead as another process's.
_IN_USE: set[str] = set()

# Longest time that a run waits for a renewal on its way, when it ends.
JOIN_SECONDS = 5.0


class Lease:
    """The lease of one sync, held by one run.

    Attributes:
        token: The fencing token, once taken.
    """

    def __init__(
        self,
        warehouse: Warehouse,
        sync_name: str,
        *,
        seconds: float,
        clock: Clock,
        owner: str = _PROCESS,
    ) -> None:
        """Name the lease; :meth:`take` takes it."""
        self._warehouse = warehouse
        self._state = warehouse.tables.state
        self._sync_name = sync_name
        self._seconds = seconds
        self._clock = clock
        self._process = owner
        self._owner = f"{owner}:{uuid.uuid4().hex[:8]}"
        self._renewed_at = 0.0
        self._lock = threading.Lock()
        self.token = 0

    def take(self) -> None:
        """Take the lease.

        Raises:
            Busy: Another run holds it; the text says who and until when.
        """
        started = self._clock.monotonic()
        with self._warehouse.in_turn():
            try:
                self._know_sync()
            except WarehouseError:
                self._know_sync()  # another process wrote the row in the same moment
            try:
                self._take()
            except WarehouseError:
                self._take()  # perhaps it was taken, and only the word of it was lost
            _IN_USE.add(self._owner)
        self._renewed_at = started

    def _take(self) -> None:
        with self._warehouse.transaction() as tx:
            held = self._row(tx)
            statement = control.take_lease(
                self._state,
                self._sync_name,
                self._owner,
                self._warehouse.now_expression(),
                self._warehouse.after_now(self._seconds),
                force=self._warehouse.capabilities.lock_proves_lease,
            )
            is_ours = held.lease_owner == self._owner
            is_free = not self._is_in_use(held.lease_owner)
            taken = is_ours or (is_free and tx.run(statement) == 1)
            now = self._row(tx)  # read again: another process may have won in between
            if not taken:
                raise Busy(self._who(now.lease_owner, str(now.lease_expires_at)))
            self.token = now.lease_token

    def _row(self, tx: Transaction) -> Any:  # noqa: ANN401 - a row of sync_state
        return tx.rows(control.read_state(self._state, self._sync_name))[0]

    def _know_sync(self) -> None:
        with self._warehouse.transaction() as tx:
            tx.run(control.know_sync(self._state, self._sync_name))

    def _is_in_use(self, owner: str | None) -> bool:
        """Whether a lease found where the lock proves other processes dead is this process's."""
        ours = owner is not None and owner.startswith(f"{self._process}:") and owner in _IN_USE
        return self._warehouse.capabilities.lock_proves_lease and ours

    def _who(self, owner: str | None, until: str) -> str:
        if owner is None:  # given back between our two looks
            return f"sync {self._sync_name} was busy until now. Nothing was written; try again."
        return (
            f"sync {self._sync_name} is busy: {owner} is running it and holds the lease until "
            f"{until} UTC. Nothing was written; try again when that run has ended."
        )

    def renew(self) -> None:
        """Keep the lease for its full length from now.

        Raises:
            LeaseLost: Another run has taken it.
        """
        started = self._clock.monotonic()
        until = self._warehouse.after_now(self._seconds)
        renewed = control.renew_lease(self._state, self._sync_name, self.token, until)
        # Our own name too: given back, the row keeps our token until somebody takes it, and a
        # renewal that was long on its way would close the sync to everybody for another while.
        still_held = renewed.where(self._state.c.lease_owner == self._owner)
        with self._warehouse.transaction() as tx:
            self.guard(tx.run(still_held))
        with self._lock:  # never around the statement: one that hangs must not stop the other
            self._renewed_at = max(self._renewed_at, started)

    def check(self, request_timeout_s: float) -> None:
        """Make sure that a request started now ends while the lease is ours.

        Raises:
            LeaseLost: Another run has taken it; the request must not be started.
        """
        if self._warehouse.capabilities.lock_proves_lease:
            return
        age = self._clock.monotonic() - self._renewed_at
        if age > self._seconds - request_timeout_s:
            self.renew()

    def guard(self, changed: int) -> None:
        """Raise :class:`LeaseLost` when a statement under our token changed no row."""
        if changed != 1:
            raise LeaseLost(
                f"another run of sync {self._sync_name} has taken the lease: this one stopped "
                "without writing. The other run repairs what this one left.",
            )

    def confirm(self, tx: Transaction) -> None:
        """Fence a transaction: it commits only while the lease is ours."""
        self.guard(tx.control.run(control.still_mine(self._state, self._sync_name, self.token)))

    def let_expire(self) -> None:
        """Stop holding the lease without giving it back; where a lock proves it, it is free."""
        _IN_USE.discard(self._owner)

    def give_back(self) -> None:
        """Let the next run in at once; harmless when the lease is already lost."""
        with self._warehouse.in_turn():
            _IN_USE.discard(self._owner)
            with self._warehouse.transaction() as tx:
                tx.run(control.give_lease_back(self._state, self._sync_name, self.token))


class Heartbeat:
    """Renews a lease every so often, beside whatever the run is doing."""

    def __init__(self, lease: Lease, warehouse: Warehouse, seconds: float) -> None:
        """Prepare; nothing beats until the ``with`` block, or where a file lock proves it.

        Args:
            lease: What is renewed.
            warehouse: Where it is.
            seconds: Between two renewals.
        """
        self._lease = lease
        self._needed = not warehouse.capabilities.lock_proves_lease
        self._pause = seconds
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Start beating."""
        if self._needed:
            self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop beating.

        A renewal that hangs in the warehouse is left behind: the run has nothing to wait for,
        and what is renewed after the lease was given back changes nothing (see ``renew``).
        """
        self._ended.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)

    def _beat(self) -> None:
        while not self._ended.wait(self._pause):
            try:
                self._lease.renew()
            except LeaseLost:
                return  # the run finds out by itself, at its next request or statement
            except WarehouseError:
                continue  # perhaps a passing fault; the run checks the age of the lease
