"""Where the API key may travel: to Iterable over TLS, to this machine, and nowhere else."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from connectors.iterable import IterableConnector
from connectors.iterable.settings import IterableAccount
from reverse_etl.config import load_config
from reverse_etl.config.editor_schema import json_schema
from reverse_etl.config.load import absolute_url
from reverse_etl.connector import NoAnswer, Request, Response
from reverse_etl.delivery.http import HttpTransport
from reverse_etl.errors import ConfigError
from tests.security.conftest import KEY

if TYPE_CHECKING:
    from reverse_etl.connector import Answer
    from tests.security.conftest import Heard, Peers, Place

CONFIG = """\
warehouses: {{local: {{url: "duckdb:///x.duckdb"}}}}
destinations:
  iterable:
    type: iterable
    api_key: ${{KEY}}
    base_url: "{url}"
syncs: {{}}
"""

REFUSED = [
    "http://127.1:1",
    "http://0:1",
    "http://0.0.0.0:1",
    "http://2130706433:1",
    "http://0x7f000001:1",
    "http://0177.0.0.1:1",
    "http://127.0.0.1.:1",
    "http://localhost.:1",
    "http://LOCALHOST.evil.test",
    "http://127.0.0.1.evil.test",
    "http://127.0.0.1%2eevil.test",
    "http://127.0.0.1%00.evil.test",
    "http://127.0.0.1\\\\@evil.test",
    "http://evil.test\\\\@127.0.0.1",
    "http://127.0.0.1#@evil.test",
    "http://127.0.0.1?@evil.test",
    "http://127.0.0.1;@evil.test",
    "http://@127.0.0.1:1",
    "http://:@127.0.0.1:1",
    "http://[::]:1",
    "http://[::ffff:127.0.0.1]:1",
    "http://[::ffff:7f00:1]:1",
    "http://[::1%25eth0]:1",
    "http://[fe80::1]:1",
    "http://[v1.x]:1",
    "http://169.254.169.254/latest/meta-data",
    "http://10.0.0.1",
    "https://10.0.0.1",
    "https://xn--pi-iterable-xmb.com",
    "https://\u0430pi.iterable.com",
    "https://api.iterable.com\u3002evil.test",
    "https://api.iterable.com%2eevil.test",
    "https://api.iterable.com.",
    "https://api.iterable.com.evil.test",
    "https://evil.test/api.iterable.com",
    "https://api.iterable.com@evil.test",
    "https://evil.iterable.com",
    "https://iterable.com",
    "HTTP://api.iterable.com",
    "https://api.iterable.com:444",
    "https:api.iterable.com",
    "https:///api.iterable.com",
    "//127.0.0.1:1",
    "127.0.0.1:1",
    "file:///etc/passwd",
    "unix:///run/x.sock",
    "ws://127.0.0.1:1",
    "http://127.0.0.1:99999",
    "http://127.0.0.1:-1",
    "http://127.0.0.1:1/..",
    "http://\u2460\u2461\u2466.0.0.1:1",
]


def load(folder: Path, url: str) -> IterableAccount:
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(url=url), encoding="utf-8")
    config = load_config(path, {"KEY": KEY}, {"iterable": IterableConnector})
    account = config.account("iterable")
    assert isinstance(account, IterableAccount)
    return account


@pytest.mark.parametrize("url", REFUSED)
def test_a_config_that_would_give_the_key_away_is_refused_with_its_place(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, url)
    (line,) = caught.value.problems
    assert line.startswith(f"{tmp_path / 'config.yaml'}:6:15: destinations.iterable.base_url: ")


@pytest.mark.parametrize(
    ("url", "used"),
    [
        ("HTTPS://API.ITERABLE.COM/", "https://api.iterable.com"),
        ("https://api.eu.iterable.com:443", "https://api.eu.iterable.com:443"),
        ("HTTP://LocalHost:1", "http://localhost:1"),
        ("http://127.255.255.254:65535", "http://127.255.255.254:65535"),
        ("http://[0:0:0:0:0:0:0:1]:1/", "http://[0:0:0:0:0:0:0:1]:1"),
    ],
)
def test_what_is_accepted_is_spelled_out(tmp_path: Path, url: str, used: str) -> None:
    assert load(tmp_path, url).url() == used


# --- passwords of warehouses ----------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@canary@h/shop",
        "postgresql://u:p@canary:x@h/shop",
        "postgresql://u:p@canary/x@h/shop",
        "postgresql://u:p@@h/shop",
        "postgresql://u:p@h:canary/shop",
        "postgresql://u:p@h1:1,canary:2/shop",
        "postgresql://u:p@[canary/shop",
        "snowflake://u:p@canary@account/shop",
    ],
)
def test_an_address_that_would_show_a_piece_of_its_password_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="percent-encoded: @ is %40") as caught:
        absolute_url(url, Path("/"))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40x@h:5432/shop",
        "postgresql+psycopg://me@example.com:p@h/shop",
        "postgresql://u:a/b?c#[d]@h/shop",
        "postgresql://u@[::1]:5432/shop?application_name=a@b",
        "postgresql:///shop?host=/var/run/postgresql",
        "bigquery://",
        "bigquery://project/dataset",
        "databricks://token:p@h.example.com?http_path=/sql/1.0",
        "snowflake://u:p@account/shop/public?warehouse=w",
    ],
)
def test_addresses_of_every_engine_pass(url: str) -> None:
    assert absolute_url(url, Path("/")) == url


# --- what is really sent, and to whom ------------------------------------------------------


def ask(url: str) -> Answer:
    """Ask with the key; return the answer."""
    transport = HttpTransport(url, {"Api-Key": KEY}, 1, [KEY])
    transport.start(1, Request("GET", "/api/lists", "lists"), 10)
    answers: list[tuple[int, Answer]] = []
    try:
        while not answers:
            answers = transport.wait(1)
    finally:
        transport.close()
    return answers[0][1]


def quiet(_: Heard) -> tuple[int, dict[str, str], bytes]:
    return 200, {}, b"{}"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["Location", "Refresh", "Alt-Svc"])
def test_no_answer_sends_the_key_to_another_server(peers: Peers, status: int, where: str) -> None:
    thief = peers(quiet)
    value = {"Refresh": f"0; url={thief.url}", "Alt-Svc": f'h2="127.0.0.1:{thief.port}"'}
    target = value.get(where, f"{thief.url}/api/lists")
    honest = peers(lambda _: (status, {where: target}, b""))

    answer = ask(honest.url)

    assert isinstance(answer, Response)
    assert answer.status == status
    assert [heard.headers["Api-Key"] for heard in honest.heard] == [KEY]
    assert thief.heard == []


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_a_run_ends_at_a_redirect(place: Place, status: int) -> None:
    thief = place.peer(quiet)
    honest = place.peer(lambda _: (status, {"Location": f"{thief.url}/api/lists"}, b""))
    place.write(base_url=honest.url)

    done = place.run("run-sync", "people")

    assert done.code == 1
    assert "redirect" in done.out
    assert len(honest.heard) == 1
    assert thief.heard == []


PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@pytest.mark.parametrize("place", ["duckdb"], indirect=True)
def test_no_proxy_of_the_environment_ever_sees_the_key(place: Place) -> None:
    proxy = place.peer(quiet)
    names = {each for name in PROXIES for each in (name, name.lower())}
    variables = {**dict.fromkeys(names, proxy.url), "NO_PROXY": "", "no_proxy": ""}
    netrc = place.folder / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password theirs\n")

    done = place.run("run-sync", "people", **variables, NETRC=str(netrc))

    assert done.code == 3, done.err
    assert place.sandbox.state.requests
    assert proxy.heard == []


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """Return the context of a server whose certificate nobody vouches for."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost"
        f" -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout {key} -out {certificate}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@pytest.mark.parametrize("trust", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_nothing_in_the_environment_makes_a_certificate_trusted(
    peers: Peers,
    self_signed: ssl.SSLContext,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trust: str,
) -> None:
    peer = peers(quiet)
    peer.speak_tls(self_signed)
    monkeypatch.setenv(trust, str(tmp_path / "certificate.pem"))
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")

    answer = ask(peer.url.replace("http:", "https:"))

    assert isinstance(answer, NoAnswer)
    assert "certificate" in answer.reason.lower()
    assert answer.maybe_applied is False
    assert peer.heard == []


def test_no_setting_switches_verification_off() -> None:
    names = {name.lower() for name in _names(json_schema())}
    assert {"base_url", "api_key"} <= names
    words = ("verify", "insecure", "tls", "ssl", "certificate", "proxy", "redirect")
    assert [name for name in names for word in words if word in name] == []


def _names(schema: object) -> set[str]:
    """Return the names of all properties in a JSON Schema."""
    if isinstance(schema, list):
        return {name for each in schema for name in _names(each)}
    if not isinstance(schema, dict):
        return set()
    own = schema.get("properties")
    found = set(own) if isinstance(own, dict) else set()
    return found | {name for each in schema.values() for name in _names(each)}
