"""Files and answers made to exhaust a program end in an error, with little memory and time.

Each is read by a child process that may have so much of both and no more: a bomb that goes off
ends the child, and with it the test.
"""

from __future__ import annotations

import gzip
import resource
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.security.conftest import Peers

# Above what the interpreter and its libraries take; the bombs would take gigabytes.
MEMORY_BYTES = 400_000_000
CPU_SECONDS = 20

LOAD = """
import sys
from pathlib import Path
from reverse_etl.config import load_config
from reverse_etl.errors import ConfigError
try:
    load_config(Path(sys.argv[1]), {}, {})
except ConfigError as error:
    print(*error.problems, sep="\\n")
"""


def _limited() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))


def said_of(path: Path) -> str:
    """Return what the loader says of a file, within the limits."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, path],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_limited,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _references(merge: str) -> str:
    lines = ["a0: &a0 {k: 1}"]
    for level in range(1, 30):
        names = ", ".join([f"*a{level - 1}"] * 9)
        lines.append(f"a{level}: &a{level} {{{merge}[{names}]}}")
    return "\n".join(lines)


BOMBS = {
    "aliases": (_references("x: "), "aliases repeat the file to more than 200000 values"),
    "merges": (_references("<<: "), "aliases repeat the file to more than 200000 values"),
    "brackets": ("[" * 990_000, "nested more than 50 deep"),
    "braces": ("{a: " * 240_000, "nested more than 50 deep"),
    "dashes": ("- " * 490_000, "nested more than 50 deep"),
    "indents": ("\n".join(f"{' ' * n}a{n}:" for n in range(1_300)), "nested more than 50 deep"),
    "question marks": ("? " * 490_000, "nested more than 50 deep"),
    "anchors": ("".join(f"a{n}: &b{n} 1\n" for n in range(50_000)), "unknown key"),
    "a long number": (f"engine: {{lease_seconds: {'9' * 990_000}}}", "lease_seconds"),
    "a long exponent": ("engine: {lease_seconds: 1e999999999}", "lease_seconds"),
    "a long key": (f"{'k' * 990_000}: 1", "a colon is not allowed here"),
    "a long text": (f"syncs: '{'x' * 990_000}'", "must be a mapping"),
    "a number in base 60": ("engine: {lease_seconds: " + ":".join(["59"] * 300_000) + "}", "lease"),
    "variables": ("syncs: " + "${A:-" * 190_000, "${NAME}"),
    "many dollars": ("syncs: " + "${" * 490_000, "${NAME}"),
    "ten megabytes": ("# " + "x" * 10_000_000, "a config has at most 1000000"),
    "a Python object": ("syncs: !!python/object/apply:os.system ['echo bang']", "tag"),
    "a Python name": ("syncs: !!python/name:os.system", "tag"),
    "a Python tuple": ("syncs: !!python/tuple [1, 2]", "tag"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_config_bomb_is_refused(tmp_path: Path, name: str) -> None:
    content, reason = BOMBS[name]
    path = tmp_path / "config.yaml"
    path.write_text(content)
    said = said_of(path)
    assert reason in said
    assert "bang" not in said
    # What is said of a bomb is no bomb.
    assert len(said) < 10_000 or name == "anchors"
    assert all(line.startswith(f"{path}:") for line in said.splitlines())


@pytest.mark.parametrize("start", ["\ufeff", ""])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_problem_has_its_place_whatever_the_editor(
    tmp_path: Path, start: str, end: str
) -> None:
    path = tmp_path / "config.yaml"
    lines = ["warehouses: {}", "destinations: {}", "syncs:", "syncs: 1", "bad: 1", ""]
    path.write_bytes((start + end.join(lines)).encode())
    said = said_of(path)
    assert f"{path}:4:1: syncs: this key is in line 3 already" in said
    assert f"{path}:5:1: bad: unknown key" in said


# --- answers -------------------------------------------------------------------------------

ASK = """
import sys
from reverse_etl.connector import Request
from reverse_etl.delivery.http import HttpTransport
transport = HttpTransport(sys.argv[1], {"Api-Key": "k"}, 1, ["k" * 20])
transport.start(1, Request("GET", "/", "x"), 15)
answers = []
while not answers:
    answers = transport.wait(1)
answer = answers[0][1]
print(answer.json() if hasattr(answer, "json") else answer.reason)
transport.close()
"""

ANSWERS = {
    "deep lists": (b"[" * 9_000_000, {}, "None"),
    "deep objects": (b'{"a":' * 1_900_000, {}, "None"),
    "a number without end": (b"9" * 9_000_000, {}, "None"),
    "eleven megabytes": (b" " * 11_000_000, {}, "response larger than 10,000,000 bytes"),
    "a small archive": (
        gzip.compress(bytes(100_000_000)),
        {"Content-Encoding": "gzip"},
        "response larger than 10,000,000 bytes",
    ),
    "an archive of archives": (
        gzip.compress(gzip.compress(bytes(50_000_000))),
        {"Content-Encoding": "gzip, gzip"},
        "the answer is compressed in a way that was not asked for",
    ),
    "many small archives": (
        gzip.compress(b"x" * 1000) * 100_000,
        {"Content-Encoding": "gzip"},
        "response larger than 10,000,000 bytes",
    ),
    "many headers": (b"{}", {f"X-{n}": "y" * 50 for n in range(3_000)}, "the connection broke"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_bomb_for_an_answer_is_no_answer(peers: Peers, name: str) -> None:
    body, headers, expected = ANSWERS[name]
    peer = peers(lambda _: (200, headers, body))
    done = subprocess.run(
        [sys.executable, "-c", ASK, peer.url],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_limited,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip().startswith(expected)
