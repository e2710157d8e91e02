"""Mistakes in Python, by `ast`: a statement forgotten, a comparison turned round.

mutmut and cosmic-ray do this half, too, and were not taken. Both run the tests that
import the mutated code in their own process: mutmut keeps every variant of a function
in one file, and switches by a variable of the environment, which a `.tac`-like
chatserver.py, run by twistd in a copy of its folder, does not see; cosmic-ray rewrites
the file in place, so only one mutant can be judged at a time. Neither reads JavaScript
or templates, and neither knows the mistakes that learners make most: a decorator, an
`except`, two calls in the wrong order, a loop that ends after the first.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tests.mutation.edits import Edit

COMPARISONS = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Is: "is not",
    ast.IsNot: "is",
}
FORGETTABLE = (
    ast.Expr,
    ast.Assign,
    ast.AugAssign,
    ast.Delete,
    ast.Raise,
    ast.If,
    ast.For,
    ast.While,
    ast.Continue,
    ast.Break,
)


def edits(text: str) -> Iterator[Edit]:
    """Every mistake that this module knows, made in a module with this text."""
    tree = ast.parse(text)
    source = Source(text)
    for node in walk(tree):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(node, name, None)
            if isinstance(block, list):
                yield from in_block(source, node, block)
        yield from in_node(source, node)


def walk(node: ast.AST) -> Iterator[ast.AST]:
    """A node, and all that are in it; of what is only logged, nothing."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not only_logs(child):
            yield from walk(child)


def only_logs(node: ast.AST) -> bool:
    """Is it a statement that writes to the log, and no more?"""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    return ast.unparse(node.value.func).startswith(("log.", "self.log.", "print"))


class Source:
    """A text in which the nodes of its tree are found, by bytes."""

    def __init__(self, text: str):
        self.data = text.encode()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Where a node begins, with its decorators, and where it ends."""
        first = min(
            [node, *getattr(node, "decorator_list", [])],
            key=lambda part: (part.lineno, part.col_offset),
        )
        start = self.starts[first.lineno - 1] + first.col_offset
        if first is not node:
            start -= 1  # the @
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def of(self, node: ast.AST) -> str:
        """The text of a node."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def put(self, kind: str, node: ast.AST, new: str) -> Edit:
        """An edit that replaces a node."""
        return Edit(kind, *self.span(node), new)


def in_block(source: Source, parent: ast.AST, block: list) -> Iterator[Edit]:
    """Mistakes that concern whole statements, one after the other."""
    body = [*block]
    if body and is_docstring(body[0]):
        del body[0]
    inside = isinstance(parent, ast.FunctionDef | ast.AsyncFunctionDef)
    for statement in body:
        if only_logs(statement):
            continue
        forgettable = isinstance(statement, FORGETTABLE)
        if isinstance(parent, ast.ClassDef):
            # What a class has: a method, a Meta, an attribute.
            forgettable |= isinstance(statement, ast.FunctionDef | ast.ClassDef)
        if forgettable:
            yield source.put("drop a statement", statement, "pass")
    for first, second in zip(body, body[1:], strict=False):
        if may_swap(first, second):
            start, end = source.span(first)[0], source.span(second)[1]
            between = source.data[source.span(first)[1] : source.span(second)[0]]
            swapped = source.of(second) + between.decode() + source.of(first)
            yield Edit("swap two calls", start, end, swapped)
    if inside and len(body) > 1:
        start, column = source.span(body[0])[0], body[0].col_offset
        yield Edit("return early", start, start, f"return\n{' ' * column}")
    if isinstance(parent, ast.For) and body and block is parent.body:
        end, column = source.span(body[-1])[1], body[-1].col_offset
        yield Edit("stop after the first", end, end, f"\n{' ' * column}break")


def is_docstring(statement: ast.stmt) -> bool:
    """Is it a text that stands by itself?"""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def may_swap(first: ast.stmt, second: ast.stmt) -> bool:
    """Are these two calls, of which the second does not need a name of the first?"""
    if not (has_effect(first) and has_effect(second)):
        return False
    if not (calls(first) and calls(second)) or only_logs(first) or only_logs(second):
        return False
    made = {n.id for n in ast.walk(first) if is_name(n, ast.Store)}
    return not made & {n.id for n in ast.walk(second) if is_name(n, ast.Load)}


def has_effect(statement: ast.stmt) -> bool:
    """Is it a call, or does it put something into an object?"""
    if isinstance(statement, ast.Assign):
        return not any(isinstance(target, ast.Name) for target in statement.targets)
    return isinstance(statement, ast.Expr | ast.AugAssign)


def calls(statement: ast.stmt) -> bool:
    """Does it call something?"""
    return any(isinstance(node, ast.Call) for node in ast.walk(statement))


def is_name(node: ast.AST, context: type) -> bool:
    """Is it a name that is read, or bound?"""
    return isinstance(node, ast.Name) and isinstance(node.ctx, context)


