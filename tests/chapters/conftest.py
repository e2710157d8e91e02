"""Tests of the exercises at the ends of the chapters: `check 2 --exercise 1`.

They ask a folder that has one of them solved, and no other. What no test can see in a
folder, an answer in one's head or at a prompt, is not among them.
"""

# pytest finds a fixture by its name here.
from tests.contract.conftest import _no_traceback  # noqa: F401
