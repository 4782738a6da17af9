"""The engine under the fuzzer: an input is a short conversation, as JSON, and promises are kept at every step of it.

    [["call", 0], ["reply", 0, 200, 0], ["within", 0, "BYE", 7], ["say", 5, "REGISTER …"], ["wait", 33.0]]

Peers are numbers (`PEERS`), `0` as a damage is none, any other number seeds one. What the steps refer to is counted
from the newest; what is not there makes a step nothing. So every list of steps means something, also a damaged one.
"""

import json
import random
import time
from collections.abc import Callable, Sequence
from typing import Any

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.errors import WireError
from sipfailover.flow import PING, Flow, Send, Target
from sipfailover.proxy import Engine
from sipfailover.proxy.commands import Log, Record
from sipfailover.proxy.registrar import AMPLIFICATION_MAX
from sipfailover.wire import Credentials, Message, Outcome, Wallet, compose
from tests.fuzz.mutation import damaged
from tests.fuzz.targets import VECTORS
from tests.kit.leftovers import leftovers, stopped_clocks

US = b"192.0.2.1:5060"
SETTINGS = """
pbx:
  - {name: office, host: 192.0.2.10}
  - {name: desk, username: desk, password: Opensesame-4711}
listen: [udp 192.0.2.1:5060, tcp 192.0.2.1:5060]
trunks:
  - {name: main, host: 198.51.100.1, port: 5060, register: no, channels: 4, number_format: e164,
     caller_id: +41443210000, identity: {headers: [pai], hidden: both, diversion: history-info}}
  - {name: backup, host: 203.0.113.1, port: 5060, register: yes, username: acc, password: Letmein-4712}
inbound: {overflow: +41791234567}
monitor: {options_every: 1h, timeout: 32s}
"""
SECRETS = (b"Opensesame-4711", b"Letmein-4712")
SPOKEN = [("udp", "192.0.2.10", 5060), ("udp", "198.51.100.1", 5060), ("udp", "203.0.113.1", 5060),
          ("tcp", "192.0.2.10", 40000), ("tcp", "198.51.100.1", 40001), ("udp", "192.0.2.99", 5060),
          ("tcp", "192.0.2.99", 40002), ("udp", "192.0.2.98", 31337)]  # fmt: skip
PEERS = [Flow(transport, host, port, US, connection=n if transport == "tcp" else 0)
         for n, (transport, host, port) in enumerate(SPOKEN)]  # fmt: skip
KNOWN = {"192.0.2.10", "198.51.100.1", "203.0.113.1"}
CALLED = [b"+41443210019", b"112", b"0443210019", b"urn", b"*31#0791234567", b"anonymous", b"1811", b"+41791234567"]
STATUSES = [100, 180, 181, 183, 199, 200, 200, 202, 300, 302, 400, 401, 403, 404, 407, 408, 422, 481, 486, 487, 488,
            491, 500, 503, 504, 600, 603]  # fmt: skip
METHODS = [b"BYE", b"INVITE", b"ACK", b"UPDATE", b"INFO", b"PRACK", b"REFER", b"NOTIFY", b"OPTIONS", b"CANCEL", b"X"]
REASONS = ["refused", "timeout", "closed", "reset", "local: no route", "tls: certificate has expired"]
DAMAGED = frozenset({"call", "callin", "reply", "within", "register"})
"""Steps whose last value is a damage."""
STEPS_MAX = 40
TABLES_MAX = 600
"""Transactions, legs, calls and timers that one conversation may need at once."""
SECONDS_MAX = 0.005
"""CPU time for one message; the best of five, because machines hiccup. With marks in the code: twice that."""
LEFT_EVERY = 100
"""Conversations, of which one is followed by silence, after which nothing may be left."""

Step = list[Any]
settings = parse(SETTINGS)


