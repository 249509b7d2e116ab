"""DuckDB made to be less than it is: what Spark or ClickHouse cannot do, it refuses here as well.

Each statement takes effect by itself, no row is changed or deleted, nothing is temporary, and
there is no FULL JOIN. So the ways of a run around all of that are played by the simulator, where
every step can fail, which no such engine would let us do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from reverse_etl.warehouse import DIALECTS
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.duckdb import DuckDBSql, DuckDBWarehouse
from reverse_etl.warehouse.duckdb_dialect import DuckDBConnection
from reverse_etl.warehouse.sql import Comparison, Expression, Sql

if TYPE_CHECKING:
    import duckdb
    from sqlalchemy import Engine, FromClause


class LooseConnection(DuckDBConnection):
    """A connection without transactions."""

    def opened(self) -> duckdb.DuckDBPyConnection:
        """Return the driver's connection, outside any transaction."""
        return self.native


class LooseSql(DuckDBSql):
    """DuckDB's spelling, without FULL JOIN."""

    def pairs(
        self,
        now: FromClause,
        base: FromClause,
        comparison: Comparison,
        pending: FromClause | None,
    ) -> tuple[FromClause, Expression]:
        """Find who differs first."""
        return Sql.pairs_without_full_join(self, now, base, comparison, pending)


class LooseWarehouse(DuckDBWarehouse):
    """A DuckDB file that keeps nothing together; it needs a control database."""

    sql = LooseSql()
    capabilities = Capabilities(
        transactions=False,
        transactional_ddl=False,
        row_deletes=False,
        temporary_tables=False,
        full_join=False,
    )

    def make_engine(self) -> Engine:
        """Return an engine whose connections have no transactions."""
        anchor = self._anchor
        return sa.create_engine(
            "duckdb://",
            creator=lambda: LooseConnection(anchor.cursor()),
            poolclass=NullPool,
            hide_parameters=True,
        )


DIALECTS["loose"] = (__name__, "LooseWarehouse")
