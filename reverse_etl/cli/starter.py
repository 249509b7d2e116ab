"""The texts of the files that ``init`` writes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reverse_etl.proposal import Proposal

SCHEMA = "reverse_etl"
SAMPLE_SYNC = "vip_customers"
CONNECTOR = "iterable"
SANDBOX_VARIABLE, SANDBOX_KEY = "SANDBOX_API_KEY", "sandbox-key"

_SCHEMA_LINE = "# yaml-language-server: $schema=config.schema.json\n#\n"

_SAMPLE_HEAD = """\
# Written by `reverse-etl init`: two syncs from a sample warehouse to a stand-in for Iterable on
# this machine, so nothing leaves it. An editor that knows the line above completes the keys.
# ${NAME} takes a value from the environment, or from the file .env beside this one.
"""

_SAMPLE_WAREHOUSE = """
warehouses:
  sample:
    url: duckdb:///warehouse.duckdb     # yours: postgresql://etl:${PGPASSWORD}@localhost/shop
    # Our own tables: what was sent, and what was refused and why. Made by the first run.
    schema: reverse_etl
"""

_DESTINATION = """
destinations:
  iterable:
    type: iterable
    # The stand-in that `reverse-etl sandbox` runs, and the only key that it knows.
    base_url: http://127.0.0.1:8765
    api_key: ${SANDBOX_API_KEY}
    # For the real account: put the next line in the place of the two above, and a server-side key
    # into .env. A sync remembers where it wrote to, so run each once with --full then.
    # api_key: ${ITERABLE_API_KEY}
    # data_center: eu                   # the default is us
    # What identifies a person in the project: email | user_id | hybrid
"""

_SAMPLE_SYNCS = """
syncs:
  # A list that follows a query: who joined, left or changed is sent, and nobody else.
  vip_customers:
    source:
      warehouse: sample
      query: select customer_id, email, first_name, plan from customers where lifetime_value > 1000
      primary_key: customer_id          # names the row in logs and reports
    destination:
      name: iterable
      object: list
      list: {name: VIP customers}       # found by name, else created
    identifiers: {email: email}         # identifier at the destination: column
    fields: {firstName: first_name, plan: plan}   # profile fields that are sent along
    # schedule: {type: basic, every: 1 hour}      # for `reverse-etl serve` and `run-due`

  # Fields of user profiles that follow columns.
  customer_profiles:
    source:
      warehouse: sample
      query: select customer_id, email, country, churn_risk, lifetime_value from customers
      primary_key: customer_id
    destination:
      name: iterable
      object: user
      create_new_fields: true
    identifiers: {email: email}
    fields:
      country: country
      churnRisk: {column: churn_risk, null: clear}   # NULL removes it; by default it stays
      # Iterable keeps the type of a field's first value for good, so it is worth writing.
      lifetimeValue: {column: lifetime_value, type: double}
"""

_ENV_HEAD = """\
# What config.yaml takes from the environment, which wins over this file. `.env` is read and never
# committed; `.env.example` is its pattern: copy it to .env on another machine.

# The only key that the local sandbox knows.
SANDBOX_API_KEY=sandbox-key
# A server-side key of your Iterable project, for the real account.
# ITERABLE_API_KEY=
"""

GITIGNORE = """\
.env
*.duckdb
*.duckdb.wal
*.duckdb.tmp/
"""

# Words of YAML, of this version or an older one, that an editor may not take for text.
_WORDS = re.compile(r"(?:y|n|yes|no|on|off|true|false|null)", re.IGNORECASE)
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_PLAIN_URL = re.compile(r"[A-Za-z][\w+]*://[\w.:/@%?=&+~$\{\}-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Draft:
    """What is to be written, and said about it.

    Attributes:
        sync: The sync that the next steps are about.
        config: Text of the config.
        project_type: Of its account.
        secrets: Variables for what was taken out of a URL: name to value.
        told: What was guessed, as JSON values; None where nothing was.
        rows: The same as rows of a table.
    """

    sync: str
    config: str
    project_type: str
    secrets: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, Any] | None = None
    rows: Sequence[Sequence[str]] = ()


def sample_config() -> str:
    """Return the config of the sample warehouse."""
    destination = _DESTINATION + "    project_type: email\n"
    return _SCHEMA_LINE + _SAMPLE_HEAD + _SAMPLE_WAREHOUSE + destination + _SAMPLE_SYNCS


def proposed_config(
    sync_name: str, table: str, url: str, proposal: Proposal, *, needs_control: bool
) -> str:
    """Return the config of a proposal.

    Args:
        sync_name: Name of the sync.
        table: The table, as the config names it.
        url: Of its warehouse, without secrets.
        proposal: What was guessed.
        needs_control: Whether the engine needs a control database.
    """
    parts = [
        _SCHEMA_LINE,
        _proposed_head(table),
        _proposed_warehouse(url, needs_control=needs_control),
        _DESTINATION,
        _project_type(proposal),
        _proposed_sync(sync_name, table, proposal),
    ]
    return "".join(parts)


def _proposed_head(table: str) -> str:
    return (
        f"# Proposed by `reverse-etl init` for the table {_key(table)}.\n"
        '# Look at each line that says "a guess". Runs write to a stand-in on this machine, until\n'
        "# you name the real account.\n"
        "# ${NAME} takes a value from the environment, or from the file .env beside this one.\n"
    )


def _proposed_warehouse(url: str, *, needs_control: bool) -> str:
    control = """\
    # This engine cannot change single rows safely: leases, runs and failed records are there.
    control: control
  control:
    url: duckdb:///reverse_etl_control.duckdb
