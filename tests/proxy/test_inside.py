"""Inside a call: every request finds the other side, every answer its way back, and nothing is left in the end."""

import pytest

from sipfailover.flow import Flow, Send, Target
from sipfailover.proxy import CallEnded
from sipfailover.proxy.leg import ACKS_KEPT
from sipfailover.wire import Message
from tests.kit import (
    Playbook,
    ack,
    after,
    answer,
    bye,
    cancel,
    flow,
    invite,
    lost,
    received,
    recorded,
    send,
    sends_nothing,
    target,
)
from tests.kit.sip import SDP
from tests.proxy.talk import (
    HOLD,
    MAIN,
    PBX,
    accepted,
    acknowledge,
    inside,
    invited,
    is_empty,
    refused,
    reply,
    ringing,
    talking,
)

SIDES = pytest.mark.parametrize("callee", [False, True], ids=["from the caller", "from the callee"])


def ways(callee: bool) -> tuple[Flow, Flow]:
    """(who asks, who is asked)."""
    return (MAIN, PBX) if callee else (PBX, MAIN)


def instants(book: Playbook, to: Flow, data: bytes, play: object) -> list[float]:
    """When exactly these bytes leave for a peer while something plays."""
    engine, times = book.engine, []
    take = engine.take

    def watched() -> object:
        out = take()
        times.extend(book.now for one in out if isinstance(one, Send) and one.to.peer == to.peer and one.data == data)
        return out

    engine.take = watched  # type: ignore[method-assign,assignment]
    assert play
    engine.take = take  # type: ignore[method-assign]
    return times


# -- provisional answers that are acknowledged (RFC 3262) -------------------------------------------------------------

RELIABLE = ((b"require", b"100rel"), (b"rseq", b"4711"))


def test_prack_names_the_invite_as_the_carrier_knows_it() -> None:
    book = ringing(ask=invite(cseq=77), reply=answer(183, headers=RELIABLE))
    assert book.seen(PBX).last(183).get(b"rseq") == b"4711"
    assert (
        book
        >> received(PBX, inside("PRACK", 78, headers=((b"rack", b"4711 77 INVITE"),)))
        << send(MAIN, "PRACK", lambda m: m.get(b"rack") == b"4711 1 INVITE" and m.cseq == 2)
        >> received(MAIN, reply(200, "PRACK"))
        << send(PBX, 200, lambda m: m.cseq == 78 and m.cseq_method == b"PRACK")
    )


def test_both_early_dialogs_of_a_fork_are_pracked_each_with_its_own_numbers() -> None:
    book = ringing(ask=invite(cseq=77), reply=answer(183, tag="one", headers=RELIABLE))
    first = book.seen(PBX).last(183).to_tag
    assert (
        book
        >> received(PBX, inside("PRACK", 78, headers=((b"rack", b"4711 77 INVITE"),)))
        << send(MAIN, "PRACK", lambda m: m.to_tag == b"one")
        >> received(MAIN, reply(200, "PRACK"))
        << send(PBX, 200)
        >> received(MAIN, answer(183, to="INVITE", tag="two", headers=((b"require", b"100rel"), (b"rseq", b"1"))))
        << send(PBX, 183, lambda m: m.to_tag != first)
        # A dialog counts by itself (§12.2.1.1): 78 is the first number after the INVITE here, too.
        >> received(PBX, inside("PRACK", 78, headers=((b"rack", b"1 77 INVITE"),)))
        << send(MAIN, "PRACK", lambda m: m.to_tag == b"two" and m.get(b"rack") == b"1 1 INVITE" and m.cseq == 2)
        >> received(MAIN, reply(200, "PRACK"))
        << send(PBX, 200)
    )


@pytest.mark.parametrize("garbage", [b"", b"4711", b"1 2 INVITE 4"])
def test_a_rack_of_another_form_passes_as_it_is(garbage: bytes) -> None:
    book = ringing(reply=answer(183, headers=RELIABLE))
    assert (
        book
        >> received(PBX, inside("PRACK", 2, headers=((b"rack", garbage),)))
        << send(MAIN, "PRACK", lambda m: m.get(b"rack") == garbage)
    )


def test_prack_of_a_provisional_answer_to_a_reinvite_names_that_invite() -> None:
    book = talking()
    assert (
        book
        >> received(PBX, inside("INFO", 2))
        << send(MAIN, "INFO")
        >> received(PBX, inside("INVITE", 3, body=HOLD))
        << send(PBX, 100)
        << send(MAIN, "INVITE", lambda m: m.cseq == 3)
        >> received(MAIN, reply(183, "INVITE", headers=RELIABLE))
        << send(PBX, 183)
        >> received(PBX, inside("PRACK", 4, headers=((b"rack", b"4711 3 INVITE"),)))
        << send(MAIN, "PRACK", lambda m: m.get(b"rack") == b"4711 3 INVITE" and m.cseq == 4)
    )


# -- re-INVITE --------------------------------------------------------------------------------------------------------


@SIDES
def test_hold_and_resume_pass_with_their_bodies(callee: bool) -> None:
    asks, asked = ways(callee)
    book, number = talking(), 1 if callee else 2
    for body in (HOLD, SDP):
        assert (
            book
            >> received(asks, inside("INVITE", number, callee=callee, body=body))
            << send(asks, 100)
            << send(asked, "INVITE", lambda m: m.body == body and m.get(b"content-type") == b"application/sdp")  # noqa: B023
            >> received(asked, reply(200, "INVITE", body=SDP, contact=b"<sip:x@%b>" % asked.host.encode()))
            << send(asks, 200, lambda m: m.body == SDP and m.contact and b"192.0.2.1:5060" in m.contact.uri)
            >> received(asks, acknowledge(number, callee=callee))
            << send(asked, "ACK", lambda m: m.body == b"" and m.get(b"contact") is None)
        )
        number += 1


