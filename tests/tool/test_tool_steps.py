"""`python -m tutorial steps`: the stages as commits, the same ones everywhere."""

import os
import re
import shutil
import subprocess
import zipfile

import pytest

from tests.support.servers import free_ports
from tutorial.stages import ROOT, load_stages
from tutorial.steps import commits as steps

STAGES = load_stages()
TAGS = [f"stage{stage.number}" for stage in STAGES]

# What a user's own settings may do to commits, files and branches.
HOSTILE = """\
[core]
    autocrlf = true
    eol = crlf
    fileMode = false
    hooksPath = {home}/hooks
    attributesFile = {home}/attributes
[commit]
    gpgSign = true
[tag]
    gpgSign = true
[gpg]
    program = false
[i18n]
    commitEncoding = latin1
[init]
    templateDir = {home}/template
    defaultBranch = trunk
[user]
    useConfigOnly = true
[fetch]
    prune = true
[log]
    showSignature = true
[merge]
    ff = only
    conflictStyle = zdiff3
    log = true
[rerere]
    enabled = true
[diff]
    noprefix = true
"""

needs_posix = pytest.mark.skipif(os.name == "nt", reason="hooks are shell scripts")


class Reader:
    """Somebody with a home folder, who runs git and the tool in copies."""

    def __init__(self, home, environment, answer, **more):
        self.home = home
        home.mkdir(parents=True)
        self.answer = answer
        outer = environment(*free_ports(2), HOME=str(home), **more)
        self.env = {
            name: text for name, text in outer.items() if not name.startswith("GIT_")
        }
        self.env |= {"GIT_CONFIG_NOSYSTEM": "1"}

    def git(self, folder, *words):
        """What git says, without the last line end."""
        done = subprocess.run(
            ["git", *map(str, words)],
            cwd=folder,
            env=self.env,
            capture_output=True,
            encoding="utf-8",
        )
        assert done.returncode == 0, f"git {words}: {done.stderr}"
        return done.stdout.rstrip("\n")

    def steps(self, folder, *words, **more):
        """Exit code, output and errors of the project's tool in `folder`."""
        env = {**self.env, **more}
        return self.answer("-m", "tutorial", "steps", *words, cwd=folder, env=env)

    def hashes(self, folder):
        """What branch and tags point at, the branch first."""
        return self.git(folder, "rev-parse", "steps", *TAGS).split()


@pytest.fixture
def ann(tmp_path, environment, answer):
    """A reader whose git is set up as usual."""
    reader = Reader(tmp_path / "ann", environment, answer, TZ="Asia/Tokyo")
    settings = "[user]\n    name = Ann\n    email = ann@example.org\n"
    (reader.home / ".gitconfig").write_text(settings)
    return reader


@pytest.fixture
def bob(tmp_path, environment, answer):
    """A reader whose settings and hooks want something else in every way."""
    reader = Reader(tmp_path / "bob", environment, answer, TZ="America/St_Johns")
    (reader.home / ".gitconfig").write_text(HOSTILE.format(home=reader.home))
    (reader.home / "attributes").write_text("* text eol=crlf\n")
    for folder in ("hooks", "template/hooks"):
        (reader.home / folder).mkdir(parents=True)
        for hook in ("reference-transaction", "post-checkout", "pre-commit"):
            path = reader.home / folder / hook
            path.write_text(f"#!/bin/sh\ntouch {reader.home}/hook-ran\nexit 1\n")
            path.chmod(0o755)
    return reader


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """What of the project is needed, without git: as a downloaded archive has it."""
    folder = tmp_path_factory.mktemp("steps") / "project"
    without = shutil.ignore_patterns("__pycache__", "site")
    shutil.copytree(ROOT / "tutorial", folder / "tutorial", ignore=without)
    for name in ("stages.toml", "README.md", ".gitattributes", ".gitignore"):
        shutil.copy2(ROOT / name, folder)
    for stage in STAGES:
        stage.copy_to(folder / stage.id)
    return folder


@pytest.fixture
def archive(project, tmp_path):
    """A copy of the project that is no clone."""
    return shutil.copytree(project, tmp_path / "archive")


@pytest.fixture
def clone(archive, ann):
    """A copy of the project that is a clone, on branch main."""
    folder = archive.rename(archive.with_name("clone"))
    ann.git(folder, "init", "--quiet", "--template=")
    ann.git(folder, "symbolic-ref", "HEAD", "refs/heads/main")
    ann.git(folder, "add", "--all")
    ann.git(folder, "commit", "--quiet", "--message=All of it")
    return folder


