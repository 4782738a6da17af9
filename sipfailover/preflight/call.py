"""One test call over one trunk, made by the engine itself: the INVITE is shaped, challenged and ended as in service.

This room plays the PBX: it offers a call without media, gives it up at the first ringing or after RING_WITHIN, and
hangs up at once if somebody answers. Sans-IO; what the engine says to the PBX stays here, what it says to the carrier
goes out. Times are seconds, monotonic.
"""

import re
from collections.abc import Iterator

from sipfailover.chance import Chance
from sipfailover.config import Monitor, Pbx, Settings, TrunkSettings
from sipfailover.errors import WireError
from sipfailover.flow import Flow, Send, Target
from sipfailover.preflight.ask import line
from sipfailover.preflight.report import Step, failed, good, warning
from sipfailover.proxy import Engine
from sipfailover.trunk import bare_emergency, emergency_spellings, number_plan
from sipfailover.wire import Message, Via, compose

REGISTERED_WITHIN = 8.0
"""Seconds until the engine has registered, where the trunk wants that."""
RING_WITHIN = 10.0
"""Seconds from INVITE to the first ringing; then the call is given up."""
END_WITHIN = 5.0
"""Seconds from CANCEL or BYE to the end."""

HEARD_MAX = 64
"""Answers to INVITE that are kept. Further ones are not told; the call goes on."""

PBX = Flow("udp", "127.255.255.254", 5060, b"127.255.255.253:5060")
"""Where the PBX is that this room plays. Nothing is ever sent there."""

OTHERS = frozenset({"000", "110", "111", "112", "115", "117", "118", "119", "144", "911", "999", "1414", "1415"})
"""Emergency numbers that are refused whatever the settings say."""
SHORT = 4
"""Digits. What has fewer is a service, and many of these are for emergencies."""
SOUND = re.compile(r"\+?[0-9*#]{2,20}", re.ASCII)
FOR_THE_EYE = str.maketrans("", "", " .-()/\u00a0")

LIVELY = frozenset({486, 480, 600, 603})
"""Finals that come from behind the carrier: the call got through to somebody's line."""
UNKNOWN = frozenset({404, 410, 484, 485, 604})
"""Finals that are about the number."""


def written(number: str) -> str:
    """A number as it goes into the call, without what is for the eye."""
    return number.translate(FOR_THE_EYE)


def objection(number: str, settings: Settings) -> str:
    """Why a number is not called; empty if it is. Emergency numbers are refused in every form that is dialled."""
    dialled = written(number)
    if not SOUND.fullmatch(dialled):
        return f"'{number}' is not a telephone number"
    known = emergency_spellings(OTHERS | set(settings.emergency.numbers), number_plan(settings.numbering))
    behind = [prefix for prefix in ("0", "9", settings.numbering.country_code) if dialled.startswith(prefix)]
    spellings = [dialled, *(dialled[len(prefix) :] for prefix in behind)]  # usual ones that no setting tells of
    if any(bare_emergency(spelling.encode(), known) for spelling in spellings):
        return f"{number} is an emergency number: it is never called for a test"
    if len(dialled.lstrip("+")) < SHORT:
        return f"{number} is a short number, and many of these are for emergencies: call a telephone of your own"
    return ""


def shown_number(trunk: TrunkSettings) -> str:
    """The caller's number for a test call: one of ours that the carrier takes, else the account's name."""
    if trunk.caller_id:
        return trunk.caller_id
    if trunk.allowed_caller_ids:
        return f"+{trunk.allowed_caller_ids[0].first}"
    return trunk.username or "anonymous"


