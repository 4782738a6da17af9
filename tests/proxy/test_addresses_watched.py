"""Several addresses of one trunk under watch: which is asked and how often, what an answer moves, what people see."""

from dataclasses import replace

import pytest

from sipfailover.flow import Flow, Target
from sipfailover.proxy import Engine, ProbeEnded, TrunkChanged
from sipfailover.proxy.commands import Record
from sipfailover.proxy.facts import Fact
from sipfailover.proxy.line import Account
from sipfailover.trunk import State
from sipfailover.trunk.addresses import AVOIDED_FIRST, HOME_AFTER
from sipfailover.wire import Wallet
from tests.kit import ack, after, answer, cancel, flow, logged, lost, received, recorded, resolved, send, target
from tests.proxy.office import BACKUP, MAIN, PBX, Office, calling, office, ringing, sent

EVERY, TIMEOUT = 10.0, 2.0
TWO = flow("main's second", "198.51.100.2")
THREE = flow("main's third", "198.51.100.3")
WORSE = replace(target(TWO), priority=20)


class Told(Office):
    """An office that remembers the facts."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.facts: list[Fact] = []

    def collect(self) -> None:
        known = len(self._out)
        super().collect()
        self.facts += [command.fact for _, command in self._out[known:] if isinstance(command, Record)]


def several(*targets: Target) -> Told:
    """An office whose main trunk has several addresses. Nobody answers OPTIONS by himself."""
    more = "failover: {return_to_main: {stable_for: 30s}}"
    probes = f"options_every: {EVERY:g}s, timeout: {TIMEOUT:g}s, down_after: 3, up_after: 3"
    book = Told(office(more, probes=probes, known=False).engine)
    book.answers_probes = False
    assert book >> resolved("main", *targets) >> resolved("backup", target(BACKUP)) >> resolved("pbx", target(PBX))
    return book


def live(book: Office, seconds: float, *well: Flow) -> None:
    """Time passes, and these peers answer their OPTIONS at once."""
    for _ in range(round(seconds * 10)):
        assert book >> after(0.1)
        for tx in list(book.engine.core.layer.clients.values()):
            for peer in well:
                if tx.key[2] == b"OPTIONS" and tx.state < 2 and tx.to.peer == peer.peer:
                    received(peer, answer(200, to="OPTIONS")).do(book)
                    book.collect()


def used(book: Office) -> str:
    target = book.line("main").trunk.target
    assert target is not None
    return target.host


def asked(book: Office, peer: Flow) -> int:
    """How many different OPTIONS a peer got."""
    return len({message.call_id for message in sent(book, peer, "OPTIONS")})


def test_the_address_in_use_is_asked_every_interval_and_the_others_more_rarely() -> None:
    book = several(target(MAIN), target(TWO), target(THREE))
    live(book, 300.0, MAIN, TWO, THREE, BACKUP, PBX)
    assert 29 <= asked(book, MAIN) <= 33
    assert 9 <= asked(book, TWO) <= 12
    assert 9 <= asked(book, THREE) <= 12
    assert used(book) == MAIN.host


def test_a_trunk_with_one_address_has_nothing_more_to_ask() -> None:
    book = several(target(MAIN))
    live(book, 100.0, MAIN, BACKUP, PBX)
    assert 9 <= asked(book, MAIN) <= 12


def test_an_address_that_dies_gives_way_at_once_and_the_trunk_stays_up() -> None:
    book = several(target(MAIN), target(TWO))
    live(book, 35.0, MAIN, TWO, BACKUP, PBX)
    changes = [fact for fact in book.facts if isinstance(fact, TrunkChanged)]
    live(book, 60.0, TWO, BACKUP, PBX)
    assert used(book) == TWO.host
    assert book.line("main").trunk.health.state is State.UP
    assert [fact for fact in book.facts if isinstance(fact, TrunkChanged)] == changes
    assert book.engine.watch.failovers.active == "main"
    before = asked(book, TWO)
    live(book, 30.0, TWO, BACKUP, PBX)
    assert 2 <= asked(book, TWO) - before <= 4, "it is the one in use now"


def test_the_move_is_told_with_its_reason_and_the_next_address_is_asked_in_the_same_moment() -> None:
    book = several(target(MAIN), target(TWO))
    assert book >> after(1.5)
    received(TWO, answer(200, to="OPTIONS")).do(book)
    before = asked(book, TWO)
    assert (
        book
        >> lost(target(MAIN), "refused")
        << recorded(ProbeEnded, trunk="main", result="refused", remote="udp 198.51.100.1:5060")
        << logged("warning", "trunk main uses another address")
    )
    assert book >> after(0.0)
    assert (used(book), asked(book, TWO) - before) == (TWO.host, 1)


def test_when_all_addresses_are_dead_the_trunk_is_down_soon() -> None:
    book = several(target(MAIN), target(TWO), target(THREE))
    live(book, 20.0, MAIN, TWO, THREE, BACKUP, PBX)
    live(book, EVERY * 1.1 + TIMEOUT * 3 + TIMEOUT * 3 + 1.0, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.DOWN
    assert book.engine.watch.failovers.active == "backup"
    live(book, 60.0, THREE, BACKUP, PBX)
    assert used(book) == THREE.host
    live(book, 120.0, THREE, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.UP


def test_a_503_counts_for_the_address_and_its_retry_after_too() -> None:
    book = several(target(MAIN), target(TWO))
    live(book, 0.1, TWO)
    assert book >> after(1.2)
    busy = answer(503, to="OPTIONS", headers=((b"retry-after", b"100"),))
    assert book >> received(MAIN, busy) << recorded(ProbeEnded, result="fault", status=503)
    assert used(book) == TWO.host
    assert book.line("main").trunk.health.state is State.UP
    before = asked(book, MAIN)
    live(book, 95.0, TWO, BACKUP, PBX)
    assert asked(book, MAIN) == before, "it asked to be left alone"
    live(book, 15.0, TWO, BACKUP, PBX)
    assert asked(book, MAIN) == before + 1


def test_a_dead_second_address_is_known_before_it_is_needed_and_harms_nobody() -> None:
    book = several(target(MAIN), target(TWO), target(THREE))
    live(book, 20.0, MAIN, THREE, BACKUP, PBX)
    trunk = book.line("main").trunk
    assert (used(book), trunk.health.state, trunk.probe.loss_ratio) == (MAIN.host, State.UP, 0.0)
    assert not any(fact.remote.startswith("udp 198.51.100.2") for fact in book.facts if isinstance(fact, ProbeEnded))
    assert [target.host for target in trunk.addresses.others([MAIN.peer])] == [THREE.host, TWO.host]
    main = book.engine.view(book.now).trunks[0]
    assert [address.answers for address in main.addresses] == [True, False, True]
    assert [address.in_use for address in main.addresses] == [True, False, False]
    assert main.addresses_story.startswith("2 of 3 addresses answer; udp 198.51.100.2:5060 avoided for ")
    assert main.addresses_story.endswith(": no answer to OPTIONS")


@pytest.mark.parametrize(("status", "answers"), [(404, True), (200, True), (503, False), (505, False), (500, None)])
def test_what_another_address_answers_counts_for_it_alone(status: int, answers: bool | None) -> None:
    book = several(target(MAIN), target(TWO))
    assert book >> after(1.2) >> received(TWO, answer(status, to="OPTIONS"))
    trunk = book.line("main").trunk
    assert trunk.addresses.known[1].answers is answers
    assert trunk.health.state is State.UP
    assert trunk.roundtrip.smoothed is None


def test_our_own_trouble_is_held_against_no_address() -> None:
    book = several(target(MAIN), target(TWO))
    assert book >> after(1.2) >> lost(target(TWO), "local: no route") >> lost(target(MAIN), "local: no route")
    assert [known.answers for known in book.line("main").trunk.addresses.known] == [None, None]
    assert used(book) == MAIN.host


def test_silence_of_a_place_that_the_trunk_has_left_is_evidence_of_nothing() -> None:
    book = several(target(MAIN))
    assert book >> after(1.2) >> resolved("main", target(TWO)) >> lost(target(MAIN), "refused")
    trunk = book.line("main").trunk
    assert (trunk.health.state, trunk.probe.loss_ratio) == (State.UP, 0.0)
    assert (trunk.addresses.has(target(MAIN)), used(book)) == (False, TWO.host)


def test_a_better_priority_is_used_again_slowly() -> None:
    book = several(target(MAIN), WORSE)
    live(book, 5.0, MAIN, TWO, BACKUP, PBX)
    live(book, 20.0, TWO, BACKUP, PBX)
    assert used(book) == TWO.host
    live(book, EVERY * 3 * (HOME_AFTER - 2), MAIN, TWO, BACKUP, PBX)
    assert used(book) == TWO.host, "one or two good answers are not enough"
    live(book, AVOIDED_FIRST + EVERY * 3.3 * HOME_AFTER, MAIN, TWO, BACKUP, PBX)
    assert used(book) == MAIN.host


def test_among_equal_priorities_it_stays_even_when_dns_orders_them_anew() -> None:
    book = several(target(MAIN), target(TWO))
    live(book, 5.0, MAIN, TWO, BACKUP, PBX)
    live(book, 20.0, TWO, BACKUP, PBX)
    for order in ((TWO, MAIN), (MAIN, TWO), (TWO, MAIN)):
        assert book >> resolved("main", *map(target, order))
        live(book, 200.0, MAIN, TWO, BACKUP, PBX)
        assert used(book) == TWO.host


def test_who_registers_goes_back_only_while_no_call_is_in_progress() -> None:
    book = several(target(MAIN), WORSE)
    line = book.line("main")
    line.account = Account(
        b"c.example", b"sip:u@c.example", Wallet([]), Wallet([]), registers=True, expires=60, token=b"t"
    )
    live(book, 5.0, MAIN, TWO, BACKUP, PBX)
    live(book, 20.0, TWO, BACKUP, PBX)
    assert ringing(book, TWO)
    live(book, 150.0, MAIN, TWO, BACKUP, PBX)
    assert line.trunk.addresses.better(book.now) == target(MAIN)
    assert used(book) == TWO.host
    assert book >> received(PBX, cancel()) << send(PBX, 200) << send(TWO, "CANCEL") << send(PBX, 487)
    assert book >> received(TWO, answer(487, to="INVITE")) << send(TWO, "ACK")
    live(book, EVERY * 1.2, MAIN, TWO, BACKUP, PBX)
    assert used(book) == MAIN.host


def test_who_registers_is_woken_when_the_trunk_moves_and_looks_where_it_is_now() -> None:
    trunks = "  - {name: more, host: 203.0.113.65, username: office, password: secret, register: yes}"
    book = Told(office(trunks, probes=f"options_every: {EVERY:g}s, timeout: 2s", known=False).engine)
    book.answers_probes = False
    first = target(MAIN)
    assert book >> resolved("more", first, target(TWO))
    line = book.line("more")
    assert line.registration_timer is not None
    assert line.registration_timer.due > book.now
    book.engine.watch.address_failed(line, first, "no answer", book.now)
    assert line.trunk.target == target(TWO)
    assert line.registration_timer is not None
    assert line.registration_timer.due <= book.now


# -- what calls see ---------------------------------------------------------------------------------------------------


def test_a_call_without_an_answer_has_its_address_avoided_and_asked_and_the_next_call_spared() -> None:
    book = several(target(MAIN), target(TWO))
    live(book, 12.0, MAIN, TWO, BACKUP, PBX)
    before = asked(book, MAIN)
    bound = book.line("main").trunk.no_answer().bound
    assert calling(book) >> after(bound) << send(TWO, "INVITE") << logged("warning", "trunk main uses another address")
    assert book >> received(TWO, answer(486, to="INVITE")) << send(TWO, "ACK") << send(PBX, 486) >> received(PBX, ack())
    main, two = book.line("main").trunk.addresses.known
    assert (main.failures, main.avoided(book.now), main.why) == (1, True, f"no answer within {bound * 1000:.0f} ms")
    assert (two.answers, used(book)) == (True, TWO.host)
    live(book, 0.1, MAIN, TWO)
    assert asked(book, MAIN) == before + 1
    assert not main.avoided(book.now), "it answers OPTIONS: it may be the second one again"
    assert calling(book, TWO) >> received(TWO, answer(486, to="INVITE")) << send(TWO, "ACK") << send(PBX, 486)


def test_a_503_to_a_call_with_retry_after_keeps_calls_away_from_that_address_only() -> None:
    book = several(target(MAIN), target(TWO))
    assert book >> after(1.2)
    busy = answer(503, to="INVITE", headers=((b"retry-after", b"60"),))
    assert calling(book) >> received(MAIN, busy) << send(MAIN, "ACK") << send(TWO, "INVITE")
    assert book >> received(TWO, answer(486, to="INVITE")) << send(TWO, "ACK") << send(PBX, 486) >> received(PBX, ack())
    trunk = book.line("main").trunk
    assert trunk.addresses.known[0].avoided_until == pytest.approx(book.now + 60.0)
    assert (trunk.health.state, book.engine.watch.failovers.active) == (State.UP, "main")


def test_an_attempt_that_was_cut_short_says_nothing_of_its_address() -> None:
    book = several(target(MAIN), target(TWO))
    assert calling(book) >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487)
    assert [known.answers for known in book.line("main").trunk.addresses.known] == [None, None]


def test_addresses_of_a_name_that_is_gone_for_good_are_given_up() -> None:
    book = several(target(MAIN), target(TWO))
    assert book >> after(1.2)
    book.engine.resolved("main", (), book.now, "no such name")
    assert used(book) == MAIN.host
    book.engine.resolved("main", (), book.now, "no such name for 24 h", forget=True)
    assert book.line("main").trunk.target is None
    assert book.engine.watch.failovers.active == "backup"
    assert book >> after(100.0)
    assert book >> resolved("main", target(THREE))
    assert (used(book), book.engine.watch.failovers.active) == (THREE.host, "main")
