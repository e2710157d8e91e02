"""Versions rot: what the pages name is what is pinned, and somebody can ask."""

import re

import pytest
from click.testing import CliRunner

from tutorial.cli import main
from tutorial.doctor.checks import read_lock
from tutorial.setup import versions
from tutorial.setup.versions import Behind, NoIndex, behind
from tutorial.stages import ROOT

PINS = read_lock((ROOT / "requirements.lock").read_text("utf-8"))
PAGES = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md"), *ROOT.glob("benchmarks/*.md")]
# What a page tells of another version than ours, in its own words.
TOLD = {
    "Twisted 26.4": "what it still did wrong",
    "Django 6.0": "since when it has a header of its own for this",
    "Django 6.1": "the other one that is promised",
}


def found_in(text: str, pins: dict[str, str]) -> list[str]:
    """The packages that a text names with a version that is not the pinned one."""
    names = "|".join(sorted(map(re.escape, pins), key=len, reverse=True))
    named = re.findall(rf"(?i)\b({names})(?:==| |/)v?(\d+(?:\.\d+)+)", text)
    return [
        f"{name} {version}"
        for name, version in named
        if not f"{pins[name.lower()]}.".startswith(f"{version}.")
    ]


def test_a_version_that_is_not_pinned_is_found():
    pins = {"django": "5.2.19", "django-x": "1.0"}
    assert found_in("Django 5.2, Django 5.2.19 and django==5.2.1", pins) == [
        "django 5.2.1"
    ]
    assert found_in("Django 5.20 and django-x 1.0", pins) == ["Django 5.20"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_version_that_a_page_names_is_the_pinned_one(page):
    assert {*found_in(page.read_text("utf-8"), PINS)} <= {*TOLD}


def test_a_pin_that_is_behind_is_named():
    found = [
        {"name": "Zope.Interface", "version": "8.6", "latest_version": "8.7"},
        {"name": "django", "version": "5.2.19", "latest_version": "6.1.3"},
        {"name": "somebody-elses", "version": "1.0", "latest_version": "2.0"},
    ]
    assert behind({"django": "5.2.19", "zope-interface": "8.7"}, found) == [
        Behind("django", "5.2.19", "6.1.3")
    ]


def test_the_command_says_what_is_behind(monkeypatch):
    latest = [{"name": "Django", "version": "5.2.19", "latest_version": "99.1"}]
    monkeypatch.setattr(versions, "ask_pip", lambda: latest)
    result = CliRunner().invoke(main, ["versions"])
    assert result.exit_code == 0
    assert re.search(rf"django\W+{re.escape(PINS['django'])}\W+99\.1", result.output)
    monkeypatch.setattr(versions, "ask_pip", lambda: [])
    assert "is the latest one" in CliRunner().invoke(main, ["versions"]).output


def test_without_an_index_it_says_what_pip_said(monkeypatch):
    def refuse():
        raise NoIndex("no answer")

    monkeypatch.setattr(versions, "ask_pip", refuse)
    result = CliRunner().invoke(main, ["versions"])
    assert (result.exit_code, "no answer" in result.output) == (1, True)