@SIDES
def test_an_offer_in_the_answer_is_answered_in_the_ack(callee: bool) -> None:
    asks, asked = ways(callee)
    assert (
        talking()
        >> received(asks, inside("INVITE", 2, callee=callee))
        << send(asks, 100)
        << send(asked, "INVITE", lambda m: m.body == b"" and m.get(b"content-length") == b"0")
        >> received(asked, reply(200, "INVITE", body=SDP))
        << send(asks, 200, lambda m: m.body == SDP)
        >> received(asks, acknowledge(2, callee=callee, body=HOLD))
        << send(asked, "ACK", lambda m: m.body == HOLD and m.get(b"content-type") == b"application/sdp")
    )


@SIDES
@pytest.mark.parametrize("status", [488, 491, 422, 408])
def test_a_refused_reinvite_changes_nothing_and_the_call_goes_on(callee: bool, status: int) -> None:
    asks, asked = ways(callee)
    book = talking()
    assert (
        book
        >> received(asks, inside("INVITE", 2, callee=callee, body=HOLD))
        << send(asks, 100)
        << send(asked, "INVITE")
        >> received(asked, reply(status, "INVITE", headers=((b"min-se", b"180"), (b"warning", b'399 x "no"'))))
        << send(asked, "ACK")
        << send(asks, status, lambda m: m.get(b"min-se") == b"180" and m.get(b"warning") == b'399 x "no"')
        >> received(asks, refused())
        << sends_nothing()
        >> received(asks, inside("INFO", 3, callee=callee))
        << send(asked, "INFO")
        >> received(asked, reply(200, "INFO"))
        << send(asks, 200)
    )


@SIDES
def test_after_a_refused_reinvite_bye_goes_out_without_an_ack_before_it(callee: bool) -> None:
    asks, asked = ways(callee)
    book = talking()
    assert (
        book
        >> received(asks, inside("INVITE", 2, callee=callee, body=HOLD))
        << send(asks, 100)
        << send(asked, "INVITE")
        >> received(asked, reply(488, "INVITE"))
        << send(asked, "ACK")
        << send(asks, 488)
        >> received(asks, refused())
        >> received(asks, inside("BYE", 3, callee=callee))
        << send(asks, 200)
        << send(asked, "BYE")
        >> received(asked, reply(200, "BYE"))
        >> after(70.0)
        << sends_nothing()
    )
    assert is_empty(book)


def test_an_ack_repeated_long_after_a_refused_reinvite_is_not_passed_on() -> None:
    book = talking()
    assert (
        book
        >> received(PBX, inside("INVITE", 2, body=HOLD))
        << send(PBX, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, reply(488, "INVITE"))
        << send(MAIN, "ACK")
        << send(PBX, 488)
        >> received(PBX, refused())
        >> after(40.0)
        >> received(PBX, acknowledge(2))
        << sends_nothing()
    )


@SIDES
def test_a_second_invite_while_one_is_pending_is_refused_500_with_retry_after(callee: bool) -> None:
    asks, asked = ways(callee)
    book = talking()
    assert (
        book
        >> received(asks, inside("INVITE", 2, callee=callee, body=HOLD))
        << send(asks, 100)
        << send(asked, "INVITE")
        >> received(asks, inside("INVITE", 3, callee=callee, body=SDP))
        << send(asks, 500, lambda m: 0 <= int(m.get(b"retry-after") or b"-1") <= 10)  # §14.2
    )


@SIDES
def test_invites_that_cross_are_refused_491(callee: bool) -> None:
    asks, asked = ways(callee)
    assert (
        talking()
        >> received(asks, inside("INVITE", 2, callee=callee, body=HOLD))
        << send(asks, 100)
        << send(asked, "INVITE")
        >> received(asked, inside("INVITE", 2, callee=not callee, body=HOLD))
        << send(asked, 491)  # §14.2
    )


def test_an_invite_while_the_answer_waits_for_its_ack_is_refused_491() -> None:
    assert accepted() >> received(PBX, inside("INVITE", 2, body=HOLD)) << send(PBX, 491)


def test_a_reinvite_before_the_answer_is_refused_491() -> None:
    assert ringing() >> received(PBX, inside("INVITE", 2, body=HOLD)) << send(PBX, 491)


@SIDES
def test_cancel_of_a_reinvite_reaches_the_other_side_and_the_call_goes_on(callee: bool) -> None:
    asks, asked = ways(callee)
    book = talking()
    assert (
        book
        >> received(asks, inside("INVITE", 2, callee=callee, body=HOLD))
        << send(asks, 100)
        << send(asked, "INVITE")
        >> received(asked, reply(180, "INVITE"))
        << send(asks, 180)
        >> received(asks, cancel())
        << send(asks, 200, lambda m: m.cseq_method == b"CANCEL")
        << send(asked, "CANCEL")
        >> received(asked, reply(200, "CANCEL"))
        >> received(asked, reply(487, "INVITE"))
        << send(asked, "ACK")
        << send(asks, 487)
        >> received(asks, refused())
        >> received(asks, inside("INVITE", 3, callee=callee, body=HOLD))
        << send(asks, 100)
        << send(asked, "INVITE")
    )


def test_cancel_of_a_reinvite_that_nobody_answers_is_not_sent_and_ends_in_408() -> None:
    book = talking()
    assert (
        book
        >> received(PBX, inside("INVITE", 2, body=HOLD))
        << send(PBX, 100)
        << send(MAIN, "INVITE")
        >> received(PBX, cancel())
        << send(PBX, 200)
        >> after(33.0)
        << send(PBX, 408)
    )


# -- 2xx and ACK ------------------------------------------------------------------------------------------------------


