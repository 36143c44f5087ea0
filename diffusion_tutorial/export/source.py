"""The source of a module with all that it needs of this package, as one file that stands alone: for export.folder.

Used in "Meet the professionals". It is copied from the modules themselves, so the two cannot drift apart. Of their text only
the imports change: what comes from this package stands above in the same file, and jaxtyping, which says no more than
shapes, is left out; annotations are then never looked at.
"""

import ast
import importlib.util
from pathlib import Path

PACKAGE = "diffusion_tutorial"
HEAD = '''"""Copied from {package} {version}, its modules one below the other:
{names}. Only their imports are changed."""

from __future__ import annotations

import sys
'''


def alone(module: str, version: str) -> str:
    """The text of a file that defines what `module` does, and needs nothing of this package to do so."""
    order: list[str] = []
    _gather(module, order)
    head = HEAD.format(package=PACKAGE, version=version, names=", ".join(name.partition(".")[2] for name in order))
    return "\n\n".join([head, *(f"# {name}\n{without_imports(read(name))}" for name in order)])


def read(module: str) -> str:
    """The source of a module, which is not loaded for it."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ValueError(f"expected a module of this package, got {module}")
    return Path(spec.origin).read_text(encoding="utf-8")


def without_imports(text: str) -> str:
    """A module's text without its imports from this package and from jaxtyping.

    A module that was imported by name is then the file itself: `english = sys.modules[__name__]`.
    """
    lines = text.splitlines(keepends=True)
    for node in reversed(ast.parse(text).body):
        if isinstance(node, ast.ImportFrom) and _ours(node):
            lines[node.lineno - 1 : node.end_lineno] = [
                f"{alias.asname or alias.name} = sys.modules[__name__]\n"
                for alias in node.names
                if _module(node, alias)
            ]
        elif isinstance(node, ast.ImportFrom) and node.module == "jaxtyping":
            lines[node.lineno - 1 : node.end_lineno] = []
    return "".join(lines)


def _gather(module: str, order: list[str]) -> None:
    """`module` put into `order` behind all that it imports of this package."""
    for node in ast.parse(read(module)).body:
        if isinstance(node, ast.ImportFrom) and _ours(node):
            for needed in dict.fromkeys(_module(node, alias) or str(node.module) for alias in node.names):
                if needed not in order:
                    _gather(needed, order)
    order.append(module)


def _ours(node: ast.ImportFrom) -> bool:
    return (node.module or "").split(".")[0] == PACKAGE


def _module(node: ast.ImportFrom, alias: ast.alias) -> str | None:
    """The name of the module that is imported, where it is one and not a thing within."""
    name = f"{node.module}.{alias.name}"
    found = importlib.util.find_spec(str(node.module))
    if found is None or not found.submodule_search_locations:
        return None
    return name if importlib.util.find_spec(name) else None
