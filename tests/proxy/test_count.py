"""What is counted: messages by side, direction and kind; repeats; what was not served."""

from sipfailover.flow import Target
from sipfailover.proxy.commands import Send
from sipfailover.proxy.count import METHODS_MAX
from tests.kit import Playbook, ack, after, answer, flow, invite, received, send, sends_nothing
from tests.kit.sip import request
from tests.proxy.talk import MAIN, PBX, inside, office, ringing, talking


def counts(book: Playbook) -> tuple[dict[object, int], dict[object, int]]:
    picture = book.engine.view(book.now)  # type: ignore[attr-defined]
    return picture.requests, picture.responses


def test_a_call_is_counted_message_by_message_on_both_sides() -> None:
    book = talking()
    assert book >> received(PBX, inside("BYE", 2)) << send(PBX, 200) << send(MAIN, "BYE")
    requests, responses = counts(book)
    assert requests == {
        ("pbx", "in", "INVITE"): 1, ("trunk", "out", "INVITE"): 1, ("pbx", "in", "ACK"): 1,
        ("trunk", "out", "ACK"): 1, ("pbx", "in", "BYE"): 1, ("trunk", "out", "BYE"): 1,
    }  # fmt: skip
    assert responses == {
        ("pbx", "out", "1xx"): 2, ("trunk", "in", "1xx"): 1, ("trunk", "in", "2xx"): 1, ("pbx", "out", "2xx"): 2,
    }  # fmt: skip


def test_probes_are_counted_and_their_repeats_too() -> None:
    book = Playbook(office())
    assert book >> after(1.5)
    picture = book.engine.view(book.now)  # type: ignore[attr-defined]
    assert picture.requests[("trunk", "out", "OPTIONS")] >= 2
    assert picture.retransmissions[("out", "OPTIONS")] >= 1


def test_an_invite_that_comes_again_is_a_repeat_and_no_new_call() -> None:
    book = Playbook(office())
    data = invite()
    assert book >> received(PBX, data) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(PBX, data) << send(PBX, 100)
    picture = book.engine.view(0.0)  # type: ignore[attr-defined]
    assert picture.retransmissions[("in", "INVITE")] == 1
    assert picture.calls_now == 1


def test_what_was_not_served_is_counted_by_its_reason() -> None:
    book = Playbook(office())
    stranger = flow("stranger", "203.0.113.99")
    assert book >> received(stranger, invite()) << sends_nothing()
    assert book >> received(PBX, b"nonsense\r\n\r\n") << sends_nothing()
    assert book >> received(PBX, invite().replace(b"CSeq: 1 INVITE", b"CSeq: x INVITE")) << send(PBX, 400)
    assert book >> received(PBX, invite(body=b"x" * 70_000)) << send(PBX, 513)
    picture = book.engine.view(0.0)  # type: ignore[attr-defined]
    assert {why: n for why, n in picture.rejected.items() if n} == {"malformed": 2, "too_big": 1, "not_allowed": 1}
    assert not any("other" in key for key in picture.requests)  # strangers' messages are not read


def test_methods_that_a_peer_invents_without_end_are_counted_together() -> None:
    book = Playbook(office())
    for number in range(METHODS_MAX + 20):
        book.engine.receive(PBX, request(f"M{number}"), 0.0)
    book.collect()
    requests, _ = counts(book)
    assert requests[("pbx", "in", "other")] >= 20
    assert len(requests) <= METHODS_MAX + 2


def test_messages_to_an_address_nobody_is_known_at_count_as_other() -> None:
    book = Playbook(office())
    elsewhere = Target("udp", "10.9.9.9", 5060, b"192.0.2.1:5060")
    book.engine.count.sent([Send(elsewhere, b"BYE sip:a@b SIP/2.0\r\n"), Send(elsewhere, b"SIP/2.0 603 No\r\n")])  # type: ignore[attr-defined]
    requests, responses = counts(book)
    assert requests == {("other", "out", "BYE"): 1}
    assert responses == {("other", "out", "6xx"): 1}


def test_repeats_of_an_answer_are_counted_under_the_method_they_answer() -> None:
    book = ringing()
    assert book >> received(MAIN, answer(486, to="INVITE")) << send(MAIN, "ACK") << send(PBX, 486)
    assert book >> after(1.6)
    picture = book.engine.view(book.now)  # type: ignore[attr-defined]
    assert picture.retransmissions[("out", "INVITE")] == 2
    assert book >> received(PBX, lambda seen: ack()(seen))
