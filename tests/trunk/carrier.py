"""Trunks with settings about numbers and callers, and calls of a PBX to them, for tables."""

from functools import cache

from sipfailover.config import parse
from sipfailover.trunk import Presentation, presentation
from sipfailover.wire import Message
from tests.kit import invite

ACCOUNT = "domain: carrier.example, username: u7, password: x, "
HOST = b"carrier.example"


@cache
def carrier(keys: str = "", more: str = "") -> Presentation:
    """The trunk with these keys. `more`: further sections of the settings."""
    trunks = f"[{{name: main, host: carrier.example, {keys}}}, {{name: b, host: b.example}}]"
    text = f"pbx: 192.0.2.10\ntrunks: {trunks}\n{more}"
    settings = parse(text)
    return presentation(settings.trunks[0], settings, HOST)


def call(from_: str = '"Anna" <sip:0441112233@192.0.2.10>', *headers: str, called: str = "0443210019") -> Message:
    """An INVITE with this From (without its tag) and these further header lines."""
    data = invite(called)
    before, _, rest = data.partition(b"From: ")
    data = b"%b%b;tag=t\r\n%b" % (before + b"From: ", from_.encode(), rest.partition(b"\r\n")[2])
    more = tuple(line.encode() for line in headers)
    return Message(data.replace(b"Max-Forwards: 70\r\n", b"\r\n".join((b"Max-Forwards: 70", *more, b"")), 1))
