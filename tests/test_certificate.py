"""Certificates as SIP reads them: names, ends, files and keys."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from sipfailover.certificate import FILE_BYTES_MAX, Certificate, ascii_name, fits, read
from tests.kit.certificates import DAY, Authority, private_pem

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("has", "wanted", "proves"),
    [
        (("sip.carrier.example",), "sip.carrier.example", True),
        (("sip.carrier.example",), "SIP.Carrier.example.", True),
        (("sip.carrier.example",), "carrier.example", False),
        (("carrier.example",), "sip.carrier.example", False),
        (("sip:carrier.example",), "carrier.example", True),
        (("sip:carrier.example;transport=tls",), "carrier.example", True),
        (("sip:carrier.example:5061",), "carrier.example", True),
        (("sip:carrier.example", "sip.carrier.example"), "sip.carrier.example", False),  # §7.1: then no DNS
        (("sips:carrier.example", "sip.carrier.example"), "sip.carrier.example", True),
        (("sips:carrier.example",), "carrier.example", False),
        (("sip:alice@carrier.example",), "carrier.example", False),  # that is Alice
        (("sip:*.carrier.example",), "sip.carrier.example", False),
        (("*.carrier.example",), "sip.carrier.example", True),
        (("*.carrier.example",), "a.sip.carrier.example", False),
        (("*.carrier.example",), "carrier.example", False),
        (("*.example",), "carrier.example", False),  # a whole top-level domain
        (("s*.carrier.example",), "sip.carrier.example", False),
        (("192.0.2.1",), "192.0.2.1", True),
        (("192.0.2.1",), "192.0.2.2", False),
        (("2001:db8::1",), "2001:db8:0::1", True),
        (("carrier.example",), "192.0.2.1", False),
        ((), "carrier.example", False),  # its common name is that, and proves nothing
    ],
)  # fmt: skip
def test_whom_a_certificate_is_for(tmp_path: Path, has: tuple[str, ...], wanted: str, proves: bool) -> None:
    (certificate,) = read(Authority(tmp_path).issue(*has, common="carrier.example"))
    assert certificate.proves(wanted) is proves


def test_what_it_is_for_in_words(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    assert read(authority.issue("a.example", "*.b.example"))[0].proven == "a.example, *.b.example"
    assert read(authority.issue(*[f"{c}.example" for c in "abcdef"]))[0].proven == (
        "a.example, b.example, c.example, d.example and 2 more"
    )
    assert "common name someone, which proves nothing" in read(authority.issue(common="someone"))[0].proven
    hostile = read(authority.issue("a" * 60 + "." + "b" * 60 + ".example", common="x\r\ny" + "z" * 60))[0]
    assert len(hostile.proven) == 64
    assert hostile.subject.startswith("x??yzzz")
    assert len(hostile.subject) == 64


@pytest.mark.parametrize(
    ("starts", "ends", "trouble", "usable"),
    [
        (-10 * DAY, 90 * DAY, "", True),
        (-10 * DAY, 22 * DAY, "", True),
        (-10 * DAY, 20 * DAY, "expires in 20 days, on 2026-12-14", True),
        (-10 * DAY, 3 * timedelta(hours=1), "expires in 3 hours, on 2026-11-24", True),
        (-10 * DAY, timedelta(minutes=90), "expires in 1 hour, on 2026-11-24", True),
        (-10 * DAY, timedelta(0), "expired on 2026-11-24", False),
        (-10 * DAY, -3 * DAY, "expired on 2026-11-21", False),
        (2 * DAY, 90 * DAY, "is not valid before 2026-11-26", False),
    ],
)
def test_what_is_the_matter_with_its_time(starts: timedelta, ends: timedelta, trouble: str, usable: bool) -> None:
    certificate = Certificate("a", "b", NOW + starts, NOW + ends, ())
    assert certificate.trouble(NOW) == trouble
    assert certificate.usable(NOW) is usable


def test_the_first_certificate_of_a_chain_is_the_one_that_counts(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    file = authority.issue("a.example")
    file.write_bytes(file.read_bytes() + authority.file.read_bytes())
    first, second = read(file)
    assert (first.subject, first.issuer, first.self_signed) == ("a.example", "Test Authority", False)
    assert (second.subject, second.self_signed) == ("Test Authority", True)
    fits(file, file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read: no such file or directory"),
        (b"", "holds no certificate"),
        (b"nonsense", "holds no certificate"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "holds a certificate that cannot be read"),
        (b"x" * (FILE_BYTES_MAX + 1), "is larger than 4 MiB"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_so(tmp_path: Path, content: bytes | None, said: str) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        read(file)
    assert str(file) in str(caught.value)


def test_a_key_that_does_not_fit_is_said_so(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, other, key = authority.issue("a.example"), authority.issue("b.example"), tmp_path / "key.pem"
    fits(one, one)
    with pytest.raises(ValueError, match="does not belong to the certificate"):
        fits(one, other)
    with pytest.raises(ValueError, match="holds no private key"):
        fits(one, authority.file)
    key.write_bytes(private_pem(ec.generate_private_key(ec.SECP256R1()), b"secret"))
    with pytest.raises(ValueError, match="has a password"):
        fits(one, key)


def test_names_have_one_spelling() -> None:
    assert ascii_name("Zürich.Example.") == "xn--zrich-kva.example"
    assert ascii_name("192.0.2.1") == "192.0.2.1"
    assert ascii_name("a..b") == "a..b"