def test_an_answer_is_repeated_until_its_ack_comes() -> None:
    book = accepted()
    said = book.seen(PBX).last(200)
    data = b"".join([d for to, d in book.sent if to.peer == PBX.peer and d.startswith(b"SIP/2.0 200")])
    assert said.status == 200
    times = instants(book, PBX, data, book >> after(8.0) >> received(PBX, ack()) << send(MAIN, "ACK") >> after(60.0))
    assert [round(at, 3) for at in times] == [0.5, 1.5, 3.5, 7.5]  # after 0.5, 1, 2, 4 seconds, and not after the ACK


@SIDES
def test_an_answer_to_a_reinvite_is_repeated_until_its_ack_comes(callee: bool) -> None:
    asks, asked = ways(callee)
    book = talking()
    assert (
        book
        >> received(asks, inside("INVITE", 2, callee=callee, body=HOLD))
        << send(asks, 100)
        << send(asked, "INVITE")
        >> received(asked, reply(200, "INVITE", body=SDP))
        << send(asks, 200)
    )
    data = next(d for to, d in reversed(book.sent) if to.peer == asks.peer and d.startswith(b"SIP/2.0 200"))
    play = book >> after(17.0) >> received(asks, acknowledge(2, callee=callee)) << send(asked, "ACK") >> after(60.0)
    assert [round(at, 3) for at in instants(book, asks, data, play)] == [0.5, 1.5, 3.5, 7.5, 11.5, 15.5]


def test_an_answer_that_is_never_acknowledged_ends_the_call_on_both_sides_after_64_t1() -> None:
    book = accepted()
    assert book >> after(31.9) << sends_nothing()
    assert (
        book
        >> after(0.2)
        << send(MAIN, "ACK")
        << send(MAIN, "BYE", lambda m: m.cseq == 2)
        << send(PBX, "BYE")
        << recorded(CallEnded, result="answered", ended_by="sipfailover")
        >> received(MAIN, reply(200, "BYE"))
        >> received(PBX, reply(200, "BYE"))
        >> after(40.0)
        << sends_nothing()
    )
    assert is_empty(book)


@SIDES
def test_an_answer_to_a_reinvite_that_is_never_acknowledged_ends_the_call_too(callee: bool) -> None:
    asks, asked = ways(callee)
    book = talking()
    assert (
        book
        >> received(asks, inside("INVITE", 2, callee=callee, body=HOLD))
        << send(asks, 100)
        << send(asked, "INVITE")
        >> received(asked, reply(200, "INVITE", body=SDP))
        << send(asks, 200)
        >> after(32.1)
        << send(asked, "ACK")
        << send(asked, "BYE")
        << send(asks, "BYE")
        >> after(70.0)
        << sends_nothing()
    )
    assert is_empty(book)


def test_the_carriers_repeated_answer_is_acknowledged_with_the_same_bytes() -> None:
    book = talking()
    said = [data for to, data in book.sent if to.peer == MAIN.peer and data.startswith(b"ACK")]
    again = next(data for who, data in reversed(book.got) if who.peer == MAIN.peer)
    for _ in range(3):
        assert book >> received(MAIN, again) << send(MAIN, "ACK")
    acks = [data for to, data in book.sent if to.peer == MAIN.peer and data.startswith(b"ACK")]
    assert acks == said * 4


def test_the_answer_to_a_reinvite_is_acknowledged_again_with_the_same_bytes() -> None:
    book = talking()
    assert (
        book
        >> received(PBX, inside("INVITE", 2, body=HOLD))
        << send(PBX, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, reply(200, "INVITE", body=SDP))
        << send(PBX, 200)
        >> received(PBX, acknowledge(2))
        << send(MAIN, "ACK", lambda m: m.cseq == 2)
        >> received(MAIN, reply(200, "INVITE", body=SDP))
        << send(MAIN, "ACK", lambda m: m.cseq == 2)
    )
    acks = [data for to, data in book.sent if to.peer == MAIN.peer and data.startswith(b"ACK")]
    assert acks[-1] == acks[-2]


def test_who_lost_the_ack_has_it_again_whatever_was_asked_meanwhile() -> None:
    """Otherwise it would repeat its 2xx for 32 s and then hang up (§13.3.1.4). Found by a random world."""
    book = talking()
    first = next(data for who, data in reversed(book.got) if who.peer == MAIN.peer)
    for number in range(2, 2 + ACKS_KEPT):
        assert (
            book
            >> received(PBX, inside("INVITE", number, body=HOLD)) << send(PBX, 100) << send(MAIN, "INVITE")
            >> received(MAIN, reply(200, "INVITE", body=SDP)) << send(PBX, 200)
            >> received(PBX, acknowledge(number)) << send(MAIN, "ACK", lambda m, number=number: m.cseq == number)
            >> received(MAIN, first) << send(MAIN, "ACK", lambda m: m.cseq == 1)
        )  # fmt: skip
    leg = next(leg for leg in book.engine.core.legs.values() if not leg.caller)
    assert [number for number, _ in leg.acks] == [1, 2, 3, 4]
    assert [number for number in range(7) if leg.ack_to(number)] == [1, 2, 3, 4, 5]


def test_while_the_callers_ack_is_on_its_way_the_carriers_repeated_answer_waits() -> None:
    book = accepted()
    again = next(data for who, data in reversed(book.got) if who.peer == MAIN.peer)
    assert (
        book
        >> received(MAIN, again)
        << sends_nothing()
        >> received(PBX, ack())
        << send(MAIN, "ACK")
        >> received(MAIN, again)
        << send(MAIN, "ACK")
    )


def test_an_answer_repeated_after_its_transaction_is_over_is_still_acknowledged() -> None:
    book = talking()
    again = next(data for who, data in reversed(book.got) if who.peer == MAIN.peer)
    assert book >> after(40.0) >> received(MAIN, again) << send(MAIN, "ACK")