def test_a_commit_holds_the_folder_of_its_stage(clone, ann):
    code, output, errors = ann.steps(clone)
    assert (code, errors) == (0, "")
    for stage, tag in zip(STAGES, TAGS, strict=True):
        assert f"{tag}  " in output
        tree = ann.git(clone, "rev-parse", f"{tag}^{{tree}}")
        assert tree == ann.git(clone, "rev-parse", f"HEAD:{stage.id}")
    assert ann.git(clone, "rev-parse", "steps") == ann.git(clone, "rev-parse", TAGS[-1])


def test_the_commits_are_in_a_row_and_say_what_the_manifest_says(clone, ann):
    assert ann.steps(clone)[0] == 0
    log = ann.git(clone, "log", "--reverse", "--format=%H %P%n%ce%n%s%n%b%x00", "steps")
    before = ""
    for stage, entry in zip(STAGES, log.split("\0")[:-1], strict=True):
        ids, committer, subject, *body = entry.strip().splitlines()
        own, _, parent = ids.partition(" ")
        assert parent == before
        assert subject == f"Stage {stage.number}: {stage.title}"
        assert " ".join(body).strip() == stage.teaches
        assert committer.endswith(".invalid")
        before = own


def test_the_difference_of_two_tags_is_what_the_manifest_says(clone, ann):
    assert ann.steps(clone)[0] == 0
    for old, new, stage in zip(TAGS, TAGS[1:], STAGES[1:], strict=False):
        words = ("diff", "--name-status", "--no-renames", old, new)
        found = {"A": [], "M": [], "D": []}
        for line in ann.git(clone, *words).splitlines():
            status, path = line.split("\t")
            found[status].append(path)
        assert found == {
            "A": sorted(stage.adds),
            "M": sorted(stage.changes),
            "D": sorted(stage.removes),
        }


@needs_posix
def test_the_hashes_are_the_same_everywhere(clone, project, ann, bob, tmp_path):
    assert ann.steps(clone)[0] == 0
    wanted = ann.hashes(clone)

    # A clone whose work tree has other line ends and no executable file.
    other = tmp_path / "other"
    bob.git(tmp_path, "-c", "core.hooksPath=/dev/null", "clone", "-q", clone, other)
    for stage in STAGES:
        for path in (other / stage.id).rglob("*.py"):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
            path.chmod(0o600)
        (other / stage.id / "notes.txt").write_text("not git's\n")
    code, output, errors = bob.steps(other)
    assert (code, errors) == (0, "")
    assert bob.hashes(other) == wanted

    # A fresh repository, from a project that is no clone and has been run.
    archive = shutil.copytree(project, tmp_path / "archive 2")
    for name in ("db.sqlite3", "twistd.log", "chat/__pycache__/views.pyc"):
        path = archive / STAGES[0].id / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("left behind\n")
    # As in a hook of another repository.
    hostile = {"GIT_DEFAULT_HASH": "sha256", "GIT_DIR": str(clone / ".git")}
    into = ("--into", tmp_path / "fresh one")
    code, output, errors = bob.steps(archive, *into, **hostile)
    assert (code, errors) == (0, "")
    assert bob.hashes(tmp_path / "fresh one") == wanted
    assert not (bob.home / "hook-ran").exists()


@needs_posix
def test_a_fresh_repository_stands_at_the_first_stage(archive, bob, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    code, output, errors = bob.steps(archive, "--into", "../mine")
    assert (code, errors) == (0, "")
    assert f"cd {folder}" in output
    assert "git merge stage2" in output
    first = STAGES[0].folder
    for name in ("manage.py", "chat/views.py"):
        assert (folder / name).read_bytes() == (first / name).read_bytes()
    assert os.access(folder / "manage.py", os.X_OK)
    assert bob.git(folder, "symbolic-ref", "--short", "HEAD") == "main"
    # What running it leaves behind is no change.
    (folder / "db.sqlite3").touch()
    (folder / "chat" / "__pycache__").mkdir()
    (folder / "chat" / "__pycache__" / "views.pyc").touch()
    assert bob.git(folder, "status", "--porcelain") == ""
    (folder / ".gitignore").touch()
    assert bob.git(folder, "status", "--porcelain") == "?? .gitignore"


@needs_posix
def test_a_merge_is_as_the_site_shows_it_whatever_a_user_has_set(
    archive, bob, tmp_path
):
    folder = tmp_path / "mine"
    assert bob.steps(archive, "--into", folder)[0] == 0
    for name, text in {"name": "Bob", "email": "bob@example.org"}.items():
        bob.git(folder, "config", f"user.{name}", text)
    (folder / "mine.txt").touch()
    bob.git(folder, "add", "--all")
    bob.git(folder, "commit", "--quiet", "--message=mine")
    assert "Merge made by" in bob.git(folder, "merge", "--no-edit", "stage2")
    assert bob.git(folder, "log", "-1", "--format=%b") == ""
    assert "--- a/chat/views.py" in bob.git(folder, "diff", "stage1", "stage2")

    bob.git(folder, "reset", "--quiet", "--hard", "stage1")
    views = folder / "chat" / "views.py"
    views.write_text(views.read_text().replace('{"chat_room": room}', "{}"))
    bob.git(folder, "commit", "--quiet", "--all", "--message=mine")
    with pytest.raises(AssertionError):
        bob.git(folder, "merge", "stage2")
    text = views.read_text()
    assert "<<<<<<< HEAD\n" in text and ">>>>>>> stage2\n" in text
    assert "|||||||" not in text
    assert not (bob.home / "hook-ran").exists()


@pytest.mark.thorough
@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root is two users"
)
def test_a_clone_of_somebody_else_is_gits_own_reason(clone, ann, tmp_path):
    (clone / STAGES[0].id / "untracked.txt").touch()
    for at, folders, names in os.walk(clone):
        for name in (".", *folders, *names):
            shutil.chown(os.path.join(at, name), "nobody")  # noqa: PTH118
    for words in ([], ["--into", tmp_path / "mine"], ["--zip", tmp_path / "zips"]):
        said = in_the_way(*ann.steps(clone, *words))
        assert "dubious ownership" in said
        assert "git config --global --add safe.directory" in said
    assert not (tmp_path / "mine").exists()
    assert [*tmp_path.glob("zips/*")] == []
    ann.git(clone, "config", "--global", "--add", "safe.directory", clone)
    assert ann.steps(clone, "--zip", tmp_path / "zips")[0] == 0
    with zipfile.ZipFile(tmp_path / "zips" / f"{STAGES[0].id}.zip") as packed:
        assert not [name for name in packed.namelist() if "untracked" in name]


