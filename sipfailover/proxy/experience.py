"""What calls show of the lines that carry them, beside how an attempt ended.

How long it took to ring, whether an answered call lasts, whether another trunk reached the number that one refused, and
how calls come in. Functions that tell `watch`; what follows is decided in `trunk.health`, `trunk.inbound` and
`proxy.blame`. On the path.
"""

from dataclasses import replace

from sipfailover.proxy.call import Attempt, Call
from sipfailover.proxy.line import Line
from sipfailover.proxy.watch import Watch
from sipfailover.routing import Answered, NoRinging, Outcome, Rejected, Silent
from sipfailover.trunk import Evidence, InboundSeen, Sign, State, duration

BUSY = frozenset({486, 600})
"""Answers that only somebody gives who was reached."""
ABOUT_THE_CALLER = 403
"""More often about who calls than about who is called: it is the caller that several of it must differ in."""
BY_PEOPLE = 603
"""Declined: what somebody else lets ring, or the same person later, contradicts nothing."""


def closed(
    watch: Watch, call: Call, attempt: Attempt, outcome: Outcome, evidence: Evidence | None, now: float,
    *, asked: bool = False, agreed: bool = False,
) -> None:  # fmt: skip
    """An attempt has its outcome, and this is what it is evidence of. `asked`: it refused the number, and now another
    trunk is asked, whose answer is waited for; `agreed`: this is that answer, and says the same."""
    line = attempt.line
    sign = evidence.sign if evidence is not None else None
    if evidence is not None and sign is Sign.CALL_SILENT:
        evidence = replace(evidence, more=_clock(line))
    elif evidence is not None and sign is Sign.CALL_REFUSED and line.role != "trunk":
        evidence = replace(evidence, sign=Sign.CALL_GOOD)  # at night a PBX may say 480 to everybody, and is well
    elif evidence is not None and sign is Sign.CALL_REFUSED and isinstance(outcome, Rejected):
        if outcome.status != BY_PEOPLE:
            watch.blame.refused(line, call.called, evidence.what, now)
        if outcome.status == ABOUT_THE_CALLER:
            evidence = replace(evidence, destination=call.caller or call.called)
    if isinstance(outcome, Silent | NoRinging) and evidence is not None:
        for suspicion in line.trunk.overtaken.confirmed(evidence.what, now):
            watch.observe(line, suspicion, now)
    elif sign is Sign.CALL_GOOD:
        line.trunk.overtaken.refuted()
    reached = attempt.ringing_at is not None or isinstance(outcome, Answered)
    reached = reached or (sign is Sign.CALL_GOOD and isinstance(outcome, Rejected) and outcome.status in BUSY)
    waiting, call.refused = call.refused, None
    if waiting is not None and not (agreed or reached):
        watch.observe(*waiting, now)  # it did not become clearer
    if asked and evidence is not None:
        call.refused = (line, evidence)
        line.trunk.health.trial_ended()
    else:
        watch.observe(line, evidence, now)
    if isinstance(outcome, NoRinging):
        line.trunk.setup.observe(outcome.after, rang=False)
    if isinstance(outcome, Answered):
        _answered(watch, call, line, now)
    if sign is Sign.CALL_GOOD and reached:
        for other, against in watch.blame.reached(line, call.called, now):
            watch.observe(other, against, now)


def _clock(line: Line) -> str:
    """What the no-answer clock was, and why so."""
    trunk = line.trunk
    mean = trunk.roundtrip.smoothed
    trip = "not measured" if mean is None else duration(mean)
    return f"round trip {trip}, bound {duration(trunk.no_answer().bound)}"


def rang(watch: Watch, call: Call, attempt: Attempt, now: float) -> None:
    """It rings, for the first time."""
    line, seconds = attempt.line, now - attempt.sent_at
    if line.role != "trunk":
        return
    line.trunk.overtaken.refuted()
    setup = line.trunk.setup
    usual = setup.mean
    slow = setup.observe(seconds)
    if slow is None:
        return
    if slow:
        what = f"{duration(seconds)} to ring, usually {duration(usual)}"
        watch.observe(line, Evidence(Sign.CALL_SLOW, what, call.called), now)
    else:
        watch.observe(line, PROMPT, now)


def overtaken(call: Call, attempt: Attempt, now: float) -> None:
    """Another trunk was faster, because this one was silent for long. That alone is evidence of nothing."""
    attempt.line.trunk.overtaken.lost(call.called, now - attempt.sent_at, attempt.sent_at)


def heard(watch: Watch, attempt: Attempt, now: float) -> None:
    """The first answer to an INVITE. If it was given up before: the trunk is there after all."""
    attempt.heard = True
    trunk, trip = attempt.line.trunk, now - attempt.sent_at
    if trip <= trunk.no_answer_within:
        trunk.roundtrip.observe(trip, call=True)
    if attempt.over:
        watch.observe(attempt.line, trunk.probe.alive(now), now)


def called(watch: Watch, source: Line, now: float) -> None:
    """A call comes from this line."""
    if source.role == "trunk" and source.trunk.inbound.state is not State.UP:
        watch.inbound(source, InboundSeen.CALLED, now)


def hung_up(watch: Watch, call: Call, by_caller: bool, now: float) -> None:
    """An answered call was ended by one of its sides."""
    line, source = call.line, call.source
    if line is not None and line.role == "trunk":
        young, lasted = line.trunk.talks.ended(call.number, now)
        _lasted(watch, line, lasted, now)
        if young is not None and not by_caller:
            what = f"answered, and ended by the network after {duration(young)}"
            watch.observe(line, Evidence(Sign.CALL_DROPPED, what, call.called), now)
    if source.role == "trunk":
        young, lasted = source.trunk.talks_in.ended(call.number, now)
        for _ in range(lasted):
            watch.inbound(source, InboundSeen.LASTED, now)
        if young is not None and by_caller:
            what = f"answered, and ended by the network after {duration(young)}"
            watch.inbound(source, InboundSeen.DROPPED, now, call.caller, what)


def unacknowledged(watch: Watch, call: Call, by_caller: bool, now: float) -> None:
    """An answer was never acknowledged by this side."""
    if by_caller and call.source.role == "trunk":
        watch.inbound(call.source, InboundSeen.DROPPED, now, call.caller, "our answer was never acknowledged")


def _answered(watch: Watch, call: Call, line: Line, now: float) -> None:
    if line.role == "trunk":
        _lasted(watch, line, line.trunk.talks.answered(call.number, now), now)
    source = call.source
    if source.role == "trunk":
        for _ in range(source.trunk.talks_in.answered(call.number, now)):
            watch.inbound(source, InboundSeen.LASTED, now)


def _lasted(watch: Watch, line: Line, count: int, now: float) -> None:
    for _ in range(count):
        watch.observe(line, LASTED, now)


LASTED = Evidence(Sign.CALL_LASTED)
PROMPT = Evidence(Sign.CALL_PROMPT)
