"""Other YAML files than the configuration (a scenario of the simulator), read in its manner: scalars as text, typed by
a schema, every problem told at once at its place.

No profiles, no variables, no secrets: those belong to the configuration alone.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from sipfailover.config.explain import explain
from sipfailover.config.section import Section
from sipfailover.config.tree import MAX_BYTES, Path, Tree, read_tree
from sipfailover.errors import ConfigError, Problem

Kind = TypeVar("Kind", bound=Section)


@dataclass(frozen=True, slots=True)
class Document(Generic[Kind]):
    """What stood in a file, and where."""

    value: Kind
    tree: Tree

    def problem(self, path: Path, text: str) -> Problem:
        """What only shows when the file meets another one, at its place. Path: as `("faults", 0, "trunk")`."""
        return self.tree.problem(path, text)


def load_document(path: str, kind: type[Kind]) -> Document[Kind]:
    """The document in this file. Raises ConfigError with all problems."""
    try:
        with open(path, "rb") as file:
            text = file.read(4 * MAX_BYTES + 1).decode("utf-8-sig")
    except OSError as error:
        raise ConfigError((Problem(path, 0, 0, "", f"cannot be read: {error.strerror}"),)) from error
    except UnicodeDecodeError as error:
        raise ConfigError((Problem(path, 0, 0, "", "is not UTF-8 text: save the file as UTF-8"),)) from error
    return parse_document(text, kind, file=path)


def parse_document(text: str, kind: type[Kind], *, file: str) -> Document[Kind]:
    """The document in this text. `file`: its name in messages. Raises ConfigError with all problems."""
    tree = read_tree(text, file, lambda scalar: scalar)
    if not isinstance(tree.data, dict):
        raise ConfigError(tuple(tree.problems))
    try:
        value = kind.model_validate(tree.data)
    except ValidationError as error:
        seen = {problem.path for problem in tree.problems}
        found = [explain(tree, detail, kind) for detail in error.errors(include_url=False)]
        tree.problems += [problem for problem in found if problem.path not in seen]
    if tree.problems:
        raise ConfigError(tuple(sorted(tree.problems, key=lambda problem: (problem.line, problem.column))))
    return Document(value, tree)
