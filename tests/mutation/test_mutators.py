"""What the mutators make: each kind of mistake, and the rest of the file as it was."""

from __future__ import annotations

import ast

import pytest

from tests.mutation.__main__ import draw
from tests.mutation.edits import Mutant, mutants_of
from tests.mutation.snapshots import (
    KINDS,
    Equivalent,
    files_of,
    kind_of,
    load_equivalents,
    mutants_in,
)
from tutorial.stages import find_stage, load_snapshots

PROGRAM = '''\
class Room:
    """Ä room."""

    size = 3

    @property
    def full(self):  # as a lift is
        return len(self.clients) >= self.size and self.open

    def tell(self, text):
        log.info("telling")
        for client in list(self.clients):
            client.send(text, self)
        self.count(text)
        try:
            self.store(text.strip())
        except ValueError:
            raise
        return {"status": 1, "data": text}
'''
SCRIPT = """\
const wait = 500;
box.addEventListener("input", () => show("ü"));
async function tell(text) {
  if (!text.trim()) {
    return;
  }
  await fetch(url, { method: "POST", body: text });
  show(text);
  forget(text);
}
"""
TEMPLATE = """\
{% load static %}<body>
  <label for="box">Ä text</label>
  <input id="box" autofocus>
  {% for room in rooms %}
    <a href="{% url 'room' room.pk %}">{{ room.name|upper }}</a>
  {% endfor %}
</body>
{% if rooms|length > 9 %}<b>many</b>{% endif %}
"""


def changes(file: str, text: str, kind: str) -> set[tuple[str, str]]:
    """What mutants of one kind change: the lines, and what they become."""
    found = [one for one in mutants_of(file, text) if one.edit.kind == kind]
    return {(one.was, one.becomes) for one in found}


@pytest.mark.parametrize(
    ("kind", "was", "becomes"),
    [
        ("drop a statement", "self.count(text)", "pass"),
        ("drop a statement", "size = 3", "pass"),
        ("drop a decorator", "@property", "# no decorator"),
        ("move a number by one", "size = 3", "size = 4"),
        ("let an exception through", "except ValueError:", "except ():"),
        ("replace a call's result", "self.store(text.strip())", "self.store(text)"),
        ("drop an argument", "client.send(text, self)", "client.send(text)"),
        ("stop after the first", "", "break"),
        (
            "swap a comparison",
            "return len(self.clients) >= self.size and self.open",
            "return len(self.clients) > self.size and self.open",
        ),
        (
            "replace a call's result",
            "for client in list(self.clients):",
            "for client in (self.clients):",
        ),
        (
            "drop an element",
            'return {"status": 1, "data": text}',
            'return {"status": 1}',
        ),
    ],
)
def test_mistakes_in_python(kind, was, becomes):
    assert (was, becomes) in changes("room.py", PROGRAM, kind)


def test_a_mutant_of_python_is_python_and_the_rest_keeps_its_text():
    for mutant in mutants_of("room.py", PROGRAM):
        ast.parse(mutant.mutated)
        assert "# as a lift is" in mutant.mutated or "def full" in mutant.was
        assert '"""Ä room."""' in mutant.mutated


def test_what_is_only_logged_is_left_alone():
    assert not [
        one for one in mutants_of("room.py", PROGRAM) if one.was.startswith("log")
    ]


def test_two_calls_change_places_and_a_loop_before_them_does_not():
    assert changes("room.py", "first(1)\nsecond(2)\n", "swap two calls")
    needs = "name = first(1)\nsecond(name)\n"
    assert not changes("room.py", needs, "swap two calls"), "that would be a NameError"


@pytest.mark.parametrize(
    ("kind", "was", "becomes"),
    [
        ("move a number", "const wait = 500;", "const wait = 5000;"),
        ("drop a listener", 'box.addEventListener("input", () => show("ü"));', ";"),
        ("drop a statement", "show(text);", ";"),
        ("negate a condition", "if (!text.trim()) {", "if (!((!text.trim()))) {"),
        ("replace a call's result", "if (!text.trim()) {", "if (!text) {"),
        ("swap two calls", "show(text); forget(text);", "forget(text); show(text);"),
        (
            "drop a property",
            'await fetch(url, { method: "POST", body: text });',
            "await fetch(url, { body: text });",
        ),
        (
            "drop an await",
            'await fetch(url, { method: "POST", body: text });',
            'fetch(url, { method: "POST", body: text });',
        ),
    ],
)
def test_mistakes_in_scripts(kind, was, becomes):
    pytest.importorskip("tree_sitter", reason="the group mutation is not installed")
    assert (was, becomes) in changes("room.js", SCRIPT, kind)


