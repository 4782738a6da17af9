"""The rules of the house that a machine can hold, each with the reason in its message.

`make lint` runs the four tools alone; `make format` mends what can be mended.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from sipfailover import __version__
from sipfailover.cli import app

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sipfailover"
MODULES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py"))
LINES_MAX = 450

TESTED_ELSEWHERE = {
    "__main__.py": ("tests/test_package.py", "one line, run as `python -m sipfailover`"),
    "config/check.py": ("tests/config/test_load.py", "its rules are seen as the problems of a file"),
    "config/check_numbers.py": ("tests/config/test_load.py", "its rules are seen as the problems of a file"),
    "config/describe.py": ("tests/test_cli.py", "it is the output of `check`"),
    "config/explain.py": ("tests/config/test_load.py", "its words are seen as the problems of a file"),
    "config/merge.py": ("tests/config/test_profiles.py", "a profile is seen in the settings of a file that names it"),
    "config/model.py": ("tests/config/test_load.py", "a setting is known by loading a file that has it"),
    "config/section.py": ("tests/config/test_load.py", "seen in every section"),
    "config/trunk.py": ("tests/config/test_load.py", "a setting is known by loading a file that has it"),
    "config/substitute.py": ("tests/config/test_load.py", "secrets come in while a file is loaded"),
    "config/tree.py": ("tests/config/test_load.py", "positions are seen in the problems of a file"),
    "errors.py": ("tests/test_cli.py", "what an error is for is how it is told"),
    "healthcheck.py": ("tests/test_cli.py", "it is a verb too"),
    "ledger/queries.py": ("tests/ledger/test_store.py", "what was stored is known by asking for it"),
    "profiles/profile.py": ("tests/config/test_profiles.py", "profiles are for the configuration, and judged there"),
    "profiles/tell.py": ("tests/config/test_profiles.py", "profiles are for the configuration, and judged there"),
    "proxy/facts.py": ("tests/web/test_metrics.py", "records; the one derived field is what metrics count"),
    "proxy/blame.py": ("tests/proxy/test_watch.py", "whom it blames is seen in what is held against a trunk"),
    "proxy/answers.py": ("tests/proxy/test_ladder.py", "what a caller hears is seen at the end of a ladder"),
    "proxy/call.py": ("tests/proxy/test_ladder.py", "values; what they are for is seen in a call"),
    "proxy/closing.py": ("tests/proxy/test_ladder.py", "the record at the end of every attempt"),
    "proxy/failovers.py": ("tests/proxy/test_watch.py", "what follows from the health that is watched"),
    "proxy/ending.py": ("tests/proxy/test_ladder.py", "the end of a ladder that nobody answered"),
    "proxy/core.py": ("tests/proxy/test_engine.py", "the tables that all rooms share; seen wherever a call ends"),
    "proxy/loops.py": ("tests/attack/test_loops.py", "an attack: calls that go in a circle"),
    "proxy/line.py": ("tests/proxy/test_engine.py", "what the settings say, seen in how a line is used"),
    "simulator/": ("tests/simulator/test_endpoints.py", "its parts judge others only together, so together they are"),
    "simulator/peers.py": ("tests/simulator/test_demo.py", "real sockets and a loop: the demo is their only user"),
    "simulator/screen.py": ("tests/simulator/test_demo.py", "what the demo shows"),
    "transport/connections.py": ("tests/transport/test_stream.py", "stream connections, all together"),
    "transport/listener.py": ("tests/transport/test_stream.py", "it is seen in who is taken, and who is not"),
    "transport/naming.py": ("tests/transport/test_resolve.py", "how we name ourselves, seen in the targets"),
    "transport/opening.py": ("tests/transport/test_tls.py", "seen in the connections, and in why there is none"),
    "transport/pool.py": ("tests/transport/test_udp.py", "the sockets are only met through it"),
    "transport/sockets.py": ("tests/transport/test_udp.py", "options of sockets, seen in what they do"),
    "trunk/answers.py": ("tests/trunk/test_registration.py", "they are inputs of that table"),
    "trunk/counters.py": ("tests/trunk/test_health.py", "effects of the rows of that table"),
    "trunk/evidence.py": ("tests/trunk/test_health.py", "inputs of that table"),
    "trunk/masking.py": ("tests/web/test_words.py", "what the page shows of a number, and the log too"),
    "trunk/lease.py": ("tests/trunk/test_registration.py", "effects of the rows of that table"),
    "trunk/questions.py": ("tests/trunk/test_health.py", "conditions of the rows of that table"),
    "web/page.py": ("tests/web/test_server.py", "the page as a browser gets it"),
    "web/views.py": ("tests/web/test_server.py", "the answers as a client gets them"),
}
"""Module (or package, with a slash at its end) → the file that tests it, and why that is the right place."""

OPEN_ROOMS = {
    "sipfailover.proxy.commands": "records: who performs or simulates them need not load the engine",
    "sipfailover.proxy.facts": "records: who stores or counts them need not load the engine",
    "sipfailover.proxy.view": "records: who shows them need not load the engine",
    "sipfailover.simulator.demo": "a program with a terminal of its own: tests of the simulator need not load it",
    "sipfailover.simulator.simulate": "a program too, and it prints",
}
"""Modules that other packages may import past the front door, besides those that the front door itself hands out."""


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def text_files() -> Iterator[Path]:
    """Everything that people write: no vectors (they are what others wrote), no locks, nothing generated."""
    yield from (
        path for path in sorted(ROOT.iterdir()) if path.is_file() and path.suffix != ".lock" and path.name != ".git"
    )
    for folder in (".ci", "examples", "sipfailover", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            made = {"vectors", "corpus"} & {*path.parts}
            if path.is_file() and not made and path.suffix not in (".pyc", ".pcap", ".wav"):
                yield path


# ---- what tools hold


def run(why: str, *command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode:
        pytest.fail(f"{why}\n$ {' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)


def test_everything_is_formatted() -> None:
    run("Not formatted; `make format` does it.", sys.executable, "-m", "ruff", "format", "--check", ".")


def test_the_linter_finds_nothing() -> None:
    run("The linter found something.", sys.executable, "-m", "ruff", "check", ".")


@pytest.mark.slow
def test_types_are_right() -> None:
    run("The types do not fit together.", sys.executable, "-m", "mypy")


def test_imports_point_down_only() -> None:
    linter = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    run("An import points up (the layers are in pyproject.toml).", sys.executable, "-c", linter, "--no-logo")


# ---- what every module owes its reader


@pytest.mark.parametrize("path", [*MODULES, *TESTS], ids=relative)
def test_a_module_begins_with_what_it_is(path: Path) -> None:
    module = tree(path)
    assert not module.body or ast.get_docstring(module), "a module begins with one paragraph"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_public_class_says_what_it_is(path: Path) -> None:
    classes = (node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef))
    silent = [node.name for node in classes if not node.name.startswith("_") and not ast.get_docstring(node)]
    assert not silent, "a class begins with what it is"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_is_short_enough_to_hold_in_the_head(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= LINES_MAX, f"{lines} lines are two nouns: find the second one"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_has_its_test(path: Path) -> None:
    if not any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(tree(path))):
        return  # constants, records or a front door: nothing that could be done wrong
    inner = path.relative_to(PACKAGE)
    own = ROOT / "tests" / inner.parent / f"test_{inner.name}"
    elsewhere = TESTED_ELSEWHERE.get(inner.as_posix()) or TESTED_ELSEWHERE.get(f"{inner.parts[0]}/")
    assert own.exists() or elsewhere, f"{relative(own)} is missing; tested elsewhere? Say where in TESTED_ELSEWHERE"


@pytest.mark.parametrize("module", TESTED_ELSEWHERE)
def test_where_it_is_tested_is_true(module: str) -> None:
    assert (PACKAGE / module).exists(), "no such module any more"
    assert (ROOT / TESTED_ELSEWHERE[module][0]).exists(), "no such test any more"
    own = Path(module).with_name(f"test_{Path(module).name}")
    assert module.endswith("/") or not (ROOT / "tests" / own).exists(), "it has a test of its own now"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_neighbours_come_in_by_the_front_door(path: Path) -> None:
    inner = path.relative_to(PACKAGE)
    own = f"sipfailover.{inner.parts[0]}" if len(inner.parts) > 1 else ""
    for node in ast.walk(tree(path)):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            package, _, room = name.rpartition(".")
            if package.startswith("sipfailover.") and package != own and name not in OPEN_ROOMS:
                door = tree(ROOT / Path(*package.split(".")) / "__init__.py")
                handed_out = {
                    alias.name
                    for given in door.body
                    if isinstance(given, ast.ImportFrom) and given.level == 1 and not given.module
                    for alias in given.names
                }
                assert room in handed_out, f"line {node.lineno}: import from {package}, not from its room {room}"


# ---- what tests must not do


@pytest.mark.parametrize("path", TESTS, ids=relative)
def test_nothing_of_ours_is_mocked(path: Path) -> None:
    for node in ast.walk(tree(path)):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        assert not any(name.startswith(("unittest.mock", "mock")) for name in names), (
            "there is a clock, a network and a carrier in tests/kit and sipfailover/simulator"
        )


@pytest.mark.parametrize(
    "folder", ["wire", "transaction", "trunk", "routing", "proxy", "config", "simulator", "simulation", "properties"]
)
def test_nothing_sleeps_where_a_clock_can_jump(folder: str) -> None:
    for path in sorted((ROOT / "tests" / folder).rglob("*.py")):
        for node in ast.walk(tree(path)):
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            assert name != "sleep", f"{relative(path)}:{node.lineno}: let the engine's clock pass instead"


# ---- what must not stand anywhere


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b", "do it, or write an issue"),
        (r"/(home|Users|root)" r"/\w", "the path of one machine"),
        (r"^(<{7}|>{7}) ", "a merge that was not finished"),
    ],
)
def test_nowhere_in_the_tree(pattern: str, why: str) -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if re.search(pattern, line)
    ]
    assert not found, f"{why}:\n" + "\n".join(found)


# ---- what documents promise


def code_in(document: Path) -> Iterator[str]:
    """The lines of a Markdown file's code blocks and its inline code."""
    text = document.read_text() if document.exists() else ""
    for block in re.findall(r"^```.*?\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        yield from block.splitlines()
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)


