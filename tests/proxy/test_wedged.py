"""Connections that are open and yet dead, as the engine sees them: requests in a row without an answer."""

from sipfailover.flow import Flow, Target
from sipfailover.proxy import Drop
from sipfailover.proxy.wedged import PEERS_MAX, WEDGED_AFTER
from sipfailover.wire import compose
from tests.kit import after, lost, resolved, target
from tests.proxy.office import MAIN, Office, office, sent

WIRE = Flow("tls", "198.51.100.1", 5061, b"192.0.2.1:5061", connection=3, line="main")


def watched(peer: Target = WIRE) -> Office:
    """An office whose main trunk is reached so, and answers nothing by itself."""
    book = office(probes="options_every: 10s, timeout: 2s, down_after: 3, confirm_quickly: no")
    book.answers_probes = False
    assert book >> resolved("main", target(peer))
    return book


def silent_until(book: Office, count: int, peer: Target = WIRE) -> list[Target]:
    """Let probes to main go by without an answer, so many. Returns the connections that were to be dropped."""
    dropped: list[Target] = []
    take = book.engine.take

    def watch() -> list[object]:
        out = take()
        dropped.extend(command.to for command in out if isinstance(command, Drop))
        return out  # type: ignore[return-value]

    book.engine.take = watch  # type: ignore[assignment, method-assign]
    for _ in range(600):
        if len(sent(book, peer, "OPTIONS")) > count:
            break
        assert book >> after(0.5)
    book.engine.take = take  # type: ignore[method-assign]
    return dropped


def answered(book: Office, peer: Flow = WIRE) -> None:
    """Main answers the last OPTIONS over its connection."""
    question = sent(book, peer, "OPTIONS")[-1]
    book.engine.receive(peer, compose.response(question, 200), book.now)
    book.collect()


def test_requests_in_a_row_without_an_answer_cost_the_connection_once() -> None:
    book = watched()
    assert silent_until(book, WEDGED_AFTER - 1) == []
    assert silent_until(book, WEDGED_AFTER) == [target(WIRE)]
    assert silent_until(book, 2 * WEDGED_AFTER - 1) == []
    assert silent_until(book, 2 * WEDGED_AFTER) == [target(WIRE)]


def test_an_answer_between_them_means_that_it_lives() -> None:
    book = watched()
    assert silent_until(book, WEDGED_AFTER - 1) == []
    answered(book)
    assert silent_until(book, 2 * WEDGED_AFTER - 2) == []


def test_who_never_answers_options_keeps_its_connection() -> None:
    """A PBX behind NAT that registered over it could not be called any more."""
    book = watched()
    book.line("main").trunk.probe.mute = True
    assert silent_until(book, 2 * WEDGED_AFTER) == []


def test_a_connection_that_breaks_is_counted_anew() -> None:
    book = watched()
    assert silent_until(book, WEDGED_AFTER - 1) == []
    assert book >> lost(WIRE, "reset")
    assert silent_until(book, 2 * WEDGED_AFTER - 2) == []


def test_udp_has_no_connection() -> None:
    book = watched(MAIN)
    assert silent_until(book, 3 * WEDGED_AFTER, MAIN) == []


def test_what_is_remembered_has_a_bound() -> None:
    book = watched()
    wedged = book.engine.wedged
    for number in range(3 * PEERS_MAX):
        wedged.unanswered(Target("tcp", f"198.18.{number // 250}.{number % 250}", 5060, b"x:1"))
    assert len(wedged._unanswered) <= PEERS_MAX
