"""The section `notify`: what is accepted, and what is said of what is not."""
# ruff: noqa: E501 (tables of whole messages, one a row)

from pathlib import Path

import pytest

from sipfailover.config import Notify, describe, parse
from sipfailover.errors import ConfigError

GOOD = "pbx: 192.168.10.5\ntrunks: [{name: main, host: 192.0.2.1}, {name: backup, host: 192.0.2.2}]\n"
MAIL = "email: it@muster.example, smtp: smtp://mail.example:587, sender: t@muster.example"
HOOK = "https://chat.example/hooks/s3cret"


def notify(entry: str, folder: Path = Path("/nonexistent"), **environment: str) -> Notify:
    return parse(f"{GOOD}notify: [{{{entry}}}]", folder=folder, environment=environment).notify[0]


def test_one_entry_needs_no_list_and_one_address_neither() -> None:
    settings = parse(f"{GOOD}notify: {{{MAIL}}}")
    assert settings.notify[0].email == ("it@muster.example",)
    assert parse(GOOD).notify == ()


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("about: began", "one of email and webhook is needed, and not both: make two entries of them"),
        (f"{MAIL}, webhook: '{HOOK}'", "one of email and webhook is needed, and not both: make two entries of them"),
        ("email: it@muster.example", "email needs smtp (the mail server) and sender (the address from which it comes)"),
        ("email: it, smtp: smtp://m, sender: t@m.example", "'it' is not a mail address: write name@example.com"),
        (f"{MAIL.replace('smtp://mail.example:587', 'mail.example')}", "'mail.example' is not a mail server: write smtp://mail.example.com:587 or smtps://mail.example.com"),
        (f"{MAIL.replace('smtp://', 'smtp://u:p@')}", "the mail server has a name or password in it: write username and password below"),
        (f"{MAIL}, username: u", "username needs password or password_file"),
        ("webhook: chat.example/x", "webhook must begin with https:// or http://"),
        (f"webhook: '{HOOK}', quiet: at night", "'at night' is no time for a return"),
        (f"webhook: '{HOOK}', quiet: manual", "'manual' are no hours: write them as in 22:00-06:00"),
        (f"webhook: '{HOOK}', local_address: lte.lan", "local_address must be an IP address of this machine"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(entry: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        notify(entry)
    assert said in "\n".join(problem.text for problem in caught.value.problems)
    assert "s3cret" not in "\n".join(map(str, caught.value.problems))


def test_the_address_of_a_webhook_is_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "hook"
    file.write_text(f"{HOOK}\n")
    file.chmod(0o600)
    for target in (notify("webhook: '${HOOK}'", HOOK=HOOK), notify("webhook_file: hook", tmp_path)):
        assert target.webhook is not None
        assert target.webhook.get_secret_value() == HOOK
        assert "s3cret" not in f"{target} {target!r}"
        assert str(target) == "json to chat.example"


def test_it_is_told_back_without_a_secret() -> None:
    lines = [line for line in describe(parse(f"{GOOD}notify: [{{{MAIL}, quiet: 22:00-06:00}}]")) if "notify" in line]
    assert lines == [
        "notify    mail to it@muster.example by smtp://mail.example:587: began, recovered, reminder, flapping, emergency, warning and worse; from 22:00-06:00 only what is critical",
    ]
