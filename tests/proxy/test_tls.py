"""TLS as the engine sees it: who has proved to be whom, and what is told when nobody can."""

from sipfailover.flow import Target
from tests.kit import ack, after, answer, flow, invite, logged, lost, received, request, resolved, send, sends_nothing
from tests.proxy.office import BACKUP, MAIN, PBX, has, office, sent

HERE = b"192.0.2.1:5061"
ROAMING = flow("main from elsewhere", "192.0.2.200", 40000, "tls", sent_by=HERE, connection=5, line="main")
STRANGER = flow("a stranger over tls", "192.0.2.201", 40000, "tls", sent_by=HERE, connection=6)
SECURE = Target("tls", MAIN.host, 5061, HERE, line="main")
EXPIRED = "certificate expired: that of sip.main.example, on 2026-11-01; its owner must renew it"


def test_a_trunk_is_known_by_its_certificate_wherever_it_calls_from() -> None:
    book = office()
    assert (
        book
        >> received(ROAMING, invite("+41441112233", caller="+41443210019", host="192.0.2.200:40000", transport="TLS"))
        << send(ROAMING, 100) << send(PBX, "INVITE")
        >> received(PBX, answer(200))
        << send(ROAMING, 200, has(contact=b"<sip:+41441112233@192.0.2.1:5061;transport=tls>"))
        >> received(ROAMING, ack())
        << send(PBX, "ACK")
    )  # fmt: skip
    (call,) = book.engine.view(book.now).calls
    assert (call.direction, call.trunk or "main") == ("inbound", "main")


def test_who_proves_nothing_over_tls_is_a_stranger() -> None:
    book = office()
    assert (
        book
        >> received(STRANGER, request("OPTIONS", host="192.0.2.201:40000"))
        << logged("warning", "messages from 192.0.2.201 are ignored") << sends_nothing()
    )  # fmt: skip


def test_a_proof_goes_before_an_address() -> None:
    """The backup's machine shows the main carrier's certificate: it is the main carrier."""
    book = office()
    assert book.engine.core.line_at(flow("x", BACKUP.host, BACKUP.port, "tls", line="main")) is book.line("main")
    assert book.engine.core.line_at(BACKUP) is book.line("backup")
    assert book.engine.core.line_at(flow("x", MAIN.host, transport="tls", line="gone")) is None


def test_an_options_over_tls_says_tls() -> None:
    book = office(probes="options_every: 10s")
    book.answers_probes = False
    assert book >> resolved("main", SECURE) >> after(15.0)
    question = sent(book, SECURE, "OPTIONS")[-1]
    assert question.via.transport == b"TLS"
    assert question.contact is not None
    assert question.contact.uri == b"sip:192.0.2.1:5061;transport=tls"


def test_a_failed_handshake_moves_the_call_on_and_is_told_once_and_shown_until_it_is_mended() -> None:
    book = office()
    assert book >> resolved("main", SECURE)
    for number in range(3):
        assert (
            book
            >> received(PBX, invite(f"+4144321001{number}"))
            << send(PBX, 100) << send(SECURE, "INVITE")
        )  # fmt: skip
        book >> lost(SECURE, EXPIRED)
        if not number:
            book << logged("error", "no tls connection to trunk main")
        assert book << send(BACKUP, "INVITE")
    view = book.engine.view(book.now)
    assert (view.trunks[0].note, view.trunks[1].note) == (EXPIRED, "")
    assert EXPIRED in view.trunks[0].why
    assert len([text for text in book._story if "no tls connection" in text]) == 1
    question = request("OPTIONS", host="192.0.2.200:40000", transport="TLS")
    book.engine.receive(ROAMING, question, book.now)
    assert book.engine.view(book.now).trunks[0].note == EXPIRED, "that it can call us does not help us to call it"
    here = flow("main over tls", SECURE.host, SECURE.port, "tls", sent_by=HERE, connection=7, line="main")
    book.engine.receive(here, question, book.now)
    assert book.engine.view(book.now).trunks[0].note == ""


def test_a_fault_of_two_trunks_at_one_address_is_that_of_one() -> None:
    book = office()
    other = Target("tls", MAIN.host, 5061, HERE, line="backup")
    assert (
        book
        >> resolved("main", SECURE) >> resolved("backup", other)
        >> received(PBX, invite())
        << send(PBX, 100) << send(SECURE, "INVITE")
        >> lost(other, EXPIRED)
        << logged("error", "no tls connection to trunk backup") << sends_nothing()
    )  # fmt: skip
