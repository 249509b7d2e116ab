"""What of a warehouse URL may be written into a config: its secrets are replaced by ``${NAME}``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from reverse_etl.config.document import interpolate

PREFIX = "WAREHOUSE_"

_VARIABLE = re.compile(r"\$\{[^}]*\}")
_PLACEHOLDER = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}", re.ASCII)
# SCHEME://USER:PASSWORD@; as SQLAlchemy reads it, a password ends at the first @.
_PASSWORD = re.compile(r"[^:/]+://[^:/@?]*:(?P<value>[^@]*)@", re.DOTALL)
_OPTION = re.compile(r"[?&](?P<name>[^=&]+)=(?P<value>[^&]*)", re.DOTALL)
# Options of drivers that hold a secret, such as password, sslpassword, token and private_key; a
# path of a key is none, but better a word too many.
_SECRET = re.compile(r"pass|pwd|secret|token|key|credential", re.IGNORECASE)
# `keepalives` of libpq counts seconds.
_HARMLESS = re.compile(r"keepalive", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class WrittenUrl:
    """A URL as a config may show it.

    Attributes:
        text: With a variable in the place of each secret.
        taken_out: These variables, each with what stood there.
    """

    text: str
    taken_out: Mapping[str, str]


def without_secrets(url: str, variables: Mapping[str, str]) -> WrittenUrl:
    """Return a URL with its secrets taken out; one that is a ``${NAME}`` already stays.

    Args:
        url: A URL that the config takes, perhaps with ``${NAME}`` in it.
        variables: The environment.

    Raises:
        ValueError: A variable of a secret is not set.
    """
    text, taken_out, end = "", dict[str, str](), 0
    for start, stop, name in _secrets(url):
        value = url[start:stop]
        if not value or _PLACEHOLDER.fullmatch(value):
            continue
        variable = PREFIX + re.sub(r"\W", "_", name, flags=re.ASCII).upper()
        taken_out[variable] = interpolate(value, variables)[0]
        text += f"{url[end:start]}${{{variable}}}"
        end = stop
    return WrittenUrl(text + url[end:], taken_out)


def _secrets(url: str) -> Iterator[tuple[int, int, str]]:
    """Yield where secrets start and stop, and what they are called, in their order."""
    # Whatever stands in a variable is no part of the form of the URL.
    plain = _VARIABLE.sub(lambda found: "x" * len(found[0]), url)
    password = _PASSWORD.match(plain)
    if password:
        yield *password.span("value"), "password"
    for option in _OPTION.finditer(plain, password.end() if password else 0):
        if _SECRET.search(option["name"]) and not _HARMLESS.search(option["name"]):
            yield *option.span("value"), option["name"]
