"""Messages as views: strict where two parsers could differ, tolerant where one is merely ugly."""

import re

import pytest

from sipfailover.errors import WireError
from sipfailover.wire import Message, NameAddr, value_of
from sipfailover.wire.limits import MAX_CSEQ, MAX_HEADER_LINES, MAX_LINE_BYTES, MAX_MESSAGE_BYTES
from sipfailover.wire.message import tag_of

START = b"INVITE sip:+41443210019@192.0.2.1;user=phone SIP/2.0"
LINES = (
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK74bf9;rport",
    b"Max-Forwards: 70",
    b'From: "Office" <sip:+41441112233@192.0.2.10>;tag=9fxced76sl',
    b"To: <sip:+41443210019@192.0.2.1>",
    b"Call-ID: 3848276298220188511@192.0.2.10",
    b"CSeq: 2 INVITE",
    b"Contact: <sip:+41441112233@192.0.2.10:5060>",
)
ANSWER = b"SIP/2.0 200 OK"


def raw(*more: bytes, start: bytes = START, without: bytes = b"", body: bytes = b"") -> bytes:
    """The usual INVITE with these lines more, without the line that begins so."""
    kept = [line for line in LINES if not without or not line.startswith(without)]
    return b"\r\n".join((start, *kept, *more)) + b"\r\n\r\n" + body


def refused(data: bytes, status: int = 400) -> str:
    """The reason why these bytes are refused."""
    with pytest.raises(WireError) as caught:
        Message(data)
    assert caught.value.status == status, caught.value.text
    assert not re.search(r"[\r\n\0]", caught.value.text), "the text may go into a reason phrase"
    return caught.value.text


class TestRead:
    def test_request_is_taken_apart(self) -> None:
        message = Message(raw(b"Content-Length: 4", body=b"v=0\n"))
        assert (message.method, message.uri) == (b"INVITE", b"sip:+41443210019@192.0.2.1;user=phone")
        assert (message.status, message.reason) == (0, b"")
        assert message.call_id == b"3848276298220188511@192.0.2.10"
        assert (message.cseq, message.cseq_method) == (2, b"INVITE")
        assert message.via.branch == b"z9hG4bK74bf9"
        assert message.from_.uri == b"sip:+41441112233@192.0.2.10"
        assert message.to.uri == b"sip:+41443210019@192.0.2.1"
        assert (message.from_tag, message.to_tag) == (b"9fxced76sl", b"")
        assert message.contact is not None
        assert message.contact.uri == b"sip:+41441112233@192.0.2.10:5060"
        assert message.max_forwards == 70
        assert message.body == b"v=0\n"

    def test_response_is_taken_apart(self) -> None:
        message = Message(raw(start=b"SIP/2.0 486 Busy Here, sorry"))
        assert (message.status, message.reason) == (486, b"Busy Here, sorry")
        assert (message.method, message.uri) == (b"", b"")

    def test_fields_and_first_show_the_lines_as_they_came(self) -> None:
        message = Message(raw(b"x-a:1", b"X-A : 2"))
        assert [line for _, line in message.fields] == [*LINES, b"x-a:1", b"X-A : 2"]
        assert message.first[b"x-a"] == b"x-a:1"
        assert message.lines(b"x-a") == [b"x-a:1", b"X-A : 2"]
        assert message.get(b"x-a") == b"1"
        assert message.get(b"x-b") is None
        assert message.lines(b"x-b") == message.values(b"x-b") == []

    def test_list_header_is_read_over_all_its_lines(self) -> None:
        message = Message(raw(b'Route: <sip:a;lr>, "x,y" <sip:b>', b"ROUTE:<sip:c,d>,,", b"Route:"))
        assert message.values(b"route") == [b"<sip:a;lr>", b'"x,y" <sip:b>', b"<sip:c,d>"]

    def test_repr_tells_what_it_is(self) -> None:
        assert "INVITE" in repr(Message(raw()))
        assert "200 OK" in repr(Message(raw(start=ANSWER)))

    @pytest.mark.parametrize("status", [100, 199, 200, 404, 699])
    def test_every_status_of_the_six_classes_is_read(self, status: int) -> None:
        assert Message(raw(start=b"SIP/2.0 %d x" % status)).status == status


