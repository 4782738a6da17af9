"""Numbers at one trunk, in both directions: forms, prefixes, own numbers, and what must never be touched."""

import pytest

from tests.trunk.carrier import ACCOUNT, carrier


def called(keys: str, who: str, *, plain: bool = False, more: str = "") -> str:
    uri = carrier(keys, more).called_uri(who.encode(), plain=plain, dialled=True)
    return uri.decode()


FORMS = {
    "keep": ("0443210000", "+4930123456"),
    "e164": ("+41443210000", "+4930123456"),
    "plain": ("41443210000", "4930123456"),
    "international": ("0041443210000", "004930123456"),
    "national": ("0443210000", "004930123456"),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_number_called_has_the_form_of_the_trunk(form: str) -> None:
    keys = f"number_format: {form}"
    assert called(keys, "sip:0443210000@pbx;user=phone") == f"sip:{FORMS[form][0]}@pbx;user=phone"
    assert called(keys, "sip:+4930123456@pbx") == f"sip:{FORMS[form][1]}@pbx"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "uri",
    [
        "sip:1811@pbx", "sip:1414@pbx", "sip:140@pbx", "sip:*31#0443210000@pbx", "sip:%23*21@pbx", "sip:alice@pbx",
        "sip:pbx",
        "sip:21@pbx", "urn:service:sos", "urn:service:sos.police", "sip:116117@pbx", "sip:443210000@pbx",
        "sip:030123456;phone-context=+49@pbx", "mailto:a@b",
    ],
)  # fmt: skip
def test_what_is_not_understood_goes_out_as_it_came(form: str, uri: str) -> None:
    assert called(f"number_format: {form}", uri) == uri


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "uri",
    [
        "sip:112@pbx",
        "sip:0112@pbx",
        "sip:+41112@pbx",
        "sip:0041112@pbx",
        "sip:%2B41112@pbx",
        "sip:112;phone-context=+41@pbx",
    ],
)
def test_an_emergency_number_goes_out_bare_on_every_trunk(form: str, uri: str) -> None:
    keys = f"number_format: {form}, called_prefixes: ['11 -> 99', '0 -> 99', '-> 77']"
    assert called(keys, uri, more="numbering: {outside_line: 0}") == "sip:112@pbx"


def test_parameters_of_the_number_stay() -> None:
    uri = "sip:0443210000;ext=7;isub=2;npdi;rn=+4144;cpc=ordinary;phone-context=+41@pbx;user=phone"
    assert called("number_format: plain", uri) == uri.replace("0443210000", "41443210000")
    assert called("number_format: e164", uri) == uri.replace("0443210000", "+41443210000").replace(
        ";phone-context=+41", ""
    )


def test_a_pbx_that_leaves_the_plus_out_is_understood_where_its_form_says_so() -> None:
    assert called("number_format: national", "sip:41443210000@pbx") == "sip:41443210000@pbx"
    assert called("number_format: national", "sip:41443210000@pbx", plain=True) == "sip:0443210000@pbx"


def test_called_and_caller_have_forms_of_their_own() -> None:
    trunk = carrier("number_format: e164, called_format: national, identity_format: plain")
    assert (trunk.called, trunk.caller, trunk.identity, trunk.inbound) == ("national", "e164", "plain", "e164")
    assert carrier("caller_format: plain").identity == "plain"
    assert carrier("number_format: e164, inbound_format: plain").inbound == "plain"


def test_the_prefix_comes_before_the_form_and_the_result_is_understood_anew() -> None:
    keys = "number_format: national, called_prefixes: ['9 -> ', '000 -> +']"
    assert called(keys, "sip:90443210000@pbx") == "sip:0443210000@pbx"
    assert called(keys, "sip:9004930123456@pbx") == "sip:004930123456@pbx"
    assert called(keys, "sip:00041443210000@pbx") == "sip:0443210000@pbx"
    assert called("number_format: e164, called_prefixes: ['-> 4711']", "sip:0443210000@pbx") == (
        "sip:47110443210000@pbx"
    ), "a prefix that makes it another thing is the last word"
    assert called("called_prefixes: ['0 -> *55*']", "sip:0443210000@pbx") == "sip:*55*443210000@pbx"


def test_the_outside_line_is_taken_away_where_there_is_a_form() -> None:
    more = "numbering: {outside_line: 0}"
    assert called("number_format: e164", "sip:00443210000@pbx", more=more) == "sip:+41443210000@pbx"
    assert called("number_format: e164", "sip:01811@pbx", more=more) == "sip:1811@pbx"
    assert called("", "sip:00443210000@pbx", more=more) == "sip:00443210000@pbx"


# -- who is shown -----------------------------------------------------------------------------------------------------

DDI = "ddi: {+41315550000-9: +41441112230-9, +41315550100: +41441110000}, "
OWN = "caller_id: +41315559999, "
SOME = "allowed_caller_ids: [+41315550000-9, +41315559999], "


