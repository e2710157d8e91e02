"""The pages that are made of the stages alone: the differences, the switcher."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from tutorial.site import render
from tutorial.site.edits import FileEdit, Line, read_lines, script
from tutorial.site.moves import Moved, SymbolMove, find_moves, symbol_moves
from tutorial.site.places import DEFINITIONS
from tutorial.stages import Stage, load_snapshots, stage_files

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

    def mark(self, html: str) -> None:
        """Add HTML, as a paragraph of its own."""
        name = f"generated{len(self.html):04}in{abs(hash(self.path)):x}"
        self.html[name] = html
        self.lines += ["", name, ""]

    @property
    def markdown(self) -> str:
        """The whole page. Search leaves it out: what it shows is in the chapters."""
        return "\n".join(["---", "search:", "  exclude: true", "---", *self.lines, ""])

    def finish(self, html: str) -> str:
        """The page's HTML with the code in the place of the marks."""
        for name, body in self.html.items():
            html = html.replace(f"<p>{name}</p>", body)
        return html

    def whole(self) -> str:
        """The page's Markdown with the code in the place of the marks, as HTML."""
        lines = (self.html.get(line, line) for line in self.markdown.split("\n"))
        return render.breakable("\n".join(lines))


def generated_pages() -> list[Generated]:
    """Every generated page, for the stages as they are now."""
    steps = [diff_page(old, new) for old, new in pairwise(load_snapshots())]
    return [*steps, switcher(load_snapshots())]


def diff_page(old: Stage, new: Stage) -> Generated:
    """The whole difference between a stage or an exercise and the next."""
    page = Generated(f"diff/{old.mark}-{new.mark}.md")
    paths = [*new.changes, *new.adds, *new.removes]
    edits = [FileEdit.between(path, old.folder, new.folder) for path in paths]
    moves = find_moves(edits)
    page.add(
        f"# From {old.short} to {new.short}",
        "",
        f"Everything that changes from [{old.short}, {old.title}]"
        f"(../{old.chapter}) to [{new.short}, {new.title}](../{new.chapter}). "
        "What stays is folded; open it to read it. On your machine, "
        f"`make diff FROM={_argument(old)} TO={_argument(new)}` shows it as git does.",
        "",
        "## The files",
    )
    page.mark(_file_table(edits, moves))
    # What goes for good went nowhere.
    kept = [path for path in paths if path not in new.removes]
    symbols = symbol_moves(old.folder, new.folder, kept, dict(new.became))
    moved = any(symbol.fate.startswith("moved") for symbol in symbols)
    if moved:
        _show_symbols(page, symbols)
    for edit in edits:
        page.add(f"## `{edit.path}` {{#{slug(edit.path)}}}")
        page.mark(_file_diff(edit, moves, shown_above=moved))
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
    head = "<th>File</th><th>What happens to it</th><th>Added</th>"
    return render.wide(
        "The files that change",
        f'<table class="outcomes files"><thead><tr>'
        f"{head}<th>Removed</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>",
    )


def _show_symbols(page: Generated, symbols: list[SymbolMove]) -> None:
    """Where each class and method went: what only moved in a line, the rest as code."""
    page.add("## What only moved")
    routes: dict[tuple[str, str], list[str]] = {}
    for symbol in symbols:
        if symbol.fate == "moved":
            route = symbol.old[0], symbol.new[0]
            routes.setdefault(route, []).append(symbol.new[1])
    for (was, now), names in routes.items():
        listed = ", ".join(f"`{name}`" for name in names)
        page.add("", f"From `{was}` to `{now}`, as they were: {listed}.")
    code = [s for s in symbols if len((s.now or s.was).split("\n")) > 1]
    changed = [s for s in code if s.fate in ("moved and changed", "became", "changed")]
    for title, part in (
        ("What moved and changed", changed),
        ("What is gone", [s for s in code if s.fate == "gone"]),
        ("What is new", [s for s in code if s.fate == "new"]),
    ):
        if part:
            page.add("", f"## {title}")
        for symbol in part:
            page.mark(_symbol_diff(symbol))


def _symbol_diff(symbol: SymbolMove) -> str:
    lines = script(symbol.was.splitlines(), symbol.now.splitlines())
    (path, name) = symbol.new or symbol.old
    shown = render.Highlighter(FileEdit(path, lines, new_file=False))
    body = render.code(shown.line(line) for line in lines)
    old = f"<code>{escape(symbol.old[1])}</code> " if symbol.fate == "became" else ""
    files = [place[0] for place in (symbol.old, symbol.new) if place]
    route = " → ".join(f"<code>{escape(file)}</code>" for file in dict.fromkeys(files))
    words = f"{old}{symbol.fate}" if old else symbol.fate
    return render.figure(render.caption(name, words, route), body)


