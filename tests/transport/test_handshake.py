"""What is said of a failed handshake, and what people are told: row by row, also where no peer at hand does it."""

import ssl
from datetime import UTC, datetime

import pytest

from sipfailover.certificate import Certificate
from sipfailover.transport.handshake import Wanted, alerted, misnamed, refused, unwelcome

NOW = datetime(2026, 11, 24, tzinfo=UTC)
PLAIN = Wanted(("sip.carrier.example",), port=5061)
SHOWING = Wanted(("sip.carrier.example",), "/etc/ca.pem", shows=True, port=5061)


def error(reason: str) -> ssl.SSLError:
    """As the library raises it: the reason is an attribute that cannot be given."""

    class Error(ssl.SSLError):
        pass

    Error.reason = reason  # type: ignore[assignment]
    return Error(1, reason)


def unverified(code: int, text: str = "as OpenSSL says it") -> ssl.SSLCertVerificationError:
    made = ssl.SSLCertVerificationError(1, text)
    made.verify_code, made.verify_message = code, text
    return made


@pytest.mark.parametrize(
    ("reason", "wanted", "said"),
    [
        ("WRONG_VERSION_NUMBER", PLAIN, "peer speaks no tls: it answers in plain text; is 5061 its port for tls?"),
        ("HTTP_REQUEST", PLAIN, "peer speaks no tls: it answers in plain text; is 5061 its port for tls?"),
        ("TLSV1_ALERT_PROTOCOL_VERSION", PLAIN, "peer speaks an old tls: 1.2 or 1.3 is needed"),
        ("UNSUPPORTED_PROTOCOL", PLAIN, "peer speaks an old tls: 1.2 or 1.3 is needed"),
        ("TLSV13_ALERT_CERTIFICATE_REQUIRED", PLAIN, "peer wants our certificate: write tls.certificate_file"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", PLAIN, "peer wants our certificate, it seems: write tls.certificate_file"),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", SHOWING, "tls failed: handshake failure"),
        ("TLSV1_ALERT_UNKNOWN_CA", SHOWING, "peer refuses our certificate: it says 'unknown ca'"),
        ("SSL/TLS_ALERT_BAD_CERTIFICATE", SHOWING, "peer refuses our certificate: it says 'bad certificate'"),
        ("SSLV3_ALERT_CERTIFICATE_EXPIRED", SHOWING, "peer refuses our certificate: it says 'certificate expired'"),
        ("TLSV1_UNRECOGNIZED_NAME", PLAIN, "certificate for another name: the peer does not know sip.carrier.example"),
        ("UNEXPECTED_EOF_WHILE_READING", PLAIN, "tls handshake broken off: it closed the connection; is 5061 its port"),
        ("NO_CIPHERS_AVAILABLE", PLAIN, "tls failed: no ciphers available"),
    ],
)
def test_what_a_peer_says(reason: str, wanted: Wanted, said: str) -> None:
    assert alerted(error(reason), wanted).startswith(said)
    assert refused(error(reason), wanted, None, NOW).startswith(said)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (10, "certificate expired: its owner must renew it"),
        (9, "certificate not yet valid: is the clock of this machine right (2026-11-24)?"),
        (20, "certificate of an unknown authority: its issuer is not among those in /etc/ca.pem; put the authority"),
        (26, "certificate not valid: as OpenSSL says it"),
    ],
)
def test_what_is_said_of_a_certificate_that_nobody_could_look_at(code: int, said: str) -> None:
    assert refused(unverified(code), SHOWING, None, NOW).startswith(said)


def test_a_good_certificate_below_an_expired_one() -> None:
    seen = Certificate("sip.carrier.example", "CA", NOW, NOW.replace(year=2027), ("sip.carrier.example",))
    said = "certificate expired: one in the chain of sip.carrier.example, above it; its owner must renew it"
    assert refused(unverified(10), PLAIN, seen, NOW) == said


def test_somebody_elses_certificate() -> None:
    seen = Certificate("x", "CA", NOW, NOW, ("sbc.hosting.example", "*.hosting.example"))
    assert misnamed(seen, PLAIN) == (
        "certificate for another name: it is for sbc.hosting.example, *.hosting.example, wanted sip.carrier.example; "
        "if that is the carrier, write it as tls.server_name"
    )


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (error("PEER_DID_NOT_RETURN_A_CERTIFICATE"), "it shows no certificate, which tls.client_ca_file asks for"),
        (error("TLSV1_ALERT_UNKNOWN_CA"), "it does not believe our certificate: give it the authority of"),
        (error("SSLV3_ALERT_CERTIFICATE_UNKNOWN"), "it does not believe our certificate: give it the authority of"),
        (error("HTTP_REQUEST"), "it speaks no tls"),
        (error("UNSUPPORTED_PROTOCOL"), "it speaks an old tls: 1.2 or 1.3 is needed"),
        (error("NO_SHARED_CIPHER"), "no shared cipher"),
        (unverified(10, "certificate has expired"), "its certificate is refused: certificate has expired"),
        (ConnectionAbortedError("too long"), "no handshake in time"),
        (ConnectionResetError(), "it closed the connection"),
    ],
)
def test_what_is_said_of_who_could_not_connect(failure: Exception, said: str) -> None:
    assert unwelcome(failure).startswith(said)
