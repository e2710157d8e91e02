"""The stage's own store, under every interleaving of two writers and a reader.

The laboratory of stage 4 drives the real classes. From stage 5 on only the reactor's
thread may use the store, and the writers come in by callFromThread. (From exercise 2 on
a reader is given all that is new at once, and has tests of its own.)
"""

from __future__ import annotations

import threading

import pytest
import pytest_twisted
from twisted.internet import reactor, threads

from tests.support.whitebox import stage_modules
from tutorial.stages import find_stage

SINCE_STAGE = 4
ONE_STEP = "Reading the clock (A) and storing (B) have to be one step, under one lock."
RISING = (
    "With a clock that ticks none is lost, so the lock holds. But a stamp has to be "
    "later than every stamp before it, whatever the clock says."
)


@pytest.fixture
def lab():
    """The laboratory's module `explore`, from our own stage 4."""
    folder = find_stage("stage4_locking_gil").folder
    with stage_modules(folder, "lab.explore") as [explore]:
        yield explore


def losing_schedules(lab, store: type, steps: str, setup: str, clock: str) -> list[str]:
    """The schedules after which a reader lacks a message.

    `steps` are the letters of one post. Raises AssertionError if none loses, but there
    were other schedules than those that such posts make.
    """
    design = lab.Design("own", "the stage's own store", store, steps)
    losing = []
    try:
        with lab.Experiment(design, lab.SETUPS[setup], clock) as experiment:
            for outcome in experiment.outcomes():
                if outcome.lost:
                    losing.append(outcome.schedule)
    except lab.StepperError as error:
        assert losing, f"A post steps otherwise than {' '.join(steps)}: {error}"
    return losing


@pytest.mark.stages(4, 4)
@pytest.mark.parametrize("setup", ["r1p1", "r1p0", "r1p2", "r2p1"])
@pytest.mark.parametrize("clock", ["ticking", "frozen", "backward"])
def test_no_interleaving_loses_a_message(classes, lab, setup, clock):
    class OwnStore(classes.ChatFactory):
        """The chat server's own `store` and `getData`, by the laboratory's names."""

        def __init__(self):
            self.messages = type(classes.ChatFactory.messages)()
            self.write_lock = threading.Lock()
            self.reader = classes.HttpChat(self)

        post = classes.ChatFactory.store

        def next_after(self, cursor):
            found = self.reader.getData(cursor)
            return found and (found.published_at, found.text)

        def entries(self):
            return list(self.messages.items())

    losing = losing_schedules(lab, OwnStore, "LABU", setup, clock)
    cure = ONE_STEP
    if losing and clock != "ticking":
        ticking = losing_schedules(lab, OwnStore, "LABU", setup, "ticking")
        cure = ONE_STEP if ticking else RISING
    assert losing == [], (
        f"With {lab.SETUP_TITLES[setup]} and a {clock} clock, a message is "
        f"lost in {len(losing)} schedules. The first is {losing[0]}. {cure}"
    )


@pytest.mark.stages(4, 4)
def test_the_scan_is_in_the_order_of_the_stamps(classes, whole):
    whole.factory.messages.update({2.0: "second", 1.0: "first"})
    assert whole.http_chat.getData(0.0).text == "first"


@pytest.mark.stages(5, 6)
@pytest.mark.parametrize("clock", ["ticking", "frozen", "backward"])
@pytest_twisted.ensureDeferred
async def test_writers_by_call_from_thread_lose_nothing(classes, lab, clock):
    class OwnStore(classes.MessageStore):
        """The chat's store, entered by way of the reactor."""

        def post(self, text):
            threads.blockingCallFromThread(reactor, self.add, text)

        def next_after(self, cursor):
            found = threads.blockingCallFromThread(reactor, super().next_after, cursor)
            return found and (found.published_at, found.text)

        def entries(self):
            return [(message.published_at, message.text) for message in self.messages]

    losing = await threads.deferToThread(
        losing_schedules, lab, OwnStore, "P", "r1p1", clock
    )
    assert losing == []
