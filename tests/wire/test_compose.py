"""Messages of our own, against RFC 3261 §8.1.1, §8.2.6, §9.1, §17.1.1.3, §18.2.1 and RFC 3581."""

import pytest

from sipfailover.errors import WireError
from sipfailover.wire import Message, Via, compose

BASIC = {
    "via": b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKus;rport",
    "from_": b'"Us" <sip:us@192.0.2.1>;tag=1',
    "to": b"<sip:them@192.0.2.2>",
    "call_id": b"abc",
    "cseq": 7,
}


def asked(*lines: bytes, start: bytes = b"OPTIONS sip:us SIP/2.0", to: bytes = b"To: <sip:us>") -> Message:
    """A request that begins with these Via lines."""
    method = start.split()[0]
    return Message(
        b"\r\n".join(
            (start, *lines, b"Max-Forwards: 70", b"f: <sip:a@b>;tag=1", to, b"i: x", b"cseq:  3 " + method, b"", b"")
        )
    )


class TestRequest:
    def test_request_has_what_it_must_have_in_good_order(self) -> None:
        assert compose.request(b"OPTIONS", b"sip:them", **BASIC) == (  # type: ignore[arg-type]
            b"OPTIONS sip:them SIP/2.0\r\n"
            b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKus;rport\r\n"
            b"Max-Forwards: 70\r\n"
            b'From: "Us" <sip:us@192.0.2.1>;tag=1\r\n'
            b"To: <sip:them@192.0.2.2>\r\n"
            b"Call-ID: abc\r\n"
            b"CSeq: 7 OPTIONS\r\n"
            b"Content-Length: 0\r\n\r\n"
        )

    def test_request_reads_back_as_it_was_meant(self) -> None:
        message = Message(
            compose.request(
                b"INVITE",
                b"sip:them",
                **BASIC,  # type: ignore[arg-type]
                contact=b"<sip:us@192.0.2.1>",
                max_forwards=5,
                routes=[b"<sip:one;lr>", b"<sip:two;lr>"],
                headers=[(b"x-office", b"Bern"), (b"content-type", b"application/sdp")],
                body=b"v=0\r\n",
            )
        )
        assert (message.method, message.uri, message.max_forwards) == (b"INVITE", b"sip:them", 5)
        assert (message.cseq, message.cseq_method, message.call_id) == (7, b"INVITE", b"abc")
        assert message.values(b"route") == [b"<sip:one;lr>", b"<sip:two;lr>"]
        assert message.first[b"x-office"] == b"X-Office: Bern"
        assert message.first[b"contact"] == b"Contact: <sip:us@192.0.2.1>"
        assert message.body == b"v=0\r\n"
        assert message.get(b"content-length") == b"5"

    @pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
    @pytest.mark.parametrize("sent_by", [b"192.0.2.1:5060", b"[2001:db8::9]:5061", b"sbc.example.com"])
    def test_via_of_ours_asks_for_rport(self, transport: str, sent_by: bytes) -> None:
        via = Via.parse(compose.via_value(transport, sent_by, b"z9hG4bKx"))
        assert (via.transport, via.sent_by) == (transport.upper().encode(), sent_by)
        assert (via.branch, via.rport) == (b"z9hG4bKx", b"")


