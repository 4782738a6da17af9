"""SIP on the wire: messages as views over bytes, their values, edits, borders in streams. Front door of the package."""

from . import compose as compose
from . import fields as fields
from . import names as names
from . import uri as uri
from .digest import Challenge as Challenge
from .digest import Credentials as Credentials
from .digest import answer as answer
from .digest import challenges as challenges
from .digest import choose as choose
from .doorkeeper import Answer as Answer
from .doorkeeper import Doorkeeper as Doorkeeper
from .doorkeeper import Verdict as Verdict
from .explanations import parse_reasons as parse_reasons
from .fields import NameAddr as NameAddr
from .fields import Via as Via
from .framing import StreamFramer as StreamFramer
from .message import Message as Message
from .message import value_of as value_of
from .rewrite import OWNED as OWNED
from .rewrite import rewrite as rewrite
from .status import reason_phrase as reason_phrase
from .wallet import Exchange as Exchange
from .wallet import Outcome as Outcome
from .wallet import Wallet as Wallet
