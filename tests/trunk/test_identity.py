"""Who calls, as each carrier is to see it: From, identity headers, Privacy, for every way that settings can say."""

import pytest

from sipfailover.trunk import caller_uri, incoming, present, request_uri
from sipfailover.trunk.identity import asserted
from sipfailover.trunk.privacy import ANONYMOUS
from sipfailover.wire import OWNED, Message, NameAddr, rewrite
from tests.kit import invite
from tests.trunk.carrier import ACCOUNT, call, carrier

TARGET = b"sip:+41443210019@carrier.example"
ANNA = '"Anna" <sip:0441112233@192.0.2.10>'
NOBODY = '"Anonymous" <sip:anonymous@anonymous.invalid>'
PAI = "P-Asserted-Identity: <sip:+41441110000@192.0.2.10>"
WITHHELD = ("Privacy: id", PAI)
OWN = "caller_id: +41315559999, "
SOME = "allowed_caller_ids: [+41315550000-9, +41315559999], "
DDI = "ddi: {+41315550000-9: +41441112230-9}, "


def shown(keys: str, from_: str = ANNA, *headers: str, emergency: bool = False, fallback: bool = False) -> list[str]:
    """From without its tag, then the lines about the caller as the carrier gets them."""
    request = call(from_, *headers)
    told = present(request, TARGET, carrier(keys), emergency=emergency, fallback=fallback)
    begins = b"\r\n".join((b"INVITE x SIP/2.0", *told.lines))
    sent = rewrite(request, begins, OWNED | told.dropped).partition(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    assert told.from_.params == b";tag=t"
    from_sent = told.from_._replace(params=b"").to_bytes()
    about = [line.decode() for line in sent if line.lower().startswith((b"p-", b"remote-", b"privacy", b"x-"))]
    return [from_sent.decode(), *about]


# -- Request-URI and From ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        (b"sip:+41441234567@pbx.example;user=phone", b"sip:+41441234567@sip.carrier.example:5070;user=phone"),
        (b"sip:112@10.0.0.1:5060;transport=tcp;maddr=10.0.0.2", b"sip:112@sip.carrier.example:5070"),
        (b"sips:a;x=1@[2001:db8::1]:5061;foo", b"sips:a;x=1@sip.carrier.example:5070;foo"),
        (b"tel:+41-44-123;phone-context=x", b"sip:+41-44-123@sip.carrier.example:5070;user=phone"),
        (b"tel:044123;phone-context=+41", b"sip:044123;phone-context=+41@sip.carrier.example:5070;user=phone"),
        (b"urn:service:sos", b"urn:service:sos"),
    ],
)
def test_request_uri_takes_the_host_of_the_trunk_and_keeps_the_number(uri: bytes, expected: bytes) -> None:
    assert request_uri(uri, b"sip.carrier.example", 5070) == expected


@pytest.mark.parametrize(
    ("uri", "domain", "expected"),
    [
        (b"sip:1@pbx", b"", b"sip:1@pbx"),
        (b"sip:1@pbx:5062;user=phone", b"c.example", b"sip:1@c.example;user=phone"),
        (b"sip:anonymous@anonymous.invalid", b"c.example", b"sip:anonymous@anonymous.invalid"),
        (b"sip:anonymous@pbx", b"c.example", b"sip:anonymous@c.example"),
        (b"tel:+41441112233", b"c.example", b"sip:+41441112233@c.example;user=phone"),
        (b"tel:+41441112233", b"", b"sip:+41441112233@h.example;user=phone"),
        (b"mailto:a@b", b"c.example", b"mailto:a@b"),
    ],
)
def test_callers_live_at_the_domain(uri: bytes, domain: bytes, expected: bytes) -> None:
    assert caller_uri(uri, domain, b"h.example") == expected


