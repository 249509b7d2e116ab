"""The error codes that only this connector writes; the README says which answer means which."""

from __future__ import annotations

from reverse_etl.error_codes import ErrorCode

_STAYS_PLANNED = (
    "Nobody is marked failed, and what is not confirmed stays planned for the next run."
)

ERROR_CODES = (
    ErrorCode(
        "alias_left_out",
        ("record",),
        "The person was sent, but only by one identifier. The other one of the row is malformed, so"
        " it was left out.",
        "Correct the e-mail or the user id that the line in `sync_log` names.",
        "The line says `succeeded`: it is no failed record. A corrected value is an update.",
        exit_codes=(0,),
    ),
    ErrorCode(
        "unauthorized",
        ("run", "command"),
        "Iterable refused the API key. It is wrong, too weak, of another project, or of the other"
        " data center.",
        "Take a server-side key with write access of this very project, and look at `data_center`;"
        " `reverse-etl check SYNC` tries it and changes nothing.",
        _STAYS_PLANNED,
    ),
    ErrorCode(
        "unknown_list",
        ("run", "command"),
        "The project has no such list, or it is a dynamic one, which no sync can keep.",
        "`reverse-etl lists DESTINATION` shows the lists there are; name one of them in the config."
        " If the list was deleted and made anew, `reverse-etl run-sync SYNC --full` looks it up"
        " again.",
        _STAYS_PLANNED,
    ),
    ErrorCode(
        "ambiguous_list",
        ("run", "command"),
        "Several lists of the project have the name in the config.",
        "Say which one by its id: `list: {id: 12345}`. `reverse-etl lists DESTINATION` shows the"
        " ids. Or rename the others at Iterable.",
        _STAYS_PLANNED,
    ),
    ErrorCode(
        "list_refused",
        ("run", "command"),
        "Iterable refused to give what was asked for. That is its lists, a new list, the members of"
        " one, or a profile.",
        "Look at `base_url`, and at what Iterable says in the message; `reverse-etl check SYNC`"
        " asks again.",
        _STAYS_PLANNED,
    ),
    ErrorCode(
        "field_limit",
        ("run", "command"),
        "The project has no room for new profile fields. Nobody of the batch was written.",
        "Map fewer fields, or ask Iterable to raise the limit; `reverse-etl check SYNC` counts"
        " them.",
        _STAYS_PLANNED,
    ),
    ErrorCode(
        "redirected",
        ("run", "command"),
        "The answer was a redirect, which Iterable's API never gives. So somebody in between"
        " answered.",
        "Look at `base_url` and at proxies in between; `reverse-etl check SYNC` asks again.",
        _STAYS_PLANNED,
    ),
    ErrorCode(
        "not_found_page",
        ("run", "command"),
        "The host does not know the address that was called.",
        "Look at `base_url`, and that nothing in between rewrites the path;"
        " `reverse-etl check SYNC` asks again.",
        _STAYS_PLANNED,
    ),
    ErrorCode(
        "unreadable_answer",
        ("run", "command"),
        "The host answered with success, but not as Iterable does.",
        "Look at `base_url`: is that Iterable, or a page of a proxy? `reverse-etl check SYNC` asks"
        " again.",
        _STAYS_PLANNED,
    ),
)
