"""The config keys of an Iterable account and of its objects, as pydantic models.

Nothing heavy is imported here: the whole config is validated with these models.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from types import MappingProxyType
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from reverse_etl.connector import AccountSettings, DestinationSettings
from reverse_etl.errors import ConfigError

ProjectType = Literal["email", "user_id", "hybrid"]
ObjectName = Literal["list", "user"]

API_HOSTS: Mapping[str, str] = MappingProxyType(
    {"us": "api.iterable.com", "eu": "api.eu.iterable.com"}
)
"""Data center to host. Source: Iterable API description, ``host``; support article 360043464871."""

_IDENTIFIERS: Mapping[ProjectType, tuple[str, ...]] = MappingProxyType(
    {"email": ("email",), "user_id": ("userId",), "hybrid": ("userId", "email")}
)

DESCRIPTION_MAX_LENGTH = 140
"""Characters of a list description. Source: support article 115000770906 (the web form)."""

LIST_ID_MAX = 2**63 - 1
"""``listId`` is an int64. Source: Iterable API description, ``SubscribeRequest``."""

_LOOPBACK_V4 = ip_network("127.0.0.0/8")
_LOOPBACK_V6 = ip_address("::1")
_BASE_URL_RULE = (
    "must be https://api.iterable.com, https://api.eu.iterable.com, or a loopback address such as"
    " http://127.0.0.1:8765 (the sandbox)"
)


def identifiers_of(project_type: ProjectType, object_name: ObjectName) -> tuple[str, ...]:
    """Return what finds a person, in order of precedence.

    Source: support article 9216719179796. In an email project ``users/bulkUpdate`` also takes a
    userId alone (``preferUserId`` of the Iterable API description, ``OptionalApiUser``).
    """
    if project_type == "email" and object_name == "user":
        return ("email", "userId")
    return _IDENTIFIERS[project_type]


def is_loopback(host: str) -> bool:
    """Whether the host is this machine: localhost, 127.0.0.0/8 or ::1."""
    if host == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return address == _LOOPBACK_V6 or (address.version == 4 and address in _LOOPBACK_V4)  # noqa: PLR2004


def _split(url: str) -> tuple[SplitResult, str, int | None]:
    """Return the parts, the host and the port of a URL.

    Raises:
        ValueError: It is no URL, or its port is no number.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL; it {_BASE_URL_RULE}") from error
    return parts, parts.hostname or "", port


def _fault_of_url(parts: SplitResult, host: str, port: int | None) -> str | None:
    """Return why requests with a key must not be sent there, or None."""
    if parts.username is not None or parts.password is not None:
        return "must not hold a user name or password"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return "must not have a path, query or fragment"
    if host in API_HOSTS.values():
        if parts.scheme != "https":
            return "must start with https://, or the API key would travel unencrypted"
        return None if port in (None, 443) else "must not name a port on Iterable's own host"
    if is_loopback(host):
        return None if parts.scheme in ("http", "https") else "must start with http:// or https://"
    return f"{_BASE_URL_RULE}; the API key is sent nowhere else"


def _fault_of_key(key: str) -> str | None:
    """Return why the text cannot be an API key, without showing it, or None."""
    if not key:
        return "is empty: set the environment variable it comes from, or write api_key_file"
    if not key.isascii() or not key.isprintable() or " " in key:
        return "holds a space, a line end or a character outside ASCII: copy the key again"
    return None


