"""A local stand-in for the Iterable API, to try a sync and to test one.

Written from the public API description, from recorded traffic and from Iterable's articles; it
shares no code with the connector or the engine, so that a misreading cannot hide in both. Where
the sources are silent a choice was made and is marked "chosen" beside the code.

    fields      profile fields, their types, dates
    visibility  changes that reads do not show yet
    identifiers which e-mails and userIds are taken, who is forgotten
    people      profiles, and how each project type finds them
    journal     what was asked
    state       people, fields and lists
    wire        call, reply, error bodies
    bulk        the people of a body, the bulk answer
    list_calls  the calls under /api/lists
    user_calls  the calls under /api/users
    faults      what can go wrong on purpose
    limits      requests within a time
    api         route, key, limits, call
    listener    sockets
    control     /sandbox/...: arranging a running sandbox
    server      Sandbox: all of it in this process
    command     serve: all of it as a command

In a test::

    with Sandbox("hybrid", field_limit=5) as sandbox:
        sandbox.declare_fields({"plan": "string"})
        sandbox.add_profile(email="ada@example.com", user_id="u1", fields={"plan": "gold"})
        sandbox.seed_list("VIP", ["u1"])
        sandbox.forget("u2")
        ...                                  # calls over HTTP to sandbox.url
        sandbox.state.profile("u1").fields   # {"plan": "gold"}
        sandbox.state.fields.types           # {..., "plan": "string"}

Over HTTP the same is done under ``/sandbox/``: see ``control`` and the README beside this file.
"""

from .command import serve
from .faults import Fault
from .fields import FIELD_TYPES
from .journal import RequestRecord
from .people import Person, Profile
from .server import Sandbox
from .state import MailingList, State

__all__ = [
    "FIELD_TYPES",
    "Fault",
    "MailingList",
    "Person",
    "Profile",
    "RequestRecord",
    "Sandbox",
    "State",
    "serve",
]
