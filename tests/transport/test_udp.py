"""UDP over real sockets on loopback: bursts, closed ports, several addresses, large datagrams."""

import asyncio
import errno
import socket
import struct
import threading
import time

import pytest

from sipfailover.errors import TransportError
from sipfailover.flow import UDP, Flow, Target
from sipfailover.transport import Bounds, Pool
from sipfailover.transport.sockets import (
    IP_MTU_DISCOVER,
    IPV6_MTU_DISCOVER,
    PMTUDISC_DONT,
    listening,
    reason_in,
    reason_of,
)
from tests.transport.ends import End, closed_port, message, udp_peer

V4, V6 = "127.0.0.1", "::1"


async def test_a_datagram_comes_up_with_its_flow_and_the_answer_goes_back(end: End) -> None:
    at = end.listen()
    with udp_peer() as peer:
        peer.sendto(message(), at)
        await end.came()
        host, port = peer.getsockname()
        assert end.received == [(Flow(UDP, host, port, b"127.0.0.1:%d" % at[1], V4), message())]
        end.pool.send(end.flow, b"back")
        assert peer.recvfrom(100) == (b"back", at)


async def test_each_batch_settles_once_after_its_datagrams(end: End) -> None:
    at = end.listen()
    settled_before: list[int] = []
    end.on_received = lambda flow, data: settled_before.append(end.settled)
    with udp_peer() as peer:
        for _ in range(150):
            peer.sendto(message(), at)
        await end.until(lambda: end.settled == 3)
    assert settled_before == [0] * 64 + [1] * 64 + [2] * 22


async def test_a_burst_of_2000_is_not_lost(end: End) -> None:
    at = end.listen()

    def burst() -> None:
        with udp_peer() as peer:
            for number in range(2000):
                peer.sendto(b"%d %s" % (number, b"x" * 600), at)

    sender = threading.Thread(target=burst)
    sender.start()
    await end.until(lambda: len(end.received) + end.pool.kernel_drops == 2000)
    sender.join()
    if end.pool.receive_buffer >= 4 * 1024 * 1024:  # the kernel granted what we asked for
        assert end.pool.kernel_drops == 0
        assert [int(data.split()[0]) for data in end.data] == list(range(2000))


async def test_what_the_kernel_drops_is_counted() -> None:
    async with End(Bounds(receive_buffer_bytes=4096)) as end:
        at = end.listen()
        with udp_peer() as peer:
            for _ in range(100):
                peer.sendto(b"x" * 1000, at)
            await end.until(lambda: len(end.received) + end.pool.kernel_drops == 100)
        assert end.pool.kernel_drops > 50


@pytest.mark.parametrize("host", [V4, V6, "0.0.0.0", "::"])
async def test_a_closed_port_is_known_in_a_round_trip_and_the_socket_lives_on(end: End, host: str) -> None:
    port = end.listen(host=host)[1]
    loopback = V6 if ":" in host else V4
    dead = end.target(UDP, loopback, closed_port(host=loopback))
    start = time.perf_counter()
    end.pool.send(dead, message())
    await end.were_lost()
    assert time.perf_counter() - start < 0.05
    assert end.lost == [(dead, "refused")]
    await end.until(lambda: end.settled)
    with udp_peer(loopback) as peer:
        peer.sendto(message(), (loopback, port))
        await end.came()


async def test_thousands_of_errors_among_thousands_of_messages_cost_none_of_them(end: End) -> None:
    at = end.listen()
    dead = [end.target(UDP, V4, closed_port()) for _ in range(5)]
    with udp_peer() as peer:
        live = end.target(UDP, *peer.getsockname())
        for number in range(3000):
            end.pool.send(dead[number % 5], message())
            if number % 3 == 0:
                await asyncio.sleep(0)
            end.pool.send(live, b"%d" % number)
            assert peer.recv(100) == b"%d" % number
            peer.sendto(b"%d" % number, at)
            if number % 2 == 0:
                await asyncio.sleep(0)
        await end.came(3000)
        await end.until(lambda: end.pool.counters.icmp_errors == 3000)
    assert end.data == [b"%d" % number for number in range(3000)]
    assert {where.peer for where, _ in end.lost} == {target.peer for target in dead}
    assert set(end.reasons) == {"refused"}


