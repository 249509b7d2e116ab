"""E-mail addresses and user ids: how they are recognised and how a person is written as JSON.

Two stages. The patterns here run in the warehouse and only drop what is plainly no identifier;
:func:`read_people` looks again, closely, at what is about to be sent.

An e-mail address of plain ASCII letters, digits and ``_ + - .`` passes one regular expression
over the whole column. Only the others go, one by one, to the library ``email_validator``, whose
verdict is used and whose rewriting is not: what is sent is what the warehouse holds. The two
agree because the expression accepts a subset of what the library accepts. The top-level domain is
judged by neither: ``.test`` or ``.local`` pass here, and Iterable, which keeps the list of real
domains (support article 209082806), names them in its answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from connectors.iterable.json_text import TEXT, joined
from reverse_etl.columns import replaced
from reverse_etl.connector import Identifier

EMAIL_MAX_LENGTH = 254
"""Characters of an address that fits into an SMTP path. Source: RFC 5321, erratum 1690."""

USER_ID_MAX_LENGTH = 52
"""Source: support article 29156459027348; Iterable API description, ``FailedUserUpdates``."""

EMAIL = Identifier(
    name="email",
    pattern=r"^[^@\s\x01-\x1f\x7f]+@[^@\s\x01-\x1f\x7f]+[.][^@\s\x01-\x1f\x7f]+$",
    max_length=EMAIL_MAX_LENGTH,
    expected="an e-mail address",
    trim=True,
    lower=True,
    plain=r"^[!-?A-~]+@[!-?A-~]+[.][!-?A-~]+$",
)
USER_ID = Identifier(
    name="userId",
    pattern=r"^[!-~]([ -~]*[!-~])?$",
    max_length=USER_ID_MAX_LENGTH,
    expected="1 to 52 printable ASCII characters without white space at the edges",
)
BY_NAME: Mapping[str, Identifier] = MappingProxyType({"email": EMAIL, "userId": USER_ID})

_PLAIN_EMAIL = r"^[a-z0-9_+-]+(?:[.][a-z0-9_+-]+)*@[a-z0-9]+(?:[.-][a-z0-9]+)*[.][a-z][a-z]+$"
_PLAIN_EMAIL_MAX_LENGTH = 64
"""Within 64 characters no local part (64) and no domain label (63) can be too long."""

_PLAIN_USER_ID = r"^[!#-\[\]-~](?:[ !#-\[\]-~]*[!#-\[\]-~])?$"
"""A user id without ``"`` and ``\\``, which JSON would escape."""

_USER_ID = re.compile(USER_ID.pattern)

_SHOWN_MAX = 80
"""Characters of a value that nothing limits, in a message."""


def fault_of_email(value: str) -> str | None:
    """Return why the text is no e-mail address, or None when it may be sent."""
    # Few addresses get here, and in most runs none.
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415

    if len(value.encode("utf-8", "surrogatepass")) > EMAIL_MAX_LENGTH:
        return f"it is longer than {EMAIL_MAX_LENGTH} bytes"
    try:
        validate_email(
            _with_neutral_domain(value),
            check_deliverability=False,
            strict=True,
            test_environment=True,
        )
    except EmailNotValidError as error:
        return " ".join(str(error).split())
    return None if "." in value.rpartition("@")[2] else "its domain has no dot"


def _with_neutral_domain(value: str) -> str:
    """Return the address with a reserved top-level domain replaced by ``test``.

    The library always refuses reserved ones; ``test`` is the only one it can be told to allow.
    """
    from email_validator import SPECIAL_USE_DOMAIN_NAMES  # noqa: PLC0415 - as above

    rest, dot, top = value.rpartition(".")
    return f"{rest}.test" if dot and top in SPECIAL_USE_DOMAIN_NAMES else value


def fault_of_user_id(value: str) -> str | None:
    """Return why the text is no user id, or None when it may be sent."""
    if len(value) <= USER_ID_MAX_LENGTH and _USER_ID.fullmatch(value):
        return None
    return f"a user id has {USER_ID.expected}"


_FAULT_OF: Mapping[str, Callable[[str], str | None]] = MappingProxyType(
    {"email": fault_of_email, "userId": fault_of_user_id}
)
_PLAIN: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "email": (_PLAIN_EMAIL, _PLAIN_EMAIL_MAX_LENGTH),
        "userId": (_PLAIN_USER_ID, USER_ID_MAX_LENGTH),
    }
)


def doubtful(name: str, values: pa.Array) -> list[int]:
    """Return the offsets of the values that are not plainly good; NULLs among them."""
    pattern, max_length = _PLAIN[name]
    plain = pc.and_(
        pc.match_substring_regex(values, pattern),
        pc.less_equal(pc.binary_length(values), max_length),
    ).fill_null(fill_value=False)
    return [] if plain.true_count == len(plain) else _offsets(pc.invert(plain))


def _offsets(mask: pa.Array) -> list[int]:
    """Return where the mask is true."""
    found: list[int] = pc.indices_nonzero(mask).to_pylist()
    return found


@dataclass(frozen=True, slots=True)
class People:
    """Who the changes of a record batch are about.

    Attributes:
        heads: JSON object with the identifiers of each, left open, e.g. ``{"email":"a@b.com"``;
            empty where the identity cannot be sent.
        aliases: The second identifier of each, bare, or NULL.
        faults: Offset to the reason why the identity cannot be sent.
        remarks: Offset to the reason why the alias is left out.
    """

    heads: pa.Array
    aliases: pa.Array
    faults: dict[int, str] = field(default_factory=dict)
    remarks: dict[int, str] = field(default_factory=dict)


