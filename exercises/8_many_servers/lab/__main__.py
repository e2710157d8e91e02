"""The command line of the laboratory: `python -m lab --help`."""

import argparse
import sys

from .designs import CASES, DESIGNS, Case, Design
from .engine import WAITS
from .explore import NotReady, Outcome, outcomes, replay, survey

EVENTS = {
    "X1": "server 1 dies",
    "C2": "the connection of reader 2 breaks",
}

STEPS = """\
W1, W2 a writer's next command   X1 server 1 dies
R1, R2 a reader's next command   C2 the connection of reader 2 breaks"""

HINTS = """\
NEXT
python -m lab dollar                                its first losing schedule
python -m lab dollar "W1 R1 R1 W2 R1 R2 R2"         a schedule of yours
python -m lab ours "W1 R2 C2 W2 R1 R2" --case cut   in another case"""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; return the exit code: 2 for a wrong request."""
    options = _parser().parse_args(arguments)
    try:
        print(_story(options) if options.design else table())
    except NotReady as error:
        print(f"lab: {error}", file=sys.stderr)
        return 2
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="Which design loses, with two servers on one engine?  Without a "
        "design: try every order of commands for all.",
    )
    parser.add_argument("design", nargs="?", metavar="DESIGN", help=", ".join(DESIGNS))
    parser.add_argument(
        "schedule",
        nargs="?",
        metavar="SCHEDULE",
        help='like "W1 R1 W2"; without one, the first that loses',
    )
    parser.add_argument("--case", metavar="CASE", help=", ".join(CASES))
    return parser


def table() -> str:
    """All designs, in the cases in which they are tried."""
    lines = [
        "EVERY ORDER of the commands of two servers to one engine",
        "Each server has a writer, a reader and a listener.  Schedules that lose:",
        "lost     a listener is never told a message that was acknowledged",
        "doubled  a listener is told a message twice",
        "order    the listeners hear in two orders",
        "gaps     the numbers that a listener is told are not 1, 2, 3 and so on",
        "",
        f"{'design':16}{'case':12}{'schedules':>9}"
        f"{'lost':>8}{'doubled':>9}{'order':>8}{'gaps':>8}",
    ]
    firsts = []
    for design in DESIGNS.values():
        for case in design.cases:
            row = survey(design, CASES[case])
            gaps = row["gaps"] if design.numbered else "-"
            lines.append(
                f"{design.id:16}{case:12}{row['schedules']:>9}"
                f"{row['lost']:>8}{row['doubled']:>9}{row['order']:>8}{gaps:>8}"
            )
            firsts.append((design, row["first"]))
    lines += ["", f"{'design':16}{'what it is':38}first losing schedule"]
    for design, first in dict(firsts).items():
        lines.append(f"{design.id:16}{design.title:38}{first or 'none'}")
    lines += ["", "CASES"]
    lines += [f"{case.id:12}{case.title}" for case in CASES.values()]
    return "\n".join([*lines, "", STEPS, "", HINTS])


def _story(options) -> str:
    if options.design not in DESIGNS:
        raise NotReady(f"no design is called {options.design!r}; see python -m lab")
    design = DESIGNS[options.design]
    if options.case not in (None, *CASES):
        raise NotReady(f"no case is called {options.case!r}; see python -m lab")
    case = CASES[options.case or design.cases[0]]
    schedule = options.schedule
    if schedule is None:
        found = list(outcomes(design, case))
        losing = [outcome for outcome in found if outcome.loses]
        if not losing:
            return f"{design.id}, {case.id}: none of {len(found)} schedules loses."
        schedule = losing[0].schedule
    return story(design, case, schedule)


def story(design: Design, case: Case, schedule: str) -> str:
    """One schedule, step by step.  Raises NotReady if it cannot be played."""
    lines = [
        f"{design.id}: {design.title}",
        f"{case.id}: {case.title}",
        "",
        _line("step", "command", "answer", "ack", "told 1", "told 2"),
    ]
    steps = schedule.split()
    acknowledged = 0
    for run, name, command, answer in replay(design, case, steps):
        known = [m.text for server in run.servers for m in server.acknowledged]
        new = len(known) > acknowledged
        acknowledged = len(known)
        lines.append(
            _line(
                name,
                EVENTS[name] if command is None else _command(command),
                "" if command is None else _answer(command, answer),
                run.servers[int(name[1]) - 1].acknowledged[-1].text if new else "",
                *(_told(server) for server in run.servers),
            )
        )
    return "\n".join([*lines, "", *_verdict(run.outcome(steps))])


def _told(server):
    return " ".join(text for text, _ in server.told)


def _line(step, command, answer, ack, one, two):
    return f"{step:5}{command:38}{answer:13}{ack:5}{one:10}{two}".rstrip()


def _command(command):
    """As it is sent; but of a script its name, and what it is given beside keys."""
    if command[0] != "EVAL":
        return " ".join(command)
    _, script, count, *words = command
    return " ".join(["EVAL", script.name, *words[int(count) :]])


def _answer(command, answer):
    """What was answered, in short: of entries and of what was pushed, no ids."""
    if answer is WAITS:
        return "(waits)"
    if command[0] == "XREAD":
        [[_, answer]] = answer
    if command[0] in ("XREAD", "XRANGE"):
        answer = [value for _, fields in answer for value in fields[1::2]]
    if command[0] == "LISTEN":
        answer = [pushed.partition(" ")[2] for pushed in answer]
    if command[0] == "SUBSCRIBE":
        return "subscribed"
    if isinstance(answer, list):
        return " ".join(answer) or "nothing"
    return "nothing" if answer is None else f"{answer}"


def _verdict(outcome: Outcome) -> list[str]:
    lines = [
        f"Listener {listener} is never told {text}, which was acknowledged."
        for listener, text in outcome.lost
    ]
    lines += [
        f"Listener {listener} is told {text} once too often."
        for listener, text in outcome.doubled
    ]
    if outcome.order:
        lines.append("The listeners hear in two orders.")
    lines += [
        f"The numbers that listener {listener} is told have a gap."
        for listener in outcome.gaps
    ]
    return lines or ["Nothing is lost or doubled, and there is one order."]


if __name__ == "__main__":
    sys.exit(main())
