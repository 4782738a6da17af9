"""What one file changes of another, key by key, and when that is in effect (`effects`). Pure.

Trunks and PBXs are matched by their names; another name is another trunk. No secret is told: of a password only that it
changed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from pydantic import SecretStr

from sipfailover.config.check import findings
from sipfailover.config.effects import EFFECTS, Effect
from sipfailover.config.model import Pbx, Settings
from sipfailover.config.section import Section
from sipfailover.config.telephone import Ddi, Prefix
from sipfailover.config.trunk import TrunkSettings
from sipfailover.config.words import SIP_PORT, SIPS_PORT, is_address, spell

UNTOLD = frozenset({"trunks.add_headers"})
"""Keys whose values are not told, as those of passwords: some carriers have a key of theirs in a header."""
SPARSE = frozenset({"trunks.monitor"})
"""Sections that may have a few keys of a section elsewhere."""
UNSET = "as elsewhere"
"""The value of a key that is not in them."""
VALUE_SHOWN = 120
"""Characters of a value that are told; of two that differ later, only that they changed."""
ROLES = {"pbx": "PBX", "trunks": "trunk"}
WHOLE = ("listen", "notify")
"""Lists without names: all of them stay, or none."""
Entry = Pbx | TrunkSettings


@dataclass(frozen=True, slots=True)
class Change:
    """One key with another value."""

    key: str
    """As in `EFFECTS`: `trunks.channels`."""
    name: str
    """The trunk or PBX, empty elsewhere."""
    before: str
    """As the file would have it; empty for what is not told."""
    after: str
    effect: Effect

    @property
    def what(self) -> str:
        """`trunk main: channels 2 → 4`, `failover.no_answer_within 4s → 3s`, `trunk main: password changed`."""
        section, _, key = self.key.partition(".")
        where = f"{ROLES[section]} {self.name}: {key}" if self.name else self.key
        return f"{where} {self.before} → {self.after}" if self.before or self.after else f"{where} changed"

    def __str__(self) -> str:
        return f"{self.what}: {self.effect}"


@dataclass(frozen=True, slots=True)
class Changes:
    """All that differs."""

    values: tuple[Change, ...]
    """Of sections, and of trunks and PBXs that are in both files."""
    added: tuple[tuple[str, str], ...]
    """(`trunk` or `PBX`, name) of those that are new."""
    removed: tuple[tuple[str, str], ...]

    @property
    def anew(self) -> frozenset[str]:
        """Names of trunks and PBXs that are in both files, and start anew."""
        return frozenset(change.name for change in self.values if change.effect is Effect.ANEW)

    @property
    def waiting(self) -> tuple[Change, ...]:
        """Those that need a restart."""
        return tuple(change for change in self.values if change.effect is Effect.RESTART)

    def __bool__(self) -> bool:
        return bool(self.values or self.added or self.removed)


def compare(before: Settings, after: Settings) -> Changes:
    """What `after` changes, in the order of the schema."""
    values: list[Change] = []
    added, removed = [], []
    for key in Settings.model_fields:
        old, new = getattr(before, key), getattr(after, key)
        if key in ROLES:
            by_name, now_by_name = ({one.name: one for one in entries} for entries in (old, new))
            for name, entry in now_by_name.items():
                if name in by_name:
                    values += _differences(by_name[name], entry, key, name)
                else:
                    added.append((ROLES[key], name))
            removed += [(ROLES[key], name) for name in by_name if name not in now_by_name]
            values += _order([name for name in by_name if name in now_by_name], list(now_by_name), old, new, key)
        elif key == "listen":
            if old != new:
                values.append(Change(key, "", _told(old), _told(new), EFFECTS["listen.host"]))
        elif key == "notify":
            if old != new:  # who is told, and no secret
                values.append(Change(key, "", _told(old), _told(new), EFFECTS["notify.email"]))
        elif isinstance(old, Section):
            values += _differences(old, new, key, "")
        else:
            values += _difference(old, new, key, "")
    return Changes(tuple(values), tuple(added), tuple(removed))


def as_it_runs(running: Settings, wanted: Settings) -> Settings:
    """The wanted settings, with those that need a restart as they are now."""
    update: dict[str, Any] = {}
    for key, effect in EFFECTS.items():
        if effect is Effect.RESTART:
            section, _, name = key.partition(".")
            if section in WHOLE:
                update[section] = getattr(running, section)
            else:
                base = update.get(section, getattr(wanted, section))
                update[section] = base.model_copy(update={name: getattr(getattr(running, section), name)})
    return wanted.model_copy(update=update)


def objections(settings: Settings) -> tuple[str, ...]:
    """Why these settings cannot run, each a sentence; empty if they can."""
    return tuple(f"{'.'.join(map(str, one.path))}: {one.text}" for one in findings(settings) if not one.warning)


def fingerprint(settings: Settings) -> str:
    """Twelve hex digits that tell two configurations apart. Secrets are not in it, so that it tells nothing of them."""
    return sha256(settings.model_dump_json(by_alias=True).encode()).hexdigest()[:12]


def _differences(old: Section | None, new: Section | None, path: str, name: str) -> Iterator[Change]:
    """Of two sections. None: the section is not there, which of those that may be absent means that no key is."""
    either = old if old is not None else new
    if either is None:
        return
    for key, field in type(either).model_fields.items():
        if key == "port" and old is not None and new is not None and _port(old) == _port(new):
            continue  # written or left out, it is the same
        was, now = (_written(section, key, sparse=path in SPARSE) for section in (old, new))
        place = f"{path}.{field.alias or key}"
        if isinstance(was, Section) or isinstance(now, Section):
            yield from _differences(was, now, place, name)
        else:
            yield from _difference(was, now, place, name)


def _port(section: Section) -> int | None:
    """The port that is used; None: what DNS says."""
    if isinstance(section, Pbx):
        return section.port_used
    assert isinstance(section, TrunkSettings)
    default = SIPS_PORT if section.transport == "tls" else SIP_PORT
    return section.port or (default if is_address(section.host) else None)


def _written(section: Section | None, key: str, *, sparse: bool) -> Any:
    if section is None or (sparse and key not in section.model_fields_set):
        return UNSET
    return getattr(section, key)


def _difference(old: Any, new: Any, place: str, name: str) -> Iterator[Change]:
    if old == new:
        return
    before, after = _told(old), _told(new)
    secret = isinstance(old, SecretStr) or isinstance(new, SecretStr) or place in UNTOLD
    if secret or before == after or max(len(before), len(after)) > VALUE_SHOWN:
        before = after = ""
    yield Change(place, name, before, after, EFFECTS[place])


def _order(kept: list[str], names: list[str], old: Sequence[Entry], new: Sequence[Entry], key: str) -> Iterator[Change]:
    """The order of those that are in both files. Where it is told by tiers already, it is not told twice."""
    now = [name for name in names if name in kept]
    if now == kept:
        return
    tiers, later = ({one.name: getattr(one, "tier", 0) for one in entries} for entries in (old, new))
    if all(tiers[name] == later[name] for name in kept):
        yield Change(key, "", ", ".join(kept), ", ".join(now), Effect.NEXT_CALL)


def _told(value: Any) -> str:
    """A value in the words of the file."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return spell(value)
    if value is None or value == "" or value == ():
        return "none"
    if isinstance(value, Prefix):
        return f"{value.begins} -> {value.becomes}"
    if isinstance(value, Ddi):
        return f"{value.carrier}: {value.house}"
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return ", ".join(map(_told, value))
    return str(value)
