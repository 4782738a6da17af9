"""All messages of `tests/vectors` into the engine, from the PBX and from a trunk, over UDP and out of a stream.

"forward" of the manifest means: an INVITE outside dialogs reaches the other side. What else may come outside a dialog
is answered by `ANSWERS`, each with its reason; a To tag belongs to no call of ours, so the answer is 481 (README of the
vectors). To see that nothing is lost of those either, each is also sent as the INVITE it might have been.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sipfailover.errors import WireError
from sipfailover.flow import Flow
from sipfailover.proxy.commands import Send
from sipfailover.wire import OWNED, Message, StreamFramer
from sipfailover.wire.uri import user
from tests.kit import answer, received
from tests.kit.playbook import is_probe
from tests.proxy.office import MAIN, PBX, Office, office, tcp

VECTORS = Path(__file__).parent.parent / "vectors"
ROWS: list[dict[str, Any]] = [json.loads(line) for line in (VECTORS / "manifest.jsonl").read_text("utf-8").splitlines()]

ANSWERS: dict[bytes, tuple[int | None, str]] = {
    b"OPTIONS": (200, "it asks us (§11); nobody behind us is asked"),
    b"REGISTER": (403, "no PBX registers in this office"),
    b"MESSAGE": (405, "calls only"),
    b"SUBSCRIBE": (405, "calls only"),
    b"CANCEL": (481, "there is nothing to cancel (§9.2)"),
    b"ACK": (None, "it is never answered (§17)"),
    b"BYE": (481, "outside a dialog it means nothing (§15.1.2)"),
    b"NOTIFY": (481, "as BYE"),
    b"REFER": (481, "as BYE"),
}
UNKNOWN = (501, "§8.2.1: a method that nobody knows")

OTHERWISE: dict[str, tuple[set[int | None], str]] = {
    "rfc4475/badbranch.dat": ({200}, "matched as RFC 2543 would, which the row allows: an OPTIONS to us"),
    "rfc4475/zeromf.dat": ({200}, "an OPTIONS without a hop left may be answered by us, which the row allows"),
    "rfc4475/insuf.dat": ({None}, "no Call-ID, From or To: there is nothing to answer with"),
    "rfc4475/regbadct.dat": ({400, 403}, "its Contact is not looked at before it has shown a password"),
    "rfc4475/test.dat": ({None}, "no message"),
    "rfc4475/badaspec.dat": (
        {200},
        "an OPTIONS to us: who is in To concerns nobody; a call is refused, see below",
    ),
}
"""Rows whose `alt` we take, and why. None: no answer."""

WAYS = {"pbx, udp": (PBX, MAIN, False), "trunk, udp": (MAIN, PBX, False),
        "pbx, stream": (PBX, MAIN, True), "trunk, stream": (MAIN, PBX, True)}  # fmt: skip


def raw(row: dict[str, Any]) -> bytes:
    return (VECTORS / row["file"]).read_bytes()


every_row = pytest.mark.parametrize("row", [pytest.param(row, id=row["file"]) for row in ROWS])
every_way = pytest.mark.parametrize("way", WAYS)


class Fed:
    """One vector in an engine of its own, and everything that came out."""

    def __init__(self, data: bytes, way: str) -> None:
        self.peer, self.other, stream = WAYS[way]
        self.flow: Flow = tcp("over tcp", self.peer.host) if stream else self.peer
        self.book = office()
        self.unframed = self.finished = False
        """The stream is closed because its borders are lost (§18.3), or it waits for the rest of a message."""
        self.out: list[Send] = []
        for one in self._messages(data) if stream else [data]:
            self.book.engine.receive(self.flow, one, self.book.now)
            self.out += [send for send in self.book.engine.take() if isinstance(send, Send) and not is_probe(send.data)]

    def _messages(self, data: bytes) -> Iterator[bytes]:
        framer = StreamFramer()
        with suppress(WireError):
            yield from framer.feed(data)
        self.unframed = framer.broken is not None or framer.pending > 0

    @property
    def onward(self) -> list[Message]:
        """INVITEs for the other side."""
        return [Message(send.data) for send in self.out if send.to.peer == self.other.peer]

    @property
    def answers(self) -> list[Message]:
        """Final answers to where it came from."""
        told = [send.data for send in self.out if send.to.host == self.peer.host and send.data[8:9] > b"1"]
        return [Message(data) for data in told]

    @property
    def status(self) -> int | None:
        """The one answer, None if there was none."""
        told = [int(send.data[8:11]) for send in self.out if send.to.host == self.peer.host]
        final = [status for status in told if status >= 200]
        assert len(final) <= 1
        return final[0] if final else None

    def finish(self) -> None:
        """The other side refuses what it got; then time passes and nothing is left."""
        if self.finished:
            return
        self.finished = True
        book: Office = self.book
        book.sent += [(send.to, send.data) for send in self.out]
        for asked in self.onward:
            refusal = answer(486, to="INVITE")(book.seen(self.other))
            before = len(book.sent)
            received(self.other, refusal).do(book)
            book.collect()
            told = [Message(data) for to, data in book.sent[before:] if to.host == self.peer.host]
            assert [message.status for message in told] == [486]
            assert asked.method == b"INVITE"
            self.out += [Send(to, data) for to, data in book.sent[before:] if to.host == self.peer.host]
        book._out.clear()
        book._known.update((to.peer, data) for to, data in book.sent)
        book.done()


def whole(onward: Message, came: Message) -> None:
    """What we do not own went on as it came: bytes of the body, unknown headers, their order; and who is called."""
    kept = [field for field in came.fields if field[0] not in OWNED]
    assert onward.body == came.body
    assert [field for field in onward.fields if field[0] not in OWNED][: len(kept)] == kept
    assert user(onward.uri) == user(came.uri)
    assert onward.max_forwards == (70 if came.max_forwards is None else came.max_forwards - 1)
    assert len(onward.values(b"via")) == 1
    assert (onward.to_tag, onward.values(b"route"), onward.values(b"record-route")) == (b"", [], [])


def faithful(told: Message, came: Message) -> None:
    """An answer has the request's Via, all of them, and its From, Call-ID and CSeq, byte for byte (§8.2.6.2)."""
    theirs, ours = came.values(b"via"), told.values(b"via")
    assert (len(ours), ours[1:]) == (len(theirs), theirs[1:])
    assert told.via.branch == came.via.branch
    for name in (b"from", b"call-id", b"cseq"):
        assert told.first[name] == came.first[name]
    assert told.first[b"to"].startswith(came.first[b"to"])
    assert told.to_tag


