"""A skipped interop test is listed with its reason, or fails when interop is required."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ONE_TEST = """
import pytest

@pytest.mark.interop
def test_peer(): pytest.skip("no peer here")

@pytest.mark.interop
@pytest.mark.skipif(True, reason="wrong day")
def test_day(): pass

def test_other(): pytest.skip("not a matter of peers")
"""
WHOLE_MODULE = "import pytest\npytest.skip('no peer at all', allow_module_level=True)"


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = interop\n")
    (tmp_path / "interop").mkdir()
    return tmp_path


def run(suite: Path, interop: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=suite,
        env={**os.environ, "SIPFAILOVER_INTEROP": interop},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_skipped_interop_tests_are_listed_with_their_reasons(suite: Path) -> None:
    (suite / "test_a.py").write_text(ONE_TEST)
    (suite / "interop" / "test_b.py").write_text(WHOLE_MODULE)
    done = run(suite, "")
    assert done.returncode == 0, done.stdout
    _, _, summary = done.stdout.partition("3 interop tests skipped")
    assert "interop/test_b.py: no peer at all\n" in summary
    assert "test_a.py::test_peer: no peer here\n" in summary
    assert "test_a.py::test_day: wrong day\n" in summary
    assert "not a matter of peers" not in summary


def test_a_skipped_interop_test_fails_where_interop_is_required(suite: Path) -> None:
    (suite / "test_a.py").write_text(ONE_TEST)
    done = run(suite, "required")
    assert done.returncode == 1
    assert "1 failed, 1 skipped, 1 error" in done.stdout  # an error, because skipif speaks before the test begins
    assert "test_a.py::test_peer was skipped, but SIPFAILOVER_INTEROP=required: no peer here" in done.stdout


def test_a_module_that_skips_itself_fails_where_interop_is_required(suite: Path) -> None:
    (suite / "interop" / "test_b.py").write_text(WHOLE_MODULE)
    done = run(suite, "required")
    assert done.returncode == 2
    assert "interop/test_b.py was skipped, but SIPFAILOVER_INTEROP=required: no peer at all" in done.stdout


def test_without_interop_tests_nothing_is_said(suite: Path) -> None:
    (suite / "test_a.py").write_text("def test_fine(): pass")
    assert "interop tests" not in run(suite, "").stdout