class TestAnswer:
    VIA = b"Via: SIP/2.0/UDP 192.0.2.2;branch=z9hG4bK1"

    def test_answer_copies_what_it_must_copy(self) -> None:
        """§8.2.6.2: all Via in order, From, To, Call-ID, CSeq, each as it came."""
        message = asked(self.VIA, b"v : SIP/2.0/TCP b,\r\n SIP/2.0/UDP c", b"VIA: SIP/2.0/UDP d")
        assert compose.response(message, 486, to_tag=b"9", headers=[(b"x-a", b"1")], body=b"hm") == (
            b"SIP/2.0 486 Busy Here\r\n"
            + self.VIA
            + b"\r\nv : SIP/2.0/TCP b,\r\n SIP/2.0/UDP c\r\nVIA: SIP/2.0/UDP d\r\n"
            b"f: <sip:a@b>;tag=1\r\ni: x\r\ncseq:  3 OPTIONS\r\nTo: <sip:us>;tag=9\r\nX-A: 1\r\n"
            b"Content-Length: 2\r\n\r\nhm"
        )

    def test_answer_says_what_it_is_told(self) -> None:
        answer = Message(compose.response(asked(self.VIA), 404, b"Nobody here"))
        assert (answer.status, answer.reason, answer.to_tag) == (404, b"Nobody here", b"")
        assert answer.cseq_method == b"OPTIONS"

    @pytest.mark.parametrize(
        ("to", "line"),
        [
            (b"To: <sip:us>", b"To: <sip:us>;tag=9"),
            (b"t:sip:us", b"t:sip:us;tag=9"),
            (b"To: <sip:us>;x=y", b"To: <sip:us>;x=y;tag=9"),
            (b"To: <sip:us;tag=no>", b"To: <sip:us;tag=no>;tag=9"),
            (b"To: <sip:us>;tag=5", b"To: <sip:us>;tag=5"),
            (b"To: <sip:us>;x;TAG = 5", b"To: <sip:us>;x;TAG = 5"),
            (b'To: ";tag=5" <sip:us>', b'To: ";tag=5" <sip:us>;tag=9'),
        ],
    )
    def test_tag_goes_on_a_to_that_has_none(self, to: bytes, line: bytes) -> None:
        assert compose.to_line(asked(self.VIA, to=to), b"9") == line
        assert compose.to_line(asked(self.VIA, to=to), b"") == to

    def test_prepared_lines_make_the_same_answer(self) -> None:
        message = asked(self.VIA)
        lines, to = compose.reply_lines(message), compose.to_line(message, b"9")
        assert compose.reply(486, b"", lines, to) == compose.response(message, 486, to_tag=b"9")


STAMPS = [
    # (Via line, source address, source port, line in the answer)
    # §18.2.1: nothing to say where sent-by has the address, and nobody asked for the port
    (b"Via: SIP/2.0/UDP 192.0.2.2;branch=z", b"192.0.2.2", 9, b"Via: SIP/2.0/UDP 192.0.2.2;branch=z"),
    (b"v:SIP/2.0/UDP  [2001:db8::2]:5060;branch=z", b"2001:db8::2", 9, b"v:SIP/2.0/UDP  [2001:db8::2]:5060;branch=z"),
    # … and `received` where it is another one, or a name
    (b"Via: SIP/2.0/UDP 10.0.0.1:5070;branch=z", b"192.0.2.2", 9,
     b"Via: SIP/2.0/UDP 10.0.0.1:5070;branch=z;received=192.0.2.2"),
    (b"Via: SIP/2.0/UDP pbx.example.com;branch=z", b"192.0.2.2", 9,
     b"Via: SIP/2.0/UDP pbx.example.com;branch=z;received=192.0.2.2"),
    # RFC 3581 §4: who asks for rport gets both, whatever sent-by says
    (b"Via: SIP/2.0/UDP 192.0.2.2:5060;rport;branch=z", b"192.0.2.2", 9,
     b"Via: SIP/2.0/UDP 192.0.2.2:5060;branch=z;rport=9;received=192.0.2.2"),
    (b"Via: SIP/2.0/UDP 10.0.0.1;branch=z;RPORT", b"192.0.2.2", 65535,
     b"Via: SIP/2.0/UDP 10.0.0.1;branch=z;rport=65535;received=192.0.2.2"),
    # §25.1: IPv6address without brackets in received; RFC 5118 §4.5 asks readers to take both
    (b"Via: SIP/2.0/UDP [2001:db8::9]:5060;branch=z;rport", b"2001:db8::2", 9,
     b"Via: SIP/2.0/UDP [2001:db8::9]:5060;branch=z;rport=9;received=2001:db8::2"),
    # What the sender claims about itself gives way to what was seen
    (b"Via: SIP/2.0/UDP 192.0.2.2;received=6.6.6.6;branch=z", b"192.0.2.2", 9,
     b"Via: SIP/2.0/UDP 192.0.2.2;branch=z;received=192.0.2.2"),
    (b"Via: SIP/2.0/UDP 10.0.0.1;rport=1;received=[::1];branch=z", b"192.0.2.2", 9,
     b"Via: SIP/2.0/UDP 10.0.0.1;branch=z;rport=9;received=192.0.2.2"),
    # Quotes hide semicolons
    (b'Via: SIP/2.0/UDP 10.0.0.1;x="a;rport=1,;received=b";rport;branch=z', b"192.0.2.2", 9,
     b'Via: SIP/2.0/UDP 10.0.0.1;x="a;rport=1,;received=b";branch=z;rport=9;received=192.0.2.2'),
    # Several on one line: the first is the sender's, the others are nobody's to touch
    (b"Via: SIP / 2.0 / UDP 10.0.0.1;rport;branch = z ,SIP/2.0/TCP b;rport,\r\n  SIP/2.0/UDP c;received=1.1.1.1",
     b"192.0.2.2", 9,
     b"Via: SIP/2.0/UDP 10.0.0.1;branch = z;rport=9;received=192.0.2.2, SIP/2.0/TCP b;rport, "
     b"SIP/2.0/UDP c;received=1.1.1.1"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "address", "port", "stamped"), STAMPS)
