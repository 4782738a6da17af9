"""Our registration with one carrier, as a table (RFC 3261 §10.2). It asks for ever: there is no state to be stuck in.

The engine asks `deadline`, calls `wake` and `due` then, sends what `due` returns, and ends each REGISTER with
`answered` or `failed`. What it answers with credentials (401, 407) it tells by `challenged`; only a refusal of these
is `answered`. A refresh that fails while the binding lasts changes nothing for calls, so the word stays Registered.

A 403 in an outage is temporary until proved (`field/swisscom.md` §5.5): the slow lane is slow, and has no end.
"""

from collections.abc import Callable

from sipfailover.chance import Chance
from sipfailover.trunk.answers import Input, Outcome, judge, sign_of
from sipfailover.trunk.evidence import duration, many
from sipfailover.trunk.lease import (
    ANSWER_WITHIN,
    MAX_CHALLENGES,
    Lease,
    RegistrationRules,
    ask,
    ask_again,
    ask_to_clear,
    ask_to_leave,
    ask_to_wipe,
    at_once,
    back_off,
    begin,
    forget_grant,
    hurry_after,
    keep_grant,
    keepalive,
    note_bindings,
    now_due,
    raise_expires,
    refresh_if_missing,
    run_out,
    silence,
    slow_down,
    wiped,
    withdraw_ask,
)
from sipfailover.trunk.register import Ask, PublicAddress, RegisterAnswer, moved_contact, sort_out
from sipfailover.trunk.standing import RegistrationEvidence, RegistrationSign, RegistrationView, Stage, Word

Effect = Callable[[Lease, Outcome, float], None]
Move = tuple[PublicAddress, PublicAddress]

GRACE = 1.0
"""Seconds by which the watchdog of a REGISTER is later than the transaction that should end it."""

NOT_USED, PENDING, TRYING, FAILED, REGISTERED, REFRESHING, AT_RISK, CLEARING, LEAVING, WIPING = Stage
IN_FLIGHT = frozenset({TRYING, REFRESHING, CLEARING, LEAVING, WIPING})
RESTING = (NOT_USED, PENDING, FAILED, REGISTERED, AT_RISK)
HOLDING = frozenset({REGISTERED, REFRESHING, AT_RISK, CLEARING})

