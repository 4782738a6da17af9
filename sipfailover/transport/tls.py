"""TLS for SIP: whom we believe and what we show (RFC 5922), as contexts that follow their files. 1.2 and 1.3.

To a carrier we connect for a name that the administrator wrote: `tls.server_name`, or else the domain and the host of
the trunk. That name goes into SNI and must be in the certificate. Where DNS leads from there (NAPTR, SRV) proves
nothing (RFC 5922 §4): a name that somebody else wrote is no proof of who answers. There is no way to switch checking
off; a carrier with an authority of its own gives us its certificate, for `ca_file`.

Somebody who connects to us proves who it is only where `client_ca_file` asks for it. Then its certificate says which
trunk or PBX it is, from whatever address it comes.

`sips:` URIs promise TLS from end to end, which nobody in the middle can keep; we treat hops one by one.
"""

import os
import ssl
from collections.abc import Callable, Collection
from dataclasses import dataclass

from sipfailover.certificate import Certificate, ascii_name, read
from sipfailover.config import Settings, TrunkTls
from sipfailover.flow import TLS
from sipfailover.transport.handshake import UNUSABLE, Wanted

LOOK_EVERY = 1.0
"""Seconds for which a file is taken to be as it was. Looking costs a system call for each."""

Say = Callable[[str, str, dict[str, object]], None]
"""(level, text, values): one line for the operator's log."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """Whom a trunk or PBX must prove to be, and what it is shown."""

    names: tuple[str, ...]
    """Any of these; the first one is SNI."""
    known_as: tuple[str, ...]
    """The names by which it is recognised when it connects to us."""
    files: TrunkTls


NOBODY = Expectation(("nobody.invalid",), (), TrunkTls())


@dataclass(frozen=True, slots=True)
class Held:
    """A certificate that matters to us, for those who watch its end."""

    name: str
    """The trunk or PBX whose it is, or with which it is used; empty for that of our listeners."""
    use: str
    """`server` (our listeners), `client` (ours, shown to a carrier) or `peer` (the other side's, as last seen)."""
    certificate: Certificate

    def __str__(self) -> str:
        whose = {"server": "our certificate for tls listeners", "client": f"our certificate for {self.name}"}
        return whose.get(self.use, f"the certificate of {self.name}")


class Context:
    """An ssl.SSLContext made of files, and made again when one of them changes. What is broken keeps the old one."""

    def __init__(self, make: Callable[[], ssl.SSLContext], files: tuple[str, ...], shows: str, say: Say) -> None:
        self._make = make
        self._files = files
        self._shows = shows
        self._say = say
        self._stamp: tuple[object, ...] | None = None
        self._looked_at = float("-inf")
        self._context: ssl.SSLContext | None = None
        self.problem = ""
        """Why the files cannot be used as they are now; empty if they can."""
        self.certificate: Certificate | None = None
        """Our own, that goes with the context in use."""

    def get(self, now: float) -> ssl.SSLContext | None:
        """The context; None if there never was a good one. `now`: seconds, monotonic. Blocks for small files, and only
        when one has changed."""
        if now - self._looked_at < LOOK_EVERY:
            return self._context
        self._looked_at = now
        stamp = tuple(_stamp(file) for file in self._files)
        if stamp != self._stamp:
            first, self._stamp = self._stamp is None, stamp
            try:
                context = self._make()
                self.certificate = read(self._shows)[0] if self._shows else None
            except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
                self.problem = _why(error, self._files)
                kept = "; the old certificate is used on" if self._context is not None else ""
                self._say("error", f"tls: {self.problem}{kept}", {})
            else:
                self._context, self.problem = context, ""
                if not first and self._files:
                    self._say("info", "tls: certificates were read anew", {"files": ", ".join(self._files)})
        return self._context


class Tls:
    """All of it, for one process. `configure` takes the settings, at the start and again on reload."""

    def __init__(self, say: Say = lambda level, text, values: None) -> None:
        self._say = say
        self._server: Context | None = None
        self._clients: dict[str, Context] = {}
        """By the name of the trunk or PBX: as many as there are."""
        self._expected: dict[str, Expectation] = {}
        self._seen: dict[str, Certificate] = {}
        """What a peer showed last, good or not, by the name of its trunk or PBX."""

    def configure(self, settings: Settings, now: float, still: Collection[str] = ()) -> None:
        """Take these settings; connections that exist keep what they began with. `now`: seconds, monotonic. `still`:
        names that the settings do not have any more, and that are talked with as before for a while.

        Blocks for reading the files, so that the first call does not. What cannot be read is told by the log, and by
        whoever needs it.
        """
        ours, self._server, self._clients = settings.tls, None, {}
        self._expected = {
            **{name: before for name, before in self._expected.items() if name in still},
            **{pbx.name: _expectation(pbx.tls, pbx.host) for pbx in settings.pbx},
            **{trunk.name: _expectation(trunk.tls, trunk.domain, trunk.host) for trunk in settings.trunks},
        }
        self._seen = {name: seen for name, seen in self._seen.items() if name in self._expected}
        if ours.certificate_file:
            files = (ours.certificate_file, ours.key_file or ours.certificate_file, ours.client_ca_file)
            self._server = Context(lambda: _server_context(*files), _named(files), files[0], self._say)
            self._server.get(now)
        for name in [pbx.name for pbx in settings.pbx if pbx.transport == TLS]:
            self._client(name).get(now)
        for name in [trunk.name for trunk in settings.trunks if trunk.transport == TLS]:
            self._client(name).get(now)

    def server(self, now: float) -> ssl.SSLContext | None:
        """For connections that come in; None: we have no certificate that can be used."""
        return self._server.get(now) if self._server is not None else None

    def client(self, line: str, now: float) -> ssl.SSLContext | str:
        """For a connection to this trunk or PBX, or the reason why there can be none."""
        expected = self._expected.get(line)
        if expected is None or not expected.names:
            return "closed"  # a connection that we accepted has gone, and nobody knows whose proof to ask for
        context = self._client(line)
        return context.get(now) or f"{UNUSABLE}: {context.problem}"

    def wanted(self, line: str, port: int) -> Wanted:
        """What we want of this trunk or PBX. One that a reload has taken away can prove nothing any more."""
        expected = self._expected.get(line, NOBODY)
        files = expected.files
        return Wanted(expected.names, files.ca_file, bool(files.certificate_file), port)

    def saw(self, line: str, certificate: Certificate) -> None:
        """This trunk or PBX has shown this certificate."""
        self._seen[line] = certificate

    def recognised(self, certificate: Certificate) -> tuple[str, ...]:
        """The trunks and PBXs that this verified certificate can be, PBXs first; none for anybody else."""
        found = (line for line, expected in self._expected.items() if any(map(certificate.proves, expected.known_as)))
        return tuple(found)

    def held(self, now: float) -> tuple[Held, ...]:
        """Every certificate that is in use, and what the peers showed last. Looks whether our files have changed."""
        found = []
        if self._server is not None:
            self._server.get(now)
            if self._server.certificate is not None:
                found.append(Held("", "server", self._server.certificate))
        for line, context in self._clients.items():
            context.get(now)
            if context.certificate is not None:
                found.append(Held(line, "client", context.certificate))
        return (*found, *(Held(line, "peer", certificate) for line, certificate in self._seen.items()))

    def problems(self) -> tuple[str, ...]:
        """What is wrong with our files now."""
        contexts = (*((self._server,) if self._server is not None else ()), *self._clients.values())
        return tuple(dict.fromkeys(context.problem for context in contexts if context.problem))

    def _client(self, line: str) -> Context:
        context = self._clients.get(line)
        if context is None:
            own = self._expected[line].files
            files = (own.ca_file, own.certificate_file, own.key_file or own.certificate_file)
            context = Context(lambda: _client_context(*files), _named(files), own.certificate_file, self._say)
            self._clients[line] = context
        return context


def _expectation(files: TrunkTls, *hosts: str | None) -> Expectation:
    """RFC 5922 §7: the name for which DNS was asked. The carrier's domain and the host that the administrator wrote are
    such names, both; `server_name` takes their place."""
    known_as = tuple(dict.fromkeys(ascii_name(host) for host in (files.server_name, *hosts) if host))
    return Expectation((ascii_name(files.server_name),) if files.server_name else known_as, known_as, files)


def _server_context(certificate_file: str, key_file: str, client_ca_file: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _common(context)
    context.load_cert_chain(certificate_file, key_file, password="")  # with none, OpenSSL would ask at a terminal
    if client_ca_file:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca_file)
    return context


def _client_context(ca_file: str, certificate_file: str, key_file: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _common(context)
    # The chain is OpenSSL's to check; the name is ours (`Connections.opened`), because OpenSSL knows no `sip:` names.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    if ca_file:
        context.load_verify_locations(ca_file)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the carrier's own certificate is a good `ca_file` too
    else:
        context.load_default_certs()
    if certificate_file:
        context.load_cert_chain(certificate_file, key_file, password="")
    return context


def looking_context() -> ssl.SSLContext:
    """For looking at a certificate that was refused already: verifies nothing, so nothing may ever be said over it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _common(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION


def _named(files: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(file for file in files if file))


def _stamp(file: str) -> object:
    """Another value when the file has changed, was replaced, or went."""
    try:
        status = os.stat(file)
    except OSError as error:
        return error.errno
    return status.st_mtime_ns, status.st_size, status.st_ino


def _why(error: OSError | ValueError, files: tuple[str, ...]) -> str:
    """What is wrong with our files."""
    if isinstance(error, ssl.SSLError):
        said = (error.reason or str(error)).replace("_", " ").lower()
        return f"{' or '.join(files)} cannot be used: {said}"
    if isinstance(error, OSError):
        missing = [file for file in files if not os.path.exists(file)] or list(files)
        return f"{' or '.join(missing)} cannot be read: {(error.strerror or str(error)).lower()}"
    return str(error)
