"""Routing: who is asking, which trunks are tried, what an outcome means, what is said in the end. Pure; front door."""

from . import hedge as hedge
from .admission import Admission as Admission
from .admission import Peer as Peer
from .allowance import Allowance as Allowance
from .allowance import site as site
from .best import Final as Final
from .best import Said as Said
from .best import best as best
from .plan import Candidate as Candidate
from .plan import Place as Place
from .plan import plan as plan
from .verdict import TABLE as TABLE
from .verdict import Answered as Answered
from .verdict import Cancelled as Cancelled
from .verdict import NoRinging as NoRinging
from .verdict import Outcome as Outcome
from .verdict import Rejected as Rejected
from .verdict import RingingThenSilent as RingingThenSilent
from .verdict import Rules as Rules
from .verdict import Silent as Silent
from .verdict import Unreachable as Unreachable
from .verdict import Verdict as Verdict
from .verdict import judge as judge
