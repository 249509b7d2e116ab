"""Which column names a row, which one a person: guessed from names, types and counts."""

from __future__ import annotations

import pytest

from reverse_etl.proposal import Proposal, propose
from reverse_etl.warehouse.browse import SAMPLE_ROWS, ColumnFacts, TableFacts
from reverse_etl.warehouse.shape import Kind

ROWS = 1_000


def text(
    name: str, filled: int = ROWS, distinct: int | None = None, addresses: int = 0
) -> ColumnFacts:
    each = filled if distinct is None else distinct
    return ColumnFacts(name, Kind.TEXT, filled, each, addresses)


def number(name: str, filled: int = ROWS, distinct: int | None = None) -> ColumnFacts:
    each = filled if distinct is None else distinct
    return ColumnFacts(name, Kind.INTEGER, filled, each)


def other(name: str, kind: Kind = Kind.OTHER, filled: int = ROWS) -> ColumnFacts:
    return ColumnFacts(name, kind, filled, filled)


def plain(name: str, kind: Kind = Kind.TEXT) -> ColumnFacts:
    """A column that says nothing about anybody."""
    return ColumnFacts(name, kind, ROWS, 7)


def email(name: str = "email", filled: int = ROWS) -> ColumnFacts:
    return text(name, filled, filled, filled)


def table(
    *columns: ColumnFacts,
    name: str = "customers",
    rows: int = ROWS,
    key: tuple[str, ...] = (),
    is_whole: bool = True,
) -> TableFacts:
    return TableFacts(name, columns, rows, is_whole, key)


def proposed(*columns: ColumnFacts, name: str = "customers") -> Proposal:
    found = propose(table(*columns, name=name))
    assert found is not None
    return found


def column_of(guess: object) -> str | None:
    columns: tuple[str, ...] = getattr(guess, "columns", ())
    return columns[0] if columns else None


# --- the e-mail address --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("email", "EMAIL", "e_mail", "eMail", "e-mail", "mail", "email_address", "emailAddress"),
        *("EmailAddress", "mail_address", "work_email", "contactEmail", "Primary E-Mail"),
    ],
)
def test_an_address_is_known_by_its_name_and_its_values(name: str) -> None:
    found = proposed(number("id"), email(name), plain("plan"))
    assert column_of(found.email) == name
    assert found.email is not None
    assert found.email.text == (
        "a guess: its name, and all of its values in all 1,000 rows look like addresses"
    )


@pytest.mark.parametrize(
    "name", ["email_hash", "emails_sent", "email_verified", "email_domain", "mailing_city", "plan"]
)
def test_a_name_that_only_speaks_of_addresses_is_none(name: str) -> None:
    assert propose(table(plain(name))) is None
    empty = ColumnFacts(name, Kind.TEXT)
    assert propose(table(empty, rows=0)) is None


def test_values_that_are_no_addresses_count_more_than_a_name() -> None:
    hashes = text("email", addresses=3)
    found = proposed(number("customer_id"), hashes, email("contact"))
    assert column_of(found.email) == "contact"
    assert found.email is not None
    assert found.email.reason == "all of its values in all 1,000 rows look like addresses"
    assert "email" in found.fields


def test_some_bad_addresses_do_no_harm() -> None:
    found = proposed(number("id"), text("email", 990, 980, 975))
    assert found.email is not None
    assert found.email.reason.startswith("its name, and 98.5 % of its values")


def test_nearly_all_is_never_said_to_be_all() -> None:
    found = proposed(number("id"), text("email", ROWS * 100, addresses=ROWS * 100 - 1))
    assert found.email is not None
    assert "99.9 %" in found.email.reason


def test_a_column_of_remarks_with_some_addresses_is_none() -> None:
    assert propose(table(text("remarks", addresses=600))) is None


def test_of_two_the_plain_name_wins_then_the_fuller_one() -> None:
    assert column_of(proposed(email("work_email"), email("email", 500)).email) == "email"
    assert column_of(proposed(email("email", 500), email("mail")).email) == "mail"
    assert "work_email" in proposed(email("work_email"), email("email")).fields


