"""URIs: the examples of RFC 3261 §19.1, and what a relay does to a Request-URI."""

import pytest

from sipfailover.errors import WireError
from sipfailover.wire.uri import SipUri, scheme, user, user_params, with_host, with_number, with_user_phone


@pytest.mark.parametrize(
    "uri",
    [
        b"sip:alice@atlanta.com",
        b"sip:alice:secretword@atlanta.com;transport=tcp",
        b"sips:alice@atlanta.com?subject=project%20x&priority=urgent",
        b"sip:+1-212-555-1212:1234@gateway.com;user=phone",
        b"sips:1212@gateway.com",
        b"sip:alice@192.0.2.4",
        b"sip:atlanta.com;method=REGISTER?to=alice%40atlanta.com",
        b"sip:alice;day=tuesday@atlanta.com",
        b"sip:user;par=u%40example.net@example.com",
        b"sip:sips%3Auser%40example.com@example.net",
        b"sip:null-%00-null@example.com",
        b"sip:*21*0443210000#@pbx",
        b"sip:100@pbx_1:5061",
        b"sip:a:@host",
        b"sip:[2001:db8::10]:5070;lr",
        b"sip:user@[2001:db8:::192.0.2.1]",
        b"sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com",
    ],
)
def test_uri_is_taken_apart_and_printed_as_it_came(uri: bytes) -> None:
    parsed = SipUri.parse(uri)
    assert parsed.to_bytes() == uri
    assert parsed.same_as(SipUri.parse(parsed.to_bytes()))


