"""TCP over real connections on loopback: borders, finding connections again, their ends, and every bound."""

import asyncio
import os
import resource
import socket
from contextlib import AsyncExitStack

import pytest

from sipfailover.flow import TCP, Flow, Target
from sipfailover.transport import Bounds, listener
from tests.transport.ends import PATIENCE, End, closed_port, connected, message, serving

V4, V6 = "127.0.0.1", "::1"
QUICK = 0.02
"""Seconds: how often the clock of the connections looks, where a test waits for it."""


@pytest.mark.parametrize("host", [V4, V6])
async def test_a_message_comes_up_with_its_flow_and_the_answer_goes_back(end: End, host: str) -> None:
    at = end.listen(TCP, host)
    async with connected(*at) as peer:
        peer.say(message())
        await end.came()
        name = b"[::1]:%d" if host == V6 else b"127.0.0.1:%d"
        assert end.received == [(Flow(TCP, *peer.at, name % at[1], host, 1), message())]
        end.pool.send(end.flow, message("back"))
        assert await peer.hears(len(message("back"))) == message("back")


async def test_any_chunking_gives_the_same_messages(end: End) -> None:
    at = end.listen(TCP)
    texts = [message(str(number)) for number in range(3)]
    async with connected(*at) as peer:
        for byte in b"".join(texts):
            peer.say(bytes([byte]))
            await asyncio.sleep(0)
        peer.say(b"".join(texts))
        await end.came(6)
    assert end.data == texts * 2
    assert end.settled >= 2


async def test_a_wildcard_listener_names_the_address_that_was_asked(end: End) -> None:
    port = end.listen(TCP, "0.0.0.0")[1]
    async with connected("127.0.0.2", port) as peer:
        peer.say(message())
        await end.came()
    assert (end.flow.local, end.flow.sent_by) == ("127.0.0.2", b"127.0.0.2:%d" % port)


async def test_a_connection_the_peer_opened_is_found_by_its_address(end: End) -> None:
    at = end.listen(TCP)
    async with connected(*at) as peer:
        peer.say(message())
        await end.came()
        end.pool.send(Target(TCP, *peer.at, b"x:1"), message("request"))
        assert await peer.hears(len(message("request"))) == message("request")
    assert end.pool.counters.connections_opened == 0


async def test_one_connection_is_opened_and_carries_all(end: End) -> None:
    end.listen(TCP, "127.0.0.2")
    async with serving() as server:
        target = Target(TCP, V4, server.port, b"public:5060", "127.0.0.2")
        for text in "abc":
            end.pool.send(target, message(text))
        peer = await server.peer()
        assert await peer.hears(3 * len(message("a"))) == message("a") + message("b") + message("c")
        assert peer.writer.get_extra_info("peername")[0] == "127.0.0.2"
        peer.say(message("answer"))
        await end.came()
        assert end.flow == Flow(TCP, V4, server.port, b"public:5060", "127.0.0.2", 1)
        end.pool.send(target, message("d"))
        assert await peer.hears(len(message("d"))) == message("d")
    assert end.pool.counters.connections_opened == 1


async def test_a_refused_connect_gives_back_what_waited(end: End) -> None:
    port = closed_port(socket.SOCK_STREAM)
    one, two = Target(TCP, V4, port, b"one:1"), Target(TCP, V4, port, b"two:1")
    for target in (one, one, two):
        end.pool.send(target, message())
    assert end.lost == []
    await end.were_lost(2)
    await end.until(lambda: end.settled)
    assert end.lost == [(one, "refused"), (two, "refused")]
    assert end.pool.counters.connects_failed == 1


async def test_a_connect_without_an_answer_ends_in_time() -> None:
    with socket.socket() as deaf:
        deaf.bind((V4, 0))
        deaf.listen(0)
        fillers = [socket.socket() for _ in range(3)]  # a full backlog: the kernel drops every further SYN
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(deaf.getsockname())
        async with End(Bounds(connect_within=0.1)) as end:
            end.pool.send(Target(TCP, *deaf.getsockname(), b"x:1"), message())
            await end.were_lost()
            assert end.reasons == ["timeout"]
            end.pool.send(Target(TCP, *deaf.getsockname(), b"x:1"), message())  # closing while one is being opened
        for filler in fillers:
            filler.close()


async def test_an_address_of_ours_that_is_gone_is_a_local_reason(end: End) -> None:
    async with serving() as server:
        end.pool.send(Target(TCP, V4, server.port, b"x:1", "192.0.2.77"), message())
        await end.were_lost()
    assert end.reasons == ["local: not an address of this machine"]


