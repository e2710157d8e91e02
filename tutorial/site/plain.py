"""The same as `render`, as Markdown: what any generator and any theme can show."""

from __future__ import annotations

import re

from tutorial.site.edits import Change, FileEdit, Hunk
from tutorial.site.pages import Listing

KINDS = {"new": "new file", "change": "change", "delete": "delete", "copy": "copied"}


def fence(language: str, lines: list[str]) -> str:
    """A block of code, in more ticks than any of its lines has."""
    ticks = max([2, *(len(run) for line in lines for run in re.findall("`+", line))])
    return "\n".join([f"{'`' * (ticks + 1)}{language}", *lines, "`" * (ticks + 1)])


def caption(path: str, *labels: str) -> str:
    """The path of a file, and words about it."""
    return ", ".join([f"**`{path}`**", *(label for label in labels if label)])


def language_of(path: str) -> str:
    """What a block of that file's lines is marked with: mostly how its name ends."""
    return path.rpartition("/")[2].rpartition(".")[2]


def changed(hunk: Hunk) -> str:
    """The lines of a change, as git shows them."""
    return fence("diff", [line.mark + line.text for line in hunk.lines])


def step(change: Change, edit: FileEdit | None) -> str:
    """What one step does to one file."""
    label = KINDS[change.kind]
    if change.kind == "delete":
        return f"{caption(change.path, label)}: this goes, with all that is in it."
    if change.kind == "copy":
        text = "all that is in it is new, and is not typed."
        return f"{caption(change.path, label)}: {text}"
    if not change.hunks:
        return caption(change.path, label, "empty")
    if change.kind == "new":
        code = fence(language_of(change.path), change.hunks[0].after)
        return f"{caption(change.path, label)}\n\n{code}"
    shown = []
    for hunk in change.hunks:
        where = f"in `{hunk.inside}`" if hunk.inside else ""
        shown += [caption(change.path, label, where), changed(hunk)]
    return "\n\n".join(shown)


def edit(path: str, hunk: Hunk, is_step: bool = False) -> str:
    """A change that is in no stage: the reader's own, or one on the way to the next."""
    return step(Change(path, "change" if hunk.before else "new", (hunk,)), None)


def listing(shown: Listing) -> str:
    """Code as it stands. What lies between two parts is left out, and it shows."""
    code: list[str] = []
    for first, last in shown.parts:
        code += [*(["⋯"] if code else []), *shown.lines[first - 1 : last]]
    block = fence(language_of(shown.path), code)
    return f"{caption(shown.path, shown.label)}\n\n{block}"


def again(where: str, typed: list[str]) -> str:
    """What is typed once more, in a line."""
    return f"{where}, again: " + ", then ".join(f"`{words}`" for words in typed)


def green(subject: str) -> str:
    """That all is green here, and what the commit is called."""
    return f"All is green: **{subject}**"


def picture(path: str, alt: str, is_wide: bool) -> str:
    """A picture: the light one, as not every theme knows of two."""
    return f"![{alt}]({path}-light.png)"
