"""From text to settings: what is accepted, and that every problem is told at its place, all at once."""
# ruff: noqa: E501 (tables of whole messages, one a row)

import json
from pathlib import Path

import pytest

from sipfailover.config import Settings, describe, json_schema, load, parse
from sipfailover.errors import ConfigError, Problem

TRUNKS = "trunks: [{name: main, host: 192.0.2.1}, {name: backup, host: 192.0.2.2}]\n"
GOOD = "pbx: 192.168.10.5\n" + TRUNKS


def settings(text: str, **environment: str) -> Settings:
    return parse(text, file="t.yaml", folder=Path("/nonexistent"), environment=environment)


def problems(text: str, **environment: str) -> list[Problem]:
    with pytest.raises(ConfigError) as caught:
        settings(text, **environment)
    return list(caught.value.problems)


def told(text: str, **environment: str) -> list[str]:
    """Every problem as `line:column path: text`."""
    return [f"{p.line}:{p.column} {p.path}: {p.text}" for p in problems(text, **environment)]


def warned(text: str) -> list[str]:
    return [f"{p.line}:{p.column} {p.path}: {p.text}" for p in settings(text).warnings]


def test_numbers_stay_what_was_written() -> None:
    loaded = settings(
        "pbx: 192.168.10.5\ntrunks: [{name: 007, host: 192.0.2.1, username: 0443210000}, {name: b, host: h.example, "
        "username: +41443210000, description: 22:30}]"
    )
    assert [trunk.username for trunk in loaded.trunks] == ["0443210000", "+41443210000"]
    assert (loaded.trunks[0].name, loaded.trunks[1].description) == ("007", "22:30")


@pytest.mark.parametrize(
    ("pbx", "expected"),
    [
        ("192.168.10.5", [("pbx", "192.168.10.5", 5060, "udp")]),
        ("127.0.0.2:5070", [("pbx", "127.0.0.2", 5070, "udp")]),
        ("'[2001:db8::1]:5070'", [("pbx", "2001:db8::1", 5070, "udp")]),
        ("tcp pbx.lan:5070", [("pbx", "pbx.lan", 5070, "tcp")]),
        ("{host: pbx.lan, port: 5070, transport: TCP}", [("pbx", "pbx.lan", 5070, "tcp")]),
        ("[a.lan, {host: b.lan, name: attic}]", [("pbx", "a.lan", 5060, "udp"), ("attic", "b.lan", 5060, "udp")]),
        ("tls pbx.lan", [("pbx", "pbx.lan", 5061, "tls")]),
        ("{host: pbx.lan, transport: tls}", [("pbx", "pbx.lan", 5061, "tls")]),
        ("[a.lan, b.lan]", [("pbx", "a.lan", 5060, "udp"), ("pbx-2", "b.lan", 5060, "udp")]),
    ],
)
def test_a_pbx_is_an_address_a_section_or_a_list(pbx: str, expected: list[tuple[object, ...]]) -> None:
    loaded = settings(f"pbx: {pbx}\n{TRUNKS}")
    assert [(p.name, p.host, p.port_used, p.transport) for p in loaded.pbx] == expected


def test_we_listen_on_both_transports_by_default() -> None:
    assert [str(listen) for listen in settings(GOOD).listen] == ["udp 0.0.0.0:5060", "tcp 0.0.0.0:5060"]


def test_listen_may_be_one_value() -> None:
    assert [str(listen) for listen in settings(GOOD + "listen: udp [::]:5070").listen] == ["udp [::]:5070"]


def test_the_order_of_the_list_is_the_tier() -> None:
    assert [trunk.tier for trunk in settings(GOOD).trunks] == [1, 2]


def test_written_tiers_stay() -> None:
    text = "pbx: p.lan\ntrunks: [{name: a, host: a.example, tier: 7}, {name: b, host: b.example, tier: 3}]"
    assert [trunk.tier for trunk in settings(text).trunks] == [7, 3]


def test_a_trunk_s_monitor_changes_only_what_it_writes() -> None:
    loaded = settings(
        "pbx: p.lan\nmonitor: {timeout: 1s, down_after: 5}\n"
        "trunks: [{name: a, host: a.example, monitor: {down_after: 2}}, {name: b, host: b.example}]"
    )
    own, other = (loaded.monitor_for(trunk) for trunk in loaded.trunks)
    assert (own.timeout, own.down_after, own.options_every) == (1.0, 2, 10.0)
    assert other == loaded.monitor


