"""What is done to many servers, on a small crowd, and that its book can be wrong."""

from __future__ import annotations

import json
import threading
import time
from random import Random

import pytest

from benchmarks import many
from benchmarks.cluster import durable
from benchmarks.cluster.chats import folder_of
from benchmarks.cluster.clients import Book, PollClient
from benchmarks.cluster.engine import Engine, Wire
from benchmarks.cluster.load import what_is_wrong
from benchmarks.hostile.site import Where
from tutorial.run.engine import EngineError, Refused, find_binary, why_no_binary

ALONE = "7_strangers"  # one server, which needs no engine

needs_engine = pytest.mark.skipif(not find_binary(), reason=why_no_binary())


def run(subject: str, **more) -> many.Run:
    """A small one."""
    return many.Run(folder_of(subject), small=True, seeds=1, **more)


@pytest.mark.thorough
@pytest.mark.parametrize("part", ["ledger", "kill_server", "rolling"])
def test_one_server_keeps_what_it_says(part):
    found = many.PARTS[part](run(ALONE, servers=1))
    # Whoever waits for the only one waits for as long as it takes to start.
    assert [each for each in many.faults(part, found) if "waits" not in each] == []
    assert found["said"] > 5
    assert found["shown"] >= 10 * found["acknowledged"] if part == "ledger" else True


@pytest.mark.thorough
def test_a_crowd_notices_servers_that_do_not_hear_of_each_other():
    """They have a database in common, so there is an order. But nobody is woken."""
    wrong = many.faults("ledger", many.ledger(run(ALONE, servers=3)))
    assert any("lost" in each or "late" in each for each in wrong), wrong


@pytest.mark.thorough
def test_the_command(tmp_path):
    file = tmp_path / "figures.json"
    words = ["--small", "--subject", ALONE, "--servers", "1", "--json", str(file)]
    with pytest.raises(SystemExit) as ended:
        many.main(["ledger", *words])
    assert ended.value.code == 0
    report = json.loads(file.read_text("utf-8"))
    assert report["figures"]["ledger"]["p99"] > 0
    assert report["wrong"] == []


def test_what_a_folder_without_an_engine_cannot_be_asked(tmp_path):
    with pytest.raises(many.Failed, match="kill_engine: 7_strangers has no engine"):
        list(many.measured(run(ALONE), ["kill_engine"]))
    with pytest.raises(LookupError, match="no chat server in"):
        folder_of(str(tmp_path))


class Listener:
    """Somebody to whom a test tells things."""

    def __init__(self, book: Book, name: str):
        more = {"name": name, "lot": Random(name)}
        self.client = PollClient(book, [Where(1, names=False)], 1, 1, **more)
        self.tell(0)

    def tell(self, seq: int, *messages: tuple[int, str, str], **more) -> None:
        """Tell a batch: (number, id, text) of each message."""
        data = [{"seq": seq, "id": id, "text": text} for seq, id, text in messages]
        batch = {"status": 1, "epoch": "1", "seq": seq, "reset": False, "data": data}
        self.client.hears(batch | more)


@pytest.fixture
def pair():
    """A book, Ann, who says two things, Bob, and both messages: (number, id, text)."""

    book = Book()
    ann, bob = Listener(book, "Ann"), Listener(book, "Bob")
    ann.client.says()
    ann.client.says()
    said = [(seq, *each) for seq, each in enumerate(ann.client.own.items(), 1)]
    return book, ann, bob, said


def wrong(book: Book, *listeners: Listener) -> dict:
    found = what_is_wrong(book, [each.client for each in listeners])
    del found["problems"]
    return {key: value for key, value in found.items() if value}


def test_the_book_is_clean_when_all_hear_all(pair):
    book, ann, bob, said = pair
    for each in (ann, bob):
        each.tell(1, said[0])
        each.tell(2, *said)  # The first one again: it is not shown twice.
    assert wrong(book, ann, bob) == {}
    assert not ann.client.pending
    assert len(book.took["poller"]) == 4


def test_the_book_notices_what_is_missed(pair):
    book, ann, bob, said = pair
    ann.tell(2, *said)
    bob.tell(2, said[1])
    assert wrong(book, ann, bob) == {"lost": 1}


def test_the_book_notices_what_is_told_with_another_number(pair):
    book, ann, bob, said = pair
    ann.tell(2, *said)
    bob.tell(2, *said)
    bob.tell(3, (3, *said[1][1:]))
    # Nothing comes before itself, so there is no order any more, either.
    assert wrong(book, ann, bob) == {"doubled": 1, "forked": 1, "disorder": 1}