class IterableAccount(AccountSettings):
    """One Iterable project, reached with one server-side API key."""

    data_center: Literal["us", "eu"] = Field(
        default="us", description="Where the project lives; base_url wins over it."
    )
    project_type: ProjectType = Field(
        default="email", description="What identifies a person in the project."
    )
    hybrid_send: Literal["both", "identity"] = Field(
        default="both",
        description="Hybrid projects only: both sends userId and e-mail, identity only one of "
        "them.",
    )
    custom_field_limit: int = Field(
        default=1000,
        ge=1,
        description="Profile fields that the project may have; `reverse-etl check` counts against "
        "it.",
    )

    @field_validator("base_url")
    @classmethod
    def _check_base_url(cls, value: str | None) -> str | None:
        """Return the URL rebuilt from its parts, so that nothing odd survives in it."""
        if value is None:
            return None
        parts, host, port = _split(value)
        fault = _fault_of_url(parts, host, port)
        if fault:
            raise ValueError(fault)
        bracketed = f"[{host}]" if ":" in host else host
        return f"{parts.scheme}://{bracketed}" + (f":{port}" if port is not None else "")

    @field_validator("hybrid_send")
    @classmethod
    def _check_hybrid_send(cls, value: str, info: ValidationInfo) -> str:
        """Refuse the key where it has no meaning; pydantic calls this only when it is written."""
        project_type = info.data.get("project_type", "hybrid")
        if project_type != "hybrid":
            message = (
                f"is for hybrid projects only, and project_type is {project_type}:"
                " remove it, or write project_type: hybrid"
            )
            raise ValueError(message)
        return value

    def url(self) -> str:
        """Return the base URL of all requests, without a trailing slash."""
        return self.base_url or f"https://{API_HOSTS[self.data_center]}"

    def host(self) -> str:
        """Return the host name that requests go to."""
        return urlsplit(self.url()).hostname or ""

    def headers(self) -> Mapping[str, str]:
        """Return the header that carries the API key.

        Raises:
            ConfigError: There is no key, or it cannot be one.
        """
        key = self.api_key.get_secret_value() if self.api_key else ""
        fault = _fault_of_key(key)
        if fault:
            raise ConfigError([f"api_key of the Iterable destination {fault}"])
        return {"Api-Key": key}


class ListChoice(BaseModel):
    """Which list: by ``name`` (found, else created with ``description``) or by ``id``."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    id: int | None = Field(
        default=None, ge=1, le=LIST_ID_MAX, description="An existing list, instead of a name."
    )
    name: str | None = Field(
        default=None, min_length=1, description="The list is found by it, else created."
    )
    description: str | None = Field(
        default=None,
        max_length=DESCRIPTION_MAX_LENGTH,
        description="Of a list that is created; belongs to a name.",
    )

    @field_validator("id", mode="before")
    @classmethod
    def _refuse_boolean(cls, value: object) -> object:
        """Refuse ``id: true``, which pydantic would read as 1."""
        if isinstance(value, bool):
            raise ValueError("must be the number of a list, not true or false")  # noqa: TRY004 - pydantic collects only ValueError
        return value

    @field_validator("name")
    @classmethod
    def _check_name(cls, value: str | None) -> str | None:
        """Refuse names that could be stored differently and then never be found again."""
        if value is not None and (value != value.strip() or not value.isprintable()):
            raise ValueError("must not begin or end with white space or hold control characters")
        return value

    @model_validator(mode="after")
    def _check_choice(self) -> ListChoice:
        """Demand exactly one of name and id; a description belongs to a name."""
        if (self.id is None) == (self.name is None):
            raise ValueError("write either name: (found by name, else created) or id: (of a list)")
        if self.id is not None and self.description is not None:
            raise ValueError(
                "description is for a list by name: it is used when the list is created"
            )
        return self


class ListSettings(DestinationSettings):
    """``destination:`` of a sync that keeps the members of one static list."""

    object: Literal["list"] = Field(description="The members of a static list.")
    list: ListChoice = Field(description="By name, found or else created; or {id: 12345}.")
    update_existing_users_only: bool = Field(
        default=False,
        description="Do not create people that Iterable does not know (userID-based and hybrid "
        "projects).",
    )

    def whole(self) -> tuple[str, str]:
        """Return the list: its members are those of one query."""
        return "list", str(self.list.id) if self.list.id else f"{self.list.name!r}"


class UserSettings(DestinationSettings):
    """``destination:`` of a sync that keeps user profiles."""

    object: Literal["user"] = Field(description="The profiles themselves.")
    merge_nested_objects: bool = Field(
        default=True,
        description="Keep the other keys of a nested object when one of its keys is written; "
        "false drops what others wrote into it.",
    )
    create_new_fields: bool | None = Field(
        default=None,
        description="Let Iterable create profile fields that are new to it. Default: as the "
        "project is set up.",
    )
    on_delete: Literal["keep", "clear_fields"] = Field(
        default="keep",
        description="What happens to who left the query, in mirror mode: keep leaves the fields, "
        "clear_fields removes those that were sent.",
    )
    update_only: bool = Field(
        default=False,
        description="Do not create people that Iterable does not know; Iterable has to switch this "
        "on for the project first.",
    )