def test_parts_of_a_uri() -> None:
    uri = SipUri.parse(b"SIP:alice;x=1:pass@[2001:db8::1]:5070;Transport=TCP;lr?subject=a")
    assert uri == SipUri(b"sip", b"alice;x=1", b"pass", b"[2001:db8::1]", 5070, b";Transport=TCP;lr", b"subject=a")
    assert uri.address == "2001:db8::1"
    assert uri.param(b"transport") == b"TCP"
    assert uri.param(b"lr") == b""
    assert uri.param(b"maddr") is None


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        (b"tel:+41443210000", 416),
        (b"urn:service:sos", 416),
        (b"nobodyKnowsThisScheme:totallyopaquecontent", 416),
        (b"soap.beep://192.0.2.103:3002", 416),
        (b"", 400),
        (b"alice", 400),
        (b"<sip:user@example.com>", 400),
        (b"sip:", 400),
        (b"sip:@", 400),
        (b"sip:user@", 400),
        (b"sip::pass@host", 400),
        (b"sip:a@b@c", 400),
        (b"sip:user@example.com; lr", 400),
        (b"sip:us er@example.com", 400),
        (b"sip:2001:db8::10", 400),
        (b"sip:a@b:x", 400),
        (b"sip:a@b:99999", 400),
        (b"sip:a@b\r\nVia: x", 400),
    ],
)
def test_foreign_scheme_is_416_and_nonsense_400(uri: bytes, status: int) -> None:
    with pytest.raises(WireError) as caught:
        SipUri.parse(uri)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"sip:%61lice@atlanta.com;transport=TCP", b"sip:alice@AtlanTa.CoM;Transport=tcp"),
        (b"sip:carol@chicago.com", b"sip:carol@chicago.com;newparam=5"),
        (b"sip:carol@chicago.com", b"sip:carol@chicago.com;security=on"),
        (
            b"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            b"sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            b"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            b"sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        (b"sip:a@[2001:db8::1]", b"sip:a@[2001:DB8:0:0::1]"),
    ],
)
def test_equal_by_the_rules(one: bytes, other: bytes) -> None:
    assert SipUri.parse(one).same_as(SipUri.parse(other))
    assert SipUri.parse(other).same_as(SipUri.parse(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b"SIP:ALICE@AtLanTa.CoM;Transport=udp", b"sip:alice@AtLanTa.CoM;Transport=UDP"),
        (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com:5060"),
        (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com;transport=udp"),
        (b"sip:bob@biloxi.com", b"sip:bob@biloxi.com:6000;transport=tcp"),
        (b"sip:carol@chicago.com", b"sip:carol@chicago.com?Subject=next%20meeting"),
        (b"sip:bob@phone21.boxesbybob.com", b"sip:bob@192.0.2.4"),
        (b"sip:carol@chicago.com;security=on", b"sip:carol@chicago.com;security=off"),
        (b"sip:a@b", b"sips:a@b"),
        (b"sip:a%40c@b", b"sip:a%2Fc@b"),
        (b"sip:a@[2001:db8:::1]", b"sip:a@[2001:db8::1]"),
    ],
)
def test_different_by_the_rules(one: bytes, other: bytes) -> None:
    assert not SipUri.parse(one).same_as(SipUri.parse(other))


@pytest.mark.parametrize(
    ("uri", "name", "who"),
    [
        (b"SIP:+41443210000;phone-context=ch:pw@pbx", b"sip", b"+41443210000"),
        (b"sip:pbx", b"sip", b""),
        (b"tel:112;phone-context=+41", b"tel", b"112"),
        (b"urn:service:sos", b"urn", b"service:sos"),
        (b"nonsense", b"", b""),
        (b"<sip:a@b>", b"", b"a@b>"),
    ],
)
def test_scheme_and_user_of_any_uri(uri: bytes, name: bytes, who: bytes) -> None:
    assert scheme(uri) == name
    if name:
        assert user(uri) == who


@pytest.mark.parametrize(
    ("uri", "moved"),
    [
        (b"sip:0443210000@pbx:5060;user=phone", b"sip:0443210000@192.0.2.9:5070;user=phone"),
        (b"sip:*21*1#:pw@pbx;Transport=udp;x;MADDR=1.2.3.4", b"sip:*21*1#:pw@192.0.2.9:5070;x"),
        (b"sips:a@[2001:db8::1]:5061", b"sips:a@192.0.2.9:5070"),
        (b"sip:pbx;lr", b"sip:192.0.2.9:5070;lr"),
        (b"sip:a;b=%40c@pbx?Route=%3Csip:evil%3E", b"sip:a;b=%40c@192.0.2.9:5070"),
        (b"tel:+41443210000;phone-context=x", b"sip:+41443210000@192.0.2.9:5070;user=phone"),
        (b"tel:+41-44-321;ext=7;phone-context=+41", b"sip:+41-44-321;ext=7@192.0.2.9:5070;user=phone"),
        (
            b"TEL:0443210000;Phone-Context=+41;isub=1",
            b"sip:0443210000;Phone-Context=+41;isub=1@192.0.2.9:5070;user=phone",
        ),
        (b"urn:service:sos", b"urn:service:sos"),
    ],
)
def test_user_moves_to_another_host(uri: bytes, moved: bytes) -> None:
    assert with_host(uri, b"192.0.2.9", 5070) == moved


def test_ipv6_host_gets_its_brackets_once() -> None:
    assert with_host(b"sip:a@b", b"2001:db8::1", 5060) == b"sip:a@[2001:db8::1]:5060"
    assert with_host(b"sip:a@b", b"[2001:db8::1]") == b"sip:a@[2001:db8::1]"


@pytest.mark.parametrize(
    ("uri", "params", "other", "alone"),
    [
        (b"sip:044@pbx;user=phone", b"", b"sip:+4144@pbx;user=phone", b"sip:+4144@pbx;user=phone"),
        (b"sip:044;ext=7:pw@pbx:5061", b";ext=7", b"sip:+4144;ext=7:pw@pbx:5061", b"sip:+4144:pw@pbx:5061"),
        (
            b"sips:044;npdi;rn=+41;phone-context=+41;cpc=x@pbx",
            b";npdi;rn=+41;phone-context=+41;cpc=x",
            b"sips:+4144;npdi;rn=+41;cpc=x@pbx",
            b"sips:+4144@pbx",
        ),
        (b"sip:192.0.2.1:5060;lr", b"", b"sip:+4144@192.0.2.1:5060;lr", b"sip:+4144@192.0.2.1:5060;lr"),
        (b"tel:044;phone-context=+41;isub=1", b";phone-context=+41;isub=1", b"tel:+4144;isub=1", b"tel:+4144"),
        (b"urn:service:sos", b"", b"urn:service:sos", b"urn:service:sos"),
    ],
)
def test_another_number_stands_in_the_same_address(uri: bytes, params: bytes, other: bytes, alone: bytes) -> None:
    assert user_params(uri) == params
    assert with_number(uri, b"+4144") == other
    assert with_number(uri, b"+4144", alone=True) == alone


def test_a_local_number_keeps_its_context() -> None:
    assert with_number(b"sip:44;phone-context=x@pbx", b"044") == b"sip:044;phone-context=x@pbx"
    assert with_number(b"sip:+4144;phone-context=x@pbx", b"044") == b"sip:044@pbx"
    assert with_number(b"sip:pbx", b"") == b"sip:pbx"


@pytest.mark.parametrize(
    ("uri", "yes", "no"),
    [
        (b"sip:1@b", b"sip:1@b;user=phone", b"sip:1@b"),
        (b"sip:1@b;USER=Phone;x", b"sip:1@b;USER=Phone;x", b"sip:1@b;x"),
        (
            b"sip:1;user=phone@b:5060;x?h=1",
            b"sip:1;user=phone@b:5060;x;user=phone?h=1",
            b"sip:1;user=phone@b:5060;x?h=1",
        ),
        (b"sip:b;user=ip", b"sip:b;user=phone", b"sip:b;user=ip"),
        (b"tel:1", b"tel:1", b"tel:1"),
    ],
)
def test_user_phone_is_written_and_taken_away(uri: bytes, yes: bytes, no: bytes) -> None:
    assert with_user_phone(uri, True) == yes
    assert with_user_phone(uri, False) == no
