"""What goes over the wire: a call, a reply, and the error bodies of the API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"
HTML = "text/html; charset=utf-8"

Shape = Literal["current", "old"]

INTERNAL_ERROR = (
    "An error occurred. Please try again later. If problem persists, please contact your CSM"
)

_UNREAD: Any = object()
_BROKEN: Any = object()

# Reason for a faulty value: (recorded 2017 to 2022, today). Only "Boolean value expected" is
# known of today's texts; the others follow its form.
_REASONS: Mapping[str, tuple[str, str]] = {
    "missing": ("error.path.missing", "Value is missing"),
    "string": ("error.expected.jsstring", "String value expected"),
    "number": ("error.expected.jsnumber", "Number value expected"),
    "boolean": ("error.expected.jsboolean", "Boolean value expected"),
    "array": ("error.expected.jsarray", "Array value expected"),
    "object": ("error.expected.jsobject", "Object value expected"),
}


@dataclass(slots=True)
class Reply:
    """One HTTP answer.

    Attributes:
        status: HTTP status code.
        body: The whole body.
        content_type: Value of the ``Content-Type`` header.
        headers: Further headers.
        chunked: Whether the body travels in chunks, without a length.
    """

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    chunked: bool = False


class ApiError(Exception):
    """The call is answered with an error; carries the finished reply."""

    def __init__(self, reply: Reply) -> None:
        """Keep the reply."""
        super().__init__(f"HTTP {reply.status}")
        self.reply = reply


@dataclass(slots=True)
class Call:
    """One request, body not yet looked at.

    Attributes:
        method: HTTP method.
        path: Path without the query, still percent-encoded.
        query: Query parameters, decoded; the last one wins.
        headers: Names as sent, in order.
        body: Raw body.
        endpoint: ``METHOD /template`` of the route, or ``METHOD /path`` when there is none.
        arguments: Values of the template's placeholders, in order.
        shape: Which generation of the API answers.
        refuse: Identifier to ``failedUpdates`` key; put there by a fault, obeyed by the calls
            that answer with a bulk response.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    endpoint: str = ""
    arguments: tuple[str, ...] = ()
    shape: Shape = "current"
    refuse: Mapping[str, str] = field(default_factory=dict)
    _document: Any = _UNREAD

    def header(self, name: str) -> str | None:
        """Return a header; the name in any case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def document(self) -> Any:  # noqa: ANN401 - a foreign body may be anything
        """Return the decoded JSON body.

        Raises:
            ValueError: The body is not JSON.
        """
        if self._document is _UNREAD:
            try:
                self._document = orjson.loads(self.body)
            except orjson.JSONDecodeError:
                self._document = _BROKEN
        if self._document is _BROKEN:
            message = "the body is not JSON"
            raise ValueError(message)
        return self._document

    def people(self) -> list[Any]:
        """Return the people named in the body, whatever the endpoint calls them."""
        try:
            document = self.document()
        except ValueError:
            return []
        if not isinstance(document, dict):
            return []
        for name in ("subscribers", "users", "updateSubscriptionsRequests"):
            if isinstance(found := document.get(name), list):
                return found
        return [document] if document.keys() & {"email", "userId"} else []

    def positions(self) -> dict[str, tuple[int, str]]:
        """Return identifier (e-mails in lower case) to its first index and its key."""
        found: dict[str, tuple[int, str]] = {}
        for index, person in enumerate(self.people()):
            if not isinstance(person, dict):
                continue
            for key in ("email", "userId"):
                value = person.get(key)
                if isinstance(value, str):
                    found.setdefault(value.lower() if key == "email" else value, (index, key))
        return found


Handler = Callable[[Call], Reply]


def json_reply(document: object, status: int = 200) -> Reply:
    """Return a reply with a JSON body."""
    return Reply(status, orjson.dumps(document))


def envelope(status: int, code: str, msg: str, params: object = None) -> Reply:
    """Return the envelope of the API: ``msg``, ``code``, ``params``."""
    return json_reply({"msg": msg, "code": code, "params": params}, status)


def action_not_found() -> Reply:
    """Return the HTML page for a path or method that does not exist (recorded 2017)."""
    page = (
        '<!doctype html><html><head><meta charset="utf-8"><title>Action not found</title></head>'
        "<body><h2>Oh no- that url doesn't exist.</h2></body></html>"
    )
    return Reply(404, page.encode(), HTML)


def bad_json_body(call: Call, problems: Mapping[str, str] | None) -> Reply:
    """Return the 400 for a malformed body.

    The message repeats the body and every header, the API key included: recorded from the real
    API up to 2022, and the reason why a client must redact what it logs.

    Args:
        call: The offending request.
        problems: Path (``obj.users[1].preferUserId``) to a key of the reasons, or None when the
            body is no JSON at all.
    """
    headers = ", ".join(f"({name},{value})" for name, value in call.headers)
    container = "ArrayBuffer" if call.shape == "old" else "List"
    body = call.body.decode("utf-8", "replace")
    msg = f"[{call.path}] body: {body}, hdrs: {container}({headers})"
    return envelope(400, "BadJsonBody", msg, _params(problems, call.shape))


def _params(problems: Mapping[str, str] | None, shape: Shape) -> dict[str, object] | None:
    if problems is None:
        return None
    if shape == "old":
        return {path: [{"msg": _REASONS[kind][0], "args": []}] for path, kind in problems.items()}
    return {path: _REASONS[kind][1] for path, kind in problems.items()}


def invalid_list_id(list_id: object, project_id: int) -> Reply:
    """Return the 400 for a list that the API does not know: its code says ``Success``."""
    return envelope(
        400,
        "Success",
        f"error.lists.invalidListId({list_id})",
        {"projectId": project_id, "listId": list_id},
    )


class BodyReader:
    """Typed access to a JSON object that collects every fault before it gives up."""

    def __init__(self, call: Call) -> None:
        """Decode the body.

        Raises:
            ApiError: The body is no JSON object.
        """
        self._call = call
        self.problems: dict[str, str] = {}
        try:
            document = call.document()
        except ValueError:
            raise ApiError(bad_json_body(call, None)) from None
        if not isinstance(document, dict):
            self.problems["obj"] = "object"
            self._give_up()
        self._document: dict[str, Any] = document

    def integer(self, name: str) -> int:
        """Return a required whole number (0 after a fault)."""
        value = self._required(name)
        if type(value) is int:
            return value
        self._fault(name, "number", value)
        return 0

    def string(self, name: str) -> str:
        """Return a required string (empty after a fault)."""
        value = self._required(name)
        if isinstance(value, str):
            return value
        self._fault(name, "string", value)
        return ""

    def array(self, name: str) -> list[Any]:
        """Return a required array (empty after a fault)."""
        value = self._required(name)
        if isinstance(value, list):
            return value
        self._fault(name, "array", value)
        return []

    def optional_string(self, name: str) -> str | None:
        """Return a string, or None where it is absent or null."""
        value = self._document.get(name)
        if value is None or isinstance(value, str):
            return value
        self._fault(name, "string", value)
        return None

    def flag(self, name: str) -> bool:
        """Return a boolean, False where it is absent or null."""
        value = self._document.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._fault(name, "boolean", value)
        return False

    def optional_flag(self, name: str) -> bool | None:
        """Return a boolean, None where it is absent or null."""
        return None if self._document.get(name) is None else self.flag(name)

    def whole(self) -> Mapping[str, Any]:
        """Return the object itself."""
        return self._document

    def has(self, name: str) -> bool:
        """Whether the body names the key at all."""
        return name in self._document

    def done(self) -> None:
        """Go on only if nothing was wrong.

        Raises:
            ApiError: At least one value was faulty; all of them are named.
        """
        if self.problems:
            self._give_up()

    def _required(self, name: str) -> Any:  # noqa: ANN401 - a foreign value may be anything
        return self._document.get(name, _UNREAD)

    def _fault(self, name: str, kind: str, value: object) -> None:
        self.problems[f"obj.{name}"] = "missing" if value is _UNREAD else kind

    def _give_up(self) -> NoReturn:
        raise ApiError(bad_json_body(self._call, self.problems))
