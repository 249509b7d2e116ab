# ruff: noqa: E501, S608 - a table of scenarios, one line each; the queries are the test's own
"""Whatever goes wrong: no key, no password and no person turns up where they do not belong.

Each scenario is a real command that fails (or shows people on purpose). It is run twice, as text
and with ``--json``. Then everything that came out is
searched: both outputs, every table of ours, every file.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pytest

from connectors.iterable.sandbox import Fault
from tests import documents
from tests.security.conftest import (
    EMAIL,
    KEY,
    PASSWORD,
    PEOPLE,
    SECRETS,
    VALUE,
    leaks_of_text,
)

if TYPE_CHECKING:
    from tests.security.conftest import Answer, Done, Heard, Place

SUBSCRIBE = "/api/lists/subscribe"
BOTH = ("duckdb", "postgresql")

Prepare = Callable[["Place"], Mapping[str, str]]


def _nothing(place: Place) -> Mapping[str, str]:
    del place
    return {}


@dataclass(frozen=True)
class Scenario:
    """What is done, and how one knows that it went wrong as it was meant to.

    Attributes:
        name: In the test's id.
        says: Part of what is said, on either output.
        code: Exit code.
        then: Exit code of the second time, where it is another one.
        config: Parts of the config that are not the usual ones.
        words: The command.
        prepare: Arranges things; returns more parts of the config.
        environment: Variables.
        program: Python that runs in the process before the command.
        engines: Where it is tried; one is enough where the engine has no part in it.
        people: Who may be named in standard output or, by the brake, in ``sync_runs``.
        inputs: Files that ``prepare`` wrote with canaries in them.
    """

    name: str
    says: str
    code: int = 1
    config: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ("run-sync", "people")
    prepare: Prepare = _nothing
    environment: Mapping[str, str] = field(default_factory=dict)
    program: str = ""
    then: int | None = None
    engines: tuple[str, ...] = ("duckdb",)
    people: Literal["nowhere", "shown", "held"] = "nowhere"
    inputs: tuple[str, ...] = ()


# --- the config ----------------------------------------------------------------------------


def _env_file(place: Place) -> Mapping[str, str]:
    (place.folder / ".env").write_text(f"'{KEY}\nAPI KEY={KEY}\nOTHER_KEY='{KEY}'\n")
    return {}


def _env_file_of_latin_1(place: Place) -> Mapping[str, str]:
    (place.folder / ".env").write_bytes(f"OTHER_KEY={KEY}é".encode("latin-1"))
    return {}


def _key_file(content: bytes) -> Prepare:
    def prepare(place: Place) -> Mapping[str, str]:
        (place.folder / "key.txt").write_bytes(content)
        return {"key": "api_key_file: key.txt"}

    return prepare


def _of_config(name: str, says: str, **config: str) -> Scenario:
    return Scenario(name, says, 2, config)


IN_THE_CONFIG = [
    *(
        Scenario(
            f"a key with {what} in the environment", "api_key", 2, environment={"API_KEY": key}
        )
        for what, key in {
            "a space": f"{KEY} {KEY}",
            "a line break": f"{KEY}\n{KEY}",
            "a letter outside ASCII": f"{KEY}é",
        }.items()
    ),
    _of_config("a key with a NUL", "white space or characters", key=f'api_key: "{KEY}\\0{KEY}"'),
    _of_config("a misspelt api_key", "unknown key", key=f"api_kye: {KEY}"),
    _of_config("a tab before the key", "a tab", key=f"\tapi_key: {KEY}"),
    _of_config("an unknown escape in the key", "escape", key=f'api_key: "{KEY}\\q"'),
    _of_config("a quote in the key left open", "quote", key=f"api_key: '{KEY}"),
    _of_config("a list around the key", "must be text", key=f"api_key: [{KEY}]"),
    _of_config("a mapping around the key", "must be text", key=f"api_key: {{value: {KEY}}}"),
    _of_config("a key for an alias", "alias", key=f"api_key: *{KEY}"),
    _of_config("the key as base_url", "base_url", base_url=KEY),
    _of_config("the key in base_url", "base_url", base_url=f"https://{KEY}@api.iterable.com"),
    _of_config("the key behind base_url", "base_url", base_url=f"https://x.test/?api_key={KEY}"),
    _of_config("the key as a host", "base_url", base_url=f"https://{KEY}.test"),
    _of_config("the key as a list", "list", sync=f"observability: [{KEY}]"),
    Scenario("bad lines in .env", ".env:1:", 2, prepare=_env_file, inputs=(".env",)),
    Scenario("a .env that is not UTF-8", "not UTF-8", 2, prepare=_env_file_of_latin_1),
    *(
        Scenario(name, "api_key_file", 2, prepare=_key_file(content), inputs=("key.txt",))
        for name, content in {
            "a key file of two lines": f"{KEY}\n{KEY}\n".encode(),
            "a key file in UTF-16": KEY.encode("utf-16"),
            "a huge key file": (KEY * 1000).encode(),
        }.items()
    ),
    *(
        Scenario(
            f"a password in the URL, {name}",
            "warehouses.local.url",
            2,
            {"url": f'"{url}"'},
            words=("validate",),
        )
        for name, url in {
            "without a scheme": f"u:{PASSWORD}@127.0.0.1/shop",
            "behind one slash": f"postgresql:/u:{PASSWORD}@127.0.0.1/shop",
            "of DuckDB": f"duckdb://u:{PASSWORD}@127.0.0.1/shop",
            "with a word for a port": f"postgresql://u:{PASSWORD}@127.0.0.1:port/shop",
            "that begins with an @": f"postgresql://u:x@{PASSWORD}@127.0.0.1:1/shop",
        }.items()
    ),
]


# --- the destination -----------------------------------------------------------------------


def _answers(answer: Callable[[Heard], Answer]) -> Prepare:
    def prepare(place: Place) -> Mapping[str, str]:
        return {"base_url": place.peer(answer).url}

    return prepare


def _html_echo(request: Heard) -> Answer:
    page = f"<html><pre>{request.headers}\n{request.body!r}</pre></html>"
    return 500, {"Content-Type": "text/html"}, page.encode()


def _echo(status: int) -> Callable[[Heard], Answer]:
    """Answer in Iterable's form, with all that was heard behind its words, as it was seen to do."""

    def answer(request: Heard) -> Answer:
        echo = f"hdrs: {request.headers} body: {request.body!r} of {EMAIL} with {VALUE}"
        body = {"code": "BadApiKey", "msg": f"No. {echo}", "params": {"user": EMAIL, "key": KEY}}
        headers = {"Content-Type": "application/json", "X-Echo": KEY}
        return status, headers, json.dumps(body).encode()

    return answer