def test_options_can_be_turned_off_for_all_trunks_or_for_one() -> None:
    loaded = settings(
        "pbx: p.lan\nmonitor: {options_every: off}\n"
        "trunks: [{name: a, host: a.example, monitor: {options_every: 30s}}, {name: b, host: b.example}]"
    )
    assert [loaded.monitor_for(trunk).options_every for trunk in loaded.trunks] == [30.0, None]
    told = [line for line in describe(loaded) if line.startswith("trunk")]
    assert "; OPTIONS every 30s, Down after 3 failed, Up after 3 good" in told[0]
    assert "; no OPTIONS, judged by its calls, Down after 3 unanswered, Up after 3 good" in told[1]


def test_references_are_addresses_beside_the_trunks() -> None:
    loaded = settings(GOOD + "monitor: {reference: ['192.0.2.53:53', '[2001:db8::53]:443']}")
    assert [str(place) for place in loaded.monitor.reference] == ["192.0.2.53:53", "[2001:db8::53]:443"]
    told = "our line  is compared with 192.0.2.53:53, [2001:db8::53]:443 when trunks are silent"
    assert told in describe(loaded)
    assert settings(GOOD + "monitor: {reference: 192.0.2.53:53}").monitor.reference == loaded.monitor.reference[:1]


def test_clocks_are_measured_unless_they_are_to_be_fixed() -> None:
    assert settings(GOOD).failover.clocks == "measured"
    fixed = settings(GOOD + "failover: {clocks: fixed}")
    assert fixed.failover.clocks == "fixed"
    assert "clocks    as written: nothing is learned from what trunks usually take" in describe(fixed)


def test_registration_is_wanted_when_there_is_a_username() -> None:
    text = "pbx: p.lan\ntrunks: [{name: a, host: a.example, username: u}, {name: b, host: b.example}]"
    assert [trunk.register for trunk in settings(text).trunks] == [True, False]


def test_an_empty_section_means_its_defaults() -> None:
    assert settings(GOOD + "monitor:\nlog: ~\n").monitor.options_every == 10.0


def test_status_can_be_turned_off() -> None:
    assert settings(GOOD + "status: {listen: off}").status.listen is None


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        settings(GOOD).site = "x"  # type: ignore[misc]


def test_anchors_and_merge_keys_work() -> None:
    loaded = settings(
        "pbx: p.lan\ntrunks:\n- &a {name: a, host: a.example, channels: 4}\n- {<<: *a, name: b, host: b.example}\n"
    )
    assert [(trunk.name, trunk.channels) for trunk in loaded.trunks] == [("a", 4), ("b", 4)]