async def test_after_an_error_the_loop_rests(end: End) -> None:
    end.listen()
    end.pool.send(end.target(UDP, V4, closed_port()), message())
    await end.were_lost()
    before = time.process_time()
    await asyncio.sleep(0.2)  # the one thing to be measured here is a stretch of time in which nothing happens
    assert time.process_time() - before < 0.1


async def test_a_pending_error_is_not_blamed_on_the_next_datagram(end: End) -> None:
    end.listen()
    dead = end.target(UDP, V4, closed_port())
    with udp_peer() as peer:
        live = end.target(UDP, *peer.getsockname())
        end.pool.send(dead, message())
        end.pool.send(live, message())  # its sendto raises the error of the one before
        assert peer.recv(1000) == message()
        await end.were_lost()
        await end.until(lambda: end.settled)
    assert end.lost == [(dead, "refused")]


async def test_an_error_about_a_peer_we_did_not_send_to_lately_is_not_believed() -> None:
    async with End(Bounds(icmp_believed_for=-1.0)) as end:
        at = end.listen()
        end.pool.send(end.target(UDP, V4, closed_port()), message())
        with udp_peer() as peer:
            peer.sendto(message(), at)
            await end.came()
        await asyncio.sleep(0)
        assert (end.lost, end.pool.counters.icmp_ignored) == ([], 1)


async def test_lost_never_comes_from_inside_send(end: End) -> None:
    end.listen()
    end.pool.send(Target(UDP, V4, 5060, b"x:1"), b"x" * 70_000)
    assert end.lost == []
    await end.were_lost()
    await end.until(lambda: end.settled)


@pytest.mark.parametrize("host", [V4, V6])
async def test_large_datagrams_go_and_come(end: End, host: str) -> None:
    at = end.listen(host=host)
    with udp_peer(host) as peer:
        for size in (1_500, 60_000, 65_507):
            peer.sendto(b"x" * size, at)
            await end.until(lambda size=size: end.received and len(end.data[-1]) == size)
            end.pool.send(end.flow, b"y" * size)
            assert peer.recv(70_000) == b"y" * size


@pytest.mark.parametrize(("host", "level", "option"), [(V4, 0, IP_MTU_DISCOVER), (V6, 41, IPV6_MTU_DISCOVER)])
def test_the_kernel_may_fragment(host: str, level: int, option: int) -> None:
    with listening(UDP, host, 0, Bounds()) as sock:
        assert sock.getsockopt(level, option) == PMTUDISC_DONT


async def test_what_is_larger_than_a_datagram_is_lost_for_a_local_reason_once(end: End) -> None:
    at = end.listen()
    target = Target(UDP, V4, at[1], b"x:1")
    for size in (65_508, 65_600):
        end.pool.send(target, b"x" * size)
    end.pool.send(target, b"fits")
    await end.came()
    assert end.lost == [(target, "local: too big")] * 2


@pytest.mark.parametrize("bound", ["0.0.0.0", V4])
async def test_what_the_kernel_refuses_to_send_is_lost_for_a_local_reason(end: End, bound: str) -> None:
    end.listen(host=bound)
    # The broadcast address of loopback: refused before anything leaves, and without a way out of this machine.
    end.pool.send(Target(UDP, "127.255.255.255", 5060, b"x:1"), message())
    await end.were_lost()
    assert end.reasons == ["local: not permitted"]


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ECONNREFUSED, "refused"),
        (errno.ECONNRESET, "reset"),
        (errno.EPIPE, "reset"),
        (errno.ETIMEDOUT, "timeout"),
        (errno.EHOSTUNREACH, "unreachable"),
        (errno.ENETUNREACH, "local: no route"),
        (errno.EMSGSIZE, "local: too big"),
        (errno.EADDRNOTAVAIL, "local: not an address of this machine"),
        (errno.EPERM, "local: not permitted"),
        (errno.EINVAL, "local: invalid argument"),
    ],
)
def test_errors_of_the_kernel_in_words(number: int, reason: str) -> None:
    assert reason_of(OSError(number, "")) == reason


