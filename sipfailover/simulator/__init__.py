"""Simulated offices, carriers and networks: for tests in virtual time, and behind real sockets for the demo.

`Phone` and `Carrier` are SIP user agents written apart from the rest of the project, so that they can disagree with it.
`World` joins them with the production engine over a `Network` of any quality: one seed, one run, byte for byte.
"""

from sipfailover.simulator.carrier import Carrier as Carrier
from sipfailover.simulator.carrier import Mode as Mode
from sipfailover.simulator.leg import Leg as Leg
from sipfailover.simulator.leg import Manners as Manners
from sipfailover.simulator.leg import Packet as Packet
from sipfailover.simulator.leftovers import leftovers as leftovers
from sipfailover.simulator.leftovers import stopped_clocks as stopped_clocks
from sipfailover.simulator.network import Network as Network
from sipfailover.simulator.network import Weather as Weather
from sipfailover.simulator.phone import Phone as Phone
from sipfailover.simulator.rules import MARK as MARK
from sipfailover.simulator.rules import Rules as Rules
from sipfailover.simulator.useragent import UserAgent as UserAgent
from sipfailover.simulator.world import World as World
