"""The step from one stage to another, as git shows it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tutorial.stages import copy_stage

# In a git hook these point at another repository.
FOREIGN = (
    "GIT_DIR",
    "GIT_COMMON_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_NAMESPACE",
)

# A file may also be made of a part of another, as where one is split.
MOVES = ["--find-renames", "--find-copies=40%", "--color-moved=dimmed-zebra"]


class NoGit(Exception):
    """git is not there."""


def find_git() -> tuple[str, dict[str, str]]:
    """The path of git, and an environment that points it at no repository.

    Raises NoGit.
    """
    git = shutil.which("git")
    if git is None:
        raise NoGit("git is missing, and it does the work. Install git.")
    environ = {key: text for key, text in os.environ.items() if key not in FOREIGN}
    return git, environ


@contextmanager
def _trees(folders: list[Path]) -> Iterator[tuple[list[str], list[str], dict]]:
    """Store folders in a passing repository; yield git, their trees, environment."""
    git, environ = find_git()
    # On Windows git makes its objects read-only, and they do not go without this.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as passing:
        store = Path(passing, "store")
        # The user's settings are for the user's repositories, as to content.
        command = [git, "-c", "core.autocrlf=false", "-c", "core.safecrlf=false"]
        command += [f"--git-dir={store}"]

        def call(*words: str) -> str:
            done = subprocess.run(
                [*command, *words],
                check=True,
                stdout=subprocess.PIPE,
                text=True,
                env=environ,
            )
            return done.stdout.strip()

        call("init", "--quiet", "--bare", "--template=", str(store))
        trees = []
        for number, folder in enumerate(folders):
            copy = copy_stage(folder, Path(passing, str(number)))
            call(f"--work-tree={copy}", "add", "--all", "--force", str(copy))
            trees.append(call("write-tree"))
        yield command, trees, environ


def show_step(old: Path, new: Path, *options: str) -> int:
    """Show the step on the terminal, with git's own colours and pager.

    Returns git's exit code. Raises NoGit.
    """
    with _trees([old, new]) as (git, trees, environ):
        words = [*git, "diff", *MOVES, *options, *trees]
        code = subprocess.run(words, env=environ).returncode
    # Who leaves the pager early closes the pipe that git writes to.
    return 0 if code == -getattr(signal, "SIGPIPE", 0) else code
