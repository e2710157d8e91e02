"""Contract and browser tests use what the reference gives, and nothing else of ours.

A learner's folder keeps what stands in docs/reference.md: addresses, frames, fields,
ids, roles, codes, variables. So these tests read the tests, and compare names.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tutorial.stages import ROOT

REFERENCE = ROOT / "docs" / "reference.md"
TESTS = [
    *ROOT.glob("tests/contract/*.py"),
    *ROOT.glob("tests/browser/*.py"),
    # By these they speak to a folder.
    *[
        ROOT / f"tests/support/{name}.py"
        for name in ("clients", "pages", "polling", "proxy", "servers", "strangers")
    ],
]
# What these mean, HTML and HTTP say, and not our pages.
TAGS = """
    a body button form h1 h2 h3 img input label li link main meta p script textarea time
"""
ATTRIBUTES = """
    action aria-disabled aria-hidden aria-label aria-labelledby content for href id lang
    name rel src type value
"""
STANDARD = """
    Access-Control-Request-Headers Access-Control-Request-Method Connection Cookie
    Content-Length Content-Type default-src Host Location Origin Referer
    Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Protocol
    Sec-WebSocket-Version Transfer-Encoding Upgrade User-Agent Vary
"""
# What is looked up in something that tests have made themselves, or that Playwright,
# pytest and the environment tell.
OWN = """
    body columnNumber headers height help html kept lineNumber nodes selectionEnd
    selectionStart text url violations width x y DJANGO_SETTINGS_MODULE NAME
    PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONUNBUFFERED REQUIRE_ENGINE SCRIPTED_CLOCK
    TEST_PATIENCE TUTORIAL_READS