TABLE: dict[tuple[Stage, Input], tuple[Stage, tuple[Effect, ...]]] = {
    (NOT_USED, Input.START):        (PENDING,    (begin,)),

    (PENDING, Input.DUE):           (TRYING,     (ask,)),
    (PENDING, Input.WIPE):          (WIPING,     (ask_to_wipe,)),
    (PENDING, Input.HURRY):         (PENDING,    (at_once,)),
    (PENDING, Input.MOVED):         (PENDING,    (at_once,)),
    (PENDING, Input.STOP):          (NOT_USED,   ()),
    (PENDING, Input.QUIT):          (NOT_USED,   ()),

    (TRYING, Input.CHALLENGED):     (TRYING,     (ask_again,)),
    (TRYING, Input.GRANTED):        (REGISTERED, (keep_grant,)),
    (TRYING, Input.LOST):           (FAILED,     (back_off,)),
    (TRYING, Input.TOO_BRIEF):      (PENDING,    (raise_expires,)),
    (TRYING, Input.REFUSED):        (FAILED,     (slow_down,)),
    (TRYING, Input.FAILED):         (FAILED,     (back_off,)),
    (TRYING, Input.HURRY):          (TRYING,     (hurry_after,)),
    (TRYING, Input.MOVED):          (PENDING,    (withdraw_ask, at_once)),
    (TRYING, Input.STOP):           (LEAVING,    (withdraw_ask, now_due)),          # it may have got through
    (TRYING, Input.QUIT):           (NOT_USED,   ()),

    (FAILED, Input.DUE):            (TRYING,     (ask,)),
    (FAILED, Input.WIPE):           (WIPING,     (ask_to_wipe,)),
    (FAILED, Input.HURRY):          (FAILED,     (at_once,)),
    (FAILED, Input.MOVED):          (FAILED,     (at_once,)),
    (FAILED, Input.STOP):           (NOT_USED,   ()),
    (FAILED, Input.QUIT):           (NOT_USED,   ()),

    (REGISTERED, Input.DUE):        (REFRESHING, (ask,)),
    (REGISTERED, Input.CLEAR):      (CLEARING,   (ask_to_clear,)),
    (REGISTERED, Input.EXPIRED):    (PENDING,    (run_out, now_due)),               # the machine was asleep
    (REGISTERED, Input.HURRY):      (REGISTERED, (at_once,)),
    (REGISTERED, Input.MOVED):      (REGISTERED, (at_once,)),
    (REGISTERED, Input.STOP):       (LEAVING,    (now_due,)),
    (REGISTERED, Input.QUIT):       (NOT_USED,   (forget_grant,)),

    (REFRESHING, Input.CHALLENGED): (REFRESHING, (ask_again,)),
    (REFRESHING, Input.GRANTED):    (REGISTERED, (keep_grant,)),
    (REFRESHING, Input.LOST):       (FAILED,     (forget_grant, back_off)),         # it says itself that we are out
    (REFRESHING, Input.TOO_BRIEF):  (REGISTERED, (raise_expires,)),
    (REFRESHING, Input.REFUSED):    (AT_RISK,    (slow_down,)),                     # §10.3: a refusal removes nothing
    (REFRESHING, Input.FAILED):     (AT_RISK,    (back_off,)),
    (REFRESHING, Input.EXPIRED):    (TRYING,     (run_out,)),
    (REFRESHING, Input.HURRY):      (REFRESHING, (hurry_after,)),
    (REFRESHING, Input.MOVED):      (REGISTERED, (withdraw_ask, at_once)),
    (REFRESHING, Input.STOP):       (LEAVING,    (withdraw_ask, now_due)),
    (REFRESHING, Input.QUIT):       (NOT_USED,   (forget_grant,)),

    (AT_RISK, Input.DUE):           (REFRESHING, (ask,)),
    (AT_RISK, Input.EXPIRED):       (FAILED,     (run_out,)),
    (AT_RISK, Input.HURRY):         (AT_RISK,    (at_once,)),
    (AT_RISK, Input.MOVED):         (AT_RISK,    (at_once,)),
    (AT_RISK, Input.STOP):          (LEAVING,    (now_due,)),
    (AT_RISK, Input.QUIT):          (NOT_USED,   (forget_grant,)),

    (CLEARING, Input.CHALLENGED):   (CLEARING,   (ask_again,)),
    (CLEARING, Input.DONE):         (REGISTERED, (note_bindings, refresh_if_missing)),
    (CLEARING, Input.REFUSED):      (REGISTERED, ()),                               # ours stands; each is tried once
    (CLEARING, Input.FAILED):       (REGISTERED, ()),
    (CLEARING, Input.EXPIRED):      (PENDING,    (run_out, now_due)),
    (CLEARING, Input.HURRY):        (CLEARING,   (at_once,)),
    (CLEARING, Input.MOVED):        (REGISTERED, (withdraw_ask, at_once)),
    (CLEARING, Input.STOP):         (LEAVING,    (withdraw_ask, now_due)),
    (CLEARING, Input.QUIT):         (NOT_USED,   (forget_grant,)),

    (LEAVING, Input.START):         (PENDING,    (forget_grant, begin)),
    (LEAVING, Input.DUE):           (LEAVING,    (ask_to_leave,)),
    (LEAVING, Input.CHALLENGED):    (LEAVING,    (ask_again,)),
    (LEAVING, Input.DONE):          (NOT_USED,   (forget_grant,)),
    (LEAVING, Input.REFUSED):       (NOT_USED,   (forget_grant,)),
    (LEAVING, Input.FAILED):        (NOT_USED,   (forget_grant,)),                  # it ends by itself in time
    (LEAVING, Input.QUIT):          (NOT_USED,   (forget_grant,)),

    (WIPING, Input.CHALLENGED):     (WIPING,     (ask_again,)),
    (WIPING, Input.DONE):           (PENDING,    (wiped, now_due)),
    (WIPING, Input.REFUSED):        (FAILED,     (wiped, slow_down)),
    (WIPING, Input.FAILED):         (FAILED,     (wiped, back_off)),
    (WIPING, Input.HURRY):          (WIPING,     (hurry_after,)),
    (WIPING, Input.MOVED):          (PENDING,    (withdraw_ask, at_once)),
    (WIPING, Input.STOP):           (NOT_USED,   (withdraw_ask,)),
    (WIPING, Input.QUIT):           (NOT_USED,   (withdraw_ask,)),
}  # fmt: skip

_ENDINGS = (Input.CHALLENGED, Input.GRANTED, Input.DONE, Input.LOST, Input.TOO_BRIEF, Input.REFUSED, Input.FAILED)

