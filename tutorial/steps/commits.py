"""The stages as a history for git: one commit for each, the same ones everywhere.

The tree of a commit is the folder of its stage. In a clone that is what git tracks of
it, as it is in the work tree; elsewhere all but what running it leaves behind. Line
ends are plain, and what begins with "#!" is executable. No clock, no user and no
settings go in, so that the same sources give the same hashes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import textwrap
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

from tutorial.stages import ROOT, TRACES, Stage, find_stage, load_stages, stage_files
from tutorial.steps.diff import NoGit, find_git

BRANCH = "steps"
GREEN = "refactoring"  # the branch of what chapter 5 does between two stages
EMAIL = "tutorial@example.invalid"  # whose commits are ours
IDENTITY = f"Real-time chat tutorial <{EMAIL}>"
FIRST_DAY = datetime(2026, 1, 1, 12, tzinfo=UTC)  # the date of stage 1

# A hook or a changed default of the user is not meant for what is made here.
SETTINGS = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false"]


class StepsError(Exception):
    """The history cannot be written. The text says what is in the way."""


@dataclass(frozen=True)
class File:
    """One file of a stage. `path` is relative to its folder, with slashes."""

    path: str
    content: bytes

    @property
    def mode(self) -> str:
        """Git's mode; a file system may not know what is executable."""
        return "100755" if self.content.startswith(b"#!") else "100644"


@dataclass(frozen=True)
class Written:
    """What a tag of the history is called, and the full hash of its commit."""

    stage: Stage
    commit: str

    @property
    def tag(self) -> str:
        """The name of the tag."""
        return tag_of(self.stage)


class Git:
    """Git in one folder. The user's settings hold, but no hook runs."""

    def __init__(self, folder: Path):
        git, self.environ = find_git()
        # In a repository with other hashes there would be other names for all.
        self.environ["GIT_DEFAULT_HASH"] = "sha1"
        self.command = [git, *SETTINGS, "-C", str(folder)]

    def ask(self, *words: str, given: bytes | None = None) -> str | None:
        """What git says to a question; None if it has no answer."""
        done = self._run(words, given)
        return None if done.returncode else done.stdout.decode("utf-8", "replace")

    def do(self, *words: str, given: bytes | None = None) -> str:
        """What git says. Raises StepsError, with its last words, if it fails."""
        done = self._run(words, given)
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise StepsError(f"{said}\ngit could not do this; its words are above.")
        return done.stdout.decode("utf-8", "replace")

    def _run(self, words, given) -> subprocess.CompletedProcess:
        command = [*self.command, *words]
        return subprocess.run(
            command, input=given or b"", capture_output=True, env=self.environ
        )

    @property
    def is_top(self) -> bool:
        """Whether the folder is the top of a repository's work tree."""
        return (self.ask("rev-parse", "--show-cdup") or "no").strip() == ""


def tag_of(stage: Stage) -> str:
    """The name of a stage's tag."""
    return f"stage{stage.number}"


# What goes in.


def files_of(stage: Stage, git: Git | None) -> list[File]:
    """The files of a stage, sorted by path. `git` is the clone's, if it is one."""
    paths = [path.as_posix() for path in stage_files(stage.folder)]
    if git:
        listed = git.do("ls-files", "-z", "--", f"{stage.id}/").split("\0")
        tracked = {name.removeprefix(f"{stage.id}/") for name in listed if name}
        # Hidden files may be tracked; what is tracked may have been deleted.
        if tracked:
            paths = [name for name in tracked if (stage.folder / name).is_file()]
    return [
        File(path, with_plain_ends((stage.folder / path).read_bytes()))
        for path in sorted(paths)
    ]


def with_plain_ends(content: bytes) -> bytes:
    """Content as git would add it: the lines of a text end in a newline alone."""
    return content if b"\0" in content else content.replace(b"\r\n", b"\n")


def date_of(stage: Stage) -> datetime:
    """A date that depends on nothing but the stage's number."""
    return FIRST_DAY + timedelta(days=stage.number - 1)


def message_of(stage: Stage) -> str:
    """The commit's message: what the manifest says of the stage."""
    return (
        f"Stage {stage.number}: {stage.title}\n\n{textwrap.fill(stage.teaches, 72)}\n"
    )


def stream(snapshots: list[tuple[Stage, list[File]]]) -> Iterator[bytes]:
    """The history, in the words of `git fast-import`."""
    yield b"feature done\n"
    for stage, files in snapshots:
        when = f"{IDENTITY} {int(date_of(stage).timestamp())} +0000"
        yield f"commit refs/heads/{BRANCH}\nmark :{stage.number}\n".encode()
        yield f"author {when}\ncommitter {when}\n".encode()
        yield _data(message_of(stage).encode())
        if stage.number > 1:
            yield f"from :{stage.number - 1}\n".encode()
        yield b"deleteall\n"
        for file in files:
            yield f"M {file.mode} inline {file.path}\n".encode()
            yield _data(file.content)
        # A tag of this kind is a name for the commit and nothing besides, so it has
        # the same hash; and git merges it as it would merge a branch.
        yield f"reset refs/tags/{tag_of(stage)}\nfrom :{stage.number}\n\n".encode()
    yield b"done\n"


