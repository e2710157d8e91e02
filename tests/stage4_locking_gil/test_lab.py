"""The laboratory: its counts, its stepper, its data and its command line.

The big columns are explored once, for the pages as well, and in processes of their own:
one of the designs needs Twisted's reactor, which may already be busy in this one.
"""

import importlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from tutorial.site.lab import Lab

STAGE = Path(__file__).parents[2] / "stage4_locking_gil"

UNSORTED = ["2/6", "10/30", "30/90", "60/180", "840/2520"]
HOLE = ["0/6", "2/30", "10/90", "20/180", "420/2520"]
LOCKED = ["0/2", "0/18", "0/90", "0/180", "0/5940"]
ONE_STEP = ["0/2", "0/6", "0/12", "0/24", "0/180"]
# design -> losing/all schedules per set-up; and with a frozen and a backward clock
TABLE = {
    "unsorted": (UNSORTED, "30/30", "20/30"),
    "sorted": (HOLE, "30/30", "6/30"),
    "setitem-lock": (HOLE, "30/30", "6/30"),
    "counter-outside": (HOLE, "2/30", "2/30"),
    "gil-lock-on": (HOLE, "30/30", "6/30"),
    "gil-lock-off": (LOCKED, "18/18", "8/18"),
    "lock": (LOCKED, "18/18", "8/18"),
    "lock-unsorted": (LOCKED, "18/18", "18/18"),
    "counter-lock": (LOCKED, "0/18", "0/18"),
    "append": (ONE_STEP, "0/6", "0/6"),
    "reactor": (ONE_STEP, "6/6", "2/6"),
    "rising": (LOCKED, "0/18", "0/18"),
}
SETUPS = ["r1p0", "r1p1", "r1p2", "r2p1", "r2p2"]
FIRST = {
    ("unsorted", "r1p0"): "A1 A2 B2 B1",
    ("unsorted", "r1p1"): "A1 A2 B2 B1 R",
    ("sorted", "r1p1"): "A1 A2 B2 R B1",
    ("setitem-lock", "r1p1"): "A1 A2 B2 R B1",
    ("counter-outside", "r1p1"): "A1 A2 B2 R B1",
    ("gil-lock-on", "r1p1"): "A1 A2 B2 R B1",
    ("sorted", "r2p1"): "A1 A2 B2 Ra B1 Rb",
}


@pytest.fixture(scope="module")
def lab():
    """The package's modules, loaded from the stage folder and from nowhere else."""
    sys.path.insert(0, str(STAGE))
    try:
        names = ["stores", "stepper", "explore", "stress", "__main__"]
        modules = {name: importlib.import_module(f"lab.{name}") for name in names}
        package = sys.modules["lab"]
        assert Path(package.__file__).is_relative_to(STAGE)
        yield SimpleNamespace(**modules)
    finally:
        sys.path.remove(str(STAGE))
        for name in [n for n in sys.modules if n == "lab" or n.startswith("lab.")]:
            del sys.modules[name]


@pytest.fixture
def survey(lab):
    """Count what a store class loses; returns "losing/all" and the first that loses."""

    def count(store, steps, clock="ticking", gil=None):
        design = lab.explore.Design("mine", "mine", store, steps, gil)
        found = lab.explore.survey(design, {"R": 1}, clock)
        return f"{found['losing']}/{found['schedules']}", found["first"]

    return count


