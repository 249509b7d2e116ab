"""A local stand-in for the Iterable API, to try a sync and to test one.

Written from the public API description, from recorded traffic and from Iterable's articles; it
shares no code with the connector or the engine, so that a misreading cannot hide in both. Where
the sources are silent a choice was made and is marked "chosen" beside the code.

    people      profiles, and how each project type finds them
    state       people, lists, and what was asked
    list_calls  the calls under /api/lists
    wire        call, reply, error bodies
    faults      what can go wrong on purpose
    limits      requests within a time
    api         route, key, limits, call
    listener    sockets
    control     /sandbox/...: arranging a running sandbox
    server      Sandbox: all of it in this process
    command     serve: all of it as a command
"""

from .command import serve
from .faults import Fault
from .people import Person, Profile
from .server import Sandbox
from .state import MailingList, RequestRecord, State

__all__ = [
    "Fault",
    "MailingList",
    "Person",
    "Profile",
    "RequestRecord",
    "Sandbox",
    "State",
    "serve",
]
