"""Every error code that the source writes is explained, and nothing else is."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from connectors.iterable import IterableConnector
from reverse_etl.cli import app, stage
from reverse_etl.connector import Fatal, Outcome
from reverse_etl.delivery import sender
from reverse_etl.error_codes import ERROR_CODES, ErrorCode, Place
from reverse_etl.errors import Busy, ConfigError, Interrupted, ReverseEtlError, RunError
from reverse_etl.report import EXIT_CODES, RunSummary
from reverse_etl.settle import Ending
from sample_warehouse.build import SampleWarehouseError
from tests import documents

ROOT = Path(__file__).parents[2]
ITERABLE = {each.code: each for each in IterableConnector.error_codes}
EVERY = [*ERROR_CODES.values(), *ITERABLE.values()]
# `raise_for_status()` makes a code of the status of a run that stopped nowhere.
FROM_STATUS = {"completed_with_failures"}


# --- the source ----------------------------------------------------------------------------

CODE = re.compile(r"[a-z]+(_[a-z]+)*")
KEYS = {"code", "error_code"}
CARRIERS = (Fatal, Outcome, Ending, RunSummary, sender.Settled, sender.Delivery, sender._Halt)


def place_of_code(carrier: type) -> int:
    """Where a code stands among the positional arguments."""
    names = list(inspect.signature(carrier).parameters)
    return next(n for n, name in enumerate(names) if name in KEYS)


PLACES = {carrier.__name__: place_of_code(carrier) for carrier in CARRIERS}


class Module:
    """One file of the source."""

    def __init__(self, text: str, path: str = "") -> None:
        self.path = path
        self.nodes = list(ast.walk(ast.parse(text)))
        self.assigned: dict[str, list[ast.expr]] = {}
        for node in self.nodes:
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    if isinstance(target, ast.Name):
                        self.assigned.setdefault(target.id, []).append(node.value)

    def written(self) -> set[str]:
        """The codes that are raised or written here."""
        return {text for expression in self.places() for text in self.texts(expression)}

    def places(self) -> Iterator[ast.expr]:
        """Every expression whose value becomes a code."""
        for node in self.nodes:
            if isinstance(node, ast.ClassDef):
                yield from class_code(node)
            if isinstance(node, ast.Assign):
                yield from attribute_code(node)
            if isinstance(node, ast.Dict):
                pairs = zip(node.keys, node.values, strict=True)
                yield from (v for k, v in pairs if isinstance(k, ast.Constant) and k.value in KEYS)
            if isinstance(node, ast.Call):
                yield from (each.value for each in node.keywords if each.arg in KEYS)
                place = PLACES.get(called(node))
                if place is not None:
                    yield from node.args[place : place + 1]
                if isinstance(node.func, ast.Attribute) and is_label_of_code(node):
                    yield from self.literals(node.func.value)

    def texts(self, expression: ast.expr) -> Iterator[str]:
        """The texts that an expression may be; what is handed on has been looked at elsewhere."""
        if isinstance(expression, ast.Constant) and isinstance(expression.value, str):
            yield expression.value
        elif isinstance(expression, ast.IfExp):
            yield from self.texts(expression.body)
            yield from self.texts(expression.orelse)
        elif isinstance(expression, ast.BoolOp):
            for value in expression.values:
                yield from self.texts(value)
        elif isinstance(expression, ast.Name):
            if expression.id.isupper() and expression.id not in self.assigned:
                yield f"{expression.id} of another module"
            for value in self.assigned.get(expression.id, ()):
                yield from self.texts(value)

    def literals(self, expression: ast.expr) -> Iterator[ast.expr]:
        """The literals of SQL within an expression, or within what has its name."""
        named = self.assigned.get(expression.id, []) if isinstance(expression, ast.Name) else []
        for node in (node for each in (expression, *named) for node in ast.walk(each)):
            if isinstance(node, ast.Call) and called(node) in {"literal", "word"}:
                yield from node.args[:1]

    def asked_for(self) -> Iterator[str]:
        """The codes that something is compared with."""
        for node in self.nodes:
            if isinstance(node, ast.Compare) and name_of(node.left) in KEYS:
                for each in ast.walk(node.comparators[0]):
                    if isinstance(each, ast.Constant) and CODE.fullmatch(str(each.value)):
                        yield str(each.value)

    def outcomes(self) -> Iterator[tuple[str, bool]]:
        """The codes of failures, each with whether it is retryable."""
        for node in self.nodes:
            if isinstance(node, ast.Call) and called(node) == "Outcome":
                given = {str(each.arg): each.value for each in node.keywords}
                arguments = inspect.signature(Outcome).bind_partial(*node.args, **given).arguments
                retryable = arguments.get("retryable", ast.Constant(value=False))
                if isinstance(retryable, ast.Constant) and "succeeded" not in ast.dump(node):
                    for code in self.texts(arguments["code"]):
                        yield code, bool(retryable.value)


def class_code(node: ast.ClassDef) -> Iterator[ast.expr]:
    """The attribute that the kinds of error have."""
    for statement in node.body:
        if isinstance(statement, ast.Assign) and name_of(statement.targets[0]) == "code":
            yield statement.value
        if isinstance(statement, ast.AnnAssign) and name_of(statement.target) == "code":
            yield from filter(None, [statement.value])


def attribute_code(node: ast.Assign) -> Iterator[ast.expr]:
    """What is assigned to a code of an object, alone or beside others."""
    (target,) = node.targets[:1]
    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
        pairs = list(zip(target.elts, node.value.elts, strict=True))
    else:
        pairs = [(target, node.value)]
    yield from (v for t, v in pairs if isinstance(t, ast.Attribute) and t.attr in KEYS)


def called(node: ast.Call) -> str:
    return name_of(node.func)


def name_of(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def is_label_of_code(node: ast.Call) -> bool:
    """Whether a call names a column: ``….label("error_code")``."""
    label = node.args[0] if node.args and called(node) == "label" else None
    return isinstance(label, ast.Constant) and str(label.value).removeprefix("_") in KEYS


def modules(*folders: str) -> list[Module]:
    """The source under some folders, but for what only tests use and what plays the API."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    unwanted = (ROOT / "reverse_etl" / "testing", ROOT / "connectors" / "iterable" / "sandbox")
    return [
        Module(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT)))
        for path in paths
        if path.name != "error_codes.py" and not any(path.is_relative_to(each) for each in unwanted)
    ]


