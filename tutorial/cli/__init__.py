"""The command line: a module for the commands of each room, and what they share.

What a command needs of its room, it imports when it runs: the others go without.
"""

import os
import sys
from pathlib import Path

import click

from tutorial.cli import check, doctor, grading, run, site, steps


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """Run and compare the stages of this tutorial, and find what is in the way."""
    # Whoever closes a stream wants to hear nothing of it. It stays open to the end.
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    # What a console cannot show must not end the program.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")


for room in (check, doctor, grading, run, site, steps):
    for command in room.COMMANDS:
        main.add_command(command)
