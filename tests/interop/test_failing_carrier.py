"""The main carrier fails in the middle of traffic, in five ways: no call is lost, no ghost is left.

Twenty calls a second go out. When about a hundred have been offered to the main carrier, it is stopped (a), killed (b),
refuses (c), says 100 Trying and then nothing (d), or is silent to INVITE while it answers OPTIONS (e). The last three
are one SIPp whose scenario changes its mind after so many calls: nothing is restarted, no port is ever closed.
"""

import signal
import time
from dataclasses import dataclass

import pytest

from tests.interop.needs import needs
from tests.interop.service import BACKUP, MAIN, PBX, SERVICE, Service, Watch
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until

pytestmark = [*needs("sipp"), pytest.mark.slow]

RATE = 20
HEALTHY_CALLS = 100
"""INVITEs that the main carrier gets while it is well: five seconds."""
TALK_MS = 500
CALLER_PORT = 5070
MARGIN = 0.3
"""Seconds that a clock of ours may be late, with the process switches of a busy machine."""
SILENT_WITHIN = 1.0
REFUSED_WITHIN = 0.050
NO_RINGING_WITHIN = 3.0
"""Shorter than the example's 8 s: as many calls wait as fit into it, and the test waits for all of them."""
QUIET_WITHIN = 40.0
"""Seconds until everything has come to its end: a request that nobody answers is repeated for 32 (timers B and F)."""
SETTLED = 0.25
"""Seconds after the page said Down within which a call may still have been on its way: page and book are two clocks."""
NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Office:
    """The players of a test, and the caller's books when it is over."""

    stage: Stage
    main: Sipp
    backup: Sipp
    service: Service


def test_main_carrier_stops_in_its_tracks_and_wakes_up_late(stage: Stage) -> None:
    office = open_office(stage)
    with Watch(office.service, "main") as watch:
        caller = call(office, seconds=16)
        answered(office.main, HEALTHY_CALLS)
        office.main.signal(signal.SIGSTOP)  # its port stays open and swallows what is sent
        until(lambda: watch.seen("down"), 15.0, "the page says that main is Down")
        answered(office.backup, 5 * RATE)
        office.main.signal(signal.SIGCONT)  # now it answers everything that waited in its socket
        all_calls_good(caller, within=60.0)
    waited_at_most(caller, SILENT_WITHIN)
    backup_alone_while_down(office, caller, watch)
    nothing_is_left(office)


def test_main_carrier_is_killed(stage: Stage) -> None:
    office = open_office(stage)
    with Watch(office.service, "main") as watch:
        caller = call(office, seconds=12)
        answered(office.main, HEALTHY_CALLS)
        office.main.signal(signal.SIGKILL)  # its port is closed: the kernel answers with ICMP
        killed_at = time.time()
        all_calls_good(caller, within=60.0)
        assert watch.seen("down")
    waited_at_most(caller, REFUSED_WITHIN)
    backup_alone_while_down(office, caller, watch)
    longest_call = TALK_MS / 1000 + 2 * MARGIN
    nothing_is_left(office, main_invited_before=killed_at - longest_call)


def test_main_carrier_begins_to_refuse(stage: Stage) -> None:
    office = open_office(stage, then=503)
    with Watch(office.service, "main") as watch:
        caller = call(office, seconds=15)
        all_calls_good(caller, within=60.0)
        assert watch.seen("down"), "503 to many different numbers did not bring main Down"
    waited_at_most(caller, REFUSED_WITHIN)
    backup_alone_while_down(office, caller, watch)
    nothing_is_left(office)


def test_main_carrier_says_trying_and_then_nothing(stage: Stage) -> None:
    office = open_office(stage, then=100)
    with Watch(office.service, "main") as watch:
        caller = call(office, seconds=15)
        all_calls_good(caller, within=60.0)
        assert watch.seen("down"), "calls that never rang did not bring main Down"
    waited_at_most(caller, NO_RINGING_WITHIN + MARGIN)
    backup_alone_while_down(office, caller, watch)
    nothing_is_left(office)