IGNORED: dict[tuple[Stage, Input], str] = {
    **{(stage, what): "nothing is in flight" for stage in RESTING for what in _ENDINGS},
    **{(stage, Input.START): "it has been started" for stage in Stage if stage not in (NOT_USED, LEAVING)},
    **{(stage, Input.DUE): "one REGISTER at a time" for stage in (TRYING, REFRESHING, CLEARING, WIPING)},
    **{(stage, Input.CLEAR): "first things first" for stage in Stage if stage is not REGISTERED},
    **{(stage, Input.WIPE): "only before the first REGISTER" for stage in Stage if stage not in (PENDING, FAILED)},
    **{(stage, Input.EXPIRED): "there is no binding" for stage in (NOT_USED, PENDING, TRYING, FAILED, WIPING)},
    **{(NOT_USED, what): "it is not used" for what in (Input.DUE, Input.HURRY, Input.MOVED, Input.STOP, Input.QUIT)},
    **{(stage, Input.DONE): "a REGISTER that binds is granted or lost" for stage in (TRYING, REFRESHING)},
    **{
        (stage, what): "a REGISTER that removes is done"
        for stage in (CLEARING, LEAVING, WIPING)
        for what in (Input.GRANTED, Input.LOST, Input.TOO_BRIEF)
    },
    **{(LEAVING, what): "we are going" for what in (Input.EXPIRED, Input.HURRY, Input.MOVED, Input.STOP)},
}

WORDS = {NOT_USED: Word.NOT_USED, PENDING: Word.REGISTERING, TRYING: Word.REGISTERING, FAILED: Word.FAILED,
         LEAVING: Word.NOT_USED, WIPING: Word.REGISTERING, **dict.fromkeys(HOLDING, Word.REGISTERED)}  # fmt: skip


