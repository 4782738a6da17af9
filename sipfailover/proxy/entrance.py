"""The entrance: the first look at whatever comes, before anything is taken apart. Default deny, and calls that go on
before calls that begin.

Strangers get silence, and a look that costs a microsecond: a message of theirs is read only if it has a branch or a tag
of ours in it, for then it may belong to a call (`guest`). Who sends much that nobody asked for is banned for a while.

Known peers are served; but while we are behind with our work, or full, calls of theirs that would begin now are refused
without a transaction (RFC 3261 §8.2.7), each source by its own share (`routing.load`). Repeats, requests inside calls,
answers and calls for help are not touched. What is refused is told once when it begins and once when it ends.

What a caller is told: a PBX hears 503 with Retry-After (§21.5.4), and may have another way out. A carrier hears 486
with Retry-After (§20.33): to 503 it would take us out of service for all calls (some do at once, field notes on health
checks), while an office whose lines are all taken is something that every carrier knows, and who calls redials.
"""

import re
from zlib import crc32

from sipfailover.errors import WireError
from sipfailover.flow import Flow, Send
from sipfailover.proxy.core import Core
from sipfailover.proxy.count import Count
from sipfailover.proxy.invitation import is_emergency
from sipfailover.proxy.line import Line
from sipfailover.proxy.registrar import Registrar
from sipfailover.routing import Allowance, Bans, Load, site
from sipfailover.transaction import reply_to
from sipfailover.trunk import bare_emergency
from sipfailover.wire import Message, compose
from sipfailover.wire.compose import Header
from sipfailover.wire.uri import user

CALLS_MAX = 20_000
"""Calls in progress. A further one is refused, which costs its caller a redial and nobody else anything."""
CALLS_OF_ONE_MAX = 15_000
"""Of these, how many one PBX or trunk may have, so that one gone mad leaves room for the others."""
TRANSACTIONS_MAX = 100_000
"""Transactions alive, most for 32 s. Beyond it only what begins or ends a call is served; other requests are dropped,
and come again."""
BUSY_RETRY_AFTER: Header = (b"retry-after", b"5")
ANSWERS = (200, 0.005)
"""Refusals that one source gets, at once and each so many seconds. Who begins more calls than that does not listen, and
silence is five times cheaper: then an INVITE is not taken apart either."""
HELP = (20, 0.1)
"""Calls for help of one source while others of it are refused."""
OTHER_REQUESTS = (200, 0.01)
"""OPTIONS, REGISTER and whatever else is of no call, from one source. Beyond it there is silence: each is remembered
for 32 s (timer J), and a peer in its right mind sends one in some seconds."""
LOOKS = (50, 0.02, 500, 0.002)
"""Requests of strangers with something like a tag of ours that are read: of one source, and of all together. Who has
shown once that it belongs to a call is a guest, and not counted any more."""
GUESTS_MAX = 1024
"""Strange addresses that belong to a call. Beyond it the oldest is a stranger again, until it says something more."""
GUEST_FOR = 7200.0
"""Seconds since the last message that showed it."""
STRANGERS_TOLD_MAX = 256
"""Strange addresses that the log has told of. Further ones are only counted."""
LOOK_BYTES = 4096
"""Of a stranger's message, in which a tag or branch of ours is looked for."""
URI_BYTES = 256
"""Of an INVITE, in which the number is looked for when there is no time to take it apart."""

_OURS_IN_VIA = re.compile(rb"z9hG4bK[0-9a-f]{16}(?![0-9a-f])")
_OURS_IN_TO = re.compile(rb"\n(?:to|t)[ \t]*:[^\r\n]*tag[ \t]*=[ \t]*[0-9a-f]{16}(?![0-9a-f])", re.IGNORECASE)
_TAG_IN_TO = re.compile(rb"\n(?:to|t)[ \t]*:[^\r\n]*(?:\r\n[ \t][^\r\n]*)*;[ \t]*tag[ \t]*=", re.IGNORECASE)
_IN_CALLS = frozenset(
    {b"SIP/", b"INVI", b"ACK ", b"BYE ", b"CANC", b"PRAC", b"UPDA", b"INFO", b"REFE", b"NOTI"}
)  # fmt: skip
"""How messages begin that are not counted with OTHER_REQUESTS."""
_REQUESTS_OF_OURS = (b"INVITE", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"PRACK", b"UPDATE", b"INFO", b"REFER")


