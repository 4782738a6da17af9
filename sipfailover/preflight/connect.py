"""Opening a connection to a carrier: TCP, and TLS with what its certificate says. Closed again at once.

Only for what can be told from outside; the connections that carry SIP are the pool's.
"""

import asyncio
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.x509.oid import NameOID

from sipfailover.config import TrunkSettings
from sipfailover.flow import Target
from sipfailover.preflight.report import Step, failed, good, warning

WITHIN = 3.0
"""Seconds for TCP, and as many again for TLS."""
SOON = 21
"""Days before the end of a certificate from which on it is a warning."""
NAMES_SHOWN = 6
"""Names of a certificate that are shown."""

REFUSED_WITHIN = 0.3
"""Seconds after the handshake in which a carrier that wants a certificate of ours says so (TLS 1.3, RFC 8446 §4.4.2.4:
we are through before it has looked)."""
WANTS_OURS = "the carrier may want a certificate of ours: write tls.certificate_file and tls.key_file, or ask it"

HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH, NOT_YET_VALID, HAS_EXPIRED = 62, 64, 9, 10
"""OpenSSL's verify codes (x509_vfy.h)."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What matters of a certificate."""

    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime

    @classmethod
    def read(cls, der: bytes) -> "Certificate | None":
        """From DER; None for what is no certificate that can be read."""
        try:
            return cls._read(der)
        except (ValueError, TypeError):  # whatever a peer has put into its fields
            return None

    @classmethod
    def _read(cls, der: bytes) -> "Certificate":
        parsed = x509.load_der_x509_certificate(der)
        names: list[str] = []
        try:
            extension = parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            names += extension.get_values_for_type(x509.DNSName)
            names += extension.get_values_for_type(x509.UniformResourceIdentifier)
            names += [str(address) for address in extension.get_values_for_type(x509.IPAddress)]
        except x509.ExtensionNotFound:
            names += [str(one.value) for one in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        issuer = parsed.issuer.get_attributes_for_oid(NameOID.COMMON_NAME) or list(parsed.issuer)
        return cls(
            tuple(names),
            str(issuer[0].value) if issuer else "nobody",
            parsed.not_valid_before_utc,
            parsed.not_valid_after_utc,
        )

    @property
    def shown(self) -> str:
        """Its names, for people."""
        more = len(self.names) - NAMES_SHOWN
        return ", ".join(self.names[:NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "") or "no name"


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of a try to open a connection."""

    seconds: float
    error: Exception | None = None
    protocol: str = ""
    cipher: str = ""
    der: bytes = field(default=b"", repr=False)


async def tcp_step(target: Target) -> Step:
    """Whether TCP opens."""
    opened = await _open(target, None, "")
    if opened.error is not None:
        return failed("connect", f"{target}: {_why(opened.error)}", "check port, transport and the firewall")
    return good("connect", f"{target}: open", opened.seconds)


def expected_names(trunk: TrunkSettings) -> tuple[str, ...]:
    """The names of which the carrier's certificate must have one (RFC 5922 §7: those that the administrator wrote)."""
    if trunk.tls.server_name:
        return (trunk.tls.server_name,)
    return tuple(dict.fromkeys(name for name in (trunk.domain, trunk.host) if name))


async def tls_steps(target: Target, trunk: TrunkSettings, now: datetime) -> list[Step]:
    """Whether TLS opens, and what the certificate says. `now`: with a time zone."""
    names = expected_names(trunk)
    try:
        context = _context(trunk)
    except (OSError, ssl.SSLError, ValueError) as error:
        return [failed("TLS", f"the certificates in the settings cannot be used: {error}", "check the section tls")]
    opened = await _open(target, context, names[0])
    for name in names[1:]:
        if getattr(opened.error, "verify_code", 0) == HOSTNAME_MISMATCH:
            opened = await _open(target, context, name)
    if opened.error is None:
        text = f"{target}: {opened.protocol}, {opened.cipher}"
        return [
            good("TLS", text, opened.seconds, protocol=opened.protocol, cipher=opened.cipher),
            certificate_step(Certificate.read(opened.der), now),
        ]
    if not isinstance(opened.error, ssl.SSLCertVerificationError):
        return [_no_handshake(target, opened.error)]
    # It was refused, so we never send anything there: this looks once more, only to tell what it shows.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    again = await _open(target, context, names[0])
    return [refused_step(target, opened.error, Certificate.read(again.der), " or ".join(names), now)]


def certificate_step(certificate: Certificate | None, now: datetime) -> Step:
    """A certificate that was accepted: for whom, by whom, until when."""
    if certificate is None:
        return warning("certificate", "it was accepted, and cannot be shown", "look at it with openssl s_client")
    left = (certificate.not_after - now).days
    text = f"for {certificate.shown}, by {certificate.issuer}, until {certificate.not_after:%Y-%m-%d} ({left} days)"
    facts: dict[str, object] = {
        "names": list(certificate.names),
        "issuer": certificate.issuer,
        "not_after": certificate.not_after.isoformat(),
    }
    if left < SOON:
        return warning("certificate", text, "ask the carrier whether it will be renewed in time", None, **facts)
    return good("certificate", text, None, **facts)


def refused_step(
    target: Target, error: ssl.SSLCertVerificationError, shown: Certificate | None, name: str, now: datetime
) -> Step:
    """A certificate that we do not accept, and what to do."""
    code = error.verify_code
    names = shown.shown if shown else "unknown names"
    if code in (HOSTNAME_MISMATCH, IP_ADDRESS_MISMATCH):
        text, advice = (
            f"the certificate is for {names}, not for {name}",
            "write tls.server_name, if one of these is right",
        )
    elif code == HAS_EXPIRED:
        since = f" on {shown.not_after:%Y-%m-%d}" if shown and shown.not_after < now else ""
        text, advice = f"the certificate for {names} has expired{since}", "tell the carrier; check this machine's clock"
    elif code == NOT_YET_VALID:
        since = f" before {shown.not_before:%Y-%m-%d}" if shown else ""
        text, advice = f"the certificate for {names} is not valid{since}", "check this machine's clock"
    else:
        issuer = shown.issuer if shown else "somebody"
        text = f"the certificate for {names} is signed by {issuer}, whom we do not know ({error.verify_message})"
        advice = "write tls.ca_file with the certificate of that authority, which the carrier can give you"
    return failed("TLS", f"{target}: {text}", advice, verify_code=code)


def _no_handshake(target: Target, error: Exception) -> Step:
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower().replace("_", " ")
        if "wrong version number" in reason or "record layer failure" in reason or "http request" in reason:
            return failed("TLS", f"{target}: what answers there does not speak TLS", "check port and transport")
        if "certificate required" in reason or "handshake failure" in reason:
            return failed("TLS", f"{target}: the carrier ends the handshake: {reason}", WANTS_OURS)
        return failed("TLS", f"{target}: no handshake: {reason}", "check port and transport, and ask the carrier")
    if isinstance(error, ConnectionError) and not isinstance(error, ConnectionRefusedError):
        return failed("TLS", f"{target}: the carrier breaks the handshake off", WANTS_OURS)
    return failed("TLS", f"{target}: {_why(error)}", "check port, transport and the firewall")


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"no connection within {WITHIN:.0f} s"
    if isinstance(error, ConnectionRefusedError):
        return "the port is closed"
    if isinstance(error, ConnectionError):
        return "the connection was broken off"
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).lower()


def _context(trunk: TrunkSettings) -> ssl.SSLContext:
    settings = trunk.tls
    context = ssl.create_default_context(cafile=settings.ca_file or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the carrier's own certificate is a good `ca_file` too
    if settings.certificate_file:
        context.load_cert_chain(settings.certificate_file, settings.key_file or None)
    return context


async def _open(target: Target, context: ssl.SSLContext | None, name: str) -> Opened:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        async with asyncio.timeout(WITHIN if context is None else 2 * WITHIN):
            reader, writer = await asyncio.open_connection(
                target.host, target.port, ssl=context, server_hostname=name if context else None
            )
    except (OSError, TimeoutError, ssl.SSLError) as error:
        return Opened(loop.time() - begun, error)
    took = loop.time() - begun
    try:
        if context is None:
            return Opened(took)
        session = writer.get_extra_info("ssl_object")
        der = session.getpeercert(binary_form=True) or b""
        ended = await _second_thoughts(reader)
        cipher = session.cipher()
        return Opened(took, ended, session.version() or "", cipher[0] if cipher else "", der)
    finally:
        writer.transport.abort()  # nothing was said, so there is nothing to say goodbye to


async def _second_thoughts(reader: asyncio.StreamReader) -> Exception | None:
    """Whether the peer ends a connection that seemed to be open."""
    try:
        async with asyncio.timeout(REFUSED_WITHIN):
            return None if await reader.read(1) else ConnectionResetError()
    except TimeoutError:
        return None
    except OSError as error:  # ssl.SSLError is one
        return error


def utc_now() -> datetime:
    """This moment by the machine's clock."""
    return datetime.now(UTC)
