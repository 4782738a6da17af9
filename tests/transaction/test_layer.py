"""The layer: which message belongs to which transaction, what is raised, and that nothing is left."""

import pytest

from sipfailover.errors import WireError
from sipfailover.flow import Flow, Target
from sipfailover.transaction import Input, invite_server
from sipfailover.transaction.layer import reply_to, server_key
from sipfailover.wire import Message
from tests.transaction.world import BRANCH, PHONE, STREAM, TCP_TRUNK, TRUNK, US, World, answer, request

INVITE = request(b"INVITE")
OPTIONS = request(b"OPTIONS")
CANCEL = request(b"CANCEL")


def key(data: bytes) -> tuple[bytes, bytes, bytes]:
    return server_key(Message(data))


class TestMatching:
    """§17.2.3."""

    def test_branch_sent_by_and_method_make_the_key(self) -> None:
        assert key(INVITE) == (b"z9hG4bKtheirs", b"192.0.2.10:5060", b"INVITE")
        assert key(request(b"ACK")) == key(INVITE)
        assert key(CANCEL) == (*key(INVITE)[:2], b"CANCEL")

    @pytest.mark.parametrize(
        "other",
        [
            request(b"OPTIONS", branch=b"z9hG4bKother"),
            request(b"OPTIONS", sent_by=b"192.0.2.10:5061"),
            request(b"OPTIONS", sent_by=b"192.0.2.10"),
            request(b"OPTIONS", sent_by=b"192.0.2.11:5060"),
            request(b"MESSAGE"),
        ],
    )
    def test_another_branch_sent_by_or_method_is_another_transaction(self, other: bytes) -> None:
        world = World()
        first = world.asked(PHONE, OPTIONS)
        assert world.asked(PHONE, other) is not first
        assert len(world.layer) == 2

    def test_host_and_cookie_in_other_capitals_are_the_same(self) -> None:
        one = request(b"OPTIONS", sent_by=b"PBX.example.com", branch=b"z9hG4bKx")
        assert key(one) == key(request(b"OPTIONS", sent_by=b"pbx.EXAMPLE.com", branch=b"z9hG4bKx"))
        assert key(request(b"OPTIONS", branch=b"Z9HG4BKx"))[0] == b"Z9HG4BKx"

    def test_everything_else_may_differ(self) -> None:
        """The branch decides, not Call-ID or CSeq."""
        world = World()
        world.asked(PHONE, OPTIONS)
        world.receive(PHONE, request(b"OPTIONS", call_id=b"other", cseq=9, from_tag=b"z"))
        assert len(world.layer) == 1

    def test_only_the_topmost_via_counts(self) -> None:
        top = b"SIP/2.0/UDP h;branch=z9hG4bK1"
        assert key(request(b"OPTIONS", via=top + b", SIP/2.0/UDP i;branch=z9hG4bK2")) == key(
            request(b"OPTIONS", via=top)
        )

    def test_unreadable_via_is_an_error_and_leaves_nothing(self) -> None:
        world = World()
        for via in (b"nonsense", b"SIP/2.0/UDP h;;,;,,", b'SIP/2.0/UDP h;x="'):
            with pytest.raises(WireError):
                world.receive(PHONE, request(b"INVITE", via=via))
            with pytest.raises(WireError):
                world.receive(PHONE, answer(200).replace(b"SIP/2.0/UDP 192.0.2.1:5060", via))
        world.assert_empty()
        assert world.told == []

    @pytest.mark.parametrize("method", [b"INVITE", b"OPTIONS", b"BYE"])
    @pytest.mark.parametrize("line", [b"From: ", b"To: "])
    @pytest.mark.parametrize("value", [b'"<sip:a>;tag=1', b"<sip:a;tag=1", b"sip:a, b;tag=1"])
    def test_unreadable_address_is_an_error_and_leaves_nothing(self, method: bytes, line: bytes, value: bytes) -> None:
        """Once the transaction was kept, and its INVITE was absorbed for ever."""
        world = World()
        lines = request(method).split(b"\r\n")
        data = b"\r\n".join(line + value if one.startswith(line) else one for one in lines)
        for _ in range(2):
            with pytest.raises(WireError):
                world.receive(PHONE, data)
        world.assert_empty()
        assert world.told == []


