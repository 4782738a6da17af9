"""Records and what becomes of them: whatever is in a leg comes back, and a call is small."""

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.flow import Flow, Target
from sipfailover.proxy import keepsake, underway
from sipfailover.proxy.keepsake import CSEQ_MARGIN, GONE, LegRecord
from sipfailover.proxy.leg import Leg
from sipfailover.wire import OWNED
from tests.proxy.test_rollcall import talking

raw = st.binary(max_size=40)
number = st.integers(0, 2**31 - 1)
names = st.text(max_size=10)
targets = st.builds(
    Target, st.sampled_from(["udp", "tcp", "tls"]), names, st.integers(1, 65535), raw, names, line=names
)
flows = st.builds(Flow, st.just("udp"), names, st.integers(1, 65535), raw, names, line=names)


@st.composite
def legs(draw: st.DrawFn) -> Leg:
    leg = Leg(1, draw(raw), draw(raw), draw(targets | flows), draw(raw))
    for name in ("remote_tag", "local", "remote", "target"):
        setattr(leg, name, draw(raw))
    for name in ("cseq", "remote_cseq", "uas_cseq", "success_cseq"):
        setattr(leg, name, draw(number))
    leg.routes = tuple(draw(st.lists(raw, max_size=3)))
    leg.to, leg.fallback = draw(targets | flows | st.just(leg.reached)), draw(st.none() | targets)
    leg.behind_nat, leg.caller = draw(st.booleans()), draw(st.booleans())
    leg.kept_out = OWNED | draw(st.frozensets(raw, max_size=3))
    leg.refers = draw(st.none() | st.dictionaries(number, number, min_size=1, max_size=3))
    return leg


@given(legs())
def test_a_leg_comes_back_as_it_was(leg: Leg) -> None:
    again = underway.to_bye(underway.bye_record(leg, "main"))
    assert again.line == "main"
    found = keepsake.to_leg(again.leg, 1)
    for name in (
        "call_id", "local_tag", "remote_tag", "local", "remote", "target", "contact", "routes", "reached", "to",
        "fallback", "behind_nat", "caller", "remote_cseq", "uas_cseq", "success_cseq", "kept_out", "refers",
    ):  # fmt: skip
        assert getattr(found, name) == getattr(leg, name), name
    assert found.cseq == leg.cseq + CSEQ_MARGIN
    assert found.ack_cseq == found.success_cseq


@given(legs())
def test_a_record_is_one_line(leg: Leg) -> None:
    record = underway.bye_record(leg, "main")
    assert b"\n" not in record
    assert record.isascii()


def test_a_connection_is_gone_and_its_flow_says_so() -> None:
    flow = Flow("tcp", "192.0.2.10", 40000, b"192.0.2.1:5060", connection=12)
    found = keepsake.to_target(keepsake.place(flow))
    assert isinstance(found, Flow)
    assert (found.connection, found.peer) == (GONE, flow.peer)


def test_a_call_is_less_than_a_kilobyte() -> None:
    book = talking()
    assert len(book.kept["call/1"]) < 1000


def test_every_slot_of_a_leg_is_kept_or_known_not_to_be() -> None:
    begun_anew = {
        "ack", "ack_cseq", "acks", "again", "answer", "answer_key", "call", "credentials", "dropped", "give_up",
        "interval", "kept", "lines", "partner", "restored", "uac_cseq",
    }  # fmt: skip
    assert set(Leg.__slots__) - begun_anew == set(LegRecord._fields)


def test_every_field_of_a_target_is_kept() -> None:
    kept = {"transport", "host", "port", "sent_by", "local", "line"}
    assert {field.name for field in fields(Flow) if field.init} - kept == {"priority", "connection"}


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b"[1]", b"null", b'"x"', b"[1,2,3,4,5,6,7,8,9,10,11,12,13,14]"])
def test_what_is_no_record_raises_what_the_reader_expects(record: bytes) -> None:
    with pytest.raises((TypeError, ValueError)):
        keepsake.to_call(record)
    with pytest.raises((TypeError, ValueError)):
        underway.to_bye(record)
