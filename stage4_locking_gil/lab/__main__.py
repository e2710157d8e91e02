"""The command line of the laboratory: `python -m lab --help`."""

import argparse
import json
import re
import sys
from collections import Counter
from pathlib import Path

from . import stress, which_thread
from .explore import (
    CLOCKS,
    DESIGNS,
    Experiment,
    Outcome,
    interpreter,
    report,
    to_json,
)
from .stepper import NotReady, StepperError

STEPS = """\
A take a number (mostly: read the clock)   B store   L, U take and free the lock
P the whole post at once                   R one poll
The lock of setitem-lock and counter-outside is taken and freed within B.
"""

STRESS_NOTE = """\
This is what one run saw.  The next will differ, and a zero proves nothing.
Errors are exceptions, mostly from a loop over a dict that grew meanwhile.
"""

HINTS = f"""\
NEXT
python -m lab replay sorted "A1 A2 B2 R B1"      the hole, step by step
python -m lab replay lock "L1 A1 B1 R U1 L2 A2 B2 U2" --clock backward
python -m lab threads                            who is called on which thread
python -m lab stress                             the free threads once more
python -m lab --json FILE                        the same as data
Clocks: {", ".join(CLOCKS)}.  Change the order of a schedule and see."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code: 2 for a wrong request, 1 for a failure."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "replay":
            print(replay(options.design, options.schedule, options.clock))
        elif options.command == "stress":
            print(stress_table())
        elif options.command == "threads":
            which_thread.run()
        else:
            _everything(options.json)
    except (NotReady, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    except StepperError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="Which store loses messages, and when?  Without a command: "
        "explore every order of steps for all designs, then a stress run.",
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write what was explored as JSON: to FILE, or instead of the text",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    command = commands.add_parser("replay", help="play one schedule, step by step")
    command.add_argument("design", metavar="DESIGN", help=", ".join(DESIGNS))
    command.add_argument("schedule", metavar="SCHEDULE", help='like "A1 A2 B2 R B1"')
    command.add_argument("--clock", choices=CLOCKS, default="ticking")
    commands.add_parser("stress", help="free threads: what is lost this time?")
    commands.add_parser("threads", help="on which thread does Twisted call what?")
    return parser


def _everything(json_file):
    if json_file not in (None, "-"):
        Path(json_file).touch()  # rather fail now than after the exploration
    found = report(_progress)
    _progress("")
    if json_file is not None:
        text = json.dumps(to_json(found), separators=(",", ":")) + "\n"
        if json_file == "-":
            sys.stdout.write(text)
            return
        Path(json_file).write_text(text, encoding="utf-8")
    print(tables(found))
    print(stress_table())
    print(HINTS)


def _progress(text):
    if sys.stderr.isatty():
        print(f"\r{text:78}", end="" if text else "\r", file=sys.stderr, flush=True)


def _interpreter():
    python = interpreter()
    gil = "on" if python["gil"] else "off"
    return f"{python['implementation']} {python['version']}, GIL {gil}"


def tables(found: dict) -> str:
    """What `explore.report` found, as text of at most 80 columns."""
    lines = [
        f"EVERY INTERLEAVING of two writers and polling readers ({_interpreter()})",
        "Losing schedules / all schedules.  A schedule loses if a reader, after it has",
        "polled until nothing new comes, still lacks a message.",
        "",
        f"{'':16}{'steps':7}{'no':>8}{'1 reader':>12}{'1 reader':>12}"
        f"{'2 readers':>12}{'2 readers':>12}",
        f"{'design':16}{'a post':7}{'poll':>8}{'1 poll':>12}{'2 polls':>12}"
        f"{'1 poll':>12}{'2 polls':>12}",
    ]
    for name, design in DESIGNS.items():
        table = found["designs"][name]["table"]
        cells = [f"{row['losing']}/{row['schedules']}" for row in table.values()]
        first, *others = cells
        lines.append(
            f"{name:16}{design.steps:7}{first:>8}" + "".join(f"{c:>12}" for c in others)
        )
    lines += [
        "",
        STEPS,
        f"{'design':16}{'what it is':33}first losing, 1 reader, 1 poll",
    ]
    for name, design in DESIGNS.items():
        first = found["designs"][name]["table"]["r1p1"]["first"] or "none"
        lines.append(f"{name:16}{design.title:33}{first}")
    lines += [
        "",
        "A CLOCK THAT STANDS STILL, OR IS SET BACK between two messages",
        "Losing schedules / all schedules, 1 reader, 1 poll; and in how many of them a",
        "lost message was overwritten.  In the others a cursor had skipped it.",
        "",
        f"{'design':16}{'frozen':>10}{'overwritten':>14}"
        f"{'set back':>14}{'overwritten':>14}",
    ]
    for name in DESIGNS:
        clocks = found["designs"][name]["clocks"]
        cells = "".join(
            f"{row['losing']}/{row['schedules']}".rjust(width)
            + f"{row['overwritten']:>14}"
            for row, width in ((clocks["frozen"], 10), (clocks["backward"], 14))
        )
        lines.append(f"{name:16}{cells}")
    return "\n".join(lines) + "\n"


def stress_table() -> str:
    """Run all designs with free threads and say what this run lost."""
    lines = [
        f"FREE THREADS: {stress.WRITERS} writers and a reader, {_interpreter()}",
        "",
        f"{'design':16}{'posts':>8}{'overwritten':>14}{'skipped':>10}{'errors':>9}",
    ]
    for design in stress.designs():
        _progress(f"free threads: {design.title}")
        tally = stress.run(design.store)
        lines.append(
            f"{design.id:16}{tally.posts:>8}{tally.overwritten:>14}"
            f"{tally.skipped:>10}{tally.errors:>9}"
        )
    _progress("")
    return "\n".join([*lines, "", STRESS_NOTE])


def replay(name: str, schedule: str, clock: str = "ticking") -> str:
    """Play one schedule and tell it step by step.

    Raises NotReady for an unknown design or step, and for an impossible order.
    """
    if name not in DESIGNS:
        raise NotReady(f"no design is called {name!r}; there are {', '.join(DESIGNS)}")
    design, steps = DESIGNS[name], schedule.split()
    for step in steps:
        if not re.fullmatch(f"[{design.steps}][12]|R[ab]?", step):
            letters = " ".join(design.steps)
            raise NotReady(
                f"{step!r} is no step of {name}; "
                f"there are {letters}, each with 1 or 2, and R, Ra, Rb"
            )
    polls = Counter(step for step in steps if step.startswith("R")) or {"R": 0}
    with Experiment(design, polls, clock) as experiment:
        # Played twice: a message's number is what it is stored under at last.
        numbers = {}

        def note(taken):
            numbers.update(
                (text, number) for number, text in experiment.store.entries()
            )

        experiment.replay(steps, note)
        story = _Story(design.title, clock, len(polls), numbers)
        outcome = experiment.replay(
            steps, lambda taken: story.tell(taken, experiment.snapshot())
        )
        story.end(outcome, experiment.snapshot())
    return "\n".join(story.lines)


class _Story:
    def __init__(self, title, clock, readers, numbers):
        self.width = 12 * readers
        self.numbers = numbers
        self.lines = [
            f"{title}; clock: {clock}",
            "",
            f"{'step':30}{'cursor':{self.width}}store, in its own order",
        ]
        self.before = None

    def tell(self, steps, now):
        self._line(f"{steps[-1]:4}{self._what(steps[-1], now)}" if steps else "", now)
        self.before = now

    def end(self, outcome: Outcome, now):
        self._line("end readers poll to the end", now)
        self.lines.append("")
        for name, reader in now["readers"].items():
            lost = outcome.lost.get(name, {})
            fate = ", ".join(f"{text} is lost: {how}" for text, how in lost.items())
            has = ", ".join(reader["received"]) or "nothing"
            self.lines.append(f"{name} has {has}; {fate or 'nothing is lost'}.")
        for number, _ in now["entries"]:
            if _short(number) != str(number):
                self.lines.append(f"{_short(number)} is short for {number}.")

    def _line(self, text, now):
        readers = now["readers"].items()
        cursors = ", ".join(f"{name} {_short(r['cursor'])}" for name, r in readers)
        pairs = (f"{_short(number)}: {text!r}" for number, text in now["entries"])
        store = f"{{{', '.join(pairs)}}}"
        self.lines.append(f"{text:30}{cursors:{self.width}}{store}")

    def _what(self, step, now):
        if step.startswith("R"):
            old = self.before["readers"][step]["received"]
            new = now["readers"][step]["received"][len(old) :]
            return f"{step} gets {new[0] if new else 'nothing'}"
        letter, writer = step
        number = _short(self.numbers.get(f"m{writer}"))
        return (
            f"writer {writer} "
            + {
                "A": f"takes {'' if '..' in number else 'number '}{number}",
                "B": f"stores m{writer}",
                "L": "takes the lock",
                "U": "frees the lock",
                "P": f"posts m{writer}",
            }[letter]
        )


def _short(number) -> str:
    """Leave out the middle of a number that would not fit, as in 1.0..02."""
    text = str(number)
    return text if len(text) <= 7 else f"{text[:3]}..{text[-2:]}"


if __name__ == "__main__":
    sys.exit(main())