@pytest.mark.parametrize(
    ("keys", "from_", "told"),
    [
        ("", ANNA, ANNA),
        (ACCOUNT, ANNA, '"Anna" <sip:0441112233@carrier.example>'),
        ("domain: carrier.example, ", ANNA, '"Anna" <sip:0441112233@carrier.example>'),
        (ACCOUNT + "caller_format: e164", ANNA, '"Anna" <sip:+41441112233@carrier.example>'),
        ("caller_format: e164", ANNA, '"Anna" <sip:+41441112233@192.0.2.10>'),
        ("number_format: plain", ANNA, '"Anna" <sip:41441112233@192.0.2.10>'),
        ("identity: {display_name: drop}", ANNA, "<sip:0441112233@192.0.2.10>"),
        (ACCOUNT + "identity: {from_user: account}", ANNA, '"Anna" <sip:u7@carrier.example>'),
        ("caller_format: national", "<tel:+41441112233>", "<sip:0441112233@carrier.example;user=phone>"),
        ("identity: {user_phone: no}", "<tel:+41441112233>", "<sip:+41441112233@carrier.example>"),
        ("identity: {user_phone: yes}", ANNA, '"Anna" <sip:0441112233@192.0.2.10;user=phone>'),
        ("caller_format: e164", "<sip:alice@192.0.2.10>", "<sip:alice@192.0.2.10>"),
        (DDI, ANNA, '"Anna" <sip:0315550003@192.0.2.10>'),
        (OWN + SOME, ANNA, '"Anna" <sip:0315559999@192.0.2.10>'),
        (OWN + SOME, "<sip:192.0.2.10>", "<sip:+41315559999@192.0.2.10>"),
        (OWN + SOME, NOBODY, NOBODY),
    ],
)
def test_from_is_as_the_trunk_wants_it(keys: str, from_: str, told: str) -> None:
    assert shown(keys, from_) == [told]


# -- identity headers -------------------------------------------------------------------------------------------------


def test_the_callers_number_is_the_one_that_is_asserted() -> None:
    ppi, rpid = "P-Preferred-Identity: <sip:2@x>", "Remote-Party-ID: <sip:3@x>;party=calling"
    for headers, number in (
        ((rpid, ppi, PAI), b"sip:+41441110000@192.0.2.10"),
        ((rpid, ppi), b"sip:2@x"),
        ((rpid,), b"sip:3@x"),
        (("P-Asserted-Identity: <sip:anonymous@anonymous.invalid>", rpid), b"sip:3@x"),
        (("P-Asserted-Identity: <sip:x>, <tel:+41440000000>", rpid), b"tel:+41440000000"),
        (('P-Asserted-Identity: "<sip:x', ppi), b"sip:2@x"),
    ):
        found = asserted(call(ANNA, *headers))
        assert found is not None
        assert found.uri == number
    assert asserted(call(ANNA, "Remote-Party-ID: <sip:3@x>;party=called")) is None


@pytest.mark.parametrize(
    ("keys", "headers", "told"),
    [
        ("", (PAI,), [PAI]),
        ("identity_format: national", (PAI,), [PAI.replace("+4144", "044")]),
        (
            "identity: {display_name: drop}",
            ('P-Asserted-Identity: "A, B" <sip:1@x>',),
            ["P-Asserted-Identity: <sip:1@x>"],
        ),
        ("identity: {user_phone: yes}", (PAI,), [PAI.replace(">", ";user=phone>")]),
        (
            "identity_format: e164",
            ("P-Asserted-Identity: <sip:0441110000@x>, <tel:0441110000>",),
            ["P-Asserted-Identity: <sip:+41441110000@x>, <tel:+41441110000>"],
        ),
        (
            "identity_format: plain",
            ("P-Asserted-Identity: <tel:+41441110000>",),
            ["P-Asserted-Identity: <sip:41441110000@carrier.example;user=phone>"],
        ),
        ("identity_format: e164", ('P-Asserted-Identity: "<sip:1@x>',), ['P-Asserted-Identity: "<sip:1@x>']),
        ("identity_format: e164", ("P-Asserted-Identity: <sip:x>",), ["P-Asserted-Identity: <sip:x>"]),
        (
            "identity_format: national",
            ("Remote-Party-ID: <sip:+41441110000@x>;party=calling;screen=yes",),
            ["Remote-Party-ID: <sip:0441110000@x>;party=calling;screen=yes"],
        ),
        (OWN + SOME, (PAI,), [PAI.replace("+41441110000", "+41315559999")]),
        ("identity: {headers: []}", (PAI, "Remote-Party-ID: <sip:3@x>"), []),
        (ACCOUNT + "identity: {headers: pai}", (), ['P-Asserted-Identity: "Anna" <sip:0441112233@carrier.example>']),
        (ACCOUNT + "identity: {headers: pai}", (PAI,), ["P-Asserted-Identity: <sip:+41441110000@carrier.example>"]),
        ("identity: {headers: ppi}", (), ['P-Preferred-Identity: "Anna" <sip:0441112233@192.0.2.10>']),
        (
            ACCOUNT + "identity_format: e164, identity: {headers: [ppi, rpid], display_name: drop, user_phone: yes}",
            (),
            [
                "P-Preferred-Identity: <sip:+41441112233@carrier.example;user=phone>",
                "Remote-Party-ID: <sip:+41441112233@carrier.example;user=phone>;party=calling;screen=yes;privacy=off",
            ],
        ),
        (OWN + SOME + "identity: {headers: pai}", (PAI,), [PAI.replace("+41441110000", "+41315559999")]),
    ],
)
def test_identity_headers_are_as_the_trunk_wants_them(keys: str, headers: tuple[str, ...], told: list[str]) -> None:
    assert shown(keys, ANNA, *headers)[1:] == told


