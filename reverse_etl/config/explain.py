"""Faults of a config as finished lines: where, which key, what is wrong, what to do.

Three things are never written: a secret, a value that came from the environment, and a value
whose key is unknown (a key that is misspelt may well have been ``api_key``).
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, SecretStr

from reverse_etl.config.document import Document, KeyPath, Position
from reverse_etl.config.schema import did_you_mean

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_SHOWN_CHARACTERS = 60
_MIN_REDACTED = 6  # a shorter text may be part of an ordinary word
_SECRET_KEY = re.compile(
    r"(?:^|_)(?:api_?key|secret|token|password|credentials?|url)$", re.IGNORECASE
)
# A key that slipped into the place of a name, as in ${…}: long, without a break, with a digit.
_LOOKS_SECRET = re.compile(r"(?=[A-Za-z]*[0-9])[A-Za-z0-9]{24,}…?")


_EXPECTED = {
    "string_type": "text",
    "string_sub_type": "text",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of a sensible size",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "number_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping of keys to values",
    "mapping_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dataclass_type": "a mapping of keys to values",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "frozen_set_type": "a list",
    "path_type": "a path",
}
_LIMITS = {
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match {pattern}",
}


class Problems:
    """Collects what is wrong, in any order; gives out lines in file order.

    Attributes:
        file: Name of the file, as the user wrote it.
        document: The values and their positions.
    """

    def __init__(self, file: str, document: Document) -> None:
        self.file = file
        self.document = document
        self._found: dict[tuple[Position, str], list[str]] = {}
        self._faulty = {fault.path for fault in document.faults}
        self._secrets: dict[str, str] = {}
        for fault in document.faults:
            self._note(fault.position, fault.path, fault.message)

    def hide(self, value: str, name: str) -> None:
        """Make sure that this value is replaced by ``name`` in every message."""
        if len(value) >= _MIN_REDACTED:
            self._secrets[value] = name

    def add(self, path: KeyPath, message: str, *, on_key: bool = False) -> None:
        """Note a problem of the value at the path, or of its key.

        A value with an earlier fault (a missing variable, a tag) is not what the user meant,
        so what else is wrong with it is not said.
        """
        if self.document.deepest(path) in self._faulty:
            return
        position = self.document.position(path)
        if on_key:
            position = self.document.keys.get(path, position)
        self._note(position, path, message)

    def add_foreign(self, path: KeyPath, message: str) -> None:
        """Note a problem in the words of a connector, without what came from the environment."""
        self.add(path, self._scrub(message, path))

    def add_details(
        self, model: type[BaseModel], details: Sequence[ErrorDetails], base: KeyPath
    ) -> None:
        """Note what pydantic found in the section at ``base``."""
        places = {detail["loc"] for detail in details}
        for detail in details:
            # pydantic calls a list too short when its entries are faulty, which says nothing.
            inside = any(place[:-1] == detail["loc"] for place in places)
            if not (inside and detail["type"] == "too_short"):
                self._add_detail(model, detail, base)

    def line(self, path: KeyPath, message: str) -> str:
        """Return a finished line about the value at the path, for a warning."""
        return self._line(self.document.position(path), show_path(path), message)

    def lines(self) -> list[str]:
        """Return one finished line for each problem, in file order."""
        return [
            self._line(position, where, _joined(messages))
            for (position, where), messages in sorted(self._found.items())
        ]

    def _note(self, position: Position, path: KeyPath, message: str) -> None:
        messages = self._found.setdefault((position, show_path(path)), [])
        if message not in messages:
            messages.append(message)

    def _line(self, position: Position, where: str, message: str) -> str:
        for value, name in self._secrets.items():
            message = message.replace(value, name)
        text = _LOOKS_SECRET.sub("…", f"{where}: {message}" if where else message)
        return f"{self.file}:{position.line}:{position.column}: {text}"

    def _add_detail(self, model: type[BaseModel], detail: ErrorDetails, base: KeyPath) -> None:
        """Translate one finding of pydantic."""
        kind, loc = detail["type"], detail["loc"]
        path = self._resolve(base, loc)
        if kind == "union_tag_invalid":
            path = self._resolve(path, ("type",))
        if kind == "extra_forbidden":
            known = sorted(_keys_at(model, loc[:-1]))
            self.add(path, f"unknown key; {_known_key(str(loc[-1]), known)}", on_key=True)
        elif kind == "missing":
            self.add((*path, loc[-1]), "this key is required")
        else:
            secret = _is_secret(model, loc)
            shown = show_value(self.document, path, secret=secret)
            message = self._scrub(_message(detail, self.document.at(path), shown), path)
            self.add(path, message)

    def _scrub(self, message: str, path: KeyPath) -> str:
        """Put the names of variables for their values at or below the path."""
        for place, variables in self.document.variables.items():
            for name, value in variables.items() if place[: len(path)] == path else ():
                if value:
                    # Split and joined, not substituted: a replacement would read the $ in it.
                    parts = re.split(rf"(?<!\w){re.escape(value)}(?!\w)", message)
                    message = f"${{{name}}}".join(parts)
        return message

    def _resolve(self, base: KeyPath, loc: tuple[str | int, ...]) -> KeyPath:
        """Return where in the file a location of pydantic is.

        Parts that are no keys of the file (the tag of a union, a key that is missing) are left
        out.
        """
        path = base
        for part in loc:
            if (*path, part) in self.document.positions:
                path = (*path, part)
        return path


def show_path(path: KeyPath) -> str:
    """Return the keys joined by dots; list items as ``[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + _show_key(part)
    return text


def show_value(document: Document, path: KeyPath, *, secret: bool = False) -> str:
    """Return ``, got …`` for the end of a message; empty where the value must not be shown."""
    if document.variables.get(path):
        return show_variables(document, path)
    value = document.at(path)
    if secret or value is None or path not in document.positions:
        return ""
    if isinstance(value, dict):
        return ", got a mapping"
    if isinstance(value, list):
        return ", got a list"
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[:_SHOWN_CHARACTERS]}…"
    return f", got {text}"


