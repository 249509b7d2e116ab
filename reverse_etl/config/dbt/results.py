"""How a call of dbt ended, read from the ``run_results.json`` that it writes.

Source of the layout: https://docs.getdbt.com/reference/artifacts/run-results-json (``results``,
each with ``unique_id`` and ``status``, and ``args``: the command and its options).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reverse_etl.config.dbt.artifact import Kind, items, mapping, read_artifact, text
from reverse_etl.config.schema import DbtNode

RUN_RESULTS = Kind(
    "run-results",
    oldest=4,
    since="1.5",
    remedy="name the run_results.json that `dbt build` wrote",
)

# `dbt compile`, `dbt show` and `dbt docs generate` call everything a success, and build nothing.
_BUILDING = frozenset({"build", "run", "seed", "snapshot", "retry"})
# A warning is what the project wants to hear of and go on. What dbt reused was up to date.
_GOOD = frozenset({"success", "pass", "warn", "reused"})
_LEAVES_OUT_ROWS = ("empty", "sample")
_NAMED_TESTS = 3


@dataclass(frozen=True, slots=True)
class RunResults:
    """What became of the nodes of one call of dbt.

    Attributes:
        path: The file.
        invocation_id: Which call it was; empty when the file does not say.
        command: The command without ``dbt``, such as ``build``; empty when the file does not say.
        leaves_out: The option with which dbt builds tables without all their rows, else None.
        statuses: By unique id, only of what was executed.
    """

    path: Path
    invocation_id: str
    command: str
    leaves_out: str | None
    statuses: Mapping[str, str]

    def is_of(self, node: DbtNode) -> bool:
        """Return whether the call that wrote the manifest wrote this too, as far as is known."""
        known = self.invocation_id and node.invocation_id
        return not known or self.invocation_id == node.invocation_id

    def trouble(self, node: DbtNode) -> str | None:
        """Return why the table must not be trusted; None when it was built and its tests hold."""
        if self.command and self.command not in _BUILDING:
            return f"{self.path} is of `dbt {self.command}`, which builds no table"
        if self.leaves_out:
            return f"{self.path} is of a call with --{self.leaves_out}, which leaves out rows"
        status = self.statuses.get(node.unique_id)
        if status is None:
            return f"{node.unique_id} is not among what was built in {self.path}"
        if status not in _GOOD:
            return f"{node.unique_id} ended with {status!r} in {self.path}"
        return self._trouble_of_tests(node)

    def _trouble_of_tests(self, node: DbtNode) -> str | None:
        # A test that was wanted and could not run proves no more than one that failed.
        statuses = {key: self.statuses[key] for key in node.tests if key in self.statuses}
        bad = sorted(key for key, status in statuses.items() if status not in _GOOD)
        if not bad:
            return None
        named = ", ".join(f"{key} ended with {statuses[key]!r}" for key in bad[:_NAMED_TESTS])
        more = f", and {len(bad) - _NAMED_TESTS} more" if len(bad) > _NAMED_TESTS else ""
        return f"{node.unique_id} was built, but {named}{more} in {self.path}"


def read_run_results(path: Path) -> RunResults:
    """Read how a call of dbt ended.

    Raises:
        ValueError: The file cannot be used; the text has the next step.
    """
    content = read_artifact(path, RUN_RESULTS)
    args = mapping(content.get("args"))
    results = [mapping(result) for result in items(content.get("results"))]
    return RunResults(
        path=path,
        invocation_id=text(mapping(content["metadata"]).get("invocation_id")),
        command=_command(args),
        leaves_out=next((option for option in _LEAVES_OUT_ROWS if args.get(option)), None),
        statuses={text(one.get("unique_id")): text(one.get("status")) for one in results},
    )


def _command(args: Mapping[str, Any]) -> str:
    which = text(args.get("which"))
    return "docs generate" if which == "generate" else which