def test_a_name_gives_way_to_the_number_that_the_pbx_asserts() -> None:
    from_, pai = shown(ACCOUNT + "identity: {headers: pai}", "<sip:alice@192.0.2.10>", PAI)
    assert from_ == "<sip:+41441110000@carrier.example>"
    assert pai == "P-Asserted-Identity: <sip:+41441110000@carrier.example>"
    assert shown(ACCOUNT, "<sip:alice@192.0.2.10>", PAI)[0] == "<sip:alice@carrier.example>"


def test_a_number_that_is_to_be_shown_stays_beside_the_one_that_is_asserted() -> None:
    """CLIP no screening: the customer's mobile in From, our own number in P-Asserted-Identity."""
    from_, pai = shown(ACCOUNT + "number_format: e164, identity: {headers: pai}", "<sip:0795550000@192.0.2.10>", PAI)
    assert (from_, pai) == (
        "<sip:+41795550000@carrier.example>",
        "P-Asserted-Identity: <sip:+41441110000@carrier.example>",
    )


def test_whom_nobody_knows_has_the_carriers_number_as_identity() -> None:
    for from_ in (NOBODY, "<sip:21@192.0.2.10>", "<sip:alice@192.0.2.10>", "<sip:192.0.2.10>"):
        told = shown(OWN + ACCOUNT + "identity: {headers: pai}", from_)
        assert told[1] == "P-Asserted-Identity: <sip:+41315559999@carrier.example>"
    assert shown(ACCOUNT + "identity: {headers: pai}", NOBODY)[1:] == []
    assert shown(ACCOUNT + "identity: {headers: pai}", "<sip:192.0.2.10>")[1:] == []


def test_the_fallback_shows_the_carriers_number_everywhere() -> None:
    keys = ACCOUNT + OWN + DDI + "number_format: e164, "
    assert shown(keys, ANNA, PAI, fallback=True) == [
        '"Anna" <sip:+41315559999@carrier.example>',
        PAI.replace("+41441110000", "+41315559999"),
    ]
    assert shown(keys + "identity: {headers: [pai]}", ANNA, PAI, fallback=True)[1].startswith(
        "P-Asserted-Identity: <sip:+41315559999@carrier.example>"
    )
    assert shown(keys, ANNA, PAI)[0] == '"Anna" <sip:+41315550003@carrier.example>'
    assert shown("number_format: e164", ANNA, fallback=True)[0] == '"Anna" <sip:+41441112233@192.0.2.10>'


# -- who hides the number ---------------------------------------------------------------------------------------------

AT_CARRIER = "<sip:+41441110000@carrier.example>"