@pytest.mark.parametrize(
    ("kind", "was", "becomes"),
    [
        ("drop an attribute", '<input id="box" autofocus>', '<input id="box">'),
        ("drop an element", '<label for="box">Ä text</label>', ""),
        ("drop a text", '<label for="box">Ä text</label>', '<label for="box"></label>'),
        ("drop a tag", "{% load static %}<body>", "<body>"),
        (
            "negate a condition",
            "{% if rooms|length > 9 %}<b>many</b>{% endif %}",
            "{% if not rooms|length > 9 %}<b>many</b>{% endif %}",
        ),
        (
            "stop after ten",
            "{% for room in rooms %}",
            '{% for room in rooms|slice:":10" %}',
        ),
        (
            "drop an escape",
            "<a href=\"{% url 'room' room.pk %}\">{{ room.name|upper }}</a>",
            "<a href=\"{% url 'room' room.pk %}\">{{ room.name|upper|safe }}</a>",
        ),
        (
            "drop an argument",
            "<a href=\"{% url 'room' room.pk %}\">{{ room.name|upper }}</a>",
            "<a href=\"{% url 'room' %}\">{{ room.name|upper }}</a>",
        ),
    ],
)
def test_mistakes_in_templates(kind, was, becomes):
    pytest.importorskip("tree_sitter", reason="the group mutation is not installed")
    assert (was, becomes) in changes("room.html", TEMPLATE, kind)


def test_a_mutant_says_where_it_is_and_what_it_changes():
    [mutant] = [
        one for one in mutants_of("room.py", PROGRAM) if one.was == "self.count(text)"
    ][:1]
    assert str(mutant) == ("room.py:14: drop a statement: self.count(text) -> pass"), (
        "a file, a line, a change"
    )
    assert "-        self.count(text)\n+        pass" in mutant.diff()


def test_no_two_mutants_are_the_same_and_none_is_the_original():
    texts = [mutant.mutated for mutant in mutants_of("room.py", PROGRAM)]
    assert len(texts) == len({*texts, PROGRAM}) - 1


def test_the_lot_falls_the_same_way_with_the_same_seed():
    stage = find_stage("1")
    mutants = [(stage, one) for one in mutants_of("room.py", PROGRAM)]
    drawn = draw(mutants, 5, 1)
    assert draw(mutants, 5, 1) == drawn
    assert len(drawn) == 5
    assert draw(mutants, 5, 2) != drawn
    mutants.remove(drawn[2])
    another = draw(mutants, 5, 1)
    assert len(another) == 5
    assert [one for one in drawn if one not in another] == [drawn[2]], (
        "who is found to be no mistake disturbs nobody else's lot"
    )


def test_a_snapshot_is_mutated_where_it_is_new():
    stage = find_stage("3")
    assert set(files_of(stage, whole=False)) <= {*stage.adds, *stage.changes}
    assert "chatserver.py" in files_of(stage, whole=False)
    assert "chat/models.py" in files_of(stage, whole=True)
    assert {kind_of(file) for file in files_of(stage, whole=True)} == {*KINDS}


def test_every_equivalent_entry_is_a_mutant_of_some_snapshot():
    pytest.importorskip("tree_sitter", reason="the group mutation is not installed")
    every = [
        (stage, mutant)
        for stage in load_snapshots()
        for mutant in mutants_in(stage, whole=True)
    ]
    for entry in load_equivalents():
        assert any(entry.fits(*one) for one in every), (
            f"{entry} is no mutant of any snapshot any more. Take it out, or write "
            "down what has become of the line."
        )


@pytest.mark.parametrize(
    ("entry", "fits"),
    [
        (Equivalent("a.py", "why", was="x = 1"), True),
        (Equivalent("a.py", "why", was="x = 1", becomes=("x = 2",)), True),
        (Equivalent("a.py", "why", was="x = 1", becomes=("pass",)), False),
        (Equivalent("a.py", "why", starts="x ="), True),
        (Equivalent("a.py", "why", was="x = 1", stages=("stage2_websocket",)), False),
        (Equivalent("b.py", "why", was="x = 1"), False),
    ],
)
def test_an_entry_fits_by_its_words_and_by_no_number_of_a_line(entry, fits):
    [number] = [
        one for one in mutants_of("a.py", "# a line\n\nx = 1\n") if "2" in one.becomes
    ]
    assert isinstance(number, Mutant)
    assert entry.fits(find_stage("1"), number) is fits
