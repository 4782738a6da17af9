"""No core file of a process that has our passwords: neither on disk nor in a pipe."""

import resource
import subprocess
import sys

DIES = """
import os, resource
from sipfailover.secrecy import no_core_dumps
no_core_dumps()
no_core_dumps()
print(*resource.getrlimit(resource.RLIMIT_CORE), flush=True)
os.abort()
"""


def test_a_process_that_dies_leaves_no_memory_behind() -> None:
    done = subprocess.run([sys.executable, "-c", DIES], capture_output=True, text=True, timeout=20)
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = 0 if most == 0 else 1
    assert done.stdout == f"{limit} {limit}\n"
    assert done.returncode == -6
