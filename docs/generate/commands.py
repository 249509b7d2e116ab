"""Writes ``docs/commands.md``: every command, from the command line itself.

Run it from the root of the repository, after a change of a command:

    python docs/generate/commands.py
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, CommandInfo, ParameterInfo

from reverse_etl.cli import app

if TYPE_CHECKING:
    import typer

PAGE = Path(__file__).parents[1] / "commands.md"

_HEAD = """\
<!-- Made by docs/generate/commands.py of the command line itself: change that. -->

# Commands

`reverse-etl COMMAND`. The script `run-sync` is the same as `reverse-etl run-sync`. Every command
shows its part of this page with `--help`. The examples belong to the config of the
[README](../README.md#a-sync-of-your-own).

| option | of nearly all commands |
|---|---|
| `--config PATH` | A [config](configuration.md); else `$REVERSE_ETL_CONFIG`, else `config.yaml`. |
| `--json` | One JSON document on standard output; all else goes to standard error. |
| `-h`, `--help` | The command's part of this page. |

The first two may also stand before the command. Nothing asks back; without a terminal there are no
colours and no progress bars.
"""

_COMPLETION = """\
## Completion

bash, zsh and fish complete commands, options and the names that stand in the config. This writes
what is needed into your home folder, for the shell in which it is called:

```sh
reverse-etl --install-completion
```

In a new shell, `reverse-etl plan v` and the tabulator key then give the syncs whose names begin
with v. They are read from the config that is named before, or else would be used. To see what
would be written, `reverse-etl --show-completion`. For the script `run-sync`, in bash:

```sh
source <(_RUN_SYNC_COMPLETE=source_bash run-sync)
```
"""

_WIDTH = 90
_SHARED = {"config", "as_json"}


@dataclass(frozen=True)
class _Parameter:
    """An argument or an option, as its command declares it.

    Attributes:
        name: In Python.
        kind: Its type, without the help.
        info: The help, and what is shown in the place of a value.
        default: The default, or ``inspect.Parameter.empty`` where a value is required.
    """

    name: str
    kind: Any
    info: ParameterInfo
    default: Any

    @property
    def is_argument(self) -> bool:
        """Whether it stands by its place."""
        return isinstance(self.info, ArgumentInfo)

    @property
    def is_required(self) -> bool:
        """Whether the command wants a value."""
        return self.default is inspect.Parameter.empty

    @property
    def spelled(self) -> str:
        """What a command line has of it."""
        if self.is_argument:
            return self.info.metavar or self.name.upper()
        # Within Annotated, typer takes the first declaration for the default until it is used.
        declared = (self.info.default, *(self.info.param_decls or ()))
        option = next(each for each in declared if isinstance(each, str))
        return option if self.kind is bool else f"{option} {self._taken()}"

    def _taken(self) -> str:
        """Return what stands for the value of an option."""
        if isinstance(self.kind, type) and issubclass(self.kind, enum.Enum):
            return "|".join(each.value for each in self.kind)
        is_number = int in {self.kind, *get_args(self.kind)}
        return self.info.metavar or ("N" if is_number else "TEXT")

    @property
    def usage(self) -> str:
        """What a usage line has of it."""
        many = " ..." if list in {get_origin(each) for each in get_args(self.kind)} else ""
        return f"{self.spelled}{many}" if self.is_required else f"[{self.spelled}{many}]"

    @property
    def row(self) -> str:
        """The row of a table: how it is written, what it means, its default."""
        shown = "" if self.default in {None, False} else f"`{_plain(self.default)}`"
        default = "required" if self.is_required else shown
        cells = (f"`{self.spelled}`", f"{self.info.help}{self._limits()}", default)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"

    def _limits(self) -> str:
        least, most = self.info.min, self.info.max
        if least is None:
            return ""
        return f" At least {least:g}." if most is None else f" From {least:g} to {most:g}."


def page() -> str:
    """Return the page."""
    command_line = app._app()  # noqa: SLF001 - a new one each time, so it has no public name
    parts = [_HEAD, *_exit_codes(command_line), _COMPLETION]
    for command in command_line.registered_commands:
        parts += [*_command(command), ""]
    return "\n".join(parts)


def _exit_codes(command_line: typer.Typer) -> Iterator[str]:
    title, *lines = _verbatim(command_line.info.epilog)
    yield from (f"## {title.removesuffix(':')}", "", "```text", *lines, "```", "")


def _command(command: CommandInfo) -> Iterator[str]:
    callback: Any = command.callback
    parameters = list(_parameters(callback))
    ordered = sorted(parameters, key=lambda each: not each.is_argument)
    words = [f"reverse-etl {command.name}", *(each.usage for each in ordered)]
    yield from (f"## {command.name}", "", "```text", *_wrapped(words), "```", "")
    for paragraph in (inspect.getdoc(callback) or "").split("\n\n"):
        yield from (" ".join(paragraph.split()), "")
    own = [each.row for each in parameters if each.name not in _SHARED]
    if own:
        yield from ("| argument or option | meaning | default |", "|---|---|---|", *own, "")
    if command.epilog:
        yield from ("```text", *_verbatim(command.epilog), "```")


def _wrapped(words: Sequence[str]) -> list[str]:
    """Return a usage line as lines that can be read at once; no word is broken."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < _WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    {word}")
    return lines


def _parameters(callback: Callable[..., Any]) -> Iterator[_Parameter]:
    hints = get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, *infos = get_args(hints[name]) if get_origin(hints[name]) is Annotated else (None,)
        if infos:
            yield _Parameter(name, kind, infos[0], parameter.default)


def _plain(value: object) -> str:
    return str(value.value if isinstance(value, enum.Enum) else value)


def _verbatim(text: str | None) -> list[str]:
    r"""Return the lines of a text; ``\b`` keeps click from filling them."""
    return [line for line in (text or "").splitlines() if line != "\b"]


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
