"""The registrar: PBXs and telephones that register with us (RFC 3261 §10.3), and where they are therefore called.

User name and password say which PBX it is; the domain in To, From and Request-URI does not matter, so that a PBX may go
on speaking as if we were its carrier. What a REGISTER changes is `bindings`' business, digest is `wire.doorkeeper`'s.

A stranger may register too, since nobody knows beforehand where a PBX will come from. It is challenged without a
transaction, so seldom and so briefly that nobody can use us against others; the right password makes it a known source.
Whatever else a stranger says is met with silence, as everywhere.
"""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import quote

from sipfailover.flow import Flow, Send, Target
from sipfailover.proxy import keepsake
from sipfailover.proxy.bindings import EXPIRES_MIN, Address, Bindings, TooBrief, alive, bind, of, without_stream
from sipfailover.proxy.call import Clock
from sipfailover.proxy.commands import Forget, Keep
from sipfailover.proxy.core import Core
from sipfailover.proxy.count import Count
from sipfailover.proxy.line import Line, Registrant
from sipfailover.proxy.watch import Watch
from sipfailover.routing import Allowance, site
from sipfailover.transaction import Transaction, reply_to
from sipfailover.trunk import duration
from sipfailover.wire import Answer, Doorkeeper, Message, Verdict, compose
from sipfailover.wire.compose import Header
from sipfailover.wire.uri import user

REGISTER = b"REGISTER"
NOBODY = b"This is sipfailover: no PBX registers here, set username under pbx"
UNKNOWN = b"This is sipfailover: no PBX has this username, set it under pbx"

AMPLIFICATION_MAX = 1.2
"""Bytes that a stranger gets for each byte it sends over UDP, where its address may be somebody else's. A REGISTER so
short that no challenge fits gets none."""
STRANGERS = (10, 6.0, 100, 0.05)
"""REGISTERs of strangers that are challenged: so many at once from one source and one more each so many seconds, and
the same of all together (`Allowance`). Beyond it there is silence; a PBX repeats its REGISTER ten times (timer E)."""
PROVEN = (20, 3.0, 200, 0.02)
"""The same for who answers a challenge that was sent to its address: it is there, and no flood from forged addresses
keeps it out."""
KNOCKS = (100, 0.02, 1000, 0.002)
"""REGISTERs of strangers that answer some challenge, and are read at all; what the answer is worth is seen then."""
WRONG = (5, 60.0)
"""Wrong passwords from one source for one user name, at once and each so many seconds. Beyond it none is looked at, but
for a PBX that is registered from there. Whoever guesses from many sources needs a strong password to fail at."""
UNANSWERED_MAX = 1024
"""Clients that are remembered because their last REGISTER was challenged and not answered. Beyond it all are forgotten:
one that knows MD5 only needs one REGISTER more."""
TELL_EVERY = 60.0
"""Seconds between two log lines about wrong passwords from one source."""
TOLD_MAX = 256
"""Sources of wrong passwords that are remembered for that. Beyond it all are forgotten, and told once more."""
PROBE_AFTER = 0.5
"""Seconds from a registration at a new place to the first OPTIONS there: whether we can reach it too."""
NAME_SHOWN = 64

_ANSWERS = re.compile(rb"\nauthorization[ \t]*:", re.IGNORECASE)