def test_an_answer_to_a_former_reinvite_that_comes_again_moves_nothing() -> None:
    book = talking()
    for number, user in ((2, b"first"), (3, b"second")):
        contact = b"<sip:%b@198.51.100.1>" % user
        assert (
            book
            >> received(PBX, inside("INVITE", number, body=HOLD))
            << send(PBX, 100)
            << send(MAIN, "INVITE")
            >> received(MAIN, reply(200, "INVITE", body=SDP, contact=contact))
            << send(PBX, 200)
            >> received(PBX, acknowledge(number))
            << send(MAIN, "ACK")
        )
    again = [data for who, data in book.got if who.peer == MAIN.peer and b"sip:first@" in data][-1]
    assert (
        book
        >> received(MAIN, again)
        << send(MAIN, "ACK", lambda m: m.cseq == 2)
        >> received(PBX, inside("BYE", 4))
        << send(PBX, 200)
        << send(MAIN, "BYE", lambda m: m.uri == b"sip:second@198.51.100.1")
    )


def test_what_is_left_of_an_invite_after_its_ack_holds_neither_request_nor_answer() -> None:
    book = talking()
    layer = book.engine.core.layer  # type: ignore[attr-defined]
    left = [tx for tx in (*layer.clients.values(), *layer.servers.values()) if tx.key[2] == b"INVITE"]
    assert [(tx.state.name, tx.data, tx.request) for tx in left] == [("ACCEPTED", b"", None)] * 2
    begun = next(data for who, data in book.got if who.peer == PBX.peer)
    assert book >> received(PBX, begun) << sends_nothing()  # and absorbs what comes again
    assert book >> after(32.1)
    assert not layer.servers
    assert not layer.merged


def test_an_ack_that_comes_again_is_not_passed_on_again() -> None:
    book = talking()
    again = next(data for who, data in reversed(book.got) if who.peer == PBX.peer)
    assert again.startswith(b"ACK")
    assert book >> received(PBX, again) << sends_nothing()
    assert len([1 for to, data in book.sent if to.peer == MAIN.peer and data.startswith(b"ACK")]) == 1


def test_an_ack_with_the_branch_of_its_invite_is_understood() -> None:
    book = accepted()  # as in RFC 2543, and some PBXs do so today
    said, branch = ack()(book.seen(PBX)), book.seen(PBX).given("INVITE").via.branch
    assert book >> received(PBX, said.replace(Message(said).via.branch, branch)) << send(MAIN, "ACK")


@pytest.mark.parametrize("wrong", [{"call_id": b"other@x"}, {"from_tag": b"other"}])
def test_an_ack_of_another_dialog_stops_nothing(wrong: dict[str, bytes]) -> None:
    book = accepted()
    assert book >> received(PBX, inside("ACK", 1, contact=b"", **wrong)) << sends_nothing()  # type: ignore[arg-type]
    assert book >> received(PBX, ack()) << send(MAIN, "ACK")


# -- BYE --------------------------------------------------------------------------------------------------------------


@SIDES
def test_bye_is_answered_at_once_and_carried_over_with_reason_and_body(callee: bool) -> None:
    asks, asked = ways(callee)
    book = talking()
    extra = ((b"reason", b'Q.850;cause=16;text="Normal call clearing"'), (b"content-type", b"text/plain"))
    assert (
        book
        >> received(asks, inside("BYE", 2, callee=callee, headers=extra, body=b"good bye"))
        << send(asks, 200)
        << send(asked, "BYE", lambda m: m.body == b"good bye" and m.get(b"reason") == extra[0][1])
        << recorded(CallEnded, ended_by="called" if callee else "caller", result="answered")
        >> received(asked, reply(200, "BYE"))
        >> after(33.0)
        << sends_nothing()
    )
    assert is_empty(book)


def test_byes_that_cross_are_both_answered() -> None:
    book = talking()
    assert (
        book
        >> received(PBX, inside("BYE", 2))
        << send(PBX, 200)
        << send(MAIN, "BYE")
        >> received(MAIN, inside("BYE", 1, callee=True))
        << send(MAIN, 200)
        >> received(MAIN, reply(200, "BYE"))
        >> after(33.0)
        << sends_nothing()
    )
    assert is_empty(book)


@SIDES
def test_a_bye_that_comes_again_gets_the_same_answer(callee: bool) -> None:
    asks, asked = ways(callee)
    book = talking()
    said = inside("BYE", 2, callee=callee)(book.seen(asks))
    assert book >> received(asks, said) << send(asks, 200) << send(asked, "BYE")
    assert book >> received(asks, said) << send(asks, 200)


def test_bye_before_the_ack_acknowledges_the_carrier_first() -> None:
    book = accepted()
    assert (
        book
        >> received(PBX, bye())
        << send(PBX, 200)
        << send(MAIN, "ACK", lambda m: m.cseq == 1)
        << send(MAIN, "BYE", lambda m: m.cseq == 2)
        >> received(MAIN, reply(200, "BYE"))
        >> received(PBX, acknowledge(1))  # the ACK was overtaken by its BYE
        << sends_nothing()
        >> after(33.0)
        << sends_nothing()
    )
    assert is_empty(book)


def test_the_carriers_bye_before_the_ack_ends_the_call() -> None:
    book = accepted()
    assert (
        book
        >> received(MAIN, inside("BYE", 1, callee=True))
        << send(MAIN, 200)
        << send(MAIN, "ACK")
        << send(PBX, "BYE")
        >> received(PBX, reply(200, "BYE"))
        >> after(40.0)
        << sends_nothing()
    )
    assert is_empty(book)


