"""A trunk's profile under what the file writes: its values become part of the tree before types are read.

What stands in the file goes before. A section (`identity`, `failover`, `monitor`, `tls`) is filled up key by key; a
list is one value. A value that came from a profile has its place at the `profile:` line, and messages about it say so.
"""

from collections.abc import Callable

from sipfailover.config.tree import Path, Tree
from sipfailover.profiles import Applied, Profile, Setting, unknown

Find = Callable[[str], Profile | None]
"""The profile of this name, whatever its case; None when there is none."""


def apply_profiles(tree: Tree, find: Find) -> dict[int, Applied]:
    """Put the values of profiles into the tree; an unknown profile becomes a problem. Place of the trunk → profile."""
    trunks = tree.data.get("trunks") if isinstance(tree.data, dict) else None
    found: dict[int, Applied] = {}
    for index, trunk in enumerate(trunks if isinstance(trunks, list) else ()):
        word = trunk.get("profile") if isinstance(trunk, dict) else None
        if not isinstance(word, str) or not word.strip():
            continue  # none, or not a word, which the schema tells
        at: Path = ("trunks", index, "profile")
        profile = find(word)
        if profile is None:
            tree.problems.append(tree.problem(at, unknown(tree.written.get(at, word))))
            trunk.setdefault("host", f"refused-trunks-{index}.invalid")  # the profile meant might have given it
        else:
            trunk["profile"] = profile.name
            found[index] = _apply(tree, trunk, at, profile)
    return found


def _apply(tree: Tree, trunk: dict[str, object], at: Path, profile: Profile) -> Applied:
    kept = tuple(
        setting
        for setting in profile.settings
        if setting.value is not None and _fill(tree, trunk, at, setting, f"profile '{profile.name}'")
    )
    for part in profile.fill_in:
        if part.key not in trunk:
            tree.left[(*at[:-1], part.key)] = f"; profile '{profile.name}' leaves it to you: {part.note}"
    return Applied(profile, kept)


def _fill(tree: Tree, trunk: dict[str, object], at: Path, setting: Setting, whose: str) -> bool:
    """Put one value where nothing stands yet. Returns whether it was put."""
    assert setting.value is not None
    place = tree.places[at]
    path: Path = at[:-1]
    section = trunk
    for part in setting.path[:-1]:
        path = (*path, part)
        inner = section.get(part, "")
        if inner == "":  # no such section, or one whose lines are all commented out
            inner = section[part] = {}
            tree.places.setdefault(path, place)
        if not isinstance(inner, dict):
            return False  # no section, which the schema tells
        section = inner
    key = setting.path[-1]
    if key in section:
        return False
    path = (*path, key)
    tree.places[path] = place
    tree.given[path] = f"{whose} gives {setting.key}: {setting.shown}"
    if isinstance(setting.value, str):
        section[key] = tree.written[path] = setting.value
    else:
        section[key] = list(setting.value)
        for index, item in enumerate(setting.value):
            tree.places[(*path, index)] = place
            tree.written[(*path, index)] = item
    return True
