"""YAML as a tree of text that knows where each part stands: PyYAML's node graph (YAML 1.1), never its values.

`compose()` gives nodes with line and column and leaves scalars as text, so `0443210000`, `+41443210000` and `22:30`
stay what was written. A key that is set twice is a problem; anchors, aliases and the merge key `<<` work, and cannot
make a small file large (`MAX_VALUES`, `MAX_DEPTH`). What the text means is the schema's business.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import yaml

from sipfailover.errors import Problem

try:
    from yaml import CSafeLoader as Loader
except ImportError:  # PyYAML built without libyaml: slower, the same nodes
    from yaml import SafeLoader as Loader  # type: ignore[assignment]

MAX_BYTES = 1_000_000
"""A longer file is refused before it is read as YAML."""
MAX_VALUES = 20_000
"""Scalars, lists and mappings after aliases are followed; more are refused."""
MAX_DEPTH = 32
"""Nesting after aliases are followed, which also ends an alias to itself."""
MAX_OPEN_BRACKETS = 200
"""Brackets open at a time in one line's flow style; the C parser recurses on them."""

MERGE = "tag:yaml.org,2002:merge"
YAML_TAGS = "tag:yaml.org,2002:"

Path = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """A path as messages show it: `trunks.1.transport`."""
    return ".".join(str(part) for part in path)


@dataclass(frozen=True, slots=True)
class Place:
    """Line and column of a value and of its key (the same for list entries), counted from 1."""

    line: int
    column: int
    key_line: int
    key_column: int


