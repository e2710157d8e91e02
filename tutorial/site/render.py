"""HTML of the code that the site shows."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from html import escape

from pygments import highlight
from pygments.filter import simplefilter
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.token import Name, Operator, Punctuation, Text, Whitespace
from pygments.util import ClassNotFound

from tutorial.site.edits import Change, FileEdit, Hunk, Line
from tutorial.site.pages import Listing

KINDS = {"new": "new file", "change": "change", "delete": "delete", "copy": "copied"}
ELEMENTS = {" ": "span", "+": "ins", "-": "del"}
# Two thirds of all words in code. In one colour, they need no element each.
PLAIN = {Name, Operator, Punctuation, Whitespace}


def breakable(html: str) -> str:
    """HTML in which the names in table cells break after a slash, underscore or comma.

    Where else they break is up to the style; in a narrow cell they have to somewhere.
    """

    def cell(match):
        return re.sub(r"(?<=<code>)[^<]+", name, match[0])

    def name(match):
        return re.sub(r"(?<=[/_,])(?=\w)", "<wbr>", match[0])

    return re.sub(r"<(t[dh])[ >].*?</\1>", cell, html, flags=re.DOTALL)


@simplefilter
def plain(self, lexer, stream, options):
    """Leave what is PLAIN in the colour of the code."""
    for kind, text in stream:
        yield (Text if kind in PLAIN else kind), text


def highlighted(lines: list[str], path: str) -> list[str]:
    """Each line of a file as HTML, without its end."""
    return _highlighted("\n".join(lines), path)[: len(lines)]


@cache  # Each step of a chapter shows a piece of the same file.
def _highlighted(text: str, path: str) -> list[str]:
    options = {"stripnl": False, "ensurenl": False}
    try:
        if path.endswith(".html"):  # all of them are Django's
            lexer = get_lexer_by_name("html+django", **options)
        else:
            lexer = get_lexer_for_filename(path, **options)
    except ClassNotFound:
        lexer = TextLexer(**options)
    lexer.add_filter(plain())
    formatter = HtmlFormatter(nowrap=True)
    return highlight(text, lexer, formatter).split("\n")


def line(html: str, mark: str = " ") -> str:
    """One line of code, as an element of its own."""
    element = ELEMENTS[mark]
    return f'<{element} class="line">{html}\n</{element}>'


def code(lines: Iterable[str], copied: list[str] | None = None) -> str:
    """A block of lines that are HTML already. `copied` is what the button copies."""
    names, copy = "highlight", ""
    if copied is not None:
        text = escape("\n".join(copied), quote=True).replace("\n", "&#10;")
        copy = f' data-copy="{text}"'
        if not "".join(copied).strip():
            names += " no-copy"  # The button would copy what is to go.
    body = "".join(lines)
    return f'<div class="{names}"{copy}><pre><code>{body}</code></pre></div>'


def figure(caption: str, body: str, **data: str) -> str:
    """A figure of code with its caption, both HTML."""
    attributes = "".join(f' data-{key}="{escape(text)}"' for key, text in data.items())
    return (
        f'<figure class="code"{attributes}><figcaption>{caption}</figcaption>'
        f"{body}</figure>"
    )


def caption(path: str, *labels: str) -> str:
    """The path of a file, and words about it."""
    words = "".join(f' <span class="label">{label}</span>' for label in labels if label)
    return f"<code>{escape(path)}</code>{words}"


class Highlighter:
    """The two versions of a file that changes, line by line as HTML."""

    def __init__(self, edit: FileEdit):
        self.new = highlighted([x.text for x in edit.lines if x.new], edit.path)
        self.old = highlighted([x.text for x in edit.lines if x.old], edit.path)

    def hunk(self, hunk: Hunk) -> str:
        """A hunk; a file that is wholly new carries no marks."""
        return code((self.line(x) for x in hunk.lines), hunk.after)

    def plain(self, hunk: Hunk) -> str:
        """The same without marks, where all is new."""
        return code((line(self.new[x.new - 1]) for x in hunk.lines), hunk.after)

    def line(self, shown: Line) -> str:
        """One line of the change, with its mark."""
        html = self.new[shown.new - 1] if shown.new else self.old[shown.old - 1]
        return line(html, shown.mark)


def step(change: Change, edit: FileEdit | None) -> str:
    """What one step does to one file."""
    label = KINDS[change.kind]
    if change.kind == "delete":
        note = "<p>This goes, with all that is in it.</p>"
        text = caption(change.path, label)
        return figure(text, note, step="delete", path=change.path)
    if change.kind == "copy":
        note = "<p>All that is in it is new, and is not typed.</p>"
        text = caption(change.path, label)
        return figure(text, note, step="copy", path=change.path)
    shown = Highlighter(edit)
    if change.kind == "new":
        if not change.hunks:
            text = caption(change.path, "new file, empty")
            return figure(text, "", step="new", path=change.path)
        text = caption(change.path, label)
        body = shown.plain(change.hunks[0])
        return figure(text, body, step="new", path=change.path)
    parts = []
    for hunk in change.hunks:
        where = f"in <code>{escape(hunk.inside)}</code>" if hunk.inside else ""
        parts.append((where, shown.hunk(hunk)))
    if len({where for where, _ in parts}) == 1:
        text = caption(change.path, label, parts[0][0])
        body = "".join(html for _, html in parts)
    else:
        text = caption(change.path, label)
        body = "".join(
            (f'<p class="where">{where}</p>' if where else "") + html
            for where, html in parts
        )
    return figure(text, body, step="change", path=change.path)


def edit(path: str, hunk: Hunk, is_step: bool = False) -> str:
    """A change that is in no stage: the reader's own, or one on the way to the next."""
    new = not hunk.before
    shown = Highlighter(FileEdit(path, list(hunk.lines), new_file=new))
    body = shown.plain(hunk) if new else shown.hunk(hunk)
    label = KINDS["new" if new else "change"]
    step = "new" if new else "change"
    kind = {"step": step, "path": path} if is_step else {"edit": path}
    return figure(caption(path, label), body, **kind)