class TestUgly:
    """What goes through, and how it reads."""

    def test_empty_lines_before_a_message_mean_nothing(self) -> None:
        assert Message(b"\r\n\r\n\n" + raw()).method == b"INVITE"

    @pytest.mark.parametrize("start", [b"SIP/2.0 200", b"SIP/2.0 200 ", b"sip/2.0 200 OK", b"Sip/2.0 200 \xe9t\xe9"])
    def test_status_line_without_phrase_or_in_odd_capitals_is_read(self, start: bytes) -> None:
        assert Message(raw(start=start)).status == 200

    def test_version_in_odd_capitals_is_read(self) -> None:
        assert Message(raw(start=b"INVITE sip:a@b sip/2.0")).uri == b"sip:a@b"

    @pytest.mark.parametrize("name", [b"Caf\xe9", "Zürich".encode(), b'"\xff\xfe"'])
    def test_latin_1_and_utf_8_stay_as_written(self, name: bytes) -> None:
        message = Message(raw(b"From: " + name + b" <sip:a@b>;tag=1", without=b"From"))
        assert message.from_.display == name
        assert message.from_tag == b"1"

    def test_compact_forms_are_the_same_headers(self) -> None:
        message = Message(
            b"OPTIONS sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP h;branch=z9hG4bK1\r\nF: <sip:a@b>;tag=1\r\nt:<sip:c@d>\r\n"
            b"i: x\r\nCSEQ: 1 OPTIONS\r\nm: <sip:a@h>\r\nL: 0\r\nk: timer\r\ns: s\r\n\r\n"
        )
        assert message.call_id == b"x"
        assert set(message.first) == {
            b"via", b"from", b"to", b"call-id", b"cseq", b"contact", b"content-length", b"supported", b"subject",
        }  # fmt: skip

    @pytest.mark.parametrize("colon", [b" :", b"\t:", b"   :  ", b":"])
    @pytest.mark.parametrize("name", [b"Call-ID", b"call-id", b"CALL-ID", b"Call-Id", b"cAlL-iD", b"i", b"I"])
    def test_blanks_around_the_colon_and_odd_capitals_are_read(self, name: bytes, colon: bytes) -> None:
        assert Message(raw(name + colon + b"abc \t", without=b"Call-ID")).call_id == b"abc"

    def test_folded_lines_are_one_header(self) -> None:
        message = Message(
            raw(b"Subject: one\r\n\ttwo \r\n   three", b"From:\r\n <sip:a@b>\r\n ;tag=7", without=b"From")
        )
        assert message.get(b"subject") == b"one two three"
        assert message.first[b"subject"] == b"Subject: one\r\n\ttwo \r\n   three"
        assert message.from_tag == message.from_.tag == b"7"

    def test_datagram_without_content_length_has_a_body_to_its_end(self) -> None:
        assert Message(raw(body=b"v=0\r\n\r\n\0")).body == b"v=0\r\n\r\n\0"

    def test_surplus_bytes_after_the_body_are_nobodys(self) -> None:
        assert Message(raw(b"l: 3", body=b"abcINVITE sip:b SIP/2.0")).body == b"abc"

    def test_nul_in_a_quoted_pair_stays(self) -> None:
        """RFC 4475 §3.1.1.2."""
        message = Message(raw(b'Contact: "a\\\0b" <sip:a@b>', without=b"Contact"))
        assert message.contact is not None
        assert message.contact.display == b'"a\\\0b"'

    def test_unknown_headers_may_come_twice_and_be_empty(self) -> None:
        assert Message(raw(b"X-A:", b"X-A: 1", b"Warning:")).lines(b"x-a") == [b"X-A:", b"X-A: 1"]

    @pytest.mark.parametrize(("value", "number"), [(b"0", 0), (b"0068", 68), (b"255", 255)])
    def test_max_forwards_is_a_number(self, value: bytes, number: int) -> None:
        assert Message(raw(b"Max-Forwards: " + value, without=b"Max-F")).max_forwards == number

    def test_max_forwards_may_be_missing(self) -> None:
        assert Message(raw(without=b"Max-F")).max_forwards is None

    @pytest.mark.parametrize("value", [b"", b"-1", b"7o", b"256", b"1" * 5000, b"70 70"])
    def test_max_forwards_that_is_no_number_is_refused_when_read(self, value: bytes) -> None:
        message = Message(raw(b"Max-Forwards: " + value, without=b"Max-F"))
        with pytest.raises(WireError):
            _ = message.max_forwards

    @pytest.mark.parametrize(
        ("value", "seconds"), [(b"120", 120.0), (b"18000;duration=3600", 18000.0), (b"5 (busy)", 5.0), (b"soon", 0.0)]
    )
    def test_retry_after_is_seconds_or_nothing(self, value: bytes, seconds: float) -> None:
        assert Message(raw(b"Retry-After: " + value, start=b"SIP/2.0 503 x")).retry_after == seconds

    def test_missing_retry_after_is_no_time(self) -> None:
        assert Message(raw(start=b"SIP/2.0 503 x")).retry_after == 0.0

    @pytest.mark.parametrize("value", [b"*", b"", b" * "])
    def test_star_and_empty_contact_are_none(self, value: bytes) -> None:
        assert Message(raw(b"Contact:" + value, without=b"Contact")).contact is None
        assert Message(raw(without=b"Contact")).contact is None

    def test_first_of_several_contacts_is_the_contact(self) -> None:
        contact = Message(raw(b'm: "a,b" <sip:x@y>;q=1, <sip:z@y>', b"m: <sip:w>", without=b"Contact")).contact
        assert contact == NameAddr(b'"a,b"', b"sip:x@y", b";q=1")


