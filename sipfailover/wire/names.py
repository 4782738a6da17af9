"""Names of header fields: how they are written, their compact forms (RFC 3261 §7.3.3), and which stand alone.

Inside, a name is known in lower case. `KNOWN` leads from any usual spelling there in one look-up.
"""

PRETTY: dict[bytes, bytes] = {
    name.lower(): name
    for name in (
        b"Accept", b"Accept-Encoding", b"Accept-Language", b"Alert-Info", b"Allow", b"Allow-Events", b"Answer-Mode",
        b"Authentication-Info", b"Authorization", b"Call-ID", b"Call-Info", b"Contact", b"Content-Disposition",
        b"Content-Encoding", b"Content-Language", b"Content-Length", b"Content-Type", b"CSeq", b"Date", b"Diversion",
        b"Error-Info", b"Event", b"Expires", b"From", b"Geolocation", b"History-Info", b"Identity", b"In-Reply-To",
        b"Join", b"Max-Forwards", b"MIME-Version", b"Min-Expires", b"Min-SE", b"Organization", b"P-Access-Network-Info",
        b"P-Asserted-Identity", b"P-Called-Party-ID", b"P-Charging-Vector", b"P-Early-Media", b"P-Preferred-Identity",
        b"Path", b"Priority", b"Privacy", b"Proxy-Authenticate", b"Proxy-Authentication-Info",
        b"Proxy-Authorization", b"Proxy-Require", b"RAck",
        b"Reason", b"Record-Route", b"Refer-Sub", b"Refer-To", b"Referred-By", b"Remote-Party-ID", b"Replaces",
        b"Reply-To", b"Request-Disposition", b"Require", b"Retry-After", b"Route", b"RSeq", b"Server",
        b"Service-Route", b"Session-Expires", b"Session-ID", b"Subject", b"Subscription-State", b"Supported",
        b"Target-Dialog", b"Timestamp", b"To", b"Unsupported", b"User-Agent", b"User-to-User", b"Via", b"Warning",
        b"WWW-Authenticate",
    )
}  # fmt: skip
"""Lower case → as the RFCs print it."""

COMPACT: dict[bytes, bytes] = {
    b"a": b"accept-contact",  # RFC 3841
    b"b": b"referred-by",  # RFC 3892
    b"c": b"content-type",
    b"d": b"request-disposition",  # RFC 3841
    b"e": b"content-encoding",
    b"f": b"from",
    b"i": b"call-id",
    b"j": b"reject-contact",  # RFC 3841
    b"k": b"supported",
    b"l": b"content-length",
    b"m": b"contact",
    b"n": b"identity-info",  # RFC 4474
    b"o": b"event",  # RFC 6665
    b"r": b"refer-to",  # RFC 3515
    b"s": b"subject",
    b"t": b"to",
    b"u": b"allow-events",  # RFC 6665
    b"v": b"via",
    b"x": b"session-expires",  # RFC 4028
    b"y": b"identity",  # RFC 8224
}

KNOWN: dict[bytes, bytes] = {
    **{written: name for name, pretty in PRETTY.items() for written in (name, pretty, pretty.upper())},
    **{written: name for letter, name in COMPACT.items() for written in (letter, letter.upper())},
    b"Call-Id": b"call-id",
    b"Cseq": b"cseq",
    b"Www-Authenticate": b"www-authenticate",
}
"""The spellings that nearly everybody uses → name in lower case. Others take the slow way."""

SINGLE = frozenset({
    b"authentication-info", b"call-id", b"content-disposition", b"content-length", b"content-type", b"cseq", b"date",
    b"event", b"expires", b"from", b"max-forwards", b"mime-version", b"min-expires", b"min-se", b"rack", b"refer-to",
    b"replaces", b"reply-to", b"retry-after", b"rseq", b"session-expires", b"subject", b"timestamp", b"to",
})  # fmt: skip
"""Headers that may stand in a message once (§20): of two, each reader would believe another one."""


def pretty(name: bytes) -> bytes:
    """A name in lower case as the RFCs print it: `call-id` → `Call-ID`, `x-office` → `X-Office`."""
    return PRETTY.get(name) or b"-".join([part.capitalize() for part in name.split(b"-")])
