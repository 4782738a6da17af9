"""Forwarded calls: Diversion and History-Info as they come, left out, or one written as the other (RFC 7544)."""

import pytest

from sipfailover.trunk.diversion import CAUSES, REASONS, diverted, to_diversion, to_history
from sipfailover.wire import NameAddr
from tests.trunk.carrier import call, carrier

TARGET = b"sip:+41795550000@carrier.example"
DIVERSION = (
    "Diversion: <sip:0441112233@pbx>;reason=no-answer;privacy=full, <sip:0441110000@pbx>;reason=user-busy;counter=1"
)
HISTORY = (
    "History-Info: <sip:0441110000@pbx>;index=1, <sip:0441112233@pbx;cause=486?Privacy=history>;index=1.1;mp=1, "
    "<sip:+41795550000@carrier.example;cause=408>;index=1.1.1;mp=1.1"
)


def told(keys: str, *headers: str) -> tuple[list[str], set[str]]:
    lines, dropped = diverted(call("<sip:0795550001@pbx>", *headers), TARGET, carrier(keys), plain=False)
    return [line.decode() for line in lines], {name.decode() for name in dropped}


def test_it_passes_as_the_pbx_wrote_it() -> None:
    assert told("", DIVERSION, HISTORY) == ([], set())
    assert told("") == ([], set())


def test_it_is_left_out() -> None:
    assert told("identity: {diversion: drop}", DIVERSION, HISTORY) == ([], {"diversion", "history-info"})


def test_diversion_becomes_history_info() -> None:
    lines, dropped = told("identity: {diversion: history-info}", DIVERSION)
    assert lines == [HISTORY]
    assert dropped == {"diversion"}


def test_history_info_becomes_diversion() -> None:
    lines, dropped = told("identity: {diversion: diversion}", HISTORY)
    assert lines == [
        "Diversion: <sip:0441112233@pbx>;reason=no-answer;counter=1;privacy=full, "
        "<sip:0441110000@pbx>;reason=user-busy;counter=1;privacy=off"
    ]
    assert dropped == {"history-info"}


def test_of_both_the_wanted_one_stays_as_it_came() -> None:
    assert told("identity: {diversion: diversion}", DIVERSION, HISTORY) == ([], {"history-info"})
    assert told("identity: {diversion: history-info}", DIVERSION, HISTORY) == ([], {"diversion"})


def test_its_numbers_have_the_form_of_identities_and_the_numbers_of_the_carrier() -> None:
    lines, dropped = told("identity_format: e164, ddi: {+41315550000-9: +41441112230-9}", DIVERSION)
    assert lines == [DIVERSION.replace("0441112233", "+41315550003").replace("0441110000", "+41441110000")]
    assert dropped == {"diversion"}
    lines, _ = told("number_format: plain, identity: {diversion: history-info}", DIVERSION)
    assert "<sip:41441110000@pbx>;index=1, <sip:41441112233@pbx;cause=486?Privacy=history>;index=1.1" in lines[0]


def test_who_forwarded_need_not_be_a_number_that_may_be_shown() -> None:
    keys = "caller_id: +41315559999, allowed_caller_ids: +41315559999, number_format: e164"
    assert "+41441112233" in told(keys, DIVERSION)[0][0]


def test_a_tel_address_becomes_one_that_can_have_the_form() -> None:
    lines, _ = told("number_format: national", "Diversion: <tel:+41441112233>;reason=deflection")
    assert lines == ["Diversion: <sip:0441112233@carrier.example;user=phone>;reason=deflection"]
    lines, _ = told("number_format: e164", "Diversion: <tel:0441112233>;reason=deflection")
    assert lines == ["Diversion: <tel:+41441112233>;reason=deflection"]


@pytest.mark.parametrize("diversion", ["keep", "diversion", "history-info"])
def test_what_cannot_be_read_passes_as_it_came(diversion: str) -> None:
    keys = f"number_format: e164, identity: {{diversion: {diversion}}}"
    assert told(keys, 'Diversion: "<sip:1@x>') == ([], set())
    assert told(keys, "History-Info: , ,") == ([], set())


def test_a_history_without_a_forwarding_makes_no_diversion() -> None:
    history = "History-Info: <sip:1@x>;index=1, <sip:2@x>;index=1.1;rc=1"
    assert told("identity: {diversion: diversion}", history) == ([], {"history-info"})


@pytest.mark.parametrize(
    ("reason", "cause"), [*CAUSES.items(), (b"follow-me", 404), (b"unknown", 404), (b'"user-busy"', 486)]
)
def test_every_reason_has_its_cause(reason: bytes, cause: int) -> None:
    history = to_history([NameAddr(b"", b"sip:1@x", b";reason=" + reason)], TARGET)
    assert [one.to_bytes() for one in history] == [
        b"<sip:1@x>;index=1",
        b"<%b;cause=%d>;index=1.1;mp=1" % (TARGET, cause),
    ]


@pytest.mark.parametrize(("cause", "reason"), [*REASONS.items(), (404, b"unknown"), (999, b"unknown")])
def test_every_cause_has_its_reason(cause: int, reason: bytes) -> None:
    history = [NameAddr(b"", b"sip:1@x", b";index=1"), NameAddr(b"", b"sip:2@x;cause=%d" % cause, b";index=1.1")]
    assert [one.to_bytes() for one in to_diversion(history)] == [b"<sip:1@x>;reason=%b;counter=1;privacy=off" % reason]
    assert to_diversion(history, private=True)[0].param(b"privacy") == b"full"


def test_the_reason_may_stand_where_the_call_failed_and_mp_says_whose_number_was_changed() -> None:
    own = [NameAddr(b"", b"sip:1@x?Reason=SIP%3Bcause%3D486", b";index=1"), NameAddr(b"", b"sip:2@x", b";index=1.1")]
    assert to_diversion(own)[0].to_bytes() == b"<sip:1@x>;reason=user-busy;counter=1;privacy=off"
    skipping = [
        NameAddr(b"", b"sip:1@x", b";index=1"),
        NameAddr(b"", b"sip:1@proxy", b";index=1.1;rc=1"),
        NameAddr(b"", b"sip:2@x", b";index=1.2;mp=1"),
    ]
    assert [one.uri for one in to_diversion(skipping)] == [b"sip:1@x"]


@pytest.mark.parametrize("reason", CAUSES)
def test_there_and_back_nothing_is_lost(reason: bytes) -> None:
    there = [
        NameAddr(b'"B"', b"sip:2@x;user=phone", b";reason=%b;counter=1;privacy=full" % reason),
        NameAddr(b"", b"sip:1@x", b";reason=user-busy;counter=1;privacy=off"),
    ]
    assert to_diversion(to_history(there, TARGET)) == there


def test_a_call_that_goes_in_circles_is_told_of_its_last_rounds() -> None:
    many = [NameAddr(b"", b"sip:%d@x" % n, b";reason=deflection") for n in range(50)]
    assert len(to_history(many, TARGET)) == 11
    assert to_history(many, TARGET)[-2].uri.startswith(b"sip:0@x")
    assert len(to_diversion(to_history(many, TARGET) * 3)) == 10
