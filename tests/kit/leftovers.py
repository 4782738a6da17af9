"""What an engine must not keep once every call is over, as sentences; an empty list is a clean engine.

The looking is the simulator's: `sipfailover simulate` does it too.
"""

from sipfailover.simulator.leftovers import leftovers as leftovers
from sipfailover.simulator.leftovers import stopped_clocks as stopped_clocks