class Conversations:
    """See the module."""

    def __init__(self, slowness: float = 1.0) -> None:
        self.limit = SECONDS_MAX * slowness
        self.eaten = 0
        self.vectors = [
            path.read_bytes().decode("latin-1")
            for path in sorted(VECTORS.rglob("*"))
            if path.suffix in (".dat", ".sip") and path.stat().st_size < 3000
        ]

    def seeds(self) -> list[bytes]:
        def out(*steps: Step) -> bytes:
            return json.dumps(list(steps)).encode()

        call, rings, answers = ["call", 0, 0], ["reply", 0, 180, 0], ["reply", 0, 200, 0]
        up = [call, rings, answers, ["ack", 0]]
        return [
            out(*up, ["within", 0, "BYE", 0]),
            out(*up, ["within", 1, "INVITE", 0], answers, ["within", 0, "ACK", 0], ["within", 0, "BYE", 0], answers),
            out(*up, ["within", 0, "REFER", 0], answers, ["within", 1, "NOTIFY", 0], answers, ["lost", 1, 2]),
            out(
                call, ["reply", 0, 503, 0], ["reply", 0, 183, 0], ["within", 0, "PRACK", 0], ["cancel", 0], ["wait", 5]
            ),
            out(call, ["wait", 5], ["wait", 5], ["reply", 1, 200, 0], ["wait", 40]),
            out(["call", 1, 0], ["wait", 3], ["wait", 3], ["reply", 0, 486, 0], ["wait", 40]),
            out(["callin", 0, 0], ["wait", 2], ["wait", 2], answers, ["ack", 0], ["wait", 400]),
            out(
                ["register", 7, 1, 0],
                ["callin", 0, 0],
                ["reply", 0, 404, 0],
                ["reply", 0, 200, 0],
                ["register", 7, 0, 0],
            ),
            out(["reply", 0, 401, 0], answers, call, ["lost", 1, 0], ["reply", 0, 407, 0], ["reply", 0, 407, 0]),
            out(*[["say", peer, self.vectors[peer]] for peer in range(len(PEERS))]),
            out(*up, ["again", 0, 5], ["again", 1, 5], ["again", 2, 1], ["again", 0, 0]),
        ]

    def mutate(self, dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
        steps = json.loads(data)
        for _ in range(dice.choice([1, 1, 2, 3])):
            place = dice.randint(0, len(steps))
            kind = dice.randrange(6)
            if kind == 0 and steps:
                del steps[min(place, len(steps) - 1)]
            elif kind == 1:
                other = json.loads(dice.choice(others))
                steps[place:place] = other[: dice.randint(1, 6)] if dice.random() < 0.5 else other[-3:]
            elif kind == 2 and steps:
                steps[min(place, len(steps) - 1)] = self._step(dice)
            elif kind == 3 and steps:
                self._damage(dice, steps[min(place, len(steps) - 1)])
            else:
                steps.insert(place, self._step(dice))
        return json.dumps(steps[:STEPS_MAX]).encode()

    def _damage(self, dice: random.Random, step: Step) -> None:
        if step[0] == "say":
            vectors = [text.encode("latin-1") for text in dice.sample(self.vectors, 3)]
            step[2] = damaged(dice, step[2].encode("latin-1"), vectors)[:8000].decode("latin-1")
        elif step[0] in DAMAGED:
            step[-1] = dice.randrange(1, 2**31)

    def _step(self, dice: random.Random) -> Step:
        damage = dice.choice([0, 0, dice.randrange(1, 2**31)])
        back = min(int(dice.expovariate(1.0)), 9)
        match dice.randrange(12):
            case 0:
                return ["call", dice.randrange(len(CALLED)), damage]
            case 1:
                return ["callin", dice.randrange(len(CALLED)), damage]
            case 2 | 3 | 4:
                return ["reply", back, dice.choice(STATUSES), damage]
            case 5 | 6:
                return ["within", back, dice.choice(METHODS).decode(), damage]
            case 7:
                return ["again", back, dice.randrange(len(PEERS))]
            case 8:
                return ["wait", dice.choice([0.01, 0.5, 1.6, 4.1, 13.0, 33.0, 200.0])]
            case 9:
                return ["lost", dice.randrange(len(PEERS)), dice.randrange(len(REASONS))]
            case 10:
                return [dice.choice(["cancel", "ack"]), back]
            case _:
                if dice.random() < 0.5:
                    return ["register", dice.choice([0, 5, 6, 7]), dice.randrange(3), damage]
                vector = dice.choice(self.vectors).encode("latin-1")
                text = damaged(dice, vector, [vector])[:8000] if damage else vector
                return ["say", dice.randrange(len(PEERS)), text.decode("latin-1")]

    def eat(self, data: bytes) -> int:
        self.eaten += 1
        told = Told(json.loads(data))
        told.run()
        if told.slowest > self.limit:
            again = [Told(json.loads(data)) for _ in range(5)]
            for one in again:
                one.run()
            best = min(one.slowest for one in again)
            assert best < self.limit, f"{best * 1000:.1f} ms for {again[0].slow[:3000]!r}"
        if self.eaten % LEFT_EVERY == 0:
            told.end()
        return told.messages


class Told:
    """One conversation with a new engine."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self.now = 1.0
        self.engine = Engine(settings, Chance(1), 0.0)
        self.sent: list[tuple[Target, bytes]] = []
        """What wants an answer, from the engine, the newest last."""
        self.got: list[tuple[Flow, bytes]] = []
        self.said_by_peers = b""
        self.proven: set[str] = set()
        """Whoever has shown a password, even if it has left since."""
        self.messages = 0
        self.numbers = 0
        self.slowest = 0.0
        self.slow = b""
        self.nonce: dict[int, Message] = {}
        for name, peer in (("office", PEERS[0]), ("main", PEERS[1]), ("backup", PEERS[2])):
            self.engine.resolved(name, (Target("udp", peer.host, peer.port, US),), 0.5)
        self._take(None, b"")

    def run(self) -> None:
        do: dict[str, Callable[..., None]] = {
            "call": self._call, "callin": self._call_in, "reply": self._reply, "within": self._within,
            "again": self._again, "wait": self._wait, "lost": self._lost, "cancel": self._cancel, "ack": self._ack,
            "register": self._register, "say": self._say,
        }  # fmt: skip
        for name, *values in self.steps:
            do[name](*values)
            core = self.engine.core
            size = len(core.layer) + len(core.legs) + len(core.calls) + len(core.layer.merged) + len(core.timers)
            assert size < TABLES_MAX, f"{size} things are kept"
            assert not stopped_clocks(self.engine)

    def end(self) -> None:
        """Everybody falls silent, and answered calls are hung up: nothing is left."""
        self._wait(1600.0)
        engine = self.engine
        for leg in list(engine.core.legs.values()):
            call = engine.core.calls.get(leg.call)
            engine.inside.hang_up(leg, self.now)
            if call is not None:
                engine.core.end(call, 200, "sipfailover", self.now)
        self._wait(400.0)
        assert not leftovers(engine), leftovers(engine)

    # -- steps --------------------------------------------------------------------------------------------------------

    def _say(self, peer: int, text: str) -> None:
        self._receive(PEERS[peer], text.encode("latin-1"))

    def _call(self, number: int, damage: int) -> None:
        self._receive(PEERS[0], self._damaged(self._invite(PEERS[0], CALLED[number]), damage))

    def _call_in(self, number: int, damage: int) -> None:
        self._receive(PEERS[1], self._damaged(self._invite(PEERS[1], CALLED[number]), damage))

    def _invite(self, peer: Flow, called: bytes) -> bytes:
        self.numbers += 1
        host = peer.host.encode()
        uri = b"urn:service:sos" if called == b"urn" else b"sip:%b@%b" % (called, US)
        return compose.request(
            b"INVITE", uri, via=b"SIP/2.0/UDP %b;branch=z9hG4bKf%d;rport" % (host, self.numbers),
            from_=b"<sip:+41441112233@%b>;tag=f%d" % (host, self.numbers), to=b"<%b>" % uri,
            call_id=b"c%d" % self.numbers, cseq=1, contact=b"<sip:a@%b>" % host,
            headers=((b"content-type", b"application/sdp"), (b"supported", b"100rel, timer")), body=b"v=0\r\n",
        )  # fmt: skip

    def _reply(self, back: int, status: int, damage: int) -> None:
        asked = [one for one in self.sent if one[1][:4] != b"SIP/" and one[1][:4] != b"ACK "]
        if back >= len(asked):
            return
        to, data = asked[-1 - back]
        lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
        kept = [line for line in lines if line.partition(b":")[0] in (b"Via", b"From", b"Call-ID", b"CSeq")]
        head = [b"SIP/2.0 %d x" % status, *kept]
        head += [line if b";tag=" in line else line + b";tag=t%d" % back for line in lines if line[:3] == b"To:"]
        if 200 <= status < 300 or status == 183:
            head += [b"Contact: <sip:b@%b>" % to.host.encode(), b"Require: 100rel", b"RSeq: 1"]
        if status in (401, 407):
            name = b"WWW" if status == 401 else b"Proxy"
            head.append(name + b'-Authenticate: Digest realm="r", nonce="n%d", qop="auth"' % len(self.got))
        if status in (300, 302):
            head.append(b"Contact: <sip:x@192.0.2.77>")
        reply = b"\r\n".join([*head, b"Content-Length: 0", b"", b""])
        self._receive(self._flow(to), self._damaged(reply, damage))

    def _within(self, back: int, method: str, damage: int) -> None:
        legs = list(self.engine.core.legs.values())
        if back >= len(legs):
            return
        leg = legs[-1 - back]
        self.numbers += 1
        data = compose.request(
            method.encode(), b"sip:a@" + US, via=b"SIP/2.0/UDP %b;branch=z9hG4bKw%d" % (US, self.numbers),
            from_=b"<sip:b@x>;tag=" + leg.remote_tag, to=b"<sip:a@x>;tag=" + leg.local_tag, call_id=leg.call_id,
            cseq=100 + self.numbers, contact=b"<sip:b@%b>" % leg.to.host.encode(),
            headers=((b"refer-to", b"<sip:1@192.0.2.9>"),) if method == "REFER" else (),
        )  # fmt: skip
        self._receive(self._flow(leg.to), self._damaged(data, damage))

    def _again(self, back: int, peer: int) -> None:
        if back < len(self.got):
            self._receive(PEERS[peer], self.got[-1 - back][1])

    def _cancel(self, back: int) -> None:
        self._hop_by_hop(back, b"CANCEL")

    def _ack(self, back: int) -> None:
        """ACK to the 2xx or failure that the calling side was told last."""
        self._hop_by_hop(back, b"ACK")

    def _hop_by_hop(self, back: int, method: bytes) -> None:
        asked = [one for one in self.got if one[1].startswith(b"INVITE ")]
        if back >= len(asked):
            return
        flow, data = asked[-1 - back]
        try:
            invite = Message(data)
        except WireError:
            return
        if method == b"CANCEL":
            self._receive(flow, compose.cancel(invite))
            return
        for to, answer in reversed(self.sent):
            if answer[:4] == b"SIP/" and to.host == flow.host and invite.call_id in answer:
                try:
                    final = Message(answer)
                except WireError:
                    return  # it repeats what stood in the request, also what cannot be read
                self._receive(flow, compose.ack(invite, final))
                return

    def _register(self, peer: int, proof: int, damage: int) -> None:
        """`proof`: 0 none, 1 the right password, 2 a wrong one; to the last challenge, which is fetched first."""
        flow = PEERS[peer]
        wallet = Wallet([Credentials("desk", "wrong" if proof == 2 else SECRETS[0].decode())])
        exchange = wallet.exchange()
        for _ in range(2 if proof else 1):
            self.numbers += 1
            lines = exchange.headers(b"REGISTER", b"sip:192.0.2.1", b"", b"c")
            data = compose.request(
                b"REGISTER", b"sip:192.0.2.1", via=b"SIP/2.0/UDP %b;branch=z9hG4bKr%d;rport" % (US, self.numbers),
                from_=b"<sip:desk@192.0.2.1>;tag=r", to=b"<sip:desk@192.0.2.1>", call_id=b"r%d" % peer,
                cseq=self.numbers, contact=b"<sip:desk@%b:%d>" % (flow.host.encode(), flow.port),
                headers=((b"expires", b"600"), *lines),
            )  # fmt: skip
            before = len(self.sent)
            self._receive(flow, self._damaged(data, damage))
            answers = [one for _, one in self.sent[before:] if one.startswith(b"SIP/2.0 401")]
            if not answers or exchange.challenged(Message(answers[-1])) is not Outcome.AGAIN:
                return

    def _lost(self, peer: int, reason: int) -> None:
        self.engine.lost(PEERS[peer], REASONS[reason], self.now)
        self._take(None, b"")

    def _wait(self, seconds: float) -> None:
        until = self.now + seconds
        for _ in range(20_000):
            due = self.engine.deadline()
            if due is None or due > until:
                break
            self.now = max(self.now, due)
            self.engine.wake(self.now)
            self._take(None, b"")
        else:
            raise AssertionError("the deadline does not move")
        self.now = until

    # -- what must hold -----------------------------------------------------------------------------------------------

    def _receive(self, flow: Flow, data: bytes) -> None:
        self.now += 0.005
        self.messages += 1
        self.got.append((flow, data))
        if self._is_known(flow.host) or self.engine.knows(flow.host):
            self.said_by_peers += data[:8000]
        start = time.thread_time()
        self.engine.receive(flow, data, self.now)
        took = time.thread_time() - start
        if took > self.slowest:
            self.slowest, self.slow = took, data
        if self.engine.knows(flow.host):
            self.proven.add(flow.host)
        self._take(flow, data)

    def _take(self, flow: Flow | None, data: bytes) -> None:
        back = 0
        for command in self.engine.take():
            if isinstance(command, Log | Record):
                assert not any(secret in repr(command).encode() for secret in SECRETS)
            if not isinstance(command, Send) or command.data == PING:
                continue
            to, out = command.to, command.data
            if flow is None and out[:8] in (b"OPTIONS ", b"REGISTER"):
                self.sent.append((to, out))
                continue  # the watch over the lines; while time passes there are thousands
            host = to.host
            assert not any(secret in out for secret in SECRETS)
            stranger = flow is not None and not self._is_known(flow.host)
            if not self._is_known(host):
                assert flow is not None, f"to a stranger, unasked: {out[:300]!r}"
                assert host == flow.host, f"{flow} makes us send to {to}: {out[:300]!r}"
                back += len(out)
                if b"nonce=" in data and out[8:11] not in (b"401", b"503"):
                    self.proven.add(host)  # its REGISTER has a transaction, so its password was right
            elif stranger and flow is not None and not self._knows_our_words(data):
                raise AssertionError(f"{flow} makes us send to {to}: {out[:300]!r} by {data[:500]!r}")
            if out[:4] != b"ACK ":
                self.sent.append((to, out))
            try:
                Message(out)
            except WireError as error:
                if out[:4] != b"SIP/":
                    raise AssertionError(f"a request that cannot be read: {out[:500]!r}") from error
        if back and flow is not None and not flow.reliable and b"nonce=" not in data:
            assert back <= AMPLIFICATION_MAX * len(data), f"{back} bytes for {len(data)}"

    def _is_known(self, host: str) -> bool:
        """Whether it is a PBX, a carrier, or where one of them has sent us."""
        return host in KNOWN or host in self.proven or host.encode() in self.said_by_peers

    def _knows_our_words(self, data: bytes) -> bool:
        """Whether it names a branch or tag of ours, which nobody can guess: it was overheard."""
        core = self.engine.core
        keys = (tx.key[0] for tx in core.layer.clients.values())
        tags = (leg.local_tag for leg in core.legs.values())
        return any(one in data for one in (*keys, *tags))

    def _flow(self, to: Target) -> Flow:
        return to if isinstance(to, Flow) else Flow(to.transport, to.host, to.port, to.sent_by, to.local)

    def _damaged(self, data: bytes, damage: int) -> bytes:
        return damaged(random.Random(damage), data, [data]) if damage else data
