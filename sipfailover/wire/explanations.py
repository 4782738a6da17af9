"""What an answer or an ending says besides its status: Reason (RFC 3326) and Retry-After (RFC 3261 §20.33).

They inform and do not steer, so what cannot be read is left out instead of refused.
"""

from typing import NamedTuple

from sipfailover.errors import WireError
from sipfailover.wire.fields import (
    BACKSLASH,
    CLOSE,
    OPEN,
    is_token,
    param,
    parse_params,
    split_commas,
    unquote,
)
from sipfailover.wire.limits import MAX_DELIMITERS, MAX_SECONDS


class Reason(NamedTuple):
    """One Reason value (RFC 3326): why a call was ended or refused."""

    protocol: bytes
    """As written: `SIP`, `Q.850`, …"""
    cause: int | None
    text: bytes
    """Without quotes."""


class RetryAfter(NamedTuple):
    """A Retry-After (§20.33), in seconds."""

    seconds: int
    duration: int | None
    """How long the peer will then be reachable, if it says so."""
    comment: bytes
    """Without the outer parentheses."""


def parse_reasons(value: bytes) -> tuple[Reason, ...]:
    """The values of one Reason line (RFC 3326). What cannot be read is left out: it informs, it does not steer."""
    try:
        pieces = split_commas(value)
    except WireError:
        return ()
    reasons: list[Reason] = []
    for piece in pieces:
        protocol, semicolon, params = piece.partition(b";")
        protocol = protocol.strip()
        if not is_token(protocol):
            continue
        try:
            known = dict(reversed(parse_params(semicolon + params)))
        except WireError:
            known = {}
        cause = known.get(b"cause") or b""
        number = int(cause) if cause.isdigit() and len(cause) < 10 else None
        reasons.append(Reason(protocol, number, unquote(known.get(b"text") or b"")))
    return tuple(reasons)


def parse_retry_after(value: bytes) -> RetryAfter | None:
    """Retry-After with its comment and duration, or None if it says nothing we understand.

    More than `MAX_SECONDS` is read as that (RFC 4475 §3.1.2.5 sends such a number).
    """
    digits = value[: len(value) - len(value.lstrip(b"0123456789"))]
    if not digits:
        return None
    rest = value[len(digits) :].strip()
    comment = b""
    if rest[:1] == b"(":
        end = _end_of_comment(rest)
        comment, rest = rest[1 : end - 1], rest[end:].strip()
    if rest and rest[:1] != b";":
        return None
    try:
        duration = param(rest, b"duration")
    except WireError:
        duration = None
    return RetryAfter(_seconds(digits), _seconds(duration) if duration and duration.isdigit() else None, comment)


def _end_of_comment(text: bytes) -> int:
    """Index after the parenthesis that closes the first one; comments nest and escape (§25.1). The end if none does."""
    depth = 0
    escaped = False
    for index, byte in enumerate(text[:MAX_DELIMITERS]):
        if escaped:
            escaped = False
        elif byte == BACKSLASH:
            escaped = True
        elif byte == OPEN:
            depth += 1
        elif byte == CLOSE:
            depth -= 1
            if not depth:
                return index + 1
    return len(text)


def _seconds(digits: bytes) -> int:
    return min(int(digits), MAX_SECONDS) if len(digits) <= 10 else MAX_SECONDS
