"""The command line of the sandbox."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .faults import Fault
from .people import PROJECT_TYPES
from .server import Sandbox
from .settings import MAX_FIELDS, MISMATCH_SCOPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

DEFAULT_PORT = 8765
DEFAULT_KEY = "sandbox-key"

_EXAMPLES = """\
examples:
  reverse-etl sandbox
  reverse-etl sandbox --port 8766 --project-type hybrid --latency-ms 200
exit codes: 0 after SIGINT or SIGTERM, 2 usage error or the port is taken"""


def serve(argv: Sequence[str]) -> int:
    """Run the sandbox until SIGINT or SIGTERM.

    Prints one line when it is ready: where it listens and how a config points at it.

    Args:
        argv: Arguments without the program's name; ``--help`` lists them.

    Returns:
        Exit code: 0 after a signal, 2 when the port is taken.

    Raises:
        SystemExit: After ``--help`` (0) or a faulty argument (2).
    """
    arguments = _parser().parse_args(argv)
    stop = threading.Event()
    sandbox = Sandbox(
        arguments.project_type,
        arguments.api_key,
        arguments.seed,
        faults=arguments.fault,
        rate_limit=arguments.rate_limit,
        latency_seconds=arguments.latency_ms / 1000,
        response_shape=arguments.response_shape,
        documented_limits=arguments.documented_limits,
        field_limit=arguments.field_limit,
        add_unrecognized_fields=arguments.unrecognized_fields == "add",
        type_mismatch=arguments.type_mismatch,
        visibility_lag_seconds=arguments.visibility_lag,
        new_list_lag_seconds=arguments.new_list_lag,
    )
    with _on_signal(stop.set):
        try:
            sandbox.start(arguments.port)
        except OSError as error:
            sys.stderr.write(
                f"cannot listen on 127.0.0.1:{arguments.port}: {error.strerror}; "
                "choose another port with --port\n"
            )
            return 2
        with sandbox:
            sys.stdout.write(_ready(sandbox.url, arguments.api_key))
            sys.stdout.flush()
            stop.wait()
    return 0


def _ready(url: str, api_key: str) -> str:
    key = DEFAULT_KEY if api_key == DEFAULT_KEY else "the key given with --api-key"
    return (
        f"Iterable sandbox ready at {url} - in the config's destination set "
        f"base_url: {url} and api_key: {key}\n"
    )


@contextmanager
def _on_signal(act: Callable[[], None]) -> Iterator[None]:
    """Act on SIGINT and SIGTERM within the block."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: act()) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _fault(text: str) -> Fault:
    try:
        return Fault.from_json(json.loads(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _not_negative(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        message = f"{text} is not a number of 0 or more"
        raise argparse.ArgumentTypeError(message)
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        message = f"{text} is not a number of 0 or more"
        raise argparse.ArgumentTypeError(message)
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="reverse-etl sandbox",
        description="A local stand-in for the Iterable API, on 127.0.0.1 only.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--port", type=int, default=DEFAULT_PORT, help="TCP port, 0 for a free one (%(default)s)")
    add("--project-type", choices=PROJECT_TYPES, default="email", help="default: %(default)s")
    add("--api-key", default=DEFAULT_KEY, metavar="KEY", help="accepted key (%(default)s)")
    add(
        "--rate-limit",
        type=_not_negative,
        default=0,
        metavar="N",
        help="requests a second for each endpoint, 0 for no limit (%(default)s)",
    )
    add("--documented-limits", action="store_true", help="also the documented ones: bulkUpdate 5/s")
    add("--latency-ms", type=_not_negative, default=0, metavar="MS", help="before each answer")
    add("--seed", type=int, default=0, help="decides every random choice (%(default)s)")
    add(
        "--response-shape",
        choices=("current", "old"),
        default="current",
        help="bodies of today, or those recorded in 2017 and 2021",
    )
    add(
        "--field-limit",
        type=_count,
        default=MAX_FIELDS,
        metavar="N",
        help="profile fields that the project may have (%(default)s)",
    )
    add(
        "--unrecognized-fields",
        choices=("add", "drop"),
        default="add",
        help="what happens to fields that the project does not know (%(default)s)",
    )
    add(
        "--type-mismatch",
        choices=MISMATCH_SCOPES,
        default="batch",
        help="a value of the wrong type refuses its batch or its user (%(default)s)",
    )
    add(
        "--visibility-lag",
        type=_not_negative,
        default=0,
        metavar="SECONDS",
        help="how long reads do not show a change, 2 to 12 at Iterable (%(default)s)",
    )
    add(
        "--new-list-lag",
        type=_not_negative,
        default=0,
        metavar="SECONDS",
        help="how long subscribe does not know a new list (%(default)s)",
    )
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="JSON",
        help='repeatable, e.g. {"action": "rate_limit", "match": "*", "times": 3}',
    )
    return parser
