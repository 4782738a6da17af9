"""A Dockerfile as its steps, so that a test can take them in the order and the words of the file itself.

Knows what ours uses: comments, continued lines, stages with names, and instructions in their shell or JSON form.
"""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Stage:
    """One FROM and what follows it. `steps`: (INSTRUCTION, the rest of the line), continued lines joined."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for known, rest in self.steps if known == instruction]

    def one(self, instruction: str) -> str:
        (rest,) = self.all(instruction)
        return rest

    def words(self, instruction: str) -> list[str]:
        """An instruction in JSON form, `["sipfailover"]`, as its words."""
        words = json.loads(self.one(instruction))
        assert all(isinstance(word, str) for word in words)
        return list(words)


def stages(file: Path) -> list[Stage]:
    """The stages of a Dockerfile. What stands before the first FROM (global ARGs) is left out."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            _, _, name = rest.partition(" AS ")
            found.append(Stage(name.strip()))
        elif instruction and found:
            found[-1].steps.append((instruction, rest.strip()))
    return found


def assignments(rest: str) -> dict[str, str]:
    """`A=1 B="2 3"` of ENV and LABEL."""
    return dict(word.split("=", 1) for word in shlex.split(rest))


def let_through(ignore_file: Path, path: str) -> bool:
    """Whether .dockerignore lets a top-level name of the build context through: the last rule that fits counts."""
    through = True
    for rule in ignore_file.read_text().split("\n"):
        name = rule.strip().removeprefix("!")
        if rule and not rule.startswith("#") and name in ("*", path):
            through = rule.startswith("!")
    return through