def test_bye_on_an_early_dialog_by_the_caller_gives_the_call_up() -> None:
    book = ringing()
    assert (
        book
        >> received(PBX, inside("BYE", 2))
        << send(PBX, 200, lambda m: m.cseq_method == b"BYE")
        << send(PBX, 487)
        << send(MAIN, "CANCEL")
        >> received(PBX, ack())
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE"))
        << send(MAIN, "ACK")
        >> after(70.0)
        << sends_nothing()
    )
    assert is_empty(book)


def test_bye_on_an_early_dialog_by_the_callee_is_refused() -> None:
    book = ringing()
    assert book >> received(MAIN, inside("BYE", 1, callee=True)) << send(MAIN, 481)  # §15: a callee answers instead
    assert book >> received(MAIN, answer(200, to="INVITE")) << send(PBX, 200)


@SIDES
def test_bye_to_a_dead_peer_keeps_nobody_waiting_and_leaves_nothing(callee: bool) -> None:
    asks, asked = ways(callee)
    book = talking()
    assert book >> received(asks, inside("BYE", 2, callee=callee)) << send(asks, 200) << send(asked, "BYE")
    assert book.now == 0.0
    assert book >> after(32.1) << sends_nothing()
    assert is_empty(book)


@pytest.mark.parametrize("status", [401, 407, 408, 481, 500, 603])
def test_a_bye_that_is_refused_is_over_all_the_same(status: int) -> None:
    book = talking()
    assert book >> received(PBX, inside("BYE", 2)) << send(PBX, 200) << send(MAIN, "BYE")
    assert book >> received(MAIN, reply(status, "BYE")) >> after(33.0) << sends_nothing()
    assert is_empty(book)


@SIDES
@pytest.mark.parametrize("said", [None, 100, 180], ids=["nothing", "100", "180"])
@pytest.mark.parametrize("who", ["asks", "asked"])
def test_bye_while_a_reinvite_is_pending_ends_both(callee: bool, said: int | None, who: str) -> None:
    """§15.1.2: what is pending is answered 487; and a peer that says nothing any more leaves nothing behind."""
    asks, asked = ways(callee)
    book = talking()
    assert (
        book
        >> received(asks, inside("INVITE", 2, callee=callee, body=HOLD))
        << send(asks, 100)
        << send(asked, "INVITE")
    )
    if said == 180:
        assert book >> received(asked, reply(said, "INVITE")) << send(asks, 180)
    elif said:
        assert book >> received(asked, reply(said, "INVITE"))
    ends, told = (asks, asked) if who == "asks" else (asked, asks)
    said_bye = inside("BYE", 3, callee=callee == (who == "asks"))
    book >> received(ends, said_bye) << send(ends, 200, lambda m: m.cseq_method == b"BYE")
    if said:
        book << send(asked, "CANCEL")
    if who == "asks":
        book << send(asks, 487) << send(told, "BYE")
    else:
        book << send(told, 487) << send(told, "BYE")
    assert book >> received(asks, refused())
    assert book >> after(33.0) << sends_nothing()
    assert is_empty(book)


def test_bye_while_the_callees_reinvite_crosses_the_callers_ack_acknowledges_the_answer() -> None:
    book = accepted()
    assert (
        book
        >> received(MAIN, inside("INVITE", 1, callee=True, body=HOLD))  # RFC 5407 §3.1.4: it may come first
        << send(MAIN, 100)
        << send(PBX, "INVITE")
        >> received(PBX, inside("BYE", 2))
        << send(PBX, 200)
        << send(MAIN, 487)
        << send(MAIN, "ACK", lambda m: m.cseq == 1)
        << send(MAIN, "BYE")
    )


def test_a_closed_port_while_a_reinvite_is_being_thought_about_does_not_end_it() -> None:
    book = talking()
    assert (
        book
        >> received(PBX, inside("INVITE", 2, body=HOLD))
        << send(PBX, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, reply(180, "INVITE"))
        << send(PBX, 180)
        >> lost(MAIN, "refused")
        << sends_nothing()
        >> received(MAIN, reply(200, "INVITE", body=SDP))
        << send(PBX, 200)
        >> received(PBX, acknowledge(2))
        << send(MAIN, "ACK")
    )


def test_a_reinvite_that_is_answered_after_our_bye_is_acknowledged() -> None:
    book = talking()
    assert (
        book
        >> received(PBX, inside("INVITE", 2, body=HOLD))
        << send(PBX, 100)
        << send(MAIN, "INVITE")
        >> received(PBX, inside("BYE", 3))
        << send(PBX, 200)
        << send(PBX, 487)
        << send(MAIN, "BYE")
        >> received(PBX, refused())
        >> received(MAIN, reply(200, "INVITE", body=SDP))  # the two crossed
        << send(MAIN, "ACK", lambda m: m.cseq == 2)
        >> received(MAIN, reply(200, "INVITE", body=SDP))
        << send(MAIN, "ACK", lambda m: m.cseq == 2)
        >> received(MAIN, reply(200, "BYE"))
        >> after(70.0)
        << sends_nothing()
    )
    assert is_empty(book)


def test_a_reinvite_whose_answer_comes_after_that_to_our_bye_is_acknowledged_too() -> None:
    """The network has put them in another order. Found by a random world."""
    book = talking()
    assert (
        book
        >> received(PBX, inside("INVITE", 2, body=HOLD)) << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(PBX, inside("BYE", 3)) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "BYE")
        >> received(PBX, refused())
        >> received(MAIN, reply(200, "BYE"))
        >> received(MAIN, reply(200, "INVITE", body=SDP)) << send(MAIN, "ACK", lambda m: m.cseq == 2)
        >> received(MAIN, reply(200, "INVITE", body=SDP)) << send(MAIN, "ACK", lambda m: m.cseq == 2)
        >> after(70.0) << sends_nothing()
    )  # fmt: skip
    assert is_empty(book)


# -- other requests ---------------------------------------------------------------------------------------------------

