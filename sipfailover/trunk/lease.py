"""What a registrar granted us and when we ask again: the numbers behind the table in `trunk.registration`.

Every effect there takes (lease, outcome, now). Times are seconds, monotonic. What an answer says is read in
`trunk.register`.
"""

from dataclasses import dataclass

from sipfailover.chance import Chance
from sipfailover.trunk.answers import Outcome
from sipfailover.trunk.evidence import duration
from sipfailover.trunk.register import Ask, Bindings, PublicAddress, Purpose, RegisterAnswer

ANSWER_WITHIN = 10.0
"""Seconds that one REGISTER may stay without an answer: over UDP it has then been sent six times (T1 0.5 s)."""
START_SPREAD = 2.0
"""Seconds over which first REGISTERs are spread, so that boxes whose power came back do not ask in one moment."""
RETRY_FIRST, RETRY_MAX = 15.0, 120.0
"""Seconds until the next try after a failure; doubled each time, never more than RETRY_MAX, and never given up."""
RETRY_SOON = 5.0
"""Seconds. Nothing that failed is tried again sooner than this."""
SLOW_FIRST, SLOW_GROWTH, SLOW_MAX = 30.0, 4.0, 600.0
"""The slow lane, after 401 or 403: 30 s, 2 min, 8 min, then every 10 min. The first try is soon, because a registrar
with a broken subscriber database refuses everybody; later ones are few, because many accounts lock after five to ten
wrong passwords in ten minutes. This makes at most four in the first ten minutes."""
JITTER = 0.1
"""Share by which waits vary."""
RETRY_AFTER_MAX = 600.0
"""Seconds. A registrar that asks for more is not believed: a mistyped Retry-After would be an outage of its own."""
HURRY_EVERY = 10.0
"""Seconds between two REGISTERs sent at once for a reason (the address moved, a connection was lost). The first goes
without delay; a NAT that changes the port all the time gets no flood out of us."""
REFUSED_EVERY = 120.0
"""Seconds instead of HURRY_EVERY while the registrar refuses us: at most five wrong passwords in ten minutes."""
GRANT_MIN, GRANT_MAX = 10.0, 3600.0
"""Seconds. Less is taken as GRANT_MIN, because who grants 1 s means something else. More is taken as GRANT_MAX, so
that a registrar that has lost our binding is found out within the hour."""
MARGIN = 40.0
"""Seconds before the end by which a refresh is sent where the grant allows it: room for a failure and three tries."""
MAX_CHALLENGES = 3
"""Challenges within one REGISTER: the first, a stale nonce, and one more."""
MAX_CLEARED = 64
"""Stale bindings remembered as asked to go, so that none is asked twice; then no further one is cleared."""
KEEPALIVE_UDP, KEEPALIVE_STREAM = 25.0, 90.0
"""Seconds, where nothing else is configured; RFC 5626 §4.4 allows 29 and 120. Many NATs forget UDP after 30 s."""
KEEPALIVE_MIN = 10.0
"""Seconds. A Flow-Timer below it is taken as this."""
NEVER, FAR = float("-inf"), float("inf")


@dataclass(frozen=True, slots=True)
class RegistrationRules:
    """What is configured of a registration."""

    expires: int = 300
    """Seconds that are asked for. The carrier grants what it likes."""
    clear_stale: bool = False
    """Whether bindings of ours at former addresses are removed when seen."""
    wipe: bool = False
    """Whether everything on the account is removed at the start, before the first REGISTER."""
    keep_alive: float | None = None
    """Seconds, at most, between two keep-alives; 0 for none; None for KEEPALIVE_UDP or KEEPALIVE_STREAM."""
    reliable: bool = False
    """True over TCP and TLS; decides how often the flow is kept alive."""


class Lease:
    """The numbers behind one registration."""

    __slots__ = (
        "answer", "asked", "asked_at", "bindings", "bound", "brief", "call_id", "challenges", "chance", "cleared",
        "contact", "cseq", "expires", "expires_at", "failures", "granted", "hurried", "hurried_at", "keepalive",
        "next_at", "public", "refusals", "rules", "tag", "to_clear", "to_wipe", "why", "withdrawn",
    )  # fmt: skip

    def __init__(self, rules: RegistrationRules, contact: bytes, chance: Chance) -> None:
        self.rules = rules
        self.chance = chance
        self.call_id = chance.call_id()
        self.tag = chance.tag()
        self.cseq = 0
        self.contact = contact
        """The URI for the next REGISTER."""
        self.bound = b""
        """The Contact of the binding that we hold; b"" if we hold none."""
        self.expires = rules.expires
        """What we ask for: the configured value, or what 423 raised it to."""
        self.granted = 0
        """Seconds, as the registrar said; 0 while we hold no binding."""
        self.expires_at = NEVER
        self.next_at = NEVER
        """When the next REGISTER is due, unless one is in flight."""
        self.asked: Ask | None = None
        """The REGISTER in flight."""
        self.asked_at = NEVER
        """When the last one left."""
        self.failures = 0
        """In a row, refusals included."""
        self.refusals = 0
        """Since the last grant."""
        self.withdrawn = 0
        """REGISTERs whose edge was given up before it answered, since the last grant."""
        self.brief = 0
        """423 in a row."""
        self.challenges = 0
        """Within the REGISTER in flight."""
        self.hurried = False
        """Something moved while a REGISTER was in flight: another follows."""
        self.hurried_at = NEVER
        self.why = ""
        """Why the last REGISTER failed, empty if it did not."""
        self.public: PublicAddress | None = None
        self.answer: RegisterAnswer | None = None
        """The last 200, with the routes and identities in it."""
        self.bindings = Bindings(None, False, (), ())
        self.to_clear: tuple[bytes, ...] = ()
        self.to_wipe = False
        """All bindings of the account shall go first. The wish ends with the first answer to it, whatever that is."""
        self.cleared: set[bytes] = set()
        self.keepalive = keepalive(None, rules, chance)

    @property
    def held(self) -> bool:
        """True while we hold a binding, as far as we know."""
        return self.granted > 0


