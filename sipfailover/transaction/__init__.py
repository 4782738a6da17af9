"""Transactions: RFC 3261 §17 and RFC 6026 as four tables, their timers, and the layer that drives them. Front door."""

from .invite_client import PROCEEDING as PROCEEDING
from .layer import Layer as Layer
from .layer import reply_to as reply_to
from .machine import Input as Input
from .machine import Transaction as Transaction
from .timers import GRAIN as GRAIN
from .timers import LIFE as LIFE
from .timers import T1 as T1
from .timers import T2 as T2
from .timers import T4 as T4
from .timers import Timer as Timer
from .timers import TimerQueue as TimerQueue
