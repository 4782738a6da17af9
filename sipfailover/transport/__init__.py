"""All sockets of SIP, and the names of peers: the only asyncio for SIP.

`Pool` listens, receives and sends. `Resolver` turns configured names into targets in the background. `Reacher` asks
whether somebody is there who speaks no SIP.
"""

from sipfailover.transport.bounds import Bounds as Bounds
from sipfailover.transport.bounds import Counters as Counters
from sipfailover.transport.descriptors import bounds_within as bounds_within
from sipfailover.transport.descriptors import raise_limit as raise_limit
from sipfailover.transport.expiry import Expiry as Expiry
from sipfailover.transport.lookup import HOSTS_FILE as HOSTS_FILE
from sipfailover.transport.lookup import Lookup as Lookup
from sipfailover.transport.lookup import Told as Told
from sipfailover.transport.lookup import ask_system as ask_system
from sipfailover.transport.pool import Pool as Pool
from sipfailover.transport.reach import Reacher as Reacher
from sipfailover.transport.resolve import Peer as Peer
from sipfailover.transport.resolve import Resolver as Resolver
from sipfailover.transport.resolve import peers_of as peers_of
from sipfailover.transport.tls import Held as Held
from sipfailover.transport.tls import Tls as Tls
