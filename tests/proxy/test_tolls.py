"""Calls that `toll_fraud` lets pass, counts and refuses, as PBX, carriers, log, history and page see it."""

from datetime import UTC, datetime, timedelta

import pytest

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.proxy import Engine
from sipfailover.proxy.commands import Forget, Keep, Log, Record
from sipfailover.proxy.facts import AttemptEnded, CallEnded
from sipfailover.wire import Message
from tests.kit import ack, after, answer, bye, invite, received, recorded, resolved, send, target
from tests.kit.sip import in_dialog
from tests.proxy.office import BACKUP, MAIN, PBX, Office, answered, office, played

ABROAD, HOME, SATELLITE = "+493012345678", "+41443210019", "+88216123456"
ONE_ABROAD = "toll_fraud: {limits: {abroad: {calls_per_hour: 1}}}"


def refused(book: Office, called: str, text: str) -> bool:
    """The PBX calls, and is refused with these words; no carrier hears of it."""
    quoted = f'"toll_fraud: {text}"'.encode()

    def check(message: Message) -> bool:
        return (
            message.reason == b"Refused by toll_fraud"
            and message.get(b"warning") == b"399 sipfailover " + quoted
            and message.get(b"reason") == b"Q.850;cause=21;text=" + quoted
        )

    book >> received(PBX, invite(called)) << send(PBX, 100) << send(PBX, 403, check)
    return bool(book >> received(PBX, ack()))


def talks(book: Office, called: str, seconds: float) -> None:
    """A call over main that is answered, and lasts."""
    assert (
        book
        >> received(PBX, invite(called))
        << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200, to="INVITE"))
        << send(PBX, 200)
        >> received(PBX, ack())
        << send(MAIN, "ACK")
        >> after(seconds)
        >> received(PBX, bye())
        << send(PBX, 200) << send(MAIN, "BYE")
        >> received(MAIN, answer(200, to="BYE"))
    )  # fmt: skip


def passes(book: Office, called: str) -> bool:
    """A call goes out, and is hung up by a busy carrier."""
    return bool(
        book
        >> received(PBX, invite(called))
        << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(486, to="INVITE"))
        << send(MAIN, "ACK") << send(PBX, 486)
        >> received(PBX, ack())
    )  # fmt: skip


def test_a_destination_that_is_not_allowed_is_refused_with_the_reason() -> None:
    book = office("toll_fraud: {allowed: [national, +49]}")
    assert refused(book, SATELLITE, "satellite: calls to +88216... are not allowed")
    assert passes(book, HOME)
    assert passes(book, ABROAD)
    book.done()


def test_history_and_log_say_what_was_refused_and_why() -> None:
    book = office("toll_fraud: {refused: [satellite]}")
    assert (
        book
        >> received(PBX, invite(SATELLITE))
        << send(PBX, 100) << send(PBX, 403)
        << recorded(AttemptEnded, outcome="refused", trunk="", status=403)
        << recorded(CallEnded, result="refused", status=403, trunk="", attempts=0)
    )  # fmt: skip
    (line,) = [one for one in book.noted if isinstance(one, Log) and one.level == "warning"]
    assert line.text == "call 1 is refused by toll_fraud"
    assert line.fields["why"] == "satellite: calls to +88216... are not allowed"
    assert line.fields["called"] == "+8821612****"


def test_the_log_does_not_tell_of_each_call_that_an_attacker_dials() -> None:
    book = office("toll_fraud: {refused: [satellite]}")
    for _ in range(30):
        assert refused(book, SATELLITE, "satellite: calls to +88216... are not allowed")
    assert sum(isinstance(one, Log) and "refused by toll_fraud" in one.text for one in book.noted) == 1
    assert book >> after(61)
    assert refused(book, SATELLITE, "satellite: calls to +88216... are not allowed")
    assert [one.fields.get("others_since_the_last_line") for one in book.noted if isinstance(one, Log)][-1] == 29
    assert sum(isinstance(one, Record) and isinstance(one.fact, CallEnded) for one in book.noted) == 31


def test_an_emergency_call_always_goes() -> None:
    book = office(
        "toll_fraud: {allowed: [+1], limits: {national: {calls_per_hour: 0, minutes_per_day: 0}}}",
    )
    assert book >> received(PBX, invite("112")) << send(PBX, 100) << send(MAIN, "INVITE")


