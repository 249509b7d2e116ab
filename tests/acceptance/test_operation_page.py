"""docs/operation.md, followed as it stands: its config, its commands, its metrics, its query."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psycopg
import pytest
import yaml

from connectors.iterable.sandbox import Sandbox
from reverse_etl.scheduler.metrics import Metrics

PAGE = (Path(__file__).parents[2] / "docs" / "operation.md").read_text(encoding="utf-8")
SECONDS = 120


def blocks(language: str) -> list[str]:
    """Return the pieces of one language."""
    return re.findall(rf"```{language}\n(.+?)```", PAGE, re.DOTALL)


@contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """Run a webhook that accepts everything; give its URL and what it got."""
    got: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", got
        server.shutdown()


@pytest.fixture
def warehouse(postgres_url: str) -> Iterator[Callable[[str], list[tuple[object, ...]]]]:
    """Return a way to ask a shop on PostgreSQL."""
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute(
            "create table customers (customer_id int, email text, plan text, lifetime_value int)"
        )
        connection.execute(
            "insert into customers"
            " select n, 'p' || n || '@example.com', 'gold', n * 100 from generate_series(1, 30) n"
        )

        def ask(query: str) -> list[tuple[object, ...]]:
            return connection.execute(query.encode()).fetchall()

        yield ask


def test_the_page_leads_to_a_list_in_step_and_a_channel_that_hears(
    tmp_path: Path,
    postgres_url: str,
    warehouse: Callable[[str], list[tuple[object, ...]]],
) -> None:
    with Sandbox() as sandbox, listening() as (webhook, got):
        config = blocks("yaml")[0].replace("http://127.0.0.1:8765", sandbox.url)
        assert sandbox.url in config
        (tmp_path / "config.yaml").write_text(config, encoding="utf-8")
        (variables,) = blocks("ini")
        lines = variables.splitlines()
        for name, value in (("WAREHOUSE_URL", postgres_url), ("WEBHOOK_URL", webhook)):
            lines = [f"{name}={value}" if line.startswith(name) else line for line in lines]
        (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
        (tmp_path / ".env").chmod(0o600)
        (commands,) = blocks("sh")
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=tmp_path,
            env={
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
            },
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "vip_customers run 1: succeeded" in done.stdout
        assert "vip_customers: next due" in done.stdout
        assert len(got) == 1, "the test message and no other"
        members = sandbox.state.members(sandbox.state.list_named("VIP customers").id)
        assert members == {f"p{n}@example.com" for n in range(11, 31)}
    (asked,) = blocks("sql")
    (row,) = warehouse(asked)
    assert row[:4] == ("vip_customers", 1, "succeeded", "schedule")


def test_every_metric_of_the_page_is_there_and_the_other_way_round() -> None:
    named = set(re.findall(r"^\| `(reverse_etl_\w+)", PAGE, re.MULTILINE))
    text = Metrics().text().decode()
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)", text, re.MULTILINE))
    assert named == set(kinds)
    rules = yaml.safe_load(blocks("yaml")[1])
    asked = {
        found
        for group in rules["groups"]
        for rule in group["rules"]
        for found in re.findall(r"reverse_etl_\w+", rule["expr"])
    }
    assert asked <= named
