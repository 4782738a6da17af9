"""Every collection that peers can fill is listed with its fill and its bound, and no flood gets past one."""

from sipfailover.flow import Flow
from tests.kit import invite, request
from tests.proxy.office import PBX, STRANGER, office, ringing


def fills(book: object) -> dict[str, tuple[int, int]]:
    engine = book.engine  # type: ignore[attr-defined]
    return {fill.name: (fill.now, fill.at_most) for fill in engine.view(0.0).bounds}


def test_each_has_a_name_of_its_own_and_a_bound() -> None:
    book = office()
    names = [fill.name for fill in book.engine.view(0.0).bounds]
    assert len(names) == len(set(names))
    assert all(now <= at_most and at_most > 0 for now, at_most in fills(book).values())


def test_what_goes_on_is_seen_in_them() -> None:
    book = office()
    assert ringing(book)
    book.engine.receive(STRANGER, b"garbage", book.now)
    book.engine.receive(PBX, request("OPTIONS"), book.now)
    seen = {name: now for name, (now, _) in fills(book).items() if now}
    assert seen["calls"] == seen["calls_of_one_line"] == 1
    assert seen["strangers_with_strikes"] == seen["strangers_told"] == seen["allowance_others"] == 1
    assert seen["transactions"] >= 3
    assert seen["methods"] >= 2


def test_strangers_without_end_fill_nothing_over_its_bound() -> None:
    book = office("", pbxs=("pbx",))
    kinds = (b"garbage", request("OPTIONS"), request("REGISTER"), request("BYE", to_tag="0123456789abcdef"), invite())
    for number in range(6_000):
        forged = Flow("udp", f"10.{number >> 8}.{number & 255}.1", 5060, b"192.0.2.1:5060")
        for data in kinds:
            book.engine.receive(forged, data, book.now)
        book.engine.take()
    assert all(now <= at_most for now, at_most in fills(book).values())
    assert len(book.engine.core.layer) == 0
