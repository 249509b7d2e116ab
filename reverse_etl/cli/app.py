"""The commands put together, and what becomes of an error."""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from reverse_etl.cli import (
    audit_command,
    check_command,
    checking,
    demo,
    explain_command,
    explain_error_command,
    failures_command,
    init_command,
    lists_command,
    move_command,
    notifications_command,
    preview_command,
    retry_command,
    running,
    sandboxing,
    scheduling,
    showing,
)
from reverse_etl.cli.logs import LogFormat, start_log
from reverse_etl.cli.output import Output, take_over_streams
from reverse_etl.cli.session import ConfigOption, JsonOption, Session, session_of
from reverse_etl.errors import ConfigError, ReverseEtlError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# Typer brings its own copy of click, or uses the one installed, depending on its version.
_UsageError: Any = typer.BadParameter.__bases__[0]

_HELP = "Keep an audience in a marketing tool equal to a query in your warehouse."
_EXIT_CODES = """\b
Exit codes:
  0  done, nothing failed           1  the run failed
  2  usage or config error          3  done, some records failed
  4  held by the brake              5  busy: another run is active
  130, 143  interrupted, state safe
Several syncs: the worst, in the order 2, 130/143, 1, 4, 5, 3, 0.
What an error_code means, and what to do: reverse-etl explain-error CODE"""
_HELP_OPTIONS = ["-h", "--help"]


def _app() -> typer.Typer:
    app = typer.Typer(
        help=_HELP,
        epilog=_EXIT_CODES,
        no_args_is_help=True,
        invoke_without_command=True,
        # Rich would be loaded for a help text, and would show local variables in tracebacks.
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": _HELP_OPTIONS},
    )
    app.callback()(_global_options)
    app.command("init", epilog=init_command.EXAMPLE)(init_command.init)
    app.command("demo", epilog=demo.EXAMPLE)(demo.demo)
    app.command("validate", epilog=checking.VALIDATE_EXAMPLE)(checking.validate)
    app.command("check", epilog=check_command.EXAMPLE)(check_command.check)
    app.command("plan", epilog=preview_command.EXAMPLE)(preview_command.plan)
    app.command("run-sync", epilog=f"{running.EXAMPLE}\n\n{_EXIT_CODES}")(running.run_sync)
    app.command("run-due", epilog=scheduling.DUE_EXAMPLE)(scheduling.run_due)
    app.command("serve", epilog=scheduling.SERVE_EXAMPLE)(scheduling.serve)
    app.command("audit", epilog=audit_command.EXAMPLE)(audit_command.audit)
    app.command("status", epilog=showing.STATUS_EXAMPLE)(showing.status)
    app.command("runs", epilog=showing.RUNS_EXAMPLE)(showing.runs)
    app.command("explain", epilog=explain_command.EXAMPLE)(explain_command.explain)
    app.command("failures", epilog=failures_command.EXAMPLE)(failures_command.failures)
    app.command("retry", epilog=retry_command.EXAMPLE)(retry_command.retry)
    app.command("explain-error", epilog=explain_error_command.EXAMPLE)(
        explain_error_command.explain_error
    )
    app.command("retain", epilog=scheduling.RETAIN_EXAMPLE)(scheduling.retain)
    app.command("lists", epilog=lists_command.EXAMPLE)(lists_command.lists)
    app.command("move", epilog=move_command.EXAMPLE)(move_command.move)
    app.command("test-notifications", epilog=notifications_command.EXAMPLE)(
        notifications_command.send_test
    )
    app.command(
        "sandbox",
        epilog=sandboxing.EXAMPLE,
        add_help_option=False,
        context_settings=sandboxing.TAKES_ANYTHING,
    )(sandboxing.sandbox)
    app.command("schema", epilog=checking.SCHEMA_EXAMPLE)(checking.schema)
    return app


def run_process(arguments: Sequence[str], program: str = "reverse-etl") -> int:
    """Run a command line as a process of its own; return the exit code."""
    # A plan, a log, a warehouse: what is made here may name people, so it is its owner's only.
    os.umask(0o077)
    stdout = take_over_streams()
    output = Output()

    def on_thread(ended: threading.ExceptHookArgs) -> None:
        # Python's own hook would print what the error says.
        if ended.exc_value is not None:
            output.bug(ended.exc_value)

    threading.excepthook = on_thread
    code = run(arguments, program, output)
    sys.stdout.flush()
    if stdout.failure is None:
        return code
    output.note(
        f"standard output could not be written ({stdout.failure}): some of it is missing. The "
        "command was not broken off by that; make room, or send its output elsewhere",
        "error",
    )
    from reverse_etl.report import worst  # noqa: PLC0415 - loads pydantic

    return worst([code, 1])


def run(
    arguments: Sequence[str], program: str = "reverse-etl", output: Output | None = None
) -> int:
    """Run a command line; return the exit code.

    Args:
        arguments: Without the program's name.
        program: The name in help texts; ``run-sync`` stands for ``reverse-etl run-sync``.
        output: Where to say things; None for standard output and standard error.
    """
    _never_fail_to_encode()
    session = Session(output or Output())
    command: Any = typer.main.get_command(_app())
    if program != "reverse-etl":
        command, arguments = command.commands[arguments[0]], arguments[1:]
    try:
        code = command.main(
            args=list(arguments),
            prog_name=program,
            standalone_mode=False,
            obj=session,
            help_option_names=_HELP_OPTIONS,
        )
    except Exception as error:  # noqa: BLE001 - the end of the line for every error
        return _explain(error, session, arguments)
    return code if isinstance(code, int) else 0


def _global_options(
    ctx: typer.Context,
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    session = session_of(ctx, config, as_json=as_json)
    start_log(session.output, LogFormat.TEXT, every_run=False)
    if version:
        _say_version(session)
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        raise _UsageError("name a command", ctx=ctx)


def _say_version(session: Session) -> None:
    from importlib.metadata import version  # noqa: PLC0415 - slow to import

    found = version("reverse-etl")
    session.output.say(f"reverse-etl {found}")
    session.output.document({"version": found})


def _explain(error: Exception, session: Session, arguments: Sequence[str]) -> int:
    """Say what went wrong; return the exit code."""
    output = session.output
    if isinstance(error, _UsageError):
        return _explain_usage(error, session, arguments)
    if isinstance(error, ConfigError):
        for problem in error.problems:
            output.note(problem, "error")
        output.document(
            {"error_code": error.code, "error": str(error), "problems": error.problems},
        )
        return error.exit_code
    if isinstance(error, ReverseEtlError):
        output.note(str(error), "error")
        output.document({"error_code": error.code, "error": str(error)})
        return error.exit_code
    if isinstance(error, typer.Abort | KeyboardInterrupt):
        return EXIT_INTERRUPTED
    output.bug(error)
    output.document({"error_code": "bug", "error": f"a bug: {type(error).__name__}"})
    return 1


def _explain_usage(error: Any, session: Session, arguments: Sequence[str]) -> int:  # noqa: ANN401
    error.show(file=sys.stderr)
    # The option itself may not have been reached.
    session.take(None, as_json="--json" in arguments)
    session.output.document({"error_code": "usage_error", "problems": [error.format_message()]})
    return EXIT_USAGE


def _never_fail_to_encode() -> None:
    """Spell out what a terminal's encoding lacks: a name is no reason to fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