class TestRfc2543:
    """§17.2.3: without a magic cookie, everything its rules compare makes up the key."""

    OLD = b"SIP/2.0/UDP 192.0.2.10:5060"

    @pytest.mark.parametrize("via", [OLD, OLD + b";branch=1", OLD + b";branch=z9hG4bK", OLD + b";branch=Z9hG4bK"])
    def test_request_without_a_branch_of_ours_is_found_again(self, via: bytes) -> None:
        world = World()
        tx = world.asked(PHONE, request(b"INVITE", via=via))
        world.respond(tx, 486)
        world.receive(PHONE, request(b"INVITE", via=via))
        assert len(world.sent) == 2
        world.receive(PHONE, request(b"ACK", via=via, to_tag=b"us"))
        assert tx.state is invite_server.CONFIRMED
        world.after(5.1)
        world.assert_empty()

    @pytest.mark.parametrize("via", [OLD, OLD + b";branch=z9hG4bK"])
    @pytest.mark.parametrize(
        "other", [{"call_id": b"other"}, {"cseq": 2}, {"from_tag": b"other"}, {"from_tag": b""}, {"uri": b"sip:other"}]
    )
    def test_another_request_without_a_branch_is_another_transaction(self, via: bytes, other: dict[str, bytes]) -> None:
        """An empty branch (RFC 4475 §3.2.1) must not make all requests of a peer one."""
        assert key(request(b"OPTIONS", via=via)) != key(request(b"OPTIONS", via=via, **other))  # type: ignore[arg-type]
        assert key(request(b"OPTIONS", via=via)) != key(request(b"OPTIONS", via=via + b";x"))

    def test_ack_has_one_via_where_its_invite_had_more_on_the_line(self) -> None:
        more = self.OLD + b" ,SIP/2.0/UDP phone"
        assert key(request(b"ACK", via=self.OLD)) == key(request(b"INVITE", via=more))

    def test_cancel_finds_its_invite(self) -> None:
        world = World()
        tx = world.asked(PHONE, request(b"INVITE", via=self.OLD))
        cancel = world.asked(PHONE, request(b"CANCEL", via=self.OLD))
        assert cancel.request is not None
        assert world.layer.cancelled_by(cancel.request) is tx

    def test_ack_to_a_2xx_belongs_to_the_invite(self) -> None:
        world = World()
        tx = world.asked(PHONE, request(b"INVITE", via=self.OLD))
        world.respond(tx, 200)
        world.receive(PHONE, request(b"ACK", via=self.OLD, to_tag=b"us"))
        assert world.told[-1][1:3] == (tx, Input.ACK)

    def test_nobody_can_write_such_a_key(self) -> None:
        assert b"\n" in key(request(b"OPTIONS", via=self.OLD))[0]


class TestAck:
    def test_ack_that_belongs_to_nothing_is_raised_without_transaction(self) -> None:
        world = World()
        world.receive(PHONE, request(b"ACK", to_tag=b"us"))
        (raised,) = world.told
        assert raised[1:3] == (None, Input.ACK)
        assert raised[3] is not None
        world.assert_empty()

    def test_ack_of_another_peer_with_the_same_branch_acknowledges_nothing(self) -> None:
        world = World()
        tx = world.asked(PHONE, INVITE)
        world.respond(tx, 486)
        world.receive(PHONE, request(b"ACK", to_tag=b"us", sent_by=b"192.0.2.66"))
        assert tx.state is invite_server.COMPLETED


class TestCancel:
    """§9.2."""

    def test_cancel_finds_its_invite_and_has_a_transaction_of_its_own(self) -> None:
        world = World()
        invite = world.asked(PHONE, INVITE)
        cancel = world.asked(PHONE, CANCEL)
        assert cancel is not invite
        assert cancel.request is not None
        assert world.layer.cancelled_by(cancel.request) is invite
        world.respond(cancel, 200)
        world.respond(invite, 487)
        world.receive(PHONE, request(b"ACK", to_tag=b"us"))
        world.after(40)
        world.assert_empty()

    @pytest.mark.parametrize(
        "cancel",
        [request(b"CANCEL", branch=b"z9hG4bKother"), request(b"CANCEL", sent_by=b"192.0.2.66:5060")],
    )
    def test_cancel_of_nothing_finds_nothing(self, cancel: bytes) -> None:
        world = World()
        world.asked(PHONE, INVITE)
        assert world.layer.cancelled_by(Message(cancel)) is None

    def test_cancel_finds_an_invite_that_was_answered(self) -> None:
        world = World()
        invite = world.asked(PHONE, INVITE)
        world.respond(invite, 200)
        assert world.layer.cancelled_by(Message(CANCEL)) is invite
        world.after(33)
        assert world.layer.cancelled_by(Message(CANCEL)) is None

    def test_cancel_finds_no_request_but_invite(self) -> None:
        world = World()
        world.asked(PHONE, OPTIONS)
        assert world.layer.cancelled_by(Message(CANCEL)) is None


