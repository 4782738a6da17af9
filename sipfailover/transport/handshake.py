"""Why a TLS connection came to nothing, in words on which an administrator can act. Pure.

A reason is one of the words below, a colon, and the particulars: `certificate expired: …`. The word is for those who
compare, the sentence for those who must do something; both go the way of all reasons (`Pool.lost`).
"""

import ssl
from dataclasses import dataclass
from datetime import datetime

from sipfailover.certificate import Certificate, day

EXPIRED = "certificate expired"
NOT_YET_VALID = "certificate not yet valid"
WRONG_NAME = "certificate for another name"
UNKNOWN_AUTHORITY = "certificate of an unknown authority"
INVALID = "certificate not valid"
"""Whatever else OpenSSL does not like about it."""
NO_TLS = "peer speaks no tls"
NO_HANDSHAKE = "no tls handshake in time"
TOO_OLD = "peer speaks an old tls"
WANTS_OURS = "peer wants our certificate"
REFUSES_OURS = "peer refuses our certificate"
BROKEN_OFF = "tls handshake broken off"
"""Without a word. Some say so when they want a certificate (asyncio's servers), others when they speak no TLS."""
FAILED = "tls failed"
UNUSABLE = "our tls settings cannot be used"
"""A file of ours that is missing or broken. No `local: ` before it: no call can go there until somebody mends it, so it
counts against the trunk."""

# OpenSSL's X509_V_ERR_…, which Python does not name.
_VERIFY = {
    9: NOT_YET_VALID,
    10: EXPIRED,
    2: UNKNOWN_AUTHORITY,
    18: UNKNOWN_AUTHORITY,
    19: UNKNOWN_AUTHORITY,
    20: UNKNOWN_AUTHORITY,
    21: UNKNOWN_AUTHORITY,
}

_PLAIN = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "HTTP_REQUEST", "BAD_RECORD_TYPE", "PACKET_LENGTH_TOO_LONG")
_OLD = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE")
_CERTIFICATE_ALERTS = (
    "BAD_CERTIFICATE", "UNSUPPORTED_CERTIFICATE", "CERTIFICATE_REVOKED", "CERTIFICATE_EXPIRED", "CERTIFICATE_UNKNOWN",
    "UNKNOWN_CA", "ACCESS_DENIED",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """What we wanted of the peer, for the sentences."""

    names: tuple[str, ...]
    """Any of these domains or addresses."""
    ca_file: str = ""
    """The authorities that we believe; empty: the system's."""
    shows: bool = False
    """Whether we have a certificate of our own to show."""
    port: int = 0


def refused(error: Exception, wanted: Wanted, seen: Certificate | None, now: datetime) -> str:
    """Why a handshake with a peer to which we connected failed. `seen`: its certificate, if we know it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _unverified(error, wanted, seen, now)
    if isinstance(error, ssl.SSLError):
        return alerted(error, wanted)
    if isinstance(error, TimeoutError):
        return f"{NO_HANDSHAKE}: the port is open, but nobody speaks tls there; is {wanted.port} its port for tls?"
    return broken_off(wanted)


def alerted(error: ssl.SSLError, wanted: Wanted) -> str:
    """What the peer, or the library, said that ended a connection to which we connected."""
    said = (error.reason or "").upper()
    words = said.replace("SSL/TLS_ALERT_", "").replace("SSLV3_ALERT_", "").replace("TLSV1_ALERT_", "")
    words = words.replace("TLSV13_ALERT_", "").replace("TLSV1_", "").replace("_", " ").lower() or str(error)
    if said.endswith(_PLAIN):
        return f"{NO_TLS}: it answers in plain text; is {wanted.port} its port for tls?"
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError) or "UNEXPECTED_EOF" in said:
        return broken_off(wanted)
    if said.endswith(_OLD):
        return f"{TOO_OLD}: 1.2 or 1.3 is needed"
    if "CERTIFICATE_REQUIRED" in said or ("HANDSHAKE_FAILURE" in said and not wanted.shows):
        sure = "" if "CERTIFICATE_REQUIRED" in said else ", it seems"
        return f"{WANTS_OURS}{sure}: write tls.certificate_file and key_file, and give the carrier its authority"
    if said.endswith(_CERTIFICATE_ALERTS) and "ALERT" in said:
        return f"{REFUSES_OURS}: it says '{words}'; ask the carrier which authority it believes"
    if "UNRECOGNIZED_NAME" in said:
        return f"{WRONG_NAME}: the peer does not know {wanted.names[0]}; is tls.server_name right?"
    return f"{FAILED}: {words}"


def broken_off(wanted: Wanted) -> str:
    """The peer to which we connected went without a word: in the handshake, or before it said anything over it."""
    asked = "does it know the authority of ours" if wanted.shows else "does it want a certificate of ours"
    return f"{BROKEN_OFF}: it closed the connection; is {wanted.port} its port for tls, and {asked}?"


def misnamed(seen: Certificate, wanted: Wanted) -> str:
    """The certificate is good, and somebody else's."""
    names = " or ".join(wanted.names)
    return f"{WRONG_NAME}: it is for {seen.proven}, wanted {names}; if that is the carrier, write it as tls.server_name"


def _unverified(error: ssl.SSLCertVerificationError, wanted: Wanted, seen: Certificate | None, now: datetime) -> str:
    word = _VERIFY.get(error.verify_code, INVALID)
    if word is EXPIRED:
        if seen is None:
            return f"{EXPIRED}: its owner must renew it"
        if seen.usable(now):
            return f"{EXPIRED}: one in the chain of {seen.subject}, above it; its owner must renew it"
        return f"{EXPIRED}: that of {seen.subject}, on {day(seen.not_after)}; its owner must renew it"
    if word is NOT_YET_VALID:
        when = f"that of {seen.subject}, before {day(seen.not_before)}; " if seen is not None else ""
        return f"{NOT_YET_VALID}: {when}is the clock of this machine right ({day(now)})?"
    if word is UNKNOWN_AUTHORITY:
        if seen is None:
            who = "its issuer is not among"
        elif seen.self_signed:
            who = f"{seen.subject} signed it itself, and is not among"
        else:
            who = f"{seen.issuer} issued it, and is not among"
        believed = f"those in {wanted.ca_file}" if wanted.ca_file else "the system's"
        return f"{UNKNOWN_AUTHORITY}: {who} {believed}; put the authority that the carrier names into tls.ca_file"
    return f"{INVALID}: {error.verify_message}"


def unwelcome(error: Exception) -> str:
    """Why the handshake of a peer that connected to us failed."""
    said = (getattr(error, "reason", "") or "").upper()
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused: {error.verify_message}; is its authority in tls.client_ca_file?"
    if "PEER_DID_NOT_RETURN_A_CERTIFICATE" in said:
        return "it shows no certificate, which tls.client_ca_file asks for"
    if "UNKNOWN_CA" in said or "BAD_CERTIFICATE" in said or "CERTIFICATE_UNKNOWN" in said:
        return "it does not believe our certificate: give it the authority of tls.certificate_file"
    if said.endswith(_PLAIN):
        return "it speaks no tls"
    if said.endswith(_OLD) or "WRONG_SSL_VERSION" in said or "VERSION_TOO_LOW" in said:
        return "it speaks an old tls: 1.2 or 1.3 is needed"
    if said:
        return said.replace("_", " ").lower()
    return "no handshake in time" if isinstance(error, ConnectionAbortedError) else "it closed the connection"
