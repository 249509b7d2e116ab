"""MariaDB as SQLAlchemy's own dialect knows it, with what our tables and statements need beside.

Text has no length and is compared by its bytes, times keep their microseconds, and functions that
the other engines have get their name here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql.base import MySQLDDLCompiler, MySQLTypeCompiler
from sqlalchemy.dialects.mysql.mariadb import MariaDBDialect as BaseDialect
from sqlalchemy.dialects.mysql.mysqldb import MySQLCompiler_mysqldb
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql
from sqlalchemy.sql.ddl import CreateTableAs
from sqlalchemy.sql.elements import Null

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnClause
    from sqlalchemy.sql.selectable import SelectBase

COLLATION = "utf8mb4_nopad_bin"
"""Of all text that is ours: two texts are equal when their bytes are, spaces at the end included.

Source: MariaDB Knowledge Base, "Supported Character Sets and Collations" (``NOPAD``).
"""

_TABLE = f"ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {COLLATION}"

# Characters of a text column that an index looks at; the key of an index has 3,072 bytes.
INDEXED_CHARACTERS = 191

LONGEST_IDENTITY = 400
"""Characters of an identity. Only a text with a length is joined by a hash: without one, finding
10,000 e-mails among a million would compare each with each."""

_SHORT = {("former_aliases", "identity"), ("former_aliases", "alias")}

# CAST(NULL AS CHAR) makes a column that holds no character; this one is a MEDIUMTEXT.
_ROOM = 20_000


class FilledTable(CreateTableAs):
    """``CREATE TABLE … AS SELECT`` with the types and indexes of some of its columns."""

    inherit_cache = False

    def __init__(
        self,
        chosen: SelectBase,
        name: str,
        *,
        schema: str | None,
        declared: Sequence[ColumnClause[Any]],
        indexed: Sequence[str],
    ) -> None:
        """Name the table.

        Args:
            chosen: What fills it.
            name: Its name.
            schema: Where it is; without one it is temporary.
            declared: The columns whose type is not left to the SELECT.
            indexed: The names of those that are joined by, which are text.
        """
        super().__init__(chosen, name, schema=schema, temporary=schema is None)
        self.declared = declared
        self.indexed = indexed


class _Types(MySQLTypeCompiler):
    def visit_VARCHAR(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - SQLAlchemy's
        """A text without a length is one of any length."""
        if type_.length is None:
            return f"LONGTEXT CHARACTER SET utf8mb4 COLLATE {COLLATION}"
        return super().visit_VARCHAR(type_, **kw)

    def visit_DATETIME(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - the same
        """A time keeps its microseconds."""
        plain = getattr(type_, "fsp", None) is None
        return "DATETIME(6)" if plain else super().visit_DATETIME(type_, **kw)

    def visit_NUMERIC(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - the same
        """A number without a precision has all that there is."""
        return "DECIMAL(65, 30)" if type_.precision is None else super().visit_NUMERIC(type_, **kw)

    def visit_BLOB(self, type_: Any, **kw: Any) -> str:  # noqa: ANN401, N802 - the same
        """Bytes may be many."""
        del type_, kw
        return "LONGBLOB"


class _Statements(MySQLCompiler_mysqldb):
    def visit_cast(self, cast: Any, **kw: Any) -> str:  # noqa: ANN401 - the same
        """Leave booleans as they are, and give a NULL that is to be a text room for one."""
        if isinstance(cast.type, sa.Boolean):
            return self.process(cast.clause.self_group(), **kw)
        if isinstance(cast.clause, Null) and isinstance(cast.type, sa.String):
            return f"CAST(NULL AS CHAR({_ROOM}))"
        return super().visit_cast(cast, **kw)

    def visit_nulls_last_op_unary_modifier(self, element: Any, _operator: Any, **kw: Any) -> str:  # noqa: ANN401 - the same
        """Sort by whether there is something first: NULL is the smallest value here."""
        ordered = element.element
        value = self.process(ordered.element, **kw)
        return f"{value} IS NULL, {self.process(ordered, **kw)}"

    def visit_length_func(self, function: Any, **kw: Any) -> str:  # noqa: ANN401 - the same
        """Count characters: LENGTH counts bytes here."""
        return f"CHAR_LENGTH{self.function_argspec(function, **kw)}"

    def visit_strpos_func(self, function: Any, **kw: Any) -> str:  # noqa: ANN401 - the same
        """Find a text in another."""
        return f"INSTR{self.function_argspec(function, **kw)}"


class _Definitions(MySQLDDLCompiler):
    def get_column_specification(self, column: Any, **kw: Any) -> str:  # noqa: ANN401 - the same
        """Give a length to what is joined by."""
        if column.name == "_alias" or (column.table.name, column.name) in _SHORT:
            shorter = sa.Column(column.name, sa.String(LONGEST_IDENTITY))
            column = sa.Table(column.table.name, sa.MetaData(), shorter).c[column.name]
        return super().get_column_specification(column, **kw)

    def post_create_table(self, table: Any) -> str:  # noqa: ANN401 - the same
        """Every table of ours keeps transactions, and compares text by its bytes."""
        del table
        return f" {_TABLE}"

    def create_table_select_suffixes(self, element: Any, type_: str, **kw: Any) -> str:  # noqa: ANN401 - the same
        """Declare columns and indexes between the name and the SELECT."""
        before = super().create_table_select_suffixes(element, type_, **kw)
        if not isinstance(element, FilledTable):
            return before
        quote, types = self.preparer.quote, self.dialect.type_compiler_instance
        parts = [f"{quote(each.name)} {types.process(each.type)}" for each in element.declared]
        parts += [f"INDEX ({quote(name)}({INDEXED_CHARACTERS}))" for name in element.indexed]
        declared = f"({', '.join(parts)}) " if parts else ""
        return f"{declared}{_TABLE}"


class MariaDBDialect(BaseDialect, MySQLDialect_pymysql):
    """SQLAlchemy's dialect for PyMySQL, with our types and compilers."""

    driver = "pymysql"
    supports_statement_cache = True
    type_compiler_cls = _Types
    statement_compiler = _Statements
    ddl_compiler = _Definitions
