"""Run real threads one step at a time, in every possible order.

A worker thread runs until it reaches a stop and is held there; the next step of the
schedule is the thread that may go on to its next stop.  The code under test is not
changed.  It reaches a stop when it

- reads the clock or takes the next number (A), takes a lock (L) or gives it back (U):
  these call stand-ins that somebody put in place of the real clock, counter and lock;
- is about to store (B): the interpreter announces the instruction, see `watch`;
- calls `Stepper.stop` itself, as the lab's own reader does before each poll (R).

A step is named after what the thread does in it and after the thread: "A1", "B2".
A thread that is named after its letter lends its whole name: "R", "Ra".
"""

import contextlib
import dis
import sys
import threading
from collections.abc import Callable, Iterator
from types import CodeType


class StepperError(Exception):
    """A schedule could not be played to its end; the message says why and where."""


class Deadlock(StepperError):
    """Every thread that is left waits for a lock."""


class WorkerFailed(StepperError):
    """A thread raised an exception, which is the `__cause__` of this one."""


class Stuck(StepperError):
    """A thread did not reach its next stop in time."""


class NotReady(StepperError):
    """The schedule asks for a step that does not exist or cannot be taken now."""


class _Abandoned(BaseException):
    """Unwinds a held thread whose schedule was given up; nobody should catch it."""


def store_offsets(code: CodeType) -> set[int]:
    """Where `code` stores into a container: the offsets of `container[key] = value`."""
    return {i.offset for i in dis.get_instructions(code) if i.opname == "STORE_SUBSCR"}


def _closed_gate():
    gate = threading.Lock()
    gate.acquire()
    return gate


# The seam.  `watch(code, reached)` calls `reached()` on the thread that is about to
# store in `code`; only threads started inside the `with` block are sure to be watched.
# From 3.12 on, sys.settrace can miss the instructions of a function's first run, and
# with them some schedules; before 3.12 there is no sys.monitoring.
if sys.version_info >= (3, 12):
    _TOOL = 4  # the standard library reserves 0, 1, 2 and 5 for well-known tools

    @contextlib.contextmanager
    def watch(code: CodeType, reached: Callable[[], None]) -> Iterator[None]:
        offsets, monitoring = store_offsets(code), sys.monitoring

        def instruction(_, offset):
            if offset not in offsets:
                return monitoring.DISABLE
            reached()
            return None

        event = monitoring.events.INSTRUCTION
        monitoring.use_tool_id(_TOOL, "lab")
        try:
            monitoring.register_callback(_TOOL, event, instruction)
            monitoring.set_local_events(_TOOL, code, event)
            yield
        finally:
            monitoring.set_local_events(_TOOL, code, 0)
            monitoring.register_callback(_TOOL, event, None)
            monitoring.free_tool_id(_TOOL)

else:

    @contextlib.contextmanager
    def watch(code: CodeType, reached: Callable[[], None]) -> Iterator[None]:
        offsets = store_offsets(code)

        def trace(frame, event, _):
            if frame.f_code is not code:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode" and frame.f_lasti in offsets:
                reached()
            return trace

        before = threading.gettrace()
        threading.settrace(trace)
        try:
            yield
        finally:
            threading.settrace(before)


class Worker(threading.Thread):
    """A thread that moves only when its gate is opened."""

    def __init__(self, stepper: "Stepper", name: str):
        super().__init__(name=name, daemon=True)
        self.stepper = stepper
        self.gate = _closed_gate()
        self.body: Callable[[], None] | None = None
        self.step = ""  # the step it is held at; empty when it is done
        self.wants: Lock | None = None

    def run(self):
        with contextlib.suppress(_Abandoned):
            while True:
                self.wait()
                try:
                    self.body()
                except Exception as error:
                    self.stepper.fail(error)
                self.step = ""
                self.stepper.pass_on()

    def hold(self, letter: str, lock: "Lock | None"):
        self.step = self.name if self.name.startswith(letter) else letter + self.name
        self.wants = lock
        self.stepper.pass_on()
        self.wait()
        self.wants = None

    def wait(self):
        self.gate.acquire()
        if self.stepper.abandoned:
            raise _Abandoned

    @property
    def ready(self) -> bool:
        return self.wants is None or self.wants.owner is None


class Lock:
    """Stands in for threading.Lock: a thread that would block is not ready instead."""

    def __init__(self, stepper: "Stepper"):
        self.stepper = stepper
        self.owner: str | None = None  # the name of the worker that holds it

    def acquire(self):
        self.stepper.stop("L", self)
        self.owner = threading.current_thread().name
        return True

    def release(self):
        if self.owner is None:
            raise RuntimeError("release unlocked lock")
        self.stepper.stop("U")
        self.owner = None

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_):
        self.release()