# ---- problems


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = """\
pbx: 192.168.10.5
trunks:
  - name: main
    host: sip:carrier.example
    transprt: tcp
  - name: main
    host: 192.0.2.2
    transport: tsl
    monitor: {timeout: 1, down_afer: 2}
    password: ${NOPE}
  - port: 99999
failover: {no_answer_within: 15s, next_trunk_on: [foo]}
log: {level: inof}
drill: []
up_after: 3
"""
    assert told(text) == [
        "4:11 trunks.0.host: 'sip:carrier.example' is a SIP address: write only the host, without 'sip:'",
        "5:5 trunks.0.transprt: unknown setting 'transprt', did you mean 'transport'?",
        "6:11 trunks.1.name: 'main' is already the name of trunk number 1: choose another",
        "8:16 trunks.1.transport: 'tsl' is not known, did you mean 'tls'?",
        "9:24 trunks.1.monitor.timeout: '1' has no unit: write 1s for seconds, or use ms, m, h, d",
        "9:27 trunks.1.monitor.down_afer: unknown setting 'down_afer', did you mean 'down_after'?",
        "10:15 trunks.1.password: the environment variable NOPE is not set, and no .env file beside this file sets it",
        "11:5 trunks.2.name: is missing: give the trunk a short name, as in 'name: main'",
        "11:5 trunks.2.host: is missing: write a host name or an IP address",
        "11:11 trunks.2.port: '99999' is too large: at most 65535",
        "12:30 failover.no_answer_within: must be shorter than no_ringing_within (12s, its default)",
        "12:51 failover.next_trunk_on.0: 'foo' is not an outcome: write timeout, unreachable, a code (403) or a class (5xx)",
        "13:14 log.level: 'inof' is not known, did you mean 'info'?",
        "14:1 drill: 'drill' is not part of this version: remove it",
        "15:1 up_after: unknown setting 'up_after' here, it belongs under 'monitor'",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "0:0 : is empty: write at least pbx and trunks"),
        ("- a", "1:1 : must begin with a setting: 'pbx: 192.168.10.5'"),
        ("pbx: p.lan\ntrunks: []", "2:9 trunks: is empty: at least one entry is needed"),
        ("pbx: p.lan\ntrunks: {name: a, host: b}", "2:9 trunks: must be a list: begin each entry with '- '"),
        (TRUNKS, "1:1 pbx: is missing: write the address of your PBX, as in 'pbx: 192.168.10.5'"),
        ("pbx: p.lan:99999\n" + TRUNKS, "1:6 pbx: '99999' in 'p.lan:99999' is not a port: 1 to 65535"),
        (GOOD + "pbx: x.lan", "3:1 pbx: is set twice, first in line 1: keep one"),
        (GOOD + "log: text", "3:6 log: 'text' stands where a section belongs: write its settings below, indented by two blanks"),
        (GOOD + "site: [a]", "3:7 site: takes one value, not a section or a list"),
        (GOOD + "site: {a: b}", "3:7 site: takes one value, not a section or a list"),
        (GOOD + "log: {level: }", "3:14 log.level: has no value: write one or remove the line"),
        (GOOD + "monitor: {timeout: 10ms}", "3:20 monitor.timeout: '10ms' is too small: at least 50ms"),
        (GOOD + "failover: {ring_timeout: 5s}", "3:26 failover.ring_timeout: '5s' is too small: at least 10s"),
        (TRUNKS.replace("192.0.2.1}", "192.0.2.1, keep_alive_every: 2h}") + "pbx: p.lan",
         "1:58 trunks.0.keep_alive_every: '2h' is too large: at most 1h"),
        (GOOD + "history: {keep: 9999d}", "3:17 history.keep: '9999d' is too large: at most 3660d"),
        (GOOD + "monitor: {up_after: 0}", "3:21 monitor.up_after: '0' is too small: at least 1"),
        (GOOD + "monitor: {count_real_calls: maybe}", "3:29 monitor.count_real_calls: 'maybe' is neither yes nor no"),
        (GOOD + "listen: [udp a.lan:5060]", "3:10 listen.0: 'a.lan' is not an IP address of this machine: write for "
                                            "example udp 192.168.10.6:5060"),
        (GOOD + "listen: [ssl 192.0.2.9:5061]",
         "3:10 listen.0: 'ssl' is no transport: write udp, tcp or tls, a blank, and the address"),
        (GOOD + "emergency: {first: [backup, mian]}",
         "3:29 emergency.first.1: 'mian' is no trunk: write one of main, backup"),
        (GOOD + "emergency: {no_answer_within: 9s}",
         "3:31 emergency.no_answer_within: must be shorter than no_ringing_within (8s)"),
        ("pbx: {name: attic}\n" + TRUNKS,
         "1:6 pbx.0: 'attic' needs a host, or a username and password to register with us"),
        ("pbx: {username: attic}\n" + TRUNKS,
         "1:17 pbx.0.username: needs a password: whoever knows the name could take the calls"),
        ("pbx: [{username: a, password: x}, {username: a, password: y}]\n" + TRUNKS,
         "1:46 pbx.1.username: 'a' is the username of 'pbx' too: by it we know who registers"),
        ("pbx: {host: a.lan, password: x}\n" + TRUNKS, "1:30 pbx.0.password: needs a username"),
        (GOOD + "listen: [udp 192.0.2.9, udp 192.0.2.9:5060]", "3:25 listen.1: 'udp 192.0.2.9:5060' stands here twice"),
        (GOOD + "listen: [udp 192.0.2.9, udp 0.0.0.0]",
         "3:25 listen.1: 'udp 0.0.0.0:5060' and 'udp 192.0.2.9:5060' cover each other: keep one"),
        (GOOD + "listen: tcp 192.0.2.9", "1:6 pbx.0.transport: PBX 'pbx' uses udp, but 'listen' has no udp address"),
        (GOOD + "listen: udp 192.0.2.1", "2:29 trunks.0.host: 192.0.2.1:5060 is our own address ('listen'): "
                                         "calls would come back to us"),
        (GOOD + "status: {listen: 192.0.2.9}", "3:18 status.listen: '192.0.2.9' has no port: write 192.0.2.9:8080"),
        (GOOD + "failover: {return_to_main: {when: at night}}",
         "3:35 failover.return_to_main.when: 'at night' is no time for a return: write automatic, manual, or hours "
         "as in 02:00-05:00"),
        (GOOD + "failover: {give_up_after: 5s}",
         "3:27 failover.give_up_after: must be longer than no_ringing_within (12s, its default)"),
        (GOOD + "failover: {next_trunk_on: 403, never_retry: [403]}",
         "3:46 failover.never_retry.0: '403' stands in next_trunk_on too: keep one"),
        (GOOD + "emergency: {numbers: [112, x]}",
         "3:28 emergency.numbers.1: 'x' is not a number that can be dialled: digits only, for example 112"),
        (GOOD + "public_address: auto:5060", "3:17 public_address: 'auto:5060' has a port: write only the host here"),
        (GOOD + "public_address: auto", "3:17 public_address: 'auto' is not part of this version: write the address"),
        (GOOD + "site: !x y", "3:7 site: the tag '!x' has no meaning here: remove it"),
        (GOOD + "site: a: b", "3:8 : a second colon here: check the indentation of this line and the one above, or put the "
                              "value in quotes"),
        (GOOD + "log:\n\tlevel: info", "4:1 : a tab cannot indent here: use blanks"),
        (GOOD + "---\nsite: a", "3:1 : a second document begins here ('---'): one file is one configuration"),
        ("pbx: 192.0.2.1:5060\n" + TRUNKS, "2:29 trunks.0.host: 192.0.2.1:5060 is the PBX 'pbx' too: calls are told apart "
                                           "by their source"),
        ("pbx: p.lan\ntrunks: [{name: pbx, host: a.example}, {name: b, host: b.example}]",
         "2:17 trunks.0.name: 'pbx' is already the name of a PBX: choose another"),
        ("pbx: p.lan\ntrunks: [{name: a, host: a.example, tier: 1}, {name: b, host: b.example}]",
         "2:47 trunks.1: 'b' has no tier but others do: give it to all trunks or to none"),
        (GOOD + "monitor: {reference: [one.example:53]}",
         "3:23 monitor.reference.0: 'one.example' is a name: write its IP address, which is found without DNS"),
        (GOOD + "monitor: {reference: 192.0.2.53}", "3:22 monitor.reference: '192.0.2.53' has no port: write 192.0.2.53:8080"),
        (GOOD + "monitor: {reference: 192.0.2.53:0}", "3:22 monitor.reference: 0 is not a port: 1 to 65535"),
        (GOOD + "monitor: {reference: 192.0.2.2:53}",
         "3:22 monitor.reference.0: 192.0.2.2:53 is the trunk 'backup': it cannot show whether the line to it is up"),
        ("pbx: p.lan\ntrunks: [{name: a, host: a.example, monitor: {reference: 192.0.2.53:53}}, {name: b, host: b.example}]",
         "2:58 trunks.0.monitor.reference: is about our own line, which all trunks share: write it in the section monitor"),
        ("pbx: p.lan\ntrunks: [{name: a b, host: a.example}, {name: b, host: b.example}]",
         "2:17 trunks.0.name: 'a b' is not a name: use letters, digits, dot, dash and underscore, at most 63"),
    ],
)  # fmt: skip
def test_one_mistake_is_one_problem(text: str, expected: str) -> None:
    assert told(text)[0] == expected
    same_place = [line for line in told(text) if line.split(" ")[0] == expected.split(" ")[0]]
    assert same_place == [expected]


