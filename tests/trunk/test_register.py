"""REGISTER on the wire: what leaves, what is read from an answer, whose the bindings in it are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.errors import WireError
from sipfailover.trunk import Ask, Binding, PublicAddress, Purpose, RegisterAnswer, register_request
from sipfailover.trunk.register import MAX_BINDINGS, MAX_DELTA, MAX_ROUTES, moved_contact, sort_out
from sipfailover.wire import Message

OURS = b"sip:t0ken@192.0.2.9:5060"
ASK = Ask(Purpose.REGISTER, b"call-1", b"tag-1", 7, (OURS,), 300)
VIA = b"SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK1;rport"


def answer(*lines: bytes, status: bytes = b"200 OK", via: bytes = VIA) -> RegisterAnswer:
    head = (
        b"SIP/2.0 " + status, b"Via: " + via, b"From: <sip:a@b>;tag=1", b"To: <sip:a@b>;tag=2",
        b"Call-ID: call-1", b"CSeq: 7 REGISTER", *lines, b"Content-Length: 0",
    )  # fmt: skip
    return RegisterAnswer.read(Message(b"\r\n".join(head) + b"\r\n\r\n"))


# -- what leaves ------------------------------------------------------------------------------------------------------


def test_a_register_as_it_leaves() -> None:
    data = register_request(
        ASK, aor=b"sip:+41441234567@carrier.example", via=VIA, routes=(b"<sip:edge.example;lr>",),
        headers=((b"user-agent", b"sipfailover"),),
    )  # fmt: skip
    assert data.split(b"\r\n") == [
        b"REGISTER sip:carrier.example SIP/2.0",
        b"Via: " + VIA,
        b"Max-Forwards: 70",
        b"Route: <sip:edge.example;lr>",
        b"From: <sip:+41441234567@carrier.example>;tag=tag-1",
        b"To: <sip:+41441234567@carrier.example>",
        b"Call-ID: call-1",
        b"CSeq: 7 REGISTER",
        b"Contact: <sip:t0ken@192.0.2.9:5060>",
        b"Expires: 300",
        b"Supported: path",
        b"User-Agent: sipfailover",
        b"Content-Length: 0",
        b"",
        b"",
    ]


def test_the_request_uri_has_no_user_and_may_be_another_registrar() -> None:
    aor = b"sips:me:secret@carrier.example:5071;user=phone"
    assert Message(register_request(ASK, aor=aor, via=VIA)).uri == b"sips:carrier.example:5071"
    other = register_request(ASK, aor=aor, via=VIA, registrar=b"sip:reg.example")
    assert Message(other).uri == b"sip:reg.example"


def test_stale_bindings_are_removed_one_by_one_and_never_by_a_star() -> None:
    clear = Ask(Purpose.CLEAR, b"call-1", b"tag-1", 8, (b"sip:t0ken@192.0.2.7:1", b"sip:t0ken@192.0.2.8:2"), 0)
    message = Message(register_request(clear, aor=b"sip:a@b", via=VIA))
    assert message.values(b"contact") == [b"<sip:t0ken@192.0.2.7:1>", b"<sip:t0ken@192.0.2.8:2>"]
    assert message.get(b"expires") == b"0"


# -- what comes back --------------------------------------------------------------------------------------------------


def test_everything_that_is_kept_of_an_answer() -> None:
    read = answer(
        b"Contact: <sip:t0ken@192.0.2.9:5060>;expires=180;q=0.5, sip:x@192.0.2.1;expires=20",
        b"m: <sip:y@192.0.2.2>",
        b"Expires: 600",
        b"Service-Route: <sip:a.example;lr>, <sip:b.example;lr>",
        b"Path: <sip:p.example;lr>",
        b"P-Associated-URI: <sip:+41441234567@carrier.example>, <tel:+41441234567>",
        b"Flow-Timer: 60",
        b"Min-Expires: 90",
        b"Retry-After: 18 (busy)",
        via=VIA + b"=40123;received=203.0.113.5",
    )
    assert read == RegisterAnswer(
        status=200, reason="OK", cseq=7,
        bindings=(Binding(OURS, 180), Binding(b"sip:x@192.0.2.1", 20), Binding(b"sip:y@192.0.2.2", None)),
        lists_bindings=True, expires=600, min_expires=90, retry_after=18.0,
        service_route=(b"<sip:a.example;lr>", b"<sip:b.example;lr>"), path=(b"<sip:p.example;lr>",),
        associated=(b"<sip:+41441234567@carrier.example>", b"<tel:+41441234567>"),
        flow_timer=60, public=PublicAddress("203.0.113.5", 40123),
    )  # fmt: skip
    assert read.line == "200 OK"


def test_what_cannot_be_read_is_left_out_and_costs_nothing_else() -> None:
    read = answer(
        b"Contact: nonsense, <sip:t0ken@192.0.2.9:5060>;expires=soon",
        b'Service-Route: "never closed',
        b"Expires: -1",
        b"Min-Expires: 99999999999999999999",
        b"Flow-Timer: x",
    )
    assert read.bindings == (Binding(OURS, None),)
    assert (read.service_route, read.expires, read.min_expires, read.flow_timer) == ((), None, MAX_DELTA, None)
    broken = answer(b'Contact: "never closed <sip:a@b>')
    assert (broken.bindings, broken.lists_bindings) == ((), True)


def test_long_lists_are_cut() -> None:
    read = answer(
        b"Contact: " + b", ".join([b"<sip:a@192.0.2.1>"] * 99), b"Path: " + b", ".join([b"<sip:p.example;lr>"] * 99)
    )
    assert (len(read.bindings), len(read.path)) == (MAX_BINDINGS, MAX_ROUTES)


@pytest.mark.parametrize(
    ("via", "public"),
    [
        (VIA, None),
        (VIA + b"=5060", PublicAddress("192.0.2.9", 5060)),
        (VIA + b"=40123;received=203.0.113.5", PublicAddress("203.0.113.5", 40123)),
        (VIA + b";received=203.0.113.5", PublicAddress("203.0.113.5", 5060)),
        (VIA + b"=40123;received=2001:DB8::0:1", PublicAddress("2001:db8::1", 40123)),
        (VIA + b"=40123;received=[2001:db8::1]", PublicAddress("2001:db8::1", 40123)),
        (VIA + b"=0;received=203.0.113.5", None),
        (VIA + b"=99999;received=203.0.113.5", None),
        (VIA + b"=40123;received=evil.example", None),
        (b"SIP/2.0/UDP pbx.lan;branch=z9hG4bK1;rport=5060", None),
    ],
)
def test_the_public_address_is_an_address_or_nothing(via: bytes, public: PublicAddress | None) -> None:
    assert answer(via=via).public == public


def test_public_addresses_as_people_read_them() -> None:
    assert str(PublicAddress("203.0.113.5", 1)) == "203.0.113.5:1"
    assert str(PublicAddress("2001:db8::1", 1)) == "[2001:db8::1]:1"


@given(st.binary(max_size=80).map(lambda value: value.translate(None, b"\r\n\0\x0b\x0c")))
def test_no_contact_raises(value: bytes) -> None:
    sort_out(answer(b"Contact: " + value, b"Expires: " + value, b"Flow-Timer: " + value).bindings, OURS)


# -- whose they are ---------------------------------------------------------------------------------------------------


def test_ours_is_the_equal_one_and_former_addresses_of_our_user_are_stale() -> None:
    found = sort_out(
        (
            Binding(b"sip:t0ken@192.0.2.7:5060", 100),
            Binding(b"sip:desk@192.0.2.20", 3000),
            Binding(b"SIP:t0ken@192.0.2.9:5060;ob", 180),
            Binding(b"tel:+41441234567", 10),
            Binding(b"mailto:a@b", 10),
        ),
        OURS,
    )
    assert found.ours == Binding(b"SIP:t0ken@192.0.2.9:5060;ob", 180)
    assert found.stale == (b"sip:t0ken@192.0.2.7:5060",)
    assert found.others == (b"sip:desk@192.0.2.20", b"tel:+41441234567", b"mailto:a@b")
    assert not found.rewritten


def test_a_rewritten_contact_is_ours_and_nothing_is_called_stale_then() -> None:
    found = sort_out((Binding(b"sip:t0ken@10.0.0.1:1", 20), Binding(b"sip:t0ken@203.0.113.5:40123", 180)), OURS)
    assert found == (Binding(b"sip:t0ken@203.0.113.5:40123", 180), True, (), ())


def test_other_peoples_bindings_are_not_ours() -> None:
    assert sort_out((Binding(b"sip:desk@192.0.2.9:5060", 60),), OURS).ours is None
    assert sort_out((Binding(b"sip:192.0.2.1", 60),), b"sip:192.0.2.9").ours is None, "no user is nobody's mark"


def test_only_a_contact_with_the_old_public_address_moves() -> None:
    old, new = PublicAddress("203.0.113.5", 5060), PublicAddress("203.0.113.6", 40123)
    assert moved_contact(b"sip:t@203.0.113.5;x=1", old, new) == b"sip:t@203.0.113.6:40123;x=1"
    assert moved_contact(b"sip:t@203.0.113.5:7000", old, new) == b"sip:t@203.0.113.6:7000", "a forwarded port"
    assert moved_contact(b"sip:t@192.168.1.2:5060", old, new) == b"sip:t@192.168.1.2:5060"
    assert moved_contact(b"sip:t@office.example", old, new) == b"sip:t@office.example"
    six = PublicAddress("2001:db8::1", 5060)
    assert moved_contact(b"sip:t@203.0.113.5:5060", old, six) == b"sip:t@[2001:db8::1]:5060"
    assert moved_contact(b"sip:t@[2001:DB8:0::1]:5060", six, old) == b"sip:t@203.0.113.5:5060"


def test_a_contact_that_is_no_sip_uri_is_the_operators_mistake() -> None:
    with pytest.raises(WireError):
        sort_out((), b"office")
