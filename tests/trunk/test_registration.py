"""Registration, row by row, then as stories in virtual time, then under random inputs."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipfailover.chance import Chance
from sipfailover.errors import WireError
from sipfailover.trunk import (
    ANSWER_WITHIN,
    Ask,
    Binding,
    PublicAddress,
    Purpose,
    RegisterAnswer,
    Registration,
    RegistrationEvidence,
    RegistrationRules,
    RegistrationSign,
    Word,
    register_request,
)
from sipfailover.trunk.answers import EXPIRES_MAX, MAX_BRIEF, Input, Outcome, judge
from sipfailover.trunk.lease import (
    GRANT_MAX,
    GRANT_MIN,
    HURRY_EVERY,
    JITTER,
    MAX_CHALLENGES,
    MAX_CLEARED,
    REFUSED_EVERY,
    RETRY_AFTER_MAX,
    RETRY_FIRST,
    RETRY_MAX,
    RETRY_SOON,
    SLOW_FIRST,
    SLOW_MAX,
    START_SPREAD,
    refresh_after,
)
from sipfailover.trunk.registration import GRACE, HOLDING, IGNORED, IN_FLIGHT, TABLE
from sipfailover.trunk.standing import Stage
from sipfailover.wire import Message, compose

NOT_USED, PENDING, TRYING, FAILED, REGISTERED, REFRESHING, AT_RISK, CLEARING, LEAVING, WIPING = Stage
US = b"sip:t0ken@192.0.2.9:5060"
STALE = b"sip:t0ken@192.0.2.7:5060"
HOUR = 3600.0
TRIP = 0.04
HOME, AWAY = PublicAddress("192.0.2.9", 5060), PublicAddress("203.0.113.5", 40123)

Registrar = Callable[[Ask, float], RegisterAnswer | None]


def fresh(contact: bytes = US, seed: int = 1, **rules: object) -> Registration:
    return Registration(RegistrationRules(**rules), contact, Chance(seed), 0.0)  # type: ignore[arg-type]


def ok(ask: Ask, expires: int = 180, *more: Binding, **facts: object) -> RegisterAnswer:
    """200 with our binding, or without it if the REGISTER removed it."""
    mine = [Binding(uri, expires) for uri in ask.contacts] if ask.purpose is Purpose.REGISTER else []
    return RegisterAnswer(200, "OK", ask.cseq, (*mine, *more), bool(mine or more), **facts)  # type: ignore[arg-type]


def no(ask: Ask, status: int, reason: str = "", **facts: object) -> RegisterAnswer:
    return RegisterAnswer(status, reason, ask.cseq, **facts)  # type: ignore[arg-type]


class Line:
    """An engine and a registrar in virtual time. Every REGISTER, and all that was learnt, with its time."""

    def __init__(self, registration: Registration, registrar: Registrar, now: float = 0.0) -> None:
        self.registration = registration
        self.registrar = registrar
        self.now = now
        self.sent: list[tuple[float, Ask]] = []
        self.learnt: list[tuple[float, RegistrationEvidence]] = []

    def until(self, end: float) -> "Line":
        registration = self.registration
        while (at := registration.deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.tell(registration.wake(self.now))
            ask = registration.due(self.now)
            while ask is not None:
                self.sent.append((self.now, ask))
                answer = self.registrar(ask, self.now)
                self.now += TRIP if answer else ANSWER_WITHIN
                if answer is None:
                    self.tell(registration.failed(ask.cseq, "", self.now))
                    break
                again = registration.challenged(answer, self.now) if answer.status == 401 else None
                if again is None:
                    self.tell(registration.answered(answer, self.now))
                ask = again
        self.now = max(self.now, end)
        return self

    def tell(self, evidence: RegistrationEvidence | None) -> None:
        if evidence is not None:
            self.learnt.append((self.now, evidence))

    @property
    def times(self) -> list[float]:
        return [at for at, _ in self.sent]

    def gaps(self) -> list[float]:
        return [after - before for before, after in pairwise(self.times)]


def started(registration: Registration) -> Registration:
    registration.start(0.0)
    return registration


def make(stage: Stage, **rules: object) -> Registration:
    """In this stage at about 2 s; a binding of 180 s where there is one."""
    registration = fresh(clear_stale=stage is CLEARING, wipe=stage is WIPING, **rules)
    if stage is NOT_USED:
        return registration
    registration.start(0.0)
    if stage is PENDING:
        return registration
    ask = send(registration)
    if stage in (TRYING, WIPING):
        assert registration.stage is stage
        return registration
    if stage is FAILED:
        registration.failed(ask.cseq, "port closed", 2.0)
        return registration
    registration.answered(ok(ask, 180, Binding(STALE, 50)), 2.0)
    if stage is LEAVING:
        registration.stop(2.0, unregister=True)
        registration.due(2.0)
    if stage is CLEARING:
        registration.due(2.0)
    if stage in (REFRESHING, AT_RISK):
        ask = send(registration)
        if stage is AT_RISK:
            registration.failed(ask.cseq, "port closed", registration.lease.asked_at + 1.0)
    assert registration.stage is stage
    return registration


def send(registration: Registration) -> Ask:
    at = registration.deadline()
    assert at is not None
    ask = registration.due(at)
    assert ask is not None
    return ask


# -- the table --------------------------------------------------------------------------------------------------------


def test_every_pair_is_in_the_table_or_ignored_with_a_reason() -> None:
    assert TABLE.keys() | IGNORED.keys() == set(product(Stage, Input))
    assert not TABLE.keys() & IGNORED.keys()
    assert all(IGNORED.values())


ROWS = [
    (NOT_USED, Input.START, PENDING),
    (PENDING, Input.DUE, TRYING),
    (PENDING, Input.WIPE, WIPING),
    (PENDING, Input.HURRY, PENDING),
    (PENDING, Input.MOVED, PENDING),
    (PENDING, Input.STOP, NOT_USED),
    (PENDING, Input.QUIT, NOT_USED),
    (TRYING, Input.CHALLENGED, TRYING),
    (TRYING, Input.GRANTED, REGISTERED),
    (TRYING, Input.LOST, FAILED),
    (TRYING, Input.TOO_BRIEF, PENDING),
    (TRYING, Input.REFUSED, FAILED),
    (TRYING, Input.FAILED, FAILED),
    (TRYING, Input.HURRY, TRYING),
    (TRYING, Input.MOVED, PENDING),
    (TRYING, Input.STOP, LEAVING),
    (TRYING, Input.QUIT, NOT_USED),
    (FAILED, Input.DUE, TRYING),
    (FAILED, Input.WIPE, WIPING),
    (FAILED, Input.HURRY, FAILED),
    (FAILED, Input.MOVED, FAILED),
    (FAILED, Input.STOP, NOT_USED),
    (FAILED, Input.QUIT, NOT_USED),
    (REGISTERED, Input.DUE, REFRESHING),
    (REGISTERED, Input.CLEAR, CLEARING),
    (REGISTERED, Input.EXPIRED, PENDING),
    (REGISTERED, Input.HURRY, REGISTERED),
    (REGISTERED, Input.MOVED, REGISTERED),
    (REGISTERED, Input.STOP, LEAVING),
    (REGISTERED, Input.QUIT, NOT_USED),
    (REFRESHING, Input.CHALLENGED, REFRESHING),
    (REFRESHING, Input.GRANTED, REGISTERED),
    (REFRESHING, Input.LOST, FAILED),
    (REFRESHING, Input.TOO_BRIEF, REGISTERED),
    (REFRESHING, Input.REFUSED, AT_RISK),
    (REFRESHING, Input.FAILED, AT_RISK),
    (REFRESHING, Input.EXPIRED, TRYING),
    (REFRESHING, Input.HURRY, REFRESHING),
    (REFRESHING, Input.MOVED, REGISTERED),
    (REFRESHING, Input.STOP, LEAVING),
    (REFRESHING, Input.QUIT, NOT_USED),
    (AT_RISK, Input.DUE, REFRESHING),
    (AT_RISK, Input.EXPIRED, FAILED),
    (AT_RISK, Input.HURRY, AT_RISK),
    (AT_RISK, Input.MOVED, AT_RISK),
    (AT_RISK, Input.STOP, LEAVING),
    (AT_RISK, Input.QUIT, NOT_USED),
    (CLEARING, Input.CHALLENGED, CLEARING),
    (CLEARING, Input.DONE, REGISTERED),
    (CLEARING, Input.REFUSED, REGISTERED),
    (CLEARING, Input.FAILED, REGISTERED),
    (CLEARING, Input.EXPIRED, PENDING),
    (CLEARING, Input.HURRY, CLEARING),
    (CLEARING, Input.MOVED, REGISTERED),
    (CLEARING, Input.STOP, LEAVING),
    (CLEARING, Input.QUIT, NOT_USED),
    (LEAVING, Input.START, PENDING),
    (LEAVING, Input.DUE, LEAVING),
    (LEAVING, Input.CHALLENGED, LEAVING),
    (LEAVING, Input.DONE, NOT_USED),
    (LEAVING, Input.REFUSED, NOT_USED),
    (LEAVING, Input.FAILED, NOT_USED),
    (LEAVING, Input.QUIT, NOT_USED),
    (WIPING, Input.CHALLENGED, WIPING),
    (WIPING, Input.DONE, PENDING),
    (WIPING, Input.REFUSED, FAILED),
    (WIPING, Input.FAILED, FAILED),
    (WIPING, Input.HURRY, WIPING),
    (WIPING, Input.MOVED, PENDING),
    (WIPING, Input.STOP, NOT_USED),
    (WIPING, Input.QUIT, NOT_USED),
]


def give(registration: Registration, what: Input, now: float) -> object:
    """Make this happen from outside, as an engine does. Whatever it returns."""
    lease = registration.lease
    ask = lease.asked or Ask(Purpose.REGISTER, b"", b"", lease.cseq + 99, (US,), 300)
    if what is Input.START:
        return registration.start(now)
    if what is Input.DUE:
        return registration.due(max(now, lease.next_at))
    if what is Input.WIPE:
        lease.to_wipe = True
        return registration.due(max(now, lease.next_at))
    if what is Input.MOVED:
        return registration.move(b"sip:t0ken@192.0.2.10:5060", now)
    if what is Input.CLEAR:
        lease.to_clear = (STALE,)
        return registration.due(min(now, lease.next_at - 1.0))
    if what is Input.CHALLENGED:
        return registration.challenged(no(ask, 401), now)
    if what in (Input.GRANTED, Input.DONE):
        return registration.answered(ok(ask), now)
    if what is Input.LOST:
        return registration.answered(RegisterAnswer(200, "OK", ask.cseq, (Binding(b"sip:x@y", 60),), True), now)
    if what is Input.TOO_BRIEF:
        return registration.answered(no(ask, 423, min_expires=600), now)
    if what is Input.REFUSED:
        return registration.answered(no(ask, 403, "Forbidden"), now)
    if what is Input.FAILED:
        return registration.failed(ask.cseq, "port closed", now)
    if what is Input.EXPIRED:
        lease.expires_at = min(lease.expires_at, now)
        return registration.wake(now)
    if what is Input.HURRY:
        return registration.hurry(now)
    return registration.stop(now, unregister=what is Input.STOP)


@pytest.mark.parametrize(("stage", "what", "after"), ROWS)
def test_one_row(stage: Stage, what: Input, after: Stage) -> None:
    registration = make(stage)
    if (stage, what) == (LEAVING, Input.DUE):
        registration.lease.asked = None  # it has not left yet
    now = max(2.0, registration.lease.asked_at) + 1.0
    give(registration, what, now)
    assert registration.stage is after
    assert (registration.deadline() is None) is (after is NOT_USED)
    assert registration.lease.asked is None or after in IN_FLIGHT
    assert registration.lease.held is (after in HOLDING or (after is LEAVING and stage is not TRYING))


def test_the_rows_above_are_all_rows() -> None:
    assert {(stage, what) for stage, what, _ in ROWS} == TABLE.keys()
    assert all(TABLE[stage, what][0] is after for stage, what, after in ROWS)


@pytest.mark.parametrize(("stage", "what"), list(IGNORED))
def test_ignored_inputs_change_nothing(stage: Stage, what: Input) -> None:
    registration = make(stage)
    before = repr(registration), registration.deadline(), registration.view
    assert registration._take(what, Outcome("x"), 3.0) is None
    assert (repr(registration), registration.deadline(), registration.view) == before


@pytest.mark.parametrize("stage", list(Stage))
def test_an_answer_to_an_older_register_is_ignored(stage: Stage) -> None:
    registration = make(stage)
    before = repr(registration), registration.deadline()
    for status in (200, 401, 403, 423, 503):
        late = RegisterAnswer(status, "", 99, public=AWAY, min_expires=600)
        assert registration.answered(late, 3.0) is None
        assert registration.challenged(late, 3.0) is None
    assert registration.failed(99, "", 3.0) is None
    if registration.lease.asked is not None:
        assert registration.answered(no(registration.lease.asked, 100), 3.0) is None, "not final"
    assert (repr(registration), registration.deadline()) == before


# -- what an answer means ---------------------------------------------------------------------------------------------

REGISTER = Ask(Purpose.REGISTER, b"", b"", 1, (US,), 300)


@pytest.mark.parametrize(
    ("status", "what"),
    [
        (200, Input.GRANTED), (202, Input.GRANTED), (302, Input.FAILED), (400, Input.FAILED), (401, Input.REFUSED),
        (403, Input.REFUSED), (404, Input.FAILED), (407, Input.REFUSED), (408, Input.FAILED), (423, Input.TOO_BRIEF),
        (480, Input.FAILED), (500, Input.FAILED), (503, Input.FAILED), (603, Input.FAILED), (699, Input.FAILED),
    ],
)  # fmt: skip
def test_one_status(status: int, what: Input) -> None:
    assert judge(no(REGISTER, status, min_expires=600), REGISTER, b"", 0)[0] is what


@pytest.mark.parametrize(
    ("bindings", "expires", "granted"),
    [
        ((Binding(US, 180),), 600, 180),
        ((Binding(US, None),), 600, 600),
        ((Binding(US, None),), None, 300),
        ((), 600, 600),
        ((), None, 300),
        ((Binding(STALE, 20), Binding(US, 120), Binding(b"sip:x@y", 3000)), 600, 120),
        ((Binding(b"sip:t0ken@203.0.113.5:40123", 90),), None, 90),
        ((Binding(US, 0),), 600, 0),
        ((), 0, 0),
        ((Binding(b"sip:x@y", 3000),), 600, 0),
    ],
)
def test_what_was_granted(bindings: tuple[Binding, ...], expires: int | None, granted: int) -> None:
    answer = RegisterAnswer(200, "OK", 1, bindings, bool(bindings), expires)
    what, outcome = judge(answer, REGISTER, b"", 0)
    assert (what, outcome.granted) == (Input.GRANTED if granted else Input.LOST, granted)


@pytest.mark.parametrize(
    ("min_expires", "brief", "what"),
    [
        (600, 0, Input.TOO_BRIEF),
        (EXPIRES_MAX, MAX_BRIEF - 1, Input.TOO_BRIEF),
        (600, MAX_BRIEF, Input.FAILED),
        (EXPIRES_MAX + 1, 0, Input.FAILED),
        (300, 0, Input.FAILED),
        (None, 0, Input.FAILED),
    ],
)
def test_423_is_met_only_where_it_can_lead_somewhere(min_expires: int | None, brief: int, what: Input) -> None:
    assert judge(no(REGISTER, 423, min_expires=min_expires), REGISTER, b"", brief)[0] is what


# -- arithmetic -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("granted", "earliest", "latest"),
    [(1, 3.75, 5), (10, 3.75, 5), (60, 22.5, 30), (120, 60, 80), (180, 105, 140), (300, 180, 240), (600, 360, 480),
     (3600, 2160, 2880), (2**31, 2160, 2880)],
)  # fmt: skip
def test_refreshes_are_early_and_spread(granted: int, earliest: float, latest: float) -> None:
    assert (refresh_after(granted, 0.0), refresh_after(granted, 1.0)) == (earliest, latest)


@pytest.mark.parametrize("granted", [60, 120, 180, 600, 3600])
def test_a_day_with_a_grant_is_a_day_registered(granted: int) -> None:
    line = Line(started(fresh()), lambda ask, _: ok(ask, granted)).until(24 * HOUR)
    gaps = line.gaps()
    assert refresh_after(granted, 0.0) <= min(gaps) < max(gaps) <= refresh_after(granted, 1.0)
    assert max(gaps) - min(gaps) > granted * 0.05, "spread"
    assert [evidence.sign for _, evidence in line.learnt if evidence.sign is not RegistrationSign.GOOD] == []
    assert line.registration.view.granted == granted
    assert (line.registration.word, line.registration.since) == (Word.REGISTERED, line.times[0] + TRIP)
    cseqs = [ask.cseq for _, ask in line.sent]
    assert cseqs == list(range(1, len(cseqs) + 1))
    assert len({(ask.call_id, ask.from_tag) for _, ask in line.sent}) == 1


def test_keepalives_stay_under_the_nat_and_the_flow_timer() -> None:
    def drawn(flow_timer: int | None, reliable: bool, keep_alive: float | None) -> tuple[float, float]:
        every = [
            Line(
                started(fresh(seed=seed, reliable=reliable, keep_alive=keep_alive)),
                lambda ask, _: ok(ask, flow_timer=flow_timer),
            )
            .until(3.0)
            .registration.keepalive_every
            for seed in range(100)
        ]
        return min(every), max(every)

    for flow_timer, reliable, keep_alive, most in [
        (None, False, None, 25.0), (None, True, None, 90.0), (20, False, None, 20.0), (60, False, None, 25.0),
        (60, True, None, 60.0), (1, True, None, 10.0), (0, True, None, 90.0), (9999, True, None, 90.0),
        (None, False, 15.0, 15.0), (None, True, 240.0, 240.0), (60, True, 240.0, 60.0), (60, False, 5.0, 5.0),
    ]:  # fmt: skip
        least, longest = drawn(flow_timer, reliable, keep_alive)
        assert 0.8 * most <= least < longest <= most
    assert drawn(20, False, 0.0) == (0.0, 0.0), "none are none"
    assert 20.0 <= fresh().keepalive_every <= 25.0, "before the first answer too"


# -- stories ----------------------------------------------------------------------------------------------------------


def outage(start: float, end: float, during: Callable[[Ask], RegisterAnswer | None], granted: int = 120) -> Registrar:
    return lambda ask, now: during(ask) if start <= now < end else ok(ask, granted)


def back_after(line: Line, end: float) -> float:
    """Seconds from the end of an outage until registered."""
    return next(at for at, evidence in line.learnt if at >= end and evidence.sign is RegistrationSign.GOOD) - end


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("start", [0.0, 5000.0])
def test_a_registrar_silent_for_an_hour_has_us_back_within_two_minutes_and_a_bit(seed: int, start: float) -> None:
    end = start + HOUR
    line = Line(started(fresh(seed=seed)), outage(start, end, lambda _: None)).until(end + 600)
    assert back_after(line, end) <= RETRY_MAX * (1 + JITTER) + ANSWER_WITHIN + TRIP
    tries = [at for at in line.times if start <= at < end]
    waits = [after - before - ANSWER_WITHIN for before, after in pairwise(tries)]
    assert all(RETRY_SOON <= wait <= RETRY_MAX * (1 + JITTER) for wait in waits)
    if start == 0.0:
        for wait, base in zip(waits, [15, 30, 60, 120, 120], strict=False):
            assert base * (1 - JITTER) <= wait <= base * (1 + JITTER)
        words = [line.learnt[0][1].before, *[evidence.after for _, evidence in line.learnt]]
        assert list(dict.fromkeys(words)) == [Word.REGISTERING, Word.FAILED, Word.REGISTERED]
    assert 25 <= len(tries) <= 40


@pytest.mark.parametrize("seed", range(20))
def test_403_for_an_hour_is_asked_slowly_and_is_no_end(seed: int) -> None:
    line = Line(started(fresh(seed=seed)), outage(0, HOUR, lambda ask: no(ask, 403, "Forbidden"))).until(3 * HOUR)
    assert back_after(line, HOUR) <= SLOW_MAX * (1 + JITTER) + TRIP
    refused = [at for at in line.times if at < HOUR]
    assert refused[1] - refused[0] <= SLOW_FIRST * (1 + JITTER) + TRIP, "the first retry is soon"
    assert 8 <= len(refused) <= 10
    assert all(sum(at <= other < at + 600 for other in refused) <= 4 for at in refused), "no account is locked"
    assert {evidence.sign for at, evidence in line.learnt if at < HOUR} == {RegistrationSign.REFUSED}
    assert line.registration.view.why == ""


def test_wrong_credentials_are_a_refusal_with_the_words_to_act_on() -> None:
    line = Line(started(fresh()), lambda ask, _: no(ask, 401, "Unauthorized")).until(3.0)
    assert len(line.sent) == 1 + MAX_CHALLENGES
    assert [ask.cseq for _, ask in line.sent] == [1, 2, 3, 4]
    assert [evidence.sign for _, evidence in line.learnt] == [RegistrationSign.REFUSED]
    assert line.registration.view.word == "Failed"
    assert line.registration.view.why == "401 Unauthorized to REGISTER"


def test_a_challenge_is_answered_with_the_same_call_and_a_higher_cseq() -> None:
    line = Line(started(fresh()), lambda ask, _: ok(ask) if ask.cseq % 2 == 0 else no(ask, 401)).until(HOUR)
    first, second = line.sent[0][1], line.sent[1][1]
    assert second == replace(first, cseq=2)
    assert line.registration.word is Word.REGISTERED
    assert len(line.learnt) == len(line.sent) / 2, "a challenge is no evidence"


def test_503_with_retry_after_is_heeded_but_not_for_a_day() -> None:
    def busy(seconds: float) -> list[float]:
        line = Line(started(fresh()), lambda ask, _: no(ask, 503, "Busy", retry_after=seconds)).until(HOUR)
        assert line.learnt[0][1].retry_after == seconds
        assert line.learnt[0][1].what == "503 Busy to REGISTER"
        return [gap - TRIP for gap in line.gaps()]

    assert all(300 <= gap <= 330 for gap in busy(300.0))
    assert all(RETRY_AFTER_MAX <= gap <= RETRY_AFTER_MAX * 1.1 for gap in busy(86400.0))
    assert all(RETRY_SOON <= gap <= RETRY_SOON * 1.1 for gap in busy(1.0))
    line = Line(started(fresh()), outage(0, 20, lambda ask: no(ask, 503, retry_after=45.0))).until(120)
    assert 45 <= line.times[1] - line.times[0] <= 45 * 1.1 + TRIP
    assert line.registration.word is Word.REGISTERED


def test_retry_after_with_a_403_never_makes_the_slow_lane_faster() -> None:
    line = Line(started(fresh()), lambda ask, _: no(ask, 403, retry_after=5.0)).until(HOUR)
    assert min(line.gaps()) >= SLOW_FIRST * (1 - JITTER)
    line = Line(started(fresh()), lambda ask, _: no(ask, 403, retry_after=500.0)).until(HOUR)
    assert min(line.gaps()) >= 500


def test_a_lost_refresh_is_repeated_while_the_binding_lasts_and_nobody_is_alarmed() -> None:
    line = Line(started(fresh()), lambda ask, _: None if ask.cseq == 2 else ok(ask, 60))
    line.until(20.0)
    registration = line.registration
    asked_at = registration.deadline()
    assert asked_at is not None
    line.until(asked_at)
    assert registration.stage is AT_RISK
    assert registration.usable(line.now)
    assert (registration.word, registration.view.why) == (Word.REGISTERED, "no answer within 10 s")
    assert "refresh failed (no answer within 10 s), usable for" in registration.story(line.now)
    line.until(60.0)
    assert (registration.stage, registration.view.why) == (REGISTERED, "")
    assert [evidence.sign for _, evidence in line.learnt[:3]] == [
        RegistrationSign.GOOD, RegistrationSign.SILENT, RegistrationSign.GOOD,
    ]  # fmt: skip
    assert {evidence.after for _, evidence in line.learnt} == {Word.REGISTERED}


@pytest.mark.parametrize(("granted", "least"), [(60, 2), (120, 2), (180, 3), (300, 3), (3600, 6)])
@pytest.mark.parametrize("seed", range(10))
def test_a_binding_has_several_tries_before_it_runs_out(granted: int, least: int, seed: int) -> None:
    line = Line(started(fresh(seed=seed)), lambda ask, _: ok(ask, granted) if ask.cseq == 1 else None)
    line.until(granted * 2)
    end = line.times[0] + granted
    assert sum(line.times[0] < at < end for at in line.times) >= least
    over = next(evidence for _, evidence in line.learnt if evidence.sign is RegistrationSign.RAN_OUT)
    assert (over.before, over.after) == (Word.REGISTERED, Word.FAILED)
    assert over.what == "no answer within 10 s, and the binding has run out"
    assert line.registration.usable(end - 0.01) is False, "it has left the holding stages"


def test_a_binding_ends_on_time_even_while_a_refresh_is_in_flight() -> None:
    registration = make(REFRESHING)
    end = registration.lease.expires_at
    assert registration.usable(end - 0.01)
    assert not registration.usable(end)
    registration.lease.asked_at = end - 1.0
    assert registration.deadline() == end
    evidence = registration.wake(end)
    assert evidence is not None
    assert (evidence.sign, registration.stage) == (RegistrationSign.RAN_OUT, TRYING)
    assert registration.lease.asked is not None, "its answer still counts"
    registration.answered(ok(registration.lease.asked), end + 1.0)
    assert registration.usable(end + 2.0)


def test_a_403_on_refresh_leaves_the_binding_to_its_time() -> None:
    line = Line(started(fresh()), lambda ask, _: ok(ask, 3600) if ask.cseq == 1 else no(ask, 403)).until(3000.0)
    assert line.registration.stage is AT_RISK
    assert line.registration.usable(3000.0)
    line.until(3700.0)
    assert line.registration.word is Word.FAILED


def test_a_registrar_that_says_we_are_out_is_believed_at_once() -> None:
    registration = make(REFRESHING)
    ask = registration.lease.asked
    assert ask is not None
    evidence = registration.answered(ok(ask, 0), registration.lease.asked_at + 1.0)
    assert evidence is not None
    assert (evidence.sign, evidence.what) == (RegistrationSign.FAULT, "200 OK to REGISTER with 0 s")
    assert not registration.usable(registration.lease.asked_at + 1.0)
    other = RegisterAnswer(200, "OK", 1, (Binding(b"sip:x@y", 60),), True)
    assert judge(other, REGISTER, b"", 0)[1].why == "200 OK to REGISTER without our binding"


def test_a_machine_that_slept_registers_at_once() -> None:
    registration = make(REGISTERED)
    evidence = registration.wake(9 * HOUR)
    assert evidence is not None
    assert (evidence.sign, evidence.after) == (RegistrationSign.RAN_OUT, Word.FAILED)
    assert evidence.what == "no refresh went through in time, and the binding has run out"
    assert registration.due(9 * HOUR) is not None


def test_423_is_met_at_once_and_remembered() -> None:
    line = Line(started(fresh(expires=60)), lambda ask, _: ok(ask, ask.expires) if ask.expires >= 900 else
                no(ask, 423, min_expires=900)).until(2 * HOUR)  # fmt: skip
    assert [ask.expires for _, ask in line.sent[:3]] == [60, 900, 900]
    assert line.gaps()[0] == pytest.approx(TRIP)
    assert line.learnt[0][1].sign is RegistrationSign.NEUTRAL
    assert Word.FAILED not in {evidence.after for _, evidence in line.learnt}


def test_a_registrar_that_raises_min_expires_for_ever_is_no_loop() -> None:
    line = Line(started(fresh()), lambda ask, _: no(ask, 423, min_expires=ask.expires + 1)).until(60.0)
    assert len(line.sent) <= 2 * (MAX_BRIEF + 1) + 2
    assert line.learnt[MAX_BRIEF][1].sign is RegistrationSign.FAULT


def test_stale_bindings_are_told_and_left_alone_unless_asked() -> None:
    line = Line(started(fresh()), lambda ask, _: ok(ask, 180, Binding(STALE, 90), Binding(b"sip:desk@x", 60)))
    line.until(10.0)
    view = line.registration.view
    assert (view.stale, view.others, len(line.sent)) == ((STALE,), (b"sip:desk@x",), 1)
    assert "1 stale binding of ours" in line.registration.story(10.0)


def test_stale_bindings_are_cleared_when_asked_each_once_and_nobody_elses() -> None:
    def registrar(ask: Ask, _: float) -> RegisterAnswer:
        if ask.purpose is Purpose.CLEAR:
            return RegisterAnswer(200, "OK", ask.cseq, (Binding(US, 170), Binding(b"sip:desk@x", 60)), True)
        return ok(ask, 180, *[Binding(STALE, 90)] * (ask.cseq == 1), Binding(b"sip:desk@x", 60))

    line = Line(started(fresh(clear_stale=True)), registrar).until(HOUR)
    assert [ask.purpose for _, ask in line.sent[:3]] == [Purpose.REGISTER, Purpose.CLEAR, Purpose.REGISTER]
    assert (line.sent[1][1].contacts, line.sent[1][1].expires) == ((STALE,), 0)
    assert line.gaps()[0] == pytest.approx(TRIP)
    assert line.learnt[1][1].sign is RegistrationSign.NEUTRAL
    assert line.registration.view.stale == ()
    assert line.registration.view.others == (b"sip:desk@x",)


@pytest.mark.parametrize("answer", [None, 400, 403, 423, 503])
def test_clearing_that_fails_costs_nothing_and_is_not_repeated(answer: int | None) -> None:
    def registrar(ask: Ask, _: float) -> RegisterAnswer | None:
        if ask.purpose is Purpose.CLEAR:
            return no(ask, answer, min_expires=600) if answer else None
        return ok(ask, 180, Binding(STALE, 90))

    line = Line(started(fresh(clear_stale=True)), registrar).until(HOUR)
    assert sum(ask.purpose is Purpose.CLEAR for _, ask in line.sent) == 1
    assert {evidence.after for _, evidence in line.learnt} == {Word.REGISTERED}
    assert {evidence.sign for _, evidence in line.learnt} == {RegistrationSign.GOOD, RegistrationSign.NEUTRAL}


def test_should_clearing_take_ours_along_it_is_put_back_at_once() -> None:
    def registrar(ask: Ask, _: float) -> RegisterAnswer:
        if ask.purpose is Purpose.CLEAR:
            return RegisterAnswer(200, "OK", ask.cseq, (Binding(b"sip:desk@x", 60),), True)
        return ok(ask, 180, Binding(STALE, 90))

    line = Line(started(fresh(clear_stale=True)), registrar).until(20.0)
    assert [ask.purpose for _, ask in line.sent] == [Purpose.REGISTER, Purpose.CLEAR, Purpose.REGISTER]


def test_clearing_has_a_bound() -> None:
    def registrar(ask: Ask, now: float) -> RegisterAnswer:
        return ok(ask, 60, *[Binding(b"sip:t0ken@192.0.2.7:%d" % (1 + ask.cseq * 40 + n), 9) for n in range(30)])

    line = Line(started(fresh(clear_stale=True)), registrar).until(HOUR)
    cleared = [uri for _, ask in line.sent if ask.purpose is Purpose.CLEAR for uri in ask.contacts]
    assert len(cleared) == len(set(cleared)) == MAX_CLEARED


def wiping(registrar: Registrar, seed: int = 1) -> Line:
    return Line(started(fresh(seed=seed, wipe=True)), registrar)


def test_everything_on_the_account_is_removed_at_the_start_when_asked_and_never_again() -> None:
    line = wiping(lambda ask, _: ok(ask, 300)).until(5.0)
    first, second = (ask for _, ask in line.sent)
    assert (first.purpose, first.contacts, first.expires) == (Purpose.WIPE, (), 0)
    assert (second.purpose, second.contacts, second.cseq) == (Purpose.REGISTER, (US,), first.cseq + 1)
    assert line.gaps() == [pytest.approx(TRIP)]
    line.until(24 * HOUR)
    line.registration.hurry(line.now)
    line.registration.move(US, line.now)
    line.until(line.now + HOUR)
    assert [ask.purpose for _, ask in line.sent].count(Purpose.WIPE) == 1
    assert {evidence.sign for _, evidence in line.learnt[:1]} == {RegistrationSign.NEUTRAL}


def test_removing_everything_is_challenged_like_the_rest() -> None:
    line = wiping(lambda ask, _: no(ask, 401) if ask.cseq in (1, 3) else ok(ask, 300)).until(5.0)
    assert [(ask.purpose, ask.cseq) for _, ask in line.sent] == [
        (Purpose.WIPE, 1), (Purpose.WIPE, 2), (Purpose.REGISTER, 3), (Purpose.REGISTER, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("status", [400, 405, 423, 480])
def test_a_registrar_that_does_not_know_the_star_is_registered_with_at_once(status: int) -> None:
    line = wiping(lambda ask, _: no(ask, status) if ask.purpose is Purpose.WIPE else ok(ask)).until(5.0)
    assert line.gaps() == [pytest.approx(TRIP)]
    assert line.registration.word is Word.REGISTERED
    assert Word.FAILED not in {evidence.after for _, evidence in line.learnt}


def test_a_wrong_password_is_shown_once_before_the_slow_lane_also_when_everything_is_to_go() -> None:
    line = wiping(lambda ask, _: no(ask, 403, "Forbidden")).until(HOUR)
    assert [ask.purpose for _, ask in line.sent].count(Purpose.WIPE) == 1
    assert line.gaps()[0] >= SLOW_FIRST * (1 - JITTER)
    assert all(sum(at <= other < at + 600 for other in line.times) <= 4 for at in line.times)


def test_a_registrar_that_was_silent_to_the_star_hears_it_again_before_we_register() -> None:
    line = wiping(outage(0, 300, lambda _: None)).until(HOUR)
    purposes = [ask.purpose for _, ask in line.sent]
    assert set(purposes[:5]) == {Purpose.WIPE}
    assert purposes.count(Purpose.WIPE) == purposes.index(Purpose.REGISTER)
    assert {evidence.sign for at, evidence in line.learnt if at < 300} == {RegistrationSign.SILENT}
    assert line.registration.word is Word.REGISTERED


def test_everything_goes_over_the_wire_as_a_star() -> None:
    ask = Ask(Purpose.WIPE, b"1@us", b"t", 1, (), 0)
    via = compose.via_value("udp", b"192.0.2.9:5060", b"z9hG4bK1")
    asked = Message(register_request(ask, aor=b"sip:+41441234567@carrier.example", via=via))
    assert (asked.get(b"contact"), asked.get(b"expires")) == (b"*", b"0")


@pytest.mark.parametrize("stage", [TRYING, REFRESHING, CLEARING, WIPING])
def test_another_edge_is_registered_at_without_waiting_for_the_old_one(stage: Stage) -> None:
    registration = make(stage)
    old = registration.lease.asked
    assert old is not None
    now = registration.lease.asked_at + 1.0
    held = registration.held
    registration.move(US, now)
    assert registration.held is held
    ask = registration.due(now)
    assert ask is not None
    assert (ask.purpose, ask.cseq) == (Purpose.WIPE if stage is WIPING else Purpose.REGISTER, old.cseq + 1)
    assert registration.answered(ok(old), now + 0.1) is None, "what the old edge says now is old news"
    registration.answered(ok(ask), now + 0.2)
    assert registration.held is (stage is not WIPING)


def test_another_port_that_the_nat_gives_towards_another_edge_is_no_move_of_ours() -> None:
    line = Line(started(fresh()), lambda ask, now: ok(ask, 3600, public=HOME if now < 50 else AWAY)).until(50.0)
    line.registration.move(US, 50.0)
    line.until(60.0)
    assert [ask.contacts for _, ask in line.sent] == [(US,), (US,)]
    assert not any(evidence.moved for _, evidence in line.learnt)


def test_edges_that_change_while_they_are_asked_get_no_flood() -> None:
    registration, left = make(TRYING), []
    for tenth in range(30, 3030):
        now = tenth / 10
        if tenth % 7 == 0:
            registration.move(US, now)
        if registration.due(now):
            left.append(now)
    assert len(left) == 300 / HURRY_EVERY
    assert min(after - before for before, after in pairwise(left)) >= HURRY_EVERY - 1e-6
    assert registration.in_vain >= 30
    registration.answered(ok(send(registration)), 304.0)
    assert registration.in_vain == 0


def test_edges_that_change_all_the_time_get_no_flood() -> None:
    line = Line(started(fresh()), lambda ask, _: None).until(100.0)
    before = len(line.sent)
    for second in range(100, 400):
        line.registration.move(US, float(second))
        line.until(float(second))
    assert len(line.sent) - before <= 300 / HURRY_EVERY + 1


def test_a_moved_address_in_our_own_answer_moves_the_contact_and_registers_again_at_once() -> None:
    def registrar(ask: Ask, now: float) -> RegisterAnswer:
        return ok(ask, 300, public=HOME if now < 500 else AWAY)

    line = Line(started(fresh()), registrar).until(HOUR)
    at = next(index for index, (_, ask) in enumerate(line.sent) if ask.contacts != (US,))
    assert line.sent[at][1].contacts == (b"sip:t0ken@203.0.113.5:40123",)
    assert line.gaps()[at - 1] == pytest.approx(TRIP)
    moves = [evidence.moved for _, evidence in line.learnt if evidence.moved]
    assert moves == [(HOME, AWAY)]
    assert all(ask.contacts == (US,) for _, ask in line.sent[:at])
    assert len({ask.contacts for _, ask in line.sent[at:]}) == 1
    assert line.registration.view.public == AWAY


def test_an_address_that_moved_before_the_challenge_is_in_the_answer_to_it() -> None:
    registration = make(REFRESHING)
    registration.lease.public = HOME
    ask = registration.lease.asked
    assert ask is not None
    again = registration.challenged(no(ask, 401, public=AWAY), 200.0)
    assert again is not None
    assert again.contacts == (b"sip:t0ken@203.0.113.5:40123",)
    evidence = registration.answered(ok(again, public=AWAY), 200.1)
    assert evidence is not None
    assert evidence.moved == (HOME, AWAY)
    assert registration.deadline() > 200.1 + 50, "and needs no further one"  # type: ignore[operator]


def test_options_that_show_another_address_make_it_register_at_once() -> None:
    line = Line(started(fresh(b"sip:t0ken@10.0.0.5:5060")), lambda ask, _: ok(ask, 3600, public=HOME)).until(1000.0)
    registration = line.registration
    assert registration.address_seen(None, 1000.0) is None
    assert registration.address_seen(HOME, 1000.0) is None
    evidence = registration.address_seen(AWAY, 1000.0)
    assert evidence is not None
    assert evidence.what == "the carrier sees us at 203.0.113.5:40123, before at 192.0.2.9:5060"
    ask = registration.due(1000.0)
    assert ask is not None
    assert ask.contacts == (b"sip:t0ken@10.0.0.5:5060",), "ours is private and stays; the registrar sees the rest"


def test_a_nat_that_changes_all_the_time_gets_no_flood() -> None:
    line = Line(started(fresh()), lambda ask, _: ok(ask, 3600)).until(100.0)
    for second in range(100, 400):
        line.registration.address_seen(PublicAddress("203.0.113.5", second), float(second))
        line.until(float(second))
    assert 28 <= len(line.sent) <= 32
    assert min(line.gaps()[1:]) >= HURRY_EVERY - 1e-6
    refused = Line(started(fresh()), lambda ask, _: no(ask, 403)).until(100.0)
    for second in range(100, 700):
        refused.registration.hurry(float(second))
        refused.until(float(second))
    assert sum(at >= 100 for at in refused.times) <= 600 / REFUSED_EVERY + 1


def test_hurry_while_one_is_in_flight_sends_another_after_it() -> None:
    registration = make(TRYING)
    registration.hurry(1.9)
    ask = registration.lease.asked
    assert ask is not None
    registration.answered(ok(ask), 2.0)
    assert registration.due(2.0) is not None
    registration = make(TRYING)
    registration.hurry(1.9)
    registration.failed(1, "the connection was lost", 2.0)
    assert registration.due(2.0) is not None


def test_hurry_does_not_pass_a_registrar_that_asked_to_be_left_alone_or_refuses() -> None:
    for answer, wait in ((no(REGISTER, 503, retry_after=60.0), 60.0), (no(REGISTER, 403), SLOW_FIRST * 0.9)):
        registration = make(TRYING)
        registration.hurry(1.9)
        registration.answered(answer, 2.0)
        assert registration.deadline() >= 2.0 + wait  # type: ignore[operator]


def test_two_hurries_are_ten_seconds_apart_also_when_the_first_had_to_wait() -> None:
    line = Line(started(fresh()), lambda ask, _: ok(ask, 3600)).until(100.0)
    for at in (100.0, 101.0, 111.0):
        line.until(at)
        line.registration.hurry(at)
    line.until(150.0)
    assert line.times[1:] == [100.0, 110.0, 120.0]


def test_a_second_outage_begins_with_short_waits_again() -> None:
    def twice(answer: Callable[[Ask], RegisterAnswer | None]) -> list[float]:
        registrar = outage(0, HOUR, answer)
        line = Line(started(fresh()), lambda ask, now: registrar(ask, now % (2 * HOUR))).until(4 * HOUR)
        second = [at for at in line.times if at >= 2 * HOUR]
        return [after - before for before, after in pairwise(second)]

    assert twice(lambda ask: no(ask, 500))[0] <= RETRY_FIRST * (1 + JITTER) + TRIP
    assert twice(lambda ask: no(ask, 403))[0] <= SLOW_FIRST * (1 + JITTER) + TRIP


def test_a_grant_counts_from_when_the_register_left() -> None:
    registration = make(TRYING)
    asked_at = registration.lease.asked_at
    registration.answered(ok(REGISTER, 180), asked_at + 8.0)
    assert registration.view.expires_at == asked_at + 180
    assert registration.deadline() <= asked_at + refresh_after(180, 1.0)  # type: ignore[operator]


def test_another_contact_is_registered_at_once() -> None:
    registration = make(REGISTERED)
    registration.rebind(US, 5.0)
    assert registration.due(5.0) is None, "the same one is none"
    registration.rebind(b"sip:t0ken@192.0.2.10:5060", 5.0)
    ask = registration.due(5.0)
    assert ask is not None
    assert ask.contacts == (b"sip:t0ken@192.0.2.10:5060",)
    with pytest.raises(WireError):
        registration.rebind(b"office", 6.0)
    with pytest.raises(WireError):
        fresh(b"office")


@pytest.mark.parametrize("answer", [None, 200, 403, 503])
def test_unregister_is_one_register_with_expires_zero_and_ends_whatever_comes(answer: int | None) -> None:
    line = Line(started(fresh()), lambda ask, _: ok(ask)).until(10.0)
    registration = line.registration
    registration.stop(10.0, unregister=True)
    assert (registration.word, registration.usable(10.0)) == (Word.NOT_USED, False)
    line.registrar = lambda ask, _: no(ask, answer) if answer else None
    line.until(HOUR)
    assert registration.deadline() is None
    last = line.sent[-1][1]
    assert (last.purpose, last.expires, last.contacts, last.cseq) == (Purpose.LEAVE, 0, (US,), 2)
    assert registration.view.next_at is None
    assert registration.view.expires_at is None


def test_it_leaves_with_the_contact_it_has_bound() -> None:
    registration = make(REGISTERED)
    registration.lease.contact = b"sip:t0ken@192.0.2.10:5060"  # moved, and not registered yet
    registration.stop(3.0, unregister=True)
    ask = registration.due(3.0)
    assert ask is not None
    assert ask.contacts == (US,)
    again = registration.challenged(no(ask, 401), 3.1)
    assert again == replace(ask, cseq=ask.cseq + 1)


def test_stop_without_unregister_is_the_end_at_once_and_start_begins_anew() -> None:
    registration = make(AT_RISK)
    registration.stop(100.0, unregister=False)
    assert registration.deadline() is None
    assert registration.due(200.0) is None
    assert (registration.story(200.0), registration.view.why) == ("Not used", "")
    registration.start(300.0)
    assert (registration.word, registration.lease.failures) == (Word.REGISTERING, 0)
    assert 300.0 <= registration.deadline() <= 300.0 + START_SPREAD  # type: ignore[operator]


def test_a_register_that_nobody_ends_is_silence_by_its_watchdog() -> None:
    registration = make(TRYING)
    due = registration.deadline()
    assert due == registration.lease.asked_at + ANSWER_WITHIN + GRACE
    evidence = registration.wake(due)
    assert evidence is not None
    assert (evidence.sign, evidence.what) == (RegistrationSign.SILENT, "no answer within 10 s")
    assert registration.wake(due) is None


def test_routes_and_identities_are_those_of_the_last_200() -> None:
    route, path, identity = (b"<sip:e.example;lr>",), (b"<sip:p.example;lr>",), (b"<tel:+41441234567>",)
    registration = make(TRYING)
    ask = registration.lease.asked
    assert ask is not None
    registration.answered(ok(ask, service_route=route, path=path, associated=identity), 2.0)
    view = registration.view
    assert (registration.service_route, view.path, view.associated) == (route, path, identity)
    registration.answered(ok(send(registration)), 200.0)
    assert registration.service_route == (), "an answer without takes them back (RFC 3608 §6.1)"
    registration.stop(201.0, unregister=False)
    assert registration.view.path == ()


def test_it_goes_over_the_wire_and_back() -> None:
    registration = make(REGISTERED)
    at = registration.deadline()
    assert at is not None
    ask = registration.due(at)
    assert ask is not None
    via = compose.via_value("udp", b"192.0.2.9:5060", b"z9hG4bK1")
    asked = Message(register_request(ask, aor=b"sip:+41441234567@carrier.example", via=via))
    contact = b"<sip:t0ken@192.0.2.7>;expires=5, <sip:T0KEN@192.0.2.9:5060>, " + asked.values(b"contact")[0]
    headers = ((b"contact", contact + b";expires=272"), (b"service-route", b"<sip:edge;lr>"))
    answer = RegisterAnswer.read(Message(compose.response(asked, 200, to_tag=b"x", headers=headers)))
    evidence = registration.answered(answer, at + TRIP)
    assert evidence is not None
    assert (evidence.sign, evidence.status, evidence.sent_at) == (RegistrationSign.GOOD, 200, at)
    assert registration.view.granted == 272
    assert registration.view.stale == (b"sip:t0ken@192.0.2.7",)
    assert registration.view.others == (b"sip:T0KEN@192.0.2.9:5060",), "users are compared with their case"


def test_the_story_can_be_read_by_an_operator() -> None:
    line = Line(started(fresh()), lambda ask, _: no(ask, 403, "Forbidden"))
    assert line.registration.story(0.0).startswith("Registering for 0 ms, next try in ")
    line.until(200.0)
    story = line.registration.story(200.0)
    assert story.startswith("Failed for 3.3 min, 403 Forbidden to REGISTER, 3 failures in a row, next try in ")
    line.registrar = lambda ask, _: ok(ask)
    line.until(HOUR)
    assert "left, next refresh in" in line.registration.story(HOUR)
    assert repr(line.registration).startswith("<Registration REGISTERED since")
    assert repr(fresh()) == "<Registration NOT_USED>"
    assert "asked 1 s ago" in make(TRYING).story(make(TRYING).lease.asked_at + 1.0)
    assert repr(make(FAILED)).endswith(": port closed>")


# -- properties -------------------------------------------------------------------------------------------------------

statuses = st.sampled_from([100, 200, 200, 200, 202, 302, 400, 401, 403, 404, 407, 423, 480, 500, 503, 603])
bindings = st.lists(
    st.builds(Binding, st.sampled_from([US, STALE, b"sip:desk@x", b"?"]), st.none() | st.integers(0, 2**31)), max_size=4
)
maybe = st.none() | st.integers(0, 2**31)
answers = st.builds(
    RegisterAnswer, status=statuses, cseq=st.sampled_from([0, 0, 0, 1]), bindings=bindings.map(tuple),
    lists_bindings=st.booleans(), expires=maybe, min_expires=maybe, retry_after=st.floats(0, 1e9), flow_timer=maybe,
    public=st.sampled_from([None, HOME, AWAY]),
)  # fmt: skip
inputs = st.one_of(
    answers,
    answers,
    st.sampled_from(
        ["challenge", "fail", "hurry", "wake", "wake", "wake", "seen", "rebind", "move", "start", "stop", "quit"]
    ),
)
steps = st.lists(st.tuples(inputs, st.floats(0, 5000) | st.floats(0, 20)), max_size=80)


def happen(registration: Registration, what: object, now: float) -> None:
    """One thing from outside; answers go to the REGISTER in flight, unless they are for another one."""
    cseq = registration.lease.cseq
    if isinstance(what, RegisterAnswer):
        registration.answered(replace(what, cseq=cseq - what.cseq), now)
    elif what == "challenge":
        registration.challenged(RegisterAnswer(401, cseq=cseq), now)
    elif what == "fail":
        registration.failed(cseq, "", now)
    elif what == "hurry":
        registration.hurry(now)
    elif what == "seen":
        registration.address_seen(PublicAddress("203.0.113.5", 1 + int(now) % 60000), now)
    elif what == "rebind":
        registration.rebind(b"sip:t0ken@192.0.2.9:%d" % (1 + int(now) % 60000), now)
    elif what == "move":
        registration.move(b"sip:t0ken@192.0.2.9:%d" % (1 + int(now) % 60000), now)
    elif what in ("stop", "quit"):
        registration.stop(now, unregister=what == "stop")
    elif what == "start":
        registration.start(now)


@settings(deadline=None, max_examples=300)
@given(st.booleans(), st.booleans(), st.booleans(), steps)
def test_it_never_stops_asking(
    clear_stale: bool, wipe: bool, reliable: bool, steps: list[tuple[object, float]]
) -> None:
    registration = started(fresh(clear_stale=clear_stale, wipe=wipe, reliable=reliable))
    now, cseq = 0.0, 0
    longest = max(GRANT_MAX, RETRY_AFTER_MAX * (1 + JITTER), SLOW_MAX * (1 + JITTER))
    for what, pause in steps:
        now += pause
        happen(registration, what, now)
        for _ in range(4):  # the machine catches up: at most over, overdue, due
            registration.wake(now)
            registration.due(now)
        lease, view, at = registration.lease, registration.view, registration.deadline()
        assert (at is None) is (registration.stage is NOT_USED)
        assert at is None or now < at <= now + longest
        assert lease.cseq >= cseq
        cseq = lease.cseq
        assert (lease.asked is not None) is (registration.stage in IN_FLIGHT)
        assert registration.usable(now) is (view.word is Word.REGISTERED)
        assert view.expires_at is None or view.expires_at <= now + GRANT_MAX
        assert lease.expires <= EXPIRES_MAX
        assert len(lease.cleared) <= MAX_CLEARED
        assert 8.0 <= registration.keepalive_every <= 90.0
        assert view.since <= now
        assert bool(view.why) or view.word is not Word.FAILED
        assert registration.story(now)
        assert repr(registration)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32), st.lists(st.none() | answers, min_size=1, max_size=12))
def test_whatever_a_registrar_answers_it_is_never_flooded(seed: int, script: list[RegisterAnswer | None]) -> None:
    def registrar(ask: Ask, _: float) -> RegisterAnswer | None:
        answer = script[ask.cseq % len(script)]
        return answer and replace(answer, cseq=ask.cseq, status=max(200, answer.status), public=None)

    line = Line(started(fresh(seed=seed, clear_stale=True)), registrar).until(HOUR)
    busiest = HOUR / (GRANT_MIN * 0.375) * (1 + MAX_CHALLENGES)
    assert 1 <= len(line.sent) <= busiest
    assert all(gap <= GRANT_MAX for gap in line.gaps())
    tries = [at for at, ask in line.sent if ask.purpose is Purpose.REGISTER]
    burst = (1 + MAX_BRIEF) * (1 + MAX_CHALLENGES) + 1 + MAX_CHALLENGES
    assert all(sum(at <= other < at + 3.0 for other in tries) <= burst for at in tries)
    line.registrar = lambda ask, _: ok(ask)
    line.until(HOUR + max(GRANT_MAX, RETRY_AFTER_MAX * 1.1) + 1.0)
    assert line.registration.word is Word.REGISTERED
    assert line.registration.view.why == ""
    assert RETRY_FIRST < RETRY_MAX
