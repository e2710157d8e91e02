"""A change that is shown in pieces is the change, whatever the pieces are."""

from __future__ import annotations

import pytest
from bs4 import BeautifulSoup
from hypothesis import given, settings
from hypothesis import strategies as st

from tutorial.site.edits import EditError, FileEdit, put_in, ranges, script
from tutorial.site.generated import diff_page
from tutorial.site.measured import value
from tutorial.site.moves import find_moves, symbol_moves
from tutorial.site.pages import Page
from tutorial.site.places import PlaceError
from tutorial.site.story import fitted
from tutorial.stages import load_stages

LINES = st.lists(st.sampled_from(["a", "b", "c", "", "d"]), max_size=12)


def edit_of(old: list[str], new: list[str], name: str = "file.txt") -> FileEdit:
    return FileEdit(name, script(old, new), new_file=not old)


@settings(deadline=None, max_examples=50)  # git compares each pair
@given(LINES, LINES)
def test_a_script_has_both_versions(old, new):
    lines = script(old, new)
    assert [line.text for line in lines if line.old] == old
    assert [line.text for line in lines if line.new] == new


@settings(deadline=None, max_examples=50)
@given(LINES, LINES, st.data())
def test_pieces_in_any_order_give_the_new_file(old, new, data):
    """Each hunk fits where it is shown, in one place only."""
    edit = edit_of(old, new)
    pending = [i for i, line in enumerate(edit.lines) if line.mark != " "]
    show_one_by_one(edit, old, new, data.draw(st.permutations(pending)))


def test_a_blank_line_is_shown_once():
    new = ["one", "", "", "more", "end"]
    show_one_by_one(edit_of([], new), [], new, [0, 1, 4, 2, 3])


def show_one_by_one(edit: FileEdit, old: list[str], new: list[str], order: list[int]):
    now = list(old)
    for index in order:
        if index in edit.shown:
            continue
        edit._select = lambda selectors, index=index: {index}
        change = edit.show(["one line"])
        if change.kind == "new":
            now = change.hunks[0].after
            continue
        for hunk in change.hunks:
            size = len(hunk.before)
            places = [
                at
                for at in range(len(now) - size + 1)
                if now[at : at + size] == hunk.before
            ]
            assert len(places) == 1 or size == len(now)
            now[places[0] : places[0] + size] = hunk.after
        assert now == edit.text()
    assert now == new
    assert not edit.missing


def hunk_in(*body):
    [block] = Page("page.md", "\n".join(['```diff edits="a.py"', *body, "```"])).blocks
    assert block.edits == "a.py"
    return block.hunk


def test_an_edit_of_the_reader_changes_the_one_place_where_it_fits():
    edit = hunk_in(" one", "-two", "+2", "", " three")
    assert put_in(edit, ["0", "one", "two", "", "three"]) == [
        "0",
        "one",
        "2",
        "",
        "three",
    ]
    with pytest.raises(EditError, match="in 0 places"):
        put_in(edit, ["one", "2", "", "three"])
    with pytest.raises(EditError, match="in 2 places"):
        put_in(hunk_in("-one"), ["one", "one"])


def test_an_edit_that_only_adds_makes_a_new_file():
    edit = hunk_in("+one", "+", "+two")
    assert put_in(edit, []) == ["one", "", "two"]
    with pytest.raises(EditError, match="in 2 places"):
        put_in(edit, ["there is something already"])


OLD = """\
import os


class A:
    def one(self):
        return 1
"""
NEW = """\
import os
import sys


class A:
    def one(self):
        return 2

    def two(self):
        return os.name


LAST = sys.path
"""


@pytest.mark.parametrize(
    ("selectors", "comes"),
    [
        (["imports"], ["import sys"]),
        (["A.one"], ["        return 2"]),
        (["A.two"], ["", "    def two(self):", "        return os.name"]),
        (["LAST"], ["", "", "LAST = sys.path"]),
        (['"return 2"'], NEW.split("\n")[6:-1]),
        (["A.two", "..", "LAST"], NEW.split("\n")[7:-1]),
    ],
)
def test_a_selector_shows_what_it_names(selectors, comes):
    edit = edit_of(OLD.split("\n")[:-1], NEW.split("\n")[:-1], "a.py")
    change = edit.show(selectors)
    shown = [line for hunk in change.hunks for line in hunk.lines]
    assert [line.text for line in shown if line.mark == "+"] == comes


def test_a_hunk_says_in_which_function_it_lies():
    edit = edit_of(OLD.split("\n")[:-1], NEW.split("\n")[:-1], "a.py")
    assert edit.show(["A.one"]).hunks[0].inside == "A.one"
    assert edit.show(["A.two"]).hunks[0].inside == "A"
    assert edit.show(["LAST"]).hunks[0].inside == ""


@pytest.mark.parametrize(
    ("selectors", "says"),
    [
        (["B"], "has no B"),
        (['"nowhere"'], "0 lines have"),
        (['"import"'], "2 lines have"),
        (['"import os"'], "does not change"),
        (["LAST", "..", "A"], "comes before"),
    ],
)
def test_a_selector_that_names_nothing_is_refused(selectors, says):
    edit = edit_of(OLD.split("\n")[:-1], NEW.split("\n")[:-1], "a.py")
    with pytest.raises((EditError, PlaceError), match=says):
        edit.show(selectors)


