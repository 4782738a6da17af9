"""All sockets of SIP, and the names of peers: the only asyncio for SIP.

`Pool` listens, receives and sends. `Resolver` turns configured names into targets in the background.
"""

from sipfailover.transport.bounds import Bounds as Bounds
from sipfailover.transport.bounds import Counters as Counters
from sipfailover.transport.expiry import Expiry as Expiry
from sipfailover.transport.pool import Pool as Pool
from sipfailover.transport.resolve import Peer as Peer
from sipfailover.transport.resolve import Resolver as Resolver
from sipfailover.transport.resolve import peers_of as peers_of
from sipfailover.transport.tls import Held as Held
from sipfailover.transport.tls import Tls as Tls