def show_variables(document: Document, path: KeyPath) -> str:
    """Return `` (from ${NAME})``; empty where no variable was put in."""
    names = ", ".join(f"${{{name}}}" for name in document.variables.get(path, {}))
    return f" (from {names})" if names else ""


def _show_key(key: str) -> str:
    """Return a key for a message.

    A forgotten space after a colon makes ``{api_key:…}`` one long key: only its start is shown.
    """
    shown, colon, _ = key.partition(":")
    return shown[:_SHOWN_CHARACTERS] + ("…" if colon else "")


def _known_key(key: str, known: list[str]) -> str:
    """Return the next step after an unknown key."""
    if ":" in key:
        return "write a space after the colon"
    return did_you_mean(key, known)


def _joined(messages: list[str]) -> str:
    """Return several messages on one value as one: the branches of a union say ``must be``."""
    start = "must be "
    if len(messages) == 1 or not all(message.startswith(start) for message in messages):
        return "; ".join(messages)
    expected = [message.removeprefix(start).partition(", got ")[0] for message in messages]
    _, got, value = messages[0].partition(", got ")
    return f"{start}{' or '.join(expected)}{got}{value}"


def _message(detail: ErrorDetails, value: object, shown: str) -> str:
    """Return our words for one finding."""
    kind = detail["type"]
    context: Mapping[str, Any] = detail.get("ctx", {})
    if kind in _EXPECTED:
        quote = kind == "string_type" and isinstance(value, bool | int | float)
        return f"must be {_EXPECTED[kind]}{shown}" + ("; put it in quotes" if quote else "")
    if kind in _LIMITS:
        return _LIMITS[kind].format(**context) + shown
    words = _WORDS.get(kind)
    return words(context, value, shown) if words else f"{detail['msg']}{shown}"


