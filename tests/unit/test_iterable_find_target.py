"""How the list is found, or made: requests out, answers in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from connectors.iterable import IterableConnector
from connectors.iterable.settings import IterableAccount, ListSettings
from reverse_etl.connector import (
    Answer,
    DestinationObject,
    Fatal,
    FieldMapping,
    NoAnswer,
    Request,
    Response,
    Target,
)

KEY = "0123456789abcdef0123456789abcdef"
# Shape and values as in mtchavez/iterable-api-client, spec/cassettes/Iterable_Lists/all.
LISTS = [
    {"id": 58508, "name": "new users", "createdAt": 1505330681211, "listType": "Dynamic"},
    {"id": 56545, "name": "Gene's test list", "createdAt": 1504308852508, "listType": "Standard"},
    {"id": 3, "name": "twice", "createdAt": 1504308852508, "listType": "Standard"},
    {"id": 4, "name": "twice", "createdAt": 1504308852509, "listType": "Standard"},
    {"id": 5, "name": "new kind", "createdAt": 1504308852509, "listType": "Scheduled"},
]


def an_object(choice: dict[str, Any], **account: Any) -> DestinationObject:
    made = IterableAccount.model_validate({"type": "iterable", "api_key": KEY, **account})
    settings = ListSettings.model_validate({"name": "prod", "object": "list", "list": choice})
    return IterableConnector().bind(made, settings, FieldMapping({"email": "e"}), "mirror")


def answer(data: Any, status: int = 200) -> Response:
    return Response(status, json.dumps(data).encode())


def find(
    choice: dict[str, Any], answers: Sequence[Answer], **account: Any
) -> tuple[Target, list[Request]]:
    conversation = an_object(choice, **account).find_target()
    requests = [next(conversation)]
    for given in answers:
        try:
            requests.append(conversation.send(given))
        except StopIteration as stop:
            assert len(requests) == len(answers)
            return stop.value, requests
    msg = "the conversation wants more answers"
    raise AssertionError(msg)


def refuse(choice: dict[str, Any], *answers: Answer, **account: Any) -> Fatal:
    with pytest.raises(Fatal) as caught:
        find(choice, answers, **account)
    assert KEY not in str(caught.value)
    return caught.value


def test_a_list_by_id() -> None:
    target, requests = find({"id": 56545}, [answer({"lists": LISTS})])
    assert target == Target("56545", "Gene's test list")
    assert requests == [Request("GET", "/api/lists", "lists")]


def test_a_list_by_name() -> None:
    target, _ = find({"name": "Gene's test list"}, [answer({"lists": LISTS})])
    assert target == Target("56545", "Gene's test list")


@pytest.mark.parametrize("choice", [{"id": 5}, {"name": "new kind"}])
def test_unknown_kinds_of_lists_are_taken(choice: dict[str, Any]) -> None:
    target, _ = find(choice, [answer({"lists": LISTS})])
    assert target.id == "5"


@pytest.mark.parametrize("choice", [{"id": 58508}, {"name": "new users"}])
def test_a_dynamic_list_is_refused(choice: dict[str, Any]) -> None:
    fatal = refuse(choice, answer({"lists": LISTS}))
    assert fatal.code == "unknown_list"
    assert "dynamic" in str(fatal)


def test_an_unknown_id() -> None:
    fatal = refuse({"id": 9}, answer({"lists": LISTS}))
    assert fatal.code == "unknown_list"
    assert "does the key belong to another project?" in str(fatal)


def test_an_ambiguous_name() -> None:
    fatal = refuse({"name": "twice"}, answer({"lists": LISTS}))
    assert fatal.code == "ambiguous_list"
    assert "ids 3, 4" in str(fatal)
    assert "list: {id: 3}" in str(fatal)


def test_a_missing_name_is_created() -> None:
    answers = [answer({"lists": LISTS}), answer({"listId": 61931})]
    target, requests = find({"name": "gene's test list", "description": "x"}, answers)
    assert target == Target("61931", "gene's test list", just_created=True)
    create = requests[1]
    assert (create.method, create.path, create.endpoint) == ("POST", "/api/lists", "lists")
    assert not create.repeatable  # list names are not unique
    assert json.loads(create.body or b"") == {"name": "gene's test list", "description": "x"}


def test_a_description_is_optional() -> None:
    _, requests = find({"name": "VIP"}, [answer({"lists": []}), answer({"listId": 1})])
    assert json.loads(requests[1].body or b"") == {"name": "VIP"}


@pytest.mark.parametrize("doubt", [NoAnswer("timed out after 30 s"), Response(502, b"<html>")])
def test_a_create_without_a_clear_answer_is_looked_up(doubt: Answer) -> None:
    made = [*LISTS, {"id": 77, "name": "VIP", "listType": "Standard"}]
    answers = [answer({"lists": LISTS}), doubt, answer({"lists": made})]
    target, requests = find({"name": "VIP"}, answers)
    assert target == Target("77", "VIP", just_created=True)
    assert [request.method for request in requests] == ["GET", "POST", "GET"]


@pytest.mark.parametrize("doubt", [NoAnswer("timed out after 30 s"), Response(502, b"<html>")])
def test_a_create_that_left_nothing_is_not_repeated_here(doubt: Answer) -> None:
    lists = answer({"lists": LISTS})
    assert refuse({"name": "VIP"}, lists, doubt, lists).code == "destination_unavailable"


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (answer({"code": "BadApiKey", "msg": "Invalid API key"}, 401), "unauthorized", "BadApiKey"),
        (answer({"code": "Forbidden", "msg": "no"}, 403), "unauthorized", "server-side key"),
        (Response(404, b"<!doctype html>Action not found"), "not_found_page", "base_url"),
        (Response(302, b"", {"location": "https://x"}), "redirected", "never redirects"),
        (Response(429, b"Rate limit exceeded."), "destination_unavailable", "429"),
        (Response(503), "destination_unavailable", "503"),
        (NoAnswer("connection refused", maybe_applied=False), "destination_unavailable", "refused"),
        (answer({"code": "BadParams", "msg": "what?"}, 400), "list_refused", "what?"),
        (answer([1]), "unreadable_answer", "base_url"),
        (Response(200, b"<html>"), "unreadable_answer", "base_url"),
        (answer({"lists": None}), "unreadable_answer", "base_url"),
    ],
)
def test_answers_that_end_the_run(given: Answer, code: str, words: str) -> None:
    fatal = refuse({"name": "VIP"}, given)
    assert fatal.code == code
    assert words in str(fatal)


def test_the_message_names_the_data_center_that_was_asked() -> None:
    given = answer({"code": "BadApiKey", "msg": "Invalid API key"}, 401)
    assert "api.eu.iterable.com" in str(refuse({"id": 1}, given, data_center="eu"))


@pytest.mark.parametrize("data", [{}, {"listId": "x"}, {"listId": True}, {"listId": 0}, []])
def test_a_create_without_an_id(data: Any) -> None:
    assert refuse({"name": "VIP"}, answer({"lists": []}), answer(data)).code == "unreadable_answer"


def test_odd_entries_are_skipped() -> None:
    odd: list[Any] = [
        None,
        5,
        {},
        {"id": "7"},
        {"id": True, "name": "VIP"},
        {"id": 8, "name": "VIP"},
    ]
    target, _ = find({"name": "VIP"}, [answer({"lists": odd})])
    assert target == Target("8", "VIP")
