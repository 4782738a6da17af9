"""Facts to store."""

from datetime import UTC, datetime, timedelta

from sipfailover.proxy.facts import AttemptEnded, CallEnded, ProbeEnded, RegistrationChanged, TrunkChanged

NOW = 1_000.0
START = datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)


def wall(at: float) -> datetime:
    return START + timedelta(seconds=at - NOW)


def milliseconds(at: float) -> int:
    return round(wall(at).timestamp() * 1000)


def call(number: int, at: float = NOW) -> CallEnded:
    return CallEnded(
        at=at + 60,
        call=number,
        direction="outbound",
        caller="201",
        called="+41443210019",
        result="answered",
        status=200,
        trunk="backup",
        first_choice="main",
        attempts=2,
        started_at=at,
        ringing_after=0.9,
        answered_at=at + 5,
        ended_by="caller",
        call_id=f"{number}@pbx",
    )


def attempt(number: int, rung: int = 1) -> AttemptEnded:
    return AttemptEnded(
        at=NOW + 0.8,
        call=number,
        number=rung,
        trunk="main",
        outcome="silent",
        status=0,
        reason="",
        verdict="next trunk",
        sent_at=NOW,
        ringing_after=None,
        ended_after=0.8,
        remote="udp 198.51.100.7:5060",
        call_id=f"{number}@us",
    )


def change(before: str = "Suspect", after: str = "Down", at: float = NOW) -> TrunkChanged:
    why, evidence = "2 OPTIONS without an answer", ("2 s before: no answer", "now: no answer")
    return TrunkChanged(at, "main", before, after, why, "failed checks in a row", evidence)


def registration(after: str = "Failed", status: int = 403, at: float = NOW) -> RegistrationChanged:
    why = f"{status} Forbidden to REGISTER" if status else "no answer within 10 s"
    return RegistrationChanged(at=at, trunk="main", before="Registered", after=after, why=why, status=status)


def probe(at: float, result: str = "answered", round_trip: float | None = 0.02) -> ProbeEnded:
    return ProbeEnded(at=at, trunk="main", result=result, status=200, round_trip=round_trip)