def test_received_and_rport_are_what_was_seen(line: bytes, address: bytes, port: int, stamped: bytes) -> None:
    message = asked(line, b"v: SIP/2.0/UDP last;rport")
    assert compose.stamped(message, address, port) == stamped
    lines = compose.reply_lines(message, address, port)
    assert lines == stamped + b"\r\nv: SIP/2.0/UDP last;rport\r\nf: <sip:a@b>;tag=1\r\ni: x\r\ncseq:  3 OPTIONS"
    answer = Message(compose.reply(200, b"", lines, b"To: <sip:us>;tag=1"))
    assert answer.via.branch == b"z"
    assert answer.via.received in (None, address)
    assert len(answer.values(b"via")) == len(message.values(b"via"))


class TestHopByHop:
    INVITE = compose.request(
        b"INVITE",
        b"sip:them@192.0.2.2;x",
        via=b"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKus;rport",
        from_=b"<sip:us@192.0.2.1>;tag=1",
        to=b"<sip:them@192.0.2.2>",
        call_id=b"abc",
        cseq=7,
        contact=b"<sip:us@192.0.2.1>",
        routes=[b"<sip:one;lr>", b"<sip:two;lr>"],
        headers=[(b"proxy-authorization", b"Digest x"), (b"require", b"100rel"), (b"content-type", b"a/b")],
        body=b"v=0",
    )
    LINES = (
        b"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKus;rport\r\nMax-Forwards: 70\r\n"
        b"Route: <sip:one;lr>\r\nRoute: <sip:two;lr>\r\nFrom: <sip:us@192.0.2.1>;tag=1\r\n"
    )

    def test_ack_takes_to_from_the_answer_and_the_rest_from_the_invite(self) -> None:
        """§17.1.1.3."""
        final = Message(
            b"SIP/2.0 486 Busy\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKus;rport=5;received=9.9.9.9\r\n"
            b"From: <sip:us@192.0.2.1>;tag=1\r\nt:\r\n <sip:them@192.0.2.2>;tag=2\r\nCall-ID: abc\r\n"
            b"CSeq: 7 INVITE\r\n\r\n"
        )
        assert compose.ack(Message(self.INVITE), final) == (
            b"ACK sip:them@192.0.2.2;x SIP/2.0\r\n" + self.LINES + b"t:\r\n <sip:them@192.0.2.2>;tag=2\r\n"
            b"Call-ID: abc\r\nCSeq: 7 ACK\r\nContent-Length: 0\r\n\r\n"
        )

    def test_cancel_is_the_invite_without_its_business(self) -> None:
        """§9.1: the To as it was sent; no Require and no Proxy-Require."""
        assert compose.cancel(Message(self.INVITE)) == (
            b"CANCEL sip:them@192.0.2.2;x SIP/2.0\r\n" + self.LINES + b"To: <sip:them@192.0.2.2>\r\n"
            b"Call-ID: abc\r\nCSeq: 7 CANCEL\r\nContent-Length: 0\r\n\r\n"
        )