class Registrar:
    """See the module. `now`: seconds, monotonic. `wall`: its time of day, for Date; None leaves that out."""

    def __init__(self, core: Core, watch: Watch, count: Count, wall: Callable[[float], datetime] | None = None) -> None:
        self.core = core
        self.watch = watch
        self.count = count
        self._wall = wall
        self._lines: dict[bytes, Line] = {}
        self._realms: dict[bytes, bytes] = {}
        """Domain of a carrier → the realm of its challenges, which a PBX that was made for it may insist on."""
        self._door = Doorkeeper(b"")
        self.configure()
        self._strangers = Allowance(*STRANGERS)
        self._proven = Allowance(*PROVEN)
        self._knocks = Allowance(*KNOCKS)
        self._wrong = Allowance(*WRONG)
        self._doubtful = Allowance(*WRONG)
        self._told: dict[str, float] = {}
        """Source → when the log told of a wrong password from there."""
        self._unanswered: dict[tuple[str, bytes], tuple[bytes, int]] = {}
        """(source, user) → Call-ID and CSeq of its REGISTER that was challenged and not answered since."""

    def configure(self) -> None:
        """Take what the settings say now. Nonces that are out are good, and who is registered stays so."""
        core = self.core
        had = bool(self._lines)
        self._lines = {line.registrant.username: line for line in core.pbxs if line.registrant is not None}
        self._realms = {
            (trunk.domain or trunk.host).lower().encode(): trunk.realm.encode()
            for trunk in core.settings.trunks
            if trunk.realm
        }
        if self._lines and not had:  # the first that register
            self._door = Doorkeeper(b"".join(core.chance.token() for _ in range(4)))

    @property
    def is_open(self) -> bool:
        """Whether any PBX registers."""
        return bool(self._lines)

    @property
    def allowances(self) -> tuple[tuple[str, int], ...]:
        """(of what, how many sources) for each allowance."""
        kinds = (
            ("challenges", self._strangers), ("answers", self._proven), ("knocks", self._knocks),
            ("wrong_passwords", self._wrong), ("doubtful_passwords", self._doubtful),
        )  # fmt: skip
        return tuple((name, len(allowance)) for name, allowance in kinds)

    @property
    def unanswered(self) -> int:
        """Clients whose last challenge is not answered yet."""
        return len(self._unanswered)

    @property
    def told(self) -> int:
        """Sources of wrong passwords that the log has told of."""
        return len(self._told)

    # -- REGISTER -----------------------------------------------------------------------------------------------------

    def knock(self, flow: Flow, data: bytes, now: float) -> Line | None:
        """A REGISTER of a stranger. The PBX that it is, if it shows the right password: then `register` is for it.
        Otherwise it was answered, or is not worth an answer. Raises WireError for what cannot be read."""
        core, source = self.core, site(flow.host)
        answers = _ANSWERS.search(data) is not None
        if not (self._knocks.take(source, now) if answers else self._strangers.may(source, now)):
            self.count.rejected("too_often")  # and nothing of it was taken apart
            return None
        request = Message(data)
        if core.layer.is_repeat(request, flow.host):
            return next(iter(self._lines.values()))  # its transaction answers it, whoever it is
        self.count.received("other", request)
        answer = self._door.answer(request, flow.host)
        proven = answer is not None and self._door.knows(answer, flow.host)
        if not (self._proven if proven else self._strangers).take(source, now):
            self.count.rejected("too_often")
            return None
        verdict = self._judge(answer, request, flow, now, spend=False) if answer is not None else Verdict.WRONG
        if answer is not None and verdict is Verdict.GOOD:
            return self._lines[answer.username]
        if verdict is None:
            self._tell_stranger(request, flow, 503, b"Too many wrong passwords", [_wait()])
        else:
            size = 0 if proven else len(data)
            self._challenge_stranger(request, flow, answer, size, now, stale=verdict is Verdict.STALE)
        return None

    def register(self, tx: Transaction, request: Message, flow: Flow, now: float) -> None:
        """A REGISTER of somebody known, or with the right password (§10.3). Raises WireError for what is wrong."""
        core = self.core
        if not self._lines:
            core.respond(tx, 403, NOBODY, now=now)
            return
        unsupported = [value for value in request.values(b"require") if value.lower() != b"path"]
        if unsupported:
            core.respond(tx, 420, headers=((b"unsupported", b", ".join(unsupported)),), now=now)
            return
        answer = self._door.answer(request, flow.host)
        if answer is None:
            self._challenge(tx, request, flow, None, now)
            return
        verdict = self._judge(answer, request, flow, now)
        line = self._lines.get(answer.username)
        if line is None:
            core.respond(tx, 403, UNKNOWN, now=now)
        elif verdict is None:
            core.respond(tx, 503, b"Too many wrong passwords", [_wait()], now=now)
        elif verdict is Verdict.GOOD:
            if not answer.is_md5:
                self._unanswered.pop((flow.host, user(request.to.uri)), None)
            self._bind(tx, request, flow, line, now)
        else:
            self._challenge(tx, request, flow, answer, now, stale=verdict is Verdict.STALE)

    def _challenge(
        self, tx: Transaction, request: Message, flow: Flow, answer: Answer | None, now: float, *, stale: bool = False
    ) -> None:
        simple = self._is_simple(request, flow, answer)
        headers = self._door.challenge(self._realm(request), flow.host, now, stale=stale, simple=simple)
        self.core.respond(tx, 401, headers=headers, now=now)

    def _is_simple(self, request: Message, flow: Flow, answer: Answer | None) -> bool:
        """Whether a client is offered MD5 alone: it has taken that, or the settings say so of the PBX that it names, or
        it comes anew and did not answer a challenge with both. RFC 8760 §2.4 has clients pass over what they do not
        know; older ones give up there (libre 1)."""
        if answer is not None:
            return answer.is_md5
        line = self._lines.get(user(request.to.uri))
        if line is not None and line.registrant is not None and line.registrant.md5_only:
            return True
        key = (flow.host, user(request.to.uri))
        this = (request.call_id, request.cseq)
        before = self._unanswered.get(key)
        if before is None:
            if len(self._unanswered) >= UNANSWERED_MAX:
                self._unanswered.clear()
            self._unanswered[key] = this
        return before is not None and before != this  # the same one again is a repeat: our answer was lost

    def _judge(self, answer: Answer, request: Message, flow: Flow, now: float, *, spend: bool = True) -> Verdict | None:
        """What an answer is worth; None: not looked at, because there were too many wrong ones.

        An answer to a nonce that was not sent to its source may be a PBX that was here before we were restarted, or
        before it moved, and has to hear that its password is right; or it is forged. So these are counted apart, and
        when there are too many they count as wrong: forged ones spoil nothing for who answers our challenge.
        """
        line = self._lines.get(answer.username)
        registrant = line.registrant if line is not None else None
        key = f"{site(flow.host)} {answer.username!r}"
        proven = self._door.knows(answer, flow.host)
        wrong = self._wrong if proven else self._doubtful
        if registrant is not None and not wrong.may(key, now) and not _is_home(registrant, flow):
            self.count.rejected("too_often")
            return None if proven else Verdict.WRONG
        password = registrant.password if registrant is not None else None
        verdict = self._door.judge(answer, request.method, password, flow.host, now, spend=spend)
        if verdict is Verdict.WRONG:
            if registrant is not None:
                wrong.take(key, now)
            self._tell_wrong(answer.username, registrant is not None, flow, now)
        return verdict

    def _bind(self, tx: Transaction, request: Message, flow: Flow, line: Line, now: float) -> None:
        core, registrant = self.core, line.registrant
        assert registrant is not None
        try:
            bindings = bind(alive(registrant.bindings, now), request, flow, registrant.longest, now, self._taken())
        except TooBrief as error:
            core.respond(tx, error.status, headers=((b"min-expires", b"%d" % EXPIRES_MIN),), now=now)
            return
        headers: list[Header] = [(b"contact", binding.to_bytes(now)) for binding in of(bindings, request)]
        headers += [(b"path", value) for value in request.values(b"path")]  # RFC 3327 §5.3
        if self._wall is not None:
            date = format_datetime(self._wall(now).astimezone(UTC), usegmt=True)
            headers.append((b"date", date.encode()))
        core.respond(tx, 200, headers=headers, now=now)
        self._moved(line, registrant, bindings, "it said goodbye", now)

    def _taken(self) -> set[Address]:
        """Where no PBX is: our listeners, and where the carriers are now."""
        core = self.core
        found = {(target.host, target.port) for line in core.trunks for target in line.trunk.targets}
        return found | {(listen.host, listen.port) for listen in core.settings.listen}

    def _realm(self, request: Message) -> bytes:
        """The realm for this PBX: the domain that it registers at, or the realm of the carrier that has this domain. It
        speaks to us as if to that, and may know its password for that realm alone."""
        domain = request.to.uri.partition(b":")[2].rpartition(b"@")[2].partition(b";")[0].partition(b"?")[0]
        if domain[:1] != b"[":
            domain = domain.partition(b":")[0]
        return self._realms.get(domain.lower(), domain)

    # -- strangers ----------------------------------------------------------------------------------------------------

    def _challenge_stranger(
        self, request: Message, flow: Flow, answer: Answer | None, size: int, now: float, *, stale: bool = False
    ) -> None:
        """401 without a transaction (§8.2.7), in the fullest form for which there is room."""
        simple = self._is_simple(request, flow, answer)
        for headers in self._door.forms(self._realm(request), flow.host, now, stale=stale, simple=simple):
            if self._tell_stranger(request, flow, 401, b"", headers, size):
                return
        self.count.rejected("not_allowed")

    def _tell_stranger(
        self, request: Message, flow: Flow, status: int, reason: bytes, headers: Sequence[Header], size: int = 0
    ) -> bool:
        """Answer without a transaction, if the answer to a request of `size` bytes (0: its address is proven) is not
        too long. True if it was sent."""
        lines = compose.reply_lines(request, flow.host.encode(), flow.port)
        data = compose.reply(status, reason, lines, compose.to_line(request, self.core.chance.tag()), headers)
        if size and not flow.reliable and len(data) > AMPLIFICATION_MAX * size:
            return False
        self.core.out.append(Send(reply_to(flow, request), data))
        return True

    def _tell_wrong(self, username: bytes, is_known: bool, flow: Flow, now: float) -> None:
        self.count.rejected("wrong_password")
        told_at = self._told.get(flow.host)
        if told_at is not None and now - told_at < TELL_EVERY:
            return
        if len(self._told) >= TOLD_MAX:
            self._told.clear()
        self._told[flow.host] = now
        name = "".join(c if c.isprintable() else "?" for c in username[:NAME_SHOWN].decode("utf-8", "replace"))
        what = "with a wrong password" if is_known else "with a username that no PBX has"
        self.core.log("warning", f"REGISTER from {flow} {what}", username=name)

    # -- where a PBX is -----------------------------------------------------------------------------------------------

    def resolved(self, line: Line, registrant: Registrant, targets: tuple[Target, ...], why: str, now: float) -> None:
        """The `host` of a PBX that registers has these addresses; () with the reason keeps the last good ones."""
        registrant.resolved, registrant.why = targets or registrant.resolved, why
        self.core.admission.learn(line.peer, [(target.host, target.port) for target in registrant.resolved])
        self._settle(line, registrant, now)

    def wake(self, line: Line, now: float) -> None:
        """A binding has run out."""
        registrant = line.registrant
        assert registrant is not None
        registrant.timer = None
        self._moved(line, registrant, alive(registrant.bindings, now), "it did not come again in time", now)

    def lost(self, where: Target, now: float) -> None:
        """A connection is gone: whoever registered over it is called another way, or not at all."""
        if not isinstance(where, Flow) or not where.reliable:
            return
        for line in self._lines.values():
            registrant = line.registrant
            assert registrant is not None
            if any(binding.flow.connection == where.connection for binding in registrant.bindings):
                left = without_stream(registrant.bindings, where.connection)
                self._moved(line, registrant, left, "its connection is gone", now)

    def restore(self, line: Line, bindings: Bindings, now: float) -> None:
        """An earlier process has left these."""
        if line.registrant is not None:
            self._moved(line, line.registrant, bindings, "", now)

    def left(self, line: Line, now: float) -> None:
        """A PBX has left the file: where it registered from is known to be it while it has calls."""
        registrant = line.registrant
        if registrant is None:
            return
        if registrant.timer is not None:
            registrant.timer.stop()
            registrant.timer = None
        if self.core.keeping and registrant.bindings:
            self.core.out.append(Forget(keepsake.PBX + quote(line.name)))

    def _moved(self, line: Line, registrant: Registrant, bindings: Bindings, why: str, now: float) -> None:
        """A PBX has these bindings now. `why`: it has none any more."""
        core, before = self.core, registrant.bindings
        registrant.bindings = bindings
        if core.keeping:
            key = keepsake.PBX + quote(line.name)
            record = (key, keepsake.bindings_record(bindings, core.epoch, now))
            core.out.append(Keep((record,)) if bindings else Forget(key))
        if before and not bindings:
            registrant.left_at, registrant.left = now, why
            core.log("warning", f"PBX {line.name} is not registered any more", why=why)
        elif bindings and _place(bindings) != _place(before):
            first = bindings[0]
            text = "is registered from another place" if before else "is registered"
            contact = first.contact.decode("latin-1")
            core.log("info", f"PBX {line.name} {text}", where=str(first.flow), contact=contact)
        self._settle(line, registrant, now)
        if registrant.timer is not None:
            registrant.timer.stop()
            registrant.timer = None
        if bindings:
            due = min(binding.expires_at for binding in bindings)
            registrant.timer = core.timers.start(max(0.0, due - now), now, Clock.UNREGISTER, line)

    def _settle(self, line: Line, registrant: Registrant, now: float) -> None:
        """Have calls go where a PBX is registered, then to its host; and know it by where it registered from."""
        trunk, bindings = line.trunk, registrant.bindings
        sources = [(binding.flow.host, binding.flow.port) for binding in bindings]
        sources += [
            (binding.target.host, binding.target.port)
            for binding in bindings
            if binding.target.host == binding.flow.host  # another address is believed to be its own by its answers only
        ]
        self.core.admission.registered(line.peer, dict.fromkeys(sources))
        targets = {target.peer: target for target in reversed(registrant.resolved)}
        targets |= {binding.target.peer: binding.target for binding in reversed(bindings)}
        found = tuple(targets[peer] for peer in reversed(targets))
        if found[:1] != trunk.targets[:1]:
            trunk.gone(f"it is not registered: {registrant.left}")  # and the newest place goes before the one in use
            trunk.probe.next_at = min(trunk.probe.next_at, now + PROBE_AFTER)
        if found:
            trunk.resolved(found)
        if not bindings and registrant.why:
            trunk.resolved((), registrant.why)
        self.watch.resolved(line, now)


def story(registrant: Registrant, now: float) -> str:
    """How a PBX is registered, for people: `Registered from udp 192.168.10.5:5060 for 8 min`."""
    bindings = registrant.bindings
    if bindings:
        more = f", and at {len(bindings) - 1} more" if len(bindings) > 1 else ""
        return f"Registered from {bindings[0].flow} for {duration(now - bindings[0].since)}{more}"
    if registrant.left_at is None:
        return "Not registered yet"
    return f"Not registered for {duration(now - registrant.left_at)}: {registrant.left}"


def _place(bindings: Bindings) -> tuple[object, ...]:
    """Where calls go first, as people see it."""
    return (bindings[0].flow.peer, bindings[0].contact) if bindings else ()


def _is_home(registrant: Registrant, flow: Flow) -> bool:
    """Whether the PBX is registered from there already."""
    return any(binding.flow.peer == flow.peer for binding in registrant.bindings)


def _wait() -> Header:
    return (b"retry-after", b"%d" % WRONG[1])