def test_a_number_or_a_truth_is_no_address() -> None:
    assert propose(table(number("email"))) is None
    assert propose(table(ColumnFacts("email", Kind.BOOLEAN))) is None


def test_text_of_a_type_of_the_engines_own_is_text() -> None:
    own = ColumnFacts("email", Kind.OTHER, ROWS, ROWS, ROWS)
    assert column_of(proposed(own).email) == "email"


def test_in_an_empty_table_the_name_decides() -> None:
    columns = [ColumnFacts("customer_id", Kind.INTEGER), ColumnFacts("email", Kind.TEXT)]
    found = propose(table(*columns, rows=0))
    assert found is not None
    assert found.email is not None
    assert found.email.text == "a guess: its name; the table is empty"
    assert found.primary_key.columns == ("customer_id",)
    assert found.primary_key.text == "a guess: its name; the table is empty"


# --- the id of a person --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *("user_id", "userId", "USER_ID", "UserID", "userid", "user_uuid", "uid", "customer_id"),
        *("CustomerID", "member_guid", "contactId", "crm_contact_id", "external_id", "id_customer"),
    ],
)
def test_a_persons_id_is_known_by_its_name(name: str) -> None:
    found = proposed(number("nr"), text(name), plain("plan"), name="facts")
    assert column_of(found.user_id) == name
    assert found.email is None


@pytest.mark.parametrize("name", ["id", "ID", "uuid", "guid", "Id"])
def test_a_bare_id_is_a_persons_in_a_table_of_people(name: str) -> None:
    for of_people in ("users", "dim_customer", "shop.Subscribers", "people", "vipMembers"):
        found = proposed(other(name), plain("plan"), name=of_people)
        assert column_of(found.user_id) == name
        assert found.user_id is not None
        assert found.user_id.reason.startswith("the table's name and its own; unique in all")
    for of_others in ("orders", "customer_orders", "user_addresses", "products"):
        assert propose(table(other(name), plain("plan"), name=of_others)) is None


@pytest.mark.parametrize(
    "name", ["order_id", "product_uuid", "paid", "valid", "grid", "account_id", "users", "user"]
)
def test_other_ids_and_other_words_are_nobodys(name: str) -> None:
    assert propose(table(number(name), name="orders")) is None


def test_the_id_that_each_row_has_once_wins() -> None:
    found = proposed(number("id"), number("client_id", distinct=12), name="users")
    assert column_of(found.user_id) == "id"
    messy = proposed(number("customer_id", distinct=995), text("user_id", 985, 975))
    assert column_of(messy.user_id) == "user_id"
    assert messy.user_id is not None
    assert messy.user_id.reason == (
        "its name; 975 different values in all 1,000 rows, 15 of them without one"
    )


def test_somebody_elses_id_that_few_rows_have_is_none() -> None:
    assert propose(table(number("referrer_user_id", filled=30), name="orders")) is None
    found = proposed(number("id"), number("referrer_user_id", filled=30), name="users")
    assert column_of(found.user_id) == "id"


def test_what_holds_addresses_is_no_id_beside_it() -> None:
    found = proposed(number("id"), email("user_id"), name="logins")
    assert (column_of(found.email), found.user_id) == ("user_id", None)


def test_neither_gives_nothing() -> None:
    assert propose(table(number("order_id"), plain("status"), name="orders")) is None
    assert propose(table(name="nothing", rows=0)) is None


# --- the row -------------------------------------------------------------------------------


def test_a_declared_key_is_no_guess() -> None:
    columns = (number("nr"), number("id"), email())
    found = propose(table(*columns, key=("nr",)))
    assert found is not None
    assert found.primary_key.columns == ("nr",)
    assert found.primary_key.text == "the table's primary key"
    assert "nr" not in found.fields
    assert "id" not in found.fields, "it is the id of a customer"


