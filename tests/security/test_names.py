"""Names and values that look like SQL are names and values: both engines, a table to lose."""

from __future__ import annotations

import io
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from reverse_etl.cli.app import run
from tests.security.conftest import KEY

if TYPE_CHECKING:
    from tests.security.conftest import Place

ENGINES = pytest.mark.parametrize("place", ["duckdb", "postgresql"], indirect=True)

# PostgreSQL cuts a name off after so many bytes.
LONGEST_NAME = 63
# What columns may have today, see below.
LONGEST_COLUMN = 57

NASTY = (
    '"; drop table bystander; --',
    "'; drop table bystander; --",
    '" cascade; drop table bystander; --',
    "a\"b'c`d[e]f",
    "$$; drop table bystander; $$",
    "/* */ -- */",
    "%s %(x)s %% {x} {{x}}",
    ":x ::text ?1 $1 @x #x",
    "\\'; \\\" \\n \\u0000",
    "täble \u540d\u524d \U0001f600 e\u0301",
    "\u202e\u200b\u2028x",
    "select",
)


def settings_of(examples: int) -> settings:
    """Return settings for a property whose examples are whole runs."""
    return settings(
        max_examples=examples, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )


def texts(longest: int) -> st.SearchStrategy[str]:
    """Return texts without what no database's name can hold."""
    letters = st.characters(exclude_categories=("Cs", "Cc"))
    return st.text(
        st.one_of(st.sampled_from("\"'`;:%\\$-/*(){}[]?@#. "), letters), max_size=longest
    )


def quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def config_of(place: Place, schema: str, source: dict[str, Any], names: dict[str, str]) -> str:
    """Return a config in which every scalar is in quotes, so that it means just itself."""
    document = {
        "warehouses": {"local": {"url": place.url, "schema": schema}},
        "destinations": {
            "iterable": {"type": "iterable", "api_key": KEY, "base_url": place.sandbox.url}
        },
        "syncs": {
            "people": {
                "source": {"warehouse": "local", **source, "primary_key": names["key"]},
                "destination": {"name": "iterable", "object": "user"},
                "identifiers": {"email": names["email"]},
                "fields": {"plan": names["plan"]},
                "mode": "upsert",
            }
        },
    }
    text = yaml.safe_dump(document, default_style='"', width=1_000_000)
    return text.replace("${", "$${")


def called(place: Place, config: str) -> tuple[int, str]:
    """Run the sync in this process; return its exit code and what it said."""
    path = place.folder / "names.yaml"
    path.write_text(config, encoding="utf-8")
    path.chmod(0o600)
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run(["run-sync", "people", "--config", str(path)])
    return code, out.getvalue() + err.getvalue()


def bystanders(place: Place) -> list[dict[str, Any]]:
    return place.sql("select * from bystander")


def shortened(name: str) -> str:
    """Return a name that fits with a letter at each end: the config strips white space there."""
    while len(name.encode()) > LONGEST_COLUMN - 2:
        name = name[:-1]
    return name


@ENGINES
@settings_of(8)
@given(name=texts(30))
@example(name=NASTY[0])
@example(name=NASTY[1])
@example(name=NASTY[2])
@example(name=NASTY[3])
@example(name=NASTY[4])
@example(name=NASTY[5])
@example(name=NASTY[6])
@example(name=NASTY[7])
@example(name=NASTY[8])
@example(name=NASTY[9])
@example(name=NASTY[10])
@example(name="x" * 55)
def test_any_name_is_a_name(place: Place, name: str) -> None:
    inner = shortened(name)
    names = {word: f"{word[0]}{inner}x" for word in ("key", "email", "plan", "table", "schema")}
    table, schema = quoted(names["table"]), quoted(names["schema"])
    columns = ", ".join(f"{quoted(names[word])} varchar" for word in ("key", "email", "plan"))
    place.sql("drop table if exists bystander")
    place.sql("create table bystander as select 1 as id")
    place.sql(f"drop table if exists {table}")
    place.sql(f"drop schema if exists {schema} cascade")
    place.sql(f"create table {table} ({columns})")
    place.sql(f"insert into {table} values ('1', 'a@example.com', 'gold')")  # noqa: S608
    try:
        query = {"query": f"select * from {table}"}  # noqa: S608
        source = query if "." in inner else {"table": names["table"]}
        for expected in (0, 0):
            code, said = called(place, config_of(place, names["schema"], source, names))
            assert code == expected, said
        profile = place.sandbox.state.profile("a@example.com")
        assert profile is not None
        assert profile.fields["plan"] == "gold"
        assert len(place.sql(f"select * from {schema}.sync_log")) == 1  # noqa: S608
        assert bystanders(place) == [{"id": 1}]
    finally:
        place.sql(f"drop table {table}")
        place.sql(f"drop schema if exists {schema} cascade")
        place.sandbox.reset()


