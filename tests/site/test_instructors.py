"""What the page for instructors says of tests and mutants is so."""

from __future__ import annotations

import re

import pytest

from tests.mutants.test_mutants import MUTANTS, head, name
from tutorial.site.pages import DOCS
from tutorial.stages import ROOT

PAGE = (DOCS / "instructors.md").read_text("utf-8")
ROWS = re.findall(r"^\| `(.+?)` \| .+? \|(?: \"(.+?)\" \|)?$", PAGE, re.MULTILINE)
MUTANT_ROWS = [(path, says) for path, says in ROWS if says]


def test_every_test_file_is_explained_or_lies_in_a_folder_that_is():
    listed = {f"tests/{path}" for path, says in ROWS if not says}
    folders = set(re.findall(r"`(tests/\w+)` for", PAGE))
    files = {
        path.relative_to(ROOT).as_posix() for path in ROOT.glob("tests/**/test_*.py")
    }
    assert listed <= files, "the page lists test files that are not there"
    others = {file for file in files if file.rpartition("/")[0] not in folders}
    assert others <= listed, "the page should say what these prove"
    assert all((ROOT / folder).is_dir() for folder in folders)


def test_the_table_of_mistakes_is_found():
    assert len(MUTANT_ROWS) > 10


@pytest.mark.parametrize(
    ("path", "says"), MUTANT_ROWS, ids=[path for path, _ in MUTANT_ROWS]
)
def test_a_mistake_is_a_mutant_and_its_test_says_so(path, says):
    patches = {name(patch).replace("-", "/", 1): patch for patch in MUTANTS}
    assert head(patches[path])["Says"] == says