@every_way
@every_row
def test_every_vector_is_treated_as_its_verdict_says(row: dict[str, Any], way: str) -> None:
    data, verdict = raw(row), row["expect"]
    fed = Fed(data, way)
    wanted = verdict["cls"]
    if fed.unframed and not fed.out:
        assert wanted != "forward" or "content_length" not in row
    elif row["kind"] != "request":
        assert not fed.out, "a response that matches no transaction is discarded"
    elif wanted == "forward":
        forwarded(row, fed, Message(data))
    elif wanted == "reject":
        codes = OTHERWISE.get(row["file"], ({int(code) for code in verdict["codes"]}, ""))[0]
        if "drop" in verdict.get("alt", ()):
            codes = codes | {None}
        assert fed.status in codes
        assert not fed.onward
    fed.finish()


def forwarded(row: dict[str, Any], fed: Fed, came: Message) -> None:
    """A sound request: on its way, or answered by us."""
    calls = fed.onward
    if came.to_tag and came.method != b"ACK":
        assert (fed.status, calls) == (481, [])
    elif came.method == b"INVITE":
        assert fed.status is None
        (onward,) = calls
        whole(onward, came)
        fed.finish()
        faithful(fed.answers[0], came)
        return
    else:
        if row["file"] == "rfc4475/dblreq.dat" and len(fed.out) > 1:
            assert [onward.method for onward in calls] == [b"INVITE"]  # out of a stream, the rest is a call of its own
            calls = []
        assert (fed.status, calls) == (ANSWERS.get(came.method, UNKNOWN)[0], [])
    if fed.answers and not fed.onward:
        faithful(fed.answers[0], came)


