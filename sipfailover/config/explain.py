"""pydantic's findings in the product's words: one sentence that says what is wrong and what to write instead."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from sipfailover.config.model import Settings
from sipfailover.config.tree import Path, Tree
from sipfailover.config.words import spell
from sipfailover.errors import Problem

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

LATER = frozenset(
    {
        "capture", "degraded", "drill", "keep_call_details", "keep_calls", "language", "timezone",
    }
)  # fmt: skip
"""Settings that are planned and have no effect yet. Accepting them silently would promise what is not there."""

MISSING = {
    "pbx": "is missing: write the address of your PBX, as in 'pbx: 192.168.10.5'",
    "trunks": "is missing: write at least one trunk, a main one and a backup are better",
    "name": "is missing: give the trunk a short name, as in 'name: main'",
    "host": "is missing: write a host name or an IP address",
}
ONE_VALUE = "takes one value, not a section or a list"


def explain(tree: Tree, error: "ErrorDetails", root: type[BaseModel] = Settings) -> Problem:
    """One finding of pydantic as a problem at its place. `root`: what the whole file is."""
    path = file_path(tree, error)
    kind = error["type"]
    if kind == "extra_forbidden":
        return tree.problem(path, _unknown(path, root), at_key=True)
    if kind == "missing":
        known = MISSING if root is Settings else {}
        return tree.problem(path, known.get(str(path[-1]), "is missing") + tree.left.get(path, ""))
    return tree.problem(path, _sentence(error, path, tree.written.get(path), root))


def file_path(tree: Tree, error: "ErrorDetails") -> Path:
    """Where the finding is, in the words of the file: without the indexes that a single value in a list's place got."""
    path: Path = ()
    for part in error["loc"]:
        if isinstance(part, str | int) and not (isinstance(part, int) and (*path, part) not in tree.places):
            path = (*path, part)
    return path


def nearest(word: str, known: Sequence[str]) -> str:
    """`, did you mean 'x'?` for the known word that looks most like this one, or nothing."""
    found = difflib.get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f", did you mean '{found[0]}'?" if found else ""


def _unknown(path: Path, root: type[BaseModel]) -> str:
    key, known = str(path[-1]), _known_keys(path[:-1], root)
    if root is Settings and (key in LATER or (key == "numbers" and path[:-1] != ("emergency",))):
        return f"'{key}' is not part of this version: remove it"
    elsewhere = _sections_with(key, str(path[0]), root)
    if elsewhere:
        return f"unknown setting '{key}' here, it belongs under '{elsewhere[0]}'"
    hint = nearest(key, known)
    if hint:
        return f"unknown setting '{key}'{hint}"
    return f"unknown setting '{key}', known here: {', '.join(known)}"


def _sentence(error: "ErrorDetails", path: Path, written: str | None, root: type[BaseModel]) -> str:
    kind, context = error["type"], error.get("ctx", {})
    shown = "" if written is None else f"'{written}'"
    if kind != "missing" and written == "":
        return "has no value: write one or remove the line"
    if kind == "value_error" and "${" in shown:  # the sentence would show what the variable hides
        return f"what {shown} stands for cannot be used here"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error" and written is None:
        return ONE_VALUE
    if kind == "literal_error":
        allowed = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        return f"{shown} is not known{nearest(written or '', allowed) or ', allowed: ' + ', '.join(allowed)}"
    if kind in ("greater_than_equal", "less_than_equal"):
        limit, word = (context["ge"], "at least") if "ge" in context else (context["le"], "at most")
        return f"{shown} is too {'small' if 'ge' in context else 'large'}: {word} {_limit(limit, path, root)}"
    if kind == "too_short":
        return "is empty: at least one entry is needed"
    if kind == "too_long":
        return f"has more than {context['max_length']} entries"
    if kind == "string_too_short":
        return "is empty"
    if kind == "string_too_long":
        return f"is longer than {context['max_length']} characters"
    if kind == "string_pattern_mismatch":
        return f"{shown} is not a name: use letters, digits, dot, dash and underscore, at most 63"
    if kind in ("model_type", "dict_type"):
        return f"{shown or 'this'} stands where a section belongs: write its settings below, indented by two blanks"
    if kind in ("tuple_type", "list_type"):
        return "must be a list: begin each entry with '- '"
    if kind in ("string_type", "int_type", "float_type", "bool_type", "int_parsing", "float_parsing"):
        return ONE_VALUE if written is None else f"{shown} cannot be read"
    return f"{shown} cannot be used: {error['msg']}"


def _limit(limit: Any, path: Path, root: type[BaseModel]) -> str:
    """A bound as the setting at this path is written: `1m` for a duration, digits otherwise."""
    for name, field in _section_at(path[:-1], root).model_fields.items():
        if path[-1] == (field.alias or name):
            kinds = (field.annotation, *get_args(field.annotation))
            if any(getattr(kind, "__origin__", kind) is float for kind in kinds):
                return spell(limit)
    return str(limit)


def _known_keys(path: Path, root: type[BaseModel]) -> list[str]:
    """The keys that are known in the section at this path."""
    return keys_of(_section_at(path, root))


def _section_at(path: Path, root: type[BaseModel]) -> type[BaseModel]:
    """The section at this path; indexes of lists lead on into the entry."""
    section = root
    for part in path:
        section = (isinstance(part, str) and section_of(section, part)) or section
    return section


def keys_of(section: type[BaseModel]) -> list[str]:
    """The keys of a section as the file spells them."""
    return [field.alias or name for name, field in section.model_fields.items()]


def section_of(section: type[BaseModel], key: str) -> type[BaseModel] | None:
    """The section that stands under this key, alone or in a list; None when the key holds a plain value."""
    for name, field in section.model_fields.items():
        if key == (field.alias or name):
            return _section_of(field.annotation)
    return None


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _section_of(argument)
        if found is not None:
            return found
    return None


def _sections_with(key: str, near: str, root: type[BaseModel]) -> list[str]:
    """Where a key is known, as in `trunks: identity` and `trunks`; first what is below the section `near`, then the
    outer sections."""
    outer = {name: inner for name, field in root.model_fields.items() if (inner := _section_of(field.annotation))}
    nested = {
        f"{name}: {below}": inner
        for name, section in outer.items()
        for below in keys_of(section)
        if (inner := section_of(section, below))
    }
    found = [name for name, section in (outer | nested).items() if key in keys_of(section)]
    return sorted(found, key=lambda name: not name.startswith(f"{near}: "))