def test_a_call_that_comes_in_is_not_asked_for() -> None:
    book = office("toll_fraud: {allowed: [+1], limits: {national: {calls_per_hour: 0}}}")
    assert book >> received(MAIN, invite(host="198.51.100.1:5060")) << send(MAIN, 100) << send(PBX, "INVITE")


def test_calls_of_the_hour_are_limited_by_kind() -> None:
    book = office(ONE_ABROAD)
    assert passes(book, ABROAD)
    assert refused(book, ABROAD, "abroad: 1 calls in the last hour, 1 are allowed")
    assert passes(book, HOME)
    assert book >> after(3700)
    assert passes(book, ABROAD)


def test_minutes_of_the_day_are_limited_and_a_call_that_goes_on_is_not_cut_off() -> None:
    book = office("toll_fraud: {limits: {abroad: {minutes_per_day: 10}}}")
    talks(book, ABROAD, 1200.0)
    assert refused(book, ABROAD, "abroad: 20 minutes today, 10 are allowed")


def test_midnight_is_that_of_the_place() -> None:
    zone = timedelta(hours=1)

    def wall(now: float) -> datetime:  # 22:30 UTC is half past eleven here
        return (datetime(2026, 11, 23, 22, 30, tzinfo=UTC) + zone + timedelta(seconds=now)).replace(tzinfo=UTC)

    book = office("toll_fraud: {limits: {abroad: {minutes_per_day: 10}}}", wall=wall)
    talks(book, ABROAD, 900.0)
    assert refused(book, ABROAD, "abroad: 15 minutes today, 10 are allowed")
    assert book >> after(1000)
    assert passes(book, ABROAD)


def test_a_call_that_moves_to_the_backup_meets_the_tighter_limit() -> None:
    book = office("toll_fraud: {on_backup: {abroad: {calls_per_hour: 0}}}")
    assert (
        book
        >> received(PBX, invite(ABROAD))
        << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(503))
        << send(MAIN, "ACK") << send(PBX, 403)
        >> received(PBX, ack())
    )  # fmt: skip
    book.done()


def test_a_call_that_moves_to_the_backup_does_not_stand_in_its_own_way() -> None:
    book = office("toll_fraud: {on_backup: {abroad: {calls_per_hour: 1}}}")
    assert (
        book
        >> received(PBX, invite(ABROAD))
        << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(503))
        << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(503))
        << send(BACKUP, "ACK") << send(PBX, 503)
        >> received(PBX, ack())
    )  # fmt: skip


def test_the_picture_tells_what_is_counted_and_what_is_stopped() -> None:
    book = office("toll_fraud: {limits: {abroad: {calls_per_hour: 1, minutes_per_day: 99}}}")
    assert passes(book, ABROAD)
    abroad = book.engine.view(book.now).tolls[1]
    assert (abroad.kind, abroad.calls, abroad.calls_per_hour, abroad.minutes_per_day) == ("abroad", 1, 1, 99)
    assert abroad.stopped == "", "nobody was refused yet"
    assert refused(book, ABROAD, "abroad: 1 calls in the last hour, 1 are allowed")
    abroad = book.engine.view(book.now).tolls[1]
    assert abroad.stopped == "abroad: 1 calls in the last hour, 1 are allowed"
    assert abroad.refused == {"place": 0, "calls": 1, "minutes": 0}


def test_an_office_without_the_section_keeps_no_books() -> None:
    book = office()
    talks(book, ABROAD, 10.0)
    assert book.engine.view(book.now).tolls == ()


SETTINGS = """
pbx: 192.0.2.10
listen: [udp 192.0.2.1:5060]
trunks: [{name: main, host: 198.51.100.1, port: 5060, register: no}]
monitor: {options_every: 1h}
toll_fraud: {limits: {abroad: {calls_per_hour: 3, minutes_per_day: 10}}}
"""


