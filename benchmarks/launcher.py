"""Run a command and report what it used; small, because its own memory is counted as well.

    python -S launcher.py REPORT PROGRAM ARGUMENT ...

Linux hands the peak of memory on to what a process starts (``exec`` keeps the mark of the memory
that it replaces), so a command started by something large would seem to be as large. Writes one
JSON array to the file REPORT: seconds by the clock, processor seconds, peak in kB, exit code.
"""

import os
import sys
import time

report, *command = sys.argv[1:]
started = time.perf_counter()
process = os.posix_spawnp(command[0], command, os.environ)
_, status, used = os.wait4(process, 0)
wall = time.perf_counter() - started
with open(report, "w", encoding="ascii") as file:  # noqa: PTH123 - pathlib is large
    code = os.waitstatus_to_exitcode(status)
    file.write(f"[{wall}, {used.ru_utime + used.ru_stime}, {used.ru_maxrss}, {code}]")
