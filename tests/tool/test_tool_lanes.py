"""The lanes of a check: what several can do, each test is done by one."""

import queue
from contextlib import nullcontext
from types import SimpleNamespace

from tutorial.check import judge
from tutorial.check.judge import Judge
from tutorial.check.lanes import Lane, environment, lanes_for
from tutorial.check.limits import Limits
from tutorial.settings import SHARED
from tutorial.stages import find_stage

TESTS = "tests/contract/test_1_django_ui.py::test_an_unknown_room_is_not_found"


def run_lanes(work, *names):
    """Run lanes that have the same tests. Returns the ids that each of them told of."""
    for name in ("taken", "tmp"):
        (work / name).mkdir(exist_ok=True)
    stage, events = find_stage("1"), queue.Queue()
    mine = work / "theirs"
    if not mine.exists():
        stage.copy_to(mine)
    environ = {
        **environment(Limits(), mine, work, "a-mark"),
        SHARED: str(work / "taken"),
    }
    lanes = [
        Lane(name, [TESTS], False, stage, mine, work, environ, events) for name in names
    ]
    did = {lane: [] for lane in lanes}
    running = [*lanes]
    try:
        while running:
            lane, event = events.get(timeout=60)
            if event is None:
                running.remove(lane)
            elif event["event"] == "result":
                did[lane].append(event["test"])
    finally:
        for lane in lanes:
            lane.end()
    return [*did.values()]


def test_what_one_lane_has_taken_no_other_does(tmp_path):
    one, other = run_lanes(tmp_path, "one", "other")
    assert len({*one, *other}) == len(one + other) == 2
    assert run_lanes(tmp_path, "third") == [[]]
    given_back = min((tmp_path / "taken").iterdir())
    given_back.unlink()
    assert len(run_lanes(tmp_path, "fourth")[0]) == 1


def test_browsers_share_the_tests_of_pages():
    stage = find_stage("3")
    for browsers in (1, 3):
        lanes = lanes_for(stage, browser=True, browsers=browsers)
        assert [*lanes] == ["contract", *(f"browser-{n}" for n in range(browsers))]
        for number in range(browsers):
            assert lanes[f"browser-{number}"] == [
                "tests/browser/test_1_django_ui.py",
                "tests/browser/test_2_websocket.py",
                "tests/browser/test_3_longpoll.py",
            ]
    assert [*lanes_for(stage, browser=False, browsers=3)] == ["contract"]


def test_a_pinned_folder_has_one_browser_and_shares_nothing(tmp_path, monkeypatch):
    lanes = []
    monkeypatch.setattr(judge, "Lane", lambda *about: lanes.append(about))
    for core in (0, None):
        work = tmp_path / str(core)
        work.mkdir()
        monkeypatch.setattr(judge, "on_core", nullcontext)
        Judge(find_stage("2"), tmp_path, browser=True, core=core)._start(work, "mark")
    shared = [(name, SHARED in environ) for name, _, _, _, _, _, environ, *_ in lanes]
    assert shared[:2] == [("contract", False), ("browser-0", False)]
    assert shared[2] == ("contract", False)
    assert shared[3:] and all(is_shared for _, is_shared in shared[3:])


def test_a_test_that_two_lanes_have_is_counted_once(tmp_path):
    tally, lane = Judge(find_stage("2"), tmp_path).tally, SimpleNamespace(inside=False)
    file = "tests/contract/test_2_websocket.py"
    tally.collect(lane, [f"{file}::test_a", f"{file}::test_b"], [])
    tally.collect(lane, [f"{file}::test_b"], [f"{file}::test_c"])
    tally.collect(lane, [], [f"{file}::test_c"])
    assert tally.doing.startswith("0 of 2 tests")
    assert tally.verdict.left_out == 1
    assert sum(result.tests for result in tally.verdict.tasks) == 2
