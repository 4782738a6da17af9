"""Certificates in a configuration: what is refused, what is warned of, and what `check` tells of them."""

from datetime import timedelta
from pathlib import Path

import pytest

from sipfailover.config import Settings, describe, parse
from sipfailover.errors import ConfigError
from tests.kit.certificates import DAY, Authority

HOUR = timedelta(hours=1)


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ca")


def settings(
    folder: Path, main: str = "", ours: str = "", listen: str = "udp 127.0.0.1:5060", pbx: str = ""
) -> Settings:
    return parse(
        f"pbx: {{host: 192.0.2.5{pbx}}}\n"
        f"listen: [{listen}]\n"
        f"tls: {{{ours}}}\n"
        f"trunks: [{{name: main, host: sip.carrier.example{main}}}, {{name: backup, host: 192.0.2.2}}]\n",
        folder=folder,
    )


def told(folder: Path, **how: str) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as caught:
        settings(folder, **how)
    return [(problem.path, problem.text) for problem in caught.value.problems]


def warned(folder: Path, **how: str) -> list[tuple[str, str]]:
    return [(problem.path, problem.text) for problem in settings(folder, **how).warnings]


TRUNK = ", transport: tls"
LISTEN = "udp 127.0.0.1:5060, tls 127.0.0.1:5061"


def test_a_tls_listener_needs_a_certificate(tmp_path: Path) -> None:
    text = "tls needs a certificate of ours: write certificate_file and key_file into the section 'tls'"
    assert told(tmp_path, listen=LISTEN) == [("listen.1", text)]


def test_files_are_found_beside_the_file_and_are_absolute_then(ca: Authority, tmp_path: Path) -> None:
    ours = ca.issue("we.example")
    found = settings(
        tmp_path,
        main=f"{TRUNK}, tls: {{ca_file: ca.pem, certificate_file: {ours.name}, key_file: {ours.name}}}",
        ours=f"certificate_file: {ours.name}, client_ca_file: ca.pem",
        listen=LISTEN,
        pbx=f"{TRUNK}, tls: {{ca_file: ca.pem, server_name: pbx.example}}",
    )
    assert found.warnings == ()
    trunk, pbx = found.trunks[0].tls, found.pbx[0].tls
    assert (trunk.ca_file, trunk.certificate_file, trunk.key_file) == (str(ca.file), str(ours), str(ours))
    assert (found.tls.certificate_file, found.tls.key_file, found.tls.client_ca_file) == (str(ours), "", str(ca.file))
    assert pbx.ca_file == str(ca.file)


