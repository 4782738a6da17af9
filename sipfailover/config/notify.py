"""The section `notify`: who is told what, and how."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from sipfailover.config.hours import When, when
from sipfailover.config.section import Secret, Section
from sipfailover.config.words import Host, OneLine, Text, as_list, is_address, lower

About = Literal["began", "recovered", "reminder", "flapping", "emergency"]
Severity = Literal["notice", "warning", "critical"]
SMTP_PORTS = {"smtp": 25, "smtps": 465}


def _mailbox(value: object) -> object:
    if isinstance(value, str) and (value.count("@") != 1 or any(c in value for c in " <>\r\n,;")):
        raise ValueError(f"'{value}' is not a mail address: write name@example.com")
    return value


def _server(value: object) -> object:
    """`smtp://host:587`, or `smtps://host`."""
    if not isinstance(value, str):
        return value
    parts = urlsplit(value.strip())
    try:
        well = parts.scheme in SMTP_PORTS and parts.hostname and not parts.path.strip("/") and parts.port != 0
    except ValueError:
        well = False
    if not well:
        raise ValueError(
            f"'{value}' is not a mail server: write smtp://mail.example.com:587 or smtps://mail.example.com"
        )
    if parts.username or parts.password:
        raise ValueError("the mail server has a name or password in it: write username and password below")
    return value.strip()


def _hours(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() in ("", "no", "none"):
        return None
    found = when(value)
    if isinstance(found, When) and found.window is None:
        raise ValueError(f"'{value}' are no hours: write them as in 22:00-06:00")
    return found


Mailbox = Annotated[Text, BeforeValidator(_mailbox)]
Quiet = Annotated[
    When | None,
    BeforeValidator(_hours),
    WithJsonSchema({"type": "string", "pattern": r"^(no|none|\d{1,2}:\d\d-\d{1,2}:\d\d)$"}),
]


class Notify(Section):
    """One way to be told: mail to some people, or one webhook."""

    email: Annotated[tuple[Mailbox, ...], BeforeValidator(as_list), Field(max_length=20)] = ()
    """Mail addresses. Needs smtp and sender. Default: no mail."""
    smtp: Annotated[Text, BeforeValidator(_server)] = ""
    """The mail server: smtp://mail.example.com:587 (encrypted by STARTTLS as soon as the server offers it, and always
    before a password is said) or smtps://mail.example.com (encrypted from the start). Default ports 25 and 465."""
    sender: Annotated[Text, BeforeValidator(_mailbox)] = ""
    """The mail address from which it comes."""
    username: OneLine = ""
    """For the mail server, or for a webhook that wants a name and a password. Default: none."""
    password: Secret | None = None
    """The password that goes with it. Better ${NAME} or password_file. Default: none."""
    password_file: Text = ""
    """A file that holds the password. Relative to this file. Default: none."""
    webhook: Secret | None = None
    """An address (https://…) to which a message is posted. Whoever knows it can write there, so better ${NAME} or
    webhook_file. Default: none."""
    webhook_file: Text = ""
    """A file that holds the address. Relative to this file. Default: none."""
    format: Annotated[Literal["json", "slack", "teams", "ntfy"], BeforeValidator(lower)] = "json"
    """What is posted: json (every part of the message by its name, for programs of your own), slack (Mattermost and
    Rocket.Chat understand it too), teams (an adaptive card, for a workflow of Teams) or ntfy. Default json."""
    about: Annotated[tuple[About, ...], BeforeValidator(as_list), Field(min_length=1)] = (
        "began", "recovered", "reminder", "flapping", "emergency",
    )  # fmt: skip
    """Kinds of messages: began (something is wrong), recovered, reminder (calls still fail, every 15 minutes), flapping
    (it comes and goes) and emergency (an emergency call went over another trunk, or reached nobody). Default: all."""
    at_least: Annotated[Severity, BeforeValidator(lower)] = "warning"
    """How bad it must be: notice (a certificate runs out soon), warning (calls go on, somebody should look) or critical
    (calls fail). Default warning."""
    quiet: Quiet = None
    """Hours of the local day, as in 22:00-06:00, in which only what is critical is sent; the rest comes after them,
    unless it is over by then. Default: none."""
    local_address: Host | None = None
    """An address of this machine from which it is sent, so that it takes another line than the one that may have
    failed (an LTE router, for example). Default: the system chooses."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if bool(self.email) == (self.webhook is not None):
            raise ValueError("one of email and webhook is needed, and not both: make two entries of them")
        if self.email and not (self.smtp and self.sender):
            raise ValueError("email needs smtp (the mail server) and sender (the address from which it comes)")
        if self.webhook is not None and not self.webhook.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("webhook must begin with https:// or http://")
        if self.username and self.password is None:
            raise ValueError("username needs password or password_file")
        if self.local_address is not None and not is_address(self.local_address):
            raise ValueError("local_address must be an IP address of this machine")
        return self

    @property
    def server(self) -> tuple[str, str, int]:
        """(`smtp` or `smtps`, host, port) of the mail server."""
        parts = urlsplit(self.smtp)
        return parts.scheme, parts.hostname or "", parts.port or SMTP_PORTS[parts.scheme]

    def __str__(self) -> str:
        """Who is told, without a secret."""
        if self.email:
            return f"mail to {', '.join(self.email)} by {self.smtp}"
        host = urlsplit(self.webhook.get_secret_value()).hostname if self.webhook is not None else ""
        return f"{self.format} to {host}"
