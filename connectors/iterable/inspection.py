"""What ``reverse-etl check`` asks Iterable, and what the answers mean; nothing is changed.

That the key may write is proven by writes with nothing in them. Recorded: ``subscribe`` of nobody
is answered with zeros, ``bulkUpdate`` of nobody with 400 ``Emails invalid: ``; a key that is too
weak gets 401 for both (support article 360043464871).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import orjson

from connectors.iterable import answers, lists
from connectors.iterable.fields import is_managed
from connectors.iterable.lists import Entry
from connectors.iterable.settings import IterableAccount, ProjectType
from connectors.iterable.written_fields import WrittenField, written_fields
from reverse_etl.connector import (
    Answer,
    Fatal,
    Finding,
    MappedField,
    NoAnswer,
    Request,
    Target,
)

if TYPE_CHECKING:
    import pyarrow as pa

Verdict = Literal["ok", "warning", "failed", "unproven"]
Questions = Generator[Request, Answer, Sequence[Finding]]
Choose = Callable[[Sequence[Entry]], Target | None]
"""Returns the list that a run would write to, None when it would make one; raises Fatal."""

_EMPTY_REFUSED = "InvalidEmailAddressError"


@dataclass(frozen=True)
class Inspection:
    """The looking at one sync.

    Attributes:
        account: The project.
        destination: Its name in the config.
        fields: Of the mapping.
        columns: See :meth:`reverse_etl.connector.DestinationObject.inspect`.
        creates: Whether fields that the project does not have are created; None when the
            project's own setting decides.
        remedy: What the config can do about fields that are not created; a sentence, or empty.
        findings: What was found so far.
    """

    account: IterableAccount
    destination: str
    fields: Sequence[MappedField]
    columns: pa.Schema
    creates: bool | None = None
    remedy: str = ""
    findings: list[Finding] = field(default_factory=list)

    # --- the two conversations -------------------------------------------------------------

    def of_list(self, wanted: str, choose: Choose, known: Target | None) -> Questions:
        """Look at a sync that keeps a list.

        Args:
            wanted: Name of the list in the config, empty when it has an id there.
            choose: Finds the list among all of the project.
            known: The list that earlier runs wrote to, if any.
        """
        found = yield from self._lists()
        if found is None:
            return self.findings
        target = self._target(found, wanted, choose, known)
        if target is not None:
            body = {"listId": int(target.id), "subscribers": []}
            yield from self._try_writing("/api/lists/subscribe", body)
        yield from self._look_at_fields()
        return self.findings

    def of_user(self) -> Questions:
        """Look at a sync that keeps profiles."""
        found = yield from self._lists()
        if found is None:
            return self.findings
        yield from self._try_writing("/api/users/bulkUpdate", {"users": []})
        yield from self._look_at_fields()
        return self.findings

    # --- key and list ----------------------------------------------------------------------

    def _lists(self) -> Generator[Request, Answer, Sequence[Entry] | None]:
        """Return the lists of the project; None when there is no use in asking on."""
        host = self.account.host()
        try:
            found = yield from lists.all_lists(host, self.destination)
        except Fatal as fatal:
            self._failed("api key" if fatal.code == "unauthorized" else "destination", fatal)
            return None
        self._say("api key", "ok", f"opens a project with {_counted(len(found), 'list')} at {host}")
        return found

    def _target(
        self, found: Sequence[Entry], wanted: str, choose: Choose, known: Target | None
    ) -> Target | None:
        """Return the list that a run would write to, if there is one."""
        try:
            target = choose(found) if known is None else _still_there(found, known)
        except Fatal as fatal:
            self._failed("list", fatal)
            return None
        if target is None:
            self._say("list", "ok", f"there is none named {wanted!r} yet: the first run creates it")
            self._say("write access", "unproven", "there is no list yet on which it could be tried")
            return None
        renamed = f"; the config calls it {wanted!r}" if wanted not in ("", target.name) else ""
        self._say("list", "ok", f"{target.name!r} is list {target.id}{renamed}")
        return target

    def _try_writing(self, path: str, body: Mapping[str, object]) -> Generator[Request, Answer]:
        """Write nothing at all, and see whether the key would have been allowed to."""
        endpoint = path.removeprefix("/api/")
        answer = yield Request("POST", path, endpoint, body=orjson.dumps(body))
        if isinstance(answer, NoAnswer):
            self._say("write access", "unproven", f"no answer to an empty {path}: {answer.reason}")
            return
        error = answers.read_error(answer)
        if answer.status in answers.OK or error.code == _EMPTY_REFUSED:
            self._say("write access", "ok", f"an empty {path} is let in; nothing was written")
            return
        try:
            answers.raise_if_fatal(error, self.account.host(), destination=self.destination)
        except Fatal as fatal:
            self._failed("write access", fatal)
        else:
            self._say("write access", "unproven", f"an empty {path} was answered with {error}")

    # --- fields ----------------------------------------------------------------------------

    def _look_at_fields(self) -> Generator[Request, Answer]:
        """Ask which profile fields there are, and compare."""
        answer = yield Request("GET", "/api/users/getFields", "users/getFields")
        try:
            host = self.account.host()
            data = answers.read_data(answer, host, "its profile fields", self.destination)
        except Fatal as fatal:
            self._say("fields", "unproven", f"not looked at: {fatal}")
            return
        fields = data.get("fields")
        if not isinstance(fields, dict):
            self._say("fields", "unproven", "the answer to GET /api/users/getFields has no fields")
            return
        existing = {name: str(kind).lower() for name, kind in fields.items()}
        self.findings.append(_project_type(self.account.project_type, existing))
        written = written_fields(self.fields, self.columns)
        self.findings.append(self._room(written, existing))
        self.findings.extend(_open_ends(written))
        self.findings.extend(_types(written, existing))
        if any(each.column and each.column not in self.columns.names for each in self.fields):
            text = "not compared: the query could not be asked which types its columns have"
            self._say("field types", "unproven", text)

    def _room(self, written: Sequence[WrittenField], existing: Mapping[str, str]) -> Finding:
        """Return whether the project has the fields, or has room for them."""
        limit = self.account.custom_field_limit
        in_use = f"{len(existing)} of {limit} profile fields are in use"
        new = [each.name for each in written if each.name not in existing]
        if not written:
            return Finding("fields", "ok", f"none is mapped; {in_use}")
        if not new:
            return Finding("fields", "ok", f"all that are mapped exist; {in_use}")
        names = answers.shown(new)
        if self.creates is False:
            text = f"{in_use}. Iterable drops the values of {names}: the project lacks these fields"
            return Finding("fields", "warning", text + self.remedy)
        excess = len(existing) + len(new) - limit
        if excess > 0:
            # Whether Iterable's own fields count is not documented: then it may fit after all.
            surely = excess > sum(map(is_managed, existing))
            text = (
                f"{in_use}, and {_counted(len(new), 'new one')} would be created: {names}. That is"
                f" {excess} too many{'' if surely else ', if Iterable counts its own fields too'}."
                " Map fewer fields, or have Iterable raise the limit and write it as"
                " custom_field_limit"
            )
            return Finding("fields", "failed" if surely else "warning", text)
        if self.creates:
            text = f"{in_use}, and {_counted(len(new), 'new one')} would be created: {names}"
            return Finding("fields", "ok", text)
        text = (
            f"{in_use}. The project lacks {names}: Iterable creates them if the project is set to"
            " add unrecognized fields, and drops their values if not"
        )
        return Finding("fields", "warning", text + self.remedy)

    # --- pieces ----------------------------------------------------------------------------

    def _say(self, subject: str, verdict: Verdict, text: str) -> None:
        """Add a finding."""
        self.findings.append(Finding(subject, verdict, text))

    def _failed(self, subject: str, fatal: Fatal) -> None:
        """Add what would end a run."""
        self._say(subject, "failed", str(fatal))


def _still_there(found: Sequence[Entry], known: Target) -> Target:
    """Return the list that earlier runs wrote to.

    Raises:
        Fatal: It is gone, or no list to write to.
    """
    entry = next((each for each in found if str(each["id"]) == known.id), None)
    if entry is None:
        reason = (
            f"list {known.id}, which this sync keeps, is not in this project any more: was it"
            " deleted, or does the key belong to another project? Run once with --full, which"
            " looks the list up again"
        )
        raise Fatal("unknown_list", reason)
    name = entry.get("name")
    return Target(known.id, name if isinstance(name, str) else known.name)


# --- what the fields say -------------------------------------------------------------------


def _project_type(configured: ProjectType, existing: Mapping[str, str]) -> Finding:
    """Judge ``project_type`` by the field that holds the lists of a person.

    Source: support article 9216719179796 (``emailListIds`` in email projects, else
    ``userListIds``).
    """
    has_email, has_user = "emailListIds" in existing, "userListIds" in existing
    if has_email == has_user:
        text = f"project_type: {configured} could not be proven: no profile tells the type yet"
        return Finding("project type", "unproven", text)
    by_email = configured == "email"
    if has_email == by_email:
        rest = "" if by_email else ", as in user_id and hybrid projects; these look alike"
        telling = "emailListIds" if has_email else "userListIds"
        return Finding("project type", "ok", f"{configured} fits: profiles have {telling}{rest}")
    other = "email" if has_email else "user_id or hybrid"
    telling = "emailListIds" if has_email else "userListIds"
    text = (
        f"profiles have {telling}, so this looks like a project_type: {other}, not {configured}."
        " Look the type up in Iterable (Settings, Project Settings) before the first run"
    )
    return Finding("project type", "warning", text)


def _open_ends(written: Sequence[WrittenField]) -> Iterator[Finding]:
    """Yield what only the values can tell."""
    names = [each.name for each in written if each.has_more]
    if names:
        text = (
            f"the keys of the objects in {answers.shown(names)} count as fields too; only the"
            " values can tell which there are, so leave room for them"
        )
        yield Finding("fields", "unproven", text)


def _types(written: Sequence[WrittenField], existing: Mapping[str, str]) -> Iterator[Finding]:
    """Yield whether the values fit the types that the project has for their fields."""
    faults = [f"{each.name} {each.fault}; cast it in SQL" for each in written if each.fault]
    clashes = [each for each in written if _fit(each, existing) == "never"]
    doubts = [each for each in written if _fit(each, existing) == "perhaps"]
    if faults:
        yield Finding("field types", "failed", "; ".join(faults))
    if clashes:
        text = (
            f"{_pairs(clashes, existing)}: Iterable refuses such values. A field keeps the type of"
            " its first value for good, so cast in SQL, write type: at the field, or use another"
            " field name"
        )
        yield Finding("field types", "failed", text)
    if doubts:
        text = (
            f"{_pairs(doubts, existing)}: whether Iterable takes such values is not documented."
            " To be safe cast in SQL, or write type: at the field"
        )
        yield Finding("field types", "warning", text)
    alike = sum(_fit(each, existing) == "fits" for each in written)
    if alike and not (faults or clashes or doubts):
        text = f"fit for {_counted(alike, 'field')} that the project has already"
        yield Finding("field types", "ok", text)


_SCALARS = frozenset({"string", "long", "double", "boolean", "date"})
_COMPOUNDS = frozenset({"object", "geo_location"})
_DOUBTFUL = frozenset(
    {
        ("long", "double"),
        ("double", "long"),
        # Our dates are texts of a form that Iterable reads as dates, and other texts may be, too.
        ("string", "date"),
        ("date", "string"),
        ("long", "string"),
        ("double", "string"),
        ("boolean", "string"),
    }
)
"""Pairs of ours and theirs that may or may not be coerced: Iterable's rules are not published."""


def _fit(each: WrittenField, existing: Mapping[str, str]) -> str:
    """Return ``fits``, ``perhaps``, ``never``, or ``?`` where one side has no known type."""
    theirs = existing.get(each.name, "")
    theirs = "object" if theirs == "nested" else theirs
    if not each.types or theirs not in _SCALARS | _COMPOUNDS:
        return "?"
    if each.types == {theirs}:
        return "fits"
    if theirs in each.types or any((ours, theirs) in _DOUBTFUL for ours in each.types):
        return "perhaps"
    return "never"


def _pairs(fields: Sequence[WrittenField], existing: Mapping[str, str]) -> str:
    """Return fields with our type and theirs, for a message."""
    return answers.shown(
        f"{each.name} ({' or '.join(sorted(each.types))} into {existing[each.name]})"
        for each in fields
    )


def _counted(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
