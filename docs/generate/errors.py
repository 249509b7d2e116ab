"""Writes ``docs/errors.md``: every error code, from the modules that explain them.

Run it from the root of the repository, after a change of one of them:

    python docs/generate/errors.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from connectors.iterable import IterableConnector
from reverse_etl.error_codes import ERROR_CODES, ErrorCode

PAGE = Path(__file__).parents[1] / "errors.md"

_HEAD = """\
<!-- Made by docs/generate/errors.py of the modules that explain the codes: change those. -->

# Error codes

What stopped a run, or keeps a person out of step, has a code: in `error_code` of
[`sync_runs`, `sync_log` and `failed_records`](tables.md), of a `--json` document and of an
[alert](alerts.md), and as `code` of the exceptions that a program of yours gets. The reason in
words stands beside it, with names and values. Codes are added, never renamed. In the terminal:

```
$ reverse-etl explain-error not_found
```

Without a code it lists all of them, with those of other connectors that are installed. `SYNC`,
`DESTINATION` and `WAREHOUSE` stand for names in your config.
"""

_OF_RECORDS = """\
In `sync_log`, and in `failed_records` while the person is out of step. A run in which somebody
failed ends with exit code 3. *retryable* is the column of `failed_records`; where nothing stands
here, it depends, or there is no such record.
"""

_OF_RUNS = """\
*run*: in `sync_runs`, and in the JSON of the command. *command*: in the JSON of a command that
began no run. Exit codes of several syncs: the worst, in the order 2, 130/143, 1, 4, 5, 3, 0.
"""


def page() -> str:
    """Return the page."""
    own = IterableConnector.error_codes
    return "\n".join(
        [
            _HEAD,
            "## People",
            "",
            _OF_RECORDS,
            *_of_records(ERROR_CODES.values()),
            "",
            "## Runs and commands",
            "",
            _OF_RUNS,
            *_of_runs(ERROR_CODES.values()),
            "",
            "## Iterable: people",
            "",
            *_of_records(own),
            "",
            "## Iterable: runs and commands",
            "",
            *_of_runs(own),
            "",
        ]
    )


def _of_records(codes: Iterable[ErrorCode]) -> Iterator[str]:
    yield from _head("code", "meaning", "what to do", "by itself", "retryable")
    for each in codes:
        if "record" in each.places:
            retryable = {True: "yes", False: "no", None: ""}[each.retryable]
            yield _row(f"`{each.code}`", each.meaning, each.action, each.by_itself, retryable)


def _of_runs(codes: Iterable[ErrorCode]) -> Iterator[str]:
    yield from _head("code", "in", "meaning", "what to do", "by itself", "exit code")
    for each in codes:
        if "record" not in each.places:
            exits = ", ".join(map(str, each.exit_codes))
            where = ", ".join(each.places)
            yield _row(f"`{each.code}`", where, each.meaning, each.action, each.by_itself, exits)


def _head(*names: str) -> Sequence[str]:
    return _row(*names), "|" + "---|" * len(names)


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