def _together(parts: Sequence[tuple[Sequence[int], People]]) -> People:
    """Return people that were read apart, each at its offset."""
    places = pa.array([offset for offsets, _ in parts for offset in offsets], pa.int64())
    order = pc.array_sort_indices(places)
    whole = People(
        pa.concat_arrays([people.heads for _, people in parts]).take(order),
        pa.concat_arrays([people.aliases for _, people in parts]).take(order),
    )
    for offsets, people in parts:
        whole.faults.update((offsets[i], reason) for i, reason in people.faults.items())
        whole.remarks.update((offsets[i], reason) for i, reason in people.remarks.items())
    return whole


def read_people(identities: pa.Array, name: str) -> People:
    """Read bare identities that are all of one kind.

    Args:
        identities: Text.
        name: ``email`` or ``userId``.
    """
    exact, faults = {}, {}
    for offset in doubtful(name, identities):
        value = identities[offset].as_py() or ""
        reason = _FAULT_OF[name](value)
        exact[offset] = "" if reason else _opened(name, value)
        if reason:
            faults[offset] = f"{name} {value!r} cannot be sent: {reason}"
    # Right for values that JSON need not escape; the others are among the doubtful ones.
    heads = joined([f'{{"{name}":"', identities.cast(TEXT), '"'])
    return People(replaced(heads, exact), pa.nulls(len(heads), TEXT), faults)


def _opened(name: str, value: str) -> str:
    return orjson.dumps({name: value}).decode().removesuffix("}")


def read_mixed_people(identities: pa.Array, aliases: pa.Array | None) -> People:
    """Read identities written ``userId:…`` or ``email:…``, as hybrid projects have them.

    Args:
        identities: Text with the prefix.
        aliases: E-mail addresses (with or without ``email:``) that are sent along, NULL where
            there is none; None sends identities alone.

    Raises:
        ValueError: An identity has neither prefix.
    """
    is_user = pc.starts_with(identities, "userId:")
    if pc.all(is_user).as_py():  # the usual page: nothing to take apart
        return _read_user_ids(identities, aliases)
    users, others = _offsets(is_user), _offsets(pc.starts_with(identities, "email:"))
    if len(users) + len(others) != len(identities):
        msg = "identities of a hybrid project must begin with userId: or email:"
        raise ValueError(msg)
    picked = None if aliases is None else aliases.take(pa.array(users, pa.int64()))
    by_user_id = _read_user_ids(identities.take(pa.array(users, pa.int64())), picked)
    emails = identities.take(pa.array(others, pa.int64()))
    by_email = read_people(pc.utf8_slice_codeunits(emails, len("email:")), "email")
    return _together([(users, by_user_id), (others, by_email)])


def _read_user_ids(identities: pa.Array, aliases: pa.Array | None) -> People:
    """Read identities that all begin with ``userId:``, with their e-mail addresses if any."""
    user_ids = pc.utf8_slice_codeunits(identities, len("userId:"))
    people = read_people(user_ids, "userId")
    if aliases is None or aliases.null_count == len(aliases):
        return people
    return _with_aliases(people, user_ids, pc.replace_substring_regex(aliases, "^email:", ""))


def _with_aliases(people: People, user_ids: pa.Array, emails: pa.Array) -> People:
    """Put valid e-mail addresses beside the user ids; note the others."""
    heads: dict[int, str] = {}
    aliases: dict[int, str | None] = {}
    remarks = dict(people.remarks)
    for offset in {*doubtful("userId", user_ids), *doubtful("email", emails)}:
        alias, head = emails[offset].as_py(), people.heads[offset].as_py()
        reason = None if alias is None else fault_of_email(alias)
        if reason:
            remarks[offset] = f"email {alias!r} was left out: {reason}"
        heads[offset], aliases[offset] = head, None
        if alias is not None and head and not reason:
            heads[offset] = f"{_opened('email', alias)},{head[1:]}"
            aliases[offset] = alias
    emails = emails.cast(TEXT)
    pairs = joined(['{"email":"', emails, '","userId":"', user_ids.cast(TEXT), '"'])
    return People(
        replaced(pc.coalesce(pairs, people.heads), heads),
        replaced(emails, aliases),
        people.faults,
        remarks,
    )


def left_out(
    identities: pa.Array, aliases: pa.Array | None, given: Mapping[str, pa.Array]
) -> dict[int, str]:
    """Return why the other identifier of a person is not sent: one that SQL dropped already.

    Args:
        identities: Text with the prefix.
        aliases: As for :func:`read_mixed_people`.
        given: Identifier name to what the rows hold under it, text or not.

    Returns:
        Offset to the reason. An empty identifier is worth no word, and a valid one neither: it
        goes with somebody else.
    """
    is_user = pc.starts_with(identities, "userId:")
    unused = {"userId": pc.invert(is_user)}
    if aliases is not None:
        unused["email"] = pc.and_(is_user, aliases.is_null())
    reasons: dict[int, str] = {}
    for name, values in given.items():
        is_text = pa.types.is_string(values.type) or pa.types.is_large_string(values.type)
        if name not in unused or not is_text:
            continue
        filled = pc.not_equal(pc.utf8_trim_whitespace(values), "").fill_null(fill_value=False)
        for offset in _offsets(pc.and_(unused[name], filled)):
            value = values[offset].as_py()
            reason = _FAULT_OF[name](value.strip().lower() if name == "email" else value)
            if reason:
                reasons[offset] = f"{name} {value[:_SHOWN_MAX]!r} was left out: {reason}"
    return reasons
