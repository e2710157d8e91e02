"""Turns the directives of a page into HTML, or into Markdown that is whole."""

from __future__ import annotations

import datetime
import platform
import re
from collections.abc import Callable
from html import escape

from tutorial.site import free_threads, plain, render, tested
from tutorial.site.measured import kept
from tutorial.site.pages import DIRECTIVE, Directive, Fence, Page
from tutorial.site.plot import delay_plot
from tutorial.stages import ROOT, find_stage

INLINE = re.compile(r"\{\{ (?P<name>lab|lines|measured|version) (?P<body>[^{}]+) \}\}")
WIDE = ("wide",)  # a picture that a small window scrolls, so that it can be read
LOCK = ROOT / "requirements.lock"


class Expansion:
    """One page on its way: Markdown with marks first, then HTML in their place.

    The marks survive Markdown at any depth, where a block of HTML would not.
    """

    drawn = render  # what code is drawn by

    def __init__(self, page: Page, inline: dict[str, Callable[..., str]]):
        self.page = page
        self.inline = inline
        self.html: dict[str, str] = {}
        self.edits = page.edits() if page.stage else None

    def markdown(self) -> str:
        """The page's Markdown, with a mark where a directive was. Raises PageError."""
        lines = self.page.source.split("\n")
        inside: set[int] = set()
        for block in self.page.blocks:
            if isinstance(block, Fence):
                inside |= set(range(block.line - 1, block.end))
                lines[block.line - 1] = self._fence(block)
                if block.edits or block.is_short:
                    lines[block.line : block.end] = [""] * (block.end - block.line)
            else:
                lines[block.line - 1] = self._block(block)
                inside.add(block.line - 1)
        for number, text in enumerate(lines):
            if number not in inside:
                lines[number] = self._inline(text, number + 1)
        return "\n".join(lines)

    def finish(self, html: str) -> str:
        """The page's HTML with the code in the place of the marks."""
        for mark, body in self.html.items():
            html = html.replace(f"<p>{mark}</p>", body).replace(mark, body)
        return html

    def _fence(self, block: Fence) -> str:
        if block.edits:
            if block.is_step:
                self.edits.apply(block)
            html = self.drawn.edit(block.edits, block.hunk, block.is_step)
            return self._put(html, block.indent)
        if block.is_short:
            typed = [line for line in block.body if line.startswith(("$ ", "^C"))]
            words = [line.removeprefix("$ ") for line in typed]
            html = self.drawn.again(block.attributes["title"], words)
            return self._put(html, block.indent)
        kept = {k: v for k, v in block.attributes.items() if k == "title"}
        terminal = block.attributes.get("terminal")
        if terminal and "title" not in kept:
            kept["title"] = f"Terminal {terminal}"
        words = "".join(f' {key}="{text}"' for key, text in kept.items())
        return f"{block.indent}```{block.language}{words}"

    def _block(self, block: Directive) -> str:
        shown = getattr(self, f"_{block.name.replace('-', '_')}")(block)
        if block.name in ("left_wrong", "picture"):
            return indented(shown, block.indent)
        return self._put(shown, block.indent)

    def _put(self, html: str, indent: str) -> str:
        mark = f"siteblock{len(self.html):04}of{abs(hash(self.page.path)):x}"
        self.html[mark] = html
        return indent + mark

    def _step(self, block: Directive) -> str:
        if self.edits is None:
            raise self.page.error(block.line, "a step needs the page of a stage")
        change = self.edits.apply(block)
        return self.drawn.step(change, self.edits.files.get(change.path))

    _delete = _copy = _step

    def _green(self, block: Directive) -> str:
        return self.drawn.green(" ".join(block.arguments).strip('"'))

    def _code(self, block: Directive) -> str:
        return self.drawn.listing(self.page.listing(block))

    def _left_wrong(self, block: Directive) -> str:
        lines, beside = [], []
        up = "../" * self.page.path.count("/")
        for wrong in self.page.stage.left_wrong:
            if mended := wrong.get("mended_in") or wrong.get("solved_in"):
                stage = find_stage(mended)
                link = f"[{stage.short.capitalize()}]({up}{stage.chapter})"
                fate = f"{link} mends it."
            else:
                fate = f"[An exercise]({up}what_next.md) mends it."
            name = wrong["shown_by"].rpartition("::")[2]
            line = f"- {wrong['says']} {fate} `{name}` shows it."
            (beside if wrong.get("beside") else lines).append(line)
        if beside:
            lines += [
                "",
                '??? note "What else is wrong, and no part of this lesson"',
                "",
            ]
            lines += [f"    {line}" for line in beside]
        return "\n".join(lines)

    def _picture(self, block: Directive) -> str:
        if len(block.arguments) not in (2, 3) or block.arguments[2:] not in ((), WIDE):
            raise self.page.error(block.line, "picture needs a name and an alt text")
        name, alt = block.arguments[0], block.arguments[1].strip('"')
        path = f"{'../' * self.page.path.count('/')}img/{name}"
        return self.drawn.picture(path, alt, bool(block.arguments[2:]))

    def _plot(self, block: Directive) -> str:
        if block.arguments != ("delay",):
            raise self.page.error(block.line, "the only plot is delay")
        return delay_plot(kept())

    def _lab_table(self, block: Directive) -> str:
        return LAB_TABLE

    def _free_threads(self, block: Directive) -> str:
        return free_threads.html_table(free_threads.kept())

    def _versions(self, block: Directive) -> str:
        rows = "".join(
            f"<tr><td>{name}</td><td>{escape(locked(name))}</td></tr>"
            for name in tested.NAMES
        )
        head = "<tr><th>Package</th><th>Version</th></tr>"
        today = datetime.date.today().isoformat()
        return (
            f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>"
            f"<p>Built on {today} with Python {platform.python_version()}.</p>"
        )

    def _tested(self, block: Directive) -> str:
        return tested.html_table(tested.kept())

    def _inline(self, text: str, number: int) -> str:
        def one(match):
            try:
                return self.inline[match["name"]](*match["body"].split())
            except (LookupError, TypeError) as error:
                raise self.page.error(number, str(error)) from error

        shown = INLINE.sub(one, text)
        if DIRECTIVE.fullmatch(shown) or "{{" in shown:
            raise self.page.error(number, f"no such directive: {shown.strip()}")
        return shown


class PlainExpansion(Expansion):
    """The same page as Markdown that is whole: code stands in fences, as it is."""

    drawn = plain

    def _put(self, text: str, indent: str) -> str:
        return indented(f"\n{text}\n", indent)


def indented(text: str, indent: str) -> str:
    """Markdown at the depth of `indent`; an empty line stays one."""
    return "\n".join(line and indent + line for line in text.split("\n"))


LAB_TABLE = "<!-- the table of the laboratory -->"


def locked(name: str) -> str:
    """The version of a package that requirements.lock pins.

    Raises LookupError for a package that is not there.
    """
    wanted = re.compile(rf"{re.escape(name)}==(\S+)", re.IGNORECASE)
    for entry in LOCK.read_text("utf-8").splitlines():
        if match := wanted.match(entry):
            return match[1]
    raise LookupError(f"requirements.lock has no {name}")


def count_lines(path: str) -> str:
    """How many lines a file of the repository has. Raises LookupError."""
    file = ROOT / path
    if not file.is_file():
        raise LookupError(f"there is no {path}")
    return str(len(file.read_text("utf-8").splitlines()))
