"""SECURITY.md promises by naming tests: each of them exists, and no line promises without one."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "SECURITY.md").read_text()
ROWS = [line for line in TEXT.splitlines() if line.startswith("| ")][1:]


def names_of_tests() -> set[str]:
    """The names of all tests."""
    return {
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }


def test_every_line_of_the_threat_model_names_tests_that_exist() -> None:
    there = names_of_tests()
    assert len(ROWS) > 20
    for row in ROWS:
        named = re.findall(r"`(test_\w+)`", row)
        assert named, f"no test shows this: {row}"
        assert not set(named) - there, f"no such test: {sorted(set(named) - there)}"


def test_it_is_one_page() -> None:
    assert len(TEXT.splitlines()) <= 60