@ENGINES
@settings_of(8)
@given(value=texts(60), local=texts(20))
@example(value=NASTY[0], local="o'brien")
@example(value=NASTY[1], local='"; drop table bystander; --"')
@example(value=NASTY[6], local="%s+%(x)s")
@example(value=NASTY[8], local="a\\'b")
@example(value="\\x00 \\u0000 \r\n\t\x01", local="x'||(select 1)||'")
def test_any_value_is_a_value(place: Place, value: str, local: str) -> None:
    def literal(text: str) -> str:
        return "'" + text.replace("'", "''") + "'"

    place.sql("drop table if exists bystander")
    place.sql("create table bystander as select 1 as id")
    place.sql("drop schema if exists reverse_etl cascade")
    place.sql("delete from people")
    rows = [("1", "a@example.com", value), ("2", f"{local}@example.com", "gold")]
    for key, email, plan in rows:
        values = ", ".join(map(literal, (email, plan)))
        place.sql(f"insert into people values ({key}, {values})")  # noqa: S608
    names = {"key": "id", "email": "email", "plan": "plan"}
    config = config_of(place, "reverse_etl", {"table": "people"}, names)
    try:
        code, said = called(place, config)
        assert code in {0, 3}, said
        profile = place.sandbox.state.profile("a@example.com")
        assert profile is not None
        assert profile.fields["plan"] == value
        assert called(place, config)[0] == 0
        assert bystanders(place) == [{"id": 1}]
    finally:
        place.sandbox.reset()


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
@pytest.mark.parametrize("bad", ["a\0b", "a\nb", "a\x1bb", "a\x7fb", "x" * 256, "", "   "])
@pytest.mark.parametrize("where", ["schema", "table", "key", "email", "plan"])
def test_a_name_that_no_database_has_is_refused_with_its_place(
    place: Place, where: str, bad: str
) -> None:
    names = {"schema": "s", "table": "people", "key": "id", "email": "email", "plan": "plan"}
    names[where] = bad
    config = config_of(place, names["schema"], {"table": names["table"]}, names)
    code, said = called(place, config)
    line = said.splitlines()[-1]
    assert code == 2, said
    assert line.startswith(f"{place.folder / 'names.yaml'}:")
    assert line.removeprefix(f"{place.folder / 'names.yaml'}:").split(":")[0].isdigit()
    assert bad not in line or not bad.strip()
    assert not any(place.sandbox.state.requests)


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
def test_a_schema_name_that_postgresql_would_cut_off_is_refused(place: Place) -> None:
    names = {"key": "id", "email": "email", "plan": "plan"}
    code, said = called(place, config_of(place, "s" * 64, {"table": "people"}, names))
    assert code == 1, said
    assert "more than 63 bytes" in said
    schemas = place.sql("select schema_name from information_schema.schemata")
    assert [each for each in schemas if each["schema_name"].startswith("ss")] == []
    assert not any(place.sandbox.state.requests)


@pytest.mark.parametrize("place", ["postgresql"], indirect=True)
@pytest.mark.parametrize("length", [58, LONGEST_NAME])
def test_a_column_may_have_the_longest_name_that_postgresql_takes(
    place: Place, length: int
) -> None:
    name = "p" * length
    place.sql(f"alter table people rename column plan to {name}")
    names = {"key": "id", "email": "email", "plan": name}
    code, said = called(place, config_of(place, "reverse_etl", {"table": "people"}, names))
    assert code == 3, said