def run_lab(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=STAGE,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.fixture(scope="module")
def everything():
    """All that the laboratory finds, as the pages show it: explored once for both."""
    found = Lab()
    try:
        designs = {
            design["id"]: design | {"table": found.table[design["id"]]}
            for design in found.quick["designs"]
        }
    finally:
        found.close()
    return SimpleNamespace(data=found.quick, designs=designs)


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """One whole run by the command line: its text, its data, the seconds it took."""
    file = tmp_path_factory.mktemp("lab") / "lab.json"
    before = os.times()
    done = run_lab("--json", str(file))
    after = os.times()
    # Processor time: what else this machine is doing must not fail a test.
    used = after.children_user + after.children_system
    seconds = used - before.children_user - before.children_system
    assert (done.returncode, done.stderr) == (0, "")
    text = file.read_text(encoding="utf-8")
    return SimpleNamespace(
        out=done.stdout, text=text, data=json.loads(text), seconds=seconds
    )


# The table


def test_the_table_has_these_designs_and_setups(everything):
    assert list(everything.designs) == list(TABLE)
    assert all([*one["table"]] == SETUPS for one in everything.designs.values())


@pytest.mark.thorough
def test_a_whole_run_finds_what_the_pages_show(everything, whole_run):
    assert [setup["id"] for setup in whole_run.data["setups"]] == SETUPS
    assert whole_run.data["designs"] == [*everything.designs.values()]


@pytest.mark.parametrize("setup", SETUPS)
@pytest.mark.parametrize("design", TABLE)
def test_losing_and_all_schedules(everything, design, setup):
    row = everything.designs[design]["table"][setup]
    counts = TABLE[design][0][SETUPS.index(setup)]
    assert f"{row['losing']}/{row['schedules']}" == counts
    assert (row["first"] is None) == (row["losing"] == 0)
    assert row["first"] == FIRST.get((design, setup), row["first"])


@pytest.mark.parametrize("design", TABLE)
def test_frozen_and_backward_clock(everything, design):
    clocks = everything.designs[design]["clocks"]
    counts = {c: f"{row['losing']}/{row['schedules']}" for c, row in clocks.items()}
    ticking, frozen, backward = TABLE[design][0][1], *TABLE[design][1:]
    assert counts == {"ticking": ticking, "frozen": frozen, "backward": backward}


def test_only_a_frozen_clock_overwrites(everything):
    overwritten = {
        (design, clock): row["overwritten"]
        for design, entry in everything.designs.items()
        for clock, row in entry["clocks"].items()
        if row["overwritten"]
    }
    assert overwritten == {
        ("unsorted", "frozen"): 22,
        ("sorted", "frozen"): 22,
        ("setitem-lock", "frozen"): 22,
        ("gil-lock-on", "frozen"): 22,
        ("gil-lock-off", "frozen"): 10,
        ("lock", "frozen"): 10,
        ("lock-unsorted", "frozen"): 10,
        ("reactor", "frozen"): 4,
    }


@pytest.mark.thorough
def test_a_whole_run_is_quick(whole_run):
    assert whole_run.seconds < 30


# One change at a time


def test_without_sorted_the_dict_order_loses_more(lab, survey):
    class Unsorted(lab.stores.SortedStore):
        def next_after(self, cursor):
            later = (number for number in self.messages if number > cursor)
            number = next(later, None)
            return None if number is None else (number, self.messages[number])

    assert survey(lab.stores.SortedStore, "AB") == ("2/30", "A1 A2 B2 R B1")
    assert survey(Unsorted, "AB") == ("10/30", "A1 A2 B2 B1 R")


def test_a_lock_moved_into_setitem_protects_nothing(lab, survey):
    class Moved(lab.stores.SortedStore):
        def __init__(self):
            self.messages = lab.stores.WriteProtectedDict(threading.Lock())

    assert survey(lab.stores.LockStore, "LABU") == ("0/18", None)
    assert survey(Moved, "AB") == ("2/30", "A1 A2 B2 R B1")


@pytest.mark.parametrize("name", ["setitem-lock", "counter-outside"])
def test_counting_the_lock_in_setitem_does_not_close_the_hole(lab, survey, name):
    store = lab.explore.DESIGNS[name].store
    assert survey(store, "ABLU") == ("24/270", "A1 B1 A2 B2 L2 U2 R L1 U1")


def test_a_lock_released_between_the_steps_protects_nothing(lab, survey):
    class LetsGo(lab.stores.LockStore):
        def post(self, text):
            with self.write_lock:
                stamp = time.time()
            with self.write_lock:
                self.messages[stamp] = text

    losing, first = survey(LetsGo, "LAULBU")
    assert (losing, first) == ("6/78", "L1 A1 U1 L2 A2 U2 L2 B2 U2 L1 R B1 U1")


def test_stamps_that_only_never_fall_overwrite(lab, survey):
    class NeverFalls(lab.stores.RisingStore):
        def post(self, text):
            with self.write_lock:
                newest = next(reversed(self.messages), 0.0)
                stamp = max(time.time(), newest)
                self.messages[stamp] = text

    for clock in ("frozen", "backward"):
        assert survey(lab.stores.RisingStore, "LABU", clock) == ("0/18", None)
        assert survey(NeverFalls, "LABU", clock)[0] == "18/18"


def test_a_lock_that_depends_on_the_gil(lab, survey):
    store = lab.stores.GilLockStore
    assert survey(store, "AB", gil=True) == ("2/30", "A1 A2 B2 R B1")
    assert survey(store, "LABU", gil=False) == ("0/18", None)
    real = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert survey(store, "AB" if real else "LABU")[0] == ("2/30" if real else "0/18")


def test_the_one_thread_design_hands_over_posts_and_polls(lab, monkeypatch):
    def hand_over(reactor, function, *arguments):
        handed_over.append((reactor, function.__name__))
        return function(*arguments)

    handed_over = []
    stand_in = SimpleNamespace(blockingCallFromThread=hand_over)
    monkeypatch.setattr(lab.stores, "threads", stand_in)
    store = lab.stores.ReactorStore()
    store.post("m1")
    assert store.next_after(0)[1] == "m1"
    assert [name for _, name in handed_over] == ["post", "next_after"]
    assert {reactor for reactor, _ in handed_over} == {lab.stores.reactor}


# The stepper


@pytest.mark.parametrize("threads, stops", [(1, 3), (3, 1), (2, 3), (4, 1), (3, 2)])
def test_every_order_is_played_once(lab, threads, stops):
    names = [str(n) for n in range(threads)]
    with lab.stepper.Stepper(names, "S") as stepper:

        def body():
            for _ in range(stops):
                stepper.stop("S")

        found = list(stepper.explore(lambda: dict.fromkeys(names, body)))
    orders = math.factorial(threads * stops) // math.factorial(stops) ** threads
    assert len(found) == len(set(map(tuple, found))) == orders
    assert found[0] == [f"S{name}" for name in names for _ in range(stops)]


def test_what_runs_between_two_steps_is_seen_by_the_next(lab):
    with lab.stepper.Stepper(["1", "2"], "S") as stepper:
        boxes = []

        def make():
            box = [0]
            boxes.append(box)

            def body():
                stepper.stop("S")
                seen = box[0]
                stepper.stop("S")
                box[0] = seen + 1

            return {"1": body, "2": body}

        assert len(list(stepper.explore(make))) == 6
    assert sorted(boxes) == [[1], [1], [1], [1], [2], [2]]


def test_a_function_is_watched_from_its_first_run_on(lab, survey):
    source = "class Fresh(Base):\n def post(self, text):\n"
    source += "  self.messages[float(time.time())] = text\n"
    for _ in range(5):
        scope = {"Base": lab.stores.SortedStore}
        exec(source, globals(), scope)  # a new code object, which nothing has run yet
        assert survey(scope["Fresh"], "AB") == ("2/30", "A1 A2 B2 R B1")


def test_a_wrong_number_of_schedules_is_an_error(lab, survey):
    class ReadsNoClock(lab.stores.SortedStore):
        def post(self, text):
            self.messages[len(self.messages) + 1] = text

    with pytest.raises(lab.stepper.StepperError, match="6 schedules .* AB make 30"):
        survey(ReadsNoClock, "AB")


@pytest.mark.parametrize(
    "threads, orders",
    [
        (("AB", "AB", "R"), 30),
        (("LABU", "LABU", "RR", "RR"), 5940),
        (("P", "P", "RR", "RR"), 180),
        (("LU", "LU", "LU"), 6),
        (("LAULBU", "LAULBU"), 6),
    ],
)
def test_the_expected_number(lab, threads, orders):
    assert lab.explore.count_orders(threads) == orders


def assert_no_worker_is_left(lab):
    assert not [t for t in threading.enumerate() if isinstance(t, lab.stepper.Worker)]


def test_a_deadlock_is_reported(lab):
    with (
        pytest.raises(lab.stepper.Deadlock) as caught,
        lab.stepper.Stepper(["1", "2"], "L") as stepper,
    ):

        def make():
            one, two = lab.stepper.Lock(stepper), lab.stepper.Lock(stepper)

            def take(first, second):
                with first, second:
                    pass

            return {"1": lambda: take(one, two), "2": lambda: take(two, one)}

        list(stepper.explore(make))
    assert "after L1 L2" in str(caught.value)
    assert "L1 (held by 2), L2 (held by 1)" in str(caught.value)
    assert_no_worker_is_left(lab)


def test_a_taken_lock_halts_a_thread_even_where_locks_are_no_steps(lab):
    with lab.stepper.Stepper(["1", "2"], "S") as stepper:

        def make():
            lock = lab.stepper.Lock(stepper)

            def body():
                with lock:
                    stepper.stop("S")

            return {"1": body, "2": body}

        assert list(stepper.explore(make)) == [["S1", "L2", "S2"]]


def test_an_exception_in_a_thread_is_reported(lab):
    with (
        pytest.raises(lab.stepper.WorkerFailed) as caught,
        lab.stepper.Stepper(["1", "R"], "BR") as stepper,
    ):

        def make():
            messages = {1: "m1"}

            def read():
                for _ in messages:
                    stepper.stop("R")

            def write():
                stepper.stop("B")
                messages[2] = "m2"

            return {"1": write, "R": read}

        list(stepper.explore(make))
    assert str(caught.value) == (
        "after B1 R: RuntimeError: dictionary changed size during iteration"
    )
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert_no_worker_is_left(lab)


def test_a_thread_that_does_not_come_back_is_reported(lab):
    never = threading.Event()
    with (
        pytest.raises(lab.stepper.Stuck, match="after S1: no stop .* within 0.5 s"),
        lab.stepper.Stepper(["1", "2"], "S", patience=0.5) as stepper,
    ):

        def body():
            stepper.stop("S")
            never.wait()

        workers = stepper.workers
        list(stepper.explore(lambda: {"1": body, "2": body}))
    never.set()
    for worker in workers:
        worker.join(10)
    assert_no_worker_is_left(lab)


def test_an_impossible_schedule_is_refused(lab):
    design = lab.explore.DESIGNS["lock"]
    for schedule, words in {
        "L1 L2": "after L1 L2 waits for the lock that 1 holds; next could be A1",
        "A1": "at the start A1 cannot run; next could be L1 or L2",
        "L1 A1": "the schedule ends too early; next could be B1",
        "L1 A1 B1 U1 L2 A2 B2 U2 U2": "U2 comes after everything is done",
    }.items():
        with (
            pytest.raises(lab.stepper.NotReady) as caught,
            lab.explore.Experiment(design, {"R": 0}) as experiment,
        ):
            experiment.replay(schedule.split())
        assert str(caught.value) == words
    assert_no_worker_is_left(lab)


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_substituted_comes_back(lab, survey, fails):
    class Store(lab.stores.GilLockStore):
        def post(self, text):
            seen.append((time.time, threading.Lock, lab.stores.sys._is_gil_enabled()))
            super().post(text)
            if fails:
                raise OSError("disk full")

    seen = []
    before = lab.stores.time, lab.stores.threading, lab.stores.sys, lab.stores.itertools
    hook, switch = threading.gettrace(), sys.getswitchinterval()
    try:
        survey(Store, "AB", gil="yes")
    except lab.stepper.StepperError as error:
        assert fails == ("disk full" in str(error))
    clock, lock, gil = seen[0]
    assert clock is not time.time and lock is not threading.Lock and gil == "yes"
    stores = lab.stores
    assert (stores.time, stores.threading, stores.sys, stores.itertools) == before
    assert (threading.gettrace(), sys.getswitchinterval()) == (hook, switch)
    assert_no_worker_is_left(lab)


# The data


@pytest.mark.parametrize("design", [name for name in TABLE if name != "reactor"])
def test_the_data_is_the_same_every_time(lab, everything, design):
    entry = everything.designs[design]
    chosen, setups = lab.explore.DESIGNS[design], lab.explore.SETUPS
    for clock, nodes in entry["trees"].items():
        again = lab.explore.tree(chosen, setups["r1p1"], clock)
        assert json.dumps(again) == json.dumps(nodes)
    for setup in ("r1p0", "r1p1", "r2p1"):
        again = lab.explore.survey(chosen, setups[setup])
        assert json.dumps(again) == json.dumps(entry["table"][setup])


@pytest.mark.parametrize("clock", ["ticking", "frozen", "backward"])
@pytest.mark.parametrize("design", TABLE)
def test_the_tree_agrees_with_the_table(everything, design, clock):
    entry = everything.designs[design]
    nodes, row = entry["trees"][clock], entry["clocks"][clock]
    ends = {name: node["end"] for name, node in nodes.items() if "end" in node}
    losing = [name for name, end in ends.items() if end["R"]["lost"]]
    assert (len(ends), len(losing)) == (row["schedules"], row["losing"])
    assert (losing[0] if losing else None) == row["first"]
    for name, node in nodes.items():
        ready = [step for step in node["next"] if step not in node["blocked"]]
        children = [other for other in nodes if other.rpartition(" ")[0] == name]
        children = [child for child in children if child]
        assert [child.split()[-1] for child in children] == ready
        assert ("end" in node) == (not ready)


def test_a_node_says_what_everybody_has(everything):
    nodes = everything.designs["sorted"]["trees"]["ticking"]
    assert nodes["A1 A2 B2"] == {
        "entries": [[2.0, "m2"]],
        "hand": {"1": 1.0},
        "readers": {"R": {"cursor": 0, "received": []}},
        "next": ["B1", "R"],
        "blocked": {},
    }
    assert nodes["A1 A2 B2 R B1"] == {
        "entries": [[2.0, "m2"], [1.0, "m1"]],
        "hand": {},
        "readers": {"R": {"cursor": 2.0, "received": ["m2"]}},
        "next": [],
        "blocked": {},
        "end": {"R": {"received": ["m2"], "lost": {"m1": "skipped"}}},
    }
    node = everything.designs["lock"]["trees"]["ticking"]["L1"]
    assert (node["next"], node["blocked"]) == (["A1", "L2", "R"], {"L2": "1"})


def test_the_data_shows_the_code(lab, everything):
    design = everything.designs["setitem-lock"]
    assert design["name"] == "SetitemLockStore"
    assert design["doc"] == lab.stores.SetitemLockStore.__doc__
    assert design["source"].startswith("class WriteProtectedDict(dict):")
    assert "class SetitemLockStore(SortedStore):" in design["source"]
    assert design["post"].split()[:2] == ["def", "post(self,"]
    assert everything.data["interpreter"]["version"] == sys.version.split()[0]


@pytest.mark.thorough
def test_no_path_of_this_machine_is_shown(whole_run):
    assert str(STAGE.parent) not in whole_run.text + whole_run.out
    assert str(Path.home()) not in whole_run.text + whole_run.out


# The stress run


def test_stress_counts_what_is_lost(lab):
    class Overwrites(lab.stores.SortedStore):
        def post(self, text):
            self.messages[1.0] = text

    class Hides(lab.stores.SortedStore):
        def post(self, text):
            self.messages[-len(self.messages)] = text

    class Fails(lab.stores.SortedStore):
        def post(self, text):
            raise OSError

    posts = lab.stress.WRITERS * lab.stress.POSTS
    tally = lab.stress.run(Overwrites, seconds=0)
    assert tally.overwritten + tally.skipped == posts - 1 and tally.skipped <= 1
    tally = lab.stress.run(Hides, seconds=0)
    assert tally.overwritten + tally.skipped == posts and tally.skipped > 0
    tally = lab.stress.run(Fails, seconds=0)
    assert (tally.rounds, tally.posts, tally.errors) == (1, posts, posts)


@pytest.mark.parametrize("design", ["counter-lock", "append", "rising"])
def test_stress_finds_nothing_where_nothing_is_lost(lab, design):
    tally = lab.stress.run(lab.explore.DESIGNS[design].store, seconds=0.1)
    assert tally.overwritten == tally.skipped == tally.errors == 0 < tally.posts


def test_stress_puts_the_switch_interval_back(lab):
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.004)
    try:
        lab.stress.run(lab.stores.AppendStore, seconds=0)
        assert sys.getswitchinterval() == pytest.approx(0.004)
    finally:
        sys.setswitchinterval(before)


