"""Scanners of header values, against the grammar of RFC 3261 §25 and the ugly values that peers really send."""

import pytest

from sipfailover.errors import WireError
from sipfailover.wire.fields import (
    HEAD_KEPT_BYTES,
    HEADS_KEPT,
    NameAddr,
    Via,
    _via_head,
    end_of_quoted,
    first_value,
    host_port,
    is_token,
    param,
    parse_cseq,
    parse_params,
    quote,
    split_commas,
    unquote,
    without_params,
)


class TestVia:
    def test_usual_via_is_read(self) -> None:
        via = Via.parse(b"SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK776asdhds;rport")
        assert (via.transport, via.host, via.port) == (b"UDP", b"192.0.2.10", 5060)
        assert via.branch == b"z9hG4bK776asdhds"
        assert via.rport == b""
        assert via.received is None
        assert via.sent_by == b"192.0.2.10:5060"

    @pytest.mark.parametrize(
        ("value", "transport", "host", "port", "branch"),
        [
            # RFC 3261 §20.42 and RFC 4475 §3.1.1.1
            (
                b"SIP / 2.0 / UDP  first.example.com: 4000;ttl=16 ;branch=z9hG4bKa7",
                b"UDP",
                b"first.example.com",
                4000,
                b"z9hG4bKa7",
            ),
            (b"SIP  /   2.0  /UDP     192.0.2.2;branch=390skdjuw", b"UDP", b"192.0.2.2", None, b"390skdjuw"),
            (
                b"SIP  / 2.0  / TCP     spindle.example.com   ;   branch  =   z9hG4bK9ikj8",
                b"TCP",
                b"spindle.example.com",
                None,
                b"z9hG4bK9ikj8",
            ),
            (b"sip/2.0/udp pbx_1;BRANCH=z9hG4bK1", b"udp", b"pbx_1", None, b"z9hG4bK1"),
            (
                b"SIP/2.0/UNKNOWN t4.example.com;branch=z9hG4bKasd0f3en",
                b"UNKNOWN",
                b"t4.example.com",
                None,
                b"z9hG4bKasd0f3en",
            ),
            (b"SIP/2.0/TLS [2001:db8::9:1]:5061;branch=z9hG4bK1", b"TLS", b"[2001:db8::9:1]", 5061, b"z9hG4bK1"),
            (b"SIP/2.0/UDP [::ffff:192.0.2.10]", b"UDP", b"[::ffff:192.0.2.10]", None, b""),
            (b"SIP/2.0/UDP\t192.0.2.1 ;;branch=x;", b"UDP", b"192.0.2.1", None, b"x"),
        ],
    )
    def test_ugly_via_is_read(
        self, value: bytes, transport: bytes, host: bytes, port: int | None, branch: bytes
    ) -> None:
        via = Via.parse(value)
        assert (via.transport, via.host, via.port, via.branch) == (transport, host, port, branch)
        assert Via.parse(via.to_bytes()) == via

    def test_received_may_be_ipv6_with_and_without_brackets(self) -> None:
        """RFC 5118 §4.5: both forms are in the field."""
        assert Via.parse(b"SIP/2.0/UDP h;received=2001:db8::9:255;branch=x").received == b"2001:db8::9:255"
        assert Via.parse(b"SIP/2.0/UDP h;received=[2001:db8::9:255];branch=x").received == b"[2001:db8::9:255]"

    def test_sent_by_is_compared_without_case_and_address_is_bare(self) -> None:
        via = Via.parse(b"SIP/2.0/UDP [2001:DB8::1]:5060;branch=x")
        assert via.sent_by == b"[2001:db8::1]:5060"
        assert via.address == "2001:DB8::1"

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"SIP/2.0",
            b"SIP/2.0/UDP",
            b"SIP/2.0/UDP ;branch=x",
            b"HTTP/1.1/TCP h",
            b"SIP/2.0/UDP h h",
            b"SIP/2.0/UDP h:0",
            b"SIP/2.0/UDP h:65536",
            b"SIP/2.0/UDP h:99999999999999999999",
            b"SIP/2.0/UDP h:",
            b"SIP/2.0/UDP 2001:db8::1",
            b"SIP/2.0/UDP [2001:db8::1",
            b"SIP/2.0/UDP [2001:db8::1]x",
            b"SIP/2.0/UDP [host]",
            b"SIP/2.0/UDP h\xfcbsch",
            b"SIP/2.0/U(P h",
        ],
    )
    def test_nonsense_is_a_400(self, value: bytes) -> None:
        with pytest.raises(WireError) as caught:
            Via.parse(value)
        assert caught.value.status == 400