class Stepper:
    """One thread per name, held and released one at a time.  Use it in a `with` block.

    `letters` are the stops that count as steps; at the others a thread does not halt,
    unless it needs a lock that is taken.  `code` is the function watched for its store.
    A schedule that takes longer than `patience` seconds is given up.

    No thread is the scheduler: whichever is about to be held decides who goes next,
    so that a thread that may go on costs no switch.
    """

    def __init__(
        self,
        names: list[str],
        letters: str,
        code: CodeType | None = None,
        patience: float = 10.0,
    ):
        self.workers = [Worker(self, name) for name in names]
        self.letters, self.code, self.patience = letters, code, patience
        self.abandoned = False
        self._over = _closed_gate()
        self._failure: BaseException | None = None

    def __enter__(self):
        self._watch = contextlib.ExitStack()
        if self.code is not None:
            self._watch.enter_context(watch(self.code, lambda: self.stop("B")))
        for worker in self.workers:
            worker.start()
        return self

    def __exit__(self, *_):
        self.abandoned = True
        for worker in self.workers:
            with contextlib.suppress(RuntimeError):  # its gate is open already
                worker.gate.release()
        if not isinstance(self._failure, Stuck):
            for worker in self.workers:
                worker.join()
        self._watch.close()

    def stop(self, letter: str, lock: Lock | None = None):
        """Hold the calling thread, if it is one of ours, until the schedule goes on."""
        worker = threading.current_thread()
        if isinstance(worker, Worker) and worker.stepper is self:
            taken = lock is not None and lock.owner is not None
            if letter in self.letters or taken:
                worker.hold(letter, lock)

    def explore(
        self,
        make: Callable[[], dict[str, Callable[[], None]]],
        after_step: Callable[[list[str]], None] = lambda steps: None,
    ) -> Iterator[list[str]]:
        """Play every schedule once and yield it, as a list of step names.

        `make()` sets the scene for one schedule and returns what each thread runs.
        `after_step(steps so far)` is called before the first step and after each.
        Raises Deadlock, WorkerFailed or Stuck; the stepper is of no use afterwards.
        """
        todo: list[list[str]] = [[]]
        while todo:
            prefix = todo.pop()

            def choose(steps, ready, prefix=prefix):
                if len(steps) < len(prefix):
                    return prefix[len(steps)]
                first, *others = ready
                todo.extend([*steps, other] for other in reversed(others))
                return first

            yield self._play(make(), choose, after_step)

    def replay(
        self,
        bodies: dict[str, Callable[[], None]],
        schedule: list[str],
        after_step: Callable[[list[str]], None] = lambda steps: None,
    ):
        """Play one schedule.  Raises what `explore` does, and NotReady."""

        def choose(steps, ready):
            now = " or ".join(ready)
            if len(steps) == len(schedule):
                raise NotReady(f"the schedule ends too early; next could be {now}")
            step = schedule[len(steps)]
            if step not in ready:
                owners = {w.step: w.wants.owner for w in self.workers if not w.ready}
                why = "cannot run"
                if step in owners:
                    why = f"waits for the lock that {owners[step]} holds"
                raise NotReady(f"{self._where()} {step} {why}; next could be {now}")
            return step

        steps = self._play(bodies, choose, after_step)
        if len(schedule) > len(steps):
            raise NotReady(f"{schedule[len(steps)]} comes after everything is done")

    def _play(self, bodies, choose, after_step):
        self._steps, self._choose, self._after_step = [], choose, after_step
        for worker in self.workers:
            worker.body = bodies[worker.name]
        self._starting = list(self.workers)
        self.pass_on()
        if not self._over.acquire(timeout=self.patience):
            self._failure = Stuck(
                f"{self._where()}: no stop was reached within {self.patience:g} s"
            )
        if self._failure is not None:
            raise self._failure
        return self._steps

    def pass_on(self):
        """Open one gate: that of the thread whose turn it is, or the way back out."""
        if self.abandoned:
            raise _Abandoned
        try:
            worker = self._next()
        except Exception as error:
            self._failure, worker = error, None
        (self._over if worker is None else worker.gate).release()

    def fail(self, error: Exception):
        """Give the schedule up because a worker raised `error`."""
        text = f"{self._where()}: {type(error).__name__}: {error}"
        self._failure = WorkerFailed(text)
        self._failure.__cause__ = error

    def _next(self) -> Worker | None:
        if self._failure is not None:
            return None
        if self._starting:  # everybody first runs up to the first stop
            return self._starting.pop(0)
        self._after_step(self._steps)
        alive = [worker for worker in self.workers if worker.step]
        if not alive:
            return None
        ready = {worker.step: worker for worker in alive if worker.ready}
        if not ready:
            held = ", ".join(f"{w.step} (held by {w.wants.owner})" for w in alive)
            raise Deadlock(f"{self._where()}: every thread waits for a lock: {held}")
        step = self._choose(self._steps, list(ready))
        self._steps.append(step)
        return ready[step]

    def _where(self):
        return f"after {' '.join(self._steps)}" if self._steps else "at the start"