"""
    read_only = """\
    # If this role may only read, all our tables can be in a DuckDB file beside this one instead:
    # workspace: default
"""
    return f"""
warehouses:
  warehouse:
    url: {url if _PLAIN_URL.fullmatch(url) else json.dumps(url, ensure_ascii=False)}
    # Our own tables: what was sent, and what was refused and why. Made by the first run.
    schema: reverse_etl
{control if needs_control else read_only}"""


def project_type(proposal: Proposal) -> str:
    """Return which type of project fits: one that finds people by what the table has."""
    return "email" if proposal.email else "user_id"


def _project_type(proposal: Proposal) -> str:
    why = "the table has addresses" if proposal.email else "the table has no addresses"
    return f"    project_type: {project_type(proposal)}   # a guess: {why}\n"


def identifiers(proposal: Proposal) -> dict[str, str]:
    """Return destination identifier to column, for a project of that type."""
    guess = proposal.email or proposal.user_id
    name = "email" if proposal.email else "userId"
    return {name: guess.columns[0]} if guess else {}


def _proposed_sync(name: str, table: str, proposal: Proposal) -> str:
    key = proposal.primary_key
    columns = [scalar(column) for column in key.columns]
    return f"""
syncs:
  {name}:
    source:
      warehouse: warehouse
      # Or a query of yours: query: select …
      table: {scalar(table)}
      # {key.text}
      primary_key: {columns[0] if len(columns) == 1 else f"[{', '.join(columns)}]"}
    destination:
      name: iterable
      # Or user: fields of profiles, without a list.
      object: list
      # Found by name, else created.
      list: {{name: {scalar(list_name(name))}}}
    identifiers:
{_lines(_identifiers(proposal), 6)}{_fields(proposal)}\
    # For `reverse-etl serve` and `run-due`:
    # schedule: {{type: basic, every: 1 hour}}
"""


def _identifiers(proposal: Proposal) -> Iterator[str]:
    email, user_id = proposal.email, proposal.user_id
    if email:
        yield from (f"# {email.text}", f"email: {scalar(email.columns[0])}")
    if email and user_id:
        yield "# In a hybrid project also, and in a user_id project instead"
        yield f"# ({user_id.text}):"
        yield f"# userId: {scalar(user_id.columns[0])}"
    elif user_id:
        yield from (f"# {user_id.text}", f"userId: {scalar(user_id.columns[0])}")


def _fields(proposal: Proposal) -> str:
    head = [
        "# The other columns, as profile fields of the same names. A field keeps the type of its",
        "# first value for good, so take out what nobody needs.",
        "fields:",
    ]
    fields = [f"{_key(name)}: {scalar(name)}" for name in proposal.fields]
    others = [f"# not {json.dumps(name)}: {why}" for name, why in proposal.left_out.items()]
    return _lines(head if fields else [], 4) + _lines([*fields, *others], 6)


def _lines(lines: Iterable[str], indent: int) -> str:
    return "".join(f"{' ' * indent}{line}\n" for line in lines)


def list_name(sync_name: str) -> str:
    """Return what to call the list of a sync."""
    return sync_name.replace("_", " ").capitalize()


def env_text(variables: Iterable[str]) -> str:
    """Return the text of ``.env`` and ``.env.example``.

    Args:
        variables: What else the config asks for: secrets of the warehouse's URL.
    """
    more = [
        f"# Taken out of the URL of the warehouse; write it as it stood there.\n# {name}=\n"
        for name in variables
    ]
    return _ENV_HEAD + "".join(more)


def sync_name_for(table: str) -> str:
    """Return the name of a sync for a table: what a sync may be called, as near as possible."""
    word = re.sub(r"[^a-z0-9]+", "_", table.rpartition(".")[2].lower()).strip("_")
    word = (word if word[:1].isalpha() else f"sync_{word}")[:40].strip("_")
    return re.sub(r"(?:_[0-9]+)+\Z", lambda end: end[0].replace("_", ""), word)


def scalar(text: str) -> str:
    """Return a text as a value of YAML."""
    return _key(text.replace("${", "$${"))


def _key(text: str) -> str:
    """Return a text as a key of YAML, where no variable is replaced."""
    is_plain = _PLAIN.fullmatch(text) and not _WORDS.fullmatch(text)
    return text if is_plain else json.dumps(text, ensure_ascii=False)
