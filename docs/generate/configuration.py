"""Writes ``docs/configuration.md``: every option, from the models that check a config.

What an option means is its description in the models, so an editor shows the same. The examples
are lines of ``config.example.yaml``. Run it from the root of the repository, after a change of
either:

    python docs/generate/configuration.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from connectors.iterable import IterableConnector
from reverse_etl.config.editor_schema import json_schema

PAGE = Path(__file__).parents[1] / "configuration.md"
EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"

_HEAD = """\
<!-- Made by docs/generate/configuration.py of the models that check a config: change those. -->

# Configuration

One YAML file: `config.yaml` in the folder where a command is called, or `--config PATH`, or the
file that the environment variable `REVERSE_ETL_CONFIG` names.
[config.example.yaml](../config.example.yaml) shows every option of this page once, to be copied.

- `${NAME}` and `${NAME:-default}` in a value are replaced from the environment, or from a file
  `.env` beside the config; the environment wins. `$${` is a literal `${`. Inside `{…}` and `[…]`
  put such a value in quotes. Keys are not replaced.
- An unknown key, a key given twice and a value of the wrong type are errors. All of them are
  reported at once, with line, column and the closest key that there is; `reverse-etl validate`
  looks for them without contacting anything.
- A secret comes from the environment or a file. Written into the config it works, but warns.
- `key:` without a value is the same as no key.
- An editor with a YAML language server completes and checks the file, when
  `reverse-etl schema > config.schema.json` was run beside it and the file begins with
  `# yaml-language-server: $schema=config.schema.json`.

