"""What one file changes of another, in words, row by row."""

from pathlib import Path

import pytest

from sipfailover.config import Settings, as_it_runs, compare, fingerprint, objections, parse

FILE = """
site: Muster AG
pbx: [{name: house, host: 192.168.10.5}, {name: spare, host: 192.168.10.6}]
listen: [udp 192.168.10.1:5060]
trunks:
  - {name: main, host: sip.alphatel.example, username: u, password: geheim, channels: 2}
  - {name: backup, host: 192.0.2.2, register: no}
failover: {no_answer_within: 4s}
status: {listen: 127.0.0.1:8080, token: wink}
history: {file: /tmp/a.db}
"""


def file(*replaced: tuple[str, str], more: str = "") -> Settings:
    text = FILE
    for old, new in replaced:
        assert old in text
        text = text.replace(old, new)
    return parse(text + more)


ROWS = [
    (("no_answer_within: 4s", "no_answer_within: 3s"), "failover.no_answer_within 4s → 3s: from the next call on"),
    (("Muster AG", "Muster GmbH"), "site Muster AG → Muster GmbH: at once"),
    (("channels: 2", "channels: 4"), "trunk main: channels 2 → 4: from the next call on"),
    ((", channels: 2", ""), "trunk main: channels 2 → none: from the next call on"),
    (("geheim", "auch geheim"), "trunk main: password changed: at once"),
    (("token: wink", "token: wonk"), "status.token changed: at once"),
    ((", token: wink", ""), "status.token changed: at once"),
    (("sip.alphatel.example", "sip.betatel.example"),
     "trunk main: host sip.alphatel.example → sip.betatel.example: it starts anew"),
    (("192.168.10.6", "192.168.10.7"), "PBX spare: host 192.168.10.6 → 192.168.10.7: it starts anew"),
    (("register: no", "register: no, description: zwei"), "trunk backup: description none → zwei: at once"),
    (("udp 192.168.10.1:5060", "udp 192.168.10.2:5060"),
     "listen udp 192.168.10.1:5060 → udp 192.168.10.2:5060: after a restart"),
    (("127.0.0.1:8080", "off"), "status.listen 127.0.0.1:8080 → none: after a restart"),
    (("/tmp/a.db", "/tmp/b.db"), "history.file /tmp/a.db → /tmp/b.db: after a restart"),
    (("channels: 2", "channels: 2, monitor: {timeout: 1s}"), "trunk main: monitor.timeout as elsewhere → 1s: at once"),
    (("channels: 2", "channels: 2, add_headers: 'X-Key: 4711'"),
     "trunk main: add_headers changed: from the next call on"),
    (("channels: 2", "channels: 2, ddi: {+41315550000: +41443210000}"),
     "trunk main: ddi none → +41315550000: +41443210000: from the next call on"),
    (("channels: 2", "channels: 2, called_prefixes: ['00 -> +']"),
     "trunk main: called_prefixes none → 00 -> +: from the next call on"),
    (("channels: 2", "channels: 2, tls: {server_name: a.example}"),
     "trunk main: tls.server_name none → a.example: from the next connection on"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "words"), ROWS)
def test_a_change_is_told_with_its_effect_and_without_a_secret(change: tuple[str, str], words: str) -> None:
    changes = compare(file(), file(change))
    assert [str(one) for one in changes.values] == [words]
    assert bool(changes)
    assert not any(secret in words for secret in ("geheim", "wink", "wonk", "4711"))


def test_the_same_file_has_no_changes() -> None:
    assert not compare(file(), file())


def test_a_default_that_is_written_down_is_no_change() -> None:
    assert not compare(file(), file(more="monitor: {timeout: 2s}\n"))
    assert not compare(file(), file(("host: 192.168.10.5", "host: 192.168.10.5, port: 5060")))
    assert not compare(file(), file(("host: 192.0.2.2", "host: 192.0.2.2, port: 5060")))