class TestMerged:
    """§8.2.2.2: the same request, by two ways."""

    def test_invite_that_comes_by_another_way_is_no_second_first(self) -> None:
        world = World()
        first = world.asked(PHONE, INVITE)
        second = world.asked(PHONE, request(b"INVITE", branch=b"z9hG4bKfork"))
        assert world.layer.merged == {(b"call", b"phone", 1): first.key}
        assert first.merge_key == (b"call", b"phone", 1)
        assert second.merge_key is None

    def test_end_of_the_second_does_not_forget_the_first(self) -> None:
        world = World()
        first = world.asked(PHONE, INVITE)
        second = world.asked(PHONE, request(b"INVITE", branch=b"z9hG4bKfork"))
        world.respond(second, 482)
        world.receive(PHONE, request(b"ACK", branch=b"z9hG4bKfork", to_tag=b"us"))
        world.after(6)
        assert list(world.layer.merged.values()) == [first.key]
        world.respond(first, 486)
        world.after(40)
        world.assert_empty()

    @pytest.mark.parametrize(
        "other",
        [
            request(b"INVITE", branch=b"z9hG4bK2", call_id=b"other"),
            request(b"INVITE", branch=b"z9hG4bK2", cseq=2),
            request(b"INVITE", branch=b"z9hG4bK2", from_tag=b"other"),
        ],
    )
    def test_another_request_is_not_merged(self, other: bytes) -> None:
        world = World()
        world.asked(PHONE, INVITE)
        assert world.asked(PHONE, other).merge_key is not None
        assert len(world.layer.merged) == 2

    @pytest.mark.parametrize(
        "data", [OPTIONS, request(b"INVITE", to_tag=b"us"), request(b"BYE", to_tag=b"us"), request(b"CANCEL")]
    )
    def test_only_invites_outside_dialogs_are_remembered(self, data: bytes) -> None:
        world = World()
        world.asked(PHONE, data)
        assert world.layer.merged == {}


class TestStray:
    @pytest.mark.parametrize(
        ("status", "what"),
        [(100, Input.PROVISIONAL), (183, Input.PROVISIONAL), (200, Input.SUCCESS), (503, Input.FAILURE)],
    )
    def test_answer_that_matches_nothing_is_raised_without_transaction(self, status: int, what: Input) -> None:
        world = World()
        world.answered(status)
        (raised,) = world.told
        assert raised[1:3] == (None, what)
        assert raised[3] is not None
        assert raised[3].status == status
        world.assert_empty()

    def test_answer_without_branch_matches_nothing(self) -> None:
        world = World()
        world.call()
        world.receive(PHONE, answer(200).replace(b";branch=" + BRANCH, b""))
        assert world.told[-1][1] is None

    def test_answer_is_found_by_branch_and_method_whatever_its_capitals_and_way(self) -> None:
        """The answer may come from another address than the request went to."""
        world = World()
        tx = world.call()
        world.receive(Flow("udp", "203.0.113.99", 9, US), answer(180).replace(b";branch=", b";BRANCH="))
        assert world.told[-1][1:3] == (tx, Input.PROVISIONAL)


