"""The transaction layer: finds or makes the transaction of a message (RFC 3261 §17.1.3, §17.2.3), and drives them.

What users must know is appended to `raised` as (transaction, input, message), what must leave to `out`. A response that
fits no transaction, and an ACK to a 2xx, come with None for the transaction.
"""

from typing import Protocol

from sipfailover.chance import MAGIC_COOKIE
from sipfailover.flow import Flow, PeerKey, Send, Target
from sipfailover.transaction import invite_client, invite_server, other_client, other_server
from sipfailover.transaction.machine import RESPONSES, SENDING, Input, Transaction, count, step
from sipfailover.transaction.timers import LIFE, T1, TimerQueue
from sipfailover.wire import Message, compose

Key = tuple[bytes, bytes, bytes]
Raised = tuple[Transaction | None, Input, Message | None]

INVITE = b"INVITE"
ACK = b"ACK"
CANCEL = b"CANCEL"


class Outbox(Protocol):
    """Where transactions put what must leave: a list that may hold other things too."""

    def append(self, command: Send, /) -> None: ...


class Layer:
    """All transactions of one engine. `now`: seconds, monotonic. On the path."""

    __slots__ = ("clients", "merged", "out", "raised", "repeats_in", "repeats_out", "servers", "timers", "waiting")

    def __init__(self, timers: TimerQueue, out: Outbox) -> None:
        self.timers = timers
        self.out = out
        """What must leave, in order. Shared with the engine."""
        self.raised: list[Raised] = []
        """What users have to know, in order; they take it out."""
        self.clients: dict[Key, Transaction] = {}
        self.servers: dict[Key, Transaction] = {}
        self.waiting: dict[PeerKey, dict[Key, Transaction]] = {}
        """Peer → the requests that wait there for a final answer."""
        self.merged: dict[tuple[bytes, bytes, int], Key] = {}
        """(Call-ID, From tag, CSeq) of INVITEs outside dialogs → their transaction: §8.2.2.2."""
        self.repeats_in: dict[bytes, int] = {}
        """Method → requests that came again, since the start. See `machine.count`."""
        self.repeats_out: dict[bytes, int] = {}
        """Method → messages that we sent again, since the start. See `machine.count`."""

    def __len__(self) -> int:
        return len(self.clients) + len(self.servers)

    # -- messages in --------------------------------------------------------------------------------------------------

    def receive(self, flow: Flow, message: Message, now: float) -> None:
        """Take one message. Raises WireError for a Via or address that cannot be read."""
        if message.status:
            self._response(message, now)
            return
        key = server_key(message)
        method = message.method
        tx = self.servers.get(key)
        if method == ACK:
            if tx is None or (tx.state is invite_server.ACCEPTED and message.to_tag and key[0][:7] == MAGIC_COOKIE):
                self.raised.append((None, Input.ACK, message))
            else:
                step(tx, Input.ACK, message, now)
        elif tx is not None:
            count(self.repeats_in, method)
            step(tx, Input.REQUEST, message, now)
        else:
            self._new_request(key, flow, message)

    def _response(self, message: Message, now: float) -> None:
        tx = self.clients.get((message.via.branch, b"", message.cseq_method))
        if tx is None or not step(tx, RESPONSES[message.status // 100], message, now):
            stray = tx is None or (tx.state is invite_client.COMPLETED and message.status // 100 == 2)
            if stray:
                self.raised.append((None, RESPONSES[message.status // 100], message))

    def _new_request(self, key: Key, flow: Flow, message: Message) -> None:
        invite = message.method == INVITE
        merge_key = (message.call_id, message.from_tag, message.cseq)
        outside = not message.to_tag  # read before anything is kept: either tag can be unreadable
        tx = Transaction(
            self,
            invite_server.TABLE if invite else other_server.TABLE,
            invite_server.PROCEEDING if invite else other_server.TRYING,
            key,
            reply_to(flow, message),
            T1,
        )
        tx.request = message
        tx.lines = compose.reply_lines(message, flow.host.encode(), flow.port)
        self.servers[key] = tx
        if invite and outside and merge_key not in self.merged:
            self.merged[merge_key] = key
            tx.merge_key = merge_key
        self.raised.append((tx, Input.REQUEST, message))

    # -- wishes of users ----------------------------------------------------------------------------------------------

    def respond(self, tx: Transaction, status: int, data: bytes, now: float) -> None:
        """Answer a request. What comes after a final answer is swallowed, as the tables say."""
        what = SENDING[status // 100]
        if (tx.state, what) in tx.table:
            tx.data = data
            step(tx, what, None, now)

    def answered(
        self, key: Key, merge_key: tuple[bytes, bytes, int], to: Target, data: bytes, now: float, left: float
    ) -> Transaction:
        """An INVITE that an earlier process has answered with this 2xx: copies of it are no new calls (RFC 6026 §7.1).
        `left`: seconds that are left of timer L."""
        tx = Transaction(self, invite_server.TABLE, invite_server.ACCEPTED, key, to, T1)
        tx.data = data
        self.servers[key] = tx
        self.merged[merge_key] = key
        tx.merge_key = merge_key
        tx.end = self.timers.start(left, now, Input.TIMER_L, tx)
        return tx

    def refused(self, key: Key, to: Target, data: bytes, now: float) -> Transaction:
        """Answer an INVITE that an earlier process was given with this failure, until its ACK comes."""
        tx = Transaction(self, invite_server.TABLE, invite_server.PROCEEDING, key, to, T1)
        self.servers[key] = tx
        tx.data = data
        step(tx, Input.SEND_FAILURE, None, now)
        return tx

    def pending(self, key: Key, to: Target, request: Message, lines: bytes) -> Transaction:
        """An INVITE that an earlier process was given and has not answered. `lines`: those that answers begin with."""
        tx = Transaction(self, invite_server.TABLE, invite_server.PROCEEDING, key, to, T1)
        tx.request, tx.lines = request, lines
        self.servers[key] = tx
        return tx

    def waits_for_ack(self, key: Key) -> bool:
        """Whether this INVITE was answered with a failure that is not acknowledged."""
        tx = self.servers.get(key)
        return tx is not None and tx.state is invite_server.COMPLETED and tx.table is invite_server.TABLE

    def arrived(self, tx: Transaction) -> None:
        """The 2xx to this INVITE has its ACK. What is left only absorbs what comes again (RFC 6026 §7.1), for 64*T1 of
        every call: it needs neither the request nor the answer, which are most of its memory."""
        tx.data = tx.lines = b""
        tx.request = tx.user = None

    def request(
        self, branch: bytes, method: bytes, data: bytes, to: Target, user: object, now: float,
        *, t1: float = T1, life: float = LIFE,
    ) -> Transaction:  # fmt: skip
        """Send a request and keep at it. `branch` is the one in its topmost Via; `t1` and `life` (timers B and F) are
        seconds."""
        invite = method == INVITE
        tx = Transaction(
            self,
            invite_client.TABLE if invite else other_client.TABLE,
            invite_client.CALLING if invite else other_client.TRYING,
            (branch, b"", method),
            to,
            t1,
        )
        tx.data = data
        tx.user = user
        tx.sends = 1
        self.clients[tx.key] = tx
        peer = to.peer
        waiting = self.waiting.get(peer)
        if waiting is None:
            waiting = self.waiting[peer] = {}
        waiting[tx.key] = tx
        self.out.append(Send(to, data))
        if not to.reliable:
            tx.again = self.timers.start(t1, now, Input.TIMER_A if invite else Input.TIMER_E, tx)
        tx.end = self.timers.start(life, now, Input.TIMER_B if invite else Input.TIMER_F, tx)
        return tx

    def cancel(self, branch: bytes, now: float, reason: bytes = b"") -> None:
        """The INVITE with this branch is not wanted any more (§9.1). Nothing happens if it is over.

        `reason`: a Reason value for the CANCEL (RFC 3326), b"" for none.
        """
        tx = self.clients.get((branch, b"", INVITE))
        if tx is not None and not tx.cancelled:
            tx.lines = reason
            step(tx, Input.CANCEL, None, now)

    def start_cancel(self, invite: Transaction, now: float) -> None:
        """Send the CANCEL of an INVITE; a transaction of its own, whose answer interests nobody."""
        branch = invite.key[0]
        if (branch, b"", CANCEL) not in self.clients:
            data = compose.cancel(Message(invite.data), invite.lines)
            self.request(branch, CANCEL, data, invite.to, None, now)

    def cancelled_by(self, cancel: Message) -> Transaction | None:
        """The INVITE transaction that a CANCEL means (§9.2), None if there is none."""
        branch, sent_by, _ = server_key(cancel)
        return self.servers.get((branch, sent_by, INVITE))

    def is_repeat(self, request: Message, host: str) -> bool:
        """Whether a request came before from this address, and its transaction still answers it. Who repeats what
        another one said would only make us send to that one."""
        tx = self.servers.get(server_key(request))
        return tx is not None and tx.to.host == host

    # -- time and transport -------------------------------------------------------------------------------------------

    def ring(self, tx: Transaction, timer: Input, now: float) -> None:
        """A timer of this transaction is due."""
        if timer in (Input.TIMER_A, Input.TIMER_E, Input.TIMER_G):
            tx.again = None
        else:
            tx.end = None
        step(tx, timer, None, now)

    def lost(self, where: Target, reason: str, now: float) -> None:
        """What was sent to this peer did not arrive, or its connection is gone.

        Every request that waits there is told so. An INVITE that has a provisional answer goes on: what was refused was
        another message, and over a stream the peer answers on a new connection (§18.2.2); its user is told once, and
        may think otherwise. An answer that should have gone over a broken connection is sent again to where its Via
        points (§18.2.2), unless its ACK has come.
        """
        for tx in list(self.waiting.get(where.peer, {}).values()):
            tx.reason = reason
            step(tx, Input.LOST, None, now)
        if isinstance(where, Flow) and where.reliable:
            number = where.connection
            for tx in self.servers.values():
                if tx.request is not None and type(tx.to) is Flow and tx.to.connection == number:
                    self._move(tx, where)

    def _move(self, tx: Transaction, broken: Flow) -> None:
        assert tx.request is not None
        port = tx.request.via.port or broken.default_port
        tx.to = Target(broken.transport, broken.host, port, broken.sent_by, broken.local, line=broken.line)
        if tx.data and tx.state is not invite_server.CONFIRMED:
            self.out.append(Send(tx.to, tx.data))

    def forget(self, tx: Transaction) -> None:
        """It is over."""
        if self.clients.get(tx.key) is tx:
            del self.clients[tx.key]
        elif self.servers.get(tx.key) is tx:
            del self.servers[tx.key]
            if tx.merge_key is not None:
                self.merged.pop(tx.merge_key, None)


def server_key(message: Message) -> Key:
    """§17.2.3: branch, sent-by and method, ACK and CANCEL under the method they are about (ACK) or their own.

    A branch without the magic cookie, or with nothing behind it (RFC 4475 §3.2.1), comes from RFC 2543: then everything
    that its rules compare makes up the key.
    """
    via = message.via
    branch = via.branch
    method = INVITE if message.method == ACK else message.method
    if len(branch) > 7 and (branch[:7] == MAGIC_COOKIE or branch[:7].lower() == b"z9hg4bk"):
        return (branch, via.sent_by, method)
    old = b"\n".join((message.uri, message.call_id, b"%d" % message.cseq, message.from_tag, via.to_bytes()))
    return (b"2543\n" + old, b"", method)


def reply_to(flow: Flow, request: Message) -> Flow:
    """Where answers to a request go: back over its stream, or by UDP to the address it came from, at the port that its
    Via says, or that it came from where it asked for that (§18.2.2, RFC 3581 §4)."""
    if flow.reliable:
        return flow
    via = request.via
    if via.rport is not None:
        return flow
    port = via.port or 5060
    return flow if port == flow.port else flow.at(flow.host, port)
