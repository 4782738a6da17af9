"""Damage that knows what SIP looks like: whole lines, names, parameters and numbers, beside bits and pieces."""

import random
from collections.abc import Callable, Sequence

from tests.properties.test_fuzz import DAMAGES

Damage = Callable[[random.Random, bytearray, Sequence[bytes]], None]

WORDS = [
    b"INVITE", b"ACK", b"BYE", b"CANCEL", b"REGISTER", b"OPTIONS", b"PRACK", b"UPDATE", b"REFER", b"NOTIFY", b"INFO",
    b"SIP/2.0", b"SIP/2.0/UDP ", b"SIP/2.0/TLS ", b"sip:", b"sips:", b"tel:", b"urn:service:sos", b"z9hG4bK",
    b";branch=", b";tag=", b";received=", b";rport", b";maddr=", b";ttl=", b";lr", b";transport=tcp", b";expires=0",
    b";user=phone", b"[2001:db8::1]", b"192.0.2.1", b"255.255.255.255", b":0", b":65536", b"*", b"%2B", b"%00", b"\\",
    b'"', b"<", b">", b",", b"?", b"=", b"@", b"\r\n ", b"Digest ", b"realm=", b"nonce=", b"qop=", b"algorithm=",
    b"stale=true", b"opaque=", b"nc=00000001", b"cnonce=", b"uri=", b"response=", b"username=", b"MD5-sess",
    b"SHA-256",
    b"auth-int", b"auth,auth-int", b"userhash=true", b"nextnonce=", b"4294967296", b"-1", b"0", b"\xff\xfe",
    b"\xc3\xa9",
]  # fmt: skip
HEADERS = [
    b"Via", b"v", b"From", b"f", b"To", b"t", b"Call-ID", b"i", b"CSeq", b"Contact", b"m", b"Max-Forwards", b"Route",
    b"Record-Route", b"Content-Length", b"l", b"Content-Type", b"Expires", b"Require", b"Proxy-Require", b"Supported",
    b"Authorization", b"Proxy-Authorization", b"WWW-Authenticate", b"Proxy-Authenticate", b"Authentication-Info",
    b"Retry-After", b"Reason", b"Replaces", b"Refer-To", b"Diversion", b"P-Asserted-Identity", b"Privacy", b"Path",
    b"Service-Route", b"P-Called-Party-ID", b"P-Associated-URI", b"Session-Expires", b"RSeq", b"RAck", b"Event",
    b"History-Info", b"Min-Expires",
]  # fmt: skip
VALUES = [
    b"", b"0", b"255", b"256", b"4294967296", b"*", b"<sip:a@192.0.2.9>;expires=0", b"<sip:192.0.2.9;lr>",
    b"100rel", b"SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKx", b'"a, b" <sip:x@y>;tag=z', b"SIP;cause=200;text=\"x\"",
    b"id", b"1 INVITE", b"99999 BYE", b"a;to-tag=b;from-tag=c", b"5 (no) ;duration=3", b"refer;id=1",
]  # fmt: skip
SIZE_MAX = 65_535


def a_word(dice: random.Random, data: bytearray, _all: Sequence[bytes]) -> None:
    """A word of the language somewhere, over something or between."""
    at, word = dice.randint(0, len(data)), dice.choice(WORDS)
    data[at : at + dice.choice([0, 0, len(word)])] = word


def _lines(data: bytearray) -> list[bytes]:
    return bytes(data).split(b"\r\n")


def a_line(dice: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    """A line more: a header with some value, or one of another message."""
    lines = _lines(data)
    if dice.random() < 0.5:
        line = dice.choice(HEADERS) + b": " + dice.choice(VALUES)
    else:
        line = dice.choice(dice.choice(others).split(b"\r\n")[1:] or [b""])
    lines.insert(dice.randint(1, len(lines)) if lines else 0, line)
    data[:] = b"\r\n".join(lines)


def without_a_line(dice: random.Random, data: bytearray, _all: Sequence[bytes]) -> None:
    lines = _lines(data)
    if len(lines) > 1:
        del lines[dice.randrange(len(lines))]
    data[:] = b"\r\n".join(lines)


def another_value(dice: random.Random, data: bytearray, _all: Sequence[bytes]) -> None:
    """The value of one header in another one, or a value from the list."""
    lines = _lines(data)
    there = [place for place, line in enumerate(lines) if b":" in line]
    if there:
        place = dice.choice(there)
        name = lines[place].partition(b":")[0]
        other = lines[dice.choice(there)].partition(b":")[2] if dice.random() < 0.5 else dice.choice(VALUES)
        lines[place] = name + b":" + other
    data[:] = b"\r\n".join(lines)


def another_name(dice: random.Random, data: bytearray, _all: Sequence[bytes]) -> None:
    lines = _lines(data)
    there = [place for place, line in enumerate(lines) if b":" in line]
    if there:
        place = dice.choice(there)
        lines[place] = dice.choice(HEADERS) + b":" + lines[place].partition(b":")[2]
    data[:] = b"\r\n".join(lines)


def a_parameter(dice: random.Random, data: bytearray, _all: Sequence[bytes]) -> None:
    """A parameter behind a line: doubled, empty, quoted or huge."""
    lines = _lines(data)
    place = dice.randrange(len(lines))
    name = dice.choice([b"tag", b"branch", b"received", b"rport", b"expires", b"lr", b"x", b"q", b"transport"])
    lines[place] += dice.choice([b";%b=%b", b";%b=\"%b\"", b" ; %b = %b", b",<sip:%b@%b>"]) % (
        name, dice.choice([b"", b"1", b"a" * dice.choice([1, 70, 3000]), b"192.0.2.9", b"\\\""]),
    )  # fmt: skip
    data[:] = b"\r\n".join(lines)


ALL: list[Damage] = [
    *DAMAGES, a_word, a_word, a_line, a_line, without_a_line, another_value, another_value, another_name, a_parameter,
]  # type: ignore[list-item]  # fmt: skip


def damaged(dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One to six kinds of damage, one upon the other."""
    made = bytearray(data)
    for _ in range(dice.choice([1, 1, 1, 2, 2, 3, 6])):
        dice.choice(ALL)(dice, made, others)  # type: ignore[arg-type]
    return bytes(made[:SIZE_MAX])