class TestRefusal:
    LINES = b"Via: SIP/2.0/UDP h\r\nFrom: <a>\r\nTo: b\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\n"

    def test_what_can_be_read_is_enough_for_an_answer(self) -> None:
        raw = (
            b"\r\nOPTIONS  nonsense\r\nv: 1\r\nMax-Forwards: x\r\n" + self.LINES + b"F: 2\r\nvia : 3\r\n 4\r\n\r\nbody"
        )
        assert compose.refusal(raw, 400, b"not a request line: b'OPTIONS  nonsense'") == (
            b"SIP/2.0 400 not a request line: b'OPTIONS nonsense'\r\nv: 1\r\nVia: SIP/2.0/UDP h\r\nvia : 3  4\r\n"
            b"From: <a>\r\nTo: b\r\nCall-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
        )

    @pytest.mark.parametrize(
        "start",
        [
            b"ACK sip:a SIP/2.0",
            b"ACK",
            b"ACK\tsip:a",
            b"ACK  x",
            b"SIP/2.0 200 OK",
            b"sip/2.0",
            b"SIP/3.0 999",
            b"SIP/",
        ],
    )
    def test_ack_and_responses_are_never_answered(self, start: bytes) -> None:
        assert compose.refusal(start + b"\r\n" + self.LINES + b"\r\n", 400, b"no") is None

    @pytest.mark.parametrize("cseq", [b"CSeq: 1 ACK", b"CSeq:1\tACK ", b"cseq: x ACK"])
    def test_ack_in_the_cseq_is_never_answered(self, cseq: bytes) -> None:
        lines = self.LINES.replace(b"CSeq: 1 OPTIONS", cseq)
        assert compose.refusal(b"INVITE sip:a SIP/2.0\r\n" + lines + b"\r\n", 400, b"no") is None

    @pytest.mark.parametrize("missing", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
    def test_nobody_is_answered_without_the_lines_an_answer_needs(self, missing: bytes) -> None:
        raw = b"OPTIONS x\r\n" + self.LINES + b"\r\n"
        assert compose.refusal(raw, 400, b"no")
        assert compose.refusal(raw.replace(missing + b":", b"X:"), 400, b"no") is None
        assert compose.refusal(raw.replace(missing + b":", missing + b" "), 400, b"no") is None

    @pytest.mark.parametrize("byte", [b"\r", b"\n", b"\0", b"\x0b", b"\x7f", b"\rX: y", b"\nX: y", b"\n\n"])
    @pytest.mark.parametrize("place", [b"sip/2.0/udp h", b"<a>", b"b\r", b" c\r", b"1 OPTIONS"])
    def test_bytes_that_could_begin_a_line_are_not_sent_back(self, place: bytes, byte: bytes) -> None:
        lines = self.LINES.replace(b"SIP/2.0/UDP h", b"sip/2.0/udp h")
        assert place in lines
        raw = b"OPTIONS x\r\n" + lines.replace(place, place[:1] + byte + place[1:]) + b"\r\n"
        answer = compose.refusal(raw, 400, b"no")
        assert answer is None or not set(answer.replace(b"\r\n", b"")) & set(b"\r\n\0\x0b\x7f")
        assert answer is None or b"\r\nX:" not in answer

    @pytest.mark.parametrize("reason", [b"a\r\nX: y", b"a\nX: y\r", b"\r\n\r\nINVITE", b"", b"  a  b "])
    def test_reason_stays_on_its_line(self, reason: bytes) -> None:
        answer = compose.refusal(b"OPTIONS x\r\n" + self.LINES + b"\r\n", 400, reason)
        assert answer is not None
        start, _, rest = answer.partition(b"\r\n")
        assert start == b"SIP/2.0 400 " + b" ".join(reason.split())
        assert rest == self.LINES + b"Content-Length: 0\r\n\r\n"

    def test_answer_to_a_message_that_was_refused_can_be_read(self) -> None:
        raw = (
            b"OPTIONS sip:us SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a>;tag=1\r\nTo: <sip:b>\r\n"
            b"Call-ID: c\r\nCSeq: 1 OPTIONS\r\nContent-Length: -999\r\n\r\n"
        )
        with pytest.raises(WireError) as caught:
            Message(raw)
        answer = compose.refusal(raw, caught.value.status, caught.value.text.encode())
        assert answer is not None
        assert Message(answer).reason == b"Content-Length is not a number: b'-999'"

    @pytest.mark.parametrize(
        "raw", [b"", b"\r\n", b"\r\n\r\n", b"\0", b":", b"\r", b"\r\n ", b" \r\n:\r\n\r\n", b"\xff" * 99]
    )
    def test_bytes_that_mean_nothing_are_not_answered(self, raw: bytes) -> None:
        assert compose.refusal(raw, 400, b"no") is None

    def test_lines_are_bounded(self) -> None:
        assert compose.refusal(b"OPTIONS x\r\n" + b"X: y\r\n" * 300 + self.LINES + b"\r\n", 400, b"no") is None
        assert compose.refusal(b"OPTIONS x\r\n" + self.LINES + b"X: y\r\n" * 9000, 513, b"no")
