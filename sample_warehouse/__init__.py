"""The sample warehouse: an online magazine's customers, as messy as life, always the same."""

from __future__ import annotations

from sample_warehouse.build import (
    ALL_QUERY,
    VIP_QUERY,
    Dialect,
    SampleWarehouseError,
    Summary,
    audience_query,
    build,
    build_duckdb,
    build_postgresql,
    evolve,
    summary,
)

__all__ = [
    "ALL_QUERY",
    "VIP_QUERY",
    "Dialect",
    "SampleWarehouseError",
    "Summary",
    "audience_query",
    "build",
    "build_duckdb",
    "build_postgresql",
    "evolve",
    "summary",
]
