"""An authority that signs whatever a test wants: expired, not yet valid, for another name, with `sip:` names."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

CERTIFICATE_SIGNING = x509.KeyUsage(
    key_cert_sign=True, crl_sign=True, digital_signature=True, content_commitment=False, key_encipherment=False,
    data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
)  # fmt: skip
DAY = timedelta(days=1)
YEAR = 365 * DAY


def general(name: str) -> x509.GeneralName:
    """`sip:…` is a URI, an address an address, everything else a DNS name."""
    if name.startswith(("sip:", "sips:")):
        return x509.UniformResourceIdentifier(name)
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def private_pem(key: ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    secret = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)


class Authority:
    """A root of its own. `file`: its certificate (PEM)."""

    def __init__(self, folder: Path, name: str = "Test Authority") -> None:
        self.folder = folder
        self.name = name
        self.key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        self.certificate = self._sign(self.key.public_key(), name, (), now - YEAR, now + YEAR, authority=True)
        self.file = folder / f"{name.replace(' ', '-').lower()}.pem"
        self.file.write_bytes(self.certificate.public_bytes(Encoding.PEM))
        self._count = 0

    def issue(
        self, *names: str, starts: timedelta = -30 * DAY, ends: timedelta = 90 * DAY, common: str = "",
        to: Path | None = None,
    ) -> Path:  # fmt: skip
        """A PEM file with a certificate for these names, and its key. starts, ends: from now on; to: which file."""
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        common = common or (names[0] if names else "nobody")
        signed = self._sign(key.public_key(), common, names, now + starts, now + ends)
        self._count += 1
        file = to or self.folder / f"{self.file.stem}-{self._count}.pem"
        file.write_bytes(signed.public_bytes(Encoding.PEM) + private_pem(key))
        return file

    def _sign(
        self, public: ec.EllipticCurvePublicKey, common: str, names: tuple[str, ...], starts: datetime, ends: datetime,
        *, authority: bool = False,
    ) -> x509.Certificate:  # fmt: skip
        builder = (
            x509.CertificateBuilder()
            .subject_name(called(common))
            .issuer_name(called(self.name))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(starts)
            .not_valid_after(ends)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if authority:  # what VERIFY_X509_STRICT asks for, which peers made with Python 3.13 set
            builder = builder.add_extension(CERTIFICATE_SIGNING, critical=True)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(map(general, names)), critical=False)
        return builder.sign(self.key, hashes.SHA256())


def self_signed(folder: Path, *names: str) -> Path:
    """A PEM file with a certificate that its owner signed, and the key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(called(names[0]))
        .issuer_name(called(names[0]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + YEAR)
        .add_extension(x509.SubjectAlternativeName(map(general, names)), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "self-signed.pem"
    file.write_bytes(signed.public_bytes(Encoding.PEM) + private_pem(key))
    return file


def called(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