class TestNameAddr:
    @pytest.mark.parametrize(
        ("value", "display", "uri", "tag"),
        [
            (
                b'"A. G. Bell" <sip:agb@bell-telephone.com>;tag=a48s',
                b'"A. G. Bell"',
                b"sip:agb@bell-telephone.com",
                b"a48s",
            ),
            (b"sip:+12125551212@server.phone2net.com;tag=887s", b"", b"sip:+12125551212@server.phone2net.com", b"887s"),
            (
                b"Anonymous <sip:c8oqz84zk7z@privacy.org>;tag=hyh8",
                b"Anonymous",
                b"sip:c8oqz84zk7z@privacy.org",
                b"hyh8",
            ),
            (b"caller<sip:caller@example.com>;tag=323", b"caller", b"sip:caller@example.com", b"323"),
            (b"<sip:a@b;tag=uri>", b"", b"sip:a@b;tag=uri", b""),
            (b'<sip:a@b>;x=";tag=no";TAG=yes', b"", b"sip:a@b", b"yes"),
            (
                b'"J Rosenberg \\\\\\""       <sip:jdrosen@example.com>   ;   tag = 98asjd8',
                b'"J Rosenberg \\\\\\""',
                b"sip:jdrosen@example.com",
                b"98asjd8",
            ),
            (b'"<sip:evil@x>;tag=1" <sip:good@y>;tag=2', b'"<sip:evil@x>;tag=1"', b"sip:good@y", b"2"),
            (b'"a\\"<sip:evil@x>" <sip:good@y>;tag=2', b'"a\\"<sip:evil@x>"', b"sip:good@y", b"2"),
            (b"M\xfcller <sip:m@b>;tag=1", b"M\xfcller", b"sip:m@b", b"1"),
            (
                b"Bell, Alexander <sip:a.g.bell@example.com>;tag=43",
                b"Bell, Alexander",
                b"sip:a.g.bell@example.com",
                b"43",
            ),
            (b"<tel:+41443210000>", b"", b"tel:+41443210000", b""),
            (b"isbn:2983792873", b"", b"isbn:2983792873", b""),
            (b"<sip:a@b>;tagged=1;xtag=2;tag=3", b"", b"sip:a@b", b"3"),
        ],
    )
    def test_address_is_read_and_printed(self, value: bytes, display: bytes, uri: bytes, tag: bytes) -> None:
        address = NameAddr.parse(value)
        assert (address.display, address.uri, address.tag) == (display, uri, tag)
        again = NameAddr.parse(address.to_bytes())
        assert (again.name, again.uri, again.params) == (address.name, address.uri, address.params)

    def test_name_is_the_text_without_quotes(self) -> None:
        assert NameAddr.parse(b'"J \\\\\\"" <sip:a@b>').name == b'J \\"'
        assert NameAddr.parse(b"Bob <sip:a@b>").name == b"Bob"

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"*",
            b"alan",
            b'"Mr. J. User <sip:j.user@example.com>',  # RFC 4475 §3.1.2.6
            b'"Watson, Thomas" < sip:t.watson@example.org >',  # §3.1.2.14
            b"sip:user@example.com?Route=%3Csip:sip.example.com%3E",  # §3.1.2.13
            b"sip:a@b, sip:c@d",
            b"<sip:a@b",
            b"<sip:a@b> garbage",
            b"<>",
            b"<<sip:a@b>>",
            b'<sip:a"b@c>',
        ],
    )
    def test_nonsense_is_a_400(self, value: bytes) -> None:
        with pytest.raises(WireError) as caught:
            NameAddr.parse(value)
        assert caught.value.status == 400