class TestWhereAnswersGo:
    """§18.2.2, RFC 3581 §4."""

    @pytest.mark.parametrize(
        ("via", "port"),
        [
            (b"SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1", 5060),
            (b"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1", 5060),
            (b"SIP/2.0/UDP 10.0.0.1:5080;branch=z9hG4bK1", 5080),
            (b"SIP/2.0/UDP pbx.example.com:5080;branch=z9hG4bK1;rport", 40000),
            (b"SIP/2.0/UDP pbx.example.com:5080;branch=z9hG4bK1;RPORT=1", 40000),
            (b"SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1;received=6.6.6.6;maddr=6.6.6.6", 5060),
        ],
    )
    def test_udp_answers_go_to_the_source_address(self, via: bytes, port: int) -> None:
        source = Flow("udp", "192.0.2.10", 40000, US, "192.0.2.1")
        assert reply_to(source, Message(request(b"OPTIONS", via=via))) == Flow(
            "udp", "192.0.2.10", port, US, "192.0.2.1"
        )

    def test_stream_answers_go_back_over_their_connection(self) -> None:
        assert (
            reply_to(STREAM, Message(request(b"OPTIONS", via=b"SIP/2.0/TCP 10.0.0.1:5080;branch=z9hG4bK1"))) is STREAM
        )

    def test_prepared_lines_carry_what_was_seen(self) -> None:
        world = World()
        source = Flow("udp", "2001:db8::10", 40000, US)
        tx = world.asked(source, request(b"OPTIONS", via=b"SIP/2.0/UDP pbx;rport;branch=z9hG4bK1"))
        assert tx.lines.startswith(b"Via: SIP/2.0/UDP pbx;branch=z9hG4bK1;rport=40000;received=2001:db8::10\r\nFrom: ")


class TestLost:
    def test_all_that_wait_there_are_told_and_nobody_else(self) -> None:
        world = World()
        one = world.call(branch=b"z9hG4bK1")
        two = world.call(b"OPTIONS", branch=b"z9hG4bK2")
        stream = world.call(to=TCP_TRUNK, branch=b"z9hG4bK3")
        elsewhere = world.call(to=Target("udp", "198.51.100.7", 5062, US), branch=b"z9hG4bK4")
        settled = world.call(branch=b"z9hG4bK5")
        world.answered(200, branch=b"z9hG4bK5")
        world.told.clear()
        world.lost(TRUNK, "refused")
        assert {raised[1] for raised in world.told} == {one, two}
        assert world.inputs() == [Input.LOST, Input.LOST]
        assert (one.reason, two.reason, stream.reason, elsewhere.reason, settled.reason) == ("refused",) * 2 + ("",) * 3
        assert len(world.layer) == 3
        world.lost(TCP_TRUNK, "reset")
        assert world.told[-1][1:3] == (stream, Input.LOST)

    def test_loss_where_nobody_waits_means_nothing(self) -> None:
        world = World()
        world.lost(TRUNK)
        world.lost(STREAM)
        assert world.told == []
        world.assert_empty()

    def test_ringing_invite_over_udp_goes_on_and_its_user_is_told(self) -> None:
        """What was refused was another message: an answer came from there."""
        world = World()
        tx = world.call()
        world.answered(180)
        world.lost(TRUNK, "port closed")
        assert world.told[-1][1:3] == (tx, Input.LOST)
        assert tx.reason == "port closed"
        world.answered(200)
        assert world.told[-1][1:3] == (tx, Input.SUCCESS)
        world.after(33)
        world.assert_empty()

    def test_ringing_invite_goes_on_when_its_connection_is_gone(self) -> None:
        """§18.2.2: the answer comes over another one."""
        world = World()
        tx = world.call(to=TCP_TRUNK)
        world.answered(180)
        world.lost(Flow("tcp", "198.51.100.7", 5060, US, connection=3), "reset")
        assert world.told[-1][1:3] == (tx, Input.LOST)
        world.answered(486)
        assert world.inputs() == [Input.PROVISIONAL, Input.LOST, Input.FAILURE]
        world.after(40.0)
        world.assert_empty()

    def test_cancelled_invite_whose_connection_is_gone_ends_in_its_time(self) -> None:
        world = World()
        world.call(to=TCP_TRUNK)
        world.answered(180)
        world.cancel()
        world.lost(TCP_TRUNK)
        world.after(33.0)
        assert world.inputs() == [Input.PROVISIONAL, Input.LOST, Input.LOST, Input.TIMER_B]
        world.assert_empty()

    @pytest.mark.parametrize(
        ("transport", "via", "port"),
        [
            ("tcp", b"SIP/2.0/TCP 192.0.2.10:5080;branch=z9hG4bK1", 5080),
            ("tcp", b"SIP/2.0/TCP pbx;branch=z9hG4bK1", 5060),
            ("tls", b"SIP/2.0/TLS pbx;branch=z9hG4bK1", 5061),
        ],
    )
    @pytest.mark.parametrize("status", [180, 200, 486])
    def test_answer_is_sent_again_where_its_via_points(
        self, transport: str, via: bytes, port: int, status: int
    ) -> None:
        """§18.2.2: to the address it came from, at the port of sent-by or the transport's own."""
        world = World()
        flow = Flow(transport, "192.0.2.10", 49152, US, "192.0.2.1", connection=7)
        tx = world.asked(flow, request(b"INVITE", via=via))
        world.respond(tx, status)
        world.lost(flow, "reset")
        moved = Target(transport, "192.0.2.10", port, US, "192.0.2.1")
        assert [(to, data[:11]) for _, to, data in world.sent] == [
            (flow, b"SIP/2.0 %d" % status),
            (moved, b"SIP/2.0 %d" % status),
        ]
        world.lost(flow, "reset")
        world.lost(moved, "refused")
        assert len(world.sent) == 2, "and then no more"

    def test_later_answers_follow(self) -> None:
        world = World()
        tx = world.asked(STREAM, request(b"INVITE", transport="tcp"))
        world.lost(STREAM)
        assert world.sent == []
        world.respond(tx, 486)
        assert world.sent[0][1] == Target("tcp", "192.0.2.10", 5060, US)

    def test_answer_that_was_acknowledged_is_not_sent_again(self) -> None:
        world = World()
        tx = world.asked(STREAM, request(b"INVITE", transport="tcp"))
        world.respond(tx, 486)
        world.receive(STREAM, request(b"ACK", transport="tcp", to_tag=b"us"))
        world.lost(STREAM)
        assert len(world.sent) == 1

    def test_answers_over_other_connections_stay_where_they_are(self) -> None:
        world = World()
        tx = world.asked(STREAM, request(b"INVITE", transport="tcp"))
        world.respond(tx, 180)
        world.lost(Flow("tcp", "192.0.2.10", 49152, US, connection=8))
        world.lost(Target("tcp", "192.0.2.10", 49152, US))
        assert (tx.to, len(world.sent)) == (STREAM, 1)


