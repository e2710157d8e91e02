"""Every interleaving of two writers and some polling readers, on the store classes.

A schedule is written as its steps.  The letter says what is done, the digit by which
writer; "R" is one poll (with two readers "Ra" and "Rb"):

    A  reads the clock, or takes the next number        L  takes the lock
    B  stores the message                               U  gives the lock back
    P  posts, where a whole post is one step            R  polls once

Taking a lock and giving it back count as steps where the lock spans more than one
step.  Where it is taken and given back within B, they are part of B.  A thread that
needs a lock which is taken is not ready, so some orders do not exist.

When a schedule has ended, every reader polls until nothing new comes.  The schedule
loses if some reader still lacks a message, which then is either "overwritten" (no
longer in the store) or "skipped" (there, but the reader's cursor is past its number).
"""

import atexit
import contextlib
import functools
import inspect
import itertools
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from unittest import mock

from twisted.internet import reactor
from twisted.python import threadable

from . import stores
from .stepper import Lock, Stepper, StepperError


@dataclass(frozen=True)
class Design:
    """A store class, and which steps one post consists of.

    `id` is permanent: tests and links use it.  `gil` is the answer that the store gets
    when it asks whether there is a GIL; None leaves it to the interpreter.  `parts` are
    further classes to show with the source.
    """

    id: str
    title: str
    store: type
    steps: str
    gil: bool | None = None
    parts: tuple[type, ...] = ()


DESIGNS = {
    design.id: design
    for design in [
        Design("unsorted", "unsorted, no lock", stores.UnsortedStore, "AB"),
        Design("sorted", "sorted, no lock", stores.SortedStore, "AB"),
        Design(
            "setitem-lock",
            "sorted, lock inside __setitem__",
            stores.SetitemLockStore,
            "AB",
            parts=(stores.WriteProtectedDict,),
        ),
        Design(
            "counter-outside",
            "counter read outside the lock",
            stores.CounterOutsideStore,
            "AB",
            parts=(stores.WriteProtectedDict,),
        ),
        Design(
            "gil-lock-on",
            "lock only without GIL; GIL on",
            stores.GilLockStore,
            "AB",
            gil=True,
        ),
        Design(
            "gil-lock-off",
            "lock only without GIL; GIL off",
            stores.GilLockStore,
            "LABU",
            gil=False,
        ),
        Design("lock", "sorted, lock around A and B", stores.LockStore, "LABU"),
        Design(
            "lock-unsorted",
            "unsorted, lock around A and B",
            stores.UnsortedLockStore,
            "LABU",
        ),
        Design(
            "counter-lock",
            "counter read under the lock",
            stores.CounterLockStore,
            "LABU",
        ),
        Design("append", "list.append, cursor = index", stores.AppendStore, "P"),
        Design("reactor", "one thread, callFromThread", stores.ReactorStore, "P"),
        Design("rising", "lock, ever rising stamps", stores.RisingStore, "LABU"),
    ]
}

# Polls of each reader.  Without a poll there still is a reader, for the end.
SETUPS = {
    "r1p0": {"R": 0},
    "r1p1": {"R": 1},
    "r1p2": {"R": 2},
    "r2p1": {"Ra": 1, "Rb": 1},
    "r2p2": {"Ra": 2, "Rb": 2},
}
SETUP_TITLES = {
    "r1p0": "no poll",
    "r1p1": "1 reader, 1 poll",
    "r1p2": "1 reader, 2 polls",
    "r2p1": "2 readers, 1 poll each",
    "r2p2": "2 readers, 2 polls each",
}

# What the clock says, reading after reading.
CLOCKS = {
    "ticking": lambda: itertools.count(1.0),
    "frozen": lambda: itertools.repeat(1.0),
    "backward": lambda: itertools.chain([2.0], itertools.count(1.0)),
}

WRITERS = {"1": "m1", "2": "m2"}


class Reader:
    """A polling client: it asks for what comes after its cursor, and moves it there."""

    def __init__(self, store):
        self.store, self.cursor, self.received = store, 0, []

    def poll(self) -> bool:
        """Ask once; return whether there was a message."""
        found = self.store.next_after(self.cursor)
        if found is None:
            return False
        self.cursor, text = found
        self.received.append(text)
        return True

    def drain(self):
        while self.poll():
            pass

    def lost(self, texts: list[str]) -> dict[str, str]:
        """Which of `texts` it lacks, and how each was lost."""
        kept = {text for _, text in self.store.entries()}
        return {
            text: "skipped" if text in kept else "overwritten"
            for text in texts
            if text not in self.received
        }


@dataclass(frozen=True)
class Outcome:
    """How one schedule ended; `lost` is reader -> {text: how}, losers only."""

    schedule: str
    lost: dict[str, dict[str, str]]


