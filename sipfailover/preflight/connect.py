"""Opening a connection to a carrier, only to tell what can be seen from outside: TCP, the protocol of TLS, and the
certificate. Closed again at once.

Nothing is verified here and nothing is said over these connections: whether a certificate is believed is decided by the
pool that carries SIP, and told by the OPTIONS that follows, as calls would meet it.
"""

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from sipfailover.certificate import Certificate, ascii_name, day
from sipfailover.config import TrunkSettings
from sipfailover.flow import Target
from sipfailover.preflight.report import Step, failed, good, warning

WITHIN = 3.0
"""Seconds for TCP, or for TCP and TLS together."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a peer showed in a handshake."""

    protocol: str
    cipher: str
    certificate: Certificate | None
    """None: one that cannot be read."""
    seconds: float


async def tcp_step(target: Target) -> Step:
    """Whether TCP opens."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        async with asyncio.timeout(WITHIN):
            _, writer = await asyncio.open_connection(target.host, target.port)
    except OSError as error:  # TimeoutError is one
        return failed("connect", f"{target}: {_why(error)}", "check host, port, transport and the firewall")
    took = loop.time() - begun
    writer.transport.abort()  # nothing was said, so there is nothing to say goodbye to
    return good("connect", f"{target}: open", took)


async def tls_step(target: Target, trunk: TrunkSettings, now: datetime) -> Step | None:
    """The protocol and the certificate; None if there is no handshake. `now`: with a time zone."""
    shown = await _handshake(target, trunk)
    return shown_step(target, shown, now) if shown is not None else None


def shown_step(target: Target, shown: Shown, now: datetime) -> Step:
    """What was seen, and whether the certificate's time is over or nearly so."""
    text = f"{target}: {shown.protocol}, {shown.cipher}"
    facts: dict[str, object] = {"protocol": shown.protocol, "cipher": shown.cipher}
    certificate = shown.certificate
    if certificate is None:
        return warning("TLS", f"{text}; the certificate cannot be read", "ask the carrier", shown.seconds, **facts)
    text += f"; a certificate for {certificate.proven}, by {certificate.issuer}, until {day(certificate.not_after)}"
    facts |= {
        "names": [*certificate.names, *certificate.addresses],
        "issuer": certificate.issuer,
        "not_after": certificate.not_after.isoformat(),
    }
    if trouble := certificate.trouble(now):
        advice = "ask the carrier to renew it in time; check this machine's clock"
        return warning("TLS", f"{text}: it {trouble}", advice, shown.seconds, **facts)
    return good("TLS", text, shown.seconds, **facts)


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no connection within {WITHIN:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "the port is closed"
    return (error.strerror or str(error) or type(error).__name__).lower()


async def _handshake(target: Target, trunk: TrunkSettings) -> Shown | None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        name = ascii_name(trunk.tls.server_name or trunk.domain or trunk.host)
        async with asyncio.timeout(WITHIN):
            _, writer = await asyncio.open_connection(
                target.host, target.port, ssl=_context(trunk), server_hostname=name
            )
    except (OSError, ValueError):  # ssl.SSLError is an OSError; ValueError: a file or name that cannot be used
        return None
    try:
        session: ssl.SSLObject = writer.get_extra_info("ssl_object")
        certificate = None
        with suppress(ValueError):
            certificate = Certificate.parse(session.getpeercert(True) or b"")
        cipher = session.cipher()
        return Shown(session.version() or "", cipher[0] if cipher else "", certificate, loop.time() - begun)
    finally:
        writer.transport.abort()


def _context(trunk: TrunkSettings) -> ssl.SSLContext:
    """For looking only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if trunk.tls.certificate_file:
        context.load_cert_chain(trunk.tls.certificate_file, trunk.tls.key_file or None, password="")
    return context


def utc_now() -> datetime:
    """This moment by the machine's clock."""
    return datetime.now(UTC)