class Registration:
    """The registration with one carrier. `now`: seconds, monotonic. Not used until `start`.

    `contact`: the URI to register, `sip:TOKEN@192.0.2.9:5060;transport=tcp`. The user is a token by which inbound
    calls are recognised; it should outlive a restart, because stale bindings are recognised by it too.
    Raises WireError for a `contact` that is no sip URI.
    """

    __slots__ = ("_moved", "_word", "lease", "since", "stage")

    def __init__(self, rules: RegistrationRules, contact: bytes, chance: Chance, now: float) -> None:
        sort_out((), contact)  # the operator's mistake shows here and not in an answer
        self.lease = Lease(rules, contact, chance)
        self.stage = NOT_USED
        self._word = Word.NOT_USED
        self._moved: Move | None = None
        """A move of our public address that has not been told yet."""
        self.since = now
        """When the present word began."""

    # -- wishes

    def start(self, now: float) -> None:
        """Register, and stay registered. The first REGISTER is due within START_SPREAD."""
        self._take(Input.START, Outcome(), now)

    def stop(self, now: float, *, unregister: bool) -> None:
        """End. With `unregister` one more REGISTER is due at once, and `deadline` is None when that has ended."""
        self._take(Input.STOP if unregister else Input.QUIT, Outcome(), now)

    def hurry(self, now: float) -> None:
        """Register at once: the connection was lost, or INVITEs are refused as if we were not registered.

        Not more often than HURRY_EVERY, while refused REFUSED_EVERY. With a new password: `stop` and `start`.
        """
        self._take(Input.HURRY, Outcome(), now)

    def rebind(self, contact: bytes, now: float) -> None:
        """Our Contact is another one from now on (another address of ours, another listener): register it at once."""
        sort_out((), contact)
        if contact != self.lease.contact:
            self.lease.contact = contact
            self.hurry(now)

    def move(self, contact: bytes, now: float) -> None:
        """REGISTERs go to another edge from now on: there at once, as after `hurry`, without waiting for the old one.

        The binding counts on as ours until it runs out. What the old edge saw of our address says nothing here: a NAT
        may give us another port towards each edge.
        """
        sort_out((), contact)
        self.lease.contact = contact
        self.lease.public = self._moved = None
        self._take(Input.MOVED, Outcome(), now)

    def configure(self, rules: RegistrationRules, now: float) -> None:
        """Register by these rules from now on: at once, if another time is asked for."""
        lease = self.lease
        before, lease.rules = lease.rules, rules
        if rules.keep_alive != before.keep_alive:
            lease.keepalive = keepalive(None if lease.answer is None else lease.answer.flow_timer, rules, lease.chance)
        if rules.expires != before.expires:
            lease.expires = rules.expires
            self.hurry(now)

    # -- time

    def deadline(self) -> float | None:
        """When `wake` and `due` should be called; None only if it is not used."""
        lease, stage = self.lease, self.stage
        if stage is NOT_USED:
            return None
        if lease.asked is not None:
            at = lease.asked_at + ANSWER_WITHIN + GRACE
        elif stage is REGISTERED and lease.to_clear:
            at = min(lease.asked_at, lease.next_at)
        else:
            at = lease.next_at
        return min(at, lease.expires_at) if stage in HOLDING else at

    def wake(self, now: float) -> RegistrationEvidence | None:
        """A deadline has come: a REGISTER that nobody ended is silence, a binding may be over. What that was, or None.

        Called before `due`. At most one of the two is told; the other follows at the next `wake`, which is due at once.
        """
        lease = self.lease
        if self.stage in HOLDING and now >= lease.expires_at:
            return self._take(Input.EXPIRED, Outcome(), now, RegistrationSign.RAN_OUT)
        if lease.asked is not None and now >= lease.asked_at + ANSWER_WITHIN + GRACE:
            return self.failed(lease.asked.cseq, "", now)
        return None

    def due(self, now: float) -> Ask | None:
        """The REGISTER to send now, which is in flight from here on; None if there is none to send."""
        lease = self.lease
        if lease.asked is None and self.stage is not NOT_USED:
            if now >= lease.next_at:
                wipe = lease.to_wipe and self.stage in (PENDING, FAILED)
                self._take(Input.WIPE if wipe else Input.DUE, Outcome(), now)
                return lease.asked
            if self.stage is REGISTERED and lease.to_clear:
                self._take(Input.CLEAR, Outcome(), now)
                return lease.asked
        return None

    # -- what came back

    def challenged(self, answer: RegisterAnswer, now: float) -> Ask | None:
        """401 or 407 that can be answered: the same REGISTER with a higher CSeq, to be sent with credentials.

        None if it is not the one in flight, or was challenged MAX_CHALLENGES times: then give it to `answered`.
        """
        lease = self.lease
        if lease.asked is None or answer.cseq != lease.asked.cseq or lease.challenges >= MAX_CHALLENGES:
            return None
        self._note_public(answer.public)
        self._take(Input.CHALLENGED, Outcome(), now)
        return lease.asked

    def answered(self, answer: RegisterAnswer, now: float) -> RegistrationEvidence | None:
        """The REGISTER in flight has a final answer; None if this answers another one (it came late)."""
        asked = self.lease.asked
        if asked is None or answer.cseq != asked.cseq or answer.status < 200:
            return None
        self._note_public(answer.public)
        what, outcome = judge(answer, asked, self.lease.bound, self.lease.brief)
        evidence = self._take(what, outcome, now, sign_of(what, asked, True))
        if what is Input.GRANTED and self.lease.contact != self.lease.bound:
            self.hurry(now)  # our Contact moved by this answer, or while it was awaited
        return evidence

    def failed(self, cseq: int, why: str, now: float) -> RegistrationEvidence | None:
        """No answer came to the REGISTER with this CSeq (`why` empty), or the transport failed with `why`."""
        asked = self.lease.asked
        if asked is None or asked.cseq != cseq:
            return None
        return self._take(Input.FAILED, Outcome(why or silence()), now, sign_of(Input.FAILED, asked, False))

    def address_seen(self, public: PublicAddress | None, now: float) -> RegistrationEvidence | None:
        """Another answer on the same flow (to OPTIONS, to an INVITE) shows where the carrier sees us.

        If that moved, the registrar still has the old address: register at once. None if it did not.
        """
        before = self._word
        self._note_public(public)
        moved, self._moved = self._moved, None
        if moved is None or self.stage is NOT_USED:
            return None
        self.hurry(now)
        what = f"the carrier sees us at {moved[1]}, before at {moved[0]}"
        return RegistrationEvidence(RegistrationSign.NEUTRAL, before, self._word, what, moved=moved)

    # -- what is known

    @property
    def in_vain(self) -> int:
        """REGISTERs since the last grant that failed, were refused, or waited at an edge that was given up."""
        return self.lease.failures + self.lease.withdrawn

    @property
    def held(self) -> bool:
        """`usable` as of the last `wake`."""
        return self.stage in HOLDING

    @property
    def well(self) -> bool:
        """True while a binding is held and the last REGISTER that ended was granted: no trouble is known."""
        return self.stage in HOLDING and not self.lease.why

    def usable(self, now: float) -> bool:
        """True while the registrar has our binding, as far as we know: also while a refresh fails or is in flight."""
        return self.stage in HOLDING and now < self.lease.expires_at

    @property
    def word(self) -> Word:
        """The state as people read it. Once failed, it is Failed until it is registered: a retry is no news."""
        word = WORDS[self.stage]
        return Word.FAILED if word is Word.REGISTERING and self.lease.failures else word

    @property
    def service_route(self) -> tuple[bytes, ...]:
        """Route values for new requests to this carrier (RFC 3608 §6), those of the last 200."""
        return self.lease.answer.service_route if self.lease.held and self.lease.answer else ()

    @property
    def keepalive_every(self) -> float:
        """Seconds between keep-alives on the flow, drawn anew with every grant (RFC 5626 §4.4); 0 for none."""
        return self.lease.keepalive

    @property
    def view(self) -> RegistrationView:
        """All of it, frozen, for status."""
        lease = self.lease
        answer = lease.answer if lease.held else None
        return RegistrationView(
            word=self._word,
            since=self.since,
            why="" if self.stage is NOT_USED else lease.why,
            granted=lease.granted,
            expires_at=lease.expires_at if lease.held else None,
            next_at=None if lease.asked is not None or self.stage is NOT_USED else lease.next_at,
            contact=lease.contact,
            public=lease.public,
            path=answer.path if answer else (),
            associated=answer.associated if answer else (),
            rewritten=lease.bindings.rewritten,
            stale=lease.bindings.stale,
            others=lease.bindings.others,
        )

    def story(self, now: float) -> str:
        """For an operator: `Failed for 4 min, 403 Forbidden to REGISTER, 3 failures in a row, next try in 8 min`."""
        lease = self.lease
        if self.stage is NOT_USED:
            return Word.NOT_USED.value
        parts = [f"{self._word} for {duration(now - self.since)}"]
        if lease.held:
            left = duration(lease.expires_at - now)
            parts.append(f"refresh failed ({lease.why}), usable for {left} more" if lease.why else f"{left} left")
        elif lease.failures:
            parts += [lease.why, f"{many(lease.failures, 'failure')} in a row"]
        parts += [f"{many(len(lease.bindings.stale), 'stale binding')} of ours"] if lease.bindings.stale else []
        if lease.asked is not None:
            parts.append(f"asked {duration(now - lease.asked_at)} ago")
        else:
            parts.append(f"next {'refresh' if lease.held else 'try'} in {duration(lease.next_at - now)}")
        return ", ".join(parts)

    def __repr__(self) -> str:
        lease = self.lease
        if self.stage is NOT_USED:
            return "<Registration NOT_USED>"
        doing = f"asked at {lease.asked_at:.3f}" if lease.asked else f"next at {lease.next_at:.3f}"
        why = f": {lease.why}" if lease.why else ""
        return f"<Registration {self.stage.name} since {self.since:.3f}, {lease.granted} s granted, {doing}{why}>"

    # -- the step

    def _take(
        self,
        what: Input,
        outcome: Outcome,
        now: float,
        sign: RegistrationSign = RegistrationSign.NEUTRAL,
    ) -> RegistrationEvidence | None:
        """One row of the table; what was learnt by it, None if the pair is ignored."""
        row = TABLE.get((self.stage, what))
        if row is None:
            return None
        lease, before, sent_at = self.lease, self._word, self.lease.asked_at
        self.stage, effects = row
        for effect in effects:
            effect(lease, outcome, now)
        if self.stage not in IN_FLIGHT:
            lease.asked = None
        self._word = self.word
        if self._word is not before:
            self.since = now
        answer = outcome.answer
        moved = self._moved
        if answer is not None:
            self._moved = None
        return RegistrationEvidence(
            sign, before, self._word, lease.why if what is Input.EXPIRED else outcome.why,
            answer.status if answer else 0, outcome.retry_after, None if what is Input.EXPIRED else sent_at, moved,
        )  # fmt: skip

    def _note_public(self, public: PublicAddress | None) -> None:
        """Where the carrier sees us. A Contact that showed the old public address moves along."""
        lease, old = self.lease, self.lease.public
        if public is None or public == old:
            return
        lease.public = public
        if old is not None:
            self._moved = (self._moved[0] if self._moved else old, public)
            lease.contact = moved_contact(lease.contact, old, public)