def test_what_was_shown_is_not_shown_again():
    edit = edit_of([], ["one", "two"])
    edit.show([])
    with pytest.raises(EditError, match="nothing new"):
        edit.show([])


def test_what_goes_can_wait_for_a_later_step():
    edit = edit_of(OLD.split("\n")[:-1], NEW.split("\n")[:-1], "a.py")
    edit.show(["added", "A.one"])
    assert "        return 1" in edit.text()
    assert "        return 2" in edit.text()
    edit.show(["A.one"])
    assert "        return 1" not in edit.text()


def test_a_range_needs_two_ends():
    assert ranges(["A", "B", "..", "C"]) == [("A", "A"), ("B", "C")]
    for wrong in (["A", ".."], ["..", "A"]):
        with pytest.raises(EditError):
            ranges(wrong)


def test_moved_blocks_know_where_they_are_from():
    block = ["def f():", "    one()", "    two()"]
    old = edit_of([*block, "rest"], ["rest"], "old.py")
    new = edit_of([], ["import x", *block], "new.py")
    moves = find_moves([old, new])
    assert {path for path, _ in moves} == {"old.py", "new.py"}
    assert moves["new.py", 1].other == "old.py"
    assert moves["new.py", 1].begins
    assert not moves["new.py", 2].begins
    assert ("new.py", 0) not in moves


def test_each_class_of_stage_4_has_its_place_in_stage_5():
    old, new = load_stages()[3:5]
    kept = [*new.changes, *new.adds]
    places = {
        move.old[1]: (move.new[0], move.fate)
        for move in symbol_moves(old.folder, new.folder, kept, dict(new.became))
        if move.old and move.new
    }
    messages = "twisted_chat/messages.py"
    assert places["ChatFactory.store"] == (messages, "became")
    assert places["HttpChat.getData"] == (messages, "became")
    assert places["WebsocketChat"] == ("twisted_chat/protocols.py", "moved")
    assert places["ChatFactory"][0] == "twisted_chat/factories.py"
    assert places["HttpChat.render_POST"][0] == "twisted_chat/resources.py"


def test_a_class_without_its_methods_is_compared_to_the_end_of_its_lines():
    old, new = load_stages()[3:5]
    moves = symbol_moves(old.folder, new.folder, [*new.changes, *new.adds])
    [factory] = [move for move in moves if move.old and move.old[1] == "ChatFactory"]
    assert factory.fate == "moved and changed"
    assert "    messages = {}  # stamp -> text" in factory.was.splitlines()
    assert "messages = {}" not in factory.now and "def " not in factory.was
    [made] = [m for m in moves if m.new and m.new[1] == "MessageStore.__init__"]
    assert made.now.endswith("# by rising stamp")


def test_rewriting_keeps_what_was_left_out_left_out():
    expected = ("[...]", "Ran 3 tests", "[...]", "OK")
    actual = ("Found 4", "noise", "Ran 4 tests", "more", "noise", "OK")
    assert fitted(expected, actual) == ["[...]", "Ran 4 tests", "[...]", "OK"]
    assert fitted(("old",), ("new", "lines")) == ["new", "lines"]


def test_a_measured_figure_has_a_key():
    assert value("clients") == "100"
    with pytest.raises(LookupError, match="nothing.of.the.kind"):
        value("nothing.of.the.kind")


@pytest.mark.parametrize(
    ("figure", "printed"),
    [(0.1, "0.100"), (5.6, "5.60"), (744.0, "744"), (1010000.0, "1,010,000")],
)
def test_a_measured_figure_has_three_digits(monkeypatch, figure, printed):
    monkeypatch.setattr("tutorial.site.measured.kept", lambda: {"rate": figure})
    assert value("rate") == printed


def test_what_only_moved_is_a_line_and_what_changed_stands_old_beside_new():
    page = diff_page(*load_stages()[3:5])
    moved = page.markdown.partition("## What only moved")[2].partition("\n## ")[0]
    assert "`WebsocketChat.send`" in moved
    assert "render_POST" not in moved
    figures = {
        soup.figcaption.code.get_text(): soup
        for soup in (BeautifulSoup(html, "html.parser") for html in page.html.values())
        if soup.figcaption
    }
    changed = figures["HttpChat.processDelayedRequests"]
    assert "moved and changed" in changed.figcaption.get_text()
    assert "getData" in changed.select_one("del").find_next("del").get_text()
    assert any("next_after" in line.get_text() for line in changed.select("ins"))
    store = figures["MessageStore.add"]
    assert "ChatFactory.store became" in store.figcaption.get_text()
    assert store.select("ins") and store.select("del")
    # The classes that went elsewhere are folded where they were.
    for line in figures["chatserver.py"].select("del"):
        if line.get_text().startswith("class "):
            assert line.find_parent("details")
