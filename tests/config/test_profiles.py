"""Carrier profiles: the data files are whole and true to their marks, the file goes before them, messages name them."""
# ruff: noqa: E501 (tables of whole messages, one a row)

from pathlib import Path
from typing import Any

import pytest

from sipfailover.config import Settings, TrunkSettings, describe, json_schema, parse
from sipfailover.config.explain import keys_of, section_of
from sipfailover.errors import ConfigError
from sipfailover.profiles import NEVER, Mark, Profile, Setting, as_json, find, names, page, snippet, table

OTHER = "  - {name: other, host: 192.0.2.9}\n"
PASSWORDS = {
    "SWISSCOM_PASSWORD",
    "PEOPLEFONE_PASSWORD",
    "SIPCALL_PASSWORD",
    "TELNYX_PASSWORD",
    "TWILIO_PASSWORD",
    "CARRIER_PASSWORD",
}
OVERRIDES = {
    "host": "h.example", "transport": "tcp", "register_expires": "7m", "keep_alive_every": "11s",
    "number_format": "international", "caller_format": "plain", "inbound_format": "national", "networks": "[192.0.2.0/28]",
    "identity.from_user": "account", "identity.headers": "[rpid]", "monitor.options_every": "13s",
}  # fmt: skip
"""Another value than any profile's for each key that a profile sets, as the file writes it; but see `other_than`."""


def settings(text: str, **environment: str) -> Settings:
    return parse(text, file="t.yaml", folder=Path("/nonexistent"), environment=environment)


