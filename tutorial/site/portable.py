"""The whole site for another generator or theme: Markdown with nothing to fill in."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml
from pygments.formatters import HtmlFormatter

from tutorial.site.build import Build
from tutorial.site.pages import DOCS, Page, all_pages
from tutorial.stages import ROOT

# What is ours alone, or another theme's.
NOT_KEPT = ("docs_dir", "dev_addr", "exclude_docs", "hooks", "theme", "watch")
OF_MATERIAL = ".md-typeset "
# The theme's colours and fonts that our styles, and the pages' scripts, go by.
COLOURS = {
    "code-bg-color": "#f5f5f5",
    "code-fg-color": "#36464e",
    "code-font-family": "monospace",
    "code-hl-comment-color": "#565c66",
    "default-bg-color": "#fff",
    "default-fg-color": "#222",
    "default-fg-color--light": "#555",
    "default-fg-color--lighter": "#999",
    "default-fg-color--lightest": "#ddd",
    "typeset-a-color": "#4051b5",
    "typeset-color": "#222",
    "typeset-table-color": "#ddd",
}


def export(into: Path) -> None:
    """Write docs/ and mkdocs.yml into the new or empty folder `into`.

    Raises FileExistsError if something is in it, and what a build raises.
    """
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise FileExistsError(f"{into} is there already, and is no empty folder.")
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))
    build = Build()
    try:
        pages = {page.path: _head(page) + build.plain(page) for page in all_pages()}
        pages |= {path: page.whole() for path, page in build.generated.items()}
        docs = into / "docs"
        leave = [*config["exclude_docs"].split(), "*.md"]
        names = {Path(path).name for path in leave}
        shutil.copytree(DOCS, docs, ignore=shutil.ignore_patterns(*names))
        for path, text in pages.items():
            (docs / path).parent.mkdir(exist_ok=True)
            (docs / path).write_text(text, "utf-8")
        build.write(docs)
    finally:
        build.close()
    for style in (docs / "css").glob("*.css"):
        own = style.read_text("utf-8").replace(OF_MATERIAL, "")
        style.write_text(own, "utf-8")
    (docs / "css" / "theme.css").write_text(_colours(), "utf-8")
    kept = {key: value for key, value in config.items() if key not in NOT_KEPT}
    # That theme would load what colours the code, from elsewhere.
    kept["theme"] = {"name": "mkdocs", "highlightjs": False}
    kept["extra_css"] = ["css/theme.css", *kept["extra_css"]]
    (into / "mkdocs.yml").write_text(yaml.safe_dump(kept, sort_keys=False), "utf-8")


def _head(page: Page) -> str:
    whole = (DOCS / page.path).read_text("utf-8")
    return whole[: len(whole) - len(page.source)] if page.meta else ""


def _colours() -> str:
    colours = "".join(f"  --md-{name}: {value};\n" for name, value in COLOURS.items())
    code = HtmlFormatter().get_style_defs(".highlight")
    return f":root {{\n{colours}}}\n\n{code}\n"