# The command line


@pytest.mark.thorough
def test_everything_prints_the_table_and_the_rest(whole_run):
    lines = whole_run.out.splitlines()
    assert max(map(len, lines)) <= 80
    for design, (counts, frozen, backward) in TABLE.items():
        rows = [line.split() for line in lines if line.startswith(f"{design} ")]
        assert rows[0][2:] == counts
        assert rows[1][-1] == (FIRST.get((design, "r1p1")) or "none").split()[-1]
        assert (rows[2][1], rows[2][3]) == (frozen, backward)
    heading = "design             posts   overwritten   skipped   errors"
    start = lines.index(heading) + 1
    stress = [line.split()[0] for line in lines[start : start + len(TABLE) - 1]]
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    other = "gil-lock-off" if gil else "gil-lock-on"
    assert stress == [name for name in TABLE if name != other]


def test_replay_tells_each_step():
    done = run_lab("replay", "sorted", "A1 A2 B2 R B1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "sorted, no lock; clock: ticking",
        "",
        "step                          cursor      store, in its own order",
        "                              R 0         {}",
        "A1  writer 1 takes number 1.0 R 0         {}",
        "A2  writer 2 takes number 2.0 R 0         {}",
        "B2  writer 2 stores m2        R 0         {2.0: 'm2'}",
        "R   R gets m2                 R 2.0       {2.0: 'm2'}",
        "B1  writer 1 stores m1        R 2.0       {2.0: 'm2', 1.0: 'm1'}",
        "end readers poll to the end   R 2.0       {2.0: 'm2', 1.0: 'm1'}",
        "",
        "R has m2; m1 is lost: skipped.",
    ]


