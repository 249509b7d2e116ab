"""The SQL of the sample warehouse: files in ``sql/`` and the integer arithmetic put into them.

Every value is made by the engine from the customer number with whole numbers only, so that DuckDB
and PostgreSQL agree to the last bit. ``mod()`` stands where ``%`` could: a database driver may read
a percent sign as a parameter.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from string import Template

PRIME = 2_147_483_647
"""2**31 - 1: the square of a rest below it still fits a BIGINT."""

POSITIONS = 1_000_000
"""``position`` deals the customers evenly over 0..999,999, newly for each step."""

# One multiplier per column, all below PRIME and all different: what makes two columns independent.
_MULTIPLIERS = {
    "name": 1_103_515_245,
    "last": 1_664_525_013,
    "domain": 1_220_703_125,
    "worth": 630_360_016,
    "cents": 742_938_285,
    "plan": 950_706_376,
    "country": 1_226_874_159,
    "churn": 62_089_911,
    "signed_up": 1_343_714_438,
    "updated": 397_204_094,
    "experiment": 1_078_318_381,
    "arm": 1_203_248_318,
    "added": 1_132_489_760,
    "order_count": 410_092_949,
    "ordered": 1_583_458_089,
    "amount": 784_588_716,
    "changed": 1_396_717_869,
}

_NEXT_ASSIGNMENT = (
    "CASE assignment WHEN 'control' THEN 'variant_a' WHEN 'variant_a' THEN 'variant_b'"
    " ELSE 'control' END"
)


@cache
def _template(name: str) -> Template:
    """Read ``sql/<name>.sql``."""
    text = files("sample_warehouse").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    return Template(text)


def _strip_comments(text: str) -> str:
    """Drop the comment lines: they speak to the reader of the file, not to the engine."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip()


def render(name: str, values: dict[str, str]) -> list[str]:
    """Fill one SQL file in.

    Args:
        name: File name in ``sql/`` without its ending.
        values: Text for every placeholder of the file; more than it needs is fine.

    Returns:
        The statements of the file in order, without their semicolons.

    Raises:
        KeyError: A placeholder of the file has no value.
    """
    filled = _strip_comments(_template(name).substitute(values))
    return [statement.strip() for statement in filled.split(";\n") if statement.strip(" ;\n")]


def scatter(seed: str, column: str) -> str:
    """Return SQL for a whole number in 0..PRIME-1 that looks random but is a function of ``seed``.

    The square breaks the even steps that a multiplication alone would make from 1, 2, 3 …
    """
    rest = f"mod({seed} * {_MULTIPLIERS[column]} + 12345, {PRIME})"
    return f"mod({rest} * {rest}, {PRIME})"


def bucket(multiplier: int, shift: int) -> str:
    """Return SQL for a bucket 0..999 from the columns ``place`` and ``thousand``.

    Within a thousand customers this is a permutation (``multiplier`` shares no factor with 1,000),
    and each thousand is turned by another amount, so two kinds of bucket meet in every combination.
    """
    return f"mod(place * {multiplier} + mod(thousand * {shift}, 997), 1000)"


def position(step: int, multiplier: int = 618_033, shift: int = 271_829) -> str:
    """Return SQL that deals ``customer_id`` evenly over 0..POSITIONS-1, anew for each ``step``."""
    return f"mod(customer_id * {multiplier} + {step * shift}, {POSITIONS})"


@cache
def _names() -> tuple[str, str]:
    """Return the first names as SQL lists: plain, and spelled as at home, in the same order."""
    text = files("sample_warehouse").joinpath("names.txt").read_text(encoding="utf-8")
    plain, native = zip(*(line.split() for line in text.splitlines()), strict=True)
    return _sql_list(plain), _sql_list(native)


def _sql_list(words: tuple[str, ...]) -> str:
    """Return the words as SQL string literals with commas."""
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


@cache
def customer_columns() -> dict[str, str]:
    """Return what ``customers.sql`` computes from a customer number."""
    plain_names, native_names = _names()
    number = "CAST(user_seed AS TEXT)"
    return {
        "plain_names": plain_names,
        "native_names": native_names,
        "last_names": _sql_list(
            (
                *("Lovelace", "Garcia", "Kim", "Novak", "Silva", "Meyer", "Dubois", "Rossi"),
                *("Larsen", "Tanaka", "Okafor", "Kowalski", "Murphy", "Haddad", "Petrov", "Nguyen"),
            )
        ),
        "email_bucket": bucket(617, 389),
        "user_bucket": bucket(373, 211),
        "name_bucket": bucket(839, 577),
        "churn_bucket": bucket(491, 743),
        "twin_bucket": bucket(227, 109),
        "address_name": scatter("address_seed", "name"),
        "address_last": scatter("address_seed", "last"),
        "address_domain": scatter("address_seed", "domain"),
        "value_name": scatter("value_seed", "name"),
        "value_worth": scatter("value_seed", "worth"),
        "value_cents": scatter("value_seed", "cents"),
        "value_plan": scatter("value_seed", "plan"),
        "value_country": scatter("value_seed", "country"),
        "value_churn": scatter("value_seed", "churn"),
        "signed_up": scatter("i", "signed_up"),
        "updated": scatter("i", "updated"),
        # lpad() cuts what is longer than six digits, so the long numbers go around it.
        "user_name": f"'u-' || CASE WHEN user_seed < 1000000 THEN lpad({number}, 6, '0')"
        f" ELSE {number} END",
        "worth_in_money": "CAST(CAST(worth * worth + odd_cents AS NUMERIC(12, 2)) * 0.01"
        " AS NUMERIC(12, 2))",
    }


@cache
def other_columns() -> dict[str, str]:
    """Return what the files of the experiments and the orders compute."""
    return {
        "experiment_bucket": bucket(701, 331),
        "first_experiment": scatter("i", "experiment"),
        "arm": scatter("draw", "arm"),
        "added": scatter("draw", "added"),
        "order_count": scatter("i", "order_count"),
        "ordered": scatter("draw", "ordered"),
        "amount": scatter("draw", "amount"),
        "offer": _offer("assignment"),
        "next_assignment": _NEXT_ASSIGNMENT,
        "next_offer": _offer(_NEXT_ASSIGNMENT),
    }


def _offer(assignment: str) -> str:
    """Return SQL for what an arm offers, as JSON; the control group gets no offer.

    No colon stands before a letter or a digit: a database driver would read a parameter there.
    """
    return (
        f"CAST(CASE {assignment}"
        """ WHEN 'variant_a' THEN '{"channel": "web", "price": {"months": 3, "rebate": 0.1}}'"""
        """ WHEN 'variant_b' THEN '{"channel": "app", "price": {"months": 1, "rebate": 0.25}}'"""
        " END AS JSON)"
    )


def seconds(column: str, limit: int) -> str:
    """Return SQL for an interval of 0..limit-1 seconds drawn from ``customer_id``."""
    return f"mod({scatter('customer_id', column)}, {limit}) * INTERVAL '1 second'"