@pytest.mark.parametrize(
    ("keys", "from_", "headers", "told"),
    [
        # as the PBX wrote it
        ("keep", NOBODY, WITHHELD, [NOBODY, *WITHHELD]),
        ("keep", ANNA, WITHHELD, ['"Anna" <sip:0441112233@carrier.example>', *WITHHELD]),
        # Privacy: id, the number in From, at the account's domain
        ("id", NOBODY, WITHHELD, [AT_CARRIER, "Privacy: id", PAI]),
        ("id", NOBODY, (PAI,), [AT_CARRIER, "Privacy: id", PAI]),
        ("id", NOBODY, (), ["<sip:anonymous@carrier.example>", "Privacy: id"]),
        ("id", ANNA, ("Privacy: user;critical",),
         ['"Anna" <sip:0441112233@carrier.example>', "Privacy: user;id;critical"]),
        # From is anonymous, the number in the identity headers
        ("anonymous", NOBODY, WITHHELD, [NOBODY, PAI]),
        ("anonymous", ANNA, ("Privacy: id",), [NOBODY, 'P-Asserted-Identity: "Anna" <sip:0441112233@carrier.example>']),
        ("anonymous", NOBODY, (), [NOBODY]),
        # both
        ("both", ANNA, WITHHELD, [NOBODY, "Privacy: id", PAI]),
        ("both", ANNA, ("Privacy: id",),
         [NOBODY, 'P-Asserted-Identity: "Anna" <sip:0441112233@carrier.example>', "Privacy: id"]),
        # without the number
        ("keep, number_when_hidden: no", NOBODY, WITHHELD, [NOBODY, "Privacy: id"]),
        ("both, number_when_hidden: no", ANNA, WITHHELD, [NOBODY, "Privacy: id"]),
        ("both, number_when_hidden: no, headers: [pai, rpid]", ANNA, WITHHELD, [NOBODY, "Privacy: id"]),
        # in the header that the carrier reads
        ("both, headers: pai", ANNA, WITHHELD, [NOBODY, PAI.replace("192.0.2.10", "carrier.example"), "Privacy: id"]),
        (
            "anonymous, headers: rpid", NOBODY, WITHHELD,
            [NOBODY, f"Remote-Party-ID: {AT_CARRIER};party=calling;screen=yes;privacy=full"],
        ),
        # as the PBX wrote it, but what said so does not go out: it is said in another way
        ("keep, headers: pai", ANNA, ("Remote-Party-ID: <sip:+41441110000@x>;privacy=full",),
         ['"Anna" <sip:0441112233@carrier.example>', PAI.replace("192.0.2.10", "carrier.example"), "Privacy: id"]),
        ("keep, from_user: account", NOBODY, (PAI,), ['"Anonymous" <sip:u7@carrier.example>', "Privacy: id", PAI]),
        ("keep", ANNA, ("Remote-Party-ID: <sip:+41441110000@x>;privacy=full",),
         ['"Anna" <sip:0441112233@carrier.example>', "Remote-Party-ID: <sip:+41441110000@x>;privacy=full"]),
        ("keep, number_when_hidden: no", ANNA, ("Remote-Party-ID: <sip:+41441110000@x>;privacy=full",),
         ['"Anna" <sip:0441112233@carrier.example>', "Privacy: id"]),
    ],
)  # fmt: skip
def test_who_hides_the_number_is_told_so(keys: str, from_: str, headers: tuple[str, ...], told: list[str]) -> None:
    found = shown(ACCOUNT + f"identity: {{hidden: {keys}}}", from_, *headers)
    assert found[0] == told[0]
    assert sorted(found[1:]) == sorted(told[1:])


@pytest.mark.parametrize("hidden", ["keep", "id", "anonymous", "both"])
@pytest.mark.parametrize("headers", ["", ", headers: []", ", headers: [pai]", ", headers: [pai, rpid]"])
@pytest.mark.parametrize("more", ["", ", from_user: account", ", number_when_hidden: no"])
@pytest.mark.parametrize("from_", [ANNA, NOBODY])
@pytest.mark.parametrize(
    "asked", ["Privacy: id", "Privacy: user", "Remote-Party-ID: <sip:+41441110000@x>;privacy=full"]
)
def test_no_setting_lets_a_hidden_number_be_passed_on(
    hidden: str, headers: str, more: str, from_: str, asked: str
) -> None:
    """The carrier is told in a way that it must honour, or has nothing to tell."""
    identity = f"identity: {{hidden: {hidden}{headers}{more}}}"
    from_sent, *lines = shown(ACCOUNT + "number_format: e164, " + identity, from_, PAI, asked)
    asks = any(line.startswith("Privacy: ") for line in lines) or any("privacy=full" in line for line in lines)
    assert asks or "anonymous.invalid" in from_sent


@pytest.mark.parametrize("hidden", ["keep", "id", "anonymous", "both"])
@pytest.mark.parametrize("headers", ["", ", headers: [pai]", ", headers: [rpid]"])
@pytest.mark.parametrize("no", ["", ", number_when_hidden: no"])
def test_a_call_for_help_shows_its_caller(hidden: str, headers: str, no: str) -> None:
    keys = ACCOUNT + f"number_format: e164, identity: {{hidden: {hidden}{headers}{no}}}"
    for from_, asked in (
        (NOBODY, (*WITHHELD, "Remote-Party-ID: <sip:+41441110000@x>;party=calling;privacy=full")),
        (NOBODY, ("Remote-Party-ID: <sip:+41441110000@x>;privacy=full",)),
        (NOBODY, (PAI,)),
    ):
        told = shown(keys, from_, *asked, emergency=True)
        assert told[0] == AT_CARRIER
        assert not any("Privacy" in line or "privacy=full" in line for line in told)
        assert any("+41441110000" in line for line in told[1:])