# -- as the call it might have been -----------------------------------------------------------------------------------


def as_call(data: bytes) -> bytes:
    """The same request as an INVITE outside of dialogs, with everything else as it is; with hops left."""
    head, end, body = data.lstrip(b"\r\n").partition(b"\r\n\r\n")
    start, _, lines = head.partition(b"\r\n")
    _, _, rest = start.partition(b" ")
    lines = re.sub(rb"(?mi)^(CSeq[ \t]*:\s*\d+\s+)\S+", rb"\g<1>INVITE", lines)
    lines = re.sub(rb"(?mi)^((?:To|t)[ \t]*:[^\r]*(?:\r\n[ \t][^\r]*)*?);\s*tag\s*=\s*[^;\r]+", rb"\g<1>", lines)
    return b"INVITE " + rest + b"\r\n" + lines + end + body


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["file"]) for row in ROWS if row["expect"]["cls"] == "forward"]
)  # fmt: skip
def test_every_sound_request_would_go_on_whole_if_it_were_a_call(row: dict[str, Any]) -> None:
    data = as_call(raw(row))
    fed = Fed(data, "pbx, udp")
    (onward,) = fed.onward
    whole(onward, Message(data))
    fed.finish()


# -- what rows ask for beyond their class -----------------------------------------------------------------------------


def one(file: str, way: str = "pbx, udp") -> Fed:
    return Fed((VECTORS / file).read_bytes(), way)


def call(file: str) -> Message:
    """The vector as a call, as it goes on."""
    (onward,) = Fed(as_call((VECTORS / file).read_bytes()), "pbx, udp").onward
    return onward


CHECKED = {
    "553-byte binary body with NULs byte-exact": "test_every_sound_request_would_go_on_whole_if_it_were_a_call",
    "binary body byte-exact": "test_every_sound_request_would_go_on_whole_if_it_were_a_call",
    "Authorization forwarded unmodified": "not by us: what was said to us alone stays with us (wire.rewrite.PRIVATE)",
    "process or forward the trailing INVITE octets": "test_every_vector: what follows a body in a datagram is nobody's",
    "forward the brackets": "refused",
    "forward the extra SP": "refused",
    "forward the trailing SP": "refused",
    "treat C%6Fntact as Contact": "test_escapes_are_nobodys_business_but_the_callees",
}
"""What rows ask for → where it is proved, for those without a test of their own below."""


def test_everything_that_rows_ask_for_is_looked_at() -> None:
    here = Path(__file__).read_text()
    asked = {text for row in ROWS for kind in ("must", "must_not") for text in row["expect"].get(kind) or ()}
    assert {text for text in asked if text not in CHECKED and f'"""{text}' not in here} == set()
    assert {text for text in CHECKED if text not in asked} == set()


@pytest.mark.parametrize("way", ["pbx, udp", "trunk, udp"])
def test_all_vias_of_a_long_request_come_back(way: str) -> None:
    """all 34 Via values kept in order"""
    fed = one("rfc4475/longreq.dat", way)
    fed.finish()
    came = Message((VECTORS / "rfc4475/longreq.dat").read_bytes())
    assert len(came.values(b"via")) == 34
    assert fed.answers[0].values(b"via")[1:] == came.values(b"via")[1:]


def test_extensions_that_a_proxy_must_know_are_named() -> None:
    """Unsupported: noProxiesSupportThis, norDoAnyProxiesSupportThis (Proxy-Require, for a proxy)"""
    (told,) = one("rfc4475/bext01.dat").answers
    assert told.values(b"unsupported")[:2] == [b"noProxiesSupportThis", b"norDoAnyProxiesSupportThis"]