def _redirect(place: Place) -> Mapping[str, str]:
    thief = place.peer(lambda _: (200, {}, b"{}"))

    def answer(_: Heard) -> Answer:
        return 302, {"Location": f"{thief.url}/?key={KEY}&email={EMAIL}"}, b""

    return {"base_url": place.peer(answer).url}


def _plain_http_behind_https(place: Place) -> Mapping[str, str]:
    peer = place.peer(lambda _: (200, {}, b"{}"))
    return {"base_url": peer.url.replace("http:", "https:")}


def _faulty(*faults: Fault) -> Prepare:
    def prepare(place: Place) -> Mapping[str, str]:
        place.sandbox.faults = list(faults)
        return {}

    return prepare


def _refuses(status: int, text: str) -> Prepare:
    return _faulty(Fault("status", match=SUBSCRIBE, status=status, msg=text))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _nobody_listens(_: Place) -> Mapping[str, str]:
    return {"base_url": f"http://127.0.0.1:{_free_port()}"}


AT_THE_DESTINATION = [
    Scenario("another key", "unauthorized", environment={"API_KEY": f"{KEY}-other"}),
    *(
        Scenario(f"{status} with an echo of everything", f"HTTP {status}", prepare=_answers(_echo(status)))
        for status in (401, 403, 404)
    ),
    Scenario("500 with an HTML page of the headers", "HTTP 500", prepare=_answers(_html_echo)),
    Scenario("500 with an echo in JSON", "HTTP 500", prepare=_answers(_echo(500))),
    Scenario("a redirect", "redirect", prepare=_redirect),
    Scenario("TLS against plain HTTP", "cannot connect", prepare=_plain_http_behind_https),
    Scenario("nobody listens", "cannot connect", prepare=_nobody_listens),
    Scenario(
        "a batch is refused with the key",
        "failed",
        3,
        then=0,
        prepare=_refuses(400, f"bad key {KEY} for {EMAIL}"),
        engines=BOTH,
    ),
    Scenario(
        "a batch is refused with headers",
        "failed",
        3,
        then=0,
        prepare=_refuses(400, f"hdrs: [Api-Key: {KEY}] body: {EMAIL} {VALUE}"),
    ),
    Scenario(
        "a person is refused",
        "failed",
        3,
        then=0,
        prepare=_faulty(Fault("refuse", match=SUBSCRIBE, identifiers=(EMAIL,), bucket="conflict")),
        engines=BOTH,
    ),
    Scenario("no list is known", "Nothing is lost", prepare=_faulty(Fault("invalid_list"))),
    Scenario("lists of a wrong key", "unauthorized", words=("lists", "iterable"), prepare=_answers(_echo(401))),
    Scenario("check of a wrong key", "key", words=("check",), prepare=_answers(_echo(401)), engines=BOTH),
    Scenario("answers without end", "larger than", prepare=_answers(lambda _: (200, {}, KEY.encode() * 1_000_000))),
]  # fmt: skip


