"""A scenario: what an office and its carriers live through, as a YAML file that people write.

Read in the manner of the configuration: every problem at once, with file, line and column. The names of the trunks are
those of the configuration that is rehearsed. What comes of it is `rehearsal`'s business.
"""

import difflib
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from sipfailover.config import Document, Name, Seconds, Section, Text, Whole, as_list, load_document
from sipfailover.simulator.agenda import (
    ALWAYS,
    CallsPerHour,
    ComesAndGoes,
    Day,
    Hours,
    Moment,
    Share,
    seconds_after,
)
from sipfailover.simulator.kinds import KINDS, Scope, kind

DAYS_MAX = 366.0
FAULTS_MAX = 200
STATUSES = (500, 503, 480, 404, 403)
"""What calls are refused with where "setup fails" says nothing else."""


def known_kind(value: object) -> object:
    """One of KINDS, or a status that calls are refused with."""
    found = kind(value)
    if isinstance(found, str) and found not in KINDS:
        if found.isdigit() and 300 <= int(found) <= 699:
            return found
        near = difflib.get_close_matches(found, KINDS, n=1, cutoff=0.5)
        hint = f", did you mean '{near[0]}'?" if near else f", known: {', '.join(KINDS)}, or a status as 500"
        raise ValueError(f"'{value}' is no way to fail{hint}")
    return found


KindWord = Annotated[str, BeforeValidator(known_kind)]
Status = Annotated[Whole, Field(ge=300, le=699)]


class Office(Section):
    """The people who call, and those who are called."""

    calls_per_hour: CallsPerHour = Hours((), 20.0)
    """Calls in an hour: a number, or `{weekday 08-18: 40, else: 2}`. Default 20."""
    inbound_share: Share = 0.5
    """Share of them that come in. Default 0.5."""
    inbound_over: Text = ""
    """The trunk whose numbers people call. Default: the first."""
    destinations: Annotated[Whole, Field(ge=1, le=100_000)] = 200
    """How many different numbers the office calls; a few of them often. Default 200."""
    talk: Annotated[Seconds, Field(gt=0, le=86400)] = 180.0
    """Mean length of a talk (exponential). Default 3m."""
    post_dial_delay: Annotated[Seconds, Field(ge=0, le=60)] = 0.8
    """Mean time from the call until it rings, where nothing is wrong. Default 800ms."""
    answer_within: Annotated[Seconds, Field(gt=0, le=120)] = 8.0
    """Mean time for which a telephone rings until somebody answers. Default 8s."""
    patience: Annotated[Seconds, Field(gt=0, le=600)] = 45.0
    """How long a caller lets it ring, give or take 40 %. Default 45s."""
    patience_in_silence: Annotated[Seconds, Field(gt=0, le=600)] = 20.0
    """How long a caller waits while nothing is heard at all, give or take 30 %. Default 20s."""
    busy: Share = 0.08
    """Share of calls that meet a busy line. Default 8%."""
    no_answer: Share = 0.10
    """Share that ring until the caller gives up. Default 10%."""
    wrong_number: Share = 0.02
    """Share to numbers that do not exist. Default 2%."""
    declined: Share = 0.01
    """Share that are declined. Default 1%."""
    voicemail: Share = 0.08
    """Share that a machine answers after 20 to 25 s. Default 8%."""
    ordinary_failures: Share = 0.0
    """Share that fail somewhere behind the carrier, whichever carrier it is, as a few always do. Default 0."""

    @model_validator(mode="after")
    def _shares_fit(self) -> Self:
        total = self.busy + self.no_answer + self.wrong_number + self.declined + self.voicemail + self.ordinary_failures
        if total > 1.0:
            raise ValueError(f"the shares of what becomes of calls are {total:.0%} together: more than all of them")
        return self


class NetworkSection(Section):
    """The path to a trunk, or to all trunks."""

    trunk: Annotated[tuple[Name, ...], BeforeValidator(as_list)] = ()
    """Whose path. Default: all that have no entry of their own."""
    round_trip: Annotated[Seconds, Field(ge=0, le=30)] = 0.02
    """There and back. Default 20ms."""
    jitter: Annotated[Seconds, Field(ge=0, le=30)] = 0.0
    """Up to so much is added, each way. Default 0."""
    loss: Share = 0.0
    """Share of packets that are lost. Default 0."""
    duplicate: Share = 0.0
    """Share that arrive twice. Default 0."""
    reorder: Share = 0.0
    """Share that may overtake others. Default 0."""


