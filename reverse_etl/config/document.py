"""YAML text to plain values that remember where they stood and what was put into them.

Only what a config needs is read, by the rules of YAML 1.2: ``on``, ``no`` and ``12:30`` are
text, keys are text always. Whatever else YAML can do (object tags, endless aliases) is a fault.
PyYAML's own messages are never passed on, because they quote the file, and the file may hold a
secret.

``${NAME}`` and ``${NAME:-default}`` are replaced inside values after parsing, so that no
variable can add keys; ``$${`` stands for ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1_000_000
MAX_DEPTH = 50
MAX_VALUES = 200_000

KeyPath = tuple[str | int, ...]

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_RESOLVERS = {
    "bool": ("true|True|TRUE|false|False|FALSE", "tTfF"),
    "null": ("~|null|Null|NULL|", ["~", "n", "N", ""]),
    # A number with a leading zero or very many digits is a code, not a quantity: it stays text.
    "int": (r"[-+]?(?:0|[1-9][0-9]{0,17})", "-+0123456789"),
    "float": (
        r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?|[-+]?[0-9]+[eE][-+]?[0-9]{1,2}",
        "-+.0123456789",
    ),
    "merge": ("<<", "<"),
}
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")
_VARIABLE_BODY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.ASCII | re.DOTALL)

# The start of PyYAML's problem text (which may go on with a piece of the file) to our words.
_SYNTAX = (
    ("found character '\\t'", "a tab cannot indent; use spaces"),
    ("found character", "this character cannot start a value; put the value in quotes"),
    (
        "mapping values are not allowed",
        (
            "a colon is not allowed here; put the value in quotes, or check the indentation and "
            "the space after the colon of the key before"
        ),
    ),
    ("could not find expected ':'", "a colon is missing after a key of the lines above"),
    ("found unexpected end of stream", "a quote is opened and never closed"),
    ("found undefined alias", "this alias (*) has no anchor (&); put a value with * in quotes"),
    ("found unknown escape", "this escape is unknown in double quotes; use single quotes"),
    ("expected <block end>", "the indentation differs from that of the lines above"),
    (
        "expected ',' or",
        (
            "a comma or a closing bracket is missing; inside {…} and […], put a value with "
            "braces, such as ${NAME}, in quotes"
        ),
    ),
    ("but found another document", "a second document starts here; a config is one document"),
    ("second occurrence", "this anchor (&) is defined a second time; give it another name"),
)
_TOO_DEEP = f"values are nested more than {MAX_DEPTH} deep"
_SYNTAX_OTHERWISE = "this is not valid YAML; look at this line and the one before"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the file; both numbers start at 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong with one value.

    Attributes:
        position: Where it stands.
        path: Keys from the top of the file to it.
        message: What is wrong and the next step; never with a value in it.
    """

    position: Position
    path: KeyPath
    message: str


class UnreadableError(Exception):
    """The file cannot be read as YAML at all, so nothing else can be said about it."""

    def __init__(self, message: str, position: Position | None = None) -> None:
        """Say what is wrong, and where when that is known."""
        super().__init__(message)
        self.position = position


@dataclass(slots=True)
class Document:
    """The values of a config file and where each of them came from.

    Attributes:
        value: The top value: dicts, lists, text, numbers, booleans and None.
        positions: Where each value starts.
        keys: Where the key of each value starts; not for items of a list.
        variables: The environment variables (name to value) that were put into a value.
        templates: The text of these values as it stands in the file.
        faults: What is wrong so far.
    """

    value: Any = None
    positions: dict[KeyPath, Position] = field(default_factory=dict)
    keys: dict[KeyPath, Position] = field(default_factory=dict)
    variables: dict[KeyPath, dict[str, str]] = field(default_factory=dict)
    templates: dict[KeyPath, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def at(self, path: KeyPath) -> Any:  # noqa: ANN401 - anything a file may hold
        """Return the value at the path, or None where there is none."""
        value = self.value
        for part in path:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def deepest(self, path: KeyPath) -> KeyPath:
        """Return the longest start of the path that is in the file."""
        while path and path not in self.positions:
            path = path[:-1]
        return path

    def position(self, path: KeyPath) -> Position:
        """Return where to look: at the value if it is a scalar, else at its key."""
        found = self.deepest(path)
        if found in self.keys and isinstance(self.at(found), dict | list | None):
            return self.keys[found]
        return self.positions.get(found, Position(1, 1))


class _Loader(yaml.SafeLoader):
    """A safe loader with the scalar types of YAML 1.2 and a limit on nesting."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a node; PyYAML needs seconds to find out that it nests too deeply."""
        if self._depth > MAX_DEPTH:
            raise UnreadableError(_TOO_DEEP, _position(self.peek_event().start_mark))  # type: ignore[no-untyped-call]
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


for _name, (_pattern, _first) in _RESOLVERS.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), list(_first))