ANY = ["INFO", "MESSAGE", "OPTIONS", "UPDATE", "REFER", "NOTIFY", "SUBSCRIBE", "PUBLISH", "FROBNICATE"]


@SIDES
@pytest.mark.parametrize("method", ANY)
def test_requests_inside_a_call_pass_with_body_and_unknown_headers(callee: bool, method: str) -> None:
    asks, asked = ways(callee)
    book = talking()
    extra = ((b"x-office", b"7"), (b"content-type", b"application/dtmf-relay"))
    assert (
        book
        >> received(asks, inside(method, 2, callee=callee, headers=extra, body=b"Signal=5\r\n"))
        << send(asked, method, lambda m: m.body == b"Signal=5\r\n" and m.get(b"x-office") == b"7")
        >> received(asked, reply(202, method, headers=((b"x-answer", b"8"),), body=b"yes", reason=b"As You Like It"))
        << send(asks, 202, lambda m: (m.body, m.reason, m.get(b"x-answer")) == (b"yes", b"As You Like It", b"8"))
        >> after(33.0)
        << sends_nothing()
    )


@SIDES
@pytest.mark.parametrize("method", ["UPDATE", "INFO"])
def test_requests_pass_in_an_early_dialog(callee: bool, method: str) -> None:
    asks, asked = ways(callee)
    assert (
        ringing()
        >> received(asks, inside(method, 2, callee=callee, body=SDP))
        << send(asked, method, lambda m: m.body == SDP)
        >> received(asked, reply(200, method, body=SDP))
        << send(asks, 200, lambda m: m.body == SDP)
    )


def test_a_provisional_answer_to_another_request_passes_and_100_does_not() -> None:
    assert (
        talking()
        >> received(PBX, inside("SUBSCRIBE", 2))
        << send(MAIN, "SUBSCRIBE")
        >> received(MAIN, reply(100, "SUBSCRIBE"))
        << sends_nothing()
        >> received(MAIN, reply(180, "SUBSCRIBE"))
        << send(PBX, 180)
        >> received(MAIN, reply(489, "SUBSCRIBE"))
        << send(PBX, 489)
    )


def test_notify_names_the_refer_by_the_number_that_it_had_on_that_side() -> None:
    book = talking()
    assert (
        book
        >> received(PBX, inside("INFO", 41))
        << send(MAIN, "INFO")
        >> received(PBX, inside("REFER", 42, headers=((b"refer-to", b"<sip:+41000@198.51.100.9>"),)))
        << send(MAIN, "REFER", lambda m: m.cseq == 3)
        >> received(MAIN, reply(202, "REFER"))
        << send(PBX, 202)
        >> received(MAIN, inside("NOTIFY", 1, callee=True, headers=((b"event", b"refer;id=3;x=y"),)))
        << send(PBX, "NOTIFY", lambda m: m.get(b"event") == b"refer;id=42;x=y")
        >> received(PBX, reply(200, "NOTIFY"))
        << send(MAIN, 200)
        >> received(MAIN, inside("NOTIFY", 2, callee=True, headers=((b"event", b"refer"),)))
        << send(PBX, "NOTIFY", lambda m: m.get(b"event") == b"refer")
    )


@SIDES
def test_session_timer_headers_pass_both_ways(callee: bool) -> None:
    asks, asked = ways(callee)
    timer = ((b"session-expires", b"1800;refresher=uac"), (b"min-se", b"90"), (b"supported", b"timer"))
    assert (
        talking()
        >> received(asks, inside("UPDATE", 2, callee=callee, headers=timer))
        << send(asked, "UPDATE", lambda m: [m.get(name) for name, _ in timer] == [value for _, value in timer])
        >> received(asked, reply(422, "UPDATE", headers=((b"min-se", b"3600"),)))
        << send(asks, 422, lambda m: m.get(b"min-se") == b"3600")
    )


# -- numbers and names ------------------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("number", [5, 4, 1])
def test_a_number_that_was_used_or_passed_is_refused_500(callee: bool, number: int) -> None:
    asks, asked = ways(callee)
    assert (
        talking()
        >> received(asks, inside("INFO", 5, callee=callee))
        << send(asked, "INFO")
        >> received(asks, inside("INFO", number, callee=callee))
        << send(asks, 500)
    )


def test_numbers_may_jump_and_begin_with_zero() -> None:
    book = talking()
    assert book >> received(MAIN, inside("INFO", 0, callee=True)) << send(PBX, "INFO")
    assert book >> received(MAIN, inside("INFO", 2_000_000_000, callee=True)) << send(PBX, "INFO")


def test_each_leg_counts_by_itself_and_always_by_one() -> None:
    book = talking(ask=invite(cseq=314))
    number = {PBX: 314, MAIN: 100}
    for step in range(6):
        asks, asked = ways(bool(step % 2))
        number[asks] += 7
        assert (
            book
            >> received(asks, inside("INFO", number[asks], callee=bool(step % 2)))
            << send(asked, "INFO")
            >> received(asked, reply(200, "INFO"))
            << send(asks, 200)
        )
    for peer, first in ((MAIN, 1), (PBX, 1)):
        sent = [Message(data) for to, data in book.sent if to.peer == peer.peer and data[:4] in (b"INFO", b"INVI")]
        assert [one.cseq for one in sent] == list(range(first, first + len(sent)))
        assert len(sent) >= 3
    ours = {invited(book).call_id, book.seen(PBX).given("INVITE").call_id}
    assert len(ours) == 2