def told(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        settings(text, **environment)
    return [f"{p.line}:{p.column} {p.path}: {p.text}" for p in caught.value.problems]


def warned(text: str) -> list[str]:
    return [f"{p.line}:{p.column} {p.path}: {p.text}" for p in settings(text).warnings]


def trunk(lines: str, **environment: str) -> TrunkSettings:
    """The first of two trunks, from the flow-style keys of its entry."""
    return settings(f"pbx: p.lan\ntrunks:\n  - {{name: a, {lines}}}\n{OTHER}", **environment).trunks[0]


def profile(name: str) -> Profile:
    found = find(name)
    assert found is not None
    return found


def all_of(name: str) -> Settings:
    """The settings that the profile's own lines to paste give, with every commented line taken in."""
    lines = "\n".join(line.replace("# ", "") for line in snippet(profile(name)))
    return settings(f"pbx: p.lan\n{lines}\n{OTHER}", **dict.fromkeys(PASSWORDS, "hunter2"))


def value_at(section: Any, key: str) -> Any:
    for part in key.split("."):
        section = getattr(section, "register_" if part == "register" else part)
    return section


def other_than(setting: Setting) -> str:
    """Another value for this key; where there are two only, the other one."""
    return {"yes": "no", "no": "yes"}.get(setting.shown) or OVERRIDES[setting.key]


SET = [(name, setting) for name in names() for setting in profile(name).settings if setting.value is not None]


# ---- the data files


def test_the_profiles_of_the_first_version_are_there() -> None:
    assert names() == (
        "peoplefone", "sipcall", "swisscom-smart-business-connect", "telnyx", "twilio", "generic-ip", "generic-register",
    )  # fmt: skip


@pytest.mark.parametrize("name", names())
def test_a_profile_needs_only_what_its_own_lines_say(name: str) -> None:
    needed = "\n".join(line for line in snippet(profile(name)) if not line.lstrip().startswith("#"))
    loaded = settings(f"pbx: p.lan\n{needed}\n{OTHER}", **dict.fromkeys(PASSWORDS, "hunter2"))
    assert loaded.warnings == ()
    assert loaded.trunks[0].profile == name


@pytest.mark.parametrize("name", names())
def test_every_line_to_paste_is_accepted(name: str) -> None:
    assert all_of(name).warnings == ()


@pytest.mark.parametrize(("name", "setting"), SET, ids=lambda part: getattr(part, "key", part))
def test_every_value_arrives_as_if_the_file_had_written_it(name: str, setting: Setting) -> None:
    section, _, key = setting.key.rpartition(".")
    inner = f"{key}: {setting.shown}"
    base = "username: u, password: '${P}'" + ("" if setting.key == "host" else ", host: h.example")
    written = trunk(f"{base}, {f'{section}: {{{inner}}}' if section else inner}", P="x")
    assert value_at(all_of(name).trunks[0], setting.key) == value_at(written, setting.key)


@pytest.mark.parametrize(("name", "setting"), SET, ids=lambda part: getattr(part, "key", part))
def test_what_the_file_writes_wins(name: str, setting: Setting) -> None:
    section, _, key = setting.key.rpartition(".")
    inner = f"{key}: {other_than(setting)}"
    other = f"{section}: {{{inner}}}" if section else inner
    base = "username: u, password: '${P}'" + ("" if setting.key == "host" else ", host: h.example")
    loaded = settings(f"pbx: p.lan\ntrunks:\n  - {{name: a, profile: {name}, {base}, {other}}}\n{OTHER}", P="x")
    without = trunk(f"{base}, {other}", P="x")
    assert value_at(loaded.trunks[0], setting.key) == value_at(without, setting.key)
    assert value_at(loaded.trunks[0], setting.key) != value_at(all_of(name).trunks[0], setting.key)
    assert setting not in loaded.profiles["a"].settings


@pytest.mark.parametrize("name", names())
def test_every_key_is_one_of_a_trunk_and_has_mark_and_source(name: str) -> None:
    found = profile(name)
    assert found.how in ("registers", "by address", "either")
    for setting in found.settings:
        section, _, key = setting.key.rpartition(".")
        inner = section_of(TrunkSettings, section) if section else TrunkSettings
        assert inner is not None
        assert key in keys_of(inner)
        assert setting.source
        assert (setting.value is None) == (setting.mark is Mark.UNKNOWN)
        assert setting.note or setting.mark is Mark.CONFIRMED, f"{setting.key}: say why"
    assert {part.key for part in found.fill_in} <= set(keys_of(TrunkSettings))
    assert all(part.note for part in found.fill_in)
    taken = {part.key for part in found.fill_in} & {setting.key for setting in found.settings}
    assert not taken, "a key is the profile's or the customer's, not both"


@pytest.mark.parametrize("name", names())
def test_no_profile_sets_what_is_the_customer_s_or_secret(name: str) -> None:
    assert not {setting.key for setting in profile(name).settings} & NEVER
    assert not [part for part in profile(name).fill_in if "password" in part.key and not part.example.startswith("${")]


def test_nothing_about_the_swisscom_trunk_is_called_confirmed() -> None:
    """No document about it was found; who has one, or a live line, changes this with the source."""
    assert profile("swisscom-smart-business-connect").marked(Mark.CONFIRMED) == ()


@pytest.mark.parametrize("name", names())
def test_a_page_fits_80_columns_and_says_everything(name: str) -> None:
    lines = list(page(profile(name)))
    assert [line for line in lines if len(line) > 80] == []
    text = " ".join(" ".join(lines).split())
    for setting in profile(name).settings:
        for part in (f"{setting.key}: {setting.shown}".strip(), setting.source, setting.note):
            assert part in text
    for fill_in in profile(name).fill_in:
        assert fill_in.note in text
        assert f"{fill_in.key}: {fill_in.example}" in text


def test_the_table_fits_80_columns() -> None:
    lines = list(table(profile(name) for name in names()))
    assert len(lines) == 1 + 2 * len(names())
    assert max(map(len, lines)) <= 80


def test_json_has_every_part() -> None:
    found = as_json(profile("twilio"))
    networks = next(setting for setting in found["settings"] if setting["key"] == "networks")
    assert networks["mark"] == "safe guess"
    assert "54.171.127.192/30" in networks["value"]
    assert found["fill_in"][0]["key"] == "host"
    unknown = [setting for setting in found["settings"] if setting["mark"] == "not known"]
    assert [setting["value"] for setting in unknown] == [None]


# ---- under what the file writes


def test_a_profile_fills_a_missing_host() -> None:
    found = trunk("profile: peoplefone, username: u, password: '${P}'", P="x")
    assert (found.host, found.register, found.register_expires, found.number_format) == (
        "sips.peoplefone.ch",
        True,
        120.0,
        "national",
    )


def test_a_section_is_filled_up_key_by_key() -> None:
    text = "profile: sipcall, username: u, password: '${P}', monitor: {timeout: 1s}, identity: {display_name: drop}"
    loaded = settings(f"pbx: p.lan\nmonitor: {{down_after: 7}}\ntrunks:\n  - {{name: a, {text}}}\n{OTHER}", P="x")
    monitor = loaded.monitor_for(loaded.trunks[0])
    assert (monitor.timeout, monitor.options_every, monitor.down_after) == (1.0, 36.0, 7)
    assert (loaded.trunks[0].identity.display_name, loaded.trunks[0].identity.from_user) == ("drop", "caller")


def test_a_section_whose_lines_are_all_commented_out_is_filled_up() -> None:
    assert trunk("profile: telnyx, identity: ").identity.headers == ("pai",)


@pytest.mark.parametrize(("written", "expected"), [("[192.0.2.0/28]", ("192.0.2.0/28",)), ("[]", ())])
def test_a_list_is_replaced(written: str, expected: tuple[str, ...]) -> None:
    assert trunk(f"profile: twilio, host: x.pstn.twilio.com, networks: {written}").networks == expected


def test_two_trunks_do_not_share_what_a_profile_gave() -> None:
    text = "pbx: p.lan\ntrunks:\n- &a {name: a, profile: twilio, host: a.example}\n- {<<: *a, name: b, host: b.example, networks: []}\n"
    first, second = settings(text).trunks
    assert (len(first.networks), second.networks) == (8, ())


@pytest.mark.parametrize("written", ["PeopleFone", "' peoplefone '", "'${WHO}'"])
def test_a_name_is_known_in_any_case_and_from_a_variable(written: str) -> None:
    assert (
        trunk(f"profile: {written}, username: u, password: '${{P}}'", P="x", WHO="peoplefone").profile == "peoplefone"
    )


@pytest.mark.parametrize("written", ["", "''", "~"])
def test_an_empty_profile_is_none(written: str) -> None:
    found = settings(f"pbx: p.lan\ntrunks:\n  - {{name: a, host: h.example, profile: {written}}}\n{OTHER}")
    assert found.trunks[0].profile == ""
    assert found.profiles == {}


def test_what_is_in_effect_is_known() -> None:
    text = "profile: peoplefone, username: u, password: '${P}', transport: tcp, caller_format: e164"
    loaded = settings(f"pbx: p.lan\ntrunks:\n{OTHER}  - {{name: a, {text}}}", P="x")
    assert set(loaded.profiles) == {"a"}
    applied = loaded.profiles["a"]
    assert [setting.key for setting in applied.settings] == [
        "host", "register", "register_expires", "keep_alive_every", "number_format", "inbound_format",
    ]  # fmt: skip
    assert [setting.key for setting in applied.guesses] == ["keep_alive_every", "number_format"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("profile: peoplefone, username: u, password: '${P}'",
         "profile   a: peoplefone, 3 of its 8 settings are safe guesses: `sipfailover profiles show peoplefone`, `check --probe` tells more"),
        ("profile: generic-ip, host: h.example",
         "profile   a: generic-ip, 1 of its 2 settings is a safe guess: `sipfailover profiles show generic-ip`, `check --probe` tells more"),
        ("profile: generic-ip, host: h.example, transport: udp", "profile   a: generic-ip, its setting is confirmed"),
        ("profile: twilio, host: h.example, transport: udp, networks: [], number_format: e164",
         "profile   a: twilio, its 2 settings are confirmed"),
        ("profile: generic-ip, host: h.example, transport: udp, register: no",
         "profile   a: generic-ip, of which nothing is left: the file says all of it itself"),
    ],
)  # fmt: skip
def test_a_trunk_s_profile_is_told(text: str, expected: str) -> None:
    loaded = settings(f"pbx: p.lan\ntrunks:\n  - {{name: a, {text}}}\n{OTHER}", P="x")
    assert [line for line in describe(loaded) if line.startswith("profile")] == [expected]


