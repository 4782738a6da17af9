"""Carrier profiles: what is known of a carrier, as a start for a trunk; data files beside a small reader.

`profile` reads a file and says what its parts mean, `tell` puts it into words for the terminal and into JSON. The
values become settings in `config.merge`.
"""

from sipfailover.profiles.profile import NEVER as NEVER
from sipfailover.profiles.profile import Applied as Applied
from sipfailover.profiles.profile import FillIn as FillIn
from sipfailover.profiles.profile import Mark as Mark
from sipfailover.profiles.profile import Profile as Profile
from sipfailover.profiles.profile import Setting as Setting
from sipfailover.profiles.profile import find as find
from sipfailover.profiles.profile import names as names
from sipfailover.profiles.profile import unknown as unknown
from sipfailover.profiles.tell import as_json as as_json
from sipfailover.profiles.tell import in_use as in_use
from sipfailover.profiles.tell import page as page
from sipfailover.profiles.tell import snippet as snippet
from sipfailover.profiles.tell import table as table
