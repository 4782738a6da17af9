"""What a rule has to say about settings that are valid one by one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sipfailover.config.model import Settings
from sipfailover.config.tree import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about these settings. `warning` False: they cannot run."""

    path: Path
    text: str
    warning: bool = False
    compared: tuple[Path, ...] = ()
    """Other paths whose values led to this."""


Rule = Callable[[Settings], Iterator[Finding]]
