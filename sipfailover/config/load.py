"""From a file to settings, with every problem found on the way told at once, in the order of the file.

Text → tree (`tree`) → profiles (`merge`) → variables and secret files (`substitute`) → types (`model`, sentences from
`explain`) → rules over several keys (`check`). A value that is refused does not hide the rest: the rules look at what
is left.
"""

import os
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from sipfailover.config.check import findings
from sipfailover.config.explain import explain, file_path
from sipfailover.config.finding import Finding
from sipfailover.config.merge import Find, apply_profiles
from sipfailover.config.model import Settings
from sipfailover.config.substitute import SECRET_FILES, Variables, open_to_all, read_dotenv, read_secret
from sipfailover.config.tree import MAX_BYTES, Path, Tree, dotted, read_tree
from sipfailover.errors import ConfigError, Problem
from sipfailover.profiles import find

DEFAULT_PATHS = ("/etc/sipfailover/sipfailover.yaml", "./sipfailover.yaml")
FILE_VARIABLE = "SIPFAILOVER_CONFIG"
"""Environment variable that names the file when the command line does not."""
MAX_PROBLEMS = 50
"""More problems than this are counted, not shown."""


def find_file(given: str | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """The file to load: the one given, else `SIPFAILOVER_CONFIG`, else the first default path that exists."""
    named = given or environment.get(FILE_VARIABLE, "")
    if named:
        return named
    for path in DEFAULT_PATHS:
        if FilePath(path).exists():
            return path
    text = f"no configuration: neither {' nor '.join(DEFAULT_PATHS)} exists, name a file with -c"
    raise ConfigError((Problem("sipfailover", 0, 0, "", text),))


def load(path: str, environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings in this file. Blocks for reading small files; call it at start and on reload only.

    Raises ConfigError with all problems. Warnings are in `Settings.warnings`.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(4 * MAX_BYTES + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigError((Problem(path, 0, 0, "", f"cannot be read: {error.strerror}"),)) from error
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ConfigError((Problem(path, line, 1, "", "is not UTF-8 text: save the file as UTF-8"),)) from error
    return parse(text, file=path, folder=FilePath(path).parent, environment=environment)


def parse(
    text: str,
    *,
    file: str = "sipfailover.yaml",
    folder: FilePath = FilePath("."),
    environment: Mapping[str, str] = os.environ,
    find_profile: Find = find,
) -> Settings:
    """The settings in this text. `file` is the name in messages; `folder` is where `.env` and relative paths start.

    find_profile: where carrier profiles come from; by default the package.

    Raises ConfigError with all problems.
    """
    dotenv, dotenv_problems = read_dotenv(folder / ".env")
    variables = Variables(environment, dotenv)
    tree = read_tree(text, file, variables)
    if not isinstance(tree.data, dict):
        raise ConfigError(tuple(tree.problems + dotenv_problems))
    profiles = apply_profiles(tree, find_profile)
    warnings = _read_secrets(tree, tree.data, (), folder)
    if variables.from_dotenv and open_to_all(folder / ".env"):
        warnings.append(Problem(str(folder / ".env"), 0, 0, "", _open_to_all_text(folder / ".env")))
    settings, refused = _validate(tree)
    if settings is not None:
        settings = _with_absolute_paths(settings, folder)  # the rules read files
        for finding in findings(settings):
            if not _rests_on_refused(finding, refused):
                found = tree.problem(finding.path, finding.text, compared=finding.compared)
                (warnings if finding.warning else tree.problems).append(found)
    if tree.problems or dotenv_problems or settings is None:
        raise ConfigError(_in_order(tree.problems) + tuple(dotenv_problems))
    by_name = {settings.trunks[index].name: applied for index, applied in profiles.items()}
    return settings.with_warnings(_in_order(warnings)).with_profiles(by_name)


def _validate(tree: Tree) -> tuple[Settings | None, set[Path]]:
    """The settings, and the paths that were refused: the settings are then what is left, for the rules to look at."""
    refused = {path for path in tree.places for problem in tree.problems if problem.path == dotted(path)}
    try:
        return Settings.model_validate(tree.data), refused
    except ValidationError as error:
        details = error.errors(include_url=False)
    seen = {problem.path for problem in tree.problems}
    below = {path[:length] for path in (file_path(tree, detail) for detail in details) for length in range(len(path))}
    for detail in details:
        path = file_path(tree, detail)
        if detail["type"] == "too_short" and path in below:
            continue  # pydantic counts the entries that were good
        if dotted(path) not in seen:
            tree.problems.append(explain(tree, detail))
        refused.add(_take_out(tree.data, path))
    try:
        return Settings.model_validate(tree.data), refused
    except ValidationError:
        return None, refused


def _take_out(data: Any, path: Path) -> Path:
    """Remove a refused setting, or put a stand-in where one is needed. Returns the path of what was removed."""
    while path and isinstance(path[-1], int):  # an entry takes its list with it, so that no index moves
        path = path[:-1]
    if not path:
        return path
    try:
        for part in path[:-1]:
            data = data[part]
    except (KeyError, IndexError, TypeError):
        return path  # already gone with a list it was in
    if isinstance(data, dict):
        data.pop(path[-1], None)
        unique = "-".join(("refused", *(str(part) for part in path[:-1])))
        stand_ins: dict[str | int, object] = {
            "name": unique,
            "host": f"{unique}.invalid",
            "pbx": "refused.invalid",
            "trunks": [{"name": "refused", "host": "refused-trunk.invalid"}],
        }
        if path[-1] in stand_ins and path != ("pbx", "name"):
            data[path[-1]] = stand_ins[path[-1]]
    return path


def _rests_on_refused(finding: Finding, refused: set[Path]) -> bool:
    """True when a finding speaks of a value that was refused, or compared one."""
    used = (finding.path, *finding.compared)
    return any(path[: len(bad)] == bad for bad in refused for path in used) or any(
        bad[: len(path)] == path for bad in refused for path in finding.compared
    )


def _read_secrets(tree: Tree, data: Any, path: Path, folder: FilePath) -> list[Problem]:
    """Put what `*_file` names into its key, everywhere in the tree. Returns warnings; problems go into the tree."""
    warnings: list[Problem] = []
    if isinstance(data, list):
        for index, item in enumerate(data):
            warnings += _read_secrets(tree, item, (*path, index), folder)
    if not isinstance(data, dict):
        return warnings
    for key, value in list(data.items()):
        if isinstance(value, dict | list):
            warnings += _read_secrets(tree, value, (*path, key), folder)
        elif key in SECRET_FILES.values() and value and "${" not in tree.written.get((*path, key), ""):
            text = f"the {key} stands in the file: ${{NAME}} or {key}_file keeps it out of copies and tickets"
            warnings.append(tree.problem((*path, key), text))
    for key, secret in SECRET_FILES.items():
        value = data.get(key)
        if not isinstance(value, str) or not value:
            continue
        if secret in data:
            tree.problems.append(tree.problem((*path, key), f"{secret} is given too: keep one of the two"))
            continue
        file = folder / value
        try:
            data[secret] = read_secret(file)
        except ValueError as error:
            tree.problems.append(tree.problem((*path, key), str(error)))
            continue
        if open_to_all(file):
            warnings.append(tree.problem((*path, key), _open_to_all_text(file)))
    return warnings


def _open_to_all_text(file: FilePath) -> str:
    return f"everybody on this machine may read the secrets in {file}: chmod o-r {file}"


FILES = {"history": ("file", "calls_file"), "tls": ("certificate_file", "key_file", "client_ca_file")}
"""Sections → keys that name files."""
PEER_FILES = ("ca_file", "certificate_file", "key_file")
"""The same of the section `tls` of a trunk or PBX."""


def _with_absolute_paths(settings: Settings, folder: FilePath) -> Settings:
    """Relative paths of the file start where the file is, whatever the working directory."""

    def absolute(section: Any, keys: tuple[str, ...]) -> Any:
        named = {key: os.path.abspath(folder / getattr(section, key)) for key in keys if getattr(section, key)}
        return section.model_copy(update=named)

    changed: dict[str, object] = {name: absolute(getattr(settings, name), keys) for name, keys in FILES.items()}
    for name in ("pbx", "trunks"):
        peers = getattr(settings, name)
        changed[name] = tuple(peer.model_copy(update={"tls": absolute(peer.tls, PEER_FILES)}) for peer in peers)
    return settings.model_copy(update=changed)


def _in_order(problems: list[Problem]) -> tuple[Problem, ...]:
    ordered = sorted(problems, key=lambda problem: (problem.line, problem.column))
    if len(ordered) <= MAX_PROBLEMS:
        return tuple(ordered)
    rest = len(ordered) - MAX_PROBLEMS
    return (*ordered[:MAX_PROBLEMS], Problem(ordered[0].file, 0, 0, "", f"and {rest} more problems"))
