"""The switcher opens every file of every snapshot, beside any other version of it."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.site.browsing import visited
from tutorial.site.edits import read_lines
from tutorial.stages import load_snapshots, stage_files

SNAPSHOTS = load_snapshots()

# What stands in the two columns, for each [left, right, path] in turn.
LOOK = """
(links) => {
  const [path, left, right] = document.querySelectorAll("#switcher select");
  const column = (side) =>
    [...document.querySelectorAll(".switcher-row:not(.switcher-head)")]
      .map((row) => row.children[side])
      .filter((cell) => !("none" in cell.dataset))
      .map((cell) => cell.textContent.replace(/\\n$/, ""));
  const marked = (name) => document.querySelectorAll(`.switcher-code ${name}`).length;
  return links.map(([from, to, name]) => {
    [left.value, right.value, path.value] = [from, to, name];
    path.dispatchEvent(new Event("change"));
    return [column(0), column(1), marked("del"), marked("ins")];
  });
}
"""


@pytest.fixture(scope="module")
def switcher(address, chromium):
    with (
        chromium.new_context(viewport={"width": 1440, "height": 900}) as window,
        visited(window, f"{address}/switcher.html") as (page, complaints),
    ):
        page.locator("#switcher[data-ready]").wait_for()
        yield page
        assert not [text for text in complaints if "favicon" not in text]


def lines_of(stage, path: str) -> list[str]:
    return read_lines(stage.folder / path)


@pytest.mark.thorough
def test_every_file_of_every_snapshot_beside_the_one_before(switcher):
    paths = sorted({p.as_posix() for s in SNAPSHOTS for p in stage_files(s.folder)})
    pairs = list(zip([SNAPSHOTS[-1], *SNAPSHOTS], SNAPSHOTS, strict=False))
    wanted = [(old, new, path) for old, new in pairs for path in paths]
    found = switcher.evaluate(LOOK, [[o.mark, n.mark, path] for o, n, path in wanted])
    for (old, new, path), (left, right, went, came) in zip(wanted, found, strict=True):
        where = f"{path}, {old.mark} and {new.mark}"
        assert left == lines_of(old, path), where
        assert right == lines_of(new, path), where
        common = len(left) - went
        assert common == len(right) - came >= 0, where


def test_an_address_opens_a_file_and_says_how_much_changes(switcher):
    switcher.evaluate("location.hash = '4/5/lab/stores.py'")
    expect(switcher.get_by_role("status").first).to_contain_text(
        "Stage 5, Refactoring has no such file. 0 lines came,"
    )
    expect(switcher.locator("#switcher h3")).to_be_focused()
    switcher.evaluate("location.hash = '3/4/chatserver.py'")
    file = switcher.locator(".switcher-code")
    expect(file.locator("ins").filter(has_text="import threading")).to_have_count(1)
    rows = file.locator(".switcher-row").count()
    switcher.get_by_label("Only what changes").check()
    assert file.locator(".switcher-row").count() < rows
    switcher.get_by_label("Only what changes").uncheck()


def test_the_table_leads_to_each_change(switcher):
    link = switcher.locator("td a", has_text="gone").first
    link.click()
    expect(switcher.locator("#switcher h3")).to_have_text(
        link.get_attribute("href").split("/", 2)[2]
    )