async def test_a_name_is_no_address(end: End) -> None:
    end.pool.send(Target(TCP, "carrier.example", 5060, b"x:1"), message())
    await end.were_lost()
    assert end.reasons == ["local: not an IP address"]


async def test_a_reset_is_told_once_and_the_flow_is_gone(end: End) -> None:
    at = end.listen(TCP)
    async with connected(*at) as peer:
        peer.say(message())
        await end.came()
        flow = end.flow
        peer.writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0"
        )  # close with RST
        peer.reset()
        await end.were_lost()
        assert end.lost == [(flow, "reset")]
        end.pool.send(flow, message())
        await end.were_lost(2)
    assert end.lost[1] == (flow, "closed")
    assert end.pool.connections == 0


async def test_a_close_while_we_wait_for_the_answer_is_told_and_the_next_message_opens_anew(end: End) -> None:
    async with serving() as server:
        target = Target(TCP, V4, server.port, b"x:1")
        end.pool.send(target, message("one"))
        peer = await server.peer()
        await peer.hears(len(message("one")))
        peer.writer.close()
        await end.were_lost()
        assert [(where.peer, reason) for where, reason in end.lost] == [(target.peer, "closed")]
        end.pool.send(target, message("two"))
        again = await server.peer()
        assert await again.hears(len(message("two"))) == message("two")


async def test_a_peer_that_does_not_read_loses_the_connection() -> None:
    async with End(Bounds(write_buffer_bytes=100_000)) as end:
        at = end.listen(TCP)
        async with connected(*at) as peer:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            peer.say(message())
            await end.came()
            for _ in range(1000):
                end.pool.send(end.flow, message("x" * 60_000))
                if end.lost:
                    break
                await asyncio.sleep(0)
            await end.were_lost()
            assert end.lost[0] == (end.flow, "buffer full")
            assert end.pool.counters.write_buffers_full == 1
            assert end.pool.connections == 0


async def test_the_queue_of_a_connection_that_is_being_opened_has_a_bound() -> None:
    async with End(Bounds(connect_queue_bytes=1000)) as end, serving() as server:
        target = Target(TCP, V4, server.port, b"x:1")
        end.pool.send(target, message("x" * 500))
        end.pool.send(target, message("y" * 900))
        end.pool.send(target, message("z" * 100))
        await end.were_lost()
        assert end.lost == [(target, "buffer full")]
        expected = message("x" * 500) + message("z" * 100)
        assert await (await server.peer()).hears(len(expected)) == expected


async def test_one_message_over_the_queue_opens_nothing() -> None:
    async with End(Bounds(connect_queue_bytes=10)) as end, serving() as server:
        target = Target(TCP, V4, server.port, b"x:1")
        end.pool.send(target, message())
        await end.were_lost()
        assert end.lost == [(target, "buffer full")]


@pytest.mark.parametrize("said", [b"", b"INVITE sip:a@b SIP/2.0\r\n", message() + b"INV", message()[:-1]])
async def test_a_peer_that_leaves_us_waiting_loses_the_connection(said: bytes) -> None:
    async with End(Bounds(message_within=0.05, sweep_every=QUICK)) as end:
        at = end.listen(TCP)
        async with connected(*at) as peer:
            peer.say(said)
            await end.were_lost()
            assert await peer.ends() == b""
        assert (end.reasons, end.pool.counters.streams_too_slow) == (["timeout"], 1)


async def test_trickling_bytes_do_not_buy_time() -> None:
    async with End(Bounds(message_within=0.1, sweep_every=QUICK)) as end:
        at = end.listen(TCP)
        async with connected(*at) as peer:
            for byte in b"INVITE sip:a@b SIP/2.0\r\n" + b"X: y\r\n" * 500:
                peer.say(bytes([byte]))
                await asyncio.sleep(0.005)  # the slowness is the input
                if end.lost:
                    break
        assert end.reasons == ["timeout"]


async def test_whole_messages_and_pings_keep_a_connection() -> None:
    async with End(Bounds(message_within=0.05, sweep_every=QUICK)) as end:
        at = end.listen(TCP)
        async with connected(*at) as one, connected(*at) as two, connected(*at):
            one.say(message())
            two.say(b"\r\n\r\n")
            assert await two.hears(2) == b"\r\n"
            await end.were_lost()  # the third, which said nothing
            assert end.pool.connections == 2
            one.say(message("still here"))
            await end.came(2)


async def test_pings_are_answered_one_by_one(end: End) -> None:
    at = end.listen(TCP)
    async with connected(*at) as peer:
        peer.say(b"\r\n\r\n" * 3 + message() + b"\r\n\r\n")
        assert await peer.hears(8) == b"\r\n" * 4
    assert end.pool.counters.pings_answered == 4