def test_odd_names_and_values_go_on_byte_for_byte() -> None:
    """method, header names and UTF-8 values byte-exact"""
    came = Message((VECTORS / "rfc4475/intmeth.dat").read_bytes())
    (told,) = one("rfc4475/intmeth.dat").answers
    assert told.first[b"cseq"] == came.first[b"cseq"]
    odd = b"extensionHeader-!.%*+_`'~"
    assert call("rfc4475/intmeth.dat").lines(odd.lower()) == came.lines(odd.lower()) != []


def test_names_that_need_quotes_go_on_with_them() -> None:
    """propagate the unquoted names"""
    (onward,) = Fed(as_call((VECTORS / "rfc4475/baddn.dat").read_bytes()) + b"\r\n", "pbx, udp").onward
    assert (onward.from_.display, onward.to.display) == (b'"Bell, Alexander"', b'"Watson, Thomas"')


def test_an_address_with_a_blank_in_it_is_refused_in_a_call() -> None:
    fed = Fed(as_call((VECTORS / "rfc4475/badaspec.dat").read_bytes()), "pbx, udp")
    assert (fed.status, fed.onward) == (400, [])
    fed.finish()


def test_a_nul_in_a_name_goes_on() -> None:
    """NUL in a quoted-pair survives"""
    assert b"\\\0" in call("rfc4475/intmeth.dat").first[b"to"]
    (told,) = one("rfc4475/intmeth.dat").answers
    assert b"\\\0" in told.first[b"to"]


def test_a_user_with_a_semicolon_is_called_by_its_whole_name() -> None:
    """user part is user;par=u@example.net"""
    assert call("rfc4475/semiuri.dat").uri == b"sip:user;par=u%40example.net@198.51.100.1:5060"


def test_blanks_and_zeros_are_read_and_the_rest_is_left() -> None:
    """UnknownHeaderWithUnusualValue forwarded unchanged"""
    onward = call("rfc4475/wsinv.dat")
    came = Message((VECTORS / "rfc4475/wsinv.dat").read_bytes())
    name = b"unknownheaderwithunusualvalue"
    assert onward.lines(name) == came.lines(name) != []


def test_leading_zeros_of_max_forwards_mean_nothing() -> None:
    """Max-Forwards 0068 -> 67"""
    assert call("rfc4475/wsinv.dat").get(b"max-forwards") == b"67"


def test_escapes_are_nobodys_business_but_the_callees() -> None:
    """unescape recursively"""
    assert call("rfc4475/esc01.dat").uri.startswith(b"sip:sips%3Auser%40example.com@198.51.100.1")
    assert one("rfc4475/esc02.dat").status == 501


def test_an_escaped_scheme_in_a_user_is_a_user() -> None:
    """treat sips%3A in the user part as a scheme"""
    assert one("rfc4475/esc01.dat").onward[0].uri.startswith(b"sip:sips%3Auser%40example.com@")


def test_an_escaped_register_is_a_method_that_nobody_knows() -> None:
    """treat RE%47IST%45R as REGISTER"""
    assert one("rfc4475/esc02.dat").status == 501


def test_an_escaped_nul_ends_nothing() -> None:
    """shorten the user part at %00"""
    assert call("rfc4475/escnull.dat").contact is not None
    came = Message((VECTORS / "rfc4475/escnull.dat").read_bytes())
    assert user(call("rfc4475/escnull.dat").to.uri) == user(came.to.uri)
    assert b"%00" in came.to.uri


def test_headers_in_a_request_uri_go_nowhere() -> None:
    """forward ?Route= in the Request-URI"""
    fed = one("rfc4475/escruri.dat")
    assert (fed.status, fed.onward) == (400, [])


def test_headers_in_a_request_uri_become_no_headers() -> None:
    """turn it into a real Route header"""
    assert not one("rfc4475/escruri.dat", "trunk, udp").onward


def test_an_unknown_scheme_is_refused_whoever_is_in_to() -> None:
    """route on the To header field"""
    assert one("rfc4475/unkscm.dat").status == 416


def test_a_response_sends_nothing_to_everybody() -> None:
    """send to 255.255.255.255"""
    assert not one("rfc4475/bcast.dat").out
