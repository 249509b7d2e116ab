"""Files that are made together: all of them or none, and never in the place of another file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from reverse_etl.errors import ConfigError


@contextmanager
def new_files(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    """Make files in a folder, which is made if need be.

    Yields an empty folder to make them in. They are moved to their place when the block ends
    without an error, the first of ``names`` last: where that one is, all are.

    Raises:
        ConfigError: One of them is there already, or the folder cannot be written to; nothing
            was made.
    """
    refuse_taken(folder, names)
    try:
        was_there = folder.is_dir()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with _beside(folder) as workshop:
                yield workshop
                _move(workshop, folder, list(reversed(names)))
        except BaseException:
            if not was_there:
                with suppress(OSError):  # somebody else's file is in it by now
                    folder.rmdir()
            raise
    except OSError as error:
        why = error.strerror or type(error).__name__
        problem = f"{_named(folder)}nothing can be made there ({why})"
        raise ConfigError([f"{problem}; name another folder with --folder"]) from None


def refuse_taken(folder: Path, names: Sequence[str]) -> None:
    """Raise a ConfigError when one of the files is there, also as a link that leads nowhere."""
    taken = [name for name in names if os.path.lexists(folder / name)]
    if taken:
        are, them = ("is", "it") if len(taken) == 1 else ("are", "them")
        problem = f"{_named(folder)}{', '.join(taken)} {are} there already; nothing was written"
        way_out = f"move {them} away, or name another folder with --folder"
        raise ConfigError([f"{problem}: {way_out}"])


def _named(folder: Path) -> str:
    """Return the beginning of a message about a folder; where the user is needs no name."""
    return "" if folder == Path() else f"{folder}: "


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Yield an empty folder on the same file system; it is removed in the end."""
    workshop = Path(tempfile.mkdtemp(prefix=".reverse-etl-init-", dir=folder))
    try:
        yield workshop
    finally:
        shutil.rmtree(workshop)


def _move(workshop: Path, folder: Path, names: Sequence[str]) -> None:
    moved: list[Path] = []
    try:
        for name in names:
            _put(workshop / name, folder / name)
            moved.append(folder / name)
    except BaseException as error:
        for path in moved:
            path.unlink()
        if isinstance(error, FileExistsError):  # made by somebody else in the meantime
            refuse_taken(folder, names)
        raise


def _put(file: Path, place: Path) -> None:
    """Give a file a name that is free: unlike a rename, a link never replaces another file."""
    try:
        os.link(file, place)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        with place.open("xb") as copy:
            place.chmod(file.stat().st_mode & 0o777)
            copy.write(file.read_bytes())
