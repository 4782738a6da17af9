"""Delivery to a real mail server and a real webhook on loopback, and what is said when it fails."""

import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from sipfailover.alerts import send
from sipfailover.alerts.condition import Severity
from sipfailover.alerts.send import NotDelivered, deliver, posted
from sipfailover.alerts.text import Words
from sipfailover.config import Notify
from tests.alerts.sinks import mail_server, webhook

WORDS = Words(
    "began", Severity.CRITICAL, "2026-11-23T10:31:07+01:00", "[Zürich] NO TRUNK LEFT – calls fail",
    "No trunk can carry a call.", "main: it is silent.", "Every call still tries all trunks.", "http://192.168.10.6:8080/",
)  # fmt: skip


def by_mail(port: int, scheme: str = "smtp", **more: Any) -> Notify:
    return Notify.model_validate(
        {"email": ["it@muster.example", "partner@it.example"], "smtp": f"{scheme}://localhost:{port}",
         "sender": "telephone@muster.example", **more}
    )  # fmt: skip


def by_hook(url: str, **more: Any) -> Notify:
    return Notify.model_validate({"webhook": url, **more})


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """Whom the mail client trusts, and nobody else."""
    authority = trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setattr(send.ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(file))
    monkeypatch.setattr(send.ssl, "create_default_context", lambda: context)
    return authority


def server_context(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


async def test_a_mail_arrives_with_its_umlauts_and_heads() -> None:
    async with mail_server() as server:
        await deliver(by_mail(server.port), WORDS, site="Zürich")
        (mail,) = server.mails
        assert mail["Subject"] == WORDS.subject
        assert mail["To"] == "it@muster.example, partner@it.example"
        assert mail["Importance"] == "high"
        assert mail["Auto-Submitted"] == "auto-generated"
        assert mail.get_content().replace("\r\n", "\n").startswith(WORDS.body)
        assert [line for line in server.lines if line.startswith("rcpt")] == [
            "rcpt TO:<it@muster.example>", "rcpt TO:<partner@it.example>",
        ]  # fmt: skip


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_mail_is_encrypted_and_the_password_is_said_only_then(authority: trustme.CA, scheme: str) -> None:
    context = server_context(authority)
    async with mail_server(tls=context, starttls=scheme == "smtp", password="s3cret") as server:
        target = by_mail(server.port, scheme, username="u", password="s3cret")
        await deliver(target, WORDS, site="")
        assert len(server.mails) == 1
        with pytest.raises(NotDelivered, match="said 535 wrong password"):
            await deliver(by_mail(server.port, scheme, username="u", password="other"), WORDS, site="")


async def test_a_password_is_never_said_in_clear_text() -> None:
    async with mail_server(password="s3cret") as server:
        with pytest.raises(NotDelivered, match="no STARTTLS"):
            await deliver(by_mail(server.port, username="u", password="s3cret"), WORDS, site="")
        assert not any("AUTH" in line for line in server.lines)


async def test_a_mail_server_of_somebody_else_gets_nothing(authority: trustme.CA) -> None:
    async with mail_server(tls=server_context(authority, "other.example"), starttls=True) as server:
        with pytest.raises(NotDelivered, match="certificate"):
            await deliver(by_mail(server.port), WORDS, site="")
        assert server.mails == []


async def test_what_the_mail_server_refuses_is_told() -> None:
    async with mail_server() as server:
        server.refuse = "550 no such user"
        with pytest.raises(NotDelivered, match=r"refused every recipient: it@muster.example \(550 no such user\)"):
            await deliver(by_mail(server.port), WORDS, site="")
    with pytest.raises(NotDelivered, match="refused"):
        await deliver(by_mail(server.port), WORDS, site="")


@pytest.mark.parametrize("form", ["json", "slack", "teams", "ntfy"])
async def test_a_webhook_gets_what_its_kind_wants(form: str) -> None:
    async with webhook() as hook:
        await deliver(by_hook(hook.url, format=form, local_address="127.0.0.9"), WORDS, site="Zürich")
        (got,) = hook.posts
        assert "NO TRUNK LEFT" in str(got)
        assert hook.sources == ["127.0.0.9"], "sent from where it was told"
        if form == "ntfy":
            assert (hook.paths, got["topic"], got["priority"]) == (["/"], "hooks/secret", 5)
        else:
            assert hook.paths == ["/hooks/secret"]
            assert got == posted(form, WORDS, "Zürich")


def test_json_has_every_part_by_its_name() -> None:
    assert posted("json", WORDS, "Zürich") == {
        "kind": "began", "severity": "critical", "time": WORDS.time, "site": "Zürich", "subject": WORDS.subject,
        "effect": WORDS.effect, "cause": WORDS.cause, "next": WORDS.next, "look": WORDS.look,
    }  # fmt: skip


async def test_what_a_webhook_says_is_told_without_its_address() -> None:
    async with webhook() as hook:
        hook.status, hook.text = 403, "no such\nhook"
        with pytest.raises(NotDelivered) as caught:
            await deliver(by_hook(hook.url), WORDS, site="")
        assert str(caught.value) == "127.0.0.1 said 403 Forbidden no such hook"
        hook.status = 302
        with pytest.raises(NotDelivered, match="said 302"):
            await deliver(by_hook(hook.url), WORDS, site="")
        assert len(hook.paths) == 2, "nobody is sent on to somewhere else"
    with pytest.raises(NotDelivered) as caught:
        await deliver(by_hook(hook.url), WORDS, site="")
    assert "secret" not in str(caught.value)
