"""A failing assertion of a suite shows its values, as one of a test module does."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(
    "reverse_etl.testing.connector_suite", "reverse_etl.testing.warehouse_suite"
)