# -- arithmetic -------------------------------------------------------------------------------------------------------


def refresh_after(granted: float, dice: float) -> float:
    """Seconds from REGISTER to refresh for a grant of so many seconds. `dice`: 0.0 to 1.0.

    At the latest at 80 % of the grant or MARGIN before its end, whichever is earlier, but not before half of it;
    at the earliest at three quarters of that. 60 s: 22–30; 120 s: 60–80; 180 s: 105–140; 300 s: 180–240;
    3600 s: 2160–2880 (60–80 %).
    """
    grant = min(max(granted, GRANT_MIN), GRANT_MAX)
    latest = max(0.5 * grant, min(0.8 * grant, grant - MARGIN))
    return latest * (0.75 + 0.25 * dice)


def keepalive(flow_timer: int | None, rules: RegistrationRules, chance: Chance) -> float:
    """Seconds between keep-alives (RFC 5626 §4.4): 80 to 100 % of what the server and the NATs on the way allow; 0 if
    none are wanted."""
    most = rules.keep_alive
    if most is None:
        most = KEEPALIVE_STREAM if rules.reliable else KEEPALIVE_UDP
    if flow_timer:
        most = min(most, max(float(flow_timer), KEEPALIVE_MIN))
    return most * (0.8 + 0.2 * chance.dice())


# -- effects ----------------------------------------------------------------------------------------------------------


def begin(lease: Lease, _outcome: Outcome, now: float) -> None:
    """First REGISTER soon, but not all trunks in one moment."""
    lease.failures = lease.refusals = lease.brief = lease.withdrawn = 0
    lease.why = ""
    lease.hurried = False
    lease.to_wipe = lease.rules.wipe
    lease.next_at = now + START_SPREAD * lease.chance.dice()


def ask(lease: Lease, _outcome: Outcome, now: float) -> None:
    lease.challenges = 0
    _send(lease, Purpose.REGISTER, (lease.contact,), lease.expires, now)


def ask_to_clear(lease: Lease, _outcome: Outcome, now: float) -> None:
    stale, lease.to_clear = lease.to_clear, ()
    lease.cleared.update(stale)
    lease.challenges = 0
    _send(lease, Purpose.CLEAR, stale, 0, now)


def ask_to_wipe(lease: Lease, _outcome: Outcome, now: float) -> None:
    lease.challenges = 0
    _send(lease, Purpose.WIPE, (), 0, now)


def wiped(lease: Lease, outcome: Outcome, _now: float) -> None:
    """The registrar has said something to `Contact: *`. After silence it is asked again, before we register."""
    lease.to_wipe = lease.to_wipe and outcome.answer is None


def ask_to_leave(lease: Lease, _outcome: Outcome, now: float) -> None:
    lease.challenges = 0
    _send(lease, Purpose.LEAVE, (lease.bound or lease.contact,), 0, now)


def ask_again(lease: Lease, _outcome: Outcome, now: float) -> None:
    """The REGISTER in flight was challenged: the same once more, with credentials and a CSeq of its own (§22.2)."""
    asked = lease.asked
    assert asked is not None
    lease.challenges += 1
    contacts = (lease.contact,) if asked.purpose is Purpose.REGISTER else asked.contacts
    _send(lease, asked.purpose, contacts, asked.expires, now)


def keep_grant(lease: Lease, outcome: Outcome, now: float) -> None:
    """We are registered. Counted from when the REGISTER left: the registrar cannot have counted from earlier."""
    answer, asked = outcome.answer, lease.asked
    assert answer is not None
    assert asked is not None
    lease.granted = outcome.granted
    lease.bound = asked.contacts[0]
    lease.answer = answer
    lease.expires_at = lease.asked_at + min(max(outcome.granted, GRANT_MIN), GRANT_MAX)
    lease.failures = lease.refusals = lease.brief = lease.withdrawn = 0
    lease.why = ""
    lease.keepalive = keepalive(answer.flow_timer, lease.rules, lease.chance)
    note_bindings(lease, outcome, now)
    if lease.rules.clear_stale:
        stale = [uri for uri in lease.bindings.stale if uri not in lease.cleared]
        lease.to_clear = tuple(stale[: MAX_CLEARED - len(lease.cleared)])
    _next(lease, lease.asked_at + refresh_after(outcome.granted, lease.chance.dice()), now)