def test_hundred_calls_of_all_kinds_leave_nothing() -> None:
    world = World()
    for index in range(100):
        branch = b"z9hG4bK%d" % index
        invite = request(b"INVITE", branch=branch, call_id=branch)
        kind = index % 10
        world.call(branch=branch, to=TCP_TRUNK if index % 3 == 0 else TRUNK)
        served = world.asked(STREAM if index % 2 else PHONE, invite)
        if kind in (1, 2, 3):
            world.answered(180, branch=branch)
            world.respond(served, 180)
        if kind in (2, 4):
            world.cancel(branch)
            world.receive(PHONE, request(b"CANCEL", branch=branch, call_id=branch))
            cancel = world.told[-1][1]
            assert cancel is not None
            world.respond(cancel, 200)
        if kind in (3, 5):
            world.answered(200, branch=branch)
            world.respond(served, 200)
        elif kind == 6:
            world.answered(503, branch=branch)
        elif kind == 7:
            world.lost(TRUNK)
        world.respond(served, 486)
        world.after(0.3)
    assert len(world.layer) > 100
    world.lost(STREAM)
    world.after(1)
    for tx in list(world.layer.clients.values()):  # what only the user's timer C ends
        world.cancel(tx.key[0])
    world.after(200)
    world.assert_empty()
    assert len(world.layer.repeats_in) + len(world.layer.repeats_out) <= 4


def test_a_copy_of_an_invite_that_an_earlier_process_answered_is_absorbed() -> None:
    world = World()
    tx = world.layer.answered(key(INVITE), (b"call", b"phone", 1), PHONE, b"SIP/2.0 200 OK\r\n\r\n", 0.0, 20.0)
    world.receive(PHONE, INVITE)
    world.receive(PHONE, request(b"INVITE", branch=b"z9hG4bKmerged"))
    assert [(what, given is tx) for _, given, what, _ in world.told] == [(Input.REQUEST, False)]
    merged = world.told[0][1]
    assert merged is not None
    assert merged.merge_key is None  # it is known as the same call, on another way: 482 (§8.2.2.2)
    assert world.sent == []
    world.layer.respond(tx, 200, tx.data, 0.0)
    world.collect()
    assert world.times(b"SIP/2.0 200") == [0.0]
    world.respond(merged, 482)
    world.after(80.0)
    world.assert_empty()