def test_the_columns_of_a_composite_key_are_fields_all_the_same() -> None:
    columns = (text("user_id", distinct=900), plain("experiment_id"), plain("arm"))
    found = propose(table(*columns, name="assignments", key=("user_id", "experiment_id")))
    assert found is not None
    assert found.primary_key.columns == ("user_id", "experiment_id")
    assert found.fields == ("experiment_id", "arm")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ([email(), number("id")], "id"),
        ([number("user_id"), number("customer_id"), email()], "customer_id"),
        ([number("order_id"), number("person_id"), email()], "person_id"),
        ([number("order_id", distinct=20), other("uuid"), email()], "uuid"),
        ([text("user_uuid"), email()], "user_uuid"),
        ([plain("first_name"), text("nickname"), email()], "email"),
        (
            [plain("first_name"), text("nickname"), text("email", addresses=990, distinct=9)],
            "nickname",
        ),
    ],
    ids=lambda given: given if isinstance(given, str) else ",".join(c.name for c in given),
)
def test_what_names_a_row(columns: list[ColumnFacts], expected: str) -> None:
    found = proposed(*columns)
    assert found.primary_key.columns == (expected,)
    assert "unique in all 1,000 rows" in found.primary_key.reason
    assert not found.primary_key.is_certain


def test_a_key_with_some_doubles_is_still_better_than_a_chance() -> None:
    found = proposed(number("customer_id", distinct=995), text("street"), email())
    assert found.primary_key.columns == ("customer_id",)
    assert found.primary_key.text == ("a guess: its name; 995 different values in all 1,000 rows")


def test_where_nothing_names_a_row_the_person_does() -> None:
    found = proposed(plain("country"), text("email", distinct=40, addresses=ROWS), name="logins")
    assert found.primary_key.columns == ("email",)
    assert "nothing else names a row" in found.primary_key.reason


def test_times_and_fractions_name_no_row() -> None:
    moment = ColumnFacts("at", Kind.TIMESTAMP)
    share = ColumnFacts("share", Kind.FLOAT, ROWS, ROWS)
    found = proposed(moment, share, text("email", distinct=40, addresses=ROWS), name="logins")
    assert found.primary_key.columns == ("email",)


def test_only_the_first_rows_of_a_large_table_were_looked_at() -> None:
    large = number("id", SAMPLE_ROWS), email(filled=SAMPLE_ROWS)
    found = propose(table(*large, rows=SAMPLE_ROWS, is_whole=False, name="logins"))
    assert found is not None
    assert found.primary_key.text == "a guess: its name; unique in the first 5,000 rows"


def test_one_row() -> None:
    found = propose(table(number("id", 1), email(filled=1), rows=1))
    assert found is not None
    assert found.primary_key.reason == "its name; unique in the one row"


# --- the rest ------------------------------------------------------------------------------


def test_the_others_are_fields_in_their_order() -> None:
    found = proposed(
        plain("plan"), number("customer_id"), email(), plain("seen_at", Kind.TIMESTAMP)
    )
    assert found.fields == ("plan", "seen_at")
    assert found.left_out == {}


def test_what_cannot_be_a_field_is_named_with_the_reason() -> None:
    odd = [plain("photo", Kind.BINARY), plain("_fivetran_synced"), plain(" plan"), plain("a\nb")]
    found = proposed(number("id"), email(), *odd, plain("x" * 256), plain("city"))
    assert found.fields == ("city",)
    assert set(found.left_out) == {*(column.name for column in odd), "x" * 256}
    assert found.left_out["photo"] == "bytes cannot be sent"


def test_more_can_be_left_out_later() -> None:
    found = proposed(number("id"), email(), plain("_loaded"), plain("signupDate"), plain("city"))
    less = found.without({"signupDate": "is not ours"})
    assert less.fields == ("city",)
    assert list(less.left_out) == ["_loaded", "signupDate"]
    assert less.email == found.email
