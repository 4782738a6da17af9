"""What a trunk is told about who calls and who is called: Request-URI, To, From (RFC 3261 §8.1.1, §19.1). Pure.

Only the host belongs to the trunk; the user part is the number as the PBX has it. Number forms and caller identities
per trunk come with a later change and belong here.
"""

from sipfailover.wire.uri import scheme, with_host


def request_uri(uri: bytes, host: bytes, port: int | None = None) -> bytes:
    """The Request-URI for a trunk at `host` (IPv6 with or without brackets), from the one the PBX sent.

    sip and sips: user, password and parameters such as `user=phone` stay as written; the host is replaced, and what
    described the way to the old host (`maddr`, `transport`, `ttl`) goes. tel, urn and others name no host and stay.
    """
    return with_host(uri, host, port) if scheme(uri) in (b"sip", b"sips") else uri


def caller_uri(uri: bytes, domain: bytes) -> bytes:
    """The URI in From for a trunk where we have an account: the caller's user at the account's domain.

    `domain` b"" (no account there) and an anonymous caller (`anonymous.invalid`, RFC 3323 §4.1.1.3) leave it as it is.
    """
    if not domain or uri.lower().endswith(b".invalid"):
        return uri
    return with_host(uri, domain) if scheme(uri) in (b"sip", b"sips") else uri