class OneCall:
    """See the module. Over when `over`; then `step` says how it went."""

    def __init__(
        self,
        settings: Settings,
        trunk: TrunkSettings,
        target: Target,
        number: str,
        caller: str,
        chance: Chance,
        now: float,
    ) -> None:
        self._engine = Engine(_alone(settings, trunk), chance, now)
        self._chance = chance
        self._target = target
        self._number, self._caller = written(number).encode(), (written(caller) or shown_number(trunk)).encode()
        self._registers = trunk.register
        self._out: list[Send] = []
        self._invite: Message | None = None
        self._invited_at = now
        self._due = now + REGISTERED_WITHIN
        """When this room does something by itself."""
        self._gave_up = self._hung_up = False
        self.heard: list[tuple[str, int, float]] = []
        """What the carrier said to the INVITE: status line, status, seconds after it left. Challenges are in it."""
        self.told = 0
        """The final status that the engine gave to the PBX; 0 as long as there is none."""
        self.over = False
        self._engine.resolved(trunk.name, (target,), now)
        self._engine.resolved("sipfailover-check", (PBX,), now)
        self._look(now)

    @property
    def host(self) -> str:
        """The IP address of the carrier."""
        return self._target.host

    # -- inputs and outputs -------------------------------------------------------------------------------------------

    def receive(self, flow: Flow, data: bytes, now: float) -> None:
        """One message came from outside."""
        if flow.host == PBX.host:
            return
        try:
            message = Message(data)
        except WireError:
            return
        if message.status and message.cseq_method == b"INVITE" and not self.over and len(self.heard) < HEARD_MAX:
            self.heard.append((line(message), message.status, now - self._invited_at))
        self._engine.receive(flow, data, now)
        self._look(now)

    def lost(self, where: Target, reason: str, now: float) -> None:
        """What was sent there did not arrive."""
        self._engine.lost(where, reason, now)
        self._look(now)

    def wake(self, now: float) -> None:
        """The deadline has come."""
        self._engine.wake(now)
        if now >= self._due:
            self._own_time(now)
        self._look(now)

    def deadline(self) -> float:
        """When to call `wake`."""
        due = self._engine.deadline()
        return self._due if due is None else min(due, self._due)

    def take(self) -> list[Send]:
        """What goes to the carrier."""
        out, self._out = self._out, []
        return out

    # -- the PBX ------------------------------------------------------------------------------------------------------

    def _own_time(self, now: float) -> None:
        if self._invite is None:
            self._call(now)  # not registered: some carriers take calls all the same
        elif self.told or self._gave_up:
            self.over = True
        else:
            self._give_up(now)

    def _look(self, now: float) -> None:
        """Act on what the engine says, until it has nothing more to say."""
        if self._invite is None and (not self._registers or self._is_registered(now)):
            self._call(now)
        while commands := self._engine.take():
            for command in commands:
                if not isinstance(command, Send):
                    continue
                if command.to.host == PBX.host:
                    self._listen(Message(command.data), now)
                else:
                    self._out.append(command)  # to the carrier, at whichever of its addresses the dialog leads
        if self.told and not self._engine.unanswered:
            self.over = True

    def _is_registered(self, now: float) -> bool:
        return self._engine.view(now).trunks[0].registration.startswith("Registered")

    def _call(self, now: float) -> None:
        self._invited_at = now
        self._due = now + RING_WITHIN
        branch = self._chance.branch()
        ours = PBX.sent_by
        data = compose.request(
            b"INVITE",
            b"sip:%b@%b" % (self._number, ours),
            via=compose.via_value("udp", b"%b:%d" % (PBX.host.encode(), PBX.port), branch),
            from_=b"<sip:%b@%b>;tag=%b" % (self._caller, ours, self._chance.tag()),
            to=b"<sip:%b@%b>" % (self._number, ours),
            call_id=self._chance.call_id(),
            cseq=1,
            contact=b"<sip:%b@%b:%d>" % (self._caller, PBX.host.encode(), PBX.port),
            headers=((b"content-type", b"application/sdp"), (b"user-agent", b"sipfailover check")),
            body=offer(self._target),
        )
        self._invite = Message(data)
        self._engine.receive(PBX, data, now)

    def _listen(self, message: Message, now: float) -> None:
        """What the engine says to the PBX."""
        if not message.status or message.cseq_method != b"INVITE" or self._invite is None:
            return
        if message.status < 200:
            if message.status > 100 and not self._gave_up:
                self._give_up(now)
            return
        if message.status >= 300:
            self._engine.receive(PBX, compose.ack(self._invite, message), now)
        else:
            self._engine.receive(PBX, self._inside(b"ACK", message, self._invite.cseq), now)
            if not self._hung_up:
                self._hung_up = True
                self._engine.receive(PBX, self._inside(b"BYE", message, self._invite.cseq + 1), now)
        if not self.told:
            self.told, self._due = message.status, now + END_WITHIN

    def _give_up(self, now: float) -> None:
        assert self._invite is not None
        self._gave_up, self._due = True, now + END_WITHIN
        self._engine.receive(PBX, compose.cancel(self._invite), now)

    def _inside(self, method: bytes, success: Message, cseq: int) -> bytes:
        """ACK or BYE of the PBX in the dialog that a 2xx has made."""
        assert self._invite is not None
        contact = success.contact
        return compose.request(
            method,
            contact.uri if contact is not None else self._invite.uri,
            via=compose.via_value("udp", b"%b:%d" % (PBX.host.encode(), PBX.port), self._chance.branch()),
            from_=self._invite.get(b"from") or b"",
            to=success.get(b"to") or b"",
            call_id=self._invite.call_id,
            cseq=cseq,
        )

    # -- what is told -------------------------------------------------------------------------------------------------

    def step(self) -> Step:
        """How it went."""
        said = [one for one in self.heard if one[1] not in (401, 407)]
        facts: dict[str, object] = {
            "said": [{"status": status, "seconds": round(after, 3)} for _, status, after in self.heard]
        }
        story = ", ".join(f"{text} after {after * 1000:.0f} ms" for text, _, after in _first_of_each(self.heard))
        final = next((status for _, status, _ in said if status >= 200), 0)
        if not self.heard:
            return failed("call", "no answer at all to INVITE", "calls do not get through: ask the carrier", **facts)
        if not said:
            return failed("call", f"{story}, and no further", "check the account: INVITE is challenged", **facts)
        if any(100 < status < 300 for _, status, _ in said) or final in LIVELY:
            ended = "answered and hung up" if 200 <= final < 300 else "given up" if self._gave_up else "ended"
            if self.told and final:
                return good("call", f"{story}: {ended}", None, **facts)
            advice = "it ends when the telephone stops ringing; ask the carrier why it does not answer CANCEL"
            return warning("call", f"{story}: given up, but the carrier did not end it", advice, **facts)
        if final in UNKNOWN:
            advice = "the trunk takes calls, but not to this number: see number_format, and try another number"
            return warning("call", story, advice, **facts)
        if not final or final == 487:
            advice = "calls are taken and then lost: the trunk fails as in no_ringing_within"
            return failed("call", f"{story}, and no ringing within {RING_WITHIN:.0f} s", advice, **facts)
        if final == 403:
            advice = "the carrier does not take this call: check the caller's number (--caller), domain and account"
        else:
            advice = "the carrier does not take this call: ask it what is wrong"
        return failed("call", story, advice, **facts)


