"""The addresses of one trunk in their order, and what was seen of each (RFC 3263 §4.3).

REGISTER, OPTIONS and calls all go to `current`, so that the carrier meets one flow of ours at one of its edges. It
stays there while it answers, however DNS orders the others today: a registration that hops makes the carrier refuse
calls, and PBXs that let each kind of request choose for itself call a data centre that is dead while they register at
another (field/peers.md §1.6, §3 no. 25; field/swisscom.md §5 no. 6). An address that fails is avoided for a while and
another one is used at once.

To an address of a better SRV priority it goes back (RFC 2782: the lowest number that can be reached), but slowly: once
that answered several OPTIONS in a row and the time is over for which it was avoided, which doubles with each relapse.
Among equals nothing is better, so there it stays. One who registers waits in addition until no call of the trunk is in
progress (`proxy.watch` asks for that), because a carrier that checks flows may refuse the BYE of a call whose
registration has moved.

Which call tries how many of them is `proxy.ladder`'s business; asking the others with OPTIONS is `proxy.watch`'s.
"""

from collections.abc import Collection
from dataclasses import dataclass

from sipfailover.flow import Target
from sipfailover.trunk.counters import RETRY_AFTER_MAX
from sipfailover.trunk.evidence import duration

AVOIDED_FIRST = 30.0
"""Seconds for which an address is avoided after it failed; a good answer ends it sooner. Each failure after that time
doubles it …"""
AVOIDED_LONGEST = 600.0
"""… up to this, so that no address is lost."""
FORGIVEN_AFTER = 1800.0
"""Seconds after the last failure that counted from which a good probe forgets them all. A good call does so at once."""
HOME_AFTER = 3
"""Good answers in a row until an address of better priority is used again."""
IN_ONE_CALL = 4
"""Addresses of one trunk that one call tries at most. Each may cost the caller a no-answer clock, and there is another
trunk."""
ASKED_EVERY = 3.0
"""Intervals of OPTIONS between two to an address that is not in use: known before it is needed, and cheap."""
TOLD = 3
"""Failing addresses that the story names; the rest are a number."""

Key = tuple[str | int, ...]
"""`Target.peer`."""


@dataclass(slots=True, eq=False)
class Known:
    """One address, and what was seen of it. Times are seconds, monotonic."""

    target: Target
    answers: bool | None = None
    """How the last request there ended; None if nothing was sent yet."""
    why: str = ""
    """How it failed, in words; empty while it answers."""
    avoided_until: float = 0.0
    """0.0: not avoided. Always so for the address in use."""
    held: bool = False
    """It is avoided because it asked for that (503 with Retry-After); then no probe ends it."""
    failures: int = 0
    """Failures that counted: those while it was avoided anyway say nothing new (ten calls meet one dead address)."""
    counted_at: float = 0.0
    """When the last of them was."""
    failed_at: float = 0.0
    """When it last failed, counted or not."""
    good_in_row: int = 0
    ask_at: float = 0.0
    """When to ask it while it is not in use."""
    round_trip: float | None = None
    """Seconds, of the last probe that measured it."""

    def avoided(self, now: float) -> bool:
        """Whether another address is better now."""
        return now < self.avoided_until

    @property
    def wait(self) -> float:
        """Seconds for which it is avoided with as many failures as it has."""
        return min(AVOIDED_FIRST * 2.0 ** min(self.failures - 1, 10), AVOIDED_LONGEST) if self.failures else 0.0

    def __repr__(self) -> str:
        word = {None: "unknown", True: "answers", False: f"fails: {self.why}"}[self.answers]
        until = f", avoided until {self.avoided_until:.3f}" if self.avoided_until else ""
        return f"<{self.target} {word}{until}>"


