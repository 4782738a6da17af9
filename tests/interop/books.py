"""The books of a SIPp: what it received and sent, call by call, read from its short message log.

From a carrier's books follows that no ghost was left (every 2xx acknowledged and hung up), from a caller's how long it
waited for ringing. SIPp flushes the log line by line, so the books of a killed carrier are complete, and those of a
running one can be read. A leg is a Call-ID: the service gives each attempt its own.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

RECEIVED, SENT = "R", "S"
CSEQ = re.compile(r"CSeq\s*:\s*(\d+)\s+(\w+)", re.IGNORECASE)
STATUS = re.compile(r"SIP/2\.0 (\d{3})")
NUMBER = re.compile(r"INVITE sips?:\+?(\d+)@")


@dataclass(frozen=True, slots=True)
class Entry:
    """One message. `at`: seconds, wall clock, to the microsecond (SIPp's)."""

    at: float
    direction: str
    """RECEIVED or SENT, seen from the SIPp."""
    cseq: int
    method: str
    """From CSeq: a response has the method of its request."""
    status: int
    """0 for a request."""
    line: str

    @property
    def key(self) -> tuple[str, int, str, str]:
        """What a retransmission has in common with the first copy."""
        return self.direction, self.cseq, self.method, self.line


@dataclass(slots=True)
class Leg:
    """One Call-ID's messages, in order."""

    call_id: str
    entries: list[Entry] = field(default_factory=list)

    def all(self, method: str, direction: str, statuses: range = range(0, 1)) -> list[Entry]:
        """Its requests of a method, or the responses to it whose status is in `statuses`; copies included."""
        return [
            entry for entry in self.entries
            if entry.method == method and entry.direction == direction and entry.status in statuses
        ]  # fmt: skip

    @property
    def invited_at(self) -> float | None:
        """When the first INVITE came or went, None if this was no call (an OPTIONS)."""
        return next((entry.at for entry in self.entries if entry.method == "INVITE" and not entry.status), None)

    @property
    def number(self) -> str:
        """The number of the first INVITE, without a plus sign; empty if there is none. It is what the two legs of a
        call have in common."""
        found = next((NUMBER.match(e.line) for e in self.entries if e.method == "INVITE" and not e.status), None)
        return found[1] if found else ""

    @property
    def ringing_after(self) -> float | None:
        """Seconds from the INVITE to the first 18x, or to a 2xx that came without; None if neither came."""
        start = self.invited_at
        if start is None:
            return None
        rang = (e.at - start for e in self.entries if e.method == "INVITE" and 180 <= e.status <= 299)
        return next(rang, None)

    @property
    def answered_at(self) -> float | None:
        """When the first 2xx to INVITE came or went."""
        return next((e.at for e in self.entries if e.method == "INVITE" and 200 <= e.status <= 299), None)

    def unacknowledged(self) -> set[int]:
        """CSeqs of INVITEs whose final answer we sent and for which no ACK came."""
        finals = {entry.cseq for entry in self.all("INVITE", SENT, range(200, 700))}
        return finals - {entry.cseq for entry in self.all("ACK", RECEIVED)}

    def trouble(self) -> str:
        """What is left of this leg at the carrier that answered or refused it, in words; empty when nothing is."""
        if (missing := self.unacknowledged()) != set():
            return f"{self.call_id}: final answer to INVITE {sorted(missing)} never acknowledged"
        answered = self.all("INVITE", SENT, range(200, 300))
        hung_up = self.all("BYE", RECEIVED) or self.all("BYE", SENT)
        if answered and not hung_up:
            return f"{self.call_id}: answered at {answered[0].at:.3f}, never hung up"
        return ""

    def unfinished(self) -> str:
        """`trouble`, or an INVITE that got a provisional answer but no final one, and no CANCEL either."""
        provisional = self.all("INVITE", SENT, range(100, 200))
        final = self.all("INVITE", SENT, range(200, 700))
        if provisional and not final and not self.all("CANCEL", RECEIVED):
            return f"{self.call_id}: was abandoned without CANCEL"
        return self.trouble()


class Books:
    """All legs in one log, by Call-ID."""

    def __init__(self, file: Path) -> None:
        self.legs: dict[str, Leg] = {}
        if file.exists():
            for line in file.read_text(errors="replace").splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        """A line is: date, time, seconds, direction, Call-ID, CSeq, first line; between tabs. A line that is being
        written is passed over."""
        parts = line.split("\t")
        cseq = CSEQ.match(parts[5]) if len(parts) >= 7 else None
        if cseq is None:
            return
        _, _, stamp, direction, call_id, _, first = parts[:7]
        status = STATUS.match(first)
        entry = Entry(float(stamp), direction, int(cseq[1]), cseq[2], int(status[1]) if status else 0, first)
        self.legs.setdefault(call_id, Leg(call_id)).entries.append(entry)

    @property
    def calls(self) -> list[Leg]:
        """Legs with an INVITE."""
        return [leg for leg in self.legs.values() if leg.invited_at is not None]

    @property
    def answered(self) -> list[Leg]:
        """Legs with a 2xx to INVITE."""
        return [leg for leg in self.calls if leg.answered_at is not None]

    def __iter__(self) -> Iterator[Entry]:
        for leg in self.legs.values():
            yield from leg.entries

    def invited_between(self, start: float, end: float) -> list[Leg]:
        """Calls whose first INVITE came in this time. `start`, `end`: seconds, wall clock."""
        return [leg for leg in self.calls if leg.invited_at is not None and start <= leg.invited_at <= end]

    def ghosts(self, *, invited_before: float = float("inf")) -> list[str]:
        """Every leg that the service left behind, in words. `invited_before`: seconds, wall clock; leaves out later
        legs, of a carrier that was killed and could hear no more."""
        old = (leg for leg in self.calls if (leg.invited_at or 0.0) < invited_before)
        return [words for leg in old if (words := leg.unfinished())]

    def ringing(self) -> list[float]:
        """Seconds to ringing of every call that got so far."""
        return [after for leg in self.calls if (after := leg.ringing_after) is not None]

    def retransmissions(self) -> int:
        """Copies beyond the first of any message, in both directions."""
        return sum(
            count - 1 for leg in self.legs.values() for count in Counter(entry.key for entry in leg.entries).values()
        )

    def messages(self) -> int:
        return sum(len(leg.entries) for leg in self.legs.values())