def _data(content: bytes) -> bytes:
    return f"data {len(content)}\n".encode() + content + b"\n"


# The chapter that does its work in small steps.


@dataclass(frozen=True)
class Step:
    """One green point of a chapter: what it is called, and the files there."""

    subject: str
    files: list[File]


def green_steps(clone: Git | None) -> list[Step]:
    """What chapter 5 does to stage 4, one entry for each green point, in order.

    The last has the files of stage 5. Raises StepsError if it has not.
    """
    from tutorial.site.pages import Directive, Page  # which needs the site's packages

    page = Page.read(find_stage("5").chapter)
    found: list[Step] = []
    now = {file.path: file.content for file in files_of(page.before, clone)}
    edits = page.edits()
    for block in page.blocks:
        if isinstance(block, Directive) and block.name == "green":
            files = [File(path, now[path]) for path in sorted(now)]
            found.append(Step(" ".join(block.arguments).strip('"'), files))
        elif block.is_step:
            change = edits.apply(block)
            if change.kind == "delete":
                gone = change.path
                left = [p for p in now if p != gone and not p.startswith(f"{gone}/")]
                now = {path: now[path] for path in left}
            else:
                lines = edits.files[change.path].text()
                now[change.path] = "".join(f"{line}\n" for line in lines).encode()
    if not found or found[-1].files != files_of(page.stage, clone):
        raise StepsError(f"docs/{page.path} does not end with {page.stage.short}.")
    return found


def green_stream(steps: list[Step], start: Written) -> Iterator[bytes]:
    """The steps as commits of a branch of their own, on top of the stage `start`."""
    yield b"feature done\n"
    for number, step in enumerate(steps, 1):
        date = date_of(start.stage) + timedelta(hours=number)
        when = f"{IDENTITY} {int(date.timestamp())} +0000"
        yield f"commit refs/heads/{GREEN}\n".encode()
        yield f"author {when}\ncommitter {when}\n".encode()
        yield _data(f"{step.subject}\n".encode())
        if number == 1:
            yield f"from {start.commit}\n".encode()
        yield b"deleteall\n"
        for file in step.files:
            yield f"M {file.mode} inline {file.path}\n".encode()
            yield _data(file.content)
    yield b"done\n"


def write_green(folder: Path | None, written: list[Written]) -> list[Step]:
    """Write the branch `refactoring` into `folder`, or into this clone.

    `written` are the stages that stand there. Raises StepsError, and NoGit.
    """
    git = Git(folder or ROOT)
    steps = green_steps(the_clone())
    _look_for_checkouts(git, GREEN)
    _look_for_others(git, _refs(git, f"refs/heads/{GREEN}"))
    start = next(one for one in written if one.stage == find_stage("4"))
    git.do(*IMPORT, given=b"".join(green_stream(steps, start)))
    return steps


# Where it goes.


def the_clone() -> Git | None:
    """Git in this project, or None where the project is no clone.

    Raises StepsError where it is one that git does not touch, as somebody else's: what
    is not known to be tracked goes into no history.
    """
    try:
        git = Git(ROOT)
    except NoGit as error:
        if os.path.lexists(ROOT / ".git"):
            says = f"{error} Without it nobody can tell what of this clone is tracked."
            raise StepsError(says) from error
        return None
    if git.is_top:
        return git
    if os.path.lexists(ROOT / ".git"):
        git.do("rev-parse", "--show-cdup")  # raises with git's reason, and its cure
    return None


def snapshots(clone: Git | None) -> list[tuple[Stage, list[File]]]:
    """Every stage with its files, in order."""
    return [(stage, files_of(stage, clone)) for stage in load_stages()]


def uncommitted(clone: Git | None) -> list[str]:
    """The files of the stages that differ from the clone's last commit."""
    if clone is None:
        return []
    folders = [f"{stage.id}/" for stage in load_stages()]
    # To look must not write, and this would refresh the index.
    words = ["--no-optional-locks", "status", "--porcelain", "-z", "--no-renames"]
    said = clone.do(*words, "--untracked-files=no", "--", *folders)
    return [entry[3:] for entry in said.split("\0") if entry]


def write_here() -> tuple[list[Written], bool]:
    """Write branch and tags into this clone; its work tree, index and HEAD stay.

    Returns what is there now, and whether anything had to be written. Raises
    StepsError, and NoGit.
    """
    find_git()
    git = the_clone()
    if git is None:
        raise StepsError(
            "This folder is no clone of the project, so there is no place for a "
            f"branch. `steps --into DIR` makes a repository of its own: {ROOT}"
        )
    _look_for_checkouts(git, BRANCH)
    before = _refs(git)
    _look_for_others(git, before)
    git.do(*IMPORT, given=b"".join(stream(snapshots(git))))
    return _written(git), _refs(git) != before