`warehouses`, `destinations` and `syncs` are needed, `engine` and `notifications` are not.
Durations are in seconds, times in UTC.
"""


@dataclass(frozen=True)
class _Section:
    """One part of the page.

    Attributes:
        title: Its heading.
        models: What the options are read from; each describes its part.
        place: Keys that lead to its example in ``config.example.yaml``.
        shown: Which lines of that place; None for those of the options, empty for all.
        text: What else to say, in Markdown.
    """

    title: str
    models: tuple[str, ...]
    place: tuple[str, ...]
    shown: tuple[str, ...] | None = None
    text: str = ""


_Option = Mapping[str, Any]
_Models = Mapping[str, _Option]

_SYNC = ("syncs", "vip_customers")
_PROFILES = ("syncs", "experiment_profiles")

_SECTIONS = (
    _Section(
        "warehouses.NAME",
        ("WarehouseConfig",),
        ("warehouses", "local"),
        text="Which URLs there are, and what `workspace` and `control` are for:\n"
        "[warehouses](warehouses/README.md).",
    ),
    _Section(
        "destinations.NAME",
        ("IterableAccount",),
        ("destinations", "iterable"),
        text="These are the keys of `type: iterable`. The limits behind the defaults:\n"
        "[Iterable](../connectors/iterable/README.md).",
    ),
    _Section("engine", ("EngineConfig",), ("engine",)),
    _Section(
        "notifications",
        ("NotificationConfig",),
        ("notifications",),
        text="A list, one entry for each webhook. What is sent, and when: [alerts](alerts.md).",
    ),
    _Section(
        "syncs.NAME",
        ("SyncConfig",),
        _SYNC,
        text="A name has at most 40 characters out of `a-z`, `0-9` and `_`, begins with a letter "
        "and does not\nend in `_` and digits. It is part of [the names of tables](tables.md).",
    ),
    _Section(
        "syncs.NAME.source",
        ("SourceConfig",),
        (*_SYNC, "source"),
        text="More on queries, tables and dbt models: [sources](sources.md).",
    ),
    _Section("syncs.NAME.destination, object: list", ("ListSettings",), (*_SYNC, "destination")),
    _Section(
        "syncs.NAME.destination.list", ("ListChoice",), (*_SYNC, "destination"), shown=("list",)
    ),
    _Section(
        "syncs.NAME.destination, object: user", ("UserSettings",), (*_PROFILES, "destination")
    ),
    _Section(
        "syncs.NAME.fields.FIELD",
        ("FieldConfig",),
        (*_PROFILES, "fields"),
        shown=(),
        text="A text alone is the name of a column: `plan: plan` is short for\n"
        "`plan: {column: plan}`.",
    ),
    _Section(
        "syncs.NAME.schedule",
        ("BasicScheduleConfig", "CronScheduleConfig", "ManualScheduleConfig"),
        _SYNC,
        shown=("schedule",),
        text="One of three types, each with its own keys.",
    ),
    _Section("syncs.NAME.observability", ("ObservabilityConfig",), (*_SYNC, "observability")),
)


def page() -> str:
    """Return the page."""
    models = json_schema({"iterable": IterableConnector})["$defs"]
    example = _Example(EXAMPLE.read_text(encoding="utf-8"))
    parts = [_HEAD]
    for section in _SECTIONS:
        parts += [*_section(section, models, example), ""]
    return "\n".join(parts)


def _section(section: _Section, models: _Models, example: _Example) -> Iterator[str]:
    yield f"## {section.title}"
    yield ""
    if len(section.models) == 1:
        yield models[section.models[0]]["description"].replace("``", "`")
    if section.text:
        yield section.text
    yield ""
    yield "| option | value | default | meaning |"
    yield "|---|---|---|---|"
    for name in section.models:
        yield from _rows(models[name], models)
    yield ""
    yield "```yaml"
    options = [option for name in section.models for option in models[name]["properties"]]
    yield from example.lines(section.place, options if section.shown is None else section.shown)
    yield "```"


# --- the options ---------------------------------------------------------------------------


def _rows(model: _Option, models: _Models) -> Iterator[str]:
    for name, option in model["properties"].items():
        default = "required" if name in model.get("required", ()) else _default(option)
        # pydantic leaves out what the model of the option says as well.
        meaning = option.get("description") or models[_model(option)]["description"]
        cells = (f"`{name}`", _value(option), default, meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _model(option: _Option) -> str:
    name: str = option["$ref"].rpartition("/")[2]
    return name


def _default(option: _Option) -> str:
    default = option.get("default")
    if default is None or "$ref" in option:  # a section of its own has defaults of its own
        return ""
    text = yaml.safe_dump(default, default_flow_style=True, sort_keys=False)
    return f"`{text.splitlines()[0]}`"  # YAML ends a single value with a line of dots


def _value(option: _Option) -> str:
    """Return which values an option takes, in words."""
    several = option.get("anyOf") or option.get("oneOf")
    if several:
        words = [_value(each) for each in several if not _is_said_elsewhere(each)]
        return " or ".join(dict.fromkeys(words))
    if "const" in option:
        return f"`{option['const']}`"
    if "enum" in option:
        return " | ".join(f"`{each}`" for each in option["enum"])
    if "$ref" in option:
        return "mapping"
    return _WORDS[option["type"]](option) if "type" in option else "any value"


def _is_said_elsewhere(option: _Option) -> bool:
    """Whether this is no value, or the name of a variable in the place of one."""
    return option.get("type") == "null" or option.get("pattern", "").startswith(r"\$\{")


def _number(option: _Option) -> str:
    word = "whole number" if option["type"] == "integer" else "number"
    above, least, most = map(option.get, ("exclusiveMinimum", "minimum", "maximum"))
    if most is None or most > _BEYOND_COUNTING:
        least_of = f", {least:,} or more" if least is not None else ""
        return f"{word}, more than {above:g}" if above is not None else word + least_of
    from_on = f"more than {above:g}, at most" if above is not None else f"{least:,} to"
    return f"{word}, {from_on} {most:,}"


def _text(option: _Option) -> str:
    if option.get("writeOnly"):
        return "text, secret"
    if option.get("format") == "path":
        return "path"
    most = option.get("maxLength")
    return f"text, at most {most} characters" if most else "text"


def _list(option: _Option) -> str:
    least = ", at least one" if option.get("minItems") else ""
    return f"list of {_value(option['items'])}{least}"


_BEYOND_COUNTING = 1e15
_WORDS: Mapping[str, Callable[[_Option], str]] = {
    "array": _list,
    "boolean": lambda _: "`true` | `false`",
    "integer": _number,
    "number": _number,
    "object": lambda _: "mapping",
    "string": _text,
}


# --- the example ---------------------------------------------------------------------------


class _Example:
    """``config.example.yaml``, line by line; what is commented out in it counts as well."""

    def __init__(self, text: str) -> None:
        self._lines = [_uncommented(line) for line in text.splitlines()]

    def lines(self, place: Sequence[str], options: Sequence[str]) -> Iterator[str]:
        """Yield the lines that lead to a place, then those of its options.

        Args:
            place: Keys from the top.
            options: Whose lines; empty for all of the place.
        """
        block = self._lines
        for key in place:
            head = next(n for n, line in enumerate(block) if _key(line) == key)
            yield block[head]
            inner = [line for line in block[head + 1 :] if line.strip()]
            depth = _depth(block[head])
            ends = (n for n, line in enumerate(inner) if _depth(line) <= depth)
            block = inner[: next(ends, len(inner))]
        depth = min(_depth(line) for line in block if _key(line))
        for line in block:
            if _depth(line) != depth or not _key(line):
                continue
            if not options or (_key(line) in options and not line.rstrip().endswith(":")):
                yield line


def _uncommented(line: str) -> str:
    """Return a line; without the mark if a whole section is commented out with it."""
    return re.sub(r"^# (?=notifications:| )", "", line)


def _depth(line: str) -> int:
    """Return how far a line is indented; an entry of a list as its first key."""
    match = re.match(r" *(?:- )?", line)
    return match.end() if match else 0


def _key(line: str) -> str | None:
    """Return the key that a line gives a value to, also where it is commented out; else None."""
    match = re.fullmatch(r" *(?:- )?(?:# )?(\w+):(?: .*)?", line)
    if match is None:
        return None
    try:
        yaml.safe_load(line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line)
    except yaml.YAMLError:
        return None  # a sentence with a colon in it
    return match[1]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
