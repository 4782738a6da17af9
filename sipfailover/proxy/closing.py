"""The books of an attempt that is over: its clock, its channel, its evidence, its record, what must be cancelled."""

from sipfailover.proxy import experience, forks, hedging
from sipfailover.proxy.call import Attempt, Call
from sipfailover.proxy.core import Core, phrase
from sipfailover.proxy.facts import AttemptEnded
from sipfailover.proxy.watch import Watch
from sipfailover.routing import Answered, Outcome, Rejected, Silent, Unreachable, Verdict
from sipfailover.wire import Message, parse_reasons, value_of

REASONS_MAX = 4
"""Reason lines of an answer that are read, and reasons in each that are kept: two are usual, SIP and Q.850."""
REASON_BYTES_MAX = 1_024
"""A longer line of them is passed over: a datagram of such lines took 11 ms, and filled the history."""
TEXT_SHOWN = 80


def close(
    core: Core, watch: Watch, call: Call, attempt: Attempt, outcome: Outcome, message: Message | None,
    verdict: Verdict, words: str, now: float,
) -> None:  # fmt: skip
    """See the module. `message`: the final answer, None if there was none; `words`: what we did about it."""
    trunk = attempt.line.trunk
    attempt.over = True
    if attempt.clock is not None:
        attempt.clock.stop()
        attempt.clock = None
    hedging.stop(attempt)
    hedging.count(core, attempt, outcome, overtaken=words == hedging.OVERTAKEN)
    trunk.calls_now -= 1
    evidence = verdict.evidence(call.called, attempt.sent_at)
    if evidence is None and attempt.candidate.trial:
        trunk.health.trial_ended()
    if message is None:
        core.layer.cancel(attempt.branch, now)
    if attempt.won is None:
        forks.drop(core, attempt)
    ringing_at = attempt.ringing_at
    core.record(
        AttemptEnded(
            at=now,
            call=call.number,
            number=attempt.number,
            trunk=attempt.line.name,
            outcome=outcome.word,
            status=message.status if message is not None else 0,
            reason=_reason(outcome, message),
            verdict=words,
            sent_at=attempt.sent_at,
            ringing_after=None if ringing_at is None else ringing_at - attempt.sent_at,
            ended_after=now - attempt.sent_at,
            remote=attempt.remote,
            call_id=attempt.leg.call_id.decode(),
            why=attempt.why,
        )
    )
    had_its_time = verdict.sign is not None or words == "next address"
    _learn(watch, attempt, outcome, verdict.said, had_its_time, now)
    if verdict.agreed:
        watch.blame.agreed(call.called, now)
    asked = verdict.opinion and words == "next trunk"
    experience.closed(watch, call, attempt, outcome, evidence, now, asked=asked, agreed=verdict.agreed)


def _learn(watch: Watch, attempt: Attempt, outcome: Outcome, said: str, had_its_time: bool, now: float) -> None:
    """What the attempt has shown of the address it went to."""
    line, target = attempt.line, attempt.leg.reached
    match outcome:
        case Silent() | Unreachable(local=False, ringing=False) if had_its_time:
            watch.address_failed(line, target, said, now)
        case Rejected(status=503, ringing=False):
            watch.address_failed(line, target, said, now, outcome.retry_after)
        case Answered() | Rejected():
            line.trunk.addresses.good(target, now)


def _reason(outcome: Outcome, message: Message | None) -> str:
    """The phrase, and what Reason headers say behind it: `Service Unavailable (Q.850 34 No circuit available)`."""
    if message is None:
        return outcome.reason if isinstance(outcome, Unreachable) else ""
    said = [phrase(message)]
    for line in message.lines(b"reason")[:REASONS_MAX]:
        if len(line) > REASON_BYTES_MAX:
            continue
        for one in parse_reasons(value_of(line))[:REASONS_MAX]:
            text = one.text.decode("utf-8", "replace")[:TEXT_SHOWN]
            parts = (one.protocol[:TEXT_SHOWN].decode(), str(one.cause or ""), text)
            said.append(f"({' '.join(part for part in parts if part)})")
    return " ".join(said).strip()
