"""The pages that are made of the stages alone: the differences, the switcher."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from pathlib import Path

from tutorial.site import render
from tutorial.site.edits import FileEdit, Line, read_lines, script
from tutorial.site.moves import Moved, find_moves, symbol_moves
from tutorial.site.places import DEFINITIONS
from tutorial.stages import Stage, load_snapshots, load_stages, stage_files

CONTEXT = 3
FOLD = 8  # unchanged lines in a row that are worth a fold


@dataclass
class Generated:
    """A page in Markdown, and the HTML that stands in the place of its marks."""

    path: str
    lines: list[str] = field(default_factory=list)
    html: dict[str, str] = field(default_factory=dict)

    def add(self, *lines: str) -> None:
        """Add Markdown."""
        self.lines += lines

    def mark(self, html: str, indent: str = "") -> None:
        """Add HTML, as a paragraph of its own."""
        name = f"generated{len(self.html):04}in{abs(hash(self.path)):x}"
        self.html[name] = html
        self.lines += ["", indent + name, ""]

    @property
    def markdown(self) -> str:
        """The whole page. Search leaves it out: what it shows is in the chapters."""
        return "\n".join(["---", "search:", "  exclude: true", "---", *self.lines, ""])

    def finish(self, html: str) -> str:
        """The page's HTML with the code in the place of the marks."""
        for name, body in self.html.items():
            html = html.replace(f"<p>{name}</p>", body)
        return html


def generated_pages() -> list[Generated]:
    """Every generated page, for the stages as they are now."""
    steps = [diff_page(old, new) for old, new in pairwise(load_snapshots())]
    return [*steps, switcher(load_stages())]


def diff_page(old: Stage, new: Stage) -> Generated:
    """The whole difference between a stage or an exercise and the next."""
    page = Generated(f"diff/{old.mark}-{new.mark}.md")
    paths = [*new.changes, *new.adds, *new.removes]
    edits = [FileEdit.between(path, old.folder, new.folder) for path in paths]
    moves = find_moves(edits)
    page.add(
        f"# The difference, {old.short} to {new.short}",
        "",
        f"Everything that changes from [{old.short}, {old.title}]"
        f"(../{old.chapter}) to [{new.short}, {new.title}](../{new.chapter}). "
        "What stays is folded; open it to read it. On your machine, "
        f"`make diff FROM={_argument(old)} TO={_argument(new)}` shows the same.",
        "",
        "## The files",
    )
    page.mark(_file_table(edits, moves))
    # What goes for good went nowhere.
    kept = [path for path in paths if path not in new.removes]
    symbols = symbol_moves(old.folder, new.folder, kept)
    if any(symbol.fate.startswith("moved") for symbol in symbols):
        page.add("## Where each name went")
        page.mark(_symbol_table(symbols))
    for edit in edits:
        page.add(f"## `{edit.path}` {{#{slug(edit.path)}}}")
        page.mark(_file_diff(edit, moves))
    return page


def _argument(stage: Stage) -> str:
    return stage.id if stage.is_exercise else stage.mark


def slug(path: str) -> str:
    """The anchor of a file on a page."""
    return path.replace("/", "-").replace(".", "-").replace("_", "-").lower()


def _fate(edit: FileEdit, moves: dict[tuple[str, int], Moved]) -> str:
    if edit.deleted:
        return "deleted"
    if not edit.new_file:
        return "changed"
    origins = {m.other for (path, _), m in moves.items() if path == edit.path}
    if origins:
        names = ", ".join(f"<code>{escape(name)}</code>" for name in sorted(origins))
        return f"new, in part moved from {names}"
    return "new"


def _file_table(edits: list[FileEdit], moves) -> str:
    rows = []
    for edit in edits:
        came = sum(line.mark == "+" for line in edit.lines)
        went = sum(line.mark == "-" for line in edit.lines)
        link = f'<a href="#{slug(edit.path)}"><code>{escape(edit.path)}</code></a>'
        rows.append(
            f"<tr><td>{link}</td><td>{_fate(edit, moves)}</td>"
            f'<td class="number">{came}</td><td class="number">{went}</td></tr>'
        )
    head = "<th>File</th><th>What happens to it</th><th>Lines added</th>"
    return render.wide(
        "The files that change",
        f'<table class="outcomes"><thead><tr>'
        f"{head}<th>Lines removed</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>",
    )


def _symbol_table(symbols) -> str:
    rows = []
    for symbol in symbols:
        cells = [
            f"<code>{escape(place[1])}</code><br><small>{escape(place[0])}</small>"
            if place
            else "–"
            for place in (symbol.old, symbol.new)
        ]
        rows.append(
            f"<tr><td>{cells[0]}</td><td>{symbol.fate}</td><td>{cells[1]}</td></tr>"
        )
    head = "<th>It was</th><th>What happened</th><th>It is</th>"
    return render.wide(
        "Where each name went",
        f'<table class="outcomes"><thead><tr>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>",
    )


