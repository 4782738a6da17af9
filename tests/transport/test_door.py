"""The filter that the kernel applies for us: who is known comes in, of strangers a share, and both can be counted."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sipfailover.transport.door import EXEMPT_MAX, FEW, KNOWN_MAX, PESTS_MAX, SHARE_MIN, UNWANTED_A_SECOND, Door
from sipfailover.transport.sockets import kernel_drops

LOOK = 0.1


@contextmanager
def ends(host: str, *sources: str) -> Iterator[tuple[socket.socket, list[socket.socket]]]:
    """A socket of ours, and one that sends to it from each source."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as ours:
        ours.bind((host, 0))
        ours.setblocking(False)
        senders = []
        for source in sources:
            sender = socket.socket(family, socket.SOCK_DGRAM)
            sender.bind((source, 0))
            sender.connect(ours.getsockname()[:2])
            senders.append(sender)
        try:
            yield ours, senders
        finally:
            for sender in senders:
                sender.close()


def come_in(ours: socket.socket, sender: socket.socket, number: int, data: bytes = b"INVITE") -> int:
    """Of so many datagrams of this sender. Loopback delivers inside of send."""
    came = 0
    for _ in range(number):
        sender.send(data)
        try:
            ours.recv(100)
        except BlockingIOError:
            continue
        came += 1
    return came


def flooded(*known: str, looks: int = 12) -> Door:
    """A door that has seen a flood for so many looks."""
    door = Door()
    for number in range(looks + 1):
        door.look(number * 100_000, known, (), number * LOOK)
    return door


@pytest.mark.parametrize("known", ["127.0.0.2", "127.0.0.0/29", "127.0.0.2/31"])
def test_who_is_known_comes_in_and_of_strangers_hardly_anybody(known: str) -> None:
    with ends("127.0.0.1", "127.0.0.2", "127.0.0.9") as (ours, (friend, stranger)):
        flooded("198.51.100.0/24", known, "2001:db8::/32").apply(ours)
        assert come_in(ours, friend, 200) == 200
        assert come_in(ours, stranger, 1000) < 20
        assert kernel_drops(ours) > 980, "and the kernel counts them"


def test_ipv6_is_compared_in_all_its_bits() -> None:
    with ends("::1", "::1") as (ours, (friend,)):
        flooded("::/127").apply(ours)
        assert come_in(ours, friend, 100) == 100
        flooded("::2", "2001:db8::/32", "127.0.0.1").apply(ours)
        assert come_in(ours, friend, 200) < 20


def test_a_share_of_strangers_comes_in_by_chance() -> None:
    door = Door()
    door.look(0, (), (), 0.0)
    assert door.look(UNWANTED_A_SECOND, (), (), LOOK)
    assert door.share == 0.5
    with ends("127.0.0.1", "127.0.0.9") as (ours, (stranger,)):
        door.apply(ours)
        assert 1000 < come_in(ours, stranger, 3000) < 2000


def test_without_a_flood_the_door_is_open_and_afterwards_it_is_again() -> None:
    door = Door()
    assert not any(door.look(number * 40, (), (), number * LOOK) for number in range(50))
    with ends("127.0.0.1", "127.0.0.9") as (ours, (stranger,)):
        door.apply(ours)
        assert come_in(ours, stranger, 50) == 50
        closed = flooded(looks=8)
        closed.apply(ours)
        assert come_in(ours, stranger, 50) < 50
        turns = 0
        while closed.share < 1.0:
            turns += 1
            assert closed.look(8 * 100_000, (), (), (8 + turns) * LOOK)
        closed.apply(ours)
        assert turns == 8
        assert come_in(ours, stranger, 50) == 50


def test_it_closes_no_further_than_to_its_smallest_share() -> None:
    assert flooded(looks=40).share == SHARE_MIN


def test_between_few_and_many_it_stays_as_it_is() -> None:
    door = flooded(looks=3)
    share = door.share
    assert not door.look(int(3 * 100_000 + (FEW + UNWANTED_A_SECOND) / 2 * LOOK), (), (), 4 * LOOK)
    assert door.share == share


def test_somebody_new_is_let_in_at_the_next_look() -> None:
    door = flooded("127.0.0.3", looks=12)
    with ends("127.0.0.1", "127.0.0.2") as (ours, (guest,)):
        door.apply(ours)
        assert come_in(ours, guest, 200) < 20
        assert door.look(13 * 100_000, ("127.0.0.3", "127.0.0.2"), (), 13 * LOOK)
        door.apply(ours)
        assert come_in(ours, guest, 200) == 200


def test_with_more_known_addresses_than_a_filter_holds_the_door_stays_open() -> None:
    known = [f"10.0.{number >> 8}.{number & 255}" for number in range(KNOWN_MAX + 1)]
    assert flooded(*known).share == 1.0
    largest = flooded(*(f"2001:db8::{number:x}" for number in range(KNOWN_MAX)))
    largest._pests = tuple(f"2001:db9::{number:x}" for number in range(PESTS_MAX + 5))
    largest.exempt = tuple(b"sip:%06d@" % number for number in range(EXEMPT_MAX + 5))
    with ends("::1", "::1") as (ours, (stranger,)):
        largest.apply(ours)
        assert come_in(ours, stranger, 100) < 20, "the longest filter there is is one that the kernel takes"


def test_of_a_pest_only_its_invites_are_kept_out_and_not_its_calls_for_help() -> None:
    door = Door()
    door.exempt = (b"sip:112@", b"sip:1414@")
    for number in range(14):
        door.look(number * 100_000, ["127.0.0.0/24"], ["127.0.0.2"], number * LOOK)
    with ends("127.0.0.1", "127.0.0.2", "127.0.0.3") as (ours, (pest, friend)):
        door.apply(ours)
        for text in (
            b"BYE sip:1@2",
            b"SIP/2.0 200 OK",
            b"ACK sip:1@2",
            b"\r\n\r\n",
            b"INVITE sip:112@x",
            b"INVITE sip:1414@x",
        ):
            assert come_in(ours, pest, 50, text) == 50, text
        for text in (b"INVITE sip:0443100@x", b"INVITE sip:1125@x", b"INVITE sip:141@x", b"INVITE ", b"INVI"):
            assert come_in(ours, pest, 50, text) < 10, text
        assert come_in(ours, friend, 50, b"INVITE sip:0443100@x") == 50


def test_where_filters_are_not_to_be_had_everything_is_read() -> None:
    closed = flooded()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
        gone.close()
        closed.apply(gone)
