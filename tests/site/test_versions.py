"""What the pages say of versions is so: what is pinned, and what it was tested on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from tests.site.links import soup_of
from tests.systems import other_django
from tutorial.cli import main
from tutorial.doctor.checks import read_lock
from tutorial.setup.environment import read_groups
from tutorial.site import free_threads, tested
from tutorial.site.lab import SLOW, Lab
from tutorial.stages import ROOT

PINS = read_lock((ROOT / "requirements.lock").read_text("utf-8"))
PYTHONS = [f"3.{minor}" for minor in range(11, 16)]
# What is said of a version that is not in use here, and where.
HISTORY = {
    ("2_websocket.md", "twisted", "26.4"),  # handed on a long message in pieces
    ("4_locking_gil.md", "python", "3.7"),  # dicts keep their order since
}
PROSE = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
PROSE.append(ROOT / "benchmarks" / "README.md")
# A name, what may stand in between, and a number with a point.
NAMED = re.compile(
    r"\b(?P<name>{})(?:\[\w+\])?`?"
    r"(?:,? (?:version|from|since|before|until|up to|and|or)|==|>=|[ /~v])*?"
    r"(?P<number>\d+(?:\.\d+)+)".format(
        "|".join(
            re.escape(name).replace(r"\-", "[- ]")
            for name in sorted([*PINS, "python", "cpython"], key=len, reverse=True)
        )
    ),
    re.IGNORECASE,
)


def allowed(name: str) -> set[str]:
    """The versions of a package that a page may name: pinned, promised, asked for."""
    if name in ("python", "cpython"):
        return {*PYTHONS, *(run["python"] for run in tested.kept())}
    found = {PINS[name]}
    if name == "django":
        found.add(other_django.VERSION)
    for entry in sum(read_groups().values(), []):
        wanted = Requirement(entry) if isinstance(entry, str) else None
        if wanted and wanted.name.lower() == name:
            found |= {limit.version for limit in wanted.specifier}
    return found


def begins(whole: str, number: str) -> bool:
    return f"{whole}.".startswith(f"{number}.")


@pytest.mark.thorough
def test_every_version_that_a_page_names_is_the_pinned_one():
    wrong, seen = [], set()
    for path in PROSE:
        for match in NAMED.finditer(path.read_text("utf-8")):
            name = match["name"].lower().replace(" ", "-")
            said = (path.name, name, match["number"])
            seen.add(said)
            if not any(begins(whole, match["number"]) for whole in allowed(name)):
                wrong.append(said)
    assert {*wrong} == HISTORY
    assert len(seen) > 10


@pytest.mark.thorough
def test_the_documentation_that_pages_link_to_is_of_a_version_in_use():
    texts = {path.name: path.read_text("utf-8") for path in PROSE}
    wrong = [
        (name, *link)
        for name, text in texts.items()
        for link in re.findall(r"docs\.(djangoproject|python)\S*?/(\d+\.\d+)/", text)
        if not any(
            begins(whole, link[1]) for whole in allowed(link[0].removesuffix("project"))
        )
    ]
    assert not wrong


def test_no_page_stops_at_a_python_that_was_the_newest_once():
    for path in PROSE:
        text = " ".join(path.read_text("utf-8").split())
        found = re.findall(r"3\.11(?:, 3\.\d+)*,? (?:and|to|or) 3\.(?!15)\d+", text)
        assert not found, path.name


@pytest.mark.thorough
def test_what_is_called_tested_is_what_the_last_whole_runs_had(site):
    runs = tested.kept()
    noted = [run["python"].rpartition(".")[0] for run in runs]
    assert noted and noted == sorted(noted) and {*noted} <= {*PYTHONS}
    pinned = {name: PINS[name.lower()] for name in tested.NAMES}
    for run in runs:
        assert run["packages"] == pinned, (
            f"`make test ARGS=--junit-xml=report.xml` on Python {run['python']}, "
            "and then `python -m tutorial site tested report.xml`"
        )
    tables = soup_of(site / "reference.html").article.select("table")
    shown = [
        [
            [cell.get_text() for cell in row.select("td")]
            for row in table.select("tr")[1:]
        ]
        for table in tables[-2:]
    ]
    assert shown[0] == [[name, version] for name, version in pinned.items()]
    assert [row[0].partition(",")[0] for row in shown[1]] == [r["python"] for r in runs]
    assert [row[2] for row in shown[1]] == [run["when"] for run in runs]


REPORT = (
    '<testsuites><testsuite tests="{}" failures="{}" errors="0" skipped="3"/>'
    "</testsuites>"
)


def test_only_a_whole_green_run_is_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(tested, "FILE", tmp_path / "tested.json")
    report = tmp_path / "report.xml"
    for tests, failures in [(1500, 1), (12, 0)]:
        report.write_text(REPORT.format(tests, failures))
        result = CliRunner().invoke(main, ["site", "tested", str(report)])
        assert (result.exit_code, f"{tests} tests" in result.output) == (1, True)
        assert not tested.FILE.exists()
    older = {"python": "3.9.1", "gil": True}
    tested.FILE.write_text(json.dumps([older]))
    report.write_text(REPORT.format(1500, 0))
    for _ in range(2):  # the second takes the place of the first
        result = CliRunner().invoke(main, ["site", "tested", str(report)])
        assert "1497 passed, 3 skipped" in result.output
    first, second = tested.kept()
    assert (first, second["passed"]) == (older, 1497)
    assert second["packages"].keys() == {*tested.NAMES}


def test_chapter_4_shows_what_the_file_of_the_free_threads_says(site):
    found = free_threads.kept()
    [table] = [
        table
        for table in soup_of(site / "4_locking_gil.html").select("table.outcomes")
        if "seconds for each design" in table.get_text()
    ]
    text = table.get_text(" ")
    assert found["when"] in text
    assert f"{found['cores']} cores" in text
    with_gil, without = found["runs"]
    assert (with_gil["gil"], without["gil"]) == (True, False)
    assert f"{with_gil['implementation']} {with_gil['version']} with a GIL" in text
    assert f"{without['implementation']} {without['version']} without a GIL" in text
    rows = {row.th.get_text(): row.select("td") for row in table.select("tbody tr")}
    for number, run in enumerate(found["runs"]):
        for design, cells in rows.items():
            shown = [cell.get_text().replace(",", "") for cell in cells]
            tally = run["free"].get(design)
            wanted = [str(tally[key]) if tally else "–" for key in free_threads.COLUMNS]
            assert shown[4 * number : 4 * number + 4] == wanted, design
    assert {*rows} == {*with_gil["free"]} | {*without["free"]}


def test_what_chapter_4_says_of_the_free_threads_is_in_the_file():
    with_gil, without = (run["free"] for run in free_threads.kept()["runs"])
    assert with_gil["sorted"]["skipped"] and without["sorted"]["skipped"]
    assert sum(tally["posts"] for tally in without.values()) < sum(
        tally["posts"] for tally in with_gil.values()
    )
    whole = {"lock", "counter-lock", "append", "reactor", "rising"}
    for free in (with_gil, without):
        assert not any(free[design]["skipped"] for design in whole)
    for design in ("setitem-lock", "counter-outside"):
        assert not with_gil[design]["errors"] and without[design]["errors"]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """What the laboratory finds here."""
    found = Lab()
    yield found
    found.close()


def test_each_interpreter_counted_what_this_one_counts(lab):
    for run in free_threads.kept()["runs"]:
        for design, columns in run["lost"].items():
            for column, lost in columns.items():
                if column not in SLOW:
                    assert lab.cell(design, column) == lost, (design, column)