def test_replay_says_the_number_and_not_what_the_clock_said():
    done = run_lab("replay", "rising", "L1 A1 B1 U1 L2 A2 B2 U2", "--clock", "backward")
    assert "A2  writer 2 takes 2.0..04" in done.stdout, done.stdout


@pytest.mark.parametrize(
    "design, schedule, clock, end",
    [
        ("sorted", "A1 B1 A2 B2", "frozen", "R has m2; m1 is lost: overwritten."),
        (
            "lock",
            "L1 A1 B1 R U1 L2 A2 B2 U2",
            "backward",
            "R has m1; m2 is lost: skipped.",
        ),
        ("reactor", "P1 R P2", "frozen", "R has m1; m2 is lost: skipped."),
        (
            "rising",
            "L1 A1 B1 Ra U1 L2 A2 B2 Rb U2",
            "frozen",
            "1.0..02 is short for 1.0000000000000002.",
        ),
    ],
)
def test_replay_with_another_clock(design, schedule, clock, end):
    done = run_lab("replay", design, schedule, "--clock", clock)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == end
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    "design, schedule, words",
    [
        ("no-such", "A1", "no design is called 'no-such'; there are unsorted, sorted,"),
        (
            "sorted",
            "A1 X1",
            "'X1' is no step of sorted; there are A B, each with 1 or 2",
        ),
        ("sorted", "A1 A3", "'A3' is no step of sorted"),
        ("sorted", "B1", "at the start B1 cannot run; next could be A1 or A2"),
        ("lock", "L1 L2", "after L1 L2 waits for the lock that 1 holds"),
        ("sorted", "", "the schedule ends too early; next could be A1 or A2"),
    ],
)
def test_a_wrong_request_gets_one_sentence(lab, capsys, design, schedule, words):
    assert lab.__main__.main(["replay", design, schedule]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"lab: {words}") and err.count("\n") == 1