class TestLists:
    @pytest.mark.parametrize(
        ("value", "values"),
        [
            (b"", []),
            (b" , ,", []),
            (b" , a", [b"a"]),
            (b"a", [b"a"]),
            (b"a , b,,c", [b"a", b"b", b"c"]),
            (b'"A, B" <sip:a@x>, "B" <sip:b@x>', [b'"A, B" <sip:a@x>', b'"B" <sip:b@x>']),
            (b"<sip:a,b@x>;q=1,<sip:c@d>", [b"<sip:a,b@x>;q=1", b"<sip:c@d>"]),
            (b'"\\",\\"" <sip:a@x>,b', [b'"\\",\\"" <sip:a@x>', b"b"]),
            (b'Digest realm="a, b", qop="auth,auth-int"', [b'Digest realm="a, b"', b'qop="auth,auth-int"']),
        ],
    )
    def test_only_commas_outside_quotes_and_brackets_part(self, value: bytes, values: list[bytes]) -> None:
        assert split_commas(value) == values
        assert first_value(value) == (values[0] if values else b"")

    @pytest.mark.parametrize("value", [b'"a, b', b"<sip:a, b", b'"a\\", b'])
    def test_what_never_closes_is_a_400(self, value: bytes) -> None:
        with pytest.raises(WireError):
            split_commas(value)

    def test_too_many_delimiters_are_a_400(self) -> None:
        with pytest.raises(WireError, match="delimiters"):
            split_commas(b'"' + b'",' * 5000)


class TestParams:
    @pytest.mark.parametrize(
        ("params", "name", "value"),
        [
            (b"", b"tag", None),
            (b";tag=1", b"tag", b"1"),
            (b";TAG=A", b"tag", b"A"),
            (b";x;tag=1;y", b"tag", b"1"),
            (b";tagged=2;tag=1", b"tag", b"1"),
            (b";lr", b"lr", b""),
            (b";lrx;lr;y", b"lr", b""),
            (b";lr=on", b"lr", b"on"),
            (b"; tag = 1 ;x", b"tag", b"1"),
            (b';a=";tag=no";tag=yes', b"tag", b"yes"),
            (b';a="\\";tag=no";tag=yes', b"tag", b"yes"),
            (b";a=b=c", b"a", b"b=c"),
            (b";tag=1;tag=2", b"tag", b"1"),
            (b";tag=", b"tag", b""),
            (b';+sip.instance="<urn:uuid:1>"', b"+sip.instance", b'"<urn:uuid:1>"'),
        ],
    )
    def test_one_parameter_by_name(self, params: bytes, name: bytes, value: bytes | None) -> None:
        assert param(params, name) == value

    def test_fast_and_slow_way_agree(self) -> None:
        for params in (b";a=1;B;c=;a=2", b";;a", b";a;b=1;;", b";ab=1;b"):
            for name in (b"a", b"b", b"c", b"ab"):
                assert param(params, name) == param(params + b' ;z="q"', name), (params, name)

    def test_all_parameters_in_order(self) -> None:
        assert parse_params(b';A=1;;b; C = "x;y"') == [(b"a", b"1"), (b"b", None), (b"c", b'"x;y"')]

    def test_named_parameters_go_and_others_stay_as_written(self) -> None:
        assert without_params(b';user=phone;Transport=udp;X="a;b";lr', (b"transport", b"lr")) == b';user=phone;X="a;b"'
        assert without_params(b";lr", (b"lr",)) == b""


def test_tokens_and_quoted_strings() -> None:
    assert is_token(b"!interesting-Method0123456789_*+`.%indeed'~")
    assert not is_token(b"")
    assert not is_token(b"a b")
    assert not is_token(b"\xe4")
    for text in (b"", b'a "b" \\', b"M\xfcller"):
        assert unquote(quote(text)) == text
    assert quote(b"a\r\nVia: x") == b'"a  Via: x"'
    assert unquote(b'"') == b'"'
    assert end_of_quoted(b'x"a\\"b"y', 1) == 7
    assert end_of_quoted(b'"\\\\"', 0) == 4