def listing(shown: Listing) -> str:
    """Code as it stands. What lies between two parts is left out, and it shows."""
    lines = highlighted(list(shown.lines), shown.path)
    body = []
    for number, (first, last) in enumerate(shown.parts):
        if number:
            body.append('<span class="line gap" aria-hidden="true">⋯\n</span>')
        body += [line(html) for html in lines[first - 1 : last]]
    copied = [
        text for first, last in shown.parts for text in shown.lines[first - 1 : last]
    ]
    text = caption(shown.path, shown.label)
    return figure(text, code(body, copied), listing=shown.path)


def again(where: str, typed: list[str]) -> str:
    """What is typed once more, in a line."""
    codes = (f"<code>{escape(words)}</code>" for words in typed)
    return f'<p class="again">{escape(where)}, again: {", then ".join(codes)}</p>'


def green(subject: str) -> str:
    """That all is green here, and what the commit is called."""
    name = f'<strong class="no-spelling">{escape(subject)}</strong>'
    return f'<p class="green">All is green: {name}</p>'


def picture(path: str, alt: str, is_wide: bool) -> str:
    """Markdown of a picture in two shades. A small window scrolls a wide one."""
    both = "".join(
        f"![{alt}]({path}-{shade}.png#only-{shade})" for shade in ("light", "dark")
    )
    if not is_wide:
        return both
    region = 'role="region" aria-label="A wide picture" tabindex="0"'
    return f'<div class="wide picture" {region} markdown>\n\n{both}\n\n</div>'


def wide(label: str, table: str) -> str:
    """A table that a small window scrolls, by the keyboard as well."""
    return (
        f'<div class="wide" role="region" aria-label="{escape(label)}" tabindex="0">'
        f"{table}</div>"
    )
