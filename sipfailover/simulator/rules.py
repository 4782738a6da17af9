"""What must hold in every world, whatever fails: looked after while the world goes on, told in sentences.

The rules see what goes in and out of the engine, its facts, and its tables; they believe none of them alone.

    one final answer to each request, and one for each that was asked for
    no 2xx is lost: it is acknowledged, and either the caller has it or it is hung up
    ACK follows its INVITE, and each failure is acknowledged at once
    a call that rings at one carrier is never offered to another (emergency calls aside), and never to two at a time;
    with `failover.hedge`, to two until the first rings, and then the other is cancelled at once
    no attempt without a clock that ends it
    no trunk is Down, or in Trial, for ever: once all is well it is tried again
    no call is refused while a usable trunk has a free channel
    what the engine records of an attempt is what the carrier lived through
    in the end nothing is left in any table
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from sipfailover.proxy import AttemptEnded, CallEnded, Engine, Fact, ProbeEnded, TrunkChanged
from sipfailover.simulator.leftovers import leftovers, stopped_clocks
from sipfailover.simulator.leg import Leg
from sipfailover.simulator.text import Peer, user_of

MARK = b"X-Call"
"""Header by which both sides of a call know it in a simulated world: the engine passes on what it does not know."""
LIFE = 32.0
"""64*T1, seconds: how long anything is waited for."""
REMEMBERED = 400.0
"""Seconds for which the beginning of a call is remembered."""
HELD_MAX = 1800.0 + 120.0
"""Seconds: the longest hold-down that grows by itself, and the longest Retry-After that is believed."""
PROBES_APART = 120.0
"""Seconds that may pass until enough good checks have come in, at the slowest pace."""
TRIAL_CALLS, TRIAL_PATIENCE = 10, 150.0
"""So many calls went elsewhere, for so long, while a trunk in Trial got none: it is not being tried."""
BROKEN_MAX = 40
"""Sentences that are kept."""
HARMLESS = frozenset({"answered", "cancelled"})
AT_ONCE = 2
"""Carriers that may have one call at the same time, with `failover.hedge`."""


class Rules:
    """See the module. A `Watcher` of a `World`.

    engine: whose tables are looked at; trunks: address → name; emergency: numbers that may ring twice.
    """

    def __init__(self, engine: Engine, trunks: dict[Peer, str], emergency: Iterable[str] = (), *, hold: float = 600.0):
        self.engine = engine
        self.trunks = trunks
        self.emergency = frozenset(emergency)
        self.down_max = max(HELD_MAX, hold) + PROBES_APART
        self.also: Callable[[Fact, float], object] = lambda fact, now: None
        """Who else wants to know of facts."""
        self.broken: dict[str, float] = {}
        """What was broken → when, the first ones."""
        self._waiting: dict[tuple[bytes, bytes], float] = {}
        self._finals: dict[tuple[bytes, bytes], int] = {}
        self._marks: dict[bytes, bytes] = {}
        """Call-ID → mark, of INVITEs in and out."""
        self._sent: dict[tuple[bytes, bytes], tuple[float, bytes, bytes]] = {}
        """(Call-ID, CSeq number) of an INVITE that we sent → when, branch, mark."""
        self._answered: set[tuple[bytes, bytes]] = set()
        self._acknowledged: set[tuple[bytes, bytes]] = set()
        """INVITEs of ours whose answer was acknowledged at least once."""
        self._rang: dict[bytes, bytes] = {}
        """Mark → Call-ID of the attempt at which it rings."""
        self._over: set[bytes] = set()
        """Call-IDs of attempts that are over, cancelled or hung up."""
        self._hung_up: set[bytes] = set()
        """Call-IDs of dialogs in which a BYE came or went: no answer in them is lost."""
        self._relayed: set[bytes] = set()
        """Marks of calls that were told a 2xx."""
        self._watched: set[bytes] = set()
        """Marks of calls that may ring at one carrier only."""
        self._offered: dict[bytes, dict[bytes, Peer]] = {}
        """Mark → Call-IDs of attempts that are under way, and where."""
        self.at_once = AT_ONCE if engine.core.settings.failover.hedge else 1
        self._owed: dict[tuple[bytes, Any], float] = {}
        """(what, of which) → until when it must have been done."""
        self._debts: tuple[deque[tuple[float, tuple[bytes, Any]]], ...] = (deque(), deque())
        """(due, debt): those that are due at once, and those that have their time; each in the order of their time."""
        self._old: deque[tuple[float, Any, Any]] = deque()
        self._attempts: dict[str, AttemptEnded] = {}
        self._by_call: dict[int, list[str]] = {}
        self._down: dict[str, float] = {}
        self._bad: dict[str, float] = {}
        self._trial: dict[str, tuple[float, int]] = {}

    # -- what the world tells -----------------------------------------------------------------------------------------

    def sent(self, to: Peer, data: bytes, now: float) -> None:
        """The engine sent this."""
        if data.startswith((b"OPTIONS ", b"REGISTER ", b"\r\n")):
            return
        number, method = _cseq(data)
        if data.startswith(b"SIP/2.0 "):
            self._answers(int(data[8:11]), method, data, now)
        elif method == b"INVITE":
            self._invites(to, number, data, now)
        elif method == b"ACK":
            key = (_field(data, b"Call-ID"), number)
            if key in self._sent and key not in self._answered:
                self._break(f"ACK left before its INVITE was answered: {_first(data)}", now)
            self._owed.pop((b"ack", key), None)
            self._remember(self._acknowledged, key, now)
        elif method in (b"BYE", b"CANCEL"):
            self._remember(self._over, _field(data, b"Call-ID"), now)
            if method == b"BYE":
                self._remember(self._hung_up, _field(data, b"Call-ID"), now)

    def received(self, source: Peer, data: bytes, now: float) -> None:
        """The engine is about to read this."""
        if data.startswith(b"SIP/2.0 "):
            if b"OPTIONS\r\n" in data and _cseq(data)[1] == b"OPTIONS":
                return
            self._heard(data, now)
            return
        method = _cseq(data)[1]
        if method in (b"", b"ACK", b"OPTIONS"):
            return
        if method == b"BYE":
            self._remember(self._hung_up, _field(data, b"Call-ID"), now)
        key = (_branch(data), method)
        if key in self._finals or key in self._waiting:
            return
        self._waiting[key] = now
        if method == b"INVITE" and b";tag=" not in _field(data, b"To"):
            mark = _field(data, MARK)
            uri = data.split(b" ", 2)[1]
            if mark and user_of(uri) not in self.emergency:
                self._remember(self._marks, _field(data, b"Call-ID"), now, mark)
                self._remember(self._watched, mark, now)

    def recorded(self, fact: Fact, now: float) -> None:
        """The engine says that this has happened."""
        self.also(fact, now)
        if isinstance(fact, ProbeEnded):
            if fact.result == "answered" and fact.trunk in self._down:
                self._down_for(fact.trunk, now)
            elif fact.result != "answered":
                self._bad[fact.trunk] = now
        elif isinstance(fact, AttemptEnded):
            self._attempted(fact, now)
        elif isinstance(fact, CallEnded):
            self._ended(fact, now)
        elif isinstance(fact, TrunkChanged) and fact.direction == "outbound":
            self._down.pop(fact.trunk, None)
            self._trial.pop(fact.trunk, None)
            if fact.after == "Down":
                self._down[fact.trunk] = now
            elif fact.after == "Trial":
                self._trial[fact.trunk] = (now, 0)

    def stepped(self, now: float) -> None:
        """The engine has done what it wanted to do, for this moment."""
        if self.engine.core.calls:
            for sentence in stopped_clocks(self.engine):
                self._break(sentence, now)
        for debts in self._debts:
            while debts and debts[0][0] < now:
                self._due(debts.popleft()[1], now)
        while self._old and self._old[0][0] < now:
            _, table, key = self._old.popleft()
            table.discard(key) if isinstance(table, set) else table.pop(key, None)

    def finish(self, legs: dict[str, list[Leg]], now: float) -> list[str]:
        """Everything is over. `legs`: trunk → the legs that its carrier had. Returns all that was broken."""
        for debts in self._debts:
            while debts:
                self._due(debts.popleft()[1], now)
        for key, at in self._waiting.items():
            self._break(f"{key[1].decode()} of {at:.3f} never got a final answer", at)
        for sentence in leftovers(self.engine):
            self._break(sentence, now)
        for trunk, known in legs.items():
            for leg in known:
                if not leg.outgoing:
                    self._compare(trunk, leg)
        return sorted(self.broken)

    # -- rules about messages -----------------------------------------------------------------------------------------

    def _answers(self, status: int, method: bytes, data: bytes, now: float) -> None:
        if status < 200:
            return
        key = (_branch(data), method)
        before = self._finals.get(key)
        if before is not None and before != status:
            self._break(f"{method.decode()} got two final answers, {before} and {status}", now)
        if before is None:
            self._remember(self._finals, key, now, status)
            self._waiting.pop(key, None)
        if method == b"INVITE" and status < 300:
            mark = self._marks.get(_field(data, b"Call-ID"))
            if mark is not None:
                self._remember(self._relayed, mark, now)

    def _invites(self, to: Peer, number: bytes, data: bytes, now: float) -> None:
        call_id, branch = _field(data, b"Call-ID"), _branch(data)
        key = (call_id, number)
        known = self._sent.get(key)
        if known is not None and known[1] == branch:
            return  # again
        mark = _field(data, MARK) if b";tag=" not in _field(data, b"To") else b""
        mark = mark if mark in self._watched else b""
        self._remember(self._sent, key, now, (now, branch, mark))
        if mark:
            self._remember(self._marks, call_id, now, mark)
            if mark in self._rang:
                self._break(f"call {mark.decode()} rang, and was offered again", now)
            offered = self._under_way(mark, now)
            offered[call_id] = to
            if len(offered) > self.at_once and mark not in self._rang:
                self._break(f"call {mark.decode()} is offered to {len(offered)} carriers at a time", now)

    def _heard(self, data: bytes, now: float) -> None:
        number, method = _cseq(data)
        if method != b"INVITE":
            return
        call_id, status = _field(data, b"Call-ID"), int(data[8:11])
        key = (call_id, number)
        known = self._sent.get(key)
        if known is None:
            return
        sent_at, _, mark = known
        if status < 200:
            if status not in (100, 199) and mark and call_id not in self._over:
                ringing = self._rang.get(mark)
                if ringing is not None and ringing != call_id and ringing not in self._over:
                    self._break(f"call {mark.decode()} rings at two carriers", now)
                self._remember(self._rang, mark, now, call_id)
                self._owe(b"alone", (mark, call_id), now)
            return
        self._remember(self._answered, key, now)
        if now - sent_at >= LIFE:
            return  # nothing remembers that INVITE any more
        good = status < 300
        if mark and not good and status not in (401, 407):
            self._under_way(mark, now).pop(call_id, None)
        elif mark and good and call_id not in self._over:
            self._owe(b"alone", (mark, call_id), now)
        if not (call_id in self._hung_up and key in self._acknowledged):  # else BYE has ended what said it again
            self._owe(b"ack", key, now + LIFE + 1.0 if good else now, later=good)
        if good and mark:
            self._owe(b"2xx", call_id, now + LIFE + 2.0, later=True)

    def _under_way(self, mark: bytes, now: float) -> dict[bytes, Peer]:
        """The attempts of a call that are not over."""
        offered = self._offered.get(mark)
        if offered is None:
            offered = {}
            self._remember(self._offered, mark, now, offered)
        for call_id in [known for known in offered if known in self._over]:
            del offered[call_id]
        return offered

    def _owe(self, what: bytes, of: Any, due: float, *, later: bool = False) -> None:
        if (what, of) not in self._owed:
            self._owed[what, of] = due
            self._debts[later].append((due, (what, of)))

    def _due(self, debt: tuple[bytes, Any], now: float) -> None:
        if self._owed.pop(debt, None) is None:
            return
        what, of = debt
        if what == b"ack":
            self._break(f"the answer to INVITE {of[1].decode()} of {of[0].decode()} was never acknowledged", now)
        elif what == b"2xx" and self._marks.get(of) not in self._relayed and of not in self._hung_up:
            self._break(f"an answer of {of.decode()} was lost: neither relayed nor hung up", now)
        elif what == b"alone":
            mark, winner = of
            others = [peer for call_id, peer in self._under_way(mark, now).items() if call_id != winner]
            if others and winner not in self._over:
                names = " and ".join(self.trunks.get(peer, str(peer)) for peer in others)
                self._break(f"call {mark.decode()} rings, and {names} still has it", now)

    # -- rules about facts --------------------------------------------------------------------------------------------

    def _attempted(self, fact: AttemptEnded, now: float) -> None:
        if fact.call_id in self._attempts:
            self._break(f"the attempt {fact.call_id} was recorded twice", now)
        self._attempts[fact.call_id] = fact
        self._by_call.setdefault(fact.call, []).append(fact.trunk)
        if fact.outcome != "answered":
            self._over.add(fact.call_id.encode())
            self._old.append((now + REMEMBERED, self._over, fact.call_id.encode()))
        if fact.outcome not in HARMLESS:
            self._bad[fact.trunk] = now
        for trunk, (since, passed) in list(self._trial.items()):
            if fact.trunk == trunk:
                self._trial[trunk] = (now, 0)
            elif fact.number == 1 and self._tier(fact.trunk) > self._tier(trunk):
                self._trial[trunk] = (since, passed + 1)
                if passed + 1 >= TRIAL_CALLS and now - since > TRIAL_PATIENCE:
                    self._trial.pop(trunk)
                    why = f"{passed + 1} calls in {now - since:.0f} s went to a trunk behind it"
                    self._break(f"{trunk} is in Trial, and is not tried: {why}", now)

    def _tier(self, trunk: str) -> int:
        """Its place in the order; 0 for a PBX, which stands behind no trunk."""
        line = self.engine.core.lines.get(trunk)
        return 0 if line is None else line.trunk.tier

    def _ended(self, fact: CallEnded, now: float) -> None:
        tried = self._by_call.pop(fact.call, [])
        if fact.attempts != len(tried):
            self._break(f"call {fact.call}: {len(tried)} attempts recorded of {fact.attempts}", now)
        core = self.engine.core
        if fact.result != "trunk failed" or fact.ringing_after is not None:
            return
        if now - fact.started_at >= core.settings.failover.give_up_after:
            return
        for line in core.trunks:
            trunk = line.trunk
            if trunk.usable and not trunk.full and trunk.health.since < fact.started_at and line.name not in tried:
                self._break(f"call {fact.call} was refused, and {line.name} was free and usable", now)

    def _down_for(self, trunk: str, now: float) -> None:
        since = max(self._down[trunk], self._bad.get(trunk, 0.0))
        if now - since > self.down_max:
            self._down[trunk] = now
            self._break(f"{trunk} is Down although nothing failed for {now - since:.0f} s", now)

    def _compare(self, trunk: str, leg: Leg) -> None:
        fact = self._attempts.get(leg.call_id.decode())
        if fact is None:
            self._break(f"{trunk} was offered {leg.number} at {leg.seen_at:.3f}, and no record says so", leg.seen_at)
        elif fact.trunk != trunk:
            self._break(f"{trunk} was offered {leg.number}, and the record says {fact.trunk}", leg.seen_at)
        elif fact.outcome == "answered" and leg.answered_at is None:
            self._break(f"{trunk} never answered {leg.number}, and the record says so", leg.seen_at)
        elif fact.outcome == "rejected" and leg.status not in (0, fact.status):
            self._break(f"{trunk} said {leg.status} to {leg.number}, the record says {fact.status}", leg.seen_at)

    # -- books --------------------------------------------------------------------------------------------------------

    def _break(self, sentence: str, now: float) -> None:
        if len(self.broken) < BROKEN_MAX:
            self.broken.setdefault(sentence, now)

    def _remember(self, table: Any, key: Any, now: float, value: Any = None) -> None:
        if isinstance(table, set):
            table.add(key)
        else:
            table[key] = value
        self._old.append((now + REMEMBERED, table, key))


def _cseq(data: bytes) -> tuple[bytes, bytes]:
    """Number and method of a message."""
    number, _, method = _field(data, b"CSeq").partition(b" ")
    return number, method


def _field(data: bytes, name: bytes) -> bytes:
    """First value of a header with this spelling; empty if there is none."""
    start = data.find(b"\r\n" + name + b":")
    if start < 0:
        return b""
    start += len(name) + 3
    return data[start : data.find(b"\r\n", start)].strip()


def _branch(data: bytes) -> bytes:
    """The branch of the top Via."""
    start = data.find(b"branch=") + 7
    end = start
    while data[end : end + 1] not in (b";", b"\r", b",", b"", b" "):
        end += 1
    return data[start:end]


def _first(data: bytes) -> str:
    return data.partition(b"\r\n")[0].decode("latin-1")