class Experiment:
    """One design, its readers and its clock, ready to be stepped in a `with` block.

    `polls` maps each reader's name to its number of polls, as in SETUPS; `clock` is a
    key of CLOCKS.
    """

    def __init__(
        self,
        design: Design,
        polls: dict[str, int],
        clock: str = "ticking",
    ):
        self.design, self.polls, self.clock = design, polls, clock
        code = design.store.post.__code__ if "B" in design.steps else None
        names = [*WRITERS, *polls]
        self.stepper = Stepper(names, design.steps + "R", code)

    def __enter__(self):
        if issubclass(self.design.store, stores.ReactorStore):
            start_reactor()
        stand_ins = {
            "threading": _like(threading, Lock=functools.partial(Lock, self.stepper)),
            "time": _like(time, time=lambda: self._take_number(self.readings)),
            "itertools": _like(itertools, count=lambda start: _Numbers(self, start)),
        }
        if self.design.gil is not None:
            stand_ins["sys"] = _like(sys, _is_gil_enabled=lambda: self.design.gil)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_substituted(self.design.store, stand_ins))
            stack.enter_context(self.stepper)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        return self._stack.__exit__(*error)

    @property
    def expected(self) -> int:
        """How many schedules there are, by arithmetic alone."""
        posts = [self.design.steps] * len(WRITERS)
        return count_orders((*posts, *("R" * polls for polls in self.polls.values())))

    def outcomes(
        self, after_step: Callable[[list[str]], None] = lambda steps: None
    ) -> Iterator[Outcome]:
        """Play every schedule.  Raises StepperError, also if their number is wrong."""
        played = 0
        for schedule in self.stepper.explore(self._set_scene, self._then(after_step)):
            played += 1
            yield Outcome(" ".join(schedule), self._drain())
        if played != self.expected:
            raise StepperError(
                f"{self.design.id}: {played} schedules were played where its steps "
                f"{self.design.steps} make {self.expected}"
            )

    def replay(
        self,
        schedule: list[str],
        after_step: Callable[[list[str]], None] = lambda steps: None,
    ) -> Outcome:
        """Play one schedule.  Raises StepperError, NotReady if it is impossible."""
        self.stepper.replay(self._set_scene(), schedule, self._then(after_step))
        return Outcome(" ".join(schedule), self._drain())

    def snapshot(self) -> dict:
        """What is in the store, in hand and received, and what each thread does next.

        "blocked" maps a thread to the holder of the lock that it waits for.
        """
        held = [worker for worker in self.stepper.workers if worker.step]
        return {
            "entries": [list(entry) for entry in self.store.entries()],
            "hand": dict(sorted(self.hand.items())),
            "readers": {
                name: {"cursor": reader.cursor, "received": list(reader.received)}
                for name, reader in self.readers.items()
            },
            "next": [worker.step for worker in held],
            "blocked": {w.step: w.wants.owner for w in held if not w.ready},
        }

    def _set_scene(self):
        self.readings = CLOCKS[self.clock]()
        self.hand = {}
        self.store = self.design.store()
        self.readers = {name: Reader(self.store) for name in self.polls}
        bodies = {name: functools.partial(self._write, name) for name in WRITERS}
        return bodies | {
            name: functools.partial(self._read, name) for name in self.polls
        }

    def _write(self, name):
        self.stepper.stop("P")
        self.store.post(WRITERS[name])

    def _read(self, name):
        for _ in range(self.polls[name]):
            self.stepper.stop("R")
            self.readers[name].poll()

    def _take_number(self, numbers):
        self.stepper.stop("A")
        number = next(numbers)
        writer = threading.current_thread().name
        if writer in WRITERS:
            self.hand[writer] = number
        return number

    def _then(self, after_step):
        def after(steps):
            if steps and steps[-1].startswith("B"):
                self.hand.pop(steps[-1][1:], None)
            after_step(steps)

        return after

    def _drain(self):
        lost = {}
        for name, reader in self.readers.items():
            reader.drain()
            lost[name] = reader.lost(list(WRITERS.values()))
        return {name: texts for name, texts in lost.items() if texts}


class _Numbers:
    """Stands in for itertools.count: a thread is held before it gets its number."""

    def __init__(self, experiment, start):
        self.experiment, self.numbers = experiment, itertools.count(start)

    def __next__(self):
        return self.experiment._take_number(self.numbers)


def _like(module: ModuleType, **changes) -> SimpleNamespace:
    return SimpleNamespace(**{**vars(module), **changes})


@contextlib.contextmanager
def _substituted(store: type, stand_ins: dict[str, SimpleNamespace]):
    """Put the stand-ins into the modules that define `store` and its bases."""
    with contextlib.ExitStack() as stack:
        for module in {sys.modules[base.__module__] for base in store.__mro__}:
            for name, stand_in in stand_ins.items():
                if getattr(module, name, None) is sys.modules[name]:
                    stack.enter_context(mock.patch.object(module, name, stand_in))
        yield


