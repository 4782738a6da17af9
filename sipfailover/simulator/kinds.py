"""The ways in which trunks fail, as one table: what is written in a scenario → what the carrier, or the path, does.

From what administrators reported of outages (field notes: January 2018, July 2021, and the ranked list of failover
problems). Where several kinds are written for one fault, each call meets one of those that treat calls; the others
hold all the time.
"""

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """Whom a kind of failure takes hold of."""

    CARRIER = "carrier"
    """All that the carrier says and hears."""
    CALLS = "calls"
    """New calls, one by one; OPTIONS and REGISTER are well."""
    ACCOUNT = "account"
    """The registration."""
    PATH = "path"
    """The network between this trunk and us."""
    HERE = "here"
    """Our own side: no trunk is to blame."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to fail."""

    scope: Scope
    text: str
    """What happens, for people."""
    inbound: bool = False
    """Calls that come in are lost too, somewhere in the carrier."""
    harms: bool = True
    """False: nothing that a trunk should be taken out of service for."""


CARRIER, CALLS, ACCOUNT, PATH, HERE = Scope

KINDS: dict[str, Kind] = {
    "silence": Kind(CARRIER, "reads nothing, says nothing", inbound=True),
    "killed": Kind(CARRIER, "its port is closed: ICMP says so at once", inbound=True),
    "503": Kind(CARRIER, "answers 503 to calls and to OPTIONS", inbound=True),
    "503 with retry-after": Kind(CARRIER, "answers 503 and asks to be left alone (`retry_after`)", inbound=True),
    "setup fails": Kind(CALLS, "calls are refused with a mix of 500, 503, 480, 404 and 403 (`status`)", inbound=True),
    "options only": Kind(CALLS, "OPTIONS is answered, INVITE is not", inbound=True),
    "trying only": Kind(CALLS, "100 Trying, and then nothing", inbound=True),
    "rings then fails": Kind(CALLS, "it rings, and 500 comes after it"),
    "no ringing": Kind(CALLS, "the callee's telephone rings, the caller hears nothing until it is lifted"),
    "slow set-up": Kind(CALLS, "ringing comes later (`delay`, 8 s)"),
    "drops after seconds": Kind(CALLS, "answered calls are hung up by the network after 2 to 8 s"),
    "one way": Kind(CALLS, "one side hears nothing and hangs up; the signalling shows nothing of it"),
    "one destination": Kind(CALLS, "calls to some numbers fail (`destinations`, `status`)", harms=False),
    "options silent": Kind(CARRIER, "calls go through, OPTIONS outside them is not answered", harms=False),
    "all options silent": Kind(CARRIER, "the same, and those inside calls neither", harms=False),
    "register refused": Kind(ACCOUNT, "REGISTER is answered 403"),
    "register silent": Kind(ACCOUNT, "REGISTER is not answered"),
    "partition": Kind(PATH, "nothing passes between us and the carrier, either way", inbound=True),
    "loss": Kind(PATH, "a share of the packets is lost (`loss`, 10 %)", harms=False),
    "latency": Kind(PATH, "packets take longer (`delay`, 600 ms there and back)", harms=False),
    "no dns": Kind(HERE, "names do not resolve", harms=False),
    "no uplink": Kind(HERE, "nothing passes between us and any carrier", inbound=True, harms=False),
    "no route": Kind(HERE, "our own machine has no way out, and knows it", inbound=True, harms=False),
    "clock step": Kind(HERE, "the wall clock jumps (`step`); the engine's clock does not", harms=False),
}

ALIASES = {
    "silent": "silence", "dead": "killed", "port closed": "killed", "503 with retry after": "503 with retry-after",
    "set-up fails": "setup fails", "slow setup": "slow set-up", "drops": "drops after seconds",
    "one-way": "one way", "uplink gone": "no uplink", "dns gone": "no dns",
}  # fmt: skip
"""Other ways to write them."""


def kind(value: object) -> object:
    """The name of a kind as it stands in KINDS."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.lower().split())
    return ALIASES.get(text, text)
