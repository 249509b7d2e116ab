"""The command line: ``reverse-etl COMMAND``, and the script ``run-sync``.

Only this package turns an error into a line of text and an exit code. What a command needs of
the engine is imported inside it, so that ``reverse-etl --help`` stays quick and works without
any driver.

    app          the commands, and what becomes of an error
    session      what commands share: options, arguments, the config
    completion   what a config names, for a shell
    output       standard output and standard error
    signals      SIGINT and SIGTERM
    progress     bars on a terminal
    running      run-sync            preview_command  plan
    showing      status, runs        checking         validate, schema
    failures_command  failures       retry_command    retry
    explain_command   explain        looking          what these share: reading tables of ours
    check_command  check             lists_command    lists
    notifications_command  test-notifications         explain_error_command  explain-error
    scheduling   run-due, serve, retain               logs      the log on standard error
    sandboxing   sandbox             demo             demo
    init_command  init: own_table (the proposal), starter (the texts), new_files (all or none)
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> NoReturn:
    """Run ``reverse-etl`` with the arguments of the process, and end it with the exit code."""
    from reverse_etl.cli.app import run_process  # noqa: PLC0415 - importing a name costs nothing else

    _end(run_process(sys.argv[1:]))


def run_sync_main() -> NoReturn:
    """Run ``run-sync``, the same as ``reverse-etl run-sync``, and end the process."""
    from reverse_etl.cli.app import run_process  # noqa: PLC0415 - as above

    _end(run_process(["run-sync", *sys.argv[1:]], program="run-sync"))


def _end(code: int) -> NoReturn:
    """End the process at once.

    A command has closed all that it opened. Taking the interpreter apart would only give memory
    back piece by piece, a sixth of the time of a run that has nothing to send (measured), and
    libraries would complain on the way about what they see disappear.
    """
    for stream in filter(None, (sys.stdout, sys.stderr)):
        # Whoever was reading has seen enough.
        with suppress(BrokenPipeError):
            stream.flush()
    os._exit(code)
