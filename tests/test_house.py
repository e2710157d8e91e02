"""The rules of the house: what the manifest says is so, and shared files are equal."""

from __future__ import annotations

import ast
import filecmp
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tutorial.stages import (
    ROOT,
    copy_stage,
    find_stage,
    load_exercises,
    load_snapshots,
    load_stages,
)

STAGES = load_stages()
SNAPSHOTS = load_snapshots()
STEPS = [pytest.param(stage, id=stage.id) for stage in SNAPSHOTS if stage.builds_on]


def files(folder: Path, copy: Path) -> dict[str, Path]:
    """The files of a stage without what running it leaves: relative path -> file."""
    copy_stage(folder, copy)
    return {
        path.relative_to(copy).as_posix(): path
        for path in sorted(copy.rglob("*"))
        if path.is_file()
    }


def test_every_stage_folder_is_in_the_manifest():
    folders = sorted(path.name for path in ROOT.glob("stage*_*") if path.is_dir())
    assert folders == [stage.id for stage in STAGES]
    folders = sorted(path.name for path in ROOT.glob("exercises/*") if path.is_dir())
    assert folders == [exercise.id for exercise in load_exercises()]


def test_each_stage_builds_on_the_one_before():
    assert [stage.builds_on for stage in SNAPSHOTS[1:]] == [
        stage.id for stage in SNAPSHOTS[:-1]
    ]


@pytest.mark.parametrize("stage", STEPS)
def test_a_stage_changes_exactly_what_the_manifest_says(stage, tmp_path):
    before = files(find_stage(stage.builds_on).folder, tmp_path / "before")
    after = files(stage.folder, tmp_path / "after")
    changed = {
        path
        for path in before.keys() & after.keys()
        if not filecmp.cmp(before[path], after[path], shallow=False)
    }
    assert sorted(after.keys() - before.keys()) == sorted(stage.adds)
    assert sorted(changed) == sorted(stage.changes)
    assert sorted(before.keys() - after.keys()) == sorted(stage.removes)


@pytest.mark.parametrize("stage", SNAPSHOTS, ids=lambda stage: stage.id)
def test_what_is_left_wrong_is_shown_by_a_test(stage):
    ids = {later.id for later in SNAPSHOTS[stage.number :]}
    for wrong in stage.left_wrong:
        tests = [wrong["shown_by"]]
        if wrong.get("left_to") != "exercise":
            assert wrong["mended_in"] in ids, wrong["id"]
            tests.append(wrong["mended_by"])
        elif "solved_in" in wrong:
            assert wrong["solved_in"] in ids, wrong["id"]
            tests.append(wrong["solved_by"])
        for test in tests:
            file, _, name = test.partition("::")
            assert f"def {name}(" in (ROOT / file).read_text("utf-8"), wrong["id"]


@pytest.mark.parametrize("stage", SNAPSHOTS, ids=lambda stage: stage.id)
def test_a_stage_imports_nothing_from_outside_its_folder(stage):
    outside = r"^\s*(from|import) (tutorial|tests|exercises|stage\d_\w+)\b"
    for path in stage.folder.rglob("*.py"):
        assert not re.search(outside, path.read_text("utf-8"), re.M), path


def groups() -> dict[str, list]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))[
        "dependency-groups"
    ]


def test_what_a_stage_requires_is_what_make_run_installs():
    newest = SNAPSHOTS[-1].folder / "requirements.txt"
    required = set(newest.read_text("utf-8").replace('"', "'").split("\n")) - {""}
    installed = groups()["run"] + groups()["engine"]
    assert required <= {entry for entry in installed if isinstance(entry, str)}


def test_the_lock_file_pins_everything_and_names_no_address():
    lock = (ROOT / "requirements.lock").read_text("utf-8")
    for line in lock.splitlines():
        assert re.match(r"[a-z0-9-]+==\S+", line), f"not pinned: {line}"
    assert not re.search(r"https?://|--index|--find-links", lock)
    for entry in sum(groups().values(), []):
        if isinstance(entry, str):
            name = re.match(r"[\w-]+", entry)[0].lower()
            assert f"\n{name}==" in f"\n{lock}", f"{name} is not in requirements.lock"


