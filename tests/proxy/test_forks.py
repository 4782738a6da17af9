"""Carriers that fork: every callee has a dialog of its own on both sides, and one gets the call (§12.1)."""

import pytest

from sipfailover.proxy import AttemptEnded, CallEnded
from sipfailover.proxy.forks import FORKS_MAX
from sipfailover.wire import Message
from tests.kit import Playbook, ack, after, answer, bye, cancel, invite, received, recorded, send, sends_nothing
from tests.kit.sip import SDP, in_dialog
from tests.proxy.office import BACKUP, MAIN, PBX, answered, calling, has, office, sent


def to_tags(book: Playbook, status: int) -> list[bytes]:
    """The To tags of what the PBX was told with this status, in order."""
    return [message.to_tag for message in sent(book, PBX, status)]


def test_each_callee_that_rings_has_its_own_tag_towards_the_caller() -> None:
    book = office()
    assert (
        calling(book)
        >> received(MAIN, answer(180, tag="desk")) << send(PBX, 180)
        >> received(MAIN, answer(180, tag="mobile")) << send(PBX, 180)
        >> received(MAIN, answer(183, tag="desk")) << send(PBX, 183)
        >> received(MAIN, answer(200, tag="mobile")) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
    )  # fmt: skip
    desk, mobile = to_tags(book, 180)
    assert desk != mobile
    assert to_tags(book, 183) == [desk]
    assert to_tags(book, 200) == [mobile]
    assert sent(book, MAIN, "ACK")[0].to_tag == b"mobile"
    assert len(book.engine.core.legs) == 2
    assert book >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE") >> received(MAIN, answer(200))
    assert sent(book, MAIN, "BYE")[0].to_tag == b"mobile"
    book.done()


def test_a_second_answer_is_acknowledged_and_hung_up_and_the_first_call_goes_on() -> None:
    book = office()
    assert (
        calling(book)
        >> received(MAIN, answer(180, tag="desk")) << send(PBX, 180)
        >> received(MAIN, answer(200, tag="desk")) << send(PBX, 200)
        >> received(MAIN, answer(200, tag="mobile")) << send(MAIN, "ACK") << send(MAIN, "BYE")
        >> received(MAIN, answer(200, tag="mobile", to="BYE"))
        >> received(PBX, ack()) << send(MAIN, "ACK")
    )  # fmt: skip
    assert [message.to_tag for message in sent(book, MAIN, "ACK")] == [b"mobile", b"desk"]
    assert sent(book, MAIN, "BYE")[0].to_tag == b"mobile"
    assert len(sent(book, PBX, 200)) == 1
    assert len(book.engine.core.calls) == 1
    assert book >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE") >> received(MAIN, answer(200))
    book.done()


def test_an_answer_that_comes_again_is_acknowledged_again_and_not_hung_up() -> None:
    book = office()
    assert answered(book) >> received(MAIN, answer(200)) << send(MAIN, "ACK") >> after(5.0)
    acks = sent(book, MAIN, "ACK")
    assert len(acks) == 2
    assert acks[0].fields == acks[1].fields
    assert not sent(book, MAIN, "BYE")
    assert book >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE") >> received(MAIN, answer(200))
    book.done()


def test_an_answer_that_rang_before_without_a_tag_is_a_call() -> None:
    """RFC 2543: no tag, no Contact; the caller gets ours, or could not say anything inside the dialog."""
    book = office()

    def old(status: int):  # type: ignore[no-untyped-def]
        def build(seen):  # type: ignore[no-untyped-def]
            lines = answer(status, tag="x")(seen).replace(b";tag=x", b"").split(b"\r\n")
            return b"\r\n".join(line for line in lines if not line.startswith(b"Contact:"))

        return build

    assert (
        calling(book)
        >> received(MAIN, old(180)) << send(PBX, 180)
        >> received(MAIN, old(200)) << send(PBX, 200, lambda m: m.contact.uri == b"sip:+41443210019@192.0.2.1:5060")
    )  # fmt: skip
    assert len({*to_tags(book, 180), *to_tags(book, 200)}) == 1
    asked, final = book.seen(PBX).given("INVITE"), sent(book, PBX, 200)[0]
    contact = b"\r\nContact: <sip:192.0.2.1:5060>\r\nCSeq:"
    whole = Message(b"SIP/2.0 200 OK\r\n" + b"\r\n".join(line for _, line in final.fields).replace(
        b"\r\nCSeq:", contact) + b"\r\n\r\n" + final.body)  # fmt: skip
    assert book >> received(PBX, in_dialog("ACK", asked, whole, cseq=1)) << send(MAIN, "ACK")
    assert book >> received(PBX, in_dialog("BYE", asked, whole, cseq=2)) << send(PBX, 200) << send(MAIN, "BYE")
    assert book >> received(MAIN, answer(200))
    book.done()