def offer(target: Target) -> bytes:
    """An SDP offer (RFC 3264) of one audio stream that is inactive: nobody hears anything."""
    host = Via.parse(b"SIP/2.0/UDP " + target.sent_by).address.encode()
    kind = b"IP6" if b":" in host else b"IP4"
    return (
        b"v=0\r\no=- 1 1 IN %b %b\r\ns=-\r\nc=IN %b %b\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\n"
        b"a=rtpmap:101 telephone-event/8000\r\na=inactive\r\n" % (kind, host, kind, host)
    )


def _first_of_each(heard: list[tuple[str, int, float]]) -> Iterator[tuple[str, int, float]]:
    """Without repetitions."""
    seen: set[str] = set()
    for one in heard:
        if one[0] not in seen:
            seen.add(one[0])
            yield one


def _alone(settings: Settings, trunk: TrunkSettings) -> Settings:
    """The settings with this trunk only, a PBX that nobody reaches, and nothing kept."""
    return settings.model_copy(
        update={
            "trunks": (trunk.model_copy(update={"clear_old_registrations": False, "unregister_at_stop": False}),),
            "pbx": (Pbx(name="sipfailover-check", host=PBX.host),),
            "monitor": Monitor(options_every=3600.0),
            "emergency": settings.emergency.model_copy(update={"first": ()}),
        }
    )
