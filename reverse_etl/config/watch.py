"""Whether a config has changed since it was read."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from reverse_etl.config.schema import Config

_Signs = dict[Path, tuple[int, int, int] | None]


class WatchedConfig:
    """A config on disk, with what is read beside it: ``.env``, key files, manifests of dbt."""

    def __init__(self, config: Config, load: Callable[[], Config]) -> None:
        """Start from a config that was just read.

        Args:
            config: The config.
            load: Reads it again; raises ConfigError when it cannot be used.
        """
        self._load = load
        self._read = self._seen = _signs(_files(config))

    def changed(self) -> Config | None:
        """Return the config when it has changed, once for each change; else None.

        A file that differs is read at the next look, if it stayed the same until then: it may be
        half written.

        Raises:
            ConfigError: It has changed, and cannot be used as it is.
        """
        before, self._seen = self._seen, _signs(self._seen)
        if self._seen == self._read or self._seen != before:
            return None
        self._read = self._seen
        config = self._load()
        # What was there before it was read counts: a file may have changed again since then.
        found = _signs(_files(config))
        self._read = self._seen = {file: self._seen.get(file, found[file]) for file in found}
        return config


def _files(config: Config) -> list[Path]:
    manifests = {s.source.dbt_manifest for s in config.syncs.values() if s.source.dbt_model}
    accounts = config.destinations.values()
    keys = {account.api_key_file for account in accounts if account.api_key_file}
    return [config.path, config.path.parent / ".env", *sorted(manifests | keys)]


def _signs(files: Iterable[Path]) -> _Signs:
    return {file: _sign(file) for file in files}


def _sign(file: Path) -> tuple[int, int, int] | None:
    """Return what tells one state of a file from another; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
