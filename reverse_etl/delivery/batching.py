"""Prepared records into batches that fit the limits of a request.

A page is cut into *stretches* of consecutive sequence numbers. A stretch is what one batch
covers: the changes it sends and, between them, those that need no request. So a stretch is
settled as one, and the confirmed position moves by stretches.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from reverse_etl.columns import picked, sizes
from reverse_etl.connector import Batch, Limits, Operation, Outcome, Prepared, Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ENVELOPE_BYTES = 1_000
"""Room for what surrounds the records in a request body: list id, options, brackets."""

_COMMA = 1
_NO_BODY = Outcome(
    "unknown", "unknown", "the connector prepared neither a body nor an outcome", retryable=True
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Consecutive changes of a page, of which the sendable ones are one batch.

    Attributes:
        first_seq: Sequence number of the first change, sent or not.
        last_seq: Sequence number of the last change, sent or not.
        batch: What is to be sent; None when nothing is.
        seqs: Sequence number of each change of the batch.
        unsent: The changes that need no request, with their outcome.
        remarks: Offset within the batch to the outcome that replaces a plain success.
    """

    first_seq: int
    last_seq: int
    batch: Batch | None
    seqs: Sequence[int]
    unsent: Sequence[tuple[int, Outcome]]
    remarks: Mapping[int, Outcome]


@dataclass(frozen=True, slots=True)
class Cutter:
    """Cuts prepared pages of one sync into stretches.

    Attributes:
        target: What the batches write to.
        limits: Records and bytes of one request.
        longest: Sequence numbers that one stretch may cover at most, sent or not.
    """

    target: Target
    limits: Limits
    longest: int

    def cut(self, prepared: Prepared, operation: Operation, first_seq: int) -> Iterator[Stretch]:
        """Yield the stretches of a page in order.

        Raises:
            ValueError: The lists of ``prepared`` are not equally long.
        """
        bodies = _Bodies(prepared.bodies)
        if not len(bodies) == len(prepared.identities) == len(prepared.aliases):
            msg = "the connector prepared lists of different lengths; this is a bug in it"
            raise ValueError(msg)
        unsent = self._unsent(prepared, bodies)
        remarks = {i: o for i, o in prepared.outcomes.items() if i not in unsent}
        start = 0
        while start < len(bodies):
            stop = self._stop(bodies, unsent, start)
            span = range(start, stop)
            kept = [offset for offset in span if offset in unsent] if unsent else []
            sent = [offset for offset in span if offset not in unsent] if kept else span
            yield Stretch(
                first_seq=first_seq + start,
                last_seq=first_seq + stop - 1,
                batch=self._batch(prepared, operation, sent) if sent else None,
                seqs=_seqs(first_seq, sent),
                unsent=[(first_seq + offset, unsent[offset]) for offset in kept],
                remarks=_remarks(remarks, sent),
            )
            start = stop

    def _unsent(self, prepared: Prepared, bodies: _Bodies) -> dict[int, Outcome]:
        """Return the offsets of the page that are settled without a request."""
        unsent = {
            offset: outcome
            for offset, outcome in prepared.outcomes.items()
            if outcome.status != "succeeded" or bodies.sizes[offset] == 0
        }
        room = self._room()
        # The usual page, where all is well, costs no step per change in Python.
        if not bodies.all_within(1, room):
            for offset, size in enumerate(bodies.sizes):
                if size == 0:
                    unsent.setdefault(offset, _NO_BODY)
                elif size > room:
                    unsent.setdefault(offset, _too_large(size, room))
        return unsent

    def _room(self) -> int:
        return self.limits.bytes_per_request - ENVELOPE_BYTES

    def _stop(self, bodies: _Bodies, unsent: Mapping[int, Outcome], start: int) -> int:
        """Return the offset at which the stretch that begins at ``start`` ends."""
        most = min(self.limits.records_per_request, self.longest)
        stop = min(start + most, len(bodies))
        if not unsent and bodies.total(start, stop) + (stop - start) * _COMMA <= self._room():
            return stop
        return self._stop_by_counting(bodies.sizes, unsent, start)

    def _stop_by_counting(
        self, sizes: Sequence[int], unsent: Mapping[int, Outcome], start: int
    ) -> int:
        records = size = 0
        end = min(start + self.longest, len(sizes))
        for offset in range(start, end):
            if offset in unsent:
                continue
            # The first record of a body has no comma before it.
            size += sizes[offset] + (_COMMA if records else 0)
            records += 1
            if records > self.limits.records_per_request or size > self._room():
                return offset
        return end

    def _batch(self, prepared: Prepared, operation: Operation, offsets: Sequence[int]) -> Batch:
        return Batch(
            operation,
            self.target,
            picked(prepared.bodies, offsets),
            picked(prepared.identities, offsets),
            picked(prepared.aliases, offsets),
        )


class _Bodies:
    """How large the records of a page are."""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self._sizes = sizes(bodies)
        self._ends = pc.cumulative_sum(self._sizes)

    def __len__(self) -> int:
        return len(self._sizes)

    @cached_property
    def sizes(self) -> list[int]:
        """The bytes of each record; made when a page is not the usual one."""
        found: list[int] = self._sizes.to_pylist()
        return found

    def all_within(self, least: int, most: int) -> bool:
        """Whether every record has so many bytes."""
        span = pc.min_max(self._sizes)
        return len(self) == 0 or (span["min"].as_py() >= least and span["max"].as_py() <= most)

    def total(self, start: int, stop: int) -> int:
        """Return the bytes of the records from ``start`` on, before ``stop``."""
        before = self._ends[start - 1].as_py() if start else 0
        return int(self._ends[stop - 1].as_py() - before)


def _too_large(size: int, room: int) -> Outcome:
    reason = f"the encoded record has {size:,} bytes, a request has room for {room:,}"
    return Outcome("invalid", "invalid_value", reason)


def _seqs(first_seq: int, offsets: Sequence[int]) -> Sequence[int]:
    if isinstance(offsets, range):
        return range(first_seq + offsets.start, first_seq + offsets.stop)
    return [first_seq + offset for offset in offsets]


def _remarks(remarks: Mapping[int, Outcome], offsets: Sequence[int]) -> dict[int, Outcome]:
    if not remarks:
        return {}
    return {i: remarks[offset] for i, offset in enumerate(offsets) if offset in remarks}
