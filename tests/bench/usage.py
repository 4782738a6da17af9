"""What a process and its children use, from /proc: CPU seconds and resident memory."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
"""Clock ticks a second, the unit of utime and stime."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Of a whole tree. `cpu`: seconds in user and kernel mode, children that have ended included. `memory`: bytes;
    what several processes share is divided among them (PSS)."""

    cpu: float
    memory: int


def of_tree(pid: int) -> Usage:
    """Usage of a process and its descendants now. Who ends meanwhile is left out."""
    cpu = memory = 0
    for one in _tree(pid):
        try:
            after_name = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            cpu += sum(int(ticks) for ticks in after_name[11:15])  # utime, stime, cutime, cstime: fields 14 to 17
            memory += _pss(one)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return Usage(cpu / TICKS, memory)


def _pss(pid: int) -> int:
    rows = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:"))


def _tree(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:  # grows while it is walked
        found += parents.get(one, [])
    return found
