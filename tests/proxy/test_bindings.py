"""What a REGISTER does to the bindings of a PBX: RFC 3261 §10.3, row by row."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.errors import WireError
from sipfailover.flow import Flow, Target
from sipfailover.proxy.bindings import (
    BINDINGS_MAX,
    CONTACTS_MAX,
    Bindings,
    TooBrief,
    alive,
    bind,
    without_stream,
)
from sipfailover.wire import Message

US = b"192.0.2.1:5060"
LONGEST = 600.0


def flow(host: str = "192.0.2.10", port: int = 5060, transport: str = "udp", connection: int = 0) -> Flow:
    return Flow(transport, host, port, US, "", connection)


PHONE = flow()


def register(
    *contacts: str, expires: str | None = None, cseq: int = 1, call_id: str = "one", via: str = "192.0.2.10:5060",
    to: str = "sip:100@carrier.example", path: tuple[str, ...] = (),
) -> Message:  # fmt: skip
    lines = [
        "REGISTER sip:carrier.example SIP/2.0",
        f"Via: SIP/2.0/UDP {via};branch=z9hG4bK1;rport",
        f"From: <{to}>;tag=1",
        f"To: <{to}>",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq} REGISTER",
        *(f"Path: {one}" for one in path),
        *(f"Contact: {one}" for one in contacts),
    ]
    if expires is not None:
        lines.append(f"Expires: {expires}")
    return Message("\r\n".join([*lines, "", ""]).encode())


A, B = "<sip:100@192.0.2.10:5060>", "<sip:100@192.0.2.10:5070>"


def bound(bindings: Bindings, message: Message, at: Flow = PHONE, now: float = 0.0) -> Bindings:
    return bind(bindings, message, at, LONGEST, now)


def contacts(bindings: Bindings) -> list[str]:
    return [binding.contact.decode() for binding in bindings]


class TestTimes:
    @pytest.mark.parametrize(
        ("contact", "expires", "granted"),
        [
            (A, "300", 300),
            (A + ";expires=120", "300", 120),
            (A, None, LONGEST),
            (A, "99999", LONGEST),
            (A, "4294967295", LONGEST),
            (A, "60", 60),
            (A, "soon", LONGEST),
            (A + ";expires=soon", "300", 300),
            (A, "9" * 400, LONGEST),
        ],
    )
    def test_what_is_granted(self, contact: str, expires: str | None, granted: float) -> None:
        (binding,) = bound((), register(contact, expires=expires), now=1000.0)
        assert binding.expires_at == 1000.0 + granted
        assert binding.to_bytes(1000.0) == b"<sip:100@192.0.2.10:5060>;expires=%d" % granted

    @pytest.mark.parametrize("expires", ["1", "59"])
    def test_too_brief_is_refused_and_nothing_of_the_request_is_done(self, expires: str) -> None:
        with pytest.raises(TooBrief) as caught:
            bound((), register(B, f"{A};expires={expires}", expires="300"))
        assert caught.value.status == 423

    def test_time_passes(self) -> None:
        both = bound(bound((), register(A, expires="100")), register(B, expires="200", call_id="two"))
        assert len(alive(both, 99.9)) == 2
        assert contacts(alive(both, 100.0)) == ["sip:100@192.0.2.10:5070"]
        assert alive(both, 200.0) == ()
        assert both[0].to_bytes(199.9).endswith(b"expires=1")


class TestRemoving:
    def test_expires_0_removes_that_contact_only(self) -> None:
        both = bound(bound((), register(A)), register(B, cseq=2))
        assert contacts(bound(both, register(A, expires="0", cseq=3))) == ["sip:100@192.0.2.10:5070"]
        assert contacts(bound(both, register(A + ";expires=0", cseq=3))) == ["sip:100@192.0.2.10:5070"]
        assert bound((), register(A, expires="0")) == ()

    def test_a_star_with_expires_0_removes_all(self) -> None:
        both = bound(bound((), register(A)), register(B, cseq=2))
        assert bound(both, register("*", expires="0", cseq=3)) == ()
        assert bound(both, register("*", expires="0", call_id="restarted")) == ()

    @pytest.mark.parametrize(
        ("values", "expires"), [(("*",), None), (("*",), "60"), (("*",), "x"), (("*", A), "0"), (("*, " + A,), "0")]
    )
    def test_a_star_in_any_other_way_is_an_error(self, values: tuple[str, ...], expires: str | None) -> None:
        with pytest.raises(WireError) as caught:
            bound(bound((), register(A)), register(*values, expires=expires, cseq=2))
        assert caught.value.status == 400

    def test_another_address_of_record_keeps_its_own(self) -> None:
        both = bound(bound((), register(A)), register(B, to="sip:101@carrier.example", call_id="two"))
        assert contacts(bound(both, register("*", expires="0", cseq=2))) == ["sip:100@192.0.2.10:5070"]

    def test_the_domain_of_the_address_of_record_does_not_matter(self) -> None:
        one = bound((), register(A))
        assert bound(one, register(A, expires="0", to="sip:100@192.0.2.1", cseq=2)) == ()

    def test_without_a_contact_nothing_changes(self) -> None:
        one = bound((), register(A))
        assert bound(one, register(cseq=2)) == one


class TestOrder:
    @pytest.mark.parametrize("cseq", [4, 5])
    @pytest.mark.parametrize("what", [A, A + ";expires=0", "*"])
    def test_what_is_not_newer_within_one_call_id_is_refused(self, cseq: int, what: str) -> None:
        one = bound((), register(A, cseq=5))
        with pytest.raises(WireError) as caught:
            bound(one, register(what, expires="0" if what == "*" else "300", cseq=cseq))
        assert caught.value.status == 500

    def test_another_call_id_begins_anew(self) -> None:
        one = bound((), register(A, cseq=5))
        (again,) = bound(one, register(A, cseq=1, call_id="restarted"), now=10.0)
        assert (again.call_id, again.cseq, again.expires_at) == (b"restarted", 1, 10.0 + LONGEST)

    def test_one_contact_out_of_order_stops_the_others(self) -> None:
        one = bound((), register(A, cseq=5))
        with pytest.raises(WireError):
            bound(one, register(B, A, cseq=5))

    def test_twice_the_same_contact_in_one_request_is_merely_ugly(self) -> None:
        assert len(bound((), register(A, A))) == 1


class TestWhichIsFirst:
    def test_the_newest_is_first_and_a_refresh_leaves_the_order(self) -> None:
        both = bound(bound((), register(A)), register(B, call_id="two"))
        assert contacts(both) == ["sip:100@192.0.2.10:5070", "sip:100@192.0.2.10:5060"]
        again = bound(both, register(A, cseq=2), now=5.0)
        assert contacts(again) == contacts(both)
        assert [one.since for one in again] == [0.0, 0.0]

    def test_one_that_moves_is_new(self) -> None:
        both = bound(bound((), register(A)), register(B, call_id="two"))
        moved = bound(both, register(A, cseq=2, via="10.0.0.1:5060"), flow(port=40001), now=5.0)
        assert contacts(moved)[0] == "sip:100@192.0.2.10:5060"
        assert (moved[0].target.port, moved[0].since) == (40001, 5.0)

    def test_the_number_of_contacts_has_a_bound_and_the_newest_stay(self) -> None:
        bindings: Bindings = ()
        for number in range(BINDINGS_MAX + 3):
            bindings = bound(bindings, register(f"<sip:100@192.0.2.10:{6000 + number}>", cseq=number))
        assert len(bindings) == BINDINGS_MAX
        assert bindings[0].contact == b"sip:100@192.0.2.10:%d" % (6000 + BINDINGS_MAX + 2)

    def test_too_many_contacts_in_one_request_are_refused(self) -> None:
        with pytest.raises(WireError):
            bound((), register(*[f"<sip:100@h{number}>" for number in range(CONTACTS_MAX + 1)]))

    def test_the_same_device_at_another_place_has_one_binding(self) -> None:
        device = ';+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"'
        one = bound((), register(A + device))
        assert contacts(bound(one, register(B + device, call_id="x"))) == ["sip:100@192.0.2.10:5070"]
        assert len(bound(one, register(B + device + ";reg-id=2", call_id="x"))) == 2

    def test_contacts_are_compared_as_uris(self) -> None:
        one = bound((), register("<sip:100@PBX.lan;line=a>"))
        assert len(bound(one, register("<sip:100@pbx.lan;line=a;x=y>", cseq=2))) == 1
        assert len(bound(one, register("<sip:100@pbx.lan;line=b>", cseq=2))) == 2


class TestTheWay:
    @pytest.mark.parametrize(
        ("contact", "via", "at", "goes_to"),
        [
            (A, "192.0.2.10:5060", PHONE, "udp 192.0.2.10:5060"),
            (B, "192.0.2.10:5060", PHONE, "udp 192.0.2.10:5070"),
            ("<sip:100@192.0.2.20>", "192.0.2.10", PHONE, "udp 192.0.2.20:5060"),
            ("<sip:100@10.0.0.5:5060>", "10.0.0.5:5060", flow("85.7.8.9", 40001), "udp 85.7.8.9:40001"),
            ("<sip:100@10.0.0.5:5060>", "85.7.8.9:5060", flow("85.7.8.9", 40001), "udp 85.7.8.9:40001"),
            ("<sip:100@pbx.lan>", "pbx.lan", PHONE, "udp 192.0.2.10:5060"),
            ("<sip:100@127.0.0.1>", "192.0.2.10", PHONE, "udp 192.0.2.10:5060"),
            ("<sip:100@192.0.2.1:5060>", "192.0.2.10", PHONE, "udp 192.0.2.10:5060"),
            ("<sip:100@192.0.2.10:5060;transport=tcp>", "192.0.2.10", PHONE, "udp 192.0.2.10:5060"),
            ("<sip:100@[2001:db8::5]>", "192.0.2.10", PHONE, "udp 192.0.2.10:5060"),
        ],
        ids=["its Contact", "another port", "another host", "NAT", "NAT that mends Via", "a name", "127.0.0.1",
             "our own address", "another transport", "another family"],
    )  # fmt: skip
    def test_where_calls_go(self, contact: str, via: str, at: Flow, goes_to: str) -> None:
        (binding,) = bound((), register(contact, via=via), at)
        assert str(binding.target) == goes_to
        assert binding.behind_nat == (goes_to.split()[1].split(":")[0] not in contact)
        assert binding.target.sent_by == US
        assert type(binding.target) is Target

    def test_a_proxy_that_wants_to_be_on_the_way_is(self) -> None:
        message = register("<sip:100@10.0.0.5>", path=("<sip:192.0.2.10:5080;lr>", "<sip:10.0.0.1;lr>"))
        (binding,) = bound((), message)
        assert binding.path == (b"<sip:192.0.2.10:5080;lr>", b"<sip:10.0.0.1;lr>")
        assert str(binding.target) == "udp 192.0.2.10:5080"

    def test_over_a_stream_it_is_that_stream_while_it_lives(self) -> None:
        stream = flow(port=40001, transport="tcp", connection=7)
        (binding,) = bound((), register("<sip:100@192.0.2.10:5060;transport=tcp>"), stream)
        assert binding.target == stream
        assert without_stream((binding,), 8) == (binding,)
        (left,) = without_stream((binding,), 7)
        assert str(left.target) == "tcp 192.0.2.10:5060"
        assert type(left.target) is Target
        assert without_stream((left,), 7) == (left,)

    def test_behind_nat_there_is_no_other_way_than_its_stream(self) -> None:
        stream = flow("85.7.8.9", 40001, "tcp", 7)
        (binding,) = bound((), register("<sip:100@10.0.0.5;transport=tcp>", via="10.0.0.5"), stream)
        assert without_stream((binding,), 7) == ()

    def test_a_contact_without_port_that_is_the_stream_itself_has_no_other_way(self) -> None:
        stream = flow(port=40001, transport="tcp", connection=7)
        (binding,) = bound((), register("<sip:100@192.0.2.10:40001;transport=tcp>"), stream)
        assert without_stream((binding,), 7) == ()


class TestTheContact:
    URI = "sip:asterisk@192.0.2.10:5060;line=gzxiauo;x-ast-orig-host=10.0.0.5:5060;ob"

    def test_all_its_parameters_are_kept(self) -> None:
        (binding,) = bound((), register(f'"Office" <{self.URI}>;q=0.5;+sip.ice'))
        assert binding.uri == self.URI.encode()

    def test_what_cannot_stand_in_a_request_uri_is_left_out_there_and_told_all_the_same(self) -> None:
        (binding,) = bound((), register("<sip:100@192.0.2.10?Route=%3Csip:x%3E>"))
        assert binding.uri == b"sip:100@192.0.2.10"
        assert binding.to_bytes(0.0).startswith(b"<sip:100@192.0.2.10?Route=%3Csip:x%3E>;")

    @pytest.mark.parametrize(
        "contact", ["<tel:+41443210000>", "<mailto:a@b.ch>", "<sip:>", "x", "<sip:a b@c>", "<sip:a"]
    )
    def test_a_contact_that_nobody_could_call_is_refused(self, contact: str) -> None:
        with pytest.raises(WireError) as caught:
            bound((), register(contact))
        assert caught.value.status == 400

    def test_so_is_an_address_of_record_without_a_host(self) -> None:
        with pytest.raises(WireError):
            bound((), register(A, to="tel:+41443210000"))


@given(
    st.lists(
        st.tuples(
            st.sampled_from([A, B, A + ";expires=0", B + ";expires=90", "*", "<sip:x@y;line=1>", f"<sip:a@b>, {B}"]),
            st.sampled_from([None, "0", "30", "60", "600"]),
            st.integers(1, 6),
            st.sampled_from(["one", "two"]),
            st.floats(0, 400),
        ),
        max_size=30,
    )
)  # fmt: skip
def test_whatever_comes_bindings_are_few_and_lead_somewhere(
    steps: list[tuple[str, str | None, int, str, float]],
) -> None:
    bindings: Bindings = ()
    now = 0.0
    for contact, expires, cseq, call_id, pause in steps:
        now += pause
        before = alive(bindings, now)
        try:
            bindings = bound(before, register(contact, expires=expires, cseq=cseq, call_id=call_id), now=now)
        except WireError:
            bindings = before
        assert len(bindings) <= BINDINGS_MAX
        assert len(set(contacts(bindings))) == len(bindings)
        assert all(now < one.expires_at <= now + LONGEST and one.since <= now for one in bindings)


@pytest.mark.parametrize("nasty", ["%41" * 2600, "x;" + ";".join(f"a{n}" for n in range(1200))])
def test_a_telephone_with_the_longest_contacts_costs_less_than_5_ms_each_time(nasty: str) -> None:
    bindings: Bindings = ()
    for number in range(BINDINGS_MAX):
        bindings = bound(bindings, register(f"<sip:{nasty}{number}@192.0.2.10>", cseq=number + 1))
    assert len(bindings) == BINDINGS_MAX
    message = register(*[f"<sip:{number}@192.0.2.10>" for number in range(CONTACTS_MAX)], cseq=99)
    best = 1.0
    for _ in range(5):
        start = time.perf_counter()
        bound(bindings, message)
        best = min(best, time.perf_counter() - start)
    assert best < 0.005, f"{best * 1000:.1f} ms"