def test_a_refused_value_hides_no_other_problem() -> None:
    """The clocks are compared although a trunk is refused, and the duplicate name is seen although a port is wrong."""
    text = "pbx: p.lan\ntrunks: [{name: a, host: a.example, port: x}, {name: a, host: b.example}]\nfailover: {give_up_after: 3s}"
    assert [line.split(":")[1].split(" ")[1] for line in told(text)] == [
        "trunks.0.port", "trunks.1.name", "failover.give_up_after",
    ]  # fmt: skip


def test_a_refused_value_is_not_judged_again() -> None:
    assert len(told(GOOD + "failover: {no_ringing_within: 30, give_up_after: 11s}")) == 1


def test_the_line_of_the_file_is_shown_under_the_message() -> None:
    assert str(problems(GOOD + "sitee: x")[0]) == (
        "t.yaml:3:1: sitee: unknown setting 'sitee', did you mean 'site'?\n    sitee: x\n    ^"
    )


# ---- secrets


@pytest.mark.parametrize(
    "line",
    ["    pasword: hunter2", "    passwort: hunter2", "    password: [hunter2]", "    password: {a: hunter2}",
     "    password: hunter2\n    password: hunter2", "    password: !x hunter2", "    token: hunter2"],
)  # fmt: skip
def test_no_message_shows_a_password(line: str) -> None:
    text = f"pbx: p.lan\ntrunks:\n  - name: a\n    host: a.example\n{line}\n"
    assert "hunter2" not in "\n".join(str(problem) for problem in problems(text))


