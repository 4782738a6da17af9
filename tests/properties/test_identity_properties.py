"""Whatever stands in the headers that tell who calls: what goes out can be read, and begins no line of its own."""

import time

from hypothesis import given
from hypothesis import strategies as st

from sipfailover.errors import WireError
from sipfailover.trunk import incoming, present, request_uri
from sipfailover.wire import OWNED, Message, rewrite
from sipfailover.wire.limits import MAX_LINE_BYTES
from tests.kit import invite
from tests.trunk.carrier import ACCOUNT, carrier

TARGET = b"sip:+41443210019@carrier.example"
NAMES = (b"P-Asserted-Identity", b"P-Preferred-Identity", b"Remote-Party-ID", b"Privacy", b"Diversion", b"History-Info")
PIECES = [
    b"<sip:+41441110000@x>", b"<tel:0441110000;phone-context=+41>", b"<sip:anonymous@anonymous.invalid>", b"<sip:x>",
    b"sip:1@x", b'"A, B" ', b'"', b"<", b">", b",", b";", b";privacy=full", b";party=called", b";index=1", b"id",
    b";index=1.1;mp=1", b"?Privacy=history", b";cause=302", b"?Reason=SIP%3Bcause%3D486", b";reason=user-busy",
    b"none", b";critical", b"%0d%0aX: 1", b"%", b"@", b":", b"urn:service:sos", b"mailto:a@b", b"\xff", b" ", b"=",
    b"<sips:0041441110000;ext=1:pw@[2001:db8::1]:5061;user=phone?a=b>",
]  # fmt: skip
soup = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=3)), max_size=8).map(b"".join)
headers = st.lists(st.tuples(st.sampled_from(NAMES), soup), max_size=5)
FORMS = ("keep", "e164", "plain", "international", "national")
SOME = "caller_id: +41315559999, allowed_caller_ids: +41315550000-9, caller_prefixes: '0 -> +41', "
TRUNKS = [
    f"number_format: {form}, {more}identity: {{hidden: {hidden}, {identity}}}"
    for form in FORMS
    for hidden in ("keep", "id", "both")
    for more in ("", ACCOUNT, SOME)
    for identity in (
        "diversion: keep",
        "headers: [pai, rpid], diversion: diversion",
        "diversion: history-info, user_phone: yes",
    )
]


@given(headers, soup, st.sampled_from(TRUNKS), st.booleans(), st.booleans())
def test_what_goes_out_can_be_read(
    lines: list[tuple[bytes, bytes]], from_: bytes, keys: str, emergency: bool, fallback: bool
) -> None:
    data = invite(headers=tuple((name.lower(), value) for name, value in lines))
    if from_:
        before, _, rest = data.partition(b'From: "Office" ')
        data = before + b"From: " + from_ + b";tag=1\r\n" + rest.partition(b"\r\n")[2]
    try:
        request = Message(data)
        _ = (request.from_, request.to)
    except WireError:
        return  # refused before anything is shaped
    p = carrier(keys)
    uri = request_uri(p.called_uri(request.uri, plain=True, dialled=True), p.host)
    for shown in (
        present(request, TARGET, p, emergency=emergency, fallback=fallback),
        incoming(request, p, "plain"),
    ):
        mandatory = [line for name, line in request.fields if name in (b"via", b"to", b"call-id", b"cseq")]
        begins = [b"INVITE %b SIP/2.0" % uri, b"From: " + shown.from_.to_bytes(), *mandatory, *shown.lines]
        sent = Message(rewrite(request, b"\r\n".join(begins), OWNED | shown.dropped))
        kept = [name for name, _ in request.fields if name not in OWNED | shown.dropped]
        assert len(sent.fields) == len(begins) - 1 + len(kept)
        assert sent.from_tag == request.from_tag
        assert sent.body == request.body


def test_the_worst_headers_cost_little() -> None:
    value = b"<sip:+41441110000@x?Reason=SIP;a=%3b>;index=1.1;mp=1, "
    values = [
        value * (MAX_LINE_BYTES // len(value) - 1),
        b"%" * 8000,
        b'"\\' * 3900,
        b"<sip:" + b";" * 4000 + b"@x>",
        b"," * 8000,
    ]
    p = carrier("number_format: national, identity: {headers: pai, diversion: diversion, hidden: both}")
    q = carrier("number_format: national, identity: {diversion: history-info}")
    for one in values:
        for name in NAMES:
            request = Message(invite(headers=((name.lower(), one),)))
            began = time.process_time()
            present(request, TARGET, p)
            present(request, TARGET, q)
            incoming(request, p, "e164")
            assert time.process_time() - began < 0.02, (name, one[:20])  # 2 ms on an idle machine