async def test_an_idle_connection_gets_pings_which_do_not_count_as_use() -> None:
    async with End(Bounds(keep_alive_every=0.05, idle_close_after=0.5, sweep_every=QUICK)) as end:
        at = end.listen(TCP)
        async with connected(*at) as peer:
            peer.say(message())
            assert await peer.hears(4) == b"\r\n\r\n"
            peer.say(b"\r\n")
            assert await peer.hears(4) == b"\r\n\r\n"
            assert set(await peer.ends()) <= set(b"\r\n")
            await end.were_lost()
        assert end.reasons == ["closed"]
        assert end.pool.counters.pings_sent >= 2


async def test_a_peer_may_have_its_own_time_between_pings_or_none() -> None:
    async with End(Bounds(keep_alive_every=0.05, idle_close_after=0.4, sweep_every=QUICK)) as end:
        at = end.listen(TCP)
        asked: list[tuple[str, int]] = []

        def none_for_us(host: str, port: int) -> float:
            asked.append((host, port))
            return 0.0

        end.keep_alive_every = none_for_us
        async with connected(*at) as peer:
            peer.say(message())
            assert await peer.ends() == b"", "it was closed for idleness without a ping"
        assert {host for host, _ in asked} == {"127.0.0.1"}
        assert end.pool.counters.pings_sent == 0
    async with End(Bounds(keep_alive_every=60.0, sweep_every=QUICK)) as end:
        at = end.listen(TCP)
        end.keep_alive_every = lambda host, port: 0.05
        async with connected(*at) as peer:
            peer.say(message())
            assert await peer.hears(4) == b"\r\n\r\n"


@pytest.mark.parametrize(
    "nonsense", [b"\x16\x03\x01\x02", b"INVITE sip:a@b SIP/2.0\r\n\r\n", message().replace(b": 5", b": 70000")]
)
async def test_a_stream_without_borders_is_closed_after_what_was_whole(end: End, nonsense: bytes) -> None:
    at = end.listen(TCP)
    end.on_received = lambda flow, data: end.pool.send(flow, message("answer"))
    async with connected(*at) as peer:
        peer.say(message("one") + message("two") + nonsense + message("three"))
        assert await peer.ends() == message("answer") * 2
        await end.were_lost()
    assert end.data == [message("one"), message("two")]
    assert (end.reasons, end.pool.counters.streams_broken) == (["closed"], 1)


async def test_one_host_cannot_take_all_connections() -> None:
    async with End(Bounds(accepted_per_host=2)) as end:
        at = end.listen(TCP)
        async with connected(*at) as one, connected(*at) as two:
            for peer in (one, two):
                peer.say(message())
            await end.came(2)
            async with connected(*at) as three:
                assert await three.ends() == b""
            async with connected(*at, local="127.0.0.9") as other:
                other.say(message())
                await end.came(3)
            assert end.pool.counters.connections_refused == 1
        await end.were_lost(3)  # places become free again
        async with connected(*at) as peer:
            peer.say(message())
            await end.came(4)


async def test_all_hosts_together_have_a_bound_that_ours_do_not_share() -> None:
    async with End(Bounds(accepted=1, opened=1)) as end, serving() as server:
        at = end.listen(TCP)
        async with connected(*at) as one:
            one.say(message())
            await end.came()
            async with connected(*at, local="127.0.0.9") as two:
                assert await two.ends() == b""
            end.pool.send(Target(TCP, V4, server.port, b"x:1"), message())
            await server.peer()
            end.pool.send(Target(TCP, "127.0.0.2", server.port, b"x:1"), message())
            await end.were_lost()
        assert end.reasons[0] == "local: too many connections"
        assert end.pool.counters.connections_refused == 2


async def test_without_descriptors_peers_wait_and_the_loop_rests(end: End, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "ACCEPT_AGAIN_AFTER", QUICK)
    at = end.listen(TCP)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.create_connection(at) as peer:
        peer.sendall(message())
        free = os.dup(peer.fileno())
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            for _ in range(int(PATIENCE / QUICK)):  # a counter tells nobody that it moved
                if end.pool.counters.accepts_failed >= 3:
                    break
                await asyncio.sleep(QUICK)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert 3 <= end.pool.counters.accepts_failed < 20
        await end.came()


async def test_the_kernel_gives_a_dead_peer_up_after_seconds(end: End) -> None:
    at = end.listen(TCP)
    async with connected(*at) as peer:
        peer.say(message())
        await end.came()
        transport = end.pool._streams._by_number[1].transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_closing_tells_nobody_and_lets_the_last_words_out(end: End) -> None:
    at = end.listen(TCP)
    async with connected(*at) as peer:
        peer.say(message())
        await end.came()
        end.pool.send(end.flow, message("bye"))
        end.pool.close()
        await end.pool.closed()
        assert await peer.ends() == message("bye")
    assert end.lost == []
    end.pool.send(end.flow, message())
    end.pool.send(Target(TCP, *at, b"x:1"), message())
    await asyncio.sleep(0)
    assert end.lost == []