ENGINE = modules("reverse_etl", "sample_warehouse")
CONNECTOR = modules("connectors/iterable")


def unexplained(source: list[Module], *known: object) -> dict[str, str]:
    """The codes that nobody explains, each with its file."""
    explained = {code for codes in known for code in codes}  # type: ignore[attr-defined]
    return {code: m.path for m in source for code in m.written() if code not in explained}


def test_every_code_of_the_engine_is_explained() -> None:
    assert unexplained(ENGINE, ERROR_CODES) == {}


def test_every_code_of_the_connector_is_explained() -> None:
    assert unexplained(CONNECTOR, ERROR_CODES, ITERABLE) == {}


def test_no_code_is_explained_that_nobody_writes() -> None:
    by_engine = {code for module in ENGINE for code in module.written()}
    by_connector = {code for module in CONNECTOR for code in module.written()}
    assert set(ERROR_CODES) - by_engine - by_connector == FROM_STATUS
    assert set(ITERABLE) - by_connector == set()


def test_codes_that_are_compared_with_exist() -> None:
    asked = {(code, m.path) for m in (*ENGINE, *CONNECTOR) for code in m.asked_for()}
    assert {code for code, _ in asked} >= {"unknown", "unavailable", "older_tables"}
    assert {pair for pair in asked if pair[0] not in {*ERROR_CODES, *ITERABLE}} == set()


def test_retryable_is_as_in_the_source() -> None:
    found = {pair for m in (*ENGINE, *CONNECTOR) for pair in m.outcomes()}
    assert ("not_found", True) in found
    for code, retryable in found:
        assert ERROR_CODES[code].retryable in {None, retryable}, code
    both = {code for code, retryable in found if (code, not retryable) in found}
    assert [code for code in both if ERROR_CODES[code].retryable is not None] == []