@pytest.mark.parametrize(
    ("number", "origin", "reason"),
    [
        (errno.ECONNREFUSED, 2, "refused"),
        (errno.EHOSTUNREACH, 2, "unreachable"),
        (errno.ENETUNREACH, 3, "unreachable"),
        (errno.EMSGSIZE, 2, "too big"),
        (errno.EMSGSIZE, 1, ""),
    ],
)
@pytest.mark.parametrize("kind", [(0, 11), (41, 25)])
def test_icmp_errors_in_words(number: int, origin: int, reason: str, kind: tuple[int, int]) -> None:
    extended = struct.pack("=IBBBBII", number, origin, 3, 3, 0, 0, 0)
    assert reason_in([(0, 8, bytes(12)), (*kind, extended + bytes(16))]) == reason


async def test_without_a_socket_of_the_family_it_is_lost_for_a_local_reason(end: End) -> None:
    end.listen()
    end.pool.send(Target(UDP, V6, 5060, b"x:1"), message())
    end.pool.send(Target(UDP, "pbx.example", 5060, b"x:1"), message())
    end.pool.send(Target("tls", V4, 5061, b"x:1"), message())
    await end.were_lost(3)
    # Nobody has said who the peer with TLS must prove to be, so no connection to it is opened.
    assert end.reasons == ["local: no udp socket for IPv6", "local: not an IP address", "closed"]


async def test_a_wildcard_socket_answers_from_the_address_that_was_asked(end: End) -> None:
    port = end.listen(host="0.0.0.0")[1]
    with udp_peer() as peer:
        for asked in ("127.0.0.2", "127.0.0.3", V4):
            end.received.clear()
            peer.sendto(message(), (asked, port))
            await end.came()
            assert (end.flow.local, end.flow.sent_by) == (asked, f"{asked}:{port}".encode())
            end.pool.send(end.flow, b"back")
            assert peer.recvfrom(100) == (b"back", (asked, port))


async def test_a_wildcard_socket_sends_from_the_address_the_target_wants(end: End) -> None:
    port = end.listen(host="0.0.0.0")[1]
    with udp_peer() as peer:
        host, at = peer.getsockname()
        end.pool.send(Target(UDP, host, at, b"public.example:5060", "127.0.0.7"), b"out")
        assert peer.recvfrom(100) == (b"out", ("127.0.0.7", port))


@pytest.mark.parametrize("bound", [V6, "::"])
async def test_ipv6(end: End, bound: str) -> None:
    port = end.listen(host=bound)[1]
    with udp_peer(V6) as peer:
        peer.sendto(message(), (V6, port))
        await end.came()
        assert (end.flow.host, end.flow.local, end.flow.sent_by) == (V6, V6, b"[::1]:%d" % port)
        end.pool.send(end.flow, b"back")
        assert peer.recvfrom(100)[0] == b"back"


async def test_ipv4_has_its_own_sockets_on_the_same_port(end: End) -> None:
    port = end.listen(host="::")[1]
    end.pool.listen(UDP, "0.0.0.0", port)
    with udp_peer() as peer:
        peer.sendto(message(), (V4, port))
        await end.came()
        assert end.flow.host == V4


