"""DuckDB made to be less than it is: what Spark or ClickHouse cannot do, it refuses here as well.

Each statement takes effect by itself, no row is changed or deleted, nothing is temporary, and
there is no FULL JOIN. So the ways of a run around all of that are played by the simulator, where
every step can fail, which no such engine would let us do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reverse_etl.warehouse import DIALECTS, Dialect
from reverse_etl.warehouse.capabilities import Capabilities
from reverse_etl.warehouse.duckdb import DuckDBSql, DuckDBWarehouse
from reverse_etl.warehouse.duckdb_dialect import DuckDBConnection

if TYPE_CHECKING:
    import duckdb


class LooseConnection(DuckDBConnection):
    """A connection without transactions."""

    def opened(self) -> duckdb.DuckDBPyConnection:
        """Return the driver's connection, outside any transaction."""
        return self.native


class LooseSql(DuckDBSql):
    """DuckDB's spelling, without FULL JOIN."""

    full_join = False


class LooseWarehouse(DuckDBWarehouse):
    """A DuckDB file that keeps nothing together; it needs a control database."""

    connection_class = LooseConnection
    sql = LooseSql()
    capabilities = Capabilities(
        transactions=False,
        transactional_ddl=False,
        row_deletes=False,
        temporary_tables=False,
    )


def make_known() -> None:
    """Let URLs name it: ``loose:///FILE``. No config of a user should."""
    DIALECTS["loose"] = Dialect(__name__, "LooseWarehouse", transactions=False)
