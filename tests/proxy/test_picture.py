"""The picture of the engine says the truth in each situation, and everything that shows it can be made of it."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import pytest

from sipfailover.flow import Send
from sipfailover.proxy import EngineView, Record
from sipfailover.proxy.picture import CALLS_SHOWN
from sipfailover.trunk import Order
from sipfailover.web import Metrics, sentence, views
from sipfailover.web.page import Page
from tests.kit import Playbook, ack, after, answer, invite, logged, received, resolved, send, target
from tests.kit.sip import request
from tests.proxy.talk import BACKUP, MAIN, PBX, inside, office, refused, reply, ringing, talking


def wall(at: float) -> datetime:
    return datetime(2026, 11, 23, 10, 31, tzinfo=UTC) + timedelta(seconds=at)


def view(book: Playbook) -> EngineView:
    """The picture now, after everything that is made of pictures was made of it."""
    picture = book.engine.view(book.now)  # type: ignore[attr-defined]
    page = Page(site="Muster AG", version="1").render(picture, wall, draining=False, warnings=(), still=True)
    status = views.status(picture, wall, site="Muster AG", version="1")
    body, _ = Metrics(version="1", loop="asyncio").render(picture, wall, "")
    for trunk in picture.trunks:
        assert trunk.name in page
        assert trunk.name in views.plain(picture, wall)
        assert f'trunk="{trunk.name}"' in body.decode()
    assert status["calls"]["now"] == picture.calls_now  # type: ignore[index]
    assert sentence(picture, wall, draining=False).text
    assert views.ready(views.checks(picture, draining=False, unbound=()), verbose=True)
    return picture


def trunk(picture: EngineView, name: str) -> dict[str, object]:
    return asdict(next(line for line in (*picture.trunks, *picture.pbxs) if line.name == name))


def test_at_the_start_everything_is_up_and_nothing_is_known() -> None:
    picture = view(Playbook(office()))
    assert [(line.name, line.tier, line.health, line.order) for line in picture.trunks] == [
        ("main", 1, "Up", "enabled"),
        ("backup", 2, "Up", "enabled"),
    ]
    assert picture.active_trunk == "main"
    assert (picture.calls, picture.calls_now, picture.last_failover) == ((), 0, None)
    main = trunk(picture, "main")
    assert (main["round_trip"], main["last_probe_at"], main["loss_ratio"], main["why"]) == (None, None, 0.0, "")
    assert main["target"] == "udp 198.51.100.1:5060"
    reasons = ["malformed", "too_big", "not_allowed", "banned", "wrong_password", "too_often", "late", "full"]
    assert picture.rejected == dict.fromkeys(reasons, 0)


def test_a_call_is_shown_as_it_tries_rings_is_answered_and_is_gone() -> None:
    book = Playbook(office())
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")
    (call,) = view(book).calls
    assert (call.number, call.direction, call.state, call.trunk, call.rerouted) == (
        1, "outbound", "trying", "main", False,
    )  # fmt: skip
    assert (call.caller, call.called, call.answered_at) == ("+41441112233", "+41443210019", None)
    assert book >> after(0.2) >> received(MAIN, answer(180, to="INVITE")) << send(PBX, 180)
    assert view(book).calls[0].state == "ringing"
    assert trunk(view(book), "main")["calls_now"] == 1
    assert book >> after(0.3) >> received(MAIN, answer(200, to="INVITE")) << send(PBX, 200)
    (call,) = view(book).calls
    assert (call.state, call.answered_at) == ("answered", 0.5)
    assert book >> received(PBX, ack()) << send(MAIN, "ACK")
    assert [trunk(view(book), name)["calls_now"] for name in ("main", "pbx", "backup")] == [1, 1, 0]
    assert book >> received(PBX, inside("BYE", 2)) << send(PBX, 200) << send(MAIN, "BYE")
    assert (view(book).calls, view(book).calls_now) == ((), 0)
    assert [trunk(view(book), name)["calls_now"] for name in ("main", "pbx", "backup")] == [0, 0, 0]


def test_a_call_that_took_the_backup_is_shown_as_rerouted() -> None:
    book = Playbook(office())
    assert (
        book
        >> received(PBX, invite())
        << send(PBX, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, answer(503))
        << send(MAIN, "ACK")
        << send(BACKUP, "INVITE")
    )
    (call,) = view(book).calls
    assert (call.trunk, call.rerouted) == ("backup", True)
    assert [trunk(view(book), name)["calls_now"] for name in ("main", "backup")] == [0, 1]


def test_a_trunk_that_is_silent_is_shown_down_and_the_failover_is_told() -> None:
    book = Playbook(office())
    engine = book.engine
    engine.core.lines["main"].trunk.probe.mute = False  # it has answered before
    for _ in range(12):  # only the main trunk is silent
        assert book >> after(1.0)
        for peer in (PBX, BACKUP):
            asked = [data for to, data in book.sent if to.peer == peer.peer and data.startswith(b"OPTIONS")]
            if asked:
                assert book >> received(peer, answer(200, to="OPTIONS"))
    picture = engine.view(book.now)  # type: ignore[attr-defined]
    main = trunk(view(book), "main")
    assert (main["health"], main["carries_new_calls"]) == ("Down", False)
    assert str(main["why"]).endswith("then 5 OPTIONS within 1 s had no answer")
    assert main["loss_ratio"] == 1.0
    assert picture.active_trunk == "backup"
    assert picture.last_failover is not None
    assert (picture.last_failover.came_from, picture.last_failover.went_to) == ("main", "backup")
    assert trunk(picture, "backup")["round_trip"] is not None


def test_a_name_that_does_not_resolve_is_shown_with_its_reason() -> None:
    book = Playbook(office())
    assert book >> resolved("main", why="no such name") << logged("warning", "main cannot be found")
    main = trunk(view(book), "main")
    assert main["target"] == "udp 198.51.100.1:5060 (last good, no such name)"
    assert book >> resolved("main", target(MAIN))
    assert trunk(view(book), "main")["target"] == "udp 198.51.100.1:5060"


@pytest.mark.parametrize("order", [Order.DRAINING, Order.OFF])
def test_orders_are_shown_beside_what_was_observed(order: Order) -> None:
    book = Playbook(office())
    book.engine.core.lines["main"].trunk.order = order  # type: ignore[attr-defined]
    main = trunk(view(book), "main")
    assert (main["order"], main["health"], main["carries_new_calls"]) == (order.label, "Up", False)


def test_the_newest_calls_are_shown_and_all_are_counted() -> None:
    book = Playbook(office())
    for _ in range(CALLS_SHOWN + 5):
        book.engine.receive(PBX, invite(), 0.0)
    book.collect()
    picture = view(book)
    assert picture.calls_now == CALLS_SHOWN + 5
    assert [call.number for call in picture.calls] == list(range(6, CALLS_SHOWN + 6))


def test_transactions_are_counted_while_they_live() -> None:
    book = ringing()
    assert view(book).transactions == 2
    assert book >> received(MAIN, answer(486, to="INVITE")) << send(MAIN, "ACK") << send(PBX, 486)
    assert book >> received(PBX, refused()) >> after(33.0)
    assert not book.engine.core.layer.servers  # type: ignore[attr-defined]


def test_no_picture_holds_a_secret_or_a_message() -> None:
    book = ringing(ask=invite(headers=((b"proxy-authorization", b'Digest response="5ec4e7"'),)))
    assert "5ec4e7" not in repr(view(book))
    assert not any(isinstance(command, Send | Record) for command in book.engine.take())


def test_a_call_into_the_office_is_shown_with_the_trunk_it_came_over() -> None:
    book = Playbook(office())
    data = invite("+41441112233", caller="+41790000000", host="198.51.100.1:5060")
    assert book >> received(MAIN, data) << send(MAIN, 100) << send(PBX, "INVITE")
    (call,) = view(book).calls
    assert (call.direction, call.trunk, call.rerouted, call.caller) == ("inbound", "main", False, "+41790000000")
    assert trunk(view(book), "main")["calls_now"] == 1
    assert trunk(view(book), "pbx")["calls_now"] == 1


def test_requests_of_many_kinds_do_not_disturb_the_picture() -> None:
    book = talking()
    for number, method in enumerate(("INFO", "UPDATE", "MESSAGE"), 2):
        assert book >> received(PBX, inside(method, number)) << send(MAIN, method)
        assert book >> received(MAIN, reply(200, method)) << send(PBX, 200)
    assert book >> received(PBX, request("SUBSCRIBE")) << send(PBX, 405)
    assert view(book).calls_now == 1
