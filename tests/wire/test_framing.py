"""Messages out of a stream: borders, keep-alives, limits, and linear time."""

import time
from itertools import pairwise

import pytest

from sipfailover.errors import WireError
from sipfailover.wire.framing import StreamFramer, content_length

OPTIONS = b"OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP h\r\nl : 3\r\n\r\nabc"
ANSWER = b"SIP/2.0 200 OK\r\nContent-Length:\r\n 0\r\nX: y\r\n\r\n"
STREAM = b"\r\n\r\n" + OPTIONS + ANSWER + b"\r\n\r\n\r\n\r\n" + OPTIONS + b"\r\n" + ANSWER


def fed(framer: StreamFramer, data: bytes, size: int) -> list[bytes]:
    return [message for at in range(0, len(data), size) for message in framer.feed(data[at : at + size])]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 16, 64, 1000])
def test_any_chunking_gives_the_same_messages_and_pings(size: int) -> None:
    framer = StreamFramer()
    assert fed(framer, STREAM, size) == [OPTIONS, ANSWER, OPTIONS, ANSWER]
    assert framer.take_pings() == 3
    assert framer.take_pings() == 0
    assert framer.pending == 0


def test_cut_at_every_place() -> None:
    for cut in range(len(STREAM)):
        framer = StreamFramer()
        assert framer.feed(STREAM[:cut]) + framer.feed(STREAM[cut:]) == [OPTIONS, ANSWER, OPTIONS, ANSWER]


def test_single_empty_line_is_no_ping() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n") == []
    assert framer.take_pings() == 0
    assert framer.feed(b"\r\n") == []
    assert framer.take_pings() == 1


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"OPTIONS sip:a SIP/2.0\r\nVia: x\r\n\r\n", 400),  # §18.3: a stream needs the length
        (b"OPTIONS sip:a SIP/2.0\r\nl: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"OPTIONS sip:a SIP/2.0\r\nl: -3\r\n\r\n", 400),
        (b"OPTIONS sip:a SIP/2.0\r\nl: 3, 3\r\n\r\nabc", 400),
        (b"OPTIONS sip:a SIP/2.0\r\nl:\r\n\r\nabc", 400),
        (b"OPTIONS sip:a SIP/2.0\r\nl: 65536\r\n\r\n", 513),
        (b"OPTIONS sip:a SIP/2.0\r\nl: " + b"9" * 6000 + b"\r\n\r\n", 513),
        (b"A" * 70_000, 513),
        (b"\x16\x03\x01\x02\x00", 400),  # a TLS client at the wrong port
        (b" OPTIONS sip:a SIP/2.0\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    ],
)
def test_stream_without_borders_is_given_up(data: bytes, status: int) -> None:
    framer = StreamFramer()
    with pytest.raises(WireError) as caught:
        framer.feed(data)
    assert caught.value.status == status
    assert framer.broken is caught.value
    with pytest.raises(WireError):
        framer.feed(OPTIONS)


def test_messages_before_the_nonsense_are_handed_out_first() -> None:
    framer = StreamFramer()
    assert framer.feed(OPTIONS + ANSWER + b"\x00\x01") == [OPTIONS, ANSWER]
    assert framer.broken is not None
    with pytest.raises(WireError):
        framer.feed(b"")


def test_length_is_read_only_from_a_line_of_its_own() -> None:
    assert content_length(b"A\r\nX: l: 9\r\nlx: 8\r\nCONTENT-length\t:\t 7 \r\n\r\n") == 7
    assert content_length(b"A\r\nX: 1\r\n l: 9\r\nL:5\r\n\r\n") == 5  # the folded line belongs to X


def test_largest_message_passes_and_one_byte_more_does_not() -> None:
    head = b"OPTIONS sip:a SIP/2.0\r\nl: %05d\r\n\r\n"
    body = 65_535 - len(head % 0)
    whole = head % body + b"x" * body
    assert StreamFramer().feed(whole) == [whole]
    with pytest.raises(WireError):
        StreamFramer().feed(head % (body + 1))


def _cpu(data: bytes, size: int) -> float:
    """CPU seconds to feed `data` in chunks of `size`, the best of three."""
    best = 1e9
    for _ in range(3):
        framer = StreamFramer()
        start = time.process_time()
        fed(framer, data, size)
        best = min(best, time.process_time() - start)
    return best


@pytest.mark.parametrize(
    "make",
    [
        lambda size: b"OPTIONS sip:a SIP/2.0\r\nX: " + b"x" * size,
        lambda size: b"OPTIONS sip:a SIP/2.0\r\n" + b"X: y\r\n" * (size // 6),
        lambda size: b"OPTIONS sip:a SIP/2.0\r\nl: %d\r\n\r\n" % size + b"x" * size,
        lambda size: b"\r\n" * (size // 2),
        lambda size: OPTIONS * (size // len(OPTIONS)),
    ],
    ids=["one long line", "many lines", "long body", "empty lines", "small messages"],
)
def test_byte_by_byte_takes_linear_time(make) -> None:  # type: ignore[no-untyped-def]
    """Four times the bytes take about four times as long; a rescan of what was seen would take sixteen times."""
    times = [_cpu(make(size), 1) for size in (15_000, 60_000)]
    for small, large in pairwise(times):
        assert large < 9 * small + 0.01
