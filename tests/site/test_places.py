"""Which lines of a file a step means."""

from __future__ import annotations

from tutorial.site.edits import FileEdit
from tutorial.site.places import Place, find_place

SCRIPT = """\
const list = [];

// Newest first.
export function show(text) {
  if (text) {
    list.unshift(text);
  }
}

show("hello");
""".splitlines()


def test_a_line_that_opens_a_block_of_javascript_means_the_block():
    assert find_place(SCRIPT, '"export function show"', "a.js") == Place(3, 8)
    assert find_place(SCRIPT, '"if (text)"', "a.js") == Place(5, 5)
    assert find_place(SCRIPT, '"const list"', "a.js") == Place(1, 1)


def test_where_lines_are_left_out_between_two_pieces_a_blank_line_stays(tmp_path):
    lines = ["import os", "from abc import ABC", "", "from b import c", "import d"]
    (tmp_path / "a.py").write_text("".join(f"{line}\n" for line in lines))
    edit = FileEdit.between("a.py", None, tmp_path)
    edit.show(['"import os"', "..", '"port os"', '"import d"', "..", '"port d"'])
    assert edit.text() == ["import os", "", "import d"]
    edit.show([])
    assert edit.text() == lines