def note_bindings(lease: Lease, outcome: Outcome, _now: float) -> None:
    if outcome.bindings is not None:
        lease.bindings = outcome.bindings


def refresh_if_missing(lease: Lease, outcome: Outcome, now: float) -> None:
    """Stale bindings went; should the registrar have taken ours with them, it is put back at once."""
    if outcome.bindings is not None and outcome.bindings.ours is None:
        at_once(lease, outcome, now)


def raise_expires(lease: Lease, outcome: Outcome, now: float) -> None:
    """423: what the registrar wants is what we ask for from now on (§10.2.8)."""
    assert outcome.answer is not None
    lease.expires = outcome.answer.min_expires or lease.expires
    lease.brief += 1
    lease.next_at = now


def back_off(lease: Lease, outcome: Outcome, now: float) -> None:
    """15 s, doubled to 2 min; while a binding lasts, at half of what is left of it. Retry-After goes before both."""
    lease.failures += 1
    lease.why = outcome.why
    wait = lease.chance.spread(min(RETRY_MAX, RETRY_FIRST * 2.0 ** min(lease.failures - 1, 10)), JITTER)
    if outcome.retry_after:
        _next(lease, now + _told(lease, outcome), now, may_hurry=False)
        return
    if lease.held:
        wait = min(wait, max(RETRY_SOON, (lease.expires_at - now) / 2))
    _next(lease, now + wait, now)


def slow_down(lease: Lease, outcome: Outcome, now: float) -> None:
    """The registrar refused our credentials, or us."""
    lease.failures += 1
    lease.refusals += 1
    lease.why = outcome.why
    wait = min(SLOW_MAX, SLOW_FIRST * SLOW_GROWTH ** min(lease.refusals - 1, 10))
    wait = max(lease.chance.spread(wait, JITTER), _told(lease, outcome))
    _next(lease, now + wait, now, may_hurry=False)


def at_once(lease: Lease, _outcome: Outcome, now: float) -> None:
    """Something moved: register now; but not in a flood."""
    soon = max(now, lease.hurried_at + HURRY_EVERY)
    if lease.refusals:
        soon = max(soon, lease.asked_at + REFUSED_EVERY)
    lease.next_at = min(lease.next_at, soon)
    lease.hurried_at = max(lease.next_at, now)


def hurry_after(lease: Lease, _outcome: Outcome, _now: float) -> None:
    """Something moved while a REGISTER was in flight."""
    lease.hurried = True


def run_out(lease: Lease, outcome: Outcome, now: float) -> None:
    """The binding ended before a refresh went through."""
    lease.why = f"{lease.why or 'no refresh went through in time'}, and the binding has run out"
    lease.failures = max(1, lease.failures)
    forget_grant(lease, outcome, now)


def forget_grant(lease: Lease, _outcome: Outcome, _now: float) -> None:
    lease.granted = 0
    lease.bound = b""
    lease.expires_at = NEVER
    lease.bindings = Bindings(None, False, (), ())
    lease.to_clear = ()


def now_due(lease: Lease, _outcome: Outcome, now: float) -> None:
    lease.next_at = now


def withdraw_ask(lease: Lease, _outcome: Outcome, _now: float) -> None:
    """What is in flight no longer matters; its answer will be old news. A next effect says when the next is due."""
    lease.asked = None
    lease.hurried = False
    lease.next_at = FAR
    lease.withdrawn += 1


def _send(lease: Lease, purpose: Purpose, contacts: tuple[bytes, ...], expires: int, now: float) -> None:
    lease.cseq += 1
    lease.asked = Ask(purpose, lease.call_id, lease.tag, lease.cseq, contacts, expires)
    lease.asked_at = now


def _next(lease: Lease, at: float, now: float, may_hurry: bool = True) -> None:
    lease.next_at = max(at, now)
    hurried, lease.hurried = lease.hurried, False
    if hurried and may_hurry:
        at_once(lease, Outcome(), now)


def _told(lease: Lease, outcome: Outcome) -> float:
    """Seconds to stay away as the registrar asked, never less, up to a tenth more; 0 if it did not ask."""
    if not outcome.retry_after:
        return 0.0
    told = min(max(outcome.retry_after, RETRY_SOON), RETRY_AFTER_MAX)
    return told * (1.0 + JITTER * lease.chance.dice())


def silence() -> str:
    """The words for no answer at all."""
    return f"no answer within {duration(ANSWER_WITHIN)}"
