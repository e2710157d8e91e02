"""The site, built once for all workers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.site.browsing import serving
from tests.support.servers import wait_until
from tutorial.stages import ROOT

BUILD_SECONDS = 600  # on a busy machine
# What `make test` plays of the game, in a browser: how it is won, with the mouse and by
# the keyboard, and what is read out. All the rest takes minutes.
PLAYED = {
    "test_every_level_can_be_won_as_it_says",
    "test_each_step_says_what_is_still_open",
    "test_the_keyboard_alone_is_enough",
    "test_one_region_speaks_once_for_each_step",
}


def pytest_collection_modifyitems(items):
    for item in items:
        if "toy" in item.fixturenames and item.originalname not in PLAYED:
            item.add_marker(pytest.mark.thorough)


def build(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean"]
    return subprocess.run(
        [*command, "--site-dir", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        timeout=BUILD_SECONDS,
    )


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The folder of the site, built strictly; the first worker that asks builds it."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, done = base / "site", base / "site-output.txt"
    try:
        (base / "site-begun").touch(exist_ok=False)
    except FileExistsError:
        wait_until(done.exists, lambda: "the site is built", BUILD_SECONDS)
    else:
        said = "1\nThe build was stopped."
        try:
            built = build(folder)
            said = f"{built.returncode}\n{built.stdout}"
        finally:  # others wait for it
            passing = base / "site-output.part"
            passing.write_text(said)
            passing.rename(done)
    code, _, output = done.read_text().partition("\n")
    assert code == "0", f"`mkdocs build --strict` should pass. It says:\n{output}"
    return folder


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served, on this machine."""
    with serving(site) as found:
        yield found