# --- the warehouse -------------------------------------------------------------------------


def _query(text: str) -> Mapping[str, str]:
    return {"source": f"query: {json.dumps(text)}"}


def _raising(place: Place) -> Mapping[str, str]:
    place.sql(
        "create function refuse(v text) returns text language plpgsql as"
        " $$ begin raise exception 'no % please', v using detail = v, hint = v; end $$"
    )
    return _query("select id, email, refuse(plan) as plan from people")


def _unique(place: Place) -> Mapping[str, str]:
    place.sql("create table seen (plan text primary key)")
    place.sql(
        "create function twice(v text) returns text language plpgsql as"
        " $$ begin insert into seen values (v); insert into seen values (v); return v; end $$"
    )
    return _query("select id, email, twice(plan) as plan from people")


def _domain(place: Place) -> Mapping[str, str]:
    place.sql("create domain short as text check (length(value) < 5)")
    return _query("select id, email, cast(plan as short) as plan from people")


def _of_query(name: str, text: str, *engines: str, says: str = "fails") -> Scenario:
    return Scenario(name, says, config=_query(text), engines=engines or BOTH)


def _prepared_query(name: str, prepare: Prepare) -> Scenario:
    return Scenario(name, "the query fails", prepare=prepare, engines=("postgresql",))


def _wrong_password(place: Place) -> Mapping[str, str]:
    return {"url": f'"{place.url.replace(PASSWORD, PASSWORD + "-other")}"'}


def _gone(url: str) -> Scenario:
    return Scenario(
        f"no server at {url.partition('@')[2]}", "warehouse", config={"url": f'"{url}"'}
    )


def _held(place: Place) -> Mapping[str, str]:
    assert place.run("run-sync", "people").code == 3
    place.sql("delete from people where id < 3")
    return {}


def _failed(place: Place) -> Mapping[str, str]:
    place.sandbox.faults = [
        Fault("refuse", match=SUBSCRIBE, identifiers=(EMAIL,), bucket="conflict")
    ]
    assert place.run("run-sync", "people").code == 3
    return {}


