"""A database server of one's own as a process: who runs it, in which folder, and how it ends."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# The server ends, and its data go, when standard input closes: at the end of the block, but also
# when this process is killed. The arguments are the folder, the signal, and the server's command.
_SUPERVISOR = """
folder=$1; signal=$2; shift 2
"$@" & server=$!
cat > /dev/null
kill -"$signal" "$server" 2> /dev/null
wait "$server" 2> /dev/null
rm -rf "$folder"/*
"""


@contextmanager
def folder_for(server: str) -> Iterator[Path]:
    """Make a folder for a server's data, and remove it when the block ends."""
    folder = Path(tempfile.mkdtemp(prefix=f"reverse_etl_{server}_"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def who_runs(folder: Path) -> dict[str, Any]:
    """Give the folder to who runs the server, and return how ``subprocess`` becomes them.

    When the user is root that is somebody else, because database servers refuse to run as root.
    """
    if os.geteuid() != 0:
        return {"cwd": folder}
    account = pwd.getpwnam("nobody")
    os.chown(folder, account.pw_uid, account.pw_gid)
    return {
        "cwd": folder,
        "user": account.pw_uid,
        "group": account.pw_gid,
        "extra_groups": (),
    }


@contextmanager
def running(
    command: Sequence[str], folder: Path, runner: dict[str, Any], signal: str
) -> Iterator[Path]:
    """Run a server until the block ends.

    Args:
        command: The server.
        folder: Its folder; emptied when it ends.
        runner: Who runs it (:func:`who_runs`).
        signal: What ends it at once, as ``kill`` names it.

    Yields:
        The file with its log.
    """
    log = folder / "log"
    with log.open("wb") as written:
        process = subprocess.Popen(  # noqa: S603 - the caller's own command
            ["/bin/sh", "-c", _SUPERVISOR, "sh", str(folder), signal, *command],
            stdin=subprocess.PIPE,
            stdout=written,
            stderr=written,
            # Ctrl-C is for us, who then end the server in order.
            start_new_session=True,
            **runner,
        )
    with process:  # leaving it closes standard input and waits
        yield log


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