def test_a_variable_s_value_is_not_shown() -> None:
    told_ = "\n".join(
        str(p)
        for p in problems(GOOD + "status: {listen: '${SECRET}'}\nsite: x\nlog: {level: '${SECRET}'}", SECRET="hunter2")
    )
    assert "'${SECRET}' is not known" in told_
    assert "hunter2" not in told_


def test_settings_do_not_print_secrets() -> None:
    loaded = settings("pbx: p.lan\ntrunks: [{name: a, host: a.example, username: u, password: '${P}'}]", P="hunter2")
    assert "hunter2" not in repr(loaded)
    password = loaded.trunks[0].password
    assert password is not None
    assert password.get_secret_value() == "hunter2"


def test_variables_come_from_the_environment_before_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# comment\nexport A='from file'\nB=file\n\n")
    (tmp_path / ".env").chmod(0o600)
    loaded = parse(GOOD + "site: ${A} ${B} $${C}", folder=tmp_path, environment={"B": "environment"})
    assert loaded.site == "from file environment ${C}"


@pytest.mark.parametrize("text", ["${", "${}", "${A B}", "${A:-x}", "x${A"])
def test_a_misspelt_variable_is_a_problem(text: str) -> None:
    assert len(told(GOOD + f"site: '{text}'")) == 1


def test_secret_files_are_read_and_stripped(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2\n")
    (tmp_path / "secret").chmod(0o600)
    text = "pbx: p.lan\ntrunks: [{name: a, host: a.example, username: u, password_file: secret}]"
    loaded = parse(text, folder=tmp_path)
    assert loaded.trunks[0].password is not None
    assert loaded.trunks[0].password.get_secret_value() == "hunter2"
    assert not [w for w in loaded.warnings if "read" in w.text]
    (tmp_path / "secret").chmod(0o644)
    assert [w.path for w in parse(text, folder=tmp_path).warnings if "everybody" in w.text] == [
        "trunks.0.password_file"
    ]


@pytest.mark.parametrize(
    ("content", "word"), [(None, "No such file"), (b"", "empty"), (b"\xff", "UTF-8"), (b"x" * 5000, "longer")]
)
def test_an_unusable_secret_file_is_a_problem_at_its_place(tmp_path: Path, content: bytes | None, word: str) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        parse(GOOD + "status: {token_file: secret}", folder=tmp_path)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.path) == (3, 22, "status.token_file")
    assert word in problem.text


def test_password_and_password_file_exclude_each_other() -> None:
    text = "pbx: p.lan\ntrunks: [{name: a, host: a.example, password: x, password_file: y}]"
    assert "password is given too" in told(text)[0]


