"""Certificates as SIP reads them: whom one is for (RFC 5922 §7.1), until when, and whether a key fits it. Pure, but for
reading files.

A trunk's certificate proves a SIP domain by a subjectAltName `sip:domain`; where it has none, by its DNS names; where
we know the peer by an address only, by that IP address. The common name proves nothing.

One rule of RFC 5922 is not kept: §7.2 forbids wildcards, but large carriers use them (pjproject #2328, #3113), and
verification that must be switched off protects nobody. `*.example.com` therefore covers one label more, as RFC 6125
§6.4.3 has it: `sip.example.com`, neither `example.com` nor `a.b.example.com`.
"""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

WARN_BEFORE = datetime.timedelta(days=21)
"""How long before its end a certificate is spoken of: two attempts of a monthly renewal, and a week for people."""

FILE_BYTES_MAX = 4 * 1024 * 1024
"""Of a PEM file. A system's whole collection of authorities is a fifth of that; a larger file is refused."""

NAMES_SHOWN = 4
SHOWN_CHARACTERS = 64
"""Of names that a peer wrote into its certificate, in sentences for people."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What we want to know of one."""

    subject: str
    """The common name, or the whole subject where it has none; for people only."""
    issuer: str
    """The same of who signed it."""
    not_before: datetime.datetime
    not_after: datetime.datetime
    """Aware, in UTC."""
    names: tuple[str, ...]
    """The domains that it proves, in lower case: of `sip:` names, or else DNS names, which may begin with `*.`"""
    addresses: tuple[str, ...] = ()
    """The IP addresses that it proves."""
    self_signed: bool = False

    @classmethod
    def parse(cls, der: bytes) -> Self:
        """From DER. Raises ValueError for what is no certificate, or has an extension that cannot be read."""
        return cls.of(x509.load_der_x509_certificate(der))

    @classmethod
    def of(cls, certificate: x509.Certificate) -> Self:
        """From the library's object. Raises ValueError for an extension that cannot be read."""
        names, addresses = _identities(certificate)
        return cls(
            subject=_called(certificate.subject),
            issuer=_called(certificate.issuer),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            names=names,
            addresses=addresses,
            self_signed=certificate.subject == certificate.issuer,
        )

    def proves(self, wanted: str) -> bool:
        """Whether it is for this domain or IP address: a domain in its ASCII form, compared without case."""
        if _is_address(wanted):
            return str(ip_address(wanted)) in self.addresses
        wanted = wanted.lower().removesuffix(".")
        parent = wanted.partition(".")[2]
        return wanted in self.names or ("." in parent and f"*.{parent}" in self.names)

    @property
    def proven(self) -> str:
        """What it is for, in words: `sip.example.com, *.example.net and 3 more`."""
        said = [shown(name) for name in (*self.names, *self.addresses)]
        if not said:
            return f"nobody (it has no name but the common name {self.subject}, which proves nothing)"
        more = f" and {len(said) - NAMES_SHOWN} more" if len(said) > NAMES_SHOWN else ""
        return ", ".join(said[:NAMES_SHOWN]) + more

    def trouble(self, now: datetime.datetime) -> str:
        """`expired on 2026-11-01`, `is not valid before 2027-01-01`, `expires in 12 days, on 2026-12-06`; or empty."""
        if now >= self.not_after:
            return f"expired on {day(self.not_after)}"
        if now < self.not_before:
            return f"is not valid before {day(self.not_before)}"
        left = self.not_after - now
        if left > WARN_BEFORE:
            return ""
        return f"expires in {_days(left)}, on {day(self.not_after)}"

    def usable(self, now: datetime.datetime) -> bool:
        """Whether its time has come and is not over."""
        return self.not_before <= now < self.not_after


def read(file: str | Path) -> tuple[Certificate, ...]:
    """The certificates of a PEM file, in its order: at least one.

    Blocks for a small file. Raises ValueError with a sentence about the file.
    """
    data = _content(file)
    try:
        found = tuple(Certificate.of(one) for one in x509.load_pem_x509_certificates(data))
    except ValueError as error:
        text = "holds a certificate that cannot be read" if b"-BEGIN CERTIFICATE-" in data else "holds no certificate"
        raise ValueError(f"{file} {text}: it should be a PEM file (-----BEGIN CERTIFICATE-----)") from error
    return found


def fits(certificate_file: str | Path, key_file: str | Path) -> None:
    """Raise ValueError with a sentence unless the private key belongs to the first certificate. Blocks as `read`."""
    data, key_data = _content(certificate_file), _content(key_file)
    try:
        key = load_pem_private_key(key_data, None)
    except TypeError as error:
        raise ValueError(f"the key in {key_file} has a password, which nobody could type: take it off") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError(f"{key_file} holds no private key that can be read: it should be a PEM file") from error
    first = x509.load_pem_x509_certificates(data)[0]
    both = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*both) != first.public_key().public_bytes(*both):
        raise ValueError(f"the key in {key_file} does not belong to the certificate in {certificate_file}")


def day(at: datetime.datetime) -> str:
    """`2026-11-01`, in UTC, as certificates count."""
    return at.astimezone(datetime.UTC).strftime("%Y-%m-%d")


def shown(text: str) -> str:
    """Something that a peer wrote, for a sentence: printable and bounded."""
    return "".join(c if c.isprintable() else "?" for c in text)[:SHOWN_CHARACTERS]


def ascii_name(host: str) -> str:
    """A host name as certificates and SNI have it: lower case, no dot at its end. What cannot be written so stays."""
    host = host.lower().removesuffix(".")
    try:
        return host.encode("idna").decode("ascii")
    except UnicodeError:
        return host


def _identities(certificate: x509.Certificate) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """RFC 5922 §7.1: `sip:` URIs without a user; DNS names only if there is none. And the IP addresses."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return (), ()
    except x509.DuplicateExtension as error:
        raise ValueError("it has an extension twice") from error
    domains = _domains(names.get_values_for_type(x509.UniformResourceIdentifier))
    dns = dict.fromkeys(name.lower().removesuffix(".") for name in names.get_values_for_type(x509.DNSName))
    return domains or tuple(dns), tuple(str(address) for address in names.get_values_for_type(x509.IPAddress))


def _domains(uris: Iterable[str]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for uri in uris:
        scheme, _, rest = uri.partition(":")
        host = rest.partition(";")[0].partition("?")[0].lower()
        # §7.1: `sips` means nothing here, and a name with a user proves that user. A port is not part of a domain.
        if scheme.lower() == "sip" and host and "@" not in rest and "*" not in host:
            found[host.partition(":")[0].removesuffix(".")] = None
    return tuple(found)


def _called(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    organization = name.get_attributes_for_oid(x509.NameOID.ORGANIZATION_NAME)
    said = str((common or organization)[0].value) if common or organization else name.rfc4514_string()
    return shown(said or "nobody")


def _content(file: str | Path) -> bytes:
    try:
        with open(file, "rb") as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ValueError(f"{file} cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ValueError(f"{file} is larger than {FILE_BYTES_MAX // 1024 // 1024} MiB: it is no file of certificates")
    return data


def _days(left: datetime.timedelta) -> str:
    hours = int(left.total_seconds() // 3600)
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} hour{'' if hours == 1 else 's'}"


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