@functools.cache
def count_orders(threads: tuple[str, ...], locked: bool = False) -> int:
    """In how many orders threads with these steps can run; only L may have to wait."""
    if not any(threads):
        return 1
    orders = 0
    for i, steps in enumerate(threads):
        step = steps[:1]
        if step and not (step == "L" and locked):
            rest = (*threads[:i], steps[1:], *threads[i + 1 :])
            orders += count_orders(rest, step == "L" or (locked and step != "U"))
    return orders


@functools.cache
def start_reactor():
    """Run Twisted's reactor in a thread of its own until the process ends.

    Raises RuntimeError in the thread that already runs it: that one would wait for
    itself.
    """
    if reactor.running:
        if threadable.isInIOThread():
            raise RuntimeError("the reactor runs in this thread; run `python -m lab`")
        return
    started = threading.Event()
    reactor.callWhenRunning(started.set)
    thread = threading.Thread(
        target=reactor.run, kwargs={"installSignalHandlers": False}, daemon=True
    )

    def stop():
        reactor.callFromThread(reactor.stop)
        thread.join()

    thread.start()
    started.wait()
    atexit.register(stop)


def survey(design: Design, polls: dict[str, int], clock: str = "ticking") -> dict:
    """Count all schedules, the losing ones, those with an overwritten message.

    "first" is the first losing schedule, or None; the order is that of a dictionary
    in which writer 1 comes before writer 2, and both before the readers.
    """
    with Experiment(design, polls, clock) as experiment:
        outcomes = list(experiment.outcomes())
    losing = [outcome for outcome in outcomes if outcome.lost]
    overwritten = [o for o in losing if "overwritten" in _how(o)]
    return {
        "schedules": len(outcomes),
        "losing": len(losing),
        "overwritten": len(overwritten),
        "first": losing[0].schedule if losing else None,
    }


def _how(outcome):
    return {how for texts in outcome.lost.values() for how in texts.values()}


def tree(design: Design, polls: dict[str, int], clock: str = "ticking") -> dict:
    """Every state of every schedule: prefix -> `Experiment.snapshot()`.

    The prefix is written like a schedule, the start is "".  Where nothing is left to
    do, "end" holds what each reader has after the final drain, and what it lacks.
    """
    nodes = {}
    with Experiment(design, polls, clock) as experiment:

        def after_step(steps):
            nodes.setdefault(" ".join(steps), experiment.snapshot())

        for outcome in experiment.outcomes(after_step):
            nodes[outcome.schedule]["end"] = {
                name: {
                    "received": list(reader.received),
                    "lost": outcome.lost.get(name, {}),
                }
                for name, reader in experiment.readers.items()
            }
    return nodes


def interpreter() -> dict:
    """Which Python this is, and whether its GIL is on."""
    return {
        "implementation": platform.python_implementation(),
        "version": platform.python_version(),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
    }


def report(progress: Callable[[str], None] = lambda text: None) -> dict:
    """Explore all designs: every set-up with a ticking clock, "r1p1" with each clock.

    Returns {"interpreter": ..., "designs": {id: {"table": {set-up: survey}, "clocks":
    {clock: survey}}}}, the surveys as `survey` returns them.
    """
    designs = {}
    for design in DESIGNS.values():
        table, clocks = {}, {}
        for setup, polls in SETUPS.items():
            progress(f"{design.title}: {SETUP_TITLES[setup]}")
            table[setup] = survey(design, polls)
        for clock in CLOCKS:
            clocks[clock] = survey(design, SETUPS["r1p1"], clock)
        designs[design.id] = {"table": table, "clocks": clocks}
    return {"interpreter": interpreter(), "designs": designs}


def to_json(found: dict) -> dict:
    """What `report` found, with what is needed to show it and to step through it.

    Adds to each design its title, text and source, and for "r1p1" and each clock the
    `tree`.  The same interpreter gives the same output, to the byte.
    """
    return {
        "interpreter": found["interpreter"],
        "setups": [
            {"id": setup, "title": SETUP_TITLES[setup], "readers": len(polls)}
            | {"polls": max(polls.values())}
            for setup, polls in SETUPS.items()
        ],
        "clocks": list(CLOCKS),
        "designs": [
            {
                "id": design.id,
                "title": design.title,
                "name": design.store.__name__,
                "doc": inspect.getdoc(design.store),
                "steps": design.steps,
                "source": "\n\n".join(
                    inspect.getsource(part) for part in (*design.parts, design.store)
                ),
                "post": inspect.getsource(design.store.post),
                **found["designs"][design.id],
                "trees": {
                    clock: tree(design, SETUPS["r1p1"], clock) for clock in CLOCKS
                },
            }
            for design in DESIGNS.values()
        ],
    }
