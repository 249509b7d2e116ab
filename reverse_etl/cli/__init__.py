"""The command line: ``reverse-etl COMMAND``, and the script ``run-sync``.

Only this package turns an error into a line of text and an exit code. What a command needs of
the engine is imported inside it, so that ``reverse-etl --help`` stays quick and works without
any driver.

    app          the commands, and what becomes of an error
    session      the options that every command has; the config
    output       standard output and standard error
    signals      SIGINT and SIGTERM
    progress     bars on a terminal
    running      run-sync            preview_command  plan
    showing      status, runs, failures               checking  validate, schema
    check_command  check             lists_command    lists
    sandboxing   sandbox             demo             demo
"""

from __future__ import annotations

import sys


def main() -> int:
    """Run ``reverse-etl`` with the arguments of the process; return its exit code."""
    from reverse_etl.cli.app import run_process  # noqa: PLC0415 - importing a name costs nothing else

    return run_process(sys.argv[1:])


def run_sync_main() -> int:
    """Run ``run-sync``, the same as ``reverse-etl run-sync``; return its exit code."""
    from reverse_etl.cli.app import run_process  # noqa: PLC0415 - as above

    return run_process(["run-sync", *sys.argv[1:]], program="run-sync")
