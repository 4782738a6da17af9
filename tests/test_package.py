"""Wheel and sdist: both are built as `make build` builds them, and the wheel works where nothing else is."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from sipfailover import __version__

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, cwd: Path) -> str:
    """Standard output of a command that must succeed, in an environment that knows nothing of this tree."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "SIPFAILOVER_"))}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def files_under(folder: str) -> set[str]:
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix() for path in found}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that was built from it, so that the sdist is known to be whole."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return out


@pytest.fixture(scope="module")
def source(dist: Path) -> Path:
    run("tar", "-xzf", f"sipfailover-{__version__}.tar.gz", cwd=dist)
    return dist / f"sipfailover-{__version__}"


@pytest.fixture(scope="module")
def installed(dist: Path, source: Path) -> Path:
    """The `bin` of a fresh environment with the locked requirements and the wheel, nothing else."""
    home = dist / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run(*pip, "--require-hashes", "-r", source / "requirements.lock", cwd=dist)
    run(*pip, "--no-index", "--no-deps", dist / f"sipfailover-{__version__}-py3-none-any.whl", cwd=dist)
    return home / "bin"


def test_the_wheel_has_the_package_and_nothing_else(dist: Path) -> None:
    with zipfile.ZipFile(dist / f"sipfailover-{__version__}-py3-none-any.whl") as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert names == files_under("sipfailover")
    assert {
        "sipfailover/py.typed",
        "sipfailover/ledger/schema.sql",
        "sipfailover/profiles/swisscom-smart-business-connect.yaml",
        "sipfailover/web/templates/page.html",
        "sipfailover/web/static/style.css",
    } <= names


def test_the_sdist_has_all_that_is_needed_to_test_and_build(source: Path) -> None:
    names = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert {
        ".ci/run",
        ".dockerignore",
        "CHANGELOG.md",
        "Dockerfile",
        "LICENSE",
        "Makefile",
        "README.md",
        "pyproject.toml",
        "requirements-build.lock",
        "requirements-dev.lock",
        "requirements.lock",
    } <= names
    for folder in ("sipfailover", "tests", "examples"):
        assert files_under(folder) - names == set()


def test_the_wheel_works_where_nothing_else_is(installed: Path, source: Path) -> None:
    assert run(installed / "sipfailover", "version", cwd=source.parent).startswith(f"sipfailover {__version__} ")
    run(installed / "python", "-m", "pip", "check", cwd=source.parent)
    example = source / "examples" / "two-carriers-by-address.yaml"
    assert ": good" in run(installed / "python", "-m", "sipfailover", "check", "-c", example, cwd=source.parent)
    shown = run(installed / "sipfailover", "profiles", "--json", cwd=source.parent)
    in_tree = {path.stem for path in (ROOT / "sipfailover" / "profiles").glob("*.yaml")}
    assert {profile["name"] for profile in json.loads(shown)} == in_tree


def test_package_data_is_found_where_pip_has_put_it(installed: Path, dist: Path) -> None:
    code = (
        "from datetime import datetime\n"
        "from sipfailover.ledger.store import Store\n"
        "from sipfailover.web import page\n"
        "Store(':memory:', lambda at: datetime.now())\n"
        "page.Page(site='', version='')\n"
        "print(page.__file__)\n"
    )
    assert run(installed / "python", "-c", code, cwd=dist).startswith(str(installed.parent))
