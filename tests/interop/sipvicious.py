"""SIPVicious, the scanner that everybody on the internet is visited by: where its tools are, and a run of one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.interop.stage import Stage

WITHIN = 60.0
"""Seconds for one run."""
STRANGER = 99
"""Last byte of the address that it scans from."""


def tool(name: str) -> str:
    """`svmap`, `svwar` or `svcrack` as it is called here: beside the interpreter, by its long name, or by Debian's."""
    beside = Path(sys.executable).with_name(f"sipvicious_{name}")
    return str(beside) if beside.exists() else shutil.which(f"sipvicious_{name}") or name


def scan(stage: Stage, name: str, *words: str) -> str:
    """Everything that a run from a stranger's address says."""
    command = [tool(name), "-b", stage.host(STRANGER), "-x", stage.host(STRANGER), "-v", *words]
    done = subprocess.run(
        command, cwd=stage.folder, env={**os.environ, "HOME": str(stage.folder)}, stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=WITHIN,
    )  # fmt: skip
    said = done.stdout + done.stderr
    (stage.folder / f"{name}.log").write_text(said)
    assert "Traceback" not in said, said
    return said
