"""The command line: a module for the commands of each room, and what they share.

What a command needs of its room, it imports when it runs: the others go without.
"""

import sys

import click

from tutorial.cli import check, doctor, grading, run, site, steps


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main():
    """Run and compare the stages of this tutorial, and find what is in the way."""
    # What a console cannot show must not end the program.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")


for room in (check, doctor, grading, run, site, steps):
    for command in room.COMMANDS:
        main.add_command(command)