async def test_the_socket_is_chosen_by_local_address_then_wildcard_then_port(end: End) -> None:
    one, two = end.listen(host="127.0.0.5"), end.listen(host="127.0.0.5")
    other = end.listen(host="127.0.0.6")
    with udp_peer() as peer:
        host, port = peer.getsockname()

        def sent_from(local: str, sent_by: bytes) -> object:
            end.pool.send(Target(UDP, host, port, sent_by, local), b"x")
            return peer.recvfrom(10)[1]

        assert sent_from("127.0.0.5", b"h:%d" % one[1]) == one
        assert sent_from("127.0.0.5", b"h:%d" % two[1]) == two
        assert sent_from("127.0.0.6", b"h:%d" % one[1]) == other
        assert sent_from("", b"h:%d" % other[1]) == other
        wildcard = end.listen(host="0.0.0.0")
        assert sent_from("127.0.0.5", b"h:%d" % two[1]) == two
        assert sent_from("127.0.0.9", b"h:1") == ("127.0.0.9", wildcard[1])


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"\0\0\0\0", b"\r\n" * 40])
async def test_keep_alives_are_swallowed(end: End, data: bytes) -> None:
    at = end.listen()
    with udp_peer() as peer:
        peer.sendto(data, at)
        peer.sendto(message(), at)
        await end.came()
    assert (end.data, end.pool.counters.keep_alives_swallowed) == ([message()], 1)


async def test_flows_are_remembered_up_to_a_bound() -> None:
    async with End(Bounds(flows=2)) as end:
        at = end.listen()
        with udp_peer() as one, udp_peer() as two, udp_peer() as three:
            for peer in (one, one, two, three, one):
                peer.sendto(message(), at)
            await end.came(5)
        flows = [flow for flow, _ in end.received]
        assert flows[0] is flows[1]
        assert flows[4] is not flows[0]
        assert flows[4] == flows[0]


async def test_ways_are_remembered_up_to_a_bound() -> None:
    async with End(Bounds(ways=3)) as end:
        end.listen()
        with udp_peer() as peer:
            host, port = peer.getsockname()
            for number in range(20):
                end.pool.send(Target(UDP, host, port, b"x:%d" % number), b"%d" % number)
                assert peer.recv(10) == b"%d" % number


async def test_a_full_buffer_of_the_kernel_is_a_counted_drop(end: End) -> None:
    end.listen()
    target = Target(UDP, V4, closed_port(), b"x:1")

    def full(*_: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "")

    # Loopback never fills a send buffer, so the system call is replaced.
    end.pool._udp[0]._sendto = full  # type: ignore[method-assign, assignment]
    end.pool.send(target, message())
    await asyncio.sleep(0)
    assert (end.lost, end.pool.counters.send_buffer_full) == ([], 1)


async def test_closing_in_the_middle_of_a_batch_is_the_end(end: End) -> None:
    at = end.listen()
    end.on_received = lambda flow, data: end.pool.close()
    with udp_peer() as peer:
        for _ in range(3):
            peer.sendto(message(), at)
        await end.came()
    assert len(end.received) == 1
    end.pool.send(end.flow, message())
    await asyncio.sleep(0)
    assert end.lost == []


async def test_a_callback_that_raises_costs_one_message(end: End) -> None:
    at = end.listen()
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context["exception"]))

    def fail_once(flow: Flow, data: bytes) -> None:
        if data == b"bad":
            raise ZeroDivisionError

    end.on_received = fail_once
    with udp_peer() as peer:
        for data in (b"good", b"bad", b"fine"):
            peer.sendto(data, at)
        await end.came(3)
    await end.until(lambda: end.settled == 2)
    assert [type(error) for error in told] == [ZeroDivisionError]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_port_that_is_taken_is_said_in_words(end: End, transport: str) -> None:
    host, port = end.listen(transport)
    with pytest.raises(TransportError, match=f"listen on {transport} {host}:{port}: another program already uses"):
        end.pool.listen(transport, host, port)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@pytest.mark.parametrize("host", ["192.0.2.77", "2001:db8::77"])