def write_into(folder: Path) -> list[Written]:
    """Make a repository at `folder`, which must be empty or missing.

    It has branch and tags, and a branch main that stands at stage 1. Raises
    StepsError, and NoGit.
    """
    find_git()
    if folder.exists() and not folder.is_dir():
        raise StepsError(f"{folder} is a file. Name a folder that is not there yet.")
    if folder.is_dir() and any(folder.iterdir()):
        raise StepsError(
            f"{folder} is not empty. Name a folder that is not there yet; what you "
            "have made yourself goes into it afterwards."
        )
    whole = b"".join(stream(snapshots(the_clone())))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return _fill(Git(folder), folder, whole)
    except BaseException:
        # Half a repository would be in the way of the next try.
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _fill(git: Git, folder: Path, whole: bytes) -> list[Written]:
    git.do("init", "--quiet", "--template=")
    git.do("symbolic-ref", "HEAD", "refs/heads/main")
    for name, text in PLAIN.items():
        git.do("config", name, text)
    git.do(*IMPORT, given=whole)
    info = folder / ".git" / "info"
    info.mkdir(exist_ok=True)
    # In these files, since a commit holds its stage and nothing besides.
    for name, lines in {
        "attributes": ["* text=auto eol=lf"],
        "exclude": [*TRACES, ".venv"],
    }.items():
        (info / name).write_bytes("".join(f"{line}\n" for line in lines).encode())
    git.do("reset", "--quiet", "--hard", "stage1")
    return _written(git)


# What a merge does and shows in the new repository, whatever its user has for others:
# so it is as the site says, and no signature, hook or refusal is in the way.
PLAIN = {
    "commit.gpgSign": "false",
    "commit.status": "true",
    "commit.verbose": "false",
    "core.hooksPath": ".git/hooks",
    "diff.mnemonicPrefix": "false",
    "diff.noprefix": "false",
    "merge.autoStash": "false",
    "merge.conflictStyle": "merge",
    "merge.ff": "true",
    "merge.log": "false",
    "merge.renames": "true",
    "merge.stat": "true",
    "merge.verifySignatures": "false",
    "rerere.enabled": "false",
    "status.short": "false",
}

# Only what we have looked at before is moved by force.
IMPORT = ("fast-import", "--quiet", "--force", "--date-format=raw")


def _names() -> dict[str, Stage | None]:
    tags = {f"refs/tags/{tag_of(stage)}": stage for stage in load_stages()}
    return {f"refs/heads/{BRANCH}": None, **tags}


def _refs(git: Git, *names: str) -> dict[str, tuple[str, str]]:
    """Branch and tags as they are, and what lies below such a name: type, hash."""
    words = "--format=%(refname) %(objecttype) %(objectname)"
    lines = git.do("for-each-ref", words, *(names or _names())).splitlines()
    return {name: (kind, found) for name, kind, found in map(str.split, lines)}


def _written(git: Git) -> list[Written]:
    found = _refs(git)
    return [Written(stage, found[name][1]) for name, stage in _names().items() if stage]


def _look_for_checkouts(git: Git, branch: str) -> None:
    for entry in git.do("worktree", "list", "--porcelain").split("\n\n"):
        lines = entry.splitlines()
        if f"branch refs/heads/{branch}" in lines:
            where = lines[0].removeprefix("worktree ")
            raise StepsError(
                f"The branch {branch} is checked out in {where}, and would change "
                "below your feet. Take another branch there first: git switch main"
            )


def _look_for_others(git: Git, found: dict[str, tuple[str, str]]) -> None:
    for name, (kind, commit) in found.items():
        _, what, short = name.split("/", 2)
        ours = {*_names(), f"refs/heads/{GREEN}"}
        if name in ours and kind == "commit":
            history = [commit] if what == "heads" else ["--max-count=1", commit]
            makers = git.do("log", "--no-show-signature", "--format=%ce", *history)
            if set(makers.split()) == {EMAIL}:
                continue
        mine = f"my-{short}"
        if what == "heads":
            says = f"There is a branch {short} with commits that are not from here."
            cure = f"git branch -m {short} {mine}"
        else:
            says = f"There is a tag {short} that is not from here."
            cure = f"git tag {mine} {short}, then git tag -d {short}"
        raise StepsError(f"{says} Give it another name: {cure}")


# Archives.


def write_zips(folder: Path) -> dict[Path, bool]:
    """Write an archive of each stage into `folder`: path -> whether it is new.

    Raises StepsError.
    """
    if folder.exists() and not folder.is_dir():
        raise StepsError(f"{folder} is a file. Name a folder for the archives.")
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for stage, files in snapshots(the_clone()):
        path, content = folder / f"{stage.id}.zip", packed(stage, files)
        found[path] = not path.is_file() or path.read_bytes() != content
        if found[path]:
            path.write_bytes(content)
    return found


def packed(stage: Stage, files: list[File]) -> bytes:
    """An archive that unpacks to a folder of the stage's name."""
    whole = BytesIO()
    # Not compressed, since each zlib does that in its own way.
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            when = date_of(stage).timetuple()[:6]
            entry = zipfile.ZipInfo(f"{stage.id}/{file.path}", when)
            entry.create_system = 3  # Unix, wherever this runs: the mode counts
            entry.external_attr = int(file.mode, 8) << 16
            archive.writestr(entry, file.content)
    return whole.getvalue()