def test_a_call_for_help_that_nobody_knows_shows_the_carriers_number() -> None:
    assert shown(OWN, NOBODY, emergency=True) == ["<sip:+41315559999@carrier.example>"]
    assert shown("", NOBODY, emergency=True) == [NOBODY], "there is nothing better to show"


def test_a_call_for_help_shows_a_number_whose_address_the_carrier_knows() -> None:
    assert shown(ACCOUNT + OWN + SOME + DDI, ANNA, "Privacy: id", emergency=True) == [
        '"Anna" <sip:0315550003@carrier.example>'
    ]
    assert shown(ACCOUNT + OWN + SOME, ANNA, emergency=True) == ['"Anna" <sip:0315559999@carrier.example>']
    assert shown("", ANNA, "Privacy: id;user", emergency=True) == [ANNA]
    assert shown("", ANNA, "Privacy: none", emergency=True) == [ANNA, "Privacy: none"]


# -- further headers --------------------------------------------------------------------------------------------------


def test_headers_are_added_and_removed() -> None:
    keys = "add_headers: ['X-Customer: 4711', 'X-B: ü'], remove_headers: [x-secret, S]"
    assert shown(keys, ANNA, "X-Secret: 1", "X-Other: 2", "X-SECRET: 3") == [
        ANNA,
        "X-Customer: 4711",
        "X-B: ü",
        "X-Other: 2",
    ]
    told = present(call(ANNA, "Subject: hello"), TARGET, carrier(keys))
    assert b"subject" in told.dropped
    assert {b"subject", b"x-secret"} <= told.kept_out


def test_requests_inside_the_call_tell_no_more_than_the_first() -> None:
    identities = {b"p-asserted-identity", b"p-preferred-identity", b"remote-party-id"}
    for keys, headers, kept_out in (
        ("number_format: e164", (), set()),
        ("identity: {headers: [pai]}", (), identities),
        ("identity: {number_when_hidden: no}", (), set()),
        ("identity: {number_when_hidden: no}", ("Privacy: id",), identities),
    ):
        assert present(call(ANNA, *headers), TARGET, carrier(keys)).kept_out == kept_out


def test_our_contact_is_nameless_where_the_number_is_not_told() -> None:
    for hidden, nameless in (("keep", False), ("id", False), ("anonymous", True), ("both", True)):
        told = present(call(ANNA, "Privacy: id"), TARGET, carrier(f"identity: {{hidden: {hidden}}}"))
        assert told.nameless is nameless
        assert present(call(ANNA), TARGET, carrier(f"identity: {{hidden: {hidden}}}")).nameless is False


# -- coming in --------------------------------------------------------------------------------------------------------


def test_a_call_that_comes_in_is_told_in_the_form_of_the_pbx() -> None:
    request = call(
        '"X" <sip:41795550000@c.example>', "P-Asserted-Identity: <tel:+41795550000>, <sip:41795550000@c>",
        "Diversion: <sip:41315550003@c>;reason=no-answer", 'Remote-Party-ID: "',
    )  # fmt: skip
    told = incoming(request, carrier(DDI + "inbound_format: plain"), "national")
    assert told.from_.uri == b"sip:0795550000@c.example"
    assert told.from_.tag == b"t"
    assert told.lines == (
        b"P-Asserted-Identity: <sip:0795550000@carrier.example;user=phone>, <sip:0795550000@c>",
        b"Diversion: <sip:0315550003@c>;reason=no-answer",
    )
    assert told.dropped == {b"p-asserted-identity", b"diversion"}
    kept = incoming(request, carrier("inbound_format: plain"), "keep")
    assert (kept.from_.uri, kept.lines, kept.dropped) == (b"sip:41795550000@c.example", (), frozenset())


def test_a_caller_without_a_host_gets_the_carriers() -> None:
    told = incoming(call("<tel:+41795550000>"), carrier("inbound_format: plain"), "e164")
    assert told.from_.uri == b"sip:+41795550000@carrier.example;user=phone"


def test_anonymous_is_what_the_rfc_writes() -> None:
    assert NameAddr.parse(NOBODY.encode()) == ANONYMOUS
    assert Message(invite()).from_.name == b"Office"
