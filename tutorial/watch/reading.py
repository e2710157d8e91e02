"""Opens a page of the site in the learner's browser."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil

from tutorial.check.report import SITE
from tutorial.doctor.checks import bind_error
from tutorial.settings import MARK
from tutorial.stages import ROOT

SPARED = "TUTORIAL_SPARED"  # names, to a browser of the learner, who has opened it
PORT = int(SITE.rpartition(":")[2].strip("/"))


class Reading:
    """The pages of the site, which are built when they are first asked for.

    What serves them carries `mark` and writes into `folder`, so that it ends with us.
    """

    def __init__(self, mark: str, folder: Path):
        self.mark, self.folder = mark, folder
        self.me = uuid.uuid4().hex
        self.server: subprocess.Popen | None = None
        self.wanted = ""  # an address that is opened as soon as there is somebody

    def open(self, address: str) -> str:
        """Open an address, now or soon. Returns what to tell of that."""
        if bind_error(PORT):  # `make read` runs, or what we have started
            self._show(address)
            return f"Opened in your browser: {address}"
        self.wanted = address
        if self.server is None or self.server.poll() is not None:
            folder = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.folder))
            self.server = subprocess.Popen(
                [sys.executable, "-m", "mkdocs", "serve", "--quiet"],
                cwd=ROOT,
                env={
                    **os.environ,
                    "NO_MKDOCS_2_WARNING": "1",
                    MARK: self.mark,
                    **folder,
                },
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        return "The pages are built, which takes half a minute. Then it is opened."

    def look(self) -> str:
        """Open what was waited for, if that can be done now. Returns as open() does."""
        if not self.wanted:
            return ""
        if bind_error(PORT):
            address, self.wanted = self.wanted, ""
            return self.open(address)
        if self.server.poll() is not None:
            self.wanted = ""
            return "The pages cannot be built: make read says why."
        return ""

    def _show(self, address: str) -> None:
        subprocess.Popen(
            [sys.executable, "-m", "webbrowser", address],
            env={**os.environ, SPARED: self.me},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def has_opened(self, process: psutil.Process) -> bool:
        """Whether this is a browser of the learner's, which stays."""
        try:
            return process.environ().get(SPARED) == self.me
        except psutil.Error:
            return False
