"""Which basic blocks of our code were reached: a mark in each, written in while a module is imported.

A tracer of the interpreter costs ten times what is measured, and `sys.monitoring` is Python 3.12's; a store into a
`bytearray` costs 30 ns and works everywhere. Marks stand at the beginning of every function, branch, loop, handler
and case, and behind whatever may leave early. Only modules that are not yet imported get theirs.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from types import CodeType, ModuleType

NAME = "_fuzz_blocks"
BLOCKS_MAX = 65_536
"""Marks altogether. Beyond it the last one is shared: coverage is then a little blind there, nothing else."""

reached = bytearray(BLOCKS_MAX)
"""1 where a block was reached since the start of the process."""


class _Marking(ast.NodeTransformer):
    def __init__(self, first: int) -> None:
        self.next = first

    def _mark(self) -> ast.stmt:
        number = min(self.next, BLOCKS_MAX - 1)
        self.next += 1
        (statement,) = ast.parse(f"{NAME}[{number}] = 1").body
        return statement

    def _marked(self, body: list[ast.stmt]) -> list[ast.stmt]:
        """A body with a mark in front, and one behind each statement that may leave."""
        marked = [self._mark()]
        for place, statement in enumerate(body):
            marked.append(self.visit(statement))
            if place + 1 < len(body) and isinstance(statement, ast.If | ast.For | ast.While | ast.Try | ast.Match):
                marked.append(self._mark())
        return marked

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        text = node.body[:1] if ast.get_docstring(node) else []
        node.body = [*text, *self._marked(node.body[len(text) :])]
        return node

    def generic_visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.If | ast.For | ast.While | ast.Try | ast.With | ast.ExceptHandler | ast.match_case):
            for field in ("body", "orelse", "finalbody"):
                body = getattr(node, field, None)
                if body:
                    setattr(node, field, self._marked(body))
            for inner in (*getattr(node, "handlers", ()), *getattr(node, "cases", ())):
                self.visit(inner)
            return node
        return super().generic_visit(node)


class _Loader(importlib.machinery.SourceFileLoader):
    def source_to_code(self, data: object, path: object, *, _optimize: int = -1) -> CodeType:  # type: ignore[override]
        marking = _Marking(_Finder.blocks)
        module = ast.fix_missing_locations(marking.visit(ast.parse(data)))  # type: ignore[call-overload]
        _Finder.blocks = min(marking.next, BLOCKS_MAX)
        return compile(module, str(path), "exec", dont_inherit=True, optimize=_optimize)

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)  # never a cached one: it has no marks

    def exec_module(self, module: ModuleType) -> None:
        setattr(module, NAME, reached)
        super().exec_module(module)


class _Finder(importlib.abc.MetaPathFinder):
    blocks = 0

    def __init__(self, packages: tuple[str, ...]) -> None:
        self.packages = packages

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if not any(name == one or name.startswith(one + ".") for one in self.packages):
            return None
        found = importlib.machinery.PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        if found is None or not found.origin or not found.origin.endswith(".py"):
            return None
        return importlib.util.spec_from_file_location(
            name,
            found.origin,
            loader=_Loader(name, found.origin),
            submodule_search_locations=found.submodule_search_locations,
        )


def mark(*packages: str) -> None:
    """From now on modules of these packages are imported with marks in them."""
    assert not any(name in sys.modules for name in packages), "imported already: too late for marks"
    sys.meta_path.insert(0, _Finder(packages))


def count() -> int:
    """Blocks that were reached so far."""
    return reached.count(1)


def total() -> int:
    """Blocks of the modules that were imported so far."""
    return _Finder.blocks
