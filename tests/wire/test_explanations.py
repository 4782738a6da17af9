"""Reason and Retry-After: they inform, and never raise."""

import pytest

from sipfailover.wire.explanations import Reason, RetryAfter, parse_reasons, parse_retry_after


def test_reasons_inform_and_never_raise() -> None:
    assert parse_reasons(b'Q.850;cause=16;text="Term, \\"x\\"", SIP ;cause=487') == (
        Reason(b"Q.850", 16, b'Term, "x"'),
        Reason(b"SIP", 487, b""),
    )
    assert parse_reasons(b"SIP;cause=abc") == (Reason(b"SIP", None, b""),)
    assert parse_reasons(b'SIP;text="open') == ()
    assert parse_reasons(b"(;cause=1, X;cause=2") == (Reason(b"X", 2, b""),)
    assert parse_reasons(b"") == ()


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (b"18000;duration=3600", RetryAfter(18000, 3600, b"")),
        (b"120 (I'm in a meeting)", RetryAfter(120, None, b"I'm in a meeting")),
        (b"120 (a (nested) \\) one) ; duration=10", RetryAfter(120, 10, b"a (nested) \\) one")),
        (b"0", RetryAfter(0, None, b"")),
        (b"949302838503028349304023988", RetryAfter(2**31 - 1, None, b"")),  # RFC 4475 §3.1.2.5
        (b"5;duration=99999999999999999999", RetryAfter(5, 2**31 - 1, b"")),
        (b'5;duration="', RetryAfter(5, None, b"")),  # what cannot be read is left out, and the seconds count
        (b"", None),
        (b"-1", None),
        (b"soon", None),
        (b"5 minutes", None),
        (b"Fri, 01 Jan 2010 16:00:00 GMT", None),
    ],
)
def test_retry_after(value: bytes, answer: RetryAfter | None) -> None:
    assert parse_retry_after(value) == answer