class Fault(Section):
    """Something that goes wrong for a while."""

    trunk: Annotated[tuple[Name, ...], BeforeValidator(as_list)] = ()
    """Which trunks, by name. Default: the first one of the configuration; for `swizzle` and for what is wrong on our
    own side, all of them."""
    from_: Annotated[Moment, Field(alias="from")]
    """When it begins: a date and time, or +2h 30m after the start."""
    to: Moment | None = None
    """When it ends. Default: with the scenario."""
    pattern: ComesAndGoes = ALWAYS
    """always; on/off 5-90 min (each time drawn between the two); on 5s off 20s; or swizzle: the trunks go down one by
    one in a random order and come back in another. Default always."""
    kind: Annotated[tuple[KindWord, ...], BeforeValidator(as_list), Field(min_length=1)]
    """How it fails; several of those that treat calls: each call meets one of them."""
    share: Share = 1.0
    """Share of calls that meet it. Default 100%."""
    status: Annotated[tuple[Status, ...], BeforeValidator(as_list)] = STATUSES
    """What "setup fails" and "one destination" answer, one drawn for each call. Default 500, 503, 480, 404, 403."""
    destinations: Annotated[Whole, Field(ge=1, le=100_000)] = 1
    """How many numbers "one destination" breaks, those that are called most. Default 1."""
    delay: Annotated[Seconds, Field(ge=0, le=300)] | None = None
    """For "slow set-up" (default 8s) and "latency" (there and back, default 600ms)."""
    loss: Share = 0.1
    """For "loss". Default 10%."""
    retry_after: Annotated[Seconds, Field(ge=1, le=86400)] = 60.0
    """For "503 with retry-after". Default 1m."""
    step: Annotated[Seconds, Field(gt=0, le=86400)] = 3600.0
    """For "clock step". Default 1h."""

    @property
    def call_kinds(self) -> tuple[str, ...]:
        """Those of its kinds that single calls meet."""
        return tuple(word for word in self.kind if word not in KINDS or KINDS[word].scope is Scope.CALLS)

    @property
    def other_kinds(self) -> tuple[str, ...]:
        """Those that hold all the time."""
        return tuple(word for word in self.kind if word not in self.call_kinds)

    @property
    def harms(self) -> bool:
        """Whether a trunk with this fault is better left alone."""
        return any(word not in KINDS or KINDS[word].harms for word in self.kind)

    @property
    def everywhere(self) -> bool:
        """True for what is wrong on our own side."""
        return all(word in KINDS and KINDS[word].scope is Scope.HERE for word in self.kind)

    @property
    def label(self) -> str:
        """Its kinds, for people."""
        share = "" if self.share >= 1.0 else f", {self.share:.0%} of calls"
        return " / ".join(self.kind) + share


class Scenario(Section):
    """Everything that a scenario's file says."""

    title: Text = ""
    """What it is, in a few words. Default: the name of the file."""
    story: Text = ""
    """What happened, or what it is to show, in a few sentences. Default: none."""
    start: Day = datetime(2018, 1, 8, 8)
    """When it begins, local time. Default Monday, 2018-01-08 08:00."""
    days: Annotated[float, Field(gt=0, le=DAYS_MAX)] | None = None
    """How long it lasts, in days. Give this or hours. Default one day."""
    hours: Annotated[float, Field(gt=0, le=DAYS_MAX * 24)] | None = None
    """How long it lasts, in hours."""
    seed: Annotated[Whole, Field(le=2**62)] = 1
    """From which all chance is drawn: another seed, another run. Default 1."""
    office: Office = Office()
    """The people who call."""
    network: Annotated[tuple[NetworkSection, ...], BeforeValidator(as_list)] = ()
    """The paths to the trunks. Default: 20ms there and back, and nothing is lost."""
    faults: Annotated[tuple[Fault, ...], BeforeValidator(as_list), Field(max_length=FAULTS_MAX)] = ()
    """What goes wrong. Default: nothing."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.days is not None and self.hours is not None:
            raise ValueError("days and hours are both given: keep one of the two")
        for number, fault in enumerate(self.faults, 1):
            first, last = self.span(fault)
            if first >= self.seconds:
                raise ValueError(f"fault {number} begins after the end of the scenario, which lasts {self._length}")
            if first < 0 or last <= first:
                raise ValueError(f"fault {number} ends before it begins, or begins before the scenario does")
        return self

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return self.hours * 3600.0 if self.hours is not None else (self.days or 1.0) * 86400.0

    @property
    def _length(self) -> str:
        return f"{self.hours:g} hours" if self.hours is not None else f"{self.days or 1.0:g} days"

    def span(self, fault: Fault) -> tuple[float, float]:
        """From when to when a fault may be on, seconds after the start."""
        first = seconds_after(self.start, fault.from_)
        last = self.seconds if fault.to is None else seconds_after(self.start, fault.to)
        return first, min(last, self.seconds)

    def wall(self, at: float) -> datetime:
        """The wall clock so many seconds after the start."""
        return self.start + timedelta(seconds=at)

    def network_of(self, trunk: str) -> NetworkSection:
        """The path to a trunk."""
        own = [section for section in self.network if trunk in section.trunk]
        common = [section for section in self.network if not section.trunk]
        return (own or common or [NetworkSection()])[0]


def load_scenario(path: str) -> Document[Scenario]:
    """The scenario in this file. Raises ConfigError with all problems, each at its place."""
    return load_document(path, Scenario)


def names_in(scenario: Scenario) -> list[tuple[tuple[Any, ...], str]]:
    """Every name of a trunk in the file: (path of the setting, name)."""
    found: list[tuple[tuple[Any, ...], str]] = []
    for index, path in enumerate(scenario.network):
        found += [(("network", index, "trunk"), name) for name in path.trunk]
    for index, fault in enumerate(scenario.faults):
        found += [(("faults", index, "trunk"), name) for name in fault.trunk]
    if scenario.office.inbound_over:
        found.append((("office", "inbound_over"), scenario.office.inbound_over))
    return found
