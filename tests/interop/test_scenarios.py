"""The players without the service: SIPp against SIPp, and with a Kamailio between them.

When this passes and a test with the service fails, it is not the players' fault.
"""

import pytest

from tests.interop.kamailio import Kamailio
from tests.interop.needs import needs
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until

pytestmark = needs("sipp", "kamailio")

CALLER, PROXY, CALLED, OTHER = 2, 1, 10, 20
CALLS = 30
RATE = 60
PAUSE_MS = 50
RUN_WITHIN = 20.0


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize(
    ("caller_does", "called_does"),
    [("places_a_call", "answers"), ("holds_resumes_and_is_hung_up", "is_held_resumed_and_hangs_up")],
)
def test_two_players_understand_each_other(stage: Stage, transport: str, caller_does: str, called_does: str) -> None:
    called = Sipp(stage, "called", called_does, stage.host(CALLED), transport=transport, pause_ms=PAUSE_MS)
    caller = call(stage, caller_does, stage.host(CALLED), transport=transport)
    figures = caller.finished(RUN_WITHIN)
    assert (figures.successful, figures.failed, figures.retransmissions) == (CALLS, 0, 0), figures.failures
    assert called.books.ghosts() == []
    assert len(caller.books.ringing()) == len(called.books.answered) == CALLS
    assert caller.books.retransmissions() == called.books.retransmissions() == 0


def test_a_carrier_obeys_a_caller_who_gives_up(stage: Stage) -> None:
    carrier = Sipp(stage, "carrier", "answers", stage.host(CALLED), pause_ms=20_000)
    figures = call(stage, "gives_up_while_it_rings", stage.host(CALLED)).finished(RUN_WITHIN)
    assert (figures.successful, figures.failed) == (CALLS, 0), figures.failures
    assert carrier.books.ghosts() == []
    assert carrier.books.answered == []


def test_two_players_understand_each_other_through_a_dispatcher(stage: Stage) -> None:
    called = Sipp(stage, "called", "answers", stage.host(CALLED))
    trunks = [f"{stage.host(CALLED)}:{SIP_PORT}", f"{stage.host(OTHER)}:{SIP_PORT}"]
    Kamailio.dispatcher(stage, "dispatcher", stage.host(PROXY), trunks=trunks)
    caller = call(stage, "places_a_call", stage.host(PROXY))
    figures = caller.finished(RUN_WITHIN)
    assert (figures.successful, figures.failed) == (CALLS, 0), figures.failures
    assert called.books.ghosts() == []
    numbers = [leg.number for leg in called.books.calls]
    assert sorted(numbers) == sorted(leg.number for leg in caller.books.calls)
    assert len(set(numbers)) == CALLS


@pytest.mark.parametrize(("then", "last_word"), [(503, 503), (100, 100), (0, 0)])
def test_a_carrier_serves_and_then_fails(stage: Stage, then: int, last_word: int) -> None:
    healthy = CALLS // 2
    carrier = Sipp(
        stage,
        "carrier",
        "answers_until_it_fails",
        stage.host(CALLED),
        variables={"healthy_calls": healthy, "then": then},
    )
    caller = call(stage, "places_a_call", stage.host(CALLED))
    until(lambda: len(carrier.books.calls) == CALLS, RUN_WITHIN, "every call was offered")
    until(lambda: caller.statistics.successful == healthy, RUN_WITHIN, "half of the calls ended well")
    words = {max((e.status for e in leg.entries), default=0) for leg in carrier.books.calls[healthy:]}
    assert words == {last_word}
    assert len(carrier.books.answered) == healthy


def test_books_show_what_a_dead_carrier_leaves_behind(stage: Stage) -> None:
    called = Sipp(stage, "called", "answers", stage.host(CALLED))
    caller = call(stage, "places_a_call", stage.host(CALLED), talk_ms=20_000)
    until(lambda: len(called.books.answered) == CALLS, RUN_WITHIN, "every call was answered")
    caller.stop()
    ghosts = called.books.ghosts()
    assert len(ghosts) == CALLS
    assert all("never hung up" in words for words in ghosts)


def call(stage: Stage, scenario: str, host: str, *, transport: str = "udp", talk_ms: int = PAUSE_MS) -> Sipp:
    return Sipp(
        stage, "caller", scenario, stage.host(CALLER), to=(host, SIP_PORT), transport=transport, calls=CALLS, rate=RATE,
        pause_ms=talk_ms,
    )  # fmt: skip