# ---- warnings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("pbx: p.lan\ntrunks: [{name: a, host: a.example}]", "2:9 trunks: there is only one trunk: when it fails, calls fail"),
        (GOOD + "listen: udp 192.0.2.9\nsite: x", None),
        ("pbx: p.lan\nlisten: udp 192.0.2.9\ntrunks: [{name: a, host: a.example}, {name: b, host: b.example, transport: tcp}]",
         "3:76 trunks.1.transport: trunk 'b' uses tcp, but 'listen' has no tcp address: it can open no connection to us"),
        (GOOD + "monitor: {options_every: 1s}", "3:10 monitor.timeout: timeout (2s) is longer than options_every (1s): "
                                                "checks come late"),
        (GOOD + "monitor: {options_every: off}", None),
        ("pbx: p.lan\ntrunks: [{name: a, host: a.example, monitor: {options_every: off, count_real_calls: no}}, {name: b, host: b.example}]",
         "2:46 trunks.0.monitor: 'a' is never Down: it is asked no OPTIONS, its calls do not count, and it has no registration; let "
         "its calls count (count_real_calls)"),
        (GOOD + "failover: {never_retry: 503}", "3:25 failover.never_retry.0: '503' means that the trunk failed: such calls "
                                                "will be lost"),
        (GOOD + "status: {token: x}", "3:17 status.token: the token stands in the file: ${NAME} or token_file keeps it out "
                                      "of copies and tickets"),
        ("pbx: p.lan\ntrunks: [{name: a, host: a.example}, {name: b, host: a.example}]",
         "2:54 trunks.1.host: leads to the same place as 'a': the two will fail together"),
        ("pbx: p.lan\ntrunks: [{name: a, host: a.example, username: u}, {name: b, host: b.example}]",
         "2:47 trunks.0.username: there is no password: 'a' cannot answer when the carrier asks for one"),
    ],
)  # fmt: skip
def test_what_deserves_a_look_is_a_warning(text: str, expected: str | None) -> None:
    assert warned(text) == ([expected] if expected else [])