def test_host_and_port() -> None:
    assert host_port(b"example.com") == (b"example.com", None)
    assert host_port(b"[::1]:5060") == (b"[::1]", 5060)
    assert host_port(b"[2001:db8:::192.0.2.1]") == (b"[2001:db8:::192.0.2.1]", None)  # RFC 5118 §4.10


class TestCSeq:
    @pytest.mark.parametrize(
        ("value", "cseq"),
        [
            (b"1 INVITE", (1, b"INVITE")),
            (b"0009   INVITE", (9, b"INVITE")),
            (b"0 ACK", (0, b"ACK")),
            (b"2147483647 BYE", (2147483647, b"BYE")),
            (b"00000000000000000001\tOPTIONS", (1, b"OPTIONS")),
            (b"29344 RE%47IST%45R", (29344, b"RE%47IST%45R")),
        ],
    )
    def test_number_and_method(self, value: bytes, cseq: tuple[int, bytes]) -> None:
        assert parse_cseq(value) == cseq

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b"1",
            b"INVITE",
            b"-1 INVITE",
            b"1 IN VITE",
            b"1 (",
            b"2147483648 BYE",
            b"36893488147419103232 REGISTER",
            b"9" * 8000 + b" BYE",
        ],
    )
    def test_nonsense_is_a_400(self, value: bytes) -> None:
        with pytest.raises(WireError):
            parse_cseq(value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (b"Bell, Alexander <sip:a@b>;tag=1", b'"Bell, Alexander" <sip:a@b>;tag=1'),
        (b"M\xc3\xbcller <sip:a@b>", b"M\xc3\xbcller <sip:a@b>"),
        (b'Bell "Alec" <sip:a@b>', b'"Bell \\"Alec\\"" <sip:a@b>'),
        (b"Watson T. <sip:a@b>", b"Watson T. <sip:a@b>"),
        (b'"Bell, Alexander" <sip:a@b>', b'"Bell, Alexander" <sip:a@b>'),
        (b"<sip:a@b>", b"<sip:a@b>"),
    ],
)
def test_a_name_that_needs_quotes_is_written_with_them(value: bytes, written: bytes) -> None:
    assert NameAddr.parse(value).to_bytes() == written


class TestViaHeads:
    """The beginning of a Via is remembered, because a peer always writes the same."""

    def test_the_same_beginning_with_other_parameters_is_another_via(self) -> None:
        one, two = (Via.parse(b"SIP/2.0/UDP 192.0.2.10:5060;branch=%b" % branch) for branch in (b"one", b"two"))
        assert (one.branch, two.branch, one.host, two.host) == (b"one", b"two", b"192.0.2.10", b"192.0.2.10")

    def test_what_cannot_be_read_cannot_be_read_again(self) -> None:
        for _ in range(2):
            with pytest.raises(WireError):
                Via.parse(b"SIP/2.0/UDP 192.0.2.10:99999;branch=one")

    def test_strangers_cannot_fill_the_memory(self) -> None:
        for number in range(HEADS_KEPT + 100):
            Via.parse(b"SIP/2.0/UDP host-%d.example" % number)
        kept = _via_head.cache_info().currsize
        Via.parse(b"SIP/2.0/UDP %b.example" % (b"x" * HEAD_KEPT_BYTES))
        assert kept == _via_head.cache_info().currsize == HEADS_KEPT

    @pytest.mark.parametrize(
        "params",
        [b";branch=a b;rport", b';branch="a;b";rport', b";branch", b";branch=", b";BRANCH=x", b";rport;branch=y"],
    )
    def test_the_quick_way_to_the_branch_and_the_long_one_agree(self, params: bytes) -> None:
        via = Via.parse(b"SIP/2.0/UDP 192.0.2.10" + params)
        assert via.branch == (param(via.params, b"branch") or b"")
