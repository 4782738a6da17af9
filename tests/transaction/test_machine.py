"""The four tables, walked: every state with every input that belongs to its machine, and with every timer that can run.

The rule: a message, wish or loss belongs to a machine if its table or its `IGNORED` names it for any state; then one of
the two has it for every state but TERMINATED, and never both. A timer belongs to the states in which it can run, which
the walk finds out; there the table has a row for it.
"""

from dataclasses import dataclass
from enum import IntEnum

import pytest

from sipfailover.flow import Target
from sipfailover.transaction import Input, Transaction, invite_client, invite_server, other_client, other_server
from sipfailover.transaction.machine import MAX_METHODS, RESPONSES, SENDING, Table, count, drop, step
from sipfailover.wire import Message
from tests.transaction.world import PHONE, STREAM, TCP_TRUNK, TRUNK, World, answer, request

Pair = tuple[IntEnum, Input]
TIMERS = frozenset(what for what in Input if what.name.startswith("TIMER_"))


@dataclass(frozen=True)
class Machine:
    """One table, and how to come by a transaction of it."""

    name: str
    states: type[IntEnum]
    table: Table
    ignored: dict[Pair, str]
    method: bytes
    client: bool

    @property
    def inputs(self) -> set[Input]:
        """What belongs to it, without timers."""
        return {Input(what) for _, what in [*self.table, *self.ignored]} - TIMERS

    @property
    def terminated(self) -> IntEnum:
        return self.states["TERMINATED"]

    def start(self, world: World, reliable: bool) -> Transaction:
        if self.client:
            return world.call(self.method, to=TCP_TRUNK if reliable else TRUNK)
        transport = "tcp" if reliable else "udp"
        return world.asked(STREAM if reliable else PHONE, request(self.method, transport=transport))


MACHINES = [
    Machine("invite client", invite_client.State, invite_client.TABLE, invite_client.IGNORED, b"INVITE", True),  # type: ignore[arg-type]
    Machine("other client", other_client.State, other_client.TABLE, other_client.IGNORED, b"OPTIONS", True),  # type: ignore[arg-type]
    Machine("invite server", invite_server.State, invite_server.TABLE, invite_server.IGNORED, b"INVITE", False),  # type: ignore[arg-type]
    Machine("other server", other_server.State, other_server.TABLE, other_server.IGNORED, b"OPTIONS", False),  # type: ignore[arg-type]
]
each = pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)

ANSWERS = {Input.PROVISIONAL: 180, Input.SUCCESS: 200, Input.FAILURE: 486}


def feed(machine: Machine, tx: Transaction, what: Input, now: float) -> bool:
    """Give it one input the way the layer would; True if its table had a row."""
    message = None
    if what in ANSWERS:
        message = Message(answer(ANSWERS[what], machine.method))
    elif what in (Input.REQUEST, Input.ACK):
        message = tx.request
    elif what in (Input.SEND_PROVISIONAL, Input.SEND_SUCCESS, Input.SEND_FAILURE) and (tx.state, what) in tx.table:
        tx.data = b"SIP/2.0 answer"
    return step(tx, what, message, now)


def running(tx: Transaction) -> set[Input]:
    return {Input(timer.name) for timer in (tx.again, tx.end) if timer is not None and timer.owner is not None}


def walk(machine: Machine, reliable: bool) -> tuple[set[Pair], set[IntEnum]]:
    """Every path to every distinct situation, each from the beginning; gives the pairs met and the states reached."""
    met: set[Pair] = set()
    seen: set[object] = set()
    states: set[IntEnum] = set()
    paths: list[tuple[Input, ...]] = [()]
    while paths:
        path = paths.pop()
        world = World()
        tx = machine.start(world, reliable)
        for what in path:
            state = tx.state
            if what in TIMERS:
                for timer in (tx.again, tx.end):
                    if timer is not None and timer.name == what:
                        timer.stop()
                world.layer.ring(tx, what, 0.0)
                assert (state, what) in machine.table, f"{what!r} rings in {state!r}, and no row expects it"
            else:
                known = feed(machine, tx, what, 0.0)
                assert known == ((state, what) in machine.table)
                assert known or tx.state is state
            met.add((state, what))
        states.add(tx.state)
        world.layer.raised.clear()
        if tx.state is machine.terminated:
            assert running(tx) == set()
            assert tx not in [*world.layer.clients.values(), *world.layer.servers.values()]
            assert not machine.client or tx.key not in world.layer.waiting.get(tx.to.peer, {})
            continue
        situation = (tx.state, frozenset(running(tx)), tx.cancelled, bool(tx.data))
        if situation in seen:
            continue
        seen.add(situation)
        paths += [(*path, what) for what in sorted(machine.inputs | running(tx))]
    return met, states


@each
def test_every_input_of_a_machine_stands_in_one_of_the_two(machine: Machine) -> None:
    for state in machine.states:
        for what in machine.inputs:
            pair = (state, what)
            if state is machine.terminated:
                assert pair not in machine.table
                assert pair not in machine.ignored
            else:
                assert (pair in machine.table) != (pair in machine.ignored), pair


@each
def test_inputs_of_a_machine_are_those_of_its_side(machine: Machine) -> None:
    client = {Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE, Input.LOST}
    server = {Input.REQUEST, Input.SEND_PROVISIONAL, Input.SEND_SUCCESS, Input.SEND_FAILURE}
    more = {"invite client": {Input.CANCEL}, "invite server": {Input.ACK}}.get(machine.name, set())
    assert machine.inputs == (client if machine.client else server) | more


@each
def test_every_row_and_every_reason_is_met_and_every_state_reached(machine: Machine) -> None:
    unreliable, states = walk(machine, reliable=False)
    reliable, same_states = walk(machine, reliable=True)
    assert states == same_states == set(machine.states)
    assert unreliable | reliable == set(machine.table) | set(machine.ignored)


@each
def test_timers_that_send_again_do_not_run_over_a_stream(machine: Machine) -> None:
    met, _ = walk(machine, reliable=True)
    assert not {what for _, what in met} & {Input.TIMER_A, Input.TIMER_E, Input.TIMER_G}


@each
def test_whoever_terminates_is_dropped_and_nobody_else(machine: Machine) -> None:
    for (state, what), (following, *effects) in machine.table.items():
        assert (drop in effects) == (following is machine.terminated), (state, what)
        assert isinstance(following, machine.states)


@each
def test_every_reason_is_said(machine: Machine) -> None:
    assert all(len(reason) > 5 for reason in machine.ignored.values())


@pytest.mark.parametrize("status", range(100, 700))
def test_class_of_a_status_decides_about_the_input(status: int) -> None:
    kind = 0 if status < 200 else 1 if status < 300 else 2
    assert RESPONSES[status // 100] == (Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE)[kind]
    assert SENDING[status // 100] == (Input.SEND_PROVISIONAL, Input.SEND_SUCCESS, Input.SEND_FAILURE)[kind]


def test_methods_that_somebody_makes_up_are_counted_together() -> None:
    counter: dict[bytes, int] = {}
    for index in range(1000):
        count(counter, b"M%d" % index)
    count(counter, b"M0")
    assert len(counter) == MAX_METHODS + 1
    assert counter[b"M0"] == 2
    assert sum(counter.values()) == 1001


@pytest.mark.parametrize("to", [TRUNK, TCP_TRUNK])
def test_repr_tells_method_state_and_peer(to: Target) -> None:
    text = repr(World().call(to=to))
    assert "INVITE" in text
    assert "CALLING" in text
    assert "198.51.100.7:5060" in text