def test_early_media_and_what_else_a_progress_says_is_relayed_with_our_contact() -> None:
    book = office()
    asked = invite(headers=((b"record-route", b"<sip:192.0.2.20;lr>"), (b"record-route", b"<sip:192.0.2.21;lr>")))
    extras = ((b"p-early-media", b"sendrecv"), (b"record-route", b"<sip:198.51.100.9;lr>"))
    assert (
        calling(book, data=asked)
        >> received(MAIN, answer(183, headers=extras, reason="Es tutet"))
        << send(PBX, 183, has(body=SDP, p_early_media=b"sendrecv", reason=b"Es tutet",
                              contact=b"<sip:+41443210019@192.0.2.1:5060>"))
    )  # fmt: skip
    told = sent(book, PBX, 183)[0]
    assert told.values(b"record-route") == [
        b"<sip:192.0.2.20;lr>",
        b"<sip:192.0.2.21;lr>",
    ]  # the caller's own (§12.1.1)
    assert book >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "CANCEL")
    assert book >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK") >> received(PBX, ack())
    book.done()


def test_199_of_one_callee_is_relayed_in_its_dialog_and_another_may_still_answer() -> None:
    book = office()
    assert (
        calling(book)
        >> received(MAIN, answer(180, tag="desk")) << send(PBX, 180)
        >> received(MAIN, answer(180, tag="mobile")) << send(PBX, 180)
        >> received(MAIN, answer(199, tag="desk")) << send(PBX, 199)
        >> received(MAIN, answer(200, tag="mobile")) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
        >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE")
        << recorded(CallEnded, result="answered", ended_by="caller")
        >> received(MAIN, answer(200))
    )  # fmt: skip
    assert to_tags(book, 199) == to_tags(book, 180)[:1]
    book.done()


@pytest.mark.parametrize("forks", [1, 3])
def test_a_failure_after_forks_leaves_no_dialog_behind(forks: int) -> None:
    book = office()
    assert calling(book)
    for number in range(forks):
        assert book >> received(MAIN, answer(180, tag=f"fork{number}")) << send(PBX, 180)
    assert len(book.engine.core.legs) == 2 * forks
    assert (
        book
        >> received(MAIN, answer(486, tag="fork0")) << send(MAIN, "ACK") << send(PBX, 486)
        << recorded(AttemptEnded, status=486, ringing_after=0.0)
    )  # fmt: skip
    assert not book.engine.core.legs
    assert to_tags(book, 486) == to_tags(book, 180)[:1]
    book.done()


def test_an_emergency_call_that_rings_at_two_carriers_has_dialogs_that_work() -> None:
    book = office()
    assert (
        calling(book, called="112")
        >> received(MAIN, answer(180, tag="one")) << send(PBX, 180)
        >> received(MAIN, answer(180, tag="two")) << send(PBX, 180)
        >> received(MAIN, answer(500, tag="one")) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(180, tag="three")) << send(PBX, 180)
        >> received(BACKUP, answer(180, tag="four")) << send(PBX, 180)
        >> received(BACKUP, answer(200, tag="four")) << send(PBX, 200)
        >> received(PBX, ack()) << send(BACKUP, "ACK")
        >> received(MAIN, answer(180, tag="two")) << sends_nothing()
    )  # fmt: skip
    assert to_tags(book, 200) == to_tags(book, 180)[3:]
    assert book >> received(PBX, bye()) << send(PBX, 200) << send(BACKUP, "BYE") >> received(BACKUP, answer(200))
    book.done()


def test_callees_without_end_get_no_dialog_each_and_the_one_who_answers_gets_the_call() -> None:
    book = office()
    assert calling(book)
    for number in range(FORKS_MAX + 20):
        expectation = book >> received(MAIN, answer(180, tag=f"callee-{number}"))
        assert expectation << send(PBX, 180) if number < FORKS_MAX else expectation << sends_nothing()
    assert len(book.engine.core.legs) == 2 * FORKS_MAX
    last = answer(200, tag=f"callee-{FORKS_MAX + 19}")
    assert book >> received(MAIN, last) << send(PBX, 200) >> received(PBX, ack()) << send(MAIN, "ACK")
    assert len(book.engine.core.legs) == 2
    assert book >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE") >> received(MAIN, answer(200))
    book.done()
