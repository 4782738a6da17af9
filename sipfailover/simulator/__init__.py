"""Simulated offices, carriers and networks: for tests in virtual time, and behind real sockets for the demo.

`Phone` and `Carrier` are SIP user agents written apart from the rest of the project, so that they can disagree with it.
`World` joins them with the production engine over a `Network` of any quality: one seed, one run, byte for byte.
`Rules` look on and say what must hold in every world.

`Scenario` is what an office and its carriers live through, written by people (`kinds` names the ways to fail);
`Rehearsal` lives through it with a configuration, `result` says what it means for people, `page` and `tell` show it.
"""

from sipfailover.simulator.carrier import Carrier as Carrier
from sipfailover.simulator.carrier import Mode as Mode
from sipfailover.simulator.figures import Figures as Figures
from sipfailover.simulator.figures import Result as Result
from sipfailover.simulator.figures import as_json as as_json
from sipfailover.simulator.figures import result as result
from sipfailover.simulator.leftovers import leftovers as leftovers
from sipfailover.simulator.leftovers import stopped_clocks as stopped_clocks
from sipfailover.simulator.leg import Leg as Leg
from sipfailover.simulator.leg import Manners as Manners
from sipfailover.simulator.leg import Packet as Packet
from sipfailover.simulator.network import Network as Network
from sipfailover.simulator.network import Weather as Weather
from sipfailover.simulator.page import page as page
from sipfailover.simulator.phone import Phone as Phone
from sipfailover.simulator.rehearsal import Rehearsal as Rehearsal
from sipfailover.simulator.rules import MARK as MARK
from sipfailover.simulator.rules import Rules as Rules
from sipfailover.simulator.scenario import Scenario as Scenario
from sipfailover.simulator.scenario import load_scenario as load_scenario
from sipfailover.simulator.useragent import UserAgent as UserAgent
from sipfailover.simulator.world import World as World
