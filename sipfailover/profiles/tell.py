"""A profile in words for a terminal of 80 columns, and as JSON: pure functions, no colours, so that it can be piped."""

import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from sipfailover.profiles.profile import Applied, Mark, Profile

WIDTH = 80
"""Columns. Nothing but a source or a value that has no blank is longer."""


def table(profiles: Iterable[Profile]) -> Iterator[str]:
    """All profiles, two lines each: the figures, and what it is."""
    row = "{:31}  {:11}  {:10}  {:>9}  {:>7}"
    yield row.format("profile", "carrier", "how", "confirmed", "guessed")
    for profile in profiles:
        confirmed, guessed = len(profile.marked(Mark.CONFIRMED)), len(profile.marked(Mark.GUESS))
        yield row.format(profile.name, profile.carrier, profile.how, confirmed, guessed)
        yield f"    {profile.summary}"


def page(profile: Profile) -> Iterator[str]:
    """One profile: every key with its value, mark and source, what is left to the customer, and lines to paste."""
    yield profile.name
    yield from _wrapped(profile.summary, 2)
    yield ""
    yield from _wrapped(profile.about, 0)
    yield ""
    yield "It sets, where you write nothing else:"
    for setting in profile.settings:
        if setting.value is not None:
            yield from _wrapped(f"{setting.key}: {setting.shown}", 2)
            yield from _wrapped(f"{setting.mark}; source: {setting.source}", 6)
            yield from _wrapped(setting.note, 6)
    yield ""
    yield "Left to you, because it is not known:"
    for setting in profile.marked(Mark.UNKNOWN):
        yield from _wrapped(f"{setting.key}: {setting.note}", 2)
        yield from _wrapped(f"source: {setting.source}", 6)
    yield ""
    yield "You fill in:"
    for part in profile.fill_in:
        need = "" if part.needed else " (if you have it)"
        yield from _wrapped(f"{part.key}{need}: {part.note}", 2)
    yield ""
    yield "To paste:"
    yield ""
    yield from snippet(profile)


def snippet(profile: Profile) -> Iterator[str]:
    """Lines for the file: a trunk with this profile; what is not always needed is commented out."""
    yield "trunks:"
    yield f"  - name: {'main' if profile.carrier == 'any' else profile.carrier.lower()}"
    yield f"    profile: {profile.name}"
    for part in profile.fill_in:
        yield f"    {'' if part.needed else '# '}{part.key}: {part.example}"


def in_use(applied: Applied) -> str:
    """How sure the settings are that a trunk has from its profile, for `check` and the start log."""
    name, count, guesses = applied.profile.name, len(applied.settings), len(applied.guesses)
    if not count:
        return f"{name}, of which nothing is left: the file says all of it itself"
    if not guesses:
        return f"{name}, its {count} settings are confirmed" if count > 1 else f"{name}, its setting is confirmed"
    what = "settings are safe guesses" if guesses > 1 else "settings is a safe guess"
    return f"{name}, {guesses} of its {count} {what}: `sipfailover profiles show {name}`, `check --probe` tells more"


def as_json(profile: Profile) -> dict[str, Any]:
    """One profile with all its parts, for programs. A value is text, a list of texts, or null where it is not known."""
    return {
        "name": profile.name,
        "carrier": profile.carrier,
        "how": profile.how,
        "summary": profile.summary,
        "about": profile.about,
        "settings": [
            {
                "key": setting.key,
                "value": list(setting.value) if isinstance(setting.value, tuple) else setting.value,
                "mark": setting.mark.value,
                "source": setting.source,
                "note": setting.note,
            }
            for setting in profile.settings
        ],
        "fill_in": [
            {"key": part.key, "example": part.example, "needed": part.needed, "note": part.note}
            for part in profile.fill_in
        ],
    }


def _wrapped(text: str, indent: int) -> list[str]:
    """The text broken at blanks, further lines four columns deeper; no line for no text."""
    return textwrap.wrap(
        text, WIDTH, initial_indent=" " * indent, subsequent_indent=" " * (indent + 4 if indent == 2 else indent),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
