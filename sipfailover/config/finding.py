"""What a rule over several settings has found: a value."""

from dataclasses import dataclass

from sipfailover.config.tree import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing about these settings. `warning` False: they cannot run."""

    path: Path
    text: str
    warning: bool = False
    compared: tuple[Path, ...] = ()
    """Other paths whose values led to this."""
