"""Places in a file: a Python symbol, or a line known by a unique piece of its text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass


class PlaceError(LookupError):
    """The file has no such place, or more than one. The text says which."""


class Ambiguous(PlaceError):
    """The file has more than one such place."""


@dataclass(frozen=True)
class Place:
    """Lines `first` to `last` of a file, counted from 1, both included."""

    first: int
    last: int

    @staticmethod
    def enclosing(lines: list[str], number: int, name: str, own: set[str]) -> str:
        """The dotted name of the function or class around line `number`, or "".

        A definition whose own first line is in `own` does not count.
        """
        if not name.endswith(".py"):
            return ""
        found = ""
        for dotted, node in _symbols(ast.parse("\n".join(lines))):
            is_definition = isinstance(node, DEFINITIONS)
            if is_definition and node.lineno < number <= node.end_lineno:
                if lines[node.lineno - 1] in own:
                    break
                found = dotted
        return found


DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def find_place(lines: list[str], selector: str, name: str) -> Place:
    """Where `selector` points in the file called `name`.

    A selector is a piece of text in double quotes that one line holds; or, for Python,
    a dotted symbol, "docstring" or "imports". A symbol includes its decorators and the
    comment right above it. So does, in JavaScript, a line that begins without indent
    and opens a block: it stands for all of the block. Raises PlaceError.
    """
    if selector.startswith('"'):
        text = selector.strip('"')
        found = [number for number, line in enumerate(lines, 1) if text in line]
        if len(found) != 1:
            error = Ambiguous if found else PlaceError
            raise error(f"{name}: {len(found)} lines have the text {text!r}.")
        if name.endswith(".js"):
            return _script_block(lines, found[0])
        return Place(found[0], found[0])
    if not name.endswith(".py"):
        raise PlaceError(f"{name} is not Python; name a place in it by its text.")
    tree = ast.parse("\n".join(lines))
    if selector == "docstring":
        if not ast.get_docstring(tree):
            raise PlaceError(f"{name} has no docstring.")
        return Place(tree.body[0].lineno, tree.body[0].end_lineno)
    if selector == "imports":
        found = [n for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
        if not found:
            raise PlaceError(f"{name} imports nothing.")
        return Place(found[0].lineno, found[-1].end_lineno)
    for dotted, node in _symbols(tree):
        if dotted == selector:
            return Place(_first_line(node, lines), node.end_lineno)
    raise PlaceError(f"{name} has no {selector}.")


def _script_block(lines: list[str], number: int) -> Place:
    opening = lines[number - 1]
    if opening.startswith(" ") or not opening.endswith("{"):
        return Place(number, number)
    first, last = number, number + 1
    while first > 1 and lines[first - 2].startswith("//"):
        first -= 1
    while not lines[last - 1].startswith("}"):
        last += 1
    return Place(first, last)


def _symbols(body: ast.AST, outer: str = "") -> Iterator[tuple[str, ast.stmt]]:
    for node in getattr(body, "body", []):
        for name in _names(node):
            dotted = f"{outer}{name}"
            yield dotted, node
            if isinstance(node, DEFINITIONS):
                yield from _symbols(node, f"{dotted}.")


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, DEFINITIONS):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


def _first_line(node: ast.stmt, lines: list[str]) -> int:
    decorators = getattr(node, "decorator_list", [])
    first = min([node.lineno, *(decorator.lineno for decorator in decorators)])
    indent = node.col_offset
    while first > 1 and lines[first - 2].startswith(" " * indent + "#"):
        first -= 1
    return first