async def test_closing_while_a_peer_connects(end: End) -> None:
    at = end.listen(TCP)
    for turns in range(6):
        async with End() as other, connected(*at):
            port = other.listen(TCP)[1]
            end.pool.send(Target(TCP, V4, port, b"x:1"), message())
            for _ in range(turns):
                await asyncio.sleep(0)
    await end.were_lost(1)


async def test_closing_while_connecting(end: End) -> None:
    async with serving() as server:
        end.pool.send(Target(TCP, V4, server.port, b"x:1"), message())
    end.pool.close()
    await end.pool.closed()
    assert end.lost == []


# -- floods and games -------------------------------------------------------------------------------------------------


async def test_a_banned_stranger_is_refused_and_somebody_known_is_not() -> None:
    def known(host: str) -> bool:
        return host == "127.0.0.2"

    async with End(known=known, banned=lambda host: True) as end:
        at = end.listen(TCP)
        async with connected(*at, local="127.0.0.9") as stranger:
            assert await stranger.ends() == b""
        async with connected(*at, local="127.0.0.2") as pbx:
            pbx.say(message())
            await end.came()
        assert end.pool.counters.connections_refused == 1


async def test_an_idle_stranger_gives_its_place_back_soon_and_a_pbx_keeps_its_own() -> None:
    bounds = Bounds(stranger_idle_close_after=0.1, sweep_every=QUICK)
    async with End(bounds, known=lambda host: host == "127.0.0.2") as end:
        at = end.listen(TCP)
        async with connected(*at, local="127.0.0.2") as pbx, connected(*at, local="127.0.0.9") as stranger:
            pbx.say(message())
            stranger.say(message())
            await end.came(2)
            assert await stranger.ends() == b""
            pbx.say(b"\r\n\r\n")
            assert await pbx.hears(2) == b"\r\n"


async def test_a_flood_from_one_stranger_leaves_everybody_else_their_places() -> None:
    bounds = Bounds(accepted=40, accepted_kept_for_peers=10, accepted_per_host=12)
    async with End(bounds, known=lambda host: host == "127.0.0.2") as end:
        at = end.listen(TCP)
        crowd: list[socket.socket] = []
        try:
            for _ in range(100):
                crowd.append(socket.create_connection(at, PATIENCE, source_address=("127.0.0.9", 0)))
                await asyncio.sleep(0)
            await end.until(lambda: end.pool.counters.connections_refused == 100 - 12)
            async with connected(*at, local="127.0.0.8") as other, connected(*at, local="127.0.0.2") as pbx:
                other.say(message())
                pbx.say(message())
                await end.came(2)
            assert {name: now for name, now, _ in end.pool.fill}["accepted_per_host"] == 12
        finally:
            for sock in crowd:
                sock.close()


async def test_half_messages_hold_a_place_for_no_longer_than_a_message_may_take() -> None:
    """Slow-loris: a head that never ends, a body that never comes, a byte now and then."""
    bounds = Bounds(message_within=0.3, sweep_every=QUICK)
    async with End(bounds) as end:
        at = end.listen(TCP)
        halves = (b"", b"I", b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n", message("whole")[:-1])
        async with AsyncExitStack() as stack:
            peers = [await stack.enter_async_context(connected(*at)) for _ in halves]
            for peer, half in zip(peers, halves, strict=True):
                peer.say(half)
            for peer in peers:
                assert await peer.ends() == b""
        assert end.pool.counters.streams_too_slow == len(halves)
        assert end.received == []


@pytest.mark.parametrize(
    "nonsense",
    [
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 0\r\nl: 5\r\n\r\nINVITE",
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 0x10\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nContent-Length: 70000\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\nVia: x\r\n\r\n",
        b"INVITE sip:a@b SIP/2.0\r\n" + b"X: y\r\n" * 20_000,
        b"INVITE sip:a@b SIP/2.0\r\nX: " + b"y" * 200_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"\0" * 1000,
    ],
    ids=lambda data: repr(data[24:60]),
)
async def test_what_has_no_clear_end_is_no_message_and_costs_its_sender_the_connection(
    end: End, nonsense: bytes
) -> None:
    at = end.listen(TCP)
    async with connected(*at) as peer:
        peer.say(nonsense)
        assert await peer.ends() == b""
    assert end.received == []
    assert end.pool.counters.streams_broken == 1
    async with connected(*at) as peer:
        peer.say(message())
        await end.came()