def _file_diff(edit: FileEdit, moves) -> str:
    shown = render.Highlighter(edit)
    caption = render.caption(edit.path, _kind(edit))
    if not edit.lines:
        return render.figure(caption, "<p>An empty file.</p>")
    visible = _near_a_change(edit.lines)
    body: list[str] = []
    run: list[str] = []
    folded: list[int] = []

    def flush_run():
        if run:
            body.append(render.code(run))
            run.clear()

    def flush_fold():
        if len(folded) < FOLD:
            run.extend(shown.line(edit.lines[i]) for i in folded)
        else:
            flush_run()
            lines = [edit.lines[i] for i in folded]
            html = render.code(shown.line(line) for line in lines)
            body.append(
                f"<details><summary>{_summary(edit, lines)}</summary>{html}</details>"
            )
        folded.clear()

    for index, line in enumerate(edit.lines):
        if index not in visible:
            folded.append(index)
            continue
        flush_fold()
        run.append(_marked(shown, edit, index, line, moves))
    flush_fold()
    flush_run()
    whole = "".join(body)
    if edit.deleted or (edit.new_file and len(edit.lines) > 120):
        count = f"{len(edit.lines)} lines"
        whole = f"<details><summary>{count}</summary>{whole}</details>"
    return render.figure(caption, whole)


def _kind(edit: FileEdit) -> str:
    if edit.deleted:
        return "deleted"
    return "new file" if edit.new_file else "changed"


def _marked(shown, edit, index, line: Line, moves) -> str:
    html = shown.line(line)
    moved = moves.get((edit.path, index))
    if moved is None or moved.other == edit.path and line.mark == " ":
        return html
    html = html.replace('class="line"', 'class="line moved"', 1)
    if not moved.begins:
        return html
    word = "moved from" if line.mark == "+" else "moved to"
    where = "another place here" if moved.other == edit.path else moved.other
    return f'<span class="line note">{word} {escape(where)}\n</span>{html}'


def _near_a_change(lines: list[Line]) -> set[int]:
    near: set[int] = set()
    for index, line in enumerate(lines):
        if line.mark != " ":
            near |= set(range(index - CONTEXT, index + CONTEXT + 1))
    return near


def _summary(edit: FileEdit, lines: list[Line]) -> str:
    words = f"{len(lines)} lines that stay"
    numbers = {line.new or line.old for line in lines}
    names = [name for name, first in _definitions(edit) if first in numbers]
    if names:
        words += ": " + ", ".join(f"<code>{escape(name)}</code>" for name in names)
    return words


def _definitions(edit: FileEdit) -> list[tuple[str, int]]:
    if not edit.path.endswith(".py"):
        return []
    side = "old" if edit.deleted else "new"
    text = "\n".join(line.text for line in edit.lines if getattr(line, side))
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DEFINITIONS):
            found.append((node.name, node.lineno))
    return sorted(found, key=lambda pair: pair[1])


def switcher(stages: list[Stage]) -> Generated:
    """Each file that changes on the way, in all its versions."""
    page = Generated("switcher.md")
    page.add(
        "# Stage switcher",
        "",
        "One file through all the stages. Choose a version; what came with it is "
        "marked. A file that never changes once it is there is not here: the table "
        "says in which stage it comes.",
        "",
        "## Every file",
    )
    versions = {path: _versions(stages, path) for path in _all_paths(stages)}
    page.mark(_presence(stages, versions))
    for path, found in versions.items():
        if len(found) < 2:
            continue
        page.add(f"## `{path}` {{#{slug(path)}}}", "")
        before: list[str] = []
        for (first, last), lines in found:
            title = f"Stage {first}" if first == last else f"Stages {first} to {last}"
            page.add(f'=== "{title}"')
            page.mark(_version(path, before, lines), "    ")
            before = lines
    return page


def _all_paths(stages: list[Stage]) -> list[str]:
    found = {p.as_posix() for stage in stages for p in stage_files(stage.folder)}
    return sorted(found, key=lambda path: (path.count("/"), path))


def _versions(stages: list[Stage], path: str) -> list[tuple[tuple[int, int], list]]:
    found: list = []
    for stage in stages:
        file: Path = stage.folder / path
        if not file.is_file():
            continue
        lines = read_lines(file)
        if found and found[-1][1] == lines and found[-1][0][1] == stage.number - 1:
            found[-1] = ((found[-1][0][0], stage.number), lines)
        else:
            found.append(((stage.number, stage.number), lines))
    return found


def _version(path: str, before: list[str], lines: list[str]) -> str:
    html = render.highlighted(lines, path)
    if not before:
        return render.code((render.line(text) for text in html), lines)
    merged = script(before, lines)
    came = {line.new for line in merged if line.mark == "+"}
    marked = (
        render.line(text, "+" if number in came else " ")
        for number, text in enumerate(html, 1)
    )
    return render.code(marked, lines)


def _presence(stages: list[Stage], versions: dict) -> str:
    rows = []
    for path, found in versions.items():
        cells = []
        for stage in stages:
            word = ""
            for (first, last), _ in found:
                if first == stage.number:
                    word = "new" if (first, last) == found[0][0] else "changed"
                elif first < stage.number <= last:
                    word = "same"
            gone = not word and any(last < stage.number for (_, last), _ in found)
            cells.append(f"<td>{word or ('gone' if gone else '–')}</td>")
        name = f"<code>{escape(path)}</code>"
        if len(found) > 1:
            name = f'<a href="#{slug(path)}">{name}</a>'
        rows.append(f"<tr><td>{name}</td>{''.join(cells)}</tr>")
    head = "".join(f"<th>{stage.number}</th>" for stage in stages)
    return render.wide(
        "In which stage each file comes and changes",
        f'<table class="outcomes"><thead><tr><th>File</th>'
        f"{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>",
    )