def test_main_carrier_answers_options_but_no_call(stage: Stage) -> None:
    office = open_office(stage, then=0)
    with Watch(office.service, "main") as watch:
        caller = call(office, seconds=15)
        all_calls_good(caller, within=60.0)
        assert watch.seen("down"), "OPTIONS alone was believed"
    waited_at_most(caller, SILENT_WITHIN)
    backup_alone_while_down(office, caller, watch)
    nothing_is_left(office)


def open_office(stage: Stage, *, then: int | None = None) -> Office:
    """The service between a PBX and two carriers that serve. `then`: what the main one does to a call after
    HEALTHY_CALLS, as in answers_until_it_fails.xml; None if it is not to change by itself.

    The carriers answer in the moment they ring. A carrier that dies between ringing and answer takes the call with it,
    because nobody may ring two telephones; that is another test's business.
    """
    if then is None:
        main = Sipp(stage, "main", "answers", stage.host(MAIN))
    else:
        variables = {"healthy_calls": HEALTHY_CALLS, "then": then}
        main = Sipp(stage, "main", "answers_until_it_fails", stage.host(MAIN), variables=variables)
    backup = Sipp(stage, "backup", "answers", stage.host(BACKUP))
    Sipp(stage, "pbx", "answers", stage.host(PBX))
    return Office(stage, main, backup, Service(stage, no_ringing_within=f"{NO_RINGING_WITHIN:g}s"))


def call(office: Office, *, seconds: int) -> Sipp:
    """A caller at the PBX's address, twenty calls a second for so long, each to another number."""
    to = (office.stage.host(SERVICE), SIP_PORT)
    return Sipp(
        office.stage, "caller", "places_a_call", office.stage.host(PBX), CALLER_PORT, to=to, calls=seconds * RATE,
        rate=RATE, pause_ms=TALK_MS,
    )  # fmt: skip


def answered(carrier: Sipp, calls: int) -> None:
    """Wait until a carrier has answered so many calls. What follows at once comes between two calls, not in one."""
    until(lambda: len(carrier.books.answered) >= calls, 5.0 + 2.0 * calls / RATE, f"{carrier.name} has {calls} calls")


def all_calls_good(caller: Sipp, within: float) -> None:
    """Every call got its 200 and ended well."""
    figures = caller.finished(within)
    assert figures.failed == 0, figures.failures
    assert figures.successful == figures.created == len(caller.books.calls) == len(caller.books.answered)


def waited_at_most(caller: Sipp, seconds: float) -> None:
    """Every single caller heard ringing within this time."""
    slowest = max(caller.books.calls, key=lambda leg: leg.ringing_after or NEVER)
    assert (slowest.ringing_after or NEVER) <= seconds, f"{slowest.call_id} heard ringing after {slowest.ringing_after}"


def backup_alone_while_down(office: Office, caller: Sipp, watch: Watch) -> None:
    """No call that began while the page said Down was offered to the main carrier; the backup had them.

    When it began is in the caller's book, and the number finds it in the carrier's: a stopped carrier writes down in
    the end what was sent to it long before.
    """
    down = [span for span in watch.spans if span.state == "down"]
    began = {leg.number for span in down for leg in caller.books.invited_between(span.start + SETTLED, span.end)}
    assert began, "no call began while main was Down"
    assert began & {leg.number for leg in office.main.books.calls} == set()
    assert began <= {leg.number for leg in office.backup.books.calls}


class Ghosts:
    """What the carriers still have that nobody else has. `main_invited_before`: as in Books.ghosts."""

    def __init__(self, office: Office, main_invited_before: float) -> None:
        self._office = office
        self._before = main_invited_before

    def found(self) -> list[str]:
        main, backup = self._office.main.books, self._office.backup.books
        return main.ghosts(invited_before=self._before) + backup.ghosts()

    def __str__(self) -> str:
        return "\n".join(["no ghost at a carrier, but:", *self.found()])


def nothing_is_left(office: Office, *, main_invited_before: float = NEVER) -> None:
    """No ghost at either carrier, and no call in the service. Late answers get their ACK and BYE, so this waits."""
    ghosts = Ghosts(office, main_invited_before)
    until(lambda: not ghosts.found(), QUIET_WITHIN, ghosts)
    until(lambda: office.service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")