def _file_diff(edit: FileEdit, moves, shown_above: bool = False) -> str:
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

    gone: list[int] = []

    def flush_gone():
        if not gone:
            return
        lines = [edit.lines[i] for i in gone]
        names = _names_in(edit, lines, "old")
        if names:
            flush_run()
            html = render.code(shown.line(line) for line in lines)
            summary = f"{len(lines)} lines that go: {names}"
            body.append(f"<details><summary>{summary}</summary>{html}</details>")
        else:
            run.extend(_marked(shown, edit, i, edit.lines[i], moves) for i in gone)
        gone.clear()

    for index, line in enumerate(edit.lines):
        if shown_above and line.mark == "-":
            flush_fold()
            gone.append(index)
            continue
        flush_gone()
        if index not in visible:
            folded.append(index)
            continue
        flush_fold()
        run.append(_marked(shown, edit, index, line, moves))
    flush_gone()
    flush_fold()
    flush_run()
    whole = "".join(body)
    came_from = shown_above and any(path == edit.path for path, _ in moves)
    if edit.deleted or (edit.new_file and (came_from or len(edit.lines) > 120)):
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
    names = _names_in(edit, lines, "old" if edit.deleted else "new")
    return f"{len(lines)} lines that stay" + (f": {names}" if names else "")


def _names_in(edit: FileEdit, lines: list[Line], side: str) -> str:
    """The functions and classes that begin in some lines, as HTML; "" for none."""
    numbers = {getattr(line, side) for line in lines}
    names = [name for name, first in _definitions(edit, side) if first in numbers]
    return ", ".join(f"<code>{escape(name)}</code>" for name in names)


def _definitions(edit: FileEdit, side: str) -> list[tuple[str, int]]:
    if not edit.path.endswith(".py"):
        return []
    text = "\n".join(line.text for line in edit.lines if getattr(line, side))
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, DEFINITIONS):
            found.append((node.name, node.lineno))
    return sorted(found, key=lambda pair: pair[1])


def switcher(snapshots: list[Stage]) -> Generated:
    """Every file of every stage and exercise: in which it comes, changes and goes."""
    page = Generated("switcher.md")
    page.add(
        '<link rel="stylesheet" href="css/switcher.css">',
        "",
        "# Stage switcher",
        "",
        "Any file of any stage or exercise, beside its form in another. Green lines "
        "with a plus came, red lines with a minus left.",
        "",
        "## Two at a time",
        "",
        '<div id="switcher" markdown>',
        "",
        "Here you would choose a file and two stages. It needs JavaScript, and a page "
        "that comes from a web server and not from a file. The table below says where "
        "each file comes and changes, and the files themselves lie in your clone.",
        "",
        "</div>",
        "",
        '<script type="module" src="js/switcher.js"></script>',
        "",
        "## Every file",
        "",
        "A word that is a link opens the file above, beside the stage before.",
    )
    page.mark(_presence(snapshots, _versions(snapshots)))
    return page


def _versions(snapshots: list[Stage]) -> dict[str, dict[str, list[str]]]:
    """Path -> mark of a stage or exercise -> the lines that the file has there."""
    found: dict[str, dict[str, list[str]]] = {}
    for stage in snapshots:
        for path in stage_files(stage.folder):
            lines = read_lines(stage.folder / path)
            found.setdefault(path.as_posix(), {})[stage.mark] = lines
    order = sorted(found, key=lambda path: (path.count("/"), path))
    return {path: found[path] for path in order}


def switcher_data(snapshots: list[Stage]) -> dict:
    """What the switcher loads: each file in each snapshot, as lines of HTML.

    {"snapshots": [[mark, title]], "files": {path: {mark: index}}, "versions":
    [[line]]}; equal versions of a file are one.
    """
    kept: dict[tuple, int] = {}
    versions, files = [], {}
    for path, found in _versions(snapshots).items():
        files[path] = {}
        for mark, lines in found.items():
            key = (path, *lines)
            if key not in kept:
                kept[key] = len(versions)
                versions.append(render.highlighted(lines, path))
            files[path][mark] = kept[key]
    titles = [[s.mark, s.name] for s in snapshots]
    return {"snapshots": titles, "files": files, "versions": versions}


def _presence(snapshots: list[Stage], versions: dict) -> str:
    rows = []
    for path, found in versions.items():
        cells, before = [], None
        for stage in snapshots:
            cells.append(f"<td>{_presence_of(path, found, before, stage)}</td>")
            before = stage
        rows.append(f"<tr><td><code>{escape(path)}</code></td>{''.join(cells)}</tr>")
    head = "".join(f"<th>{stage.mark}</th>" for stage in snapshots)
    return render.wide(
        "In which stage or exercise each file comes, changes and goes",
        f'<table class="outcomes"><thead><tr><th>File</th>'
        f"{head}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table>",
    )


def _presence_of(path: str, found: dict, before: Stage | None, stage: Stage) -> str:
    was, now = found.get(before.mark) if before else None, found.get(stage.mark)
    if was == now:
        return "–" if now is None else "same"
    word = "new" if was is None else "gone" if now is None else "changed"
    link = f"{(before or stage).mark}/{stage.mark}/{escape(path)}"
    return f'<a href="#{link}" id="{link}">{word}</a>'
