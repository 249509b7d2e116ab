"""Which e-mail addresses and user ids may be sent."""

from __future__ import annotations

import re

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.iterable.identifiers import (
    BY_NAME,
    EMAIL,
    USER_ID,
    doubtful,
    fault_of_email,
    fault_of_user_id,
    read_mixed_people,
    read_people,
)

GOOD_EMAILS = [
    "ada@example.com",
    "ada.lovelace+news@mail.example.co.uk",
    "a_b-c@x-y.org",
    "1@2.io",
    "o'brien@example.com",
    "a!b/c=d@example.com",
    "müller@example.com",
    "ada@münchen.de",
    "ada@xn--mnchen-3ya.de",
    "ada@shop.test",
    "ada@printer.local",
    "ada@x.invalid",
    f"{'a' * 64}@example.com",
    f"a@{'b' * 63}.com",
]
BAD_IN_SQL = [
    "ada",
    "@example.com",
    "ada@",
    "ada@example",
    "ada@@example.com",
    "a@b@example.com",
    "ada lovelace@example.com",
    "ada@exam ple.com",
    "ada\t@example.com",
    "ada\x01@example.com",
    "ada@exam\x7fple.com",
    "none",
    "",
]
BAD_LATER = [
    ".ada@example.com",
    "ada.@example.com",
    "a..b@example.com",
    "ada@.example.com",
    "ada@example..com",
    "ada@-example.com",
    "ada@example-.com",
    "ada@example.123",
    "ada@ab--cd.com",
    "ada@xn--a.com",
    '"ada"@example.com',
    "ada@[127.0.0.1].x",
    "Ada <ada@example.com>",
    "ada\u200b@example.com",
    f"{'a' * 65}@example.com",
    f"a@{'b' * 64}.com",
    f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.{'e' * 20}.com",
]


@pytest.mark.parametrize("value", GOOD_EMAILS)
def test_good_addresses_pass_both_stages(value: str) -> None:
    assert re.fullmatch(EMAIL.pattern, value)
    assert fault_of_email(value) is None


@pytest.mark.parametrize("value", BAD_IN_SQL)
def test_plainly_wrong_addresses_are_dropped_in_sql(value: str) -> None:
    assert not re.fullmatch(EMAIL.pattern, value)
    assert fault_of_email(value)


@pytest.mark.parametrize("value", BAD_LATER)
def test_subtly_wrong_addresses_are_refused_before_sending(value: str) -> None:
    assert fault_of_email(value)
    assert doubtful("email", pa.array([value])) == [0]


def test_the_patterns_mean_the_same_in_sql() -> None:
    for name, values in (
        ("email", GOOD_EMAILS + BAD_IN_SQL + BAD_LATER),
        ("userId", ["a", "a b", " a", "a ", "", "ä", "a\x7f", "x" * 52, "x" * 53, '"\\']),
    ):
        pattern = BY_NAME[name].pattern
        query = "select regexp_matches(v, $1) from (select unnest($2::varchar[]) as v)"
        rows = duckdb.execute(query, [pattern, values]).fetchall()
        assert [row[0] for row in rows] == [bool(re.fullmatch(pattern, value)) for value in values]


@given(st.sampled_from(list(BY_NAME)), st.text("aB1.@-! \t\x01ü", max_size=12))
def test_a_plain_value_is_a_usable_value(name: str, value: str) -> None:
    identifier = BY_NAME[name]
    if identifier.plain and re.fullmatch(identifier.plain, value):
        assert re.fullmatch(identifier.pattern, value)


ATOMS = st.text("ab1.-_+@'ü", min_size=0, max_size=12)


@given(st.builds("{}@{}.{}".format, ATOMS, ATOMS, st.text("abc-1.", max_size=6)))
def test_what_the_fast_path_accepts_the_library_accepts(value: str) -> None:
    if not doubtful("email", pa.array([value])):
        assert fault_of_email(value) is None


@given(st.text(max_size=60))
def test_what_the_fast_path_accepts_is_a_user_id(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which Arrow cannot hold
        return
    if not doubtful("userId", pa.array([value])):
        assert fault_of_user_id(value) is None
        assert re.fullmatch(USER_ID.pattern, value)


@pytest.mark.parametrize("value", ["x" * 52, "a b", '"', "\\", "A", "0"])
def test_good_user_ids(value: str) -> None:
    assert fault_of_user_id(value) is None


@pytest.mark.parametrize("value", ["x" * 53, "", " a", "a ", "ä", "a\n", "a\x00b"])
def test_bad_user_ids(value: str) -> None:
    assert fault_of_user_id(value)


def test_people_are_written_as_json() -> None:
    people = read_people(pa.array(["ada@example.com", "müller@example.com", "a@b"]), "email")
    assert people.heads.to_pylist() == [
        '{"email":"ada@example.com"',
        '{"email":"müller@example.com"',
        "",
    ]
    assert list(people.faults) == [2]
    assert "'a@b'" in people.faults[2]


def test_user_ids_are_escaped() -> None:
    heads = read_people(pa.array(['a"\\b']), "userId").heads
    assert heads.to_pylist() == ['{"userId":"a\\"\\\\b"']


def test_hybrid_people() -> None:
    identities = pa.array(
        ["userId:1", "email:b@example.com", "userId:3", "userId:4", 'userId:"5', "userId: 6"]
    )
    aliases = pa.array(
        ["a@example.com", "b@example.com", None, "bad@", "ü@example.com", "f@example.com"]
    )
    people = read_mixed_people(identities, aliases)
    assert people.heads.to_pylist() == [
        '{"email":"a@example.com","userId":"1"',
        '{"email":"b@example.com"',
        '{"userId":"3"',
        '{"userId":"4"',
        '{"email":"ü@example.com","userId":"\\"5"',
        "",
    ]
    assert people.aliases.to_pylist() == ["a@example.com", None, None, None, "ü@example.com", None]
    assert list(people.remarks) == [3]
    assert list(people.faults) == [5]


def test_hybrid_people_that_all_have_user_ids() -> None:
    identities = pa.array(["userId:1", "userId:2"])
    people = read_mixed_people(identities, pa.array(["email:a@example.com", None]))
    assert people.heads.to_pylist() == ['{"email":"a@example.com","userId":"1"', '{"userId":"2"']
    assert people.aliases.to_pylist() == ["a@example.com", None]
    alone = read_mixed_people(identities, None)
    assert alone.heads.to_pylist() == ['{"userId":"1"', '{"userId":"2"']


def test_an_identity_without_a_prefix_is_a_bug() -> None:
    with pytest.raises(ValueError, match="must begin with"):
        read_mixed_people(pa.array(["userId:1", "ada@example.com"]), None)
