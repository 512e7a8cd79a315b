"""Read the repository's own Python files, for the tests that keep the house rules."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Collection, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRODUCT = ("tavid_core", "tavid_ros", "training", "benchmarks", "tools", "launch", "examples")


def list_files(*folders: str) -> list[Path]:
    """Python files below the folders, relative to the root, sorted."""
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return sorted(
        path.relative_to(ROOT)
        for path in found
        if not {"assets", "__pycache__", "node_modules"} & set(path.parts)
    )


@functools.cache
def parse(path: Path) -> ast.Module:
    """Parse a file given relative to the root."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def module_name(path: Path) -> str:
    """Dotted name of a file given relative to the root."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def walk_nodes(tree: ast.AST, *, at_import_only: bool = False) -> Iterator[ast.AST]:
    """All nodes, or only those that run when the module is imported."""
    for child in ast.iter_child_nodes(tree):
        is_later = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        if at_import_only and (is_later or _is_type_checking(child)):
            continue
        yield child
        yield from walk_nodes(child, at_import_only=at_import_only)


@functools.cache
def list_imports(path: Path, *, at_import_only: bool = False) -> frozenset[str]:
    """Dotted names that a file imports; `from a.b import c` counts as both a.b and a.b.c."""
    names = set()
    for node in walk_nodes(parse(path), at_import_only=at_import_only):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _resolve(path, node)
            names.add(base)
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(names)


def _resolve(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parent = path.parent.parts[: len(path.parent.parts) - (node.level - 1)]
    return ".".join([*parent, *([node.module] if node.module else [])])


def top_level(names: Collection[str]) -> set[str]:
    """First parts of dotted names."""
    return {name.split(".")[0] for name in names}


def environment_without(*variables: str) -> dict[str, str]:
    """The environment of this process less some variables."""
    return {key: value for key, value in os.environ.items() if key not in variables}