@pytest.mark.parametrize("document", ["README.md", "CHANGELOG.md"])
def test_every_command_in_a_document_exists(document: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    verbs |= {group.name for group in app.registered_groups if group.name}
    for line in code_in(ROOT / document):
        for known, pattern in (
            (targets, r"^\s*(?:\$ )?make ([a-z]\w*)"),
            (verbs, r"^\s*(?:\$ )?sipfailover ([a-z]\w*)"),
        ):
            if found := re.match(pattern, line):
                assert found[1] in known, f"{document} promises a command that does not exist: {line}"


def test_the_version_is_the_same_everywhere() -> None:
    assert re.search(rf"^## \[?{re.escape(__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert f"image: sipfailover:{__version__} " in (ROOT / "examples" / "compose.yaml").read_text()


# ---- what the locks promise


def pins(lock: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / lock).read_text(), flags=re.MULTILINE))


def test_locks_agree_with_each_other() -> None:
    everything = pins("requirements-dev.lock")
    for lock in ("requirements.lock", "requirements-build.lock"):
        differing = {name: pin for name, pin in pins(lock).items() if everything.get(name, pin) != pin}
        assert not differing, f"{lock} and requirements-dev.lock go into the same environment"
    assert pins("requirements.lock").items() <= everything.items(), "tests run with what is shipped"


def test_locks_hold_what_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    asked = {
        "requirements.lock": project["project"]["dependencies"],
        "requirements-dev.lock": project["project"]["optional-dependencies"]["dev"],
        "requirements-build.lock": project["build-system"]["requires"],
    }
    for lock, lines in asked.items():
        pinned = pins(lock)
        for requirement in map(Requirement, lines):
            pin = pinned.get(requirement.name.lower())
            assert pin, f"{lock} lacks {requirement.name}: lock again"
            assert requirement.specifier.contains(pin), f"{lock} has {requirement.name} {pin}: lock again"