@pytest.mark.parametrize(
    "planted",
    [
        'class Odd(RunError):\n    code = "planted"',
        'class Odd(RunError):\n    code: ClassVar[str] = "planted"',
        'raise WarehouseError("no", code="planted")',
        'raise WarehouseError("no", code="busy" if locked else "planted")',
        'raise Fatal("planted", "no")',
        'def f():\n    code = "busy" if locked else "planted"\n    raise Fatal(code, "no")',
        'PLANTED = "planted"\nreturn_ = Outcome("rejected", PLANTED, "no")',
        'Outcome("rejected", code="planted")',
        'RunSummary(name, status="failed", error_code="planted")',
        'values = {"error_code": "planted", "error": "no"}',
        'report.error_code = "planted"',
        'report.status, report.error_code = "skipped", "planted"',
        'rows = select(literal("planted").label("_error_code"))',
        'P = "planted"\nrows = case((a, literal(P)), else_=b).label("error_code")',
        'P = "planted"\ncode = case((a, literal(P)))\nselect(code.label("_error_code"))',
    ],
)
def test_a_code_that_nobody_explains_is_found(planted: str) -> None:
    assert unexplained([Module(planted, "odd.py")], ERROR_CODES) == {"planted": "odd.py"}


def test_a_code_from_another_module_is_not_overlooked() -> None:
    module = Module('from other import PLANTED\nraise RunError("no", code=PLANTED)', "odd.py")
    assert unexplained([module], ERROR_CODES) == {"PLANTED of another module": "odd.py"}


# --- what is said of them ------------------------------------------------------------------


@pytest.mark.parametrize("each", EVERY, ids=[each.code for each in EVERY])
def test_a_code_is_explained_in_whole_sentences(each: ErrorCode) -> None:
    assert CODE.fullmatch(each.code)
    assert each.places
    assert set(each.places) <= set(get_args(Place))
    for text in (each.summary, each.meaning, each.action, each.by_itself):
        assert re.fullmatch(r"[A-Zr`].+\.", text), text
        assert text.count("`") % 2 == 0
        assert "\n" not in text
        assert "  " not in text
    assert len(each.summary) <= 100
    assert each.meaning.startswith(each.summary.removesuffix("."))


def test_no_connector_redefines_a_code_of_the_contract() -> None:
    assert set(ITERABLE) & set(ERROR_CODES) == set()


def test_the_commands_that_are_named_exist() -> None:
    group: Any = typer.main.get_command(app._app())
    texts = " ".join(f"{each.meaning} {each.action} {each.by_itself}" for each in EVERY)
    named = [line.split() for line in re.findall(r"`reverse-etl ([^`]+)`", texts)]
    assert len(named) > 40
    for command, *words in named:
        options = {option for each in group.commands[command].params for option in each.opts}
        assert {word for word in words if word.startswith("-")} <= options, command
        places = {word for word in words if word.isupper()}
        assert places <= {"SYNC", "DESTINATION", "WAREHOUSE", "FILE", "PORT"}, words


def test_exit_codes_are_those_of_the_errors() -> None:
    kinds = kinds_of(ReverseEtlError)
    assert {Busy, ConfigError, stage.StoryError, SampleWarehouseError} <= kinds
    for kind in kinds - {Interrupted}:  # its run tells which signal it was
        assert ERROR_CODES[kind.code].exit_codes == (kind.exit_code,), kind
    assert ERROR_CODES["interrupted"].exit_codes == (EXIT_CODES["interrupted"], 143)
    for status in ("held", "busy", "completed_with_failures"):
        assert ERROR_CODES[status].exit_codes == (EXIT_CODES[status],)


def kinds_of(kind: type[ReverseEtlError]) -> set[type[ReverseEtlError]]:
    ours = ("reverse_etl.", "sample_warehouse.")
    found = {kind}.union(*map(kinds_of, kind.__subclasses__()))
    return {each for each in found if each.__module__.startswith(ours)}


def test_a_status_becomes_a_code_for_programs() -> None:
    (status,) = FROM_STATUS
    with pytest.raises(RunError) as raised:
        RunSummary("people", status=status).raise_for_status()
    assert raised.value.code == status


# --- the page ------------------------------------------------------------------------------


