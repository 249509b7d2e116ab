"""The table behind a dbt model, read from the ``manifest.json`` that dbt writes.

Source of the layout: https://docs.getdbt.com/reference/artifacts/manifest-json (``nodes``,
``sources``, ``disabled`` and ``unit_tests``, each by unique id).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from reverse_etl.config.dbt.artifact import Kind, items, mapping, read_artifact, text
from reverse_etl.config.schema import DbtNode

MANIFEST = Kind(
    "manifest",
    oldest=9,
    since="1.5",
    remedy="run `dbt build` in the dbt project, or set dbt_manifest to the file",
)

_TABLES = frozenset({"model", "seed", "snapshot"})  # what ref() finds
_TESTS = frozenset({"test"})  # unit tests have a section of their own

# Quoted as any engine quotes, or bare. A backslash would end a quote in some engines only.
_INSIDE = r"\\\0-\x1f\ud800-\udfff"
_PART = "|".join(
    (
        rf'"(?:[^"{_INSIDE}]|"")+"',
        rf"`(?:[^`{_INSIDE}]|``)+`",
        rf"\[[^\]{_INSIDE}]+\]",
        r"[\w$]+(?:-[\w$]+)*",
    )
)
_RELATION = re.compile(rf"(?:{_PART})(?:\.(?:{_PART})){{0,3}}")

# Adapter of dbt to the backends of SQLAlchemy URLs; one that is not here has its own name.
_BACKENDS = {
    "clickhouse": {"clickhouse", "clickhousedb", "chdb"},
    "databricks": {"databricks", "spark", "hive"},
    "mariadb": {"mariadb", "mysql"},
    "mysql": {"mariadb", "mysql"},
    "mysql5": {"mariadb", "mysql"},
    "postgres": {"postgresql", "postgres"},
    "spark": {"databricks", "spark", "hive"},
}


class Manifest:
    """The models, seeds and snapshots of a dbt project.

    Attributes:
        path: The file.
        adapter: What dbt calls the engine that it was written for; empty when it does not say.
    """

    def __init__(self, path: Path) -> None:
        """Read a manifest.

        Raises:
            ValueError: The file cannot be used; the text has the next step.
        """
        content = read_artifact(path, MANIFEST)
        metadata = mapping(content["metadata"])
        self.path = path
        self.adapter = text(metadata.get("adapter_type"))
        self._invocation_id = text(metadata.get("invocation_id"))
        nodes = {key: mapping(node) for key, node in mapping(content.get("nodes")).items()}
        disabled = mapping(content.get("disabled")).items()
        self._tables = _of_types(nodes.items(), _TABLES)
        self._disabled = _of_types(
            ((key, mapping(node)) for key, found in disabled for node in items(found)), _TABLES
        )
        self._sources = {
            key: mapping(node) for key, node in mapping(content.get("sources")).items()
        }
        self._tests = _tests_by_table(
            {**_of_types(nodes.items(), _TESTS), **mapping(content.get("unit_tests"))}
        )

    def is_for(self, backend: str) -> bool:
        """Return whether dbt quotes names as this engine does, as far as can be known.

        Args:
            backend: The name of the engine in a SQLAlchemy URL.
        """
        return not self.adapter or backend in _BACKENDS.get(self.adapter, {self.adapter})

    def find(self, name: str) -> DbtNode | None:
        """Return the table of that name; None when nothing has it.

        Args:
            name: As in dbt's ``ref``: ``name``, ``package.name``, either with ``.v2`` for a version
                that is not the latest; or the unique id.

        Raises:
            ValueError: Two packages have the name, or it has no table; the text has the next step.
        """
        found = [key for key, node in self._tables.items() if name in _names(key, node)]
        if len(found) > 1:
            raise ValueError(f"is in several packages; write one of: {', '.join(_told(found))}")
        if not found:
            self._refuse_unbuilt(name)
            return None
        (key,) = found
        return DbtNode(
            unique_id=key,
            relation=self._relation(self._tables[key]),
            tests=frozenset(self._tests.get(key, ())),
            invocation_id=self._invocation_id,
        )

    def like(self, name: str) -> list[str]:
        """Return the names to suggest for one that nothing has."""
        keys = self._tables
        short = {_short(key, node) for key, node in keys.items()}
        return sorted(short | {_qualified(key) for key in keys} if "." in name else short)

    def _relation(self, node: Mapping[str, Any]) -> str:
        if mapping(node.get("config")).get("materialized") == "ephemeral":
            raise ValueError("has no table: it is ephemeral; use a model that dbt materializes")
        relation = text(node.get("relation_name"))
        if not relation:
            raise ValueError(f"has no relation_name in {self.path}; {MANIFEST.remedy}")
        if not _RELATION.fullmatch(relation):
            raise ValueError(
                f"has a relation_name in {self.path} that is not the quoted name of a table; give "
                "it another alias in dbt, or write a query"
            )
        return relation

    def _refuse_unbuilt(self, name: str) -> None:
        if any(name in _names(key, node) for key, node in self._disabled.items()):
            raise ValueError("is disabled in the dbt project; enable it, or use another model")
        for key, node in self._sources.items():
            if name in _names_of_source(key):
                table = f"{node.get('schema')}.{node.get('identifier')}"
                raise ValueError(
                    f"is a source, which dbt reads and does not build; write table: {table}"
                )


def _of_types(
    nodes: Iterable[tuple[str, Mapping[str, Any]]], types: frozenset[str]
) -> dict[str, Mapping[str, Any]]:
    return {key: node for key, node in nodes if node.get("resource_type") in types}


def _tests_by_table(tests: Mapping[str, Any]) -> Mapping[str, set[str]]:
    """Return the tests of each table: those written at it, else those that read it.

    A test of a relationship reads a second table, and says nothing of that one.
    """
    found = defaultdict(set)
    for key, test in tests.items():
        attached = text(mapping(test).get("attached_node"))
        read = mapping(mapping(test).get("depends_on")).get("nodes")
        for table in [attached] if attached else items(read):
            found[text(table)].add(key)
    return found


def _names(key: str, node: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a table may be called; a bare name means the latest version, as in ``ref``."""
    name, package = text(node.get("name")), text(node.get("package_name"))
    version = node.get("version")
    yield key
    if version is not None:
        yield f"{name}.v{version}"
        yield f"{package}.{name}.v{version}"
    if version is None or str(version) == str(node.get("latest_version")):
        yield name
        yield f"{package}.{name}"


def _names_of_source(key: str) -> tuple[str, str, str]:
    """Return what a source may be called: ``source.package.source_name.table`` and shorter."""
    _, _, qualified = key.partition(".")
    return key, qualified, qualified.partition(".")[2]


def _short(key: str, node: Mapping[str, Any]) -> str:
    """Return the shortest name of a table."""
    return min(_names(key, node), key=len)


def _qualified(key: str) -> str:
    """Return a unique id without the type: ``package.name``, with the version if it has one."""
    return key.partition(".")[2]


def _told(keys: list[str]) -> list[str]:
    """Return names that are different, the shortest that can be."""
    names = sorted({_qualified(key) for key in keys})
    return names if len(names) == len(keys) else sorted(keys)


class Manifests:
    """Reads each manifest once."""

    def __init__(self) -> None:
        self._read: dict[Path, Manifest] = {}

    def at(self, path: Path) -> Manifest:
        """Return the manifest; raise ValueError as it does."""
        if path not in self._read:
            self._read[path] = Manifest(path)
        return self._read[path]