def test_a_clone_without_git_gives_no_archive_of_what_may_be_untracked(
    clone, ann, tmp_path
):
    said = in_the_way(*ann.steps(clone, "--zip", tmp_path / "zips", PATH=""))
    assert "git is missing" in said and "what of this clone is tracked" in said


def test_what_is_being_worked_on_stays(clone, ann):
    views = clone / STAGES[0].id / "chat" / "views.py"
    views.write_text(views.read_text("utf-8") + "# staged\n")
    ann.git(clone, "add", views)
    views.write_text(views.read_text("utf-8") + "# and changed\n")
    (clone / STAGES[0].id / "mine.txt").touch()
    # Of this file git would note in the index that it is as it was.
    os.utime(clone / STAGES[0].id / "manage.py", (0, 0))
    index = (clone / ".git" / "index").read_bytes()
    seen = ann.git(clone, "--no-optional-locks", "status", "--porcelain", "--branch")

    code, output, errors = ann.steps(clone)
    assert (code, errors) == (0, "")
    # It goes in as it is, and the reader is told.
    assert f"{STAGES[0].id}/chat/views.py" in output
    assert "# and changed" in ann.git(clone, "show", "stage1:chat/views.py")
    assert "mine.txt" not in ann.git(clone, "ls-tree", "-r", "--name-only", "stage1")

    assert (clone / ".git" / "index").read_bytes() == index
    assert (clone / ".git" / "HEAD").read_text() == "ref: refs/heads/main\n"
    again = ann.git(clone, "--no-optional-locks", "status", "--porcelain", "--branch")
    assert again == seen


@pytest.mark.thorough
def test_the_second_time_nothing_changes_until_a_stage_does(clone, ann):
    assert ann.steps(clone)[0] == 0
    before = ann.hashes(clone)
    code, output, errors = ann.steps(clone)
    assert (code, errors) == (0, "")
    assert "Nothing has changed" in output
    assert ann.hashes(clone) == before

    views = clone / STAGES[3].id / "chat" / "views.py"
    views.write_text(views.read_text("utf-8") + "# later\n")
    code, output, errors = ann.steps(clone)
    assert (code, errors) == (0, "")
    assert "Nothing has changed" not in output
    after = ann.hashes(clone)
    same = [old == new for old, new in zip(before, after, strict=True)]
    assert same == [False, True, True, True, False, False]


def in_the_way(code, output, errors):
    """The sentence of a refusal, after which nothing was written."""
    assert (code, output) == (1, "")
    assert "Traceback" not in errors
    return errors


@pytest.mark.thorough
def test_a_branch_that_is_checked_out_is_left_alone(clone, ann, tmp_path):
    assert ann.steps(clone)[0] == 0
    # Its work tree would lack the tool.
    ann.git(clone, "symbolic-ref", "HEAD", "refs/heads/steps")
    assert "git switch main" in in_the_way(*ann.steps(clone))
    ann.git(clone, "symbolic-ref", "HEAD", "refs/heads/main")
    ann.git(clone, "worktree", "add", "--quiet", tmp_path / "tree", "steps")
    assert str(tmp_path / "tree") in in_the_way(*ann.steps(clone))