def test_the_page_is_made_of_the_codes() -> None:
    path = ROOT / "docs" / "generate" / "errors.py"
    spec = importlib.util.spec_from_file_location("errors_page", path)
    assert spec is not None
    assert spec.loader is not None
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)
    page = generator.page()
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == page, (
        "make it anew: python docs/generate/errors.py"
    )
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert sorted(rows) == sorted(each.code for each in EVERY)


# --- the command ---------------------------------------------------------------------------


def test_a_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explain-error", "not_found"]) == 0
    shown = capsys.readouterr().out
    explained = ERROR_CODES["not_found"]
    for text in (explained.meaning, explained.action, explained.by_itself):
        assert text in shown
    assert shown.startswith("not_found\n")
    assert re.search(r"exit code +3\n +retryable +yes\n$", shown)


def test_a_code_of_a_connector_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explain-error", "unauthorized"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("unauthorized (of the connector iterable)\n")
    assert re.search(r"exit code +1\n$", shown)


def test_a_code_without_an_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explain-error", "killed"]) == 0
    assert capsys.readouterr().out.endswith("exit code   none of ours\n")


def test_all_codes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explain-error"]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("of the connector iterable:")
    listed, own = lines[1 : start - 1], lines[start + 2 :]
    assert [line.split()[0] for line in listed] == list(ERROR_CODES)
    assert [line.split()[0] for line in own] == list(ITERABLE)
    for line, each in zip([*listed, *own], EVERY, strict=True):
        assert line.endswith(each.summary)


def test_codes_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["explain-error", "unknown_list", "--json"]) == 0
    explained = ITERABLE["unknown_list"]
    assert documents.read(["explain-error"], capsys.readouterr().out) == {
        "format_version": "1.0",
        "codes": [
            {
                "code": "unknown_list",
                "connector": "iterable",
                "places": ["run", "command"],
                "meaning": explained.meaning,
                "action": explained.action,
                "by_itself": explained.by_itself,
                "retryable": None,
                "exit_codes": [1],
            }
        ],
    }
    assert app.run(["explain-error", "--json"]) == 0
    codes = documents.read(["explain-error"], capsys.readouterr().out)["codes"]
    assert [each["code"] for each in codes] == [each.code for each in EVERY]


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("notfound", "there is no error code 'notfound': did you mean not_found?"),
        ("Unauthorised", "there is no error code 'Unauthorised': did you mean unauthorized?"),
        ("zzz", "there is no error code 'zzz'."),
    ],
)
def test_a_code_that_does_not_exist(
    capsys: pytest.CaptureFixture[str], code: str, hint: str
) -> None:
    assert app.run(["explain-error", code, "--json"]) == 2
    shown = capsys.readouterr()
    (problem,) = documents.read(["explain-error"], shown.out)["problems"]
    assert f"{hint} `reverse-etl explain-error` lists them all" in problem
    assert hint in shown.err


CONNECTOR_OF_OTHERS = """
from reverse_etl.connector import Connector
from reverse_etl.error_codes import ErrorCode
class Found(Connector):
    error_codes = (ErrorCode("unauthorized", ("run",), "Theirs.", "Ask.", "Nothing."),)
"""


def test_connectors_of_others_are_asked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each may have the same code; one that is broken costs the others nothing."""
    (tmp_path / "connector_of_others.py").write_text(CONNECTOR_OF_OTHERS)
    info = tmp_path / "of_others-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: of-others\nVersion: 1.0\n")
    entries = "other = connector_of_others:Found\nbroken = connector_of_nobody:Found\n"
    (info / "entry_points.txt").write_text(f"[reverse_etl.connectors]\n{entries}")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert app.run(["explain-error", "unauthorized", "--json"]) == 0
    shown = capsys.readouterr()
    found = documents.read(["explain-error"], shown.out)["codes"]
    assert [(each["connector"], each["meaning"][:6]) for each in found] == [
        ("iterable", ITERABLE["unauthorized"].meaning[:6]),
        ("other", "Theirs"),
    ]
    assert "warning: the connector broken of of-others cannot be used" in shown.err


def test_help_says_where_codes_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["run-sync", "--help"]):
        assert app.run(words) == 0
        assert "reverse-etl explain-error CODE" in capsys.readouterr().out