class Entrance:
    """See the module. `now`: seconds, monotonic. On the path."""

    def __init__(self, core: Core, count: Count, registrar: Registrar, now: float) -> None:
        self.core = core
        self.count = count
        self.registrar = registrar
        self.load = Load(now)
        self.bans = Bans()
        self.guests: dict[str, float] = {}
        """Strange host → until when it is a guest. The least recently proven first."""
        self.strangers = 0
        """Messages of strangers since the start, guests not counted."""
        self._looks = Allowance(*LOOKS)
        self._answers = Allowance(*ANSWERS)
        self._help = Allowance(*HELP)
        self._others = Allowance(*OTHER_REQUESTS)
        self._told: set[str] = set()
        self._refusing_since = 0.0
        self._refused = 0

    # -- known peers --------------------------------------------------------------------------------------------------

    def turns_away(self, flow: Flow, data: bytes, source: Line, now: float) -> bool:
        """True if this message of a known peer is dealt with, or dropped: nothing more is done about it."""
        beginning = data[:4]
        if beginning == b"INVI":
            full = self._is_full(source)
            return (not self.load.may(flow.host, now) or full) and self._refuse(flow, data, source, now, full=full)
        if beginning not in _IN_CALLS and not flow.reliable and beginning[:1] not in b"\r\n":
            if self._others.take(flow.host, now):
                return False
            self.count.rejected("too_often")
            return True
        return False

    def is_too_much(self, message: Message, host: str) -> bool:
        """Whether a message from there is one too many to remember, when TRANSACTIONS_MAX are there."""
        if (
            message.status
            or message.method in (b"INVITE", b"ACK", b"CANCEL")
            or self.core.layer.is_repeat(message, host)
        ):
            return False
        if message.method == b"BYE" and message.to_tag + b";" + message.from_tag in self.core.legs:
            return False
        self.count.rejected("too_often")
        return True

    def late(self, seconds: float, now: float, seen: float) -> None:
        """So far we are behind with our work. To be called some ten times a second. `seen`: see `Load.look`."""
        load = self.load
        if not load.look(seconds, now, seen):
            return
        if load.rate is not None:
            self._refusing_since, self._refused = now, 0
            self.core.log(
                "warning",
                f"{seconds * 1000:.0f} ms behind: new calls are refused where one source begins more than its share",
                calls_per_second=round(load.rate),
                share=round(load.share),
                sources=load.sources,
            )
        else:
            lasted = round(now - self._refusing_since, 1)
            self.core.log("info", "new calls are let in as they come again", refused=self._refused, seconds=lasted)

    def _is_full(self, source: Line) -> bool:
        return len(self.core.calls) >= CALLS_MAX or source.trunk.calls_now >= CALLS_OF_ONE_MAX

    def _refuse(self, flow: Flow, data: bytes, source: Line, now: float, *, full: bool) -> bool:
        """Refuse an INVITE if it would begin a call. False: it goes on, because it is of a call, or for help."""
        core, host = self.core, flow.host
        if not self._answers.may(host, now) and not self._is_special(data):
            # It may be a copy of one that was let in; but that has its answer, and comes again if that was lost.
            self.count.rejected("full" if full else "late")
            self._refused += 1
            return True
        try:
            request = Message(data)
            if core.layer.is_repeat(request, host) or request.to_tag + b";" + request.from_tag in core.legs:
                return False
            if is_emergency(core, request, source) and self._help.take(host, now):
                return False
            self.count.received(source.role, request)
            self.count.rejected("full" if full else "late")
            self._refused += 1
            if self._answers.take(host, now):
                self._say_no(flow, request, source, full=full)
        except WireError:
            return False  # who reads it next says what is wrong with it
        return True

    def _is_special(self, data: bytes) -> bool:
        """Whether an INVITE, not taken apart, may be of a call (To has a tag) or for help."""
        uri = data[7 : data.find(b" ", 7, URI_BYTES)]
        if bare_emergency(user(uri), self.core.emergency_numbers) is not None or uri[:4].lower() == b"urn:":
            return True
        return _TAG_IN_TO.search(data, 0, LOOK_BYTES) is not None

    def _say_no(self, flow: Flow, request: Message, source: Line, *, full: bool) -> None:
        status, reason, headers = busy(source, full=full)
        lines = compose.reply_lines(request, flow.host.encode(), flow.port)
        tag = b"%08x" % crc32(request.call_id + request.from_tag)  # the same for each copy: §8.2.7
        data = compose.reply(status, reason, lines, compose.to_line(request, tag), headers)
        self.core.out.append(Send(reply_to(flow, request), data))

    # -- strangers ----------------------------------------------------------------------------------------------------

    def stranger(self, flow: Flow, data: bytes, now: float) -> Line | None:
        """Whose guest a stranger is, or which PBX; None if it is nobody, or has heard what there is to be said."""
        host = flow.host
        guest = self.guests.get(host, 0.0) > now
        if guest or self._may_be_guest(flow, data, now):
            line = self._guest(flow, data)
            if line is not None:
                self._welcome(flow, now)
                return line
        self.strangers += 1
        if self.registrar.is_open and data[:9] == b"REGISTER ":
            return self._registrant(flow, data, now)
        key = _ban_key(flow)
        if self.bans.holds(key, now):
            self.count.rejected("banned")
        else:
            self._not_allowed(flow, data)
            if not guest and self.bans.strike(key, now) and self.core.admission.knows(host):
                self.bans.lift(key)  # behind the NAT of a registered PBX
        return None

    def shuts_out(self, host: str, now: float) -> bool:
        """Whether connections from there are not even taken. Only what came over connections counts: their source
        cannot be forged."""
        return self.bans.holds(f"{host} over tcp", now) and host not in self.guests

    @property
    def told(self) -> int:
        """Strange addresses that the log has told of."""
        return len(self._told)

    @property
    def allowances(self) -> tuple[tuple[str, int], ...]:
        """(of what, how many sources) for each allowance."""
        kinds = (("looks", self._looks), ("refusals", self._answers), ("help", self._help), ("others", self._others))
        return tuple((name, len(allowance)) for name, allowance in kinds)

    def is_guest(self, host: str) -> bool:
        """Whether a call of ours has gone to this strange address, or comes from there."""
        return host in self.guests

    def _may_be_guest(self, flow: Flow, data: bytes, now: float) -> bool:
        """Whether it is worth reading: it has the branch of a request that waits for an answer, or a tag like ours."""
        if data[:4].upper() == b"SIP/":
            found = _OURS_IN_VIA.search(data, 0, LOOK_BYTES)
            clients = self.core.layer.clients
            return found is not None and any((found[0], b"", method) in clients for method in _REQUESTS_OF_OURS)
        return _OURS_IN_TO.search(data, 0, LOOK_BYTES) is not None and self._looks.take(site(flow.host), now)

    def _guest(self, flow: Flow, data: bytes) -> Line | None:
        """Whose guest a stranger is, None if nobody's: a Contact or Record-Route of a known peer sent us there, so it
        may speak inside that dialog; and whoever knows the branch of a request of ours may answer it (§17.1.3)."""
        core = self.core
        try:
            message = Message(data)
            if message.status:
                tx = core.layer.clients.get((message.via.branch, b"", message.cseq_method))
                return core.line_at(tx.to) or self._host_of(message.from_tag + b";" + message.to_tag) if tx else None
            key = message.to_tag + b";" + message.from_tag
            leg = core.legs.get(key)
            return self._host_of(key) if leg is not None and leg.to.host == flow.host else None
        except WireError:
            return None

    def _host_of(self, key: bytes) -> Line | None:
        """The trunk or PBX on whose side a leg is, while its call goes on."""
        leg = self.core.legs.get(key)
        call = self.core.calls.get(leg.call) if leg is not None else None
        if leg is None or call is None:
            return None
        return call.source if leg.caller else call.line

    def _welcome(self, flow: Flow, now: float) -> None:
        """It belongs to a call."""
        guests = self.guests
        guests.pop(flow.host, None)
        if len(guests) >= GUESTS_MAX:
            del guests[next(iter(guests))]
        guests[flow.host] = now + GUEST_FOR
        self.bans.lift(_ban_key(flow))

    def _registrant(self, flow: Flow, data: bytes, now: float) -> Line | None:
        """Which PBX a stranger is that registers; None if it is none, and has heard what there is to be said."""
        try:
            return self.registrar.knock(flow, data, now)
        except WireError:
            self.count.rejected("malformed")
            return None

    def _not_allowed(self, flow: Flow, data: bytes) -> None:
        """Nobody we know: silence, so that scanners learn nothing; the log tells the operator once for each address."""
        self.count.rejected("not_allowed")
        if flow.host not in self._told and len(self._told) < STRANGERS_TOLD_MAX:
            self._told.add(flow.host)
            first = data[:60].partition(b"\r")[0].decode("latin-1")
            hint = "if it is your PBX, write its address under pbx"
            if any(line.registrant is not None and not line.trunk.targets for line in self.core.pbxs):
                hint = "if it is your PBX, it has to register before it calls, or needs its address under pbx"
            self.core.log(
                "warning",
                f"messages from {flow.host} are ignored: it is neither a PBX nor a trunk",
                first=first,
                hint=hint,
            )


def busy(source: Line, *, full: bool = False) -> tuple[int, bytes, tuple[Header, ...]]:
    """(status, reason, headers) for a call that may not begin: see the module."""
    if source.role == "pbx":
        return 503, b"Too many calls" if full else b"Too many calls at once", (BUSY_RETRY_AFTER,)
    return 486, b"", (BUSY_RETRY_AFTER,)


def _ban_key(flow: Flow) -> str:
    """By UDP the source may be forged, by a connection not: they are told apart."""
    return f"{flow.host} over tcp" if flow.reliable else flow.host
