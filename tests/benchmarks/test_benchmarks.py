"""The benchmarks on a load that says nothing about speed, but about the benchmarks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid

import psutil
import pytest
from click.testing import CliRunner
from rich.progress import Progress

from benchmarks import keep
from benchmarks.__main__ import run
from benchmarks.programs import PROGRAMS
from benchmarks.servers import PEERS, Server, servers
from benchmarks.wire import problems
from tutorial.stages import ROOT

SAID = [b"one", b"two", b"three"]


def benchmark(tmp_path, what: str, *options: str) -> dict:
    """Run the command; returns its JSON. Fails if it leaves a process behind."""
    mark, file = uuid.uuid4().hex, tmp_path / "figures.json"
    result = subprocess.run(
        [
            *[sys.executable, "-m", "benchmarks", what, "--rounds", "1"],
            *["--json", str(file), *options],
        ],
        cwd=ROOT,
        env=os.environ | {"BENCHMARK_MARK": mark},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert max(map(len, result.stdout.splitlines())) <= 80, result.stdout
    assert not with_mark(mark), "the benchmark should end all that it started"
    return json.loads(file.read_text("utf-8"))


def with_mark(mark: str) -> list[psutil.Process]:
    """The processes that inherited `mark` in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("BENCHMARK_MARK") == mark:
                found.append(process)
        except psutil.Error:
            continue  # gone, or not ours
    return found


# In each exercise, the wire format is another, or what a client may do.
EXERCISES = [
    one.name
    for one in servers()
    if one.folder.parent.name == "exercises" and not one.patch
]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.thorough] * (name != "stage5"))
        for name in ["stage5", *EXERCISES]
    ],
)
@pytest.mark.parametrize(
    "what",
    [
        "fanout",
        *(
            pytest.param(what, marks=pytest.mark.thorough)
            for what in ("memory", "longpoll", "parked")
        ),
    ],
)
def test_a_few_clients(what, name, tmp_path):
    # From exercise 7 on, a user has 20 windows.
    options = ["--clients", "25", "--seconds", "0.1", "--only", name]
    report = benchmark(tmp_path, what, *options)[what]
    assert list(report["servers"]) == [name]
    row = report["servers"][name]
    assert row["problems"] == []
    assert all(value > 0 for value in row["median"].values())
    assert row["ratio"] is None, "there is nothing to compare it with"


@pytest.mark.thorough
def test_a_few_clients_of_a_patched_server(tmp_path):
    options = ["--clients", "5", "--seconds", "0.1", "--only", "past_the_buffer"]
    report = benchmark(tmp_path, "fanout", *options)["fanout"]
    assert report["servers"]["past_the_buffer"]["problems"] == []


@pytest.mark.thorough
def test_a_short_history(tmp_path):
    report = benchmark(tmp_path, "history", "--messages", "1000")["history"]
    assert list(report["servers"]) == ["stage3", "stage4", "stage5"]
    for row in report["servers"].values():
        assert row["problems"] == []
        assert row["median"]["1,000"] > 0
    assert report["servers"]["stage3"]["ratio"] == 1
    assert report["servers"]["stage5"]["ratio"] < 1


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_does_what_a_stage_does(name, tmp_path):
    peer = next(server for server in servers() if server.name == name)
    if not peer.is_installed:
        pytest.skip(f"{name} is not installed: make bench-setup")
    options = ["--clients", "5", "--seconds", "0.1", "--only", name]
    for what in peer.bears:
        row = benchmark(tmp_path, what, *options)[what]["servers"][name]
        assert row["problems"] == []
        assert row["median"]["rate"] > 0


def test_who_has_heard_all_in_order_is_not_reported():
    assert problems([SAID, list(SAID)], SAID) == []


@pytest.mark.parametrize(
    ("heard", "sentence"),
    [
        ([b"one", b"three"], "client 1: 1 lost"),
        ([], "client 1: 3 lost"),
        ([b"one", b"two", b"two", b"three"], "client 1: 1 doubled"),
        ([b"one", b"three", b"two"], "client 1: out of order"),
        ([b"one", b"two", b"thr"], "client 1: 1 lost, 1 never said"),
    ],
)
def test_loss_and_disorder_are_noticed(heard, sentence):
    assert problems([SAID, heard], SAID) == [sentence]


def run_one(command: list[str], tmp_path, **needs) -> dict:
    server = Server("broken", tmp_path, command, ["fanout"], **needs)
    return run(PROGRAMS["fanout"], [server], 1, {"clients": 1}, Progress())


def test_a_server_that_does_not_start_is_a_problem_and_what_it_said_is_kept(tmp_path):
    report = run_one([sys.executable, "-c", "print('no voice today')"], tmp_path)
    [problem] = report["servers"]["broken"]["problems"]
    assert "did not start" in problem
    assert "no voice today" in problem


def test_a_peer_that_is_not_installed_is_named_and_the_run_goes_on(tmp_path):
    report = run_one([], tmp_path, needs=["no_such_library"])
    assert report["servers"] == {}
    assert report["not_installed"] == ["broken"]


@pytest.mark.parametrize("words", [[], ["--strangers"], ["--many"]])
def test_what_is_measured_is_kept_for_the_pages(words, monkeypatch, tmp_path):
    monkeypatch.setattr(keep, "MEASURED", tmp_path / "measured.json")
    for name in ("take", "take_strangers", "take_many"):
        monkeypatch.setattr(keep, name, lambda progress, name=name: {"by": name})
    done = CliRunner().invoke(keep.main, words)
    assert done.exit_code == 0, done.output
    wanted = "_".join(["take", *(word.removeprefix("--") for word in words)])
    assert json.loads(keep.MEASURED.read_text("utf-8")) == {"by": wanted}
