"""Rewriting: another beginning, and everything else as it came, byte for byte."""

import pytest

from sipfailover.wire import OWNED, Message, rewrite
from sipfailover.wire.rewrite import HOP, PRIVATE

BEGINNING = b"INVITE sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP us;branch=z9hG4bKus\r\nCSeq: 7 INVITE"
OWN = (
    b"Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nv: SIP/2.0/UDP i\r\n"
    b"From: <sip:a@b>;tag=1\r\nt :\r\n <sip:b@c>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n"
    b"m: <sip:a@h>\r\nRoute: <sip:r;lr>\r\nRecord-Route: <sip:r;lr>\r\n"
)
SECRET = (
    b"Authorization: Digest a\r\nProxy-Authorization: Digest b\r\nWWW-Authenticate: Digest c\r\n"
    b"Proxy-Authenticate: Digest d\r\nAuthentication-Info: e\r\nPath: <sip:p>\r\nService-Route: <sip:s>\r\n"
)
OTHERS = (
    b"x-Odd \t:  \xff\xfe caf\xc3\xa9  \r\nSubject: one\r\n\ttwo\r\n  \r\nX-odd:\r\nc:a/b\r\n"
    b'P-Asserted-Identity: "\\"x\\"" <sip:a@b>\r\nUnknownHeader::: \\\0\r\nRequire: 100rel\r\n'
)


def message(lines: bytes, body: bytes = b"") -> Message:
    return Message(b"INVITE sip:us SIP/2.0\r\n" + lines + b"\r\n" + body)


def test_what_is_not_ours_leaves_as_it_came_and_in_its_order() -> None:
    body = b"\0\xff\r\n\r\nv=0\n"
    length = b"L\t: %d\r\n" % len(body)
    for lines in (OWN + SECRET + OTHERS + length, length + OTHERS + SECRET + OWN):
        expected = lines.replace(OWN, b"").replace(SECRET, b"")
        assert rewrite(message(lines, body), BEGINNING) == BEGINNING + b"\r\n" + expected + b"\r\n" + body


def test_lines_of_ours_are_dropped_wherever_they_stand() -> None:
    mixed = b"".join(
        b"X-%d: %d\r\n%b\r\n" % (index, index, line)
        for index, line in enumerate(OWN.replace(b"\r\n ", b" ").splitlines())
    )
    expected = b"".join(b"X-%d: %d\r\n" % (index, index) for index in range(10))
    assert rewrite(message(mixed + b"l: 0\r\n"), BEGINNING) == BEGINNING + b"\r\n" + expected + b"l: 0\r\n\r\n"


def test_message_without_content_length_gets_one() -> None:
    assert rewrite(message(OWN, b"abc"), BEGINNING) == BEGINNING + b"\r\nContent-Length: 3\r\n\r\nabc"


def test_surplus_after_the_body_stays_behind() -> None:
    assert rewrite(message(OWN + b"l: 1\r\n", b"abc"), BEGINNING) == BEGINNING + b"\r\nl: 1\r\n\r\na"


@pytest.mark.parametrize("length", [b"", b"Content-Length: 3\r\n"])
def test_beginning_may_bring_the_content_length_itself(length: bytes) -> None:
    """Then there is one, and the empty line is in its place, even if no other line is left."""
    beginning = BEGINNING + b"\r\nContent-Length: 3"
    assert rewrite(message(OWN + length, b"abc"), beginning, OWNED | {b"content-length"}) == beginning + b"\r\n\r\nabc"


def test_only_what_is_named_is_dropped() -> None:
    """Nothing dropped: the message with another start line, and with its surplus cut off."""
    whole = message(OWN + SECRET + b"l: 3\r\n", b"abc")
    assert rewrite(whole, b"INVITE sip:us SIP/2.0", frozenset()) == (
        b"INVITE sip:us SIP/2.0\r\n" + OWN + SECRET + b"l: 3\r\n\r\nabc"
    )
    assert b"Digest a" not in rewrite(whole, BEGINNING, PRIVATE)
    assert b"Digest a" in rewrite(whole, BEGINNING, HOP)


def test_result_is_a_message_again() -> None:
    beginning = (
        b"INVITE sip:b@c SIP/2.0\r\nVia: SIP/2.0/UDP us;branch=z9hG4bKus\r\nFrom: <sip:a>;tag=9\r\nTo: <sip:b>\r\n"
        b"Call-ID: ours\r\nCSeq: 7 INVITE"
    )
    onward = Message(rewrite(message(OWN + OTHERS + b"l: 3\r\n", b"abc"), beginning))
    assert (onward.call_id, onward.cseq, onward.from_tag, onward.body) == (b"ours", 7, b"9", b"abc")
    assert onward.lines(b"x-odd") == [b"x-Odd \t:  \xff\xfe caf\xc3\xa9  ", b"X-odd:"]