def decode(data: bytes) -> str:
    """Return the text of a config file.

    Raises:
        UnreadableError: It is too large, not UTF-8, or has a character YAML forbids.
    """
    if len(data) > MAX_BYTES:
        raise UnreadableError(f"the file has {len(data)} bytes; a config has at most {MAX_BYTES}")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableError("the file is saved as UTF-16; save it as UTF-8", Position(1, 1))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
    raise UnreadableError("the file is not UTF-8 from here on; save it as UTF-8", _end(before))


def parse(text: str, variables: Mapping[str, str]) -> Document:
    """Return the values of a config, with variables replaced.

    Faults of single values are collected in the document.

    Args:
        text: The whole file.
        variables: Environment variables.

    Raises:
        UnreadableError: The text is no YAML, or asks for an absurd amount of memory.
    """
    node = _compose(text)
    builder = _Builder(variables)
    if node is not None:
        builder.document.value = builder.build(node, (), 0)
    return builder.document


def interpolate(text: str, variables: Mapping[str, str]) -> tuple[str, dict[str, str]]:
    """Return the text with its variables replaced, and those variables with their values.

    Raises:
        ValueError: One of them is not set, or is not written as a variable.
    """
    used: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        if match[0] == "$${":
            return "${"
        body = _VARIABLE_BODY.fullmatch(match[1])
        if body is None or not match[2]:
            raise ValueError(
                "write a variable as ${NAME} or ${NAME:-default}, and a literal ${ as $${"
            )
        name, default = body.groups()
        value = variables.get(name)
        if not value and default is not None:
            return default
        if value is None:
            raise ValueError(
                f"the environment variable {name} is not set; set it, or write it into a file "
                ".env beside the config"
            )
        used[name] = value
        return value

    return _VARIABLE.sub(replace, text), used


def _compose(text: str) -> yaml.Node | None:
    """Return the node tree, or raise without a word of the file."""
    try:
        loader = _Loader(text)
        return loader.get_single_node()
    except yaml.reader.ReaderError as error:
        position = _end(text[: error.position])
        message = "this character is not allowed in YAML; write it as an escape in double quotes"
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        position = _position(mark) if mark is not None else Position(1, 1)
        message = _syntax_message(error.problem or "")
    except yaml.YAMLError:
        position, message = Position(1, 1), _SYNTAX_OTHERWISE
    # Raised outside of the handlers: the original error, which quotes the file, is not chained.
    raise UnreadableError(message, position)


def _syntax_message(problem: str) -> str:
    """Return our words for a problem of PyYAML."""
    return next((ours for start, ours in _SYNTAX if problem.startswith(start)), _SYNTAX_OTHERWISE)


def _position(mark: yaml.Mark) -> Position:
    """Return a mark of PyYAML, which counts from 0."""
    return Position(mark.line + 1, mark.column + 1)


def _end(text: str) -> Position:
    """Return the place right after the text."""
    lines = re.split(r"\r\n|\r|\n", text)
    return Position(len(lines), len(lines[-1]) + 1)


_Entries = dict[str, tuple[yaml.Node, yaml.Node]]