@pytest.mark.thorough
def test_what_is_not_ours_is_not_overwritten(clone, ann):
    for made, said in [
        (["branch", "steps"], "branch steps .* git branch -m steps my-steps"),
        (["branch", "steps/mine"], "git branch -m steps/mine my-steps/mine"),
        (["tag", "stage3"], "tag stage3 .* git tag my-stage3 stage3"),
        (["tag", "--annotate", "-m", "mine", "stage3"], "tag stage3"),
        (["tag", "stage3", "HEAD:README.md"], "tag stage3"),
    ]:
        before = ann.git(clone, "for-each-ref")
        ann.git(clone, *made)
        refs = ann.git(clone, "for-each-ref")
        assert re.search(said, in_the_way(*ann.steps(clone)), re.DOTALL), made
        assert ann.git(clone, "for-each-ref") == refs
        name = next(word for word in made if word.startswith("st"))
        ann.git(clone, made[0], *(["-D"] if made[0] == "branch" else ["-d"]), name)
        assert ann.git(clone, "for-each-ref") == before


def test_a_commit_on_top_of_the_branch_is_not_lost(clone, ann):
    assert ann.steps(clone)[0] == 0
    tree = ann.git(clone, "rev-parse", "steps^{tree}")
    own = ann.git(clone, "commit-tree", tree, "-p", "steps", "-m", "mine")
    ann.git(clone, "branch", "--force", "steps", own)
    assert "branch steps" in in_the_way(*ann.steps(clone))
    assert ann.git(clone, "rev-parse", "steps") == own


@pytest.mark.thorough
def test_a_folder_with_something_in_it_is_left_alone(archive, ann, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").touch()
    assert "is not empty" in in_the_way(*ann.steps(archive, "--into", full))
    assert [path.name for path in full.iterdir()] == ["mine.txt"]
    code, output, errors = ann.steps(archive, "--into", full / "mine.txt")
    assert "is a file" in in_the_way(code, output, errors)
    code, output, errors = ann.steps(archive, "--zip", full / "mine.txt")
    assert "is a file" in in_the_way(code, output, errors)


def test_half_a_repository_is_not_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "IMPORT", ("fast-import", "--no-such-option"))
    with pytest.raises(steps.StepsError, match="no-such-option"):
        steps.write_into(tmp_path / "new")
    assert not (tmp_path / "new").exists()


@pytest.mark.thorough
def test_what_is_no_clone_gets_no_branch(archive, ann):
    said = in_the_way(*ann.steps(archive))
    assert "no clone" in said
    assert "--into" in said
    # A folder within somebody's repository is no clone of the project, either.
    ann.git(archive.parent, "init", "--quiet")
    assert "no clone" in in_the_way(*ann.steps(archive))
    assert ann.git(archive.parent, "for-each-ref") == ""


@pytest.mark.thorough
def test_without_git_there_are_only_archives(archive, ann, tmp_path):
    said = in_the_way(*ann.steps(archive, "--into", tmp_path / "mine", PATH=""))
    assert "git is missing" in said
    code, output, errors = ann.steps(archive, "--zip", tmp_path / "zips", PATH="")
    assert (code, errors) == (0, "")


def test_archives_are_the_same_in_two_copies(clone, project, ann, tmp_path):
    other = shutil.copytree(project, tmp_path / "other")
    for path in (other / STAGES[0].id).rglob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        os.utime(path, (0, 0))
        path.chmod(0o600)
    folders = [tmp_path / "one" / "zips", tmp_path / "zips 2"]
    assert ann.steps(clone, "--zip", folders[0])[0] == 0
    assert ann.steps(other, "--zip", folders[1])[0] == 0
    names = sorted(f"{stage.id}.zip" for stage in STAGES)
    for folder in folders:
        assert sorted(path.name for path in folder.iterdir()) == names
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    # Only archives were asked for.
    assert ann.git(clone, "for-each-ref", "refs/tags") == ""

    code, output, errors = ann.steps(clone, "--zip", folders[0])
    assert (code, errors) == (0, "")
    assert "Nothing has changed" in output


def test_an_archive_unpacks_to_its_stage(archive, ann, tmp_path):
    assert ann.steps(archive, "--zip", tmp_path)[0] == 0
    stage = STAGES[-1]
    with zipfile.ZipFile(tmp_path / f"{stage.id}.zip") as packed:
        assert packed.testzip() is None
        names = packed.namelist()
        assert names == sorted(names)
        manage = packed.getinfo(f"{stage.id}/manage.py")
        assert manage.external_attr >> 16 == 0o100755
        packed.extractall(tmp_path / "unpacked")
    fresh = stage.copy_to(tmp_path / "fresh")
    folders = tmp_path / "unpacked" / stage.id, fresh
    found = [
        {
            path.relative_to(folder): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file()
        }
        for folder in folders
    ]
    assert found[0] == found[1]
