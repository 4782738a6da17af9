"""How we name ourselves: host and port as they stand in Via and Contact, and our own address towards a peer."""

import socket

WILDCARDS = ("0.0.0.0", "::")


def shown(host: str, port: int) -> str:
    """Host and port as people and SIP write them: IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def sent_by(host: str, port: int) -> bytes:
    """The same as it goes into a message (RFC 3261 §25.1, sent-by)."""
    return shown(host, port).encode("ascii")


def is_wildcard(host: str) -> bool:
    """True for an address that means all addresses of this machine."""
    return host in WILDCARDS


def family_of(host: str) -> str:
    """`IPv6` or `IPv4`."""
    return "IPv6" if ":" in host else "IPv4"


def own_address(host: str, port: int) -> str:
    """The address that the system would send from to this peer. Sends nothing. Raises OSError if there is no route."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((host, port))
        own = probe.getsockname()[0]
        assert isinstance(own, str)
        return own


def is_loopback(host: str) -> bool:
    """True for addresses that never leave this machine."""
    return host.startswith("127.") or host == "::1"