@pytest.mark.parametrize("where", ["main", "ours", "pbx"])
@pytest.mark.parametrize(
    ("kind", "key", "said"),
    [
        ("missing", "certificate_file", "nothing.pem cannot be read: no such file or directory"),
        ("empty", "certificate_file", "empty.pem holds no certificate"),
        ("other key", "key_file", "does not belong to the certificate in"),
        ("no key", "certificate_file", "holds no private key that can be read"),
        ("key alone", "key_file", "needs certificate_file: a key alone proves nothing"),
        ("authority", "", "nothing.pem cannot be read: no such file or directory"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_at_its_place(
    ca: Authority, tmp_path: Path, where: str, kind: str, key: str, said: str
) -> None:
    (tmp_path / "empty.pem").write_text("")
    ca.issue("we.example", to=tmp_path / "a.pem")
    ca.issue("we.example", to=tmp_path / "b.pem")
    authorities = "client_ca_file" if where == "ours" else "ca_file"
    keys = {
        "missing": "certificate_file: nothing.pem",
        "empty": "certificate_file: empty.pem",
        "other key": "certificate_file: a.pem, key_file: b.pem",
        "no key": "certificate_file: ca.pem",
        "key alone": "key_file: a.pem",
        "authority": f"{authorities}: nothing.pem",
    }[kind]
    paths = {"main": "trunks.0.tls", "ours": "tls", "pbx": "pbx.0.tls"}
    how = {where: keys if where == "ours" else f"{TRUNK}, tls: {{{keys}}}"}
    ((path, text),) = told(tmp_path, **how)
    assert path == f"{paths[where]}.{key or authorities}"
    assert said in text


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        (-2 * DAY, "the certificate for we.example expired on 2"),
        (6 * DAY + HOUR, "the certificate for we.example expires in 6 days, on 2"),
    ],
)
def test_a_certificate_that_is_over_or_soon_will_be_is_a_warning(
    ca: Authority, tmp_path: Path, ends: timedelta, said: str
) -> None:
    ca.issue("we.example", ends=ends, to=tmp_path / "a.pem")
    ((path, text),) = warned(tmp_path, ours="certificate_file: a.pem", listen=LISTEN)
    assert path == "tls.certificate_file"
    assert text.startswith(said)
    assert text.endswith(": renew it")


def test_authorities_that_are_all_over_are_a_warning(ca: Authority, tmp_path: Path) -> None:
    old = ca.issue("Old Authority", ends=-2 * DAY)
    ours = ca.issue("we.example")
    common = {"ours": f"certificate_file: {ours}", "listen": LISTEN}
    ((path, text),) = warned(tmp_path, main=f"{TRUNK}, tls: {{ca_file: {old}}}", **common)
    assert path == "trunks.0.tls.ca_file"
    assert text.startswith("Old Authority expired on 2")
    old.write_bytes(old.read_bytes() + ca.file.read_bytes())
    assert warned(tmp_path, main=f"{TRUNK}, tls: {{ca_file: {old}}}", **common) == []


def test_a_trunk_over_tls_without_a_listener_for_it_can_only_be_called(ca: Authority, tmp_path: Path) -> None:
    text = "trunk 'main' uses tls, but 'listen' has no tls address: it can open no connection to us"
    assert warned(tmp_path, main=TRUNK) == [("trunks.0.transport", text)]


def test_certificates_without_tls_have_no_effect(ca: Authority, tmp_path: Path) -> None:
    found = warned(tmp_path, main=", tls: {ca_file: nothing.pem}", pbx=", tls: {server_name: pbx.example}")
    assert found == [
        ("pbx.0.tls", "has no effect with transport udp"),
        ("trunks.0.tls", "has no effect with transport udp"),
    ]


def test_our_own_address_is_known_by_the_port_for_tls(ca: Authority, tmp_path: Path) -> None:
    text = (
        "pbx: 192.0.2.5\nlisten: [udp 127.0.0.1:5060, tls 127.0.0.1:5061]\n"
        f"tls: {{certificate_file: {ca.issue('we.example')}}}\n"
        "trunks: [{name: main, host: 127.0.0.1, transport: tls}, {name: backup, host: 192.0.2.2}]\n"
    )
    with pytest.raises(ConfigError) as caught:
        parse(text, folder=tmp_path)
    assert [(one.path, one.text) for one in caught.value.problems] == [
        ("trunks.0.host", "127.0.0.1:5061 is our own address ('listen'): calls would come back to us")
    ]


@pytest.mark.parametrize(
    ("more", "warns"),
    [("", True), (", tls: {server_name: sip.carrier.example}", False), (", domain: carrier.example", False)],
)
def test_a_carrier_with_an_address_alone_must_prove_the_address(tmp_path: Path, more: str, warns: bool) -> None:
    found = parse(
        "pbx: 192.0.2.5\nlisten: [udp 127.0.0.1:5060]\n"
        f"trunks: [{{name: main, host: 192.0.2.1, transport: tls{more}}}, {{name: backup, host: 192.0.2.2}}]\n",
        folder=tmp_path,
    ).warnings
    text = "its certificate must then be for the address 192.0.2.1; if it is for a name, write tls.server_name"
    assert ([one.path for one in found if one.text == text] == ["trunks.0.host"]) is warns


def test_check_says_whom_certificates_are_for(ca: Authority, tmp_path: Path) -> None:
    ours = f"certificate_file: {ca.issue('we.example', '*.we.example')}, client_ca_file: ca.pem"
    lines = list(describe(settings(tmp_path, main=f"{TRUNK}, domain: carrier.example", ours=ours, listen=LISTEN)))
    (own,) = [line for line in lines if line.startswith("tls ")]
    assert own.startswith("tls       our certificate is for we.example, *.we.example, until 2")
    assert own.endswith(", asks for theirs")
    (trunk,) = [line for line in lines if line.startswith("trunk 1   main:")]
    assert (
        "tls sip.carrier.example (port from DNS, else 5061), with a certificate for carrier.example or sip.ca" in trunk
    )
    named = settings(tmp_path, main=f"{TRUNK}, tls: {{server_name: x.example}}")
    assert any("with a certificate for x.example;" in line for line in describe(named))
