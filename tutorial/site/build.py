"""One build of the site, whatever drives it."""

from __future__ import annotations

import json
from pathlib import Path

from tutorial.site import measured, render
from tutorial.site.expand import (
    LAB_TABLE,
    Expansion,
    PlainExpansion,
    count_lines,
    locked,
)
from tutorial.site.generated import generated_pages, switcher_data
from tutorial.site.lab import Lab
from tutorial.site.pages import DOCS, Page
from tutorial.stages import load_snapshots


class Build:
    """What one build of the site keeps between its pages."""

    def __init__(self):
        self.generated = {page.path: page for page in generated_pages()}
        self.expansions: dict[str, Expansion] = {}
        self.lab = Lab()  # last: it starts processes, which close() ends

    def markdown(self, path: str, markdown: str, meta: dict) -> str:
        """A page's Markdown with marks for its directives. Raises PageError."""
        if path in self.generated:
            return markdown
        whole = (DOCS / path).read_text("utf-8")
        offset = whole.count("\n") - markdown.count("\n")
        expansion = Expansion(Page(path, markdown, offset, meta), self._inline())
        self.expansions[path] = expansion
        return expansion.markdown()

    def _inline(self) -> dict:
        return {
            "lab": self.lab.cell,
            "lines": count_lines,
            "version": locked,
            "measured": measured.value,
        }

    def plain(self, page: Page) -> str:
        """A page's Markdown with nothing left to fill in. Raises PageError."""
        text = PlainExpansion(page, self._inline()).markdown()
        if LAB_TABLE in text:
            text = text.replace(LAB_TABLE, self.lab.html_table())
        return text

    def content(self, path: str, html: str) -> str:
        """A page's HTML with the code in the place of the marks."""
        page = self.generated.get(path) or self.expansions[path]
        return render.breakable(page.finish(html))

    def post_page(self, html: str) -> str:
        """A whole page with what took long to find out."""
        if LAB_TABLE in html:
            html = html.replace(LAB_TABLE, self.lab.html_table())
        return html

    def write(self, site: Path) -> None:
        """Write what the pages load, next to them."""
        (site / "scheduler.json").write_text(self.lab.json(), "utf-8")
        files = json.dumps(switcher_data(load_snapshots()), separators=(",", ":"))
        (site / "switcher.json").write_text(files, "utf-8")

    def close(self) -> None:
        """End what still runs."""
        self.lab.close()