class Addresses:
    """See the module. `now`: seconds, monotonic. An address is known by its peer: our own name on the way may change.

    While there are addresses, one is in use, and that one is not avoided.
    """

    __slots__ = ("_current", "_known", "_quiet_until")

    def __init__(self) -> None:
        self._known: dict[Key, Known] = {}
        """In the order of RFC 3263. Bounded by who resolves names (`transport.lookup.MAX_ADDRESSES`)."""
        self._current: Known | None = None
        self._quiet_until = 0.0

    @property
    def targets(self) -> tuple[Target, ...]:
        """All of them in the order of RFC 3263, whatever was seen of them."""
        return tuple(known.target for known in self._known.values())

    @property
    def current(self) -> Target | None:
        """The address in use; None if there are none."""
        return None if self._current is None else self._current.target

    @property
    def known(self) -> tuple[Known, ...]:
        """What was seen of each, in the order of `targets`."""
        return tuple(self._known.values())

    def has(self, target: Target) -> bool:
        """Whether this is still one of them."""
        return target.peer in self._known

    # -- what DNS says ------------------------------------------------------------------------------------------------

    def resolved(self, targets: tuple[Target, ...], now: float = 0.0) -> None:
        """The name has these addresses now. The one in use stays while it is among them, and what was seen of those
        that stay is kept."""
        before = self._known
        self._known = {}
        for target in targets:
            known = before.get(target.peer) or Known(target)
            known.target = target
            self._known.setdefault(target.peer, known)
        if self._current is None or self._current.target.peer not in self._known:
            self._choose(list(self._known.values()), now)

    # -- what was seen ------------------------------------------------------------------------------------------------

    def good(self, target: Target, now: float, *, probe: bool = False, round_trip: float | None = None) -> None:
        """It answered, and not in a way that `failed` is for. On the path for calls.

        `probe`: an OPTIONS, which ends the avoiding, but forgets failures only slowly: an edge may answer OPTIONS and
        serve no call. `round_trip`: seconds, None if it was not measured.
        """
        known = self._known.get(target.peer)
        if known is None:
            return
        known.answers = True
        known.good_in_row += 1
        if round_trip is not None:
            known.round_trip = round_trip
        if probe and known.held and known.avoided(now):
            return
        known.why, known.avoided_until, known.held = "", 0.0, False
        if not probe or now >= known.counted_at + FORGIVEN_AFTER:
            known.failures = 0
        if self._current is not None and self._current.answers is False:
            self._current = known  # the one in use was only the least bad

    def failed(self, target: Target, why: str, now: float, retry_after: float = 0.0) -> bool:
        """A request there had no answer, could not be sent, or was answered 503.

        `why`: in words. `retry_after`: seconds, from the 503, 0 if it had none. True if another address is left of
        which nothing bad is known now: then the trunk is not to blame. With several addresses this one is avoided; if
        all are, the one that failed longest ago is used.
        """
        known = self._known.get(target.peer)
        others = [other for other in self._known.values() if other is not known]
        left = any(other.answers is not False and not other.avoided(now) for other in others)
        if known is None:
            return left
        known.answers, known.why, known.failed_at, known.good_in_row = False, why, now, 0
        if not known.failures or now >= known.counted_at + known.wait:
            known.failures += 1
            known.counted_at = now
        if not others:
            return False
        known.held = retry_after > 0
        pause = min(retry_after, RETRY_AFTER_MAX) if known.held else known.counted_at + known.wait - now
        known.avoided_until = now + pause
        if known is self._current:
            self._choose(others, now)
        return left

    # -- which to take ------------------------------------------------------------------------------------------------

    def others(self, tried: Collection[Key]) -> tuple[Target, ...]:
        """The addresses that a call which tried these (`Target.peer`) may still try: in their order those that nothing
        is known against, then those that are or were avoided, the one first for which that ends first."""
        rest = [known for peer, known in self._known.items() if peer not in tried]
        rest.sort(key=lambda known: known.avoided_until)
        return tuple(known.target for known in rest[: max(0, IN_ONE_CALL - len(tried))])

    def better(self, now: float) -> Target | None:
        """An address of better priority than the one in use that has been well for long enough: see the module."""
        if self._current is None or len(self._known) < 2:
            return None
        for known in self._known.values():
            if (
                known.target.priority < self._current.target.priority
                and known.good_in_row >= HOME_AFTER
                and not known.avoided(now)
                and now >= known.counted_at + known.wait
            ):
                return known.target
        return None

    def use(self, target: Target) -> None:
        """Use this address from now on. Nothing happens if it is none of ours."""
        known = self._known.get(target.peer)
        if known is not None:
            self._use(known)

    def _use(self, known: Known) -> None:
        known.avoided_until, known.held = 0.0, False
        self._current = known

    def _choose(self, among: list[Known], now: float) -> None:
        """The first that nothing is known against; else the first that is not avoided; else the one that failed longest
        ago."""
        fit = [known for known in among if not known.avoided(now)]
        if not among:
            self._current = None
        elif fit:
            self._use(min(fit, key=lambda known: known.answers is False))
        else:
            self._use(min(among, key=lambda known: known.failed_at))

    # -- asking those that are not in use -----------------------------------------------------------------------------

    def ask_due(self) -> float | None:
        """When the next OPTIONS to an address that is not in use should leave; None if there is no other."""
        if len(self._known) < 2:
            return None
        dues = [self._ask_at(known) for known in self._known.values() if known is not self._current]
        return min(dues, default=None)

    def to_ask(self, now: float) -> Target | None:
        """The address not in use that should be asked now."""
        if len(self._known) < 2:
            return None
        due = [known for known in self._known.values() if known is not self._current and self._ask_at(known) <= now]
        return min(due, key=self._ask_at).target if due else None

    def asked(self, target: Target, again_at: float, quiet_until: float) -> None:
        """An OPTIONS has left to an address that is not in use. The next one there leaves `again_at`, and none to
        another before `quiet_until`: 30 addresses are not asked in one moment."""
        known = self._known.get(target.peer)
        if known is not None:
            known.ask_at = again_at
        self._quiet_until = quiet_until

    def _ask_at(self, known: Known) -> float:
        asked_not_to = known.avoided_until if known.held else 0.0
        return max(known.ask_at, self._quiet_until, asked_not_to)

    # -- for people ---------------------------------------------------------------------------------------------------

    def story(self, now: float) -> str:
        """`2 of 3 addresses answer; udp 192.0.2.7:5060 avoided for 28 s: no answer`; empty with a single address."""
        if len(self._known) < 2:
            return ""
        answer = sum(known.answers is True for known in self._known.values())
        unknown = sum(known.answers is None for known in self._known.values())
        parts = [f"{answer} of {len(self._known)} addresses answer" + (f", {unknown} not asked yet" if unknown else "")]
        bad = [known for known in self._known.values() if known.why]
        for known in bad[:TOLD]:
            avoided = f" avoided for {duration(known.avoided_until - now)}" if known.avoided(now) else ""
            parts.append(f"{known.target}{avoided}: {known.why}")
        if len(bad) > TOLD:
            parts.append(f"and {len(bad) - TOLD} more")
        return "; ".join(parts)

    def __repr__(self) -> str:
        return f"<Addresses {list(self._known.values())}, in use: {self.current}>"