"""

# By one of these a dict is known that is sent, or compared with what comes.
SENT = {"status", "epoch", "id", "Origin", "new_message", "lastupdate", "CHAT_PORT"}
# The codes below 4000 with which a server may close.
BY_SERVERS = {1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013}


def given() -> set[str]:
    """The names that stand as code in the reference, and all numbers."""
    text = REFERENCE.read_text("utf-8")
    fences = re.findall(r"^```.*?^```", text, re.M | re.S)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
    code = " ".join([*fences, *re.findall(r"`([^`\n]+)`", prose)])
    return {*re.findall(r"[\w.-]+", code), *re.findall(r"\b\d+\b", prose)}


def trees() -> Iterator[tuple[str, ast.Module]]:
    for file in TESTS:
        yield file.name, ast.parse(file.read_text("utf-8"))


def texts(tree: ast.AST) -> Iterator[str]:
    """All strings in a tree, whole or in pieces of an f-string."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def calls(tree: ast.AST, *names: str) -> Iterator[ast.Call]:
    """The calls of methods with these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in names:
            yield node


def selectors(tree: ast.AST) -> Iterator[str]:
    """The CSS selectors that are looked for, by Python or by JavaScript."""
    for call in calls(tree, "locator", "select", "select_one", "query_selector"):
        yield from (text for word in call.args[:1] for text in texts(word))
    script = r"(?:querySelector(?:All)?|matches|closest)\(\s*([\"'`])(.+?)\1"
    for text in texts(tree):
        yield from (found for _, found in re.findall(script, text, re.S))


def ids(tree: ast.AST) -> Iterator[str]:
    """The ids of elements that are looked for."""
    for text in texts(tree):
        yield from re.findall(r"getElementById\([\"'`](.+?)[\"'`]\)", text)
    for selector in selectors(tree):
        yield from re.findall(r"#([\w-]+)", selector)
    for call in calls(tree, "find"):
        for word in call.keywords:
            if word.arg == "id" and isinstance(word.value, ast.Constant):
                yield from texts(word.value)


def roles(tree: ast.AST) -> Iterator[str]:
    """The roles of elements that are looked for."""
    for call in calls(tree, "get_by_role"):
        yield from texts(call.args[0])
    for selector in selectors(tree):
        yield from re.findall(r"\[role=[\"']?([\w-]+)", selector)


def keys(tree: ast.AST) -> Iterator[str]:
    """Under which names something is looked up or put: fields, headers, variables."""
    found: list[ast.AST | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            found.append(node.slice)
        elif isinstance(node, ast.Dict) and SENT & {*texts(node)}:
            found += node.keys
        elif isinstance(node, ast.Compare) and isinstance(node.left, ast.Set):
            found += node.left.elts
    found += [word for call in calls(tree, "get") for word in call.args[:1]]
    for node in found:
        text = getattr(node, "value", None)
        if isinstance(text, str) and re.fullmatch(r"[A-Za-z][\w-]*", text):
            yield text


def addresses(tree: ast.AST) -> Iterator[str]:
    """The paths that are asked for."""
    for text in texts(tree):
        if re.fullmatch(r"/[\w/*-]*(\?.*)?", text):
            yield text.partition("?")[0]


def codes(tree: ast.AST) -> Iterator[str]:
    """The codes with which a socket is closed, or should be."""
    for node in ast.walk(tree):
        number = getattr(node, "value", None)
        if type(number) is int and (number in BY_SERVERS or 4000 < number < 5000):
            yield str(number)


def test_ids_and_roles_are_those_of_the_reference():
    for name, tree in trees():
        strange = ({*ids(tree)} | {*roles(tree)}) - given()
        assert not strange, (
            f"tests in {name} look for {strange}, which a folder has not to have: the "
            "reference does not name it."
        )


def test_selectors_are_tags_or_in_the_reference():
    known = given() | {*ATTRIBUTES.split()}
    for name, tree in trees():
        for selector in selectors(tree):
            strange = {*re.findall(r"\[([\w-]+)", selector)} - known
            strange |= {*re.findall(r"\.([a-z][\w-]*)", selector)}
            bare = re.sub(r"\[[^\]]*\]|:[\w-]+(\([^)]*\))?|[#.][\w-]+", " ", selector)
            strange |= {*re.findall(r"[a-z][\w-]*", bare)} - {*TAGS.split()}
            assert not strange, f"A test in {name} looks for {selector!r}: {strange}."


def test_fields_headers_and_variables_are_those_of_the_reference():
    known = {
        word.lower() for word in given() | {*f"{ATTRIBUTES} {STANDARD} {OWN}".split()}
    }
    for name, tree in trees():
        used = {*keys(tree)}
        # An underscore stands for a hyphen in what a call names.
        strange = {
            w for w in used if not {w.lower(), w.lower().replace("_", "-")} & known
        }
        assert not strange, f"tests in {name} use {strange}; the reference does not."


def test_addresses_are_those_of_the_reference():
    pages = {"", "chats", "ws", "admin", "long_poll", "earlier", "chat", "chatroom"}
    pages |= {"health", "metrics"}
    assert pages - {""} <= {
        part
        for word in re.findall(r"`(/[^`]*)`", REFERENCE.read_text("utf-8"))
        for part in re.split(r"[/?]", word)
    }
    for name, tree in trees():
        for address in addresses(tree):
            parts = {re.sub(r"^(\d+|\*+)$", "", part) for part in address.split("/")}
            strange = parts - pages - {"nothing"}  # It leads nowhere.
            assert not strange, f"tests in {name} ask for {address}."


def test_close_codes_are_those_of_the_reference():
    for name, tree in trees():
        strange = {*codes(tree)} - given()
        assert not strange, f"tests in {name} wait for {strange}."


@pytest.mark.parametrize(
    ("look", "code", "strange"),
    [
        (ids, 'page.locator("#outbox")', "outbox"),
        (ids, 'soup.find("p", id="delay")', "delay"),
        (ids, "page.evaluate(\"document.getElementById('messages')\")", "messages"),
        (roles, 'page.get_by_role("navigation")', "navigation"),
        (keys, 'reply["stamp"]', "stamp"),
        (keys, 'reply.get("stamp")', "stamp"),
        (keys, 'assert {"stamp"} <= {*reply}', "stamp"),
        (addresses, 'chat.get("/history/")', "/history/"),
        (codes, "ann.is_closed_with(4444)", "4444"),
    ],
)
def test_a_strange_name_would_be_seen(look, code, strange):
    assert [*look(ast.parse(code))] == [strange]
    assert strange not in given()