SINGLES = [
    (b"Call-ID: a", b"i: a"),
    (b"CSeq: 2 INVITE", b"cseq : 2 INVITE"),
    (b"From: <sip:a@b>;tag=1", b"f:<sip:a@b>;tag=1"),
    (b"To: <sip:a@b>", b"T: <sip:a@b>"),
    (b"Max-Forwards: 70", b"MAX-forwards: 70"),
    (b"Content-Length: 0", b"l: 0"),
    (b"Content-Length: 0", b"Content-length\t: 0"),
    (b"Content-Type: a/b", b"c: a/b"),
    (b"Subject: x", b"s: x"),
    (b"Event: x", b"o: x"),
    (b"Session-Expires: 90", b"x: 90"),
    (b"Refer-To: <sip:a>", b"r: <sip:a>"),
    (b"Expires: 1", b"EXPIRES: 1"),
]


class TestStrict:
    """What two parsers could read differently is refused."""

    @pytest.mark.parametrize(("one", "other"), SINGLES)
    @pytest.mark.parametrize("turned", [False, True])
    def test_second_single_header_is_refused_in_any_spelling(self, one: bytes, other: bytes, turned: bool) -> None:
        pair = (other, one) if turned else (one, other)
        name = one.partition(b":")[0]
        assert "more than one" in refused(raw(*pair, without=name))
        assert "more than one" in refused(raw(one, one, without=name))

    @pytest.mark.parametrize("missing", [b"Via", b"From", b"To", b"Call-ID", b"CSeq"])
    def test_missing_header_is_named(self, missing: bytes) -> None:
        assert refused(raw(without=missing)) == f"no {missing.decode().lower()}"

    @pytest.mark.parametrize(
        "value", [b"-1", b"+1", b"", b"1 1", b"1,1", b"0x1", b"1.0", b"9" * 11, b"9" * 6000, b"\xb2", b"1;a"]
    )
    def test_content_length_that_is_no_number_is_refused(self, value: bytes) -> None:
        assert "Content-Length" in refused(raw(b"Content-Length: " + value, body=b"x"))

    @pytest.mark.parametrize("value", [b"4", b"9999999999", b"0000000004"])
    def test_body_shorter_than_content_length_is_refused(self, value: bytes) -> None:
        assert "body of 3 bytes" in refused(raw(b"l: " + value, body=b"abc"))

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            (b"\r\nMax", b"\nMax"),
            (b"\r\nMax", b"\rMax"),
            (b"\r\nMax", b"\r\r\nMax"),
            (b"\r\nMax", b"\n\r\nMax"),
            (b"3848276298220188511", b"384\r827"),
            (b"3848276298220188511", b"384\n827"),
            (b"SIP/2.0\r\nVia", b"SIP/2.0\nVia"),
        ],
    )
    def test_bare_cr_or_lf_is_refused(self, old: bytes, new: bytes) -> None:
        assert old in raw()
        assert refused(raw().replace(old, new)) == "a line does not end with CR LF"

    def test_cr_and_lf_in_the_body_are_the_bodys(self) -> None:
        assert Message(raw(b"l: 6", body=b"\r\n\n\r\r\n")).body == b"\r\n\n\r\r\n"

    @pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", START, START + b"\r\n", raw()[:-1], raw()[:-2]])
    def test_message_without_empty_line_is_refused(self, data: bytes) -> None:
        assert refused(data) == "no empty line after the headers"

    def test_start_line_alone_is_refused(self) -> None:
        assert refused(START + b"\r\n\r\n") == "no via"

    @pytest.mark.parametrize("method", [b"ACK", b"invite", b"INVITE2"])
    def test_cseq_of_another_method_is_refused(self, method: bytes) -> None:
        assert "with a CSeq of" in refused(raw(b"CSeq: 2 " + method, without=b"CSeq"))

    def test_cseq_of_a_response_names_the_request(self) -> None:
        assert Message(raw(start=ANSWER)).cseq_method == b"INVITE"

    @pytest.mark.parametrize("value", [b"", b"2", b"INVITE", b"x INVITE", b"-2 INVITE", b"2 INVITE 3", b"2INVITE"])
    def test_cseq_that_is_none_is_refused(self, value: bytes) -> None:
        assert "not a CSeq" in refused(raw(b"CSeq: " + value, without=b"CSeq"))

    def test_cseq_is_less_than_two_to_the_31(self) -> None:
        assert Message(raw(b"CSeq: %d INVITE" % MAX_CSEQ, without=b"CSeq")).cseq == MAX_CSEQ
        assert "2**31" in refused(raw(b"CSeq: %d INVITE" % (MAX_CSEQ + 1), without=b"CSeq"))
        assert "2**31" in refused(raw(b"CSeq: " + b"9" * 6000 + b" INVITE", without=b"CSeq"))

    @pytest.mark.parametrize("value", [b"", b"a b", b"a\tb", b"a\r\n b", b"a\\\0b", b"a\x7fb", b"a\x01"])
    def test_call_id_has_no_blanks_and_controls(self, value: bytes) -> None:
        assert "not a Call-ID" in refused(raw(b"Call-ID: " + value, without=b"Call-ID"))

    @pytest.mark.parametrize("byte", [b"\0", b"\x0b", b"\x0c"])
    @pytest.mark.parametrize(
        "place",
        [
            b"Subject: a%b",
            b"Sub%bject: a",
            b"Content-Length%b: 0",
            b"Content-Length: 0%b",
            b"Content-Length:%b0",
            b'Contact: "a%b" <sip:a@b>',
            b"Route: <sip:a%b@b>",
            b"Z: %b",
        ],
    )
    def test_bytes_that_hide_the_rest_from_some_are_refused(self, place: bytes, byte: bytes) -> None:
        """C strings end at NUL; Python's own strip() takes VT and FF for blanks, other parsers do not."""
        refused(raw(place % byte, without=b"Contact"))
        refused(raw(start=b"INVITE sip:a%bb SIP/2.0" % byte))
        refused(raw(start=b"SIP/2.0 200 O%bK" % byte))

    @pytest.mark.parametrize("line", [b"Routex", b"Fromx", b"l9", b"Subject", b":", b": a"])
    def test_line_without_name_or_colon_is_refused(self, line: bytes) -> None:
        """`Routex` was once read as a Route, because the last byte was cut off where a colon should be."""
        assert "not a header" in refused(raw(b"Z: 1", line, b"Y: 1"))

    @pytest.mark.parametrize(
        "line", [b"a b: c", b"a(b): c", b"a\xe9: c", b"a@b: c", b'"a": c', b"Content-Length\r\n : 0"]
    )
    def test_name_that_is_no_token_is_refused(self, line: bytes) -> None:
        assert "not a header" in refused(raw(line))

    def test_continuation_of_the_start_line_is_refused(self) -> None:
        assert refused(raw().replace(b"\r\nVia", b"\r\n Via")) == "a continuation of no header"

    @pytest.mark.parametrize(
        "start",
        [
            b"INVITE",
            b"INVITE sip:a@b",
            b"INVITE  sip:a@b SIP/2.0",
            b"INVITE sip:a@b  SIP/2.0",
            b"INVITE sip:a@b SIP/2.0 ",
            b"INVITE sip:a b SIP/2.0",
            b"INVITE\tsip:a@b\tSIP/2.0",
            b" INVITE sip:a@b SIP/2.0",
            b"IN(VITE sip:a@b SIP/2.0",
            b"INVITE  SIP/2.0",
            b"GET / HTTP/1.1",
            b"INVITE <sip:a@b> SIP/2.0",
            b"INVITE sip:a@b>;tag=x SIP/2.0",
            b'INVITE sip:"a"@b SIP/2.0',
            b"INVITE sip:a@b\t SIP/2.0",
            b"SIP/2.0",
            b"SIP/2.0  200 OK",
            b"SIP/2.0 20 OK",
            b"SIP/2.0 2000 OK",
            b"SIP/2.0 099 OK",
            b"SIP/2.0 700 OK",
            b"SIP/2.0 +20 OK",
            b"SIP/2.0 4294967301 better not break the receiver",
            b"SIP/2.0 200\tOK",
        ],
    )
    def test_start_line_that_is_none_is_refused(self, start: bytes) -> None:
        refused(raw(start=start))

    @pytest.mark.parametrize("version", [b"SIP/7.0", b"SIP/2.00", b"sip/1.0", b"SIP/"])
    def test_other_version_is_505(self, version: bytes) -> None:
        refused(raw(start=b"INVITE sip:a@b " + version), 505)

    def test_sizes_are_bounded(self) -> None:
        free = MAX_MESSAGE_BYTES - len(raw())
        assert len(Message(raw(body=b"x" * free)).body) == free
        assert len(Message(b"\r\n" + raw(body=b"x" * free)).body) == free
        refused(raw(body=b"x" * (free + 1)), 513)

        lines = [b"Z: 1"] * (MAX_HEADER_LINES - len(LINES))
        assert len(Message(raw(*lines)).fields) == MAX_HEADER_LINES
        refused(raw(*lines, b"Z: 1"), 513)
        refused(raw(*lines[1:], b"Z: 1\r\n 1"), 513)

    @pytest.mark.parametrize("fold", [b"", b"\r\n "])
    def test_long_line_is_refused_folded_or_not(self, fold: bytes) -> None:
        line = b"Z: " + fold
        assert Message(raw(line + b"x" * (MAX_LINE_BYTES - len(line)))).get(b"z")
        refused(raw(line + b"x" * (MAX_LINE_BYTES - len(line) + 1)), 513)
        refused(raw(start=b"INVITE sip:" + b"a" * MAX_LINE_BYTES + b" SIP/2.0"), 513)

    @pytest.mark.parametrize(
        "value",
        [
            b"SIP/2.0/UDP 192.0.2.15;;,;,,",  # RFC 4475 §3.1.2.1: a second value that is none
            b",",
            b"",
            b"SIP/2.0/UDP h;branch=z9hG4bK1, nonsense",
            b"h;branch=z9hG4bK1",
        ],
    )
    def test_via_line_that_cannot_be_read_is_refused_when_read(self, value: bytes) -> None:
        message = Message(raw(b"Via: " + value, without=b"Via"))
        with pytest.raises(WireError):
            _ = message.via

    def test_list_over_many_lines_is_as_long_as_one_line_may_be(self) -> None:
        """64 kB of commas on sixteen lines took 20 ms."""
        line = b"Route: <sip:a;lr>" + b"," * (MAX_LINE_BYTES // 2 - 17)
        assert Message(raw(line, line)).values(b"route") == [b"<sip:a;lr>"] * 2
        with pytest.raises(WireError) as caught:
            Message(raw(line, line + b",")).values(b"route")
        assert caught.value.status == 513

    def test_quote_in_a_via_that_never_closes_is_refused_when_the_branch_is_read(self) -> None:
        via = Message(raw(b'Via: SIP/2.0/UDP h;x="a;branch=z9hG4bK1', without=b"Via")).via
        with pytest.raises(WireError):
            _ = via.branch

    def test_topmost_via_is_the_first_of_its_line(self) -> None:
        two = b'v:\r\n SIP/2.0/TCP a;x=","\r\n ;branch=z9hG4bKa ,SIP/2.0/UDP b'
        assert Message(raw(two, b"Via: SIP/2.0/UDP c", without=b"Via")).via.branch == b"z9hG4bKa"

    @pytest.mark.parametrize("value", [b"<sip:a", b"sip:a?b", b"nonsense", b"", b"sip:a>b", b'"x <sip:a@b>'])
    @pytest.mark.parametrize(("name", "read"), [(b"From", "from_"), (b"To", "to"), (b"Contact", "contact")])
    def test_address_that_cannot_be_read_is_refused_when_read(self, name: bytes, read: str, value: bytes) -> None:
        """From and To at once where their tag cannot be found, which everything else rests on."""
        kept = [line for line in raw().split(b"\r\n") if not line.startswith(name + b":")]
        data = b"\r\n".join([kept[0], name + b": " + value, *kept[1:]])
        if name == b"Contact" and not value:
            assert Message(data).contact is None
            return
        with pytest.raises(WireError):
            getattr(Message(data), read)


NASTY = [
    b"From: <sip:a@b>;tag=1",
    b"From:<sip:a@b> ; tag = 1 ",
    b"From: <sip:a@b>;TAG=1",
    b"From: <sip:a@b>;TAG=1;tag=2",
    b"From: <sip:a@b>;tag =1;tag=2",
    b"From: <sip:a@b>;tag",
    b"From: <sip:a@b>;tag=",
    b"From: <sip:a@b>;tag;tag=2",
    b"From: <sip:a@b>;tag=;tag=2",
    b"From: <sip:a@b>;x=1;tag=2;y=3",
    b"From: <sip:a@b>;xtag=1;tag=2",
    b"From: <sip:a@b>;tagx=1",
    b"From: <sip:a@b>;;tag=1;",
    b"From: <sip:a@b;tag=no>",
    b"From: <sip:a@b;tag=no>;tag=1",
    b"From: sip:a@b;tag=1",
    b"From: sip:a@b;x;tag=1;y",
    b"From: sip:a@b",
    b'From: ";tag=no" <sip:a@b>;tag=1',
    b'From: ";tag=no" <sip:a@b>',
    b'From: "<sip:no@x>;tag=no" <sip:a@b>;tag=1',
    b'From: "<sip:no@x>;tag=no" <sip:a@b>',
    b'From: "a\\"<sip:no@x>;tag=no" <sip:a@b>;tag=1',
    b'From: "a\\\\" <sip:a@b>;tag=1',
    b'From: <sip:a@b>;x=";tag=no";tag=1',
    b'From: <sip:a@b>;x=">;tag=no"',
    b'From: <sip:a@b>;tag=1;x=">;tag=no"',
    b'From: sip:a@b;x="<y>";tag=1',
    b'From: sip:a@b;tag=1;x="<y>"',
    b"From: <sip:a@b>;tag=1;x=<y>;tag=2",
    b"From: <sip:a@b>;x=<y>",
    b"From: sip:a@b;tag=1>;tag=2",
    b"From: <sip:a@b>;tag=1;x=y>z",
    b"From: <sip:a@b>\r\n ;tag=1",
    b"From: <sip:a@b>;tag=\r\n 1",
    b"From: <sip:a@b>;tag=1\r\n ;x",
    b"From:\r\n <sip:a@b>;tag=1",
    b"From: A;tag=no <sip:a@b>;tag=1",
    b"f : Caf\xe9 <sip:a@b>;tag=\xe9",
]


@pytest.mark.parametrize("line", NASTY)
def test_quick_way_to_a_tag_agrees_with_the_slow_one(line: bytes) -> None:
    assert tag_of(line) == NameAddr.parse(value_of(line)).tag


def test_tag_of_a_line_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(WireError):
        tag_of(b'From: "a <sip:a@b>;tag=1')


@pytest.mark.parametrize(
    ("line", "value"),
    [(b"A: b", b"b"), (b"A:b:c ", b"b:c"), (b"A:", b""), (b"A : \r\n\tb\r\n  c \r\n ", b"b c"), (b"A:\r\n b", b"b")],
)
def test_value_is_unfolded_and_stripped(line: bytes, value: bytes) -> None:
    assert value_of(line) == value
