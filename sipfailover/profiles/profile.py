"""A carrier profile: settings of a trunk, each with its source and a mark that says how sure it is.

One YAML file a profile lies beside this module; its name is the profile's name. Its parts:

    carrier, how, summary, about    who it is; registers | by address | either; one line; a paragraph
    fill_in     key → example, needed (yes, no), note: what only the customer knows
    settings    key → value, mark (confirmed, safe guess, not known), source, note
                a key of a section is written with a dot: `identity.headers`; what is not known has no value

Confirmed: read in the source, for this product. Safe guess: read for a neighbouring product, or common practice, and
harmless where it is wrong. Not known: looked for and not found, so it is left to the administrator. As in the
configuration itself every scalar stays text. The files are ours, so a fault in them is no error of the user's:
`tests/config/test_profiles.py` reads them all.
"""

import difflib
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

NEVER = frozenset({
    "name", "profile", "description", "tier", "username", "auth_username", "password", "password_file",
})  # fmt: skip
"""Keys of a trunk that no profile sets: they are the customer's, and some are secret."""

SUFFIX = ".yaml"

Value = str | tuple[str, ...]


class Mark(StrEnum):
    """How sure a setting is."""

    CONFIRMED = "confirmed"
    GUESS = "safe guess"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a profile says about one key of a trunk."""

    key: str
    """As in the file, with a dot for a key of a section: `identity.headers`."""
    value: Value | None
    """As text, or a list of texts; None when it is not known."""
    mark: Mark
    source: str
    """Where it was read, so that it can be looked up."""
    note: str = ""
    """What else to know; may be empty."""

    @property
    def path(self) -> tuple[str, ...]:
        """The key as a path below the trunk."""
        return tuple(self.key.split("."))

    @property
    def shown(self) -> str:
        """The value as it would be written in the file; empty when it is not known."""
        if self.value is None or isinstance(self.value, str):
            return self.value or ""
        return f"[{', '.join(self.value)}]"


@dataclass(frozen=True, slots=True)
class FillIn:
    """A key that only the customer can fill in."""

    key: str
    example: str
    """As it would be written in the file."""
    needed: bool
    note: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that is known of one carrier."""

    name: str
    carrier: str
    how: str
    """`registers`, `by address` or `either`."""
    summary: str
    about: str
    fill_in: tuple[FillIn, ...]
    settings: tuple[Setting, ...]

    def marked(self, mark: Mark) -> tuple[Setting, ...]:
        """The settings with this mark."""
        return tuple(setting for setting in self.settings if setting.mark is mark)


@dataclass(frozen=True, slots=True)
class Applied:
    """A profile in use by a trunk."""

    profile: Profile
    settings: tuple[Setting, ...]
    """Those of its settings that are in effect: they have a value, and the file writes no other."""

    @property
    def guesses(self) -> tuple[Setting, ...]:
        """Those in effect that are safe guesses only."""
        return tuple(setting for setting in self.settings if setting.mark is Mark.GUESS)


@cache
def names() -> tuple[str, ...]:
    """The names of all profiles: carriers in the order of the alphabet, then the general ones."""
    found = (file.name for file in files(__package__).iterdir())
    bare = (name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))
    return tuple(sorted(bare, key=lambda name: (name.startswith("generic"), name)))


def find(name: str) -> Profile | None:
    """The profile of this name, whatever its case; None when there is none."""
    word = name.strip().lower()
    return _read(word) if word in names() else None


def unknown(name: str) -> str:
    """One sentence for a name that no profile has: the nearest one, and all of them."""
    word = name.strip().lower()
    near = [known for known in names() if word and (word in known or known in word)]
    near = near or difflib.get_close_matches(word, names(), n=1, cutoff=0.6)
    hint = f", did you mean '{near[0]}'?" if near else "."
    return f"'{name}' is no profile{hint} There are {', '.join(names())}"


@cache
def _read(name: str) -> Profile:
    text = files(__package__).joinpath(name + SUFFIX).read_text(encoding="utf-8")
    data = yaml.load(text, Loader=yaml.BaseLoader)  # every scalar stays text
    return Profile(
        name=name,
        carrier=data["carrier"],
        how=data["how"],
        summary=data["summary"],
        about=data["about"],
        fill_in=tuple(
            FillIn(key, part["example"], part["needed"] == "yes", part["note"]) for key, part in data["fill_in"].items()
        ),
        settings=tuple(
            Setting(key, _value(part.get("value")), Mark(part["mark"]), part["source"], part.get("note", ""))
            for key, part in data["settings"].items()
        ),
    )


def _value(value: Any) -> Value | None:
    return tuple(value) if isinstance(value, list) else value