async def test_an_address_that_is_not_ours_is_said_in_words(end: End, transport: str, host: str) -> None:
    with pytest.raises(TransportError, match=f"{host} is not an address of this machine"):
        end.pool.listen(transport, host, 0)
    assert end.pool.bound == ()


async def test_local_for_names_us_by_route_and_listener(end: End) -> None:
    assert end.pool.local_for(UDP, V4, 5060) == "no udp listener for IPv4"
    wildcard = end.listen(host="0.0.0.0")[1]
    assert end.pool.local_for(UDP, V4, 5060) == Target(UDP, V4, 5060, b"127.0.0.1:%d" % wildcard, V4)
    exact = end.listen(host=V4)[1]
    assert end.target(UDP, V4, 5060).sent_by == b"127.0.0.1:%d" % exact
    assert end.pool.local_for(UDP, V6, 5060) == "no udp listener for IPv6"
    assert end.pool.local_for("tcp", V4, 5060) == "no tcp listener for IPv4"
    end.listen(host="::")
    named = end.pool.local_for(UDP, V6, 5060, "2001:db8::9")
    assert isinstance(named, Target)
    assert named.sent_by.startswith(b"[2001:db8::9]:")
    assert named.local == V6


def test_a_pool_that_never_ran_closes_cleanly() -> None:
    loop = asyncio.new_event_loop()
    pool = Pool(loop, received=lambda *_: None, lost=lambda *_: None, settled=lambda: None)
    pool.listen(UDP, V4, 0)
    pool.listen("tcp", V4, 0)
    with socket.socket() as peer:
        peer.connect(pool.bound[1][1:])  # bound at once: the kernel completes it before the loop runs
    pool.close()
    pool.close()
    loop.run_until_complete(pool.closed())
    loop.close()


async def test_how_long_there_was_always_something_left_to_read() -> None:
    batch = 4
    async with End(Bounds(batch=batch)) as end:
        at = end.listen()
        behind: list[float] = []

        def received(flow: Flow, data: bytes) -> None:
            behind.append(end.pool.behind)
            time.sleep(0.001)

        end.on_received = received
        with udp_peer() as peer:
            for _ in range(6 * batch - 1):
                peer.sendto(b"MESSAGE", at)
            await end.came(6 * batch - 1)
        assert behind[:batch] == [0.0] * batch, "the first batch says nothing yet"
        assert behind[batch:] == sorted(behind[batch:])
        assert behind[-1] > behind[batch]
        assert end.pool.behind == 0.0, "the last batch has read all there was"
        assert end.pool.counters.datagrams == 6 * batch - 1


async def test_a_flood_of_strangers_is_shut_out_and_the_kernels_own_drops_are_counted_apart() -> None:
    async with End() as end:
        at = end.listen()
        with udp_peer("127.0.0.9") as stranger, udp_peer("127.0.0.2") as pbx:
            for look in range(12):
                end.pool.look(look * 1_000_000, ["127.0.0.2"])
                await asyncio.sleep(0.002)
            for _ in range(500):
                stranger.sendto(b"OPTIONS", at)
                pbx.sendto(b"INVITE", at)
            await end.until(lambda: end.data.count(b"INVITE") == 500)
            end.pool.look(12_000_000, ["127.0.0.2"])
            assert end.data.count(b"OPTIONS") < 50
            assert end.pool.counters.shut_out == 500 - end.data.count(b"OPTIONS")
            assert end.pool.kernel_drops == 0


async def test_what_is_kept_is_listed_with_its_bounds(end: End) -> None:
    at = end.listen()
    with udp_peer() as peer:
        peer.sendto(b"MESSAGE", at)
        await end.came()
        end.pool.send(end.flow, b"answer")
    fill = {name: now for name, now, at_most in end.pool.fill if now <= at_most}
    assert (fill["flows"], fill["ways"], fill["accepted"], fill["opened"]) == (1, 1, 0, 0)