# ---- messages


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("profile: swisscom", "3:24 trunks.0.profile: 'swisscom' is no profile, did you mean 'swisscom-smart-business-connect'? "
                              "There are peoplefone, sipcall, swisscom-smart-business-connect, telnyx, twilio, generic-ip, generic-register"),
        ("profile: peoplefon, username: u", "3:24 trunks.0.profile: 'peoplefon' is no profile, did you mean 'peoplefone'? "
                                            "There are peoplefone, sipcall, swisscom-smart-business-connect, telnyx, twilio, generic-ip, generic-register"),
        ("host: h.example, profile: sunrise", "3:41 trunks.0.profile: 'sunrise' is no profile. "
                                              "There are peoplefone, sipcall, swisscom-smart-business-connect, telnyx, twilio, generic-ip, generic-register"),
        ("profile: [twilio], host: h.example", "3:24 trunks.0.profile: takes one value, not a section or a list"),
        ("profile: generic-ip", "3:5 trunks.0.host: is missing: write a host name or an IP address; "
                                "profile 'generic-ip' leaves it to you: where the carrier wants your calls"),
        ("profile: generic-register, host: h.example",
         "3:24 trunks.0.register: needs a username: whom should the carrier register? (profile 'generic-register' gives register: yes)"),
        ("host: h.example, profile: twilio, identity: x",
         "3:59 trunks.0.identity: 'x' stands where a section belongs: write its settings below, indented by two blanks"),
        ("host: h.example, profile: generic-ip, port: x", "3:59 trunks.0.port: 'x' is not a whole number"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem(lines: str, expected: str) -> None:
    assert told(f"pbx: p.lan\ntrunks:\n  - {{name: a, {lines}}}\n{OTHER}") == [expected]


def test_a_value_of_a_profile_that_does_not_fit_points_at_the_profile() -> None:
    text = "pbx: {host: p.lan, transport: tcp}\nlisten: tcp 192.0.2.1\ntrunks:\n  - name: a\n    profile: generic-ip\n    host: h.example\n"
    assert told(text) == [
        "5:14 trunks.0.transport: trunk 'a' uses udp, but 'listen' has no udp address (profile 'generic-ip' gives transport: udp)"
    ]
    with pytest.raises(ConfigError) as caught:
        settings(text)
    assert caught.value.problems[0].source == "    profile: generic-ip"


def test_a_value_of_a_profile_that_led_to_a_problem_elsewhere_is_named() -> None:
    """The host is the file's, but who reads of udp has not written it."""
    text = (
        "pbx: p.lan\nlisten: udp 192.0.2.1\ntrunks:\n  - {name: a, profile: generic-ip, host: '2001:db8::1'}\n" + OTHER
    )
    assert warned(text) == [
        "4:42 trunks.0.host: no call can go there: 'listen' has no IPv6 address for udp; add one of this machine, as in "
        "udp [2001:db8::6]:5060 (profile 'generic-ip' gives transport: udp)"
    ]


def test_two_trunks_to_one_carrier_are_seen_to_fail_together() -> None:
    account = "profile: peoplefone, username: u, password: '${P}'"
    loaded = settings(f"pbx: p.lan\ntrunks:\n  - {{name: a, {account}}}\n  - {{name: b, {account}}}\n", P="x")
    assert [f"{p.line}:{p.column} {p.path}: {p.text}" for p in loaded.warnings] == [
        "4:24 trunks.1.host: leads to the same place as 'a': the two will fail together (profile 'peoplefone' gives host: sips.peoplefone.ch)"
    ]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("transport", "upd", "4:14 trunks.0.transport: 'upd' is not known, did you mean 'udp'? (profile 'odd' gives transport: upd)"),
        ("register_expires", "1s", "4:14 trunks.0.register_expires: '1s' is too small: at least 1m (profile 'odd' gives register_expires: 1s)"),
        ("networks", ("192.0.2.0/28", "x"),
         "4:14 trunks.0.networks.1: 'x' is neither an IP address nor a network: write 198.51.100.0/24 (profile 'odd' gives networks: [192.0.2.0/28, x])"),
        ("identity.headers", ("pai", "pia"),
         "4:14 trunks.0.identity.headers.1: 'pia' is not known, did you mean 'ppi'? (profile 'odd' gives identity.headers: [pai, pia])"),
        ("identity.hidden", "maybe",
         "4:14 trunks.0.identity.hidden: 'maybe' is not known, allowed: keep, id, anonymous, both (profile 'odd' gives identity.hidden: maybe)"),
        ("identity.hiden", "id", "4:5 trunks.0.identity.hiden: unknown setting 'hiden', did you mean 'hidden'? (profile 'odd' gives identity.hiden: id)"),
    ],
)  # fmt: skip
def test_a_refused_value_of_a_profile_is_told_at_the_profile(key: str, value: Any, expected: str) -> None:
    """Those of the package are tested; a bound may become narrower some day, or a profile be written by somebody else."""
    odd = Profile("odd", "odd", "by address", "", "", (), (Setting(key, value, Mark.GUESS, "nowhere"),))
    text = f"pbx: p.lan\ntrunks:\n  - name: a\n    profile: odd\n    host: h.example\n{OTHER}"
    with pytest.raises(ConfigError) as caught:
        parse(text, file="t.yaml", folder=Path("/nonexistent"), environment={}, find_profile=lambda name: odd)
    assert [f"{p.line}:{p.column} {p.path}: {p.text}" for p in caught.value.problems] == [expected]


@pytest.mark.parametrize(
    "text",
    ["trunks: x", "trunks: [x, {profile: {a: b}}, [profile], {profile: twilio, networks: {a: b}}]", "trunks: {profile: twilio}"],
)  # fmt: skip
def test_a_hostile_file_with_profiles_is_refused_in_words(text: str) -> None:
    assert all(told("pbx: p.lan\n" + text))


# ---- schema


def test_the_schema_lists_the_profiles() -> None:
    found = json_schema()["$defs"]["TrunkSettings"]["properties"]["profile"]
    assert (found["type"], found["enum"]) == ("string", list(names()))
    assert "profiles show NAME" in found["description"]
