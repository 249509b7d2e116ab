"""docs/coming-from.md: its configs load, its sources are listed, and its way of moving in works."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from connectors.iterable.sandbox import Sandbox
from reverse_etl.audit import audit
from reverse_etl.config import Config, load_config
from reverse_etl.connector import Operation
from reverse_etl.report import RunSummary
from reverse_etl.run import Options, run_sync

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text(encoding="utf-8")
SYNC = "vip_customers"

# Ours are `yaml`; those of other tools are `yml`.
BLOCK = re.compile(r"^```yaml\n(.+?)^```", re.DOTALL | re.MULTILINE)
OURS: list[dict[str, Any]] = [yaml.safe_load(text) for text in BLOCK.findall(PAGE)]
WHOLE, PROFILES, ADOPTING = OURS


def load(folder: Path, document: dict[str, Any]) -> Config:
    """Load a config of the page; what begins with its syncs stands below the first one."""
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**WHOLE, **document}), encoding="utf-8")
    return load_config(path, {"ITERABLE_API_KEY": "sandbox-key", "PGPASSWORD": "secret"})


@pytest.mark.parametrize("document", OURS)
def test_our_configs_load(tmp_path: Path, document: dict[str, Any]) -> None:
    config = load(tmp_path, document)
    assert config.warnings == []
    for name in config.syncs:
        config.bind(name)


def test_configs_of_others_are_told_apart() -> None:
    theirs = re.findall(r"^```yml\n(.+?)\n", PAGE, re.DOTALL | re.MULTILINE)
    assert theirs
    assert [text for text in theirs if not text.startswith("# ")] == []


def test_each_source_is_listed_and_each_listed_one_is_used() -> None:
    body, sources = PAGE.split("\n## Sources\n")
    listed = set(re.findall(r"^\| ([A-Z]\d+) \|", sources, re.MULTILINE))
    assert set(re.findall(r"\[([A-Z]\d+)\]", body)) == listed


def test_people_who_were_left_behind_are_adopted_and_leave(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as shop:
        shop.execute(
            "create table customers as select n as customer_id, 'gold' as plan,"
            " 'p' || n || '@example.com' as email, n * 500 as lifetime_value"
            " from range(1, 9) as t(n)"
        )
        # Two of today, one who should have left long ago.
        shop.execute(
            "create table before as select 'P3@example.com' as email union all"
            " select 'p4@example.com' union all select 'left@example.com'"
        )
    with Sandbox() as sandbox:
        others = [*(f"p{n}@example.com" for n in (3, 4)), "left@example.com", "byhand@example.com"]
        target = sandbox.seed_list("VIP customers", others)

        def run(document: dict[str, Any]) -> RunSummary:
            return run_sync(here(document), SYNC, Options())

        def here(document: dict[str, Any]) -> Config:
            account = WHOLE["destinations"]["iterable"]
            sync = document["syncs"][SYNC]
            by_id = {"name": "iterable", "object": "list", "list": {"id": target}}
            return load(
                tmp_path,
                {
                    "warehouses": {"shop": {"url": "duckdb:///shop.duckdb"}},
                    "destinations": {"iterable": {**account, "base_url": sandbox.url}},
                    "syncs": {SYNC: {**sync, "destination": by_id}},
                },
            )

        assert run(ADOPTING).planned[Operation.INSERT] == 7
        assert run(WHOLE).planned[Operation.DELETE] == 1
        audited = audit(here(WHOLE), SYNC)
        members = sandbox.state.members(target)
    assert members == {*(f"p{n}@example.com" for n in range(3, 9)), "byhand@example.com"}
    assert (audited.wrong, audited.counts["extra_others"]) == (0, 1)