# ---- hostile files


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
        "a: &a [*a]",
        "a: &a {<<: *a}",
        "a: &a {<<: [*a, *a, *a]}",
        "a: " + "[" * 100_000,
        "a: " + "{a: " * 5_000,
        "- " * 5_000,
        "a: " + "x" * 2_000_000,
        "? [a]\n: b",
        "? {a: b}\n: c",
        "<<: 3\npbx: x",
        "pbx: \x00",
        "pbx: \ud800",
        "!!python/object/apply:os.system [ls]",
        "pbx: !!python/name:os.system x",
        "%YAML 9.9\n---\na: b",
        "pbx: *nobody",
        "pbx: &a x\n? *a\n: y",
        "trunks: [1, [2], {3: 4}, null]\npbx: [[], {}, '']\nlisten: {a: b}",
        "pbx: {host: {a: b}, port: [1], transport: {}}",
        "failover: {next_trunk_on: {a: b}, never_retry: [[1]]}",
        "status: {listen: [1, 2], token: [], token_file: []}",
        "trunks: {0: {name: x}}",
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_in_words(text: str) -> None:
    assert all(problem.text for problem in problems(text))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"pbx: a\nsite: \xff")
    with pytest.raises(ConfigError, match="UTF-8"):
        load(str(tmp_path / "c.yaml"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml: cannot be read: No such file"):
        load(str(tmp_path / "c.yaml"))


def test_relative_paths_start_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("\ufeff" + GOOD + "history: {file: ./history.db}")
    assert load(str(tmp_path / "c.yaml")).history.file == str(tmp_path / "history.db")


# ---- schema


def test_the_schema_is_json_and_every_key_has_help() -> None:
    schema = json.loads(json.dumps(json_schema()))
    for name, definition in [("Settings", schema), *schema["$defs"].items()]:
        for key, value in definition.get("properties", {}).items():
            assert value.get("description"), f"{name}.{key} has no help"
        assert definition.get("additionalProperties") is False


def test_the_schema_names_keys_as_the_file_does() -> None:
    properties = json_schema()["$defs"]["TrunkSettings"]["properties"]
    assert "register" in properties
    assert properties["username"]["type"] == ["string", "integer"]


def test_who_registers_needs_a_name() -> None:
    text = "pbx: p.lan\ntrunks: [{name: a, host: a.example, register: yes}, {name: b, host: b.example}]"
    assert told(text) == ["2:47 trunks.0.register: needs a username: whom should the carrier register?"]


def test_a_pbx_that_only_registers_may_come_over_any_transport() -> None:
    loaded = settings(
        "pbx: {username: a, password: x}\nlisten: tcp 192.0.2.9\n"
        "trunks: [{name: main, host: 192.0.2.1, transport: tcp}, {name: backup, host: 192.0.2.2, transport: tcp}]"
    )
    assert loaded.pbx[0].registers
    assert loaded.pbx[0].digest == "both"


# ---- numbers and identities


def judged(keys: str, more: str = "") -> list[str]:
    """What is said about a trunk with these keys: problems, or else warnings, without their lines."""
    text = f"pbx: p.lan\ntrunks: [{{name: a, host: a.example, {keys}}}, {{name: b, host: b.example}}]\n{more}"
    try:
        found = list(settings(text).warnings)
    except ConfigError as error:
        found = list(error.problems)
    return [f"{p.path}: {p.text}" for p in found if "the password stands in the file" not in p.text]


@pytest.mark.parametrize(
    ("keys", "more", "expected"),
    [
        ("allowed_caller_ids: +41443210000-9", "",
         "trunks.0.allowed_caller_ids: needs a caller_id: what shall be shown instead of other numbers? They are shown as they are now"),
        ("allowed_caller_ids: +41443210000-9, caller_id: +41443210010", "",
         "trunks.0.caller_id: +41443210010 is not in allowed_caller_ids: 'a' may refuse the number that always goes"),
        ("allowed_caller_ids: [+41440000000, +41443210000-9], caller_id: +41443210009", "", None),
        ("allowed_caller_ids: +41443210000-9, caller_id: +41443210001, ddi: {+41443210008-11: +41315550008-11}", "",
         "trunks.0.ddi: +41443210008-11 is not in allowed_caller_ids, so calls from +41315550008-11 do not show it"),
        ("allowed_caller_ids: +41443210000-9, caller_id: +41443210001, ddi: {+41443210000-9: +41315550000-9}", "", None),
        ("ddi: {+41443210000-9: +41315550000-9, +41443210005: +41315550020}", "",
         "trunks.0.ddi: +41443210000-9 and +41443210005 of the carrier overlap: each number stands for one other"),
        ("ddi: {+41443210000-9: +41315550000-9, +41443210025-26: +41315550009-10}", "",
         "trunks.0.ddi: +41315550000-9 and +41315550009-10 of the house overlap: each number stands for one other"),
        ("ddi: {+41443210000-9: +41315550000-9, +41443210010-19: +41315550010-19}", "", None),
        ("called_format: national", "numbering: {international_prefix: ''}",
         "trunks.0.called_format: national needs an international_prefix in the section numbering, for numbers abroad"),
        ("number_format: international", "numbering: {international_prefix: ''}",
         "trunks.0.number_format: international needs an international_prefix in the section numbering, for numbers abroad"),
        ("number_format: e164", "numbering: {international_prefix: '', national_prefix: ''}", None),
        ("number_format: national", "numbering: {national_prefix: ''}",
         "trunks.0.number_format: with an empty national_prefix, numbers of +41 are written with nothing in front"),
        ("number_format: national", "numbering: {country_code: 39, national_prefix: ''}", None),
        ("called_prefixes: ['0 -> +41', '00 -> +']", "",
         "trunks.0.called_prefixes.1: is never reached: '0 -> +41' before it fits first"),
        ("caller_prefixes: ['-> 9', '1 -> 2']", "", "trunks.0.caller_prefixes.1: is never reached: ' -> 9' before it fits first"),
        ("called_prefixes: ['00 -> +', '0 -> +41']", "", None),
        ("identity: {from_user: account}", "", "trunks.0.identity.from_user: needs a username to write there"),
        ("username: u, password: x, identity: {from_user: account, headers: []}", "",
         "trunks.0.identity.from_user: with headers: [] the caller's number is told nowhere"),
        ("username: u, password: x, identity: {from_user: account, headers: pai}", "", None),
    ],
)  # fmt: skip
def test_numbers_and_identities_are_judged_together(keys: str, more: str, expected: str | None) -> None:
    assert judged(keys, more) == ([expected] if expected else [])


def test_a_pbx_s_form_is_judged_like_a_trunk_s() -> None:
    text = "pbx: {host: p.lan, number_format: national}\n" + TRUNKS + "numbering: {international_prefix: ''}"
    assert told(text) == [
        "1:35 pbx.0.number_format: national needs an international_prefix in the section numbering, for numbers abroad"
    ]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("diversion: drop", "unknown setting 'diversion' here, it belongs under 'trunks: identity'"),
        ("ca_file: x.pem", "unknown setting 'ca_file' here, it belongs under 'trunks: tls'"),
        ("overflow: +41791234567", "unknown setting 'overflow' here, it belongs under 'inbound'"),
        ("pasword: x", "unknown setting 'pasword', did you mean 'password'?"),
        ("channels:", "has no value: write one or remove the line"),
        ("register_expires: ''", "has no value: write one or remove the line"),
        ("number_format: [e164]", "takes one value, not a section or a list"),
        ("ddi: [+41315550000-9]", "takes the carrier's numbers, a colon and those of the house, below it: +41315550000-9: +41443210000-9"),
        ("called_prefixes: {'00': '+'}", 'takes rules in quotation marks, as in "00 -> +"'),
        ("allowed_caller_ids: {+41315550000: x}", "takes a number or a range of numbers, for example +41443210000-19"),
    ],
)  # fmt: skip
def test_what_stands_wrong_in_a_trunk_is_told_once_and_in_our_words(written: str, expected: str) -> None:
    (problem,) = problems(f"pbx: 192.168.10.5\ntrunks:\n  - name: main\n    host: 192.0.2.1\n    {written}\n")
    assert problem.text == expected


