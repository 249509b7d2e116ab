"""How the list is found, or made: requests out, answers in."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.iterable import IterableConnector
from connectors.iterable.sandbox import Sandbox
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
    for reply in answers:
        try:
            requests.append(conversation.send(reply))
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
    made = {"id": 61931, "name": "gene's test list", "listType": "Standard"}
    shown = answer({"lists": [made, *LISTS]})
    answers = [answer({"lists": LISTS}), answer({"listId": 61931}), shown]
    target, requests = find({"name": "gene's test list", "description": "x"}, answers)
    assert target == Target("61931", "gene's test list", just_created=True)
    create = requests[1]
    assert (create.method, create.path, create.endpoint) == ("POST", "/api/lists", "lists")
    assert not create.repeatable  # list names are not unique
    assert json.loads(create.body or b"") == {"name": "gene's test list", "description": "x"}
    assert requests[2] == Request("GET", "/api/lists", "lists")


def test_a_description_is_optional() -> None:
    empty = answer({"lists": []})
    _, requests = find({"name": "VIP"}, [empty, answer({"listId": 1}), empty])
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


# --- two who create at once ----------------------------------------------------------------


def named(*ids: int, **more: Any) -> Response:
    return answer({"lists": [{"id": n, "name": "VIP", "listType": "Standard"} | more for n in ids]})


NOBODY = answer({"lists": []})


@pytest.mark.parametrize(
    "shown", [NOBODY, named(), Response(503), answer({"lists": None}), NoAnswer("reset")]
)
def test_a_new_list_that_is_not_shown_yet_is_taken(shown: Answer) -> None:
    target, _ = find({"name": "VIP"}, [NOBODY, answer({"listId": 7}), shown])
    assert target == Target("7", "VIP", just_created=True)


def test_who_made_the_smallest_list_keeps_it() -> None:
    target, requests = find({"name": "VIP"}, [NOBODY, answer({"listId": 7}), named(9, 7)])
    assert target == Target("7", "VIP", just_created=True)
    assert [request.method for request in requests] == ["GET", "POST", "GET"]


@pytest.mark.parametrize("shown", [named(7, 5), named(5)])
@pytest.mark.parametrize(
    "gone",
    [
        answer({"code": "Success"}),
        answer({"code": "BadParams", "msg": "List is in use"}, 409),
        Response(503),
        NoAnswer("timed out after 30 s"),
    ],
)
def test_who_made_a_later_list_deletes_it_and_takes_the_smallest(
    shown: Response, gone: Answer
) -> None:
    target, requests = find({"name": "VIP"}, [NOBODY, answer({"listId": 7}), shown, gone])
    assert target == Target("5", "VIP", just_created=True)
    assert requests[-1] == Request("DELETE", "/api/lists/7", "lists")


def test_a_dynamic_list_that_appears_meanwhile_is_not_taken() -> None:
    shown = named(5, listType="Dynamic")
    target, _ = find({"name": "VIP"}, [NOBODY, answer({"listId": 7}), shown])
    assert target.id == "7"


def test_after_a_doubtful_create_the_smallest_is_taken_and_none_is_deleted() -> None:
    target, requests = find({"name": "VIP"}, [NOBODY, NoAnswer("reset"), named(9, 5, 7)])
    assert target == Target("5", "VIP", just_created=True)
    assert [request.method for request in requests] == ["GET", "POST", "GET"]


class Project:
    """The lists of a project, as requests find and change them."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.created = 0

    def serve(self, request: Request) -> Response:
        if request.method == "GET":
            return named(*sorted(self.names, reverse=True))
        if request.method == "POST":
            self.created += 1
            self.names[self.created] = json.loads(request.body or b"")["name"]
            return answer({"listId": self.created})
        del self.names[int(request.path.rpartition("/")[2])]
        return answer({"code": "Success"})


@given(st.lists(st.integers(0, 3)))
def test_all_who_create_at_once_end_up_with_one_list(order: list[int]) -> None:
    project = Project()
    racers = [an_object({"name": "VIP"}).find_target() for _ in range(4)]
    waiting = {i: next(racer) for i, racer in enumerate(racers)}
    waiting = {i: racers[i].send(project.serve(waiting[i])) for i in waiting}  # all saw none
    targets = set()
    for i in [*order, *[i for i in range(4) for _ in range(3)]]:
        if i in waiting:
            try:
                waiting[i] = racers[i].send(project.serve(waiting[i]))
            except StopIteration as stop:
                targets.add(stop.value.id)
                del waiting[i]
    assert not waiting
    assert [{str(number)} for number in project.names] == [targets]


class Street:
    """Carries conversations to a sandbox; all wait for each other after the first answer."""

    def __init__(self, url: str, racers: int) -> None:
        self.url = url
        self.barrier = threading.Barrier(racers)

    def find(self, choice: dict[str, Any]) -> Target:
        conversation = an_object(choice, base_url=self.url).find_target()
        with httpx.Client(base_url=self.url, headers={"Api-Key": KEY}) as client:
            reply = self._ask(client, next(conversation))
            self.barrier.wait(10)
            try:
                while True:
                    reply = self._ask(client, conversation.send(reply))
            except StopIteration as stop:
                found: Target = stop.value
                return found

    @staticmethod
    def _ask(client: httpx.Client, request: Request) -> Response:
        reply = client.request(request.method, request.path, content=request.body)
        return Response(reply.status_code, reply.content)


def test_runs_that_race_over_http_make_one_list() -> None:
    with Sandbox(api_key=KEY) as sandbox, ThreadPoolExecutor(4) as pool:
        street = Street(sandbox.url, 4)
        found = list(pool.map(street.find, [{"name": "VIP"}] * 4))
        left = httpx.get(f"{sandbox.url}/api/lists", headers={"Api-Key": KEY}).json()["lists"]
        created = [
            r for r in sandbox.state.requests if (r.method, r.path) == ("POST", "/api/lists")
        ]
    assert len(created) == 4
    assert {target.id for target in found} == {str(entry["id"]) for entry in left}
    assert len(left) == 1
