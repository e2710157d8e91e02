"""Say in a sentence what Playwright says of a page in words of its own."""

from __future__ import annotations

import re

EXPECT = re.compile(r'- Expect "(not_)?to_(\w+)" (.+?) with timeout')
WAITING = re.compile(r"- waiting for (.+)")
TIMEOUT = re.compile(r"^(Locator|Page|Frame)\.(\w+): Timeout (\d+)ms exceeded")
GOTO = re.compile(r"^Page\.goto: net::(\w+) at (\S+)")
ROLE = re.compile(
    r'get_by_role\("(\w+)"'
    r'(?:, name=(?:"([^"]*)"|re\.compile\(r?"(.*?)"(?:, [^)]*)?\)))?'
)
NAMES = {
    "log": 'the list of messages, role="log",',
    "status": 'the line that says how things are, role="status",',
    "textbox": "the input box",
    "listitem": "the items of the list",
}
WANTS = {
    "contain_text": "show {}",
    "have_text": "show {}, and no more",
    "have_value": "hold {}",
    "have_count": "number {}",
    "have_attribute": "have {}",
    "be_focused": "have the focus",
    "be_visible": "be there",
    "be_hidden": "be out of sight",
}


def plainly(text: str) -> str:
    """`text` of an error as a sentence, if Playwright wrote it; else as it is."""
    if found := EXPECT.search(text):
        return _expected(text, *found.groups())
    if found := TIMEOUT.match(text):
        _, what, milliseconds = found.groups()
        where = WAITING.search(text)
        seconds = f"{int(milliseconds) / 1000:g} s"
        if where and 'event "websocket"' in where[1]:
            return f"The page should open a WebSocket, but did not within {seconds}."
        if where and "event" not in where[1]:
            return (
                f"The page should have {_named(where[1])} to work with, but it was not "
                f"there, or could not be used, within {seconds}."
            )
        return f"The page should have come further within {seconds} ({what})."
    if found := GOTO.match(text):
        return f"{found[2]} should be shown, but the browser says {found[1]}."
    return text


def _expected(text: str, negated: str | None, kind: str, where: str) -> str:
    head, *rest = text.partition("\nCall log:")[0].splitlines()
    told = dict(line.split(": ", 1) for line in rest if ": " in line)
    wanted = told.get("Expected value")
    if head.startswith("Locator expected"):
        found = re.search(r" '(.*)'$", head, re.S)
        wanted, head = found and f"'{found[1]}'", ""
    name = _named(where)
    want = WANTS.get(kind, kind.replace("_", " ") + " {}").format(_shown(wanted))
    says = f"{name} should {'no longer ' if negated else ''}{want}"
    if "not found" in told.get("Error", ""):
        says += ", but it is not on the page."
    elif kind in ("contain_text", "have_text", "have_value"):
        verb = "holds" if kind == "have_value" else "shows"
        actual = told.get("Actual value", "").strip()
        says += f". It {'still ' if negated else ''}{verb} {actual[:300]!r}."
    elif kind == "have_count":
        says += f", but {told.get('Actual value', '').strip()} are there."
    else:
        says += ", but is not so." if not negated else ", but it still is so."
    head = head.rstrip(".")
    return (
        f"{head[:1].upper()}{head[1:]}: {says}" if head else says[:1].upper() + says[1:]
    )


def _shown(wanted: str | None) -> str:
    if wanted is None:
        return "it"
    wanted = wanted.strip()
    pattern = re.fullmatch(r"'?re\.compile\((['\"])(.*?)\1.*\)'?", wanted)
    if not pattern:
        return wanted
    plain = pattern[2].replace("\\\\", "\\")  # It is written as Python code.
    return f"what fits the pattern '{plain}'"


def _named(locator: str) -> str:
    found = ROLE.search(locator)
    if not found:
        return locator.removeprefix("locator(").rstrip(")").strip('"')
    role, name, pattern = found.groups()
    if name or pattern:
        return f"the {role} {name!r}" if name else f"a {role} like {pattern!r}"
    return NAMES.get(role, f'what has role="{role}"')