@pytest.mark.parametrize(
    ("keys", "caller", "shown"),
    [
        ("", "0441112233", "0441112233"),
        (DDI, "0441112233", "0315550003"),
        (DDI, "+41441112233", "+41315550003"),
        (DDI, "0041441110000", "0041315550100"),
        (DDI + "number_format: plain, ", "+41441112239", "41315550009"),
        (DDI, "0441112240", "0441112240"),
        (DDI, "21", "21"),
        (OWN, "0441112233", "0441112233"),
        (OWN + SOME, "0441112233", "0315559999"),
        (OWN + SOME, "+41441112233", "+41315559999"),
        (OWN + SOME, "21", "+41315559999"),
        (OWN + SOME, "alice", "+41315559999"),
        (OWN + SOME + "number_format: national, ", "alice", "0315559999"),
        (OWN + SOME + DDI, "0441112233", "0315550003"),
        (OWN + SOME + DDI, "0441110000", "0315559999"),
        (SOME, "0441112233", "0441112233"),
        ("caller_prefixes: ['2 -> 04411122'], number_format: e164, ", "233", "+41441112233"),
    ],
)
def test_the_caller_that_may_be_shown_is(keys: str, caller: str, shown: str) -> None:
    trunk = carrier(keys)
    uri = f"sip:{caller}@pbx".encode()
    assert trunk.shown(uri, trunk.caller, plain=False).decode() == shown


@pytest.mark.parametrize("form", ["keep", "e164", "plain", "international", "national"])
def test_the_fallback_shows_the_carriers_own_number(form: str) -> None:
    written = {"keep": "0315559999", "e164": "+41315559999", "plain": "41315559999", "international": "0041315559999",
               "national": "0315559999"}  # fmt: skip
    trunk = carrier(OWN + DDI + f"caller_format: {form}, ")
    assert trunk.shown(b"sip:0441112233@pbx", trunk.caller, plain=False, fallback=True).decode() == written[form]
    assert trunk.shown(b"sip:0441112233@pbx", "plain", plain=False, fallback=True, asked=False) == b"41315550003"


@pytest.mark.parametrize("who", ["+41443210000", "alice", "21"])
def test_user_phone_stands_where_it_is_wanted_and_a_number_is(who: str) -> None:
    bare = f"sip:{who}@x".encode()
    marked = bare + b";user=phone"
    yes, no, kept = (carrier(keys) for keys in ("identity: {user_phone: yes}", "identity: {user_phone: no}", ""))
    assert yes.with_phone(bare) == (bare if who == "alice" else marked)
    assert no.with_phone(marked) == (marked if who == "alice" else bare)
    assert (kept.with_phone(bare), kept.with_phone(marked)) == (bare, marked)


# -- from the carrier -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "wrote", "form", "told"),
    [
        ("inbound_format: plain", "41443210019", "e164", "+41443210019"),
        ("inbound_format: plain", "41443210019", "national", "0443210019"),
        ("inbound_format: plain", "41443210019", "keep", "41443210019"),
        ("inbound_format: plain", "4930123456", "national", "004930123456"),
        ("number_format: plain", "41443210019", "international", "0041443210019"),
        ("number_format: national", "41443210019", "e164", "41443210019"),
        ("", "0041443210019", "plain", "41443210019"),
        ("", "1811", "e164", "1811"),
        ("", "*21#", "e164", "*21#"),
        (DDI, "+41315550003", "keep", "+41441112233"),
        (DDI, "0315550003", "keep", "0441112233"),
        (DDI + "inbound_format: plain", "41315550003", "keep", "41441112233"),
        (DDI + "inbound_format: plain", "41315550003", "national", "0441112233"),
        (DDI, "+41315550099", "keep", "+41315550099"),
        (DDI, "+41315550099", "national", "0315550099"),
    ],
)
def test_the_house_hears_its_own_numbers_in_the_form_of_its_pbx(keys: str, wrote: str, form: str, told: str) -> None:
    uri = f"sip:{wrote}@192.0.2.1;user=phone".encode()
    assert carrier(keys).called_in_the_house(uri, form).decode() == f"sip:{told}@192.0.2.1;user=phone"


def test_the_caller_is_told_in_the_form_of_the_pbx_and_is_nobody_of_the_house() -> None:
    trunk = carrier(DDI + "inbound_format: plain")
    assert trunk.caller_in_the_house(b"sip:41795550000@c", "e164") == b"sip:+41795550000@c"
    assert trunk.caller_in_the_house(b"sip:41795550000@c", "keep") == b"sip:41795550000@c"
    assert trunk.caller_in_the_house(b"sip:41315550003@c", "e164") == b"sip:+41315550003@c"
    assert trunk.caller_in_the_house(b"sip:anonymous@anonymous.invalid", "e164") == b"sip:anonymous@anonymous.invalid"


# -- nothing for nothing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "idle"),
    [
        ("", True),
        (ACCOUNT, True),
        ("inbound_format: plain", True),
        ("number_format: keep, called_format: keep", True),
        ("number_format: e164", False),
        ("caller_id: +41443210000", False),
        ("identity: {display_name: drop}", False),
        ("identity: {from_user: caller}", True),
        ("remove_headers: X-A", False),
        ("add_headers: 'X-A: 1'", False),
    ],
)
def test_a_trunk_with_nothing_written_has_nothing_to_do(keys: str, idle: bool) -> None:
    assert carrier(keys).idle is idle


def test_the_domain_is_the_accounts_or_the_one_that_is_written() -> None:
    assert carrier("").domain == b""
    assert carrier("domain: carrier.example").domain == b"carrier.example"
    assert carrier("username: u, password: x").domain == b"carrier.example"
