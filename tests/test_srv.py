"""A carrier behind NAPTR and SRV, with the whole service, a name server and three edges on real sockets."""

import asyncio
from pathlib import Path

from sipfailover.app import App
from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.simulator import Carrier, Mode, Phone
from sipfailover.simulator.peers import Plug, address_of, bound
from sipfailover.transport import Resolver
from tests.test_app import HOST, LOOPS, Factory, free_port, play, rows, until
from tests.transport.nameserver import name_server

SETTINGS = """
pbx: {host: 127.0.0.1, port: %(pbx)d}
listen: udp 127.0.0.1:%(sip)d
trunks:
  - {name: main,   host: sip.carrier.test, register: no}
  - {name: backup, host: 127.0.0.1, port: %(backup)d, register: no}
monitor: {options_every: 1h, timeout: 500ms}
failover: {no_answer_within: 500ms, no_ringing_within: 2s, give_up_after: 10s}
status: {listen: 127.0.0.1:%(page)d}
history: {file: %(history)s}
"""


@LOOPS
def test_of_three_edges_the_first_is_dead_the_second_says_503_and_the_third_takes_the_call(
    factory: Factory, tmp_path: Path
) -> None:
    """One ladder, each attempt recorded with its address, the backup not asked; and DNS may die meanwhile."""
    history = tmp_path / "history.db"
    edges: list[int] = []

    async def story() -> None:
        loop = asyncio.get_running_loop()
        socks = {name: bound() for name in ("pbx", "one", "two", "three", "backup")}
        ports = {name: address_of(sock)[1] for name, sock in socks.items()}
        edges.extend(ports[name] for name in ("one", "two", "three"))
        phone = Phone("office", (HOST, ports["pbx"]), Chance(1), proxy=(HOST, sip := free_port()))
        carriers = {name: Carrier(name, (HOST, ports[name]), Chance(2)) for name in ("one", "two", "three", "backup")}
        plugs = {name: Plug(agent, socks[name], loop) for name, agent in {"pbx": phone, **carriers}.items()}
        values = {**ports, "sip": sip, "page": free_port(), "history": history}
        app = App(parse(SETTINGS % values), loop, "asyncio")
        async with name_server() as (zone, address):
            zone.zone = {
                ("sip.carrier.test", "NAPTR"): ['10 10 "s" "SIP+D2U" "" _sip._udp.edge7.carrier.test.'],
                ("_sip._udp.edge7.carrier.test", "SRV"): [
                    f"{10 * n} 0 {port} host{n}.carrier.test." for n, port in enumerate(edges, 1)
                ],
                **{(f"host{n}.carrier.test", "A"): [HOST] for n in (1, 2, 3)},
            }
            app.resolver = Resolver(
                loop, app._resolved, name_us=app.pool.local_for, chance=Chance(1), nameservers=[address]
            )
            try:
                await app.start()
                addresses = app.engine.core.lines["main"].trunk.addresses
                await until(lambda: [one.answers for one in addresses.known] == [True] * 3, "all edges answer OPTIONS")
                assert [target.port for target in addresses.targets] == edges
                plugs["one"].become(Mode.DEAD)
                plugs["two"].become(Mode.REFUSING)
                zone.silent = {"NAPTR", "SRV", "A", "AAAA"}
                leg = plugs["pbx"].tell(lambda: phone.call("+41443210019"))
                await until(lambda: leg.acked_at, "answered")
                assert [len(carriers[name].legs) for name in ("three", "backup")] == [1, 0]
                assert addresses.current is not None
                assert addresses.current.port == ports["three"]
                again = plugs["pbx"].tell(lambda: phone.call("+41443210020"))
                await until(lambda: again.acked_at, "answered at once by the third")
                plugs["pbx"].tell(lambda: (phone.hang_up(leg), phone.hang_up(again)))
                await until(lambda: all(one.ended_at for one in carriers["three"].legs), "hung up at the carrier")
            finally:
                await app.stop()
                for plug in plugs.values():
                    plug.close()

    play(factory, story)
    one, two, three = (f"udp {HOST}:{port}" for port in edges)
    assert rows(
        history, "SELECT call, number, trunk, outcome, status, verdict, remote FROM attempts ORDER BY 1, 2"
    ) == [
        (1, 1, "main", "unreachable", 0, "next address", one),
        (1, 2, "main", "rejected", 503, "next address", two),
        (1, 3, "main", "answered", 200, "relayed", three),
        (2, 1, "main", "answered", 200, "relayed", three),
    ]
    assert rows(history, "SELECT trunk, after FROM trunk_changes") == []