def test_a_name_beyond_ascii_is_told_as_dns_has_it() -> None:
    (problem,) = problems("pbx: 192.168.10.5\ntrunks: [{name: a, host: sip.zürich.example}]\n")
    assert (
        problem.text == "'sip.zürich.example' is neither an IP address nor a host name: write sip.xn--zrich-kva.example"
    )


def test_a_national_number_is_told_with_its_country_code() -> None:
    (problem,) = problems(GOOD + "inbound: {overflow: 0791234567}\n")
    assert problem.text == "'0791234567' is not an international number: write +41791234567 (41: your country code)"


def test_an_address_in_pieces_is_none() -> None:
    (problem,) = problems(GOOD + "status: {listen: [a, b]}\n")
    assert problem.text == "write address and port, for example 127.0.0.1:8080, or off"


def test_a_listener_without_an_address_is_told_once() -> None:
    assert [p.text for p in problems(GOOD + "listen: [{transport: tcp}]\n")] == [
        "is missing: write a host name or an IP address"
    ]


def test_account_settings_without_an_account_are_told() -> None:
    text = "pbx: 192.168.10.5\ntrunks: [{name: a, host: 192.0.2.1, password: x, unregister_at_stop: yes}, {name: b, host: 192.0.2.2}]\n"
    assert [w.partition(": ")[2] for w in warned(text)][-2:] == [
        "has no effect without a username",
        "has no effect without registering",
    ]


def test_forms_need_a_country_code() -> None:
    text = "pbx: {host: 192.168.10.5, number_format: e164}\n" + TRUNKS + "numbering:\n  country_code:\n"
    assert [p.text for p in problems(text)] == ["is empty, but needed to write numbers in a form"]
    assert settings(GOOD + "numbering: {country_code: ''}\n").numbering.country_code == ""


def test_a_secret_file_with_several_lines_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("geheim\nund mehr\n")
    (tmp_path / "a.yaml").write_text(
        "pbx: 192.168.10.5\ntrunks: [{name: a, host: 192.0.2.1, username: u, password_file: pw}]\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(str(tmp_path / "a.yaml"))
    (problem,) = caught.value.problems
    assert problem.text == f"{tmp_path / 'pw'} has several lines: a secret is one"


@pytest.mark.parametrize("key", ["username", "auth_username", "realm", "password"])
def test_what_goes_into_a_line_of_sip_is_one_line(key: str) -> None:
    text = f'pbx: 192.168.10.5\ntrunks: [{{name: a, host: 192.0.2.1, {key}: "geheim\\r\\nX: y"}}]\n'
    (problem,) = problems(text)
    assert problem.path == f"trunks.0.{key}"
    assert problem.text.startswith("has a line break, a tab or another control character")
    assert "geheim" not in problem.text