def test_the_book_notices_two_orders(pair):
    book, ann, bob, said = pair
    ann.tell(2, *said)
    bob.tell(2, (1, *said[1][1:]), (2, *said[0][1:]))
    assert wrong(book, ann, bob) == {"forked": 2, "disorder": 1}


def test_the_book_notices_a_gap(pair):
    book, ann, bob, said = pair
    for each in (ann, bob):
        each.tell(1, said[0])
        each.tell(3, (3, *said[1][1:]))
    assert wrong(book, ann, bob) == {"gaps": 2}


def test_a_reset_shows_nothing_twice_and_is_counted(pair):
    book, ann, bob, said = pair
    for each in (ann, bob):
        each.tell(2, *said)
        again = [(seq + 10, *rest) for seq, *rest in said]
        each.tell(12, *again, epoch="2", reset=True)
    assert wrong(book, ann, bob) == {"resets": 2}


def test_what_a_part_has_to_reach_is_said_in_words():
    clean = dict.fromkeys(many.TARGETS["clocks"], 0) | {"problems": []}
    assert many.faults("cut_reader", clean | {"cuts": 3, "acknowledged": 9}) == []
    assert many.faults(
        "cut_reader", clean | {"cuts": 0, "lost": 2, "acknowledged": 0}
    ) == ["lost 2, at most 0", "cuts 0, at least 1", "nothing was acknowledged"]
    assert many.faults("no_aof", clean | {"silent": 3, "told": None}) == [
        "silent 3, at most 0",
        "told never, at most 10",
    ]


def test_what_was_acknowledged_while_nobody_could():
    row = many.acknowledged_meanwhile({"down": (10, 20), "acks": [9, 10.1, 15, 21, 30]})
    assert row["meanwhile"] == 1
    assert row["healed"] == 1


def test_many_seeds_are_one_row():
    rows = [
        {"said": 3, "p50": 1.0, "worst": 2.0, "healed": 1.0, "problems": []},
        {"said": 4, "p50": 2.0, "worst": 1.0, "healed": None, "problems": ["x"]},
    ]
    more = {"ends": {"a": 1}, "refused": {}, "slowest": []}
    rows = [row | more for row in rows]
    found = many.summed(rows, first_seed=7)
    assert found["said"] == 7
    assert (found["p50"], found["worst"], found["healed"]) == (1.5, 2.0, None)
    assert found["problems"] == ["seed 8: x"]
    assert found["ends"] == {"a": 2}


@needs_engine
def test_an_engine_is_killed_and_has_kept_what_it_acknowledged(tmp_path):
    with Engine(tmp_path / "engine") as engine:
        with Wire(engine.url) as wire:
            assert wire.call("XADD", "log", "1-*", "said", "Grüße") == "1-0"
            with pytest.raises(Refused, match="ERR"):
                wire.call("XADD", "log", "1-0", "said", "again")
        engine.kill()
        engine.start()
        assert engine.ask("XRANGE", "log", "-", "+") == [["1-0", ["said", "Grüße"]]]


@needs_engine
def test_an_engine_that_keeps_nothing_has_nothing_then(tmp_path):
    with Engine(tmp_path / "engine", keeps="no") as engine:
        engine.ask("SET", "key", 1)
        engine.kill()
        engine.start()
        assert engine.ask("GET", "key") is None


@needs_engine
def test_who_reads_a_stream_is_cut(tmp_path):
    with Engine(tmp_path / "engine") as engine, Wire(engine.url) as wire:
        cut = []

        def read():
            try:
                wire.call("XREAD", "BLOCK", 9000, "STREAMS", "log", "0-0")
            except (OSError, EngineError) as error:
                cut.append(error)

        reading = threading.Thread(target=read)
        reading.start()
        deadline = time.monotonic() + 5
        while not engine.cut_readers():
            assert time.monotonic() < deadline
        reading.join(5)
        assert len(cut) == 1


@pytest.mark.thorough
@needs_engine
def test_a_copy_has_what_was_waited_for(tmp_path):
    with durable.engines("wait", tmp_path, None) as (first, copy):
        with Wire(first.url) as wire:
            wire.call("SET", "key", 1)
            assert wire.call("WAIT", 1, 5000) == 1
        first.kill()
        copy.ask("REPLICAOF", "NO", "ONE")
        assert copy.ask("GET", "key") == "1"
