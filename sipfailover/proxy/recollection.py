"""Recollections: what outlives this process of a line, and of where new calls go, as records of the journal. Pure.

`core` decides when a record is made, `restoring` what becomes of it in the next process; what is in it of a trunk is
said in `trunk.memory`. A record is a JSON object. It is of no use to a line that is another one now: another address,
another account.
"""

import json
from typing import Any

from sipfailover.proxy.keepsake import Epoch
from sipfailover.proxy.line import Line
from sipfailover.proxy.view import FailoverView
from sipfailover.trunk import recall as recall_trunk
from sipfailover.trunk import remembered

LINE, FAILOVER = "line/", "failover"
"""What the keys begin with (behind it, the name of the line, quoted), and the key of the last failover."""
VERSION = 1
"""A record with another one is passed over: then the line begins as at its first start."""
REMEMBER_EVERY = 30.0
"""Seconds between two looks at what was learnt of a line. Changes of health and orders are stored at once."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode


def line_record(line: Line, epoch: Epoch, now: float) -> bytes:
    """What was ordered, seen and learnt of a line. Raises ValueError for numbers that are none."""
    offset = epoch(now) - now
    heard_at = None if line.heard_at < 0 else round(line.heard_at + offset, 3)
    silent_until = line.account.silent_until + offset if line.account is not None else 0.0
    return _encode({
        "version": VERSION, "place": place(line), "heard_at": heard_at, "silent_until": round(silent_until, 3),
        "trunk": remembered(line.trunk, now, offset),
    }).encode()  # fmt: skip


def recall(line: Line, record: bytes, epoch: Epoch, now: float) -> bool:
    """Take the record into a line that is new. False if it is of no use to it. Raises TypeError, ValueError or KeyError
    for what was never made here, and then nothing of it is taken."""
    found = _object(record)
    if found["version"] != VERSION or found["place"] != place(line):
        return False
    offset = epoch(now) - now
    heard_at, silent_until = found["heard_at"], float(found["silent_until"]) - offset
    heard = None if heard_at is None else min(now, float(heard_at) - offset)
    recall_trunk(line.trunk, found["trunk"], now, offset)
    if heard is not None:
        line.heard_at = heard
    if line.account is not None:
        line.account.silent_until = min(silent_until, now + line.account.refused_for)
    return True


def place(line: Line) -> str:
    """What makes it this line: where it is, and as whom we are known there."""
    account = line.account
    known_as = "" if account is None else f" {account.aor.decode()}{' registers' if account.registers else ''}"
    port = "" if line.port is None else f":{line.port}"
    return f"{line.role} {line.host.decode('latin-1')}{port}{known_as}"


def failover_record(failover: FailoverView, epoch: Epoch, now: float) -> bytes:
    """The last time new calls were sent elsewhere."""
    at = round(epoch(now) - now + failover.at, 3)
    return _encode([failover.number, at, failover.came_from, failover.went_to, failover.why]).encode()


def to_failover(record: bytes, epoch: Epoch, now: float) -> FailoverView:
    """That again. Raises TypeError or ValueError for what is none."""
    number, at, *texts = json.loads(record)
    came_from, went_to, why = map(str, texts)
    return FailoverView(int(number), min(now, float(at) - (epoch(now) - now)), came_from, went_to, why)


def _object(record: bytes) -> dict[str, Any]:
    found = json.loads(record)
    if not isinstance(found, dict):
        raise TypeError("no record of a line")
    return found