IN_THE_WAREHOUSE = [
    _of_query("a missing column", f"select id, email, plam as plan from people where plan <> '{VALUE}'"),
    _of_query("a missing table", f"select id, email, plan from peeple where email = '{EMAIL}'"),
    _of_query("a value that is no number", "select id, email, cast(plan as integer) as plan from people"),
    _of_query("a value that is no date", "select id, cast(email as date) as email, plan from people"),
    _of_query("a value that is no time", "select id, email, cast(plan as timestamp) as plan from people"),
    _of_query("a value that is no UUID", "select id, email, cast(plan as uuid) as plan from people"),
    _of_query("a value that is no JSON", "select id, email, cast(plan as json) as plan from people"),
    _of_query("a value that is no boolean", "select id, email, cast(plan as boolean) as plan from people"),
    _of_query("a pattern from a row", "select id, email, regexp_replace('x', plan || '(', '') as plan from people"),
    _of_query("division by zero", "select id, email, cast(1 / (id - id) as text) as plan from people", "postgresql"),
    _of_query("error() of DuckDB", "select id, email, error(plan) as plan from people", "duckdb"),
    _of_query("a file named by a row", "select id, email, (select max(content) from read_text(people.plan)) as plan from people", "duckdb"),
    _of_query("a time that strptime cannot read", "select id, email, strptime(plan, '%Y') as plan from people", "duckdb"),
    _of_query("a sum too large", "select id, email, cast(9223372036854775807 + id as bigint) as plan from people"),
    _of_query("the backend killed", "select id, email, plan from people where pg_terminate_backend(pg_backend_pid())", "postgresql", says="warehouse"),
    _prepared_query("a function that raises", _raising),
    _prepared_query("a unique key violated", _unique),
    _prepared_query("a domain violated", _domain),
    Scenario("another password", "password", prepare=_wrong_password, engines=("postgresql",)),
    _gone(f"postgresql://u:{PASSWORD}@127.0.0.1:1/shop"),
    _gone(f"postgresql://u:{PASSWORD}@no-such-host.invalid/shop"),
    _gone(f"postgresql://u@127.0.0.1:1/shop?password={PASSWORD}"),
    _gone(f"postgresql://u:{PASSWORD}@127.0.0.1:1/shop?sslmode=none"),
    _gone(f"postgresql://u:{PASSWORD}@127.0.0.1:1/shop?sslpasword={PASSWORD}"),
    _gone(f"postgresql://u:[{PASSWORD}]@127.0.0.1:1/shop"),
    _gone(f"postgresql://u:{PASSWORD}/#?@127.0.0.1:1/shop"),
    Scenario("the brake", "held", 4, prepare=_held, people="held", engines=BOTH),
    Scenario("a plan", "", 0, words=("plan", "people", "--out", "plan.json"), people="shown", engines=BOTH),
    Scenario("failures", EMAIL, 0, words=("failures", "people"), prepare=_failed, people="shown", engines=BOTH),
    Scenario("runs", "completed_with_failures", 0, words=("runs", "people"), prepare=_failed, engines=BOTH),
    Scenario("status", "completed_with_failures", 0, words=("status",), prepare=_failed, engines=BOTH),
    Scenario("check", "", 0, words=("check",), engines=BOTH),
    Scenario("audit", EMAIL, 0, words=("audit", "people"), prepare=_failed, people="shown", engines=BOTH),
    Scenario("validate", "config ok", 0, words=("validate",)),
]  # fmt: skip


# --- this program --------------------------------------------------------------------------

_BREAK = """
import reverse_etl.{module} as module
def broken(*_, **__):
    email, key = {email!r}, {key!r}
    error = {error}
    error.add_note("while at " + email + key)
    try:
        raise KeyError(email + key)
    except KeyError as cause:
        raise error from cause
module.{name} = broken
"""


def _broken(module: str, name: str, error: str) -> str:
    return _BREAK.format(module=module, name=name, email=EMAIL, key=KEY, error=error)


_HEARTBEAT = f"""
import threading
from reverse_etl.warehouse.lease import Lease
real = Lease.renew
def renew(self):
    if threading.current_thread().name == "lease":
        raise RuntimeError("{EMAIL} {KEY}")
    real(self)
Lease.renew = renew
"""