@SIDES
@pytest.mark.parametrize("wrong", [{"call_id": b"other@x"}, {"from_tag": b"other"}], ids=["Call-ID", "tag"])
@pytest.mark.parametrize("method", ["INFO", "INVITE", "BYE"])
def test_a_request_of_another_dialog_is_refused_481(callee: bool, wrong: dict[str, bytes], method: str) -> None:
    asks, _ = ways(callee)
    book = talking()
    assert book >> received(asks, inside(method, 9, callee=callee, **wrong)) << send(asks, 481)  # type: ignore[arg-type]
    assert book >> received(asks, inside("INFO", 9, callee=callee)) << send(ways(callee)[1], "INFO")


@SIDES
def test_max_forwards_is_counted_down(callee: bool) -> None:
    asks, asked = ways(callee)
    assert (
        talking()
        >> received(asks, inside("INFO", 2, callee=callee, max_forwards=5))
        << send(asked, "INFO", lambda m: m.max_forwards == 4)
        >> received(asks, inside("INFO", 3, callee=callee, max_forwards=0))
        << send(asks, 483)
        >> received(asks, inside("BYE", 4, callee=callee, max_forwards=2))
        << send(asks, 200)
        << send(asked, "BYE", lambda m: m.max_forwards == 1)
    )


@SIDES
@pytest.mark.parametrize("method", ["INFO", "INVITE", "UPDATE"])
def test_a_request_that_nobody_answers_ends_in_408(callee: bool, method: str) -> None:
    asks, asked = ways(callee)
    book = talking()
    assert (
        book
        >> received(asks, inside(method, 2, callee=callee))
        << send(asked, method)
        << (send(asks, 100) if method == "INVITE" else sends_nothing())
    )
    assert book >> after(31.9) << sends_nothing()
    assert book >> after(0.2) << send(asks, 408)


@SIDES
@pytest.mark.parametrize("status", [401, 407])
def test_credentials_and_challenges_stay_on_their_side(callee: bool, status: int) -> None:
    asks, asked = ways(callee)
    secret = ((b"authorization", b'Digest username="u"'), (b"proxy-authorization", b'Digest username="u"'))
    challenge = ((b"www-authenticate", b'Digest realm="r"'), (b"proxy-authenticate", b'Digest realm="r"'))
    assert (
        talking()
        >> received(asks, inside("INFO", 2, callee=callee, headers=secret))
        << send(asked, "INFO", lambda m: not any(name in m.first for name, _ in secret))
        >> received(asked, reply(status, "INFO", headers=challenge))
        << send(asks, status, lambda m: not any(name in m.first for name, _ in challenge))
    )


# -- where requests go ------------------------------------------------------------------------------------------------


@SIDES
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_new_contact_in_a_request_moves_the_target(callee: bool, method: str) -> None:
    asks, asked = ways(callee)
    host = asks.host.encode()
    moved = b"sip:moved@%b:5080" % host
    book = talking()
    assert (
        book
        >> received(asks, inside(method, 2, callee=callee, contact=b"<%b>" % moved))
        << send(asked, method)
        << (send(asks, 100) if method == "INVITE" else sends_nothing())
    )
    there = Target("udp", asks.host, 5080, b"")
    assert (
        book
        >> received(asked, inside("BYE", 3, callee=not callee))
        << send(asked, 200)
        << send(there, "BYE", lambda m: m.uri == moved)
        << (send(asks, 487) if method == "INVITE" else sends_nothing())
    )


@SIDES
@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_new_contact_in_an_answer_moves_the_target(callee: bool, method: str) -> None:
    asks, asked = ways(callee)
    moved = b"sip:moved@%b:5080" % asked.host.encode()
    there = Target("udp", asked.host, 5080, b"")
    book = talking()
    assert (
        book
        >> received(asks, inside(method, 2, callee=callee, body=HOLD))
        << send(asked, method)
        << (send(asks, 100) if method == "INVITE" else sends_nothing())
        >> received(asked, reply(200, method, body=SDP, contact=b"<%b>" % moved))
        << send(asks, 200, lambda m: b"moved" not in m.contact.uri)
    )
    if method == "INVITE":
        assert book >> received(asks, acknowledge(2, callee=callee)) << send(there, "ACK", lambda m: m.uri == moved)
    assert book >> received(asks, inside("BYE", 3, callee=callee)) << send(asks, 200) << send(there, "BYE")


def test_a_contact_in_an_info_moves_nothing() -> None:
    assert (
        talking()
        >> received(PBX, inside("INFO", 2, contact=b"<sip:moved@192.0.2.10:5080>"))
        << send(MAIN, "INFO")
        >> received(MAIN, inside("BYE", 1, callee=True))
        << send(MAIN, 200)
        << send(PBX, "BYE", lambda m: b"moved" not in m.uri)
    )


@SIDES
def test_a_peer_that_moved_to_another_host_is_followed(callee: bool) -> None:
    """A carrier's second address, or a PBX of two: it signs its Via there and says so in its Contact."""
    asks, asked = ways(callee)
    second = asks.host[:-1] + "7"
    there = Target("udp", second, 5060, b"")
    book = talking()
    moved = flow("moved", second)
    name = "main" if callee else "pbx"
    book.engine.resolved(name, (target(asks), target(moved)), 0.0)
    say = inside("INVITE", 2, callee=callee, body=HOLD, contact=b"<sip:m@%b>" % second.encode(), host=second.encode())
    data = say(book.seen(asks))
    assert (
        book
        >> received(moved, data)
        << send(moved, 100)
        << send(asked, "INVITE")
        >> received(asked, inside("INFO", 3, callee=not callee))
        << send(there, "INFO")
    )


ROUTES = {
    "loose": ((b"<sip:198.51.100.1;lr>",), (b"<sip:198.51.100.1;lr>",)),
    "with a name": ((b'"a; b, c" <sip:198.51.100.1;lr>',), (b"<sip:198.51.100.1;lr>",)),
    "lr=on": ((b"<sip:198.51.100.1;lr=on;ftag=x>;far=away",), (b"<sip:198.51.100.1;lr=on;ftag=x>",)),
    "several": (
        (b"<sip:10.1.1.1;lr>, <sip:10.2.2.2;lr>", b"<sip:198.51.100.1;lr>"),
        (b"<sip:198.51.100.1;lr>", b"<sip:10.2.2.2;lr>", b"<sip:10.1.1.1;lr>"),
    ),
}


