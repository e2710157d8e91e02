"""On PYTHONPATH, this reaches into the code under test before its first line."""

import os

import tutorial_guard  # noqa: F401
import tutorial_hashes  # noqa: F401

if "TUTORIAL_FORKS" in os.environ:
    import tutorial_twistd  # noqa: F401  # before others hear of what is opened

if "TUTORIAL_READS" in os.environ:
    import tutorial_reads  # noqa: F401

if "SCRIPTED_CLOCK" in os.environ:
    import tutorial_clock  # noqa: F401