def in_node(source: Source, node: ast.AST) -> Iterator[Edit]:
    """Mistakes within a statement or an expression."""
    if isinstance(node, ast.If | ast.While | ast.IfExp):
        yield negate(source, node.test)
    elif isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield negate(source, test)
    elif isinstance(node, ast.Compare):
        yield from swap_comparison(source, node)
    elif isinstance(node, ast.BoolOp):
        word = "or" if isinstance(node.op, ast.And) else "and"
        parts = [f"({source.of(part)})" for part in node.values]
        yield source.put("swap and, or", node, f" {word} ".join(parts))
    elif isinstance(node, ast.Constant):
        yield from move_constant(source, node)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        node.value.stands_alone = True  # Its result is nobody's.
    elif isinstance(node, ast.Call):
        yield from in_call(source, node)
    elif isinstance(node, ast.Return) and node.value is not None:
        if not is_constant(node.value, None):
            yield source.put("return nothing", node, "return")
    elif isinstance(node, ast.ExceptHandler) and node.type is not None:
        yield source.put("let an exception through", node.type, "()")
    elif isinstance(node, ast.List | ast.Tuple | ast.Set):
        loaded = isinstance(getattr(node, "ctx", ast.Load()), ast.Load)
        if loaded and len(node.elts) > 1:
            yield from drop_each(source, "drop an element", node.elts)
    elif isinstance(node, ast.Dict) and len(node.keys) > 1 and all(node.keys):
        pairs = list(zip(node.keys, node.values, strict=True))
        yield from drop_pairs(source, pairs)
    for decorator in getattr(node, "decorator_list", []):
        start, end = source.span(decorator)
        yield Edit("drop a decorator", start - 1, end, "# no decorator")


def negate(source: Source, test: ast.expr) -> Edit:
    """The condition the other way round."""
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return source.put("negate a condition", test, f"({source.of(test.operand)})")
    return source.put("negate a condition", test, f"not ({source.of(test)})")


def swap_comparison(source: Source, node: ast.Compare) -> Iterator[Edit]:
    """Each comparison of a chain, with the border on the other side."""
    left = node.left
    for op, right in zip(node.ops, node.comparators, strict=True):
        start, end = source.span(left)[1], source.span(right)[0]
        # Parentheses around an operand stay.
        between = source.data[start:end].decode()
        word = between.strip("() \n")
        new = between.replace(word, COMPARISONS[type(op)])
        yield Edit("swap a comparison", start, end, new)
        left = right


def move_constant(source: Source, node: ast.Constant) -> Iterator[Edit]:
    """A number one more, a truth turned round."""
    if isinstance(node.value, bool):
        yield source.put("turn a truth round", node, str(not node.value))
    elif isinstance(node.value, int | float):
        moved = source.of(node).replace("_", "")
        try:
            value = type(node.value)(moved) + 1
        except ValueError:  # hexadecimal
            value = node.value + 1
        yield source.put("move a number by one", node, str(value))


def is_constant(node: ast.expr, value: object) -> bool:
    """Is it this constant?"""
    return isinstance(node, ast.Constant) and node.value is value


def in_call(source: Source, node: ast.Call) -> Iterator[Edit]:
    """An argument forgotten, or the result replaced."""
    given = sorted([*node.args, *node.keywords], key=lambda part: source.span(part))
    if not any(isinstance(part, ast.GeneratorExp) for part in given):
        yield from drop_each(source, "drop an argument", given)
    if hasattr(node, "stands_alone"):
        return
    kind = "replace a call's result"
    plain = [part for part in node.args if not isinstance(part, ast.Starred)]
    if plain and not isinstance(plain[0], ast.GeneratorExp):
        yield source.put(kind, node, f"({source.of(plain[0])})")
    elif isinstance(node.func, ast.Attribute):
        yield source.put(kind, node, source.of(node.func.value))
    else:
        yield source.put(kind, node, "None")


def drop_each(source: Source, kind: str, parts: list) -> Iterator[Edit]:
    """Leave out each of `parts`, which commas separate, in turn."""
    if not parts:
        return
    start, end = source.span(parts[0])[0], source.span(parts[-1])[1]
    for left_out in parts:
        rest = [source.of(part) for part in parts if part is not left_out]
        yield Edit(kind, start, end, ", ".join(rest))


def drop_pairs(
    source: Source, pairs: list[tuple[ast.expr, ast.expr]]
) -> Iterator[Edit]:
    """Leave out each pair of a dict in turn."""
    start, end = source.span(pairs[0][0])[0], source.span(pairs[-1][1])[1]
    for left_out in pairs:
        rest = [
            f"{source.of(key)}: {source.of(value)}"
            for key, value in pairs
            if key is not left_out[0]
        ]
        yield Edit("drop an element", start, end, ", ".join(rest))