@pytest.mark.parametrize("kind", ROUTES)
def test_requests_follow_the_route_set_of_the_answer(kind: str) -> None:
    given, wanted = ROUTES[kind]
    headers = tuple((b"record-route", value) for value in given)
    book = accepted(last=answer(200, headers=headers))
    target = b"sip:callee@198.51.100.1:5060"
    assert (
        book
        >> received(PBX, ack())
        << send(MAIN, "ACK", lambda m: m.uri == target and tuple(m.values(b"route")) == wanted)
    )
    assert (
        book
        >> received(PBX, inside("BYE", 2))
        << send(PBX, 200)
        << send(MAIN, "BYE", lambda m: m.uri == target and tuple(m.values(b"route")) == wanted)
    )
    assert book.seen(PBX).last(200, where=lambda m: m.cseq_method == b"INVITE").values(b"record-route") == []


@pytest.mark.parametrize("kind", ROUTES)
def test_requests_to_the_caller_follow_the_route_set_of_the_invite(kind: str) -> None:
    given = tuple(value.replace(b"198.51.100.1", b"192.0.2.10") for value in ROUTES[kind][0])
    wanted = tuple(value.replace(b"198.51.100.1", b"192.0.2.10") for value in reversed(ROUTES[kind][1]))
    headers = tuple((b"record-route", value) for value in given)
    book = talking(ask=invite(headers=headers))
    assert invited(book).values(b"record-route") == []
    assert book.seen(PBX).last(200).lines(b"record-route") == [b"Record-Route: " + value for value in given]
    first = wanted[0].partition(b":")[2][:9]
    to = PBX if first == b"192.0.2.1" else Target("udp", "10.1.1.1", 5060, b"")
    assert (
        book
        >> received(MAIN, inside("BYE", 1, callee=True))
        << send(MAIN, 200)
        << send(
            to, "BYE", lambda m: m.uri == b"sip:+41441112233@192.0.2.10:5060" and tuple(m.values(b"route")) == wanted
        )
    )


def test_a_strict_router_gets_its_own_uri_and_the_target_as_last_route() -> None:
    headers = ((b"record-route", b"<sip:10.1.1.1;lr>, <sip:198.51.100.1:5060;x=y>"),)
    book = accepted(last=answer(200, headers=headers))
    assert (
        book
        >> received(PBX, ack())
        << send(
            MAIN,
            "ACK",
            lambda m: (
                m.uri == b"sip:198.51.100.1:5060;x=y"
                and m.values(b"route") == [b"<sip:10.1.1.1;lr>", b"<sip:callee@198.51.100.1:5060>"]
            ),
        )
    )


# -- streams ----------------------------------------------------------------------------------------------------------


def over_tcp() -> tuple[Flow, Playbook]:
    """A call from a PBX that came over a TCP connection of its own, and can be called back at 5060."""
    caller = Flow("tcp", "192.0.2.10", 40001, b"192.0.2.1:5060", connection=7)
    return caller, talking(caller=caller, ask=invite(transport="TCP"))


BACK = Target("tcp", "192.0.2.10", 5060, b"192.0.2.1:5060")


def test_requests_to_a_tcp_caller_go_over_its_connection() -> None:
    caller, book = over_tcp()
    assert book >> received(MAIN, inside("INFO", 1, callee=True)) << send(caller, "INFO")
    to, _ = next((to, data) for to, data in reversed(book.sent) if data.startswith(b"INFO"))
    assert to == caller


@pytest.mark.parametrize("method", ["INFO", "BYE", "INVITE"])
def test_a_request_that_finds_the_connection_broken_goes_to_the_callers_address(method: str) -> None:
    caller, book = over_tcp()
    assert (
        book
        >> received(MAIN, inside(method, 1, callee=True))
        << send(caller, method)
        << (send(MAIN, 200) if method == "BYE" else send(MAIN, 100) if method == "INVITE" else sends_nothing())
    )
    assert book >> lost(caller, "closed") << send(BACK, method)
    to, _ = next((to, data) for to, data in reversed(book.sent) if data.startswith(method.encode()))
    assert not isinstance(to, Flow)  # the number of a connection that is gone would lead nowhere again


def test_all_requests_that_wait_on_a_broken_connection_are_sent_again() -> None:
    caller, book = over_tcp()
    assert book >> received(MAIN, inside("INFO", 1, callee=True)) << send(caller, "INFO")
    assert book >> received(MAIN, inside("UPDATE", 2, callee=True)) << send(caller, "UPDATE")
    assert book >> lost(caller, "reset") << send(BACK, "INFO") << send(BACK, "UPDATE")
    assert book >> received(MAIN, inside("INFO", 3, callee=True)) << send(BACK, "INFO")


def test_a_request_that_finds_nobody_at_the_other_address_either_ends_in_408() -> None:
    caller, book = over_tcp()
    assert book >> received(MAIN, inside("INFO", 1, callee=True)) << send(caller, "INFO")
    assert book >> lost(caller, "closed") << send(BACK, "INFO")
    assert book >> lost(BACK, "refused") << send(MAIN, 408)


def test_a_bye_over_a_broken_connection_leaves_nothing() -> None:
    caller, book = over_tcp()
    assert book >> received(MAIN, inside("BYE", 1, callee=True)) << send(MAIN, 200) << send(caller, "BYE")
    assert book >> lost(caller, "closed") << send(BACK, "BYE") >> lost(BACK, "refused") >> after(33.0)
    assert is_empty(book)