def test_a_file_that_cannot_be_written_is_refused_at_once(lab, capsys, tmp_path):
    assert lab.__main__.main(["--json", str(tmp_path / "none" / "lab.json")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and "No such file" in err and err.count("\n") == 1


def test_a_wrong_request_ends_the_process_with_2():
    done = run_lab("replay", "no-such", "A1")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_json_without_a_file_prints_nothing_else(lab, capsys, monkeypatch):
    monkeypatch.setattr(lab.__main__, "report", lambda progress: {"a": 1})
    monkeypatch.setattr(lab.__main__, "to_json", lambda found: found | {"b": 2})
    assert lab.__main__.main(["--json"]) == 0
    assert capsys.readouterr().out == '{"a":1,"b":2}\n'


def test_a_schedule_that_cannot_end_ends_the_process_with_1(lab, capsys, monkeypatch):
    def report(progress):
        raise lab.stepper.Deadlock("after L1 L2")

    monkeypatch.setattr(lab.__main__, "report", report)
    assert lab.__main__.main([]) == 1
    assert capsys.readouterr().err == "lab: after L1 L2\n"


def test_which_thread_calls_which_handler():
    done = run_lab("threads")
    assert (done.returncode, done.stderr) == (0, "")
    heading, *rows = done.stdout.splitlines()
    assert heading.split() == ["handler", "thread", "name"]
    assert {row[:32].strip(): row[32:41].strip() for row in rows} == {
        "HTTP: render_GET": "reactor",
        "WebSocket: textMessageReceived": "reactor",
        "LoopingCall": "reactor",
        "Deferred: callback": "reactor",
        "deferToThread: the function": "pool",
        "deferToThread: its callback": "reactor",
        "callInThread": "pool",
        "callFromThread, from there": "reactor",
        "WSGI application": "pool",
    }
    on_main = {row[32:41].strip() for row in rows if row[41:] == "MainThread"}
    assert on_main == {"reactor"}
