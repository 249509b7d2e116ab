"""How much one request may carry and how often each call may be made; cheap to import."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from connectors.iterable.settings import IterableAccount
from reverse_etl.connector import Limits

DELIVERY_RATES: Mapping[str, float] = MappingProxyType(
    {
        "lists/subscribe": 5,
        "lists/unsubscribe": 5,
        "users/bulkUpdate": 5,
    }
)
"""Requests per second of the calls that deliver. Only that of ``users/bulkUpdate`` is documented
(Iterable API description, ``bulkUpdateUser``, per project); the other two have no documented
limit, and the same number is taken as a careful guess."""

OTHER_RATES: Mapping[str, float] = MappingProxyType(
    {
        "lists": 100,
        "lists/getUsers": 5 / 60,
        "users/getFields": 3,
        "users/getByEmail": 100,
        "users/byUserId": 100,
    }
)
"""Requests per second of the calls that look something up. Source: Iterable API description, each
per project; ``lists`` also stands for making and deleting a list, which have no documented one."""


def limits_of(account: IterableAccount, endpoints: Iterable[str] | None = None) -> Limits:
    """Return the limits of an account.

    ``requests_per_second`` replaces the rates of the calls that deliver; the others are not made
    faster by it than they may be, unless it is 0, which lifts every limit (the sandbox has none).

    Args:
        account: The project.
        endpoints: The ones that are wanted; None for all. Whoever estimates the time of a run
            takes the slowest one, so an object names only what its runs use.
    """
    own = account.requests_per_second
    rates = {**DELIVERY_RATES, **OTHER_RATES}
    if own is not None:
        rates = {
            name: own if own == 0 or name in DELIVERY_RATES else min(own, rate)
            for name, rate in rates.items()
        }
    return Limits(
        records_per_request=account.records_per_request,
        bytes_per_request=account.bytes_per_request,
        requests_per_second={name: rates[name] for name in endpoints or rates},
    )