def test_a_port_at_a_name_turns_dns_off_and_is_a_change() -> None:
    changes = compare(file(), file(("sip.alphatel.example", "sip.alphatel.example, port: 5060")))
    assert [str(one) for one in changes.values] == ["trunk main: port none → 5060: it starts anew"]


def test_who_comes_and_who_goes() -> None:
    changes = compare(file(), file(("name: backup", "name: third"), ("name: spare", "name: other")))
    assert (changes.removed, changes.added) == (
        (("PBX", "spare"), ("trunk", "backup")), (("PBX", "other"), ("trunk", "third")),
    )  # fmt: skip
    assert changes.anew == frozenset()


def test_another_order_is_another_order_of_tiers_or_of_the_list() -> None:
    settings = file()
    swapped = parse(FILE.replace("name: main", "name: x").replace("name: backup", "name: main"))
    assert "trunk main: tier 1 → 2: from the next call on" in map(str, compare(settings, swapped).values)
    equal = file(("channels: 2", "channels: 2, tier: 1"), ("register: no", "register: no, tier: 1"))
    other = equal.model_copy(update={"trunks": equal.trunks[::-1]})
    assert [str(one) for one in compare(equal, other).values] == [
        "trunks main, backup → backup, main: from the next call on"
    ]
    pbxs = settings.model_copy(update={"pbx": settings.pbx[::-1]})
    assert [str(one) for one in compare(settings, pbxs).values] == [
        "pbx house, spare → spare, house: from the next call on"
    ]


def test_a_long_value_is_not_told() -> None:
    many = ", ".join(f"10.0.{number}.0/24" for number in range(40))
    changes = compare(file(), file(("register: no", f"register: no, networks: [{many}]")))
    assert [str(one) for one in changes.values] == ["trunk backup: networks changed: at once"]


def test_what_needs_a_restart_stays_as_it_runs_and_the_rest_is_as_wanted() -> None:
    running = file()
    wanted = file(
        ("udp 192.168.10.1:5060", "udp 192.168.10.2:5060"), ("127.0.0.1:8080", "127.0.0.1:9090"),
        ("/tmp/a.db", "/tmp/b.db"), ("token: wink", "token: wonk"), ("4s", "3s"),
    )  # fmt: skip
    found = as_it_runs(running, wanted)
    assert (found.listen, found.status.listen, found.history.file) == (
        running.listen, running.status.listen, running.history.file,
    )  # fmt: skip
    assert found.status.token == wanted.status.token
    assert found.failover.no_answer_within == 3.0
    assert [one.key for one in compare(found, wanted).values] == ["listen", "status.listen", "history.file"]
    assert len(compare(running, wanted).waiting) == 3


def test_what_cannot_be_without_what_needs_a_restart_is_told() -> None:
    wanted = file(
        ("udp 192.168.10.1:5060", "udp 192.168.10.1:5070"), ("192.0.2.2", "192.168.10.1, port: 5060"),
    )  # fmt: skip
    assert objections(wanted) == ()
    assert objections(as_it_runs(file(), wanted)) != ()


def test_a_fingerprint_tells_files_apart_and_nothing_of_secrets() -> None:
    one = fingerprint(file())
    assert (len(one), one) == (12, fingerprint(file()))
    assert fingerprint(file(("4s", "3s"))) != one
    assert fingerprint(file(("geheim", "anders"))) == one


def test_an_example_is_no_change_of_itself(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "examples" / "complete.yaml").read_text()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "betavoip").write_text("b\n")
    names = {"ALPHATEL_PASSWORD": "a", "STATUS_TOKEN": "c", "BETAVOIP_PASSWORD": "b", "MAIL_PASSWORD": "d"}
    names["CHAT_WEBHOOK"] = "https://chat.example/e"
    assert not compare(*(parse(text, folder=tmp_path, environment=names) for _ in range(2)))
