"""What stands outside the file: `${NAME}` from the environment or a `.env` file beside it, and `*_file` secrets.

A value that is missing or cannot be read is a problem at the place that asked for it. A file that everybody on the
machine may read is worth a warning, except under /run/secrets, where the container's engine decides the mode.
"""

import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path as FilePath

from sipfailover.errors import Problem

SECRET_FILES = {"password_file": "password", "token_file": "token", "webhook_file": "webhook"}
"""Key that names a file → the key whose value the file holds."""
MAX_SECRET_BYTES = 4096

_VARIABLE = re.compile(r"\$?\$\{([^}]*)(\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")


class Variables:
    """Looks up `${NAME}`: the environment first, then the `.env` file. `$${` stands for `${` itself."""

    def __init__(self, environment: Mapping[str, str], dotenv: Mapping[str, str]) -> None:
        self._environment = environment
        self._dotenv = dotenv
        self.from_dotenv = False
        """Whether a value of the `.env` file has been used."""

    def __call__(self, text: str) -> str:
        """The text with every variable replaced. ValueError names the first one that is missing or misspelt."""
        return _VARIABLE.sub(self._replace, text)

    def _replace(self, match: re.Match[str]) -> str:
        whole, name, closed = match[0], match[1], match[2]
        if whole.startswith("$$"):
            return whole[1:]
        if not closed:
            raise ValueError("'${' is not closed: write ${NAME}, or $${ for the characters themselves")
        if not _NAME.fullmatch(name):
            raise ValueError(f"'${{{name}}}' is not a variable: write ${{NAME}} with letters, digits and underscores")
        if name in self._environment:
            return self._environment[name]
        if name in self._dotenv:
            self.from_dotenv = True
            return self._dotenv[name]
        raise ValueError(f"the environment variable {name} is not set, and no .env file beside this file sets it")


def read_dotenv(path: FilePath) -> tuple[dict[str, str], list[Problem]]:
    """`NAME=value` lines (`export`, quotes and `#` lines allowed). No file is no problem."""
    values: dict[str, str] = {}
    problems: list[Problem] = []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return values, problems
    except (OSError, UnicodeDecodeError) as error:
        return values, [Problem(str(path), 0, 0, "", f"cannot be read: {_reason(error)}")]
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ASSIGNMENT.fullmatch(line)
        if match is None:
            problems.append(Problem(str(path), number, 1, "", "is not NAME=value"))
            continue
        value = match[2]
        quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
        values[match[1]] = value[1:-1] if quoted else value
    return values, problems


def read_secret(path: FilePath) -> str:
    """What a secret file holds, without blanks and line breaks around it. ValueError says why it cannot be used."""
    try:
        data = path.read_bytes() if path.is_file() or not path.exists() else None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {_reason(error)}") from error
    if data is None:
        raise ValueError(f"{path} is not a file")
    if len(data) > MAX_SECRET_BYTES:
        raise ValueError(f"{path} is longer than {MAX_SECRET_BYTES} bytes: not a secret")
    try:
        secret = data.decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text") from error
    if not secret:
        raise ValueError(f"{path} is empty")
    if len(secret.splitlines()) > 1:
        raise ValueError(f"{path} has several lines: a secret is one")
    return secret


def open_to_all(path: FilePath) -> bool:
    """True when every user of this machine may read the file and somebody here chose that mode."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IROTH) and not str(path.resolve()).startswith(f"{os.sep}run{os.sep}secrets{os.sep}")


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"
