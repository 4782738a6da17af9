"""Delivery: a mail by SMTP, or a post to a webhook. Each raises `NotDelivered` in an administrator's words.

SMTP is the standard library's client, in a thread of its own and bounded in time. What a webhook wants is `posted`, a
pure function.
"""

import asyncio
import smtplib
import ssl
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from sipfailover.alerts.condition import Severity
from sipfailover.alerts.incident import RECOVERED, TEST
from sipfailover.alerts.text import Words
from sipfailover.config import Notify
from sipfailover.errors import SipfailoverError

WITHIN = 20.0
"""Seconds for one delivery, and for each step of one by mail."""
ANSWER_MAX = 300
"""Characters of a refusal that are shown."""

COLOURS = {Severity.NOTICE: "accent", Severity.WARNING: "warning", Severity.CRITICAL: "attention"}
PRIORITIES = {Severity.NOTICE: 3, Severity.WARNING: 4, Severity.CRITICAL: 5}
SIGNS = {Severity.NOTICE: ":information_source:", Severity.WARNING: ":warning:", Severity.CRITICAL: ":rotating_light:"}


class NotDelivered(SipfailoverError):
    """The other side's word, or the way there."""


async def deliver(target: Notify, words: Words, *, site: str) -> None:
    """Deliver it now. Raises NotDelivered."""
    try:
        async with asyncio.timeout(2 * WITHIN):
            if target.email:
                await asyncio.to_thread(_mail, target, words, site)
            else:
                await _post(target, words, site)
    except TimeoutError as error:
        raise NotDelivered(f"no answer within {WITHIN:.0f} s") from error


# -- mail -------------------------------------------------------------------------------------------------------------


def letter(target: Notify, words: Words, site: str) -> EmailMessage:
    """The mail."""
    mail = EmailMessage()
    mail["Subject"] = words.subject
    mail["From"] = target.sender
    mail["To"] = ", ".join(target.email)
    mail["Date"] = format_datetime(datetime.fromisoformat(words.time))
    mail["Message-ID"] = make_msgid(domain=target.sender.partition("@")[2])
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no absence note comes back
    mail["X-Sipfailover"] = words.kind
    if words.severity is Severity.CRITICAL:
        mail["Importance"] = "high"
    mail.set_content(f"{words.body}\n\n{site or 'sipfailover'}, {words.time}\n")
    return mail


def _mail(target: Notify, words: Words, site: str) -> None:
    scheme, host, port = target.server
    source = (target.local_address, 0) if target.local_address else None
    trust = ssl.create_default_context()
    try:
        server: smtplib.SMTP
        if scheme == "smtps":
            server = smtplib.SMTP_SSL(host, port, timeout=WITHIN, source_address=source, context=trust)
        else:
            server = smtplib.SMTP(host, port, timeout=WITHIN, source_address=source)
        with server:
            server.ehlo()
            if scheme == "smtp" and server.has_extn("starttls"):
                server.starttls(context=trust)
                server.ehlo()
            elif scheme == "smtp" and target.password is not None:
                raise NotDelivered(f"{host} offers no STARTTLS, and the password is not sent in clear text")
            if target.password is not None:
                server.login(target.username, target.password.get_secret_value())
            refused = server.send_message(letter(target, words, site))
    except smtplib.SMTPResponseException as error:
        raise NotDelivered(f"{host} said {error.smtp_code} {_printable(error.smtp_error)}") from error
    except smtplib.SMTPRecipientsRefused as error:
        raise NotDelivered(f"{host} refused every recipient: {_refusals(error.recipients)}") from error
    except (OSError, smtplib.SMTPException) as error:
        raise NotDelivered(f"{host}:{port}: {_printable(error)}") from error
    if refused:
        raise NotDelivered(f"{host} refused {_refusals(refused)}; the others have it")


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return ", ".join(f"{who} ({code} {_printable(why)})" for who, (code, why) in refused.items())


# -- webhook ----------------------------------------------------------------------------------------------------------


def posted(form: str, words: Words, site: str) -> dict[str, Any]:
    """The JSON object that this kind of webhook wants."""
    match form:
        case "slack":
            sign = ":white_check_mark:" if words.kind in (RECOVERED, TEST) else SIGNS[words.severity]
            return {"text": f"{sign} *{words.subject}*\n{words.body}"}
        case "teams":
            colour = "good" if words.kind in (RECOVERED, TEST) else COLOURS[words.severity]
            heading = {"type": "TextBlock", "text": words.subject, "weight": "bolder", "color": colour, "wrap": True}
            parts = (("Effect", words.effect), ("Cause", words.cause), ("Next", words.next))
            facts = {"type": "FactSet", "facts": [{"title": head, "value": text} for head, text in parts if text]}
            look = [{"type": "Action.OpenUrl", "title": "Look", "url": words.look}] if words.look else []
            card = {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [heading, facts],
                "actions": look,
            }
            kind = "application/vnd.microsoft.card.adaptive"
            return {"type": "message", "attachments": [{"contentType": kind, "content": card}]}
        case "ntfy":
            return {
                "title": words.subject,
                "message": words.body,
                "priority": PRIORITIES[words.severity] if words.kind not in (RECOVERED, TEST) else 3,
                "tags": ["white_check_mark" if words.kind in (RECOVERED, TEST) else "telephone_receiver"],
                **({"click": words.look} if words.look else {}),
            }
        case _:
            return {
                "kind": words.kind,
                "severity": words.severity.name.lower(),
                "time": words.time,
                "site": site,
                "subject": words.subject,
                "effect": words.effect,
                "cause": words.cause,
                "next": words.next,
                "look": words.look,
            }


async def _post(target: Notify, words: Words, site: str) -> None:
    assert target.webhook is not None
    url = target.webhook.get_secret_value()
    data = posted(target.format, words, site)
    if target.format == "ntfy":  # JSON goes to the server's root, with the topic inside
        parts = urlsplit(url)
        data["topic"] = parts.path.strip("/")
        url = f"{parts.scheme}://{parts.netloc}/"
    host = urlsplit(url).hostname
    local = (target.local_address, 0) if target.local_address else None
    login = aiohttp.BasicAuth(target.username, target.password.get_secret_value()) if target.password else None
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(local_addr=local),
                timeout=aiohttp.ClientTimeout(total=WITHIN),
                auth=login,
            ) as session,
            session.post(url, json=data, allow_redirects=False) as answer,
        ):
            if answer.status >= 300:
                text = (await answer.content.read(ANSWER_MAX)).decode("utf-8", "replace")
                raise NotDelivered(f"{host} said {answer.status} {answer.reason or ''} {_printable(text)}".strip())
    except aiohttp.ClientError as error:
        raise NotDelivered(f"{host}: {_printable(error)}") from error


def _printable(value: object) -> str:
    """What the other side said, bounded and on one line; nothing of an address that is a secret."""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "".join(c if c.isprintable() else " " for c in text)[:ANSWER_MAX]
