"""The engine: calls between PBXs and trunks, back to back, without a socket or a clock. Front door of the package."""

from .commands import Command as Command
from .commands import Drop as Drop
from .commands import Forget as Forget
from .commands import Keep as Keep
from .commands import Log as Log
from .commands import Reach as Reach
from .commands import Record as Record
from .commands import Send as Send
from .engine import Engine as Engine
from .facts import AttemptEnded as AttemptEnded
from .facts import CallEnded as CallEnded
from .facts import ConfigChanged as ConfigChanged
from .facts import Fact as Fact
from .facts import OperatorActed as OperatorActed
from .facts import ProbeEnded as ProbeEnded
from .facts import RegistrationChanged as RegistrationChanged
from .facts import TrunkChanged as TrunkChanged
from .line import Account as Account
from .line import Line as Line
from .line import trunk_lines as trunk_lines
from .view import EngineView as EngineView
