"""Mistakes in scripts, read by tree-sitter, and in Django's templates.

A template is two languages in one: tree-sitter reads its HTML, which takes Django's
tags for text, and Django's own expression for a tag finds those.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.template.base import tag_re

from tests.mutation.edits import Edit

COMPARISONS = {
    "===": "!==",
    "!==": "===",
    "<": "<=",
    "<=": "<",
    ">": ">=",
    ">=": ">",
    "&&": "||",
    "||": "&&",
    "??": "&&",
}
FUNCTIONS = ("function_declaration", "arrow_function", "method_definition")


def parse(language: str, text: str):
    """The root of the syntax tree of a text. `language` is javascript or html.

    Raises ImportError where tree-sitter is not installed: it has wheels for CPython
    3.11 to 3.14, and none for a free-threaded one.
    """
    import tree_sitter

    if language == "html":
        import tree_sitter_html as grammar
    else:
        import tree_sitter_javascript as grammar
    parser = tree_sitter.Parser(tree_sitter.Language(grammar.language()))
    root = parser.parse(text.encode()).root_node
    assert not root.has_error, f"this is no {language}:\n{text}"
    return root


def walk(node) -> Iterator:
    """A node, and all that are in it."""
    yield node
    for child in node.named_children:
        yield from walk(child)


def text_of(node) -> str:
    """The text of a node."""
    return node.text.decode()


def put(kind: str, node, new: str) -> Edit:
    """An edit that replaces a node."""
    return Edit(kind, node.start_byte, node.end_byte, new)


# --- JavaScript -------------------------------------------------------------


def script_edits(text: str) -> Iterator[Edit]:
    """Every mistake that this module knows, made in a script with this text."""
    for node in walk(parse("javascript", text)):
        yield from in_script(node)


def in_script(node) -> Iterator[Edit]:
    """Mistakes in one node of a script."""
    kind = node.type
    if kind in ("expression_statement", "return_statement", "throw_statement"):
        listener = ".addEventListener(" in text_of(node).partition("\n")[0]
        what = "drop a listener" if listener else "drop a statement"
        yield put(what, node, ";")
    elif kind in ("program", "statement_block"):
        yield from swap_statements(node)
    elif kind == "if_statement":
        yield put("drop a statement", node, ";")
        yield negate(node.child_by_field_name("condition"))
    elif kind == "ternary_expression":
        yield negate(node.child_by_field_name("condition"))
    elif kind == "binary_expression":
        operator = node.child_by_field_name("operator")
        if operator.type in COMPARISONS:
            yield put("swap a comparison", operator, COMPARISONS[operator.type])
    elif kind == "number":
        number = float(text_of(node))
        # What is counted, by one; what is measured, by what would be noticed.
        new = number + 1 if number <= 10 else number * 10
        yield put("move a number", node, f"{new:g}" if new < 1e6 else str(int(new)))
    elif kind in ("true", "false"):
        yield put("turn a truth round", node, "false" if kind == "true" else "true")
    elif kind == "await_expression":
        yield put("drop an await", node, text_of(node.named_children[0]))
    elif kind == "object":
        pairs = [child for child in node.named_children if child.type != "comment"]
        yield from drop_each("drop a property", pairs)
    elif kind == "call_expression":
        yield from in_call(node)
    if kind in FUNCTIONS:
        body = node.child_by_field_name("body")
        if body.type == "statement_block" and len(body.named_children) > 1:
            first = body.named_children[0]
            at = first.start_byte
            yield Edit("return early", at, at, "return;\n")


def negate(condition) -> Edit:
    """The condition the other way round."""
    inner = text_of(condition)
    return put("negate a condition", condition, f"(!({inner}))")


def swap_statements(block) -> Iterator[Edit]:
    """Two calls, one after the other, in the other order."""
    children = [child for child in block.named_children if child.type != "comment"]
    for first, second in zip(children, children[1:], strict=False):
        if first.type == second.type == "expression_statement":
            between = block.text[
                first.end_byte - block.start_byte : second.start_byte - block.start_byte
            ].decode()
            new = text_of(second) + between + text_of(first)
            yield Edit("swap two calls", first.start_byte, second.end_byte, new)


def in_call(node) -> Iterator[Edit]:
    """An argument forgotten, or the result replaced."""
    function = node.child_by_field_name("function")
    given = node.child_by_field_name("arguments")
    if given.type != "arguments":
        return
    arguments = [child for child in given.named_children if child.type != "comment"]
    if len(arguments) > 1 or (arguments and "=>" not in text_of(arguments[0])):
        yield from drop_each("drop an argument", arguments)
    if node.parent.type == "expression_statement":
        return
    what = "replace a call's result"
    if arguments:
        yield put(what, node, f"({text_of(arguments[0])})")
    elif function.type == "member_expression":
        yield put(what, node, text_of(function.child_by_field_name("object")))


def drop_each(kind: str, parts: list) -> Iterator[Edit]:
    """Leave out each of `parts`, which commas separate, in turn."""
    if not parts:
        return
    for left_out in parts:
        rest = [text_of(part) for part in parts if part is not left_out]
        yield Edit(kind, parts[0].start_byte, parts[-1].end_byte, ", ".join(rest))


# --- Templates --------------------------------------------------------------


def template_edits(text: str) -> Iterator[Edit]:
    """Every mistake that this module knows, made in a template with this text."""
    # In HTML, what {% if a > b %} compares with would be the end of something.
    html = tag_re.sub(lambda tag: re.sub("[<>]", "_", tag[0]), text)
    for node in walk(parse("html", html)):
        if node.type == "attribute":
            before = node.start_byte - 1  # the blank before it
            yield Edit("drop an attribute", before, node.end_byte, "")
        elif node.type in ("element", "script_element") and is_small(node):
            yield put("drop an element", node, "")
        elif node.type == "text" and not tag_re.search(text_of(node)):
            yield put("drop a text", node, "")
    for match in tag_re.finditer(text):
        start = len(text[: match.start()].encode())
        end = start + len(match[0].encode())
        for kind, new in in_tag(match[0]):
            yield Edit(kind, start, end, new)


def is_small(element) -> bool:
    """Is it so small that somebody might forget it?"""
    name = re.match(r"<\w+", text_of(element))
    return name is not None and name[0] not in ("<html", "<head", "<body", "<main")


def in_tag(tag: str) -> Iterator[tuple[str, str]]:
    """What may go wrong in a tag or variable: the kind, and what stands there then."""
    inner = tag[2:-2].strip()
    if tag.startswith("{{"):
        name, *filters = inner.split("|")
        yield "drop a variable", ""
        yield "drop an escape", f"{{{{ {inner}|safe }}}}"
        for left_out in filters:
            rest = [one for one in filters if one is not left_out]
            yield "drop a filter", f"{{{{ {'|'.join([name, *rest])} }}}}"
        return
    if tag.startswith("{#"):
        return
    word, *arguments = inner.split()
    if word in ("load", "extends", "url", "static", "csrf_token"):
        yield "drop a tag", ""
    if word == "if":
        yield "negate a condition", f"{{% if not {' '.join(arguments)} %}}"
    if word == "for":
        yield "stop after the first", f'{{% {inner}|slice:":1" %}}'
        yield "stop after ten", f'{{% {inner}|slice:":10" %}}'
    if word == "url":
        for left_out in arguments[1:]:
            rest = [one for one in arguments if one is not left_out]
            yield "drop an argument", f"{{% url {' '.join(rest)} %}}"
