"""What of a warehouse URL is written into a config."""

from __future__ import annotations

import pytest

from reverse_etl.config.document import interpolate
from reverse_etl.config.placeholders import without_secrets

CANARY = "canary-81f0"
VARIABLES = {"PGPASSWORD": "from-the-environment", "OWNER": "etl"}


@pytest.mark.parametrize(
    ("url", "written", "variables"),
    [
        (
            f"postgresql://etl:{CANARY}@db.example/shop",
            "postgresql://etl:${WAREHOUSE_PASSWORD}@db.example/shop",
            ["WAREHOUSE_PASSWORD"],
        ),
        (
            f"postgresql+psycopg://:{CANARY}%40@[::1]:5432/shop?sslmode=require",
            "postgresql+psycopg://:${WAREHOUSE_PASSWORD}@[::1]:5432/shop?sslmode=require",
            ["WAREHOUSE_PASSWORD"],
        ),
        (
            f"postgresql://h/shop?user=etl&password={CANARY}&sslpassword={CANARY}2",
            "postgresql://h/shop?user=etl&password=${WAREHOUSE_PASSWORD}&sslpassword=${WAREHOUSE_SSLPASSWORD}",
            ["WAREHOUSE_PASSWORD", "WAREHOUSE_SSLPASSWORD"],
        ),
        (
            f"duckdb:///md:shop?motherduck_token={CANARY}",
            "duckdb:///md:shop?motherduck_token=${WAREHOUSE_MOTHERDUCK_TOKEN}",
            ["WAREHOUSE_MOTHERDUCK_TOKEN"],
        ),
        (
            f"bigquery://project/data?credentials_base64={CANARY}",
            "bigquery://project/data?credentials_base64=${WAREHOUSE_CREDENTIALS_BASE64}",
            ["WAREHOUSE_CREDENTIALS_BASE64"],
        ),
        # A default is written as much as a value is.
        (
            "postgresql://${OWNER:-e:t@l}:${PW:-" + CANARY + "@x}@db.example/shop",
            "postgresql://${OWNER:-e:t@l}:${WAREHOUSE_PASSWORD}@db.example/shop",
            ["WAREHOUSE_PASSWORD"],
        ),
        (
            "postgresql://etl:${PGPASSWORD}" + CANARY + "@db.example/shop",
            "postgresql://etl:${WAREHOUSE_PASSWORD}@db.example/shop",
            ["WAREHOUSE_PASSWORD"],
        ),
    ],
)
def test_a_secret_is_taken_out(url: str, written: str, variables: list[str]) -> None:
    found = without_secrets(url, VARIABLES)
    assert found.text == written
    assert list(found.taken_out) == variables
    assert CANARY not in found.text
    # With what was taken out it is the same URL again.
    both = {**VARIABLES, **found.taken_out}
    assert interpolate(found.text, both)[0] == interpolate(url, VARIABLES)[0]


@pytest.mark.parametrize(
    "url",
    [
        "duckdb:///shop.duckdb",
        "duckdb:////data/shop.duckdb?memory_limit=8GB",
        "postgresql://localhost/shop",
        "postgresql://etl@localhost:5432/shop?keepalives_idle=30&connect_timeout=5",
        "postgresql://etl:@localhost/shop",
        "postgresql://${OWNER}:${PGPASSWORD}@localhost/shop",
        "postgresql://localhost/shop?password=${PGPASSWORD}",
        "${WAREHOUSE_URL}",
    ],
)
def test_what_is_no_secret_stays(url: str) -> None:
    found = without_secrets(url, VARIABLES)
    assert (found.text, found.taken_out) == (url, {})


def test_a_variable_that_is_not_set_is_told() -> None:
    with pytest.raises(ValueError, match="variable NOBODY is not set"):
        without_secrets("postgresql://etl:a${NOBODY}@localhost/shop", VARIABLES)
