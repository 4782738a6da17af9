"""Records of what is under way: each comes back as it was made, and what is none says so."""

import pytest

from sipfailover.proxy import keepsake, underway
from sipfailover.proxy.leg import Leg
from sipfailover.wire import Message
from tests.kit import answer, invite, received, send
from tests.proxy.office import MAIN, PBX, tcp
from tests.proxy.steps import STEPS, acknowledges, holds, rings, talking
from tests.proxy.survivor import Survivor

READERS = {
    "answer": underway.to_answer, "try": underway.to_try, "bye": underway.to_bye, "final": underway.to_final,
    "ask": underway.to_ask,
}  # fmt: skip


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"[1]", b"null", b'"x"', b"7", b"[1,2,3]"])
def test_what_is_no_record_raises_what_the_reader_expects(reader: object, record: bytes) -> None:
    assert callable(reader)
    with pytest.raises((TypeError, ValueError)):
        reader(record)


def test_a_set_up_has_what_it_takes_to_end_it_on_both_sides() -> None:
    book = talking(steps=STEPS.index(rings) + 1)
    offered, asked = book.seen(MAIN).last("INVITE"), book.seen(PBX).given("INVITE")
    kept = underway.to_try(book.kept["try/1"])
    assert (kept.number, kept.source, kept.line, kept.attempts) == (1, "pbx", "main", 1)
    assert kept.branch.encode() == offered.via.branch
    assert kept.their_branch.encode() == asked.via.branch
    assert kept.leg.call_id.encode() == offered.call_id


def test_an_invite_inside_a_call_is_kept_whole() -> None:
    book = talking(steps=STEPS.index(holds) + 1)
    offered, asked = book.seen(MAIN).last("INVITE"), book.seen(PBX).given("INVITE")
    kept = underway.to_ask(book.kept["ask/1"])
    assert kept.by_caller
    assert Message(kept.request.encode("latin-1")).body == asked.body
    assert Message(kept.data.encode("latin-1")).body == offered.body
    assert kept.branch.encode() == offered.via.branch


def test_an_answer_that_an_older_version_has_kept_is_that_to_the_beginning_of_the_call() -> None:
    kept = underway.to_answer(b'[1,"z9hG4bK1","192.0.2.10:5060",["udp","192.0.2.10",5060,"","","",1],"SIP/2.0 200 OK"]')
    assert (kept.cseq, kept.by_caller, kept.at) == (0, True, 0.0)


def test_where_answers_go_is_what_the_via_says_once_the_connection_is_gone() -> None:
    book = Survivor()
    phone = tcp("phone", "192.0.2.10", port=40123)
    assert book >> received(phone, invite(transport="TCP")) << send(phone, 100) << send(MAIN, "INVITE")
    to = keepsake.to_target(underway.to_try(book.kept["try/1"]).to)
    assert (to.transport, to.host, to.port) == ("tcp", "192.0.2.10", 5060)


def test_two_forks_of_one_call_are_hung_up_apart() -> None:
    legs = [Leg(0, b"one", b"ours", MAIN, b""), Leg(0, b"one", b"ours", MAIN, b"")]
    legs[0].remote_tag, legs[1].remote_tag = b"a tag", b"another"
    keys = {underway.bye_key(leg) for leg in legs}
    assert len(keys) == 2
    assert not any(" " in key for key in keys)


def test_nothing_is_under_way_while_people_talk() -> None:
    book = talking(steps=STEPS.index(acknowledges) + 1)
    assert book.calls() == ["call/1"]
    assert book >> received(MAIN, answer(200, to="INVITE")) << send(MAIN, "ACK")
    assert book.calls() == ["call/1"]