class _Builder:
    """Turns nodes into values; one use."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.document = Document()
        self._variables = variables
        self._values = 0

    def build(self, node: yaml.Node, path: KeyPath, depth: int) -> Any:  # noqa: ANN401
        """Return the value of a node and note where it stands."""
        self._count(node, depth)
        self.document.positions[path] = _position(node.start_mark)
        kind = node.tag.removeprefix(_TAG)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node.value, kind, path)
        if kind not in {"map", "seq"}:
            self._tag_fault(path)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, depth)
        return [self.build(item, (*path, i), depth + 1) for i, item in enumerate(node.value)]

    def _count(self, node: yaml.Node, depth: int) -> None:
        """Stop at what only an attack or a slip asks for; an alias of itself ends here too."""
        self._values += 1
        if depth > MAX_DEPTH:
            raise UnreadableError(_TOO_DEEP, _position(node.start_mark))
        if self._values > MAX_VALUES:
            message = f"aliases repeat the file to more than {MAX_VALUES} values"
            raise UnreadableError(message, _position(node.start_mark))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> dict[str, Any]:
        """Return a mapping; explicit keys win over merged ones (``<<``)."""
        result = {}
        for key, (key_node, value_node) in self._entries(node, path, depth).items():
            child = (*path, key)
            self.document.keys[child] = _position(key_node.start_mark)
            result[key] = self.build(value_node, child, depth + 1)
        return result

    def _entries(self, node: yaml.MappingNode, path: KeyPath, depth: int) -> _Entries:
        """Return key text to nodes, with merged mappings put in."""
        entries: _Entries = {}
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            self._count(key_node, depth)
            if key_node.tag == _MERGE:
                merged.append(value_node)
            elif not isinstance(key_node, yaml.ScalarNode):
                self._fault(key_node, path, "a key must be plain text")
            elif key_node.value in entries:
                first = _position(entries[key_node.value][0].start_mark)
                message = f"this key is in line {first.line} already; remove one of the two"
                self._fault(key_node, (*path, key_node.value), message)
            else:
                entries[key_node.value] = (key_node, value_node)
        for value_node in merged:
            for other in self._merged(value_node, path):
                inherited = self._entries(other, path, depth + 1)
                entries = {**entries, **{k: v for k, v in inherited.items() if k not in entries}}
        return entries

    def _merged(self, node: yaml.Node, path: KeyPath) -> Iterator[yaml.MappingNode]:
        """Yield the mappings behind a ``<<`` key."""
        for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if isinstance(item, yaml.MappingNode):
                yield item
            else:
                self._fault(item, path, "<< takes a mapping or a list of mappings, such as *name")

    def _scalar(self, text: str, kind: str, path: KeyPath) -> Any:  # noqa: ANN401
        """Return the value of a scalar of one of the five kinds."""
        if kind == "str":
            return self._text(text, path)
        # An explicit tag such as !!int may stand before any text, hence the second look.
        pattern = _RESOLVERS.get(kind)
        if pattern is None or kind == "merge" or not re.fullmatch(pattern[0], text):
            self._tag_fault(path)
            return text
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
        return None if kind == "null" else text.lower() == "true"

    def _text(self, text: str, path: KeyPath) -> str:
        """Return a text with its variables replaced, or as it is when that is impossible."""
        try:
            value, used = interpolate(text, self._variables)
        except ValueError as error:
            fault = Fault(self.document.positions[path], path, str(error))
            self.document.faults.append(fault)
            return text
        if "${" in text:
            self.document.templates[path] = text
            self.document.variables[path] = used
        return value

    def _tag_fault(self, path: KeyPath) -> None:
        """Note a tag; not which, for a key that starts with ``!`` reads as a tag."""
        message = "a YAML tag (!) is not accepted; remove it, or put the value in quotes"
        self.document.faults.append(Fault(self.document.positions[path], path, message))

    def _fault(self, node: yaml.Node, path: KeyPath, message: str) -> None:
        """Note a fault at a node."""
        self.document.faults.append(Fault(_position(node.start_mark), path, message))
