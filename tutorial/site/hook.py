"""The thin adapter between mkdocs and the site's own code."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

from tutorial.site.build import Build
from tutorial.site.edits import EditError
from tutorial.site.lab import LabError
from tutorial.site.pages import PageError
from tutorial.stages import load_snapshots

build: Build | None = None


@contextmanager
def complaints():
    """Turn what can be wrong with pages and stages into a line without traceback."""
    try:
        yield
    except (EditError, LabError, PageError, SyntaxError) as error:
        raise PluginError(str(error)) from error


def on_config(config):
    """Start what takes long, and watch what the site is made of."""
    global build
    if build is not None:
        build.close()
    with complaints():
        build = Build()
    config.watch += [str(stage.folder) for stage in load_snapshots()]
    return config


def on_files(files, config):
    """Add the pages that are made of the stages."""
    for page in build.generated.values():
        files.append(File.generated(config, page.path, content=page.markdown))
    return files


def on_page_markdown(markdown, page, config, files):
    """Put marks in the place of the directives."""
    with complaints():
        return build.markdown(page.file.src_uri, markdown, page.meta)


def on_page_content(html, page, config, files):
    """Put the code in the place of the marks."""
    return build.content(page.file.src_uri, html)


def on_post_page(output, page, config):
    """Put in what took long."""
    with complaints():
        return build.post_page(output)


def on_post_build(config):
    """Write what is no page."""
    with complaints():
        build.write(Path(config.site_dir))
    build.close()


def on_build_error(error):
    """Leave nothing running."""
    if build is not None:
        build.close()
