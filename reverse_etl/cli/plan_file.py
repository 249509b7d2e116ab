"""The file between ``plan --out FILE`` and ``run-sync --plan FILE``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reverse_etl.errors import ConfigError

if TYPE_CHECKING:
    from datetime import datetime

    from reverse_etl.preview import Preview

FORMAT = "1."


@dataclass(frozen=True)
class PlanFile:
    """What a plan file says.

    Attributes:
        digest: Names the plan.
        full: Whether it is the plan of a full run.
    """

    digest: str
    full: bool


def write_plan_file(path: Path, preview: Preview, now: datetime) -> None:
    """Write a plan down. It holds counts and a digest, no personal data.

    Raises:
        ConfigError: The file cannot be written.
    """
    from reverse_etl.report import FORMAT_VERSION  # noqa: PLC0415 - loads pydantic

    report = preview.report.document()
    document = {
        "format_version": FORMAT_VERSION,
        "sync": report["sync"],
        "sync_type": "full" if preview.full else "incremental",
        "digest": preview.digest,
        "planned": report["planned"],
        "held": preview.held,
        "written_at": f"{now.replace(tzinfo=None).isoformat(timespec='seconds')}Z",
    }
    try:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be written ({error.strerror})"]) from None


def read_plan_file(path: Path, sync_name: str) -> PlanFile:
    """Read a plan file that must be of this sync.

    Raises:
        ConfigError: It cannot be read, is of another version, or of another sync.
    """
    found = _read(path, sync_name)
    version, digest = found.get("format_version"), found.get("digest")
    if not (isinstance(version, str) and isinstance(digest, str)):
        # Not in its place: it is a file of somebody's.
        new = _plan(Path("plan.json"), sync_name)
        raise ConfigError([f"{path}: is no plan file; write one with: {new}"])
    if not version.startswith(FORMAT):
        problem = f"{path}: has format {version}, this version reads {FORMAT}x"
        raise ConfigError([f"{problem}; write it again with: {_plan(path, sync_name)}"])
    if found.get("sync") != sync_name:
        problem = f"{path}: is a plan of sync {found.get('sync')}, not of {sync_name}"
        new = _plan(Path(f"{sync_name}.json"), sync_name)
        raise ConfigError([f"{problem}; write one with: {new}"])
    return PlanFile(digest, found.get("sync_type") == "full")


def _read(path: Path, sync_name: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        problem = f"{path}: cannot be read ({error.strerror})"
        new = _plan(path, sync_name)
        raise ConfigError([f"{problem}; write a plan with: {new}"]) from None
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _plan(path: Path, sync_name: str) -> str:
    return f"reverse-etl plan {sync_name} --out {path}"