def _too_short(context: Mapping[str, Any], value: object, shown: str) -> str:
    """Return the message for too short a text or list."""
    del value
    least = context["min_length"]
    return "must not be empty" if least == 1 else f"must have a length of at least {least}{shown}"


def _unknown_tag(context: Mapping[str, Any], value: object, shown: str) -> str:
    """Return the message for an unknown ``type``."""
    return _choice({"expected": context["expected_tags"]}, value, shown)


def _no_tag(context: Mapping[str, Any], value: object, shown: str) -> str:
    """Return the message for a missing ``type``."""
    del value, shown
    return f"needs the key {context['discriminator']}".replace("'", "")


def _own_words(context: Mapping[str, Any], value: object, shown: str) -> str:
    """Return what a validator says; that a section is a mapping needs no saying."""
    return f"{context['error']}{'' if isinstance(value, dict | list) else shown}"


def _choice(context: Mapping[str, Any], value: object, shown: str) -> str:
    """Return the message for a value that is none of a few words."""
    expected = context["expected"]
    words = re.findall(r"'([^']*)'", expected)
    message = f"must be {' or '.join(words) or expected}{shown}"
    # The value may come from the environment; then not even its likeness to a word is told.
    if isinstance(value, str) and shown.startswith(", got") and len(words) > 1:
        hint = did_you_mean(value, words)
        return f"{message}; {hint}" if hint.startswith("did") else message
    return message


_WORDS = {
    "string_too_short": _too_short,
    "too_short": _too_short,
    "literal_error": _choice,
    "union_tag_invalid": _unknown_tag,
    "union_tag_not_found": _no_tag,
    "value_error": _own_words,
}


def _is_secret(model: type[BaseModel], loc: tuple[str | int, ...]) -> bool:
    """Whether the value at the location must never be shown."""
    if any(isinstance(part, str) and _SECRET_KEY.search(part) for part in loc):
        return True
    return SecretStr in set(_types_at(model, loc))


def _keys_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> set[str]:
    """Return the keys that the mapping at the location may have."""
    return {
        key
        for found in _types_at(model, loc)
        if isinstance(found, type) and issubclass(found, BaseModel)
        for key in keys_of(found)
    }


def keys_of(model: type[BaseModel]) -> list[str]:
    """Return the keys of a section, as they are written in the file."""
    return [info.alias or name for name, info in model.model_fields.items()]


def _types_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> list[object]:
    """Return the types that the value at a location of pydantic may have."""
    found: list[object] = [model]
    for part in loc:
        inner = [step for candidate in found for step in _step(candidate, part)]
        # A part without a step is the tag of a union: it picks models, or says nothing.
        found = inner or [c for c in found if _has_tag(c, part)] or found
    return found


def _step(candidate: object, part: str | int) -> Iterator[object]:
    """Yield the types one key or index further in."""
    if isinstance(candidate, type) and issubclass(candidate, BaseModel):
        for name, info in candidate.model_fields.items():
            if part == (info.alias or name):
                yield from _alternatives(info.annotation)
        return
    arguments = typing.get_args(candidate)
    origin = typing.get_origin(candidate)
    if origin in {list, tuple, set, frozenset, Sequence} and isinstance(part, int):
        yield from _alternatives(arguments[0])
    elif origin in {dict, Mapping} and isinstance(part, str):
        yield from _alternatives(arguments[1])


def _alternatives(annotation: object) -> Iterator[object]:
    """Yield the branches of a union, without ``Annotated``."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from _alternatives(arguments[0])
    elif origin in {typing.Union, types.UnionType}:
        for branch in arguments:
            yield from _alternatives(branch)
    else:
        yield annotation


def _has_tag(candidate: object, part: str | int) -> bool:
    """Whether the candidate is the model with this ``type``."""
    if not (isinstance(candidate, type) and issubclass(candidate, BaseModel)):
        return False
    info = candidate.model_fields.get("type")
    return (
        info is not None
        and typing.get_origin(info.annotation) is Literal
        and part in typing.get_args(info.annotation)
    )
