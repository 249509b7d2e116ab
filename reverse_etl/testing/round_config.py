"""The config of a played round: read from a file once, then changed in what rounds differ."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

from pydantic import SecretStr

from reverse_etl.config import Config, load_config
from reverse_etl.testing.destination import LIST_NAME
from reverse_etl.testing.histories import (
    LIST_ID,
    MAPPINGS,
    History,
    HybridSend,
    Object,
    ProjectType,
    Round,
    Row,
)
from reverse_etl.testing.place import (
    LEASE_SECONDS,
    MAX_IN_FLIGHT,
    RECORDS_PER_REQUEST,
    SYNC,
    Place,
)


def config_of(history: History, played: Round, place: Place) -> Config:
    """Return the config of a round."""
    name = history.by_name
    loaded = _loaded(
        history.object, history.project_type, history.hybrid_send, played.mapping, by_name=name
    )
    sync, account = loaded.syncs[SYNC], loaded.destinations["d"]
    source = sync.source.model_copy(update={"query": _query(played), "table": None})
    destination = sync.destination
    if history.object == "user":
        destination = destination.model_copy(update={"on_delete": played.on_delete})
    elif not history.by_name:
        chosen = destination.list.model_copy(update={"id": played.list_id})  # type: ignore[attr-defined]
        destination = destination.model_copy(update={"list": chosen})
    kept = {
        "snapshots_to_keep": played.snapshots_to_keep,
        "retain_sync_logs": played.retain_logs,
    }
    changed = {
        "source": source,
        "destination": destination,
        "mode": played.mode,
        "retry_failed_records": played.retry,
        "max_delete_percent": played.max_delete_percent,
        "observability": sync.observability.model_copy(update=kept),
    }
    urls = {"w": place.url}
    if place.control_url is not None:
        urls["c"] = place.control_url
    empty = loaded.warehouses["w"].model_copy(update={"schema_name": place.schema})
    warehouses = {n: empty.model_copy(update={"url": SecretStr(u)}) for n, u in urls.items()}
    if "c" in urls:
        warehouses["w"] = warehouses["w"].model_copy(update={"control": "c"})
    return replace(
        loaded,
        warehouses=warehouses,
        destinations={"d": account.model_copy(update={"retry_seconds": played.retry_seconds})},
        syncs={SYNC: sync.model_copy(update=changed)},
    )


@cache
def _loaded(
    synced: Object, kind: ProjectType, hybrid_send: HybridSend, mapping: str, *, by_name: bool
) -> Config:
    hybrid = f"\n    hybrid_send: {hybrid_send}" if kind == "hybrid" else ""
    chosen = f"{{name: {LIST_NAME}}}" if by_name else f"{{id: {LIST_ID}}}"
    target = f", list: {chosen}" if synced == "list" else ""
    identifiers = {
        "email": "{email: email}",
        "user_id": "{userId: user_id}",
        "hybrid": "{userId: user_id, email: email}",
    }[kind]
    mapped = ", ".join(f"{name}: {column}" for name, column in MAPPINGS[mapping].items())
    text = f"""
warehouses: {{w: {{url: "duckdb:///unused.duckdb"}}}}
destinations:
  d:
    type: iterable
    api_key: simulated
    project_type: {kind}{hybrid}
    requests_per_second: 0
    max_in_flight: {MAX_IN_FLIGHT}
    records_per_request: {RECORDS_PER_REQUEST}
engine: {{lease_seconds: {LEASE_SECONDS}, checkpoint_seconds: 1}}
syncs:
  {SYNC}:
    source: {{warehouse: w, table: replaced, primary_key: id}}
    destination: {{name: d, object: {synced}{target}}}
    identifiers: {identifiers}
    fields: {{{mapped}}}
"""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "config.yaml")
        path.write_text(text)
        return load_config(path, {})


def _query(played: Round) -> str:
    """Return a query that says just the rows of a round."""
    types = {"id": "integer", "email": "text", "user_id": "text"}
    types |= {"plan": played.plan_type, "tier": "text"}
    chosen = [
        "select " + ", ".join(_cell(row, name, kind) for name, kind in types.items())
        for row in played.rows or (Row(None, None, None, None, None),)
    ]
    return " union all ".join(chosen) + ("" if played.rows else " where false")


def _cell(row: Row, name: str, kind: str) -> str:
    value = getattr(row, name)
    shown = "null" if value is None else str(value) if name in {"id", "plan"} else f"'{value}'"
    return f"cast({shown} as {kind}) as {name}"
