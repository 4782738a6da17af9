"""All messages of `tests/vectors` through the parser, each with its verdict.

What the parser cannot decide (a scheme, a Proxy-Require, a hop count) is named in `DECIDED_ELSEWHERE`.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from sipfailover.errors import WireError
from sipfailover.wire import OWNED, Message, StreamFramer, compose, rewrite, uri
from sipfailover.wire.rewrite import HOP

VECTORS = Path(__file__).parent.parent / "vectors"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in (VECTORS / "manifest.jsonl").read_text("utf-8").splitlines()]
BY_FILE = {row["file"]: row for row in ROWS}

DECIDED_ELSEWHERE = {
    "rfc4475/badbranch.dat": "transaction: an empty branch is matched by the rules of RFC 2543, which the row allows",
    "rfc4475/bext01.dat": "proxy: 420 for a Proxy-Require",
    "rfc4475/escruri.dat": "uri: `with_host` relays without the headers, which the row allows",
    "rfc4475/novelsc.dat": "uri: 416 for the scheme",
    "rfc4475/unkscm.dat": "uri: 416 for the scheme",
    "rfc4475/zeromf.dat": "proxy: 483 for Max-Forwards 0",
    "rfc5118/ipv6-bad.sip": "uri: 400 for IPv6 without brackets in a Request-URI",
}
"""Rows with a `reject` that are sound for the parser, and who refuses them."""

OTHER_CODES = {"rfc4475/mismatch02.dat": 400}
"""Where the row allows several codes: which one the parser gives."""


def rows(*classes: str) -> Any:
    """The rows of these classes, as parameters."""
    return pytest.mark.parametrize(
        "row", [pytest.param(row, id=row["file"]) for row in ROWS if row["expect"]["cls"] in classes]
    )


def raw(row: dict[str, Any]) -> bytes:
    return (VECTORS / row["file"]).read_bytes()


def read(data: bytes) -> Message:
    """A message, and everything that is read from a new one on its way in."""
    message = Message(data)
    assert message.from_.tag == message.from_tag
    assert message.to.tag == message.to_tag
    assert message.via.sent_by
    _ = (message.via.branch, message.via.rport, message.contact, message.max_forwards, message.retry_after)
    for name in (b"route", b"record-route", b"require", b"supported", b"contact"):
        message.values(name)
    return message


def onward(message: Message, dropped: frozenset[bytes] = OWNED) -> Message:
    """What would leave on the other leg."""
    method = message.method
    beginning = (
        b"%b sip:next@example.net SIP/2.0\r\nVia: SIP/2.0/UDP us;branch=z9hG4bKus\r\nFrom: <sip:a@us>;tag=1\r\n"
        b"To: <sip:b@c>\r\nCall-ID: ours\r\nCSeq: 1 %b\r\nMax-Forwards: 69" % (method, method)
    )
    return Message(rewrite(message, beginning, dropped))


def test_every_file_has_one_row_and_is_unchanged() -> None:
    files = {str(path.relative_to(VECTORS)) for path in VECTORS.rglob("*") if path.suffix in (".dat", ".sip")}
    assert len(ROWS) == len(BY_FILE) == 540
    assert files == set(BY_FILE)
    for row in ROWS:
        assert hashlib.sha256(raw(row)).hexdigest() == row["sha256"], row["file"]


@rows("parse_ok_response")
def test_sound_response_is_read(row: dict[str, Any]) -> None:
    message = read(raw(row))
    assert message.status == row["status"]
    assert not message.method
    assert len(message.body) == row.get("content_length", row["body_bytes"])


@rows("forward")
def test_sound_request_is_read_and_relayed_whole(row: dict[str, Any]) -> None:
    data = raw(row)
    message = read(data)
    head, _, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    assert message.method == row["method"].encode()
    assert message.body == body[: row.get("content_length")]
    assert head == b"\r\n".join((head.partition(b"\r\n")[0], *(line for _, line in message.fields)))

    copy = onward(message)
    assert copy.body == message.body
    kept = [field for field in message.fields if field[0] not in OWNED]
    assert [field for field in copy.fields if field[0] not in OWNED][: len(kept)] == kept

    answer = Message(compose.response(message, 404, to_tag=b"us"))
    assert answer.values(b"via") == message.values(b"via")
    assert answer.to_tag == (message.to_tag or b"us")


@rows("reject")
def test_unsound_message_is_refused_with_its_code(row: dict[str, Any]) -> None:
    data = raw(row)
    if row["file"] in DECIDED_ELSEWHERE:
        read(data)
        return
    with pytest.raises(WireError) as caught:
        read(data)
    assert str(caught.value.status) in row["expect"]["codes"]
    assert caught.value.status == OTHER_CODES.get(row["file"], caught.value.status)
    answer = compose.refusal(data, caught.value.status, caught.value.text.encode("latin-1", "replace"))
    missing = caught.value.text.startswith("no ")
    assert answer is not None or missing or row["kind"] != "request"
    assert answer is None or answer.startswith(b"SIP/2.0 %d " % caught.value.status)


def test_every_reject_that_is_decided_elsewhere_is_one() -> None:
    assert {file for file in DECIDED_ELSEWHERE if BY_FILE[file]["expect"]["cls"] != "reject"} == set()


@pytest.mark.parametrize("file", [file for file, who in DECIDED_ELSEWHERE.items() if "uri: 4" in who])
def test_request_uri_that_is_none_of_ours_is_refused_by_uri(file: str) -> None:
    with pytest.raises(WireError) as caught:
        uri.SipUri.parse(read(raw(BY_FILE[file])).uri)
    assert str(caught.value.status) in BY_FILE[file]["expect"]["codes"]


@rows("drop", "survive")
def test_what_is_dropped_or_undefined_does_no_harm(row: dict[str, Any]) -> None:
    data = raw(row)
    try:
        read(data)
    except WireError:
        answer = compose.refusal(data, 400, b"no")
        assert row["kind"] == "request" or answer is None
        assert answer is None or Message(answer)
    else:
        assert row["kind"] == "response"


def sound(row: dict[str, Any]) -> bool:
    """True if a stream can carry this message."""
    length = row.get("content_length")
    return (
        length is not None and length <= row["body_bytes"] and row["expect"]["cls"] in ("forward", "parse_ok_response")
    )


@pytest.mark.parametrize("row", [pytest.param(row, id=row["file"]) for row in ROWS if sound(row)])
def test_message_comes_out_of_a_stream_however_it_is_cut(row: dict[str, Any]) -> None:
    data = raw(row)
    message = Message(data)
    whole = data[: len(data) - row["body_bytes"] + row["content_length"]]
    halves = [whole[: len(whole) // 2], whole[len(whole) // 2 :]]
    single = [whole[at : at + 1] for at in range(len(whole))]
    for chunks in ([whole], halves, single):
        framer = StreamFramer()
        (cut,) = [one for chunk in chunks for one in framer.feed(chunk)]
        assert cut == whole.lstrip(b"\r\n")
        assert Message(cut).fields == message.fields
        assert Message(cut).body == message.body


class TestMust:
    """What rows ask for beyond their class."""

    def test_all_34_via_values_are_seen_in_order(self) -> None:
        message = read(raw(BY_FILE["rfc4475/longreq.dat"]))
        values = message.values(b"via")
        assert [value.split(b";")[0] for value in values] == [
            b"SIP/2.0/TCP sip33.example.com",
            *[b"SIP/2.0/TCP sip%d.example.com" % number for number in range(32, 0, -1)],
            b"SIP/2.0/TCP host.example.com",
        ]
        assert Message(compose.response(message, 200, to_tag=b"1")).values(b"via") == values

    @pytest.mark.parametrize("row", [row for row in ROWS if "binary body byte-exact" in row["expect"].get("must", ())])
    def test_binary_body_is_byte_exact(self, row: dict[str, Any]) -> None:
        body = raw(row).partition(b"\r\n\r\n")[2][: row["content_length"]]
        assert onward(read(raw(row))).body == body if row["kind"] == "request" else read(raw(row)).body == body

    def test_multipart_body_with_nuls_is_byte_exact(self) -> None:
        message = read(raw(BY_FILE["rfc4475/mpart01.dat"]))
        assert len(message.body) == 553
        assert b"\0" in message.body
        assert onward(message).body == raw(BY_FILE["rfc4475/mpart01.dat"]).partition(b"\r\n\r\n")[2]

    def test_odd_method_names_and_values_are_byte_exact(self) -> None:
        message = read(raw(BY_FILE["rfc4475/intmeth.dat"]))
        assert message.method == message.cseq_method == b"!interesting-Method0123456789_*+`.%indeed'~"
        assert b"\\\0" in message.to.display
        odd = b"extensionHeader-!.%*+_`'~"
        assert onward(message).lines(odd.lower()) == message.lines(odd.lower()) != []
        assert message.first[odd.lower()].startswith(odd + b":")

    def test_authorization_is_unmodified_where_it_is_passed_on(self) -> None:
        """Towards the other leg it is not: `PRIVATE`."""
        message = read(raw(BY_FILE["rfc4475/regaut01.dat"]))
        assert onward(message, HOP).lines(b"authorization") == message.lines(b"authorization") != []
        assert onward(message).lines(b"authorization") == []

    def test_semicolons_and_at_in_a_user_are_the_users(self) -> None:
        parsed = uri.SipUri.parse(read(raw(BY_FILE["rfc4475/semiuri.dat"])).uri)
        assert (parsed.user, parsed.host) == (b"user;par=u%40example.net", b"example.com")

    def test_folds_blanks_and_leading_zeros_are_read(self) -> None:
        message = read(raw(BY_FILE["rfc4475/wsinv.dat"]))
        assert message.max_forwards == 68
        assert (message.cseq, message.cseq_method) == (9, b"INVITE")
        name = b"unknownheaderwithunusualvalue"
        assert onward(message).lines(name) == message.lines(name) != []
        assert len(message.values(b"via")) == 3

    def test_octets_after_the_body_are_no_request(self) -> None:
        data = raw(BY_FILE["rfc4475/dblreq.dat"])
        assert read(data).body == b""
        one, other = StreamFramer().feed(data)
        assert Message(one).method == b"REGISTER"
        assert Message(other).method == b"INVITE"

    def test_escaped_headers_do_not_go_on(self) -> None:
        message = read(raw(BY_FILE["rfc4475/escruri.dat"]))
        assert b"Route" in message.uri
        assert uri.with_host(message.uri, b"192.0.2.9") == b"sip:user@192.0.2.9"

    @pytest.mark.parametrize(
        ("file", "received"),
        [
            ("rfc5118/via-received-param-no-delim.sip", b"2001:db8::9:255"),
            ("rfc5118/via-received-param-with-delim.sip", b"[2001:db8::9:255]"),
        ],
    )
    def test_received_is_read_with_and_without_brackets(self, file: str, received: bytes) -> None:
        """RFC 5118 §4.5."""
        assert read(raw(BY_FILE[file])).via.received == received
