"""Rules about certificates: files that are missing, keys that do not fit, ends that are near. They read the files.

A file that cannot be used is an error, because TLS would not work with it; a certificate that is over is a warning,
because everything else works, and its owner may renew it while we run.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from sipfailover import certificate
from sipfailover.config.finding import Finding, Rule
from sipfailover.config.model import Settings
from sipfailover.config.tree import Path
from sipfailover.config.trunk import TrunkTls
from sipfailover.config.words import is_address


def listeners_have_a_certificate(settings: Settings) -> Iterator[Finding]:
    """Whoever connects with TLS wants to see one."""
    for i, listen in enumerate(settings.listen):
        if listen.transport == "tls" and not settings.tls.certificate_file:
            text = "tls needs a certificate of ours: write certificate_file and key_file into the section 'tls'"
            yield Finding(("listen", i), text, compared=(("tls",),))


def own_certificate_can_be_used(settings: Settings) -> Iterator[Finding]:
    """The section `tls`."""
    ours = settings.tls
    if ours.certificate_file:
        yield from _pair(("tls",), ours.certificate_file, ours.key_file)
    elif ours.key_file:
        yield Finding(("tls", "key_file"), "needs certificate_file: a key alone proves nothing")
    if ours.client_ca_file:
        yield from _authorities(("tls", "client_ca_file"), ours.client_ca_file)


def certificates_for_peers_can_be_used(settings: Settings) -> Iterator[Finding]:
    """The sections `tls` of trunks and PBXs, where tls is spoken."""
    peers: list[tuple[Path, str, TrunkTls]] = [
        (("trunks", i), trunk.transport, trunk.tls) for i, trunk in enumerate(settings.trunks)
    ]
    peers += [(("pbx", i), pbx.transport, pbx.tls) for i, pbx in enumerate(settings.pbx)]
    for path, transport, files in peers:
        at = (*path, "tls")
        if transport != "tls":
            if files.model_fields_set:
                text = f"has no effect with transport {transport}"
                yield Finding(at, text, warning=True, compared=((*path, "transport"),))
            continue
        if files.ca_file:
            yield from _authorities((*at, "ca_file"), files.ca_file)
        if files.certificate_file:
            yield from _pair(at, files.certificate_file, files.key_file)
        elif files.key_file:
            yield Finding((*at, "key_file"), "needs certificate_file: a key alone proves nothing")


def peers_have_a_name(settings: Settings) -> Iterator[Finding]:
    """Few certificates are for an address."""
    peers: list[tuple[Path, str, TrunkTls, tuple[str | None, ...]]] = [
        (("trunks", i), trunk.transport, trunk.tls, (trunk.domain, trunk.host))
        for i, trunk in enumerate(settings.trunks)
    ]
    peers += [(("pbx", i), pbx.transport, pbx.tls, (pbx.host,)) for i, pbx in enumerate(settings.pbx) if pbx.host]
    for path, transport, files, hosts in peers:
        if transport == "tls" and not files.server_name and all(is_address(host) for host in hosts if host):
            text = (
                f"its certificate must then be for the address {hosts[-1]}; if it is for a name, write tls.server_name"
            )
            yield Finding((*path, "host"), text, warning=True, compared=((*path, "transport"), (*path, "tls")))


RULES: tuple[Rule, ...] = (
    listeners_have_a_certificate,
    own_certificate_can_be_used,
    certificates_for_peers_can_be_used,
    peers_have_a_name,
)


def described(file: str) -> str:
    """Whom our certificate is for and how long, in words; empty if it cannot be read now."""
    try:
        first = certificate.read(file)[0]
    except ValueError:
        return ""
    return f"for {first.proven}, until {certificate.day(first.not_after)}"


def _pair(at: Path, certificate_file: str, key_file: str) -> Iterator[Finding]:
    """Our certificate and its key."""
    path = (*at, "certificate_file")
    try:
        first = certificate.read(certificate_file)[0]
    except ValueError as error:
        yield Finding(path, str(error))
        return
    try:
        certificate.fits(certificate_file, key_file or certificate_file)
    except ValueError as error:
        yield Finding((*at, "key_file") if key_file else path, str(error))
    if trouble := first.trouble(datetime.now(UTC)):
        yield Finding(path, f"the certificate for {first.proven} {trouble}: renew it", warning=True)


def _authorities(path: Path, file: str) -> Iterator[Finding]:
    """Certificates that we believe."""
    try:
        found = certificate.read(file)
    except ValueError as error:
        yield Finding(path, str(error))
        return
    now = datetime.now(UTC)
    troubles = [f"{one.subject} {trouble}" for one in found if (trouble := one.trouble(now))]
    if len(troubles) == len(found):
        yield Finding(path, f"{'; '.join(troubles[:3])}: ask for a new one", warning=True)
