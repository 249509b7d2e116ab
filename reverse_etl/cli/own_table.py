"""A sync proposed for a table of the user's: from the URL of its warehouse to a draft of files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverse_etl.cli import starter
from reverse_etl.clock import SystemClock
from reverse_etl.config.document import interpolate
from reverse_etl.config.load import absolute_url
from reverse_etl.config.placeholders import without_secrets
from reverse_etl.config.registry import Registry, UnusableConnectorError
from reverse_etl.config.schema import check_sync_name
from reverse_etl.connector import Connector, FieldMapping, MappedField
from reverse_etl.errors import ConfigError, SourceError
from reverse_etl.first_look import first_look
from reverse_etl.proposal import propose

if TYPE_CHECKING:
    from reverse_etl.proposal import Guess, Proposal


@dataclass(frozen=True, slots=True)
class WarehouseUrl:
    """The URL of a warehouse.

    Attributes:
        typed: As it was typed.
        real: With its secrets, to be used.
        written: Without them, for a config.
        secrets: What was taken out of it: variable to value.
    """

    typed: str
    real: str
    written: str
    secrets: Mapping[str, str]

    @classmethod
    def read(cls, typed: str, folder: Path, known: Mapping[str, str]) -> WarehouseUrl:
        """Read a URL.

        Args:
            typed: Perhaps with ``${NAME}`` in it; the path of a DuckDB file starts here.
            folder: Where the config will be.
            known: Variables.

        Raises:
            ConfigError: It cannot be used; the text has no part of it.
        """
        try:
            real = absolute_url(interpolate(typed, known)[0], Path.cwd())
            moves = real.startswith("duckdb") and folder.resolve() != Path.cwd()
            written = without_secrets(real if moves else typed, known)
        except ValueError as error:
            raise ConfigError([f"--from-warehouse URL: {error}"]) from None
        return cls(typed, real, written.text, written.taken_out)

    @property
    def to_type(self) -> str:
        """Return it for a command line that is shown; a word for it where it has a secret."""
        return "URL" if self.secrets else self.typed


def tables_of(url: WarehouseUrl) -> list[str]:
    """Return the names of all tables and views, at least one.

    Raises:
        ConfigError: There is none that this role sees.
        RunError: The warehouse cannot be reached or read, or its driver is not installed.
    """
    tables = first_look(url.real, starter.SCHEMA, None, SystemClock()).tables
    if not tables:
        problem = "this role sees no table in the warehouse; look at the database in the URL"
        raise ConfigError([problem])
    return list(tables)


def propose_for(url: WarehouseUrl, table: str, name: str | None) -> starter.Draft:
    """Look at a table and write the draft of a config for it.

    Args:
        url: Its warehouse.
        table: ``name`` or ``schema.name``.
        name: Of the sync; None for one like the table's.

    Raises:
        ConfigError: The sync cannot be called so, or there is no such table.
        SourceError: The table has no column that seems to find a person.
        RunError: The warehouse cannot be reached or read, or its driver is not installed.
    """
    try:
        sync = check_sync_name(name or starter.sync_name_for(table))
    except ValueError as error:
        raise ConfigError([f"--name: {error}"]) from None
    look = first_look(url.real, starter.SCHEMA, table, SystemClock())
    proposal = propose(look.facts) if look.facts else None
    if proposal is None:
        columns = ", ".join(column.name for column in look.facts.columns) if look.facts else ""
        raise SourceError(
            f"no column of {table} seems to hold e-mail addresses or ids of people; its columns "
            f"are {columns}. Nothing was written. Name another table, or a view in which such a "
            "column is called email or user_id"
        )
    proposal = _without_refused(sync, proposal)
    return starter.Draft(
        sync,
        starter.proposed_config(
            sync, table, url.written, proposal, needs_control=look.needs_control
        ),
        starter.project_type(proposal),
        url.secrets,
        _told(proposal),
        _rows(proposal),
    )


def _without_refused(sync: str, proposal: Proposal) -> Proposal:
    """Return the proposal without the fields that the connector would refuse."""
    connector = _connector()
    account = connector.account.model_validate(
        {"type": starter.CONNECTOR, "project_type": starter.project_type(proposal)}
    )
    settings = connector.objects["list"].model_validate(
        {"name": "-", "object": "list", "list": {"name": starter.list_name(sync)}}
    )
    mapping = FieldMapping(
        starter.identifiers(proposal),
        tuple(MappedField(name=name, column=name) for name in proposal.fields),
    )
    problems = connector.check(account, settings, mapping, "mirror")
    refused = {str(p.path[1]): p.message for p in problems if p.path[0] == "fields"}
    return proposal.without(refused)


def _connector() -> Connector:
    registry = Registry()
    try:
        return registry.get(starter.CONNECTOR)()
    except KeyError:
        problem = f"the connector {starter.CONNECTOR} is not installed; install reverse-etl again"
    except UnusableConnectorError as error:
        problem = str(error)
    raise ConfigError([problem])


# --- what was guessed ----------------------------------------------------------------------


def _told(proposal: Proposal) -> dict[str, Any]:
    """Return the proposal as JSON values."""
    return {
        "primary_key": _document(proposal.primary_key),
        "email": _document(proposal.email),
        "user_id": _document(proposal.user_id),
        "fields": list(proposal.fields),
        "left_out": dict(proposal.left_out),
    }


def _document(guess: Guess | None) -> dict[str, Any] | None:
    if guess is None:
        return None
    return {
        "columns": list(guess.columns),
        "reason": guess.reason,
        "is_certain": guess.is_certain,
    }


def _rows(proposal: Proposal) -> list[list[str]]:
    """Return the guesses as rows of a table."""
    guesses = {
        "primary key": proposal.primary_key,
        "e-mail": proposal.email,
        "user id": proposal.user_id,
    }
    return [
        [what, ", ".join(guess.columns), guess.text] for what, guess in guesses.items() if guess
    ]
