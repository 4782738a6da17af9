"""What a trunk is told about who is called: its Request-URI (RFC 3261 §8.1.1.1, §19.1). Pure functions.

Only the host belongs to the trunk; the user part is the number as the PBX dialled it. Number forms and caller identity
per trunk come with a later change and belong here.
"""

from sipfailover.wire.uri import scheme, with_host


def request_uri(uri: bytes, host: bytes, port: int | None = None) -> bytes:
    """The Request-URI for a trunk at `host` (IPv6 with or without brackets), from the one the PBX sent.

    sip and sips: user, password and parameters such as `user=phone` stay as written; the host is replaced, and what
    described the way to the old host (`maddr`, `transport`, `ttl`) goes. tel, urn and others name no host and stay.
    """
    return with_host(uri, host, port) if scheme(uri) in (b"sip", b"sips") else uri