class Kept(Office):
    """An office whose engine keeps records, as the journal would have them."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.records: dict[str, bytes] = {}
        take = engine.take

        def taking() -> list[object]:
            commands = take()
            for command in commands:
                if isinstance(command, Keep):
                    self.records.update(command.records)
                    for key in command.instead_of:
                        self.records.pop(key, None)
                elif isinstance(command, Forget):
                    self.records.pop(command.key, None)
            return commands  # type: ignore[return-value]

        engine.take = taking  # type: ignore[method-assign, assignment]


def begun(records: dict[str, bytes], at: float) -> Kept:
    engine = Engine(parse(SETTINGS), Chance(7), at)
    engine.core.epoch = lambda now: now + 1_000_000.0
    book = Kept(engine)
    book.now = at
    engine.restore(list(records.items()), at)
    for name, peer in (("pbx", PBX), ("main", MAIN)):
        assert book >> resolved(name, target(peer))
    return book


def test_a_restart_is_no_way_to_begin_the_hour_and_the_day_anew() -> None:
    first = begun({}, 50_000.0)
    talks(first, ABROAD, 300.0)
    assert passes(first, ABROAD)
    assert first >> after(9.0), "until nothing of it has to be said again"
    second = begun(first.records, 50_310.0)
    tolls = second.engine.view(second.now).tolls[1]
    assert tolls.calls == 2
    assert tolls.minutes == pytest.approx(5.0, abs=0.1)


def test_a_call_that_goes_on_after_a_restart_goes_on_counting() -> None:
    first = begun({}, 50_000.0)
    assert (
        first
        >> received(PBX, invite(ABROAD))
        << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(PBX, 200)
        >> received(PBX, ack())
        << send(MAIN, "ACK")
        >> after(120)
    )  # fmt: skip
    second = begun(first.records, 50_120.0)
    assert second >> after(480)
    assert second.engine.view(second.now).tolls[1].minutes == pytest.approx(10.0, abs=0.1)


def test_books_that_cannot_be_read_stop_nothing() -> None:
    book = begun({"toll/": b'{"abroad": [1, "x"]}'}, 50_000.0)
    assert passes(book, ABROAD)


@pytest.mark.parametrize(
    ("where", "refused"),
    [
        ("<sip:+88216123456@192.0.2.1>", True),
        ("<tel:+882-16-123456>", True),
        ("<sip:+41443210019@192.0.2.1>", False),
        ("<sip:112@192.0.2.1>", False),
        ("<sip:+88216123456@192.0.2.1?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>", False),
        ("nonsense", False),
    ],
)
def test_a_transfer_is_no_way_around(where: str, refused: bool) -> None:
    """The carrier makes that call, and sends the bill to the office."""
    book = played(answered(office("toll_fraud: {refused: [satellite]}")))
    talk = book.seen(PBX)
    refer = in_dialog("REFER", talk.given("INVITE"), talk.last(200), cseq=5).replace(
        b"Content-Length", b"Refer-To: " + where.encode() + b"\r\nContent-Length", 1
    )
    if refused:
        assert book >> received(PBX, refer) << send(PBX, 403, lambda m: b"toll_fraud" in (m.get(b"warning") or b""))
        assert book.engine.view(book.now).tolls[3].refused["place"] == 1
    else:
        assert book >> received(PBX, refer) << send(MAIN, "REFER")


def test_a_carrier_may_transfer_its_own_callers_where_it_likes() -> None:
    book = played(answered(office("toll_fraud: {refused: [satellite]}")))
    refer = in_dialog("REFER", book.seen(MAIN).last("INVITE"), book.seen(MAIN).given(200), cseq=5, from_callee=True)
    refer = refer.replace(b"Content-Length", b"Refer-To: <sip:+88216123456@x>\r\nContent-Length", 1)
    assert book >> received(MAIN, refer) << send(PBX, "REFER")


def test_a_reload_keeps_what_was_counted_and_lets_go_what_is_not_limited_any_more() -> None:
    book = office(ONE_ABROAD)
    assert passes(book, ABROAD)
    tolls = book.engine.core.tolls
    other = office("toll_fraud: {limits: {abroad: {calls_per_hour: 2}}, refused: [satellite]}").engine.core.settings
    tolls.configure(other)
    assert passes(book, ABROAD)
    assert refused(book, ABROAD, "abroad: 2 calls in the last hour, 2 are allowed")
    assert refused(book, SATELLITE, "satellite: calls to +88216... are not allowed")
    tolls.configure(office().engine.core.settings)
    assert passes(book, ABROAD)
