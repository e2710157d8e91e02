"""What a clock that is set back does to a reactor, and what can be done about it."""

from __future__ import annotations

import subprocess
import sys

import pytest
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.python import runtime

SCRIPT = """
import sys, time

real, shift = time.time, [0.0]
time.time = lambda: real() + shift[0]
from twisted.internet import reactor, task

if sys.argv[1:] == ["monotonic"]:
    reactor.seconds = time.monotonic
looks = []

def look():
    looks.append(None)
    if len(looks) == 2:
        reactor.callLater(0.02, set_back)
    if len(looks) == 5:
        print("it goes on")
        reactor.stop()

def set_back():
    shift[0] = -3600
    [sweep] = reactor.getDelayedCalls()
    wait = sweep.getTime() - reactor.seconds()
    if wait > 1:
        print(f"the next look is {wait:.0f} s away")
        reactor.stop()

task.LoopingCall(look).start(0.05)
reactor.run()
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "the next look is 3600 s away\n"), (["monotonic"], "it goes on\n")],
    ids=["wall clock", "monotonic"],
)
def test_a_reactor_with_a_monotonic_clock_goes_on(words, said):
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (result.stdout, result.stderr) == (said, "")


@pytest.mark.stages(3, 5)
def test_a_clock_that_is_set_back_stops_the_sweep(classes):
    assert type(reactor).seconds is runtime.seconds, "the reactor asks the wall clock"
    clock, looks = Clock(), []
    classes.sweep.clock = clock
    classes.sweep.call = (lambda: looks.append(clock.seconds()), (), {})
    clock.rightNow = 10_000.0
    classes.sweep.startService()
    clock.rightNow -= 3600
    clock.pump([1] * 3599)
    assert looks == [10_000.0], "for an hour nobody looks"
    clock.pump([1] * 3)
    assert len(looks) > 1
    classes.sweep.stopService()
