"""Every order in which the commands of two servers can reach the engine.

A schedule is written as its steps.  The letter says who takes one, the digit at which
server; each is the next command of

    W  the writer, which takes a client's message in
    R  the reader, which tells the listener of its server

and in some cases one step is an event:

    X1  server 1 dies: its writer, its reader and what its listener still expects
    C2  the connection of server 2's reader breaks

A schedule has ended when nobody has anything to do any more.  Then all readers are
waiting, and what was not told by then never will be.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from .designs import Case, Cut, Design, Server
from .engine import WAITS, Command, Engine


class NotReady(Exception):
    """The schedule asks for a step that cannot be taken now."""


@dataclass(frozen=True)
class Outcome:
    """How one schedule ended.

    `lost` and `doubled` have a (listener, text) for each time too few or too many;
    `order` says whether the listeners heard in two orders; `gaps` names listeners who
    were told numbers that are not 1, 2, 3 and so on.
    """

    schedule: str
    lost: tuple[tuple[str, str], ...]
    doubled: tuple[tuple[str, str], ...]
    order: bool
    gaps: tuple[str, ...]

    @property
    def loses(self) -> bool:
        return bool(self.lost or self.doubled or self.order or self.gaps)


class Run:
    """One design in one case, to be stepped.

    `engine` is the model, or whatever has its methods.
    """

    def __init__(self, design: Design, case: Case, engine):
        self.design, self.case, self.engine = design, case, engine
        one, two = self.servers = [Server("1", case.fast), Server("2", case.slow)]
        self.tasks = {
            "W1": _write(design, one, case.says[0]),
            "W2": _write(design, two, case.says[1]),
            "R1": design.reader(one),
            "R2": design.reader(two),
        }
        self.event = case.event
        self.commands: dict[str, Command] = {}  # what each is about to send
        for who, task in self.tasks.items():
            self.commands[who] = next(task)

    def ready(self) -> list[str]:
        """The steps that can be taken now."""
        ready = [who for who, c in self.commands.items() if self.engine.ready(who, c)]
        return [*ready, self.event] if self.event else ready

    def step(self, name: str):
        """Take one step.  Returns the engine's answer, WAITS, or None for an event."""
        if name == self.event:
            self.event = ""
            return self._happen(name)
        reply = self.engine.call(name, self.commands[name])
        if reply is not WAITS:
            self._go_on(name, reply)
        for who, late in self.engine.answered():
            self._go_on(who, late)
        return reply

    def outcome(self, schedule: list[str]) -> Outcome:
        """What became of the messages, if nothing happens any more."""
        said = _texts(message for messages in self.case.says for message in messages)
        known = _texts(m for server in self.servers for m in server.acknowledged)
        lost, doubled, gaps = [], [], []
        for server in self.servers:
            told = Counter(text for text, _ in server.told)
            numbers = [number for _, number in server.told]
            if f"R{server.name}" in self.commands:  # else it died, and owes nothing
                lost += [(server.name, text) for text in (known - told).elements()]
            doubled += [(server.name, text) for text in (told - said).elements()]
            if self.design.numbered and numbers != [*range(1, len(numbers) + 1)]:
                gaps.append(server.name)
        return Outcome(
            " ".join(schedule),
            tuple(lost),
            tuple(doubled),
            self._has_two_orders(),
            tuple(gaps),
        )

    def _has_two_orders(self):
        """Whether the two listeners disagree on what came first."""
        one, two = (dict.fromkeys(text for text, _ in s.told) for s in self.servers)
        return [text for text in one if text in two] != [t for t in two if t in one]

    def _happen(self, event):
        if event == "X1":
            for who in ("W1", "R1"):
                self.tasks[who].close()
                self.commands.pop(who, None)
                self.engine.cut(who)
        else:
            self.engine.cut("R2")
            self.commands["R2"] = self.tasks["R2"].throw(Cut)

    def _go_on(self, who, reply):
        try:
            self.commands[who] = self.tasks[who].send(reply)
        except StopIteration:
            del self.commands[who]


def _write(design, server, messages):
    for message in messages:
        yield from design.writer(server, message)


def _texts(messages):
    """How often a text was said; what has the same id was said once."""
    return Counter({message.id: message.text for message in messages}.values())


def outcomes(design: Design, case: Case) -> Iterator[Outcome]:
    """Play every schedule, in the order of a dictionary."""
    todo: list[list[str]] = [[]]
    while todo:
        schedule = todo.pop()
        run = Run(design, case, Engine())
        for name in schedule:
            run.step(name)
        while ready := run.ready():
            first, *others = ready
            todo.extend([*schedule, other] for other in reversed(others))
            schedule.append(first)
            run.step(first)
        yield run.outcome(schedule)


def survey(design: Design, case: Case) -> dict:
    """Count all schedules, those that lose, and how.  "first" is the first of those."""
    found = list(outcomes(design, case))
    losing = [outcome for outcome in found if outcome.loses]
    return {
        "schedules": len(found),
        "losing": len(losing),
        "lost": sum(bool(outcome.lost) for outcome in losing),
        "doubled": sum(bool(outcome.doubled) for outcome in losing),
        "order": sum(outcome.order for outcome in losing),
        "gaps": sum(bool(outcome.gaps) for outcome in losing),
        "first": losing[0].schedule if losing else None,
    }


def replay(design: Design, case: Case, schedule: list[str]) -> Iterator:
    """Play one schedule.  Yields (the run, step, command, answer) after each step.

    Raises NotReady for a step that cannot be taken, and for a schedule that ends
    before all is done.
    """
    run = Run(design, case, Engine())
    for name in schedule:
        ready = run.ready()
        if name not in ready:
            now = " or ".join(ready) or "nothing: all is done"
            raise NotReady(f"{name} cannot be taken now; next could be {now}")
        command = run.commands.get(name)
        yield run, name, command, run.step(name)
    if run.ready():
        now = " or ".join(run.ready())
        raise NotReady(f"the schedule ends too early; next could be {now}")
