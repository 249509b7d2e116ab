"""What reads do not show yet: the API answers a write before a read can see it.

Recorded in 2021: 2 to 12 seconds lie between a profile's ``profileUpdatedAt`` and the time at
which its document was renewed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .people import Stored


class _Change(NamedTuple):
    """One change, as what it takes to look past it.

    Attributes:
        at: Monotonic seconds.
        profile_id: The changed profile, None for a change of members.
        before: The profile as it was, None where there was none.
        list_id: The changed list.
        joined: Profiles that were put on it.
        left: Profiles that were taken off it.
    """

    at: float
    profile_id: int | None = None
    before: Stored | None = None
    list_id: int | None = None
    joined: frozenset[int] = frozenset()
    left: frozenset[int] = frozenset()


class Recent:
    """The changes of the last seconds. Not thread-safe: the state's lock guards it."""

    def __init__(self, seconds: float, monotonic: Callable[[], float]) -> None:
        """Start without changes.

        Args:
            seconds: How long a change stays invisible; 0 means that reads show it at once.
            monotonic: Seconds that never go back.
        """
        self.seconds = seconds
        self._monotonic = monotonic
        self._changes: deque[_Change] = deque()

    def note_profile(self, profile_id: int, before: Stored | None) -> None:
        """Note that a profile is about to change."""
        if self.seconds:
            self._changes.append(_Change(self._monotonic(), profile_id, before))

    def note_members(self, list_id: int, joined: set[int], left: set[int]) -> None:
        """Note who was put on a list and who was taken off it."""
        if self.seconds and (joined or left):
            change = _Change(
                self._monotonic(),
                list_id=list_id,
                joined=frozenset(joined),
                left=frozenset(left),
            )
            self._changes.append(change)

    def members(self, list_id: int, members: set[int]) -> set[int]:
        """Return the members that reads show, given those that there are."""
        if not self._unseen():
            return members
        shown = set(members)
        for change in reversed(self._changes):
            if change.list_id == list_id:
                shown = (shown - change.joined) | change.left
        return shown

    def is_member(self, list_id: int, profile_id: int, *, now: bool) -> bool:
        """Whether reads show a profile on a list, given whether it is on it."""
        for change in self._unseen():
            if change.list_id == list_id and profile_id in change.joined | change.left:
                return profile_id in change.left
        return now

    def profile(self, profile_id: int, current: Stored | None) -> Stored | None:
        """Return the profile that reads show, given the one that there is."""
        for change in self._unseen():
            if change.profile_id == profile_id:
                return change.before
        return current

    def held(self, email: str | None, user_id: str | None) -> Iterator[int]:
        """Return the profiles that reads still show under an e-mail or a userId."""
        for change in self._unseen():
            before = change.before
            if (
                change.profile_id is not None
                and before is not None
                and (before.email if user_id is None else before.user_id) == (email or user_id)
            ):
                yield change.profile_id

    def shows(self, at: float) -> bool:
        """Whether reads show what was made at that time."""
        return at + self.seconds <= self._monotonic()

    def _unseen(self) -> deque[_Change]:
        """Return the changes that reads do not show, oldest first."""
        if self._changes:
            until = self._monotonic() - self.seconds
            while self._changes and self._changes[0].at <= until:
                self._changes.popleft()
        return self._changes
