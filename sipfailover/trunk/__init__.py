"""Trunks: what was ordered, what was observed, how to ask and how long to wait. Front door of the package."""

from .evidence import Change as Change
from .evidence import Evidence as Evidence
from .evidence import HealthRules as HealthRules
from .evidence import Sign as Sign
from .evidence import State as State
from .evidence import duration as duration
from .health import Health as Health
from .identity import request_uri as request_uri
from .probe import Probe as Probe
from .probe import ProbeRules as ProbeRules
from .roundtrip import NoAnswer as NoAnswer
from .roundtrip import RoundTrip as RoundTrip
from .trunk import Order as Order
from .trunk import Trunk as Trunk
