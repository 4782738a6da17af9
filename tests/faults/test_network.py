"""Our own network goes away and comes back: nobody is blamed, and calls go on with it, the one in progress too."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.cable import STORIES
from tests.faults.needs import needs_root_and

ROOT = Path(__file__).parents[2]
TOLD_WITHIN = 120.0


@pytest.mark.parametrize("story", STORIES)
@needs_root_and("unshare", "ip")
def test_our_network_goes_away_and_comes_back(story: str, tmp_path: Path) -> None:
    command = ["unshare", "--net", sys.executable, "-m", "tests.faults.cable", story, str(tmp_path)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TOLD_WITHIN)
    print(told.stdout)
    log = (tmp_path / "sipfailover.log").read_text()
    assert told.returncode == 0, f"{told.stdout}\n{told.stderr}\n{log[-4000:]}"
    assert "Traceback" not in log
