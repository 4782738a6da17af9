"""Toll fraud: where calls may go and how many, before somebody calls the Caribbean all weekend at your expense.

Nothing is limited by default: what a call centre does in an hour is an attack in a doctor's practice, and a guess of
ours that refuses honest calls would be the outage that we are here to prevent. Emergency calls are never counted.
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema

from sipfailover.config.section import Section
from sipfailover.config.words import TEXT_OR_NUMBER, Whole, as_list

KINDS = ("national", "abroad", "premium", "satellite")
"""Every call is of one kind: premium and satellite by their lists, else national or abroad. What cannot be read as a
number (star codes, names, digits without a plan) counts as abroad, so that an odd spelling is no way around."""

_PREFIX = re.compile(r"\+[1-9]\d{0,14}", re.ASCII)
_SHORT = re.compile(r"[1-9]\d{0,5}", re.ASCII)


def destination(value: object) -> object:
    """A kind of destination (`abroad`), or what an international number begins with (`+49`)."""
    text = str(value).replace(" ", "").lower() if isinstance(value, str | int) else value
    if not isinstance(text, str) or text in KINDS or _PREFIX.fullmatch(text):
        return text
    hint = f"+{text[2:]}" if text.startswith("00") and _PREFIX.fullmatch(f"+{text[2:]}") else "+49"
    raise ValueError(f"'{value}' is no destination: write {', '.join(KINDS)}, or a beginning of numbers as {hint}")


def prefix(value: object) -> object:
    """What numbers begin with: international ones (`+41900`), or short ones without a plus (`18`)."""
    text = str(value).replace(" ", "") if isinstance(value, str | int) else value
    if not isinstance(text, str) or _PREFIX.fullmatch(text) or _SHORT.fullmatch(text):
        return text
    raise ValueError(f"'{value}' is no beginning of a number: write +41900, or 18 for short numbers that begin so")


_AS_TEXT = WithJsonSchema(TEXT_OR_NUMBER)
Destination = Annotated[str, BeforeValidator(destination), _AS_TEXT]
Beginning = Annotated[str, BeforeValidator(prefix), _AS_TEXT]
Count = Annotated[Whole, Field(ge=0, le=1_000_000)]


class TollLimit(Section):
    """How much of one kind of calls there may be."""

    calls_per_hour: Count | None = None
    """Calls that begin within an hour. Further ones are refused with 403. Default: no limit."""
    minutes_per_day: Count | None = None
    """Minutes of answered calls within a day, from midnight to midnight. A call that goes on is never cut off; once
    they are used up, new ones are refused with 403. Default: no limit."""


class TollLimits(Section):
    """Limits for each kind of destination."""

    national: TollLimit = TollLimit()
    """Numbers of your own country, and short numbers."""
    abroad: TollLimit = TollLimit()
    """All other numbers, and what cannot be read as one."""
    premium: TollLimit = TollLimit()
    """Numbers that the list premium names."""
    satellite: TollLimit = TollLimit()
    """Numbers that the list satellite names."""


class TollFraud(Section):
    """Where calls of the PBX may go, and how many: a fuse against abuse of your lines. Emergency calls always go."""

    allowed: Annotated[tuple[Destination, ...], BeforeValidator(as_list), Field(max_length=500)] = ()
    """Where calls may go: national, abroad, premium, satellite, or what numbers begin with (+49). The longest entry
    that fits counts, of allowed and refused together; of equal ones refused. Default: everywhere."""
    refused: Annotated[tuple[Destination, ...], BeforeValidator(as_list), Field(max_length=500)] = ()
    """Where they may not, in the same words. Default: nowhere."""
    premium: Annotated[tuple[Beginning, ...], BeforeValidator(as_list), Field(max_length=500)] = (
        "+41900", "+41901", "+41906", "+979", "18",
    )  # fmt: skip
    """What numbers begin with that cost extra; short ones without a plus. Default: those of Switzerland, and the
    international ones."""
    satellite: Annotated[tuple[Beginning, ...], BeforeValidator(as_list), Field(max_length=500)] = (
        "+870", "+881", "+882", "+883",
    )  # fmt: skip
    """What numbers of satellites and international networks begin with. Default: those that ITU-T E.164 has."""
    limits: TollLimits = TollLimits()
    """How many calls, by kind. Default: no limits."""
    on_backup: TollLimits = TollLimits()
    """Tighter limits for calls over a trunk that is not the first choice, which is paid by the minute more often than
    not. The lower one of both counts. Default: the same as limits."""
