"""The Iterable connector against the suite for connectors, in every type of project."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pytest

from connectors.iterable import IterableConnector
from connectors.iterable.sandbox import Sandbox
from connectors.iterable.sandbox.people import ProjectType
from connectors.iterable.settings import IterableAccount, ListSettings, UserSettings
from reverse_etl.connector import (
    AccountSettings,
    DestinationObject,
    FieldMapping,
    MappedField,
    Operation,
)
from reverse_etl.testing.connector_suite import SECRET, ConnectorSuite, StandIn

PROJECT_TYPES: Sequence[ProjectType] = ("email", "user_id", "hybrid")
LIST = "Conformance"
MOST_PEOPLE = 1_100

BAD_EMAILS = ["two..dots@example.com", "x@", "@example.com", "a b@example.com", f"{'x' * 65}@x.com"]
BAD_USER_IDS = ["", " u1", "u1 ", "é", "x" * 53, "tab\there"]

_NUMBER = re.compile(r"[pu](\d+)")


def email_of(person: int) -> str:
    return f"p{person}@example.com"


class Project(StandIn):
    """The sandbox as one project, with a list or the profiles of people bound to it."""

    connector = IterableConnector()

    def __init__(self, project_type: ProjectType) -> None:
        self.project_type = project_type
        self.sandbox = Sandbox(project_type, SECRET)
        self.sandbox.start()
        self.url = self.sandbox.url

    def account(self, url: str, **keys: Any) -> AccountSettings:
        return IterableAccount.model_validate(
            {
                "type": "iterable",
                "api_key": SECRET,
                "base_url": url,
                "project_type": self.project_type,
                **keys,
            }
        )

    def mapping(self) -> FieldMapping:
        names = {"email": ["email"], "user_id": ["userId"], "hybrid": ["userId", "email"]}
        fields = [MappedField("plan", "plan"), MappedField("score", "score", null="clear")]
        return FieldMapping({name: name for name in names[self.project_type]}, fields)

    # --- people ------------------------------------------------------------------------------

    def identity(self, person: int) -> str:
        if self.project_type == "email":
            return email_of(person)
        if self.project_type == "user_id":
            return f"u{person}"
        return f"email:{email_of(person)}" if person % 3 == 2 else f"userId:u{person}"

    def alias(self, person: int) -> str | None:
        return email_of(person) if self.project_type == "hybrid" and person % 3 == 0 else None

    def bare(self, person: int) -> str:
        return self.identity(person).rpartition(":")[2]

    def changes(self, operation: Operation, people: Sequence[int]) -> pa.RecordBatch:
        del operation
        return self.rows(
            [self.identity(person) for person in people],
            [self.alias(person) for person in people],
            [person * 0.5 for person in people],
        )

    @staticmethod
    def rows(
        identities: Sequence[str], aliases: Sequence[str | None], scores: Sequence[float]
    ) -> pa.RecordBatch:
        return pa.record_batch(
            {
                "_identity": pa.array(identities, pa.string()),
                "_alias": pa.array(aliases, pa.string()),
                "plan": pa.array(["gold"] * len(identities), pa.string()),
                "score": pa.array(scores, pa.float64()),
            }
        )

    def bad_identities(self) -> list[str]:
        emails = [f"email:{each}" for each in BAD_EMAILS]
        user_ids = [f"userId:{each}" for each in BAD_USER_IDS]
        by_type = {"email": BAD_EMAILS, "user_id": BAD_USER_IDS, "hybrid": [*emails, *user_ids]}
        return by_type[self.project_type]

    def unsendable(self, operation: Operation) -> pa.RecordBatch:
        bad = self.bad_identities()
        scores = [1.0] * len(bad)
        if operation is not Operation.DELETE:
            bad = [*bad, self.identity(0), self.identity(1)]
            scores = [*scores, math.nan, math.inf]
        return self.rows(bad, [None] * len(bad), scores)

    def close(self) -> None:
        self.sandbox.stop()


class ListProject(Project):
    """People are there when they are members of the list."""

    def bind(self, account: AccountSettings) -> DestinationObject:
        settings = ListSettings.model_validate(
            {"name": "prod", "object": "list", "list": {"name": LIST}}
        )
        return self.connector.bind(account, settings, self.mapping(), "mirror")

    def named_in(self, body: bytes) -> list[int]:
        people = json.loads(body).get("subscribers", []) if body else []
        return [number_in(each.get("userId") or each["email"]) for each in people]

    def put(self, people: Sequence[int]) -> None:
        self.sandbox.seed_list(LIST, [self.bare(person) for person in people])

    def present(self) -> set[int]:
        state = self.sandbox.state
        return {number_in(name) for each in state.lists for name in state.members(each)}

    def state(self) -> object:
        state = self.sandbox.state
        return {
            each.id: (each.name, each.list_type, state.member_profiles(each.id))
            for each in state.lists.values()
        }


class UserProject(Project):
    """People are there when their profile has the mapped fields."""

    def __init__(self, project_type: ProjectType, identifier: str | None = None) -> None:
        super().__init__(project_type)
        self.identifier = identifier

    def bind(self, account: AccountSettings) -> DestinationObject:
        settings = UserSettings.model_validate(
            {"name": "prod", "object": "user", "on_delete": "clear_fields"}
        )
        return self.connector.bind(account, settings, self.mapping(), "mirror")

    def mapping(self) -> FieldMapping:
        whole = super().mapping()
        identifiers = {self.identifier: "id"} if self.identifier else whole.identifiers
        return FieldMapping(identifiers, whole.fields)

    def identity(self, person: int) -> str:
        return f"u{person}" if self.identifier == "userId" else super().identity(person)

    def bad_identities(self) -> list[str]:
        return BAD_USER_IDS if self.identifier == "userId" else super().bad_identities()

    def changes(self, operation: Operation, people: Sequence[int]) -> pa.RecordBatch:
        rows = super().changes(operation, people)
        return self._with_fields(operation, rows)

    def unsendable(self, operation: Operation) -> pa.RecordBatch:
        return self._with_fields(operation, super().unsendable(operation))

    @staticmethod
    def _with_fields(operation: Operation, rows: pa.RecordBatch) -> pa.RecordBatch:
        if operation is not Operation.DELETE:
            return rows
        texts = ['["plan","score"]', '["score"]\n["plan","score"]']
        column = [texts[n % 2] for n in range(rows.num_rows)]
        return rows.append_column("_fields", pa.array(column, pa.string()))

    def named_in(self, body: bytes) -> list[int]:
        people = json.loads(body).get("users", []) if body else []
        return [number_in(each.get("userId") or each["email"]) for each in people]

    def put(self, people: Sequence[int]) -> None:
        for person in people:
            bare = self.bare(person)
            known = {"email": bare} if "@" in bare else {"user_id": bare}
            self.sandbox.state.add_profile(**known, fields={"plan": "theirs"})

    def present(self) -> set[int]:
        return {person for person, fields in self._profiles().items() if "plan" in fields}

    def state(self) -> object:
        return self._profiles()

    def _profiles(self) -> dict[int, dict[str, Any]]:
        """Return the fields of everybody who has a profile."""
        found = {n: self.sandbox.state.profile(self.bare(n)) for n in range(MOST_PEOPLE)}
        return {
            n: {"email": profile.email, "userId": profile.user_id, **profile.fields}
            for n, profile in found.items()
            if profile is not None
        }


def number_in(identifier: str) -> int:
    found = _NUMBER.match(identifier)
    assert found, identifier
    return int(found[1])


class TestList(ConnectorSuite):
    @pytest.fixture(params=PROJECT_TYPES)
    def stand_in(self, request: pytest.FixtureRequest) -> Iterator[StandIn]:
        project = ListProject(request.param)
        yield project
        project.close()


class TestUser(ConnectorSuite):
    @pytest.fixture(
        params=[("email", "email"), ("email", "userId"), ("user_id", None), ("hybrid", None)],
        ids=["email", "email by userId", "user_id", "hybrid"],
    )
    def stand_in(self, request: pytest.FixtureRequest) -> Iterator[StandIn]:
        project = UserProject(*request.param)
        yield project
        project.close()