def test_no_copy_lands_inside_the_one_before():
    # With `/.`, a folder that is there already takes what comes, and does not hold it.
    copies = [
        (page.name, words)
        for page in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        for words in re.findall(r"\bcp -r (\S+) ", page.read_text("utf-8"))
    ]
    merge = ("/.", "/lab", "/chat-*")  # and what is to lie in the folder
    assert len(copies) > 10
    assert [one for one in copies if not one[1].endswith(merge)] == []


def test_the_readme_lists_the_stages():
    readme = (ROOT / "README.md").read_text("utf-8")
    for stage in SNAPSHOTS:
        folder = stage.folder.relative_to(ROOT).as_posix()
        row = f"| [`{stage.id}`]({folder}) | {stage.teaches} |"
        assert row in readme, f"README.md should have the row {row}"


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(command):
    ruff = shutil.which("ruff", path=Path(sys.executable).parent)
    result = subprocess.run([ruff, *command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def tracked() -> list[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listing.returncode:
        pytest.skip("not a git clone, so there is no list of tracked files")
    return [ROOT / name for name in listing.stdout.split("\0") if name]


def test_no_tracked_file_names_this_machine():
    for path in tracked():
        if path.is_file():
            data = path.read_bytes()
            assert str(ROOT).encode() + b"/" not in data, path
            assert str(Path.home()).encode() + b"/" not in data, path


def test_what_stays_with_a_page_is_said_to_its_window():
    # The next test gets the same page, as new: the window has to know what to undo.
    lasting = (
        r"\.page\.(on|once|add_init_script|route_web_socket|emulate_media|clock)\b"
    )
    tests = (ROOT / "tests" / "browser").glob("test_*.py")
    found = {
        f"{file.name}: {call[0]}"
        for file in [*tests, ROOT / "tests" / "support" / "pages.py"]
        for call in re.finditer(lasting, file.read_text())
    }
    assert not found, "Window has methods of its own for these."


# The rooms of tutorial/, from the ground floor up. A module imports from its own room
# and from lower floors: from no other room beside it, and from none above.
FLOORS = [
    {"the ground floor"},
    {"setup"},
    {"doctor"},
    {"run", "check", "site"},
    {"grading", "watch", "steps"},
    {"cli"},
    {"the door"},
]
# What lies outside of its room, because people and programs name it.
DOORS = {"bootstrap": "setup", "__main__": "the door"}


def imported_by(file: Path) -> set[str]:
    """What a file imports, wherever in it: the full names of modules, or more."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            # By a name from the top, or it could not be told which room it is from.
            assert not node.level, f"{file}: line {node.lineno}"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def room_of(module: str) -> str:
    """The room of a module of the tool, by its full name."""
    name = module.split(".")[1]
    is_room = (ROOT / "tutorial" / name).is_dir()
    return name if is_room else DOORS.get(name, "the ground floor")


def test_every_room_of_the_tool_has_a_floor_and_says_what_it_is_for():
    rooms = {file.parent for file in (ROOT / "tutorial").glob("*/*.py")}
    assert {room.name for room in rooms} == set().union(*FLOORS[1:-1])
    for room in rooms:
        assert ast.get_docstring(ast.parse((room / "__init__.py").read_text("utf-8")))


@pytest.mark.parametrize(
    "file", sorted((ROOT / "tutorial").rglob("*.py")), ids=lambda file: file.stem
)
def test_the_tool_imports_nothing_upwards(file):
    floor = {room: number for number, rooms in enumerate(FLOORS) for room in rooms}
    here = room_of(".".join(file.relative_to(ROOT).with_suffix("").parts))
    for name in imported_by(file):
        package = name.partition(".")[0]
        assert package not in ("benchmarks", "tests"), f"{name}: they import the tool"
        if package == "tutorial":
            there = room_of(name)
            assert here == there or floor[there] < floor[here], f"{here}: {name}"