_DISK_FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
"""

IN_THIS_PROGRAM = [
    Scenario(
        "a bug while planning",
        "this is a bug",
        program=_broken("run", "make_plan", "RuntimeError(email + ' ' + key)"),
        engines=BOTH,
    ),
    Scenario(
        "a bug while delivering",
        "this is a bug",
        program=_broken("run", "settle", "ValueError({email: key})"),
    ),
    Scenario(
        "a group of bugs",
        "this is a bug",
        program=_broken("run", "settle", "ExceptionGroup(email, [ValueError(key), OSError(email)])"),
    ),
    Scenario(
        "a bug in plan",
        "this is a bug",
        words=("plan", "people"),
        program=_broken("preview", "make_plan", "LookupError(email, key)"),
    ),
    Scenario(
        "a syntax error that quotes its line",
        "this is a bug",
        program=_broken("run", "make_plan", "SyntaxError('x', ('f', 1, 1, email + key))"),
    ),
    Scenario(
        "a full disk",
        "the warehouse failed",
        config=_query(f"select t.i as id, email, '{VALUE}' || repeat(md5(t.i::text), 50) as plan from people, range(20000) t(i)"),
        program=_DISK_FULL,
    ),
    Scenario(
        "a bug in the thread that renews the lease",
        "this is a bug",
        3,
        then=0,
        config={**_query("select * from people where pg_sleep(0.3) is not null"), "engine": "lease_seconds: 1"},
        program=_HEARTBEAT,
        engines=("postgresql",),
    ),
]  # fmt: skip


SCENARIOS = [*IN_THE_CONFIG, *AT_THE_DESTINATION, *IN_THE_WAREHOUSE, *IN_THIS_PROGRAM]
CASES = [
    pytest.param(scenario, engine, id=f"{scenario.name}-{engine}")
    for scenario in SCENARIOS
    for engine in scenario.engines
]


@pytest.mark.parametrize(("scenario", "place"), CASES, indirect=["place"])
def test_nothing_secret_and_nobody_turns_up(scenario: Scenario, place: Place) -> None:
    place.write(**{**scenario.config, **scenario.prepare(place)})
    done = [
        place.run(*scenario.words, *more, program=scenario.program, **scenario.environment)
        for more in ((), ("--json",))
    ]
    leaks = [
        *(leak for one in done for leak in _leaks_of_outputs(scenario, one)),
        *place.leaks_of_tables(_columns_of(scenario)),
        *place.leaks_of_files(scenario.inputs),
    ]
    said = _masked("".join(one.out + one.err for one in done))
    then = scenario.code if scenario.then is None else scenario.then
    assert leaks == [], f"{scenario.name} on {place.engine}\n{said}"
    assert [one.code for one in done] == [scenario.code, then], said
    assert _masked(scenario.says) in said, said
    documents.read([scenario.program, *scenario.words], done[1].out)


@pytest.mark.parametrize("place", BOTH, indirect=True)
def test_nothing_turns_up_when_a_run_is_interrupted(place: Place) -> None:
    place.sandbox.faults = [Fault("hang_after", match=SUBSCRIBE, seconds=20)]
    process = place.start("run-sync", "people", "--json")
    state = place.sandbox.state

    def is_applied() -> bool:
        return any(state.members(each) for each in list(state.lists))

    done = place.interrupt(process, is_applied)
    leaks = [
        *leaks_of_text("standard output", done.out, people=False),
        *leaks_of_text("standard error", done.err, people=False),
        *place.leaks_of_files(),
        *place.leaks_of_tables(),
    ]
    assert done.code == 130, _masked(done.out + done.err)
    assert leaks == []


def _leaks_of_outputs(scenario: Scenario, done: Done) -> Iterator[str]:
    yield from leaks_of_text("standard output", done.out, people=scenario.people != "nowhere")
    yield from leaks_of_text("standard error", done.err, people=scenario.people == "held")


def _columns_of(scenario: Scenario) -> frozenset[str]:
    """Return the columns of ``sync_runs`` that may name people: the brake names a few."""
    return frozenset({"error_reason"} if scenario.people == "held" else ())


def _masked(text: str) -> str:
    """Return what a failed test may show: a log of tests is no place for a canary either."""
    for what, trace in {**SECRETS, **PEOPLE}.items():
        text = text.replace(trace, f"<{what}>")
    return text
