"""An office with one PBX and two carriers, all known by address: the stage for the conversations of this folder."""

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.proxy import Engine
from tests.kit import Playbook, flow, resolved, target

PHONE = flow("phone", "192.0.2.10")
MAIN = flow("main", "198.51.100.1")
BACKUP = flow("backup", "203.0.113.1")

SETTINGS = """
pbx: 192.0.2.10:5060
listen: [udp 192.0.2.1:5060, tcp 192.0.2.1:5060]
trunks:
  - {name: main,   host: 198.51.100.1, port: 5060, register: no}
  - {name: backup, host: 203.0.113.1,  port: 5060, register: no}
monitor: {options_every: 1h, timeout: 32s, down_after: 100}
"""


def play(settings: str = SETTINGS, engine: Engine | None = None) -> Playbook:
    """A playbook in which every line is found. `engine`: one that was made before."""
    book = Playbook(engine or Engine(parse(settings), Chance(1), 0.0))
    for name, peer in (("pbx", PHONE), ("main", MAIN), ("backup", BACKUP)):
        assert book >> resolved(name, target(peer))
    return book