@dataclass(slots=True)
class Tree:
    """One file: nested dict, list and str in `data`, the place of each part in `places`, and what was wrong so far."""

    file: str
    lines: list[str]
    data: object = ""
    places: dict[Path, Place] = field(default_factory=dict)
    written: dict[Path, str] = field(default_factory=dict)
    """Scalars as they stand in the file, before `${NAME}` was replaced: the form that messages may show."""
    problems: list[Problem] = field(default_factory=list)
    given: dict[Path, str] = field(default_factory=dict)
    """Values that do not stand in the file but came from a profile, as messages tell it. Their place is that line."""
    left: dict[Path, str] = field(default_factory=dict)
    """Keys that a profile leaves to the file, and what to write there: the end of a message about a missing one."""

    def place(self, path: Path) -> Place | None:
        """The place of this path or, when it is not in the file, of the nearest parent that is.

        A single value may stand where the schema wants a list, so an index that the file does not have is skipped.
        """
        known: Path = ()
        for part in path:
            if (*known, part) in self.places:
                known = (*known, part)
            elif not isinstance(part, int):
                break
        return self.places.get(known)

    def problem(self, path: Path, text: str, *, at_key: bool = False, compared: tuple[Path, ...] = ()) -> Problem:
        """A problem at this path, with the line of the file unless it may show a secret.

        compared: further paths whose values led to it. What came from a profile is named behind the text.
        """
        place = self.place(path)
        name = dotted(path)
        given = dict.fromkeys(told for part in (path, *compared) if (told := self._given(part)))
        text = f"{text} ({'; '.join(given)})" if given else text
        if place is None:
            return Problem(self.file, 0, 0, name, text)
        line, column = (place.key_line, place.key_column) if at_key else (place.line, place.column)
        return Problem(self.file, line, column, name, text, self.source(line))

    def _given(self, path: Path) -> str:
        """Which profile gave the value at this path, or the list that it is in; empty for what the file says."""
        return next((self.given[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.given), "")

    def source(self, line: int) -> str:
        """The line of the file; empty where it may hold a secret, because messages end up in logs and tickets."""
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        return "" if shows_secret(text) else text[:200]


def shows_secret(line: str) -> bool:
    """True when a line sets something like a password to something that is neither a variable nor a file name."""
    words = line.lower().replace("_file", "-")
    return any(word in words for word in ("pass", "pwd", "token", "secret", "pasw", "webhook")) and "${" not in words


def read_tree(text: str, file: str, substitute: Callable[[str], str]) -> Tree:
    """The file's text as a tree. Problems are collected in it; a syntax error leaves it without data.

    substitute: replaces `${NAME}` in a scalar; its ValueError becomes a problem at the scalar's place.
    """
    tree = Tree(file, text.splitlines())
    if len(text) > MAX_BYTES:
        tree.problems.append(Problem(file, 0, 0, "", f"is longer than {MAX_BYTES} characters: not a configuration"))
        return tree
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        tree.problems.append(_syntax_problem(tree, error))
        return tree
    except yaml.YAMLError as error:  # the reader's: a character that YAML does not allow
        tree.problems.append(Problem(file, 0, 0, "", f"is not YAML text: {' '.join(str(error).split())}"))
        return tree
    if node is None:
        tree.problems.append(Problem(file, 0, 0, "", "is empty: write at least pbx and trunks"))
    elif not isinstance(node, yaml.MappingNode):
        tree.problems.append(Problem(file, 1, 1, "", "must begin with a setting: 'pbx: 192.168.10.5'", tree.source(1)))
    else:
        tree.data = _Reader(tree, substitute).read(node)
    return tree


def _compose(text: str) -> yaml.Node | None:
    depth = 0
    for character in text:  # counts brackets inside quotes and comments too: no honest file comes near the limit
        depth += (character in "[{") - (character in "]}" and depth > 0)
        if depth > MAX_OPEN_BRACKETS:
            raise yaml.YAMLError(f"more than {MAX_OPEN_BRACKETS} brackets are open at a time")
    try:
        return yaml.compose(text, Loader)
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None
    except UnicodeEncodeError:
        raise yaml.YAMLError("it has characters that cannot be written as UTF-8") from None


def _syntax_problem(tree: Tree, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    text = error.problem or "is not YAML"
    line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
    source = tree.lines[line - 1] if 0 < line <= len(tree.lines) else ""
    if "\t" in source[: max(column, 1)] or "'\\t'" in text:
        text = "a tab cannot indent here: use blanks"
    elif "mapping values are not allowed" in text:
        text = "a second colon here: check the indentation of this line and the one above, or put the value in quotes"
    elif "expected a single document" in str(error):
        text = "a second document begins here ('---'): one file is one configuration"
    else:
        text = f"not YAML: {text}"
    return Problem(tree.file, line, column, "", text, tree.source(line))


class _Reader:
    """Walks the node graph once and fills the tree. One use only."""

    def __init__(self, tree: Tree, substitute: Callable[[str], str]) -> None:
        self._tree = tree
        self._substitute = substitute
        self._values = 0

    def read(self, root: yaml.MappingNode) -> object:
        mark = root.start_mark
        self._tree.places[()] = Place(mark.line + 1, mark.column + 1, mark.line + 1, mark.column + 1)
        return self._value(root, (), root)

    def _value(self, node: yaml.Node, path: Path, key: yaml.Node) -> object:
        self._tree.places[path] = Place(*_start(node), *_start(key))
        self._values += 1
        if self._values > MAX_VALUES or len(path) > MAX_DEPTH:
            if self._values <= MAX_VALUES:
                self._report(path, "is nested too deeply, or an alias contains itself")
            elif self._values == MAX_VALUES + 1:
                self._report(path, f"more than {MAX_VALUES} values: an alias repeats too much")
            return ""
        if not node.tag.startswith(YAML_TAGS) or node.tag.startswith(YAML_TAGS + "python"):
            self._report(path, f"the tag '{node.tag}' has no meaning here: remove it")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(item, (*path, index), item) for index, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _scalar(self, node: yaml.Node, path: Path) -> str:
        text = str(node.value)
        if node.tag == YAML_TAGS + "null":  # nothing, `~` or `null` without quotes
            text = ""
        self._tree.written[path] = text
        try:
            return self._substitute(text) if "${" in text else text
        except ValueError as error:
            self._report(path, str(error))
            return text

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        result: dict[str, object] = {}
        merges: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == MERGE:
                merges.append(value)
            elif not isinstance(key, yaml.ScalarNode):
                self._report(path, "a setting's name must be one word")
            elif key.value in result:
                first = self._tree.places[(*path, key.value)].key_line
                self._tree.problems.append(
                    Problem(
                        self._tree.file, *_start(key), dotted((*path, key.value)),
                        f"is set twice, first in line {first}: keep one", self._tree.source(_start(key)[0]),
                    )
                )  # fmt: skip
            else:
                result[key.value] = self._value(value, (*path, key.value), key)
        for merged in merges:
            self._merge(merged, path, result)
        return result

    def _merge(self, node: yaml.Node, path: Path, result: dict[str, object]) -> None:
        """`<<: *name` or `<<: [*one, *two]`: keys that are not there yet; the first that has a key wins."""
        if len(path) > MAX_DEPTH or self._values > MAX_VALUES:
            return
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                self._report(path, "'<<' takes a mapping, as in '<<: *name'")
                continue
            for key, value in source.value:
                if key.tag == MERGE:
                    self._values += 1
                    self._merge(value, (*path, "<<"), result)
                elif isinstance(key, yaml.ScalarNode) and key.value not in result:
                    result[key.value] = self._value(value, (*path, key.value), key)

    def _report(self, path: Path, text: str) -> None:
        self._tree.problems.append(self._tree.problem(path, text))


def _start(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
