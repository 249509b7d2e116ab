"""A failing assertion of the suite shows its values, as one of a test module does."""

import pytest

pytest.register_assert_rewrite("reverse_etl.testing.connector_suite")
